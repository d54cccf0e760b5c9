"""Neural ordinary differential equation: y' = f(y, t, c), with a training that also makes it cheap to solve.

    classification, regression   y(0) = the series as one vector (and zeros, `augment`), answer = W y(1) + b
    trajectory, next frame       y(0) = the initial frame (and zeros), frames = the same components of y(t_1), y(t_2), ...

Chen, Rubanova, Bettencourt, Duvenaud, Neural Ordinary Differential Equations, NeurIPS 2018; zeros beside the state: Dupont,
Doucet, Teh, Augmented Neural ODEs, NeurIPS 2019. Error and stiffness regularisation: Pal, Ma, Shah, Rackauckas, Opening the
Blackbox, ICML 2021 (`sciml.nde`). A history's column "evaluations" is the mean number of evaluations of f in a training solve.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.nde.fields import perceptron, run, with_time
from sciml.nde.operator import Answer, NeuralDE, Solving
from sciml.tasks import Signature
from solvers.errors import SettingError

CHECKS = {"dataset": "moving", "task": "trajectory", "epochs": 120}
PRESETS = {
    "tiny": {"width": 24},
    "small": {},
    "base": {"width": 128},
    "regularised": {"regularisers": ("R_N",), "weights": (0.03,)},
    "augmented": {"augment": 8},
}


@dataclass(frozen=True)
class Config(Solving):
    """Settings of a neural ODE, beside those of its solves (`sciml.nde.operator.Solving`).

    width, depth : hidden units and hidden layers of f, a tanh network of (y, t, constants).
    augment : zeros beside the state at the start (augmented neural ODE).
    cubed : f sees y^3 instead of y, and the units of y keep its zero.
    """

    width: int = 64
    depth: int = 2
    augment: int = 0
    cubed: bool = False

    def __post_init__(self):
        super().__post_init__()
        if min(self.width, self.depth) < 1 or self.augment < 0:
            raise SettingError(
                given=f"width={self.width}, depth={self.depth}, augment={self.augment}",
                needed="width, depth >= 1, augment >= 0",
                remedy="Change them.",
            )


class NeuralODE(NeuralDE):
    """Neural ODE for classes, numbers and trajectories; see `Config`.

    Examples
    --------
    >>> NeuralODE(backend="jax", regularisers=("R_N",), weights=(0.03,)).config.solve.backend
    'jax'
    """

    takes = ("classification", "regression", "trajectory", "final", "autoregressive")

    def __init__(self, **config):
        self.config = Config(**config)
        self.shifts = (not self.config.cubed, True)

    def draw(self, signature, rng):
        c = self.config
        if signature.history > 1:
            raise SettingError(given=f"history={signature.history}", needed="1: a flow starts at one state", remedy="Set it.")
        fields, points = state_fields(signature), int(np.prod(signature.grid.shape))
        constants = 0 if signature.per_item else (len(signature.inputs) - fields) * points
        if constants and c.batching == "per-sample":
            raise SettingError(
                given="per-sample steps with inputs that stay constant in time", needed="batching='coupled'",
                remedy="Change it, or leave the inputs out.",
            )  # fmt: skip
        state = fields * points + c.augment
        weights = perceptron(rng, "field", (state + constants + 1, *[c.width] * c.depth, state))
        return weights | (perceptron(rng, "readout", (state, len(signature.outputs))) if signature.per_item else {})

    def model(self, p, x, scales, xp, solve, share=1.0, noise=None):
        signature, c = self.bound_signature, self.config
        fields = state_fields(signature)
        y0 = x[:, :fields]
        if signature.mask:
            y0 = y0 * x[:, fields:]  # the mask comes last; padding is zero in the units of the state, too
        y0, constants = y0.reshape(len(x), -1), x[:, fields:].reshape(len(x), -1)
        if signature.per_item:
            constants = constants[:, :0]
        if c.augment:
            y0 = xp.concatenate([y0, xp.stack([xp.zeros_like(y0[:, 0])] * c.augment, -1)], -1)

        def f(t, y):  # in per-sample batching y is one row, and there are no constants
            return run(p, "field", with_time(t, [y**3 if c.cubed else y, constants[: len(y)]], xp), xp)

        y, statistics = solve(f, y0, solve_times(signature))
        if signature.per_item:
            answer = run(p, "readout", y[-1], xp)
            return Answer(answer * scales["output.scale"] + scales["output.shift"], statistics)
        size = y0.shape[1] - c.augment
        frames = xp.moveaxis(y[1:, :, :size], 0, 1).reshape(len(x), -1, fields, *x.shape[2:])
        # Frames are in the units of the initial frame: the state is one thing at all times.
        scale, shift = (
            scales[f"input.{name}"][:fields].reshape(1, 1, fields, *(1,) * (x.ndim - 2)) for name in ("scale", "shift")
        )
        return Answer((frames * scale + shift).reshape(len(x), -1, *x.shape[2:]), statistics)

    def recommended(self, task) -> dict[str, Any]:
        return {"lr": 3e-3, "batch_size": 128 if task.kind == "classification" else 16, "weight_decay": 0.0, "epochs": 60}


def frames_of(signature: Signature) -> int:
    """How many frames are answered."""
    return len(signature.times) - 1 if signature.kind == "trajectory" else 1


def state_fields(signature: Signature) -> int:
    """How many of the input channels are the state."""
    if signature.per_item:
        return len(signature.inputs) - bool(signature.mask)
    return len(signature.outputs) // frames_of(signature)


def solve_times(signature: Signature) -> list[float]:
    """Times of the solve, from 0 to 1."""
    times = signature.times
    if signature.kind != "trajectory":
        return [0.0, 1.0]
    return [(t - times[0]) / (times[-1] - times[0]) for t in times]
