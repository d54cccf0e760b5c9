"""The second method of semilinear equations: fourth-order central differences, Runge-Kutta of order four.

    u_t = sum c_a D^a u + sum D^a g_a(u)      D^a by stencils on periodic points, explicit steps at the edge of stability

It reads the same sorted equation as the exponential integrator, and shares none of its numerics: no transform in the state, no
integrating factor. Unknowns without a time derivative (-lap(psi) = w) follow from the stencils' own symbols.

Fornberg, Generation of Finite Difference Formulas on Arbitrarily Spaced Grids, Math. Comp. 51, 1988.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy

from pdes.equation import Equation
from pdes.grammar import counts
from pdes.problem import Problem, Solution
from pdes.terms import evaluate
from solvers.errors import SettingError
from solvers.grid import Grid
from solvers.precision import in_float64, jax
from solvers.result import Outcome

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

STENCILS: dict[int, tuple[float, ...]] = {
    1: (1 / 12, -2 / 3, 0, 2 / 3, -1 / 12),
    2: (-1 / 12, 4 / 3, -5 / 2, 4 / 3, -1 / 12),
    3: (1 / 8, -1, 13 / 8, 0, -13 / 8, 1, -1 / 8),
    4: (-1 / 6, 2, -13 / 2, 28 / 3, -13 / 2, 2, -1 / 6),
}
"""Order of the derivative -> weights of the neighbours, from the leftmost, in units of the spacing."""
LARGEST = {order: float(np.abs(np.fft.fft(np.pad(w, (0, 4096 - len(w))))).max()) for order, w in STENCILS.items()}
"""Largest absolute value of a stencil's symbol."""
STABLE = 2.5
"""dt times the largest eigenvalue; the method is stable up to 2.78 on the real and 2.83 on the imaginary axis."""


@dataclass(frozen=True)
class FiniteDifferences:
    """Solver of a semilinear problem on a periodic box (see `pdes.problem.Solver`).

    speed : a bound of the velocity in nonlinear terms; None takes one and a half times the largest initial value.
    """

    speed: float | None = None

    def prepare(self, problem: Problem, grid: Grid, seed: int) -> "FiniteDifferences":
        if not grid.is_periodic:
            raise SettingError(
                given=f"{problem.name!r} on a grid with walls", needed="a periodic grid", remedy="Use another method."
            )
        return self

    def refined(self) -> "FiniteDifferences":
        return self  # the grid of the twin is twice as fine, and the steps with it

    @in_float64
    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        equation = problem.equation
        one = (-1, *(1,) * grid.dimension)
        known = {name: jnp.asarray(np.asarray(parameters[name], np.float64).reshape(one)) for name in equation.parameters}
        known |= {name: jnp.asarray(inputs[name], jnp.float64) for name in equation.inputs}
        state = jnp.stack([jnp.asarray(inputs[name], jnp.float64) for name in equation.evolving])
        rate = self._fastest(equation, grid, np.asarray(state), parameters)
        frames = [state]
        for span in np.diff(times):
            steps = int(np.ceil(span * rate / STABLE))
            state = _advance(equation, grid)(state, known, span / steps, steps)
            frames.append(state)
        values = np.asarray(jnp.stack(frames, axis=2))  # (unknown, sample, time, *space)
        finite = np.isfinite(values).all(axis=(0, *range(2, values.ndim)))
        outcome = np.where(finite, int(Outcome.SUCCESS), int(Outcome.BLOW_UP))
        return Solution(dict(zip(equation.evolving, values, strict=True)), outcome)

    def _fastest(self, equation: Equation, grid: Grid, state: np.ndarray, parameters: Mapping) -> float:
        """A bound of the eigenvalues of the right-hand side, over all samples."""
        evolution = equation.evolution
        largest = {name: np.abs(np.asarray(value, np.float64)).max() for name, value in parameters.items()}
        linear = [*evolution.linear, *(terms for others in evolution.coupling for terms in others.values())]
        total = 0.0
        for terms in linear:
            bound = sum(abs(evaluate(c, largest, _none, np)) * _symbol_bound(orders, grid) for orders, c in terms.items())
            total = max(total, float(np.max(bound)))
        speed = self.speed if self.speed is not None else 1.5 * float(np.abs(state).max())
        rates = {0.0}
        for rest in evolution.nonlinear:  # products of values: each is differentiated outside, inside, or is a reaction
            inner = {_orders(d, grid) for expression in rest.values() for d in expression.atoms(sympy.Derivative)}
            orders = {o for o in (*rest, *inner) if any(o)}
            moving = sum(speed * _symbol_bound(o, grid) for o in orders if sum(o) == 1)
            stiffest = max((speed * _symbol_bound(o, grid) for o in orders if sum(o) > 1), default=0.0)
            rates.add(moving + stiffest + bool(rest))  # reactions: 1, in the units of time of these equations
        total += max(rates)
        return max(total, 1e-12)


