"""From fine grids to coarse ones: means over cells, spectral truncation on periodic axes, common points of nodes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy.fft

from pdes.arrays import LazyArray
from solvers.errors import GridError
from solvers.grid import Axis, Grid


def coarse_axis(axis: Axis, factor: int) -> tuple[Axis, int]:
    """The axis with `factor` times the spacing, and the position of its first point in the fine one (0 for means of cells).

    >>> coarse_axis(Axis("x", 9, kind="node", boundary=("dirichlet", "dirichlet")), 4)[0].size
    3
    """
    intervals = axis.size + {"periodic": 0, "cell": 0, "node": -1, "interior": 1}[axis.kind]
    if factor < 1 or intervals % factor:
        raise GridError(
            given=f"{axis.size} {axis.kind} points on axis {axis.name!r}, to be coarsened by {factor}",
            needed=f"a factor that divides {intervals}",
            remedy=f"Take one of {[k for k in range(2, intervals // 2 + 1) if intervals % k == 0][:8]}.",
        )
    coarse = intervals // factor - {"periodic": 0, "cell": 0, "node": -1, "interior": 1}[axis.kind]
    return replace(axis, size=coarse), factor - 1 if axis.kind == "interior" else 0


def restrict(values: np.ndarray, fine: Grid, coarse: Grid) -> np.ndarray:
    """Values (..., *space) from one grid to a coarser one of the same domain.

    Cells, periodic or not: means (a conservative restriction). Other periodic axes: the Fourier modes that the coarse grid
    carries, without its Nyquist mode (no aliasing). Nodes and interior: the common points.
    """
    if fine.shape == coarse.shape:
        return values
    for position, (a, b) in enumerate(zip(fine.axes, coarse.axes, strict=True)):
        values = np.moveaxis(values, position - fine.dimension, -1)
        if a.kind == "periodic" and not a.cells:
            values = truncate(values, b.size)
        else:
            target, first = coarse_axis(a, _factor(a, b))
            if a.is_cell:
                values = values.reshape(*values.shape[:-1], target.size, -1).mean(axis=-1)
            else:
                values = values[..., first :: _factor(a, b)][..., : target.size]
        values = np.moveaxis(values, -1, position - fine.dimension)
    return np.ascontiguousarray(values)


def truncate(values: np.ndarray, n: int) -> np.ndarray:
    """Keep the modes of the last axis below the Nyquist mode of n points, and evaluate there."""
    size = values.shape[-1]
    if n > size:
        raise GridError(
            given=f"{size} points to be truncated to {n}", needed="a coarser target", remedy="Compute on a finer grid."
        )
    if n == size:
        return values
    spectrum = np.asarray(scipy.fft.rfft(values))[..., : n // 2 + 1]
    if n % 2 == 0:
        spectrum[..., -1] = 0
    return np.asarray(scipy.fft.irfft(spectrum * (n / size), n=n))


def _factor(fine: Axis, coarse: Axis) -> int:
    shift = {"cell": 0, "periodic": 0, "node": -1, "interior": 1}[fine.kind]
    factor, left = divmod(fine.size + shift, coarse.size + shift)
    if left:
        raise GridError(
            given=f"{fine.size} {fine.kind} points for {coarse.size}", needed="nested grids", remedy="Change the resolution."
        )
    return factor


class AveragedSource:
    """Means over blocks of cells of another lazy array, computed when read."""

    def __init__(self, array: LazyArray, factors: Mapping[str, int]):
        self.array, self.factors = array, [factors.get(name, 1) for name in array.dims]
        self.shape = tuple(n // f for n, f in zip(array.shape, self.factors, strict=True))
        self.dtype = array.dtype

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        values = self.array.view(0, np.asarray(rows, dtype=np.intp))[...].astype(np.float64)
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                values = values.reshape(*values.shape[:axis], -1, factor, *values.shape[axis + 1 :]).mean(axis=axis + 1)
        return values.astype(self.dtype)[(slice(None), *rest)]


def refine(grid: Grid, factor: int) -> Grid:
    """The grid of the same domain with `factor` times as many intervals per axis; `restrict` leads back."""
    shift = {"periodic": 0, "cell": 0, "node": -1, "interior": 1}
    return grid.with_shape(tuple((axis.size + shift[axis.kind]) * factor - shift[axis.kind] for axis in grid.axes))
