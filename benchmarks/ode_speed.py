"""Trajectories per second and their errors: Lorenz 1963 and PROSE's fifteen systems, beside SciPy's solve_ivp and diffrax.

    python -m benchmarks.ode_speed [--batch 256]

Everyone solves the same draws to the same stored times. SciPy gets right-hand sides as plain Python functions (sympy's
lambdify), one trajectory after the other; diffrax the same compiled right-hand side as we, mapped over the batch. Errors are
medians of the relative L2 distance to our own solve at 1e-13, on the first half of the time (chaos spoils comparisons later).
Compiling is reported apart.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import sympy
from rich.console import Console
from rich.table import Table
from scipy.integrate import solve_ivp

import pdes
from benchmarks.record import record
from pdes.ordinary import Rates, rates
from pdes.problem import Problem
from solvers.ode import Ode

import diffrax  # isort: skip - after the solvers, which settle JAX's memory first
import jax  # isort: skip

SEED, TOLERANCE, REFERENCE = 2029, 1e-8, 1e-13
Draws = tuple[np.ndarray, dict[str, np.ndarray]]


def draws(problem: Problem, batch: int) -> Draws:
    """Initial states (sample, component) and parameters name -> (sample,)."""
    drawn, grid = [problem.draw(SEED, i) for i in range(batch)], problem.stored_grid(())
    states = [
        law.evaluate(np.stack([latents[f"initial.{name}"] for _, latents in drawn]), grid)
        for name, law in ((name, problem.initial[name]) for name in problem.equation.unknowns)
    ]
    parameters = {name: np.array([values[name] for values, _ in drawn]) for name in problem.parameters}
    return np.stack(states, axis=-1), parameters


def times_of(problem: Problem) -> np.ndarray:
    """Stored times."""
    return np.asarray(problem.times)


def escaping(problem: Problem, start: Draws) -> np.ndarray:
    """Samples to leave out: those that our data would not hold either."""
    limit = problem.solver.limit
    return Ode(Rates(problem.equation), limit=limit).solve(start[0], times_of(problem), start[1]).outcome != 0


def ours(problem: Problem, start: Draws, tolerance: float, method: str = "dopri8") -> Callable[[], np.ndarray]:
    """(sample, time, component), each time it is called."""
    solver = Ode(Rates(problem.equation), method, rtol=tolerance, atol=tolerance / 100)
    return lambda: solver.solve(start[0], times_of(problem), start[1]).values


def by_diffrax(problem: Problem, start: Draws, tolerance: float) -> Callable[[], np.ndarray]:
    """diffrax's Dopri8, mapped over the batch and compiled."""
    right = Rates(problem.equation)

    def one(u, p, times):
        control = diffrax.PIDController(rtol=tolerance, atol=tolerance / 100)
        options = {"stepsize_controller": control, "max_steps": 100_000, "throw": False, "adjoint": diffrax.ForwardMode()}
        term, saved = diffrax.ODETerm(right), diffrax.SaveAt(ts=times)
        return diffrax.diffeqsolve(term, diffrax.Dopri8(), times[0], times[-1], None, u, p, saveat=saved, **options).ys

    run = jax.jit(jax.vmap(one, in_axes=(0, 0, None)))

    def call():
        with jax.enable_x64(True):
            return np.asarray(run(*start, times_of(problem)))

    return call


def by_scipy(problem: Problem, start: Draws, tolerance: float, method: str, count: int) -> Callable[[], np.ndarray]:
    """solve_ivp, the first `count` trajectories."""
    equation, times = problem.equation, times_of(problem)
    plain = {equation.names.field(name): sympy.Symbol(f"{name}_") for name in equation.unknowns}
    sides = [side.xreplace(plain) for side in rates(equation)]
    function = sympy.lambdify([sympy.Symbol("t"), list(plain.values()), *map(sympy.Symbol, start[1])], sides, "math")

    def call():
        found = []
        for i in range(count):
            values = tuple(float(v[i]) for v in start[1].values())
            ends = (times[0], times[-1])
            options = {"t_eval": times, "rtol": tolerance, "atol": tolerance / 100, "args": values}
            found.append(solve_ivp(lambda t, u, *p: function(t, u, *p), ends, start[0][i], method, **options).y.T)
        return np.stack(found)

    return call


