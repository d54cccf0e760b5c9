"""Digits by a neural ODE: what each regulariser saves in evaluations of f, and what it costs in accuracy.

    python -m benchmarks.nde_digits [--seeds 5] [--epochs 50] [--tolerance 1.4e-8]

scikit-learn's digits, 64 pixels as the state, 1437 for training and 360 for the test by one fixed permutation; f has two
hidden layers of 64 tanh units, time from 0 to 1, Tsit5 (diffrax, compiled), first steps of 0.01, float64, batches of 128, AdamW
at 3e-3, one cycle, a fixed number of steps; nothing is chosen by the test set. Evaluations are counted in f by the same weights
on torchdiffeq with its automatic first step, on the test set as one coupled batch. Beside the regularisers stand cheap ways:
the unpenalised network solved with a looser tolerance, with a larger first step, or on a fixed grid of Tsit5 or RK4 steps;
weight decay; training at a loose tolerance.

A row is one method and seed. `error` is the relative error of the scores against a solve at 1e-10; `ms` are quartiles of 20
compiled solves of the whole test set.
"""

import argparse
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

import sciml
from benchmarks.nde_common import (
    counted,
    in_passes,
    methods,
    on_torch,
    prediction_ms,
    relative_error,
    seconds_without_compiling,
)
from benchmarks.rows import Rows, finished
from pdes.dataset import Dataset
from sciml.operators.neural_ode import NeuralODE
from solvers.grid import Grid

TEST_TOLERANCES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FIRST_STEPS = ((1e-6, 0.1), (1e-3, 0.2), (1e-2, 0.5), (1e-1, 1.0))
METHODS = methods(er=(0.1, 1.0), rn=(0.01, 0.03, 0.1), sr=1e-3, taylor=1e-2, kinetic=0.1, local=0.1)
METHODS |= {
    "budget 32": {"regularisers": ("R_N",), "weights": (0.0,), "target_evaluations": 32},
    "kinetic 0.1": {"regularisers": ("kinetic",), "weights": (0.1,)},
}


def digits() -> tuple[Dataset, Dataset]:
    """Training and test set."""
    from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]

    x, y = (np.asarray(v, np.float64) for v in load_digits(return_X_y=True))
    order = np.random.default_rng(2026).permutation(len(x))
    provenance = {"family": "digits", "classes": [str(i) for i in range(10)]}
    return tuple(
        Dataset(
            fields={"x": x[part]}, grid=Grid(()), times=np.arange(64.0), parameters={"label": y[part]}, provenance=provenance
        )
        for part in (order[:1437], order[1437:])
    )  # pyright: ignore[reportReturnType]


def trained(method: str, seed: int, epochs: int, tolerance: float):
    """The fitted operator and the seconds that it took, compiling included."""
    options = {"rtol": tolerance, "atol": tolerance} | METHODS[method]
    training = sciml.Training(weight_decay=options.pop("weight_decay", 0.0))
    operator = NeuralODE(backend="jax", max_steps=128, first_step=0.01, **options)
    result = sciml.fit(
        operator, digits()[0], epochs=epochs, validation=False, seed=seed, precision="float64", progress=False,
        training=training,
    )  # fmt: skip
    return operator, finished(result)


def judged(operator: NeuralODE, x: np.ndarray, labels: np.ndarray, exact: np.ndarray, **changes) -> dict:
    """Accuracy, evaluations and error of one solve of the whole test set, under other settings of the solve."""
    scores, statistics = operator.answered(x, **changes)
    return {
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "evaluations": int(statistics.evaluations),
        "accepted": int(statistics.accepted),
        "rejected": int(statistics.rejected),
        "error": relative_error(scores, exact),
    }


def by_rk4(operator: NeuralODE, x: np.ndarray, labels: np.ndarray, exact: np.ndarray, steps: int) -> dict:
    """The same by the classical method of order four, torchdiffeq's, on a fixed grid."""
    from torchdiffeq import odeint

    from sciml.nde.fields import run, with_time

    p = {name: torch.as_tensor(array) for name, array in operator.weights().items()}
    y0 = torch.as_tensor(operator.input_normaliser.encode(np.asarray(x, np.float64))).reshape(len(x), -1)
    field = lambda t, y: run(p, "field", with_time(t, [y], torch), torch)  # noqa: E731
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    # torchdiffeq's "rk4" is the 3/8 rule: of the same order and cost.
    scores = run(p, "readout", odeint(field, y0, times, method="rk4")[-1], torch).numpy()  # pyright: ignore[reportIndexIssue]
    return {
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "evaluations": 4 * steps,
        "error": relative_error(scores, exact),
    }


