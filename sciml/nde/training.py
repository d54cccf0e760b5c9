"""Training of a network that solves differential equations: loss + sum_i lambda_i R_i, lambda annealed or found for a budget.

annealed   lambda(s) = lambda_0 (lambda_1 / lambda_0)^s,  s = share of all steps done
budget     lambda <- max(0, lambda + rate (NFE / target - 1)) after each step (dual ascent): given a number of evaluations,
           training ends near it
"""

from collections.abc import Mapping
from typing import Any

import torch

from sciml.learners.backprop import Backprop
from sciml.nde.quantities import penalty
from sciml.operator import Arrays, Position, Scalars, Training
from sciml.tasks import Batch
from solvers.errors import SettingError


class RegularisedBackprop(Backprop):
    """`Backprop` of an operator whose module keeps the `statistics` of its last solve.

    The operator's configuration has `regularisers`, `weights`, `final_weights`, `target_evaluations` and `dual_rate`.
    """

    def __init__(self, operator: Any, training: Training):
        if training.compile or training.precision == "bf16":
            raise SettingError(
                given=f"compile={training.compile}, precision={training.precision!r} for an adaptive solve",
                needed="compile=False, and 'float32' or 'float64'",
                remedy="Leave these options out.",
            )
        super().__init__(operator, training)
        config = operator.config
        self.names, self.first = config.regularisers, config.weights
        self.last = config.final_weights or config.weights
        self.target, self.rate = config.target_evaluations, config.dual_rate
        self.multiplier = float(config.weights[0]) if self.target else 0.0
        self._seen: dict[str, Any] = {}

    def weights(self, at: Position) -> dict[str, float]:
        """Coefficients of this step."""
        if self.target:
            return {self.names[0]: self.multiplier}
        share = min(1.0, at.total / max(1, self.total_steps))
        return {
            name: first * (last / first) ** share if first > 0 else 0.0
            for name, first, last in zip(self.names, self.first, self.last, strict=True)
        }

    def objective(self, batch: Batch, at: Position) -> torch.Tensor:
        loss = super().objective(batch, at)
        module: Any = self.module
        statistics = module.statistics
        values = {name: torch.as_tensor(value).mean() for name, value in statistics.regularisers.items()}
        weights = self.weights(at)
        evaluations = statistics.summary()["evaluations"]
        if self.target:
            self.multiplier = max(0.0, self.multiplier + self.rate * (evaluations / self.target - 1))
        self._seen = {"evaluations": evaluations} | {name: value.detach() for name, value in values.items()}
        self._seen |= {"task_loss": loss.detach()} | ({"weight": self.multiplier} if self.target else {})
        return loss + penalty(values, weights)

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        return {**super().step(batch, at), **self._seen}

    def state(self) -> tuple[Arrays, Scalars]:
        arrays, scalars = super().state()
        return arrays, {**scalars, "multiplier": self.multiplier}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        super().load_state(arrays, scalars)
        self.multiplier = float(scalars["multiplier"])
