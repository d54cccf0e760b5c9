"""Recorded trajectories: checks, gaps and repeats, noise estimate, smoothing.

A recording is (t, x): times, regular or not, and states (time, component), with controls u (time, control) if it was driven.
Rows with a gap (NaN) are left out, repeated times are averaged; what was done is kept as notes. Noise is estimated from
differences of high order, which smooth signals hardly enter, as s(x)^2 = a^2 + b^2 x^2: additive and proportional noise are
told apart by their likelihood.
"""

import itertools
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline, splev, splrep

from solvers.errors import DataError

LEAST_POINTS = 10
"""Of one trajectory: a test function spans nine points, and constants must not fit them exactly."""
CHUNK, CHUNKS = 1000, 8
"""Longer recordings are cut; of more pieces, so many are used, evenly spread."""
ORDERS = (2, 4, 6, 8)
"""Of the differences that are tried: noise looks alike in all, what is left of the signal falls."""
CLEAN = 1e-4
"""Relative noise below which states are taken as they are."""
TIGHTNESS = 0.9
"""Squared residual of the smoothing spline, as a part of the noise's: a spline follows some of the noise."""
FLOOR = 1e-7
"""Noise below this share of a component's size is rounding."""
SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
"""Of the variance that is proportional to x^2, tried from the left."""


@dataclass(frozen=True)
class Trajectory:
    """t : (time,) increasing.   x : (time, component).   u : (time, control), no columns without controls.
    scale : (time, component) standard deviation of the noise.   smooth : (time, component) states without most of it."""

    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    smooth: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Recording:
    """Checked trajectories with their noise; made by `record`.

    sigma : (component,) root mean square of the noise.   shares : (component,) part of its variance proportional to x^2.
    size : (component,) root mean square of the states' deviation from their mean.   notes : what was left out or averaged.
    """

    trajectories: tuple[Trajectory, ...]
    sigma: np.ndarray
    shares: np.ndarray
    size: np.ndarray
    notes: tuple[str, ...]

    @property
    def dimension(self) -> int:
        """Number of states."""
        return len(self.sigma)

    @property
    def controls(self) -> int:
        """Number of controls."""
        return self.trajectories[0].u.shape[1]

    def states(self) -> np.ndarray:
        """All smoothed states, (time, component)."""
        return np.concatenate([one.smooth for one in self.trajectories])


def record(t: Any, x: Any, u: Any = None) -> Recording:
    """Checked trajectories from arrays or lists of arrays.

    t : (time,) or a list of them.   x : (time, component) or (time,), or a list.   u : likewise (time, control), or None.

    Raises
    ------
    DataError : shapes that do not fit, fewer than `LEAST_POINTS` usable points in a trajectory, times that go backwards, a
        component that never changes, values that are infinite.
    """
    parts, notes = [], []
    for i, (ti, xi, ui) in enumerate(_listed(t, x, u)):
        parts += _cut(_cleaned(ti, xi, ui, i, notes))
    if len(parts) > CHUNKS and any(len(one.t) >= CHUNK for one in parts):
        keep = np.unique(np.linspace(0, len(parts) - 1, CHUNKS).round().astype(int))
        notes.append(f"used {len(keep)} of {len(parts)} pieces of up to {CHUNK} points, evenly spread")
        parts = [parts[k] for k in keep]
    if len({(one.x.shape[1], one.u.shape[1]) for one in parts}) > 1:
        shapes = sorted({(one.x.shape[1], one.u.shape[1]) for one in parts})
        raise DataError(
            given=f"trajectories with (components, controls) {shapes}", needed="the same in all", remedy="Recover them apart."
        )
    everything = np.concatenate([one.x for one in parts])
    size = everything.std(axis=0)
    still = np.flatnonzero(size <= 1e-12 * np.maximum(np.abs(everything).max(axis=0), 1e-300))
    if len(still):
        raise DataError(
            given=f"component {still[0]} with the same value {everything[0, still[0]]:.6g} at all times",
            needed="states that change: a constant series is consistent with any equation that vanishes there",
            remedy="Leave the component out, give it as a control, or record it away from equilibrium.",
        )
    return _with_noise(parts, size, notes)


