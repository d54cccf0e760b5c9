"""Two-dimensional incompressible Navier-Stokes on a periodic box, in vorticity form.

    w_t + u . grad w = nu laplace(w) - drag w + f,    u = (psi_y, -psi_x),    -laplace(psi) = w

The convective term is evaluated in Basdevant's form (J. Comput. Phys. 50, 1983), two inverse and two forward transforms:

    u . grad w = (d_xx - d_yy)(u v) - d_xy (u^2 - v^2)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from solvers.elliptic import check_samples
from solvers.errors import DataError, GridError, SettingError
from solvers.exponential import ExponentialRK
from solvers.grid import Grid
from solvers.modes import Modes
from solvers.result import Result
from solvers.spectral import wavenumbers

import jax.numpy as jnp  # isort: skip - after solvers.exponential


@dataclass(frozen=True)
class VorticityNavierStokes:
    """Pseudo-spectral solver, exact in viscosity and drag, ETDRK4 in time.

    Parameters
    ----------
    grid : periodic, two axes.
    dt : largest time step; stable for about dt k_max |u| < 2.8.
    order : 4 or 2.   dealias : share of modes kept.   dtype : "float64" or "float32".
    forcing : f, the curl of the body force: None, an array (*space), or a function of the coordinates (x, y).
    drag : linear friction, >= 0.
    """

    grid: Grid
    dt: float
    order: int = 4
    dealias: float = 2 / 3
    forcing: Callable | np.ndarray | None = None
    drag: float = 0.0
    dtype: str = "float64"

    def __post_init__(self):
        if self.grid.dimension != 2 or not self.grid.is_periodic:
            raise GridError(
                given=f"a grid {self.grid.shape}",
                needed="two periodic axes",
                remedy="Use Grid.box('periodic', n, dimension=2).",
            )
        if not 0 <= self.drag < np.inf:
            raise SettingError(given=f"drag={self.drag}", needed="a number >= 0", remedy="Friction takes energy out.")
        self._stepper()  # checks the settings of time stepping now, not at the first solve

    def solve(self, vorticity: np.ndarray, times: np.ndarray, parameters: Mapping[str, Any]) -> Result:
        """Vorticity at `times`; vorticity (sample, x, y) at times[0], parameters {"nu": number or (sample,), >= 0}.

        The mean of the vorticity moves no fluid (it would need a mean shear): it only feels drag and the mean of f.

        Raises
        ------
        DataError : fields, viscosity or forcing of the wrong shape or not finite.
        """
        check_samples(np.asarray(vorticity), self.grid, "vorticity")
        p: dict[str, Any] = {"nu": _viscosities(parameters, len(vorticity)), "drag": self.drag}
        if self.forcing is not None:
            f = np.asarray(self.forcing(*self.grid.mesh()) if callable(self.forcing) else self.forcing, np.float64)
            if f.shape not in ((), self.grid.shape) or not np.isfinite(f).all():
                raise DataError(
                    given=f"a forcing of shape {f.shape}" + ("" if np.isfinite(f).all() else " with NaN or infinity"),
                    needed=f"finite values of shape {self.grid.shape}",
                    remedy="Evaluate it on this grid, or pass a function of (x, y).",
                )
            spectrum = np.fft.rfft2(np.broadcast_to(f, self.grid.shape))
            p["forcing"] = Modes(self.grid, self.dealias).cut(spectrum)[None]
            if self.dtype == "float32":
                p["forcing"] = p["forcing"].astype(np.complex64)
        return self._stepper().solve(vorticity, times, p)

    def _stepper(self) -> ExponentialRK:
        return ExponentialRK(self.grid, viscosity, convection, self.dt, self.order, self.dealias, self.dtype)


def _viscosities(parameters: Mapping[str, Any], samples: int) -> np.ndarray:
    nu = np.asarray(parameters.get("nu", np.nan), np.float64)
    if nu.shape not in ((), (samples,)) or not np.all((nu >= 0) & np.isfinite(nu)):
        raise DataError(
            given=f"parameters {dict(parameters)} for {samples} samples",
            needed="'nu', a number >= 0 or one per sample",
            remedy="Pass parameters={'nu': ...}.",
        )
    return nu


def velocity(vorticity: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of a vorticity (..., x, y), without mean flow."""
    kx, ky = wavenumbers(grid)
    stream = scipy.fft.rfft2(vorticity) * _inverse_laplacian(kx, ky)
    return tuple(scipy.fft.irfft2(factor * stream, s=grid.shape) for factor in (1j * ky, -1j * kx))  # type: ignore[return-value]


def viscosity(k: tuple, p: Mapping[str, Any]):
    """Symbol of nu laplace - drag."""
    return -p["nu"] * (k[0] ** 2 + k[1] ** 2) - p["drag"]


def convection(w_hat, modes: Modes, p: Mapping[str, Any]):
    """Spectrum of -u . grad w + f."""
    kx, ky = modes.k
    stream = w_hat * _inverse_laplacian(kx, ky)
    # Both components in one batched transform.
    u, v = modes.points(jnp.stack([1j * ky * stream, -1j * kx * stream]))
    cross, difference = modes.modes(jnp.stack([u * v, (u - v) * (u + v)]))
    change = (kx**2 - ky**2) * cross - kx * ky * difference
    return change + p["forcing"] if "forcing" in p else change


def _inverse_laplacian(kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    squares = kx**2 + ky**2
    return np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0)
