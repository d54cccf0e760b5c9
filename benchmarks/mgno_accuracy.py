"""MgNO beside FNO, F-FNO, U-Net, neuraloperator's FNO and UNO, a linear map and classical solvers, at equal training time.

    python -m benchmarks.mgno_accuracy [--seconds 60] [--seeds 3] [--tasks darcy ...] [--blocks time parameters]

Five tasks on 64 x 64: Darcy flow with smooth (log-normal), piecewise constant (12/3) and multiscale coefficients, Helmholtz
with Neumann walls, and forced Navier-Stokes flow (viscosity 1e-4, one unit of time per step, rolled out). Steady tasks have
900 training, 100 validation and 200 test samples, the flow 90, 10 and 20 trajectories of 21 frames.

First, alone on the machine, a few steps of every network are timed (`--blocks calibration`), which fixes how many epochs fit
into `--seconds` of one core. Trainings then take that number of epochs, whatever else runs. Finished rows are kept. Networks
of the block "parameters" have about as many parameters as MgNO, see `SIZED`. Test data are used once, after training.
"""

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import pdes
import sciml
from benchmarks.rows import Rows, finished
from pdes.families.navier_stokes import VorticitySolver
from pdes.scalars import fixed
from sciml.fitting import epochs_within
from sciml.operator import Training, as_operator
from sciml.operators.classical import ClassicalSolver
from sciml.operators.ffno import FFNO
from sciml.operators.fno import FNO
from sciml.operators.mgno import MgNO
from sciml.operators.unet import UNet
from sciml.tasks import as_task
from solvers.errors import UserError

DATA_SEED = 2026
STEADY = ("darcy_lognormal", "darcy", "darcy_multiscale", "helmholtz_neumann")
TASKS = (*STEADY, "navier_stokes")
FLOW = {
    "parameters": {"nu": fixed(1e-4)},
    "solver": VorticitySolver(dt=0.02, speed=0.6),
    "measure_every": 16,
}
Maker = Callable[[str], Any]


def ours(cls: type, **config) -> Maker:
    """An operator of this package; the flow's forcing depends on the position, so there all see coordinates."""

    def make(task: str):
        flow = {"coordinates": True} if task == "navier_stokes" else {}
        return cls(**(config | flow))

    return make


def peer_fno(width: int, modes: int) -> Maker:
    """neuraloperator's FNO of four layers."""

    def make(task: str):
        from neuralop.models import FNO as PeerFNO  # pyright: ignore[reportMissingImports]

        return PeerFNO(n_modes=(modes, modes), in_channels=1, out_channels=1, hidden_channels=width, n_layers=4)

    return make


def peer_uno(width: int, modes: int) -> Maker:
    """neuraloperator's UNO of five layers, the middle ones on half the grid."""

    def make(task: str):
        from neuralop.models import UNO  # pyright: ignore[reportMissingImports]

        deep, few = width * 4 // 3, modes * 2 // 3
        return UNO(
            in_channels=1,
            out_channels=1,
            hidden_channels=width,
            lifting_channels=2 * width,
            projection_channels=2 * width,
            n_layers=5,
            uno_out_channels=[width, deep, deep, deep, width],
            uno_n_modes=[[modes] * 2, [few] * 2, [few] * 2, [few] * 2, [modes] * 2],
            uno_scalings=[[1, 1], [0.5, 0.5], [1, 1], [2, 2], [1, 1]],
            channel_mlp_skip="linear",
        )

    return make


