"""The greedy schedule as a learner that `fit` drives: an epoch gathers, then each layer trains in its share of the rest."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.operator import Arrays, Learner, Position, Scalars, Training
from sciml.physical.network import Greedy, PhysicalNetwork, cooled
from sciml.randomness import Purpose, generator
from sciml.tasks import Batch
from solvers.errors import DataError


class GreedyLearner(Learner):
    """Trains a network layer by layer. In the first epoch samples are gathered, at its end the first layer is measured.

    encode : inputs of a batch to (item, feature).
    """

    def __init__(self, network: PhysicalNetwork, training: Training, encode):
        self.network, self.training, self.encode = network, training, encode
        self.rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.items = np.zeros(0, np.int64)
        self.greedy: Greedy | None = None
        self.spent = 0

    def start(self, steps_per_epoch: int) -> None:
        self.steps = steps_per_epoch

    @property
    def _share(self) -> int:
        """Epochs of each layer, at least one."""
        return max(1, ((self.training.epochs or 1) - 1) // len(self.network.layers))

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        if self.greedy is None:
            inputs, targets = np.asarray(batch.inputs, np.float32), np.asarray(batch.targets)
            if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
                raise DataError(
                    given=f"NaN or infinity among items {batch.items[:8]}", needed="finite data", remedy="Remove them."
                )
            self.rows.append((np.asarray(batch.items), self.encode(inputs), targets.argmax(axis=1)))
            return {"loss": 0.0}
        rows = np.searchsorted(self.items, np.asarray(batch.items))
        share = ((self.spent) * self.steps + at.step) / (self._share * self.steps)
        rng = generator(self.training.seed, Purpose.STEP, at.total, self.greedy.layer)
        return {"loss": self.greedy.step(rows, (self.training.lr or 0.0) * cooled(share), rng)}

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        scalars: dict[str, Any] = {}
        if self.greedy is None:
            self._gathered()
            if self.network.rule.is_closed:
                scalars["loss"] = self._closed()
        else:
            self.spent += 1
            last = self.greedy.layer == len(self.network.layers) - 1
            if self.spent >= self._share and not last:
                self.greedy.advance()
                self.greedy.measure()
                self.spent = 0
            self.network.trained = max(self.network.trained, self.greedy.layer + 1)
        return scalars | {"layer": float(self.greedy.layer if self.greedy else 0), "passes": float(self.network.passes)}

    def _gathered(self) -> None:
        items, x, labels = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        order = np.argsort(items, kind="stable")  # the measurements must not depend on the order in which items came
        self.items, first = np.unique(items[order], return_index=True)
        self.rows = [(self.items, x[order][first], labels[order][first])]
        self.greedy = Greedy(self.network, *self.rows[0][1:], seed=self.training.seed)
        self.greedy.measure()

    def _closed(self) -> float:
        greedy, self.done = self.greedy, True
        assert greedy is not None
        loss = greedy.solve()
        while greedy.advance():
            loss = greedy.solve()
        return loss

    def state(self) -> tuple[Arrays, Scalars]:
        arrays: Arrays = {}
        for i, (items, x, labels) in enumerate(self.rows):
            arrays |= {f"{i:06d}.items": items, f"{i:06d}.x": x, f"{i:06d}.labels": labels}
        layer = -1 if self.greedy is None else self.greedy.layer
        if self.greedy is not None:
            arrays |= {f"adam.{name}": value for name, value in self.greedy.adam.state().items()}
        return arrays, {"rows": len(self.rows), "layer": layer, "spent": self.spent, "done": self.done}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        names = ("items", "x", "labels")
        self.rows = [tuple(arrays[f"{i:06d}.{n}"] for n in names) for i in range(scalars["rows"])]  # type: ignore[misc]
        self.spent, self.done = scalars["spent"], scalars["done"]
        if scalars["layer"] < 0:
            return
        trained = self.network.trained
        self._gathered()
        assert self.greedy is not None
        while self.greedy.layer < scalars["layer"]:  # measurements are not stored: the same ones are made again
            self.greedy.advance()
            self.greedy.measure()
        self.greedy.adam.load({name.removeprefix("adam."): a for name, a in arrays.items() if name.startswith("adam.")})
        self.network.trained = trained
