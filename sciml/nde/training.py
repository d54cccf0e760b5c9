"""Coefficients of regularisers in the course of a training: loss + sum_i lambda_i R_i, annealed or found for a budget.

annealed   lambda(s) = lambda_0 (lambda_1 / lambda_0)^s,  s = share of all steps done
budget     lambda <- max(0, lambda + rate (NFE / target - 1)) after each step (dual ascent): given a number of evaluations,
           training ends near it
"""

from sciml.nde.operator import Solving


class Coefficients:
    """What a step pays for each regulariser of the configuration."""

    def __init__(self, config: Solving):
        self.names, self.first = config.regularisers, config.weights
        self.last = config.final_weights or config.weights
        self.target, self.rate = config.target_evaluations, config.dual_rate
        self.multiplier = float(config.weights[0]) if self.target else 0.0

    def at(self, share: float) -> dict[str, float]:
        """Coefficients when this share of the training is done."""
        if self.target:
            return {self.names[0]: self.multiplier}
        return {
            name: first * (last / first) ** min(1.0, share) if first > 0 else 0.0
            for name, first, last in zip(self.names, self.first, self.last, strict=True)
        }

    def after(self, evaluations: float) -> None:
        """Dual ascent on evaluations <= target, with the coefficient kept from becoming negative."""
        if self.target:
            self.multiplier = max(0.0, self.multiplier + self.rate * (evaluations / self.target - 1))
