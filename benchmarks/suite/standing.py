"""A task's rows as one table: every contestant beside the floor of the labels, the best trivial predictor and the classical
solver at equal error and at equal time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.suite.run import rows_of
from benchmarks.suite.statistics import Summary, summary
from benchmarks.suite.tasks import Suite, SuiteTask
from sciml.comparison import Front


@dataclass(frozen=True)
class Entry:
    """One line.

    seconds : per answer, alone and in a batch.   flops : operations of one answer, None where they are not counted.
    faster : classical time at equal error over its own, S.
    bound : "at most" or "at least" where the ladder does not bracket it.
    sharper : classical error at equal time over its own, A; None when no rung is that fast.
    repaid : answers after which data and training are repaid, N*; None for never.
    at_floor : its error is below three times that of the labels: no ranking down there.   trivial : a trivial predictor that is
    at least as good, or "".
    """

    name: str
    kind: str
    test: Summary | None
    finer: Summary | str | None
    shift: Summary | str | None
    foreign: Summary | str | None
    parameters: int
    training: float
    seconds: tuple[float, float] | None
    mib: float | None
    faster: float | None = None
    bound: str = ""
    sharper: float | None = None
    repaid: float | None = None
    at_floor: bool = False
    trivial: str = ""
    failed: str = ""
    flops: float | None = None


@dataclass(frozen=True)
class Table:
    """All entries of a task, best first, and what is known of its data."""

    task: SuiteTask
    about: Mapping[str, Any]
    entries: list[Entry]
    rows: Mapping[str, list[dict]]

    def __getitem__(self, name: str) -> Entry:
        return next(e for e in self.entries if e.name == name)

    @property
    def floor(self) -> float | None:
        """Mean relative error of the labels."""
        return self.about.get("label_error")

    def of_kind(self, *kinds: str) -> list[Entry]:
        """Entries of these kinds that have a score, best first."""
        return [e for e in self.entries if e.kind in kinds and e.test is not None]

    @property
    def ceiling(self) -> Entry:
        """The best trivial predictor."""
        return self.of_kind("trivial")[0]


def tables(suite: Suite, folder: str | Path) -> list[Table]:
    """Of every task that has rows in a folder."""
    found = (table(task, suite, folder) for task in suite.tasks)
    return [t for t in found if t is not None]


def table(task: SuiteTask, suite: Suite, folder: str | Path) -> Table | None:
    """Of one task; None where it has no rows."""
    rows = rows_of(folder, task, suite)
    if not rows:
        return None
    return table_of_rows(task, json.loads((Path(folder) / task.label / "data.json").read_text()), rows)


def table_of_rows(task: SuiteTask, about: Mapping[str, Any], rows: Sequence[dict]) -> Table:
    """Of a task's rows, and what is known of its data."""
    by_name: dict[str, list[dict]] = {}
    for row in rows:
        by_name.setdefault(row["contestant"], []).append(row)
    entries = [_entry(name, some) for name, some in by_name.items()]
    rungs = [e for e in entries if e.kind == "classical" and e.test and e.seconds]
    scored = [(e.test.mean, e) for e in entries if e.kind == "trivial" and e.test is not None]
    trivial = min(scored, key=lambda pair: pair[0])[1] if scored else None
    entries = [_placed(e, rungs, trivial, about, task) for e in entries]
    entries.sort(key=lambda e: e.test.mean if e.test else float("inf"))
    return Table(task, about, entries, by_name)


def _entry(name: str, rows: Sequence[dict]) -> Entry:
    good = [r for r in rows if "failed" not in r]
    first = good[0] if good else rows[0]
    cost = next((r["cost"] for r in rows if "cost" in r), None)
    finer, shift, foreign = (_elsewhere(good, where) for where in ("finer", "shift", "foreign"))
    return Entry(
        name=name, kind=first["kind"], test=summary(rows), finer=finer, shift=shift, foreign=foreign,
        parameters=first.get("parameters", 0), training=sum(r["training"]["seconds"] for r in good) / max(1, len(good)),
        seconds=None if cost is None else (cost["seconds_single"], cost["seconds_batch"]),
        mib=None if cost is None else cost["mib"], flops=None if cost is None else cost.get("flops"),
        failed="" if good else rows[0]["failed"],
    )  # fmt: skip


def _elsewhere(rows: Sequence[dict], where: str) -> Summary | str | None:
    missing = [r["scores"][where]["missing"] for r in rows if "missing" in r["scores"].get(where, {})]
    return missing[0] if missing else summary(rows, where)


def _placed(e: Entry, rungs: Sequence[Entry], trivial: Entry | None, about: Mapping, task: SuiteTask) -> Entry:
    """With its standing beside floor, ceiling and ladder, at the batch size that suits it better."""
    if e.test is None or e.kind in ("classical", "trivial", "reference"):
        return e
    error = e.test.mean
    floor = about.get("label_error")
    e = replace(
        e, at_floor=floor is not None and error < 3 * floor,
        trivial=trivial.name if trivial is not None and trivial.test is not None and trivial.test.mean <= error else "",
    )  # fmt: skip
    if not rungs or e.seconds is None:
        return e
    sides = []
    for side in (0, 1):
        front = Front.of([r.seconds[side] for r in rungs], [r.test.mean for r in rungs])  # type: ignore[index, union-attr]
        needed, bound = front.seconds_for(error)
        reached = front.error_within(e.seconds[side])
        sides.append((needed / e.seconds[side], bound, None if reached is None else reached / error, needed - e.seconds[side]))
    faster, bound, sharper, saved = max(sides, key=lambda side: side[0])
    invested = e.training + task.train * (about.get("label_seconds") or 0.0)
    repaid = invested / saved if saved > 0 and bound != "at most" else None
    return replace(e, faster=faster, bound=bound, sharper=sharper, repaid=repaid)
