"""Random laws for walls and waves: smooth fields with a basis per axis, wave packets, layered media.

All are functions without a resolution: a sample is a few coefficients, and any grid gets values of the same function.
"""

import dataclasses
from dataclasses import dataclass
from math import pi, prod, sqrt

import numpy as np

from pdes.domain import Domain
from pdes.random_fields import Extent, FieldLaw, GaussianField
from solvers.errors import SettingError
from solvers.grid import Grid


@dataclass(frozen=True)
class Modes(FieldLaw):
    """Gaussian field that is periodic along some axes and zero on the walls of others.

        g(x) = V^(-1/2) sum_k sigma (lambda_k + tau^2)^(-alpha/2) xi_k phi_k(x),      xi_k ~ N(0, 1),

    phi_k products of 1, sqrt2 cos, sqrt2 sin of 2 pi m x / L (periodic axes) and of sqrt2 sin(pi m x / L) (walls); the law of
    `pdes.random_fields.GaussianField` for a channel, where one basis does not fit both axes.

    Parameters
    ----------
    tau, alpha, sigma : inverse correlation length, regularity, amplitude.
    modes : wavenumbers kept per axis.
    periodic : which axes are; set by `on(domain)`, as is `extent`.
    """

    tau: float
    alpha: float
    sigma: float
    modes: int = 16
    periodic: tuple[bool, ...] = (True,)
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.modes < 1 or self.tau < 0 or self.alpha <= 0:
            raise SettingError(
                given=f"modes={self.modes}, tau={self.tau}, alpha={self.alpha}",
                needed="modes >= 1, tau >= 0, alpha > 0",
                remedy="Mend them.",
            )

    def on(self, domain: Domain) -> "Modes":
        periodic = tuple(domain.sides(name) == ("periodic", "periodic") for name in domain.names)
        return dataclasses.replace(self, periodic=periodic, extent=tuple(domain.intervals().values()))

    def _orders(self, periodic: bool) -> np.ndarray:
        m = np.arange(1, self.modes + 1)
        return np.concatenate([[0], m, m]) if periodic else m

    def scales(self) -> np.ndarray:
        """Standard deviation of each coefficient."""
        rows = [
            ((2 if periodic else 1) * pi * self._orders(periodic) / (stop - start)) ** 2
            for periodic, (start, stop) in zip(self.periodic, self.extent, strict=True)
        ]
        total = sum(np.meshgrid(*rows, indexing="ij"))
        volume = prod(stop - start for start, stop in self.extent)
        with np.errstate(divide="ignore"):
            return np.where(total == 0, 0.0, self.sigma * (total + self.tau**2) ** (-self.alpha / 2) / sqrt(volume))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        scales = self.scales()
        return rng.standard_normal(scales.shape) * scales

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        values = np.asarray(latent, dtype=np.float64)
        for i, (axis, periodic, (start, stop)) in enumerate(zip(grid.axes, self.periodic, self.extent, strict=True)):
            scaled = (axis.coordinates() - start) / (stop - start)
            angles = (2 if periodic else 1) * pi * np.outer(scaled, np.arange(1, self.modes + 1))
            waves = [np.ones((axis.size, 1)), sqrt(2) * np.cos(angles)] if periodic else []
            matrix = np.concatenate([*waves, sqrt(2) * np.sin(angles)], axis=1)
            position = i - grid.dimension
            moved = np.moveaxis(values, position, -1)
            values = np.moveaxis(np.einsum("pk,...k->...p", matrix, moved, optimize=False), -1, position)
        return values

    @property
    def law(self) -> str:
        return f"modes(tau={self.tau:g}, alpha={self.alpha:g}, sigma={self.sigma:g}, modes={self.modes})"

    @property
    def bandwidth(self) -> int:
        return self.modes if all(self.periodic) else 0


