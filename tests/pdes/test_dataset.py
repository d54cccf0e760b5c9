"""Datasets: what goes in comes out, sliced like NumPy, from memory and from file, and damage is named."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdes import Box, Dataset, Periodic, storage
from pdes.arrays import LazyArray
from solvers.errors import DataError, GridError, MissingPackage, SettingError
from solvers.files import DiskFull

RNG = np.random.default_rng(31415)
GRID = Periodic(x=(0, 1), y=(0, 2)).grid((8, 6))
TIMES = np.linspace(0, 1, 5)
U = RNG.standard_normal((12, 5, 8, 6)).astype(np.float32)
A = RNG.standard_normal((12, 8, 6)).astype(np.float32)


def make():
    return Dataset(
        fields={"u": U, "v": RNG.standard_normal((12, 5, 8, 6, 2))},
        inputs={"a": A},
        grid=GRID,
        times=TIMES,
        parameters={"nu": np.arange(12) / 7},
        quality={"label_error": np.where(np.arange(12) % 4, np.nan, 1e-3), "steps": np.arange(12)},
        latent={"inputs.a": RNG.standard_normal((12, 3, 4))},
        provenance={"family": "made_up", "equation": "u_t = nu*u_xx", "seed": 7},
        index={"sample_id": np.arange(12, dtype=np.uint64) + 2**63},
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return make().save(tmp_path_factory.mktemp("data") / "made_up.h5")


def test_file_gives_back_what_was_saved(stored):
    data = make()
    assert stored.fields["u"].dims == ("sample", "time", "x", "y")
    assert stored.fields["v"].dims[-1] == "component"
    np.testing.assert_array_equal(stored.fields["u"][...], U)
    np.testing.assert_array_equal(stored.inputs["a"][...], A)
    np.testing.assert_array_equal(stored.latent["inputs.a"].shape, (12, 3, 4))
    np.testing.assert_array_equal(stored.parameters["nu"], data.parameters["nu"])
    np.testing.assert_array_equal(stored.quality["label_error"], data.quality["label_error"])
    np.testing.assert_array_equal(stored.index["sample_id"], data.index["sample_id"])
    np.testing.assert_array_equal(stored.times, TIMES)
    assert stored.grid == GRID
    assert dict(stored.provenance) == dict(data.provenance)
    assert set(stored.coordinates) == {"x", "y", "t"}


def test_layout_is_as_documented(stored):
    path = stored.fields["u"].source.path
    with h5py.File(path) as file:
        assert file.attrs["schema"] == "sciml-pde/1"
        assert file.attrs["n_samples"] == 12
        assert (file["coords/x"].attrs["periodic"], file["coords/x"].attrs["length"], file["coords/y"].attrs["stop"]) == (
            True,
            1.0,
            2.0,
        )
        assert list(file["coords/x"].attrs["boundary"]) == ["periodic", "periodic"]
        assert file["bc/x_start"].attrs["type"] == "periodic"
        u = file["fields/u"]
        assert (u.chunks, u.dtype, u.compression, u.fletcher32, u.shuffle) == ((1, 5, 8, 6), np.float32, "gzip", True, True)
        assert (u.attrs["rank"], u.attrs["time_varying"], file["fields/v"].attrs["rank"]) == (0, True, 1)
        assert file["params/nu"].dtype == np.float64
        assert file["index/content_hash"].dtype == np.uint64


def test_same_data_same_bytes(tmp_path):
    data = make()
    first, second = data.save(tmp_path / "a.h5"), data.save(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    first.save(tmp_path / "a.h5")  # onto itself, through a lazy view
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert first.fingerprint() == second.fingerprint() == data.fingerprint()


KEY = st.one_of(
    st.integers(-12, 11),
    st.slices(12),
    st.lists(st.integers(-12, 11), max_size=6),
    st.lists(st.booleans(), min_size=12, max_size=12).map(np.array),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(KEY, st.one_of(st.slices(5), st.integers(-5, 4)), st.one_of(st.slices(8), st.integers(-8, 7)))
def test_slicing_equals_numpy(stored, sample, time, x):
    key = sample if not isinstance(sample, list) else np.array(sample, dtype=np.intp)
    expected = U[key][:, time] if not isinstance(sample, int) else U[key][time]
    x_key = (..., x, slice(None))
    np.testing.assert_array_equal(stored.fields["u"][sample, time, x], expected[x_key])
    np.testing.assert_array_equal(make().fields["u"][sample, time, x], expected[x_key])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.slices(12), st.lists(st.integers(0, 3), max_size=5))
def test_views_of_views_equal_numpy(stored, first, second):
    second = [i for i in second if i < len(range(12)[first])]
    view = stored[first][second]
    np.testing.assert_array_equal(view.fields["u"][...], U[first][np.array(second, dtype=int)])
    np.testing.assert_array_equal(view.parameters["nu"], (np.arange(12) / 7)[first][np.array(second, dtype=int)])


def test_lists_on_inner_axes_and_iteration(stored):
    np.testing.assert_array_equal(stored.fields["u"][:, [0, 4], :, 2:], U[:, [0, 4], :, 2:])
    np.testing.assert_array_equal(np.stack(list(stored.fields["u"])), U)
    np.testing.assert_array_equal(np.mean(stored.fields["u"]), U.mean())
    assert [len(part) for part in stored] == [1] * 12


@pytest.mark.parametrize("key", [(0, 0, 0, 0, 0), (None,), (slice(None), 9), ([12],), (..., ...), ([0.5],)])
def test_bad_indices_raise_index_error(stored, key):
    with pytest.raises(IndexError):
        stored.fields["u"][key]


def test_split_and_subsample(stored):
    first, second = stored.split(8, 4)
    assert (len(first), len(second)) == (8, 4)
    np.testing.assert_array_equal(second.fields["u"][0], U[8])
    assert [len(part) for part in stored.split(0.5, 0.25)] == [6, 3]
    for bad in ((8, 5), (0.9, 0.2), (), (0, 3), (1.5,)):
        with pytest.raises(SettingError, match="sum to at most"):
            stored.split(*bad)
    coarse = stored.subsample(space=2, time=2)
    assert coarse.grid.shape == (4, 3)
    np.testing.assert_array_equal(coarse.fields["u"][3:5], U[3:5, ::2, ::2, ::2])
    np.testing.assert_array_equal(coarse.times, TIMES[::2])
    np.testing.assert_allclose(coarse.coordinates["y"], GRID.coordinates()[1][::2])
    with pytest.raises(GridError, match="coarsened by 4"):
        stored.subsample(space=4)


@pytest.mark.parametrize(
    ("kind", "n", "factor"),
    [("cell", 12, 3), ("cell", 12, 4), ("node", 13, 4), ("interior", 11, 4), ("periodic", 12, 4), ("cells", 12, 4)],
)
def test_subsample_keeps_positions(kind, n, factor, tmp_path):
    periodic = kind in ("periodic", "cells")
    grid = (Periodic(x=(0, 3), cells=kind == "cells") if periodic else Box(x=(0, 3), kind=kind)).grid(n)
    data = Dataset(fields={"u": np.tile(grid.coordinates()[0], (4, 1))}, grid=grid).save(tmp_path / "x.h5")
    coarse = data.subsample(space=factor)
    np.testing.assert_allclose(coarse.fields["u"][1], coarse.coordinates["x"], rtol=1e-6)
    assert coarse.grid.axes[0].length == 3
    assert Dataset.open(tmp_path / "x.h5").grid == grid
    assert coarse[1:3].fingerprint() == coarse.in_memory()[1:3].fingerprint()


def test_fingerprints_tell_data_apart(stored):
    data = make()
    assert (
        stored[:5].fingerprint()
        == stored.in_memory()[:5].fingerprint()
        == Dataset.open(stored.fields["u"].source.path)[:5].fingerprint()
    )
    seen = {stored.fingerprint(), stored[:11].fingerprint(), stored[::-1].fingerprint(), stored.subsample(time=2).fingerprint()}
    other = Dataset(fields={"u": U + (U.max() == U) * 1e-3}, grid=GRID, times=TIMES)
    seen |= {
        other.fingerprint(),
        Dataset(fields={"u": U}, grid=GRID, times=TIMES).fingerprint(),
        Dataset(fields={"w": U}, grid=GRID, times=TIMES).fingerprint(),
    }
    assert len(seen) == 7
    assert data.subsample(space=2).fingerprint() == data.subsample(space=2).in_memory().fingerprint()


def test_travels_to_another_process(stored):
    view = pickle.loads(pickle.dumps(stored[[7, 2]]))
    np.testing.assert_array_equal(view.fields["u"][...], U[[7, 2]])
    code = "import pickle, sys; d = pickle.loads(sys.stdin.buffer.read()); print(float(d.fields['u'][0, 0, 0, 0]))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(stored[[7, 2]]), capture_output=True, check=True)
    assert float(done.stdout) == pytest.approx(float(U[7, 0, 0, 0]))


PARENT_AND_CHILDREN = """
import multiprocessing, sys
import numpy as np
from pdes import Dataset
from pdes.arrays import _handles