def _listed(t, x, u) -> list[tuple]:
    """Trajectories as given, one tuple each."""
    several = isinstance(x, (list, tuple)) and len(x) > 0 and np.ndim(x[0]) > 0
    if not several:
        return [(t, x, u)]
    ts = t if isinstance(t, (list, tuple)) and len(t) and np.ndim(t[0]) > 0 else [t] * len(x)
    us = [None] * len(x) if u is None else u
    if len(ts) != len(x) or len(us) != len(x):
        raise DataError(
            given=f"{len(ts)} arrays of times, {len(x)} of states, {len(us)} of controls",
            needed="one of each per trajectory",
            remedy="Give lists of equal length.",
        )
    return list(zip(ts, x, us, strict=True))


def _cleaned(t, x, u, i: int, notes: list[str]) -> Trajectory:
    """One trajectory with increasing times and finite values."""
    try:
        t, x = np.asarray(t, np.float64), np.asarray(x, np.float64)
        x = x[:, None] if x.ndim == 1 else x
        u = np.empty((len(t), 0)) if u is None else np.asarray(u, np.float64)
        u = u[:, None] if u.ndim == 1 else u
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(given=f"trajectory {i}: {error}", needed="arrays of numbers", remedy="Convert them.") from error
    if t.ndim != 1 or x.ndim != 2 or u.ndim != 2 or not len(t) == len(x) == len(u):
        raise DataError(
            given=f"trajectory {i} with times {t.shape}, states {x.shape}, controls {u.shape}",
            needed="(time,), (time, component), (time, control)",
            remedy="Transpose or reshape.",
        )
    if np.isinf(x).any() or np.isinf(u).any() or np.isinf(t).any():
        raise DataError(given=f"trajectory {i} with infinite values", needed="numbers", remedy="Cut it where it blew up.")
    whole = np.isfinite(t) & np.isfinite(x).all(axis=1) & np.isfinite(u).all(axis=1)
    if not whole.all():
        notes.append(f"trajectory {i}: {np.sum(~whole)} of {len(t)} rows with gaps left out")
        t, x, u = t[whole], x[whole], u[whole]
    if len(t) > 1 and np.any(np.diff(t) < 0):
        k = int(np.flatnonzero(np.diff(t) < 0)[0])
        raise DataError(
            given=f"trajectory {i} whose time goes back from {t[k]:.6g} to {t[k + 1]:.6g} (row {k + 1})",
            needed="times that increase",
            remedy="Sort the rows, or give each run as a trajectory of its own.",
        )
    if len(t) > 1 and np.any(np.diff(t) == 0):
        distinct, owner, count = np.unique(t, return_inverse=True, return_counts=True)
        notes.append(f"trajectory {i}: {len(t) - len(distinct)} repeated times averaged")
        mean = lambda values: np.stack([np.bincount(owner, column) / count for column in values.T], 1)  # noqa: E731
        t, x, u = distinct, mean(x), mean(u) if u.shape[1] else u[: len(distinct)]
    if len(t) < LEAST_POINTS:
        raise DataError(
            given=f"trajectory {i} of {len(t)} usable points",
            needed=f"at least {LEAST_POINTS}: fewer fit no test function",
            remedy="Leave it out or record it longer.",
        )
    return Trajectory(t, x, u)


