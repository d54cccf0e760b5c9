"""Linear state-space layers as an operator on signals: u(t) -> y(t), a series to its class, a series to numbers.

    x' = A x + B u,   y = C x + D u   for each feature, then a pointwise nonlinearity and a mixture of features; `depth` times

Gu, Johnson, Goel, Saab, Dao, Rudra, Re, Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space
Layers, NeurIPS 2021 (arXiv 2110.13985). The parameters belong to continuous time: `predict(inputs, times=...)` answers at
another sampling rate, also an uneven one, by the time constants that were learned; `stream` takes samples one at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sciml.learners.backprop import TorchOperator, to_numpy
from sciml.ssm.bank import KernelBank, SolvedDecoder
from sciml.ssm.model import SequenceModel, Stack
from sciml.ssm.readout import SolvedReadout, arrange
from sciml.tasks import Signature
from solvers.errors import DataError, GridError, SettingError

CHECKS = {"dataset": "signals", "epochs": 80}
POOLINGS = ("mean", "last", "statistics")
FASTEST = 0.5  # largest step of a feature, in samples: faster ones see single samples only


@dataclass(frozen=True)
class Config:
    """Settings of an LSSL.

    width : features of the hidden layers.   depth : number of layers.   order : states of each feature.
    channels : outputs of each feature before mixing.
    structure : form of A, see `sciml.ssm.structures`: "dissipative", "legs", "legt", "lagt" (fixed), "dense",
        "tridiag_inverse", "dplr", "diagonal".   start : HiPPO matrix where A starts ("" takes the form's own).
    train_structure, train_steps : whether A and B, and the time scales, are learned.   copies : independent A, B per layer.
    method, rule : how time is made discrete, see `sciml.ssm.discretise`: "bilinear" or "zoh"; "trapezoid", "foh" or "right".
    memory : shortest and longest time that a feature remembers at the start, in samples; None covers the length of the series.
    bidirectional : also look ahead (not in forecasts, nor in a stream).
    norm, prenorm, mix, activation, dropout, mlp, stride : see `sciml.ssm.model.Stack`. norm="layer" takes the size of a signal
        out, sample by sample; systems whose answer depends on it nonlinearly want norm="none".
    pooling : "mean" over samples, the "last" one, or their "statistics", where there is one answer for a series.
    readout : "trained", or "solved", without descent, of one fixed linear layer: C and D by least squares, where there is an
        answer for each sample (`sciml.ssm.readout`; for linear systems some hundred times more accurate), or with
        pooling="statistics" a regression on pooled outputs of random kernels, for one of a series (`sciml.ssm.bank`).
    """

    width: int = 64
    depth: int = 4
    order: int = 32
    channels: int = 1
    structure: str = "dissipative"
    start: str = ""
    train_structure: bool = True
    train_steps: bool = True
    copies: int = 1
    method: str = "bilinear"
    rule: str = "trapezoid"
    memory: tuple[float, float] | None = None
    bidirectional: bool = False
    norm: str = "layer"
    prenorm: bool = True
    mix: str = "glu"
    activation: str = "gelu"
    dropout: float = 0.0
    mlp: float = 0.0
    stride: int = 1
    pooling: str = "mean"
    readout: str = "trained"

    @property
    def is_linear(self) -> bool:
        """Whether outputs depend on inputs linearly, up to a constant."""
        whole = (self.mix, self.activation, self.norm, self.mlp) == ("linear", "none", "none", 0.0)
        return whole and self.pooling != "statistics"

    def __post_init__(self):
        if self.memory is not None and not 1 / FASTEST <= self.memory[0] <= self.memory[1]:
            raise SettingError(
                given=f"memory={self.memory}",
                needed=f"(shortest, longest) in samples, {1 / FASTEST:g} <= shortest <= longest",
                remedy="None covers the length of the series.",
            )
        if self.pooling not in POOLINGS:
            raise SettingError(given=f"pooling={self.pooling!r}", needed=f"one of {POOLINGS}", remedy="Change `pooling`.")
        if self.readout not in ("trained", "solved"):
            raise SettingError(given=f"readout={self.readout!r}", needed="'trained' or 'solved'", remedy="Change `readout`.")
        fixed = (self.mix, self.activation, self.norm, self.mlp, self.dropout) == ("linear", "none", "none", 0.0, 0.0)
        if self.readout == "solved" and (not fixed or self.depth > 1 or self.bidirectional):
            raise SettingError(
                given="readout='solved' for a model that is not one causal linear layer",
                needed="depth=1, mix='linear', activation='none', norm='none', no dropout, no mlp, not bidirectional",
                remedy="Use the presets 'lssl:linear' or 'lssl:bank', or readout='trained'.",
            )
        self.stack("mean", 2)  # the rest is checked where it is used, but now

    def stack(self, answer: str, samples: int) -> Stack:
        """Settings of the network for series of that many samples."""
        shortest, longest = self.memory or (max(1 / FASTEST, samples / 100), max(2 / FASTEST, float(samples)))
        if self.pooling == "statistics" and self.memory is None:
            shortest, longest = 1 / FASTEST, max(2 / FASTEST, float(samples))
        elif self.readout == "solved" and self.memory is None:
            # The fastest state falls by e within a sample: regression finds wild kernels between samples if it can.
            shortest, longest = max(1 / FASTEST, min(self.order, samples / 4)), max(2 / FASTEST, samples / 2)
        layer = {
            "d_state": self.order, "channels": self.channels, "A": self.structure, "init": self.start or None,
            "train_A": self.train_structure, "train_dt": self.train_steps, "n_ssm": self.copies, "disc": self.method,
            "input_rule": self.rule, "dt_min": 1 / longest, "dt_max": 1 / shortest, "bidirectional": self.bidirectional,
        }  # fmt: skip
        return Stack(
            self.width, self.depth, layer, self.norm, self.prenorm, self.mix, self.activation, self.dropout, self.mlp, answer,
            1 if answer == "each" else self.stride,
        )  # fmt: skip


PRESETS = {
    "tiny": {"width": 16, "depth": 2, "order": 16},
    "small": {"width": 32, "depth": 3, "order": 32},
    "base": {"width": 64, "depth": 4, "order": 32},
    "large": {"width": 128, "depth": 6, "order": 64},
    "linear": {"width": 16, "depth": 1, "order": 32, "structure": "legs", "train_steps": False, "mix": "linear",
               "activation": "none", "norm": "none", "method": "zoh", "rule": "foh", "readout": "solved"},
    "bank": {"width": 512, "depth": 1, "order": 16, "structure": "legs", "train_structure": False, "train_steps": False,
             "mix": "linear", "activation": "none", "norm": "none", "rule": "right", "pooling": "statistics",
             "readout": "solved"},
}  # fmt: skip


class LSSL(TorchOperator):
    """Stack of linear state-space layers over time; see `Config` for the settings.

    Tasks: "sequence", "forecast", "classification", "regression", on series (a point in space, any number of channels).

    Examples
    --------
    >>> LSSL(width=16, depth=2).config.structure
    'dissipative'
    """

    takes = ("sequence", "forecast", "classification", "regression")
    answers_at = ("times",)

    def __init__(self, **config):
        super().__init__(Config(**config))
        # A linear system at rest answers nothing to nothing; a shifted input would be a step at the first sample.
        self.shifts = (not self.config.is_linear,) * 2

    def build(self, signature: Signature) -> nn.Module:
        if signature.grid.dimension != 1:
            raise GridError(
                given=f"a task with the axes {signature.grid.names}",
                needed="time alone: an LSSL runs over series at a point",
                remedy="Give components as channels (sample, time, component), or use the operator 'memory_fno'.",
            )
        if signature.kind == "forecast" and self.config.bidirectional:
            raise SettingError(
                given="a bidirectional LSSL for forecasts", needed="bidirectional=False: the next frame would be seen",
                remedy="Set it.",
            )  # fmt: skip
        answer = self.config.pooling if signature.per_item else "each"
        stride = self.config.stride if signature.per_item else 1
        stack = self.config.stack(answer, signature.grid.shape[0] // stride)
        if self.config.readout == "trained":
            return SeriesNetwork(signature, stack, sampling_step(signature))
        inputs, outputs = len(signature.inputs) - bool(signature.step) - bool(signature.mask), len(signature.outputs)
        if signature.per_item and self.config.pooling == "statistics":
            network = SeriesNetwork(signature, stack, sampling_step(signature), bank=True)
            return network.requires_grad_(False)
        if signature.per_item:
            raise SettingError(
                given=f"pooling={self.config.pooling!r} for {signature.kind!r} with readout='solved'",
                needed="pooling='statistics'", remedy="Use the preset 'lssl:bank'.",
            )  # fmt: skip
        if self.config.width < max(inputs, outputs):
            raise SettingError(
                given=f"width={self.config.width} for {inputs} inputs, {outputs} outputs of {signature.kind!r}, readout solved",
                needed="a width of at least the number of inputs and of outputs",
                remedy="Widen it, or use readout='trained'.",
            )
        stack.layer["channels"] = outputs
        network = SeriesNetwork(signature, stack, sampling_step(signature)).double()
        arrange(network.model, inputs, outputs)
        return network

    def learner(self, training):
        self.bound_signature  # noqa: B018 - a clear error when unbound
        if self.config.readout == "trained":
            return super().learner(training)
        return SolvedDecoder(self, training) if self.bound_signature.per_item else SolvedReadout(self, training)

    def recommended(self, task):
        if self.config.readout == "solved":
            return {"epochs": 1, "batch_size": 16}
        return {"lr": 4e-3, "batch_size": 16, "epochs": 60, "weight_decay": 0.01, "warmup": 0.05}

    def asked(self, inputs: Any, times: Sequence[float] | np.ndarray | None = None, **where: Any) -> dict[str, Any]:
        super().asked(inputs, **where)
        if times is None:
            return {}
        signature = self.bound_signature
        times = np.asarray(times, np.float64)
        steps = np.diff(times)
        frames = (inputs.shape[2], inputs.shape[2] + 1) if signature.kind == "forecast" else (inputs.shape[2],)
        if signature.step or times.ndim != 1 or len(times) not in frames or len(times) < 2 or not (steps > 0).all():
            raise DataError(
                given=f"times of shape {times.shape} for inputs of {inputs.shape[2]} samples",
                needed="one increasing time for each sample"
                if not signature.step
                else f"none: the input {signature.step!r} holds the steps",
                remedy="Pass the times at which the inputs were taken.",
            )
        dt = _ratios(times, signature)
        if isinstance(dt, float):
            return {"dt": dt}
        return {"dt": torch.as_tensor(np.concatenate([dt[:1], dt])[: inputs.shape[2]])}

    def continued(self, frames: Any, steps: int, **where: Any) -> Any:
        times = where.get("times")
        dt = 1.0 if times is None else _ratios(np.asarray(times, np.float64), self.bound_signature)
        if not isinstance(dt, float):
            return super().continued(frames, steps, **where)
        frames, fields = np.asarray(frames), len(self.bound_signature.outputs)
        stream, found = Stream(self, dt), []
        for k in range(frames.shape[2] + steps - 1):
            known = k < frames.shape[2]
            found.append(stream(frames[:, :, k] if known else np.concatenate([found[-1], frames[:, fields:, -1]], axis=1)))
        return np.stack(found[frames.shape[2] - 1 :], axis=1)

    def check_same(self, task) -> None:
        super().check_same(task)
        mine, given = sampling_step(self.bound_signature), sampling_step(task.signature)
        if abs(given - mine) > 1e-6 * mine:
            raise DataError(
                given=f"data with a step of {given:g} for an operator trained at {mine:g}",
                needed="the same step, to go on training",
                remedy="Make a new operator; to predict at another step, pass `times=`.",
            )

    def stream(self, step: float | None = None) -> "Stream":
        """The operator for samples that come one at a time, `step` apart in time (by default as in training).

        Raises
        ------
        SettingError : one answer for a whole series, a bidirectional model, or a task with steps of its own.
        """
        signature = self.bound_signature
        if signature.per_item or signature.step:
            raise SettingError(
                given=f"a stream of an operator trained for {signature.kind!r}"
                + (f" with steps {signature.step!r}" if signature.step else ""),
                needed="an answer for each sample, evenly spaced",
                remedy="Use `predict`.",
            )
        ratio = 1.0 if step is None else step / sampling_step(signature)
        return Stream(self, ratio)


class SeriesNetwork(nn.Module):
    """The network of an LSSL: takes padding and steps out of the channels, and runs the rest through a `SequenceModel`."""

    def __init__(self, signature: Signature, stack: Stack, step: float, bank: bool = False):
        super().__init__()
        named = signature.inputs
        self.mask = named.index(signature.mask) if signature.mask else None
        self.step = named.index(signature.step) if signature.step else None
        self.trained_step = step
        self.kept = [i for i in range(len(named)) if i not in (self.mask, self.step)]
        inputs, outputs = len(self.kept), len(signature.outputs)
        self.model: Any = (
            KernelBank(inputs, outputs, stack.width, stack.layer) if bank else SequenceModel(inputs, outputs, stack)
        )

    def forward(self, x: torch.Tensor, dt: float | torch.Tensor = 1.0) -> torch.Tensor:
        u, dt = self.signals(x, dt)
        return self.model(u, dt, self.lengths(x))

    def lengths(self, x: torch.Tensor) -> torch.Tensor | None:
        """Valid samples of each row, where there is padding."""
        return None if self.mask is None else (x[:, self.mask] > 0).sum(-1)

    def signals(self, x: torch.Tensor, dt: float | torch.Tensor = 1.0) -> tuple[torch.Tensor, float | torch.Tensor]:
        """What the model runs over, and its steps over the trained one."""
        if self.step is not None:
            dt = x[:, self.step].double() / self.trained_step
        elif isinstance(dt, torch.Tensor):
            dt = dt.to(x.device).expand(len(x), -1)
        return x[:, self.kept] if len(self.kept) < x.shape[1] else x, dt


class Stream:
    """An `LSSL` that is fed sample by sample; it remembers. `state` and `load_state` let it stop and go on elsewhere."""

    def __init__(self, operator: LSSL, ratio: float):
        self.operator = operator
        operator.module.eval()
        self._model = operator.module.model.stream(ratio)  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """(item, channel) to (item, output), in physical units."""
        parameter = next(self.operator.module.parameters())
        x = torch.as_tensor(inputs)[..., None].to(parameter.device, parameter.dtype)
        y = self._model(self.operator.input_normaliser.encode(x)[..., 0])
        return to_numpy(self.operator.output_normaliser.decode(y[..., None])[..., 0])

    def state(self) -> dict[str, np.ndarray]:
        """What it remembers, by name."""
        found = {}
        for i, state in enumerate(self._model.states):
            found |= {} if state is None else {f"{i}.{k}": to_numpy(v) for k, v in state._asdict().items() if v is not None}
        return found

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave."""
        from sciml.ssm.modes import State

        device = next(self.operator.module.parameters()).device
        for i in range(len(self._model.states)):
            parts = {k: torch.as_tensor(arrays[f"{i}.{k}"]).to(device) for k in State._fields if f"{i}.{k}" in arrays}
            self._model.states[i] = State(**parts) if parts else None


def _ratios(times: np.ndarray, signature: Signature) -> float | np.ndarray:
    """Steps over the trained one: a number if they are even, else (time - 1,)."""
    ratios = np.diff(times) / sampling_step(signature)
    return float(ratios.mean()) if np.ptp(ratios) <= 1e-6 * ratios[0] else ratios


def sampling_step(signature: Signature) -> float:
    """Time between two samples; the mean step where samples lie unevenly."""
    times = np.asarray(signature.times)
    return float((times[-1] - times[0]) / (len(times) - 1))
