"""The contract holds for operators of every kind, and `fit` has no case for any of them."""

import inspect

import equinox as eqx
import jax
import numpy as np
import pytest
import torch
from torch import nn

import sciml
from sciml import fitting
from sciml.checks import check_operator, smooth_data
from sciml.learners.backprop import TorchOperator
from sciml.learners.local import Local, LocalLayer
from sciml.normalize import Normaliser, fit_normalisers
from sciml.operator import Operator
from solvers.errors import SettingError


class EquinoxConvolution(eqx.Module):
    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Conv2d(1, 8, 5, padding="SAME", padding_mode="CIRCULAR", key=one)
        self.second = eqx.nn.Conv2d(8, 1, 5, padding="SAME", padding_mode="CIRCULAR", key=two)

    def __call__(self, x):
        return self.second(jax.nn.gelu(self.first(x)))


class BlackBox(LocalLayer):
    """Fixed random features of a NumPy-only forward; its readout learns by the delta rule on a local target. No autograd."""

    def __init__(self, points, outputs, hidden, rng):
        self.mixing = rng.standard_normal((points, hidden)) / np.sqrt(points)
        self.readout = np.zeros((hidden, outputs))

    def _features(self, values):
        flat = values.reshape(len(values), -1)
        return np.tanh(flat @ self.mixing)

    def forward(self, values):
        return self._features(values) @ self.readout

    def update(self, values, targets, rate, rng):
        features, wanted = self._features(values), targets.reshape(len(targets), -1)
        error = features @ self.readout - wanted
        self.readout -= rate * features.T @ error / (1e-9 + (features**2).sum())
        return {"loss": float((error**2).mean())}

    def state(self):
        return {"mixing": self.mixing, "readout": self.readout}

    def load_state(self, arrays):
        self.mixing, self.readout = arrays["mixing"].copy(), arrays["readout"].copy()


class NormalisedLocal(Local):
    """Local updates in normalised units."""

    def __init__(self, operator, training):
        super().__init__(operator.layers, training)
        self.operator = operator

    def step(self, batch, at):
        from dataclasses import replace

        o = self.operator
        encoded = replace(batch, inputs=o.inputs.encode(batch.inputs), targets=o.outputs.encode(batch.targets))
        return super().step(encoded, at)


class LocalOperator(Operator):
    """An operator trained layer by layer over a NumPy-only physical layer."""

    def __init__(self, hidden: int = 64):
        self.config = {"hidden": hidden}

    def bind(self, task, *, seed=0):
        self.inputs, self.outputs = fit_normalisers(task)
        self._make(task.signature, np.random.default_rng(seed))

    def _make(self, signature, rng):
        points = int(np.prod(signature.grid.shape))
        self.layers = [BlackBox(points, points, self.config["hidden"], rng)]
        self.signature = signature

    def rebuild(self, signature):
        self.inputs = self.outputs = Normaliser(np.zeros(1), np.ones(1))
        self._make(signature, np.random.default_rng(0))

    def learner(self, training):
        return NormalisedLocal(self, training)

    def recommended(self, task):
        return {"lr": 1.0}

    def predict(self, inputs, *, batch_size=None, **where):
        self.bound_signature.check_inputs(inputs.shape, "LocalOperator")
        if inputs.shape[2:] != self.bound_signature.grid.shape:
            from solvers.errors import GridError

            raise GridError(given=f"{inputs.shape[2:]} points", needed=f"{self.bound_signature.grid.shape}", remedy="Resample.")
        flat = self.layers[0].forward(self.inputs.encode(inputs.astype(np.float64)))
        return self.outputs.decode(flat.reshape(inputs.shape)).astype(np.float32)

    def state(self):
        return self.layers[0].state() | self.inputs.arrays("input") | self.outputs.arrays("output")

    def load_state(self, arrays):
        self.layers[0].load_state(arrays)
        self.inputs, self.outputs = Normaliser.from_arrays(arrays, "input"), Normaliser.from_arrays(arrays, "output")


def plain_torch():
    with torch.random.fork_rng():
        torch.manual_seed(11)
        first, second = (nn.Conv2d(*channels, 5, padding=2, padding_mode="circular") for channels in ((1, 8), (8, 1)))
        return nn.Sequential(first, nn.GELU(), second)


def test_torch_operator(make_tiny):
    check_operator(make_tiny)


def test_torch_operator_with_averaged_weights_and_dropout_resumes(make_tiny, data, tmp_path):
    from sciml.checks import _check_resume

    training = sciml.Training(ema=0.9)
    _check_resume(
        lambda: make_tiny(dropout=0.2), data, {"validation": False, "progress": False, "training": training}, tmp_path, 3
    )


def test_plain_torch_module():
    operator = check_operator(plain_torch, epochs=300)
    assert isinstance(operator, TorchOperator)


def test_plain_equinox_module():
    check_operator(lambda: EquinoxConvolution(jax.random.key(3)), epochs=300)


def test_layers_that_learn_locally_over_a_numpy_only_forward():
    check_operator(LocalOperator, epochs=400)


def test_the_battery_notices_an_operator_that_depends_on_its_batch(make_tiny):
    class Leaky(make_tiny):
        def predict(self, inputs, **kwargs):
            return super().predict(inputs, **kwargs) + 0.1 * len(inputs) if self.signature else super().predict(inputs)

    with pytest.raises(AssertionError, match=r"depends on its batch|relative_l2"):
        check_operator(Leaky)


def test_the_battery_notices_lost_optimiser_state(make_tiny):
    class Forgetful(make_tiny):
        def learner(self, training):
            learner = super().learner(training)
            learner.load_state = lambda arrays, scalars: None
            return learner

    with pytest.raises(AssertionError, match="resumed"):
        check_operator(Forgetful)


def test_fit_names_no_framework():
    source = inspect.getsource(fitting)
    assert "torch" not in source.replace("torch.nn.Module", "").replace("torchrun", "")
    assert "isinstance(operator" not in source


def test_unusable_objects_are_refused_with_the_choices():
    with pytest.raises(SettingError, match=r"torch.nn.Module or an equinox.Module"):
        sciml.fit(42, smooth_data(), progress=False)
