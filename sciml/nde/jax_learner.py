"""Neural differential equations on JAX: weights, predictions, and AdamW on loss and penalties as one compiled update.

Compiled functions belong to a kind of operator, its configuration and signature: operators alike share them. In float64 all of
it runs within JAX's 64-bit scope.
"""

from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from sciml.learners.schedule import learning_rate
from sciml.losses import as_loss
from sciml.nde.operator import Answer, NeuralDE
from sciml.nde.statistics import Statistics
from sciml.nde.training import Coefficients
from sciml.operator import Arrays, Learner, Position, Scalars, Training
from sciml.randomness import Purpose, derived_seed, generator
from sciml.tasks import Batch, Signature
from solvers.errors import SettingError, SolverError
from solvers.precision import jax

import jax.numpy as jnp  # isort: skip - JAX is imported by solvers.precision first, which keeps it from taking the whole GPU
import optax  # isort: skip


def adopted(arrays: Arrays) -> dict[str, Any]:
    """Weights for this backend."""
    return dict(arrays)


def by_name(module: dict[str, Any]) -> Arrays:
    """Copies of them as NumPy arrays."""
    return {name: np.array(array) for name, array in module.items()}


def loaded(module: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Other values by the same names, in their precision."""
    return {name: arrays[name] for name in module}


def scope(dtype: Any) -> Any:
    """JAX's 64-bit scope for float64, nothing for float32."""
    return jax.enable_x64(True) if np.dtype(dtype) == np.float64 else nullcontext()


def shared(config: Any) -> Any:
    """The configuration but for coefficients, which compiled functions take as numbers."""
    return replace(config, weights=(0.0,) * len(config.regularisers), final_weights=(), target_evaluations=0)


def like(kind: type, config: Any, signature: Signature) -> NeuralDE:
    """An operator without weights, for its model."""
    operator: Any = object.__new__(kind)
    operator.config, operator.signature = config, signature
    return operator


def applied(operator: NeuralDE, p, scales, inputs, setting, training: bool, share, noise, key) -> Answer:
    """The operator's model on a batch of physical inputs."""

    def solve(f, y0, times, diffusion=None, path=0):
        drift = lambda t, y, args: f(t, y)  # noqa: E731
        if diffusion is not None:
            own = jax.random.fold_in(key, path)
            return setting(drift, lambda t, y, args: diffusion(t, y), y0, times, own, training=training)
        return setting(drift, y0, times, training=training, random=key)

    shaped = lambda v: v.reshape(1, -1, *(1,) * (inputs.ndim - 2))  # noqa: E731
    encoded = (inputs - shaped(scales["input.shift"])) / shaped(scales["input.scale"])
    return operator.model(p, encoded, scales, jnp, solve, share, noise)


@lru_cache(maxsize=64)
def _predictor(kind: type, config: Any, signature: Signature, setting: Any):
    operator = like(kind, config, signature)

    @jax.jit
    def predict(p, scales, inputs):
        outputs, statistics, _ = applied(operator, p, scales, inputs, setting, False, 1.0, None, jax.random.key(0))
        return outputs, statistics

    return predict


def answer(operator: NeuralDE, inputs: np.ndarray, setting) -> tuple[np.ndarray, Statistics]:
    """Predictions of one batch and statistics of its solve."""
    dtype = np.asarray(next(iter(operator.module.values()))).dtype
    predict = _predictor(type(operator), shared(operator.config), operator.bound_signature, setting)
    with scope(dtype), solver_errors(setting):
        scales = {name: a.astype(dtype) for name, a in operator.scales().items()}
        outputs, statistics = predict(operator.module, scales, inputs.astype(dtype))
        return np.array(outputs), jax.tree.map(np.asarray, statistics)


@contextmanager
def solver_errors(setting):
    """diffrax's failures in a compiled function, which JAX reports as its own, as errors of ours."""
    try:
        yield
    except RuntimeError as error:
        if "solver steps" not in str(error) and "diffeqsolve" not in str(error):
            raise
        raise SolverError(
            given="a solve of which diffrax says: " + str(error).strip().splitlines()[0],
            needed=f"an equation that {setting.max_steps} steps of {setting.method} resolve",
            remedy="Raise max_steps, loosen the tolerances, or lower the penalty's coefficient at the start.",
        ) from error


@lru_cache(maxsize=16)
def _updater(kind: type, config: Any, signature: Signature, loss: Any, weight_decay: float, clip: float):
    operator, each, setting = like(kind, config, signature), as_loss(loss), config.solve
    decays = lambda tree: jax.tree.map(lambda leaf: leaf.ndim >= 2, tree)  # noqa: E731
    parts = [optax.clip_by_global_norm(clip)] if clip else []
    parts += [optax.scale_by_adam(), optax.add_decayed_weights(weight_decay, mask=decays)]
    optimiser = optax.chain(*parts)

    def objective(p, scales, inputs, targets, noise, weights, share, key):
        outputs, statistics, further = applied(operator, p, scales, inputs, setting, True, share, noise, key)
        loss = operator.task_loss(outputs, targets, inputs, scales, each, jnp)
        values = {name: value.mean() for name, value in statistics.regularisers.items()}
        total = loss + further + sum(weights[name] * values[name] for name in weights)
        seen = {"evaluations": jnp.mean(statistics.evaluations.astype(loss.dtype)), "task_loss": loss} | values
        return total, seen

    @jax.jit
    def update(p, moments, rate, *rest):
        (loss, seen), gradient = jax.value_and_grad(objective, has_aux=True)(p, *rest)
        change, moments = optimiser.update(gradient, moments, p)
        return optax.apply_updates(p, jax.tree.map(lambda c: -rate * c, change)), moments, {"loss": loss} | seen

    return optimiser, update


class NeuralDELearner(Learner):
    """AdamW on task loss + weighted penalties; see `sciml.nde.operator.Solving`."""

    def __init__(self, operator: NeuralDE, training: Training):
        if training.ema:
            raise SettingError(given=f"ema={training.ema} with backend='jax'", needed="ema=0", remedy="Leave it out.")
        self.operator, self.training, self.total_steps = operator, training, 1
        self.dtype = np.dtype(training.precision)
        self.coefficients = Coefficients(operator.config)
        operator.module = {name: np.asarray(a, self.dtype) for name, a in operator.module.items()}
        self.optimiser, self.update = _updater(
            type(operator), shared(operator.config), operator.bound_signature, training.loss or "relative_l2",
            training.weight_decay or 0.0, training.clip or 0.0,
        )  # fmt: skip
        with scope(self.dtype):
            self.moments = self.optimiser.init({name: jnp.asarray(a) for name, a in operator.module.items()})

    def start(self, steps_per_epoch: int) -> None:
        self.total_steps = steps_per_epoch * (self.training.epochs or 1)

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        o, dtype, seed, share = self.operator, self.dtype, self.training.seed, at.total / max(1, self.total_steps)
        noise = generator(seed, Purpose.STEP, at.total).standard_normal(o.noise_shape(len(batch.inputs)))
        key_seed = derived_seed(seed, Purpose.STEP, at.total, 1) % 2**31
        number = dtype.type
        weights = {name: number(weight) for name, weight in self.coefficients.at(share).items()}
        with scope(dtype), solver_errors(o.config):
            o.module, self.moments, seen = self.update(
                o.module, self.moments, number(learning_rate(self.training, at.total, self.total_steps)),
                {name: a.astype(dtype) for name, a in o.scales().items()},
                batch.inputs.astype(dtype), batch.targets.astype(dtype), noise.astype(dtype), weights, number(share),
                jax.random.key(key_seed),
            )  # fmt: skip
            # Plain numbers: a failed solve is reported when they are read, and outside the scope 64 bits would be a warning.
            plain = {name: float(value) for name, value in seen.items()}
        self.coefficients.after(plain["evaluations"])
        return plain | ({"weight": self.coefficients.multiplier} if self.coefficients.target else {})

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        return {"lr": learning_rate(self.training, at.total, self.total_steps)}

    def state(self) -> tuple[Arrays, Scalars]:
        leaves, _ = jax.tree_util.tree_flatten_with_path(self.moments)
        arrays = {f"optimiser{jax.tree_util.keystr(path)}": np.array(leaf) for path, leaf in leaves}
        return arrays, {"multiplier": self.coefficients.multiplier}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        self.moments = jax.tree_util.tree_map_with_path(
            lambda path, leaf: np.asarray(arrays[f"optimiser{jax.tree_util.keystr(path)}"], leaf.dtype), self.moments
        )
        self.coefficients.multiplier = float(scalars["multiplier"])
