"""Write docs/forward_forward.md from the results files of the forward-forward benchmarks.

python -m benchmarks.ffp_page
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.ffp_drift import MAGNITUDES
from benchmarks.ffp_drift import METHODS as DRIFTING
from benchmarks.ffp_table import METHODS, SETTINGS, interval, stored
from benchmarks.pages import table
from benchmarks.record import RESULTS
from solvers.files import write_bytes

LABEL_FREE = ("heads", "boosted", "ridge")
DOCS = Path(__file__).parents[1] / "docs" / "forward_forward.md"
OPENING = """# Forward-forward physical networks, measured

    operator = sciml.fit("forward_forward", train).operator      # train, test = pdes.vectors.load("digits")

A network is physical layers with a digital linear layer behind each. The physical ones are black boxes: arrays in, arrays
out, no derivative (`sciml.physical.layer.PhysicalLayer`); here solvers compute them. Each linear layer is trained by a loss
of its own, in closed-form gradients; no gradient crosses the physics, and no model of it is needed. Losses being local,
every layer is measured once for each sample, before the next one is looked at, whatever the number of epochs; when a layer
drifts, measurements are made anew.

This page is written by `python -m benchmarks.ffp_page` from `benchmarks/results/ffp_*.json`. Everything is simulated:
passes and multiplications are counted, no energies are claimed.
"""

ACCURACY = """## Accuracy

Test accuracy in percent, mean and 95 % interval, number of seeds in brackets (a seed is another split, where a set has none
of its own). Passes of training and of one answer, and digital multiplications of one answer, are those on digits. The physics
is the nonlinear pulse; settings were chosen on splits of training parts, vowels and fashion_mnist had been looked at with
earlier ones (see `ffp_table`). `heads` write no label into the data, hence answer with one pass a layer where `pair` and
`contrast` need one for each class. `linear`, `absent` and `random` are `heads` with the best affine map of each layer, with the
drives themselves, and with digital random features in the place of physics; `-skip` has the drives of a layer beside its
readings. fashion_10k: the first 10,000 training images and layers of 1024 points; fashion_mnist: all of them and 4096 points.

"""
MATTERS = """## Does the physics matter?

Accuracy of `heads` with the physics, less that of the same network with another layer in its place, in percent: mean over pairs
of one seed, 95 % interval, pairs. `linear` is the best affine map, `absent` the drives, `random` digital random features.

"""
DRIFT = """## Drift

Digits. Accuracy in percent before, right after, and adapted with all 1438 training samples; fewest passes from which on it
stays above 95 % of that before (mean over seeds that get there). Methods with a model keep the old one.

![accuracy against passes](../benchmarks/results/ffp_drift.png)
"""


def page() -> str:
    """The page."""
    parts = [OPENING, asked(), accuracies(), matters(), drifts(), mismatches(), throughput()]
    return "\n".join(part for part in parts if part)


def main() -> None:
    """Write the page."""
    write_bytes(DOCS, page().encode())


def read(name: str) -> dict | None:
    """A results file, or None where nothing has been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def accuracy(name: str, method: str) -> list[float]:
    """Test accuracies of a method on a set, in percent, by seed."""
    rows = stored(name).rows
    return [100 * rows[key]["accuracy"] for key in sorted(rows) if key.split()[:2] == [name, method]]


def asked() -> str:
    """What the project asked for, and the answer."""
    lines = []
    for name in ("digits", "mnist_5k"):
        heads, ideal, pair = (np.mean(accuracy(name, m) or [np.nan]) for m in ("heads", "ideal", "pair"))
        lines += [
            [f"{name}: `heads` within 1 point of back-propagation through the ideal model", f"{heads:.2f} to {ideal:.2f}"],
            [f"{name}: `heads` above the pair loss", f"{heads:.2f} to {pair:.2f}"],
        ]
    row = {
        method: next(r for key, r in stored("digits").rows.items() if key.split()[1] == method) for method in ("heads", "pair")
    }
    lines.append(
        ["5 times fewer passes of an answer than the pair loss", f"{row['pair']['passes'] / row['heads']['passes']:g}"]
    )
    best = {
        name: max((float(np.mean(found)), m) for m in LABEL_FREE if (found := accuracy(name, m)))
        for name in ("vowels", "fashion_mnist")
        if any(accuracy(name, m) for m in LABEL_FREE)
    }
    for name, text in (
        ("vowels", "vowels, other speakers: above 56.7 % (support vectors); best of the label-free rules"),
        ("fashion_mnist", "Fashion-MNIST: 88 %; best of the label-free rules"),
    ):
        if name in best:
            lines.append([text, f"{best[name][0]:.2f} (`{best[name][1]}`)"])
    if (speed := read("ffp_throughput")) is not None:
        ratios = [r["ratio"] for r in speed["rows"].values() if r["ratio"]]
        lines.append(["layers 3 times faster than plain NumPy code", f"{min(ratios):.1f} to {max(ratios):.1f} times"])
    if (drift := read("ffp_drift")) is not None:
        found = {
            m: [r["recovered"] for r in drift["rows"] if r["key"].split()[:2] == [m, "switch"]]
            for m in ("heads", "pair", "pat")
        }
        text = ", ".join(f"`{m}` {back}" for m, v in found.items() if v and (back := recovered(v)))
        lines.append(["passes to 95 % of the accuracy before all parameters changed by 20 %", text])
    return "## What was asked, and what came out\n\n" + table(["asked", "measured"], lines) + "\n"


