"""Random fields without a resolution: coefficients are drawn per sample, and give values on any grid.

    Gaussian field of covariance sigma^2 (-Laplace + tau^2)^(-alpha) on a box of volume V, mean mode zero:

        g(x) = V^(-1/2) sum_k sigma (lambda_k + tau^2)^(-alpha/2) xi_k phi_k(x),      xi_k ~ N(0, 1),

    phi_k eigenfunctions of the Laplacian with mean square one: products over the axes of
        periodic    1, sqrt2 cos(2 pi m x / L), sqrt2 sin(2 pi m x / L)        lambda = sum (2 pi m / L)^2
        neumann     1, sqrt2 cos(pi m x / L)                                   lambda = sum (pi m / L)^2
        dirichlet   sqrt2 sin(pi m x / L)                                      lambda = sum (pi m / L)^2

The number of modes belongs to the law, not to the grid, so samples at two resolutions are one function: they agree to
rounding at common points. Values come from FFT, DCT and DST along each axis; a grid with fewer points than modes is
evaluated on a finer grid that contains its points.
"""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from math import pi, prod, sqrt
from typing import Any, cast

import numpy as np
import scipy.fft

from pdes.domain import Domain
from solvers.errors import SettingError
from solvers.grid import Axis, Grid

BASES = ("periodic", "neumann", "dirichlet")
Extent = tuple[tuple[float, float], ...]


class FieldLaw:
    """A distribution of functions on a box. Subclasses are frozen dataclasses with `extent`, the box they live on."""

    def on(self, domain: Domain) -> "FieldLaw":
        """The same law on this domain (its box, and the basis that fits its walls where the law leaves that open)."""
        return dataclasses.replace(cast(Any, self), extent=tuple(domain.intervals().values()))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Latent coefficients of one sample, float64."""
        raise NotImplementedError

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        """Values on `grid`, (..., *space), of latents (..., *latent shape)."""
        raise NotImplementedError

    @property
    def law(self) -> str:
        """How the dataset names this law: the call that makes it."""
        raise NotImplementedError

    @property
    def bandwidth(self) -> int:
        """Highest wavenumber per axis of the underlying series; 0 if there is none."""
        inner = getattr(self, "field", self)
        return getattr(inner, "modes", 0)


@dataclass(frozen=True)
class GaussianField(FieldLaw):
    """Gaussian random field; see the module's formula.

    Parameters
    ----------
    tau : inverse correlation length, >= 0.
    alpha : regularity; samples are smooth to order about 2 alpha - dimension / 2... larger is smoother.
    sigma : amplitude; None takes tau^(alpha - dimension / 2), for which the variance hardly depends on tau.
    basis : one of `BASES`, or None: taken from the domain's walls.
    modes : wavenumbers kept per axis.
    mean : constant added to every sample.
    extent : the box; set by `on(domain)`.

    References
    ----------
    Lord, Powell, Shardlow, An Introduction to Computational Stochastic PDEs, Cambridge 2014, chapter 7.

    Examples
    --------
    >>> from pdes.domain import Periodic
    >>> law = grf(tau=5, alpha=2, sigma=25).on(Periodic(x=(0, 1)))
    >>> latent = law.sample(np.random.default_rng(7))
    >>> coarse, fine = (law.evaluate(latent, Grid.box("periodic", n)) for n in (32, 512))
    >>> bool(np.allclose(coarse, fine[::16], atol=1e-12))
    True
    """

    tau: float
    alpha: float
    sigma: float | None = None
    basis: str | None = None
    modes: int = 128
    mean: float = 0.0
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.basis not in (None, *BASES):
            raise SettingError(given=f"basis {self.basis!r}", needed=f"one of {BASES}, or None", remedy="Change `basis`.")
        if self.modes < 1 or self.tau < 0 or self.alpha <= 0:
            raise SettingError(
                given=f"modes={self.modes}, tau={self.tau}, alpha={self.alpha}",
                needed="modes >= 1, tau >= 0, alpha > 0",
                remedy="Mend them.",
            )

    def on(self, domain: Domain) -> "GaussianField":
        basis = self.basis
        if basis is None:
            sides = {side for name in domain.names for side in domain.sides(name)}
            basis = "periodic" if sides == {"periodic"} else "dirichlet" if sides == {"dirichlet"} else "neumann"
        return dataclasses.replace(self, basis=basis, extent=tuple(domain.intervals().values()))

    @property
    def amplitude(self) -> float:
        """sigma, or its default."""
        return self.tau ** (self.alpha - len(self.extent) / 2) if self.sigma is None else self.sigma

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one sample's coefficients."""
        return (len(_orders(self.basis or "periodic", self.modes)),) * len(self.extent)

    def scales(self) -> np.ndarray:
        """Standard deviation of each coefficient (times its basis function), shape `latent_shape`; do not write to it."""
        return _scales(self)

    @property
    def variance(self) -> float:
        """Mean over the box of the pointwise variance; exact (for periodic boxes it is the same at every point)."""
        return float(np.sum(self.scales() ** 2))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal(self.latent_shape) * self.scales()

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        values = np.asarray(latent, dtype=np.float64)
        for position, (axis, interval) in enumerate(zip(grid.axes, self.extent, strict=True)):
            values = _synthesise(values, position - grid.dimension, axis, self.basis or "periodic", self.modes, interval)
        return values + self.mean

    @property
    def law(self) -> str:
        mean = f", mean={self.mean:g}" if self.mean else ""
        shape = f"tau={self.tau:g}, alpha={self.alpha:g}, sigma={self.amplitude:g}"
        return f"grf({shape}, basis={self.basis!r}, modes={self.modes}{mean})"


