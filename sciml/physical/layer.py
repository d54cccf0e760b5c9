"""A physical layer: arrays in, arrays out, and nothing else is known of it. NumPy only.

    y = gain * alive * P(s) + noise        s (sample, n_in) drives, y (sample, n_out) readings of the detectors

There is no derivative, and a tensor that asks for one is refused. `passes` counts the samples that were measured, the currency
in which training is paid. `perturb` lets the system drift; what was measured before is then out of date, which `version` tells.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from solvers.errors import DataError, SettingError

KINDS = ("physics", "gain", "dead", "noise")
CALIBRATION = 256  # random drives that tell how large the readings of a detector are


class PhysicalLayer(ABC):
    """A system with `n_in` drives, of order one each, and `n_out` detectors. Subclasses write `respond`.

    Attributes
    ----------
    passes : samples measured so far.   version : number of perturbations so far.
    gain, alive : of the detectors, (n_out,).   noise : signal-to-noise ratio of the readings in dB, None for no noise.
    chunk : samples that are measured together; a batch is cut and filled up to it, so that a sample's reading does not depend
        on its company.
    """

    chunk: int = 256

    def __init__(self, n_in: int, n_out: int):
        if n_in < 1 or n_out < 1:
            raise SettingError(given=f"{n_in} drives, {n_out} detectors", needed="at least one each", remedy="Add some.")
        self.n_in, self.n_out = n_in, n_out
        self.passes = self.version = 0
        self.gain, self.alive = np.ones(n_out, np.float32), np.ones(n_out, bool)
        self.noise: float | None = None
        self._size: np.ndarray | None = None

    @abstractmethod
    def respond(self, s: np.ndarray) -> np.ndarray:
        """Noiseless readings (sample, n_out) of drives (sample, n_in), `chunk` samples at most."""

    def shifted(self, magnitude: float, rng: np.random.Generator) -> None:
        """Move the physical parameters by about this share; systems that cannot drift say so.

        Raises
        ------
        SettingError : this one has no parameters.
        """
        raise SettingError(
            given=f"a drift of {type(self).__name__}",
            needed="a layer with physical parameters",
            remedy="Perturb its detectors.",
        )

    def measure(self, s: Any, rng: np.random.Generator | None = None) -> np.ndarray:
        """Readings (sample, n_out), float32, of drives (sample, n_in).

        rng : draws the detectors' noise; needed if there is any.

        Raises
        ------
        DataError : a tensor that asks for gradients, a wrong shape, NaN or infinity.
        """
        s = self._plain(s)
        if self.noise is not None and rng is None:
            raise SettingError(given="noisy detectors and no generator", needed="rng", remedy="Pass measure(s, rng).")
        self.passes += len(s)
        y = self._all(s) * np.where(self.alive, self.gain, 0.0).astype(np.float32)
        if self.noise is not None and rng is not None:
            spread = self._scale() * 10 ** (-self.noise / 20)
            y = y + np.where(self.alive, spread, 0.0) * rng.standard_normal(y.shape)
        return y.astype(np.float32)

    def perturb(self, kind: str, magnitude: float, rng: np.random.Generator) -> None:
        """Let the system drift.

        kind : "physics", parameters by this share; "gain", each detector by a factor exp(N(0, magnitude)); "dead", this share
            of the detectors; "noise", readings with this signal-to-noise ratio in dB (infinite for none).
        """
        if kind not in KINDS or not (magnitude >= 0 or kind == "noise"):
            raise SettingError(
                given=f"perturb({kind!r}, {magnitude})", needed=f"one of {KINDS}, magnitude >= 0", remedy="Change it."
            )
        self.version += 1
        if kind == "physics":
            self.shifted(magnitude, rng)
            self._size = None
        elif kind == "gain":
            self.gain = (self.gain * np.exp(magnitude * rng.standard_normal(self.n_out))).astype(np.float32)
        elif kind == "dead":
            self.alive = self.alive.copy()
            self.alive[rng.permutation(self.n_out)[: round(magnitude * self.n_out)]] = False
        else:
            self._scale()
            self.noise = None if np.isinf(magnitude) else float(magnitude)

    def _all(self, s: np.ndarray) -> np.ndarray:
        parts = []
        for i in range(0, len(s), self.chunk):
            part = s[i : i + self.chunk]
            filled = np.concatenate([part, np.repeat(part[-1:], self.chunk - len(part), axis=0)])
            parts.append(np.asarray(self.respond(filled), np.float32)[: len(part)])
        return np.concatenate(parts) if parts else np.zeros((0, self.n_out), np.float32)

    def _scale(self) -> np.ndarray:
        """Standard deviation of each detector's readings over random drives. Not counted: it belongs to the noise model."""
        if self._size is not None:
            return self._size
        drives = np.random.default_rng(5).standard_normal((CALIBRATION, self.n_in)).astype(np.float32)
        size = self._size = self._all(drives).std(0)
        return size

    def _plain(self, s: Any) -> np.ndarray:
        if getattr(s, "requires_grad", False):
            raise DataError(
                given="a tensor that requires a gradient, for a physical layer",
                needed="plain numbers: nothing can be differentiated through a measurement",
                remedy="Pass tensor.detach().numpy().",
            )
        s = np.asarray(s, np.float32)
        if s.ndim != 2 or s.shape[1] != self.n_in or not np.isfinite(s).all():
            raise DataError(
                given=f"drives of shape {s.shape}" + ("" if np.isfinite(s).all() else " with NaN or infinity"),
                needed=f"finite (sample, {self.n_in})",
                remedy="Encode the data first, one number for each drive.",
            )
        return s


def linearity(layer: PhysicalLayer, samples: int = 1500, seed: int = 7) -> dict[str, float]:
    """Where a layer works: share of variance that the best affine map explains ("r2", on held-out drives, mean over detectors),
    effective rank of the readings ("rank", exponential of the entropy of their principal variances), and by how much a drive's
    error of 1 % is magnified ("magnification", relative to the spread of the readings)."""
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((samples, layer.n_in)).astype(np.float32)
    y = layer.measure(s, rng).astype(np.float64)
    half = samples * 2 // 3
    a = np.concatenate([s, np.ones((samples, 1))], axis=1).astype(np.float64)
    fit = np.linalg.lstsq(a[:half], y[:half], rcond=None)[0]
    rest, spread = (y - a @ fit)[half:].var(0), y[half:].var(0) + 1e-30
    standard = (y - y.mean(0)) / (y.std(0) + 1e-12)
    share = np.linalg.svd(standard, compute_uv=False) ** 2
    share = share[share > 0] / share.sum()
    nudged = layer.measure(s[:half] + 0.01 * rng.standard_normal((half, layer.n_in)).astype(np.float32), rng)
    moved = np.sqrt(np.mean((nudged - y[:half]) ** 2 / (y.var(0) + 1e-30)))
    return {
        "r2": float(np.mean(1 - rest / spread)),
        "rank": float(np.exp(-np.sum(share * np.log(share)))),
        "magnification": float(moved / 0.01),
    }
