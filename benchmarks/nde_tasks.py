"""Regularised neural differential equations where the path matters: a spiral, moments of a noisy one, recorded series.

    python -m benchmarks.nde_tasks spiral|noisy|vowels [--seeds 5] [--epochs ...]

spiral   y' = W2 tanh(W1 y^3 + b1) + b2 fitted to 30 frames of y' = A y^3 from (2, 0) on [0, 1.5]: squared error of the frames.
noisy    means and variances of the spiral with noise 0.2 y dW (Ito, 10,000 paths) at 30 times on [0, 1]; drift as above, linear
         diagonal diffusion, 100 paths with steps of their own, diffrax's stochastic Heun; loss: sum of squared differences, of
         1000 other paths in the test. Beside it torchsde's Heun with two equal steps a frame: its own loss, evaluations and
         time; its "error" is against other paths and so that of sampling; solved otherwise, its weights are diffrax's.
vowels   Japanese vowels, 12 channels, 7 to 29 frames: a latent ODE that reads 70 % of the frames; squared error of the frames
         that it has not seen, in units of the training set's spread, on the test series. Beside it linear interpolation.

Tsit5 on diffrax in float64 at 1e-6 (noisy: Heun at 0.01), AdamW at 1e-2, one cycle. A row is one method and seed; nothing is
chosen by a test set. Evaluations are of the whole test batch as one system (noisy: mean over paths). For noise there is neither
STEER nor a stiffness, kinetic or Taylor term: Heun has no two stages at one time, and paths have no derivatives.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

import sciml
from benchmarks import nde_common as common
from benchmarks.rows import Rows, finished
from pdes.dataset import Dataset
from pdes.randomness import generator
from sciml.nde.stochastic import RegularizedSDESolve
from sciml.operator import config_of
from sciml.operators.latent_ode import LatentODE
from sciml.operators.neural_ode import NeuralODE
from sciml.operators.neural_sde import NeuralSDE
from sciml.tasks import as_task
from solvers.grid import Grid
from solvers.precision import in_float64, jax

LAW = np.array([[-0.1, 2.0], [-2.0, -0.1]])
NOISE = 0.2
DATASET = "japanese_vowels"


@dataclass(frozen=True)
class Study:
    """One of the three: what is trained and how; and the other ways of solving: tolerances, with a first step, equal steps."""

    methods: dict[str, dict]
    epochs: int
    batch: int
    settings: dict[str, Any]
    training: dict[str, Any]
    tolerances: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    first_steps: tuple[tuple[float, float], ...] = ((1e-3, 0.1), (1e-2, 0.5), (1e-1, 1.0))
    grids: tuple[int, ...] = (2, 5, 10, 20)


one = lambda name, weight: {"regularisers": (name,), "weights": (weight,)}  # noqa: E731
tight = {"rtol": 1e-6, "atol": 1e-6}
STUDIES = {
    "spiral": Study(
        common.methods(er=(1e-3, 1e-2), rn=(1e-4, 1e-3), sr=1e-5, taylor=1e-6, kinetic=1e-4, local=1e-3),
        epochs=600,
        batch=1,
        settings={"width": 50, "depth": 1, "cubed": True, "max_steps": 256, **tight},
        training={"task": "trajectory", "loss": "mse"},
    ),
    "noisy": Study(
        {
            "vanilla": {},
            **{f"ER {w:g}": one("R_E", w) for w in (0.01, 0.1)},
            **{f"RN {w:g}": one("R_N", w) for w in (1e-3, 1e-2)},
            "local (time) 0.1": one("local_time", 0.1),
            "local (steps) 0.1": one("local_steps", 0.1),
            "weight decay 0.1": {"weight_decay": 0.1},
            "trained at 0.1": {"rtol": 0.1, "atol": 0.1},
            "torchsde": {"backend": "torch", "batching": "coupled", "steps_per_frame": 2},
        },
        epochs=250,
        batch=1,
        settings={"width": 50, "cubed": True, "moments": 2, "batching": "per-sample", "paths": 100, "rtol": 0.01, "atol": 0.01},
        training={"task": "trajectory"},
        tolerances=(0.03, 0.1),
        first_steps=((0.01, 0.1), (0.1, 0.1)),
        grids=(30, 60),  # steps end at the 30 times: between them a path is not a straight line
    ),
    "vowels": Study(
        common.methods(er=(0.1, 1.0), rn=(0.01, 0.1), sr=1e-3, taylor=1e-2, kinetic=0.1, local=0.1),
        epochs=100,
        batch=54,
        settings={"valid": "valid", "max_steps": 128, **tight},
        training={"task": "sequence"},
    ),
}


def spiral() -> Dataset:
    """One trajectory, 31 frames, solved to 1e-10."""
    t = np.linspace(0, 1.5, 31)
    y = solve_ivp(lambda _, y: LAW @ y**3, (0, 1.5), [2.0, 0.0], t_eval=t, rtol=1e-10, atol=1e-10).y.T
    return Dataset(fields={"y": y[None]}, grid=Grid(()), times=t, provenance={"family": "cubic spiral"})


@cache
@in_float64
def noisy(paths: int = 10_000, steps: int = 3000) -> Dataset:
    """Moments of the spiral with noise, by Heun's method with `steps` equal steps for the Stratonovich form of the law."""
    jnp, t = jax.numpy, np.linspace(0, 1, 31)
    solve = RegularizedSDESolve(grid=tuple(np.linspace(0, 1, steps + 1).tolist()), max_steps=steps, resolution=0.25 / steps)
    law = lambda t, y, args: y**3 @ LAW.T - 0.5 * NOISE**2 * y  # noqa: E731
    start = jnp.broadcast_to(jnp.array([2.0, 0.0]), (paths, 2))
    y = np.asarray(solve(law, lambda t, y, args: NOISE * y, start, t, jax.random.key(2026))[0])
    fields = {"mean": y.mean(1)[None], "variance": y.var(1)[None]}
    return Dataset(fields=fields, grid=Grid(()), times=t, provenance={"family": "noisy cubic spiral"})


