"""Numbers and initial state of a known structure from a noisy window: Gauss-Newton on the solution, many windows at once.

    z = (u(0), c):   minimise   sum_i |U(t_i; z) - data_i|^2 / sigma^2  +  sum_k (c_k - q_k)^2 / (s q_k)^2

S = dU/dz is integrated beside U (forward sensitivities: S' = f_u S + f_c). The horizon grows, a quarter, half, all of the
frames: on a short one the misfit has no other minima (homotopy). Steps are damped (Levenberg, Marquardt), each window for
itself, and what was given is returned where nothing better is found.

Bock, Recent advances in parameter identification techniques for ordinary differential equations, 1983;
Marquardt, SIAM J. Appl. Math. 11, 1963.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy

from pdes.canonical import STATES, system_of
from pdes.vocabulary import HOLE, Words
from pdes.windows import Products, compiled
from solvers.errors import DataError
from solvers.runge_kutta import rk4

HORIZONS = (0.25, 0.5, 1.0)
DAMPING, LESS, MORE, MOST = 1e-3, 0.2, 8.0, 1e8
_HUGE = 1e30
_LEAST_OF_THREE = 1.12  # what the smallest of three estimates from 64 frames falls short by, on average
_FEW = 40  # frames
_DIFFERENCES = 70.0  # variance of fourth differences of white noise of variance one


class Model:
    """A structure: right-hand sides with open numbers c_0, c_1, ..., and their derivatives.

    words : of each component; numbers in it are starting values.
    """

    def __init__(self, words: Sequence[Words]):
        bare = [tuple(w if isinstance(w, str) else HOLE for w in each) for each in words]
        self.symbolic = system_of(bare)
        if any(f.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I) for f in self.symbolic):
            raise DataError(given=f"the system {self.symbolic}", needed="real, finite right-hand sides", remedy="Drop it.")
        self.components = len(bare)
        self.count = sum(word == HOLE for each in bare for word in each)
        c = sympy.symbols(f"c_:{self.count}")
        u = STATES[: self.components]
        self.rates = compiled(self.symbolic, self.count)
        rows = [(i, j, sympy.diff(f, v)) for i, f in enumerate(self.symbolic) for j, v in enumerate((*u, *c))]
        self._entries = [(i, j) for i, j, d in rows if d != 0]
        self._derivatives = sympy.lambdify(
            [*u, *c], [*self.symbolic, *(d for _, _, d in rows if d != 0)], "numpy", cse=True, printer=Products
        )

    def solve(self, initial: np.ndarray, constants: np.ndarray, times: np.ndarray, substeps: int) -> np.ndarray:
        """States (sample, time, component) from initial states (sample, component) and numbers (sample, number)."""
        c = np.ascontiguousarray(constants.T)
        return rk4(lambda u: self.rates(u, c), initial, times, substeps)

    def tangents(self, initial: np.ndarray, constants: np.ndarray, times: np.ndarray, substeps: int):
        """States, and their derivatives by (u(0), c), (sample, time, component, unknown)."""
        d, k, n = self.components, self.count, len(initial)
        wide = 1 + d + k
        y = np.zeros((n, d, wide))
        y[:, :, 0] = initial
        y[:, np.arange(d), 1 + np.arange(d)] = 1
        c = np.ascontiguousarray(constants.T)

        def rates(flat):
            z = flat.reshape(d, wide, n)
            values = self._derivatives(*z[:, 0], *c)
            out = np.zeros_like(z)
            for i in range(d):
                out[i, 0] = values[i]
            for (i, j), value in zip(self._entries, values[d:], strict=True):
                if j < d:
                    out[i, 1:] += value * z[j, 1:]
                else:
                    out[i, 1 + j] += value
            return out.reshape(flat.shape)

        found = rk4(rates, y.reshape(n, -1), times, substeps).reshape(n, len(times), d, wide)
        return found[..., 0], found[..., 1:]


@lru_cache(maxsize=512)
def model(words: tuple[Words, ...]) -> Model:
    """The model of a structure, made once for each."""
    return Model(words)


@dataclass(frozen=True)
class Fits:
    """Fits of one structure to many windows.

    initial : (window, component).   constants : (window, number).   chi2 : misfit and prior at the solution, (window,).
    misfit : without the prior, divided by the number of data.   covariance : of (u(0), c), (window, unknown, unknown).
    start_chi2 : before.   iterations : steps tried.   unknowns : numbers that were fitted, u(0) among them.
    """

    initial: np.ndarray
    constants: np.ndarray
    chi2: np.ndarray
    misfit: np.ndarray
    covariance: np.ndarray
    start_chi2: np.ndarray
    iterations: int
    unknowns: int


def refine(
    structure: Model,
    times: np.ndarray,
    data: np.ndarray,
    constants: np.ndarray,
    sigma: np.ndarray,
    *,
    initial: np.ndarray | None = None,
    tie: np.ndarray | None = None,
    prior: float | None = 0.1,
    iterations: int = 12,
    substeps: int = 4,
    horizons: Sequence[float] = HORIZONS,
) -> Fits:
    """Fit u(0) and all numbers of a structure.

    Parameters
    ----------
    times : (time,), the first is that of u(0).   data : (window, time, component).
    constants : starting values, (window, number).   sigma : standard deviation of the noise, (window,).
    initial : starting states; by default a parabola through the first frames.
    tie : numbers that are equal, or opposite: they are `tie` (number, free number) times the free ones.
    prior : relative standard deviation s of the numbers about their starting values; None for no prior.
    iterations : steps on each horizon, at most.

    Raises
    ------
    DataError : shapes that do not fit.
    """
    data, sigma = np.asarray(data, float), np.asarray(sigma, float)
    if data.ndim != 3 or data.shape[1] != len(times) or constants.shape != (len(data), structure.count):
        raise DataError(
            given=f"data of shape {data.shape}, {len(times)} times, numbers of shape {constants.shape}",
            needed=f"(window, time, {structure.components}) and (window, {structure.count})",
            remedy="Reshape them.",
        )
    d = structure.components
    tie = np.eye(structure.count) if tie is None else tie
    free = constants @ np.linalg.pinv(tie).T
    z0 = np.concatenate([first_states(times, data) if initial is None else initial, free], axis=1).astype(float)
    weight = np.zeros(z0.shape)
    if prior is not None:
        weight[:, d:] = 1 / (prior * np.maximum(np.abs(free), 1e-3 * np.abs(free).max(initial=1e-3))) ** 2
    problem = _Problem(structure, np.asarray(times, float), data, sigma, z0, weight, substeps, tie)
    best, start_chi2 = z0.copy(), problem.chi2(z0, len(times))
    z, tried = z0.copy(), 0
    for share in horizons:
        frames = min(len(times), max(4, round(share * len(times))))
        z, steps = problem.descend(z, frames, iterations)
        tried += steps
    whole = problem.chi2(z, len(times))
    better = whole <= start_chi2
    best[better] = z[better]
    # A window whose homotopy led astray is fitted once more from where it started, on all frames.
    if not better.all() and len(horizons) > 1:
        again, steps = problem.descend(z0[~better], len(times), iterations, np.flatnonzero(~better))
        tried += steps
        best[~better] = again
    return problem.result(best, start_chi2, tried)


class _Problem:
    """One structure, many windows."""

    def __init__(self, structure, times, data, sigma, centre, weight, substeps, tie):
        self.structure, self.times, self.data, self.sigma = structure, times, data, sigma
        self.centre, self.weight, self.substeps, self.tie = centre, weight, substeps, tie

    def chi2(self, z: np.ndarray, frames: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        d = self.structure.components
        states = self.structure.solve(z[:, :d], z[:, d:] @ self.tie.T, self.times[:frames], self.substeps)
        return self._measure(z, states, frames, rows)

    def _measure(self, z, states, frames, rows):
        with np.errstate(all="ignore"):
            error = (states - self.data[rows, :frames]) / self.sigma[rows, None, None]
            total = (error**2).sum((1, 2)) + (self.weight[rows] * (z - self.centre[rows]) ** 2).sum(1)
        return np.where(np.isfinite(total), np.minimum(total, _HUGE), _HUGE)

    def _normal(self, z, frames, rows):
        """J^T J and J^T r of each window."""
        d = self.structure.components
        with np.errstate(all="ignore"):
            states, tangents = self.structure.tangents(z[:, :d], z[:, d:] @ self.tie.T, self.times[:frames], self.substeps)
            tangents = np.concatenate([tangents[..., :d], tangents[..., d:] @ self.tie], axis=-1)
            scale = self.sigma[rows, None, None]
            r = ((states - self.data[rows, :frames]) / scale).reshape(len(z), -1)
            j = (tangents / scale[..., None]).reshape(len(z), r.shape[1], -1)
            matrix = np.einsum("nrp,nrq->npq", j, j, optimize=True)
            slope = np.einsum("nrp,nr->np", j, r, optimize=True)
        matrix[:, np.arange(z.shape[1]), np.arange(z.shape[1])] += self.weight[rows]
        return matrix, slope + self.weight[rows] * (z - self.centre[rows])

    def descend(self, z, frames, iterations, rows=None):
        """Damped Gauss-Newton steps; windows that do not move any more are left out."""
        rows = np.arange(len(z)) if rows is None else rows
        z, damping = z.copy(), np.full(len(z), DAMPING)
        value = self.chi2(z, frames, rows)
        active = np.arange(len(z))[value < _HUGE]
        tried = 0
        for _step in range(iterations):
            if not len(active):
                break
            tried += 1
            matrix, slope = self._normal(z[active], frames, rows[active])
            fine = np.isfinite(matrix).all((1, 2)) & np.isfinite(slope).all(1)
            active, matrix, slope = active[fine], matrix[fine], slope[fine]
            if not len(active):
                break
            moved = np.zeros(len(active), bool)
            gain = np.zeros(len(active))
            for _ in range(4):  # more damping until the misfit falls
                todo = np.flatnonzero(~moved)
                trial = z[active[todo]] - _solve(matrix[todo], slope[todo], damping[active[todo]])
                found = self.chi2(trial, frames, rows[active[todo]])
                good = found < value[active[todo]]
                here = todo[good]
                gain[here] = 1 - found[good] / value[active[here]]
                z[active[here]], value[active[here]] = trial[good], found[good]
                moved[here] = True
                damping[active[here]] *= LESS
                damping[active[todo[~good]]] *= MORE
                if moved.all():
                    break
            active = active[moved & (gain > 1e-7) & (damping[active] < MOST)]
        return z, tried

    def result(self, z, start_chi2, tried) -> Fits:
        d, frames = self.structure.components, len(self.times)
        total = self.chi2(z, frames)
        prior = (self.weight * (z - self.centre) ** 2).sum(1)
        matrix, _ = self._normal(z, frames, np.arange(len(z)))
        fine = np.isfinite(matrix).all((1, 2))
        covariance = np.full_like(matrix, np.nan)
        scale = np.sqrt(np.maximum(np.einsum("npp->np", matrix[fine]), 1e-300))
        covariance[fine] = np.linalg.pinv(matrix[fine] / scale[:, :, None] / scale[:, None], 1e-12, hermitian=True) / (
            scale[:, :, None] * scale[:, None]
        )
        misfit = (total - prior) / self.data[0].size
        whole = np.zeros((d + len(self.tie), z.shape[1]))
        whole[:d, :d], whole[d:, d:] = np.eye(d), self.tie
        covariance = whole @ covariance @ whole.T
        return Fits(z[:, :d], z[:, d:] @ self.tie.T, total, misfit, covariance, start_chi2, tried, z.shape[1])


def _solve(matrix: np.ndarray, slope: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """(A + mu diag A) x = b for each window, scaled to a unit diagonal."""
    diagonal = np.einsum("npp->np", matrix)
    scale = np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.max(1, initial=1e-300)[:, None]) + 1e-300)
    scaled = matrix / scale[:, :, None] / scale[:, None]
    scaled[:, np.arange(scale.shape[1]), np.arange(scale.shape[1])] += damping[:, None] + 1e-12
    return np.linalg.solve(scaled, (slope / scale)[..., None])[..., 0] / scale


def equal_numbers(numbers: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of the numbers may be the same up to their sign: a matrix (number, free number) for `refine`, of 0, 1 and -1.

    numbers whose sizes differ by less than the tolerance, relative to the larger, from one to the next in order of size.
    """
    order = np.argsort(np.abs(numbers))
    group = np.zeros(len(numbers), int)
    size = np.abs(numbers[order])
    group[order] = np.cumsum(np.diff(size, prepend=size[:1]) > tolerance * size)
    tie = np.zeros((len(numbers), group.max(initial=-1) + 1))
    tie[np.arange(len(numbers)), group] = np.where(numbers < 0, -1.0, 1.0)
    return tie


