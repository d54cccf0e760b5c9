"""Scores: known errors, roll-outs, several contestants, files."""

import json

import numpy as np
import pytest

import sciml
from sciml.evaluation import bootstrap_interval, evaluate, rollout
from sciml.operator import Operator
from solvers.errors import DataError, SettingError


class Known(Operator):
    """Multiplies the first channel: errors are known in advance."""

    def __init__(self, factor=1.0):
        self.config = {"factor": factor}

    def bind(self, task, *, seed=0):
        self.signature = task.signature

    def rebuild(self, signature):
        self.signature = signature

    def learner(self, training):
        raise NotImplementedError

    def predict(self, inputs, *, batch_size=None, **where):
        return inputs[:, : len(self.bound_signature.outputs)] * np.float32(self.config["factor"])

    def state(self):
        return {}

    def load_state(self, arrays):
        pass


def bound(factor, dataset, **choices):
    from sciml.tasks import as_task

    operator = Known(factor)
    operator.bind(as_task(None, dataset, **choices))
    return operator


@pytest.fixture
def halving():
    """u halves at each of six frames."""
    from pdes.dataset import Dataset
    from solvers.grid import Grid

    start = np.random.default_rng(9).standard_normal((5, 1, 16))
    u = start * 0.5 ** np.arange(6)[:, None]
    return Dataset(fields={"u": u}, grid=Grid.box("periodic", 16, dimension=1), times=np.arange(6.0))


def test_errors_and_rollouts_have_their_known_values(halving):
    report = evaluate({"exact": bound(0.5, halving), "slow": bound(0.6, halving)}, halving, timing=False)
    np.testing.assert_allclose(report["exact"].errors["relative_l2"], 0, atol=1e-6)
    np.testing.assert_allclose(report["slow"].errors["relative_l2"], 0.2, rtol=1e-5)
    assert report["slow"].errors["relative_l2"].shape == (25,)
    np.testing.assert_allclose(report["slow"].rollout_errors.mean(0), 1.2 ** np.arange(1, 6) - 1, rtol=1e-4)
    np.testing.assert_allclose(report["slow"].rollout_times, np.arange(1.0, 6.0))
    lines = repr(report).splitlines()
    assert lines[2].startswith("exact")
    assert "0.2000" in lines[3]


def test_rollout_keeps_history_in_order(halving):
    class Extrapolation(Known):
        def predict(self, inputs, **_):
            return 2 * inputs[:, 1:2] - inputs[:, 0:1]

    from sciml.tasks import Autoregressive

    operator = Extrapolation()
    operator.bind(Autoregressive(halving, history=2))
    first = np.stack([np.zeros((3, 16)), np.ones((3, 16))], axis=1).astype(np.float32)
    np.testing.assert_allclose(rollout(operator, first, 4)[0, :, 0, 0], [2, 3, 4, 5])


def test_rollout_needs_an_autoregressive_operator(data):
    operator = bound(1.0, data)
    with pytest.raises(SettingError, match="task='autoregressive'"):
        rollout(operator, np.zeros((1, 1, 17, 17)), 3)


def test_times_are_measured_and_the_report_is_saved(data, tmp_path):
    report = evaluate(bound(0.5, data), data, training_seconds={"Known": 3.0})
    score = report.scores[0]
    assert score.seconds_single > 0
    assert score.seconds_batch > 0
    report.save(tmp_path / "report.json")
    stored = json.loads((tmp_path / "report.json").read_text())
    assert len(stored["scores"][0]["per_sample"]["relative_l2"]) == 12
    assert stored["scores"][0]["training_seconds"] == 3.0
    assert "<table" in report._repr_html_()


def test_the_interval_covers_the_mean():
    values = np.random.default_rng(8).gamma(2.0, size=400)
    low, high = bootstrap_interval(values)
    assert low < 2.0 < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_refusals(data, heat_data):
    with pytest.raises(DataError, match="not been bound"):
        evaluate(Known(), data)
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate({}, data)
    with pytest.raises((DataError, SettingError), match="at least two stored frames"):
        evaluate(bound(1.0, heat_data), data)


def test_a_trained_network_scores_what_fit_reported(make_tiny, data):
    train, held_out = data.split(9, 3)
    result = sciml.fit(make_tiny(), train, validation=held_out, epochs=5, progress=False)
    report = evaluate(result.operator, held_out, timing=False)
    assert report.scores[0].errors["relative_l2"].mean() == pytest.approx(result.best, rel=1e-5)
