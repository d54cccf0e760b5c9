"""Exponential Runge-Kutta for u_t = L u + N(u) on periodic boxes: L exact, mode by mode; N pseudo-spectral.

ETDRK4 of Cox and Matthews (J. Comput. Phys. 176, 2002) with coefficients by contour integrals (Kassam and Trefethen, SIAM J.
Sci. Comput. 26, 2005), and ETDRK2. The coefficients stay complex unless L is real: taking the real part of those of an odd
derivative lowers the order to one.
"""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from solvers.errors import DataError, SettingError
from solvers.grid import Grid
from solvers.modes import Modes
from solvers.precision import jax
from solvers.result import Outcome, Result
from solvers.threads import available

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

BLOCK = 1 << 15  # numbers of a block of samples that are advanced together on a CPU: the arrays of a step then stay in cache
CONTOUR = 32  # points of the contour integral
SKEWED = 1e-3  # smallest singular value of unit eigenvectors below which a matrix counts as not diagonalisable
Symbol = Callable[[tuple, Mapping[str, Any]], Any]
Nonlinear = Callable[[Any, Modes, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class ExponentialRK:
    """Solver of u_t = L u + N(u), batched over samples, one compiled loop.

    Parameters
    ----------
    grid : periodic box in 1-D to 3-D.
    linear : (k, p) -> symbol of L, broadcastable to (sample, *modes) (systems: (sample, *modes, component), or a matrix per
        mode (sample, *modes, component, component) where L couples the components). k: wavenumbers per axis of the
        modes that are kept; p: parameters, those of one number per sample shaped (sample, 1, ...).
    nonlinear : (u_hat, modes, p) -> spectrum of N(u), written in jax.numpy; u_hat ([component,] sample, *modes) holds the modes
        that `dealias` keeps, and `modes` (see `solvers.modes.Modes`) their wavenumbers modes.k and the transforms
        modes.points(u_hat), modes.modes(values). Both are hashable: compiled loops are kept by them.
    dt : largest step; each interval between output times is cut into equal steps.
    order : 4 or 2.
    dealias : share of the modes of each axis that is kept.
    dtype : "float64", or "float32" (coefficients are computed in float64 all the same).
    """

    grid: Grid
    linear: Symbol
    nonlinear: Nonlinear
    dt: float
    order: int = 4
    dealias: float = 2 / 3
    dtype: str = "float64"

    def __post_init__(self):
        if self.order not in (2, 4) or self.dt is None or not self.dt > 0 or not 0 < self.dealias <= 1:
            raise SettingError(
                given=f"order={self.order}, dt={self.dt}, dealias={self.dealias}",
                needed="order 2 or 4, dt > 0, dealias in (0, 1]",
                remedy="Change them.",
            )
        if self.dtype not in ("float32", "float64"):
            raise SettingError(given=f"dtype={self.dtype!r}", needed="'float32' or 'float64'", remedy="Change it.")

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any] | None = None) -> Result:
        """Fields at `times`, the first of which is the time of `initial`.

        initial : (sample, *space), or (sample, *space, component) for systems.   times : (time,) increasing.
        parameters : numbers, (sample,), or arrays that broadcast against the fields.
        Values: (sample, time, *space[, component]). stats: "steps". A solution that leaves the numbers is BLOW_UP.
        """
        initial, times = np.asarray(initial, self.dtype), np.asarray(times, np.float64)
        d = self.grid.dimension
        if initial.ndim not in (d + 1, d + 2) or initial.shape[1 : d + 1] != self.grid.shape:
            raise DataError(
                given=f"an initial field of shape {initial.shape}",
                needed=f"(sample, {', '.join(map(str, self.grid.shape))}[, component])",
                remedy="Add the sample axis, or build the solver for this grid.",
            )
        if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0) or not np.isfinite(times).all():
            raise DataError(
                given=f"times {times}", needed="at least two increasing finite numbers", remedy="Start with the initial time."
            )
        values, steps = self._frames(initial, times, self._shaped(parameters or {}, len(initial)))
        good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        outcome = np.where(good, int(Outcome.SUCCESS), int(Outcome.BLOW_UP))
        return Result(values, outcome, {"steps": np.full(len(values), steps)})

    def _shaped(self, parameters: Mapping[str, Any], samples: int) -> dict[str, np.ndarray]:
        shaped = {}
        for name, value in parameters.items():
            value = np.asarray(value)
            value = value if np.iscomplexobj(value) else value.astype(self.dtype)
            one_each = value.ndim == 1 and len(value) == samples
            shaped[name] = value.reshape(-1, *(1,) * self.grid.dimension) if one_each else value
        return shaped

    def _frames(self, initial, times, parameters) -> tuple[np.ndarray, int]:
        """Values (sample, time, ...), the initial ones included, and the number of steps."""
        components = initial.ndim == self.grid.dimension + 2
        modes = Modes(self.grid, self.dealias)
        exact = {n: np.asarray(v, np.complex128 if np.iscomplexobj(v) else np.float64) for n, v in parameters.items()}
        symbol = np.asarray(self.linear(modes.k, exact))
        if components and symbol.ndim == self.grid.dimension:  # one symbol for all components
            symbol = symbol[..., None]
        if components and symbol.ndim == self.grid.dimension + 1:  # the same for all samples
            symbol = symbol[None]
        matrix = components and symbol.ndim == self.grid.dimension + 3
        symbol = _once(symbol, self.grid.dimension + components + matrix)
        run = _compiled(modes, self.nonlinear, self.order, components)
        blocks = _blocks(len(initial), initial[0].size if len(initial) else 1)
        values = np.empty((len(initial), len(times), *initial.shape[1:]), self.dtype)
        values[:, 0] = initial
        state = [_rows(initial, rows) for rows in blocks]
        given = [{n: _rows_of(v, rows, len(initial)) for n, v in parameters.items()} for rows in blocks]
        sampled = symbol.ndim == self.grid.dimension + 1 + components + matrix and len(symbol) == len(initial) > 1
        with ThreadPoolExecutor(min(available(), len(blocks))) as pool:
            for start, stop, count, step in _equal_intervals(times, self.dt):
                coefficients = _coefficients(symbol, step, self.order, self.dtype, matrix)
                if components:
                    front, back = ((0, 1), (-2, -1)) if matrix else (0, -1)
                    coefficients = {name: np.moveaxis(v, back, front) for name, v in coefficients.items()}
                lead = (2 if matrix else 1) * components  # axes before that of the samples

                def advance(i, start=start, stop=stop, count=count, coefficients=coefficients, lead=lead):
                    rows, c = blocks[i], coefficients
                    if sampled:
                        c = {name: np.take(v, rows, axis=lead) for name, v in coefficients.items()}
                    with jax.enable_x64(self.dtype == "float64"):
                        state[i], part = run(state[i], c, given[i], count, stop - start, start == 0)
                        fresh = len(dict.fromkeys(rows))  # the last block may repeat its last sample
                        values[rows[:fresh], start + 1 : stop + 1] = np.moveaxis(np.asarray(part), 0, 1)[:fresh]

                list(pool.map(advance, range(len(blocks))))
        return values, int(sum(count * (stop - start) for start, stop, count, _ in _equal_intervals(times, self.dt)))


