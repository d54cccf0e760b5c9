"""Grids on boxes: where the points of an array lie, and what holds on each side.

Four kinds of axis, n points on [start, stop], L = stop - start:

    periodic   x_j = start + j L / n               end point omitted; with `cells`, x_j = start + (j + 1/2) L / n
    node       x_j = start + j L / (n - 1)         both walls included
    cell       x_j = start + (j + 1/2) L / n       cell centres, walls half a cell away
    interior   x_j = start + (j + 1) L / (n + 1)   nodes without the two walls
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from solvers.errors import GridError, SettingError

KINDS = ("periodic", "node", "cell", "interior")
CONDITIONS = ("periodic", "dirichlet", "neumann", "robin", "outflow", "wall", "free")


@dataclass(frozen=True)
class Axis:
    """One axis of a grid.

    Parameters
    ----------
    name : "x", "y" or "z".
    size : number of stored points, >= 1.
    start, stop : the interval, start < stop; for a periodic axis stop is the image of start.
    kind : where the points lie, one of `KINDS`.
    boundary : condition at (start, stop), of `CONDITIONS`; both "periodic" exactly for kind "periodic".
    cells : of a periodic axis: values belong to cells (finite volumes), points are their centres. Coarser grids then take
        means over cells instead of Fourier modes, which jumps would make ring.
    """

    name: str
    size: int
    start: float = 0.0
    stop: float = 1.0
    kind: str = "periodic"
    boundary: tuple[str, str] = ("periodic", "periodic")
    cells: bool = False

    def __post_init__(self):
        object.__setattr__(self, "boundary", tuple(self.boundary))
        if self.kind not in KINDS:
            raise SettingError(given=f"axis kind {self.kind!r}", needed=f"one of {KINDS}", remedy="Change `kind`.")
        if any(side not in CONDITIONS for side in self.boundary) or len(self.boundary) != 2:
            raise SettingError(given=f"boundary {self.boundary}", needed=f"two of {CONDITIONS}", remedy="Change `boundary`.")
        if (self.kind == "periodic") != (self.boundary == ("periodic", "periodic")) or (
            self.kind != "periodic" and "periodic" in self.boundary
        ):
            raise SettingError(
                given=f"axis {self.name!r} of kind {self.kind!r} with boundary {self.boundary}",
                needed="kind 'periodic' with two periodic sides, or neither",
                remedy="Give walls a condition such as 'dirichlet', or make the axis periodic.",
            )
        if self.cells and self.kind != "periodic":
            raise SettingError(
                given=f"cells=True for an axis of kind {self.kind!r}",
                needed="a periodic axis",
                remedy="Use kind='cell' with walls.",
            )
        if self.size < 1 or (self.kind == "node" and self.size < 2):
            raise GridError(
                given=f"{self.size} points on axis {self.name!r}", needed="at least 1 (2 for nodes)", remedy="Enlarge the grid."
            )
        if not 0 < self.stop - self.start < np.inf:
            raise SettingError(
                given=f"axis {self.name!r} from {self.start} to {self.stop}",
                needed="start < stop, both finite",
                remedy="Change them.",
            )

    @property
    def length(self) -> float:
        """Length of the interval."""
        return self.stop - self.start

    @property
    def spacing(self) -> float:
        """Distance between neighbouring points."""
        return (
            self.length
            / {"periodic": self.size, "node": self.size - 1, "cell": self.size, "interior": self.size + 1}[self.kind]
        )

    @property
    def is_cell(self) -> bool:
        """Values belong to cells, with or without walls."""
        return self.kind == "cell" or self.cells

    def coordinates(self) -> np.ndarray:
        """Positions of the points, (size,) float64."""
        offset = 0.5 if self.is_cell else {"periodic": 0.0, "node": 0.0, "interior": 1.0}[self.kind]
        return self.start + (np.arange(self.size) + offset) * self.spacing


@dataclass(frozen=True)
class Grid:
    """A tensor grid: one `Axis` per dimension, in the order of the array's axes; none for a point (ordinary equations).

    Examples
    --------
    >>> Grid.box("cell", 64, dimension=2, boundary="dirichlet").spacing
    (0.015625, 0.015625)
    """

    axes: tuple[Axis, ...]

    def __post_init__(self):
        object.__setattr__(self, "axes", tuple(self.axes))
        if len(self.axes) > 3:
            raise GridError(
                given=f"{len(self.axes)} axes", needed="at most 3", remedy="Describe space only; time is not an axis of a grid."
            )

    @classmethod
    def box(
        cls,
        kind: str,
        size: int | tuple[int, ...],
        *,
        dimension: int | None = None,
        start=0.0,
        stop=1.0,
        boundary: str | None = None,
    ):
        """Same kind and condition on every axis; `size`, `start`, `stop` are scalars or one value per axis."""
        dimension = dimension or max((len(v) for v in (size, start, stop) if isinstance(v, (tuple, list))), default=1)
        spread = lambda v: tuple(v) if isinstance(v, (tuple, list)) else (v,) * dimension  # noqa: E731
        side = boundary or ("periodic" if kind == "periodic" else "free")
        if not 1 <= dimension <= 3 or any(len(spread(v)) != dimension for v in (size, start, stop)):
            raise GridError(
                given=f"size {size}, start {start}, stop {stop} in {dimension} dimensions",
                needed="1 to 3 dimensions, and one value per axis or one for all",
                remedy="Make them agree.",
            )
        rows = zip("xyz"[:dimension], spread(size), spread(start), spread(stop), strict=True)
        return cls(tuple(Axis(name, int(n), float(a), float(b), kind, (side, side)) for name, n, a, b in rows))

    @property
    def dimension(self) -> int:
        """Number of space dimensions."""
        return len(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Axis names."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points per axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing per axis."""
        return tuple(axis.spacing for axis in self.axes)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Domain length per axis."""
        return tuple(axis.length for axis in self.axes)

    @property
    def is_periodic(self) -> bool:
        """Every axis is periodic."""
        return all(axis.kind == "periodic" for axis in self.axes)

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """1-D coordinates of each axis."""
        return tuple(axis.coordinates() for axis in self.axes)

    def mesh(self) -> tuple[np.ndarray, ...]:
        """Coordinates broadcast to the full shape, one array per axis."""
        return tuple(np.meshgrid(*self.coordinates(), indexing="ij"))

    def with_shape(self, shape: int | tuple[int, ...]) -> "Grid":
        """The same domain at another resolution."""
        sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,) * self.dimension
        if len(sizes) != self.dimension:
            raise GridError(
                given=f"shape {sizes}", needed=f"{self.dimension} sizes ({', '.join(self.names)})", remedy="Pass one per axis."
            )
        return Grid(tuple(replace(axis, size=int(n)) for axis, n in zip(self.axes, sizes, strict=True)))

    def to_json(self) -> list[dict]:
        """Plain lists and dictionaries, for headers and configurations."""
        return [asdict(axis) | {"boundary": list(axis.boundary)} for axis in self.axes]

    @classmethod
    def from_json(cls, rows: list[dict]) -> "Grid":
        """Inverse of `to_json`."""
        return cls(tuple(Axis(**{**row, "boundary": tuple(row["boundary"])}) for row in rows))
