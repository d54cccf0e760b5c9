"""Random fields beside Gaussian series: blobs, turbulence of a given spectrum, multiscale coefficients, maps of other fields.

Like those of `pdes.random_fields` they have no resolution: coefficients are drawn per sample and give values on any grid.
"""

import dataclasses
from dataclasses import dataclass
from math import pi

import numpy as np

from pdes.domain import Domain
from pdes.random_fields import Extent, FieldLaw, GaussianField, _orders
from solvers.errors import SettingError
from solvers.grid import Axis, Grid


@dataclass(frozen=True)
class Mapped(FieldLaw):
    """offset + scale * field, cut off at `low` and `high`.

    A cut keeps a fraction in its range; it is applied to the function, before any filter of the grid. Laws that name the same
    `shared` draw are functions of one draw: two species that start from the same clusters.
    """

    field: FieldLaw
    scale: float = 1.0
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    shared: str = ""

    def __post_init__(self):
        if not self.low < self.high:
            raise SettingError(given=f"low={self.low}, high={self.high}", needed="low < high", remedy="Swap them.")

    def on(self, domain: Domain) -> "Mapped":
        return dataclasses.replace(self, field=self.field.on(domain))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return self.field.sample(rng)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return np.clip(self.offset + self.scale * self.field.evaluate(latent, grid), self.low, self.high)

    @property
    def law(self) -> str:
        cut = "" if (self.low, self.high) == (-np.inf, np.inf) else f", low={self.low:g}, high={self.high:g}"
        shared = f", shared={self.shared!r}" if self.shared else ""
        return f"mapped({self.field.law}, scale={self.scale:g}, offset={self.offset:g}{cut}{shared})"


@dataclass(frozen=True)
class Blobs(FieldLaw):
    """background + sum of `count` Gaussian hills of random place, width and height, periodic images included.

    Parameters
    ----------
    count : hills per sample.
    height, width : ranges (low, high) of uniform draws; widths in lengths of the shortest side.
    background : value far away.
    within : part of the box, from its middle, in which the centres lie.
    extent : the box; set by `on(domain)`.
    """

    count: int = 10
    height: tuple[float, float] = (0.5, 1.0)
    width: tuple[float, float] = (0.02, 0.05)
    background: float = 0.0
    within: float = 1.0
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.count < 1 or not 0 < self.width[0] <= self.width[1] or not 0 < self.within <= 1:
            raise SettingError(
                given=f"count={self.count}, width={self.width}, within={self.within}",
                needed="count >= 1, positive widths, within in (0, 1]",
                remedy="Mend them.",
            )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        centres = [a + (b - a) * (0.5 + self.within * (rng.random(self.count) - 0.5)) for a, b in self.extent]
        return np.stack([*centres, rng.uniform(*self.width, self.count), rng.uniform(*self.height, self.count)])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent = np.asarray(latent, dtype=np.float64)
        shortest = min(b - a for a, b in self.extent)
        *centres, width, height = np.moveaxis(latent, -2, 0)  # each (..., hill)
        factors = []
        for axis, centre in zip(grid.axes, centres, strict=True):
            factor = 0.0
            for image in (-1, 0, 1) if axis.kind == "periodic" else (0,):
                distance = axis.coordinates() - (centre + image * axis.length)[..., None]
                factor = factor + np.exp(-0.5 * (distance / (width * shortest)[..., None]) ** 2)
            factors.append(factor)  # (..., hill, point)
        letters = "xyz"[: grid.dimension]
        product = ",".join(f"...h{letter}" for letter in letters)
        return self.background + np.einsum(f"...h,{product}->...{letters}", height, *factors)

    @property
    def law(self) -> str:
        sizes = f"height={self.height}, width={self.width}, background={self.background:g}, within={self.within:g}"
        return f"blobs(count={self.count}, {sizes})"


