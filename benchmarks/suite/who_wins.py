"""One page for newcomers: on which tasks a learned operator beats the classical solver, and on which it does not."""

from collections.abc import Sequence

from benchmarks.pages import table as table_of
from benchmarks.suite import words
from benchmarks.suite.scoring import FIELDS
from benchmarks.suite.standing import Entry, Table
from benchmarks.suite.tasks import Suite
from sciml.comparison import milliseconds

OPENING = """# Do learned operators beat the classical solver?

A network answers fast, but is wrong by some per cent. A solver on a coarse grid is fast and somewhat wrong, too. So the fair
question is: **how long does a classical solver take to be exactly as wrong as the network?** That time over the network's own
is S in the tables below. S above 1: the network wins. S below 1: a coarser classical solve is the better choice, and needs no
training. “≤”: even the coarsest solve that was tried is more accurate than the network, so S is at most that.

Three more questions belong to it. Is the network better than a predictor that hardly learns (a linear map, the nearest training
sample, “nothing changes”)? If not, its speed is worth nothing. Is the error that it reaches small enough for your purpose? A
solver can be refined, a trained network cannot. And how many answers does it take until the time saved has paid for training
and labels?

Times are those of one thread of a CPU, the better of one sample alone and a batch; a GPU was not measured. Errors are means
over test samples that no training saw. “Solver, same grid” is the one that the labels were made with; S is measured against the
fastest of all classical methods on a ladder of grids. For Burgers and advection the solver is a closed formula."""

HEAD = [
    "task", "best predictor that hardly learns", "solver, same grid", "best network", "its S", "network of the largest S",
    "repaid after",
]  # fmt: skip


def page(suites: Sequence[tuple[Suite, Sequence[Table]]]) -> str:
    """The page, from the kept results of suites; tasks whose networks have no times yet are left out."""
    known = [(suite, [t for t in found if t.task.track in FIELDS and timed(t)]) for suite, found in suites]
    parts = [OPENING, "", "## In short", "", *(f"- {line}" for line in short([t for _, found in known for t in found])), ""]
    for suite, found in known:
        if found:
            parts += [f"## {suite.description} (tier {suite.name.upper()}, [all numbers](suite_{suite.name}.md))", ""]
            parts += [table_of(HEAD, [line(t) for t in found]), ""]
    return "\n".join(parts)


def timed(t: Table) -> bool:
    """Whether a network has its S."""
    return any(e.faster is not None for e in t.of_kind(*words.KINDS))


def short(found: Sequence[Table]) -> list[str]:
    """Counts, and who they are."""
    groups: dict[str, list[str]] = {"won": [], "open": [], "lost": [], "idle": []}
    for t in found:
        won, open_, lost = words.by_speed(t)
        best = t.of_kind(*words.KINDS)[0]
        name = f"{t.task.name} ({t.task.resolution} points)"
        if best.trivial:
            groups["idle"].append(f"{name}: {best.trivial}")
        elif won:
            groups["won"].append(f"{name}: {won[0].name}, {words.speed(won[0])} times")
        elif open_:
            groups["open"].append(f"{name}: {open_[0].name}, {words.speed(open_[0])}")
        elif lost:
            groups["lost"].append(f"{name}: at best {lost[0].name}, {words.speed(lost[0])}")
    said = {
        "won": "a network is faster than the solver at the network's error",
        "open": "it cannot be told, as the coarsest solve is slower than a network and still more accurate",
        "lost": "the solver is faster than every network at that network's error",
        "idle": "a predictor that hardly learns is more accurate than every network",
    }
    return [
        f"On {len(names)} of {len(found)} tasks {said[key]} ({'; '.join(names)})." for key, names in groups.items() if names
    ]


def line(t: Table) -> list[str]:
    """One task."""
    learned = t.of_kind(*words.KINDS)
    best = learned[0]
    ceiling, solver = t.ceiling, next((e for e in t.of_kind("classical") if e.name == "solver"), None)
    ranked = [e for group in words.by_speed(t) for e in group]
    certain = [e for e in ranked if e.bound != "at most"]
    top = max(certain or ranked, key=lambda e: e.faster or 0.0, default=None)
    return [
        f"{t.task.name}, {t.task.resolution} points",
        told(ceiling),
        "–" if solver is None else told(solver, named=False),
        told(best) + (", no better than that predictor" if best.trivial else ""),
        "–" if best.trivial else words.speed(best),
        "–" if top is None else f"{told(top)}: {words.speed(top)}",
        "never" if top is None or top.repaid is None else f"{top.repaid:,.0f} answers",
    ]


def told(e: Entry, *, named: bool = True) -> str:
    """Name, error and time of an answer."""
    assert e.test is not None
    time = "" if e.seconds is None else f" in {milliseconds(min(e.seconds))}"
    return (f"{e.name}, " if named else "") + words.percent(e.test.mean) + time
