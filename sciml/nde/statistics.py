"""What a solve reports, the same for both libraries."""

from typing import Any, NamedTuple

import numpy as np


class Statistics(NamedTuple):
    """Of one solve; in per-sample batching each entry has a leading axis (item,).

    evaluations : of f in this solve, forward (NFE).   accepted, rejected : steps.
    starts, steps : (step,) times where accepted steps began, and their sizes h_j.
    errors, stiffness : (step,) E_j and S_j (zeros where R_S is not asked for); differentiable at frozen steps.
    valid : (step,) False in the unused part of a history of fixed length.
    regularisers : values by name, differentiable at frozen steps.
    """

    evaluations: Any
    accepted: Any
    rejected: Any
    starts: Any
    steps: Any
    errors: Any
    stiffness: Any
    valid: Any
    regularisers: dict[str, Any]

    def history(self, name: str) -> np.ndarray:
        """`starts`, `steps`, `errors` or `stiffness` of a coupled solve as a plain array of the accepted steps."""
        values, valid = (_plain(getattr(self, field)) for field in (name, "valid"))
        return values[valid]

    def summary(self) -> dict[str, float]:
        """Plain numbers for a log: means over items where there are several."""
        counts = {name: float(_plain(getattr(self, name)).mean()) for name in ("evaluations", "accepted", "rejected")}
        return counts | {name: float(_plain(value).mean()) for name, value in self.regularisers.items()}


def _plain(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
