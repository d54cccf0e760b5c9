"""When the physics changes: accuracy of physical networks on digits against the passes spent to adapt, for every rule.

    python -m benchmarks.ffp_drift [--methods heads ...] [--protocols switch gain dead noise walk] [--seeds 3] [--parts run
    figure]

A trained network is struck (parameters by 20 %, gains by exp(N(0, 0.3)), 20 % dead detectors, 20 dB of noise), then adapted
with 25 to 1438 training samples from the weights it had; of each number, the passes of all layers are counted. Model-based
methods keep the model of before. "frozen" adapts nothing. A walk is ten strikes of 4 %, with 100 samples to adapt after each.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.ffp_table import GLOBAL, GLOBAL_EPOCHS, MISMATCH, SETTINGS, features, network
from benchmarks.record import RESULTS
from benchmarks.rows import Rows
from sciml.physical.competitors import GlobalTraining
from sciml.physical.drift import adapted, adapted_globally, recovery, recursive, strike
from sciml.physical.field import Model
from sciml.physical.network import PhysicalNetwork, accuracy, train
from sciml.physical.rules import RULES

MAGNITUDES = {"switch": 0.2, "gain": 0.3, "dead": 0.2, "noise": 20.0, "walk": 0.04}
SIZES = (25, 50, 100, 200, 400, 800, 1438)
METHODS = (*RULES, "recursive", *GLOBAL)
STEPS, ROWS = 10, 100  # of a walk
ANCHOR = 100  # samples that the old weights of closed forms are worth
NAME = "digits"


def main(arguments: Sequence[str] | None = None) -> dict[str, dict]:
    """Measure what is missing in the results file, print the tables; returns the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--protocols", nargs="*", default=list(MAGNITUDES), choices=list(MAGNITUDES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--parts", nargs="*", default=["run", "figure"], choices=["run", "figure"])
    o = parser.parse_args(arguments)
    rows = Rows("ffp_drift", {"set": SETTINGS[NAME], "magnitudes": MAGNITUDES, "sizes": SIZES, "anchor": ANCHOR})
    for seed in range(o.seeds) if "run" in o.parts else ():
        for method in o.methods:
            missing = [p for p in o.protocols if f"{method} {p} {seed}" not in rows]
            if missing:
                for protocol, row in measured(method, missing, seed).items():
                    print(method, protocol, seed, rows.add(f"{method} {protocol} {seed}", row), flush=True)
    show(rows.rows)
    if "figure" in o.parts and rows.rows:
        draw(rows.rows, RESULTS / "ffp_drift.png")
    return rows.rows


