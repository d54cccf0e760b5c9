"""Tables for the terminal: problems, operators, reports. Built from the folders themselves, so nothing is listed twice."""

import ast
import dataclasses
import importlib
import importlib.util
from functools import cache
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from sciml.operator import operator_names
from solvers.errors import unknown_name


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _facts(rows: list[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        if value:
            table.add_row(key, escape(value))
    return table


# -- problems ---------------------------------------------------------------------------------------------------------


def problem_table() -> Table:
    """Every problem: equation, domain and what varies."""
    import pdes

    table = _table("problem", "equation", "on", "varies")
    for name in pdes.names():
        problem = pdes.get(name)
        table.add_row(
            f"[cyan]{name}[/]", escape(str(problem.equation)), escape(_where(problem)), escape(", ".join(problem.laws()))
        )
    return table


def problem_details(problem: Any) -> RenderableType:
    """All there is to know of one problem."""
    import pdes

    laws = [(f"  {name}", str(law)) for name, law in problem.laws().items()]
    times = "" if problem.time is None else f"{len(problem.times)} frames from {problem.times[0]:g} to {problem.times[-1]:g}"
    held_out = [(f"  {name}", str(law)) for name, law in problem.held_out().laws().items() if problem.laws().get(name) != law]
    rows = [
        ("equation", str(problem.equation)),
        ("LaTeX", problem.equation.latex()),
        ("on", _where(problem)),
        ("stored", times),
        ("solver", repr(problem.solver)),
        ("laws", " "),
        *laws,
        *([("held out", " "), *held_out] if held_out else []),
        ("source", problem.citation),
    ]
    example = f"\n[dim]sciml generate {problem.name} --n 100 --resolution 64 --out {problem.name}.h5[/]"
    heading = f"[bold cyan]{problem.name}[/]  {escape(problem.description)}"
    assert problem.name in pdes.names()
    return Group(heading, _facts(rows), example)


def _where(problem: Any) -> str:
    boxes = " × ".join(f"[{start:g}, {stop:g}]" for start, stop in problem.domain.intervals().values())
    sides = sorted({side for name in problem.domain.names for side in problem.domain.sides(name)})
    return f"{boxes}, {'/'.join(sides)}"


# -- operators --------------------------------------------------------------------------------------------------------


@cache
def _source(name: str) -> tuple[str, list[str]]:
    """First line of an operator module's docstring and its sizes, read without running it (no torch)."""
    spec = importlib.util.find_spec(f"sciml.operators.{name}")
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    sizes: list[str] = []
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(t, ast.Name) and t.id == "PRESETS" for t in targets) and isinstance(node.value, ast.Dict):  # type: ignore[union-attr]
            sizes = [k.value for k in node.value.keys if isinstance(k, ast.Constant)]  # type: ignore[union-attr]
    return (ast.get_docstring(tree) or "").partition("\n")[0], sizes


def operator_table() -> Table:
    """Every operator, its sizes and what it is."""
    table = _table("operator", "sizes", "what it is")
    for name in operator_names():
        summary, sizes = _source(name)
        table.add_row(f"[cyan]{name}[/]", escape(" ".join(sizes) or "–"), escape(summary))
    return table


def operator_details(name: str) -> RenderableType:
    """The docstring of an operator's module and its settings at every size."""
    if name not in operator_names():
        raise unknown_name("operator", name, operator_names())
    module = importlib.import_module(f"sciml.operators.{name}")
    presets: dict[str, dict[str, Any]] = getattr(module, "PRESETS", {})
    table = _table("size", "settings")
    for size, settings in presets.items():
        table.add_row(
            f"[cyan]{name}:{size}[/]", escape(", ".join(f"{k}={_short(v)}" for k, v in settings.items()) or "defaults")
        )
    return Group(f"[bold cyan]{name}[/]", escape((module.__doc__ or "").strip()), "", table)


def _short(value: Any) -> str:
    return repr(dataclasses.asdict(value)) if dataclasses.is_dataclass(value) and not isinstance(value, type) else repr(value)


# -- reports ----------------------------------------------------------------------------------------------------------


def report_table(report: Any) -> RenderableType:
    """The table of a `Report`, best first."""
    header, *rows = report.rows()
    table = Table(title=f"{report.samples} test samples", title_justify="left", header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    floor = f"Labels themselves are {report.label_error:.2e} off (relative L2)." if report.label_error is not None else ""
    return Group(table, f"[dim]{floor}[/]") if floor else table
