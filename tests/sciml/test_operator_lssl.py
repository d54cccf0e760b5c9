"""The LSSL operator: other sampling rates, streams, padding, unequal steps, causality, refusals."""

import numpy as np
import pytest
import torch

import sciml
from sciml.checks import check_operator, signal_data
from sciml.operator import create
from sciml.operators.lssl import LSSL
from sciml.ssm import SequenceModel, Stack
from sciml.tasks import as_task
from sciml.time_tasks import Classification, Sequence
from solvers.errors import DataError, GridError, SettingError


@pytest.fixture(scope="module")
def lag():
    """A linear operator trained on a lag, 64 samples on [0, 6]."""
    torch.set_num_threads(1)
    data = signal_data(32)
    made = LSSL(width=4, depth=1, order=8, mix="linear", activation="none", norm="none", method="zoh", rule="foh")
    return sciml.fit(made, data, epochs=60, batch_size=8, lr=1e-2, validation=False, progress=False).operator


def error(operator, data, **where):
    batch = as_task(Sequence(signal_data(1)), data).all()
    prediction = operator.predict(batch.inputs, **where)
    return np.linalg.norm(prediction - batch.targets) / np.linalg.norm(batch.targets)


@pytest.fixture
def linear():
    """Settings of a model that is a linear system."""
    return Stack(3, 2, {"d_state": 4, "input_rule": "foh", "disc": "zoh"}, mix="linear", activation="none", norm="none")


def test_another_sampling_rate_by_the_learned_time_constants(lag):
    at = {n: signal_data(8, n, seed=99) for n in (32, 64, 256)}
    trained = error(lag, at[64])
    assert trained < 0.03
    for n in (32, 256):
        assert error(lag, at[n], times=at[n].times) < 1.5 * trained + 0.02, n
        assert error(lag, at[n]) > 0.2, "without the times the same samples mean another signal"


def test_evaluate_and_fit_tell_the_times_by_themselves(lag):
    coarse = signal_data(8, 32, seed=99)
    score = sciml.evaluate(lag, coarse, timing=False).scores[0]
    np.testing.assert_allclose(score.errors["relative_l2"].mean(), error(lag, coarse, times=coarse.times), rtol=0.3)
    result = sciml.fit(create("lssl:tiny"), signal_data(8), validation=coarse, epochs=1, progress=False)
    from sciml.fitting import judged

    task = as_task(Sequence(signal_data(1)), coarse)
    assert result.best == pytest.approx(judged(result.operator, task), rel=1e-6)
    assert task.elsewhere(result.operator)["times"].shape == (32,)


def test_longer_signals(lag):
    assert error(lag, signal_data(4, 4 * 63 + 1, extent=24.0, seed=98)) < 0.06


def test_uneven_times(lag):
    """Samples left out at random: the recurrence takes steps of their length."""
    fine = signal_data(6, 253, seed=97)
    kept = np.sort(np.random.default_rng(5).permutation(252)[:150] + 1)
    kept = np.concatenate([[0], kept])
    batch = as_task(None, fine).all()
    found = lag.predict(batch.inputs[..., kept], times=fine.times[kept])
    truth = batch.targets[..., kept]
    assert np.linalg.norm(found - truth) / np.linalg.norm(truth) < 0.06


def test_steps_given_as_an_input_are_used_as_such():
    torch.set_num_threads(1)
    data = signal_data(8, 41)
    dt = np.full((8, 41), data.times[1])
    stepped = data.replace(inputs={"u": data.inputs["u"][...], "dt": dt})
    task = Sequence(stepped, steps="dt")
    operator = sciml.fit(create("lssl:tiny"), stepped, task=task, epochs=1, validation=False, progress=False).operator
    plain = sciml.fit(create("lssl:tiny"), data, epochs=1, validation=False, progress=False).operator
    batch = task.all()
    np.testing.assert_allclose(operator.predict(batch.inputs), plain.predict(batch.inputs[:, :1]), atol=2e-3)
    other = batch.inputs.copy()
    other[:, 1] *= 3
    assert np.abs(operator.predict(other) - operator.predict(batch.inputs)).max() > 0.01
    with pytest.raises(DataError, match="the input 'dt' holds the steps"):
        operator.predict(batch.inputs, times=data.times)
    with pytest.raises(SettingError, match="evenly spaced"):
        operator.stream()


