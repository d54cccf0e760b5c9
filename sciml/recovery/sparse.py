"""Sparse regression y = G xi + noise: thresholded least squares, and the best subsets of every size.

Columns are scaled to unit length inside; coefficients are those of the columns as given. Subsets are searched with a beam: the
best of each size are extended by every column, all their small normal equations solved at once. For few columns that is
exhaustive.

Brunton, Proctor, Kutz, Discovering governing equations from data by sparse identification, PNAS 113, 2016 (thresholding).
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

RIDGE = 1e-13
BEAM = 24
MOST_TERMS = 10


@dataclass(frozen=True)
class Subset:
    """columns : chosen, increasing.   values : their coefficients.   rss : squared residual.   rows : of the system.
    constants : values of constants inside terms that differ from their start values, by index."""

    columns: tuple[int, ...]
    values: np.ndarray
    rss: float
    rows: int
    constants: tuple[tuple[int, float], ...] = ()

    def bic(self, per_term: float | None = None, floor: float = 0.0) -> float:
        """rows log(rss / rows) + terms log(rows), or another price of a term. floor : variance below which no fit is better."""
        price = np.log(self.rows) if per_term is None else per_term
        return float(self.rows * np.log(self.rss / self.rows + floor + 1e-300) + price * len(self.columns))


def stlsq(G: np.ndarray, y: np.ndarray, threshold: float, ridge: float = 0.0, rounds: int = 20) -> np.ndarray:
    """Sequentially thresholded least squares: fit, drop coefficients below `threshold` in absolute value, repeat, fit plainly.

    G : (row, term).   y : (row,).   threshold : of coefficients as given.   ridge : penalty on coefficients of unit columns.
    Returns (term,) coefficients, zeros where dropped.
    """
    norms = np.maximum(np.linalg.norm(G, axis=0), 1e-300)
    keep = np.ones(G.shape[1], bool)
    xi = np.zeros(G.shape[1])
    for _ in range(rounds):
        if not keep.any():
            break
        A = G[:, keep] / norms[keep]
        if ridge:
            A, b = np.concatenate([A, np.sqrt(ridge) * np.eye(A.shape[1])]), np.concatenate([y, np.zeros(A.shape[1])])
        else:
            b = y
        xi = np.zeros(G.shape[1])
        xi[keep] = np.linalg.lstsq(A, b, rcond=None)[0] / norms[keep]
        small = keep & (np.abs(xi) < threshold)
        if not small.any():
            break
        keep &= ~small
    xi = np.zeros(G.shape[1])
    if keep.any():
        xi[keep] = np.linalg.lstsq(G[:, keep], y, rcond=None)[0]
    return xi


def best_subsets(
    G: np.ndarray, y: np.ndarray, most: int = MOST_TERMS, keep: int = 3, beam: int = BEAM, always: tuple[int, ...] = ()
) -> list[Subset]:
    """The `keep` best subsets of every size up to `most`, smallest first, with their least-squares coefficients.

    always : columns in every subset.
    """
    finite = np.flatnonzero(np.isfinite(G).all(axis=0) & (np.linalg.norm(np.nan_to_num(G), axis=0) > 1e-300))
    norms = np.linalg.norm(G[:, finite], axis=0)
    A = G[:, finite] / norms
    gram, moment, total = A.T @ A, A.T @ y, float(y @ y)
    gram[np.diag_indices_from(gram)] += RIDGE
    start = np.searchsorted(finite, [k for k in always if k in finite])
    supports = np.array([np.sort(start)], int).reshape(1, -1)
    found: list[Subset] = []
    for _ in range(supports.shape[1] + 1, min(most, len(finite), len(y) - 1) + 1):
        supports = _extended(supports, len(finite))
        rss = _residuals(gram, moment, total, supports)
        order = np.argsort(rss)[: max(beam, keep)]
        supports = supports[order]
        found += [_fitted(A, y, tuple(row), finite, norms) for row in supports[:keep]]
        if found[-keep:] and min(one.rss for one in found[-min(keep, len(found)) :]) <= 1e-24 * total:
            break
    return found


def subsets_with_one(
    G: np.ndarray, y: np.ndarray, base: np.ndarray, extras: np.ndarray, most: int = 3, keep: int = 1
) -> list[Subset]:
    """For each extra column and each number of base columns up to `most`, the `keep` best subsets that hold just that extra.

    base, extras : indices of columns. Exhaustive. Columns with values that are not finite are passed over.
    """
    norms = np.linalg.norm(np.nan_to_num(G), axis=0)
    usable = np.isfinite(G).all(axis=0) & (norms > 1e-300)
    base, extras = base[usable[base]], extras[usable[extras]]
    if not len(extras):
        return []
    A = np.nan_to_num(G) / np.where(usable, norms, 1.0)
    gram, moment, total = A.T @ A, A.T @ y, float(y @ y)
    gram[np.diag_indices_from(gram)] += RIDGE
    found = []
    for size in range(min(most, len(base)) + 1):
        inner = np.array(list(itertools.combinations(base, size)), int).reshape(math.comb(len(base), size), size)
        supports = np.concatenate([np.tile(inner, (len(extras), 1)), np.repeat(extras, len(inner))[:, None]], axis=1)
        rss = _residuals(gram, moment, total, supports).reshape(len(extras), len(inner))
        for k, order in enumerate(np.argsort(rss, axis=1)[:, :keep]):
            for best in order:
                row = np.sort(supports[k * len(inner) + best])
                found.append(_fitted(A, y, tuple(int(j) for j in row), np.arange(G.shape[1]), norms))
    return found


def _extended(supports: np.ndarray, columns: int) -> np.ndarray:
    """Every support with every further column, without repetitions."""
    n = len(supports)
    wide = np.concatenate([np.repeat(supports, columns, axis=0), np.tile(np.arange(columns), n)[:, None]], axis=1)
    fresh = ~(wide[:, :-1] == wide[:, -1:]).any(axis=1)
    return np.unique(np.sort(wide[fresh], axis=1), axis=0)


def _residuals(gram: np.ndarray, moment: np.ndarray, total: float, supports: np.ndarray) -> np.ndarray:
    """Squared residuals of many supports of one size."""
    blocks, sides = gram[supports[:, :, None], supports[:, None, :]], moment[supports]
    try:
        xi = np.linalg.solve(blocks, sides[..., None])[..., 0]
    except np.linalg.LinAlgError:
        xi = np.stack([np.linalg.lstsq(b, s, rcond=None)[0] for b, s in zip(blocks, sides, strict=True)])
    value = total - 2 * np.einsum("nk,nk->n", sides, xi) + np.einsum("nk,nkl,nl->n", xi, blocks, xi)
    return np.where(np.isfinite(value), np.maximum(value, 0), np.inf)


def _fitted(A: np.ndarray, y: np.ndarray, support: tuple[int, ...], finite: np.ndarray, norms: np.ndarray) -> Subset:
    xi = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
    residual = y - A[:, support] @ xi
    columns = tuple(int(finite[k]) for k in support)
    return Subset(columns, xi / norms[list(support)], float(residual @ residual), len(y))
