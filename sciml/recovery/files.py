"""Recordings from files: tables (.csv), arrays (.npz), datasets (.h5).

.csv : a header; a column t or time (else the first), optionally one named trajectory, the rest are states (`inputs` names the
    controls). Empty cells are gaps.
.npz : t (time,) and x (time, component), optionally u; several trajectories as t_0, x_0, t_1, x_1, ...; a field on a grid as t,
    x (coordinates) and field (time, x).
.h5 : a dataset of ordinary differential equations (each sample is a trajectory, each field a component) or of one field in
    time on a grid of one or two axes.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solvers.errors import DataError


@dataclass(frozen=True)
class Loaded:
    """t, x, u : as in `Recovery.fit`, lists of trajectories.   names, inputs : of states and controls.
    space : coordinates of a field's axes, then x is the field (time, *space), or a list."""

    t: list[np.ndarray]
    x: list[np.ndarray]
    u: list[np.ndarray] | None
    names: tuple[str, ...]
    inputs: tuple[str, ...]
    space: tuple[np.ndarray, ...] | None = None


def load(path: str | Path, inputs: Sequence[str] = ()) -> Loaded:
    """Read a recording.

    Raises
    ------
    DataError : a file that is missing, empty, or laid out otherwise; the message says what was found.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(given=f"{path}, which does not exist", needed="a .csv, .npz or .h5 file", remedy="Check the path.")
    readers = {".csv": _csv, ".npz": _npz, ".h5": _dataset, ".hdf5": _dataset}
    if path.suffix not in readers:
        raise DataError(given=f"{path.name}", needed=f"one of {', '.join(readers)}", remedy="Convert it.")
    return readers[path.suffix](path, tuple(inputs))


def _csv(path: Path, inputs: tuple[str, ...]) -> Loaded:
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise DataError(given=f"{path.name} with {len(rows)} rows", needed="a header and data", remedy="Check the file.")
    head = [cell.strip() for cell in rows[0]]
    if any(len(row) != len(head) for row in rows):
        k = next(k for k, row in enumerate(rows) if len(row) != len(head))
        raise DataError(given=f"row {k + 1} of {path.name} with {len(rows[k])} cells", needed=f"{len(head)}", remedy="Mend it.")
    columns = {}
    for j, name in enumerate(head):
        try:
            columns[name] = np.array([float(row[j]) if row[j].strip() else np.nan for row in rows[1:]])
        except ValueError as error:
            raise DataError(
                given=f"column {name!r} of {path.name}: {error}", needed="numbers", remedy="Leave it out."
            ) from error
    time = next((name for name in head if name.lower() in ("t", "time")), head[0])
    missing = [name for name in inputs if name not in columns]
    if missing:
        raise DataError(given=f"input {missing[0]!r}", needed=f"a column of {head}", remedy="Check the header.")
    states = [name for name in head if name != time and name.lower() != "trajectory" and name not in inputs]
    if not states:
        raise DataError(given=f"{path.name} with columns {head}", needed="a time and states", remedy="Add columns.")
    owner = next((columns[name] for name in head if name.lower() == "trajectory"), np.zeros(len(rows) - 1))
    parts = [np.flatnonzero(owner == k) for k in dict.fromkeys(owner)]
    stack = lambda names, rows: np.stack([columns[name][rows] for name in names], 1)  # noqa: E731
    return Loaded(
        [columns[time][k] for k in parts],
        [stack(states, k) for k in parts],
        [stack(inputs, k) for k in parts] if inputs else None,
        tuple(map(_identifier, states)),
        tuple(map(_identifier, inputs)),
    )


def _identifier(name: str) -> str:
    """A header cell as a name: what stands before a unit in brackets, other characters as underscores."""
    word = "".join(c if c.isalnum() else "_" for c in name.split("(")[0].split("[")[0].strip()).strip("_")
    return word if word.isidentifier() else f"x_{word}"


def _npz(path: Path, inputs: tuple[str, ...]) -> Loaded:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key], np.float64) for key in file.files}
    except (ValueError, OSError) as error:
        raise DataError(given=f"{path.name}: {error}", needed="arrays of numbers", remedy="Write it with np.savez.") from error
    if "field" in arrays and {"t", "x"} <= set(arrays):
        space = (arrays["x"], arrays["y"]) if "y" in arrays else (arrays["x"],)
        return Loaded([arrays["t"]], [arrays["field"]], None, ("u",), (), space)
    tags = [""] if "t" in arrays else [f"_{k}" for k in range(len(arrays)) if f"t_{k}" in arrays]
    if not tags or any(f"x{tag}" not in arrays for tag in tags):
        raise DataError(
            given=f"{path.name} with arrays {sorted(arrays)}",
            needed="t and x, or t_0, x_0, t_1, x_1, ...",
            remedy="Rename them.",
        )
    x = [arrays[f"x{tag}"] for tag in tags]
    x = [one[:, None] if one.ndim == 1 else one for one in x]
    u = [arrays[f"u{tag}"] for tag in tags] if all(f"u{tag}" in arrays for tag in tags) else None
    u = u and [one[:, None] if one.ndim == 1 else one for one in u]
    names = tuple(f"x{i}" for i in range(x[0].shape[1]))
    given = tuple(f"u{i}" for i in range(u[0].shape[1])) if u else ()
    return Loaded([arrays[f"t{tag}"] for tag in tags], x, u, names, inputs or given)


def _dataset(path: Path, inputs: tuple[str, ...]) -> Loaded:
    from pdes.dataset import Dataset

    data = Dataset.open(path)
    if data.times is None:
        raise DataError(given=f"{path.name} without times", needed="fields in time", remedy="Recover from a time series.")
    names = tuple(data.fields)
    values = [np.asarray(data.fields[name][:], np.float64) for name in names]
    times = np.asarray(data.times, np.float64)
    axes = values[0].ndim - 2
    if axes == 0:
        x = [np.stack([one[i] for one in values], 1) for i in range(len(values[0]))]
        return Loaded([times] * len(x), x, None, names, ())
    if len(names) > 1 or axes > 2:
        raise DataError(
            given=f"{path.name} with fields {names} on {axes} axes",
            needed="one field on one or two axes, or systems without space",
            remedy="Keep one field.",
        )
    space = tuple(np.asarray(data.coordinates[axis], np.float64) for axis in "xy"[:axes])
    return Loaded([times] * len(values[0]), list(values[0]), None, names, (), space)
