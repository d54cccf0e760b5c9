"""Tasks in which time is an axis: shapes, order, channels, padding, refusals; and what fit and evaluate make of them."""

import json

import numpy as np
import pytest
from torch import nn

import sciml
from pdes.dataset import Dataset
from sciml.checks import signal_data
from sciml.normalize import fit_normalisers
from sciml.operators.mean import Mean
from sciml.tasks import Signature, as_task, task_of
from sciml.time_tasks import Classification, Forecast, Regression, Sequence
from solvers.errors import DataError, SettingError, UnknownName
from solvers.grid import Grid

POINT = Grid(())


@pytest.fixture
def series():
    """Two fields and an input in time, a constant input, two parameters (one constant): 4 samples, 6 times."""
    s, t = np.meshgrid(np.arange(4.0), np.arange(6.0), indexing="ij")
    return Dataset(
        fields={"y": 100 * s + t, "v": np.stack([s + t, s - t], axis=-1)},
        inputs={"u": 10 * s + t, "mass": np.arange(4.0)},
        grid=POINT,
        times=np.linspace(0, 1, 6),
        parameters={"k": np.arange(4.0), "same": np.ones(4)},
    )


@pytest.fixture
def labelled():
    """Twelve ramps up or down, of unequal length."""
    rng = np.random.default_rng(8)
    label, length = np.arange(12) % 2, rng.integers(5, 21, 12)
    t = np.arange(20)
    x = np.where(label[:, None] == 1, t, -t) * 0.1 + 0.05 * rng.standard_normal((12, 20)) + 3
    x[t >= length[:, None]] = 0
    return Dataset(fields={"x": x}, grid=POINT, times=t.astype(float), provenance={"classes": ["down", "up"]},
                   parameters={"label": label.astype(float), "length": length.astype(float)})  # fmt: skip


def test_sequence(series):
    task = as_task(None, series)
    assert isinstance(task, Sequence)
    assert task.signature.inputs == ("u", "mass", "k")
    assert task.signature.outputs == ("y", "v0", "v1")
    assert task.signature.grid.names == ("time",)
    batch = task.batch(np.array([2, 0]))
    np.testing.assert_array_equal(batch.inputs[0], [20 + np.arange(6), np.full(6, 2), np.full(6, 2)])
    np.testing.assert_array_equal(batch.targets[0], [200 + np.arange(6), 2 + np.arange(6), 2 - np.arange(6)])
    assert batch.inputs.dtype == np.float32
    assert batch.inputs.flags.c_contiguous


def test_sequence_over_space():
    grid = Grid.box("periodic", 5, dimension=1)
    u = np.random.default_rng(3).standard_normal((3, 4, 5))
    data = Dataset(fields={"y": 2 * u}, inputs={"u": u, "a": u[:, 0]}, grid=grid, times=np.arange(4.0))
    batch = Sequence(data).all()
    assert Sequence(data).signature.grid.names == ("time", "x")
    np.testing.assert_array_equal(batch.inputs[:, 0], u.astype(np.float32))
    np.testing.assert_array_equal(batch.inputs[:, 1, 2], u[:, 0].astype(np.float32))
    assert batch.targets.shape == (3, 1, 4, 5)


def test_forecast_asks_for_the_next_frame_everywhere(series):
    task = Forecast(series.replace(inputs={"mass": np.arange(4.0)}))
    assert task.signature.inputs == ("y", "v0", "v1", "mass", "k")
    batch = task.all()
    assert batch.inputs.shape == (4, 5, 5)
    np.testing.assert_array_equal(batch.inputs[:, :3, 1:], batch.targets[:, :, :-1])
    np.testing.assert_array_equal(batch.targets[1, 0], 100 + np.arange(1, 6))
    np.testing.assert_array_equal(batch.inputs[3, 3:], 3)


