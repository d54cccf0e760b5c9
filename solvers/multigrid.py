"""Diffusion with a variable coefficient, -div(a grad u) = f, by preconditioned conjugate gradients on cell grids.

Two preconditioners. "dst-pcg" inverts the constant-coefficient operator by fast transforms: about sqrt(contrast) / 2 iterations
per factor e, at any resolution. "mg-pcg" takes one V-cycle whose interpolation follows the coefficient, with Galerkin products
as coarse operators: about a dozen iterations to 1e-10 at any resolution and contrast. "auto" chooses by the contrast of each
sample. Every sample is solved by itself, so that it cannot depend on those solved beside it; the samples of a batch are spread
over threads.

References: Alcouffe, Brandt, Dendy, Painter, The multi-grid method for the diffusion equation with strongly discontinuous
coefficients, SIAM J. Sci. Stat. Comput. 2 (1981); Dendy, Black box multigrid, J. Comput. Phys. 48 (1982).
"""

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from operator import mul

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_array, dia_array

from solvers.elliptic import apply_faces, backward, check_samples, eigenvalues, face_coefficients, forward
from solvers.errors import DataError, SettingError
from solvers.grid import Grid
from solvers.krylov import conjugate_gradients, norm
from solvers.result import Outcome, Result
from solvers.threads import available

METHODS = ("auto", "dst-pcg", "mg-pcg", "multigrid")
HIGH_CONTRAST = 60.0  # above it a V-cycle beats the fast transform
COARSEST = 4  # points per side at which an axis is no longer coarsened


