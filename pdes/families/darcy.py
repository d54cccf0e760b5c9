"""Darcy flow through a random medium: -div(a grad u) = 1 on the unit square, u = 0 on the walls.

The coefficient is constant on each cell, faces use the harmonic mean (the exact flux through two layers), walls are half a
cell away; the scheme is conservative to rounding and second order for smooth coefficients.

References: Li et al., Fourier Neural Operator for Parametric PDEs, ICLR 2021 (the 12/3 law).
"""

import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.domain import Box
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import grf, lognormal, threshold
from pdes.random_shapes import multiscale, peaks
from solvers.grid import Grid


@dataclass(frozen=True)
class DiffusionSolver(Solver):
    """Steady diffusion by preconditioned conjugate gradients, right-hand side one."""

    tolerance: float = 1e-10

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from solvers.multigrid import Diffusion

        threads = 1 if multiprocessing.parent_process() else 0  # worker processes share the cores already
        result = Diffusion(grid, tolerance=self.tolerance, threads=threads).solve(inputs["a"], 1.0)
        stats = {name: np.asarray(result.stats[name]) for name in ("residual", "iterations") if name in result.stats}
        return Solution({"u": result.values}, result.outcome, stats)

    def diffusion(self, inputs: Mapping) -> tuple:
        """a and f of -div(a grad u) = f, (sample, *cells) or numbers."""
        return inputs["a"], 1.0


_SQUARE = Box(x=(0, 1), y=(0, 1), boundary="dirichlet", kind="cell")
_FIELD = grf(tau=3, alpha=2, basis="neumann", modes=256)
_ROUGH = grf(tau=5, alpha=2, basis="neumann", modes=256)

darcy = Problem(
    name="darcy",
    equation="-div(a*grad(u)) = 1",
    domain=_SQUARE,
    inputs={"a": threshold(_FIELD, above=12, below=3)},
    held_out_laws={"inputs": {"a": threshold(_ROUGH, above=12, below=3)}},
    solver=DiffusionSolver(),
    refine=4,  # interfaces cut cells: at 64 points the labels would be wrong by 0.4 %, so by 0.1 %
    description="Darcy flow, permeability 12 or 3 with random interfaces; held out: rougher interfaces (tau = 5).",
    citation="Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021",
)

darcy_lognormal = Problem(
    name="darcy_lognormal",
    equation="-div(a*grad(u)) = 1",
    domain=_SQUARE,
    inputs={"a": lognormal(grf(tau=3, alpha=3, sigma=27, basis="neumann", modes=64))},
    held_out_laws={"inputs": {"a": lognormal(grf(tau=3, alpha=3, sigma=54, basis="neumann", modes=64))}},
    solver=DiffusionSolver(),
    refine=2,
    description="Darcy flow, smooth log-normal permeability; held out: twice the logarithm's amplitude.",
    citation="Lord, Powell, Shardlow, An Introduction to Computational Stochastic PDEs, Cambridge 2014",
)

darcy_multiscale = Problem(
    name="darcy_multiscale",
    equation="-div(a*grad(u)) = 1",
    domain=_SQUARE,
    inputs={"a": multiscale(6)},
    held_out_laws={"inputs": {"a": multiscale(7)}},
    solver=DiffusionSolver(),
    compute_at_least=512,  # six scales down to 1/64: at 128 points the labels would be wrong by 4 %
    check={"resolution": 64, "compute_at_least": 0, "inputs": {"a": multiscale(3)}},
    description="Darcy flow with features on six scales and a contrast of thousands; held out: seven scales.",
    citation="He et al., MgNO: Efficient Parameterization of Linear Operators via Multigrid, ICLR 2024",
)

darcy_inclusions = Problem(
    name="darcy_inclusions",
    equation="-div(a*grad(u)) = 1",
    domain=_SQUARE,
    inputs={"a": peaks(5, above=1.0, below=0.1)},
    held_out_laws={"inputs": {"a": peaks(9, width=(0.05, 0.1), above=1.0, below=0.1)}},
    solver=DiffusionSolver(),
    refine=4,
    description="Darcy flow through inclusions of tenfold permeability; held out: more and smaller inclusions.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (here truly steady, from the equation)",
)
