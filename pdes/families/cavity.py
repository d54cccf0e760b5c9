"""Flow in a square cavity, stirred by a moving lid and by random buoyancy f:

    u_t + (u u)_x + (u v)_y = -p_x + nu lap(u),    v_t + (u v)_x + (v v)_y = -p_y + nu lap(v) + f,    u_x + v_y = 0

The lid moves at 16 x^2 (1 - x)^2, so that the corners are smooth, and takes up its speed within half a unit of time; the
Reynolds number is 1 / nu. Fields are means of the staggered velocities in the cells, and the pressure of mean zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import constant, grf
from pdes.scalars import loguniform
from solvers.grid import Grid


def lid(x: np.ndarray) -> np.ndarray:
    """Speed of the lid."""
    return 16 * x**2 * (1 - x) ** 2


WALLS = {"top": (lid, 0.0)}


@dataclass(frozen=True)
class CavitySolver(Solver):
    """Projection on the staggered grid.

    Parameters
    ----------
    speed : a bound of |u| + |v|; the step keeps to a Courant number of one for it, and the solve fails beyond 1.5.
    ramp : time in which the lid takes up its speed.
    """

    speed: float = 1.2
    ramp: float = 0.5

    @property
    def walls(self) -> Mapping:
        """Velocities of the walls once the lid has its speed."""
        return WALLS

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.projection import ProjectionNavierStokes

        dt = min(grid.spacing) / self.speed
        start = np.stack([inputs["u"], inputs["v"]], axis=-1)
        known = {"nu": parameters["nu"], "force": (0.0, inputs["f"])}
        result = ProjectionNavierStokes(grid, dt, walls=WALLS, ramp=self.ramp).solve(start, times, known)
        return Solution({name: result.values[..., i] for i, name in enumerate("uvp")}, result.outcome, result.stats)


@dataclass(frozen=True)
class SteadyCavitySolver(Solver):
    """Newton's method on the stream function."""

    tolerance: float = 1e-9

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from solvers.steady_flow import SteadyNavierStokes

        known = {"nu": parameters["nu"], "force": (0.0, inputs["f"])}
        result = SteadyNavierStokes(grid, WALLS, tolerance=self.tolerance).solve(known, len(inputs["f"]))
        return Solution({name: result.values[..., i] for i, name in enumerate("uvp")}, result.outcome, result.stats)


_SQUARE = Box(x=(0, 1), y=(0, 1), boundary="wall", kind="cell")
_BUOYANCY = grf(tau=4, alpha=3, sigma=20, basis="neumann", modes=12)

cavity = Problem(
    name="cavity",
    equation="u_t = -dx(u*u) - dy(u*v) - p_x + nu*lap(u); v_t = -dx(u*v) - dy(v*v) - p_y + nu*lap(v) + f; u_x + v_y = 0",
    domain=_SQUARE,
    parameters={"nu": loguniform(0.005, 0.02)},
    initial={"u": constant(0), "v": constant(0)},
    inputs={"f": _BUOYANCY},
    time=(0, 4),
    frames=21,
    solver=CavitySolver(),
    refine=2,
    measure_every=32,
    check={"time": (0, 2), "frames": 3, "refine": 1, "margin": 2},
    held_out_laws={"parameters": {"nu": loguniform(0.0025, 0.005)}},
    description="A cavity with a moving lid and random buoyancy, from rest, Re 50 to 200; held out: Re 200 to 400.",
    citation="Harlow, Welch, Physics of Fluids 8, 1965",
)

cavity_steady = Problem(
    name="cavity_steady",
    equation="dx(u*u) + dy(u*v) + p_x = nu*lap(u); dx(u*v) + dy(v*v) + p_y = nu*lap(v) + f; u_x + v_y = 0",
    domain=_SQUARE,
    parameters={"nu": loguniform(0.01, 0.05)},
    inputs={"f": _BUOYANCY},
    solver=SteadyCavitySolver(),
    check={"margin": 2},
    held_out_laws={"parameters": {"nu": loguniform(0.005, 0.01)}},
    description="Steady flow in a cavity with a moving lid and buoyancy, Re 20 to 100; held out: Re 100 to 200.",
    citation="Ghia, Ghia, Shin, Journal of Computational Physics 48, 1982",
)
