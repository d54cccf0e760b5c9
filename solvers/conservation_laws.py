"""Hyperbolic systems q_t + f(q)_x + g(q)_y = 0, for `solvers.finite_volume`: what a scheme must know of each.

A system is a frozen class; to add one, derive from `System` and write `flux` and `speeds` (and `primitive` and `conserved`
where reconstruction is better done in other variables, `admissible` where not every state is one). States are tuples of
arrays, one per component, all of one shape; `p` maps names to numbers that take the place of the system's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import solvers.precision  # noqa: F401 - settles JAX's memory first
from solvers.errors import SettingError

import jax.numpy as jnp  # isort: skip - after solvers.precision

State = tuple[Any, ...]
Parameters = Mapping[str, Any]
DRY = 1e-12
"""Depth below which water counts as none and stands still; depths down to -DRY are rounding, not failure."""


@dataclass(frozen=True)
class System:
    """A system of conservation laws.

    dimension : of space.   components : names of the conserved quantities.   parameters : names that `solve` may be given.
    """

    @property
    def dimension(self) -> int:
        return 1

    @property
    def components(self) -> tuple[str, ...]:
        return ("u",)

    @property
    def parameters(self) -> tuple[str, ...]:
        return ()

    def primitive(self, q: State, p: Parameters) -> State:
        """Variables to reconstruct and to compute fluxes from."""
        return q

    def conserved(self, w: State, p: Parameters) -> State:
        """Inverse of `primitive`."""
        return w

    def flux(self, w: State, axis: int, p: Parameters) -> State:
        """Flux along an axis, from primitive variables."""
        raise NotImplementedError

    def speeds(self, w: State, axis: int, p: Parameters) -> tuple[Any, Any]:
        """Slowest and fastest wave along an axis."""
        raise NotImplementedError

    def bounds(self, left: State, right: State, axis: int, p: Parameters) -> tuple[Any, Any]:
        """Speeds that bound the waves of the Riemann problem between two states."""
        (l0, l1), (r0, r1) = self.speeds(left, axis, p), self.speeds(right, axis, p)
        return jnp.minimum(l0, r0), jnp.maximum(l1, r1)

    def contact_flux(self, left: State, right: State, axis: int, p: Parameters) -> State | None:
        """Flux of a solver that knows the waves between the outermost two (HLLC); None if there is none."""
        return None

    def admissible(self, w: State) -> Any:
        """True where a state, in primitive variables, is one; not a number is none."""
        return jnp.isfinite(w[0])

    def mirrored(self, axis: int) -> tuple[int, ...]:
        """Sign of each component in a mirror across the axis."""
        return (1,) * len(self.components)

    def projections(self, w: State, axis: int, p: Parameters) -> tuple[Any, Any] | None:
        """(to, back): between conserved and characteristic variables at states w; None to reconstruct by components."""
        return None

    def diffusivity(self, w: State, p: Parameters) -> Any:
        """Bound of the diffusion of any quantity, which limits the step; 0 without."""
        return 0.0

    def diffusive_flux(self, faces: tuple, slopes: tuple, axis: int, p: Parameters) -> State | None:
        """Flux to subtract, from primitive variables on faces and their derivatives along each axis; None without."""
        return None


@dataclass(frozen=True)
class Advection(System):
    """u_t + velocity . grad u = 0; velocity, one number per axis, is constant."""

    velocity: tuple[float, ...] = (1.0,)

    @property
    def dimension(self) -> int:
        return len(self.velocity)

    def flux(self, w, axis, p):
        return (self.velocity[axis] * w[0],)

    def speeds(self, w, axis, p):
        speed = jnp.full_like(w[0], self.velocity[axis])
        return speed, speed


@dataclass(frozen=True)
class Burgers(System):
    """u_t + (u^2 / 2)_x = 0; in 2-D the same flux along both axes."""

    axes: int = 1

    @property
    def dimension(self) -> int:
        return self.axes

    def flux(self, w, axis, p):
        return (w[0] ** 2 / 2,)

    def speeds(self, w, axis, p):
        return w[0], w[0]


@dataclass(frozen=True)
class Traffic(System):
    """Cars on a road, u_t + (v u (1 - u))_x = 0, u the density relative to a full road (Lighthill, Whitham, Richards)."""

    v: float = 1.0

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("v",)

    def flux(self, w, axis, p):
        return (p.get("v", self.v) * w[0] * (1 - w[0]),)

    def speeds(self, w, axis, p):
        speed = p.get("v", self.v) * (1 - 2 * w[0])
        return speed, speed


@dataclass(frozen=True)
class ShallowWater(System):
    """Water of depth h on a flat bed: h, and the momenta h u (and h v).

    h_t + div(h u) = 0, (h u)_t + div(h u u) + grad(g h^2 / 2) = 0. Primitive: h, u (, v). Beds may be dry.
    """

    g: float = 9.81
    axes: int = 1

    def __post_init__(self):
        if not self.g > 0 or self.axes not in (1, 2):
            raise SettingError(given=str(self), needed="g > 0, axes 1 or 2", remedy="Mend it.")

    @property
    def dimension(self) -> int:
        return self.axes

    @property
    def components(self) -> tuple[str, ...]:
        return ("h", "m", "n")[: 1 + self.axes]

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("g",)

    def primitive(self, q, p):
        wet = q[0] > DRY
        depth = jnp.where(wet, q[0], 1.0)
        return (q[0], *(jnp.where(wet, m / depth, 0.0) for m in q[1:]))

    def conserved(self, w, p):
        return (w[0], *(w[0] * u for u in w[1:]))

    def _sound(self, w, p):
        return jnp.sqrt(p.get("g", self.g) * jnp.where(w[0] < DRY, 0.0, w[0]))  # not maximum: NaN must stay NaN

    def flux(self, w, axis, p):
        m = w[0] * w[1 + axis]
        flux = [m, *(m * u for u in w[1:])]
        flux[1 + axis] = flux[1 + axis] + p.get("g", self.g) / 2 * w[0] ** 2
        return tuple(flux)

    def speeds(self, w, axis, p):
        c = self._sound(w, p)
        return w[1 + axis] - c, w[1 + axis] + c

    def bounds(self, left, right, axis, p):
        """Einfeldt's, and the edges of the water beside dry beds."""
        (hl, ul), (hr, ur) = (left[0], left[1 + axis]), (right[0], right[1 + axis])
        cl, cr = self._sound(left, p), self._sound(right, p)
        total = cl + cr
        mean = (cl * ul + cr * ur) / jnp.where(total > 0, total, 1.0)  # weights sqrt(h)
        sound = jnp.sqrt((cl**2 + cr**2) / 2)
        low, high = jnp.minimum(ul - cl, mean - sound), jnp.maximum(ur + cr, mean + sound)
        return jnp.where(hl <= DRY, ur - 2 * cr, low), jnp.where(hr <= DRY, ul + 2 * cl, high)

    def contact_flux(self, left, right, axis, p):
        """HLL for depth and normal momentum; what flows carries its own tangential velocity."""
        low, high = self.bounds(left, right, axis, p)
        flux = list(hll(self, left, right, axis, p, (low, high)))
        for i in range(1, 1 + self.axes):
            if i != 1 + axis:
                flux[i] = flux[0] * jnp.where(flux[0] > 0, left[i], right[i])
        return tuple(flux)

    def admissible(self, w):
        return (w[0] >= -DRY) & jnp.isfinite(w[1])

    def mirrored(self, axis):
        return tuple(-1 if i == 1 + axis else 1 for i in range(1 + self.axes))

    def projections(self, w, axis, p):
        u, c = w[1 + axis], self._sound(w, p)
        c = jnp.where(c > 1e-6, c, 1.0)  # any number gives a basis; this one is far from 0 / 0

        def to(q):
            middle, half = q[0] / 2, (q[1 + axis] - u * q[0]) / (2 * c)
            out = list(q)
            out[0], out[1 + axis] = middle + half, middle - half
            for i in range(1, 1 + self.axes):
                if i != 1 + axis:
                    out[i] = q[i] - w[i] * q[0]
            return tuple(out)

        def back(a):
            out = list(a)
            out[0] = a[0] + a[1 + axis]
            out[1 + axis] = u * out[0] + c * (a[0] - a[1 + axis])
            for i in range(1, 1 + self.axes):
                if i != 1 + axis:
                    out[i] = a[i] + w[i] * out[0]
            return tuple(out)

        return to, back


