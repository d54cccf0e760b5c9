"""Which terms to try first: best subsets of the library in the weak form, as starts for shooting.

Of each component: polynomials for several prices of a term, low ones in many combinations, and features beyond polynomials,
their inner constants fitted in the weak form, beside a few polynomial terms.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from sciml.recovery.batches import Batch
from sciml.recovery.features import Features, degree
from sciml.recovery.series import Recording
from sciml.recovery.shooting import Shooting
from sciml.recovery.sparse import Subset, best_subsets, subsets_with_one
from sciml.recovery.weak import WeakSystem, weak_systems

PRICES = (1.0, 3.0, 10.0, 40.0)
"""Of a term in multiples of log(rows): the weak form's noise is known only roughly."""
COMBINATIONS = 10
"""Systems of the components' alternatives that are fitted."""
FEW, FEW_COMBINATIONS = 150, 80
"""Points up to which so many systems of small equations are fitted."""
FAMILIES = 4
"""Features beyond polynomials that are tried beside each number of polynomial terms."""
POLISHED = 32
"""Of them, so many have their inner constants fitted in the weak form before."""
PLAIN = 3
"""Polynomial terms beside such a feature, and their degree."""


class WeakProposals:
    """Proposals over one library.

    recording : data.   features : the library.   base : indices of its plain part (polynomials).   most : terms of a component.
    prices : (feature,) of each term in BIC.
    """

    def __init__(self, recording: Recording, features: Features, base: np.ndarray, most: int, prices: np.ndarray):
        self.recording, self.features, self.base, self.most, self.prices = recording, features, base, most, prices

    def systems(self) -> list[WeakSystem]:
        """Weak systems of the recording, one for each width of test functions."""
        return weak_systems(self.recording.trajectories, lambda x, u: _finite(self.features, x, u))

    def subsets(self, system: WeakSystem) -> list[Subset]:
        """Of one component: best subsets of low polynomials, of all, of low ones and terms without inner constants, of the
        whole library, and features beyond polynomials beside a few of these."""
        plain = self._best(system, self.low, 4, 4) + self._best(system, self.base, self.most, 2)
        if len(self.base) == len(self.features):
            return plain
        tame = [j for j in range(len(self.features)) if j not in self.base and not self.features.features[j].constants]
        linear = [j for j in self.base if degree(self.features.features[j].expression) <= 1]
        other = self._best(system, np.array([*linear, *tame]), 3, 4) + self._best(system, np.arange(len(self.features)), 5, 1)
        return plain + other + self._families(system)

    @cached_property
    def low(self) -> np.ndarray:
        """Plain features of degree two at most."""
        return np.array([j for j in self.base if degree(self.features.features[j].expression) <= 2], int)

    def _best(self, system: WeakSystem, columns: np.ndarray, most: int, keep: int) -> list[Subset]:
        """Best subsets among some columns."""
        found = best_subsets(system.G[:, columns], system.y, min(self.most, most), keep=keep)
        return [replace(one, columns=tuple(int(columns[k]) for k in one.columns)) for one in found]

    def _by_price(self, system: WeakSystem, columns: np.ndarray) -> list[Subset]:
        """The best subset of some columns for each price of a term, in multiples of log(rows)."""
        found = self._best(system, columns, self.most, 1)
        return [min(found, key=lambda one, m=m: one.bic(m * np.log(one.rows))) for m in PRICES]

    def _families(self, system: WeakSystem) -> list[Subset]:
        """For each number of plain terms the best features beyond, inner constants fitted: those that are best at their start
        values, and all of them beside the lowest terms, since a right one at a wrong constant may look bad."""
        plain = [j for j in self.base if degree(self.features.features[j].expression) <= PLAIN][:20]
        extras = np.setdiff1d(np.arange(len(self.features)), self.base)
        few = [j for j in plain if degree(self.features.features[j].expression) <= (1 if self.recording.dimension > 1 else 2)]
        wide = self._kinds(subsets_with_one(system.G, system.y, np.array(plain, int), extras, PLAIN, keep=3))
        narrow = self._kinds(subsets_with_one(system.G, system.y, np.array(few[:4], int), extras, PLAIN, keep=6))
        chosen = []
        for size in range(PLAIN + 1):
            kinds = {kind: one for kind, one in wide.items() if len(kind[1]) == size}
            best = sorted(kinds, key=lambda kind: self._weak_bic(kinds[kind], 1.0))[:POLISHED]
            same = {kind: kinds[kind] for kind in best} | {kind: one for kind, one in narrow.items() if len(kind[1]) == size}
            fitted = [self._polished(system, one) for one in same.values()]
            chosen += sorted(fitted, key=lambda one: self._weak_bic(one, 1.0))[:FAMILIES]
        return chosen

    def _kinds(self, subsets: Sequence[Subset]) -> dict[tuple, Subset]:
        """The best start value of each (feature beyond the plain ones, plain terms)."""
        kinds: dict[tuple, Subset] = {}
        for one in subsets:
            extra = next(j for j in one.columns if j not in self.base)
            kind = (self.features.features[extra].expression, tuple(j for j in one.columns if j != extra))
            if kind not in kinds or one.rss < kinds[kind].rss:
                kinds[kind] = one
        return kinds

    def _polished(self, system: WeakSystem, one: Subset) -> Subset:
        """The constants inside a subset's one feature beyond the plain ones, by Gauss-Newton in the weak form."""
        extra = next(j for j in one.columns if j not in self.base)
        alone, where = self.features.subset([extra])
        if not len(where):
            return one
        k, plain = alone.starts.copy(), system.G[:, [j for j in one.columns if j != extra]]
        best = one
        with np.errstate(all="ignore"):
            for _ in range(6):
                both = system.rows(lambda x, u, k=k: np.concatenate(alone.with_slopes(x, u, k)[::2], -1))
                if not np.isfinite(both).all():
                    break
                A = np.concatenate([plain, both[:, :1]], 1)
                xi = np.linalg.lstsq(A, system.y, rcond=None)[0]
                residual = system.y - A @ xi
                rss = float(residual @ residual)
                if rss < best.rss:
                    order = np.argsort([*(j for j in one.columns if j != extra), extra])
                    constants = tuple((int(i), float(v)) for i, v in zip(where, k, strict=True))
                    best = replace(one, values=xi[order], rss=rss, constants=constants)
                step = np.linalg.lstsq(np.concatenate([A, xi[-1] * both[:, 1:]], 1), residual, rcond=None)[0][A.shape[1] :]
                if np.all(np.abs(step) < 1e-5 * np.abs(k)):
                    break
                k = k + np.clip(step, -0.5 * np.abs(k), 0.5 * np.abs(k))
        return best

    def plain(self, systems: Sequence[WeakSystem], shooting: Shooting) -> Batch:
        """Systems of polynomials, for several prices of a term; of one component also the best of every size."""
        chosen = []
        for columns in (self.base, self.low):
            by_price = [self._by_price(system, columns) for system in systems]
            chosen += [{d: one[k] for d, one in enumerate(by_price)} for k in range(len(PRICES))]
        if len(systems) == 1:
            chosen += [{0: one} for one in self._best(systems[0], self.base, self.most, 2)]
        else:  # the weak form alone tells little about few points: then many pairs of small equations are fitted
            small = [sorted(self._best(one, self.low, 3, 4), key=lambda s: self._weak_bic(s, 1.0)) for one in systems]
            ranks = sorted(itertools.product(*(range(min(len(one), 10)) for one in small[:3])), key=lambda r: (sum(r), max(r)))
            count = FEW_COMBINATIONS if shooting.points <= FEW else COMBINATIONS
            for rank in ranks[:count]:
                chosen.append({d: one[rank[d] if d < len(rank) else 0] for d, one in enumerate(small)})
        return self.starts(chosen, shooting)

    def combined(self, parts: Sequence[list[tuple[np.ndarray, np.ndarray]]], shooting: Shooting) -> Batch:
        """Systems of the components' alternatives, those of low total rank first."""
        ranks = sorted(itertools.product(*(range(len(one)) for one in parts)), key=lambda r: (sum(r), max(r)))[:COMBINATIONS]
        C = np.zeros((len(ranks), len(parts), len(self.features)))
        constants = np.tile(self.features.starts, (len(ranks), 1))
        for b, rank in enumerate(ranks):
            for d, k in reversed(list(enumerate(rank))):
                C[b, d], values = parts[d][k]
                own = (C[b, d] != 0)[self.features.owners] if len(self.features.owners) else np.empty(0, bool)
                constants[b, own] = values[own]
        return shooting.start(C, C != 0, constants)

    def starts(self, systems: Sequence[dict[int, Subset]], shooting: Shooting) -> Batch:
        """A batch of distinct systems of subsets."""
        chosen: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        for system in systems:
            C = np.zeros((self.recording.dimension, len(self.features)))
            constants = self.features.starts.copy()
            for d, one in system.items():
                C[d, list(one.columns)] = one.values
                for i, value in one.constants:
                    constants[i] = value
            chosen.setdefault((C != 0).tobytes(), (C, constants))
        C = np.stack([C for C, _ in chosen.values()])
        return shooting.start(C, C != 0, np.stack([constants for _, constants in chosen.values()]))

    def _weak_bic(self, one: Subset, price: float) -> float:
        terms = price * sum(self.prices[list(one.columns)])
        return one.rows * np.log(one.rss / one.rows + 1e-300) + terms


def _finite(features: Features, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return features(x, u)
