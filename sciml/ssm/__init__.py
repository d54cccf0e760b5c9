"""Linear state-space layers: x' = A x + B u, y = C x + D u, exact in recurrent, convolutional and chunked form.

hippo         matrices that compress the past, and what their states mean
discretise    from continuous A, B and a step to a discrete system, first or second order in the step
structures    trainable forms of A; modal: those in a complex eigenbasis
system        discrete systems, dense or diagonal: kernels, rows, columns, powers
frequency     kernels from transfer functions on a damped circle
modes         the same map as recurrence, convolution and chunked scan
layer, model  the layer, and stacks of it
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "StateSpaceLayer": "sciml.ssm.layer", "State": "sciml.ssm.modes",
    "SequenceModel": "sciml.ssm.model", "Stack": "sciml.ssm.model",
}  # fmt: skip
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sciml.ssm' has no attribute {name!r}")


if TYPE_CHECKING:
    from sciml.ssm.layer import StateSpaceLayer
    from sciml.ssm.model import SequenceModel, Stack
    from sciml.ssm.modes import State
