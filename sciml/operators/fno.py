"""Fourier neural operator: v <- act(K v + W v), K a multiplication of the lowest Fourier modes by learned matrices.

    (K v)(x) = sum over |k_i| <= m_i / 2 of R(k) v_hat(k) exp(2 pi i k.x / L)

Li et al., Fourier Neural Operator for Parametric Partial Differential Equations, ICLR 2021 (arXiv 2010.08895); the layer with
a channel MLP and soft gating follows the arrangement of the package neuraloperator 2.0, whose weights can be copied in.

Only few modes are kept, so the transforms are products with small real matrices, axis by axis, instead of FFTs: on a CPU that
is several times faster, and it is the same linear map (tested against torch.fft). Arrays are kept channels-last, so that every
product is one large matrix product without a copy.
"""

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.tasks import Signature
from solvers.errors import GridError, SettingError
from solvers.grid import Grid


@dataclass(frozen=True)
class Config:
    """Settings of an FNO.

    width : channels of the hidden layers.   modes : Fourier modes kept per axis (both signs together; the last axis keeps
    modes // 2 + 1 of one sign), one number or one per axis.   layers : number of Fourier layers.
    lifting, projection : hidden width of the two-layer lifting and projection networks, relative to `width`.
    mlp : hidden width of each layer's channel MLP relative to `width`; 0 for none.
    coordinates : give the grid's coordinates as extra input channels (needed next to walls).
    padding : share of each non-periodic axis added with zeros before the Fourier layers and cut after them.
    """

    width: int = 32
    modes: int | tuple[int, ...] = 16
    layers: int = 4
    lifting: float = 2.0
    projection: float = 2.0
    mlp: float = 0.5
    coordinates: bool = True
    padding: float = 0.0

    def __post_init__(self):
        modes = (self.modes,) if isinstance(self.modes, int) else tuple(self.modes)
        if self.width < 1 or self.layers < 1 or min(modes) < 1 or min(self.lifting, self.projection) <= 0:
            raise SettingError(
                given=f"{self}", needed="positive width, layers, modes, lifting and projection", remedy="Mend them."
            )
        if self.mlp < 0 or not 0 <= self.padding < 1:
            raise SettingError(
                given=f"mlp={self.mlp}, padding={self.padding}", needed="mlp >= 0, padding in [0, 1)", remedy="Mend them."
            )


PRESETS = {
    "tiny": {"width": 12, "modes": 8, "layers": 3},
    "small": {"width": 24, "modes": 12, "layers": 4},
    "base": {"width": 32, "modes": 16, "layers": 4},
    "large": {"width": 64, "modes": 24, "layers": 4},
}


