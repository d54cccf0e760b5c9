"""Arrays that are read when they are sliced: NumPy's slicing over an HDF5 dataset, without loading it.

A `LazyArray` is a source (a NumPy array, or a dataset inside an HDF5 file) and one selection per axis. Slicing gives a NumPy
array; `view` gives another `LazyArray`. File handles are opened once per process, on first use, and never pickled or shared
across a fork.
"""

import os
import threading
import weakref
from collections.abc import Sequence

import numpy as np

from solvers.errors import DataError

# Weak: a file closes when nothing lazy holds it any more, and can then be written by others.
_handles: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_lock = threading.Lock()


def open_file(path: str):
    """The process's handle on an HDF5 file, opened on first use. A file replaced on disk is opened anew.

    Raises
    ------
    DataError : the file is missing, truncated, or not HDF5.
    """
    import h5py

    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(
            given=f"no readable file at {path!r}", needed="an HDF5 dataset", remedy="Check the path, or generate it first."
        ) from error
    key = (os.getpid(), os.path.abspath(path), status.st_ino, status.st_mtime_ns)
    with _lock:
        handle = _handles.get(key)
        if handle is None:
            try:
                handle = h5py.File(path, "r", locking="best-effort")
            except OSError as error:
                raise DataError(
                    given=f"file {path!r} that HDF5 cannot open ({error})",
                    needed="a complete HDF5 file",
                    remedy="It is truncated or of another kind: copy it again, or generate it again.",
                ) from error
            _handles[key] = handle
        return handle


class MemorySource:
    """Values in memory."""

    where = "memory"

    def __init__(self, values: np.ndarray):
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, rows: range | np.ndarray, rest: tuple[slice, ...]) -> np.ndarray:
        """Rows along axis 0 (in the order given), slices along the others."""
        first = (
            slice(rows.start, rows.stop, rows.step)
            if isinstance(rows, range) and len(rows) and rows.step > 0
            else np.asarray(rows, dtype=np.intp)
        )
        return self.values[(first, *rest)]


class FileSource:
    """A dataset inside an HDF5 file."""

    where = "file"

    def __init__(self, path: str, name: str, shape: tuple[int, ...], dtype):
        self.path, self.name, self.shape, self.dtype = path, name, tuple(shape), np.dtype(dtype)
        self._handle = None  # (process, file, dataset)

    def __getstate__(self):
        return {**self.__dict__, "_handle": None}

    def dataset(self):
        """The h5py dataset of this process."""
        if self._handle is None or self._handle[0] != os.getpid():
            file = open_file(self.path)
            self._handle = (os.getpid(), file, file[self.name])
        return self._handle[2]

    def read(self, rows: range | np.ndarray, rest: tuple[slice, ...]) -> np.ndarray:
        """Rows along axis 0 (in the order given), slices along the others. Contiguous runs of rows are one read each."""
        rows = np.asarray(rows, dtype=np.intp)
        shape = (len(rows), *(len(range(*s.indices(n))) for s, n in zip(rest, self.shape[1:], strict=True)))
        out = np.empty(shape, self.dtype)
        if 0 in shape:
            return out
        wanted, inverse = np.unique(rows, return_inverse=True)
        ordered = bool(np.all(np.diff(rows) > 0))
        target = out if ordered else np.empty((len(wanted), *shape[1:]), self.dtype)
        runs = np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted) != 1) + 1)
        try:
            dataset = self.dataset()
            for run in runs:
                target[run[0] : run[-1] + 1] = dataset[(slice(int(wanted[run[0]]), int(wanted[run[-1]]) + 1), *rest)]
        except (OSError, KeyError) as error:
            raise DataError(
                given=f"file {self.path!r} whose {self.name!r} cannot be read ({error})",
                needed="intact data (checksums are verified)",
                remedy="The file is truncated or damaged: copy it again, or generate it again.",
            ) from error
        return target if ordered else target[inverse]


