"""Random initial states of conservation laws, as averages over cells: pieces of constant states, and smooth flows.

Gases and water are drawn in density (or depth), velocities and pressure; their laws give the conserved quantity that is asked
for. The laws of the components of one state share one draw: `gas(...)` and `water(...)` make them together. Averages of pieces
are exact (of disks nearly so), those of smooth functions are of fourth order.
"""

import dataclasses
from dataclasses import dataclass
from math import pi

import numpy as np

from pdes.coarsen import refine
from pdes.domain import Domain
from pdes.random_fields import Extent, FieldLaw
from pdes.scalars import everywhere
from solvers.errors import SettingError
from solvers.grid import Axis, Grid

Range = tuple[float, float]
_COLUMNS = 16  # per cell, in each of which a disk is cut exactly


@dataclass(frozen=True)
class Steps(FieldLaw):
    """A circle (or line) cut at random places into pieces of random constant values; its averages over cells are exact.

    Parameters
    ----------
    count : pieces.
    values : range of their values, or the values to choose among.
    choose : `values` lists values instead of a range.
    """

    count: int = 6
    values: tuple[float, ...] = (-1.0, 1.0)
    choose: bool = False
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        if self.count < 2 or len(self.values) < 2 or (not self.choose and not self.values[0] < self.values[1]):
            raise SettingError(
                given=f"count={self.count}, values={self.values}",
                needed="count >= 2, a range or two values",
                remedy="Mend them.",
            )

    def on(self, domain: Domain) -> "Steps":
        if domain.dimension != 1:
            raise SettingError(given=f"steps on {domain}", needed="one dimension", remedy="Use pieces(...) in two.")
        return dataclasses.replace(self, extent=tuple(domain.intervals().values()))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Places of the cuts, sorted, in parts of the length, and the values to the right of them."""
        places = np.sort(rng.random(self.count))
        if self.choose:
            first = rng.integers(len(self.values))  # each piece another value than the one before it
            moves = rng.integers(1, len(self.values), self.count)
            return np.stack([places, np.asarray(self.values)[(first + np.cumsum(moves)) % len(self.values)]])
        return np.stack([places, rng.uniform(self.values[0], self.values[1], self.count)])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent, axis = np.asarray(latent, np.float64), grid.axes[0]
        rows = latent.reshape(-1, 2, self.count)
        edges = (axis.coordinates()[0] - axis.start - axis.spacing / 2 + axis.spacing * np.arange(axis.size + 1)) / axis.length
        found = np.empty((len(rows), axis.size))
        for row, (places, values) in zip(found, rows, strict=True):
            knots = np.concatenate([places - 1, places, places + 1])
            integral = np.concatenate([[0.0], np.cumsum(np.diff(knots) * np.tile(values, 3)[:-1])])
            row[:] = np.diff(np.interp(edges, knots, integral)) / np.diff(edges)
        return found.reshape(*latent.shape[:-2], axis.size)

    @property
    def law(self) -> str:
        return f"steps(count={self.count}, values={self.values}, choose={self.choose})"


@dataclass(frozen=True)
class Fluid:
    """What turns drawn quantities into conserved ones: a gas of this gamma, or water (gamma None)."""

    gamma: float | None

    def conserved(self, w: list, component: int) -> np.ndarray:
        """One conserved quantity of [density, velocities.., pressure], or [depth, velocities..]."""
        velocities = w[1:] if self.gamma is None else w[1:-1]
        if component == 0:
            return w[0]
        if component <= len(velocities):
            return w[0] * velocities[component - 1]
        assert self.gamma is not None, "water has no energy; please report this"
        return w[-1] / (self.gamma - 1) + w[0] / 2 * sum(u**2 for u in velocities)


@dataclass(frozen=True)
class Pieces(FieldLaw):
    """One conserved quantity of a fluid in pieces of constant states.

    Parameters
    ----------
    shape : "tube" (left and right of x0), "quadrants" (around (x0, y0), the lower left first, y fastest) or "disk" (inside,
        outside, around (x0, y0)).
    states : for each piece the range of each drawn quantity; equal bounds fix it.
    fluid, component : which conserved quantity this law gives.
    centre : range of x0 and y0 in parts of the box.   radius : of the disk, in lengths.
    shared : laws of one name are functions of one draw.
    """

    shape: str
    states: tuple[tuple[Range, ...], ...]
    fluid: Fluid
    component: int
    centre: Range = (0.5, 0.5)
    radius: Range = (0.25, 0.25)
    shared: str = "state"
    extent: Extent = ((0.0, 1.0),)

    def __post_init__(self):
        needed = {"tube": (1, 2), "quadrants": (2, 4), "disk": (2, 2)}
        if self.shape not in needed or len(self.states) != needed[self.shape][1]:
            raise SettingError(
                given=f"{len(self.states)} states in shape {self.shape!r}",
                needed=f"a shape of { {k: v[1] for k, v in needed.items()} } states",
                remedy="Mend them.",
            )

    def on(self, domain: Domain) -> "Pieces":
        if domain.dimension != (1 if self.shape == "tube" else 2):
            raise SettingError(
                given=f"{self.shape!r} on {domain}", needed="1-D for a tube, else 2-D", remedy="Mend the domain."
            )
        return dataclasses.replace(self, extent=tuple(domain.intervals().values()))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """x0, y0, radius, and the states."""
        place = [a + (b - a) * rng.uniform(*self.centre) for a, b in (*self.extent, (0.0, 1.0))[:2]]
        return np.array([*place, rng.uniform(*self.radius), *(rng.uniform(*r) for state in self.states for r in state)])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent = np.asarray(latent, np.float64)
        states = latent[..., 3:].reshape(*latent.shape[:-1], len(self.states), -1)
        wide = (*latent.shape[:-1], *(1,) * grid.dimension)
        total = 0.0
        for i, share in enumerate(self._shares(latent, grid)):
            value = self.fluid.conserved([states[..., i, k] for k in range(states.shape[-1])], self.component)
            total = total + share * np.reshape(value, wide)
        return np.asarray(total)

    def _shares(self, latent: np.ndarray, grid: Grid) -> list[np.ndarray]:
        """Part of each cell in each piece."""
        if self.shape == "disk":
            inside = _disk(latent, grid)
            return [inside, 1 - inside]
        low = [_below(axis, latent[..., i]) for i, axis in enumerate(grid.axes)]
        if self.shape == "tube":
            return [low[0], 1 - low[0]]
        x, y = low[0][..., :, None], low[1][..., None, :]
        return [x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y)]

    @property
    def law(self) -> str:
        where = f"centre={self.centre}, radius={self.radius}" if self.shape == "disk" else f"centre={self.centre}"
        return f"pieces({self.shape!r}, {self.states}, {where}, gamma={self.fluid.gamma}, component={self.component})"


@dataclass(frozen=True)
class Flow(FieldLaw):
    """One conserved quantity of a fluid whose drawn quantities follow smooth laws of their own.

    fields : laws of density (or depth), velocities, and pressure of a gas.   Others as in `Pieces`.
    """

    fields: tuple[FieldLaw, ...]
    fluid: Fluid
    component: int
    shared: str = "state"
    extent: Extent = ((0.0, 1.0),)

    def on(self, domain: Domain) -> "Flow":
        fields = tuple(everywhere(field).on(domain) for field in self.fields)
        return dataclasses.replace(self, fields=fields, extent=tuple(domain.intervals().values()))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """The draws of all fields, one after the other."""
        return np.concatenate([field.sample(rng).ravel() for field in self.fields])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent, start, drawn = np.asarray(latent, np.float64), 0, []
        fine = refine(grid, 3)
        for field, shape in zip(self.fields, self._shapes(), strict=True):
            size = int(np.prod(shape))
            part = latent[..., start : start + size].reshape(*latent.shape[:-1], *shape)
            drawn.append(field.evaluate(part, fine))
            start += size
        values = self.fluid.conserved(drawn, self.component)
        for i in range(-grid.dimension, 0):  # means over cells from thirds: exact for cubics
            values = np.moveaxis(values, i, -1)
            values = np.moveaxis(values.reshape(*values.shape[:-1], -1, 3) @ np.array([3, 2, 3]) / 8, -1, i)
        return values

    def _shapes(self) -> list[tuple[int, ...]]:
        """Shape of the draw of each field; it depends on the law alone."""
        return [np.shape(field.sample(np.random.default_rng(7))) for field in self.fields]

    @property
    def law(self) -> str:
        names = ", ".join(field.law for field in self.fields)
        return f"flow({names}, gamma={self.fluid.gamma}, component={self.component})"


@dataclass(frozen=True)
class Band(FieldLaw):
    """`inside` for y in the middle half of a periodic box, `outside` beyond, with tanh layers between.

    inside, outside, width : ranges of uniform draws; the width of a layer is in heights of the box.
    """

    inside: Range
    outside: Range
    width: Range = (0.03, 0.05)
    extent: Extent = ((0.0, 1.0), (0.0, 1.0))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return np.array([rng.uniform(*self.inside), rng.uniform(*self.outside), rng.uniform(*self.width)])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        inside, outside, width = (v[..., None, None] for v in np.moveaxis(np.asarray(latent, np.float64), -1, 0))
        y = (grid.axes[1].coordinates() - grid.axes[1].start) / grid.axes[1].length
        layers = sum(np.tanh((y - 0.25 - k) / width) - np.tanh((y - 0.75 - k) / width) for k in (-1, 0, 1)) / 2
        return outside + (inside - outside) * layers + np.zeros((grid.shape[0], 1))

    @property
    def law(self) -> str:
        return f"band(inside={self.inside}, outside={self.outside}, width={self.width})"


@dataclass(frozen=True)
class Ripples(FieldLaw):
    """sum over m = 1..modes of a_m sin(2 pi m x + phi_m), near y = 1/4 and y = 3/4 (each with its own draw).

    amplitude : range of the a_m.   width : of the Gaussians around both heights, in heights of the box.
    """

    modes: int = 4
    amplitude: Range = (-0.02, 0.02)
    width: float = 0.05
    extent: Extent = ((0.0, 1.0), (0.0, 1.0))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return np.stack([rng.uniform(*self.amplitude, (2, self.modes)), rng.uniform(0, 2 * pi, (2, self.modes))])

    def evaluate(self, latent: np.ndarray, grid: Grid) -> np.ndarray:
        latent = np.asarray(latent, np.float64)
        x, y = ((axis.coordinates() - axis.start) / axis.length for axis in grid.axes)
        waves = np.sin(2 * pi * np.arange(1, self.modes + 1)[:, None] * x + latent[..., 1, :, :, None])  # (..., layer, mode, x)
        along = np.sum(latent[..., 0, :, :, None] * waves, axis=-2)
        near = np.stack([sum(np.exp(-0.5 * ((y - c - k) / self.width) ** 2) for k in (-1, 0, 1)) for c in (0.25, 0.75)])
        return np.einsum("...lx,ly->...xy", along, near)

    @property
    def law(self) -> str:
        return f"ripples(modes={self.modes}, amplitude={self.amplitude}, width={self.width:g})"


def _below(axis: Axis, place: np.ndarray) -> np.ndarray:
    """Part of each cell of an axis that lies below a place, (...) to (..., cell)."""
    low = axis.coordinates() - axis.spacing / 2
    return np.clip((np.asarray(place)[..., None] - low) / axis.spacing, 0.0, 1.0)


def _disk(latent: np.ndarray, grid: Grid) -> np.ndarray:
    """Part of each cell within a disk, from (..., x0 y0 radius ..): chords in columns a sixteenth of a cell wide."""
    x, y = grid.axes
    x0, y0, radius = (v[..., None] for v in np.moveaxis(latent[..., :3], -1, 0))
    first = x.coordinates()[0] - x.spacing / 2
    columns = first + (np.arange(x.size * _COLUMNS) + 0.5) * x.spacing / _COLUMNS
    half = np.sqrt(np.maximum(radius**2 - (columns - x0) ** 2, 0.0))
    chord = _below(y, y0 + half) - _below(y, y0 - half)  # (..., column, y)
    return chord.reshape(*chord.shape[:-2], x.size, _COLUMNS, y.size).mean(axis=-2)


_GAS = {1: ("rho", "m", "E"), 2: ("rho", "m", "n", "E")}
_WATER = {1: ("h", "m"), 2: ("h", "m", "n")}


def gas(*fields: FieldLaw | float, gamma: float = 1.4) -> dict[str, FieldLaw]:
    """Laws of density, momenta and energy from those (or numbers) of density, velocities and pressure.

    >>> from pdes.random_fields import fourier_series
    >>> sorted(gas(fourier_series(2, maximum=0.2, offset=1.0), 0.0, 1.0))
    ['E', 'm', 'rho']
    """
    names = _names(_GAS, len(fields) - 2, fields)
    laws = tuple(everywhere(field) for field in fields)
    return {name: Flow(laws, Fluid(float(gamma)), i) for i, name in enumerate(names)}


def water(*fields: FieldLaw | float) -> dict[str, FieldLaw]:
    """Laws of depth and momenta from those (or numbers) of depth and velocities."""
    names = _names(_WATER, len(fields) - 1, fields)
    laws = tuple(everywhere(field) for field in fields)
    return {name: Flow(laws, Fluid(None), i) for i, name in enumerate(names)}


def gas_pieces(
    shape: str, *states: tuple[Range, ...], gamma: float = 1.4, centre: Range = (0.5, 0.5), radius: Range = (0.25, 0.25)
) -> dict[str, FieldLaw]:
    """Laws of density, momenta and energy of pieces of constant states; see `Pieces`.

    >>> sorted(gas_pieces("tube", *[((0.1, 1), (-1, 1), (0.1, 1))] * 2))
    ['E', 'm', 'rho']
    """
    names = _names(_GAS, len(states[0]) - 2, states)
    return {name: Pieces(shape, tuple(states), Fluid(float(gamma)), i, centre, radius) for i, name in enumerate(names)}


def water_pieces(
    shape: str, *states: tuple[Range, ...], centre: Range = (0.5, 0.5), radius: Range = (0.25, 0.25)
) -> dict[str, FieldLaw]:
    """Laws of depth and momenta of pieces of constant states; see `Pieces`."""
    names = _names(_WATER, len(states[0]) - 1, states)
    return {name: Pieces(shape, tuple(states), Fluid(None), i, centre, radius) for i, name in enumerate(names)}


def steps(count: int = 6, low: float = -1.0, high: float = 1.0) -> Steps:
    """Pieces of constant values, uniform in a range; see `Steps`."""
    return Steps(count, (float(low), float(high)))


def levels(count: int, *values: float) -> Steps:
    """Pieces of constant values, neighbours different, of a few given ones: levels(6, -1, 1) are random signs."""
    return Steps(count, tuple(float(v) for v in values), choose=True)


def _names(table: dict, dimension: int, given: tuple) -> tuple[str, ...]:
    if dimension not in table:
        raise SettingError(
            given=f"{len(given)} quantities or states of another number",
            needed="density (or depth), one or two velocities, and pressure of a gas",
            remedy="Name one law (or range) for each.",
        )
    return table[dimension]
