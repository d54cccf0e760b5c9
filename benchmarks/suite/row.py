"""One row: a contestant is trained, answers where it was trained and elsewhere, is judged, and all of it is stored."""

import json
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import circumstances
from benchmarks.rows import finished
from benchmarks.suite import inverse, readers, scoring, systems
from benchmarks.suite.contestants import Contestant, made
from benchmarks.suite.tasks import Suite, SuiteTask, judges_hash, load
from pdes import Dataset
from sciml import storage
from sciml.operators.classical import ClassicalSolver
from sciml.tasks import as_task
from solvers.errors import UserError
from solvers.files import write_bytes

FIRST_SEED = 11
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
        "training": dict(suite.training.get(family, suite.training.get(family.partition(" ")[0], {}))),
    }


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
