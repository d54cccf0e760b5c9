"""What one accepted step says: its scaled error E and its stiffness S; and what all steps together say: the regularisers.

    E_j = rms( e_j / (atol + rtol max(|y_j|, |y_{j+1}|)) ),   S_j = rms(k_last - k_before) / rms(g_last - g_before)

    R_E  = sum E_j h_j           ERNODE (Pal, Ma, Shah, Rackauckas, Opening the Blackbox, ICML 2021)
    R_E2 = sum E_j^2
    R_S  = sum S_j               SRNODE; divide the coefficient by `Pair.interval` for the published, normalised form
    R_N  = sum (E_j + eps)^(1/p) a step count that can be differentiated: ideal control would take about R_N / 0.9 steps

Written once for torch and JAX: `xp` is `torch` or `jax.numpy`. Step sizes are constants: the controller holds E_j near a set
point, so a gradient through it says nothing about how hard the equation is. For the same reason the value of R_E is no measure
of difficulty; its gradient at frozen steps is what is of use.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sciml.nde.tableaus import Pair

SOFT = 1e-2  # added to E under the root of R_N, whose slope at E = 0 is infinite
ROUNDING = 8.0  # differences of stages below this many units of rounding are none
AGGREGATES = ("sum", "mean", "max")
FROM_STEPS = ("R_E", "R_E2", "R_S", "R_N")
ALONG_STAGES = ("kinetic", "jacobian", "taylor2", "taylor3")
SAMPLED = ("local_steps", "local_time")
REGULARISERS = (*FROM_STEPS, *ALONG_STAGES, *SAMPLED)


def rms(xp: Any, values: Any) -> Any:
    """Root mean square over all entries, with gradient 0 at 0."""
    square = xp.mean(values * values)
    inside = xp.where(square > 0, square, xp.ones_like(square))
    return xp.where(square > 0, xp.sqrt(inside), xp.zeros_like(square))


def combined(weights: Sequence[float], stages: Any) -> Any:
    """sum_i w_i k_i over a leading axis of stages, without those of weight zero."""
    if hasattr(stages, "new_tensor"):  # torch, asked before JAX: one product instead of a dozen small operations
        return stages[: len(weights)].movedim(0, -1) @ stages.new_tensor(weights)
    terms = [weight * stages[i] for i, weight in enumerate(weights) if weight != 0.0]
    return sum(terms[1:], terms[0])


def scaled_error(xp: Any, error: Any, y0: Any, y1: Any, rtol: float, atol: float) -> Any:
    """E of one step: what the step-size controllers compare with 1. It is differentiated through the scale as well."""
    return rms(xp, error / (atol + rtol * xp.maximum(xp.abs(y0), xp.abs(y1))))


def stiffness(xp: Any, stages: Any, h: Any, pair: Pair) -> Any:
    """S of one step from its stages (stage, ...) of f: at most |df/dy|, equal to |lambda| for f = lambda y; 0 where 0/0."""
    weights = pair.between_last_stages
    assert weights is not None
    above, below = rms(xp, stages[-1] - stages[-2]), rms(xp, h * combined(weights, stages))
    exists = below > ROUNDING * xp.finfo(stages.dtype).eps * rms(xp, h * stages[-1])
    return xp.where(exists, above, xp.zeros_like(above)) / xp.where(exists, below, xp.ones_like(below))


def regulariser(xp: Any, name: str, errors: Any, stiff: Any, steps: Any, valid: Any, order: int, aggregate: str = "sum") -> Any:
    """One of `FROM_STEPS` from the histories (step,) of a solve; `valid` is False where there was no step.

    aggregate : "sum"; "mean" over accepted steps (the published code's, which counts one more); "max".
    """
    zero = xp.zeros_like(errors)
    errors, stiff, steps = (xp.where(valid, a, zero) for a in (errors, stiff, steps))
    terms = {
        "R_E": lambda: errors * steps,
        "R_E2": lambda: errors * errors,
        "R_S": lambda: stiff,
        "R_N": lambda: (errors + SOFT) ** (1.0 / order),
    }[name]()
    terms = xp.where(valid, terms, zero)
    if aggregate == "max":
        return xp.max(terms)
    total = xp.sum(terms)
    return total / xp.sum(xp.where(valid, xp.ones_like(errors), zero)) if aggregate == "mean" else total


def penalty(values: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    """sum_i lambda_i R_i of the regularisers named in `weights`."""
    return sum((weight * values[name] for name, weight in weights.items()), 0.0)
