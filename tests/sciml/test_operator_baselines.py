"""The baselines are as strong as they claim: exact on what they can represent."""

import numpy as np

import sciml
from pdes.dataset import Dataset
from sciml.checks import moving_data, smooth_data
from sciml.tasks import as_task


def test_linear_learns_a_linear_map_exactly():
    train, test = smooth_data(24, seed=51), smooth_data(6, seed=52)
    operator = sciml.fit("linear", train, progress=False).operator
    batch = as_task(None, test).all()
    error = np.linalg.norm(operator.predict(batch.inputs) - batch.targets) / np.linalg.norm(batch.targets)
    assert error < 1e-3


def test_linear_cannot_learn_a_square():
    data = smooth_data(24, seed=53)
    a = data.inputs["a"][:]
    squared = Dataset(fields={"u": (a - 1) ** 2}, inputs={"a": a}, grid=data.grid, provenance={"family": "square"})
    train, test = squared.split(16, 8)
    operator = sciml.fit("linear", train, progress=False).operator
    batch = as_task(None, test).all()
    assert np.linalg.norm(operator.predict(batch.inputs) - batch.targets) > 0.3 * np.linalg.norm(batch.targets)


def test_mean_is_the_mean_of_the_training_set():
    data = smooth_data(8, seed=54)
    operator = sciml.fit("mean", data, progress=False).operator
    predicted = operator.predict(data.inputs["a"][:2][:, None])
    np.testing.assert_allclose(predicted, np.broadcast_to(data.fields["u"][:].mean(0), (2, 1, 17, 17)), atol=1e-6)


def test_persistence_repeats_the_last_frame():
    data = moving_data(4, seed=55)
    operator = sciml.fit("persistence", data, progress=False).operator
    batch = as_task(None, data).all()
    np.testing.assert_allclose(operator.predict(batch.inputs)[:, 0], batch.inputs[:, 0], atol=1e-6)
