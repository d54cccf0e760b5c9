"""Steady incompressible flow in a closed box, by Newton's method on the stream function of the staggered grid.

    div(u u) = -grad p + nu laplace(u) + f,    div u = 0,    u given on the walls

Velocities on faces are differences of psi at the nodes, so that their divergence is zero identically; the discrete curl of the
momentum equation has no pressure. What is left is one sparse system for psi, factorised in each of a few Newton steps. The
answer is the steady state of `solvers.projection` on the same grid, to rounding, with no marching; nothing is shared with its
time stepper but the grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg

from solvers.elliptic import Poisson
from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.projection import Velocity, check_grid, face_forces, second_difference, viscosities, wall_values
from solvers.result import Outcome, Result


@dataclass(frozen=True)
class SteadyNavierStokes:
    """Newton solver with continuation in the viscosity.

    Parameters
    ----------
    grid : two axes of kind "cell", with walls.
    walls : as in `solvers.projection.ProjectionNavierStokes`.
    tolerance : relative change of psi in the last Newton step.
    max_iterations : Newton steps per viscosity.
    start : viscosity, in units of the largest wall speed times the longest side (or of 1 where walls stand still), at which
        Newton starts from rest; smaller ones are reached by factors of at most 3.

    Examples
    --------
    >>> grid = Grid.box("cell", 32, dimension=2, boundary="wall")
    >>> result = SteadyNavierStokes(grid, walls={"top": (1.0, 0.0)}).solve({"nu": 0.01})
    >>> result.values.shape, result.succeeded
    ((1, 32, 32, 3), True)
    """

    grid: Grid
    walls: Mapping[str, Velocity] = field(default_factory=dict)
    tolerance: float = 1e-9
    max_iterations: int = 15
    start: float = 0.02

    def __post_init__(self):
        check_grid(self.grid)
        if any(axis.kind == "periodic" for axis in self.grid.axes):
            raise GridError(
                given="a periodic axis",
                needed="walls on all four sides",
                remedy="March to the steady state with solvers.projection.",
            )
        if not (0 < self.tolerance < 1 and self.max_iterations >= 1 and self.start > 0):
            raise SettingError(
                given=f"tolerance={self.tolerance}, max_iterations={self.max_iterations}, start={self.start}",
                needed="0 < tolerance < 1, max_iterations >= 1, start > 0",
                remedy="Change them.",
            )
        wall_values(self.grid, self.walls)

    def solve(self, parameters: Mapping[str, Any], samples: int = 1) -> Result:
        """Velocity and pressure in the cells, (sample, x, y, 3).

        parameters : "nu" > 0 and "force", as in `ProjectionNavierStokes.solve`; a "nu" of one per sample sets `samples`.
        stats: "iterations" (Newton steps, all viscosities), "residual" (of the curl of the momentum equation, relative to its
        viscous part).
        """
        samples = max(samples, np.size(parameters.get("nu", 0.0)))
        nu = viscosities(parameters, samples)
        if not np.all(nu > 0):
            raise SettingError(given=f"nu={nu.min()}", needed="nu > 0", remedy="Steady flow needs viscosity.")
        given = face_forces(self.grid, parameters.get("force", (0.0, 0.0)), samples)
        force = [np.broadcast_to(f, (samples, *f.shape[1:])) for f in given]
        system = _System(self.grid, self.walls)
        solved = [self._one(system, nu[i], [f[i].ravel() for f in force]) for i in range(samples)]
        values, iterations, residual, good = (np.array(column) for column in zip(*solved, strict=True))
        outcome = np.where(good, int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED))
        return Result(values, outcome, {"iterations": iterations, "residual": residual})

    def _one(self, system: "_System", nu: float, force: list[np.ndarray]) -> tuple[np.ndarray, int, float, bool]:
        speed = max(np.abs(part).max() for side in wall_values(self.grid, self.walls).values() for part in side)
        first = max(nu, self.start * (speed or 1.0) * max(self.grid.lengths))
        stages = np.geomspace(first, nu, 1 + int(np.ceil(np.log(first / nu) / np.log(3) - 1e-9)))
        psi, total, residual, good = np.zeros(system.unknowns), 0, np.inf, True
        for stage, viscosity in enumerate(stages):
            tolerance = self.tolerance if stage == len(stages) - 1 else 1e-3
            for _ in range(self.max_iterations):
                values, jacobian = system.vorticity(psi, viscosity, force)
                step = scipy.sparse.linalg.splu(jacobian.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(-values)
                psi = psi + step
                total += 1
                good = bool(np.linalg.norm(step) <= tolerance * max(np.linalg.norm(psi), 1e-300))
                if good or not np.isfinite(psi).all():
                    break
            if not good:
                break
        values, _ = system.vorticity(psi, nu, force)
        size = max(np.abs(system.vorticity(psi, nu, force, only_viscous=True)[0]).max(), 1e-300)
        residual = float(np.abs(values).max() / size)
        return system.fields(psi, nu, force), total, residual, good and bool(np.isfinite(residual))


class _Line:
    """Sparse matrices of one axis with walls: n cells, n + 1 faces, n - 1 inner faces."""

    def __init__(self, axis: Axis):
        n, h = axis.size, axis.spacing
        self.n = n
        self.average = _pairs(n, 0.5, 0.5)  # faces to cells
        self.difference = _pairs(n, -1 / h, 1 / h)
        self.inner = sparse.eye_array(n + 1).tocsr()[1:-1]  # picks inner faces
        self.cells = sparse.eye_array(n).tocsr()
        self.to_inner = _pairs(n - 1, 0.5, 0.5)  # cells to inner faces
        self.slope = _pairs(n - 1, -1 / h, 1 / h)
        self.to_faces = sparse.vstack([sparse.csr_array((1, n)), self.to_inner, sparse.csr_array((1, n))]).tocsr()
        dense = second_difference(n - 1, h, "face")
        along_faces = np.zeros((n - 1, n + 1))
        along_faces[:, 1:-1] = dense
        along_faces[0, 0] = along_faces[-1, -1] = 1 / h**2
        self.second_faces = sparse.csr_array(along_faces)
        self.second_cells = sparse.csr_array(second_difference(n, h, "cell"))
        self.wall_second = 8 / 3 / h**2


def _pairs(n: int, left: float, right: float):
    """left * w[i] + right * w[i + 1], n rows."""
    return left * sparse.eye_array(n, n + 1, format="csr") + right * sparse.eye_array(n, n + 1, k=1, format="csr")


class _Component:
    """-(u u)_x - (u v)_y + nu laplace(u) on inner x faces as matrices: of u on x faces, carried by v on y faces.

    For the v equation the roles of the axes are swapped; `first` tells whether the axis across comes first in the arrays.
    """

    def __init__(self, across: _Line, along: _Line, walls: tuple[np.ndarray, np.ndarray], first: bool):
        def kron(x, y):
            return sparse.kron(x, y, format="csr") if first else sparse.kron(y, x, format="csr")

        low, high = (w[1:-1] for w in walls)  # u on the walls across y, at the inner x faces
        at = np.zeros((across.n - 1, along.n + 1))
        at[:, 0], at[:, -1] = low, high
        second = np.zeros((across.n - 1, along.n))
        second[:, 0], second[:, -1] = along.wall_second * low, along.wall_second * high
        flat = (lambda w: w.ravel()) if first else (lambda w: w.T.ravel())
        self.middle = kron(across.average, along.cells)
        self.out_x = kron(across.slope, along.cells)
        self.at_corner = kron(across.inner, along.to_faces)
        self.wall_corner = flat(at)
        self.carrier = kron(across.to_inner, sparse.eye_array(along.n + 1))
        self.out_y = kron(sparse.eye_array(across.n - 1), along.difference)
        self.laplace = kron(across.second_faces, along.cells) + kron(across.inner, along.second_cells)
        self.wall_laplace = flat(second)

    def rate(self, u, v, nu, convect: bool = True):
        """Rate of change without pressure and force, and its derivatives by u and by v."""
        rate, by_u = nu * (self.laplace @ u + self.wall_laplace), nu * self.laplace
        by_v = sparse.csr_array((rate.size, v.size))
        if convect:
            middle, corner, carrier = self.middle @ u, self.at_corner @ u + self.wall_corner, self.carrier @ v
            rate = rate - self.out_x @ middle**2 - self.out_y @ (corner * carrier)
            by_u = by_u - self.out_x @ _rows(2 * middle, self.middle) - self.out_y @ _rows(carrier, self.at_corner)
            by_v = -(self.out_y @ _rows(corner, self.carrier))
        return rate, by_u, by_v


def _rows(values: np.ndarray, matrix):
    return sparse.diags_array(values) @ matrix


class _System:
    """The curl of the momentum equation as a function of psi at the inner nodes."""

    def __init__(self, grid: Grid, walls: Mapping[str, Velocity]):
        self.grid = grid
        x, y = _Line(grid.axes[0]), _Line(grid.axes[1])
        (hx, hy), (nx, ny) = grid.spacing, grid.shape
        known = wall_values(grid, walls)
        self.u_part = _Component(x, y, (known["bottom"][0], known["top"][0]), first=True)
        self.v_part = _Component(y, x, (known["left"][0], known["right"][0]), first=False)
        inner = sparse.kron(x.inner, y.inner, format="csr")  # nodes to inner nodes
        u_of = sparse.kron(sparse.eye_array(nx + 1), y.difference, format="csr")  # u = psi_y
        v_of = -sparse.kron(x.difference, sparse.eye_array(ny + 1), format="csr")  # v = -psi_x
        wall_psi = np.zeros((nx + 1, ny + 1))
        wall_psi[0, 1:] = np.cumsum(known["left"][1]) * hy
        wall_psi[1:, 0] = -np.cumsum(known["bottom"][1]) * hx
        wall_psi[-1] = wall_psi[-1, 0] + np.concatenate([[0], np.cumsum(known["right"][1])]) * hy
        wall_psi[1:-1, -1] = wall_psi[0, -1] - np.cumsum(known["top"][1])[:-1] * hx
        self.u_wall, self.v_wall = u_of @ wall_psi.ravel(), v_of @ wall_psi.ravel()
        self.u_of, self.v_of = u_of @ inner.T, v_of @ inner.T
        self.unknowns = (nx - 1) * (ny - 1)
        self.curl = (  # of values on inner faces, at inner nodes
            -sparse.kron(sparse.eye_array(nx - 1), y.slope, format="csr"),
            sparse.kron(x.slope, sparse.eye_array(ny - 1), format="csr"),
        )

    def vorticity(self, psi: np.ndarray, nu: float, force: list[np.ndarray], only_viscous: bool = False):
        """Rate of change of the vorticity, and its Jacobian."""
        u, v = self.u_of @ psi + self.u_wall, self.v_of @ psi + self.v_wall
        for_u, u_by_u, u_by_v = self.u_part.rate(u, v, nu, not only_viscous)
        for_v, v_by_v, v_by_u = self.v_part.rate(v, u, nu, not only_viscous)
        if not only_viscous:
            for_u, for_v = for_u + force[0], for_v + force[1]
        jacobian = self.curl[0] @ (u_by_u @ self.u_of + u_by_v @ self.v_of)
        jacobian = jacobian + self.curl[1] @ (v_by_v @ self.v_of + v_by_u @ self.u_of)
        return self.curl[0] @ for_u + self.curl[1] @ for_v, jacobian

    def fields(self, psi: np.ndarray, nu: float, force: list[np.ndarray]) -> np.ndarray:
        """u, v and p in the cells, (x, y, 3)."""
        (nx, ny), (hx, hy) = self.grid.shape, self.grid.spacing
        u, v = self.u_of @ psi + self.u_wall, self.v_of @ psi + self.v_wall
        rates = np.zeros((nx + 1, ny)), np.zeros((nx, ny + 1))
        rates[0][1:-1] = (self.u_part.rate(u, v, nu)[0] + force[0]).reshape(nx - 1, ny)
        rates[1][:, 1:-1] = (self.v_part.rate(v, u, nu)[0] + force[1]).reshape(nx, ny - 1)
        source = np.diff(rates[0], axis=0) / hx + np.diff(rates[1], axis=1) / hy
        box = Grid(tuple(replace(axis, boundary=("neumann", "neumann")) for axis in self.grid.axes))
        p = Poisson(box).solve(-source[None], remove_mean=True).values[0]
        u, v = u.reshape(nx + 1, ny), v.reshape(nx, ny + 1)
        return np.stack([(u[1:] + u[:-1]) / 2, (v[:, 1:] + v[:, :-1]) / 2, p], axis=-1)
