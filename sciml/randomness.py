"""Random streams that are functions of what they are for, so that training has no generator state to lose."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is used for; the first counter of every key."""

    ORDER = 1
    STEP = 2
    WEIGHTS = 3
    AUGMENT = 4
    BOOTSTRAP = 5


def generator(seed: int, purpose: Purpose, *counters: int) -> np.random.Generator:
    """NumPy generator that depends only on its arguments, e.g. `generator(seed, Purpose.ORDER, epoch)`."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, int(purpose), *map(int, counters)])))


def derived_seed(seed: int, purpose: Purpose, *counters: int) -> int:
    """A 63-bit seed for a framework's own generator."""
    return int(generator(seed, purpose, *counters).integers(2**63 - 1))
