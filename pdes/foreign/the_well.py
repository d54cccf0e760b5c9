"""The Well's HDF5: groups dimensions, boundary_conditions, scalars, t0_fields, t1_fields, t2_fields.

Fields are (trajectory, time, x, y[, z][, component]); those that do not vary over trajectories, time or an axis lack it, and
are repeated here. Fields without time become inputs; scalars that vary over trajectories become parameters.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pdes.arrays import FileSource, LazyArray
from pdes.foreign import FirstFrameSource, constants, put, remember, remembered, uniform_axis
from pdes.storage import Writer
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
    record = remembered(file)
    if record is not None:
        return _as_recorded(record, fields, inputs)
    steady = not fields
    return {
        "fields": inputs if steady else fields,
        "inputs": {} if steady else inputs,
        "grid": grid,
        "times": None if steady else times,
        "parameters": _scalars(file, n),
        "provenance": {"family": _text(file.attrs.get("dataset_name", path.stem)), "license": "CC-BY-4.0"},
    }


def _as_recorded(record: dict, fields: dict, inputs: dict) -> dict:
    """A file that `_write` made: steady fields have one frame there."""
    if record["times"] is None:
        fields = {n: LazyArray(FirstFrameSource(a), (a.dims[0], *a.dims[2:])) for n, a in fields.items()}
    return {
        "fields": {n: fields[n] for n in record["fields"]},
        "inputs": {n: inputs[n] for n in record["inputs"]},
        **{key: record[key] for key in ("grid", "times", "parameters", "provenance")},
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


# -- writing ----------------------------------------------------------------------------------------------------------

_TYPES = {"periodic": "PERIODIC", "outflow": "OPEN", "free": "OPEN"}


def _write(writer: Writer, data: Any) -> None:
    """Fields with time, inputs without; a steady field has one frame. Components are vectors (D) or tensors (D x D)."""
    import h5py

    handle, grid, n, text = writer.handle, data.grid, len(data), h5py.string_dtype()
    if not grid.axes or set(data.fields) & set(data.inputs):
        raise DataError(
            given="data without space, or a field and an input of one name, to be written as The Well does",
            needed="one to three dimensions and different names",
            remedy="Rename one of them.",
        )
    fixed = constants(data.parameters)
    handle.attrs.update({"dataset_name": str(data.provenance.get("family", "dataset")), "grid_type": "cartesian"})
    handle.attrs.update({"n_spatial_dims": grid.dimension, "n_trajectories": n, **fixed})
    handle.attrs.create("simulation_parameters", list(fixed), dtype=text)
    dimensions = handle.create_group("dimensions")
    dimensions.attrs.create("spatial_dims", list(grid.names), dtype=text)
    times = np.zeros(1) if data.times is None else data.times
    for name, points in {"time": times, **dict(zip(grid.names, grid.coordinates(), strict=True))}.items():
        dimensions[name] = np.asarray(points, dtype=np.float32)
        dimensions[name].attrs.update({"sample_varying": False, "time_varying": False})
    for axis in grid.axes:
        _boundary(handle, axis, text)
    scalars = handle.create_group("scalars")
    scalars.attrs.create("field_names", list(data.parameters), dtype=text)
    for name, values in data.parameters.items():
        scalars[name] = np.float32(fixed[name]).reshape(1) if name in fixed else np.asarray(values, dtype=np.float32)
        scalars[name].attrs.update({"sample_varying": name not in fixed, "time_varying": False})
    ranks: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for rank in ranks:
        handle.create_group(f"t{rank}_fields")
    for timed, arrays in ((True, data.fields), (False, data.inputs)):
        for name, array in arrays.items():
            rank = _rank(name, array, grid.dimension)
            ranks[rank].append(name)

            def laid_out(values, rank=rank, still=timed and "time" not in array.dims):
                values = values[:, None] if still else values
                return values.reshape(*values.shape[:-1], grid.dimension, grid.dimension) if rank == 2 else values

            target = put(writer, f"t{rank}_fields/{name}", array, data, laid_out)
            varying = timed and ("time" in array.dims or data.times is None)
            target.attrs.update({"dim_varying": [True] * grid.dimension, "sample_varying": True, "time_varying": varying})
            if rank == 2:
                target.attrs.update({"symmetric": False, "antisymmetric": False})
    for rank, names in ranks.items():
        handle[f"t{rank}_fields"].attrs.create("field_names", names, dtype=text)
    remember(handle, data)


def _boundary(handle, axis, text) -> None:
    """One group per axis, or one per side where the sides differ."""
    sides = (
        {"": axis.boundary[0]}
        if axis.boundary[0] == axis.boundary[1]
        else dict(zip(("_start", "_stop"), axis.boundary, strict=True))
    )
    for side, condition in sides.items():
        group = handle.create_group(f"boundary_conditions/{axis.name}_boundary{side}")
        group.attrs.create("associated_dims", [axis.name], dtype=text)
        group.attrs.create("associated_fields", [], dtype=text)
        group.attrs.update({"bc_type": _TYPES.get(condition, "WALL"), "sample_varying": False, "time_varying": False})
        mask = np.zeros(axis.size, dtype=bool)
        mask[[0] if side == "_start" else [-1] if side == "_stop" else [0, -1]] = True
        group["mask"] = mask


def _rank(name: str, array: LazyArray, dimension: int) -> int:
    if array.dims[-1] != "component":
        return 0
    if array.shape[-1] not in (dimension, dimension**2):
        raise DataError(
            given=f"{name!r} with {array.shape[-1]} components in {dimension} dimensions",
            needed=f"{dimension} (a vector) or {dimension**2} (a tensor)",
            remedy="Store the components as fields of their own.",
        )
    return 1 if array.shape[-1] == dimension else 2


EXPORTS = {"the_well": _write}