def first_states(times: np.ndarray, data: np.ndarray, frames: int = 9) -> np.ndarray:
    """u(0), (window, component): a parabola through the first frames."""
    frames = min(frames, len(times))
    t = np.asarray(times[:frames], float) - times[0]
    basis = np.stack([np.ones_like(t), t, t**2], axis=1)[:, : min(3, frames)]
    return np.einsum("t,ntc->nc", np.linalg.pinv(basis)[0], data[:, :frames])


def noise_level(data: np.ndarray) -> np.ndarray:
    """Standard deviation of white noise that all components of a window share, (window,), from fourth differences.

    The smallest over components: a signal that changes fast adds to the differences, in some components more than in others.
    Of short windows the median: the smallest of few uncertain numbers is too small.
    """
    if data.shape[1] < 6:
        return np.maximum(0.02 * np.sqrt((data**2).mean((1, 2))), 1e-12)
    size = np.sqrt((np.diff(data, 4, axis=1) ** 2).mean(1) / _DIFFERENCES)
    if data.shape[1] < _FEW:
        return np.maximum(np.median(size, axis=1), 1e-12)
    floor = 1e-6 * np.sqrt((data**2).mean((1, 2)))
    return np.maximum(np.maximum(_LEAST_OF_THREE * size.min(axis=1), floor), 1e-12)


