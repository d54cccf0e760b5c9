"""Where an equation lives: periodic boxes, boxes with walls, and a point. A domain gives a grid at any resolution."""

from dataclasses import dataclass

from solvers.errors import SettingError
from solvers.grid import Axis, Grid

Interval = tuple[float, float]


class Domain:
    """A box of one to three dimensions, or a point; see `Periodic`, `Box` and `Point`."""

    def intervals(self) -> dict[str, Interval]:
        """Interval of each axis that the domain has, in the order x, y, z."""
        return {name: getattr(self, name) for name in "xyz" if getattr(self, name) is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """Axis names."""
        return tuple(self.intervals())

    @property
    def dimension(self) -> int:
        """Number of space dimensions."""
        return len(self.intervals())

    @property
    def lengths(self) -> tuple[float, ...]:
        """Length of each axis."""
        return tuple(stop - start for start, stop in self.intervals().values())

    def sides(self, name: str) -> tuple[str, str]:
        """Conditions at the two ends of an axis."""
        raise NotImplementedError

    def points(self, name: str) -> tuple[str, bool]:
        """Where the points of an axis lie: its kind, and whether a periodic axis holds cells (see `solvers.grid.Axis`)."""
        raise NotImplementedError

    def grid(self, resolution: int | tuple[int, ...]) -> Grid:
        """Grid with `resolution` points per axis (one number, or one per axis)."""
        sizes = tuple(resolution) if isinstance(resolution, (tuple, list)) else (resolution,) * self.dimension
        if len(sizes) != self.dimension:
            raise SettingError(
                given=f"resolution {resolution}",
                needed=f"one number or {self.dimension} of them ({', '.join(self.names)})",
                remedy="Pass e.g. resolution=64.",
            )
        axes = []
        for size, (name, (start, stop)) in zip(sizes, self.intervals().items(), strict=True):
            kind, cells = self.points(name)
            axes.append(Axis(name, int(size), float(start), float(stop), kind, self.sides(name), cells))
        return Grid(tuple(axes))

    def _check(self):
        names = self.names
        if names not in (("x",), ("x", "y"), ("x", "y", "z")):
            raise SettingError(
                given=f"axes {names or 'none'}", needed="x, or x and y, or x, y and z", remedy="Name axes in this order."
            )
        for name, interval in self.intervals().items():
            if len(interval) != 2 or not interval[1] > interval[0]:
                raise SettingError(
                    given=f"{name}={interval}", needed="(start, stop) with start < stop", remedy="Swap or mend them."
                )
            object.__setattr__(self, name, (float(interval[0]), float(interval[1])))


@dataclass(frozen=True)
class Periodic(Domain):
    """A box whose opposite sides are one.

    Parameters
    ----------
    x, y, z : intervals (start, stop).
    cells : values are means over cells (finite volumes, solutions with jumps), not values at points.

    Examples
    --------
    >>> Periodic(x=(0, 1), y=(0, 2)).grid(8).spacing
    (0.125, 0.25)
    """

    x: Interval = (0.0, 1.0)
    y: Interval | None = None
    z: Interval | None = None
    cells: bool = False

    def __post_init__(self):
        self._check()

    def sides(self, name: str) -> tuple[str, str]:
        return ("periodic", "periodic")

    def points(self, name: str) -> tuple[str, bool]:
        return "periodic", self.cells


@dataclass(frozen=True)
class Box(Domain):
    """A box with walls.

    Parameters
    ----------
    x, y, z : intervals (start, stop).
    boundary : one condition for all sides ("dirichlet", "neumann", ...), or per axis {"x": "periodic", "y": ("neumann",
        "dirichlet")}. Values on the walls are zero unless the problem says otherwise.
    kind : "cell" (centres, walls half a cell away), "node" (walls included) or "interior" (nodes without walls).

    Examples
    --------
    >>> Box(x=(0, 1), y=(0, 1), boundary="dirichlet", kind="cell").grid(4).coordinates()[0]
    array([0.125, 0.375, 0.625, 0.875])
    """

    x: Interval = (0.0, 1.0)
    y: Interval | None = None
    z: Interval | None = None
    boundary: str | tuple | dict = "dirichlet"
    kind: str = "cell"

    def __post_init__(self):
        self._check()
        if isinstance(self.boundary, dict):  # kept as a tuple of pairs: a domain is hashable
            unknown = set(self.boundary) - set(self.names)
            if unknown or set(self.names) - set(self.boundary):
                raise SettingError(
                    given=f"boundary {self.boundary}", needed=f"one entry for each of {self.names}", remedy="Mend the keys."
                )
            pairs = {n: (v, v) if isinstance(v, str) else tuple(v) for n, v in self.boundary.items()}
            object.__setattr__(self, "boundary", tuple((name, pairs[name]) for name in self.names))
        self.grid(3)  # conditions and kind are checked by the grid
        if all(self.sides(name) == ("periodic", "periodic") for name in self.names):
            raise SettingError(given="a Box with periodic sides only", needed="a wall", remedy="Use Periodic(...).")

    def sides(self, name: str) -> tuple[str, str]:
        return (self.boundary, self.boundary) if isinstance(self.boundary, str) else dict(self.boundary)[name]

    def points(self, name: str) -> tuple[str, bool]:
        periodic = self.sides(name) == ("periodic", "periodic")
        return ("periodic", self.kind == "cell") if periodic else (self.kind, False)


@dataclass(frozen=True)
class Point(Domain):
    """No space at all: the domain of ordinary differential equations, whose unknowns depend on time alone.

    x, y and z are then free names for unknowns.

    Examples
    --------
    >>> Point().dimension, Point().grid(()).shape
    (0, ())
    """

    def intervals(self) -> dict[str, Interval]:
        return {}

    def sides(self, name: str) -> tuple[str, str]:
        raise AssertionError(f"a point has no axis {name!r}; please report this")

    def points(self, name: str) -> tuple[str, bool]:
        raise AssertionError(f"a point has no axis {name!r}; please report this")
