"""Flow through a periodic channel between walls at rest, driven by a pressure gradient G and a random force f along it:

u_t + (u u)_x + (u v)_y = G + f - p_x + nu lap(u),    v_t + (u v)_x + (v v)_y = -p_y + nu lap(v),    u_x + v_y = 0
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import constant
from pdes.random_waves import modes
from pdes.scalars import loguniform, uniform
from solvers.grid import Grid


@dataclass(frozen=True)
class ChannelSolver(Solver):
    """Projection on the staggered grid; `speed` bounds |u| + |v|, as in `pdes.families.cavity`."""

    speed: float = 1.2

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.projection import ProjectionNavierStokes

        dt = min(grid.spacing) / self.speed
        start = np.stack([inputs["u"], inputs["v"]], axis=-1)
        force = inputs["f"] + np.asarray(parameters["G"])[:, None, None]
        result = ProjectionNavierStokes(grid, dt).solve(start, times, {"nu": parameters["nu"], "force": (force, 0.0)})
        return Solution({name: result.values[..., i] for i, name in enumerate("uvp")}, result.outcome, result.stats)


channel = Problem(
    name="channel",
    equation="u_t = G + f - p_x - dx(u*u) - dy(u*v) + nu*lap(u); v_t = -p_y - dx(u*v) - dy(v*v) + nu*lap(v); u_x + v_y = 0",
    domain=Box(x=(0, 2), y=(0, 1), boundary={"x": "periodic", "y": "wall"}, kind="cell"),
    parameters={"nu": loguniform(0.005, 0.02), "G": uniform(0.2, 0.5)},
    initial={"u": constant(0), "v": constant(0)},
    inputs={"f": modes(tau=4, alpha=3, sigma=60, modes=8)},
    time=(0, 3),
    frames=16,
    solver=ChannelSolver(),
    refine=2,
    measure_every=32,
    check={"time": (0, 2), "frames": 3, "refine": 1, "margin": 2},
    held_out_laws={"parameters": {"nu": loguniform(0.0025, 0.005)}},
    description="A channel from rest under a pressure gradient and a random force; held out: less viscosity.",
    citation="Le, Moin, Journal of Computational Physics 92, 1991",
)
