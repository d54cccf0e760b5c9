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

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sciml.recovery.batches import Batch
from sciml.recovery.features import Features, control, degree, state
from sciml.recovery.neighbours import children
from sciml.recovery.series import Recording, Trajectory
from sciml.recovery.shooting import LOOSE, MIDDLE, STRICT, Shooting
from sciml.recovery.weak import WeakSystem
from sciml.recovery.weak_proposals import WeakProposals

MOST = 8
"""Terms of a component in a proposal."""
ROUNDS, ROUNDS_ALONE, ROUNDS_PLAIN = 6, 4, 3
ADEQUATE = 1.1
"""Squared residual in units of the noise's estimate, which is uncertain by about as much, that leaves nothing to explain."""
BEAM = 2
ALTERNATIVES = 4
"""Equations kept of each component."""
FLOOR = 3e-6
"""Misfit below this share of a component's size is taken as none: terms that lower it further are not worth their price."""
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
        self.weak = WeakProposals(recording, features, self.base, most, self.prices)
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

    def run(self, extra: Batch | None = None, sparse: bool = True, explore: bool = True) -> Found:
        """Search polynomials, then the whole library for the components that they do not settle; the best, fitted to the end.

        extra : further candidates from elsewhere.   sparse : False leaves the proposals to them.
        explore : False fits candidates as they are.
        """
        systems = self.weak.systems()
        if extra is None or sparse:
            batch = self.weak.plain(systems, self.shooting)
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
            self._fit(self.weak.combined(parts, self.shooting), FULL)
            self._refine_steps()
        self._explore(ROUNDS)
        return self._finished()

    def _explore(self, rounds: int) -> None:
        """Steps around the best until none is better."""
        for _ in range(rounds):
            before = self._ranking()[0]
            parents = [self.known[key][0] for key in self._ranking()[:BEAM]]
            near = [one for parent in parents for one in children(parent, self.shooting, self.prices, self.allowed)]
            fresh = {one.support.tobytes(): one for one in near if one.support.tobytes() not in self.known}
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

    def _component(self, d: int, system: WeakSystem, plain: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The best few equations of component d while the others are given by their smoothed data: (coefficients, constants).

        plain : (feature,) the best polynomial's coefficients so far.
        """
        alone = Search(*decoupled(self.recording, self.features, d), list(self.base), self.most)
        batch = Batch.join(
            [
                alone.weak.starts([{0: one} for one in alone.weak.subsets(system.decoupled(d))], alone.shooting),
                alone.shooting.start(plain[None, None], plain[None, None] != 0),
            ]
        )
        alone.shooting = alone._fine_enough(batch)
        alone._fit(batch, FULL)
        alone._explore(ROUNDS_ALONE)
        found = [alone.known[key][0] for key in alone._ranking()[:ALTERNATIVES]]
        return [(one.C[0, 0], one.constants[0]) for one in found]

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
