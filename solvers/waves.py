"""Linear waves: exactly on periodic boxes with one speed, and by leap-frog through media of any speed.

    u_tt = c^2 laplace(u)          SpectralWave: every Fourier mode turns at its own rate, for any time at once
    u_tt = div(c^2 grad u)         Leapfrog: conservative fluxes with the harmonic mean of c^2, second order, walls that
                                   reflect or absorb

Both carry the pair (u, v = u_t). In acoustics u is the velocity potential or, in a fluid of one density, the pressure.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.precision import jax
from solvers.result import Outcome, Result
from solvers.spectral import wavenumbers

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first


@dataclass(frozen=True)
class SpectralWave:
    """Exact propagator of u_tt = c^2 laplace(u).

    Parameters
    ----------
    grid : periodic box in 1-D to 3-D.

    Examples
    --------
    >>> grid = Grid.box("periodic", 16)
    >>> start = np.stack([np.cos(2 * np.pi * grid.coordinates()[0]), np.zeros(16)], -1)[None]
    >>> found = SpectralWave(grid).solve(start, np.array([0.0, 0.5, 1.0]), {"c": 1.0})
    >>> bool(np.allclose(found.values[0, 2], start[0])), bool(np.allclose(found.values[0, 1], -start[0]))
    (True, True)
    """

    grid: Grid

    def __post_init__(self):
        if not self.grid.is_periodic:
            raise GridError(
                given=f"axes {[a.kind for a in self.grid.axes]}", needed="a periodic grid", remedy="Use Leapfrog for walls."
            )

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any]) -> Result:
        """(u, v) at `times`, the first of which is the time of `initial`.

        initial : (sample, *space, 2).   times : (time,) increasing.   parameters : "c", a number or one per sample, > 0.
        Values: (sample, time, *space, 2).

        Raises
        ------
        DataError : wrong shapes or values that are not finite; a speed that is not positive.
        """
        initial, times = _checked(initial, times, self.grid)
        c = np.asarray(parameters.get("c", np.nan), np.float64)
        if c.shape not in ((), (len(initial),)) or not np.all((c > 0) & np.isfinite(c)):
            raise DataError(
                given=f"speed {c} for {len(initial)} samples", needed="'c', a number > 0 or one per sample", remedy="Pass it."
            )
        d = self.grid.dimension
        axes = tuple(range(-d, 0))
        u, v = (np.asarray(scipy.fft.rfftn(initial[..., i], axes=axes))[:, None] for i in range(2))
        c = np.broadcast_to(c, (len(initial),)).reshape(-1, 1, *(1,) * d)
        rate = c * np.sqrt(sum(k**2 for k in wavenumbers(self.grid)))
        angle = rate * (times - times[0]).reshape(-1, *(1,) * d)
        still = rate == 0
        drift = np.where(still, (times - times[0]).reshape(-1, *(1,) * d), np.sin(angle) / np.where(still, 1.0, rate))
        modes = u * np.cos(angle) + v * drift, v * np.cos(angle) - u * rate * np.sin(angle)
        values = np.stack([np.asarray(scipy.fft.irfftn(m, s=self.grid.shape, axes=axes)) for m in modes], axis=-1)
        return Result(values, np.full(len(values), int(Outcome.SUCCESS)))


@dataclass(frozen=True)
class Leapfrog:
    """u_t = v, v_t = div(c^2 grad u) by the Stoermer-Verlet scheme (kick, drift, kick), time-reversible.

    Parameters
    ----------
    grid : axes "periodic", or "cell" with sides "neumann" (reflects, no flux), "dirichlet" (reflects, u = 0) or "outflow"
        (absorbs: c u_n = -u_t, exact for waves that leave along the normal; Engquist and Majda, Math. Comp. 31, 1977; this
        wall stands at the centre of the last cell, where both u_n and u_t are known to second order).
    dt : largest time step; each interval between output times is cut into equal steps. A sample beyond the stability bound
        dt < 2 / sqrt(largest eigenvalue) ends as STEP_BOUND.

    Examples
    --------
    >>> grid = Grid.box("cell", 32, boundary="neumann")
    >>> start = np.stack([np.cos(np.pi * grid.coordinates()[0]), np.zeros(32)], -1)[None]
    >>> found = Leapfrog(grid, dt=0.02).solve(start, np.array([0.0, 2.0]), {"c2": 1.0})
    >>> bool(abs(found.values[0, 1] - start[0]).max() < 0.01), bool(found.stats["energy"][0] < 1e-3)
    (True, True)
    """

    grid: Grid
    dt: float

    def __post_init__(self):
        known = ("neumann", "dirichlet", "outflow")
        if any(a.kind != "periodic" and (a.kind != "cell" or not set(a.boundary) <= set(known)) for a in self.grid.axes):
            raise GridError(
                given=f"axes {[(a.kind, a.boundary) for a in self.grid.axes]}",
                needed=f"periodic axes, or cells with sides of {known}",
                remedy="Use Grid.box('cell', n, boundary='neumann').",
            )
        if not 0 < self.dt < np.inf:
            raise SettingError(given=f"dt={self.dt}", needed="dt > 0", remedy="Change it.")

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any]) -> Result:
        """(u, v) at `times`, the first of which is the time of `initial`.

        initial : (sample, *space, 2).   times : (time,) increasing.
        parameters : "c2", the square of the speed, > 0: a number, (*space), (sample, *space).
        Values: (sample, time, *space, 2). stats: "steps", "energy": largest change relative to the start (with absorbing sides
        what has left), "courant": dt / bound.

        Raises
        ------
        DataError : wrong shapes or values that are not finite; c2 that is not positive.
        """
        initial, times = _checked(initial, times, self.grid)
        samples = len(initial)
        c2 = np.asarray(parameters.get("c2", np.nan), np.float64)
        if c2.shape not in ((), self.grid.shape, (samples, *self.grid.shape)) or not np.all((c2 > 0) & np.isfinite(c2)):
            raise DataError(
                given=f"c2 of shape {c2.shape}, or not positive",
                needed=f"'c2' > 0: a number, {self.grid.shape} or {(samples, *self.grid.shape)}",
                remedy="Evaluate the square of the speed in the cells of this grid.",
            )
        c2 = np.broadcast_to(c2, (samples, *self.grid.shape))
        faces, damping = face_speeds(c2, self.grid), absorption(c2, self.grid)
        counts = np.maximum(1, np.ceil(np.diff(times) / self.dt * (1 - 1e-12)).astype(int))
        courant = np.max(np.diff(times) / counts) * np.sqrt(_largest_eigenvalue(faces, self.grid)) / 2
        with jax.enable_x64(True):
            run = _compiled(self.grid)
            u, v = jnp.asarray(initial[..., 0]), jnp.asarray(initial[..., 1])
            frames = [initial]
            for length, count in zip(np.diff(times), counts, strict=True):
                u, v = run(u, v, length / count, int(count), faces, damping)
                frames.append(np.stack([np.asarray(u), np.asarray(v)], axis=-1))
        values = np.stack(frames, axis=1)
        stable = courant < 1
        good = np.isfinite(values).reshape(samples, -1).all(axis=1)
        outcome = np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP))
        with np.errstate(all="ignore"):  # of samples that have failed
            parts = energy(values, [f[:, None] for f in faces], self.grid)
            change = np.abs(parts - parts[:, :1]).max(axis=1) / np.maximum(parts[:, 0], 1e-300)
        stats = {"steps": np.full(samples, counts.sum()), "energy": change, "courant": courant}
        return Result(values, np.where(stable, outcome, int(Outcome.STEP_BOUND)), stats)


def _checked(initial, times, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    initial, times = np.asarray(initial, np.float64), np.asarray(times, np.float64)
    if initial.shape[1:] != (*grid.shape, 2) or not np.isfinite(initial).all():
        raise DataError(
            given=f"an initial pair of shape {initial.shape}" + ("" if np.isfinite(initial).all() else " with NaN or infinity"),
            needed=f"finite values (sample, {', '.join(map(str, grid.shape))}, 2): u and its rate of change",
            remedy="Stack both along the last axis.",
        )
    if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0) or not np.isfinite(times).all():
        raise DataError(
            given=f"times {times}", needed="at least two increasing finite numbers", remedy="Start with the initial time."
        )
    return initial, times


def face_speeds(c2: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """c^2 on the faces across each axis: harmonic means; on walls 0 (no flux), or 2 c^2 (u = 0 is half a cell away).

    A periodic axis has as many faces as cells (each before its cell), one with walls one more.
    """
    out = []
    for i, axis in enumerate(grid.axes):
        a = np.moveaxis(c2, i - grid.dimension, -1)
        if axis.kind == "periodic":
            before = np.roll(a, 1, -1)
            face = 2 * a * before / (a + before)
        else:
            ends = [
                2 * a[..., e] if side == "dirichlet" else 0 * a[..., e] for e, side in zip((0, -1), axis.boundary, strict=True)
            ]
            inner = 2 * a[..., 1:] * a[..., :-1] / (a[..., 1:] + a[..., :-1])
            face = np.concatenate([ends[0][..., None], inner, ends[1][..., None]], -1)
        out.append(np.moveaxis(face, -1, i - grid.dimension))
    return out


def absorption(c2: np.ndarray, grid: Grid) -> np.ndarray:
    """Rate at which the flux -c v through absorbing sides slows the half cells inside them, (sample, *space)."""
    total = np.zeros(c2.shape)
    for i, axis in enumerate(grid.axes):
        along, speed = np.moveaxis(total, i - grid.dimension, -1), np.moveaxis(np.sqrt(c2), i - grid.dimension, -1)
        for end, side in zip((0, -1), axis.boundary, strict=True):
            if side == "outflow":
                along[..., end] += 2 * speed[..., end] / axis.spacing
    return total


def _shares(axis) -> np.ndarray:
    """Part of each cell that lies in the domain: a half next to absorbing sides."""
    share = np.ones(axis.size)
    for end, side in zip((0, -1), axis.boundary, strict=True):
        if side == "outflow":
            share[end] /= 2
    return share


def _largest_eigenvalue(faces: list[np.ndarray], grid: Grid) -> np.ndarray:
    """Gershgorin's bound for -div(c^2 grad), per sample."""
    rows = np.zeros(())
    for i, (face, axis) in enumerate(zip(faces, grid.axes, strict=True)):
        f = np.moveaxis(face, i - grid.dimension, -1)
        both = f + np.roll(f, -1, -1) if axis.kind == "periodic" else f[..., 1:] + f[..., :-1]
        rows = rows + np.moveaxis(2 * both / _shares(axis) / axis.spacing**2, -1, i - grid.dimension)
    return rows.reshape(len(faces[0]), -1).max(axis=1)


