"""Physical layers: black boxes with a counter, drift and noise; each computed by a verified solver, at a working point."""

import sys

import numpy as np
import pytest
import torch
from physical_box import Box, patterns

from sciml.physical.acoustics import Enclosure, Membranes
from sciml.physical.competitors import Absent, GlobalTraining, Linearised, RandomFeatures, alignment
from sciml.physical.field import Model
from sciml.physical.layer import linearity
from sciml.physical.mechanics import Duffing, PendulumNetwork
from sciml.physical.network import PhysicalNetwork, accuracy, train
from sciml.physical.optics import Crystal, Fibre, LinearCavity, Pulse
from sciml.physical.rules import Rule
from sciml.physical.twin import Twin
from solvers.errors import DataError, SettingError
from solvers.grid import Grid
from solvers.schroedinger import SplitStep

SMALL = {
    "pulse": lambda: Pulse(24, points=64, steps=16),
    "crystal": lambda: Crystal(24, points=64, steps=8),
    "fibre": lambda: Fibre(25, side=16, periods=1, per_period=16, pooled=8),
    "cavity": lambda: LinearCavity(24, n_out=32, side=16, periods=1, per_period=16, pooled=8),
    "membranes": lambda: Membranes(8, microphones=2, products=4, modes=24),
    "enclosure": lambda: Enclosure(6, receivers=1, frequencies=4),
    "pendulums": lambda: PendulumNetwork(24, steps=40),
    "duffing": lambda: Duffing(24, size=16, duration=12.0, steps=120),
}
WINDOW = {"enclosure": (0.1, 0.9, 3), "membranes": (0.3, 0.95, 3)}
"""Declared working points: bounds of the linear share of variance, least effective rank; (0.2, 0.95, 8) unless said."""
SIGNALS = np.random.default_rng(31).standard_normal((40, 25)).astype(np.float32)


@pytest.fixture(scope="module")
def layers():
    return {name: make() for name, make in SMALL.items()}


@pytest.mark.parametrize("name", SMALL)
def test_contract(name, layers):
    layer = layers[name]
    s = SIGNALS[:, : layer.n_in]
    before = layer.passes
    y = layer.measure(s)
    assert layer.passes == before + 40
    assert y.shape == (40, layer.n_out)
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    assert np.array_equal(layer.measure(s[7:8])[0], y[7])  # alone or in company: the same bits
    with pytest.raises(DataError, match="gradient"):
        layer.measure(torch.zeros(2, layer.n_in, requires_grad=True))
    assert not getattr(layer.measure(torch.zeros(2, layer.n_in)), "requires_grad", False)
    with pytest.raises(DataError, match="NaN"):
        layer.measure(np.full((1, layer.n_in), np.nan))


@pytest.mark.parametrize("name", SMALL)
def test_working_point(name, layers):
    point = linearity(layers[name], 600)
    low, high, rank = WINDOW.get(name, (0.2, 0.95, 8))
    assert low < point["r2"] < high, point
    assert rank < point["rank"], point


@pytest.mark.parametrize("name", SMALL)
def test_drift_moves_readings_by_its_size(name):
    shifts = []
    for magnitude in (0.003, 0.1):
        layer = SMALL[name]()
        s = SIGNALS[:, : layer.n_in]
        before = layer.measure(s)
        layer.perturb("physics", magnitude, np.random.default_rng(5))
        assert layer.version == 1
        shifts.append(np.linalg.norm(layer.measure(s) - before) / np.linalg.norm(before - before.mean(0)))
    assert 1e-4 < shifts[0] < shifts[1]


def test_detectors_lose_gain_die_and_make_noise():
    layer, s = Box(12), SIGNALS[:, :12]
    clean = layer.measure(s)
    layer.perturb("gain", 0.3, np.random.default_rng(5))
    ratio = layer.measure(s)[0] / clean[0]
    assert 0.15 < np.std(np.log(ratio)) < 0.45
    layer.perturb("dead", 0.25, np.random.default_rng(5))
    assert (layer.measure(s) == 0).all(0).sum() == 10
    fresh = Box(12)
    fresh.perturb("noise", 20.0, np.random.default_rng(5))
    with pytest.raises(SettingError, match="rng"):
        fresh.measure(s)
    many = np.repeat(s, 50, 0)
    noise = fresh.measure(many, np.random.default_rng(7)) - np.repeat(clean, 50, 0)
    np.testing.assert_allclose(noise.std(0), 0.1 * fresh._scale(), rtol=0.1)
    with pytest.raises(SettingError, match="physical parameters"):
        Absent(3, 3).perturb("physics", 0.1, np.random.default_rng(1))
    with pytest.raises(SettingError, match="one of"):
        fresh.perturb("heat", 0.1, np.random.default_rng(1))


def test_pulse_is_the_verified_solver_in_single_precision():
    layer = Pulse(24, points=64, steps=16, detection="time")
    s = np.zeros((2, 24), np.float32)
    s[1, 3] = 1.0
    spectrum = np.zeros((2, 64), complex)
    spectrum[:, 20:44] = (1 + 0.5 * s) * np.exp(1j * layer.parameters["phase"])
    field = np.fft.ifft(np.fft.ifftshift(spectrum, axes=1)) * 64
    grid = Grid.box("periodic", 64, start=-20, stop=20)
    field *= 5.0 / np.sqrt(1.25 * 24 * 64 * grid.spacing[0])
    found = SplitStep(grid, 1 / 16, 2).solve(field, np.array([0.0, 1.0]), {"g": -1.0}).values[:, -1]
    np.testing.assert_allclose(layer.measure(s), np.sqrt(np.abs(found) ** 2 + 1e-6), rtol=1e-3, atol=1e-4)


