"""FNO beside neuraloperator's with the same hyper-parameters and copied weights: outputs, training step, inference.

    python -m benchmarks.fno_speed [--threads 1 2]

Needs the extra "peers". Times are medians of alternating runs on a batch of 16 fields of 64 x 64.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from sciml.operators.fno import FourierNetwork

CASES = ((32, 16), (64, 12))  # width, modes
BATCH, SIZE, LAYERS = 16, 64, 4


def converted(peer: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights of neuraloperator's FNO under the names of `FourierNetwork`."""
    theirs, ours = dict(peer.named_parameters()), {}
    for part in ("lifting", "projection"):
        for i in (0, 1):
            for kind in ("weight", "bias"):
                ours[f"{part}.{2 * i}.{kind}"] = theirs[f"{part}.fcs.{i}.{kind}"]
    for i in range(LAYERS):
        weight = theirs[f"fno_blocks.convs.{i}.weight.tensor"]
        weight = weight.permute(*range(2, weight.ndim), 0, 1).reshape(-1, *weight.shape[:2])
        ours[f"layers.{i}.spectral.weight"] = torch.stack([weight.real, weight.imag], 1)
        ours[f"layers.{i}.spectral.bias"] = theirs[f"fno_blocks.convs.{i}.bias"].flatten()
        ours[f"layers.{i}.skip.weight"] = theirs[f"fno_blocks.fno_skips.{i}.conv.weight"]
        for j in (0, 1):
            for kind in ("weight", "bias"):
                ours[f"layers.{i}.mlp.{2 * j}.{kind}"] = theirs[f"fno_blocks.channel_mlp.{i}.fcs.{j}.{kind}"]
        ours[f"layers.{i}.gate"] = theirs[f"fno_blocks.channel_mlp_skips.{i}.weight"].flatten()
    shapes = {name: value.squeeze(-1) if name.endswith("weight") and value.ndim == 3 else value for name, value in ours.items()}
    return {name: (ours[name] if "spectral" in name else value).detach().clone() for name, value in shapes.items()}


def trainer(network: torch.nn.Module, x: torch.Tensor) -> Callable:
    """A training step, to be called."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step():
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()

    return step


def predictor(network: torch.nn.Module, x: torch.Tensor) -> Callable:
    """An inference, to be called."""

    def predict():
        with torch.no_grad():
            network(x)

    return predict


def alternate(first: Callable, second: Callable, repeats: int = 9) -> tuple[float, float]:
    """Median milliseconds of each, measured in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 2):
        for call, kept in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            if turn >= 2:
                kept.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[0])), float(np.median(times[1]))


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    from neuralop.models import FNO  # pyright: ignore[reportMissingImports]

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--name", default="fno_speed", help="name of the results file")
    options = parser.parse_args(arguments)
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for width, modes in CASES:
            torch.manual_seed(2029)
            peer = FNO(n_modes=(modes, modes), in_channels=1, out_channels=1, hidden_channels=width, n_layers=LAYERS)
            ours = FourierNetwork(1, 1, width, (modes, modes), LAYERS, 2.0, 2.0, 0.5, True, (0.0, 0.0))
            ours.load_state_dict(converted(peer))
            x = torch.randn(BATCH, 1, SIZE, SIZE)
            with torch.no_grad():
                a, b = ours(x), peer(x)
            row = {"threads": threads, "width": width, "modes": modes, "parameters": sum(p.numel() for p in ours.parameters())}
            row["relative_difference"] = float((a - b).abs().max() / b.abs().max())
            for what, make in (("inference", predictor), ("training step", trainer)):
                mine, theirs = alternate(make(ours, x), make(peer, x))
                row |= {f"{what} ms": mine, f"{what} ms, neuraloperator": theirs, f"{what} ratio": theirs / mine}
            rows.append(row)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else f"{v:,}" for v in row.values()))
    Console().print(table)
    payload = {"batch": BATCH, "size": SIZE, "layers": LAYERS, "rows": rows}
    record(options.name, payload)
    return payload


if __name__ == "__main__":
    main()
