"""Neural ordinary differential equation: y' = f(y, t, c), with a training that also makes it cheap to solve.

    classification   y(0) = the series as one vector (and zeros, `augment`), scores = W y(1) + b
    trajectory       y(0) = the initial frame (and zeros), frames = the same components of y(t_1), y(t_2), ...

Chen, Rubanova, Bettencourt, Duvenaud, Neural Ordinary Differential Equations, NeurIPS 2018; zeros beside the state: Dupont,
Doucet, Teh, Augmented Neural ODEs, NeurIPS 2019. Error and stiffness regularisation: Pal, Ma, Shah, Rackauckas, Opening the
Blackbox, ICML 2021 (`sciml.nde`). A history's column "evaluations" is the mean number of evaluations of f in a training solve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.nde import RegularizedSolve, Statistics
from sciml.nde.quantities import REGULARISERS
from sciml.nde.training import RegularisedBackprop
from sciml.operator import Learner, Training
from sciml.tasks import Signature
from solvers.errors import DataError, SettingError, unknown_name

CHECKS = {"dataset": "moving", "task": "trajectory", "epochs": 120}
PRESETS = {
    "tiny": {"width": 24},
    "small": {},
    "base": {"width": 128},
    "regularised": {"regularisers": ("R_N",), "weights": (0.03,)},
    "augmented": {"augment": 8},
}


@dataclass(frozen=True)
class Config:
    """Settings of a neural ODE.

    width, depth : hidden units and hidden layers of f, a tanh network of (y, t, constants).
    augment : zeros beside the state at the start (augmented neural ODE).
    method, rtol, atol, batching, aggregate, steer, max_steps : see `sciml.nde.RegularizedSolve`; time runs from 0 to 1.
        Tolerances below 1e-5 want precision="float64".
    regularisers, weights : names and coefficients lambda of what is added to the loss.   final_weights : what the coefficients
        become by the end, exponentially; () keeps them.
    target_evaluations : instead of fixed coefficients: evaluations of f that a solve may need; the coefficient of the first
        regulariser starts at its weight and is raised or lowered by `dual_rate` until it is met.
    """

    width: int = 64
    depth: int = 2
    augment: int = 0
    method: str = "tsit5"
    rtol: float = 1e-5
    atol: float = 1e-5
    batching: str = "coupled"
    aggregate: str = "sum"
    steer: float = 0.0
    max_steps: int = 512
    regularisers: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    final_weights: tuple[float, ...] = ()
    target_evaluations: int = 0
    dual_rate: float = 1e-3

    def __post_init__(self):
        if min(self.width, self.depth) < 1 or self.augment < 0 or self.dual_rate <= 0 or self.target_evaluations < 0:
            raise SettingError(
                given=f"width={self.width}, depth={self.depth}, augment={self.augment}, dual_rate={self.dual_rate}",
                needed="width, depth >= 1, augment and target_evaluations >= 0, dual_rate > 0",
                remedy="Change them.",
            )
        unknown = next((name for name in self.regularisers if name not in REGULARISERS), None)
        if unknown is not None:
            raise unknown_name("regulariser", unknown, REGULARISERS)
        counts = {len(self.regularisers), len(self.weights), len(self.final_weights or self.weights)}
        if len(counts) > 1 or min((*self.weights, *self.final_weights), default=0.0) < 0:
            raise SettingError(
                given=f"regularisers {self.regularisers} with weights {self.weights} and {self.final_weights}",
                needed="one weight >= 0 for each",
                remedy="Change `weights`.",
            )
        if any((a == 0) != (b == 0) for a, b in zip(self.weights, self.final_weights, strict=False)):
            raise SettingError(given=f"weights {self.weights} that become {self.final_weights}",
                               needed="both positive, or both zero", remedy="They change exponentially.")  # fmt: skip
        if self.target_evaluations and len(self.regularisers) != 1:
            raise SettingError(given=f"a target with regularisers {self.regularisers}", needed="one whose coefficient is found",
                               remedy="Use regularisers=('R_N',), weights=(0.0,).")  # fmt: skip
        self.solve  # noqa: B018 - checks the rest

    @property
    def solve(self) -> RegularizedSolve:
        """The solve that these settings describe."""
        return RegularizedSolve(
            "torch", self.method, self.rtol, self.atol, self.regularisers, self.aggregate, self.batching, self.steer,
            max_steps=self.max_steps,
        )  # fmt: skip


class NeuralODE(TorchOperator):
    """Neural ODE for classes of series and for trajectories; see `Config`."""

    module: Any
    takes = ("classification", "trajectory", "final")

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        return Network(signature, self.config)

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return RegularisedBackprop(self, training)

    def recommended(self, task) -> dict[str, Any]:
        return {"lr": 3e-3, "batch_size": 128 if task.kind == "classification" else 16, "weight_decay": 0.0, "epochs": 60}

    def check_grid(self, shape: tuple[int, ...]) -> None:
        wanted = tuple(self.bound_signature.grid.shape)
        if tuple(shape) != wanted:
            raise DataError(
                given=f"inputs on {tuple(shape)} points for a neural ODE whose state has {wanted}",
                needed="the points that it was trained on",
                remedy="Resample the inputs, or train anew.",
            )

    def apply(self, inputs: torch.Tensor, network: Callable | None = None, **options: Any) -> torch.Tensor:
        out = (network or self.module)(self.input_normaliser.encode(inputs), **options)
        if self.bound_signature.per_item:
            return out
        fields = self.module.fields  # frames are in the units of the initial frame
        repeated = out.shape[1] // fields
        shift, scale = (
            torch.as_tensor(v[:fields]).to(out).repeat(repeated).reshape(1, -1, *(1,) * (out.ndim - 2))
            for v in (self.input_normaliser.shift, self.input_normaliser.scale)
        )
        return out * scale + shift

    def solved(self, inputs: Any) -> Statistics:
        """Statistics of the solve that predicts these inputs, as one batch."""
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, type(self).__name__)
        parameter = next(self.module.parameters())
        self.predict(torch.as_tensor(inputs).to(parameter.device), batch_size=len(inputs))
        return self.module.statistics


class Network(nn.Module):
    """From normalised inputs (item, channel, *space) to scores (item, class), or to frames (item, time x field, *space)."""

    statistics: Statistics

    def __init__(self, signature: Signature, config: Config):
        super().__init__()
        self.solve, self.augment, self.per_item = config.solve, config.augment, signature.per_item
        points = 1
        for n in signature.grid.shape:
            points *= n
        channels, times = len(signature.inputs), signature.times
        frames = 1 if signature.per_item or signature.kind == "final" else len(times) - 1
        self.fields = channels if self.per_item else len(signature.outputs) // frames
        constants = (channels - self.fields) * points
        if constants and config.batching == "per-sample":
            raise SettingError(
                given="per-sample steps with inputs that stay constant in time", needed="batching='coupled'",
                remedy="Change it, or leave the inputs out.",
            )  # fmt: skip
        self.size = self.fields * points
        state = self.size + config.augment
        self.times = [0.0, 1.0] if frames == 1 else [(t - times[0]) / (times[-1] - times[0]) for t in times]
        widths = [state + 1 + constants, *[config.width] * config.depth]
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.Tanh())]
        self.field = nn.Sequential(*layers, nn.Linear(config.width, state))
        self.readout = nn.Linear(state, len(signature.outputs)) if self.per_item else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start, constants = x[:, : self.fields].flatten(1), x[:, self.fields :].flatten(1)
        start = nn.functional.pad(start, (0, self.augment))

        def f(t, y):
            return self.field(torch.cat([y, t.expand(len(y), 1).to(y), constants[: len(y)]], 1))

        y, self.statistics = self.solve(f, start, self.times, training=self.training)
        if self.per_item:
            return self.readout(y[-1])
        frames = y[1:, :, : self.size].movedim(0, 1)
        return frames.reshape(len(x), -1, *x.shape[2:])
