"""Learning without iterations: statistics are gathered over one epoch, and the answer follows from them. NumPy only."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.operator import Arrays, Learner, Operator, Position, Scalars
from sciml.tasks import Batch, Signature, Task
from solvers.errors import DataError, GridError, SettingError


class ClosedForm(Operator):
    """An operator that is computed from gathered batches. Subclasses implement `solve` and `answer`.

    Attributes
    ----------
    weights : name -> array, what `solve` found; all of the operator's state.
    """

    def __init__(self, config: Any = None):
        self.config = config
        self.weights: Arrays = {}

    @abstractmethod
    def solve(self, inputs: np.ndarray, targets: np.ndarray) -> Arrays:
        """The weights for all training items, in float64; (item, channel, *space)."""

    @abstractmethod
    def answer(self, inputs: np.ndarray) -> np.ndarray:
        """Outputs for inputs (item, channel, *space), from `weights`."""

    @abstractmethod
    def shapes(self, signature: Signature) -> Arrays:
        """Zero weights of the right shapes, before `solve`."""

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if self.signature is not None and self.signature != task.signature:
            raise DataError(
                given="other data than those this operator is bound to",
                needed=f"{self.signature.inputs} -> {self.signature.outputs} on the same grid",
                remedy="Make a new operator: a closed form is solved once.",
            )
        self.rebuild(task.signature)

    def rebuild(self, signature: Signature) -> None:
        self.signature, self.weights = signature, self.shapes(signature)

    def learner(self, training) -> Learner:
        return Gather(self)

    def recommended(self, task: Task) -> Mapping[str, Any]:
        return {"epochs": 1, "batch_size": 64}

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        if where:
            raise SettingError(given=f"predict(..., {', '.join(where)}=)", needed="inputs only", remedy="Leave it out.")
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, type(self).__name__)
        if tuple(inputs.shape[2:]) != signature.grid.shape:
            raise GridError(
                given=f"inputs on {tuple(inputs.shape[2:])} points for {type(self).__name__}",
                needed=f"{signature.grid.shape}, the training grid",
                remedy="Bring the inputs to that grid, or train at the other resolution.",
            )
        outputs = self.answer(np.asarray(inputs, np.float64)).astype(np.float32)
        return type(inputs)(outputs) if "torch" in type(inputs).__module__ else outputs

    def state(self) -> Arrays:
        return dict(self.weights)

    def load_state(self, arrays: Arrays) -> None:
        self.weights = {name: np.array(array) for name, array in arrays.items()}


class Gather(Learner):
    """Keeps the batches of the first epoch, and solves at its end."""

    def __init__(self, operator: ClosedForm):
        self.operator = operator
        self.rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        inputs, targets = np.asarray(batch.inputs, np.float64), np.asarray(batch.targets, np.float64)
        for name, values in (("input", inputs), ("target", targets)):
            if not np.isfinite(values).all():
                raise DataError(
                    given=f"NaN or infinity among the {name}s of items {batch.items[:8]}",
                    needed="finite data",
                    remedy="Remove them.",
                )
        self.rows.append((np.asarray(batch.items), inputs, targets))
        return {"loss": 0.0}

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        items, inputs, targets = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        order = np.argsort(items)  # the answer must not depend on the order in which the items came
        self.operator.weights = self.operator.solve(inputs[order], targets[order])
        self.rows, self.done = [], True
        fit = self.operator.answer(inputs) - targets
        return {"loss": float(np.linalg.norm(fit) / max(np.linalg.norm(targets), np.finfo(float).tiny))}

    def state(self) -> tuple[Arrays, Scalars]:
        arrays: Arrays = {}
        for i, (items, inputs, targets) in enumerate(self.rows):
            arrays |= {f"{i:06d}.items": items, f"{i:06d}.inputs": inputs, f"{i:06d}.targets": targets}
        return arrays, {"rows": len(self.rows), "done": self.done}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        names = ("items", "inputs", "targets")
        self.rows = [tuple(arrays[f"{i:06d}.{n}"] for n in names) for i in range(scalars["rows"])]  # type: ignore[misc]
        self.done = scalars["done"]
