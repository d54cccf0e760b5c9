"""`python -m benchmarks.third_party`: fetch, compare, print, store."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.record import record
from benchmarks.third_party import CASES, SOURCES, pyro_files
from benchmarks.third_party.fetching import fetch

FOLDER = Path(tempfile.gettempdir()) / "sciml-third-party"


def main(arguments: Sequence[str] | None = None) -> dict:
    """Compare, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", default=str(FOLDER), help="where the files lie")
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--name", default="third_party", help="name of the results file")
    options = parser.parse_args(arguments)
    folder = Path(options.folder)
    for source in SOURCES:
        fetch(source, folder)
    rows = []
    for name in track(options.only, "cases"):
        source, case = CASES[name]
        rows.append({"package": source.package} | case(folder))
    table = Table("package", "case", "error", "bound", "more")
    for row in rows:
        shown = ("package", "case", "error", "bound")
        more = ", ".join(f"{k}: {v if isinstance(v, str) else format(v, '.3g')}" for k, v in row.items() if k not in shown)
        table.add_row(row["package"], row["case"], f"{row['error']:.2e}", f"{row['bound']:.1e}", more)
    Console(width=180).print(table)
    payload = {
        "packages": [{"package": s.package, "licence": s.licence} for s in SOURCES],
        "rows": rows,
        "not_compared": pyro_files.NOT_COMPARED,
    }
    record(options.name, payload)
    return payload


if __name__ == "__main__":
    main()
