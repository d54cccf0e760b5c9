"""Pages of tables, in Markdown, from stored results."""

from collections.abc import Sequence

import numpy as np


def section(title: str, head: Sequence[str], body: list[list[str]]) -> str:
    """A heading and a Markdown table."""
    rows = [list(head), ["---"] * len(head), *body]
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(row)} |" for row in rows), ""])


def shown(values: Sequence[float]) -> str:
    """Mean and spread over seeds."""
    if not values:
        return "–"
    return f"{np.mean(values):.2g}" + (f" ± {np.std(values):.1g}" if len(values) > 1 else "")


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "–" if value is None else f"{value:.3g}"
