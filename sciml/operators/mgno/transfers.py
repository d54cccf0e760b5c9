"""The transfers of `grids` on arrays (item, *space, channel): P x and R x for grids of any size.

Both are products with one small matrix for each axis, on fine grids on a CPU torch's interpolation and its transpose (what
torch calls the gradient).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from sciml.operators.mgno.grids import coarse_size, coarser, constant, kept, prolongation, resized, restriction, spacing_ratio
from solvers.grid import Axis

Shape = tuple[int, ...]
LARGE = {1: 128, 2: 64, 3: 64}
"""Points per axis from which on interpolation beats the products (measured on CPUs; at 16 per axis it takes two to five times
as long)."""


def prolong(x: torch.Tensor, axes: Sequence[Axis], space: Shape) -> torch.Tensor:
    """P x, to a grid of `space` points from the next coarser one; `axes` give kinds and boundaries."""
    there, back = _transfer(_on(axes, space), _by_interpolation(x, space), False)
    return LinearMap.apply(x, there, back)


def restrict(x: torch.Tensor, axes: Sequence[Axis]) -> torch.Tensor:
    """R x, to the next coarser grid."""
    return summed(x, axes) * restriction_factor(x, axes)


def averaged(x: torch.Tensor, axes: Sequence[Axis]) -> torch.Tensor:
    """Means on the next coarser grid, constants staying what they are: for fields that do not vanish at Dirichlet walls."""
    return restrict(x, [replace(a, boundary=("free", "free")) if a.kind == "cell" else a for a in axes])


def summed(x: torch.Tensor, axes: Sequence[Axis]) -> torch.Tensor:
    """R x without its factor (h / h_coarse) of each axis, which a mix of channels may take along."""
    back, there = _transfer(_on(axes, x.shape[1:-1]), _by_interpolation(x, x.shape[1:-1]), True)
    return LinearMap.apply(x, there, back)


def restriction_factor(x: torch.Tensor, axes: Sequence[Axis]) -> float:
    """Product over the axes of h / h_coarse."""
    return _factor(_on(axes, x.shape[1:-1]))


def _by_interpolation(x: torch.Tensor, fine: Sequence[int]) -> bool:
    """A compiler cannot trace the gradient of torch's interpolation; on a GPU its sums differ from run to run."""
    return max(fine) > LARGE[len(fine)] and x.device.type == "cpu" and not torch.compiler.is_compiling()


@kept
def _factor(fine: tuple[Axis, ...]) -> float:
    return spacing_ratio(fine, [coarser(axis) for axis in fine]) ** len(fine)


def _on(axes: Sequence[Axis], space: Sequence[int]) -> tuple[Axis, ...]:
    return resized(tuple(axes), tuple(space))


class LinearMap(torch.autograd.Function):
    """there(x), whose gradient is back(gradient): a linear map and its transpose."""

    @staticmethod
    def forward(ctx, x, there, back):
        ctx.pair = there, back
        return there(x)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        there, back = ctx.pair
        return LinearMap.apply(gradient, back, there), None, None


@kept
def _transfer(fine: tuple[Axis, ...], interpolated: bool, weighted: bool) -> tuple[Callable, Callable]:
    """P and its transpose (weighted by volumes for R), by torch's interpolation or by matrices (reproducible on a GPU)."""
    if interpolated and not any(axis.cells and axis.size % 2 for axis in fine):
        found = _Interpolated(fine, weighted)
    else:  # also for periodic cells of odd number: there is no single factor between the two continued grids
        found = _Matrices(fine, weighted)
    return found.up, found.down


