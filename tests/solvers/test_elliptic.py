"""Poisson solvers and diffusion operators against matrices assembled here, manufactured solutions and exact layers."""

import functools
import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from solvers.elliptic import (
    Poisson,
    apply_diffusion,
    apply_faces,
    apply_laplacian,
    backward,
    eigenvalues,
    face_coefficients,
    forward,
)
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.result import Outcome

D, N = "dirichlet", "neumann"
KINDS = {
    "periodic": ("periodic", ("periodic", "periodic")),
    "interior": ("interior", (D, D)),
    "node-dd": ("node", (D, D)),
    "node-nn": ("node", (N, N)),
    "cell-dd": ("cell", (D, D)),
    "cell-nn": ("cell", (N, N)),
    "cell-dn": ("cell", (D, N)),
    "cell-nd": ("cell", (N, D)),
}
CELLS = [name for name in KINDS if name.startswith("cell") or name == "periodic"]
# Kinds that meet in one problem, and sizes odd and even; the first ones have an axis that pins the constant.
MIXTURES = [
    (("interior", "periodic"), (9, 12)),
    (("cell-dn", "node-dd"), (8, 7)),
    (("periodic", "cell-nn"), (7, 6)),
    (("periodic", "periodic"), (6, 9)),
    (("node-nn", "node-nn"), (5, 8)),
    (("cell-nd", "node-nn"), (6, 5)),
    (("cell-dd", "periodic", "node-nn"), (5, 6, 7)),
    (("periodic", "interior", "periodic"), (5, 4, 8)),
    (("node-dd", "node-dd", "node-dd"), (6, 5, 7)),
    (("cell-nn", "cell-nn", "cell-nn"), (4, 5, 6)),
    (("periodic", "node-nn", "cell-nn"), (6, 5, 4)),
]
EVERY = [((name,), (n,)) for name in KINDS for n in (10, 11)] + MIXTURES


def axis_of(name, size, label="x", start=0.0, stop=1.0):
    kind, boundary = KINDS[name]
    return Axis(label, size, start, stop, kind, boundary)


def grid_of(names, sizes):
    """A box with another position and length along every axis."""
    rows = zip(names, sizes, "xyz"[: len(names)], (-0.5, 1.0, 0.0), (1.5, 1.7, 3.0), strict=False)
    return Grid(tuple(axis_of(name, size, label, start, stop) for name, size, label, start, stop in rows))


def is_singular(names):
    return all(name in ("periodic", "node-nn", "cell-nn") for name in names)


def line_matrix(name, n, h):
    """-d2/dx2 on one line, row by row from the differences and the condition at each side (rows of Dirichlet nodes: u = 0)."""
    a = np.zeros((n, n))
    kind, (left, right) = KINDS[name]
    for j in range(n):
        a[j, j] += 2
        for neighbour, side in ((j - 1, left), (j + 1, right)):
            if 0 <= neighbour < n:
                a[j, neighbour] -= 1
            elif kind == "periodic":
                a[j, neighbour % n] -= 1
            elif kind == "node" and side == N:  # the mirror of the neighbour inside
                a[j, 1 if j == 0 else n - 2] -= 1
            elif kind == "cell":  # value or slope zero on the wall half a cell away
                a[j, j] += 1 if side == D else -1
    return a / h**2


def box_matrix(names, grid):
    total = sp.csr_matrix((int(np.prod(grid.shape)),) * 2)
    for i, (name, axis) in enumerate(zip(names, grid.axes, strict=True)):
        parts = [sp.identity(n) for n in grid.shape]
        parts[i] = sp.csr_matrix(line_matrix(name, axis.size, axis.spacing))
        total = total + functools.reduce(sp.kron, parts)
    return sp.csr_matrix(total)


def inside(names, grid):
    """True at the unknowns: everywhere but on the nodes of Dirichlet walls."""
    keep = np.ones(grid.shape, bool)
    for i, name in enumerate(names):
        if name == "node-dd":
            np.moveaxis(keep, i, 0)[[0, -1]] = False
    return keep


def weights(names, grid):
    """Of each point in the mean: a half for Neumann nodes on walls, whose control volumes are cut."""
    total = np.ones(grid.shape)
    for i, name in enumerate(names):
        if name == "node-nn":
            np.moveaxis(total, i, 0)[[0, -1]] *= 0.5
    return total / total.sum()


