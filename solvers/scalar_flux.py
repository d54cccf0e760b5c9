"""Scalar conservation laws u_t + k f(u)_x = nu u_xx with f = u, u^2 / 2, u^3 / 3, sin u or cos u, for `solvers.finite_volume`.

Where f' is not monotone, the waves between two states may be faster than those of either: the bounds are the extremes of k f'
over all states between, so that HLL is monotone for any f (an E-flux, of which every limit is an entropy solution; Osher, SIAM
J. Numer. Anal. 21, 1984). Fluxes with the speeds of both ends alone, or of another f, are not. Where shock and fan touch (cubic
from 1 to -1) take the scheme "weno5": with the limiter "mc" errors hardly fall.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.conservation_laws import System
from solvers.errors import SettingError

import jax.numpy as jnp  # isort: skip - after solvers.conservation_laws, which settles JAX's memory first


@dataclass(frozen=True)
class Flux:
    """f, f', the states at which f' may be extreme (each modulo `period`, if there is one), and a bound of |f'| over all."""

    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    extremes: tuple[float, ...] = ()
    period: float | None = None
    fastest: float | None = None


FLUXES = {
    "linear": Flux(lambda u: u, jnp.ones_like),
    "quadratic": Flux(lambda u: u**2 / 2, lambda u: u),
    "cubic": Flux(lambda u: u**3 / 3, lambda u: u**2, (0.0,)),
    "sine": Flux(jnp.sin, jnp.cos, (0.0, np.pi), 2 * np.pi, 1.0),
    "cosine": Flux(jnp.cos, lambda u: -jnp.sin(u), (np.pi / 2, 3 * np.pi / 2), 2 * np.pi, 1.0),
}


@dataclass(frozen=True)
class ScalarFlux(System):
    """u_t + k f(u)_x = nu u_xx.

    Parameters
    ----------
    name : of f in `FLUXES`.
    k, nu : factor of the flux, and viscosity >= 0, where `solve` is not given them.

    Examples
    --------
    >>> low, high = ScalarFlux("sine").bounds((jnp.array(3.0),), (jnp.array(3.3),), 0, {})  # pi lies between
    >>> float(low), round(float(high), 3)
    (-1.0, -0.987)
    """

    name: str = "quadratic"
    k: float = 1.0
    nu: float = 0.0

    def __post_init__(self):
        if self.name not in FLUXES or not self.nu >= 0:
            raise SettingError(
                given=f"flux {self.name!r}, nu={self.nu}", needed=f"one of {tuple(FLUXES)}, nu >= 0", remedy="Change them."
            )

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("k", "nu")

    def flux(self, w, axis, p):
        return (p.get("k", self.k) * FLUXES[self.name].value(w[0]),)

    def speeds(self, w, axis, p):
        """Of the state; where f' is bounded its bound, for there may be faster states between two that lie side by side."""
        k, f = p.get("k", self.k), FLUXES[self.name]
        if f.fastest is None:
            return k * f.slope(w[0]), k * f.slope(w[0])
        bound = jnp.full_like(w[0], f.fastest) * jnp.abs(k)
        return -bound, bound

    def bounds(self, left, right, axis, p):
        """Extremes of k f' over the states between two."""
        f, k = FLUXES[self.name], p.get("k", self.k)
        a, b = jnp.minimum(left[0], right[0]), jnp.maximum(left[0], right[0])
        ends = f.slope(a), f.slope(b)
        low, high = jnp.minimum(*ends), jnp.maximum(*ends)
        for state in f.extremes:
            between = (a <= state) & (state <= b)
            if f.period is not None:
                between = jnp.ceil((a - state) / f.period) <= jnp.floor((b - state) / f.period)
            slope = f.slope(jnp.asarray(state))
            low = jnp.where(between, jnp.minimum(low, slope), low)
            high = jnp.where(between, jnp.maximum(high, slope), high)
        return jnp.minimum(k * low, k * high), jnp.maximum(k * low, k * high)

    def diffusivity(self, w, p):
        return p.get("nu", self.nu)

    def diffusive_flux(self, faces, slopes, axis, p):
        return (p.get("nu", self.nu) * slopes[axis][0],)
