"""How well equations reproduce trajectories."""

import numpy as np


def r2(truth: np.ndarray, found: np.ndarray) -> float:
    """Coefficient of determination of trajectories (time, component), components weighted by their variance.

    1 - sum (x - y)^2 / sum (x - mean)^2, both sums over all components; scikit-learn's `r2_score(...,
    multioutput="variance_weighted")`. Trajectories that are not finite score -inf.
    """
    if found.shape != truth.shape or not np.isfinite(found).all():
        return -np.inf
    spread = np.sum((truth - truth.mean(axis=0)) ** 2)
    missed = np.sum((truth - found) ** 2)
    return float(1 - missed / spread) if spread > 0 else (1.0 if missed == 0 else -np.inf)


def valid_time(t: np.ndarray, truth: np.ndarray, found: np.ndarray, tolerance: float = 0.4) -> float:
    """How long found stays near truth: the time until |x - y| / rms(x - mean) exceeds `tolerance`; what chaos leaves."""
    size = np.sqrt(np.mean(np.sum((truth - truth.mean(axis=0)) ** 2, axis=1)))
    with np.errstate(invalid="ignore"):
        far = ~(np.linalg.norm(truth - found, axis=1) <= tolerance * size)
    return float(t[np.argmax(far)] - t[0] if far.any() else t[-1] - t[0])


def corrupted(x: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """x (1 + sigma eps), eps standard normal: the noise of ODEBench."""
    return x * (1 + sigma * rng.standard_normal(x.shape))


def thinned(t: np.ndarray, x: np.ndarray, rho: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random share rho of the points left out."""
    if not rho:
        return t, x
    keep = np.sort(rng.choice(len(t), len(t) - round(rho * len(t)), replace=False))
    return t[keep], x[keep]


def term_f1(found: np.ndarray, true: np.ndarray) -> float:
    """F1 of the terms present. found, true : (component, term) coefficients."""
    a, b = found != 0, true != 0
    return float(2 * np.sum(a & b) / max(np.sum(a) + np.sum(b), 1))
