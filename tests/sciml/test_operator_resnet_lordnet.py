"""Residual convolutions and low-rank dense layers: what they are, how far they reach, what they refuse."""

import numpy as np
import pytest
import torch

import sciml
from sciml.checks import smooth_data
from sciml.operators.lordnet import LordNet, LowRankBlock
from sciml.operators.resnet import ResNet
from solvers.errors import GridError, SettingError


def bound(operator, data):
    return sciml.fit(operator, data, epochs=1, validation=False, progress=False).operator


def test_a_residual_network_reaches_so_many_points_and_no_more():
    operator = bound(ResNet(width=4, layers=3, dilation=2), smooth_data(4, 32, dimension=1))
    x = torch.randn(1, 1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    operator.module.double()(x)[0, 0, 16].backward()
    seen = np.flatnonzero(np.abs(x.grad.numpy()[0, 0]) > 0)
    np.testing.assert_array_equal(seen, np.arange(10, 23, 2))


def test_one_layer_is_linear():
    operator = bound(ResNet(layers=1, kernel=5), smooth_data(4, 16, dimension=2))
    a, b = np.random.default_rng(3).standard_normal((2, 1, 1, 16, 16))
    zero = operator.predict(0 * a)
    np.testing.assert_allclose(operator.predict(a + b) - zero, operator.predict(a) + operator.predict(b) - 2 * zero, atol=1e-5)


@pytest.mark.parametrize("shape", [(7,), (5, 8), (4, 5, 6)])
def test_a_low_rank_layer_is_a_sum_of_kronecker_products(shape):
    torch.manual_seed(11)
    block = LowRankBlock(2, shape, rank=2).double()
    v = torch.randn(2, 3, *shape, dtype=torch.float64)
    products = []
    for c in range(4):
        whole = torch.ones(1, 1, dtype=torch.float64)
        for matrix in block.matrices:
            whole = torch.kron(whole, matrix[c].T.contiguous())
        products.append((v[c // 2].reshape(3, -1) @ whole.T).reshape(3, *shape))
    mixed = block.mixing(torch.stack(products))
    torch.testing.assert_close(block(v), v + torch.nn.functional.gelu(mixed), rtol=0, atol=1e-12)


def test_low_rank_layers_are_tied_to_their_points():
    operator = bound(LordNet(width=4, blocks=1), smooth_data(4, 16))
    with pytest.raises(GridError, match="16 x 16"):
        operator.predict(np.zeros((1, 1, 24, 24), np.float32))


def test_refusals():
    with pytest.raises(SettingError, match="odd kernel"):
        ResNet(kernel=4)
    with pytest.raises(SettingError, match="positive"):
        LordNet(rank=0)
    with pytest.raises(GridError, match="at least 20 points"):
        bound(ResNet(dilation=20), smooth_data(4, 16, dimension=1))
