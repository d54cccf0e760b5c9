"""Fokker-Planck: Gibbs' state, the exponential of the matrix, modes under a constant force, bad input."""

import numpy as np
import pytest
import scipy.linalg

from solvers.errors import DataError, GridError
from solvers.fokker_planck import FokkerPlanck
from solvers.grid import Grid


def cosine(x):
    return 1.2 * np.cos(10 * x)


def constant_force(x):
    return 3.0 * x


def test_the_late_state_is_gibbs_on_any_grid():
    grid = Grid.box("cell", 40, stop=2.0)
    x, rng = grid.coordinates()[0], np.random.default_rng(77)
    found = FokkerPlanck(grid, cosine).solve(rng.random((2, 40)), np.array([0.0, 1.0, 40.0]), np.array([1.0, 2.2])).values
    gibbs = np.exp(-cosine(x)) / np.exp(-cosine(x)).mean()
    np.testing.assert_allclose(found[:, -1], found[:, 0].mean(-1, keepdims=True) * gibbs, rtol=1e-10)
    np.testing.assert_allclose(found.mean(-1), found[:, :1].mean(-1) + np.zeros(3), rtol=1e-12)


def test_it_is_the_exponential_of_its_matrix():
    grid, rng = Grid.box("cell", 30, stop=2.0), np.random.default_rng(77)
    solver, start = FokkerPlanck(grid, cosine), rng.random((2, 30))
    found = solver.solve(start, np.array([1.0, 1.003, 1.05]), np.array([1.0, 2.2])).values
    for i, d in enumerate((1.0, 2.2)):
        for j, t in enumerate((0.0, 0.003, 0.05)):
            np.testing.assert_allclose(found[i, j], scipy.linalg.expm(solver.matrix() * d * t) @ start[i], atol=1e-12)


def test_modes_under_a_constant_force_at_order_two():
    """exp(-g x / 2) (cos k x - g / (2 k) sin k x) decays at the rate D (k^2 + g^2 / 4), k = n pi."""
    errors, g, k, d, t = [], 3.0, 2 * np.pi, 0.7, 0.05
    for n in (16, 32, 64, 128):
        grid = Grid.box("cell", n)
        x = grid.coordinates()[0]
        mode = np.exp(-g * x / 2) * (np.cos(k * x) - g / (2 * k) * np.sin(k * x))
        found = FokkerPlanck(grid, constant_force).solve(mode[None], np.array([0.0, t]), d).values[0, 1]
        errors.append(np.abs(found - mode * np.exp(-d * (k**2 + g**2 / 4) * t)).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all((orders > 1.8) & (orders < 2.2))


def test_bad_input():
    solver, times = FokkerPlanck(Grid.box("cell", 8), cosine), np.array([0.0, 1.0])
    with pytest.raises(GridError, match="between walls"):
        FokkerPlanck(Grid.box("periodic", 8), cosine)
    with pytest.raises(DataError, match="diffusivity"):
        solver.solve(np.ones((1, 8)), times, -1.0)
    with pytest.raises(DataError, match="diffusivity"):
        solver.solve(np.ones((1, 8)), times, np.ones(2))
    with pytest.raises(DataError, match="shape"):
        solver.solve(np.ones((1, 9)), times, 1.0)
