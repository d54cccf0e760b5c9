"""Errors of predictions, one number per item, in float64, independent of batch and resolution.

Definitions follow `u` the truth, `v` the prediction, <.> the mean over points. Arrays are (item, channel, *space).
"""

from collections.abc import Callable

import numpy as np

from sciml.losses import brier_each, cross_entropy_each, relative_h1_each, relative_l2_each
from sciml.tasks import FIELD_METRICS
from solvers.errors import DataError, unknown_name
from solvers.grid import Grid

Metric = Callable[[np.ndarray, np.ndarray, Grid], np.ndarray]


def relative_l2(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """||v - u|| / ||u|| over all channels and points."""
    return relative_l2_each(prediction, truth, grid)


def relative_h1(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """The same in the norm (||.||^2 + ||grad .||^2)^(1/2)."""
    return relative_h1_each(prediction, truth, grid)


def rmse(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """<(v - u)^2>^(1/2), in the unit of the field."""
    return np.sqrt(_mean((prediction - truth) ** 2))


def vrmse(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """(<(v - u)^2> / (<(u - <u>)^2> + 1e-7))^(1/2) per channel, averaged: predicting the spatial mean gives 1 (The Well)."""
    space = tuple(range(2, truth.ndim))
    error = ((prediction - truth) ** 2).mean(space)
    return np.sqrt(error / (truth.var(space) + 1e-7)).mean(1)


def max_error(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """max |v - u| / rms(u)."""
    flat = np.abs(prediction - truth).reshape(len(truth), -1).max(1)
    return flat / np.maximum(np.sqrt(_mean(truth**2)), np.finfo(np.float64).tiny)


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


_FIELDS = (relative_l2, relative_h1, rmse, vrmse, max_error)
METRICS: dict[str, Metric] = {f.__name__: f for f in (*_FIELDS, error_rate, brier, cross_entropy)}


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
