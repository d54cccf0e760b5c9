"""Poisson's equation on the unit square, -lap(u) = f, with each kind of boundary.

Solved to rounding by fast transforms, on a grid that carries every mode of the source; the label error is that of the
second-order stencil (walls), or none (periodic).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box, Periodic
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import grf
from solvers.grid import Grid


@dataclass(frozen=True)
class PoissonSolver(Solver):
    """Fast Poisson solver of the grid's boundary conditions."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from solvers.elliptic import Poisson

        result = Poisson(grid, "spectral" if grid.is_periodic else "stencil").solve(inputs["f"])
        return Solution(
            {"u": result.values}, result.outcome, {n: np.asarray(v) for n, v in result.stats.items() if np.ndim(v) == 1}
        )

    def diffusion(self, inputs: Mapping) -> tuple:
        """a and f of -div(a grad u) = f, (sample, *cells) or numbers."""
        return 1.0, inputs["f"]


_MODES = 32


def _poisson(kind: str, domain, held_out: str) -> Problem:
    return Problem(
        name=f"poisson_{kind}",
        equation="-lap(u) = f",
        domain=domain,
        inputs={"f": grf(tau=3, alpha=2, modes=_MODES)},
        held_out_laws={"inputs": {"f": grf(tau=9, alpha=2, modes=_MODES)}},
        solver=PoissonSolver(),
        compute_at_least=2 * _MODES + 1 if isinstance(domain, Periodic) else 2 * _MODES,
        description=f"Poisson with {kind} boundary, Gaussian sources; held out: {held_out}.",
    )


poisson_dirichlet = _poisson(
    "dirichlet", Box(x=(0, 1), y=(0, 1), boundary="dirichlet", kind="cell"), "shorter correlation (tau = 9)"
)
poisson_neumann = _poisson("neumann", Box(x=(0, 1), y=(0, 1), boundary="neumann", kind="cell"), "shorter correlation (tau = 9)")
poisson_periodic = _poisson("periodic", Periodic(x=(0, 1), y=(0, 1)), "shorter correlation (tau = 9)")