def integral_start(structure: Model, times: np.ndarray, data: np.ndarray, constants: np.ndarray) -> np.ndarray:
    """Numbers that enter linearly, by least squares on the integrated equations; the others stay as they are.

    u(t) - u(0) = sum_k c_k int_0^t g_k(u) ds + int_0^t f_0(u) ds, with the data smoothed over nine frames; (window, number).
    """
    names = sympy.symbols(f"c_:{structure.count}")
    linear = [
        k for k, c in enumerate(names)
        if all(sympy.diff(f, c, other) == 0 for f in structure.symbolic if f.has(c) for other in names)
    ]  # fmt: skip
    if not linear:
        return constants
    smooth = _smoothed(np.asarray(data, float))
    n, t, d = smooth.shape
    u, c = smooth.transpose(2, 0, 1).reshape(d, -1), np.repeat(constants, t, axis=0).T
    columns = []
    with np.errstate(all="ignore"):
        base = np.array(c)
        base[linear] = 0
        columns.append(structure.rates(u, base))
        for k in linear:
            unit = np.array(base)
            unit[k] = 1
            columns.append(structure.rates(u, unit) - columns[0])
    shaped = np.stack([v.reshape(d, n, t).transpose(1, 2, 0) for v in columns])  # (column, window, time, component)
    steps = np.diff(times)[None, None, :, None]
    integral = np.concatenate(
        [np.zeros_like(shaped[:, :, :1]), np.cumsum((shaped[:, :, 1:] + shaped[:, :, :-1]) / 2 * steps, 2)], 2
    )
    found = np.array(constants, float)
    for i in range(n):
        target = (smooth[i] - integral[0, i]).T.ravel()
        columns = integral[1:, i].transpose(0, 2, 1).reshape(len(linear), -1).T
        matrix = np.concatenate([columns, np.kron(np.eye(d), np.ones((t, 1)))], axis=1)
        if np.isfinite(matrix).all() and np.isfinite(target).all():
            found[i, linear] = np.linalg.lstsq(matrix, target, rcond=1e-8)[0][: len(linear)]
    return found


def _smoothed(data: np.ndarray, frames: int = 9) -> np.ndarray:
    """A parabola through nine neighbours of each frame."""
    t = data.shape[1]
    if t < frames:
        return data
    offsets = np.arange(frames) - frames // 2
    inner = np.linalg.pinv(np.stack([np.ones(frames), offsets, offsets**2], axis=1))
    windows = np.lib.stride_tricks.sliding_window_view(data, frames, axis=1)  # (window, time, component, frame)
    out = np.empty_like(data)
    half = frames // 2
    out[:, half : t - half] = windows @ inner[0]
    for i in range(half):
        for at, where, x in ((i, 0, i - half), (t - 1 - i, -1, half - i)):
            out[:, at] = windows[:, where] @ (inner[0] + inner[1] * x + inner[2] * x**2)
    return out
