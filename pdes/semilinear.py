"""The solver that any semilinear equation with constant coefficients gets on a periodic box: exponential Runge-Kutta.

Boxes of cells between walls without flux are solved on the periodic box of twice the size, by even continuation.

The linear part is exact in Fourier space; the rest is evaluated on the points, in conservative form where the equation allows
it, with the top modes removed (a third for quadratic terms, half for cubic ones).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from pdes.equation import Equation
from pdes.grammar import coordinates, counts
from pdes.problem import Problem, Solution
from pdes.terms import Orders, evaluate
from solvers.errors import SettingError
from solvers.grid import Axis, Grid
from solvers.result import Outcome
from solvers.spectral import wavenumbers

if TYPE_CHECKING:
    from solvers.modes import Modes

_PILOTS = 4
_HALVINGS = 16
_BELOW_NYQUIST = 1 - 1e-9  # every mode but the last, whose odd derivatives vanish on the points


@dataclass(frozen=True)
class Semilinear:
    """Exponential Runge-Kutta for u_t = Lu + N(u) on a periodic box, or between walls without flux (by mirror images).

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
        evolution = problem.equation.evolution
        if not problem.is_periodic and not _mirrors(problem.domain):
            raise SettingError(
                given=f"problem {problem.name!r} without a solver, on {problem.domain}",
                needed="a periodic box, cells between walls without flux (boundary='neumann'), or a solver",
                remedy="Use Periodic(...), or pass solver=... (see pdes.problem.Solver).",
            )
        if not problem.is_periodic and not _is_even(problem.equation):
            raise SettingError(
                given=f"equation {problem.equation} between walls",
                needed="an equation that does not change when an axis is reversed (no odd derivatives, no coordinates)",
                remedy="Use Periodic(...), or pass solver=... (see pdes.problem.Solver).",
            )
        for terms, others, rest in zip(evolution.linear, evolution.coupling, evolution.nonlinear, strict=True):
            highest = max((sum(orders) for own in (terms, *others.values()) for orders in own), default=0)
            inner = [sum(orders) + _inner_order(expression) for orders, expression in rest.items()]
            if max(inner, default=0) > max(highest, 1):
                raise SettingError(
                    given=f"equation {problem.equation}, whose highest derivatives stand in a nonlinear term",
                    needed="a semilinear equation: the highest derivatives linear, with constant coefficients",
                    remedy="Pass solver=... (see pdes.problem.Solver).",
                )
        return cls()

    @staticmethod
    def following(equation: Equation) -> dict[str, "Following"]:
        """How unknowns without a time derivative are found from the stored fields."""
        return {name: Following(equation, name) for name in equation.unknowns if name not in equation.evolving}

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
        step = interval
        if any(sum(orders) + _inner_order(e) for rest in problem.equation.evolution.nonlinear for orders, e in rest.items()):
            sizes = [
                np.abs(law.evaluate(latents[f"initial.{name}"], grid)).max()
                for name, law in problem.initial.items()
                for _, latents in draws
            ]
            step = _dividing(interval, 2.0 / (_highest_wavenumber(problem.equation, grid) * max(*sizes, 1e-12)))
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
        known = {**parameters, **{f"field {name}": inputs[name] for name in equation.inputs}}
        state = [inputs[name] for name in equation.evolving]
        box = grid
        if not grid.is_periodic:  # solutions between walls without flux are those of the mirrored periodic box
            box = _mirrored(grid)
            state = [_reflect(values, grid.dimension) for values in state]
            known |= {n: _reflect(v, grid.dimension) for n, v in known.items() if n.startswith("field ")}
        solver = ExponentialRK(
            box, Linear(equation), Nonlinear(equation), self.dt, order=self.order, dealias=dealiasing(equation)
        )
        result = solver.solve(np.stack(state, axis=-1) if len(state) > 1 else state[0], times, known)
        inside = (slice(None), slice(None), *(slice(n) for n in grid.shape))
        parts = [result.values[..., i] for i in range(len(state))] if len(state) > 1 else [result.values]
        fields = {name: part[inside] for name, part in zip(equation.evolving, parts, strict=True)}
        stats = {name: np.asarray(v) for name, v in result.stats.items() if np.ndim(v) == 1}
        return Solution(fields, result.outcome, stats)


