"""Many independent pieces of work side by side: in processes of one thread each, or on a Dask cluster."""

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pdes.executors import ONE_THREAD, environment

Item = TypeVar("Item")


def done(work: Callable[[Item], dict], items: Sequence[Item], workers: Any) -> Iterator[tuple[Item, dict]]:
    """Items with what `work` made of them, in the order in which they are finished.

    workers : a number of processes, or a `dask.distributed.Client`.
    """
    if hasattr(workers, "submit") and hasattr(workers, "scheduler_info"):  # a Dask client
        from dask.distributed import as_completed

        futures = {workers.submit(work, item, pure=False): item for item in items}
        for future in as_completed(list(futures)):
            yield futures[future], future.result()
    elif workers == 1 or len(items) <= 1:
        for item in items:
            yield item, work(item)
    else:
        context = multiprocessing.get_context("spawn")
        with environment(ONE_THREAD), concurrent.futures.ProcessPoolExecutor(int(workers), mp_context=context) as pool:
            running = {pool.submit(work, item): item for item in items}
            for future in concurrent.futures.as_completed(running):
                yield running[future], future.result()
