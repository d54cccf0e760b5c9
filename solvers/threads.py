"""How many threads a solver may use for independent samples."""

import os


def cores() -> int:
    """Processor cores that this process may run on.

    >>> cores() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def available() -> int:
    """Cores, or OMP_NUM_THREADS where that is less: worker processes, which share the cores, are given one thread each."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(cores(), max(1, int(asked))) if asked.isdigit() else cores()
