"""Trajectories: closed forms, orders, invariants, other solvers, stiffness, failures by name, independence of the batch."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.errors import DataError, SettingError, SolverError
from solvers.ode import EXPLICIT, Ode, _compiled
from solvers.result import Outcome

TIMES = np.linspace(0, 4, 9)
RNG = np.random.default_rng(20261)


def oscillator(t, u, p):
    """Damped: q'' + 2 zeta omega q' + omega^2 q = 0."""
    return jnp.stack([u[1], -(p["omega"] ** 2) * u[0] - 2 * p["zeta"] * p["omega"] * u[1]])


def growth(t, u, p):
    return p["r"] * u * (1 - u)


def pendulum(t, u, p):
    return jnp.stack([u[1], -p["k"] * jnp.sin(u[0])])


def lorenz(t, u, p):
    return jnp.stack([10 * (u[1] - u[0]), u[0] * (p["rho"] - u[2]) - u[1], u[0] * u[1] - 8 / 3 * u[2]])


def stiff(t, u, p):
    return jnp.stack([u[1], p["mu"] * (1 - u[0] ** 2) * u[1] - u[0]])


def driven(t, u, p):
    return -u + jnp.sin(3 * t)


def explosion(t, u, p):
    return u**2


def damped(times, omega, zeta, q, v):
    """Closed form of `oscillator` for zeta < 1."""
    rate, wave = zeta * omega, omega * np.sqrt(1 - zeta**2)
    return np.exp(-rate * times) * (q * np.cos(wave * times) + (v + rate * q) / wave * np.sin(wave * times))


def logistic(start, age):
    """Closed form of `growth`, age = r t."""
    return start * np.exp(age) / (1 + start * (np.exp(age) - 1))


@pytest.mark.parametrize("method", list(EXPLICIT))
def test_oscillators_of_a_batch_each_follow_their_own_closed_form(method):
    omega, zeta, start = RNG.uniform(1, 3, 5), RNG.uniform(0, 0.5, 5), RNG.uniform(-1, 1, (5, 2))
    found = Ode(oscillator, method, rtol=1e-10, atol=1e-12).solve(start, TIMES, {"omega": omega, "zeta": zeta})
    exact = np.stack([damped(TIMES, w, z, *u) for w, z, u in zip(omega, zeta, start, strict=True)])
    np.testing.assert_allclose(found.values_or_raise()[..., 0], exact, atol=1e-8)
    assert np.all(found.stats["steps"] > found.stats["rejected"])


def test_growth_is_logistic_and_times_may_be_uneven_and_start_anywhere():
    times = np.array([3.0, 3.1, 3.5, 9.0])
    found = Ode(growth).solve(np.array([[0.1], [0.5], [2.0]]), times, {"r": 1.3}).values_or_raise()[..., 0]
    np.testing.assert_allclose(found, logistic(np.array([[0.1], [0.5], [2.0]]), 1.3 * (times - 3)), rtol=1e-8)


def test_the_right_hand_side_may_depend_on_time():
    found = Ode(driven).solve(np.array([[1.0]]), TIMES, {}).values_or_raise()[0, :, 0]
    exact = (1 + 0.3) * np.exp(-TIMES) + (np.sin(3 * TIMES) - 3 * np.cos(3 * TIMES)) / 10
    np.testing.assert_allclose(found, exact, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "order", "steps"), [("tsit5", 5, (32, 64, 128)), ("dopri5", 5, (32, 64, 128)), ("dopri8", 8, (16, 32, 64))]
)
def test_fixed_steps_converge_at_the_order_of_the_method(method, order, steps):
    start, p = RNG.uniform(0.05, 0.5, (6, 1)), {"r": 2.0}
    exact = logistic(start, 2.0 * TIMES)
    errors = [np.linalg.norm(Ode(growth, method, step=4 / n).solve(start, TIMES, p).values[..., 0] - exact) for n in steps]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - order) < 0.6), (errors, orders)


