"""Our FNO through `sciml.fit` beside neuraloperator's FNO through its own Trainer: same data, sizes, epochs, loss and batches.

    python -m benchmarks.fno_trainer [--seeds 3] [--epochs 30] [--walls]

Darcy flow (12/3) on 32 x 32, 300 training, 50 validation and 100 test samples; both networks have 394,633 parameters.
neuraloperator's way is that of its examples: unit-Gaussian normalisers, its AdamW, cosine annealing. Each gets, of four
settings (a rate of 1e-2, as in those examples, with a warm-up over 10, 2 and 0 % of the epochs, and 3e-3 with 10 %), the one of
the lowest validation error with the first seed. One thread. `--walls` measures the time of a training of each, for which
nothing else may run.
"""

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

import pdes
import sciml
from benchmarks.pages import put, table
from benchmarks.rows import Rows, finished
from sciml.metrics import measure
from sciml.operator import Training
from sciml.operators.fno import FNO
from sciml.tasks import as_task

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
NAME = "fno_trainer"
SETTINGS = ((1e-2, 0.1), (1e-2, 0.02), (1e-2, 0.0), (3e-3, 0.1))
SIZE, SPLIT, DATA_SEED, FIRST_SEED = 32, (300, 50, 100), 2026, 11


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure what is missing, print; returns what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--walls", action="store_true", help="also measure the time of a training")
    parser.add_argument("--name", default=NAME, help="name of the results file; the guide shows this one")
    o = parser.parse_args(arguments)
    if o.seeds < 1 or o.epochs < 2:
        parser.error(f"--seeds {o.seeds} --epochs {o.epochs}: at least 1 seed and 2 epochs (one may be the warm-up) are needed")
    torch.set_num_threads(1)
    rows = Rows(o.name, {"epochs": o.epochs, "size": SIZE, "split": SPLIT, "settings": SETTINGS})
    parts = pdes.generate("darcy", sum(SPLIT), SIZE, seed=DATA_SEED, progress=False).split(*SPLIT)
    for who, train in TRAINERS.items():
        for seed in range(FIRST_SEED, FIRST_SEED + o.seeds):
            for setting in SETTINGS if seed == FIRST_SEED else (chosen(rows.rows, who),):
                key = f"{who} {seed} lr {setting[0]:g} warm-up {setting[1]:g}"
                if key not in rows:
                    rows.add(key, {"who": who, "seed": seed, "setting": list(setting)} | train(parts, seed, o.epochs, *setting))
    if o.walls:
        for who, train in TRAINERS.items():
            if f"{who} wall" not in rows:
                seconds = train(parts, FIRST_SEED, o.epochs, *chosen(rows.rows, who))["seconds"]
                rows.add(f"{who} wall", {"who": who, "wall": seconds})
    if o.name == NAME and all(f"{who} wall" in rows for who in TRAINERS):
        put(DOCS, NAME, page(rows.rows))
    Console().print(page(rows.rows))
    return rows.rows


def chosen(rows: Mapping[str, Mapping[str, Any]], who: str) -> tuple[float, float]:
    """Learning rate and share of warm-up of the lowest validation error with the first seed."""
    tried = [r for r in rows.values() if r["who"] == who and r.get("seed") == FIRST_SEED]
    lr, warmup = min(tried, key=lambda r: r["validation"])["setting"]
    return lr, warmup


def ours(parts: tuple, seed: int, epochs: int, lr: float, warmup: float) -> dict[str, Any]:
    """`sciml.fit`, its other options as recommended."""
    train, held, test = parts
    training = Training(lr=lr, epochs=epochs, warmup=warmup, seed=seed)
    network = FNO(width=24, modes=12, layers=4)
    result = finished(sciml.fit(network, train, validation=held, training=training, progress=False))
    error = sciml.evaluate(result.operator, test, timing=False).scores[0].errors["relative_l2"].mean()
    return {
        "validation": result.best,
        "error": float(error),
        "seconds": result.seconds,
        "parameters": result.operator.parameter_count,
    }