@pytest.mark.parametrize("size", ["tiny", "linear"])
def test_a_stream_gives_what_predict_gives(size, tmp_path):
    torch.set_num_threads(1)
    data = signal_data(5)
    operator = sciml.fit(create(f"lssl:{size}"), data, epochs=2, validation=False, progress=False).operator
    x = as_task(None, data).all().inputs
    for step in (None, 0.05):
        times = None if step is None else step * np.arange(64)
        whole = operator.predict(x, times=times)
        stream = operator.stream(step)
        for k in range(64):
            np.testing.assert_allclose(stream(x[..., k]), whole[..., k], atol=2e-5 * np.abs(whole).max())
            if k == 30:  # stop, store, go on
                np.savez(tmp_path / "state.npz", **stream.state())
                stream = operator.stream(step)
                stream.load_state(dict(np.load(tmp_path / "state.npz")))


def test_it_does_not_look_ahead_unless_told_to():
    torch.set_num_threads(1)
    data = signal_data(8)
    x = as_task(None, data).all().inputs
    later = x.copy()
    later[..., 40:] += 5
    for bidirectional in (False, True):
        made = LSSL(width=8, depth=2, order=8, bidirectional=bidirectional)
        operator = sciml.fit(made, data, epochs=1, validation=False, progress=False).operator
        change = np.abs(operator.predict(later) - operator.predict(x))[..., :40].max()
        assert (change > 1e-3) if bidirectional else (change < 1e-5)
    with pytest.raises(SettingError, match="bidirectional=False"):
        sciml.fit(LSSL(width=8, bidirectional=True), in_time(data), task="forecast", epochs=1, progress=False)
    with pytest.raises(SettingError, match="bidirectional=False"):
        operator.stream()


def in_time(data):
    return data.replace(inputs={})


def series(n=16, longest=50):
    """Two frequencies in series of unequal length."""
    from pdes.dataset import Dataset
    from solvers.grid import Grid

    rng = np.random.default_rng(61)
    label, length = np.arange(n) % 2, rng.integers(20, longest + 1, n)
    t = np.arange(longest)
    x = np.sin((0.3 + 0.3 * label[:, None]) * t + rng.uniform(0, 6, (n, 1)))
    x[t >= length[:, None]] = 0
    return Dataset(fields={"x": x}, grid=Grid(()), times=t.astype(float), provenance={"classes": ["slow", "fast"]},
                   parameters={"label": label.astype(float), "length": length.astype(float)})  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("stride", [1, 3])
def test_classes_do_not_depend_on_padding(pooling, stride):
    torch.set_num_threads(1)
    data = series()
    made = LSSL(width=8, depth=2, order=8, pooling=pooling, stride=stride, bidirectional=pooling == "mean")
    operator = sciml.fit(made, data, epochs=30, batch_size=8, validation=False, progress=False).operator
    x = Classification(data).all().inputs
    scores = operator.predict(x)
    padded = np.concatenate([x, np.zeros((*x.shape[:2], 13), np.float32)], axis=2)
    padded[:, 0, 50:] = 77  # padding may hold anything
    np.testing.assert_allclose(operator.predict(padded), scores, atol=1e-4 * np.abs(scores).max())
    for i in range(3):
        n = int(x[i, 1].sum())
        np.testing.assert_allclose(operator.predict(x[i : i + 1, :, :n]), scores[i : i + 1], atol=1e-4 * np.abs(scores).max())
    assert (scores.argmax(1) == data.parameters["label"]).mean() > (0.9 if pooling == "mean" else 0.7)


@pytest.mark.parametrize(("size", "epochs"), [("tiny", 40), ("bank", 1)])
def test_classification_keeps_the_contract(size, epochs):
    check_operator(lambda: create(f"lssl:{size}"), series(8), overfit=0.3, epochs=epochs, fresh_process=False)


