"""Cavity with membranes: exact modes, bounded energy, order two, the backbone of a cubic spring, superposition, response."""

import numpy as np
import pytest
from scipy.linalg import expm

from solvers.errors import DataError, SettingError
from solvers.membrane_cavity import Drive, MembraneCavity, cosines, post_modes, rectangle_modes

BOX = (1.0, 0.6)
PLACES = np.array([[0.13, 0.11], [0.47, 0.23], [0.81, 0.52]])
HZ = np.array([450.0, 800.0, 1300.0])


def cavity(*, dt=20e-6, cubic=1.0, damping=0.0, resistance=0.0, modes=24, area=12e-4, limit=2e-6):
    angular, orders = rectangle_modes(BOX, modes)
    psi = cosines(orders, BOX, PLACES)
    mass = np.full(3, 0.5e-3)
    stiffness = mass * (2 * np.pi * HZ) ** 2
    return MembraneCavity(
        angular, np.full(modes, damping), psi, psi[:, :2], psi, mass, np.full(3, resistance), stiffness,
        cubic * stiffness / limit**2, area=area, dt=dt,
    )  # fmt: skip


def start(system, samples=2, size=1.0, seed=3):
    rng, n = np.random.default_rng(seed), len(system.angular)
    parts = (
        size * rng.standard_normal((samples, 2 * n)),
        2e-6 * size * rng.standard_normal((samples, 3)),
        np.zeros((samples, 3)),
    )
    return np.concatenate(parts, axis=1)


def test_modes_of_an_empty_box_by_formula_and_by_eigenvectors_of_order_two():
    angular, orders = rectangle_modes(BOX, 12)
    assert angular[1] == pytest.approx(np.pi * 343.0)  # a half wave along the longer side
    assert np.all(np.diff(angular) >= 0)
    x, y = np.meshgrid((np.arange(200) + 0.5) / 200, 0.6 * (np.arange(120) + 0.5) / 120, indexing="ij")
    psi = cosines(orders, BOX, np.stack([x.ravel(), y.ravel()], 1))
    np.testing.assert_allclose(psi @ psi.T / psi.shape[1], np.eye(12), atol=1e-12)
    errors = []
    for h in (0.05, 0.025):
        found, values = post_modes(BOX, (), 0.0, 12, PLACES, h=h)
        errors.append(np.abs(found[1:] / angular[1:] - 1).max())
        assert values.shape == (12, 3)
    assert 1.9 < np.log2(errors[0] / errors[1]) < 2.1


def test_posts_lower_the_symmetry_and_hold_no_places():
    found, _ = post_modes(BOX, ((0.3, 0.2), (0.7, 0.41)), 0.06, 10, PLACES)
    empty, _ = rectangle_modes(BOX, 10)
    assert found[0] == pytest.approx(0, abs=1e-3)
    assert np.abs(found[1:] / empty[1:] - 1).max() > 0.005
    with pytest.raises(DataError, match="inside a post"):
        post_modes(BOX, ((0.47, 0.23),), 0.05, 4, PLACES)


def test_energy_without_losses_is_bounded_and_of_order_two():
    worst = []
    for dt in (40e-6, 20e-6, 10e-6):
        system = cavity(dt=dt)
        found = system.solve(start(system), round(4.8e-3 / dt), record=round(240e-6 / dt))
        worst.append(found.stats["energy"].max())
    assert worst[1] < 2e-3
    assert cavity().solve(start(cavity()), 3000, record=12).stats["energy"].max() < 2e-3  # and does not grow
    assert np.all(np.abs(np.log2(np.divide(worst[:-1], worst[1:])) - 2) < 0.25)