def right_hand_sides(names, grid, samples=2, seed=7):
    f = np.random.default_rng(seed).standard_normal((samples, *grid.shape))
    if is_singular(names):
        f -= (f * weights(names, grid)).sum(tuple(range(1, f.ndim)), keepdims=True)
    return f


def observed_orders(errors, steps):
    return np.diff(np.log(errors)) / np.diff(np.log(steps))


@pytest.mark.parametrize(("names", "sizes"), EVERY)
def test_transforms_solve_the_stencil_to_rounding(names, sizes):
    grid = grid_of(names, sizes)
    f, keep = right_hand_sides(names, grid), inside(names, grid)
    result = Poisson(grid).solve(f)
    assert result.succeeded
    residual = (apply_laplacian(result.values, grid) - f)[:, keep]
    assert np.abs(residual).max() < 1e-12 * np.abs(f).max()
    assert np.all(result.values[:, ~keep] == 0)
    if is_singular(names):
        mean = (result.values * weights(names, grid)).sum(tuple(range(1, f.ndim)))
        assert np.abs(mean).max() < 1e-13 * np.abs(result.values).max()


@pytest.mark.parametrize(("names", "sizes"), EVERY)
def test_operator_and_solution_are_those_of_an_independent_matrix(names, sizes):
    grid = grid_of(names, sizes)
    a, keep = box_matrix(names, grid), inside(names, grid).ravel()
    u = np.random.default_rng(8).standard_normal((2, *grid.shape))
    expected = np.where(keep, u.reshape(2, -1) @ a.T, 0.0)
    np.testing.assert_allclose(apply_laplacian(u, grid).reshape(2, -1), expected, atol=1e-13 * np.abs(expected).max())

    f = right_hand_sides(names, grid, seed=9)
    unknowns = sp.csc_matrix(a[keep][:, keep])
    right = f.reshape(2, -1)[:, keep].T
    if is_singular(names):  # one more row and column: the mean of u is zero
        border = sp.csr_matrix(weights(names, grid).reshape(1, -1))
        unknowns = sp.csc_matrix(sp.bmat([[unknowns, border.T], [border, None]]))
        right = np.vstack([right, np.zeros((1, 2))])
    expected = np.zeros((2, keep.size))
    expected[:, keep] = spsolve(unknowns, right)[: keep.sum()].T
    np.testing.assert_allclose(Poisson(grid).solve(f).values.reshape(2, -1), expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(("names", "sizes"), EVERY)
def test_eigenvalues_are_those_of_the_matrix(names, sizes):
    grid = grid_of(names, sizes)
    keep = inside(names, grid).ravel()
    f = np.random.default_rng(11).standard_normal((2, *grid.shape))[
        :, *(slice(1, -1) if n == "node-dd" else slice(None) for n in names)
    ]
    np.testing.assert_allclose(backward(forward(f, grid), grid), f, atol=1e-13)
    found = np.unique(eigenvalues(grid).round(6))
    symmetric = np.sqrt(weights(names, grid).ravel()[keep])
    a = box_matrix(names, grid).toarray()[np.ix_(keep, keep)]
    expected = np.linalg.eigvalsh(symmetric[:, None] * a / symmetric)
    assert all(np.abs(expected - value).min() < 2e-6 for value in found)
    assert all(np.abs(found - value).min() < 2e-6 for value in expected)


def smooth(name, x, start, length):
    """A function that meets the conditions of its axis and no single eigenvector, and minus its second derivative."""
    s, c = np.pi / length, (x - start) / length
    if name == "periodic":
        g = np.exp(np.sin(2 * np.pi * c))
        return g, -((2 * s) ** 2) * g * (np.cos(2 * np.pi * c) ** 2 - np.sin(2 * np.pi * c))
    if name.endswith("nn"):
        g = np.exp(np.cos(np.pi * c))
        return g, -(s**2) * g * (np.sin(np.pi * c) ** 2 - np.cos(np.pi * c))
    if name in ("cell-dn", "cell-nd"):
        c = c if name == "cell-dn" else 1 - c
        return np.sinh(c) - c * np.cosh(1.0), -np.sinh(c) / length**2
    return c * (1 - c) * np.exp(c), (c**2 + 3 * c) * np.exp(c) / length**2


def manufactured(names, grid):
    parts = [smooth(name, x, a.start, a.length) for name, x, a in zip(names, grid.mesh(), grid.axes, strict=True)]
    u = np.prod([g for g, _ in parts], axis=0)
    f = sum(
        np.prod([minus_second if i == j else g for j, (g, minus_second) in enumerate(parts)], axis=0) for i in range(len(parts))
    )
    return u, f


ORDER_CASES = [((name,), (24, 49, 96)) for name in KINDS]
ORDER_CASES += [(pair, (24, 49, 96)) for pair in itertools.combinations(KINDS, 2)]
ORDER_CASES += [
    (("cell-dd", "periodic", "node-nn"), (17, 24, 33)),
    (("interior", "cell-dn", "cell-nd"), (17, 24, 33)),
    (("node-dd", "cell-nn", "periodic"), (17, 24, 33)),
    (("periodic", "cell-nn", "node-nn"), (17, 24, 33)),
]


@pytest.mark.parametrize(("names", "intervals"), ORDER_CASES)
def test_manufactured_solution_converges_at_second_order(names, intervals):
    errors, steps = [], []
    for n in intervals:
        grid = grid_of(names, tuple(n + {"interior": -1, "node": 1}.get(KINDS[name][0], 0) for name in names))
        u, f = manufactured(names, grid)
        found = Poisson(grid).solve(f[None], remove_mean=True).values[0]
        error = found - u
        if is_singular(names):
            error = error - (error * weights(names, grid)).sum()
        errors.append(np.abs(error).max())
        steps.append(grid.spacing[0])
    orders = observed_orders(errors, steps)
    assert np.all((orders > 1.9) & (orders < 2.1)), orders
    assert errors[-1] < 5e-3 * np.abs(u).max()


def test_a_uniform_source_in_the_square_lifts_its_middle_and_mean_to_their_known_values():
    """-laplace(u) = 1: u(1/2, 1/2) = 0.073671353279, mean 0.035144253736, by extrapolation from three grids."""
    rows = []
    for n in (63, 127, 255):
        u = Poisson(Grid.box("interior", n, dimension=2, boundary="dirichlet")).solve(np.ones((1, n, n))).values[0]
        rows.append([u[n // 2, n // 2], u.sum() / (n + 1) ** 2])
    coarse, middle, fine = np.array(rows)
    once = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    np.testing.assert_allclose((16 * once[1] - once[0]) / 15, [0.073671353279, 0.035144253736], atol=1e-10)


@pytest.mark.parametrize("sizes", [(12,), (13,), (8, 9), (9, 8), (6, 7, 8)])
def test_spectral_operator_is_exact_for_trigonometric_polynomials(sizes):
    grid = grid_of(("periodic",) * len(sizes), sizes)
    rng = np.random.default_rng(12)
    u, f = np.zeros((3, *sizes)), np.zeros((3, *sizes))
    for sample, _ in itertools.product(range(3), range(5)):
        m = np.array([rng.integers(-((n - 1) // 2), (n - 1) // 2 + 1) for n in sizes])
        k = 2 * np.pi * m / np.array(grid.lengths)
        if not m.any():
            continue
        wave = rng.standard_normal() * np.cos(sum(a * x for a, x in zip(k, grid.mesh(), strict=True)) + rng.uniform(0, 6))
        u[sample] += wave
        f[sample] += (k @ k) * wave
    result = Poisson(grid, operator="spectral").solve(f)
    np.testing.assert_allclose(result.values, u, atol=1e-13 * np.abs(f).max())
    assert np.abs(Poisson(grid).solve(f).values - u).max() > 1e-3  # the stencil is another operator


@pytest.mark.parametrize(("names", "sizes"), [case for case in EVERY if is_singular(case[0])])
def test_net_source_without_a_dirichlet_side_is_refused_or_removed(names, sizes):
    grid = grid_of(names, sizes)
    f = right_hand_sides(names, grid, samples=3)
    shifted = f.copy()
    shifted[1] += 0.25
    with pytest.raises(DataError, match=r"mean is not zero \(sample 1\).*remove_mean=True"):
        Poisson(grid).solve(shifted)
    np.testing.assert_allclose(Poisson(grid).solve(shifted, remove_mean=True).values, Poisson(grid).solve(f).values, atol=1e-12)


def test_no_source_gives_no_solution():
    for names in (("cell-nn", "periodic"), ("cell-dd", "periodic")):
        assert np.all(Poisson(grid_of(names, (6, 5))).solve(np.zeros((2, 6, 5))).values == 0)


@pytest.mark.parametrize("names", [("cell-dd", "periodic"), ("periodic", "node-nn")])
def test_samples_do_not_depend_on_their_batch_nor_change_their_input(names):
    grid = grid_of(names, (8, 9))
    f = right_hand_sides(names, grid, samples=3)
    kept = f.copy()
    together = Poisson(grid).solve(f).values
    for i in range(3):
        np.testing.assert_array_equal(Poisson(grid).solve(f[i : i + 1]).values[0], together[i])
    np.testing.assert_array_equal(f, kept)


def test_overflow_is_an_outcome():
    f = np.stack([np.ones(8), np.full(8, 1e308)])
    with np.errstate(all="ignore"):
        result = Poisson(grid_of(("cell-dd",), (8,))).solve(f)
    np.testing.assert_array_equal(result.outcome, [Outcome.SUCCESS, Outcome.BLOW_UP])


@pytest.mark.parametrize(
    ("f", "match"),
    [
        (np.ones((6, 5)), r"shape \(6, 5\). Needed \(sample, 6, 5\)"),
        (np.ones((1, 5, 6)), r"right-hand side f of shape \(1, 5, 6\)"),
        (np.ones((1, 6, 5, 1)), "Add the sample axis"),
        (np.where(np.arange(60).reshape(2, 6, 5) == 44, np.nan, 1.0), "NaN or infinity in sample 1"),
        (np.where(np.arange(60).reshape(2, 6, 5) == 3, np.inf, 1.0), "NaN or infinity in sample 0"),
    ],
)
def test_bad_right_hand_sides_are_refused(f, match):
    with pytest.raises(DataError, match=match):
        Poisson(grid_of(("cell-dd", "periodic"), (6, 5))).solve(f)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Poisson(Grid.box("periodic", 8), operator="compact"), SettingError, "'stencil' or 'spectral'"),
        (lambda: Poisson(Grid.box("cell", 8, boundary=D), operator="spectral"), SettingError, "a periodic grid"),
        (lambda: Poisson(Grid((Axis("x", 8, kind="node", boundary=(D, N)),))), SettingError, "cell grid for mixed sides"),
        (lambda: Poisson(Grid.box("interior", 8, boundary=N)), SettingError, "kind 'interior' with boundary"),
        (lambda: Poisson(Grid.box("cell", 8, boundary="robin")), SettingError, "robin"),
        (lambda: Poisson(Grid.box("node", (8, 2), boundary=D)), GridError, "2 nodes on axis 'y', both on walls"),
        (lambda: apply_laplacian(np.ones((1, 8)), Grid.box("cell", 8, boundary="free")), SettingError, "free"),
        (lambda: face_coefficients(np.ones((1, 8)), Grid.box("node", 8, boundary=D)), SettingError, "Use a cell grid"),
    ],
)
def test_grids_without_a_transform_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


# Diffusion with a coefficient


def coefficients(grid, samples=2, seed=13):
    return np.exp(np.random.default_rng(seed).standard_normal((samples, *grid.shape)))


def diffusion_matrix(a, grid):
    """Columns: the operator applied to each unit vector."""
    n = a.size
    units = np.eye(n).reshape(n, *grid.shape)
    return apply_diffusion(np.broadcast_to(a, units.shape), units, grid).reshape(n, n).T


CELL_CASES = [((name,), (n,)) for name in CELLS for n in (6, 7)] + [
    (("cell-dd", "periodic"), (5, 6)),
    (("cell-dn", "cell-nn"), (4, 5)),
    (("periodic", "periodic"), (4, 5)),
    (("cell-nd", "periodic", "cell-nn"), (3, 4, 5)),
]


@pytest.mark.parametrize(("names", "sizes"), CELL_CASES)
def test_constant_coefficient_is_the_laplacian(names, sizes):
    grid = grid_of(names, sizes)
    u = np.random.default_rng(14).standard_normal((2, *sizes))
    expected = apply_laplacian(u, grid)
    found = apply_diffusion(np.full_like(u, 2.5), u, grid)
    np.testing.assert_allclose(found, 2.5 * expected, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize(("names", "sizes"), CELL_CASES)
def test_diffusion_is_symmetric_and_positive(names, sizes):
    grid = grid_of(names, sizes)
    matrix = diffusion_matrix(coefficients(grid, 1), grid)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14 * np.abs(matrix).max())
    values = np.linalg.eigvalsh(matrix)
    if is_singular(names):  # constants only
        assert abs(values[0]) < 1e-13 * values[-1]
        np.testing.assert_allclose(matrix.sum(1), 0, atol=1e-13 * values[-1])
        assert values[1] > 1e-4 * values[-1]
    else:
        assert values[0] > 1e-5 * values[-1]


def test_faces_carry_harmonic_means_and_walls_half_cells():
    a = np.array([[1.0, 3.0, 0.5, 2.0]])
    inner = [2 * p * q / (p + q) for p, q in itertools.pairwise(a[0])]
    for name, ends in (("cell-dn", (2.0, 0.0)), ("cell-nd", (0.0, 4.0)), ("cell-nn", (0.0, 0.0)), ("periodic", (4 / 3, 4 / 3))):
        (face,) = face_coefficients(a, Grid((axis_of(name, 4),)))
        np.testing.assert_allclose(face[0] / 16, [ends[0], *inner, ends[1]], rtol=1e-15)
    assert inner[0] == 1.5


@pytest.mark.parametrize(("left", "right"), [(1.0, 50.0), (8.0, 0.01)])
@pytest.mark.parametrize("layer", [3, 8, 11])
@pytest.mark.parametrize("along", [0, 1])
def test_two_layers_are_exact_at_cell_centres(left, right, layer, along):
    """Dirichlet 0 at both ends, a source in one cell: u is linear on each side of it, kinked where the coefficient jumps."""
    n, source = 12, 5
    names = ("cell-dd", "cell-nn") if along == 0 else ("cell-nn", "cell-dd")
    grid = Grid(tuple(axis_of(name, n if i == along else 3, "xy"[i]) for i, name in enumerate(names)))
    a = np.where(np.arange(n) < layer, left, right)
    # Resistances from the left wall to each centre, half cell by half cell; a unit source at a centre splits between the walls.
    half = 0.5 / n / a
    reach = np.cumsum(np.repeat(half, 2))[::2]
    whole = 2 * half.sum()
    u = np.minimum(reach, reach[source]) * (whole - np.maximum(reach, reach[source])) / whole
    spread = lambda v: np.stack([v] * 3, axis=1 - along)[None]  # noqa: E731
    found = apply_diffusion(spread(a), spread(u), grid)
    np.testing.assert_allclose(found, spread(np.where(np.arange(n) == source, float(n), 0.0)), atol=1e-10)


@pytest.mark.parametrize(("names", "sizes"), CELL_CASES)
def test_fluxes_between_cells_cancel(names, sizes):
    """What leaves all cells is what crosses the Dirichlet walls, to rounding."""
    grid = grid_of(names, sizes)
    a, u = coefficients(grid), np.random.default_rng(15).standard_normal((2, *sizes))
    out = np.zeros(2)
    for i, (name, axis) in enumerate(zip(names, grid.axes, strict=True)):
        for side, end in zip(KINDS[name][1], (0, -1), strict=True):
            if side == D:
                out += (np.take(a, end, i + 1) * np.take(u, end, i + 1)).reshape(2, -1).sum(1) * 2 / axis.spacing**2
    total = apply_diffusion(a, u, grid)
    np.testing.assert_allclose(total.reshape(2, -1).sum(1), out, atol=1e-13 * np.abs(total).sum())


def test_operator_accepts_single_samples_and_leaves_inputs_alone():
    grid = grid_of(("cell-dd", "periodic"), (5, 6))
    a, u = coefficients(grid, 3), np.random.default_rng(16).standard_normal((3, 5, 6))
    kept = a.copy(), u.copy()
    together = apply_diffusion(a, u, grid)
    for i in range(3):
        np.testing.assert_array_equal(apply_diffusion(a[i : i + 1], u[i : i + 1], grid)[0], together[i])
    np.testing.assert_array_equal(apply_faces(face_coefficients(a, grid), u, grid), together)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(u, kept[1])


def test_smooth_coefficient_converges_at_second_order():
    """-(a u')' = f with a = 2 + cos(2 pi x), u = sin(2 pi x) e^x on cells between walls, by a dense solve."""
    errors, sizes = [], (24, 49, 96)
    for n in sizes:
        grid = Grid((axis_of("cell-dd", n),))
        (x,) = grid.coordinates()
        w = 2 * np.pi
        a, da = 2 + np.cos(w * x), -w * np.sin(w * x)
        du = np.exp(x) * (np.sin(w * x) + w * np.cos(w * x))
        ddu = np.exp(x) * ((1 - w**2) * np.sin(w * x) + 2 * w * np.cos(w * x))
        found = np.linalg.solve(diffusion_matrix(a[None], grid), -(da * du + a * ddu))
        errors.append(np.abs(found - np.sin(w * x) * np.exp(x)).max())
    orders = observed_orders(errors, 1 / np.array(sizes))
    assert np.all((orders > 1.9) & (orders < 2.1)), orders