@dataclass(frozen=True)
class Linear:
    """Fourier symbol of the linear part: a number per mode, one per unknown, or a matrix where unknowns are coupled.

    Hashable, equal for equal equations, so that compiled steps are reused.
    """

    equation: Equation

    def __call__(self, k: tuple, p: Mapping):
        evolution, names = self.equation.evolution, self.equation.evolving
        symbols = [_symbol(terms, k, p) for terms in evolution.linear]
        if len(symbols) == 1:
            return symbols[0]
        if not any(evolution.coupling):
            return np.stack(np.broadcast_arrays(*symbols), axis=-1)
        rows = [
            [own if other == name else _symbol(others.get(other, {}), k, p) for other in names]
            for name, own, others in zip(names, symbols, evolution.coupling, strict=True)
        ]
        full = np.broadcast_arrays(*(entry for row in rows for entry in row))
        lead = (1,) * (len(k) + 1 - full[0].ndim)
        return np.stack(full, axis=-1).reshape(*lead, *full[0].shape, len(names), len(names))


@dataclass(frozen=True)
class Nonlinear:
    """Fourier transform of the nonlinear part, evaluated on the points."""

    equation: Equation

    def __call__(self, u_hat, modes: "Modes", p: Mapping):
        import jax.numpy as jnp

        k, grid = modes.k, modes.grid
        axes = tuple(range(-grid.dimension, 0))
        names = self.equation.evolving
        spectra = dict(zip(names, [u_hat] if len(names) == 1 else u_hat, strict=True))
        for name, terms in self.equation.evolution.constraints.items():
            spectra[name] = _follow(name, terms, spectra, k, p, jnp)

        def full(values):
            return jnp.broadcast_to(values, next(iter(spectra.values())).shape[: -len(axes)] + grid.shape)

        values = {name: modes.points(hat) for name, hat in spectra.items()}
        values |= {name: p[name] for name in self.equation.parameters}
        values |= {name: p[f"field {name}"] for name in self.equation.inputs}
        values |= {name: jnp.asarray(mesh) for name, mesh in zip(grid.names, grid.mesh(), strict=True)}

        def derivative(e, walk):
            orders = tuple(dict((v.name, n) for v, n in counts(e)).get(name, 0) for name in grid.names)
            field = getattr(e.expr, "func", None)
            if field is not None and field.__name__ in spectra:
                return modes.points(spectra[field.__name__] * _power(k, orders))
            hat = jnp.fft.rfftn(full(walk(e.expr)), axes=axes)  # a product is not cut before it is differentiated
            return jnp.fft.irfftn(hat * _power(wavenumbers(grid), orders), s=grid.shape, axes=axes)

        tables = [_grouped(terms) for terms in self.equation.evolution.nonlinear]
        products = {product for table in tables for expression in table for _, product in _split(expression, self.equation)}
        shared = len(products - {sympy.Integer(1)}) < sum(len(table) for table in tables)
        transformed: dict[sympy.Expr, Any] = {}
        one = _constant(modes)

        def transform(expression):
            if expression not in transformed:
                transformed[expression] = modes.modes(full(evaluate(expression, values, derivative, jnp)))
            return transformed[expression]

        results = []
        for name, table in zip(names, tables, strict=True):
            total = jnp.zeros_like(spectra[name])
            for expression, multiplier in table.items():
                factor = sum(sign * _power(k, orders) for orders, sign in multiplier)
                if not shared:
                    total = total + transform(expression) * factor
                    continue
                for coefficient, product in _split(expression, self.equation):  # each product is transformed once for all
                    scale = evaluate(coefficient, values, derivative, jnp)
                    total = total + scale * factor * (one if product == 1 else transform(product))
            results.append(total)
        return results[0] if len(results) == 1 else jnp.stack(results)