@dataclass(frozen=True)
class Euler(System):
    """Ideal gas: density, momentum (per axis) and energy E = p / (gamma - 1) + rho |u|^2 / 2 per volume.

    rho_t + div(rho u) = 0, (rho u)_t + div(rho u u) + grad p = 0, E_t + div(u (E + p)) = 0. Primitive: rho, u (, v), p.
    """

    gamma: float = 1.4
    axes: int = 1

    def __post_init__(self):
        if not self.gamma > 1 or self.axes not in (1, 2):
            raise SettingError(given=str(self), needed="gamma > 1, axes 1 or 2", remedy="Mend it.")

    @property
    def dimension(self) -> int:
        return self.axes

    @property
    def components(self) -> tuple[str, ...]:
        return ("rho", "m", "n", "E") if self.axes == 2 else ("rho", "m", "E")

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("gamma",)

    def primitive(self, q, p):
        rho, *momenta, energy = q
        velocity = [m / rho for m in momenta]
        kinetic = sum(m * u for m, u in zip(momenta, velocity, strict=True)) / 2
        return (rho, *velocity, (p.get("gamma", self.gamma) - 1) * (energy - kinetic))

    def conserved(self, w, p):
        rho, *velocity, pressure = w
        energy = pressure / (p.get("gamma", self.gamma) - 1) + rho / 2 * sum(u**2 for u in velocity)
        return (rho, *(rho * u for u in velocity), energy)

    def flux(self, w, axis, p):
        rho, *velocity, pressure = w
        u = velocity[axis]
        energy = pressure / (p.get("gamma", self.gamma) - 1) + rho / 2 * sum(v**2 for v in velocity)
        flux = [rho * u, *(rho * u * v for v in velocity), u * (energy + pressure)]
        flux[1 + axis] = flux[1 + axis] + pressure
        return tuple(flux)

    def speeds(self, w, axis, p):
        c = jnp.sqrt(p.get("gamma", self.gamma) * w[-1] / w[0])
        return w[1 + axis] - c, w[1 + axis] + c

    def bounds(self, left, right, axis, p):
        """Einfeldt's, from Roe's mean: positive densities and pressures stay so (SIAM J. Numer. Anal. 25, 1988)."""
        gamma = p.get("gamma", self.gamma)
        (rl, ul, pl), (rr, ur, pr) = ((w[0], w[1 + axis], w[-1]) for w in (left, right))
        root_l, root_r = jnp.sqrt(rl), jnp.sqrt(rr)
        share = root_l / (root_l + root_r)
        cl2, cr2 = gamma * pl / rl, gamma * pr / rr
        mean = share * ul + (1 - share) * ur
        # sound^2 = mean of c^2 + (gamma - 1) / 2 times the variance of the velocity between the two states
        sound = jnp.sqrt(share * cl2 + (1 - share) * cr2 + (gamma - 1) / 2 * share * (1 - share) * (ur - ul) ** 2)
        return jnp.minimum(ul - jnp.sqrt(cl2), mean - sound), jnp.maximum(ur + jnp.sqrt(cr2), mean + sound)

    def contact_flux(self, left, right, axis, p):
        """HLLC (Toro, Spruce, Speares, Shock Waves 4, 1994)."""
        gamma = p.get("gamma", self.gamma)
        low, high = self.bounds(left, right, axis, p)
        (rl, ul, pl), (rr, ur, pr) = ((w[0], w[1 + axis], w[-1]) for w in (left, right))
        inflow, outflow = rl * (low - ul), rr * (high - ur)
        star = (pr - pl + ul * inflow - ur * outflow) / (inflow - outflow)
        near = star >= 0
        w = tuple(jnp.where(near, a, b) for a, b in zip(left, right, strict=True))
        wave = jnp.where(near, low, high)
        active = jnp.where(near, jnp.minimum(low, 0.0), jnp.maximum(high, 0.0))
        rho, u, pressure = w[0], w[1 + axis], w[-1]
        q, flux = self.conserved(w, {**p, "gamma": gamma}), self.flux(w, axis, p)
        squeezed = rho * (wave - u) / (wave - star)
        middle = [squeezed, *(squeezed * v for v in w[1:-1])]
        middle[1 + axis] = squeezed * star
        middle.append(squeezed * (q[-1] / rho + (star - u) * (star + pressure / (rho * (wave - u)))))
        return tuple(f + active * (m - a) for f, m, a in zip(flux, middle, q, strict=True))

    def admissible(self, w):
        return (w[0] > 0) & (w[-1] > 0) & jnp.isfinite(w[0]) & jnp.isfinite(w[-1])

    def mirrored(self, axis):
        return tuple(-1 if i == 1 + axis else 1 for i in range(2 + self.axes))

    def projections(self, w, axis, p):
        rho, *velocity, pressure = w
        u, others = velocity[axis], [i for i in range(1, 1 + self.axes) if i != 1 + axis]
        c2 = p.get("gamma", self.gamma) * pressure / rho
        c = jnp.sqrt(c2)
        weight = (p.get("gamma", self.gamma) - 1) / c2
        kinetic = sum(v**2 for v in velocity) / 2

        def to(q):
            """Waves at u - c (place 0), u (place of the energy), u + c (place of the momentum); shear in its own place."""
            moved = sum(v * m for v, m in zip(velocity, q[1:-1], strict=True))
            heat = weight * (kinetic * q[0] - moved + q[-1])
            push = (q[1 + axis] - u * q[0]) / c
            out = list(q)
            out[0], out[1 + axis], out[-1] = (heat - push) / 2, (heat + push) / 2, q[0] - heat
            for i in others:
                out[i] = q[i] - w[i] * q[0]
            return tuple(out)

        def back(a):
            heat, push = a[0] + a[1 + axis], a[1 + axis] - a[0]
            out = list(a)
            out[0] = heat + a[-1]
            out[1 + axis] = u * out[0] + c * push
            for i in others:
                out[i] = a[i] + w[i] * out[0]
            moved = sum(v * m for v, m in zip(velocity, out[1:-1], strict=True))
            out[-1] = heat / weight + moved - kinetic * out[0]
            return tuple(out)

        return to, back


