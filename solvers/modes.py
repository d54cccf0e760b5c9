"""The Fourier modes that a dealiased equation keeps, as compact arrays, and the transforms between them and the points.

Truncation is the shape of the array: nothing is masked, and what is done mode by mode costs 4/9 of the full layout in 2-D and
8/27 in 3-D for two thirds of the modes of each axis.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.grid import Grid
from solvers.precision import jax  # noqa: F401 - first
from solvers.spectral import wavenumbers

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first


@dataclass(frozen=True)
class Modes:
    """Modes |m| < fraction * n / 2 of every axis of a periodic grid, in the real-FFT layout (last axis halved).

    Parameters
    ----------
    grid : periodic, 1-D to 3-D.
    fraction : share of the modes of each axis that is kept; 1 keeps all, the last one of even axes included.

    Examples
    --------
    >>> modes = Modes(Grid.box("periodic", 12, dimension=2))
    >>> modes.shape, Modes(Grid.box("periodic", 12, dimension=2), 1.0).shape
    ((7, 4), (12, 7))
    """

    grid: Grid
    fraction: float = 2 / 3

    @functools.cached_property
    def highest(self) -> tuple[int, ...]:
        """Highest mode of each axis that is kept."""
        if self.fraction >= 1:
            return tuple(n // 2 for n in self.grid.shape)
        return tuple(max(0, int(np.ceil(self.fraction * n / 2)) - 1) for n in self.grid.shape)

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the compact array."""
        wide = (min(2 * m + 1, n) for m, n in zip(self.highest, self.grid.shape, strict=True))
        return (*tuple(wide)[:-1], self.highest[-1] + 1)

    @functools.cached_property
    def k(self) -> tuple[np.ndarray, ...]:
        """Angular wavenumbers per axis, shaped to broadcast against compact arrays."""
        rows = []
        for i, (row, m, n) in enumerate(zip(wavenumbers(self.grid), self.highest, self.grid.shape, strict=True)):
            if i == self.grid.dimension - 1:
                rows.append(row[: m + 1])
            else:
                rows.append(np.concatenate([row[: m + 1], row[n - m :]]) if 2 * m + 1 < n else row)
        return tuple(rows)

    def points(self, hat) -> Any:
        """Values (..., *space) of compact spectra (..., *modes)."""
        d = self.grid.dimension
        for axis, (m, n) in enumerate(zip(self.highest[:-1], self.grid.shape[:-1], strict=True), start=-d):
            if 2 * m + 1 < n:
                gap = list(hat.shape)
                gap[axis] = n - 2 * m - 1
                low, high = (hat[_at(axis, part)] for part in (slice(None, m + 1), slice(m + 1, None)))
                hat = jnp.concatenate([low, jnp.zeros(gap, hat.dtype), high], axis=axis)
        return jnp.fft.irfftn(hat, s=self.grid.shape, axes=tuple(range(-d, 0)))

    def modes(self, values) -> Any:
        """Compact spectra (..., *modes) of values (..., *space)."""
        return self.cut(jnp.fft.rfftn(values, axes=tuple(range(-self.grid.dimension, 0))))

    def cut(self, spectrum) -> Any:
        """Compact spectra of full ones (..., *full modes), NumPy's or JAX's."""
        xp = np if isinstance(spectrum, np.ndarray) else jnp
        d = self.grid.dimension
        spectrum = spectrum[..., : self.highest[-1] + 1]
        for axis, (m, n) in enumerate(zip(self.highest[:-1], self.grid.shape[:-1], strict=True), start=-d):
            if 2 * m + 1 < n:
                low, high = (spectrum[_at(axis, part)] for part in (slice(None, m + 1), slice(n - m, None)))
                spectrum = xp.concatenate([low, high], axis=axis)
        return spectrum


def _at(axis: int, part: slice) -> tuple:
    """Index that takes `part` of an axis counted from the end."""
    return (Ellipsis, part, *(slice(None),) * (-1 - axis))
