"""Cahn-Hilliard and Swift-Hohenberg: fourth-order equations that separate phases and make stripes and hexagons."""

from pdes.domain import Periodic
from pdes.problem import Problem
from pdes.random_fields import grf
from pdes.random_shapes import mapped
from pdes.scalars import loguniform, uniform
from pdes.semilinear import Semilinear

cahn_hilliard = Problem(
    name="cahn_hilliard",
    equation="u_t = lap(u^3 - u - eps2*lap(u))",
    domain=Periodic(x=(0, 1), y=(0, 1)),
    parameters={"eps2": loguniform(4e-4, 1e-3)},
    initial={"u": mapped(grf(tau=5, alpha=2, modes=16), scale=0.3)},
    time=(0, 0.02),
    frames=21,
    compute_at_least=64,
    solver=Semilinear(dt=2e-5),
    check={"time": (0, 0.004), "frames": 3, "resolution": 48, "compute_at_least": 0},
    held_out_laws={"parameters": {"eps2": loguniform(2.5e-4, 4e-4)}},
    conserved={"mass": "u"},
    description="Cahn-Hilliard: a mixture that separates, mass conserved; held out: thinner interfaces.",
    citation="Cahn, Hilliard, J. Chem. Phys. 28 (1958) 258",
)

swift_hohenberg = Problem(
    name="swift_hohenberg",
    equation="u_t = r*u - u - 2*lap(u) - lap(lap(u)) + g*u^2 - u^3",
    domain=Periodic(x=(0, 50), y=(0, 50)),
    parameters={"r": uniform(0.1, 0.6), "g": uniform(0, 1.5)},
    initial={"u": mapped(grf(tau=0.5, alpha=2, modes=16), scale=0.5)},
    time=(0, 40),
    frames=21,
    compute_at_least=64,
    solver=Semilinear(dt=0.1),
    check={"time": (0, 4), "frames": 3, "resolution": 64, "compute_at_least": 0},
    held_out_laws={"parameters": {"r": uniform(0.6, 0.9)}},
    description="Swift-Hohenberg: stripes and hexagons of wavelength about 2 pi; held out: stronger forcing r.",
    citation="Swift, Hohenberg, Phys. Rev. A 15 (1977) 319",
)