@dataclass(frozen=True)
class Diffusion:
    """Solver of -div(a grad u) = f on a cell grid in 1-D to 3-D; faces by harmonic means (`elliptic.apply_diffusion`).

    Parameters
    ----------
    grid : cell (or periodic) axes, with dirichlet (value 0), neumann (no flux) or periodic sides.
    tolerance : bound of the true relative residual |f - A u| / |f|.
    max_iterations : of conjugate gradients (or V-cycles).
    method : "auto", "dst-pcg", "mg-pcg", or "multigrid" (stand-alone V-cycles).
    sweeps : degree of the Chebyshev smoother before and after each coarse-grid correction.
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
        a, f = checked(a, f, self.grid)
        with ThreadPoolExecutor(self.threads or available()) as pool:
            solved = list(pool.map(self._solve_one, a, f))
        values, iterations, residuals = (np.array(column) for column in zip(*solved, strict=True))
        outcome = np.where(residuals <= self.tolerance, int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED))
        return Result(values, outcome, {"iterations": iterations, "residual": residuals})

    @property
    def is_singular(self) -> bool:
        """No side fixes the value of u."""
        return is_singular(self.grid)

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
            operator = precondition.operator
        if method == "multigrid":
            return _iterate(operator, precondition, f, self.tolerance, self.max_iterations)
        solved = conjugate_gradients(
            operator, precondition, f, tolerance=self.tolerance, limit=self.max_iterations, singular=self.is_singular
        )
        return solved.values, solved.iterations, solved.residual


def is_singular(grid: Grid) -> bool:
    """No side of the grid fixes the value of u, so that it is known but for a constant."""
    return not any("dirichlet" in axis.boundary for axis in grid.axes)


def checked(a: np.ndarray, f: np.ndarray | float, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """a and f as float64, both (sample, *cells), if -div(a grad u) = f has a solution; raises as `Diffusion.solve` says."""
    a = np.asarray(a, np.float64)
    check_samples(a, grid, "coefficient a")
    bad = np.flatnonzero(~(a > 0).reshape(len(a), -1).all(axis=1))
    if bad.size:
        raise DataError(
            given=f"a coefficient that is not positive in sample {bad[0]}", needed="a > 0 everywhere", remedy="Mend it."
        )
    f = np.broadcast_to(np.asarray(f, np.float64), a.shape)
    check_samples(f, grid, "right-hand side f")
    if is_singular(grid):
        mean, size = f.reshape(len(f), -1).mean(1), np.abs(f).reshape(len(f), -1).max(1)
        if (np.abs(mean) > 1e-9 * size).any():
            raise DataError(
                given="a right-hand side whose mean is not zero, without a Dirichlet side",
                needed="mean zero",
                remedy="Subtract the mean.",
            )
    return a, f


def _iterate(operator, cycle, f, tolerance, limit) -> tuple[np.ndarray, int, float]:
    u, size = np.zeros_like(f), norm(f)
    residual, iterations = f, 0
    while iterations < limit and norm(residual) > tolerance * size:
        u = u + cycle(residual)
        residual = f - operator(u)
        iterations += 1
    return u, iterations, float(norm(residual) / max(size, np.finfo(float).tiny))


class Cycle:
    """One symmetric V-cycle from zero for -div(a grad u), given by its faces: u = cycle(f).

    Each coarsening keeps every second point of one axis after the other. A point left out is interpolated along its line by its
    own equation, summed over the other axes (so that fluxes stay continuous across jumps of a); coarse operators are P^T A P.
    Smoother: Chebyshev polynomials in B A, the same before and after the correction, so that the cycle is symmetric, as
    conjugate gradients need. B inverts the diagonal on the finest grid and, below, the lines of each axis (their mean): strips
    of large a that no kept point sees are constant along a line, which neither coarse grid nor diagonal could correct. The
    coarsest grid is solved densely.

    Parameters
    ----------
    faces : of `elliptic.face_coefficients`, for one sample.
    sweeps : degree of the smoother.
    """

    def __init__(self, faces: list[np.ndarray], grid: Grid, sweeps: int = 2):
        shape, periodic = grid.shape, tuple(axis.kind == "periodic" for axis in grid.axes)
        shapes = [shape]
        self.sweeps = sweeps
        self.operators = [assemble(faces, grid)]
        self.prolongations: list[csr_array] = []
        while any(n > COARSEST for n in shape):
            product, operator = None, self.operators[-1]
            for i, n in enumerate(shape):
                if n > COARSEST:
                    step = interpolation(operator, shape, i, periodic[i])
                    operator = (step.T.tocsr() @ (operator @ step)).tocsr()
                    shape = (*shape[:i], -(-n // 2), *shape[i + 1 :])
                    product = step if product is None else (product @ step).tocsr()
            assert product is not None
            self.operators.append(operator)
            self.prolongations.append(product)
            shapes.append(shape)
        self.restrictions = [p.T.tocsr() for p in self.prolongations]
        self.shapes, self.periodic = shapes, periodic
        self.products = [
            operator if any(periodic) else by_diagonals(operator, shape, corners=depth > 0)
            for depth, (operator, shape) in enumerate(zip(self.operators, shapes, strict=True))
        ]
        self.smoothers = self._smoothers()
        # Rounding leaves a singular operator's zero eigenvalue at about eps times its size.
        self.dense = np.linalg.pinv(self.operators[-1].toarray(), rcond=1e-12, hermitian=True)

    def _smoothers(self) -> list:
        operators = list(zip(self.operators, self.shapes, strict=True))[:-1]
        return [Lines(a, n) if depth and len(n) > 1 else Diagonal(a) for depth, (a, n) in enumerate(operators)]

    def __call__(self, f: np.ndarray) -> np.ndarray:
        """(*cells) -> (*cells)."""
        return self._descend(0, f.ravel()).reshape(f.shape)

    def operator(self, u: np.ndarray) -> np.ndarray:
        """A u, (*cells) -> (*cells)."""
        return (self.products[0] @ u.ravel()).reshape(u.shape)

    def _descend(self, depth: int, f: np.ndarray) -> np.ndarray:
        if depth == len(self.prolongations):
            return (self.dense * f).sum(1)  # not by BLAS, see `_dot`
        u = self._smooth(depth, None, f)
        coarse = self.restrictions[depth] @ (f - self.products[depth] @ u)
        u += self.prolongations[depth] @ self._descend(depth + 1, coarse)
        return self._smooth(depth, u, f)

    def _smooth(self, depth: int, start: np.ndarray | None, f: np.ndarray) -> np.ndarray:
        """Chebyshev iteration for the upper three quarters of the spectrum of B A; a start of None is zero."""
        operator, smoother = self.products[depth], self.smoothers[depth]
        centre, half = 0.625 * smoother.bound, 0.375 * smoother.bound
        step = smoother(f if start is None else f - operator @ start)
        step /= centre
        u = step.copy() if start is None else start + step
        rate = half / centre
        for _ in range(self.sweeps - 1):
            previous, rate = rate, 1 / (2 * centre / half - rate)
            step *= rate * previous
            step += (2 * rate / half) * smoother(f - operator @ u)
            u += step
        return u


class Diagonal:
    """B = D^-1, and by Gershgorin's circles a bound of the eigenvalues of B A."""

    def __init__(self, operator: csr_array):
        self.inverse = 1 / operator.diagonal()
        rows = np.add.reduceat(np.abs(operator.data), operator.indptr[:-1])  # none is empty
        self.bound = float((rows * self.inverse).max())

    def __call__(self, r: np.ndarray) -> np.ndarray:
        return self.inverse * r