def vowels() -> tuple[Dataset, Dataset]:
    """Training and test series with what is seen of them: 70 % of the frames, at least two, drawn once."""
    from pdes.series import load

    parts = []
    for number, part in enumerate(load(DATASET)):
        x, lengths = np.asarray(part.fields["x"][:], np.float64), np.asarray(part.parameters["length"])
        valid = np.arange(x.shape[1]) < lengths[:, None]
        draw = generator(2026, number).uniform(size=valid.shape)
        draw[np.arange(len(x)), lengths.astype(int) - 1] = draw[:, 0] = 0.0  # the ends are seen: no extrapolation
        seen = valid & (draw < 0.7)
        inputs = {"series": x * seen[..., None], "seen": seen.astype(float), "valid": valid.astype(float)}
        fields = {"x": x * valid[..., None]}
        parts.append(Dataset(fields=fields, inputs=inputs, grid=Grid(()), times=part.times, provenance={"family": DATASET}))
    return parts[0], parts[1]


def unseen_error(answer: np.ndarray, data: Dataset, scale: np.ndarray) -> float:
    """Mean squared error of frames that were not seen, (item, channel, time) answers, in units of `scale` (channel,)."""
    truth = np.moveaxis(np.asarray(data.fields["x"][:]), -1, 1)
    hidden = np.asarray(data.inputs["valid"][:]) * (1 - np.asarray(data.inputs["seen"][:]))
    off = ((answer - truth) / scale[:, None]) ** 2
    return float((off * hidden[:, None]).sum() / (hidden.sum() * len(scale)))


def interpolated(data: Dataset) -> np.ndarray:
    """Linear interpolation in time between seen frames, (item, channel, time)."""
    x, seen = np.asarray(data.inputs["series"][:]), np.asarray(data.inputs["seen"][:]) > 0
    t = np.asarray(data.times)
    rows = [[np.interp(t, t[s], channel[s]) for channel in one.T] for one, s in zip(x, seen, strict=True)]
    return np.asarray(rows)


