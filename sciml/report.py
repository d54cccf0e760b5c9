"""The result of an evaluation: a table that prints, a JSON that is stored, and fields for pictures."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sciml.tasks import Signature
from solvers.files import write_bytes

LABELS = {
    "relative_l2": "relative L2", "relative_h1": "relative H1", "rmse": "RMSE", "vrmse": "VRMSE", "max_error": "max",
    "error_rate": "error rate", "brier": "Brier score", "cross_entropy": "cross entropy",
}  # fmt: skip


@dataclass(frozen=True)
class Score:
    """One contestant.

    errors : metric name -> (sample,).   seconds_single, seconds_batch : wall time per sample alone and in a batch.
    preview : predictions of the first samples, (sample, channel, *space).
    rollout_times, rollout_errors : (step,) and (sample, step), for autoregressive tasks.
    """

    name: str
    errors: dict[str, np.ndarray]
    parameters: int
    training_seconds: float | None = None
    seconds_single: float | None = None
    seconds_batch: float | None = None
    preview: np.ndarray | None = None
    rollout_times: np.ndarray | None = None
    rollout_errors: np.ndarray | None = None

    @property
    def primary(self) -> str:
        """The metric that ranks, the first one."""
        return next(iter(self.errors))

    def with_rollout(self, times: np.ndarray, errors: np.ndarray) -> "Score":
        """A copy that also has a roll-out."""
        return replace(self, rollout_times=times, rollout_errors=errors)

    def summary(self) -> dict[str, Any]:
        """Mean, median, 90 % quantile, maximum and 95 % bootstrap interval of each metric, and the costs."""
        from sciml.evaluation import bootstrap_interval

        rows: dict[str, Any] = {"name": self.name, "parameters": self.parameters}
        for metric, values in self.errors.items():
            low, high = bootstrap_interval(values)
            rows[metric] = {
                "mean": float(values.mean()),
                "interval": [low, high],
                "median": float(np.median(values)),
                "q90": float(np.quantile(values, 0.9)),
                "max": float(values.max()),
            }
        for cost in ("training_seconds", "seconds_single", "seconds_batch"):
            rows[cost] = getattr(self, cost)
        if self.rollout_errors is not None and self.rollout_times is not None:
            rows["rollout"] = {"times": self.rollout_times.tolist(), "relative_l2": self.rollout_errors.mean(0).tolist()}
        return rows


@dataclass(frozen=True)
class Report:
    """Scores of one or several operators on the same test data.

    label_error : mean relative L2 error of the labels themselves where it was measured, else None. An error below three
    times that is label accuracy, not a ranking.
    preview : inputs and targets of the first samples.
    """

    scores: list[Score]
    signature: Signature
    provenance: dict[str, Any]
    samples: int
    label_error: float | None = None
    preview: tuple[np.ndarray, np.ndarray] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Score:
        return next(score for score in self.scores if score.name == name)

    def to_json(self) -> dict[str, Any]:
        """Summaries and per-sample errors, plain values."""
        return {
            "task": self.signature.to_json(),
            "provenance": {k: v for k, v in self.provenance.items() if isinstance(v, (str, int, float, bool))},
            "samples": self.samples,
            "label_error": self.label_error,
            "notes": self.notes,
            "scores": [s.summary() | {"per_sample": {k: v.tolist() for k, v in s.errors.items()}} for s in self.scores],
        }

    def save(self, path: str | Path) -> None:
        """Write the JSON."""
        write_bytes(path, json.dumps(self.to_json(), indent=1).encode())

    def rows(self) -> list[list[str]]:
        """The table: a header, then one line per contestant, best first."""
        primary = self.scores[0].primary
        others = self.others()
        names = [LABELS.get(name, name) for name in (primary, *others)]
        header = ["", names[0], "95 % interval", *names[1:], "parameters", "train", "ms, one", "ms, batch"]
        table = [header]
        for score in sorted(self.scores, key=lambda s: float(s.errors[s.primary].mean())):
            s = score.summary()
            mean = lambda name, s=s: f"{s[name]['mean']:.4f}" if name in s else "–"  # noqa: E731
            low, high = s[score.primary]["interval"]
            milli = lambda v: "–" if v is None else f"{1e3 * v:.3g}"  # noqa: E731
            train = "–" if score.training_seconds is None else f"{score.training_seconds:.0f} s"
            table.append([
                score.name, mean(primary), f"{low:.4f} … {high:.4f}", *map(mean, others),
                f"{score.parameters:,}" if score.parameters else "–", train,
                milli(score.seconds_single), milli(score.seconds_batch),
            ])  # fmt: skip
        return table

    def others(self) -> tuple[str, ...]:
        """Metrics that the table shows beside the one that ranks."""
        names = tuple(self.scores[0].errors)[1:]
        wanted = ("relative_h1", "max_error", "brier", "cross_entropy")
        return tuple(name for name in wanted if name in names) or names[:2]

    def __repr__(self) -> str:
        table = self.rows()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
            for row in table
        ]
        floor = "" if self.label_error is None else f"\nlabels themselves: {self.label_error:.2e} relative L2"
        return f"Report on {self.samples} samples ({self.signature.kind})\n" + "\n".join(lines) + floor

    def _repr_html_(self) -> str:
        import html

        head, *body = self.rows()
        cell = lambda tag, row: "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in row)  # noqa: E731
        lines = "".join(f"<tr>{cell('td', row)}</tr>" for row in body)
        return f"<table class='report'><thead><tr>{cell('th', head)}</tr></thead><tbody>{lines}</tbody></table>"
