"""Order, escapes, and bad input of the fixed-step method."""

import numpy as np
import pytest

from solvers.errors import DataError
from solvers.runge_kutta import rk4

TIMES = np.linspace(0, 2, 5)


def spin(u):
    return np.stack([u[1], -u[0]])


def test_order_four_on_a_rotation():
    exact = np.stack([np.cos(TIMES), -np.sin(TIMES)], axis=1)
    errors = np.array([np.abs(rk4(spin, np.array([[1.0, 0.0]]), TIMES, m)[0] - exact).max() for m in (2, 4, 8)])
    orders = np.log2(errors[:-1] / errors[1:])
    assert np.all((orders > 3.9) & (orders < 4.1))


def test_float32_stays_float32_and_agrees():
    single = rk4(spin, np.array([[1.0, 0.0]], np.float32), TIMES)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, rk4(spin, np.array([[1.0, 0.0]]), TIMES), atol=2e-6)


def test_a_trajectory_that_escapes_is_nan_from_there_on_and_leaves_the_others_alone():
    found = rk4(lambda u: u * u, np.array([[1.0], [-1.0]]), TIMES, 50, limit=1e3)  # 1 / (1 - t) has a pole at 1
    assert np.isnan(found[0, 3:]).all()
    np.testing.assert_allclose(found[1, :, 0], -1 / (1 + TIMES), rtol=1e-6)


def test_bad_shapes_are_refused():
    with pytest.raises(DataError, match="increasing times"):
        rk4(spin, np.ones((1, 2)), TIMES[::-1])