def test_classification_and_its_padding(labelled):
    task = as_task(None, labelled)
    assert isinstance(task, Classification)
    assert task.signature.outputs == ("down", "up")
    assert task.signature.inputs == ("x", "valid")
    batch = task.all()
    lengths = np.asarray(labelled.parameters["length"])
    np.testing.assert_array_equal(batch.inputs[:, 1].sum(1), lengths)
    np.testing.assert_array_equal(batch.targets.argmax(1), labelled.parameters["label"])
    np.testing.assert_array_equal(batch.targets.sum(1), 1)
    # Moments of valid samples only; the mask and the classes stay as they are.
    inputs, outputs = fit_normalisers(task, chunk=5)
    valid = batch.inputs[:, 0][batch.inputs[:, 1] > 0].astype(np.float64)
    np.testing.assert_allclose(inputs.shift, [valid.mean(), 0], rtol=1e-12)
    np.testing.assert_allclose(inputs.scale, [valid.std(), 1], rtol=1e-12)
    np.testing.assert_array_equal([outputs.shift, outputs.scale], [[0, 0], [1, 1]])
    # One class alone keeps the columns of the training data.
    ups = labelled[np.asarray(labelled.parameters["label"]) == 1]
    assert task.on(ups).signature.outputs == ("down", "up")
    assert task_of(task.signature, ups).batch(np.array([0])).targets.tolist() == [[0, 1]]


def test_regression_predicts_what_varies(series):
    task = Regression(series)
    assert task.signature.outputs == ("k",)
    assert task.signature.inputs == ("u", "y", "v0", "v1")
    assert task.all().targets.tolist() == [[0], [1], [2], [3]]
    assert task.on(series[:1]).signature.outputs == ("k",)
    assert Regression(series, inputs="y", outputs=("same", "k")).all().targets[2].tolist() == [1, 2]


@pytest.mark.parametrize("kind", [Sequence, Forecast, Classification, Regression])
def test_signatures_survive_json_and_rebuild_their_task(kind, series, labelled):
    data = labelled if kind is Classification else series
    task = kind(data, inputs=()) if kind is Forecast else kind(data)
    signature = Signature.from_json(json.loads(json.dumps(task.signature.to_json())))
    assert signature == task.signature
    if kind is not Forecast:
        assert task_of(signature, data).signature == signature


def test_unequal_steps(series):
    dt = np.random.default_rng(5).uniform(0.1, 0.3, (4, 6))
    data = series.replace(inputs={"u": series.inputs["u"][...], "dt": dt}, times=np.array([0, 1, 3, 4, 8, 9.0]))
    with pytest.raises(DataError, match="evenly spaced"):
        Sequence(data)
    task = Sequence(data, steps="dt")
    assert task.signature.step == "dt"
    assert task.signature.inputs == ("u", "k", "dt")
    np.testing.assert_array_equal(task.all().inputs[:, 2], dt.astype(np.float32))
    assert fit_normalisers(task)[0].scale[2] == 1
    assert task_of(task.signature, data).signature == task.signature


def test_refusals(series, labelled):
    with pytest.raises(DataError, match="at least one input that depends on time"):
        Sequence(series, inputs="mass")
    with pytest.raises(DataError, match="one of them in time"):
        Forecast(series)
    with pytest.raises(SettingError, match="task='final'"):
        Forecast(series.subsample(time=5).replace(inputs={}))
    with pytest.raises(DataError, match="whole numbers from 0 to 1"):
        Classification(labelled.replace(parameters={"label": np.full(12, 2.0)}))
    with pytest.raises(UnknownName, match="parameter"):
        Classification(series)
    with pytest.raises(DataError, match="no parameter that varies"):
        Regression(series.replace(parameters={"same": np.ones(4)}))
    with pytest.raises(DataError, match="lengths from"):
        Classification(labelled.replace(parameters={**labelled.parameters, "length": np.full(12, 21.0)})).all()
    cube = Grid.box("periodic", 2, dimension=3)
    data = Dataset(fields={"u": np.ones((1, 4, 2, 2, 2))}, grid=cube, times=np.arange(4.0))
    with pytest.raises(SettingError, match="3 space axes"):
        Forecast(data)


