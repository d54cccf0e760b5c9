"""Exact transport and Lax-Oleinik: against closed forms, and against finite volumes."""

import numpy as np
import pytest

from solvers.conservation_laws import Burgers
from solvers.errors import DataError, GridError
from solvers.finite_volume import FiniteVolume
from solvers.grid import Axis, Grid
from solvers.riemann import burgers_fan
from solvers.scalar import LaxOleinik, Transport


def circle(n):
    return Grid((Axis("x", n, cells=True),))


def sines(n, t=0.0):
    """Averages of sin(2 pi (x - t)) over the cells of a circle."""
    faces = np.arange(n + 1) / n - t
    return -np.diff(np.cos(2 * np.pi * faces)) * n / (2 * np.pi)


def test_transport_is_second_order_and_keeps_jumps_in_one_cell():
    errors = [
        np.abs(Transport(circle(n)).solve(sines(n)[None], np.array([0.0, 0.317]), -0.7).values[0, 1] - sines(n, -0.2219)).mean()
        for n in (40, 80)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.4)
    assert errors[1] < 1e-3
    box = np.where((np.arange(50) >= 10) & (np.arange(50) < 30), 1.0, 0.0)
    found = Transport(circle(50)).solve(np.stack([box, box]), np.array([1.0, 1.25]), np.array([0.02, 4.0])).values[:, 1]
    expected = box.copy()
    expected[[10, 30]] = 0.75, 0.25
    np.testing.assert_allclose(found, [expected, box], atol=1e-12)


def test_lax_oleinik_solves_riemann_problems_exactly():
    grid = Grid((Axis("x", 100, -1.0, 1.0, "cell", ("outflow", "outflow")),))
    x = grid.coordinates()[0]
    pairs = np.array([[2.0, 0.0], [-1.0, 1.0], [1.0, -0.5], [0.0, 0.0], [-0.3, 1.1]])
    t, fine = 0.43, (np.arange(100 * 64) + 0.5) / 3200 - 1
    found = LaxOleinik(grid).solve(np.where(x < 0, pairs[:, :1], pairs[:, 1:]), np.array([0.5, 0.5 + t])).values[:, 1]
    exact = burgers_fan(pairs[:, 0], pairs[:, 1], fine / t + np.zeros((5, 1))).reshape(5, 100, 64).mean(-1)
    np.testing.assert_allclose(found, exact, atol=0.02)  # the exact means are sums of 64 points
    assert np.abs(found - exact).mean() < 2e-4


def test_lax_oleinik_before_the_shock_follows_characteristics():
    """u = sin(2 pi (x - u t)), solved by fixed-point iteration; averages by Simpson's rule. Order two, near three in places."""
    t, errors = 0.1, []
    for n in (64, 128):
        x = np.arange(2 * n + 1) / (2 * n)
        u = np.sin(2 * np.pi * x)
        for _ in range(200):
            u = np.sin(2 * np.pi * (x - u * t))
        exact = (u[:-2:2] + 4 * u[1::2] + u[2::2]) / 6
        errors.append(np.abs(LaxOleinik(circle(n)).solve(sines(n)[None], np.array([0, t])).values[0, 1] - exact).mean())
    assert 1.8 < np.log2(errors[0] / errors[1]) < 3.2
    assert errors[1] < 1e-4


def test_lax_oleinik_after_many_shocks_is_what_finite_volumes_approach():
    rng = np.random.default_rng(19)
    start = np.repeat(rng.uniform(-1, 1, (2, 8)), 8, axis=1)
    times = np.array([0.0, 0.3, 4.0])
    exact = LaxOleinik(circle(64)).solve(start, times).values
    np.testing.assert_allclose(exact.mean(2), start.mean(1, keepdims=True) + np.zeros(3), atol=1e-13)
    errors = []
    for refine in (4, 16):
        wide = np.repeat(start, refine, axis=1)[..., None]
        found = FiniteVolume(Burgers(), circle(64 * refine), "mc").solve(wide, times).values_or_raise()[..., 0]
        errors.append(np.abs(found.reshape(2, 3, 64, refine).mean(-1) - exact).mean(axis=(0, 2)))
    assert np.all(errors[1][1:] < errors[0][1:] / 2)
    assert np.all(errors[1][1:] < 3e-3)


def test_minima_among_few_cells_are_those_among_all():
    """The search that lets cells move right with the faces, against one that looks everywhere."""
    rng = np.random.default_rng(77)
    u, n, t = rng.standard_normal(48), 48, 0.5
    found = LaxOleinik(circle(n)).solve(u[None], np.array([0, t])).values[0, 1]
    y = (np.arange(-300 * n, 400 * n) + 0.5) / (100 * n)  # points of three circles and more, a hundred to a cell
    back, ahead = u - np.roll(u, 1), np.roll(u, -1) - u
    slope = np.where(
        back * ahead > 0, np.sign(back) * np.minimum.reduce([2 * abs(back), 2 * abs(ahead), abs(back + ahead) / 2]), 0
    )
    cell = np.floor(y * n).astype(int)
    density = u[cell % n] + slope[cell % n] * (y * n - cell - 0.5)
    psi = np.concatenate([[0], np.cumsum(density)]) / (100 * n)
    ends = np.arange(-300 * n, 400 * n + 1) / (100 * n)
    phi = [np.min(psi + (x - ends) ** 2 / (2 * t)) for x in np.arange(n + 1) / n]
    np.testing.assert_allclose(found, np.diff(phi) * n, atol=2e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Transport(Grid.box("cell", 8, boundary="outflow")), GridError, "periodic"),
        (lambda: LaxOleinik(Grid.box("cell", 8, boundary="wall")), GridError, "outflow"),
        (lambda: LaxOleinik(Grid.box("periodic", 8)), GridError, "cells=True"),
        (lambda: Transport(circle(8)).solve(np.ones((1, 8)), [0, 1.0], np.nan), DataError, "speed"),
        (lambda: LaxOleinik(circle(8)).solve(np.ones((1, 9)), [0, 1.0]), DataError, r"\(sample, 8\)"),
        (lambda: LaxOleinik(circle(8)).solve(np.ones((1, 8)), [1.0, 0]), DataError, "increasing"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
