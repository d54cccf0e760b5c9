"""Without labels: real samples against hybrids of two, by the same local loss; then one linear read-out.

    hybrid = mask a + (1 - mask) b        mask: smooth random, so that short-range statistics stay and long-range shape is lost

Hinton, The Forward-Forward Algorithm (arXiv 2212.13345), section 3.2. Activations of all layers, each of unit length, go to a
ridge read-out, the only part that sees labels.
"""

from collections.abc import Callable

import numpy as np

from sciml.physical import goodness
from sciml.physical.layer import PhysicalLayer
from sciml.physical.network import PhysicalNetwork, cooled
from sciml.physical.rules import Adam, Rule, ridge
from sciml.randomness import Purpose, generator
from solvers.errors import DataError

BLURS = 6


def hybrids(x: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Negative samples (sample, feature): each mixed with another one by a smooth random mask on a grid of that shape."""
    if int(np.prod(shape)) != x.shape[1] or len(x) < 2:
        raise DataError(
            given=f"{len(x)} samples of {x.shape[1]} features as {shape}",
            needed="two samples, a shape of as many",
            remedy="Mend.",
        )
    mask = rng.random((len(x), *shape))
    for _ in range(BLURS):
        for axis in range(1, mask.ndim):
            padded = np.concatenate([mask.take([0], axis), mask, mask.take([-1], axis)], axis)
            n = mask.shape[axis]
            low, mid, high = (padded.take(range(k, k + n), axis) for k in range(3))
            mask = 0.25 * low + 0.5 * mid + 0.25 * high
    chosen = (mask > 0.5).reshape(len(x), -1)
    other = x[(np.arange(len(x)) + rng.integers(1, len(x), len(x))) % len(x)]
    return np.where(chosen, x, other).astype(np.float32)


class Unsupervised:
    """Physical layers trained on real against hybrid samples, and a read-out.

    Parameters
    ----------
    make : (k, n_in) -> physical layer.   shape : of a sample, for smooth masks.   depth, width, theta : of the network.
    """

    def __init__(self, make: Callable[[int, int], PhysicalLayer], shape: tuple[int, ...], classes: int, *, depth: int = 2,
                 width: int = 64, theta: float = 4.0, seed: int = 0):  # fmt: skip
        self.shape, self.classes, self.theta, self.seed = shape, classes, theta, seed
        features = int(np.prod(shape))
        self.network = PhysicalNetwork(make, features, classes, Rule("heads"), depth=depth, width=width, seed=seed)
        self.directions = [goodness.balanced(width, generator(seed, Purpose.WEIGHTS, 50, k)) for k in range(depth)]
        self.readout: tuple[np.ndarray, np.ndarray] | None = None

    def train(
        self, x: np.ndarray, labels: np.ndarray, *, epochs: int = 30, batch: int = 256, rate: float = 3e-3
    ) -> list[float]:
        """Layers without labels, greedily, on one draw of hybrids (2 N passes a layer); read-out with. Returns losses."""
        network, losses = self.network, []
        streams = [np.asarray(x, np.float32), hybrids(x, self.shape, generator(self.seed, Purpose.STEP, 51))]
        starts, outputs, kept = [s[:, None] for s in streams], [None, None], []
        for k, stage in enumerate(network.stages):
            drives = [network.drive(start, h) for start, h in zip(starts, outputs, strict=True)]
            raw = [network.measured(k, s) for s in drives]
            network.standardise(k, raw[0])
            u = np.concatenate([network.readings(k, y, s) for y, s in zip(raw, drives, strict=True)], axis=1)
            adam = Adam(stage.weights.shape)
            for epoch in range(epochs):
                order = generator(self.seed, Purpose.ORDER, 52, k, epoch).permutation(len(x))
                total = 0.0
                for i in range(0, len(order), batch):
                    rows = u[order[i : i + batch]]
                    loss, delta = goodness.pair(rows @ stage.weights.T + stage.bias, self.directions[k], self.theta)
                    flat = delta.reshape(-1, delta.shape[-1]).astype(np.float32)
                    gradients = [flat.T @ rows.reshape(len(flat), -1), flat.sum(0)]
                    adam.step([stage.weights, stage.bias], gradients, rate * cooled(epoch / epochs))
                    total += loss * len(rows)
                losses.append(total / len(x))
            both = network.activations(k, u)
            outputs = [both[:, :1], both[:, 1:]]
            kept.append(_unit(both[:, 0]))
        network.trained = len(network.stages)
        self.readout = ridge(np.concatenate(kept, 1), np.eye(self.classes, dtype=np.float32)[labels], 1e-3)
        return losses

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(sample, class), one pass a layer."""
        if self.readout is None:
            raise DataError(given="an untrained network", needed="train(x, labels) first", remedy="Call it.")
        network, h, kept = self.network, None, []
        start = network.start(np.asarray(x, np.float32))
        for k in range(len(network.stages)):
            s = network.drive(start, h)
            h = network.activations(k, network.readings(k, network.measured(k, s), s))
            kept.append(_unit(h[:, 0]))
        w, b = self.readout
        return np.concatenate(kept, 1) @ w.T + b


def _unit(a: np.ndarray) -> np.ndarray:
    return a / (np.linalg.norm(a, axis=1, keepdims=True) + goodness.TINY)
