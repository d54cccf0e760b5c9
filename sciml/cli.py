"""The command line: `sciml problems | describe | operators | generate | plot | fit | evaluate | recover | quickstart | ...`.

Each command is a thin call of the public function of its name. A `UserError` is one line on stderr and exit code 2; anything
else unexpected is named a bug, exit code 1; Ctrl-C is 130. `--debug` shows the whole traceback instead. Commands import what
they need when they run, so that `sciml --help` loads neither torch nor JAX.
"""

import functools
import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from solvers.errors import DataError, SettingError, UserError

app = typer.Typer(
    name="sciml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
INTERRUPTED = 130
_DEBUG = inspect.Parameter(
    "debug",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Other")],
)


def out() -> Console:
    """Where results go. Made anew, so that a redirected stdout is respected."""
    return Console(highlight=False)


def command(function: Callable[..., int | None]) -> Callable[..., None]:
    """Register a command that reports errors as the module describes, see `reported`."""
    guarded = reported(function)
    app.command()(guarded)
    return guarded


def reported(function: Callable[..., int | None]) -> Callable[..., None]:
    """A command that reports errors as the module describes, with `--debug`. The function returns its exit code, or nothing."""

    @functools.wraps(function)
    def guarded(*args, debug: bool = False, **options) -> None:
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        try:
            code = function(*args, **options)
        except (UserError, KeyboardInterrupt, Exception) as error:
            if debug:
                raise
            code = _report(error, errors)
        raise typer.Exit(code or 0)

    signature = inspect.signature(function, eval_str=True)
    guarded.__signature__ = signature.replace(parameters=[*signature.parameters.values(), _DEBUG])  # type: ignore[attr-defined]
    return guarded


def _report(error: BaseException, errors: Console) -> int:
    """One line for a person; the exit code for a script."""
    if isinstance(error, KeyboardInterrupt):
        errors.print("[yellow]Stopped.[/] What was finished is kept.")
        return INTERRUPTED
    if isinstance(error, UserError):
        errors.print(f"[bold red]error:[/] {escape(' '.join(str(error).split()))}")
        return 2
    kind = type(error).__name__
    errors.print(
        f"[bold red]bug:[/] {escape(kind)}: {escape(' '.join(str(error).split()))} "
        "(this should not happen; run again with --debug and report the traceback)"
    )
    return 1


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """PDE data from verified solvers, any operator behind one fit, and an honest comparison of the two.

    \b
    Start with [bold]sciml quickstart[/], or in steps:
    sciml generate darcy --n 1200 --resolution 64 --out darcy.h5
    sciml fit mgno:small darcy.h5 --out mgno.safetensors
    sciml evaluate mgno.safetensors test.h5 --coarsen 2 --html report.html
    """
    if version:
        import sciml

        print(sciml.__version__)
        raise typer.Exit()


@command
def problems(
    text: Annotated[str, typer.Argument(help="Only those with this in their name, equation or description.")] = "",
    kind: Annotated[str | None, typer.Option(help="pde or ode.")] = None,
) -> int | None:
    """List the problems and their equations.

    \b
    Examples:
    sciml problems
    sciml problems burgers
    sciml problems --kind ode
    """
    from sciml.listing import problem_table

    out().print(problem_table(text, kind))


@command
def describe(
    name: Annotated[str, typer.Argument(help="A name that `sciml problems` lists.")],
    resolution: Annotated[str | None, typer.Option(help="Points per axis of the samples that are timed.")] = None,
    cost: Annotated[bool, typer.Option("--cost/--no-cost", help="Solve two samples to measure time and label error.")] = True,
) -> int | None:
    """Describe one problem: equation, recipe, ranges, solver, and its cost on this machine.

    \b
    Examples:
    sciml describe darcy
    sciml describe navier_stokes --resolution 128
    sciml describe lorenz63 --no-cost
    """
    import pdes
    from pdes.cost import measure
    from sciml.listing import problem_details

    problem, console = pdes.get(name), out()
    found = None
    if cost:
        with console.status("solving two samples"):
            found = measure(problem, None if resolution is None else _resolution(resolution))[1]
    console.print(problem_details(problem, found))


@command
def plot(
    data: Annotated[Path, typer.Argument(help="A dataset (.h5, or a foreign file that Dataset.open reads).")],
    target: Annotated[
        Path | None, typer.Option("--out", "-o", help="Panels: .png, .pdf, .svg; in motion: .gif, .html, .mp4.")
    ] = None,
    samples: Annotated[list[int] | None, typer.Option("--sample", help="Which; may be repeated. Default: the first.")] = None,
    fields: Annotated[list[str] | None, typer.Option("--field", help="Which; may be repeated. Default: all.")] = None,
    frames: Annotated[int, typer.Option(help="Panels per field that changes in time.")] = 5,
    fps: Annotated[int | None, typer.Option(help="Frames per second of a film.")] = None,
) -> int | None:
    """Draw a dataset: panels of its fields, or a film of one sample.

    \b
    Examples:
    sciml plot burgers.h5
    sciml plot ns.h5 --sample 0 --sample 3 --out vorticity.png
    sciml plot ns.h5 --out vorticity.gif
    """
    import sciml

    dataset = sciml.Dataset.open(data)
    target = data.with_suffix(".png") if target is None else target
    if target.suffix in (".gif", ".html", ".mp4"):
        dataset.animate(target, sample=(samples or [0])[0], fields=fields, fps=fps)
    else:
        dataset.plot(target, samples=samples or 2, fields=fields, frames=frames)
    out().print(f"wrote [bold]{escape(str(target))}[/]")


@command
def gallery(
    problem: Annotated[list[str] | None, typer.Argument(help="Names; without any, all problems.")] = None,
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to fill; the same command goes on after an interruption.")
    ] = Path("gallery"),
    resolution: Annotated[int | None, typer.Option(help="Points per axis; default 128, 64 or 32 by dimension.")] = None,
    films: Annotated[bool, typer.Option("--films", help="Also animations.")] = False,
) -> int | None:
    """Solve, draw and time every problem, on one page.

    \b
    Examples:
    sciml gallery
    sciml gallery darcy burgers --out two --films
    """
    from sciml.gallery import gallery as run

    entries = run(folder, problem or None, resolution=resolution, films=films)
    failed = [entry for entry in entries if entry.cost is None]
    for entry in failed:
        out().print(f"[red]{entry.problem.name}[/] {escape(entry.error)}")
    out().print(f"Open [bold]{escape(str(folder / 'index.html'))}[/]")
    return 1 if failed else 0


