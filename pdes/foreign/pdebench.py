"""PDEBench's two HDF5 layouts: one array for all samples, and one group per sample.

    (a)  tensor (sample, time, x[, y]), or density, pressure, Vx, ... of that shape; x-coordinate, ..., t-coordinate (one entry
         longer than there are frames); Darcy: tensor (sample, 1, x, y) and nu (sample, x, y); parameters in the root
         attributes or in the file's name
    (b)  0000/data (time, x[, y], component), 0000/grid/{x,y,t}

Coordinates are cell centres. The files do not say what holds on the walls; file names with "periodic" do.
"""

import re
from pathlib import Path

import numpy as np

from pdes.arrays import FileSource, LazyArray
from pdes.foreign import ComponentSource, StackedSource, uniform_axis
from solvers.errors import DataError
from solvers.grid import Grid

LAYOUT = "PDEBench HDF5 (a: 'tensor' or 'density' with 'x-coordinate'; b: groups '0000/data')"

_FLUID = ("density", "pressure", "Vx", "Vy", "Vz")
_IN_NAME = re.compile(r"_(beta|Nu|nu|Rho|rho|Eta|eta|Zeta|zeta|M)(\d+(?:\.\d+)?(?:e-?\d+)?)")


def matches(path: Path, file) -> bool:
    """By the names at the root."""
    return file is not None and (("x-coordinate" in file and ("tensor" in file or "density" in file)) or bool(_groups(file)))


def read(path: Path, file) -> dict:
    """Fields named as in the file ("tensor" becomes "u"), "nu" of Darcy as input."""
    return _single(path, file) if "x-coordinate" in file else _per_sample(path, file)


def _groups(file) -> list[str]:
    return sorted(name for name in file if re.fullmatch(r"\d{4,}", name) and "data" in file[name])


def _single(path: Path, file) -> dict:
    where, names = str(path.absolute()), [n for n in ("tensor", *_FLUID) if n in file]
    axes = [name for name in "xyz" if f"{name}-coordinate" in file]
    first = file[names[0]]
    axes = axes[: first.ndim - 2]
    if first.ndim != 2 + len(axes):
        raise DataError(
            given=f"{names[0]!r} of shape {first.shape} in {str(path)!r}",
            needed="(sample, time, x[, y[, z]])",
            remedy="Rearrange it.",
        )
    grid = Grid(tuple(uniform_axis(n, file[f"{n}-coordinate"][...], "periodic" in path.name, str(path)) for n in axes))
    lazy = {n: LazyArray(FileSource(where, n, file[n].shape, file[n].dtype), ("sample", "time", *axes)) for n in names}
    steady = first.shape[1] == 1 and "t-coordinate" not in file
    if steady:
        fields = {n: LazyArray(_FirstFrame(a), ("sample", *axes)) for n, a in lazy.items()}
        times = None
    else:
        fields, times = lazy, file["t-coordinate"][...].astype(np.float64)[: first.shape[1]]
    inputs = {}
    if "nu" in file and file["nu"].shape == (first.shape[0], *grid.shape):
        inputs["nu"] = LazyArray(FileSource(where, "nu", file["nu"].shape, file["nu"].dtype), ("sample", *axes))
    return {
        "fields": {"u" if n == "tensor" else n: a for n, a in fields.items()},
        "inputs": inputs,
        "grid": grid,
        "times": times,
        "parameters": {n: np.full(first.shape[0], v) for n, v in _parameters(path, file).items()},
    }


def _parameters(path: Path, file) -> dict[str, float]:
    named = {name: float(value) for name, value in _IN_NAME.findall(path.stem)}
    stored = {name: float(v) for name, v in file.attrs.items() if np.ndim(v) == 0 and isinstance(v, (int, float, np.number))}
    return named | stored


def _per_sample(path: Path, file) -> dict:
    groups = _groups(file)
    data, where = file[groups[0]]["data"], str(path.absolute())
    axes = [name for name in "xyz" if f"grid/{name}" in file[groups[0]]]
    if data.ndim != 2 + len(axes):
        raise DataError(
            given=f"'{groups[0]}/data' of shape {data.shape} in {str(path)!r}",
            needed="(time, x[, y], component)",
            remedy="Rearrange it.",
        )
    stacked = LazyArray(
        StackedSource(where, [f"{g}/data" for g in groups], data.shape, data.dtype), ("sample", "time", *axes, "component")
    )
    one = data.shape[-1] == 1
    config = file[groups[0]].attrs.get("config", "")
    return {
        "fields": {"u": LazyArray(ComponentSource(stacked, 0), stacked.dims[:-1]) if one else stacked},
        "grid": Grid(tuple(uniform_axis(n, file[f"{groups[0]}/grid/{n}"][...], False, str(path)) for n in axes)),
        "times": file[f"{groups[0]}/grid/t"][...].astype(np.float64)[: data.shape[0]],
        "provenance": {"config": config.decode() if isinstance(config, bytes) else str(config)[:20_000]},
    }


class _FirstFrame:
    """Frame 0 of a lazy array, without its time axis."""

    def __init__(self, array: LazyArray):
        self.array, self.dtype = array, array.dtype
        self.shape = (array.shape[0], *array.shape[2:])

    def read(self, rows, rest: tuple[slice, ...]) -> np.ndarray:
        """See `pdes.arrays.MemorySource.read`."""
        return self.array.source.read(rows, (slice(0, 1), *rest))[:, 0]
