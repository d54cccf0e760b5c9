"""Training that starts on coarser grids: the first steps cost a fraction, and what they teach is kept.

For the first part of the steps, data are averaged to a coarser grid, on which W works without its finest levels (`MgLinear`);
smoothers of the levels that join later start at zero, so that nothing jumps when they do. Whether a field survives on the
coarse grid is asked of the data: of a smooth solution almost everything does, of a short wave nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sciml import distributed
from sciml.learners.backprop import Backprop
from sciml.operator import Position
from sciml.operators.mgno.grids import coarse_size, coarser
from sciml.operators.mgno.transfers import averaged, prolong
from sciml.tasks import Batch
from solvers.grid import Axis, Grid

COARSE_SHARE = 2 / 3
"""Share of the steps on coarser grids. Half of the time goes to the finest grid then, as one step there costs about twice."""
SURVIVES = 0.02
"""Part of a target (relative L2, median over samples) that may be lost on the coarse grid: less than early training reaches."""


def survivors(targets: np.ndarray, grid: Grid, wanted: int) -> int:
    """How many times the targets (item, channel, *space) may be coarsened, at most `wanted`, with less than `SURVIVES` lost."""
    u = torch.as_tensor(np.moveaxis(targets, 1, -1).astype(np.float64).copy())
    size, coarse, spaces = u.flatten(1).norm(dim=1), u, []
    axes = grid.axes
    for count in range(wanted):
        if min(coarse_size(axis) for axis in axes) < 8:
            return count
        spaces.append(tuple(coarse.shape[1:-1]))
        coarse, axes = averaged(coarse, axes), [coarser(axis) for axis in axes]
        back = coarse
        for space in reversed(spaces):
            back = prolong(back, grid.axes, space)
        if float(((back - u).flatten(1).norm(dim=1) / size.clamp_min(1e-300)).median()) > SURVIVES:
            return count
    return wanted


class Growing(Backprop):
    """Backprop whose first steps are made on grids that are 2^k times coarser.

    Parameters
    ----------
    halvings : k at the start; it falls to zero in equal parts of the first `COARSE_SHARE` of the steps.
    """

    def __init__(self, operator, training, halvings: int):
        self.halvings = halvings
        super().__init__(operator, training)

    def _network(self):
        if self.halvings and distributed.world().size > 1:  # the finest levels have no gradient at first
            return nn.parallel.DistributedDataParallel(self.module, find_unused_parameters=True)
        return super()._network()

    def phases(self) -> Sequence[tuple[float, Position]]:
        """Shares of the steps that cost the same, with a position in each."""
        if self.halvings == 0:
            return super().phases()
        part = COARSE_SHARE / self.halvings
        shares = [part] * self.halvings + [1 - COARSE_SHARE]
        starts = np.cumsum([0, *shares[:-1]])
        return [(share, self._at(start)) for share, start in zip(shares, starts, strict=True)]

    def _at(self, share: float) -> Position:
        total = int(np.ceil(share * self.total_steps - 1e-9))
        return Position(0, 0, total)

    def _halvings(self, at: Position) -> int:
        if self.halvings == 0:
            return 0
        done = at.total / (self.total_steps * COARSE_SHARE)
        return max(0, self.halvings - int(done * self.halvings + 1e-9))

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        count = self._halvings(at)
        if count == 0:
            return super().step(batch, at)
        axes = self.operator.bound_signature.grid.axes
        x, y = (self._coarse(values, axes, count) for values in (batch.inputs, batch.targets))
        return super().step(Batch(x, y, batch.items, batch.weight), at)

    def _coarse(self, values: Any, axes: Sequence[Axis], count: int) -> torch.Tensor:
        x = torch.as_tensor(values).to(self.device, self.dtype).movedim(1, -1).contiguous()
        for _ in range(count):
            x = averaged(x, axes)
        return x.movedim(-1, 1).contiguous()
