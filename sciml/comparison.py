"""An operator beside the classical solver: time at equal error, error at equal time, break-even.

The classical solver is run on a ladder of grids. Its best (time, error) pairs, joined by straight lines in log-log, say what it
needs for any error. An operator at (t, e) is then faster by t_classical(e) / t, more accurate by e_classical(t) / e, and has
repaid its data and training after (t_train + n_train t_label) / (t_classical(e) - t) solves, or never.

Source: McGreivy and Hakim, Weak baselines and reporting biases, Nature Machine Intelligence 6 (2024): compare at equal accuracy
with a solver that is allowed to be as coarse as the operator is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.report import Report, Score


@dataclass(frozen=True)
class Standing:
    """Where one operator stands.

    error : mean relative L2.   seconds : per sample, in the better of the two batch sizes.   batch : that size in words.
    faster : classical time at equal error over the operator's; above 1 the operator wins.
    faster_bound : "" when the ladder brackets the error; "at most" when its coarsest rung is already more accurate, "at least"
        when not even its finest is.
    sharper : classical error at equal time over the operator's; above 1 the operator wins. None when no rung is that fast.
    break_even : solves after which data and training are repaid; None for never.
    beaten_by : a rung that is both faster and more accurate, or None.
    invested : seconds spent on training and its labels; None when the training time is not known.
    classical_seconds : per sample, at equal error.
    """

    name: str
    error: float
    seconds: float
    batch: str
    faster: float
    faster_bound: str
    sharper: float | None
    break_even: float | None
    beaten_by: str | None
    invested: float | None = None
    classical_seconds: float = 0.0


@dataclass(frozen=True)
class Front:
    """Best (time, error) pairs of the classical solver: increasing in time, decreasing in error."""

    seconds: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(cls, seconds: Sequence[float], errors: Sequence[float]) -> "Front":
        """The pairs that no other pair beats in both.

        >>> Front.of([1.0, 2.0, 3.0], [0.1, 0.2, 0.01]).seconds
        array([1., 3.])
        """
        kept: list[tuple[float, float]] = []
        for t, e in sorted(zip(seconds, errors, strict=True)):
            if not kept or e < kept[-1][1]:
                kept.append((t, e))
        times, errs = zip(*kept, strict=True)
        return cls(np.array(times), np.array(errs))

    def seconds_for(self, error: float) -> tuple[float, str]:
        """Time for this error, and "at most" / "at least" when it lies off the coarse / fine end of the ladder.

        >>> seconds, bound = Front.of([1.0, 4.0], [0.1, 0.001]).seconds_for(0.01)
        >>> round(seconds, 12), bound
        (2.0, '')
        """
        if error >= self.errors[0]:
            return float(self.seconds[0]), "at most" if error > self.errors[0] else ""
        if error < self.errors[-1]:
            return float(self.seconds[-1]), "at least"
        return float(np.exp(np.interp(-np.log(error), -np.log(self.errors), np.log(self.seconds)))), ""

    def error_within(self, seconds: float) -> float | None:
        """Error reached in this time; None when no rung is that fast."""
        if seconds < self.seconds[0]:
            return None
        return float(np.exp(np.interp(np.log(seconds), np.log(self.seconds), np.log(self.errors))))


def compare(
    report: Report, classical: Sequence[str], *, label_seconds: float | None = None, train_samples: int = 0
) -> list[Standing]:
    """Standing of every other contestant of a report, most accurate first.

    Parameters
    ----------
    report : with times (evaluate's `timing=True`).
    classical : names of the rungs of the ladder.
    label_seconds : time of one training label, for the break-even count.
    train_samples : labels that the training used.
    """
    rungs = [report[name] for name in classical]
    learned = [s for s in report.scores if s.name not in classical and s.seconds_single]
    if not rungs or any(not r.seconds_single for r in rungs):
        return []
    standings = [_standing(score, rungs, label_seconds, train_samples) for score in learned]
    return sorted(standings, key=lambda s: s.error)


def _standing(score: Score, rungs: list[Score], label_seconds: float | None, train_samples: int) -> Standing:
    options = []
    for cost, words in (("seconds_single", "one sample at a time"), ("seconds_batch", "in a batch")):
        times = [getattr(r, cost) for r in rungs]
        mine = getattr(score, cost)
        if mine and all(times):
            front = Front.of(times, [error_of(r) for r in rungs])
            needed, bound = front.seconds_for(error_of(score))
            options.append((needed / mine, bound, front.error_within(mine), mine, words, needed, times))
    faster, bound, reached, mine, words, needed, times = max(options, key=lambda o: o[0])  # the operator's better side
    error = error_of(score)
    invested = None if score.training_seconds is None else score.training_seconds + train_samples * (label_seconds or 0.0)
    repaid = needed > mine and bound != "at most"
    better = [(e, r.name) for r, t in zip(rungs, times, strict=True) if t < mine and (e := error_of(r)) < error]
    return Standing(
        name=score.name,
        error=error,
        seconds=mine,
        batch=words,
        faster=faster,
        faster_bound=bound,
        sharper=None if reached is None else reached / error,
        break_even=invested / (needed - mine) if invested is not None and repaid else None,
        beaten_by=min(better)[1] if better else None,
        invested=invested,
        classical_seconds=needed,
    )


def error_of(score: Score) -> float:
    """Mean of the metric that ranks, relative L2 for fields."""
    return float(score.errors[score.primary].mean())


def verdict(standing: Standing) -> str:
    """One plain sentence, or two.

    >>> verdict(Standing("FNO", 0.02, 3e-3, "in a batch", 0.5, "", 0.4, None, "solver 32x32"))
    'FNO (2.00 % error, 3.0 ms in a batch): solver 32x32 is both faster and more accurate.'
    """
    who = f"{standing.name} ({percent(standing.error)} error, {milliseconds(standing.seconds)} {standing.batch})"
    if standing.beaten_by:
        return f"{who}: {standing.beaten_by} is both faster and more accurate."
    if standing.faster_bound == "at most":
        return f"{who}: even the coarsest classical grid is more accurate, though slower; no equal accuracy to compare at."
    factor = f"{standing.faster:.2g}" if standing.faster < 10 else f"{standing.faster:.0f}"
    if standing.faster <= 1:
        return f"{who}: at equal accuracy the classical solver is {1 / standing.faster:.2g} times faster."
    least = "at least " if standing.faster_bound == "at least" else ""
    repaid = "" if standing.break_even is None else f" Data and training are repaid after {_count(standing.break_even)} solves."
    return f"{who}: at equal accuracy {least}{factor} times faster than the classical solver.{repaid}"


def verdicts(standings: Sequence[Standing], report: Report) -> list[str]:
    """A sentence for every operator, and one on the accuracy of the labels when it limits the ranking."""
    lines = [verdict(s) for s in standings]
    floor = report.label_error
    close = [s.name for s in standings if floor is not None and s.error < 3 * floor]
    if close and floor is not None:
        lines.append(
            f"{' and '.join(close)} {'is' if len(close) == 1 else 'are'} within three times the error of the labels themselves "
            f"({percent(floor)}): differences down there are not a ranking."
        )
    return lines


def standings_of(report: Report) -> list[Standing]:
    """`compare` with what `report.notes` records: "classical", "label_seconds", "train_samples"."""
    notes = report.notes
    samples = notes.get("train_samples", 0)
    return compare(report, classical_names(report), label_seconds=notes.get("label_seconds"), train_samples=samples)


def standing_lines(report: Report) -> list[str]:
    """The verdict on a report that has the classical solver in it; empty otherwise."""
    return verdicts(standings_of(report), report)


def percent(error: float) -> str:
    """0.0123 -> "1.23 %"; very small ones in powers of ten."""
    return f"{100 * error:.2f} %" if error >= 1e-4 else f"{error:.1e}"


def milliseconds(seconds: float) -> str:
    """0.00123 -> "1.2 ms"."""
    value = 1e3 * seconds
    return f"{value:.2f} ms" if value < 1 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _count(value: float) -> str:
    digits = max(0, len(str(int(value))) - 2)
    return f"{round(value, -digits):,.0f}" if value >= 1 else "1"


def classical_names(report: Report) -> list[str]:
    """Names of the classical rungs that `notes["classical"]` records."""
    named: Any = report.notes.get("classical", [])
    return [name for name in named if any(s.name == name for s in report.scores)]
