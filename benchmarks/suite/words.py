"""The numbers of a suite in plain words and in Markdown tables."""

from collections.abc import Sequence

import numpy as np

from benchmarks.pages import section
from benchmarks.pages import table as table_of
from benchmarks.suite.inverse import NOISE
from benchmarks.suite.scoring import FIELDS
from benchmarks.suite.standing import Entry, Table
from benchmarks.suite.statistics import Summary, overall
from benchmarks.suite.tasks import Suite
from sciml.comparison import milliseconds
from sciml.metrics.rollout import CEILING

MEASURE = {
    "map": "relative L2", "rollout": "geometric mean of nRMSE over the roll-out",
    "symbolic": "relative error on [2, 6] from noisy frames on [0, 2]", "which": "Brier score",
}  # fmt: skip
KINDS = ("network", "peer")


def percent(value: float) -> str:
    """0.0123 -> "1.23 %"; what reached the ceiling says so.

    >>> percent(0.0123), percent(2e-6), percent(11.0)
    ('1.23 %', '2.0e-06', '> 1000 %')
    """
    if value >= CEILING:
        return "> 1000 %"
    return f"{100 * value:.3g} %" if value >= 1e-4 else f"{value:.1e}"


def error(e: Entry, floor: float | None) -> str:
    """Mean with its interval; below three times the error of the labels, that, and no rank."""
    if e.test is None:
        return "failed"
    if e.at_floor and floor is not None:
        return f"≤ label accuracy ({percent(floor)})"
    return f"{percent(e.test.mean)} ({percent(e.test.low)} … {percent(e.test.high)})"


def other(found: Summary | str | None) -> str:
    """Error elsewhere; "no" where the operator cannot answer there, with the reason in the JSON."""
    return "–" if found is None else "no" if isinstance(found, str) else percent(found.mean)


def speed(e: Entry) -> str:
    """S with its bound."""
    if e.faster is None:
        return "–"
    return f"{ {'': '', 'at most': '≤ ', 'at least': '≥ '}[e.bound] }{float(f'{e.faster:.2g}'):g}"


def named(e: Entry) -> str:
    """A network with its S, for a sentence."""
    return f"{e.name}, S {speed(e) if e.bound else '= ' + speed(e)}"


def sharpness(e: Entry) -> str:
    """A."""
    return "–" if e.sharper is None else f"{e.sharper:.2g}"


def repaid(e: Entry) -> str:
    """N*."""
    if e.faster is None:
        return "–"
    return "never" if e.repaid is None else f"{e.repaid:,.0f}"


def operations(e: Entry) -> str:
    """Of one answer, in millions."""
    return f"{e.flops / 1e6:.3g} M" if e.flops and e.kind in KINDS else "–"


def rows(table: Table) -> list[list[str]]:
    """One line for each contestant."""
    out = []
    for e in table.entries:
        single, batch = e.seconds or (None, None)
        blown = _blown(table, e)
        out.append([
            e.name + (f" ({blown})" if blown else ""), error(e, table.floor), "–" if e.test is None else percent(e.test.median),
            "–" if e.test is None else percent(e.test.q90), other(e.finer), other(e.shift), other(e.foreign),
            f"{e.parameters:,}" if e.parameters else "–", operations(e), f"{e.training:.0f} s" if e.training >= 1 else "–",
            "–" if single is None else milliseconds(single), "–" if batch is None else milliseconds(batch),
            speed(e), sharpness(e), repaid(e),
        ])  # fmt: skip
    return out


HEAD = [
    "", "error (95 % interval)", "median", "90 %", "finer grid", "other ranges", "data of others", "parameters", "operations",
    "training", "one answer", "in a batch", "S", "A", "N*",
]  # fmt: skip


def _blown(table: Table, e: Entry) -> str:
    counts = [
        sum(r["scores"]["test"]["blown_up"]) for r in table.rows[e.name] if "blown_up" in r.get("scores", {}).get("test", {})
    ]
    return f"{sum(counts):.0f} blow-ups" if sum(counts) else ""


INVERSE = ["", *(f"noise {100 * v:g} %" for v in NOISE)]


