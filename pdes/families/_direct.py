"""Sparse direct solve of the Darcy scheme, until solvers/multigrid.py is there."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from solvers.grid import Grid
from solvers.result import Result


@dataclass(frozen=True)
class Diffusion:
    """-div(a grad u) = f on square cells, u = 0 on the walls."""

    grid: Grid
    tolerance: float = 1e-10

    def solve(self, a, f):
        """Batched over the first axis."""
        (n, m), (h, k) = self.grid.shape, self.grid.spacing
        values, number = np.empty_like(a), np.arange(n * m).reshape(n, m)
        for i, (c, g) in enumerate(zip(a, f, strict=True)):
            diagonal, rows, cols, entries = np.zeros((n, m)), [], [], []
            for axis, w in ((0, 1 / h**2), (1, 1 / k**2)):
                lo, hi = [slice(None)] * 2, [slice(None)] * 2
                lo[axis], hi[axis] = slice(None, -1), slice(1, None)
                lo, hi = tuple(lo), tuple(hi)
                face = w * 2 * c[lo] * c[hi] / (c[lo] + c[hi])
                diagonal[lo] += face
                diagonal[hi] += face
                for end in (0, -1):
                    wall = [slice(None)] * 2
                    wall[axis] = end
                    diagonal[tuple(wall)] += 2 * w * c[tuple(wall)]
                rows += [number[lo].ravel(), number[hi].ravel()]
                cols += [number[hi].ravel(), number[lo].ravel()]
                entries += [-face.ravel()] * 2
            matrix = sp.coo_matrix(
                (np.concatenate(entries), (np.concatenate(rows), np.concatenate(cols))), shape=(n * m, n * m)
            ).tocsc()
            matrix = matrix + sp.diags(diagonal.ravel())
            values[i] = scipy.sparse.linalg.spsolve(matrix.tocsc(), g.ravel()).reshape(n, m)
        return Result(values, np.zeros(len(a), dtype=int), {})
