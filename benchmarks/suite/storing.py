"""What of a run is kept in the repository: for each task one file with its rows, from which the tables and pages are made.

    benchmarks/results/suite_<name>/<task>.json    about the data, one line for each row

A kept row has the errors of every sample by the measure that ranks, the mean of every other, costs, hashes and circumstances.
Tasks may come from different sessions and machines: each replaces what was kept of it, the others stay.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, circumstances, plain
from benchmarks.suite.standing import Table, table_of_rows
from benchmarks.suite.tasks import Suite
from solvers.errors import DataError
from solvers.files import write_bytes

CURVES = ("curve", "correlation curve")
WHOLE = ("blown_up",)  # by sample, beside the measure that ranks and what is said of equations
COPIED = ("contestant", "kind", "seed", "primary", "judges", "recipe", "parameters", "training", "cost", "failed")


def place(suite: Suite, results: str | Path = RESULTS) -> Path:
    """Where the tasks of a suite are kept."""
    return Path(results) / f"suite_{suite.name}"


def keep(suite: Suite, table: Table, results: str | Path = RESULTS) -> Path:
    """Write a task's rows to its file, atomically; returns the path."""
    rows = [shortened(row) for some in table.rows.values() for row in some]
    head = {"suite": suite.name, "track": table.task.track, "about": dict(table.about)} | circumstances()
    lines = ",\n".join(json.dumps(plain(row), separators=(",", ":"), allow_nan=False) for row in rows)
    text = json.dumps(plain(head), indent=1, allow_nan=False)[:-2] + f',\n "rows": [\n{lines}\n]\n}}\n'
    path = place(suite, results) / f"{table.task.label}.json"
    write_bytes(path, text.encode())
    return path


def kept(suite: Suite, results: str | Path = RESULTS) -> list[Table]:
    """The tables of all tasks that are kept, in the suite's order.

    Raises
    ------
    DataError : a file that is not one of these.
    """
    found = []
    for task in suite.tasks:
        path = place(suite, results) / f"{task.label}.json"
        if not path.exists():
            continue
        try:
            stored = json.loads(path.read_text())
            found.append(table_of_rows(task, stored["about"], stored["rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                given=f"{path.name}, which cannot be read ({error!r})",
                needed="rows of a suite",
                remedy=f"Store it again: python -m benchmarks report {suite.name} --store.",
            ) from error
    return found


def shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the errors of every sample by other measures than the one that ranks: of these the means stay."""
    out = {name: row[name] for name in COPIED if name in row}
    if "failed" in row:
        return out
    made = row.get("made", {})
    out["made"] = {name: made[name] for name in ("commit", "date") if name in made}
    primary, scores = row["primary"], {}
    for where, by_name in row["scores"].items():
        if where == "inverse":
            scores[where] = by_name
        elif isinstance(by_name, Mapping):
            scores[where] = {n: _digits(v) for n, v in by_name.items() if n in (primary, *WHOLE) or n.startswith("equation:")}
            if "missing" in by_name:
                scores[where] = {"missing": by_name["missing"]}
    test = row["scores"]["test"]
    out["scores"] = scores
    out["means"] = {name: float(f"{np.mean(values):.4g}") for name, values in test.items() if name not in CURVES}
    if "curve" in test:
        out["curve"] = _digits(test["curve"], 4)
    return out


def _digits(values: Any, digits: int = 5) -> list[float]:
    return [float(f"{v:.{digits}g}") for v in values]
