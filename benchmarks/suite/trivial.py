"""Predictors that need no network: what every learned operator has to beat before anything else is said of it.

They are operators like others, on the training grid only, solved in closed form from the training set. `mean`, `linear` (ridge
regression between principal components) and `persistence` come with the package.
"""

from dataclasses import dataclass

import numpy as np

from sciml.learners.closed_form import ClosedForm
from sciml.operators.linear import Linear
from solvers.errors import GridError


class Fixed(ClosedForm):
    """Has nothing to set and nothing to learn."""

    def __init__(self):
        super().__init__({})

    def shapes(self, signature):
        return {}

    def solve(self, inputs, targets):
        return {}


class Zero(Fixed):
    """0, whatever the input."""

    def answer(self, inputs):
        return np.zeros((len(inputs), len(self.bound_signature.outputs), *inputs.shape[2:]))


@dataclass(frozen=True)
class NearestConfig:
    """most : training items that are kept, spread evenly; None keeps all."""

    most: int | None = 2000


class Nearest(ClosedForm):
    """The answer to the training input that is nearest, each channel measured in units of its spread."""

    def __init__(self, **config):
        super().__init__(NearestConfig(**config))

    def shapes(self, signature):
        n_in, n_out = (len(names) for names in (signature.inputs, signature.outputs))
        return {
            "inputs": np.zeros((0, n_in, *signature.grid.shape)),
            "targets": np.zeros((0, n_out, *signature.grid.shape)),
            "scale": np.ones((1, n_in, *(1,) * signature.grid.dimension)),
        }

    def solve(self, inputs, targets):
        kept = np.unique(np.linspace(0, len(inputs) - 1, min(self.config.most or len(inputs), len(inputs))).astype(int))
        spread = inputs.std((0, *range(2, inputs.ndim)), keepdims=True)
        return {"inputs": inputs[kept], "targets": targets[kept], "scale": np.where(spread > 0, spread, 1.0)}

    def answer(self, inputs):
        w = self.weights
        mine, theirs = ((a / w["scale"]).reshape(len(a), -1) for a in (inputs, w["inputs"]))
        squares = (theirs**2).sum(1) - 2 * mine @ theirs.T  # the rest is the same for all candidates
        return w["targets"][squares.argmin(1)]


class PerWave(ClosedForm):
    """On a torus, the best linear map that treats every wave number by itself: constant coefficients, least squares.

    v_k = sum over channels of G_k u_k; exact for linear equations with constant coefficients. Per-sample parameters enter only
    as constant fields, in the mean mode.
    """

    def __init__(self):
        super().__init__({})

    def bind(self, task, *, seed=0):
        if any(axis.kind != "periodic" for axis in task.signature.grid.axes):
            raise GridError(
                given=f"a grid with walls for {type(self).__name__}", needed="a periodic grid", remedy="Use 'linear'."
            )
        super().bind(task, seed=seed)

    def shapes(self, signature):
        modes = np.fft.rfftn(np.zeros(signature.grid.shape)).shape
        shape = (*modes, len(signature.outputs), len(signature.inputs))
        return {"real": np.zeros(shape), "imaginary": np.zeros(shape)}

    def solve(self, inputs, targets):
        x, y = self._modes(inputs), self._modes(targets)
        gram = np.einsum("i...a,i...b->...ab", x, x.conj())
        trace = np.trace(gram, axis1=-2, axis2=-1).real[..., None, None]
        ridge = (1e-10 * trace + np.finfo(np.float64).tiny) * np.eye(x.shape[-1])
        cross = np.einsum("i...a,i...b->...ab", y, x.conj())
        found = np.linalg.solve((gram + ridge).swapaxes(-1, -2), cross.swapaxes(-1, -2)).swapaxes(-1, -2)
        return {"real": np.ascontiguousarray(found.real), "imaginary": np.ascontiguousarray(found.imag)}

    def answer(self, inputs):
        gains = self.weights["real"] + 1j * self.weights["imaginary"]
        modes = np.einsum("...ab,i...b->i...a", gains, self._modes(inputs))
        space = tuple(range(2, inputs.ndim))
        return np.fft.irfftn(np.moveaxis(modes, -1, 1), inputs.shape[2:], axes=space)

    @staticmethod
    def _modes(values):
        """(item, *mode, channel)."""
        return np.moveaxis(np.fft.rfftn(values, axes=tuple(range(2, values.ndim))), 1, -1)


# -- windows of systems (`systems`) -----------------------------------------------------------------------------------

OF_SYSTEMS = ("continuation", "classification")
"""Tasks of `systems`."""


class Persist(Fixed):
    """The last given frame at all later times, of a forecast that is longer than its window."""

    takes = OF_SYSTEMS

    def answer(self, inputs):
        rest = len(self.bound_signature.times) - inputs.shape[2]
        return np.repeat(inputs[:, :, -1:], rest, axis=2)


class NearestRest(Nearest):
    """The rest of the training trajectory whose window is nearest."""

    takes = OF_SYSTEMS

    def shapes(self, signature):
        return {}


class LinearRest(Linear):
    """Ridge regression from window to rest, between principal components."""

    takes = OF_SYSTEMS

    def shapes(self, signature):
        given = signature.grid.shape[0]
        rest = len(signature.outputs) * (len(signature.times) - given)
        return _ridge_shapes(self.config, len(signature.inputs) * given, rest)

    def answer(self, inputs):
        return _regressed(self.weights, inputs).reshape(len(inputs), inputs.shape[1], -1)


class Shares(Fixed):
    """Scores whose softmax is the share of each class in the training data."""

    takes = OF_SYSTEMS

    def solve(self, inputs, targets):
        return {"scores": np.log(np.maximum(targets.mean(0), SMALL))}

    def answer(self, inputs):
        return np.repeat(self.weights["scores"][None], len(inputs), axis=0)


class NearestClass(NearestRest):
    """The class of the nearest training series, for sure."""

    def answer(self, inputs):
        return -np.log(SMALL) * super().answer(inputs)


class LinearClasses(Linear):
    """Ridge regression to indicators of the classes; what is negative counts as nearly impossible."""

    takes = OF_SYSTEMS

    def shapes(self, signature):
        return _ridge_shapes(self.config, len(signature.inputs) * int(np.prod(signature.grid.shape)), len(signature.outputs))

    def answer(self, inputs):
        return np.log(np.maximum(_regressed(self.weights, inputs), SMALL))


SMALL = 1e-6
"""Probability of what did not happen in training."""


def _ridge_shapes(config, n_in: int, n_out: int) -> dict[str, np.ndarray]:
    """Zero weights of `Linear` for that many numbers in and out."""
    return {
        "mean_in": np.zeros(n_in), "mean_out": np.zeros(n_out), "basis_in": np.zeros((config.rank_in, n_in)),
        "basis_out": np.zeros((config.rank_out, n_out)), "map": np.zeros((config.rank_in, config.rank_out)),
        "penalty": np.zeros(()),
    }  # fmt: skip


def _regressed(w, inputs: np.ndarray) -> np.ndarray:
    """What `Linear` answers, (item, number)."""
    z = (inputs.reshape(len(inputs), -1) - w["mean_in"]) @ w["basis_in"].T
    return w["mean_out"] + (z @ w["map"]) @ w["basis_out"]
