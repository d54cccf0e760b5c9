"""Distributions of numbers: one draw per sample for each parameter of an equation, and for each component of a state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdes.random_fields import Extent, FieldLaw, constant
from solvers.errors import SettingError
from solvers.grid import Grid


@dataclass(frozen=True)
class Fixed:
    """The same value for every sample."""

    value: float

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(self.value)

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        return f"fixed({self.value:g})"


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high)."""

    low: float
    high: float

    def __post_init__(self):
        if not self.high > self.low:
            raise SettingError(given=f"uniform({self.low}, {self.high})", needed="low < high", remedy="Swap them.")

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(rng.uniform(self.low, self.high))

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        return f"uniform({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class LogUniform:
    """The logarithm is uniform between log(low) and log(high)."""

    low: float
    high: float

    def __post_init__(self):
        if not self.high > self.low > 0:
            raise SettingError(given=f"loguniform({self.low}, {self.high})", needed="0 < low < high", remedy="Mend the range.")

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        return f"loguniform({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Choice:
    """One of the listed values, equally likely. Choices that name the same `shared` draw take the same place in their lists."""

    values: tuple[float, ...]
    shared: str = ""

    def __post_init__(self):
        if not self.values:
            raise SettingError(given="choice()", needed="at least one value", remedy="List the values.")

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(self.values[rng.integers(len(self.values))])

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        shared = f", shared={self.shared!r}" if self.shared else ""
        return f"choice({', '.join(f'{v:g}' for v in self.values)}{shared})"


@dataclass(frozen=True)
class Bands:
    """Uniform on [low, inner_low) or (inner_high, high), each side equally likely: what lies beside a range."""

    low: float
    inner_low: float
    inner_high: float
    high: float

    def __post_init__(self):
        if not self.low < self.inner_low <= self.inner_high < self.high:
            raise SettingError(given=f"{self}", needed="low < inner_low <= inner_high < high", remedy="Mend the bounds.")

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        low, high = ((self.low, self.inner_low), (self.inner_high, self.high))[rng.integers(2)]
        return float(rng.uniform(low, high))

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        return f"bands({self.low:g}, {self.inner_low:g}, {self.inner_high:g}, {self.high:g})"


@dataclass(frozen=True)
class Rounded:
    """Another law, to a number of significant decimal digits: what a model that writes numbers in tokens can write exactly."""

    inner: "Fixed | Uniform | LogUniform | Choice | Bands"
    digits: int = 3

    def __post_init__(self):
        if self.digits < 1:
            raise SettingError(given=f"digits={self.digits}", needed="at least 1", remedy="Keep some digits.")

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(f"{self.inner.sample(rng):.{self.digits - 1}e}")

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        return f"rounded({self.inner.law}, {self.digits})"


ScalarLaw = Fixed | Uniform | LogUniform | Choice | Bands | Rounded


@dataclass(frozen=True)
class Everywhere(FieldLaw):
    """The same value at every point, drawn from a law of one number: a component of the initial state of an ODE."""

    value: ScalarLaw
    extent: Extent = ((0.0, 1.0),)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return np.array([self.value.sample(rng)])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return spread(latent, grid)

    @property
    def law(self) -> str:
        return self.value.law


@dataclass(frozen=True)
class Near(FieldLaw):
    """One component of a state near one of several given states, all components near the same one.

    The state is chosen and every component v becomes v (1 + s), s uniform on [-high, -low] and [low, high]; zeros move on the
    scale of their component in the other states, and components that are nowhere negative stay so.

    Parameters
    ----------
    states : (state, component) numbers.
    component : which one this is.
    low, high : bounds of the relative change.
    """

    states: tuple[tuple[float, ...], ...]
    component: int
    low: float
    high: float
    extent: Extent = ((0.0, 1.0),)
    shared: str = "initial"  # all components of one sample see the same random numbers

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        state = self.states[rng.integers(len(self.states))]
        shift = rng.uniform(self.low, self.high, len(state)) * rng.choice((-1.0, 1.0), len(state))
        values = [row[self.component] for row in self.states]
        value = state[self.component]
        moved = value + (value or max(map(abs, values))) * shift[self.component]
        return np.array([abs(moved) if min(values) >= 0 else moved])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return spread(latent, grid)

    @property
    def law(self) -> str:
        values = " or ".join(f"{row[self.component]:g}" for row in self.states)
        return f"near({values}, {self.low:g} to {self.high:g})"


