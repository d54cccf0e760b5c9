"""The multigrid cycle of `solvers.multigrid` on stencils, in torch: differentiable, for batches of operators.

An operator is (item, 3, 3, x, y): A[:, 1 + i, 1 + j] couples each point to its neighbour at (i, j), zero beyond the walls. One
coarsening keeps every second point along x (along y by transposition); a point left out is `left` times its left neighbour plus
`right` times its right one, so that Galerkin products P^T A P keep nine points. Iterates are (item, x, y).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F

from solvers.multigrid import COARSEST, Lines


def from_faces(x_faces: torch.Tensor, y_faces: torch.Tensor) -> torch.Tensor:
    """Stencils of -div(a grad) from faces, (item, x + 1, y) and (item, x, y + 1), of `solvers.elliptic.face_coefficients`."""
    n, m = y_faces.shape[1], x_faces.shape[2]
    operator = x_faces.new_zeros(len(x_faces), 3, 3, n, m)
    operator[:, 1, 1] = x_faces[:, :-1] + x_faces[:, 1:] + y_faces[..., :-1] + y_faces[..., 1:]
    operator[:, 0, 1, 1:], operator[:, 2, 1, :-1] = -x_faces[:, 1:-1], -x_faces[:, 1:-1]
    operator[:, 1, 0, :, 1:], operator[:, 1, 2, :, :-1] = -y_faces[..., 1:-1], -y_faces[..., 1:-1]
    return operator


def turned(operator: torch.Tensor) -> torch.Tensor:
    """x and y exchanged."""
    return operator.permute(0, 2, 1, 4, 3)


def apply(operator: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """A u."""
    n, m = u.shape[-2:]
    wide = F.pad(u, (1, 1, 1, 1))
    return sum(operator[:, i, j] * wide[:, i : i + n, j : j + m] for i in range(3) for j in range(3))  # type: ignore[return-value]


def by_equation(operator: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Interpolation by the operator's own equation, couplings summed across the line (`solvers.multigrid.interpolation`)."""
    sums = operator[:, :, :, 1::2].sum(2)
    return -sums[:, 0] / sums[:, 1], -sums[:, 2] / sums[:, 1]