@command
def operators(
    name: Annotated[str | None, typer.Argument(help="Describe this operator; without a name, list all.")] = None,
) -> int | None:
    """List the operators and their sizes, or describe one.

    \b
    Examples:
    sciml operators
    sciml operators mgno
    """
    from sciml.listing import operator_details, operator_table

    out().print(operator_table() if name is None else operator_details(name))


@command
def generate(
    problem: Annotated[str, typer.Argument(help="A name that `sciml problems` lists.")],
    target: Annotated[Path, typer.Option("--out", "-o", help="The .h5 file to write; a folder with --shard-size.")],
    n: Annotated[int, typer.Option("--n", "-n", help="Number of samples.")] = 1000,
    resolution: Annotated[str, typer.Option(help="Points per axis: 64, or one number per axis: 64,128.")] = "64",
    seed: Annotated[int, typer.Option(help="Root of all random draws.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Fix a parameter; may be repeated.")] = None,
    refine: Annotated[int | None, typer.Option(help="Solve on a grid this many times finer than the stored one.")] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="Draw from the ranges kept for testing.")] = False,
    shard_size: Annotated[int | None, typer.Option(help="Samples per file, in a folder of files.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of resuming.")] = False,
) -> int | None:
    """Generate a dataset with the problem's classical solver.

    Sample i depends on the problem, resolution, seed and i alone. The same
    command goes on after an interruption; with a larger --n it extends the file.

    \b
    Examples:
    sciml generate darcy --n 1000 --resolution 64 --seed 7 --out darcy.h5
    sciml generate burgers --n 200 --param nu=0.01 --out burgers.h5 --workers 2
    """
    import pdes

    overrides: dict[str, Any] = dict(_assignment(text) for text in param or [])
    if refine is not None:
        overrides["refine"] = refine
    chosen = pdes.get(problem, **overrides)
    data = pdes.generate(
        chosen.held_out() if held_out else chosen,
        n,
        _resolution(resolution),
        seed=seed,
        path=target,
        workers=workers,
        resume=not fresh,
        shard_size=shard_size,
    )
    written = target.glob("shard-*.h5") if target.is_dir() else [target]
    out().print(escape(repr(data)))
    out().print(f"wrote [bold]{escape(str(target))}[/] ({sum(path.stat().st_size for path in written) / 1e6:.1f} MB)")