class LazyArray:
    """An array read on slicing.

    Parameters
    ----------
    source : where values come from (`MemorySource`, `FileSource`, or anything with shape, dtype and read(rows, rest)).
    dims : name of each axis, e.g. ("sample", "time", "x", "y").
    select : per axis, a range or (first axis only) an integer array of positions in the source; None takes all.

    Examples
    --------
    >>> a = LazyArray.of(np.arange(12).reshape(4, 3), ("sample", "x"))
    >>> a.shape, a[1:3, -1], a.view(0, [3, 1])[:, 0]
    ((4, 3), array([5, 8]), array([9, 3]))
    """

    def __init__(self, source, dims: Sequence[str], select: tuple | None = None):
        self.source, self.dims = source, tuple(dims)
        self.select = tuple(range(n) for n in source.shape) if select is None else select

    @classmethod
    def of(cls, values, dims: Sequence[str]) -> "LazyArray":
        """From a NumPy array in memory."""
        return cls(MemorySource(np.asarray(values)), dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(s) for s in self.select)

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        return self.source.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.select)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes when loaded."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def view(self, axis: int, key) -> "LazyArray":
        """Another lazy array: a slice of one axis; along axis 0 also a list, an integer array or a mask."""
        chosen = _subset(self.select[axis], key, self.shape[axis], self.dims[axis])
        return LazyArray(self.source, self.dims, (*self.select[:axis], chosen, *self.select[axis + 1 :]))

    def announce(self, rows) -> None:
        """Say which rows will be read one by one: a source that computes its values computes all of them together."""
        if hasattr(self.source, "announce"):
            self.source.announce(np.asarray(_subset(self.select[0], rows, len(self), self.dims[0])))

    def __getitem__(self, key) -> np.ndarray:
        keys = _expand(key, self.ndim)
        drops, later, taken = [], [], []
        for axis, part in enumerate(keys):
            if isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_)):
                position = range(len(self.select[axis]))[part]  # IndexError as NumPy's, negative counts from the end
                taken.append(_subset(self.select[axis], slice(position, position + 1), self.shape[axis], self.dims[axis]))
                drops.append(axis)
            elif isinstance(part, slice) or axis == 0:
                taken.append(_subset(self.select[axis], part, self.shape[axis], self.dims[axis]))
            else:  # a list on an inner axis: read the axis, pick afterwards
                taken.append(self.select[axis])
                later.append((axis, _positions(part, self.shape[axis], self.dims[axis])))
        rest, flips = zip(*(_as_slice(s) for s in taken[1:]), strict=True) if self.ndim > 1 else ((), ())
        values = self.source.read(taken[0], tuple(rest))
        values = np.flip(values, tuple(axis + 1 for axis, flip in enumerate(flips) if flip)) if any(flips) else values
        for axis, positions in later:
            values = np.take(values, positions, axis=axis)
        for axis in reversed(drops):
            values = values[(slice(None),) * axis + (0,)]
        return values

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        values = np.asarray(self[...], dtype=dtype)
        return values.copy() if copy else values

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        where = getattr(self.source, "where", "computed")
        sizes = ", ".join(f"{d}: {n if n < 2**60 else 'endless'}" for d, n in zip(self.dims, self.shape, strict=True))
        return f"LazyArray({sizes}; {self.dtype}, {where})"


def _expand(key, ndim: int) -> list:
    """One entry per axis, with `...` filled in."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(k is Ellipsis for k in keys) > 1 or any(k is None for k in keys):
        raise IndexError("an index may hold one ellipsis and no new axes; slice first, then reshape the NumPy array")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    missing = ndim - (len(keys) - 1)
    if missing < 0:
        raise IndexError(f"too many indices: the array has {ndim} axes, {len(keys) - 1} were given")
    return keys[:at] + [slice(None)] * missing + keys[at + 1 :]


def _positions(key, n: int, name: str) -> np.ndarray:
    """Non-negative positions of a list, an integer array or a mask."""
    key = np.asarray(key)
    if key.dtype == bool:
        if key.shape != (n,):
            raise IndexError(f"a mask of shape {key.shape} does not fit axis {name!r} of {n}")
        return np.flatnonzero(key)
    if key.size == 0:
        return np.zeros(0, dtype=np.intp)
    if key.ndim != 1 or key.dtype.kind not in "iu":
        raise IndexError(f"axis {name!r} takes an integer, a slice, a list of integers or a mask")
    if key.min() < -n or key.max() >= n:
        raise IndexError(f"index {int(key.max() if key.max() >= n else key.min())} is out of bounds for axis {name!r} of {n}")
    return np.where(key < 0, key + n, key).astype(np.intp)


def _subset(chosen: range | np.ndarray, key, n: int, name: str) -> range | np.ndarray:
    """Apply a slice, list or mask to a selection."""
    if isinstance(key, slice):
        return chosen[key]
    positions = _positions(key, n, name)
    return chosen.start + chosen.step * positions if isinstance(chosen, range) else chosen[positions]


def _as_slice(chosen: range) -> tuple[slice, bool]:
    """A range as a slice of positive step (HDF5 knows no other), and whether the result must be flipped."""
    if not isinstance(chosen, range):
        raise IndexError("only the sample axis may be viewed through a list of positions")
    if len(chosen) == 0:
        return slice(0, 0), False
    if chosen.step > 0:
        return slice(chosen[0], chosen[-1] + 1, chosen.step), False
    return slice(chosen[-1], chosen[0] + 1, -chosen.step), True