def _cut(one: Trajectory) -> list[Trajectory]:
    """Pieces of at most `CHUNK` points."""
    pieces = -(-len(one.t) // CHUNK)
    bounds = np.linspace(0, len(one.t), pieces + 1).astype(int)
    return [Trajectory(one.t[a:b], one.x[a:b], one.u[a:b]) for a, b in itertools.pairwise(bounds)]


def differences(t: np.ndarray, x: np.ndarray, order: int = 4) -> np.ndarray:
    """Divided differences with weights of unit length: noise of standard deviation s gives values of standard deviation s.

    t : (time,).   x : (time, component).   Returns (time - order, component); zero for polynomials of degree below `order`.
    """
    index = np.arange(len(t) - order)[:, None] + np.arange(order + 1)
    times = t[index]
    gaps = times[:, :, None] - times[:, None, :] + np.eye(order + 1) * (times[:, -1:, None] - times[:, :1, None])
    weights = 1 / np.prod(gaps / (times[:, -1] - times[:, 0])[:, None, None], axis=2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return np.einsum("nk,nkd->nd", weights, x[index])


def _with_noise(parts: list[Trajectory], size: np.ndarray, notes: list[str]) -> Recording:
    """Estimate the noise, then smooth as much as it asks for."""
    sigma, shares = np.empty(len(size)), np.zeros(len(size))
    square = np.mean(np.concatenate([one.x for one in parts]) ** 2, axis=0)
    orders = [k for k in ORDERS if k < min(len(one.t) for one in parts)]
    rough = {k: np.concatenate([differences(one.t, one.x, k) for one in parts]) for k in orders}
    for d in range(len(size)):
        k = min(orders, key=lambda k: np.median(np.abs(rough[k][:, d])))
        x = np.concatenate([one.x[k // 2 : len(one.x) - k // 2, d] for one in parts])
        sigma[d], shares[d] = _law_of_noise(rough[k][:, d], x, float(square[d]), size[d])
    done = []
    for one in parts:
        scale = _scales(one.x, sigma, shares, square)
        columns = [smoothed(one.t, one.x[:, d], scale[:, d], size[d]) for d in range(len(size))]
        smooth = np.stack(columns, 1) if np.any(sigma >= CLEAN * size) else one.x
        scale = _scales(smooth, sigma, shares, square)  # of the smoothed states: a noisy point must not set its own weight
        done.append(Trajectory(one.t, one.x, one.u, scale, smooth))
    return Recording(tuple(done), sigma, shares, size, tuple(notes))


def _scales(x: np.ndarray, sigma: np.ndarray, shares: np.ndarray, square: np.ndarray) -> np.ndarray:
    return sigma * np.sqrt((1 - shares) + shares * x**2 / square)


def _law_of_noise(e: np.ndarray, x: np.ndarray, square: float, size: float) -> tuple[float, float]:
    """Standard deviation, and the share of its variance that is proportional to x^2, by likelihood."""
    sigma = 1.4826 * np.median(np.abs(e))
    if sigma < CLEAN * size:
        return max(sigma, FLOOR * size), 0.0
    best, found = -np.inf, (sigma, 0.0)
    for share in SHARES:
        shape = (1 - share) + share * x**2 / square
        variance = np.mean(e**2 / shape)
        likelihood = -0.5 * (len(e) * np.log(variance) + np.sum(np.log(shape))) / 3  # neighbours share most of their noise
        if likelihood > best + (4.0 if share else 0.0):
            best, found = likelihood, (max(np.sqrt(variance), FLOOR * size), share)
    return found


def smoothed(t: np.ndarray, x: np.ndarray, scale: np.ndarray, size: float) -> np.ndarray:
    """States at the same times with less noise: a cubic spline with as few knots as the noise allows; x itself if it is clean.

    Dierckx, Curve and Surface Fitting with Splines, Oxford 1993.
    """
    if np.sqrt(np.mean(scale**2)) < CLEAN * size:
        return x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FITPACK's remarks on how near it came to the residual that was asked for
        try:
            found = np.asarray(splev(t, splrep(t, x, w=1 / scale, k=3, s=TIGHTNESS * len(t))))
        except (ValueError, TypeError):
            return x
    return found if np.isfinite(found).all() else x


def interpolant(t: np.ndarray, values: np.ndarray) -> CubicSpline:
    """Cubic spline through values (time, ...)."""
    return CubicSpline(t, values, axis=0)