def test_linear_motion_with_losses_against_the_matrix_exponential_at_order_two():
    errors = []
    for dt in (20e-6, 10e-6):
        s = cavity(dt=dt, cubic=0.0, damping=0.01, resistance=0.05)
        n, m, k = len(s.angular), 3, s.compliance
        a = np.zeros((2 * (n + m), 2 * (n + m)))
        p, u, xi, v = (slice(*ends) for ends in ((0, n), (n, 2 * n), (2 * n, 2 * n + m), (2 * n + m, None)))
        a[p, p], a[p, u], a[u, p] = -2 * np.diag(s.damping * s.angular), np.diag(s.angular), -np.diag(s.angular)
        a[p, v], a[xi, v], a[v, p] = -k * s.area * s.membranes, np.eye(m), s.area * (s.membranes / s.mass).T
        a[v, xi], a[v, v] = -np.diag(s.stiffness / s.mass), -np.diag(s.resistance / s.mass)
        first = start(s)
        exact = first @ expm(a * 0.01).T
        found = s.solve(first, round(0.01 / dt), record=round(0.01 / dt)).values[:, -1]
        weight = np.sqrt(np.concatenate([np.full(2 * n, 1 / k), s.stiffness, s.mass]))  # norm of energy
        errors.append(np.linalg.norm((found - exact) * weight) / np.linalg.norm(exact * weight))
    assert errors[1] < 2e-3
    assert 1.9 < np.log2(errors[0] / errors[1]) < 2.1


def test_superposition_without_cubic_springs_and_none_with_them():
    for cubic, bound in ((0.0, 1e-10), (1.0, None)):
        s = cavity(cubic=cubic)
        first = start(s, size=2.0)
        both = np.concatenate([first, first.sum(0, keepdims=True)])
        last = s.solve(both, 500, record=500).values[:, -1]
        gap = np.abs(last[0] + last[1] - last[2]).max() / np.abs(last).max()
        assert gap < bound if bound else gap > 1e-3


def test_backbone_of_a_cubic_spring():
    """w^2 = w0^2 (1 + 3/4 eta^2) for small eta = xi / xi_c: a membrane that no air loads."""
    s = cavity(area=1e-12, dt=2e-6)
    n = len(s.angular)
    for eta in (0.1, 0.2):
        first = np.zeros((1, 2 * n + 6))
        first[0, 2 * n] = eta * 2e-6
        record = s.solve(first, 8000).values[0, :, 2 * n]
        crossings = np.flatnonzero((record[:-1] > 0) & (record[1:] <= 0))
        exact = crossings + record[crossings] / (record[crossings] - record[crossings + 1])
        turns = 2 * np.pi * (len(exact) - 1) / ((exact[-1] - exact[0]) * s.dt)
        assert (turns / (2 * np.pi * HZ[0])) ** 2 - 1 == pytest.approx(0.75 * eta**2, rel=0.03)


def test_response_of_the_linear_cavity_is_the_transfer_function_at_order_two():
    tones, phases = (500.0, 900.0), np.array([[0.3, 1.0], [2.0, 0.1]])
    x, errors = np.array([[[1e-4, 2e-4], [0.0, 1e-4]]]), []
    for dt in (20e-6, 10e-6):
        s, steps = cavity(cubic=0.0, damping=0.05, resistance=0.2, dt=dt), round(0.24 / dt)
        drive = Drive(tones, phases, settle=steps, listen=steps // 12, every=round(1e-4 / dt))
        signal, error = s.respond(x, drive).values_or_raise()[0], []
        t = 0.24 + 1e-4 * np.arange(1, 201)
        for f, hz in enumerate(tones):
            w, k = 2 * np.pi * hz, s.compliance
            flow = x[0, :, f] * np.exp(1j * phases[:, f])
            modes = np.diag((s.angular**2 - w**2) / (1j * w) + 2 * s.damping * s.angular)
            spring = 1j * w / (s.stiffness - w**2 * s.mass + 1j * w * s.resistance)  # velocity over force
            p = np.linalg.solve(modes + k * s.area**2 * (s.membranes * spring) @ s.membranes.T, k * s.sources @ flow)
            exact = s.microphones.T @ p
            error.append(np.abs(2 * np.mean(signal * np.exp(-1j * w * t), axis=1) - exact).max() / np.abs(exact).max())
        errors.append(max(error))
    assert errors[1] < 3e-3
    assert 1.7 < np.log2(errors[0] / errors[1]) < 2.3


def test_bad_input():
    with pytest.raises(SettingError, match="Shorten"):
        cavity(dt=1e-3)
    with pytest.raises(DataError, match="sample"):
        cavity().solve(np.zeros((1, 5)), 10)
    with pytest.raises(DataError, match="2 sources"):
        cavity().respond(np.zeros((1, 3, 2)), Drive((500.0, 900.0), np.zeros((2, 2))))
