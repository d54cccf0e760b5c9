"""Exact solutions of Riemann problems: two constant states that meet at x = 0, for gases, shallow water and Burgers' equation.

    gas     rho_t + (rho u)_x = 0,  (rho u)_t + (rho u^2 + p)_x = 0,  E_t + (u (E + p))_x = 0
            with E = p / (gamma - 1) + rho u^2 / 2
    water   h_t + (h u)_x = 0,  (h u)_t + (h u^2 + g h^2 / 2)_x = 0
    Burgers u_t + (u^2 / 2)_x = 0

Solutions depend on x / t alone. The state between the outer waves comes from one scalar equation, solved by Newton's method;
vacuum and dry beds, given or arising, are part of the answer. Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics,
3rd ed., Springer 2009, chapter 4; Toro, Shock-Capturing Methods for Free-Surface Shallow Flows, Wiley 2001, chapters 5 and 6.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from solvers.errors import DataError, SettingError

_ITERATIONS = 100  # Newton needs about five; vacuum nearly reached needs more


@dataclass(frozen=True)
class GasStar:
    """What lies between the outer waves, each (...).

    pressure, velocity : on both sides of the contact.   density_left, density_right : beside it.
    vacuum : no gas is left in the middle; then the pressure is 0 and the velocity the middle of the edges of the vacuum.
    """

    pressure: np.ndarray
    velocity: np.ndarray
    density_left: np.ndarray
    density_right: np.ndarray
    vacuum: np.ndarray


@dataclass(frozen=True)
class WaterStar:
    """Depth and velocity between the waves, and whether the bed is dry there, each (...)."""

    depth: np.ndarray
    velocity: np.ndarray
    dry: np.ndarray


def gas_star(left: ArrayLike, right: ArrayLike, gamma: float = 1.4) -> GasStar:
    """State between the waves of an ideal gas.

    left, right : (..., 3) density, velocity, pressure; density and pressure both > 0, or both 0 for vacuum.
    gamma : ratio of specific heats, > 1.

    Raises
    ------
    DataError, SettingError : states or gamma out of range.

    Examples
    --------
    >>> star = gas_star([1.0, 0.0, 1.0], [0.125, 0.0, 0.1])  # Sod's
    >>> round(float(star.pressure), 8), round(float(star.velocity), 8)
    (0.30313018, 0.92745262)
    """
    (rl, ul, pl, cl), (rr, ur, pr, cr) = _gas_states(left, right, gamma)
    rest = (ur - ul) - 2 * (cl + cr) / (gamma - 1)  # >= 0: the gases part
    vacuum = rest >= 0
    z = (gamma - 1) / (2 * gamma)

    def curve(p, r, p0, c):
        """Change of velocity across a wave to pressure p, and its derivative."""
        a, b = 2 / ((gamma + 1) * r), (gamma - 1) / (gamma + 1) * p0
        root, power = np.sqrt(a / (p + b)), (p / p0) ** z
        shock = p > p0
        value = np.where(shock, (p - p0) * root, 2 * c / (gamma - 1) * (power - 1))
        return value, np.where(shock, root * (1 - (p - p0) / (2 * (p + b))), power * c * 2 * z / ((gamma - 1) * p))

    safe = [np.where(vacuum, 1.0, v) for v in (rl, pl, cl, rr, pr, cr)]
    sl, sr = safe[:3], safe[3:]
    part = np.where(vacuum, -1.0, rest)
    start = (-part * (gamma - 1) / 2 / (sl[2] / sl[1] ** z + sr[2] / sr[1] ** z)) ** (1 / z)  # two rarefactions: exact then

    def equation(p):
        (fl, dl), (fr, dr) = curve(p, *sl), curve(p, *sr)
        return fl + fr + np.where(vacuum, 0.0, ur - ul), dl + dr

    p = _newton(equation, start)
    velocity = 0.5 * (ul + ur) + 0.5 * (curve(p, *sr)[0] - curve(p, *sl)[0])
    edges = ul + 2 * cl / (gamma - 1), ur - 2 * cr / (gamma - 1)
    middle = (edges[0] + edges[1]) / 2

    def density(r, p0):
        ratio, k = p / p0, (gamma - 1) / (gamma + 1)
        return np.where(vacuum, 0.0, r * np.where(ratio > 1, (ratio + k) / (k * ratio + 1), ratio ** (1 / gamma)))

    velocity = np.where(vacuum, middle, velocity)
    return GasStar(np.where(vacuum, 0.0, p), velocity, density(*sl[:2]), density(*sr[:2]), vacuum)


def gas_fan(left: ArrayLike, right: ArrayLike, speeds: ArrayLike, gamma: float = 1.4) -> np.ndarray:
    """Density, velocity, pressure at x / t = speeds: (..., 3) and (..., point) to (..., point, 3). In vacuum: 0, edge, 0.

    Examples
    --------
    >>> gas_fan([1.0, 0.0, 1.0], [0.125, 0.0, 0.1], [0.93, 1.75, 1.76])[:, 0].round(6).tolist()
    [0.265574, 0.265574, 0.125]
    """
    star = gas_star(left, right, gamma)
    states = _gas_states(left, right, gamma)
    xi = np.asarray(speeds, np.float64)
    sides = []
    for (r, u, p0, c), rho, sign in zip(states, (star.density_left, star.density_right), (1.0, -1.0), strict=True):
        r, u, p0, c, rho, p, us = (v[..., None] for v in (r, sign * u, p0, c, rho, star.pressure, sign * star.velocity))
        vacuum = star.vacuum[..., None]
        x = sign * xi  # the right side is the left one in a mirror
        live = np.where(p0 > 0, p0, 1.0)
        ratio = p / live
        shock = (ratio > 1) & ~vacuum
        speed = u - c * np.sqrt((gamma + 1) / (2 * gamma) * ratio + (gamma - 1) / (2 * gamma))
        inner = np.where(vacuum, 0.0, c * ratio ** ((gamma - 1) / (2 * gamma)))
        sound = np.maximum((2 * c + (gamma - 1) * (u - x)) / (gamma + 1), 0.0)  # within the fan
        relative = sound / np.where(c > 0, c, 1.0)
        fan = r * relative ** (2 / (gamma - 1)), u + 2 * (c - sound) / (gamma - 1), p0 * relative ** (2 * gamma / (gamma - 1))
        before = np.where(shock, x < speed, x < u - c)
        within = ~shock & ((x < us - inner) | vacuum)
        rows = [np.where(before, a, np.where(within, b, s)) for a, b, s in zip((r, u, p0), fan, (rho, us, p), strict=True)]
        rows[1] = sign * rows[1]
        sides.append(np.stack(np.broadcast_arrays(*rows), axis=-1))
    return np.where((xi <= star.velocity[..., None])[..., None], *sides)


def water_star(left: ArrayLike, right: ArrayLike, g: float = 9.81) -> WaterStar:
    """State between the waves of shallow water on a flat bed.

    left, right : (..., 2) depth >= 0 and velocity; depth 0 is a dry bed.   g : gravity > 0.

    Examples
    --------
    >>> star = water_star([2.0, 0.0], [1.0, 0.0], g=1.0)  # Stoker's dam break
    >>> round(float(star.depth), 8), round(float(star.velocity), 9)
    (1.45384089, 0.416920631)
    """
    (hl, ul, cl), (hr, ur, cr) = _water_states(left, right, g)
    dry = ur - ul >= 2 * (cl + cr)

    def curve(h, h0):
        bore = h > h0
        root = np.sqrt(0.5 * g * (h + h0) / (h * h0))
        value = np.where(bore, (h - h0) * root, 2 * (np.sqrt(g * h) - np.sqrt(g * h0)))
        slope = np.where(bore, root - g * (h - h0) / (4 * h**2 * root), np.sqrt(g / h))
        return value, slope

    sl, sr = np.where(dry, 1.0, hl), np.where(dry, 1.0, hr)
    jump = np.where(dry, 0.0, ur - ul)
    start = (np.where(dry, 1.0, (cl + cr) / 2 - (ur - ul) / 4) ** 2) / g

    def equation(h):
        (fl, dl), (fr, dr) = curve(h, sl), curve(h, sr)
        return fl + fr + jump, dl + dr

    h = _newton(equation, start)
    velocity = 0.5 * (ul + ur) + 0.5 * (curve(h, sr)[0] - curve(h, sl)[0])
    return WaterStar(np.where(dry, 0.0, h), np.where(dry, (ul + 2 * cl + ur - 2 * cr) / 2, velocity), dry)


def water_fan(left: ArrayLike, right: ArrayLike, speeds: ArrayLike, g: float = 9.81) -> np.ndarray:
    """Depth and velocity at x / t = speeds: (..., 2) and (..., point) to (..., point, 2). On a dry bed: 0 and the edge's.

    Examples
    --------
    >>> water_fan([1.0, 0.0], [0.0, 0.0], [0.0], g=9.0)[0].round(12).tolist()  # Ritter: 4/9 of the depth at the dam
    [0.444444444444, 2.0]
    """
    star = water_star(left, right, g)
    xi = np.asarray(speeds, np.float64)
    sides = []
    for (h, u, c), sign in zip(_water_states(left, right, g), (1.0, -1.0), strict=True):
        h, u, c, hs, us = (v[..., None] for v in (h, sign * u, c, star.depth, sign * star.velocity))
        dry = star.dry[..., None]
        x = sign * xi
        bore = (hs > h) & ~dry
        live = np.where(h > 0, h, 1.0)
        speed = u - c * np.sqrt(0.5 * (hs + live) * hs / live**2)
        sound = np.maximum((2 * c + u - x) / 3, 0.0)
        before = np.where(bore, x < speed, x < u - c)
        within = ~bore & ((x < us - np.sqrt(g * hs)) | dry)
        depth = np.where(before, h, np.where(within, sound**2 / g, hs))
        velocity = np.where(before, u, np.where(within, u + 2 * (c - sound), us))
        sides.append(np.stack(np.broadcast_arrays(depth, sign * velocity), axis=-1))
    return np.where((xi <= star.velocity[..., None])[..., None], *sides)


def burgers_fan(left: ArrayLike, right: ArrayLike, speeds: ArrayLike) -> np.ndarray:
    """u at x / t = speeds: (...) and (..., point) to (..., point): a shock at the mean speed, or a fan.

    Examples
    --------
    >>> burgers_fan(-1.0, 1.0, [-2.0, 0.25, 2.0]).tolist(), burgers_fan(1.0, 0.0, [0.49, 0.51]).tolist()
    ([-1.0, 0.25, 1.0], [1.0, 0.0])
    """
    left, right = np.asarray(left, np.float64)[..., None], np.asarray(right, np.float64)[..., None]
    xi = np.asarray(speeds, np.float64)
    return np.where(left > right, np.where(xi < (left + right) / 2, left, right), np.clip(xi, left, np.maximum(left, right)))


def _newton(equation: Callable, start: np.ndarray) -> np.ndarray:
    """Root of an increasing concave function on the positive numbers; after one step all iterates stay below it."""
    p = np.asarray(start, np.float64)
    for _ in range(_ITERATIONS):
        value, slope = equation(p)
        new = np.maximum(p - value / slope, 1e-3 * p)
        done = np.all(np.abs(new - p) <= 4e-16 * np.abs(new))
        p = new
        if done:
            break
    return p


def _gas_states(left, right, gamma: float):
    """(density, velocity, pressure, speed of sound) of both sides; beside a vacuum the other side's edge is its velocity."""
    if not 1 < gamma < np.inf:
        raise SettingError(given=f"gamma={gamma}", needed="gamma > 1", remedy="Air has 1.4.")
    left, right = (np.asarray(v, np.float64) for v in (left, right))
    both = np.broadcast_arrays(left, right)
    rows = []
    for side in both:
        if side.shape[-1:] != (3,) or not np.isfinite(side).all():
            raise DataError(
                given=f"states of shape {side.shape}", needed="finite (..., 3)", remedy="Density, velocity, pressure."
            )
        r, u, p = np.moveaxis(side, -1, 0)
        if np.any((r < 0) | (p < 0) | ((r == 0) != (p == 0))):
            raise DataError(
                given=f"densities from {r.min():g}, pressures from {p.min():g}",
                needed="both > 0, or both 0 for vacuum",
                remedy="Mend the states.",
            )
        rows.append([r, u, p, np.sqrt(gamma * p / np.where(r > 0, r, 1.0))])
    return _beside_nothing(rows, 2 / (gamma - 1))


