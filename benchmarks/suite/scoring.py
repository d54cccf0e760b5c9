"""How answers are judged: per-sample errors of maps and roll-outs, on the test set and elsewhere.

Errors of a map are those of `sciml.metrics.CORE`. A roll-out starts from the first frame and is judged at every later one; it
ranks by the geometric mean of its errors over steps 1 to 100, each at most `rollout.CEILING`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.suite import systems
from benchmarks.suite.tasks import SuiteTask
from pdes import Dataset
from sciml.metrics import CORE, measure, rollout, spectral
from sciml.operator import Operator
from sciml.tasks import as_task, task_of
from solvers.grid import Grid

FIELDS = ("map", "rollout")
"""Tracks whose answers are fields on a grid."""
PRIMARY = {"map": "relative_l2", "rollout": "rollout", "symbolic": "clean [2,6]", "which": "brier"}
WINDOWS = ((6, 12), (13, 30))


def trajectories(data: Dataset) -> np.ndarray:
    """True frames after the first, (item, step, channel, *space), float64, channels in the order of the fields."""
    parts = []
    for name in data.fields:
        values = np.asarray(data.fields[name][:, 1:], np.float64)
        parts.append(np.moveaxis(values, -1, 2) if data.fields[name].dims[-1] == "component" else values[:, :, None])
    return np.concatenate(parts, axis=2)


def truth(task: SuiteTask, data: Dataset) -> np.ndarray:
    """(item, channel, *space) of a map, (item, step, channel, *space) of a roll-out."""
    if task.track in systems.TRACKS:
        return systems.truth(task, data)
    if task.track == "map":
        return as_task(task.kind, data).all().targets.astype(np.float64)
    return trajectories(data)


@dataclass(frozen=True)
class Question:
    """What an operator is asked: inputs (item, channel, *space), of a roll-out those of its first step; steps of the roll-out,
    0 for a map; and where it must answer if that is not where it was trained."""

    inputs: np.ndarray
    steps: int
    where: Mapping[str, Any]

    def first(self, items: int) -> "Question":
        """Of the first items only."""
        return replace(self, inputs=self.inputs[:items])


def question(task: SuiteTask, operator: Operator, data: Dataset) -> Question:
    """The question that a dataset puts to a bound operator."""
    own = task_of(operator.bound_signature, data)
    if task.track in systems.TRACKS:
        return Question(own.all().inputs, 0, {})
    if own.kind == "forecast":  # an operator with a memory: from the first frame on
        return Question(own.all().inputs[:, :, :1], len(np.asarray(data.times)) - 1, own.elsewhere(operator))
    if own.kind == "autoregressive":
        return Question(own.batch(np.arange(len(data)) * (len(own) // len(data))).inputs, len(np.asarray(data.times)) - 1, {})
    return Question(
        own.all().inputs, len(np.asarray(data.times)) - 1 if task.track == "rollout" else 0, own.elsewhere(operator)
    )


def answer(operator: Operator, asked: Question) -> np.ndarray:
    """What it answers, shaped as `truth`. Numbers that are not finite stay."""
    with np.errstate(all="ignore"):
        if asked.steps and operator.bound_signature.kind == "autoregressive":
            return np.asarray(operator.rolled_out(asked.inputs, asked.steps))
        if operator.bound_signature.kind == "forecast":
            return np.asarray(operator.continued(asked.inputs, asked.steps, **asked.where))
        found = np.asarray(operator.predict(asked.inputs, **asked.where))
        # all frames at once (a classical solver is not begun anew at each): channels are (time, field)
        return found.reshape(len(found), asked.steps, -1, *found.shape[2:]) if asked.steps else found


def scores(task: SuiteTask, found: np.ndarray, true: np.ndarray, grid: Grid, times: np.ndarray | None) -> dict[str, Any]:
    """Name -> (item,) errors; of roll-outs also "curve", the mean over items by step, and "correlation curve"."""
    if task.track in systems.TRACKS:
        assert times is not None
        return systems.scores(task, found, true, times)
    if task.track == "map":
        return _finite(measure(found, true, grid, CORE))
    by_step = rollout.nrmse_by_step(found, true)
    out: dict[str, Any] = {"rollout": rollout.geometric_mean(by_step), "one_step": np.minimum(by_step[:, 0], rollout.CEILING)}
    out |= {f"steps {a}-{b}": rollout.window(by_step, a, b) for a, b in WINDOWS if by_step.shape[1] >= b}
    out["blown_up"] = rollout.blown_up(by_step).astype(float)
    assert times is not None
    out["correlation_time"] = rollout.correlation_time(found, true, times[1:])
    out["stability_horizon"] = rollout.stability_horizon(found, true, times[1:])
    out["histogram"] = np.minimum(rollout.histogram_distance(found, true), rollout.CEILING)
    last = _finite(measure(np.nan_to_num(found[:, -1], nan=1e6, posinf=1e6, neginf=-1e6), true[:, -1], grid, CORE))
    out |= {f"last {name}": values for name, values in last.items()}
    out["curve"] = np.minimum(by_step, rollout.CEILING).mean(0)
    out["correlation curve"] = rollout.correlation_by_step(found, true).mean(0)
    return out


def _finite(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Errors that are not finite count as the ceiling; names without a value on this grid are left out."""
    kept = {name: v for name, v in values.items() if not (name.endswith("boundary") and np.isnan(v).all())}
    return {name: np.nan_to_num(v, nan=rollout.CEILING, posinf=rollout.CEILING) for name, v in kept.items()}


def spectra(found: np.ndarray, grid: Grid) -> np.ndarray:
    """Mean energy by shell of |k| over items, of a roll-out its last frame."""
    last = found if found.ndim == grid.dimension + 2 else found[:, -1]
    with np.errstate(all="ignore"):
        return spectral.shells(np.nan_to_num(np.asarray(last, np.float64)), grid).mean(0)