def measure(call: Callable[[], np.ndarray], reference: np.ndarray, repeats: int) -> dict:
    """Seconds of the first call, trajectories per second of the best later one, median error."""
    begun = time.perf_counter()
    values = call()
    first = best = time.perf_counter() - begun
    for _ in range(repeats):
        begun = time.perf_counter()
        values = call()
        best = min(best, time.perf_counter() - begun)
    half = reference.shape[1] // 2
    a, b = values[:, :half], reference[: len(values), :half]
    errors = np.linalg.norm(a - b, axis=(1, 2)) / np.linalg.norm(b, axis=(1, 2))
    return {"per_second": len(values) / best, "first_call_seconds": first, "median_error": float(np.median(errors))}


def compare(name: str, batch: int, count: int, peers: bool) -> dict:
    """One system."""
    problem = pdes.get(name)
    start = draws(problem, batch)
    keep = np.flatnonzero(~escaping(problem, start))
    start = start[0][keep], {key: values[keep] for key, values in start[1].items()}
    reference = ours(problem, start, REFERENCE)()
    jax.clear_caches()  # the first call shall compile
    from solvers.ode import _compiled

    _compiled.cache_clear()
    row = {"name": name, "trajectories": len(keep), "ours": measure(ours(problem, start, TOLERANCE), reference, 3)}
    few = min(count, len(keep))
    row["scipy_dop853"] = measure(by_scipy(problem, start, TOLERANCE, "DOP853", few), reference, 0)
    if peers:
        row["ours_tsit5"] = measure(ours(problem, start, TOLERANCE, "tsit5"), reference, 3)
        row["scipy_lsoda"] = measure(by_scipy(problem, start, TOLERANCE, "LSODA", few), reference, 0)
        row["diffrax_dopri8"] = measure(by_diffrax(problem, start, TOLERANCE), reference, 3)
    return row


def generation(name: str, samples: int) -> dict:
    """Whole generation, draws and label errors included, after one chunk that compiles."""
    pdes.generate(name, 1, seed=SEED, progress=False)
    begun = time.perf_counter()
    pdes.generate(name, samples, seed=SEED + 1, progress=False)
    return {"name": name, "samples": samples, "per_second": samples / (time.perf_counter() - begun)}


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--scipy", type=int, default=8, help="trajectories that SciPy solves")
    parser.add_argument("--systems", nargs="*", default=[n for n in pdes.names("ode") if n.startswith("prose_")])
    parser.add_argument("--name", default="ode_speed", help="name of the results file")
    options = parser.parse_args(arguments)
    rows = [compare(name, options.batch, options.scipy, name == "prose_lorenz_3d") for name in options.systems]
    table = Table("system", "ours, 1/s", "DOP853, 1/s", "ratio", "error, ours", "error, DOP853", "first call, s")
    for row in rows:
        a, b = row["ours"], row["scipy_dop853"]
        numbers = (f"{a['per_second']:.0f}", f"{b['per_second']:.0f}", f"{a['per_second'] / b['per_second']:.0f}")
        errors = (f"{a['median_error']:.1e}", f"{b['median_error']:.1e}", f"{a['first_call_seconds']:.2f}")
        table.add_row(row["name"], *numbers, *errors)
    Console().print(table)
    peers = {key: value for row in rows for key, value in row.items() if key not in ("name", "trajectories") and len(row) > 4}
    Console().print(peers)
    whole = generation("prose_lorenz_3d", 4 * options.batch) if "prose_lorenz_3d" in options.systems else None
    payload = {"rtol": TOLERANCE, "atol": TOLERANCE / 100, "batch": options.batch, "rows": rows, "generation": whole}
    record(options.name, payload)
    Console().print(whole)
    return payload


if __name__ == "__main__":
    main()
