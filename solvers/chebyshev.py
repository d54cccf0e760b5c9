"""Explicit Runge-Kutta-Chebyshev steps of order two for diffusion: u' = F(u), the eigenvalues of F_u near the negative axis.

A step of s stages is stable for eigenvalues up to 0.65 s^2 / step: s times fewer evaluations of F than small steps would take,
without a matrix. Step and number of stages are each sample's own, from an embedded estimate of the error and a bound of the
spectral radius.

Sommeijer, Shampine, Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88, 1998.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.errors import DataError, SettingError
from solvers.precision import in_float64, jax
from solvers.projection import check_times
from solvers.result import Outcome, Result
from solvers.threads import available

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

_DAMPING = 2 / 13
_SAFETY, _LEAST, _MOST = 0.8, 0.1, 5.0  # of a change of step
_STAGES = 500  # of one step; longer ones lose digits


@dataclass(frozen=True)
class Chebyshev:
    """Solver of u' = F(u; p), each sample with its own adaptive steps.

    Parameters
    ----------
    rates : (u, p) -> F(u), u of shape (*space), in jax.numpy.
    radius : (u, p) -> a bound of the largest |eigenvalue| of F_u. Both are hashable: compiled loops are kept by them.
    rtol, atol : bounds of the local error of a step, atol + rtol |u|, in the mean square over the points.
    max_steps : between two output times; more is NOT_CONVERGED.

    Examples
    --------
    >>> rates = lambda u, p: -p["k"] * u
    >>> solver = Chebyshev(rates, lambda u, p: p["k"])
    >>> found = solver.solve(np.ones((2, 3)), np.array([0.0, 1.0]), {"k": np.array([1.0, 2.0])})
    >>> found.values[:, 1, 0].round(3).tolist()
    [0.368, 0.135]
    """

    rates: Callable[[Any, Mapping[str, Any]], Any]
    radius: Callable[[Any, Mapping[str, Any]], Any]
    rtol: float = 1e-6
    atol: float = 1e-8
    max_steps: int = 10_000

    def __post_init__(self):
        if not (self.rtol > 0 and self.atol > 0 and self.max_steps > 0):
            raise SettingError(
                given=f"rtol={self.rtol}, atol={self.atol}, max_steps={self.max_steps}",
                needed="positive numbers",
                remedy="Change them.",
            )

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any] | None = None) -> Result:
        """Fields at `times`, the first of which is the time of `initial`.

        initial : (sample, *space).   times : (time,) increasing.   parameters : numbers, or (sample,).
        Values: (sample, time, *space); after a failure NaN. stats: "steps".

        Raises
        ------
        DataError : no samples, values that are not finite, parameters of another shape.
        """
        initial, times = np.asarray(initial, np.float64), check_times(times)
        known = {name: np.asarray(value, np.float64) for name, value in (parameters or {}).items()}
        for name, value in known.items():
            if value.shape not in ((), initial.shape[:1]) or not np.isfinite(value).all():
                raise DataError(
                    given=f"parameter {name!r} of shape {value.shape} for {len(initial)} samples",
                    needed="a finite number, or one per sample",
                    remedy="Check name and shape.",
                )
        if not np.isfinite(initial).all() or not initial.size:
            given = "an initial field with NaN or infinity" if initial.size else f"initial fields of shape {initial.shape}"
            raise DataError(given=given, needed="finite values of at least one sample", remedy="Mend it.")
        known = {name: np.broadcast_to(value, initial.shape[:1]) for name, value in known.items()}
        advance = _compiled(self)

        @in_float64
        def alone(i: int):
            p, frames = {name: value[i] for name, value in known.items()}, [initial[i]]
            carried = initial[i], np.float64(0.0), np.int64(0), np.bool_(False)
            for begin, end in itertools.pairwise(times):
                carried = advance(carried, end - begin, p)
                frames.append(np.asarray(carried[0]))
            return np.stack(frames), int(carried[2]), bool(carried[3])

        first = [alone(0)]  # compiles
        with ThreadPoolExecutor(available()) as pool:
            parts = first + list(pool.map(alone, range(1, len(initial))))
        values, steps, failed = (np.array(column) for column in zip(*parts, strict=True))
        values[failed] = np.nan
        outcome = np.where(failed, int(Outcome.NOT_CONVERGED), int(Outcome.SUCCESS))
        return Result(values, outcome, {"steps": steps})


@functools.lru_cache(maxsize=32)
def _compiled(solver: Chebyshev):
    """((u, last step, steps, failed), interval, p) -> the same after the interval."""

    @jax.jit
    def advance(carried, interval, p):
        u, step, steps, failed = carried
        radius = solver.radius(u, p)
        first = jnp.where(step > 0, step, 1.0 / radius)  # later intervals go on with the step of the last

        def unfinished(c):
            return (c[2] < interval) & ~c[5]

        def attempt(c):
            u, f, t, step, count, _ = c
            radius = solver.radius(u, p)
            tau = jnp.minimum(jnp.minimum(step, 0.65 * (_STAGES**2 - 1) / radius), interval - t)
            stages = jnp.maximum(2, 1 + jnp.floor(jnp.sqrt(1 + 1.54 * tau * radius))).astype(int)
            new = _step(lambda v: solver.rates(v, p), u, f, tau, stages)
            rate = solver.rates(new, p)
            estimate = 0.8 * (u - new) + 0.4 * tau * (f + rate)
            scale = solver.atol + solver.rtol * jnp.maximum(jnp.abs(u), jnp.abs(new))
            error = jnp.sqrt(jnp.mean((estimate / scale) ** 2))
            good = error <= 1  # false for NaN
            factor = jnp.where(jnp.isfinite(error), _SAFETY / jnp.maximum(error, 1e-12) ** (1 / 3), _LEAST)
            proposed = tau * jnp.clip(factor, _LEAST, _MOST)
            cut = good & (tau < step)  # short because the interval ends: no reason for shorter ones
            step = jnp.where(cut, jnp.maximum(proposed, step), proposed)
            u, f = jnp.where(good, new, u), jnp.where(good, rate, f)
            t = jnp.where(good, jnp.where(tau >= interval - t, interval, t + tau), t)
            return u, f, t, step, count + 1, (count >= solver.max_steps) | ~(tau > 1e-14 * interval)

        state = (u, solver.rates(u, p), jnp.zeros(()), first, jnp.zeros((), int), failed)
        u, _, _, step, count, failed = jax.lax.while_loop(unfinished, attempt, state)
        return u, step, steps + count, failed

    return advance


def _step(rates, u, f, tau, s):
    """One step of s stages, in increments over u: a state at rest stays there to the last bit."""
    w0 = 1 + _DAMPING / s**2
    turn = jnp.arccosh(w0)
    value, slope = jnp.cosh(s * turn), s * jnp.sinh(s * turn) / jnp.sinh(turn)
    w1 = slope / ((s**2 * value - w0 * slope) / (w0**2 - 1))  # T_s' / T_s''
    b = 1 / (4 * w0**2)  # b_0 = b_1 = b_2 = T_2'' / T_2'^2
    first = w1 * b * tau * f
    one = jnp.ones(())
    # polynomials T, T', T'' of two orders, b of two orders, a of the last
    chebyshev = (one, 0 * one, 0 * one, w0, one, 0 * one, b, b)

    def stage(_, carried):
        before, last, (t2, d2, c2, t1, d1, c1, b2, b1) = carried
        t0, d0, c0 = 2 * w0 * t1 - t2, 2 * w0 * d1 - d2 + 2 * t1, 2 * w0 * c1 - c2 + 4 * d1
        b0 = c0 / d0**2
        mu, nu, rate = 2 * b0 * w0 / b1, -b0 / b2, 2 * b0 * w1 / b1
        a = 1 - b1 * t1
        new = mu * last + nu * before + rate * tau * (rates(u + last) - a * f)
        return last, new, (t1, d1, c1, t0, d0, c0, b1, b0)

    return u + jax.lax.fori_loop(2, s + 1, stage, (jnp.zeros_like(first), first, chebyshev))[1]
