"""Waves of one frequency in a medium of varying speed, -lap(u) - (omega / c)^2 u = 0, u = a + i b, driven from the top side.

`helmholtz` lets waves leave, u_n - i k u = g with g = exp(-((x - 1/2) / 0.1)^2) on the top: no sample meets a resonance.
`helmholtz_neumann` is the hard box of de Hoop et al. (omega = 1000, c = 20 + tanh of a Gaussian field, u_n = 1 on the middle
third of the top): real, sensitive near resonances (see `quality/condition`), and solved here at fourth order, not by bilinear
elements, whose waves are too short by a percent at these frequencies. At c = 19.89 it meets the resonance 16 pi of a box of one
speed: its samples are near that plane wave. Fields are means over cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import grf
from pdes.random_waves import tanh_of
from pdes.scalars import fixed, uniform
from solvers.grid import Grid


@dataclass(frozen=True)
class HelmholtzSolver(Solver):
    """Spectral elements and a sparse factorisation; `condition` on the walls, and which of the fixed sources drives."""

    condition: str = "impedance"

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from solvers.helmholtz import Helmholtz

        k = np.asarray(parameters["omega"])[:, None, None] / inputs["c"]
        source = beam if self.condition == "impedance" else (0.35, 0.65, 1.0)
        result = Helmholtz(grid, self.condition, {"top": source}, means=True).solve(k)
        if self.condition == "neumann":
            return Solution({"u": result.values}, result.outcome, result.stats)
        return Solution({"a": result.values.real, "b": result.values.imag}, result.outcome, result.stats)


def beam(x: np.ndarray) -> np.ndarray:
    """g on the top side."""
    return np.exp(-(((x - 0.5) / 0.1) ** 2))


_SQUARE = Box(x=(0, 1), y=(0, 1), boundary="robin", kind="cell")
_CITATION = "de Hoop, Huang, Qian, Stuart, The Cost-Accuracy Trade-Off in Operator Learning with Neural Networks, 2022"

helmholtz = Problem(
    name="helmholtz",
    equation="-lap(a) - (omega/c)^2*a = 0; -lap(b) - (omega/c)^2*b = 0",
    domain=_SQUARE,
    parameters={"omega": uniform(300, 600)},
    inputs={"c": tanh_of(grf(tau=6, alpha=3, sigma=300, basis="neumann", modes=24), mean=20, contrast=4)},
    solver=HelmholtzSolver(),
    compute_at_least=64,
    check={"resolution": 64, "margin": 2},
    held_out_laws={"parameters": {"omega": uniform(600, 900)}},
    description="A beam through a random medium with open sides, wavenumbers 12 to 38; held out: up to 56.",
    citation=_CITATION,
)

helmholtz_neumann = Problem(
    name="helmholtz_neumann",
    equation="-lap(u) - (omega/c)^2*u = 0",
    domain=_SQUARE,
    parameters={"omega": fixed(1000)},
    inputs={"c": tanh_of(grf(tau=3, alpha=2, sigma=1, basis="neumann", modes=64), mean=20, contrast=1)},
    solver=HelmholtzSolver("neumann"),
    compute_at_least=128,
    check={"resolution": 96, "margin": 4, "parameters": {"omega": fixed(870)}},  # away from the plane resonance
    held_out_laws={"inputs": {"c": tanh_of(grf(tau=3, alpha=2, sigma=2, basis="neumann", modes=64), mean=20, contrast=1)}},
    description="A hard box at omega = 1000, wavenumber about 50; held out: twice the variation of the speed.",
    citation=_CITATION,
)
