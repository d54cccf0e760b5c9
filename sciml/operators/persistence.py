"""Nothing changes: the last given frame is the answer. The trivial forecast of every time-dependent task.

u(t + dt) = u(t). An operator that does not beat this has learned no dynamics.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.operator import Arrays, Learner, Operator, Position, Scalars
from sciml.tasks import Batch, Signature, Task
from solvers.errors import SettingError

CHECKS = {"overfit": 1.0, "dataset": "moving"}


class Persistence(Operator):
    """Repeats the last frame of each field; at any resolution, nothing to train."""

    takes = ("steady", "final", "trajectory", "autoregressive", "forecast")

    def __init__(self):
        self.config = {}

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if task.signature.kind == "steady":
            raise SettingError(
                given="a steady task for Persistence",
                needed="a time-dependent task, whose inputs hold a frame",
                remedy="Use 'mean'.",
            )
        from sciml.normalize import fit_normalisers

        fit_normalisers(task)  # refuses data that are not finite, as every operator does
        self.signature = task.signature

    def rebuild(self, signature: Signature) -> None:
        self.signature = signature

    def learner(self, training) -> Learner:
        return Nothing()

    def recommended(self, task: Task) -> Mapping[str, Any]:
        return {"epochs": 1, "batch_size": 64}

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        if where:
            raise SettingError(given=f"predict(..., {', '.join(where)}=)", needed="inputs only", remedy="Leave it out.")
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, "Persistence")
        fields = len(signature.outputs) // (max(1, len(signature.times) - 1) if signature.kind == "trajectory" else 1)
        last = inputs[:, (signature.history - 1) * fields : signature.history * fields]
        repeated = np.concatenate([np.asarray(last)] * (len(signature.outputs) // fields), axis=1).astype(np.float32)
        return type(inputs)(repeated) if "torch" in type(inputs).__module__ else repeated

    def state(self) -> Arrays:
        return {}

    def load_state(self, arrays: Arrays) -> None:
        pass


class Nothing(Learner):
    """There is nothing to learn: done after the first epoch."""

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        return {"loss": 0.0}

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        self.done = True
        return {}

    def state(self) -> tuple[Arrays, Scalars]:
        return {}, {"done": self.done}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        self.done = scalars["done"]
