"""Neural SDE: moments of a known process, penalties that are felt, refusals."""

import numpy as np
import pytest

import sciml
from pdes.dataset import Dataset
from sciml.operators.neural_sde import NeuralSDE
from solvers.errors import DataError, SettingError, UnknownName
from solvers.grid import Grid

RATE, NOISE, TIMES = -1.0, 0.5, np.linspace(0, 1, 6)


def growth(starts=(0.5, 1.0, 1.5, 2.0)):
    """Means and variances of dy = a y dt + b y o dW, exact."""
    y0 = np.array(starts)[:, None]
    mean = y0 * np.exp((RATE + NOISE**2 / 2) * TIMES)
    fields = {"mean": mean, "variance": mean**2 * (np.exp(NOISE**2 * TIMES) - 1)}
    return Dataset(fields=fields, grid=Grid(()), times=TIMES, provenance={"family": "growth"})


def fitted(epochs, **config):
    operator = NeuralSDE(width=16, moments=2, rtol=0.02, atol=0.02, max_steps=64, **config)
    return sciml.fit(operator, growth(), task="trajectory", epochs=epochs, batch_size=4, lr=0.02, validation=False,
                     progress=False, seed=7)  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    return fitted(150, paths=64, regularisers=("R_N",), weights=(0.0,))


def test_means_and_variances_are_learned(plain):
    data = growth()
    inputs = np.stack([np.asarray(data.fields[name][:, 0], np.float32) for name in ("mean", "variance")], 1)
    answer = plain.operator.predict(inputs).reshape(4, 5, 2)
    for k, (name, bound) in enumerate((("mean", 0.1), ("variance", 0.4))):
        exact = np.asarray(data.fields[name][:, 1:])
        assert np.linalg.norm(answer[:, :, k] - exact) < bound * np.linalg.norm(exact), name
    assert plain.operator.solved(inputs).accepted.shape == (4,)


def test_a_penalty_lowers_the_number_of_evaluations(plain):
    dear = fitted(150, paths=64, regularisers=("R_N",), weights=(0.3,))
    counts = [run.history.rows[-1]["evaluations"] for run in (plain, dear)]
    assert counts[1] < 0.8 * counts[0], counts


def test_paths_with_steps_of_their_own():
    result = fitted(2, paths=8, batching="per-sample", regularisers=("R_E",), weights=(0.1,))
    inputs = np.array([[1.0, 0.0], [2.0, 0.0]], np.float32)
    assert result.operator.solved(inputs).accepted.shape == (2, 8)
    assert np.isfinite(result.history.rows[-1]["R_E"])


def test_refusals():
    with pytest.raises(SettingError, match="torchsde"):
        NeuralSDE(backend="torch")
    with pytest.raises(UnknownName, match="R_S"):
        NeuralSDE(regularisers=("R_S",), weights=(1.0,))
    with pytest.raises(SettingError, match="paths >= 2"):
        NeuralSDE(moments=2, paths=1)
    data = growth()
    with pytest.raises(DataError, match="as many variances"):
        sciml.fit(
            NeuralSDE(moments=2), data.replace(fields={"mean": data.fields["mean"][:]}), task="trajectory", progress=False
        )