def _equal_intervals(times: np.ndarray, dt: float) -> list[tuple[int, int, int, float]]:
    """(first interval, one past the last, steps in each, step) of runs of equal steps, which share coefficients and a loop."""
    intervals = np.diff(times)
    counts = np.maximum(1, np.ceil(intervals / dt * (1 - 1e-12)).astype(int))
    lengths = intervals / counts
    runs, start = [], 0
    for i in range(1, len(intervals) + 1):
        same = i < len(intervals) and counts[i] == counts[start] and np.isclose(lengths[i], lengths[start], rtol=1e-12)
        if not same:
            runs.append((start, i, int(counts[start]), float(np.mean(lengths[start:i]))))
            start = i
    return runs


def _blocks(samples: int, size: int) -> list[np.ndarray]:
    """Rows of the batch that are solved together: on a CPU at least two blocks, small enough for a cache; elsewhere all.

    The blocks depend on the batch alone, not on the machine's threads, so that the bits do not either. All have the same
    length (and one compiled loop): the last may repeat its last row.
    """
    number = 1 if jax.default_backend() != "cpu" else max(min(2, samples), -(-samples // max(1, BLOCK // size)))
    length = -(-samples // max(1, number))
    return [np.minimum(np.arange(i, i + length), samples - 1) for i in range(0, samples, max(1, length))]


def _rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return values if len(rows) == len(values) else values[rows]


def _rows_of(value: np.ndarray, rows: np.ndarray, samples: int) -> np.ndarray:
    """Rows of a parameter that has one entry per sample; others belong to all."""
    return value[rows] if value.ndim > 0 and len(value) == samples > 1 else value


@functools.lru_cache(maxsize=128)
def _compiled(modes: Modes, nonlinear: Nonlinear, order: int, components: bool):
    """The loop over output times, for one kind of equation: (state, coefficients, p, steps, frames) -> (state, fields)."""

    @functools.partial(jax.jit, static_argnames=("frames", "first"))
    def run(state, coefficients, p, steps, frames, first):
        # Components come first inside: transforms then run over contiguous arrays.
        state = jnp.moveaxis(state, -1, 0) if components and first else state
        u = modes.modes(state) if first else state

        def change(v):
            return nonlinear(v, modes, p)

        advance = _etdrk4 if order == 4 else _etdrk2
        apply = _matrix_times if coefficients["whole"].ndim > u.ndim else _times

        def frame(v, _):
            v = jax.lax.fori_loop(0, steps, lambda _, w: advance(w, change, coefficients, apply), v)
            values = modes.points(v)
            return v, jnp.moveaxis(values, 0, -1) if components else values

        return jax.lax.scan(frame, u, None, length=frames)

    return run


def _etdrk4(u, change, c, apply):
    n = change(u)
    linear = apply(c["half"], u)
    a = linear + apply(c["q"], n)
    na = change(a)
    nb = change(linear + apply(c["q"], na))
    nc = change(apply(c["half"], a) + apply(c["q"], 2 * nb - n))
    return apply(c["whole"], u) + apply(c["f1"], n) + apply(c["f2"], na + nb) + apply(c["f3"], nc)


def _etdrk2(u, change, c, apply):
    n = change(u)
    a = apply(c["whole"], u) + apply(c["f1"], n)
    return a + apply(c["f2"], change(a) - n)


def _times(c, u):
    """Diagonal: one factor per mode and component."""
    return c * u


def _matrix_times(c, u):
    """A matrix per mode, (i, j, ...) with (j, ...). Written out: systems are small, and a batched product would be slow."""
    return sum(c[:, j] * u[j] for j in range(c.shape[1]))


def _coefficients(symbol: np.ndarray, dt: float, order: int, dtype: str, matrix: bool = False) -> dict[str, Any]:
    """exp(z), exp(z/2) and the phi-combinations of a scheme, z = L dt; of matrices per mode where L couples components."""
    out = _of_matrices(symbol * dt, dt, order) if matrix else _of_numbers(np.asarray(symbol) * dt, dt, order)
    single = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}
    return {name: v if dtype == "float64" else v.astype(single[v.dtype]) for name, v in out.items()}


def _of_numbers(z: np.ndarray, dt: float, order: int) -> dict[str, np.ndarray]:
    """Means over a circle around each z (Kassam and Trefethen)."""
    real = not np.iscomplexobj(z) or not np.any(z.imag)
    turn = np.exp(2j * np.pi * (np.arange(CONTOUR) + 0.5) / CONTOUR)
    turn = turn[: CONTOUR // 2] if real else turn  # real z: the lower half circle gives the conjugates
    z = z.real if real else z
    # No circle comes closer than 1/2 to zero, where the formulas below cancel; with one radius for all z, some would meet it.
    radius = np.where(np.abs(z) < 1, 2.0, 0.5)

    def mean(function):
        total = sum(function(z + radius * r) for r in turn) / len(turn)
        return total.real if real else total

    out: dict[str, Any] = {"whole": np.exp(z)}
    if order == 4:
        out["half"] = np.exp(z / 2)
        out["q"] = dt * mean(lambda w: (np.exp(w / 2) - 1) / w)
        out["f1"] = dt * mean(lambda w: (-4 - w + np.exp(w) * (4 - 3 * w + w**2)) / w**3)
        out["f2"] = 2 * dt * mean(lambda w: (2 + w + np.exp(w) * (w - 2)) / w**3)
        out["f3"] = dt * mean(lambda w: (-4 - 3 * w - w**2 + np.exp(w) * (4 - w)) / w**3)
    else:
        out["f1"] = dt * mean(lambda w: (np.exp(w) - 1) / w)
        out["f2"] = dt * mean(lambda w: (np.exp(w) - 1 - w) / w**2)
    return out


def _of_matrices(z: np.ndarray, dt: float, order: int) -> dict[str, np.ndarray]:
    """The same functions of matrices (..., m, m): through eigenvectors, or, where these are nearly dependent, phi-functions."""
    values, vectors = np.linalg.eig(z)
    smallest = np.linalg.svd(vectors, compute_uv=False)[..., -1]
    good = smallest > SKEWED
    inverse = np.linalg.inv(np.where(good[..., None, None], vectors, np.eye(z.shape[-1])))
    out = {}
    for name, f in _of_numbers(values, dt, order).items():
        out[name] = (vectors * f[..., None, :]) @ inverse
    for at in zip(*np.nonzero(~good), strict=True):
        for name, f in _of_one_matrix(z[at], dt, order).items():
            out[name][at] = f
    return out if np.iscomplexobj(z) else {name: f.real for name, f in out.items()}


def _of_one_matrix(z: np.ndarray, dt: float, order: int) -> dict[str, np.ndarray]:
    """The exponential of [[z, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]] has them in its first row."""
    m = len(z)

    def phis(a):
        chain = np.kron(np.eye(4, k=1), np.eye(m)).astype(a.dtype)
        chain[:m, :m] = a
        row = scipy.linalg.expm(chain)[:m]
        return [row[:, i * m : (i + 1) * m] for i in range(4)]

    whole, one, two, three = phis(z)
    if order == 2:
        return {"whole": whole, "f1": dt * one, "f2": dt * two}
    half, half_one, _, _ = phis(z / 2)
    return {
        "whole": whole,
        "half": half,
        "q": dt / 2 * half_one,
        "f1": dt * (one - 3 * two + 4 * three),
        "f2": dt * (2 * two - 4 * three),
        "f3": dt * (4 * three - two),
    }


def _once(symbol: np.ndarray, ndim: int) -> np.ndarray:
    """Drop the sample axis of a symbol that is the same for all samples."""
    if symbol.ndim == ndim + 1 and len(symbol) > 1 and np.all(symbol == symbol[:1]):
        return symbol[:1]
    return symbol
