"""Trajectories and their labels: true to each other, accurate, with the stated noise, split by whole ranges."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pdes.canonical import canonical, system_of, system_words
from pdes.vocabulary import words_of
from pdes.windows import GIVEN, MULTI_DIMENSIONAL, SPLITS, THREE_DIMENSIONAL, compiled, family, windows, with_noise
from solvers.errors import SettingError

FLOOR = {  # relative error of the exact answer against noisy targets, in per cent, [2, 6] (measured on 400 samples per family)
    "thomas": 1.77, "lorenz_3d": 2.00, "aizawa": 2.30, "chen_lee": 2.78, "dadras": 1.91, "rossler": 1.93, "halvorsen": 1.72,
    "fabrikant": 2.22, "sprott_B": 2.00, "sprott_linz_F": 2.09, "four_wing": 2.64, "duffing": 1.80,
}  # fmt: skip


def slope_error(rates, states, times):
    """Largest difference between a label's rates and sixth-order differences of a trajectory, over the largest rate."""
    h = times[1] - times[0]
    weights = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
    slopes = sum(w * states[i : len(states) - 6 + i] for i, w in enumerate(weights)) / h
    expected = rates(states[3:-3].T, np.zeros((0, len(states) - 6))).T
    return np.abs(slopes - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", MULTI_DIMENSIONAL)
def test_labels_are_the_equations_of_their_trajectories_and_wrong_ones_are_noticed(name):
    data = windows((name,), 2, 7, starts=1, frames=4001)
    for i in range(2):
        components = data.components[i]
        states = data.states[i, :, :components]
        words = words_of(data.equations[i], components)
        right = compiled(system_of(words), 0)
        assert slope_error(right, states, data.times) < 1e-7
        flipped = [*system_of(words)[:-1], -system_of(words)[-1]]
        assert slope_error(compiled(flipped, 0), states, data.times) > 1e-2
        assert system_words(canonical(system_of(words))) == words


@pytest.mark.parametrize("name", MULTI_DIMENSIONAL)
def test_trajectories_agree_with_an_adaptive_solver(name):
    kind = family(name)
    data = windows((name,), 6, 11, starts=2)
    for i in range(6):
        d = kind.components
        rates = lambda t, u, c=data.constants[i][:, None]: kind.rates(u[:, None], c)[:, 0]  # noqa: E731
        solved = solve_ivp(rates, (0, 6), data.states[i, 0, :d], "DOP853", data.times, rtol=1e-11, atol=1e-12)
        error = np.linalg.norm(solved.y.T - data.states[i, :, :d]) / np.linalg.norm(solved.y)
        assert error < (1e-3 if kind.substeps > 4 else 1e-4)


def test_samples_do_not_depend_on_how_many_there_are_and_single_precision_agrees():
    names = ("prose_lorenz_3d", "prose_sprott_linz_F", "prose_lorenz_96_4d")
    few, many = windows(names, 30, 7), windows(names, 90, 7)
    np.testing.assert_array_equal(few.states, many.states[:30])  # ends within a system whose trajectories may escape
    assert list(few.components[:1]) == [3]
    assert few.states.shape[2] == 4
    few = windows(names, 50, 7)
    single = windows(names, 50, 7, single=True)
    assert single.states.dtype == np.float32
    np.testing.assert_allclose(single.states, few.states, rtol=1e-3, atol=1e-2)
    assert not few.states[0, :, 3].any()


def test_noise_has_exactly_its_share_and_padding_has_none():
    data = windows(("prose_lorenz_3d", "prose_lorenz_96_4d"), 40, 7)
    noise = data.noisy(0.02, 3) - data.states
    share = np.linalg.norm(noise, axis=(1, 2)) / np.linalg.norm(data.states, axis=(1, 2))
    np.testing.assert_allclose(share, 0.02, atol=1e-9)
    assert not noise[:20, :, 3].any()


def test_the_exact_answer_scores_the_floor():
    data = windows(THREE_DIMENSIONAL, 12 * 100, 23, starts=2)
    noisy = with_noise(data.states, data.components, 0.02, np.random.default_rng(29))
    late = slice(GIVEN, None)
    errors = np.linalg.norm(noisy[:, late] - data.states[:, late], axis=(1, 2)) / np.linalg.norm(noisy[:, late], axis=(1, 2))
    found = [100 * errors[data.families == i].mean() for i in range(12)]
    expected = [FLOOR[name.removeprefix("prose_")] for name in THREE_DIMENSIONAL]
    np.testing.assert_allclose(np.mean(found), np.mean(expected), rtol=0.05)
    np.testing.assert_allclose(found, expected, rtol=0.2)  # 100 samples of wide distributions


def test_no_system_of_a_held_out_split_occurs_in_training():
    seen = {}
    for split in SPLITS:
        for name in MULTI_DIMENSIONAL:
            kind = family(name)
            drawn = [kind.draw(np.random.default_rng([31, i]), split) for i in range(60)]
            seen[split, name] = {tuple(row) for row in drawn}
    for name in MULTI_DIMENSIONAL:
        for one in SPLITS:
            for other in SPLITS:
                assert one == other or not seen[one, name] & seen[other, name]
        shares = family(name).split_of(family(name)._drawn(np.random.default_rng(37), 1000))
        assert 0.03 < np.mean(shares == 2) < 0.3  # the test bins are no corner


def test_an_unknown_split_is_refused():
    with pytest.raises(SettingError, match="outside"):
        windows(THREE_DIMENSIONAL, 2, 7, split="tests")
