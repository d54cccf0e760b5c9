"""Learned multigrid as a preconditioner beside the classical V-cycle and PyAMG: iterations and seconds to a residual of 1e-8.

    python -m benchmarks.preconditioner [--sizes 128 256 512] [--samples 3] [--epochs 12]

Trained once on 1024 coefficients of 64 x 64 points, without solutions: half-and-half media and log-normal ones, contrasts from
3 to 10,000, features of 0.7 to 6 points. Then -div(a grad u) = 1 with zero at the walls is solved on grids and for laws that it
has not seen, one sample and one thread at a time; every solver is set up anew for each sample, seconds are the best of three
runs. "untrained" is the same cycle with the stencils it starts from, "random" with random weights: it must still arrive.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_matrix

import pdes
import sciml
from benchmarks.rows import Rows, finished
from pdes.job import sampled
from sciml.operators.multigrid import LearnedMultigrid
from sciml.preconditioning import System
from solvers.krylov import conjugate_gradients
from solvers.multigrid import assemble

TOLERANCE, LIMIT = 1e-8, 400
SEED = 2026


def smooth_noise(n: int, rng: np.random.Generator, points: float) -> np.ndarray:
    """(n, n) Gaussian noise of variance one, correlated over so many points."""
    noise = gaussian_filter(rng.standard_normal((n, n)), points, mode="wrap")
    return noise / noise.std()


def two_phases(n: int, rng: np.random.Generator, contrast: float, points: float) -> np.ndarray:
    """1 or `contrast`, half and half; `points` is the correlation length in grid points."""
    return np.where(smooth_noise(n, rng, points) > 0, contrast, 1.0)


def log_normal(n: int, rng: np.random.Generator, contrast: float, points: float) -> np.ndarray:
    """exp of smooth noise; two standard deviations up and down make the contrast."""
    return np.exp(smooth_noise(n, rng, points) * np.log(contrast) / 4)


def from_law(name: str) -> Callable[[int, np.random.Generator], np.ndarray]:
    """The coefficient of a problem of `pdes`."""

    def draw(n, rng):
        problem = pdes.get(name)
        latents = problem.draw(int(rng.integers(2**31)), 0)[1]
        return sampled(problem.inputs["a"], latents["inputs.a"][None], problem.domain.grid(n))[0]

    return draw


MEDIA: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "Darcy 12/3": from_law("darcy"),
    "Darcy multiscale": from_law("darcy_multiscale"),
    "two phases, contrast 1e3, features 1/20": lambda n, rng: two_phases(n, rng, 1e3, n / 20),
    "two phases, contrast 1e3, features 4 points": lambda n, rng: two_phases(n, rng, 1e3, 4),
    "two phases, contrast 1e4, features 1 point": lambda n, rng: two_phases(n, rng, 1e4, 1),
    "log-normal, contrast 1e4, features 3 points": lambda n, rng: log_normal(n, rng, 1e4, 3),
    "log-normal, every point by itself": lambda n, rng: np.exp(2 * rng.standard_normal((n, n))),
}


def training_media(count: int, n: int, seed: int) -> np.ndarray:
    """(count, n, n): a third log-normal, the rest of two phases."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(count):
        kind, points = rng.integers(3), np.exp(rng.uniform(np.log(0.7), np.log(6)))
        contrast = 10 ** rng.uniform(0.5, 4)
        out.append((log_normal if kind == 0 else two_phases)(n, rng, contrast, points))
    return np.stack(out)


def trained(count: int, epochs: int, seed: int = 1) -> tuple[LearnedMultigrid, float]:
    """The operator, and the seconds of its training."""
    a = training_media(count, 64, SEED)
    fields = {"u": np.zeros(a.shape, np.float32)}  # no solutions
    data = pdes.Dataset(fields=fields, inputs={"a": a}, grid=pdes.get("darcy").domain.grid(64), provenance={"family": "darcy"})
    operator = LearnedMultigrid()
    result = sciml.fit(operator, data, epochs=epochs, seed=seed, progress=False)
    return operator, finished(result).seconds


def variants(operator: LearnedMultigrid) -> dict[str, LearnedMultigrid]:
    """The trained operator, the one before training, and one with random weights."""
    out = {"learned": operator}
    for name, scale in (("untrained", 0.0), ("random", 1.0)):
        other = LearnedMultigrid(problem="darcy")
        other.rebuild(operator.bound_signature)
        with torch.no_grad():
            torch.manual_seed(SEED)
            other.module.get_parameter("head.weight").normal_().mul_(scale)
        out[name] = other
    return out


