"""Networks of oscillators: order four, conserved energy of the undamped ring, linear resonance, independent reference."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.errors import DataError, SettingError
from solvers.oscillators import DuffingRing, Pendulums

RNG = np.random.default_rng(17)
J = RNG.standard_normal((5, 5))
J, PUSH, ANGLES = (J + J.T) / 2, RNG.standard_normal(5), RNG.uniform(-1, 1, (2, 5))


def test_pendulums_against_a_general_integrator_at_order_four():
    def rate(_, y):
        q, v = y[:5], y[5:]
        s = np.sin(q)
        return np.concatenate([v, -s + np.array([sum(J[i] * (s - s[i])) for i in range(5)]) + PUSH])

    exact = [
        solve_ivp(rate, (0, 3), np.concatenate([a, np.zeros(5)]), method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        for a in ANGLES
    ]
    errors = [np.abs(Pendulums(J, PUSH, 3.0, n).solve(ANGLES).values.reshape(2, 10) - exact).max() for n in (60, 120, 240)]
    assert errors[-1] < 1e-6
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 4) < 0.3)


def test_undamped_ring_keeps_its_energy():
    ring = DuffingRing((1.0,), damping=0.0, cubic=1.0, coupling=0.4, duration=20.0, steps=2000)
    first = RNG.uniform(-1, 1, (2, 6))
    last = ring.solve(np.zeros((2, 6, 1)), first).values_or_raise()

    def energy(u, v):
        return np.sum(v**2 + u**2 + u**4 / 2 + 0.4 * (u - np.roll(u, 1, 1)) ** 2, axis=1) / 2

    np.testing.assert_allclose(energy(last[:, 0], last[:, 1]), energy(first, 0 * first), rtol=1e-7)


def test_linear_ring_settles_to_its_response():
    ring = DuffingRing((0.7,), damping=0.5, cubic=0.0, coupling=0.3, duration=60.0, steps=3000)
    drive = np.zeros((1, 4, 1))
    drive[0, 1, 0] = 0.8
    stiff = 1.6 * np.eye(4) - 0.3 * (np.roll(np.eye(4), 1, 0) + np.roll(np.eye(4), -1, 0))
    response = np.linalg.solve(stiff - 0.49 * np.eye(4) + 0.35j * np.eye(4), drive[0, :, 0])
    np.testing.assert_allclose(ring.solve(drive).values[0, 0], (response * np.exp(0.7j * 60)).real, atol=1e-6)


def test_bad_input():
    with pytest.raises(DataError, match="symmetric"):
        Pendulums(np.triu(J), PUSH)
    with pytest.raises(DataError, match=r"\(sample, 5\)"):
        Pendulums(J, PUSH).solve(np.zeros((2, 4)))
    with pytest.raises(SettingError, match="positive"):
        DuffingRing((1.0,), steps=0)
    with pytest.raises(DataError, match="frequency"):
        DuffingRing((1.0, 2.0)).solve(np.zeros((2, 3, 1)))