@dataclass(frozen=True)
class Level(FieldLaw):
    """The same value at every point, uniform on [low, high) over samples."""

    low: float = 0.0
    high: float = 1.0
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if not self.low < self.high:
            raise SettingError(given=f"level({self.low}, {self.high})", needed="low < high", remedy="Swap them.")

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.low, self.high, 1)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        values = np.asarray(latent, dtype=np.float64)[..., 0]
        return np.broadcast_to(values.reshape(*values.shape, *(1,) * grid.dimension), (*values.shape, *grid.shape)).copy()

    @property
    def law(self) -> str:
        return f"level({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Turbulence(GaussianField):
    """Vorticity of decaying turbulence on a periodic square, kinetic energy 1/2 per unit area.

    The stream function is Gaussian with |psi_k|^2 proportional to 1 / (k (1 + (k / peak)^4)), k in multiples of the smallest
    wavenumber (McWilliams, The emergence of isolated coherent vortices in turbulent flow, J. Fluid Mech. 146, 1984).
    """

    tau: float = 0.0
    alpha: float = 1.0
    peak: float = 6.0

    def on(self, domain: Domain) -> "Turbulence":
        extent = tuple(domain.intervals().values())
        if len(extent) != 2 or extent[0][1] - extent[0][0] != extent[1][1] - extent[1][0]:
            raise SettingError(
                given=f"{domain}", needed="a periodic square", remedy="Use Periodic(x=..., y=...) of equal sides."
            )
        return dataclasses.replace(self, basis="periodic", extent=extent)

    def _numbers(self) -> np.ndarray:
        m = _orders("periodic", self.modes)
        return np.sqrt(m[:, None] ** 2 + m[None, :] ** 2)

    def scales(self) -> np.ndarray:
        k = self._numbers()
        with np.errstate(divide="ignore"):
            stream = np.where(k > 0, (k * (1 + (k / self.peak) ** 4)) ** -0.5, 0.0)
        length = self.extent[0][1] - self.extent[0][0]
        return stream * (2 * pi * k / length) ** 2

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Draws are scaled to the energy of the law, sample by sample."""
        latent = rng.standard_normal(self.latent_shape) * self.scales()
        length = self.extent[0][1] - self.extent[0][0]
        k = np.where(self._numbers() > 0, 2 * pi * self._numbers() / length, np.inf)
        energy = 0.5 * np.sum((latent / k) ** 2)
        return latent * np.sqrt(0.5 / energy)

    @property
    def law(self) -> str:
        return f"turbulence(peak={self.peak:g}, modes={self.modes})"


@dataclass(frozen=True)
class Multiscale(FieldLaw):
    """prod_{k=1..scales} (1 + cos(a_k pi (x + y)) / 2) (1 + sin(a_k pi (x - 3 y)) / 2), a_k ~ U(2^(k-1), 1.5 * 2^(k-1)).

    A coefficient with features on all scales and a contrast of thousands (multiscale trigonometric coefficient of the
    operator-learning literature; He et al., MgNO, ICLR 2024).
    """

    scales: int = 6
    extent: Extent = ((0.0, 1.0), (0.0, 1.0))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        low = 2.0 ** np.arange(self.scales)
        return rng.uniform(low, 1.5 * low)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        x, y = grid.mesh()
        values = np.ones((*np.shape(latent)[:-1], *grid.shape))
        for a in np.moveaxis(np.asarray(latent, dtype=np.float64), -1, 0):
            a = pi * a[..., None, None]
            values = values * (1 + 0.5 * np.cos(a * (x + y))) * (1 + 0.5 * np.sin(a * (x - 3 * y)))
        return values

    @property
    def law(self) -> str:
        return f"multiscale(scales={self.scales})"


@dataclass(frozen=True)
class Peaks(FieldLaw):
    """`above` where a sum of a few Gaussian hills exceeds its own mean over the box, `below` elsewhere."""

    hills: Blobs = dataclasses.field(default_factory=Blobs)
    above: float = 1.0
    below: float = 0.1

    def on(self, domain: Domain) -> "Peaks":
        return dataclasses.replace(self, hills=self.hills.on(domain))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """The level is part of the draw, so that it does not depend on the grid."""
        hills = self.hills.sample(rng)
        axes = zip("xyz", self.hills.extent, strict=False)
        fine = Grid(tuple(Axis(n, 64, a, b, "cell", ("free", "free")) for n, (a, b) in axes))
        level = np.full((1, hills.shape[1]), self.hills.evaluate(hills, fine).mean())
        return np.concatenate([hills, level])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent = np.asarray(latent, dtype=np.float64)
        values = self.hills.evaluate(latent[..., :-1, :], grid)
        level = latent[..., -1, 0].reshape(*latent.shape[:-2], *(1,) * grid.dimension)
        return np.where(values >= level, float(self.above), float(self.below))

    @property
    def law(self) -> str:
        return f"peaks({self.hills.law}, above={self.above:g}, below={self.below:g})"


def mapped(
    field: FieldLaw, scale: float = 1.0, offset: float = 0.0, low: float = -np.inf, high: float = np.inf, shared: str = ""
) -> Mapped:
    """offset + scale * field, cut off at `low` and `high`; see `Mapped`."""
    return Mapped(field, float(scale), float(offset), float(low), float(high), shared)


def blobs(
    count: int = 10,
    height: tuple[float, float] = (0.5, 1.0),
    width: tuple[float, float] = (0.02, 0.05),
    background: float = 0.0,
    within: float = 1.0,
) -> Blobs:
    """Random Gaussian hills; see `Blobs`."""
    return Blobs(count, (height[0], height[1]), (width[0], width[1]), background, within)


def level(low: float, high: float) -> Level:
    """A uniform state, its value random."""
    return Level(float(low), float(high))


def turbulence(peak: float = 6.0, modes: int = 32) -> Turbulence:
    """Vorticity of decaying two-dimensional turbulence; see `Turbulence`."""
    return Turbulence(peak=float(peak), modes=modes)


def multiscale(scales: int = 6) -> Multiscale:
    """Multiscale trigonometric coefficient; see `Multiscale`."""
    return Multiscale(scales)


def peaks(count: int = 5, width: tuple[float, float] = (0.1, 0.2), above: float = 1.0, below: float = 0.1) -> Peaks:
    """Two-valued coefficient whose inclusions are where a few hills rise above their mean; see `Peaks`."""
    return Peaks(Blobs(count, (0.5, 1.0), (width[0], width[1])), above, below)
