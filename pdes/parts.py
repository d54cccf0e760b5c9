"""Finished chunks of a generation, on disk or in memory, read as one long array per name."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pdes.arrays import LazyArray
from pdes.job import Job
from solvers.errors import SettingError
from solvers.files import atomic_path, write_bytes
from solvers.result import Outcome

Chunk = dict[str, np.ndarray]


class MemoryParts:
    """Chunks kept in memory."""

    def __init__(self):
        self.chunks: dict[int, Chunk] = {}

    def done(self) -> set[int]:
        """Numbers of the chunks that are there."""
        return set(self.chunks)

    def put(self, number: int, chunk: Chunk) -> None:
        """Keep a chunk."""
        self.chunks[number] = chunk

    def load(self, number: int, name: str) -> np.ndarray:
        """One array of one chunk."""
        return self.chunks[number][name]

    def names(self) -> list[str]:
        """Names of the arrays, in the order in which chunk 0 has them."""
        return list(self.chunks[0])

    def announce(self, numbers) -> None:
        """These chunks will be loaded next; nothing to prepare."""


class FolderParts:
    """Chunks as files in a folder, each whole or absent; a killed generation goes on from them.

    Raises
    ------
    SettingError : the folder holds the chunks of another problem, seed or resolution.
    """

    def __init__(self, folder: Path, digest: str, resume: bool):
        self.folder = folder
        record = folder / "job.json"
        if folder.exists() and not resume:
            shutil.rmtree(folder)
        if record.exists():
            found = json.loads(record.read_text()).get("digest")
            if found != digest:
                raise SettingError(
                    given=f"unfinished work in {str(folder)!r} of another problem, seed, resolution or version (job {found})",
                    needed=f"work of this job ({digest})",
                    remedy="Take another path, repeat the earlier call, or pass resume=False to throw that work away.",
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(record, json.dumps({"digest": digest}).encode())
        for litter in folder.glob(".*.tmp"):  # what a kill left of a chunk that was being written
            litter.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"chunk-{number:06d}.npz"

    def done(self) -> set[int]:
        """Numbers of the chunks that are there and readable."""
        numbers = set()
        for path in self.folder.glob("chunk-*.npz"):
            try:
                with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as archive:
                    archive["seconds"]
                numbers.add(int(path.stem.partition("-")[2]))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                path.unlink()
        return numbers

    def put(self, number: int, chunk: Chunk) -> None:
        """Write a chunk, atomically."""
        with atomic_path(self._path(number)) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, allow_pickle=False, **chunk)

    def load(self, number: int, name: str) -> np.ndarray:
        """One array of one chunk."""
        with np.load(self._path(number), allow_pickle=False) as archive:
            return archive[name]

    def names(self, number: int = 0) -> list[str]:
        """Names of the arrays, in the order in which a chunk has them."""
        with np.load(self._path(number), allow_pickle=False) as archive:
            return list(archive.files)

    def draws(self, numbers: range) -> tuple[np.ndarray, np.ndarray, float]:
        """Attempts and causes of some chunks' samples, and the seconds that they took."""
        attempts, causes = (np.concatenate([self.load(c, name) for c in numbers]) for name in ("quality/attempt", "cause"))
        return attempts, causes, sum(float(self.load(c, "seconds")) for c in numbers)

    def window(self, first: int) -> "Window":
        """The chunks from number `first` on, counted from 0."""
        return Window(self, first)

    def drop(self, numbers: range) -> None:
        """Delete some chunks."""
        for number in numbers:
            self._path(number).unlink(missing_ok=True)

    def announce(self, numbers) -> None:
        """These chunks will be loaded next; nothing to prepare."""

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Window:
    """See `FolderParts.window`."""

    def __init__(self, parts: FolderParts, first: int):
        self.parts, self.first = parts, first

    def load(self, number: int, name: str) -> np.ndarray:
        """One array of one chunk."""
        return self.parts.load(self.first + number, name)

    def names(self) -> list[str]:
        """Names of the arrays."""
        return self.parts.names(self.first)

    def announce(self, numbers) -> None:
        """These chunks will be loaded next; nothing to prepare."""


def adopt(
    parts: FolderParts, job: Job, content: Mapping[str, Any], record: Mapping[str, Any], first: int, present: set[int]
) -> set[int]:
    """Take whole chunks out of a finished file (its content, see `pdes.storage.read`) instead of computing them again.

    record : the file's part of the manifest.   first : number of the chunk that the file begins with.
    present : chunks that are there already.
    """
    causes = {item["sample"]: Outcome[item["cause"]] for item in record.get("rejected", ())}
    seconds = np.array(record.get("seconds_per_sample", 0.0) * job.size)
    kinds = {"fields": "fields", "inputs": "inputs", "params": "parameters", "latent": "latent", "quality": "quality"}
    held = {f"{kind}/{name}": a for kind, key in kinds.items() for name, a in content[key].items()}
    ids, taken = content["index"]["sample_id"], set()
    for number in range(len(ids) // job.size):
        if first + number not in present:
            rows = slice(number * job.size, (number + 1) * job.size)
            arrays = {name: np.asarray(a[rows]) for name, a in held.items()}
            start = (first + number) * job.size
            cause = np.array([causes.get(i, Outcome.SUCCESS) for i in range(start, start + job.size)], dtype=np.int64)
            parts.put(first + number, arrays | {"index/sample_id": ids[rows], "cause": cause, "seconds": seconds})
            taken.add(first + number)
    return taken


class Parts(Protocol):
    """Where chunks come from."""

    def load(self, number: int, name: str) -> np.ndarray: ...

    def names(self) -> list[str]: ...

    def announce(self, numbers) -> None: ...


class PartsSource:
    """Source of a `LazyArray` over the chunks' arrays of one name."""

    where = "computed"
    deferred = True  # numbers per sample too stay unread until they are sliced

    def __init__(self, parts: Parts, name: str, n: int):
        first = parts.load(0, name)
        self.parts, self.name, self.size = parts, name, len(first)
        self.shape, self.dtype = (n, *first.shape[1:]), first.dtype

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        rows = np.asarray(rows, dtype=np.intp)
        owners = rows // self.size
        self.announce(rows)
        order = np.argsort(owners, kind="stable")  # each chunk is loaded once, whatever the order of the rows
        out = np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        out = np.empty((len(rows), *out.shape[1:]), self.dtype)
        for run in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1):
            if len(run):
                values = self.parts.load(int(owners[run[0]]), self.name)
                out[run] = values[(rows[run] % self.size, *rest)]
        return out

    def announce(self, rows: np.ndarray) -> None:
        """These rows will be read next."""
        self.parts.announce(np.unique(rows // self.size))


def lazy(parts: Parts, name: str, n: int) -> LazyArray:
    """The first n samples of one name; axes are named by their number (a `Dataset` gives fields their names)."""
    source = PartsSource(parts, name, n)
    return LazyArray(source, ("sample", *(f"mode{i}" for i in range(len(source.shape) - 1))))
