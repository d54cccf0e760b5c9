"""Profiles between 0 and 1: the same function at every resolution, their range, corners and windows, jumps in order."""

import numpy as np
import pytest

from pdes import Box, Periodic
from pdes.coarsen import refine, restrict
from pdes.random_profiles import hill, jumps, sines
from solvers.errors import SettingError

LINE, OPEN = Periodic(x=(0, 2)), Box(x=(0, 2), boundary="outflow", kind="cell")


def drawn(law, n, seed=77):
    rng = np.random.default_rng(seed)
    return np.stack([law.sample(rng) for _ in range(n)])


@pytest.mark.parametrize(
    "law", [sines(4, edges=0.5), sines(2, high=0.5), hill((0.9, 1.1), (0.9, 1.1)), hill((0.5, 1), (0.1, 0.2), False)]
)
def test_profiles_are_functions_with_their_range(law):
    law = law.on(LINE)
    latent = drawn(law, 20)
    coarse, fine = (law.evaluate(latent, LINE.grid(n)) for n in (64, 2048))
    np.testing.assert_allclose(coarse, fine[:, ::32], atol=1e-14)
    np.testing.assert_allclose(law.evaluate(latent[3], LINE.grid(64)), coarse[3])
    np.testing.assert_allclose(fine.min(1), 0, atol=1e-3)
    np.testing.assert_allclose(fine.max(1), getattr(law, "high", 1.0), atol=1e-3)
    assert np.std(coarse, axis=0).min() > 1e-4 or "hill" in law.law


def test_a_detrended_hill_closes_around_the_circle():
    law = hill((0.7, 0.7), (0.5, 0.5)).on(LINE)
    values = law.evaluate(drawn(law, 1), LINE.grid(512))[0]
    bare = np.exp(-0.5 * ((np.arange(513) / 256 - 0.7) / 0.5) ** 2)
    bare -= np.linspace(bare[0], bare[-1], 513)
    np.testing.assert_allclose(values, ((bare - bare.min()) / np.ptp(bare))[:-1], atol=1e-4)
    plain = hill((0.7, 0.7), (0.5, 0.5), detrended=False).on(LINE)
    assert plain.evaluate(drawn(plain, 1), LINE.grid(512))[0, 0] == pytest.approx(np.exp(-0.5 * 1.4**2), abs=0.04)


def test_one_in_ten_has_corners_and_one_in_ten_a_window():
    latent = drawn(sines(3, edges=0.1).on(LINE), 2000)
    assert latent[:, 6].mean() == pytest.approx(0.1, abs=0.02)
    assert latent[:, 8].mean() == pytest.approx(0.1, abs=0.02)
    assert np.mean(latent[:, 7]) == pytest.approx(0, abs=0.06)
    law = sines(3, edges=0.1).on(LINE)
    window = latent[(latent[:, 8] > 0) & (latent[:, 6] == 0)][0]
    values = law.evaluate(window, LINE.grid(1000))
    x = LINE.grid(1000).coordinates()[0] / 2
    outside = (x < window[9] - 0.06) | (x > window[10] + 0.06)
    assert np.ptp(values[outside]) < 1e-4
    corners = law.evaluate(np.where(np.arange(13) == 6, 1.0, window * (np.arange(13) != 8)), LINE.grid(4000))
    assert np.abs(np.diff(corners, 2)).max() > 30 * np.median(np.abs(np.diff(corners, 2)))


@pytest.mark.parametrize("rising", [False, True])
def test_jumps_are_in_order_and_exact_over_cells(rising):
    law = jumps(2, rising).on(OPEN)
    latent, coarse = drawn(law, 50), OPEN.grid(20)
    fine = refine(coarse, 8)
    values = law.evaluate(latent, coarse)
    np.testing.assert_allclose(values, restrict(law.evaluate(latent, fine), fine, coarse), atol=1e-13)
    steps = np.diff(values) * (1 if rising else -1)
    assert steps.min() > -1e-12
    assert np.all((latent[:, :2] >= 0.4) & (latent[:, :2] <= 1.6))
    assert latent[:, 2:].min() >= 0
    assert latent[:, 2:].max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sines(0), "modes >= 1"),
        (lambda: sines(2, edges=1.5), "chance"),
        (lambda: hill((1, 0), (0.1, 0.2)), "widths > 0"),
        (lambda: hill((0, 1), (0, 0.2)), "widths > 0"),
        (lambda: jumps(0), "one jump"),
        (lambda: jumps(1).on(Periodic(x=(0, 1), y=(0, 1))), "one dimension"),
        (lambda: sines(2).on(Periodic(x=(0, 1), y=(0, 1))), "one dimension"),
    ],
)
def test_bad_laws(make, message):
    with pytest.raises(SettingError, match=message):
        make()
