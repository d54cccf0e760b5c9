"""Numbers of a known structure from noisy frames of a field on a periodic line, and the rest of the field by solving it.

    minimise over c, v     sum |U(t_i, x; c, v) - data_i|^2 / sigma^2  +  sum_k (c_k - q_k)^2 / (s q_k)^2

Gauss-Newton with damping (Levenberg, Marquardt), derivatives by differences: a step of all windows of a structure is one batch
of exponential Runge-Kutta (`pdes.semilinear`), or of finite volumes for conservation laws without viscosity. U(t_0) is the
first frame, freed of noise mode by mode (Wiener). Equations of second order in time start with the rate of a parabola through
the first frames and v, its lowest modes. What no solver takes, because the highest derivatives are not linear, or what runs
away, is left as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy

from pdes.canonical import system_of
from pdes.field_words import field_equation
from pdes.vocabulary import HOLE, Words
from solvers.errors import DataError, UserError
from solvers.grid import Axis, Grid

SUBSTEPS = 16  # of the time between frames
_CHUNK = 16  # windows that are solved together; one shape is compiled for each structure
_NUDGE = 1e-4  # of a number, for derivatives
_FIRST = 5  # frames that the rate is taken from
_LEAST = 3e-3  # of a window's size: errors that are not noise
_REACH = 10.0
_DAMPING, _LESS, _MORE = 1e-2, 0.2, 8.0
_MODES = 11  # of the rate, constant, cosines and sines
_FLUXES = {
    ("mul", "u_0", "u_1"): ("quadratic", -1.0), ("mul", "u_1", "pow2", "u_0"): ("cubic", -1.0),
    ("mul", "u_1", "cos", "u_0"): ("sine", -1.0), ("mul", "u_1", "sin", "u_0"): ("cosine", 1.0),
}  # fmt: skip
"""What multiplies c in u_t = c f'(u) u_x, and the flux with its sign: u_t + k f(u)_x = 0."""


class FieldModel:
    """A structure with open numbers, solvable on a periodic line.

    Raises
    ------
    UserError : an equation that the solver does not take.
    """

    def __init__(self, words: Sequence[Words]):
        import pdes

        bare = [tuple(w if isinstance(w, str) else HOLE for w in each) for each in words]
        sides: list[Any] = system_of(bare)
        if sides[-1].has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
            raise DataError(given=f"the right-hand side {sides[-1]}", needed="a real, finite one", remedy="Drop it.")
        self.count, self.order = sum(w == HOLE for each in bare for w in each), len(bare)
        self.flux = _FLUXES.get(bare[0][2:]) if self.order == 1 and bare[0][:2] == ("mul", HOLE) else None
        names: Any = {sympy.Symbol(f"c_{k}"): sympy.Symbol(f"number{k}") for k in range(self.count)}
        self.names = [f"number{k}" for k in range(self.count)]
        equation = field_equation([side.xreplace(names) for side in sides])
        self.problem = pdes.Problem(
            name="decoded", equation=equation, domain=pdes.Periodic(x=(0, 1)), time=(0.0, 1.0),
            parameters=dict.fromkeys(equation.parameters, pdes.uniform(-1.0, 1.0)),
            initial=dict.fromkeys(equation.unknowns, pdes.constant(0)), check={},
        )  # fmt: skip

    def solve(self, start: np.ndarray, rate: np.ndarray, numbers: np.ndarray, times: np.ndarray, line: Axis) -> np.ndarray:
        """(item, time, point) from start and rate (item, point) at times[0] on a periodic axis; NaN where it runs away."""
        from pdes.semilinear import Semilinear

        times = np.asarray(times, float) - times[0]
        solver = Semilinear(dt=float(np.diff(times).min()) / SUBSTEPS)
        grid = Grid((replace(line, cells=line.cells or self.flux is not None),))
        found = np.full((len(start), len(times), start.shape[1]), np.nan)
        for at in range(0, len(start), _CHUNK):
            rows = np.minimum(np.arange(at, at + _CHUNK), len(start) - 1)  # the last chunk is filled up
            inputs = {name: {"u": start, "v": rate}[name][rows] for name in self.problem.equation.unknowns}
            values = {n: numbers[rows, int(n.removeprefix("number"))] for n in self.problem.equation.parameters}
            with np.errstate(all="ignore"):
                if self.flux is None:
                    fields = np.asarray(solver(self.problem, grid, inputs, values, times).fields["u"])
                else:
                    fields = self._transported(grid, inputs["u"], numbers[rows, 0], times)
            found[at : at + _CHUNK] = fields[: min(_CHUNK, len(start) - at)]
        reach = _REACH * np.abs(start).max(1)[:, None, None]
        return np.where((np.abs(found) < reach).all((1, 2), keepdims=True), found, np.nan)

    def _transported(self, grid: Any, start: np.ndarray, numbers: np.ndarray, times: np.ndarray) -> np.ndarray:
        from solvers.finite_volume import FiniteVolume
        from solvers.scalar_flux import ScalarFlux

        assert self.flux is not None
        name, sign = self.flux
        solver = FiniteVolume(ScalarFlux(name), grid, "weno5", courant=0.9)
        return np.asarray(solver.solve(start[..., None], times, {"k": sign * numbers}).values)[..., 0]


