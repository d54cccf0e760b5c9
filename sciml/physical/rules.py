"""Rules by which the linear layer behind a physical one learns from its own readings, by name.

    pair         a right and a wrong label written into the data, cosine goodness                     (the published rule)
    contrast     all labels, softmax over their goodness
    collaborate  pair, told how far the layers before are already
    heads        no labels in the data: local cross-entropy on fixed directions, one pass a layer
    boosted      heads that fit what the layers before leave
    ridge        heads in closed form; `Recursive` is their on-line form with forgetting
    elm          ridge on all readings together, random layers between: a physical extreme learning machine

A rule sees readings u (sample, label, q), one label only if it does not embed any, and never the layer that they came from.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve

from sciml.physical import goodness
from solvers.errors import SettingError, unknown_name

RULES = ("pair", "contrast", "collaborate", "heads", "boosted", "ridge", "elm")
EMBEDDING = ("pair", "contrast", "collaborate")
CLOSED = ("ridge", "elm")


@dataclass(frozen=True)
class Rule:
    """A learning rule.

    Parameters
    ----------
    name : of `RULES`.   theta : scale of goodness differences.   tau : scale of the heads' cosines.
    function : what goodness is taken of: "absolute", "identity" or "gelu".   penalty : of ridge, relative to the mean square of
        the readings; None chooses it on a fifth of the training samples.
    jitter : standard deviation of noise added to standardised readings in descent, digitally: no passes are spent on it.
    """

    name: str = "heads"
    theta: float = 4.0
    tau: float = 10.0
    function: str = "absolute"
    penalty: float | None = None
    jitter: float = 0.0

    def __post_init__(self):
        if self.name not in RULES:
            raise unknown_name("rule", self.name, RULES)
        if self.function not in goodness.FUNCTIONS:
            raise unknown_name("function", self.function, goodness.FUNCTIONS)
        if not (self.theta > 0 and self.tau > 0 and (self.penalty is None or self.penalty > 0)):
            raise SettingError(
                given=f"theta={self.theta}, tau={self.tau}, penalty={self.penalty}", needed="positive", remedy="Change them."
            )

    @property
    def embeds(self) -> bool:
        """Whether labels are written into the data, so that an answer takes one pass for each class."""
        return self.name in EMBEDDING

    @property
    def is_closed(self) -> bool:
        """Solved at once, without descent."""
        return self.name in CLOSED

    def directions(self, classes: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """Fixed directions of a layer: (1, width) for goodness, (class, width) for heads."""
        if self.embeds:
            return goodness.balanced(width, rng)[None]
        return goodness.orthonormal(classes, width, rng)

    def chosen(self, labels: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
        """Which embedded labels a batch looks at, (sample, k): the right one and a random wrong one, or all."""
        if not self.embeds:
            return np.zeros((len(labels), 1), np.intp)
        if self.name == "contrast":
            return np.broadcast_to(np.arange(classes), (len(labels), classes))
        return np.stack([labels, (labels + rng.integers(1, classes, len(labels))) % classes], axis=1)

    def gradient(
        self, a: np.ndarray, labels: np.ndarray, chosen: np.ndarray, directions: np.ndarray, context: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Loss and its gradient for activations a (sample, k, width); context (sample, class): scores of the layers before."""
        if self.name == "contrast":
            return goodness.contrast(a, labels, directions[0], self.theta, self.function)
        if self.embeds:
            rows, lead = np.arange(len(a)), 0.0
            if self.name == "collaborate":
                lead = context[rows, chosen[:, 0]] - context[rows, chosen[:, 1]]
            return goodness.pair(a, directions[0], self.theta, self.function, lead)
        before = context if self.name == "boosted" else 0.0
        loss, delta = goodness.heads(a[:, 0], labels, directions, self.tau, before)
        return loss, delta[:, None]

    def scores(self, a: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """What a layer says for each class, (sample, class), from activations (sample, label, width)."""
        if self.embeds:
            return self.theta * goodness.cosine(a, directions[0], self.function)
        a = a[:, 0]
        if self.is_closed:
            return self.tau * (a @ directions.T)
        return self.tau * (a @ directions.T) / (np.linalg.norm(a, axis=1, keepdims=True) + goodness.TINY)

    def solve(self, u: np.ndarray, labels: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """W (width, q) and b (width,) by ridge regression of the classes' directions on readings (sample, q)."""
        targets = directions[labels]
        return ridge(u, targets, self.penalty) if self.penalty else ridge_by_fifths(u, targets)


PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Sums:
    """What ridge regression of targets t on readings u needs: number of samples, and sums of u, t, u u^T, u t^T."""

    count: int
    u: np.ndarray
    t: np.ndarray
    uu: np.ndarray
    ut: np.ndarray

    @classmethod
    def of(cls, u: np.ndarray, targets: np.ndarray) -> "Sums":
        """u (sample, q), targets (sample, width)."""
        t = targets.astype(u.dtype)
        gram, cross = (u.T @ u).astype(np.float64), (u.T @ t).astype(np.float64)
        return cls(len(u), u.sum(0, dtype=np.float64), targets.sum(0, dtype=np.float64), gram, cross)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def solve(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """W (width, q), b (width,)."""
        mean, middle = self.u / self.count, self.t / self.count
        gram, cross = self.uu - np.outer(mean, self.u), self.ut - np.outer(mean, self.t)
        gram[np.diag_indices(len(gram))] += penalty * max(np.trace(gram) / len(gram), 1e-12)
        # A detector without a signal, or more detectors than samples, can leave rounding errors below zero.
        w = solve(gram, cross, assume_a="sym", overwrite_a=True, overwrite_b=True, check_finite=False).T
        return w, middle - w @ mean


def ridge(u: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """W, b that minimise |W u + b - t|^2 + penalty mean(|u|^2) n |W|^2 / q."""
    return Sums.of(u, targets).solve(penalty)


def ridge_by_fifths(u: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with the one of `PENALTIES` that has the smallest squared error on each fifth sample."""
    held = np.arange(len(u)) % 5 == 0
    if (~held).sum() < 2:
        return ridge(u, targets, 1e-2)
    apart, kept = u[held], Sums.of(u[~held], targets[~held])

    def error(penalty: float) -> float:
        w, b = kept.solve(penalty)
        return float(np.mean((apart @ w.T.astype(u.dtype) + b - targets[held]) ** 2))

    return (kept + Sums.of(apart, targets[held])).solve(min(PENALTIES, key=error))


class Adam:
    """Adam (Kingma and Ba 2015) on W and b."""

    def __init__(self, shape: tuple[int, int], dtype=np.float32):
        self.moments = [[np.zeros(s, dtype), np.zeros(s, dtype)] for s in (shape, shape[:1])]
        self.count = 0

    def step(self, parameters: list[np.ndarray], gradients: list[np.ndarray], rate: float) -> None:
        """Changes the parameters in place."""
        self.count += 1
        for p, g, (m, v) in zip(parameters, gradients, self.moments, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * (m / (1 - 0.9**self.count)) / (np.sqrt(v / (1 - 0.999**self.count)) + 1e-8)

    def state(self) -> dict[str, np.ndarray]:
        """For a checkpoint."""
        names = ("wm", "wv", "bm", "bv")
        return dict(zip(names, [a for pair in self.moments for a in pair], strict=True)) | {"count": np.array(self.count)}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Inverse of `state`."""
        self.moments = [[arrays["wm"].copy(), arrays["wv"].copy()], [arrays["bm"].copy(), arrays["bv"].copy()]]
        self.count = int(arrays["count"])


class Recursive:
    """Recursive least squares with forgetting, in float64: the on-line form of ridge heads.

        k = P u / (forget + u^T P u),   W += (t - W u) k^T,   P = (P - k u^T P) / forget,   P_0 = 1 / penalty

    u is extended by a one for the bias. With forget = 1 it is ridge regression, sample by sample.
    """

    def __init__(self, q: int, width: int, forget: float = 0.999, penalty: float = 1.0):
        if not 0 < forget <= 1 or penalty <= 0:
            raise SettingError(
                given=f"forget={forget}, penalty={penalty}", needed="0 < forget <= 1, penalty > 0", remedy="Set it."
            )
        self.forget, self.penalty = forget, penalty
        self.weights, self.inverse = np.zeros((width, q + 1)), np.eye(q + 1) / penalty

    def update(self, u: np.ndarray, targets: np.ndarray) -> float:
        """Take in readings (sample, q) and targets (sample, width) in their order; returns the mean squared error before."""
        total = 0.0
        for row, target in zip(np.column_stack([u, np.ones(len(u))]), targets, strict=True):
            pu = self.inverse @ row
            gain = pu / (self.forget + row @ pu)
            error = target - self.weights @ row
            total += float(error @ error)
            self.weights += np.outer(error, gain)
            self.inverse = (self.inverse - np.outer(gain, pu)) / self.forget
            # Without news in a direction P grows as forget^-n; a bound keeps rounding from making it indefinite.
            if np.trace(self.inverse) > 1e6 * len(row) / self.penalty:
                self.inverse = np.eye(len(row)) / self.penalty
        return total / max(len(u), 1)

    def answer(self, u: np.ndarray) -> np.ndarray:
        """(sample, width)."""
        return np.column_stack([u, np.ones(len(u))]) @ self.weights.T
