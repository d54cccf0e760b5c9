"""The data pipeline: how quickly minibatches are read, and what generation costs in memory and gains from processes.

    python -m benchmarks.data_pipeline loader [--megabytes 400]

loader : random minibatches out of a file in the page cache, uncompressed and gzip 4, as `fit` reads them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from pdes import Dataset, Periodic
from sciml.tasks import as_task

SEED, BATCH = 2031, 32
FRAMES, POINTS = 21, 64


def fields(megabytes: float) -> Dataset:
    """Smooth trajectories (sample, 21, 64, 64), the spectrum of a diffused field, and one input of their shape."""
    rng = np.random.default_rng(SEED)
    n = max(2 * BATCH, int(megabytes * 1e6 / (4 * FRAMES * POINTS**2)))
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(POINTS, 1 / POINTS), np.arange(POINTS // 2 + 1), indexing="ij"))
    u = np.empty((n, FRAMES, POINTS, POINTS), np.float32)
    for i in range(n):
        noise = np.fft.rfft2(rng.standard_normal((FRAMES, POINTS, POINTS)))
        u[i] = np.fft.irfft2(noise / (1 + k**2), s=(POINTS, POINTS))
    grid = Periodic(x=(0, 1), y=(0, 1)).grid(POINTS)
    return Dataset(fields={"u": u}, inputs={"a": u[:, 0].copy()}, grid=grid, times=np.linspace(0, 1, FRAMES))


def rate(read: Callable[[np.ndarray], int], count: int, seconds: float = 2.0) -> float:
    """Megabytes per second of `read(numbers)`, which returns bytes, over random batches out of `count`."""
    rng, total = np.random.default_rng(SEED), 0
    read(rng.integers(0, count, BATCH))
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        total += read(rng.integers(0, count, BATCH))
    return total / spent / 1e6


def loader(megabytes: float, folder: Path) -> dict:
    """Rates by compression and kind of batch; bytes are those that are asked for, not those that had to be read."""
    made, rows = fields(megabytes), []
    for compression in (None, 4):
        path = folder / f"loader-{compression}.h5"
        begun = time.perf_counter()
        data = made.save(path, compression)
        written = time.perf_counter() - begun
        row = {"compression": compression or 0, "file_mb": path.stat().st_size / 1e6}
        row["write_mb_per_s"] = made.fields["u"].nbytes / written / 1e6
        row["trajectories"] = rate(lambda i, data=data: data.fields["u"][i].nbytes, len(data))
        row["inputs"] = rate(lambda i, data=data: data.inputs["a"][i].nbytes, len(data))
        for kind in ("autoregressive", "final"):
            task = as_task(kind, data)

            def batch(items, task=task):
                found = task.batch(items)
                return found.inputs.nbytes + found.targets.nbytes

            row[kind] = rate(batch, len(task))
        rows.append(row)
    return {"samples": len(made), "shape": [FRAMES, POINTS, POINTS], "batch": BATCH, "rows": rows}


def show(title: str, rows: Sequence[dict]) -> None:
    """Print rows of one kind."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=("loader",))
    parser.add_argument("--megabytes", type=float, default=400)
    parser.add_argument("--folder", type=Path, default=None, help="where to write the data; a temporary folder by default")
    parser.add_argument("--name", default=None, help="name of the results file, data_<part> by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        payload = loader(options.megabytes, Path(folder))
    show("MB/s of batches", payload["rows"])
    record(options.name or f"data_{options.part}", payload)
    return payload


if __name__ == "__main__":
    main()
