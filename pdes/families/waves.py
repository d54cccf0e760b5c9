"""Waves as the pair (u, v = u_t): in a uniform medium, exactly, and through layers that reflect, between open sides.

    u_t = v,    v_t = c^2 lap(u)              periodic box; every mode turns at its own rate
    u_t = v,    v_t = div(c2 grad(u))         leap-frog with harmonic means of c2 on the faces

In the layered medium waves leave through three sides (to first order: those that arrive straight) and the top is free, u = 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box, Periodic
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import constant
from pdes.random_waves import layers, modes, packets
from pdes.scalars import uniform
from solvers.grid import Grid


@dataclass(frozen=True)
class WaveSolver(Solver):
    """Exact propagator of one speed."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.waves import SpectralWave

        start = np.stack([inputs["u"], inputs["v"]], axis=-1)
        result = SpectralWave(grid).solve(start, times, {"c": parameters["c"]})
        return Solution({"u": result.values[..., 0], "v": result.values[..., 1]}, result.outcome)


@dataclass(frozen=True)
class LeapfrogSolver(Solver):
    """Leap-frog; `courant` is the step relative to h / (fastest speed sqrt(dimension)), `fastest` a bound of the speed."""

    fastest: float
    courant: float = 0.7

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.waves import Leapfrog

        dt = self.courant * min(grid.spacing) / (self.fastest * grid.dimension**0.5)
        start = np.stack([inputs["u"], inputs["v"]], axis=-1)
        result = Leapfrog(grid, dt).solve(start, times, {"c2": inputs["c2"]})
        stats = {"steps": result.stats["steps"]}
        return Solution({"u": result.values[..., 0], "v": result.values[..., 1]}, result.outcome, stats)


wave = Problem(
    name="wave",
    equation="u_t = v; v_t = c^2*lap(u)",
    domain=Periodic(x=(0, 1), y=(0, 1)),
    parameters={"c": uniform(0.5, 1.0)},
    initial={"u": packets(count=3, width=(0.05, 0.1)), "v": modes(tau=12, alpha=3, sigma=6000, modes=8)},
    time=(0, 1),
    frames=21,
    solver=WaveSolver(),
    compute_at_least=64,
    check={"resolution": 64, "frames": 5},
    held_out_laws={"parameters": {"c": uniform(1.0, 1.5)}},
    description="Pulses and random motion in a uniform medium, exact; held out: faster waves.",
)

wave_layers = Problem(
    name="wave_layers",
    equation="u_t = v; v_t = div(c2*grad(u))",
    domain=Box(x=(0, 1), y=(0, 1), boundary={"x": ("outflow", "outflow"), "y": ("outflow", "dirichlet")}, kind="cell"),
    initial={"u": packets(count=2, width=(0.06, 0.08)), "v": constant(0)},
    inputs={"c2": layers(count=4, speed=(1.0, 2.0), blend=0.02)},
    time=(0, 0.6),
    frames=21,
    solver=LeapfrogSolver(fastest=2.0),
    refine=4,
    measure_every=32,
    check={"resolution": 64, "frames": 5, "time": (0, 0.2), "margin": 1, "refine": 3},
    held_out_laws={"inputs": {"c2": layers(count=7, speed=(1.0, 2.0), blend=0.02)}},
    description="Pulses through four layers of random speed with bent interfaces; held out: seven layers.",
)
