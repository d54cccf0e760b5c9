"""Datasets on disk: HDF5, layout "sciml-pde/1".

    /                     attrs: schema, family, equation (LaTeX), sympy_srepr, dimension, split, n_samples, created_by, order,
                                 seed_root, rng, float_compute, float_store, provenance (JSON, everything)
    /coords/{x,y,z,t}     float64; attrs: units, location, kind, periodic, length, start, stop, boundary
    /fields/<name>        (sample[, time], *space[, component]); attrs: rank, units, location, dims, dim_varying, time_varying
    /inputs/<name>        the same
    /params/<name>        (sample,) float64; attrs: symbol, units, law
    /bc/<axis>_<start|stop>   attrs: type, field
    /latent/<name>        coefficients that rebuild the inputs at any resolution
    /quality/<name>       (sample[, time]); /quality/solver: attrs name, grid, filter, ...
    /index/sample_id, /index/content_hash      uint64

Chunks hold one sample and at most eight frames and stay near 1 MiB; gzip 4, byte shuffle, Fletcher-32 checksums. Nothing in
the file depends on the clock or the machine, so the same data give the same bytes.

gzip 4 saves a quarter to a half of smooth fields, nearly all of piecewise constant coefficients, and is read five times more
slowly than none (see benchmarks/data_pipeline.py): take `compression=None` for data that are read from disk at every epoch.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pdes.arrays import FileSource, LazyArray, open_file
from solvers.errors import DataError
from solvers.files import atomic_path, require_space
from solvers.grid import Axis, Grid

SCHEMA = "sciml-pde/1"
CHUNK_BYTES = 2**20
GROUPS = ("fields", "inputs", "latent", "quality")


def chunk_shape(shape: tuple[int, ...], dims: tuple[str, ...], itemsize: int) -> tuple[int, ...]:
    """(1, at most 8 frames, all of space), halved along its longest axis until it is at most 1 MiB.

    >>> chunk_shape((1000, 21, 64, 64), ("sample", "time", "x", "y"), 4)
    (1, 8, 64, 64)
    """
    if len(shape) == 1:
        return (min(shape[0], 4096),)
    chunk = [1, *(min(n, 8) if name == "time" else n for n, name in zip(shape[1:], dims[1:], strict=True))]
    while np.prod(chunk, dtype=np.int64) * itemsize > CHUNK_BYTES and max(chunk) > 1:
        longest = int(np.argmax(chunk))
        chunk[longest] = -(-chunk[longest] // 2)
    return tuple(int(n) for n in chunk)


class _Sink:
    """The file that HDF5 writes to. HDF5 cannot survive a full disk: its handle stays broken and the process crashes later.

    So the first failed write is remembered, what comes after is kept in memory, and HDF5 closes in peace; `check` raises.
    """

    def __init__(self, raw):
        self.raw, self.error, self.kept, self.at = raw, None, [], 0

    def check(self) -> None:
        """Raise the error of the first write that failed."""
        if self.error is not None:
            raise self.error

    def write(self, data) -> int:
        data = bytes(data)
        if self.error is None:
            try:
                self.raw.seek(self.at)
                done = 0
                while done < len(data):
                    done += self.raw.write(data[done:])
            except OSError as error:
                self.error = error
        if self.error is not None:
            self.kept.append((self.at, data))
        self.at += len(data)
        return len(data)

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        self.readinto(memoryview(buffer))
        return bytes(buffer)

    def readinto(self, buffer) -> int:
        self.raw.seek(self.at)
        found = bytearray(self.raw.read(len(buffer)).ljust(len(buffer), b"\0"))
        for start, data in self.kept:
            low, high = max(start, self.at), min(start + len(data), self.at + len(buffer))
            if low < high:
                found[low - self.at : high - self.at] = data[low - start : high - start]
        buffer[:] = found
        self.at += len(buffer)
        return len(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = {0: 0, 1: self.at, 2: self._end()}[whence] + offset
        return self.at

    def _end(self) -> int:
        return max([self.raw.seek(0, 2), *(start + len(data) for start, data in self.kept)])

    def tell(self) -> int:
        return self.at

    def truncate(self, size: int) -> int:
        if self.error is None:
            try:
                self.raw.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Nothing is buffered."""


