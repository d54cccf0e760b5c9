"""The main job at a small size: every file is there, a second call repeats nothing, an interrupted one goes on."""

import json

import numpy as np
import pytest

import sciml
from sciml.quickstart import quickstart
from solvers.errors import CheckpointError

SIZES = {"n": 30, "test": 6, "resolution": 16, "minutes": 0.03, "workers": 1, "seed": 11, "progress": False}
NETWORKS = ("mgno:tiny", "fno:tiny")


def start(folder, said, **changes):
    return quickstart(folder, **{**SIZES, "networks": NETWORKS, "say": said.append, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("quickstart"), []
    return start(folder, said), said


def test_leaves_everything(done):
    result, said = done
    files = {p.name for p in result.folder.iterdir()}
    assert files >= {"dataset.h5", "mgno.safetensors", "fno.safetensors", "linear.safetensors", "report.json", "report.html"}
    assert files >= {"mgno.history.csv", "fno.history.csv"}
    assert len(said) == 3
    names = [s.name for s in result.report.scores]
    assert names == ["MgNO", "FNO", "linear", "solver 16×16", "solver 8×8", "solver 4×4"]
    assert result.verdict


def test_the_report_is_complete_and_the_page_shows_it(done):
    result, _ = done
    stored = json.loads((result.folder / "report.json").read_text())
    assert stored["samples"] == 6
    assert stored["notes"]["train_samples"] == 30
    assert stored["notes"]["label_seconds"] > 0
    assert stored["label_error"] > 0
    assert "--seed 11" in stored["notes"]["command"]
    page = result.page.read_text()
    for score in result.report.scores:
        assert score.name in page
        assert np.isfinite(score.errors["relative_l2"]).all()
        assert score.seconds_single > 0
    assert "Learning curves" in page
    errors = {s.name: s.errors["relative_l2"].mean() for s in result.report.scores}
    assert errors["solver 16×16"] < errors["solver 8×8"] < errors["solver 4×4"]


def test_saved_models_are_the_ones_that_were_scored(done):
    result, _ = done
    test = sciml.Dataset.open(result.folder / "dataset.h5")[30:36]
    again = sciml.evaluate(sciml.load(result.folder / "fno.safetensors"), test, timing=False)
    np.testing.assert_array_equal(again.scores[0].errors["relative_l2"], result.report["FNO"].errors["relative_l2"])


def test_a_second_call_repeats_nothing(done):
    result, _ = done
    before = {name: (result.folder / name).read_bytes() for name in ("dataset.h5", "mgno.safetensors", "fno.history.csv")}
    again = start(result.folder, [])
    for name, content in before.items():
        assert (again.folder / name).read_bytes() == content, name


def test_other_settings_in_the_same_folder_are_refused(done):
    result, _ = done
    with pytest.raises(CheckpointError, match="another training"):
        start(result.folder, [], n=20)


def test_an_interrupted_call_goes_on(tmp_path, monkeypatch):
    import sciml.fitting as fitting

    real, calls = fitting.judged, []

    def interrupting(*arguments):
        calls.append(1)
        if len(calls) == 2:
            import signal

            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(fitting, "judged", interrupting)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, [], networks=("fno:tiny",))
    stopped = (tmp_path / "dataset.h5").stat().st_mtime_ns
    result = start(tmp_path, [], networks=("fno:tiny",))
    assert (tmp_path / "dataset.h5").stat().st_mtime_ns == stopped
    assert len(result.report.scores) == 5


@pytest.mark.parametrize(("several", "one", "chosen"), [(1.0, 2.0, 2), (2.0, 1.0, 1)])
def test_threads_are_chosen_by_the_probe_and_given_back(several, one, chosen, monkeypatch):
    import torch

    from sciml import threads

    monkeypatch.setattr(threads, "probe", lambda: several if torch.get_num_threads() > 1 else one)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads.sensible_threads() as count:
            assert count == torch.get_num_threads() == chosen
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
