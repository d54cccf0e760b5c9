"""The tables of docs/recovery.md, from stored results.

python -m benchmarks.recovery.tables      writes docs/recovery.md
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages import number, section
from benchmarks.record import RESULTS
from benchmarks.recovery.flows import NOISE
from benchmarks.recovery.odebench import CONDITIONS, ILL_POSED, POLYNOMIAL, THRESHOLD
from solvers.files import write_bytes

DOCS = Path(__file__).parents[2] / "docs" / "recovery.md"
TARGETS = {(0.0, 0.0): (0.97, 0.78), (0.05, 0.0): (0.90, 0.60), (0.05, 0.5): (0.85, 0.52)}
NAMES = {"recovery": "sciml.recover", "pysindy": "PySINDy, defaults", "pysindy_tuned": "PySINDy, tuned"}
INTRODUCTION = """# Equations from data

    import sciml
    model = sciml.recover(t, x)          # times (time,), states (time, component); lists for several trajectories
    model.equations()                    # sympy, full precision
    model.posterior_, model.flags_       # constants with errors; what the data cannot tell
    model.simulate(x0, times); model.report("fit.html"); print(model.python())
    sciml.recover(t, u, space=x)         # u(t, x) on a grid: its partial differential equation

or `sciml recover data.csv --html fit.html`. All tables below come from files in benchmarks/results
(`python -m benchmarks.recovery.tables`); each file holds command, commit and machine. Pictures show the first component of each
system: left data (dots), truth (grey) and the recovered equations' simulation (blue), right a start that was held out (orange);
`--figures FOLDER` of a script writes a page for each system with all components.

**How.** Candidates for each equation are the best subsets of terms in the weak form, where no derivative of data is taken.
Their constants and the states at the start of 32 windows are fitted to the data by multiple shooting, many candidates at once,
the windows' ends being tied together ever more closely, so that the last fit is one trajectory. Around the best, terms are
dropped, added and exchanged by likelihood. Terms beyond polynomials are tried where polynomials leave something to explain. The
criterion is BIC with a price for having chosen among many terms. Selection sees the given data alone.

