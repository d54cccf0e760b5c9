"""Kuramoto-Sivashinsky: u_t + u u_x + u_xx + nu u_xxxx = 0 on a circle of length 64: flame fronts, chaos.

Rescaling gives the usual form (nu = 1) on length 64 / sqrt(nu). States are stored after a warm-up, when the flow has forgotten
the law of the initial state; errors double about every eight time units (largest Lyapunov exponent 0.09), those of labels too.
"""

from pdes.domain import Periodic
from pdes.problem import Problem
from pdes.random_fields import fourier_series
from pdes.scalars import uniform
from pdes.semilinear import Semilinear

kuramoto_sivashinsky = Problem(
    name="kuramoto_sivashinsky",
    equation="u_t = -u*u_x - u_xx - nu*u_xxxx",
    domain=Periodic(x=(0, 64)),
    parameters={"nu": uniform(0.8, 1.2)},
    initial={"u": fourier_series(5, maximum=1)},
    time=(0, 50),
    warm_up=60.0,
    frames=101,
    solver=Semilinear(dt=0.05),
    compute_at_least=192,
    check={"time": (0, 8), "frames": 9, "warm_up": 20.0},
    held_out_laws={"parameters": {"nu": uniform(0.4, 0.8)}},
    conserved={"mass": "u"},
    description="Kuramoto-Sivashinsky chaos after a warm-up; held out: a longer domain in units of the flow (smaller nu).",
    citation="Edson et al., Lyapunov exponents and dimension of the Kuramoto-Sivashinsky equation, ANZIAM J. 61 (2019)",
)
