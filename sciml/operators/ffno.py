"""Factorised Fourier neural operator: v <- v + MLP(sum over the axes of K_i v), K_i a spectral convolution along axis i alone.

Tran, Mathews, Xie, Ong, Factorized Fourier Neural Operators, ICLR 2023 (arXiv 2111.13802). One axis at a time needs a matrix
for each mode of an axis instead of one for each pair or triple of modes; the residual comes after the activation, so that
many layers train.
"""

from dataclasses import dataclass

import torch
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.operators.fno import SpectralConvolution, _perceptron, check_modes, modes_on, positions
from sciml.tasks import Signature
from solvers.errors import SettingError


@dataclass(frozen=True)
class Config:
    """Settings of a factorised FNO.

    width : channels of the hidden layers.   layers : number of layers.
    modes : Fourier modes kept per axis, both signs counted, one number or one per axis.
    mlp : hidden width of each layer's two-layer network relative to `width`.   projection : the same of the last one.
    share : the same spectral weights in all layers.   coordinates : give the grid's coordinates as extra input channels.
    """

    width: int = 32
    modes: int | tuple[int, ...] = 16
    layers: int = 4
    mlp: float = 2.0
    projection: float = 2.0
    share: bool = False
    coordinates: bool = True

    def __post_init__(self):
        modes = (self.modes,) if isinstance(self.modes, int) else tuple(self.modes)
        if min(self.width, self.layers, *modes) < 1 or min(self.mlp, self.projection) <= 0:
            raise SettingError(given=f"{self}", needed="positive numbers", remedy="Mend them.")


PRESETS = {
    "tiny": {"width": 12, "modes": 8, "layers": 3},
    "small": {"width": 24, "modes": 16, "layers": 4},
    "base": {"width": 48, "modes": 32, "layers": 6},
}


class FFNO(TorchOperator):
    """Factorised Fourier neural operator (Tran et al. 2023) in 1-D to 3-D; see `Config`.

    Answers at any resolution that resolves its modes.

    Examples
    --------
    >>> FFNO(width=16, modes=8).config.share
    False
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        c, grid = self.config, signature.grid
        modes = self._modes = modes_on(grid, c.modes)
        return FactorisedNetwork(len(signature.inputs), len(signature.outputs), modes, c)

    def check_grid(self, shape: tuple[int, ...]) -> None:
        check_modes(shape, self._modes)

    def recommended(self, task):
        return {"lr": 3e-3, "batch_size": 16, "epochs": 60, "weight_decay": 1e-4}


class FactorisedNetwork(nn.Module):
    """The network of a factorised FNO: (item, channel, *space) in and out."""

    def __init__(self, inputs: int, outputs: int, modes: tuple[int, ...], config: Config):
        super().__init__()
        width, dimension = config.width, len(modes)
        self.coordinates = config.coordinates
        self.lifting = nn.Linear(inputs + dimension * config.coordinates, width)
        sets = 1 if config.share else config.layers
        self.spectral = nn.ModuleList([FactorisedConvolution(width, modes) for _ in range(sets)])
        self.mlps = nn.ModuleList([_perceptron(width, round(config.mlp * width), width) for _ in range(config.layers)])
        self.projection = _perceptron(width, round(config.projection * width), outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.movedim(1, -1)  # (item, *space, channel)
        if self.coordinates:
            x = torch.cat([x, positions(x)], dim=-1)
        x = self.lifting(x.contiguous())
        for i, mlp in enumerate(self.mlps):
            x = x + mlp(self.spectral[min(i, len(self.spectral) - 1)](x))
        return self.projection(x).movedim(-1, 1)


class FactorisedConvolution(nn.Module):
    """Sum over the axes of a spectral convolution along each, (item, *space, channel) to the same."""

    def __init__(self, width: int, modes: tuple[int, ...]):
        super().__init__()
        self.axes = nn.ModuleList([SpectralConvolution(width, width, (m,)) for m in modes])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(())
        for i, convolution in enumerate(self.axes):
            lines = x.movedim(1 + i, -2)
            y = convolution(lines.reshape(-1, *lines.shape[-2:])).reshape(lines.shape).movedim(-2, 1 + i)
            total = y if i == 0 else total + y
        return total