@dataclass(frozen=True)
class Packets(FieldLaw):
    """A sum of wave packets, A exp(-|r|^2 / (2 w^2)) cos(k . r + phase), r = x - c, periodic with the box.

    Parameters
    ----------
    count : packets per sample.
    width : range of w, in lengths; at most an eighth of the box, so that two images suffice to rounding.
    wavenumber : largest |k| per axis; 0 gives plain pulses (the phase only changes their height).
    amplitude : range of A.
    extent, periodic : the box, and which of its axes are; set by `on(domain)`. Between walls the packets start four widths
        away from them.
    """

    count: int = 2
    width: tuple[float, float] = (0.05, 0.1)
    wavenumber: float = 0.0
    amplitude: tuple[float, float] = (0.5, 1.0)
    extent: Extent = ((0.0, 1.0),)
    periodic: tuple[bool, ...] = (True,)

    def __post_init__(self):
        if self.count < 1 or not 0 < self.width[0] <= self.width[1] or self.wavenumber < 0:
            raise SettingError(
                given=f"count={self.count}, width={self.width}, wavenumber={self.wavenumber}",
                needed="count >= 1, 0 < width[0] <= width[1], wavenumber >= 0",
                remedy="Mend them.",
            )

    def on(self, domain: Domain) -> "Packets":
        periodic = tuple(domain.sides(name) == ("periodic", "periodic") for name in domain.names)
        if self.width[1] > min(domain.lengths) / (8 if all(periodic) else 10):
            raise SettingError(
                given=f"packets of width {self.width[1]} on {domain}",
                needed="at most an eighth of a periodic box, a tenth of one with walls",
                remedy="Narrow them.",
            )
        return dataclasses.replace(self, extent=tuple(domain.intervals().values()), periodic=periodic)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """(count, 3 + 2 d): amplitude, width, phase, centre, wavenumbers."""
        ranges = (self.amplitude, self.width, (0, 2 * pi))
        rows = [rng.uniform(low, high, self.count) for low, high in ranges]
        insets = [0.0 if periodic else 4 * self.width[1] for periodic in self.periodic]
        rows += [rng.uniform(a + inset, b - inset, self.count) for (a, b), inset in zip(self.extent, insets, strict=True)]
        rows += [rng.uniform(-self.wavenumber, self.wavenumber, self.count) for _ in self.extent]
        return np.stack(rows, axis=-1)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent = np.asarray(latent, dtype=np.float64)
        d = len(self.extent)
        amplitude, width, phase = (latent[..., i] for i in range(3))
        waves: np.ndarray = (amplitude * np.exp(1j * phase)).reshape(*amplitude.shape, *(1,) * d)
        for i, (axis, (start, stop)) in enumerate(zip(grid.axes, self.extent, strict=True)):
            x, length = axis.coordinates(), stop - start
            r = x - latent[..., 3 + i, None]  # (..., count, point)
            if self.periodic[i]:
                r = (r + length / 2) % length - length / 2
            line = sum(
                np.exp(-((r + s) ** 2) / (2 * width[..., None] ** 2) + 1j * latent[..., 3 + d + i, None] * (r + s))
                for s in ((-length, 0.0, length) if self.periodic[i] else (0.0,))
            )
            waves = waves * line.reshape(*amplitude.shape, *(axis.size if i == j else 1 for j in range(d)))
        return waves.sum(axis=-1 - d).real

    @property
    def law(self) -> str:
        return f"packets({self.count}, width={self.width}, wavenumber={self.wavenumber:g}, amplitude={self.amplitude})"


