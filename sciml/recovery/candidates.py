"""The systems that a search has kept, as a user sees them."""

from dataclasses import dataclass, replace

import numpy as np
import sympy

from sciml.recovery import scores
from sciml.recovery.equations import System
from sciml.recovery.search import Found


@dataclass(frozen=True)
class Candidate:
    """One of the systems that were kept.

    system : its equations.   bic : less is better.   r2 : of the fitted trajectories and the data.   terms : their number.
    """

    system: System
    bic: float
    r2: float
    terms: int

    def equations(self, precision: int | None = None) -> list[sympy.Expr]:
        """Right-hand sides; precision : significant digits, None keeps all."""
        return self.system.equations(precision)


def listed(found: Found, names: tuple[str, ...], inputs: tuple[str, ...], reach: np.ndarray) -> list[Candidate]:
    """Each with its equations and how well it fits. reach : (component,) largest absolute values of the data."""
    batch, shooting = found.batch, found.shooting
    X, _ = shooting.flow(batch)
    candidates = []
    for b in range(len(batch)):
        system = System(shooting.features, batch.C[b], batch.constants[b], names, inputs, reach)
        fit = scores.r2(shooting.y[shooting.mask], X[b][shooting.mask])
        candidates.append(Candidate(system, float(found.bic[b]), fit, system.terms))
    return candidates


def bounded_first(found: Found, names: tuple, inputs: tuple, reach: np.ndarray) -> Found:
    """Candidates that run away when simulated from the first state, as fitted or as smoothed, behind all others."""
    one, failed = found.shooting.recording.trajectories[0], []
    for C, constants, states in zip(found.batch.C, found.batch.constants, found.batch.states, strict=True):
        system = System(found.shooting.features, C, constants, names, inputs, reach)
        starts = (states[0], one.smooth[0])
        failed.append(not all(np.isfinite(system.simulated(s, one.t, one.u if inputs else None)).all() for s in starts))
    order = np.lexsort((found.bic, failed))
    return replace(found, batch=found.batch.pick(order), bic=found.bic[order])
