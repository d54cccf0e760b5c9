"""Poisson's equation with constant coefficients by fast transforms, and diffusion operators in flux form.

    -laplace(u) = f

The second-order stencil is diagonal in sines, cosines or exponentials, whichever fits the axis: points and boundary condition
decide (DST-I, DST-II, DST-IV, DCT-I, DCT-II, DCT-IV, FFT), so that a solve is two transforms and a division.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.result import Outcome, Result

COMPATIBLE = 1e-9  # share of the mean in a right-hand side above which a singular problem has no solution


@dataclass(frozen=True)
class Poisson:
    """Fast solver of -laplace(u) = f on a box, each axis with its own kind of points and boundary condition.

    Parameters
    ----------
    grid : axes that are periodic; interior or node with dirichlet; node with neumann; cell with dirichlet, neumann or one each.
    operator : "stencil" (second-order differences) or "spectral" (exact symbol of each mode; periodic axes only).
    """

    grid: Grid
    operator: str = "stencil"

    def __post_init__(self):
        if self.operator not in ("stencil", "spectral"):
            raise SettingError(given=f"operator={self.operator!r}", needed="'stencil' or 'spectral'", remedy="Change it.")
        if self.operator == "spectral" and not self.grid.is_periodic:
            raise SettingError(
                given="operator='spectral' with walls", needed="a periodic grid", remedy="Use operator='stencil'."
            )
        for axis in self.grid.axes:
            basis(axis)
            if _walls_are_points(axis) and axis.size < 3:
                raise GridError(
                    given=f"{axis.size} nodes on axis {axis.name!r}, both on walls",
                    needed="at least 3",
                    remedy="Enlarge the grid.",
                )

    def solve(self, f: np.ndarray, remove_mean: bool = False) -> Result:
        """u for right-hand sides f, (sample, *space) -> values (sample, *space).

        Problems without a Dirichlet side fix u only up to a constant: f must have mean zero (or set `remove_mean`), and the
        solution of mean zero is returned.

        Raises
        ------
        DataError : wrong shape, not finite, or a mean that the boundary conditions cannot balance.
        """
        f = np.asarray(f, np.float64)
        check_samples(f, self.grid, "right-hand side f")
        inner = f[(slice(None), *(slice(1, -1) if _walls_are_points(a) else slice(None) for a in self.grid.axes))]
        modes = forward(inner, self.grid)
        symbol = eigenvalues(self.grid, self.operator)
        singular = np.abs(symbol) <= 1e-13 * symbol.max()
        if singular.any():
            modes = self._balanced(modes, singular, remove_mean)
            symbol = np.where(singular, 1.0, symbol)
        u = backward(modes / symbol, self.grid)
        if u.shape != f.shape:
            u = np.pad(u, [(0, 0), *((1, 1) if _walls_are_points(a) else (0, 0) for a in self.grid.axes)])
        good = np.isfinite(u).reshape(len(u), -1).all(axis=1)
        return Result(u, np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP)), {"iterations": np.ones(len(u), int)})

    def _balanced(self, modes, singular, remove_mean):
        mean = np.abs(modes[:, singular]).max(axis=1)
        size = np.abs(modes).reshape(len(modes), -1).max(axis=1)
        bad = np.flatnonzero(mean > COMPATIBLE * np.maximum(size, np.finfo(float).tiny))
        if bad.size and not remove_mean:
            raise DataError(
                given=f"a right-hand side whose mean is not zero (sample {bad[0]})",
                needed="mean zero: without a Dirichlet side nothing can balance a net source",
                remedy="Subtract the mean, or pass remove_mean=True.",
            )
        return np.where(singular, 0.0, modes)


def apply_laplacian(u: np.ndarray, grid: Grid) -> np.ndarray:
    """-laplace(u) by the second-order stencil with the grid's boundary conditions, (sample, *space) -> the same.

    On node grids with Dirichlet walls the rows of the walls are zero.
    """
    total = np.zeros_like(u, dtype=np.float64)
    for i, axis in enumerate(grid.axes):
        padded = _with_ghosts(np.asarray(u, np.float64), i + 1, axis)
        total += -np.diff(padded, n=2, axis=i + 1) / axis.spacing**2
    for i, axis in enumerate(grid.axes):
        if _walls_are_points(axis):
            np.moveaxis(total, i + 1, 0)[[0, -1]] = 0.0
    return total


def apply_diffusion(a: np.ndarray, u: np.ndarray, grid: Grid) -> np.ndarray:
    """-div(a grad u) on a cell grid, a constant in each cell: flux form, conservative to rounding.

    Faces carry the harmonic mean of their two cells (the exact flux through two layers); a Dirichlet wall (value 0) is half a
    cell away; nothing flows through a Neumann wall.

    Parameters
    ----------
    a, u : (sample, *cells).
    """
    return apply_faces(face_coefficients(np.asarray(a, np.float64), grid), np.asarray(u, np.float64), grid)


def face_coefficients(a: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Per axis, a / h^2 at the n + 1 faces of each line of cells, walls included."""
    for axis in grid.axes:
        if axis.kind not in ("cell", "periodic"):
            raise SettingError(
                given=f"axis {axis.name!r} of kind {axis.kind!r}", needed="cells (or periodic)", remedy="Use a cell grid."
            )
    faces = []
    for i, axis in enumerate(grid.axes):
        b = np.moveaxis(a, i + 1, -1)
        inner = 2 * b[..., 1:] * b[..., :-1] / (b[..., 1:] + b[..., :-1])
        if axis.kind == "periodic":
            seam = 2 * b[..., :1] * b[..., -1:] / (b[..., :1] + b[..., -1:])
            ends = [seam, seam]
        else:
            ends = [
                2 * b[..., e] if side == "dirichlet" else 0 * b[..., e]
                for side, e in zip(axis.boundary, ([0], [-1]), strict=True)
            ]
        faces.append(np.moveaxis(np.concatenate([ends[0], inner, ends[1]], -1), -1, i + 1) / axis.spacing**2)
    return faces


