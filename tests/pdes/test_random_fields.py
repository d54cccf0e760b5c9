"""Random fields: their law, their independence of the grid, and their keys."""

import numpy as np
import pytest

from pdes import Box, Periodic, choice, constant, fixed, fourier_series, grf, lognormal, loguniform, threshold, uniform
from pdes.random_fields import _matrix
from pdes.randomness import generator
from solvers.errors import SettingError

LINE, TORUS, SQUARE = Periodic(x=(0, 1)), Periodic(x=(0, 1), y=(0, 1)), Box(x=(0, 1), y=(0, 1))


@pytest.mark.parametrize(
    ("law", "domain", "rms"),
    [  # pointwise rms of laws in circulation; they depend on nothing but the formula
        (grf(5, 2, sigma=25), LINE, 0.594),
        (grf(7, 2.5, sigma=49), LINE, 0.274),
        (grf(5, 4, sigma=625), LINE, 0.214),
        (grf(7, 2.5), TORUS, 0.185),
        (grf(3, 2, basis="neumann"), SQUARE, 0.292),
    ],
)
def test_variance_of_known_laws(law, domain, rms):
    assert abs(law.on(domain).variance ** 0.5 - rms) < 6e-4


@pytest.mark.parametrize("basis", ["periodic", "neumann", "dirichlet"])
def test_sampled_variance_within_one_percent(basis):
    domain = Periodic(x=(0, 2)) if basis == "periodic" else Box(x=(0, 2), boundary=basis)
    law, rng = grf(4, 2, modes=40).on(domain), generator("variance", basis)
    values = law.evaluate(np.stack([law.sample(rng) for _ in range(10_000)]), domain.grid(256))
    assert abs(values.var() / law.variance - 1) < 0.01
    k = np.pi * (2 if basis == "periodic" else 1) * np.arange(1, 41) / 2
    series = (2 if basis == "periodic" else 1) * np.sum(law.amplitude**2 * (k**2 + 16) ** -2.0) / 2
    assert abs(law.variance / series - 1) < 1e-12


@pytest.mark.parametrize("kind", ["periodic", "cell", "node", "interior"])
@pytest.mark.parametrize("n", [3, 7, 16, 63])
@pytest.mark.parametrize("basis", ["neumann", "dirichlet"])
def test_fast_transforms_equal_the_sum_of_modes(kind, n, basis):
    basis = "periodic" if kind == "periodic" else basis
    domain = Periodic(x=(-1, 2)) if kind == "periodic" else Box(x=(-1, 2), kind=kind)
    law = grf(3, 2, basis=basis, modes=13).on(domain)
    latent, grid = law.sample(generator("sum", n)), domain.grid(n)
    np.testing.assert_allclose(
        law.evaluate(latent, grid), _matrix(grid.coordinates()[0], basis, 13, (-1, 2)) @ latent, atol=1e-12
    )


@pytest.mark.parametrize(
    ("domain", "factor", "first"), [(TORUS, 4, 0), (SQUARE, 3, 1), (Box(x=(0, 1), y=(0, 1), boundary="neumann"), 3, 1)]
)
@pytest.mark.parametrize("make", [lambda: grf(3, 2), lambda: lognormal(grf(3, 2)), lambda: fourier_series(4, maximum=1.0)])
def test_two_resolutions_agree_at_common_points(domain, factor, first, make):
    law = make().on(domain)
    latent = law.sample(generator("common", 7))
    coarse, fine = law.evaluate(latent, domain.grid(16)), law.evaluate(latent, domain.grid(16 * factor))
    np.testing.assert_allclose(coarse, fine[first::factor, first::factor], atol=1e-12)


def test_batches_evaluate_like_single_samples():
    for law in (
        grf(3, 2).on(SQUARE),
        fourier_series(3).on(TORUS),
        threshold(grf(3, 2, basis="neumann")).on(SQUARE),
        constant(2.0).on(SQUARE),
    ):
        domain = TORUS if "fourier" in law.law else SQUARE
        latents = np.stack([law.sample(generator("batch", i)) for i in range(5)])
        together = law.evaluate(latents, domain.grid(12))
        assert together.shape == (5, 12, 12)
        np.testing.assert_array_equal(together[3], law.evaluate(latents[3], domain.grid(12)))


def test_threshold_takes_two_values_and_lognormal_is_positive():
    law = threshold(grf(3, 2, basis="neumann")).on(SQUARE)
    values = law.evaluate(law.sample(generator("two", 5)), SQUARE.grid(64))
    assert set(np.unique(values)) == {3.0, 12.0}
    assert values.dtype == np.float64
    positive = lognormal(grf(3, 2), scale=2.0).on(SQUARE)
    latent = positive.sample(generator("two", 5))
    np.testing.assert_allclose(
        np.log(positive.evaluate(latent, SQUARE.grid(8)) / 2), positive.field.evaluate(latent, SQUARE.grid(8)), atol=1e-13
    )


def test_fourier_series_is_bounded_periodic_and_has_mean_zero():
    law = fourier_series(5, maximum=1.0).on(LINE)
    values = law.evaluate(np.stack([law.sample(generator("series", i)) for i in range(50)]), LINE.grid(4096))
    assert np.all(np.abs(np.abs(values).max(axis=1) - 1) < 2e-3)
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-13)
    assert np.abs(np.fft.rfft(values)[:, 6:]).max() < 1e-9


def test_scalar_laws_stay_in_range_and_say_what_they_are():
    rng = generator("scalars")
    assert all(0.1 <= loguniform(0.1, 10).sample(rng) <= 10 for _ in range(100))
    logs = np.log([loguniform(1e-3, 1).sample(rng) for _ in range(4000)])
    assert abs(logs.mean() - np.log(1e-3) / 2) < 0.15
    assert {choice(1, 2, 5).sample(rng) for _ in range(60)} == {1.0, 2.0, 5.0}
    assert (fixed(3).law, uniform(0, 1).law, choice(1, 2).law) == ("fixed(3)", "uniform(0, 1)", "choice(1, 2)")
    with pytest.raises(SettingError, match="0 < low < high"):
        loguniform(0, 1)
    with pytest.raises(SettingError, match="low < high"):
        uniform(2, 1)


def test_streams_have_names_and_no_memory():
    first = generator("a", 7, "purpose").standard_normal(4)
    generator("b", 7, "purpose").standard_normal(1000)
    np.testing.assert_array_equal(first, generator("a", 7, "purpose").standard_normal(4))
    others = [
        generator(*name).standard_normal(4) for name in (("a", 8, "purpose"), ("a", 7, "other"), ("b", 7, "purpose"), ("a", 7))
    ]
    assert all(np.abs(first - other).max() > 1e-3 for other in others)


def test_first_stream_is_what_it_was():
    # Changing this number changes every dataset: raise STREAM_VERSION then, and say so in the changelog.
    assert generator("darcy", "train", 7, 3, "inputs.a", 0).standard_normal() == 0.718962461953932


@pytest.mark.parametrize(
    ("call", "message"), [(lambda: grf(3, 2, basis="cosine"), "one of"), (lambda: grf(3, -1), "alpha > 0")]
)
def test_bad_laws_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
