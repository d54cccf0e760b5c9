"""One step in time with sensitivities, one step of least squares: what shooting is made of."""

import numpy as np


def runge_kutta(rates, X, S, h, u):
    """One step of order four of states and sensitivities. h : (window, 1).   u : (window, 3, control)."""
    if S is None:
        a, _ = rates(X, None, u[:, 0])
        b, _ = rates(X + h / 2 * a, None, u[:, 1])
        c, _ = rates(X + h / 2 * b, None, u[:, 1])
        d, _ = rates(X + h * c, None, u[:, 2])
        return X + h / 6 * (a + 2 * b + 2 * c + d), None
    H = h[..., None]
    a, A = rates(X, S, u[:, 0])
    b, B = rates(X + h / 2 * a, S + H / 2 * A, u[:, 1])
    c, C = rates(X + h / 2 * b, S + H / 2 * B, u[:, 1])
    d, D = rates(X + h * c, S + H * C, u[:, 2])
    return X + h / 6 * (a + 2 * b + 2 * c + d), S + H / 6 * (A + 2 * B + 2 * C + D)


def solve_scaled(H: np.ndarray, g: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """(H + damping diag H)^-1 g for every candidate; rows without a diagonal stay zero."""
    diagonal = np.einsum("bii->bi", H)
    size = np.where(diagonal > 0, np.sqrt(np.maximum(diagonal, 0)), 1.0)
    scaled = np.nan_to_num(H / size[:, :, None] / size[:, None, :], posinf=0.0, neginf=0.0)
    n = H.shape[-1]
    scaled[:, range(n), range(n)] = 1.0 + np.maximum(damping, 1e-13)[:, None]
    side = np.nan_to_num(g / size, posinf=0.0, neginf=0.0)
    try:
        return np.linalg.solve(scaled, side[..., None])[..., 0] / size
    except np.linalg.LinAlgError:
        return np.stack([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(scaled, side, strict=True)]) / size


def inverse(H: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric matrix, scaled by its diagonal; NaN where there is none."""
    size = np.where(np.diag(H) > 0, np.sqrt(np.maximum(np.diag(H), 0)), 1.0)
    scaled = np.nan_to_num(H / size[:, None] / size)
    scaled[np.diag_indices_from(scaled)] = 1.0 + 1e-13
    try:
        return np.linalg.inv(scaled) / size[:, None] / size
    except np.linalg.LinAlgError:
        return np.full_like(H, np.nan)
