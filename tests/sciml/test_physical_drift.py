"""Drift: caches go, recovery is counted, frozen networks do not recover; unsupervised training with hybrids."""

import numpy as np
import pytest
from physical_box import Box
from physical_box import patterns as drawn

from sciml.physical.drift import Recovery, adapted, recovery, recursive, strike
from sciml.physical.network import Greedy, PhysicalNetwork, accuracy, train
from sciml.physical.rules import Rule
from sciml.physical.unsupervised import Unsupervised, hybrids
from solvers.errors import DataError, SettingError, UnknownName


def patterns(n=300, seed=4):
    return drawn(n, classes=4, seed=seed, noise=0.7)


def network(rule):
    net = PhysicalNetwork(lambda k, n: Box(n, seed=k), 12, 4, Rule(rule), width=12, seed=5)
    train(net, *patterns(), epochs=25, batch=50, rate=1e-2)
    return net


@pytest.mark.parametrize("rule", ["pair", "heads", "ridge"])
def test_rules_find_back_after_a_switch_and_frozen_ones_do_not(rule):
    net, data = network(rule), (*patterns(), *patterns(seed=8))

    def adapt(own, x, labels):
        before = own.passes
        return adapted(own, x, labels, anchor=20, rate=1e-2), own.passes - before

    found = recovery(net, "switch", 2.0, data, (40, 300), adapt)
    assert found.before > 0.9
    assert found.after < 0.95 * found.before - 0.05
    assert found.recovered in found.passes
    labels_measured = 4 if rule == "pair" else 1
    assert found.passes == (2 * 40 * labels_measured, 2 * 300 * labels_measured)
    assert accuracy(net.scores(data[2]), data[3]) == pytest.approx(found.after)  # adapting changed copies only


def test_recursive_heads_follow_too():
    net, (x, labels), (held, truth) = network("ridge"), patterns(), patterns(seed=8)
    strike(net, "switch", 2.0)
    after = accuracy(net.scores(held), truth)
    assert accuracy(recursive(net, x, labels).scores(held), truth) > max(0.9, after + 0.05)
    with pytest.raises(SettingError, match="ridge"):
        recursive(network("heads"), x, labels)


def test_measurements_are_made_anew_after_a_drift_and_only_then():
    x, labels = patterns()
    net = PhysicalNetwork(lambda k, n: Box(n, seed=k), 12, 4, Rule("heads"), width=12)
    greedy, rng = Greedy(net, x, labels), np.random.default_rng(3)
    for _ in range(3):
        greedy.step(np.arange(300), 1e-3, rng)
    assert net.passes == 300
    net.layers[0].perturb("physics", 0.5, rng)
    old = greedy.u.copy()
    greedy.step(np.arange(300), 1e-3, rng)
    assert net.passes == 600
    assert not np.allclose(old, greedy.u)
    greedy.advance()
    greedy.measure()
    assert net.passes == 900
    net.layers[0].perturb("gain", 0.5, rng)  # the layer before: both are measured anew
    greedy.measure()
    assert net.passes == 1500


def test_standardising_takes_gains_out():
    net, (held, truth) = network("heads"), patterns(seed=8)
    x, labels = patterns()
    clean = accuracy(net.scores(held), truth)
    strike(net, "gain", 1.5)
    assert accuracy(net.scores(held), truth) < clean - 0.05
    assert accuracy(adapted(net, x, labels, epochs=1, rate=0.0).scores(held), truth) == pytest.approx(clean, abs=0.01)


def test_recovered_means_for_good():
    curve = Recovery(0.9, 0.2, (10, 20, 40, 80), (0.9, 0.5, 0.87, 0.9))
    assert curve.recovered == 40
    assert Recovery(0.9, 0.2, (10,), (0.5,)).recovered is None
    assert 0 < curve.lost < 0.7
    with pytest.raises(UnknownName, match="switch"):
        strike(network("ridge"), "swich", 0.1)


def test_hybrids_are_patches_of_two_samples():
    x = np.repeat(np.arange(20.0)[:, None], 100, axis=1).astype(np.float32)
    mixed = hybrids(x, (10, 10), np.random.default_rng(3)).reshape(20, 10, 10)
    assert all(len(np.unique(one)) == 2 for one in mixed)
    assert all(i in one for i, one in enumerate(mixed))
    changes = np.mean(np.diff(mixed, axis=1) != 0)
    assert changes < 0.35  # smooth: independent pixels would change in half of the places
    with pytest.raises(DataError, match="shape"):
        hybrids(x, (9, 9), np.random.default_rng(3))


def test_layers_without_labels_are_read_out():
    x, labels = patterns(400)
    held, truth = patterns(seed=8)
    model = Unsupervised(lambda k, n: Box(n, seed=k), (12,), 4, width=24)
    with pytest.raises(DataError, match="train"):
        model.scores(held)
    losses = model.train(x, labels, epochs=20, batch=100, rate=1e-2)
    assert losses[19] < 0.62 < losses[0]
    assert model.network.passes == 2 * 2 * 400
    assert accuracy(model.scores(held), truth) > 0.9