def apply_faces(faces: list[np.ndarray], u: np.ndarray, grid: Grid) -> np.ndarray:
    """-div(a grad u) from `face_coefficients`."""
    total = np.zeros_like(u)
    for i, (axis, face) in enumerate(zip(grid.axes, faces, strict=True)):
        n, dim = axis.size, u.ndim - grid.dimension + i
        cut = lambda a, b, dim=dim: (slice(None),) * dim + (slice(a, b),)  # noqa: E731
        flux = np.empty_like(face)
        flux[cut(1, n)] = face[cut(1, n)] * (u[cut(1, None)] - u[cut(None, -1)])
        first, last = (u[cut(n - 1, n)], u[cut(0, 1)]) if axis.kind == "periodic" else (0.0, 0.0)
        flux[cut(0, 1)] = face[cut(0, 1)] * (u[cut(0, 1)] - first)
        flux[cut(n, n + 1)] = face[cut(n, n + 1)] * (last - u[cut(n - 1, n)])
        total += flux[cut(0, n)]
        total -= flux[cut(1, n + 1)]
    return total


def basis(axis: Axis) -> tuple[str, int]:
    """Transform and type that diagonalise the stencil of an axis: ("fft", 0), ("dst", 1), ("dct", 2), ...

    Raises
    ------
    SettingError : a kind of points with conditions for which there is none.
    """
    table = {
        ("periodic", "periodic", "periodic"): ("fft", 0),
        ("interior", "dirichlet", "dirichlet"): ("dst", 1),
        ("node", "dirichlet", "dirichlet"): ("dst", 1),
        ("node", "neumann", "neumann"): ("dct", 1),
        ("cell", "dirichlet", "dirichlet"): ("dst", 2),
        ("cell", "neumann", "neumann"): ("dct", 2),
        ("cell", "dirichlet", "neumann"): ("dst", 4),
        ("cell", "neumann", "dirichlet"): ("dct", 4),
    }
    key = (axis.kind, *axis.boundary)
    if key not in table:
        raise SettingError(
            given=f"axis {axis.name!r} of kind {axis.kind!r} with boundary {axis.boundary}",
            needed="periodic; interior or node with dirichlet; node with neumann; cell with dirichlet and neumann in any order",
            remedy="Use a cell grid for mixed sides.",
        )
    return table[key]


def forward(f: np.ndarray, grid: Grid) -> np.ndarray:
    """Coefficients of (..., *space) in the eigenvectors of the grid's stencil."""
    return _transform(f, grid, inverse=False)