def work(dataset, rows):
    total = float(dataset.fields["u"][rows].astype(np.float64).sum())
    return total, len([key for key in _handles if key[0] == __import__("os").getpid()])

if __name__ == "__main__":
    data = Dataset.open(sys.argv[1])
    data.fields["u"][0]  # the parent's handle is open when the children start
    rows = [[11, 0, 3], [5, 6, 7], [2], [9, 8]] * 3
    with multiprocessing.get_context(sys.argv[2]).Pool(3) as pool:
        found = pool.starmap(work, [(data, r) for r in rows])
    assert {handles for _, handles in found} == {1}, found
    assert [total for total, _ in found] == [work(data, r)[0] for r in rows]
    print("equal")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_process_reads_through_a_handle_of_its_own(stored, tmp_path, method):
    script = tmp_path / "read.py"
    script.write_text(PARENT_AND_CHILDREN)
    path = stored.fields["u"].source.path
    command = [sys.executable, "-W", "error", str(script), path, method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "equal", done.stderr


def test_a_file_replaced_on_disk_is_opened_anew(tmp_path):
    grid = Periodic(x=(0, 1)).grid(4)
    old = Dataset(fields={"u": np.zeros((2, 4))}, grid=grid).save(tmp_path / "u.h5")
    new = Dataset(fields={"u": np.ones((2, 4))}, grid=grid).save(tmp_path / "u.h5")
    assert new.fields["u"][0, 0] == 1
    assert old.fields["u"].shape == (2, 4)


def test_nothing_is_read_before_it_is_sliced(stored, monkeypatch):
    monkeypatch.setattr("pdes.arrays.FileSource.read", lambda *args: pytest.fail("read"))
    data = stored[2:9][[0, 3]].subsample(time=2)
    assert "2" in repr(data)
    data.split(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": {}}, "at least one field"),
        ({"fields": {"u": np.zeros((3, 8, 5))}}, r"field 'u' of shape \(3, 8, 5\)"),
        ({"fields": {"u": np.zeros((3, 4, 8, 6))}}, "with 5 times"),
        ({"fields": {"u": np.zeros((3, 5, 8, 6))}, "inputs": {"a": np.zeros((4, 8, 6))}}, r"inputs\['a'\].*3 samples"),
        (
            {"fields": {"u": np.zeros((3, 5, 8, 6))}, "parameters": {"nu": np.zeros((3, 2))}},
            r"parameters\['nu'\].*one number each",
        ),
    ],
)
def test_shapes_are_checked_at_once(arguments, message):
    with pytest.raises(DataError, match=message):
        Dataset(grid=GRID, times=TIMES, **arguments)