def test_operators_say_which_tasks_they_take(labelled, series):
    with pytest.raises(SettingError, match="'classification' for FNO"):
        sciml.fit("fno:tiny", labelled, progress=False)
    with pytest.raises(SettingError, match="'forecast' for UNet"):
        sciml.fit("unet:tiny", series.replace(inputs={}), task="forecast", progress=False)
    with pytest.raises(SettingError, match="'steady' for LSSL"):
        sciml.fit("lssl:tiny", sciml.checks.smooth_data(), progress=False)


class Recurrent(nn.Module):
    """What a user would bring: a GRU over (item, channel, time), with an answer for each sample or for all."""

    def __init__(self, inputs, outputs, whole=False):
        super().__init__()
        self.gru, self.read, self.whole = nn.GRU(inputs, 16, batch_first=True), nn.Linear(16, outputs), whole

    def forward(self, x):
        y = self.gru(x.mT)[0]
        return self.read(y[:, -1]) if self.whole else self.read(y).mT


def test_a_foreign_network_learns_all_of_them(labelled, series):
    for task, data, network in (
        ("sequence", series, Recurrent(3, 3)),
        ("classification", labelled, Recurrent(2, 2, whole=True)),
        ("regression", series, Recurrent(4, 1, whole=True)),
        ("forecast", series.replace(inputs={}), Recurrent(4, 3)),
    ):
        result = sciml.fit(network, data, task=task, epochs=3, validation=False, progress=False)
        assert np.isfinite(result.history["loss"]).all()
        prediction = result.operator.predict(as_task(task, data).all().inputs)
        assert prediction.shape == as_task(task, data).all().targets.shape


def test_a_1d_fno_learns_a_sequence():
    data = signal_data(12)
    result = sciml.fit("fno:tiny", data, epochs=25, batch_size=2, validation=False, progress=False)
    assert sciml.evaluate(result.operator, data, timing=False).scores[0].errors["relative_l2"].mean() < 0.4


def test_classification_from_fit_to_report(labelled, tmp_path):
    from sciml.html import write_report

    train, test = labelled.split(8, 4)
    result = sciml.fit("lssl:tiny", train, validation=test, epochs=25, progress=False)
    assert result.training.loss == "cross_entropy"
    assert result.best == min(result.history["validation"])
    report = sciml.evaluate(result.operator, test)
    assert set(report.scores[0].errors) == {"error_rate", "brier", "cross_entropy"}
    assert report.scores[0].errors["error_rate"].mean() == 0
    assert "error rate" in repr(report)
    write_report(report, tmp_path / "report.html", title="ramps")
    assert "error rate" in (tmp_path / "report.html").read_text()


def test_mean_answers_sequences():
    data = signal_data(6)
    result = sciml.fit(Mean(), data, progress=False, validation=False)
    np.testing.assert_allclose(
        result.operator.predict(as_task(None, data).all().inputs)[0, 0], data.fields["y"][...].mean(0), atol=1e-6
    )


def test_persistence_forecasts(series):
    data = series.replace(inputs={}, parameters={})
    result = sciml.fit("persistence", data, task="forecast", progress=False, validation=False)
    batch = as_task("forecast", data).all()
    np.testing.assert_array_equal(result.operator.predict(batch.inputs), batch.inputs)


def test_signals_are_exact():
    data = signal_data(3, 4001)
    u, y, dt = data.inputs["u"][...], data.fields["y"][...], data.times[1]
    slope = (y[:, 2:] - y[:, :-2]) / (2 * dt)
    np.testing.assert_allclose(0.5 * slope + y[:, 1:-1], u[:, 1:-1], atol=2e-5)
    np.testing.assert_allclose(y[:, 0], 0, atol=1e-15)
