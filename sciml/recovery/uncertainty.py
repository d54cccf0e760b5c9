"""How sure recovered equations are: covariance of constants, bootstrap, dependences that the data cannot break.

Covariance is Laplace's: the inverse of the Gauss-Newton matrix of all start states and constants, times the residual variance.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pdes.randomness import generator
from sciml.recovery.batches import Batch
from sciml.recovery.features import Features, degree
from sciml.recovery.search import Found
from sciml.recovery.series import Recording
from sciml.recovery.shooting import STRICT
from sciml.recovery.sparse import best_subsets
from sciml.recovery.steps import inverse
from sciml.recovery.weak import WeakSystem

SINGULAR = 1e-6
"""Smallest singular value of the terms on the data, relative to the largest, below which they count as dependent; on noisy data
a fifth of the relative noise, if that is more."""
CLOSE = 4.0
"""Difference of BIC below which two structures are not told apart."""
BLOCK = 12
"""Candidates that are fitted together in the bootstrap."""


@dataclass(frozen=True)
class Constant:
    """One constant of the equations.

    component, term : where it stands; `inner` which of the term's own constants, None for its coefficient.
    value, error : estimate and standard error.   low, high : 90 % interval of the bootstrap, NaN without one.
    """

    component: int | None
    term: int
    inner: int | None
    value: float
    error: float
    low: float = np.nan
    high: float = np.nan


def constants(found: Found) -> tuple[list[Constant], np.ndarray]:
    """Constants of the best candidate with standard errors, and their covariance (constant, constant)."""
    one, shooting = found.batch.pick([0]), found.shooting
    free = shooting.free(one)
    with np.errstate(all="ignore"):
        X, S = shooting.flow(one, free)
        H, _ = shooting.normal_equations(X, S, one.states, STRICT)
        total = shooting.residuals(X, one.states, STRICT)[2][0]
    skip, count = one.states[0].size, int(free.used.sum())
    freedom = max(shooting.points * shooting.recording.dimension - one.states.shape[2] - count, 1)
    covariance = inverse(H[0])[skip : skip + count, skip : skip + count] * total / freedom
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    listed, n = [], len(shooting.features)
    for k in range(count):
        value, row = int(free.value[0, k]), int(free.row[0, k])
        if row >= 0:
            listed.append(Constant(row, value, None, float(one.C[0, row, value]), float(errors[k])))
        else:
            owner = int(free.owner[0, k])
            inner = value - n - int(np.flatnonzero(shooting.features.owners == owner)[0])
            listed.append(Constant(None, owner, inner, float(one.constants[0, value - n]), float(errors[k])))
    return listed, covariance


def bootstrapped(found: Found, listed: list[Constant], n: int, seed: int, level: float = 0.9) -> list[Constant]:
    """Intervals from refits to n recordings made by the fitted equations and noise of the residuals' size."""
    one, shooting = found.batch.pick([0]), found.shooting
    X, _ = shooting.flow(one)
    r = (shooting.y - X) * shooting.weight
    factor = np.sqrt(np.sum(r[0] ** 2, axis=(0, 1)) / max(shooting.points - len(listed) / r.shape[-1] - 1, 1))
    draws: list[np.ndarray] = []
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        rng = generator("recovery bootstrap", seed, first)
        made = X + factor * shooting.scale * rng.standard_normal((count, *shooting.y.shape))
        made[:, shooting.links, -1] = made[:, shooting.links + 1, 0]  # the same point of the recording, in two windows
        again = shooting.on(made)
        batch = again.fit(Batch(*(np.repeat(part, count, 0) for part in _parts(one))), ((STRICT, 6),))
        for b in range(count):
            draws.append(_values(batch, b, listed, shooting.features))
    tails = 100 * (1 - level) / 2
    low, high = np.percentile(draws, tails, axis=0), np.percentile(draws, 100 - tails, axis=0)
    return [replace(c, low=float(a), high=float(b)) for c, a, b in zip(listed, low, high, strict=True)]


def _parts(one: Batch):
    return one.C, one.support, one.constants, one.states, one.objective


