"""Compressible Navier-Stokes on a torus, gamma = 5/3, with one number eta for shear and bulk viscosity, and no conduction:

    stress = eta (grad u + grad u^T + div(u) / 3),    u = m / rho, v = n / rho,    p = 2/3 (E - (m^2 + n^2) / (2 rho))

Velocities reach a Mach number of about one.
"""

from pdes.domain import Periodic
from pdes.hyperbolic import FiniteVolumeSolver
from pdes.problem import Problem
from pdes.random_fields import fourier_series
from pdes.random_states import gas
from pdes.scalars import loguniform

_P = "2/3*(E - (m^2 + n^2)/(2*rho))"
_UX, _UY, _VX, _VY = "dx(m/rho)", "dy(m/rho)", "dx(n/rho)", "dy(n/rho)"
_XX, _XY, _YY = f"eta*(7/3*{_UX} + {_VY}/3)", f"eta*({_UY} + {_VX})", f"eta*({_UX}/3 + 7/3*{_VY})"


def _flow(mach: float) -> dict:
    """Random waves of relative size 0.2 in density and pressure, velocities up to this Mach number."""
    around = fourier_series(2, maximum=0.2, offset=1)
    velocity = fourier_series(2, maximum=mach * (5 / 3) ** 0.5)  # the speed of sound is about sqrt(gamma p / rho)
    return gas(around, velocity, velocity, around, gamma=5 / 3)


compressible_navier_stokes = Problem(
    name="compressible_navier_stokes",
    equation=(
        "rho_t = -m_x - n_y; "
        f"m_t = -dx(m^2/rho + {_P} - {_XX}) - dy(m*n/rho - {_XY}); "
        f"n_t = -dx(m*n/rho - {_XY}) - dy(n^2/rho + {_P} - {_YY}); "
        f"E_t = -dx(m/rho*(E + {_P} - {_XX}) - n/rho*{_XY}) - dy(n/rho*(E + {_P} - {_YY}) - m/rho*{_XY})"
    ),
    domain=Periodic(x=(0, 1), y=(0, 1), cells=True),
    parameters={"eta": loguniform(1e-3, 1e-2)},
    initial=_flow(0.5),
    time=(0, 1),
    frames=21,
    solver=FiniteVolumeSolver("NavierStokes", gamma=5 / 3),
    refine=2,
    measure_every=32,
    check={"time": (0, 0.06), "frames": 3, "refine": 1, "initial": _flow(0.2)},
    held_out_laws={"parameters": {"eta": loguniform(1e-2, 3e-2)}, "initial": _flow(1.0)},
    conserved={"mass": "rho", "momentum_x": "m", "momentum_y": "n", "energy": "E"},
    description="A viscous gas on a torus, Mach 0.5; held out: Mach 1, and more viscosity.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (2-D compressible Navier-Stokes)",
)
