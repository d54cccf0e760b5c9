"""Sequence networks to stand beside: GRU, dilated causal convolutions (TCN) and S5, as plain torch modules for `fit`.

Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014 (GRU); Bai, Kolter, Koltun, An Empirical
Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling, 2018 (TCN).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from sciml.ssm.model import POOLED, statistics
from sciml.tasks import Signature

KINDS = ("gru", "tcn")


class Recurrent(nn.Module):
    """Stacked GRU over (item, channel, time); reads out every sample, or the last valid one."""

    def __init__(self, signature: Signature, width: int, depth: int = 2, dropout: float = 0.0):
        super().__init__()
        self.whole = signature.per_item
        self.mask = signature.inputs.index(signature.mask) if signature.mask else None
        self.gru = nn.GRU(len(signature.inputs), width, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.read = nn.Linear(width, len(signature.outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.gru(x.mT)[0]
        if not self.whole:
            return self.read(y).mT
        if self.mask is None:
            return self.read(y[:, -1])
        last = (x[:, self.mask] > 0).sum(-1) - 1
        return self.read(y[torch.arange(len(y), device=y.device), last])


class Convolutional(nn.Module):
    """Residual blocks of dilated causal convolutions, dilations 1, 2, 4, ...; pools over valid samples for one answer."""

    def __init__(self, signature: Signature, width: int, levels: int = 7, kernel: int = 3, dropout: float = 0.0):
        super().__init__()
        self.whole, self.kernel, self.dropout = signature.per_item, kernel, dropout
        self.mask = signature.inputs.index(signature.mask) if signature.mask else None
        self.encode = nn.Conv1d(len(signature.inputs), width, 1)
        self.layers = nn.ModuleList([nn.Conv1d(width, width, kernel, dilation=2**i) for i in range(levels)])
        self.norms = nn.ModuleList([nn.GroupNorm(1, width) if signature.per_item else nn.Identity() for _ in range(levels)])
        self.read = nn.Conv1d(width, len(signature.outputs), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.encode(x)
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            z = F.gelu(layer(F.pad(norm(y), ((self.kernel - 1) * 2**i, 0))))
            y = y + F.dropout1d(z, self.dropout, self.training)
        if not self.whole:
            return self.read(y)
        weight = torch.ones_like(x[:, :1]) if self.mask is None else (x[:, self.mask, None] > 0).to(x.dtype)
        pooled = (y * weight).sum(-1) / weight.sum(-1)
        return self.read(pooled[..., None])[..., 0]


def parameters(module: nn.Module) -> int:
    """Trained numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def sized(make: Callable[[int], nn.Module], wanted: int, widest: int = 512) -> nn.Module:
    """The module of that family, by its width, whose parameters come nearest to `wanted`."""
    low, high = 1, widest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(make(middle)) <= wanted else (low, middle)
    found = [make(low), make(high)]
    return min(found, key=lambda module: abs(parameters(module) - wanted))


def baseline(kind: str, signature: Signature, wanted: int, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    """A GRU ("gru") or TCN ("tcn") of about `wanted` parameters."""
    family = {"gru": Recurrent, "tcn": Convolutional}[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return sized(lambda width: family(signature, width, dropout=dropout), wanted)


class S5Stack(nn.Module):
    """S5 layers of the package s5-pytorch between gated mixtures with residuals, pooled statistics for one answer.

    Smith, Warrington, Linderman, Simplified State Space Layers for Sequence Modeling, ICLR 2023. `step` is the sampling step
    over the trained one.
    """

    def __init__(self, signature: Signature, width: int, depth: int = 3, order: int = 16, dropout: float = 0.0):
        super().__init__()
        from s5 import S5  # pyright: ignore[reportMissingImports]

        self.whole, self.dropout, self.step = signature.per_item, dropout, 1.0
        self.mask = signature.inputs.index(signature.mask) if signature.mask else None
        self.kept = [i for i in range(len(signature.inputs)) if i != self.mask]
        samples = signature.grid.shape[0]
        self.encode = nn.Linear(len(self.kept), width)
        self.layers = nn.ModuleList([S5(width, 2 * order, dt_min=1 / samples, dt_max=0.5) for _ in range(depth)])
        self.mixes = nn.ModuleList([nn.Linear(width, 2 * width) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(depth + 1)])
        self.read = nn.Linear(width * (len(POOLED) if self.whole else 1), len(signature.outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.encode(x[:, self.kept].mT)  # (item, time, feature)
        for layer, mix, norm in zip(self.layers, self.mixes, self.norms[:-1], strict=True):
            z = F.glu(mix(F.gelu(layer(norm(y), step_scale=self.step))), -1)
            y = y + F.dropout1d(z.mT, self.dropout, self.training).mT
        y = self.norms[-1](y)
        if not self.whole:
            return self.read(y).mT
        lengths = None if self.mask is None else (x[:, self.mask] > 0).sum(-1)
        return self.read(statistics(y.mT, lengths, self.step))
