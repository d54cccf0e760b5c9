"""Convolutional residual network of one width: v <- v + gelu(conv(v)), all points alike, no pooling.

    v_0 = conv(u),   v_l = v_{l-1} + gelu(conv(v_{l-1})),   answer = conv(v_{n-2})

Its reach is (kernel // 2) * dilation * layers points, and no more. On a periodic grid it commutes with translations, and shared
by interleaved sub-grids of factor s it is the same network with every dilation multiplied by s.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016; without normalisation, as in learned solvers of PDEs
(Stachenfeld et al., Learned Coarse Models for Efficient Turbulence Simulation, ICLR 2022).
"""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.tasks import Signature
from solvers.errors import GridError, SettingError


@dataclass(frozen=True)
class Config:
    """Settings.

    width : channels of the hidden layers.   layers : convolutions, 1 for a linear map.   kernel : odd, points per axis.
    dilation : distance of the kernel's points, in cells.
    """

    width: int = 24
    layers: int = 6
    kernel: int = 3
    dilation: int = 1

    def __post_init__(self):
        if min(self.width, self.layers, self.kernel, self.dilation) < 1 or self.kernel % 2 == 0:
            raise SettingError(given=f"{self}", needed="positive numbers and an odd kernel", remedy="Mend them.")


CHECKS = {"epochs": 100}
PRESETS = {
    "tiny": {"width": 12, "layers": 4},
    "small": {"width": 16, "layers": 6},
    "base": {},
    "large": {"width": 64, "layers": 8},
}


class ResNet(TorchOperator):
    """Residual convolutions in 1-D to 3-D on grids of any size that holds a kernel; see `Config`.

    Examples
    --------
    >>> ResNet(width=16).config.layers
    6
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        self.check_grid(signature.grid.shape)
        grid = signature.grid
        return ResidualNetwork(len(signature.inputs), len(signature.outputs), grid.dimension, grid.is_periodic, self.config)

    def check_grid(self, shape: tuple[int, ...]) -> None:
        reach = self.config.kernel // 2 * self.config.dilation
        if min(shape) < max(reach, 1):
            raise GridError(
                given=f"a grid of {' x '.join(map(str, shape))} points for kernels that reach {reach}",
                needed=f"at least {reach} points along each axis",
                remedy="Use a smaller kernel or dilation, or a finer grid.",
            )

    def recommended(self, task):
        return {"lr": 2e-3, "batch_size": 8, "epochs": 60, "weight_decay": 1e-4}


class ResidualNetwork(nn.Module):
    """The network, (item, channel, *space) in and out."""

    def __init__(self, inputs: int, outputs: int, dimension: int, periodic: bool, config: Config):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimension - 1]
        widths = [inputs, *[config.width] * (config.layers - 1), outputs]
        reach = config.kernel // 2 * config.dilation
        options = {"padding": reach, "dilation": config.dilation, "padding_mode": "circular" if periodic else "zeros"}
        self.layers = nn.ModuleList([conv(a, b, config.kernel, **options) for a, b in itertools.pairwise(widths)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, layer in enumerate(self.layers):
            y = layer(x)
            x = y if i in (0, len(self.layers) - 1) else x + F.gelu(y)
        return x
