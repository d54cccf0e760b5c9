"""The benchmark suite end to end on a small suite of its own: run, resume, report, compare, verify, and what it refuses."""

import json

import numpy as np
import pytest

from benchmarks.suite import page, scoring, storing, words
from benchmarks.suite.contestants import roster
from benchmarks.suite.run import run
from benchmarks.suite.standing import Entry, Table, _placed, tables
from benchmarks.suite.statistics import Summary, compared, difference, errors_of, holm, interval, overall
from benchmarks.suite.tasks import SuiteTask, load, names
from benchmarks.suite.trivial import Nearest, PerWave, Zero
from benchmarks.suite.verifying import verify
from solvers.errors import DataError, GridError, SettingError, UnknownName

SUITE = """
[suite]
description = "two small tasks"
networks = ["fno:tiny", "deeponet:tiny"]
seeds = 2

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

[[task]]
name = "viscosity"
track = "map"
kind = "final"
problem = "heat"
options = {time = [0.0, 0.05], frames = 2}
resolution = 32
coarsen = [2]
finer = 1

[[task]]
name = "heat"
track = "rollout"
problem = "heat"
kind = "autoregressive"
options = {time = [0.0, 0.2], frames = 5, nu = 0.01}
resolution = 32
coarsen = [1, 2]
shift = false
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "small.toml").write_text(SUITE)
    source = str(folder / "small.toml")
    said: list[str] = []
    suite = load(source)
    rows = run(suite, source, folder / "runs", workers=1, say=said.append)
    return suite, source, folder / "runs", rows, said


def test_every_contestant_has_a_row_with_hashes_scores_and_costs(ran):
    suite, _, _, rows, said = ran
    assert not any("failed" in line for line in said)
    for task in suite.tasks:
        found = {(r["contestant"], r["seed"]) for r in rows[task.label]}
        wanted = {(c.name, 11 + s) for c in roster(suite, task) for s in range(2 if c.seeded else 1)}
        assert found == wanted
        for row in rows[task.label]:
            assert len(row["data"]["test"]) == 32
            assert len(row["scores"]["test"][row["primary"]]) == 6
            assert ("cost" in row) == (row["seed"] == 11)
    heat = {r["contestant"]: r for r in rows["heat@1"]}
    assert np.mean(heat["per wave"]["scores"]["test"]["rollout"]) < 1e-5  # exact for an equation with constant coefficients
    assert np.mean(heat["solver"]["scores"]["test"]["rollout"]) < 1e-5
    assert len(heat["fno:tiny"]["scores"]["test"]["curve"]) == 4


def test_a_second_run_makes_nothing_and_changed_rows_are_made_again(ran):
    suite, source, folder, _, _ = ran
    said: list[str] = []
    run(suite, source, folder, workers=1, say=said.append)
    assert [line for line in said if "rows to make" in line and not line.split(": ")[1].startswith("0 ")] == []
    path = folder / "poisson@1" / "zero-11.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"judges": "others"}))
    with pytest.raises(DataError, match="Run it again"):
        tables(suite, folder)
    run(suite, source, folder, workers=1, say=said.append)
    assert json.loads(path.read_text())["scores"] == json.loads(kept)["scores"]


def test_answers_on_a_finer_grid_are_to_the_same_samples(ran):
    suite, _, folder, _, _ = ran
    data = suite["poisson"].data(folder / "data")
    coarse, fine = (np.asarray(data[w].fields["u"][:]) for w in ("test", "finer"))
    assert fine.shape == (6, 32, 32)
    here, there = (w.reshape(6, 16, -1, 16, w.shape[-1] // 16).mean((2, 4)) for w in (coarse, fine))
    assert np.linalg.norm(here - there) < 0.15 * np.linalg.norm(here)


def test_stored_answers_give_the_stored_scores_until_somebody_changes_them(ran):
    suite, _, folder, rows, _ = ran
    assert verify(suite, folder) == sum(len(r) for r in rows.values())
    path = folder / "heat@1" / "persistence-11.json"
    kept = path.read_text()
    row = json.loads(kept)
    row["scores"]["test"]["rollout"][0] *= 0.9
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match="rollout on test differs"):
        verify(suite, folder)
    path.write_text(kept)


def test_the_report_says_what_the_numbers_say(ran):
    suite, _, folder, _, _ = ran
    found = tables(suite, folder)
    text = page.page(suite, found, folder, "python -m benchmarks run small")
    for word in ("poisson@1", "heat@1", "Work and precision", "Roll-out", "per wave", "truth"):
        assert word in text
    assert "No network beats the best trivial predictor (“per wave”" in text
    assert words.markdown(suite, found).count("| solver") >= 4


def test_what_is_kept_makes_the_same_page_and_tasks_are_kept_one_by_one(ran, tmp_path):
    suite, _, folder, _, _ = ran
    found = tables(suite, folder)
    for table in found:
        path = storing.keep(suite, table, tmp_path)
    again = storing.kept(suite, tmp_path)
    assert words.markdown(suite, again) == words.markdown(suite, found)
    assert words.short(suite, again) == words.short(suite, found)
    stored = json.loads(path.read_text())
    assert stored["commit"], "with the circumstances of the run"
    row = next(r for r in stored["rows"] if r["contestant"] == "persistence")
    assert row["means"]["one_step"] > 0, "the mean of what does not rank"
    assert len(row["scores"]["test"]["rollout"]) == suite["heat"].test

    storing.keep(suite, found[0], tmp_path)
    assert [t.task.label for t in storing.kept(suite, tmp_path)] == ["poisson@1", "viscosity@1", "heat@1"]
    path.write_text(path.read_text()[:200])
    with pytest.raises(DataError, match="Store it again"):
        storing.kept(suite, tmp_path)


def test_a_coefficient_is_found_through_the_solver(ran):
    _, _, _, rows, _ = ran
    found = {r["contestant"]: r["scores"]["inverse"] for r in rows["viscosity@1"] if "inverse" in r["scores"]}
    assert np.median(found["solver / 2"]["noise 0"]) < 1e-3
    assert np.median(found["solver / 2"]["noise 0.05"]) < 0.2 < np.median(found["zero"]["noise 0"])
    assert "noise 0.01" in found["fno:tiny"]
    assert not any("inverse" in r["scores"] for r in rows["poisson@1"])


@pytest.mark.parametrize(
    ("name", "refined", "bound"),
    [("burgers_sharp", 8, 2e-3), ("shock_tube", 1, 0.03), ("dam_break", 1, 0.02)],  # 255 points do not resolve the shock
)
def test_data_of_others_are_what_our_solver_finds(name, refined, bound):
    from benchmarks.suite.foreign import FOREIGN, part
    from benchmarks.third_party.__main__ import FOLDER
    from sciml.operators.classical import ClassicalSolver, prolong
    from sciml.tasks import as_task

    task = load("m")[name]
    if not FOREIGN[task.foreign][0].is_in(FOLDER):
        pytest.skip(f"the files are not in {FOLDER}: run `python -m benchmarks.third_party`")
    data = part(task.foreign, task.posed())
    solver = ClassicalSolver(problem=task.posed(), coarsen=1)
    solver.bind(as_task(task.kind, data))
    grid = solver.bound_signature.grid
    finer = grid.with_shape((refined * grid.shape[0],))
    inputs = as_task(task.kind, data).all().inputs
    found = solver.predict(prolong(inputs, grid, finer) if refined > 1 else inputs)[..., ::refined]
    true = scoring.truth(task, data)
    assert true.shape[0] == 1
    assert np.linalg.norm(found - true) < bound * np.linalg.norm(true)


def test_comparison_over_tasks(ran):
    suite, _, folder, _, _ = ran
    by_task = {t.task.label: t.rows for t in tables(suite, folder)}
    found = compared(by_task, "zero", "fno:tiny")
    assert [d.task for d in found] == ["poisson@1", "viscosity@1", "heat@1"]
    assert all(d.adjusted >= d.p for d in found)
    same = compared(by_task, "zero", "zero")
    assert all(d.ratio == 1 and d.adjusted == 1 for d in same)
    ranks = {o.name: o for o in overall(by_task, ["zero", "fno:tiny", "linear"])}
    assert ranks["linear"].ratio == pytest.approx(1)


def test_the_suites_of_the_package_can_be_read():
    for name in names():
        suite = load(name)
        for task in suite.tasks:
            assert task.track not in scoring.FIELDS or task.posed().stored_grid(task.resolution)
            assert task.described()["equation"]
            assert roster(suite, task)


def test_what_a_suite_may_not_be(tmp_path):
    with pytest.raises(UnknownName, match="suite"):
        load("nothing")
    bad = tmp_path / "bad.toml"
    bad.write_text(SUITE.replace('track = "map"', 'track = "mop"'))
    with pytest.raises(UnknownName, match="mop"):
        load(bad)
    bad.write_text(SUITE.replace("epochs = 2", "epoch = 2"))
    with pytest.raises(SettingError, match="epoch"):
        load(bad)
    bad.write_text(SUITE.replace('name = "heat"', 'name = "poisson"'))
    with pytest.raises(SettingError, match="different names"):
        load(bad)
    with pytest.raises(SettingError, match=">= 1"):
        SuiteTask("a", "map", "darcy", 0, 1, 1, 1)


def test_who_and_what_is_not_there_is_named(ran, tmp_path):
    suite, source, folder, _, _ = ran
    with pytest.raises(UnknownName, match="contestant 'fno:huge'"):
        run(suite, source, folder, contestants=["fno:huge"], workers=1)
    with pytest.raises(DataError, match="no rows"):
        verify(suite, tmp_path)


def test_a_failing_contestant_is_a_row_at_the_ceiling(ran, monkeypatch):
    suite, source, folder, _, _ = ran
    from benchmarks.suite import row as rows

    monkeypatch.setattr(rows, "trained", lambda *_: 1 / 0)
    job = rows.Job(source, "poisson@1", roster(suite, suite["poisson"])[0], 99, str(folder / "elsewhere"))
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "data").symlink_to(folder / "data")
    row = rows.row(job)
    assert row["failed"] == "division by zero"
    good = {"primary": "relative_l2", "scores": {"test": {"relative_l2": [0.1, 0.2]}}}
    errors = errors_of([good, row])
    assert errors is not None
    assert errors.tolist() == [[0.1, 0.2], [10, 10]]


# -- statistics -------------------------------------------------------------------------------------------------------


def test_intervals_grow_with_the_spread_over_seeds():
    rng = np.random.default_rng(0)
    samples = rng.gamma(2.0, 0.01, 200)
    tight = interval(np.stack([samples, samples, samples]))
    wide = interval(np.stack([samples, 2 * samples, 3 * samples]))
    assert wide[1] - wide[0] > 3 * (tight[1] - tight[0])
    assert tight[0] < samples.mean() < tight[1]


def test_the_interval_covers():
    rng = np.random.default_rng(1)
    hits = 0
    for k in range(100):
        errors = np.broadcast_to(rng.gamma(4.0, 0.25, 60), (1, 60))
        low, high = interval(errors, seed=k)
        hits += low < 1.0 < high
    assert 86 <= hits <= 99


def test_differences_are_paired_and_p_values_adjusted():
    rng = np.random.default_rng(2)
    hard = np.exp(rng.standard_normal(80))
    a, b = np.stack([hard * 0.1] * 2), np.stack([hard * 0.1 * np.exp(0.05 + 0.02 * rng.standard_normal(80))] * 2)
    found = difference("t", b, a)
    assert found.low > 1.03
    assert found.high < 1.08
    assert found.p < 1e-6
    assert holm([0.04, 0.01]) == [0.04, 0.02]


def _entry(name, kind, mean, seconds):
    s = Summary(mean, mean, mean, mean, mean, mean, 1, 0)
    return Entry(name, kind, s, None, None, None, 0, 100.0, seconds, None)


def test_standing_beside_the_classical_solver():
    rungs = [_entry("solver", "classical", 1e-3, (4e-3, 4e-3)), _entry("solver / 2", "classical", 1e-1, (1e-3, 1e-3))]
    trivial = _entry("mean", "trivial", 0.5, (1e-6, 1e-6))
    task, about = load("s").tasks[0], {"label_error": 1e-3, "label_seconds": 0.1}
    fast = _placed(_entry("a", "network", 1e-2, (1e-3, 1e-3)), rungs, trivial, about, task)
    assert fast.faster == pytest.approx(2.0)  # half way in log-log: 2 ms
    assert fast.sharper == pytest.approx(10.0)
    assert fast.repaid == pytest.approx((100 + task.train * 0.1) / 1e-3)
    assert not fast.at_floor
    slow = _placed(_entry("b", "network", 0.6, (8e-3, 8e-3)), rungs, trivial, about, task)
    assert slow.trivial == "mean"
    assert slow.bound == "at most"
    assert slow.repaid is None
    assert _placed(_entry("c", "network", 2e-3, (1e-3, 1e-3)), rungs, trivial, about, task).at_floor


MADE = {"fast": (0.1, 5e-4), "slow": (0.1, 2e-3), "worst": (0.6, 1e-5), "even": (2e-3, 1e-3)}  # error, seconds


@pytest.mark.parametrize(
    ("networks", "verdict", "front"),
    [
        (["fast", "slow"], "Cannot be told of fast, S ≤ 2:", "Cannot be told"),
        (["slow"], "The classical solver is faster than every network", "Slower"),
        (["fast", "even"], "Faster than the classical solver at equal error: even, S = 2.6.", "Faster"),
        (["worst"], "No network beats the best trivial predictor", "No network beats"),
    ],
)
def test_a_network_worse_than_the_whole_ladder_is_not_said_to_lose(networks, verdict, front):
    rungs = [_entry("solver", "classical", 1e-3, (4e-3, 4e-3)), _entry("solver / 2", "classical", 1e-2, (1e-3, 1e-3))]
    trivial = _entry("mean", "trivial", 0.5, (1e-6, 1e-6))
    suite, about = load("s"), {"label_error": 1e-6}
    entries = [_entry(name, "network", MADE[name][0], (MADE[name][1],) * 2) for name in networks]
    placed = [_placed(e, rungs, trivial, about, suite.tasks[0]) for e in entries]
    found = Table(suite.tasks[0], about, [*placed, *rungs, trivial], {})
    assert words.verdicts(found)[-1].startswith(verdict)
    assert [line.startswith(front) for line in words.front_page(suite, [found])] == [True]


# -- trivial predictors -----------------------------------------------------------------------------------------------


def test_trivial_predictors():
    import pdes
    import sciml

    data = pdes.generate(pdes.get("heat", nu=0.01, time=(0.0, 0.2), frames=3), 10, 32, seed=3, progress=False)
    train, test = data.split(8, 2)
    fit = lambda o: sciml.fit(o, train, task="autoregressive", validation=False, progress=False).operator  # noqa: E731
    wave = fit(PerWave())
    batch = sciml.tasks.as_task("autoregressive", test).all()
    assert np.abs(wave.predict(batch.inputs) - batch.targets).max() < 1e-4 * np.abs(batch.targets).max()
    near = fit(Nearest())
    again = sciml.tasks.as_task("autoregressive", train).all()
    assert np.array_equal(near.predict(again.inputs), again.targets)
    assert not fit(Zero()).predict(batch.inputs).any()
    with pytest.raises(GridError, match="periodic"):
        sciml.fit(PerWave(), pdes.generate("poisson_dirichlet", 3, 16, progress=False), progress=False)


def test_roll_outs_that_end_in_nothing_are_judged():
    task = load("s")["advection"]
    grid = task.posed().stored_grid(16)
    true = np.random.default_rng(0).standard_normal((3, 4, 1, 16))
    found = true.copy()
    found[1, 2:] = np.nan
    scored = scoring.scores(task, found, true, grid, np.linspace(0, 1, 5))
    assert scored["blown_up"].tolist() == [0, 1, 0]
    assert all(np.isfinite(v).all() for k, v in scored.items() if not k.startswith("steps"))
