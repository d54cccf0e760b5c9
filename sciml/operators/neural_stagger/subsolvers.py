"""Sub-solvers of interleaved sub-grids, evaluated in one batched call.

    separate   one network per sub-grid and frame offset: its own weights, as published
    shared     one network for all: sub-grids are folded into the batch (on a torus nothing is lost by it)
    offset     one network, told which sub-grid it sees by sines and cosines of the offset (next to walls they differ)

Separate networks are evaluated as one by `torch.vmap` over their stacked weights; backend="loop" calls one after the other.
Which is quicker depends on shapes and machine; it is not chosen by a stopwatch, because rounding, and with it a resumed
training, would then depend on the stopwatch.
"""

import math
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from sciml.operators.neural_stagger.decomposition import InterleavedDecomposition

SHARING = ("separate", "shared", "offset")
BACKENDS = ("batched", "loop")


class SubSolvers(nn.Module):
    """(item, sub-grid, channel, *sub-space) to (item, sub-grid, output channel, *sub-space).

    Parameters
    ----------
    make : inputs -> a network (row, inputs, *sub-space) -> (row, outputs, *sub-space).
    channels : of the sub-grids, without those that this module adds.
    """

    def __init__(
        self,
        make: Callable[[int], nn.Module],
        channels: int,
        decomposition: InterleavedDecomposition,
        time: int,
        sharing: str,
        backend: str,
    ):
        super().__init__()
        self.decomposition, self.time, self.sharing, self.backend = decomposition, time, sharing, backend
        self.told = sharing == "offset"
        extra = 2 * sum(s > 1 for s in decomposition.factors) if self.told else 0
        extra += 1 if time > 1 and sharing != "separate" else 0
        networks = decomposition.count * time if sharing == "separate" else 1
        self.networks = nn.ModuleList([make(channels + extra) for _ in range(networks)])

    def forward(self, parts: torch.Tensor, ahead: int = 1, numbers: Sequence[int] | None = None) -> torch.Tensor:
        """ahead : frames that the answer lies ahead, 1 to `time`.   numbers : which sub-grids these are; all by default."""
        numbers = range(self.decomposition.count) if numbers is None else numbers
        if self.sharing == "separate":
            chosen = [self.networks[q * self.time + ahead - 1] for q in numbers]
            if self.backend == "loop" or len(chosen) == 1:
                return torch.stack([network(parts[:, i]) for i, network in enumerate(chosen)], 1)
            return _stacked(chosen, parts)
        parts = self._with_offsets(parts, ahead, numbers)
        if self.backend == "loop":
            return torch.stack([self.networks[0](parts[:, i]) for i in range(parts.shape[1])], 1)
        return self.networks[0](parts.flatten(0, 1)).unflatten(0, parts.shape[:2])

    def _with_offsets(self, parts: torch.Tensor, ahead: int, numbers: Sequence[int]) -> torch.Tensor:
        rows = []
        for q in numbers:
            row = []
            if self.told:
                for a, s in zip(self.decomposition.offsets[q], self.decomposition.factors, strict=True):
                    row += [math.cos(2 * math.pi * a / s), math.sin(2 * math.pi * a / s)] if s > 1 else []
            rows.append(row + ([ahead / self.time] if self.time > 1 else []))
        if not rows[0]:
            return parts
        wide = (1, len(rows), len(rows[0]), *(1,) * (parts.ndim - 3))
        extra = parts.new_tensor(rows).reshape(wide).expand(parts.shape[0], -1, -1, *parts.shape[3:])
        return torch.cat([parts, extra], 2)


def _stacked(networks: Sequence[nn.Module], parts: torch.Tensor) -> torch.Tensor:
    """All networks on their own sub-grids at once."""
    named = [dict(network.named_parameters()) | dict(network.named_buffers()) for network in networks]
    weights = {name: torch.stack([tensors[name] for tensors in named]) for name in named[0]}
    template = networks[0]

    def call(own, x):
        return torch.func.functional_call(template, own, (x,))

    with warnings.catch_warnings():  # operations without a batching rule are called one by one: right, and slower
        warnings.filterwarnings("ignore", message="There is a performance drop")
        return torch.vmap(call, in_dims=(0, 1), out_dims=1, randomness="different")(weights, parts)
