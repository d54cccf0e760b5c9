"""Lorenz 1963: support at 20 % noise over seeds, and coverage of the bootstrap's 90 % intervals at 2 % noise.

    python -m benchmarks.recovery.lorenz [--seeds 10] [--coverage 30] [--figures FOLDER]

Support: 5001 points on [0, 10], polynomials of degree three, additive noise of 20 % of each component's standard deviation.
Coverage: 401 points on [0, 5], seven constants in each recording.
"""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sympy

from benchmarks.recovery import figures
from benchmarks.rows import Rows
from pdes.randomness import generator
from sciml.recovery import Recovery
from solvers.ode import Ode

TRUE = {
    (0, "x0"): -10.0,
    (0, "x1"): 10.0,
    (1, "x0"): 28.0,
    (1, "x1"): -1.0,
    (1, "x0*x2"): -1.0,
    (2, "x2"): -8 / 3,
    (2, "x0*x1"): 1.0,
}

START, OTHER = (2.3, 8.1, 12.4), (10.0, 20.0, 30.0)


def rates(t, u, p):
    """Lorenz' equations at 10, 28, 8/3."""

    import jax.numpy as jnp

    return jnp.stack([10 * (u[1] - u[0]), 28 * u[0] - u[1] - u[0] * u[2], u[0] * u[1] - 8 / 3 * u[2]])


def solved(start: tuple[float, ...], t: np.ndarray) -> np.ndarray:
    """True states (time, component)."""
    return Ode(rates, rtol=1e-12, atol=1e-12).solve(np.array([start]), t).values_or_raise()[0]


def recording(points: int, span: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and noisy states of one trajectory; noise in units of each state's spread."""
    t = np.linspace(0, span, points)
    x = solved(START, t)
    return t, x + noise * x.std(axis=0) * generator("recovery lorenz", seed).standard_normal(x.shape)


def support(model: Recovery) -> set[tuple[int, str]]:
    """(component, term) of the recovered equations."""
    terms = [sympy.Add.make_args(sympy.expand(e)) for e in model.equations()]
    return {(d, str(term.as_coeff_Mul()[1])) for d, side in enumerate(terms) for term in side}


def drawn(rows: Rows) -> Iterator[figures.Figure]:
    """Support: each seed."""
    for key, row in rows.rows.items():
        if key.startswith("support"):
            seed, system = int(key.split("/")[1]), figures.parsed(row["equations"])
            t, x = recording(5001, 10.0, 0.2, seed)
            found = [system.simulated(start, t) for start in (START, OTHER)]
            panels = [figures.Panel("20 % noise", t, solved(START, t), found[0], t, x)]
            panels.append(figures.Panel("another start", t, solved(OTHER, t), found[1]))
            lines = [f"x{d}' = {e}" for d, e in enumerate(row["equations"])]
            yield figures.Figure(f"seed {seed}", ["x0", "x1", "x2"], lines, panels)


def main() -> None:
    """Recover what is missing; store and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--coverage", type=int, default=30)
    parser.add_argument("--figures", type=Path, help="folder for a page of each system")
    chosen = parser.parse_args()
    rows = Rows("recovery_lorenz", {"noise": [0.2, 0.02]})
    warnings.simplefilter("ignore")
    for seed in range(chosen.seeds):
        if f"support/{seed}" not in rows:
            model = Recovery("poly:3").fit(*recording(5001, 10.0, 0.2, seed))
            row = {"exact": support(model) == set(TRUE), "equations": [str(e) for e in model.equations(5)]}
            print(seed, rows.add(f"support/{seed}", row)["exact"], flush=True)
    for seed in range(100, 100 + chosen.coverage):
        if f"coverage/{seed}" not in rows:
            model = Recovery("poly:2", n_boot=60, seed=seed).fit(*recording(401, 5.0, 0.02, seed))
            inside = []
            for c in model.posterior_:
                key = (-1 if c.component is None else c.component, model.term_name(c.term))
                if key in TRUE:
                    inside.append(bool(c.low <= TRUE[key] <= c.high))
            rows.add(f"coverage/{seed}", {"inside": inside})
    if chosen.figures is not None:
        figures.write("lorenz", drawn(rows), chosen.figures)
    counted = [value for key, row in rows.rows.items() if key.startswith("coverage") for value in row["inside"]]
    print(f"support {np.mean([row['exact'] for key, row in rows.rows.items() if key.startswith('support')]):.2f}", end=", ")
    print(f"coverage {np.mean(counted):.3f} of {len(counted)}")


if __name__ == "__main__":
    main()
