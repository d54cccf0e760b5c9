"""`RegularizedSDESolve` on diffrax: its Heun, with a record of accepted steps in the solver's state."""

from typing import Any

import numpy as np

from sciml.nde.on_diffrax import Record, error_of, picked_step
from sciml.nde.quantities import FROM_STEPS, regulariser
from sciml.nde.statistics import Statistics
from sciml.nde.stochastic import ORDER
from solvers.errors import SettingError
from solvers.precision import jax

import diffrax  # isort: skip - JAX is imported by solvers.precision first, which keeps it from taking the whole GPU
import equinox as eqx  # isort: skip
import jax.numpy as jnp  # isort: skip
import lineax  # isort: skip


def solve(setting, f, g, y0, times, key, training: bool, args) -> tuple[Any, Statistics]:
    """See `RegularizedSDESolve.__call__`."""
    t = jnp.asarray(times, jnp.result_type(y0.dtype))
    if not isinstance(t, jax.core.Tracer) and (len(t) < 2 or not (np.diff(np.asarray(t)) > 0).all()):
        raise SettingError(given=f"times {t}", needed="two or more, increasing", remedy="Change them.")
    path_key, pick_key = jax.random.split(key)
    span = float(np.asarray(times)[-1] - np.asarray(times)[0])
    path = diffrax.VirtualBrownianTree(
        t[0], t[-1], setting.resolution * span, jax.ShapeDtypeStruct(y0.shape, y0.dtype), path_key
    )
    noise = diffrax.ControlTerm(lambda t, y, args: lineax.DiagonalLinearOperator(g(t, y, args)), path)
    terms = diffrax.MultiTerm(diffrax.ODETerm(f), noise)
    wanted = tuple(n for n in setting.regularisers if training or n in FROM_STEPS)
    sampled = tuple(n for n in wanted if n not in FROM_STEPS)
    solver = Recording(setting=setting, sampled=sampled, key=pick_key)
    # Steps end at all times: between them diffrax draws a straight line, which takes variance away.
    control: Any = diffrax.PIDController(setting.rtol, setting.atol, error_order=ORDER)
    controller: Any = diffrax.ClipStepSizeController(control, step_ts=t)
    grid = setting.grid_of(times) if setting.steps_per_frame else setting.grid
    if grid is not None:
        controller = diffrax.StepTo(jnp.asarray(grid, t.dtype))
    found = diffrax.diffeqsolve(
        terms, solver, t[0], t[-1], None if grid is not None else setting.first_step, y0, args,
        saveat=diffrax.SaveAt(ts=t, solver_state=True), stepsize_controller=controller, max_steps=setting.max_steps,
        adjoint=diffrax.RecursiveCheckpointAdjoint(),
    )  # fmt: skip
    assert found.solver_state is not None
    record = found.solver_state[1]
    tried = found.stats["num_steps"]
    evaluations = 2 * tried
    valid = jnp.arange(setting.max_steps) < record.count
    values = {}
    for name in wanted:
        if name in FROM_STEPS:
            values[name] = regulariser(
                jnp, name, record.errors, 0 * record.errors, record.steps, valid, ORDER, setting.aggregate
            )
        else:
            evaluations = evaluations + 2
            values[name] = _local(setting, terms, record.picked[name], args)
    statistics = Statistics(
        evaluations, found.stats["num_accepted_steps"], found.stats["num_rejected_steps"],
        record.starts, record.steps, record.errors, 0 * record.errors, valid, values,
    )  # fmt: skip
    return found.ys, statistics


_Heun: Any = diffrax.Heun  # the record makes its state another type than diffrax declares


class Recording(_Heun):
    """diffrax's Heun with a record of accepted steps beside its own state."""

    setting: Any = eqx.field(static=True, kw_only=True)
    sampled: tuple[str, ...] = eqx.field(static=True, kw_only=True)
    key: Any = eqx.field(kw_only=True)

    def init(self, terms, t0, t1, y0, args):
        """Heun's state, and an empty record."""
        zero, times = jnp.zeros(self.setting.max_steps, y0.dtype), jnp.zeros(self.setting.max_steps, jnp.result_type(t0))
        one = jnp.ones((), y0.dtype)
        picked = {name: ((jnp.zeros((), times.dtype), one, one, y0), 0 * one) for name in self.sampled}
        record = Record(times, zero, zero, zero, jnp.zeros(0, y0.dtype), picked, jnp.asarray(0))
        return super().init(terms, t0, t1, y0, args), record

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        own, record = solver_state
        y1, error, dense, own, result = super().step(terms, t0, t1, y0, args, own, made_jump)
        at, n = jax.lax.stop_gradient(t0), record.count
        h = jax.lax.stop_gradient(t1 - t0).astype(y0.dtype)
        e = error_of(self.setting, error, y0, y1)
        picked = {name: picked_step(name, record.picked[name], n, at, h, y0, self.key) for name in self.sampled}
        record = Record(
            record.starts.at[n].set(at), record.steps.at[n].set(h), record.errors.at[n].set(e), record.stiffness,
            record.sums, picked, n + 1,
        )  # fmt: skip
        return y1, error, dense, (own, record), result


def _local(setting, terms, picked, args):
    """An unbiased estimate of R_E from one accepted step, taken once more by diffrax's step with the same increment."""
    (t, h, weight, y), total = picked
    y, solver = jax.lax.stop_gradient(y), diffrax.Heun()
    state = solver.init(terms, t, t + h, y, args)
    end, error, *_ = solver.step(terms, t, t + h, y, args, state, jax.numpy.asarray(False))
    return error_of(setting, error, y, end) * h * total / weight
