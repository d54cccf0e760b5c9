"""Random systems: their words are canonical and say what was solved, and they stay bounded and move."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pdes.canonical import canonical, system_of, system_words
from pdes.compositional import LIMIT, REST, compositional, joined, random_system
from pdes.vocabulary import words_of
from pdes.windows import compiled, windows
from solvers.errors import DataError, SettingError


@pytest.fixture(scope="module")
def data():
    return compositional(40, 7)


def test_words_are_canonical_and_say_what_was_solved(data):
    for i in range(0, 40, 2):
        d = int(data.components[i])
        words = words_of(data.equations[i].tolist(), d)
        assert system_words(canonical(system_of(words))) == words
        rates = compiled(system_of(words), 0)
        f = lambda t, u, rates=rates: rates(u[:, None], np.zeros((0, 1)))[:, 0]  # noqa: E731
        solved = solve_ivp(f, (0, 6), data.states[i, 0, :d], "DOP853", data.times, rtol=1e-10, atol=1e-12)
        error = np.linalg.norm(solved.y.T - data.states[i, :, :d]) / np.linalg.norm(solved.y)
        assert error < 1e-3
        other = [-system_of(words)[0], *system_of(words)[1:]]
        wrong = compiled(other, 0)(data.states[i, :1, :d].T, np.zeros((0, 1)))
        assert not np.allclose(wrong, rates(data.states[i, :1, :d].T, np.zeros((0, 1))))


def test_they_stay_bounded_and_move_and_differ(data):
    assert np.abs(data.states).max() <= LIMIT
    assert (np.ptp(data.states[:, 144:], axis=1).max(1) > REST).all()
    assert len({tuple(row) for row in data.equations}) == 40
    assert sorted(set(data.components)) == [1, 2, 3, 4]
    few = compositional(12, 7)
    np.testing.assert_array_equal(few.states, data.states[:12])


def test_a_repeated_term_is_one_term():
    for seed in range(200):
        system, weights, _ = random_system(np.random.default_rng(seed), 2)
        for component, row in zip(system, weights, strict=True):
            assert len({term.body for term in component.terms}) == len(component.terms) == np.count_nonzero(row)


def test_joined_windows_keep_their_labels(data):
    named = windows(("prose_thomas",), 20, 3, starts=2)
    both = joined(named, data, seed=5)
    assert len(both) == 60
    assert both.names == ("prose_thomas", "compositional")
    thomas = np.flatnonzero(both.families == 0)
    assert len(thomas) == 20
    assert (both.components[thomas] == 3).all()
    assert not both.states[thomas, :, 3].any()
    found = {tuple(words_of(both.equations[i].tolist(), 3)) for i in thomas}
    assert found == {tuple(words_of(row.tolist(), 3)) for row in named.equations}
    with pytest.raises(DataError, match="same times"):
        joined(named, compositional(4, 7, end=3.0))


def test_wrong_dimensions_are_refused():
    with pytest.raises(SettingError, match="1 to 8"):
        compositional(4, 7, components=(0, 2))
