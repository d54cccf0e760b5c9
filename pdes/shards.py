"""A dataset in many files: a folder with shard-00000.h5, shard-00001.h5, ... and one manifest.json with their checksums.

Shard k holds the samples from k * shard_size on; it appears, whole, as soon as its samples are there, and is then never
touched again unless the dataset grows past its end. So a generation may be killed at any instant, and never needs more room
beside the shards than the chunks of those in progress.
"""

import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np

from pdes import manifest, storage
from pdes.arrays import FileSource, LazyArray
from pdes.executors import run
from pdes.job import Job
from pdes.parts import FolderParts, adopt
from pdes.progress import track
from solvers.errors import DataError, SettingError
from solvers.files import require_space, sync_folder, write_bytes

OPEN_SHARDS = 8
"""Files that one lazy array keeps open."""


def shard_path(folder: Path, number: int) -> Path:
    """File of one shard."""
    return folder / f"shard-{number:05d}.h5"


class Shards:
    """The shards of one job in one folder, done and to do."""

    def __init__(self, folder: Path, partial: Path, job: Job, n: int, shard_size: int | None, resume: bool):
        self.folder, self.job, self.n = folder, job, n
        if not resume:
            for path in [*folder.glob("shard-*.h5"), manifest.manifest_path(folder)] if folder.is_dir() else ():
                path.unlink(missing_ok=True)
        found = manifest.read(folder) if (folder / "manifest.json").exists() else None
        if found is not None and (found.get("job") != job.digest() or shard_size not in (None, found.get("shard_size"))):
            call = found.get("call", {})
            raise SettingError(
                given=f"folder {str(folder)!r}, which holds {call.get('problem', {}).get('name', 'other data')!r}"
                f" (seed {call.get('seed')}, shards of {found.get('shard_size')})",
                needed=f"no data there, or this very job's ({job.problem.name!r}, seed {job.seed}, shards of {shard_size})",
                remedy="Take another path, or pass resume=False to replace them.",
            )
        size = shard_size if found is None else found["shard_size"]
        if not isinstance(size, (int, np.integer)) or size < 1 or size % job.size:
            raise SettingError(
                given=f"shard_size={size!r}",
                needed=f"a multiple of {job.size}, the samples that are solved together",
                remedy=f"Take {max(1, round((size or 0) / job.size)) * job.size}."
                if isinstance(size, int)
                else "Pass an integer.",
            )
        self.size, self.chunks = int(size), int(size) // job.size
        self.enough = found is not None and found["n_samples"] >= n
        self.found = found
        if self.enough:
            return
        self.partial = partial
        self.parts = FolderParts(partial, job.digest(), resume)
        self.records = {i: record for i, record in enumerate(found["files"])} if found is not None else {}
        for path in partial.glob("shard-*.json"):  # of this run, also where the last shard of an earlier one has grown
            self.records[int(path.stem.partition("-")[2])] = json.loads(path.read_text())

    def rows(self, shard: int) -> int:
        """Samples that a shard has in the end."""
        return min(self.size, self.n - shard * self.size)

    def done(self, shard: int) -> bool:
        """Is this shard complete?"""
        record = self.records.get(shard)
        return record is not None and record["n_samples"] == self.rows(shard) and shard_path(self.folder, shard).exists()

    def fill(self, assemble, workers, progress: bool) -> None:
        """Compute what is missing; `assemble(parts, n, path)` writes one shard."""
        present = self.parts.done()
        shards = [s for s in range(-(-self.n // self.size)) if not self.done(s)]
        wanted = {s: range(s * self.chunks, s * self.chunks + self.job.count(self.rows(s))) for s in shards}
        for shard in shards:
            path = shard_path(self.folder, shard)
            if path.exists() and shard in self.records:  # a shard that was the last one and grows
                present |= adopt(self.parts, self.job, storage.read(path), self.records[shard], shard * self.chunks, present)
        missing = [chunk for shard in shards for chunk in wanted[shard] if chunk not in present]
        left = {shard: len(set(wanted[shard]) - present) for shard in shards}
        for shard in [s for s in shards if not left[s]]:
            self._finish(shard, wanted[shard], assemble)
        total = self.job.count(self.n)
        with track(f"{self.job.problem.name}: {self.n} samples", total, total - len(missing), progress) as advance:
            for position, (chunk, arrays) in enumerate(run(self.job, missing, workers)):
                if position == 0:
                    require_space(self.parts.folder / "chunk", sum(v.nbytes for v in arrays.values()) * len(missing) // 10)
                self.parts.put(chunk, arrays)
                shard = chunk // self.chunks
                left[shard] -= 1
                if not left[shard]:
                    self._finish(shard, wanted[shard], assemble)
                advance()

    def _finish(self, shard: int, chunks: range, assemble) -> None:
        """One shard from its chunks: first the file, aside; then its record; then the file into its place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside, target = self.partial / shard_path(self.folder, shard).name, shard_path(self.folder, shard)
        data = assemble(self.parts.window(chunks.start), self.rows(shard), aside)
        attempts, causes, seconds = self.parts.draws(chunks)
        record = manifest.of_file(aside, data) | manifest.of_draws(
            self.job, len(data), attempts, causes, seconds, first=shard * self.size
        )
        del data  # closes the file
        write_bytes(self.partial / f"{target.stem}.json", json.dumps(record).encode())
        os.replace(aside, target)
        sync_folder(self.folder)
        self.records[shard] = record
        self.parts.drop(chunks)

    def close(self, run_record: dict) -> None:
        """Write the manifest and remove the working folder."""
        files = [self.records[shard] for shard in range(-(-self.n // self.size))]
        seconds, rejected = sum(f["seconds"] for f in files), [r for f in files for r in f["rejected"]]
        lost = sum(r["substitute"] for r in rejected)
        record = run_record | {"shard_size": self.size, "files": files, "seconds": round(seconds, 3)}
        record |= {
            "acceptance": self.n / (self.n + lost),
            "seconds_per_sample": seconds / (self.job.count(self.n) * self.job.size),
        }
        manifest.write(manifest.manifest_path(self.folder), record)
        self.parts.remove()


class ConcatenatedSource:
    """Datasets of one name in consecutive files, as one array; files are opened when a row of theirs is read."""

    where = "files"
    deferred = True

    def __init__(self, paths: list[str], counts: list[int], name: str, shape: tuple[int, ...], dtype):
        self.paths, self.counts, self.name = paths, counts, name
        self.ends = np.cumsum(counts)
        self.shape, self.dtype = (int(self.ends[-1]), *shape), np.dtype(dtype)
        self._open: OrderedDict[int, FileSource] = OrderedDict()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": OrderedDict()}

    def _source(self, number: int) -> FileSource:
        if number not in self._open:
            shape = (self.counts[number], *self.shape[1:])
            self._open[number] = FileSource(self.paths[number], self.name, shape, self.dtype)
            while len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        rows = np.asarray(rows, dtype=np.intp)
        owners = np.searchsorted(self.ends, rows, side="right")
        order = np.argsort(owners, kind="stable")
        inner = [len(range(*s.indices(n))) for s, n in zip(rest, self.shape[1:], strict=True)]
        out = np.empty((len(rows), *inner), self.dtype)
        for part in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1):
            if len(part):
                number = int(owners[part[0]])
                first = self.ends[number] - self.counts[number]
                out[part] = self._source(number).read(rows[part] - first, rest)
        return out


def read(folder: Path) -> dict:
    """Arguments of `Dataset` for a folder of shards; only the first file is opened.

    Raises
    ------
    DataError : no manifest, or a shard that it names is missing.
    """
    record = manifest.read(folder)
    files = record.get("files") or []
    for item in files:
        if not (folder / item["file"]).exists():
            raise DataError(
                given=f"folder {str(folder)!r} without {item['file']!r}",
                needed="every shard of its manifest",
                remedy="Copy it again.",
            )
    if not files:
        raise DataError(given=f"folder {str(folder)!r} without shards", needed="a sharded dataset", remedy="Generate it again.")
    paths, counts = [str((folder / item["file"]).absolute()) for item in files], [item["n_samples"] for item in files]
    content = storage.read(paths[0])

    def joined(path, array, dims):
        return LazyArray(ConcatenatedSource(paths, counts, path, array.shape[1:], array.dtype), dims)

    for group in storage.GROUPS:
        content[group] = {name: joined(f"{group}/{name}", a, a.dims) for name, a in content[group].items()}
    for group, where in (("parameters", "params"), ("index", "index")):
        content[group] = {name: joined(f"{where}/{name}", a, ("sample",)) for name, a in content[group].items()}
    return content
