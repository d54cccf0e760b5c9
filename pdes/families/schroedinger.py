"""Schroedinger's equation, i psi_t = -1/2 lap(psi) + V psi + g |psi|^2 psi, as the real system of psi = p + i q:

    p_t = -lap(q)/2 + (V + g (p^2 + q^2)) q,        q_t = lap(p)/2 - (V + g (p^2 + q^2)) p

Wave packets in a random potential. Fourth-order splitting keeps the mass to rounding; the drift of the energy is stored as a
quality of each label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pdes.domain import Periodic
from pdes.problem import Problem, Solution, Solver
from pdes.random_fields import grf
from pdes.random_waves import packets
from pdes.scalars import uniform
from solvers.grid import Grid


@dataclass(frozen=True)
class SplitStepSolver(Solver):
    """Fourth-order splitting.

    Parameters
    ----------
    dt : largest step. It resolves the waves that the laws draw (k dt < 1 for the square of their largest wavenumber, over
        two); the resonances of shorter waves (see the solver) have no time to grow within these problems, and the drift of
        the energy would show them.
    """

    dt: float = 0.01

    def refined(self) -> "SplitStepSolver":
        return replace(self, dt=self.dt / 2)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.schroedinger import SplitStep

        known = {"V": inputs["V"], "g": parameters["g"]}
        result = SplitStep(grid, self.dt).solve(inputs["p"] + 1j * inputs["q"], times, known)
        stats = {"steps": result.stats["steps"], "mass_drift": result.stats["mass"], "energy_drift": result.stats["energy"]}
        return Solution({"p": result.values.real, "q": result.values.imag}, result.outcome, stats)


def _schroedinger(name: str, domain: Periodic, resolution: int, waves: dict, potential: dict, **more) -> Problem:
    packet = packets(**waves)
    return Problem(
        name=name,
        equation="p_t = -lap(q)/2 + V*q + g*(p^2 + q^2)*q; q_t = lap(p)/2 - V*p - g*(p^2 + q^2)*p",
        domain=domain,
        parameters={"g": uniform(0, 2)},
        initial={"p": packet, "q": packet},
        inputs={"V": grf(**potential)},
        solver=SplitStepSolver(),
        compute_at_least=resolution,
        held_out_laws={"parameters": {"g": uniform(-1, 0)}},
        citation="Blanes, Moan, Journal of Computational and Applied Mathematics 142, 2002",
        **more,
    )


schroedinger = _schroedinger(
    "schroedinger",
    Periodic(x=(-8, 8)),
    256,
    {"count": 2, "width": (0.6, 1.2), "wavenumber": 4.0},
    {"tau": 1.5, "alpha": 2, "sigma": 2.0, "modes": 24},
    time=(0, 3),
    frames=31,
    check={"time": (0, 0.4), "frames": 5, "resolution": 128},
    description="Wave packets in a random potential, repelling each other; held out: attraction.",
)

schroedinger_2d = _schroedinger(
    "schroedinger_2d",
    Periodic(x=(-6, 6), y=(-6, 6)),
    64,
    {"count": 3, "width": (0.7, 1.2), "wavenumber": 3.0},
    {"tau": 1.5, "alpha": 2.5, "sigma": 6.0, "modes": 12},
    time=(0, 2),
    frames=21,
    measure_every=32,
    check={"time": (0, 0.3), "frames": 3, "resolution": 64},
    description="Wave packets in a random potential in the plane; held out: attraction.",
)
