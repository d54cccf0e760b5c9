"""Times, memory and operations of answers: measured when all rows are there, one contestant after another, one thread."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.suite import flops, scoring
from benchmarks.suite.contestants import made, roster
from benchmarks.suite.row import FIRST_SEED, Job, operator_path, trained
from benchmarks.suite.tasks import Suite, SuiteTask
from pdes import Dataset
from sciml.tasks import as_task
from solvers.files import write_bytes

BATCH = {"symbolic": 4}
"""Samples of a timed batch, where it is not 32: equations take seconds each."""


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
    for name, part, warm in (("seconds_batch", batch, True), ("seconds_single", batch.first(1), False)):
        call = lambda part=part: scoring.answer(operator, part)  # noqa: E731
        found[name] = median_seconds(call, repeats=11, warmup=0 if warm else 1, budget=0.3) / len(part.inputs)
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
