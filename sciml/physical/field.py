"""Physical layers that a solver of `solvers/` computes, and models of them that can be differentiated.

A `FieldLayer` is a black box like any other; `Model` is the digital twin that competitors need: the same equation with other
parameters, and its vector-Jacobian product. Only `Model` differentiates.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sciml.physical.layer import PhysicalLayer
from solvers.precision import jax

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first

Parameters = dict[str, np.ndarray]
REACH = 4.0  # drives are clipped there


class FieldLayer(PhysicalLayer):
    """A layer computed by JAX in single precision. Subclasses write `response` and fill `parameters`.

    Attributes
    ----------
    parameters : physical numbers by name, arrays, that drift.
    """

    parameters: Parameters

    @abstractmethod
    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        """Readings (sample, n_out) of drives (sample, n_in): traceable, a function of its arguments alone."""

    @abstractmethod
    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        """Parameters that differ by about this share."""

    @property
    def _jitted(self) -> Callable:
        compiled = self.__dict__.get("_compiled")
        if compiled is None:
            compiled = self.__dict__["_compiled"] = jax.jit(self.response)
        return compiled

    def respond(self, s: np.ndarray) -> np.ndarray:
        with jax.enable_x64(False):
            return np.asarray(self._jitted(self.parameters, jnp.asarray(np.clip(s, -REACH, REACH))))

    def shifted(self, magnitude: float, rng: np.random.Generator) -> None:
        self.parameters = self.moved(self.parameters, magnitude, rng)


class Model:
    """A differentiable model of a layer: the same equation, its parameters wrong by `mismatch`.

    Parameters
    ----------
    layer : whose parameters it copies now; later drift of the layer does not reach the model.
    mismatch : share by which parameters are wrong; 0 is the ideal model.
    """

    def __init__(self, layer: FieldLayer, mismatch: float = 0.0, rng: np.random.Generator | None = None):
        self.layer = layer
        parameters = {name: np.array(value) for name, value in layer.parameters.items()}
        self.parameters = layer.moved(parameters, mismatch, rng or np.random.default_rng(3)) if mismatch else parameters

        def pulled_back(parameters, s, cotangent):
            return jax.vjp(lambda s: layer.response(parameters, jnp.clip(s, -REACH, REACH)), s)[1](cotangent)[0]

        self._vjp = jax.jit(pulled_back)

    def forward(self, s: np.ndarray) -> np.ndarray:
        """Readings that the model expects, (sample, n_out)."""
        return self._chunks(lambda s: self.layer._jitted(self.parameters, jnp.clip(s, -REACH, REACH)), s)

    def vjp(self, s: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """J(s)^T cotangent, (sample, n_in), of the model at drives s; it does not know of gains and dead detectors."""
        return self._chunks(lambda s, c: self._vjp(self.parameters, s, c), s, cotangent)

    def _chunks(self, function, *arrays: np.ndarray) -> np.ndarray:
        size, parts = self.layer.chunk, []
        with jax.enable_x64(False):
            for i in range(0, len(arrays[0]), size):
                rows = [np.asarray(a[i : i + size], np.float32) for a in arrays]
                count = len(rows[0])
                filled = [np.concatenate([r, np.repeat(r[-1:], size - count, axis=0)]) for r in rows]
                parts.append(np.asarray(function(*filled))[:count])
        return np.concatenate(parts)
