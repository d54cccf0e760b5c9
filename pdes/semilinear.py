"""The solver that any semilinear equation with constant coefficients gets on a periodic box: exponential Runge-Kutta.

The linear part is exact in Fourier space; the rest is evaluated on the points, in conservative form where the equation allows
it, with the top modes removed (a third for quadratic terms, half for cubic ones).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy

from pdes.equation import Equation
from pdes.grammar import counts
from pdes.problem import Problem, Solution
from pdes.terms import Orders, evaluate
from solvers.errors import SettingError
from solvers.grid import Grid
from solvers.result import Outcome

_PILOTS = 4
_HALVINGS = 10
_BELOW_NYQUIST = 1 - 1e-9  # every mode but the last, whose odd derivatives vanish on the points


@dataclass(frozen=True)
class Semilinear:
    """Exponential Runge-Kutta for u_t = Lu + N(u) on a periodic box.

    Parameters
    ----------
    dt : largest time step. None finds one by halving on four pilot samples until `tolerance` is met.
    speed : a bound of |u|; if given, the step also keeps to 2 / (k_max speed), within the stability of the scheme.
    tolerance : relative change of the pilots' solution on halving the step, for dt = None.
    order : 2 or 4.
    """

    dt: float | None = None
    speed: float | None = None
    tolerance: float = 1e-6
    order: int = 4

    @classmethod
    def fitting(cls, problem: Problem) -> "Semilinear":
        """The solver for a problem without one of its own.

        Raises
        ------
        SettingError : the equation or the domain is outside this solver's class; the message says in what.
        """
        if not problem.is_periodic:
            raise SettingError(
                given=f"problem {problem.name!r} without a solver, on {problem.domain}",
                needed="a periodic box, or a solver",
                remedy="Use Periodic(...), or pass solver=... (see pdes.problem.Solver).",
            )
        evolution = problem.equation.evolution
        for name, terms in zip(problem.equation.unknowns, evolution.linear, strict=True):
            highest = max((sum(orders) for orders in terms), default=0)
            rest = evolution.nonlinear[problem.equation.unknowns.index(name)].items()
            inner = [sum(orders) + _inner_order(expression) for orders, expression in rest]
            if max(inner, default=0) > max(highest, 1):
                raise SettingError(
                    given=f"equation {problem.equation}, whose highest derivatives stand in a nonlinear term",
                    needed="a semilinear equation: the highest derivatives linear, with constant coefficients",
                    remedy="Pass solver=... (see pdes.problem.Solver).",
                )
        return cls()

    def prepare(self, problem: Problem, grid: Grid, seed: int) -> "Semilinear":
        """Settle the step; it depends on problem, grid and seed, never on the number of samples."""
        interval = problem.interval
        if self.dt is not None or self.speed is not None:
            limit = self.dt or interval
            if self.speed is not None:
                limit = min(limit, 2.0 / (_highest_wavenumber(problem.equation, grid) * self.speed))
            return replace(self, dt=_dividing(interval, limit), speed=None)
        if problem.equation.evolution.is_linear:
            return replace(self, dt=interval)  # exact for any step
        return replace(self, dt=self._pilot(problem, grid, seed, interval))

    def _pilot(self, problem: Problem, grid: Grid, seed: int, interval: float) -> float:
        """Halve the step until four samples stop changing."""
        from pdes.job import solve

        draws = [problem.draw(seed, i) for i in range(_PILOTS)]
        start = problem.initial[problem.equation.unknowns[0]]
        sizes = [np.abs(start.evaluate(latents[f"initial.{problem.equation.unknowns[0]}"], grid)).max() for _, latents in draws]
        step = _dividing(interval, 2.0 / (_highest_wavenumber(problem.equation, grid) * max(max(sizes), 1e-12)))
        coarse = None
        for _ in range(_HALVINGS):
            finer = solve(problem.replace(solver=replace(self, dt=step / 2)), grid, draws)
            if coarse is None:
                coarse = solve(problem.replace(solver=replace(self, dt=step)), grid, draws)
            if np.all(np.asarray(finer.outcome) == Outcome.SUCCESS) and np.all(np.asarray(coarse.outcome) == Outcome.SUCCESS):
                change = max(
                    np.linalg.norm(finer.fields[n] - coarse.fields[n]) / max(np.linalg.norm(finer.fields[n]), 1e-300)
                    for n in finer.fields
                )
                if change <= self.tolerance:
                    return step
            coarse, step = finer, step / 2
        raise SettingError(
            given=f"problem {problem.name!r}, whose solution still changes by more than {self.tolerance} at dt = {step:.2e}",
            needed="a step that settles it",
            remedy="Give one, solver=Semilinear(dt=...); for chaos shorten `time`, or loosen Semilinear(tolerance=...).",
        )

    def refined(self) -> "Semilinear":
        """Half the step."""
        return replace(self, dt=None if self.dt is None else self.dt / 2)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.exponential import ExponentialRK

        equation = problem.equation
        if self.dt is None:
            raise SettingError(
                given="a solver without a step", needed="dt", remedy="Call prepare(...) first, or pass Semilinear(dt=...)."
            )
        solver = ExponentialRK(
            grid, Linear(equation), Nonlinear(equation, grid), self.dt, order=self.order, dealias=dealiasing(equation)
        )
        known = {**parameters, **{f"field {name}": inputs[name] for name in equation.inputs}}
        if len(equation.unknowns) > 1:
            result = solver.solve(np.stack([inputs[name] for name in equation.unknowns], axis=-1), times, known)
            fields = {name: result.values[..., i] for i, name in enumerate(equation.unknowns)}
        else:
            result = solver.solve(inputs[equation.unknowns[0]], times, known)
            fields = {equation.unknowns[0]: result.values}
        stats = {name: np.asarray(v) for name, v in result.stats.items() if np.ndim(v) == 1}
        return Solution(fields, result.outcome, stats)


@dataclass(frozen=True)
class Linear:
    """Fourier symbol of the linear part; hashable, equal for equal equations, so that compiled steps are reused."""

    equation: Equation

    def __call__(self, k: tuple, p: Mapping):
        symbols = [_symbol(terms, k, p) for terms in self.equation.evolution.linear]
        if len(symbols) == 1:
            return symbols[0]
        import jax.numpy as jnp

        return jnp.stack(jnp.broadcast_arrays(*symbols), axis=-1)


@dataclass(frozen=True)
class Nonlinear:
    """Fourier transform of the nonlinear part, evaluated on the points of `grid`."""

    equation: Equation
    grid: Grid

    def __call__(self, u_hat, k: tuple, p: Mapping):
        import jax.numpy as jnp

        axes = tuple(range(-self.grid.dimension, 0))
        names = self.equation.unknowns
        spectra = dict(zip(names, [u_hat] if len(names) == 1 else jnp.moveaxis(u_hat, -1, 0), strict=True))

        def to_points(hat):
            return jnp.fft.irfftn(hat, s=self.grid.shape, axes=axes)

        def to_modes(values):
            return jnp.fft.rfftn(
                jnp.broadcast_to(values, next(iter(spectra.values())).shape[: -len(axes)] + self.grid.shape), axes=axes
            )

        values = {name: to_points(hat) for name, hat in spectra.items()}
        values |= {name: p[name] for name in self.equation.parameters}
        values |= {name: p[f"field {name}"] for name in self.equation.inputs}
        values |= {name: jnp.asarray(mesh) for name, mesh in zip(self.grid.names, self.grid.mesh(), strict=True)}

        def derivative(e, walk):
            orders = tuple(dict((v.name, n) for v, n in counts(e)).get(name, 0) for name in self.grid.names)
            field = getattr(e.expr, "func", None)
            hat = spectra[field.__name__] if field is not None and field.__name__ in spectra else to_modes(walk(e.expr))
            return to_points(hat * _power(k, orders))

        results = []
        for name, terms in zip(names, self.equation.evolution.nonlinear, strict=True):
            total = jnp.zeros_like(spectra[name])
            for expression, multiplier in _grouped(terms).items():
                hat = to_modes(evaluate(expression, values, derivative, jnp))
                total = total + hat * sum(sign * _power(k, orders) for orders, sign in multiplier)
            results.append(total)
        return results[0] if len(results) == 1 else jnp.stack(results, axis=-1)


def dealiasing(equation: Equation) -> float:
    """Fraction of the modes kept: all below Nyquist for linear equations, else 2 / (degree + 1); 2/3 for no polynomials."""
    degree = equation.evolution.degree(equation.unknowns)
    return _BELOW_NYQUIST if equation.evolution.is_linear else 2.0 / (degree + 1) if degree > 2 else 2.0 / 3.0


def _grouped(terms: Mapping[Orders, sympy.Expr]) -> dict[sympy.Expr, list[tuple[Orders, int]]]:
    """Terms that are the same expression under several derivatives (div and lap) are transformed once."""
    groups: dict[sympy.Expr, list] = {}
    for orders, expression in terms.items():
        if -expression in groups:
            groups[-expression].append((orders, -1))
        else:
            groups.setdefault(expression, []).append((orders, 1))
    return groups


def _symbol(terms: Mapping[Orders, sympy.Expr], k: tuple, p: Mapping):
    """sum of coefficient * (ik)^orders; real where only even orders occur."""
    total = 0.0 * sum(component for component in k)
    for orders, coefficient in terms.items():
        value = evaluate(coefficient, p, _no_derivative, np)
        total = total + value * _power(k, orders)
    return total


def _no_derivative(e, walk):
    raise AssertionError(f"a coefficient with a derivative, {e}: terms were sorted wrongly; please report this")


def _power(k: tuple, orders: Orders):
    """(ik)^orders."""
    product = 1.0
    for component, order in zip(k, orders, strict=True):
        if order:
            product = product * component**order
    return product * 1j ** sum(orders) if sum(orders) % 2 else product * (-1.0) ** (sum(orders) // 2)


def _inner_order(expression: sympy.Expr) -> int:
    """Highest derivative inside an expression."""
    return max((sum(n for _, n in counts(d)) for d in expression.atoms(sympy.Derivative)), default=0)


def _highest_wavenumber(equation: Equation, grid: Grid) -> float:
    return dealiasing(equation) * np.pi / min(grid.spacing)


def _dividing(interval: float, limit: float) -> float:
    """The largest step of at most `limit` that divides `interval`."""
    return interval / np.ceil(interval / limit * (1 - 1e-12))