def inverse_rows(table: Table) -> list[list[str]]:
    """Median |log(theta* / theta)| of the coefficient found through each contestant, best first; none where there is none."""
    found, middle = [], 0.0
    for e in table.entries:
        row = next((r["scores"]["inverse"] for r in table.rows[e.name] if "inverse" in r.get("scores", {})), None)
        if row is not None and e.kind != "trivial":
            found.append(
                (float(np.median(row["noise 0"])), [e.name, *(f"{np.median(row[f'noise {v:g}']):.2g}" for v in NOISE)])
            )
            middle = float(np.median(row["middle of the range"]))
    if found:
        found.append((np.inf, ["middle of the range", *[f"{middle:.2g}"] * len(NOISE)]))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


_READ = ("right structure", "error of f", "on the orbit")
EQUATIONS = ["", *(f"{what}, {where}" for where in ("test", "other numbers") for what in _READ)]


def equation_rows(table: Table) -> list[list[str]]:
    """Of the contestants that read equations: share of right structures, median errors of f; none where there are none."""
    found = []
    for e in table.entries:
        row = next((r for r in table.rows[e.name] if "equation: error" in r.get("scores", {}).get("test", {})), None)
        if row is None or e.kind == "reference":
            continue
        cells = []
        for where in ("test", "shift"):
            s = row["scores"].get(where, {})
            known = "equation: error" in s
            cells.append(percent(float(np.mean(s["equation: structure"]))) if known else "–")
            for name in ("equation: error", "equation: error on the orbit"):
                cells.append(percent(float(np.median(s[name]))) if known else "–")
        found.append([e.name, *cells])
    return found


def size(t: Table) -> str:
    """Points of a task."""
    return f"{t.task.resolution} points per side" if t.task.track in ("map", "rollout") else f"{t.task.resolution} noisy frames"


def verdicts(table: Table) -> list[str]:
    """What the table says, in sentences."""
    learned = table.of_kind(*KINDS)
    out = []
    if not learned:
        return out
    best = learned[0]
    assert best.test is not None
    ceiling = table.ceiling
    assert ceiling.test is not None
    trivial = f"“{ceiling.name}”, {percent(ceiling.test.mean)}"
    if best.trivial:
        out.append(f"No network beats the best trivial predictor ({trivial}): best {best.name}, {percent(best.test.mean)}.")
    else:
        times = f"{ceiling.test.mean / best.test.mean:.2g} times"
        out.append(
            f"Best network: {best.name}, {percent(best.test.mean)}, {times} better than the best trivial predictor ({trivial})."
        )
    worse = [e.name for e in learned if e.trivial]
    if worse and not best.trivial:
        out.append(f"Not better than a trivial predictor: {', '.join(worse)}.")
    won, open_, lost = by_speed(table)
    if won:
        out.append(f"Faster than the classical solver at equal error: {'; '.join(named(e) for e in won)}.")
    elif open_:
        names = "; ".join(named(e) for e in open_)
        out.append(f"Cannot be told of {names}: even the coarsest classical solve, though slower, is more accurate.")
    elif lost:
        out.append(f"The classical solver is faster than every network at equal error; the nearest: {named(lost[0])}.")
    return out