def _split(expression: sympy.Expr, equation: Equation) -> list[tuple[sympy.Expr, sympy.Expr]]:
    """(coefficient of numbers and parameters, rest) of each term."""
    changing = (AppliedUndef, sympy.Derivative, *coordinates(equation.dimension))
    terms = sympy.Add.make_args(sympy.expand(expression))
    return [term.as_independent(*changing, as_Add=False) for term in terms]


def _constant(modes: "Modes") -> np.ndarray:
    """Spectrum of the field that is one everywhere, (*modes)."""
    spectrum = np.zeros(modes.shape)
    spectrum[(0,) * spectrum.ndim] = np.prod(modes.grid.shape)
    return spectrum


@dataclass(frozen=True)
class Following:
    """An unknown without a time derivative, found from the stored fields: callable (fields, grid) -> values."""

    equation: Equation
    name: str

    def __call__(self, fields: Mapping, grid: Grid) -> np.ndarray:
        axes = tuple(range(-grid.dimension, 0))
        spectra = {name: np.fft.rfftn(np.asarray(values, np.float64), axes=axes) for name, values in fields.items()}
        for name, terms in self.equation.evolution.constraints.items():
            spectra[name] = _follow(name, terms, spectra, wavenumbers(grid), {}, np)
            if name == self.name:
                break
        return np.fft.irfftn(spectra[self.name], s=grid.shape, axes=axes)


def _follow(name: str, terms: Mapping, spectra: Mapping, k: tuple, p: Mapping, xp):
    """Spectrum of the unknown that makes sum of terms zero; modes that its equation leaves open (the mean) are zero."""
    own = _symbol(terms[name], k, p)
    rest = sum(_symbol(table, k, p) * spectra[other] for other, table in terms.items() if other != name)
    return -rest * xp.where(own == 0, 0.0, 1.0 / xp.where(own == 0, 1.0, own))


def _mirrors(domain) -> bool:
    """Cells between walls without flux on all sides."""
    return getattr(domain, "kind", "") == "cell" and {s for name in domain.names for s in domain.sides(name)} == {"neumann"}


def _mirrored(grid: Grid) -> Grid:
    """The periodic box of twice the size."""
    return Grid(tuple(Axis(a.name, 2 * a.size, a.start, a.stop + a.length, cells=True) for a in grid.axes))


def _reflect(values: np.ndarray, dimension: int) -> np.ndarray:
    """Values (..., *space) continued evenly beyond the far wall of each axis."""
    for axis in range(-dimension, 0):
        values = np.concatenate([values, np.flip(values, axis)], axis)
    return values


def _is_even(equation: Equation) -> bool:
    """The right-hand side does not change when any axis is reversed."""
    evolution, axes = equation.evolution, coordinates(equation.dimension)
    tables = [*evolution.linear, *(table for others in evolution.coupling for table in others.values())]
    tables += [table for terms in evolution.constraints.values() for table in terms.values()]
    if any(order % 2 for table in tables for orders in table for order in orders):
        return False
    for orders, expression in (item for rest in evolution.nonlinear for item in rest.items()):
        fields = expression.atoms(AppliedUndef)
        bare = expression.xreplace({d: sympy.Dummy() for d in expression.atoms(sympy.Derivative)}).xreplace(
            {f: sympy.Dummy() for f in fields}
        )
        if bare.free_symbols & set(axes):
            return False
        for axis, order in zip(axes, orders, strict=True):
            signs = {d: (-1) ** dict(counts(d)).get(axis, 0) * d for d in expression.atoms(sympy.Derivative)}
            if sympy.expand((-1) ** order * expression.xreplace(signs) - expression) != 0:
                return False
    return True


@functools.lru_cache(maxsize=128)
def dealiasing(equation: Equation) -> float:
    """Fraction of the modes kept: all below Nyquist for linear equations, else 2 / (degree + 1); 2/3 for no polynomials."""
    degree = equation.evolution.degree(equation.unknowns)  # products with what follows from the unknowns count too
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
