"""Helmholtz's equation in a rectangle, by spectral elements of degree four and a sparse factorisation:

    -laplace(u) - k(x)^2 u = f,      u_n - i k u = g (impedance: waves leave)      or      u_n = g (Neumann: a hard box)

Elements are squares of 4 x 4 cells; k and f are given in the cells and enter as the cubics through them, u is returned there.
Low order pollutes: bilinear elements at k h = 1/2 are wrong by a percent in the wavelength, half a radian across the box of
k = 50 (Babuska and Sauter, SIAM J. Numer. Anal. 34, 1997). A hard box has resonances, near which the answer is arbitrarily
sensitive: `stats["condition"]` tells. Inner nodes of the elements are eliminated first, in batches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg
from numpy.polynomial import legendre

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.result import Outcome, Result

DEGREE = 4
CONDITIONS = ("impedance", "neumann")
SIDES = ("left", "right", "bottom", "top")
ACCEPTED = 1e-8  # relative residual of the factorised system
Flux = float | complex | Callable | tuple[float, float, Any]


@dataclass(frozen=True)
class Helmholtz:
    """Solver for many media on one grid.

    Parameters
    ----------
    grid : two axes of kind "cell", sizes divisible by 4. (Which condition holds is said here, not by the grid.)
    condition : "impedance" or "neumann", on all sides.
    flux : side ("left", "right", "bottom", "top") -> g: a number, a function of the coordinate along the side, or (start, stop,
        one of these), zero outside of it and integrated up to its ends. Sides that are not named have g = 0.
    means : return means over the cells instead of values at their centres.
    estimate_condition : also estimate the condition number, in the 1-norm; costs a few more solves.

    Examples
    --------
    >>> grid = Grid.box("cell", 16, dimension=2, boundary="robin")
    >>> found = Helmholtz(grid, flux={"left": -20j, "right": 0.0}).solve(np.full((1, 16, 16), 10.0))
    >>> found.values.shape, found.succeeded
    ((1, 16, 16), True)
    """

    grid: Grid
    condition: str = "impedance"
    flux: Mapping[str, Flux] | None = None
    means: bool = False
    estimate_condition: bool = True

    def __post_init__(self):
        axes = self.grid.axes
        if self.grid.dimension != 2 or any(a.kind != "cell" or a.size % DEGREE for a in axes):
            raise GridError(
                given=f"a grid of {[f'{a.size} {a.kind}' for a in axes]} points",
                needed=f"two axes of cells, in multiples of {DEGREE}",
                remedy="Use Grid.box('cell', 64, dimension=2, boundary='robin').",
            )
        unknown = set(self.flux or {}) - set(SIDES)
        if self.condition not in CONDITIONS or unknown:
            raise SettingError(
                given=f"condition {self.condition!r}, flux on {sorted(self.flux or {})}",
                needed=f"one of {CONDITIONS}, and sides of {SIDES}",
                remedy="Mend them.",
            )

    def solve(self, k: np.ndarray, f: np.ndarray | None = None) -> Result:
        """u in the cells, (sample, x, y), complex; real for a hard box with real data.

        k : wavenumber omega / c, > 0, (sample, x, y), 1 / length.   f : source, (sample, x, y), real or complex, or None.
        stats: "residual" of the sparse system, relative; "condition" (NaN unless estimated).

        Raises
        ------
        DataError : wrong shapes, or values that are not finite or not positive.
        """
        k = np.asarray(k, np.float64)
        f = np.zeros_like(k) if f is None else np.asarray(f)
        if k.ndim != 3 or k.shape[1:] != self.grid.shape or f.shape != k.shape:
            raise DataError(
                given=f"k of shape {k.shape}, f of shape {f.shape}",
                needed=f"(sample, {self.grid.shape[0]}, {self.grid.shape[1]}) for both",
                remedy="Add the sample axis, or build the solver for this grid.",
            )
        if not np.all((k > 0) & np.isfinite(k)) or not np.isfinite(f).all():
            raise DataError(given="k that is not positive, or NaN", needed="finite k > 0 and finite f", remedy="Mend them.")
        mesh = _Mesh(self.grid)
        load = mesh.boundary_load(self.flux or {})
        values, residual, condition = (
            np.array(column) for column in zip(*(self._one(mesh, *pair, load) for pair in zip(k, f, strict=True)), strict=True)
        )
        good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        outcome = np.where(good & (residual < ACCEPTED), int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED))
        return Result(values, outcome, {"residual": residual, "condition": condition})

    def _one(self, mesh: "_Mesh", k: np.ndarray, f: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, float, float]:
        matrices, loads = mesh.stiffness - mesh.mass(k), mesh.source(f)
        if self.condition == "impedance":
            matrices = matrices - 1j * mesh.boundary_mass(k)
        inner, outer = mesh.inner, mesh.outer
        block = matrices[:, inner][:, :, inner]
        sides = np.concatenate([matrices[:, inner][:, :, outer], loads[:, inner, None]], axis=2)
        eliminated = np.linalg.solve(block, sides)  # (element, inner node, outer node and load)
        coupling = matrices[:, outer][:, :, inner]
        reduced = matrices[:, outer][:, :, outer] - coupling @ eliminated[:, :, :-1]
        rest = loads[:, outer] - (coupling @ eliminated[:, :, -1:])[..., 0]
        system = sparse.csc_array((reduced.ravel(), (mesh.rows, mesh.columns)), shape=(mesh.size, mesh.size))
        right = np.zeros(mesh.size, np.result_type(rest, load))
        np.add.at(right, mesh.numbers, rest)
        right = right + load
        factors = scipy.sparse.linalg.splu(
            system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.1
        )
        if np.iscomplexobj(right) and not np.iscomplexobj(system.data):
            solution = factors.solve(right.real) + 1j * factors.solve(right.imag)
        else:
            solution = factors.solve(right.astype(system.dtype))
        residual = np.linalg.norm(system @ solution - right) / max(np.linalg.norm(right), 1e-300)
        local = np.zeros((len(matrices), matrices.shape[1]), solution.dtype)
        local[:, outer] = solution[mesh.numbers]
        local[:, inner] = eliminated[:, :, -1] - (eliminated[:, :, :-1] @ local[:, outer, None])[..., 0]
        condition = _condition(system, factors) if self.estimate_condition else np.nan
        return mesh.in_cells(local, self.means), float(residual), condition


def _condition(system, factors) -> float:
    """|A|_1 |A^-1|_1, the second by Hager's estimate (SIAM J. Sci. Stat. Comput. 5, 1984): a lower bound, rarely far off."""
    x, best = np.full(system.shape[0], 1 / system.shape[0], system.dtype), 0.0
    for _ in range(5):
        y = factors.solve(x)
        best = max(best, float(np.abs(y).sum()))
        size = np.abs(y)
        z = factors.solve(np.where(size > 0, y / np.where(size > 0, size, 1), 1).astype(system.dtype), "H")
        j = int(np.argmax(np.abs(z)))
        if np.abs(z[j]) <= np.real(np.vdot(z, x)):
            break
        x = np.zeros_like(x)
        x[j] = 1
    return float(np.abs(system).sum(axis=0).max()) * best


