"""PDEBench's two HDF5 layouts: one array for all samples, and one group per sample.

    (a)  tensor (sample, time, x[, y]), or density, pressure, Vx, ... of that shape; x-coordinate, ..., t-coordinate (one entry
         longer than there are frames); Darcy: tensor (sample, 1, x, y) and nu (sample, x, y); parameters in the root
         attributes or in the file's name
    (b)  0000/data (time, x[, y], component), 0000/grid/{x,y,t}

Coordinates are cell centres. The files do not say what holds on the walls; names with "periodic", "Burgers" or "Advection" do.
Known faults (PDEBench's issues 5 and 51, and its Darcy solver): what can be mended is, and noted; what cannot is refused.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from pdes.arrays import FileSource, LazyArray
from pdes.foreign import (
    ComponentSource,
    FirstFrameSource,
    StackedSource,
    constants,
    put,
    record_of,
    remember,
    remembered,
    uniform_axis,
)
from pdes.storage import Writer
from solvers.errors import DataError
from solvers.grid import Grid

LAYOUT = "PDEBench HDF5 (a: 'tensor' or 'density' with 'x-coordinate'; b: groups '0000/data')"

UNSTEADY = "unsteady_darcy"
"""Allows Darcy files whose u is not the steady state."""

_FLUID = ("density", "pressure", "Vx", "Vy", "Vz")
_IN_NAME = re.compile(r"_(beta|Nu|nu|Rho|rho|Eta|eta|Zeta|zeta|M)(\d+(?:\.\d+)?(?:e-?\d+)?)")


def matches(path: Path, file) -> bool:
    """By the names at the root."""
    return file is not None and (("x-coordinate" in file and ("tensor" in file or "density" in file)) or bool(_groups(file)))


def read(path: Path, file) -> dict:
    """Fields named as in the file ("tensor" becomes "u"), "nu" of Darcy as input."""
    return _single(path, file) if "x-coordinate" in file else _per_sample(path, file)


def _groups(file) -> list[str]:
    return sorted((name for name in file if re.fullmatch(r"\d{4,}", name) and "data" in file[name]), key=int)


def _single(path: Path, file) -> dict:
    where, names = str(path.absolute()), [n for n in ("tensor", *_FLUID) if n in file]
    axes = [name for name in "xyz" if f"{name}-coordinate" in file]
    first = file[names[0]]
    axes = axes[: first.ndim - 2]
    if first.ndim != 2 + len(axes):
        raise DataError(
            given=f"{names[0]!r} of shape {first.shape} in {str(path)!r}",
            needed="(sample, time, x[, y[, z]])",
            remedy="Rearrange it.",
        )
    record, repairs = remembered(file), []
    periodic = any(word in path.name for word in ("periodic", "Burgers", "Advection"))
    if record is None:
        coordinates = {n: file[f"{n}-coordinate"][...] for n in axes}
        grid = Grid(tuple(uniform_axis(n, points, periodic, str(path), cells=True) for n, points in coordinates.items()))
        if "Burgers" in path.name and grid.axes[0].start < -0.5:
            repairs.append("The domain is (-1, 1), as the coordinates say, not (0, 1) as published.")
    else:
        grid = record["grid"]
    lazy = {n: LazyArray(FileSource(where, n, file[n].shape, file[n].dtype), ("sample", "time", *axes)) for n in names}
    steady = first.shape[1] == 1 and "t-coordinate" not in file
    if steady:
        fields = {n: LazyArray(FirstFrameSource(a), ("sample", *axes)) for n, a in lazy.items()}
        times = None
    else:
        fields, times = lazy, _times(path, file["t-coordinate"][...], first.shape[1], repairs)
    inputs = {}
    if "nu" in file and file["nu"].shape == (first.shape[0], *grid.shape):
        inputs["nu"] = LazyArray(FileSource(where, "nu", file["nu"].shape, file["nu"].dtype), ("sample", *axes))
    if record is not None:
        names = dict(zip(lazy, record["fields"], strict=True))
        return {
            "fields": {names[n]: a for n, a in fields.items()},
            "inputs": {record["inputs"][0]: inputs["nu"]} if inputs else {},
            "grid": grid,
            "times": record["times"],
            "parameters": record["parameters"],
            "provenance": record["provenance"],
        }
    parameters = _parameters(path, file)
    return {
        "fields": {"u" if n == "tensor" else n: a for n, a in fields.items()},
        "inputs": inputs,
        "grid": grid,
        "times": times,
        "parameters": {n: np.full(first.shape[0], v) for n, v in parameters.items()},
        "repairs": repairs,
        "doubts": _doubts(parameters) if steady and inputs else {},
    }


def _times(path: Path, stored: np.ndarray, frames: int, repairs: list[str]) -> np.ndarray:
    """One time per frame; released files have one more."""
    if len(stored) not in (frames, frames + 1):
        raise DataError(
            given=f"{len(stored)} entries of 't-coordinate' for {frames} frames in {str(path)!r}",
            needed=f"{frames} or {frames + 1}",
            remedy="The file is cut or mixed up: copy it again.",
        )
    if len(stored) > frames:
        repairs.append(f"'t-coordinate' had {frames + 1} entries for {frames} frames; the last was dropped.")
    return stored.astype(np.float64)[:frames]


def _doubts(parameters: dict[str, float]) -> dict[str, str]:
    """Darcy's u is a frame of a slow relaxation from a random state: what is left of that state grows as 1 / beta."""
    beta = parameters.get("beta", np.inf)
    if beta >= 1:
        return {}
    share = 0.016 / beta
    return {
        UNSTEADY: f"Darcy flow with beta = {beta:g}: u was taken before it was steady and keeps about {100 * share:.0f} % of"
        " the random state it started from (relative L2, mean over samples), so that it does not solve the equation"
    }