**What it cannot do.** From a trajectory that settles or repeats itself many equations follow; `flags_` says so where terms are
linearly dependent on the data or two structures are within 4 of each other in BIC, but an equation without a flag is not
proven: it is known where the data went. Inner constants of rational and exponential terms are found from a grid of starts and
may be missed on clean data, where only the exact value fits."""


def rows(name: str) -> list[dict[str, Any]]:
    """Of a results file; none where it is not there."""
    path = RESULTS / f"recovery_{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def odebench(name: str = "odebench") -> list[str]:
    """Shares of systems above the threshold, by noise and method."""
    body, every = [], rows(name)
    for sigma, rho in sorted(CONDITIONS):
        for method in NAMES:
            chosen = [r for r in every if (r["sigma"], r["rho"], r["method"]) == (sigma, rho, method)]
            if not chosen:
                continue
            seeds = sorted({r["seed"] for r in chosen})
            share = lambda key, rs: np.mean([(r[key] if r[key] is not None else -1) > THRESHOLD for r in rs])  # noqa: E731
            per_seed: Callable[[str], list[float]] = lambda key, c=chosen, s=seeds, f=share: [  # noqa: E731
                float(f(key, [r for r in c if r["seed"] == seed])) for seed in s
            ]
            posed = [r for r in chosen if r["system"] not in ILL_POSED]
            exact = [r.get("exact", False) for r in chosen if r["system"] in POLYNOMIAL]
            target = TARGETS[sigma, rho]
            body.append(
                [
                    f"{sigma:g} / {rho:g}",
                    NAMES[method],
                    f"{len(chosen)} fits, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}",
                    *(
                        f"{np.mean(per_seed(key)):.3f}" + (f" (target {t:.2f})" if method == "recovery" else "")
                        for key, t in zip(("reconstruction", "generalisation"), target, strict=True)
                    ),
                    f"{share('reconstruction', posed):.3f} / {share('generalisation', posed):.3f}",
                    f"{np.mean(exact):.2f}" if exact else "–",
                    f"{np.mean([r['seconds'] for r in chosen]):.2f}",
                ]
            )
    head = [
        "σ / ρ",
        "method",
        "fits",
        "reconstruction",
        "generalisation",
        "both without 55, 56, 61",
        "exact (polynomial)",
        "CPU s per fit",
    ]
    note = (
        "Share of the systems with R² > 0.9 from the clean first start and from the benchmark's other start; failures count as "
        "misses. Noise multiplies the states (σ), a share ρ of 512 points is left out. Exact: the terms of all equations are "
        "the true ones. A count below 63 for each seed is a run that was not finished. Seconds are those of a busy machine. "
        "The settings of the search were developed on these systems with other noise: read the "
        "shares as what the method reaches on systems that it has seen, not on new ones."
    )
    return [section("ODEBench: 63 systems, fit on one trajectory", head, body), note] if body else []


def pde_set() -> list[str]:
    """Support, coefficients and roll-outs, by noise."""
    every = rows("pde_set")
    body = []
    for problem in dict.fromkeys(r["problem"] for r in every):
        for method, name in (("recovery", "sciml.recover"), ("pysindy_weak", "PySINDy WeakPDELibrary")):
            found = [r for r in every if r["problem"] == problem and r["method"] == method]
            if not found:
                continue
            cells = []
            for r in sorted(found, key=lambda r: r["noise"]):
                if "failure" in r:
                    cells.append("failed")
                    continue
                rollout = f", {number(r['rollout'])}" if r.get("rollout") is not None else ""
                cells.append(f"{'✓' if r['exact'] else '✗'} {100 * r['coefficient_error']:.2g} %{rollout}")
            body.append([problem, name, *cells, *["–"] * (4 - len(cells))])
    note = (
        "✓: exactly the true terms; then the largest relative error of a true coefficient, then the relative error of the "
        "equation's roll-out from an unseen sample at the last time (none where it runs away or cannot be solved). Noise in "
        "per cent of the field's standard deviation; three samples. PySINDy's library is given our price and least share of a "
        "term and the best of three widths of test functions; it knows no second order in time (wave). Kuramoto–Sivashinsky is "
        "chaotic: its roll-out at the last time (50) only says that it stays bounded."
    )
    return (
        [section("Partial differential equations", ["problem", "method", "0 %", "1 %", "5 %", "10 %"], body), note]
        if body
        else []
    )


def prose() -> list[str]:
    """Medians over windows of each family."""
    every = rows("prose_windows")
    body = []
    for family in dict.fromkeys(r["family"] for r in every):
        cells = []
        for method in ("weak", "recovery"):
            found = [r for r in every if r["family"] == family and r["method"] == method]
            for key in ("symbolic_error", "prediction_error"):
                cells.append(number(float(np.median([r[key] for r in found]))) if found else "–")
        count = len([r for r in every if r["family"] == family and r["method"] == "recovery"])
        body.append([family.removeprefix("prose_"), str(count), *cells])
    head = ["family", "windows", "weak form alone: rates", "prediction", "sciml.recover: rates", "prediction"]
    note = (
        "Medians of relative errors: of the rates over the window, and of the continuation on [2, 6] from the true state at 2. "
        "64 points on [0, 2], noise of 2 %."
    )
    return [section("PROSE's systems on short noisy windows", head, body), note] if body else []


def real() -> list[str]:
    """What was found in the pelts, and how it forecasts."""
    path = RESULTS / "recovery_real.json"
    if not path.exists():
        return []
    r = json.loads(path.read_text())
    errors = "; ".join(f"{name} {value:.2f}" for name, value in r["forecast_error"].items())
    best, textbook = r["all"]["candidates"][0], r["textbook"]["candidates"][0]
    shown = lambda sides: f"`hare' = {sides[0]}`, `lynx' = {sides[1]}`"  # noqa: E731
    fit = lambda one: f"(BIC {one['bic']:.1f}, R² {one['r2']:.3f})"  # noqa: E731
    return [
        "## A real recording: hares and lynx",
        "",
        f"{r['years']} yearly counts of pelts (1900 to 1920, in thousands).",
        "",
        f"- From scratch: {shown(r['all']['equations'])} {fit(best)}.",
        f"- The textbook's terms, constants fitted: {shown(r['textbook']['equations'])} {fit(textbook)}.",
        f"- Fitted to the first {r['first']['years']} years, relative error of the forecast of the others: {errors}.",
        "",
        "What can be claimed: an oscillation of about ten years with an interaction of the two, and constants of Lotka and",
        "Volterra's equations with errors, if these are believed. What cannot: that exactly these terms were found. Two cycles",
        "of two noisy components do not single a structure out, which the flags of the fit say; compare the forecasts.",
        "",
    ]


def sheet(name: str, said: str) -> list[str]:
    """The contact sheet of a script, if it has been drawn."""
    path = RESULTS / f"recovery_{name}.png"
    return [f"![{said}](../benchmarks/results/{path.name})", ""] if path.exists() else []


def flows() -> list[str]:
    """Chaotic flows: all of them by noise and method, and ours one by one."""
    every = rows("flows")
    about = {r["flow"]: r for r in every if "exponent" in r}
    fits = [r for r in every if "method" in r]
    if not fits:
        return []
    median = lambda found, key: number(float(np.median([r[key] if r.get(key) is not None else np.inf for r in found])))  # noqa: E731
    body = []
    for noise in NOISE:
        for method, said in NAMES.items():
            found = [r for r in fits if (r["noise"], r["method"]) == (noise, method)]
            if found:
                ran_away = sum(r.get("statistics") is None for r in found)
                cells = [f"{np.mean([r.get('exact', False) for r in found]):.2f}", median(found, "coefficient_error")]
                cells += [median(found, "valid_time"), median(found, "statistics"), str(ran_away), median(found, "seconds")]
                body.append([f"{100 * noise:g} %", said, str(len(found)), *cells])
    head = ["noise", "method", "fits", "exact", "coefficient error", "valid time", "statistics", "ran away", "CPU s"]
    left_out = [name for name, one in about.items() if not one["chaotic"]]
    floor = float(np.median([one["floor"] for one in about.values()]))
    note = (
        f"{len(about) - len(left_out)} flows of three components and degree three at most, ten periods of a hundred points; "
        "medians over fits, failures counted as infinite. Exact: the terms of all equations are the true ones. Coefficient "
        "error: the largest relative one of a true term. Valid time: Lyapunov times (ten at most) until the simulation from a "
        "start that was not seen leaves the truth. Statistics: distance of the components' distributions over 100 periods from "
        f"the true ones, in standard deviations; two true trajectories differ by {floor:.3f}. Additive noise in per cent of "
        "each component's standard deviation. Different counts are runs that were not finished: their "
        "medians are not of the same flows."
    )
    note += f" Left out, no exponent above zero by three standard errors: {', '.join(left_out)}." if left_out else ""
    ours = []
    for name, one in about.items():
        cells = []
        for noise in NOISE:
            found = [r for r in fits if (r["flow"], r["noise"], r["method"]) == (name, noise, "recovery")]
            exact = f"{sum(r['exact'] for r in found)}/{len(found)}"
            cells.append(f"{exact}, {median(found, 'valid_time')}" if found else "–")
        if any(cell != "–" for cell in cells):
            ours.append([name, f"{one['exponent']:.4f} ± {one['exponent_error']:.4f}", number(one["largest"]), *cells])
    names = ["flow", "Lyapunov exponent", "largest value", "0 %", "1 %", "5 %"]
    each = [section("Each flow: exact of fits, median valid time (sciml.recover)", names, ours)]
    return [section("Chaotic flows", head, body), note, "", *sheet("flows", "chaotic flows, most noise that was run"), *each]


def refinement() -> list[str]:
    """Acceptance of the refinement, and of the intervals."""
    found, parts = rows("refinement"), []
    if found:
        missed = sorted({f"{r['system']}" for r in found if not r["close"]}, key=int)
        parts.append(
            "- Constants of ODEBench's true structures, each up to 20 % off, no noise: all of a fit come back to 1e-6 in "
            f"{np.mean([r['close'] for r in found]):.3f} of {len(found)} fits (asked for: 0.9; missed: {', '.join(missed)}); "
            f"the objective rose in {sum(r['rose'] for r in found)}."
        )
    lorenz = rows("lorenz")
    inside = [value for r in lorenz for value in r.get("inside", [])]
    support = [r["exact"] for r in lorenz if "exact" in r]
    if support:
        parts.append(f"- Lorenz, 20 % noise, 5001 points: the true terms in {sum(support)} of {len(support)} recordings.")
    if inside:
        parts.append(
            f"- Lorenz, 2 % noise, 401 points: bootstrap intervals of 90 % hold {np.mean(inside):.3f} of {len(inside)} "
            "constants (asked for: between 0.80 and 0.97)."
        )
    return ["## Constants and intervals", "", *parts, "", *sheet("lorenz", "Lorenz at 20 % noise")] if parts else []


def page() -> str:
    """The whole page."""
    parts: list[str] = [
        INTRODUCTION,
        "",
        *odebench(),
        "",
        *sheet("odebench", "ODEBench at 5 % noise"),
        *flows(),
        "",
        *refinement(),
    ]
    parts += [*pde_set(), "", *sheet("pde_set", "partial differential equations at 10 % noise"), *prose(), ""]
    parts += [*sheet("prose_windows", "short windows"), *real()]
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    write_bytes(DOCS, page().encode())
