"""Scalar laws of five fluxes: bounds of their speeds, shocks, fans, waves of both kinds at once, and viscosity."""

import numpy as np
import pytest
from scipy.optimize import brentq

from solvers.conservation_laws import System
from solvers.errors import SettingError
from solvers.finite_volume import FiniteVolume
from solvers.grid import Axis, Grid
from solvers.precision import jax
from solvers.scalar_flux import FLUXES, ScalarFlux


def line(n, start=-1.0, stop=1.0):
    return Grid((Axis("x", n, start, stop, "cell", ("outflow", "outflow")),))


def from_a_jump(system, left, right, n, t=0.5, scheme="weno5", **parameters):
    grid = line(n)
    start = np.where(grid.coordinates()[0] < 0, left, right)[None, :, None]
    return grid, FiniteVolume(system, grid, scheme).solve(start, np.array([0.0, t]), parameters).values_or_raise()[0, -1, :, 0]


def averages(exact, n):
    """Means over n cells of (-1, 1) of a function."""
    x = -1 + (np.arange(64 * n) + 0.5) / (32 * n)
    return exact(x).reshape(n, 64).mean(1)


@pytest.mark.parametrize("name", FLUXES)
@pytest.mark.parametrize("k", [0.7, -1.3])
def test_bounds_are_the_extremes_between_two_states(name, k):
    rng = np.random.default_rng(77)
    left, right = rng.uniform(-8, 8, (2, 40))
    with jax.enable_x64(True):
        low, high = ScalarFlux(name, k).bounds((left,), (right,), 0, {})
        between = left + (right - left) * np.linspace(0, 1, 20001)[:, None]
        slopes = k * np.asarray(FLUXES[name].slope(between))
        value, h = FLUXES[name].value, 1e-5
        np.testing.assert_allclose(
            (value(left + h) - value(left - h)) / (2 * h), FLUXES[name].slope(left) + 0 * left, atol=1e-6
        )
    np.testing.assert_allclose(low, slopes.min(0), atol=2e-5)
    np.testing.assert_allclose(high, slopes.max(0), atol=2e-5)


@pytest.mark.parametrize(
    ("name", "left", "right"), [("quadratic", 0.9, 0.1), ("cubic", 0.9, 0.2), ("sine", 0.1, 0.9), ("cosine", 0.2, 0.8)]
)
def test_shocks_move_as_rankine_and_hugoniot_say(name, left, right):
    f, k, t = {"quadratic": lambda u: u**2 / 2, "cubic": lambda u: u**3 / 3, "sine": np.sin, "cosine": np.cos}[name], 1.1, 0.5
    speed = k * (f(right) - f(left)) / (right - left)
    _, u = from_a_jump(ScalarFlux(name), left, right, 200, t, k=k)
    assert np.sum(u - right) * 0.01 / (left - right) - 1 == pytest.approx(speed * t, abs=1e-6)
    exact = averages(lambda x: np.where(x < speed * t, left, right), 200)
    assert np.abs(u - exact).mean() < 4e-3


@pytest.mark.parametrize(("name", "left", "right", "inverse"), [("cubic", 0.2, 0.9, np.sqrt), ("sine", 0.9, 0.1, np.arccos)])
def test_fans_are_those_of_the_inverse_of_the_speed(name, left, right, inverse):
    slope, t = {"cubic": np.square, "sine": np.cos}[name], 0.5
    exact = averages(lambda x: inverse(np.clip(x / t, slope(left), slope(right))), 200)
    assert np.abs(from_a_jump(ScalarFlux(name), left, right, 200, t)[1] - exact).mean() < 3e-3


class EndsOnly(ScalarFlux):
    """Speeds of both ends alone, as for convex fluxes."""

    def speeds(self, w, axis, p):
        return FLUXES[self.name].slope(w[0]), FLUXES[self.name].slope(w[0])

    bounds = System.bounds


def shock_and_fan(n, t=0.5):
    """From 0 to 2 pi under sin u: a shock to the b whose tangent meets 0 (tan b = b), then a fan."""
    b = brentq(lambda u: np.tan(u) - u, 4.4, 4.6)
    fan = lambda x: 2 * np.pi - np.arccos(np.clip(x / t, np.cos(b), 1))  # noqa: E731
    return averages(lambda x: np.where(x < np.cos(b) * t, 0.0, fan(x)), n)


@pytest.mark.parametrize("scheme", ["first", "mc", "weno5"])
def test_a_shock_and_its_fan_under_a_flux_that_is_not_convex(scheme):
    errors = [
        np.abs(from_a_jump(ScalarFlux("sine"), 0.0, 2 * np.pi, n, scheme=scheme)[1] - shock_and_fan(n)).mean()
        for n in (100, 400)
    ]
    assert errors[1] < 0.4 * errors[0] < 0.03
    wrong = from_a_jump(EndsOnly("sine"), 0.0, 2 * np.pi, 200, scheme="first")[1]
    assert np.abs(wrong - shock_and_fan(200)).mean() > 0.45  # the jump stands still


def test_the_compound_wave_of_the_cubic():
    """From 1 to -1: a shock to -1/2 of speed 1/4, then the fan -sqrt(x / t). (The mc limiter hardly converges to it.)"""
    errors = []
    for n in (100, 400):
        exact = averages(lambda x: np.where(x < 0.125, 1.0, -np.sqrt(np.clip(x / 0.5, 0.25, 1))), n)
        errors.append(np.abs(from_a_jump(ScalarFlux("cubic"), 1.0, -1.0, n)[1] - exact).mean())
    assert errors[1] < 0.45 * errors[0] < 4e-3


def test_viscosity_is_of_second_order():
    errors, nu, t = [], 0.05, 1.0
    for n in (16, 32, 64):
        grid = Grid((Axis("x", n, cells=True),))
        wave = np.sin(2 * np.pi * grid.coordinates()[0])
        u = (
            FiniteVolume(ScalarFlux("cubic", k=0.0), grid)
            .solve(wave[None, :, None], np.array([0.0, t]), {"nu": nu})
            .values[0, -1, :, 0]
        )
        errors.append(np.abs(u - wave * np.exp(-nu * 4 * np.pi**2 * t)).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all((orders > 1.9) & (orders < 2.1))


@pytest.mark.parametrize("given", [{"name": "quartic"}, {"nu": -1.0}, {"nu": np.nan}])
def test_bad_laws(given):
    with pytest.raises(SettingError, match="quadratic"):
        ScalarFlux(**given)
