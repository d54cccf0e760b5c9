"""Preconditioned conjugate gradients for symmetric positive definite operators given as functions of arrays.

The directions follow Polak and Ribiere, beta = (r - r_old, z) / (r_old, z_old), which keeps converging when the preconditioner
is not exactly symmetric or changes from step to step (flexible conjugate gradients). What cannot be trusted, a learned
preconditioner, say, may come with a `rescue`: another one that takes over where the first one fails.

References: Hestenes, Stiefel, J. Res. NBS 49 (1952); Notay, Flexible conjugate gradients, SIAM J. Sci. Comput. 22 (2000).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

STALLED = 20
"""Steps within which a preconditioner that has a rescue must have divided the residual by ten."""


@dataclass
class Solved:
    """What came out.

    values : the solution.   iterations : products with the operator in the iteration.
    residual : |f - A u| / |f|, computed anew from the solution.   history : the same after each step, by recursion.
    rescued : the step from which on the rescue was used, or None.
    """

    values: np.ndarray
    iterations: int = 0
    residual: float = 0.0
    history: list[float] = field(default_factory=list)
    rescued: int | None = None


def conjugate_gradients(
    operator: Callable[[np.ndarray], np.ndarray],
    precondition: Callable[[np.ndarray], np.ndarray],
    f: np.ndarray,
    *,
    tolerance: float = 1e-8,
    limit: int = 200,
    singular: bool = False,
    start: np.ndarray | None = None,
    rescue: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Solved:
    """Solve A u = f until the true relative residual is below the tolerance; restarted if rounding lets it drift.

    Ends as well when a restart no longer halves the true residual: it is then at the rounding of A u.

    Parameters
    ----------
    operator : u -> A u, symmetric positive (semi-)definite, for arrays like f.
    precondition : r -> about A^-1 r.
    limit : of the number of steps.   singular : constants are in A's kernel; the answer has mean zero.
    start : first guess.
    rescue : preconditioner that replaces the first one for good once that gives something not finite or not positive,
        (r, z) <= 0, or has not divided the residual by ten within `STALLED` steps.
    """
    size = norm(f)
    u = np.zeros_like(f) if start is None else start.astype(f.dtype)
    solved = Solved(u)
    if size == 0:
        solved.values = np.zeros_like(f)
        return solved
    r = f.copy() if start is None else f - operator(u)
    reached = np.inf
    while solved.iterations < limit and norm(r) > tolerance * size:
        precondition, z = _trusted(precondition, rescue, r, solved)
        rescue = None if precondition is rescue else rescue
        p, rz = z.copy(), _dot(r, z)
        goal = 0.5 * tolerance * size
        while solved.iterations < limit:
            q = operator(p)
            step = rz / _dot(p, q)
            u += step * p
            previous = r
            r = r - step * q
            solved.iterations += 1
            solved.history.append(norm(r) / size)
            if norm(r) <= goal:
                break
            if rescue is not None:
                kept = precondition
                precondition, z = _trusted(precondition, rescue, r, solved)
                if precondition is not kept:  # directions of the failed one are dropped
                    rescue, p, rz = None, z.copy(), _dot(r, z)
                    continue
            else:
                z = precondition(r)
            turn = _dot(r - previous, z) / rz
            rz = _dot(r, z)
            p *= turn
            p += z
        r = f - operator(u)
        if norm(r) <= tolerance * size or norm(r) > 0.5 * reached:
            break
        reached = norm(r)
    solved.values = u - u.mean() if singular else u
    solved.residual = float(norm(r) / size)
    return solved


def _trusted(precondition: Callable, rescue: Callable | None, r: np.ndarray, solved: Solved) -> tuple[Callable, np.ndarray]:
    """The preconditioner to go on with, and what it makes of r."""
    if rescue is None:
        return precondition, precondition(r)
    done = solved.history
    stalled = len(done) >= STALLED and done[-1] > 0.1 * done[-STALLED]
    z = r if stalled else precondition(r)
    if not stalled and np.isfinite(z).all() and _dot(r, z) > 0:
        return precondition, z
    solved.rescued = solved.iterations
    return rescue, rescue(r)


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    """Not by BLAS: its threads would fight those that solve other samples, and its sums depend on their number."""
    return float((x * y).sum())


def norm(x: np.ndarray) -> float:
    """Euclidean norm."""
    return float(np.sqrt(_dot(x, x)))