def test_fixed_steps_divide_every_interval():
    found = Ode(growth, "tsit5", step=0.3).solve(np.array([[0.1]]), np.array([0.0, 1.0, 1.2, 3.0]), {"r": 1.0})
    assert found.stats["steps"][0] == 4 + 1 + 6


def test_errors_follow_the_tolerance():
    start, p = RNG.uniform(-1, 1, (4, 2)), {"omega": 2.0, "zeta": 0.05}
    exact = np.stack([damped(TIMES, 2.0, 0.05, *u) for u in start])
    errors = []
    for rtol in (1e-5, 1e-7, 1e-9):
        values = Ode(oscillator, "tsit5", rtol=rtol, atol=rtol).solve(start, TIMES, p).values[..., 0]
        errors.append(np.abs(values - exact).max())
    ratios = np.log10(np.divide(errors[:-1], errors[1:]))
    assert np.all((ratios > 1.3) & (ratios < 2.7)), errors  # a hundred times tighter: 20 to 500 times better
    assert errors[0] < 1e-3


def test_a_pendulum_keeps_its_energy():
    start = np.stack([RNG.uniform(-3, 3, 6), RNG.uniform(-2, 2, 6)], axis=1)
    u = Ode(pendulum, rtol=1e-11, atol=1e-13).solve(start, np.linspace(0, 30, 31), {"k": 9.81}).values_or_raise()
    energy = u[..., 1] ** 2 / 2 - 9.81 * np.cos(u[..., 0])
    np.testing.assert_allclose(energy, np.broadcast_to(energy[:, :1], energy.shape), atol=1e-7)


def test_lorenz_agrees_with_scipy_as_long_as_chaos_allows():
    times, start = np.linspace(0, 12, 25), np.array([[1.0, 2.0, 20.0], [-4.0, 1.0, 15.0]])
    found = Ode(lorenz, rtol=1e-13, atol=1e-14).solve(start, times, {"rho": 28.0}).values_or_raise()
    for values, u in zip(found, start, strict=True):
        reference = solve_ivp(
            lambda t, y: np.array([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]),
            (0, 12),
            u,
            method="DOP853",
            t_eval=times,
            rtol=1e-13,
            atol=1e-14,
        )
        error = np.abs(values - reference.y.T).max(axis=1)
        bound = 1e-9 * np.exp(1.0 * times)  # two solves at 1e-13 part at the rate of the Lyapunov exponent, 0.9
        assert np.all(error < bound), (error, bound)


def test_steps_into_a_sudden_jump_are_taken_back():
    times, start = np.linspace(0, 60, 7), np.array([[2.0, 0.0]])
    found = Ode(stiff, "tsit5", rtol=1e-6, atol=1e-6).solve(start, times, {"mu": 20.0})
    assert found.stats["rejected"][0] > 10
    reference = solve_ivp(
        lambda t, y: [y[1], 20 * (1 - y[0] ** 2) * y[1] - y[0]], (0, 60), start[0], "DOP853", times, rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(found.values_or_raise()[0], reference.y.T, atol=1e-4)


def test_stiff_van_der_pol_agrees_with_radau():
    times, start = np.linspace(0, 2000, 11), np.array([[2.0, 0.0], [np.nan, 0.0]])
    solver = Ode(stiff, "kvaerno5", rtol=1e-8, atol=1e-8)
    found = solver.solve(start, times, {"mu": 1000.0})
    assert found.outcome.tolist() == [Outcome.SUCCESS, Outcome.BLOW_UP]
    assert found.stats["steps"][0] < 10_000
    reference = solve_ivp(
        lambda t, y: [y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]], (0, 2000), start[0], "Radau", times, rtol=1e-8, atol=1e-9
    )
    np.testing.assert_allclose(found.values[0, :, 0], reference.y[0], atol=2e-5)
    jumping = replace(solver, limit=100.0).solve(start, times, {"mu": 1000.0})  # the velocity of a jump is near 1300
    assert jumping.outcome[0] == Outcome.BLOW_UP
    np.testing.assert_allclose(jumping.values[0, :4], found.values[0, :4], rtol=1e-6)
    capped = Ode(stiff, "dopri8", rtol=1e-6, atol=1e-6, max_steps=10_000).solve(start, times, {"mu": 1000.0})
    assert capped.outcome[0] == Outcome.NOT_CONVERGED  # the explicit method needs hundreds of thousands of steps


