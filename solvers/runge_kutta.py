"""The classical Runge-Kutta method of order four with fixed steps, in NumPy, for thousands of short trajectories at once.

u' = f(u), f autonomous. Where a few digits suffice and systems are many, there is no compilation to wait for and the work per
sample is small; for tolerances, and for single trajectories, take `solvers.ode`.

Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. Phys. 46, 1901.
"""

from collections.abc import Callable

import numpy as np

from solvers.errors import DataError

CHUNK = 2048  # samples at a time: arrays of a few components stay in cache


def rk4(
    rates: Callable[[np.ndarray], np.ndarray], initial: np.ndarray, times: np.ndarray, substeps: int = 4, limit: float = np.inf
) -> np.ndarray:
    """States at `times`, (sample, time, component).

    Parameters
    ----------
    rates : f, from (component, sample) to (component, sample).
    initial : states at times[0], (sample, component); float32 is computed in float32, everything else in float64.
    times : (time,) increasing.
    substeps : steps between two output times.
    limit : from where a component has left [-limit, limit], or is not finite, on, the trajectory is NaN.

    Raises
    ------
    DataError : shapes or times that do not fit.

    Examples
    --------
    >>> bool(abs(rk4(lambda u: -u, np.ones((1, 1)), np.array([0.0, 0.1]))[0, 1, 0] - np.exp(-0.1)) < 1e-9)
    True
    """
    initial, times = np.asarray(initial), np.asarray(times, np.float64)
    initial = initial if initial.dtype == np.float32 else initial.astype(np.float64)
    if initial.ndim != 2 or times.ndim != 1 or len(times) < 1 or np.any(np.diff(times) <= 0) or substeps < 1:
        raise DataError(
            given=f"initial states of shape {initial.shape}, times of shape {times.shape}, substeps={substeps}",
            needed="(sample, component), increasing times, substeps >= 1",
            remedy="Reshape or sort them.",
        )
    u = np.ascontiguousarray(initial.T)
    out = np.empty((len(times), *u.shape), u.dtype)
    out[0] = u
    with np.errstate(all="ignore"):
        for i, span in enumerate(np.diff(times)):
            h = float(span) / substeps  # a Python number, so that float32 stays float32
            for _ in range(substeps):
                k1 = rates(u)
                k2 = rates(u + (h / 2) * k1)
                k3 = rates(u + (h / 2) * k2)
                k4 = rates(u + h * k3)
                k2 += k3
                k2 *= 2
                k2 += k1
                k2 += k4
                k2 *= h / 6
                u = u + k2
            gone = ~(np.abs(u).max(axis=0) <= limit)
            if gone.any():
                u[:, gone] = np.nan
            out[i + 1] = u
    return np.ascontiguousarray(out.transpose(2, 0, 1))