def energy(values: np.ndarray, faces: list[np.ndarray], grid: Grid) -> np.ndarray:
    """Integral of v^2 / 2 + c^2 |grad u|^2 / 2 of (..., *space, 2), on the scheme's own faces."""
    d = grid.dimension
    axes, cell = tuple(range(-d, 0)), float(np.prod(grid.spacing))
    shares = [_shares(axis).reshape(-1, *(1,) * (d - 1 - i)) for i, axis in enumerate(grid.axes)]
    total = np.sum(values[..., 1] ** 2 * np.prod(np.broadcast_arrays(*shares), axis=0), axis=axes) / 2
    for i, (face, axis) in enumerate(zip(faces, grid.axes, strict=True)):
        others = np.prod(np.broadcast_arrays(np.ones((1,) * d), *(s for j, s in enumerate(shares) if j != i)), axis=0)
        jump = _jumps(values[..., 0], axis, i - d, np)
        total = total + np.sum(face * jump**2 * others, axis=axes) / (2 * axis.spacing**2)
    return cell * total


def _jumps(u, axis, at: int, xp):
    """Differences across the faces of an axis; u = 0 beyond walls, where only the wall's share (2 c^2, or 0) uses it."""
    if axis.kind == "periodic":
        return u - xp.roll(u, 1, at)
    width = [(0, 0)] * (u.ndim + at) + [(1, 1)] + [(0, 0)] * (-at - 1)
    return xp.diff(xp.pad(u, width), axis=at)


@functools.lru_cache(maxsize=64)
def _compiled(grid: Grid):
    """(u, v, dt, steps, c^2 on faces, absorption) -> (u, v) after the steps."""
    d = grid.dimension

    def acceleration(u, faces):
        total = 0.0
        for i, (face, axis) in enumerate(zip(faces, grid.axes, strict=True)):
            flow = face * _jumps(u, axis, i - d, jnp)
            change = jnp.roll(flow, -1, i - d) - flow if axis.kind == "periodic" else jnp.diff(flow, axis=i - d)
            total = total + change / (_shares(axis).reshape(-1, *(1,) * (d - 1 - i)) * axis.spacing**2)
        return total

    @jax.jit
    def run(u, v, dt, steps, faces, damping):
        slowed = dt / 2 * damping

        def step(_, carried):
            u, v, a = carried
            v = (v + dt / 2 * a) / (1 + slowed)
            u = u + dt * v
            a = acceleration(u, faces)
            return u, v * (1 - slowed) + dt / 2 * a, a

        u, v, _ = jax.lax.fori_loop(0, steps, step, (u, v, acceleration(u, faces)))
        return u, v

    return run
