"""`RegularizedSolve` on diffrax: its solvers, with a record of accepted steps in the solver's state.

diffrax keeps the solver's state of accepted steps only, and stops gradients through its controller, so a history in that state
is what is wanted: differentiable at frozen steps, without rejected ones. Stages of a rejected step that overflow are replaced
before they enter any arithmetic. All of it can be jitted, differentiated and vectorised.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sciml.nde.quantities import FROM_STEPS, SAMPLED, combined, regulariser, scaled_error, stiffness
from sciml.nde.statistics import Statistics
from solvers.errors import SettingError
from solvers.precision import jax

import diffrax  # isort: skip - JAX is imported by solvers.precision first, which keeps it from taking the whole GPU
import equinox as eqx  # isort: skip
import jax.numpy as jnp  # isort: skip

SOLVERS: dict[str, Any] = {"tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5, "bosh3": diffrax.Bosh3, "heun": diffrax.Heun}
ADJOINTS: dict[str, Callable] = {
    "discrete": diffrax.RecursiveCheckpointAdjoint,
    "direct": diffrax.DirectAdjoint,
    "forward": diffrax.ForwardMode,
}
RANDOM = ("jacobian", "local_steps", "local_time")


def solve(setting, f: Callable, y0, times, training: bool, random, args) -> tuple[Any, Statistics]:
    """See `RegularizedSolve.__call__`."""
    setting.warn_of_rounding(float(jnp.finfo(y0.dtype).eps))
    wanted = setting.wanted(training)
    needs = [name for name in wanted if name in RANDOM] + ["steer"] * bool(training and setting.steer)
    if needs and random is None:
        raise SettingError(given=f"no key for {needs}", needed="random=jax.random.key(...)", remedy="Pass one.")
    keys = jax.random.split(random if random is not None else jax.random.key(0), 2)
    t = _checked(jnp.asarray(times, jnp.result_type(y0.dtype)), setting)
    if training and setting.steer:
        t = _moved(t, setting.steer, keys[0])
    if setting.batching == "coupled":
        return _coupled(setting, f, y0, t, wanted, keys[1], args)
    rows = jax.random.split(keys[1], len(y0))
    ys, statistics = jax.vmap(lambda y, key: _coupled(setting, f, y[None], t, wanted, key, args))(y0, rows)
    return jnp.moveaxis(ys[:, :, 0], 0, 1), statistics


def _checked(t, setting):
    if isinstance(t, jax.core.Tracer):
        return t
    if not (np.diff(np.asarray(t, np.float64)) > 0).all():
        raise SettingError(given=f"times {t}", needed="increasing ones", remedy="Replace t by -t and f by -f.")
    if setting.grid is not None and not np.allclose([setting.grid[0], setting.grid[-1]], [t[0], t[-1]], rtol=1e-6):
        raise SettingError(given=f"a grid from {setting.grid[0]} to {setting.grid[-1]}", needed=f"{t[0]} to {t[-1]}",
                           remedy="Change it.")  # fmt: skip
    return t


def _moved(t, amount: float, key):
    share = jax.random.uniform(key, (len(t) - 1,), t.dtype, -1.0, 1.0)
    room = jnp.full_like(t[1:], amount) if len(t) == 2 else 0.5 * min(amount, 1.0) * jnp.diff(t)
    return jnp.concatenate([t[:1], t[1:] + room * share])


def _coupled(setting, f, y0, t, wanted, key, args) -> tuple[Any, Statistics]:
    along = tuple(name for name in wanted if name in INTEGRANDS)
    sampled = tuple(name for name in wanted if name in SAMPLED)
    solver = _recording(SOLVERS[setting.method])(setting=setting, along=along, sampled=sampled, key=key)
    terms = diffrax.ODETerm(f)
    inner: Any = diffrax.PIDController(setting.rtol, setting.atol)
    controller: Any = Counting(inner, inner.rtol, inner.atol, inner.norm)
    if setting.grid is not None:
        controller = diffrax.StepTo(jnp.asarray(setting.grid, t.dtype))
    found = diffrax.diffeqsolve(
        terms, solver, t[0], t[-1], setting.first_step, y0, args,
        saveat=diffrax.SaveAt(ts=t, solver_state=True, controller_state=True), stepsize_controller=controller,
        adjoint=ADJOINTS[setting.adjoint](), max_steps=setting.max_steps,
    )  # fmt: skip
    assert found.solver_state is not None
    state: Any = found.controller_state
    record: Record = found.solver_state[1]
    tried = found.stats["num_steps"]
    early, fresh = (0, 0) if setting.grid is not None else (state[1], 2 * (setting.first_step is None))
    evaluations = _evaluations(setting.pair, tried, early, fresh)
    for name in along:
        evaluations = evaluations + tried * CALLS[name] * int(np.count_nonzero(setting.pair.b))
    valid = jnp.arange(setting.max_steps) < record.count
    values = {}
    for name in wanted:
        if name in FROM_STEPS:
            order = setting.pair.order
            values[name] = regulariser(
                jnp, name, record.errors, record.stiffness, record.steps, valid, order, setting.aggregate
            )
        elif name in along:
            values[name] = record.sums[along.index(name)]
        else:
            evaluations = evaluations + setting.pair.stages
            values[name] = _local(setting, terms, record.picked[name], args)
    statistics = Statistics(
        evaluations, found.stats["num_accepted_steps"], found.stats["num_rejected_steps"],
        record.starts, record.steps, record.errors, record.stiffness, valid, values,
    )  # fmt: skip
    return found.ys, statistics


def largest(y) -> float:
    """A bound below which squares, divided by those of a tolerance, stay finite."""
    return float(jnp.finfo(y.dtype).max) ** 0.4


def error_of(setting, error, y0, y1):
    """E of a step; one that overflows, and will be rejected, is replaced before it enters any arithmetic."""
    finite = (jnp.maximum(jnp.abs(error), jnp.abs(y1)) < largest(y0)).all()
    error, end = jnp.where(finite, error, 1.0), jnp.where(finite, y1, y0)
    return scaled_error(jnp, error, y0, end, setting.rtol, setting.atol)


def _evaluations(pair, tried, early, fresh):
    """Evaluations of f: the first stage once where it is the last of the step before, and again until a step is accepted."""
    if pair.first_same_as_last:
        return 1 + fresh + early + (pair.stages - 1) * tried
    return fresh + pair.stages * tried


class Record(eqx.Module):
    """Accepted steps so far: (max_steps,) histories, sums along the stages, a step picked at random, and their number."""

    starts: Any
    steps: Any
    errors: Any
    stiffness: Any
    sums: Any
    picked: dict[str, Any]
    count: Any


@cache
def _recording(base: Any) -> Any:
    """diffrax's solver with a `Record` beside its own state."""

    class Recording(base):
        setting: Any = eqx.field(static=True, kw_only=True)
        along: tuple[str, ...] = eqx.field(static=True, kw_only=True)
        sampled: tuple[str, ...] = eqx.field(static=True, kw_only=True)
        key: Any = eqx.field(kw_only=True)

        def init(self, terms, t0, t1, y0, args):
            zero = jnp.zeros(self.setting.max_steps, y0.dtype)
            times = jnp.zeros(self.setting.max_steps, jnp.result_type(t0))
            one = jnp.ones((), y0.dtype)
            picked = {name: ((jnp.zeros((), times.dtype), one, one, y0), 0 * one) for name in self.sampled}
            record = Record(times, zero, zero, zero, jnp.zeros(len(self.along), y0.dtype), picked, jnp.asarray(0))
            return super().init(terms, t0, t1, y0, args), record

        def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
            own, record = solver_state
            y1, error, dense, own, result = super().step(terms, t0, t1, y0, args, own, made_jump)
            h = jax.lax.stop_gradient(t1 - t0).astype(y0.dtype)
            at, setting, n = jax.lax.stop_gradient(t0), self.setting, record.count
            e = error_of(setting, error, y0, y1)
            s = jnp.zeros_like(e)
            k = dense["k"] / h  # diffrax holds h f; not computed where it is not asked for below
            k = jnp.where((jnp.abs(k) < largest(y0)).all(), k, 1.0)
            if "R_S" in setting.regularisers:
                s = stiffness(jnp, k, h, setting.pair)
            sums = record.sums
            if self.along:
                f = lambda t, y: terms.vf(t, y, args)  # noqa: E731
                new = [h * _along(INTEGRANDS[name], f, setting.pair, at, y0, k, h, self.key) for name in self.along]
                sums = sums + jnp.stack(new)
            picked = {name: picked_step(name, record.picked[name], n, at, h, y0, self.key) for name in self.sampled}
            record = Record(
                record.starts.at[n].set(at), record.steps.at[n].set(h), record.errors.at[n].set(e),
                record.stiffness.at[n].set(s), sums, picked, n + 1,
            )  # fmt: skip
            return y1, error, dense, (own, record), result

    Recording.__name__ = f"Recording{base.__name__}"
    return Recording


