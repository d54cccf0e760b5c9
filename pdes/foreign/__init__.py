"""Datasets of other projects, read as they are and written as they expect: one adapter per file in this folder.

An adapter has `LAYOUT` (a sentence for error messages), `matches(path, file)` with `file` an open HDF5 file or None, and
`read(path, file)` that returns the arguments of `Dataset`. Beside these it may return "repairs" (sentences: what was mended)
and "doubts" (name -> why the data are refused unless `allow` names it). `EXPORTS` maps layout names to `write(writer, data)`.
Nothing here unpickles.

Exported files also carry what their layout has no place for (kinds of axes, parameters in float64, provenance), in a group
or attribute "sciml" that other readers ignore, so that they come back as they were.
"""

import importlib
import json
import os
import pkgutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pdes.arrays import LazyArray, open_file
from pdes.storage import SCHEMA, Writer, writing
from solvers.errors import DataError, unknown_name
from solvers.grid import Axis, Grid

_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """HDF5 by its signature, which may stand behind a user block of 512, 1024, ... bytes (MATLAB 7.3)."""
    with open(path, "rb") as handle:
        for start in (0, 512, 1024, 2048):
            handle.seek(start)
            if handle.read(8) == _HDF5:
                return True
    return False


def is_ours(path: Path) -> bool:
    """Is it in our own layout (or none at all: then our reader says what is wrong)?"""
    if not path.is_file():
        return True
    return is_hdf5(path) and open_file(str(path)).attrs.get("schema") == SCHEMA


def adapters() -> list:
    """Modules of this folder."""
    return [
        importlib.import_module(f"{__name__}.{m.name}") for m in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name)
    ]


def read(path: Path, allow: Iterable[str] = ()) -> dict:
    """Arguments of `Dataset` for a foreign file; repairs, and doubts that were allowed, are noted in the provenance.

    Raises
    ------
    DataError : no adapter knows the file (the message lists the layouts that are read), or its data are not what they are
        called and `allow` does not name this.
    """
    allow = {allow} if isinstance(allow, str) else set(allow)
    file = open_file(str(path)) if is_hdf5(path) else None
    for adapter in adapters():
        if adapter.matches(path, file):
            try:
                content = adapter.read(path, file)
            except (KeyError, OSError, IndexError, TypeError) as error:
                raise DataError(
                    given=f"file {str(path)!r}, which looks like {adapter.LAYOUT} but lacks something ({error})",
                    needed="a complete file of that layout",
                    remedy="Download it again, or rearrange it and build a Dataset(...) yourself.",
                ) from error
            doubts, repairs = content.pop("doubts", {}), content.pop("repairs", [])
            for name, why in doubts.items():
                if name not in allow:
                    raise DataError(
                        given=f"file {str(path)!r}, {why}",
                        needed="data that are what they are called",
                        remedy=f"To read it all the same: Dataset.open(path, allow={name!r}).",
                    )
            notes = {"repairs": repairs} if repairs else {}
            notes |= {"allowed": doubts} if doubts else {}
            origin = {"family": path.stem, "source": path.name, "layout": adapter.LAYOUT}
            content["provenance"] = {**origin, **content.get("provenance", {}), **notes}
            return content
    found = f"HDF5 with {sorted(file)[:8]}" if file is not None else "not HDF5"
    layouts = "; ".join(adapter.LAYOUT for adapter in adapters())
    raise DataError(
        given=f"file {str(path)!r} of unknown layout ({found})",
        needed=f"our own HDF5 ({SCHEMA}), or one of: {layouts}",
        remedy="If it should be one of these, it is damaged: copy it again. Otherwise build a Dataset(...) yourself.",
    )


def layouts() -> dict[str, Any]:
    """Names of the layouts that are written, and how."""
    return {name: write for adapter in adapters() for name, write in getattr(adapter, "EXPORTS", {}).items()}


