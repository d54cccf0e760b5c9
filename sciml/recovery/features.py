"""Terms that a right-hand side may be made of: polynomials, trigonometric, rational, exponential ones.

A feature is a sympy expression of states x0, x1, ... and controls u0, u1, ..., and may hold constants of its own, K in
x/(K + x) say, with a start value; `Features` compiles any set of them with their derivatives by states and by those constants.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy

from sciml.recovery.compiling import assembled, code
from solvers.errors import SettingError

K = sympy.Symbol("K", real=True)


def state(i: int) -> sympy.Symbol:
    """Symbol of a state."""
    return sympy.Symbol(f"x{i}", real=True)


def control(i: int) -> sympy.Symbol:
    """Symbol of a control."""
    return sympy.Symbol(f"u{i}", real=True)


@dataclass(frozen=True)
class Feature:
    """expression : of states, controls and `constants`.   constants : symbols.   start : their values.
    price : how many constants it counts as beyond its own, when equations are compared (0 for low polynomials)."""

    expression: sympy.Expr
    constants: tuple[sympy.Symbol, ...] = ()
    start: tuple[float, ...] = ()
    price: float = 0.0

    def at(self, values: Sequence[float]) -> sympy.Expr:
        """The expression at values of its constants."""
        return self.expression.subs(dict(zip(self.constants, map(sympy.Float, values), strict=True)))


class Features:
    """A set of features, compiled.

    Parameters
    ----------
    features : distinct ones.   dimension, controls : numbers of states and controls.
    """

    def __init__(self, features: Iterable[Feature], dimension: int, controls: int = 0):
        self.features = tuple(features)
        self.dimension, self.controls = dimension, controls
        self.owners = np.array([j for j, f in enumerate(self.features) for _ in f.constants], int)
        self.starts = np.array([value for f in self.features for value in f.start], np.float64)
        self.prices = np.array([f.price for f in self.features])

    def __len__(self) -> int:
        return len(self.features)

    def names(self) -> list[str]:
        """Unique texts."""
        return [str(f.at(f.start)) for f in self.features]

    @cached_property
    def _renamed(self) -> list[dict[str, str]]:
        """Names of the features' own constants, apart from each other."""
        return [{str(c): f"c{j}_{i}" for i, c in enumerate(f.constants)} for j, f in enumerate(self.features)]

    @cached_property
    def _arguments_of_code(self) -> list[str]:
        given = [*map(state, range(self.dimension)), *map(control, range(self.controls))]
        return [*map(str, given), *(name for names in self._renamed for name in names.values())]

    @cached_property
    def _values(self) -> Callable:
        return assembled([f.expression for f in self.features], self._renamed, self._arguments_of_code, [])

    @cached_property
    def _slopes(self) -> tuple[Callable, list[tuple[int, int]]]:
        """Values, then derivatives that are not zero; where the latter go: (feature, state or dimension + constant)."""
        wanted, places, constant = [], [], 0
        for j, f in enumerate(self.features):
            names = {str(state(i)): i for i in range(self.dimension)}
            names |= {str(c): self.dimension + constant + i for i, c in enumerate(f.constants)}
            for name in code(f.expression).slopes:
                if name in names:
                    wanted.append((j, name))
                    places.append((j, names[name]))
            constant += len(f.constants)
        return assembled([f.expression for f in self.features], self._renamed, self._arguments_of_code, wanted), places

    def __call__(self, x: np.ndarray, u: np.ndarray | None = None, constants: np.ndarray | None = None) -> np.ndarray:
        """Values. x : (..., component).   u : (..., control).   constants : (..., constant), the start values if None."""
        if not self.features:
            return np.empty((*x.shape[:-1], 0))
        values = self._values(*self._arguments(x, u, constants))
        return np.stack([np.broadcast_to(v, x.shape[:-1]) for v in values], -1)

    def with_slopes(self, x: np.ndarray, u: np.ndarray | None, constants: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values (..., feature), derivatives by states (..., feature, component), by own constants (..., constant)."""
        call, places = self._slopes
        found = call(*self._arguments(x, u, constants))
        n = len(self.features)
        values = np.empty((*x.shape[:-1], n))
        by_state = np.zeros((*x.shape[:-1], n, self.dimension))
        by_constant = np.zeros((*x.shape[:-1], len(self.starts)))
        for j in range(n):
            values[..., j] = found[j]
        for (j, i), value in zip(places, found[n:], strict=True):
            if i < self.dimension:
                by_state[..., j, i] = value
            else:
                by_constant[..., i - self.dimension] = value
        return values, by_state, by_constant

    def _arguments(self, x: np.ndarray, u: np.ndarray | None, constants: np.ndarray | None) -> list:
        constants = self.starts if constants is None else constants
        columns = [x[..., i] for i in range(self.dimension)]
        columns += [u[..., i] for i in range(self.controls)] if u is not None else []
        return columns + [constants[..., i] for i in range(len(self.starts))]

    def subset(self, indices: Sequence[int] | np.ndarray) -> tuple["Features", np.ndarray]:
        """These features alone, and where their constants are among all."""
        chosen = Features([self.features[j] for j in indices], self.dimension, self.controls)
        where = np.concatenate([np.flatnonzero(self.owners == j) for j in indices]) if len(indices) else np.empty(0)
        return chosen, where.astype(int)


def degree(e: sympy.Expr) -> int:
    """Total degree of a polynomial."""
    return sympy.Poly(e, *e.free_symbols).total_degree() if e.free_symbols else 0


# -- libraries --------------------------------------------------------------------------------------------------------------


def polynomials(dimension: int, degree: int, controls: int = 0) -> list[Feature]:
    """All monomials of states and controls up to that degree, 1 first, cross terms among them."""
    symbols = [*map(state, range(dimension)), *map(control, range(controls))]
    found = []
    for total in range(degree + 1):
        for chosen in itertools.combinations_with_replacement(symbols, total):
            found.append(Feature(sympy.Mul(*chosen), price=0.0 if total <= 3 else 0.5 * (total - 3)))
    return found


def trigonometric(dimension: int) -> list[Feature]:
    """sin and cos of states and of twice them, times states, their products, of differences."""
    x = list(map(state, range(dimension)))
    waves = [w(v) for v in x for w in (sympy.sin, sympy.cos)]
    found = [*waves, *(w(2 * v) for v in x for w in (sympy.sin, sympy.cos))]
    found += [w * v for w in waves for v in x]
    found += [a * b for a, b in itertools.combinations(waves, 2) if a.args != b.args]
    found += [sympy.sin(a - b) for a, b in itertools.combinations(x, 2)]
    if dimension > 1:
        found += [a * b**2 for a in waves for b in waves if a.args != b.args and b.func is sympy.sin]
    return [Feature(e, price=1.0) for e in found]


def rational(states: np.ndarray) -> list[Feature]:
    """m / (1 + (x/K)^n) for small monomials m; K on a logarithmic grid over the states' sizes. states : (time, component)."""
    dimension = states.shape[1]
    x = list(map(state, range(dimension)))
    found = []
    for i in range(dimension):
        size = float(np.quantile(np.abs(states[:, i]), 0.9))
        positive = bool(states[:, i].min() > 0)
        for n in (1, 2, 3, 4, 5) if dimension == 1 else (1, 2):
            if n % 2 and not positive:
                continue
            tops = [sympy.Integer(1), *(([x[i]] if n > 1 else []) + [v for k, v in enumerate(x) if k != i])]
            tops += [x[i] * v for k, v in enumerate(x) if k != i and n > 1]
            factors = (0.03, 0.06, 0.1, 0.18, 0.3, 0.55, 1.0, 1.8, 3.0) if dimension < 3 else (0.1, 0.3, 1.0)
            for top, factor in itertools.product(tops, factors):
                found.append(Feature(top / (1 + (x[i] / K) ** n), (K,), (factor * size,), price=1.0 + 0.5 * (n > 2)))
    return found


def exponential(states: np.ndarray) -> list[Feature]:
    """exp, logistic functions, logarithms and |x| x, where the states allow them. states : (time, component)."""
    A = sympy.Symbol("A", real=True)
    found = []
    for i in range(states.shape[1]):
        v, column = state(i), states[:, i]
        spread = max(float(np.ptp(column)), 1e-12)
        for factor in (-0.15, -0.4, -1.0, 0.4):
            found.append(Feature(sympy.exp(v / K), (K,), (factor * spread,), price=1.0))
        for share, factor in itertools.product((0.0, 0.25, 0.5, 0.75, 1.0), (0.1, 0.2, 0.4, 0.8)):
            middle = float(column.min() + share * spread)
            found.append(Feature(1 / (1 + sympy.exp((v - A) / K)), (A, K), (middle, factor * spread), price=1.0))
        found.append(Feature(v * sympy.Abs(v), price=1.0))
        if np.abs(column).min() > 1e-3 * np.abs(column).max():
            found += [Feature(1 / v, price=1.0)]
            found += [Feature(sympy.cos(state(k)) / v, price=1.5) for k in range(states.shape[1]) if k != i]
        if column.min() > 0:
            found += [Feature(sympy.log(v), price=1.0), Feature(v * sympy.log(v), price=1.0)]
    return found


LIBRARIES = ("poly:N", "trig", "rational", "exp")


def library(names: Sequence[str], states: np.ndarray, controls: int = 0) -> list[Feature]:
    """The features of several libraries ("poly:3", "trig", "rational", "exp"), without repetitions."""
    found: dict[sympy.Expr | tuple, Feature] = {}
    for name in names:
        degree = re.fullmatch(r"poly:(\d+)", name)
        if degree:
            chosen = polynomials(states.shape[1], int(degree[1]), controls)
        elif name in ("trig", "rational", "exp"):
            make = {"trig": lambda s: trigonometric(s.shape[1]), "rational": rational, "exp": exponential}[name]
            chosen = make(states)
        else:
            raise SettingError(
                given=f"library {name!r}", needed=f"some of {LIBRARIES}", remedy="Write ('poly:3', 'trig') for example."
            )
        for feature in chosen:
            found.setdefault((feature.expression, feature.start), feature)
    return list(found.values())
