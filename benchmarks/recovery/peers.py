"""PySINDy as a user would call it, and tuned.

Default: `SINDy().fit(x, t)`. Tuned: degrees 1 to 3, five thresholds, plain or smoothed finite differences, the best by
n log(rss / n) + k log n of its own simulation from the smoothed first state, on the noisy data; that is our selection without
our fit. Coefficients are read in full precision (`coefficients()`), not through `equations()`, which rounds.
"""

import itertools

import numpy as np
import sympy

from sciml.recovery.equations import System
from sciml.recovery.features import Features, polynomials
from sciml.recovery.series import record

DEGREES = (1, 2, 3)
THRESHOLDS = (0.005, 0.02, 0.05, 0.1, 0.3)


def pysindy_default(t: np.ndarray, x: np.ndarray):
    """PySINDy as it comes: simulator, equations, number of terms."""

    import pysindy as ps  # pyright: ignore[reportMissingImports]

    model = ps.SINDy()
    model.fit(x, t=t)
    return _result(_system(model.coefficients(), 2, x))


def pysindy_tuned(t: np.ndarray, x: np.ndarray):
    """PySINDy with smoothing, degree and threshold chosen by simulation on the given data, as ours are."""

    import pysindy as ps  # pyright: ignore[reportMissingImports]

    smooth = record(t, x).trajectories[0].smooth
    window = min(15, (len(t) // 4) * 2 - 1)
    kinds = (ps.FiniteDifference(), ps.SmoothedFiniteDifference(smoother_kws={"window_length": window, "polyorder": 3}))
    best, found = np.inf, None
    for degree, threshold, kind in itertools.product(DEGREES, THRESHOLDS, kinds):
        try:
            model = ps.SINDy(
                optimizer=ps.STLSQ(threshold=threshold),
                feature_library=ps.PolynomialLibrary(degree=degree),
                differentiation_method=kind,
            )
            model.fit(x, t=t)
        except (ValueError, np.linalg.LinAlgError):
            continue
        system = _system(model.coefficients(), degree, x)
        simulated = system.simulated(smooth[0], t)
        rss = np.sum(((simulated - x) / x.std(axis=0)) ** 2) if np.isfinite(simulated).all() else np.inf
        score = x.size * np.log(rss / x.size + 1e-12) + system.terms * np.log(x.size)
        if found is None or score < best:
            best, found = score, system
    if found is None:
        raise ValueError("every setting failed")
    return _result(found)


def _system(coefficients: np.ndarray, degree: int, x: np.ndarray) -> System:
    """PySINDy's polynomials are in our order: 1, x0, x1, ..., x0^2, x0 x1, ..."""
    features = Features(polynomials(x.shape[1], degree), x.shape[1])
    names = tuple(f"x{i}" for i in range(x.shape[1]))
    return System(features, np.asarray(coefficients, float), np.empty(0), names, (), np.abs(x).max(axis=0))


def _result(system: System) -> tuple:
    equations: list[sympy.Expr] = system.equations()
    return system.simulated, equations, system.terms
