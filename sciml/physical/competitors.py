"""What local learning is compared with: the same physics, the same trained numbers, a gradient from the end to the beginning.

    ideal      forward p, backward by the exact model of p
    pat        forward p, backward by a wrong model: physics-aware training (Wright et al., Nature 601, 2022)
    in-silico  forward and backward by the wrong model; p is met at the test
    dfa        forward p, errors sent to each layer by fixed random matrices: direct feedback alignment (Noekland 2016)

The loss is the cross-entropy of the summed scores of all layers (of the last one, for dfa). Nothing before the first physical
layer is trained, so that its readings are measured once; those of the others whenever weights have changed. Detectors are
standardised by running statistics.
"""

from collections.abc import Sequence

import numpy as np

from sciml.physical import goodness
from sciml.physical.field import FieldLayer, Model
from sciml.physical.layer import PhysicalLayer
from sciml.physical.network import CLIP, PhysicalNetwork, cooled
from sciml.physical.rules import Adam, ridge
from sciml.randomness import Purpose, generator
from solvers.errors import SettingError

MODES = ("ideal", "pat", "in-silico", "dfa")
RUNNING = 0.05  # weight of a batch in the running statistics of detectors


class GlobalTraining:
    """Trains a network of label-free heads as a whole.

    Parameters
    ----------
    network : with rule "heads".   mode : of `MODES`.   models : one for each layer; None for dfa.
    x, labels : training data, (sample, feature) and (sample,).
    """

    def __init__(self, network: PhysicalNetwork, x: np.ndarray, labels: np.ndarray, mode: str,
                 models: Sequence[Model] | None = None, seed: int = 0):  # fmt: skip
        if mode not in MODES or network.rule.embeds or (models is None) != (mode == "dfa"):
            raise SettingError(
                given=f"mode {mode!r}, rule {network.rule.name!r}, {'no' if models is None else len(models)} models",
                needed=f"one of {MODES}, a rule without embedded labels, a model for each layer unless the mode is 'dfa'",
                remedy="Change them.",
            )
        self.network, self.mode, self.models, self.seed = network, mode, models, seed
        self.x, self.labels = np.asarray(x, np.float32), np.asarray(labels, np.intp)
        self.adams = [Adam(stage.weights.shape) for stage in network.stages]
        rng = generator(seed, Purpose.WEIGHTS, 99)
        self.feedback = [rng.standard_normal((network.classes, s.weights.shape[0])).astype(np.float32) for s in network.stages]
        self.first = self._physics(0, self.x, 0)
        network.standardise(0, self.first)
        network.trained = len(network.layers)
        h = network.activations(0, network.readings(0, self.first, self.x))
        for k in range(1, len(network.layers)):  # statistics at the start, from one batch
            s = network.drive(self.x[:256], h[:256])
            y = self._physics(k, s, -k)
            network.standardise(k, y)
            h = network.activations(k, network.readings(k, y, s))

    def _physics(self, k: int, s: np.ndarray, visit: int) -> np.ndarray:
        if self.mode == "in-silico":
            return self.models[k].forward(s)  # type: ignore[index]
        return self.network.layers[k].measure(s, generator(self.seed, Purpose.AUGMENT, k, abs(visit)))

    def step(self, rows: np.ndarray, rate: float, visit: int) -> float:
        """One update of all layers; returns the loss."""
        network, x, labels = self.network, self.x[rows], self.labels[rows]
        drives, readings, outputs, h = [], [], [], None
        for k, stage in enumerate(network.stages):
            s = network.drive(x, h)
            y = self.first[rows] if k == 0 else self._physics(k, s, visit)
            if k:
                stage.mean += RUNNING * (y.mean(0) - stage.mean)
                stage.std += RUNNING * (np.maximum(y.std(0), 1e-4 * y.std(0).max()) - stage.std)
            u = network.readings(k, y, s)
            if network.rule.jitter:
                noise = generator(self.seed, Purpose.STEP, k, visit).standard_normal(u.shape, np.float32)
                u = u + np.float32(network.rule.jitter) * noise
            h = network.activations(k, u)
            for kept, new in zip((drives, readings, outputs), (s, u, h), strict=True):
                kept.append(new)
        loss, deltas = self._deltas(drives, readings, outputs, labels)
        for stage, adam, delta, u in zip(network.stages, self.adams, deltas, readings, strict=True):
            adam.step([stage.weights, stage.bias], [delta.T @ u, delta.sum(0)], rate)
        return loss

    def _deltas(self, drives, readings, outputs, labels) -> tuple[float, list[np.ndarray]]:
        network, tau = self.network, self.network.rule.tau
        scores = [network.rule.scores(a[:, None], s.directions) for a, s in zip(outputs, network.stages, strict=True)]
        total = scores[-1] if self.mode == "dfa" else np.sum(scores, axis=0)
        loss, deltas = 0.0, []
        for k, (a, stage) in enumerate(zip(outputs, network.stages, strict=True)):
            loss, delta = goodness.heads(a, labels, stage.directions, tau, total - scores[k])
            deltas.append(delta.astype(np.float32))
        if self.mode == "dfa":
            shifted = np.exp(total - total.max(1, keepdims=True))
            error = shifted / shifted.sum(1, keepdims=True) - np.eye(network.classes, dtype=np.float32)[labels]
            for k in range(len(outputs) - 1):
                # Bounded slope of tanh on normalised activations: any fixed function will do.
                unit = outputs[k] / np.sqrt(np.mean(outputs[k] ** 2, axis=1, keepdims=True) + 1e-9)
                deltas[k] = (error @ self.feedback[k] / len(labels)) * (1 - np.tanh(unit) ** 2)
            return loss, deltas
        for k in range(len(outputs) - 1, 0, -1):
            deltas[k - 1] = deltas[k - 1] + self._behind(k, drives[k], readings[k], outputs[k - 1], deltas[k])
        return loss, deltas

    def _behind(self, k: int, s: np.ndarray, u: np.ndarray, a: np.ndarray, delta: np.ndarray) -> np.ndarray:
        """Gradient with respect to the activations a before layer k, by the model's vector-Jacobian product."""
        network, stage, n = self.network, self.network.stages[k], self.network.layers[k].n_out
        back = delta @ stage.weights
        through = back[:, :n] * (np.abs(u[:, :n]) < CLIP) / stage.std
        towards = self.models[k].vjp(s, through)  # type: ignore[index]
        if network.skip:
            towards = towards + back[:, n:]
        g = towards[:, : a.shape[1]]
        size = np.sqrt(np.mean(a**2, axis=1, keepdims=True) + 1e-9)
        unit = a / size
        return (g - unit * np.mean(g * unit, axis=1, keepdims=True)) / size

    def train(self, epochs: int = 30, batch: int = 256, rate: float = 3e-3) -> list[float]:
        """Mean loss of each epoch."""
        losses = []
        for epoch in range(epochs):
            order, parts = generator(self.seed, Purpose.ORDER, 9, epoch).permutation(len(self.labels)), []
            for i in range(0, len(order), batch):
                share = (epoch + i / len(order)) / epochs
                parts.append(self.step(order[i : i + batch], rate * cooled(share), 1 + epoch * 100_000 + i))
            losses.append(float(np.mean(parts)))
        return losses

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Of the physical network, whatever it was trained with."""
        found = self.network.answers(np.asarray(x, np.float32))
        return found[-1] if self.mode == "dfa" else np.sum(found, axis=0)


def alignment(layer: FieldLayer, model: Model, samples: int = 32, seed: int = 3) -> float:
    """Mean cosine between gradients by the model and by central differences of the layer (unmeasured: its own `respond`)."""
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((samples, layer.n_in)).astype(np.float32)
    c = rng.standard_normal((samples, layer.n_out)).astype(np.float32)
    found, step = model.vjp(s, c), 0.02
    exact = np.zeros_like(s)
    for i in range(layer.n_in):
        nudge = step * (np.arange(layer.n_in) == i).astype(np.float32)
        ends = [_unpadded(layer, s + sign * nudge) for sign in (1, -1)]
        exact[:, i] = np.sum((ends[0] - ends[1]) * c, axis=1) / (2 * step)
    return float(np.mean(np.sum(found * exact, 1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1) + 1e-30)))


def _unpadded(layer: PhysicalLayer, s: np.ndarray) -> np.ndarray:
    return layer._all(s)


class Linearised(PhysicalLayer):
    """The best affine map of a layer's readings, from random drives: linear physics with the same number of detectors.

    samples : measured for the fit (they count as passes of the original).
    """

    def __init__(self, layer: PhysicalLayer, samples: int = 2000, seed: int = 3):
        super().__init__(layer.n_in, layer.n_out)
        s = np.random.default_rng(seed).standard_normal((samples, layer.n_in)).astype(np.float32)
        w, b = ridge(s, layer.measure(s, np.random.default_rng(seed)), 1e-6)
        self.weights, self.offset = w.astype(np.float32), b.astype(np.float32)

    def respond(self, s: np.ndarray) -> np.ndarray:
        return s @ self.weights.T + self.offset


class Absent(PhysicalLayer):
    """No physics: drives are repeated to as many readings as the layer had detectors (same trained numbers), or zeros.

    zeros : readings are 0; only the skip path is left.
    """

    def __init__(self, n_in: int, n_out: int, zeros: bool = False):
        super().__init__(n_in, n_out)
        self.zeros = zeros

    def respond(self, s: np.ndarray) -> np.ndarray:
        if self.zeros:
            return np.zeros((len(s), self.n_out), np.float32)
        return np.tile(s, (1, -(-self.n_out // self.n_in)))[:, : self.n_out]


class RandomFeatures(PhysicalLayer):
    """Digital random features max(0, w s + b), as many as there were detectors: what a computer would do instead of physics."""

    def __init__(self, n_in: int, n_out: int, seed: int = 3):
        super().__init__(n_in, n_out)
        rng = np.random.default_rng(seed)
        self.weights = (rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)).astype(np.float32)
        self.offset = (0.5 * rng.standard_normal(n_out)).astype(np.float32)

    def respond(self, s: np.ndarray) -> np.ndarray:
        return np.maximum(s @ self.weights.T + self.offset, 0)
