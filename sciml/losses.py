"""Losses and their per-sample forms, written once for NumPy, torch and JAX arrays.

Arrays are (item, channel, *space) in physical units; of classes, scores (item, class). Each `*_each` function returns one
number per item; the loss is the mean.
The H1 seminorm uses first differences between neighbours (and around the end of a periodic axis), which never reach across a
wall: a Fourier derivative of a non-periodic field would measure the jump between its two ends instead.
"""

from collections.abc import Callable, Sequence
from math import e
from typing import Any

from solvers.errors import unknown_name
from solvers.grid import Grid

TINY = 1e-30  # keeps the square root differentiable at a perfect prediction


def _square(values) -> Any:
    return (values * values).reshape(values.shape[0], -1).sum(-1)


def _seminorm(values, grid: Grid) -> Any:
    """Sum over axes of |difference / spacing|^2."""
    total = 0.0
    for i, axis in enumerate(grid.axes):
        n = values.shape[2 + i]
        if n < 2:
            continue
        spacing = grid.with_shape(tuple(values.shape[2:])).axes[i].spacing
        head = (slice(None),) * (2 + i)
        total = total + _square(values[(*head, slice(1, None))] - values[(*head, slice(None, -1))]) / spacing**2
        if axis.kind == "periodic":
            total = total + _square(values[(*head, slice(0, 1))] - values[(*head, slice(n - 1, None))]) / spacing**2
    return total


def relative_l2_each(prediction, target, grid: Grid) -> Any:
    """||prediction - target|| / ||target|| over all channels and points of an item."""
    return ((_square(prediction - target) + TINY) / (_square(target) + TINY)) ** 0.5


def relative_h1_each(prediction, target, grid: Grid) -> Any:
    """(||e||^2 + ||grad e||^2)^(1/2) over the same of the target, gradients by differences."""
    error = prediction - target
    return ((_square(error) + _seminorm(error, grid) + TINY) / (_square(target) + _seminorm(target, grid) + TINY)) ** 0.5


def mse_each(prediction, target, grid: Grid) -> Any:
    """Mean squared error of an item, in squared physical units."""
    count = 1
    for n in target.shape[1:]:
        count *= n
    return _square(prediction - target) / count


def l2_and_h1_each(prediction, target, grid: Grid) -> Any:
    """Mean of relative L2 and relative H1: small errors that are also smooth."""
    return 0.5 * (relative_l2_each(prediction, target, grid) + relative_h1_each(prediction, target, grid))


def cross_entropy_each(prediction, target, grid: Grid) -> Any:
    """-log of the probability of the right class, from scores (item, class, *space) whose softmax are the probabilities."""
    return -_item_mean((target * _log_softmax(prediction)).sum(1))


def brier_each(prediction, target, grid: Grid) -> Any:
    """Half the squared distance between probabilities and the right answer, in [0, 1]: bounded, unlike cross entropy."""
    return _item_mean(((e ** _log_softmax(prediction) - target) ** 2).sum(1)) / 2


def _item_mean(values) -> Any:
    return values.reshape(values.shape[0], -1).mean(-1)


def _log_softmax(scores) -> Any:
    highest = scores.max(1)
    highest = getattr(highest, "values", highest)  # torch gives positions as well
    shifted = scores - highest[:, None]
    total = (e**shifted).sum(1)
    log = total.log() if hasattr(total, "log") else total.__array_namespace__().log(total)
    return shifted - log[:, None]


Each = Callable[[Any, Any, Grid], Any]
LOSSES: dict[str, Each] = {
    "relative_l2": relative_l2_each,
    "relative_h1": relative_h1_each,
    "l2_and_h1": l2_and_h1_each,
    "mse": mse_each,
    "cross_entropy": cross_entropy_each,
    "brier": brier_each,
}


def as_loss(loss: "str | Each") -> Each:
    """A per-item loss by name, or a callable (prediction, target, grid) -> (item,) of the caller's."""
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    return LOSSES[loss]


def names() -> Sequence[str]:
    """Names that `loss=` accepts."""
    return tuple(LOSSES)
