"""Dataset: named fields on a grid, with coordinates, parameters, quality of the labels, and where they come from.

Arrays are (sample, time, *space[, component]) for fields that depend on time (time index 0 is the initial frame), and
(sample, *space[, component]) for steady fields and for inputs. They are read when sliced, so a dataset may be larger than
memory; slicing a dataset gives a view, not a copy.
"""

import hashlib
import html
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from pdes import storage
from pdes.arrays import LazyArray, MemorySource
from pdes.coarsen import AveragedSource, coarse_axis
from solvers.errors import DataError, MissingPackage, SettingError
from solvers.grid import Grid

_KINDS = ("fields", "inputs", "parameters", "quality", "latent", "index")
Arrays = Mapping[str, "np.ndarray | LazyArray"]
BLOCK_BYTES = 2**24
UNBOUNDED = 2**62
"""Samples of a stream without an end (`pdes.stream`)."""


class Dataset:
    """Samples of fields on one grid.

    Parameters
    ----------
    fields : name -> (sample, time, *space[, component]) or (sample, *space[, component]); arrays, or `LazyArray`s.
    grid : where the points lie.
    inputs : coefficients and sources, name -> (sample, *space[, component]).
    times : (time,) increasing; None for steady problems.
    parameters : name -> (sample,) numbers.
    quality : name -> (sample,): label_error, residual, iterations, ...
    latent : name -> (sample, ...): coefficients that rebuild the inputs at any resolution.
    provenance : where the data come from, anything that JSON can hold.
    index : name -> (sample,), e.g. "sample_id".

    Raises
    ------
    DataError : shapes that do not fit the grid, the times or each other; the message names the array.

    Examples
    --------
    >>> grid = Grid.box("periodic", 8)
    >>> data = Dataset(fields={"u": np.zeros((5, 3, 8))}, grid=grid, times=[0.0, 0.5, 1.0], parameters={"nu": np.ones(5)})
    >>> data.fields["u"].dims, len(data[1:3]), data[[4, 0]].fields["u"][:, -1].shape
    (('sample', 'time', 'x'), 2, (2, 8))
    """

    def __init__(
        self,
        *,
        fields: Arrays,
        grid: Grid,
        inputs: Arrays | None = None,
        times=None,
        parameters: Mapping[str, np.ndarray] | None = None,
        quality: Arrays | None = None,
        latent: Arrays | None = None,
        provenance: Mapping | None = None,
        index: Mapping[str, np.ndarray] | None = None,
    ):
        if not fields:
            raise DataError(given="a dataset without fields", needed="at least one field", remedy="Pass fields={'u': array}.")
        self.grid = grid
        self.times = None if times is None else np.asarray(times, dtype=np.float64)
        if self.times is not None and (self.times.ndim != 1 or np.any(np.diff(self.times) <= 0)):
            raise DataError(
                given=f"times of shape {self.times.shape}", needed="increasing numbers, (time,)", remedy="Sort them."
            )
        self.fields = MappingProxyType({name: self._spatial("field", name, a) for name, a in fields.items()})
        self._n = len(next(iter(self.fields.values())))
        self.inputs = MappingProxyType({name: self._spatial("input", name, a) for name, a in (inputs or {}).items()})
        self.parameters: Mapping[str, Any] = MappingProxyType(
            {n: _numbers(a, np.float64) for n, a in (parameters or {}).items()}
        )
        self.quality: Mapping[str, Any] = MappingProxyType({n: _numbers(a) for n, a in (quality or {}).items()})
        self.latent = MappingProxyType({n: _lazy(a, ("sample",)) for n, a in (latent or {}).items()})
        self.index: Mapping[str, Any] = MappingProxyType({n: _numbers(a) for n, a in (index or {}).items()})
        self.provenance = MappingProxyType(dict(provenance or {}))
        for kind in _KINDS:
            for name, array in getattr(self, kind).items():
                if len(array.shape) == 0 or array.shape[0] != self._n or (kind == "parameters" and array.ndim != 1):
                    raise DataError(
                        given=f"{kind}[{name!r}] of shape {array.shape}",
                        needed=f"{self._n} samples" + (", one number each" if kind == "parameters" else ""),
                        remedy="Give every array the same samples, in the same order.",
                    )

    def _spatial(self, kind: str, name: str, array) -> LazyArray:
        """An array with named axes, checked against grid and times."""
        array = array if isinstance(array, LazyArray) else np.asarray(array)
        shape, space = tuple(array.shape), self.grid.shape
        leading = [("sample",)] if self.times is None else [("sample", "time"), ("sample",)]
        for lead in leading:
            after = len(lead) + len(space)
            timed = "time" not in lead or (self.times is not None and shape[1:2] == self.times.shape)
            if timed and shape[len(lead) : after] == space and len(shape) - after in (0, 1):
                dims = (*lead, *self.grid.names, *("component",) * (len(shape) - after))
                return (
                    LazyArray(array.source, dims, array.select) if isinstance(array, LazyArray) else LazyArray.of(array, dims)
                )
        wanted = " or ".join("(" + ", ".join([*lead, *map(str, space), "[component]"]) + ")" for lead in leading)
        count = "" if self.times is None else f" with {len(self.times)} times"
        raise DataError(
            given=f"{kind} {name!r} of shape {shape}", needed=f"{wanted}{count}", remedy="Transpose it, or mend grid and times."
        )

    # -- reading and writing ------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path, allow: str | Sequence[str] = ()) -> "Dataset":
        """Open a file: ours (HDF5 "sciml-pde/1", or a folder of shards), neuraloperator's Darcy (.pt, .mat), PDEBench or
        The Well (HDF5).

        Known faults of others' files that can be mended are, and noted in `provenance["repairs"]`.

        allow : faults to accept that cannot be mended, by the name that the error gives ("unsteady_darcy").

        Raises
        ------
        DataError : missing, truncated or unknown file (the message says which layouts are read), or one whose data are not
            what they are called (it says why, and what `allow` takes).
        """
        from pdes import foreign

        path = Path(path)
        if path.is_dir():
            from pdes import shards

            return cls(**shards.read(path))
        if foreign.is_ours(path):
            return cls(**storage.read(path))
        return cls(**foreign.read(path, allow))

    def save(self, path: str | Path, compression: int | None = 4) -> "Dataset":
        """Write to `path` (HDF5, floats as float32), whole or not at all; returns the dataset opened from there.

        compression : gzip level 1 to 9, or None for none (larger, quicker to read).
        """
        arrays = {f"{kind}/{name}": a for kind in ("fields", "inputs", "latent") for name, a in getattr(self, kind).items()}
        small = {f"params/{n}": np.asarray(a) for n, a in self.parameters.items()}
        small |= {f"quality/{n}": np.asarray(a) for n, a in self.quality.items()}
        index = {"content_hash": self.content_hashes()}
        index |= {n: np.asarray(a) for n, a in self.index.items() if n != "content_hash"}
        small |= {f"index/{n}": a for n, a in sorted(index.items())}
        laws, symbols = self.provenance.get("laws", {}), self.provenance.get("symbols", {})
        need = sum(a.size * _stored(n, a).itemsize for n, a in arrays.items())
        # Compressed size is unknown before; fields of PDEs shrink little, thresholded ones a lot. Ask for a tenth at least.
        with storage.writing(path, len(self), need // 10, compression) as writer:
            writer.header(self.provenance, self.grid, self.times)
            writer.order([*arrays, *small])
            for name, array in arrays.items():
                attrs = {} if name.startswith("latent/") else storage.attributes(array, self.grid)
                writer.create(name, array.shape, _stored(name, array), array.dims, attrs)
                for block in self.blocks(array):
                    writer.put(name, block.start, array[block])
            for name, values in small.items():
                short = name.partition("/")[2]
                attrs = (
                    {"symbol": symbols.get(short, short), "units": "", "law": laws.get(short, "")}
                    if name.startswith("params/")
                    else {}
                )
                writer.create(name, values.shape, values.dtype, ("sample",) + ("time",) * (values.ndim - 1), attrs)
                writer.put(name, 0, values)
            solver = writer.handle.require_group("quality/solver")
            for key, value in sorted(self.provenance.get("solver", {}).items()):
                solver.attrs[key] = value if isinstance(value, (int, float, str)) else json.dumps(value)
        return Dataset.open(path)

    def export(self, path: str | Path, layout: str, compression: int | None = None) -> Path:
        """Write for other projects' loaders; `Dataset.open` gives back the same fields, inputs, parameters, grid and times.

        Parameters
        ----------
        layout : "the_well" (takes everything), "pdebench" (one array for all samples: one field, or those of a fluid) or
            "pdebench_groups" (one group per sample: any fields in time).
        compression : gzip level; none by default, as those projects do.

        Latents, label errors and sample ids have no place there.

        Raises
        ------
        DataError : the layout has no place for these fields or inputs; the message names one that has.

        Examples
        --------
        >>> import tempfile
        >>> data = Dataset(fields={"u": np.ones((2, 8))}, grid=Grid.box("periodic", 8))
        >>> Dataset.open(data.export(tempfile.mkdtemp() + "/u.hdf5", "the_well")).fingerprint() == data.fingerprint()
        True
        """
        from pdes import foreign

        return foreign.export(self, path, layout, compression)

    # -- slicing ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self._n > UNBOUNDED // 2:
            raise SettingError(
                given="the length of a stream without an end",
                needed="a number of samples",
                remedy="Pass n= to pdes.stream, or take a slice: data[:1000].",
            )
        return self._n

    def __getitem__(self, key) -> "Dataset":
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            key = range(self._n if key >= 0 else len(self))[key]
            key = slice(key, key + 1)
        elif not isinstance(key, slice):
            key = np.asarray(key)
            key = key.astype(np.intp) if key.size == 0 else key
        return self._map(lambda a: a.view(0, key) if isinstance(a, LazyArray) else a[key])

    def __getstate__(self) -> dict:  # read-only mappings do not pickle
        return {name: dict(value) if isinstance(value, MappingProxyType) else value for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(
            {name: MappingProxyType(value) if isinstance(value, dict) else value for name, value in state.items()}
        )

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def replace(self, **changes) -> "Dataset":
        """The same dataset with other arguments (`fields=`, `index=`, `provenance=`, ...)."""
        return self._map(lambda a: a, **changes)

    def _map(self, change: Callable, **replacements) -> "Dataset":
        """The same dataset with `change` applied to every array."""
        arrays = {kind: {name: change(a) for name, a in getattr(self, kind).items()} for kind in _KINDS}
        return Dataset(**{"grid": self.grid, "times": self.times, "provenance": self.provenance, **arrays, **replacements})

    def split(self, *sizes: int | float) -> tuple["Dataset", ...]:
        """Consecutive parts, in order, without shuffling: counts (800, 200) or fractions (0.8, 0.2)."""
        fractions = all(isinstance(s, float) and 0 < s <= 1 for s in sizes) and sum(sizes) <= 1 + 1e-9
        counts = [round(s * len(self)) for s in np.cumsum(sizes)] if fractions else list(np.cumsum(sizes))
        ends = [0, *counts]
        if (
            not sizes
            or any(s <= 0 for s in sizes)
            or ends[-1] > len(self)
            or (not fractions and any(int(s) != s for s in sizes))
        ):
            raise SettingError(
                given=f"split{sizes} of {len(self)} samples",
                needed=f"positive counts that sum to at most {len(self)}, or fractions that sum to at most 1",
                remedy="Ask for fewer, or generate more: samples already made stay the same.",
            )
        return tuple(self[int(a) : int(b)] for a, b in itertools.pairwise(ends))

    def subsample(self, space: int | Mapping[str, int] = 1, time: int = 1) -> "Dataset":
        """A coarser view: every `space`-th point (cell grids: means over `space` cells per axis), every `time`-th frame.

        Raises
        ------
        GridError : the factor does not divide the grid.
        """
        factors = (
            dict.fromkeys(self.grid.names, space) if isinstance(space, int) else {n: space.get(n, 1) for n in self.grid.names}
        )
        coarse = [coarse_axis(axis, factors[axis.name]) for axis in self.grid.axes]
        strides = {axis.name: (start, factors[axis.name]) for axis, (_, start) in zip(self.grid.axes, coarse, strict=True)}

        def coarsen(array):
            if not isinstance(array, LazyArray):
                return array[:, ::time] if array.ndim == 2 and self.times is not None else array
            averaged = {
                n: factors[n]
                for n, axis in zip(self.grid.names, self.grid.axes, strict=True)
                if axis.is_cell and n in array.dims
            }
            for axis, name in enumerate(array.dims):
                if name == "time":
                    array = array.view(axis, slice(None, None, time))
                elif name in strides and name not in averaged:
                    array = array.view(axis, slice(strides[name][0], None, strides[name][1]))
            return LazyArray(AveragedSource(array, averaged), array.dims) if max(averaged.values(), default=1) > 1 else array

        times = None if self.times is None else self.times[::time]
        index = {name: a for name, a in self.index.items() if name != "content_hash"}
        return self._map(coarsen, grid=Grid(tuple(axis for axis, _ in coarse)), times=times, index=index)

    def in_memory(self) -> "Dataset":
        """The same dataset with every array loaded."""
        lazy = [a for kind in _KINDS for a in getattr(self, kind).values() if isinstance(a, LazyArray)]
        found = {id(array): np.empty((len(self), *array.shape[1:]), array.dtype) for array in lazy}
        for block in self.blocks(*lazy):  # all arrays of a few samples, then the next: a stream solves every sample once
            for array in lazy:
                found[id(array)][block] = array[block]
        return self._map(lambda a: LazyArray(MemorySource(found[id(a)]), a.dims) if isinstance(a, LazyArray) else a)

    def to_xarray(self):
        """An `xarray.Dataset` with named, labelled dimensions (loads the data). Needs the extra `xarray`."""
        try:
            import xarray
        except ImportError as error:
            raise MissingPackage(
                given="no xarray here", needed="the package xarray", remedy="pip install 'sciml-operators[xarray]'."
            ) from error
        coords = {("time" if name == "t" else name): values for name, values in self.coordinates.items()}
        coords |= {name: ("sample", np.asarray(values)) for name, values in self.parameters.items()}
        variables = {name: (a.dims, a[...]) for name, a in [*self.inputs.items(), *self.fields.items()]}
        return xarray.Dataset(
            variables, coords=coords, attrs={k: v for k, v in self.provenance.items() if isinstance(v, (str, int, float))}
        )

    # -- pictures -----------------------------------------------------------------------------------------------------

    def plot(self, path: str | Path | None = None, **options):
        """Panels of the fields, a matplotlib figure; see `pdes.pictures.plot` for the options."""
        from pdes.pictures import plot

        return plot(self, path, **options)

    def animate(self, path: str | Path, **options) -> Path:
        """One sample in motion (.gif, .html or .mp4); see `pdes.pictures.animate` for the options."""
        from pdes.pictures import animate

        return animate(self, path, **options)

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Positions along each axis, and "t" if there is time."""
        space = dict(zip(self.grid.names, self.grid.coordinates(), strict=True))
        return space if self.times is None else {**space, "t": self.times}

    def check_finite(self, names: Sequence[str] | None = None) -> None:
        """Raise `DataError` at the first NaN or infinity, naming the array and the sample."""
        arrays = {**self.inputs, **self.fields} if names is None else {n: {**self.inputs, **self.fields}[n] for n in names}
        for name, array in arrays.items():
            for block in self.blocks(array):
                bad = ~np.isfinite(array[block]).reshape(block.stop - block.start, -1).all(axis=1)
                if bad.any():
                    raise DataError(
                        given=f"NaN or infinity in {name!r}, sample {block.start + int(np.argmax(bad))}",
                        needed="finite values",
                        remedy="Drop those samples (data[[...]]), or generate them again.",
                    )
        for name, values in ((n, np.asarray(a)) for n, a in self.parameters.items()):
            if not np.isfinite(values).all():
                raise DataError(
                    given=f"NaN or infinity in parameter {name!r}, sample {int(np.argmin(np.isfinite(values)))}",
                    needed="finite values",
                    remedy="Drop those samples (data[[...]]).",
                )

    def fingerprint(self) -> str:
        """Hexadecimal digest of the content (values as float32, parameters, grid, times): the same from memory and from file.

        Files carry a hash per sample, so this does not read the data, except for views that are coarser than the file.
        """
        described = {
            kind: {name: [list(a.dims), list(a.shape[1:])] for name, a in sorted(getattr(self, kind).items())}
            for kind in ("fields", "inputs")
        }
        described |= {"grid": self.grid.to_json(), "times": None if self.times is None else self.times.tolist()}
        digest = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=16)
        digest.update(self.content_hashes().tobytes())
        return digest.hexdigest()

    def content_hashes(self) -> np.ndarray:
        """64-bit hash of each sample's inputs, fields and parameters, (sample,); stored ones where there are any."""
        if "content_hash" in self.index:
            return np.asarray(self.index["content_hash"]).astype("<u8")
        states = [hashlib.blake2b(digest_size=8) for _ in range(len(self))]
        arrays = [a for kind in (self.inputs, self.fields) for _, a in sorted(kind.items())]
        for block in self.blocks(*arrays):
            for array in arrays:
                for state, sample in zip(states[block], np.ascontiguousarray(array[block], dtype="<f4"), strict=True):
                    state.update(sample)
            for name in sorted(self.parameters):
                for state, value in zip(states[block], self.parameters[name][block].astype("<f8"), strict=True):
                    state.update(value.tobytes())
        return np.frombuffer(b"".join(state.digest() for state in states), dtype="<u8")

    def blocks(self, *arrays: LazyArray) -> list[slice]:
        """Runs of samples of at most about 16 MiB of the largest of `arrays`."""
        each = max((a.nbytes // max(1, len(a)) for a in arrays), default=1)
        rows = max(1, BLOCK_BYTES // max(1, each))
        return [slice(start, min(start + rows, len(self))) for start in range(0, len(self), rows)]

    def _summary(self) -> list[tuple[str, str]]:
        grid = " x ".join(f"{a.size} {a.kind} points on [{a.start:g}, {a.stop:g}]" for a in self.grid.axes)
        rows = [("samples", "without an end" if self._n > UNBOUNDED // 2 else f"{self._n}")] + (
            [("grid", grid)] if grid else []
        )
        if self.times is not None:
            rows.append(("times", f"{len(self.times)} from {self.times[0]:g} to {self.times[-1]:g}"))
        for kind in ("inputs", "fields"):
            rows += [(kind[:-1], f"{name} {repr(a).removeprefix('LazyArray')}") for name, a in getattr(self, kind).items()]
        for name, values in self.parameters.items():
            if isinstance(values, LazyArray):  # do not compute or read all samples for a line of text
                rows.append(("parameter", f"{name}, {self.provenance.get('laws', {}).get(name, 'read when sliced')}"))
            elif values.size:
                low, high = (values[0], values[0]) if values.strides == (0,) else (values.min(), values.max())
                rows.append(("parameter", f"{name} from {low:.4g} to {high:.4g}"))
        errors = self.quality.get("label_error")
        if isinstance(errors, np.ndarray) and np.isfinite(errors).any():
            rows.append(
                (
                    "label error",
                    f"mean {np.nanmean(errors):.2e}, worst {np.nanmax(errors):.2e} ({np.isfinite(errors).sum()} measured)",
                )
            )
        if self.provenance.get("equation"):
            rows.insert(0, ("equation", str(self.provenance["equation"])))
        return rows

    def __repr__(self) -> str:
        lines = [f"  {key:<12}{value}" for key, value in self._summary()]
        return "\n".join([f"Dataset {self.provenance.get('family', '')!r}", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in self._summary()
        )
        return f"<b>Dataset {html.escape(str(self.provenance.get('family', '')))}</b><table>{rows}</table>"


def _lazy(array, dims: tuple[str, ...]) -> LazyArray:
    if isinstance(array, LazyArray):
        return array
    array = np.asarray(array)
    return LazyArray.of(array, (*dims, *(f"mode{i}" for i in range(array.ndim - len(dims)))))


def _numbers(array, dtype=None):
    """Numbers per sample: a NumPy array, unless their source wants them to be read when sliced (see `PartsSource`)."""
    if isinstance(array, LazyArray) and getattr(array.source, "deferred", False):
        return array
    return np.asarray(array, dtype=dtype)


def _stored(name: str, array) -> np.dtype:
    """Type on disk: float32 for fields and inputs, float64 for the coefficients they are rebuilt from."""
    return np.dtype("<f4") if array.dtype.kind == "f" and not name.startswith("latent/") else array.dtype
