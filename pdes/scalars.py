"""Distributions of numbers: one draw per sample for each parameter of an equation."""

from dataclasses import dataclass

import numpy as np

from solvers.errors import SettingError


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
    """One of the listed values, equally likely."""

    values: tuple[float, ...]

    def __post_init__(self):
        if not self.values:
            raise SettingError(given="choice()", needed="at least one value", remedy="List the values.")

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(self.values[rng.integers(len(self.values))])

    @property
    def law(self) -> str:
        """How the dataset names this law."""
        return f"choice({', '.join(f'{v:g}' for v in self.values)})"


ScalarLaw = Fixed | Uniform | LogUniform | Choice


def fixed(value: float) -> Fixed:
    """The same value for every sample."""
    return Fixed(float(value))


def uniform(low: float, high: float) -> Uniform:
    """Uniform on [low, high).

    >>> uniform(0.1, 1).law
    'uniform(0.1, 1)'
    """
    return Uniform(float(low), float(high))


def loguniform(low: float, high: float) -> LogUniform:
    """Uniform in the logarithm, for scales such as viscosity."""
    return LogUniform(float(low), float(high))


def choice(*values: float) -> Choice:
    """One of `values`, equally likely."""
    return Choice(tuple(float(v) for v in values))
