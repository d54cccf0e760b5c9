"""Compact spectra against full ones with a mask."""

import numpy as np
import pytest

from solvers import exponential
from solvers.exponential import ExponentialRK, _blocks, jax
from solvers.grid import Grid
from solvers.modes import Modes
from solvers.spectral import dealias_mask, wavenumbers

GRIDS = [
    Grid.box("periodic", shape, dimension=len(shape), stop=tuple(1.0 + i for i in range(len(shape))))
    for shape in ((12,), (13,), (1,), (2,), (12, 9), (7, 16), (2, 3), (8, 9, 10))
]


@pytest.mark.parametrize("fraction", [2 / 3, 0.5, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: str(grid.shape))
def test_compact_is_masked(grid, fraction):
    modes, axes = Modes(grid, fraction), tuple(range(1, grid.dimension + 1))
    mask = np.broadcast_to(dealias_mask(grid, fraction), Modes(grid, 1.0).shape)
    values = np.random.default_rng(5).standard_normal((3, *grid.shape))
    full = np.fft.rfftn(values, axes=axes)
    with jax.enable_x64(True):
        hat = np.asarray(modes.modes(values))
        back = np.asarray(modes.points(hat))
    assert hat.shape == (3, *modes.shape) == (3, *np.broadcast_shapes(*(row.shape for row in modes.k)))
    np.testing.assert_allclose(hat.reshape(3, -1), full[:, mask], atol=1e-12)
    np.testing.assert_array_equal(modes.cut(full).reshape(3, -1), full[:, mask])
    np.testing.assert_allclose(back, np.fft.irfftn(full * mask, s=grid.shape, axes=axes), atol=1e-12)
    for compact, row in zip(modes.k, wavenumbers(grid), strict=True):
        np.testing.assert_array_equal(np.broadcast_to(compact, modes.shape).ravel(), np.broadcast_to(row, mask.shape)[mask])


def test_blocks_hold_every_sample_once_in_equal_lengths(monkeypatch):
    monkeypatch.setattr(exponential, "BLOCK", 100)
    for samples, size in ((1, 10), (7, 40), (16, 50), (5, 1000), (3, 10), (0, 10)):
        blocks = _blocks(samples, size)
        assert len({len(rows) for rows in blocks}) == (samples > 0)
        assert all(len(rows) * size <= 100 or len(rows) == 1 for rows in blocks)
        np.testing.assert_array_equal(np.unique(np.concatenate([*blocks, []])), np.arange(samples))
        assert sum(len(rows) for rows in blocks) - samples < max(1, len(blocks))


@pytest.mark.parametrize("samples", [1, 5, 6])
def test_blocks_and_threads_change_no_sample(samples, monkeypatch):
    """Parameters, symbols and fields of each sample go with it into its block."""
    grid, times = Grid.box("periodic", 16, dimension=2), np.array([0.0, 0.1, 0.2, 0.5])
    rng = np.random.default_rng(8)
    start, forcing = rng.standard_normal((2, samples, 16, 16))
    nu = rng.uniform(0.01, 0.1, samples)

    def linear(k, p):
        return -p["nu"] * (k[0] ** 2 + k[1] ** 2)

    def nonlinear(u, modes, p):
        return modes.modes(p["f"] - modes.points(u) * modes.points(1j * modes.k[0] * u))

    def solved(block, threads):
        monkeypatch.setattr(exponential, "BLOCK", block)
        monkeypatch.setattr(exponential, "available", lambda: threads)
        return ExponentialRK(grid, linear, nonlinear, 0.05).solve(start, times, {"nu": nu, "f": forcing}).values

    whole, parts = solved(10**9, 1), solved(2 * 256, 1)
    np.testing.assert_allclose(parts, whole, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(solved(2 * 256, 3), parts)
    alone = ExponentialRK(grid, linear, nonlinear, 0.05).solve(start[-1:], times, {"nu": nu[-1:], "f": forcing[-1:]})
    np.testing.assert_allclose(alone.values[0], whole[-1], rtol=1e-11, atol=1e-11)
