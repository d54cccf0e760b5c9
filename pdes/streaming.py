"""stream(): a dataset that is computed where it is read, chunk by chunk, instead of being stored.

Its samples are those of `generate`, bit by bit: a chunk depends on (problem, resolution, seed, number) alone. The chunks read
last stay in memory, up to a bound.
"""

import threading
import weakref
from collections import OrderedDict

import numpy as np

from pdes.arrays import LazyArray
from pdes.dataset import UNBOUNDED, Dataset
from pdes.executors import Processes, run
from pdes.generation import dataset_of
from pdes.job import Job
from pdes.parts import Chunk
from pdes.problem import Problem, get
from pdes.scalars import Fixed
from solvers.errors import SettingError


def stream(
    problem: Problem | str,
    resolution: int | tuple[int, ...] | None = None,
    seed: int = 0,
    n: int | None = None,
    workers=1,
    cache_megabytes: float = 512.0,
) -> Dataset:
    """A `Dataset` whose samples are drawn and solved when they are sliced; nothing is written.

    Sample i equals sample i of `generate(problem, n, resolution, seed)`, so a stream may stand in for a file and the other
    way round. `sciml.fit` reads a stream of up to 2 GiB once; a larger one is solved again at every epoch, and its random
    order asks for a chunk (16 samples, often) per item, unless the chunks stay in the cache: store it with `generate` then.

    Parameters
    ----------
    problem : a `Problem`, or the name of one that comes with the package.
    resolution : stored points per axis, as for `generate`.
    seed : root of all random keys, >= 0.
    n : samples; None for a stream without an end, of which one takes slices (`stream(...)[:500]`).
    workers : processes on this machine, or a `dask.distributed.Client`: chunks that one reading needs are solved together.
    cache_megabytes : memory for the chunks read last, per process; one chunk is always kept.

    Raises
    ------
    SettingError : bad settings; the length of a stream without an end.
    SolverError : when a sample is read that failed for too many draws.

    Examples
    --------
    >>> import pdes
    >>> endless = stream("poisson_dirichlet", resolution=16, seed=7)
    >>> stored = pdes.generate("poisson_dirichlet", n=3, resolution=16, seed=7, progress=False)
    >>> bool((endless.fields["u"][2] == stored.fields["u"][2]).all()), len(endless[:500])
    (True, 500)
    """
    problem = get(problem) if isinstance(problem, str) else problem
    if (n is not None and (not isinstance(n, (int, np.integer)) or n < 1)) or seed < 0 or not cache_megabytes > 0:
        raise SettingError(
            given=f"n={n!r}, seed={seed!r}, cache_megabytes={cache_megabytes!r}",
            needed="n >= 1 or None, seed >= 0, cache_megabytes > 0",
            remedy="Mend them.",
        )
    if isinstance(workers, bool) or (isinstance(workers, (int, np.integer)) and workers < 1):
        raise SettingError(given=f"workers={workers!r}", needed="a count >= 1 or a Client", remedy="Pass workers=2, say.")
    job = Job.of(problem, () if resolution is None else resolution, int(seed))
    count = UNBOUNDED if n is None else int(n)
    data = dataset_of(ComputedParts(job, cache_megabytes * 1e6, workers), job, count, lazily=True)
    known = {"sample_id": LazyArray(IdSource(job, count), ("sample",))}
    constant = {
        name: np.broadcast_to(np.float64(law.value), (count,))
        for name, law in problem.parameters.items()
        if isinstance(law, Fixed)
    }
    return data.replace(index={**data.index, **known}, parameters={**data.parameters, **constant})


class ComputedParts:
    """Chunks that are computed when they are loaded (see `pdes.parts.MemoryParts`); the last ones stay."""

    def __init__(self, job: Job, limit: float, workers=1):
        self.job, self.limit, self.workers = job, limit, workers
        self._forget()

    def _forget(self) -> None:
        self._kept: OrderedDict[int, Chunk] = OrderedDict()
        self._bytes, self._announced, self._processes = 0, [], None
        self._lock = threading.RLock()  # `fit` reads ahead in a thread

    def __getstate__(self) -> dict:  # another process computes for itself
        return {"job": self.job, "limit": self.limit, "workers": 1}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()

    def announce(self, numbers) -> None:
        """These chunks will be loaded next: the first to be missing brings some of those behind it along."""
        with self._lock:
            self._announced = [int(number) for number in numbers]

    def load(self, number: int, name: str) -> np.ndarray:
        """One array of one chunk."""
        with self._lock:
            if number not in self._kept:
                self._compute(number)
            self._kept.move_to_end(number)
            return self._kept[number][name]

    def names(self) -> list[str]:
        """Names of the arrays."""
        self.load(0, "seconds")
        return list(self._kept[0])

    def _compute(self, number: int) -> None:
        together = [number]
        if not isinstance(self.workers, (int, np.integer)) or self.workers > 1:
            room = int(self.limit / self._chunk_bytes()) if self._kept else 1
            ahead = [c for c in self._announced if c != number and c not in self._kept]
            together += ahead[: max(0, min(room, self._at_once()) - 1)]
        for chunk, arrays in run(self.job, together, self._engine() if len(together) > 1 else 1):
            self._kept[chunk] = arrays
            self._bytes += _size(arrays)
        self._kept.move_to_end(number)
        while self._bytes > self.limit and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])

    def _chunk_bytes(self) -> int:
        return max(_size(chunk) for chunk in self._kept.values())

    def _at_once(self) -> int:
        """Chunks per round: enough to keep every worker busy."""
        if isinstance(self.workers, (int, np.integer)):
            return 4 * int(self.workers)
        return 4 * max(1, sum(self.workers.nthreads().values()))

    def _engine(self):
        """What `run` takes: processes of this stream's own, which stay until it is gone, or the client."""
        if not isinstance(self.workers, (int, np.integer)):
            return self.workers
        if self._processes is None:
            self._processes = Processes(int(self.workers))
            weakref.finalize(self, self._processes.close)
        return self._processes


class IdSource:
    """Sample ids, which need no solve."""

    where = "computed"
    deferred = True

    def __init__(self, job: Job, n: int):
        self.job, self.shape, self.dtype = job, (n,), np.dtype(np.uint64)

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        return np.array([self.job.problem.sample_id(self.job.seed, int(i)) for i in rows], dtype=np.uint64)


def _size(chunk: Chunk) -> int:
    return sum(values.nbytes for values in chunk.values())
