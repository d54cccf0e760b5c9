"""What goes in and what comes out: shapes, order, channels, refusals."""

import numpy as np
import pytest

from pdes.dataset import Dataset
from sciml.tasks import Autoregressive, Final, Signature, Steady, Trajectory, as_task, task_of
from solvers.errors import DataError, SettingError, UnknownName
from solvers.grid import Grid


@pytest.fixture
def numbered():
    """u[sample, time, x] = 100 sample + 10 time + x, two components v, an input and two parameters (one constant)."""
    s, t, x = np.meshgrid(np.arange(4), np.arange(5), np.arange(3), indexing="ij")
    u = 100.0 * s + 10 * t + x
    return Dataset(
        fields={"u": u, "v": np.stack([u, -u], axis=-1)},
        inputs={"f": np.arange(12.0).reshape(4, 3)},
        grid=Grid.box("periodic", 3, dimension=1),
        times=np.linspace(0, 1, 5),
        parameters={"nu": np.arange(4.0), "same": np.ones(4)},
    )


def test_autoregressive_pairs_every_frame_with_the_next(numbered):
    task = Autoregressive(numbered, outputs="u", history=2)
    assert len(task) == 4 * 3
    assert task.signature.inputs == ("u@-1", "u@0", "f", "nu")
    batch = task.batch(np.array([7, 0, 11]))
    np.testing.assert_array_equal(task.sample_of([7, 0, 11]), [2, 0, 3])
    np.testing.assert_array_equal(batch.inputs[0, :, 0], [210, 220, 6, 2])
    np.testing.assert_array_equal(batch.targets[:, 0, 0], [230, 20, 340])
    assert batch.inputs.dtype == np.float32
    assert batch.inputs.flags.c_contiguous


def test_stride_skips_frames(numbered):
    batch = Autoregressive(numbered, outputs="u", inputs=(), stride=2).all()
    np.testing.assert_array_equal(batch.targets[:, 0, 0] - batch.inputs[:, 0, 0], 20)


def test_final_and_trajectory(numbered):
    final, trajectory = Final(numbered), Trajectory(numbered, outputs="u")
    assert final.signature.outputs == ("u", "v0", "v1")
    batch = final.batch(np.array([3, 1]))
    np.testing.assert_array_equal(batch.targets[:, :, 0], [[340, 340, -340], [140, 140, -140]])
    assert trajectory.signature.outputs == ("u@1", "u@2", "u@3", "u@4")
    np.testing.assert_array_equal(trajectory.batch(np.array([2])).targets[0, :, 0], [210, 220, 230, 240])


def test_parameters_of_a_test_set_follow_the_training_set(numbered):
    one = Final(numbered).on(numbered[1:2])  # nu does not vary here, but the operator was given it as a channel
    assert one.signature.inputs == Final(numbered).signature.inputs
    assert one.all().inputs.shape == (1, 5, 3)


def test_signature_survives_json(numbered):
    import json

    signature = Autoregressive(numbered, history=2).signature
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
    assert len(task_of(signature, numbered)) == 12


def test_defaults_follow_the_data(numbered):
    assert as_task(None, numbered).kind == "autoregressive"
    assert as_task(None, numbered.subsample(time=4)).kind == "final"
    steady = Dataset(fields={"u": np.ones((2, 3))}, inputs={"a": np.ones((2, 3))}, grid=numbered.grid)
    assert isinstance(as_task(None, steady), Steady)


def test_refusals(numbered):
    steady = Dataset(fields={"u": np.ones((2, 3))}, grid=numbered.grid)
    with pytest.raises(SettingError, match="task='final', 'autoregressive' or 'trajectory'"):
        Steady(numbered)
    with pytest.raises(DataError, match="no inputs"):
        Steady(steady)
    with pytest.raises(SettingError, match="at least two stored frames"):
        Final(steady)
    with pytest.raises(SettingError, match="history=5"):
        Autoregressive(numbered, history=5)
    with pytest.raises(UnknownName, match="Did you mean 'u'"):
        Final(numbered, outputs="uu")
    with pytest.raises(DataError, match="as the training data do"):
        Final(numbered, outputs="u").on(steady_in_time())


def steady_in_time():
    return Dataset(fields={"u": np.ones((2, 2, 3)), "w": np.ones((2, 2, 3))}, inputs={"g": np.ones((2, 3))},
                   grid=Grid.box("periodic", 3, dimension=1), times=[0, 1], parameters={"nu": np.ones(2)})  # fmt: skip


@pytest.mark.parametrize(("history", "stride"), [(1, 1), (2, 1), (1, 2), (3, 1)])
def test_autoregressive_batches_equal_plain_indexing_and_read_no_other_frames(history, stride, monkeypatch):
    u = np.random.default_rng(8).standard_normal((6, 12, 5)).astype(np.float32)
    data = Dataset(fields={"u": u}, grid=Grid.box("periodic", 5, dimension=1), times=np.arange(12.0))
    task = Autoregressive(data, history=history, stride=stride)
    items = np.array([3, 0, 9, 3, len(task) - 1, 31, 30])
    samples, starts = items // (12 - history * stride), items % (12 - history * stride)
    asked = []
    read = type(data.fields["u"].source).read
    spy = lambda self, rows, rest: asked.append((list(rows), rest[0])) or read(self, rows, rest)  # noqa: E731
    monkeypatch.setattr(type(data.fields["u"].source), "read", spy)
    batch = task.batch(items)
    for i, (sample, start) in enumerate(zip(samples, starts, strict=True)):
        np.testing.assert_array_equal(batch.inputs[i], u[sample, start : start + history * stride : stride])
        np.testing.assert_array_equal(batch.targets[i, 0], u[sample, start + history * stride])
    assert sorted(row for rows, _ in asked for row in rows) == sorted(set(samples.tolist()))
    for rows, frames in asked:
        mine = starts[samples == rows[0]]
        assert (frames.start, frames.stop) == (mine.min(), mine.max() + history * stride + 1)


def test_an_empty_batch_is_refused(numbered):
    for task in (Autoregressive(numbered), Final(numbered), Trajectory(numbered)):
        with pytest.raises(DataError, match="an empty batch"):
            task.batch(np.array([], dtype=int))
