"""Small operators of every kind, to hold the contract against."""

import numpy as np
import pytest
import torch
from torch import nn

from sciml.checks import smooth_data
from sciml.learners.backprop import TorchOperator


class TinyConvolution(TorchOperator):
    """Two circular convolutions; the smallest operator that learns by back-propagation."""

    def __init__(self, width: int = 8, dropout: float = 0.0):
        super().__init__({"width": width, "dropout": dropout})

    def build(self, signature):
        conv = {1: nn.Conv1d, 2: nn.Conv2d}[signature.grid.dimension]
        width = self.config["width"]
        return nn.Sequential(
            conv(len(signature.inputs), width, 5, padding=2, padding_mode="circular"),
            nn.GELU(),
            nn.Dropout(self.config["dropout"]),
            conv(width, len(signature.outputs), 5, padding=2, padding_mode="circular"),
        )

    def recommended(self, task):
        return {"lr": 2e-2, "weight_decay": 0.0}


@pytest.fixture
def make_tiny():
    return TinyConvolution


@pytest.fixture
def data():
    return smooth_data(12)


@pytest.fixture
def heat_data():
    """Exact heat flow of two Fourier modes, six frames."""
    from pdes.dataset import Dataset
    from solvers.grid import Grid

    grid = Grid.box("periodic", 32, dimension=1)
    x, times = grid.coordinates()[0], np.linspace(0, 0.5, 6)
    rng = np.random.default_rng(271)
    weights, nu = rng.standard_normal((10, 2)), rng.uniform(0.01, 0.03, 10)
    u = sum(
        weights[:, i, None, None]
        * np.exp(-nu[:, None, None] * (2 * np.pi * k) ** 2 * times[:, None])
        * np.sin(2 * np.pi * k * x)
        for i, k in enumerate((1, 2))
    )
    return Dataset(fields={"u": u}, grid=grid, times=times, parameters={"nu": nu}, provenance={"family": "heat"})


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
