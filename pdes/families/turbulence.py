"""Two-dimensional turbulence on a torus of side 2 pi, in vorticity form: Kolmogorov flow and decay.

    w_t + (psi_y w)_x - (psi_x w)_y = nu lap(w) - drag w + curl f,    -lap(psi) = w

Kolmogorov flow is driven by the force sin(4 y) in x. Both follow from the equation's text alone.
"""

from math import pi

from pdes.domain import Periodic
from pdes.problem import Problem
from pdes.random_fields import grf
from pdes.random_shapes import turbulence
from pdes.scalars import fixed, loguniform
from pdes.semilinear import Semilinear

_TORUS = Periodic(x=(0, 2 * pi), y=(0, 2 * pi))

kolmogorov_flow = Problem(
    name="kolmogorov_flow",
    equation="w_t = nu*lap(w) - w/10 - dx(psi_y*w) + dy(psi_x*w) - 4*cos(4*y); -lap(psi) = w",
    domain=_TORUS,
    parameters={"nu": loguniform(1e-2, 2e-2)},
    initial={"w": grf(tau=4, alpha=2.5, sigma=150, modes=12)},
    time=(0, 5),
    warm_up=10.0,
    frames=26,
    solver=Semilinear(dt=0.02, speed=3.0),
    compute_at_least=128,
    check={
        "time": (0, 0.3),
        "frames": 3,
        "warm_up": 0.2,
        "resolution": 64,
        "compute_at_least": 0,
        "initial": {"w": grf(tau=4, alpha=2.5, sigma=150, modes=4)},
        "parameters": {"nu": fixed(2e-2)},
    },
    measure_every=32,
    held_out_laws={"parameters": {"nu": loguniform(5e-3, 1e-2)}},
    description="Kolmogorov flow: turbulence driven by a sine, with drag, after a warm-up; held out: less viscosity.",
    citation="Kochkov et al., Machine learning-accelerated computational fluid dynamics, PNAS 118 (2021)",
)

decaying_turbulence = Problem(
    name="decaying_turbulence",
    equation="w_t = nu*lap(w) - dx(psi_y*w) + dy(psi_x*w); -lap(psi) = w",
    domain=_TORUS,
    parameters={"nu": loguniform(2e-3, 5e-3)},
    initial={"w": turbulence(peak=6, modes=32)},
    time=(0, 2.5),
    warm_up=0.5,
    frames=26,
    solver=Semilinear(dt=0.01, speed=3.5),
    compute_at_least=256,
    check={
        "time": (0, 0.3),
        "frames": 3,
        "warm_up": 0.2,
        "resolution": 64,
        "compute_at_least": 0,
        "initial": {"w": turbulence(peak=2, modes=4)},
        "parameters": {"nu": fixed(2e-2)},
    },
    measure_every=32,
    held_out_laws={"parameters": {"nu": loguniform(1e-3, 2e-3)}},
    conserved={"circulation": "w"},
    description="Decaying turbulence from a random spectrum: vortices merge; held out: less viscosity.",
    citation="McWilliams, J. Fluid Mech. 146 (1984) 21",
)
