"""Networks of nonlinear oscillators by the classical Runge-Kutta method of order four, batched over samples.

    pendulums   q_i'' = -sin q_i + sum_j J_ij (sin q_j - sin q_i) + e_i       J symmetric; at rest at the start
    lattice     u_i'' = -gamma u_i' - u_i - beta u_i^3 - kappa (2 u_i - u_{i-1} - u_{i+1}) + sum_f x_{i,f} cos(w_f t)

The first is the public example of physics-aware training (Wright et al., Nature 601, 2022); its coupling is not derived from a
potential, so no energy is conserved. The second is a ring of Duffing oscillators with
energy sum(u'^2 + u^2 + beta u^4 / 2 + kappa (u_i - u_{i-1})^2) / 2, conserved without loss and drive.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.errors import DataError, SettingError
from solvers.precision import jax
from solvers.result import Outcome, Result

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first


@dataclass(frozen=True)
class Pendulums:
    """coupling : J (oscillator, oscillator), symmetric.   push : e (oscillator,).   duration, steps : of the motion."""

    coupling: np.ndarray
    push: np.ndarray
    duration: float = 3.0
    steps: int = 60

    def __post_init__(self):
        n = len(self.push)
        if np.shape(self.coupling) != (n, n) or not np.allclose(self.coupling, np.transpose(self.coupling)):
            raise DataError(
                given=f"couplings of shape {np.shape(self.coupling)} for {n} pendulums",
                needed=f"a symmetric ({n}, {n}) matrix",
                remedy="Use (J + J.T) / 2.",
            )
        _check_steps(self.duration, self.steps)

    def solve(self, angles: np.ndarray) -> Result:
        """Angles and velocities after `duration`, for angles at rest (sample, oscillator): (sample, 2, oscillator)."""
        return _solved(functools.partial(_swing, self.duration, self.steps), angles, len(self.push), self.coupling, self.push)


@dataclass(frozen=True)
class DuffingRing:
    """Ring of driven oscillators. frequencies : w_f (frequency,) of the drives.   Others as in the module's equation."""

    frequencies: tuple[float, ...]
    damping: float = 0.05
    cubic: float = 1.0
    coupling: float = 0.3
    duration: float = 60.0
    steps: int = 600

    def __post_init__(self):
        _check_steps(self.duration, self.steps)

    def solve(self, drives: np.ndarray, start: np.ndarray | None = None) -> Result:
        """Displacements and velocities at the end, (sample, 2, oscillator), for drives (sample, oscillator, frequency).

        start : displacements at the start, at rest, (sample, oscillator); zero by default.
        """
        drives = np.asarray(drives, np.float64)
        if drives.ndim != 3 or drives.shape[2] != len(self.frequencies):
            raise DataError(
                given=f"drives of shape {drives.shape}",
                needed=f"(sample, oscillator, {len(self.frequencies)})",
                remedy="One amplitude for each oscillator and frequency.",
            )
        start = np.zeros(drives.shape[:2]) if start is None else start
        return _solved(functools.partial(_ring, self), start, drives.shape[1], np.moveaxis(drives, 0, -1))


def swing(angles, coupling, push, *, duration: float, steps: int) -> Any:
    """Pendulums as a traceable function: angles (oscillator, sample) to angles and velocities; differentiable."""
    sums = coupling.sum(axis=1)[:, None]

    def rate(t, q, v):
        s = jnp.sin(q)
        return v, coupling @ s - (1 + sums) * s + push[:, None]

    return _rk4(rate, (angles, jnp.zeros_like(angles)), duration, steps)


def ring(settings: DuffingRing, start, drives) -> Any:
    """Duffing ring as a traceable function: start (oscillator, sample), drives (oscillator, frequency, sample)."""
    w = jnp.asarray(settings.frequencies, start.dtype)

    def rate(t, u, v):
        spring = u + settings.cubic * u**3 + settings.coupling * (2 * u - jnp.roll(u, 1, 0) - jnp.roll(u, -1, 0))
        return v, jnp.einsum("ofs,f->os", drives, jnp.cos(w * t)) - settings.damping * v - spring

    return _rk4(rate, (start, jnp.zeros_like(start)), settings.duration, settings.steps)


def _rk4(rate, state, duration: float, steps: int) -> Any:
    h = duration / steps

    def step(i, state):
        t, (q, v) = i * h, state
        a = rate(t, q, v)
        b = rate(t + h / 2, q + h / 2 * a[0], v + h / 2 * a[1])
        c = rate(t + h / 2, q + h / 2 * b[0], v + h / 2 * b[1])
        d = rate(t + h, q + h * c[0], v + h * c[1])
        move = lambda y, k: y + h / 6 * (a[k] + 2 * b[k] + 2 * c[k] + d[k])  # noqa: E731
        return move(q, 0), move(v, 1)

    return jax.lax.fori_loop(0, steps, step, state)


def _swing(duration, steps, angles, coupling, push):
    return swing(angles, coupling, push, duration=duration, steps=steps)


def _ring(settings, start, drives):
    return ring(settings, start, drives)


def _solved(function: functools.partial, start, count: int, *arrays) -> Result:
    start = np.asarray(start, np.float64)
    if start.ndim != 2 or start.shape[1] != count:
        raise DataError(given=f"a start of shape {start.shape}", needed=f"(sample, {count})", remedy="Add the missing axis.")
    with jax.enable_x64(True):
        found = jax.jit(function)(jnp.asarray(start.T), *(jnp.asarray(a, jnp.float64) for a in arrays))
    values = np.stack([np.asarray(part).T for part in found], axis=1)
    good = np.isfinite(values).all(axis=(1, 2))
    return Result(values, np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP)))


def _check_steps(duration: float, steps: int) -> None:
    if not (duration > 0 and steps >= 1):
        raise SettingError(given=f"duration={duration}, steps={steps}", needed="both positive", remedy="Change them.")
