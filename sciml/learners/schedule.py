"""Learning rate as a pure function of the step, so that a resumed training has no schedule to restore."""

import math

from sciml.operator import Training


def learning_rate(training: Training, step: int, total: int) -> float:
    """Rate of step number `step` (from 0) of `total`: linear warm-up from lr/25, then cosine to lr/1000; or constant.

    Source: Smith and Topin, Super-convergence (2019), in the common cosine form, stepped per update.
    """
    peak = training.lr or 0.0
    if training.schedule == "constant":
        return peak
    rise = max(1, round((training.warmup or 0.0) * total))
    if step < rise:
        return peak * (1 / 25 + (1 - 1 / 25) * (step + 1) / rise)
    along = min(1.0, (step + 1 - rise) / max(1, total - rise))
    return peak * (1e-3 + (1 - 1e-3) * 0.5 * (1 + math.cos(math.pi * along)))
