"""Advection, u_t + beta u_x = 0: of smooth waves, exact in Fourier space, and of jumps, exact for averages over cells."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Periodic
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import fourier_series
from pdes.random_states import levels, steps
from pdes.scalars import choice, fixed, uniform
from solvers.grid import Grid


@dataclass(frozen=True)
class TransportSolver(Solver):
    """Moves averages over cells."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.scalar import Transport

        result = Transport(grid).solve(inputs["u"], times, parameters["beta"])
        return Solution({"u": result.values}, result.outcome)


advection = Problem(
    name="advection",
    equation="u_t = -beta*u_x",
    domain=Periodic(x=(0, 1)),
    parameters={"beta": choice(0.1, 0.2, 0.4, 0.7, 1, 2, 4, 7)},
    initial={"u": fourier_series(5, maximum=1)},
    time=(0, 2),
    frames=41,
    check={"time": (0, 0.05), "frames": 3},
    held_out_laws={"parameters": {"beta": fixed(10)}},
    conserved={"mass": "u"},
    description="Waves that travel at one of eight speeds; held out: a faster one.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (1-D advection)",
)

advection_jumps = Problem(
    name="advection_jumps",
    equation="u_t = -beta*u_x",
    domain=Periodic(x=(0, 1), cells=True),
    parameters={"beta": uniform(0.1, 1)},
    initial={"u": steps(6, -1, 1)},
    time=(0, 2),
    frames=41,
    solver=TransportSolver(),
    refine=8,
    check={"time": (0, 0.2), "frames": 3, "initial": {"u": fourier_series(2, maximum=1)}},
    held_out_laws={"parameters": {"beta": uniform(1, 2)}, "initial": {"u": levels(8, -1, 1)}},
    conserved={"mass": "u"},
    description="Steps that travel, exact averages over cells; held out: random signs, and faster.",
)
