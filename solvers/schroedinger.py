"""Schroedinger's equation on periodic boxes, linear or cubic, by operator splitting:

    i psi_t = -1/2 laplace(psi) + V psi + g |psi|^2 psi - i s psi

Kinetic and potential part are each exact (the second because |psi| only decays in it, by exp(-s t)), so without absorption s
every step is unitary: mass is kept to rounding, energy to the order of the splitting. Strang's splitting (order 2) and the
six-stage one of Blanes and Moan (J. Comput. Appl. Math. 142, 2002, order 4), whose error at equal cost is far below that of
Yoshida's triple jump.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.precision import jax
from solvers.result import Outcome, Result

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

_A = (0.0792036964311957, 0.353172906049774, -0.0420650803577195)
_B = (0.209515106613362, -0.143851773179818)
_MIDDLE_A, _MIDDLE_B = 1 - 2 * sum(_A), 0.5 - sum(_B)
KINETIC = {2: (0.5, 0.5), 4: (*_A, _MIDDLE_A, *_A[::-1])}
"""Shares of a step that the kinetic flow takes before, between and after those of `POTENTIAL`."""
POTENTIAL = {2: (1.0,), 4: (*_B, _MIDDLE_B, _MIDDLE_B, *_B[::-1])}


@dataclass(frozen=True)
class SplitStep:
    """Split-step Fourier solver.

    Parameters
    ----------
    grid : periodic box in 1-D to 3-D.
    dt : largest time step; each interval between output times is cut into equal steps. Cubic runs need about
        dt < 2 pi / k_max^2, beyond which plane waves meet numerical resonances (Weideman and Herbst, SIAM J. Numer. Anal. 23,
        1986); the drift of energy in `stats` shows it.
    order : 2 (Strang) or 4 (Blanes and Moan).

    Examples
    --------
    >>> grid = Grid.box("periodic", 64, stop=2 * np.pi)
    >>> wave = np.exp(2j * grid.coordinates()[0])[None]
    >>> found = SplitStep(grid, dt=0.1).solve(wave, np.array([0.0, 1.0]), {"g": 3.0})
    >>> bool(np.allclose(found.values[0, 1], wave[0] * np.exp(-5j)))
    True
    """

    grid: Grid
    dt: float
    order: int = 4

    def __post_init__(self):
        if not self.grid.is_periodic:
            raise GridError(
                given=f"axes {[a.kind for a in self.grid.axes]}",
                needed="a periodic grid",
                remedy="Use Grid.box('periodic', n).",
            )
        if self.order not in KINETIC or not 0 < self.dt < np.inf:
            raise SettingError(given=f"order={self.order}, dt={self.dt}", needed="order 2 or 4, dt > 0", remedy="Change them.")

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any] | None = None) -> Result:
        """psi at `times`, the first of which is the time of `initial`.

        initial : (sample, *space), complex or real.   times : (time,) increasing.
        parameters : "V", potential, and "s", absorption >= 0: numbers, (*space) or (sample, *space); "g": a number or
        (sample,). Zero unless given.
        Values: (sample, time, *space) complex. stats: "steps", "mass" (drift, relative), "energy" (drift, relative to the
        sum of the absolute values of its three parts).

        Raises
        ------
        DataError : wrong shapes or values that are not finite.
        """
        initial, times = np.asarray(initial, np.complex128), np.asarray(times, np.float64)
        if initial.shape[1:] != self.grid.shape or initial.ndim < 2 or not np.isfinite(initial).all():
            raise DataError(
                given=f"psi of shape {initial.shape}" + ("" if np.isfinite(initial).all() else " with NaN or infinity"),
                needed=f"finite values (sample, {', '.join(map(str, self.grid.shape))})",
                remedy="Add the sample axis, or build the solver for this grid.",
            )
        if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0) or not np.isfinite(times).all():
            raise DataError(
                given=f"times {times}", needed="at least two increasing finite numbers", remedy="Start with the initial time."
            )
        g, potential, absorption = self._known(parameters or {}, len(initial))
        counts = np.maximum(1, np.ceil(np.diff(times) / self.dt * (1 - 1e-12)).astype(int))
        with jax.enable_x64(True):
            run = _compiled(self.grid, self.order, absorption is not None)
            state, frames = jnp.asarray(initial), []
            for length, count in zip(np.diff(times), counts, strict=True):
                state = run(state, length / count, int(count), g, potential, absorption)
                frames.append(np.asarray(state))
        values = np.stack([initial, *frames], axis=1)
        good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        mass, energy, size = invariants(values, self.grid, g[:, None], potential[:, None])
        stats = {
            "steps": np.full(len(values), counts.sum()),
            "mass": np.abs(mass - mass[:, :1]).max(axis=1) / np.maximum(mass[:, 0], 1e-300),
            "energy": np.abs(energy - energy[:, :1]).max(axis=1) / np.maximum(size[:, 0], 1e-300),
        }
        return Result(values, np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP)), stats)

    def _known(self, parameters: Mapping[str, Any], samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        unknown = set(parameters) - {"V", "g", "s"}
        g, v, s = (np.asarray(parameters.get(name, 0.0), np.float64) for name in ("g", "V", "s"))
        shapes = ((), self.grid.shape, (samples, *self.grid.shape))
        finite = np.isfinite(g).all() and np.isfinite(v).all() and np.isfinite(s).all() and (s >= 0).all()
        if unknown or g.shape not in ((), (samples,)) or v.shape not in shapes or s.shape not in shapes or not finite:
            raise DataError(
                given=f"parameters {sorted(parameters)} with g of shape {g.shape}, V of {v.shape} and s of {s.shape}",
                needed=f"finite 'g', a number or ({samples},), and 'V' and 's' >= 0, numbers or one of {shapes[1:]}",
                remedy="Mend them.",
            )
        full, whole = (samples, *(1,) * self.grid.dimension), (samples, *self.grid.shape)
        absorption = np.array(np.broadcast_to(s, whole)) if s.any() else None
        return np.broadcast_to(g, (samples,)).reshape(full), np.array(np.broadcast_to(v, whole)), absorption


def invariants(psi: np.ndarray, grid: Grid, g, potential) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass, energy, and the sum of the absolute values of the energy's parts; g and V broadcast against psi (..., *space).

    mass = integral |psi|^2,  energy = integral |grad psi|^2 / 2 + V |psi|^2 + g |psi|^4 / 2
    """
    axes, cell = tuple(range(-grid.dimension, 0)), float(np.prod(grid.spacing))
    modes = np.abs(np.fft.fftn(psi, axes=axes)) ** 2
    kinetic = cell / np.prod(grid.shape) * np.sum(_squares(grid) / 2 * modes, axis=axes)
    density = np.abs(psi) ** 2
    inner = cell * np.sum(potential * density, axis=axes)
    cubic = cell * np.sum(g / 2 * density**2, axis=axes)
    return cell * np.sum(density, axis=axes), kinetic + inner + cubic, np.abs(kinetic) + np.abs(inner) + np.abs(cubic)


