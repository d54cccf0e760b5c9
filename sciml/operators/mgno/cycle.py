"""W: one multichannel V-cycle from zero, exactly linear and without biases.

On each grid, from the finest down and back up:

    u <- u + S (f - A u)                  smoothing steps; the first one starts from zero
    f' = R f,  u' = Pi u                  cycle "fas", as published
    f' = R (f - A u),  u' = 0             cycle "correction", the classical one
    f' = R f,  u' = 0                     cycle "additive": every grid answers its own part of f
    u <- u + P u'                         and smoothing steps again

A: C_u -> C_f and S: C_f -> C_u are learned stencils, R, P and Pi fixed transfers with a learned mix of channels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from sciml.operators.mgno import nested
from sciml.operators.mgno.grids import at_level, coarser, level_count, offset, spacing_ratio
from sciml.operators.mgno.stencils import Pointwise, Separable, Stencil, mix, zero_walls
from sciml.operators.mgno.transfers import Shape, averaged, prolong, restriction_factor, summed
from solvers.errors import SettingError
from solvers.grid import Axis, Grid

CHOICES = {
    "cycle": ("fas", "correction", "additive"),
    "transfer": ("separable", "dense", "released"),
    "stencil": ("dense", "depthwise", "mixed"),
    "share": ("none", "coarse", "all"),
}


class MgLinear(nn.Module):
    """One multichannel V-cycle from zero, W f: exactly linear in f, without biases.

    On a grid twice as fine as the one it was made for, W first takes f to that one and its answer back (P W R); on one half as
    fine the cycle starts one grid lower, behind the channel mixes of the transfers that are left out.

    Parameters
    ----------
    c_in, c : channels of the right-hand side f and of the iterate u.
    grid : kind and boundary of each axis, and the size that levels are counted from.
    levels : number of grids.
    pre, post : smoothing steps before and after the coarse-grid correction, one number or one for each grid from the finest.
    coarsest : smoothing steps on the coarsest grid.
    cycle : "fas", "correction" or "additive", see the module.
    transfer : "separable" (linear interpolation by axes and its transpose, any size), "dense" (learned kernels on nested
        grids), "released" (the published kernels: off by half a cell on even grids, zeros around).
    stencil : "dense" (A and S see all channels at 3^d points), "depthwise" (each its own, then a mix), "mixed" (depthwise on
        the finest grid, where most of the work is, dense below).
    share : "none" (weights of their own on every grid), "coarse" (one set below the finest), "all" (one set). A is then taken
        without 1 / h^2: f is scaled by (h' / h)^2 at each restriction and W by h^2 once.

    Attributes
    ----------
    grids : the weights of each grid, finest first; fewer with shared weights.
    """

    def __init__(
        self,
        c_in: int,
        c: int,
        grid: Grid,
        *,
        levels: int,
        pre: int | Sequence[int] = 1,
        post: int | Sequence[int] = 0,
        coarsest: int = 2,
        cycle: str = "fas",
        transfer: str = "separable",
        stencil: str = "dense",
        share: str = "none",
    ):
        super().__init__()
        for name, value in (("cycle", cycle), ("transfer", transfer), ("stencil", stencil), ("share", share)):
            if value not in CHOICES[name]:
                needed = f"one of {', '.join(CHOICES[name])}"
                raise SettingError(given=f"{name}={value!r}", needed=needed, remedy=f"Change `{name}`.")
        if share != "none" and transfer != "separable":
            raise SettingError(
                given=f"share={share!r} with transfer={transfer!r}",
                needed="transfer='separable'",
                remedy="Kernels that fit one grid each cannot be shared; change either.",
            )
        self.grid = nested.plain(grid) if transfer == "released" else grid
        self.axes, self.levels, self.cycle, self.transfer, self.share = self.grid.axes, levels, cycle, transfer, share
        self.pre, self.post, self.coarsest = _each(pre), _each(post), coarsest
        if transfer == "dense":
            nested.check(self.grid, levels, None)
        sets = {"none": levels, "coarse": min(levels, 2), "all": 1}[share]
        self.grids = nn.ModuleList([self._weights(c_in, c, i, sets, stencil) for i in range(sets)])

    def _weights(self, c_in: int, c: int, index: int, sets: int, stencil: str) -> "GridWeights":
        levels = [level for level in range(self.levels) if min(level, sets - 1) == index]
        if stencil == "depthwise" or (stencil == "mixed" and index == 0):
            make = partial(Separable, axes=self.axes)
        else:
            make = partial(Stencil, axes=self.axes, zeros=self.transfer == "released")
        if self.transfer == "separable":
            down, up = partial(Down, axes=self.axes), partial(Up, axes=self.axes)
        else:
            fine, released = tuple(at_level(axis, index) for axis in self.axes), self.transfer == "released"
            down, up = partial(nested.Down, axes=fine, released=released), partial(nested.Up, axes=fine, released=released)
        steps = max(sum(self._steps(level, self.levels)) for level in levels)
        needs_first = self.cycle == "fas" and levels != [0]  # a first step from zero needs no A
        operators = [make(c, c_in) for _ in range(steps - (not needs_first))]
        weights = GridWeights([make(c_in, c) for _ in range(steps)], operators)
        if levels[0] < self.levels - 1:
            weights.residual = make(c, c_in) if self.cycle == "correction" else None
            weights.R, weights.P = down(c_in, c_in), up(c, c)
            weights.Pi = down(c, c) if self.cycle == "fas" else None
        return weights

    @property
    def weights(self) -> "list[GridWeights]":
        """`grids`, as a list."""
        return list(self.grids)  # pyright: ignore[reportReturnType]

    def _at(self, level: int) -> "GridWeights":
        return self.weights[min(level, len(self.grids) - 1)]

    def forward(self, f: torch.Tensor) -> torch.Tensor:
        """(item, c_in, *space) -> (item, c, *space)."""
        return self.run(f.movedim(1, -1).contiguous()).movedim(-1, 1)

    def run(self, f: torch.Tensor) -> torch.Tensor:
        """(item, *space, c_in) -> (item, *space, c)."""
        extra, levels = self.levels_on(tuple(f.shape[1:-1]))
        spaces = []
        for _ in range(extra):
            spaces.append(tuple(f.shape[1:-1]))
            f = averaged(f, self.axes)
        for skipped in range(-extra):
            f = mix(f, self._at(skipped).R.weight)
        first = max(0, -extra)
        known = any(axis.kind == "node" and "dirichlet" in axis.boundary for axis in self.axes)
        u = self._cycle(first, levels, None, f.clone() if known and not extra else f)
        for skipped in reversed(range(-extra)):
            u = mix(u, self._at(skipped).P.weight)
        for space in reversed(spaces):
            u = zero_walls(prolong(u, self.axes, space), self.axes)
        return u if self.share == "none" else u * spacing_ratio(self._on(f), self.axes) ** 2

    def levels_on(self, space: Shape) -> tuple[int, int]:
        """How many halvings lie between an array of this shape and the grid of the weights, and the levels of the cycle.

        Raises
        ------
        GridError : the cycle's levels do not exist there.
        """
        grid = self.grid.with_shape(space)
        if self.transfer != "separable":
            nested.check(grid, self.levels, [w.P.kernel for w in self.weights[:-1]] if self.transfer == "released" else None)
            return 0, level_count(grid, self.levels)
        extra = max(offset(grid, self.grid), 1 - self.levels)
        level_count(grid, self.levels + extra)
        return extra, self.levels

    def _on(self, x: torch.Tensor) -> tuple[Axis, ...]:
        return self.grid.with_shape(tuple(x.shape[1:-1])).axes

    def _steps(self, level: int, levels: int) -> tuple[int, int]:
        """Smoothing steps before and after the correction; the coarsest grid has only the first."""
        if level == levels - 1:
            return self.coarsest, 0
        return self.pre[min(level, len(self.pre) - 1)], self.post[min(level, len(self.post) - 1)]

    def _cycle(self, level: int, levels: int, u: torch.Tensor | None, f: torch.Tensor) -> torch.Tensor:
        weights = self._at(level)
        f = zero_walls(f, self.axes)  # no equation holds at a point whose value is known
        before, after = self._steps(level, levels)
        for step in range(before):
            u = self._smooth(weights, step, u, f)
        assert u is not None
        if level == levels - 1:
            return u
        rest = f if weights.residual is None else zero_walls(f - weights.residual(u), self.axes)
        coarse_f = weights.R(rest)
        if self.share != "none":
            fine = self._on(f)
            coarse_f = coarse_f * spacing_ratio(tuple(map(coarser, fine)), fine) ** 2
        coarse_u = None if weights.Pi is None else zero_walls(weights.Pi(u), self.axes)
        correction = weights.P(self._cycle(level + 1, levels, coarse_u, coarse_f), tuple(f.shape[1:-1]))
        u = zero_walls(u + correction, self.axes)
        for step in range(before, before + after):
            u = self._smooth(weights, step, u, f)
        return u

    def _smooth(self, weights: "GridWeights", step: int, u: torch.Tensor | None, f: torch.Tensor) -> torch.Tensor:
        smooth = weights.S[step]
        if u is None:
            return zero_walls(smooth(f), self.axes)
        operator = weights.A[step - (len(weights.S) - len(weights.A))]
        return zero_walls(u + smooth(zero_walls(f - operator(u), self.axes)), self.axes)


class GridWeights(nn.Module):
    """What is learned on one grid.

    S, A : smoothers (C_f -> C_u) and operators (C_u -> C_f) of each step; the first A is missing where u starts from zero.
    residual : the A of the restricted residual ("correction").
    R, P, Pi : transfers of right-hand side, correction and iterate.
    """

    residual: Any
    R: Any
    P: Any
    Pi: Any

    def __init__(self, smoothers: list, operators: list):
        super().__init__()
        self.S, self.A = nn.ModuleList(smoothers), nn.ModuleList(operators)
        self.residual = self.R = self.P = self.Pi = None

    @property
    def smoothers(self) -> list:
        """S of each step."""
        return list(self.S)

    @property
    def operators(self) -> list:
        """Every A, that of the restricted residual included."""
        return [*self.A, *([] if self.residual is None else [self.residual])]

    @property
    def is_coarsest(self) -> bool:
        """No transfer leads from here to a coarser grid."""
        return self.R is None


class Down(Pointwise):
    """R: full weighting, then a mix of channels."""

    def __init__(self, inputs: int, outputs: int, axes: Sequence[Axis]):
        super().__init__(inputs, outputs)
        self.axes = tuple(axes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return mix(summed(x, self.axes), self.weight * restriction_factor(x, self.axes))


class Up(Pointwise):
    """P: a mix of channels on the coarse grid, where it costs least, then linear interpolation."""

    def __init__(self, inputs: int, outputs: int, axes: Sequence[Axis]):
        super().__init__(inputs, outputs)
        self.axes = tuple(axes)

    def forward(self, x: torch.Tensor, space: Shape) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return prolong(super().forward(x), self.axes, space)


def _each(steps: int | Sequence[int]) -> tuple[int, ...]:
    return (steps,) if isinstance(steps, int) else tuple(steps)