def test_forecasts_of_an_oscillator_roll_out():
    """x'' = -x from many starts: the model continues a trajectory by its own answers."""
    from pdes.dataset import Dataset
    from solvers.grid import Grid

    torch.set_num_threads(1)
    t, phase = np.linspace(0, 12, 61), np.random.default_rng(4).uniform(0, 2 * np.pi, (16, 1))
    data = Dataset(fields={"x": np.cos(t + phase)}, grid=Grid(()), times=t)
    options = {"validation": False, "progress": False}
    operator = sciml.fit(create("lssl:tiny"), data, task="forecast", epochs=30, batch_size=4, **options).operator
    score = sciml.evaluate(operator, data[:4], timing=False).scores[0]
    assert score.errors["relative_l2"].mean() < 0.2
    assert score.rollout_errors.shape == (4, 60)
    frames = as_task("forecast", data[:4]).all().inputs
    rolled = sciml.rollout(operator, frames[:, :, :20], 40)
    assert rolled.shape == (4, 40, 1)
    # By a stream that remembers; looking at all frames anew each time is the other way to the same.
    anew = sciml.Operator.continued(operator, frames[:, :, :20], 40)
    np.testing.assert_allclose(rolled, anew, atol=1e-4)
    assert np.abs(rolled[:, 0, 0] - data.fields["x"][:4, 20]).max() < 0.3


def test_training_goes_on_only_at_the_same_step(lag):
    with pytest.raises(DataError, match="the same step"):
        sciml.fit(lag, signal_data(8, 32), epochs=1, progress=False)


def test_refusals(lag):
    x = as_task(None, signal_data(2)).all().inputs
    with pytest.raises(DataError, match="one increasing time for each sample"):
        lag.predict(x, times=np.zeros(64))
    with pytest.raises(DataError, match="one increasing time for each sample"):
        lag.predict(x, times=np.arange(63.0))
    with pytest.raises(SettingError, match="inputs only"):
        lag.predict(x, grid=3)
    with pytest.raises(GridError, match="memory_fno"):
        sciml.fit("lssl:tiny", sciml.checks.moving_data(), task="forecast", progress=False)
    with pytest.raises(SettingError, match="pooling"):
        LSSL(pooling="max")
    with pytest.raises(SettingError, match="memory"):
        LSSL(memory=(1.0, 100.0))
    with pytest.raises(SettingError, match="one of"):
        LSSL(mix="gated")


# -- the model ---------------------------------------------------------------------------------------------------------


def test_a_model_without_nonlinearity_is_linear(linear):
    torch.manual_seed(9)
    model = SequenceModel(2, 1, linear).double()
    u, v = torch.randn(2, 2, 2, 30, dtype=torch.float64).unbind()
    zero = model(torch.zeros_like(u))
    np.testing.assert_allclose((model(u + 2 * v) - zero).detach(), (model(u) + 2 * model(v) - 3 * zero).detach(), atol=1e-11)


@pytest.mark.parametrize("prenorm", [True, False])
def test_stream_of_a_model(prenorm):
    torch.manual_seed(10)
    stack = Stack(6, 2, {"d_state": 5, "channels": 2, "input_rule": "trapezoid"}, prenorm=prenorm, mlp=2.0, norm="batch")
    model = SequenceModel(3, 2, stack).double()
    model(torch.randn(4, 3, 50, dtype=torch.float64))  # moves the batch statistics
    with pytest.raises(SettingError, match="eval"):
        model.stream()
    model.eval()
    x = torch.randn(2, 3, 20, dtype=torch.float64)
    stream, whole = model.stream(), model(x).detach()
    for k in range(20):
        np.testing.assert_allclose(stream(x[..., k]), whole[..., k], atol=1e-10)


def test_averaging_counts_valid_samples_only():
    torch.manual_seed(11)
    model = SequenceModel(1, 2, Stack(4, 1, {"d_state": 4}, answer="mean", stride=4)).double()
    x = torch.randn(1, 1, 11, dtype=torch.float64)
    alone = model(x[..., :10])
    padded = model(x, lengths=torch.tensor([10]))
    np.testing.assert_allclose(padded.detach(), alone.detach(), atol=1e-12)
    with pytest.raises(SettingError, match="stride=1"):
        Stack(stride=2)
