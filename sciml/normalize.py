"""Normalisation per channel, fitted to training data only and saved with the operator.

Statistics are per channel, not per pixel, so that they hold at every resolution; they are merged over batches in float64 by
Chan's formula, which has no difference of large squares.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.errors import DataError


@dataclass(frozen=True)
class Normaliser:
    """x -> (x - shift) / scale with one shift and scale per channel, (channel,) float64."""

    shift: np.ndarray
    scale: np.ndarray

    def _shaped(self, values: np.ndarray, like) -> Any:
        shaped = values.reshape(1, -1, *(1,) * (like.ndim - 2))
        if isinstance(like, np.ndarray):
            return shaped.astype(like.dtype)
        if hasattr(like, "new_tensor"):  # torch, asked before JAX
            return like.new_tensor(shaped)
        return shaped.astype(like.dtype)

    def encode(self, values) -> Any:
        """Physical units to normalised; (item, channel, *space) of any framework."""
        return (values - self._shaped(self.shift, values)) / self._shaped(self.scale, values)

    def decode(self, values) -> Any:
        """Normalised to physical units."""
        return values * self._shaped(self.scale, values) + self._shaped(self.shift, values)

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """For a checkpoint."""
        return {f"{prefix}.shift": self.shift, f"{prefix}.scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], prefix: str) -> "Normaliser":
        """Inverse of `arrays`."""
        return cls(np.asarray(arrays[f"{prefix}.shift"], np.float64), np.asarray(arrays[f"{prefix}.scale"], np.float64))


def fit_normalisers(
    task, *, input_shift: bool = True, output_shift: bool = True, chunk: int = 64
) -> tuple[Normaliser, Normaliser]:
    """Input and output normalisers of a task's training data. Padding does not count, and `task.unscaled` stays as it is.

    input_shift, output_shift : subtract the mean. Without it the scale is the root mean square, and zero stays zero, as a
    linear or zero-Dirichlet operator needs.

    Raises
    ------
    DataError : a value that is NaN or infinite, naming channel and sample.
    """
    signature = task.signature
    moments = [_Moments(signature.inputs), _Moments(signature.outputs)]
    for start in range(0, len(task), chunk):
        items = np.arange(start, min(start + chunk, len(task)))
        batch = task.batch(items)
        valid = batch.inputs[:, signature.inputs.index(signature.mask)] > 0 if signature.mask else None
        moments[0].add(batch.inputs, task.sample_of(items), valid)
        moments[1].add(batch.targets, task.sample_of(items), None if signature.per_item else valid)
    return moments[0].normaliser(input_shift, task.unscaled), moments[1].normaliser(output_shift, task.unscaled)


class _Moments:
    def __init__(self, names):
        self.names, self.count = names, 0
        self.mean = self.squares = np.zeros(len(names))

    def add(self, values: np.ndarray, samples: np.ndarray, valid: np.ndarray | None = None) -> None:
        values = np.moveaxis(np.asarray(values, np.float64), 1, 0).reshape(values.shape[1], len(samples), -1)
        bad = ~np.isfinite(values).all(axis=2)
        if bad.any():
            channel, row = np.argwhere(bad)[0]
            raise DataError(
                given=f"a NaN or infinite value in channel {self.names[channel]!r} of sample {samples[row]}",
                needed="finite training data",
                remedy="Remove the sample, or generate the data again.",
            )
        flat = values.reshape(values.shape[0], -1) if valid is None else values[:, valid.reshape(len(samples), -1)]
        n, mean = flat.shape[1], flat.mean(axis=1)
        squares = ((flat - mean[:, None]) ** 2).sum(axis=1)
        delta, total = mean - self.mean, self.count + n
        self.squares = self.squares + squares + delta**2 * self.count * n / total
        self.mean = self.mean + delta * n / total
        self.count = total

    def normaliser(self, shifted: bool, unscaled: frozenset[str] = frozenset()) -> Normaliser:
        variance = self.squares / self.count
        scale = np.sqrt(variance if shifted else variance + self.mean**2)
        shift = self.mean if shifted else np.zeros_like(self.mean)
        # A channel that never changes (a constant parameter) carries no scale; leave it at one.
        flat = scale <= 1e-12 * np.maximum(1.0, np.abs(self.mean))
        scale = np.where(flat, 1.0, scale)
        plain = np.array([name in unscaled for name in self.names], dtype=bool)
        return Normaliser(np.where(plain, 0.0, shift), np.where(plain, 1.0, scale))
