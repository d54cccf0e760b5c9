"""The verdict against the classical solver, on ladders whose answer is known by hand."""

import numpy as np
import pytest

from sciml.comparison import Front, compare, percent, verdict, verdicts
from sciml.report import Report, Score
from sciml.tasks import Signature
from solvers.grid import Grid

SIGNATURE = Signature("steady", ("a",), ("u",), Grid.box("cell", 8, dimension=2, boundary="dirichlet"))


def score(name, error, seconds, *, batch=None, training=None, samples=6):
    return Score(
        name,
        {"relative_l2": np.full(samples, error)},
        parameters=0 if training is None else 100,
        training_seconds=training,
        seconds_single=seconds,
        seconds_batch=batch or seconds,
    )


# Second order in the spacing, time proportional to the points: error 0.16 / t along the ladder.
LADDER = [score("s8", 0.16, 1.0), score("s16", 0.04, 4.0), score("s32", 0.01, 16.0)]
NAMES = ["s8", "s16", "s32"]


def standing(error, seconds, **options):
    operator = score("net", error, seconds, training=100.0, batch=options.pop("batch", None))
    report = Report([operator, *LADDER], SIGNATURE, {}, 6, options.pop("floor", None))
    (found,) = compare(report, NAMES, **options)
    return found, report


def test_speed_at_equal_error_is_read_off_the_front():
    found, _ = standing(0.02, 0.5)  # the front needs t = 0.16 / 0.02 = 8
    assert found.faster == pytest.approx(16.0, rel=1e-12)
    assert found.faster_bound == ""
    assert found.beaten_by is None
    assert found.sharper is None  # no rung takes 0.5 or less


def test_error_at_equal_time():
    found, _ = standing(0.02, 2.0)  # in 2 the front reaches 0.16 / 2 = 0.08
    assert found.sharper == pytest.approx(4.0, rel=1e-12)


def test_break_even_counts_data_and_training():
    found, _ = standing(0.02, 0.5, label_seconds=0.25, train_samples=200)
    assert found.invested == pytest.approx(100.0 + 50.0)
    assert found.break_even == pytest.approx(150.0 / (8.0 - 0.5))


def test_a_slower_operator_is_never_repaid_and_the_winner_is_named():
    found, _ = standing(0.05, 10.0, label_seconds=0.25, train_samples=200)
    assert found.break_even is None
    assert found.beaten_by == "s16"
    assert "s16 is both faster and more accurate" in verdict(found)


def test_the_better_batch_size_counts():
    found, _ = standing(0.02, 20.0, batch=0.5)
    assert (found.batch, found.seconds) == ("in a batch", 0.5)
    assert found.faster == pytest.approx(16.0)


def test_beyond_the_ladder_only_bounds_are_claimed():
    worse, _ = standing(0.5, 0.25)
    assert (worse.faster_bound, worse.break_even) == ("at most", None)
    assert worse.faster == pytest.approx(4.0)
    assert "no equal accuracy" in verdict(worse)
    better, _ = standing(0.001, 0.25)
    assert (better.faster_bound, better.faster) == ("at least", pytest.approx(64.0))
    assert "at least 64 times faster" in verdict(better)


def test_front_drops_rungs_that_are_beaten():
    front = Front.of([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.05, 0.05])
    np.testing.assert_array_equal(front.seconds, [1.0, 3.0])
    np.testing.assert_array_equal(front.errors, [0.1, 0.05])


def test_errors_near_the_label_error_are_said_to_be_no_ranking():
    near, report = standing(0.02, 0.5, floor=0.01)
    assert any("not a ranking" in line for line in verdicts([near], report))
    far, report = standing(0.02, 0.5, floor=0.001)
    assert not any("not a ranking" in line for line in verdicts([far], report))


def test_without_times_or_a_ladder_nothing_is_claimed():
    untimed = Score("net", {"relative_l2": np.full(6, 0.1)}, 10, 1.0)
    assert compare(Report([untimed, *LADDER], SIGNATURE, {}, 6), NAMES) == []
    assert compare(Report([score("net", 0.1, 1.0, training=1.0)], SIGNATURE, {}, 6), []) == []


@pytest.mark.parametrize(("value", "text"), [(0.0123, "1.23 %"), (1.0, "100.00 %"), (2e-7, "2.0e-07")])
def test_percent(value, text):
    assert percent(value) == text
