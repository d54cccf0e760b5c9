"""Write docs/nde.md from the results of nde_digits, nde_spiral, nde_noisy, nde_vowels and nde_race.

python -m benchmarks.nde_page
"""

import json
from pathlib import Path

import numpy as np

from benchmarks import nde_digits, nde_tasks
from benchmarks.pages import number, section
from benchmarks.record import RESULTS
from solvers.files import write_bytes

DOCS = Path(__file__).parents[1] / "docs" / "nde.md"
INTRODUCTION = """# Regularised neural differential equations, measured

Made by `python -m benchmarks.nde_page` from stored results, which say at their head what was run and how.

An adaptive solver knows at every step how large its error is and how stiff the equation. `sciml.nde` puts these numbers, with
their gradients at frozen steps, into the training loss, so that the learned equation takes fewer evaluations.

```python
from sciml.operators.neural_ode import NeuralODE

operator = NeuralODE(regularisers=("R_N",), weights=(0.03,), backend="jax")  # or "torch": the same numbers, the same files
held = NeuralODE(regularisers=("R_N",), weights=(0.0,), target_evaluations=32)  # a budget, met by dual ascent
```

| name | what it is | a coefficient is per |
|---|---|---|
| `R_E` | sum of E h, scaled error times step (ERNODE) | unit of time; of the published mean over steps: times their number |
| `R_E2`, `R_S` | sums of E^2 and of the stiffness S (ERNODE's variant, SRNODE) | step |
| `R_N` | sum of (E + 0.01)^(1/p), a differentiable number of steps | step |
| `kinetic`, `jacobian` | RNODE, integrated by the method's own weights | unit of time |
| `taylor2`, `taylor3` | TayNODE | unit of time |
| `local_steps`, `local_time` | one accepted step, drawn at random and taken once more: estimates of `R_E` | as `R_E` |

The value of `R_E` is no measure of difficulty: control holds E near a set point. Report evaluations, which
`operator.solved(inputs)` gives: torch counts them in f, diffrax's statistics give them exactly. diffrax 0.7.2 starts with a
step of 0.01 whatever the equation, where its documentation promises an automatic one; `RegularizedSolve` gives it the automatic
one, torchdiffeq's to rounding.

Stochastic equations (`NeuralSDE`) run on diffrax by default. `backend="torch"` takes torchsde: with equal steps
(`steps_per_frame`) of Heun's method it has diffrax's error estimate and `R_E`, `R_E2`, `R_N`; its own step-size control is
outside the graph and keeps its errors to itself, so that nothing is penalised there; `local_steps`, `local_time` and steps of
every path's own are diffrax's alone. Weights and files are the same, Brownian paths are not.

![Vector field, step sizes and evaluations of a cubic spiral at three prices](cheap_neural_ode.png)

`examples/cheap_neural_ode.py` makes this picture: a price of 0.01 on every step saves an eighth of the evaluations at 3 % more
loss; a price of 0.03 saves a third and doubles the loss.

In the tables "relative error" is that of the answer against a solve at 1e-10 of the same weights. Read the second table of each
study with the first: what a penalty saves must beat what a looser tolerance or a larger first step saves for nothing. Times of
the studies are from a machine that did other things as well: compare evaluations, which do not know of that.
"""
STUDIES = {
    "spiral": "Cubic spiral, fitted from one trajectory",
    "noisy": "Moments of a noisy spiral: a neural SDE",
    "vowels": "Japanese vowels: a latent ODE that sees 70 % of the frames",
}
ACCOUNTS = {
    "digits": """No penalty can beat the cheap ways where only the class counts: a single step through the unpenalised equation
finds the same classes, however wrong (see its relative error). What a penalty buys is an answer that is right: the learned
equation becomes so straight that the same step is exact to many digits. Ask for the solution, and the penalty wins.""",
    "spiral": """No penalty helps here: the trajectory itself is the target, its bends set the steps, and a price that shortens
them bends it away from the data. A coarser grid through the unpenalised weights keeps the loss.""",
    "noisy": """No penalty helps here either: the noise, which is learned as well, sets the steps, and whatever price keeps the
loss keeps the steps. What saves evaluations is equal steps, two between stored times.""",
    "vowels": """As for digits: the decoder forgives a latent path that is a little wrong, and cheap ways do; to be right, it
has to be penalised. Interpolation in time is far better than any of them: frames that lie between two that were read are no
test of a latent model's worth.""",
}
"""Why the second table comes out as it does."""


