"""Refinement and answers of PROSE: numbers come back from exact data, and what cannot be trusted is not used."""

import numpy as np
import pytest
import sympy

from pdes.canonical import STATES, canonical, expression, system_words
from pdes.vocabulary import words_of
from pdes.windows import MULTI_DIMENSIONAL, family, windows
from sciml.operators.prose.answers import Candidate, Search, candidates_of, settled
from sciml.operators.prose.refinement import equal_numbers, integral_start, model, noise_level, refine
from sciml.operators.prose.scoring import number_errors, prediction_errors, structure, summary, symbolic_error, term_f1
from solvers.errors import DataError, SettingError

GIVEN = 64


def case(name, n=3, seed=11, split="test"):
    data = windows((name,), n, seed, split, starts=1)
    d = int(data.components[0])
    return data, d, model(structure(words_of(data.equations[0].tolist(), d))), np.stack(data.constants)


def shifted(constants, size=0.1, seed=3):
    return constants * (1 + size * np.random.default_rng(seed).uniform(-1, 1, constants.shape))


@pytest.mark.parametrize("name", [name for name in MULTI_DIMENSIONAL if name != "prose_double_pendulum"])
def test_numbers_come_back_from_exact_data(name):
    """Fourteen of fifteen families: not all of the pendulum's fourteen numbers, in two quotients, are told apart."""
    data, d, shape, constants = case(name)
    window = data.states[:, :GIVEN, :d]
    sigma = 1e-6 * np.sqrt((window**2).mean((1, 2)))
    options = {"prior": None, "substeps": family(name).substeps, "iterations": 15}
    fits = refine(shape, data.times[:GIVEN], window, shifted(constants), sigma, **options)
    error = np.abs(fits.constants - constants).max(1) / np.abs(constants).max(1)
    assert np.median(error) < 1e-9
    assert error.max() < 1e-6


@pytest.mark.parametrize("name", ["prose_lorenz_3d", "prose_sprott_linz_F", "prose_fabrikant", "prose_chen_lee"])
@pytest.mark.parametrize("size", [0.1, 3.0])
def test_refinement_never_makes_it_worse_and_is_finite_from_anywhere(name, size):
    data, d, shape, constants = case(name, 6)
    window = data.noisy(0.02, 5)[:, :GIVEN, :d]
    fits = refine(shape, data.times[:GIVEN], window, shifted(constants, size), noise_level(window), prior=0.1, iterations=5)
    assert (fits.chi2 <= fits.start_chi2).all()
    assert np.isfinite(fits.constants).all()
    assert np.isfinite(fits.initial).all()
    assert fits.iterations <= 4 * 5


def test_standard_deviations_are_those_of_the_errors():
    data, d, shape, constants = case("prose_thomas", 40)
    window = data.noisy(0.02, 5)[:, :GIVEN, :d]
    sigma = np.sqrt(((window - data.states[:, :GIVEN, :d]) ** 2).mean((1, 2)))
    fits = refine(shape, data.times[:GIVEN], window, shifted(constants), sigma, prior=None)
    score = (fits.constants - constants) / np.sqrt(np.einsum("npp->np", fits.covariance)[:, d:])
    assert 0.8 < np.sqrt((score**2).mean()) < 1.25
    assert 0.8 < np.median(fits.misfit) < 1.1


def test_noise_is_estimated_without_the_signal():
    data = windows(("prose_thomas", "prose_aizawa", "prose_rossler"), 30, 7, starts=1)
    noisy = data.noisy(0.02, 3)
    found = noise_level(noisy[:, :GIVEN])
    true = np.sqrt(((noisy - data.states) ** 2).mean((1, 2)))
    np.testing.assert_allclose(np.median(found / true), 1.0, atol=0.1)
    assert (found / true).max() < 1.5


