"""Two-dimensional incompressible Navier-Stokes between walls, velocity and pressure on the staggered (MAC) grid.

    u_t + div(u u) = -grad p + nu laplace(u) + f,    div u = 0,    u given on the walls (or periodic)

u lives on the faces across x, v on the faces across y, p in the cells (Harlow and Welch, Phys. Fluids 8, 1965): convection
conserves momentum and energy, and the divergence is zero to rounding in every cell. In time: three substeps, Wray's third-order
Runge-Kutta for convection with Crank-Nicolson for viscosity, each followed by a projection (Le and Moin, J. Comput. Phys. 92,
1991); second order, stable up to a Courant number of sqrt(3). All solves are direct, by dense eigenvectors of each axis.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.precision import jax
from solvers.result import Outcome, Result

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

SIDES = ("left", "right", "bottom", "top")
GAMMA, RHO = (8 / 15, 5 / 12, 3 / 4), (0.0, -17 / 60, -5 / 12)  # new and old convection of Wray's three substeps
STABLE = 3**0.5  # Courant number on the imaginary axis
Velocity = tuple[Any, Any]


@dataclass(frozen=True)
class ProjectionNavierStokes:
    """Projection method on a box whose axes are periodic or have walls.

    Parameters
    ----------
    grid : two axes, each of kind "cell" (walls) or "periodic"; at least 4 cells per axis.
    dt : largest time step; each interval between output times is cut into equal steps.
    walls : side ("left", "right", "bottom", "top") -> (u, v) there, numbers or functions of the coordinate along the side.
        Sides that are not named stand still. Flow through the sides must balance.
    cfl : largest dt (|u| / hx + |v| / hy); a sample that exceeds it ends as STEP_BOUND.
    ramp : time in which walls that slide take up their velocity, as sin^2; 0 starts them at once (a vortex sheet: the pressure
        of the first frame then has no limit on finer grids).

    Examples
    --------
    >>> grid = Grid.box("cell", 16, dimension=2, boundary="wall")
    >>> cavity = ProjectionNavierStokes(grid, dt=0.02, walls={"top": (1.0, 0.0)})
    >>> result = cavity.solve(np.zeros((1, 16, 16, 2)), np.array([0.0, 1.0]), {"nu": 0.01})
    >>> result.values.shape, bool(result.stats["divergence"][0] < 1e-11)
    ((1, 2, 16, 16, 3), True)
    """

    grid: Grid
    dt: float
    walls: Mapping[str, Velocity] = field(default_factory=dict)
    cfl: float = 1.5
    ramp: float = 0.0

    def __post_init__(self):
        check_grid(self.grid)
        if not 0 < self.dt < np.inf or not 0 < self.cfl <= STABLE:
            raise SettingError(
                given=f"dt={self.dt}, cfl={self.cfl}",
                needed=f"dt > 0 and 0 < cfl <= {STABLE:.3f}, the stability limit",
                remedy="Change them.",
            )
        through = max(np.abs(normal).max() for _, normal in wall_values(self.grid, self.walls).values())
        if not 0 <= self.ramp < np.inf or (self.ramp and through):
            raise SettingError(
                given=f"ramp={self.ramp} with flow through walls of up to {through:g}",
                needed="ramp >= 0, and a ramp only for walls that slide",
                remedy="Set ramp=0, or the normal velocities to zero.",
            )

    def solve(self, initial: np.ndarray | Velocity, times: np.ndarray, parameters: Mapping[str, Any]) -> Result:
        """Velocity and pressure at `times`, the first of which is the time of `initial`.

        initial : velocity in the cells, (sample, x, y, 2), averaged to the faces; or the pair (u, v) on the faces, (sample, x
            faces, y) and (sample, x, y faces), faces on walls included. Its divergence is projected away.
        times : (time,) increasing.
        parameters : "nu", a number >= 0 or one per sample; "force", a pair (f, g) of numbers, of functions of (x, y), or of
            arrays in the cells, (x, y) or (sample, x, y).
        Values: (sample, time, x, y, 3), u, v and p (of mean zero) in the cells. stats: "steps", "cfl" (largest), "divergence"
        (largest after any stored frame).

        Raises
        ------
        DataError : wrong shapes, NaN, a negative viscosity.
        """
        times = check_times(times)
        given = initial if isinstance(initial, tuple) else self._to_faces(np.asarray(initial, np.float64))
        u, v = (np.asarray(w, np.float64) for w in given)
        samples = len(u)
        for w, shape, name in zip((u, v), face_shapes(self.grid), "uv", strict=True):
            if w.shape != (samples, *shape) or not np.isfinite(w).all():
                raise DataError(
                    given=f"initial {name} of shape {w.shape}" + ("" if np.isfinite(w).all() else " with NaN or infinity"),
                    needed=f"finite values (sample, {shape[0]}, {shape[1]}) on the faces, or velocities in the cells",
                    remedy="Add the sample axis, or build the solver for this grid.",
                )
        nu = viscosities(parameters, samples)
        walls = wall_values(self.grid, self.walls)
        force = face_forces(self.grid, parameters.get("force", (0.0, 0.0)), samples)
        counts = np.maximum(1, np.ceil(np.diff(times) / self.dt * (1 - 1e-12)).astype(int))
        with jax.enable_x64(True):
            start, run, show = _compiled(self.grid)
            known = (jnp.asarray(nu[:, None, None]), walls, force)
            u, v = start(u, v, walls)
            p, frame, gap = show(u, v, 0.0, self.ramp, *known)
            frames, cfl, divergence = [np.asarray(frame)], np.zeros(samples), [np.asarray(gap)]
            for begin, length, count in zip(times - times[0], np.diff(times), counts, strict=False):
                (u, v, p), courant = run((u, v, p), begin, length / count, int(count), self.ramp, *known)
                _, frame, gap = show(u, v, begin + length, self.ramp, *known)
                cfl = np.maximum(cfl, np.asarray(courant))
                frames.append(np.asarray(frame))
                divergence.append(np.asarray(gap))
            values = np.stack(frames, axis=1)
        good = np.isfinite(values).reshape(samples, -1).all(axis=1) & np.isfinite(cfl)
        outcome = np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP))
        outcome = np.where(~good | (cfl > self.cfl), int(Outcome.STEP_BOUND), outcome)
        stats = {"steps": np.full(samples, counts.sum()), "cfl": cfl, "divergence": np.max(divergence, axis=0)}
        return Result(values, outcome, stats)

    def _to_faces(self, initial: np.ndarray) -> Velocity:
        if initial.ndim != 4 or initial.shape[1:] != (*self.grid.shape, 2):
            raise DataError(
                given=f"an initial velocity of shape {initial.shape}",
                needed=f"(sample, {self.grid.shape[0]}, {self.grid.shape[1]}, 2)",
                remedy="Add the sample axis and the component axis, or build the solver for this grid.",
            )
        return cells_to_faces(initial[..., 0], self.grid, 0), cells_to_faces(initial[..., 1], self.grid, 1)


def check_grid(grid: Grid) -> None:
    """Two axes of cells.

    Raises
    ------
    GridError : otherwise.
    """
    if grid.dimension != 2 or any(a.kind not in ("cell", "periodic") or a.size < 4 for a in grid.axes):
        raise GridError(
            given=f"a grid of {[f'{a.size} {a.kind}' for a in grid.axes]} points",
            needed="two axes, each 'cell' (walls) or 'periodic', of at least 4 cells",
            remedy="Use Grid.box('cell', n, dimension=2, boundary='wall').",
        )


def check_times(times: np.ndarray) -> np.ndarray:
    """Times as float64.

    Raises
    ------
    DataError : fewer than two, not increasing, or not finite.
    """
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all() or not np.all(np.diff(times) > 0):
        raise DataError(
            given=f"times {times}", needed="at least two increasing finite numbers", remedy="Start with the initial time."
        )
    return times


def viscosities(parameters: Mapping[str, Any], samples: int) -> np.ndarray:
    """nu of each sample, (sample,)."""
    nu = np.asarray(parameters.get("nu", np.nan), np.float64)
    if nu.shape not in ((), (samples,)) or not np.all((nu >= 0) & np.isfinite(nu)):
        raise DataError(
            given=f"viscosity {nu} for {samples} samples",
            needed="'nu', a number >= 0 or one per sample",
            remedy="Pass parameters={'nu': ...}.",
        )
    return np.broadcast_to(nu, (samples,))


def face_shapes(grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of u and v; faces on walls are stored, a periodic axis has as many faces as cells."""
    nx, ny = grid.shape
    walls = [axis.kind != "periodic" for axis in grid.axes]
    return (nx + walls[0], ny), (nx, ny + walls[1])


