"""Figures of recovered equations: the data, what the equations say about them, and about a start that they have not seen.

Drawn from stored rows: equations are read back from their text and simulated again, data are made again from their seeds. Of
each system one HTML page, `<folder>/<script>/<system>.html`, and of each script one contact sheet,
benchmarks/results/recovery_<script>.png.
"""

import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy

from benchmarks.record import RESULTS
from sciml.charts import Series
from sciml.recovery.equations import System
from sciml.recovery.features import Features, state
from sciml.recovery.proposals import coefficients, terms
from sciml.recovery.report import document, drawing
from solvers.files import write_bytes

COLUMNS, CELL, DPI = 7, (1.55, 0.95), 75
"""Of a contact sheet; inches of a cell."""
FEW, FEW_COLUMNS, LARGER = 21, 4, 1.75
"""Up to so many systems get larger cells."""
COLOURS = 32
"""Of the picture's palette, which makes it a third as large."""
MANY = 300
"""Points from which on they are drawn small."""
GAP = 0.06
"""Between the two halves of a cell, in parts of one."""


@dataclass(frozen=True)
class Panel:
    """One trajectory (or profile): what was recorded, the truth, what the equations say.

    t : (time,), or coordinates.   truth, found : (time, component); None for what is not known or runs away at once.
    data_t, data : recorded times and states, none of a start that was held out.
    """

    title: str
    t: np.ndarray
    truth: np.ndarray | None
    found: np.ndarray | None
    data_t: np.ndarray | None = None
    data: np.ndarray | None = None


@dataclass(frozen=True)
class Figure:
    """A system's page. names : of components.   equations : lines of text.   panels : pairs of (data, held-out start)."""

    name: str
    names: Sequence[str]
    equations: Sequence[str]
    panels: Sequence[Panel]
    x_label: str = "time"


def parsed(equations: Sequence[str], names: Sequence[str] | None = None) -> System:
    """Stored right-hand sides as a system that can be simulated. names : of the states, x0, x1, ... if None."""
    names = tuple(names or (f"x{i}" for i in range(len(equations))))
    symbols: dict[str, Any] = {name: state(i) for i, name in enumerate(names)}
    sides = [terms(sympy.parse_expr(e, symbols), len(equations)) for e in equations]
    features = Features({(f.expression, f.start): f for side in sides for _, f in side}.values(), len(equations))
    C, constants = coefficients([sides], features)
    return System(features, C[0], constants[0], names)


def page(figure: Figure) -> str:
    """A system's page."""
    lines = "\n".join(html.escape(e) for e in figure.equations)
    parts = [f"<h1>{html.escape(figure.name)}</h1><pre>{lines}</pre>"]
    for panel in figure.panels:
        drawn = []
        for d, name in enumerate(figure.names):
            series = []
            if panel.data is not None and panel.data_t is not None:
                series.append(Series("data", panel.data_t, panel.data[:, d], "var(--classical)", "dots"))
            if panel.truth is not None:
                series.append(Series("truth", panel.t, panel.truth[:, d], "var(--c0)"))
            if panel.found is not None:
                series.append(Series("recovered equations", panel.t, panel.found[:, d], "var(--c1)", "dashed"))
            drawn.append(drawing(name, series, name, figure.x_label))
        parts.append(f"<h2>{html.escape(panel.title)}</h2><div class='pair'>{''.join(drawn)}</div>")
    return document(figure.name, parts)


def sheet(figures: Sequence[Figure], path: Path) -> None:
    """All systems on one picture, their first component: left the data and their simulation, right the held-out start."""
    from matplotlib.figure import Figure as Canvas
    from PIL import Image

    columns, scale = (COLUMNS, 1.0) if len(figures) > FEW else (min(FEW_COLUMNS, len(figures)), LARGER)
    if len(figures) == 1:
        scale = 2 * LARGER
    rows = -(-len(figures) // columns)
    canvas = Canvas(figsize=(columns * scale * CELL[0], rows * scale * CELL[1] + 0.3), layout="constrained")
    axes = canvas.subplots(rows, columns, squeeze=False).ravel()
    for one in axes:
        one.set_axis_off()
    for one, figure in zip(axes, figures, strict=False):
        one.set_title(figure.name, fontsize=6, pad=1)
        for half, panel in enumerate(figure.panels[:2]):
            _half(one, panel, half)
    canvas.supxlabel("left: data (dots), truth (grey), recovered (blue); right: held-out start (orange)", fontsize=7)
    drawn, small = io.BytesIO(), io.BytesIO()
    canvas.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(small, "png", optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, small.getvalue())


def _half(axes: Any, panel: Panel, half: int) -> None:
    """One panel in its half of a cell, scaled to it."""
    reference = panel.truth if panel.truth is not None else panel.data
    if reference is None:
        return
    first, span = panel.t[0], np.ptp(panel.t)
    low, high = np.nanmin(reference[:, 0]), np.nanmax(reference[:, 0])

    def draw(t: np.ndarray | None, values: np.ndarray | None, style: str = "-", **how: Any) -> None:
        if t is not None and values is not None:
            height = np.clip((values[:, 0] - low) / max(high - low, 1e-300), -0.3, 1.3)
            axes.plot((t - first) / span + half * (1 + GAP), height, style, **how)

    points = 0 if panel.data_t is None else len(panel.data_t)
    draw(panel.data_t, panel.data, ".", color="0.6", markersize=1 if points > MANY else 3, markeredgewidth=0)
    draw(panel.t, panel.truth, color="0.35", linewidth=0.9)
    draw(panel.t, panel.found, color=("tab:blue", "tab:orange")[half], linewidth=0.7, dashes=(3, 1.5))


def write(script: str, figures: Iterable[Figure], folder: Path, results: Path = RESULTS) -> None:
    """Pages into the folder, the contact sheet to the results."""
    made = list(figures)
    for one in made:
        path = Path(folder) / script / f"{re.sub(r'[^a-zA-Z0-9]+', '_', one.name)}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, page(one).encode())
    if made:
        sheet(made, Path(results) / f"recovery_{script}.png")
