"""The table of a training: one row per epoch."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from solvers.errors import unknown_name
from solvers.files import write_bytes


class History:
    """Rows of named numbers: epoch, seconds, loss, validation and whatever the learner reports.

    `history["loss"]` is a column (NaN where a row lacks it), `history.rows` the table.
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None):
        self.rows = list(rows or [])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise unknown_name("column", name, self.names)
        return np.array([row.get(name, np.nan) for row in self.rows], dtype=np.float64)

    @property
    def names(self) -> list[str]:
        """Column names in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def to_csv(self, path: str | Path) -> None:
        """Write the table."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.names)
        writer.writeheader()
        writer.writerows(self.rows)
        write_bytes(path, text.getvalue().encode())

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epochs)"
        last = ", ".join(f"{k}={v:.4g}" for k, v in self.rows[-1].items())
        return f"History({len(self)} epochs; last: {last})"

    def plot(self, best_epoch: int | None = None):
        """A matplotlib figure of loss and validation error against epochs, on a logarithmic scale."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.5, 3.4), layout="constrained")
        axes = figure.subplots()
        for name, label in (("loss", "training loss"), ("validation", "validation relative L2")):
            if name in self.names:
                axes.semilogy(self["epoch"] + 1, self[name], label=label)
        if best_epoch is not None:
            axes.axvline(best_epoch + 1, color="0.6", lw=0.8, ls="--", label="kept")
        axes.set(xlabel="epoch", ylabel="error")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        return figure
