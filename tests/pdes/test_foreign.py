"""Files of other projects, written here in exactly their layouts and opened as they are."""

import pickle

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from pdes import Dataset
from solvers.errors import DataError

RNG = np.random.default_rng(2718)


def darcy_arrays(n=5, size=9):
    a = np.where(RNG.standard_normal((n, size, size)) > 0, 12.0, 3.0)
    u = RNG.random((n, size, size))
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        u[edge] = 0
    return a, u


@pytest.mark.parametrize("form", ["float", "bool", "channels"])
def test_neuraloperator_pt(tmp_path, form):
    a, u = darcy_arrays()
    x, y = torch.tensor(a, dtype=torch.float32), torch.tensor(u, dtype=torch.float32)
    x = x > 5 if form == "bool" else x[:, None] if form == "channels" else x
    torch.save({"x": x, "y": y[:, None] if form == "channels" else y}, tmp_path / "darcy_train_9.pt")
    data = Dataset.open(tmp_path / "darcy_train_9.pt")
    np.testing.assert_allclose(data.fields["u"][...], u, rtol=1e-6)
    np.testing.assert_array_equal(data.inputs["a"][...], (a > 5) if form == "bool" else a)
    assert data.grid.axes[0].kind == "node"
    assert data.grid.axes[0].boundary == ("dirichlet", "dirichlet")
    assert data[:2].save(tmp_path / "copy.h5").fingerprint() == data[:2].fingerprint()


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_neuraloperator_mat(tmp_path, version):
    a, u = darcy_arrays()
    path = tmp_path / "piececonst_r9_N5.mat"
    if version == "5":
        scipy.io.savemat(path, {"coeff": a, "sol": u, "Kcoeff": a})
    else:
        with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB: a header block first, arrays in column order
            file["coeff"], file["sol"] = a.transpose(2, 1, 0), u.transpose(2, 1, 0)
    data = Dataset.open(path)
    np.testing.assert_array_equal(data.fields["u"][...], u)
    np.testing.assert_array_equal(data.inputs["a"][3], a[3])
    assert "a(x, y)*u_x" in data.provenance["equation"]


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_pickles_are_never_run(tmp_path):
    torch.save({"x": _Bomb(), "y": 1}, tmp_path / "bomb.pt")
    with pytest.raises(DataError, match=r"bomb\.pt.*cannot load safely"):
        Dataset.open(tmp_path / "bomb.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(DataError, match="unknown layout"):
        Dataset.open(tmp_path / "plain.pt")


def test_damaged_or_different_pt_and_mat(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="without tensors 'x' and 'y'"):
        Dataset.open(tmp_path / "other.pt")
    torch.save({"x": torch.zeros(2, 4, 4), "y": torch.zeros(2, 4, 5)}, tmp_path / "shapes.pt")
    with pytest.raises(DataError, match="both"):
        Dataset.open(tmp_path / "shapes.pt")
    scipy.io.savemat(tmp_path / "other.mat", {"u": np.zeros(3)})
    with pytest.raises(DataError, match="without 'coeff' and 'sol'"):
        Dataset.open(tmp_path / "other.mat")
    a, u = darcy_arrays()
    scipy.io.savemat(tmp_path / "short.mat", {"coeff": a, "sol": u})
    (tmp_path / "short.mat").write_bytes((tmp_path / "short.mat").read_bytes()[:900])
    with pytest.raises(DataError, match=r"short\.mat"):
        Dataset.open(tmp_path / "short.mat")


def test_pdebench_one_dimensional(tmp_path):
    u, x = RNG.standard_normal((6, 4, 16)).astype(np.float32), (np.arange(16) + 0.5) / 16
    path = tmp_path / "1D_Burgers_Sols_Nu0.01.hdf5"
    with h5py.File(path, "w") as file:
        file["tensor"], file["x-coordinate"], file["t-coordinate"] = (
            u,
            x.astype(np.float32),
            np.linspace(0, 2, 5, dtype=np.float32),
        )
    data = Dataset.open(path)
    np.testing.assert_array_equal(data.fields["u"][4, 1:3], u[4, 1:3])
    np.testing.assert_allclose(data.times, [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(data.coordinates["x"], x, atol=1e-6)
    np.testing.assert_array_equal(data.parameters["Nu"], np.full(6, 0.01))
    del data  # the file closes with its last view, and can be written again
    with h5py.File(path, "a") as file:
        file.attrs["Nu"] = 0.02
    assert Dataset.open(path).parameters["Nu"][0] == 0.02


def test_pdebench_darcy(tmp_path):
    u, nu = RNG.standard_normal((3, 1, 8, 8)).astype(np.float32), RNG.random((3, 8, 8)).astype(np.float32)
    with h5py.File(tmp_path / "2D_DarcyFlow_beta1.0_Train.hdf5", "w") as file:
        file["tensor"], file["nu"] = u, nu
        file["x-coordinate"] = file["y-coordinate"] = (np.arange(8) + 0.5) / 8
        file.attrs["beta"] = 1.0
    data = Dataset.open(tmp_path / "2D_DarcyFlow_beta1.0_Train.hdf5")
    assert data.times is None
    np.testing.assert_array_equal(data.fields["u"][...], u[:, 0])
    np.testing.assert_array_equal(data.inputs["nu"][1, :, 2], nu[1, :, 2])
    assert data.parameters["beta"].tolist() == [1.0] * 3


def test_pdebench_compressible_flow(tmp_path):
    fields = {name: RNG.standard_normal((2, 3, 8, 6)).astype(np.float32) for name in ("density", "pressure", "Vx", "Vy")}
    path = tmp_path / "2D_CFD_Rand_M0.1_Eta1e-08_Zeta1e-08_periodic_8_Train.hdf5"
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            file[name] = values
        file["x-coordinate"], file["y-coordinate"] = (np.arange(8) + 0.5) / 8, (np.arange(6) + 0.5) / 6
        file["t-coordinate"] = np.linspace(0, 1, 4)
    data = Dataset.open(path)
    assert data.grid.is_periodic
    assert set(data.fields) == set(fields)
    np.testing.assert_array_equal(data.fields["Vy"][1, 2], fields["Vy"][1, 2])
    assert data.parameters["M"][0] == 0.1
    assert data.parameters["Eta"][0] == 1e-8


@pytest.mark.parametrize("components", [1, 2])
def test_pdebench_group_per_sample(tmp_path, components):
    u, path = RNG.standard_normal((4, 5, 8, 8, components)).astype(np.float32), tmp_path / "2D_diff-react.h5"
    with h5py.File(path, "w") as file:
        for i, sample in enumerate(u):
            group = file.create_group(f"{i:04d}")
            group["data"], group.attrs["config"] = sample, "sim: {D_u: 1e-3}"
            group["grid/x"] = group["grid/y"] = -1 + (np.arange(8) + 0.5) / 4
            group["grid/t"] = np.linspace(0, 5, 5)
    data = Dataset.open(path)
    expected = u[..., 0] if components == 1 else u
    np.testing.assert_array_equal(data.fields["u"][[3, 0], 1:4:2], expected[[3, 0], 1:4:2])
    assert data.times.tolist() == [0, 1.25, 2.5, 3.75, 5]
    np.testing.assert_allclose([data.grid.axes[0].start, data.grid.axes[0].stop], [-1, 1])
    assert "D_u" in data.provenance["config"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[2].fields["u"][0], expected[2])


def write_well(path, *, varying_time=False, periodic=True):
    n, frames, w, h = 3, 4, 8, 6
    arrays = {
        "t0_fields/density": (RNG.standard_normal((n, frames, w, h)), [True, True], True, True),
        "t0_fields/speed": (RNG.standard_normal((n, w, h)), [True, True], True, False),
        "t0_fields/profile": (RNG.standard_normal((n, frames, w)), [True, False], True, True),
        "t0_fields/mask": (RNG.standard_normal((w, h)), [True, True], False, False),
        "t1_fields/velocity": (RNG.standard_normal((n, frames, w, h, 2)), [True, True], True, True),
        "t2_fields/strain": (RNG.standard_normal((n, frames, w, h, 2, 2)), [True, True], True, True),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "example_set", "grid_type": "cartesian", "n_spatial_dims": 2, "n_trajectories": n})
        file.attrs["simulation_parameters"], file.attrs["viscosity"] = ["viscosity"], 0.25
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x", "y"]
        time = np.linspace(0, 3, frames, dtype=np.float32)
        dims["time"] = np.stack([time, time, time + 1]) if varying_time else time
        dims["x"], dims["y"] = np.arange(w) / w, np.arange(h) / h
        for name in ("x", "y"):
            bc = file.create_group(f"boundary_conditions/{name}_boundary")
            bc.attrs.update({"associated_dims": [name], "associated_fields": [], "bc_type": "PERIODIC" if periodic else "WALL"})
            bc.attrs.update({"sample_varying": False, "time_varying": False})
            bc["mask"] = np.ones(w if name == "x" else h, dtype=bool)
        file["scalars/forcing"] = np.array([1.0, 2.0, 3.0])
        file["scalars/forcing"].attrs.update({"sample_varying": True, "time_varying": False})
        file["scalars"].attrs["field_names"] = ["forcing"]
        for name, (values, dim_varying, sample_varying, time_varying) in arrays.items():
            file[name] = values.astype(np.float32)
            file[name].attrs.update(
                {"dim_varying": dim_varying, "sample_varying": sample_varying, "time_varying": time_varying}
            )
    return {name.partition("/")[2]: values.astype(np.float32) for name, (values, *_) in arrays.items()}


def test_the_well(tmp_path):
    arrays = write_well(tmp_path / "example.hdf5")
    data = Dataset.open(tmp_path / "example.hdf5")
    assert data.grid.is_periodic
    assert data.grid.lengths == pytest.approx((1, 1))
    assert set(data.fields) == {"density", "profile", "velocity", "strain"}
    assert set(data.inputs) == {"speed", "mask"}
    np.testing.assert_array_equal(data.fields["density"][2, 1:], arrays["density"][2, 1:])
    np.testing.assert_array_equal(data.fields["velocity"][...], arrays["velocity"])
    np.testing.assert_array_equal(data.fields["strain"][1], arrays["strain"][1].reshape(4, 8, 6, 4))
    np.testing.assert_array_equal(data.fields["profile"][1, 2, :, 3], arrays["profile"][1, 2])
    np.testing.assert_array_equal(data.inputs["mask"][2], arrays["mask"])
    assert data.parameters["forcing"].tolist() == [1, 2, 3]
    assert data.parameters["viscosity"].tolist() == [0.25] * 3
    assert data.provenance["family"] == "example_set"
    assert data.save(tmp_path / "copy.h5").fingerprint() == data.fingerprint()


def test_the_well_walls_and_what_it_cannot_take(tmp_path):
    write_well(tmp_path / "walls.hdf5", periodic=False)
    assert Dataset.open(tmp_path / "walls.hdf5").grid.axes[1].boundary == ("wall", "wall")
    write_well(tmp_path / "times.hdf5", varying_time=True)
    with pytest.raises(DataError, match="varies between trajectories"):
        Dataset.open(tmp_path / "times.hdf5")
    with h5py.File(tmp_path / "walls.hdf5", "a") as file:
        del file.attrs["n_trajectories"]
    with pytest.raises(DataError, match=r"looks like The Well.*lacks something.*n_trajectories"):
        Dataset.open(tmp_path / "walls.hdf5")
    with h5py.File(tmp_path / "walls.hdf5", "a") as file:
        file["dimensions"].attrs["spatial_dims"] = ["r", "theta"]
    with pytest.raises(DataError, match="Curved coordinates"):
        Dataset.open(tmp_path / "walls.hdf5")
