"""Definitions, invariance to batch, order and resolution, and the traps of published definitions."""

import numpy as np
import pytest

from sciml.metrics import BANDS, CORE, METRICS, compat, measure, rollout, spectral
from solvers.grid import Grid

FIELD = [name for name in CORE if name != "rmse"]
SQUARE = Grid.box("periodic", 64, dimension=2)
WALLS = {"node": "dirichlet", "cell": "neumann"}


def band_limited(grid: Grid, seed: int, items: int = 3, channels: int = 2) -> np.ndarray:
    """Smooth fields, the same function on every grid of that kind."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(*(axis.coordinates() for axis in grid.axes), indexing="ij")
    field = np.zeros((items, channels, *grid.shape))
    for i in range(3):
        for j in range(3):
            phase, size = rng.uniform(0, 2 * np.pi, (2, items, channels, 1, 1)), rng.standard_normal((items, channels, 1, 1))
            field += size * np.cos(2 * np.pi * i * x + phase[0]) * np.cos(2 * np.pi * j * y + phase[1])
    return field + rng.standard_normal((items, channels, 1, 1))


@pytest.mark.parametrize("name", FIELD)
@pytest.mark.parametrize("kind", ["periodic", "node", "cell"])
def test_a_metric_does_not_depend_on_batch_or_order_and_vanishes_for_the_truth(name, kind):
    grid = Grid.box(kind, 32, dimension=2, boundary=WALLS.get(kind))
    u, v = band_limited(grid, 1), band_limited(grid, 2)
    whole = METRICS[name](v, u, grid)
    one_by_one = np.concatenate([METRICS[name](v[i : i + 1], u[i : i + 1], grid) for i in range(len(u))])
    backwards = METRICS[name](v[::-1], u[::-1], grid)[::-1]
    np.testing.assert_allclose(one_by_one, whole, rtol=1e-12)
    np.testing.assert_allclose(backwards, whole, rtol=1e-12)
    perfect = METRICS[name](u, u, grid)
    assert np.all(np.isnan(perfect) | (np.abs(perfect - (name == "spectrum_ratio")) < 1e-12))


@pytest.mark.parametrize("name", [n for n in FIELD if n not in ("max_error", "boundary")])
def test_a_metric_does_not_depend_on_the_resolution(name):
    coarse, fine = Grid.box("periodic", 32, dimension=2), Grid.box("periodic", 96, dimension=2)
    found = [METRICS[name](band_limited(g, 2), band_limited(g, 1), g) for g in (coarse, fine)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["node", "cell"])
def test_gradients_between_walls_agree_across_resolutions(kind):
    found = []
    for n in (64, 128):
        grid = Grid.box(kind, n, dimension=2, boundary=WALLS[kind])
        found.append(METRICS["relative_h1"](band_limited(grid, 2), band_limited(grid, 1), grid))
    np.testing.assert_allclose(found[0], found[1], rtol=2e-2)


def test_definitions():
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 4, 2, 16, 16))
    e = v - u
    found = measure(v, u, SQUARE, CORE)
    np.testing.assert_allclose(
        found["relative_l2"], np.linalg.norm(e.reshape(4, -1), axis=1) / np.linalg.norm(u.reshape(4, -1), axis=1)
    )
    by_channel = np.sqrt((e**2).mean((2, 3)) / (u**2).mean((2, 3)))
    np.testing.assert_allclose(found["nrmse"], by_channel.mean(1))
    mean = np.broadcast_to(u.mean((2, 3), keepdims=True), u.shape)
    np.testing.assert_allclose(measure(mean, u, SQUARE, ("vrmse",))["vrmse"], 1, rtol=1e-6)
    np.testing.assert_allclose(found["rmse"], np.sqrt((e**2).mean((1, 2, 3))))
    np.testing.assert_allclose(
        measure(u + 0.5, u, SQUARE, ("conservation",))["conservation"], (0.5 / np.sqrt((u**2).mean((2, 3)))).mean(1)
    )
    assert np.isnan(found["boundary"]).all()  # a torus has no walls


def test_the_boundary_counts_every_point_next_to_a_wall_once():
    grid = Grid.box("cell", 8, dimension=2, boundary="dirichlet")
    u = np.ones((1, 1, 8, 8))
    v = u.copy()
    v[..., 3, 4] += 7.0
    assert METRICS["boundary"](v, u, grid)[0] == 0.0
    v[..., 0, 0] += 1.0
    assert METRICS["boundary"](v, u, grid)[0] == pytest.approx(np.sqrt(1 / 28))


def test_the_gradient_of_a_wave_is_exact_on_a_torus_and_fourth_order_between_walls():
    errors = []
    for n in (32, 64):
        grid = Grid.box("node", n + 1, dimension=1, boundary="dirichlet")
        x = grid.axes[0].coordinates()
        errors.append(np.abs(spectral.derivative(np.sin(3 * x), grid.axes[0], 0) - 3 * np.cos(3 * x)).max())
    assert 3.7 < np.log2(errors[0] / errors[1]) < 4.6
    axis = Grid.box("periodic", 15, dimension=1).axes[0]
    x = axis.coordinates()
    np.testing.assert_allclose(
        spectral.derivative(np.sin(6 * np.pi * x), axis, 0), 6 * np.pi * np.cos(6 * np.pi * x), atol=1e-11
    )


@pytest.mark.parametrize("kind", ["periodic", "node", "cell"])
def test_bands_add_up_to_the_error(kind):
    grid = Grid.box(kind, (24, 17), dimension=2, boundary=WALLS.get(kind))
    u, v = np.random.default_rng(3).standard_normal((2, 5, 2, 24, 17))
    found = measure(v, u, grid, ("relative_l2", *BANDS))
    total = sum(found[b] ** 2 for b in BANDS)
    np.testing.assert_allclose(total, found["relative_l2"] ** 2, rtol=1e-12)


def test_both_diagonals_of_the_spectrum_count():
    x, y = np.meshgrid(*(axis.coordinates() for axis in SQUARE.axes), indexing="ij")
    u = np.ones((1, 1, 64, 64))
    plus, minus = (np.cos(16 * np.pi * (x + s * y))[None, None] for s in (1, -1))
    ours = [measure(u + e, u, SQUARE, ("spectral_mid",))["spectral_mid"][0] for e in (plus, minus)]
    assert ours[0] == pytest.approx(ours[1], rel=1e-12) == pytest.approx(np.sqrt(0.5))
    theirs = [compat.pdebench((u + e)[:, None], u[:, None])["fRMSE mid"] for e in (plus, minus)]
    assert theirs[0] == pytest.approx(0.0625, rel=1e-9)
    assert theirs[1] == pytest.approx(0.0, abs=1e-12)


def test_published_batch_measures_depend_on_the_batch():
    rng = np.random.default_rng(5)
    u, v = rng.standard_normal((2, 256, 2, 1, 64))
    v = u + 0.3 * v + rng.standard_normal((256, 1, 1, 1)) * 0.3
    found = {size: compat.pdebench(v, u, batch_size=size) for size in (1, 4, 256)}
    for name in ("cRMSE", "max"):
        assert found[1][name] < 0.95 * found[4][name] < 0.95 * found[256][name]
    for name in ("RMSE", "nRMSE"):
        assert found[1][name] == pytest.approx(found[256][name], rel=1e-12)
    assert compat.realpdebench_r2(v, u) != pytest.approx(
        np.mean([compat.realpdebench_r2(v[i : i + 4], u[i : i + 4]) for i in range(0, 256, 4)])
    )


def test_the_well_divides_by_the_variance_of_a_sample():
    u, v = np.random.default_rng(6).standard_normal((2, 3, 4, 2, 8, 8))
    ours = rollout.vrmse_by_step(v, u)
    theirs = compat.the_well(v, u)["VRMSE"].mean(2)
    np.testing.assert_allclose(ours / theirs, np.sqrt(64 / 63), rtol=1e-6)
    assert np.allclose(compat.the_well(u, u)["PearsonR"], 63 / 64, atol=1e-5)  # of a perfect prediction


def test_apebench_sums_channels_and_does_not_centre():
    u, v = np.random.default_rng(7).standard_normal((2, 3, 4, 2, 32))
    np.testing.assert_allclose(compat.apebench(v, u)["nRMSE"], 2 * rollout.nrmse_by_step(v, u), rtol=1e-12)
    up = compat.apebench(v + 100, u + 100)["correlation"]
    assert (up > 0.99).all()
    assert (np.abs(rollout.correlation_by_step(v + 100, u + 100)) < 0.6).all()


def test_whole_trajectories_and_means_of_frames_differ():
    u = np.ones((1, 2, 1, 16))
    u[:, 1] *= 10
    v = u.copy()
    v[:, 0] += 1
    assert compat.fno(v, u)[0] == pytest.approx(1 / np.sqrt(101))
    assert rollout.nrmse_by_step(v, u).mean() == pytest.approx(0.5)


def test_the_h1_of_mgno_is_not_relative():
    u, v = np.random.default_rng(8).standard_normal((2, 2, 1, 16, 16))
    np.testing.assert_allclose(compat.mgno_h1(10 * v, 10 * u, 1 / 16), 10 * compat.mgno_h1(v, u, 1 / 16))


def test_roll_outs_that_blow_up_are_counted_and_do_not_poison_means():
    truth = np.random.default_rng(9).standard_normal((3, 5, 1, 16))
    wrong = truth * 1.1
    wrong[1, 3:] = np.nan
    by_step = rollout.nrmse_by_step(wrong, truth)
    np.testing.assert_allclose(by_step[0], 0.1)
    assert np.isinf(by_step[1, 3:]).all()
    assert list(rollout.blown_up(by_step)) == [False, True, False]
    assert rollout.geometric_mean(by_step)[1] == pytest.approx((0.1**3 * 10**2) ** 0.2)
    assert rollout.window(by_step, 1, 5)[1] == pytest.approx((0.3 + 20) / 5)
    assert np.isnan(rollout.window(by_step, 6, 12)).all()
    times = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert list(rollout.stability_horizon(wrong, truth, times)) == [5, 4, 5]
    assert list(rollout.correlation_time(wrong, truth, times)) == [5, 4, 5]
    assert np.isinf(rollout.histogram_distance(wrong, truth)[1])


def test_correlation_time_and_histogram():
    x = np.linspace(0, 1, 64, endpoint=False)
    shift = np.array([0.0, 0.02, 0.1, 0.25])
    truth = np.broadcast_to(np.sin(2 * np.pi * x), (1, 4, 1, 64))
    moved = np.sin(2 * np.pi * (x - shift[:, None]))[None, :, None]
    np.testing.assert_allclose(rollout.correlation_by_step(moved, truth)[0], np.cos(2 * np.pi * shift), atol=1e-12)
    assert rollout.correlation_time(moved, truth, shift)[0] == 0.1
    assert rollout.histogram_distance(truth + 1, truth)[0] == pytest.approx(np.sqrt(2))
    assert rollout.histogram_distance(truth[..., ::-1], truth)[0] == pytest.approx(0, abs=1e-12)


def test_the_spectrum_ratio_sees_damping_but_no_phase():
    grid = Grid.box("periodic", 64, dimension=1)
    u = np.random.default_rng(10).standard_normal((2, 1, 64))
    assert np.allclose(measure(np.roll(u, 5, -1), u, grid, ("spectrum_ratio",))["spectrum_ratio"], 1)
    assert np.allclose(measure(0.5 * u, u, grid, ("spectrum_ratio",))["spectrum_ratio"], 4)
