"""Fill a folder with rows: every contestant of every task, trained, scored where it was trained and elsewhere, then timed.

    <folder>/data/<task>.h5                         data, kept between runs
    <folder>/<task>/<contestant>-<seed>.json        a row: hashes, scores of every sample, costs
    <folder>/<task>/<contestant>-<seed>.safetensors what it answered
    <folder>/<task>/operators/...                   trained operators, which are timed when all else is done

A finished row is not made again, unless the data or the judging code have changed. Jobs run side by side, one thread each;
timings are made afterwards, one at a time.
"""

import concurrent.futures
import json
import multiprocessing
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import circumstances
from benchmarks.rows import finished
from benchmarks.suite import flops, inverse, readers, scoring, systems
from benchmarks.suite.contestants import Contestant, made, roster, takes_part
from benchmarks.suite.tasks import Suite, SuiteTask, judges_hash, load
from pdes import Dataset
from pdes.executors import ONE_THREAD, environment
from sciml import storage
from sciml.operators.classical import ClassicalSolver
from sciml.tasks import as_task
from solvers.errors import DataError, UserError, unknown_name
from solvers.files import write_bytes

FIRST_SEED = 11
BATCH = {"symbolic": 4}
"""Samples of a timed batch, where it is not 32: equations take seconds each."""
ELSEWHERE = ("finer", "shift", "foreign")


