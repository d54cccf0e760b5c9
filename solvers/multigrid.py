"""Diffusion with a variable coefficient, -div(a grad u) = f, by preconditioned conjugate gradients on cell grids.

Two preconditioners. "dst-pcg" inverts the constant-coefficient operator by fast transforms: about sqrt(contrast) / 2 iterations
per factor e, at any resolution. "mg-pcg" takes one geometric V-cycle whose coarse coefficients are those of the faces between
coarse cells: for large contrast. "auto" chooses by the contrast of each sample. Every sample is solved by itself, so that it
cannot depend on those solved beside it; the samples of a batch are spread over threads.

References: Briggs, Henson, McCormick, A Multigrid Tutorial, SIAM 2000; Wesseling, Cell-centered multigrid for interface
problems, J. Comput. Phys. 79 (1988).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from solvers.elliptic import apply_faces, backward, check_samples, eigenvalues, face_coefficients, forward
from solvers.errors import DataError, SettingError
from solvers.grid import Axis, Grid
from solvers.result import Outcome, Result

METHODS = ("auto", "dst-pcg", "mg-pcg", "multigrid")
HIGH_CONTRAST = 60.0  # above it a V-cycle beats the fast transform
COARSEST = 4  # cells per side below which the rest is solved densely


@dataclass(frozen=True)
class Diffusion:
    """Solver of -div(a grad u) = f on a cell grid in 1-D to 3-D; faces by harmonic means (`elliptic.apply_diffusion`).

    Parameters
    ----------
    grid : cell (or periodic) axes, with dirichlet (value 0), neumann (no flux) or periodic sides.
    tolerance : bound of the true relative residual |f - A u| / |f|.
    max_iterations : of conjugate gradients (or V-cycles).
    method : "auto", "dst-pcg", "mg-pcg", or "multigrid" (stand-alone V-cycles).
    sweeps : Gauss-Seidel sweeps before and after each coarse-grid correction.
    threads : samples solved at a time; 0 takes the number of cores.
    """

    grid: Grid
    tolerance: float = 1e-10
    max_iterations: int = 200
    method: str = "auto"
    sweeps: int = 2
    threads: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise SettingError(given=f"method={self.method!r}", needed=f"one of {METHODS}", remedy="Change it.")
        if not 0 < self.tolerance < 1 or self.max_iterations < 1 or self.sweeps < 1:
            raise SettingError(
                given=f"{self}", needed="tolerance in (0, 1), max_iterations and sweeps >= 1", remedy="Change them."
            )

    def solve(self, a: np.ndarray, f: np.ndarray | float = 1.0) -> Result:
        """u, (sample, *cells), for coefficients a > 0, (sample, *cells), and right-hand side f: a number, (*cells) or like a.

        stats : "iterations" and "residual" (relative, recomputed from the solution) per sample.

        Raises
        ------
        DataError : wrong shapes, a coefficient that is not positive or not finite (names the sample), or, without a Dirichlet
            side, a right-hand side whose mean is not zero.
        """
        a = np.asarray(a, np.float64)
        check_samples(a, self.grid, "coefficient a")
        bad = np.flatnonzero(~(a > 0).reshape(len(a), -1).all(axis=1))
        if bad.size:
            raise DataError(
                given=f"a coefficient that is not positive in sample {bad[0]}", needed="a > 0 everywhere", remedy="Mend it."
            )
        f = np.broadcast_to(np.asarray(f, np.float64), a.shape)
        check_samples(f, self.grid, "right-hand side f")
        if self.is_singular:
            mean, size = f.reshape(len(f), -1).mean(1), np.abs(f).reshape(len(f), -1).max(1)
            if (np.abs(mean) > 1e-9 * size).any():
                raise DataError(
                    given="a right-hand side whose mean is not zero, without a Dirichlet side",
                    needed="mean zero",
                    remedy="Subtract the mean.",
                )
        with ThreadPoolExecutor(self.threads or os.cpu_count() or 1) as pool:
            solved = list(pool.map(self._solve_one, a, f))
        values, iterations, residuals = (np.array(column) for column in zip(*solved, strict=True))
        outcome = np.where(residuals <= self.tolerance, int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED))
        return Result(values, outcome, {"iterations": iterations, "residual": residuals})

    @property
    def is_singular(self) -> bool:
        """No side fixes the value of u."""
        return not any("dirichlet" in axis.boundary for axis in self.grid.axes)

    @cached_property
    def _symbol(self) -> np.ndarray:
        symbol = eigenvalues(self.grid)
        return np.where(symbol <= 1e-13 * symbol.max(), np.inf, symbol)  # a zero mode is left out

    def _solve_one(self, a: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, int, float]:
        faces = face_coefficients(a[None], self.grid)
        faces = [face[0] for face in faces]
        operator = lambda u: apply_faces(faces, u, self.grid)  # noqa: E731
        method = self.method
        if method == "auto":
            method = "mg-pcg" if a.max() > HIGH_CONTRAST * a.min() else "dst-pcg"
        if method == "dst-pcg":
            scale = np.sqrt(a.max() * a.min())
            precondition = lambda r: backward(forward(r, self.grid) / (scale * self._symbol), self.grid)  # noqa: E731
        else:
            precondition = Cycle(faces, self.grid, self.sweeps)
        if method == "multigrid":
            return _iterate(operator, precondition, f, self.tolerance, self.max_iterations)
        return _conjugate_gradients(operator, precondition, f, self.tolerance, self.max_iterations, self.is_singular)


def _conjugate_gradients(
    operator: Callable, precondition: Callable, f: np.ndarray, tolerance: float, limit: int, singular: bool
) -> tuple[np.ndarray, int, float]:
    """Preconditioned conjugate gradients until the true relative residual is below the tolerance, restarted if it drifts."""
    size = _norm(f)
    u = np.zeros_like(f)
    if size == 0:
        return u, 0, 0.0
    r, iterations = f.copy(), 0
    while iterations < limit:
        z = precondition(r)
        p, rz = z.copy(), _dot(r, z)
        goal = 0.5 * tolerance * size
        while iterations < limit:
            q = operator(p)
            step = rz / _dot(p, q)
            u += step * p
            previous = r
            r = r - step * q
            iterations += 1
            if _norm(r) <= goal:
                break
            z = precondition(r)
            # Polak-Ribiere: keeps converging when the preconditioner is not exactly symmetric (rounding of its coarse solve)
            turn = _dot(r - previous, z) / rz
            rz = _dot(r, z)
            p *= turn
            p += z
        r = f - operator(u)
        if _norm(r) <= tolerance * size:
            break
    return (u - u.mean() if singular else u), iterations, float(_norm(r) / size)


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    """Not by BLAS: its threads would fight those that solve other samples, and its sums depend on their number."""
    return float((x * y).sum())


def _norm(x: np.ndarray) -> float:
    return float(np.sqrt(_dot(x, x)))


def _iterate(operator, cycle, f, tolerance, limit) -> tuple[np.ndarray, int, float]:
    u, size = np.zeros_like(f), _norm(f)
    residual, iterations = f, 0
    while iterations < limit and _norm(residual) > tolerance * size:
        u = u + cycle(residual)
        residual = f - operator(u)
        iterations += 1
    return u, iterations, float(_norm(residual) / max(size, np.finfo(float).tiny))


class Cycle:
    """One symmetric V-cycle from zero for -div(a grad u), given by its faces: u = cycle(f).

    Coarse grids pair cells along each axis of even size while one has more than four; the coarsest is solved densely.
    Smoother: red-black Gauss-Seidel, colours reversed after the correction, so that the cycle is symmetric, as conjugate
    gradients need. Transfers: cell-centred linear interpolation and its adjoint.
    """

    def __init__(self, faces: list[np.ndarray], grid: Grid, sweeps: int = 2):
        self.sweeps = sweeps
        self.levels = [Level(faces, grid)]
        while (pairs := self.levels[-1].pairable()) and max(self.levels[-1].grid.shape) > COARSEST:
            self.levels.append(self.levels[-1].coarser(pairs))
        self.dense = self.levels[-1].pseudo_inverse()

    def __call__(self, f: np.ndarray) -> np.ndarray:
        return self._descend(0, f)

    def _descend(self, depth: int, f: np.ndarray) -> np.ndarray:
        level = self.levels[depth]
        if depth == len(self.levels) - 1:
            return (self.dense @ f.ravel()).reshape(f.shape)
        u = np.zeros_like(f)
        for _ in range(self.sweeps):
            level.smooth(u, f, (0, 1))
        u += level.prolong(self._descend(depth + 1, level.restrict(f - level.apply(u))))
        for _ in range(self.sweeps):
            level.smooth(u, f, (1, 0))
        return u


class Level:
    """One grid of a `Cycle`: its faces, and the transfers to the next coarser one."""

    def __init__(self, faces: list[np.ndarray], grid: Grid):
        self.faces, self.grid = faces, grid
        self.pairs: tuple[bool, ...] = ()
        self.diagonal = sum(
            face[_cut(i, grid, 0, n)] + face[_cut(i, grid, 1, n + 1)]
            for i, (face, n) in enumerate(zip(faces, grid.shape, strict=True))
        )
        colour = np.indices(grid.shape).sum(0) % 2
        self.inverse = [np.where(colour == c, 1 / self.diagonal, 0.0) for c in (0, 1)]

    def apply(self, u: np.ndarray) -> np.ndarray:
        """-div(a grad u)."""
        return apply_faces(self.faces, u, self.grid)

    def smooth(self, u: np.ndarray, f: np.ndarray, colours: tuple[int, int]) -> None:
        """One Gauss-Seidel sweep in place, one colour after the other. (Odd periodic axes: Jacobi across the seam.)"""
        for colour in colours:
            u += self.inverse[colour] * (f - self.apply(u))

    def pairable(self) -> tuple[bool, ...]:
        """Per axis, whether its cells can be paired; () when none can."""
        pairs = tuple(n % 2 == 0 and n > 2 for n in self.grid.shape)
        return pairs if any(pairs) else ()

    def coarser(self, pairs: tuple[bool, ...]) -> "Level":
        """The next grid: faces between coarse cells are means of the fine faces that they consist of."""
        self.pairs = pairs
        axes = tuple(
            Axis(a.name, a.size // 2 if p else a.size, a.start, a.stop, a.kind, a.boundary)
            for a, p in zip(self.grid.axes, pairs, strict=True)
        )
        faces = []
        for i, face in enumerate(self.faces):
            if pairs[i]:  # twice the distance: a quarter of a / h^2
                face = face[_cut(i, self.grid, None, None, 2)] / 4
            for j, paired in enumerate(pairs):
                if paired and j != i:
                    face = 0.5 * (face[_cut(j, self.grid, None, None, 2)] + face[_cut(j, self.grid, 1, None, 2)])
            faces.append(face)
        return Level(faces, Grid(axes))

    def pseudo_inverse(self) -> np.ndarray:
        """Dense inverse (of mean-free vectors where the operator is singular)."""
        n = int(np.prod(self.grid.shape))
        if n > 4096:
            raise SettingError(
                given=f"a grid of {self.grid.shape} cells that cannot be paired further",
                needed="even sizes, a power of two times a small number",
                remedy="Use method='dst-pcg', or another resolution.",
            )
        matrix = np.stack([self.apply(e.reshape(self.grid.shape)).ravel() for e in np.eye(n)], axis=1)
        return np.linalg.pinv(matrix, rcond=1e-12, hermitian=True)

    def restrict(self, r: np.ndarray) -> np.ndarray:
        """Adjoint of `prolong` over 2^d: full weighting of residuals."""
        for i, axis in enumerate(self.grid.axes):
            if self.pairs[i]:
                r = _restrict_axis(r, i, axis)
        return r

    def prolong(self, u: np.ndarray) -> np.ndarray:
        """Linear interpolation between cell centres; beyond the last centre by the boundary condition."""
        for i, axis in enumerate(self.grid.axes):
            if self.pairs[i]:
                u = _prolong_axis(u, i, axis)
        return u


def _prolong_axis(u: np.ndarray, dim: int, axis: Axis) -> np.ndarray:
    u = np.moveaxis(u, dim, -1)
    lower, upper = _neighbours(u, axis)
    fine = np.empty((*u.shape[:-1], 2 * u.shape[-1]))
    fine[..., ::2] = 0.75 * u + 0.25 * lower
    fine[..., 1::2] = 0.75 * u + 0.25 * upper
    return np.moveaxis(fine, -1, dim)


def _restrict_axis(r: np.ndarray, dim: int, axis: Axis) -> np.ndarray:
    r = np.moveaxis(r, dim, -1)
    even, odd = r[..., ::2], r[..., 1::2]
    coarse = 0.75 * (even + odd)
    coarse[..., :-1] += 0.25 * even[..., 1:]
    coarse[..., 1:] += 0.25 * odd[..., :-1]
    if axis.kind == "periodic":
        coarse[..., -1] += 0.25 * even[..., 0]
        coarse[..., 0] += 0.25 * odd[..., -1]
    else:
        for side, e, values in ((0, 0, even), (1, -1, odd)):
            coarse[..., e] += (-0.25 if axis.boundary[side] == "dirichlet" else 0.25) * values[..., e]
    return np.moveaxis(0.5 * coarse, -1, dim)


def _neighbours(u: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    if axis.kind == "periodic":
        return np.roll(u, 1, -1), np.roll(u, -1, -1)
    signs = [-1.0 if side == "dirichlet" else 1.0 for side in axis.boundary]
    lower = np.concatenate([signs[0] * u[..., :1], u[..., :-1]], -1)
    upper = np.concatenate([u[..., 1:], signs[1] * u[..., -1:]], -1)
    return lower, upper


def _cut(dim: int, grid: Grid, start, stop, step=None) -> tuple:
    return (slice(None),) * dim + (slice(start, stop, step),) + (slice(None),) * (grid.dimension - dim - 1)
