"""Banks of random kernels: ridge regression with its leave-one-out errors, pooled statistics, series to classes and numbers."""

import numpy as np
import pytest
import torch

import sciml
from pdes.dataset import Dataset
from sciml.operators.lssl import LSSL, PRESETS
from sciml.ssm.bank import regress
from sciml.ssm.model import POOLED, statistics
from sciml.tasks import as_task
from solvers.errors import SettingError
from solvers.grid import Grid

OPTIONS = {"validation": False, "progress": False}
SMALL = PRESETS["bank"] | {"width": 24, "order": 8}


@pytest.mark.parametrize("items", [12, 60])
def test_leave_one_out_is_leaving_one_out(items):
    rng = np.random.default_rng(items)
    x, y = rng.standard_normal((items, 20)), rng.standard_normal((items, 2))
    x[:, 3] = 5.0  # says nothing
    y += x[:, :1]
    weights, offset, left = regress(x, y)
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), np.inf)
    top = np.linalg.svd(z)[1][0] ** 2
    strengths = np.logspace(-9, 3, 49) * top
    gram = lambda p: z.T @ z + p * np.eye(20)  # noqa: E731
    fits = [np.linalg.solve(gram(p), z.T @ (y - y.mean(0))) for p in strengths]
    found = z @ (weights * x.std(0)[:, None]) + y.mean(0)
    best = min(range(49), key=lambda i: np.abs(z @ fits[i] + y.mean(0) - found).max())
    np.testing.assert_allclose(found, z @ fits[best] + y.mean(0), atol=1e-8)
    np.testing.assert_allclose(x @ weights + offset, found, atol=1e-8)
    for i in range(3):  # without row i, with the offset fitted anew
        rest = np.delete(np.arange(items), i)
        center, level = z[rest].mean(0), y[rest].mean(0)
        c = z[rest] - center
        w = np.linalg.solve(c.T @ c + strengths[best] * np.eye(20), c.T @ (y[rest] - level))
        np.testing.assert_allclose(left[i], y[i] - level - (z[i] - center) @ w, atol=1e-6)


def test_statistics_and_padding():
    x = torch.randn(3, 2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    lengths = torch.tensor([50, 31, 7])
    found = statistics(x, lengths, 0.5).unflatten(1, (len(POOLED), 2)).numpy()
    for i, n in enumerate(lengths):
        v = x[i, :, :n].numpy()
        d = np.diff(v, axis=1) / 0.5
        expected = [v.mean(1), v.std(1), v.max(1), v.min(1), (v > 0).mean(1), (v > 0.5).mean(1), (v > -0.5).mean(1),
                    (d > 0).sum(1) / float(n), np.abs(d).sum(1) / float(n)]  # fmt: skip
        np.testing.assert_allclose(found[i], expected, atol=1e-12)
    np.testing.assert_array_equal(statistics(x[:, :, :7]), statistics(x[:, :, :7], torch.tensor([7, 7, 7])))


def tones(n, seed, samples=200, step=1.0, padded=False):
    """Sines of three frequencies, by class, at random phase and amplitude, in noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3
    t = np.arange(samples) * step
    x = rng.uniform(0.5, 2, (n, 1)) * np.sin(np.array([0.2, 0.25, 0.3])[label][:, None] * t + rng.uniform(0, 6.28, (n, 1)))
    parameters = {"label": label.astype(float), "pitch": np.array([0.2, 0.25, 0.3])[label]}
    if padded:
        parameters["length"] = rng.integers(samples // 2, samples, n).astype(float)
        x[np.arange(samples) >= parameters["length"][:, None]] = 0.0
    return Dataset(fields={"x": x}, grid=Grid(()), times=t, parameters=parameters)


@pytest.mark.parametrize("padded", [False, True])
def test_tones_to_classes_and_at_half_the_rate(padded):
    torch.set_num_threads(1)
    operator = sciml.fit(LSSL(**SMALL), tones(60, 2, padded=padded), task="classification", **OPTIONS).operator
    test = tones(60, 3, padded=padded)
    scores = sciml.evaluate(operator, test, timing=False).scores[0]
    assert scores.errors["error_rate"].mean() < 0.05
    assert scores.errors["cross_entropy"].mean() < 0.3  # scores are probabilities that deserve it
    inputs = as_task("classification", test).all().inputs
    labels = np.asarray(test.parameters["label"])
    right = lambda y: (y.argmax(1) == labels).mean()  # noqa: E731
    coarse = inputs[:, :, ::2]
    told = right(operator.predict(coarse, times=2.0 * np.arange(coarse.shape[2])))
    assert told > 0.9
    assert right(operator.predict(coarse)) < 0.7  # an octave higher, if one is not told


def test_numbers_and_files(tmp_path):
    torch.set_num_threads(1)
    operator = sciml.fit(LSSL(**SMALL), tones(60, 2), task="regression", **OPTIONS).operator
    inputs = as_task("classification", tones(60, 3)).all().inputs
    found = operator.predict(inputs)[:, operator.bound_signature.outputs.index("pitch")]
    assert np.abs(found - np.asarray(tones(60, 3).parameters["pitch"])).max() < 0.03
    again = sciml.load(operator.save(tmp_path / "bank.safetensors"))
    np.testing.assert_array_equal(again.predict(inputs), operator.predict(inputs))


def test_refusals():
    with pytest.raises(SettingError, match="lssl:bank"):
        sciml.fit("lssl:linear", tones(9, 2), task="classification", **OPTIONS)
    with pytest.raises(SettingError, match="'statistics'"):
        LSSL(pooling="median")
