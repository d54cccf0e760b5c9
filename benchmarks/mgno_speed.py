"""Speed and memory of MgNO beside the published layer, written down literally, and beside neuraloperator's FNO, in one run.

    python -m benchmarks.mgno_speed [--sizes 64 128 256] [--batches 1 16] [--threads 1 2]

"published" is the five-layer network of the Darcy scripts with 24 channels and six grids (572,661 parameters) as in
`benchmarks.mgno_literal`; "same function" is ours with the very same weights (outputs equal to 1e-6), "separable" ours with its
own transfers at the same width and depth, "small" the preset. neuraloperator's FNO has about the parameters of the published
network. Times are medians of alternating runs; memory is what a training step adds to the process at its peak, each network in
a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import mgno_literal
from benchmarks.rows import Rows
from sciml.operators.mgno import PRESETS, MgNO
from sciml.tasks import Signature
from solvers.grid import Grid

NETWORKS = ("published", "same function", "separable", "small", "neuraloperator FNO")


def network(name: str, size: int) -> torch.nn.Module:
    """One of `NETWORKS` for a square of `size` points per side."""
    torch.manual_seed(2030)
    if name == "published":
        return mgno_literal.network("darcy-rough")
    if name == "neuraloperator FNO":
        from neuralop.models import FNO  # pyright: ignore[reportMissingImports]

        return FNO(n_modes=(12, 12), in_channels=1, out_channels=1, hidden_channels=29, n_layers=4)
    config = {
        "same function": {"width": 24, "depth": 4, "levels": 6, "transfer": "released"},
        "separable": {"width": 24, "depth": 4, "levels": 6 if size >= 128 else 5},
        "small": PRESETS["small"],
    }[name]
    grid = Grid.box("cell", size, dimension=2, boundary="dirichlet")
    module = MgNO(**config).build(Signature("steady", ("a",), ("u",), grid))
    if name == "same function":
        module.load_state_dict(mgno_literal.converted(mgno_literal.network("darcy-rough")), strict=False)
    return module


def trainer(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A training step as a call."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=not any(p.is_complex() for p in module.parameters()))

    def step() -> None:
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()

    return step


def predictor(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A forward pass as a call."""

    @torch.inference_mode()
    def predict() -> None:
        module(x)

    return predict


def medians(calls: dict[str, Callable[[], None]], seconds: float = 1.5) -> dict[str, float]:
    """Milliseconds of each, in turns, for so many seconds each (three turns at least)."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    began = time.perf_counter()
    while len(times[next(iter(times))]) < 3 or time.perf_counter() - began < seconds * len(calls):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
        if len(times[next(iter(times))]) >= 15:
            break
    return {name: float(np.median(values)) for name, values in times.items()}


def memory(name: str, size: int, batch: int) -> float:
    """MiB that a training step adds at its peak, measured in a new process."""
    code = "import sys; from benchmarks.mgno_speed import peak; peak(*sys.argv[1:])"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, name, str(size), str(batch)], capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout.strip().splitlines()[-1])


def peak(name: str, size: str, batch: str) -> None:
    """Print the MiB that a training step adds to this process (Linux)."""
    torch.set_num_threads(1)
    module = network(name, int(size))
    trainer(module, torch.randn(1, 1, int(size), int(size)))()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is held now
    before = _resident("VmRSS")
    trainer(module, torch.randn(int(batch), 1, int(size), int(size)))()
    print(_resident("VmHWM") - before)


def _resident(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure what is missing, print; returns what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--name", default="mgno_speed", help="name of the results file")
    options = parser.parse_args(arguments)
    rows = Rows(options.name, {"networks": NETWORKS})
    for size in options.sizes:
        modules = {name: network(name, size) for name in NETWORKS}
        counts = {name: sum(p.numel() * (2 if p.is_complex() else 1) for p in m.parameters()) for name, m in modules.items()}
        for batch in options.batches:
            x = torch.randn(batch, 1, size, size)
            for threads in options.threads:
                torch.set_num_threads(threads)
                for what, make in (("inference", predictor), ("training step", trainer)):
                    key = f"{what} {size} {batch} {threads}"
                    if key not in rows:
                        found = medians({name: make(module, x) for name, module in modules.items()})
                        rows.add(key, {"what": what, "size": size, "batch": batch, "threads": threads, "ms": found})
            key = f"memory {size} {batch}"
            if key not in rows:
                found = {name: memory(name, size, batch) for name in NETWORKS}
                rows.add(key, {"what": "memory", "size": size, "batch": batch, "mib": found, "parameters": counts})
    if "difference" not in rows:
        x = torch.randn(2, 1, 64, 64)
        with torch.no_grad():
            a, b = network("same function", 64)(x), network("published", 64)(x)
        rows.add("difference", {"relative": float((a - b).abs().max() / b.abs().max())})
    show(rows)
    return rows.rows


def show(rows: Rows) -> None:
    """Milliseconds (or MiB), and in brackets how many times less than the published network takes."""
    table = Table("what", "size", "batch", "threads", *NETWORKS)
    for row in rows.rows.values():
        if "what" in row:
            values = row.get("ms") or row["mib"]
            cells = [f"{values[n]:.1f} ({values['published'] / max(values[n], 1e-9):.2f})" for n in NETWORKS]
            table.add_row(row["what"], str(row["size"]), str(row["batch"]), str(row.get("threads", "")), *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
