"""Fourier layers in space with a memory in time: the next frame from all so far, for dynamics that are seen too coarsely.

    v <- F_k ... F_1 P u_t,    v <- v + g * M[v up to t],    u_{t+1} = u_t + Q F_n ... F_{k+1} v

What a coarse or noisy observation leaves out makes the observed dynamics depend on its past (Mori and Zwanzig). M is a linear
state-space layer along time at every grid point, behind a gate g in (0, 1) for each feature; without it the same network is a
one-step model. It is trained on all steps of a trajectory at once, and rolled out with the states of M carried along.

Buitrago Ruiz, Marwah, Gu, Risteski, On the Benefits of Memory for Modeling Time-Dependent PDEs, ICLR 2025 (MemNO); the gate
follows Hur et al. (AMGFNO, 2026), the layer Gu et al. (LSSL, NeurIPS 2021).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sciml.learners.backprop import TorchOperator, to_numpy
from sciml.operators.fno import FourierLayer, _perceptron
from sciml.ssm.layer import StateSpaceLayer
from sciml.ssm.model import FeatureNorm, Mixing
from sciml.tasks import Signature
from solvers.errors import DataError, GridError, SettingError

CHECKS = {"dataset": "moving", "task": "forecast", "epochs": 40}
MEMORIES = ("lssl", "gru", "none")


@dataclass(frozen=True)
class Config:
    """Settings of a Fourier neural operator with memory.

    width : features.   modes : Fourier modes kept per axis.   before, after : Fourier layers before and after the memory.
    mlp : hidden width of each Fourier layer's channel MLP relative to `width`; 0 for none.
    memory : "lssl", "gru", or "none" for a one-step model of the same layers.
    order, structure, start, method, rule : states and form of the state-space layer, see `sciml.operators.lssl.Config`.
    remember : shortest and longest time that a feature remembers at the start, in frames; None covers the trajectory.
    gated : whether the memory has a gate, which starts half open.
    history : last frames that the network is given as channels (the first one repeated before the beginning).
    residual : predict the change of a frame, not the frame.
    """

    width: int = 64
    modes: int | tuple[int, ...] = 32
    before: int = 2
    after: int = 2
    mlp: float = 1.0
    memory: str = "lssl"
    order: int = 32
    structure: str = "dissipative"
    start: str = ""
    method: str = "bilinear"
    rule: str = "trapezoid"
    remember: tuple[float, float] | None = None
    gated: bool = True
    history: int = 1
    residual: bool = True

    def __post_init__(self):
        if self.memory not in MEMORIES:
            raise SettingError(given=f"memory={self.memory!r}", needed=f"one of {MEMORIES}", remedy="Change `memory`.")
        if min(self.width, self.history, self.before + self.after) < 1 or min(self.before, self.after) < 0 or self.mlp < 0:
            raise SettingError(given=f"{self}", needed="positive width, history and number of layers", remedy="Mend them.")
        if self.remember is not None and not 1 <= self.remember[0] <= self.remember[1]:
            raise SettingError(
                given=f"remember={self.remember}", needed="1 <= shortest <= longest, in frames", remedy="None suits the data."
            )


PRESETS = {
    "tiny": {"width": 16, "modes": 8, "before": 1, "after": 1, "order": 8},
    "small": {"width": 32, "modes": 16, "before": 1, "after": 1, "order": 16},
    "base": {},
    "large": {"width": 128, "modes": 48, "order": 64},
}


class MemoryFNO(TorchOperator):
    """Fourier layers with a memory, for the task "forecast" on grids of one or two dimensions; see `Config`.

    Answers at other resolutions that resolve its modes, and at another frame step, `predict(frames, times=...)`: time constants
    and the change per frame are rescaled, the latter to second order (see `_rescaled`).

    Examples
    --------
    >>> MemoryFNO(width=16, modes=8).config.memory
    'lssl'
    """

    takes = ("forecast",)
    answers_at = ("times",)

    def __init__(self, **config):
        super().__init__(Config(**config))
        self.shifts = (True, not self.config.residual)  # a change of zero stays zero

    def build(self, signature: Signature) -> nn.Module:
        space = signature.grid.axes[1:]
        if not space:
            raise GridError(
                given="series at a point", needed="fields on a grid", remedy="Use the operator 'lssl' for forecasts of series."
            )
        modes = self.config.modes
        modes = (modes,) * len(space) if isinstance(modes, int) else tuple(modes)
        if len(modes) != len(space):
            raise GridError(given=f"modes={modes}", needed=f"one number or {len(space)}", remedy="Give one per axis.")
        self._modes = modes
        self.check_grid(signature.grid.shape)
        walls = tuple(axis.kind != "periodic" for axis in space)
        return MemoryNetwork(signature, modes, walls, self.config)

    def check_grid(self, shape: tuple[int, ...]) -> None:
        for n, m, name in zip(shape[1:], self._modes, "xyz", strict=False):
            if m > n:
                raise GridError(
                    given=f"{n} points along {name} for {m} Fourier modes",
                    needed=f"at least {m} points",
                    remedy="Use fewer modes or a finer grid.",
                )

    def recommended(self, task):
        return {"lr": 3e-3, "batch_size": 16, "epochs": 60, "weight_decay": 1e-4}

    def apply(self, inputs, network=None, **options):
        """Physical frames to physical frames; with `residual` the network's answer is a change."""
        changes = super().apply(inputs, network, **options)
        if not self.config.residual:
            return changes
        before = torch.cat([changes[:, :, :1], changes[:, :, :-1]], 2)
        return inputs[:, : len(self.bound_signature.outputs)] + _rescaled(changes, before, options.get("dt", 1.0))

    def asked(self, inputs: Any, times=None, **where: Any) -> dict[str, Any]:
        super().asked(inputs, **where)
        return {} if times is None else {"dt": self._ratio(np.asarray(times, np.float64), inputs.shape[2] + 1)}

    def _ratio(self, times: np.ndarray, frames: int) -> float:
        steps, trained = np.diff(times), np.diff(self.bound_signature.times[:2])[0]
        if times.ndim != 1 or len(times) < frames or not (steps > 0).all() or np.ptp(steps) > 1e-6 * steps[0]:
            raise DataError(
                given=f"times of shape {times.shape} for {frames - 1} frames",
                needed=f"{frames} even times: of the frames given, and of the next one",
                remedy="Pass those times.",
            )
        if not self.config.residual and abs(steps[0] - trained) > 1e-6 * trained:
            raise SettingError(
                given=f"a frame step of {steps[0]:g} for an operator trained at {trained:g} that predicts frames",
                needed="one that predicts changes",
                remedy="Train with residual=True.",
            )
        return float(steps[0] / trained)

    @torch.no_grad()
    def continued(self, frames: Any, steps: int, **where: Any) -> Any:
        """Frames that follow, states carried along: each costs one frame's work."""
        signature = self.bound_signature
        frames = np.asarray(frames)
        signature.check_inputs(frames.shape, type(self).__name__)
        self.check_grid(frames.shape[2:])
        ratio = self._ratio(np.asarray(where["times"], np.float64), frames.shape[2] + steps) if where else 1.0
        network: Any = self.module
        parameter, fields = next(network.parameters()), len(signature.outputs)
        network.eval()
        x = torch.as_tensor(frames).to(parameter.device, parameter.dtype)
        memory, found, before = None, [], None
        for k in range(frames.shape[2] + steps - 1):
            now = x[:, :, k] if k < x.shape[2] else torch.cat([found[-1], x[:, fields:, -1]], 1)
            change, memory = network.step(self.input_normaliser.encode(now), memory, ratio)
            change = self.output_normaliser.decode(change)
            before = change if before is None else before
            found.append(now[:, :fields] + _rescaled(change, before, ratio) if self.config.residual else change)
            before = change
        return to_numpy(torch.stack(found[x.shape[2] - 1 :], 1))

    def gates(self) -> np.ndarray:
        """How far the memory's gate is open, (feature,), between 0 and 1; empty without one."""
        memory = getattr(self.module, "memory", None)
        gate = getattr(memory, "gate", None)
        return np.zeros(0, np.float32) if gate is None else to_numpy(torch.sigmoid(gate))