def faces(axis: Axis) -> np.ndarray:
    """Coordinates of the faces across an axis: before each cell, and with walls also after the last."""
    first = axis.coordinates()[0] - axis.spacing / 2
    return first + axis.spacing * np.arange(axis.size + (axis.kind != "periodic"))


def wall_values(grid: Grid, walls: Mapping[str, Velocity]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(along the wall, through it) on each side; along it at its faces, through it at its cells. Checks the balance."""
    unknown = set(walls) - set(SIDES)
    periodic = [side for i, side in enumerate(SIDES) if grid.axes[i // 2].kind == "periodic" and side in walls]
    if unknown or periodic:
        raise SettingError(
            given=f"wall velocities for {sorted(walls)}",
            needed=f"sides of {SIDES}, on axes with walls",
            remedy=f"Remove {sorted(unknown | set(periodic))}.",
        )
    found, flow, size = {}, 0.0, 0.0
    for i, side in enumerate(SIDES):
        across, along = i // 2, grid.axes[1 - i // 2]
        velocity = walls.get(side, (0.0, 0.0))
        through = _on_line(velocity[across], along.coordinates(), side)
        found[side] = (_on_line(velocity[1 - across], faces(along), side), through)
        flow += (1 if i % 2 else -1) * np.sum(through) * along.spacing
        size += np.sum(np.abs(through)) * along.spacing
    if abs(flow) > 1e-10 * max(size, 1e-300):
        raise SettingError(
            given=f"walls through which {flow:.3g} more flows out than in",
            needed="as much in as out",
            remedy="Mend the normal velocities.",
        )
    return found


def _on_line(value, points: np.ndarray, side: str) -> np.ndarray:
    values = np.broadcast_to(np.asarray(value(points) if callable(value) else value, np.float64), points.shape)
    if not np.isfinite(values).all():
        raise SettingError(given=f"a velocity of the {side} wall that is not finite", needed="numbers", remedy="Mend it.")
    return values


def cells_to_faces(values: np.ndarray, grid: Grid, position: int) -> np.ndarray:
    """Means of neighbours, (..., x, y) to the faces across axis `position`; faces on walls take the nearest cell's value."""
    values = np.moveaxis(values, position - 2, -1)
    if grid.axes[position].kind == "periodic":
        values = (values + np.roll(values, 1, -1)) / 2
    else:
        values = np.concatenate([values[..., :1], (values[..., 1:] + values[..., :-1]) / 2, values[..., -1:]], -1)
    return np.moveaxis(values, -1, position - 2)


def face_forces(grid: Grid, force: tuple[Any, Any], samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Both components of the body force on their faces, without those on walls; (sample or 1, ...)."""
    out = []
    for i, (given, shape) in enumerate(zip(force, face_shapes(grid), strict=True)):
        points = [faces(a) if j == i else a.coordinates() for j, a in enumerate(grid.axes)]
        value: Any = given(*np.meshgrid(*points, indexing="ij")) if callable(given) else given
        value = np.asarray(value, np.float64)
        if value.ndim == 0 or callable(given):
            value = np.broadcast_to(value, (1, *shape))
        elif value.shape in (grid.shape, (samples, *grid.shape)):
            value = cells_to_faces(value.reshape(-1, *grid.shape), grid, i)
        else:
            value = np.full(1, np.nan)
        if not np.isfinite(value).all():
            raise DataError(
                given=f"component {i} of the force, of a shape that does not fit or not finite",
                needed=f"a number, a function of (x, y), or arrays {grid.shape} or {(samples, *grid.shape)}",
                remedy="Evaluate it in the cells of this grid.",
            )
        inner = slice(1, -1) if grid.axes[i].kind != "periodic" else slice(None)
        out.append(value[:, inner] if i == 0 else value[:, :, inner])
    return out[0], out[1]


def second_difference(n: int, h: float, points: str) -> np.ndarray:
    """Matrix of the second difference along one axis, with u = 0 on the walls.

    points : "periodic"; "face" (the n inner faces, walls are points); "cell" (walls half a cell away; the value beyond the wall
        continues the parabola through the wall and two cells, which is exact for Poiseuille flow); "neumann" (no flux).
    """
    t = np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    if points == "periodic":
        t[0, -1] += 1
        t[-1, 0] += 1
    elif points == "cell":
        t[0, :2] = t[-1, :-3:-1] = -4, 4 / 3
    elif points == "neumann":
        t[0, 0] = t[-1, -1] = -1
    return t / h**2


def _eigen(n: int, h: float, points: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, eigenvectors and their inverse; "cell" is symmetric once its first and last row are scaled."""
    t, scale = second_difference(n, h, points), np.ones(n)
    if points == "cell":
        scale[[0, -1]] = 0.75**0.5
    values, q = scipy.linalg.eigh(scale[:, None] * t / scale)
    return values, q / scale[:, None], q.T * scale


class _Solve:
    """(1 - a laplace)^-1, or laplace^-1 without its constant mode, on inner points."""

    def __init__(self, grid: Grid, points: tuple[str, str]):
        self.axes = []
        for axis, kind in zip(grid.axes, points, strict=True):
            wall = axis.kind != "periodic"
            n = axis.size - (wall and kind == "face")
            self.axes.append(_eigen(n, axis.spacing, kind if wall else "periodic"))
        total = self.axes[0][0][:, None] + self.axes[1][0]
        self.values = np.where(np.abs(total) < 1e-10 * np.abs(total).max(), 0.0, total)

    def _between(self, r, divide):
        (_, vx, ix), (_, vy, iy) = self.axes
        return vx @ divide(ix @ r @ iy.T) @ vy.T

    def helmholtz(self, r, a):
        return self._between(r, lambda modes: modes / (1 - a * self.values))

    def poisson(self, r):
        inverse = np.divide(1.0, self.values, out=np.zeros_like(self.values), where=self.values != 0)
        return self._between(r, lambda modes: modes * inverse)


def _swap(w):
    return jnp.swapaxes(w, -1, -2)


def convection(u, v, along, periodic: tuple[bool, ...], spacing: tuple[float, ...]):
    """-(u u)_x - (u v)_y on the inner faces across x. along: u on the walls across y, (bottom, top), at the inner x faces.

    The v equation is the same with axes and components swapped.
    """
    (px, py), (hx, hy) = periodic, spacing
    middle = (u + jnp.roll(u, -1, 1)) / 2 if px else (u[:, 1:] + u[:, :-1]) / 2
    flux = middle**2
    total = (flux - jnp.roll(flux, 1, 1)) / hx if px else (flux[:, 1:] - flux[:, :-1]) / hx
    inner = u if px else u[:, 1:-1]
    carrier = (v + jnp.roll(v, 1, 1)) / 2 if px else (v[:, 1:] + v[:, :-1]) / 2
    if py:
        flux = carrier * (inner + jnp.roll(inner, 1, 2)) / 2
        return -(total + (jnp.roll(flux, -1, 2) - flux) / hy)
    low, high = (jnp.broadcast_to(w[..., None], (*inner.shape[:2], 1)) for w in along)
    flux = carrier * jnp.concatenate([low, (inner[:, :, 1:] + inner[:, :, :-1]) / 2, high], 2)
    return -(total + (flux[:, :, 1:] - flux[:, :, :-1]) / hy)


def laplacian(u, along, periodic: tuple[bool, ...], spacing: tuple[float, ...]):
    """laplace(u) on the inner faces across x; see `convection` and `second_difference`."""
    (px, py), (hx, hy) = periodic, spacing
    inner = u if px else u[:, 1:-1]
    in_x = jnp.roll(u, 1, 1) + jnp.roll(u, -1, 1) - 2 * u if px else u[:, 2:] + u[:, :-2] - 2 * inner
    if py:
        return in_x / hx**2 + (jnp.roll(inner, 1, 2) + jnp.roll(inner, -1, 2) - 2 * inner) / hy**2
    low, high = (w[..., None] for w in along)
    below = 8 / 3 * low - 2 * inner[:, :, :1] + inner[:, :, 1:2] / 3
    above = 8 / 3 * high - 2 * inner[:, :, -1:] + inner[:, :, -2:-1] / 3
    padded = jnp.concatenate([below, inner, above], 2)
    return in_x / hx**2 + (padded[:, :, 2:] + padded[:, :, :-2] - 2 * inner) / hy**2


@functools.lru_cache(maxsize=32)
def _compiled(grid: Grid) -> tuple[Callable, Callable, Callable]:
    """Start, steps and frames of a grid's flow; walls, forces, viscosities, times and steps are arguments."""
    px, py = periodic = tuple(axis.kind == "periodic" for axis in grid.axes)
    hx, hy = spacing = grid.spacing
    inner_shapes = (grid.shape[0] - (not px), grid.shape[1]), (grid.shape[0], grid.shape[1] - (not py))
    solve_u, solve_v, solve_p = (_Solve(grid, p) for p in (("face", "cell"), ("cell", "face"), ("neumann", "neumann")))

    def divergence(u, v):
        in_x = jnp.roll(u, -1, 1) - u if px else u[:, 1:] - u[:, :-1]
        in_y = jnp.roll(v, -1, 2) - v if py else v[:, :, 1:] - v[:, :, :-1]
        return in_x / hx + in_y / hy

    def gradient(p):
        return (
            (p - jnp.roll(p, 1, 1)) / hx if px else (p[:, 1:] - p[:, :-1]) / hx,
            (p - jnp.roll(p, 1, 2)) / hy if py else (p[:, :, 1:] - p[:, :, :-1]) / hy,
        )

    def plus(u, v, du, dv):
        """Add to the inner faces."""
        return (u + du if px else u.at[:, 1:-1].add(du)), (v + dv if py else v.at[:, :, 1:-1].add(dv))

    def tangential(walls):
        pick = lambda w, p: w[None] if p else w[None, 1:-1]  # noqa: E731
        for_u = [pick(walls[side][0], px) for side in ("bottom", "top")]
        return for_u, [pick(walls[side][0], py) for side in ("left", "right")]

    def convect(u, v, walls):
        for_u, for_v = tangential(walls)
        return convection(u, v, for_u, periodic, spacing), _swap(
            convection(_swap(v), _swap(u), for_v, periodic[::-1], spacing[::-1])
        )

    def diffuse(u, v, walls, factor):
        for_u, for_v = ([factor * w for w in pair] for pair in tangential(walls))
        return laplacian(u, for_u, periodic, spacing), _swap(laplacian(_swap(v), for_v, periodic[::-1], spacing[::-1]))

    def project(u, v):
        phi = solve_p.poisson(divergence(u, v))
        gx, gy = gradient(phi)
        return *plus(u, v, -gx, -gy), phi

    def speed(t, ramp):
        """Share of their velocity that sliding walls have at time t."""
        return jnp.sin(jnp.pi / 2 * jnp.where(ramp > 0, jnp.minimum(t / jnp.where(ramp > 0, ramp, 1.0), 1.0), 1.0)) ** 2

    @jax.jit
    def show(u, v, t, ramp, nu, walls, force):
        """Pressure (which keeps the rate of change free of divergence), fields in the cells, largest divergence."""
        (cu, cv), (lu, lv) = convect(u, v, walls), diffuse(u, v, walls, speed(t, ramp))
        rates = plus(jnp.zeros_like(u), jnp.zeros_like(v), cu + nu * lu + force[0], cv + nu * lv + force[1])
        p = solve_p.poisson(divergence(*rates))
        cu = (u + jnp.roll(u, -1, 1)) / 2 if px else (u[:, 1:] + u[:, :-1]) / 2
        cv = (v + jnp.roll(v, -1, 2)) / 2 if py else (v[:, :, 1:] + v[:, :, :-1]) / 2
        return p, jnp.stack([cu, cv, p], -1), jnp.abs(divergence(u, v)).max((1, 2))

    @jax.jit
    def start(u, v, walls):
        if not px:
            u = u.at[:, 0].set(walls["left"][1]).at[:, -1].set(walls["right"][1])
        if not py:
            v = v.at[:, :, 0].set(walls["bottom"][1]).at[:, :, -1].set(walls["top"][1])
        return project(u, v)[:2]

    @jax.jit
    def run(state, begin, dt, steps, ramp, nu, walls, force):
        def courant(u, v):
            return dt * (jnp.abs(u).max((1, 2)) / hx + jnp.abs(v).max((1, 2)) / hy)

        def substep(carried, weights):
            u, v, p, old_u, old_v, t = carried
            gamma, rho = weights
            part = (gamma + rho) * dt
            walls_between = (speed(t, ramp) + speed(t + part, ramp)) / 2  # Crank-Nicolson on the walls too
            (cu, cv), (lu, lv), (gx, gy) = convect(u, v, walls), diffuse(u, v, walls, walls_between), gradient(p)
            du = dt * (gamma * cu + rho * old_u) + part * (force[0] - gx + nu * lu)
            dv = dt * (gamma * cv + rho * old_v) + part * (force[1] - gy + nu * lv)
            u, v = plus(u, v, solve_u.helmholtz(du, part * nu / 2), solve_v.helmholtz(dv, part * nu / 2))
            before = divergence(u, v)
            u, v, phi = project(u, v)
            return (u, v, p + phi / part - nu / 2 * before, cu, cv, t + part), None

        def step(i, carried):
            u, v, p, largest = carried
            largest = jnp.maximum(largest, courant(u, v))
            old = (jnp.zeros((len(w), *shape)) for w, shape in zip((u, v), inner_shapes, strict=True))
            weights = jnp.array(GAMMA), jnp.array(RHO)
            (u, v, p, *_), _ = jax.lax.scan(substep, (u, v, p, *old, begin + i * dt), weights)
            return u, v, p, largest

        u, v, p, largest = jax.lax.fori_loop(0, steps, step, (*state, jnp.zeros(len(state[0]))))
        return (u, v, p), jnp.maximum(largest, courant(u, v))

    return start, run, show
