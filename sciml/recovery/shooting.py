"""Constants and states by multiple shooting: Levenberg-Marquardt for many candidate equations at once.

    minimise  sum ((y_i - x(t_i; s_w, p)) / scale_i)^2  +  sum ((s_(w+1) - x(end of window w; s_w, p)) / (tau sigma))^2

Recordings are cut into windows with a state s_w of their own at the start; tau, how far a window's start may be from the end of
the one before, falls from loose to nearly nothing, so that the last fit is one trajectory through all the data, and the way
there passes no chaos. States, sensitivities by start states and constants, and all candidates advance together by Runge-Kutta
of order four, some steps in each interval.

Bock, Recent advances in parameter identification techniques for ordinary differential equations, 1983.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sciml.recovery.batches import Batch, Free, merged
from sciml.recovery.features import Features
from sciml.recovery.series import Recording, interpolant
from sciml.recovery.steps import runge_kutta, solve_scaled

WINDOWS = 32
LEAST_INTERVALS = 4
LOOSE, MIDDLE, STRICT = 3.0, 0.1, 0.01
"""Values of tau."""
FIRST_DAMPING, LAST_DAMPING = 1e-3, 1e8


class Shooting:
    """Windows of a recording, and fits of candidates to them.

    recording : checked data.   features : what candidates are made of.   substeps : Runge-Kutta steps in each interval.
    """

    def __init__(self, recording: Recording, features: Features, substeps: int = 1, windows: int = WINDOWS):
        self.recording, self.features, self.substeps = recording, features, substeps
        total = sum(len(one.t) - 1 for one in recording.trajectories)
        length = max(LEAST_INTERVALS, -(-total // windows))
        y, scale, mask, h, linked, starts, driven = [], [], [], [], [], [], []
        parts = (np.arange(substeps)[:, None] + np.array([0.0, 0.5, 1.0])) / substeps
        for one in recording.trajectories:
            count = len(one.t) - 1
            cuts = np.arange(0, count, length)
            spline = interpolant(one.t, one.u) if one.u.shape[1] else None
            for a in cuts:
                b = min(a + length, count)
                index = np.minimum(np.arange(a, a + length + 1), b)
                y.append(one.x[index])
                scale.append(one.scale[index])
                real = np.arange(length + 1) <= b - a
                mask.append(real & ((np.arange(length + 1) < b - a) | (b == count)))
                h.append(np.diff(one.t[index]))
                linked.append(b < count)
                starts.append(one.smooth[a])
                times = one.t[index[:-1], None, None] + h[-1][:, None, None] * parts
                driven.append(np.empty((*times.shape, 0)) if spline is None else spline(times))
        self.y, self.scale, self.mask = np.array(y), np.array(scale), np.array(mask)
        self.h, self.linked, self.starts, self.driven = np.array(h), np.array(linked), np.array(starts), np.array(driven)
        self.weight = self.mask[..., None] / self.scale  # (window, point, component)
        self.links = np.flatnonzero(self.linked)
        self.points = int(self.mask.sum())
        self._compiled: dict[tuple[int, ...], tuple[Features, np.ndarray]] = {}

    def finer(self, substeps: int) -> "Shooting":
        """The same windows with other numbers of substeps."""
        new = Shooting(self.recording, self.features, substeps)
        new._compiled = self._compiled
        return new

    def on(self, y: np.ndarray) -> "Shooting":
        """The same windows with other data, for each candidate its own: (candidate, window, point, component)."""
        new = copy.copy(self)
        new.y = y
        return new

    def start(self, C: np.ndarray, support: np.ndarray, constants: np.ndarray | None = None) -> Batch:
        """A batch at the smoothed states. constants : the features' start values if None."""
        n = len(C)
        constants = np.tile(self.features.starts, (n, 1)) if constants is None else constants
        return Batch(C, support, constants, np.tile(self.starts, (n, 1, 1)), np.full(n, np.inf))

    # -- integration ----------------------------------------------------------------------------------------------------

    def free(self, batch: Batch) -> Free:
        """The free constants of each candidate."""
        n, owners = len(self.features), self.features.owners
        lists = []
        for support in batch.support:
            rows, columns = np.nonzero(support)
            inner = np.flatnonzero(support.any(axis=0)[owners]) if len(owners) else np.empty(0, int)
            lists.append(
                (
                    np.concatenate([columns, n + inner]),
                    np.concatenate([rows, np.full(len(inner), -1)]),
                    np.concatenate([columns, owners[inner] if len(owners) else inner]),
                )
            )
        most = max([1, *(len(one[0]) for one in lists)])
        found = [np.zeros((len(batch), most), int) for _ in range(3)]
        used = np.zeros((len(batch), most), bool)
        for b, one in enumerate(lists):
            used[b, : len(one[0])] = True
            for target, values in zip(found, one, strict=True):
                target[b, : len(values)] = values
        return Free(found[0], found[1], found[2], used)

    def _active(self, batch: Batch, also: np.ndarray | None = None) -> tuple[Features, np.ndarray, np.ndarray]:
        """Compiled features that any candidate uses, their indices, and those of their constants."""
        chosen = batch.support.any(axis=(0, 1))
        if also is not None:
            chosen = chosen | also
        index = np.flatnonzero(chosen) if chosen.any() else np.zeros(1, int)  # of nothing at all, one term that counts as zero
        key = tuple(int(j) for j in index)
        if key not in self._compiled:
            self._compiled[key] = self.features.subset(index)
        features, where = self._compiled[key]
        return features, index, where

    def flow(self, batch: Batch, free: Free | None = None) -> tuple[np.ndarray, np.ndarray]:
        """States at all points of the windows, (candidate, window, point, component), and with `free` their derivatives by
        start states and constants, (candidate, window, point, component, component + constant), else an empty array."""
        also = None
        if free is not None:
            also = np.zeros(len(self.features), bool)
            also[free.owner[free.used]] = True
        features, index, where = self._active(batch, also)
        C = np.ascontiguousarray(batch.C[:, :, index])
        constants = batch.constants[:, None, where]
        D, W = C.shape[1], len(self.starts)
        X = batch.states.copy()
        gather, factor, S = np.empty((0, 0), int), np.empty((0, 0, 0)), None
        if free is not None:
            gather, factor = self._sensitivity(free, C, index, where)
            S = np.zeros((len(batch), W, D, D + factor.shape[-1]))
            S[..., range(D), range(D)] = 1.0
        slots = np.arange(len(batch))[:, None, None], np.arange(W)[None, :, None]

        def rates(X, S, u):
            if S is None:
                F = features(X, u, constants)
                return F @ C.transpose(0, 2, 1), None
            F, by_state, by_constant = features.with_slopes(X, u, constants)
            found = C[:, None] @ by_state @ S
            values = np.concatenate([F, by_constant], -1) if by_constant.shape[-1] else F
            found[..., D:] += values[(*slots, gather[:, None])][:, :, None] * factor[:, None]
            return F @ C.transpose(0, 2, 1), found

        xs, ss = [X], [] if S is None else [S]
        with np.errstate(all="ignore"):
            for i in range(self.h.shape[1]):
                h = (self.h[:, i] / self.substeps)[:, None]
                for k in range(self.substeps):
                    u = self.driven[:, i, k]
                    X, S = runge_kutta(rates, X, S, h, u)
                xs.append(X)
                if S is not None:
                    ss.append(S)
            return np.stack(xs, 2), np.stack(ss, 2) if ss else np.empty(0)

    def _sensitivity(self, free: Free, C: np.ndarray, index: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How derivatives by constants follow from feature values: which value, (candidate, constant), times which factor,
        (candidate, component, constant)."""
        n, D = len(self.features), C.shape[1]
        place = np.full(n + len(self.features.starts), 0)
        place[index] = np.arange(len(index))
        place[n + where] = len(index) + np.arange(len(where))
        gather = np.where(free.used, place[free.value], 0)
        ones = (free.row[:, None, :] == np.arange(D)[:, None]).astype(float)
        owner = np.where(free.used, place[free.owner], 0)
        inner = np.take_along_axis(C, np.broadcast_to(owner[:, None, :], (len(C), D, owner.shape[1])), 2)
        return gather, np.where(free.row[:, None, :] >= 0, ones, inner) * free.used[:, None, :]

    # -- least squares ----------------------------------------------------------------------------------------------------

    def residuals(self, X: np.ndarray, states: np.ndarray, tau: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of data (candidate, window, point, component) and of links (candidate, link, component); their sum of squares."""
        r = (self.y - X) * self.weight
        c = (states[:, self.links + 1] - X[:, self.links, -1]) / (tau * self.recording.sigma)
        total = np.sum(r**2, axis=(1, 2, 3)) + np.sum(c**2, axis=(1, 2))
        return r, c, np.where(np.isfinite(total), total, np.inf)

    def normal_equations(self, X, S, states, tau) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix and right side for (start states, constants): (candidate, n, n) and (candidate, n)."""
        r, c, _ = self.residuals(X, states, tau)
        B, W, points, D = X.shape
        P = S.shape[-1] - D
        A = (S * self.weight[..., None]).reshape(B, W, points * D, D + P)
        At = A.transpose(0, 1, 3, 2)
        block, side = At @ A, (At @ r.reshape(B, W, -1, 1))[..., 0]
        strength = 1 / (tau * self.recording.sigma)
        E = S[:, self.links, -1] * strength[:, None]
        block[:, self.links] += E.transpose(0, 1, 3, 2) @ E
        side[:, self.links] += (E.transpose(0, 1, 3, 2) @ c[..., None])[..., 0]
        H, g = np.zeros((B, W * D + P, W * D + P)), np.zeros((B, W * D + P))
        inner = H[:, : W * D, : W * D].reshape(B, W, D, W, D)  # a view
        w, after = np.arange(W), self.links + 1
        inner[:, w, :, w, :] += block[..., :D, :D].transpose(1, 0, 2, 3)
        inner[:, after, :, after, :] += np.diag(strength**2)
        cross = E[..., :D].transpose(1, 0, 2, 3) * strength[:, None]  # (link, candidate, end, start)
        inner[:, after, :, self.links, :] -= cross
        inner[:, self.links, :, after, :] -= cross.transpose(0, 1, 3, 2)
        border = block[..., :D, D:].copy()
        border[:, after] -= strength[:, None] * E[..., D:]
        border = border.reshape(B, W * D, P)
        H[:, : W * D, W * D :], H[:, W * D :, : W * D] = border, border.transpose(0, 2, 1)
        H[:, W * D :, W * D :] = block[..., D:, D:].sum(1)
        sides = side[..., :D].copy()
        sides[:, after] -= c * strength
        g[:, : W * D], g[:, W * D :] = sides.reshape(B, W * D), side[..., D:].sum(1)
        return H, g

    def fit(self, batch: Batch, schedule: Sequence[tuple[float, int]] = ((LOOSE, 8), (MIDDLE, 6), (STRICT, 6))) -> Batch:
        """Levenberg-Marquardt; each step is taken only where it lowers the objective. schedule : (tau, most steps)."""
        for tau, steps in schedule:
            batch = self._descend(batch, tau, steps)
        return batch

    def _descend(self, batch: Batch, tau: float, steps: int) -> Batch:
        """At one tau. Candidates that have arrived are taken out of the batch as soon as a third has."""
        done: list[tuple[np.ndarray, Batch]] = []
        places = np.arange(len(batch))
        free = self.free(batch)
        with np.errstate(all="ignore"):
            X, S = self.flow(batch, free)
            batch = replace(batch, objective=self.residuals(X, batch.states, tau)[2])
            damping = np.full(len(batch), FIRST_DAMPING)
            going = np.isfinite(batch.objective)
            for _ in range(steps):
                if np.sum(going) <= 2 / 3 * len(batch) and self.y.ndim == 3:
                    done.append((places[~going], batch.pick(np.flatnonzero(~going))))
                    places, batch, damping, X, S = (
                        places[going],
                        batch.pick(np.flatnonzero(going)),
                        damping[going],
                        X[going],
                        S[going],
                    )
                    going = going[going]
                    if not len(batch):
                        break
                    free = self.free(batch)
                    S = S[..., : batch.states.shape[2] + free.used.shape[1]]  # padding goes with those that needed it
                H, g = self.normal_equations(X, S, batch.states, tau)
                trial = self._stepped(batch, free, solve_scaled(H, g, damping))
                X_new, S_new = self.flow(trial, free)
                trial = replace(trial, objective=self.residuals(X_new, trial.states, tau)[2])
                better = going & (trial.objective < batch.objective)
                gain = np.where(better, (batch.objective - trial.objective) / np.maximum(batch.objective, 1e-300), 0.0)
                batch = merged(batch, trial, better)
                pick = better[:, None, None, None]
                X, S = np.where(pick, X_new, X), np.where(pick[..., None], S_new, S)
                damping = np.where(better, damping / 10, damping * 10)
                going &= (damping < LAST_DAMPING) & ~(better & (gain < 1e-4))
        done.append((places, batch))
        order = np.argsort(np.concatenate([k for k, _ in done]))
        return Batch.join([part for _, part in done]).pick(order)

    def _stepped(self, batch: Batch, free: Free, step: np.ndarray) -> Batch:
        B, W, D = batch.states.shape
        states = batch.states + step[:, : W * D].reshape(B, W, D)
        C, constants = batch.C.copy(), batch.constants.copy()
        for b in range(B):
            used, move = free.used[b], step[b, W * D :]
            linear, inner = used & (free.row[b] >= 0), used & (free.row[b] < 0)
            C[b, free.row[b, linear], free.value[b, linear]] += move[linear]
            constants[b, free.value[b, inner] - len(self.features)] += move[inner]
        return replace(batch, C=C, constants=constants, states=states)
