"""Porous medium equation u_t = (u^m)_xx, m >= 1, on a circle of cells: gas that spreads through soil, fronts of finite speed.

Fluxes between neighbours are differences of u^m (mass is kept to rounding), steps are Runge-Kutta-Chebyshev's. Where u is zero
the equation degenerates; rounding below zero is carried on by |u|^(m - 1) u, for which it stays parabolic.

Vazquez, The Porous Medium Equation, Oxford 2007.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.chebyshev import Chebyshev
from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.result import Result

import jax.numpy as jnp  # isort: skip - after solvers.chebyshev, which settles JAX's memory first


@dataclass(frozen=True)
class PorousMedium:
    """Solver of u_t = (u^m)_xx.

    Parameters
    ----------
    grid : one periodic axis of cells.
    tolerance : relative error of a step in time; absolute is a hundredth of it.

    Examples
    --------
    >>> from solvers.grid import Axis
    >>> grid = Grid((Axis("x", 16, cells=True),))
    >>> start = np.where(abs(grid.coordinates()[0] - 0.5) < 0.2, 1.0, 0.0)[None]
    >>> found = PorousMedium(grid).solve(start, np.array([0.0, 0.01]), 2)
    >>> bool(abs(found.values.mean(-1) - start.mean()).max() < 1e-15), bool(found.values.min() > -1e-3)
    (True, True)
    """

    grid: Grid
    tolerance: float = 1e-6

    def __post_init__(self):
        axis = self.grid.axes[0] if self.grid.dimension == 1 else None
        if axis is None or not axis.cells or axis.size < 3:
            raise GridError(
                given=f"axes {[(a.size, a.kind) for a in self.grid.axes]}",
                needed="one periodic axis of three or more cells",
                remedy="Use Axis(..., cells=True).",
            )
        if not self.tolerance > 0:
            raise SettingError(given=f"tolerance={self.tolerance}", needed="a positive number", remedy="Change it.")

    def solve(self, initial: np.ndarray, times: np.ndarray, m: np.ndarray | float) -> Result:
        """Averages at `times`; initial (sample, x) >= 0 at times[0], m >= 1 a number or one per sample. stats: "steps".

        Raises
        ------
        DataError : wrong shapes, values that are not finite or negative, m below one.
        """
        u, m = np.asarray(initial, np.float64), np.asarray(m, np.float64)
        check_samples(u, self.grid, "initial field")
        if np.any(u < 0) or m.shape not in ((), (len(u),)) or not np.all((m >= 1) & np.isfinite(m)):
            raise DataError(
                given=f"smallest initial value {u.min():g}, exponent {m}",
                needed="u >= 0; m >= 1, a number or one per sample",
                remedy="Mend them.",
            )
        h = self.grid.spacing[0]
        solver = Chebyshev(_Spread(h), _Radius(h), rtol=self.tolerance, atol=1e-2 * self.tolerance)
        return solver.solve(u, times, {"m": np.broadcast_to(m, (len(u),))})


@dataclass(frozen=True)
class _Spread:
    """Second difference of |u|^(m - 1) u."""

    spacing: float

    def __call__(self, u, p: Mapping[str, Any]):
        w = jnp.abs(u) ** (p["m"] - 1) * u
        return (jnp.roll(w, 1) - 2 * w + jnp.roll(w, -1)) / self.spacing**2


@dataclass(frozen=True)
class _Radius:
    """Gershgorin's bound of its eigenvalues, 4 max(w') / h^2."""

    spacing: float

    def __call__(self, u, p: Mapping[str, Any]):
        return 4 * p["m"] * jnp.max(jnp.abs(u)) ** (p["m"] - 1) / self.spacing**2 + 1e-12
