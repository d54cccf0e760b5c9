"""Ordinary differential equations u' = f(t, u; p), many trajectories at once, each with its own adaptive steps.

Explicit Runge-Kutta pairs (tableaus of diffrax) run in one compiled loop of our own: every sample carries its time, step and
next output, and a step ends exactly on an output time, so nothing is interpolated. That loop compiles in a fraction of the time
of diffrax's general one and takes several times more trajectories per second (benchmarks/ode_speed.py). Stiff systems go to
diffrax itself: its implicit methods, sample by sample under `vmap`.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.errors import DataError, SettingError
from solvers.precision import jax
from solvers.result import Outcome, Result

import diffrax  # isort: skip - after solvers.precision, which settles JAX's memory first
import jax.numpy as jnp  # isort: skip

Rates = Callable[[Any, Any, Mapping[str, Any]], Any]
EXPLICIT = {"tsit5": (diffrax.Tsit5, 5), "dopri5": (diffrax.Dopri5, 5), "dopri8": (diffrax.Dopri8, 8)}
"""Name -> (diffrax solver, whose tableau is taken; order). The error estimate is one order lower."""
IMPLICIT = {"kvaerno3": diffrax.Kvaerno3, "kvaerno5": diffrax.Kvaerno5}
SAFETY, LEAST, MOST = 0.9, 0.2, 10.0  # of a change of step; Hairer, Norsett, Wanner, Solving ODEs I, section II.4
_SMALLEST = 4e-15  # step relative to the time reached and the whole interval: below it, time stands still


@dataclass(frozen=True)
class Ode:
    """Solver of u' = f(t, u; p), batched over samples, one compiled loop for each `rates`.

    Parameters
    ----------
    rates : (t, u, p) -> du/dt, written in jax.numpy. u is (component, sample) or (component,), t and the parameters p[name] are
        (sample,) or numbers; hashable, equal for equal systems: compiled loops are kept by it.
    method : explicit "dopri8" (order 8; best at tight tolerances), "tsit5", "dopri5"; for stiff systems "kvaerno5", "kvaerno3".
    rtol, atol : bounds of the local error of a step, atol + rtol |u|, in the mean square over components.
    step : fixed largest step instead of an adaptive one (explicit methods); intervals between outputs are cut into equal steps.
    max_steps : of one sample, rejected ones included; more is NOT_CONVERGED.
    limit : a component beyond it counts as BLOW_UP.

    Examples
    --------
    >>> def decay(t, u, p):
    ...     return -p["k"] * u
    >>> result = Ode(decay).solve(np.ones((2, 1)), np.array([0.0, 1.0]), {"k": np.array([1.0, 2.0])})
    >>> bool(np.allclose(result.values_or_raise()[:, 1, 0], np.exp([-1, -2]), rtol=1e-8))
    True
    """

    rates: Rates
    method: str = "dopri8"
    rtol: float = 1e-9
    atol: float = 1e-11
    step: float | None = None
    max_steps: int = 100_000
    limit: float = np.inf

    def __post_init__(self):
        if self.method not in (*EXPLICIT, *IMPLICIT):
            raise SettingError(
                given=f"method {self.method!r}", needed=f"one of {[*EXPLICIT, *IMPLICIT]}", remedy="Change `method`."
            )
        if not (1e-14 < self.rtol < 1 and self.atol > 0 and self.max_steps > 0 and self.limit > 0):
            raise SettingError(
                given=f"rtol={self.rtol}, atol={self.atol}, max_steps={self.max_steps}, limit={self.limit}",
                needed="1e-14 < rtol < 1, the others positive",
                remedy="Change them.",
            )
        if self.step is not None and (not self.step > 0 or self.method in IMPLICIT):
            raise SettingError(
                given=f"step={self.step} with method {self.method!r}",
                needed="a positive step and an explicit method",
                remedy=f"Take one of {list(EXPLICIT)}, or leave the step to the error control.",
            )

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any] | None = None) -> Result:
        """States at `times`, the first of which is the time of `initial`.

        initial : (sample, component).   times : (time,) increasing.   parameters : name -> number or (sample,).
        Values: (sample, time, component), float64; NaN from where a failed sample stopped. stats: "steps", "rejected".

        Raises
        ------
        DataError : shapes or times that do not fit. Failed samples do not raise: see `Result.values_or_raise`.
        """
        initial, times = np.asarray(initial, np.float64), np.asarray(times, np.float64)
        if initial.ndim != 2 or 0 in initial.shape:
            raise DataError(
                given=f"initial states of shape {initial.shape}", needed="(sample, component)", remedy="Add the missing axis."
            )
        if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0) or not np.isfinite(times).all():
            raise DataError(
                given=f"times {times}", needed="at least two increasing finite numbers", remedy="Start with the initial time."
            )
        shaped = {}
        for name, value in (parameters or {}).items():
            value = np.asarray(value, np.float64)
            if value.shape not in ((), (len(initial),)):
                raise DataError(
                    given=f"parameter {name!r} of shape {value.shape}",
                    needed=f"a number or one for each of {len(initial)} samples",
                    remedy="Reshape it.",
                )
            shaped[name] = np.broadcast_to(value, len(initial))
        given = np.isfinite(initial).all(axis=1)
        with jax.enable_x64(True):
            found = (_implicit if self.method in IMPLICIT else _explicit)(
                self, np.where(given[:, None], initial, 0.0), times, shaped
            )
        values, steps, rejected, outcome = (np.array(part) for part in found)
        values[~given], outcome[~given] = np.nan, int(Outcome.BLOW_UP)
        return Result(values, outcome, {"steps": steps, "rejected": rejected})


# -- explicit methods -----------------------------------------------------------------------------------------------------


def _explicit(solver: Ode, initial: np.ndarray, times: np.ndarray, parameters: dict):
    """Pad samples and outputs to a few sizes, so that small jobs of one system share one compiled program."""
    n, rows = len(initial), 256 * -(-len(times) // 256)
    size = 8 if n <= 8 else 256 if n <= 256 else 1 << (n - 1).bit_length()

    def pad(values):  # the copies of the last sample are cut off again
        return np.concatenate([values, np.repeat(values[-1:], size - n, axis=0)])

    outputs = np.concatenate([times, np.full(rows - len(times), times[-1])])
    run = _compiled(solver.rates, solver.method, solver.step is None)
    p = {name: pad(values) for name, values in parameters.items()}
    step = 0.0 if solver.step is None else solver.step
    found = run(pad(initial).T, outputs, len(times), p, solver.rtol, solver.atol, step, solver.max_steps, solver.limit)
    values, steps, rejected, outcome = (np.asarray(part)[:n] for part in found)
    return values[:, : len(times)], steps, rejected, outcome


@functools.lru_cache(maxsize=512)
def _compiled(rates: Rates, method: str, adaptive: bool):
    """The loop for one system: (states, outputs, count, p, tolerances, step, limits) -> (values, steps, rejected, outcome)."""
    kind, order = EXPLICIT[method]
    tableau = kind.tableau
    stages = len(tableau.b_sol)
    matrix = np.zeros((stages, stages))
    for i, row in enumerate(tableau.a_lower):
        matrix[i + 1, : i + 1] = row
    a, b, e = matrix, np.asarray(tableau.b_sol), np.asarray(tableau.b_error)
    c = np.concatenate([[0.0], np.asarray(tableau.c)])

    def advance(t, u, h, k0, p):
        """One step of every sample: new state, error estimate, slope at the end (all three pairs end with it)."""

        def stage(i, k):  # a loop rather than thirteen copies of `rates`: compiles twice as fast and runs as fast
            return k.at[i].set(rates(t + jnp.asarray(c)[i] * h, u + h * jnp.tensordot(jnp.asarray(a)[i], k, 1), p))

        k = jax.lax.fori_loop(1, stages, stage, jnp.zeros((stages, *u.shape)).at[0].set(k0))
        return u + h * jnp.tensordot(jnp.asarray(b), k, 1), h * jnp.tensordot(jnp.asarray(e), k, 1), k[-1]

    def run(initial, outputs, count, p, rtol, atol, step, max_steps, limit):
        samples = jnp.arange(initial.shape[1])
        start, whole = outputs[0], outputs[-1] - outputs[0]
        t = jnp.full(samples.shape, start)
        slope = rates(t, initial, p)

        def size(v, scale):
            return jnp.sqrt(jnp.mean((v / scale) ** 2, axis=0))

        def body(s):
            target = outputs[jnp.minimum(s["next"], count - 1)]
            left = target - s["t"]
            if adaptive:
                ends = s["h"] >= left * (1 - 1e-12)
                h = jnp.where(ends, left, jnp.where(2 * s["h"] > left, left / 2, s["h"]))  # no tiny step before an output
            else:
                parts = jnp.maximum(jnp.ceil(left / step * (1 - 1e-9)), 1)
                ends, h = parts < 1.5, left / parts
            new, error, end_slope = advance(s["t"], s["u"], h, s["slope"], p)
            bad = ~jnp.all(jnp.isfinite(new) & jnp.isfinite(end_slope), axis=0)
            if adaptive:
                q = size(error, atol + rtol * jnp.maximum(jnp.abs(s["u"]), jnp.abs(new)))
                bad = bad | ~jnp.isfinite(q)
                good = ~bad & (q <= 1)
                factor = jnp.clip(SAFETY * jnp.maximum(q, 1e-12) ** (-1 / order), LEAST, MOST)
                later = h * jnp.where(bad, LEAST, jnp.where(good, factor, jnp.minimum(factor, 1)))
                later = jnp.where(good & ends, jnp.maximum(s["h"], later), later)  # cut short by an output: the old step stays
            else:
                good, later = ~bad, s["h"]
            moved = s["go"] & good
            arrived = moved & ends
            t = jnp.where(arrived, target, jnp.where(moved, s["t"] + h, s["t"]))
            u = jnp.where(moved, new, s["u"])
            row = jnp.minimum(s["next"], count - 1)
            values = s["values"].at[samples, row].set(jnp.where(arrived[:, None], u.T, s["values"][samples, row]))
            following = jnp.where(arrived, s["next"] + 1, s["next"])
            stuck = bad & (jnp.asarray(not adaptive) | (later <= _SMALLEST * (jnp.abs(t) + whole)))
            stuck = stuck | (~good & (later <= _SMALLEST * (jnp.abs(t) + whole))) | jnp.any(jnp.abs(u) > limit, axis=0)
            taken = s["steps"] + s["go"]
            spent = (taken >= max_steps) & (following < count)
            code = jnp.where(stuck, int(Outcome.BLOW_UP), jnp.where(spent, int(Outcome.NOT_CONVERGED), s["outcome"]))
            outcome = jnp.where(s["go"], code, s["outcome"])
            return {
                "t": t,
                "u": u,
                "slope": jnp.where(moved, end_slope, s["slope"]),
                "h": jnp.where(s["go"], later, s["h"]),
                "next": following,
                "steps": taken,
                "rejected": s["rejected"] + (s["go"] & ~good),
                "outcome": outcome,
                "go": s["go"] & (following < count) & (outcome == int(Outcome.SUCCESS)),
                "values": values,
            }

        zeros = jnp.zeros(samples.shape, int)
        values = jnp.full((len(samples), len(outputs), len(initial)), jnp.nan).at[:, 0].set(initial.T)
        first = {
            "t": t,
            "u": initial,
            "slope": slope,
            "h": jnp.clip(_first_step(initial, slope, rtol, atol, size), 1e-12 * whole, 0.1 * whole),
            "next": zeros + 1,
            "steps": zeros,
            "rejected": zeros,
            "outcome": zeros,
            "go": jnp.all(jnp.isfinite(slope), axis=0),
            "values": values,
        }
        first["outcome"] = jnp.where(first["go"], zeros, int(Outcome.BLOW_UP))
        last = jax.lax.while_loop(lambda s: jnp.any(s["go"]), body, first)
        return last["values"], last["steps"], last["rejected"], last["outcome"]

    return jax.jit(run)


def _first_step(u, slope, rtol, atol, size):
    """A hundredth of the time in which the state changes by its own size (Hairer et al., II.4); steps then grow quickly."""
    scale = atol + rtol * jnp.abs(u)
    state, rate = size(u, scale), size(slope, scale)
    return jnp.where((state < 1e-5) | (rate < 1e-5), 1e-6, 0.01 * state / jnp.maximum(rate, 1e-300))


# -- implicit methods -----------------------------------------------------------------------------------------------------


def _implicit(solver: Ode, initial: np.ndarray, times: np.ndarray, parameters: dict):
    run = _compiled_implicit(solver.rates, solver.method, solver.max_steps)
    values, steps, rejected, code = (
        np.array(part) for part in run(initial, times, parameters, solver.rtol, solver.atol, solver.limit)
    )
    values = np.where(np.isinf(values), np.nan, values)  # diffrax marks what it did not reach
    values[:, 0] = initial
    outcome = np.select(
        [code == 0, code == 2], [int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED)], default=int(Outcome.BLOW_UP)
    )
    whole = np.isfinite(values).all(axis=(1, 2))
    outcome = np.where(whole | (outcome != Outcome.SUCCESS), outcome, int(Outcome.BLOW_UP))
    outcome = np.where((np.abs(values) > solver.limit).any(axis=(1, 2)), int(Outcome.BLOW_UP), outcome)
    return values, steps, rejected, outcome


@functools.lru_cache(maxsize=64)
def _compiled_implicit(rates: Rates, method: str, max_steps: int):
    """diffrax's solve of one sample, mapped over the batch; steps are cut at the output times, as in the explicit loop."""
    term, solver = diffrax.ODETerm(lambda t, u, p: rates(t, u, p)), IMPLICIT[method]()

    def one(initial, times, p, rtol, atol, limit):
        control = diffrax.PIDController(rtol=rtol, atol=atol, dtmin=_SMALLEST * (times[-1] - times[0]), force_dtmin=False)
        beyond = diffrax.Event(lambda t, y, args, **_: jnp.any(jnp.abs(y) > limit))
        found = diffrax.diffeqsolve(
            term,
            solver,
            times[0],
            times[-1],
            None,
            initial,
            p,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.ClipStepSizeController(control, step_ts=times),
            adjoint=diffrax.ForwardMode(),
            event=beyond,
            max_steps=max_steps,
            throw=False,
        )
        code = jnp.where(
            found.result == diffrax.RESULTS.successful, 0, jnp.where(found.result == diffrax.RESULTS.max_steps_reached, 2, 1)
        )
        return found.ys, found.stats["num_steps"], found.stats["num_rejected_steps"], code

    return jax.jit(jax.vmap(one, in_axes=(0, None, 0, None, None, None)))
