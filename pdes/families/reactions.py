"""Diffusion with four reactions, u_t = nu u_xx + rho R(u): growth, saturation, two stable states, and slow saturation.

    linear u        logistic u (1 - u)        bistable u (1 - u) (u - a)        square-logistic u^2 (1 - u)^2

The bistable threshold a is a parameter of the solve too (a published generator drew it for the label and solved with a = 0).
The equation is all that is needed; the linear one is exact.
"""

from typing import Any

from pdes.families._prose import setting
from pdes.problem import Problem
from pdes.random_fields import fourier_series
from pdes.random_profiles import sines
from pdes.random_shapes import mapped
from pdes.scalars import rounded, uniform
from pdes.semilinear import Semilinear


def _reaction(name: str, term: str, description: str, solver: Semilinear | None) -> Problem:
    shared: dict[str, Any] = setting(2.0, nu=3e-3, rho=1.0)
    if name == "bistable":
        shared["parameters"]["a"] = rounded(uniform(0, 1), 3)
    return Problem(
        name=f"diffusion_{name}",
        equation=f"u_t = nu*u_xx + rho*{term}",
        **shared,
        initial={"u": sines(4, edges=0.1)},
        compute_at_least=256,
        solver=solver,
        check={"initial": {"u": mapped(fourier_series(2, maximum=1), scale=0.3, offset=0.45)}},
        description=f"{description}; held out: nu and rho 10 to 20 % away.",
    )


REACTIONS = {
    problem.name: problem
    for problem in (
        _reaction("linear", "u", "Diffusion and exponential growth, exact", None),
        _reaction(
            "logistic", "u*(1 - u)", "Diffusion and logistic growth (Fisher-KPP in PROSE's setting)", Semilinear(dt=0.02)
        ),
        _reaction(
            "bistable", "u*(1 - u)*(u - a)", "Diffusion between two stable states, 0 and 1, a in between", Semilinear(dt=0.02)
        ),
        _reaction("square_logistic", "u^2*(1 - u)^2", "Diffusion and growth that starts and ends slowly", Semilinear(dt=0.02)),
    )
}
