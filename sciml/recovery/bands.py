"""Bands of fitted trajectories: draws of start state and constants from Laplace's Gaussian, to first order."""

import numpy as np

from pdes.randomness import generator
from sciml.recovery.search import Found
from sciml.recovery.shooting import STRICT
from sciml.recovery.steps import inverse


def bands(found: Found, draws: int, seed: int, level: float = 0.9) -> list[np.ndarray]:
    """Lower and upper bound of every trajectory at its times: (2, time, component), states without noise."""
    one, shooting = found.batch.pick([0]), found.shooting
    free = shooting.free(one)
    X, S = shooting.flow(one, free)
    H, _ = shooting.normal_equations(X, S, one.states, STRICT)
    total = shooting.residuals(X, one.states, STRICT)[2][0]
    W, D, P = one.states.shape[1], one.states.shape[2], int(free.used.sum())
    size = W * D + P
    covariance = inverse(H[0])[:size, :size] * total / max(shooting.points * D - P - D, 1)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    rng = generator("recovery bands", seed)
    moves = (rng.standard_normal((draws, size)) * np.sqrt(np.maximum(values, 0))) @ vectors.T
    states, constants = moves[:, : W * D].reshape(draws, W, D), moves[:, W * D :]
    shift = np.einsum("wpij,nwj->nwpi", S[0, ..., :D], states) + np.einsum("wpik,nk->nwpi", S[0, ..., D : D + P], constants)
    tails = 100 * (1 - level) / 2
    bounds = X[0] + np.percentile(shift, [tails, 100 - tails], axis=0)  # (2, window, point, component)
    flat, found_bands, first = bounds[:, shooting.mask], [], 0
    for part in shooting.recording.trajectories:
        found_bands.append(flat[:, first : first + len(part.t)])
        first += len(part.t)
    return found_bands
