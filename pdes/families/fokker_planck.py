"""Brownian particles in a periodic potential, by Fokker and Planck's equation for their density u (lengths in um, times in s):

    u_t = D u_xx + (u U'(x) / gamma)_x,    U = c cos(x / L),    gamma = 6 pi eta r,    D = k T / gamma

with r = L = 0.1 um, c = 5e-21 J, T = 300 K and a viscosity eta near that of water, 1 mPa s: D = 2.197 / eta and, for the drift,
B = c / (gamma L) = 26.53 / eta. Written out, u_t + 10 B cos(10 x) u + B sin(10 x) u_x - D u_xx = 0: the released labels of
PROSE-PDE have other signs. Two um are no multiple of the potential's period: no circle, but a line whose ends nothing crosses.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box
from pdes.families._prose import setting
from pdes.problem import Problem, Solution, Solver
from pdes.random_profiles import hill
from solvers.grid import Grid

DIFFUSIVITY, DRIFT, WAVENUMBER = 2.197, 26.53, 10.0
"""k T / (6 pi r) and c / (6 pi r L) in um^2 / s and um / s times mPa s; 1 / L in 1 / um."""


@dataclass(frozen=True)
class FokkerPlanckSolver(Solver):
    """Exponential of the matrix of fluxes that leave Gibbs' state alone."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.fokker_planck import FokkerPlanck

        result = FokkerPlanck(grid, potential).solve(inputs["u"], times, DIFFUSIVITY / np.asarray(parameters["eta"]))
        return Solution({"u": result.values}, result.outcome)


def potential(x: np.ndarray) -> np.ndarray:
    """U / (k T)."""
    return DRIFT / (DIFFUSIVITY * WAVENUMBER) * np.cos(WAVENUMBER * x)


fokker_planck = Problem(
    name="fokker_planck",
    equation=f"u_t = {DIFFUSIVITY}/eta*u_xx - {DRIFT}/eta*dx(sin({WAVENUMBER:g}*x)*u)",
    **setting(0.1, Box(x=(0, 2), boundary="wall", kind="cell"), eta=1.0),
    initial={"u": hill(centre=(0.5, 1.5), width=(0.1, 0.5), detrended=False)},
    solver=FokkerPlanckSolver(),
    refine=2,
    check={"time": (0, 0.005), "margin": 2},  # later the density is near that at rest, and no rate is seen
    conserved={"mass": "u"},
    description="Brownian particles in a cosine potential between walls; held out: viscosity 10 to 20 % away.",
)
