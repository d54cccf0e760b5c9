"""Datasets as pictures: panels of fields, space against time in one dimension, trajectories, and animations.

data.plot("fields.png")            one row per sample and field, one column per frame
data.animate("field.gif")          .gif, .html (with controls) or, where ffmpeg is installed, .mp4
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pdes.panels import Colours, colours_for
from solvers.errors import MissingPackage, SettingError, unknown_name
from solvers.files import atomic_path
from solvers.grid import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pdes.dataset import Dataset

_WIDTH, _HEIGHT = 2.3, 2.1
_MOST_PANELS = 400
_MOST_FRAMES = 200


@dataclass(frozen=True)
class Panel:
    """One set of axes: what stands above it, how it is drawn, and (fields in colour) the colours that it shares."""

    title: str
    draw: Callable[["Axes"], Any]
    colours: Colours | None = None
    group: str = ""


def plot(
    data: "Dataset",
    path: str | Path | None = None,
    *,
    samples: int | Sequence[int] = 2,
    fields: Sequence[str] | None = None,
    frames: int = 5,
    dpi: int = 110,
) -> "Figure":
    """Panels of a dataset.

    Two dimensions: a row per sample and field, a column per frame, the inputs in front; three: the middle slice in z. One
    dimension: space across and time upwards. Trajectories of ordinary equations: against time, and as a portrait.

    Parameters
    ----------
    data : what to show.
    path : also write there (.png, .pdf, .svg), whole or not at all.
    samples : how many, from the first on, or which.
    fields : names; None shows all.
    frames : of fields that change in time, spread over it evenly.
    dpi : pixels per inch of a .png.

    Returns
    -------
    A matplotlib `Figure`; notebooks show it as it is.

    Raises
    ------
    UnknownName, SettingError : no such field or sample; more panels than anyone could read.
    """
    from matplotlib.figure import Figure

    chosen = _samples(data, samples)
    names = _fields(data, fields)
    rows = [row for sample in chosen for row in _rows(data, sample, names, _frames(data, frames))]
    columns = max(len(panels) for _, panels in rows)
    if len(rows) * columns > _MOST_PANELS:
        raise SettingError(
            given=f"{len(rows)} rows of {columns} panels", needed=f"at most {_MOST_PANELS} panels", remedy="Show fewer samples."
        )
    wide = 2 if data.grid.dimension < 2 else 1
    figure = Figure(figsize=(0.5 + _WIDTH * wide * columns, 0.5 + _HEIGHT * len(rows)), layout="constrained", dpi=dpi)
    axes: Any = figure.subplots(len(rows), columns, squeeze=False)
    for (label, panels), line in zip(rows, axes, strict=True):
        for at, cell in enumerate(line):
            if at >= len(panels):
                cell.set_axis_off()
        _draw_row(figure, line, panels)
        line[0].set_ylabel(label + (f"\n{line[0].get_ylabel()}" if line[0].get_ylabel() else ""), fontsize=8)
    if data.provenance.get("family"):
        figure.suptitle(str(data.provenance["family"]), fontsize=11)
    if path is not None:
        _write(Path(path), lambda target, kind: figure.savefig(target, format=kind, dpi=dpi), ("png", "pdf", "svg"))
    return figure


def animate(
    data: "Dataset",
    path: str | Path,
    *,
    sample: int = 0,
    fields: Sequence[str] | None = None,
    fps: int | None = None,
    dpi: int = 90,
) -> Path:
    """One sample in motion, every stored frame (of more than 200, as many, evenly), colours and axes fixed over time.

    Parameters
    ----------
    data : a dataset in time.
    path : .gif, .html (a page with controls, nothing beside it) or .mp4 (needs ffmpeg).
    sample, fields : what to show; None shows all fields.
    fps : frames per second; None shows all in about six seconds, at 2 to 30 per second.
    dpi : pixels per inch.

    Raises
    ------
    SettingError : a steady dataset, or an unknown ending. MissingPackage : .mp4 without ffmpeg.
    """
    from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter, writers
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path, times = Path(path), data.times
    if times is None:
        raise SettingError(given="a steady dataset", needed="fields that change in time", remedy="Use plot() instead.")
    if path.suffix == ".mp4" and not writers.is_available("ffmpeg"):
        raise MissingPackage(
            given="no ffmpeg here", needed="ffmpeg for .mp4", remedy="Install it, or write a .gif or .html instead."
        )
    (sample,) = _samples(data, [sample])
    moving = [_Moving(data, name, sample) for name in _fields(data, fields)]
    if not data.grid.dimension:
        moving = moving[:1]
        moving[0].join([data.fields[name][sample] for name in _fields(data, fields)], _fields(data, fields))
    figure = Figure(figsize=(0.4 + 3.2 * len(moving), 3.3), layout="constrained", dpi=dpi)
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(1, len(moving), squeeze=False)[0]
    for one, cell in zip(moving, axes, strict=True):
        one.start(figure, cell)
    head = figure.suptitle("t = 0", fontsize=10)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # from here on nothing moves but the data

    def show(frame: int):
        head.set_text(f"t = {times[frame]:.4g}")
        for one in moving:
            one.show(frame)
        return []

    rate = fps or int(np.clip(min(len(times), _MOST_FRAMES) / 6, 2, 30))
    every = np.unique(np.linspace(0, len(times) - 1, min(len(times), _MOST_FRAMES)).astype(int)).tolist()
    film = FuncAnimation(figure, show, frames=every, interval=1000 / rate, blit=False)

    def write(target: str, kind: str) -> None:
        if kind == "html":
            Path(target).write_text(film.to_jshtml(fps=rate), encoding="utf-8")
        else:
            film.save(target, writer=PillowWriter(fps=rate) if kind == "gif" else FFMpegWriter(fps=rate), dpi=dpi)

    _write(path, write, ("gif", "html", "mp4"))
    return path


def thumbnail(axes: "Axes", data: "Dataset", sample: int = 0) -> None:
    """The most telling picture of one sample in one set of axes: last frame, space against time, or a portrait."""
    names = list(data.fields)
    rows = _rows(data, sample, names, _frames(data, 1, last=True))
    if data.grid.dimension >= 2 and data.times is not None:
        changes = [_variation(np.asarray(data.fields[name][sample, -1])) for name in names]
        panel = rows[int(np.argmax(changes))][1][-1]
    else:
        panel = rows[0][1][-1]
    panel.draw(axes)
    axes.set(xlabel="", ylabel="", title="")
    axes.set_xticks([])
    axes.set_yticks([])


# -- rows of panels -----------------------------------------------------------------------------------------------------


def _rows(data: "Dataset", sample: int, names: Sequence[str], frames: np.ndarray) -> list[tuple[str, list[Panel]]]:
    """(label, panels) of one sample."""
    about = [f"{name} = {values[sample]:.3g}" for name, values in data.parameters.items()][:4]
    label = "\n".join([f"sample {sample}", *about])
    inputs = [p for name, array in data.inputs.items() for p in _still(data.grid, name, np.asarray(array[sample]))]
    if not data.grid.dimension:
        return [(label, _trajectory(data, sample, names))]
    if data.times is None:
        return [(label, [*inputs, *(p for n in names for p in _still(data.grid, n, np.asarray(data.fields[n][sample])))])]
    if data.grid.dimension == 1:
        return [(label, [*inputs, *(p for n in names for p in _spacetime(data, n, np.asarray(data.fields[n][sample])))])]
    rows: list[tuple[str, list[Panel]]] = []
    blank = [Panel("", lambda axes: axes.set_axis_off()) for _ in inputs]
    for name in names:
        array = data.fields[name]
        if "time" not in array.dims:
            rows.append((label, [*inputs, *_still(data.grid, name, np.asarray(array[sample]))]))
            continue
        values = np.stack([np.asarray(array[sample, int(frame)]) for frame in frames])
        for part, shown in _components(name, values, 1 + data.grid.dimension):
            colours = colours_for(shown)
            panels = [
                _image(data.grid, f"{part}, t = {data.times[f]:.3g}", v, colours, part)
                for f, v in zip(frames, shown, strict=True)
            ]
            rows.append((label if not rows else "", [*(blank if rows else inputs), *panels]))
    return rows


def _still(grid: Grid, name: str, values: np.ndarray) -> list[Panel]:
    """A field without time: a curve or an image."""
    if not grid.dimension:
        return []
    if values.shape[: grid.dimension] != grid.shape:  # an input in time: its first frame stands for it
        values = values[0]
    panels = []
    for part, shown in _components(name, values, grid.dimension):
        if grid.dimension == 1:
            panels.append(Panel(part, _curves(grid.coordinates()[0], {"": shown}, "x")))
        else:
            panels.append(_image(grid, part, shown, colours_for(shown), part))
    return panels


def _image(grid: Grid, title: str, values: np.ndarray, colours: Colours, group: str) -> Panel:
    def draw(axes: "Axes"):
        image = axes.imshow(slice_of(values).T, **_look(grid, colours))
        axes.set_xticks([])
        axes.set_yticks([])
        return image

    return Panel(title, draw, colours, group)


def _look(grid: Grid, colours: Colours) -> dict[str, Any]:
    (left, right), (bottom, top) = ((a.start, a.stop) for a in grid.axes[:2])
    ratio = (right - left) / (top - bottom)
    return {
        "origin": "lower",
        "extent": (left, right, bottom, top),
        "cmap": colours.name,
        "vmin": colours.low,
        "vmax": colours.high,
        "aspect": "equal" if 1 / 3 <= ratio <= 3 else "auto",
        "interpolation": "nearest",
    }


def slice_of(values: np.ndarray) -> np.ndarray:
    """(x, y), the middle slice in z where there is one."""
    return values if values.ndim == 2 else values[..., values.shape[-1] // 2]


def _spacetime(data: "Dataset", name: str, values: np.ndarray) -> list[Panel]:
    """(time, x) as an image; a field without time as a curve."""
    if values.shape[0] != len(data.times) or values.ndim == 1:  # type: ignore[arg-type]
        return _still(data.grid, name, values)
    return [_history(data, part, shown) for part, shown in _components(name, values, 2)]


def _history(data: "Dataset", title: str, values: np.ndarray) -> Panel:
    colours = colours_for(values)
    axis, times = data.grid.axes[0], np.asarray(data.times)

    def draw(axes: "Axes"):
        image = axes.pcolormesh(
            _edges(axis.coordinates()),
            _edges(times),
            values,
            cmap=colours.name,
            vmin=colours.low,
            vmax=colours.high,
            rasterized=True,
        )
        axes.set(xlabel="x", ylabel="t")
        axes.tick_params(labelsize=7)
        return image

    return Panel(title, draw, colours, title)


def _edges(points: np.ndarray) -> np.ndarray:
    """Borders between points: halfway, and as far outside as inside."""
    if len(points) == 1:
        return np.array([points[0] - 0.5, points[0] + 0.5])
    middle = (points[1:] + points[:-1]) / 2
    return np.concatenate([[2 * points[0] - middle[0]], middle, [2 * points[-1] - middle[-1]]])


def _trajectory(data: "Dataset", sample: int, names: Sequence[str]) -> list[Panel]:
    values = {name: np.asarray(data.fields[name][sample]) for name in names}
    flat = {p: v for n, a in values.items() for p, v in _components(n, a, 1)}
    panels = [Panel("", _curves(np.asarray(data.times), flat, "t"))]
    if len(flat) > 1:
        (a, x), (b, y) = list(flat.items())[:2]

        def portrait(axes: "Axes"):
            axes.plot(x, y, lw=0.8)
            axes.plot(x[:1], y[:1], "o", ms=3, color="black")
            axes.set(xlabel=a, ylabel=b)
            axes.tick_params(labelsize=7)

        panels.append(Panel("", portrait))
    return panels


def _curves(x: np.ndarray, curves: dict[str, np.ndarray], across: str) -> Callable:
    def draw(axes: "Axes"):
        for name, values in curves.items():
            axes.plot(x, values, lw=1, label=name)
        axes.set_xlabel(across)
        axes.tick_params(labelsize=7)
        if 1 < len(curves) <= 6:
            axes.legend(fontsize=6, frameon=False)
        elif len(curves) == 1:
            axes.set_ylabel(next(iter(curves)))

    return draw


def _components(name: str, values: np.ndarray, plain: int) -> list[tuple[str, np.ndarray]]:
    """Scalar parts of a field: itself, or name[0], name[1], ... of a vector."""
    if values.ndim <= plain:
        return [(name, values)]
    return [(f"{name}[{i}]", values[..., i]) for i in range(values.shape[-1])]


def _draw_row(figure: "Figure", cells: Sequence["Axes"], panels: Sequence[Panel]) -> None:
    """Draw the panels; those of one group have one colour bar."""
    groups: dict[str, tuple[Any, list]] = {}
    for cell, panel in zip(cells, panels, strict=False):
        image = panel.draw(cell)
        if panel.title:
            cell.set_title(panel.title, fontsize=8)
        if panel.colours is not None:
            groups.setdefault(panel.group, (image, []))[1].append(cell)
    for image, members in groups.values():
        bar = figure.colorbar(image, ax=members, shrink=0.85, aspect=18, pad=0.02)
        bar.ax.tick_params(labelsize=6)


# -- animation ----------------------------------------------------------------------------------------------------------


class _Moving:
    """One field of an animation."""

    def __init__(self, data: "Dataset", name: str, sample: int):
        self.grid, self.name, self.times = data.grid, name, np.asarray(data.times)
        self.values = np.asarray(data.fields[name][sample])
        if data.fields[name].dims[-1] == "component":
            self.values = self.values[..., 0]
        if "time" not in data.fields[name].dims:
            self.values = np.broadcast_to(self.values, (len(self.times), *self.values.shape))
        self.together: dict[str, np.ndarray] = {}
        self.artist: Any = None

    def join(self, trajectories: list, names: Sequence[str]) -> None:
        """Ordinary equations: all unknowns in one portrait."""
        self.together = {p: v for n, a in zip(names, trajectories, strict=True) for p, v in _components(n, np.asarray(a), 1)}

    def start(self, figure: "Figure", axes: "Axes") -> None:
        axes.set_title(self.name if self.grid.dimension else "", fontsize=9)
        if not self.grid.dimension:
            (a, x), (b, y) = ([("t", self.times), *self.together.items()])[-2:]
            if len(self.together) > 1:
                (a, x), (b, y) = list(self.together.items())[:2]
            axes.plot(x, y, lw=0.6, alpha=0.25)
            self.x, self.y, (self.artist,) = x, y, axes.plot(x[:1], y[:1], lw=1.2, marker="o", ms=4, markevery=[-1])
            axes.set(xlabel=a, ylabel=b)
        elif self.grid.dimension == 1:
            (self.artist,) = axes.plot(self.grid.coordinates()[0], self.values[0], lw=1.2)
            low, high = float(self.values.min()), float(self.values.max())
            room = 0.05 * (high - low) or 1.0
            axes.set(xlabel="x", ylim=(low - room, high + room))
        else:
            colours = colours_for(self.values)
            self.artist = axes.imshow(slice_of(self.values[0]).T, **_look(self.grid, colours))
            axes.set_xticks([])
            axes.set_yticks([])
            figure.colorbar(self.artist, ax=axes, shrink=0.85).ax.tick_params(labelsize=7)

    def show(self, frame: int) -> None:
        if not self.grid.dimension:
            self.artist.set_data(self.x[: frame + 1], self.y[: frame + 1])
        elif self.grid.dimension == 1:
            self.artist.set_ydata(self.values[frame])
        else:
            self.artist.set_data(slice_of(self.values[frame]).T)


# -- choices ------------------------------------------------------------------------------------------------------------


def _samples(data: "Dataset", samples: int | Sequence[int]) -> list[int]:
    chosen = list(range(min(samples, len(data)))) if isinstance(samples, int) else [int(s) for s in samples]
    if not chosen or not all(-len(data) <= s < len(data) for s in chosen):
        raise SettingError(given=f"samples {samples!r}", needed=f"some of 0 to {len(data) - 1}", remedy="Choose others.")
    return [s % len(data) for s in chosen]


def _fields(data: "Dataset", fields: Sequence[str] | None) -> list[str]:
    names = list(data.fields) if fields is None else list(fields)
    for name in names:
        if name not in data.fields:
            raise unknown_name("field", name, data.fields)
    return names


def _frames(data: "Dataset", frames: int, last: bool = False) -> np.ndarray:
    if data.times is None:
        return np.zeros(1, int)
    if frames < 1:
        raise SettingError(given=f"frames={frames}", needed="at least 1", remedy="Show more.")
    if last or frames == 1:
        return np.array([len(data.times) - 1])
    return np.unique(np.linspace(0, len(data.times) - 1, frames).round().astype(int))


def _variation(values: np.ndarray) -> float:
    """How much there is to see."""
    return float(np.std(values) / (np.max(np.abs(values)) or 1.0))


def _write(path: Path, write: Callable[[str, str], None], endings: tuple[str, ...]) -> None:
    kind = path.suffix.lstrip(".").lower()
    if kind not in endings:
        raise SettingError(
            given=f"{path.name!r}",
            needed=f"a file ending in {', '.join('.' + e for e in endings)}",
            remedy="Change the ending.",
        )
    with atomic_path(path) as temporary:
        named = temporary.with_name(f"{temporary.name}.{kind}")  # writers of films go by the ending
        try:
            write(str(named), kind)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
