"""Finite volumes for hyperbolic systems, q_t + f(q)_x + g(q)_y = 0 (+ viscous stress), in one and two dimensions.

Cell averages; values on faces by MUSCL or WENO5-Z (of characteristic variables, where the system has them); fluxes of Rusanov,
HLL or HLLC; Runge-Kutta of order three that keeps what its Euler steps keep (Shu and Osher, J. Comput. Phys. 77, 1988), with
steps from the sample's own wave speeds. Each sample is solved by itself: it never depends on its batch.

Smooth solutions converge at order 2 (MUSCL), 5 (WENO5 in 1-D) and 4 (WENO5 in 2-D: averages over faces and values at their
middles are told apart to fourth order, Buchmueller and Helzel, J. Sci. Comput. 61, 2014), in time at order 3.

Positivity: a face value that is no state is replaced by its cell's average; a step that ends in a cell that is no state is
rejected and halved; if twelve halvings do not help the sample ends as NOT_PHYSICAL. No density or pressure is ever floored.
"""

import functools
import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solvers.conservation_laws import FLUXES, State, System
from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.precision import in_float64, jax
from solvers.projection import check_times
from solvers.reconstruction import cut, limited_slopes, settled, weno5_faces
from solvers.result import Outcome, Result
from solvers.threads import available

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

SCHEMES = {"weno5": 3, "mc": 2, "van_leer": 2, "first": 1}
"""Reconstructions, and the ghost cells they need."""
SIDES = ("left", "right", "bottom", "top")
_HALVINGS = 12
_SHORTEST = 1e-10  # of the time between two frames


