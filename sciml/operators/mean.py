"""The mean of the training outputs, whatever the input: the ceiling of every error table.

u = mean over the training samples. An operator that does not beat this has learned nothing.
"""

import numpy as np

from sciml.learners.closed_form import ClosedForm

CHECKS = {"overfit": 2.0}


class Mean(ClosedForm):
    """Training mean, point by point; answers on the training grid only."""

    def __init__(self):
        super().__init__({})

    def shapes(self, signature):
        return {"mean": np.zeros((len(signature.outputs), *signature.grid.shape))}

    def solve(self, inputs, targets):
        return {"mean": targets.mean(0)}

    def answer(self, inputs):
        mean = self.weights["mean"]
        return np.broadcast_to(mean, (len(inputs), *mean.shape)).copy()
