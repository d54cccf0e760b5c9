"""Porous medium: Barenblatt's solution and its front, an implicit integrator, mass, bad input."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.porous_medium import PorousMedium


def circle(n, half=3.0):
    return Grid((Axis("x", n, -half, half, cells=True),))


def barenblatt(x, t, m, constant=0.5):
    """t^-a (C - k x^2 t^-2a)_+^(1 / (m - 1)), a = 1 / (m + 1), k = (m - 1) a / (2 m)."""
    a = 1 / (m + 1)
    return t**-a * np.maximum(constant - (m - 1) * a / (2 * m) * x**2 * t ** (-2 * a), 0) ** (1 / (m - 1))


def averaged(n, t, m):
    h = 6 / n
    x = -3 + (np.arange(32 * n) + 0.5) * h / 32
    return barenblatt(x, t, m).reshape(n, 32).mean(1)


@pytest.mark.parametrize("m", [2.0, 3.0, 4.0])
def test_barenblatt_inside_at_order_two_and_its_front(m):
    inner, total = [], []
    for n in (48, 96, 192):
        x = circle(n).coordinates()[0]
        u = PorousMedium(circle(n)).solve(averaged(n, 1.0, m)[None], np.array([1.0, 1.5]), m).values_or_raise()[0, -1]
        away = np.abs(u - averaged(n, 1.5, m))
        inner.append(away[np.abs(x) < 1].max())
        total.append(away.mean())
    reach = np.sqrt(0.5 * 2 * m * (m + 1) / (m - 1)) * 1.5 ** (1 / (m + 1))
    front = np.abs(x[u > 1e-3]).max()
    assert front == pytest.approx(reach, abs=0.05)
    assert np.log2(inner[0] / inner[2]) / 2 == pytest.approx(2, abs=0.35)
    assert total[2] < total[0] / 4
    assert u.min() > -1e-4


def test_the_same_as_by_an_implicit_method():
    n, m, times = 64, np.array([2.0, 3.0]), np.linspace(0, 0.2, 5)
    x = circle(n).coordinates()[0]
    start = np.stack([1 + 0.5 * np.cos(np.pi * x / 3), 0.6 + 0.5 * np.sin(np.pi * x / 3)])
    found = PorousMedium(circle(n), tolerance=1e-8).solve(start, times, m).values_or_raise()

    def rates(power):
        return lambda t, u: (np.roll(u**power, 1) - 2 * u**power + np.roll(u**power, -1)) * (n / 6) ** 2

    for i in range(2):
        other = solve_ivp(rates(m[i]), (0, 0.2), start[i], "Radau", times, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found[i], other.y.T, atol=1e-6)
    np.testing.assert_allclose(found.mean(-1), found[:, :1].mean(-1) + 0 * times, rtol=1e-13)


def test_m_of_one_is_the_heat_equation():
    n, times = 48, np.array([0.0, 0.5])
    k, h = np.pi / 3, 6 / n
    wave = np.cos(k * circle(n).coordinates()[0])
    found = PorousMedium(circle(n), 1e-8).solve(1 + wave[None], times, 1.0).values_or_raise()[0, -1]
    np.testing.assert_allclose(found, 1 + wave * np.exp(-(4 / h**2) * np.sin(k * h / 2) ** 2 * 0.5), atol=1e-6)


def test_bad_input():
    solver, times = PorousMedium(circle(16)), np.array([0.0, 1.0])
    with pytest.raises(DataError, match="smallest initial value -1"):
        solver.solve(-np.ones((1, 16)), times, 2)
    with pytest.raises(DataError, match="m >= 1"):
        solver.solve(np.ones((1, 16)), times, 0.5)
    with pytest.raises(DataError, match="shape"):
        solver.solve(np.ones((1, 15)), times, 2)
    with pytest.raises(GridError, match="cells=True"):
        PorousMedium(Grid.box("periodic", 16))
    with pytest.raises(SettingError, match="tolerance"):
        PorousMedium(circle(16), tolerance=0.0)
