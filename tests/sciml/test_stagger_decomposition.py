"""Interleaved decomposition: a permutation for any factors, and what a sub-grid cannot know."""

import itertools

import numpy as np
import pytest
import torch

from sciml.operators.neural_stagger.decomposition import InterleavedDecomposition, join_frames, split_frames
from sciml.operators.neural_stagger.floor import best_filter, filter_error, information_floor, rolled_filter
from solvers.errors import GridError, SettingError

SHAPES = ((13,), (16,), (6, 12), (13, 7), (3, 5), (4, 6, 9), (5, 3, 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_any_factors_round_trip_as_a_list(shape):
    x = torch.arange(2 * 3 * np.prod(shape)).reshape(2, *shape[::-1], 3).movedim(-1, 1).mT  # not contiguous
    x = x.reshape(2, 3, *shape) if x.shape[2:] != shape else x
    for factors in itertools.product(*[range(1, 9)] * len(shape)):
        split = InterleavedDecomposition(shape, factors)
        pieces = split.pieces(x)
        assert torch.equal(split.assemble(pieces), x)
        sizes = [tuple(max(0, -(-(n - a) // s)) for n, a, s in zip(shape, o, factors, strict=True)) for o in split.offsets]
        assert [tuple(p.shape[2:]) for p in pieces] == sizes


@pytest.mark.parametrize(("shape", "factors"), [((16,), 4), ((6, 12), (3, 2)), ((4, 6, 10), (2, 3, 5)), ((8, 8), (8, 1))])
def test_equal_sub_grids_round_trip_in_one_batch(shape, factors):
    split = InterleavedDecomposition(shape, factors)
    x = torch.randn(2, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    parts = split.split(x)
    for q, piece in enumerate(split.pieces(x)):
        assert torch.equal(parts[:, q], piece)
    assert torch.equal(split.join(parts), x)
    assert split.join(parts).dtype == torch.float64


def test_gradients_pass_through_both_layouts():
    split = InterleavedDecomposition((4, 6), (2, 3))
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 2, 4, 6, dtype=torch.float64)
    for there_and_back in (lambda v: split.join(split.split(v)), lambda v: split.assemble(split.pieces(v))):
        (gradient,) = torch.autograd.grad((there_and_back(x) * weights).sum(), x)
        assert torch.equal(gradient, weights)


def test_the_order_of_sub_grids_is_noticed():
    split = InterleavedDecomposition((4, 6), (2, 3))
    parts = split.split(torch.arange(48.0).reshape(1, 2, 4, 6))
    assert not torch.equal(split.join(parts.flip(1)), split.join(parts))
    unshuffled = torch.nn.functional.pixel_unshuffle(
        torch.arange(32.0).reshape(1, 2, 4, 4), 2
    )  # channel slowest: not our layout
    ours = InterleavedDecomposition((4, 4), 2).split(torch.arange(32.0).reshape(1, 2, 4, 4)).reshape(1, 8, 2, 2)
    assert unshuffled.shape == ours.shape
    assert not torch.equal(unshuffled, ours)


def test_frames_interleave_in_time():
    frames = torch.arange(2 * 7 * 3).reshape(2, 7, 3)
    for factor in range(1, 9):
        parts = split_frames(frames, factor)
        assert torch.equal(join_frames(parts), frames)
        assert all(torch.equal(part, frames[:, m::factor]) for m, part in enumerate(parts))
    even = frames[:, :6]
    assert not torch.equal(join_frames(split_frames(even, 2)[::-1]), even)
    with pytest.raises(SettingError, match="time=0"):
        split_frames(frames, 0)


def test_factors_that_do_not_divide_are_refused_with_those_that_do():
    with pytest.raises(GridError, match=r"factor 4 for the 66 points of axis y.*1, 2, 3, 6, 11, 22, 33, 66.*64 or 68"):
        InterleavedDecomposition((64, 66), (4, 4)).split(torch.zeros(1, 1, 64, 66))
    with pytest.raises(SettingError, match="2 of them"):
        InterleavedDecomposition((8, 8), (2, 2, 2))
    with pytest.raises(SettingError, match="a divisor of 6: 1, 2, 3, 6"):
        InterleavedDecomposition((12,), (6,)).every(4)
    with pytest.raises(GridError, match=r"\(item, channel, 8\)"):
        InterleavedDecomposition((8,), (2,)).split(torch.zeros(1, 1, 6))


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3), (4, 6)])
def test_some_sub_grids_are_a_coarse_field(stride):
    split = InterleavedDecomposition((8, 12), (4, 6))
    x = torch.randn(2, 1, 8, 12)
    coarse = split.coarser(stride).join(split.split(x)[:, split.every(stride)])
    assert torch.equal(coarse, x[:, :, :: stride[0], :: stride[1]])


# -- what a sub-grid knows --------------------------------------------------------------------------------------------


def law(alpha, n=64):
    k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)
    squares = k[:, None] ** 2 + k**2
    energy = (squares + 49) ** -alpha
    energy[0, 0] = 0
    return np.fft.fftfreq(n, 1 / n), squares, energy


@pytest.mark.parametrize(
    ("alpha", "dt", "expected"),
    [(2.5, 0.1, (0, 6.8e-3, 1.8e-2, 2.7e-2, 3.1e-2)), (2.5, 1, (0, 2.1e-3, 1.7e-2, 6.9e-2, 0.12)),
     (1.5, 0.1, (0, 8.7e-2, 0.16, 0.20, 0.21))],
)  # fmt: skip
def test_information_floor_of_heat(alpha, dt, expected):
    """Computed twice before, by programs that share nothing with this one."""
    _, squares, energy = law(alpha)
    found = [information_floor(energy, np.exp(-1e-3 * squares * dt), s) for s in (1, 2, 4, 8, 16)]
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=1e-12)


@pytest.mark.parametrize(("cells", "expected"), [(1, (2.8e-2, 5.9e-2, 9.3e-2, 0.13)), (4, (0, 7.3e-2, 0.22, 0.40))])
def test_information_floor_of_transport_vanishes_for_whole_sub_cells(cells, expected):
    k, _, energy = law(2.5)
    symbol = np.exp(-2j * np.pi * (k[:, None] + k / 2) * cells / 64)
    found = [information_floor(energy, symbol, s) for s in (2, 4, 8, 16)]
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=1e-12)


