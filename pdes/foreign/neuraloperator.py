"""Darcy flow as neuraloperator and its forerunner distribute it: `.pt` dictionaries with x, y; `.mat` files with coeff, sol."""

import zipfile
from pathlib import Path

import numpy as np

from solvers.errors import DataError
from solvers.grid import Grid

LAYOUT = "neuraloperator Darcy (.pt with 'x' and 'y', .mat with 'coeff' and 'sol')"


def matches(path: Path, file) -> bool:
    """MATLAB 7.3 by its members, MATLAB 5 by its header, torch by its archive."""
    if file is not None:
        return {"coeff", "sol"} <= set(file)
    with open(path, "rb") as handle:
        if handle.read(10) == b"MATLAB 5.0":
            return True
    return path.suffix in (".pt", ".pth") and zipfile.is_zipfile(path)


def read(path: Path, file) -> dict:
    """Inputs a, fields u; a and u are nodes of the unit square, walls included."""
    if file is not None:  # MATLAB stores its arrays transposed
        a, u = (np.transpose(file[name][...]) for name in ("coeff", "sol"))
    elif path.suffix in (".pt", ".pth"):
        a, u = _from_torch(path)
    else:
        a, u = _from_matlab(path)
    a, u = (v[:, 0] if v.ndim == 4 and v.shape[1] == 1 else v for v in (a, u))  # some files have a channel axis
    if a.ndim != 3 or a.shape != u.shape:
        raise DataError(
            given=f"file {str(path)!r} with coefficients {a.shape} and solutions {u.shape}",
            needed="both (sample, x, y)",
            remedy="Load it yourself and build Dataset(fields={'u': ...}, inputs={'a': ...}, grid=...).",
        )
    edge = max(np.abs(side).max() for side in (u[:, 0], u[:, -1], u[:, :, 0], u[:, :, -1]))
    wall = "dirichlet" if edge <= 1e-3 * np.abs(u).max() else "free"  # decimated files keep or lose the zero walls
    return {
        "fields": {"u": u},
        "inputs": {"a": a.astype(np.float32) if a.dtype == bool else a},
        "grid": Grid.box("node", u.shape[1:], boundary=wall),
        "provenance": {"equation": "-dx(a(x, y)*u_x) - dy(a(x, y)*u_y) = 1"} if wall == "dirichlet" else {},
    }


def _from_torch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises its unpickler's errors as they come
        raise DataError(
            given=f"file {str(path)!r} that torch cannot load safely ({type(error).__name__})",
            needed="a dictionary of tensors",
            remedy="Copy it again; files that hold other Python objects are not opened.",
        ) from error
    if (
        not isinstance(content, dict)
        or not {"x", "y"} <= set(content)
        or not all(isinstance(content[k], torch.Tensor) for k in "xy")
    ):
        raise DataError(
            given=f"file {str(path)!r} without tensors 'x' and 'y'", needed=LAYOUT, remedy="Build a Dataset(...) yourself."
        )
    return tuple((v.float() if v.dtype == torch.bfloat16 else v).numpy() for v in (content["x"], content["y"]))


def _from_matlab(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=["coeff", "sol"])
    except Exception as error:  # truncated files fail in many ways inside the reader
        raise DataError(
            given=f"MATLAB file {str(path)!r} that cannot be read ({error})", needed="an intact file", remedy="Copy it again."
        ) from error
    if not {"coeff", "sol"} <= set(content):
        raise DataError(
            given=f"MATLAB file {str(path)!r} without 'coeff' and 'sol'", needed=LAYOUT, remedy="Build a Dataset(...) yourself."
        )
    return content["coeff"], content["sol"]
