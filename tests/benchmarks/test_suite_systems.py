"""Track 6 of the suite: windows of systems, forecasts, equations read back, and families told apart."""

import json

import numpy as np
import pytest

from benchmarks.suite import page, readers, storing, systems, words
from benchmarks.suite.contestants import roster
from benchmarks.suite.run import run
from benchmarks.suite.standing import tables
from benchmarks.suite.tasks import SuiteTask, load
from benchmarks.suite.verifying import verify
from pdes.vocabulary import words_of
from sciml.operators.prose.scoring import symbolic_error
from solvers.errors import DataError, UnknownName

SUITE = """
[suite]
description = "systems"
networks = ["fno:tiny"]
seeds = 1

[defaults]
problem = "three"
resolution = 64
train = 60
validation = 6
test = 4
epochs = 2

[[task]]
name = "systems"
track = "symbolic"
kind = "continuation"

[[task]]
name = "which"
track = "which"
kind = "classification"
also = ["lssl:tiny", "forward_forward:tiny"]
networks = {forward_forward = {options = [["points", 256], ["steps", 4]]}}

[training.forward_forward]
epochs = 2
"""
FAST = (
    "exact answer", "true equation, noisy start", "zero", "persistence", "nearest", "linear", "integral SINDy", "prose",
    "prose, equation", "mean", "lssl:tiny", "forward_forward:tiny",
)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("systems")
    (folder / "small.toml").write_text(SUITE)
    source, said = str(folder / "small.toml"), []
    suite = load(source)
    rows = run(suite, source, folder / "runs", contestants=FAST, workers=1, timing=False, say=said.append)
    assert not [line for line in said if "seed" in line and "(" not in line]
    return suite, folder / "runs", {t: {r["contestant"]: r for r in some} for t, some in rows.items()}


def _mean(row, name, where="test"):
    return float(np.mean(row["scores"][where][name]))


def test_forecasts_have_a_floor_and_a_ceiling(ran):
    _, _, rows = ran
    found = rows["systems@1"]
    assert set(found) == set(FAST) - {"mean", "lssl:tiny", "forward_forward:tiny"}
    assert _mean(found["exact answer"], "clean [2,6]") < 1e-6
    assert 0.015 < _mean(found["exact answer"], "noisy [2,6]") < 0.03  # the noise itself
    assert _mean(found["zero"], "clean [2,6]") == pytest.approx(1, abs=1e-3)
    best = min(_mean(found[name], "clean [2,6]") for name in ("persistence", "nearest", "linear"))
    assert _mean(found["prose, equation"], "clean [2,6]") < 0.5 * best
    assert set(found["prose"]["scores"]) == {"test", "shift"}
    assert found["prose"]["training"]["seconds"] > 100  # paid once, when the checkpoint was made


def test_equations_are_read_back(ran):
    _, _, rows = ran
    found = rows["systems@1"]
    assert _mean(found["exact answer"], "equation: structure") == 1
    assert _mean(found["exact answer"], "equation: error") < 1e-12
    assert _mean(found["prose, equation"], "equation: structure") > 0.5
    assert np.median(found["prose, equation"]["scores"]["test"]["equation: error"]) < 0.05
    assert "equation: error" not in found["prose"]["scores"]["test"]


def test_families_are_told_apart(ran):
    _, _, rows = ran
    found = rows["which@1"]
    assert set(found) == {"mean", "nearest", "linear", "lssl:tiny", "forward_forward:tiny"}
    assert _mean(found["nearest"], "error_rate") < _mean(found["mean"], "error_rate")
    assert _mean(found["mean"], "brier") == pytest.approx(1 / 3, abs=0.01)  # a third each, and no better guess
    assert all(np.isfinite(_mean(r, "brier")) for r in found.values())


def test_the_report_and_what_is_kept(ran, tmp_path):
    suite, folder, _ = ran
    found = tables(suite, folder)
    text = page.page(suite, found, folder, "command")
    assert "The equation read from the window" in text
    assert "Brier" in text
    lines = words.markdown(suite, found)
    assert "64 noisy frames" in lines
    assert "prose" not in [e.name for t in found for e in t.of_kind("reference")]
    for table in found:
        storing.keep(suite, table, tmp_path)
    assert words.markdown(suite, storing.kept(suite, tmp_path)) == lines


def test_equations_that_somebody_changed_are_noticed(ran):
    suite, folder, _ = ran
    assert verify(suite, folder) == 14
    path = folder / "systems@1" / "prose-equation-11.json"
    kept = path.read_text()
    row = json.loads(kept)
    row["scores"]["test"]["equation: error"][0] += 0.5
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match="equation: error on test"):
        verify(suite, folder)
    path.write_text(kept)


def test_every_family_fitted_knows_the_right_one():
    task = SuiteTask("w", "which", "three", 64, 6, 2, 4, kind="classification")
    data, noisy = systems.drawn("three", 4, task.seed, "test")
    method = readers.METHODS["which"]["every family fitted"][1](task)
    _, found = method.read(noisy[:, : systems.GIVEN], data.times)
    scores = readers._as_classes(found, data.names)
    assert (scores.argmax(1) == data.families).all()
    assert scores.max() == readers.SURE


def test_recovery_forecasts_and_writes_its_equation_in_words():
    data, noisy = systems.drawn("three", 4, 2026, "test")
    lorenz = np.flatnonzero(data.families == 1)[:1]
    forecast, found = readers._recovered(noisy[lorenz, : systems.GIVEN], data.times)
    assert forecast.shape == (1, 128, 3)
    assert found is not None
    assert symbolic_error(found[0], words_of(data.equations[lorenz[0]].tolist(), 3)) < 0.2
    assert np.linalg.norm(forecast[0] - data.states[lorenz[0], systems.GIVEN :]) < np.linalg.norm(forecast[0])


def test_who_takes_part_and_what_is_not_there():
    suite = load("m")
    for name, one in (("systems", "prose, equation"), ("which_system", "forward_forward:small")):
        assert one in [c.name for c in roster(suite, suite[name])]
        assert "fno:small" not in [c.name for c in roster(suite, suite[name])]
    with pytest.raises(UnknownName, match="set of systems"):
        systems.drawn("none", 2, 1, "test")
