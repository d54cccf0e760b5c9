"""The data pipeline: how quickly minibatches are read, and what generation costs in memory and gains from processes.

    python -m benchmarks.data_pipeline loader [--megabytes 400]
    python -m benchmarks.data_pipeline memory [--gigabytes 10] [--shards]
    python -m benchmarks.data_pipeline workers

loader  : random minibatches out of a file in the page cache, uncompressed and gzip 4, as `fit` reads them.
memory  : peak resident memory while Poisson's equation on 1024 x 1024 points is generated, uninterrupted, and killed with
          SIGKILL in the middle and resumed; the checksums of both.
workers : samples per second of some families on one core, with two spawned processes, and with two workers of Dask.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from pdes import Dataset, Periodic, manifest
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


LARGE, SIDE, SHARD = "poisson_periodic", 1024, 64
CHILD = """
import sys, pdes
path, n, side, shard = sys.argv[1], *map(int, sys.argv[2:5])
problem = pdes.get("poisson_periodic", measure_every=1000)
pdes.generate(problem, n, side, seed=2031, path=path, progress=False, compression=None, shard_size=shard or None)
"""


def generating(path: Path, n: int, shard: int, kill_at: int = 0) -> dict:
    """Generate in a process of its own; with `kill_at`, end it with SIGKILL when so many bytes lie on the disk."""
    command = [sys.executable, "-c", CHILD, str(path), str(n), str(SIDE), str(shard)]
    begun, peak, disk = time.perf_counter(), 0, 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak, disk = max(peak, resident(process.pid)), max(disk, size_of(path))
        if kill_at and size_of(path) > kill_at:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.2)
    killed = process.wait() == -signal.SIGKILL
    if process.returncode != 0 and not killed:
        raise SystemExit(f"generation ended with {process.returncode}")
    return {"seconds": time.perf_counter() - begun, "peak_mb": peak / 1e6, "disk_gb": disk / 1e9, "killed": killed}


def resident(pid: int) -> int:
    """Largest resident memory of a process so far, bytes (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def size_of(path: Path) -> int:
    """Bytes of a file or folder of data, and of the work in progress beside it."""
    total = 0
    for top in (path, path.with_name(path.name + ".partial")):
        for file in top.rglob("*") if top.is_dir() else [top]:
            try:
                total += file.stat().st_size
            except OSError:  # just renamed
                continue
    return total


def checksums(path: Path) -> list[str]:
    """Of the file, or of every shard."""
    found = manifest.read(path)
    return [item["sha256"] for item in found.get("files", [found])]


def memory(gigabytes: float, folder: Path, shards: bool) -> dict:
    """One uninterrupted and one killed and resumed generation of the same data."""
    each = 2 * 4 * SIDE**2  # source and solution
    n, shard = max(2, round(gigabytes * 1e9 / each)), SHARD if shards else 0
    whole, broken = (folder / ("data" if shards else "data.h5") for folder in (folder / "a", folder / "b"))
    rows = [{"run": "uninterrupted", **generating(whole, n, shard)}]
    found = checksums(whole)
    shutil.rmtree(whole.parent)  # room for the second
    rows.append({"run": "until killed", **generating(broken, n, shard, kill_at=int(n * each / 2))})
    rows.append({"run": "resumed", **generating(broken, n, shard)})
    equal = checksums(broken) == found
    payload = {"problem": LARGE, "points": [SIDE, SIDE], "samples": n, "gigabytes": n * each / 1e9, "shard_size": shard}
    return payload | {"files": len(found), "rows": rows, "same_checksums": equal}


def workers(folder: Path) -> dict:
    """Samples per second once every process has compiled, and the seconds until then."""
    rows = []
    for name, resolution, n in (("darcy", 64, 128), ("burgers", 256, 1024), ("kdv", 256, 512)):
        row: dict = {"problem": name, "resolution": resolution, "samples": n}
        paths = {engine: folder / f"{name}-{engine}.h5" for engine in ("1", "2", "dask")}
        (folder / "rate.py").write_text(RATE)
        for engine, path in paths.items():
            command = [sys.executable, str(folder / "rate.py"), name, str(resolution), str(n), engine, str(path)]
            timed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            row |= {f"per_second_{engine}": n / timed["seconds"], f"start_seconds_{engine}": timed["start"]}
        row["speedup"] = row["per_second_2"] / row["per_second_1"]
        row["same_bytes"] = len({path.read_bytes() for path in paths.values()}) == 1
        rows.append(row)
    return {"rows": rows, "cores": os.cpu_count()}


RATE = """
import json, os, sys, time
os.environ["OMP_NUM_THREADS"] = "1"  # one process is one core, however many there are
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import pdes
from pdes.executors import Processes, run
from pdes.job import Job

def cluster():
    import dask
    from distributed import Client, LocalCluster
    # Dask tells malloc to hand memory back at once; large arrays are then mapped anew each time, three times as slow.
    dask.config.set({"distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": 2**27, "MALLOC_MMAP_THRESHOLD_": 2**25}})
    return Client(LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None))

if __name__ == "__main__":
    name, resolution, n, kind, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    job = Job.of(pdes.get(name), resolution, 2031)
    begun = time.perf_counter()
    engine = 1 if kind == "1" else Processes(2) if kind == "2" else cluster()
    list(run(job, list(range(10**6, 10**6 + 4)), engine))  # compiles in every process
    start = time.perf_counter() - begun
    begun = time.perf_counter()
    list(run(job, list(range(job.count(n))), engine))
    seconds = time.perf_counter() - begun
    pdes.generate(name, n, resolution, seed=2031, path=path, workers=engine if kind == "dask" else int(kind), progress=False)
    if kind != "1": engine.close()
    print(json.dumps({"start": start, "seconds": seconds}), flush=True)
"""


def show(title: str, rows: Sequence[dict]) -> None:
    """Print rows of one kind."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=("loader", "memory", "workers"))
    parser.add_argument("--megabytes", type=float, default=400)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--shards", action="store_true", help="a folder of files instead of one")
    parser.add_argument("--folder", type=Path, default=None, help="where to write the data; a temporary folder by default")
    parser.add_argument("--name", default=None, help="name of the results file, data_<part> by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.part == "loader":
            title, payload = "MB/s of batches", loader(options.megabytes, Path(folder))
        elif options.part == "memory":
            title, payload = "generation in bounded memory", memory(options.gigabytes, Path(folder), options.shards)
        else:
            title, payload = "samples per second", workers(Path(folder))
    show(title, payload["rows"])
    Console().print({key: value for key, value in payload.items() if key != "rows"})
    record(options.name or f"data_{options.part}", payload)
    return payload


if __name__ == "__main__":
    main()
