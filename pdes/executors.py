"""Where chunks are computed: here, in spawned processes, or on a Dask cluster. The tasks are the same, and so are the bits."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator

import numpy as np

from pdes.job import Job
from solvers.errors import SettingError

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def run(job: Job, chunks: list[int], workers) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(chunk, arrays) for each of `chunks`, in the order in which they finish.

    workers : 1 computes here, k > 1 in k spawned processes of one thread each, `Processes` in those, a
        `dask.distributed.Client` on its cluster.
    """
    if isinstance(workers, Processes):
        yield from workers.run(job, chunks)
    elif hasattr(workers, "submit") and hasattr(workers, "scheduler_info"):
        yield from _on_dask(job, chunks, workers)
    elif not isinstance(workers, (int, np.integer)) or isinstance(workers, bool) or workers < 1:
        raise SettingError(
            given=f"workers={workers!r}", needed="a count >= 1 or a dask.distributed.Client", remedy="Pass workers=2, say."
        )
    elif workers == 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield chunk, job.compute(chunk)
    else:
        processes = Processes(min(int(workers), len(chunks)))
        try:
            yield from processes.run(job, chunks)
        finally:
            processes.close()


class Processes:
    """k spawned processes of one thread each, which wait for chunks until they are closed."""

    def __init__(self, k: int):
        self.k = k
        context = multiprocessing.get_context("spawn")  # never fork once JAX or torch may have run
        self.pool = concurrent.futures.ProcessPoolExecutor(
            k, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
        )

    def run(self, job: Job, chunks: list[int]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """(chunk, arrays), in the order in which they finish. A short queue: results do not pile up in memory."""
        waiting = list(reversed(chunks))
        running = {}
        while waiting or running:
            with environment(ONE_THREAD):  # read by the libraries of the children as they start
                while waiting and len(running) < 2 * self.k:
                    chunk = waiting.pop()
                    running[self.pool.submit(job.compute, chunk)] = chunk
            finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()

    def close(self) -> None:
        """Let the processes go; what they have not begun is dropped."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def _on_dask(job: Job, chunks: list[int], client) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    from dask.distributed import as_completed

    # Keys of this call alone: those of an earlier call with the same job may be on their way out of the cluster.
    call = uuid.uuid4().hex
    shared = client.scatter(job, broadcast=True, hash=False)
    waiting = list(reversed(chunks))

    def submit():
        chunk = waiting.pop()
        future = client.submit(_compute, shared, chunk, key=f"{call}-{chunk}", pure=False)
        running[future] = chunk
        return future

    running: dict = {}
    ahead = 2 * max(1, sum(client.nthreads().values()))  # a short queue: results do not pile up on the workers
    futures = as_completed([submit() for _ in range(min(ahead, len(waiting)))])
    for future in futures:
        yield running.pop(future), future.result()
        if waiting:
            futures.add(submit())


def _compute(job: Job, chunk: int) -> dict[str, np.ndarray]:
    return job.compute(chunk)


def _start_worker(parent: int) -> None:
    """In a worker: leave Ctrl-C to the parent, and go when the parent is gone (a kill -9 tells nobody)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    """Environment variables for the children that start inside; `ONE_THREAD` is read as their libraries are loaded."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
