"""Linear waves: d'Alembert, eigenmodes, media with jumps, energy, and sides that absorb."""

import numpy as np
import pytest

from solvers.errors import DataError, GridError, SettingError, SolverError
from solvers.grid import Axis, Grid
from solvers.result import Outcome
from solvers.waves import Leapfrog, SpectralWave, energy, face_speeds


def pair(u, v):
    return np.stack(np.broadcast_arrays(u, v), axis=-1)[None]


def line(n, low="neumann", high="neumann", start=0.0, stop=1.0):
    return Grid((Axis("x", n, start, stop, "cell", (low, high)),))


def pulse(x, centre, width=0.05):
    return np.exp(-(((x - centre) / width) ** 2))


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


# Exactly, on periodic boxes


def test_dalembert_splits_a_pulse_into_two():
    grid = Grid.box("periodic", 256)
    x, c, t = grid.coordinates()[0], np.array([0.5, 0.2]), np.array([1.0, 1.4])
    start = pair(pulse(x, 0.5), 0.0)
    found = SpectralWave(grid).solve(np.concatenate([start, start]), t, {"c": c}).values
    for i in range(2):
        np.testing.assert_allclose(found[i, 1, :, 0], (pulse(x, 0.5 - 0.4 * c[i]) + pulse(x, 0.5 + 0.4 * c[i])) / 2, atol=1e-12)


def test_wave_that_travels_one_way_keeps_u_and_v_together():
    grid = Grid.box("periodic", 128, stop=2.0)
    x, c, t = grid.coordinates()[0], 0.7, 0.9
    shape = lambda s: np.sin(3 * np.pi * s) + 0.3 * np.cos(8 * np.pi * s)  # noqa: E731
    slope = lambda s: 3 * np.pi * np.cos(3 * np.pi * s) - 2.4 * np.pi * np.sin(8 * np.pi * s)  # noqa: E731
    found = SpectralWave(grid).solve(pair(shape(x), -c * slope(x)), np.array([0.0, t]), {"c": c}).values[0, 1]
    np.testing.assert_allclose(found, pair(shape(x - c * t), -c * slope(x - c * t))[0], atol=1e-11)


@pytest.mark.parametrize("sizes", [(8, 9), (6, 5, 8)])
def test_eigenmodes_turn_at_their_own_rate_and_the_mean_drifts(sizes):
    lengths = (1.0, 2.0, 1.5)[: len(sizes)]
    grid = Grid.box("periodic", sizes, stop=lengths)
    k = 2 * np.pi / np.array(lengths) * np.array([1, -2, 1])[: len(sizes)]
    wave = np.cos(sum(a * b for a, b in zip(k, grid.mesh(), strict=True)) + 0.4)
    found = SpectralWave(grid).solve(pair(wave, 0.25), np.array([0.0, 0.3, 2.0]), {"c": 1.3}).values
    expected = wave * np.cos(1.3 * np.linalg.norm(k) * 2.0) + 0.25 * 2.0
    np.testing.assert_allclose(found[0, 2, ..., 0], expected, atol=1e-12)
    np.testing.assert_allclose(found[0, :, ..., 1].mean(axis=tuple(range(1, grid.dimension + 1))), 0.25, atol=1e-12)


# By leap-frog


@pytest.mark.parametrize(("side", "mode"), [("neumann", np.cos), ("dirichlet", np.sin)])
def test_standing_waves_between_reflecting_walls_at_second_order(side, mode):
    """u = X(2 pi x) Y(pi y / 2) cos(omega t) on [0, 1] x [0, 2]."""
    errors = []
    for n in (16, 32, 64):
        grid = Grid.box("cell", (n, n), stop=(1.0, 2.0), boundary=side)
        x, y = grid.mesh()
        wave, omega = mode(2 * np.pi * x) * mode(np.pi * y / 2), 1.5 * np.pi * np.hypot(2, 0.5)
        found = Leapfrog(grid, 0.3 / n).solve(pair(wave, 0.0), np.array([0.0, 0.6]), {"c2": 2.25})
        exact = pair(wave * np.cos(0.6 * omega), -omega * wave * np.sin(0.6 * omega))[0]
        errors.append(np.linalg.norm(found.values_or_raise()[0, 1] - exact) / np.linalg.norm(exact))
    assert np.all(np.abs(orders(errors) - 2) < 0.15)
    assert errors[-1] < 5e-3