class Lines:
    """B = mean over the axes of the inverses T^-1 of the lines along each (cut open where they are periodic).

    For couplings of one sign 2 T - A has a dominant diagonal, so that B A has no eigenvalue above 2; the few of the other sign
    that Galerkin products bring are covered, as the smoother reduces all up to 2.5.
    """

    bound = 2.0

    def __init__(self, operator: csr_array, shape: tuple[int, ...]):
        self.shape, self.factors = shape, []
        diagonal = operator.diagonal().reshape(shape)
        for axis in range(len(shape)):
            stride = int(np.prod(shape[axis + 1 :]))
            coupling = np.append(operator.diagonal(stride), np.zeros(stride)).reshape(shape)
            lines = np.moveaxis(coupling, axis, -1).copy()
            lines[..., -1] = 0.0  # no coupling from one line to the next: all are one tridiagonal system
            *factors, failed = lapack.dpttrf(np.moveaxis(diagonal, axis, -1).ravel(), lines.ravel()[:-1])
            if failed:
                raise SettingError(
                    given="an operator whose lines are not positive definite",
                    needed="a diffusion operator",
                    remedy="Use method='dst-pcg', and report this case.",
                )
            self.factors.append(factors)

    def __call__(self, r: np.ndarray) -> np.ndarray:
        total = np.zeros(self.shape)
        for axis, factors in enumerate(self.factors):
            lines = np.moveaxis(r.reshape(self.shape), axis, -1)
            solved = lapack.dpttrs(*factors, lines.ravel())[0]
            total += np.moveaxis(solved.reshape(lines.shape), -1, axis)
        return total.ravel() / len(self.shape)


def assemble(faces: list[np.ndarray], grid: Grid) -> csr_array:
    """The matrix of `elliptic.apply_faces`, (cells, cells), for one sample."""
    indptr, indices, order = _stencil_pattern(grid.shape, tuple(axis.kind == "periodic" for axis in grid.axes))
    diagonal = sum(
        face[_cut(i, grid, 0, n)] + face[_cut(i, grid, 1, n + 1)]
        for i, (face, n) in enumerate(zip(faces, grid.shape, strict=True))
    )
    values = [np.asarray(diagonal).ravel()]
    for i, (axis, face) in enumerate(zip(grid.axes, faces, strict=True)):
        inner = -face[_cut(i, grid, 1, axis.size + (axis.kind == "periodic"))].ravel()
        values += [inner, inner]
    return csr_array((np.concatenate(values)[order], indices, indptr), shape=(diagonal.size, diagonal.size))


