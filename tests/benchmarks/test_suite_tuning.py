"""Training chosen on validation data: every setting is tried, the best geometric mean wins, and the suite's file follows it."""

import json

import numpy as np
import pytest

from benchmarks import rows
from benchmarks.record import RESULTS
from benchmarks.suite import tuning
from benchmarks.suite.tasks import load
from solvers.errors import SettingError, UnknownName

SUITE = """
[suite]
description = "one small task"
networks = ["deeponet:tiny"]

[defaults]
train = 12
validation = 4
test = 6
epochs = 2

[[task]]
name = "poisson"
track = "map"
problem = "poisson_dirichlet"
resolution = 16
"""
ASKED = """
[tuning]
tasks = ["poisson"]
lr = [1e-6, 1e-2]
batch_size = [4]
"""


def row(name: str, task: str, lr: float, **found) -> dict:
    return {"network": name, "task": task, "setting": {"lr": lr}, **found}


def test_the_setting_of_least_geometric_mean_is_chosen_and_a_failure_is_never():
    found = [
        row("a:tiny", "one", 1.0, validation=0.1), row("a:tiny", "two", 1.0, validation=0.9),
        row("a:tiny", "one", 2.0, validation=0.2), row("a:tiny", "two", 2.0, validation=0.2),
        row("a:tiny", "one", 3.0, validation=0.01), row("a:tiny", "two", 3.0, failed="NaN"),
        row("peer FNO", "one", 1.0, validation=0.3), row("peer FNO", "two", 1.0, cannot="too odd a grid"),
        row("peer UNO", "one", 1.0, validation=0.5), row("peer UNO", "one", 2.0, validation=0.4),
        row("b:tiny", "one", 1.0, cannot="no"), row("c:tiny", "one", 1.0, failed="no"),
    ]  # fmt: skip
    assert tuning.chosen(found) == {"a": {"lr": 2.0}, "peer FNO": {"lr": 1.0}, "peer UNO": {"lr": 2.0}}
    assert dict(tuning.scores(found))["a:tiny"][0][0] == pytest.approx(0.2)


def test_every_setting_is_tried_once_and_what_is_there_is_not_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "small.toml"
    path.write_text(SUITE + ASKED)
    monkeypatch.setattr(tuning, "Rows", lambda name, settings: rows.Rows(name, settings, tmp_path))
    said: list[str] = []
    found = tuning.tune(load(str(path)), str(path), tmp_path / "runs", 1, said.append).rows
    assert len(found) == len(said) == 2
    slow, fast = (r["validation"] for r in sorted(found.values(), key=lambda r: r["setting"]["lr"]))
    assert np.isfinite(slow)
    assert fast < slow, "a rate of 1e-6 learns nothing in two epochs"
    assert tuning.chosen(list(found.values())) == {"deeponet": {"lr": 1e-2, "batch_size": 4}}
    tuning.tune(load(str(path)), str(path), tmp_path / "runs", 1, said.append)
    assert len(said) == 2


@pytest.mark.parametrize("asked", ["", "[tuning]\nlr = [1e-3]", '[tuning]\ntasks = ["poisson"]\nlearning_rate = [1e-3]'])
def test_a_suite_that_asks_for_nothing_or_nonsense_says_what_to_write(tmp_path, asked):
    path = tmp_path / "small.toml"
    path.write_text(SUITE + asked)
    with pytest.raises(SettingError, match="lists of values of options of"):
        tuning.trials(load(str(path)), str(path), tmp_path)


def test_a_task_that_is_not_there_is_an_error_that_says_which_are(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SUITE + ASKED.replace("poisson", "heat"))
    with pytest.raises(UnknownName, match="poisson@1"):
        tuning.trials(load(str(path)), str(path), tmp_path)


def test_the_training_of_tier_s_is_what_the_stored_trials_chose():
    suite = load("s")
    stored = json.loads((RESULTS / "suite_s_tuning.json").read_text())
    assert stored["settings"]["tuning"] == json.loads(json.dumps(dict(suite.tuning)))
    assert {who: dict(how) for who, how in suite.training.items()} == tuning.chosen(stored["rows"])
