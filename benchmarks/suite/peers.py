"""Networks of other packages, untrained, as torch or Equinox modules that `sciml.fit` takes.

Each has a size near that of our own networks on the same task; a task may set it (`networks` in the suite's file, by the name
of the package). The same loop, loss and epochs train them as ours: what is compared is the architecture, not its trainer.

    neuraloperator   FNO, TFNO, UNO          torch; Kovachki and others, JMLR 24, 2023; Rahman and others, TMLR 2022
    deepxde          DeepONet                torch; Lu and others, Nature Machine Intelligence 3, 2021
    APEBench         Conv, ResNet, UNet,     Equinox (pdequinox); Koehler, Niedermayr, Westermann, Thuerey, NeurIPS 2024
                     dilated ResNet, FNO
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from solvers.errors import GridError, unknown_name
from solvers.grid import Grid

if TYPE_CHECKING:
    from benchmarks.suite.tasks import SuiteTask

Make = Callable[["SuiteTask", int, int, int], Any]
"""(task, input channels, output channels, seed) -> module. Torch's generator has been seeded already."""


def _sizes(task: "SuiteTask", package: str, defaults: Mapping[str, int], others: Sequence[str] = ()) -> dict[str, int]:
    """What the task sets for a package, of the names that this network has; `others` are names of its other networks."""
    given = task.networks.get(package, {})
    for name in given:
        if name not in (*defaults, *others):
            raise unknown_name(f"size of {package} in task {task.name!r}", name, (*defaults, *others))
    return dict(defaults) | {k: v for k, v in given.items() if k in defaults}


# -- neuraloperator ---------------------------------------------------------------------------------------------------


def _neuralop(kind: str) -> Make:
    def make(task: "SuiteTask", n_in: int, n_out: int, seed: int) -> Any:
        from neuralop import models  # pyright: ignore[reportMissingImports]

        dimension = task.posed().domain.dimension
        options: dict[str, Any] = {"factorization": "tucker", "rank": 0.3} if kind == "TFNO" else {}
        sizes = _sizes(task, "neuraloperator", {"modes": 8, "width": 12, "layers": 3})
        return getattr(models, kind)(
            n_modes=(sizes["modes"],) * dimension,
            in_channels=n_in, out_channels=n_out, hidden_channels=sizes["width"], n_layers=sizes["layers"], **options,
        )  # fmt: skip

    return make


def _uno(task: "SuiteTask", n_in: int, n_out: int, seed: int) -> Any:
    """One level down and up again, three layers; lifting and projection as wide as those of the FNO."""
    from neuralop.models import UNO  # pyright: ignore[reportMissingImports]

    sizes = _sizes(task, "neuraloperator", {"modes": 8, "width": 12}, others=("layers",))
    dimension, (width, modes) = task.posed().domain.dimension, (sizes["width"], sizes["modes"])
    scalings = [[0.5] * dimension, [1.0] * dimension, [2.0] * dimension]
    with redirect_stdout(StringIO()):  # it prints its settings
        return UNO(
            n_in, n_out, width, lifting_channels=2 * width, projection_channels=2 * width, n_layers=3,
            uno_out_channels=[width] * 3, uno_n_modes=[[modes] * dimension] * 3, uno_scalings=scalings,
            channel_mlp_skip="linear",  # its default cannot join levels of different widths
        )  # fmt: skip


# -- deepxde ----------------------------------------------------------------------------------------------------------


@contextmanager
def _untouched() -> Iterator[None]:
    """DeepXDE takes over torch's default device, says so, and writes a file if nobody names the backend: none of this stays."""
    import torch

    device, number, named = torch.get_default_device(), torch.get_default_dtype(), os.environ.get("DDE_BACKEND")
    os.environ["DDE_BACKEND"] = "pytorch"
    try:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            yield
    finally:
        torch.set_default_device(device)
        torch.set_default_dtype(number)
        if named is None:
            del os.environ["DDE_BACKEND"]
        else:
            os.environ["DDE_BACKEND"] = named


def deepxde_networks() -> ModuleType:
    """`deepxde.nn` on torch, with the process left as it was."""
    known = sys.modules.get("deepxde.nn")
    if known is not None:
        return known
    with _untouched():
        return importlib.import_module("deepxde.nn")