def test_past_frames_of_the_same_sub_grid_lower_the_floor():
    _, squares, energy = law(2.5)
    symbol = np.exp(-1e-4 * squares)
    found = [information_floor(energy, symbol, 2, m) for m in (0, 1, 2, 3)]
    np.testing.assert_allclose(found[:3], (6.8e-3, 3.6e-4, 4.7e-6), rtol=0.06)
    assert found[3] < 2e-7
    noisy = [information_floor(energy, symbol, 4, m, noise=1e-8) for m in (3, 6)]
    np.testing.assert_allclose(noisy, (1.6e-4, 7e-5), rtol=0.06)


@pytest.mark.parametrize(
    ("alpha", "dt", "s", "scheme", "plain", "preconditioned"),
    [(2.5, 0.1, 2, 3.4e-3, 8.4e-3, 7.0e-3), (2.5, 1, 4, 3.3e-2, 9.1e-2, 3.0e-2), (1.5, 1, 4, 0.29, 1.3, 0.24)],
)
def test_the_plain_residual_is_the_wrong_norm(alpha, dt, s, scheme, plain, preconditioned):
    _, squares, energy = law(alpha)
    linear = -1e-3 * squares
    new, old, symbol = 1 / dt - linear / 2, -1 / dt - linear / 2, np.exp(linear * dt)
    found = (
        filter_error(energy, symbol, -old / new),
        filter_error(energy, symbol, best_filter(energy, new, old, s)),
        filter_error(energy, symbol, best_filter(energy, new, old, s, 1 / new)),
    )
    np.testing.assert_allclose(found, (scheme, plain, preconditioned), rtol=0.03)
    least = filter_error(energy, symbol, best_filter(energy, np.ones_like(new), -symbol, s))
    np.testing.assert_allclose(least, information_floor(energy, symbol, s), rtol=1e-12)


@pytest.mark.parametrize(
    ("weighted", "errors", "amplitude"), [(False, (2.6e-2, 3.9e-2, 6.6e-2), 0.977), (True, (1.9e-2, 2.2e-2, 3.1e-2), 0.992)]
)
def test_gradients_through_a_roll_out_teach_a_sub_solver_to_damp(weighted, errors, amplitude):
    """Heat, s = 4, ten steps: computed before by another program; the last amplitude is that of 16 frames."""
    _, squares, energy = law(2.5)
    linear = -1e-3 * squares
    new, old, symbol = 10 - linear / 2, -10 - linear / 2, np.exp(0.1 * linear)
    weights = 1 / new if weighted else None
    filters = [rolled_filter(energy, new, old, 4, frames, weights) for frames in (1, 4, 16)]
    np.testing.assert_allclose([filter_error(energy, symbol, h, 10) for h in filters], errors, rtol=0.05)
    np.testing.assert_allclose(filters[0], best_filter(energy, new, old, 4, weights), rtol=1e-12)
    size = np.sqrt((energy * np.abs(filters[2]) ** 20).sum() / (energy * symbol**20).sum())
    assert size == pytest.approx(amplitude, abs=0.002)
