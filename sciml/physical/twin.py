"""A layer made of recorded pairs: a network fitted to drives and readings of a real device, or of another layer.

It is a twin, not the device: what it leaves unexplained on held-out pairs is its `residual`, to be taken as noise of the
detectors.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.physical.field import FieldLayer, Parameters
from solvers.errors import DataError
from solvers.precision import jax

import jax.numpy as jnp  # isort: skip
import optax  # isort: skip

HELD_OUT = 0.1


class Twin(FieldLayer):
    """Three-layer perceptron with SiLU units, fitted by Adam to standardised readings.

    Parameters
    ----------
    drives, readings : (pair, n_in), (pair, n_out).   hidden : units of each hidden layer.   epochs, batch, rate : of the fit.

    Attributes
    ----------
    residual : root mean square error on held-out pairs over the spread of the readings.
    """

    def __init__(self, drives: np.ndarray, readings: np.ndarray, *, hidden: int = 128, epochs: int = 100, batch: int = 128,
                 rate: float = 3e-3, seed: int = 5):  # fmt: skip
        s, y = np.asarray(drives, np.float32), np.asarray(readings, np.float32)
        if s.ndim != 2 or y.ndim != 2 or len(s) != len(y) or len(s) < 20 or not (np.isfinite(s).all() and np.isfinite(y).all()):
            raise DataError(
                given=f"drives {s.shape} and readings {y.shape}",
                needed="at least 20 finite pairs, (pair, n) each",
                remedy="Mend.",
            )
        super().__init__(s.shape[1], y.shape[1])
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(s))
        held, kept = order[: max(1, int(HELD_OUT * len(s)))], order[max(1, int(HELD_OUT * len(s))) :]
        mean, spread = y[kept].mean(0), y[kept].std(0)
        spread = np.where(spread > 0, spread, 1.0)
        sizes = (self.n_in, hidden, hidden, self.n_out)
        p: Parameters = {}
        for i, (n, m) in enumerate(itertools.pairwise(sizes)):
            p |= {f"w{i}": (rng.standard_normal((n, m)) / np.sqrt(n)).astype(np.float32), f"b{i}": np.zeros(m, np.float32)}
        target = (y - mean) / spread
        with jax.enable_x64(False):
            p = _fitted(p, s[kept], target[kept], rng, epochs, batch, rate)
        self.parameters = p | {"mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}
        error = self._all(s[held]) - y[held]
        self.residual = float(np.sqrt(np.mean((error / spread) ** 2)))

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        return parameters["mean"] + parameters["spread"] * _perceptron(parameters, s)

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        """Weights by this share: a device of the same kind."""
        return {
            name: (value * (1 + magnitude * (name[0] in "wb") * rng.standard_normal(value.shape))).astype(np.float32)
            for name, value in parameters.items()
        }


def _perceptron(p: Mapping[str, Any], s: Any) -> Any:
    for i in range(2):
        s = jax.nn.silu(s @ p[f"w{i}"] + p[f"b{i}"])
    return s @ p["w2"] + p["b2"]


def _fitted(p: Parameters, s: np.ndarray, target: np.ndarray, rng, epochs: int, batch: int, rate: float) -> Parameters:
    batch = min(batch, len(s))
    steps = len(s) // batch
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, epochs * steps))

    def loss(p, s, t):
        return jnp.mean((_perceptron(p, s) - t) ** 2)

    @jax.jit
    def epoch(p, state, order):
        def step(carry, rows):
            p, state = carry
            change, state = optimiser.update(jax.grad(loss)(p, s[rows], target[rows]), state, p)
            return (optax.apply_updates(p, change), state), None

        return jax.lax.scan(step, (p, state), order)[0]

    s, target = jnp.asarray(s), jnp.asarray(target)  # type: ignore[assignment]
    p = {name: jnp.asarray(value) for name, value in p.items()}  # type: ignore[misc]
    state = optimiser.init(p)
    for _ in range(epochs):
        p, state = epoch(p, state, rng.permutation(len(s))[: steps * batch].reshape(steps, batch))
    return {name: np.asarray(value) for name, value in p.items()}