def spread(latent: np.ndarray, grid: Grid) -> np.ndarray:
    """One number for each of (..., 1), at every point of a grid."""
    values = np.asarray(latent, np.float64)[..., 0]
    return np.broadcast_to(values.reshape((*values.shape, *(1,) * grid.dimension)), values.shape + grid.shape).copy()


def near(names: tuple[str, ...], states: tuple[tuple[float, ...], ...], low: float, high: float) -> dict[str, Near]:
    """Laws of a whole initial state: near one of `states`; see `Near`.

    >>> sorted(near(("x", "y"), ((1.0, 2.0), (3.0, 0.0)), 0, 0.1))
    ['x', 'y']
    """
    rows = tuple(tuple(float(v) for v in row) for row in states)
    if any(len(row) != len(names) for row in rows) or not 0 <= low < high:
        raise SettingError(
            given=f"states {states} for {names}, changes from {low} to {high}",
            needed="one number for each name, and 0 <= low < high",
            remedy="Mend them.",
        )
    return {name: Near(rows, i, float(low), float(high)) for i, name in enumerate(names)}


def everywhere(law: Any) -> Any:
    """A field law as it is; a law of one number, or a number, as the field that has this value everywhere."""
    if isinstance(law, (int, float)):
        return constant(law)
    if isinstance(law, Fixed):
        return constant(law.value)
    return Everywhere(law) if isinstance(law, ScalarLaw) else law


def fixed(value: float) -> Fixed:
    """The same value for every sample."""
    return Fixed(float(value))


def uniform(low: float, high: float) -> Uniform:
    """Uniform on [low, high).

    >>> uniform(0.1, 1).law
    'uniform(0.1, 1)'
    """
    return Uniform(float(low), float(high))


def bands(centre: float, inner: float, outer: float) -> Bands:
    """Uniform beside [centre (1 - inner), centre (1 + inner)], as far as `outer` instead of `inner`.

    >>> bands(10, 0.1, 0.2).law
    'bands(8, 9, 11, 12)'
    """
    low, inner_low, inner_high, high = sorted(float(centre) * (1 + s) for s in (-outer, -inner, inner, outer))
    return Bands(low, inner_low, inner_high, high)


def rounded(law: "Fixed | Uniform | LogUniform | Choice | Bands", digits: int = 3) -> Rounded:
    """The law's draws to `digits` significant digits.

    >>> rounded(uniform(9, 11)).law
    'rounded(uniform(9, 11), 3)'
    """
    return Rounded(law, digits)


def loguniform(low: float, high: float) -> LogUniform:
    """Uniform in the logarithm, for scales such as viscosity."""
    return LogUniform(float(low), float(high))


def choice(*values: float, shared: str = "") -> Choice:
    """One of `values`, equally likely; pairs come from two choices of the same `shared` name.

    >>> choice(1, 2).law
    'choice(1, 2)'
    """
    return Choice(tuple(float(v) for v in values), shared)


def around(references: Mapping[str, float], spread: float, digits: int = 0) -> dict:
    """Each parameter q uniform on q (1 -+ spread), to `digits` significant digits if any; a spread of 0 keeps them."""
    if not spread:
        return {name: float(q) for name, q in references.items()}
    laws = {name: uniform(*sorted((q * (1 - spread), q * (1 + spread)))) for name, q in references.items() if q}
    laws = {name: rounded(law, digits) if digits else law for name, law in laws.items()}
    return {name: laws.get(name, 0.0) for name in references}


def beside(references: Mapping[str, float], inner: float, outer: float, digits: int = 0) -> dict:
    """Each parameter on both sides of that range: between inner and outer away from q."""
    laws = {name: bands(q, inner, outer) for name, q in references.items() if q}
    laws = {name: rounded(law, digits) if digits else law for name, law in laws.items()}
    return {name: laws.get(name, 0.0) for name in references}
