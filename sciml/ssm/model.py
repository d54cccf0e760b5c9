"""Deep sequence model: state-space layers between position-wise mixtures, with residuals, (batch, channel, time) in and out.

    encoder   linear map of the input channels (after averaging `stride` samples, where there is one answer for all)
    block     x + drop(mix(act(ssm(norm x)))), or, with prenorm=False, norm(x + ...); then, with mlp > 0, an MLP likewise
    decoder   a linear map at every sample, of the mean over valid samples, of the last valid one, or of `POOLED` statistics

`mix` is a linear map over features, or a gated one, a * sigmoid(b) (S4 onwards). Dropout takes out a feature at all times.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sciml.ssm.layer import StateSpaceLayer
from sciml.ssm.modes import State
from solvers.errors import SettingError

ANSWERS = ("each", "mean", "last", "statistics")
POOLED = (
    "mean", "standard deviation", "largest", "smallest", "share above 0", "share above 1/2", "share above -1/2", "share rising",
    "mean absolute slope",
)  # fmt: skip
NORMS = ("layer", "batch", "none")
MIXES = ("glu", "linear")
ACTIVATIONS = ("gelu", "none")


@dataclass(frozen=True)
class Stack:
    """Settings of a `SequenceModel`.

    width : features.   depth : blocks.   layer : settings of each `StateSpaceLayer`.
    norm : "layer" (each sample on its own), "batch" or "none".   prenorm : normalise what enters a block, not what leaves it.
    mix : "glu" or "linear".   activation : "gelu" or "none"; without, and norm="none", mix="linear", the model is linear.
    dropout : share of features.   mlp : hidden width of an MLP after each layer, relative to `width`; 0 for none.
    answer : "each" sample, the "mean" over them, the "last", or their "statistics".
    stride : samples averaged into one (not for "each").
    """

    width: int = 64
    depth: int = 4
    layer: dict[str, Any] = field(default_factory=dict)
    norm: str = "layer"
    prenorm: bool = True
    mix: str = "glu"
    activation: str = "gelu"
    dropout: float = 0.0
    mlp: float = 0.0
    answer: str = "each"
    stride: int = 1

    def __post_init__(self):
        for name, known in (("norm", NORMS), ("mix", MIXES), ("activation", ACTIVATIONS), ("answer", ANSWERS)):
            if getattr(self, name) not in known:
                given = f"{name}={getattr(self, name)!r}"
                raise SettingError(given=given, needed=f"one of {known}", remedy=f"Change `{name}`.")
        if min(self.width, self.depth, self.stride) < 1 or not 0 <= self.dropout < 1 or self.mlp < 0:
            raise SettingError(
                given=f"width={self.width}, depth={self.depth}, stride={self.stride}, dropout={self.dropout}, mlp={self.mlp}",
                needed="width, depth, stride >= 1, dropout in [0, 1), mlp >= 0",
                remedy="Mend them.",
            )
        if self.stride > 1 and self.answer == "each":
            raise SettingError(
                given=f"stride={self.stride} with an answer for each sample",
                needed="stride=1",
                remedy="Averaged samples have no answers of their own.",
            )


class SequenceModel(nn.Module):
    """A stack of state-space layers; see the module and `Stack`.

    Examples
    --------
    >>> model = SequenceModel(2, 3, Stack(width=8, depth=2))
    >>> model(torch.zeros(5, 2, 40)).shape
    torch.Size([5, 3, 40])
    """

    def __init__(self, inputs: int, outputs: int, stack: Stack):
        super().__init__()
        self.stack = stack
        self.encoder = Mixing(inputs, stack.width)
        self.blocks = nn.ModuleList([Block(stack) for _ in range(stack.depth)])
        self.norm = _norm(stack.norm if stack.prenorm else "none", stack.width)
        self.decoder = Mixing(stack.width * (len(POOLED) if stack.answer == "statistics" else 1), outputs)

    def forward(self, x: torch.Tensor, dt: float | torch.Tensor = 1.0, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, channel, time) to (batch, output, time), or (batch, output) for one answer.

        dt, lengths : as for `StateSpaceLayer`.
        """
        stride = self.stack.stride
        if stride > 1:
            if isinstance(dt, torch.Tensor) and dt.ndim == 2:
                raise SettingError(given=f"stride={stride} with unequal steps", needed="stride=1", remedy="Set it.")
            x, lengths = _averaged(x, stride, lengths)
        x = self.encoder(x)
        for block in self.blocks:
            x = block(x, dt, lengths)
        x = self.norm(x)
        if self.stack.answer == "each":
            return self.decoder(x)
        return self.decoder(_pooled(x, self.stack.answer, lengths, dt)[..., None])[..., 0]

    def stream(self, dt: float = 1.0) -> "ModelStream":
        """The model as it is now, for samples that come one at a time (answers for each sample)."""
        if self.stack.answer != "each" or (self.stack.norm == "batch" and self.training):
            raise SettingError(
                given=f"a stream of a model that answers {self.stack.answer!r}",
                needed="a model in `eval()` that answers each sample",
                remedy="Run it on whole series.",
            )
        return ModelStream(self, dt)