def _parameters(path: Path, file) -> dict[str, float]:
    named = {name: float(value) for name, value in _IN_NAME.findall(path.stem)}
    stored = {name: float(v) for name, v in file.attrs.items() if np.ndim(v) == 0 and isinstance(v, (int, float, np.number))}
    return named | stored


def _per_sample(path: Path, file) -> dict:
    groups = _groups(file)
    data, where = file[groups[0]]["data"], str(path.absolute())
    axes = [name for name in "xyz" if f"grid/{name}" in file[groups[0]]]
    if data.ndim != 2 + len(axes):
        raise DataError(
            given=f"'{groups[0]}/data' of shape {data.shape} in {str(path)!r}",
            needed="(time, x[, y], component)",
            remedy="Rearrange it.",
        )
    stacked = LazyArray(
        StackedSource(where, [f"{g}/data" for g in groups], data.shape, data.dtype), ("sample", "time", *axes, "component")
    )
    one = data.shape[-1] == 1
    if "sciml" in file.attrs:
        return _as_recorded(file, json.loads(file.attrs["sciml"]), groups, stacked)
    repairs: list[str] = []
    times = _times(path, file[f"{groups[0]}/grid/t"][...], data.shape[0], repairs)
    config = file[groups[0]].attrs.get("config", "")
    return {
        "fields": {"u": LazyArray(ComponentSource(stacked, 0), stacked.dims[:-1]) if one else stacked},
        "grid": Grid(tuple(uniform_axis(n, file[f"{groups[0]}/grid/{n}"][...], False, str(path)) for n in axes)),
        "times": times,
        "provenance": {"config": config.decode() if isinstance(config, bytes) else str(config)[:20_000]},
        "repairs": repairs,
    }


