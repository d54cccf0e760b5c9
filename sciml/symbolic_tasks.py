"""The task of models that know equations: the first frames of a trajectory to the rest, with the system's words beside them.

    continuation     frames 0 ... G - 1 to frames G ... T - 1, (item, component, time)

A batch also holds the system as ids of words, where it is known: from an input "equation" of the dataset (`pdes.windows`), or
from the equation and parameters of the problem that the dataset was generated from.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pdes.vocabulary import BOS, EOS, ID, padded
from sciml.tasks import Batch, _channels, _need_time, _numbers, _pick, _read, _stack
from sciml.time_tasks import _InTime
from solvers.errors import DataError, SettingError

EQUATION = "equation"
"""Name of the input with ids of words, (sample, length)."""


@dataclass(frozen=True)
class SymbolicBatch(Batch):
    """A batch with the systems of its items: ids `BOS ... EOS`, padded, (item, length); no columns where they are not known."""

    equations: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))


class Continuation(_InTime):
    """The rest of a trajectory from its first frames.

    Parameters
    ----------
    outputs : names of the fields; by default all in time. On a point: components of one state.
    given : number of frames that are given; by default a third.
    """

    kind = "continuation"
    metrics = ("relative_l2", "rmse", "max_error")

    def __init__(self, dataset, *, inputs=None, outputs=None, given: int | None = None):
        super().__init__(dataset, inputs=inputs, outputs=outputs, given=given)
        _need_time(dataset, self.kind)
        self._outputs = _pick([n for n, a in dataset.fields.items() if "time" in a.dims], outputs, "field in time")
        frames = len(dataset.times)
        self._given = max(1, frames // 3) if given is None else given
        if not 1 <= self._given < frames:
            raise SettingError(
                given=f"given={self._given} of {frames} frames", needed=f"1 to {frames - 1}", remedy="Change `given`."
            )
        if dataset.grid.dimension:
            raise DataError(
                given=f"fields over {', '.join(dataset.grid.names)}", needed="states of ordinary equations, without space",
                remedy="Use task='trajectory' or 'autoregressive'.",
            )  # fmt: skip
        self._equations = _equations(dataset)
        outs = _channels(dataset.fields, self._outputs)
        self.signature = self._signature(outs, outs, self._given)

    @classmethod
    def carried(cls, signature) -> dict[str, Any]:
        return {}

    @classmethod
    def choices(cls, signature):
        return {"given": signature.grid.shape[0]}

    def batch(self, items):
        items = _numbers(items)
        frames = [_read(self.dataset.fields[name], items) for name in self._outputs]
        x, y = [f[:, :, : self._given] for f in frames], [f[:, :, self._given :] for f in frames]
        return SymbolicBatch(_stack(x), _stack(y), items, equations=self._equations[items])


def _equations(dataset) -> np.ndarray:
    """Ids of the systems of all samples, (sample, length)."""
    if EQUATION in dataset.inputs:
        return np.asarray(dataset.inputs[EQUATION][...]).astype(np.int64)
    text = dataset.provenance.get("equation")
    if not isinstance(text, str) or dataset.provenance.get("solver") is None:
        return np.zeros((len(dataset), 0), np.int64)
    from pdes.canonical import canonical, right_hand_sides
    from pdes.equation import Equation
    from pdes.windows import Family

    try:
        equation = Equation(text, dimension=0)
        system = canonical(right_hand_sides(equation))
    except SettingError:  # a system that has no words: forecasts are learned without
        return np.zeros((len(dataset), 0), np.int64)
    kind = Family("", system, dict.fromkeys(equation.parameters), {}, (), np.inf)
    parameters = {name: np.asarray(dataset.parameters[name][...], float) for name in equation.parameters}
    rows = kind.ids(kind.constants(parameters, len(dataset)))
    return padded([[ID[BOS], *row, ID[EOS]] for row in rows])