def test_leapfrog_meets_the_exact_propagator_where_both_apply():
    """Two programs without a common line, in three dimensions, over halved steps and cells."""
    errors = []
    for n in (12, 24):
        grid = Grid.box("periodic", n, dimension=3, stop=2 * np.pi)
        x, y, z = grid.mesh()
        start, times = pair(np.cos(x + y) * np.sin(z), np.sin(x) * np.cos(2 * y)), np.array([0.0, 0.5])
        exact = SpectralWave(grid).solve(start, times, {"c": 0.8}).values
        found = Leapfrog(grid, 2.4 / n).solve(start, times, {"c2": 0.64}).values
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    assert orders(errors)[0] == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("speeds", [(1.0, 2.0), (2.0, 0.5)])
def test_a_jump_of_the_speed_reflects_and_transmits_as_known(speeds):
    """u and c^2 u_x are continuous there: r = (c1 - c2) / (c1 + c2) comes back, 1 + r goes on."""
    n, (left, right) = 800, speeds
    grid = line(n)
    x = grid.coordinates()[0]
    c2 = np.where(x < 0.5, left**2, right**2)
    found = Leapfrog(grid, 0.4 / n).solve(
        pair(pulse(x, 0.25), 2 * left * (x - 0.25) / 0.05**2 * pulse(x, 0.25)), np.array([0.0, 0.4 / left]), {"c2": c2}
    )
    u = found.values_or_raise()[0, 1, :, 0]
    r = (left - right) / (left + right)
    place = 0.5 + (0.4 / left - 0.25 / left) * right
    assert u[np.argmin(np.abs(x - 0.35))] == pytest.approx(r, rel=0.01)
    assert u[np.argmin(np.abs(x - min(place, 1)))] == pytest.approx(1 + r, rel=0.02)


def test_energy_stays_near_its_value_for_long_and_returns_when_time_is_reversed():
    grid = Grid((Axis("x", 24, 0, 1, "cell", ("dirichlet", "neumann")), Axis("y", 20)))
    rng = np.random.default_rng(23)
    c2 = rng.uniform(0.5, 2.0, (2, *grid.shape))
    x, y = grid.mesh()
    start = np.concatenate([pair(np.sin(np.pi * x / 2) * np.cos(2 * np.pi * y), 0.0), pair(0.0, np.sin(2 * np.pi * y))])
    changes = []
    for dt in (0.01, 0.005):
        found = Leapfrog(grid, dt).solve(start, np.linspace(0, 20, 5), {"c2": c2})
        changes.append(found.stats["energy"])
    assert np.all(np.abs(orders(changes) - 2) < 0.5)
    assert np.all(changes[1] < 0.01)
    turned = found.values[:, -1] * (1, -1)
    back = Leapfrog(grid, 0.005).solve(turned, np.linspace(0, 20, 5), {"c2": c2}).values[:, -1]
    np.testing.assert_allclose(back * (1, -1), start, atol=1e-9)