def _as_recorded(file, record: dict, groups: list[str], stacked: LazyArray) -> dict:
    """A file that `_write_groups` made."""
    if record["components"]:
        fields = {record["fields"][0]: stacked}
    else:
        fields = {n: LazyArray(ComponentSource(stacked, i), stacked.dims[:-1]) for i, n in enumerate(record["fields"])}
    names = record["parameters"]
    return {
        "fields": fields,
        "grid": Grid.from_json(record["grid"]),
        "times": record["times"],
        "parameters": {n: np.array([file[g].attrs[n] for g in groups], dtype=np.float64) for n in names},
        "provenance": record["provenance"],
    }


# -- writing ----------------------------------------------------------------------------------------------------------


def _write_single(writer: Writer, data: Any) -> None:
    """Layout (a): one array per field for all samples; constant parameters as root attributes."""
    handle, steady = writer.handle, data.times is None
    names = {"tensor": next(iter(data.fields))} if len(data.fields) == 1 else {n: n for n in data.fields}
    if any(a.dims[-1] == "component" for a in (*data.fields.values(), *data.inputs.values())) or not data.grid.axes:
        raise _unfit("fields with components, or without space", "'the_well' or 'pdebench_groups'")
    if len(names) > 1 and not set(names) <= set(_FLUID):
        raise _unfit(f"the fields {', '.join(names)}", "'pdebench_groups' or 'the_well'")
    if len(data.inputs) > 1 or (data.inputs and not steady):
        raise _unfit(f"the inputs {', '.join(data.inputs)}", "'the_well'")
    for stored, name in names.items():
        put(writer, stored, data.fields[name], data, (lambda v: v[:, None]) if steady else lambda v: v)
    for name in data.inputs:
        put(writer, "nu", data.inputs[name], data)
    _coordinates(handle, data, "{}-coordinate")
    if not steady:
        step = data.times[-1] - data.times[-2] if len(data.times) > 1 else 1.0
        handle["t-coordinate"] = np.append(data.times, data.times[-1] + step).astype(np.float32)
    for name, value in constants(data.parameters).items():
        handle.attrs[name] = value
    remember(handle, data)


def _write_groups(writer: Writer, data: Any) -> None:
    """Layout (b): one group per sample; parameters as attributes of the group and as YAML in "config"."""
    handle, arrays = writer.handle, list(data.fields.values())
    components = arrays[0].dims[-1] == "component"
    if data.times is None or data.inputs or not data.grid.axes:
        raise _unfit("steady fields, inputs or no space", "'pdebench' or 'the_well'")
    if len({a.dims for a in arrays}) > 1 or (components and len(arrays) > 1):
        raise _unfit("several fields with components", "'the_well'")
    parameters = {n: np.asarray(a, dtype=np.float64) for n, a in data.parameters.items()}
    for block in data.blocks(*arrays):
        values = [np.asarray(a[block], dtype="<f4") for a in arrays]
        joined = values[0] if components else np.stack(values, axis=-1)
        for i, sample in enumerate(joined, block.start):
            group = handle.create_group(f"{i:04d}")
            group["data"] = sample
            _coordinates(group, data, "grid/{}")
            group["grid/t"] = data.times.astype(np.float32)
            mine = {name: float(a[i]) for name, a in parameters.items()}
            group.attrs["config"] = "".join(f"{name}: {value!r}\n" for name, value in mine.items())
            for name, value in mine.items():
                group.attrs[name] = value
        writer.sink.check()
    record = record_of(data) | {"components": components, "parameters": list(parameters)}
    handle.attrs["sciml"] = json.dumps(record, default=str)


def _coordinates(handle, data: Any, pattern: str) -> None:
    for name, points in zip(data.grid.names, data.grid.coordinates(), strict=True):
        handle[pattern.format(name)] = points.astype(np.float32)


def _unfit(what: str, other: str) -> DataError:
    return DataError(given=f"{what}, to be written in this layout of PDEBench", needed="data that it has a place for",
                     remedy=f"Choose layout {other}.")  # fmt: skip


EXPORTS = {"pdebench": _write_single, "pdebench_groups": _write_groups}
