"""How long and how well a roll-out follows the truth. Arrays are (item, step, channel, *space), without the given frames.

A roll-out may blow up: values that are not finite count as infinite errors, and are counted, never averaged away.
Sources: APEBench (Koehler et al. 2024) for the geometric mean, The Well (Ohana et al. 2024) for windows, correlation time after
Kochkov et al. 2021.
"""

import numpy as np
from numpy.typing import ArrayLike

TINY = np.finfo(np.float64).tiny
CEILING = 10.0
"""Errors above it are shown as "> 10"; it is what a blow-up counts in a mean."""


def nrmse_by_step(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """<e^2>^(1/2) / <u^2>^(1/2) per channel, averaged over channels, (item, step); infinite where not finite."""
    return _by_step(prediction, truth, np.asarray(truth, np.float64) ** 2)


def vrmse_by_step(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The same over the spatial variance of the truth (plus 1e-7)."""
    u = np.asarray(truth, np.float64)
    spread = (u - u.mean(tuple(range(3, u.ndim)), keepdims=True)) ** 2 if u.ndim > 3 else u * 0.0
    return _by_step(prediction, truth, spread + 1e-7)


def _by_step(prediction: np.ndarray, truth: np.ndarray, squares: np.ndarray) -> np.ndarray:
    space = tuple(range(3, np.ndim(truth)))
    with np.errstate(all="ignore"):
        error = (np.asarray(prediction, np.float64) - np.asarray(truth, np.float64)) ** 2
        found = np.sqrt(error.mean(space) / np.maximum(squares.mean(space), TINY)).mean(2)
    return np.where(np.isfinite(found), found, np.inf)


def geometric_mean(by_step: np.ndarray, first: int = 1, last: int = 100) -> np.ndarray:
    """Geometric mean of the errors over steps first .. last (counted from 1), (item,); errors are cut at `CEILING`."""
    chosen = np.clip(by_step[:, first - 1 : last], 1e-12, CEILING)
    return np.exp(np.log(chosen).mean(1)) if chosen.shape[1] else np.full(len(by_step), np.nan)


def window(by_step: np.ndarray, first: int, last: int) -> np.ndarray:
    """Mean of the errors over steps first .. last (counted from 1), cut at `CEILING`; NaN where the roll-out is shorter."""
    if by_step.shape[1] < last:
        return np.full(len(by_step), np.nan)
    return np.minimum(by_step[:, first - 1 : last], CEILING).mean(1)


def blown_up(by_step: np.ndarray) -> np.ndarray:
    """Whether a roll-out ever exceeds `CEILING`, (item,)."""
    return np.asarray((by_step > CEILING).any(1))


def correlation_by_step(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson's correlation over points, each channel centred by its own mean, averaged over channels, (item, step)."""
    space = tuple(range(3, np.ndim(truth)))
    with np.errstate(all="ignore"):
        a, b = (w - w.mean(space, keepdims=True) for w in (np.asarray(v, np.float64) for v in (prediction, truth)))
        size = np.sqrt((a * a).mean(space) * (b * b).mean(space))
        found = ((a * b).mean(space) / np.maximum(size, TINY)).mean(2)
    return np.where(np.isfinite(found), found, 0.0)


def first_below(values: np.ndarray, bound: float, times: ArrayLike) -> np.ndarray:
    """First of `times` at which values (item, step) fall below a bound; the last time where they never do."""
    below, at = values < bound, np.asarray(times, np.float64)
    return np.where(below.any(1), at[below.argmax(1)], at[-1])


def correlation_time(prediction: np.ndarray, truth: np.ndarray, times: ArrayLike, bound: float = 0.95) -> np.ndarray:
    """Time at which the correlation with the truth falls below a bound, (item,)."""
    return first_below(correlation_by_step(prediction, truth), bound, times)


def stability_horizon(prediction: np.ndarray, truth: np.ndarray, times: ArrayLike) -> np.ndarray:
    """Time at which the error exceeds the spread of the truth (VRMSE > 1), or values are not finite, (item,)."""
    return first_below(-vrmse_by_step(prediction, truth), -1.0, times)


def histogram_distance(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance of the values of all steps, over the standard deviation of the truth's, (item,)."""
    found = []
    for a, b in zip(np.asarray(prediction, np.float64), np.asarray(truth, np.float64), strict=True):
        if not np.isfinite(a).all():
            found.append(np.inf)
            continue
        flat = [np.sort(np.moveaxis(w, 1, 0).reshape(w.shape[1], -1), axis=1) for w in (a, b)]  # equal counts: sorted pairs
        found.append(float((np.abs(flat[0] - flat[1]).mean(1) / np.maximum(flat[1].std(1), TINY)).mean()))
    return np.array(found)
