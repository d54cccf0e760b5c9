"""The Well's HDF5: groups dimensions, boundary_conditions, scalars, t0_fields, t1_fields, t2_fields.

Fields are (trajectory, time, x, y[, z][, component]); those that do not vary over trajectories, time or an axis lack it, and
are repeated here. Fields without time become inputs; scalars that vary over trajectories become parameters.
"""

from pathlib import Path

import numpy as np

from pdes.arrays import FileSource, LazyArray
from pdes.foreign import uniform_axis
from solvers.errors import DataError
from solvers.grid import Grid

LAYOUT = "The Well HDF5 (groups 'dimensions', 't0_fields', ...)"

_CONDITIONS = {"periodic": "periodic", "wall": "wall", "open": "outflow"}


def matches(path: Path, file) -> bool:
    """By the names at the root."""
    return file is not None and "dimensions" in file and any(f"t{rank}_fields" in file for rank in range(3))


def read(path: Path, file) -> dict:
    """Fields named as in the file; tensors have D^2 components."""
    where, dims = str(path.absolute()), [_text(n) for n in file["dimensions"].attrs["spatial_dims"]]
    if dims != list("xyz"[: len(dims)]):
        raise DataError(
            given=f"file {str(path)!r} on coordinates {dims}",
            needed="a Cartesian box (x, y, z)",
            remedy="Curved coordinates are not supported.",
        )
    conditions = _conditions(file)
    axes = []
    for name in dims:
        condition = conditions.get(name, "free")
        axes.append(
            uniform_axis(name, _first(file["dimensions"][name], 1), condition == "periodic", str(path), (condition, condition))
        )
    grid, n = Grid(tuple(axes)), int(file.attrs["n_trajectories"])
    times = np.asarray(_first(file["dimensions/time"], 1), dtype=np.float64)
    fields, inputs = {}, {}
    for rank in range(3):
        for name, data in file.get(f"t{rank}_fields", {}).items():
            timed, array = _field(where, f"t{rank}_fields/{name}", data, grid, n, len(times), rank)
            (fields if timed else inputs)[name] = array
    steady = not fields
    return {
        "fields": inputs if steady else fields,
        "inputs": {} if steady else inputs,
        "grid": grid,
        "times": None if steady else times,
        "parameters": _scalars(file, n),
        "provenance": {"family": _text(file.attrs.get("dataset_name", path.stem)), "license": "CC-BY-4.0"},
    }


def _field(where: str, path: str, data, grid: Grid, n: int, frames: int, rank: int) -> tuple[bool, LazyArray]:
    """(depends on time, array); read on slicing when nothing has to be repeated."""
    sampled, timed = bool(data.attrs["sample_varying"]), bool(data.attrs["time_varying"])
    varying = [bool(v) for v in data.attrs["dim_varying"]]
    tail = ("component",) if rank else ()
    dims = ("sample", *(("time",) if timed else ()), *grid.names, *tail)
    if sampled and all(varying) and data.ndim == len(dims):
        return timed, LazyArray(FileSource(where, path, data.shape, data.dtype), dims)
    values = data[...]
    flat = data.ndim - rank
    values = values.reshape(*values.shape[:flat], -1) if rank else values  # tensors as (D, D) or D^2
    shape = [
        n if sampled else 1,
        *([frames] if timed else []),
        *(size if v else 1 for size, v in zip(grid.shape, varying, strict=True)),
    ]
    components = values.shape[-1:] if rank else ()
    whole = (n, *([frames] if timed else []), *grid.shape, *components)
    return timed, LazyArray.of(np.broadcast_to(values.reshape(*shape, *components), whole), dims)


def _conditions(file) -> dict[str, str]:
    """Condition of each axis that a boundary condition names on its own."""
    found = {}
    for item in file.get("boundary_conditions", {}).values():
        names = [_text(n) for n in item.attrs.get("associated_dims", [])]
        if len(names) == 1:
            found[names[0]] = _CONDITIONS.get(_text(item.attrs.get("bc_type", "")).lower(), "free")
    return found


def _scalars(file, n: int) -> dict[str, np.ndarray]:
    """Scalars that do not vary in time, per trajectory."""
    found = {}
    for name, data in file.get("scalars", {}).items():
        if not data.attrs.get("time_varying", False):
            values = np.asarray(data[...], dtype=np.float64).ravel()
            if values.size in (1, n):
                found[name] = np.broadcast_to(values, n).copy()
    for name in (_text(p) for p in file.attrs.get("simulation_parameters", [])):
        if name not in found and name in file.attrs and np.ndim(file.attrs[name]) == 0:
            found[name] = np.full(n, float(file.attrs[name]))
    return found


def _first(data, ndim: int) -> np.ndarray:
    """Values of a coordinate; those of the first trajectory where each has its own, if they agree."""
    values = data[...]
    if values.ndim > ndim:
        if not np.allclose(values, values[:1]):
            raise DataError(
                given=f"{data.name!r} that varies between trajectories", needed="one grid for all", remedy="Split the file."
            )
        values = values[0]
    return values


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
