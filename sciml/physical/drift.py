"""When the physics changes: protocols of drift, and how rules find back, counted in physical passes.

    D1  switch      parameters move by a share, once              D4  noise   detectors with a signal-to-noise ratio in dB
    D2  walk        a little after each epoch                     D5  dead    a share of the detectors reads zero
    D3  inference   as D1, but only met at the test               D6  gain    each detector by a factor exp(N(0, magnitude))

After an event a network is adapted with few samples, each measured once in every layer: accuracy against passes. Only labels
and measurements of the adapting samples are used; detectors are standardised anew by the same samples, without labels.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sciml.physical.competitors import GlobalTraining
from sciml.physical.field import Model
from sciml.physical.network import Greedy, PhysicalNetwork, accuracy, cooled
from sciml.physical.rules import Recursive
from sciml.randomness import Purpose, generator
from solvers.errors import SettingError, unknown_name

PROTOCOLS = {"switch": "physics", "walk": "physics", "inference": "physics", "noise": "noise", "dead": "dead", "gain": "gain"}


def strike(network: PhysicalNetwork, protocol: str, magnitude: float, seed: int = 0) -> None:
    """Let every layer drift by a protocol's event (one step of the walk)."""
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    for k, layer in enumerate(network.layers):
        layer.perturb(PROTOCOLS[protocol], magnitude, generator(seed, Purpose.AUGMENT, 77, k))


@dataclass(frozen=True)
class Recovery:
    """Accuracy after adapting with more and more passes.

    before, after : of the trained network before and right after the event, nothing adapted.
    passes, accuracies : of the adapted one.   target : share of `before` that counts as recovered.
    """

    before: float
    after: float
    passes: tuple[int, ...]
    accuracies: tuple[float, ...]
    target: float = 0.95

    @property
    def recovered(self) -> int | None:
        """Fewest passes from which on accuracy stays at the target; None if it never does."""
        good = np.asarray(self.accuracies) >= self.target * self.before
        lasting = [p for i, p in enumerate(self.passes) if good[i:].all()]
        return lasting[0] if lasting else None

    @property
    def lost(self) -> float:
        """Area between the accuracy before and that of the curve, over the logarithm of passes, relative to its width."""
        gap = self.before - np.asarray((self.after, *self.accuracies))
        at = np.log([self.passes[0] / 2, *self.passes])
        return float(np.trapezoid(gap, at) / (at[-1] - at[0]))


def adapted(network: PhysicalNetwork, x: np.ndarray, labels: np.ndarray, *, epochs: int = 40, rate: float = 1e-3,
            batch: int = 64, anchor: int = 0, seed: int = 0) -> PhysicalNetwork:  # fmt: skip
    """A copy of the network, its layers trained on from their weights by their own rule, on samples measured anew.

    anchor : of closed rules, samples that the old weights are worth: ridge towards them instead of towards zero.
    """
    own = _copy(network)
    greedy = Greedy(own, x, labels, seed)
    while True:
        if own.rule.is_closed:
            _towards(greedy, anchor)
        else:
            for epoch in range(epochs):
                order = generator(seed, Purpose.ORDER, greedy.layer, epoch).permutation(len(labels))
                for i in range(0, len(order), batch):
                    rng = generator(seed, Purpose.STEP, greedy.layer, epoch, i)
                    greedy.step(order[i : i + batch], rate * cooled(epoch / epochs), rng)
        if not greedy.advance():
            return own


def _towards(greedy: Greedy, anchor: int) -> None:
    """Ridge regression of what the old weights leave: W += argmin |dW u + db - (t - W u - b)|^2 + anchor mean(u^2) |dW|^2."""
    greedy.measure()
    network, stage = greedy.network, greedy.network.stages[greedy.layer]
    if network.rule.name == "elm":
        if greedy.layer < len(network.layers) - 1:
            return
        u = np.concatenate([*greedy.gathered, greedy.u[:, 0]], axis=-1)
    else:
        u = greedy.u[:, 0]
    a = np.column_stack([u, np.ones(len(u))]).astype(np.float64)
    rest = stage.directions[greedy.labels] - (u @ stage.weights.T + stage.bias)
    gram = a.T @ a + max(anchor, 1) * np.eye(a.shape[1])
    change = np.linalg.solve(gram, a.T @ rest).T
    stage.weights = (stage.weights + change[:, :-1]).astype(np.float32)
    stage.bias = (stage.bias + change[:, -1]).astype(np.float32)


def recursive(network: PhysicalNetwork, x: np.ndarray, labels: np.ndarray, *, forget: float = 0.999, rows: int = 400,
              old: tuple[np.ndarray, np.ndarray] | None = None) -> PhysicalNetwork:  # fmt: skip
    """A copy adapted on line by recursive ridge heads with forgetting: sample after sample, layer after layer.

    old : samples and labels of before, already measured then (no passes), that fill the memory first; at most `rows` of them.
    """
    if network.rule.name != "ridge":
        raise SettingError(given=f"rule {network.rule.name!r}", needed="'ridge'", remedy="Use `adapted`.")
    own = _copy(network)
    greedy = Greedy(own, x, labels)
    while True:
        greedy.measure()
        stage, u = own.stages[greedy.layer], greedy.u[:, 0]
        memory = Recursive(u.shape[1], stage.weights.shape[0], forget, penalty=0.1 * u.shape[1])
        memory.weights = np.column_stack([stage.weights, stage.bias]).astype(np.float64)
        memory.update(u, stage.directions[labels])
        stage.weights = memory.weights[:, :-1].astype(np.float32)
        stage.bias = memory.weights[:, -1].astype(np.float32)
        if not greedy.advance():
            return own


def adapted_globally(
    network: PhysicalNetwork,
    models: Sequence[Model] | None,
    mode: str,
    x: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int = 10,
    rate: float = 1e-3,
    batch: int = 64,
    seed: int = 0,
) -> tuple[PhysicalNetwork, int]:
    """A copy trained on as a whole, with models of before the event; and the passes that it took."""
    own = _copy(network)
    before = own.passes
    trainer = GlobalTraining(own, x, labels, mode, models, seed)
    trainer.train(epochs, batch, rate)
    return own, own.passes - before


def recovery(network: PhysicalNetwork, protocol: str, magnitude: float, data, sizes: Sequence[int], adapt, *,
             seed: int = 0, pick=None) -> Recovery:  # fmt: skip
    """Strike the network (it stays struck), then adapt copies with more and more training samples.

    data : x, labels, x_test, labels_test.   adapt : (network, x, labels) -> the adapted network and the passes it took.
    pick : scores of the layers to the answer; their sum by default.
    """
    x, labels, x_test, truth = data
    pick = pick or (lambda answers: np.sum(answers, axis=0))
    seen = lambda net: accuracy(pick(net.answers(x_test, generator(seed, Purpose.AUGMENT, 5))), truth)  # noqa: E731
    before = seen(network)
    strike(network, protocol, magnitude, seed)
    after = seen(network)
    order = generator(seed, Purpose.ORDER, 55).permutation(len(x))
    passes, found = [], []
    for size in sizes:
        own, spent = adapt(network, x[order[:size]], labels[order[:size]])
        passes.append(int(spent))
        found.append(seen(own))
    return Recovery(before, after, tuple(passes), tuple(found))


def _copy(network: PhysicalNetwork) -> PhysicalNetwork:
    """The same physical layers, stages of its own."""
    own = copy.copy(network)
    own.stages = copy.deepcopy(network.stages)
    return own
