"""Recorded feature vectors: splits, speakers, files, and errors that say what to install."""

import gzip

import numpy as np
import pytest

from pdes import vectors
from solvers.errors import DataError, MissingPackage, SettingError, UnknownName


def loaded(name, fold=0):
    try:
        return vectors.load(name, fold)
    except MissingPackage as error:
        pytest.skip(str(error))


def test_digits_are_split_by_class_and_fold():
    train, test = loaded("digits")
    assert (len(train), len(test)) == (1438, 359)
    counts = [np.bincount(part.parameters["label"][...].astype(int)) for part in (train, test)]
    assert np.abs(counts[1] / (counts[0] + counts[1]) - 0.2).max() < 0.01
    whole = np.concatenate([np.asarray(part.fields["x"][...]) for part in (train, test)])
    assert len(np.unique(whole, axis=0)) > 1790
    again, other = vectors.load("digits")[1], vectors.load("digits", 1)[1]
    assert np.array_equal(again.fields["x"][...], test.fields["x"][...])
    assert not np.array_equal(other.fields["x"][...], test.fields["x"][...])


def test_vowels_share_no_speaker():
    train, test = loaded("vowels")
    speakers = [set(part.parameters["speaker"][...]) for part in (train, test)]
    assert speakers == [set(range(8)), set(range(8, 15))]
    assert (len(train), len(test), np.asarray(train.fields["x"][...]).shape[1]) == (528, 462, 9)


def test_pictures_have_their_shape():
    train, test = loaded("mnist_5k")
    assert np.asarray(train.fields["x"][...]).shape == (4000, 784)
    assert np.bincount(test.parameters["label"][...].astype(int)).tolist() == [100] * 10


def test_idx_files(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    raw = b"\0\0\x08\x03" + np.array(values.shape, ">u4").tobytes() + values.tobytes()
    (tmp_path / "a").write_bytes(raw)
    (tmp_path / "a.gz").write_bytes(gzip.compress(raw))
    for name in ("a", "a.gz"):
        assert np.array_equal(vectors.idx(tmp_path / name), values)
    (tmp_path / "short").write_bytes(raw[:-1])
    (tmp_path / "text").write_bytes(b"not an array")
    for name in ("short", "text"):
        with pytest.raises(DataError, match="whole IDX file"):
            vectors.idx(tmp_path / name)


def test_own_folder_comes_first_and_errors_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "FASHION", tmp_path / "nowhere")
    with pytest.raises(MissingPackage, match="apt install dataset-fashion-mnist"):
        vectors.load("fashion_mnist")
    monkeypatch.setenv(vectors.FOLDERS, str(tmp_path))
    for part, count in (("train", 6), ("t10k", 2)):
        head = b"\0\0\x08"
        images = head + b"\x03" + np.array((count, 2, 2), ">u4").tobytes() + bytes(4 * count)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(head + b"\x01" + np.array(count, ">u4").tobytes() + bytes(count))
    train, test = vectors.load("fashion_mnist")
    assert (len(train), len(test)) == (6, 2)
    with pytest.raises(UnknownName, match="digits"):
        vectors.load("digit")
    with pytest.raises(SettingError, match="fold"):
        vectors.load("vowels", 3)