def _values(batch: Batch, b: int, listed: Sequence[Constant], features: Features) -> np.ndarray:
    found = []
    for c in listed:
        if c.component is not None:
            found.append(batch.C[b, c.component, c.term])
        else:
            found.append(batch.constants[b, np.flatnonzero(features.owners == c.term)[c.inner]])
    return np.array(found)


def inclusion(
    systems: Sequence[WeakSystem], found: Found, base: np.ndarray, n: int, seed: int, prices: np.ndarray
) -> dict[tuple[int, int], float]:
    """Share of bootstrap samples of the weak form's rows in which a term is chosen: (component, term) -> probability.

    Terms that may be chosen are the polynomials and those of all candidates that were kept.
    """
    used = found.batch.support.any(axis=0)
    counts: dict[tuple[int, int], float] = {}
    for d, system in enumerate(systems):
        allowed = np.union1d(base, np.flatnonzero(used[d])).astype(int)
        first = best_subsets(system.G[:, allowed], system.y, 6, keep=4, beam=12)
        likely = np.union1d(np.flatnonzero(used[d]), allowed[sorted({k for one in first for k in one.columns})]).astype(int)
        G = system.G[:, likely]
        for k in range(n):
            rows = generator("recovery inclusion", seed, d, k).integers(0, len(system.y), len(system.y))
            subsets = best_subsets(G[rows], system.y[rows], min(8, len(likely)), keep=1, beam=6)
            price = prices[likely]
            best = min(subsets, key=lambda s, price=price: s.bic(0.0) + float(price[list(s.columns)].sum()))
            for column in best.columns:
                place = (d, int(likely[column]))
                counts[place] = counts.get(place, 0.0) + 1 / n
    return counts


def dependences(recording: Recording, features: Features, base: Sequence[int], renamed: Mapping[str, str]) -> str | None:
    """Terms of low degree that are linearly dependent on the recording's states: a conserved quantity, or a relation.

    Then other right-hand sides fit as well: products of the relation with any term may be added.
    """
    low = [
        j
        for j, f in enumerate(features.features)
        if (j in set(base) and degree(f.expression) <= 2)
        or (not f.constants and f.expression.is_Function and f.expression.args[0].is_Symbol)
    ]
    chosen, _ = features.subset(low)
    states = recording.states()
    inputs = np.concatenate([one.u for one in recording.trajectories])
    values = chosen(states, inputs)
    norms = np.linalg.norm(values, axis=0)
    _, singular, right = np.linalg.svd(values / np.where(norms > 0, norms, 1.0), full_matrices=False)
    noise = float(np.max(recording.sigma / recording.size))
    if singular[-1] > max(SINGULAR, 0.2 * noise if noise > 1e-5 else 0.0) * singular[0]:
        return None
    weights = np.abs(right[-1])
    names = [name for name, w in zip(chosen.names(), weights, strict=True) if w > 0.05 * weights.max()]
    return ", ".join(re.sub(r"\b[xu]\d+\b", lambda word: renamed[word[0]], name) for name in names)


def flags(
    recording: Recording,
    found: Found,
    covariance: np.ndarray,
    listed: Sequence[Constant],
    base: Sequence[int],
    renamed: Mapping[str, str],
) -> list[str]:
    """What the data cannot tell, in words. renamed : our names of states and controls to the caller's."""
    said = []
    features = found.shooting.features
    related = dependences(recording, features, base, renamed)
    if related:
        said.append(
            f"not identifiable: on these data {related} are linearly dependent (a conserved quantity, or too little variety): "
            "products of this relation with any term may be added to the equations; record another trajectory"
        )
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    eigenvalues = np.linalg.eigvalsh(np.nan_to_num(covariance / scale / scale[:, None])) if len(scale) else np.ones(1)
    if eigenvalues[0] < 1e-8 * eigenvalues[-1]:
        said.append("not identifiable: some constants can only be told together (their information matrix is singular)")
    rivals = int(np.sum(found.bic[1:] - found.bic[0] < CLOSE))
    if rivals:
        said.append(f"not identifiable: {rivals} other structures are within {CLOSE:g} of the best in BIC; see `candidates_`")
    loose = [c for c in listed if c.component is not None and abs(c.value) < 2 * c.error]
    if loose:
        said.append(f"{len(loose)} coefficients are smaller than twice their standard error")
    return said