@dataclass(frozen=True)
class Job:
    """One row to be made."""

    suite: str
    task: str
    contestant: Contestant
    seed: int
    folder: str

    @property
    def stem(self) -> Path:
        """Path of the row without its ending."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.contestant.name)
        return Path(self.folder) / self.task / f"{name}-{self.seed}"


def run(
    suite: Suite,
    source: str,
    folder: str | Path,
    *,
    tasks: Sequence[str] = (),
    contestants: Sequence[str] = (),
    seeds: int | None = None,
    workers: int = 2,
    timing: bool = True,
    say: Callable[[str], Any] = print,
) -> dict[str, list[dict]]:
    """Make what is missing; returns the rows by task.

    Parameters
    ----------
    suite, source : the suite, and the name or file it was loaded from (workers load it again).
    tasks, contestants, seeds : only these; by default all of the suite.
    workers : processes, each of one thread; or a `dask.distributed.Client`.
    timing : measure times of answers, one after another, once all rows are there.

    Raises
    ------
    UnknownName : a task that the suite does not have, or a contestant that takes part in none of the tasks.
    """
    chosen = [suite[name] for name in tasks] or list(suite.tasks)
    everyone = dict.fromkeys(who.name for task in chosen for who in roster(suite, task))
    for name in contestants:
        if name not in everyone:
            raise unknown_name("contestant", name, list(everyone))
    folder = Path(folder)
    jobs: list[Job] = []
    for task in chosen:
        began = time.perf_counter()
        data = task.data(folder / "data", workers if isinstance(workers, int) else 1)
        hashes = {name: part.fingerprint() for name, part in data.items()}
        write_bytes(folder / task.label / "data.json", json.dumps(about(task, data, hashes, folder), indent=1).encode())
        todo = []
        for who in roster(suite, task):
            if contestants and who.name not in contestants:
                continue
            for seed in range(FIRST_SEED, FIRST_SEED + ((seeds or suite.seeds) if who.seeded else 1)):
                job = Job(source, task.label, who, seed, str(folder))
                if not current(job.stem.with_suffix(".json"), hashes, recipe(who, suite, task)):
                    todo.append(job)
        jobs += todo
        say(f"{task.label}: {len(todo)} rows to make (data after {time.perf_counter() - began:.0f} s)")
    for job, row in _done(jobs, workers):
        if "failed" in row or "cannot" in row:
            say(f"{job.task}  {job.contestant.name}  seed {job.seed}: {row.get('failed') or row['cannot']}")
        else:
            error = float(np.mean(row["scores"]["test"][row["primary"]]))
            say(f"{job.task}  {job.contestant.name}  seed {job.seed}: {error:.4g} ({row['training']['seconds']:.0f} s)")
    if timing:
        timed(suite, source, folder, chosen, contestants, say)
    return {task.label: rows_of(folder, task, suite) for task in chosen}


def about(task: SuiteTask, data: dict[str, Dataset], hashes: dict[str, str], folder: Path) -> dict[str, Any]:
    """What a report needs to know of the data: hashes, label error, time of a label."""
    manifest = folder / "data" / f"{task.label}.h5.manifest.json"
    floor = data["test"].quality["label_error"][:] if "label_error" in data["test"].quality else np.array([np.nan])
    known = np.asarray(floor, np.float64)[np.isfinite(np.asarray(floor, np.float64))]
    return {
        "task": task.label, "hashes": hashes, "label_error": float(known.mean()) if known.size else None,
        "label_seconds": json.loads(manifest.read_text()).get("seconds_per_sample") if manifest.exists() else None,
        "train": task.train, "test": task.test, **task.described(),
        "times": None if data["test"].times is None else np.asarray(data["test"].times).tolist(),
    }  # fmt: skip


def recipe(who: Contestant, suite: Suite, task: SuiteTask) -> dict[str, Any]:
    """How a contestant is trained, besides its own choices: a row of another recipe is made again."""
    if who.name in readers.METHODS.get(task.track, ()):
        return readers.recipe(who.name)
    if not who.seeded:
        return {}
    family = who.name.partition(":")[0]
    return {
        "epochs": task.epochs,
        "network": dict(task.networks.get(family.partition(" ")[0], {})) | dict(task.networks.get(family, {})),
        "training": dict(suite.training.get(family, {})),
    }


def current(path: Path, hashes: dict[str, str], made_by: dict[str, Any]) -> bool:
    """Whether a row is there, of these data, judged by this code and trained like this."""
    if not path.exists():
        return False
    row = json.loads(path.read_text())
    same = row.get("data") == hashes and row.get("judges") == judges_hash() and row.get("recipe") == made_by
    return same and "failed" not in row


def rows_of(folder: str | Path, task: SuiteTask, suite: Suite) -> list[dict]:
    """Rows of a task that are there, but for those of contestants that cannot take part. Rows without hashes, or of other data
    or judges than the rest, are refused.

    Raises
    ------
    DataError : a row that may not stand beside the others.
    """
    about_path = Path(folder) / task.label / "data.json"
    if not about_path.exists():
        return []
    hashes = json.loads(about_path.read_text())["hashes"]
    rows = []
    for path in sorted((Path(folder) / task.label).glob("*.json")):
        if path.name == "data.json":
            continue
        row = json.loads(path.read_text())
        if "cannot" in row or not takes_part(row["contestant"], suite, task):
            continue
        wanted = recipe(Contestant(row["contestant"], row["kind"], row["kind"] in ("network", "peer")), suite, task)
        if row.get("data") != hashes or row.get("judges") != judges_hash() or row.get("recipe") != wanted:
            raise DataError(
                given=f"{path.name} of {task.label}, with hashes {row.get('data')}, {row.get('judges')}, {row.get('recipe')}",
                needed="the hashes of the data and of the judging code at hand, and the suite's recipe",
                remedy=f"Run it again: python -m benchmarks run {suite.name}.",
            )
        rows.append(row)
    return rows


# -- one row ----------------------------------------------------------------------------------------------------------


def row(job: Job) -> dict[str, Any]:
    """Train, answer, judge, store. Errors of the contestant become a row that says so; they count as the ceiling."""
    import torch

    torch.set_num_threads(1)
    suite = load(job.suite)
    task, folder = suite[job.task], Path(job.folder)
    data = task.data(folder / "data", there=True)
    hashes = {name: part.fingerprint() for name, part in data.items()}
    head = {
        "task": task.label, "track": task.track, "primary": scoring.PRIMARY[task.track], "contestant": job.contestant.name,
        "kind": job.contestant.kind, "seed": job.seed, "data": hashes, "judges": judges_hash(),
        "recipe": recipe(job.contestant, suite, task),
    }  # fmt: skip
    try:
        out = head | _measured(job, suite, task, data)
    except UserError as error:  # it says itself that it cannot: that is no failure, and no row of the table
        out = head | {"cannot": " ".join(str(error).split())[:300]}
    except Exception as error:  # what fails must be seen in the table, and must not stop the others
        out = head | {"failed": " ".join(str(error).split())[:300], "traceback": traceback.format_exc()}
    write_bytes(job.stem.with_suffix(".json"), json.dumps(out | {"made": circumstances()}, indent=1).encode())
    return out


def _measured(job: Job, suite: Suite, task: SuiteTask, data: dict[str, Dataset]) -> dict[str, Any]:
    operator, training = trained(job, suite, task, data)
    found, judged, equations = {}, {}, {}
    for where in ("test", *ELSEWHERE):
        if where not in data:
            continue
        part = data[where]
        try:
            asked = scoring.question(task, operator, part)
            found[where] = scoring.answer(operator, asked).astype(np.float32)
        except UserError as error:
            judged[where] = {"missing": " ".join(str(error).split())[:200]}
            if where == "test":
                raise
            continue
        true = scoring.truth(task, part)
        times = None if part.times is None else np.asarray(part.times)
        scored = scoring.scores(task, found[where], true, part.grid, times)
        words = readers.equations_of(operator, asked.inputs) if task.track == "symbolic" else None
        if words is not None:
            scored, equations[where] = scored | systems.judged(words, part), words
        judged[where] = {name: [float(f"{v:.7g}") for v in values] for name, values in scored.items()}
        if where == "test" and task.track in scoring.FIELDS:
            judged["spectrum"] = [float(v) for v in scoring.spectra(found[where], part.grid)]
            judged["true spectrum"] = [float(v) for v in scoring.spectra(true, part.grid)]
    if inverse.takes(task, operator) and job.seed == FIRST_SEED:
        found_in = inverse.recovered(operator, data["train"], data["test"])
        judged["inverse"] = {name: [float(f"{v:.5g}") for v in values] for name, values in found_in.items()}
    storage.write_arrays(
        job.stem.with_suffix(".safetensors"),
        found,
        {"task": task.label, "contestant": job.contestant.name} | ({"equations": equations} if equations else {}),
    )
    if job.contestant.seeded:
        operator.save(operator_path(job))
    return {"parameters": operator.parameter_count, "training": training, "scores": judged}


def trained(job: Job, suite: Suite, task: SuiteTask, data: dict[str, Dataset]) -> tuple[Any, dict[str, Any]]:
    """The fitted contestant, and what its training cost."""
    import torch

    import sciml

    sample = as_task(task.kind, data["train"])
    channels = len(sample.signature.inputs), len(sample.signature.outputs)
    torch.manual_seed(job.seed)  # modules of others draw their weights when they are made
    untrained: Any = made(job.contestant.name, suite, task, channels, job.seed)
    if job.contestant.name in readers.METHODS.get(task.track, ()) and job.contestant.kind != "trivial":
        untrained.bind(sample)  # nothing to train; PROSE comes trained
        return untrained, {"seconds": readers.training_seconds(job.contestant.name), "epochs": 0}
    if isinstance(untrained, ClassicalSolver):
        untrained.bind(as_task("trajectory" if task.track == "rollout" else task.kind, data["test"]))
        return untrained, {"seconds": 0.0, "epochs": 0}
    options: dict[str, Any] = {"progress": False, "task": kind_for(untrained, task), "seed": job.seed, "validation": False}
    if job.contestant.seeded:
        how = recipe(job.contestant, suite, task)
        options |= {"epochs": how["epochs"], "validation": data["validation"]} | how["training"]
    result = finished(sciml.fit(untrained, data["train"], **options))
    return result.operator, {"seconds": result.seconds, "epochs": len(result.history), "validation": result.best}


def kind_for(operator: Any, task: SuiteTask) -> str:
    """The task that a contestant is trained on: of roll-outs, operators with a memory learn whole trajectories."""
    takes = getattr(operator, "takes", None)
    remembers = task.track == "rollout" and takes is not None and task.kind not in takes and "forecast" in takes
    return "forecast" if remembers else task.kind


def operator_path(job: Job) -> Path:
    """Where the trained operator lies."""
    return job.stem.parent / "operators" / f"{job.stem.name}.safetensors"


# -- many rows --------------------------------------------------------------------------------------------------------


def _done(jobs: Sequence[Job], workers: Any) -> Iterator[tuple[Job, dict]]:
    if hasattr(workers, "submit") and hasattr(workers, "scheduler_info"):  # a Dask client
        from dask.distributed import as_completed

        futures = {workers.submit(row, job, pure=False): job for job in jobs}
        for future in as_completed(list(futures)):
            yield futures[future], future.result()
    elif workers == 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, row(job)
    else:
        context = multiprocessing.get_context("spawn")
        with environment(ONE_THREAD), concurrent.futures.ProcessPoolExecutor(int(workers), mp_context=context) as pool:
            futures = {pool.submit(row, job): job for job in jobs}
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()


# -- times ------------------------------------------------------------------------------------------------------------


def timed(suite: Suite, source: str, folder: Path, tasks: Sequence[SuiteTask], only: Sequence[str], say: Callable) -> None:
    """Times and memory of one answer and of a batch, one contestant after another, one thread; kept in the rows of the first
    seed."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for task in tasks:
            data = task.data(folder / "data")
            for who in roster(suite, task):
                job = Job(source, task.label, who, FIRST_SEED, str(folder))
                path = job.stem.with_suffix(".json")
                if (only and who.name not in only) or not path.exists():
                    continue
                stored = json.loads(path.read_text())
                if "cost" in stored or "failed" in stored or "cannot" in stored:
                    continue
                stored["cost"] = cost(task, operator_of(job, suite, task, data), data["test"])
                write_bytes(path, json.dumps(stored, indent=1).encode())
            say(f"{task.label}: timed")
    finally:
        torch.set_num_threads(before)


