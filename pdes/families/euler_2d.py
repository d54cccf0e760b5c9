"""Two-dimensional gas dynamics (Euler's equations, gamma = 7/5), conserved quantities rho, m = rho u, n = rho v, energy E:

    rho_t + m_x + n_y = 0,    m_t + (m^2 / rho + p)_x + (m n / rho)_y = 0,    n_t + (m n / rho)_x + (n^2 / rho + p)_y = 0,
    E_t + ((E + p) m / rho)_x + ((E + p) n / rho)_y = 0,    p = 2/5 (E - (m^2 + n^2) / (2 rho))

Smooth flow on a torus, four states that meet in a point, and shear layers that roll up.
"""

from pdes.domain import Box, Periodic
from pdes.hyperbolic import FiniteVolumeSolver
from pdes.problem import Problem
from pdes.random_fields import fourier_series
from pdes.random_shapes import blobs
from pdes.random_states import Band, Ripples, gas, gas_pieces

_P = "2/5*(E - (m^2 + n^2)/(2*rho))"
EQUATION = (
    "rho_t = -m_x - n_y; "
    f"m_t = -dx(m^2/rho + {_P}) - dy(m*n/rho); "
    f"n_t = -dx(m*n/rho) - dy(n^2/rho + {_P}); "
    f"E_t = -dx(m/rho*(E + {_P})) - dy(n/rho*(E + {_P}))"
)
_CONSERVED = {"mass": "rho", "momentum_x": "m", "momentum_y": "n", "energy": "E"}
_TORUS = Periodic(x=(0, 1), y=(0, 1), cells=True)


def _waves(size: float) -> dict:
    around = fourier_series(2, maximum=size, offset=1)
    return gas(around, fourier_series(2, maximum=1.5 * size), fourier_series(2, maximum=1.5 * size), around)


euler_2d = Problem(
    name="euler_2d",
    equation=EQUATION,
    domain=_TORUS,
    initial=_waves(0.3),
    time=(0, 0.5),
    frames=11,
    solver=FiniteVolumeSolver("Euler", gamma=1.4),
    refine=2,
    measure_every=32,
    check={"time": (0, 0.05), "frames": 3, "refine": 1, "initial": _waves(0.2)},
    held_out_laws={"initial": _waves(0.5)},
    conserved=_CONSERVED,
    description="A gas on a torus: smooth waves that steepen and cross; held out: stronger ones.",
)

_STATE = ((0.2, 1.5), (-0.7, 0.7), (-0.7, 0.7), (0.2, 1.5))
_STRONG = ((0.1, 2.0), (-1.0, 1.0), (-1.0, 1.0), (0.1, 2.5))
_HILL, _GUST = (
    blobs(1, height, (0.08, 0.1), background, within=0.2) for height, background in (((0.1, 0.2), 1), ((0.2, 0.4), 0))
)

euler_quadrants = Problem(
    name="euler_quadrants",
    equation=EQUATION,
    domain=Box(x=(0, 1), y=(0, 1), boundary="outflow", kind="cell"),
    initial=gas_pieces("quadrants", *[_STATE] * 4, centre=(0.4, 0.6)),
    time=(0, 0.3),
    frames=11,
    solver=FiniteVolumeSolver("Euler", gamma=1.4, scheme="mc"),
    refine=2,
    measure_every=32,
    check={"time": (0, 0.06), "frames": 3, "margin": 3, "initial": gas(_HILL, _GUST, _GUST, _HILL), "refine": 1},
    held_out_laws={"initial": gas_pieces("quadrants", *[_STRONG] * 4, centre=(0.4, 0.6))},
    description="Four random states that meet in a point: shocks, contacts and vortices; held out: wider ranges of states.",
    citation="Kurganov, Tadmor, Numerical Methods for Partial Differential Equations 18, 2002",
)


def _shear(low: float, high: float, width: tuple[float, float] = (0.03, 0.05)) -> dict:
    return gas(Band((1.5, 2.0), (1.0, 1.0), width), Band((low, high), (-high, -low), width), Ripples(), 2.5)


kelvin_helmholtz = Problem(
    name="kelvin_helmholtz",
    equation=EQUATION,
    domain=_TORUS,
    initial=_shear(0.4, 0.6),
    time=(0, 2),
    frames=21,
    solver=FiniteVolumeSolver("Euler", gamma=1.4),
    refine=2,
    measure_every=32,
    check={"time": (0, 0.1), "frames": 3, "refine": 1, "initial": _shear(0.4, 0.6, (0.09, 0.1))},
    held_out_laws={"initial": _shear(0.6, 0.8)},
    conserved=_CONSERVED,
    description="Two shear layers of a gas that roll up (Kelvin and Helmholtz), subsonic; held out: faster shear.",
    citation="McNally, Lyra, Passy, The Astrophysical Journal Supplement Series 201, 2012",
)
