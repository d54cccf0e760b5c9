"""DeepONet: a branch network of the input function and a trunk network of the place, joined by an inner product.

    u(y) = sum_k b_k(a(x_1), ..., a(x_m)) t_k(y) + c

Lu, Jin, Pang, Zhang, Karniadakis, Learning nonlinear operators via DeepONet, Nature Machine Intelligence 3 (2021). The input is
read at fixed sensors (interpolated to them from whatever grid it comes on), so other resolutions are answered.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.tasks import Signature
from solvers.errors import SettingError
from solvers.grid import Axis, Grid


@dataclass(frozen=True)
class Config:
    """Settings of a DeepONet.

    sensors : points per axis at which the input is read.   basis : number of products.
    width, depth : of both networks' hidden layers.   frequencies : sine and cosine features per axis for the trunk.
    dirichlet : multiply by a function that vanishes on Dirichlet walls, so that the output does.
    """

    sensors: int = 32
    basis: int = 64
    width: int = 128
    depth: int = 3
    frequencies: int = 4
    dirichlet: bool = False

    def __post_init__(self):
        if min(self.sensors, self.basis, self.width, self.depth) < 1 or self.frequencies < 0:
            raise SettingError(given=f"{self}", needed="positive numbers, frequencies >= 0", remedy="Change them.")


CHECKS = {"epochs": 500}
PRESETS = {
    "tiny": {"sensors": 12, "basis": 24, "width": 48, "depth": 2},
    "small": {"sensors": 24, "basis": 64, "width": 96},
    "base": {"sensors": 32, "basis": 128, "width": 192},
}


class DeepONet(TorchOperator):
    """Deep operator network (Lu et al. 2021) on boxes in 1-D to 3-D; see `Config`.

    Examples
    --------
    >>> DeepONet(basis=32).config.depth
    3
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    @property
    def shifts(self):  # type: ignore[override]
        """With vanishing walls, zero must stay zero."""
        return (True, not self.config.dirichlet)

    def build(self, signature: Signature) -> nn.Module:
        return BranchTrunk(len(signature.inputs), len(signature.outputs), signature.grid, self.config)

    def recommended(self, task):
        return {"lr": 1e-3, "batch_size": 16, "epochs": 150, "weight_decay": 1e-4}


class BranchTrunk(nn.Module):
    """The two networks of a DeepONet, (item, channel, *space) in and out."""

    def __init__(self, inputs: int, outputs: int, grid: Grid, config: Config):
        super().__init__()
        self.grid, self.outputs, self.config = grid, outputs, config
        features = grid.dimension * (1 + 2 * config.frequencies)
        hidden = [config.width] * config.depth
        self.branch = _perceptron([inputs * config.sensors**grid.dimension, *hidden, outputs * config.basis])
        self.trunk = _perceptron([features, *hidden, config.basis])
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        space = tuple(x.shape[2:])
        to_sensors, features, wall = _geometry(self.grid, space, self.config, x.dtype, x.device)
        for i, matrix in enumerate(to_sensors):
            x = torch.movedim(torch.movedim(x, 2 + i, -1) @ matrix.T, -1, 2 + i)
        coefficients = self.branch(x.flatten(1)).reshape(x.shape[0], self.outputs, -1)
        values = coefficients @ self.trunk(features).T / self.config.basis**0.5 + self.bias[:, None]
        if self.config.dirichlet:
            values = values * wall
        return values.reshape(x.shape[0], self.outputs, *space)


def _perceptron(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.GELU()]
    return nn.Sequential(*layers[:-1])


@functools.lru_cache(maxsize=32)
def _geometry(grid: Grid, space: tuple[int, ...], config: Config, dtype: torch.dtype, device: torch.device):
    """Interpolation to the sensors per axis, trunk features (point, feature), and the wall function (point,)."""
    here = grid.with_shape(space)
    matrices, features, walls = [], [], []
    for axis, coordinates in zip(here.axes, here.mesh(), strict=True):
        matrices.append(torch.tensor(_reading(axis, config.sensors), dtype=dtype, device=device))
        s = (coordinates.ravel() - axis.start) / axis.length
        waves = [wave(2 * np.pi * f * s) for f in range(1, config.frequencies + 1) for wave in (np.sin, np.cos)]
        features += [2 * s - 1, *waves]
        low, high = (side == "dirichlet" for side in axis.boundary)
        walls.append(4 * s * (1 - s) if low and high else s if low else 1 - s if high else np.ones_like(s))
    to_tensor = lambda values: torch.tensor(values, dtype=dtype, device=device)  # noqa: E731
    return matrices, to_tensor(np.stack(features, 1)), to_tensor(np.prod(walls, axis=0))


def _reading(axis: Axis, sensors: int) -> np.ndarray:
    """Linear interpolation from the points of an axis to `sensors` evenly spaced places, (sensor, point)."""
    x, unit = axis.coordinates(), np.eye(axis.size)
    places = axis.start + (np.arange(sensors) + 0.5) * axis.length / sensors
    period = axis.length if axis.kind == "periodic" else None
    return np.stack([np.interp(places, x, row, period=period) for row in unit], axis=1)