def test_black_box_learns_though_nothing_else_than_numpy_knows_it():
    x, labels = patterns()
    module = sys.modules[Box.__module__]
    assert not {"jax", "scipy"} & set(vars(module))
    net = PhysicalNetwork(lambda k, n: Box(n, seed=k), 12, 3, Rule("heads"), width=10)
    train(net, x, labels, epochs=20, batch=50, rate=1e-2)
    assert accuracy(net.scores(x), labels) > 0.9


def small_network(seed=3, rule="heads"):
    return PhysicalNetwork(
        lambda k, n: Pulse(n, points=64, steps=16, seed=k, order=2.0), 12, 3, Rule(rule), width=10, seed=seed
    )


def test_broken_derivatives_hurt_only_those_who_use_them(monkeypatch):
    x, labels = patterns(96)
    clean = small_network()
    train(clean, x, labels, epochs=2)
    monkeypatch.setattr(Model, "vjp", lambda self, s, c: np.full_like(s, np.nan))
    again, aware = small_network(), small_network()
    train(again, x, labels, epochs=2)
    for one, two in zip(clean.stages, again.stages, strict=True):
        assert np.array_equal(one.weights, two.weights)
    GlobalTraining(aware, x, labels, "pat", [Model(layer) for layer in aware.layers]).train(epochs=1)
    assert np.isnan(aware.stages[0].weights).any()


def test_global_gradient_against_differences_of_the_physics():
    """The update of layer 1 by back-propagation through layer 2, against differences of the loss."""
    x, labels = patterns(48)
    net = small_network()
    trainer = GlobalTraining(net, x, labels, "ideal", [Model(layer) for layer in net.layers])
    rows = np.arange(48)

    def parts():
        s0 = x
        u0 = net.readings(0, trainer.first, s0)
        a0 = net.activations(0, u0)
        s1 = net.drive(x, a0)
        u1 = net.readings(1, net.layers[1].measure(s1), s1)
        return [s0, s1], [u0, u1], [a0, net.activations(1, u1)]

    drives, readings, outputs = parts()
    _, deltas = trainer._deltas(drives, readings, outputs, labels[rows])
    gradient = deltas[0].T @ readings[0]
    direction = np.random.default_rng(3).standard_normal(gradient.shape).astype(np.float32)
    direction /= np.linalg.norm(direction)
    ends, step = [], 0.02
    for sign in (1, -1):
        net.stages[0].weights += sign * step * direction
        ends.append(trainer._deltas(*parts(), labels[rows])[0])
        net.stages[0].weights -= sign * step * direction
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=0.03, abs=1e-4)


def test_wrong_models_mislead():
    """The ideal model has the gradient of the physics; in-silico with it is the ideal training, with a wrong one worse."""
    x, labels = patterns(150, noise=1.0)
    layer = Pulse(12, points=64, steps=16, order=5.0)
    assert alignment(layer, Model(layer), 4) > 0.999
    assert alignment(layer, Model(layer, 0.4), 4) < 0.95
    found = {}
    for mode, mismatch in (("ideal", 0.0), ("in-silico", 0.0), ("in-silico", 0.4), ("dfa", 0.0)):
        net = small_network()
        rng = np.random.default_rng(2)
        models = None if mode == "dfa" else [Model(one, mismatch, rng) for one in net.layers]
        trainer = GlobalTraining(net, x, labels, mode, models)
        trainer.train(epochs=8, batch=50, rate=1e-2)
        found[mode, mismatch] = accuracy(trainer.scores(x), labels)
        if mode == "in-silico":
            assert net.passes == 150 * 2 + 0  # for the test alone
    assert found["in-silico", 0.0] == pytest.approx(found["ideal", 0.0], abs=0.02)
    assert found["in-silico", 0.4] < found["ideal", 0.0] - 0.1
    assert found["dfa", 0.0] > 0.8


def test_controls():
    box = Box(12)
    linear = Linearised(box)
    s = SIGNALS[:, :12]
    assert linearity(linear, 300)["r2"] > 0.9999
    assert np.corrcoef(linear.measure(s).ravel(), box.measure(s).ravel())[0, 1] > 0.9
    assert np.array_equal(Absent(12, 30).measure(s)[:, 12:24], s)
    assert not Absent(12, 5, zeros=True).measure(s).any()
    assert linearity(RandomFeatures(12, 40), 600)["r2"] < 0.99


def test_twin_learns_a_layer_from_its_readings():
    layer = Box(6, 8)
    rng = np.random.default_rng(3)
    s = rng.standard_normal((1500, 6)).astype(np.float32)
    twin = Twin(s, layer.measure(s), hidden=64, epochs=60)
    fresh = rng.standard_normal((300, 6)).astype(np.float32)
    truth = layer.measure(fresh)
    error = np.mean((twin.measure(fresh) - truth) ** 2) / np.mean((truth - truth.mean(0)) ** 2)
    assert error < 0.02
    assert twin.residual == pytest.approx(np.sqrt(error), rel=0.5)
    assert Model(twin).vjp(fresh, np.ones((300, 8), np.float32)).shape == (300, 6)
    with pytest.raises(DataError, match="pairs"):
        Twin(s[:10], layer.measure(s))
