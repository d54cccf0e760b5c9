"""Errors of predictions, one number per item, in float64, independent of batch, order and resolution.

Definitions follow `u` the truth, `v` the prediction, e = v - u, <.> the mean over points, ||.||^2 = <(.)^2> summed over
channels. Arrays are (item, channel, *space). How published suites define theirs, and where those definitions mislead, is in
`sciml.metrics.compat`; measures of roll-outs are in `sciml.metrics.rollout`.
"""

from collections.abc import Callable

import numpy as np

from sciml.losses import brier_each, cross_entropy_each, relative_l2_each
from sciml.metrics import spectral
from sciml.tasks import FIELD_METRICS
from solvers.errors import DataError, unknown_name
from solvers.grid import Grid

Metric = Callable[[np.ndarray, np.ndarray, Grid], np.ndarray]
TINY = np.finfo(np.float64).tiny


def relative_l2(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """||e|| / ||u||, over all channels and points."""
    return relative_l2_each(prediction, truth, grid)


def relative_h1(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """((||e||^2 + ||grad e||^2) / (||u||^2 + ||grad u||^2))^(1/2); gradients spectral where periodic, else 4th order."""
    grid = grid.with_shape(truth.shape[2:])
    up, down = (_squared(w) + spectral.gradient_energy(w, grid) for w in (prediction - truth, truth))
    return np.sqrt(up / np.maximum(down, TINY))


def rmse(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """<e^2>^(1/2) over channels and points, in the unit of the field."""
    return np.sqrt(_mean((prediction - truth) ** 2))


def nrmse(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """<e^2>^(1/2) / <u^2>^(1/2) of each channel, averaged: no channel hides behind a larger one."""
    space = tuple(range(2, truth.ndim))
    error, size = ((w**2).mean(space) for w in (prediction - truth, truth))
    return np.sqrt(error / np.maximum(size, TINY)).mean(1)


def vrmse(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """(<e^2> / (<(u - <u>)^2> + 1e-7))^(1/2) of each channel, averaged: predicting the spatial mean gives 1 (The Well)."""
    space = tuple(range(2, truth.ndim))
    error = ((prediction - truth) ** 2).mean(space)
    return np.sqrt(error / (truth.var(space) + 1e-7)).mean(1)


def max_error(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """max |e| / <u^2>^(1/2)."""
    flat = np.abs(prediction - truth).reshape(len(truth), -1).max(1)
    return flat / np.maximum(np.sqrt(_mean(truth**2)), TINY)


def boundary(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """Relative L2 over the points next to (or on) the walls, each once; NaN where there are no walls."""
    edge = np.zeros(truth.shape[2:], bool)
    for k, axis in enumerate(grid.axes):
        if axis.kind != "periodic":
            for end in (0, -1):
                edge[(slice(None),) * k + (end,)] = True
    if not edge.any():
        return np.full(len(truth), np.nan)
    error, size = (_mean(w[:, :, edge] ** 2) for w in (prediction - truth, truth))
    # A field that vanishes on the wall is compared with its size inside: 0 / 0 says nothing.
    return np.sqrt(error / np.maximum(size, 1e-12 * _mean(truth**2) + TINY))


def conservation(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """|<v> - <u>| / <u^2>^(1/2), averaged over channels: the error of the spatial means, which no batch can average away."""
    space = tuple(range(2, truth.ndim))
    size = np.maximum(np.sqrt((truth**2).mean(space)), TINY)
    return (np.abs((prediction - truth).mean(space)) / size).mean(1)


def error_rate(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """1 where the class of the highest score is not the right one, else 0; (item, class) scores and (item, class) truth."""
    return _mean((prediction.argmax(1) != truth.argmax(1)).astype(np.float64))


def cross_entropy(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """-log of the probability given to the right class; scores whose softmax are the probabilities."""
    return cross_entropy_each(prediction, truth, grid)


def brier(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """Half the squared distance between the probabilities and the right answer, in [0, 1] (Brier 1950)."""
    return brier_each(prediction, truth, grid)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).mean(1)


def _squared(values: np.ndarray) -> np.ndarray:
    """Sum over channels of the means over points."""
    return (values**2).mean(tuple(range(2, values.ndim))).sum(1)


def _band(name: str) -> Metric:
    def metric(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
        return spectral.bands(prediction, truth, grid)[name]

    metric.__name__ = f"spectral_{name}"
    metric.__doc__ = (
        f"Part of the relative L2 error in {spectral.BANDS[name][2]}; the squares of all parts add up to its square."
    )
    return metric


_ON_GRIDS = (relative_l2, relative_h1, rmse, nrmse, vrmse, max_error, boundary, conservation, spectral.spectrum_ratio)
BANDS = tuple(f"spectral_{name}" for name in spectral.BANDS)
METRICS: dict[str, Metric] = {f.__name__: f for f in (*_ON_GRIDS, error_rate, brier, cross_entropy)}
METRICS |= {name: _band(name.removeprefix("spectral_")) for name in BANDS}
CORE = (
    "relative_l2",
    "nrmse",
    "vrmse",
    "rmse",
    "relative_h1",
    "max_error",
    "conservation",
    "boundary",
    *BANDS,
    "spectrum_ratio",
)
"""What the benchmark suite always computes of fields."""


def measure(prediction, truth, grid: Grid, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """All named metrics (default: those of fields), per item.

    Raises
    ------
    DataError : shapes differ.
    UnknownName : a metric that does not exist.
    """
    prediction, truth = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if prediction.shape != truth.shape:
        raise DataError(
            given=f"predictions of shape {prediction.shape}", needed=f"{truth.shape}, as the truth", remedy="Check the task."
        )
    names = FIELD_METRICS if names is None else names
    for name in names:
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS)
    return {name: METRICS[name](prediction, truth, grid) for name in names}
