"""What words are about: systems of ordinary equations, whose variables are components, or one field on a line.

A network speaks one dialect. It says which of the columns of a window exist, which answers are equations, what a person may get
wrong about one, and which word may come next.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from pdes.canonical import System
from pdes.corruptions import MODES
from pdes.field_words import NEW_TERMS, field_words_of
from pdes.vocabulary import Words, words_of
from sciml.operators.prose.automaton import Automaton, FieldAutomaton


class Dialect(Protocol):
    """See the module. Windows are (item, time, column)."""

    def present(self, states: np.ndarray) -> np.ndarray:
        """Columns of each item that exist, (item,)."""
        ...

    def words(self, ids: Sequence[int], columns: int) -> list[Words]:
        """Words of each equation; a DataError if they are not an answer."""
        ...

    def corrupted(self, system: System, mode: str, rng: np.random.Generator) -> System | None:
        """What is told about a system in a mode of `pdes.corruptions.MODES`."""
        ...

    def automaton(self, valid: torch.Tensor, length: int) -> Automaton:
        """For rows with these columns (row, column)."""
        ...


class States:
    """u_i' = f_i(u_0 ... u_(D-1)): one equation for each component."""

    def present(self, states: np.ndarray) -> np.ndarray:
        """Up to the last component that is not zero throughout."""
        used = np.abs(states).max(axis=1) > 0
        return np.where(used.any(axis=1), states.shape[2] - np.argmax(used[:, ::-1], axis=1), states.shape[2])

    def words(self, ids: Sequence[int], columns: int) -> list[Words]:
        """See `pdes.vocabulary.words_of`."""
        return words_of(ids, columns)

    def corrupted(self, system: System, mode: str, rng: np.random.Generator) -> System | None:
        """Any component may be changed."""
        return MODES[mode](system, rng)

    def automaton(self, valid: torch.Tensor, length: int) -> Automaton:
        """As many equations as columns that exist."""
        return Automaton(valid.sum(1), length)


class Field:
    """u_t = F or u_tt = F of one field; columns are the points of its grid. See `pdes.field_words`."""

    def present(self, states: np.ndarray) -> np.ndarray:
        """All points."""
        return np.full(len(states), states.shape[2])

    def words(self, ids: Sequence[int], columns: int) -> list[Words]:
        """See `pdes.field_words.field_words_of`."""
        return field_words_of(ids)

    def corrupted(self, system: System, mode: str, rng: np.random.Generator) -> System | None:
        """F may be changed, the order in time may not."""
        found = MODES[mode](system[-1:], rng, NEW_TERMS)
        return None if found is None else (*system[:-1], *found)

    def automaton(self, valid: torch.Tensor, length: int) -> Automaton:
        """One equation, or two of which the first is the rate."""
        return FieldAutomaton(len(valid), length, valid.device)
