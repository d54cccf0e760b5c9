"""Mechanical layers: coupled pendulums, a ring of Duffing oscillators."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.physical.field import FieldLayer, Parameters
from solvers.errors import SettingError
from solvers.oscillators import DuffingRing, ring, swing

import jax.numpy as jnp  # isort: skip


class PendulumNetwork(FieldLayer):
    """Pendulums, all coupled to all: drives are angles at the start, read are angles after a while.

    Parameters
    ----------
    n_in : drives; further pendulums start at rest.   size : pendulums.   duration : at 0.5, the published one, nearly linear.
    """

    def __init__(self, n_in: int, *, size: int | None = None, duration: float = 3.0, steps: int = 60, depth: float = 0.7,
                 coupling: float = 1.0, seed: int = 5):  # fmt: skip
        size = size or n_in
        if size < n_in:
            raise SettingError(given=f"{size} pendulums for {n_in} drives", needed="one for each", remedy="Raise `size`.")
        super().__init__(n_in, size)
        rng = np.random.default_rng(seed)
        j = rng.standard_normal((size, size)) * coupling / np.sqrt(size)
        self.duration, self.steps, self.depth = duration, steps, depth
        self.parameters = {
            "coupling": ((j + j.T) / np.sqrt(2)).astype(np.float32),
            "push": (0.3 * rng.standard_normal(size)).astype(np.float32),
        }

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        angles = jnp.pad(self.depth * s.T, ((0, self.n_out - self.n_in), (0, 0)))
        end = swing(angles, parameters["coupling"], parameters["push"], duration=self.duration, steps=self.steps)[0]
        return end.T

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        j, e = parameters["coupling"], parameters["push"]
        noise = rng.standard_normal(j.shape) * j.std()
        return {
            "coupling": (j + magnitude * (noise + noise.T) / np.sqrt(2)).astype(np.float32),
            "push": (e + magnitude * e.std() * rng.standard_normal(e.shape)).astype(np.float32),
        }


class Duffing(FieldLayer):
    """Ring of driven Duffing oscillators: drives are amplitudes of tones, read are displacements and velocities at the end.

    n_in : oscillators times frequencies at most.   size : oscillators.
    """

    def __init__(self, n_in: int, *, size: int = 64, frequencies: tuple[float, ...] = (0.8, 1.3), duration: float = 30.0,
                 steps: int = 300, depth: float = 0.4, seed: int = 5):  # fmt: skip
        if n_in > size * len(frequencies):
            raise SettingError(
                given=f"{n_in} drives", needed=f"at most {size * len(frequencies)}, oscillators times frequencies",
                remedy="Raise `size`.",
            )  # fmt: skip
        super().__init__(n_in, 2 * size)
        self.settings, self.depth = DuffingRing(frequencies, duration=duration, steps=steps), depth
        self.count = size
        sign = np.random.default_rng(seed).choice([-1.0, 1.0], size * len(frequencies))
        self.parameters = {"gain": (depth * sign).astype(np.float32), "offset": np.full(size, 0.2, np.float32)}

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        width = self.count * len(self.settings.frequencies)
        drives = (jnp.pad(s, ((0, 0), (0, width - self.n_in))) * parameters["gain"]).T
        start = jnp.broadcast_to(parameters["offset"][:, None], (self.count, s.shape[0]))
        u, v = ring(self.settings, start, drives.reshape(self.count, -1, s.shape[0]))
        return jnp.concatenate([u, v]).T

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        return {
            name: (value * (1 + magnitude * rng.standard_normal(value.shape))).astype(np.float32)
            for name, value in parameters.items()
        }
