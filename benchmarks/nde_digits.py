"""Digits by a neural ODE: what each regulariser saves in evaluations of f, and what it costs in accuracy.

    python -m benchmarks.nde_digits [--seeds 3] [--epochs 50]

scikit-learn's digits, 64 pixels as the state, 1437 for training and 360 for the test by one fixed permutation; f has two
hidden layers of 64 tanh units, time from 0 to 1, Tsit5, float64, tolerance 1e-6, batches of 128, AdamW at 3e-3, one cycle, a
fixed number of steps; nothing is chosen by the test set. Evaluations are counted in f, on the test set as one coupled batch.
Beside the regularisers stand the cheap ways: the unpenalised network solved with a looser tolerance, with larger first steps,
or on a fixed grid, and weight decay. A row is one method and seed; `ms` are quartiles of 20 solves of the whole test set.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import sciml
from benchmarks.rows import Rows, finished
from pdes.dataset import Dataset
from sciml.operators.neural_ode import NeuralODE
from solvers.grid import Grid

TOLERANCE = 1e-6
TEST_TOLERANCES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
METHODS: dict[str, dict] = {
    "vanilla": {},
    "STEER 0.5": {"steer": 0.5},
    **{f"ER {w:g}": {"regularisers": ("R_E",), "weights": (w,)} for w in (0.1, 1.0)},
    **{f"SR {w:g}": {"regularisers": ("R_S",), "weights": (w,)} for w in (1e-3,)},
    "ER+SR 0.1": {"regularisers": ("R_E", "R_S"), "weights": (0.1, 1e-3)},
    **{f"RN {w:g}": {"regularisers": ("R_N",), "weights": (w,)} for w in (0.01, 0.03, 0.1)},
    "budget 32": {"regularisers": ("R_N",), "weights": (0.0,), "target_evaluations": 32},
    "local (time) 0.1": {"regularisers": ("local_time",), "weights": (0.1,)},
    "local (steps) 0.1": {"regularisers": ("local_steps",), "weights": (0.1,)},
    "kinetic 0.1": {"regularisers": ("kinetic",), "weights": (0.1,)},
    "RNODE 0.1": {"regularisers": ("kinetic", "jacobian"), "weights": (0.1, 0.1)},
    "TayNODE 2, 0.01": {"regularisers": ("taylor2",), "weights": (0.01,)},
    "weight decay 0.1": {"weight_decay": 0.1},
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


def trained(method: str, seed: int, epochs: int):
    """The fitted operator and the seconds that it took."""
    options = dict(METHODS[method])
    decay = options.pop("weight_decay", 0.0)
    operator = NeuralODE(rtol=TOLERANCE, atol=TOLERANCE, **options)
    training = sciml.Training(weight_decay=decay)
    train, _ = digits()
    result = sciml.fit(
        operator, train, epochs=epochs, validation=False, seed=seed, precision="float64", progress=False, training=training
    )
    return operator, finished(result).seconds


def judged(operator: NeuralODE, x: torch.Tensor, labels: np.ndarray, repeats: int = 1, **changes) -> dict:
    """Accuracy, counted evaluations and time of one solve of the whole test set, under other settings of the solve."""
    network = operator.module
    before = network.solve
    network.solve = replace(before, regularisers=(), **changes)
    try:
        scores = operator.predict(x, batch_size=len(x)).numpy()
        statistics, seconds = network.statistics, []
        for _ in range(repeats):
            start = time.perf_counter()
            operator.predict(x, batch_size=len(x))
            seconds.append(time.perf_counter() - start)
    finally:
        network.solve = before
    quartiles = np.quantile(seconds, [0.25, 0.5, 0.75]) * 1e3
    return {
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "evaluations": statistics.evaluations,
        "accepted": statistics.accepted,
        "rejected": statistics.rejected,
        "ms": [round(float(q), 3) for q in quartiles],
    }


def row(method: str, seed: int, epochs: int) -> dict:
    """One method and seed: as trained, and under the cheap ways of solving."""
    operator, seconds = trained(method, seed, epochs)
    _, test = digits()
    x = torch.tensor(np.asarray(test.fields["x"][:], np.float32)[:, None]).double()
    labels = np.asarray(test.parameters["label"])
    found = {"method": method, "seed": seed, "train_seconds": round(seconds, 2)} | judged(operator, x, labels, repeats=20)
    found["at_tolerance"] = {f"{t:g}": judged(operator, x, labels, rtol=t, atol=t) for t in TEST_TOLERANCES}
    found["first_step"] = {f"{h:g}": judged(operator, x, labels, first_step=h) for h in (0.05, 0.2)}
    if method == "vanilla":
        grids = {n: tuple(np.linspace(0, 1, n + 1).tolist()) for n in (1, 2, 3)}
        found["fixed_grid"] = {str(n): judged(operator, x, labels, grid=grid) for n, grid in grids.items()}
    return found


def table(rows) -> str:
    """Means over seeds, as Markdown."""
    lines = ["| method | test accuracy | evaluations (each seed) | ms | training s |", "|---|---|---|---|---|"]
    for method in METHODS:
        mine = [r for r in rows if r["method"] == method]
        if mine:
            accuracy = [r["accuracy"] for r in mine]
            counts = ", ".join(str(r["evaluations"]) for r in mine)
            lines.append(
                f"| {method} | {np.mean(accuracy):.4f} ± {np.std(accuracy):.4f} | {counts} "
                f"| {np.mean([r['ms'][1] for r in mine]):.1f} | {np.mean([r['train_seconds'] for r in mine]):.1f} |"
            )
    lines += ["", "| vanilla, solved otherwise | test accuracy | evaluations |", "|---|---|---|"]
    plain = [r for r in rows if r["method"] == "vanilla"]
    for kind in ("at_tolerance", "first_step", "fixed_grid"):
        for key in plain[0][kind] if plain else ():
            accuracy = np.mean([r[kind][key]["accuracy"] for r in plain])
            counts = ", ".join(str(r[kind][key]["evaluations"]) for r in plain)
            lines.append(f"| {kind.replace('_', ' ')} {key} | {accuracy:.4f} | {counts} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows("nde_digits", {"epochs": arguments.epochs, "tolerance": TOLERANCE, "precision": "float64"})
    for seed in range(arguments.seeds):
        for method in METHODS:
            key = f"{method}, seed {seed}"
            if key not in rows:
                print(key, rows.add(key, row(method, seed, arguments.epochs))["evaluations"], flush=True)
    print(table(rows.rows.values()))


if __name__ == "__main__":
    main()
