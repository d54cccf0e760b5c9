"""Functional gradients: Equinox modules trained by an optax optimiser, with parameters and moments as JAX trees.

The same recipe as `backprop`: AdamW with decoupled decay on weights of two or more axes, clipping, one rate per step.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml import storage
from sciml.learners.schedule import learning_rate
from sciml.losses import as_loss
from sciml.normalize import Normaliser, fit_normalisers
from sciml.operator import Arrays, Learner, Operator, Position, Scalars, Training
from sciml.tasks import Batch, Signature, Task
from solvers.errors import SettingError
from solvers.precision import jax

import equinox as eqx  # isort: skip - JAX is imported by solvers.precision first, which keeps it from taking the whole GPU
import jax.numpy as jnp  # isort: skip
import optax  # isort: skip


class EquinoxModule(Operator):
    """An Equinox network as an operator. It maps one sample, (channel, *space), and is vectorised over items.

    The module is replaced, not changed: the trained one is `operator.module`.
    """

    stored_as = "equinox-module"

    def __init__(self, module: eqx.Module):
        self.config = {"class": f"{type(module).__module__}.{type(module).__qualname__}"}
        self.module = module
        self._jitted: Any = None

    @classmethod
    def from_config(cls, config: Scalars) -> "Operator":
        raise SettingError(
            given=f"a file with the weights of {config['class']}, whose code is not in the file",
            needed="a module of the same architecture",
            remedy=f"Call sciml.load(path, module={config['class'].rpartition('.')[2]}(...)).",
        )

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if self.signature is not None:
            self.check_same(task)
            return
        self.input_normaliser, self.output_normaliser = fit_normalisers(task)
        self.signature = task.signature

    def rebuild(self, signature: Signature) -> None:
        self.input_normaliser = Normaliser(np.zeros(len(signature.inputs)), np.ones(len(signature.inputs)))
        self.output_normaliser = Normaliser(np.zeros(len(signature.outputs)), np.ones(len(signature.outputs)))
        self.signature = signature

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return Functional(self, training)

    def apply(self, module: eqx.Module, inputs):
        """Physical inputs to physical outputs with the given module, differentiable."""
        return self.output_normaliser.decode(jax.vmap(module)(self.input_normaliser.encode(inputs)))  # type: ignore[arg-type]

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        if where:
            raise SettingError(
                given=f"predict(..., {', '.join(where)}=)", needed="inputs only", remedy="Pass inputs on the grid wanted."
            )
        self.bound_signature.check_inputs(inputs.shape, type(self.module).__name__)
        size = batch_size or 64
        self._jitted = self._jitted or eqx.filter_jit(self.apply)
        outputs = [
            self._jitted(self.module, jnp.asarray(inputs[i : i + size], jnp.float32)) for i in range(0, len(inputs), size)
        ]
        joined = jnp.concatenate(outputs)
        return joined if isinstance(inputs, jax.Array) else np.asarray(joined)

    def state(self) -> Arrays:
        arrays = _named(eqx.filter(self.module, eqx.is_array), "module")
        return arrays | self.input_normaliser.arrays("input") | self.output_normaliser.arrays("output")

    def load_state(self, arrays: Arrays) -> None:
        dynamic, static = eqx.partition(self.module, eqx.is_array)
        self.module = eqx.combine(_filled(dynamic, arrays, "module"), static)
        self.input_normaliser = Normaliser.from_arrays(arrays, "input")
        self.output_normaliser = Normaliser.from_arrays(arrays, "output")
        self._jitted = None  # it holds the normalisers as constants

    @property
    def parameter_count(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self.module, eqx.is_inexact_array)))


class Functional(Learner):
    """optax AdamW on an `EquinoxModule`, one jitted update."""

    def __init__(self, operator: EquinoxModule, training: Training):
        if training.precision != "float32" or training.ema or training.compile:
            raise SettingError(
                given=f"precision={training.precision!r}, ema={training.ema}, compile={training.compile} for an Equinox module",
                needed="precision='float32', ema=0, compile=False (updates are always jitted)",
                remedy="Leave these options out.",
            )
        self.operator, self.training, self.total_steps = operator, training, 1
        each, grid = as_loss(training.loss or "relative_l2"), operator.bound_signature.output_grid

        def decays(tree):
            return jax.tree.map(lambda leaf: leaf.ndim >= 2, tree)

        parts = [optax.clip_by_global_norm(training.clip)] if training.clip else []
        parts += [optax.scale_by_adam(), optax.add_decayed_weights(training.weight_decay or 0.0, mask=decays)]
        self.optimiser = optax.chain(*parts)
        self.moments = self.optimiser.init(eqx.filter(operator.module, eqx.is_inexact_array))

        def loss_of(dynamic, static, inputs, targets):
            return each(operator.apply(eqx.combine(dynamic, static), inputs), targets, grid).mean()

        @eqx.filter_jit
        def update(module, moments, inputs, targets, rate):
            dynamic, static = eqx.partition(module, eqx.is_inexact_array)
            loss, gradient = eqx.filter_value_and_grad(loss_of)(dynamic, static, inputs, targets)
            change, moments = self.optimiser.update(gradient, moments, dynamic)
            change = jax.tree.map(lambda c: -rate * c, change)
            return eqx.combine(optax.apply_updates(dynamic, change), static), moments, loss

        self._update = update

    def start(self, steps_per_epoch: int) -> None:
        self.total_steps = steps_per_epoch * (self.training.epochs or 1)

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        rate = jnp.float32(learning_rate(self.training, at.total, self.total_steps))
        inputs, targets = jnp.asarray(batch.inputs), jnp.asarray(batch.targets)
        self.operator.module, self.moments, loss = self._update(self.operator.module, self.moments, inputs, targets, rate)
        return {"loss": loss}

    def state(self) -> tuple[Arrays, Scalars]:
        return _named(self.moments, "optimiser"), {}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        self.moments = _filled(self.moments, arrays, "optimiser")


def adopt(thing: Any) -> Operator | None:
    """An Equinox module as an operator; None for anything else."""
    return EquinoxModule(thing) if isinstance(thing, eqx.Module) else None


def _named(tree: Any, prefix: str) -> Arrays:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {f"{prefix}{jax.tree_util.keystr(path)}": np.array(leaf) for path, leaf in leaves}


def _filled(tree: Any, arrays: Arrays, prefix: str) -> Any:
    mine = {name: array for name, array in arrays.items() if name.startswith(prefix)}
    storage.check_arrays(_named(tree, prefix), mine, "the given state")
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(mine[f"{prefix}{jax.tree_util.keystr(path)}"], leaf.dtype), tree
    )
