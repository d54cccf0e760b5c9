"""Low-rank dense layers: each channel's field is multiplied by one dense matrix along every axis, then channels are mixed.

    v_c <- A_c v_c B_c  (every point sees every point, at the cost of n products along each axis),    v <- v + gelu(W v)

A sum of such products over channels is a low-rank form of a fully connected layer on the grid. The matrices belong to the
points, so that walls need no padding, and the network answers on the grid that it was trained on.

Huang et al., LordNet: An Efficient Neural Network for Learning to Solve Parametric Partial Differential Equations without
Simulated Data (arXiv 2206.09418). The arrangement of the block (residual, GELU) is ours.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.tasks import Signature
from solvers.errors import GridError, SettingError


@dataclass(frozen=True)
class Config:
    """width : channels of the hidden layers.   blocks : low-rank layers.   rank : products per channel and block."""

    width: int = 16
    blocks: int = 4
    rank: int = 1

    def __post_init__(self):
        if min(self.width, self.blocks, self.rank) < 1:
            raise SettingError(given=f"{self}", needed="positive numbers", remedy="Mend them.")


CHECKS = {"epochs": 100}
PRESETS = {
    "tiny": {"width": 8, "blocks": 2},
    "small": {"width": 12, "blocks": 3},
    "base": {},
    "large": {"width": 32, "blocks": 6},
}


class LordNet(TorchOperator):
    """Network of low-rank dense layers in 1-D to 3-D; see `Config`. Tied to one resolution.

    Examples
    --------
    >>> LordNet(width=8).config.blocks
    4
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        self._shape = signature.grid.shape
        return LowRankNetwork(len(signature.inputs), len(signature.outputs), self._shape, self.config)

    def check_grid(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != tuple(self._shape):
            raise GridError(
                given=f"a grid of {' x '.join(map(str, shape))} points",
                needed=f"{' x '.join(map(str, self._shape))}, for which the matrices were trained",
                remedy="Train at this resolution, or use an operator whose weights know no points (FNO, UNet).",
            )

    def recommended(self, task):
        return {"lr": 3e-3, "batch_size": 8, "epochs": 60, "weight_decay": 1e-5}


class LowRankNetwork(nn.Module):
    """The network, (item, channel, *space) in and out; channels come first inside: every product is one batched call."""

    def __init__(self, inputs: int, outputs: int, shape: tuple[int, ...], config: Config):
        super().__init__()
        self.lifting = Mixing(inputs, config.width)
        self.blocks = nn.ModuleList([LowRankBlock(config.width, shape, config.rank) for _ in range(config.blocks)])
        self.projection = Mixing(config.width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lifting(x.transpose(0, 1))
        for block in self.blocks:
            x = block(x)
        return self.projection(x).transpose(0, 1)


class LowRankBlock(nn.Module):
    """v + gelu(W (A v B)), (channel, item, *space)."""

    def __init__(self, width: int, shape: tuple[int, ...], rank: int):
        super().__init__()
        self.rank = rank
        scale = 0.5
        self.matrices = nn.ParameterList(
            [nn.Parameter(torch.eye(n) + scale / math.sqrt(n) * torch.randn(width * rank, n, n)) for n in shape]
        )
        self.mixing = Mixing(width * rank, width)

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        w = v.repeat_interleave(self.rank, 0) if self.rank > 1 else v
        for axis, matrix in enumerate(self.matrices, start=2):
            w = w.transpose(axis, -1)
            w = torch.bmm(w.reshape(w.shape[0], -1, w.shape[-1]), matrix).reshape(w.shape).transpose(axis, -1)
        return v + F.gelu(self.mixing(w))


class Mixing(nn.Module):
    """The same linear map of the channels at every point, (channel, item, *space)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.addmm(self.bias[:, None], self.weight, x.reshape(x.shape[0], -1))
        return y.reshape(-1, *x.shape[1:])
