"""Write docs/lssl.md from the results of ks_memory, lssl_operator_tasks, lssl_panel, its longer runs and lssl_speed.

python -m benchmarks.lssl_page
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from benchmarks.lssl_panel import FLOOR
from benchmarks.pages import number, section, shown
from benchmarks.record import RESULTS
from solvers.files import write_bytes

DOCS = Path(__file__).parents[1] / "docs" / "lssl.md"
INTRODUCTION = """# Linear state-space layers, measured

Made by `python -m benchmarks.lssl_page` from the results of `ks_memory`, `lssl_operator_tasks`, `lssl_panel` and `lssl_speed`,
which say at their head what was run and how. ± is the spread over seeds; in brackets, how many there are where rows differ.

`bank` is `sciml.fit("lssl:bank", data)`, an LSSL of 512 fixed random kernels whose pooled outputs are regressed on; `lssl` is a
deep one trained by descent. `floor` is what a plainer bank with four statistics a kernel reaches.
"""
RATES = ("error rate", "at 1/2 told", "at 1/2", "at 1/3 told", "at 1/3")
LEARNED = {
    "plaid": ("lssl", "frozen"),
    "osuleaf": ("bank", "bank random", "bank misplaced", "lssl", "fixed", "random", "misplaced"),
}
"""Sets whose states were also kept as they start: by HiPPO (frozen, fixed), at random, by HiPPO with very short memories."""
FINER = ("error", "a quarter of the step", "twice the step", "four horizons")


def results(name: str) -> dict:
    """What a benchmark stored."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def rows(name: str) -> list[dict]:
    """What it measured."""
    return results(name)["rows"]


def picked(found: Sequence[Mapping], column: str, **where) -> list[float]:
    """Values of a column of the rows that agree with `where`."""
    return [r[column] for r in found if all(r.get(k) == v for k, v in where.items()) and r.get(column) is not None]


def order(found: Sequence[Mapping], key: str) -> list:
    """Values of a key as they first appear."""
    return list(dict.fromkeys(r[key] for r in found if key in r))


def counted(values: Sequence[float]) -> str:
    """Mean, spread and number of seeds."""
    return f"{shown(values)} ({len(values)})" if values else "–"


def asked() -> str:
    """What was asked of these systems, and what came out."""
    tasks, panel, speed = rows("lssl_operator_tasks"), rows("lssl_panel"), rows("lssl_speed")
    exact = [r for r in tasks if r["task"] == "O1"]
    other = max(max(r[c] for c in FINER[1:3]) for r in exact)
    body = [
        ["chains at the trained step: 1e-3", number(max(r["error"] for r in exact))],
        ["chains at a quarter and at twice of it: 2e-3", number(other)],
    ]
    for noise in (0.0, 0.1):
        plain, ours = (
            np.mean(picked(rows("ks_memory"), "from 1", problem="ks", points=32, noise=noise, model=m))
            for m in ("markov", "lssl")
        )
        body.append([f"Kuramoto-Sivashinsky on 32 points, noise {noise:.0%}: 3 times less error", f"{plain / ours:.2f} times"])
    for model in ("bank", "lssl"):
        right = {s: 1 - np.mean(picked(panel, "error rate", set=s, model=model)) for s in FLOOR}
        above = sum(right[s] > FLOOR[s] for s in FLOOR)
        body.append([f"panel, `{model}`: above the floor on five of six", f"{above} of {len(FLOOR)}"])
    length = max(r["length"] for r in speed)
    for backward in (False, True):
        ours, plain = (
            next(r for r in speed if (r["model"], r["length"], r["backward"]) == (m, length, backward))
            for m in ("two_level", "squaring")
        )
        what = f"kernel of {length:,} samples{', forward and backward' * backward}: a fifth of squaring's memory, no slower"
        body.append([what, f"{plain['mib'] / ours['mib']:.0f} times less, {plain['ms'] / ours['ms']:.0f} times faster"])
    body += [[f"one streamed sample, {who}", f"{us:.0f} µs"] for who, us in results("lssl_speed")["stream_us"].items()]
    body += [
        [f"OSULeaf, {what}", _right("osuleaf", *models)]
        for what, models in {
            f"fixed LegS in seconds: above the floor of {FLOOR['osuleaf']:.1%}": ("bank", "bank random", "bank misplaced"),
            "two fixed blocks trained by descent: the same": ("fixed", "random", "misplaced"),
        }.items()
    ]
    pairs = [
        picked(panel, "error rate", set="plaid", model="frozen", seed=seed)[0]
        - picked(panel, "error rate", set="plaid", model="lssl", seed=seed)[0]
        for seed in order([r for r in panel if r["model"] == "frozen"], "seed")
    ]
    body.append(
        ["learning A and time scales helps on PLAID, paired seeds", f"{100 * np.mean(pairs):+.1f} points ({len(pairs)} seeds)"]
    )
    return section("What was asked, and what came out", ("asked", "measured"), body)


def _right(name: str, *models: str) -> str:
    """Accuracies of models of a set; of those that were trained longer at full length, that."""
    words = []
    for model in models:
        for stored in ("lssl_osuleaf_whole", "lssl_panel"):
            found = picked(rows(stored), "error rate", set=name, model=model)
            if found:
                words.append(f"{model} {100 * (1 - np.mean(found)):.1f} %")
                break
    return ", ".join(words)