def trained(method: str, seed: int, data) -> tuple[PhysicalNetwork, Any]:
    """A network, and the models that it was trained with."""
    x, y, *_ = data
    rule = {"recursive": "ridge"}.get(method, method if method in RULES else "heads")
    net = network(NAME, rule, seed, x.shape[1], int(y.max()) + 1)
    if method not in GLOBAL:
        train(net, x, y, epochs=SETTINGS[NAME]["epochs"], seed=seed)
        return net, None
    rng, wrong = np.random.default_rng(seed), 0.0 if method == "ideal" else MISMATCH
    models = None if method == "dfa" else [Model(layer, wrong, rng) for layer in net.layers]  # type: ignore[arg-type]
    GlobalTraining(net, x, y, method, models, seed).train(GLOBAL_EPOCHS[NAME] // 2, batch=128)
    return net, models


def measured(method: str, protocols: Sequence[str], seed: int) -> dict[str, dict]:
    """All protocols on the same trained network: what they change is put back between them."""
    data = features(NAME, seed)
    net, models = trained(method, seed, data)
    kept = [vars(layer).copy() for layer in net.layers]
    stages = net.state()
    found = {}
    for protocol in protocols:
        for layer, state in zip(net.layers, kept, strict=True):
            vars(layer).update(state)
        net.load_state(stages)
        found[protocol] = walked(net, method, models, seed, data) if protocol == "walk" else struck(
            net, method, models, protocol, seed, data
        )  # fmt: skip
    return found


def adapting(method: str, models):
    """(network, x, labels) -> adapted copy and its passes."""

    def adapt(net, x, labels):
        before = net.passes
        if method == "recursive":
            return recursive(net, x, labels), net.passes - before
        if method in GLOBAL:
            return adapted_globally(net, models, method, x, labels)
        return adapted(net, x, labels, anchor=ANCHOR), net.passes - before

    def counted(net, x, labels):
        before = net.passes
        own, _ = adapt(net, x, labels)
        return own, net.passes - before

    return counted


def answer(method: str):
    """The last layer's scores for dfa, the sum for others."""
    return (lambda answers: answers[-1]) if method == "dfa" else (lambda answers: np.sum(answers, axis=0))


def struck(net, method: str, models, protocol: str, seed: int, data) -> dict[str, Any]:
    """One event."""
    found = recovery(net, protocol, MAGNITUDES[protocol], data, SIZES, adapting(method, models), seed=seed, pick=answer(method))
    return {
        "before": found.before, "after": found.after, "passes": found.passes, "accuracies": found.accuracies,
        "recovered": found.recovered, "lost": found.lost,
    }  # fmt: skip


def walked(net, method: str, models, seed: int, data) -> dict[str, Any]:
    """Ten small events, adapted after each with fresh samples; and the same ones with the first weights."""
    x, y, x_test, truth = data
    pick, adapt, own = answer(method), adapting(method, models), net
    order = np.random.default_rng(seed).permutation(len(x))
    found: dict[str, list] = {"adapted": [], "frozen": []}
    start, before = accuracy(pick(net.answers(x_test)), truth), net.passes
    spent = 0
    for step in range(STEPS):
        strike(net, "walk", MAGNITUDES["walk"], seed * 100 + step)
        found["frozen"].append(accuracy(pick(net.answers(x_test)), truth))
        part = order[step * ROWS : (step + 1) * ROWS]
        own, passes = adapt(own, x[part], y[part])
        spent += passes
        found["adapted"].append(accuracy(pick(own.answers(x_test)), truth))
    del before
    return {"before": start, "passes": spent, **found}


def show(rows: dict[str, dict]) -> None:
    """Accuracy before, right after and in the end; passes to 95 % of that before (mean over seeds that recovered)."""
    for protocol in MAGNITUDES:
        own = {key: row for key, row in rows.items() if key.split()[1] == protocol}
        if not own:
            continue
        walk = protocol == "walk"
        table = Table("method", "seeds", "before", "frozen" if walk else "after", "adapted", "passes", title=protocol)
        for method in METHODS:
            found = [row for key, row in own.items() if key.split()[0] == method]
            if not found:
                continue
            mean = lambda values: f"{100 * np.mean(list(values)):.1f}"  # noqa: E731
            if walk:
                cells = [mean(r["frozen"][-1] for r in found), mean(r["adapted"][-1] for r in found), f"{found[0]['passes']:,}"]
            else:
                back = [r["recovered"] for r in found if r["recovered"] is not None]
                passes = f"{np.mean(back):,.0f} ({len(back)} of {len(found)})" if back else f"never ({len(found)})"
                cells = [mean(r["after"] for r in found), mean(r["accuracies"][-1] for r in found), passes]
            table.add_row(method, str(len(found)), mean(r["before"] for r in found), *cells)
        Console(width=120).print(table)


def draw(rows: dict[str, dict], path: Path) -> None:
    """Accuracy against passes after each event, a line a method, mean over seeds; the walk against steps."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [p for p in MAGNITUDES if any(key.split()[1] == p for key in rows)]
    figure, axes = plt.subplots(1, len(shown), figsize=(4 * len(shown), 3.6), sharey=True, squeeze=False)
    colours = dict(zip(METHODS, plt.get_cmap("tab20").colors, strict=False))  # type: ignore[attr-defined]
    for ax, protocol in zip(axes[0], shown, strict=True):
        for method in METHODS:
            found = [row for key, row in rows.items() if key.split()[:2] == [method, protocol]]
            if not found:
                continue
            if protocol == "walk":
                ax.plot(
                    range(1, STEPS + 1), np.mean([r["adapted"] for r in found], axis=0), color=colours[method], label=method
                )
                if method == "heads":
                    ax.plot(range(1, STEPS + 1), np.mean([r["frozen"] for r in found], axis=0), "k:", label="frozen heads")
                ax.set_xlabel("steps of the walk")
                continue
            passes = [found[0]["passes"][0] / 2, *found[0]["passes"]]
            curve = np.mean([[r["after"], *r["accuracies"]] for r in found], axis=0)
            ax.semilogx(passes, curve, ".-", color=colours[method], label=method)
            ax.set_xlabel("physical passes (first point: nothing adapted)")
        ax.set_title(f"{protocol} {MAGNITUDES[protocol]:g}")
    axes[0, 0].set_ylabel("test accuracy, digits")
    axes[0, -1].legend(fontsize=6, ncol=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
