"""Klein-Gordon and sine-Gordon waves as the pair (u, v = u_t): waves with a mass, and chains of pendulums with solitons.

    u_t = v,    v_t = c^2 u_xx - m^2 c^4 u        every mode turns at its own rate: exact
    u_t = v,    v_t = u_xx - c sin(u)             exponential Runge-Kutta; the waves are exact, the torque is not

Both start at rest. The equation is all that is needed.
"""

from pdes.families._prose import setting
from pdes.problem import Problem
from pdes.random_fields import constant, fourier_series
from pdes.random_profiles import sines
from pdes.semilinear import Semilinear

_SMOOTH = {"initial": {"u": fourier_series(2, maximum=1), "v": fourier_series(2, maximum=1)}}

klein_gordon = Problem(
    name="klein_gordon",
    equation="u_t = v; v_t = c^2*u_xx - m^2*c^4*u",
    **setting(1.0, c=1.0, m=0.1),
    initial={"u": sines(4, edges=0.1), "v": constant(0)},
    compute_at_least=256,
    check={**_SMOOTH, "parameters": {"c": 1.0, "m": 6.0}},  # a mass as large as the waves' numbers, so that its sign is seen
    description="Klein-Gordon waves, exact; held out: c and m 10 to 20 % away.",
)

sine_gordon = Problem(
    name="sine_gordon",
    equation="u_t = v; v_t = u_xx - c*sin(u)",
    **setting(1.0, c=1.0),
    initial={"u": sines(4, edges=0.1), "v": constant(0)},
    solver=Semilinear(dt=0.02),
    compute_at_least=256,
    check={**_SMOOTH, "parameters": {"c": 20.0}},
    description="Sine-Gordon waves; held out: c 10 to 20 % away.",
)
