"""Physical layers in a row, a digital linear layer behind each, and the greedy schedule that trains them.

    s_1 = x,   s_k = [h_{k-1} / rms; x]      drives: what the last layer passed on and, if `inject`, the data again
    y_k = P_k(s_k)                           measured
    u_k = [clip((y_k - mean) / std); s_k]    every detector standardised; the drive besides, if `skip`
    h_k = a_k = W_k u_k + b_k                the only trained numbers; no gradient crosses P_k

Losses are local, so layer k is trained to the end on measurements that are made once, before k + 1 is looked at: L N passes in
all, L N C with labels in the data, whatever the number of epochs. They are made anew when a layer says that it has drifted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.physical.layer import PhysicalLayer
from sciml.physical.rules import Adam, Rule
from sciml.randomness import Purpose, generator
from solvers.errors import DataError, unknown_name

CLIP = 5.0  # of standardised readings
AMPLITUDE = 3.0  # of an embedded label, in standard deviations of the data
SCALINGS = ("feature", "whole")


@dataclass
class Stage:
    """The digital part behind a physical layer. weights (width, q), bias (width,), directions fixed, mean and std (n_out,)."""

    weights: np.ndarray
    bias: np.ndarray
    directions: np.ndarray
    mean: np.ndarray
    std: np.ndarray


class PhysicalNetwork:
    """Layers, stages and how data pass them.

    Parameters
    ----------
    make : (k, n_in) -> the k-th physical layer for that many drives.
    features, classes : of the data.   depth, width : number of layers, outputs of each linear layer.
    rule : how they learn; says whether labels are written into the data.
    skip, inject : see the module.   seed : of weights and directions.
    """

    def __init__(self, make: Callable[[int, int], PhysicalLayer], features: int, classes: int, rule: Rule, *, depth: int = 2,
                 width: int = 64, skip: bool = False, inject: bool = True, seed: int = 0):  # fmt: skip
        self.features, self.classes, self.rule, self.skip, self.inject, self.width = (
            features,
            classes,
            rule,
            skip,
            inject,
            width,
        )
        self.seed, self.trained = seed, 0
        own = features + classes * rule.embeds
        self.layers = [make(k, own if k == 0 else width + own * inject) for k in range(depth)]
        self.stages = []
        for k, layer in enumerate(self.layers):
            rng, q = generator(seed, Purpose.WEIGHTS, k), layer.n_out + layer.n_in * skip
            if rule.name == "elm":
                q = sum(other.n_out + other.n_in * skip for other in self.layers) if k == depth - 1 else q
            width_k = classes if rule.name == "elm" and k == depth - 1 else width
            weights = (rng.standard_normal((width_k, q)) / np.sqrt(q)).astype(np.float32)
            self.stages.append(
                Stage(
                    weights, np.zeros(width_k, np.float32), rule.directions(classes, width_k, rng).astype(np.float32),
                    np.zeros(layer.n_out, np.float32), np.ones(layer.n_out, np.float32),
                )
            )  # fmt: skip

    # -- passing data ------------------------------------------------------------------------------------------------------

    @property
    def passes(self) -> int:
        """Samples measured so far, over all layers."""
        return sum(layer.passes for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        chosen = self.stages[-1:] if self.rule.name == "elm" else self.stages
        return sum(s.weights.size + s.bias.size for s in chosen)

    def macs(self) -> int:
        """Digital multiplications of the linear layers for one answer."""
        return sum(s.weights.size for s in self.stages) * (self.classes if self.rule.embeds else 1)

    def start(self, x: np.ndarray) -> np.ndarray:
        """Data (sample, feature) as drives of the first layer, (sample, label, drive): every label embedded, or none."""
        x = np.asarray(x, np.float32)
        if not self.rule.embeds:
            return x[:, None]
        slots = np.broadcast_to(AMPLITUDE * np.eye(self.classes, dtype=np.float32), (len(x), self.classes, self.classes))
        return np.concatenate([slots, np.broadcast_to(x[:, None], (len(x), self.classes, x.shape[1]))], axis=2)

    def drive(self, start: np.ndarray, h: np.ndarray | None) -> np.ndarray:
        """Drives of the next layer, (sample, label, drive), from the data's and the last layer's output."""
        if h is None:
            return start
        unit = h / np.sqrt(np.mean(h**2, axis=-1, keepdims=True) + 1e-9)
        return np.concatenate([unit, start], axis=-1) if self.inject else unit

    def measured(self, k: int, s: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Raw readings of layer k for drives (sample, label, drive)."""
        return self.layers[k].measure(s.reshape(-1, s.shape[-1]), rng).reshape(*s.shape[:-1], -1)

    def standardise(self, k: int, y: np.ndarray) -> None:
        """Fit mean and scale of the detectors of layer k to training readings."""
        flat, stage = y.reshape(-1, y.shape[-1]), self.stages[k]
        stage.mean, spread = flat.mean(0), flat.std(0)
        # A detector that says nothing keeps the scale of the others, or its rounding errors would be blown up to signals.
        stage.std = np.where(spread > 1e-4 * max(float(spread.max()), 1e-12), spread, max(float(spread.max()), 1e-12))

    def readings(self, k: int, y: np.ndarray, s: np.ndarray) -> np.ndarray:
        """u (sample, label, q) from raw readings and drives."""
        stage = self.stages[k]
        u = np.clip((y - stage.mean) / stage.std, -CLIP, CLIP)
        return np.concatenate([u, s], axis=-1) if self.skip else u

    def activations(self, k: int, u: np.ndarray) -> np.ndarray:
        """a (sample, label, width)."""
        return u @ self.stages[k].weights.T + self.stages[k].bias

    def answers(self, x: np.ndarray, rng: np.random.Generator | None = None, upto: int | None = None) -> list[np.ndarray]:
        """Scores (sample, class) of each trained layer."""
        start, h, found, kept = self.start(x), None, [], []
        for k in range(self.trained if upto is None else upto):
            s = self.drive(start, h)
            u = self.readings(k, self.measured(k, s, rng), s)
            kept.append(u)
            if self.rule.name == "elm" and k == len(self.layers) - 1:
                u = np.concatenate(kept, axis=-1)
            h = self.activations(k, u)
            found.append(self.rule.scores(h, self.stages[k].directions))
        if self.rule.name == "elm":
            return found[-1:] if len(found) == len(self.layers) else []
        return found

    def scores(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Sum over layers, (sample, class)."""
        found = self.answers(x, rng)
        return np.sum(found, axis=0) if found else np.zeros((len(x), self.classes), np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that training changes, and what it drew."""
        arrays = {f"{k}.{name}": np.array(value) for k, s in enumerate(self.stages) for name, value in vars(s).items()}
        return arrays | {"trained": np.array(self.trained)}

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Inverse of `state`."""
        for k in range(len(self.stages)):
            self.stages[k] = Stage(**{name: np.array(arrays[f"{k}.{name}"]) for name in vars(self.stages[k])})
        self.trained = int(arrays["trained"])


class Greedy:
    """Trains a network layer by layer on measurements that are made once, and anew after a drift.

    Whenever training samples are measured, the detectors are standardised by them: that needs no labels.

    Attributes
    ----------
    layer : the one in training.   u : its readings, (sample, label, q).
    context : sums of the scores of the layers before, (sample, class).
    """

    def __init__(self, network: PhysicalNetwork, x: np.ndarray, labels: np.ndarray, seed: int = 0):
        if len(x) != len(labels) or len(x) == 0:
            raise DataError(given=f"{len(x)} samples, {len(labels)} labels", needed="as many, at least one", remedy="Mend.")
        self.network, self.labels, self.seed = network, np.asarray(labels, np.intp), seed
        self.start, self.layer, self.visits = network.start(x), 0, 0
        self.versions: list[int] | None = None
        self.u, self.h = np.zeros((0, 1, 1), np.float32), None
        self.gathered: list[np.ndarray] = []
        self.context = np.zeros((len(x), network.classes), np.float32)
        self.adam = Adam(network.stages[0].weights.shape)

    def measure(self) -> None:
        """Readings of the layer in training for all samples, unless those at hand are up to date."""
        now = [layer.version for layer in self.network.layers[: self.layer + 1]]
        if now == self.versions:
            return
        if self.versions is not None and now[:-1] != self.versions[: self.layer]:
            self.h, self.gathered, self.context = None, [], np.zeros_like(self.context)
            for k in range(self.layer):  # a layer before has drifted: what it passed on is out of date
                self._passed_on(k, self._readings(k))
        self.u = self._readings(self.layer)
        self.versions = now

    def _readings(self, k: int) -> np.ndarray:
        s = self.network.drive(self.start, self.h)
        self.visits += 1
        y = self.network.measured(k, s, generator(self.seed, Purpose.AUGMENT, k, self.visits))
        self.network.standardise(k, y)
        return self.network.readings(k, y, s)

    def _passed_on(self, k: int, u: np.ndarray) -> None:
        network = self.network
        self.gathered.append(u[:, 0]) if network.rule.name == "elm" else None
        self.h = network.activations(k, u)
        if network.rule.name != "elm":
            self.context = self.context + network.rule.scores(self.h, network.stages[k].directions)

    def invalidate(self) -> None:
        """Measure anew before the next step: noise per visit instead of one draw."""
        self.versions = [-1] * (self.layer + 1)

    def step(self, rows: np.ndarray, rate: float, rng: np.random.Generator) -> float:
        """One update of the layer in training from the samples `rows`; returns the loss."""
        self.measure()
        network, stage, labels = self.network, self.network.stages[self.layer], self.labels[rows]
        chosen = network.rule.chosen(labels, network.classes, rng)
        u = self.u[rows[:, None], chosen] if network.rule.embeds else self.u[rows]
        if network.rule.jitter:
            u = u + np.float32(network.rule.jitter) * rng.standard_normal(u.shape, np.float32)
        a = u @ stage.weights.T + stage.bias
        loss, delta = network.rule.gradient(a, labels, chosen, stage.directions, self.context[rows])
        flat = delta.reshape(-1, delta.shape[-1]).astype(np.float32)
        self.adam.step([stage.weights, stage.bias], [flat.T @ u.reshape(len(flat), -1), flat.sum(0)], rate)
        return loss

    def solve(self) -> float:
        """Closed form of the layer in training; returns the mean squared error."""
        self.measure()
        network, stage, u = self.network, self.network.stages[self.layer], self.u[:, 0]
        if network.rule.name == "elm":
            if self.layer < len(network.layers) - 1:
                return 0.0
            u = np.concatenate([*self.gathered, u], axis=-1)
        w, b = network.rule.solve(u, self.labels, stage.directions)
        stage.weights, stage.bias = w.astype(np.float32), b.astype(np.float32)
        return float(np.mean((u @ w.T + b - stage.directions[self.labels]) ** 2))

    def advance(self) -> bool:
        """The layer in training is done: freeze it and go to the next; False if there is none."""
        self.measure()
        self.network.trained = max(self.network.trained, self.layer + 1)
        if self.layer + 1 >= len(self.network.layers):
            return False
        self._passed_on(self.layer, self.u)
        self.layer += 1
        self.adam = Adam(self.network.stages[self.layer].weights.shape)
        return True


def train(network: PhysicalNetwork, x: np.ndarray, labels: np.ndarray, *, epochs: int = 60, batch: int = 256,
          rate: float = 3e-3, seed: int = 0, after: Callable[[Greedy, int], Any] | None = None) -> list[float]:  # fmt: skip
    """Greedy training outside of `fit`, for studies that look inside: `epochs` for each layer; returns the losses.

    after : called after each epoch with the schedule and the number of the epoch.
    """
    greedy, losses = Greedy(network, x, labels, seed), []
    while True:
        if network.rule.is_closed:
            losses.append(greedy.solve())
        else:
            for epoch in range(epochs):
                losses.append(_epoch(greedy, epoch, epochs, batch, rate, seed))
                if after is not None:
                    after(greedy, epoch)
        if not greedy.advance():
            return losses


def _epoch(greedy: Greedy, epoch: int, epochs: int, batch: int, rate: float, seed: int) -> float:
    order = generator(seed, Purpose.ORDER, greedy.layer, epoch).permutation(len(greedy.labels))
    total, parts = 0.0, range(0, len(order), batch)
    for i in parts:
        share = (epoch + i / len(order)) / epochs
        rng = generator(seed, Purpose.STEP, greedy.layer, epoch, i)
        total += greedy.step(order[i : i + batch], rate * cooled(share), rng)
    return total / len(parts)


def scales(spread: np.ndarray, scaling: str) -> np.ndarray:
    """What features of these standard deviations are divided by: each by its own ("feature"), or all by their root mean square.

    Features that hardly vary (a pixel at the border) are not blown up to those that do; data that do not vary are left alone.

    Raises
    ------
    UnknownName : a scaling that is not one of `SCALINGS`.
    """
    if scaling not in SCALINGS:
        raise unknown_name("scaling", scaling, SCALINGS)
    typical = float(np.sqrt(np.mean(spread**2)))
    return np.full_like(spread, typical or 1.0) if scaling == "whole" else np.maximum(spread, 0.5 * typical or 1.0)


def cooled(share: float) -> float:
    """Half a cosine from one to a hundredth."""
    return 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(max(share, 0.0), 1.0)))


def accuracy(scores: np.ndarray, labels: Sequence[int] | np.ndarray) -> float:
    """Share of samples whose highest score is the right class."""
    return float(np.mean(np.argmax(scores, axis=1) == np.asarray(labels)))
