"""Settings of NeuralStagger, checked when they are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sciml.operators.neural_stagger.stepping import SCHEMES
from sciml.operators.neural_stagger.subsolvers import BACKENDS, SHARING
from solvers.errors import SettingError, unknown_name

LEARN = ("", "physics", "data", "mixed")
GRADIENTS = ("causal", "full", "energy")
NORMS = ("preconditioned", "plain")
STARTS = ("state", "sweep", "nothing")


@dataclass(frozen=True)
class Config:
    """Settings of NeuralStagger.

    backbone, settings : operator by name and size, and fields of its configuration.
    space : sub-grids per axis, one number or one per axis; must divide the grid.   time : interleaved sequences of frames.
    sharing : "separate", "shared", "offset" (see `subsolvers`); "" takes "shared" on a torus, "offset" next to walls.
    backend : "batched" or "loop".
    learn : "physics" (no labels), "data", "mixed"; "" takes physics where the data say their equation.
    scheme, stencil : time integrator (`stepping.SCHEMES`) and "spectral" or "finite-difference" whose residual is minimised.
    norm : "preconditioned" or "plain" residual.   gradient : "causal", "full", "energy" (`learner`).
    rollout : frames of a training window at the end of training.   pool : own states kept, 0 for none.
    data_weight : of the loss on labels in "mixed".
    start : what the network's answer is added to: the "state"; one classical "sweep" from it (this needs the whole field, so
        that sub-solvers are no longer independent); or "nothing".
    correct : classical iterations after each step of `predict` and of roll-outs.
    resolution, states, dt : of the states that are drawn when a problem is given, not a dataset (dt: its interval of frames).
    equation, constants, walls : taken from the data; see `physics.Physics`.
    """

    backbone: str = "resnet"
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: int | tuple[int, ...] = 2
    time: int = 1
    sharing: str = ""
    backend: str = "batched"
    learn: str = ""
    scheme: str = "trapezoid"
    stencil: str = ""
    norm: str = "preconditioned"
    gradient: str = "causal"
    rollout: int = 2
    pool: int = 64
    data_weight: float = 1.0
    start: str = "state"
    correct: int = 0
    resolution: int | tuple[int, ...] = 64
    states: int = 256
    dt: float = 0.0
    equation: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    walls: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name, known in (
            ("sharing", ("", *SHARING)), ("backend", BACKENDS), ("learn", LEARN), ("scheme", SCHEMES), ("gradient", GRADIENTS),
            ("norm", NORMS), ("start", STARTS), ("stencil", ("", "spectral", "finite-difference")),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        if min(self.time, self.rollout, self.states) < 1 or min(self.pool, self.correct, self.data_weight, self.dt) < 0:
            raise SettingError(
                given=f"time={self.time}, rollout={self.rollout}, states={self.states}, pool={self.pool}, "
                f"correct={self.correct}, data_weight={self.data_weight}, dt={self.dt}",
                needed="time, rollout, states >= 1 and the others >= 0",
                remedy="Mend them.",
            )
