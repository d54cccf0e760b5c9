"""Errors as published suites define them, to stand beside their tables. Written from the formulas; use none of them to rank.

Arrays are (item, step, channel, *space); `pdebench` takes what is predicted only, given frames excluded (its early code scored
them). Traps, each shown by a test: PDEBench's cRMSE, maximum and boundary error depend on the size of a batch; its fRMSE looks
at one quadrant of the spectrum; The Well's variance is that of a sample (N - 1); APEBench sums over channels and does not
centre its correlation.
"""

import numpy as np

PDEBENCH_BANDS = {"low": (0, 4), "mid": (4, 12), "high": (12, None)}


def pdebench(prediction, truth, lengths: tuple[float, ...] | None = None, batch_size: int | None = None) -> dict[str, float]:
    """RMSE, nRMSE, cRMSE, max, bRMSE and fRMSE (low, mid, high) of PDEBench (Takamoto et al. 2022), averaged over batches.

    lengths : of the axes, 1 by default.   batch_size : as in its loader; all items at once by default.
    """
    v, u = (np.moveaxis(np.asarray(w, np.float64), 1, -1) for w in (prediction, truth))  # (item, channel, *space, step)
    size = batch_size or len(u)
    parts = [_pdebench(v[i : i + size], u[i : i + size], lengths or (1.0,) * (u.ndim - 3)) for i in range(0, len(u), size)]
    return {name: float(np.mean([p[name] for p in parts])) for name in parts[0]}


def _pdebench(v: np.ndarray, u: np.ndarray, lengths: tuple[float, ...]) -> dict[str, float]:
    space = tuple(range(2, u.ndim - 1))
    shape = u.shape[2:-1]
    root = np.sqrt(((v - u) ** 2).mean(space))
    found = {"RMSE": root.mean(), "nRMSE": (root / np.sqrt((u**2).mean(space))).mean()}
    found["cRMSE"] = np.sqrt(((v.sum(space) - u.sum(space)) ** 2).mean(0)).mean() / np.prod(shape)
    found["max"] = np.abs(v - u).max((0, *space)).mean()
    edges, count = 0.0, 0
    for axis in space:  # corners are counted twice, as published
        for end in (0, -1):
            face = np.take((v - u) ** 2, end, axis=axis)
            edges = edges + face.sum(tuple(range(2, face.ndim - 1)))
            count += face[0, 0, ..., 0].size
    found["bRMSE"] = np.sqrt(edges / count).mean()
    spectrum = np.abs(np.fft.fftn(v - u, axes=space)) ** 2
    n = min(shape) // 2
    quadrant = spectrum[(slice(None), slice(None), *(slice(0, m // 2) for m in shape))]  # the trap: i < n/2, j < n/2 only
    k = np.sqrt(sum(np.meshgrid(*(np.arange(m // 2) ** 2 for m in shape), indexing="ij"))) if len(shape) > 1 else np.arange(n)
    shell = np.floor(k).astype(int)
    scale = np.prod(lengths) / np.prod(shape)
    by_shell = np.stack([quadrant[:, :, shell == i].sum(2) for i in range(n)], axis=2)  # (item, channel, shell, step)
    roots = np.sqrt(by_shell.mean(0)) * scale
    for name, (low, high) in PDEBENCH_BANDS.items():
        found[f"fRMSE {name}"] = roots[:, low:high].mean() if roots[:, low:high].size else np.nan
    return {name: float(value) for name, value in found.items()}


def the_well(prediction, truth) -> dict[str, np.ndarray]:
    """VRMSE with the variance of a sample, and its Pearson R (biased over unbiased), (item, step, channel)."""
    v, u = (np.asarray(w, np.float64) for w in (prediction, truth))
    space = tuple(range(3, u.ndim))
    spread = [w.std(space, ddof=1) for w in (v, u)]
    centred = [w - w.mean(space, keepdims=True) for w in (v, u)]
    return {
        "VRMSE": np.sqrt(((v - u) ** 2).mean(space) / (spread[1] ** 2 + 1e-7)),
        "PearsonR": (centred[0] * centred[1]).mean(space) / (spread[0] * spread[1] + 1e-7),
    }


def apebench(prediction, truth) -> dict[str, np.ndarray]:
    """nRMSE summed over channels, and the correlation without centring, averaged over channels, (item, step)."""
    v, u = (np.asarray(w, np.float64) for w in (prediction, truth))
    space = tuple(range(3, u.ndim))
    norm = lambda w: np.sqrt((w**2).sum(space))  # noqa: E731
    return {
        "nRMSE": (norm(v - u) / norm(u)).sum(2),
        "correlation": ((v * u).sum(space) / (norm(v) * norm(u))).mean(2),
    }


def fno(prediction, truth) -> np.ndarray:
    """||e|| / ||u|| over steps, channels and points together, (item,) (Li et al. 2021, neuraloperator)."""
    v, u = (np.asarray(w, np.float64).reshape(len(w), -1) for w in (prediction, truth))
    return np.linalg.norm(v - u, axis=1) / np.linalg.norm(u, axis=1)


def realpdebench_r2(prediction, truth) -> float:
    """1 - sum e^2 / sum (u - mean over the batch)^2: the same errors score otherwise in another batch."""
    v, u = (np.asarray(w, np.float64) for w in (prediction, truth))
    return float(1 - ((v - u) ** 2).sum() / ((u - u.mean(0, keepdims=True)) ** 2).sum())


def mgno_h1(prediction, truth, spacing: float) -> np.ndarray:
    """Not relative: (||e||^2 + ||grad e||^2)^(1/2) with first differences, which MgNO's Helmholtz script logs, (item,)."""
    e = np.asarray(prediction, np.float64) - np.asarray(truth, np.float64)
    axes = tuple(range(2, e.ndim))
    steps = sum((np.diff(e, axis=a) ** 2).sum(axes) for a in axes)
    cell = spacing ** len(axes)
    return np.sqrt(((e**2).sum(axes) * cell + steps * cell / spacing**2).sum(1))