@command
def verify(
    data: Annotated[Path, typer.Argument(help="What `sciml generate` wrote.")],
    k: Annotated[int, typer.Option("--samples", "-k", help="Samples to compute again; 0 for checksums alone.")] = 4,
    seed: Annotated[int | None, typer.Option(help="Which samples; others at every call without it.")] = None,
    against: Annotated[Path | None, typer.Option(help="Another dataset that must not share a draw with this one.")] = None,
) -> int | None:
    """Check a dataset against its manifest and compute some of its samples again.

    \b
    Examples:
    sciml verify darcy.h5
    sciml verify train.h5 --samples 16 --against test.h5
    """
    import pdes

    out().print(escape(repr(pdes.verify(data, k, seed))))
    if against is not None:
        pairs = pdes.duplicates(pdes.Dataset.open(data), pdes.Dataset.open(against))
        if pairs:
            raise DataError(
                given=f"{len(pairs)} draws that are in both (samples {pairs[0][0]} and {pairs[0][1]}, ...)",
                needed="splits that share none",
                remedy="Generate one of them with --held-out or another seed.",
            )
        out().print("no draw is in both")


@command
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any file that Dataset.open reads.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    layout: Annotated[str, typer.Option(help="sciml (our own), the_well, pdebench or pdebench_groups.")] = "sciml",
    allow: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="Read in spite of a known fault; may be repeated.")
    ] = None,
) -> int | None:
    """Rewrite a dataset in the layout of another project, or one of theirs in ours.

    \b
    Examples:
    sciml convert 2D_DarcyFlow_beta1.0_Train.hdf5 darcy.h5
    sciml convert burgers.h5 burgers_well.hdf5 --layout the_well
    """
    import pdes

    data = pdes.Dataset.open(source, tuple(allow or ()))
    if layout == "sciml":
        data.save(target)
    else:
        data.export(target, layout)
    for note in data.provenance.get("repairs", ()):
        out().print(escape(f"mended: {note}"))
    out().print(f"wrote [bold]{escape(str(target))}[/] ({target.stat().st_size / 1e6:.1f} MB)")


