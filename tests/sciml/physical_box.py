"""A physical layer of NumPy alone, and data for it, to hold rules, layers and drift against."""

import numpy as np

from sciml.physical.layer import PhysicalLayer


class Box(PhysicalLayer):
    """NumPy alone: tanh of a random mixture."""

    def __init__(self, n_in, n_out=40, seed=3):
        super().__init__(n_in, n_out)
        self.mix = np.random.default_rng(seed).standard_normal((n_in, n_out)).astype(np.float32) / np.sqrt(n_in)

    def respond(self, s):
        return np.tanh(s @ self.mix)

    def shifted(self, magnitude, rng):
        self.mix = self.mix + magnitude * rng.standard_normal(self.mix.shape).astype(np.float32) / np.sqrt(self.n_in)


def patterns(n=150, features=12, classes=3, seed=4, noise=0.5):
    """Noisy copies of one pattern for each class: (n, features), labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    x = np.random.default_rng(99).standard_normal((classes, features))[labels] + noise * rng.standard_normal((n, features))
    return x.astype(np.float32), labels
