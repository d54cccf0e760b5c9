"""The best affine map between reduced bases: what a neural operator has to beat before its nonlinearity counts.

    u = mean_u + Phi W^T Psi^T (a - mean_a)

Psi and Phi are the leading principal components of the training inputs and outputs; W is ridge regression, its penalty chosen
by generalised cross-validation (Golub, Heath, Wahba 1979) on the training data alone.
"""

from dataclasses import dataclass

import numpy as np

from sciml.learners.closed_form import ClosedForm
from solvers.errors import SettingError

PENALTIES = np.logspace(-10, 4, 43)  # of the ridge, relative to the largest squared singular value


@dataclass(frozen=True)
class Config:
    """rank_in, rank_out : components kept of inputs and outputs (at most the number of samples less one)."""

    rank_in: int = 256
    rank_out: int = 256

    def __post_init__(self):
        if min(self.rank_in, self.rank_out) < 1:
            raise SettingError(given=f"{self}", needed="ranks >= 1", remedy="Change them.")


class Linear(ClosedForm):
    """Ridge regression between principal components; see the module. Answers on the training grid only.

    Examples
    --------
    >>> Linear(rank_in=64).config.rank_in
    64
    """

    def __init__(self, **config):
        super().__init__(Config(**config))

    def shapes(self, signature):
        points = int(np.prod(signature.grid.shape))
        n_in, n_out = len(signature.inputs) * points, len(signature.outputs) * points
        return {
            "mean_in": np.zeros(n_in), "mean_out": np.zeros(n_out), "basis_in": np.zeros((self.config.rank_in, n_in)),
            "basis_out": np.zeros((self.config.rank_out, n_out)), "map": np.zeros((self.config.rank_in, self.config.rank_out)),
            "penalty": np.zeros(()),
        }  # fmt: skip

    def solve(self, inputs, targets):
        weights = self.shapes(self.bound_signature)
        x, y = inputs.reshape(len(inputs), -1), targets.reshape(len(targets), -1)
        weights["mean_in"], weights["mean_out"] = x.mean(0), y.mean(0)
        basis_in = _components(x - x.mean(0), self.config.rank_in)
        basis_out = _components(y - y.mean(0), self.config.rank_out)
        z, t = (x - x.mean(0)) @ basis_in.T, (y - y.mean(0)) @ basis_out.T
        mapping, penalty = _ridge(z, t)
        # Fewer samples than components: the rest stays zero, so that shapes do not depend on the data.
        weights["basis_in"][: len(basis_in)], weights["basis_out"][: len(basis_out)] = basis_in, basis_out
        weights["map"][: mapping.shape[0], : mapping.shape[1]] = mapping
        weights["penalty"] = np.array(penalty)
        return weights

    def answer(self, inputs):
        w = self.weights
        z = (inputs.reshape(len(inputs), -1) - w["mean_in"]) @ w["basis_in"].T
        y = w["mean_out"] + (z @ w["map"]) @ w["basis_out"]
        return y.reshape(len(inputs), len(self.bound_signature.outputs), *inputs.shape[2:])


def _components(centred: np.ndarray, rank: int) -> np.ndarray:
    """Leading right singular vectors, (component, feature), by the smaller Gram matrix."""
    n, m = centred.shape
    rank = min(rank, m, max(n - 1, 1))
    if n <= m:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        order = np.argsort(values)[::-1][:rank]
        order = order[values[order] > 1e-14 * max(values.max(), np.finfo(float).tiny)]
        return (vectors[:, order] / np.sqrt(values[order])).T @ centred
    values, vectors = np.linalg.eigh(centred.T @ centred)
    return vectors[:, np.argsort(values)[::-1][:rank]].T


def _ridge(z: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, float]:
    """Ridge regression t ~ z W with the penalty of least generalised cross-validation error."""
    if z.shape[1] == 0 or t.shape[1] == 0:
        return np.zeros((z.shape[1], t.shape[1])), 0.0
    u, s, vt = np.linalg.svd(z, full_matrices=False)
    projected = u.T @ t
    outside, n = np.sum(t**2) - np.sum(projected**2), len(z)
    best, penalty = np.inf, 0.0
    for share in PENALTIES:
        shrink = s**2 / (s**2 + share * s[0] ** 2)
        free = n - 1 - shrink.sum()  # one degree of freedom is the mean's
        if free <= 0:
            continue
        score = (outside + np.sum(((1 - shrink)[:, None] * projected) ** 2)) / free**2
        if score < best:
            best, penalty = score, share * s[0] ** 2
    return vt.T @ ((s / (s**2 + penalty))[:, None] * projected), float(penalty)
