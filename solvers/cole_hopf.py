"""Viscous Burgers on a circle, exactly: u_t + u u_x = nu u_xx.

With u = m - 2 nu theta_x / theta, m the mean, theta obeys the heat equation in a frame that moves with m (Hopf, Comm. Pure
Appl. Math. 3, 1950; Cole, Quart. Appl. Math. 9, 1951): Fourier modes decay on their own, so any time costs two transforms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.fft

from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.result import Outcome, Result


@dataclass(frozen=True)
class ColeHopf:
    """Exact solver of periodic viscous Burgers.

    Parameters
    ----------
    grid : one periodic axis, fine enough for theta = exp(-potential / (2 nu)) as well as for the solution.
    smallest : theta / max(theta) below which its digits are lost to rounding: the relative error is about 1e-16 / smallest.
    """

    grid: Grid
    smallest: float = 1e-7

    def __post_init__(self):
        if self.grid.dimension != 1 or not self.grid.is_periodic:
            raise GridError(
                given=f"a grid {self.grid.shape}", needed="one periodic axis", remedy="Use Grid.box('periodic', n)."
            )
        if not 0 < self.smallest < 1:
            raise SettingError(given=f"smallest={self.smallest}", needed="a number in (0, 1)", remedy="Leave it at 1e-7.")

    def solve(self, initial: np.ndarray, times: np.ndarray, parameters: Mapping) -> Result:
        """Fields at `times`; initial (sample, x) at times[0], parameters {"nu": number or (sample,), > 0}.

        Samples whose theta falls below `smallest` (little viscosity, early times) are NOT_CONVERGED: integrate them in time
        instead. stats: "smallest_theta".

        Raises
        ------
        DataError : fields, times or viscosity of the wrong shape or sign.
        """
        u, times = np.asarray(initial, np.float64), np.asarray(times, np.float64)
        check_samples(u, self.grid, "initial field")
        nu = np.asarray(parameters.get("nu", np.nan), np.float64)
        if nu.shape not in ((), (len(u),)) or not np.all((nu > 0) & np.isfinite(nu)):
            raise DataError(
                given=f"viscosity {nu} for {len(u)} samples", needed="'nu' > 0, a number or one per sample", remedy="Pass it."
            )
        if times.ndim != 1 or not np.all(np.diff(times) > 0):
            raise DataError(given=f"times {times}", needed="increasing numbers", remedy="Start with the initial time.")
        nu = np.broadcast_to(nu, (len(u),))[:, None]
        n, k = self.grid.shape[0], 2 * np.pi / self.grid.lengths[0] * np.arange(self.grid.shape[0] // 2 + 1)
        mean = u.mean(axis=1, keepdims=True)
        inverse = np.divide(1.0, 1j * k, out=np.zeros(len(k), complex), where=k > 0)
        potential = np.asarray(scipy.fft.irfft(scipy.fft.rfft(u - mean) * inverse, n=n)) / (-2 * nu)
        theta = np.asarray(scipy.fft.rfft(np.exp(potential - potential.max(axis=1, keepdims=True))))
        values, lowest = np.empty((len(u), len(times), n)), np.full(len(u), np.inf)
        for i, t in enumerate(times - times[0]):
            if t == 0:
                values[:, i] = u
                continue
            now = theta * np.exp(-(nu * k**2 + 1j * k * mean) * t)
            both = np.asarray(scipy.fft.irfft(np.stack([now, 1j * k * now]), n=n))
            lowest = np.minimum(lowest, both[0].min(axis=1) / both[0].max(axis=1))
            with np.errstate(divide="ignore", invalid="ignore"):
                values[:, i] = mean - 2 * nu * both[1] / both[0]
        good = lowest > self.smallest
        values[~good] = np.nan
        outcome = np.where(good, int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED))
        return Result(values, outcome, {"smallest_theta": lowest})