@dataclass(frozen=True)
class FiniteVolume:
    """Solver of a hyperbolic system on cells.

    Parameters
    ----------
    system : see `solvers.conservation_laws`.
    grid : axes of cells in as many dimensions as the system: periodic (with `cells`), or with sides "outflow" (constant
        continuation), "wall" (reflecting, without friction) or "dirichlet" (an outer state, `inflow`).
    scheme : "weno5"; "mc" or "van_leer" (MUSCL with these limiters); "first".
    flux : "hllc" (HLL where the system has no HLLC), "hll" or "rusanov".
    courant : step times sum over the axes of (fastest wave / cell size); None takes 0.6, in 2-D 0.8 (0.4 per axis).
    inflow : side ("left", "right", "bottom", "top") -> primitive state beyond it.

    Examples
    --------
    >>> from solvers.conservation_laws import Burgers
    >>> from solvers.grid import Axis
    >>> grid = Grid((Axis("x", 64, cells=True),))
    >>> start = np.sin(2 * np.pi * grid.coordinates()[0])[None, :, None]
    >>> found = FiniteVolume(Burgers(), grid).solve(start, np.array([0.0, 0.3]))
    >>> found.succeeded, bool(abs(found.values[0, 1].mean()) < 1e-15)  # a shock stands at x = 1/2, and nothing is lost
    (True, True)
    """

    system: System
    grid: Grid
    scheme: str = "weno5"
    flux: str = "hllc"
    courant: float | None = None
    inflow: Any = field(default_factory=dict)

    def __post_init__(self):
        if self.scheme not in SCHEMES or self.flux not in FLUXES:
            raise SettingError(
                given=f"scheme={self.scheme!r}, flux={self.flux!r}",
                needed=f"one of {tuple(SCHEMES)} and one of {tuple(FLUXES)}",
                remedy="Change them.",
            )
        courant = self.courant if self.courant is not None else 0.6 if self.grid.dimension == 1 else 0.8
        object.__setattr__(self, "courant", courant)
        if not 0 < courant <= 1:
            raise SettingError(given=f"courant={self.courant}", needed="a number in (0, 1]", remedy="Change it.")
        self._check_grid()
        states = {side: tuple(float(v) for v in state) for side, state in dict(self.inflow).items()}
        open_sides = {SIDES[2 * i + e] for i, a in enumerate(self.grid.axes) for e in (0, 1) if a.boundary[e] == "dirichlet"}
        if set(states) != open_sides or any(len(s) != len(self.system.components) for s in states.values()):
            raise SettingError(
                given=f"inflow for {sorted(states) or 'no side'}",
                needed=f"a state of {len(self.system.components)} numbers for each of {sorted(open_sides) or 'no side'}",
                remedy="Name exactly the sides of condition 'dirichlet'.",
            )
        object.__setattr__(self, "inflow", tuple(sorted(states.items())))

    def _check_grid(self):
        known, ghosts = ("periodic", "outflow", "wall", "dirichlet"), SCHEMES[self.scheme]
        bad = [a for a in self.grid.axes if not a.is_cell or not set(a.boundary) <= set(known) or a.size < 2 * ghosts]
        if bad or self.grid.dimension != self.system.dimension:
            raise GridError(
                given=f"axes {[(a.size, a.kind, a.boundary) for a in self.grid.axes]} for a {self.system.dimension}-D system",
                needed=f"{self.system.dimension} axes of at least {2 * ghosts} cells with sides of {known}",
                remedy="Use Grid.box('cell', n, boundary='outflow'), or Axis(..., cells=True) for periodic cells.",
            )

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any] | None = None) -> Result:
        """Cell averages at `times`, the first of which is the time of `initial`.

        initial : (sample, *space, component) averages of the conserved quantities.   times : (time,) increasing.
        parameters : those of the system, each a number or one per sample.
        Values: (sample, time, *space, component); after a failure NaN. stats: "steps", and "rejected" among them.

        Raises
        ------
        DataError : wrong shapes, values that are not finite, states that are none (with the sample's index), parameters that
            the system does not have.
        """
        times = check_times(times)
        initial = np.asarray(initial, np.float64)
        count = len(self.system.components)
        if not initial.size or initial.ndim != self.grid.dimension + 2 or initial.shape[-1] != count:
            raise DataError(
                given=f"an initial field of shape {initial.shape}",
                needed=f"(sample, {', '.join(map(str, self.grid.shape))}, {count}): {', '.join(self.system.components)}",
                remedy="Stack the components along the last axis.",
            )
        for i, name in enumerate(self.system.components):
            check_samples(initial[..., i], self.grid, name)
        known = self._parameters(parameters or {}, len(initial))
        state = np.moveaxis(initial, -1, 1)
        start, run = _compiled(self)
        fine = start(state, known)
        if not fine.all():
            raise DataError(
                given=f"an initial state of sample {int(np.argmin(fine))} that is none of the system's",
                needed="positive density and pressure, depth >= 0",
                remedy="Mend that sample.",
            )
        frames, steps, rejected, failed = run(state, times, known)
        values = np.concatenate([initial[:, None], np.moveaxis(frames, 2, -1)], axis=1)
        outcome = np.where(failed, int(Outcome.NOT_PHYSICAL), int(Outcome.SUCCESS))
        return Result(values, outcome, {"steps": steps, "rejected": rejected})

    def _parameters(self, given: Mapping[str, Any], samples: int) -> dict[str, np.ndarray]:
        """Each as (sample,)."""
        arrays = {name: np.asarray(value, np.float64) for name, value in given.items()}
        for name, value in arrays.items():
            if name not in self.system.parameters or value.shape not in ((), (samples,)) or not np.isfinite(value).all():
                raise DataError(
                    given=f"parameter {name!r} of shape {value.shape} for {samples} samples",
                    needed=f"{' or '.join(self.system.parameters) or 'none'}, finite, a number or one per sample",
                    remedy="Check name and shape.",
                )
        return {name: np.broadcast_to(value, (samples,)) for name, value in arrays.items()}


