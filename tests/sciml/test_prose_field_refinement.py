"""Numbers of equations of fields come back, from noise too; what no solver takes is left alone."""

import numpy as np
import pytest

from pdes.field_windows import field_windows
from pdes.field_words import field_words_of
from sciml.operators.prose.field_refinement import beginning, field_model, noise_of, refine_field, without_noise
from sciml.operators.prose.scoring import structure

GIVEN, LENGTH = 16, 2.0


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
    fits = refine_field(shape, data.times[:GIVEN], frames[:, :GIVEN], wrong, data.times[GIVEN:], LENGTH)
    assert np.abs(fits.numbers / true - 1).max() < number
    ahead, truth = fits.fields[:, GIVEN:], data.states[:, GIVEN:]
    assert np.linalg.norm(ahead - truth) < error * np.linalg.norm(truth)
    assert (fits.misfit < 2).all()
    if level:
        assert np.abs(fits.numbers - true).max() < 6 * fits.errors.max()


def test_a_fit_is_never_worse_than_what_it_began_with():
    data, frames, shape, _, wrong = off("prose_burgers", 0.02)
    one, other = (
        refine_field(shape, data.times[:GIVEN], frames[:, :GIVEN], wrong, data.times[GIVEN:], LENGTH, prior=None, iterations=n)
        for n in (0, 6)
    )
    np.testing.assert_array_equal(one.numbers, wrong)
    assert (other.misfit < one.misfit).all()


@pytest.mark.parametrize(
    "words",
    [
        ((("mul", 1.0, "pow2", "u_2"),)),  # highest derivative not linear
        ((("inv", "add", "u_0", "neg", "u_0"),)),
        ((("mul", -1.0, "u_2"),)),  # backward heat: runs away
    ],
)
def test_what_cannot_be_solved_is_left_alone(words):
    words = (words,) if isinstance(words[0], str) else words
    data = field_windows(("prose_heat",), 2, 2, points=32)
    shape = structure(words)
    numbers = np.array([[w for w in words[0] if not isinstance(w, str)]] * 2, float)
    fits = refine_field(shape, data.times[:GIVEN], data.states[:, :GIVEN], numbers, data.times[GIVEN:], LENGTH)
    assert np.isinf(fits.misfit).all() or (fits.misfit > 100).all()
    assert field_model(shape) is None or np.isnan(fits.fields).any() or (fits.misfit > 100).all()
    walls = refine_field((("mul", "<PLACEHOLDER>", "u_2"),), data.times[:GIVEN], data.states[:, :GIVEN], numbers[:, :1],
                         data.times[GIVEN:], None) if numbers.size else None  # fmt: skip
    assert walls is None or np.isinf(walls.misfit).all()


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
