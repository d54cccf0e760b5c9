"""Neural SDE: moments of a known process, penalties that are felt, both backends, refusals."""

import numpy as np
import pytest

import sciml
from pdes.dataset import Dataset
from sciml.operator import config_of
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


INPUTS = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0]], np.float32)


def fitted(epochs, **config):
    operator = NeuralSDE(**{"width": 16, "moments": 2, "rtol": 0.02, "atol": 0.02, "max_steps": 64} | config)
    return sciml.fit(operator, growth(), task="trajectory", epochs=epochs, batch_size=4, lr=0.02, validation=False,
                     progress=False, seed=7)  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    return fitted(150, paths=64, regularisers=("R_N",), weights=(0.0,))


@pytest.fixture(scope="module")
def on_torch():
    pytest.importorskip("torchsde")
    return fitted(150, paths=64, backend="torch", steps_per_frame=1, regularisers=("R_N",), weights=(0.0,))


@pytest.mark.parametrize("backend", ["plain", "on_torch"])
def test_means_and_variances_are_learned(backend, request):
    data, plain = growth(), request.getfixturevalue(backend)
    inputs = np.stack([np.asarray(data.fields[name][:, 0], np.float32) for name in ("mean", "variance")], 1)
    answer = plain.operator.predict(inputs).reshape(4, 5, 2)
    for k, (name, bound) in enumerate((("mean", 0.1), ("variance", 0.4))):
        exact = np.asarray(data.fields[name][:, 1:])
        assert np.linalg.norm(answer[:, :, k] - exact) < bound * np.linalg.norm(exact), name
    assert plain.operator.solved(inputs).accepted.shape == (4,)
    losses = [row["task_loss"] for row in plain.history.rows]
    assert losses[-1] < 0.1 * losses[0]


def test_a_penalty_lowers_the_number_of_evaluations(plain):
    dear = fitted(150, paths=64, regularisers=("R_N",), weights=(0.3,))
    counts = [run.history.rows[-1]["evaluations"] for run in (plain, dear)]
    assert counts[1] < 0.8 * counts[0], counts


def test_paths_with_steps_of_their_own():
    result = fitted(2, paths=8, batching="per-sample", regularisers=("R_E",), weights=(0.1,))
    inputs = np.array([[1.0, 0.0], [2.0, 0.0]], np.float32)
    assert result.operator.solved(inputs).accepted.shape == (2, 8)
    assert np.isfinite(result.history.rows[-1]["R_E"])


def same_on(backend, operator, **changes):
    """An operator with the same weights and other settings."""
    other = NeuralSDE(**config_of(operator) | {"backend": backend, "regularisers": (), "weights": ()} | changes)
    other.rebuild(operator.bound_signature)
    other.load_state(operator.state())
    return other


def test_backends_give_the_same_moments_of_the_same_weights(on_torch):
    """Within the error of 2000 paths each, on torch with equal steps and with controlled ones."""
    ways = {"torch": 4, "controlled torch": 0, "jax": 0}
    settings = {"paths": 2000, "rtol": 0.01, "atol": 0.01, "max_steps": 256}
    mine, others, theirs = (
        same_on(way.split()[-1], on_torch.operator, steps_per_frame=n, **settings).predict(INPUTS).reshape(3, 5, 2)
        for way, n in ways.items()
    )
    for one, other in ((mine, theirs), (others, theirs)):
        assert (np.abs(one - other)[..., 0] < 4 * np.sqrt(theirs[..., 1] * 2 / 2000)).all()
        np.testing.assert_allclose(one[..., 1], other[..., 1], rtol=0.25)


def test_files_of_one_backend_are_files_of_the_other(on_torch, tmp_path):
    there = same_on("jax", sciml.load(on_torch.operator.save(tmp_path / "torch.safetensors")), steps_per_frame=0)
    back = same_on("torch", sciml.load(there.save(tmp_path / "jax.safetensors")), steps_per_frame=1)
    assert sorted(back.weights()) == sorted(there.weights())
    np.testing.assert_array_equal(back.predict(INPUTS), on_torch.operator.predict(INPUTS))


@pytest.mark.parametrize("steps", [0, 1], ids=["controlled", "equal"])
def test_predictions_have_the_same_paths_for_every_item_and_call(on_torch, steps):
    operator = same_on("torch", on_torch.operator, steps_per_frame=steps)
    answer = operator.predict(INPUTS)
    np.testing.assert_array_equal(answer[0], answer[2])
    np.testing.assert_allclose(operator.predict(INPUTS[1:2]), answer[1:2], rtol=1e-6)
    np.testing.assert_array_equal(operator.predict(INPUTS), answer)
    counts = operator.solved(INPUTS)
    assert counts.accepted.shape == (3,)
    per_frame = (counts.accepted + counts.rejected) * (2 if steps else 6) + (1 if steps else 5)
    assert (counts.evaluations == per_frame).all()


def test_penalties_on_torch_are_felt_and_controlled_steps_train(on_torch):
    options = {"paths": 64, "backend": "torch", "steps_per_frame": 1, "regularisers": ("R_N",)}
    last = [run.history.rows[-1]["R_N"] for run in (on_torch, fitted(150, weights=(0.3,), **options))]
    assert last[1] < 0.9 * last[0]
    losses = [row["loss"] for row in fitted(8, paths=8, backend="torch", first_step=0.1).history.rows]
    assert losses[-1] < losses[0]


def test_the_contract_is_kept_on_torch():
    pytest.importorskip("torchsde")
    from sciml.checks import check_operator

    make = lambda: NeuralSDE(backend="torch", width=24, paths=4, noise=0.02, steps_per_frame=1)  # noqa: E731
    check_operator(make, "moving", task="trajectory", epochs=60)


def test_refusals():
    for options, match in (
        ({"backend": "torch", "regularisers": ("R_E",), "weights": (1.0,)}, "outside the graph"),
        ({"backend": "torch", "batching": "per-sample"}, "coupled"),
        ({"steer": 0.5}, "steer"),
        ({"steps_per_frame": 2, "target_evaluations": 20, "regularisers": ("R_N",), "weights": (0.0,)}, "equal steps"),
    ):
        with pytest.raises(SettingError, match=match):
            NeuralSDE(**options)
    with pytest.raises(UnknownName, match="midpoint"):
        NeuralSDE(backend="torch", method="tsit5")
    with pytest.raises(UnknownName, match="R_S"):
        NeuralSDE(regularisers=("R_S",), weights=(1.0,))
    with pytest.raises(SettingError, match="paths >= 2"):
        NeuralSDE(moments=2, paths=1)
    data = growth()
    with pytest.raises(DataError, match="as many variances"):
        sciml.fit(
            NeuralSDE(moments=2), data.replace(fields={"mean": data.fields["mean"][:]}), task="trajectory", progress=False
        )
