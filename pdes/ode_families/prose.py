"""The fifteen chaotic systems on which PROSE is trained and scored, with its ranges, starts, times and rejection of escapes.

Parameters are uniform within 10 % of their references and rounded to three digits (as PROSE's tokens are), states start
uniformly in [-2, 2]^D (Duffing's clock u0 as well), trajectories hold 192 states on [0, 6]. Held out: parameters 10 to 20 %
away.

Liu, Zhang, Schaeffer, PROSE: Predicting multiple operators and symbolic expressions using multimodal transformers, Neural
Networks 180, 2024 (arXiv 2309.16816). Its labels round products of parameters (2 alpha, 3 g/l) anew; here only parameters are.
"""

from pdes.ode_families._system import system
from pdes.ordinary import Ordinary
from pdes.problem import Problem
from pdes.scalars import around, beside, uniform

_SPREAD, _DIGITS, _START = 0.1, 3, uniform(-2, 2)
_DENOMINATOR = "(3 - cos(2*u0 - 2*u1))"


def _lorenz_96(n: int) -> str:
    """u_i' = (u_(i+1) - u_(i-2)) u_(i-1) - u_i + F, cyclic."""
    return "; ".join(f"u{i}_t = (u{(i + 1) % n} - u{(i - 2) % n})*u{(i - 1) % n} - u{i} + F" for i in range(n))


def _prose(name: str, equation: str, description: str, limit: float = 1e3, attempts: int = 8, **references: float) -> Problem:
    return system(
        f"prose_{name}",
        equation,
        {f"u{i}": _START for i in range(equation.count(";") + 1)},
        time=6.0,
        parameters=references,
        solver=Ordinary(limit=limit),
        attempts=attempts,
        description=f"{description}, as in PROSE; held out: parameters 10 to 20 % away.",
        citation="Liu, Zhang, Schaeffer, PROSE, Neural Networks 180, 2024",
    ).replace(
        parameters=around(references, _SPREAD, _DIGITS),
        held_out_laws={"parameters": beside(references, _SPREAD, 2 * _SPREAD, _DIGITS)},
    )


SYSTEMS = {
    problem.name: problem
    for problem in (
        _prose(
            "thomas", "u0_t = sin(u1) - b*u0; u1_t = sin(u2) - b*u1; u2_t = sin(u0) - b*u2", "Thomas' cyclic system", b=0.17
        ),
        _prose(
            "lorenz_3d",
            "u0_t = sigma*u1 - sigma*u0; u1_t = rho*u0 - u0*u2 - u1; u2_t = u0*u1 - beta*u2",
            "Lorenz 1963",
            sigma=10,
            rho=28,
            beta=8 / 3,
        ),
        _prose(
            "aizawa",
            "u0_t = u0*u2 - b*u0 - d*u1; u1_t = d*u0 + u1*u2 - b*u1; u2_t = c + a*u2 - u2^3/3 - u0^2 + f*u0^3*u2",
            "Aizawa (a variant)",
            a=0.95,
            b=0.7,
            c=0.6,
            d=3.5,
            f=0.1,
        ),
        _prose(
            "chen_lee", "u0_t = a*u0 - u1*u2; u1_t = -10*u1 + u0*u2; u2_t = d*u2 + u0*u1/3", "Chen-Lee rigid body", a=5, d=-0.38
        ),
        _prose(
            "dadras",
            "u0_t = u1/2 - a*u0 + b*u1*u2; u1_t = c*u1 - u0*u2/2 + u2/2; u2_t = d*u0*u1 - e*u2",
            "Dadras (a variant)",
            a=1.25,
            b=1.15,
            c=0.75,
            d=0.8,
            e=4,
        ),
        _prose("rossler", "u0_t = -u1 - u2; u1_t = u0 + a*u1; u2_t = b + u0*u2 - c*u2", "Roessler", a=0.1, b=0.1, c=14),
        _prose(
            "halvorsen",
            "u0_t = a*u0 - u1 - u2 - u1^2/4; u1_t = a*u1 - u2 - u0 - u2^2/4; u2_t = a*u2 - u0 - u1 - u0^2/4",
            "Halvorsen",
            a=-0.35,
        ),
        _prose(
            "fabrikant",
            "u0_t = u1*u2 - u1 + u0^2*u1 + gamma*u0; u1_t = 3*u0*u2 + u0 - u0^3 + gamma*u1; u2_t = -2*alpha*u2 - 2*u0*u1*u2",
            "Rabinovich-Fabrikant",
            limit=1e5,
            attempts=60,  # 41 % of the starts escape
            alpha=0.98,
            gamma=0.1,
        ),
        _prose("sprott_B", "u0_t = a*u1*u2; u1_t = u0 - b*u1; u2_t = c - u0*u1", "Sprott B", a=0.4, b=1.2, c=1),
        _prose(
            "sprott_linz_F",
            "u0_t = u1 + u2; u1_t = a*u1 - u0; u2_t = u0^2 - u2",
            "Sprott-Linz F",
            attempts=60,  # 52 % of the starts escape
            a=0.5,
        ),
        _prose(
            "four_wing",
            "u0_t = a*u0 + u1*u2; u1_t = b*u0 + c*u1 - u0*u2; u2_t = -u2 - u0*u1",
            "Four-wing",
            a=0.2,
            b=0.01,
            c=-0.4,
        ),
        _prose(
            "duffing",
            "u0_t = 1; u1_t = u2; u2_t = delta*u2 + alpha*u1 + beta*u1^3 + gamma*cos(omega*u0)",
            "Duffing with a clock",
            alpha=-1,
            beta=-5,
            gamma=8,
            delta=-0.02,
            omega=0.5,
        ),
        _prose("lorenz_96_4d", _lorenz_96(4), "Lorenz 1996, four variables", F=8),
        _prose("lorenz_96_5d", _lorenz_96(5), "Lorenz 1996, five variables", F=8),
        _prose(
            "double_pendulum",
            "u0_t = u2; u1_t = u3;"
            " u2_t = (-3*g/l*sin(u0) - g/l*sin(u0 - 2*u1) - 2*sin(u0 - u1)*u3^2 - sin(2*u0 - 2*u1)*u2^2)/" + _DENOMINATOR + ";"
            " u3_t = sin(u0 - u1)*(4*u2^2 + 4*g/l*cos(u0) + u3^2*cos(u0 - u1))/" + _DENOMINATOR,
            "Double pendulum of equal rods and masses",
            g=9.81,
            l=1,
        ),
    )
}
