"""Export to the layouts of others and back: nothing that they have a place for is lost; faults are mended or refused."""

import h5py
import numpy as np
import pytest

import pdes
from pdes import Box, Dataset, Periodic
from solvers.errors import DataError, UnknownName

RNG = np.random.default_rng(1618)


def steady():
    return pdes.generate("darcy", 5, 12, seed=7, progress=False)


def moving():
    return pdes.generate("burgers", 5, 16, seed=7, progress=False)


def two_fields():
    grid = Periodic(x=(-1, 1), y=(0, 2), cells=True).grid((8, 6))
    values = {name: RNG.standard_normal((12, 4, 8, 6)) for name in ("a", "b")}
    return Dataset(
        fields=values, grid=grid, times=[0, 0.1, 0.3, 0.7], parameters={"k": RNG.random(12), "q": np.full(12, 1 / 3)}
    )


def fluid():
    grid = Periodic(x=(0, 1), y=(0, 1)).grid(8)
    return Dataset(fields={n: RNG.random((3, 4, 8, 8)) for n in ("density", "Vx", "Vy")}, grid=grid, times=np.arange(4.0))


def tensors():
    grid = Box(x=(0, 1), y=(0, 2), kind="node", boundary="dirichlet").grid((9, 7))
    fields = {"p": (3, 4, 9, 7), "v": (3, 4, 9, 7, 2), "s": (3, 4, 9, 7, 4)}
    still = {"mask": RNG.random((3, 9, 7)), "w": RNG.random((3, 9, 7, 2))}
    return Dataset(fields={n: RNG.random(s) for n, s in fields.items()}, inputs=still, grid=grid, times=np.arange(4) / 3)


def components():
    grid = Periodic(x=(0, 1)).grid(8)
    return Dataset(fields={"u": RNG.random((3, 4, 8, 5))}, grid=grid, times=np.arange(4) / 7)


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (steady, "the_well"),
        (moving, "the_well"),
        (two_fields, "the_well"),
        (fluid, "the_well"),
        (tensors, "the_well"),
        (steady, "pdebench"),
        (moving, "pdebench"),
        (fluid, "pdebench"),
        (moving, "pdebench_groups"),
        (two_fields, "pdebench_groups"),
        (components, "pdebench_groups"),
    ],
)
@pytest.mark.parametrize("compression", [None, 1])
def test_what_goes_out_comes_back(make, layout, compression, tmp_path):
    data = make()
    back = Dataset.open(data.export(tmp_path / "file.hdf5", layout, compression))
    assert back.fingerprint() == data.fingerprint()
    assert back.grid == data.grid
    np.testing.assert_array_equal(back.times, data.times)
    assert [*back.fields, *back.inputs, *back.parameters] == [*data.fields, *data.inputs, *data.parameters]
    assert back.provenance.get("equation") == data.provenance.get("equation")
    assert back[2:4].fingerprint() == data[2:4].fingerprint()
    again = Dataset.open(back.export(tmp_path / "again.hdf5", layout))
    assert again.fingerprint() == data.fingerprint()


def test_the_well_as_its_specification_says(tmp_path):
    data = tensors().replace(parameters={"nu": np.full(3, 0.5), "k": np.arange(3.0)})
    with h5py.File(data.export(tmp_path / "w.hdf5", "the_well")) as file:
        assert (file.attrs["n_spatial_dims"], file.attrs["n_trajectories"], file.attrs["nu"]) == (2, 3, 0.5)
        assert list(file.attrs["simulation_parameters"]) == ["nu"]
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["x", "y"]
        assert (file["dimensions/time"].dtype, file["dimensions/x"].shape) == (np.float32, (9,))
        assert [list(file[f"t{k}_fields"].attrs["field_names"]) for k in range(3)] == [["p", "mask"], ["v", "w"], ["s"]]
        assert file["t2_fields/s"].shape == (3, 4, 9, 7, 2, 2)
        v, w = file["t1_fields/v"], file["t1_fields/w"]
        assert (v.dtype, bool(v.attrs["time_varying"]), bool(w.attrs["time_varying"])) == (np.float32, True, False)
        assert file["boundary_conditions/x_boundary"].attrs["bc_type"] == "WALL"
        assert file["boundary_conditions/x_boundary/mask"][...].tolist() == [True, *[False] * 7, True]
        assert file["scalars/nu"].shape == (1,)
        assert bool(file["scalars/k"].attrs["sample_varying"])
        del data  # without our own record it reads as a file of theirs
    with h5py.File(tmp_path / "w.hdf5", "a") as file:
        del file["sciml"]
    plain = Dataset.open(tmp_path / "w.hdf5")
    assert set(plain.fields) == {"p", "v", "s"}
    assert plain.parameters["k"].tolist() == [0, 1, 2]
    assert plain.parameters["nu"].tolist() == [0.5] * 3


