"""Short noisy windows of PROSE's systems: 64 points on [0, 2], 2 % noise; ours beside weak sparse regression alone.

    python -m benchmarks.recovery.prose_windows [--windows 5] [--figures FOLDER]

Noise is additive, 2 % of each component's standard deviation on the window. Symbolic error: ||f - f*|| / ||f*|| over the states
of the clean trajectory on the window, f* the true rates. Prediction: relative L2 error of the continuation on [2, 6] from
the true state at 2, capped at 10. Weak regression alone: our weak form, library of the same degree, best subset at three times
log(rows) per term, no fit of trajectories.

Liu, Zhang, Schaeffer, PROSE, Neural Networks 180, 2024 (the systems).
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pdes
from benchmarks.recovery import figures
from benchmarks.rows import Rows
from pdes.ode_families.prose import SYSTEMS
from pdes.ordinary import rates
from pdes.randomness import generator
from pdes.terms import evaluate
from sciml.recovery import Recovery
from sciml.recovery.equations import System
from sciml.recovery.features import Features, polynomials
from sciml.recovery.series import record
from sciml.recovery.sparse import best_subsets
from sciml.recovery.weak import weak_systems

POINTS, WINDOW, LAST, NOISE = 64, 2.0, 6.0, 0.02
DEGREES = {1: 5, 2: 3, 3: 3}


def weak_alone(t: np.ndarray, x: np.ndarray) -> System:
    """The weak form's own choice, without fits of trajectories."""
    D = x.shape[1]
    F = Features(polynomials(D, DEGREES.get(D, 2)), D)
    C = np.zeros((D, len(F)))
    for d, system in enumerate(weak_systems(record(t, x).trajectories, lambda x, u: F(x))):
        best = min(best_subsets(system.G, system.y, 8, keep=1), key=lambda one: one.bic(3 * np.log(one.rows)))
        C[d, list(best.columns)] = best.values
    return System(F, C, np.empty(0), tuple(f"x{i}" for i in range(D)), (), np.abs(x).max(axis=0))


def recording(name: str, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, float]]:
    """Times and clean states on [0, 6], noisy ones on the window, parameters."""
    problem = SYSTEMS[name].replace(time=(0.0, LAST), frames=3 * (POINTS - 1) + 1)
    data = pdes.generate(problem, n=window + 1, resolution=1, seed=23, progress=False)
    names = problem.equation.unknowns
    clean = np.stack([np.asarray(data.fields[key][window], np.float64) for key in names], 1)
    times = np.asarray(data.times, np.float64)
    inside = clean[:POINTS]
    rng = generator("prose_windows", name, window)
    noisy = inside + NOISE * inside.std(axis=0) * rng.standard_normal(inside.shape)
    return times, clean, noisy, {key: float(values[window]) for key, values in data.parameters.items()}


def run(name: str, window: int, method: str) -> dict[str, Any]:
    """One window of one family by one method, and its scores."""
    equation = SYSTEMS[name].equation
    names = equation.unknowns
    times, clean, noisy, parameters = recording(name, window)
    inside = clean[:POINTS]
    values = {**parameters, **{key: inside[:, i] for i, key in enumerate(names)}, "t": times[:POINTS]}
    true = np.stack([np.broadcast_to(evaluate(side, values, _none, np), POINTS) for side in rates(equation)], 1)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system = Recovery().fit(times[:POINTS], noisy).system_ if method == "recovery" else weak_alone(times[:POINTS], noisy)
    seconds = time.process_time() - began
    found = system.simulated(inside[-1], times[POINTS - 1 :])
    rest = clean[POINTS - 1 :]
    ahead = np.linalg.norm(found - rest) / np.linalg.norm(rest) if np.isfinite(found).all() else np.inf
    error = np.linalg.norm(system.rates(inside) - true) / np.linalg.norm(true)
    return {
        "family": name,
        "window": window,
        "method": method,
        "symbolic_error": float(min(error, 1e3)),
        "prediction_error": float(min(ahead, 10.0)),
        "terms": system.terms,
        "seconds": seconds,
        "equations": [str(e) for e in system.equations(6)],
    }


def _none(e, walk):
    raise AssertionError("no derivatives in these systems")


def drawn(rows: Rows) -> Iterator[figures.Figure]:
    """Ours of each family, first window: the window, and the continuation."""
    for name in SYSTEMS:
        if (key := f"recovery/{name}/0") in rows:
            system = figures.parsed(rows[key]["equations"])
            times, clean, noisy, _ = recording(name, 0)
            first, rest = times[:POINTS], times[POINTS - 1 :]
            panels = [
                figures.Panel("window", first, clean[:POINTS], system.simulated(clean[0], first), first, noisy),
                figures.Panel("continuation", rest, clean[POINTS - 1 :], system.simulated(clean[POINTS - 1], rest)),
            ]
            lines = [f"x{d}' = {e}" for d, e in enumerate(rows[key]["equations"])]
            yield figures.Figure(name.removeprefix("prose_"), [f"x{d}" for d in range(clean.shape[1])], lines, panels)


def main() -> None:
    """Fit what is missing; store row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--figures", type=Path, help="folder for a page of each system")
    chosen = parser.parse_args()
    rows = Rows("recovery_prose_windows", {"points": POINTS, "window": WINDOW, "noise": NOISE})
    for window in range(chosen.windows):
        for name in SYSTEMS:
            for method in ("weak", "recovery"):
                key = f"{method}/{name}/{window}"
                if key not in rows:
                    row = rows.add(key, run(name, window, method))
                    print(key, f"{row['symbolic_error']:.3g} {row['prediction_error']:.3g} {row['seconds']:.1f} s", flush=True)
    if chosen.figures is not None:
        figures.write("prose_windows", drawn(rows), chosen.figures)


if __name__ == "__main__":
    main()
