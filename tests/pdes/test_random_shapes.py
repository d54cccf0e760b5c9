"""Shapes: the same function at every resolution, in the ranges and with the spectra that they promise."""

import numpy as np
import pytest

import pdes
from pdes import Box, Periodic, blobs, fourier_series, level, mapped, multiscale, peaks, turbulence
from solvers.errors import SettingError
from solvers.incompressible import velocity

TORUS = Periodic(x=(0, 2 * np.pi), y=(0, 2 * np.pi))
SQUARE = Box(x=(0, 1), y=(0, 1), kind="node")
LAWS = {
    "mapped": (mapped(fourier_series(3, maximum=1), scale=0.5, offset=0.2, low=0.0, high=0.6), TORUS),
    "blobs": (blobs(5, background=1.0), TORUS),
    "level": (level(0.1, 0.2), TORUS),
    "turbulence": (turbulence(6, modes=16), TORUS),
    "multiscale": (multiscale(4), SQUARE),
    "peaks": (peaks(5), SQUARE),
}


@pytest.mark.parametrize("name", LAWS)
def test_two_resolutions_are_one_function(name):
    law, domain = LAWS[name]
    law = law.on(domain)
    latents = np.stack([law.sample(np.random.default_rng(7 + i)) for i in range(3)])
    coarse, fine = (33, 65) if domain is SQUARE else (48, 96)
    a, b = (law.evaluate(latents, domain.grid(n)) for n in (coarse, fine))
    np.testing.assert_allclose(a, b[..., ::2, ::2], atol=1e-10)
    np.testing.assert_allclose(a[1], law.evaluate(latents[1], domain.grid(coarse)), atol=1e-12)
    assert law.law.startswith(name)


def test_cuts_and_levels():
    law, domain = LAWS["mapped"]
    values = law.on(domain).evaluate(law.on(domain).sample(np.random.default_rng(7)), domain.grid(64))
    assert (values.min(), values.max()) == (0.0, 0.6)
    draws = [level(0.1, 0.2).sample(np.random.default_rng(i))[0] for i in range(200)]
    assert 0.1 <= min(draws) < 0.105
    assert 0.195 < max(draws) < 0.2


def test_blobs_are_periodic_and_far_away_is_the_background():
    law = blobs(1, height=(2.0, 2.0), width=(0.05, 0.05), background=-1.0).on(TORUS)
    latent = law.sample(np.random.default_rng(7))
    latent[:2, 0] = 0.0, 2 * np.pi - 0.1
    values = law.evaluate(latent, TORUS.grid(64))
    assert values[32, 32] == pytest.approx(-1.0)
    assert values[0, 0] == pytest.approx(-1 + 2 * np.exp(-0.5 * (0.1 / (0.05 * 2 * np.pi)) ** 2))
    assert values[-1, 0] == pytest.approx(values[1, 0])


def test_turbulence_has_unit_energy_and_its_spectrum():
    law = turbulence(6, modes=31).on(TORUS)
    grid = TORUS.grid(64)
    fields = np.stack([law.evaluate(law.sample(np.random.default_rng(i)), grid) for i in range(40)])
    u, v = velocity(fields, grid)
    np.testing.assert_allclose((u**2 + v**2).mean((1, 2)) / 2, 0.5, rtol=1e-12)
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(0)
    k = np.fft.fftfreq(64, 1 / 64)
    k = np.sqrt(k[:, None] ** 2 + k[None] ** 2)
    stream = np.where(k > 0, power / np.maximum(k, 1) ** 4, 0)
    ratio = [stream[(k > a) & (k < a + 1)].mean() for a in (2, 5, 11)]
    expected = [np.mean(1 / (q * (1 + (q / 6) ** 4))) for q in (k[(k > a) & (k < a + 1)] for a in (2, 5, 11))]
    np.testing.assert_allclose(np.divide(ratio, ratio[0]), np.divide(expected, expected[0]), rtol=0.15)


def test_multiscale_contrast_and_two_values():
    law = multiscale(6).on(SQUARE)
    a = law.evaluate(law.sample(np.random.default_rng(7)), SQUARE.grid(257))
    assert a.min() > 0
    assert 1e2 < a.max() / a.min() < 5.4e5
    law = peaks(5, above=1.0, below=0.1).on(SQUARE)
    values = law.evaluate(np.stack([law.sample(np.random.default_rng(i)) for i in range(20)]), SQUARE.grid(65))
    assert set(np.unique(values)) == {0.1, 1.0}
    assert 0.2 < (values == 1.0).mean() < 0.6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mapped(level(0, 1), low=1.0, high=0.0), "low < high"),
        (lambda: level(1, 1), "low < high"),
        (lambda: blobs(0), "count >= 1"),
        (lambda: turbulence().on(Periodic(x=(0, 1))), "a periodic square"),
    ],
)
def test_bad_laws_are_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_they_are_public():
    assert {"mapped", "blobs", "level", "turbulence", "multiscale", "peaks"} <= set(pdes.__all__)
