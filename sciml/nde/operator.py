"""What operators of neural differential equations have in common: settings, weights, predictions, statistics of solves.

A subclass writes its model once, for torch and JAX arrays: `draw` makes its weights, `model` uses a `solve` that it is given.
`fit` knows nothing of this: penalties, their course and a budget of evaluations belong to the learners.
"""

import importlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sciml.nde.quantities import REGULARISERS
from sciml.nde.solve import RegularizedSolve
from sciml.nde.statistics import Statistics
from sciml.normalize import Normaliser, fit_normalisers
from sciml.operator import Arrays, Learner, Operator, Training
from sciml.randomness import Purpose, generator
from sciml.tasks import Signature, Task
from solvers.errors import DataError, SettingError, unknown_name

LEARNERS = {"torch": "sciml.nde.torch_learner", "jax": "sciml.nde.jax_learner"}
PREDICT_BATCH = 512


@dataclass(frozen=True)
class Solving:
    """How an operator solves its equation, and what its training pays for it.

    backend : "torch" (torchdiffeq) or "jax" (diffrax, compiled).
    method, rtol, atol, first_step, batching, aggregate, steer, max_steps : see `sciml.nde.RegularizedSolve`; time runs from 0
        to 1. Tolerances below 1e-5 want precision="float64".
    regularisers, weights : names and coefficients lambda of what is added to the loss.   final_weights : what the coefficients
        become by the end, exponentially; () keeps them.
    target_evaluations : instead of fixed coefficients: evaluations of f that a solve may need; the coefficient of the first
        regulariser starts at its weight and is raised or lowered by `dual_rate` until it is met.
    """

    backend: str = "torch"
    method: str = "tsit5"
    rtol: float = 1e-5
    atol: float = 1e-5
    first_step: float | None = None
    batching: str = "coupled"
    aggregate: str = "sum"
    steer: float = 0.0
    max_steps: int = 256
    regularisers: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    final_weights: tuple[float, ...] = ()
    target_evaluations: int = 0
    dual_rate: float = 1e-3

    def __post_init__(self):
        if self.dual_rate <= 0 or self.target_evaluations < 0:
            raise SettingError(
                given=f"dual_rate={self.dual_rate}, target_evaluations={self.target_evaluations}",
                needed="dual_rate > 0, target_evaluations >= 0", remedy="Change them.",
            )  # fmt: skip
        unknown = next((name for name in self.regularisers if name not in REGULARISERS), None)
        if unknown is not None:
            raise unknown_name("regulariser", unknown, REGULARISERS)
        counts = {len(self.regularisers), len(self.weights), len(self.final_weights or self.weights)}
        if len(counts) > 1 or min((*self.weights, *self.final_weights), default=0.0) < 0:
            raise SettingError(
                given=f"regularisers {self.regularisers} with weights {self.weights} and {self.final_weights}",
                needed="one weight >= 0 for each",
                remedy="Change `weights`.",
            )
        if any((a == 0) != (b == 0) for a, b in zip(self.weights, self.final_weights, strict=False)):
            raise SettingError(given=f"weights {self.weights} that become {self.final_weights}",
                               needed="both positive, or both zero", remedy="They change exponentially.")  # fmt: skip
        if self.target_evaluations and len(self.regularisers) != 1:
            raise SettingError(given=f"a target with regularisers {self.regularisers}", needed="one whose coefficient is found",
                               remedy="Use regularisers=('R_N',), weights=(0.0,).")  # fmt: skip
        self.solve  # noqa: B018 - checks the rest

    @property
    def solve(self) -> Any:
        """The solve that these settings describe."""
        return RegularizedSolve(
            self.backend, self.method, self.rtol, self.atol, self.regularisers, self.aggregate, self.batching, self.steer,
            self.first_step, max_steps=self.max_steps,
        )  # fmt: skip


class Answer(NamedTuple):
    """Of `NeuralDE.model`: physical outputs, statistics of the solve, and what else is part of the loss."""

    outputs: Any
    statistics: Statistics
    further: Any = 0.0


