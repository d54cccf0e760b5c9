"""Weak form of x' = sum_j xi_j theta_j(x, u): no derivative of data is taken.

    - int phi_k'(t) x dt = sum_j xi_j int phi_k(t) theta_j dt,     phi_k(t) = (1 - s^2)^p,  s = (t - c_k) / H,  |s| <= 1

Times may be irregular, trajectories several: their rows are stacked. States are interpolated by cubic splines and integrated on
a grid several times finer, so that quadrature is of order four on any grid. Noise enters the left side linearly: with
the singular value decomposition of that map, rows are combined to ones with independent noise of unit variance (generalised
least squares), after which residuals and information criteria mean what they say.

Messenger, Bortz, Weak SINDy: Galerkin-based data-driven model selection, Multiscale Modeling & Simulation 19, 2021.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciml.recovery.series import Trajectory, interpolant
from solvers.errors import DataError

POWER = 4
FINE = 4  # cells of the quadrature in each interval
LEAST = 4.5  # half-width of a test function in mean steps: nine points
MOST_ROWS = 160  # of one width in one trajectory
CUT = 0.2
"""Combinations of test functions whose left side is smaller than this part of the largest are left out: there the noise in the
terms, which the weights do not know, outweighs that on the left."""
PROPORTIONAL = 0.5
"""Most of the noise's variance that the weights take as proportional to x^2, for the same reason."""


@dataclass(frozen=True)
class WeakForm:
    """Test functions on one trajectory.

    t : (time,).   half_widths : of the test functions; those too narrow for the grid or too wide for the span are left out.
    """

    t: np.ndarray
    half_widths: tuple[float, ...]
    power: int = POWER

    @cached_property
    def fine(self) -> np.ndarray:
        """Times of the quadrature."""
        parts = np.arange(FINE) / FINE
        inner = (self.t[:-1, None] + np.diff(self.t)[:, None] * parts).ravel()
        return np.append(inner, self.t[-1])

    @cached_property
    def _functions(self) -> tuple[np.ndarray, np.ndarray]:
        """phi and phi' at the fine times, (row, fine)."""
        span, step = self.t[-1] - self.t[0], (self.t[-1] - self.t[0]) / (len(self.t) - 1)
        values, slopes = [], []
        for width in self.half_widths:
            width = min(max(width, LEAST * step), span / 2)
            count = int(np.clip(round(2.5 * (span - 2 * width) / width) + 1, 1, MOST_ROWS))
            centres = np.linspace(self.t[0] + width, self.t[-1] - width, count)
            s = (self.fine - centres[:, None]) / width
            inside = np.clip(1 - s**2, 0, None)
            values.append(inside**self.power)
            slopes.append(-2 * self.power * s * inside ** (self.power - 1) / width)
        return np.concatenate(values), np.concatenate(slopes)

    @cached_property
    def left(self) -> np.ndarray:
        """The map from states at the given times to - int phi' x dt, (row, time)."""
        weights = _weights(self.fine)
        spline = interpolant(self.t, np.eye(len(self.t)))(self.fine)
        return -(self._functions[1] * weights) @ spline

    @cached_property
    def plain(self) -> np.ndarray:
        """The same by the trapezoidal rule: of order two, but it amplifies no noise where the grid has gaps."""
        gaps = np.diff(self.t)
        weights = np.concatenate([[gaps[0]], gaps[:-1] + gaps[1:], [gaps[-1]]]) / 2
        places = np.searchsorted(self.fine, self.t)
        return -self._functions[1][:, places] * weights

    @cached_property
    def right(self) -> np.ndarray:
        """The map from values at the fine times to int phi theta dt, (row, fine)."""
        return self._functions[0] * _weights(self.fine)

    def whitening(self, scale: np.ndarray) -> np.ndarray:
        """Combination of rows with independent noise of unit variance. scale : (time,) noise.  Returns (row, row before)."""
        left, values, _ = np.linalg.svd(self.plain * scale, full_matrices=False)
        keep = values > CUT * values[0]
        return left[:, keep].T / values[keep, None]


