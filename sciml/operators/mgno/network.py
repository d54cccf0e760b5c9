"""The network of a MgNO: u <- act(W u + B u), layer after layer, then a head without bias."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from sciml.operators.mgno.cycle import MgLinear
from sciml.operators.mgno.stencils import Pointwise
from solvers.grid import Grid

ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu}
INCREMENT = 0.1
"""Factor of what is added to the last frame. Without it steps start several times too large; with small weights instead, an
optimiser that moves every weight by about its rate changes the head by half of itself at once. Both were seen to leave a
network whose activations are all zero."""


class MgNetwork(nn.Module):
    """Layers of a MgNO, (item, channel, *space) in and out.

    Parameters
    ----------
    inputs, outputs : channels.   width : of the hidden layers.   depth : number of layers.
    cycle : arguments of `MgLinear` beside channels and grid.
    activation : a name in `ACTIVATIONS`.   head : "1x1" or "mg" (a V-cycle).
    norm : "none", or "rms": each W u is divided by its root mean square over space and channels.
    skip : first of the input's channels that are added to the result, or None.
    coordinates : give the coordinates in [0, 1] as inputs.
    recompute : keep only the input of each layer for the gradient and compute the rest again.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grid: Grid,
        cycle: Mapping[str, Any],
        *,
        width: int = 24,
        depth: int = 4,
        activation: str = "gelu",
        head: str = "1x1",
        norm: str = "none",
        skip: int | None = None,
        coordinates: bool = False,
        recompute: bool = False,
    ):
        super().__init__()
        self.outputs, self.skip, self.norm, self.recompute = outputs, skip, norm, recompute
        self.axes = grid.axes if coordinates else ()
        self.activation = ACTIVATIONS[activation]
        pairs = list(itertools.pairwise([inputs + len(self.axes)] + [width] * depth))
        self.linear = nn.ModuleList([MgLinear(a, b, grid, **cycle) for a, b in pairs])
        self.local = nn.ModuleList([Pointwise(a, b, bias=True) for a, b in pairs])
        self.head = Pointwise(width, outputs) if head == "1x1" else MgLinear(width, outputs, grid, **cycle)

    @property
    def layers(self) -> list[MgLinear]:
        """W of each layer."""
        return list(self.linear)  # pyright: ignore[reportReturnType]

    @property
    def locals(self) -> list[Pointwise]:
        """B of each layer."""
        return list(self.local)  # pyright: ignore[reportReturnType]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = x
        x = x.movedim(1, -1)  # (item, *space, channel)
        if self.axes:
            x = torch.cat([x, self._coordinates(x)], -1)
        x = x.contiguous()
        for linear, local in zip(self.layers, self.locals, strict=True):
            if self.recompute and self.training:
                x = checkpoint(self._layer, linear, local, x, use_reentrant=False)
            else:
                x = self._layer(linear, local, x)
        y = self.head.run(x) if isinstance(self.head, MgLinear) else self.head(x)
        y = y.movedim(-1, 1)
        if self.skip is None:
            return y.contiguous()
        return torch.add(given[:, self.skip : self.skip + self.outputs], y, alpha=INCREMENT)

    def _layer(self, linear: MgLinear, local: Pointwise, x: torch.Tensor) -> torch.Tensor:
        y = linear.run(x)
        if self.norm == "rms":
            y = y * torch.rsqrt(y.square().flatten(1).mean(1) + 1e-12).reshape(-1, *(1,) * (y.ndim - 1))
        return self.activation(y + local(x))

    def _coordinates(self, x: torch.Tensor) -> torch.Tensor:
        """Positions within the box, (item, *space, axis) in [0, 1]."""
        lines = []
        for axis, n in zip(self.axes, x.shape[1:-1], strict=True):
            first, count = {"node": (0.0, n - 1), "interior": (1.0, n + 1)}.get(axis.kind, (0.5 * axis.is_cell, n))
            lines.append((torch.arange(n, device=x.device, dtype=x.dtype) + first) / count)
        mesh = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)
        return mesh.expand(x.shape[0], *mesh.shape)