def memory() -> str:
    """Roll-outs of flows that are seen too coarsely."""
    found, body = rows("ks_memory"), []
    for problem in order(found, "problem"):
        own = [r for r in found if r["problem"] == problem]
        for points in sorted(order(own, "points")):
            for noise in order(own, "noise"):
                errors = {
                    m: picked(own, "from 1", points=points, noise=noise, model=m) for m in ("markov", "history", "gru", "lssl")
                }
                plain, ours = errors["markov"], errors["lssl"]
                ratio = number(float(np.mean(plain) / np.mean(ours))) if plain and ours else "–"
                half = shown(picked(own, "half step", points=points, noise=noise, model="lssl"))
                gate = shown(picked(own, "gate", points=points, noise=noise, model="lssl"))
                body.append([problem, str(points), f"{noise:.0%}", *map(counted, errors.values()), ratio, half, gate])
    return section(
        "A memory for flows that are seen too coarsely: error of a roll-out of 25 frames",
        ("problem", "points", "noise", "no memory", "four frames", "GRU", "LSSL", "no memory / LSSL",
         "LSSL at half the frame step", "its gate"),
        body,
    )  # fmt: skip


def operators() -> list[str]:
    """Signals in, signals out."""
    found = rows("lssl_operator_tasks")
    exact = [
        [r["system"], f"{r['noise']:.0%}", *(number(r[c]) for c in FINER), number(r["floor"]), f"{r['seconds']:.1f}"]
        for r in found
        if r["task"] == "O1"
    ]
    learned = []
    for system in ("duffing", "bouc_wen"):
        own = [r for r in found if r["system"] == system]
        learned += [
            [system, model, f"{picked(own, 'parameters', model=model)[0]:,}",
             *(counted(picked(own, c, model=model)) for c in FINER)]
            for model in order(own, "model")
        ]  # fmt: skip
    banks, states = [], (4, 8, 16, 32, 64, 128)
    for system in ("rod", "delay"):
        own = [r for r in found if r["system"] == system]
        for model in order(own, "model"):
            at = {r["states"]: r["error"] for r in own if r["model"] == model}
            banks.append([system, model, *(number(at.get(n)) for n in states)])
    missing = [
        [f"{share:.0%}", *(counted(picked(found, "error", missing=share, model=m)) for m in ("steps", "mask"))]
        for share in (0.3, 0.5, 0.7)
    ]
    return [
        section(
            "Chains of one to four masses, found by least squares (bars: 1e-3, 2e-3 at other steps)",
            ("system", "noise", "trained step", *FINER[1:], "floor of the data", "seconds"), exact,
        ),
        section("Oscillators with friction and hysteresis", ("system", "model", "parameters", *FINER), learned),
        section("A rod and a delay: error by number of states", ("system", "states by", *map(str, states)), banks),
        section("A pendulum with samples missing", ("missing", "steps told", "masked"), missing),
    ]  # fmt: skip


def panel() -> list[str]:
    """Recorded series: shares of wrong answers, ranks, other sampling rates."""
    found = [r for r in rows("lssl_panel") if r["model"] in ("bank", "lssl", "gru", "tcn", "s5")]
    models, sets = order(found, "model"), order(found, "set")
    means = np.array([[np.mean(picked(found, "error rate", set=s, model=m) or [np.nan]) for s in sets] for m in models])
    ranks = rankdata(means, axis=0).mean(1)
    body = [
        [m, *(counted([100 * v for v in picked(found, "error rate", set=s, model=m)]) for s in sets), f"{rank:.1f}"]
        for m, rank in zip(models, ranks, strict=True)
    ]
    body.append(["floor", *(number(100 * (1 - FLOOR[s])) if s in FLOOR else "–" for s in sets), "–"])

    def overall(model: str, column: str) -> str:
        by_set = [picked(found, column, set=s, model=model) for s in sets]
        return shown([100 * float(np.mean(values)) for values in by_set if values])

    other = [[m, *(overall(m, c) for c in RATES)] for m in models]
    each = [
        [f"{m}, {column}", *(shown([100 * v for v in picked(found, column, set=s, model=m)]) for s in sets)]
        for column in RATES[1:]
        for m in models
        if "told" in column or m not in ("gru", "tcn")  # these cannot be told
    ]
    learning = [
        [name, model, str(stored["settings"]["longest"]), str(stored["settings"]["steps"]),
         counted([100 * v for v in picked(stored["rows"], "error rate", set=name, model=model)])]
        for name, models in LEARNED.items()
        for stored in map(results, ("lssl_panel", "lssl_osuleaf", "lssl_osuleaf_whole"))
        for model in models
        if picked(stored["rows"], "error rate", set=name, model=model)
    ]  # fmt: skip
    return [
        section("Recorded series: wrong answers in per cent (seeds), and mean rank", ("model", *sets, "mean rank"), body),
        section("The same over all sets, ± their spread, and sampled at other rates", ("model", *RATES), other),
        section("Each set at other rates: every second and third sample of the test series", ("", *sets), each),
        section(
            "What it is worth to learn the states, and to start them well: wrong answers in per cent",
            ("set", "states", "samples at most", "updates", "wrong"),
            learning,
        ),
    ]


def speed() -> str:
    """Time and memory beside repeated squaring and S5."""
    body = [
        [r["what"], r["model"], f"{r['length']:,}", "yes" if r["backward"] else "no", number(r["ms"]), number(r["mib"])]
        for r in rows("lssl_speed")
    ]
    return section("Time and memory of one call, one thread", ("", "way", "length", "backward", "ms", "MiB"), body)


def page() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, asked(), memory(), *operators(), *panel(), speed()]).rstrip() + "\n"


def main() -> None:
    """Write the page."""
    write_bytes(DOCS, page().encode())


if __name__ == "__main__":
    main()