class FNO(TorchOperator):
    """Fourier neural operator (Li et al. 2021) in 1-D to 3-D; see `Config` for the settings.

    Answers at any resolution that resolves its modes. Normalised inputs and outputs, one shift and scale per channel.

    Examples
    --------
    >>> FNO(width=16, modes=8).config.layers
    4
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        c, grid = self.config, signature.grid
        modes = self._modes = modes_on(grid, c.modes)
        padding = tuple(0.0 if axis.kind == "periodic" else c.padding for axis in grid.axes)
        return FourierNetwork(
            len(signature.inputs),
            len(signature.outputs),
            c.width,
            modes,
            c.layers,
            c.lifting,
            c.projection,
            c.mlp,
            c.coordinates,
            padding,
        )

    def check_grid(self, shape: tuple[int, ...]) -> None:
        check_modes(shape, self._modes)

    def recommended(self, task):
        # 1e-2 against 6e-3, validation errors, two seeds: Darcy 3.0 | 3.2 %, log-normal 1.5 | 1.9, Helmholtz 15.7 | 16.4,
        # Navier-Stokes 6.0 | 6.2; a warm-up of 2 % against 10 %: 3.0 | 3.0, 1.4 | 1.5, 16.4 | 15.7; without, one seed fails
        return {"lr": 1e-2, "warmup": 0.02, "batch_size": 16, "epochs": 60, "weight_decay": 1e-4}


def modes_on(grid: Grid, modes: int | tuple[int, ...]) -> tuple[int, ...]:
    """Fourier modes per axis, from one number or one per axis; raises GridError where the grid cannot carry them."""
    each = (modes,) * grid.dimension if isinstance(modes, int) else tuple(modes)
    if len(each) != grid.dimension:
        raise GridError(given=f"modes={modes}", needed=f"one number or {grid.dimension}", remedy="Give one per axis.")
    check_modes(grid.shape, each)
    return each


def check_modes(shape: tuple[int, ...], modes: tuple[int, ...]) -> None:
    """Raise GridError on a grid too coarse for these Fourier modes."""
    for n, m, name in zip(shape, modes, "xyz", strict=False):
        if m > n:
            raise GridError(
                given=f"{n} points along {name} for {m} Fourier modes",
                needed=f"at least {m} points",
                remedy="Use fewer modes or a finer grid.",
            )


def positions(x: torch.Tensor) -> torch.Tensor:
    """j / n along each axis for fields (item, *space, channel), (item, *space, axis)."""
    space = x.shape[1:-1]
    lines = torch.meshgrid(*(torch.arange(n, device=x.device, dtype=x.dtype) / n for n in space), indexing="ij")
    return torch.stack(lines, -1).expand(x.shape[0], *space, len(space))


class FourierNetwork(nn.Module):
    """The network of an FNO: (item, channel, *space) in and out."""

    def __init__(self, inputs, outputs, width, modes, layers, lifting, projection, mlp, coordinates, padding):
        super().__init__()
        dimension = len(modes)
        self.coordinates, self.padding = coordinates, padding
        inputs += dimension if coordinates else 0
        self.lifting = _perceptron(inputs, round(lifting * width), width)
        self.layers = nn.ModuleList([FourierLayer(width, modes, mlp, last=i == layers - 1) for i in range(layers)])
        self.projection = _perceptron(width, round(projection * width), outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        space = x.shape[2:]
        x = x.movedim(1, -1)  # (item, *space, channel)
        if self.coordinates:
            x = torch.cat([x, positions(x)], dim=-1)
        x = self.lifting(x.contiguous())
        padded = [round(share * n) for share, n in zip(self.padding, space, strict=True)]
        if any(padded):
            x = F.pad(x, [0, 0, *(side for p in reversed(padded) for side in (0, p))])
        for layer in self.layers:
            x = layer(x)
        if any(padded):
            x = x[(slice(None), *(slice(0, n) for n in space))].contiguous()
        return self.projection(x).movedim(-1, 1)


class FourierLayer(nn.Module):
    """act(K v + W v), then act(MLP(v) + gate * input of the layer); the last layer has no activations."""

    def __init__(self, width: int, modes: tuple[int, ...], mlp: float, *, last: bool):
        super().__init__()
        self.spectral = SpectralConvolution(width, width, modes)
        self.skip = Pointwise(width, width, bias=False)
        self.last = last
        self.mlp = _perceptron(width, max(1, round(mlp * width)), width) if mlp else None
        self.gate = nn.Parameter(torch.ones(width)) if mlp else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.spectral(x) + self.skip(x)
        y = y if self.last else F.gelu(y)
        if self.mlp is None:
            return y
        y = torch.addcmul(self.mlp(y), x, self.gate)  # type: ignore[arg-type]
        return y if self.last else F.gelu(y)


class SpectralConvolution(nn.Module):
    """K: transform, multiply each kept mode by its own complex matrix, transform back. Linear but for the bias.

    weight : (mode, 2, channel in, channel out), real and imaginary parts; modes in the order (k_1 signed, ..., k_d >= 0).
    """

    def __init__(self, inputs: int, outputs: int, modes: tuple[int, ...]):
        super().__init__()
        self.modes = modes
        self.kept = (*modes[:-1], modes[-1] // 2 + 1)
        scale = math.sqrt(2 / (inputs + outputs))
        self.weight = nn.Parameter(scale * torch.randn(math.prod(self.kept), 2, inputs, outputs) / math.sqrt(2))
        self.bias = nn.Parameter(scale * torch.randn(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(item, *space, channel in) -> (item, *space, channel out)."""
        with torch.autocast(x.device.type, enabled=False):  # transforms want full precision
            dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
            return self._transformed(x.to(dtype)).to(x.dtype)

    def _transformed(self, x: torch.Tensor) -> torch.Tensor:
        items, *space, channels = x.shape
        forward, inverse = _matrices(tuple(space), self.modes, x.dtype, x.device)
        # Last axis first: real to complex. Each later product contracts (point, re/im) of one axis and leaves (re/im, mode).
        after = channels
        for axis in reversed(range(len(space))):
            rows = forward[axis].shape[0]
            before = items * math.prod(space[:axis])
            x = _left(forward[axis], x.reshape(before, -1, after))
            after *= rows // 2
        modes = math.prod(self.kept)
        x = x.reshape(items, 2, modes, channels).permute(2, 0, 1, 3).reshape(modes, items, 2 * channels)
        real, imaginary = self.weight.unbind(1)
        block = torch.cat(
            [torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1
        )  # [re im] @ block = complex product
        x = torch.bmm(x, block)
        channels = x.shape[-1] // 2
        x = x.reshape(modes, items, 2, channels).permute(1, 2, 0, 3)
        after = math.prod(self.kept) * channels
        for axis in range(len(space)):
            after //= self.kept[axis]
            before = items * math.prod(space[:axis])
            x = _left(inverse[axis], x.reshape(before, -1, after))
        return x.reshape(items, *space, channels) + self.bias


class Pointwise(nn.Module):
    """The same linear map at every point of (item, *space, channel); a 1x1 convolution of a channels-last image is fastest."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        bound = 1 / math.sqrt(inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = x.reshape(x.shape[0], -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        y = F.conv2d(image, self.weight[:, :, None, None], self.bias)
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(Pointwise(inputs, hidden), nn.GELU(), Pointwise(hidden, outputs))


def _left(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """matrix (r, c) times each of x (batch, c, n); one plain product when there is a single batch."""
    return torch.bmm(matrix.expand(x.shape[0], *matrix.shape), x)


@functools.lru_cache(maxsize=64)
def _matrices(space: tuple[int, ...], modes: tuple[int, ...], dtype: torch.dtype, device: torch.device):
    """Real matrices of the truncated transform (with the 1/n) and of its inverse, per axis.

    Last axis forward: (2 m, n) from reals; other axes forward: columns (point, re/im), rows (re/im, mode). Inverse: columns
    (re/im, mode), rows (point, re/im), and for the last axis rows (point): the real part with the conjugate half folded in.
    Signed modes are ordered -floor(m/2) ... ceil(m/2) - 1. The Nyquist mode of an even axis counts once.
    """
    forward, inverse = [], []
    for axis, (n, m) in enumerate(zip(space, modes, strict=True)):
        last = axis == len(space) - 1
        k = torch.arange(m // 2 + 1, dtype=torch.float64) if last else torch.arange(-(m // 2), m - m // 2, dtype=torch.float64)
        angle = 2 * math.pi * torch.outer(k, torch.arange(n, dtype=torch.float64)) / n  # (mode, point)
        cos, sin = angle.cos(), angle.sin()
        if last:
            twice = torch.where((k == 0) | (2 * k == n), 1.0, 2.0)[:, None]
            to, back = torch.cat([cos, -sin]) / n, torch.cat([twice * cos, -twice * sin]).T
        else:
            to = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)]).reshape(2 * len(k), 2 * n) / n
            back = torch.stack(
                [torch.stack([cos, -sin], 0), torch.stack([sin, cos], 0)], 0
            )  # (re/im out, re/im in, mode, point)
            back = back.permute(3, 0, 1, 2).reshape(2 * n, 2 * len(k))
        forward.append(to.to(device, dtype).contiguous())
        inverse.append(back.to(device, dtype).contiguous())
    return tuple(forward), tuple(inverse)
