"""Layer-local learning: each layer improves by its own rule from its own input and output, and no gradient crosses layers.

The layers may be anything that maps arrays to arrays, a laboratory included: only `forward` and `update` are called.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sciml.operator import Arrays, Learner, Position, Scalars, Training
from sciml.randomness import Purpose, generator
from sciml.tasks import Batch


class LocalLayer(ABC):
    """A layer that learns by itself. NumPy in and out."""

    @abstractmethod
    def forward(self, values: np.ndarray) -> np.ndarray:
        """(item, ...) to (item, ...)."""

    @abstractmethod
    def update(self, values: np.ndarray, targets: np.ndarray, rate: float, rng: np.random.Generator) -> Mapping[str, float]:
        """Improve on one batch of the layer's inputs, given the task's targets; returns scalars, among them "loss"."""

    @abstractmethod
    def state(self) -> Arrays:
        """Everything that `update` changes."""

    @abstractmethod
    def load_state(self, arrays: Arrays) -> None:
        """Inverse of `state`."""


class Local(Learner):
    """Updates every layer of a stack on each batch, first to last; a layer sees the output of those before it, updated.

    layers : the operator's own `LocalLayer`s, whose state belongs to the operator.
    """

    def __init__(self, layers: Sequence[LocalLayer], training: Training):
        self.layers, self.training = layers, training

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        values, scalars = np.asarray(batch.inputs), {}
        for depth, layer in enumerate(self.layers):
            rng = generator(self.training.seed, Purpose.STEP, at.total, depth)
            own = layer.update(values, np.asarray(batch.targets), self.training.lr or 0.0, rng)
            scalars |= {f"loss_{depth}": own["loss"], "loss": own["loss"]}  # the last layer's is the operator's
            values = layer.forward(values)
        return scalars

    def state(self) -> tuple[Arrays, Scalars]:
        return {}, {}  # the rules are memoryless: all state is in the layers, hence in the operator

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        pass