def stored(name: str) -> dict | None:
    """What a benchmark measured, if it has run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def seeds(rows: list[dict]) -> str:
    """How many seeds the methods have."""
    counts = {}
    for row in rows:
        counts.setdefault(row["method"], set()).add(row["seed"])
    found = sorted({len(c) for c in counts.values()})
    if found == [1]:
        return "one seed"
    return f"{found[0]} seeds" if len(found) == 1 else f"{found[0]} to {found[-1]} seeds"


def saving(rows: list[dict], value: str, better: float) -> str:
    """One sentence: the fewest evaluations among methods that lose no more than allowed, beside the cheap ways.

    value : "accuracy", where more is better and `better` is the loss allowed, or "loss", with a share.
    """
    mean = lambda mine, key="evaluations": float(np.mean([r[key] for r in mine]))  # noqa: E731
    by = {}
    for row in rows:
        by.setdefault(row["method"], []).append(row)
    plain = by.get("vanilla", [])
    if not plain:
        return ""
    bound = mean(plain, value) - better if value == "accuracy" else mean(plain, value) * (1 + better)
    holds = lambda mine: mean(mine, value) >= bound if value == "accuracy" else mean(mine, value) <= bound  # noqa: E731
    penalised = {
        n: m for n, m in by.items() if n.startswith(("ER", "RN", "SR", "local", "TayNODE", "RNODE", "kinetic", "budget"))
    }
    good = {n: mean(m) for n, m in penalised.items() if holds(m)}
    ways = {}
    for kind in ("at_tolerance", "first_step", "fixed_grid"):
        for key in plain[0][kind]:
            mine = [r[kind][key] for r in plain]
            if holds(mine):
                ways[f"{kind.replace('_', ' ')} {key}"] = mean(mine)
    allowed = "0.3 points" if value == "accuracy" else f"{100 * better:.0f} %"
    text = f"Unpenalised {mean(plain):.0f} evaluations. Losing at most {allowed} against that: "
    if good:
        name = min(good, key=lambda n: good[n])
        text += f"{good[name]:.0f} by {name} at its own tolerance ({good[name] / mean(plain):.2f} of them)"
    else:
        text += "no penalty"
    if ways:
        name = min(ways, key=lambda n: ways[n])
        text += f"; {ways[name]:.0f} by the unpenalised weights solved otherwise ({name})"
    return f"{text}.{at_equal_error(by)}"


def at_equal_error(by: dict[str, list[dict]], bound: float = 1e-4) -> str:
    """One sentence: the fewest evaluations, of all ways of solving, whose relative error is at most `bound` for every seed."""

    def fewest(rows: list[dict]) -> tuple[float, str]:
        ways = {"its own tolerance": rows}
        for kind in ("at_tolerance", "first_step", "fixed_grid"):
            ways |= {f"{kind.replace('_', ' ')} {key}": [r[kind][key] for r in rows] for key in rows[0][kind]}
        exact = {way: float(np.mean([r["evaluations"] for r in mine])) for way, mine in ways.items()
                 if max(r["error"] for r in mine) <= bound}  # fmt: skip
        return min((n, way) for way, n in exact.items()) if exact else (np.inf, "")

    found = {name: fewest(rows) for name, rows in by.items()}
    best = min(found, key=lambda name: found[name])
    if not np.isfinite(found["vanilla"][0]):
        return ""
    parts = [f"{found[name][0]:.0f} for {name} ({found[name][1]})" for name in ("vanilla", best)]
    return f" Solved to a relative error of {bound:g}, by whatever way takes least: {parts[0]}, {parts[1]}."


def race(results: dict) -> str:
    """Times by library."""
    head = ("", "evaluations", "prediction ms", "training step ms", "prediction, to plain", "training step, to plain")
    keys = ("prediction_ms", "training_step_ms", "prediction_ratio", "training_step_ratio")
    body = [[r["library"], str(r["evaluations"]), *(number(r[k]) for k in keys)] for r in results["rows"]]
    return section("Libraries: one neural ODE, 128 items of 64 components, Dopri5 at 1e-6, one thread", head, body)


def page() -> str:
    """The page."""
    parts = [INTRODUCTION]
    digits = stored("nde_digits")
    if digits:
        rows, settings = digits["rows"], digits["settings"]
        parts.append(
            f"## Digits\n\n64 pixels as the state, {settings['epochs']} epochs at {settings['tolerance']:g}, {seeds(rows)}.\n"
            f"{saving(rows, 'accuracy', 0.003)}\n\n{ACCOUNTS['digits']}\n\n{nde_digits.table(rows)}\n"
        )
    for name, title in STUDIES.items():
        results = stored(f"nde_{name}")
        rows = [r for r in results["rows"] if "seed" in r] if results else []
        if results and rows:
            line = next((r for r in results["rows"] if r["key"] == "interpolation"), None)
            beside = f" Linear interpolation in time: {line['loss']:.3g}." if line else ""
            parts.append(
                f"## {title}\n\n{results['settings']['epochs']} epochs, {seeds(rows)}.{beside}\n"
                f"{saving(rows, 'loss', 0.02)}\n\n{ACCOUNTS[name]}\n\n{nde_tasks.table(name, rows)}\n"
            )
    timed = stored("nde_race")
    if timed:
        parts.append(race(timed))
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    write_bytes(DOCS, page().encode())


if __name__ == "__main__":
    main()