class Counting(diffrax.AbstractAdaptiveStepSizeController):
    """A controller that also counts rejections before the first accepted step: there diffrax evaluates the first stage anew."""

    inner: Any
    rtol: Any
    atol: Any
    norm: Callable

    def wrap(self, direction):
        """As of the controller within."""
        return Counting(self.inner.wrap(direction), self.rtol, self.atol, self.norm)

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        """As of the controller within, with a first step that is truly automatic."""
        # diffrax 0.7.2 wraps the term for the direction of time before its controller asks whether it is an ODETerm, so its own
        # automatic step is always 0.01. Time only increases here, and the term within the wrapper is the same equation.
        terms = getattr(terms, "term", terms)
        t_next, state = self.inner.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return t_next, (state, jnp.asarray(0), jnp.asarray(False))

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        """As of the controller within, counting early rejections."""
        state, early, accepted = controller_state
        keep, next0, next1, jump, state, result = self.inner.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, state
        )
        accepted = accepted | keep
        return keep, next0, next1, jump, (state, early + jnp.where(accepted, 0, 1), accepted), result


def _along(integrand: Callable, f: Callable, pair, t, y0, k, h, key):
    """The quadrature of an integrand that integrating it beside y, outside the error norm, would give."""
    total = 0.0
    for i, weight in enumerate(pair.b):
        if weight:
            state = y0 if i == 0 else y0 + h * combined(pair.a[i - 1], k)
            total = total + weight * integrand(f, (t + pair.c[i] * h).astype(h.dtype), state, k[i], key)
    return total


