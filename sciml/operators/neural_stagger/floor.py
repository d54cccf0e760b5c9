"""What a sub-solver cannot know: the error of the best predictor that sees its own sub-grid only.

A homogeneous Gaussian field with spectrum E(k) evolves by u_hat(k) <- g(k) u_hat(k). Every s-th point shows sums over alias
classes K = {k mod N/s} only. Linear prediction is optimal, and no better than

    h(K) = sum_K E g / sum_K E,      floor^2 = sum_k E |g - h(K)|^2 / sum_k E |g|^2

Each earlier frame of the same sub-grid is one more equation for the members of a class. None of this depends on the offset: all
sub-solvers have the same optimum, so that sharing weights costs nothing on a torus.
"""

from collections.abc import Sequence

import numpy as np

from sciml.operators.neural_stagger.decomposition import per_axis
from solvers.errors import GridError

NOISE = 1e-14  # relative variance added to each observed frame, so that its covariance can be inverted


def information_floor(
    spectrum: np.ndarray, symbol: np.ndarray, space: int | Sequence[int], history: int = 0, noise: float = NOISE
) -> float:
    """Relative L2 error of the best one-step predictor on sub-grids.

    Parameters
    ----------
    spectrum : E(k) >= 0, (*modes), all modes of a complex FFT in its order.
    symbol : g(k), the exact propagator of one step, complex, (*modes).
    space : sub-grids per axis.
    history : past frames given besides the current one.
    noise : variance of the noise on each frame, relative to the class's.

    Examples
    --------
    >>> k = np.fft.fftfreq(8, 1 / 8)
    >>> information_floor(np.exp(-np.abs(k)), np.exp(-0.1 * k**2), 1)
    0.0
    """
    energy, moved = alias_classes(spectrum, space), alias_classes(symbol, space)
    total = float((energy * np.abs(moved) ** 2).sum())
    if history == 0:
        filters = _ratio((energy * moved).sum(-1), energy.sum(-1))
        return float(np.sqrt((energy * np.abs(moved - filters[:, None]) ** 2).sum() / total))
    lost = 0.0
    for e, g in zip(energy, moved, strict=True):
        if e.sum() <= 0:
            continue
        powers = g[None] ** np.arange(history + 2)[:, None]  # frame i is g^i times the oldest one, (frame, member)
        seen, next_one = powers[:-1], powers[-1]
        covariance = (seen * e) @ seen.conj().T
        covariance = covariance + noise * e.sum() * np.eye(history + 1)
        cross = (next_one * e) @ seen.conj().T
        lost += max(0.0, float((e * np.abs(next_one) ** 2).sum() - (cross @ np.linalg.solve(covariance, cross.conj())).real))
    return float(np.sqrt(lost / (energy * np.abs(moved ** (history + 1)) ** 2).sum()))


def best_filter(
    spectrum: np.ndarray, new: np.ndarray, old: np.ndarray, space: int | Sequence[int], weights: np.ndarray | None = None
) -> np.ndarray:
    """Symbol h of the linear sub-solver that minimises sum_k E |W (a h + b)|^2, per mode (*modes).

    The residual of a linear scheme is a(k) v_hat + b(k) u_hat. a = 1, b = -g is least squares on labels; weights W default
    to 1.
    """
    weighted = np.asarray(spectrum) * (1.0 if weights is None else np.abs(weights) ** 2)
    e, a, b = (alias_classes(v * np.ones(np.shape(spectrum)), space) for v in (weighted, new, old))
    h = -_ratio((e * np.conj(a) * b).sum(-1), (e * np.abs(a) ** 2).sum(-1))
    return from_classes(np.repeat(h[:, None], e.shape[1], 1), np.shape(spectrum), space)


def rolled_filter(
    spectrum: np.ndarray,
    new: np.ndarray,
    old: np.ndarray,
    space: int | Sequence[int],
    frames: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """The same when gradients pass through a roll-out of `frames` frames (gradient="full").

    The loss is (sum_{n < frames} |h|^2n) sum_K E |W (a h + b)|^2: where the second factor cannot vanish, the first one pulls
    |h| down, at the phase of `best_filter`. A sub-solver that lacks information learns to damp.
    """
    weighted = np.asarray(spectrum) * (1.0 if weights is None else np.abs(weights) ** 2)
    e, a, b = (alias_classes(v * np.ones(np.shape(spectrum)), space) for v in (weighted, new, old))
    free = alias_classes(best_filter(spectrum, new, old, space, weights), space)[:, 0]
    square, constant = (e * np.abs(a) ** 2).sum(-1), (e * np.abs(b) ** 2).sum(-1)
    share = np.linspace(0, 1, 4001)  # of the modulus that one frame alone would take
    modulus = np.abs(free)[:, None] * share
    loss = sum(modulus ** (2 * n) for n in range(frames)) * (
        square[:, None] * (modulus**2 - 2 * modulus * np.abs(free)[:, None]) + constant[:, None]
    )
    h = free * share[np.argmin(loss, axis=1)]
    return from_classes(np.repeat(h[:, None], e.shape[1], 1), np.shape(spectrum), space)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and zero for classes without energy."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def filter_error(spectrum: np.ndarray, symbol: np.ndarray, filters: np.ndarray, steps: int = 1) -> float:
    """Relative L2 error of `steps` steps of a linear sub-solver with symbol `filters` against g^steps."""
    truth = symbol**steps
    return float(np.sqrt((spectrum * np.abs(truth - filters**steps) ** 2).sum() / (spectrum * np.abs(truth) ** 2).sum()))


def alias_classes(values: np.ndarray, space: int | Sequence[int]) -> np.ndarray:
    """(*modes) to (class, member): members of a class differ by multiples of N / s along each axis."""
    values = np.asarray(values)
    factors = per_axis(space, values.ndim, "space")
    if any(n % s for n, s in zip(values.shape, factors, strict=True)):
        raise GridError(given=f"factors {factors} for {values.shape} modes", needed="divisors", remedy="Change `space`.")
    pairs = [n for size, s in zip(values.shape, factors, strict=True) for n in (s, size // s)]
    d = values.ndim
    order = (*(2 * i + 1 for i in range(d)), *(2 * i for i in range(d)))
    return values.reshape(pairs).transpose(order).reshape(-1, int(np.prod(factors)))


def from_classes(classes: np.ndarray, shape: Sequence[int], space: int | Sequence[int]) -> np.ndarray:
    """Inverse of `alias_classes`."""
    d = len(shape)
    factors = per_axis(space, d, "space")
    whole = classes.reshape(*(n // s for n, s in zip(shape, factors, strict=True)), *factors)
    return whole.transpose(tuple(axis for i in range(d) for axis in (d + i, i))).reshape(shape)
