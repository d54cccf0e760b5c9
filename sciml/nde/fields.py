"""Networks written once for torch and JAX arrays: weights by name, drawn by NumPy, the same for both.

`xp` is `torch` or `jax.numpy`; arrays are (item, feature).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]


def perceptron(rng: np.random.Generator, name: str, sizes: Sequence[int], last: float = 1.0) -> Weights:
    """Weights of layers of the given sizes, uniform in +-1/sqrt(inputs), those of the last layer times `last`."""
    found: Weights = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        scale = (last if i == len(sizes) - 2 else 1.0) / np.sqrt(inputs)
        found[f"{name}_w{i}"] = rng.uniform(-scale, scale, (inputs, outputs)).astype(np.float32)
        found[f"{name}_b{i}"] = rng.uniform(-scale, scale, outputs).astype(np.float32)
    return found


def run(p: Any, name: str, x: Any, xp: Any) -> Any:
    """The perceptron `name` of `p` on x (..., input), tanh between layers."""
    i = 0
    while f"{name}_w{i}" in p:
        x = x @ p[f"{name}_w{i}"] + p[f"{name}_b{i}"]
        i += 1
        if f"{name}_w{i}" in p:
            x = xp.tanh(x)
    return x


def with_time(t: Any, parts: Sequence[Any], xp: Any) -> Any:
    """[*parts, t] along the last axis; t is a number."""
    clock = xp.zeros_like(parts[0][..., :1]) + t
    return xp.concatenate([*parts, clock], -1)


def gru(rng: np.random.Generator, name: str, inputs: int, hidden: int) -> Weights:
    """Weights of a gated recurrent unit (Cho et al., Learning Phrase Representations, EMNLP 2014)."""
    gates = perceptron(rng, f"{name}_gates", (inputs + hidden, 2 * hidden))
    return gates | perceptron(rng, f"{name}_new", (inputs + hidden, hidden))


def gru_step(p: Any, name: str, h: Any, x: Any, xp: Any) -> Any:
    """Next hidden state (item, hidden) after x (item, input)."""
    gates = 0.5 * (1 + xp.tanh(0.5 * run(p, f"{name}_gates", xp.concatenate([x, h], -1), xp)))  # logistic function
    n = h.shape[-1]
    reset, update = gates[..., :n], gates[..., n:]
    new = xp.tanh(run(p, f"{name}_new", xp.concatenate([x, reset * h], -1), xp))
    return (1 - update) * h + update * new


def gru_backwards(p: Any, name: str, x: Any, valid: Any, hidden: int, xp: Any) -> Any:
    """Hidden state (item, hidden) after reading x (item, input, time) from its end; `valid` (item, 1, time) skips padding."""
    start = xp.stack([xp.zeros_like(x[:, 0, 0])] * hidden, -1)

    def step(h, row):
        now, counts = row
        return xp.where(counts > 0, gru_step(p, name, h, now, xp), h)

    series, counts = xp.moveaxis(x, 2, 0), xp.moveaxis(valid, 2, 0)
    if hasattr(x, "new_tensor"):  # torch, asked before JAX
        for k in range(len(series) - 1, -1, -1):
            start = step(start, (series[k], counts[k]))
        return start
    from solvers.precision import jax

    # A loop that is compiled once, rather than once for every time.
    return jax.lax.scan(lambda h, row: (step(h, row), None), start, (series, counts), reverse=True)[0]
