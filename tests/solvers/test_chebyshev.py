"""Runge-Kutta-Chebyshev: its order, its reach along the negative axis, its estimate of the error, its failures."""

import numpy as np
import pytest
import scipy.linalg

from solvers.chebyshev import Chebyshev, _step
from solvers.errors import DataError, SettingError
from solvers.precision import jax
from solvers.result import Outcome


@pytest.mark.parametrize("stages", [2, 3, 7, 20])
def test_steps_are_of_second_order(stages):
    errors, step = [], jax.jit(lambda u, tau: _step(lambda v: -(v**2), u, -(u**2), tau, stages))
    with jax.enable_x64(True):
        for count in (10, 20, 40, 80):
            u = np.array([1.0, 0.5])
            for _ in range(count):
                u = step(u, 1 / count)
            errors.append(np.abs(u - np.array([1 / 2, 1 / 3])).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all((orders > 1.8) & (orders < 2.2))


def test_steps_damp_everything_within_their_reach():
    z = np.linspace(0, 0.65 * (30**2 - 1), 400)
    with jax.enable_x64(True):
        growth = np.abs(_step(lambda v: -z * v, np.ones(400), -z, 1.0, 30))
        beyond = np.abs(_step(lambda v: -700 * v, np.ones(1), -700 * np.ones(1), 1.0, 30))
    assert growth.max() <= 1
    # |P| = |a + b T_30(w0 - w1 z)| with a = 1 - b T_30(w0): at most 1 - b (T_30(w0) - 1) once T_30 oscillates
    polynomial = np.polynomial.Chebyshev.basis(30)
    t, slope, bend = (polynomial.deriv(k)(1 + 2 / 13 / 30**2) for k in range(3))
    assert 0.95 < growth[40:].max() <= 1 - bend / slope**2 * (t - 1) + 1e-12
    assert beyond > 2


def second_difference(u, p):
    import jax.numpy as jnp

    return p["nu"] * (jnp.roll(u, 1) - 2 * u + jnp.roll(u, -1)) * 64**2


def largest(u, p):
    return 4 * p["nu"] * 64**2


def test_errors_follow_the_tolerance_and_samples_are_their_own():
    rng = np.random.default_rng(77)
    start, nu, times = rng.random((3, 64)), np.array([0.1, 1.0, 0.01]), np.array([0.0, 0.01, 0.05])
    matrix = 64**2 * (np.roll(np.eye(64), 1, 0) - 2 * np.eye(64) + np.roll(np.eye(64), -1, 0))
    exact = np.stack([[scipy.linalg.expm(matrix * n * t) @ u for t in times] for u, n in zip(start, nu, strict=True)])
    errors = []
    for rtol in (1e-3, 1e-5, 1e-7):
        found = Chebyshev(second_difference, largest, rtol, rtol / 100).solve(start, times, {"nu": nu})
        errors.append(np.abs(found.values - exact).max())
        assert found.stats["steps"].max() < 2000
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 0.1 * errors[1] < 1e-5
    alone = Chebyshev(second_difference, largest, rtol, rtol / 100).solve(start[1:2], times, {"nu": nu[1]})
    np.testing.assert_array_equal(alone.values[0], found.values[1])


def test_what_cannot_be_followed_ends_with_its_outcome():
    solver = Chebyshev(lambda u, p: u**2, lambda u, p: 1.0 + 0 * u[0], max_steps=300)
    found = solver.solve(np.array([[1.0], [0.1]]), np.array([0.0, 2.0]))
    assert found.outcome.tolist() == [Outcome.NOT_CONVERGED, Outcome.SUCCESS]
    assert np.isnan(found.values[0]).all()
    assert found.values[1, -1, 0] == pytest.approx(1 / 8, rel=1e-4)


def test_bad_input():
    solver = Chebyshev(second_difference, largest)
    with pytest.raises(SettingError, match="positive"):
        Chebyshev(second_difference, largest, rtol=0.0)
    with pytest.raises(DataError, match="finite"):
        solver.solve(np.full((1, 64), np.nan), np.array([0.0, 1.0]), {"nu": 1.0})
    with pytest.raises(DataError, match="at least one sample"):
        solver.solve(np.zeros((0, 64)), np.array([0.0, 1.0]), {"nu": 1.0})
    with pytest.raises(DataError, match="'nu' of shape"):
        solver.solve(np.ones((2, 64)), np.array([0.0, 1.0]), {"nu": np.ones(3)})
