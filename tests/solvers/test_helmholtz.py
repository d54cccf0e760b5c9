"""Helmholtz by spectral elements: plane waves, manufactured media, resonances, a circular wave, and honest ends."""

import numpy as np
import pytest
from scipy.special import hankel1

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.helmholtz import Helmholtz, lagrange, lagrange_slopes
from solvers.result import Outcome

DIRECTION = np.array([0.6, 0.8])


def box(n, **options):
    return Grid.box("cell", n, dimension=2, boundary="robin", **options)


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


def impedance_flux(u, slope, k, grid):
    """g = u_n - i k u on all sides, of functions of (x, y); slope gives (u_x, u_y)."""
    (x0, x1), (y0, y1) = ((axis.start, axis.stop) for axis in grid.axes)
    return {
        "left": lambda y: -slope(x0, y)[0] - 1j * k * u(x0, y),
        "right": lambda y: slope(x1, y)[0] - 1j * k * u(x1, y),
        "bottom": lambda x: -slope(x, y0)[1] - 1j * k * u(x, y0),
        "top": lambda x: slope(x, y1)[1] - 1j * k * u(x, y1),
    }


def test_plane_wave_through_open_sides_at_fifth_order():
    k = 10.0
    wave = lambda x, y: np.exp(1j * k * (DIRECTION[0] * x + DIRECTION[1] * y))  # noqa: E731
    errors = []
    for n in (16, 32, 64):
        grid = box((n, n // 2), start=(0.2, 0.0), stop=(1.2, 0.5))
        flux = impedance_flux(wave, lambda x, y: (1j * k * 0.6 * wave(x, y), 1j * k * 0.8 * wave(x, y)), k, grid)
        found = Helmholtz(grid, "impedance", flux).solve(np.full((1, *grid.shape), k))
        errors.append(np.abs(found.values_or_raise()[0] - wave(*grid.mesh())).max())
        assert found.stats["residual"][0] < 1e-12
    assert np.all(np.abs(orders(errors) - 5) < 0.3)
    assert errors[-1] < 1e-6


@pytest.mark.parametrize("condition", ["neumann", "impedance"])
def test_manufactured_solution_in_a_varying_medium_at_fourth_order(condition):

    def known(x, y):
        return np.cos(np.pi * x) * np.cos(2 * np.pi * y)

    def speed(x, y):
        return 5 + x * y + 0.5 * np.sin(3 * x)

    errors = []
    for n in (16, 32, 64):
        grid = box(n)
        x, y = grid.mesh()
        u, k = known(x, y), speed(x, y)
        sides = {  # u_n = 0 on all sides
            "left": lambda y: -1j * speed(0, y) * known(0, y),
            "right": lambda y: -1j * speed(1, y) * known(1, y),
            "bottom": lambda x: -1j * speed(x, 0) * known(x, 0),
            "top": lambda x: -1j * speed(x, 1) * known(x, 1),
        }
        solver = Helmholtz(grid, condition, sides if condition == "impedance" else None)
        found = solver.solve(k[None], ((5 * np.pi**2 - k**2) * u)[None])
        errors.append(np.abs(found.values_or_raise()[0] - u).max())
    assert np.all(np.abs(orders(errors) - 4) < 0.45)
    assert errors[-1] < 5e-6


def test_circular_wave_from_outside_at_a_high_wavenumber():
    """H0 of the distance to a point below the box, k = 40: 6 waves across, ten points to each."""
    k, grid = 40.0, box(64)
    distance = lambda x, y: np.hypot(x - 0.3, y + 0.4)  # noqa: E731
    wave = lambda x, y: hankel1(0, k * distance(x, y))  # noqa: E731

    def slope(x, y):
        radial = -k * hankel1(1, k * distance(x, y)) / distance(x, y)
        return radial * (x - 0.3), radial * (y + 0.4)

    found = Helmholtz(grid, "impedance", impedance_flux(wave, slope, k, grid)).solve(np.full((1, 64, 64), k))
    exact = wave(*grid.mesh())
    assert np.linalg.norm(found.values[0] - exact) / np.linalg.norm(exact) < 2e-3


def test_means_over_cells():
    """Of a plane wave: its value at the centre times sinc per axis."""
    k, grid = 12.0, box(32)
    wave = lambda x, y: np.exp(1j * k * (0.6 * x + 0.8 * y))  # noqa: E731
    flux = impedance_flux(wave, lambda x, y: (1j * k * 0.6 * wave(x, y), 1j * k * 0.8 * wave(x, y)), k, grid)
    found = Helmholtz(grid, "impedance", flux, means=True).solve(np.full((1, 32, 32), k)).values[0]
    half = k * DIRECTION / 64
    np.testing.assert_allclose(found, wave(*grid.mesh()) * np.prod(np.sin(half) / half), atol=2e-4)
    assert np.abs(found - wave(*grid.mesh())).max() > 5e-3


def test_a_window_of_flux_is_integrated_up_to_its_ends():
    """Integral of -k^2 u = flux through the sides, whatever the shape: the window's length, off the cells, is met."""
    grid, k = box(16), 1.3
    found = Helmholtz(grid, "neumann", {"top": (0.311, 0.657, 2.0)}, means=True).solve(np.full((1, 16, 16), k))
    assert not np.iscomplexobj(found.values)
    assert -(k**2) * found.values[0].mean() == pytest.approx(2.0 * (0.657 - 0.311), rel=1e-10)


def test_condition_tells_of_a_resonance():
    """cos(pi x) is an eigenfunction of the hard box; the open box has none."""
    near, far = np.full((16, 16), np.pi + 1e-6), np.full((16, 16), np.pi + 0.7)
    closed = Helmholtz(box(16), "neumann", {"left": 1.0}).solve(np.stack([near, far]))
    opened = Helmholtz(box(16), "impedance", {"left": 1.0}).solve(np.stack([near, far]))
    assert closed.stats["condition"][0] > 1e5 * closed.stats["condition"][1]
    assert opened.stats["condition"][0] < 3 * opened.stats["condition"][1]
    skipped = Helmholtz(box(16), "neumann", {"left": 1.0}, estimate_condition=False).solve(far[None])
    assert np.isnan(skipped.stats["condition"][0])
    np.testing.assert_array_equal(skipped.values[0], closed.values[1])


def test_complex_sources_in_a_hard_box():
    grid = box(16)
    rng = np.random.default_rng(23)
    f, k = rng.standard_normal((2, 1, 16, 16)), np.full((1, 16, 16), 2.2)
    solver = Helmholtz(grid, "neumann")
    both, parts = solver.solve(k, f[0] + 1j * f[1]).values, [solver.solve(k, part).values for part in f]
    np.testing.assert_allclose(both, parts[0] + 1j * parts[1], rtol=1e-10)


def test_lagrange_functions():
    nodes, points = np.array([-1.0, -0.2, 0.5, 1.0]), np.linspace(-1, 1, 7)
    np.testing.assert_allclose(lagrange(nodes, points) @ nodes**3, points**3, atol=1e-14)
    np.testing.assert_allclose(lagrange_slopes(nodes, points) @ nodes**3, 3 * points**2, atol=1e-13)


def test_a_singular_system_is_no_success():
    """At the resonance itself, driven by its own mode, nothing may be returned as solved without being large and flagged."""
    grid = box(16)
    source = np.cos(np.pi * grid.mesh()[0])[None]
    found = Helmholtz(grid, "neumann").solve(np.full((1, 16, 16), np.pi), source)
    assert found.outcome[0] == Outcome.NOT_CONVERGED or found.stats["condition"][0] > 1e7


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Helmholtz(box(18)), GridError, "multiples of 4"),
        (lambda: Helmholtz(Grid.box("node", 17, dimension=2)), GridError, "cells"),
        (lambda: Helmholtz(box(16), "dirichlet"), SettingError, "impedance"),
        (lambda: Helmholtz(box(16), flux={"lid": 1.0}), SettingError, "lid"),
        (lambda: Helmholtz(box(16), flux={"top": np.nan}).solve(np.ones((1, 16, 16))), DataError, "'top'"),
        (lambda: Helmholtz(box(16)).solve(np.ones((16, 16))), DataError, r"\(sample, 16, 16\)"),
        (lambda: Helmholtz(box(16)).solve(np.zeros((1, 16, 16))), DataError, "k > 0"),
        (lambda: Helmholtz(box(16)).solve(np.ones((1, 16, 16)), np.full((1, 16, 16), np.inf)), DataError, "finite f"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
