"""U-Net: residual convolutions on a pyramid of grids, each level of the way up joined with the same level of the way down.

    down:  v_l = block(v_l),  v_{l+1} = strided convolution of v_l        up:  v_l = block([interpolated v_{l+1}, v_l])

Ronneberger, Fischer, Brox, U-Net, MICCAI 2015; with residual blocks, group normalisation and GELU as in later use for PDEs
(Gupta and Brandstetter, Towards Multi-spatiotemporal-scale Generalized PDE Modeling, 2022).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.tasks import Signature
from solvers.errors import GridError, SettingError


@dataclass(frozen=True)
class Config:
    """Settings of a U-Net.

    width : channels of the finest level; each coarser one has twice as many.   levels : grids, finest included.
    blocks : residual blocks per level and direction.   groups : of the normalisation (at most one per channel).
    coordinates : give the grid's coordinates as extra input channels.
    """

    width: int = 24
    levels: int = 4
    blocks: int = 1
    groups: int = 4
    coordinates: bool = False

    def __post_init__(self):
        if min(self.width, self.levels, self.blocks, self.groups) < 1 or self.width % self.groups:
            raise SettingError(given=f"{self}", needed="positive numbers, width a multiple of groups", remedy="Change them.")


LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
CHECKS = {"epochs": 200}
PRESETS = {
    "tiny": {"width": 8, "levels": 2},
    "small": {"width": 12, "levels": 4},
    "base": {"width": 24, "levels": 4},
    "large": {"width": 48, "levels": 5},
}


class UNet(TorchOperator):
    """U-Net in 1-D to 3-D for any grid size (odd sizes are interpolated back to); see `Config`.

    Answers at other resolutions, but its receptive field is counted in points: expect larger errors there.

    Examples
    --------
    >>> UNet(width=16).config.levels
    4
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        self._check(signature.grid.shape)
        return Pyramid(
            len(signature.inputs), len(signature.outputs), signature.grid.dimension, signature.grid.is_periodic, self.config
        )

    def check_grid(self, shape: tuple[int, ...]) -> None:
        self._check(shape)

    def _check(self, shape) -> None:
        smallest = 2**self.config.levels
        if min(shape) < smallest:
            raise GridError(
                given=f"a grid of {' x '.join(map(str, shape))} points for {self.config.levels} levels",
                needed=f"at least {smallest} points along each axis",
                remedy="Use fewer levels or a finer grid.",
            )

    def recommended(self, task):
        return {"lr": 2e-3, "batch_size": 8, "epochs": 60, "weight_decay": 1e-4}


class Pyramid(nn.Module):
    """The network of a U-Net, (item, channel, *space) in and out."""

    def __init__(self, inputs: int, outputs: int, dimension: int, periodic: bool, config: Config):
        super().__init__()
        self.coordinates = config.coordinates
        # Linear interpolation does not wrap around; copying the nearest value keeps shifts of periodic fields exact.
        self.interpolation = "nearest-exact" if periodic else LINEAR[dimension]
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimension]
        padding = {"padding": 1, "padding_mode": "circular" if periodic else "zeros"}
        widths = [config.width * 2**level for level in range(config.levels)]
        self.first = conv(inputs + dimension * config.coordinates, config.width, 3, **padding)

        def make(a: int, b: int) -> nn.Module:
            sizes = [a] + [b] * (config.blocks - 1)
            return nn.Sequential(*(Block(conv, padding, size, b, config.groups) for size in sizes))

        self.down = nn.ModuleList([make(w, w) for w in widths])
        self.coarsen = nn.ModuleList([conv(w, 2 * w, 3, stride=2, **padding) for w in widths[:-1]])
        self.up = nn.ModuleList([make(3 * w, w) for w in widths[:-1]])
        # No normalisation of the sum: it would take the sample's amplitude away.
        self.last = nn.Sequential(nn.GELU(), conv(config.width, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.coordinates:
            axes = [torch.linspace(0, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[2:]]
            x = torch.cat([x, torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(x.shape[0], *[-1] * (x.ndim - 1))], 1)
        x = self.first(x)
        kept = []
        for level, block in enumerate(self.down):
            x = block(x)
            if level < len(self.coarsen):
                kept.append(x)
                x = self.coarsen[level](x)
        for block, skip in zip(reversed(self.up), reversed(kept), strict=True):
            x = block(torch.cat([F.interpolate(x, size=skip.shape[2:], mode=self.interpolation), skip], 1))
        return self.last(x)


class Block(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), the input mixed to the output's channels where they differ."""

    def __init__(self, conv, padding, inputs: int, outputs: int, groups: int):
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(groups, inputs), nn.GELU(), conv(inputs, outputs, 3, **padding))
        self.second = nn.Sequential(nn.GroupNorm(groups, outputs), nn.GELU(), conv(outputs, outputs, 3, **padding))
        self.skip = conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.skip(x) + self.second(self.first(x))
