"""Diffusion with sorption in one dimension: R(u) u_t = D u_xx on [0, L], u = 1 at the left, an outlet at the right.

    R(u) = 1 + (1 - phi) / phi * rho * k * n * (u + shift)^(n - 1)        (Freundlich isotherm)
    -D u_x = velocity * u  at x = L

Conservative second-order cells, and in time the variable-order BDF of SciPy with the tridiagonal Jacobian: R is large where u
is small, so the system is stiff and its fronts are sharp.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.integrate import solve_ivp

from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.result import Outcome, Result


@dataclass(frozen=True)
class DiffusionSorption:
    """Solver of diffusion with sorption.

    Parameters
    ----------
    grid : one axis of cells between walls.
    diffusion : D > 0.   porosity : phi in (0, 1).   density : rho.   coefficient : k.   exponent : n in (0, 1].
    velocity : of the outlet condition, >= 0 (0: a closed end).
    inlet : u at the left wall.
    shift : keeps R finite at u = 0.
    tolerance : relative tolerance in time; absolute is a thousandth of it.

    References
    ----------
    Nowak, Guthke, Entropy 18 (2016) 409; Takamoto et al., PDEBench, NeurIPS 2022.
    """

    grid: Grid
    diffusion: float = 5e-4
    porosity: float = 0.29
    density: float = 2880.0
    coefficient: float = 3.5e-4
    exponent: float = 0.874
    velocity: float = 1.0
    inlet: float = 1.0
    shift: float = 1e-6
    tolerance: float = 1e-6

    def __post_init__(self):
        if self.grid.dimension != 1 or self.grid.axes[0].kind != "cell":
            raise GridError(given=f"a grid {self.grid.shape}", needed="one axis of cells", remedy="Use Grid.box('cell', n).")
        if not (self.diffusion > 0 and 0 < self.porosity < 1 and 0 < self.exponent <= 1 and self.tolerance > 0):
            raise SettingError(
                given=str(self),
                needed="diffusion > 0, porosity in (0, 1), exponent in (0, 1], tolerance > 0",
                remedy="Mend them.",
            )

    def retardation(self, u: np.ndarray) -> np.ndarray:
        """R(u)."""
        scale = (1 - self.porosity) / self.porosity * self.density * self.coefficient * self.exponent
        return 1 + scale * (np.maximum(u, 0.0) + self.shift) ** (self.exponent - 1)

    def operator(self) -> tuple[scipy.sparse.csr_array, np.ndarray]:
        """Matrix A and vector b of D u_xx = A u + b, conservative, with both ends built in."""
        n, h = self.grid.shape[0], self.grid.spacing[0]
        main, side = np.full(n, -2.0), np.ones(n - 1)
        main[0] = -3.0  # half a cell to the wall: flux 2 (u_0 - inlet) / h
        # outlet: -D (w - u) / (h / 2) = velocity * w for the wall value w, so w = u / (1 + velocity h / (2 D))
        wall = 1 / (1 + self.velocity * h / (2 * self.diffusion))
        main[-1] = -1.0 - 2 * (1 - wall)
        b = np.zeros(n)
        b[0] = 2 * self.inlet
        scale = self.diffusion / h**2
        dense = scipy.sparse.diags([side, main, side], [-1, 0, 1])  # pyright: ignore[reportArgumentType]
        return scipy.sparse.csr_array(dense * scale), b * scale

    def solve(self, initial: np.ndarray, times: np.ndarray) -> Result:
        """Fields at `times`; initial (sample, x) at times[0], values >= 0. stats: "steps"."""
        u, times = np.asarray(initial, np.float64), np.asarray(times, np.float64)
        check_samples(u, self.grid, "initial field")
        if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0) or np.any(u < 0):
            raise DataError(
                given=f"times {times}, smallest initial value {u.min():g}",
                needed="increasing times, u >= 0",
                remedy="Mend them.",
            )
        matrix, source = self.operator()
        values, outcome, steps = np.full((len(u), len(times), u.shape[1]), np.nan), [], []
        for i, start in enumerate(u):

            def rate(t, v):
                return (matrix @ v + source) / self.retardation(v)

            def jacobian(t, v):
                r = self.retardation(v)
                step = 1e-7 * (np.abs(v) + self.shift)
                slope = (self.retardation(v + step) - r) / step
                return scipy.sparse.diags_array(1 / r) @ matrix - scipy.sparse.diags_array((matrix @ v + source) * slope / r**2)

            found = solve_ivp(
                rate, times[[0, -1]], start, "BDF", times, rtol=self.tolerance, atol=1e-3 * self.tolerance, jac=jacobian
            )
            if found.success:
                values[i] = found.y.T
            outcome.append(int(Outcome.SUCCESS if found.success else Outcome.NOT_CONVERGED))
            steps.append(found.nfev)
        return Result(values, np.array(outcome), {"steps": np.array(steps)})
