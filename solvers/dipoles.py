"""Waves among coupled dipoles in the plane, some of them programmable: PhysFad's model of a reconfigurable enclosure.

    W_ii = [(2 pi f_i)^2 - (2 pi f)^2] / chi_i^2 + i [k^2 / 4 + 2 pi f gamma_i / chi_i^2],   W_ij = i k^2 / 4 H0^(2)(k r_ij)
    H = [diag(W) W^-1]_{receiver, transmitter},   k = 2 pi f (the wavelength is 1 at f = 1)

The waves are linear, but data set resonances f_i, and scattering makes H a nonlinear function of them. Everything that stands
still is eliminated once per frequency; a sample then costs a solve of the size of the programmable elements or, where they are
on or off only, of the elements that are on, by the formula of Sherman, Morrison and Woodbury. Both are exact.

Faqiri, Saigre-Tardif, Alexandropoulos, Shlezinger, Imani, del Hougne, PhysFad, IEEE Trans. Wireless Commun. 22, 2023.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.special

from solvers.errors import DataError, SettingError

TRANSMITTER, RECEIVER, WALL, ELEMENT = range(4)


@dataclass(frozen=True, eq=False)
class Dipoles:
    """Dipoles in the plane and the frequencies at which they are looked at.

    Parameters
    ----------
    places : (dipole, 2), in wavelengths at f = 1.   kinds : (dipole,) of TRANSMITTER, RECEIVER, WALL, ELEMENT.
    resonance, strength, loss : (dipole,) f_i, chi_i, gamma_i; those f_i of elements stand for "off".
    frequencies : (frequency,).
    on : resonance of an element that is on.
    dtype : of the solves per sample; what is static is always computed in complex128.
    """

    places: np.ndarray
    kinds: np.ndarray
    resonance: np.ndarray
    strength: np.ndarray
    loss: np.ndarray
    frequencies: np.ndarray
    on: float = 1.0
    dtype: type = np.complex128

    def __post_init__(self):
        n = len(self.places)
        rows = (self.kinds, self.resonance, self.strength, self.loss)
        if np.shape(self.places) != (n, 2) or any(np.shape(a) != (n,) for a in rows):
            raise DataError(
                given=f"{n} dipoles with arrays of shapes {[np.shape(a) for a in rows]}",
                needed="places (dipole, 2), the others (dipole,)",
                remedy="Mend the shapes.",
            )
        gaps = np.linalg.norm(self.places[:, None] - self.places[None], axis=-1) + np.eye(n)
        if gaps.min() <= 1e-9 or min(self.strength) <= 0 or min(self.loss) < 0 or min(self.frequencies) <= 0:
            raise SettingError(
                given=f"smallest distance {gaps.min():g}, strength {min(self.strength):g}, loss {min(self.loss):g}",
                needed="distinct places, strengths > 0, losses >= 0, frequencies > 0",
                remedy="Change them: negative losses would be a gain.",
            )

    def diagonal(self, resonance: np.ndarray, dipoles: np.ndarray) -> np.ndarray:
        """W_ii of the named dipoles for resonances (..., dipole): (frequency, ..., dipole)."""
        w = 2 * np.pi * self.frequencies.reshape(-1, *(1,) * np.ndim(resonance))
        chi, loss = self.strength[dipoles], self.loss[dipoles]
        return ((2 * np.pi * resonance) ** 2 - w**2) / chi**2 + 1j * (w**2 / 4 + w * loss / chi**2)

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """W with every element off, (frequency, dipole, dipole); symmetric."""
        n = len(self.places)
        distance = np.linalg.norm(self.places[:, None] - self.places[None], axis=-1)
        k = 2 * np.pi * self.frequencies[:, None, None]
        w = 0.25j * k**2 * scipy.special.hankel2(0, k * (distance + np.eye(n)))
        w[:, np.arange(n), np.arange(n)] = self.diagonal(self.resonance, np.arange(n))
        return w

    @functools.cached_property
    def _reduced(self) -> tuple[np.ndarray, ...]:
        """A_rt, A W_SR of receivers, of transmitters, and W_RR - W_RS A W_SR without the diagonal of W_RR."""
        element = self.kinds == ELEMENT
        still, moved = np.flatnonzero(~element), np.flatnonzero(element)
        w = self.matrix
        inverse = np.linalg.inv(w[:, still[:, None], still])
        across = w[:, still[:, None], moved]
        spread = inverse @ across  # (frequency, still, element)
        rest = w[:, moved[:, None], moved] - np.swapaxes(across, 1, 2) @ spread
        rest[:, np.arange(len(moved)), np.arange(len(moved))] -= self.diagonal(self.resonance[moved], moved)
        rx, tx = (np.flatnonzero(self.kinds[still] == kind) for kind in (RECEIVER, TRANSMITTER))
        own = w[:, still[rx], still[rx]][:, :, None]  # H carries the receiver's own W_ii
        return own * inverse[:, rx[:, None], tx], own * spread[:, rx], spread[:, tx], rest

    @property
    def elements(self) -> int:
        """Number of programmable elements."""
        return int((self.kinds == ELEMENT).sum())

    def transfer(self, resonance: np.ndarray) -> np.ndarray:
        """H (sample, frequency, receiver, transmitter) for resonances (sample, element)."""
        resonance = self._checked(resonance)
        moved = np.flatnonzero(self.kinds == ELEMENT)
        direct, receive, send, rest = self._reduced
        diagonal = self.diagonal(resonance, moved).astype(self.dtype)  # (frequency, sample, element)
        found = np.empty((len(resonance), *direct.shape), self.dtype)
        at = np.arange(self.elements)
        for i in range(len(self.frequencies)):
            system = np.broadcast_to(rest[i].astype(self.dtype), (len(resonance), *rest[i].shape)).copy()
            system[:, at, at] += diagonal[i]
            answer = np.linalg.solve(system, np.broadcast_to(send[i].T.astype(self.dtype), (len(resonance), *send[i].T.shape)))
            found[:, i] = direct[i] + receive[i] @ answer
        return found

    def transfer_bits(self, bits: np.ndarray) -> np.ndarray:
        """The same for elements that are on (resonance `on`) or off, bits (sample, element) of bool.

        Of the two states that all elements share, the nearer one is the start, so that at most half of the elements differ.
        """
        bits = np.asarray(bits, bool)
        self._checked(bits)
        found = np.empty((len(bits), *self._reduced[0].shape), self.dtype)
        many = bits.sum(axis=1) > self.elements / 2
        for start in (False, True):
            rows = np.flatnonzero(many == start)
            counts = (bits[rows] != start).sum(axis=1)
            for count in np.unique(counts):  # equally many: one batch of small systems without padding
                own = rows[counts == count]
                found[own] = self._from(start, np.nonzero(bits[own] != start)[1].reshape(len(own), count))
        return found

    def _from(self, start: bool, differ: np.ndarray) -> np.ndarray:
        """H where exactly the elements `differ` (sample, count) are not in the state `start`."""
        base, receive, send, inverse, change = self._base(start)
        if differ.shape[1] == 0:
            return np.broadcast_to(base, (len(differ), *base.shape)).copy()
        found = np.empty((len(differ), *base.shape), self.dtype)
        at = np.arange(differ.shape[1])
        for i in range(len(self.frequencies)):
            system = inverse[i][differ[:, :, None], differ[:, None, :]]
            system[:, at, at] += 1 / change[i][differ]
            answer = np.linalg.solve(system, send[i].T[differ])  # (sample, count, transmitter)
            found[:, i] = base[i] - np.swapaxes(receive[i].T[differ], 1, 2) @ answer
        return found

    @functools.lru_cache(maxsize=4)  # noqa: B019 - two states of each enclosure, kept as long as it lives among the last ones
    def _base(self, start: bool) -> tuple[np.ndarray, ...]:
        direct, receive, send, rest = self._reduced
        moved = np.flatnonzero(self.kinds == ELEMENT)
        states = [np.full(self.elements, self.on) if on else self.resonance[moved] for on in (start, not start)]
        here, there = (self.diagonal(state, moved) for state in states)
        inverse = np.linalg.inv(rest + here[:, :, None] * np.eye(self.elements))
        base = direct + receive @ inverse @ np.swapaxes(send, 1, 2)
        parts = (base, receive @ inverse, send @ inverse, inverse, there - here)  # `inverse` is symmetric
        return tuple(np.ascontiguousarray(part.astype(self.dtype)) for part in parts)

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        if np.ndim(rows) != 2 or np.shape(rows)[1] != self.elements:
            raise DataError(
                given=f"states of shape {np.shape(rows)}", needed=f"(sample, {self.elements})", remedy="One column an element."
            )
        return np.asarray(rows)

    def full_transfer(self, resonance: np.ndarray) -> np.ndarray:
        """H by the inverse of the whole W, sample by sample: slow, to check the others with."""
        rx, tx, moved = (np.flatnonzero(self.kinds == kind) for kind in (RECEIVER, TRANSMITTER, ELEMENT))
        found = []
        for row in self._checked(resonance):
            w = self.matrix.copy()
            w[:, moved, moved] = self.diagonal(row, moved)
            inverse = np.linalg.inv(w)
            found.append(w[:, rx, rx][:, :, None] * inverse[:, rx[:, None], tx])
        return np.stack(found)


def enclosure(
    size: tuple[float, float] = (3.0, 2.0), elements: int = 40, receivers: int = 1, frequencies: int = 20, *,
    strength: float = 0.5, off: float = 5.0, seed: int = 11, dtype: type = np.complex128,
) -> Dipoles:  # fmt: skip
    """A fence of dipoles around a rectangle, elements along two of its sides, one transmitter, receivers, four scatterers.

    PhysFad's numbers: antennas f = 1, chi = 0.5, gamma = 0; walls f = 10, chi = 50, gamma = 100, a quarter wavelength apart;
    frequencies 0.9 ... 1.1; elements f = 1 (on) or 5 (off), but chi = `strength` = 0.5: with the released 50 the two states
    polarise alike within 4 %.
    """
    rng, (width, height), gap = np.random.default_rng(seed), size, 0.25
    x, y = np.arange(0, width, gap), np.arange(0, height, gap)
    corners = ((x, 0 * x), (x + gap, 0 * x + height), (0 * y, y + gap), (0 * y + width, y))
    wall = np.concatenate([np.stack(side, 1) for side in corners])
    half = elements // 2
    inner = np.concatenate([
        np.stack([np.linspace(0.2, width - 0.2, half), np.full(half, 0.2)], 1),
        np.stack([np.linspace(0.2, width - 0.2, elements - half), np.full(elements - half, height - 0.2)], 1),
    ])  # fmt: skip
    antennas = rng.uniform([0.4, 0.5], [width - 0.4, height - 0.5], (1 + receivers, 2))
    posts = rng.uniform([0.3, 0.45], [width - 0.3, height - 0.45], (4, 2))
    places = np.concatenate([antennas, wall, posts, inner])
    kinds = np.concatenate([[TRANSMITTER], [RECEIVER] * receivers, [WALL] * (len(wall) + len(posts)), [ELEMENT] * elements])
    row = lambda antenna, fence, element: np.choose(kinds, [antenna, antenna, fence, element]).astype(float)  # noqa: E731
    return Dipoles(
        places, kinds, row(1.0, 10.0, off), row(0.5, 50.0, strength), row(0.0, 100.0, 0.0),
        np.linspace(0.9, 1.1, frequencies), dtype=dtype,
    )  # fmt: skip