@functools.lru_cache(maxsize=32)
def _compiled(solver: FiniteVolume):
    """Functions (initial, parameters) -> all admissible, and (initial, times, parameters) -> frames and counts, of batches.

    On a CPU samples run one by one, as many at a time as there are cores: a sample's arrays stay in the cache, its step is its
    own, and batches of any size share one compiled program. On other devices they run together.
    """
    scheme = _Scheme(solver)
    together = jax.default_backend() != "cpu"
    spread = jax.vmap if together else lambda function, in_axes: function
    begin = jax.jit(jax.vmap(lambda q, p: scheme.admissible(tuple(q), p)))
    advance = jax.jit(spread(scheme.advance, in_axes=(0, None, None, 0)))

    @in_float64
    def start(states, parameters) -> np.ndarray:
        return np.asarray(begin(states, parameters))

    @in_float64
    def follow(states, times, parameters) -> list[np.ndarray]:
        lead = states.shape[:1] if together else ()
        zero = np.zeros(lead, np.int64)
        carried = tuple(np.moveaxis(states, len(lead), 0)), np.ones(lead), zero, zero, np.zeros(lead, bool)
        frames = []
        for begin_at, end in itertools.pairwise(times):
            carried = advance(carried, begin_at, end, parameters)
            frames.append(np.stack([np.asarray(a) for a in carried[0]], axis=len(lead)))
        return [np.stack(frames, axis=len(lead)), *(np.asarray(v) for v in carried[2:])]

    def run(states, times, parameters) -> list[np.ndarray]:
        if together:
            return follow(states, times, parameters)

        def alone(i: int):
            return follow(states[i], times, {name: value[i] for name, value in parameters.items()})

        first = [alone(0)]  # compiles
        with ThreadPoolExecutor(available()) as pool:
            parts = first + list(pool.map(alone, range(1, len(states))))
        return [np.stack(column) for column in zip(*parts, strict=True)]

    return start, run


