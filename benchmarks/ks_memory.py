"""What a memory is worth when a flow is seen too coarsely: Fourier layers with a state-space memory beside the same without.

    python -m benchmarks.ks_memory [--problems ks burgers] [--points 32 64 128] [--noise 0 0.1] [--seeds 1] [--models ...]

Kuramoto-Sivashinsky on length 64, nu = 0.1, from smooth random states: between times 0 and 2.5 the modes 17 to 32 grow out of
nothing and take over, of which a grid of 32 points sees the aliases alone. Burgers with nu = 1e-3 likewise makes shocks far
thinner than the grid. Solved on 512 points, observed on every 16th, 8th or 4th, 25 steps; with noise, independent Gaussian of
that share of each frame's root mean square on all frames that are seen, in training and in tests; the reference stays clean.

    markov   Fourier layers, the next frame from this one        history  the same from the last four frames
    lssl     the same layers with a gated state-space memory     gru      with a gated recurrent unit instead

at equal parameters (by width). Error: relative L2 of each frame, averaged over the roll-out from the first frame, and from
the first five. `half step` is that of the trained model rolled out at half the frame step, which it has never seen, at the
same times, with time constants and changes rescaled. Buitrago Ruiz et al. (ICLR 2025) report up to six times less error.

On one large GPU the published size is `--width 128 --train 2048 --epochs 200 --batch 32 --device cuda --name ks_memory_large`.
"""

import argparse
from collections.abc import Sequence
from functools import cache

import numpy as np
from rich.console import Console
from rich.table import Table

import pdes
import sciml
from benchmarks.rows import Rows, finished
from pdes import fixed, fourier_series
from pdes.dataset import Dataset
from pdes.randomness import generator
from pdes.semilinear import Semilinear
from sciml.operators.memory_fno import MemoryFNO
from sciml.tasks import Signature, as_task

FINE, STEPS, SEED = 512, 25, 2026
LEAST = 32  # points for which epochs and batch are meant; finer ones take as many updates, of as many points each
KNOWN = (1, 5)
MODELS = {
    "markov": {"memory": "none"},
    "lssl": {"memory": "lssl"},
    "gru": {"memory": "gru"},
    "history": {"memory": "none", "history": 4},
}


def main(arguments: Sequence[str] | None = None) -> dict[str, dict]:
    """Train and score what is missing in the results file, print the table; returns the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--problems", nargs="*", default=["ks"], choices=("ks", "burgers"))
    parser.add_argument("--points", type=int, nargs="*", default=[32, 64, 128])
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.1])
    parser.add_argument("--models", nargs="*", default=["markov", "lssl"], choices=tuple(MODELS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--train", type=int, default=1024, help="training trajectories")
    parser.add_argument("--test", type=int, default=128)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--modes", type=int, default=64, help="Fourier modes kept, at most the points")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--name", default="ks_memory", help="name of the results file")
    o = parser.parse_args(arguments)
    settings = {k: getattr(o, k) for k in ("train", "test", "width", "layers", "modes", "epochs", "batch", "lr")}
    rows = Rows(o.name, settings)
    for seed in range(11, 11 + o.seeds):
        for problem in o.problems:
            for points in o.points:
                for noise in o.noise:
                    for model in o.models:
                        key = f"{problem} {points} {noise:g} {model} {seed}"
                        if key not in rows:
                            print(key, rows.add(key, scored(problem, points, noise, model, seed, o)), flush=True)
    show(rows.rows)
    return rows.rows


def scored(problem: str, points: int, noise: float, model: str, seed: int, o: argparse.Namespace) -> dict:
    """One training and its roll-outs."""
    train, test = observed(problem, o.train, points, 1), observed(problem, o.test, points, 2)
    seen = noisy(train.subsample(time=2), noise, 100 + seed)
    task = as_task("forecast", seen)
    operator = sized(model, task.signature, points, o)
    result = sciml.fit(
        operator, seen, task=task, validation=False, epochs=max(1, round(o.epochs * LEAST / points)),
        batch_size=max(1, round(o.batch * LEAST / points)), lr=o.lr, loss=of_frames, seed=seed, device=o.device, progress=False,
    )  # fmt: skip
    finished(result)
    row = {"problem": problem, "points": points, "noise": noise, "model": model, "seed": seed}
    row |= {"parameters": operator.parameter_count, "seconds": round(result.seconds, 1)}
    row["one step"] = float(result.history.rows[-1]["loss"])
    given, truth = noisy(test, noise, 7).fields["u"][:], test.fields["u"][:]
    for known in KNOWN:
        predicted = rolled(operator, given[:, ::2], known)
        row[f"from {known}"] = mean_error(predicted, truth[:, ::2][:, known:])
    row["by frame"] = [round(float(e), 5) for e in errors(rolled(operator, given[:, ::2], 1), truth[:, 2::2])]
    fine = rolled(operator, given, 1, test.times)
    row["half step"] = mean_error(fine[:, 1::2], truth[:, 2::2])
    gates = operator.gates()
    return row | ({"gate": float(gates.mean())} if gates.size else {})


@cache
def solved(problem: str, n: int, seed: int) -> Dataset:
    """n trajectories on 512 points, at half the frame step."""
    if problem == "ks":
        law = pdes.get("kuramoto_sivashinsky").replace(
            parameters={"nu": fixed(0.1)}, initial={"u": fourier_series(8, maximum=1)}, time=(0, 2.5), warm_up=0.0,
            frames=2 * STEPS + 1, solver=Semilinear(dt=0.01), compute_at_least=FINE,
        )  # fmt: skip
    else:
        law = pdes.get("burgers").replace(parameters={"nu": fixed(1e-3)}, frames=2 * STEPS + 1, compute_at_least=2 * FINE)
    return pdes.generate(law, n=n, resolution=FINE, seed=SEED + seed, progress=False)


@cache
def observed(problem: str, n: int, points: int, seed: int) -> Dataset:
    """The same on every (512 / points)-th point."""
    return solved(problem, n, seed).subsample(space=FINE // points)


def noisy(data: Dataset, share: float, seed: int) -> Dataset:
    """With independent Gaussian noise, its standard deviation that share of each frame's root mean square."""
    u = np.asarray(data.fields["u"][:])
    if share:
        size = np.sqrt((u**2).mean(-1, keepdims=True))
        u = u + share * size * generator("noise of observation", seed).standard_normal(u.shape)
    return Dataset(fields={"u": u}, grid=data.grid, times=data.times)