def test_integrated_equations_give_the_numbers_that_enter_linearly():
    data, d, shape, constants = case("prose_lorenz_3d")
    found = integral_start(shape, data.times[:GIVEN], data.states[:, :GIVEN, :d], np.ones_like(constants))
    np.testing.assert_allclose(found, constants, rtol=0.2)  # the trapezoidal rule, at 64 frames
    duffing, d, shape, constants = case("prose_duffing")
    inside = [k for k, slot in enumerate(family("prose_duffing").slots) if str(slot) == "omega"]
    found = integral_start(shape, duffing.times[:GIVEN], duffing.states[:, :GIVEN, :d], constants)
    np.testing.assert_array_equal(found[:, inside], constants[:, inside])


def test_equal_numbers_are_found_and_fitted_as_one():
    tie = equal_numbers(np.array([-0.172, 10.1, -9.9, 0.168, 3.0]), 0.1)
    np.testing.assert_array_equal(tie, [[-1, 0, 0], [0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 1, 0]])
    data, d, shape, constants = case("prose_halvorsen", 8)
    window = data.noisy(0.02, 5)[:, :GIVEN, :d]
    sigma, start = noise_level(window), shifted(constants, 0.05)
    tie = equal_numbers(constants[0], 0.05)
    assert tie.shape == (6, 2)
    free = refine(shape, data.times[:GIVEN], window, start, sigma, prior=None)
    tied = refine(shape, data.times[:GIVEN], window, start, sigma, prior=None, tie=tie)
    assert tied.unknowns == d + 2
    np.testing.assert_allclose(np.abs(tied.constants @ np.linalg.pinv(tie).T @ tie.T), np.abs(tied.constants), rtol=1e-12)
    error = lambda fits: np.abs(fits.constants / constants - 1).mean()  # noqa: E731
    assert error(tied) < 0.5 * error(free)
    assert (np.einsum("npp->np", tied.covariance) <= 1.01 * np.einsum("npp->np", free.covariance))[:, d:].mean() > 0.9


def test_shapes_are_checked():
    data, d, shape, constants = case("prose_thomas")
    with pytest.raises(DataError, match="Reshape"):
        refine(shape, data.times[:GIVEN], data.states[:, : GIVEN - 1, :d], constants, np.ones(3))


# -- answers --------------------------------------------------------------------------------------------------------------


def answers(name, candidates_for, n=4, search=None, level=0.02):
    data, d, _, _ = case(name, n)
    noisy = data.noisy(level, 5)[:, :, :d]
    truth = [tuple(words_of(row.tolist(), d)) for row in data.equations]
    head = [np.zeros((192 - GIVEN, d)) for _ in range(n)]
    decoded = [candidates_for(words) for words in truth]
    found = settled(
        data.times[:GIVEN], data.times[GIVEN:], list(noisy[:, :GIVEN]), head, decoded, search or Search()
    )  # fmt: skip
    return data, truth, found


def perturbed(words, size=0.08):
    rng = np.random.default_rng(6)
    return tuple(tuple(w if isinstance(w, str) else w * (1 + size * rng.uniform(-1, 1)) for w in each) for each in words)


def test_the_right_structure_wins_against_others_and_forecasts_with_a_band():
    def candidates(words):
        more = [*map(expression, words)]
        more[0] += STATES[2]
        less = [*map(expression, words)]
        less[2] = sympy.Add(*sympy.Add.make_args(less[2])[1:])
        made = [tuple(system_words(canonical(system))) for system in (less, more)]
        return [Candidate(made[0], -0.1), Candidate(made[1], -0.2), Candidate(perturbed(words), -1.0)]

    data, truth, found = answers("prose_lorenz_3d", candidates)
    for i, answer in enumerate(found):
        assert answer.path == "refined"
        assert structure(answer.words) == structure(truth[i])
        assert np.median(number_errors(answer.words, truth[i])) < 0.02
        exact = data.states[i, GIVEN:]
        error = prediction_errors(answer.forecast[None], exact[None], data.times[GIVEN:])["[2,6]"][0]
        assert error < 0.05
        assert (answer.low <= answer.high).all()
        assert answer.probabilities[0] > 0.5
        assert answer.latex.count(r"\dot{u}") == 3
        assert (answer.errors > 0).all()
    inside = [((a.low <= s[GIVEN:]) & (s[GIVEN:] <= a.high)).mean() for a, s in zip(found, data.states, strict=True)]
    assert 0.6 < np.mean(inside) <= 1