class _Matrices:
    """P of a grid as one matrix for each axis."""

    def __init__(self, fine: tuple[Axis, ...], weighted: bool):
        # Plain values: a compiler takes these as constants, and dataclasses not.
        self.fine = tuple((a.name, a.size, a.start, a.stop, a.kind, a.boundary, a.cells) for a in fine)
        self.weighted = weighted

    def up(self, x: torch.Tensor) -> torch.Tensor:
        """P x."""
        return self._apply(x, transposed=False)

    def down(self, x: torch.Tensor) -> torch.Tensor:
        """P^T x."""
        return self._apply(x, transposed=True)

    def _apply(self, x: torch.Tensor, transposed: bool) -> torch.Tensor:
        items, *space, channels = x.shape
        tables = _tables(self.fine, self.weighted, transposed, x.dtype, x.device)
        for i, matrix in enumerate(tables):
            before, after = items * math.prod(space[:i]), channels * math.prod(space[i + 1 :])
            x = torch.bmm(matrix.expand(before, *matrix.shape), x.reshape(before, space[i], after))
            space[i] = matrix.shape[0]
        return x.reshape(items, *space, channels)


@kept
@constant
def _tables(fine: tuple[tuple, ...], weighted: bool, transposed: bool, dtype: torch.dtype, device: torch.device) -> list:
    """The matrix of each axis: P, or with weights R^T without its factor."""
    found = []
    for axis in (Axis(*values) for values in fine):
        matrix = restriction(axis).T * (coarser(axis).spacing / axis.spacing) if weighted else prolongation(axis)
        found.append(torch.tensor(np.ascontiguousarray(matrix.T if transposed else matrix), dtype=dtype, device=device))
    return found


class _Interpolated:
    """P by `interpolate` with the corners aligned or not, on coarse arrays continued by the boundary rule where needed.

    Walls of cell grids take the nearest value, which is right but for Dirichlet walls: there the outermost points are scaled,
    as half cells are.
    """

    def __init__(self, fine: tuple[Axis, ...], weighted: bool):
        self.fine = tuple(axis.size for axis in fine)
        self.coarse = tuple(coarse_size(axis) for axis in fine)
        self.steps = [_step(axis) for axis in fine]  # (pad low, pad high, crop low, crop high, aligned)
        self.rules = [_rules(axis) for axis in fine]
        self.fine_weights, self.coarse_weights = [], []  # (dimension, side, factor)
        for i, axis in enumerate(fine):
            for side in (0, 1):
                dirichlet = axis.boundary[side] == "dirichlet"
                if axis.kind == "cell" and dirichlet:
                    self.fine_weights.append((1 + i, side, float(prolongation(axis)[-side].sum())))
                if axis.kind == "node" and not dirichlet and weighted:
                    self.fine_weights.append((1 + i, side, 0.5))
                    self.coarse_weights.append((1 + i, side, 2.0))

    def up(self, x: torch.Tensor) -> torch.Tensor:
        """P x, or with weights R^T x."""
        x = _scaled(x.clone(memory_format=torch.contiguous_format), self.coarse_weights) if self.coarse_weights else x
        for i, (low, high, *_) in enumerate(self.steps):
            if low or high:
                x = _continued(x, 1 + i, low, high, self.rules[i])
        for aligned, _, larger in self._passes():
            x = _resize(x, larger, aligned)
        for i, (_, _, low, _, _) in enumerate(self.steps):
            x = x.narrow(1 + i, low, self.fine[i])
        return _scaled(x, self.fine_weights)

    def down(self, x: torch.Tensor) -> torch.Tensor:
        """P^T x, or with weights R x."""
        after = self._sizes()[1]
        part = x
        if after != self.fine:
            x = x.new_zeros(x.shape[0], *after, x.shape[-1])
            inner = x
            for i, (_, _, low, _, _) in enumerate(self.steps):
                inner = inner.narrow(1 + i, low, self.fine[i])
            inner.copy_(part)
            part = inner
        elif self.fine_weights:
            x = part = x.clone(memory_format=torch.contiguous_format)
        _scaled(part, self.fine_weights)
        for aligned, smaller, _ in reversed(self._passes()):
            x = _resize_transposed(x.contiguous(), smaller, aligned)
        for i, (low, high, *_) in enumerate(self.steps):
            if low or high:
                x = _folded(x, 1 + i, low, high, self.rules[i])
        return _scaled(x, self.coarse_weights)

    def _sizes(self) -> tuple[Shape, Shape]:
        """Of the continued coarse array, and of the fine one before it is cut."""
        before = tuple(n + low + high for n, (low, high, *_) in zip(self.coarse, self.steps, strict=True))
        after = tuple(n + low + high for n, (_, _, low, high, _) in zip(self.fine, self.steps, strict=True))
        return before, after

    def _passes(self) -> list[tuple[bool, Shape, Shape]]:
        """One resize for each way of aligning that occurs, with the shapes on its two sides."""
        shape, after = self._sizes()
        found = []
        for kind in sorted({step[4] for step in self.steps}):
            larger = tuple(b if step[4] == kind else a for a, b, step in zip(shape, after, self.steps, strict=True))
            found.append((kind, shape, larger))
            shape = larger
        return found


