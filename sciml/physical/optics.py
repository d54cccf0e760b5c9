"""Optical layers: pulses in a fibre, second harmonic, beams in a graded-index fibre, a linear cavity with cameras.

Every field is amplitude-coded, E_b = (1 + depth s_b) exp(i phi_b) with fixed random phases phi_b (a mask), or phase-coded where
said.
Detectors read |E|, on a spectrometer or a camera, or both quadratures of E (heterodyne).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.physical.field import FieldLayer, Parameters
from solvers.errors import SettingError
from solvers.grid import Grid
from solvers.precision import jax
from solvers.schroedinger import advance
from solvers.second_harmonic import SecondHarmonic
from solvers.second_harmonic import advance as through_crystal

import jax.numpy as jnp  # isort: skip - after solvers.precision, which settles JAX's memory first


def _needs(n_in: int, room: int, what: str) -> None:
    if n_in > room:
        raise SettingError(given=f"{n_in} drives", needed=f"at most {room}, the {what}", remedy="Raise it, or pool the data.")


def _read(field, detection: str) -> Any:
    """Readings of a field (sample, point), of the order of its amplitude."""
    if detection == "quadratures":
        return jnp.concatenate([field.real, field.imag], axis=1)
    return jnp.sqrt(field.real**2 + field.imag**2 + 1e-6)  # the floor keeps models differentiable where it is dark


def _scaled(value: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return (value * (1 + share * rng.standard_normal(np.shape(value)))).astype(np.float32)


class Pulse(FieldLayer):
    """One-dimensional nonlinear Schroedinger equation, u_z = i/2 u_tt + i |u|^2 u (anomalous), by Strang's splitting.

    Data are coded on bins of the spectrum or of time; read at the end.

    Parameters
    ----------
    n_in : drives.   points, window, steps, length : of the simulation, in units of the pulse's dispersion.
    order : N, root of the ratio of dispersion length to nonlinear length: how nonlinear it is.
    coding : "spectrum" or "time".   spread : bins of the spectrum that each drive modulates, for few drives; their masks
        differ.
    detection : "spectrum", "time" (both |u|) or "quadratures" of the spectrum.
    """

    def __init__(self, n_in: int, *, points: int = 256, order: float = 5.0, length: float = 1.0, window: float = 40.0,
                 steps: int = 64, coding: str = "spectrum", spread: int = 1, detection: str = "spectrum",
                 depth: float = 0.5, seed: int = 5):  # fmt: skip
        _needs(n_in * spread, points, "points")
        if coding not in ("spectrum", "time") or detection not in ("spectrum", "time", "quadratures"):
            raise SettingError(given=f"coding={coding!r}, detection={detection!r}", needed="see Pulse", remedy="Change it.")
        super().__init__(n_in, points * (1 + (detection == "quadratures")))
        self.grid = Grid.box("periodic", points, start=-window / 2, stop=window / 2)
        self.steps, self.coding, self.detection, self.depth = steps, coding, detection, depth
        self.spread = spread if coding == "spectrum" else 1
        phase = 2 * np.pi * np.random.default_rng(seed).random(n_in * self.spread) * (coding == "spectrum")
        self.parameters = {
            "phase": phase.astype(np.float32), "order": np.float32(order), "length": np.float32(length),
            "dispersion": np.float32(1.0),
        }  # fmt: skip

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        n, m = self.grid.shape[0], self.n_in * self.spread
        field = (1 + self.depth * jnp.tile(s, (1, self.spread))) * jax.lax.complex(
            jnp.cos(parameters["phase"]), jnp.sin(parameters["phase"])
        )
        if self.coding == "time":
            field = jnp.repeat(field, max(1, n // 2 // m), axis=1)
        left = (n - field.shape[1]) // 2
        field = jnp.pad(field, ((0, 0), (left, n - left - field.shape[1])))
        if self.coding == "spectrum":
            field = jnp.fft.ifft(jnp.fft.ifftshift(field, axes=1), axis=1) * n
        filled = m if self.coding == "spectrum" else max(1, n // 2 // m) * m
        # Energy N^2 for drives of unit variance, whatever their number.
        mean = (1 + self.depth**2) * filled * (n if self.coding == "spectrum" else 1.0) * self.grid.spacing[0]
        field = field * (parameters["order"] / mean**0.5)
        # Weaker dispersion over the same length is a shorter length at a stronger nonlinearity.
        dt = parameters["length"] * parameters["dispersion"] / self.steps
        field = advance(self.grid, field, dt, self.steps, -1.0 / parameters["dispersion"])
        if self.detection != "time":
            field = jnp.fft.fft(field, axis=1) / n**0.5
        return _read(field, self.detection)

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        fresh = {name: _scaled(value, magnitude, rng) for name, value in parameters.items() if name != "phase"}
        drifted = parameters["phase"] + 2 * magnitude * rng.standard_normal(len(parameters["phase"]))
        return fresh | {"phase": drifted.astype(np.float32)}


class Crystal(FieldLayer):
    """Second-harmonic generation; data on the spectrum of the fundamental, read is the spectrum of the harmonic."""

    def __init__(self, n_in: int, *, points: int = 256, kappa: float = 1.5, steps: int = 32, walk_off: float = 0.5,
                 dispersion: tuple[float, float] = (0.05, 0.1), window: float = 40.0, depth: float = 0.5,
                 seed: int = 5):  # fmt: skip
        _needs(2 * n_in, points, "half of the points, as the harmonic's spectrum is twice as wide")
        super().__init__(n_in, points)
        grid = Grid.box("periodic", points, start=-window / 2, stop=window / 2)
        self.crystal, self.depth = SecondHarmonic(grid, 1.0, steps, dispersion=dispersion), depth
        self.parameters = {
            "phase": (2 * np.pi * np.random.default_rng(seed).random(n_in)).astype(np.float32), "kappa": np.float32(kappa),
            "mismatch": np.float32(1.0), "walk_off": np.float32(walk_off),
        }  # fmt: skip

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        n, m = self.crystal.grid.shape[0], self.n_in
        field = (1 + self.depth * s) * jax.lax.complex(jnp.cos(parameters["phase"]), jnp.sin(parameters["phase"]))
        left = (n - m) // 2
        spectrum = jnp.fft.ifftshift(jnp.pad(field, ((0, 0), (left, n - left - m))), axes=1)
        field = jnp.fft.ifft(spectrum, axis=1) * (n / ((1 + self.depth**2) * m) ** 0.5)  # of mean power one
        own = [parameters[name] for name in ("kappa", "mismatch", "walk_off")]
        _, harmonic = through_crystal(self.crystal, field, jnp.zeros_like(field), *own)
        return _read(jnp.fft.fft(harmonic, axis=1) / n**0.5, "spectrum")

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        fresh = {name: _scaled(value, magnitude, rng) for name, value in parameters.items() if name != "phase"}
        drifted = parameters["phase"] + 2 * magnitude * rng.standard_normal(len(parameters["phase"]))
        return fresh | {"phase": drifted.astype(np.float32)}


class Fibre(FieldLayer):
    """Graded-index multimode fibre: beam propagation with Kerr effect, disorder and an absorbing border; phase-coded beam.

    The public example's fibre (1030 nm, core radius 25 um, index step 1 %, 54.14 um window), in its natural units: lengths in
    (R / (k0 sqrt(2 Delta)))^(1/2) = 4.49 um, distances in R / sqrt(2 Delta) = 177 um, of which pi are a period of self-imaging.

    Parameters
    ----------
    n_in : macro-pixels of the phase mask, filled row by row into the smallest square.   side : points per axis.
    periods : length, 555 um each.   per_period : steps in one.   power : MW; beyond 3.5 silica focuses without bound.
    disorder : root mean square of the index, in 1e-4.   pooled : detectors per axis.
    """

    chunk = 64

    def __init__(self, n_in: int, *, side: int = 32, periods: float = 2.5, per_period: int = 32, power: float = 3.0,
                 disorder: float = 1.0, pooled: int = 16, depth: float = 0.2, seed: int = 5):  # fmt: skip
        tiles = int(np.ceil(np.sqrt(n_in)))
        _needs(tiles, side, "points per axis")
        if side % pooled or not 0 < power <= 3.5:
            raise SettingError(
                given=f"side={side}, pooled={pooled}, power={power}", needed="side a multiple of pooled, 0 < power <= 3.5 MW",
                remedy="Change them.",
            )  # fmt: skip
        super().__init__(n_in, pooled**2)
        half = 54.14 / 2 / 4.486
        self.grid = Grid.box("periodic", side, start=-half, stop=half, dimension=2)
        self.steps, self.dt, self.pooled, self.depth = round(periods * per_period), np.pi / per_period, pooled, depth
        x, y = self.grid.mesh()
        core, r2 = 25 / 4.486, x**2 + y**2
        span = np.minimum(((np.stack([x, y]) + 0.8 * core) / (1.6 * core) * tiles).astype(int), tiles - 1)
        inside = (np.abs(x) < 0.8 * core) & (np.abs(y) < 0.8 * core)
        pixel = np.where(inside, span[0] * tiles + span[1], n_in)
        self.pixel = np.where(pixel < n_in, pixel, n_in)
        self.beam = np.exp(-r2 / core**2 * 2).astype(np.float32)
        self.guide = (np.minimum(r2, core**2) / 2).astype(np.float32)
        self.border = (20 * (np.sqrt(r2) / half) ** 16 * (r2 > core**2)).clip(0, 20).astype(np.float32)
        rng = np.random.default_rng(seed)
        self.parameters = {
            "power": np.float32(power), "index": _smooth(rng, self.grid) * np.float32(0.108 * disorder),
            "shift": np.zeros(2, np.float32),
        }  # fmt: skip

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        padded = jnp.pad(s, ((0, 0), (0, 1)))[:, self.pixel]
        phase = np.pi * self.depth * padded
        tilt = sum(a * x for a, x in zip(parameters["shift"], self.grid.mesh(), strict=True)).astype(jnp.float32)
        field = self.beam * jax.lax.complex(jnp.cos(phase + tilt), jnp.sin(phase + tilt))
        strength = -0.0527 / 3.0 * parameters["power"]  # of |A|^2 in units of the power spread over the core
        field = advance(
            self.grid, field * 1.6, self.dt, self.steps, strength, self.guide + parameters["index"], self.border
        )  # 1.6: the beam carries the power of a uniform one over the core
        intensity = field.real**2 + field.imag**2
        block = self.grid.shape[0] // self.pooled
        pooled = intensity.reshape(len(s), self.pooled, block, self.pooled, block).mean((2, 4))
        return jnp.sqrt(pooled.reshape(len(s), -1) + 1e-8)

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        own = parameters["index"]
        index = np.sqrt(1 - min(magnitude, 1.0) ** 2) * own + magnitude * _smooth(rng, self.grid) * own.std()
        shift = parameters["shift"] + magnitude * rng.standard_normal(2)
        return {
            "power": _scaled(parameters["power"], magnitude, rng), "index": index.astype(np.float32),
            "shift": shift.astype(np.float32),
        }  # fmt: skip


def _smooth(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Noise of unit variance, correlated over about 5 um."""
    k2 = sum(np.meshgrid(*[(2 * np.pi * np.fft.fftfreq(a.size, a.spacing)) ** 2 for a in grid.axes], indexing="ij"))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal(grid.shape)) * np.exp(-k2 * 1.1**2 / 4)).real
    return (noise / noise.std()).astype(np.float32)


