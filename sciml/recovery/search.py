"""Which terms: proposals from weak regression, a stepwise search by likelihood around the best, selection by BIC.

    BIC = sum over components of n log(rss_d / n) + sum over terms of price(term),   rss from trajectories through all data

A term's price is log(n) for each of its constants, more for unusual ones, and 2 log(number of polynomial terms), since the best
of many has been chosen (Chen, Chen, Extended Bayesian information criteria, Biometrika 95, 2008).

Proposals for each component are its best subsets in the weak form, for several prices of a term; all are fitted by shooting
(`Shooting`). Around the best ones, terms are then dropped (least significant first), added (by the gain that the sensitivities
of the fit promise for every term of the library) and exchanged, until nothing is better. Polynomials come first. A component
that they do not explain up to the noise is searched over all libraries by itself, the others given by their smoothed data, and
the best equations of all components are fitted and searched together. The data are the given, noisy ones throughout.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import sympy

from sciml.recovery.features import Features, control, state
from sciml.recovery.series import Recording, Trajectory
from sciml.recovery.shooting import LOOSE, MIDDLE, STRICT, Batch, Free, Shooting
from sciml.recovery.sparse import Subset, best_subsets, subsets_with_one
from sciml.recovery.weak import WeakSystem, weak_systems

PRICES = (1.0, 3.0, 10.0, 40.0)
"""Of a term in multiples of log(rows): the weak form's noise is known only roughly."""
MOST = 8
"""Terms of a component in a proposal."""
ROUNDS, ROUNDS_ALONE, ROUNDS_PLAIN = 6, 4, 3
ADEQUATE = 1.1
"""Squared residual in units of the noise's estimate, which is uncertain by about as much, that leaves nothing to explain."""
BEAM = 2
ALTERNATIVES, COMBINATIONS = 4, 10
"""Equations kept of each component, and systems of them that are fitted."""
FEW, FEW_COMBINATIONS = 150, 80
"""Points up to which so many systems of small equations are fitted."""
FLOOR = 3e-6
"""Misfit below this share of a component's size is taken as none: terms that lower it further are not worth their price."""
FAMILIES = 4
"""Features beyond polynomials that are tried beside each number of polynomial terms."""
POLISHED = 32
"""Of them, so many have their inner constants fitted in the weak form before."""
PLAIN = 3
"""Polynomial terms beside such a feature, and their degree."""
QUICK = ((MIDDLE, 2), (STRICT, 4))
FULL = ((LOOSE, 6), (MIDDLE, 5), (STRICT, 5))
LAST = ((STRICT, 15),)


@dataclass(frozen=True)
class Found:
    """Fitted candidates, best first.   bic : (candidate,) as described above.   shooting : what they were fitted with."""

    batch: Batch
    bic: np.ndarray
    shooting: Shooting


