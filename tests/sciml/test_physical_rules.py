"""Local rules: closed-form gradients, scale freedom, range, no label leak; ridge, its recursive form, counting of passes."""

import numpy as np
import pytest
import torch
from physical_box import Box, patterns

from sciml.physical import goodness
from sciml.physical.network import Greedy, PhysicalNetwork, accuracy, train
from sciml.physical.rules import CLOSED, PENALTIES, RULES, Recursive, Rule, ridge, ridge_by_fifths
from solvers.errors import SettingError, UnknownName

RNG = np.random.default_rng(29)
TORCH = {"absolute": torch.abs, "identity": lambda a: a, "gelu": torch.nn.functional.gelu}


def network(rule="heads", depth=2, seed=5, features=12, **settings):
    return PhysicalNetwork(lambda k, n: Box(n, seed=k), features, 3, Rule(rule), depth=depth, width=10, seed=seed, **settings)


def central(loss, a, step=1e-6):
    found = np.zeros_like(a)
    for at in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[at] += step
        down[at] -= step
        found[at] = (loss(up) - loss(down)) / (2 * step)
    return found


@pytest.mark.parametrize("function", ["absolute", "identity", "gelu"])
def test_gradients_against_central_differences_and_autograd(function):
    labels, xi, lead = np.array([0, 2, 1, 2]), RNG.standard_normal(6), RNG.standard_normal(4)
    a, wide = RNG.standard_normal((4, 2, 6)), RNG.standard_normal((4, 3, 6))

    def cosines(values):
        g = TORCH[function](values)
        return g @ torch.tensor(xi) / (g.norm(dim=-1) * float(np.linalg.norm(xi)))

    def both(numpy_loss, torch_loss, values):
        loss, delta = numpy_loss(values)
        tensor = torch.tensor(values, requires_grad=True)
        reference = torch_loss(tensor)
        reference.backward()
        assert loss == pytest.approx(reference.item(), rel=1e-7)
        np.testing.assert_allclose(delta, tensor.grad.numpy(), atol=1e-8)
        np.testing.assert_allclose(delta, central(lambda v: numpy_loss(v)[0], values), rtol=1e-6, atol=1e-8)

    softplus = torch.nn.functional.softplus
    both(
        lambda v: goodness.pair(v, xi, 4.0, function, lead),
        lambda t: softplus(-4.0 * (cosines(t[:, 0]) - cosines(t[:, 1]) + torch.tensor(lead))).mean(),
        a,
    )
    both(
        lambda v: goodness.contrast(v, labels, xi, 4.0, function),
        lambda t: torch.nn.functional.cross_entropy(4.0 * cosines(t), torch.tensor(labels)),
        wide,
    )


def test_gradient_of_heads():
    labels, context = np.array([0, 2, 1, 2]), RNG.standard_normal((4, 3))
    directions, a = goodness.orthonormal(3, 6, RNG), RNG.standard_normal((4, 6))
    loss, delta = goodness.heads(a, labels, directions, 7.0, context)
    tensor = torch.tensor(a, requires_grad=True)
    scores = 7.0 * tensor @ torch.tensor(directions).T / tensor.norm(dim=1, keepdim=True) + torch.tensor(context)
    reference = torch.nn.functional.cross_entropy(scores, torch.tensor(labels))
    reference.backward()
    assert loss == pytest.approx(reference.item(), rel=1e-7)
    np.testing.assert_allclose(delta, tensor.grad.numpy(), atol=1e-8)
    np.testing.assert_allclose(delta, central(lambda v: goodness.heads(v, labels, directions, 7.0, context)[0], a), atol=1e-8)


@pytest.mark.parametrize("rule", ["pair", "contrast", "heads", "boosted", "collaborate"])
def test_size_of_weights_is_free(rule):
    """<dW, W> + <db, b> = 0, and three times the weights give the same scores."""
    learning, u, labels = Rule(rule), RNG.standard_normal((6, 3, 9)), np.array([0, 1, 2, 0, 1, 2])
    w, b, directions = RNG.standard_normal((8, 9)), RNG.standard_normal(8), learning.directions(3, 8, RNG)
    chosen = learning.chosen(labels, 3, np.random.default_rng(1))
    rows = u[np.arange(6)[:, None], chosen]
    _, delta = learning.gradient(rows @ w.T + b, labels, chosen, directions, RNG.standard_normal((6, 3)))
    assert abs(np.einsum("skd,skq,dq->", delta, rows, w) + np.einsum("skd,d->", delta, b)) < 1e-8
    same = [learning.scores(f * (u @ w.T + b), directions) for f in (1.0, 3.0)]
    np.testing.assert_allclose(same[0], same[1], atol=1e-7)


