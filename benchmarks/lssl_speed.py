"""Time and memory of state-space layers on the CPU: the kernel beside repeated squaring, the layer beside S5's, streaming.

    python -m benchmarks.lssl_speed [--threads 1] [--lengths 1024 4096 16384] [--repeats 7]

64 features of 64 states, float32. Times are medians of alternating runs, forward and backward where it says so. Memory is what
the process's peak grows by during one call after a warm-up at a length of 64, each in a process of its own.

    kernel   `two_level` (C a^jm)(a^i b) and repeated squaring, as the LSSL paper's code ran it, on the same matrices
    layer    (4, L, 64) through `StateSpaceLayer` by convolution and by scan, dissipative and diagonal, and through the S5 layer
             of s5-pytorch of as many states (one system of 64 inputs; its scan holds complex (4, L, 64) tensors)
    stream   one sample of one signal through a frozen layer, and through `torch.nn.GRUCell(64, 64)`
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.record import record, version
from sciml.ssm.layer import StateSpaceLayer
from sciml.ssm.system import squaring, two_level

FEATURES, STATES, BATCH = 64, 64, 4
LENGTHS = (1024, 4096, 16384)
KERNELS = ("two_level", "squaring")
LAYERS = ("dissipative convolution", "dissipative scan", "diagonal convolution", "s5-pytorch")


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lengths", type=int, nargs="*", default=list(LENGTHS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--name", default="lssl_speed", help="name of the results file")
    o = parser.parse_args(arguments)
    torch.set_num_threads(o.threads)
    layers = LAYERS if version("s5-pytorch") else LAYERS[:-1]
    rows: list[dict] = []
    for what, models, backward in (("kernel", KERNELS, False), ("kernel", KERNELS, True), ("layer", layers, True)):
        for length in o.lengths:
            calls = {model: call(what, model, length, backward) for model in models}
            seconds = alternating(calls, o.repeats)
            for model in models:
                memory = peak(what, model, length, backward, o.threads)
                row = {"what": what, "model": model, "length": length, "backward": backward}
                rows.append(row | {"ms": 1e3 * seconds[model], "mib": memory / 2**20})
    stream = {"layer, dissipative": streamed("dissipative"), "layer, diagonal": streamed("diagonal"), "GRU cell": gru_cell()}
    largest = FEATURES * STATES * max(o.lengths) * 4 / 2**20
    payload = {"threads": o.threads, "rows": rows, "stream_us": stream, "krylov_mib_at_the_longest": largest}
    payload |= {"s5_pytorch": version("s5-pytorch")}
    record(o.name, payload)
    show(payload)
    return payload


def call(what: str, model: str, length: int, backward: bool) -> Callable[[], Any]:
    """One evaluation, on numbers that are the same for all models of a kind."""
    generator = torch.Generator().manual_seed(17)
    if what == "kernel":
        a, b, c = systems(generator)
        run: Callable[..., torch.Tensor] = {"two_level": two_level, "squaring": squaring}[model]
        if not backward:
            return lambda: run(a, b, c, length)  # nothing here asks for gradients
        leaves = [v.requires_grad_() for v in (a, b, c)]
        return lambda: torch.autograd.grad(run(*leaves, length).square().sum(), leaves)
    u = torch.randn(BATCH, length, FEATURES, generator=generator)
    layer = built(model)
    leaves = list(layer.parameters())
    return lambda: torch.autograd.grad(layer(u).square().mean(), leaves, allow_unused=True)


def systems(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Discrete LegS systems at steps from 1e-3 to 1e-1: a (64, 64, 64), b (64, 64, 1), c (64, 1, 64)."""
    layer = StateSpaceLayer(FEATURES, STATES, A="legs", train_A=False)
    with torch.no_grad():
        layer.log_dt.copy_(torch.linspace(np.log(1e-3), np.log(1e-1), FEATURES))
        system = layer.system()
    c = torch.randn(FEATURES, 1, STATES, generator=generator)
    return system.a.detach().clone(), system.lead.detach()[..., None].clone(), c


def built(model: str) -> torch.nn.Module:
    """A layer of 64 features."""
    if model == "s5-pytorch":
        from s5 import S5  # pyright: ignore[reportMissingImports]

        return S5(FEATURES, STATES)
    structure, mode = model.split()
    return StateSpaceLayer(FEATURES, STATES, A=structure, mode=mode)


def alternating(calls: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Median seconds of each, taken in turns."""
    for run in calls.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, run in calls.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in times.items()}


def peak(what: str, model: str, length: int, backward: bool, threads: int) -> int:
    """Bytes by which the peak of a fresh process grows."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_grown, (what, model, length, backward, threads))


def _grown(what: str, model: str, length: int, backward: bool, threads: int) -> int:
    torch.set_num_threads(threads)
    call(what, model, 64, backward)()
    run = call(what, model, length, backward)
    before = _kilobytes("VmRSS")
    run()
    return 1024 * max(0, _kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    """A line of /proc/self/status; not `getrusage`, whose peak is inherited from the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def streamed(structure: str, samples: int = 400) -> float:
    """Microseconds of one sample through a frozen layer."""
    stream = StateSpaceLayer(FEATURES, STATES, A=structure).stream()
    u = torch.randn(samples, 1, FEATURES)
    state = None
    took = []
    for one in u:
        began = time.perf_counter()
        _, state = stream(one, state)
        took.append(time.perf_counter() - began)
    return 1e6 * float(np.median(took))


def gru_cell(samples: int = 400) -> float:
    """The same of a GRU cell of 64 states in all."""
    cell = torch.nn.GRUCell(FEATURES, FEATURES)
    took = []
    with torch.no_grad():
        state = torch.zeros(1, FEATURES)
        for one in torch.randn(samples, 1, FEATURES):
            began = time.perf_counter()
            state = cell(one, state)
            took.append(time.perf_counter() - began)
    return 1e6 * float(np.median(took))


def show(payload: dict) -> None:
    """Times and memory side by side."""
    table = Table(title=f"{FEATURES} features of {STATES} states, {payload['threads']} thread(s)")
    for column in ("what", "model", "length", "ms", "MiB"):
        table.add_column(column)
    for row in payload["rows"]:
        what = row["what"] + (", forward and backward" if row["backward"] else ", forward")
        table.add_row(what, row["model"], str(row["length"]), f"{row['ms']:.1f}", f"{row['mib']:.1f}")
    console = Console(width=120)
    console.print(table)
    console.print({name: f"{value:.0f} us per sample" for name, value in payload["stream_us"].items()})


if __name__ == "__main__":
    main()
