"""Pages of tables, in Markdown, from stored results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from solvers.errors import DataError
from solvers.files import write_bytes


def section(title: str, head: Sequence[str], body: list[list[str]]) -> str:
    """A heading and a Markdown table."""
    return "\n".join([f"## {title}", "", table(head, body), ""])


def table(head: Sequence[str], body: list[list[str]]) -> str:
    """A Markdown table."""
    rows = [list(head), ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shown(values: Sequence[float]) -> str:
    """Mean and spread over seeds."""
    if not values:
        return "–"
    return f"{np.mean(values):.2g}" + (f" ± {np.std(values):.1g}" if len(values) > 1 else "")


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "–" if value is None else f"{value:.3g}"


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- <name> -->` and `<!-- end of <name> -->` in a page.

    Raises
    ------
    DataError : the page does not have the two marks once each, in this order.
    """
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = path.read_text()
    head, mark, rest = page.partition(first)
    _, other, tail = rest.partition(last)
    if not mark or not other or first in tail:
        raise DataError(
            given=f"{path.name}", needed=f"{first} and {last}, once each", remedy="Put them where the text shall be."
        )
    write_bytes(path, f"{head}{first}\n{text.strip()}\n{last}{tail}".encode())
