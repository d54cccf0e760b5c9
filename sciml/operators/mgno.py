"""MgNO: u <- act(W u + B u), where W is one multichannel multigrid V-cycle, exactly linear, and B a pointwise affine map.

He, Liu, Xu, MgNO: Efficient Parameterization of Linear Operators via Multigrid, ICLR 2024 (arXiv 2310.19809). One level does

    u <- u + S (f - A u)        smoothing steps, A and S learned 3^d convolutions between C_u and C_f channels
    f' = R f,  u' = Pi u        ("fas", as released)   or   f' = R (f - A u),  u' = 0   ("correction", the classical cycle)
    u <- u + P u'

With hand-set weights and cycle="correction" the layer is a classical V-cycle (tested to 1e-12). Unlike the released code the
transfers are aligned and adjoint (P linear interpolation between the true coordinates, R = (h / h') P^T, then a 1x1 mix of
channels), so that every grid size works, and ghost values follow the boundary condition of each side.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.tasks import Signature
from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid

COARSEST = {"interior": 3, "node": 4, "cell": 4, "periodic": 4}  # points per side at which "auto" stops coarsening


@dataclass(frozen=True)
class Config:
    """Settings of a MgNO.

    width : channels of the hidden layers.   depth : number of layers.
    levels : grids of a V-cycle, finest included; 0 coarsens until a side has about four points.
    pre, post : smoothing steps before and after the coarse-grid correction.   coarsest : steps on the coarsest grid.
    cycle : "fas" (as released) or "correction" (classical).
    skip : add the input's first output-many channels to the result (autoregressive tasks: learn the increment).
    coordinates : give the grid's coordinates as extra input channels; off, since walls are known through the ghost values.
    """

    width: int = 24
    depth: int = 4
    levels: int = 0
    pre: int = 1
    post: int = 0
    coarsest: int = 2
    cycle: str = "fas"
    skip: bool = False
    coordinates: bool = False

    def __post_init__(self):
        if min(self.width, self.depth, self.pre, self.coarsest) < 1 or min(self.post, self.levels) < 0:
            raise SettingError(
                given=f"{self}", needed="width, depth, pre, coarsest >= 1 and post, levels >= 0", remedy="Change them."
            )
        if self.cycle not in ("fas", "correction"):
            raise SettingError(given=f"cycle={self.cycle!r}", needed="'fas' or 'correction'", remedy="Change `cycle`.")


PRESETS = {
    "tiny": {"width": 8, "depth": 2},
    "small": {"width": 16, "depth": 3},
    "base": {"width": 24, "depth": 4},
    "large": {"width": 32, "depth": 5},
}


class MgNO(TorchOperator):
    """Multigrid neural operator (He, Liu, Xu 2024) in 1-D to 3-D on periodic, node, cell or interior grids; see `Config`.

    Outputs are scaled but not shifted, so that a zero boundary value stays zero. Answers at another resolution when its levels
    exist there; the learned stencils do not know the spacing, so expect larger errors than at the trained resolution.

    Examples
    --------
    >>> MgNO(width=8, depth=2).config.cycle
    'fas'
    """

    shifts = (True, False)

    def __init__(self, **config):
        super().__init__(Config(**config))

    def build(self, signature: Signature) -> nn.Module:
        self._levels = level_count(signature.grid, self.config.levels)
        return MgNetwork(len(signature.inputs), len(signature.outputs), signature.grid, self._levels, self.config)

    def check_grid(self, shape: tuple[int, ...]) -> None:
        level_count(self.bound_signature.grid.with_shape(tuple(shape)), self._levels)

    def recommended(self, task):
        return {"lr": 4e-3, "batch_size": 8, "epochs": 40, "weight_decay": 1e-5}


class MgNetwork(nn.Module):
    """Layers of a MgNO, (item, channel, *space) in and out."""

    def __init__(self, inputs: int, outputs: int, grid: Grid, levels: int, config: Config):
        super().__init__()
        self.outputs, self.skip, self.coordinates = outputs, config.skip, config.coordinates
        inputs += grid.dimension if config.coordinates else 0
        steps = {"levels": levels, "pre": config.pre, "post": config.post, "coarsest": config.coarsest, "cycle": config.cycle}
        channels = [inputs] + [config.width] * config.depth
        pairs = list(itertools.pairwise(channels))
        self.linear = nn.ModuleList([MgLinear(a, b, grid, **steps) for a, b in pairs])
        self.local = nn.ModuleList([_convolution(grid.dimension)(a, b, 1) for a, b in pairs])
        self.head = _convolution(grid.dimension)(config.width, outputs, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = x[:, : self.outputs]
        if self.coordinates:
            axes = [torch.linspace(0, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[2:]]
            x = torch.cat([x, torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(x.shape[0], *[-1] * (x.ndim - 1))], 1)
        x = _channels_last(x)
        for linear, local in zip(self.linear, self.local, strict=True):
            x = F.gelu(linear(x) + local(x))
        x = self.head(x)
        return x + first if self.skip else x


class MgLinear(nn.Module):
    """One multichannel V-cycle from zero, W f: exactly linear in f, without biases.

    Parameters
    ----------
    c_in, c : channels of the right-hand side f and of the iterate u.
    grid : gives kind and boundary of each axis; sizes are taken from the array at hand.
    levels : number of grids.   pre, post, coarsest : smoothing steps.   cycle : "fas" or "correction".

    Attributes
    ----------
    A, S : per level, the operators (C_u -> C_f) and smoothers (C_f -> C_u) of each step.
    residual : per level but the last, the A of the restricted residual ("correction").
    R, P, Pi : per transfer, the 1x1 mixes of right-hand side, correction and iterate.
    """

    def __init__(
        self, c_in: int, c: int, grid: Grid, *, levels: int, pre: int = 1, post: int = 0, coarsest: int = 2, cycle="fas"
    ):
        super().__init__()
        self.axes, self.levels, self.cycle = grid.axes, levels, cycle
        self.post = post
        conv = functools.partial(_convolution(grid.dimension), bias=False)
        self.S, self.A, self.residual = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(levels):
            last = level == levels - 1
            steps = coarsest if last else pre + post
            first_free = level == 0 or cycle == "correction"  # the first step starts from zero and needs no A
            self.S.append(nn.ModuleList([conv(c_in, c, 3) for _ in range(steps)]))
            self.A.append(nn.ModuleList([conv(c, c_in, 3) for _ in range(steps - first_free)]))
            if cycle == "correction" and not last:
                self.residual.append(conv(c, c_in, 3))
        self.R = nn.ModuleList([conv(c_in, c_in, 1) for _ in range(levels - 1)])
        self.P = nn.ModuleList([conv(c, c, 1) for _ in range(levels - 1)])
        self.Pi = nn.ModuleList([conv(c, c, 1) for _ in range(levels - 1 if cycle == "fas" else 0)])

    def forward(self, f: torch.Tensor) -> torch.Tensor:
        """(item, c_in, *space) -> (item, c, *space)."""
        return self._cycle(0, None, f)

    def _cycle(self, level: int, u: torch.Tensor | None, f: torch.Tensor) -> torch.Tensor:
        S, last = self.S[level], level == self.levels - 1
        after = 0 if last else self.post
        A = iter(self.A[level])  # type: ignore[arg-type]
        smoothers = list(S)  # type: ignore[arg-type]
        for smooth in smoothers[: len(smoothers) - after]:
            u = self._step(smooth, A, u, f)
        assert u is not None
        if last:
            return u
        space = tuple(f.shape[2:])
        if self.cycle == "fas":
            coarse_u = self.Pi[level](_transfer(u, self._matrices(space, "restrict", u)))
            coarse_f = self.R[level](_transfer(f, self._matrices(space, "restrict", f)))
        else:
            coarse_u = None
            rest = f - self._stencil(self.residual[level], u)
            coarse_f = self.R[level](_transfer(rest, self._matrices(space, "restrict", f)))
        correction = self.P[level](self._cycle(level + 1, coarse_u, coarse_f))
        u = self._masked(u + _transfer(correction, self._matrices(space, "prolong", u)))
        for smooth in smoothers[len(smoothers) - after :]:
            u = self._step(smooth, A, u, f)
        return u

    def _step(self, smooth, A, u, f) -> torch.Tensor:
        if u is None:
            return self._masked(self._stencil(smooth, f))
        return self._masked(u + self._stencil(smooth, f - self._stencil(next(A), u)))

    def _stencil(self, conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """A 3^d convolution whose ghost values follow the boundary conditions."""
        return _correlate(x, conv.weight, self.axes)  # type: ignore[arg-type]

    def _masked(self, u: torch.Tensor) -> torch.Tensor:
        """Zero on Dirichlet walls that are points of the grid."""
        for i, axis in enumerate(self.axes):
            if axis.kind == "node" and "dirichlet" in axis.boundary:
                mask = torch.ones(u.shape[2 + i], dtype=u.dtype, device=u.device)
                mask[0] = 0.0 if axis.boundary[0] == "dirichlet" else 1.0
                mask[-1] = 0.0 if axis.boundary[1] == "dirichlet" else 1.0
                u = u * mask.reshape(-1, *(1,) * (u.ndim - 3 - i))
        return u

    def _matrices(self, space: tuple[int, ...], which: str, like: torch.Tensor):
        return _transfer_matrices(self.axes, space, which, like.dtype, like.device)


def level_count(grid: Grid, levels: int) -> int:
    """Number of levels of a V-cycle on a grid; 0 asks for as many as make the coarsest side about four points.

    Raises
    ------
    GridError : more levels than the grid has; names the chain of sizes and the largest count.
    """
    chains = [_chain(axis) for axis in grid.axes]
    largest = min(len(chain) for chain in chains)
    if levels == 0:
        return (
            min(
                next(i for i, n in enumerate(c) if n <= COARSEST[a.kind] or i == len(c) - 1)
                for a, c in zip(grid.axes, chains, strict=True)
            )
            + 1
        )
    if levels > largest:
        shown = " x ".join(f"{a.name}: {' -> '.join(map(str, c))}" for a, c in zip(grid.axes, chains, strict=True))
        raise GridError(
            given=f"{levels} multigrid levels on a grid of {' x '.join(map(str, grid.shape))} points",
            needed=f"at most {largest} ({shown})",
            remedy=f"Set levels={largest} or less (0 chooses), or use a finer grid.",
        )
    return levels


def coarse_size(axis: Axis) -> int:
    """Points of the next coarser grid: floor(n / 2) of interior grids, ceil(n / 2) of the others."""
    return axis.size // 2 if axis.kind == "interior" else -(-axis.size // 2)


def _chain(axis: Axis) -> list[int]:
    sizes = [axis.size]
    smallest = {"interior": 1, "node": 3, "cell": 1, "periodic": 2}[axis.kind]
    while (
        n := coarse_size(Axis(axis.name, sizes[-1], axis.start, axis.stop, axis.kind, axis.boundary))
    ) >= smallest and n < sizes[-1]:
        sizes.append(n)
    return sizes


def prolongation(fine: Axis) -> np.ndarray:
    """Linear interpolation to `fine` from the next coarser grid, (fine points, coarse points).

    Beyond the outermost coarse point the boundary rule decides: zero at a Dirichlet wall, constant otherwise, periodic around.
    """
    coarse = Axis(fine.name, coarse_size(fine), fine.start, fine.stop, fine.kind, fine.boundary)
    n = coarse.size
    x, unit = coarse.coordinates(), np.eye(n)
    if fine.kind == "periodic":
        points = [x[-1] - fine.length, *x, x[0] + fine.length]
        rows = [unit[-1], *unit, unit[0]]
    else:
        points, rows = list(x), list(unit)
        for side, wall in ((0, fine.start), (1, fine.stop)):
            if fine.kind == "node":
                continue
            value = np.zeros(n) if fine.boundary[side] == "dirichlet" else unit[-side]
            points.insert(len(points) * side, wall)
            rows.insert(len(rows) * side, value)
    points, table = np.array(points), np.array(rows)
    left = np.clip(np.searchsorted(points, fine.coordinates(), side="right") - 1, 0, len(points) - 2)
    share = (fine.coordinates() - points[left]) / (points[left + 1] - points[left])
    return (1 - share)[:, None] * table[left] + share[:, None] * table[left + 1]


def restriction(fine: Axis) -> np.ndarray:
    """(h / h_coarse) times the transpose of `prolongation`, (coarse points, fine points)."""
    coarse = Axis(fine.name, coarse_size(fine), fine.start, fine.stop, fine.kind, fine.boundary)
    ratio = fine.spacing / coarse.spacing if coarse.size > 1 or fine.kind != "node" else 0.5
    return ratio * prolongation(fine).T


@functools.lru_cache(maxsize=256)
def _transfer_matrices(axes: tuple[Axis, ...], space: tuple[int, ...], which: str, dtype: torch.dtype, device: torch.device):
    """Per axis, the matrix to or from the next coarser grid of a fine grid with `space` points."""
    fine = [Axis(a.name, n, a.start, a.stop, a.kind, a.boundary) for a, n in zip(axes, space, strict=True)]
    if which == "prolong":
        return tuple(torch.tensor(prolongation(a), dtype=dtype, device=device) for a in fine)
    return tuple(torch.tensor(restriction(a), dtype=dtype, device=device) for a in fine)


def _transfer(x: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Apply one matrix along each space axis; channels-last inside, where each is a product of large blocks."""
    x = x.movedim(1, -1)
    items, *space, channels = x.shape
    for i, matrix in enumerate(matrices):
        matrix = matrix.to(x.dtype)
        before, after = items * int(np.prod(space[:i])), channels * int(np.prod(space[i + 1 :]))
        blocks = x.reshape(before, space[i], after)
        x = torch.bmm(matrix.expand(before, *matrix.shape), blocks)
        space[i] = matrix.shape[0]
    return x.reshape(items, *space, channels).movedim(-1, 1)


