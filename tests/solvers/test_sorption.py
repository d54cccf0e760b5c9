"""Diffusion with sorption: order two, the linear limit against eigenfunctions, mass balance, refusals."""

import numpy as np
import pytest

from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid
from solvers.sorption import DiffusionSorption


def cells(n):
    return Grid.box("cell", n, boundary="free")


def test_second_order_in_space():
    fields = {}
    for n in (64, 128, 256):
        found = (
            DiffusionSorption(cells(n), tolerance=1e-8).solve(np.full((1, n), 0.1), np.array([0.0, 200.0])).values_or_raise()
        )
        fields[n] = found[0, -1].reshape(64, -1).mean(axis=1)
    order = np.log2(np.linalg.norm(fields[64] - fields[128]) / np.linalg.norm(fields[128] - fields[256]))
    assert 1.9 < order < 2.1


def test_without_sorption_it_is_the_heat_equation():
    """Closed outlet, density 0: u = 1 - sum of sines that decay, each at its own rate."""
    solver = DiffusionSorption(cells(200), diffusion=0.1, density=0.0, velocity=0.0, tolerance=1e-9)
    x = solver.grid.coordinates()[0]
    times = np.array([0.0, 0.5, 2.0])
    found = solver.solve(1 - np.sin(np.pi * x / 2)[None] * 0.7, times).values_or_raise()[0]
    expected = 1 - 0.7 * np.exp(-0.1 * (np.pi / 2) ** 2 * times)[:, None] * np.sin(np.pi * x / 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_enters_and_does_not_leave_is_stored():
    """d/dt of the integral of the total content, int R du, is inflow minus outflow."""
    solver = DiffusionSorption(cells(256), tolerance=1e-9)
    times = np.linspace(0, 100, 401)
    u = solver.solve(np.full((1, 256), 0.1), times).values_or_raise()[0]
    scale = 0.71 / 0.29 * 2880 * 3.5e-4
    content = (u + scale * (u + 1e-6) ** 0.874).mean(axis=1)
    h = solver.grid.spacing[0]
    inflow = 5e-4 * 2 * (1 - u[:, 0]) / h
    outflow = u[:, -1] / (1 + h / 1e-3)
    late = slice(100, None)
    stored = np.diff(content[late]).sum()
    np.testing.assert_allclose(np.trapezoid((inflow - outflow)[late], times[late]), stored, rtol=1e-4)


def test_bad_input_is_refused():
    with pytest.raises(GridError, match="one axis of cells"):
        DiffusionSorption(Grid.box("periodic", 8))
    with pytest.raises(SettingError, match="porosity"):
        DiffusionSorption(cells(8), porosity=1.0)
    with pytest.raises(DataError, match="u >= 0"):
        DiffusionSorption(cells(8)).solve(np.full((1, 8), -0.1), np.array([0.0, 1.0]))
    with pytest.raises(DataError, match="increasing"):
        DiffusionSorption(cells(8)).solve(np.full((1, 8), 0.1), np.array([0.0]))
