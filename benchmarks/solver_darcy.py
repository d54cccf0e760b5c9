"""Darcy solver: cycles per resolution and contrast, and time per sample beside SciPy's direct solver and PyAMG.

    python -m benchmarks.solver_darcy [--size 256] [--batch 32]

All solve the same systems, ours to a relative residual of 1e-10, PyAMG (ruge_stuben, CG) to the same, spsolve directly. Peers
get the assembled matrix for free, and the faster of one thread and as many as ours.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse.linalg
from rich.console import Console
from rich.table import Table

import pdes
from benchmarks.record import record
from solvers.elliptic import face_coefficients
from solvers.grid import Grid
from solvers.multigrid import Diffusion, assemble

SEED, TOLERANCE = 2027, 1e-10
PARTS = ("cycles", "multiscale", "peers")
CONTRASTS, SIZES = (4.0, 1000.0), (64, 128, 256, 512)
EXTREME, EXTREME_TOLERANCE = 1e4, 1e-8  # rounding alone leaves 1e-10 to 1e-9 at this contrast on 512 x 512


def coefficients(n: int, contrast: float, samples: int) -> np.ndarray:
    """Shapes of the "darcy" problem with another contrast, (sample, n, n)."""
    grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
    problem = pdes.get("darcy")
    law = problem.inputs["a"].on(problem.domain)
    latents = np.stack([law.sample(np.random.default_rng([SEED, i])) for i in range(samples)])
    return np.where(law.evaluate(latents, grid) > 7, contrast, 1.0)


def cycles(samples: int = 4) -> list[dict]:
    """Iterations to the tolerance and time per sample for every size and contrast (fast Poisson not at the largest)."""
    rows = []
    for n in SIZES:
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        for contrast in (*CONTRASTS, EXTREME):
            a = coefficients(n, contrast, samples)
            for method in ("mg-pcg", "dst-pcg") if contrast < EXTREME else ("mg-pcg",):
                solver = Diffusion(grid, tolerance=EXTREME_TOLERANCE if contrast == EXTREME else TOLERANCE, method=method)
                solver.solve(a[:1])
                seconds, result = clock(lambda solver=solver, a=a: solver.solve(a))
                rows.append(
                    {
                        "size": n,
                        "contrast": contrast,
                        "method": method,
                        "iterations": result.stats["iterations"].tolist(),
                        "residual": float(result.stats["residual"].max()),
                        "ms_per_sample": 1e3 * seconds / samples,
                    }
                )
    return rows


def multiscale(samples: int = 4) -> list[dict]:
    """Multigrid for the product of twelve waves on six scales ("darcy_multiscale"), to 1e-8."""
    problem, rows = pdes.get("darcy_multiscale"), []
    for n in SIZES[1:]:
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        a = problem.inputs["a"].evaluate(np.stack([problem.draw(SEED, i)[1]["inputs.a"] for i in range(samples)]), grid)
        solver = Diffusion(grid, tolerance=1e-8, method="mg-pcg")
        seconds, result = clock(lambda solver=solver, a=a: solver.solve(a))
        rows.append(
            {
                "size": n,
                "contrast": (a.max((1, 2)) / a.min((1, 2))).round().tolist(),
                "iterations": result.stats["iterations"].tolist(),
                "residual": float(result.stats["residual"].max()),
                "ms_per_sample": 1e3 * seconds / samples,
            }
        )
    return rows


def peers(n: int, batch: int) -> list[dict]:
    """Time per sample of one batch with every solver, for both contrasts."""
    import pyamg  # pyright: ignore[reportMissingImports]

    grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
    threads = os.cpu_count() or 1
    f = np.ones(n * n)

    def amg(matrix):
        return pyamg.ruge_stuben_solver(matrix).solve(f, tol=TOLERANCE, accel="cg")

    def direct(matrix):
        return scipy.sparse.linalg.spsolve(matrix, f)

    rows = []
    for contrast in CONTRASTS:
        a = coefficients(n, contrast, batch)
        matrices = [assemble([face[0] for face in face_coefficients(one[None], grid)], grid) for one in a]
        csr = [scipy.sparse.csr_matrix(m) for m in matrices]
        csc = [m.tocsc() for m in csr]
        Diffusion(grid).solve(a[:1])
        for name, solve in {
            "ours (auto)": lambda a=a: Diffusion(grid, tolerance=TOLERANCE).solve(a).values,
            "ours (mg-pcg)": lambda a=a: Diffusion(grid, tolerance=TOLERANCE, method="mg-pcg").solve(a).values,
            "pyamg ruge_stuben + cg": lambda csr=csr: [amg(m) for m in csr],
            f"pyamg ruge_stuben + cg, {threads} threads": lambda csr=csr: spread(amg, csr, threads),
            "scipy spsolve": lambda csc=csc: [direct(m) for m in csc],
            f"scipy spsolve, {threads} threads": lambda csc=csc: spread(direct, csc, threads),
        }.items():
            seconds, values = clock(solve)
            residuals = [np.linalg.norm(f - m @ np.ravel(u)) / np.linalg.norm(f) for m, u in zip(matrices, values, strict=True)]
            rows.append(
                {"contrast": contrast, "solver": name, "ms_per_sample": 1e3 * seconds / batch, "residual": max(residuals)}
            )
    return rows


def spread(solve: Callable, matrices: Sequence, threads: int) -> list:
    """One solve per matrix on a pool of threads."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(solve, matrices))


def clock(call: Callable) -> tuple[float, Any]:
    """Best of two runs, and the last answer."""
    times, answer = [], None
    for _ in range(2):
        start = time.perf_counter()
        answer = call()
        times.append(time.perf_counter() - start)
    return min(times), answer


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--name", default="solver_darcy", help="name of the results file")
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    options = parser.parse_args(arguments)
    measure = {"cycles": cycles, "multiscale": multiscale, "peers": lambda: peers(options.size, options.batch)}
    payload: dict = {"tolerance": TOLERANCE, "size": options.size, "batch": options.batch}
    for title in options.parts:
        rows = payload[title] = measure[title]()
        table = Table(*rows[0], title=title)
        for row in rows:
            table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
        Console().print(table)
    record(options.name, payload)
    return payload


if __name__ == "__main__":
    main()
