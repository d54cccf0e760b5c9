"""ODEBench: 63 systems, fit on the corrupted first trajectory, score against both clean ones.

    python -m benchmarks.recovery.odebench [--methods recovery,pysindy,pysindy_tuned] [--seeds 3] [--backwards]
        [--figures FOLDER]

Noise multiplies the states, x (1 + sigma eps); then a share rho of the points is left out. Reconstruction: R^2 of the
simulation from the clean first start; generalisation: from the other start of the benchmark. A system counts where R^2 > 0.9;
failures count as misses. Truth is integrated at 1e-12, candidates at 1e-9. Selection sees the corrupted data alone.

d'Ascoli et al., ODEFormer, ICLR 2024 (the benchmark; their generalisation starts from a random state instead).
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sympy

from benchmarks.recovery import figures
from benchmarks.recovery.options import listed
from benchmarks.recovery.peers import pysindy_default, pysindy_tuned
from benchmarks.rows import Rows
from pdes.ode_families.odebench import ROWS, SYSTEMS
from pdes.ordinary import Rates
from pdes.randomness import generator
from sciml.recovery import Recovery
from sciml.recovery.scores import corrupted, r2, thinned
from solvers.ode import Ode

CONDITIONS = ((0.05, 0.0), (0.05, 0.5), (0.0, 0.0))
TIMES = np.linspace(0.0, 10.0, 512)
POLYNOMIAL = tuple(
    n
    for n in range(1, 64)
    if n not in (4, 7, 10, *range(13, 16), *range(18, 24), 28, 33, 34, 35, 36, 42, 43, 44, 46, 47, 48, 51, 53, 62)
)
ILL_POSED = (55, 56, 61)
THRESHOLD = 0.9


def truth(number: int) -> np.ndarray:
    """Both trajectories, (2, time, component), in float64."""
    problem, (_, _, _, constants, starts) = SYSTEMS[f"odebench_{number:02d}"], ROWS[number - 1]
    parameters = {f"c{i}": np.full(2, float(value)) for i, value in enumerate(constants)}
    solver = Ode(Rates(problem.equation), "dopri8", 1e-12, 1e-14)
    return solver.solve(np.array(starts, np.float64), TIMES, parameters).values_or_raise()


def exact(number: int) -> list[sympy.Expr]:
    """Right-hand sides with the constants put in."""
    _, _, sides, constants, _ = ROWS[number - 1]
    values = {sympy.Symbol(f"c{i}"): sympy.Float(value, 17) for i, value in enumerate(constants)}
    found: list[Any] = [sympy.sympify(side.replace("^", "**")) for side in sides.split(";")]
    return [side.xreplace(values) for side in found]


def monomials(sides: list[sympy.Expr], dimension: int) -> dict[tuple, float] | None:
    """(component, exponents) -> coefficient; None for what is no polynomial."""
    symbols = [sympy.Symbol(f"x{i}") for i in range(dimension)]
    found = {}
    for d, side in enumerate(sides):
        side = sympy.expand(side.subs({s: sympy.Symbol(str(s)) for s in side.free_symbols}))
        try:
            poly = sympy.Poly(side, *symbols)
        except sympy.PolynomialError:
            return None
        for powers, value in poly.terms():
            if value != 0:
                found[(d, powers)] = float(value)
    return found


def structure(number: int, found: list[sympy.Expr], dimension: int) -> dict[str, Any]:
    """Exact support, F1 of terms, relative error of coefficients; of polynomial systems."""
    true, got = monomials(exact(number), dimension), monomials(found, dimension)
    if true is None or number not in POLYNOMIAL:
        return {}
    if got is None:
        return {"exact": False, "f1": 0.0, "coefficient_error": None}
    both = set(true) & set(got)
    union = set(true) | set(got)
    error = np.sqrt(sum((true.get(k, 0) - got.get(k, 0)) ** 2 for k in union) / sum(v**2 for v in true.values()))
    return {"exact": set(true) == set(got), "f1": 2 * len(both) / (len(true) + len(got)), "coefficient_error": float(error)}


def own(t: np.ndarray, x: np.ndarray):
    """Ours at its defaults: simulator, equations, number of terms."""
    model = Recovery().fit(t, x)
    return model.system_.simulated, model.equations(), model.system_.terms


METHODS: dict[str, Callable] = {"recovery": own, "pysindy": pysindy_default, "pysindy_tuned": pysindy_tuned}


def recording(number: int, sigma: float, rho: float, seed: int, backwards: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both true trajectories, that of the fit first; times and corrupted states of the fit."""
    both = truth(number)[:: -1 if backwards else 1]
    rng = generator("odebench", seed, number, round(1000 * sigma), round(100 * rho))
    return both, *thinned(TIMES, corrupted(both[0], sigma, rng), rho, rng)


