"""What a solve returns: values, statistics per sample, and a named outcome per sample.

A batch is never half-raised: each sample carries a code, and `values_or_raise` raises once, after the batch, naming
the samples that failed and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from solvers.errors import SolverError


class Outcome(IntEnum):
    """How a sample's solve ended."""

    SUCCESS = 0
    NOT_CONVERGED = 1
    BLOW_UP = 2
    STEP_BOUND = 3
    NOT_PHYSICAL = 4


_ADVICE = {
    Outcome.NOT_CONVERGED: (
        "the iteration limit was reached",
        "Raise `max_iterations`, loosen `tolerance`, or check the coefficient.",
    ),
    Outcome.BLOW_UP: ("the solution became infinite or NaN", "Take a smaller time step, a finer grid, or more viscosity."),
    Outcome.STEP_BOUND: ("the time step violates the stability bound", "Take a smaller time step."),
    Outcome.NOT_PHYSICAL: (
        "no step, however short, kept density and pressure (or depth) positive",
        "Take a finer grid, the MUSCL reconstruction with Rusanov's flux, or milder states.",
    ),
}


@dataclass(frozen=True)
class Result:
    """Fields of a solve and the record of how they came about.

    values : (sample, ...) NumPy array, float64 unless the solver was asked otherwise.
    outcome : (sample,) of `Outcome` codes.
    stats : per-sample arrays, e.g. "iterations", "residual", "steps".
    """

    values: np.ndarray
    outcome: np.ndarray
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Every sample was solved."""
        return bool(np.all(self.outcome == Outcome.SUCCESS))

    def values_or_raise(self) -> np.ndarray:
        """The values, or one `SolverError` that names the failed samples."""
        failed = np.flatnonzero(self.outcome != Outcome.SUCCESS)
        if failed.size:
            cause, remedy = _ADVICE[Outcome(int(self.outcome[failed[0]]))]
            shown = ", ".join(map(str, failed[:8])) + (", …" if failed.size > 8 else "")
            raise SolverError(
                given=f"a solve in which {cause} for {failed.size} of {len(self.outcome)} samples (indices {shown})",
                needed="every sample solved",
                remedy=remedy,
            )
        return self.values
