"""The training of a suite's networks and peers, chosen for each by validation error, all from the same few settings.

The suite's file says which (`[tuning]`): the tasks, and values of options of `sciml.fit`, of which every combination is tried
once with the first seed. A network is judged on validation data by the measure that ranks the task (a roll-out by its errors
over all steps: the error of one step does not tell which networks blow up); its score is the geometric mean over those tasks
that it takes. The best setting goes into `[training.<network>]` of the file, for all tasks. Test data are not looked at.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import sciml
from benchmarks.rows import Rows
from benchmarks.suite import scoring
from benchmarks.suite.contestants import roster
from benchmarks.suite.parallel import done
from benchmarks.suite.row import FIRST_SEED, Job, trained
from benchmarks.suite.tasks import Suite, SuiteTask, load
from pdes import Dataset
from sciml.operator import Operator
from solvers.errors import SettingError, UserError


@dataclass(frozen=True)
class Trial:
    """One network on one task with one setting."""

    job: Job
    setting: tuple[tuple[str, Any], ...]

    @property
    def key(self) -> str:
        """Name of its row."""
        return f"{self.job.contestant.name}, {self.job.task}, " + ", ".join(f"{k} {v:g}" for k, v in self.setting)


def called(name: str) -> str:
    """What `[training]` calls a network: "fno" for "fno:tiny"; a peer by its whole name."""
    return name.partition(":")[0]


def trials(suite: Suite, source: str, folder: str | Path) -> list[Trial]:
    """All that the suite's file asks for.

    Raises
    ------
    SettingError : no `[tuning]`, or one without tasks or with options that `sciml.fit` does not have.
    """
    options = {k: v for k, v in suite.tuning.items() if k != "tasks"}
    known = inspect.signature(sciml.fit).parameters
    wrong = [k for k, v in options.items() if k not in known or not isinstance(v, list) or not v]
    if not suite.tuning.get("tasks") or not options or wrong:
        raise SettingError(
            given=f"suite {suite.name!r} with [tuning] of {dict(suite.tuning) or 'nothing'}",
            needed="a list of tasks, and lists of values of options of sciml.fit" + (f", not {wrong}" if wrong else ""),
            remedy='Give its file [tuning] with tasks = ["darcy"], lr = [1e-3, 1e-2].',
        )
    settings = [tuple(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    jobs = [
        Job(source, task.label, who, FIRST_SEED, str(folder))
        for task in (suite[name] for name in suite.tuning["tasks"])
        for who in roster(suite, task)
        if who.seeded and who.name in (*suite.networks, *suite.peers)
    ]
    return [Trial(job, setting) for job in jobs for setting in settings]


def tried(trial: Trial) -> dict[str, Any]:
    """The row of a trial: its validation error, or why there is none."""
    import torch

    torch.set_num_threads(1)
    job, setting = trial.job, dict(trial.setting)
    suite = load(job.suite)
    suite = replace(suite, training=dict(suite.training) | {called(job.contestant.name): setting})
    task = suite[job.task]
    data = task.data(Path(job.folder) / "data", there=True)
    row: dict[str, Any] = {"network": job.contestant.name, "task": job.task, "setting": setting}
    try:
        operator, training = trained(job, suite, task, data)
        error = judged(operator, task, data["validation"])
    except UserError as error:
        return row | {"cannot": " ".join(str(error).split())[:200]}
    except Exception as error:  # a setting at which a network breaks is not chosen
        return row | {"failed": " ".join(str(error).split())[:200]}
    return row | {"validation": error, "seconds": round(training["seconds"], 1)}


def judged(operator: Operator, task: SuiteTask, data: Dataset) -> float:
    """Mean of the task's ranking measure over a dataset."""
    found = scoring.answer(operator, scoring.question(task, operator, data))
    times = None if data.times is None else np.asarray(data.times)
    return float(np.mean(scoring.scores(task, found, scoring.truth(task, data), data.grid, times)[scoring.PRIMARY[task.track]]))


def tune(suite: Suite, source: str, folder: str | Path, workers: int, say: Callable[[str], Any] = print) -> Rows:
    """Try what is missing in `suite_<name>_tuning` of the results; returns its rows."""
    wanted = trials(suite, source, folder)
    for name in suite.tuning["tasks"]:
        suite[name].data(Path(folder) / "data", workers)
    epochs = {suite[name].label: suite[name].epochs for name in suite.tuning["tasks"]}
    rows = Rows(f"suite_{suite.name}_tuning", {"tuning": dict(suite.tuning), "epochs": epochs, "seed": FIRST_SEED})
    for trial, found in done(tried, [t for t in wanted if t.key not in rows], workers):
        say(f"{trial.key}: {found.get('validation') or found.get('cannot') or found.get('failed')}")
        rows.add(trial.key, found)
    return rows


def scores(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[tuple[float, dict]]]]:
    """For each network its settings from best to worst, with the geometric mean of validation errors (infinite where one
    training failed)."""
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == name and "cannot" not in row]
        found = []
        for setting in {tuple(row["setting"].items()): None for row in mine}:
            errors = [row.get("validation", np.inf) for row in mine if tuple(row["setting"].items()) == setting]
            found.append((float(np.exp(np.mean(np.log(errors)))), dict(setting)))
        if found:
            yield name, sorted(found, key=lambda pair: pair[0])


def chosen(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict]:
    """The best setting by the name that `[training]` has; none for a network that fails with all of them."""
    return {called(name): found[0][1] for name, found in scores(rows) if np.isfinite(found[0][0])}