def export(data: Any, path: str | Path, layout: str, compression: int | None = None) -> Path:
    """Write a dataset as another project lays it out (see `Dataset.export`)."""
    known = layouts()
    if layout not in known:
        raise unknown_name("layout", layout, known)
    arrays = [*data.fields.values(), *data.inputs.values()]
    need = 4 * sum(a.size for a in arrays)
    with writing(path, len(data), need if compression is None else need // 10, compression) as writer:
        known[layout](writer, data)
    return Path(path)


def put(writer: Writer, where: str, array: LazyArray, data: Any, change=lambda values: values) -> Any:
    """Write an array block by block as float32, `change`d on the way; returns the HDF5 dataset."""
    target = None
    for block in data.blocks(array):
        values = change(np.asarray(array[block], dtype="<f4"))
        if target is None:
            options = {} if writer.compression is None else {"compression": "gzip", "compression_opts": writer.compression}
            target = writer.handle.create_dataset(where, (len(data), *values.shape[1:]), "<f4", **options)
        target[block] = values
        writer.sink.check()
    return target


def record_of(data: Any) -> dict:
    """What a foreign layout has no place for, as plain values."""
    origin = {k: v for k, v in data.provenance.items() if len(json.dumps(v, default=str)) < 20_000}
    return {
        "grid": data.grid.to_json(),
        "times": None if data.times is None else data.times.tolist(),
        "fields": list(data.fields),
        "inputs": list(data.inputs),
        "provenance": origin,
    }


def remember(handle: Any, data: Any) -> None:
    """Add the group "sciml": `record_of` as JSON, and every sample's parameters in float64."""
    group = handle.create_group("sciml")
    group.create_dataset("record", data=json.dumps(record_of(data), default=str))
    for name, values in data.parameters.items():
        group.create_dataset(f"parameters/{name}", data=np.asarray(values, dtype=np.float64))


def remembered(file: Any) -> dict | None:
    """What `remember` wrote: the record, with "parameters" and a `Grid`; None in files of other projects."""
    if "sciml" not in file or "record" not in file["sciml"]:
        return None
    record = json.loads(file["sciml/record"][()])
    parameters = {name: values[...] for name, values in file["sciml"].get("parameters", {}).items()}
    return record | {"grid": Grid.from_json(record["grid"]), "parameters": parameters}


def constants(parameters: Mapping[str, Any]) -> dict[str, float]:
    """Parameters that are the same for every sample."""
    arrays = {name: np.asarray(values) for name, values in parameters.items()}
    return {name: float(values[0]) for name, values in arrays.items() if values.size and np.all(values == values[0])}


def uniform_axis(
    name: str, points: np.ndarray, periodic: bool, where: str, boundary=("free", "free"), cells: bool = False
) -> Axis:
    """The axis through stored coordinates: periodic (of `cells`), or cell centres (other projects' files rarely say which)."""
    points = np.asarray(points, dtype=np.float64).ravel()
    steps = np.diff(points)
    if len(points) < 2 or steps.min() <= 0 or not np.allclose(steps, steps.mean(), rtol=1e-3):
        raise DataError(
            given=f"coordinate {name!r} of {where}",
            needed="at least two evenly spaced, increasing values",
            remedy="Interpolate first.",
        )
    h = (points[-1] - points[0]) / (len(points) - 1)
    if periodic:
        first = points[0] - h / 2 if cells else points[0]
        return Axis(name, len(points), first, first + len(points) * h, cells=cells)
    return Axis(name, len(points), points[0] - h / 2, points[-1] + h / 2, "cell", boundary)


class StackedSource:
    """One array per sample, each a dataset of its own in an HDF5 file."""

    def __init__(self, path: str, names: list[str], shape: tuple[int, ...], dtype):
        self.path, self.names, self.shape, self.dtype = path, names, (len(names), *shape), np.dtype(dtype)
        self._handle = None  # (process, file)

    def __getstate__(self):
        return {**self.__dict__, "_handle": None}

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), open_file(self.path))
        file = self._handle[1]
        inner = [len(range(*s.indices(n))) for s, n in zip(rest, self.shape[1:], strict=True)]
        out = np.empty((len(rows), *inner), self.dtype)
        for target, row in zip(out, np.asarray(rows, dtype=np.intp), strict=True):
            dataset = file[self.names[row]]
            if dataset.shape != self.shape[1:]:
                raise DataError(
                    given=f"{self.names[row]!r} of shape {dataset.shape} in {self.path!r}",
                    needed=f"{self.shape[1:]}, as in the other samples",
                    remedy="Drop that sample, or mend the file.",
                )
            target[...] = dataset[rest]
        return out


class ComponentSource:
    """One component of a lazy array whose last axis counts components."""

    def __init__(self, array: LazyArray, component: int):
        self.array, self.component = array, component
        self.shape, self.dtype = array.shape[:-1], array.dtype

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        return self.array.source.read(rows, (*rest, slice(self.component, self.component + 1)))[..., 0]


class FirstFrameSource:
    """Frame 0 of a lazy array, without its time axis."""

    def __init__(self, array: LazyArray):
        self.array, self.dtype = array, array.dtype
        self.shape = (array.shape[0], *array.shape[2:])

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        return self.array.source.read(rows, (slice(0, 1), *rest))[:, 0]
