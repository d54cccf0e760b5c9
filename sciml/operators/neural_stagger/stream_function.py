"""Incompressible flow between walls on its stream function, discretised as the staggered (MAC) grid of `solvers.projection` is.

    A psi_t = curl(-(u u)_x - (u v)_y + nu lap(u) + f),    u = psi_y,  v = -psi_x,    A = -lap of the nodes,  psi = 0 on walls

psi lies on the nodes, velocities on the faces are its differences: the divergence is zero identically, the walls let nothing
through, and their sliding speed enters the viscous term through the same ghost values as in the classical solver. The discrete
curl of a pressure gradient is zero, so no pressure is needed. A steady state of this is the one of `solvers.steady_flow`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pdes.equation import Equation
from sciml.operators.neural_stagger.discretisation import Discretisation, Known
from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid

MOMENTUM = Equation(
    "u_t = -dx(u*u) - dy(u*v) - p_x + nu*lap(u); v_t = -dx(u*v) - dy(v*v) - p_y + nu*lap(v); u_x + v_y = 0", dimension=2
)


class StreamFunction(Discretisation):
    """Flow in a closed box; psi is (item, 1, x nodes, y nodes), walls included.

    Parameters
    ----------
    equation : momentum in u and v with pressure and viscosity "nu", and at most one input: a force along y.
    grid : nodes of two axes with walls; n nodes bound n - 1 cells.
    walls : as for `solvers.projection.ProjectionNavierStokes`; sides may only slide. A parameter "lid" multiplies them all.
    """

    def __init__(self, equation: Equation, grid: Grid, walls: Mapping[str, Any]):
        if grid.dimension != 2 or any(axis.kind != "node" or axis.size < 5 for axis in grid.axes):
            raise GridError(
                given=f"a grid of {[f'{a.size} {a.kind}' for a in grid.axes]} points",
                needed="two axes of at least 5 nodes, walls included",
                remedy="Use `box_of_nodes`.",
            )
        if not {"u", "v", "p"} <= set(equation.unknowns) or len(equation.inputs) > 1:
            raise SettingError(
                given=f"equation {equation}",
                needed="momentum for u and v with the pressure p, and at most one force, along y",
                remedy="Train on labelled data, learn='data'.",
            )
        self.equation, self.grid, self.unknowns = equation, grid, ("psi",)
        self._kept = {}
        self.force = equation.inputs[0] if equation.inputs else None
        from solvers.projection import wall_values

        cells = Grid(tuple(Axis(a.name, a.size - 1, a.start, a.stop, "cell", ("wall", "wall")) for a in grid.axes))
        found = wall_values(cells, walls)
        if any(np.any(through) for _, through in found.values()):
            raise SettingError(
                given="flow through the walls", needed="walls that only slide", remedy="Use the classical solver."
            )
        self.walls = {side: along[1:-1] for side, (along, _) in found.items()}  # at the inner faces of the other axis

    def rate(self, u, p):
        return self._curl(self._momentum(u, p, convect=True))

    def linear(self, u, p):
        return self._curl(self._momentum(u, p, convect=False))

    def velocity(self, psi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """u on the faces across x, (item, x nodes, cells), and v on those across y."""
        hx, hy = self.grid.spacing
        psi = psi[:, 0]
        return (psi[:, :, 1:] - psi[:, :, :-1]) / hy, -(psi[:, 1:] - psi[:, :-1]) / hx

    def mass(self, change):
        hx, hy = self.grid.spacing
        c = change[:, :, 1:-1, 1:-1]
        total = (2 * c - change[:, :, 2:, 1:-1] - change[:, :, :-2, 1:-1]) / hx**2
        total = total + (2 * c - change[:, :, 1:-1, 2:] - change[:, :, 1:-1, :-2]) / hy**2
        return F.pad(total, (1, 1, 1, 1))

    def solve(self, r, a, b, p):
        """(a A + b nu A^2)^-1 by sine modes: exact but for the rows next to walls, whose no-slip stencil differs. Classical
        iterations with it converge while nu dt / h^2 is below about 1."""
        values = self._constant("values", self._values, r)
        (sx, sy) = (self._constant(("sines", i), lambda i=i: _sines(self.grid.axes[i].size - 2), r) for i in (0, 1))
        modes, nu = sx @ r[:, :, 1:-1, 1:-1] @ sy, _per_item(p["nu"])
        nu = nu[:, None] if isinstance(nu, torch.Tensor) and nu.ndim else nu
        return F.pad(sx @ (modes / (a * values + b * nu * values**2)) @ sy, (1, 1, 1, 1))

    def fixed(self, u):
        return F.pad(u[:, :, 1:-1, 1:-1], (1, 1, 1, 1))

    def _values(self) -> np.ndarray:
        rows = []
        for axis in self.grid.axes:
            n = axis.size - 1
            rows.append((2 - 2 * np.cos(np.pi * np.arange(1, n) / n)) / axis.spacing**2)
        return rows[0][:, None] + rows[1]

    def _momentum(self, psi: torch.Tensor, p: Known, convect: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Rates of u and v on inner faces, without pressure."""
        u, v = self.velocity(psi)
        hx, hy = self.grid.spacing
        speed, nu = _per_item(p.get("lid", 1.0)), _per_item(p["nu"])
        speed = speed[..., 0] if isinstance(speed, torch.Tensor) and speed.ndim else speed
        wall = {side: self._constant(("wall", side), lambda w=w: w, psi) * speed for side, w in self.walls.items()}
        for_u = _laplacian(u, wall["bottom"], wall["top"], hx, hy)
        for_v = _laplacian(v.mT, wall["left"], wall["right"], hy, hx).mT
        for_u, for_v = nu * for_u, nu * for_v
        if not convect:
            return for_u, for_v
        for_u = for_u + _convection(u, v, wall["bottom"], wall["top"], hx, hy)
        for_v = for_v + _convection(v.mT, u.mT, wall["left"], wall["right"], hy, hx).mT
        if self.force is not None:
            f = p[self.force]  # at the nodes; the faces across y lie half way between them
            for_v = for_v + (f[:, 1:, 1:-1] + f[:, :-1, 1:-1]) / 2
        return for_u, for_v

    def _curl(self, rates: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """v_x - u_y at inner nodes, and zero on the walls."""
        hx, hy = self.grid.spacing
        for_u, for_v = rates
        curl = (for_v[:, 1:] - for_v[:, :-1]) / hx - (for_u[:, :, 1:] - for_u[:, :, :-1]) / hy
        return F.pad(curl, (1, 1, 1, 1))[:, None]


def box_of_nodes(domain, nodes: int | tuple[int, ...]) -> Grid:
    """The nodes of a box with walls, on which the stream function of a closed flow is zero."""
    sizes = (nodes,) * domain.dimension if isinstance(nodes, int) else tuple(nodes)
    sides = ("dirichlet", "dirichlet")
    rows = zip(sizes, domain.intervals().items(), strict=True)
    return Grid(tuple(Axis(name, n, *interval, kind="node", boundary=sides) for n, (name, interval) in rows))


def _laplacian(u, low, high, hx: float, hy: float):
    """lap(u) on inner faces across x; the value beyond a wall continues the parabola through wall and two cells."""
    inner = u[:, 1:-1]
    low, high = (torch.broadcast_to(w[..., None], (*inner.shape[:2], 1)) for w in (low, high))
    below = 8 / 3 * low - 2 * inner[:, :, :1] + inner[:, :, 1:2] / 3
    above = 8 / 3 * high - 2 * inner[:, :, -1:] + inner[:, :, -2:-1] / 3
    padded = torch.cat([below, inner, above], 2)
    return (u[:, 2:] + u[:, :-2] - 2 * inner) / hx**2 + (padded[:, :, 2:] + padded[:, :, :-2] - 2 * inner) / hy**2


def _convection(u, v, low, high, hx: float, hy: float):
    """-(u u)_x - (u v)_y on inner faces across x."""
    flux = ((u[:, 1:] + u[:, :-1]) / 2) ** 2
    total = (flux[:, 1:] - flux[:, :-1]) / hx
    inner, carrier = u[:, 1:-1], (v[:, 1:] + v[:, :-1]) / 2
    low, high = (torch.broadcast_to(w[..., None], (*inner.shape[:2], 1)) for w in (low, high))
    flux = carrier * torch.cat([low, (inner[:, :, 1:] + inner[:, :, :-1]) / 2, high], 2)
    return -(total + (flux[:, :, 1:] - flux[:, :, :-1]) / hy)


def _per_item(value):
    """A number, or (item, 1, ...) as (item, 1, 1)."""
    return value.reshape(-1, 1, 1) if isinstance(value, torch.Tensor) and value.ndim else value


def _sines(n: int) -> np.ndarray:
    """Symmetric orthogonal sine transform of n inner points."""
    i = np.arange(1, n + 1)
    return np.sqrt(2 / (n + 1)) * np.sin(np.pi * np.outer(i, i) / (n + 1))
