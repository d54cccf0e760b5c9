"""Physical networks that learn locally: y_k = P_k(s_k) measured, a_k = W_k u_k + b_k trained by the loss of layer k alone.

The layers P_k are physical systems, fixed and not differentiable, computed by `solvers`; no gradient crosses them, and no model
of them is needed. Momeni, Rahmani, Mallejac, del Hougne, Fleury, Backpropagation-free training of deep physical
neural networks, Science 382, 2023; after Hinton's Forward-Forward (arXiv 2212.13345). The rules are in `sciml.physical.rules`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.operator import Arrays, Learner, Operator, Training
from sciml.physical.layer import PhysicalLayer
from sciml.physical.learner import GreedyLearner
from sciml.physical.network import PhysicalNetwork, scales
from sciml.physical.rules import Rule
from sciml.tasks import Signature, Task
from solvers.errors import DataError, GridError, SettingError, unknown_name

CHECKS = {"dataset": "labelled", "epochs": 31}
PHYSICS = {
    "pulse": ("optics", "Pulse"), "crystal": ("optics", "Crystal"), "fibre": ("optics", "Fibre"),
    "cavity": ("optics", "LinearCavity"), "membranes": ("acoustics", "Membranes"), "enclosure": ("acoustics", "Enclosure"),
    "pendulums": ("mechanics", "PendulumNetwork"), "duffing": ("mechanics", "Duffing"),
}  # fmt: skip
"""Name -> module of `sciml.physical` and class."""


@dataclass(frozen=True)
class Config:
    """Settings of a physical network.

    physics : of `PHYSICS`.   options : of its layers, (name, value) pairs.   depth, width : layers, outputs of each linear one.
    rule, theta, tau, function, penalty : see `sciml.physical.rules.Rule`.
    skip : readings together with the drive that made them (the published digital bypass).   inject : data drive every layer.
    jitter : standard deviation of noise added to standardised readings while training (no passes are spent on it).
    scaling : of the data, to drives: each "feature" to spread one, or all by one number ("whole"), which keeps what features of
        one unit, as pixels, say by their spread.
    """

    physics: str = "pulse"
    options: tuple[tuple[str, Any], ...] = ()
    depth: int = 2
    width: int = 64
    rule: str = "heads"
    theta: float = 4.0
    tau: float = 10.0
    function: str = "absolute"
    penalty: float | None = None
    skip: bool = False
    inject: bool = True
    jitter: float = 0.0
    scaling: str = "feature"

    def __post_init__(self):
        object.__setattr__(self, "options", tuple((str(name), value) for name, value in self.options))
        if self.physics not in PHYSICS:
            raise unknown_name("physics", self.physics, PHYSICS)
        if self.depth < 1 or self.width < 2 or self.jitter < 0:
            raise SettingError(
                given=f"depth={self.depth}, width={self.width}, jitter={self.jitter}",
                needed="depth >= 1, width >= 2, jitter >= 0",
                remedy="Change them.",
            )  # fmt: skip
        scales(np.ones(1), self.scaling)
        self.learning  # noqa: B018 - checks the rest

    @property
    def learning(self) -> Rule:
        """The rule."""
        return Rule(self.rule, self.theta, self.tau, self.function, self.penalty, self.jitter)


PRESETS = {
    "tiny": {"width": 16, "options": (("points", 128), ("steps", 16))},
    "small": {"width": 32},
    "base": {},
    "published": {"physics": "membranes", "rule": "pair", "width": 20, "skip": True, "inject": False},
}


class ForwardForward(Operator):
    """Network of physical layers with local learning rules, for classes of series or feature vectors; see `Config`.

    Attributes
    ----------
    network : the layers and what has been trained (after `bind`); `network.passes` counts physical measurements.

    Examples
    --------
    >>> ForwardForward(rule="ridge").config.learning.is_closed
    True
    """

    takes = ("classification",)

    def __init__(self, **config):
        self.config = Config(**config)
        self.network: PhysicalNetwork | None = None

    def make(self, k: int, n_in: int) -> PhysicalLayer:
        """The k-th physical layer, for that many drives: other masks and places than the one before."""
        module, name = PHYSICS[self.config.physics]
        cls = getattr(importlib.import_module(f"sciml.physical.{module}"), name)
        return cls(n_in, **({"seed": 5 + k} | dict(self.config.options)))

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if self.signature is not None:
            raise DataError(
                given="a network that has been bound", needed="a new one: its layers are trained greedily, once",
                remedy="Make a new operator; for a drift, see sciml.physical.drift.",
            )  # fmt: skip
        mean, squares, count = 0.0, 0.0, 0
        for i in range(0, len(task), 1024):
            batch = task.batch(np.arange(i, min(i + 1024, len(task))))
            rows = self._flat(np.asarray(batch.inputs, np.float64))
            if not (np.isfinite(rows).all() and np.isfinite(batch.targets).all()):
                raise DataError(given="NaN or infinity in the training data", needed="finite numbers", remedy="Remove it.")
            delta, total = rows.mean(0) - mean, count + len(rows)
            squares = squares + rows.var(0) * len(rows) + delta**2 * count * len(rows) / total
            mean, count = mean + delta * len(rows) / total, total
        spread = np.sqrt(np.asarray(squares) / count)
        self._seed = seed
        self.rebuild(task.signature)
        self.mean, self.scale = np.asarray(mean), scales(spread, self.config.scaling)

    def rebuild(self, signature: Signature) -> None:
        features = len(signature.inputs) * int(np.prod(signature.grid.shape))
        self.signature, c = signature, self.config
        self.mean, self.scale = np.zeros(features), np.ones(features)
        self.network = PhysicalNetwork(
            self.make, features, len(signature.outputs), c.learning, depth=c.depth, width=c.width, skip=c.skip,
            inject=c.inject, seed=getattr(self, "_seed", 0),
        )  # fmt: skip

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        assert self.network is not None
        return GreedyLearner(self.network, training, self.encode)

    def recommended(self, task: Task) -> Mapping[str, Any]:
        if self.config.learning.is_closed:
            return {"epochs": 1, "batch_size": 256}
        return {"epochs": 1 + 60 * self.config.depth, "batch_size": 256, "lr": 3e-3}

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (item, channel, time) as standardised features (item, feature)."""
        return ((self._flat(inputs) - self.mean) / self.scale).astype(np.float32)

    def _flat(self, inputs: np.ndarray) -> np.ndarray:
        return inputs.reshape(len(inputs), -1)

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        """Scores (item, class), whose softmax are probabilities; one pass for each layer, times the classes for `embeds`."""
        signature = self.bound_signature
        if where:
            raise SettingError(given=f"predict(..., {', '.join(where)}=)", needed="inputs only", remedy="Leave it out.")
        signature.check_inputs(inputs.shape, type(self).__name__)
        if tuple(inputs.shape[2:]) != signature.grid.shape:
            raise GridError(
                given=f"inputs of {tuple(inputs.shape[2:])} samples", needed=f"{signature.grid.shape}, as trained",
                remedy="Every feature has its own drive: resample the data, or train anew.",
            )  # fmt: skip
        assert self.network is not None
        x = self.encode(np.asarray(inputs))
        parts = [self.network.scores(x[i : i + 4096]) for i in range(0, len(x), 4096)]
        scores = np.concatenate(parts).astype(np.float32)
        return type(inputs)(scores) if "torch" in type(inputs).__module__ else scores

    def state(self) -> Arrays:
        assert self.network is not None
        return self.network.state() | {"mean": np.array(self.mean), "scale": np.array(self.scale)}

    def load_state(self, arrays: Arrays) -> None:
        assert self.network is not None
        self.network.load_state(arrays)
        self.mean, self.scale = np.array(arrays["mean"]), np.array(arrays["scale"])
