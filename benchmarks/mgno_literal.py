"""MgNO as it was published, written down literally: the five networks of its Darcy, pipe, Navier-Stokes and Helmholtz scripts.

Kept to compare with, in speed and accuracy; plain convolutions in torch's default layout, one grid each. Faults are kept, too:
transfers are off by half a cell on even grids, transposed convolutions are padded with zeros also on the torus, the layers of
"navier-stokes" and "helmholtz" are not linear, and each network runs on one grid.

He, Liu, Xu, MgNO, ICLR 2024 (arXiv 2310.19809), from a description of the released layers and their parameter counts.

    >>> sum(p.numel() for p in network("darcy-rough").parameters())
    572661
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

COUNTS = {"darcy-rough": 572_661, "darcy-smooth": 678_093, "pipe": 783_876, "navier-stokes": 2_885_194, "helmholtz": 5_351_806}


class Cycle(nn.Module):
    """One V-cycle: right-hand sides are restricted as they are, iterates handed down.

    Parameters
    ----------
    f, u : channels of the right-hand side and of the iterate on each grid.
    pre, post : smoothing steps on each grid.   kernels : taps of each prolongation.
    padding : "zeros", "circular" or "reflect".   bias : in A and S.   norms : side of the grid of each LayerNorm, or none.
    """

    def __init__(self, f, u, pre, post, kernels, padding="zeros", bias=False, norms: Sequence[int] = (), first_operator=False):
        super().__init__()
        same = {"kernel_size": 3, "padding": 1, "padding_mode": padding, "bias": bias}
        half = {"kernel_size": 3, "stride": 2, "padding": 0 if padding == "reflect" else 1, "bias": False}
        half |= {} if padding == "reflect" else {"padding_mode": padding}
        steps = [p + q for p, q in zip(pre, post, strict=True)]
        self.pre, self.post = pre, post
        # The first step starts from zero and needs no A; the Helmholtz network has one there all the same.
        self.missing = 0 if first_operator else 1
        levels = list(zip(f, u, steps, strict=True))
        self.S = nn.ModuleList([nn.ModuleList([nn.Conv2d(a, b, **same) for _ in range(n)]) for a, b, n in levels])
        self.A = nn.ModuleList(
            [
                nn.ModuleList([nn.Conv2d(b, a, **same) for _ in range(n - (self.missing if level == 0 else 0))])
                for level, (a, b, n) in enumerate(levels)
            ]
        )
        self.R = nn.ModuleList([nn.Conv2d(a, b, **half) for a, b in itertools.pairwise(f)])
        self.Pi = nn.ModuleList([nn.Conv2d(a, b, **half) for a, b in itertools.pairwise(u)])
        up = 0 if padding == "reflect" else 1
        self.P = nn.ModuleList(
            [nn.ConvTranspose2d(b, a, k, 2, up, bias=False) for (a, b), k in zip(itertools.pairwise(u), kernels, strict=True)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm([c, n, n]) for c, n in zip(u, norms, strict=False)])

    def forward(self, f):
        return self._descend(0, None, f)

    def _descend(self, level, u, f):
        for step in range(self.pre[level]):
            u = self._smooth(level, step, u, f)
        if level == len(self.S) - 1:
            return u
        below = self._descend(level + 1, self.Pi[level](u), self.R[level](f))
        u = u + self.P[level](below)
        if self.norms:
            u = self.norms[level](u)
        for step in range(self.pre[level], self.pre[level] + self.post[level]):
            u = self._smooth(level, step, u, f)
        return u

    def _smooth(self, level, step, u, f):
        if u is None:
            return self.S[level][step](f)
        A = self.A[level][step - self.missing if level == 0 else step]
        return u + self.S[level][step](f - A(u))


class Network(nn.Module):
    """Layers act(W x + B x), or act(norm(W x)), and a head."""

    def __init__(self, cycles, local, head, norms=(), residual=False):
        super().__init__()
        self.cycles, self.local, self.norms = nn.ModuleList(cycles), nn.ModuleList(local), nn.ModuleList(norms)
        self.head, self.residual = head, residual

    def forward(self, x):
        first = x
        for i, cycle in enumerate(self.cycles):
            y = cycle(x)
            if self.local:
                y = y + self.local[i](x)
            if self.norms:
                y = self.norms[i](y)
            x = F.gelu(y)
        y = self.head(x)
        return y + first if self.residual else y


def network(name: str, inputs: int | None = None, width: int | None = None, levels: int | None = None) -> Network:
    """One of the published networks, a name in `COUNTS`; the options below change "darcy-rough" to other sizes.

    inputs, width, levels : channels and number of grids.
    """
    if name == "navier-stokes":
        steps, norms = (1, 1, 1, 2, 2), (64, 32, 16, 8)
        cycles = [
            Cycle([c] * 5, [32] * 5, steps, (0,) * 5, (4,) * 4, "circular", bias=True, norms=norms) for c in (1, 32, 32, 32, 32)
        ]
        return Network(cycles, [], nn.Conv2d(32, 1, 1, bias=False), residual=True)
    if name == "helmholtz":
        wide, narrow = [20, 40, 60, 80, 100], [1, 2, 3, 4, 5]
        make = lambda f, u: Cycle(  # noqa: E731
            f, u, (1, 1, 1, 1, 2), (0,) * 5, (3, 4, 4, 3), "reflect", bias=True, first_operator=True
        )
        cycles = [make(narrow if i == 0 else wide, wide) for i in range(4)]
        return Network(cycles, [], make(wide, narrow), norms=[nn.LayerNorm([20, 101, 101]) for _ in range(4)])
    depth = 4 if name == "darcy-rough" else 5
    kernels = (3, 4, 3, 3, 4) if name == "darcy-smooth" else (4,) * 5
    first, c, count = inputs or (2 if name == "pipe" else 1), width or 24, levels or 6
    pre = (*(1,) * (count - 1), 2)
    post = tuple(int(name == "pipe" and level == 4) for level in range(count))
    channels = [first] + [c] * depth
    pairs = list(itertools.pairwise(channels))
    cycles = [Cycle([a] * count, [b] * count, pre, post, kernels[: count - 1]) for a, b in pairs]
    return Network(cycles, [nn.Conv2d(a, b, 1) for a, b in pairs], nn.Conv2d(c, 1, 1, bias=False))


def converted(net: Network) -> dict[str, torch.Tensor]:
    """Weights of a Darcy network under the names of `sciml.operators.mgno.network.MgNetwork` with transfer="released"."""
    ours = {}
    for i, cycle in enumerate(net.cycles):
        for name, value in cycle.named_parameters():
            kind, level, rest = name.split(".", 2)
            ours[f"linear.{i}.grids.{level}.{kind}.{rest}"] = value
        ours[f"local.{i}.weight"], ours[f"local.{i}.bias"] = net.local[i].weight[..., 0, 0], net.local[i].bias
    return ours | {"head.weight": net.head.weight[..., 0, 0]}


def published_h1(prediction: torch.Tensor, target: torch.Tensor, kept: int = 20) -> torch.Tensor:
    """The Darcy scripts' norm, per item, of (item, 1, x, y): Fourier modes weighted by (1 + kx^2 + ky^2)^(1/2).

    The square counts as periodic, wavenumbers are whole numbers, and those from `kept` on count as zero in the weight.
    """
    waves = [torch.fft.fftfreq(n, 1 / n).abs() for n in target.shape[-2:]]
    kx, ky = (torch.where(k < kept, k, 0.0) for k in waves)
    weight = (1 + kx[:, None] ** 2 + ky[None] ** 2).sqrt()
    size = lambda v: (torch.fft.fft2(v) * weight).abs().square().flatten(1).sum(1).sqrt()  # noqa: E731
    return size(prediction - target) / size(target)


def published_h1_helmholtz(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The Helmholtz script's (item, 1, x, y) -> (sum 10 e^2 + |grad e|^2)^(1/2), spacing 1 / n, mean over n_items."""
    error, n = prediction - target, target.shape[-1]
    slopes = torch.gradient(error, spacing=1 / n, dim=(2, 3))
    total = 10 * error.square() + sum(s.square() for s in slopes)
    return total.flatten(1).sum(1).sqrt().mean() / len(error)