def _deepxde(task: "SuiteTask", n_in: int, n_out: int, seed: int) -> Any:
    import torch
    from torch import nn

    networks = deepxde_networks()
    sizes = _sizes(task, "deepxde", {"width": 24, "layers": 2})
    grid = task.posed().stored_grid(task.resolution)
    inner = [sizes["width"]] * sizes["layers"]
    strategy = {"multi_output_strategy": "split_both"} if n_out > 1 else {}  # the strategies divide the last layer's width

    class DeepONet(nn.Module):
        """The branch reads all points of all inputs, the trunk the places; fields (item, channel, *space)."""

        def __init__(self):
            super().__init__()
            branch = [n_in * int(np.prod(grid.shape)), *inner, n_out * sizes["width"]]
            trunk = [grid.dimension, *inner, n_out * sizes["width"]]
            made = networks.DeepONetCartesianProd(branch, trunk, "relu", "Glorot normal", num_outputs=n_out, **strategy)
            self.net: Any = made
            self.register_buffer("places", torch.from_numpy(_places(grid)), persistent=False)

        def forward(self, x):
            if x.shape[2:] != grid.shape:
                raise GridError(
                    given=f"a grid {tuple(x.shape[2:])} for DeepXDE's DeepONet", needed=f"{grid.shape}, as trained",
                    remedy="Its branch reads fixed points.",
                )  # fmt: skip
            y = self.net((x.flatten(1), self.places.to(x)))
            return (y[..., None] if y.ndim == 2 else y).movedim(-1, 1).unflatten(2, grid.shape)

    return DeepONet()


def _places(grid: Grid) -> np.ndarray:
    """Coordinates from -1 to 1, (point, axis)."""
    scaled = [2 * (axis.coordinates() - axis.start) / (axis.stop - axis.start) - 1 for axis in grid.axes]
    return np.stack([c.ravel() for c in np.meshgrid(*scaled, indexing="ij")], axis=1).astype(np.float32)


# -- APEBench ---------------------------------------------------------------------------------------------------------


def boundary_mode(grid: Grid) -> str:
    """The padding of pdequinox's convolutions that is nearest to a grid's boundary."""
    if all(axis.kind == "periodic" for axis in grid.axes):
        return "periodic"
    fixed = all(side == "dirichlet" for axis in grid.axes for side in axis.boundary)
    return "dirichlet" if fixed else "neumann"


APEBENCH: dict[str, tuple[str, dict[str, tuple[int, int]]]] = {
    "Conv": ("ConvNet", {"hidden_channels": (34, 16), "depth": (10, 10)}),
    "ResNet": ("ClassicResNet", {"hidden_channels": (26, 12), "num_blocks": (8, 8)}),
    "UNet": ("ClassicUNet", {"hidden_channels": (12, 7), "num_levels": (2, 2)}),
    "dilated ResNet": ("DilatedResNet", {"hidden_channels": (32, 16), "num_blocks": (2, 2)}),
    "FNO": ("ClassicFNO", {"hidden_channels": (18, 6), "num_modes": (12, 8), "num_blocks": (4, 4)}),
}
"""Name in APEBench -> class in pdequinox, and sizes on one axis (those of its paper, 27 000 to 33 000 numbers) and on two (the
same depths and about as many numbers)."""
DILATIONS = (1, 2, 4, 2, 1)
"""APEBench's dilation factor 2."""


def _apebench(kind: str) -> Make:
    def make(task: "SuiteTask", n_in: int, n_out: int, seed: int) -> Any:
        from solvers.precision import jax  # isort: skip - first, so that JAX does not take the whole GPU
        import pdequinox.arch as arch  # pyright: ignore[reportMissingImports]

        name, published = APEBENCH[kind]
        grid = task.posed().stored_grid(task.resolution)
        sizes: dict[str, Any] = _sizes(task, f"apebench {kind}", {k: v[grid.dimension > 1] for k, v in published.items()})
        coarsest = 2 ** sizes.get("num_levels", 0)
        if any(n % coarsest for n in grid.shape):
            raise GridError(
                given=f"a grid {grid.shape} for APEBench's {kind}", needed=f"points that {coarsest} divides",
                remedy="Choose another resolution.",
            )  # fmt: skip
        if kind == "dilated ResNet":
            sizes["dilation_rates"] = DILATIONS
        return getattr(arch, name)(
            grid.dimension, n_in, n_out, **sizes, boundary_mode=boundary_mode(grid), key=jax.random.key(seed)
        )

    return make


PEERS: dict[str, tuple[str, Make]] = {
    "neuraloperator FNO": ("neuralop", _neuralop("FNO")),
    "neuraloperator TFNO": ("neuralop", _neuralop("TFNO")),
    "neuraloperator UNO": ("neuralop", _uno),
    "deepxde DeepONet": ("deepxde", _deepxde),
    **{f"apebench {kind}": ("pdequinox", _apebench(kind)) for kind in APEBENCH},
}
"""Name -> (package that must be there, how the network is made)."""


def installed(name: str) -> bool:
    """Whether a peer's package is there.

    Raises
    ------
    UnknownName : no such peer.
    """
    if name not in PEERS:
        raise unknown_name("peer", name, PEERS)
    return importlib.util.find_spec(PEERS[name][0]) is not None