def picked_step(name: str, before, n, t, h, y0, key):
    """Of the steps so far one at random, equally likely or as likely as it is long: each new one replaces it by its share."""
    weight = h if name == "local_time" else jnp.ones_like(h)
    kept, total = before
    total = total + weight
    new = jax.random.uniform(jax.random.fold_in(key, n), (), h.dtype) < weight / total
    return jax.tree.map(lambda a, b: jnp.where(new, a, b), (t, h, weight, y0), kept), total


def _local(setting, terms, picked, args):
    """An unbiased estimate of R_E from one accepted step, taken once more by diffrax's step."""
    (t, h, weight, y), total = picked
    y = jax.lax.stop_gradient(y) if setting.detach_state else y
    solver = SOLVERS[setting.method]()
    state = solver.init(terms, t, t + h, y, args)
    end, error, *_ = solver.step(terms, t, t + h, y, args, state, jnp.asarray(False))
    return scaled_error(jnp, error, y, end, setting.rtol, setting.atol) * h * total / weight


def _kinetic(f, t, y, k, key):
    return (k * k).mean()


def _jacobian(f, t, y, k, key):
    probe = jax.random.rademacher(key, y.shape, y.dtype)
    return (jax.vjp(lambda v: f(t, v), y)[1](probe)[0] ** 2).mean()


def _taylor(order: int) -> Callable:
    def integrand(f, t, y, k, key):
        g = f
        for _ in range(order - 1):
            g = _total_derivative(f, g)
        return (g(t, y) ** 2).mean()

    return integrand


def _total_derivative(f: Callable, g: Callable) -> Callable:
    """dg/dt along solutions of y' = f."""
    return lambda t, y: jax.jvp(g, (t, y), (jnp.ones_like(t), f(t, y)))[1]


INTEGRANDS: dict[str, Callable] = {"kinetic": _kinetic, "jacobian": _jacobian, "taylor2": _taylor(2), "taylor3": _taylor(3)}
CALLS = {"kinetic": 0, "jacobian": 1, "taylor2": 2, "taylor3": 4}
"""Evaluations of f, plain or with derivatives, at each stage that has a weight."""
