"""Losses and their per-sample forms, written once for NumPy, torch and JAX arrays.

Arrays are (item, channel, *space) in physical units. Each `*_each` function returns one number per item; the loss is the mean.
The H1 seminorm uses first differences between neighbours (and around the end of a periodic axis), which never reach across a
wall: a Fourier derivative of a non-periodic field would measure the jump between its two ends instead.
"""

from collections.abc import Callable, Sequence
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


Each = Callable[[Any, Any, Grid], Any]
LOSSES: dict[str, Each] = {
    "relative_l2": relative_l2_each,
    "relative_h1": relative_h1_each,
    "l2_and_h1": l2_and_h1_each,
    "mse": mse_each,
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
