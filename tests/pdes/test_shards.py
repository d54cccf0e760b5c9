"""Datasets in many files: the same samples, the same bytes after a kill, and little memory."""

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pdes
from pdes import Dataset, manifest
from pdes.job import Job
from pdes.shards import OPEN_SHARDS
from solvers.errors import DataError, SettingError


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.h5"))}


def sums(folder):
    return [item["sha256"] for item in manifest.read(folder)["files"]]


def assert_same(a, b):
    for kind in ("fields", "inputs", "latent", "quality", "index", "parameters"):
        assert list(getattr(a, kind)) == list(getattr(b, kind))
        for name, values in getattr(b, kind).items():
            np.testing.assert_array_equal(np.asarray(getattr(a, kind)[name]), np.asarray(values), err_msg=name)


def test_shards_are_one_dataset(quick, tmp_path):
    one = pdes.generate(quick(fails_above=0.02), 27, 16, seed=7, path=tmp_path / "one.h5", progress=False)
    many = pdes.generate(quick(fails_above=0.02), 27, 16, seed=7, path=tmp_path / "many", shard_size=8, progress=False)
    assert sorted(os.listdir(tmp_path)) == ["many", "one.h5", "one.h5.manifest.json"]
    assert sorted(os.listdir(tmp_path / "many")) == ["manifest.json", *(f"shard-{i:05d}.h5" for i in range(4))]
    assert many.fingerprint() == one.fingerprint()
    assert_same(many, one)
    rows = [26, 0, 7, 8, 8, 15, 16]
    np.testing.assert_array_equal(many.fields["u"][rows, ::3], one.fields["u"][rows, ::3])
    assert_same(many[5:20][::2], one[5:20][::2])
    assert_same(pickle.loads(pickle.dumps(many[[26, 3]])), one[[26, 3]])
    assert [len(part) for part in many.split(20, 7)] == [20, 7]
    assert Dataset.open(tmp_path / "many").fingerprint() == one.fingerprint()
    record, single = manifest.read(tmp_path / "many"), manifest.read(tmp_path / "one.h5")
    assert [item["n_samples"] for item in record["files"]] == [8, 8, 8, 3]
    assert "".join(item["content"] for item in record["files"]) == single["content"]
    assert [r for item in record["files"] for r in item["rejected"]] == single["rejected"] != []
    assert record["acceptance"] == single["acceptance"]
    assert record["call"]["n"] == 27


def test_files_are_opened_when_they_are_read(quick, tmp_path, monkeypatch):
    pdes.generate(quick(), 80, 16, seed=7, path=tmp_path / "many", shard_size=4, progress=False)
    opened, name = [], "pdes.arrays.FileSource.dataset"
    from pdes.arrays import FileSource

    dataset = FileSource.dataset
    monkeypatch.setattr(name, lambda self: (opened.append(Path(self.path).stem), dataset(self))[1])
    data = Dataset.open(tmp_path / "many")
    assert "80" in repr(data)
    opened.clear()
    _ = data.fields["u"][[41, 3]]
    assert sorted(opened) == ["shard-00000", "shard-00010"]
    _ = data.fields["u"][...]
    assert len(data.fields["u"].source._open) == OPEN_SHARDS


def test_growing_touches_the_last_shard_alone(quick, tmp_path, monkeypatch):
    folder = tmp_path / "many"
    pdes.generate(quick(), 22, 16, seed=7, path=folder, shard_size=8, progress=False)
    before, computed, compute = files(folder), [], Job.compute
    monkeypatch.setattr(Job, "compute", lambda self, chunk: (computed.append(chunk), compute(self, chunk))[1])
    grown = pdes.generate(quick(), 30, 16, seed=7, path=folder, progress=False)  # the size of the shards is known
    assert computed == [5, 6, 7]  # chunk 4, samples 16 to 19, came out of the shard that grew
    assert len(grown) == 30
    after = files(folder)
    assert [after[name] == before[name] for name in before] == [True, True, False]
    pdes.generate(quick(), 30, 16, seed=7, path=tmp_path / "whole", shard_size=8, progress=False)
    assert after == files(tmp_path / "whole")
    computed.clear()
    assert len(pdes.generate(quick(), 10, 16, seed=7, path=folder, shard_size=8, progress=False)) == 10
    assert computed == []
    assert pdes.verify(folder, k=5, problem=quick()).rule == "equal"


def test_growing_keeps_causes_and_cost(quick, tmp_path):
    for options in ({}, {"shard_size": 8}):
        path = tmp_path / f"data{len(options)}"
        pdes.generate(quick(fails_above=0.02), 14, 16, seed=7, path=path, progress=False, **options)
        first = manifest.read(path)
        pdes.generate(quick(fails_above=0.02), 24, 16, seed=7, path=path, progress=False, **options)
        record = manifest.read(path)
        rejected = [r for item in record.get("files", [record]) for r in item["rejected"]]
        assert {r["cause"] for r in rejected} == {"BLOW_UP"}
        assert min(r["sample"] for r in rejected) < 12
        assert record["seconds"] > 0.5 * first["seconds"]


