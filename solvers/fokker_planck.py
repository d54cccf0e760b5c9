"""Fokker-Planck equation of overdamped particles, u_t = D (u_x + V' u)_x, between walls that none crosses; V = energy / kT.

Fluxes of Scharfetter and Gummel vanish for u ~ exp(-V) whatever the grid, so that this is the stationary state (Gibbs), as
detailed balance demands. The matrix is then similar to a symmetric one, and its exponential exact in time: one
eigen-decomposition for a grid serves all samples, times and D. Second order in the spacing; mass is kept to rounding.

Scharfetter, Gummel, IEEE Trans. Electron Devices 16, 1969; Risken, The Fokker-Planck Equation, 2nd ed., Springer 1989.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError
from solvers.grid import Grid
from solvers.projection import check_times
from solvers.result import Outcome, Result


@dataclass(frozen=True)
class FokkerPlanck:
    """Solver of u_t = D (u_x + V' u)_x.

    Parameters
    ----------
    grid : one axis of cells between walls.
    potential : x -> V(x); hashable: eigenvectors are kept by it.

    Examples
    --------
    >>> grid = Grid.box("cell", 32)
    >>> solver = FokkerPlanck(grid, lambda x: 3 * x)
    >>> late = solver.solve(np.ones((1, 32)), np.array([0.0, 9.0]), 1.0).values[0, 1]
    >>> bool(np.allclose(late[1:] / late[:-1], np.exp(-3 / 32)))
    True
    """

    grid: Grid
    potential: Callable[[np.ndarray], np.ndarray]

    def __post_init__(self):
        if self.grid.dimension != 1 or self.grid.axes[0].kind != "cell" or self.grid.shape[0] < 2:
            raise GridError(
                given=f"axes {[(a.size, a.kind) for a in self.grid.axes]}",
                needed="one axis of two or more cells between walls",
                remedy="Use Grid.box('cell', n).",
            )

    def matrix(self) -> np.ndarray:
        """M of u' = D M u, (cell, cell)."""
        down, up, h = *self._rates(), self.grid.spacing[0]
        whole = np.diag(up, -1) + np.diag(down, 1)  # from a cell to its right, and to its left
        return (whole - np.diag(whole.sum(axis=0))) / h**2

    def _rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Bernoulli functions of the rise between neighbours: jumps to the left and to the right."""
        rise = np.diff(self.potential(self.grid.coordinates()[0]))
        small = np.abs(rise) < 1e-8
        safe = np.where(small, 1.0, rise)
        up = np.where(small, 1 - rise / 2, safe / np.expm1(safe))
        return up + rise, up

    def solve(self, initial: np.ndarray, times: np.ndarray, d: np.ndarray | float) -> Result:
        """Densities at `times`; initial (sample, x) at times[0], d > 0 the diffusivity, a number or one per sample.

        Raises
        ------
        DataError : wrong shapes or values that are not finite, a diffusivity that is not positive.
        """
        u, times, d = np.asarray(initial, np.float64), check_times(times), np.asarray(d, np.float64)
        check_samples(u, self.grid, "initial field")
        if d.shape not in ((), (len(u),)) or not np.all((d > 0) & np.isfinite(d)):
            raise DataError(given=f"diffusivity {d}", needed="a number > 0, or one per sample", remedy="Mend it.")
        root, rates, vectors = _modes(self)
        d = np.broadcast_to(d, (len(u),))
        weights = (u / root) @ vectors  # (sample, mode)
        decay = np.exp(d[:, None, None] * (times - times[0])[:, None] * rates)  # (sample, time, mode)
        values = (decay * weights[:, None]) @ vectors.T * root
        values[:, 0] = u
        return Result(values, np.full(len(u), int(Outcome.SUCCESS)))


@functools.lru_cache(maxsize=8)
def _modes(solver: FokkerPlanck) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """exp(-V / 2), and eigenvalues and orthonormal eigenvectors of exp(V / 2) M exp(-V / 2)."""
    v = solver.potential(solver.grid.coordinates()[0])
    root = np.exp(-(v - v.min()) / 2)
    matrix = solver.matrix()
    off = np.sqrt(np.diag(matrix, 1) * np.diag(matrix, -1))
    rates, vectors = scipy.linalg.eigh_tridiagonal(np.diag(matrix).copy(), off)
    rates[-1] = 0.0  # Gibbs' state stays to the last digit
    return root, np.minimum(rates, 0.0), vectors
