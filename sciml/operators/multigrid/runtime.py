"""A cycle of `levels` or `learned` for one operator, as fast as it gets on a CPU: matrices by diagonals, in single precision.

Conjugate gradients keep their residuals in double precision, so that a preconditioner in single precision costs no accuracy.
"""

import numpy as np
import torch
from scipy.linalg import lapack
from scipy.sparse import dia_array

from sciml.operators.multigrid.learned import LearnedCycle
from sciml.operators.multigrid.levels import Cycle, Level, turned


class FastCycle:
    """r -> about A^-1 r, (x, y) to (x, y), of a cycle made for one operator."""

    def __init__(self, cycle: Cycle):
        self.sweeps = cycle.sweeps
        self.steps = cycle.steps if isinstance(cycle, LearnedCycle) else 0
        learned = cycle.learned if isinstance(cycle, LearnedCycle) else [None] * len(cycle.levels)
        self.scale = float(cycle.levels[0].operator[:, 1, 1].mean()) if cycle.levels else 1.0
        self.levels = [
            FastLevel(level, s, depth, self.scale) for depth, (level, s) in enumerate(zip(cycle.levels, learned, strict=True))
        ]
        self.inverse = (cycle.inverse[0] * self.scale).numpy().astype(np.float32)

    def __call__(self, r: np.ndarray) -> np.ndarray:
        size = float(np.abs(r).max())
        if size == 0 or not np.isfinite(size):
            return r * 0
        u = self._descend(0, (r / size).astype(np.float32).ravel())
        return u.reshape(r.shape).astype(np.float64) * (size / self.scale)

    def _descend(self, depth: int, f: np.ndarray) -> np.ndarray:
        if depth == len(self.levels):
            return self.inverse @ f
        level = self.levels[depth]
        u = None
        for _ in range(self.steps):
            u = level.learned @ (f if u is None else f - level.operator @ u) + (0 if u is None else u)
        u = self._chebyshev(level, u, f) if depth or u is None else u
        u += level.prolong(self._descend(depth + 1, level.restrict(f - level.operator @ u)))
        u = self._chebyshev(level, u, f) if depth or not self.steps else u
        for _ in range(self.steps):
            u += level.learned @ (f - level.operator @ u)
        return u

    def _chebyshev(self, level: "FastLevel", start: np.ndarray | None, f: np.ndarray) -> np.ndarray:
        centre, half = 0.625 * level.bound, 0.375 * level.bound
        step = level.classical(f if start is None else f - level.operator @ start)
        step /= np.float32(centre)
        u = step.copy() if start is None else start + step
        rate = half / centre
        for _ in range(self.sweeps - 1):
            previous, rate = rate, 1 / (2 * centre / half - rate)
            step *= np.float32(rate * previous)
            step += np.float32(2 * rate / half) * level.classical(f - level.operator @ u)
            u += step
        return u


class FastLevel:
    """One grid: A, S, lines or diagonal, and transfers, of one operator divided by `scale`."""

    def __init__(self, level: Level, learned: torch.Tensor | None, depth: int, scale: float):
        self.shape = tuple(level.operator.shape[-2:])
        self.operator = by_diagonals(level.operator / scale, corners=depth > 0)
        self.learned = by_diagonals(learned * scale, corners=True) if learned is not None else self.operator
        self.bound = float(level.bound)
        self.inverse = (scale / level.operator[0, 1, 1]).numpy().astype(np.float32).ravel()
        self.lines = [_factored(a / scale) for a in (turned(level.operator), level.operator)] if depth else None
        single = [(axis, left.float(), right.float()) for axis, left, right in level.steps]
        self.transfers = Level(level.operator, single)
        coarse = self.shape
        for axis, *_ in single:
            coarse = tuple((n + 1) // 2 if i == axis else n for i, n in enumerate(coarse))
        self.coarse = coarse

    def classical(self, r: np.ndarray) -> np.ndarray:
        """B r: the diagonal on the finest grid, else the mean of the lines along both axes."""
        if self.lines is None:
            return self.inverse * r
        along_y, along_x = self.lines
        r = r.reshape(self.shape)
        x = lapack.spttrs(*along_x, np.ascontiguousarray(r.T).ravel())[0].reshape(self.shape[::-1]).T  # type: ignore[attr-defined]
        y = lapack.spttrs(*along_y, r.ravel())[0].reshape(self.shape)  # type: ignore[attr-defined]
        return (0.5 * (x + y)).ravel()

    def restrict(self, u: np.ndarray) -> np.ndarray:
        """To the coarser grid, flat."""
        return self.transfers.restrict(torch.from_numpy(u.reshape(1, *self.shape))).contiguous().numpy().ravel()

    def prolong(self, u: np.ndarray) -> np.ndarray:
        """From the coarser grid, flat."""
        return self.transfers.prolong(torch.from_numpy(u.reshape(1, *self.coarse))).contiguous().numpy().ravel()


def by_diagonals(operator: torch.Tensor, corners: bool, dtype: type = np.float32) -> dia_array:
    """Stencils (1, 3, 3, x, y) as a matrix, without the (zero) corners on request."""
    n, m = operator.shape[-2:]
    rows = operator[0].numpy().reshape(3, 3, n * m)
    diagonals, offsets = {}, []
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            if corners or i * j == 0:
                k = i * m + j  # entry (p, p + k) lies in column p + k
                values = np.zeros(n * m, dtype)
                row = rows[1 + i, 1 + j]
                values[max(k, 0) : n * m + min(k, 0)] = row[max(-k, 0) : n * m - max(k, 0)]
                if k in diagonals:  # on grids of two points a side neighbours of two kinds share a diagonal
                    diagonals[k] += values
                else:
                    diagonals[k] = values
    offsets = sorted(k for k in diagonals if abs(k) < n * m)
    return dia_array((np.stack([diagonals[k] for k in offsets]), offsets), shape=(n * m, n * m))


def _factored(operator: torch.Tensor):
    """LDL^T of the lines along the first axis of (1, 3, 3, x, y): all of them are one tridiagonal system."""
    centre = operator[0, 1, 1].T.contiguous().numpy().astype(np.float32)
    coupling = operator[0, 2, 1].T.contiguous().numpy().astype(np.float32)
    coupling[:, -1] = 0
    *factors, failed = lapack.spttrf(centre.ravel(), coupling.ravel()[:-1])  # type: ignore[attr-defined]
    if failed:  # rounding to single precision: give the diagonal the little that is missing
        *factors, failed = lapack.spttrf(centre.ravel() * np.float32(1 + 1e-5), coupling.ravel()[:-1])  # type: ignore[attr-defined]
    return factors