def backward(modes: np.ndarray, grid: Grid) -> np.ndarray:
    """Inverse of `forward`."""
    return _transform(modes, grid, inverse=True)


def _transform(values: np.ndarray, grid: Grid, *, inverse: bool) -> np.ndarray:
    waves = [values.ndim - grid.dimension + i for i, a in enumerate(grid.axes) if a.kind == "periodic"]
    kinds = [basis(a) for a in grid.axes]
    if inverse and waves:
        sizes = [grid.axes[w - values.ndim + grid.dimension].size for w in waves]
        values = np.asarray(scipy.fft.irfftn(values, s=sizes, axes=waves))
    if len(set(kinds)) == 1 and not waves:  # one call for all axes
        name, kind = kinds[0]
        call = getattr(scipy.fft, ("i" if inverse else "") + name + "n")
        return call(values, type=kind, axes=tuple(range(values.ndim - grid.dimension, values.ndim)))
    for i, (name, kind) in enumerate(kinds):
        if name != "fft":
            call = getattr(scipy.fft, ("i" if inverse else "") + name)
            values = call(values, type=kind, axis=values.ndim - grid.dimension + i)
    return values if inverse or not waves else np.asarray(scipy.fft.rfftn(values, axes=waves))


def eigenvalues(grid: Grid, operator: str = "stencil") -> np.ndarray:
    """Of -laplace, one per coefficient of `forward`, in the layout of its space axes."""
    total = np.zeros((1,) * grid.dimension)
    waves = [i for i, a in enumerate(grid.axes) if a.kind == "periodic"]
    for i, axis in enumerate(grid.axes):
        n, (name, kind) = axis.size, basis(axis)
        if name == "fft":
            k = np.arange(n // 2 + 1) if i == waves[-1] else scipy.fft.fftfreq(n, 1 / n)
            angle = 2 * np.pi * k / n
        else:
            angle = {
                ("dst", 1): np.pi
                * np.arange(1, (n - 1 if axis.kind == "node" else n + 1))
                / (n - 1 if axis.kind == "node" else n + 1),
                ("dct", 1): np.pi * np.arange(n) / max(n - 1, 1),
                ("dst", 2): np.pi * np.arange(1, n + 1) / n,
                ("dct", 2): np.pi * np.arange(n) / n,
                ("dst", 4): np.pi * (np.arange(n) + 0.5) / n,
                ("dct", 4): np.pi * (np.arange(n) + 0.5) / n,
            }[name, kind]
        values = (angle if operator == "spectral" else 2 * np.sin(angle / 2)) ** 2 / axis.spacing**2
        total = total + values.reshape(-1, *(1,) * (grid.dimension - 1 - i))
    return total


def check_samples(values: np.ndarray, grid: Grid, what: str) -> None:
    """Raise DataError unless `values` is finite and (sample, *grid.shape)."""
    if values.ndim != grid.dimension + 1 or values.shape[1:] != grid.shape:
        raise DataError(
            given=f"{what} of shape {values.shape}",
            needed=f"(sample, {', '.join(map(str, grid.shape))})",
            remedy="Add the sample axis, or build the solver for this grid.",
        )
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if bad.size:
        raise DataError(
            given=f"{what} with NaN or infinity in sample {bad[0]}", needed="finite values", remedy="Mend that sample."
        )


def _walls_are_points(axis: Axis) -> bool:
    return axis.kind == "node" and axis.boundary == ("dirichlet", "dirichlet")


def _with_ghosts(u: np.ndarray, dim: int, axis: Axis) -> np.ndarray:
    basis(axis)
    u = np.moveaxis(u, dim, -1)
    if axis.kind == "periodic":
        ends = [u[..., -1:], u[..., :1]]
    elif axis.kind == "interior" or _walls_are_points(axis):
        ends = [0 * u[..., :1], 0 * u[..., :1]]
    elif axis.kind == "node":
        ends = [u[..., 1:2], u[..., -2:-1]]
    else:
        ends = [-u[..., e] if side == "dirichlet" else u[..., e] for side, e in zip(axis.boundary, ([0], [-1]), strict=True)]
    return np.moveaxis(np.concatenate([ends[0], u, ends[1]], -1), -1, dim)