@dataclass(frozen=True)
class Layers(FieldLaw):
    """Squared speed of a layered medium: c_j^2 below the j-th of a few undulating interfaces, along the last axis.

        interface_j(x) = start + L (j + U(-1/4, 1/4)) / count + L bend sum_m xi_m / m cos(pi m x / L_x),      xi_m ~ N(0, 1)

    Parameters
    ----------
    count : layers.
    speed : range of c, one draw per layer.
    bend : amplitude of the undulation, as a share of the depth; one draw of modes m = 1 ... 4 for all interfaces.
    blend : the speed squared changes across an interface as tanh(distance / blend); 0 makes it jump.
    extent : the box; set by `on(domain)`.
    """

    count: int = 4
    speed: tuple[float, float] = (1.0, 2.0)
    bend: float = 0.03
    blend: float = 0.0
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.count < 1 or not 0 < self.speed[0] <= self.speed[1] or min(self.bend, self.blend) < 0:
            raise SettingError(
                given=f"count={self.count}, speed={self.speed}, bend={self.bend}, blend={self.blend}",
                needed="count >= 1, 0 < speed[0] <= speed[1], bend and blend >= 0",
                remedy="Mend them.",
            )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """(2 count + 4,): speeds, shifts, undulation."""
        return np.concatenate(
            [rng.uniform(*self.speed, self.count), rng.uniform(-0.25, 0.25, self.count), rng.standard_normal(4)]
        )

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent, d = np.asarray(latent, dtype=np.float64), grid.dimension
        mesh = grid.mesh()
        (start, stop), depth = self.extent[-1], mesh[-1]
        wide = (..., *(None,) * d)
        undulation = np.zeros(latent.shape[:-1] + (1,) * d)
        for i, (low, high) in enumerate(self.extent[:-1]):
            x = (mesh[i] - low) / (high - low)
            for m in range(1, 5):
                undulation = undulation + latent[..., 2 * self.count + m - 1][wide] / m * np.cos(pi * m * x)
        values = np.broadcast_to(latent[..., 0][wide] ** 2, latent.shape[:-1] + grid.shape)
        for j in range(1, self.count):
            shift = (j + latent[..., self.count + j][wide]) / self.count
            interface = start + (stop - start) * (shift + self.bend * undulation)
            below = np.tanh((depth - interface) / self.blend) / 2 + 0.5 if self.blend else depth >= interface
            values = values + below * (latent[..., j] ** 2 - latent[..., j - 1] ** 2)[wide]
        return np.array(values)

    @property
    def law(self) -> str:
        return f"layers({self.count}, speed={self.speed}, bend={self.bend:g}, blend={self.blend:g})"


@dataclass(frozen=True)
class Tanh(FieldLaw):
    """mean + contrast tanh(g), g a Gaussian field: a speed between two bounds."""

    field: GaussianField
    mean: float = 20.0
    contrast: float = 1.0

    def on(self, domain: Domain) -> "Tanh":
        return dataclasses.replace(self, field=self.field.on(domain))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return self.field.sample(rng)

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        return self.mean + self.contrast * np.tanh(self.field.evaluate(latent, grid))

    @property
    def law(self) -> str:
        return f"tanh_of({self.field.law}, mean={self.mean:g}, contrast={self.contrast:g})"


def modes(tau: float, alpha: float, sigma: float, modes: int = 16) -> Modes:
    """Gaussian field, periodic or zero on the walls as the domain asks; see `Modes`."""
    return Modes(float(tau), float(alpha), float(sigma), modes)


def packets(
    count: int = 2,
    width: tuple[float, float] = (0.05, 0.1),
    wavenumber: float = 0.0,
    amplitude: tuple[float, float] = (0.5, 1.0),
) -> Packets:
    """Sums of wave packets; see `Packets`."""
    return Packets(count, (float(width[0]), float(width[1])), float(wavenumber), (float(amplitude[0]), float(amplitude[1])))


def layers(count: int = 4, speed: tuple[float, float] = (1.0, 2.0), bend: float = 0.03, blend: float = 0.0) -> Layers:
    """Squared speed of a layered medium; see `Layers`."""
    return Layers(count, (float(speed[0]), float(speed[1])), float(bend), float(blend))


def tanh_of(field: GaussianField, mean: float = 20.0, contrast: float = 1.0) -> Tanh:
    """mean + contrast * tanh(field)."""
    return Tanh(field, float(mean), float(contrast))
