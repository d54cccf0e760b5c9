"""Cars on a ring road, u_t + (v u (1 - u))_x = 0, u the density relative to a full road.

w = v (1 - 2 u), the speed of its waves, obeys Burgers' equation, so that the solution is exact: jams and their release.

Lighthill, Whitham, Proc. R. Soc. A 229, 1955; Richards, Operations Research 4, 1956.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Periodic
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import fourier_series
from pdes.random_shapes import mapped
from pdes.random_states import steps
from pdes.scalars import uniform
from solvers.grid import Grid


@dataclass(frozen=True)
class TrafficSolver(Solver):
    """Lax and Oleinik's formula for w = v (1 - 2 u)."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.scalar import LaxOleinik

        v = np.asarray(parameters["v"])[:, None]
        result = LaxOleinik(grid).solve(v * (1 - 2 * inputs["u"]), times)
        return Solution({"u": (1 - result.values / v[..., None]) / 2}, result.outcome)


traffic = Problem(
    name="traffic",
    equation="u_t = -v*dx(u*(1 - u))",
    domain=Periodic(x=(0, 1), cells=True),
    parameters={"v": uniform(0.5, 1)},
    initial={"u": steps(6, 0.05, 0.95)},
    time=(0, 1),
    frames=21,
    solver=TrafficSolver(),
    refine=4,
    check={
        "time": (0, 0.05),
        "frames": 3,
        "initial": {"u": mapped(fourier_series(2, maximum=1), scale=0.4, offset=0.45)},
        "refine": 8,
    },
    held_out_laws={"parameters": {"v": uniform(1, 1.5)}},
    conserved={"cars": "u"},
    description="Traffic on a ring: jams and their release, exact; held out: faster cars.",
    citation="Lighthill, Whitham, Proceedings of the Royal Society A 229, 1955",
)
