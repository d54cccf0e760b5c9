"""Fill a folder with rows: every contestant of every task, trained, scored where it was trained and elsewhere, then timed.

    <folder>/data/<task>.h5                         data, kept between runs
    <folder>/<task>/<contestant>-<seed>.json        a row: hashes, scores of every sample, costs
    <folder>/<task>/<contestant>-<seed>.safetensors what it answered
    <folder>/<task>/operators/...                   trained operators, which are timed when all else is done

A finished row is not made again, unless the data or the judging code have changed. Jobs run side by side, one thread each;
timings are made afterwards, one at a time.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.contestants import Contestant, roster, takes_part
from benchmarks.suite.parallel import done
from benchmarks.suite.row import FIRST_SEED, Job, recipe, row
from benchmarks.suite.tasks import Suite, SuiteTask, judges_hash, load
from benchmarks.suite.timing import timed
from pdes import Dataset
from solvers.errors import DataError, unknown_name
from solvers.files import write_bytes


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
    folder, began = Path(folder), time.perf_counter()
    jobs: list[Job] = []
    if isinstance(workers, int) and 1 < workers <= len(chosen):  # side by side: small tasks are all start-up and compiling
        for _ in done(with_data, [(source, task.label, str(folder)) for task in chosen], workers):
            pass
    for task in chosen:
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
    for job, found in done(row, jobs, workers):
        if "failed" in found or "cannot" in found:
            say(f"{job.task}  {job.contestant.name}  seed {job.seed}: {found.get('failed') or found['cannot']}")
        else:
            error = float(np.mean(found["scores"]["test"][found["primary"]]))
            say(f"{job.task}  {job.contestant.name}  seed {job.seed}: {error:.4g} ({found['training']['seconds']:.0f} s)")
    if timing:
        timed(suite, source, folder, chosen, contestants, say)
    return {task.label: rows_of(folder, task, suite) for task in chosen}


def with_data(place: tuple[str, str, str]) -> dict[str, Any]:
    """Make the data of a task (of suite, label, folder) that are not there."""
    source, label, folder = place
    load(source)[label].data(Path(folder) / "data")
    return {}


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
