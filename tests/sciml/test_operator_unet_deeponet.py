"""U-Net and DeepONet: any size and dimension, walls, other resolutions, refusals."""

import numpy as np
import pytest
import torch

import sciml
from sciml.checks import smooth_data
from sciml.operators.deeponet import DeepONet, _reading
from sciml.operators.unet import UNet
from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid


@pytest.mark.parametrize(("dimension", "size"), [(1, 19), (2, 16), (2, 21), (3, 9)])
@pytest.mark.parametrize("make", [lambda: UNet(width=8, levels=3 - 1), lambda: DeepONet(sensors=6, basis=8, width=16, depth=1)])
def test_every_dimension_and_odd_sizes(make, dimension, size):
    data = smooth_data(4, size, dimension=dimension)
    operator = sciml.fit(make(), data, epochs=1, validation=False, progress=False).operator
    assert operator.predict(data.inputs["a"][:][:, None].astype(np.float32)).shape == (4, 1) + (size,) * dimension


def test_periodic_unet_commutes_with_shifts_by_its_coarsest_cell():
    data = smooth_data(4, 16)
    operator = sciml.fit(UNet(width=8, levels=2), data, epochs=1, validation=False, progress=False).operator
    inputs = np.random.default_rng(3).standard_normal((1, 1, 16, 16)).astype(np.float32)
    shifted = operator.predict(np.roll(inputs, 2, axis=2))
    np.testing.assert_allclose(shifted, np.roll(operator.predict(inputs), 2, axis=2), atol=1e-5)
    assert np.abs(operator.predict(np.roll(inputs, 1, axis=2)) - np.roll(operator.predict(inputs), 1, axis=2)).max() > 1e-3


def test_too_many_levels_are_refused():
    with pytest.raises(GridError, match="at least 32 points"):
        sciml.fit(UNet(levels=5), smooth_data(), epochs=1, progress=False)
    with pytest.raises(SettingError, match="multiple of groups"):
        UNet(width=6)


def test_sensors_read_linear_functions_exactly():
    for axis in (Axis("x", 17, kind="node", boundary=("free", "free")), Axis("x", 9, kind="cell", boundary=("free", "free"))):
        places = (np.arange(6) + 0.5) / 6
        inside = (places >= axis.coordinates()[0]) & (places <= axis.coordinates()[-1])
        np.testing.assert_allclose((_reading(axis, 6) @ (2 + 3 * axis.coordinates()))[inside], (2 + 3 * places)[inside])
    wave = Axis("x", 64)
    error = _reading(wave, 5) @ np.sin(2 * np.pi * wave.coordinates()) - np.sin(2 * np.pi * (np.arange(5) + 0.5) / 5)
    assert np.abs(error).max() < 2e-3


def test_deeponet_answers_the_same_function_on_another_grid():
    operator = sciml.fit(DeepONet(sensors=8, basis=8, width=16), smooth_data(8, 24), epochs=3, progress=False).operator
    coarse, fine = (smooth_data(2, n).inputs["a"][:][:, None].astype(np.float32) for n in (24, 48))
    difference = operator.predict(fine)[:, :, ::2, ::2] - operator.predict(coarse)
    assert np.abs(difference).max() < 0.05 * np.abs(operator.predict(coarse)).max()


def test_deeponet_vanishes_on_walls_that_are_asked_for():
    from pdes.dataset import Dataset

    grid = Grid.box("node", 9, dimension=2, boundary="dirichlet")
    rng = np.random.default_rng(7)
    data = Dataset(fields={"u": rng.standard_normal((6, 9, 9))}, inputs={"a": rng.standard_normal((6, 9, 9))}, grid=grid)
    operator = sciml.fit(DeepONet(sensors=6, dirichlet=True), data, epochs=2, validation=False, progress=False).operator
    u = operator.predict(data.inputs["a"][:][:, None].astype(np.float32))
    assert np.abs(u[:, :, [0, -1]]).max() == 0
    assert np.abs(u[..., [0, -1]]).max() == 0
    assert torch.isfinite(torch.tensor(u)).all()