def operator_of(job: Job, suite: Suite, task: SuiteTask, data: dict[str, Dataset]) -> Any:
    """The trained contestant of a row."""
    import sciml

    if not job.contestant.seeded:  # made in no time
        return trained(job, suite, task, data)[0]
    if job.contestant.kind == "peer":
        sample = as_task(task.kind, data["train"]).signature
        return sciml.load(
            operator_path(job), module=made(job.contestant.name, suite, task, (len(sample.inputs), len(sample.outputs)))
        )
    return sciml.load(operator_path(job))


def cost(task: SuiteTask, operator: Any, data: Dataset) -> dict[str, Any]:
    """Seconds of a whole answer (of a roll-out, all its steps) for one sample alone and per sample of a batch, transfers
    included, MiB that the batch adds at its peak (Linux), and operations of one answer (see `flops`)."""
    from sciml.timing import median_seconds

    batch = scoring.question(task, operator, data).first(BATCH.get(task.track, 32))
    resident = _memory("VmRSS")
    _forget_peak()
    scoring.answer(operator, batch)
    found = {"mib": None if resident is None else _memory("VmHWM") - resident, "batch": len(batch.inputs), "threads": 1}
    for name, part in (("seconds_single", batch.first(1)), ("seconds_batch", batch)):
        call = lambda part=part: scoring.answer(operator, part)  # noqa: E731
        found[name] = median_seconds(call, repeats=11, warmup=1, budget=0.5) / len(part.inputs)
    return found | {"flops": flops.counted(operator, batch)}


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _memory(field: str) -> Any:
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        return None