class Search:
    """Search over the terms of one library.

    recording : data.   features : the library.   base : indices of its plain part (polynomials), tried by itself as well.
    """

    def __init__(self, recording: Recording, features: Features, base: Sequence[int], most: int = MOST):
        self.recording, self.features, self.base, self.most = recording, features, np.asarray(base, int), most
        total = sum(len(one.t) for one in recording.trajectories)
        inner = np.bincount(features.owners, minlength=len(features)) if len(features.owners) else np.zeros(len(features))
        self.prices = np.log(total) * (1 + inner + features.prices) + 2 * np.log(len(self.base))
        self.shooting = Shooting(recording, features)
        self.known: dict[bytes, tuple[Batch, float]] = {}
        self.allowed = self._thinned()

    def _thinned(self) -> np.ndarray:
        """Features that steps may add: of those that differ in start values alone every third, the fit finds the rest."""
        seen: dict[object, int] = {}
        allowed = np.ones(len(self.features), bool)
        for j, f in enumerate(self.features.features):
            seen[f.expression] = seen.get(f.expression, -1) + 1
            allowed[j] = seen[f.expression] % 3 == (1 if f.constants else 0)
        return allowed

    # -- proposals --------------------------------------------------------------------------------------------------------

    def systems(self) -> list[WeakSystem]:
        """Weak systems of the recording, one for each width of test functions."""
        return weak_systems(self.recording.trajectories, lambda x, u: _finite(self.features, x, u))

    def _subsets(self, system: WeakSystem) -> list[Subset]:
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

    def _component(self, d: int, system: WeakSystem, plain: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The best few equations of component d while the others are given by their smoothed data: (coefficients, constants).

        plain : (feature,) the best polynomial's coefficients so far.
        """
        alone = Search(*decoupled(self.recording, self.features, d), list(self.base), self.most)
        batch = Batch.join(
            [
                alone._starts([{0: one} for one in alone._subsets(system.decoupled(d))]),
                alone.shooting.start(plain[None, None], plain[None, None] != 0),
            ]
        )
        alone.shooting = alone._fine_enough(batch)
        alone._fit(batch, FULL)
        alone._explore(ROUNDS_ALONE)
        found = [alone.known[key][0] for key in alone._ranking()[:ALTERNATIVES]]
        return [(one.C[0, 0], one.constants[0]) for one in found]

    def _plain_proposals(self, systems: Sequence[WeakSystem]) -> Batch:
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
            count = FEW_COMBINATIONS if self.shooting.points <= FEW else COMBINATIONS
            for rank in ranks[:count]:
                chosen.append({d: one[rank[d] if d < len(rank) else 0] for d, one in enumerate(small)})
        return self._starts(chosen)

    def _combined(self, parts: Sequence[list[tuple[np.ndarray, np.ndarray]]]) -> Batch:
        """Systems of the components' alternatives, those of low total rank first."""
        ranks = sorted(itertools.product(*(range(len(one)) for one in parts)), key=lambda r: (sum(r), max(r)))[:COMBINATIONS]
        C = np.zeros((len(ranks), len(parts), len(self.features)))
        constants = np.tile(self.features.starts, (len(ranks), 1))
        for b, rank in enumerate(ranks):
            for d, k in reversed(list(enumerate(rank))):
                C[b, d], values = parts[d][k]
                own = (C[b, d] != 0)[self.features.owners] if len(self.features.owners) else np.empty(0, bool)
                constants[b, own] = values[own]
        return self.shooting.start(C, C != 0, constants)

    def _starts(self, systems: Sequence[dict[int, Subset]]) -> Batch:
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
        return self.shooting.start(C, C != 0, np.stack([constants for _, constants in chosen.values()]))

    def _weak_bic(self, one: Subset, price: float) -> float:
        terms = price * sum(self.prices[list(one.columns)])
        return one.rows * np.log(one.rss / one.rows + 1e-300) + terms

    # -- search -----------------------------------------------------------------------------------------------------------

    def run(self, extra: Batch | None = None, sparse: bool = True, explore: bool = True) -> Found:
        """Search polynomials, then the whole library for the components that they do not settle; the best, fitted to the end.

        extra : further candidates from elsewhere.   sparse : False leaves the proposals to them.
        explore : False fits candidates as they are.
        """
        systems = self.systems()
        if extra is None or sparse:
            batch = self._plain_proposals(systems)
            batch = batch if extra is None else Batch.join([batch, extra])
        else:
            batch = extra
        self.shooting = self._fine_enough(batch)
        self._fit(batch, FULL)
        self._refine_steps()
        if not explore:
            return self._finished()
        self.allowed &= np.isin(np.arange(len(self.features)), self.base)
        self._explore(ROUNDS if len(self.base) == len(self.features) else ROUNDS_PLAIN)
        best = self.known[self._ranking()[0]][0]
        open_ones = (
            [] if len(self.base) == len(self.features) else [d for d, settled in enumerate(self._settled(best)) if not settled]
        )
        if open_ones:
            self.allowed = self._thinned()
            parts = [
                self._component(d, system, best.C[0, d]) if d in open_ones else [(best.C[0, d], best.constants[0])]
                for d, system in enumerate(systems)
            ]
            self._fit(self._combined(parts), FULL)
            self._refine_steps()
        self._explore(ROUNDS)
        return self._finished()

    def _explore(self, rounds: int) -> None:
        """Steps around the best until none is better."""
        for _ in range(rounds):
            before = self._ranking()[0]
            parents = [self.known[key][0] for key in self._ranking()[:BEAM]]
            children = [child for parent in parents for child in self._children(parent)]
            fresh = {child.support.tobytes(): child for child in children if child.support.tobytes() not in self.known}
            if not fresh:
                break
            self._fit(Batch.join(list(fresh.values())), QUICK)
            if self._ranking()[0] == before:
                break

    def _settled(self, one: Batch) -> list[bool]:
        """Components that are explained up to the noise by few low terms: nothing beyond polynomials need be tried."""
        misfit = self._misfit(one)[0]
        perfect = misfit < 3 * FLOOR * self.recording.size
        adequate = misfit**2 < ADEQUATE * self.recording.sigma**2
        degrees = np.array(
            [degree(self.features.features[j].expression) if j in self.base else 9 for j in range(len(self.features))]
        )
        low = np.array([degrees[support].max(initial=0) <= 2 for support in one.support[0]])
        few = (one.support[0].sum(axis=1) <= 4) & np.array([degrees[support].max(initial=0) <= 3 for support in one.support[0]])
        return list((perfect & few) | (adequate & low))

    def _misfit(self, batch: Batch) -> np.ndarray:
        """Root mean square residual in the units of each component, weighted as the noise is: (candidate, component)."""
        with np.errstate(all="ignore"):
            X, _ = self.shooting.flow(batch)
            r, c, _ = self.shooting.residuals(X, batch.states, STRICT)
            return self.recording.sigma * np.sqrt((np.sum(r**2, axis=(1, 2)) + np.sum(c**2, axis=1)) / self.shooting.points)

    def _refine_steps(self) -> None:
        """Once more for the best fit: proposals can be too rough to judge the steps by."""
        for _ in range(3):
            best = Batch.join([self.known[key][0] for key in self._ranking()[:6]])
            finer = self._fine_enough(best.pick([0]))
            if finer.substeps == self.shooting.substeps:
                return
            self.shooting = finer
            self.known = {key: (one, np.inf) for key, (one, _) in self.known.items()}
            self._fit(best, ((STRICT, 8),))

    def _fit(self, batch: Batch, schedule) -> None:
        batch = self.shooting.fit(batch, schedule)
        for b, score in enumerate(self.bic(batch)):
            key = batch.support[b].tobytes()
            if key not in self.known or score < self.known[key][1]:
                self.known[key] = (batch.pick([b]), float(score))

    def _ranking(self) -> list[bytes]:
        return sorted(self.known, key=lambda key: self.known[key][1])

    def _fine_enough(self, batch: Batch) -> Shooting:
        """Substeps such that halving them changes the proposals' states by a small part of the noise."""
        shooting, size = self.shooting, self.recording.size
        allowed = np.maximum(0.02 * self.recording.sigma, 0.1 * FLOOR * size)
        X = shooting.flow(batch)[0]
        while shooting.substeps < 8:
            finer = shooting.finer(2 * shooting.substeps)
            Y = finer.flow(batch)[0]
            with np.errstate(all="ignore"):
                errors = np.max(np.abs(Y - X), axis=(1, 2)) / 15
            if np.sum(np.all(errors < allowed, axis=1)) >= 0.5 * max(1, np.sum(np.isfinite(errors).all(axis=1))):
                break
            shooting, X = finer, Y
        return shooting

    def bic(self, batch: Batch) -> np.ndarray:
        """(candidate,) as in the module's text; infinite where a trajectory fails."""
        n, size = self.shooting.points, self.recording.size
        with np.errstate(all="ignore"):
            score = np.sum(n * np.log((self._misfit(batch) / size) ** 2 + FLOOR**2), axis=1)
        score = score + np.sum(batch.support * self.prices, axis=(1, 2))
        return np.where(np.isfinite(score), score, np.inf)

    # -- steps ------------------------------------------------------------------------------------------------------------

    def _children(self, parent: Batch) -> list[Batch]:
        """Fewer terms, more, others; constants start where the parent's are."""
        weak, covariance_ok = self._significance(parent)
        gains = self._gains(parent)
        active = np.argwhere(parent.support[0])
        order = [tuple(active[k]) for k in np.argsort(weak)] if covariance_ok else [tuple(a) for a in active]
        adds = [tuple(a) for a in np.argwhere((gains > 0) & self.allowed)]
        adds.sort(key=lambda a: -(gains[a] - self.prices[a[1]]))
        adds = adds[:4]
        found = [self._changed(parent, [d], []) for d in order[:3] if len(order) > 1]
        for count in (2, 3):
            found += [self._changed(parent, order[:count], [])] if len(order) > count else []
        insignificant = [tuple(active[k]) for k in range(len(active)) if weak[k] < 4.0]
        if 3 < len(insignificant) < len(active):
            found.append(self._changed(parent, insignificant, []))
        found += [self._changed(parent, [], [a]) for a in adds]
        found += [self._changed(parent, [d], [a]) for d in order[:2] for a in adds[:2]]
        return found

    def _changed(self, parent: Batch, drop: list, add: list) -> Batch:
        C, support = parent.C.copy(), parent.support.copy()
        for d, j in drop:
            C[0, d, j], support[0, d, j] = 0.0, False
        for d, j in add:
            support[0, d, j] = True
        return Batch(C, support, parent.constants, parent.states, np.full(1, np.inf))

    def _significance(self, one: Batch) -> tuple[np.ndarray, bool]:
        """(coefficient / standard error)^2 of each active term, in units of the residual's variance."""
        with np.errstate(all="ignore"):
            free = self.shooting.free(one)
            X, S = self.shooting.flow(one, free)
            H, _ = self.shooting.normal_equations(X, S, one.states, STRICT)
        covariance = inverse(H[0])
        count = int(one.support.sum())
        skip = one.states[0].size
        variance = np.diag(covariance)[skip : skip + count] * self._variance(one)
        values = one.C[0][one.support[0]]
        return values**2 / np.maximum(variance, 1e-300), bool(np.isfinite(variance).all())

    def _variance(self, one: Batch) -> float:
        return float(one.objective[0] / (self.shooting.points * self.recording.dimension)) + 1e-300

    def _gains(self, one: Batch) -> np.ndarray:
        """Fall of n log(rss) that each further term promises, to first order: (component, feature); 0 for those present."""
        D, n = one.support.shape[1:]
        free = self.shooting.free(one)
        rows, columns = np.nonzero(~one.support[0] & self.allowed)
        grown = Free(
            np.concatenate([free.value[0], columns])[None],
            np.concatenate([free.row[0], rows])[None],
            np.concatenate([free.owner[0], columns])[None],
            np.concatenate([free.used[0], np.ones(len(rows), bool)])[None],
        )
        with np.errstate(all="ignore"):
            X, S = self.shooting.flow(one, grown)
            H, g = self.shooting.normal_equations(X, S, one.states, STRICT)
        k = one.states[0].size + free.value.shape[1]
        H, g = H[0], g[0]
        good = np.isfinite(np.diag(H)[k:]) & np.isfinite(g[k:])
        inner, cross = H[:k, :k], np.where(good, H[:k, k:], 0.0)
        size = np.where(np.diag(inner) > 0, np.sqrt(np.maximum(np.diag(inner), 0)), 1.0)
        scaled = inner / size[:, None] / size + 1e-10 * np.eye(k)
        scaled[np.diag(inner) <= 0, np.diag(inner) <= 0] = 1.0
        weights = np.linalg.solve(scaled, cross / size[:, None]) / size[:, None]
        slope = g[k:] - weights.T @ g[:k]
        curvature = np.diag(H)[k:] - np.einsum("ia,ia->a", weights, cross)
        fall = np.where(good & (curvature > 1e-9 * np.diag(H)[k:]), slope**2 / np.maximum(curvature, 1e-300), 0.0)
        share = np.clip(fall / max(float(one.objective[0]), 1e-300), 0, 1 - 1e-12)
        gains = np.zeros((D, n))
        gains[rows, columns] = -self.shooting.points * np.log1p(-share) * D
        return gains

    def _finished(self) -> Found:
        """The best few, fitted to the end."""
        keys = [key for key in self._ranking() if np.isfinite(self.known[key][1])][:6]
        batch = self.shooting.fit(Batch.join([self.known[key][0] for key in keys]), LAST)
        score = self.bic(batch)
        order = np.argsort(score)
        return Found(batch.pick(order), score[order], self.shooting)


def decoupled(recording: Recording, features: Features, d: int) -> tuple[Recording, Features]:
    """Component d as a system of its own, the others (smoothed) and the controls as its controls; the features to match."""
    D = recording.dimension
    others = [i for i in range(D) if i != d]
    parts = tuple(
        Trajectory(
            one.t, one.x[:, [d]], np.concatenate([one.smooth[:, others], one.u], 1), one.scale[:, [d]], one.smooth[:, [d]]
        )
        for one in recording.trajectories
    )
    names = {state(d): state(0)} | {state(i): control(k) for k, i in enumerate(others)}
    names |= {control(i): control(len(others) + i) for i in range(features.controls)}
    moved = [replace(f, expression=f.expression.xreplace(names)) for f in features.features]
    alone = Recording(parts, recording.sigma[[d]], recording.shares[[d]], recording.size[[d]], ())
    return alone, Features(moved, 1, len(others) + features.controls)


def degree(e) -> int:
    """Total degree of a polynomial."""
    return sympy.Poly(e, *e.free_symbols).total_degree() if e.free_symbols else 0


def inverse(H: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric matrix, scaled by its diagonal; NaN where there is none."""
    size = np.where(np.diag(H) > 0, np.sqrt(np.maximum(np.diag(H), 0)), 1.0)
    scaled = np.nan_to_num(H / size[:, None] / size)
    scaled[np.diag_indices_from(scaled)] = 1.0 + 1e-13
    try:
        return np.linalg.inv(scaled) / size[:, None] / size
    except np.linalg.LinAlgError:
        return np.full_like(H, np.nan)


def _finite(features: Features, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return features(x, u)
