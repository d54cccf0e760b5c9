"""Where in the spectrum an error lies, and gradients that are accurate enough to compare grids.

Periodic axes are transformed by Fourier, others by the cosine transform of the values as cells, which sees no jump between the
two ends. |k| counts waves per length of the axis, over the whole spectrum (both signs of every wave number).
"""

import numpy as np
import scipy.fft

from solvers.grid import Axis, Grid

TINY = np.finfo(np.float64).tiny
BANDS: dict[str, tuple[float, float, str]] = {
    "mean": (-0.5, 1e-9, "the spatial mean"),
    "low": (1e-9, 4.0, "wave numbers below 4"),
    "mid": (4.0, 12.0, "wave numbers from 4 to 12"),
    "high": (12.0, np.inf, "wave numbers from 12 on"),
}


def energies(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """|k| of every mode, (*space), and the energy in it, (item, channel, *space), which sums to the mean square over points."""
    k2 = np.zeros(())
    for position, axis in enumerate(grid.axes):
        n, at = values.shape[2 + position], 2 + position
        if axis.kind == "periodic":
            values = scipy.fft.fft(values, axis=at) / n
            k = np.fft.fftfreq(n, 1 / n)
        else:
            values = _cosine(values, at) / np.sqrt(n)
            k = np.arange(n) / 2
        k2 = k2[..., None] + k**2
    return np.sqrt(k2), np.abs(values) ** 2


def _cosine(values: np.ndarray, axis: int) -> np.ndarray:
    """Orthonormal cosine transform, of complex values too (SciPy's takes real ones)."""
    if np.iscomplexobj(values):
        return _cosine(np.real(values), axis) + 1j * _cosine(np.imag(values), axis)
    return np.asarray(scipy.fft.dct(values, axis=axis, norm="ortho"))


def bands(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> dict[str, np.ndarray]:
    """(sum over a band of |e_k|^2 / sum over all of |u_k|^2)^(1/2) of each item, channels taken together."""
    k, error = energies(prediction - truth, grid)
    whole = np.maximum((truth**2).mean(tuple(range(2, truth.ndim))).sum(1), TINY)
    found = {}
    for name, (low, high, _) in BANDS.items():
        chosen = (k >= low) & (k < high)
        found[name] = np.sqrt(error[:, :, chosen].sum((1, 2)) / whole)
    return found


def shells(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Energy by shell round(|k|) = 0, 1, ..., summed over channels, (item, shell)."""
    k, energy = energies(values, grid)
    number = np.rint(k).astype(int).ravel()
    flat = energy.sum(1).reshape(len(values), -1)
    return np.stack([np.bincount(number, weights=row, minlength=number.max() + 1) for row in flat])


def spectrum_ratio(prediction: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """exp of the mean over shells |k| >= 1 of |log(S_v / S_u)|: 1 where the spectra agree, whatever the phases.

    Shells that hold less than 1e-10 of the truth's energy are left out; factors are cut off at 1e6.
    """
    with np.errstate(all="ignore"):
        mine, true = (shells(w, grid)[:, 1:] for w in (prediction, truth))
        held = true > 1e-10 * np.maximum(true.sum(1, keepdims=True), TINY)
        logs = np.clip(np.abs(np.log(np.maximum(mine, TINY) / np.maximum(true, TINY))), 0, np.log(1e6))
        return np.exp((logs * held).sum(1) / np.maximum(held.sum(1), 1))


def gradient_energy(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Sum over axes and channels of the mean square of the derivative, (item,)."""
    total = np.zeros(len(values))
    for position, axis in enumerate(grid.axes):
        if values.shape[2 + position] > 1:
            total = total + (derivative(values, axis, 2 + position) ** 2).mean(tuple(range(2, values.ndim))).sum(1)
    return total


def derivative(values: np.ndarray, axis: Axis, at: int) -> np.ndarray:
    """First derivative along an axis: spectral where periodic, else differences of fourth order, one-sided at the walls."""
    n = values.shape[at]
    if axis.kind == "periodic":
        waves = 2j * np.pi * np.fft.rfftfreq(n, axis.length / n)
        if n % 2 == 0:
            waves[-1] = 0.0  # the Nyquist mode has no derivative on this grid
        shape = [1] * values.ndim
        shape[at] = len(waves)
        return np.asarray(scipy.fft.irfft(scipy.fft.rfft(values, axis=at) * waves.reshape(shape), n, axis=at))
    v = np.moveaxis(values, at, -1)
    if n < 5:
        return np.moveaxis(np.gradient(v, axis.spacing, axis=-1), -1, at)
    d = np.empty_like(v)
    d[..., 2:-2] = (v[..., :-4] - 8 * v[..., 1:-3] + 8 * v[..., 3:-1] - v[..., 4:]) / 12
    for i, weights in enumerate(([-25, 48, -36, 16, -3], [-3, -10, 18, -6, 1])):
        d[..., i] = v[..., :5] @ (np.array(weights) / 12)
        d[..., -1 - i] = v[..., :-6:-1] @ (-np.array(weights) / 12)
    return np.moveaxis(d / axis.spacing, -1, at)
