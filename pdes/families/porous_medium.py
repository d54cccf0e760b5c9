"""Porous medium equation, u_t = (u^m)_xx with m = 2, 3 or 4: gas in soil, fronts of finite speed where u is zero.

The released label of PROSE-PDE has the other sign, which no data satisfy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pdes.families._prose import CELLS, setting
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import fourier_series
from pdes.random_profiles import hill
from pdes.random_shapes import mapped
from pdes.scalars import choice
from solvers.grid import Grid


@dataclass(frozen=True)
class PorousMediumSolver(Solver):
    """Cells and Runge-Kutta-Chebyshev."""

    tolerance: float = 1e-5

    def refined(self) -> "PorousMediumSolver":
        return replace(self, tolerance=self.tolerance / 10)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.porous_medium import PorousMedium

        result = PorousMedium(grid, self.tolerance).solve(np.maximum(inputs["u"], 0.0), times, parameters["m"])
        return Solution({"u": result.values}, result.outcome, result.stats)


porous_medium = Problem(
    name="porous_medium",
    equation="u_t = lap(u^m)",
    **setting(0.1, CELLS)
    | {
        "parameters": {"m": choice(2, 3, 4)},
        "held_out_laws": {"initial": {"u": hill(centre=(0.8, 0.9), width=(0.8, 0.9))}},
    },
    initial={"u": hill(centre=(0.9, 1.1), width=(0.9, 1.1))},
    solver=PorousMediumSolver(),
    refine=2,
    check={"initial": {"u": mapped(fourier_series(2, maximum=1), scale=0.3, offset=0.6)}, "time": (0, 0.02)},
    conserved={"mass": "u"},
    description="Porous medium equation of power 2, 3 or 4; held out: a hill beside the middle, and narrower.",
)