class LinearCavity(FieldLayer):
    """Linear multimode propagation and cameras, y = |T E|: the published optical system. The only nonlinearity is the modulus.

    T is that of a fibre without Kerr effect, by its own solver, tile by tile; or (`random`) a complex Gaussian matrix, which it
    has to beat to be more than random features.
    """

    def __init__(self, n_in: int, *, n_out: int = 256, random: bool = False, depth: float = 0.5, seed: int = 5, **fibre):
        super().__init__(n_in, n_out)
        self.depth, rng = depth, np.random.default_rng(seed)
        if random:
            t = (rng.standard_normal((n_in, n_out)) + 1j * rng.standard_normal((n_in, n_out))) / np.sqrt(2 * n_in)
        else:
            t = _transmission(n_in, n_out, seed, **fibre)
        mask = np.exp(2j * np.pi * rng.random(n_in))
        t = (t * mask[:, None]).astype(np.complex64)
        self.parameters = {"real": t.real.copy(), "imag": t.imag.copy()}

    def response(self, parameters: Mapping[str, Any], s: Any) -> Any:
        drive = 1 + self.depth * s
        return _read(jax.lax.complex(drive @ parameters["real"], drive @ parameters["imag"]), "spectrum")

    def moved(self, parameters: Parameters, magnitude: float, rng: np.random.Generator) -> Parameters:
        size = float(np.sqrt(np.mean(parameters["real"] ** 2 + parameters["imag"] ** 2) / 2))
        keep = np.sqrt(1 - min(magnitude, 1.0) ** 2)
        return {
            name: (keep * value + magnitude * size * rng.standard_normal(value.shape)).astype(np.float32)
            for name, value in parameters.items()
        }


def _transmission(n_in: int, n_out: int, seed: int, **fibre) -> np.ndarray:
    """Field at n_out points of the far end for each tile lit alone, (n_in, n_out), of mean square 1 / n_in."""
    layer = Fibre(n_in, seed=seed, **({"side": 32, "disorder": 4.0} | fibre))
    rows = []
    with jax.enable_x64(False):
        run = jax.jit(lambda lit: advance(layer.grid, lit, layer.dt, layer.steps, 0.0, layer.guide + layer.parameters["index"]))
        for i in range(0, n_in, 64):
            lit = (layer.pixel[None] == np.arange(i, min(i + 64, n_in))[:, None, None]) * layer.beam
            rows.append(np.asarray(run(jnp.asarray(lit, jnp.complex64))).reshape(len(lit), -1))
    t = np.concatenate(rows)
    bright = np.sort(np.argsort(-(np.abs(t) ** 2).sum(0), kind="stable")[:n_out])  # where there is light
    t = t[:, bright]
    return t / np.sqrt(np.mean(np.abs(t) ** 2) * n_in)
