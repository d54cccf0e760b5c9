"""What a sample of a problem costs on this machine, and how wrong it is: measured, not looked up."""

import time
from dataclasses import dataclass

from pdes.dataset import Dataset
from pdes.generation import generate
from pdes.job import Job
from pdes.problem import Problem

USUAL = {0: (), 1: 128, 2: 64, 3: 32}
"""Points per axis of a first look, by dimension."""


@dataclass(frozen=True)
class Cost:
    """One sample at a time, on one process.

    resolution : stored points per axis.   computed : points of the solve.
    first_seconds : of the first sample: compilation, the choice of a step and the refined twin included.
    seconds : of one sample once all that is done.   bytes : stored, without compression.
    label_error : relative L2 distance of sample 0 to its refined twin.
    """

    resolution: int | tuple[int, ...]
    computed: tuple[int, ...]
    first_seconds: float
    seconds: float
    bytes: int
    label_error: float


def measure(
    problem: Problem, resolution: int | tuple[int, ...] | None = None, seed: int = 0, n: int = 1
) -> tuple[Dataset, Cost]:
    """Solve the first n samples, and one more against the clock.

    Parameters
    ----------
    problem : what to solve.
    resolution : points per axis; None takes 128, 64 or 32 in one, two or three dimensions.
    seed, n : as in `generate`. Samples are solved one by one, so they may differ from `generate`'s by rounding.

    Returns
    -------
    The samples in memory, and what they cost.

    Examples
    --------
    >>> import pdes
    >>> data, cost = measure(pdes.get("poisson_dirichlet"), 16)
    >>> len(data), cost.computed, cost.label_error < 0.01
    (1, (64, 64), True)
    """
    resolution = USUAL[problem.domain.dimension] if resolution is None else resolution
    alone = problem.replace(chunk=1, measure_every=10**6)  # sample 0 alone has a refined twin
    started = time.perf_counter()
    data = generate(alone, n, resolution, seed, progress=False)
    first = time.perf_counter() - started
    job = Job.of(alone, resolution, seed)
    if n == 1:
        job.compute(1)  # compiles what the twin, on its own grid, did not
    started = time.perf_counter()
    job.compute(n)
    seconds = time.perf_counter() - started
    arrays = [*data.fields.values(), *data.inputs.values()]
    size = sum(a.nbytes for a in arrays) // len(data)
    error = float(data.quality["label_error"][0])
    return data, Cost(resolution, alone.compute_grid(job.resolution).shape, first, seconds, size, error)