@command
def fit(
    operator: Annotated[str, typer.Argument(help="Name and size, e.g. mgno:small; `sciml operators` lists them.")],
    data: Annotated[Path, typer.Argument(help="Training data (.h5, or a foreign file that Dataset.open reads).")],
    target: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    samples: Annotated[int | None, typer.Option(help="Use only the first SAMPLES.")] = None,
    validation: Annotated[str | None, typer.Option(help="A file, a share such as 0.1 (default), or 0 for none.")] = None,
    task: Annotated[
        str | None, typer.Option(help="steady, final, trajectory, sequence, classification, ...; default from the data.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Instead of --epochs: as many as fit into this time.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Items per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    loss: Annotated[str | None, typer.Option(help="relative_l2, relative_h1, ...")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    patience: Annotated[int | None, typer.Option(help="Stop after this many epochs without progress.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder for commits, to survive a kill.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest commit in --checkpoint.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, float64 or bf16.")] = "float32",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network.")] = False,
    history: Annotated[Path | None, typer.Option(help="Also write the table of epochs (.csv).")] = None,
) -> int | None:
    """Train an operator on a dataset. Ctrl-C saves what has been trained.

    \b
    Examples:
    sciml fit mgno:small darcy.h5 --out mgno.safetensors
    sciml fit fno darcy.h5 --out fno.safetensors --checkpoint runs/fno --resume
    """
    import sciml

    if resume and checkpoint is None:
        raise SettingError(
            given="--resume without --checkpoint", needed="the folder to resume from", remedy="Add --checkpoint DIR."
        )
    dataset = sciml.Dataset.open(data)
    dataset = dataset if samples is None else dataset[:samples]
    result = sciml.fit(
        operator,
        dataset,
        task=task,
        validation=_validation(validation),
        epochs=epochs,
        seconds=seconds,
        batch_size=batch_size,
        lr=lr,
        loss=loss,
        checkpoint=checkpoint,
        resume=resume,
        device=device,
        precision=precision,
        compile=compiled,
        seed=seed,
        patience=patience,
    )
    result.operator.save(target)
    if history is not None:
        result.history.to_csv(history)
    out().print(escape(repr(result)))
    out().print(f"wrote [bold]{escape(str(target))}[/]")
    return INTERRUPTED if result.stopped == "interrupted" else 0


@command
def evaluate(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL", help="One or more .safetensors files.")],
    data: Annotated[Path, typer.Argument(help="Test data.")],
    json: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained page with figures.")] = None,
    coarsen: Annotated[
        list[int] | None,
        typer.Option(metavar="FACTOR", help="Add the classical solver on a grid FACTOR times coarser; may be repeated."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="By default the one the first model was trained for.")] = None,
    samples: Annotated[int | None, typer.Option(help="Use only the first SAMPLES.")] = None,
    timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Measure milliseconds per sample.")] = True,
) -> int | None:
    """Score trained operators on test data, beside the classical solver on request.

    \b
    Examples:
    sciml evaluate mgno.safetensors test.h5
    sciml evaluate mgno.safetensors fno.safetensors test.h5 --coarsen 1 --coarsen 4
    sciml evaluate mgno.safetensors test.h5 --json scores.json --html report.html
    """
    import sciml
    from sciml.comparison import standing_lines
    from sciml.environment import environment
    from sciml.listing import report_table

    dataset = sciml.Dataset.open(data)
    dataset = dataset if samples is None else dataset[:samples]
    console = out()
    with console.status("evaluating"):
        contestants: dict[str, Any] = {label: sciml.load(path) for label, path in _labels(models).items()}
        rungs: dict[str, Any] = {}
        if coarsen:
            from sciml.operators.classical import ladder

            first = next(iter(contestants.values())).bound_signature
            rungs = ladder(dataset, coarsen, first)
        report = sciml.evaluate({**contestants, **rungs}, dataset, task=task, timing=timing)
    command = shlex.join(["sciml", *sys.argv[1:]])
    report.notes.update(classical=list(rungs), command=command, environment=environment())
    console.print(report_table(report))
    for line in standing_lines(report):
        console.print(escape(line))
    if json is not None:
        report.save(json)
        console.print(f"wrote [bold]{escape(str(json))}[/]")
    if html is not None:
        from sciml.html import write_report

        write_report(report, html, title=f"{', '.join(_labels(models))} on {data.name}")
        console.print(f"wrote [bold]{escape(str(html))}[/]")


