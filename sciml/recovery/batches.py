"""Candidate equations that are fitted together, as arrays, and which of their constants are free."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Candidates over one set of features, and where their fit stands.

    C : (candidate, component, feature) coefficients.   support : the same shape, which of them are free.
    constants : (candidate, constant) of the features.   states : (candidate, window, component).
    objective : (candidate,) of the last fit.
    """

    C: np.ndarray
    support: np.ndarray
    constants: np.ndarray
    states: np.ndarray
    objective: np.ndarray

    def __len__(self) -> int:
        return len(self.C)

    def pick(self, index) -> "Batch":
        """Some candidates, in the order of `index`."""
        index = np.asarray(index, int)
        return Batch(self.C[index], self.support[index], self.constants[index], self.states[index], self.objective[index])

    @staticmethod
    def join(parts: Sequence["Batch"]) -> "Batch":
        """Several batches as one."""
        names = ("C", "support", "constants", "states", "objective")
        return Batch(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))


@dataclass(frozen=True)
class Free:
    """Free constants of a batch, padded to the most: coefficients first.

    value : (candidate, constant) column among feature values and derivatives by their constants.
    row : (candidate, constant) component of a coefficient, -1 of a feature's constant.   owner : feature.
    used : (candidate, constant) what is not padding.
    """

    value: np.ndarray
    row: np.ndarray
    owner: np.ndarray
    used: np.ndarray


def merged(old: Batch, new: Batch, better: np.ndarray) -> Batch:
    """The new candidates where they are better, else the old."""
    pick = lambda a, b: np.where(better.reshape(-1, *[1] * (a.ndim - 1)), b, a)  # noqa: E731
    names = ("C", "support", "constants", "states", "objective")
    return Batch(*(pick(getattr(old, name), getattr(new, name)) for name in names))