def _symbol_bound(orders: tuple[int, ...], grid: Grid) -> float:
    return float(np.prod([LARGEST[n] / h**n for n, h in zip(orders, grid.spacing, strict=True) if n]))


def _orders(derivative: sympy.Derivative, grid: Grid) -> tuple[int, ...]:
    """Of a derivative, by axis."""
    orders = {variable.name: n for variable, n in counts(derivative)}
    return tuple(orders.get(name, 0) for name in grid.names)


def _none(e, walk):
    raise AssertionError(f"a coefficient with a derivative, {e}: please report this")


def differentiated(values: Any, orders: tuple[int, ...], grid: Grid) -> Any:
    """D^orders of values (..., *space), fourth order."""
    for axis, (order, h) in enumerate(zip(orders, grid.spacing, strict=True)):
        if order:
            weights = STENCILS[order]
            at, reach = axis - grid.dimension, len(weights) // 2
            values = sum(w / h**order * jnp.roll(values, reach - i, at) for i, w in enumerate(weights) if w)
    return values


def _symbol(orders: tuple[int, ...], grid: Grid) -> np.ndarray:
    """What `differentiated` multiplies the modes of `rfftn` by."""
    product = np.ones((1,) * grid.dimension, complex)
    for axis, (order, h) in enumerate(zip(orders, grid.spacing, strict=True)):
        n = grid.shape[axis]
        modes = np.fft.rfftfreq(n) if axis == grid.dimension - 1 else np.fft.fftfreq(n)
        if order:
            weights = STENCILS[order]
            reach = len(weights) // 2
            one = np.sum([w / h**order * np.exp(2j * np.pi * modes * (i - reach)) for i, w in enumerate(weights)], axis=0)
            product = product * one.reshape((-1,) + (1,) * (grid.dimension - 1 - axis))
    return product


@lru_cache(maxsize=32)
def _advance(equation: Equation, grid: Grid):
    """(state (unknown, sample, *space), known, dt, steps) -> state, compiled once for all numbers of steps."""

    def rates(state, known):
        return jnp.stack(_rates(equation, grid, state, known))

    @jax.jit
    def run(state, known, dt, steps):
        def step(_, u):
            k1 = rates(u, known)
            k2 = rates(u + dt / 2 * k1, known)
            k3 = rates(u + dt / 2 * k2, known)
            k4 = rates(u + dt * k3, known)
            return u + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return jax.lax.fori_loop(0, steps, step, state)

    return run


def _rates(equation: Equation, grid: Grid, state: Any, known: Mapping) -> list:
    evolution, names = equation.evolution, equation.evolving
    axes = tuple(range(-grid.dimension, 0))
    values = dict(zip(names, state, strict=True))
    for name, terms in evolution.constraints.items():
        modes = 0.0
        for other, table in terms.items():
            if other != name:
                modes = modes + _of_table(table, grid, known) * jnp.fft.rfftn(values[other], axes=axes)
        own = _of_table(terms[name], grid, known)
        found = -modes * jnp.where(abs(own) < 1e-12, 0.0, 1.0 / jnp.where(abs(own) < 1e-12, 1.0, own))
        values[name] = jnp.fft.irfftn(found, s=grid.shape, axes=axes)
    numbers = {name: known[name] for name in equation.parameters}
    everything = values | dict(known) | dict(zip(grid.names, (jnp.asarray(mesh) for mesh in grid.mesh()), strict=True))

    def derivative(e, walk):
        return differentiated(jnp.broadcast_to(walk(e.expr), state.shape[1:]), _orders(e, grid), grid)

    couplings = evolution.coupling or ({},) * len(names)
    out = []
    for name, own, others, rest in zip(names, evolution.linear, couplings, evolution.nonlinear, strict=True):
        total = jnp.zeros(state.shape[1:])
        for source, terms in ((name, own), *others.items()):
            for orders, coefficient in terms.items():
                scale = evaluate(coefficient, numbers, _none, jnp)
                total = total + scale * differentiated(values[source], orders, grid)
        for orders, expression in rest.items():
            inside = jnp.broadcast_to(evaluate(expression, everything, derivative, jnp), state.shape[1:])
            total = total + differentiated(inside, orders, grid)
        out.append(total)
    return out


def _of_table(table: Mapping, grid: Grid, known: Mapping) -> Any:
    return sum(evaluate(c, known, _none, jnp) * _symbol(orders, grid) for orders, c in table.items())