def _squares(grid: Grid) -> np.ndarray:
    """|k|^2 in the complex-FFT layout."""
    rows = [(2 * np.pi * np.fft.fftfreq(a.size, a.spacing)) ** 2 for a in grid.axes]
    return functools.reduce(np.add.outer, rows)


@functools.lru_cache(maxsize=64)
def _compiled(grid: Grid, order: int, lossy: bool):
    """(psi, dt, steps, g, V, s) -> psi after the steps."""
    return jax.jit(functools.partial(advance, grid, order=order))


def advance(grid: Grid, psi, dt, steps, g, potential: Any = 0.0, absorption: Any = None, *, order: int = 2) -> Any:
    """psi (sample, *space) after so many steps: what `SplitStep` compiles, for callers that compile more around it.

    Works in the precision of psi. With `steps` a Python number it can be differentiated. The last kinetic part of a step is
    merged with the next one's first.

    g, potential, absorption : broadcast against psi; no absorption if None.
    """
    axes = tuple(range(1, grid.dimension + 1))
    kinetic, shares = KINETIC[order], POTENTIAL[order]
    rotation = jnp.asarray(-0.5 * _squares(grid), jnp.finfo(psi.dtype).dtype)
    between = [kinetic[i + 1] + (kinetic[0] if i == len(shares) - 1 else 0.0) for i in range(len(shares))]
    drifts = [jnp.exp(1j * (dt * share) * rotation) for share in between]

    def kick(hat, share):
        psi = jnp.fft.ifftn(hat, axes=axes)
        density = psi.real**2 + psi.imag**2
        if absorption is None:
            angle = dt * share * (potential + g * density)
            return jnp.fft.fftn(psi * jax.lax.complex(jnp.cos(angle), -jnp.sin(angle)), axes=axes)
        lost = 2 * absorption * dt * share  # the density that turns the phase falls by exp(-lost) meanwhile
        mean = jnp.where(absorption > 0, -jnp.expm1(-lost) / jnp.where(absorption > 0, lost, 1.0), 1.0)
        angle = dt * share * (potential + g * density * mean)
        return jnp.fft.fftn(psi * jnp.exp(-lost / 2) * jax.lax.complex(jnp.cos(angle), -jnp.sin(angle)), axes=axes)

    def step(_, hat):
        for share, drift in zip(shares, drifts, strict=True):
            hat = kick(hat, share) * drift
        return hat

    start = jnp.exp(1j * (dt * kinetic[0]) * rotation)
    hat = jax.lax.fori_loop(0, steps, step, jnp.fft.fftn(psi, axes=axes) * start)
    return jnp.fft.ifftn(hat * jnp.conj(start), axes=axes)
