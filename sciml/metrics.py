"""Errors of predictions, one number per item, in float64, independent of batch and resolution.

Definitions follow `u` the truth, `v` the prediction, <.> the mean over points. Arrays are (item, channel, *space).
"""

from collections.abc import Callable

import numpy as np

from sciml.losses import relative_h1_each, relative_l2_each
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


def _mean(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).mean(1)


METRICS: dict[str, Metric] = {f.__name__: f for f in (relative_l2, relative_h1, rmse, vrmse, max_error)}


def measure(prediction, truth, grid: Grid, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """All named metrics (default: all), per item.

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
    names = tuple(METRICS) if names is None else names
    for name in names:
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS)
    return {name: METRICS[name](prediction, truth, grid) for name in names}
