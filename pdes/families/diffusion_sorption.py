"""Diffusion with sorption: R(u) u_t = D u_xx, a tracer that enters a column of soil and sticks to the grains.

R(u) is Freundlich's retardation, steep near u = 0, so that fronts stay sharp. u = 1 at the inlet; at the outlet -D u_x = u.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pdes.domain import Box
from pdes.problem import Problem, Solution, Solver
from pdes.random_shapes import level
from solvers.grid import Grid


@dataclass(frozen=True)
class SorptionSolver(Solver):
    """Cells and BDF."""

    tolerance: float = 1e-6

    def refined(self) -> "SorptionSolver":
        return replace(self, tolerance=self.tolerance / 10)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.sorption import DiffusionSorption

        result = DiffusionSorption(grid, tolerance=self.tolerance).solve(inputs["u"], times)
        return Solution({"u": result.values}, result.outcome, {"steps": result.stats["steps"]})


diffusion_sorption = Problem(
    name="diffusion_sorption",
    # (1 - 0.29) / 0.29 * 2880 * 3.5e-4 * 0.874 = 2.15691...; R(u) = 1 + that * (u + 1e-6)^(-0.126)
    equation="(1 + 0.71/0.29*2880*3.5e-4*0.874*(u + 1e-6)^(-0.126))*u_t = 5e-4*u_xx",
    domain=Box(x=(0, 1), boundary={"x": ("free", "robin")}, kind="cell"),
    initial={"u": level(0.0, 0.2)},
    time=(0, 500),
    frames=101,
    solver=SorptionSolver(),
    refine=2,
    check={"margin": 3, "frames": 5},
    held_out_laws={"initial": {"u": level(0.2, 0.4)}},
    description="Diffusion with sorption from a uniform state; held out: more tracer at the start.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (1-D diffusion-sorption)",
)
