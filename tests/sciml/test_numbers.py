"""Losses, metrics, normalisation, schedule: against formulas and across frameworks."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sciml.checks import smooth_data
from sciml.learners.schedule import learning_rate
from sciml.losses import LOSSES, relative_h1_each
from sciml.metrics import METRICS, measure
from sciml.normalize import fit_normalisers
from sciml.operator import Training
from sciml.tasks import Steady
from solvers.errors import DataError, UnknownName
from solvers.grid import Grid


def fields(grid, frequency=2, seed=3):
    rng = np.random.default_rng(seed)
    shape = (3, 2, *grid.shape)
    return rng.standard_normal(shape), rng.standard_normal(shape)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["periodic", "cell"])
def test_losses_agree_between_numpy_torch_and_jax(name, kind):
    grid = Grid.box(kind, (8, 7), boundary=None if kind == "periodic" else "dirichlet")
    v, u = fields(grid)
    numpy = LOSSES[name](v, u, grid)
    np.testing.assert_allclose(LOSSES[name](torch.tensor(v), torch.tensor(u), grid).numpy(), numpy, rtol=1e-12)
    np.testing.assert_allclose(LOSSES[name](jnp.asarray(v, jnp.float32), jnp.asarray(u, jnp.float32), grid), numpy, rtol=1e-5)
    assert numpy.shape == (3,)
    gradient = torch.tensor(u, requires_grad=True)
    LOSSES[name](gradient, torch.tensor(u), grid).sum().backward()
    assert torch.isfinite(gradient.grad).all(), "not differentiable at a perfect prediction"


def test_relative_l2_is_the_textbook_ratio():
    grid = Grid.box("periodic", 9, dimension=1)
    v, u = fields(grid)
    expected = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(v, u, strict=True)]
    np.testing.assert_allclose(measure(v, u, grid)["relative_l2"], expected, rtol=1e-14)


@pytest.mark.parametrize(("kind", "rate"), [("periodic", 2), ("cell", 1)])
def test_h1_converges_to_the_integral(kind, rate):
    """u = sin 2 pi x, e = sin 6 pi x / 10: the ratio of H1 norms is known; walls lose half a cell, hence first order there."""
    exact = 0.1 * np.sqrt((1 + (6 * np.pi) ** 2) / (1 + (2 * np.pi) ** 2))
    errors = []
    for n in (64, 128, 256):
        grid = Grid.box(kind, n, dimension=1, boundary=None if kind == "periodic" else "neumann")
        x = grid.coordinates()[0]
        u, e = np.sin(2 * np.pi * x)[None, None], 0.1 * np.sin(6 * np.pi * x)[None, None]
        errors.append(abs(relative_h1_each(u + e, u, grid)[0] - exact))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] < 2e-2 * exact
    assert np.all(orders > rate - 0.15)


def test_h1_sees_the_seam_of_a_periodic_axis_and_no_jump_between_walls():
    ramp = np.linspace(0, 1, 50)[None, None]
    zero = np.zeros_like(ramp)
    target = np.ones_like(ramp)
    walls, periodic = Grid.box("node", 50, dimension=1), Grid.box("periodic", 50, dimension=1)
    assert relative_h1_each(target + ramp, target + zero, walls)[0] < 1.5
    assert relative_h1_each(target + ramp, target + zero, periodic)[0] > 5


def test_metrics_do_not_depend_on_the_batch_and_have_known_values():
    grid = Grid.box("cell", (6, 5), boundary="neumann")
    v, u = fields(grid)
    together = measure(v, u, grid, tuple(METRICS))
    for name in METRICS:
        alone = np.concatenate([measure(v[i : i + 1], u[i : i + 1], grid, (name,))[name] for i in range(3)])
        np.testing.assert_allclose(together[name], alone, rtol=1e-14)
    mean = np.broadcast_to(u.mean((2, 3), keepdims=True), u.shape)
    np.testing.assert_allclose(measure(mean, u, grid)["vrmse"], 1, rtol=1e-6)
    np.testing.assert_allclose(measure(u + 0.5, u, grid)["rmse"], 0.5, rtol=1e-12)
    with pytest.raises(UnknownName, match="Did you mean 'relative_l2'"):
        measure(v, u, grid, ("relativ_l2",))
    with pytest.raises(DataError, match="predictions of shape"):
        measure(v[:, :1], u, grid)


def test_normalisers_match_numpy_and_invert():
    task = Steady(smooth_data(20))
    inputs, outputs = fit_normalisers(task, chunk=7)
    batch = task.all()
    assert inputs.shift[0] == pytest.approx(batch.inputs.astype(np.float64).mean(), rel=1e-12)
    assert outputs.scale[0] == pytest.approx(batch.targets.astype(np.float64).std(), rel=1e-12)
    np.testing.assert_allclose(outputs.decode(outputs.encode(batch.targets)), batch.targets, atol=1e-6)
    unshifted = fit_normalisers(task, output_shift=False)[1]
    assert unshifted.shift[0] == 0
    assert unshifted.scale[0] == pytest.approx(np.sqrt((batch.targets.astype(np.float64) ** 2).mean()), rel=1e-12)


def test_normalisation_of_a_large_offset_loses_nothing():
    data = smooth_data(8)
    from pdes.dataset import Dataset

    shifted = Dataset(inputs={"a": data.inputs["a"][...] + 1e5}, fields={"u": data.fields["u"][...]}, grid=data.grid)
    spread = fit_normalisers(Steady(shifted))[0].scale[0]
    assert spread == pytest.approx((data.inputs["a"][...] + 1e5).astype(np.float32).std(dtype=np.float64), rel=1e-9)


def test_a_constant_channel_is_left_alone():
    data = smooth_data(4)
    from pdes.dataset import Dataset

    flat = Dataset(inputs={"a": np.full(data.inputs["a"].shape, 3.0)}, fields={"u": data.fields["u"][...]}, grid=data.grid)
    normaliser = fit_normalisers(Steady(flat))[0]
    np.testing.assert_allclose(normaliser.encode(np.full((1, 1, 2), 3.0)), 0)


def test_one_cycle_rises_and_falls_and_depends_on_the_step_alone():
    training = Training(lr=1.0, warmup=0.2, schedule="one-cycle", epochs=1)
    rates = [learning_rate(training, step, 100) for step in range(100)]
    assert int(np.argmax(rates)) == 19
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] < 0.1
    assert rates[-1] == pytest.approx(1e-3, rel=1e-6)
    assert learning_rate(Training(lr=0.3, schedule="constant"), 77, 100) == 0.3


def test_scores_of_classes():
    """Against scipy's softmax; adding a constant to all scores changes nothing; bounded where cross entropy is not."""
    from scipy.special import softmax

    scores = np.random.default_rng(4).standard_normal((6, 5)) * 3
    right = np.eye(5)[[0, 4, 2, 2, 1, 3]]
    point = Grid(())
    chances = softmax(scores, axis=1)
    found = measure(scores + 100, right, point, ("error_rate", "brier", "cross_entropy"))
    np.testing.assert_allclose(found["cross_entropy"], -np.log((chances * right).sum(1)), rtol=1e-10)
    np.testing.assert_allclose(found["brier"], ((chances - right) ** 2).sum(1) / 2, rtol=1e-10)
    np.testing.assert_array_equal(found["error_rate"], chances.argmax(1) != [0, 4, 2, 2, 1, 3])
    certain = measure(np.array([[1000.0, 0.0]]), np.array([[0.0, 1.0]]), point, ("brier", "cross_entropy"))
    assert certain["brier"][0] == 1
    assert certain["cross_entropy"][0] == 1000
