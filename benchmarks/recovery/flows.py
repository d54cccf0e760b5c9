"""Chaotic flows of degree three at most: support, coefficients, valid prediction time, statistics of the attractor.

    python -m benchmarks.recovery.flows [--methods recovery,pysindy] [--seeds 3] [--flows NAMES] [--figures FOLDER]

Every autonomous flow of three components in `pdes.ode_families.flows` whose rates are polynomials of degree three at most, at
its standard parameters. A recording holds ten of the flow's periods, a hundred points in each, from a start on the attractor
(a seed has its own), with additive noise of 0, 1, 5 % of each component's standard deviation. The equations are then simulated
from a clean start elsewhere on the attractor:

- valid time: until the distance to the truth exceeds 0.4 of the attractor's size, in Lyapunov times, ten at most;
- statistics: distance (Wasserstein) of the components' distributions over 100 periods from those of the true flow, in standard
  deviations, mean over components; `floor` is that of two true trajectories.

Before, each flow is checked: bounded over 100 periods, largest Lyapunov exponent (growth of tangent vectors from 64 starts)
above zero by three standard errors; one that fails is named and left out.

Gilpin, Chaos as an interpretable benchmark, NeurIPS Datasets and Benchmarks 2021; Kaptanoglu, Zhang, Nicolaou, Fasel, Brunton,
Benchmarking sparse system identification with low-dimensional chaos, Nonlinear Dynamics 111, 2023.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sympy

from benchmarks.recovery import chaos, figures
from benchmarks.recovery.chaos import AHEAD, COMPONENTS, LONG_TIMES, PERIOD, TIMES
from benchmarks.recovery.odebench import METHODS, monomials
from benchmarks.recovery.options import listed
from benchmarks.rows import Rows
from pdes.randomness import generator
from sciml.recovery.scores import valid_time
from solvers.ode import Ode

NOISE = (0.0, 0.01, 0.05)


def recording(name: str, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and noisy states (time, component)."""
    x = chaos.clean(name, seed)
    rng = generator("flows", name, seed, round(1000 * noise))
    return TIMES * PERIOD[name], x + noise * x.std(axis=0) * rng.standard_normal(x.shape)


def simulated(found: dict[tuple, float] | None, simulate: Callable, start: np.ndarray, times: np.ndarray) -> np.ndarray:
    """States of recovered equations, (time, component), NaN from where they run away; what is no cubic simulates itself."""
    if found is None or any(powers not in chaos.POWERS for _, powers in found):
        return simulate(start, times)
    return Ode(chaos.Cubic(), "dopri8", 1e-10, 1e-12, limit=1e5).solve(start[None], times, chaos.parameters(found)).values[0]


def compared(true: dict[tuple, float], equations: Sequence[sympy.Expr]) -> dict[str, Any]:
    """Exact support, missing and spurious terms (all that are no polynomials are), largest relative error of a true one."""
    got: dict[tuple, float] = {}
    others = 0
    for d, side in enumerate(equations):
        for term in sympy.Add.make_args(sympy.expand(side)):
            one = monomials([term], COMPONENTS)
            others += one is None
            for (_, powers), value in (one or {}).items():
                got[d, powers] = got.get((d, powers), 0.0) + value
    return {
        "exact": not others and set(true) == set(got),
        "missing": len(set(true) - set(got)),
        "spurious": others + len(set(got) - set(true)),
        "coefficient_error": max(abs(got.get(key, 0.0) - value) / abs(value) for key, value in true.items()),
    }


def run(name: str, noise: float, seed: int, method: str, exponent: float) -> dict[str, Any]:
    """One fit and its scores."""
    t, x = recording(name, noise, seed)
    began = time.process_time()
    row: dict[str, Any] = {"flow": name, "noise": noise, "seed": seed, "method": method}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            simulate, equations, count = METHODS[method](t, x)
    except Exception as error:  # a peer may fail in any way; it is named
        if method == "recovery":
            raise
        return row | {"seconds": time.process_time() - began, "failure": repr(error)[:200]}
    row |= {"seconds": time.process_time() - began, "terms": count, "equations": [str(e) for e in equations]}
    found, truth = monomials(equations, COMPONENTS), chaos.ahead(name, exponent)
    times = AHEAD / exponent
    row["valid_time"] = exponent * valid_time(times, truth, simulated(found, simulate, truth[0], times))
    invariant = simulated(found, simulate, truth[0], LONG_TIMES * PERIOD[name])
    row["statistics"] = chaos.distance(chaos.long_run(name, chaos.OTHER), invariant) if np.isfinite(invariant).all() else None
    return row | compared(chaos.terms(name), equations)


def drawn(stored: Rows) -> Iterator[figures.Figure]:
    """Ours of each flow, lowest seed: most noise first."""
    for name in chaos.flows():
        panels, lines = [], []
        for noise in reversed(NOISE):
            found = [
                r for r in stored.rows.values() if (r.get("method"), r["flow"], r.get("noise")) == ("recovery", name, noise)
            ]
            for row in sorted(found, key=lambda r: r["seed"])[:1]:
                exponent, system = stored[f"facts/{name}"]["exponent"], figures.parsed(row["equations"])
                got, said = monomials(system.equations(), COMPONENTS), f"noise {noise:g}, seed {row['seed']}"
                (t, x), true, times = recording(name, noise, row["seed"]), chaos.ahead(name, exponent), AHEAD / exponent
                clean = chaos.clean(name, row["seed"])
                panels.append(figures.Panel(said, t, clean, simulated(got, system.simulated, clean[0], t), t, x))
                title = f"{said}, another start over ten Lyapunov times: near the truth for {row['valid_time']:.1f} of them"
                panels.append(figures.Panel(title, times, true, simulated(got, system.simulated, true[0], times)))
                lines += [said, *(f"x{d}' = {e}" for d, e in enumerate(row["equations"]))]
        if panels:
            yield figures.Figure(name, [f"x{d}" for d in range(COMPONENTS)], lines, panels)


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the flows, fit what is missing; store row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=listed("method", tuple(METHODS)), default="recovery,pysindy,pysindy_tuned")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--flows", type=listed("flow", chaos.flows()), help="names with commas between; all, if left out")
    parser.add_argument("--figures", type=Path, help="folder for a page of each system")
    parsed = parser.parse_args(arguments)
    names = parsed.flows or chaos.flows()
    stored = Rows(
        "recovery_flows", {"periods": chaos.PERIODS, "points": chaos.POINTS, "horizon": chaos.HORIZON, "long": chaos.LONG}
    )
    for name in names:
        if f"facts/{name}" not in stored:
            about = stored.add(f"facts/{name}", chaos.facts(name))
            print(name, f"{about['exponent']:.4f} +- {about['exponent_error']:.4f}, largest {about['largest']:.3g}", flush=True)
    _fill(stored, names, parsed)
    if parsed.figures is not None:
        figures.write("flows", drawn(stored), parsed.figures)


def _fill(stored: Rows, names: Sequence[str], parsed: argparse.Namespace) -> None:
    for seed in range(11, 11 + parsed.seeds):
        for noise in NOISE:
            for method in parsed.methods:
                for name in names:
                    key, about = f"{method}/{name}/{noise}/{seed}", stored[f"facts/{name}"]
                    if key not in stored and about["chaotic"]:
                        row = stored.add(key, run(name, noise, seed, method, about["exponent"]))
                        shown = [row.get(k) for k in ("exact", "coefficient_error", "valid_time", "statistics", "failure")]
                        print(key, *shown, f"{row['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