def test_a_trajectory_does_not_depend_on_its_batch():
    start = RNG.uniform(-2, 2, (300, 3))
    times = np.linspace(0, 3, 7)
    many = Ode(lorenz).solve(start, times, {"rho": np.linspace(20, 30, 300)})
    few = Ode(lorenz).solve(start[17:20], times, {"rho": np.linspace(20, 30, 300)[17:20]})
    np.testing.assert_allclose(many.values[17:20], few.values, rtol=1e-9)
    np.testing.assert_array_equal(many.stats["steps"][17:20], few.stats["steps"])
    shuffled = Ode(lorenz).solve(start[::-1], times, {"rho": np.linspace(20, 30, 300)[::-1]})
    np.testing.assert_array_equal(shuffled.values[::-1], many.values)


def test_one_program_serves_small_batches_and_other_tolerances():
    run = _compiled(growth, "dopri8", True)
    before = run._cache_size()
    for n, rtol in ((1, 1e-6), (5, 1e-7), (8, 1e-8)):
        Ode(growth, rtol=rtol).solve(np.full((n, 1), 0.2), np.linspace(0, 1, n + 2), {"r": np.full(n, 1.0)})
    assert run._cache_size() - before <= 1


def test_failures_are_named_sample_by_sample():
    start = np.array([[1.0], [0.1], [np.nan]])
    found = Ode(explosion, rtol=1e-6, atol=1e-6).solve(start, np.linspace(0, 1.9, 3), {})
    assert found.outcome.tolist() == [Outcome.BLOW_UP, Outcome.SUCCESS, Outcome.BLOW_UP]
    np.testing.assert_allclose(found.values[1, -1, 0], 0.1 / (1 - 0.19), rtol=1e-5)
    np.testing.assert_allclose(found.values[0, 1, 0], 1 / (1 - 0.95), rtol=1e-4)  # up to the singularity it is right
    assert np.isnan(found.values[0, -1, 0])
    with pytest.raises(SolverError, match=r"became infinite or NaN for 2 of 3 samples \(indices 0, 2\)"):
        found.values_or_raise()
    bounded = Ode(explosion, rtol=1e-6, atol=1e-6, limit=5.0).solve(start[:2], np.linspace(0, 0.9, 3), {})
    assert bounded.outcome.tolist() == [Outcome.BLOW_UP, Outcome.SUCCESS]


def test_too_many_steps_are_named():
    found = Ode(lorenz, max_steps=20).solve(np.ones((2, 3)), np.array([0.0, 5.0]), {"rho": 28.0})
    assert np.all(found.outcome == Outcome.NOT_CONVERGED)
    assert np.all(found.stats["steps"] == 20)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Ode(growth, "rk4"), SettingError, r"method 'rk4'.*'tsit5', 'dopri5', 'dopri8', 'kvaerno3', 'kvaerno5'"),
        (lambda: Ode(growth, rtol=0), SettingError, "1e-14 < rtol < 1"),
        (lambda: Ode(growth, "kvaerno5", step=0.1), SettingError, "a positive step and an explicit method"),
        (lambda: Ode(growth, step=-1.0), SettingError, "a positive step"),
        (lambda: Ode(growth).solve(np.ones(3), TIMES), DataError, r"shape \(3,\).*\(sample, component\)"),
        (lambda: Ode(growth).solve(np.ones((3, 1)), TIMES[::-1]), DataError, "increasing finite numbers"),
        (lambda: Ode(growth).solve(np.ones((3, 1)), TIMES, {"r": np.ones(2)}), DataError, r"parameter 'r' of shape \(2,\)"),
    ],
)
def test_bad_settings_and_shapes_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