SHARED = {"cycle": "correction", "share": "coarse", "depth": 3}
MODELS: dict[str, Maker] = {
    "mgno:small": ours(MgNO, width=16, stencil="mixed", **SHARED),
    "fno:small": ours(FNO, width=24, modes=12, layers=4),
    "ffno:small": ours(FFNO, width=24, modes=16, layers=4),
    "unet:small": ours(UNet, width=12, levels=4),
    "neuraloperator FNO": peer_fno(24, 12),
    "neuraloperator UNO": peer_uno(24, 12),
}
"""Presets of the package; neuraloperator's FNO has the sizes of ours."""
SIZED: dict[str, Maker] = {
    "fno, narrow": ours(FNO, width=8, modes=8, layers=4),
    "ffno, narrow": ours(FFNO, width=14, modes=10, layers=4),
    "unet, narrow": ours(UNet, width=6, levels=3, groups=3),
    "neuraloperator FNO, narrow": peer_fno(8, 8),
    "neuraloperator UNO, narrow": peer_uno(7, 8),
}
"""About as many parameters as "mgno:small" has."""
REFERENCE = "mgno:small"
"""Timed first: where the others are timed on another day, their epochs follow from its own there and then."""
RATES: dict[str, Maker] = {
    "fno:small, lr 1e-2": MODELS["fno:small"],
    "neuraloperator FNO, lr 1e-2": MODELS["neuraloperator FNO"],
}
"""The same at a learning rate of 1e-2, as in neuraloperator's examples."""
RECIPES = {
    "fno:small, lr 1e-2": {"lr": 1e-2, "warmup": 0.1},
    "fno": {"lr": 3e-3, "warmup": 0.1},
    "neuraloperator FNO, lr 1e-2": {"lr": 1e-2, "batch_size": 16},
    "neuraloperator": {"lr": 3e-3, "batch_size": 16},
}
"""neuraloperator's networks have no recommendations; its examples take 1e-2."""


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure what is missing, print the tables; returns what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="training time of each network on one core")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--blocks", nargs="*", default=["calibration", "baselines", "time", "rates", "parameters"])
    parser.add_argument("--models", nargs="*", default=[*MODELS, *RATES, *SIZED])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data files, made where they are missing")
    parser.add_argument("--name", default="mgno_accuracy", help="name of the results file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = Rows(options.name, {"seconds": options.seconds, "data_seed": DATA_SEED, "resolution": 64})
    open_task = functools.cache(lambda task: dataset(task, options.data))
    wanted = [
        (name, make)
        for block, models in (("time", MODELS), ("rates", RATES), ("parameters", SIZED))
        if block in options.blocks
        for name, make in models.items()
        if name in options.models
    ]
    if "calibration" in options.blocks:
        for name, make in (MODELS | SIZED).items():
            for task in ("darcy", "navier_stokes"):
                key, first = f"epochs {kind_of(task)} {name}", f"epochs {kind_of(task)} {REFERENCE}"
                if key not in rows:
                    given = (make, task, open_task(task), options.seconds, name)
                    epochs = paced(*given, rows[first]["epochs"]) if first in rows else calibrated(*given)
                    rows.add(key, {"epochs": epochs})
    if "baselines" in options.blocks:
        for task in options.tasks:
            baselines(rows, task, open_task(task))
    for seed in range(11, 11 + options.seeds):
        for task in options.tasks:
            for name, make in wanted:
                key = f"{task} {name} {seed}"
                if key not in rows:
                    epochs = rows[f"epochs {kind_of(task)} {name.removesuffix(', lr 1e-2')}"]["epochs"]
                    rows.add(key, trained(make, task, open_task(task), epochs, seed, name))
    show(rows)
    return rows.rows


def kind_of(task: str) -> str:
    """Tasks of one kind have arrays of one shape: they share a calibration."""
    return "flow" if task == "navier_stokes" else "steady"


def dataset(task: str, folder: Path):
    """Training, validation and test set; made once."""
    path = folder / f"{task}.h5"
    steady = task in STEADY
    if path.exists():
        data = pdes.Dataset.open(path)
    else:
        problem = pdes.get(task, **({} if steady else FLOW))
        data = pdes.generate(problem, n=1200 if steady else 120, resolution=64, seed=DATA_SEED, path=path)
    return data.split(900, 100, 200) if steady else data.split(90, 10, 20)


def recipe(name: str) -> dict[str, Any]:
    """Training options of a model that has no recommendation of its own."""
    return next((dict(values) for start, values in RECIPES.items() if name.startswith(start)), {})


def calibrated(make: Maker, task: str, data, seconds: float, name: str) -> int:
    """Epochs that fit into the time, validation included."""
    train, validation, _ = data
    operator = as_operator(make(task))
    kind = as_task("autoregressive" if task == "navier_stokes" else None, train)
    operator.bind(kind, seed=11)
    training = replace(Training(epochs=40), **recipe(name)).filled({"loss": kind.loss} | dict(operator.recommended(kind)))
    return epochs_within(seconds, operator, kind, kind.on(validation), training)


def paced(make: Maker, task: str, data, seconds: float, name: str, reference: int) -> int:
    """Epochs beside those of the network timed first, by the ratio of both here and now: this machine may be another."""
    longer = 20 * seconds  # so that whole epochs are fine enough
    here = calibrated(make, task, data, longer, name) / calibrated(MODELS[REFERENCE], task, data, longer, REFERENCE)
    return max(1, round(reference * here))


def trained(make: Maker, task: str, data, epochs: int, seed: int, name: str) -> dict[str, Any]:
    """Train for so many epochs, then score once on the test set."""
    train, validation, test = data
    torch.manual_seed(seed)  # modules of others draw their weights when they are made
    kind = "autoregressive" if task == "navier_stokes" else None
    training = Training(epochs=epochs, seed=seed, **recipe(name))
    result = sciml.fit(make(task), train, task=kind, validation=validation, training=training, progress=False)
    finished(result)
    return {"task": task, "model": name, "seed": seed, "epochs": epochs, "validation": result.best} | scores(
        result.operator, test, result.seconds
    )


def scores(operator, test, seconds: float | None = None) -> dict[str, Any]:
    """Errors on the test set, of the roll-out, too, for the flow."""
    score = sciml.evaluate(operator, test, timing=False).scores[0]
    row: dict[str, Any] = {"parameters": score.parameters, "seconds_then": seconds}
    row |= {name: float(np.mean(score.errors[name])) for name in ("relative_l2", "relative_h1")}
    if score.rollout_errors is not None:
        by_step = np.asarray(score.rollout_errors).mean(0)
        row |= {"rollout": [float(v) for v in by_step]}
    return row


def baselines(rows: Rows, task: str, data) -> None:
    """Linear map, persistence (of the flow), the classical solver on coarser grids, and the error of the labels."""
    train, _, test = data
    kind = "autoregressive" if task == "navier_stokes" else None
    for name in ("linear", *(() if task in STEADY else ("persistence",))):
        key = f"{task} {name}"
        if key not in rows:
            rows.add(
                key, {"task": task, "model": name} | scores(sciml.fit(name, train, task=kind, progress=False).operator, test)
            )
    for coarsen in (4, 2, 1):
        key = f"{task} classical {64 // coarsen}"
        if key in rows:
            continue
        try:
            solver = ClassicalSolver(problem=task if task in STEADY else pdes.get(task, **FLOW), coarsen=coarsen)
            solver.bind(as_task(kind, test))
            began = time.perf_counter()
            row = scores(solver, test)
            row["seconds_then"] = time.perf_counter() - began
        except UserError as error:
            row = {"missing": str(error).splitlines()[0]}
        rows.add(key, {"task": task, "model": f"classical solver, {64 // coarsen}²"} | row)
    key = f"{task} labels"
    if key not in rows:
        floor = np.asarray(test.quality["label_error"][:])
        whole = np.asarray(floor[np.isfinite(floor)])
        rows.add(
            key, {"task": task, "model": "error of the labels", "relative_l2": float(whole.mean()) if whole.size else None}
        )


def table(rows: Rows) -> dict[tuple[str, str], dict[str, Any]]:
    """(task, model) -> means over seeds."""
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows.rows.values():
        if "task" in row:
            found.setdefault((row["task"], row["model"]), []).append(row)
    out = {}
    for key, some in found.items():
        errors = [r["relative_l2"] for r in some if r.get("relative_l2") is not None]
        if errors:
            out[key] = {
                "seeds": len(errors),
                "l2": float(np.mean(errors)),
                "spread": float(np.std(errors)),
                "h1": _mean([r["relative_h1"] for r in some if "relative_h1" in r]),
                "parameters": some[0].get("parameters"),
                "epochs": some[0].get("epochs"),
                "rollout": np.mean([r["rollout"] for r in some], 0).tolist() if some[0].get("rollout") else None,
            }
    return out


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def show(rows: Rows) -> None:
    """One line per model and task."""
    shown = Table("task", "model", "parameters", "epochs", "seeds", "relative L2", "±", "relative H1", "roll-out 5, 10, 20")
    for (task, model), row in sorted(table(rows).items(), key=lambda item: (TASKS.index(item[0][0]), item[1]["l2"])):
        steps = row["rollout"]
        shown.add_row(
            task,
            model,
            f"{row['parameters'] or 0:,}",
            str(row["epochs"] or ""),
            str(row["seeds"]),
            f"{row['l2']:.5f}",
            f"{row['spread']:.5f}",
            f"{row['h1']:.4f}" if row["h1"] is not None else "",
            ", ".join(f"{steps[min(i, len(steps)) - 1]:.4f}" for i in (5, 10, 20)) if steps else "",
        )
    Console(width=150).print(shown)


if __name__ == "__main__":
    main()
