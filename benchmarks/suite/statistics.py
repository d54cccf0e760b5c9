"""What rows say together: intervals over samples and seeds, paired comparisons over tasks, and one summary without units.

Raw errors of different problems are never averaged: the summary is the mean of log(error / error of the reference).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from sciml.metrics.rollout import CEILING
from sciml.randomness import Purpose, generator

REFERENCE = "linear"
DRAWS = 2000


@dataclass(frozen=True)
class Summary:
    """Of one contestant on one task: (seed, sample) errors and what follows from them."""

    mean: float
    low: float
    high: float
    median: float
    q90: float
    worst: float
    seeds: int
    failures: int


def errors_of(rows: Sequence[Mapping], where: str = "test", metric: str = "") -> np.ndarray | None:
    """(seed, sample) errors of one contestant's rows; a failed row counts as the ceiling. None where nobody answered."""
    good = [r for r in rows if "failed" not in r and metric_of(r, metric) in r["scores"].get(where, {})]
    if not good:
        return None
    found = [np.asarray(r["scores"][where][metric_of(r, metric)], float) for r in good]
    found += [np.full(len(found[0]), CEILING)] * sum("failed" in r for r in rows)
    return np.stack(found)


def metric_of(row: Mapping, metric: str = "") -> str:
    """The metric asked for; by default the one that ranks."""
    return metric or row["primary"]


def interval(errors: np.ndarray, level: float = 0.95, seed: int = 90210) -> tuple[float, float]:
    """Hierarchical bootstrap of the mean: seeds are drawn, and samples (the same for all seeds: they are the same samples)."""
    rng = generator(seed, Purpose.BOOTSTRAP)
    seeds, samples = errors.shape
    chosen = rng.integers(seeds, size=(DRAWS, seeds))
    by_sample = np.stack([errors[c].mean(0) for c in chosen])
    at = rng.integers(samples, size=(DRAWS, samples))
    means = np.take_along_axis(by_sample, at, axis=1).mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def summary(rows: Sequence[Mapping], where: str = "test", metric: str = "") -> Summary | None:
    """Mean, interval, quantiles and failures of one contestant's rows."""
    errors = errors_of(rows, where, metric)
    if errors is None:
        return None
    low, high = interval(errors)
    flat = errors.ravel()
    failed = sum("failed" in r for r in rows)
    return Summary(
        float(flat.mean()), low, high, float(np.median(flat)), float(np.quantile(flat, 0.9)), float(flat.max()), len(errors),
        failed,
    )  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Of two contestants on one task: mean ratio a / b (geometric) with an interval, and the p-value that they are equal."""

    task: str
    ratio: float
    low: float
    high: float
    p: float
    adjusted: float = 1.0


def difference(task: str, a: np.ndarray, b: np.ndarray, seed: int = 90210) -> Difference:
    """Paired by sample, seeds averaged; Wilcoxon's signed ranks on log(a / b)."""
    logs = np.log(np.maximum(a.mean(0), 1e-300)) - np.log(np.maximum(b.mean(0), 1e-300))
    rng = generator(seed, Purpose.BOOTSTRAP)
    means = logs[rng.integers(len(logs), size=(DRAWS, len(logs)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    p = float(np.asarray(wilcoxon(logs))[1]) if np.any(logs != 0) else 1.0
    return Difference(task, float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high)), p)


def holm(p: Sequence[float]) -> list[float]:
    """p-values that may be read side by side (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    adjusted, running = np.empty(len(p)), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = running
    return [float(v) for v in adjusted]


def compared(by_task: Mapping[str, Mapping[str, Sequence[Mapping]]], a: str, b: str) -> list[Difference]:
    """`difference` on every task that has rows of both, with p-values for all of them together.

    by_task : task -> contestant -> rows.
    """
    found = []
    for task, by_name in by_task.items():
        both = [errors_of(by_name.get(name, ())) for name in (a, b)]
        if both[0] is not None and both[1] is not None:
            found.append(difference(task, both[0], both[1]))
    adjusted = holm([d.p for d in found])
    return [Difference(d.task, d.ratio, d.low, d.high, d.p, q) for d, q in zip(found, adjusted, strict=True)]


@dataclass(frozen=True)
class Overall:
    """Of one contestant over tasks: exp of the mean of log(error / error of the reference); share of pairings it wins."""

    name: str
    ratio: float
    wins: float
    tasks: int


def overall(by_task: Mapping[str, Mapping[str, Sequence[Mapping]]], names: Sequence[str]) -> list[Overall]:
    """Best first. Only tasks where both the contestant and the reference took part count."""
    means: dict[str, dict[str, float]] = {}
    for task, by_name in by_task.items():
        for name in {*names, REFERENCE}:
            errors = errors_of(by_name.get(name, ()))
            if errors is not None:
                means.setdefault(task, {})[name] = float(errors.mean())
    out = []
    for name in names:
        logs = [np.log(m[name] / m[REFERENCE]) for m in means.values() if name in m and REFERENCE in m]
        pairs = [(m[name], m[other]) for m in means.values() if name in m for other in names if other != name and other in m]
        wins = [(mine < theirs) + 0.5 * (mine == theirs) for mine, theirs in pairs]
        if logs:
            out.append(Overall(name, float(np.exp(np.mean(logs))), float(np.mean(wins)) if wins else float("nan"), len(logs)))
    return sorted(out, key=lambda o: o.ratio)
