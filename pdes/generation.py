"""generate(): a problem becomes a dataset, in parallel, resumable, and the same bits every time."""

import os
from pathlib import Path

import numpy as np

from pdes import manifest, storage
from pdes.arrays import LazyArray
from pdes.dataset import Dataset
from pdes.executors import run
from pdes.job import Job
from pdes.parts import FolderParts, MemoryParts, Parts, adopt, lazy
from pdes.problem import Problem, get
from pdes.progress import track
from pdes.shards import Shards, shard_path
from solvers.errors import SettingError
from solvers.files import require_space


def generate(
    problem: Problem | str,
    n: int,
    resolution: int | tuple[int, ...] | None = None,
    seed: int = 0,
    path: str | os.PathLike | None = None,
    workers=1,
    resume: bool = True,
    progress: bool = True,
    compression: int | None = 4,
    shard_size: int | None = None,
) -> Dataset:
    """Draw n samples of a problem, solve them, and return (or store) them with measured label errors.

    Sample i depends on (problem, resolution, seed, i) alone: not on n, workers, order, or what was there before. So a
    dataset can be grown by asking for more, and the first samples stay.

    Parameters
    ----------
    problem : a `Problem`, or the name of one that comes with the package (`pdes.names()`).
    n : samples.
    resolution : stored points per axis (one number, or one per axis). The solve may run on a finer grid (`Problem.refine`).
        Ordinary equations need none.
    seed : root of all random keys, >= 0.
    path : an .h5 file to write; None keeps the data in memory. Beside it `<path>.manifest.json` records checksum, versions,
        machine, time and rejected draws; while it is being made, finished parts wait in `<path>.partial`.
    workers : processes on this machine, or a `dask.distributed.Client`.
    resume : go on from finished parts, or from a finished file with fewer samples. False starts over.
    progress : show a bar with the time left.
    compression : gzip level of the file, None for none.
    shard_size : samples per file: `path` is then a folder with shard-00000.h5, ... and one manifest.json; each file appears
        when its samples are done. A multiple of the samples that are solved together (16 of most problems).

    Raises
    ------
    SettingError : the file or the parts at `path` belong to another problem, seed or resolution.
    SolverError : a sample failed for too many draws.
    DiskFull : no space left; finished parts are kept.

    Examples
    --------
    >>> data = generate("poisson_dirichlet", n=3, resolution=16, seed=7, progress=False)
    >>> data.fields["u"].shape
    (3, 16, 16)
    """
    problem = get(problem) if isinstance(problem, str) else problem
    resolution = () if resolution is None else resolution
    if not isinstance(n, (int, np.integer)) or n < 1 or seed < 0:
        raise SettingError(given=f"n={n!r}, seed={seed!r}", needed="n >= 1 and seed >= 0, integers", remedy="Mend them.")
    job = Job.of(problem, resolution, int(seed))
    if path is None:
        parts = MemoryParts()
        _fill(parts, job, n, workers, progress)
        return dataset_of(parts, job, n).in_memory()
    path = Path(path)
    if shard_size is not None or path.is_dir():
        return _in_shards(path, job, n, shard_size, workers, resume, progress, compression)
    found = _existing(path, job) if resume else None
    if found is not None and len(found) >= n:
        if not manifest.manifest_path(path).exists():  # killed between the two writes
            _write_manifest(path, job, None, found)
        FolderParts(_partial_path(path), job.digest(), resume=False).remove()
        return found[: int(n)]
    parts = FolderParts(_partial_path(path), job.digest(), resume)
    if found is not None:
        before = manifest.read(path) if manifest.manifest_path(path).exists() else {}
        adopt(parts, job, storage.read(path), before, 0, parts.done())
    _fill(parts, job, n, workers, progress)
    data = dataset_of(parts, job, n).save(path, compression)
    _write_manifest(path, job, parts, data)
    parts.remove()
    return data


def _in_shards(path: Path, job: Job, n: int, shard_size, workers, resume: bool, progress: bool, compression) -> Dataset:
    """`generate` into a folder."""
    if path.is_file():
        raise SettingError(
            given=f"shard_size={shard_size} with {str(path)!r}, which is a file", needed="a folder", remedy="Take another path."
        )
    shards = Shards(path, _partial_path(path), job, int(n), shard_size, resume)
    if not shards.enough:
        shards.fill(lambda parts, rows, file: dataset_of(parts, job, rows).save(file, compression), workers, progress)
        shards.close(manifest.of_run(job, int(n), Dataset.open(shard_path(path, 0))))
    return Dataset.open(path)[: int(n)]