class NeuralDE(Operator):
    """An operator that solves a differential equation with a network in it. Subclasses write `draw` and `model`.

    Attributes
    ----------
    module : weights by name, a torch module or a dictionary of JAX arrays, by `config.backend`. Both are drawn alike, and a
        file of one is a file of the other but for the backend's name in its configuration.
    shifts : whether the (input, output) normalisers subtract the mean.
    """

    config: Any
    module: Any = None
    shifts: tuple[bool, bool] = (True, True)

    @abstractmethod
    def draw(self, signature: Signature, rng: np.random.Generator) -> Arrays:
        """New weights, float32; raises when this signature cannot be taken."""

    @abstractmethod
    def model(self, p: Any, x: Any, scales: Any, xp: Any, solve: Callable, share: Any = 1.0, noise: Any = None) -> Answer:
        """From normalised inputs to an `Answer`.

        p : weights by name.   x : (item, channel, *space).   scales : shift and scale of inputs and outputs, by name.
        xp : torch or jax.numpy.   solve : (f(t, y), y0, times) -> (y, statistics), times increasing from 0;
            for stochastic equations on JAX (f, y0, times, diffusion(t, y), number of the path), on torch all items at once
            (f(t, y, constants), y0, times, diffusion(t, y, constants), constants).
        share : of the training that is done.   noise : standard normal numbers of `noise_shape` in training, else None.
        """

    def task_loss(self, outputs: Any, targets: Any, inputs: Any, scales: Any, each: Callable, xp: Any) -> Any:
        """Loss of a batch of physical arrays by the task's loss per item; operators with a likelihood override this."""
        return each(outputs, targets, self.bound_signature.output_grid).mean()

    def noise_shape(self, items: int) -> tuple[int, ...]:
        """Of the random numbers that training needs."""
        return (0,)

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if self.signature is not None:
            self.check_same(task)
            return
        self.input_normaliser, self.output_normaliser = fit_normalisers(
            task, input_shift=self.shifts[0], output_shift=self.shifts[1]
        )
        self._adopt(self.draw(task.signature, generator(seed, Purpose.WEIGHTS)))
        self.signature = task.signature

    def rebuild(self, signature: Signature) -> None:
        self._adopt(self.draw(signature, generator(0, Purpose.WEIGHTS)))
        unit = lambda n: Normaliser(np.zeros(n), np.ones(n))  # noqa: E731
        self.input_normaliser, self.output_normaliser = unit(len(signature.inputs)), unit(len(signature.outputs))
        self.signature = signature

    @property
    def _backend(self) -> Any:
        return importlib.import_module(LEARNERS[self.config.backend])

    def _adopt(self, arrays: Arrays) -> None:
        self.module = self._backend.adopted(arrays)

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        if training.compile or training.precision == "bf16":
            raise SettingError(
                given=f"compile={training.compile}, precision={training.precision!r} for an adaptive solve",
                needed="compile=False, and 'float32' or 'float64'",
                remedy="Leave these options out; backend='jax' is compiled as a whole.",
            )
        return self._backend.NeuralDELearner(self, training)

    def scales(self) -> Arrays:
        """Numbers of both normalisers, as `model` takes them."""
        return self.input_normaliser.arrays("input") | self.output_normaliser.arrays("output")

    def weights(self) -> Arrays:
        """Weights by name, as NumPy arrays."""
        return self._backend.by_name(self.module)

    def state(self) -> Arrays:
        return {f"module.{name}": array for name, array in self.weights().items()} | self.scales()

    def load_state(self, arrays: Arrays) -> None:
        given = {n.removeprefix("module."): np.array(a) for n, a in arrays.items() if n.startswith("module.")}
        self.module = self._backend.loaded(self.module, given)
        self.input_normaliser = Normaliser.from_arrays(arrays, "input")
        self.output_normaliser = Normaliser.from_arrays(arrays, "output")

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        if where:
            raise SettingError(
                given=f"predict(..., {', '.join(where)}=)", needed="inputs only",
                remedy=f"{type(self).__name__} answers on the grid and at the times of its training.",
            )  # fmt: skip
        signature = self.bound_signature
        size = batch_size or PREDICT_BATCH
        self._check(inputs.shape)
        given = _plain(inputs)
        parts = [self._backend.answer(self, given[i : i + size], self.config.solve)[0] for i in range(0, len(given), size)]
        space = () if signature.per_item else given.shape[2:]
        joined = np.concatenate(parts) if parts else np.empty((0, len(signature.outputs), *space), np.float32)
        return inputs.new_tensor(joined) if hasattr(inputs, "new_tensor") else joined

    def _check(self, shape: tuple[int, ...]) -> None:
        signature = self.bound_signature
        signature.check_inputs(shape, type(self).__name__)
        if tuple(shape[2:]) != tuple(signature.grid.shape):
            raise DataError(
                given=f"inputs on {tuple(shape[2:])} points for an operator whose state has {tuple(signature.grid.shape)}",
                needed="the points that it was trained on",
                remedy="Resample the inputs, or train anew.",
            )

    def answered(self, inputs: Any, **changes: Any) -> tuple[np.ndarray, Statistics]:
        """Predictions for one batch and the statistics of its solve.

        changes : fields of `sciml.nde.RegularizedSolve` to solve with, say rtol=1e-3, atol=1e-3.
        """
        self._check(inputs.shape)
        return self._backend.answer(self, _plain(inputs), replace(self.config.solve, **changes))

    def solved(self, inputs: Any, **changes: Any) -> Statistics:
        """Statistics of the solve that predicts these inputs, as one batch."""
        return self.answered(inputs, **changes)[1]

    @property
    def parameter_count(self) -> int:
        return sum(a.size for a in self.weights().values())


def _plain(inputs: Any) -> np.ndarray:
    return np.asarray(inputs.detach().cpu() if hasattr(inputs, "detach") else inputs)