class _Element:
    """One axis of an element on [-1, 1]: Lagrange functions on Gauss-Lobatto points, Gauss quadrature, cubics through cells."""

    def __init__(self):
        ends = legendre.Legendre.basis(DEGREE).deriv().roots()
        self.nodes = np.concatenate([[-1.0], np.sort(ends.real), [1.0]])
        self.points, self.weights = legendre.leggauss(DEGREE + 2)
        self.cells = (2 * np.arange(DEGREE) + 1) / DEGREE - 1
        self.values, self.slopes = lagrange(self.nodes, self.points), lagrange_slopes(self.nodes, self.points)
        self.from_cells = lagrange(self.cells, self.points)
        self.at_ends = lagrange(self.cells, np.array([-1.0, 1.0]))
        self.to_cells = lagrange(self.nodes, self.cells)
        in_each = self.cells[:, None] + self.points / DEGREE  # quadrature points of each cell
        self.to_means = np.einsum(
            "q,cqn->cn", self.weights / 2, lagrange(self.nodes, in_each.ravel()).reshape(*in_each.shape, -1)
        )


def lagrange(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Value at each point of the polynomial that is one at one node and zero at the others, (point, node)."""
    gaps = points[:, None] - nodes
    out = np.empty((len(points), len(nodes)))
    for j in range(len(nodes)):
        others = np.arange(len(nodes)) != j
        out[:, j] = np.prod(gaps[:, others] / (nodes[j] - nodes[others]), axis=1)
    return out


def lagrange_slopes(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Derivatives of the same, (point, node)."""
    powers = np.vander(nodes, increasing=True)
    slopes = np.arange(1, len(nodes)) * np.vander(points, len(nodes) - 1, increasing=True)
    return np.concatenate([np.zeros((len(points), 1)), slopes], axis=1) @ np.linalg.inv(powers)


class _Mesh:
    """Elements of a grid, their matrices, and the numbering of the nodes on their sides."""

    def __init__(self, grid: Grid):
        self.grid, self.element = grid, _Element()
        self.counts = tuple(n // DEGREE for n in grid.shape)
        self.sizes = tuple(DEGREE * h for h in grid.spacing)
        p, (ex, ey) = DEGREE, self.counts
        local = np.arange((p + 1) ** 2).reshape(p + 1, p + 1)
        self.inner = local[1:-1, 1:-1].ravel()
        self.outer = np.setdiff1d(local.ravel(), self.inner)
        every = np.arange((p * ex + 1) * (p * ey + 1)).reshape(p * ex + 1, p * ey + 1)
        on_sides = (np.arange(p * ex + 1)[:, None] % p == 0) | (np.arange(p * ey + 1) % p == 0)
        number = np.full(every.shape, -1)
        number[on_sides] = np.arange(on_sides.sum())
        self.number, self.size = number, int(on_sides.sum())
        windows = np.lib.stride_tricks.sliding_window_view(number, (p + 1, p + 1))[::p, ::p]
        self.numbers = windows.reshape(ex * ey, -1)[:, self.outer]  # (element, outer node)
        outer = len(self.outer)
        self.rows = np.repeat(self.numbers, outer, axis=1).ravel()
        self.columns = np.tile(self.numbers, (1, outer)).ravel()

    @cached_property
    def stiffness(self) -> np.ndarray:
        """Integral of grad . grad, (node, node); all elements are alike."""
        e, (hx, hy) = self.element, self.sizes
        mass, stiff = (b.T @ (e.weights[:, None] * b) for b in (e.values, e.slopes))
        return np.kron(stiff, mass) * hy / hx + np.kron(mass, stiff) * hx / hy

    def _blocks(self, cells: np.ndarray) -> np.ndarray:
        """(x, y) to (element, cell, cell)."""
        (ex, ey), p = self.counts, DEGREE
        return cells.reshape(ex, p, ey, p).swapaxes(1, 2).reshape(ex * ey, p, p)

    def mass(self, k: np.ndarray) -> np.ndarray:
        """Integral of k^2, (element, node, node)."""
        e, n = self.element, (DEGREE + 1) ** 2
        at_points = e.from_cells @ self._blocks(k) @ e.from_cells.T
        weights = at_points**2 * np.outer(e.weights, e.weights) * np.prod(self.sizes) / 4
        both = np.einsum("qa,qb->qab", e.values, e.values).reshape(len(e.points), -1)
        product = (both.T @ weights @ both).reshape(-1, *(DEGREE + 1,) * 4)  # element, a, b, c, d
        return product.transpose(0, 1, 3, 2, 4).reshape(-1, n, n)

    def source(self, f: np.ndarray) -> np.ndarray:
        """Integral of f, (element, node)."""
        e = self.element
        at_points = e.from_cells @ self._blocks(f) @ e.from_cells.T
        weighted = at_points * np.outer(e.weights, e.weights) * np.prod(self.sizes) / 4
        return (e.values.T @ weighted @ e.values).reshape(len(weighted), -1)

    def boundary_mass(self, k: np.ndarray) -> np.ndarray:
        """Integral of k over the sides of the box, (element, node, node); k continues its cubic to the wall."""
        e, p, (ex, ey) = self.element, DEGREE, self.counts
        blocks = self._blocks(k).reshape(ex, ey, p, p)
        out = np.zeros((ex, ey, p + 1, p + 1, p + 1, p + 1))
        for end, at in ((0, 0), (-1, p)):
            line = np.einsum("c,jcd,qd->jq", e.at_ends[end], blocks[end], e.from_cells)  # along y, at x = start or stop
            out[end, :, at, :, at, :] += self.sizes[1] / 2 * np.einsum("jq,q,qa,qb->jab", line, e.weights, e.values, e.values)
            line = np.einsum("d,jcd,qc->jq", e.at_ends[end], blocks[:, end], e.from_cells)
            out[:, end, :, at, :, at] += self.sizes[0] / 2 * np.einsum("jq,q,qa,qb->jab", line, e.weights, e.values, e.values)
        return out.reshape(ex * ey, (p + 1) ** 2, (p + 1) ** 2)

    def boundary_load(self, flux: Mapping[str, Flux]) -> np.ndarray:
        """Integral of g over the sides, at the nodes on element sides; pieces are integrated up to their ends."""
        load = np.zeros(self.size, complex)
        for i, side in enumerate(SIDES):
            if side not in flux:
                continue
            across, axis = i // 2, self.grid.axes[1 - i // 2]
            line = np.take(self.number, 0 if i % 2 == 0 else -1, axis=across)
            np.add.at(load, line, self._line_load(flux[side], axis, side))
        return load if np.any(load.imag) else load.real

    def _line_load(self, g: Flux, axis: Axis, side: str) -> np.ndarray:
        start, stop, g = g if isinstance(g, tuple) else (axis.start, axis.stop, g)
        e, length = self.element, DEGREE * axis.spacing
        out = np.zeros(axis.size + 1, complex)
        for j in range(axis.size // DEGREE):
            left = axis.start + j * length
            low, high = max(left, start), min(left + length, stop)
            if high > low:
                x = (low + high) / 2 + (high - low) / 2 * e.points
                values: Any = g(x) if callable(g) else g
                basis = lagrange(e.nodes, 2 * (x - left) / length - 1)
                out[DEGREE * j : DEGREE * (j + 1) + 1] += (high - low) / 2 * ((e.weights * values) @ basis)
        if not np.isfinite(out).all():
            raise DataError(given=f"a flux on side {side!r} that is not finite", needed="finite values", remedy="Mend it.")
        return out

    def in_cells(self, local: np.ndarray, means: bool) -> np.ndarray:
        """Nodes of elements, (element, node), to cells (x, y)."""
        e, p, (ex, ey) = self.element, DEGREE, self.counts
        to = e.to_means if means else e.to_cells
        cells = to @ local.reshape(-1, p + 1, p + 1) @ to.T
        return cells.reshape(ex, ey, p, p).swapaxes(1, 2).reshape(ex * p, ey * p)