@dataclass(frozen=True)
class LogNormal(FieldLaw):
    """scale * exp(g), g a Gaussian field: a positive coefficient."""

    field: GaussianField
    scale: float = 1.0

    def on(self, domain: Domain) -> "LogNormal":
        return dataclasses.replace(self, field=self.field.on(domain))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return self.field.sample(rng)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return self.scale * np.exp(self.field.evaluate(latent, grid))

    @property
    def law(self) -> str:
        return f"lognormal({self.field.law}, scale={self.scale:g})"


@dataclass(frozen=True)
class Threshold(FieldLaw):
    """`above` where g >= level, `below` elsewhere: a piecewise constant coefficient with random interfaces."""

    field: GaussianField
    above: float = 12.0
    below: float = 3.0
    level: float = 0.0

    def on(self, domain: Domain) -> "Threshold":
        return dataclasses.replace(self, field=self.field.on(domain))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return self.field.sample(rng)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return np.where(self.field.evaluate(latent, grid) >= self.level, float(self.above), float(self.below))

    @property
    def law(self) -> str:
        return f"threshold({self.field.law}, above={self.above:g}, below={self.below:g}, level={self.level:g})"


@dataclass(frozen=True)
class FourierSeries(FieldLaw):
    """Truncated Fourier series, sum over wavenumbers 0 < |k_i| <= modes of a_k sin(2 pi k.x / L + phi_k).

    a_k ~ U(-1, 1) and phi_k ~ U(0, 2 pi), one draw for each pair (k, -k).

    Parameters
    ----------
    modes : largest wavenumber per axis.
    maximum : scale every sample to this largest absolute value (looked up on a fine grid of its own, so that it does not
        depend on the resolution); None leaves the amplitude random.
    offset : constant added after scaling.
    extent : the box; set by `on(domain)`.
    """

    modes: int = 5
    maximum: float | None = None
    offset: float = 0.0
    extent: Extent = ((0.0, 1.0),)

    def _wavenumbers(self) -> np.ndarray:
        axis = np.arange(-self.modes, self.modes + 1)
        every = np.stack([k.ravel() for k in np.meshgrid(*[axis] * len(self.extent), indexing="ij")], axis=1)
        return every[len(every) // 2 + 1 :]  # lexicographic order is odd about k = 0: the second half is one of each pair

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        count = len(self._wavenumbers())
        latent = np.stack([rng.uniform(-1, 1, count), rng.uniform(0, 2 * pi, count)])
        if self.maximum is not None:
            axes = zip("xyz", self.extent, strict=False)
            points = {1: 64, 2: 12, 3: 6}[len(self.extent)] * self.modes
            fine = Grid(tuple(Axis(name, points, a, b) for name, (a, b) in axes))
            latent[0] *= self.maximum / np.abs(self._values(latent, fine)).max()
        return latent

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return self._values(np.asarray(latent, dtype=np.float64), grid) + self.offset

    def _values(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        size = 2 * self.modes + 1
        spectrum = np.zeros((*latent.shape[:-2], size ** len(self.extent)), dtype=complex)
        spectrum[..., size ** len(self.extent) // 2 + 1 :] = latent[..., 0, :] * np.exp(1j * latent[..., 1, :])
        values = spectrum.reshape(*latent.shape[:-2], *(size,) * len(self.extent))
        for position, (axis, (start, stop)) in enumerate(zip(grid.axes, self.extent, strict=True)):
            phase = 2 * pi / (stop - start) * (axis.coordinates() - start)
            waves = np.exp(1j * np.outer(phase, np.arange(-self.modes, self.modes + 1)))
            values = _apply(waves, values, position - grid.dimension)
        return values.imag

    @property
    def law(self) -> str:
        return f"fourier_series(modes={self.modes}, maximum={self.maximum}, offset={self.offset:g})"


@dataclass(frozen=True)
class ConstantField(FieldLaw):
    """The same value everywhere, drawn from nothing (a forcing f = 1, say)."""

    value: float = 1.0
    extent: Extent = ((0.0, 1.0),)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(0)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return np.full((*np.shape(latent)[:-1], *grid.shape), float(self.value))

    @property
    def law(self) -> str:
        return f"constant({self.value:g})"


def grf(
    tau: float, alpha: float, sigma: float | None = None, basis: str | None = None, modes: int = 128, mean: float = 0.0
) -> GaussianField:
    """Gaussian random field of covariance sigma^2 (-Laplace + tau^2)^(-alpha); see `GaussianField`."""
    return GaussianField(float(tau), float(alpha), sigma, basis, modes, mean)


def lognormal(field: GaussianField, scale: float = 1.0) -> LogNormal:
    """scale * exp(field)."""
    return LogNormal(field, scale)


def threshold(field: GaussianField, above: float = 12.0, below: float = 3.0, level: float = 0.0) -> Threshold:
    """`above` where field >= level, else `below`."""
    return Threshold(field, above, below, level)


def fourier_series(modes: int = 5, maximum: float | None = None, offset: float = 0.0) -> FourierSeries:
    """Truncated Fourier series with uniform amplitudes and phases; see `FourierSeries`."""
    return FourierSeries(modes, maximum, offset)


def constant(value: float) -> ConstantField:
    """The same value everywhere."""
    return ConstantField(float(value))


@lru_cache(maxsize=8)
def _scales(law: GaussianField) -> np.ndarray:
    basis = law.basis or "periodic"
    factor = 2 * pi if basis == "periodic" else pi
    squares = [(factor * _orders(basis, law.modes) / (stop - start)) ** 2 for start, stop in law.extent]
    total = sum(np.meshgrid(*squares, indexing="ij"))
    with np.errstate(divide="ignore"):
        scales = law.amplitude * (total + law.tau**2) ** (-law.alpha / 2) / sqrt(prod(b - a for a, b in law.extent))
    scales = np.where(total == 0, 0.0, scales)
    scales.flags.writeable = False
    return scales


def _orders(basis: str, modes: int) -> np.ndarray:
    """Wavenumber of each basis function of one axis."""
    positive = np.arange(1, modes + 1)
    return {
        "periodic": np.concatenate([[0], positive, positive]),
        "neumann": np.concatenate([[0], positive]),
        "dirichlet": positive,
    }[basis]


def _synthesise(
    coefficients: np.ndarray, position: int, axis: Axis, basis: str, modes: int, interval: tuple[float, float]
) -> np.ndarray:
    """Turn coefficients along array axis `position` into values at the points of `axis`."""
    coefficients = np.moveaxis(coefficients, position, -1)
    if (axis.start, axis.stop) == tuple(interval) and (basis == "periodic") == (axis.kind == "periodic") and not axis.cells:
        values = _transform(coefficients, axis, basis, modes)
    else:
        values = _apply(_matrix(axis.coordinates(), basis, modes, interval), coefficients, -1)
    return np.moveaxis(values, -1, position)


def _transform(coefficients: np.ndarray, axis: Axis, basis: str, modes: int) -> np.ndarray:
    """The same by fast transforms, on a refinement of the axis that has more points than modes and contains its points."""
    n, lead = axis.size, coefficients.shape[:-1]
    if axis.kind == "periodic":
        times = -(-(2 * modes + 1) // n)
        spectrum = np.zeros((*lead, times * n // 2 + 1), dtype=complex)
        spectrum[..., 0] = coefficients[..., 0]
        spectrum[..., 1 : modes + 1] = (coefficients[..., 1 : modes + 1] - 1j * coefficients[..., modes + 1 :]) / sqrt(2)
        return np.asarray(scipy.fft.irfft(spectrum * (times * n), n=times * n))[..., ::times]
    walls = {"cell": 0, "node": 1, "interior": -1}[axis.kind]  # points = intervals + walls
    intervals = n - walls
    times = -(-(modes + 2) // intervals)
    times += axis.kind == "cell" and times % 2 == 0  # centres of cells lie among those of cells an odd factor smaller
    fine = times * intervals
    halves = coefficients / sqrt(2)  # DCT and DST carry a factor of two, the basis one of sqrt2
    if basis == "neumann":
        padded = np.zeros((*lead, fine if axis.kind == "cell" else fine + 1))
        padded[..., 0] = coefficients[..., 0]
        padded[..., 1 : modes + 1] = halves[..., 1:]
        values = np.asarray(scipy.fft.dct(padded, type=3 if axis.kind == "cell" else 1))
        first = {"cell": (times - 1) // 2, "node": 0, "interior": times}[axis.kind]
    else:
        padded = np.zeros((*lead, fine if axis.kind == "cell" else fine - 1))
        padded[..., :modes] = halves
        values = np.asarray(scipy.fft.dst(padded, type=3 if axis.kind == "cell" else 1))
        if axis.kind != "cell":
            values = np.pad(values, [(0, 0)] * len(lead) + [(1, 1)])
        first = {"cell": (times - 1) // 2, "node": 0, "interior": times}[axis.kind]
    return values[..., first::times][..., :n]


def _matrix(points: np.ndarray, basis: str, modes: int, interval: tuple[float, float]) -> np.ndarray:
    """Values of every basis function at `points`, (point, function)."""
    scaled = (points - interval[0]) / (interval[1] - interval[0])
    angles = np.outer(scaled, np.arange(1, modes + 1)) * (2 * pi if basis == "periodic" else pi)
    columns = {"periodic": [np.cos(angles), np.sin(angles)], "neumann": [np.cos(angles)], "dirichlet": [np.sin(angles)]}[basis]
    one = [] if basis == "dirichlet" else [np.ones((len(points), 1))]
    return np.concatenate([*one, *(sqrt(2) * column for column in columns)], axis=1)


def _apply(matrix: np.ndarray, values: np.ndarray, position: int) -> np.ndarray:
    """Matrix times one axis; not through BLAS, whose rounding may depend on the number of threads."""
    return np.moveaxis(np.einsum("pk,...k->...p", matrix, np.moveaxis(values, position, -1), optimize=False), -1, position)
