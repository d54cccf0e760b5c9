"""Floating-point operations of one answer of a network, of a roll-out for all its steps.

Torch: products of matrices, convolutions and attention as `torch.utils.flop_counter` counts them (a multiplication with an
addition is two), four times as many where numbers are complex, and transforms by the customary 5 N log2 N, half of it where
they are real. Point-wise operations are not counted. JAX: what XLA says of the program before it optimises it,
which counts them.
Solvers and predictors that are no networks have no count.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.suite import scoring
from sciml.operator import Operator
from sciml.operators.classical import ClassicalSolver


def counted(operator: Operator, asked: "scoring.Question") -> float | None:
    """Operations for the first item of a question; None for what is no network of torch or Equinox."""
    if isinstance(operator, ClassicalSolver):
        return None
    one = asked.first(1)
    functional = sys.modules.get("sciml.learners.functional")
    if functional is not None and isinstance(operator, functional.EquinoxModule):
        return by_xla(operator, one.inputs) * max(1, one.steps)
    steps = 1
    if operator.bound_signature.kind == "autoregressive" and type(operator).rolled_out is Operator.rolled_out:
        one, steps = replace(one, steps=1), one.steps  # its steps are all the same, and counting is slow
    found = by_torch(lambda: scoring.answer(operator, one)) * steps
    return found or None


def by_torch(call: Callable[[], Any]) -> float:
    """Operations of the torch calls in a function."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    aten = torch.ops.aten
    products = {name: getattr(aten, name) for name in ("mm", "bmm", "addmm", "baddbmm")}
    mapping = {op: _product(name) for name, op in products.items()}
    mapping |= {aten._fft_r2c: _transform(2.5), aten._fft_c2r: _transform(2.5), aten._fft_c2c: _transform(5.0)}
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with counter:
        call()
    return float(counter.get_total_flops())


def _raw(function: Callable) -> Callable:
    """Marks a formula that wants tensors, not shapes (torch's own mark)."""
    function._get_raw = True  # type: ignore[attr-defined]
    return function


def _product(name: str) -> Callable:
    """Formula of a product of matrices, (.., m, k) with (.., k, n)."""

    def count(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        a, b = args[-2:] if name in ("mm", "bmm") else args[1:3]
        return 2 * a.numel() * b.shape[-1] * (4 if a.is_complex() or b.is_complex() else 1)

    return _raw(count)


def _transform(factor: float) -> Callable:
    """Formula of a transform over some axes: factor N log2 N for each of the others, N of the longer side."""

    def count(a: Any, axes: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
        longer = a if a.numel() >= out_val.numel() else out_val  # the real side has all points
        points = float(np.prod([longer.shape[i] for i in axes]))
        return int(factor * longer.numel() * np.log2(max(points, 1.0)))

    return _raw(count)


def by_xla(operator: Any, inputs: np.ndarray) -> float:
    """Operations of one application of an Equinox operator, as XLA counts them."""
    from solvers.precision import jax

    lowered = jax.jit(lambda x: operator.apply(operator.module, x)).lower(np.asarray(inputs, np.float32))
    return float((lowered.cost_analysis() or {}).get("flops", 0.0))