def _correlate(x: torch.Tensor, weight: torch.Tensor, axes: tuple[Axis, ...]) -> torch.Tensor:
    """3^d correlation with one layer of ghost values per side: zero, odd (cell Dirichlet), even or periodic."""
    convolve = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    zero = [all(_ghost(axis, side) == "zero" for side in (0, 1)) for axis in axes]
    for i, axis in enumerate(axes):
        if not zero[i]:
            x = torch.cat([_ghost_values(x, 2 + i, axis, 0), x, _ghost_values(x, 2 + i, axis, 1)], dim=2 + i)
    return convolve(x, weight, padding=[int(z) for z in zero])


def _ghost(axis: Axis, side: int) -> str:
    if axis.kind == "periodic":
        return "wrap"
    if axis.boundary[side] == "dirichlet":
        return "odd" if axis.kind == "cell" else "zero"
    return "reflect" if axis.kind == "node" else "repeat"


def _ghost_values(x: torch.Tensor, dim: int, axis: Axis, side: int) -> torch.Tensor:
    """The layer of points beyond one side. "repeat" is also the extrapolation at sides without a condition."""
    n, rule = x.shape[dim], _ghost(axis, side)
    edge = n - 1 if side else 0
    if rule == "wrap":
        return x.narrow(dim, n - 1 - edge, 1)
    if rule == "reflect":
        return x.narrow(dim, min(n - 1, max(0, edge + (1 - 2 * side))), 1)
    values = x.narrow(dim, edge, 1)
    return {"odd": torch.neg, "zero": torch.zeros_like, "repeat": lambda v: v}[rule](values)


def _convolution(dimension: int) -> type[nn.Module]:
    return {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimension]


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=formats[x.ndim]) if x.ndim in formats else x
