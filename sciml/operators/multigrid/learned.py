"""The V-cycle with a learned smoother beside the classical ones, and the network that finds it from the operator's stencils.

S = D^-1/2 T D^-1/2 has nine points, as T has: symmetric for whatever the network says, so that the cycle is symmetric, too. T
starts as the stencil that damps the upper three quarters of the spectrum of Poisson's equation best, its edges in proportion to
the couplings. The network sees the couplings a_ij / sqrt(a_ii a_jj) of every point to its neighbours, so that its answer does
not depend on units, and works on all grids of the hierarchy, whatever their size.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from sciml.operators.multigrid.levels import Cycle, apply

POISSON = (1.156, 0.263, 0.263, 0.0788, 0.0788)
"""Centre, edges and corners of T for Poisson's equation (minimax over the frequencies that a coarse grid does not hold)."""
NEIGHBOURS = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
HALF = ((1, 0), (0, 1), (1, 1), (1, -1))
"""One of each pair of opposite neighbours."""
FAINT = 1e-4


class StencilNetwork(nn.Module):
    """Couplings to T.

    Parameters
    ----------
    width : channels.   layers : convolutions of 3 x 3 points; the answer at a point depends on so many layers of neighbours.
    """

    def __init__(self, width: int, layers: int):
        super().__init__()
        sizes = [2 * len(NEIGHBOURS), *[width] * layers]
        self.hidden = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(sizes)])
        self.head = nn.Conv2d(width, 1 + len(HALF), 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, operator: torch.Tensor) -> torch.Tensor:
        """Stencils (item, 3, 3, x, y) of A to those of S."""
        n, m = operator.shape[-2:]
        root = operator[:, 1, 1].rsqrt()
        wide = F.pad(root, (1, 1, 1, 1))
        near = {(i, j): wide[:, i : i + n, j : j + m] for i, j in NEIGHBOURS}
        parameter = self.head.weight
        couplings = torch.stack([-operator[:, i, j] * root * near[i, j] for i, j in NEIGHBOURS], 1).to(parameter.dtype)
        x = torch.cat([couplings, torch.log(couplings.abs() + FAINT) / 5 + 1], 1)  # both sizes and orders of magnitude
        for layer in self.hidden:
            x = F.gelu(layer(x))
        of = {key: couplings[:, k] for k, key in enumerate(NEIGHBOURS)}
        one = torch.ones_like(couplings[:, 0])
        strength = torch.stack([one, 4 * of[2, 1], 4 * of[1, 2], one, one], 1).clamp(0, 4)
        stencil = (strength * strength.new_tensor(POISSON)[:, None, None] + torch.tanh(self.head(x))).to(operator.dtype)
        smoother = torch.zeros_like(operator)
        smoother[:, 1, 1] = stencil[:, 0] * root * root
        for k, (i, j) in enumerate(HALF):
            coupled = stencil[:, 1 + k] * root * near[1 + i, 1 + j]
            smoother[:, 1 + i, 1 + j] = coupled
            smoother[:, 1 - i, 1 - j] = F.pad(coupled, (1, 1, 1, 1))[:, 1 - i : 1 - i + n, 1 - j : 1 - j + m]
        return smoother


class LearnedCycle(Cycle):
    """`steps` of u <- u + S (f - A u) on every grid: on the finest instead of the classical smoother, on the others beside it.

    The classical one, by lines, is next to the coarse grid.
    """

    def __init__(self, operator: torch.Tensor, network: StencilNetwork, steps: int = 1, sweeps: int = 2):
        super().__init__(operator, sweeps)
        self.steps, self.learned = steps, [network(level.operator) for level in self.levels]

    def before(self, depth: int, f: torch.Tensor) -> torch.Tensor:
        """Learned smoothing on the way down, from zero."""
        u = apply(self.learned[depth], f)
        for _ in range(self.steps - 1):
            u = u + apply(self.learned[depth], f - apply(self.levels[depth].operator, u))
        return self.chebyshev(self.levels[depth], u, f) if depth else u

    def after(self, depth: int, u: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
        """Learned smoothing on the way up."""
        u = self.chebyshev(self.levels[depth], u, f) if depth else u
        for _ in range(self.steps):
            u = u + apply(self.learned[depth], f - apply(self.levels[depth].operator, u))
        return u
