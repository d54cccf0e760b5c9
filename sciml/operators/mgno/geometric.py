"""Weights set by hand: a V-cycle for Poisson's equation, -laplace(u) = f, inside the network.

    A = 2 d - sum of the neighbours,   S = centre + edge * neighbours (+ corner * diagonals),   R = (h' / h)^2 x full weighting

The stencil leaves out 1 / h^2, hence the factor of R. S minimises the largest |1 - S A| over the waves that
the next grid does not carry; Jacobi's point smoother is the best that fits the cycle "fas".

In the cycle "correction" one channel holds u. In "fas", where right-hand sides are restricted as they are, three channels make
a correction cycle: u, the residual (which Pi hands down) and the right-hand side of the grid, so that A u is the stencil of the
first less the third. A further channel holds -u: gelu(u) - gelu(-u) = u exactly (also relu and silu), so that the pair passes
activations.
"""

import itertools
from typing import TYPE_CHECKING

import torch

from sciml.operators.mgno.grids import at_level, coarser, spacing_ratio
from sciml.operators.mgno.stencils import Separable
from solvers.errors import GridError, SettingError
from solvers.grid import Grid

if TYPE_CHECKING:
    from sciml.operators.mgno.cycle import MgLinear
    from sciml.operators.mgno.network import MgNetwork

SMOOTHERS = {1: (8 / 17, 2 / 17), 2: (0.28894, 0.06567, 0.01970), 3: (0.2192, 0.0274)}  # centre, edge, corner
JACOBI = {1: 1 / 3, 2: 0.2, 3: 0.1425}
OTHERS = 0.1  # factor of the weights that are not set by hand


def laplacian(dimension: int) -> torch.Tensor:
    """The stencil of -h^2 laplace, (3, ..., 3) float64."""
    return star(dimension, 2.0 * dimension, -1.0)


def star(dimension: int, centre: float, edge: float, corner: float = 0.0) -> torch.Tensor:
    """A stencil by the number of axes along which a point is displaced, (3, ..., 3) float64."""
    stencil = torch.zeros((3,) * dimension, dtype=torch.float64)
    for index in itertools.product(range(3), repeat=dimension):
        stencil[index] = {0: centre, 1: edge, 2: corner if dimension == 2 else 0.0}.get(sum(i != 1 for i in index), 0.0)
    return stencil


def check(config) -> None:
    """Raise SettingError unless these settings leave room for the cycle."""
    needed = {"fas": 4, "correction": 2}
    if config.cycle not in needed or config.stencil != "dense" or config.transfer != "separable" or config.norm != "none":
        raise SettingError(
            given=f"init='geometric' with cycle={config.cycle!r}, stencil={config.stencil!r}, transfer={config.transfer!r}, "
            f"norm={config.norm!r}",
            needed="cycle 'fas' or 'correction', stencil 'dense', transfer 'separable', norm 'none'",
            remedy="Change them, or init.",
        )
    if config.cycle == "fas" and config.share != "none":
        raise SettingError(
            given=f"init='geometric' with cycle='fas', share={config.share!r}",
            needed="cycle='correction' with shared weights",
            remedy="In 'fas' the finest grid's A differs from the others'.",
        )
    if config.width < needed[config.cycle] or config.head != "1x1" or config.skip:
        raise SettingError(
            given=f"init='geometric' with width={config.width}, head={config.head!r}, skip={config.skip}",
            needed=f"width >= {needed[config.cycle]}, head '1x1' and no skip",
            remedy="Change them, or init.",
        )


@torch.no_grad()
def shrink_later_steps(network: "MgNetwork") -> None:
    """Divide the smoothers after the first by the number of steps of the cycle, so that W f is about S f at the start."""
    for linear in network.layers:
        later = [smooth for weights in linear.weights for smooth in weights.smoothers[1:]]
        for smooth in later:
            last_factor(smooth).div_(len(later) + 1)


@torch.no_grad()
def silence_finest(network: "MgNetwork", grids: int) -> None:
    """Zero smoothers on the finest grids: until they learn, W is that of the coarser grids."""
    for linear in network.layers:
        for weights in linear.weights[:grids]:
            for smooth in weights.smoothers:
                last_factor(smooth).zero_()


def last_factor(smoother) -> torch.Tensor:
    """The weight that a stencil, or a stencil for each channel and a mix, is linear in."""
    return smoother.mix.weight if isinstance(smoother, Separable) else smoother.weight


