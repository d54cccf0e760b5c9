"""The main job in one call: make Darcy data, train two operators for the same time, compare them with the classical solver.

Every step leaves its file in the folder, and a second call goes on where the first one stopped.
"""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sciml.comparison import standing_lines
from sciml.environment import environment
from sciml.history import History
from sciml.report import Report
from sciml.threads import sensible_threads

NETWORKS = ("mgno:small", "fno:small")
COARSEN = (1, 2, 4)
RATE = 6e-3
"""Peak learning rate of both networks, higher than their own choice, which is for longer trainings: with 1000 samples at
64 x 64 and 8 or 9 epochs it lowers the error of MgNO from 3.7 to 3.1 %, of FNO from 3.5 to 2.7 %."""
PATIENCE = 1.5
"""A training that takes this many times its share (the machine became busy after the first steps were timed) is cut off."""
TITLES = {"mgno": "MgNO", "fno": "FNO", "unet": "U-Net", "deeponet": "DeepONet"}


@dataclass(frozen=True)
class Quickstart:
    """What a quickstart leaves: the report, the page, and a sentence for each operator."""

    folder: Path
    report: Report
    page: Path
    verdict: list[str]


def quickstart(
    folder: str | Path = "quickstart",
    *,
    n: int = 1000,
    test: int = 200,
    resolution: int = 64,
    minutes: float = 4.0,
    workers: int = 2,
    seed: int = 0,
    networks: Sequence[str] = NETWORKS,
    progress: bool = True,
    say: Callable[[str], Any] = print,
) -> Quickstart:
    """Generate, train, evaluate, report.

    Parameters
    ----------
    folder : receives dataset.h5, <operator>.safetensors, <operator>.history.csv, report.json and report.html.
    n, test : training and test samples.
    resolution : stored points per axis; the labels are solved on a finer grid.
    minutes : training time of all networks together; each gets the same share.
    workers : processes that generate.
    seed : of data, weights and order.
    networks : operators with their sizes.
    progress : show bars.
    say : called with a line before each step.

    Returns
    -------
    Quickstart.

    Raises
    ------
    KeyboardInterrupt : Ctrl-C during a training, after it has been committed; the same call goes on.
    CheckpointError : the folder holds a quickstart with other settings.
    """
    import pdes
    import sciml
    from sciml.html import write_report
    from sciml.operators.classical import ladder

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    problem = pdes.get("darcy")  # its labels come from a finer grid, so that the solver on the stored one has an error too
    say(f"1. Darcy flow, {n + test} samples on {resolution} × {resolution}, solved on a grid {problem.refine} times finer")
    data = pdes.generate(
        problem, n + test, resolution, seed=seed, path=folder / "dataset.h5", workers=workers, progress=progress
    )
    train, held_back = data.split(n, test)

    contestants: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    histories: dict[str, History] = {}
    share = 60.0 * minutes / max(1, len(networks))
    say(f"2. Training: {', '.join(_title(name) for name in networks)} for {share:.0f} s each, then a linear map")
    for name in (*networks, "linear"):
        late = lambda state: state.row["seconds"] > PATIENCE * share + 5.0  # noqa: E731
        options: dict[str, Any] = {"seconds": share, "lr": RATE, "callbacks": (late,)} if name in networks else {}
        with sensible_threads():
            result = sciml.fit(
                name,
                train,
                seed=seed,
                checkpoint=folder / "checkpoints" / name.replace(":", "-"),
                resume=True,
                progress=progress,
                **options,
            )
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        title = _title(name)
        contestants[title], seconds[title], histories[title] = result.operator, result.seconds, result.history
        stem = name.partition(":")[0]
        result.operator.save(folder / f"{stem}.safetensors")
        result.history.to_csv(folder / f"{stem}.history.csv")

    say("3. Evaluating on test samples, beside the classical solver")
    rungs = ladder(held_back, [c for c in COARSEN if resolution % c == 0])
    with sensible_threads():
        report = sciml.evaluate({**contestants, **rungs}, held_back, training_seconds=seconds)
    sizes = {"--n": n, "--test": test, "--resolution": resolution, "--minutes": minutes, "--seed": seed}
    words = ["sciml", "quickstart", *(str(w) for pair in sizes.items() for w in pair)]
    notes = {
        "classical": list(rungs),
        "label_seconds": _label_seconds(folder / "dataset.h5"),
        "train_samples": n,
        "command": shlex.join(words),
        "environment": environment(),
    }
    report = replace(report, notes=notes)
    report.save(folder / "report.json")
    intro = (
        f"Permeability to pressure, −∇·(a∇u) = 1 with u = 0 on the walls: {n} training and {test} test samples on a "
        f"{resolution} × {resolution} grid, labels from a grid {problem.refine} times finer. "
        f"Epochs of each network were chosen to fill {share:.0f} s of training."
    )
    title = "Darcy flow: operators and solver"
    page = write_report(report, folder / "report.html", histories=histories, title=title, intro=intro)
    return Quickstart(folder, report, page, standing_lines(report))


def _label_seconds(path: Path) -> float | None:
    """Time of one label, as the manifest beside the dataset records it."""
    manifest = path.with_name(path.name + ".manifest.json")
    return json.loads(manifest.read_text()).get("seconds_per_sample") if manifest.exists() else None


def _title(name: str) -> str:
    stem = name.partition(":")[0]
    return TITLES.get(stem, stem)