def galerkin(operator: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """P^T A P for the weights (item, points left out, y)."""
    kept = (operator.shape[3] + 1) // 2
    even, odd = operator[:, :, :, ::2], operator[:, :, :, 1::2]
    more = kept - odd.shape[3]  # a kept point without one to its right
    left, right = F.pad(left, (0, 0, 0, more)), F.pad(right, (0, 0, 0, more))
    odd = F.pad(odd, (0, 0, 0, more))
    before = lambda w: F.pad(w, (0, 0, 1, 0))[..., :-1, :]  # noqa: E731 - of the point left out before a kept one
    beside = lambda w: torch.stack([F.pad(w, (1, 1))[..., j : j + w.shape[-1]] for j in range(3)], 1)  # noqa: E731
    at_left, at_right = beside(left), beside(right)
    row_minus = even[:, 0] * beside(before(left))
    row_zero = even[:, 1] + even[:, 2] * at_left + even[:, 0] * beside(before(right))
    row_plus = even[:, 2] * at_right
    odd_zero = odd[:, 1] * at_left + odd[:, 0]
    odd_plus = odd[:, 1] * at_right + odd[:, 2]
    here, there = left[:, None], before(right)[:, None]
    minus = row_minus + there * before(odd_zero)
    zero = row_zero + here * odd_zero + there * before(odd_plus)
    plus = row_plus + here * odd_plus
    return torch.stack([minus, zero, plus], 1)


def restricted(u: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """P^T u."""
    out, odd = u[:, ::2].clone(), u[:, 1::2]
    out[:, : left.shape[1]] += left * odd
    inner = out.shape[1] - 1
    out[:, 1:] += (right * odd)[:, :inner]
    return out


def prolonged(u: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """P u."""
    count, kept = left.shape[1], u.shape[1]
    beyond = F.pad(u, (0, 0, 0, 1))[:, 1 : count + 1]
    odd = left * u[:, :count] + right * beyond
    joined = torch.stack([u, F.pad(odd, (0, 0, 0, kept - count))], 2).flatten(1, 2)
    return joined[:, : kept + count]


@dataclass
class Level:
    """An operator, and how the next coarser grid is reached: (axis, left, right) along x, along y, or both in turn."""

    operator: torch.Tensor
    steps: list[tuple[int, torch.Tensor, torch.Tensor]]
    finest: bool = False

    @cached_property
    def smoother(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """B of the Chebyshev iteration: the diagonal on the finest grid, the lines below."""
        return diagonal(self.operator) if self.finest else lines(self.operator)

    @cached_property
    def bound(self) -> torch.Tensor | float:
        """Of the eigenvalues of B A (see `solvers.multigrid`), (item, 1, 1) or one for all."""
        if not self.finest:
            return Lines.bound
        return (self.operator.abs().sum((1, 2)) / self.operator[:, 1, 1]).amax((1, 2), keepdim=True)

    def restrict(self, u: torch.Tensor) -> torch.Tensor:
        """To the coarser grid, (item, x, y)."""
        for axis, left, right in self.steps:
            u = restricted(u.mT if axis else u, left, right)
            u = u.mT if axis else u
        return u

    def prolong(self, u: torch.Tensor) -> torch.Tensor:
        """From the coarser grid."""
        for axis, left, right in reversed(self.steps):
            u = prolonged(u.mT if axis else u, left, right)
            u = u.mT if axis else u
        return u


class Cycle:
    """One symmetric V-cycle for a batch of operators, u = cycle(f), as `solvers.multigrid.Cycle` has it.

    Parameters
    ----------
    operator : stencils of -div(a grad).   sweeps : degree of the Chebyshev smoothers.
    """

    def __init__(self, operator: torch.Tensor, sweeps: int = 2):
        self.sweeps = sweeps
        self.levels: list[Level] = []
        while max(operator.shape[-2:]) > COARSEST:
            level = Level(operator, [], finest=not self.levels)
            for axis in (0, 1):
                if operator.shape[3 + axis] > COARSEST:
                    along = turned(operator) if axis else operator
                    left, right = by_equation(along)
                    along = galerkin(along, left, right)
                    operator = turned(along) if axis else along
                    level.steps.append((axis, left, right))
            self.levels.append(level)
        self.inverse = torch.linalg.pinv(dense(operator), rtol=1e-12, hermitian=True)  # without a Dirichlet side: singular

    def __call__(self, f: torch.Tensor) -> torch.Tensor:
        return self._descend(0, f)

    def _descend(self, depth: int, f: torch.Tensor) -> torch.Tensor:
        if depth == len(self.levels):
            return (self.inverse @ f.flatten(1)[..., None])[..., 0].view_as(f)
        level = self.levels[depth]
        u = self.before(depth, f)
        u = u + level.prolong(self._descend(depth + 1, level.restrict(f - apply(level.operator, u))))
        return self.after(depth, u, f)

    def before(self, depth: int, f: torch.Tensor) -> torch.Tensor:
        """Smoothing from zero, on the way down."""
        return self.chebyshev(self.levels[depth], None, f)

    def after(self, depth: int, u: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
        """Smoothing on the way up: the adjoint, in the energy, of that on the way down."""
        return self.chebyshev(self.levels[depth], u, f)

    def chebyshev(self, level: Level, start: torch.Tensor | None, f: torch.Tensor) -> torch.Tensor:
        """Chebyshev iteration for the upper three quarters of the spectrum of B A; a start of None is zero."""
        centre, half = 0.625 * level.bound, 0.375 * level.bound
        step = level.smoother(f if start is None else f - apply(level.operator, start)) / centre
        u = step if start is None else start + step
        rate = half / centre
        for _ in range(self.sweeps - 1):
            previous, rate = rate, 1 / (2 * centre / half - rate)
            step = step * (rate * previous) + (2 * rate / half) * level.smoother(f - apply(level.operator, u))
            u = u + step
        return u


def diagonal(operator: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """D^-1."""
    centre = operator[:, 1, 1]
    return lambda r: r / centre


def lines(operator: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Mean of the inverses of the lines along x and along y."""
    factors = [torch.linalg.cholesky(_along_x(a)) for a in (operator, turned(operator))]

    def smooth(r: torch.Tensor) -> torch.Tensor:
        x, y = (torch.cholesky_solve(v.mT[..., None], factor)[..., 0].mT for v, factor in zip((r, r.mT), factors, strict=True))
        return 0.5 * (x + y.mT)

    return smooth


def _along_x(operator: torch.Tensor) -> torch.Tensor:
    """(item, y, x, x): the tridiagonal matrix of each line."""
    centre, coupling = operator[:, 1, 1].mT, operator[:, 2, 1, :-1].mT
    return torch.diag_embed(centre) + torch.diag_embed(coupling, 1) + torch.diag_embed(coupling, -1)


def dense(operator: torch.Tensor) -> torch.Tensor:
    """(item, points, points)."""
    n, m = operator.shape[-2:]
    unit = torch.eye(n * m, dtype=operator.dtype, device=operator.device).view(n * m, n, m)
    columns = [apply(operator, e.expand(len(operator), n, m)).flatten(1) for e in unit]
    return torch.stack(columns, 2)
