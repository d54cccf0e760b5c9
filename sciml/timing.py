"""Wall-clock measurement: the median of repeated calls after a warm-up."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def median_seconds(call: Callable[[], Any], *, repeats: int = 20, warmup: int = 2, budget: float = 5.0) -> float:
    """Median wall time of `call()` in seconds; fewer repeats (at least 3) once `budget` seconds are spent."""
    for _ in range(warmup):
        call()
    times: list[float] = []
    while len(times) < 3 or (len(times) < repeats and sum(times) < budget):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))
