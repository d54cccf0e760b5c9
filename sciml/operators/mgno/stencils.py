"""Convolutions of three points per axis whose ghost values follow the boundary condition of each side.

Arrays are (item, *space, channel): a 1x1 mix of channels is then one plain matrix product, and oneDNN's convolutions take the
same memory as channels-last. A stencil reads one layer of points beyond each side:

    periodic            the other end
    cell,  Dirichlet    -u_0                 odd about the wall, half a cell away
    cell,  Neumann       u_0                 even about it
    node,  Dirichlet    -u_1                 odd about the node on the wall (whose own value is kept at zero)
    node,  Neumann       u_1                 even about it
    interior, Dirichlet  0                   the wall itself
    interior, Neumann   (4 u_0 - u_1) / 3    the wall itself, where the one-sided slope vanishes
    any other            a u_0 + b u_1       with a, b learned for each channel, from (1, 0)
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from solvers.grid import Axis

Rule = tuple[float, float]  # weights of the two points next to a side
WRAP, LEARNED = "wrap", "learned"
RULES: dict[tuple[str, str], Rule] = {
    ("cell", "dirichlet"): (-1.0, 0.0),
    ("cell", "neumann"): (1.0, 0.0),
    ("node", "dirichlet"): (0.0, -1.0),
    ("node", "neumann"): (0.0, 1.0),
    ("interior", "dirichlet"): (0.0, 0.0),
    ("interior", "neumann"): (4 / 3, -1 / 3),
}
SMALL = 1024
"""Points per item up to which a matrix product beats the 1x1 convolution (measured on CPUs: twice as fast at 16 x 16)."""
SHORT = 1 << 17
"""Numbers in an array on a line up to which a matrix product of neighbours side by side beats a convolution (on CPUs)."""

LARGEST_STEP = 0.03
"""Part of its first size by which a weight of a cycle may change in one step. Optimisers such as Adam move every weight by
about the learning rate, and the weights of all levels of a cycle multiply: dense stencils, which start small, were seen to let
W grow a thousandfold within 30 steps at 1e-2, which no activation survives."""


def ghost_rule(axis: Axis, side: int, zeros: bool = False) -> Rule | str:
    """How the ghost value beyond one side of an axis follows from the points inside."""
    if axis.kind == "periodic":
        return WRAP
    if zeros:
        return 0.0, 0.0
    return RULES.get((axis.kind, axis.boundary[side]), LEARNED)


class Stencil(nn.Module):
    """A correlation with 3 points per axis, without bias: (item, *space, inputs) -> (item, *space, outputs).

    Parameters
    ----------
    axes : kind and boundary of each space axis; sizes are those of the array at hand.
    groups : 1, or `inputs` for a stencil of its own for each channel.
    zeros : zero ghosts at every side that is not periodic, as published.
    """

    def __init__(self, inputs: int, outputs: int, axes: Sequence[Axis], groups: int = 1, zeros: bool = False):
        super().__init__()
        self.groups = groups
        self.rules = tuple((ghost_rule(axis, 0, zeros), ghost_rule(axis, 1, zeros)) for axis in axes)
        fan_in = inputs // groups * 3 ** len(axes)
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, *(3,) * len(axes)))
        nn.init.uniform_(self.weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        learned = sum(rule == LEARNED for pair in self.rules for rule in pair)
        self.edge = (
            nn.Parameter(torch.tensor([1.0, 0.0]).repeat(learned, 1)[..., None].repeat(1, 1, inputs)) if learned else None
        )

    def parameter_options(self):
        return {"weight": bounded(self.weight)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if all(rule == (0.0, 0.0) for pair in self.rules for rule in pair):
            return correlate(x, self.weight, self.groups, padding=1)
        if x.ndim == 3 and self.groups == 1 and x.numel() <= SHORT and x.device.type == "cpu":
            if self.rules == ((WRAP, WRAP),):
                around = torch.cat([x.roll(1, 1), x, x.roll(-1, 1)], -1)
            else:
                y = Ghosts.apply(x, self.rules, self.edge)
                around = torch.cat([y[:, :-2], y[:, 1:-1], y[:, 2:]], -1)
            return F.linear(around, self.weight.movedim(2, 1).flatten(1))
        return correlate(Ghosts.apply(x, self.rules, self.edge), self.weight, self.groups, padding=0)


class Pointwise(nn.Module):
    """The same matrix at every point, (item, *space, inputs) -> (item, *space, outputs)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def parameter_options(self):
        return {"weight": bounded(self.weight)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return mix(x, self.weight, self.bias)


class Separable(nn.Module):
    """A stencil of its own for each channel, then a mix of the channels: a fraction of a full stencil's work."""

    def __init__(self, inputs: int, outputs: int, axes: Sequence[Axis]):
        super().__init__()
        self.stencil = Stencil(inputs, inputs, axes, groups=inputs)
        self.mix = Pointwise(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(self.stencil(x))


def bounded(weight: torch.Tensor) -> dict[str, float]:
    """Training options of weights (outputs, inputs, ...) that must not leave their first size at once."""
    return {"lr_max": LARGEST_STEP / math.sqrt(weight[0].numel())}


def mix(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x @ weight.T + bias over the last axis, as a matrix product or a 1x1 convolution, whichever is faster."""
    points = math.prod(x.shape[1:-1])
    if points <= SMALL or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    rows = x.shape[0] * x.shape[1]  # many short images: oneDNN is not asked for batches below 16 on one thread
    image = x.reshape(rows, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    return F.conv2d(image, weight[:, :, None, None], bias).permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def correlate(x: torch.Tensor, weight: torch.Tensor, groups: int, padding: int, stride: int = 1) -> torch.Tensor:
    """Correlation of (item, *space, channel) with weight (out, in / groups, *taps); zeros beyond `padding` layers."""
    if x.ndim == 3:  # one-dimensional convolutions know no channels-last: take a second axis of one point
        image = x[:, :, None].permute(0, 3, 1, 2)
        y = F.conv2d(image, weight[..., None], padding=(padding, 0), stride=(stride, 1), groups=groups)
        return y.permute(0, 2, 3, 1)[:, :, 0].contiguous()
    convolve = F.conv2d if x.ndim == 4 else F.conv3d
    y = convolve(x.movedim(-1, 1), weight, padding=padding, stride=stride, groups=groups)
    return y.movedim(1, -1).contiguous()


class Ghosts(torch.autograd.Function):
    """x with one layer of ghost values around, (item, *space, channel) -> (item, *(space + 2), channel).

    Written by hand, since the copies and sums of a concatenation's gradient cost more than the convolution that follows.
    """

    @staticmethod
    def forward(ctx, x, rules, edge):
        y = padded(x, rules, edge)
        ctx.rules = rules
        ctx.save_for_backward(*(() if edge is None else (y, edge)))
        return y

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        if not ctx.saved_tensors:
            return folded(gradient, ctx.rules), None, None
        y, edge = ctx.saved_tensors
        d_edge = torch.zeros_like(edge)
        return folded(gradient, ctx.rules, (edge, y, d_edge)), None, d_edge


def padded(x: torch.Tensor, rules: Sequence[tuple], edge: torch.Tensor | None = None) -> torch.Tensor:
    """x with one layer of ghost values around; `edge` holds the weights of learned sides, (side, 2, channel)."""
    y = x.new_empty(x.shape[0], *(n + 2 for n in x.shape[1:-1]), x.shape[-1])
    space = range(1, x.ndim - 1)
    _inner(y, space).copy_(x)
    count = 0
    for dim, pair in zip(space, rules, strict=True):  # the ghosts of an axis include those of the axes before it: corners
        band, n = _inner(y, range(dim + 1, x.ndim - 1)), x.shape[dim]
        for side, rule in enumerate(pair):
            ghost, first, second = _slabs(band, dim, n, side)
            if rule == WRAP:
                ghost.copy_(band.select(dim, n if side == 0 else 1))
            elif rule == LEARNED:
                assert edge is not None
                near, far = edge[count].to(y.dtype)
                ghost.copy_(torch.addcmul(first * near, second, far))
                count += 1
            elif rule[1] == 0.0:
                _put(ghost, first, rule[0])
            else:
                _put(ghost, second, rule[1])
                if rule[0]:
                    ghost.add_(first, alpha=rule[0])
    return y


def _put(ghost: torch.Tensor, values: torch.Tensor, factor: float) -> None:
    """ghost = factor values; without out=, at which a compiler stops."""
    if not factor:
        ghost.zero_()
        return
    ghost.copy_(values)
    if factor != 1:
        ghost.mul_(factor)


def folded(g: torch.Tensor, rules: Sequence[tuple], learned: "tuple[torch.Tensor, ...] | None" = None) -> torch.Tensor:
    """Transpose of `padded`.

    learned : the weights of learned sides, the padded array, and the weights' gradient, which is filled.
    """
    count, dims = 0 if learned is None else len(learned[0]), range(1, g.ndim - 1)
    for dim, pair in zip(reversed(dims), reversed(rules), strict=True):
        n = g.shape[dim] - 2
        ghosts, inner = (g.select(dim, 0), g.select(dim, n + 1)), g.narrow(dim, 1, n)
        inner = inner.clone(memory_format=torch.contiguous_format) if dim == dims[-1] else inner
        for side in (1, 0):
            rule, first, second = pair[side], *_edges(inner, dim, n, side)
            if rule == WRAP:
                inner.select(dim, n - 1 if side == 0 else 0).add_(ghosts[side])
            elif rule == LEARNED:
                assert learned is not None
                count -= 1
                edge, y, d_edge = learned
                _, u, v = _slabs(_inner(y, range(dim + 1, g.ndim - 1)), dim, n, side)
                others = tuple(range(u.ndim - 1))
                d_edge[count, 0] = (ghosts[side] * u).sum(others)
                d_edge[count, 1] = (ghosts[side] * v).sum(others)
                near, far = edge[count].to(g.dtype)
                first.addcmul_(ghosts[side], near)
                second.addcmul_(ghosts[side], far)
            else:
                if rule[0]:
                    first.add_(ghosts[side], alpha=rule[0])
                if rule[1]:
                    second.add_(ghosts[side], alpha=rule[1])
        g = inner
    return g.contiguous()


def _inner(y: torch.Tensor, dims) -> torch.Tensor:
    """Without the outermost layers along `dims`."""
    for dim in dims:
        y = y.narrow(dim, 1, y.shape[dim] - 2)
    return y


def _slabs(band: torch.Tensor, dim: int, n: int, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ghosts beyond one side, the points next to it, and the second ones (of a padded array)."""
    first, second = (1, min(2, n)) if side == 0 else (n, max(n - 1, 1))
    return band.select(dim, 0 if side == 0 else n + 1), band.select(dim, first), band.select(dim, second)


def _edges(inner: torch.Tensor, dim: int, n: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = (0, min(1, n - 1)) if side == 0 else (n - 1, max(n - 2, 0))
    return inner.select(dim, first), inner.select(dim, second)


def zero_walls(x: torch.Tensor, axes: Sequence[Axis]) -> torch.Tensor:
    """x with zeros at Dirichlet walls that are points of the grid; x itself where there are none. Reuses x's memory."""
    sides = tuple(
        (1 + i, side)
        for i, axis in enumerate(axes)
        for side in (0, 1)
        if axis.kind == "node" and axis.boundary[side] == "dirichlet"
    )
    if not sides:
        return x
    if torch.compiler.is_compiling():  # it does not take functions that work in place, and saves the copy by itself
        return _zeroed(x.clone(), sides)
    return ZeroWalls.apply(x, sides)


class ZeroWalls(torch.autograd.Function):
    """Zero in place at the first or last points of some axes."""

    @staticmethod
    def forward(ctx, x, sides):
        ctx.sides = sides
        ctx.mark_dirty(x)
        return _zeroed(x, sides)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _zeroed(gradient.clone(), ctx.sides), None


def _zeroed(x: torch.Tensor, sides) -> torch.Tensor:
    for dim, side in sides:
        x.select(dim, x.shape[dim] - 1 if side else 0).zero_()
    return x