@command
def recover(
    data: Annotated[Path, typer.Argument(help="Recording: .csv with a header, .npz with t and x, or a dataset (.h5).")],
    inputs: Annotated[list[str] | None, typer.Option("--input", help="Column that is a control; may be repeated.")] = None,
    library: Annotated[
        list[str] | None, typer.Option(help="Family of terms: poly:3, trig, rational, exp; may be repeated. Default: auto.")
    ] = None,
    boot: Annotated[int, typer.Option(help="Bootstrap samples for intervals and inclusion probabilities; 0: none.")] = 50,
    digits: Annotated[int | None, typer.Option(help="Significant digits on the screen; default: all.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures and checks.")] = None,
    python: Annotated[Path | None, typer.Option(help="Write the equations as a Python function.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also print LaTeX.")] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> int | None:
    """Recover the differential equations behind a recording.

    Ordinary equations from trajectories, partial ones from a field on a grid.

    \b
    Examples:
    sciml recover pendulum.csv --html pendulum.html
    sciml recover driven.csv --input force --library poly:3 --python model.py
    sciml recover burgers.npz --latex
    """
    from sciml.recovery.commands import run

    for line in run(data, inputs or (), library, boot, digits, html, python, latex, seed):
        out().print(escape(line))


@command
def quickstart(
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to fill; the same command goes on after an interruption.")
    ] = Path("quickstart"),
    n: Annotated[int, typer.Option("--n", help="Training samples.")] = 1000,
    test: Annotated[int, typer.Option(help="Test samples.")] = 200,
    resolution: Annotated[int, typer.Option(help="Points per axis.")] = 64,
    minutes: Annotated[float, typer.Option(help="Training time of all networks together, shared equally.")] = 4.0,
    workers: Annotated[int, typer.Option(help="Processes that generate.")] = 2,
    seed: Annotated[int, typer.Option(help="Of data, weights and order.")] = 0,
) -> int | None:
    """Generate Darcy flow, train MgNO and FNO for the same time, and compare them with the classical solver.

    Leaves the dataset, the models, learning curves and a page report.html in one folder.

    \b
    Examples:
    sciml quickstart
    sciml quickstart --out small --n 200 --test 50 --resolution 32 --minutes 0.5
    """
    from sciml.listing import report_table
    from sciml.quickstart import quickstart as run

    result = run(folder, n=n, test=test, resolution=resolution, minutes=minutes, workers=workers, seed=seed, say=out().print)
    console = out()
    console.print(report_table(result.report))
    for line in result.verdict:
        console.print(escape(line))
    console.print(f"\nOpen [bold]{escape(str(result.page))}[/]")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(words: typer.Context) -> None:
    """The PDE benchmark suite: run, report, compare, verify, list; as `python -m benchmarks`.

    \b
    Examples:
    sciml bench run s
    sciml bench compare s fno:tiny mgno:tiny
    """
    import importlib

    suite = importlib.import_module("benchmarks.suite.commands")  # above this package: nothing here depends on it
    suite.app(words.args, prog_name="sciml bench")


def main() -> None:
    """Entry point of the console script."""
    app()


# -- reading options --------------------------------------------------------------------------------------------------


def _assignment(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise SettingError(
            given=f"--param {text}", needed="NAME=VALUE with a number", remedy="For example --param nu=0.01."
        ) from None


def _resolution(text: str) -> int | tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(
            given=f"--resolution {text}", needed="64, or one number per axis as in 64,128", remedy="Use whole numbers."
        ) from None
    return sizes[0] if len(sizes) == 1 else sizes


def _validation(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return float(text) or False
    except ValueError:
        from sciml import Dataset

        return Dataset.open(text)


def _labels(paths: list[Path]) -> dict[str, Path]:
    """File stems as names, or whole paths where stems repeat."""
    stems = [path.stem for path in paths]
    if len(set(paths)) < len(paths):
        raise DataError(given="one model twice", needed="different files", remedy="Name each model once.")
    return {path.stem if stems.count(path.stem) == 1 else str(path): path for path in paths}


if __name__ == "__main__":
    sys.exit(main())
