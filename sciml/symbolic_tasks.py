"""The task of models that know equations: the first frames of a trajectory to the rest, with the system's words beside them.

    continuation     frames 0 ... G - 1 to frames G ... T - 1, (item, component, time), or (item, 1, time, point) of a field

A batch also holds the system as ids of words, where it is known: from an input or latent "equation" of the dataset
(`pdes.windows`, `pdes.field_windows`), or from the equation and parameters of the problem that the dataset was generated from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pdes.vocabulary import BOS, EOS, ID, padded
from sciml.tasks import Batch, _channels, _need_time, _numbers, _pick, _read, _stack
from sciml.time_tasks import _InTime
from solvers.errors import DataError, SettingError

EQUATION = "equation"
"""Name of the input, or latent, with ids of words, (sample, length)."""


@dataclass(frozen=True)
class SymbolicBatch(Batch):
    """A batch with the systems of its items: ids `BOS ... EOS`, padded, (item, length); no columns where they are not known."""

    equations: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))


class Continuation(_InTime):
    """The rest of a trajectory from its first frames.

    Parameters
    ----------
    outputs : names of the fields; by default all in time. On a point: components of one state. On a line: one field.
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
        outs = _channels(dataset.fields, self._outputs)
        if dataset.grid.dimension > 1 or (dataset.grid.dimension and len(outs) > 1):
            raise DataError(
                given=f"{', '.join(outs)} over {', '.join(dataset.grid.names)}",
                needed="states of ordinary equations, or one field on a line",
                remedy="Name one field, outputs=('u',), or use task='trajectory' or 'autoregressive'.",
            )
        self._equations = _equations(dataset, self._outputs)
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


def _equations(dataset, outputs: Sequence[str]) -> np.ndarray:
    """Ids of the systems of all samples, (sample, length)."""
    for where in (dataset.inputs, dataset.latent):
        if EQUATION in where:
            return np.asarray(where[EQUATION][...]).astype(np.int64)
    text = dataset.provenance.get("equation")
    if not isinstance(text, str) or dataset.provenance.get("solver") is None:
        return np.zeros((len(dataset), 0), np.int64)
    from pdes.canonical import canonical, right_hand_sides
    from pdes.equation import Equation
    from pdes.field_words import field_sides, observed
    from pdes.windows import Family

    try:
        equation = Equation(text, dimension=dataset.grid.dimension)
        if dataset.grid.dimension and outputs[0] != observed(equation):
            return np.zeros((len(dataset), 0), np.int64)
        system = canonical(field_sides(equation) if dataset.grid.dimension else right_hand_sides(equation))
    except SettingError:  # a system that has no words: forecasts are learned without
        return np.zeros((len(dataset), 0), np.int64)
    kind = Family("", system, dict.fromkeys(equation.parameters), {}, (), np.inf)
    parameters = {name: np.asarray(dataset.parameters[name][...], float) for name in equation.parameters}
    rows = kind.ids(kind.constants(parameters, len(dataset)))
    return padded([[ID[BOS], *row, ID[EOS]] for row in rows])