class Writer:
    """Writes one dataset file block by block; use inside `writing`."""

    def __init__(self, handle, n_samples: int, compression: int | None, sink: _Sink):
        self.handle, self.n, self.compression, self.sink = handle, n_samples, compression, sink

    def create(self, path: str, shape: tuple[int, ...], dtype, dims: tuple[str, ...], attrs: Mapping | None = None):
        """Make an empty dataset at `path`."""
        options = {}
        if all(shape):
            options = {"chunks": chunk_shape(shape, dims, np.dtype(dtype).itemsize), "fletcher32": True}
            if self.compression is not None:
                options |= {"compression": "gzip", "compression_opts": self.compression, "shuffle": True}
        dataset = self.handle.create_dataset(path, shape=shape, dtype=dtype, **options)
        dataset.attrs["dims"] = json.dumps(list(dims))
        for key, value in (attrs or {}).items():
            dataset.attrs[key] = value
        return dataset

    def put(self, path: str, start: int, values: np.ndarray):
        """Write rows from `start` on."""
        if len(values):
            self.handle[path][start : start + len(values)] = values
            self.sink.check()

    def order(self, paths: list[str]):
        """Record the order of names, which HDF5 would sort: it is the order of channels in learning."""
        groups: dict[str, list[str]] = {}
        for path in paths:
            groups.setdefault(path.partition("/")[0], []).append(path.partition("/")[2])
        self.handle.attrs["order"] = json.dumps(groups)

    def header(self, provenance: Mapping, grid: Grid, times: np.ndarray | None):
        """Root attributes, coordinates and boundary conditions."""
        handle = self.handle
        text = json.dumps(dict(provenance), sort_keys=True, default=_plain)
        if len(text) > 60_000:  # HDF5 keeps attributes below 64 KiB
            raise DataError(
                given=f"provenance of {len(text)} characters", needed="at most 60,000", remedy="Keep long records outside."
            )
        attrs = {
            "schema": SCHEMA,
            "family": provenance.get("family", ""),
            "equation": provenance.get("latex", provenance.get("equation", "")),
            "sympy_srepr": provenance.get("sympy_srepr", ""),
            "dimension": grid.dimension,
            "split": provenance.get("split", "train"),
            "n_samples": self.n,
            "created_by": provenance.get("version", ""),
            "license": provenance.get("license", "CC0-1.0"),
            "citation": provenance.get("citation", ""),
            "seed_root": provenance.get("seed", -1),
            "rng": "philox",
            "float_compute": "float64",
            "float_store": provenance.get("float_store", "float32"),
            "provenance": text,
        }
        for key in sorted(attrs):
            handle.attrs[key] = attrs[key]
        for axis in grid.axes:
            dataset = handle.create_dataset(f"coords/{axis.name}", data=axis.coordinates())
            dataset.attrs["units"] = ""
            dataset.attrs["location"] = "cell" if axis.is_cell else "node"
            dataset.attrs["kind"] = axis.kind
            dataset.attrs["periodic"] = axis.kind == "periodic"
            for key in ("length", "start", "stop"):
                dataset.attrs[key] = getattr(axis, key)
            dataset.attrs["boundary"] = list(axis.boundary)
            for side, condition in zip(("start", "stop"), axis.boundary, strict=True):
                group = handle.create_group(f"bc/{axis.name}_{side}")
                group.attrs["type"] = condition
                group.attrs["field"] = ",".join(provenance.get("unknowns", ()))
        if times is not None:
            handle.create_dataset("coords/t", data=np.asarray(times, dtype=np.float64)).attrs["units"] = ""


@contextlib.contextmanager
def writing(path: str | Path, n_samples: int, needed_bytes: int = 0, compression: int | None = 4) -> Iterator[Writer]:
    """`with writing(path, n) as writer:` an HDF5 file that appears whole at `path`, or not at all."""
    import h5py

    require_space(path, needed_bytes)
    with atomic_path(path) as temporary, open(temporary, "w+b", buffering=0) as raw:
        sink = _Sink(raw)
        with h5py.File(sink, "w") as handle:
            yield Writer(handle, n_samples, compression, sink)
        sink.check()


def attributes(array: LazyArray, grid: Grid) -> dict:
    """Attributes of a field or input."""
    return {
        "rank": int(array.dims[-1] == "component"),
        "units": "",
        "location": "cell" if any(axis.is_cell for axis in grid.axes) else "node",
        "dim_varying": [name in array.dims for name in grid.names],
        "time_varying": "time" in array.dims,
    }


def read(path: str | Path) -> dict:
    """Everything that `Dataset` is made of, from a file in our layout: lazy arrays, and small arrays loaded."""
    path = str(Path(path).absolute())
    handle: Any = open_file(path)
    if handle.attrs.get("schema") != SCHEMA:
        raise DataError(
            given=f"file {path!r} with schema {handle.attrs.get('schema')!r}",
            needed=f"schema {SCHEMA!r}",
            remedy="Open it with Dataset.open, which also reads foreign layouts, or upgrade this package.",
        )
    try:
        axes = []
        for name in "xyz":
            if f"coords/{name}" in handle:
                a: Any = handle[f"coords/{name}"]
                first, last = (str(side) for side in a.attrs["boundary"])
                cells = str(a.attrs["kind"]) == "periodic" and str(a.attrs["location"]) == "cell"
                ends = float(a.attrs["start"]), float(a.attrs["stop"])
                axes.append(Axis(name, len(a), *ends, str(a.attrs["kind"]), (first, last), cells))
        content = {"grid": Grid(tuple(axes)), "times": handle["coords/t"][...] if "coords/t" in handle else None}
        order = json.loads(handle.attrs["order"])
        for group in GROUPS:
            items = {name: handle[f"{group}/{name}"] for name in order.get(group, ())}
            content[group] = {
                name: LazyArray(FileSource(path, f"{group}/{name}", item.shape, item.dtype), json.loads(item.attrs["dims"]))
                for name, item in items.items()
            }
        content["parameters"] = {name: handle[f"params/{name}"][...] for name in order.get("params", ())}
        content["index"] = {name: handle[f"index/{name}"][...] for name in order.get("index", ())}
        content["provenance"] = json.loads(handle.attrs["provenance"])
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise DataError(
            given=f"file {path!r} that does not keep to layout {SCHEMA!r} ({error})",
            needed="a complete file",
            remedy="It is damaged: copy it again, or generate it again.",
        ) from error
    return content


def _plain(value):
    """NumPy scalars and arrays, mappings and anything else as JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)
