"""Forced incompressible flow on the unit torus, in vorticity form:

    w_t + (psi_y w)_x - (psi_x w)_y = nu lap(w) + 0.1 (sin 2pi(x+y) + cos 2pi(x+y)),    -lap(psi) = w

Initial vorticity is Gaussian with covariance 7^3 (-lap + 49)^(-5/2). The solve is pseudo-spectral, on a grid finer than the
stored one, and the stored fields keep the Fourier modes that their grid carries: no aliasing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pdes.domain import Periodic
from pdes.problem import Problem, Solution
from pdes.random_fields import constant, grf
from pdes.scalars import fixed
from pdes.semilinear import Semilinear
from solvers.grid import Grid


@dataclass(frozen=True)
class VorticitySolver:
    """Pseudo-spectral vorticity solver with steady forcing.

    Parameters
    ----------
    dt : largest time step.
    speed : typical velocity; the step keeps to 2 / (k_max speed), a margin within which viscosity damps the fastest modes.
    """

    dt: float = 0.04
    speed: float = 0.2

    def prepare(self, problem: Problem, grid: Grid, seed: int) -> "VorticitySolver":
        interval = problem.interval
        limit = min(self.dt, 2.0 / (self.speed * 2 / 3 * np.pi / min(grid.spacing)))
        return replace(self, dt=float(interval / np.ceil(interval / limit * (1 - 1e-12))))

    def refined(self) -> "VorticitySolver":
        return replace(self, dt=self.dt / 2)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.incompressible import VorticityNavierStokes

        solver = VorticityNavierStokes(grid, self.dt, forcing=forcing)
        result = solver.solve(inputs["w"], times, parameters=dict(parameters))
        return Solution(
            {"w": result.values}, result.outcome, {n: np.asarray(v) for n, v in result.stats.items() if np.ndim(v) == 1}
        )


def forcing(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Curl of the body force."""
    return 0.1 * (np.sin(2 * np.pi * (x + y)) + np.cos(2 * np.pi * (x + y)))


def stream_function(fields: Mapping[str, np.ndarray], grid: Grid) -> np.ndarray:
    """psi of the stored vorticity, by Fourier modes (NumPy, independent of the solver)."""
    w = np.asarray(fields["w"], dtype=np.float64)
    kx, ky = (2 * np.pi * np.fft.fftfreq(axis.size, axis.spacing) for axis in grid.axes)
    squares = kx[:, None] ** 2 + ky[None, :] ** 2
    squares[0, 0] = 1.0
    hat = np.fft.fft2(w) / squares
    hat[..., 0, 0] = 0.0
    return np.fft.ifft2(hat).real


navier_stokes = Problem(
    name="navier_stokes",
    equation="w_t = nu*lap(w) - dx(psi_y*w) + dy(psi_x*w) + (sin(2*pi*(x + y)) + cos(2*pi*(x + y)))/10; -lap(psi) = w",
    domain=Periodic(x=(0, 1), y=(0, 1)),
    parameters={"nu": fixed(1e-3)},
    initial={"w": grf(tau=7, alpha=2.5, modes=64)},
    time=(0, 20),
    frames=21,
    solver=VorticitySolver(),
    compute_at_least=128,
    auxiliary={"psi": stream_function},
    measure_every=32,
    check={"time": (0, 2), "frames": 5, "compute_at_least": 64},  # the same equation and solver, for less
    held_out_laws={"parameters": {"nu": fixed(5e-4)}},
    description="Two-dimensional Navier-Stokes in vorticity form with steady forcing; held out: half the viscosity.",
    citation="Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021",
)

navier_stokes_forcing = Problem(
    name="navier_stokes_forcing",
    equation="w_t = nu*lap(w) - dx(psi_y*w) + dy(psi_x*w) + f(x, y); -lap(psi) = w",
    domain=Periodic(x=(0, 2 * np.pi), y=(0, 2 * np.pi)),
    parameters={"nu": fixed(1 / 40)},
    initial={"w": constant(0)},
    inputs={"f": grf(tau=3, alpha=4, sigma=20, modes=24)},
    time=(0, 10),
    frames=11,
    solver=Semilinear(dt=0.05, speed=2.0),
    compute_at_least=64,
    measure_every=32,
    check={"time": (0, 1), "frames": 3, "compute_at_least": 0, "inputs": {"f": grf(tau=3, alpha=4, sigma=60, modes=4)}},
    held_out_laws={"inputs": {"f": grf(tau=3, alpha=4, sigma=40, modes=24)}},
    description="Flow from rest under a random steady force with curl f, Reynolds number about 50; held out: twice the force.",
    citation="de Hoop, Huang, Qian, Stuart, The Cost-Accuracy Trade-Off in Operator Learning with Neural Networks, 2022",
)
