"""Atomic writes: all or nothing, no litter, and a clear word when the disk is full."""

import errno
import os
import pickle

import pytest

from solvers.errors import DataError
from solvers.files import DiskFull, atomic_path, is_disk_full, require_space, write_bytes


def write_half_and_fail(path, error):
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_new_content_replaces_old_in_one_step(tmp_path):
    target = tmp_path / "deep" / "file.bin"
    write_bytes(target, b"old")
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["file.bin"]


def test_folder_is_committed_whole(tmp_path):
    with atomic_path(tmp_path / "step-1") as temporary:
        (temporary / "sub").mkdir(parents=True)
        (temporary / "sub" / "a").write_text("a")
    assert (tmp_path / "step-1" / "sub" / "a").read_text() == "a"
    assert os.listdir(tmp_path) == ["step-1"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file_and_no_litter(tmp_path, error):
    target = tmp_path / "file.bin"
    write_bytes(target, b"old")
    with pytest.raises(type(error)):
        write_half_and_fail(target, error)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Can't decrement id ref count (file write failed: errno = 28, error message = 'No space left on device')"),
    ],
)
def test_full_disk_is_named(tmp_path, error):
    with pytest.raises(DiskFull, match=r"disk full while writing .*data\.h5.*Free some space"):
        write_half_and_fail(tmp_path / "data.h5", error)
    assert os.listdir(tmp_path) == []


def test_full_disk_during_sync(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="disk full"):
        write_bytes(tmp_path / "data.h5", b"content")
    assert os.listdir(tmp_path) == []


def test_other_errors_keep_their_kind(tmp_path):
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_space_is_checked_before_the_work(tmp_path):
    require_space(tmp_path / "not" / "yet" / "file.h5", 1)
    with pytest.raises(DiskFull, match=r"about 10000000000000\.0 MB"):
        require_space(tmp_path / "file.h5", 10**19)


def test_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(DiskFull(given="a", needed="b", remedy="c")))
    assert isinstance(error, OSError)
    assert isinstance(error, DataError)
    assert "Got a" in str(error)
