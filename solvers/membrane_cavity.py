"""Sound in a thin cavity with sprung membranes in its walls, driven by loudspeakers: linear modes, cubic springs.

    p_t = -rho c^2 div(v) + rho c^2 / V_cell [sum_s Q_s - sum_m S_d xi_m'],   v_t = -grad(p) / rho,   v.n = 0 on walls and posts
    M xi_m'' = -R xi_m' - K_m xi_m - K3_m xi_m^3 + S_d p(x_m)

In the modes of the hard cavity (mean square one), p = sum_n psi_n p_n, this is

    p_n' = w_n u_n - 2 zeta_n w_n p_n + rho c^2 / V [sum_s psi_n(x_s) Q_s - S_d sum_m psi_n(x_m) xi_m'],   u_n' = -w_n p_n

Strang's splitting: the rotation of (p_n, u_n) with its decay is exact, the membranes are kicked, drift and are kicked, all
symmetric, hence of order two; the energy V / (2 rho c^2) sum(p^2 + u^2) + sum(M xi'^2 + K xi^2 + K3 xi^4 / 2) / 2 of the
undamped, undriven system stays bounded. Guo, Fleury, Lissek (arXiv 1907.07474) make such cubic springs at low level actively.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg

from solvers.errors import DataError, SettingError
from solvers.precision import jax
from solvers.result import Outcome, Result

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first


@dataclass(frozen=True)
class MembraneCavity:
    """Modes of the cavity, its membranes, loudspeakers and microphones. SI units.

    Parameters
    ----------
    angular : (mode,) angular frequencies w_n of the hard cavity, rad/s.   damping : (mode,) ratios zeta_n.
    membranes, sources, microphones : psi_n there, (mode, place).
    mass, resistance, stiffness, cubic : of the membranes, (membrane,) each: kg, kg/s, N/m, N/m^3.
    area : of a membrane S_d, m^2.   volume : of the cavity, m^3.   rho, c : of air.
    dt : time step, s.
    """

    angular: np.ndarray
    damping: np.ndarray
    membranes: np.ndarray
    sources: np.ndarray
    microphones: np.ndarray
    mass: np.ndarray
    resistance: np.ndarray
    stiffness: np.ndarray
    cubic: np.ndarray
    area: float = 12e-4
    volume: float = 0.06
    rho: float = 1.2
    c: float = 343.0
    dt: float = 20e-6

    def __post_init__(self):
        n, m = len(self.angular), len(self.mass)
        places = (self.damping, self.membranes, self.sources, self.microphones)
        if any(len(a) != n for a in places) or self.membranes.shape != (n, m):
            raise DataError(
                given=f"{n} modes, {m} membranes, arrays of shapes {[np.shape(a) for a in places]}",
                needed="(mode,) damping, (mode, place) values of modes, one column for each membrane",
                remedy="Make them with `rectangle_modes` or `post_modes`.",
            )
        if not (self.dt > 0 and self.dt * self.highest < 2):
            raise SettingError(
                given=f"dt={self.dt:g} s for membranes that turn at up to {self.highest:.4g} rad/s",
                needed="0 < dt < 2 / w, the bound of the kicked membranes",
                remedy="Shorten the step.",
            )

    @property
    def highest(self) -> float:
        """Highest angular frequency of a membrane alone, rad/s (modes turn exactly, at any step)."""
        return float(np.sqrt(np.max(self.stiffness / self.mass)))

    @property
    def compliance(self) -> float:
        """rho c^2 / V, Pa/m^3: pressure for a volume pushed in."""
        return self.rho * self.c**2 / self.volume

    def solve(self, initial: np.ndarray, steps: int, record: int = 1) -> Result:
        """Free motion: states (sample, 2 modes + 2 membranes), [p, u, xi, xi'], after 0, record, 2 record, ... steps.

        Values: (sample, time, state). stats: "energy", the largest relative change of it (meaningful without losses).
        """
        n, m = len(self.angular), len(self.mass)
        initial = np.asarray(initial, np.float64)
        if initial.ndim != 2 or initial.shape[1] != 2 * (n + m) or steps % record:
            raise DataError(
                given=f"states of shape {initial.shape}, {steps} steps recorded each {record}",
                needed=f"(sample, {2 * (n + m)}) and a multiple of `record`",
                remedy="Put p, u, xi, xi' side by side.",
            )
        with jax.enable_x64(True):
            run = _free(steps // record, record)
            parts = tuple(jnp.asarray(a.T) for a in np.split(initial, [n, 2 * n, 2 * n + m], axis=1))
            frames = np.concatenate([np.asarray(a) for a in run(self.constants(), parts)], axis=1)  # (time, state, sample)
        values = np.concatenate([initial[:, None], np.moveaxis(frames, 2, 0)], axis=1)
        good = np.isfinite(values).all(axis=(1, 2))
        energy = self.energy(values)
        change = np.abs(energy - energy[:, :1]).max(axis=1) / np.maximum(energy[:, 0], 1e-300)
        return Result(values, np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP)), {"energy": change})

    def respond(self, amplitudes: np.ndarray, drive: "Drive") -> Result:
        """What the microphones hear of tones from the loudspeakers, the air at rest at the start.

        amplitudes : (sample, source, tone), m^3/s.   Values: (sample, microphone, time), Pa, after `drive.settle`.
        """
        amplitudes = np.asarray(amplitudes, np.float64)
        needed = (self.sources.shape[1], len(drive.tones))
        if amplitudes.ndim != 3 or amplitudes.shape[1:] != needed or not np.isfinite(amplitudes).all():
            raise DataError(
                given=f"amplitudes of shape {amplitudes.shape}",
                needed=f"finite (sample, {needed[0]} sources, {needed[1]} tones)",
                remedy="One amplitude for each loudspeaker and tone.",
            )  # fmt: skip
        with jax.enable_x64(True):
            run = jax.jit(functools.partial(heard, every=drive.every))
            constants = self.constants() | {"microphones": self.microphones}
            values = np.asarray(run(constants, jnp.asarray(np.moveaxis(amplitudes, 0, -1)), *drive.tables(self.dt)))
        values = np.moveaxis(values, -1, 0).swapaxes(1, 2)
        good = np.isfinite(values).all(axis=(1, 2))
        return Result(values, np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP)))

    def energy(self, states: np.ndarray) -> np.ndarray:
        """J, of states (..., [p, u, xi, xi'])."""
        n, m = len(self.angular), len(self.mass)
        p, u, xi, v = np.split(states, [n, 2 * n, 2 * n + m], axis=-1)
        springs = self.mass * v**2 + self.stiffness * xi**2 + self.cubic * xi**4 / 2
        return np.sum(p**2 + u**2, axis=-1) / (2 * self.compliance) + np.sum(springs, axis=-1) / 2

    def constants(self) -> dict[str, Any]:
        """What a step needs, as arrays that a compiled loop takes as arguments."""
        # p'' of a damped mode: exact flow of (p, u) under p' = w u - 2 z w p, u' = -w p, over dt.
        w, z, h = self.angular, self.damping, self.dt
        turn = w * np.sqrt(1 - z**2)
        safe = np.where(turn > 0, turn, 1.0)
        fall, cos = np.exp(-z * w * h), np.cos(turn * h)
        sin = np.where(turn > 0, np.sin(turn * h) / safe, h)
        column = lambda a: np.asarray(a, np.float64)[:, None]  # noqa: E731
        return {
            "pp": column(fall * (cos - z * w * sin)), "pu": column(fall * w * sin), "uu": column(fall * (cos + z * w * sin)),
            "membranes": self.membranes, "sources": self.sources * (self.compliance * h / 2),
            "push": self.area * h / 2 / column(self.mass), "load": self.compliance * self.area * h / 2,
            "k": column(self.stiffness / self.mass * h / 2), "k3": column(self.cubic / self.mass * h / 2),
            "brake": column(np.exp(-self.resistance / self.mass * h / 2)), "dt": h,
        }  # fmt: skip


@dataclass(frozen=True)
class Drive:
    """Tones, and when one listens. tones : Hz.   phases : (source, tone).   settle, listen : steps before and while listening,
    multiples of `every`, at which the sound is recorded (low enough that nothing audible is aliased)."""

    tones: tuple[float, ...]
    phases: np.ndarray
    settle: int = 2000
    listen: int = 1000
    every: int = 5

    def tables(self, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """cos(w t + phase) in the middle of each step, before and while listening: (frame, every, source, tone) each."""
        middle = (np.arange(self.settle + self.listen) + 0.5) * dt
        waves = np.cos(2 * np.pi * middle[:, None, None] * np.asarray(self.tones) + self.phases)
        frames = waves.reshape(-1, self.every, *waves.shape[1:])
        return frames[: self.settle // self.every], frames[self.settle // self.every :]


def heard(k: dict[str, Any], amplitudes, before, during, *, every: int) -> Any:
    """Sound at the microphones at the end of each frame of `during`, (frame, microphone, sample); traceable, differentiable."""
    n, m, samples = k["membranes"].shape[0], k["membranes"].shape[1], amplitudes.shape[-1]
    zeros = lambda rows: jnp.zeros((rows, samples), amplitudes.dtype)  # noqa: E731

    def frame(state, waves):
        for i in range(every):
            state = step(k, state, jnp.sum(waves[i][..., None] * amplitudes, axis=1))
        return state, None

    def listened(state, waves):
        state, _ = frame(state, waves)
        return state, k["microphones"].T @ half(k, state, -1)[0]

    state, _ = jax.lax.scan(frame, (zeros(n), zeros(n), zeros(m), zeros(m)), before)
    return jax.lax.scan(listened, state, during)[1]


def step(k: dict[str, Any], state, volume_flow=None) -> Any:
    """One step of (p, u, xi, v), (component, sample) each; the flow Q (source, sample), m^3/s, is that of the step's middle.

    Rotations are whole ones: two half rotations of neighbouring steps, merged. States between steps are half a rotation ahead,
    see `half`.
    """
    p, u, xi, v = state
    pushed = 0.0 if volume_flow is None else k["sources"] @ volume_flow
    p = p + pushed - k["load"] * (k["membranes"] @ v)
    force = k["push"] * (k["membranes"].T @ p)
    v = k["brake"] * v + force - (k["k"] + k["k3"] * xi * xi) * xi
    xi = xi + k["dt"] * v
    v = k["brake"] * (v + force - (k["k"] + k["k3"] * xi * xi) * xi)
    p = p + pushed - k["load"] * (k["membranes"] @ v)
    return k["pp"] * p + k["pu"] * u, k["uu"] * u - k["pu"] * p, xi, v


def half(k: dict[str, Any], state, sign: int) -> Any:
    """Half a rotation forwards (sign 1) or back (-1), exactly: the square root of the whole one, by its trace.

    Valid below half a turn per step.
    """
    p, u, xi, v = state
    det = jnp.sqrt(k["pp"] * k["uu"] + k["pu"] ** 2)
    scale = jnp.sqrt(k["pp"] + k["uu"] + 2 * det)
    pp, pu, uu = (k["pp"] + det) / scale, k["pu"] / scale, (k["uu"] + det) / scale
    if sign > 0:
        return pp * p + pu * u, uu * u - pu * p, xi, v
    return (uu * p - pu * u) / det, (pp * u + pu * p) / det, xi, v


@functools.lru_cache(maxsize=32)
def _free(frames: int, record: int):
    """(constants, state) -> p, u, xi, v, each (time, component, sample)."""

    @jax.jit
    def run(k, state):
        def frame(state, _):
            state = jax.lax.fori_loop(0, record, lambda i, s: step(k, s), state)
            return state, half(k, state, -1)

        return jax.lax.scan(frame, half(k, state, 1), None, length=frames)[1]

    return run


def rectangle_modes(lengths: tuple[float, float], count: int, c: float = 343.0) -> tuple[np.ndarray, np.ndarray]:
    """The `count` lowest modes of a hard rectangle: angular frequencies (mode,), rad/s, and (m, n) (mode, 2).

    w = pi c sqrt((m / Lx)^2 + (n / Ly)^2), the uniform mode included; psi = a cos(m pi x / Lx) cos(n pi y / Ly), see `cosines`.
    """
    most = int(np.sqrt(4 * count)) + 2
    orders = np.stack(np.meshgrid(np.arange(most * 2), np.arange(most * 2), indexing="ij"), -1).reshape(-1, 2)
    angular = np.pi * c * np.hypot(orders[:, 0] / lengths[0], orders[:, 1] / lengths[1])
    first = np.argsort(angular, kind="stable")[:count]
    return angular[first], orders[first]


def cosines(orders: np.ndarray, lengths: tuple[float, float], places: np.ndarray) -> np.ndarray:
    """psi (mode, place) of a rectangle's modes at places (place, 2), m; mean square one."""
    norm = np.sqrt(np.where(orders[:, 0] > 0, 2, 1) * np.where(orders[:, 1] > 0, 2, 1))
    phase = np.pi * orders[:, None] * np.asarray(places)[None] / np.asarray(lengths)
    return norm[:, None] * np.cos(phase[..., 0]) * np.cos(phase[..., 1])


def post_modes(
    lengths: tuple[float, float], posts: Sequence[tuple[float, float]], radius: float, count: int, places: np.ndarray,
    h: float = 0.0125, c: float = 343.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Modes of a rectangle with rigid round posts: angular frequencies (mode,) and psi (mode, place), mean square one.

    Eigenvectors of the five-point Laplacian on the cells of spacing h that no post covers, no flux between free and covered
    ones (order two in the empty box); psi at a place is that of the nearest free cell.

    Raises
    ------
    DataError : a place inside a post or outside of the cavity.
    """
    shape = tuple(round(length / h) for length in lengths)
    x, y = np.meshgrid(*[(np.arange(n) + 0.5) * length / n for n, length in zip(shape, lengths, strict=True)], indexing="ij")
    free = np.ones(shape, bool)
    for a, b in posts:
        free &= np.hypot(x - a, y - b) > radius
    number = np.full(shape, -1)
    number[free] = np.arange(free.sum())
    rows, columns, weights = [], [], []
    for axis, (n, length) in enumerate(zip(shape, lengths, strict=True)):
        left = np.take(number, np.arange(n - 1), axis).ravel()
        right = np.take(number, np.arange(1, n), axis).ravel()
        both = (left >= 0) & (right >= 0)
        rows.append(left[both])
        columns.append(right[both])
        weights.append(np.full(both.sum(), (n / length) ** 2))
    i, j, w = (np.concatenate(part) for part in (rows, columns, weights))
    size = int(free.sum())
    off = sparse.coo_matrix((-w, (i, j)), shape=(size, size))
    off = (off + off.T).tocsr()
    laplacian = (off - sparse.diags(np.asarray(off.sum(axis=1)).ravel())).tocsc()
    start = np.cos(np.arange(size))  # a fixed one: the signs of the modes must not depend on the caller's random state
    values, vectors = scipy.sparse.linalg.eigsh(laplacian, count, sigma=-1.0, v0=start)
    order = np.argsort(values)
    values, vectors = np.maximum(values[order], 0.0), vectors[:, order] * np.sqrt(size)
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), np.arange(count)] < 0, -1.0, 1.0)
    cells = np.stack([np.asarray(places)[:, k] * shape[k] / lengths[k] for k in range(2)]).astype(int)
    inside = all((cells[k] >= 0).all() and (cells[k] < shape[k]).all() for k in range(2))
    if not inside or (number[cells[0], cells[1]] < 0).any():
        raise DataError(given="a place inside a post or outside of the cavity", needed="places in air", remedy="Move it.")
    return c * np.sqrt(values), vectors[number[cells[0], cells[1]]].T
