"""Grids of a V-cycle, and the transfers between them as matrices: P is linear interpolation between true coordinates.

The next coarser grid has floor(n / 2) points on interior axes and ceil(n / 2) on the others, on the same interval, so that
every size can be coarsened without padding or cropping: for 2^k - 1 interior points R = (h / h_c) P^T is full weighting and P
bilinear, for 2^k cells they are the pair (1, 3, 3, 1) / 8. Beyond the outermost coarse point the boundary rule decides: zero at
a Dirichlet wall, constant otherwise, periodic around. The transpose is that of the integral: a node on a wall that is not of
Dirichlet's kind stands for half a cell.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from solvers.errors import GridError
from solvers.grid import Axis, Grid

COARSEST = {"interior": 3, "node": 4, "cell": 4, "periodic": 4}  # points per side at which "auto" stops coarsening
SMALLEST = {"interior": 1, "node": 3, "cell": 1, "periodic": 2}  # points per side that a coarse grid has at least

Function = TypeVar("Function", bound=Callable)


def kept(function: Function) -> Function:
    """With a memory of the last results, around which a compiler of torch goes (it would warn of `lru_cache`)."""
    remembered = functools.lru_cache(maxsize=512)(function)

    @functools.wraps(function)
    def call(*arguments):
        return function(*arguments) if torch.compiler.is_compiling() else remembered(*arguments)

    return call  # pyright: ignore[reportReturnType]


def constant(function: Function) -> Function:
    """Whose result a compiler of torch takes as it is, without looking inside: `torch.compiler.assume_constant_result`, without
    that one's import of the whole compiler (two seconds)."""
    setattr(function, "_dynamo_marked_constant", True)  # noqa: B010  (functions have no such attribute to a type checker)
    return function


def coarse_size(axis: Axis) -> int:
    """Points of the next coarser grid: floor(n / 2) of interior grids, ceil(n / 2) of the others."""
    return axis.size // 2 if axis.kind == "interior" else -(-axis.size // 2)


@kept
def coarser(axis: Axis) -> Axis:
    """The same axis on the next coarser grid."""
    return replace(axis, size=coarse_size(axis))


def at_level(axis: Axis, level: int) -> Axis:
    """The same axis on grid number `level` below it."""
    for _ in range(level):
        axis = coarser(axis)
    return axis


@kept
def resized(axes: tuple[Axis, ...], space: tuple[int, ...]) -> tuple[Axis, ...]:
    """The same axes with other numbers of points."""
    return tuple(replace(axis, size=int(n)) for axis, n in zip(axes, space, strict=True))


def spacing_ratio(axes: Sequence[Axis], others: Sequence[Axis]) -> float:
    """Geometric mean over the axes of the ratio of spacings."""
    return math.prod([a.spacing / b.spacing for a, b in zip(axes, others, strict=True)]) ** (1 / len(axes))


def chain(axis: Axis) -> list[int]:
    """Sizes of an axis from the given grid to the coarsest possible one."""
    sizes = [axis.size]
    while (n := coarse_size(replace(axis, size=sizes[-1]))) >= SMALLEST[axis.kind] and n < sizes[-1]:
        sizes.append(n)
    return sizes


def level_count(grid: Grid, levels: int = 0) -> int:
    """Number of levels of a V-cycle on a grid.

    Parameters
    ----------
    levels : the number wanted; 0 takes as many as bring one side down to about four points (three interior ones).

    Raises
    ------
    GridError : more levels than the grid has; names the chain of sizes and the largest count.
    """
    chains = [chain(axis) for axis in grid.axes]
    largest = min(len(sizes) for sizes in chains)
    if levels == 0:
        enough = [
            next((i for i, n in enumerate(sizes) if n <= COARSEST[axis.kind]), len(sizes) - 1)
            for axis, sizes in zip(grid.axes, chains, strict=True)
        ]
        return min(min(enough) + 1, largest)
    if levels > largest:
        shown = " x ".join(f"{a.name}: {' -> '.join(map(str, c))}" for a, c in zip(grid.axes, chains, strict=True))
        raise GridError(
            given=f"{levels} multigrid levels on a grid of {' x '.join(map(str, grid.shape))} points",
            needed=f"at most {largest} ({shown})",
            remedy=f"Set levels={largest} or less (0 chooses), or use a finer grid.",
        )
    return levels


def offset(grid: Grid, other: Grid) -> int:
    """How many times `grid` must be coarsened to have about the spacing of `other`; negative if it is the coarser one."""
    return round(math.log2(spacing_ratio(other.axes, grid.axes)))


def prolongation(fine: Axis) -> np.ndarray:
    """Linear interpolation to `fine` from the next coarser grid, (fine points, coarse points)."""
    coarse = coarser(fine)
    x, unit = coarse.coordinates(), np.eye(coarse.size)
    if fine.kind == "periodic":
        points = [x[-1] - fine.length, *x, x[0] + fine.length]
        rows = [unit[-1], *unit, unit[0]]
    else:
        points, rows = list(x), list(unit)
        for side, wall in ((0, fine.start), (1, fine.stop)):
            if fine.kind != "node":
                points.insert(len(points) * side, wall)
                rows.insert(len(rows) * side, 0 * unit[0] if fine.boundary[side] == "dirichlet" else unit[-side])
    points, table = np.array(points), np.array(rows)
    left = np.clip(np.searchsorted(points, fine.coordinates(), side="right") - 1, 0, len(points) - 2)
    share = (fine.coordinates() - points[left]) / (points[left + 1] - points[left])
    return (1 - share)[:, None] * table[left] + share[:, None] * table[left + 1]


def restriction(fine: Axis) -> np.ndarray:
    """(h / h_coarse) times the transpose of `prolongation`, half cells at walls counted so, (coarse points, fine points)."""
    coarse = coarser(fine)
    return fine.spacing / coarse.spacing * (prolongation(fine) / volumes(coarse)).T * volumes(fine)


def volumes(axis: Axis) -> np.ndarray:
    """What each point stands for, in units of the spacing: 1/2 for nodes on walls whose value is not prescribed."""
    volume = np.ones(axis.size)
    for side in (0, 1):
        if axis.kind == "node" and axis.boundary[side] != "dirichlet":
            volume[-side] = 0.5
    return volume