def row(method: str, seed: int, epochs: int, tolerance: float) -> dict:
    """One method and seed: as trained, and under the cheap ways of solving."""
    operator, result = trained(method, seed, epochs, tolerance)
    test = digits()[1]
    x, labels = np.asarray(test.fields["x"][:], np.float32)[:, None], np.asarray(test.parameters["label"])
    plain = on_torch(operator)
    exact = plain.answered(x, rtol=1e-10, atol=1e-10)[0]
    judge = partial(judged, plain, x, labels, exact)
    own: dict[str, Any] = {"rtol": tolerance, "atol": tolerance}
    history = result.history.rows
    found = {"method": method, "seed": seed, "train_seconds": seconds_without_compiling(history)}
    found |= {"with_compiling": round(result.seconds, 2)}
    found |= {"loss": history[-1]["task_loss"], "training_evaluations": [r["evaluations"] for r in history]}
    found |= judge(**own) | {"ms": prediction_ms(operator, x, steer=0.0, **own)}
    found["at_tolerance"] = {f"{t:g}": judge(rtol=t, atol=t) for t in TEST_TOLERANCES}
    found["first_step"] = {f"{t:g}, {h:g}": judge(rtol=t, atol=t, first_step=h) for t, h in FIRST_STEPS}
    found["fixed_grid"] = {f"Tsit5, {n}": judge(grid=tuple(np.linspace(0, 1, n + 1).tolist())) for n in (1, 2, 3)}
    found["fixed_grid"] |= {f"RK4, {n}": by_rk4(operator, x, labels, exact, n) for n in (1, 2, 3, 5)}
    return found


def table(rows: Iterable[dict]) -> str:
    """Means over seeds, as Markdown."""
    rows = list(rows)
    lines = [
        "| method | test accuracy | evaluations (each seed) | relative error | ms | training s |",
        "|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        mine = [r for r in rows if r["method"] == method]
        if mine:
            accuracy = [r["accuracy"] for r in mine]
            lines.append(
                f"| {method} | {np.mean(accuracy):.4f} ± {np.std(accuracy):.4f} | {counted(mine)} "
                f"| {np.median([r['error'] for r in mine]):.1g} | {np.mean([r['ms'][1] for r in mine]):.1f} "
                f"| {np.mean([r['train_seconds'] for r in mine]):.0f} |"
            )
    names = [name for name in ("vanilla", "ER 0.1", "RN 0.03") if any(r["method"] == name for r in rows)]
    head = "".join(f" {name}: accuracy | evaluations | relative error |" for name in names)
    lines += ["", f"| solved otherwise |{head}", "|---" * (1 + 3 * len(names)) + "|"]
    for kind in ("at_tolerance", "first_step", "fixed_grid"):
        for key in rows[0][kind] if rows else ():
            cells = []
            for name in names:
                mine = [r[kind][key] for r in rows if r["method"] == name]
                cells += [f"{np.mean([r['accuracy'] for r in mine]):.4f}", counted(mine)]
                cells += [f"{np.median([r['error'] for r in mine]):.1g}"]
            label = {"at_tolerance": "tolerance", "first_step": "tolerance, first step", "fixed_grid": "grid:"}[kind]
            lines.append(f"| {label} {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--tolerance", type=float, default=1.4e-8)
    o = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"epochs": o.epochs, "tolerance": o.tolerance, "precision": "float64", "backend": "jax"}
    rows = Rows("nde_digits", settings)
    for seed, method in in_passes(METHODS, o.seeds):
        key = f"{method}, seed {seed}"
        if key not in rows:
            print(key, rows.add(key, row(method, seed, o.epochs, o.tolerance))["evaluations"], flush=True)
    print(table(rows.rows.values()))


if __name__ == "__main__":
    main()
