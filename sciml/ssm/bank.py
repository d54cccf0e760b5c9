"""A bank of fixed random state-space kernels whose pooled outputs are regressed on: a series to its class or to numbers.

    y_h = C_h x_h,  x_h' = A x_h + B u_(h mod channels),   answer = W asinh((statistics(y) - middle) / spread) + w

C is drawn once, the time scales are spread evenly in their logarithm, half of the features see the slope of the series. Middle
and spread are medians over the training series; W is ridge regression, its penalty by leave-one-out. Nothing is trained by
descent, so it takes seconds and suits few series.

Random convolutions, pooled and regressed on: Dempster, Petitjean, Webb, ROCKET, Data Mining and Knowledge Discovery 34 (2020).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sciml.learners.backprop import pick_device, to_numpy
from sciml.operator import Arrays, Learner, Position, Scalars, Training
from sciml.ssm.layer import StateSpaceLayer
from sciml.ssm.model import POOLED, Mixing, slopes, statistics
from sciml.tasks import Batch
from solvers.errors import DataError

PENALTIES = np.logspace(-9, 3, 49)  # relative to the largest eigenvalue
SCALES = np.logspace(-1, 2, 61)  # of scores, among which the probabilities that leave-one-out likes best are sought


class KernelBank(nn.Module):
    """(batch, channel, time) to (batch, output), over one frozen layer."""

    middle: torch.Tensor
    spread: torch.Tensor

    def __init__(self, inputs: int, outputs: int, width: int, layer: dict[str, Any]):
        super().__init__()
        self.layer = StateSpaceLayer(width, **layer)
        self.decoder = Mixing(len(POOLED) * width, outputs)
        feature = torch.arange(width)
        self.source = (feature % (2 * inputs)).tolist()  # the series, then its slope
        self.register_buffer("middle", torch.zeros(len(POOLED) * width))
        self.register_buffer("spread", torch.ones(len(POOLED) * width))
        low, high = self.layer.step_range
        spread = (feature + torch.rand(width)) / width
        with torch.no_grad():
            self.layer.log_dt.copy_(np.log(low) + spread * (np.log(high) - np.log(low)))
            self.layer.D.zero_()

    def features(self, x: torch.Tensor, dt: float | torch.Tensor = 1.0, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, statistic * feature)."""
        u = torch.cat([x, slopes(x, dt)], 1)[:, self.source]
        return statistics(self.layer.transposed(u, dt, lengths=lengths)[:, :, 0], lengths, dt)

    def forward(self, x: torch.Tensor, dt: float | torch.Tensor = 1.0, lengths: torch.Tensor | None = None) -> torch.Tensor:
        found = torch.asinh((self.features(x, dt, lengths) - self.middle) / self.spread)
        return self.decoder(found[..., None])[..., 0]


class SolvedDecoder(Learner):
    """Gathers features and targets over one epoch, and solves for the decoder at its end."""

    def __init__(self, operator: Any, training: Training):
        self.operator, self.device = operator, pick_device(training.device)
        self.network = operator.module.to(self.device)
        self.rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @torch.no_grad()
    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        x = self.operator.input_normaliser.encode(torch.as_tensor(batch.inputs, dtype=torch.float32).to(self.device))
        y = self.operator.output_normaliser.encode(np.asarray(batch.targets, np.float64))
        lengths = self.network.lengths(x)
        found = to_numpy(self.network.model.features(*self.network.signals(x), lengths))
        if not np.isfinite(found).all():
            raise DataError(given=f"NaN or infinity in items {batch.items[:8]}", needed="finite data", remedy="Remove them.")
        self.rows.append((np.asarray(batch.items), found.astype(np.float64), y))
        return {"loss": 0.0}

    @torch.no_grad()
    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        items, x, y = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        order = np.argsort(items)  # the answer must not depend on the order in which the items came
        x, y = x[order], y[order]
        middle = np.median(x, 0)
        spread = np.median(np.abs(x - middle), 0)  # some series are a thousand times larger than others
        spread = np.where(spread > 0, spread, np.maximum(x.std(0), 1e-12))
        weights, bias, left = regress(np.arcsinh((x - middle) / spread), y)
        if self.operator.bound_signature.kind == "classification":
            scale = _likeliest(y - left, y)
            weights, bias = scale * weights, scale * bias
        model = self.network.model
        found = {model.middle: middle, model.spread: spread, model.decoder.weight: weights.T, model.decoder.bias: bias}
        for tensor, values in found.items():
            tensor.copy_(torch.from_numpy(values))
        self.rows, self.done = [], True
        return {"loss": float(np.sqrt((left**2).mean()))}

    def state(self) -> tuple[Arrays, Scalars]:
        arrays: Arrays = {}
        for i, (items, x, y) in enumerate(self.rows):
            arrays |= {f"{i:06d}.items": items, f"{i:06d}.x": x, f"{i:06d}.y": y}
        return arrays, {"rows": len(self.rows), "done": self.done}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        self.rows = [(arrays[f"{i:06d}.items"], arrays[f"{i:06d}.x"], arrays[f"{i:06d}.y"]) for i in range(scalars["rows"])]
        self.done = scalars["done"]


def regress(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge regression with an offset, the penalty of least leave-one-out error.

    Parameters
    ----------
    x : (item, feature), fewer items than features or more.   y : (item, output).

    Returns
    -------
    Weights (feature, output), offset (output,), and leave-one-out residuals (item, output).
    """
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-9 * (np.abs(mean) + 1e-30), spread, np.inf)  # what never changes says nothing
    z, offset = (x - mean) / spread, y.mean(0)
    left, values, right = np.linalg.svd(z, full_matrices=False)
    kept = values > 1e-10 * values[0]  # the offset's direction is not among them
    left, values, right = left[:, kept], values[kept], right[kept]
    along = left.T @ (y - offset)
    best: tuple[float, Any, Any] = (np.inf, None, None)
    for penalty in PENALTIES * values[0] ** 2:
        shrink = values**2 / (values**2 + penalty)
        free = 1 - 1 / len(x) - (left**2 * shrink).sum(1)  # 1 - leverage
        residual = (y - offset - left @ (shrink[:, None] * along)) / np.maximum(free, 1e-12)[:, None]
        score = float((residual**2).mean())
        if score < best[0]:
            best = (score, penalty, residual)
    _, penalty, residual = best
    weights = right.T @ ((values / (values**2 + penalty))[:, None] * along) / spread[:, None]
    return weights, offset - mean @ weights, residual


def _likeliest(scores: np.ndarray, targets: np.ndarray) -> float:
    """Factor of scores (item, class) whose softmax gives the targets the greatest likelihood."""

    def loss(scale: float) -> float:
        s = scale * (scores - scores.max(1, keepdims=True))
        return float((np.log(np.exp(s).sum(1)) - (targets * s).sum(1)).mean())

    return float(min(SCALES, key=loss))
