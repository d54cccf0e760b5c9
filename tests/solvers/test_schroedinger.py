"""Split-step Schroedinger: exact waves, orders two and four, conserved mass and energy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.errors import DataError, GridError, SettingError, SolverError
from solvers.grid import Grid
from solvers.schroedinger import KINETIC, POTENTIAL, SplitStep, invariants

LINE = Grid.box("periodic", 256, start=-20, stop=20)
X = LINE.coordinates()[0]


def soliton(t, a=1.2, c=1.0):
    """Bright soliton for g = -1: the sech of i psi_s + psi_xx + 2 |psi|^2 psi = 0 at s = t / 2."""
    s = t / 2
    return a / np.cosh(a * (X - c * s)) * np.exp(1j * (c * X / 2 + (a**2 - c**2 / 4) * s))


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


@pytest.mark.parametrize("order", [2, 4])
def test_shares_of_a_step_are_symmetric_and_add_up(order):
    for shares in (KINETIC[order], POTENTIAL[order]):
        assert sum(shares) == pytest.approx(1, abs=1e-14)
        assert shares == shares[::-1]
    assert len(KINETIC[order]) == len(POTENTIAL[order]) + 1


@pytest.mark.parametrize(("order", "steps", "bound"), [(2, (0.04, 0.02, 0.01), 5e-5), (4, (0.08, 0.04, 0.02), 4e-9)])
def test_soliton_travels_at_the_order_of_the_splitting(order, steps, bound):
    errors = []
    for dt in steps:
        found = SplitStep(LINE, dt, order).solve(soliton(0)[None], np.array([0.0, 1.6]), {"g": -1.0})
        errors.append(np.linalg.norm(found.values[0, -1] - soliton(1.6)) / np.linalg.norm(soliton(1.6)))
        assert found.stats["mass"][0] < 1e-13
    assert np.all(np.abs(orders(errors) - order) < (0.5, 0.1))  # the largest step is not yet in the limit
    assert errors[-1] < bound


@pytest.mark.parametrize(("order", "steps"), [(2, (0.02, 0.01, 0.005)), (4, (0.04, 0.02, 0.01))])
def test_energy_drifts_at_the_order_of_the_splitting(order, steps):
    start = np.stack([np.exp(-(X**2) + 1j * X), 1 / np.cosh(X - 1)])
    drift = [
        SplitStep(LINE, dt, order).solve(start, np.linspace(0, 1, 6), {"g": np.array([1.5, -0.5]), "V": np.cos(np.pi * X / 10)})
        for dt in steps
    ]
    assert max(result.stats["mass"].max() for result in drift) < 1e-13
    rates = orders([result.stats["energy"] for result in drift])
    assert np.all(rates > order - 0.3)
    assert np.all(drift[-1].stats["energy"] < 1e-5)
    assert np.all(drift[-1].stats["energy"] > 1e-15)  # it is measured, and not zero by construction


def test_free_packet_spreads_as_known_in_any_step():
    """Gaussian of width w at wavenumber k: centre k t, complex width w^2 + i t."""
    w, k, t = 1.0, 2.0, 1.2
    width = w**2 + 1j * t
    exact = np.sqrt(w**2 / width) * np.exp(-((X - k * t) ** 2) / (2 * width) + 1j * k * (X - k * t / 2))
    found = SplitStep(LINE, dt=10.0, order=2).solve(np.exp(-(X**2) / 2 + 1j * k * X)[None], np.array([0, 0.7, t]))
    np.testing.assert_allclose(found.values[0, -1], exact, atol=1e-10)


@pytest.mark.parametrize("n", [(6, 9), (4, 5, 6)])
def test_plane_waves_of_any_grid_turn_at_their_own_rate(n):
    """psi = A exp(i k x), frequency k^2 / 2 + V + g A^2, in two and three dimensions."""
    grid = Grid.box("periodic", n, stop=(1.0, 2.0, 3.0)[: len(n)])
    k = 2 * np.pi / np.array(grid.lengths) * np.array([1, -2, 1])[: len(n)]
    wave = 0.7 * np.exp(1j * sum(a * x for a, x in zip(k, grid.mesh(), strict=True)))
    found = SplitStep(grid, 0.05).solve(np.stack([wave] * 2), np.array([1.0, 1.3]), {"g": np.array([2.0, -1.0]), "V": 0.4})
    rate = np.sum(k**2) / 2 + 0.4 + np.array([2.0, -1.0]) * 0.49
    turned = np.exp(-0.3j * rate).reshape(2, *(1,) * len(n)) * wave
    np.testing.assert_allclose(found.values[:, -1], turned, atol=1e-12)


def test_against_a_general_integrator():
    """The same modes by a Runge-Kutta method of high order, with potential and cubic term."""
    grid = Grid.box("periodic", 32, stop=2 * np.pi)
    x = grid.coordinates()[0]
    start, potential = np.exp(1j * x) + 0.5 * np.cos(2 * x), 1.5 * np.sin(x)
    k2 = np.fft.fftfreq(32, 1 / 32) ** 2

    def rate(_, psi):
        return -1j * (np.fft.ifft(k2 / 2 * np.fft.fft(psi)) + (potential + 0.8 * np.abs(psi) ** 2) * psi)

    reference = solve_ivp(rate, (0, 1), start.astype(complex), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    found = SplitStep(grid, 0.005).solve(start[None], np.array([0.0, 1.0]), {"V": potential, "g": 0.8})
    np.testing.assert_allclose(found.values[0, -1], reference, atol=1e-8)


def test_invariants_of_a_plane_wave():
    grid = Grid.box("periodic", 16, stop=2 * np.pi)
    mass, energy, size = invariants(2 * np.exp(3j * grid.coordinates()[0]), grid, 0.5, -1.0)
    np.testing.assert_allclose(np.array([mass, energy, size]) / (2 * np.pi), [4, 18 - 4 + 4, 18 + 4 + 4])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SplitStep(Grid.box("cell", 8), 0.1), GridError, "periodic grid"),
        (lambda: SplitStep(LINE, 0.1, order=3), SettingError, "order 2 or 4"),
        (lambda: SplitStep(LINE, 0.0), SettingError, "dt > 0"),
        (lambda: SplitStep(LINE, 0.1).solve(np.zeros((1, 7)), np.array([0, 1.0])), DataError, r"\(sample, 256\)"),
        (lambda: SplitStep(LINE, 0.1).solve(np.full((1, 256), np.inf), np.array([0, 1.0])), DataError, "infinity"),
        (lambda: SplitStep(LINE, 0.1).solve(np.zeros((1, 256)), np.array([1.0, 1.0])), DataError, "increasing"),
        (lambda: SplitStep(LINE, 0.1).solve(np.zeros((1, 256)), np.array([0, 1.0]), {"v": 1.0}), DataError, "'V'"),
        (lambda: SplitStep(LINE, 0.1).solve(np.zeros((1, 256)), np.array([0, 1.0]), {"V": np.zeros(3)}), DataError, "'V'"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_overflow_is_a_named_failure():
    start = np.stack([np.ones(256), np.full(256, 1e160)])
    with np.errstate(over="ignore", invalid="ignore"):
        found = SplitStep(LINE, 0.1).solve(start, np.array([0.0, 0.5]), {"g": 1.0})
    with pytest.raises(SolverError, match=r"indices 1\)"):
        found.values_or_raise()


def test_absorption_takes_mass_at_its_rate_and_turns_the_phase_by_what_is_left():
    """Uniform wave: |psi| = exp(-s t), phase -g (1 - exp(-2 s t)) / (2 s), exact at any step."""
    found = SplitStep(LINE, 0.5, 2).solve(np.ones((1, 256)), np.array([0.0, 2.0]), {"g": 1.5, "s": 0.3})
    exact = np.exp(-0.6 - 1.5j * (1 - np.exp(-1.2)) / 0.6)
    np.testing.assert_allclose(found.values[0, -1], exact, atol=1e-12)
    partial = SplitStep(LINE, 0.01).solve(
        soliton(0)[None], np.array([0.0, 1.0]), {"g": -1.0, "s": np.where(np.abs(X) > 15, 5.0, 0)}
    )
    np.testing.assert_allclose(partial.values[0, -1][np.abs(X) < 10], soliton(1.0)[np.abs(X) < 10], atol=1e-4)


FIBRE = Grid.box("periodic", 64, start=-8, stop=8, dimension=2)
GUIDE = 0.5 * sum(x**2 for x in FIBRE.mesh())


def test_fundamental_mode_of_a_parabolic_guide_is_stationary():
    mode = np.exp(-GUIDE)[None]
    found = SplitStep(FIBRE, 0.01).solve(mode, np.array([0.0, 2.0]), {"V": GUIDE})
    np.testing.assert_allclose(found.values[0, -1], mode[0] * np.exp(-2j), atol=1e-7)


def test_parabolic_guide_images_any_field_after_half_a_turn():
    """At pi R / sqrt(2 Delta), here pi, the field is there again, upside down: the self-imaging of a graded-index fibre."""
    x, y = FIBRE.mesh()
    field = np.exp(-((x - 1) ** 2) - (y + 0.5) ** 2 / 2 + 1j * y)[None]
    found = SplitStep(FIBRE, np.pi / 400).solve(field, np.array([0.0, np.pi]), {"V": GUIDE}).values[0, -1]
    upside_down = np.roll(field[0, ::-1, ::-1], (1, 1), (0, 1))
    np.testing.assert_allclose(np.abs(found), np.abs(upside_down), atol=1e-5)
