"""Fourier tools: exact on trigonometric polynomials, for odd and even sizes, and the rule of the last mode of even ones."""

import numpy as np
import pytest

from solvers.errors import GridError
from solvers.grid import Grid
from solvers.spectral import dealias_mask, derivative, resample, wavenumbers

STARTS, STOPS = (-1.0, 0.5, 0.0), (1.0, 0.5 + 2 * np.pi, 0.7)
SIZES = [(8,), (9,), (8, 7), (7, 8), (9, 5), (6, 8), (4, 5, 6), (5, 6, 7)]


def box(sizes):
    return Grid.box("periodic", sizes, start=STARTS[: len(sizes)], stop=STOPS[: len(sizes)])


def waves(sizes, seed, count=6):
    """(amplitude, integer modes, phase) of a random polynomial below the last mode of `sizes`."""
    rng = np.random.default_rng(seed)
    rows = [[rng.integers(-((n - 1) // 2), (n - 1) // 2 + 1) for n in sizes] for _ in range(count)]
    return [(rng.standard_normal(), np.array(m), rng.uniform(0, 2 * np.pi)) for m in rows]


def polynomial(terms, grid, orders=None):
    """The polynomial or, by hand, its mixed derivative: each order turns the phase by a quarter and multiplies by k."""
    orders = orders or (0,) * grid.dimension
    total = np.zeros(grid.shape)
    for amplitude, m, phase in terms:
        k = 2 * np.pi * m / np.array(grid.lengths)
        angle = sum(a * x for a, x in zip(k, grid.mesh(), strict=True)) + phase + np.pi / 2 * sum(orders)
        total += amplitude * np.prod([float(a) ** o for a, o in zip(k, orders, strict=True)]) * np.cos(angle)
    return total


@pytest.mark.parametrize("sizes", SIZES)
def test_wavenumbers_differentiate_each_mode(sizes):
    grid = box(sizes)
    rows = wavenumbers(grid)
    halved = (*sizes[:-1], sizes[-1] // 2 + 1)
    assert np.broadcast_shapes(*(row.shape for row in rows)) == halved
    for i, (row, n) in enumerate(zip(rows, sizes, strict=True)):
        expected = np.fft.rfftfreq(n) if i == len(sizes) - 1 else np.fft.fftfreq(n)
        np.testing.assert_allclose(row.ravel(), 2 * np.pi * expected * n / grid.lengths[i], rtol=1e-14)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_derivatives_of_resolved_modes_are_exact(sizes, order, axis):
    if axis >= len(sizes):
        axis, order = len(sizes) - 1, order + 1
    orders = tuple(order if i == axis else 0 for i in range(len(sizes)))
    grid, terms = box(sizes), waves(sizes, seed=17)
    expected = polynomial(terms, grid, orders)
    found = derivative(polynomial(terms, grid), grid, orders)
    scale = max((np.pi * n / length) for n, length in zip(sizes, grid.lengths, strict=True)) ** order
    np.testing.assert_allclose(found, expected, atol=1e-13 * max(scale, 1))


@pytest.mark.parametrize(
    ("sizes", "orders"), [((8, 7), (1, 1)), ((7, 8), (2, 1)), ((5, 6, 7), (1, 1, 1)), ((4, 5, 6), (2, 0, 3))]
)
def test_mixed_derivatives_and_leading_axes(sizes, orders):
    grid, terms = box(sizes), [waves(sizes, seed) for seed in (18, 19, 20)]
    values = np.stack([polynomial(t, grid) for t in terms]).reshape(3, 1, *sizes)
    expected = np.stack([polynomial(t, grid, orders) for t in terms]).reshape(3, 1, *sizes)
    np.testing.assert_allclose(derivative(values, grid, orders), expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("sizes", [(8,), (8, 7), (7, 8), (6, 4)])
@pytest.mark.parametrize("axis", [0, 1])
def test_last_mode_of_an_even_axis_is_a_cosine(sizes, axis):
    """cos(pi j): every odd derivative vanishes on the points, every even one is a multiple of it."""
    axis = min(axis, len(sizes) - 1)
    if sizes[axis] % 2:
        axis = 1 - axis
    grid = box(sizes)
    k = np.pi * sizes[axis] / grid.lengths[axis]
    saw = np.moveaxis(np.broadcast_to((-1.0) ** np.arange(sizes[axis]), (*np.delete(sizes, axis), sizes[axis])), -1, axis)
    if len(sizes) == 2:  # and a wave along the other axis
        saw = saw * np.cos(2 * np.pi * grid.mesh()[1 - axis] / grid.lengths[1 - axis] + 0.4)
    for order, factor in ((1, 0), (2, -(k**2)), (3, 0), (4, k**4)):
        orders = tuple(order if i == axis else 0 for i in range(len(sizes)))
        np.testing.assert_allclose(derivative(saw, grid, orders), factor * saw, atol=1e-12 * k**order)


@pytest.mark.parametrize("n", [6, 7, 8, 9, 12, 15, 24, 30, 48, 63, 64, 96, 99, 192, 384, 768])
def test_two_thirds_of_the_modes_carry_products_without_aliasing(n):
    """No sum of two kept modes may land on a kept one after wrapping, and one mode more would."""
    kept = np.flatnonzero(dealias_mask(Grid.box("periodic", n)))
    top = kept.max()
    np.testing.assert_array_equal(kept, np.arange(top + 1))
    assert 2 * top - n < -top
    assert 2 * (top + 1) - n >= -(top + 1)


def test_product_of_masked_fields_is_exact_in_the_kept_modes():
    grid, fine = Grid.box("periodic", (12, 15)), Grid.box("periodic", (48, 45))
    rng = np.random.default_rng(21)
    mask = dealias_mask(grid)
    u, v = (np.fft.irfft2(np.fft.rfft2(rng.standard_normal(grid.shape)) * mask, s=grid.shape) for _ in range(2))
    exact = resample(resample(u, grid, fine.shape) * resample(v, grid, fine.shape), fine, grid.shape)
    error = np.abs(np.fft.rfft2(u * v) - np.fft.rfft2(exact))
    assert error[mask].max() < 1e-12
    assert error[~mask].max() > 1e-2  # the others are aliased: the mask is needed


@pytest.mark.parametrize("sizes", SIZES)
def test_masks_of_a_share_of_the_modes(sizes):
    grid = box(sizes)
    assert dealias_mask(grid, 1.0).all()
    half = dealias_mask(grid, 0.5)
    modes = [np.abs(k) * length / (2 * np.pi) for k, length in zip(wavenumbers(grid), grid.lengths, strict=True)]
    expected = np.all(np.broadcast_arrays(*(m < 0.25 * n - 1e-9 for m, n in zip(modes, sizes, strict=True))), axis=0)
    np.testing.assert_array_equal(half, expected)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [((8,), (12,)), ((8,), (13,)), ((9,), (11,)), ((9,), (16,)), ((8, 7), (9, 10)), ((6, 9), (6, 12)), ((4, 5, 6), (5, 8, 9))],
)
def test_resolved_modes_survive_a_change_of_resolution(sizes, shape):
    coarse, fine, terms = box(sizes), box(shape), waves(sizes, seed=22)
    u, expected = polynomial(terms, coarse), polynomial(terms, fine)
    np.testing.assert_allclose(resample(u, coarse, shape), expected, atol=1e-13)
    np.testing.assert_allclose(resample(expected, fine, sizes), u, atol=1e-13)
    np.testing.assert_allclose(resample(np.stack([u, 2 * u]), coarse, shape), np.stack([expected, 2 * expected]), atol=1e-13)


@pytest.mark.parametrize("fine", [9, 10, 12, 16, 17])
def test_last_mode_is_shared_between_both_signs(fine):
    """8 points know cos(4 x) alone: finer grids get that cosine, and coarsening brings cos(4 x + phase) back to it."""
    coarse, phase = Grid.box("periodic", 8, stop=2 * np.pi), 0.7
    x = Grid.box("periodic", fine, stop=2 * np.pi).coordinates()[0]
    saw = np.cos(4 * coarse.coordinates()[0])
    np.testing.assert_allclose(resample(saw, coarse, fine), np.cos(4 * x), atol=1e-14)
    found = resample(np.cos(4 * x + phase), coarse.with_shape(fine), 8)
    np.testing.assert_allclose(found, np.cos(phase) * saw, atol=1e-14)


def test_coarsening_drops_what_does_not_fit():
    grid = Grid.box("periodic", (32, 31), stop=2 * np.pi)
    x, y = grid.mesh()
    kept = np.cos(3 * x - 2 * y + 0.4)
    coarse = grid.with_shape((9, 8))
    expected = np.cos(3 * coarse.mesh()[0] - 2 * coarse.mesh()[1] + 0.4)
    np.testing.assert_allclose(resample(kept + np.sin(7 * x) + np.cos(5 * y + x), grid, (9, 8)), expected, atol=1e-14)
    same = resample(kept, grid, (32, 31))
    np.testing.assert_array_equal(same, kept)


@pytest.mark.parametrize(
    "call",
    [
        wavenumbers,
        dealias_mask,
        lambda grid: derivative(np.ones((8, 8)), grid, (1, 0)),
        lambda grid: resample(np.ones((8, 8)), grid, 16),
    ],
)
def test_walls_are_refused(call):
    with pytest.raises(GridError, match="Needed a periodic grid"):
        call(Grid.box("cell", 8, dimension=2, boundary="dirichlet"))
