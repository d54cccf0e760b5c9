"""How a wrong model hurts: training in the model, and physics-aware training, on digits against the mismatch of the model.

    python -m benchmarks.ffp_mismatch [--mismatches 0 0.05 0.1 0.2 0.4] [--seeds 1]

Local rules know no model: their accuracy, in `ffp_table`, is the same at every mismatch. A row also has the cosine between
gradients of the second layer by its model and by differences.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.ffp_table import SETTINGS, features, interval, network
from benchmarks.rows import Rows
from sciml.physical.competitors import GlobalTraining, alignment
from sciml.physical.field import Model
from sciml.physical.network import accuracy

EPOCHS = 20
MODES = ("in-silico", "pat")


def main(arguments: Sequence[str] | None = None) -> dict[str, dict]:
    """Measure what is missing in the results file, print the table; returns the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mismatches", nargs="*", type=float, default=[0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--seeds", type=int, default=1)
    o = parser.parse_args(arguments)
    rows = Rows("ffp_mismatch", {"set": SETTINGS["digits"], "epochs": EPOCHS})
    for seed in range(o.seeds):
        for mismatch in o.mismatches:
            for mode in MODES:
                key = f"{mode} {mismatch:g} {seed}"
                if key not in rows:
                    print(key, rows.add(key, scored(mode, mismatch, seed)), flush=True)
    table = Table("mismatch", *MODES, "alignment")
    for mismatch in sorted({float(key.split()[1]) for key in rows.rows}):
        own = {mode: [r for key, r in rows.rows.items() if key.split()[:2] == [mode, f"{mismatch:g}"]] for mode in MODES}
        cells = [interval([r["accuracy"] for r in found]) if found else "" for found in own.values()]
        table.add_row(f"{mismatch:g}", *cells, f"{np.mean([r['alignment'] for found in own.values() for r in found]):.3f}")
    Console(width=120).print(table)
    return rows.rows


def scored(mode: str, mismatch: float, seed: int) -> dict[str, float]:
    """One training with a wrong model."""
    x, y, x_test, truth = features("digits", seed)
    net = network("digits", "heads", seed, x.shape[1], int(y.max()) + 1)
    rng = np.random.default_rng(seed)
    models = [Model(layer, mismatch, rng) for layer in net.layers]  # type: ignore[arg-type]
    trainer = GlobalTraining(net, x, y, mode, models, seed)
    trainer.train(EPOCHS, batch=128)
    last = net.layers[1]
    return {"accuracy": accuracy(trainer.scores(x_test), truth), "alignment": alignment(last, models[1], 8)}  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
