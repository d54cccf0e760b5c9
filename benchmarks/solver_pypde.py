"""Equations from their text, here and in py-pde: seconds and errors side by side, on several grids of each.

    python -m benchmarks.solver_pypde

py-pde takes second-order differences in space and an adaptive explicit Runge-Kutta method, compiled by numba;
compilation is outside the clock, as ours is. We take Fourier modes and ETDRK4. Errors are against the exact solution
(Burgers) or a fine run of ours (the others), in float64, one trajectory at a time. What counts is the time to an error.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import pdes
from benchmarks.record import record
from pdes.semilinear import Semilinear
from solvers.grid import Grid
from solvers.spectral import resample


@dataclass(frozen=True)
class Case:
    """One equation in both spellings.

    start : coordinates -> fields, the same function on any grid.   exact : the same at the end, or None.
    ours, theirs : points per axis to try; steps : of ours, per grid.   fine : grid and step of the reference.
    """

    name: str
    problem: str
    parameters: dict
    rates: dict
    domain: tuple
    end: float
    start: Callable
    exact: Callable | None
    ours: tuple[tuple[int, float], ...]
    theirs: tuple[int, ...]
    fine: tuple[int, float] = (0, 0.0)
    dimension: int = 1


def closed_burgers(x, t: float, nu: float):
    """-2 nu phi_x / phi, phi = 2 + exp(-4 pi^2 nu t) cos 2 pi x."""
    decay = np.exp(-4 * np.pi**2 * nu * t)
    return 4 * np.pi * nu * decay * np.sin(2 * np.pi * x) / (2 + decay * np.cos(2 * np.pi * x))


def humps(x, y):
    """A smooth state of Gray-Scott."""
    wave = np.cos(2 * np.pi * x) * np.cos(3 * np.pi * y) + np.sin(4 * np.pi * x + np.pi * y) * np.cos(np.pi * y)
    return {"a": 0.6 - 0.15 * wave, "b": 0.25 + 0.1 * wave}


CASES = (
    Case(
        "Burgers, t = 1",
        "burgers",
        {"nu": 0.02},
        {"u": "nu * laplace(u) - u * d_dx(u)"},
        (0.0, 1.0),
        1.0,
        lambda x: {"u": closed_burgers(x, 0.0, 0.02)},
        lambda x: {"u": closed_burgers(x, 1.0, 0.02)},
        ((32, 0.05), (64, 0.02)),
        (64, 128, 256, 512),
    ),
    Case(
        "Kuramoto–Sivashinsky, L = 64, t = 10",
        "kuramoto_sivashinsky",
        {"nu": 1.0},
        {"u": "-u * d_dx(u) - laplace(u) - nu * laplace(laplace(u))"},
        (0.0, 64.0),
        10.0,
        lambda x: {"u": np.cos(2 * np.pi * x / 16) + 0.5 * np.sin(2 * np.pi * x * 3 / 64)},
        None,
        ((96, 0.2), (128, 0.1)),
        (96, 192, 384),
        (384, 0.01),
    ),
    Case(
        "Gray–Scott in two dimensions, t = 200",
        "gray_scott",
        {"f": 0.03, "k": 0.06},
        {"a": "2e-5 * laplace(a) - a * b**2 + f * (1 - a)", "b": "1e-5 * laplace(b) + a * b**2 - f * b - k * b"},
        (-1.0, 1.0),
        200.0,
        humps,
        None,
        ((64, 2.0), (128, 2.0)),
        (64, 128),
        (256, 0.5),
        2,
    ),
)


def solve_ours(case: Case, n: int, dt: float) -> tuple[dict, Grid, float]:
    """Fields at the end on their grid, and the best time of three."""
    ends = dict.fromkeys("xyz"[: case.dimension], case.domain)
    problem = pdes.get(case.problem).replace(domain=pdes.Periodic(**ends), time=(0, case.end), frames=2, compute_at_least=0)
    grid = problem.stored_grid(n)
    solver, times = Semilinear(dt=dt).prepare(problem, grid, 0), np.array([0.0, case.end])
    start = {k: v[None] for k, v in case.start(*grid.mesh()).items()}
    values = {k: np.array([v]) for k, v in case.parameters.items()}
    best, found = np.inf, {}
    for _ in range(4):  # the first compiles
        before = time.perf_counter()
        found = solver(problem, grid, start, values, times).fields
        best = min(best, time.perf_counter() - before)
    return {k: v[0, -1] for k, v in found.items()}, grid, best


def solve_theirs(case: Case, n: int) -> tuple[dict, tuple, float]:
    """The same by py-pde, on its cell centres: its compiled stepper, best of four; compilation is outside the clock."""
    from pde import PDE, CartesianGrid, FieldCollection, ScalarField  # pyright: ignore[reportMissingImports]
    from pde.solvers import RungeKuttaSolver  # pyright: ignore[reportMissingImports]

    grid = CartesianGrid([case.domain] * case.dimension, n, periodic=True)
    points = np.moveaxis(grid.cell_coords, -1, 0)
    fields = FieldCollection([ScalarField(grid, data) for data in case.start(*points).values()])
    state: Any = fields if len(fields) > 1 else fields[0]
    solver = RungeKuttaSolver(PDE(case.rates, consts=case.parameters), backend="numba", adaptive=True, tolerance=1e-6)
    advance = solver.make_stepper(state, dt=1e-6)
    best, first = np.inf, None
    for _ in range(4):
        found = state.copy()
        before = time.perf_counter()
        advance(found, 0.0, case.end)
        best = min(best, time.perf_counter() - before)
        first = found if first is None else first  # later runs begin with the step that an earlier one ended with
    parts: Any = list(first) if len(fields) > 1 else [first]  # pyright: ignore[reportArgumentType]
    return {name: part.data for name, part in zip(case.rates, parts, strict=True)}, tuple(points), best


def at_points(fields: dict, grid: Grid, points: Sequence[np.ndarray]) -> dict:
    """A periodic solution of many modes, by its Fourier series at the points of another grid of the same box."""
    shifts = [p.flat[0] - axis.start for p, axis in zip(points, grid.axes, strict=True)]
    sizes = points[0].shape
    many = tuple(b * -(-a // b) for a, b in zip(grid.shape, sizes, strict=True))  # a multiple of their points
    out = {}
    for name, values in fields.items():
        spectrum = np.fft.fftn(resample(values, grid, many))
        for axis, shift in zip(range(grid.dimension), shifts, strict=True):
            n = many[axis]
            k = 2j * np.pi * np.fft.fftfreq(n, 1 / n) / grid.lengths[axis]
            spectrum = spectrum * np.exp(k * shift).reshape([-1 if i == axis else 1 for i in range(grid.dimension)])
        fine = np.fft.ifftn(spectrum).real
        out[name] = fine[tuple(slice(None, None, a // b) for a, b in zip(many, sizes, strict=True))]
    return out


def error(found: dict, exact: dict) -> float:
    """Relative L2 over all fields."""
    top = sum(np.sum((found[k] - exact[k]) ** 2) for k in exact)
    return float(np.sqrt(top / sum(np.sum(v**2) for v in exact.values())))


def measure(case: Case) -> list[dict]:
    """Rows of both programs."""
    reference, fine = None, None
    if case.exact is None:
        reference, fine, _ = solve_ours(case, *case.fine)

    def row(by: str, n: int, step: float | None, found: dict, points: Sequence[np.ndarray], seconds: float) -> dict:
        if case.exact is not None:
            exact = case.exact(*points)
        else:
            assert reference is not None
            assert fine is not None
            exact = at_points(reference, fine, points)
        return {"case": case.name, "by": by, "points": n, "step": step, "seconds": seconds, "error": error(found, exact)}

    rows = []
    for n, dt in case.ours:
        found, grid, seconds = solve_ours(case, n, dt)
        rows.append(row("ours", n, dt, found, grid.mesh(), seconds))
    for n in case.theirs:
        found, points, seconds = solve_theirs(case, n)
        rows.append(row("py-pde", n, None, found, points, seconds))
    return rows


def main(arguments: Sequence[str] | None = None) -> list[dict]:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--name", default="solver_pypde", help="name of the results file")
    options = parser.parse_args(arguments)
    table = Table("case", "by", "points", "step", "seconds", "relative error")
    rows = [row for case in CASES for row in measure(case)]
    for row in rows:
        step = "adaptive" if row["step"] is None else f"{row['step']:g}"
        table.add_row(row["case"], row["by"], str(row["points"]), step, f"{row['seconds']:.4g}", f"{row['error']:.1e}")
    Console().print(table)
    record(options.name, {"rows": rows})
    return rows


if __name__ == "__main__":
    main()
