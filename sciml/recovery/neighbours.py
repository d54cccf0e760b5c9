"""Equations one step away from a fitted one: terms dropped, added, exchanged, by what the fit's sensitivities promise."""

import numpy as np

from sciml.recovery.batches import Batch, Free
from sciml.recovery.shooting import STRICT, Shooting
from sciml.recovery.steps import inverse


def children(parent: Batch, shooting: Shooting, prices: np.ndarray, allowed: np.ndarray) -> list[Batch]:
    """Fewer terms, more, others; constants start where the parent's are.

    parent : one fitted candidate.   prices : (feature,) in BIC.   allowed : (feature,) what may be added.
    """
    weak, covariance_ok = _significance(parent, shooting)
    gains = _gains(parent, shooting, allowed)
    active = np.argwhere(parent.support[0])
    order = [tuple(active[k]) for k in np.argsort(weak)] if covariance_ok else [tuple(a) for a in active]
    adds = [tuple(a) for a in np.argwhere((gains > 0) & allowed)]
    adds.sort(key=lambda a: -(gains[a] - prices[a[1]]))
    adds = adds[:4]
    found = [_changed(parent, [d], []) for d in order[:3] if len(order) > 1]
    for count in (2, 3):
        found += [_changed(parent, order[:count], [])] if len(order) > count else []
    insignificant = [tuple(active[k]) for k in range(len(active)) if weak[k] < 4.0]
    if 3 < len(insignificant) < len(active):
        found.append(_changed(parent, insignificant, []))
    found += [_changed(parent, [], [a]) for a in adds]
    found += [_changed(parent, [d], [a]) for d in order[:2] for a in adds[:2]]
    return found


def _changed(parent: Batch, drop: list, add: list) -> Batch:
    C, support = parent.C.copy(), parent.support.copy()
    for d, j in drop:
        C[0, d, j], support[0, d, j] = 0.0, False
    for d, j in add:
        support[0, d, j] = True
    return Batch(C, support, parent.constants, parent.states, np.full(1, np.inf))


def _significance(one: Batch, shooting: Shooting) -> tuple[np.ndarray, bool]:
    """(coefficient / standard error)^2 of each active term, in units of the residual's variance."""
    with np.errstate(all="ignore"):
        free = shooting.free(one)
        X, S = shooting.flow(one, free)
        H, _ = shooting.normal_equations(X, S, one.states, STRICT)
    covariance = inverse(H[0])
    count = int(one.support.sum())
    skip = one.states[0].size
    variance = np.diag(covariance)[skip : skip + count] * _variance(one, shooting)
    values = one.C[0][one.support[0]]
    return values**2 / np.maximum(variance, 1e-300), bool(np.isfinite(variance).all())


def _variance(one: Batch, shooting: Shooting) -> float:
    return float(one.objective[0] / (shooting.points * shooting.recording.dimension)) + 1e-300


def _gains(one: Batch, shooting: Shooting, allowed: np.ndarray) -> np.ndarray:
    """Fall of n log(rss) that each further term promises, to first order: (component, feature); 0 for those present."""
    D, n = one.support.shape[1:]
    free = shooting.free(one)
    rows, columns = np.nonzero(~one.support[0] & allowed)
    grown = Free(
        np.concatenate([free.value[0], columns])[None],
        np.concatenate([free.row[0], rows])[None],
        np.concatenate([free.owner[0], columns])[None],
        np.concatenate([free.used[0], np.ones(len(rows), bool)])[None],
    )
    with np.errstate(all="ignore"):
        X, S = shooting.flow(one, grown)
        H, g = shooting.normal_equations(X, S, one.states, STRICT)
    k = one.states[0].size + free.value.shape[1]
    H, g = H[0], g[0]
    good = np.isfinite(np.diag(H)[k:]) & np.isfinite(g[k:])
    inner, cross = H[:k, :k], np.where(good, H[:k, k:], 0.0)
    size = np.where(np.diag(inner) > 0, np.sqrt(np.maximum(np.diag(inner), 0)), 1.0)
    scaled = inner / size[:, None] / size + 1e-10 * np.eye(k)
    scaled[np.diag(inner) <= 0, np.diag(inner) <= 0] = 1.0
    weights = np.linalg.solve(scaled, cross / size[:, None]) / size[:, None]
    slope = g[k:] - weights.T @ g[:k]
    curvature = np.diag(H)[k:] - np.einsum("ia,ia->a", weights, cross)
    fall = np.where(good & (curvature > 1e-9 * np.diag(H)[k:]), slope**2 / np.maximum(curvature, 1e-300), 0.0)
    share = np.clip(fall / max(float(one.objective[0]), 1e-300), 0, 1 - 1e-12)
    gains = np.zeros((D, n))
    gains[rows, columns] = -shooting.points * np.log1p(-share) * D
    return gains