def test_pdebench_as_its_loaders_expect(tmp_path):
    with h5py.File(moving().export(tmp_path / "a.hdf5", "pdebench")) as file:
        assert file["tensor"].shape == (5, 21, 16)
        assert file["t-coordinate"].shape == (22,)
        assert file["x-coordinate"].shape == (16,)
    with h5py.File(steady().export(tmp_path / "d.hdf5", "pdebench")) as file:
        assert (file["tensor"].shape, file["nu"].shape) == ((5, 1, 12, 12), (5, 12, 12))
    with h5py.File(two_fields().export(tmp_path / "b.h5", "pdebench_groups")) as file:
        assert sorted(file) == [f"{i:04d}" for i in range(12)]  # nothing but samples: loaders list the groups
        assert file["0003/data"].shape == (4, 8, 6, 2)
        assert "q: 0.333" in file["0003"].attrs["config"]


@pytest.mark.parametrize(
    ("make", "layout", "message"),
    [
        (two_fields, "pdebench", "the fields a, b.*'pdebench_groups'"),
        (steady, "pdebench_groups", "inputs.*Choose layout 'pdebench'"),
        (tensors, "pdebench", "components"),
        (components, "the_well", "5 components in 1 dimensions"),
    ],
)
def test_what_has_no_place_is_refused_and_leaves_no_file(make, layout, message, tmp_path):
    with pytest.raises(DataError, match=message):
        make().export(tmp_path / "x.hdf5", layout)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnknownName, match="Did you mean 'the_well'"):
        make().export(tmp_path / "x.hdf5", "thewell")


def released(path, *, beta=None, frames=5, times=6, x=None):
    x = (np.arange(16) + 0.5) / 16 if x is None else x
    with h5py.File(path, "w") as file:
        if beta is None:
            file["tensor"], file["t-coordinate"] = RNG.random((3, frames, 16)), np.linspace(0, 1, times)
        else:
            file["tensor"], file["nu"], file["y-coordinate"] = RNG.random((3, 1, 16, 16)), RNG.random((3, 16, 16)), x
            file.attrs["beta"] = beta
        file["x-coordinate"] = x
    return path


def test_known_faults_are_mended_and_noted(tmp_path):
    data = Dataset.open(released(tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5", x=-1 + (np.arange(16) + 0.5) / 8))
    assert len(data.times) == 5
    assert (data.grid.axes[0].start, data.grid.axes[0].stop, data.grid.is_periodic) == (-1, 1, True)
    assert [note.split()[0] for note in data.provenance["repairs"]] == ["The", "'t-coordinate'"]
    kept = data.save(tmp_path / "ours.h5")
    assert "not (0, 1) as published" in kept.provenance["repairs"][0]
    plain = Dataset.open(released(tmp_path / "1D_Advection_Sols_beta0.4.hdf5", times=5))
    assert "repairs" not in plain.provenance
    with pytest.raises(DataError, match="9 entries of 't-coordinate' for 5 frames"):
        Dataset.open(released(tmp_path / "cut.hdf5", times=9))


def test_darcy_that_is_not_steady_is_refused(tmp_path):
    path = released(tmp_path / "2D_DarcyFlow_beta0.1_Train.hdf5", beta=0.1)
    with pytest.raises(DataError, match=r"beta = 0\.1.*before it was steady.*about 16 %.*allow='unsteady_darcy'"):
        Dataset.open(path)
    data = Dataset.open(path, allow="unsteady_darcy")
    assert "16 %" in data.provenance["allowed"]["unsteady_darcy"]
    assert "allowed" not in Dataset.open(released(tmp_path / "2D_DarcyFlow_beta1.0_Train.hdf5", beta=1.0)).provenance