def recovered(passes: Sequence[int | None]) -> str:
    """Mean of those that got there, and how many that are."""
    back = [p for p in passes if p is not None]
    share = f" ({len(back)} of {len(passes)})" if len(back) < len(passes) else ""
    return f"{np.mean(back):,.0f}{share}" if back else f"not reached ({len(passes)})"


def matters() -> str:
    """Paired differences between the physics and what stands in its place."""
    lines = []
    for name in SETTINGS:
        rows = stored(name).rows
        for skip in ("", "-skip"):
            cells = []
            for other in ("linear", "absent", "random"):
                pairs = [
                    rows[key]["accuracy"] - rows[twin]["accuracy"]
                    for key in rows
                    if key.split()[1] == f"heads{skip}" and (twin := f"{name} {other}{skip} {key.split()[2]}") in rows
                ]
                cells.append(interval(pairs) if pairs else "")
            if any(cells):
                lines.append([name, "with" if skip else "without", *cells])
    return MATTERS + table(["", "skip", "to linear", "to absent", "to random"], lines) + "\n"


def accuracies() -> str:
    """The table of learning rules."""
    rows = {key: row for name in SETTINGS for key, row in stored(name).rows.items()}
    lines = []
    for method in METHODS:
        cells, counts = [], None
        for name in SETTINGS:
            own = [row for key, row in rows.items() if key.split()[:2] == [name, method]]
            cells.append(interval([row["accuracy"] for row in own]) if own else "not measured")
            counts = counts or (own[0] if own else None)
        if counts:
            lines.append([method, *cells, f"{counts['training passes']:,}", f"{counts['passes']:g}", f"{counts['macs']:,}"])
    return ACCURACY + table(["", *SETTINGS, "training passes", "passes", "MACs"], lines) + "\n"


def drifts() -> str:
    """What happened after each event."""
    found = read("ffp_drift")
    if found is None:
        return ""
    text = [DRIFT]
    for protocol, magnitude in MAGNITUDES.items():
        lines, seeds = [], 0
        for method in DRIFTING:
            own = [row for row in found["rows"] if row["key"].split()[:2] == [method, protocol]]
            if not own:
                continue
            seeds = max(seeds, len(own))
            mean = lambda values: f"{100 * np.mean(list(values)):.1f}"  # noqa: E731
            if protocol == "walk":
                last = [mean(r["frozen"][-1] for r in own), mean(r["adapted"][-1] for r in own), f"{own[0]['passes']:,}"]
            else:
                last = [mean(r["after"] for r in own), mean(r["accuracies"][-1] for r in own)]
                last.append(recovered([r["recovered"] for r in own]))
            lines.append([method, mean(r["before"] for r in own), *last])
        if lines:
            head = (
                ["frozen, end", "adapted, end", "passes spent"]
                if protocol == "walk"
                else ["after", "adapted", "passes to 95 %"]
            )
            text += [f"### {protocol}, {magnitude:g}, {seeds} seed(s)\n", table(["", "before", *head], lines) + "\n"]
    return "\n".join(text)


def mismatches() -> str:
    """Wrong models."""
    found = read("ffp_mismatch")
    if found is None:
        return ""
    lines = []
    for mismatch in sorted({float(row["key"].split()[1]) for row in found["rows"]}):
        cells = []
        for mode in ("in-silico", "pat"):
            own = [r for r in found["rows"] if r["key"].split()[:2] == [mode, f"{mismatch:g}"]]
            cells.append(interval([r["accuracy"] for r in own]) if own else "")
        own = [r["alignment"] for r in found["rows"] if r["key"].split()[1] == f"{mismatch:g}"]
        lines.append([f"{mismatch:g}", *cells, f"{np.mean(own):.3f}"])
    return (
        "## Wrong models\n\nDigits, 20 epochs; cosine of gradients by the model and by differences.\n\n"
        + table(["mismatch", "in-silico", "physics-aware", "alignment"], lines)
        + "\n"
    )


def throughput() -> str:
    """Samples per second."""
    found = read("ffp_throughput")
    if found is None:
        return ""
    lines = [
        [name, f"{r['samples per second']:,.0f}", str(r["reference"] or ""), f"{r['ratio']:.1f}" if r["ratio"] else "",
         f"{r['r2']:.2f}", f"{r['rank']:.0f}"]
        for name, r in found["rows"].items()
    ]  # fmt: skip
    text = (
        f"## Throughput\n\nSamples per second on {found['threads']} core(s), batches of {found['batch']}.\n"
        "The reference is that of "
        "plain NumPy code at the same size, one thread. Share of variance that the best affine map explains, effective rank\n"
        "of the readings.\n\n"
    )
    return text + table(["layer", "samples/s", "reference", "ratio", "linear R2", "rank"], lines) + "\n"


if __name__ == "__main__":
    main()