def _water_states(left, right, g: float):
    """(depth, velocity, wave speed) of both sides."""
    if not 0 < g < np.inf:
        raise SettingError(given=f"g={g}", needed="gravity > 0", remedy="Mend it.")
    left, right = (np.asarray(v, np.float64) for v in (left, right))
    rows = []
    for side in np.broadcast_arrays(left, right):
        if side.shape[-1:] != (2,) or not np.isfinite(side).all() or np.any(side[..., 0] < 0):
            raise DataError(
                given=f"states of shape {side.shape}, or a depth below 0",
                needed="finite (..., 2), depth >= 0",
                remedy="Mend them.",
            )
        h, u = np.moveaxis(side, -1, 0)
        rows.append([h, u, np.sqrt(g * h)])
    return _beside_nothing(rows, 2.0)


def _beside_nothing(rows: list[list[np.ndarray]], reach: float):
    """Empty sides have no velocity of their own: give them that of the edge that runs into them."""
    (l0, lu, *_, lc), (r0, ru, *_, rc) = rows
    rows[0][1] = np.where(l0 > 0, lu, ru - reach * rc)
    rows[1][1] = np.where(r0 > 0, ru, np.where(l0 > 0, lu, 0.0) + reach * lc)
    rows[0][1] = np.where((l0 == 0) & (r0 == 0), 0.0, rows[0][1])
    return rows[0], rows[1]
