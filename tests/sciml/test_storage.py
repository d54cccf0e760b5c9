"""Files of operators: exact round trips, and one clear message for each way to be damaged."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sciml
from sciml.storage import read_arrays, write_arrays
from solvers.errors import CheckpointError, UserError


@pytest.fixture
def trained(make_tiny, data):
    return sciml.fit(make_tiny(), data, epochs=1, progress=False).operator


def test_every_dtype_and_layout_comes_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(5)
    square = rng.standard_normal((4, 6))
    arrays = {
        "double": square,
        "transposed": square.T,
        "strided": square[::2, 1::2],
        "complex64": (square + 1j * square).astype(np.complex64),
        "complex128": (square - 2j * square).T,
        "integers": np.arange(5),
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 3)),
    }
    read, header = read_arrays(write_arrays(tmp_path / "a.safetensors", arrays, {"x": [1, 2]}))
    assert header == {"x": [1, 2]}
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_equal_operators_are_equal_files(trained, tmp_path):
    first, second = trained.save(tmp_path / "a.safetensors"), trained.save(tmp_path / "b.safetensors")
    assert first.read_bytes() == second.read_bytes()


def test_truncated_file(trained, tmp_path):
    path = trained.save(tmp_path / "a.safetensors")
    for keep in (0, 5, 100, path.stat().st_size - 10):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(CheckpointError, match="truncated or corrupted"):
            sciml.load(path)


def test_one_flipped_bit_is_noticed(trained, tmp_path):
    path = trained.save(tmp_path / "a.safetensors")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum does not match"):
        sciml.load(path)


def test_a_foreign_safetensors_file(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, tmp_path / "f.safetensors")
    with pytest.raises(CheckpointError, match="no 'sciml/1' header"):
        sciml.load(tmp_path / "f.safetensors")


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="not a file"):
        sciml.load(tmp_path / "none.safetensors")


def test_checkpoint_of_another_operator(trained, make_tiny, tmp_path):
    class Other(make_tiny):
        pass

    path = trained.save(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"which holds an operator '.*TinyConvolution'.*sciml\.load"):
        Other.load(path)
    assert type(make_tiny.load(path)) is make_tiny


def test_weights_of_another_architecture(trained, make_tiny):
    arrays, header = trained.state(), trained.header()
    with pytest.raises(CheckpointError, match=r"of shape \(8, 1, 5, 5\).*configuration it was trained with"):
        make_tiny(width=4).restore(arrays, header, "a file")
    del arrays["module.0.bias"]
    with pytest.raises(CheckpointError, match=r"1 arrays missing \(module\.0\.bias\)"):
        make_tiny().restore(arrays, header, "a file")


def test_a_wrapped_module_needs_its_code_to_load(data, tmp_path):
    from torch import nn

    make = lambda: nn.Conv2d(1, 1, 3, padding=1)  # noqa: E731
    operator = sciml.fit(make(), data, epochs=1, progress=False).operator
    path = operator.save(tmp_path / "conv.safetensors")
    with pytest.raises(UserError, match=r"module=Conv2d"):
        sciml.load(path)
    inputs = data.inputs["a"][:][:, None].astype(np.float32)
    np.testing.assert_array_equal(sciml.load(path, module=make()).predict(inputs), operator.predict(inputs))


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small tmpfs needs root on Linux")
def test_a_full_disk_keeps_what_was_there(make_tiny, data, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        small = sciml.fit(make_tiny(), data, epochs=1, progress=False).operator
        path = small.save(disk / "operator.safetensors")
        before = path.read_bytes()
        large = sciml.fit(make_tiny(width=4096), data, epochs=1, progress=False).operator
        with pytest.raises(UserError, match="disk full while writing"):
            large.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in disk.iterdir()] == ["operator.safetensors"]
        with pytest.raises(UserError, match="disk full while writing"):
            sciml.fit(make_tiny(width=4096), data, epochs=2, checkpoint=disk / "run", checkpoint_seconds=0.0, progress=False)
        with pytest.raises(UserError, match="disk full while writing"):
            data[[0] * 3000].save(disk / "data.h5")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_nothing_in_the_package_reads_pickles():
    root = Path(__file__).parents[2]
    bad = re.compile(r"pickle\.load|allow_pickle\s*=\s*True|weights_only\s*=\s*False")
    sources = [p for package in ("solvers", "pdes", "sciml", "benchmarks") for p in (root / package).rglob("*.py")]
    assert len(sources) > 20
    assert [str(p) for p in sources if bad.search(p.read_text())] == []
