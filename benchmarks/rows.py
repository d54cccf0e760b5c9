"""Results that grow row by row: a benchmark that was stopped goes on where it was, and a finished row is not measured again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, record


class Rows:
    """Rows of one results file, each with a `key` that says what it measured.

    Parameters
    ----------
    name : of the file, see `benchmarks.record.record`.
    settings : what all rows have in common; rows of other settings are not taken over.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], folder: str | Path = RESULTS):
        self.name, self.folder = name, Path(folder)
        self.settings = json.loads(json.dumps(dict(settings)))
        self.rows: dict[str, dict] = {}
        path = self.folder / f"{name}.json"
        if path.exists():
            stored = json.loads(path.read_text())
            if stored.get("settings") == self.settings:
                self.rows = {row["key"]: row for row in stored["rows"]}

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    def __getitem__(self, key: str) -> dict:
        return self.rows[key]

    def add(self, key: str, row: Mapping[str, Any]) -> dict:
        """Store a row at once; returns it."""
        self.rows[key] = {"key": key, **row}
        record(self.name, {"settings": self.settings, "rows": list(self.rows.values())}, self.folder)
        return self.rows[key]


def finished(result: Any) -> Any:
    """A `sciml.FitResult`, unless its training was interrupted: what that leaves is no result, and no row may hold it."""
    if result.stopped not in ("completed", "done"):
        raise SystemExit(f"Training ended before its time ({result.stopped}): no row is stored.")
    return result
