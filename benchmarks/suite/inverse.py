"""The track "inverse": a coefficient from one input and a noisy answer, through any contestant that takes the coefficient.

    theta* = argmin over theta of |G(a, theta) - y|^2,   y = u + noise

The search is the same for all and needs no derivative: 25 values over the training range, then golden sections, all samples at
once. Through the classical solver it is the usual fit by least squares. The trivial answer is the middle of the range.
"""

import numpy as np

from benchmarks.suite.tasks import SuiteTask
from pdes import Dataset
from sciml.operator import Operator
from sciml.tasks import task_of

NOISE = (0.0, 0.01, 0.05)
VALUES, SECTIONS, SAMPLES = 25, 12, 16
MARGIN = 0.1
GOLDEN = (np.sqrt(5) - 1) / 2


def takes(task: SuiteTask, operator: Operator) -> bool:
    """Whether there is one coefficient to find: a map with one varying parameter."""
    return task.track == "map" and len(operator.bound_signature.parameters) == 1


def recovered(operator: Operator, train: Dataset, test: Dataset, seed: int = 3) -> dict[str, np.ndarray]:
    """ "noise 0.01" -> |log(theta* / theta)|, (sample,); noise in units of the root mean square of the answer."""
    signature = operator.bound_signature
    name = signature.parameters[0]
    known = np.asarray(train.parameters[name][:], np.float64)
    low, high = np.log(known.min()), np.log(known.max())
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)  # few samples do not reach the ends of a law
    part = test[: min(SAMPLES, len(test))]
    batch = task_of(signature, part).all()
    true = np.log(np.asarray(part.parameters[name][:], np.float64))
    channel = signature.inputs.index(name)
    rng = np.random.default_rng(seed)
    found = {}
    for noise in NOISE:
        size = np.sqrt((batch.targets**2).mean(tuple(range(1, batch.targets.ndim)), keepdims=True))
        data = batch.targets + noise * size * rng.standard_normal(batch.targets.shape)
        found[f"noise {noise:g}"] = np.abs(_search(operator, batch.inputs, data, channel, low, high) - true)
    found["middle of the range"] = np.abs(0.5 * (low + high) - true)
    return found


def _search(operator: Operator, inputs: np.ndarray, data: np.ndarray, channel: int, low: float, high: float) -> np.ndarray:
    """log of the coefficient of least misfit, per sample."""
    with np.errstate(all="ignore"):

        def misfit(log: np.ndarray) -> np.ndarray:
            asked = inputs.copy()
            asked[:, channel] = np.exp(log).reshape(-1, *(1,) * (inputs.ndim - 2))
            off = np.asarray(operator.predict(asked), np.float64) - data
            return np.nan_to_num((off**2).reshape(len(off), -1).sum(1), nan=np.inf)

        grid = np.linspace(low, high, VALUES)
        table = np.stack([misfit(np.full(len(inputs), v)) for v in grid], 1)
        best, step = grid[table.argmin(1)], grid[1] - grid[0]
        a, b = np.maximum(best - step, low), np.minimum(best + step, high)
        c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        at_c, at_d = misfit(c), misfit(d)
        for _ in range(SECTIONS):
            left = at_c < at_d
            a, b = np.where(left, a, c), np.where(left, d, b)
            new = np.where(left, b - GOLDEN * (b - a), a + GOLDEN * (b - a))
            value = misfit(new)
            c, d, at_c, at_d = (
                np.where(left, new, d),
                np.where(left, c, new),
                np.where(left, value, at_d),
                np.where(left, at_c, value),
            )
        return 0.5 * (a + b)
