"""The command line of the suite."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.suite.tasks import Suite, load, names
from sciml.cli import reported
from solvers.errors import SettingError, unknown_name

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
ROOT = Path(__file__).parents[2]
Name = Annotated[str, typer.Argument(help="Suite: a name, or a .toml file.")]
Folder = Annotated[Path | None, typer.Option(help="Where rows, answers and data lie; runs/<suite> by default.")]
OneFile = Annotated[Path | None, typer.Option(help="The page; <folder>/report.html by default.")]


@app.command()
@reported
def run(
    suite: Name,
    folder: Folder = None,
    task: Annotated[list[str] | None, typer.Option(help="Only these tasks.")] = None,
    operator: Annotated[list[str] | None, typer.Option(help="Only these contestants.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of trained contestants.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, each of one thread.")] = 2,
    dask: Annotated[str, typer.Option(help="Address of a Dask scheduler, in the place of processes.")] = "",
    timing: Annotated[bool, typer.Option(help="Measure times when all rows are there.")] = True,
) -> None:
    """Train, score and time what is missing, then write the report."""
    from benchmarks.suite import run as running

    chosen = load(suite)
    where = place(chosen, folder)
    made: Any = _client(dask) if dask else workers
    running.run(
        chosen,
        suite,
        where,
        tasks=task or (),
        contestants=operator or (),
        seeds=seeds,
        workers=made,
        timing=timing,
        say=Console().print,
    )
    written(chosen, where, None)


@app.command()
@reported
def tune(
    suite: Name,
    folder: Folder = None,
    workers: Annotated[int, typer.Option(help="Processes, each of one thread.")] = 2,
) -> None:
    """Try the settings of [tuning] on validation data, and print the best of every network for the suite's file."""
    from benchmarks.suite import tuning

    chosen = load(suite)
    rows = list(tuning.tune(chosen, suite, place(chosen, folder), workers, Console().print).rows.values())
    for name, found in tuning.scores(rows):
        Console().print(f"{name}: " + "; ".join(f"{error:.4g} {setting}" for error, setting in found))
    for name, setting in tuning.chosen(rows).items():
        Console().print(f'\n\\[training."{name}"]\n' + "\n".join(f"{k} = {v}" for k, v in setting.items()))


@app.command()
@reported
def report(
    suite: Name,
    folder: Folder = None,
    page: OneFile = None,
    store: Annotated[
        bool, typer.Option(help="Also keep these tasks in benchmarks/results, and write docs/suite_<name>.md anew.")
    ] = False,
) -> None:
    """Write the report of the rows that are there."""
    chosen = load(suite)
    written(chosen, place(chosen, folder), page, store)


@app.command()
@reported
def document(suite: Name) -> None:
    """Write docs/suite_<name>.md and README's table from the results that are kept in benchmarks/results."""
    documented(load(suite))


@app.command()
@reported
def compare(suite: Name, a: str, b: str, folder: Folder = None) -> None:
    """Two contestants on every task: ratio of their errors with a 95 % interval, and whether it is chance."""
    from benchmarks.suite.standing import tables
    from benchmarks.suite.statistics import compared

    chosen = load(suite)
    found = tables(chosen, place(chosen, folder))
    names = list(dict.fromkeys(e.name for t in found for e in t.entries))
    for name in (a, b) if names else ():
        if name not in names:
            raise unknown_name("contestant", name, names)
    rows = compared({t.task.label: t.rows for t in found}, a, b)
    if not rows:
        raise SettingError(
            given=f"{a!r} and {b!r}", needed="two contestants with rows on one task", remedy="See the report for names."
        )
    grid = Grid("task", f"{a} / {b}", "95 % interval", "p (Holm)")
    for d in rows:
        grid.add_row(d.task, f"{d.ratio:.3g}", f"{d.low:.3g} … {d.high:.3g}", f"{d.adjusted:.2g}")
    Console().print(grid)


@app.command()
@reported
def verify(suite: Name, folder: Folder = None) -> None:
    """Judge the stored answers again and compare with the stored scores."""
    from benchmarks.suite.verifying import verify as check

    chosen = load(suite)
    count = check(chosen, place(chosen, folder))
    Console().print(f"{count} rows: their answers give the stored scores.")


@app.command("list")
@reported
def listing() -> None:
    """Suites and their tasks."""
    grid = Grid("suite", "task", "track", "points", "train", "test", "epochs")
    for name in names():
        suite = load(name)
        for t in suite.tasks:
            grid.add_row(name, t.label, t.track, str(t.resolution), str(t.train), str(t.test), str(t.epochs))
    Console().print(grid)


def place(suite: Suite, folder: Path | None) -> Path:
    """Where the rows of a suite lie."""
    return folder or Path("runs") / suite.name


def written(suite: Suite, folder: Path, page: Path | None, store: bool = False) -> None:
    """Write the page, print the tables; with `store` keep them in the repository."""
    from benchmarks.suite import page as pages
    from benchmarks.suite import words
    from benchmarks.suite.standing import tables
    from solvers.files import write_bytes

    found = tables(suite, folder)
    if not found:
        raise SettingError(
            given=f"{folder}, which has no rows",
            needed="a folder that `run` filled",
            remedy=f"Run: python -m benchmarks run {suite.name}",
        )
    path = page or folder / "report.html"
    write_bytes(path, pages.page(suite, found, folder, words.command(suite)).encode())
    show(found)
    Console().print(f"Page: {path}")
    if store:
        from benchmarks.suite.storing import keep

        for t in found:
            keep(suite, t)
        documented(suite)


def documented(suite: Suite) -> None:
    """Write docs/suite_<name>.md, docs/who_wins.md and the table in README, if it has a place for it, from what is kept."""
    from benchmarks.pages import put
    from benchmarks.suite import who_wins, words
    from benchmarks.suite.storing import kept
    from solvers.files import write_bytes

    found = kept(suite)
    if not found:
        raise SettingError(
            given=f"suite {suite.name!r}, of which no results are kept",
            needed="results in benchmarks/results",
            remedy=f"Run: python -m benchmarks run {suite.name}, then python -m benchmarks report {suite.name} --store.",
        )
    write_bytes(ROOT / "docs" / f"suite_{suite.name}.md", words.markdown(suite, found).encode())
    everything = [(one, kept(one)) for one in map(load, names())]
    write_bytes(ROOT / "docs" / "who_wins.md", who_wins.page(everything).encode())
    if f"<!-- suite {suite.name} -->" in (ROOT / "README.md").read_text():
        put(ROOT / "README.md", f"suite {suite.name}", words.short(suite, found))


def show(found) -> None:
    """The tables on the terminal, short."""
    from benchmarks.suite import words

    console = Console()
    for t in found:
        grid = Grid("", "error", "finer", "other", "ms, batch", "S", title=f"{t.task.label}, {words.MEASURE[t.task.track]}")
        for e in t.entries:
            error = words.percent(e.test.mean) if e.test and not e.at_floor else words.error(e, t.floor)
            time = "–" if e.seconds is None else f"{1e3 * e.seconds[1]:.3g}"
            grid.add_row(e.name, error, words.other(e.finer), words.other(e.shift), time, words.speed(e))
        console.print(grid)
        for line in words.verdicts(t):
            console.print(f"  {line}")


def _client(address: str) -> Any:
    from dask.distributed import Client

    return Client(address)