def _rescaled(change: torch.Tensor, before: torch.Tensor, ratio: float) -> torch.Tensor:
    """The change over `ratio` frames, from those over a whole one that start now and `ratio` frames ago.

    From u(t + r d) - u(t) = r d u' + (r d)^2 u'' / 2 and the same for r = 1; the difference of the two changes is r d^2 u''.
    """
    return change if ratio == 1 else ratio * change - 0.5 * (1 - ratio) * (change - before)


class MemoryNetwork(nn.Module):
    """(item, channel, time, *space) normalised, in and out; `step` takes one frame and what is remembered."""

    def __init__(self, signature: Signature, modes: tuple[int, ...], walls: tuple[bool, ...], config: Config):
        super().__init__()
        self.fields, self.history = len(signature.outputs), config.history
        self.walls = walls  # coordinates are given along axes with walls; on a circle no point is special
        inputs = len(signature.inputs) + (config.history - 1) * self.fields + sum(walls)
        # With an MLP a layer is v <- g v + MLP(K v + W v), as in the factorised FNO of Tran et al. 2023; else act(K v + W v).
        layers = [
            FourierLayer(config.width, modes, config.mlp, last=config.mlp > 0) for _ in range(config.before + config.after)
        ]
        self.lifting = _perceptron(inputs, 2 * config.width, config.width)
        self.before, self.after = nn.ModuleList(layers[: config.before]), nn.ModuleList(layers[config.before :])
        self.projection = _perceptron(config.width, 2 * config.width, self.fields)
        frames = signature.grid.shape[0]
        self.memory = None if config.memory == "none" else Memory(config, frames)

    def forward(self, x: torch.Tensor, dt: float = 1.0) -> torch.Tensor:
        items, _, frames = x.shape[:3]
        past = [torch.cat([x[:, : self.fields, :1].expand(-1, -1, min(k, frames), *x.shape[3:]), x[:, : self.fields, :-k]], 2)
                for k in range(1, self.history)]  # fmt: skip
        x = torch.cat([x, *past], 1)
        v = self._lifted(x.movedim(2, 1).flatten(0, 1))  # (item * time, *space, feature)
        space, width = v.shape[1:-1], v.shape[-1]
        if self.memory is not None:
            rows = v.reshape(items, frames, -1, width).permute(0, 2, 3, 1).reshape(-1, width, frames)
            rows = self.memory(rows, dt)
            v = rows.reshape(items, -1, width, frames).permute(0, 3, 1, 2).reshape(items * frames, *space, width)
        return self._projected(v).unflatten(0, (items, frames)).movedim((1, -1), (2, 1))

    def step(self, x: torch.Tensor, remembered: Any, dt: float = 1.0) -> tuple[torch.Tensor, Any]:
        """One frame (item, channel, *space), and what `step` gave before (None at the beginning)."""
        fields = x[:, : self.fields]
        past, state = ([fields] * (self.history - 1), None) if remembered is None else remembered
        v = self._lifted(torch.cat([x, *past], 1))
        if self.memory is not None:
            rows, state = self.memory.step(v.reshape(-1, v.shape[-1]), state, dt)
            v = rows.reshape(v.shape)
        return self._projected(v).movedim(-1, 1), ([fields, *past][: self.history - 1], state)

    def _lifted(self, x: torch.Tensor) -> torch.Tensor:
        """(row, channel, *space) to (row, *space, feature), through the layers before the memory."""
        space = x.shape[2:]
        places = [torch.arange(n, device=x.device, dtype=x.dtype) / n for n in space]
        grids = torch.meshgrid(*places, indexing="ij")
        extra = [g.expand(len(x), 1, *space) for g, wall in zip(grids, self.walls, strict=True) if wall]
        v = self.lifting(torch.cat([x, *extra], 1).movedim(1, -1).contiguous())
        for layer in self.before:
            v = layer(v)
        return v

    def _projected(self, v: torch.Tensor) -> torch.Tensor:
        for layer in self.after:
            v = layer(v)
        return self.projection(v)