def _scaled(x: torch.Tensor, weights: list[tuple[int, int, float]]) -> torch.Tensor:
    """x with its outermost points along some axes multiplied, in place."""
    for dim, side, weight in weights:
        x.select(dim, x.shape[dim] - 1 if side else 0).mul_(weight)
    return x


def _step(axis: Axis) -> tuple[int, int, int, int, bool]:
    if axis.kind == "interior":
        return 1, 1, 1, 1, True
    if axis.kind == "node":
        return 0, 0, 0, 0, True
    if axis.kind == "periodic":
        return (1, 1, 2, 2, False) if axis.cells else (0, 1, 0, 1, True)
    return 0, 0, 0, 0, False


def _rules(axis: Axis) -> tuple[str, str]:
    """What continues a coarse array beyond each side."""
    if axis.kind == "periodic":
        return "wrap", "wrap"
    low, high = ("zero" if side == "dirichlet" else "copy" for side in axis.boundary)
    return low, high


def _continued(x: torch.Tensor, dim: int, low: int, high: int, rules: tuple[str, str]) -> torch.Tensor:
    """With one point more on the sides where `low` or `high` is 1."""
    n = x.shape[dim]
    y = x.new_zeros(*x.shape[:dim], n + low + high, *x.shape[dim + 1 :])
    y.narrow(dim, low, n).copy_(x)
    for side, rule in enumerate(rules):
        if (low, high)[side] and rule != "zero":
            y.select(dim, side * (low + n)).copy_(x.select(dim, _source(rule, side, n)))
    return y


def _folded(x: torch.Tensor, dim: int, low: int, high: int, rules: tuple[str, str]) -> torch.Tensor:
    """Transpose of `_continued`."""
    n = x.shape[dim] - low - high
    y = x.narrow(dim, low, n).clone(memory_format=torch.contiguous_format)
    for side, rule in enumerate(rules):
        if (low, high)[side] and rule != "zero":
            y.select(dim, _source(rule, side, n)).add_(x.select(dim, side * (low + n)))
    return y


def _source(rule: str, side: int, n: int) -> int:
    return (n - 1, 0)[side] if rule == "wrap" else (0, n - 1)[side]


def _resize(x: torch.Tensor, size: Shape, aligned: bool) -> torch.Tensor:
    if len(size) == 3:
        return torch.ops.aten.upsample_trilinear3d(x.movedim(-1, 1), size, aligned).movedim(1, -1)
    image = (x if len(size) == 2 else x[:, :, None]).permute(0, 3, 1, 2)
    y = torch.ops.aten.upsample_bilinear2d(image, (*size, 1)[:2], aligned).permute(0, 2, 3, 1)
    return y if len(size) == 2 else y[:, :, 0]


def _resize_transposed(x: torch.Tensor, size: Shape, aligned: bool) -> torch.Tensor:
    """Transpose of `_resize`, back to `size`: what torch calls its gradient."""
    items, channels = x.shape[0], x.shape[-1]
    if len(size) == 3:
        of = torch.ops.aten.upsample_trilinear3d_backward
        return of(x.movedim(-1, 1), x.shape[1:-1], (items, channels, *size), aligned).movedim(1, -1)
    image = (x if len(size) == 2 else x[:, :, None]).permute(0, 3, 1, 2)
    of = torch.ops.aten.upsample_bilinear2d_backward
    y = of(image, image.shape[2:], (items, channels, *(*size, 1)[:2]), aligned).permute(0, 2, 3, 1)
    return y if len(size) == 2 else y[:, :, 0]