def sized(model: str, signature: Signature, points: int, o: argparse.Namespace) -> MemoryFNO:
    """That model, as wide as gives it the parameters of the state-space memory."""

    def made(kind: str, width: int) -> MemoryFNO:
        half = o.layers // 2
        options = {"width": width, "modes": min(o.modes, points), "before": half, "after": o.layers - half, "order": 16}
        return MemoryFNO(**(options | MODELS[kind]))

    def count(kind: str, width: int) -> int:
        return sum(p.numel() for p in made(kind, width).build(signature).parameters())

    wanted = count("lssl", o.width)
    width = min(range(o.width // 2, 2 * o.width), key=lambda w: abs(count(model, w) - wanted))
    return made(model, width)


def of_frames(prediction, target, grid):
    """Relative L2 error of each frame, averaged over frames: early, small frames count as much as late ones."""
    e = ((prediction - target) ** 2).sum((1, 3)) / (target**2).sum((1, 3))
    return e.sqrt().mean(1)


def rolled(operator: MemoryFNO, frames: np.ndarray, known: int, times: np.ndarray | None = None) -> np.ndarray:
    """What follows the first `known` frames (sample, time, x), of the same number of frames in all."""
    where = {} if times is None else {"times": times}
    given = frames[:, None, :known].astype(np.float32)
    return operator.continued(given, frames.shape[1] - known, **where)[:, :, 0]


def errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Relative L2 of each frame, averaged over samples: (time,)."""
    return (np.linalg.norm(predicted - truth, axis=-1) / np.linalg.norm(truth, axis=-1)).mean(0)


def mean_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Relative L2, averaged over frames and samples."""
    return float(errors(predicted, truth).mean())


def show(rows: dict[str, dict]) -> None:
    """Means over seeds, and the ratio of the one-step model's error to each."""
    table = Table(title="error over the roll-out (from 1 frame, from 5, at half the frame step); ratio markov / model")
    for column in ("problem", "points", "noise", "model", "seeds", "from 1", "ratio", "from 5", "ratio", "half step", "gate"):
        table.add_column(column)
    groups: dict[tuple, list[dict]] = {}
    for row in rows.values():
        groups.setdefault((row["problem"], row["points"], row["noise"], row["model"]), []).append(row)
    for (problem, points, noise, model), found in sorted(groups.items()):
        mean = lambda key, of: float(np.mean([r[key] for r in of]))  # noqa: E731
        base = groups.get((problem, points, noise, "markov"), found)
        cells = []
        for key in ("from 1", "from 5"):
            cells += [f"{mean(key, found):.4f}", f"{mean(key, base) / mean(key, found):.2f}"]
        gate = f"{mean('gate', found):.2f}" if "gate" in found[0] else ""
        table.add_row(
            problem, str(points), f"{noise:g}", model, str(len(found)), *cells, f"{mean('half step', found):.4f}", gate
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