def run(number: int, sigma: float, rho: float, seed: int, method: str, backwards: bool = False) -> dict[str, Any]:
    """One fit and its scores."""
    both, t, x = recording(number, sigma, rho, seed, backwards)
    began = time.process_time()
    row: dict[str, Any] = {"system": number, "sigma": sigma, "rho": rho, "seed": seed, "method": method}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            simulate, equations, terms = METHODS[method](t, x)
            row["seconds"] = time.process_time() - began
            row["reconstruction"], row["generalisation"] = (r2(one, simulate(one[0], TIMES)) for one in both)
        row |= {"terms": terms, "equations": [str(e) for e in equations], **structure(number, equations, both.shape[2])}
    except Exception as error:  # a peer may fail in any way; it counts as a miss and is named
        if method == "recovery":
            raise
        row |= {
            "seconds": time.process_time() - began,
            "reconstruction": None,
            "generalisation": None,
            "failure": repr(error)[:200],
        }
    return row


def drawn(rows: Rows, backwards: bool) -> Iterator[figures.Figure]:
    """Ours of each system, at the conditions that are stored, those of the lowest seed."""
    for number in range(1, 64):
        stored = [r for r in rows.rows.values() if r["system"] == number and r["method"] == "recovery"]
        panels, lines = [], []
        for sigma, rho in CONDITIONS:
            for row in sorted((r for r in stored if (r["sigma"], r["rho"]) == (sigma, rho)), key=lambda r: r["seed"])[:1]:
                both, t, x = recording(number, sigma, rho, row["seed"], backwards)
                system, said = figures.parsed(row["equations"]), f"noise {sigma:g}, {rho:.0%} left out, seed {row['seed']}"
                found = [system.simulated(one[0], TIMES) for one in both]
                r = [f"R² {row[key]:.4f}" if row[key] is not None else "failed" for key in ("reconstruction", "generalisation")]
                panels.append(figures.Panel(f"{said}: {r[0]}", TIMES, both[0], found[0], t, x))
                panels.append(figures.Panel(f"{said}, the other start: {r[1]}", TIMES, both[1], found[1]))
                lines += [said, *(f"x{d}' = {e}" for d, e in enumerate(row["equations"]))]
        if panels:
            name = f"{number:02d} {ROWS[number - 1][1]}"
            yield figures.Figure(name, [f"x{d}" for d in range(panels[0].truth.shape[1])], lines, panels)


def main() -> None:
    """Fit what is missing; store row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=listed("method", tuple(METHODS)), default="recovery,pysindy,pysindy_tuned")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--systems", default="1-63")
    parser.add_argument("--backwards", action="store_true", help="fit on the second trajectory")
    parser.add_argument("--figures", type=Path, help="folder for a page of each system")
    chosen = parser.parse_args()
    first, last = map(int, chosen.systems.split("-"))
    name = "recovery_odebench" + ("_backwards" if chosen.backwards else "")
    rows = Rows(name, {"points": len(TIMES), "threshold": THRESHOLD, "truth": "1e-12", "backwards": chosen.backwards})
    _fill(rows, chosen, range(first, last + 1))
    if chosen.figures is not None:
        figures.write(name.removeprefix("recovery_"), drawn(rows, chosen.backwards), chosen.figures)


def _fill(rows: Rows, chosen: argparse.Namespace, numbers: range) -> None:
    for seed in range(11, 11 + chosen.seeds):
        for sigma, rho in CONDITIONS:
            if not sigma and not rho and seed > 11:
                continue  # nothing random in it
            for method in chosen.methods:
                for number in numbers:
                    key = f"{method}/{sigma}/{rho}/{seed}/{number}"
                    if key not in rows:
                        row = rows.add(key, run(number, sigma, rho, seed, method, chosen.backwards))
                        print(key, row["reconstruction"], row["generalisation"], f"{row['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