class _Scheme:
    """One sample: states are tuples of arrays (*space)."""

    def __init__(self, solver: FiniteVolume):
        self.system, self.grid, self.scheme = solver.system, solver.grid, solver.scheme
        self.courant, self.inflow = solver.courant, dict(solver.inflow)
        self.flux, self.ghosts = FLUXES[solver.flux], SCHEMES[solver.scheme]
        self.dimension = solver.grid.dimension

    def admissible(self, q: State, p):
        return jnp.all(self.system.admissible(self.system.primitive(q, p)))

    def advance(self, carried, begin, end, p):
        """From one stored time to the next: states, share of the Courant step taken, steps, rejected steps, failure."""
        shortest = _SHORTEST * (end - begin)
        q, *rest = carried
        q, _, *rest = jax.lax.while_loop(
            lambda c: (c[1] < end) & ~c[5], lambda c: self._step(c, end, shortest, p), (q, begin, *rest)
        )
        return (tuple(jnp.where(rest[-1], jnp.nan, a) for a in q), *rest)

    def _step(self, carried, end, shortest, p):
        q, t, share, steps, rejected, failed = carried
        left = end - t
        dt = share * self.courant / self._rate(q, p)
        last = dt >= left * (1 - 1e-12)
        dt = jnp.where(last, left, jnp.where(2 * dt > left, left / 2, dt))  # no tiny last step

        def stage(i, u):
            keep = jnp.array([0.0, 0.75, 1 / 3])[i]
            return tuple(keep * a + (1 - keep) * (b + dt * c) for a, b, c in zip(q, u, self._change(u, p), strict=True))

        new = jax.lax.fori_loop(0, 3, stage, q)
        good = self.admissible(new, p)
        share = jnp.where(good, jnp.minimum(1.0, 2 * share), share / 2)
        failed = ~good & ((share < 0.5**_HALVINGS) | ~(dt > shortest))
        q = tuple(jnp.where(good, a, b) for a, b in zip(new, q, strict=True))
        t = jnp.where(good, jnp.where(last, end, t + dt), t)
        return q, t, share, steps + good, rejected + ~good, failed

    def _rate(self, q: State, p):
        """Largest sum over the axes of wave speed / cell size, with viscosity's share."""
        w = self.system.primitive(q, p)
        rate = 0.0
        for i, axis in enumerate(self.grid.axes):
            low, high = self.system.speeds(w, i, p)
            fastest = jnp.maximum(jnp.abs(low), jnp.abs(high))
            rate = rate + fastest / axis.spacing + 2 * self.system.diffusivity(w, p) / axis.spacing**2
        return jnp.maximum(jnp.max(rate), 1e-300)

    def _change(self, q: State, p):
        """Rate of change of the cell averages."""
        total: State = ()
        whole = q
        for i in range(self.dimension):
            whole = self._padded(whole, i)
        whole = settled(*whole)
        w = settled(*self.system.primitive(whole, p))
        for i, axis in enumerate(self.grid.axes):
            at = i - self.dimension
            flux = self._fluxes(whole, w, i, p)
            viscous = self._viscous(self._around(w, i, 1), i, p)
            if viscous is not None:
                flux = tuple(f - v for f, v in zip(flux, viscous, strict=True))
            flux = settled(*flux)
            change = tuple((cut(f, at, 0, -1) - cut(f, at, 1, None)) / axis.spacing for f in flux)
            total = tuple(a + b for a, b in zip(total, change, strict=True)) if total else change
        return total

    def _around(self, arrays: State, i: int, width: int) -> State:
        """All ghost cells along axis i, `width` along the other."""
        for j, axis in enumerate(self.grid.axes):
            if j != i:
                first = self.ghosts - width
                arrays = tuple(cut(a, j - self.dimension, first, first + axis.size + 2 * width) for a in arrays)
        return arrays

    def _fluxes(self, whole: State, w: State, i: int, p):
        """Averages over the faces across axis i of the flux."""
        at, n, ghosts = i - self.dimension, self.grid.shape[i], self.ghosts
        quadrature = self.scheme == "weno5" and self.dimension == 2
        whole, w = (self._around(arrays, i, 2 if quadrature else 0) for arrays in (whole, w))
        left_cell, right_cell = (tuple(cut(a, at, ghosts - 1 + e, ghosts + n + e) for a in w) for e in (0, 1))
        if quadrature:
            return self._quadrature(self._weno(whole, left_cell, right_cell, i, p), (left_cell, right_cell), i, p)
        if self.scheme == "weno5":
            left, right = (self.system.primitive(q, p) for q in self._weno(whole, left_cell, right_cell, i, p))
        elif self.scheme == "first":
            left, right = left_cell, right_cell
        else:
            inner = tuple(cut(a, at, 1, -1) for a in w)
            half = settled(*(limited_slopes(a, at, self.scheme) / 2 for a in w))
            left = tuple(cut(a + s, at, 0, -1) for a, s in zip(inner, half, strict=True))
            right = tuple(cut(a - s, at, 1, None) for a, s in zip(inner, half, strict=True))
        return self.flux(self.system, *self._states((left, right), (left_cell, right_cell)), i, p)

    def _weno(self, whole: State, left_cell: State, right_cell: State, i: int, p) -> tuple[State, State]:
        """Conserved values on both sides of the faces."""
        at, n = i - self.dimension, self.grid.shape[i]
        stencil = [tuple(cut(a, at, k, k + n + 1) for a in whole) for k in range(6)]
        mean = tuple((a + b) / 2 for a, b in zip(left_cell, right_cell, strict=True))
        projections = self.system.projections(mean, i, p)
        to, back = projections if projections else (lambda v: v, lambda v: v)
        waves = settled(*(jnp.stack(to(cell)) for cell in stencil))  # one array: a program of a quarter the size
        left, right = (settled(*back(tuple(side))) for side in settled(*weno5_faces(waves)))
        return left, right

    def _states(self, faces: tuple[State, State], cells: tuple[State, State]) -> tuple[State, State]:
        """Values on faces, and the averages of their cells where they are no states."""
        out = []
        for face, cell in zip(faces, cells, strict=True):
            face = settled(*face)
            good = self.system.admissible(face)
            out.append(settled(*(jnp.where(good, a, b) for a, b in zip(face, cell, strict=True))))
        return out[0], out[1]

    def _quadrature(self, sides: tuple[State, State], cells: tuple[State, State], i: int, p):
        """Flux averaged over faces to fourth order, from conserved values averaged over them (and two more on either end)."""
        at = 1 - i - self.dimension
        left, right = (tuple(cut(a, at, 1, -1) - _second(a, at) / 24 for a in q) for q in sides)  # at the middles of faces
        faces = self.system.primitive(left, p), self.system.primitive(right, p)
        left_cell, right_cell = (tuple(cut(a, at, 1, -1) for a in w) for w in cells)
        inner = left_cell, right_cell
        flux = settled(*self.flux(self.system, *self._states(faces, inner), i, p))
        return tuple(cut(f, at, 1, -1) + _second(f, at) / 24 for f in flux)

    def _viscous(self, w: State, i: int, p):
        """Viscous flux through the faces across axis i, second order; None without viscosity. w: one cell wider across it."""
        at = i - self.dimension
        n, first = self.grid.shape[i], self.ghosts - 1
        w = tuple(cut(a, at, first, first + n + 2) for a in w)
        inner = w
        for j in range(self.dimension):
            if j != i:
                inner = tuple(cut(a, j - self.dimension, 1, -1) for a in inner)
        faces = tuple((cut(a, at, 0, -1) + cut(a, at, 1, None)) / 2 for a in inner)
        slopes = []
        for j, axis in enumerate(self.grid.axes):
            to = j - self.dimension
            if j == i:
                slopes.append(tuple((cut(a, at, 1, None) - cut(a, at, 0, -1)) / axis.spacing for a in inner))
            else:
                central = tuple((cut(a, to, 2, None) - cut(a, to, 0, -2)) / (2 * axis.spacing) for a in w)
                slopes.append(tuple((cut(a, at, 0, -1) + cut(a, at, 1, None)) / 2 for a in central))
        return self.system.diffusive_flux(faces, tuple(slopes), i, p)

    def _padded(self, q: State, i: int) -> State:
        """Conserved states with ghost cells on both sides of axis i."""
        axis, at, width = self.grid.axes[i], i - self.dimension, self.ghosts
        if axis.kind == "periodic":
            return tuple(jnp.concatenate([cut(a, at, -width, None), a, cut(a, at, 0, width)], at) for a in q)
        n, signs = axis.size, self.system.mirrored(i)
        ends: list[State] = []
        for e, side in enumerate(axis.boundary):
            edge = tuple(cut(a, at, 0, 1) if e == 0 else cut(a, at, n - 1, n) for a in q)
            if side == "wall":
                near = tuple(cut(a, at, 0, width) if e == 0 else cut(a, at, n - width, n) for a in q)
                ends.append(tuple(s * jnp.flip(a, at) for s, a in zip(signs, near, strict=True)))
            elif side == "outflow":
                ends.append(tuple(jnp.repeat(a, width, at) for a in edge))
            else:
                outer = self.system.conserved(tuple(jnp.asarray(v) for v in self.inflow[SIDES[2 * i + e]]), {})
                ends.append(tuple(jnp.full_like(jnp.repeat(a, width, at), v) for a, v in zip(edge, outer, strict=True)))
        return tuple(jnp.concatenate([a, b, c], at) for a, b, c in zip(ends[0], q, ends[1], strict=True))


def _second(a, at: int):
    """Second difference along an axis."""
    return cut(a, at, 2, None) - 2 * cut(a, at, 1, -1) + cut(a, at, 0, -2)
