"""Profiles on a line, scaled to [0, 1]: sums of sines (with corners and windows), a Gaussian hill, and jumps in order.

They are what families on an interval start from (Takamoto et al., PDEBench, NeurIPS 2022; Sun et al., PROSE-PDE, Phys. Rev. E
111, 2025). Extremes are looked up on a fine grid of their own, so that a sample does not depend on the resolution.
"""

import dataclasses
from dataclasses import dataclass
from math import pi

import numpy as np

from pdes.domain import Domain
from pdes.random_fields import Extent, FieldLaw
from pdes.random_states import _below
from solvers.errors import SettingError
from solvers.grid import Grid

_FINE = 4096  # points on which extremes are looked up
_LEFT, _RIGHT, _BLEND = (0.1, 0.45), (0.55, 0.9), 0.01  # ends of a window and width of its tanh, in lengths of the line


class _OnALine(FieldLaw):
    """A law in one dimension whose latent ends with (offset, scale)."""

    extent: Extent

    def on(self, domain: Domain) -> "_OnALine":
        if domain.dimension != 1:
            raise SettingError(given=f"{self.law} on {domain}", needed="one dimension", remedy="Take another law in more.")
        return dataclasses.replace(self, extent=tuple(domain.intervals().values()))  # pyright: ignore[reportArgumentType]

    def shape(self, latent: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values before they are scaled, at parts x of the length, (..., point)."""
        raise NotImplementedError

    def scaled(self, latent: np.ndarray, high: float) -> np.ndarray:
        """The latent with offset and scale that lead to [0, high]."""
        values = self.shape(latent, np.arange(_FINE) / _FINE)
        return np.append(latent, [values.min(), high / max(np.ptp(values), np.finfo(float).tiny)])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent, axis = np.asarray(latent, np.float64), grid.axes[0]
        (start, stop) = self.extent[0]
        values = self.shape(latent[..., :-2], (axis.coordinates() - start) / (stop - start))
        return (values - latent[..., -2, None]) * latent[..., -1, None]


@dataclass(frozen=True)
class Sines(_OnALine):
    """One wave of each wavenumber 1..modes, scaled to [0, high]: a_m ~ U(0, 1), phases ~ U(0, 2 pi).

    Parameters
    ----------
    modes : waves.
    high : largest value; the least is 0.
    edges : chance that the absolute value is taken, and chance (another draw) that a window is cut out; the sign is random.
    """

    modes: int = 4
    high: float = 1.0
    edges: float = 0.0
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.modes < 1 or not self.high > 0 or not 0 <= self.edges <= 1:
            raise SettingError(
                given=f"modes={self.modes}, high={self.high}, edges={self.edges}",
                needed="modes >= 1, high > 0, a chance in [0, 1]",
                remedy="Mend them.",
            )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Amplitudes, phases, (absolute value, sign, window, its ends), offset and scale."""
        waves = [*rng.random(self.modes), *rng.uniform(0, 2 * pi, self.modes)]
        form = [rng.random() < self.edges, rng.choice((-1.0, 1.0)), rng.random() < self.edges]
        return self.scaled(np.array([*waves, *form, rng.uniform(*_LEFT), rng.uniform(*_RIGHT)]), self.high)

    def shape(self, latent: np.ndarray, x: np.ndarray) -> np.ndarray:
        n = self.modes
        sines = np.sin(2 * pi * np.arange(1, n + 1)[:, None] * x + latent[..., n : 2 * n, None])
        values = np.sum(latent[..., :n, None] * sines, axis=-2)
        corners, sign, window, left, right = (latent[..., i, None] for i in range(2 * n, 2 * n + 5))
        values = sign * np.where(corners > 0, np.abs(values), values)
        inside = (np.tanh((x - left) / _BLEND) - np.tanh((x - right) / _BLEND)) / 2
        return np.where(window > 0, values * inside, values)

    @property
    def law(self) -> str:
        return f"sines(modes={self.modes}, high={self.high:g}, edges={self.edges:g})"


@dataclass(frozen=True)
class Hill(_OnALine):
    """A Gaussian hill, less the line through its ends if `detrended` (then it closes around a circle), scaled to [0, 1].

    centre, width : ranges, in the units of the line; the width is a standard deviation.
    """

    centre: tuple[float, float] = (0.5, 0.5)
    width: tuple[float, float] = (0.1, 0.2)
    detrended: bool = True
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if not 0 < self.width[0] <= self.width[1] or not self.centre[0] <= self.centre[1]:
            raise SettingError(
                given=f"centre={self.centre}, width={self.width}",
                needed="ranges (low, high), widths > 0",
                remedy="Mend them.",
            )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Centre and width in parts of the length, offset and scale."""
        (start, stop) = self.extent[0]
        drawn = np.array([rng.uniform(*self.centre) - start, rng.uniform(*self.width)])
        return self.scaled(drawn / (stop - start), 1.0)

    def shape(self, latent: np.ndarray, x: np.ndarray) -> np.ndarray:
        centre, width = latent[..., 0, None], latent[..., 1, None]

        def height(x):
            return np.exp(-0.5 * ((x - centre) / width) ** 2)

        values = height(x)
        return values - (1 - x) * height(0.0) - x * height(1.0) if self.detrended else values

    @property
    def law(self) -> str:
        return f"hill(centre={self.centre}, width={self.width}, detrended={self.detrended})"


@dataclass(frozen=True)
class Jumps(FieldLaw):
    """Constant states that fall (or rise) from left to right in [0, 1]; averages over cells are exact.

    Of count + 1 states the highest is uniform in the uppermost of as many equal parts of [0, 1], and so on; jumps are uniform
    in the middle 60 % of the line.
    """

    count: int = 1
    rising: bool = False
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.count < 1:
            raise SettingError(given=f"jumps({self.count})", needed="at least one jump", remedy="Raise `count`.")

    def on(self, domain: Domain) -> "Jumps":
        if domain.dimension != 1:
            raise SettingError(given=f"jumps on {domain}", needed="one dimension", remedy="Take pieces(...) in two.")
        return dataclasses.replace(self, extent=tuple(domain.intervals().values()))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Places, and the states from left to right."""
        (start, stop), parts = self.extent[0], self.count + 1
        places = start + (stop - start) * np.sort(rng.uniform(0.2, 0.8, self.count))
        states = (np.arange(parts) + rng.random(parts)) / parts
        return np.concatenate([places, states if self.rising else states[::-1]])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent = np.asarray(latent, np.float64)
        places, states = latent[..., : self.count], latent[..., self.count :]
        total = states[..., -1, None] * np.ones(grid.shape[0])
        for i in range(self.count):
            total = total + (states[..., i] - states[..., i + 1])[..., None] * _below(grid.axes[0], places[..., i])
        return total

    @property
    def law(self) -> str:
        return f"jumps(count={self.count}, rising={self.rising})"


def sines(modes: int = 4, high: float = 1.0, edges: float = 0.0) -> Sines:
    """A sum of sines between 0 and `high`; see `Sines`.

    >>> from solvers.grid import Axis
    >>> law, rng = sines(3, edges=0.1), np.random.default_rng(7)
    >>> values = law.evaluate(law.sample(rng), Grid((Axis("x", 512),)))
    >>> round(float(values.min()), 3), round(float(values.max()), 3)
    (0.0, 1.0)
    """
    return Sines(modes, float(high), float(edges))


def hill(centre: tuple[float, float], width: tuple[float, float], detrended: bool = True) -> Hill:
    """A Gaussian hill between 0 and 1; see `Hill`."""
    return Hill(centre, width, detrended)


def jumps(count: int = 1, rising: bool = False) -> Jumps:
    """Riemann data; see `Jumps`.

    >>> from solvers.grid import Axis
    >>> law = jumps(2)
    >>> law.evaluate(np.array([0.3, 0.6, 0.9, 0.5, 0.1]), Grid((Axis("x", 5, cells=True),))).round(3).tolist()
    [0.9, 0.7, 0.5, 0.1, 0.1]
    """
    return Jumps(count, rising)
