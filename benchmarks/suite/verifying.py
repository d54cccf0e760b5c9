"""Stored answers are judged again."""

from pathlib import Path

import numpy as np

from benchmarks.suite import scoring, systems
from benchmarks.suite.run import rows_of
from benchmarks.suite.tasks import Suite
from sciml import storage
from solvers.errors import DataError

TOLERANCE = 2e-6
"""Scores are stored with seven digits, answers in float32."""


def verify(suite: Suite, folder: str | Path) -> int:
    """Check every row of a folder; returns how many there are.

    Raises
    ------
    DataError : a row whose answers give other scores, or that has no answers; or no rows at all.
    """
    count = 0
    for task in suite.tasks:
        rows = {(r["contestant"], r["seed"]): r for r in rows_of(folder, task, suite) if "failed" not in r}
        if not rows:
            continue
        data = task.data(Path(folder) / "data")
        seen = set()
        for path in sorted((Path(folder) / task.label).glob("*.safetensors")):
            arrays, header = storage.read_arrays(path)
            row = rows.get((header["contestant"], int(path.stem.rpartition("-")[2])))
            if row is None:
                continue
            seen.add((row["contestant"], row["seed"]))
            for where, found in arrays.items():
                part = data[where]
                times = None if part.times is None else np.asarray(part.times)
                again = scoring.scores(task, found, scoring.truth(task, part), part.grid, times)
                if where in header.get("equations", {}):
                    again |= systems.judged(header["equations"][where], part)
                for name, values in again.items():
                    was = np.asarray(row["scores"][where][name])
                    if not np.allclose(values, was, rtol=TOLERANCE, atol=1e-9):
                        raise DataError(
                            given=f"{path.name} of {task.label}: {name} on {where} differs by {np.abs(values - was).max():.2g}",
                            needed="the stored scores",
                            remedy="The row was changed, or judged by other code: delete it and run again.",
                        )
            count += 1
        missing = sorted(set(rows) - seen)
        if missing:
            raise DataError(
                given=f"no answers for {missing[:3]} of {task.label}",
                needed="a file of answers for each row",
                remedy="Run again.",
            )
    if not count:
        raise DataError(
            given=f"{folder}, which has no rows", needed="a folder that `run` filled", remedy="Run the suite first."
        )
    return count
