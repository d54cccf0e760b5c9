"""Second-harmonic generation: the plane wave's tanh^2, Manley and Rowe, the undepleted limit, order two."""

import numpy as np
import pytest

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.second_harmonic import SecondHarmonic

WINDOW = Grid.box("periodic", 64, start=-8, stop=8)
T = WINDOW.coordinates()[0]
PULSE = np.exp(-(T**2)) * np.exp(0.7j * T)


def test_plane_wave_converts_by_tanh_squared():
    power, kappa, length = 2.0, 0.6, 1.7
    found = SecondHarmonic(WINDOW, length, 200, kappa).solve(np.full((1, 64), np.sqrt(power), complex))
    efficiency = np.abs(found.values_or_raise()[0, 1]) ** 2 / power
    np.testing.assert_allclose(efficiency, np.tanh(kappa * np.sqrt(power) * length) ** 2, rtol=1e-7)


def test_energy_moves_between_the_waves_only():
    crystal = SecondHarmonic(WINDOW, 2.0, 400, 1.0, mismatch=1.5, walk_off=0.4, dispersion=(0.2, -0.3))
    found = crystal.solve(np.stack([1.5 * PULSE, PULSE]), np.stack([0.3 * PULSE, 0 * PULSE]))
    assert found.stats["energy"].max() < 1e-8
    assert np.sum(np.abs(found.values[0, 1]) ** 2) > 1.2 * np.sum(np.abs(0.3 * PULSE) ** 2)


def test_undepleted_harmonic_has_a_sinc_of_the_mismatch_and_the_walk_off():
    length, mismatch, delta, kappa = 1.3, 2.0, 0.8, 1e-4
    found = SecondHarmonic(WINDOW, length, 400, kappa, mismatch, delta).solve(PULSE[None]).values[0, 1]
    omega = 2 * np.pi * np.fft.fftfreq(64, WINDOW.spacing[0])
    # A2(W, L) = i kappa F[A1^2] int_0^L exp(-i dk z - i delta W (L - z)) dz
    gap = (mismatch - delta * omega) * length / 2
    exact = 1j * kappa * length * np.fft.fft(PULSE**2) * np.exp(-1j * delta * omega * length - 1j * gap) * np.sinc(gap / np.pi)
    np.testing.assert_allclose(np.fft.fft(found), exact, atol=2e-5 * np.abs(exact).max())


def test_order_two():
    ends = [SecondHarmonic(WINDOW, 1.0, n, 1.0, 0.5, 0.5, (0.3, 0.2)).solve(2 * PULSE[None]).values for n in (20, 40, 80, 2560)]
    errors = [np.linalg.norm(e - ends[-1]) for e in ends[:-1]]
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.1)


def test_bad_input():
    with pytest.raises(GridError, match="periodic"):
        SecondHarmonic(Grid.box("cell", 8), 1.0, 10)
    with pytest.raises(SettingError, match="steps >= 1"):
        SecondHarmonic(WINDOW, 1.0, 0)
    with pytest.raises(DataError, match="64"):
        SecondHarmonic(WINDOW, 1.0, 10).solve(np.zeros((1, 5)))