def test_energy_is_that_of_the_scheme():
    """Its gradient by u is minus the scheme's acceleration: checked by differences on a grid of every kind of side."""
    grid = Grid(
        (Axis("x", 4, 0, 1, "cell", ("outflow", "dirichlet")), Axis("y", 3), Axis("z", 3, 0, 2, "cell", ("neumann", "outflow")))
    )
    rng = np.random.default_rng(90210)
    c2, u = rng.uniform(1, 2, (1, *grid.shape)), rng.standard_normal((1, *grid.shape))
    faces = face_speeds(c2, grid)
    dt = 1e-7  # one step so small that v is the acceleration
    start = np.stack([u, 0 * u], axis=-1)
    rate = Leapfrog(grid, 1.0).solve(start, np.array([0.0, dt]), {"c2": c2}).values[0, 1, ..., 1] / dt
    half = [np.where(np.arange(4) == 0, 0.5, 1.0)[:, None, None], np.where(np.arange(3) == 2, 0.5, 1.0)]
    cell = np.prod(grid.spacing) * half[0] * half[1] * np.ones(grid.shape)
    for at in [(0, 1, 2), (3, 0, 0), (1, 2, 1), (0, 0, 0)]:
        bump = np.zeros_like(start)
        bump[(0, *at, 0)] = 1e-4
        slope = (energy(start + bump, faces, grid) - energy(start - bump, faces, grid))[0] / 2e-4
        assert slope == pytest.approx(-rate[at] * cell[at], rel=1e-5)


def test_absorbing_sides_let_a_pulse_out_at_second_order():
    left = []
    for n in (128, 256):
        grid = line(n, "outflow", "outflow")
        x = grid.coordinates()[0]
        found = Leapfrog(grid, 0.5 / n).solve(pair(pulse(x, 0.6), 0.0), np.array([0.0, 1.5]), {"c2": 1.0})
        left.append(np.abs(found.values_or_raise()[0, 1, :, 0]).max())
        assert found.stats["energy"][0] > 0.99
    assert orders(left)[0] == pytest.approx(2, abs=0.15)
    assert left[-1] < 1e-3
    closed = Leapfrog(line(64), 0.5 / 64).solve(
        pair(pulse(line(64).coordinates()[0], 0.6), 0.0), np.array([0.0, 1.5]), {"c2": 1.0}
    )
    assert np.abs(closed.values[0, 1, :, 0]).max() > 0.4  # the test could fail


# Failures


def test_a_step_beyond_the_bound_is_reported_for_the_fast_sample_alone():
    grid = line(16)
    start = np.concatenate([pair(np.cos(np.pi * grid.coordinates()[0]), 0.0)] * 2)
    found = Leapfrog(grid, 0.05).solve(start, np.array([0.0, 1.0]), {"c2": np.ones((2, 16)) * [[1.0], [4.0]]})
    assert list(found.outcome) == [Outcome.SUCCESS, Outcome.STEP_BOUND]
    np.testing.assert_allclose(found.stats["courant"], [0.8, 1.6])
    with pytest.raises(SolverError, match="stability bound"):
        found.values_or_raise()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SpectralWave(line(8)), GridError, "periodic grid"),
        (lambda: Leapfrog(Grid.box("node", 8), 0.1), GridError, "'neumann'"),
        (lambda: Leapfrog(line(8, "wall", "wall"), 0.1), GridError, "'outflow'"),
        (lambda: Leapfrog(line(8), -0.1), SettingError, "dt > 0"),
        (lambda: Leapfrog(line(8), 0.1).solve(np.zeros((1, 8)), [0, 1.0], {"c2": 1.0}), DataError, "rate of change"),
        (lambda: Leapfrog(line(8), 0.1).solve(np.full((1, 8, 2), np.nan), [0, 1.0], {"c2": 1.0}), DataError, "NaN"),
        (lambda: Leapfrog(line(8), 0.1).solve(np.zeros((1, 8, 2)), [1.0, 0.0], {"c2": 1.0}), DataError, "increasing"),
        (lambda: Leapfrog(line(8), 0.1).solve(np.zeros((1, 8, 2)), [0, 1.0], {"c2": -1.0}), DataError, "'c2' > 0"),
        (lambda: Leapfrog(line(8), 0.1).solve(np.zeros((1, 8, 2)), [0, 1.0], {}), DataError, "'c2' > 0"),
        (lambda: SpectralWave(Grid.box("periodic", 8)).solve(np.zeros((1, 8, 2)), [0, 1.0], {"c": 0.0}), DataError, "'c'"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
