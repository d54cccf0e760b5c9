"""Equation recovery: sparse regression, the weak form, noise, bad recordings."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sciml.recovery.features import Features, library, polynomials
from sciml.recovery.series import LEAST_POINTS, differences, record
from sciml.recovery.sparse import best_subsets, stlsq, subsets_with_one
from sciml.recovery.weak import WeakForm, weak_fit, weak_systems
from solvers.errors import DataError, SettingError


def lorenz(times):
    def rates(t, v):
        return [10 * (v[1] - v[0]), 28 * v[0] - v[1] - v[0] * v[2], v[0] * v[1] - 8 / 3 * v[2]]

    found = solve_ivp(rates, (times[0], times[-1]), [2.3, 8.1, 12.4], "DOP853", times, rtol=1e-11, atol=1e-12)
    return found.y.T


def sparse_problem(seed=5):
    rng = np.random.default_rng(seed)
    G, xi = rng.standard_normal((400, 50)), np.zeros(50)
    xi[[3, 11, 20, 33, 47]] = [1.0, -2.0, 0.5, 3.0, -0.7]
    y = G @ xi
    return G, y + 1e-3 * y.std() * rng.standard_normal(400), xi


def test_thresholded_least_squares_finds_the_support():
    G, y, xi = sparse_problem()
    found = stlsq(G, y, 0.1)
    np.testing.assert_array_equal(found != 0, xi != 0)
    np.testing.assert_allclose(found, xi, atol=1e-3)


def test_without_a_threshold_it_is_least_squares_and_with_a_huge_one_nothing():
    G, y, _ = sparse_problem()
    np.testing.assert_allclose(stlsq(G, y, 0.0), np.linalg.lstsq(G, y, rcond=None)[0], rtol=1e-12)
    assert not stlsq(G, y, 1e6).any()


def test_best_subsets_agree_with_an_exhaustive_search():
    import itertools

    rng = np.random.default_rng(8)
    G, y = rng.standard_normal((40, 9)) @ rng.standard_normal((9, 9)), rng.standard_normal(40)
    for size in (1, 2, 3):
        best = min(itertools.combinations(range(9), size), key=lambda c: np.linalg.lstsq(G[:, c], y, rcond=None)[1][0])
        found = next(one for one in best_subsets(G, y, 3, keep=1) if len(one.columns) == size)
        assert found.columns == best
    one = subsets_with_one(G, y, np.arange(5), np.array([7]), 2)
    assert all(7 in s.columns and len(s.columns) <= 3 for s in one)


@pytest.mark.parametrize("irregular", [False, True])
def test_weak_form_converges_at_fourth_order_or_better(irregular):
    def error(n):
        t = np.linspace(0, 2, n + 1)
        t = t + 0.3 * (2 / n) * np.sin(9 * t) * irregular * (t > 0) * (t < 2)
        x = np.exp(-0.8 * t)[:, None] + 0.3
        found = weak_fit(t, x, lambda s: np.concatenate([np.ones_like(s), s], 1), 0.6)
        return np.abs(found[:, 0] - [0.24, -0.8]).max()

    order = np.log2(error(40) / error(320)) / 3
    assert order > 3.7
    assert order < 6.5


def test_weak_form_is_exact_for_cubics_in_time_up_to_the_quadrature_of_the_test_function():
    for points, error in ((41, 5e-6), (161, 1e-9)):
        t = np.linspace(0, 1, points)
        x = np.stack([1 + t**2, t], 1)  # x0' = 2 x1, x1' = 1
        found = weak_fit(t, x, lambda s: np.concatenate([np.ones((len(s), 1)), s], 1), 0.25)
        np.testing.assert_allclose(found[:, 1], [1, 0, 0], atol=error)


def test_weak_form_knows_no_origin_of_time_and_scales_with_it():
    t = np.linspace(0, 4, 81)
    x = np.cos(t)[:, None] + 2

    def theta(s):
        return np.concatenate([np.ones_like(s), s, s**2], 1)

    found = weak_fit(t, x, theta, 0.8)
    np.testing.assert_allclose(weak_fit(t + 100, x, theta, 0.8), found, rtol=1e-6)
    np.testing.assert_allclose(weak_fit(3 * t, x, theta, 2.4) * 3, found, rtol=1e-8)


def test_lorenz_without_noise_is_found_to_four_digits():
    t = np.linspace(0, 10, 1001)
    F = Features(polynomials(3, 2), 3)
    recording = record(t, lorenz(t))
    systems = weak_systems(recording.trajectories, lambda x, u: F(x))
    names = F.names()
    for system, truth in zip(
        systems, ({"x0": -10, "x1": 10}, {"x0": 28, "x1": -1, "x0*x2": -1}, {"x2": -8 / 3, "x0*x1": 1}), strict=True
    ):
        best = min(best_subsets(system.G, system.y, 5, keep=1), key=lambda one: one.bic(20 * np.log(one.rows)))
        assert {names[k] for k in best.columns} == set(truth)
        np.testing.assert_allclose(best.values, [truth[names[k]] for k in best.columns], rtol=1e-3)


def test_several_trajectories_are_stacked():
    t = np.linspace(0, 4, 301)
    parts = [(t[:200], 0.5), (t[60::2], 2.0)]
    F = Features(polynomials(1, 2), 1)
    solve = lambda t, a: 1 / (1 + (1 / a - 1) * np.exp(-t))  # noqa: E731  (logistic growth)
    apart = [weak_systems(record(t, solve(t, a)).trajectories, lambda x, u: F(x))[0] for t, a in parts]
    both = record([t for t, _ in parts], [solve(t, a) for t, a in parts])
    together = weak_systems(both.trajectories, lambda x, u: F(x))[0]
    assert together.G.shape[0] == sum(one.G.shape[0] for one in apart)
    xi = np.linalg.lstsq(together.G, together.y, rcond=None)[0]
    np.testing.assert_allclose(xi, [0, 1, -1], atol=1e-4)


def test_whitened_rows_have_unit_noise():
    t = np.sort(np.random.default_rng(2).uniform(0, 10, 300))
    form = WeakForm(t, (0.5, 1.0))
    white = form.whitening(np.full(300, 0.3))
    draws = white @ form.plain @ (0.3 * np.random.default_rng(3).standard_normal((300, 400)))
    np.testing.assert_allclose(draws.std(axis=1).mean(), 1.0, rtol=0.05)
    assert np.abs(np.cov(draws) - np.eye(len(draws))).mean() < 0.1


@pytest.mark.parametrize(("kind", "share"), [("additive", 0.0), ("proportional", 0.5)])
def test_noise_is_measured_and_its_kind_told(kind, share):
    t = np.linspace(0, 10, 512)
    x = lorenz(t)
    rng = np.random.default_rng(7)
    sigma = 0.05 * np.sqrt(np.mean(x**2, axis=0))
    noise = sigma if kind == "additive" else 0.05 * np.abs(x)
    recording = record(t, x + noise * rng.standard_normal(x.shape))
    np.testing.assert_allclose(recording.sigma, sigma, rtol=0.2)
    assert np.all((recording.shares >= share) if share else (recording.shares < 0.9))
    smooth = recording.trajectories[0].smooth
    assert np.sqrt(np.mean((smooth - x) ** 2)) < 0.75 * np.sqrt(np.mean(sigma**2))


def test_differences_leave_out_polynomials_and_keep_noise():
    t = np.sort(np.random.default_rng(4).uniform(0, 1, 4000))
    assert np.abs(differences(t, (t**3 - t)[:, None])).max() < 1e-6
    assert 0.9 < differences(t, np.random.default_rng(5).standard_normal((4000, 1))).std() < 1.1


@pytest.mark.parametrize("names", [("poly:3",), ("poly:3", "trig"), ("poly:2", "rational", "exp")])
def test_libraries_have_cross_terms_unique_names_and_right_slopes(names):
    rng = np.random.default_rng(6)
    states = rng.uniform(0.5, 2, (50, 2))
    F = Features(library(names, states), 2)
    assert {"1", "x0", "x1", "x0*x1"} <= set(F.names())
    assert len(set(F.names())) == len(F)
    values, by_state, by_constant = F.with_slopes(states, None, F.starts)
    np.testing.assert_allclose(values, F(states))
    h = 1e-6
    for i in range(2):
        step = np.eye(2)[i] * h
        np.testing.assert_allclose(by_state[..., i], (F(states + step) - F(states - step)) / (2 * h), rtol=1e-4, atol=1e-5)
    for k in range(len(F.starts)):
        step = np.eye(len(F.starts))[k] * h * abs(F.starts[k])
        slope = (F(states, None, F.starts + step) - F(states, None, F.starts - step)) / (2 * step[k])
        np.testing.assert_allclose(by_constant[:, k], slope[:, F.owners[k]], rtol=1e-3, atol=1e-5)


def test_an_unknown_library_is_named():
    with pytest.raises(SettingError, match="fourier"):
        library(("fourier",), np.ones((3, 1)))


T = np.linspace(0, 1, 30)


@pytest.mark.parametrize(
    ("t", "x", "message"),
    [
        (T[:2], T[:2], f"2 usable points. Needed at least {LEAST_POINTS}"),
        (T, np.ones(30), "same value"),
        (T[::-1], T, "goes back"),
        ([T, T[:5]], [T**2, T[:5]], "trajectory 1 of 5 usable points"),
        (T, np.full(30, np.nan), "0 usable"),
        (T, np.append(T[:-1], np.inf), "infinite"),
        (T, T[:-1], r"times \(30,\), states \(29, 1\)"),
        (T, ["a"] * 30, "arrays of numbers"),
        ([T, T], [np.stack([T, T**2], 1), T], "same in all"),
    ],
)
def test_bad_recordings_are_refused(t, x, message):
    with pytest.raises(DataError, match=message):
        record(t, x)


def test_gaps_and_repeated_times_are_mended_and_noted():
    x = T**2
    x[4] = np.nan
    recording = record(np.append(T, T[-1]), np.append(x, x[-1] + 0.2))
    one = recording.trajectories[0]
    assert len(one.t) == 29
    assert one.x[-1, 0] == pytest.approx(x[-1] + 0.1)
    assert any("gaps" in note for note in recording.notes)
    assert any("repeated" in note for note in recording.notes)


def test_a_million_points_are_cut_to_pieces():
    t = np.linspace(0, 1e4, 1_000_000)
    recording = record(t, np.cos(t))
    assert sum(len(one.t) for one in recording.trajectories) <= 8000
    assert "pieces" in recording.notes[0]