class Block(nn.Module):
    """One layer with its mixing, and an MLP if there is one."""

    def __init__(self, stack: Stack):
        super().__init__()
        self.prenorm, self.dropout, self.activation = stack.prenorm, stack.dropout, stack.activation
        self.layer = StateSpaceLayer(stack.width, **stack.layer)
        gated = stack.mix == "glu"
        self.mix = Mixing(stack.width * self.layer.channels, stack.width * (2 if gated else 1))
        self.gated = gated
        self.norm = _norm(stack.norm, stack.width)
        hidden = round(stack.mlp * stack.width)
        self.mlp = nn.Sequential(Mixing(stack.width, hidden), nn.GELU(), Mixing(hidden, stack.width)) if hidden else None
        self.mlp_norm = _norm(stack.norm, stack.width) if hidden else None

    def forward(self, x: torch.Tensor, dt: float | torch.Tensor = 1.0, lengths: torch.Tensor | None = None) -> torch.Tensor:
        y = self.layer.transposed(self.norm(x) if self.prenorm else x, dt, lengths=lengths)
        return self.after(x, y.flatten(1, 2))

    def after(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What follows the layer's outputs y (batch, feature * channel, time), position by position."""
        y = F.gelu(y) if self.activation == "gelu" else y
        y = self.mix(F.dropout1d(y, self.dropout, self.training))
        y = F.glu(y, 1) if self.gated else y
        x = x + F.dropout1d(y, self.dropout, self.training)
        x = x if self.prenorm else self.norm(x)
        if self.mlp is None or self.mlp_norm is None:
            return x
        x = x + F.dropout1d(self.mlp(self.mlp_norm(x) if self.prenorm else x), self.dropout, self.training)
        return x if self.prenorm else self.mlp_norm(x)


class ModelStream:
    """A `SequenceModel` frozen at one sampling step. Call it with (batch, channel); `states` may be kept and put back."""

    def __init__(self, model: SequenceModel, dt: float):
        self.model = model
        self.layers = [block.layer.stream(dt) for block in model.blocks]  # pyright: ignore[reportCallIssue]
        self.states: list[State | None] = [None] * len(self.layers)

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel) to (batch, output)."""
        x = self.model.encoder(x[..., None])
        for i, (block, layer) in enumerate(zip(self.model.blocks, self.layers, strict=True)):
            given = block.norm(x) if block.prenorm else x  # pyright: ignore[reportCallIssue]
            y, self.states[i] = layer(given[..., 0], self.states[i])
            x = block.after(x, y[..., None].to(x.dtype))  # pyright: ignore[reportCallIssue]
        return self.model.decoder(self.model.norm(x))[..., 0]


class Mixing(nn.Module):
    """The same linear map over features at every sample, (batch, feature, time)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        linear = nn.Linear(inputs, outputs)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight @ x + self.bias[:, None]


class FeatureNorm(nn.Module):
    """Layer norm over features of (batch, feature, time), each sample on its own: it does not look ahead."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Turned around twice, and still eight times faster on a CPU than reductions over the middle axis.
        return F.layer_norm(x.transpose(1, 2), self.weight.shape, self.weight, self.bias).transpose(1, 2)


def _norm(kind: str, width: int) -> nn.Module:
    return {"layer": FeatureNorm, "batch": nn.BatchNorm1d, "none": lambda width: nn.Identity()}[kind](width)


def _averaged(x: torch.Tensor, stride: int, lengths: torch.Tensor | None):
    """Means over `stride` samples (fewer at the end), of valid samples only, and how many such means are valid."""
    if lengths is None:
        return F.avg_pool1d(x, stride, ceil_mode=True), None
    valid = (torch.arange(x.shape[-1], device=x.device) < lengths[:, None]).to(x.dtype)[:, None]
    sums, counts = (F.avg_pool1d(v, stride, ceil_mode=True) for v in (x * valid, valid))
    return sums / counts.clamp_min(torch.finfo(x.dtype).tiny), -(-lengths // stride)


def statistics(x: torch.Tensor, lengths: torch.Tensor | None = None, dt: float | torch.Tensor = 1.0) -> torch.Tensor:
    """`POOLED` of (batch, feature, time) over valid samples: (batch, statistic * feature). Shares have no gradient."""
    count = x.shape[-1] if lengths is None else lengths[:, None].to(x.dtype)
    valid = None if lengths is None else (torch.arange(x.shape[-1], device=x.device) < lengths[:, None])[:, None]
    where = lambda v, other=0.0: v if valid is None else torch.where(valid, v, other)  # noqa: E731
    share = lambda which: where(which.to(x.dtype)).sum(-1) / count  # noqa: E731
    mean = where(x).sum(-1) / count
    deviation = (where((x - mean[..., None]) ** 2).sum(-1) / count + torch.finfo(x.dtype).eps).sqrt()
    slope = slopes(x, dt)
    return torch.cat([
        mean, deviation, where(x, -torch.inf).amax(-1), where(x, torch.inf).amin(-1), share(x > 0), share(x > 0.5),
        share(x > -0.5), share(slope > 0), where(slope.abs()).sum(-1) / count,
    ], 1)  # fmt: skip


def slopes(x: torch.Tensor, dt: float | torch.Tensor = 1.0) -> torch.Tensor:
    """Increments over the step since the sample before, zero at the first: (batch, feature, time)."""
    step = torch.as_tensor(dt, dtype=x.dtype, device=x.device)
    step = step[:, None, 1:] if step.ndim == 2 else step.reshape(-1, 1, 1)
    return F.pad(x.diff(dim=-1) / step, (1, 0))


def _pooled(x: torch.Tensor, answer: str, lengths: torch.Tensor | None, dt: float | torch.Tensor) -> torch.Tensor:
    if answer == "statistics":
        return statistics(x, lengths, dt)
    if answer == "last":
        return x[..., -1] if lengths is None else x.gather(-1, (lengths - 1)[:, None, None].expand(-1, x.shape[1], 1))[..., 0]
    if lengths is None:
        return x.mean(-1)
    valid = (torch.arange(x.shape[-1], device=x.device) < lengths[:, None])[:, None]
    return torch.where(valid, x, 0.0).sum(-1) / lengths[:, None].to(x.dtype)