@lru_cache(maxsize=256)
def field_model(structure: tuple[Words, ...]) -> FieldModel | None:
    """The model of a structure, made once; None where there is no solver for it."""
    try:
        return FieldModel(structure)
    except UserError:
        return None


def noise_of(frames: np.ndarray) -> np.ndarray:
    """Standard deviation of white noise, (item,), of frames (item, time, point), from their highest quarter of modes."""
    n = frames.shape[2]
    high = np.abs(np.fft.rfft(frames)[:, :, 3 * n // 8 : n // 2]) ** 2 / n
    return np.sqrt(np.median(high, axis=(1, 2)) / np.log(2))  # |z|^2 of a complex Gaussian has the median log 2


def without_noise(frames: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Frames (item, time, point) with every mode shrunk by its share of noise."""
    modes = np.fft.rfft(frames)
    power = np.abs(modes) ** 2
    share = np.maximum(0, 1 - 3 * (sigma**2 * frames.shape[2])[:, None, None] / np.maximum(power, 1e-300))
    return np.fft.irfft(modes * share, frames.shape[2])


def beginning(times: np.ndarray, frames: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Field and rate (item, point) at the first time."""
    few = min(_FIRST, len(times))
    clean = without_noise(frames[:, :few], sigma)
    t = times[:few] - times[0]
    slope = np.linalg.pinv(np.stack([np.ones(few), t, t**2][: min(3, few)], 1))[1]
    return clean[:, 0], np.einsum("t,ntx->nx", slope, clean)


@dataclass(frozen=True)
class FieldFits:
    """numbers : (item, number).   misfit : mean squared residual in units of the noise, infinite where nothing could be solved.
    left : root of it in units of the window's size.   fields : solutions at all times asked for, (item, time, point).
    errors : standard deviations of the numbers."""

    numbers: np.ndarray
    misfit: np.ndarray
    left: np.ndarray
    fields: np.ndarray
    errors: np.ndarray


def refine_field(
    structure: tuple[Words, ...],
    times: np.ndarray,
    frames: np.ndarray,
    numbers: np.ndarray,
    ahead: np.ndarray,
    line: Axis | None,
    *,
    prior: float | None = 0.06,
    sigma: float | None = None,
    iterations: int = 6,
) -> FieldFits:
    """Fit the numbers of a structure to frames of many windows.

    times, frames : given, (time,) and (item, time, point).   numbers : starting values, (item, number).
    ahead : times asked for after those given.   line : the axis; one that is not periodic, or None: nothing is solved.
    prior : relative standard deviation of the numbers.   sigma : noise, if it is known.
    """
    frames, items, shape = np.asarray(frames, float), len(frames), field_model(structure)
    both = np.concatenate([times, ahead])
    nothing = np.full((items, len(both), frames.shape[2]), np.nan)
    if shape is None or line is None or line.kind != "periodic":
        return FieldFits(numbers, np.full(items, np.inf), np.full(items, np.inf), nothing, np.full(numbers.shape, np.inf))
    raw = noise_of(frames) if sigma is None else np.full(items, float(sigma))
    size = np.sqrt((frames**2).mean((1, 2)))
    level = np.maximum(raw, _LEAST * size)
    start, rate = beginning(times, frames, raw)
    basis = _waves(frames.shape[2])[: _MODES if shape.order == 2 else 0]
    k, count = shape.count, shape.count + len(basis)
    centre = np.concatenate([numbers, np.zeros((items, len(basis)))], axis=1)
    weight = np.zeros((items, count))
    if prior is not None:
        weight[:, :k] = 1 / (prior * np.maximum(np.abs(numbers), 1e-6)) ** 2
    sizes = np.concatenate([np.maximum(np.abs(numbers), 1e-6), np.full((items, len(basis)), 1.0)], axis=1)
    sizes[:, k:] *= size[:, None]
    data = frames.reshape(items, -1) / level[:, None]

    def solution(z: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Fields of unknowns (many items, unknown), whose items repeat."""
        again = lambda x: np.tile(x, (len(z) // items, 1))  # noqa: E731
        return shape.solve(again(start), again(rate) + z[:, k:] @ basis, z[:, :k], at, line)

    def residuals(z: np.ndarray) -> np.ndarray:
        return solution(z, times).reshape(-1, items, data.shape[1]) / level[:, None] - data

    z, damping = centre.copy(), np.full(items, _DAMPING)
    best = _cost(residuals(z)[0], z - centre, weight)
    normal = np.zeros((items, count, count))
    for _ in range(iterations if count else 0):
        nudge = _NUDGE * sizes
        found = residuals(np.concatenate([z, *(z + nudge * (np.arange(count) == j) for j in range(count))]))
        slopes = np.nan_to_num((found[1:] - found[0]).transpose(1, 2, 0) / nudge[:, None], posinf=0.0, neginf=0.0)
        pull = np.einsum("nrk,nr->nk", slopes, np.nan_to_num(found[0])) + weight * (z - centre)
        normal = np.einsum("nrk,nrl->nkl", slopes, slopes) + weight[:, :, None] * np.eye(count)
        scale = np.einsum("nkk->nk", normal) + 1e-300
        step = np.linalg.solve(normal + damping[:, None, None] * scale[:, :, None] * np.eye(count), pull[..., None])
        tried = z - step[..., 0]
        cost = _cost(residuals(tried)[0], tried - centre, weight)
        better = cost < best
        settled = better & (cost > 0.999 * best)
        z, best = np.where(better[:, None], tried, z), np.where(better, cost, best)
        damping = np.where(better, damping * _LESS, damping * _MORE)
        if (settled | ~np.isfinite(best)).all():
            break
    fields = solution(z, both)
    wrong = np.nan_to_num(((fields[:, : len(times)] - frames) ** 2).mean((1, 2)), nan=np.inf)
    variance = np.array([np.diag(np.linalg.pinv(each)) for each in normal]).reshape(items, count)[:, :k]
    errors = np.sqrt(np.maximum(variance, 0))
    return FieldFits(z[:, :k], wrong / level**2, np.sqrt(wrong) / np.maximum(size, 1e-300), fields, errors)


def _cost(r: np.ndarray, away: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = (r**2).sum(1) + (weight * away**2).sum(1)
    return np.where(np.isfinite(total), total, np.inf)


def _waves(points: int) -> np.ndarray:
    """1, cos, sin, cos 2, ... on the points of a period, (mode, point)."""
    angles = 2 * np.pi * np.arange(points) / points
    return np.stack([np.ones(points), *(f(m * angles) for m in range(1, points // 2) for f in (np.cos, np.sin))])
