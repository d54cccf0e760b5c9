"""Verification: an intact file is recognised, and every way to change one is noticed."""

import json

import h5py
import numpy as np
import pytest

import pdes
from pdes import Dataset, manifest
from pdes.verification import Verification
from solvers.errors import DataError, SettingError


def made(tmp_path, problem="poisson_dirichlet", n=5, resolution=16, **options):
    path = tmp_path / "data.h5"
    return path, pdes.generate(problem, n, resolution, seed=7, path=path, progress=False, **options)


def rewrite(path, **changes):
    """Another dataset in the file's place, with a manifest and content hashes that fit it: only a new solve can tell."""
    record = manifest.read(path)
    data = Dataset.open(path).in_memory().replace(**changes)
    index = {name: values for name, values in data.index.items() if name != "content_hash"}
    data = data.replace(index=index).save(path)
    manifest.write(manifest.manifest_path(path), record | manifest.of_file(path, data))


def test_an_intact_file_is_equal_bit_by_bit(tmp_path):
    path, _ = made(tmp_path, n=40)
    report = pdes.verify(path, k=2, seed=3)
    assert report.rule == "equal"
    assert len(report.samples) == len(report.distances) >= 2
    assert set(report.distances) == {0.0}
    assert report == pdes.verify(path, k=2, seed=3)
    assert "computed again, equal bit by bit" in repr(report)
    record = manifest.read(path)
    assert (record["license"], record["n_samples"], record["units"]["u"]) == ("CC0-1.0", 40, "")
    assert len(record["content"]) == 16 * 40
    assert len({record["content"][i : i + 16] for i in range(0, 640, 16)}) == 40


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("burgers", {"nu": 0.0123456789}),
        ("burgers", {"split": "held_out"}),
        ("heat", {"time": (0, 0.5), "frames": (0, 0.2, 0.5)}),
    ],
)
def test_what_was_replaced_is_rebuilt_from_the_record(tmp_path, name, overrides):
    path, _ = made(tmp_path, pdes.get(name, **overrides), n=2, resolution=32)
    assert pdes.verify(path, k=1).rule == "equal"


def test_flipped_bytes_and_edited_values_are_noticed(tmp_path):
    path = made(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(DataError, match="differs from its manifest"):
        pdes.verify(path)
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="differs from its manifest"):
        pdes.verify(path)
    path.write_bytes(content)
    with h5py.File(path, "a") as file:  # an edit whose author mends the checksum too
        file["fields/u"][3, 4, 4] = 0.01
    record = manifest.read(path)
    manifest.write(manifest.manifest_path(path), record | {"sha256": manifest.sha256(path), "bytes": path.stat().st_size})
    with pytest.raises(DataError, match=r"sample 3 differs from its content hash \(1 samples do\)"):
        pdes.verify(path, k=0)


def test_values_that_the_problem_does_not_give_are_noticed(tmp_path):
    path, data = made(tmp_path)
    u = data.fields["u"][...]
    rewrite(path, fields={"u": u * np.where(np.arange(5) == 2, 1 + 3e-5, 1)[:, None, None].astype(np.float32)})
    with pytest.raises(DataError, match=r"sample 2 is 3\.0.e-05 \(relative\) away.*at most 1\.0e-06"):
        pdes.verify(path, k=5)
    rewrite(path, fields={"u": np.nextafter(u, np.inf)})
    report = pdes.verify(path, k=5)
    assert report.rule == "rounding"
    assert 0 < max(report.distances) < report.tolerance == 1e-6
    assert "equal to rounding" in repr(report)


