"""Korteweg and de Vries: u_t + u u_x + delta2 u_xxx = 0 on a circle of length 2. Waves steepen, and break up into solitons.

The linear part has imaginary symbol; ETDRK4 keeps its coefficients complex, and with them its fourth order.
"""

from pdes.domain import Periodic
from pdes.problem import Problem
from pdes.random_fields import fourier_series
from pdes.scalars import loguniform
from pdes.semilinear import Semilinear

kdv = Problem(
    name="kdv",
    equation="u_t = -u*u_x - delta2*u_xxx",
    domain=Periodic(x=(0, 2)),
    parameters={"delta2": loguniform(5e-4, 5e-3)},
    initial={"u": fourier_series(2, maximum=1)},
    time=(0, 1),
    frames=21,
    solver=Semilinear(dt=5e-4),
    compute_at_least=256,
    held_out_laws={"parameters": {"delta2": loguniform(2.5e-4, 5e-4)}},
    check={"time": (0, 0.4), "frames": 5},
    conserved={"mass": "u", "momentum": "u^2"},
    description="Korteweg-de Vries: random waves that break up into solitons; held out: less dispersion, more solitons.",
    citation="Zabusky, Kruskal, Phys. Rev. Lett. 15 (1965) 240",
)
