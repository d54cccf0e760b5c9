"""What a set of each kind costs on this machine: seconds for whole sets, with the error of their labels and the peak of memory.

    python -m benchmarks.throughput [--only NAME ...] [--workers 2]

Each case runs in a process of its own, so that the peak is its own; times include drawing, solving, measuring label errors
and (where the case writes a file) storing. Large sets are timed on a part, and the part is stated.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

import pdes
from benchmarks.record import record
from pdes.job import Job

CASES: dict[str, tuple[str, float, Callable[[int], dict]]] = {}


def case(name: str, target: float):
    """Register a case by the first line of its docstring: seconds of the whole set, whatever part was run."""

    def keep(function):
        CASES[name] = ((function.__doc__ or "").split("\n")[0].rstrip("."), target, function)
        return function

    return keep


def timed(problem, n: int, resolution, workers: int, share: float = 1.0) -> dict:
    """Generate n samples after a first one that compiles; `share` of the whole set that n is."""
    pdes.generate(problem, 1, resolution, seed=1, progress=False)
    start = time.perf_counter()
    data = pdes.generate(problem, n, resolution, seed=0, workers=workers, progress=False)
    seconds = time.perf_counter() - start
    errors = data.quality["label_error"]
    measured = errors[np.isfinite(errors)]
    return {
        "samples": n,
        "seconds": seconds / share,
        "share": share,
        "label_error": float(measured.mean()) if measured.size else None,
    }


@case("burgers_map", 1.0)
def burgers_map(workers: int) -> dict:
    """Burgers, 1,000 maps at 8192 points, ν = 0.1, exact by Cole–Hopf."""
    from solvers.cole_hopf import ColeHopf

    problem = pdes.get("burgers", nu=0.1)
    grid = problem.stored_grid(8192)
    latents = np.stack([problem.draw(0, i)[1]["initial.u"] for i in range(1000)])
    start = problem.initial["u"].evaluate(latents, grid)
    solver, times = ColeHopf(grid), np.array([0.0, 1.0])
    solver.solve(start[:16], times, {"nu": 0.1})
    before = time.perf_counter()
    values = np.concatenate([solver.solve(start[i : i + 50], times, {"nu": 0.1}).values_or_raise() for i in range(0, 1000, 50)])
    seconds = time.perf_counter() - before
    finer = problem.stored_grid(16384)
    twin = ColeHopf(finer).solve(problem.initial["u"].evaluate(latents[:4], finer), times, {"nu": 0.1}).values[:, 1, ::2]
    error = np.linalg.norm(twin - values[:4, 1]) / np.linalg.norm(twin)
    return {"samples": 1000, "seconds": seconds, "share": 1.0, "label_error": float(error)}


@case("ks", 30.0)
def kuramoto_sivashinsky(workers: int) -> dict:
    """Kuramoto–Sivashinsky, 100 trajectories, L = 64, 192 points, 1,000 frames."""
    problem = pdes.get("kuramoto_sivashinsky").replace(
        domain=pdes.Periodic(x=(0, 64)), time=(0, 500), frames=1000, measure_every=10**6, compute_at_least=0
    )
    return timed(problem, 100, 192, workers)


@case("darcy_fine", 180.0)
def darcy_fine(workers: int) -> dict:
    """Darcy 12/3, 1,000 at 128², computed at 512²."""
    return timed(pdes.get("darcy", refine=4), 96, 128, workers, share=0.096)


@case("darcy_direct", 10.0)
def darcy_direct(workers: int) -> dict:
    """Darcy 12/3, 1,000 at 128² directly."""
    return timed(pdes.get("darcy", refine=1, measure_every=64), 512, 128, workers, share=0.512)


@case("navier_stokes", 300.0)
def navier_stokes(workers: int) -> dict:
    """Navier–Stokes, ν = 1e-3, 64² from 128², t = 50, 100 trajectories."""
    problem = pdes.get("navier_stokes").replace(time=(0, 50), frames=51, measure_every=10**6)
    return timed(problem, 16, 64, workers, share=0.16)


@case("gray_scott", 60.0)
def gray_scott(workers: int) -> dict:
    """Gray–Scott, stored at 128², solved at 256², t = 10⁴, one trajectory.

    Chunks without a refined twin, which at 512 x 512 would cost more than all else; two samples a chunk, to t = 2,000.
    """
    problem = pdes.get("gray_scott").replace(time=(0, 2000), frames=21, measure_every=10**6, chunk=2)
    job = Job.of(problem, 128, 0)
    job.compute(1)  # compiles
    start = time.perf_counter()
    for chunk in (2, 3):
        job.compute(chunk)
    share = 4 * 2000 / 10_000
    return {"samples": 4, "seconds": (time.perf_counter() - start) / share, "share": share, "label_error": None}


@case("sod", 300.0)
def sod(workers: int) -> dict:
    """Shock tubes near Sod's, WENO5 and HLLC, 1,000 at 1,024 cells, t = 0.2."""
    from pdes.random_states import gas_pieces

    near = [((0.9, 1.1), (-0.05, 0.05), (0.9, 1.1)), ((0.11, 0.14), (-0.05, 0.05), (0.09, 0.11))]  # Sod's states within 10 %
    problem = pdes.get("euler_riemann").replace(initial=gas_pieces("tube", *near), frames=2, refine=1, measure_every=10**6)
    return timed(problem, 200, 1024, workers, share=0.2)


def run_alone(name: str, workers: int) -> dict:
    """One case in a fresh process, with its peak of resident memory."""
    words = [sys.executable, "-m", "benchmarks.throughput", "--child", name, "--workers", str(workers)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="throughput", help="name of the results file")
    options = parser.parse_args(arguments)
    if options.child:
        found = CASES[options.child][2](options.workers)
        usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps(found | {"peak_mb": max(usage) / 1e3}))
        return found
    table = Table("set", "target, s", "seconds", "label error", "peak, MB per process")
    rows = {}
    for name in options.only:
        what, target, _ = CASES[name]
        found = run_alone(name, options.workers)
        rows[name] = {"set": what, "target_seconds": target, **found}
        error = found["label_error"]
        part = "" if found["share"] == 1 else f" (from {found['samples']} samples)"
        shown = f"{found['seconds']:.3g}{part}"
        table.add_row(what, f"{target:g}", shown, "–" if error is None else f"{error:.1e}", f"{found['peak_mb']:.0f}")
    Console().print(table)
    record(options.name, {"workers": options.workers, "rows": rows})
    return rows


if __name__ == "__main__":
    main()