def by_speed(table: Table) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Networks that are faster than the classical solver at equal error, those of which that cannot be told since no rung of
    the ladder is as wrong as they are, and those that are slower; each from the fastest. Without those that a trivial
    predictor beats: an error that costs nothing to reach is no victory."""
    timed = [e for e in table.of_kind(*KINDS) if e.faster is not None and not e.trivial]
    timed.sort(key=lambda e: -(e.faster or 0))
    ahead = [e for e in timed if (e.faster or 0) > 1]
    won = [e for e in ahead if e.bound != "at most"]
    open_ = [e for e in ahead if e.bound == "at most"]
    return won, open_, [e for e in timed if e not in ahead]


def front_page(suite: Suite, found: Sequence[Table]) -> list[str]:
    """The page for newcomers: where learned operators win against the classical solver, and where they do not."""
    groups: tuple[list[str], ...] = [], [], []
    trivial = []
    for t in found:
        learned = t.of_kind(*KINDS)
        if learned and learned[0].trivial:
            trivial.append(t.task.label)
        for group, entries in zip(groups, by_speed(t), strict=True):
            if entries:
                group.append(f"{t.task.label} ({named(entries[0])})")
                break
    said = (
        "Faster than the classical solver at equal error",
        "Cannot be told, as the coarsest solve is still more accurate",
        "Slower",
    )
    lines = [f"{what}: {'; '.join(group)}." for what, group in zip(said, groups, strict=True) if group]
    if trivial:
        lines.append(f"No network beats a trivial predictor on {', '.join(trivial)}.")
    return lines


def ranking(found: Sequence[Table]) -> list[list[str]]:
    """Networks over all tasks: error over that of the linear map, geometric mean, and share of pairings won. Those that took
    part in most tasks come first: a mean over a few easy tasks is not comparable with one over all."""
    by_task = {t.task.label: t.rows for t in found}
    names = sorted({e.name for t in found for e in t.of_kind(*KINDS)})
    ranked = sorted(overall(by_task, names), key=lambda o: (-o.tasks, o.ratio))
    return [[o.name, f"{o.ratio:.3g}", f"{100 * o.wins:.0f} %", str(o.tasks)] for o in ranked]


def short(suite: Suite, found: Sequence[Table]) -> str:
    """The README's table: rows are contestants, columns tasks of fields, and the sentences for newcomers."""
    found = [t for t in found if t.task.track in FIELDS]
    names = [row[0] for row in ranking(found)]
    body = []
    for name in names:
        cells = []
        for t in found:
            e = next((e for e in t.entries if e.name == name and e.test is not None), None)
            cells.append("–" if e is None or e.test is None else percent(e.test.mean))
        body.append([name, *cells])
    free = lambda t: f"{percent(t.ceiling.test.mean)} ({t.ceiling.name})" if t.ceiling.test else "–"  # noqa: E731
    rung = lambda t: (best := t.of_kind("classical")[0]).test and f"{percent(best.test.mean)}"  # noqa: E731
    body.append(["best trivial predictor", *(free(t) for t in found)])
    body.append(["classical solver", *(rung(t) or "–" for t in found)])
    lines = "\n".join(f"- {line}" for line in front_page(suite, found))
    return table_of(("", *(t.task.name for t in found)), body) + "\n\n" + lines


def command(suite: Suite) -> str:
    """What makes the rows of a suite."""
    return f"python -m benchmarks run {suite.name}"


def markdown(suite: Suite, found: Sequence[Table]) -> str:
    """The whole suite as one Markdown page."""
    parts = [
        f"# Suite {suite.name}: {suite.description}",
        "",
        f"Made by `{command(suite)}`; written by `python -m benchmarks document {suite.name}`.",
        "",
    ]
    parts += [EXPLAINED, ""]
    parts += [f"- {line}" for line in front_page(suite, found)] + [""]
    parts.append(section("Over all tasks", ["", "error / error of the linear map", "pairings won", "tasks"], ranking(found)))
    for t in found:
        title = f"{t.task.label}: {t.about['equation']}, {size(t)}, {MEASURE[t.task.track]}"
        parts.append(section(title, HEAD, rows(t)))
        parts += [f"- {line}" for line in verdicts(t)] + [""]
        if found_in := equation_rows(t):
            parts.append(section(f"{t.task.label}: the equation read from the window", EQUATIONS, found_in))
        if found_in := inverse_rows(t):
            parts.append(
                section(f"{t.task.label}: the coefficient from the answer, median |log(found / true)|", INVERSE, found_in)
            )
    return "\n".join(parts)


EXPLAINED = """Every contestant answers the same test samples. Errors are means over samples and seeds, with 95 % bootstrap
intervals over both. `solver / k` is the classical solver on a grid k times coarser, interpolated back; rungs of other names
are other methods, and S, A and N* are measured against the best of all rungs. S: time of the classical solver at equal error
over the operator's; above 1 the operator is faster. A: error of the classical solver in the operator's time over the
operator's; above 1 the operator is more accurate. N*: answers until the time saved has paid for training and labels.
Operations are those of one answer (of a roll-out, all its steps): products, convolutions and transforms; of JAX networks also
point-wise ones. Times are those of one thread; S, A and N* at the better of one sample and a batch. "finer grid" asks for the
same samples on a grid with twice the points, "other ranges" for parameters or inputs outside the training ranges; networks
saw neither."""
