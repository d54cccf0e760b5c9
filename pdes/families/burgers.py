"""Viscous Burgers on the unit circle, u_t + (u^2 / 2)_x = nu u_xx, and its two-dimensional system.

Initial states are Gaussian with covariance 625 (-d^2/dx^2 + 25)^(-2). In one dimension the solution is known in closed form
(Cole and Hopf); samples of too little viscosity for it, and the system, are integrated in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pdes.domain import Periodic
from pdes.problem import Problem, Solution
from pdes.random_fields import fourier_series, grf
from pdes.scalars import loguniform
from pdes.semilinear import Semilinear
from solvers.grid import Grid
from solvers.result import Outcome


@dataclass(frozen=True)
class BurgersSolver:
    """Cole-Hopf where its digits suffice, else exponential Runge-Kutta; the choice is each sample's own."""

    stepper: Semilinear = field(default_factory=lambda: Semilinear(dt=0.005, speed=2.5))

    def prepare(self, problem: Problem, grid: Grid, seed: int) -> "BurgersSolver":
        return replace(self, stepper=self.stepper.prepare(problem, grid, seed))

    def refined(self) -> "BurgersSolver":
        return replace(self, stepper=self.stepper.refined())

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.cole_hopf import ColeHopf

        exact = ColeHopf(grid).solve(inputs["u"], times, parameters)
        left = exact.outcome != Outcome.SUCCESS
        if not left.any():
            return Solution({"u": exact.values}, exact.outcome, {"steps": np.zeros(len(left), np.int64)})
        # The whole batch is integrated, so that its shape, and with it the rounding of a sample, does not depend on the others.
        stepped = self.stepper(problem, grid, inputs, parameters, times)
        values = np.where(left[:, None, None], stepped.fields["u"], exact.values)
        steps = np.where(left, stepped.stats["steps"], 0)
        return Solution({"u": values}, np.where(left, stepped.outcome, exact.outcome), {"steps": steps})


burgers = Problem(
    name="burgers",
    equation="u_t = nu*u_xx - u*u_x",
    domain=Periodic(x=(0, 1)),
    parameters={"nu": loguniform(0.01, 0.1)},
    initial={"u": grf(tau=5, alpha=2, sigma=25, modes=128)},
    time=(0, 1),
    frames=21,
    solver=BurgersSolver(),
    compute_at_least=512,
    held_out_laws={"parameters": {"nu": loguniform(0.004, 0.01)}},
    conserved={"mass": "u"},
    description="Viscous Burgers, shocks of width nu; held out: less viscosity.",
    citation="Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021",
)

burgers_2d = Problem(
    name="burgers_2d",
    equation="u_t = nu*lap(u) - u*u_x - v*u_y; v_t = nu*lap(v) - u*v_x - v*v_y",
    domain=Periodic(x=(0, 1), y=(0, 1)),
    parameters={"nu": loguniform(0.005, 0.02)},
    initial={"u": fourier_series(2, maximum=1), "v": fourier_series(2, maximum=1)},
    time=(0, 0.5),
    solver=Semilinear(dt=0.01, speed=1.0),
    compute_at_least=128,
    check={"time": (0, 0.2), "frames": 3, "compute_at_least": 64},
    held_out_laws={"parameters": {"nu": loguniform(0.002, 0.005)}},
    description="Two-dimensional Burgers system, steepening fronts; held out: less viscosity.",
)