def _fill(parts: MemoryParts | FolderParts, job: Job, n: int, workers, progress: bool) -> None:
    """Compute the chunks that are missing."""
    finished = parts.done()
    missing = [chunk for chunk in range(job.count(n)) if chunk not in finished]
    with track(f"{job.problem.name}: {n} samples", job.count(n), job.count(n) - len(missing), progress) as advance:
        for position, (chunk, arrays) in enumerate(run(job, missing, workers)):
            if position == 0 and isinstance(parts, FolderParts):
                each = sum(values.nbytes for values in arrays.values())
                require_space(parts.folder / "chunk", each * len(missing))
            parts.put(chunk, arrays)
            advance()


def dataset_of(parts: Parts, job: Job, n: int, lazily: bool = False) -> Dataset:
    """The dataset of the first n samples; `lazily` leaves the numbers per sample where they are, too."""
    kinds = {"fields": {}, "inputs": {}, "latent": {}, "params": {}, "quality": {}, "index": {}}
    times = job.problem.times
    for name in parts.names():
        kind, _, short = name.partition("/")
        if kind in kinds and short:
            array = lazy(parts, name, n)
            if kind == "quality" and times is not None and array.shape[1:] == times.shape:
                array = LazyArray(array.source, ("sample", "time"))
            kinds[kind][short] = array if lazily or kind in ("fields", "inputs", "latent") else array[...]
    return Dataset(
        fields=kinds["fields"],
        inputs=kinds["inputs"],
        latent=kinds["latent"],
        parameters=kinds["params"],
        quality=kinds["quality"],
        index=kinds["index"],
        grid=job.problem.stored_grid(job.resolution),
        times=times,
        provenance=provenance(job),
    )


def provenance(job: Job) -> dict:
    """What the file says of its origin; nothing of clock or machine, so that equal data are equal files."""
    problem = job.problem
    compute = problem.compute_grid(job.resolution)
    return {
        **problem.to_json(),
        "family": problem.name,
        "job": job.digest(),
        "seed": job.seed,
        "resolution": list(problem.stored_grid(job.resolution).shape),
        "chunk_size": job.size,
        "unknowns": list(problem.equation.unknowns),
        "latex": problem.equation.latex(),
        "sympy_srepr": problem.equation.srepr(),
        "version": f"sciml-operators {manifest.version()}",
        "description": problem.description,
        "citation": problem.citation,
        "license": "CC0-1.0",
        "solver": {
            "name": type(problem.solver).__name__,
            "settings": repr(problem.solver),
            "grid": list(compute.shape),
            "filter": _filter_name(job),
        },
    }


def _filter_name(job: Job) -> str:
    if job.problem.compute_grid(job.resolution).shape == job.problem.stored_grid(job.resolution).shape:
        return "none"
    axis = job.problem.stored_grid(job.resolution).axes[-1]
    return "cell averages" if axis.is_cell else "spectral truncation" if axis.kind == "periodic" else "common points"


def _partial_path(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _existing(path: Path, job: Job) -> Dataset | None:
    """What an earlier run left at `path`, if it is this job's."""
    if not path.exists():
        return None
    data = Dataset.open(path)
    if data.provenance.get("job") != job.digest():
        raise SettingError(
            given=f"file {str(path)!r}, which holds {data.provenance.get('family', 'other data')!r}"
            f" (seed {data.provenance.get('seed')}, resolution {data.provenance.get('resolution')})",
            needed=f"no file there, or one of this very job ({job.problem.name!r}, seed {job.seed})",
            remedy="Take another path, or pass resume=False to replace the file.",
        )
    return data


def _write_manifest(path: Path, job: Job, parts: FolderParts | None, data: Dataset) -> None:
    """The sidecar of one file; without parts (killed between the two writes) it lacks the cost."""
    record = manifest.of_run(job, len(data), data) | manifest.of_file(path, data)
    if parts is not None:
        record |= manifest.of_draws(job, len(data), *parts.draws(range(job.count(len(data)))))
    manifest.write(manifest.manifest_path(path), record)
