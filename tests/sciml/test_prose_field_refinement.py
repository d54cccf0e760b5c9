"""Numbers of equations of fields come back, from noise too; what no solver takes is left alone."""

import numpy as np
import pytest

from pdes.field_windows import field_windows
from pdes.field_words import field_words_of
from sciml.operators.prose.field_refinement import beginning, field_model, noise_of, refine_field, without_noise
from sciml.operators.prose.scoring import structure
from solvers.grid import Axis

GIVEN = 16


def axis(data):
    return data.grid.axes[0]


def off(name, level, points=64):
    """Windows of a family with noise, their structure, and true and wrong numbers."""
    data = field_windows((name,), 3, 2, points=points)
    shape = structure(field_words_of(data.equations[0].tolist()))
    true = np.stack(data.constants)
    wrong = true * (1 + 0.05 * np.random.default_rng(0).standard_normal(true.shape))
    return data, data.noisy(level, 3), shape, true, wrong


@pytest.mark.parametrize(
    ("name", "level", "number", "error"),
    [
        ("prose_heat", 0.0, 1e-4, 1e-4),
        ("prose_advection", 0.0, 1e-4, 1e-4),
        ("prose_wave", 0.0, 1e-3, 1e-3),
        ("diffusion_bistable", 0.0, 0.01, 1e-3),
        ("prose_advection", 0.02, 0.01, 0.02),
        ("prose_wave", 0.02, 0.05, 0.03),
        ("cubic_flux_inviscid", 0.0, 0.02, 0.1),
    ],
)
def test_numbers_come_back_and_the_solution_goes_on(name, level, number, error):
    data, frames, shape, true, wrong = off(name, level)
    fits = refine_field(shape, data.times[:GIVEN], frames[:, :GIVEN], wrong, data.times[GIVEN:], axis(data))
    assert np.abs(fits.numbers / true - 1).max() < number
    ahead, truth = fits.fields[:, GIVEN:], data.states[:, GIVEN:]
    assert np.linalg.norm(ahead - truth) < error * np.linalg.norm(truth)
    assert (fits.misfit < 2).all()
    if level:
        assert np.abs(fits.numbers - true).max() < 6 * fits.errors.max()


def test_a_fit_is_never_worse_than_what_it_began_with():
    data, frames, shape, _, wrong = off("prose_burgers", 0.02)
    one, other = (
        refine_field(
            shape, data.times[:GIVEN], frames[:, :GIVEN], wrong, data.times[GIVEN:], axis(data), prior=None, iterations=n
        )
        for n in (0, 6)
    )
    np.testing.assert_array_equal(one.numbers, wrong)
    assert (other.misfit < one.misfit).all()


@pytest.mark.parametrize(
    "words",
    [
        ("mul", "<PLACEHOLDER>", "pow2", "u_2"),  # the highest derivative is not linear
        ("inv", "add", "u_0", "neg", "u_0"),  # nowhere finite
    ],
)
def test_what_no_solver_takes_is_left_alone(words):
    data = field_windows(("prose_heat",), 2, 2, points=32)
    numbers = np.full((2, sum(w == "<PLACEHOLDER>" for w in words)), 0.5)
    assert field_model((words,)) is None
    fits = refine_field((words,), data.times[:GIVEN], data.states[:, :GIVEN], numbers, data.times[GIVEN:], axis(data))
    np.testing.assert_array_equal(fits.numbers, numbers)
    assert np.isinf(fits.misfit).all()
    assert np.isinf(fits.left).all()
    assert np.isnan(fits.fields).all()


def test_what_runs_away_and_other_lines_are_left_alone():
    data = field_windows(("prose_heat",), 2, 2, points=32)
    shape, numbers = (("mul", "<PLACEHOLDER>", "u_2"),), np.full((2, 1), -1.0)
    backward = refine_field(shape, data.times[:GIVEN], data.states[:, :GIVEN], numbers, data.times[GIVEN:], axis(data))
    assert np.isinf(backward.misfit).all()
    assert np.isnan(backward.fields).all()
    for line in (None, Axis("x", 32, 0.0, 2.0, "node", ("neumann", "neumann"))):
        walls = refine_field(shape, data.times[:GIVEN], data.states[:, :GIVEN], -numbers, data.times[GIVEN:], line)
        assert np.isinf(walls.misfit).all()


def test_places_are_those_of_the_axis():
    """u_t = c cos(pi x) u on [-0.7, 1.3]: u(t) = u(0) exp(c t cos(pi x))."""
    line = Axis("x", 64, -0.7, 1.3)
    x, times = line.coordinates(), np.linspace(0, 1, GIVEN)
    shape = (("mul", "<PLACEHOLDER>", "mul", "u_0", "cos", "mul", "<PLACEHOLDER>", "u_6"),)
    exact = np.exp(0.5 * times[:, None] * np.cos(np.pi * x))[None]
    found = field_model(shape).solve(exact[:, 0], 0 * exact[:, 0], np.array([[0.5, np.pi]]), times, line)
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_noise_that_is_known_counts():
    data, frames, shape, _, wrong = off("prose_heat", 0.02)
    one, other = (
        refine_field(shape, data.times[:GIVEN], frames[:, :GIVEN], wrong, data.times[GIVEN:], axis(data), sigma=sigma)
        for sigma in (0.01, 0.1)
    )
    assert (one.misfit > 10 * other.misfit).all()  # not a hundred times: the first frame is smoothed more


def test_noise_is_measured_and_taken_out():
    rng = np.random.default_rng(1)
    x = np.arange(128) / 64
    clean = np.stack([[np.sin(np.pi * x + 0.1 * k) + 0.3 * np.cos(2 * np.pi * x) for k in range(GIVEN)]])
    noisy = clean + 0.05 * rng.standard_normal(clean.shape)
    assert noise_of(noisy)[0] == pytest.approx(0.05, rel=0.15)
    assert noise_of(clean)[0] < 1e-12
    again = without_noise(noisy, noise_of(noisy))
    assert np.linalg.norm(again - clean) < 0.35 * np.linalg.norm(noisy - clean)
    start, rate = beginning(np.linspace(0, 1, GIVEN), clean, np.zeros(1))
    np.testing.assert_allclose(start, clean[:, 0], atol=1e-12)
    true = 0.1 * 15 * np.cos(np.pi * x)
    assert np.linalg.norm(rate[0] - true) < 0.05 * np.linalg.norm(true)
