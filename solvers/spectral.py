"""Fourier tools on periodic boxes: wavenumbers, derivatives, dealiasing, and exact change of resolution. NumPy and SciPy."""

from collections.abc import Sequence

import numpy as np
import scipy.fft

from solvers.errors import GridError
from solvers.grid import Grid


def wavenumbers(grid: Grid) -> tuple[np.ndarray, ...]:
    """Angular wavenumbers 2 pi m / L per axis, shaped to broadcast against real-FFT spectra (last axis halved)."""
    _need_periodic(grid)
    rows = []
    for i, (n, length) in enumerate(zip(grid.shape, grid.lengths, strict=True)):
        m = np.arange(n // 2 + 1.0) if i == grid.dimension - 1 else scipy.fft.fftfreq(n, 1 / n)
        rows.append((2 * np.pi * m / length).reshape(-1, *(1,) * (grid.dimension - 1 - i)))
    return tuple(rows)


def dealias_mask(grid: Grid, fraction: float = 2 / 3) -> np.ndarray:
    """True where |m| < fraction * n / 2 on every axis, in the real-FFT layout; all True for fraction 1."""
    _need_periodic(grid)
    mask = np.ones((1,) * grid.dimension, bool)
    for i, n in enumerate(grid.shape):
        m = np.arange(n // 2 + 1) if i == grid.dimension - 1 else np.abs(scipy.fft.fftfreq(n, 1 / n))
        keep = m < fraction * n / 2 if fraction < 1 else np.ones_like(m, bool)
        mask = mask & keep.reshape(-1, *(1,) * (grid.dimension - 1 - i))
    return mask


def derivative(values: np.ndarray, grid: Grid, orders: Sequence[int]) -> np.ndarray:
    """Mixed derivative of (..., *space) with `orders` per axis; exact for resolved modes.

    The Nyquist mode of an even axis is dropped for odd orders: its derivative vanishes on the grid.
    """
    axes = tuple(range(-grid.dimension, 0))
    spectrum = np.asarray(scipy.fft.rfftn(values, axes=axes))
    for i, (k, order, n) in enumerate(zip(wavenumbers(grid), orders, grid.shape, strict=True)):
        if order:
            factor = (1j * k) ** order
            if order % 2 and n % 2 == 0:
                factor = np.where(np.isclose(np.abs(k), np.pi * n / grid.lengths[i]), 0.0, factor)
            spectrum = spectrum * factor
    return np.asarray(scipy.fft.irfftn(spectrum, s=grid.shape, axes=axes))


def resample(values: np.ndarray, grid: Grid, shape: int | Sequence[int]) -> np.ndarray:
    """Fourier interpolation or truncation of (..., *space) to `shape` points; exact for resolved modes.

    The Nyquist mode of an even grid stands for a cosine: it is shared between both signs on a finer grid, and the two signs
    meet in it on a coarser one.
    """
    _need_periodic(grid)
    shape = (shape,) * grid.dimension if isinstance(shape, int) else tuple(shape)
    spectrum = np.asarray(values)
    for axis, (old, new) in enumerate(zip(grid.shape, shape, strict=True), start=-grid.dimension):
        if old == new:
            continue
        modes = np.moveaxis(np.asarray(scipy.fft.rfft(spectrum, axis=axis)), axis, -1)
        kept = min(old, new) // 2 + 1
        out = np.zeros((*modes.shape[:-1], new // 2 + 1), complex)
        out[..., :kept] = modes[..., :kept]
        if min(old, new) % 2 == 0:
            out[..., kept - 1] *= 0.5 if new > old else 2.0
            if new < old:
                out[..., kept - 1] = out[..., kept - 1].real
        spectrum = np.moveaxis(np.asarray(scipy.fft.irfft(out, n=new, axis=-1)), -1, axis) * (new / old)
    return spectrum


def _need_periodic(grid: Grid) -> None:
    if not grid.is_periodic:
        raise GridError(
            given=f"axes {[a.kind for a in grid.axes]}", needed="a periodic grid", remedy="Use solvers.elliptic for walls."
        )
