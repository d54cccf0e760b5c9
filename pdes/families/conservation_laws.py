"""Scalar conservation laws u_t + k f(u)_x = (eps / pi) u_xx with f = u, u^2 / 2, u^3 / 3, sin u, cos u, and without viscosity.

From sines the viscous ones are smooth: exponential Runge-Kutta on a grid that resolves their fronts. The others are solved by
finite volumes with speeds |k f'| of their own flux (published data took Burgers' for all), Burgers' by Lax and Oleinik's
formula. The problems `..._riemann` start from a jump on a line with open ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box
from pdes.families._prose import CELLS, setting
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import fourier_series
from pdes.random_profiles import jumps, sines
from pdes.random_shapes import mapped
from pdes.semilinear import Semilinear
from solvers.grid import Grid

FLUXES = {"linear": "u", "quadratic": "u^2/2", "cubic": "u^3/3", "sine": "sin(u)", "cosine": "cos(u)"}
_NAMES = {"quadratic": "prose_burgers"}  # the others are called after their flux
_EPS = 0.01
_OPEN = Box(x=(0, 2), boundary="outflow", kind="cell")
_SMOOTH = {"initial": {"u": mapped(fourier_series(2, maximum=1), scale=0.4, offset=0.5)}, "time": (0, 0.2)}


@dataclass(frozen=True)
class FluxSolver(Solver):
    """Finite volumes for k f(u); viscosity eps / pi where the problem has eps."""

    flux: str
    scheme: str = "weno5"
    courant: float = 0.9  # as accurate here as the default 0.6, in two thirds of the steps; 1 overshoots

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.finite_volume import FiniteVolume
        from solvers.scalar_flux import ScalarFlux

        known = {"k": np.asarray(parameters["k"])}
        if "eps" in parameters:
            known["nu"] = np.asarray(parameters["eps"]) / np.pi
        solver = FiniteVolume(ScalarFlux(self.flux), grid, self.scheme, courant=self.courant)
        result = solver.solve(inputs["u"][..., None], times, known)
        return Solution({"u": result.values[..., 0]}, result.outcome, result.stats)


@dataclass(frozen=True)
class BurgersSolver(Solver):
    """Lax and Oleinik's formula for w = k u, which obeys w_t + (w^2 / 2)_x = 0."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.scalar import LaxOleinik

        k = np.asarray(parameters["k"])[:, None]
        result = LaxOleinik(grid).solve(k * inputs["u"], times)
        return Solution({"u": result.values / k[..., None]}, result.outcome)


def _viscous(flux: str) -> Problem:
    name = _NAMES.get(flux, f"{flux}_flux")
    return Problem(
        name=name,
        equation=f"u_t = eps/pi*u_xx - k*dx({FLUXES[flux]})",
        **setting(2.0, k=1.0, eps=_EPS),
        initial={"u": sines(4, edges=0.1)},
        solver=None if flux == "linear" else Semilinear(dt=0.01, speed=1.2),
        compute_at_least=512,
        check=_SMOOTH,
        conserved={"mass": "u"},
        description=f"Conservation law of {flux} flux with little viscosity; held out: k and eps 10 to 20 % away.",
    )


def _inviscid(flux: str) -> Problem:
    return Problem(
        name=_NAMES.get(flux, f"{flux}_flux") + "_inviscid",
        equation=f"u_t = -k*dx({FLUXES[flux]})",
        **setting(2.0, CELLS, k=1.0),
        initial={"u": sines(4, edges=0.1)},
        solver=BurgersSolver() if flux == "quadratic" else FluxSolver(flux),
        refine=4,
        check=_SMOOTH,
        conserved={"mass": "u"},
        description=f"Conservation law of {flux} flux, shocks and fans; held out: k 10 to 20 % away.",
    )


def _riemann(problem: Problem, flux: str) -> Problem:
    """The same law from a jump; held out: two jumps (rising ones are `initial={"u": jumps(1, rising=True)}`)."""
    return problem.replace(
        name=f"{problem.name}_riemann",
        domain=_OPEN,
        initial={"u": jumps(1)},
        solver=FluxSolver(flux),
        compute_at_least=0,
        refine=2 if "eps" in problem.parameters else 4,
        check={**_SMOOTH, "margin": 8},
        conserved={},
        held_out_laws={"initial": {"u": jumps(2)}, **problem.held_out_laws},
        description=problem.description.partition(",")[0].partition(";")[0]
        + " from a jump; held out: two jumps, and other numbers.",
    )


SINES = {
    p.name: p for p in (*map(_viscous, FLUXES), *(_inviscid(flux) for flux in FLUXES if flux != "linear"))
}  # the linear one without viscosity is `advection`
RIEMANN = {
    p.name: p
    for flux in FLUXES
    if flux != "linear"
    for p in (_riemann(SINES[_NAMES.get(flux, f"{flux}_flux") + end], flux) for end in ("", "_inviscid"))
}