def test_verification_names_the_shard(quick, tmp_path):
    folder = tmp_path / "many"
    pdes.generate(quick(), 12, 16, seed=7, path=folder, shard_size=4, progress=False)
    path = folder / "shard-00001.h5"
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"xyz")
    with pytest.raises(DataError, match=r"shard-00001\.h5' that differs from its manifest"):
        pdes.verify(folder, problem=quick())
    path.unlink()
    with pytest.raises(DataError, match=r"without 'shard-00001\.h5'"):
        Dataset.open(folder)
    manifest.manifest_path(folder).unlink()
    with pytest.raises(DataError, match="without a manifest"):
        Dataset.open(folder)


CODE = """
import sys; sys.path[:0] = [{tests!r}, {root!r}]
import pdes
from test_generation import quick
if __name__ == "__main__":
    pdes.generate(quick(seconds=0.1), 64, 16, seed=7, path={path!r}, workers={workers}, shard_size=12, progress=False)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_is_uninterrupted(quick, tmp_path, workers):
    pdes.generate(quick(), 64, 16, seed=7, path=tmp_path / "whole", shard_size=12, progress=False)
    folder, partial, script = tmp_path / "killed", tmp_path / "killed.partial", tmp_path / "run.py"
    root = Path(pdes.__file__).parents[1]
    script.write_text(CODE.format(tests=str(Path(__file__).parent), root=str(root), path=str(folder), workers=workers))
    process = subprocess.Popen([sys.executable, script])
    deadline = time.time() + 60
    while time.time() < deadline and process.poll() is None:
        if len(list(folder.glob("shard-*.h5"))) >= 2 and list(partial.glob("chunk-*.npz")):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.h5")}
    assert 2 <= len(kept) < 6
    with pytest.raises(DataError, match="without a manifest"):
        Dataset.open(folder)
    pdes.generate(quick(), 64, 16, seed=7, path=folder, shard_size=12, progress=False)
    assert sums(folder) == sums(tmp_path / "whole")
    assert files(folder) == files(tmp_path / "whole")
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    assert not partial.exists()


@pytest.mark.parametrize(
    "moment", ["solvers.files.os.replace", "pdes.shards.write_bytes", "pdes.shards.os.replace", "pdes.parts.FolderParts.drop"]
)
@pytest.mark.parametrize("count", [2, 4])
def test_stopped_at_any_write(quick, tmp_path, monkeypatch, moment, count):
    calls = []
    with monkeypatch.context() as patch:
        parts = moment.split(".")
        owner = importlib.import_module(".".join(parts[:2]))
        for part in parts[2:-1]:
            owner = getattr(owner, part)
        true = getattr(owner, parts[-1])

        def stop(*args, **kwargs):
            calls.append(1)
            if len(calls) == count:
                raise KeyboardInterrupt
            return true(*args, **kwargs)

        patch.setattr(owner, parts[-1], stop)
        with pytest.raises(KeyboardInterrupt):
            pdes.generate(quick(), 20, 16, seed=7, path=tmp_path / "a", shard_size=4, progress=False)
    pdes.generate(quick(), 20, 16, seed=7, path=tmp_path / "a", shard_size=4, progress=False)
    pdes.generate(quick(), 20, 16, seed=7, path=tmp_path / "b", shard_size=4, progress=False)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert sums(tmp_path / "a") == sums(tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_other_data_and_sizes_are_refused(quick, tmp_path):
    pdes.generate(quick(), 8, 16, seed=7, path=tmp_path / "a", shard_size=4, progress=False)
    for options in ({"seed": 8, "shard_size": 4}, {"seed": 7, "shard_size": 8}):
        with pytest.raises(SettingError, match=r"holds 'quick' \(seed 7, shards of 4\).*resume=False"):
            pdes.generate(quick(), 8, 16, path=tmp_path / "a", progress=False, **options)
    replaced = pdes.generate(quick(), 8, 16, seed=8, path=tmp_path / "a", shard_size=8, resume=False, progress=False)
    assert len(files(tmp_path / "a")) == 1
    assert replaced.provenance["seed"] == 8
    with pytest.raises(SettingError, match=r"shard_size=6.*a multiple of 4.*Take 8\."):
        pdes.generate(quick(), 8, 16, path=tmp_path / "c", shard_size=6, progress=False)
    (tmp_path / "f.h5").write_bytes(b"")
    with pytest.raises(SettingError, match="which is a file"):
        pdes.generate(quick(), 8, 16, path=tmp_path / "f.h5", shard_size=4, progress=False)
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["shard_size"] == 8
