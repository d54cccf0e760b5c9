"""Any torch network trains as it is, and is compared with the classical solver on coarser grids.

    python examples/own_network.py

Leaves own_network.html (the report as one page) and own_network.png (learning curves).
"""

from pathlib import Path

from torch import nn

import sciml
from sciml.html import write_report
from sciml.operators.classical import ladder


class Convolutions(nn.Sequential):
    """Five 5 x 5 convolutions; (item, channel, x, y) in and out. Nothing here knows of this package."""

    def __init__(self, channels: int = 1, width: int = 24):
        def layer(a, b):
            return nn.Conv2d(a, b, 5, padding=2)

        middle = [m for _ in range(3) for m in (layer(width, width), nn.GELU())]
        super().__init__(layer(channels, width), nn.GELU(), *middle, layer(width, 1))


def main(n: int = 200, resolution: int = 32, seconds: float = 20.0, folder: str | Path = ".") -> Path:
    """Train a network and a linear map, score both beside the solver. Returns the picture's path."""
    folder = Path(folder)
    data = sciml.generate("darcy", n=n + 40, resolution=resolution, seed=7)
    train, test = data.split(n, 40)
    network = sciml.fit(Convolutions(), train, seconds=seconds)
    linear = sciml.fit("linear", train)

    contestants = {"convolutions": network.operator, "linear": linear.operator, **ladder(test, [1, 2, 4])}
    report = sciml.evaluate(contestants, test, training_seconds={"convolutions": network.seconds, "linear": linear.seconds})
    report.notes["classical"] = [name for name in contestants if name.startswith("solver")]
    print(report)
    write_report(
        report, folder / "own_network.html", histories={"convolutions": network.history}, title="A network of one's own"
    )
    path = folder / "own_network.png"
    network.plot().savefig(path, dpi=120)
    return path


if __name__ == "__main__":
    print(f"wrote {main()}")