@torch.no_grad()
def set_poisson(network: "MgNetwork", grid: Grid, scale: float = 1.0) -> None:
    """Make the untrained network's first output one V-cycle for -laplace(u) = scale * (first input), other outputs small.

    Raises
    ------
    GridError : spacings that differ between axes by more than a quarter: the stencil is that of squares.
    """
    if max(grid.spacing) > 1.25 * min(grid.spacing):
        raise GridError(
            given=f"spacings {grid.spacing} for init='geometric'",
            needed="about the same along every axis",
            remedy="Use init='default'.",
        )
    for parameter in network.parameters():
        parameter *= OTHERS
    first = network.layers[0]
    set_cycle(first)
    minus = 1 if first.cycle == "correction" else 3
    area = 1.0
    for spacing in grid.spacing:
        area *= spacing ** (2 / grid.dimension)
    pair = [0, minus]
    for local in network.locals:
        local.weight[pair] = 0.0
        assert local.bias is not None
        local.bias[pair] = 0.0
    for linear, local in zip(network.layers[1:], network.locals[1:], strict=True):
        _silence(linear, pair)
        for row, sign in zip(pair, (1.0, -1.0), strict=True):
            local.weight[row, 0], local.weight[row, minus] = sign, -sign
    network.head.weight[0] = 0.0
    network.head.weight[0, 0], network.head.weight[0, minus] = scale * area, -scale * area


def set_cycle(linear: "MgLinear", smoother: torch.Tensor | None = None) -> None:
    """Write the V-cycle for the first channel of f into the first channels of W: u and -u, with two more in between for "fas".

    smoother : a stencil (3, ..., 3) instead of the best one; points only for "fas".
    """
    dimension = len(linear.axes)
    a = laplacian(dimension)
    if linear.cycle == "correction":
        s = star(dimension, *SMOOTHERS[dimension]) if smoother is None else smoother
        _set_correction(linear, a, s)
    else:
        omega = JACOBI[dimension] if smoother is None else float(smoother[(1,) * dimension])
        _set_fas(linear, a, omega)


def _set_correction(linear: "MgLinear", a: torch.Tensor, s: torch.Tensor) -> None:
    with torch.no_grad():
        for weights in linear.weights:
            for operator in weights.operators:
                operator.weight[0] = 0.0
                operator.weight[0, 0] = a
            for smooth in weights.smoothers:
                smooth.weight[:2] = 0.0
                smooth.weight[0, 0], smooth.weight[1, 0] = s, -s
        _set_transfers(linear, (0, 1))


def _set_fas(linear: "MgLinear", a: torch.Tensor, omega: float) -> None:
    point = torch.zeros_like(a)
    point[(1,) * a.ndim] = 1.0
    with torch.no_grad():
        for level, weights in enumerate(linear.weights):
            for operator in weights.operators:
                operator.weight[0] = 0.0
                operator.weight[0, 0] = a
                if level > 0:
                    operator.weight[0, 2] = -point
            for step, smooth in enumerate(weights.smoothers):
                smooth.weight[:4] = 0.0
                starts = level == 0 and step == 0
                smooth.weight[0, 0], smooth.weight[3, 0] = omega * point, -omega * point
                smooth.weight[1, 0] = (point if starts else 0.0) - omega * a
                if starts:
                    smooth.weight[2, 0] = point
            if weights.Pi is not None:
                weights.Pi.weight[:4] = 0.0
                weights.Pi.weight[1:3, 1] = _growth(linear, level)
        _set_transfers(linear, (0, 3))


def _set_transfers(linear: "MgLinear", pair: tuple[int, int]) -> None:
    for level, weights in enumerate(linear.weights):
        if not weights.is_coarsest:
            weights.R.weight[0] = 0.0
            if linear.cycle == "correction":
                weights.R.weight[0, 0] = 1.0 if linear.share != "none" else _growth(linear, level)
            weights.P.weight[: pair[1] + 1] = 0.0
            for row in pair:
                weights.P.weight[row, row] = 1.0


def _growth(linear: "MgLinear", level: int) -> float:
    """(h_coarse / h)^2 of one grid: the stencil leaves out 1 / h^2."""
    fine = tuple(at_level(axis, level) for axis in linear.axes)
    return spacing_ratio(tuple(map(coarser, fine)), fine) ** 2


def _silence(linear: "MgLinear", rows: list[int]) -> None:
    """Nothing arrives in these channels of u."""
    for weights in linear.weights:
        for smooth in weights.smoothers:
            smooth.weight[rows] = 0.0
        if not weights.is_coarsest:
            weights.P.weight[rows] = 0.0