class Memory(nn.Module):
    """v + g * mix(gelu(M norm(v))) along time: (row, feature, time), every row on its own."""

    def __init__(self, config: Config, frames: int):
        super().__init__()
        shortest, longest = config.remember or (1.0, max(2.0, float(frames)))
        self.norm = FeatureNorm(config.width)
        self.layer = self.recurrent = None
        if config.memory == "lssl":
            self.layer = StateSpaceLayer(
                config.width, config.order, A=config.structure, init=config.start or None, disc=config.method,
                input_rule=config.rule, dt_min=1 / longest, dt_max=1 / shortest,
            )  # fmt: skip
        else:
            self.recurrent = nn.GRU(config.width, config.width, batch_first=True)
        self.mix = Mixing(config.width, 2 * config.width)
        self.gate = nn.Parameter(torch.zeros(config.width)) if config.gated else None

    def forward(self, v: torch.Tensor, dt: float = 1.0) -> torch.Tensor:
        if self.layer is not None:
            y = self.layer.transposed(self.norm(v), dt)[:, :, 0]
        else:
            assert self.recurrent is not None
            y = self.recurrent(self.norm(v).mT)[0].mT
        return self._added(v, y)

    def step(self, v: torch.Tensor, state: Any, dt: float = 1.0) -> tuple[torch.Tensor, Any]:
        """One frame (row, feature)."""
        given = self.norm(v[..., None])
        if self.layer is not None:
            system, before = (self.layer.stream(dt), None) if state is None else state
            y, after = system(given[..., 0], before)
            return self._added(v[..., None], y[..., None].to(v.dtype))[..., 0], (system, after)
        assert self.recurrent is not None
        y, after = self.recurrent(given.mT, state)
        return self._added(v[..., None], y.mT)[..., 0], after

    def _added(self, v: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        y = F.glu(self.mix(F.gelu(y)), 1)
        return v + (y if self.gate is None else torch.sigmoid(self.gate)[:, None] * y)
