"""Samples per second of each physical layer on one thread, beside the figures of the plain NumPy implementation it has to beat.

    taskset -c 0 python -m benchmarks.ffp_throughput

REFERENCE holds samples per second and thread as estimated or timed for straightforward NumPy code at the same size (see
docs). A row is the median of repetitions of one batch, compiled before.
"""

import os
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from sciml.physical.acoustics import Enclosure, Membranes
from sciml.physical.layer import linearity
from sciml.physical.mechanics import Duffing, PendulumNetwork
from sciml.physical.optics import Crystal, Fibre, LinearCavity, Pulse

LAYERS = {
    "pulse, 256 points, 64 steps": lambda: Pulse(64),
    "membranes, 64 modes, 3000 steps": lambda: Membranes(20),
    "enclosure, 40 elements, 20 frequencies": lambda: Enclosure(20, receivers=1),
    "fibre, 32 x 32, 80 steps": lambda: Fibre(64),
    "crystal, 256 points, 32 steps": lambda: Crystal(64),
    "linear cavity, 64 to 256": lambda: LinearCavity(64),
    "pendulums, 64, 60 steps": lambda: PendulumNetwork(64),
    "Duffing ring, 64, 300 steps": lambda: Duffing(64),
}
REFERENCE = dict(zip(LAYERS, (1700, 350, 2900, 180), strict=False))
BATCH, REPETITIONS = 512, 5


def main(arguments: Sequence[str] | None = None) -> dict[str, dict]:
    """Measure all layers, print and store the table."""
    rows = {}
    for name, make in LAYERS.items():
        layer = make()
        s = np.random.default_rng(0).standard_normal((BATCH, layer.n_in)).astype(np.float32)
        layer.measure(s)
        seconds = []
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            layer.measure(s)
            seconds.append(time.perf_counter() - began)
        rate = BATCH / float(np.median(seconds))
        ratio = rate / REFERENCE[name] if name in REFERENCE else None
        rows[name] = {"samples per second": rate, "reference": REFERENCE.get(name), "ratio": ratio, **linearity(layer)}
    table = Table("layer", "samples/s", "reference", "ratio", "linear R2", "rank", title="one batch of 512")
    for name, r in rows.items():
        ratio = f"{r['ratio']:.1f}" if r["ratio"] else ""
        table.add_row(
            name, f"{r['samples per second']:,.0f}", str(r["reference"] or ""), ratio, f"{r['r2']:.2f}", f"{r['rank']:.0f}"
        )
    Console(width=120).print(table)
    record("ffp_throughput", {"batch": BATCH, "threads": len(os.sched_getaffinity(0)), "rows": rows})
    return rows


if __name__ == "__main__":
    main()
