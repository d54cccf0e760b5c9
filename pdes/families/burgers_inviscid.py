"""Burgers' equation without viscosity, u_t + (u^2 / 2)_x = 0: shocks and fans, exact by the formula of Lax and Oleinik."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Periodic
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import fourier_series
from pdes.random_states import steps
from solvers.grid import Grid


@dataclass(frozen=True)
class LaxOleinikSolver(Solver):
    """Exact averages over cells, without steps in time."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.scalar import LaxOleinik

        result = LaxOleinik(grid).solve(inputs["u"], times)
        return Solution({"u": result.values}, result.outcome)


burgers_inviscid = Problem(
    name="burgers_inviscid",
    equation="u_t = -dx(u^2/2)",
    domain=Periodic(x=(0, 1), cells=True),
    initial={"u": fourier_series(4, maximum=1)},
    time=(0, 1),
    frames=21,
    solver=LaxOleinikSolver(),
    refine=4,
    check={"time": (0, 0.05), "frames": 3, "initial": {"u": fourier_series(2, maximum=1)}, "refine": 8},
    held_out_laws={"initial": {"u": fourier_series(8, maximum=1)}},
    conserved={"mass": "u"},
    description="Inviscid Burgers from smooth waves that break; held out: shorter waves.",
)

burgers_steps = burgers_inviscid.replace(
    name="burgers_steps",
    initial={"u": steps(5, -1, 1)},
    held_out_laws={"initial": {"u": steps(10, -1, 1)}},
    description="Inviscid Burgers from steps: shocks and fans that meet; held out: twice as many.",
)
