"""Viscous Burgers on the unit circle: u_t + (u^2 / 2)_x = nu u_xx.

Initial states are Gaussian with covariance 625 (-d^2/dx^2 + 25)^(-2). The equation is all that is needed: the solver follows
from it.
"""

from pdes.domain import Periodic
from pdes.problem import Problem
from pdes.random_fields import grf
from pdes.scalars import loguniform
from pdes.semilinear import Semilinear

burgers = Problem(
    name="burgers",
    equation="u_t = nu*u_xx - u*u_x",
    domain=Periodic(x=(0, 1)),
    parameters={"nu": loguniform(0.01, 0.1)},
    initial={"u": grf(tau=5, alpha=2, sigma=25, modes=128)},
    time=(0, 1),
    frames=21,
    solver=Semilinear(dt=0.005, speed=2.5),
    compute_at_least=512,
    held_out_laws={"parameters": {"nu": loguniform(0.004, 0.01)}},
    description="Viscous Burgers, shocks of width nu; held out: less viscosity.",
    citation="Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021",
)
