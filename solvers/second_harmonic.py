"""Second-harmonic generation: a pulse and its harmonic in a quadratic crystal.

    A1_z =             - i b1 / 2 A1_tt + i kappa A2 conj(A1) exp(+i dk z)
    A2_z = - delta A2_t - i b2 / 2 A2_tt + i kappa A1^2 exp(-i dk z)

Dispersion is exact in Fourier space, the interaction one Runge-Kutta step of order four between two halves of it (Strang, order
two). The integral of |A1|^2 + |A2|^2 (Manley and Rowe's relation) is kept to the error of that step.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.precision import jax
from solvers.result import Outcome, Result

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first


@dataclass(frozen=True)
class SecondHarmonic:
    """Crystal on a periodic window of time.

    Parameters
    ----------
    grid : periodic, one axis: retarded time.   length : of the crystal.   steps : of the integration.
    kappa : strength, (power)^(-1/2) / length.   mismatch : dk, 1 / length.   walk_off : delta, time / length.
    dispersion : b1, b2, time^2 / length.
    """

    grid: Grid
    length: float
    steps: int
    kappa: float = 1.0
    mismatch: float = 0.0
    walk_off: float = 0.0
    dispersion: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        if not self.grid.is_periodic or self.grid.dimension != 1:
            raise GridError(given=f"axes {self.grid.names}", needed="one periodic axis", remedy="Use Grid.box('periodic', n).")
        if not (self.length > 0 and self.steps >= 1):
            raise SettingError(
                given=f"length={self.length}, steps={self.steps}", needed="length > 0, steps >= 1", remedy="Change them."
            )

    def solve(self, fundamental: np.ndarray, harmonic: np.ndarray | None = None) -> Result:
        """Fields behind the crystal for fields in front of it, (sample, time) complex; no harmonic by default.

        Values: (sample, 2, time) complex, fundamental and harmonic. stats: "energy", relative change of the total.
        """
        first = np.asarray(fundamental, np.complex128)
        second = np.zeros_like(first) if harmonic is None else np.asarray(harmonic, np.complex128)
        if first.ndim != 2 or first.shape[1:] != self.grid.shape or second.shape != first.shape or not np.isfinite(first).all():
            raise DataError(
                given=f"fields of shapes {first.shape} and {second.shape}",
                needed=f"finite (sample, {self.grid.shape[0]}) each",
                remedy="Add the sample axis, or build the solver for this grid.",
            )
        with jax.enable_x64(True):
            values = np.stack([np.asarray(a) for a in _compiled(self)(jnp.asarray(first), jnp.asarray(second))], axis=1)
        total = lambda a: np.sum(np.abs(a) ** 2, axis=(-2, -1))  # noqa: E731
        before = total(np.stack([first, second], axis=1))
        good = np.isfinite(values).all(axis=(1, 2))
        change = np.abs(total(values) - before) / np.maximum(before, 1e-300)
        return Result(values, np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP)), {"energy": change})


@functools.lru_cache(maxsize=32)
def _compiled(crystal: SecondHarmonic):
    return jax.jit(functools.partial(advance, crystal))


def advance(crystal: SecondHarmonic, first, second, kappa=None, mismatch=None, walk_off=None) -> Any:
    """(A1, A2) behind the crystal; differentiable, in the precision of the fields. Strengths given override the crystal's."""
    kappa = crystal.kappa if kappa is None else kappa
    mismatch = crystal.mismatch if mismatch is None else mismatch
    walk_off = crystal.walk_off if walk_off is None else walk_off
    h = crystal.length / crystal.steps
    omega = 2 * np.pi * np.fft.fftfreq(crystal.grid.shape[0], crystal.grid.spacing[0])
    real = jnp.finfo(first.dtype).dtype
    b1, b2 = crystal.dispersion
    # The carrier is exp(-i w t), fields are sums of exp(i W t) with NumPy's sign: d/dt is i W.
    turn = [jnp.asarray(b1 * omega**2 / 2, real), jnp.asarray(b2 * omega**2 / 2, real) - walk_off * jnp.asarray(omega, real)]
    whole, half = [[jnp.exp(1j * t * (h * share)) for t in turn] for share in (1.0, 0.5)]

    def linear(a, b, factor):
        return jnp.fft.ifft(jnp.fft.fft(a) * factor[0]), jnp.fft.ifft(jnp.fft.fft(b) * factor[1])

    def rate(a, b, z):
        phase = jnp.exp(1j * mismatch * z).astype(first.dtype)
        return 1j * kappa * b * jnp.conj(a) * phase, 1j * kappa * a * a * jnp.conj(phase)

    def step(i, fields):
        a, b = fields
        z = i * h
        k1 = rate(a, b, z)
        k2 = rate(a + h / 2 * k1[0], b + h / 2 * k1[1], z + h / 2)
        k3 = rate(a + h / 2 * k2[0], b + h / 2 * k2[1], z + h / 2)
        k4 = rate(a + h * k3[0], b + h * k3[1], z + h)
        a, b = (y + h / 6 * (p + 2 * q + 2 * r + s) for y, p, q, r, s in zip((a, b), k1, k2, k3, k4, strict=True))
        return linear(a, b, whole)

    a, b = jax.lax.fori_loop(0, crystal.steps, step, linear(first, second, half))
    return linear(a, b, [jnp.conj(f) for f in half])
