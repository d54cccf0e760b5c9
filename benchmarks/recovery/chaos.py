"""Chaotic flows of three components and degree three at most, at standard parameters: truth, attractor, Lyapunov exponent.

All of them, and whatever polynomial is recovered from them, are solved by one compiled loop (`Cubic`).
"""

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from scipy.stats import wasserstein_distance
from sympy.core.function import AppliedUndef

from benchmarks.recovery.odebench import monomials
from pdes.ode_families.flows import POINTS, ROWS, SYSTEMS
from pdes.ordinary import rates
from pdes.randomness import generator
from solvers.ode import Ode

PERIODS, LONG = 10, 100
HORIZON = 10.0
"""Lyapunov times of a prediction."""
DEGREE, COMPONENTS = 3, 3
POWERS = tuple(k for k in itertools.product(range(DEGREE + 1), repeat=COMPONENTS) if sum(k) <= DEGREE)
TIMES, LONG_TIMES = np.linspace(0, PERIODS, PERIODS * POINTS + 1), np.linspace(0, LONG, 20 * LONG + 1)
"""In periods."""
AHEAD = np.linspace(0, HORIZON, 2001)
"""In Lyapunov times."""
TANGENTS, SETTLING, GROWING = 64, 20, 40
"""Starts of tangent vectors, periods before and while their growth is measured."""
HELD_OUT, OTHER = 3, 7
"""Points of the attractor that no recording starts from: a recording starts from the one that its seed counts."""
STANDARD = {row[0]: {key: float(value) for key, value in row[2].items()} for row in ROWS}
STATES, PERIOD = {row[0]: row[3] for row in ROWS}, {row[0]: float(row[4]) for row in ROWS}


def exact(name: str) -> list[sympy.Expr]:
    """Right-hand sides of x0, x1, x2 at the standard parameters; a driven flow keeps its t."""
    equation, values = SYSTEMS[name].equation, STANDARD[name]
    states = {key: sympy.Symbol(f"x{i}") for i, key in enumerate(equation.unknowns)}
    found = []
    for side in rates(equation):
        plain = side.xreplace({f: states[str(f.func)] for f in side.atoms(AppliedUndef)})
        found.append(plain.xreplace({s: sympy.Float(values[str(s)], 17) for s in plain.free_symbols if str(s) in values}))
    return found


@functools.cache
def flows() -> tuple[str, ...]:
    """Autonomous flows of three components with polynomial rates of degree three at most."""
    symbols = [sympy.Symbol(f"x{i}") for i in range(COMPONENTS)]
    found = []
    for name in (name for name, state in STATES.items() if len(state) == COMPONENTS):
        sides = exact(name)
        polynomial = all(e.is_polynomial(*symbols) and e.free_symbols <= {*symbols} for e in sides)
        if polynomial and max(sum(powers) for _, powers in monomials(sides, COMPONENTS) or {}) <= DEGREE:
            found.append(name)
    return tuple(found)


@functools.cache
def terms(name: str) -> dict[tuple, float]:
    """(component, powers) -> true coefficient."""
    return monomials(exact(name), COMPONENTS) or {}


@dataclass(frozen=True)
class Cubic:
    """Rates of any such flow, coefficients as parameters c<component>_<monomial>: one compiled loop for all of them."""

    def __call__(self, t, u, p):
        import jax.numpy as jnp

        values = [
            math.prod([u[i] for i, k in enumerate(powers) for _ in range(k)], start=jnp.ones_like(u[0])) for powers in POWERS
        ]
        return jnp.stack([sum(p[f"c{d}_{j}"] * v for j, v in enumerate(values)) for d in range(COMPONENTS)])


@dataclass(frozen=True)
class Tangent:
    """Rates of states and of one tangent vector to each."""

    rates: Cubic

    def __call__(self, t, u, p):
        import jax
        import jax.numpy as jnp

        half = u.shape[0] // 2
        return jnp.concatenate(jax.jvp(lambda v: self.rates(t, v, p), (u[:half],), (u[half:],)))


def parameters(coefficients: dict[tuple, float]) -> dict[str, float]:
    """Of `Cubic`, from (component, powers) -> coefficient."""
    return {f"c{d}_{j}": coefficients.get((d, powers), 0.0) for d in range(COMPONENTS) for j, powers in enumerate(POWERS)}


def solved(name: str, start: np.ndarray, times: np.ndarray) -> np.ndarray:
    """True states (time, component) from start (component,)."""
    return Ode(Cubic(), "dopri8", 1e-12, 1e-13).solve(start[None], times, parameters(terms(name))).values_or_raise()[0]


@functools.cache
def attractor(name: str) -> np.ndarray:
    """Points on the attractor, (point, component), one in each period and a part, after some."""
    times = PERIOD[name] * np.concatenate([[0.0], 20 + 1.37 * np.arange(TANGENTS)])
    return solved(name, np.array(STATES[name], np.float64), times)[1:]


def lyapunov(name: str) -> tuple[float, float]:
    """Largest Lyapunov exponent and its standard error, by the mean growth of tangent vectors along the attractor."""
    starts = attractor(name)
    directions = generator("flows tangents", 3).standard_normal(starts.shape)
    times = PERIOD[name] * np.array([0.0, SETTLING, SETTLING + GROWING])
    solver = Ode(Tangent(Cubic()), "dopri8", 1e-9, 1e-9)
    found = solver.solve(np.concatenate([starts, directions], 1), times, parameters(terms(name))).values_or_raise()
    size = np.log(np.linalg.norm(found[:, :, COMPONENTS:], axis=2))
    growth = (size[:, 2] - size[:, 1]) / (times[2] - times[1])
    return float(growth.mean()), float(growth.std(ddof=1) / np.sqrt(len(growth)))


@functools.cache
def long_run(name: str, place: int) -> np.ndarray:
    """The true flow over 100 periods from a point of the attractor: (time, component)."""
    return solved(name, attractor(name)[place], LONG_TIMES * PERIOD[name])


@functools.cache
def clean(name: str, seed: int) -> np.ndarray:
    """States without noise, (time, component), of ten periods from the point of the attractor that the seed counts."""
    return solved(name, attractor(name)[seed], TIMES * PERIOD[name])


@functools.cache
def ahead(name: str, exponent: float) -> np.ndarray:
    """True states over the horizon of a prediction, from a start that no recording has."""
    return solved(name, attractor(name)[HELD_OUT], AHEAD / exponent)


def distance(true: np.ndarray, found: np.ndarray) -> float:
    """Mean over components of the Wasserstein distance of their values, in standard deviations."""
    return float(np.mean([wasserstein_distance(a, b) / a.std() for a, b in zip(true.T, found.T, strict=True)]))


def facts(name: str) -> dict[str, Any]:
    """What makes it a chaotic flow, measured."""
    one, two = long_run(name, OTHER), long_run(name, HELD_OUT)
    exponent, error = lyapunov(name)
    return {
        "flow": name,
        "period": PERIOD[name],
        "exponent": exponent,
        "exponent_error": error,
        "largest": float(np.abs(one).max()),
        "floor": distance(one, two),
        "chaotic": bool(np.isfinite(one).all() and exponent > 3 * error),
    }
