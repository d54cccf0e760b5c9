"""Exact solutions of two scalar laws from cell averages: transport, u_t + c u_x = 0, and Burgers, u_t + (u^2 / 2)_x = 0.

The averages are first read as a function, linear in each cell (slopes limited, so that jumps stay jumps); from then on nothing
is approximated, and there are no time steps. Burgers' equation by the formula of Lax and Oleinik,

    u = Phi_x,    Phi(x, t) = min over y of  Psi(y) + (x - y)^2 / (2 t),    Psi' = u_0,

so that averages over cells are differences of Phi (Lax, Comm. Pure Appl. Math. 10, 1957; Oleinik, Uspekhi Mat. Nauk 12, 1957).
"""

from dataclasses import dataclass

import numpy as np

from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError
from solvers.grid import Grid
from solvers.projection import check_times
from solvers.result import Outcome, Result

_STRIDE = 32  # faces between those whose minimum is sought among all cells within reach


@dataclass(frozen=True)
class Transport:
    """u_t + c u_x = 0 on a circle of cells.

    Examples
    --------
    >>> from solvers.grid import Axis
    >>> grid = Grid((Axis("x", 8, cells=True),))
    >>> found = Transport(grid).solve(np.eye(8)[:1], np.array([0.0, 0.25]), 1.0)
    >>> found.values[0, 1].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    grid: Grid

    def __post_init__(self):
        _check_line(self.grid, ("periodic",))

    def solve(self, initial: np.ndarray, times: np.ndarray, c: np.ndarray | float) -> Result:
        """Averages at `times`; initial (sample, x) at times[0], c a number or one per sample.

        Raises
        ------
        DataError : wrong shapes or values that are not finite.
        """
        initial, times = np.asarray(initial, np.float64), check_times(times)
        check_samples(initial, self.grid, "initial field")
        c = np.asarray(c, np.float64)
        if c.shape not in ((), (len(initial),)) or not np.isfinite(c).all():
            raise DataError(given=f"speed {c}", needed="a finite number, or one per sample", remedy="Mend it.")
        slopes = _slopes(np.concatenate([initial[:, -1:], initial, initial[:, :1]], axis=1))
        moved = np.outer(np.broadcast_to(c, (len(initial),)), times - times[0]) / self.grid.spacing[0]
        whole = np.floor(moved)
        part = (moved - whole)[..., None]  # of each cell, what has gone on to the next
        cells = np.arange(self.grid.shape[0])
        at = (cells - whole.astype(int)[..., None]) % len(cells)  # (sample, time, x)
        rows = np.arange(len(initial))[:, None, None]
        ahead = part * initial[:, None] + part * (1 - part) / 2 * slopes[:, None]  # integral of the foremost part of each cell
        gone = np.take_along_axis(ahead, at, axis=2)
        come = np.take_along_axis(ahead, (at - 1) % len(cells), axis=2)
        values = initial[rows, at] - gone + come
        values[:, 0] = initial
        return Result(values, np.full(len(values), int(Outcome.SUCCESS)))


@dataclass(frozen=True)
class LaxOleinik:
    """Entropy solution of Burgers' equation; a cell grid, periodic or with constant continuation ("outflow").

    Laws with quadratic flux are Burgers' in disguise: cars, u_t + (v u (1 - u))_x = 0, by w = v (1 - 2 u).

    Examples
    --------
    >>> from solvers.grid import Axis
    >>> grid = Grid((Axis("x", 8, -1.0, 1.0, "cell", ("outflow", "outflow")),))
    >>> start = np.where(grid.coordinates()[0] < 0, 1.0, 0.0)[None]
    >>> LaxOleinik(grid).solve(start, np.array([0.0, 0.5])).values[0, 1].tolist()  # a shock of speed 1/2
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """

    grid: Grid

    def __post_init__(self):
        _check_line(self.grid, ("periodic", "outflow"))

    def solve(self, initial: np.ndarray, times: np.ndarray) -> Result:
        """Averages at `times`; initial (sample, x) at times[0].

        Raises
        ------
        DataError : wrong shapes or values that are not finite.
        """
        initial, times = np.asarray(initial, np.float64), check_times(times)
        check_samples(initial, self.grid, "initial field")
        values = np.stack([[u, *(self._one(u, t - times[0]) for t in times[1:])] for u in initial])
        return Result(values, np.full(len(values), int(Outcome.SUCCESS)))

    def _one(self, u: np.ndarray, t: float) -> np.ndarray:
        """Averages of one sample after time t."""
        n, h = len(u), self.grid.spacing[0]
        reach = int(np.ceil(np.abs(u).max() * t / h)) + 2  # cells from which something can have come, and what slopes add
        wide = np.pad(u, reach + 1, mode="wrap" if self.grid.is_periodic else "edge")
        slopes = _slopes(wide[None])[0] / h
        wide = wide[1:-1]  # cell j of these begins j - reach cells right of the first face
        potential = np.concatenate([[0.0], np.cumsum(wide[:-1])]) * h
        potential -= potential[reach]
        convex = 1 + slopes * t > 0
        bend = np.where(convex, 1 + slopes * t, 1.0)

        def value(face, cell):
            """Minimum over a cell of Psi + (x - y)^2 / 2 t for x on a face; its left end stands for cells that bulge."""
            low = (cell - reach - face) * h  # y - x at the left end of the cell
            a, b = wide[cell] - slopes[cell] * h / 2, slopes[cell]  # u_0 = a + b (y - left end)
            inside = np.where(convex[cell], np.clip((-a * t - low) / bend[cell], 0.0, h), 0.0)
            return potential[cell] + inside * (a + b * inside / 2) + (low + inside) ** 2 / (2 * t)

        # The minimising cell moves right with the face: some faces see all cells in reach, the rest those between.
        some = np.unique(np.append(np.arange(0, n + 1, _STRIDE), n))
        every = some[:, None] + np.arange(2 * reach)
        found = value(some[:, None], every)
        best = some + np.argmin(found, axis=1)
        phi = np.empty(n + 1)
        phi[some] = found.min(axis=1)
        rest = np.setdiff1d(np.arange(n + 1), some)
        if rest.size:
            group = np.searchsorted(some, rest) - 1
            first, last = np.maximum(best[group] - 1, 0), np.minimum(best[group + 1] + 1, len(wide) - 1)  # ends may be shared
            counts = last - first + 1
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            cell = np.arange(counts.sum()) - np.repeat(starts - first, counts)
            phi[rest] = np.minimum.reduceat(value(np.repeat(rest, counts), cell), starts)
        return np.diff(phi) / h


def _slopes(u: np.ndarray) -> np.ndarray:
    """Differences across all cells but the first and last, limited (monotonised central); (sample, x + 2) to (sample, x)."""
    back, ahead = u[:, 1:-1] - u[:, :-2], u[:, 2:] - u[:, 1:-1]
    least = np.minimum(2 * np.minimum(np.abs(back), np.abs(ahead)), np.abs(back + ahead) / 2)
    return np.where(back * ahead > 0, np.sign(back) * least, 0.0)


def _check_line(grid: Grid, sides: tuple[str, ...]) -> None:
    if grid.dimension != 1 or not grid.axes[0].is_cell or not set(grid.axes[0].boundary) <= set(sides):
        raise GridError(
            given=f"axes {[(a.kind, a.boundary) for a in grid.axes]}",
            needed=f"one axis of cells, with sides of {sides}",
            remedy="Use Axis('x', n, cells=True) for a circle.",
        )
