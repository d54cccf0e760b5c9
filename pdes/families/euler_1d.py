"""One-dimensional gas dynamics (Euler's equations, gamma = 7/5), conserved quantities rho, m = rho u and energy E:

    rho_t + m_x = 0,    m_t + (m^2 / rho + p)_x = 0,    E_t + ((E + p) m / rho)_x = 0,    p = 2/5 (E - m^2 / (2 rho))

from smooth waves on a circle that steepen into shocks, and from two random states that meet (shock tubes).
"""

from pdes.domain import Box, Periodic
from pdes.hyperbolic import FiniteVolumeSolver
from pdes.problem import Problem
from pdes.random_fields import fourier_series
from pdes.random_shapes import blobs
from pdes.random_states import gas, gas_pieces

_P = "2/5*(E - m^2/(2*rho))"
EQUATION = f"rho_t = -m_x; m_t = -dx(m^2/rho + {_P}); E_t = -dx(m/rho*(E + {_P}))"
CONSERVED = {"mass": "rho", "momentum": "m", "energy": "E"}
_SMOOTH = gas(
    fourier_series(2, maximum=0.2, offset=1), fourier_series(2, maximum=0.3), fourier_series(2, maximum=0.2, offset=1)
)

euler_1d = Problem(
    name="euler_1d",
    equation=EQUATION,
    domain=Periodic(x=(0, 1), cells=True),
    initial=gas(
        fourier_series(4, maximum=0.4, offset=1), fourier_series(4, maximum=0.6), fourier_series(4, maximum=0.4, offset=1)
    ),
    time=(0, 1),
    frames=21,
    solver=FiniteVolumeSolver("Euler", gamma=1.4),
    refine=4,
    check={"time": (0, 0.1), "frames": 3, "initial": _SMOOTH, "refine": 2},
    held_out_laws={
        "initial": gas(
            fourier_series(4, maximum=0.6, offset=1), fourier_series(4, maximum=1.0), fourier_series(4, maximum=0.6, offset=1)
        )
    },
    conserved=CONSERVED,
    description="A gas on a circle: smooth waves that steepen and cross; held out: stronger ones.",
)

_STATE = ((0.1, 1.0), (-0.5, 0.5), (0.1, 1.0))
_STRONG = ((0.1, 2.0), (-1.0, 1.0), (0.1, 3.0))

euler_riemann = Problem(
    name="euler_riemann",
    equation=EQUATION,
    domain=Box(x=(0, 1), boundary="outflow", kind="cell"),
    initial=gas_pieces("tube", _STATE, _STATE, centre=(0.4, 0.6)),
    time=(0, 0.2),
    frames=11,
    solver=FiniteVolumeSolver("Euler", gamma=1.4),
    refine=4,
    check={
        "time": (0, 0.1),
        "frames": 3,
        "initial": gas(
            blobs(1, (0.1, 0.2), (0.08, 0.1), background=1.0, within=0.2), 0.0, blobs(1, (0.1, 0.2), (0.08, 0.1), 1.0, 0.2)
        ),
        "margin": 3,
        "refine": 1,
    },
    held_out_laws={"initial": gas_pieces("tube", _STRONG, _STRONG, centre=(0.4, 0.6))},
    description="Shock tubes of random states (Riemann problems); held out: wider ranges of states.",
    citation="Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics, 3rd edition, Springer 2009",
)