def test_loss_starts_at_log_two_and_goodness_stays_in_its_range():
    x, labels = patterns(400)
    net = network("pair")
    greedy = Greedy(net, x, labels)
    loss = greedy.step(np.arange(400), 0.0, np.random.default_rng(2))
    assert loss == pytest.approx(np.log(2), abs=0.1)
    xi = net.stages[0].directions[0]
    high, low = np.linalg.norm(xi.clip(0)), np.linalg.norm(xi.clip(None, 0))
    assert high == pytest.approx(low)  # balanced by construction
    g = goodness.cosine(RNG.standard_normal((5000, 10)) ** 3, xi)
    assert -low <= g.min() < -0.3
    assert 0.3 < g.max() <= high
    assert goodness.cosine(xi.clip(0), xi) == pytest.approx(high, rel=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_and_counts_its_passes(rule):
    """L N passes without labels in the data, L N C with; C L or L for an answer; none for epochs."""
    x, labels = patterns()
    net = network(rule)
    losses = train(net, x, labels, epochs=25, batch=50, rate=1e-2)
    embeds = 3 if net.rule.embeds else 1
    assert net.passes == 2 * 150 * embeds
    held, truth = patterns(90, seed=8)
    assert accuracy(net.scores(held), truth) > 0.9
    assert net.passes == 2 * 150 * embeds + 2 * 90 * embeds
    if rule not in CLOSED:
        means = np.convolve(losses[:25], np.ones(10) / 10, "valid")
        assert np.all(np.diff(means) < 0)


def test_scores_do_not_depend_on_company_or_order():
    x, labels = patterns()
    net = network("contrast")
    train(net, x, labels, epochs=2)
    whole = net.scores(x[:20])
    np.testing.assert_allclose(net.scores(x[7:8]), whole[7:8], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.scores(x[:20][::-1])[::-1], whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["pair", "heads", "ridge"])
def test_labels_without_a_pattern_teach_nothing(rule):
    rng = np.random.default_rng(6)
    x, labels, held, truth = (*_noise(rng, 300), *_noise(rng, 900))
    net = network(rule)
    train(net, x, labels, epochs=60, batch=50, rate=1e-2)
    assert accuracy(net.scores(x), labels) > 0.45  # it has learned something: by heart
    assert abs(accuracy(net.scores(held), truth) - 1 / 3) < 3 * np.sqrt(2 / 9 / 900)


def _noise(rng, n):
    return rng.standard_normal((n, 12)).astype(np.float32), rng.integers(0, 3, n)


def test_later_layers_leave_an_earlier_one_alone():
    x, labels = patterns()
    results = []
    for depth, other in ((1, 0), (2, 0), (2, 50)):
        net = PhysicalNetwork(
            lambda k, n, other=other: Box(n, seed=k + other * (k > 0)), 12, 3, Rule("boosted"), depth=depth, width=10
        )
        train(net, x, labels, epochs=5)
        results.append(net.stages[0].weights)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[1], results[2])


def test_recursive_ridge_is_ridge_and_forgets():
    u, t = RNG.standard_normal((80, 6)), RNG.standard_normal((80, 2))
    online = Recursive(6, 2, forget=1.0, penalty=0.5)
    online.update(u, t)
    a = np.column_stack([u, np.ones(80)])
    exact = np.linalg.solve(a.T @ a + 0.5 * np.eye(7), a.T @ t)
    np.testing.assert_allclose(online.answer(u), a @ exact, atol=1e-9)
    forgetful = Recursive(6, 2, forget=0.9, penalty=0.5)
    weights = 0.9 ** np.arange(79, -1, -1)
    forgetful.update(u, t)
    exact = np.linalg.solve((a.T * weights) @ a + 0.5 * 0.9**80 * np.eye(7), (a.T * weights) @ t)
    np.testing.assert_allclose(forgetful.answer(u), a @ exact, atol=1e-8)
    with pytest.raises(SettingError, match="forget"):
        Recursive(3, 2, forget=0.0)


def test_ridge_against_least_squares():
    u, t = RNG.standard_normal((60, 5)), RNG.standard_normal((60, 2))
    w, b = ridge(u, t, 1e-12)
    exact = np.linalg.lstsq(np.column_stack([u, np.ones(60)]), t, rcond=None)[0]
    np.testing.assert_allclose(np.column_stack([w, b]), exact.T, atol=1e-8)


@pytest.mark.parametrize("noise", [0.03, 3.0])
def test_the_penalty_is_the_best_one_for_each_fifth_sample(noise):
    """Against rows of penalties below the centred readings, where sums of squares are never formed."""
    u = RNG.standard_normal((70, 40))
    t = u[:, :2] + noise * RNG.standard_normal((70, 2))
    held = np.arange(70) % 5 == 0

    def fitted(rows, penalty):
        mean, middle = u[rows].mean(0), t[rows].mean(0)
        centred = u[rows] - mean
        below = np.sqrt(penalty * np.mean(np.sum(centred**2, axis=0))) * np.eye(40)
        w = np.linalg.lstsq(np.concatenate([centred, below]), np.concatenate([t[rows] - middle, np.zeros((40, 2))]))[0].T
        return w, middle - w @ mean

    def error(penalty):
        w, b = fitted(~held, penalty)
        return np.mean((u[held] @ w.T + b - t[held]) ** 2)

    best = min(PENALTIES, key=error)
    assert (best == PENALTIES[-1]) == (noise > 1)
    for found, exact in zip(ridge_by_fifths(u, t), fitted(np.full(70, True), best), strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-8)


def test_bad_rules():
    with pytest.raises(UnknownName, match="heads"):
        Rule("head")
    with pytest.raises(UnknownName, match="gelu"):
        Rule(function="relu")
    with pytest.raises(SettingError, match="positive"):
        Rule(tau=0.0)
