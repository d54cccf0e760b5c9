"""Operators on Darcy flow at equal training wall time, beside a linear map and the classical solver on coarse grids.

    python -m benchmarks.darcy_operators [--seconds 240] [--seeds 3] [--n-train 1000] [--resolution 64]

Piecewise-constant coefficients (12 and 3), 1000 training and 200 test samples. Every learned operator gets the same wall time
per seed; epochs are fixed from a few timed steps before training. The test set is used once, after training.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

import pdes
import sciml
from benchmarks.record import record
from sciml.operators.classical import ClassicalSolver
from sciml.tasks import as_task

LEARNED = ("mgno:small", "fno:small", "unet:small", "deeponet:small")
DATA_SEED = 2026


def main(arguments: Sequence[str] | None = None) -> dict:
    """Run the comparison, print the table, store the JSON; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=240, help="training wall time of each operator and seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n-train", type=int, default=1000)
    parser.add_argument("--n-test", type=int, default=200)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--operators", nargs="*", default=list(LEARNED))
    parser.add_argument("--name", default="darcy_operators", help="name of the results file")
    options = parser.parse_args(arguments)

    data = pdes.generate("darcy", n=options.n_train + options.n_test, resolution=options.resolution, seed=DATA_SEED)
    train, test = data.split(options.n_train, options.n_test)
    rows = []
    for name in [*options.operators, "linear", "mean"]:
        rows.append(learned(name, train, test, options.seconds, options.seeds if name in options.operators else 1))
        _show(rows)
    for coarsen in (4, 2, 1):
        solver = ClassicalSolver(problem="darcy", coarsen=coarsen)
        solver.bind(as_task(None, test))
        rows.append(_row(f"classical solver at {options.resolution // coarsen}", [sciml.evaluate(solver, test)], [0.0], [0]))
    _show(rows)
    label_error = np.asarray(test.quality["label_error"])
    payload = {
        "problem": "darcy",
        "training_samples": options.n_train,
        "test_samples": options.n_test,
        "resolution": options.resolution,
        "training_seconds_each": options.seconds,
        "data_seed": DATA_SEED,
        "rows": rows,
        "label_error": float(np.nanmean(label_error)) if np.isfinite(label_error).any() else None,
    }
    record(options.name, payload)
    return payload


def learned(name: str, train, test, seconds: float, seeds: int) -> dict:
    """Train one operator from several seeds and score it on the test set."""
    reports, times, epochs = [], [], []
    for seed in range(11, 11 + seeds):
        result = sciml.fit(name, train, seed=seed, seconds=None if name in ("linear", "mean") else seconds)
        reports.append(sciml.evaluate(result.operator, test))
        times.append(result.seconds)
        epochs.append(len(result.history))
    return _row(name, reports, times, epochs)


def _row(name: str, reports: list, times: list[float], epochs: list[int]) -> dict:
    scores = [r.scores[0] for r in reports]
    errors = [float(s.errors["relative_l2"].mean()) for s in scores]
    return {
        "name": name,
        "parameters": scores[0].parameters,
        "seeds": len(scores),
        "relative_l2": errors,
        "relative_l2_mean": float(np.mean(errors)),
        "relative_l2_spread": float(np.std(errors)),
        "relative_h1": [float(s.errors["relative_h1"].mean()) for s in scores],
        "training_seconds": times,
        "epochs": epochs,
        "ms_single": 1e3 * min(s.seconds_single for s in scores),
        "ms_batch": 1e3 * min(s.seconds_batch for s in scores),
    }


def _show(rows: list[dict]) -> None:
    table = Table(
        "operator", "relative L2", "± seeds", "relative H1", "parameters", "train s", "epochs", "ms, one", "ms, batch"
    )
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['relative_l2_mean']:.4f}",
            f"{row['relative_l2_spread']:.4f}",
            f"{np.mean(row['relative_h1']):.4f}",
            f"{row['parameters']:,}",
            f"{np.mean(row['training_seconds']):.0f}",
            f"{np.mean(row['epochs']):.0f}",
            f"{row['ms_single']:.2f}",
            f"{row['ms_batch']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