def test_chaos_is_compared_while_it_can_be(tmp_path):
    lorenz = pdes.get("lorenz63").replace(time=(0, 20), frames=41)
    path, data = made(tmp_path, lorenz, n=2, resolution=None)
    before = {name: a[...] for name, a in data.fields.items()}
    moved = lorenz.replace(initial={k: _Moved(law, 1e-7) for k, law in lorenz.initial.items()})
    near = pdes.generate(moved, 2, seed=7, progress=False)  # what another machine's rounding does to the same draws, and more
    late = max(float(np.abs(near.fields[name][:, -1] - before[name][:, -1]).max()) for name in before)
    assert late > 1e-2
    rewrite(
        path, fields={name: a[...] for name, a in near.fields.items()}, quality={**data.quality, "label_error": [1e-5, np.nan]}
    )
    report = pdes.verify(path, k=2, problem=lorenz)
    assert report.rule == "chaos"
    assert 0 < max(report.distances) <= report.tolerance == pytest.approx(1e-4)
    assert "as far as chaos allows" in repr(report)
    early = {name: values.copy() for name, values in before.items()}
    early["x"][1, 0] += 0.05
    rewrite(path, fields=early)
    with pytest.raises(DataError, match=r"sample 1 is .* away"):
        pdes.verify(path, k=2, problem=lorenz)


class _Moved:
    """A law whose values are a little larger."""

    def __init__(self, law, by):
        self.inner, self.by = law, by

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def on(self, domain):
        return self

    def evaluate(self, latent, grid):
        return self.inner.evaluate(latent, grid) * (1 + self.by)


def test_a_user_s_problem_is_asked_for(tmp_path, quick):
    path, _ = made(tmp_path, quick())
    with pytest.raises(SettingError, match=r"problem 'quick', which does not come with this package.*problem="):
        pdes.verify(path)
    assert pdes.verify(path, problem=quick()).rule == "equal"
    with pytest.raises(SettingError, match=r"differs from the one at hand \(refine: 1 there, 2 here"):
        pdes.verify(path, problem=quick(refine=2))


def test_what_cannot_be_verified_says_why(tmp_path):
    path, data = made(tmp_path)
    manifest.manifest_path(path).rename(tmp_path / "kept.json")
    with pytest.raises(DataError, match="without a manifest"):
        pdes.verify(path)
    manifest.manifest_path(path).write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        pdes.verify(path)
    (tmp_path / "kept.json").rename(manifest.manifest_path(path))
    part = data[2:4].save(tmp_path / "part.h5")
    manifest.write(tmp_path / "part.h5.manifest.json", manifest.of_file(tmp_path / "part.h5", part))
    with pytest.raises(DataError, match="a selection of samples"):
        pdes.verify(tmp_path / "part.h5")
    own = Dataset(fields={"u": np.ones((2, 16, 16))}, grid=data.grid).save(tmp_path / "own.h5")
    manifest.write(tmp_path / "own.h5.manifest.json", manifest.of_file(tmp_path / "own.h5", own))
    with pytest.raises(DataError, match="which this package has not generated"):
        pdes.verify(tmp_path / "own.h5")
    assert pdes.verify(tmp_path / "own.h5", k=0) == Verification(str(tmp_path / "own.h5"), 2)


def test_rounded_hashes_forget_the_last_bits_alone():
    rng = np.random.default_rng(77)
    u = (rng.integers(-1000, 1000, (3, 8, 8)) + rng.choice([0.25, -0.25], (3, 8, 8))) / 2**10
    grid = pdes.Periodic(x=(0, 1), y=(0, 1)).grid(8)

    def hashes(values):
        return manifest.rounded_hashes(Dataset(fields={"u": values.astype(np.float32)}, grid=grid)).tolist()

    plain = hashes(u)
    assert hashes(u * (1 + 1e-7)) == plain
    other = u.copy()
    other[1, 2, 3] += 1e-5
    assert [a == b for a, b in zip(hashes(other), plain, strict=True)] == [True, False, True]


def test_samples_in_two_splits_are_found():
    data = pdes.generate("burgers", 8, 32, seed=7, progress=False)
    finer = pdes.generate("burgers", 8, 64, seed=7, progress=False)
    assert pdes.duplicates(data) == []
    assert pdes.duplicates(data[:5], data[5:]) == []
    assert pdes.duplicates(data[:5], finer[[6, 4, 0]]) == [(0, 2), (4, 1)]
    assert pdes.duplicates(data[[1, 2, 1]]) == [(0, 2)]
    bare = data.replace(latent={})
    assert pdes.duplicates(bare[:5], bare[[7, 3]]) == [(3, 1)]
    assert json.loads(json.dumps(pdes.duplicates(bare))) == []
