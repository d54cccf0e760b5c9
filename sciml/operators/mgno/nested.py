"""Transfers with free kernels, for comparison: full 3^d or 4^d convolutions of stride two.

"dense" keeps the coarse points where they are: three taps about every second point (periodic axes of even size, nodes and
interior points of odd size), four about the middle of two cells (even sizes); P has the form of R's transpose, ghosts included.
"released" is the published pair: R with 3 taps centres coarse point i on fine point 2i, P with 4 taps on 2i + 1/2, and zeros
lie around everything that P reads.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sciml.operators.mgno.grids import chain
from sciml.operators.mgno.stencils import LEARNED, Ghosts, correlate, folded, ghost_rule, padded
from sciml.operators.mgno.transfers import LinearMap, Shape
from solvers.errors import GridError
from solvers.grid import Axis, Grid


def is_nested(axis: Axis) -> bool:
    """Whether the next coarser grid's points lie at every second point, or midway between two cells."""
    odd = axis.size % 2 == 1
    return odd if axis.kind in ("node", "interior") else not odd and not axis.cells


def plain(grid: Grid) -> Grid:
    """The grid as the published code sees it: sizes are halved and rounded up whatever the points are."""
    return Grid(
        tuple(a if a.kind == "periodic" else Axis(a.name, a.size, a.start, a.stop, "cell", ("free", "free")) for a in grid.axes)
    )


def kernels(fine: Sequence[Axis], released: bool) -> tuple[int, ...]:
    """Taps of P along each axis."""
    if released:
        return tuple(4 if axis.size % 2 == 0 else 3 for axis in fine)
    return tuple(4 if axis.kind == "cell" else 3 for axis in fine)


def check(grid: Grid, levels: int, built: Sequence[tuple[int, ...]] | None) -> None:
    """Raise GridError unless these kernels fit `levels` grids.

    built : the published P's taps, which fix which sizes are even; None for the aligned kernels.
    """
    axes, chains = grid.axes, [chain(axis) for axis in grid.axes]
    for level in range(levels - 1):
        fine = [_sized(axis, sizes[level]) for axis, sizes in zip(axes, chains, strict=True) if level < len(sizes) - 1]
        if len(fine) < len(axes):
            break  # too many levels for the grid: `level_count` says so
        good = all(map(is_nested, fine)) if built is None else kernels(fine, True) == built[level]
        if not good:
            shown = " x ".join(f"{a.name}: {' -> '.join(map(str, c[:levels]))}" for a, c in zip(axes, chains, strict=True))
            name = "dense" if built is None else "released"
            raise GridError(
                given=f"transfer={name!r} with {levels} levels on {' x '.join(map(str, grid.shape))} points ({shown})",
                needed=f"at most {level + 1} levels"
                if built is None
                else "even and odd sizes where the training grid has them",
                remedy="Use transfer='separable', which takes every size.",
            )


def _sized(axis: Axis, size: int) -> Axis:
    return Axis(axis.name, size, axis.start, axis.stop, axis.kind, axis.boundary, axis.cells)


class Down(nn.Module):
    """R: a convolution of stride two, (item, *space, inputs) -> (item, *coarse, outputs)."""

    def __init__(self, inputs: int, outputs: int, axes: Sequence[Axis], released: bool):
        super().__init__()
        self.kernel = (3,) * len(axes) if released else kernels(axes, False)
        self.rules = tuple((ghost_rule(axis, 0, released), ghost_rule(axis, 1, released)) for axis in axes)
        self.cut = tuple(axis.kind == "interior" for axis in axes)
        self.weight, learned = _weight(outputs, inputs, self.kernel), sum(r == LEARNED for pair in self.rules for r in pair)
        self.edge = nn.Parameter(torch.tensor([1.0, 0.0])[:, None].repeat(learned, 1, inputs)) if learned else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = Ghosts.apply(x, self.rules, self.edge)
        for i, cut in enumerate(self.cut):
            x = x.narrow(1 + i, 1, x.shape[1 + i] - 2) if cut else x
        return correlate(x, self.weight, 1, padding=0, stride=2)


class Up(nn.Module):
    """P: a transposed convolution of stride two, (item, *coarse, inputs) -> (item, *space, outputs)."""

    def __init__(self, inputs: int, outputs: int, axes: Sequence[Axis], released: bool):
        super().__init__()
        self.released, self.kernel = released, kernels(axes, released)
        rules = (tuple(ghost_rule(axis, side) for side in (0, 1)) for axis in axes)
        self.rules = tuple(tuple((1.0, 0.0) if rule == LEARNED else rule for rule in pair) for pair in rules)
        self.before = tuple(int(axis.kind == "interior") for axis in axes)
        self.weight = _weight(inputs, outputs, self.kernel)

    def forward(self, x: torch.Tensor, space: Shape) -> torch.Tensor:
        y = _transposed(x, self.weight, padding=int(self.released))
        if self.released:
            return y
        for i, (n, low) in enumerate(zip(space, self.before, strict=True)):
            missing = n + 2 - y.shape[1 + i]
            if missing:
                y = F.pad(y, [0, 0] * (y.ndim - 2 - i) + [low, missing - low])
        return LinearMap.apply(y, self._fold, self._pad)

    def _fold(self, y: torch.Tensor) -> torch.Tensor:
        return folded(y, self.rules)

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        return padded(x, self.rules)


def _weight(first: int, second: int, kernel: tuple[int, ...]) -> nn.Parameter:
    weight = nn.Parameter(torch.empty(first, second, *kernel))
    bound = 1 / math.sqrt(second * math.prod(kernel))
    nn.init.uniform_(weight, -bound, bound)
    return weight


def _transposed(x: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
    if x.ndim == 3:
        y = F.conv_transpose2d(x[:, :, None].permute(0, 3, 1, 2), weight[..., None], stride=(2, 1), padding=(padding, 0))
        return y.permute(0, 2, 3, 1)[:, :, 0].contiguous()
    convolve = F.conv_transpose2d if x.ndim == 4 else F.conv_transpose3d
    return convolve(x.movedim(-1, 1), weight, stride=2, padding=padding).movedim(1, -1).contiguous()
