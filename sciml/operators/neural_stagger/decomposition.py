"""Interleaved decomposition of grids and of time: sub-grid (a, b) of factors (s, t) holds the points (a + i s, b + j t).

    u_ab[i, j] = u[a + i s, b + j t],    0 <= a < s,  0 <= b < t

A permutation: nothing is lost, and nothing is averaged. Every sub-grid covers the whole domain at s times the spacing. (This is
not a staggered grid of velocities and pressures.)

Huang et al., NeuralStagger, ICML 2023 (arXiv 2302.10255).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from solvers.errors import GridError, SettingError

AXES = "xyz"


@dataclass(frozen=True)
class InterleavedDecomposition:
    """Sub-grids of a grid; sub-grid number q counts offsets with the last axis fastest.

    Parameters
    ----------
    shape : points per axis, 1-D to 3-D.
    factors : sub-grids per axis, one number or one per axis.

    Examples
    --------
    >>> split = InterleavedDecomposition((4, 6), (2, 3))
    >>> split.count, split.sub_shape, split.offsets[1]
    (6, (2, 2), (0, 1))
    >>> x = torch.arange(24.0).reshape(1, 1, 4, 6)
    >>> split.split(x)[0, 1, 0]
    tensor([[ 1.,  4.],
            [13., 16.]])
    >>> bool((split.join(split.split(x)) == x).all())
    True
    """

    shape: tuple[int, ...]
    factors: tuple[int, ...]

    def __post_init__(self):
        shape = tuple(int(n) for n in self.shape)
        factors = per_axis(self.factors, len(shape), "space")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "factors", factors)

    @property
    def offsets(self) -> list[tuple[int, ...]]:
        """Offset of each sub-grid."""
        return list(itertools.product(*(range(s) for s in self.factors)))

    @property
    def count(self) -> int:
        """Number of sub-grids."""
        return math.prod(self.factors)

    @property
    def sub_shape(self) -> tuple[int, ...]:
        """Points per axis of each sub-grid, where all are equal.

        Raises
        ------
        GridError : a factor does not divide its axis; the message lists those that do.
        """
        for name, n, s in zip(AXES, self.shape, self.factors, strict=False):
            if n % s:
                good = [d for d in range(1, n + 1) if n % d == 0]
                raise GridError(
                    given=f"factor {s} for the {n} points of axis {name}",
                    needed=f"one that divides {n}: {', '.join(map(str, good))}",
                    remedy=f"Change `space`, or use {s * (n // s) or s} or {s * (n // s + 1)} points.",
                )
        return tuple(n // s for n, s in zip(self.shape, self.factors, strict=True))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(item, channel, *space) to (item, sub-grid, channel, *sub-space): one batch, so all sub-grids must be equal."""
        sub = self.sub_shape
        self._check(x)
        d = len(sub)
        pairs = [n for pair in zip(sub, self.factors, strict=True) for n in pair]
        x = x.reshape(*x.shape[:2], *pairs)
        order = (0, *(3 + 2 * i for i in range(d)), 1, *(2 + 2 * i for i in range(d)))
        return x.permute(order).reshape(x.shape[0], self.count, x.shape[1], *sub)

    def join(self, parts: torch.Tensor) -> torch.Tensor:
        """Inverse of `split`."""
        sub = self.sub_shape
        if parts.ndim != len(sub) + 3 or parts.shape[1] != self.count or tuple(parts.shape[3:]) != sub:
            raise GridError(
                given=f"sub-grids of shape {tuple(parts.shape)}",
                needed=f"(item, {self.count}, channel, {', '.join(map(str, sub))})",
                remedy="Pass what `split` gave.",
            )
        d, channels = len(sub), parts.shape[2]
        x = parts.reshape(parts.shape[0], *self.factors, channels, *sub)
        order = (0, d + 1, *(axis for i in range(d) for axis in (d + 2 + i, 1 + i)))
        return x.permute(order).reshape(parts.shape[0], channels, *self.shape)

    def pieces(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Sub-grids as a list of views, for any sizes: (item, channel, ceil((n - a) / s), ...), empty where s > n."""
        self._check(x)
        return [x[self._points(offset)] for offset in self.offsets]

    def assemble(self, pieces: Sequence[torch.Tensor]) -> torch.Tensor:
        """Inverse of `pieces`."""
        if len(pieces) != self.count:
            raise GridError(given=f"{len(pieces)} sub-grids", needed=f"{self.count}", remedy="Pass what `pieces` gave.")
        x = pieces[0].new_empty(*pieces[0].shape[:2], *self.shape)
        for offset, piece in zip(self.offsets, pieces, strict=True):
            x[self._points(offset)] = piece
        return x

    def every(self, stride: int | Sequence[int]) -> list[int]:
        """Numbers of the sub-grids that make up the uniform field of every `stride`-th point.

        Raises
        ------
        SettingError : a stride that does not divide the factor of its axis; the message lists those that do.
        """
        strides = per_axis(stride, len(self.shape), "every")
        for name, r, s in zip(AXES, strides, self.factors, strict=False):
            if s % r:
                good = [d for d in range(1, s + 1) if s % d == 0]
                raise SettingError(
                    given=f"every {r} points along {name}, of sub-grids {s} points apart",
                    needed=f"a divisor of {s}: {', '.join(map(str, good))}",
                    remedy="Change `every`.",
                )
        return [q for q, o in enumerate(self.offsets) if all(a % r == 0 for a, r in zip(o, strides, strict=True))]

    def coarser(self, stride: int | Sequence[int]) -> "InterleavedDecomposition":
        """Decomposition of the field of every `stride`-th point into the sub-grids that `every(stride)` names."""
        strides = per_axis(stride, len(self.shape), "every")
        shape = (n // r for n, r in zip(self.shape, strides, strict=True))
        return InterleavedDecomposition(tuple(shape), tuple(s // r for s, r in zip(self.factors, strides, strict=True)))

    def _points(self, offset: tuple[int, ...]) -> tuple:
        return (slice(None), slice(None), *(slice(a, None, s) for a, s in zip(offset, self.factors, strict=True)))

    def _check(self, x: torch.Tensor) -> None:
        if tuple(x.shape[2:]) != self.shape:
            raise GridError(
                given=f"an array of shape {tuple(x.shape)}",
                needed=f"(item, channel, {', '.join(map(str, self.shape))})",
                remedy="Make a decomposition of this grid.",
            )


def split_frames(frames: torch.Tensor, factor: int) -> list[torch.Tensor]:
    """Frames (item, time, ...) as `factor` interleaved sub-sequences: frame n belongs to number n mod factor.

    >>> [part[0].tolist() for part in split_frames(torch.arange(5)[None], 2)]
    [[0, 2, 4], [1, 3]]
    """
    if factor < 1:
        raise SettingError(given=f"time={factor}", needed="at least 1", remedy="Change `time`.")
    return [frames[:, m::factor] for m in range(factor)]


def join_frames(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Inverse of `split_frames`."""
    frames = parts[0].new_empty(parts[0].shape[0], sum(p.shape[1] for p in parts), *parts[0].shape[2:])
    for m, part in enumerate(parts):
        frames[:, m :: len(parts)] = part
    return frames


def per_axis(value: Any, dimension: int, name: str) -> tuple[int, ...]:
    """One positive whole number per axis, from one number or one for each."""
    values = (value,) * dimension if isinstance(value, int) else tuple(value)
    if len(values) != dimension or any(not isinstance(v, int) or v < 1 for v in values):
        raise SettingError(
            given=f"{name}={value!r} in {dimension} dimension{'s' * (dimension != 1)}",
            needed=f"a whole number >= 1, or {dimension} of them",
            remedy=f"Change `{name}`.",
        )
    return values
