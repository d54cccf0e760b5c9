"""Linear models by least squares: known systems are found, at other rates, beyond the horizon; ridge regression; refusals."""

import numpy as np
import pytest
import torch
from scipy.signal import lsim, lti

import sciml
from pdes.dataset import Dataset
from sciml.checks import signal_data
from sciml.operators.lssl import LSSL, PRESETS
from sciml.ssm.layer import StateSpaceLayer
from sciml.ssm.readout import ridge
from sciml.tasks import as_task
from sciml.time_tasks import Sequence
from solvers.errors import SettingError
from solvers.grid import Grid

OPTIONS = {"validation": False, "progress": False}


def solved(data, task="sequence", **config):
    torch.set_num_threads(1)
    return sciml.fit(LSSL(**(PRESETS["linear"] | {"width": 6, "order": 12} | config)), data, task=task, **OPTIONS).operator


def error(operator, data, **where):
    batch = as_task("sequence", data).all()
    prediction = operator.predict(batch.inputs, **where)
    assert prediction.dtype == np.float64
    return np.linalg.norm(prediction - batch.targets) / np.linalg.norm(batch.targets)


def test_a_lag_at_trained_and_untrained_steps_and_beyond_the_horizon():
    operator = solved(signal_data(24, 121))
    assert error(operator, signal_data(8, 121, seed=99)) < 1.5e-3
    for samples, extent, bound in ((481, 6.0, 2e-3), (61, 6.0, 6e-3), (481, 24.0, 1.5e-3)):
        data = signal_data(8, samples, extent=extent, seed=99)
        assert error(operator, data, times=np.asarray(data.times)) < bound


def driven(n, samples=200, seed=3):
    """Two inputs, three outputs of a system of order three, with feed-through and an offset; inputs linear between samples."""
    a, b = np.array([[-0.5, 2, 0], [-2, -0.5, 0], [0.3, 0, -1]]), np.array([[1, 0], [0, 1], [0.5, -1.0]])
    c, d = np.array([[1, 0, 0], [0, 1, 1], [1.0, -1, 0]]), np.array([[0.3, 0], [0, 0], [0, -0.7]])
    rng, t = np.random.default_rng(seed), np.linspace(0, 10, samples)
    u = np.cumsum(rng.standard_normal((n, samples, 2)), 1) / 5
    y = np.stack([lsim(lti(a, b, c, d), one, t, interp=True)[1] for one in u]) + np.array([0.0, 0.0, 2.0])
    return Dataset(fields={"y": y}, inputs={"u": u}, grid=Grid(()), times=t)


def test_several_inputs_and_outputs_with_feed_through_and_an_offset():
    operator = solved(driven(24), width=8, order=24)
    assert error(operator, driven(4, seed=8)) < 1e-3


def test_unequal_steps():
    rng = np.random.default_rng(4)
    t = np.sort(rng.uniform(0, 8, (24, 90)), 1)
    t -= t[:, :1]
    u, lag = np.sin(1.3 * t + rng.uniform(0, 6, (24, 1))), 0.7
    y = np.zeros_like(u)
    for k in range(1, t.shape[1]):  # exact for an input that is linear in between
        h = np.diff(t, axis=1)[:, k - 1]
        decay, slope = np.exp(-h / lag), (u[:, k] - u[:, k - 1]) / h
        y[:, k] = decay * y[:, k - 1] + u[:, k] - lag * slope - decay * (u[:, k - 1] - lag * slope)
    data = Dataset(
        fields={"y": y}, inputs={"u": u, "dt": np.diff(t, axis=1, prepend=0.0)}, grid=Grid(()), times=np.linspace(0, 8, 90)
    )
    train, test = data.split(20, 4)
    task = Sequence(train, steps="dt")
    batch = task.on(test).all()
    prediction = solved(train, task, width=4, order=8).predict(batch.inputs)
    assert np.linalg.norm(prediction - batch.targets) < 5e-3 * np.linalg.norm(batch.targets)


def test_saved_in_double_precision_and_resumed_in_the_middle(tmp_path):
    data = signal_data(24)
    operator = solved(data)
    again = sciml.load(operator.save(tmp_path / "lag.safetensors"))
    x = as_task("sequence", data).all().inputs
    np.testing.assert_array_equal(again.predict(x), operator.predict(x))
    learner = operator.learner(sciml.Training())
    learner.products += 1.0
    other = operator.learner(sciml.Training())
    other.load_state(*learner.state())
    np.testing.assert_array_equal(other.products, learner.products)


def test_ridge_is_least_squares_where_that_is_well_posed_and_damps_noise():
    rng = np.random.default_rng(6)
    z, truth = rng.standard_normal((400, 5)), rng.standard_normal((5, 2))
    y = z @ truth

    def solve(z, y):
        return ridge(z.T @ z, np.zeros((z.shape[1],) * 2), z.T @ y, (y**2).sum(0), len(z))

    weights, _, rest = solve(z, y)
    np.testing.assert_allclose(weights, truth, rtol=1e-7)
    assert rest < 1e-7  # the square root of rounding
    wide = rng.standard_normal((60, 40))  # few rows, much noise, nothing to find
    noise = rng.standard_normal((60, 1))
    weights, penalty, _ = solve(wide, noise)
    plain = np.linalg.lstsq(wide, noise, rcond=None)[0]
    assert penalty > 1e-2
    assert np.linalg.norm(weights) < 0.5 * np.linalg.norm(plain)


def test_refusals():
    with pytest.raises(SettingError, match="not one causal linear layer"):
        LSSL(readout="solved")
    with pytest.raises(SettingError, match="'trained' or 'solved'"):
        LSSL(readout="guessed")
    with pytest.raises(SettingError, match="width=2 for 2 inputs, 3 outputs"):
        solved(driven(3), width=2)


def test_states_are_those_that_outputs_are_made_of():
    torch.manual_seed(5)
    layer = StateSpaceLayer(3, 4, A="legt", input_rule="foh", disc="zoh").double()
    u = torch.randn(2, 3, 30, dtype=torch.float64)
    states = layer.states(u)
    y = torch.einsum("hmn,bhnt->bhmt", layer.C[0], states) + layer.D[..., None] * u[:, :, None]
    torch.testing.assert_close(layer.transposed(u), y, rtol=0, atol=1e-11)