def by_diagonals(operator: csr_array, shape: tuple[int, ...], corners: bool) -> dia_array:
    """The same matrix by its diagonals, one per neighbour of a point (those at `corners`, too): products take half the time."""
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    steps = [s for s in itertools.product((-1, 0, 1), repeat=len(shape)) if corners or sum(map(abs, s)) <= 1]
    offsets = np.unique([sum(map(mul, s, strides)) for s in steps])
    n = int(np.prod(shape))
    offsets = offsets[np.abs(offsets) < n]
    diagonals = np.zeros((len(offsets), n))
    for i, k in enumerate(offsets):
        diagonals[i, max(k, 0) : n + min(k, 0)] = operator.diagonal(k)
    return dia_array((diagonals, offsets), shape=operator.shape)


@functools.lru_cache(maxsize=16)
def _stencil_pattern(shape: tuple[int, ...], periodic: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """indptr, indices, and where in [diagonal, (face, face) per axis] each entry of the matrix comes from."""
    cells = np.arange(np.prod(shape)).reshape(shape)
    rows, columns = [cells.ravel()], [cells.ravel()]
    for i, wraps in enumerate(periodic):
        lower, upper = (cells, np.roll(cells, -1, i)) if wraps else (np.delete(cells, -1, i), np.delete(cells, 0, i))
        rows += [lower.ravel(), upper.ravel()]
        columns += [upper.ravel(), lower.ravel()]
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=cells.size))])
    return indptr.astype(np.int32), column[order].astype(np.int32), order


def interpolation(operator: csr_array, shape: tuple[int, ...], axis: int, periodic: bool) -> csr_array:
    """From every second point of one axis to all, (points, kept points), by the operator's own equation on each line.

    With the couplings of a point summed over the other axes, A_- u_- + A_0 u_0 + A_+ u_+ = 0 gives u_0 from its neighbours.
    Exact for problems in one dimension.
    """
    label, colours, pattern = _line_pattern(shape, axis, periodic)
    sums = np.asarray(operator @ colours)  # per point, the couplings to each colour of the axis
    indptr, indices, at, rows, neighbours = pattern
    values = np.ones(len(indices))
    for place, row, neighbour in zip(at, rows, neighbours, strict=True):
        values[place] = -sums[row, label[neighbour]] / sums[row, label[row]]
    return csr_array((values, indices, indptr), shape=(len(label), int(indices.max()) + 1))


@functools.lru_cache(maxsize=128)
def _line_pattern(shape: tuple[int, ...], axis: int, periodic: bool):
    """Colours of points such that three in a row on a line differ, and the sparsity of `interpolation`."""
    n = shape[axis]
    colour = np.arange(n) % 3
    if periodic and n % 3:
        colour = np.arange(n) if n < 8 else np.concatenate([np.arange(n - 4 * (n % 3)) % 3, np.tile(np.arange(4), n % 3)])
    points = np.arange(np.prod(shape)).reshape(shape)
    place = np.indices(shape)[axis].ravel()
    label = colour[place]
    kept = np.full(shape, -1)
    coarse = [slice(None)] * len(shape)
    coarse[axis] = slice(None, None, 2)
    kept[tuple(coarse)] = np.arange(kept[tuple(coarse)].size).reshape(kept[tuple(coarse)].shape)
    rows, columns, others = [points[tuple(coarse)].ravel()], [kept[tuple(coarse)].ravel()], [points[tuple(coarse)].ravel()]
    for step in (-1, 1):
        left_out = place % 2 == 1
        if not periodic:
            left_out &= (place + step >= 0) & (place + step < n)
        row = points.ravel()[left_out]
        neighbour = np.roll(points, -step, axis).ravel()[left_out]
        rows.append(row)
        columns.append(kept.ravel()[neighbour])
        others.append(neighbour)
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, row))
    where = np.empty(len(order), np.int64)
    where[order] = np.arange(len(order))
    ends = np.cumsum([len(r) for r in rows])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=points.size))]).astype(np.int32)
    pattern = (indptr, column[order].astype(np.int32), (where[ends[0] : ends[1]], where[ends[1] :]), rows[1:], others[1:])
    return label, np.eye(int(colour.max()) + 1)[label], pattern


def _cut(dim: int, grid: Grid, start, stop, step=None) -> tuple:
    return (slice(None),) * dim + (slice(start, stop, step),) + (slice(None),) * (grid.dimension - dim - 1)