def test_times_must_increase():
    with pytest.raises(DataError, match="increasing"):
        Dataset(fields={"u": np.zeros((1, 2, 8, 6))}, grid=GRID, times=[1, 0])


def test_nan_is_found_and_named(stored):
    stored.check_finite()
    bad = U.copy()
    bad[9, 2, 1, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinity in 'u', sample 9"):
        Dataset(fields={"u": bad}, grid=GRID, times=TIMES).check_finite()
    with pytest.raises(DataError, match="parameter 'nu', sample 1"):
        Dataset(fields={"u": U}, grid=GRID, times=TIMES, parameters={"nu": [0, np.inf, *range(10)]}).check_finite()


# -- damage -----------------------------------------------------------------------------------------------------------


def test_missing_file():
    with pytest.raises(DataError, match="no readable file at"):
        Dataset.open("nowhere.h5")


@pytest.mark.parametrize("keep", [0, 100, 2000, 0.5, 0.97])
def test_truncated_file_is_named(stored, tmp_path, keep):
    content = Path(stored.fields["u"].source.path).read_bytes()
    path = tmp_path / "short.h5"
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(DataError, match=r"short\.h5"):
        Dataset.open(path).in_memory()


def test_flipped_bits_are_caught_by_checksums(stored, tmp_path):
    path = tmp_path / "flipped.h5"
    content = bytearray(Path(stored.fields["u"].source.path).read_bytes())
    with h5py.File(stored.fields["u"].source.path) as file:
        place = file["fields/u"].id.get_chunk_info(3).byte_offset
    content[place + 40] ^= 0xFF
    path.write_bytes(content)
    data = Dataset.open(path)
    with pytest.raises(DataError, match=r"flipped\.h5.*'fields/u' cannot be read"):
        data.fields["u"][...]


def test_garbage_and_foreign_hdf5_list_what_is_read(tmp_path):
    (tmp_path / "noise.h5").write_bytes(np.random.default_rng(3).bytes(5000))
    with pytest.raises(DataError, match=r"noise\.h5.*unknown layout.*PDEBench.*The Well"):
        Dataset.open(tmp_path / "noise.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["stuff"] = np.zeros(3)
    with pytest.raises(DataError, match=r"unknown layout \(HDF5 with \['stuff'\]\)"):
        Dataset.open(tmp_path / "other.h5")
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file.attrs["schema"] = "sciml-pde/1"
    with pytest.raises(DataError, match="does not keep to layout"):
        Dataset.open(tmp_path / "half.h5")


def test_full_disk_leaves_the_old_file(stored, tmp_path, monkeypatch):
    path = tmp_path / "u.h5"
    make()[:3].save(path)
    before = path.read_bytes()
    create = h5py.Group.create_dataset

    def full(self, name, *args, **kwargs):
        if name.startswith("latent"):
            raise OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')")
        return create(self, name, *args, **kwargs)

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(DiskFull, match=r"disk full while writing .*u\.h5"):
        make().save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["u.h5"]


# -- presentation -----------------------------------------------------------------------------------------------------


def test_it_prints_itself(stored):
    assert "made_up" in repr(stored)
    assert "12" in repr(stored)
    assert "mean 1.00e-03" in repr(stored)
    assert "<table>" in stored._repr_html_()
    assert repr(stored.fields["u"]) == "LazyArray(sample: 12, time: 5, x: 8, y: 6; float32, file)"


def test_xarray(stored, monkeypatch):
    array = stored.to_xarray()["u"]
    assert array.dims == ("sample", "time", "x", "y")
    np.testing.assert_array_equal(array.sel(time=0.25).isel(sample=2), U[2, 1])
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingPackage, match=r"sciml-operators\[xarray\]"):
        stored.to_xarray()


def test_lazy_arrays_of_memory_are_views_until_sliced():
    values = np.arange(24).reshape(4, 6)
    lazy = LazyArray.of(values, ("sample", "x")).view(0, slice(None, None, -1)).view(1, slice(1, None, 2))
    np.testing.assert_array_equal(lazy[...], values[::-1, 1::2])
    np.testing.assert_array_equal(lazy[::-1, ::-1], values[:, 1::2][:, ::-1])
    assert lazy.nbytes == 4 * 3 * values.itemsize


class _SmallDisk:
    """A file on a disk of `room` bytes."""

    def __init__(self, raw, room):
        self.raw, self.room = raw, room

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def write(self, data):
        if self.raw.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return self.raw.write(data)


@pytest.mark.parametrize("room", [100, 3000, 20_000, 60_000])
def test_hdf5_outlives_a_full_disk(tmp_path, monkeypatch, room):
    # Left to itself, HDF5 cannot close a file on a full disk, and crashes the process at its next use.
    make = storage._Sink.__init__
    with monkeypatch.context() as patch:
        patch.setattr(storage._Sink, "__init__", lambda self, raw: make(self, _SmallDisk(raw, room)))
        with pytest.raises(DiskFull, match=r"disk full while writing .*u\.h5"):
            make_large().save(tmp_path / "u.h5")
    assert os.listdir(tmp_path) == []
    assert make_large().save(tmp_path / "u.h5").fingerprint() == make_large().fingerprint()


def make_large():
    values = np.random.default_rng(7).standard_normal((40, 32, 32))
    return Dataset(fields={"u": values}, grid=Periodic(x=(0, 1), y=(0, 1)).grid(32), quality={"steps": np.arange(40)})
