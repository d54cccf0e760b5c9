"""A page with every problem: its picture, its equation, what varies, who solves it, and what that costs here.

    sciml gallery --out gallery

Each problem is solved, drawn and measured once; what is finished is kept in the folder, so the command goes on where it
stopped and does again only what has changed.
"""

import dataclasses
import html
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pdes.cost import Cost, measure
from pdes.manifest import version
from pdes.problem import Problem, get, names
from pdes.progress import track
from sciml.html_style import STYLE
from solvers.errors import UserError
from solvers.files import atomic_path, write_bytes

_THUMB = 200
_STYLE = """
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:18px;margin:12px 0}
.card{background:var(--card);box-shadow:0 0 0 1px var(--line);border-radius:10px;padding:14px;overflow:hidden}
.card img.thumb{width:100%;height:170px;object-fit:contain;background:var(--soft);border-radius:6px;display:block}
.card h3{font-size:16px;margin:10px 0 2px;overflow-wrap:anywhere}.card p{font-size:13.5px;margin:4px 0}
.card math{font-size:14px;margin:6px 0;display:block;overflow-x:auto;text-align:left}
.card details{font-size:13.5px}.card details[open]{grid-column:1/-1}.card:has(details[open]){grid-column:1/-1}
.card details img{max-width:100%;display:block;margin:10px 0;background:#fff;border-radius:6px}
.card summary{cursor:pointer;color:var(--accent)}
"""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One problem of the gallery, or why it has no picture."""

    problem: Problem
    cost: Cost | None
    error: str = ""


def gallery(
    folder: str | Path,
    problems: Sequence[str] | None = None,
    *,
    resolution: int | None = None,
    films: bool = False,
    progress: bool = True,
) -> list[Entry]:
    """Write `index.html`, `overview.png` and the folder `images`.

    Parameters
    ----------
    folder : where; made if it is missing.
    problems : names; None takes all that come with the package.
    resolution : points per axis; None takes 128, 64 or 32 by dimension.
    films : also an animation of each problem in time, two-dimensional or ordinary (takes longer, and space).
    progress : show a bar.

    Returns
    -------
    What the page shows. A problem that fails is on the page with its message, and does not stop the others.

    Raises
    ------
    UnknownName : no such problem.
    """
    folder = Path(folder)
    chosen = [get(name) for name in (names() if problems is None else problems)]
    entries = []
    with track(f"gallery: {len(chosen)} problems", len(chosen), 0, progress) as advance:
        for problem in chosen:
            entries.append(_entry(folder / "images", problem, resolution, films))
            advance()
    write_bytes(folder / "index.html", page(entries, films).encode())
    drawn = [e for e in entries if e.cost is not None]
    pictured = [e for e in drawn if e.problem.domain.dimension] or drawn
    if pictured:
        _overview(folder, [e.problem.name for e in pictured])
    return entries


def _entry(images: Path, problem: Problem, resolution: int | None, films: bool) -> Entry:
    """Solve, draw and measure, unless that was done for this very problem."""
    record = images / f"{problem.name}.json"
    moving = films and problem.time is not None and problem.domain.dimension != 1
    key = {"digest": problem.digest(), "version": version(), "asked": resolution, "film": moving}
    if record.exists():
        held = json.loads(record.read_text(encoding="utf-8"))
        if all(held.get(name) == value for name, value in key.items()):
            known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in held["cost"].items()}
            return Entry(problem, Cost(**known))
    try:
        data, cost = measure(problem, resolution, n=2)
    except UserError as error:
        return Entry(problem, None, str(error))
    data.plot(images / f"{problem.name}.png", samples=2, frames=5)
    write_bytes(images / f"{problem.name}.thumb.png", _thumb(data))
    if moving:
        data.animate(images / f"{problem.name}.gif", fields=list(data.fields)[:2])
    write_bytes(record, json.dumps(key | {"cost": dataclasses.asdict(cost)}, indent=1).encode())
    return Entry(problem, cost)


def _thumb(data: Any) -> bytes:
    from matplotlib.figure import Figure

    from pdes.pictures import thumbnail

    figure = Figure(figsize=(2, 2), dpi=_THUMB // 2, layout="constrained")
    thumbnail(figure.subplots(), data)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _overview(folder: Path, shown: Sequence[str]) -> None:
    """All thumbnails in one picture."""
    from matplotlib.figure import Figure
    from PIL import Image

    columns = max(1, math.ceil(math.sqrt(1.6 * len(shown))))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(1.5 * columns, 1.65 * rows), dpi=110, layout="constrained")
    cells: Any = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell, name in zip(cells, shown, strict=False):
        cell.imshow(Image.open(folder / "images" / f"{name}.thumb.png"))
        cell.set_title(name, fontsize=7)
    for cell in cells:
        cell.set_axis_off()
    with atomic_path(folder / "overview.png") as temporary:
        figure.savefig(temporary, format="png")


# -- the page -----------------------------------------------------------------------------------------------------------


_SECTIONS: tuple[tuple[str, Callable[[Problem], bool]], ...] = (
    ("In time, one dimension", lambda p: p.domain.dimension == 1 and p.time is not None),
    ("In time, two and three dimensions", lambda p: p.domain.dimension > 1 and p.time is not None),
    ("Steady", lambda p: p.time is None),
    ("Ordinary equations", lambda p: p.domain.dimension == 0),
)


def page(entries: Sequence[Entry], films: bool = False) -> str:
    """The page as text; pictures stand beside it in `images`."""
    body = []
    for heading, belongs in _SECTIONS:
        cards = [_card(e, films) for e in entries if belongs(e.problem)]
        if cards:
            body.append(
                f"<h2>{heading} <span class='muted'>({len(cards)})</span></h2><div class='cards'>{''.join(cards)}</div>"
            )
    lead = (
        f"{len(entries)} problems of sciml-operators {html.escape(version())}. Times are for one sample on one process of the "
        "machine that made this page; label errors are distances to a solve on a finer grid with a smaller step."
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Problems</title>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<style>{STYLE}{_STYLE}</style></head><body><main><h1>Problems</h1><p class='lead'>{lead}</p>"
        f"{''.join(body)}</main></body></html>"
    )


def _card(entry: Entry, films: bool) -> str:
    problem, cost = entry.problem, entry.cost
    name = html.escape(problem.name)
    head = f"<h3>{name}</h3><p>{html.escape(problem.description)}</p>{problem.equation.mathml()}"
    if cost is None:
        return f"<div class='card'>{head}<p><b>No picture:</b> {html.escape(entry.error)}</p></div>"
    moving = films and problem.time is not None and problem.domain.dimension != 1
    film = f"<img loading='lazy' src='images/{name}.gif' alt='{name} in motion'>" if moving else ""
    facts = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts_of(problem, cost))
    return (
        f"<div class='card'><img class='thumb' loading='lazy' src='images/{name}.thumb.png' alt='{name}'>{head}"
        "<details><summary>fields, recipe and cost</summary>"
        f"<img loading='lazy' src='images/{name}.png' alt='fields of {name}'>{film}<dl>{facts}</dl></details></div>"
    )


# -- facts, for the page and for the terminal ---------------------------------------------------------------------------


def facts_of(problem: Problem, cost: Cost | None = None) -> list[tuple[str, str]]:
    """Recipe, ranges, solver and (where measured) cost, as (name, text)."""
    held_out = problem.held_out().laws()
    laws = problem.laws()
    rows = [("on", where(problem))]
    if problem.times is not None:
        warm = f", after {problem.warm_up:g} that are not stored" if problem.warm_up else ""
        rows.append(("stored", f"{len(problem.times)} frames from {problem.times[0]:g} to {problem.times[-1]:g}{warm}"))
    rows += [(name, law) for name, law in laws.items()]
    rows += [(f"{name}, held out", law) for name, law in held_out.items() if laws.get(name) != law]
    rows += [("solver", repr(problem.solver))]
    finer = [f"{problem.refine} times finer"] if problem.refine > 1 else []
    finer += [f"at least {problem.compute_at_least} points per axis"] if problem.compute_at_least else []
    rows += [("solved on a grid", ", ".join(finer))] if finer else []
    rows += [("conserved", ", ".join(f"{k}: {v}" for k, v in problem.conserved.items()))] if problem.conserved else []
    if cost is not None:
        grid = " × ".join(map(str, cost.computed))
        rows += [
            ("one sample", f"{_seconds(cost.seconds)}{f' (solved on {grid})' if grid else ''}, {cost.bytes / 1e3:,.1f} kB"),
            ("the first", f"{_seconds(cost.first_seconds)}, with compilation and the measured error of its label"),
            ("label error", f"{cost.label_error:.1e} (relative L2)"),
        ]
    rows += [("source", problem.citation)] if problem.citation else []
    return rows


def where(problem: Problem) -> str:
    """Domain and sides, in a few words."""
    if not problem.domain.dimension:
        return "ordinary"
    boxes = " × ".join(f"[{start:g}, {stop:g}]" for start, stop in problem.domain.intervals().values())
    sides = sorted({side for name in problem.domain.names for side in problem.domain.sides(name)})
    return f"{boxes}, {'/'.join(sides)}"


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value >= 1 else f"{1e3 * value:.2g} ms"