def theirs(parts: tuple, seed: int, epochs: int, lr: float, warmup: float) -> dict[str, Any]:
    """neuraloperator's Trainer, its losses and normalisers."""
    from neuralop import LpLoss, Trainer  # pyright: ignore[reportMissingImports]
    from neuralop.data.transforms.data_processors import DefaultDataProcessor  # pyright: ignore[reportMissingImports]
    from neuralop.data.transforms.normalizers import UnitGaussianNormalizer  # pyright: ignore[reportMissingImports]
    from neuralop.models import FNO as PeerFNO  # pyright: ignore[reportMissingImports]
    from neuralop.training import AdamW  # pyright: ignore[reportMissingImports]

    train, held, test = (as_task(None, part).all() for part in parts)
    torch.manual_seed(seed)
    model = PeerFNO(n_modes=(12, 12), in_channels=1, out_channels=1, hidden_channels=24, n_layers=4)
    normalisers = []
    for values in (train.inputs, train.targets):
        normaliser = UnitGaussianNormalizer(dim=[0, 2, 3])
        normaliser.fit(torch.from_numpy(values))
        normalisers.append(normaliser)
    pairs = [{"x": torch.from_numpy(x), "y": torch.from_numpy(y)} for x, y in zip(train.inputs, train.targets, strict=True)]
    loader = torch.utils.data.DataLoader(pairs, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    optimizer = AdamW(model.parameters(), lr=lr, weight_decay=1e-4)
    scheduler: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    if warm := math.ceil(warmup * epochs):  # by epochs, as its Trainer steps
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - warm)
        rising = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[warm])
    processor = DefaultDataProcessor(*normalisers)
    trainer = Trainer(model=model, n_epochs=epochs, data_processor=processor, eval_interval=epochs + 1)
    began = time.perf_counter()
    trainer.train(loader, {}, optimizer, scheduler, training_loss=LpLoss(d=2, p=2))
    seconds = time.perf_counter() - began
    model.eval()
    errors = []
    for part in (held, test):
        with torch.no_grad():
            found = normalisers[1].inverse_transform(model(normalisers[0].transform(torch.from_numpy(part.inputs))))
        grid = as_task(None, parts[0]).signature.grid
        errors.append(float(measure(found.numpy(), part.targets, grid, ("relative_l2",))["relative_l2"].mean()))
    count = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
    return {
        "validation": errors[0],
        "error": errors[1],
        "seconds": seconds,
        "parameters": count,
    }


TRAINERS = {"ours": ours, "neuraloperator": theirs}


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of docs/benchmarks.md: errors, walls and their ratio."""
    lines = []
    walls = {who: rows[f"{who} wall"]["wall"] for who in TRAINERS if f"{who} wall" in rows}
    for who, name in (("ours", "ours, `sciml.fit`"), ("neuraloperator", "neuraloperator, its Trainer")):
        lr, warmup = chosen(rows, who)
        some = [r for r in rows.values() if r["who"] == who and r.get("setting") == [lr, warmup]]
        errors = [100 * r["error"] for r in some]
        lines.append([
            name, f"{np.mean(errors):.2f} ± {np.std(errors):.2f} ({len(some)})", f"{walls[who]:.1f} s" if who in walls else "–",
            f"{lr:g}, warm-up {100 * warmup:g} %", f"{some[0]['parameters']:,}",
        ])  # fmt: skip
    head = ("", "test error, per cent (seeds)", "training", "chosen", "parameters")
    if len(walls) < len(TRAINERS):
        return table(head, lines)
    ratio = f"Training wall time, neuraloperator over ours: {walls['neuraloperator'] / walls['ours']:.2f}."
    return f"{table(head, lines)}\n\n{ratio}"


if __name__ == "__main__":
    main()