def row(name: str, method: str, seed: int, epochs: int) -> dict:
    """One method and seed: as trained, and under the cheap ways of solving."""
    study = STUDIES[name]
    options = {"backend": "jax", **study.settings, **study.methods[method]}
    training = sciml.Training(weight_decay=options.pop("weight_decay", 0.0))
    kind = {"spiral": NeuralODE, "noisy": NeuralSDE, "vowels": LatentODE}[name]
    train, test = vowels() if name == "vowels" else (spiral(),) * 2 if name == "spiral" else (noisy(),) * 2
    operator = kind(**options)
    result = finished(
        sciml.fit(
            operator, train, epochs=epochs, batch_size=study.batch, lr=1e-2, validation=False, seed=seed, precision="float64",
            progress=False, training=training, **study.training,
        )
    )  # fmt: skip
    history = result.history.rows
    found = {"method": method, "seed": seed, "train_seconds": common.seconds_without_compiling(history)}
    found |= {"with_compiling": round(result.seconds, 2), "training_loss": history[-1]["task_loss"]}
    found["training_evaluations"] = [r["evaluations"] for r in history[:: max(1, len(history) // 50)]]
    batch = as_task(study.training["task"], test).all()
    ask = stochastic_judge(operator, batch) if name == "noisy" else judge(operator, batch, test)
    own: dict[str, Any] = {option: study.settings[option] for option in ("rtol", "atol")}
    straight: dict[str, Any] = {} if name == "noisy" else {"steer": 0.0}
    found |= (ask if options["backend"] == "jax" else stochastic_judge(operator, batch, {}))(**own)
    found["ms"] = common.prediction_ms(operator, batch.inputs, **own, **straight)
    found["at_tolerance"] = {f"{t:g}": ask(rtol=t, atol=t) for t in study.tolerances}
    found["first_step"] = {f"{t:g}, {h:g}": ask(rtol=t, atol=t, first_step=h) for t, h in study.first_steps}
    found["fixed_grid"] = {str(n): ask(grid=tuple(np.linspace(0, 1, n + 1).tolist())) for n in study.grids}
    return found


def judge(operator: Any, batch: Any, test: Dataset):
    """Loss, evaluations and error of a solve of the test batch, by the same weights on torch."""
    plain = common.on_torch(operator)
    x = np.asarray(batch.inputs, np.float64)
    exact = plain.answered(x, rtol=1e-10, atol=1e-10, max_steps=4096)[0]

    def ask(**changes) -> dict:
        answer, statistics = plain.answered(x, **changes)
        if isinstance(operator, LatentODE):
            loss = unseen_error(answer, test, operator.output_normaliser.scale)
        else:
            loss = float(((answer - batch.targets) ** 2).mean())
        steps = {n: int(getattr(statistics, n)) for n in ("evaluations", "accepted", "rejected")}
        return {"loss": loss, **steps, "error": common.relative_error(answer, exact)}

    return ask


ON_DIFFRAX = {"backend": "jax", "batching": "per-sample", "steps_per_frame": 0}


def stochastic_judge(operator: NeuralSDE, batch: Any, where: dict[str, Any] = ON_DIFFRAX):
    """Loss and evaluations of 1000 paths that training has not seen; the error is that against a tight solve of these paths.

    where : settings to solve with: diffrax's, or {} for the operator's own.
    """

    def thousand(**settings) -> NeuralSDE:
        many = {"paths": 1000, "regularisers": (), "weights": (), "max_steps": 1024}
        same = NeuralSDE(**config_of(operator) | many | settings)
        same.rebuild(operator.bound_signature)
        same.load_state(operator.state())
        return same

    many, exact = thousand(**where), thousand(**ON_DIFFRAX).answered(batch.inputs, rtol=2e-3, atol=2e-3)[0]

    def ask(**changes) -> dict:
        answer, statistics = many.answered(batch.inputs, **changes)
        loss = float(((answer - batch.targets) ** 2).sum())
        counts = {n: float(np.mean(np.asarray(getattr(statistics, n)))) for n in ("evaluations", "accepted", "rejected")}
        return {"loss": loss, **counts, "largest": int(np.max(np.asarray(statistics.evaluations))),
                "error": common.relative_error(answer, exact)}  # fmt: skip

    return ask


def table(name: str, rows: Iterable[dict]) -> str:
    """Means over seeds, as Markdown."""
    rows = list(rows)
    lines = ["| method | test loss | evaluations (each seed) | relative error | ms | training s |", "|---|---|---|---|---|---|"]
    for method in STUDIES[name].methods:
        mine = [r for r in rows if r["method"] == method]
        if mine:
            lines.append(
                f"| {method} | {common.spread(r['loss'] for r in mine)} | {common.counted(mine)} "
                f"| {np.median([r['error'] for r in mine]):.1g} | {np.mean([r['ms'][1] for r in mine]):.1f} "
                f"| {np.mean([r['train_seconds'] for r in mine]):.0f} |"
            )
    names = [n for n in STUDIES[name].methods if n == "vanilla" or n.startswith(("ER", "RN"))][:3]
    names = [n for n in names if any(r["method"] == n for r in rows)]
    head = "".join(f" {n}: loss | evaluations | relative error |" for n in names)
    lines += ["", f"| solved otherwise |{head}", "|---" * (1 + 3 * len(names)) + "|"]
    for kind, label in (("at_tolerance", "tolerance"), ("first_step", "tolerance, first step"), ("fixed_grid", "equal steps:")):
        for key in rows[0][kind] if rows else ():
            cells = []
            for n in names:
                mine = [r[kind][key] for r in rows if r["method"] == n]
                cells += [common.spread(r["loss"] for r in mine), common.counted(mine)]
                cells += [f"{np.median([r['error'] for r in mine]):.1g}"]
            lines.append(f"| {label} {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing of one study; print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    o = parser.parse_args()
    study = STUDIES[o.study]
    epochs = o.epochs or study.epochs
    rows = Rows(f"nde_{o.study}", {"epochs": epochs, "precision": "float64", "backend": "jax", "settings": study.settings})
    if o.study == "vowels" and "interpolation" not in rows:
        train, test = vowels()
        scale = np.asarray(train.fields["x"][:])[np.asarray(train.inputs["valid"][:]) > 0].std(0)
        rows.add("interpolation", {"method": "linear interpolation", "loss": unseen_error(interpolated(test), test, scale)})
    for seed, method in common.in_passes(study.methods, o.seeds):
        key = f"{method}, seed {seed}"
        if key not in rows:
            found = rows.add(key, row(o.study, method, seed, epochs))
            print(key, found["loss"], found["evaluations"], flush=True)
    print(table(o.study, [r for r in rows.rows.values() if "seed" in r]))


if __name__ == "__main__":
    main()