def test_a_wrong_structure_is_not_believed_and_the_decoder_answers():
    wrong = lambda words: [Candidate((("u_1",), ("u_2",), ("neg", "u_0")), -0.1)]  # noqa: E731
    _, _, found = answers("prose_lorenz_3d", wrong)
    assert all(answer.path == "decoder" and answer.misfit > 2 for answer in found)
    assert all(not answer.forecast.any() and answer.low is None for answer in found)
    _, _, nothing = answers("prose_lorenz_3d", lambda words: [])
    assert all(answer.path == "decoder" and answer.system == [] for answer in nothing)


def test_a_solution_that_escapes_is_not_used():
    """u' = u^2 from a window that it explains, whose pole lies before the last time that is asked for."""
    times = np.linspace(0, 2, 41)
    window = (1 / (2.5 - times))[:, None]
    asked = np.linspace(2.1, 3, 10)
    candidate = Candidate((("mul", 1.0, "pow2", "u_0"),), -0.1)
    (answer,) = settled(times, asked, [window], [np.full((10, 1), 3.0)], [[candidate]], Search(sigma=1e-3))
    assert answer.misfit < 2
    assert answer.path == "decoder"
    assert (answer.forecast == 3.0).all()


def test_candidates_are_canonical_and_one_of_each_structure():
    from pdes.vocabulary import EOS, ID, ids_of

    rows = [
        [*ids_of(["mul", "u_0", 2.0]), ID[EOS]],
        [*ids_of(["mul", 3.0, "u_0"]), ID[EOS]],
        [*ids_of(["inv", "sub", "u_0", "u_0"]), ID[EOS]],
        [*ids_of(["u_0"])],
    ]
    width = max(map(len, rows))
    padded = np.array([row + [0] * (width - len(row)) for row in rows])
    found = candidates_of(padded, np.array([-2.0, -1.0, -0.5, -0.2]), lambda row: words_of(row, 1))
    assert [c.words for c in found] == [(("mul", 3.0, "u_0"),)]
    with pytest.raises(SettingError, match="level"):
        Search(level=1.5)


# -- scores ---------------------------------------------------------------------------------------------------------------


def test_scores_of_known_cases():
    truth = [("mul", 2.0, "u_0"), ("u_1",)]
    assert symbolic_error(truth, truth) == 0
    assert symbolic_error([("mul", 2.02, "u_0"), ("u_1",)], truth) == pytest.approx(0.01 * 2 / np.sqrt(5), rel=0.02)
    assert symbolic_error([("inv", "sub", "u_0", "u_0"), ("u_1",)], truth) == np.inf
    np.testing.assert_allclose(number_errors([("mul", 2.2, "u_0"), ("u_1",)], truth), [0.1])
    assert number_errors([("u_0",), ("u_1",)], truth).size == 0
    assert term_f1(truth, truth) == 1
    assert term_f1([("add", "u_0", "mul", 3.0, "u_1"), ("u_1",)], truth) == pytest.approx(2 * 1 / (3 + 2))
    times = np.linspace(2, 6, 9)
    u = np.ones((1, 9, 2))
    assert prediction_errors(1.1 * u, u, times)["[2,6]"] == pytest.approx([0.1])
    assert prediction_errors(np.nan * u, u, times)["[2,4]"] == [1.0]
    row = summary(
        [{"error": 0.1, "exact": True, "numbers": np.array([0.1])}, {"error": np.inf, "exact": False, "numbers": np.zeros(0)}]
    )
    assert row["valid"] == 0.5
    assert row["symbolic"] == 0.1
    assert row["symbolic_all"] == pytest.approx(0.55)
