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

from sciml.gallery import facts_of, where
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


def problem_table(text: str = "", kind: str | None = None) -> RenderableType:
    """Problems of a kind ("pde", "ode"; None is both) whose name, equation or description has `text` in it.

    The hundreds of ordinary equations stand in the table only when asked for, by kind or by text.

    Raises
    ------
    UnknownName : nothing has `text` in it.
    """
    import pdes

    kinds = [kind] if kind else ["pde", "ode"]
    found = {k: [p for p in map(pdes.get, pdes.names(k)) if _speaks_of(p, text)] for k in kinds}
    if not any(found.values()):
        raise unknown_name("problem", text, pdes.names(kind))
    hidden = len(found["ode"]) if not text and kind is None else 0
    table = _table("problem", "equation", "on", "varies")
    for problem in [p for k in kinds if not (hidden and k == "ode") for p in found[k]]:
        table.add_row(
            f"[cyan]{problem.name}[/]",
            escape(_cut(str(problem.equation), 150)),
            escape(where(problem)),
            escape(_cut(", ".join(n for n, law in problem.laws().items() if not law.startswith("fixed")), 60)),
        )
    more = f"[dim]And {hidden} systems of ordinary equations: sciml problems --kind ode, or any part of a name.[/]"
    return Group(table, more) if hidden else table


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _speaks_of(problem: Any, text: str) -> bool:
    return text.lower() in f"{problem.name} {problem.equation} {problem.description} {problem.citation}".lower()


def problem_details(problem: Any, cost: Any = None) -> RenderableType:
    """All there is to know of one problem; `cost` as `pdes.cost.measure` finds it."""
    heading = f"[bold cyan]{problem.name}[/]  {escape(problem.description)}"
    rows = [("equation", str(problem.equation)), ("LaTeX", problem.equation.latex()), *facts_of(problem, cost)]
    size = " --resolution 64" if problem.domain.dimension else ""
    example = f"\n[dim]sciml generate {problem.name} --n 100{size} --out {problem.name}.h5[/]"
    return Group(heading, _facts(rows), example)


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