@dataclass(frozen=True)
class NavierStokes(Euler):
    """The same with viscous stress, eta (grad u + grad u^T) + (zeta - 2/3 eta) div(u), and without conduction of heat.

    eta, zeta : dynamic shear and bulk viscosity, >= 0, in mass / (length time): not divided by the density.
    """

    eta: float = 0.0
    zeta: float = 0.0

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("gamma", "eta", "zeta")

    def diffusivity(self, w, p):
        return (4 / 3 * p.get("eta", self.eta) + p.get("zeta", self.zeta)) / w[0]

    def diffusive_flux(self, faces, slopes, axis, p):
        eta, zeta = p.get("eta", self.eta), p.get("zeta", self.zeta)
        divergence = sum(slopes[i][1 + i] for i in range(self.axes))
        stress = [eta * (slopes[axis][1 + i] + slopes[i][1 + axis]) for i in range(self.axes)]
        stress[axis] = stress[axis] + (zeta - 2 / 3 * eta) * divergence
        work = sum(s * faces[1 + i] for i, s in enumerate(stress))
        return (jnp.zeros_like(work), *stress, work)


def rusanov(system: System, left: State, right: State, axis: int, p: Parameters) -> State:
    """Mean flux minus the fastest wave times half the jump."""
    (l0, l1), (r0, r1) = system.speeds(left, axis, p), system.speeds(right, axis, p)
    fastest = jnp.maximum(jnp.maximum(jnp.abs(l0), jnp.abs(l1)), jnp.maximum(jnp.abs(r0), jnp.abs(r1)))
    rows = zip(
        system.flux(left, axis, p),
        system.flux(right, axis, p),
        system.conserved(left, p),
        system.conserved(right, p),
        strict=True,
    )
    return tuple((fl + fr - fastest * (qr - ql)) / 2 for fl, fr, ql, qr in rows)


def hll(system: System, left: State, right: State, axis: int, p: Parameters, bounds: tuple | None = None) -> State:
    """Harten, Lax and van Leer: one state between the two outermost waves."""
    low, high = system.bounds(left, right, axis, p) if bounds is None else bounds
    low, high = jnp.minimum(low, 0.0), jnp.maximum(high, 0.0)
    width = high - low
    scale = 1 / jnp.where(width > 0, width, 1.0)
    rows = zip(
        system.flux(left, axis, p),
        system.flux(right, axis, p),
        system.conserved(left, p),
        system.conserved(right, p),
        strict=True,
    )
    still = width <= 0  # no wave leaves the face: both fluxes are the same
    return tuple(
        jnp.where(still, (fl + fr) / 2, (high * fl - low * fr + low * high * (qr - ql)) * scale) for fl, fr, ql, qr in rows
    )


def hllc(system: System, left: State, right: State, axis: int, p: Parameters) -> State:
    """The system's own flux for all its waves, or HLL where it has none."""
    flux = system.contact_flux(left, right, axis, p)
    return hll(system, left, right, axis, p) if flux is None else flux


FLUXES = {"rusanov": rusanov, "hll": hll, "hllc": hllc}