def krylov(build: Callable[[System], tuple]) -> Callable[[System], tuple[int, float]]:
    """Conjugate gradients with what `build` makes; the classical cycle is the rescue of the others."""

    def solve(system: System):
        precondition, operator = build(system)
        rescue = (lambda r: system.cycle(r)) if build is not classical else None
        solved = conjugate_gradients(operator, precondition, system.f, tolerance=TOLERANCE, limit=LIMIT, rescue=rescue)
        return solved.iterations, solved.residual

    return solve


def classical(system: System) -> tuple:
    """The V-cycle of `solvers.multigrid`."""
    return system.cycle, system.cycle.operator


def pyamg_solver(kind: str) -> Callable[[System], tuple[int, float]]:
    """Conjugate gradients with PyAMG's cycle, at its defaults."""

    def solve(system: System):
        import pyamg  # pyright: ignore[reportMissingImports]

        matrix = csr_matrix(assemble(system.faces, system.grid))
        setup = pyamg.ruge_stuben_solver if kind == "Ruge-Stueben" else pyamg.smoothed_aggregation_solver
        history: list[float] = []
        u = setup(matrix).solve(system.f.ravel(), tol=TOLERANCE, maxiter=LIMIT, accel="cg", residuals=history)
        residual = np.linalg.norm(system.f.ravel() - matrix @ u) / np.linalg.norm(system.f)
        return len(history) - 1, float(residual)

    return solve


def main(arguments: Sequence[str] | None = None) -> dict:
    """Train, measure what is missing, print; returns what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[128, 256, 512])
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--states", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--operator", type=Path, help="file of the trained operator, written where it is missing")
    parser.add_argument("--name", default="preconditioner", help="name of the results file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = Rows(options.name, {"tolerance": TOLERANCE, "seed": SEED, "states": options.states, "epochs": options.epochs})
    if options.operator is not None and options.operator.exists():
        operator = LearnedMultigrid.load(options.operator)
    else:
        operator, seconds = trained(options.states, options.epochs)
        rows.add("training", {"seconds": seconds, "parameters": operator.parameter_count})
        if options.operator is not None:
            operator.save(options.operator)
    assert isinstance(operator, LearnedMultigrid)
    solvers = {"classical V-cycle": krylov(classical)}
    solvers |= {f"{name} V-cycle": krylov(o._build) for name, o in variants(operator).items()}
    solvers |= {f"PyAMG {kind}": pyamg_solver(kind) for kind in ("Ruge-Stueben", "smoothed aggregation")}
    for n in options.sizes:
        for medium, draw in MEDIA.items():
            key = f"{medium} {n}"
            if key in rows:
                continue
            samples = [draw(n, np.random.default_rng([SEED, n, i])) for i in range(options.samples)]
            row: dict = {"medium": medium, "size": n}
            for name, solve in solvers.items():
                found = [_timed(solve, a) for a in samples]
                row[name] = {k: [f[k] for f in found] for k in ("iterations", "residual", "ms")}
            rows.add(key, row)
    show(rows)
    return rows.rows


def _timed(solve: Callable, a: np.ndarray, repeats: int = 3) -> dict[str, float]:
    grid, times, iterations, residual = pdes.get("darcy").domain.grid(a.shape), [], 0, 0.0
    for _ in range(repeats):
        system = System(grid, {"a": a}, a, np.ones_like(a))
        began = time.perf_counter()
        iterations, residual = solve(system)
        times.append(time.perf_counter() - began)
        if times[-1] > 3:
            break
    return {"iterations": iterations, "residual": residual, "ms": 1e3 * min(times)}


def show(rows: Rows) -> None:
    """Means over the samples; a star where the residual was not reached."""
    some = [row for row in rows.rows.values() if "medium" in row]
    names = [name for name in some[0] if isinstance(some[0][name], dict)]
    table = Table("medium", "size", *names)
    for row in some:
        cells = []
        for name in names:
            star = "" if max(row[name]["residual"]) < 2 * TOLERANCE else "*"
            cells.append(f"{np.mean(row[name]['iterations']):.1f}{star}, {np.mean(row[name]['ms']):.0f} ms")
        table.add_row(row["medium"], str(row["size"]), *cells)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