def _weights(t: np.ndarray) -> np.ndarray:
    """Simpson's rule on pairs of equal cells (`FINE` is even)."""
    h = np.diff(t)[::2]
    w = np.zeros(len(t))
    w[:-1:2] += h / 3
    w[1::2] += 4 * h / 3
    w[2::2] += h / 3
    return w


def time_scale(t: np.ndarray, x: np.ndarray) -> float:
    """Time in which the states change by their own size: rms(x - mean) / rms(x'), the fastest component's."""
    spline = interpolant(t, x)
    slope = spline(t, 1)
    size = np.sqrt(np.mean((x - x.mean(0)) ** 2, axis=0))
    rate = np.sqrt(np.mean(slope**2, axis=0))
    return float(np.min(size / np.maximum(rate, 1e-300)))


def half_widths(one: Trajectory) -> tuple[float, ...]:
    """From half the trajectory's own time scale to eight times it, within a quarter of its span."""
    span = one.t[-1] - one.t[0]
    tau = min(time_scale(one.t, one.smooth), span / 8)
    return tuple(sorted({float(min(f * tau, span / 4)) for f in (0.5, 1.0, 2.0, 4.0, 8.0)}))


@dataclass(frozen=True)
class WeakSystem:
    """Whitened rows of all trajectories for one component: y = G xi + unit noise.   G : (row, term).   y : (row,).

    blocks : of each trajectory the map from values at its fine times to rows, the states there, and the controls.
    """

    G: np.ndarray
    y: np.ndarray
    blocks: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]

    def decoupled(self, d: int) -> "WeakSystem":
        """The same with component d as the only state, the others as controls before the controls."""
        moved = [(project, x[:, [d]], np.concatenate([np.delete(x, d, axis=1), u], 1)) for project, x, u in self.blocks]
        return WeakSystem(self.G, self.y, tuple(moved))

    def rows(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        """Rows of further terms. function : (states, controls) -> (time, term).   Returns (row, term)."""
        return np.concatenate([project @ function(x, u) for project, x, u in self.blocks])


def weak_systems(
    trajectories: Sequence[Trajectory], library: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> list[WeakSystem]:
    """One system for each component.

    library : (states (time, component), controls (time, control)) -> (time, term).
    """
    blocks: list[list[tuple]] = [[] for _ in range(trajectories[0].x.shape[1])]
    for one in trajectories:
        form = WeakForm(one.t, half_widths(one))
        states = interpolant(one.t, one.smooth)(form.fine)
        controls = interpolant(one.t, one.u)(form.fine) if one.u.shape[1] else np.empty((len(form.fine), 0))
        values, b = library(states, controls), (form.left if one.smooth is one.x else form.plain) @ one.x
        known: list[tuple[np.ndarray, np.ndarray]] = []
        for d, block in enumerate(blocks):
            size = np.sqrt(np.mean(one.scale[:, d] ** 2))
            shape = np.sqrt(1 - PROPORTIONAL + PROPORTIONAL * (one.scale[:, d] / size) ** 2)
            white = next((w for other, w in known if np.allclose(shape, other, rtol=1e-6)), None)
            if white is None:
                white = form.whitening(shape)
                known.append((shape, white))
            project = white @ form.right / size
            block.append((project @ values, white @ b[:, d] / size, (project, states, controls)))
    found = []
    for block in blocks:
        G, y, kept = zip(*block, strict=True)
        found.append(WeakSystem(np.concatenate(G), np.concatenate(y), kept))
    return found


def weak_fit(t: np.ndarray, x: np.ndarray, theta: Callable[[np.ndarray], np.ndarray], half_width: float) -> np.ndarray:
    """Plain least squares in the weak form, without weights: coefficients (term, component) of x' = theta(x) xi.

    theta : (time, component) -> (time, term).

    Raises
    ------
    DataError : a trajectory too short for a test function.
    """
    if len(t) < 2 * LEAST + 1:
        raise DataError(
            given=f"{len(t)} points", needed=f"at least {int(2 * LEAST + 1)}", remedy="Record longer or more often."
        )
    form = WeakForm(np.asarray(t, np.float64), (half_width,))
    G = form.right @ theta(interpolant(form.t, x)(form.fine))
    return np.linalg.lstsq(G, form.left @ x, rcond=None)[0]
