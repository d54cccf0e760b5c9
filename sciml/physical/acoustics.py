"""Acoustic and microwave layers: a cavity with nonlinear membranes, a programmable enclosure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.physical.field import FieldLayer, Parameters
from sciml.physical.layer import PhysicalLayer
from solvers import dipoles
from solvers.errors import SettingError
from solvers.membrane_cavity import Drive, MembraneCavity, heard, post_modes

import jax.numpy as jnp  # isort: skip

SPEAKERS, TONES = 4, 19
LOWEST, SPACING = 450.0, 50.0  # Hz, of the tones; the analysis lasts 20 ms, so that its bins are 50 Hz apart


class Membranes(FieldLayer):
    """Air in a flat box of 1.0 x 0.6 x 0.1 m with seven posts and six membranes whose springs are cubic.

    Four loudspeakers play tones with the drives as amplitudes, 1 + depth s; microphones hear the tones and what the membranes
    make of them, |p| in bins of 50 Hz. 40 ms to settle, 20 ms to listen, 20 us a step.

    Parameters
    ----------
    n_in : at most 76.   microphones : up to eight.   products : bins besides the driven ones, from 100 Hz on.
    limit : xi_c, m, the displacement at which cubic and linear spring are equal: the nonlinearity.
    flow : volume flow of a tone, m^3/s.
    """

    def __init__(self, n_in: int = 20, *, microphones: int = 8, products: int = 12, modes: int = 64, limit: float = 2e-6,
                 flow: float = 1e-4, depth: float = 0.5, seed: int = 5):  # fmt: skip
        tones = -(-n_in // SPEAKERS)
        if tones > TONES or not 1 <= microphones <= 8:
            raise SettingError(
                given=f"{n_in} drives, {microphones} microphones",
                needed=f"at most {SPEAKERS * TONES} and 8",
                remedy="Pool them.",
            )
        rng = np.random.default_rng(seed)
        places, posts = _scattered(rng, 6 + SPEAKERS + 8, 7)
        angular, psi = post_modes((1.0, 0.6), posts, 0.025, modes, places)
        stride = TONES // tones
        played = LOWEST + SPACING * stride * np.arange(tones)
        others = [f for f in 100 + SPACING * np.arange(60) if not np.isclose(f, played).any()]
        bins = np.concatenate([played, np.asarray(others)[np.linspace(0, len(others) - 1, products).astype(int)]])
        super().__init__(n_in, microphones * len(bins))
        mass, f0 = np.full(6, 0.5e-3), np.array([450.0, 600.0, 800.0, 950.0, 1100.0, 1300.0])
        stiffness = mass * (2 * np.pi * f0) ** 2
        self.cavity = MembraneCavity(
            angular, np.full(modes, 0.008), psi[:, :6], psi[:, 6 : 6 + SPEAKERS], psi[:, 6 + SPEAKERS :][:, :microphones],
            mass, mass * 2 * np.pi * f0 / 15, stiffness, stiffness / limit**2,
        )  # fmt: skip
        self.depth, self.flow, self.tones = depth, flow, tones
        self.drive = Drive(tuple(played), 2 * np.pi * rng.random((SPEAKERS, tones)))
        self.tables = [t.astype(np.float32) for t in self.drive.tables(self.cavity.dt)]
        t = (self.drive.settle + self.drive.every * np.arange(1, len(self.tables[1]) + 1)) * self.cavity.dt
        wave = np.exp(-2j * np.pi * bins * t[:, None]) * (2 / len(t))
        self.cos, self.sin = wave.real.astype(np.float32), wave.imag.astype(np.float32)
        self.parameters = {
            name: np.asarray(value, np.float32) for name, value in self.cavity.constants().items()
        } | {"microphones": self.cavity.microphones.astype(np.float32)}  # fmt: skip

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        padded = jnp.pad(s, ((0, 0), (0, SPEAKERS * self.tones - self.n_in)), constant_values=-1 / self.depth)
        x = self.flow * (1 + self.depth * padded.T).reshape(SPEAKERS, self.tones, -1)
        sound = heard(dict(parameters), x, *self.tables, every=self.drive.every)  # (time, microphone, sample)
        parts = [jnp.einsum("tms,tb->smb", sound, table) for table in (self.cos, self.sin)]
        return jnp.sqrt(parts[0] ** 2 + parts[1] ** 2 + 1e-8).reshape(s.shape[0], -1)

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        """Springs, linear and cubic, by this share; modes of the cavity at membranes and microphones by a tenth of it."""

        def by(name, share):
            value = parameters[name]
            return (value * (1 + share * rng.standard_normal(value.shape))).astype(np.float32)

        return parameters | {
            "k": by("k", magnitude), "k3": by("k3", magnitude), "membranes": by("membranes", magnitude / 10),
            "microphones": by("microphones", magnitude / 10),
        }  # fmt: skip


def _scattered(rng: np.random.Generator, places: int, posts: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Places and centres of posts, at least 6 cm apart and 5 cm off the walls."""
    found: list[np.ndarray] = []
    while len(found) < places + posts:
        one = rng.uniform([0.05, 0.05], [0.95, 0.55])
        if all(np.hypot(*(one - other)) > 0.06 for other in found):
            found.append(one)
    return np.array(found[:places]), [(float(a), float(b)) for a, b in found[places:]]


class Enclosure(PhysicalLayer):
    """Microwaves among dipoles: drives set the elements of a metasurface, read is the transmission |H| at 20 frequencies.

    Each drive is quantised to four levels, two bits, hence two elements that are on or off: lower quarter 00 or 01, middle 10,
    upper 11 (as released); `levels=2` takes one element for each drive, on for positive ones.
    """

    def __init__(self, n_in: int = 20, *, levels: int = 4, receivers: int = 2, frequencies: int = 20, seed: int = 11):
        if levels not in (2, 4):
            raise SettingError(given=f"levels={levels}", needed="2 or 4", remedy="Change it.")
        super().__init__(n_in, receivers * frequencies)
        self.levels, self.seed = levels, seed
        self.room = dipoles.enclosure(
            elements=n_in * (levels // 2), receivers=receivers, frequencies=frequencies, seed=seed, dtype=np.complex64
        )

    def respond(self, s: np.ndarray) -> np.ndarray:
        if self.levels == 2:
            bits = s > 0
        else:
            level = (s > -1.0).astype(int) + (s > -0.5) + (s > 0.5)  # 00, 01, 10, 11
            bits = np.stack([level // 2, level % 2], axis=-1).reshape(len(s), -1) > 0
        return np.abs(self.room.transfer_bits(bits)).reshape(len(s), -1)

    def shifted(self, magnitude: float, rng: np.random.Generator) -> None:
        """Scatterers move by this many wavelengths, elements stay."""
        import dataclasses

        room = self.room
        moved = room.places + magnitude * rng.standard_normal(room.places.shape) * (room.kinds == dipoles.WALL)[:, None]
        self.room = dataclasses.replace(room, places=moved)
