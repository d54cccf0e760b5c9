"""How many threads torch should use: as many as it has, unless the machine is busy.

torch's threads wait for each other by spinning. When another program holds one of the cores, every product of matrices waits
for the scheduler, and two threads were seen to be forty times slower than one. A short probe tells.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sensible_threads() -> Iterator[int]:
    """Use one thread inside the block if a probe finds that quicker than torch's own choice; yields the number used.

    >>> with sensible_threads() as count:
    ...     count >= 1
    True
    """
    import torch

    before = torch.get_num_threads()
    try:
        if before > 1:
            several = probe()
            torch.set_num_threads(1)
            if several < probe():
                torch.set_num_threads(before)
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def probe(repeats: int = 12) -> float:
    """Seconds of a few convolutions with their gradients, of the size that small operators use."""
    import torch

    generator = torch.Generator().manual_seed(7)
    field = torch.randn(8, 16, 64, 64, generator=generator)
    kernel = torch.randn(16, 16, 3, 3, generator=generator, requires_grad=True)
    began = time.perf_counter()
    for i in range(repeats + 2):
        if i == 2:  # the first calls warm up
            began = time.perf_counter()
        torch.nn.functional.gelu(torch.nn.functional.conv2d(field, kernel, padding=1)).sum().backward()
    return time.perf_counter() - began
