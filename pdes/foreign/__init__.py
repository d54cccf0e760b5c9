"""Datasets of other projects, read as they are: one adapter per file in this folder, recognised by content.

An adapter has `LAYOUT` (a sentence for error messages), `matches(path, file)` with `file` an open HDF5 file or None, and
`read(path, file)` that returns the arguments of `Dataset`. Nothing here unpickles.
"""

import importlib
import os
import pkgutil
from pathlib import Path

import numpy as np

from pdes.arrays import LazyArray, open_file
from pdes.storage import SCHEMA
from solvers.errors import DataError
from solvers.grid import Axis

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


def read(path: Path) -> dict:
    """Arguments of `Dataset` for a foreign file.

    Raises
    ------
    DataError : no adapter knows the file; the message lists the layouts that are read.
    """
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
            content["provenance"] = {
                "family": path.stem,
                "source": path.name,
                "layout": adapter.LAYOUT,
                **content.get("provenance", {}),
            }
            return content
    found = f"HDF5 with {sorted(file)[:8]}" if file is not None else "not HDF5"
    layouts = "; ".join(adapter.LAYOUT for adapter in adapters())
    raise DataError(
        given=f"file {str(path)!r} of unknown layout ({found})",
        needed=f"our own HDF5 ({SCHEMA}), or one of: {layouts}",
        remedy="If it should be one of these, it is damaged: copy it again. Otherwise build a Dataset(...) yourself.",
    )


def uniform_axis(name: str, points: np.ndarray, periodic: bool, where: str, boundary=("free", "free")) -> Axis:
    """The axis through stored coordinates: periodic, or cell centres (files of other projects rarely say which)."""
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
        return Axis(name, len(points), points[0], points[0] + len(points) * h)
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
