"""JAX's 64-bit mode as a scope: entered around our solves, never switched on for the whole process.

Also the one module that may be first to import JAX: it keeps JAX from taking the whole GPU, so that torch fits beside it
(unless the user has set the variable).
"""

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np

_state = np.random.get_state(legacy=False)  # noqa: NPY002 - importing JAX draws from it, and it is the caller's
import jax  # noqa: E402

np.random.set_state(_state)  # noqa: NPY002

P = ParamSpec("P")
R = TypeVar("R")


def in_float64(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run `function` with JAX's 64-bit types enabled, and leave the caller's setting untouched."""

    @functools.wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return scoped
