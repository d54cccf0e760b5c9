"""Diffusion by preconditioned conjugate gradients: right, of second order, and independent of resolution and contrast."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg

from solvers.elliptic import Poisson, apply_diffusion, apply_faces, face_coefficients
from solvers.errors import DataError, SettingError
from solvers.grid import Axis, Grid
from solvers.multigrid import METHODS, Cycle, Diffusion, assemble, interpolation
from solvers.result import Outcome

KINDS = [("cell", "dirichlet"), ("cell", "neumann"), ("periodic", "periodic")]
MIXED = Grid((Axis("x", 12, 0, 1, "cell", ("dirichlet", "neumann")), Axis("y", 15, 0, 2, "periodic", ("periodic", "periodic"))))


def two_phase(n: int, contrast: float, seed: int, dimension: int = 2) -> np.ndarray:
    """Sign of a smooth random field: the same shapes at every resolution."""
    modes = np.arange(16)
    weights = np.random.default_rng(seed).standard_normal((16,) * dimension)
    field = weights / (np.pi**2 * sum(np.square(m) for m in np.meshgrid(*[modes] * dimension)) + 9)
    cosines = np.cos(np.pi * np.outer((np.arange(n) + 0.5) / n, modes))
    for axis in range(dimension):
        field = np.moveaxis(np.tensordot(cosines, field, (1, axis)), 0, axis)
    return np.where(field > np.median(field), contrast**0.5, contrast**-0.5)


def smooth(grid: Grid, samples: int = 1, seed: int = 11) -> np.ndarray:
    return np.exp(0.7 * np.random.default_rng(seed).standard_normal((samples, *grid.shape)))


def balanced(grid: Grid, seed: int = 12) -> np.ndarray:
    f = np.random.default_rng(seed).standard_normal((1, *grid.shape))
    return f - f.mean()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(37,), (16, 16), (17, 22), (9, 10, 6)])
def test_solves_what_the_operator_says(method, kind, shape):
    grid = Grid(tuple(Axis(name, n, 0, 1, kind[0], (kind[1],) * 2) for name, n in zip("xyz", shape, strict=False)))
    a, f = smooth(grid), balanced(grid)
    result = Diffusion(grid, method=method).solve(a, f)
    residual = np.linalg.norm(f - apply_diffusion(a, result.values, grid)) / np.linalg.norm(f)
    assert residual <= 1e-10
    assert result.stats["residual"][0] == pytest.approx(residual, rel=1e-2)
    assert result.outcome[0] == Outcome.SUCCESS


@pytest.mark.parametrize("method", ["dst-pcg", "mg-pcg"])
def test_equals_a_direct_solve(method):
    a = np.stack([two_phase(24, 1000, s) for s in (3, 4)])
    grid = Grid.box("cell", 24, dimension=2, boundary="dirichlet")
    f = np.random.default_rng(9).standard_normal(a.shape)
    u = Diffusion(grid, method=method, tolerance=1e-12, max_iterations=400).solve(a, f).values
    for one_a, one_f, one_u in zip(a, f, u, strict=True):
        columns = [apply_diffusion(one_a[None], e.reshape(1, 24, 24), grid).ravel() for e in np.eye(576)]
        direct = scipy.sparse.linalg.spsolve(sp.csc_array(np.stack(columns, 1)), one_f.ravel())
        np.testing.assert_allclose(one_u.ravel(), direct, rtol=0, atol=1e-8 * abs(direct).max())


@pytest.mark.parametrize("grid", [MIXED, *(Grid.box(k, 9, dimension=d, boundary=b) for k, b in KINDS for d in (1, 2, 3))])
def test_the_matrix_is_the_flux_form(grid):
    faces = [face[0] for face in face_coefficients(smooth(grid), grid)]
    u = np.random.default_rng(8).standard_normal(grid.shape)
    matrix = assemble(faces, grid)
    assert matrix.has_canonical_format
    np.testing.assert_allclose(matrix @ u.ravel(), apply_faces(faces, u, grid).ravel(), rtol=0, atol=1e-13 * abs(matrix).max())


@pytest.mark.parametrize("grid", [MIXED, *(Grid.box(k, n, dimension=2, boundary=b) for k, b in KINDS for n in (16, 13))])
def test_the_cycle_is_symmetric_and_positive(grid):
    faces = [face[0] for face in face_coefficients(two_phase(grid.shape[0], 100, 5)[None, :, :1] + smooth(grid), grid)]
    cycle = Cycle(faces, grid)
    matrix = np.stack([cycle(e.reshape(grid.shape)).ravel() for e in np.eye(int(np.prod(grid.shape)))], 1)
    assert abs(matrix - matrix.T).max() < 1e-12 * abs(matrix).max()
    lowest = np.linalg.eigvalsh(matrix + matrix.T) / abs(matrix).max()
    assert lowest[0] > -1e-12
    assert lowest[1] > 0


@pytest.mark.parametrize("size", [8, 9, 14, 5, 10, 11, 23])
@pytest.mark.parametrize("kind", KINDS)
def test_interpolation_is_exact_on_a_line_and_keeps_constants(size, kind):
    grid = Grid.box(kind[0], size, dimension=1, boundary=kind[1])
    faces = [face[0] for face in face_coefficients(smooth(grid), grid)]
    operator = assemble(faces, grid)
    step = interpolation(operator, grid.shape, 0, kind[0] == "periodic")
    u = step @ np.random.default_rng(7).standard_normal(step.shape[1])
    left_out = np.arange(1, size, 2)
    assert abs((operator @ u)[left_out]).max() < 1e-13 * abs(operator).max()
    if kind[1] != "dirichlet":
        np.testing.assert_allclose(step.sum(1), 1.0, rtol=1e-13)


def test_second_order_for_a_smooth_coefficient():
    """a = exp(sin x cos y) type, u = sin(pi x) sin(pi y): the right-hand side by hand; errors fall fourfold per halving."""
    errors = []
    for n in (32, 64, 128):
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        x, y = grid.mesh()
        a = 1 + 0.5 * np.sin(2 * np.pi * x) * np.cos(np.pi * y)
        ax, ay = np.pi * np.cos(2 * np.pi * x) * np.cos(np.pi * y), -0.5 * np.pi * np.sin(2 * np.pi * x) * np.sin(np.pi * y)
        u = np.sin(np.pi * x) * np.sin(np.pi * y)
        ux, uy = np.pi * np.cos(np.pi * x) * np.sin(np.pi * y), np.pi * np.sin(np.pi * x) * np.cos(np.pi * y)
        f = 2 * np.pi**2 * a * u - ax * ux - ay * uy
        solved = Diffusion(grid, method="mg-pcg").solve(a[None], f[None]).values[0]
        errors.append(np.linalg.norm(solved - u) / np.linalg.norm(u))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert ((orders > 1.95) & (orders < 2.05)).all(), orders


def test_manufactured_errors_are_the_published_ones():
    """u = sin(pi x) sin(2 pi y), a = exp(x y): what another program with harmonic faces leaves."""
    for n, published in ((32, 2.84e-3), (64, 7.10e-4), (128, 1.78e-4), (256, 4.44e-5)):
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        x, y = grid.mesh()
        u, a = np.sin(np.pi * x) * np.sin(2 * np.pi * y), np.exp(x * y)
        ux, uy = np.pi * np.cos(np.pi * x) * np.sin(2 * np.pi * y), 2 * np.pi * np.sin(np.pi * x) * np.cos(2 * np.pi * y)
        f = -a * (-5 * np.pi**2 * u + y * ux + x * uy)
        found = Diffusion(grid).solve(a[None], f[None]).values_or_raise()[0]
        assert np.linalg.norm(found - u) / np.linalg.norm(u) == pytest.approx(published, rel=3e-3)


@pytest.mark.parametrize("place", [0.5, 0.3719])
def test_a_jump_of_the_coefficient_on_a_face_and_within_a_cell(place):
    """-(a u')' = 1, a = 1 left of a place and 100 right of it. On a face: flux exact to rounding, u of second order."""
    left, right = (place, place**2 / 2), (1 - place, (1 - place**2) / 2)  # integrals of 1 and s on both sides
    flux_at_0 = (left[1] + right[1] / 100) / (left[0] + right[0] / 100)
    errors = []
    for n in (32, 64, 128, 256):
        grid = Grid.box("cell", n, boundary="dirichlet")
        x, walls = grid.coordinates()[0], np.arange(n + 1) / n
        a = np.where(x < place, 1.0, 100.0)[None]
        u = Diffusion(grid, tolerance=1e-11).solve(a).values_or_raise()
        flux = face_coefficients(a, grid)[0][0] / n * np.diff(np.concatenate([[0.0], u[0], [0.0]]))
        np.testing.assert_allclose(np.diff(flux), -1 / n, rtol=1e-9)  # what a cell makes leaves it
        kink = flux_at_0 * place - place**2 / 2
        exact = np.where(x < place, flux_at_0 * x - x**2 / 2, kink + (flux_at_0 * (x - place) - (x**2 - place**2) / 2) / 100)
        errors.append(np.abs(u - exact).max() / exact.max())
        if place == 0.5:
            np.testing.assert_allclose(flux, flux_at_0 - walls, atol=1e-10)
    if place == 0.5:
        assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.05)
        assert errors[-1] < 1e-4
    else:  # as good as the place is known, half a cell
        assert np.all(np.array(errors) < 4 / np.array([32, 64, 128, 256]))
        assert errors[-1] < 0.01


@pytest.mark.parametrize("contrast", [4, 1000, 10000])
def test_cycles_do_not_depend_on_resolution_or_contrast(contrast):
    counts = []
    for n in (32, 64, 128):
        a = np.stack([two_phase(n, contrast, seed) for seed in (21, 22)])
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        counts.append(Diffusion(grid, method="mg-pcg").solve(a).stats["iterations"].max())
    assert max(counts) <= 14
    assert max(counts) - min(counts) <= 3, counts


def test_cycles_in_three_dimensions():
    grid = Grid.box("cell", 20, dimension=3, boundary="dirichlet")
    assert Diffusion(grid, method="mg-pcg").solve(two_phase(20, 1000, 6, 3)[None]).stats["iterations"][0] <= 16


def test_without_lines_strips_would_stall_it():
    """What the line smoother is for: the same cycle with the diagonal alone needs many more iterations."""
    grid = Grid.box("cell", 128, dimension=2, boundary="dirichlet")
    a = two_phase(128, 1e4, 21)
    faces = [face[0] for face in face_coefficients(a[None], grid)]
    from solvers.krylov import conjugate_gradients
    from solvers.multigrid import Diagonal

    counts = []
    for lines in (True, False):
        cycle = Cycle(faces, grid)
        if not lines:
            cycle.smoothers = [Diagonal(operator) for operator in cycle.operators[:-1]]
        operator = lambda u: apply_faces(faces, u, grid)  # noqa: E731
        counts.append(conjugate_gradients(operator, cycle, np.ones(grid.shape), tolerance=1e-10).iterations)
    assert counts[1] > 1.4 * counts[0], counts


@pytest.mark.parametrize("method", METHODS)
def test_constant_coefficient_is_the_fast_solver(method):
    grid = Grid.box("cell", 20, dimension=2, boundary="dirichlet")
    f = np.random.default_rng(5).standard_normal((1, 20, 20))
    ours = Diffusion(grid, method=method, tolerance=1e-12).solve(np.full_like(f, 2.0), f).values
    np.testing.assert_allclose(2 * ours, Poisson(grid).solve(f).values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["dst-pcg", "mg-pcg"])
def test_a_sample_does_not_depend_on_those_beside_it(method):
    grid = Grid.box("cell", 32, dimension=2, boundary="dirichlet")
    a = np.stack([two_phase(32, c, s) for c, s in ((4, 1), (1000, 2), (30, 3))])
    together = Diffusion(grid, method=method, threads=2).solve(a).values
    for i in range(3):
        assert np.array_equal(together[i], Diffusion(grid, method=method, threads=1).solve(a[i : i + 1]).values[0])


def test_auto_chooses_by_contrast():
    grid = Grid.box("cell", 32, dimension=2, boundary="dirichlet")
    a = np.stack([two_phase(32, 4, 1), two_phase(32, 1000, 2)])
    auto = Diffusion(grid).solve(a).values
    assert np.array_equal(auto[0], Diffusion(grid, method="dst-pcg").solve(a[:1]).values[0])
    assert np.array_equal(auto[1], Diffusion(grid, method="mg-pcg").solve(a[1:]).values[0])


def test_too_few_iterations_are_said():
    grid = Grid.box("cell", 32, dimension=2, boundary="dirichlet")
    result = Diffusion(grid, max_iterations=2, method="mg-pcg").solve(two_phase(32, 1000, 2)[None])
    assert result.outcome[0] == Outcome.NOT_CONVERGED
    assert result.stats["residual"][0] > 1e-10


@pytest.mark.parametrize("method", ["mg-pcg", "dst-pcg"])
def test_a_tolerance_below_rounding_ends_soon_and_is_said(method):
    grid = Grid.box("cell", 32, dimension=2, boundary="dirichlet")
    result = Diffusion(grid, tolerance=1e-17, method=method).solve(two_phase(32, 10, 2)[None])
    assert result.outcome[0] == Outcome.NOT_CONVERGED
    assert result.stats["iterations"][0] < 190
    assert result.stats["residual"][0] < 1e-12


def test_zero_source_gives_zero():
    grid = Grid.box("cell", 8, dimension=2, boundary="dirichlet")
    assert not Diffusion(grid).solve(np.ones((2, 8, 8)), 0.0).values.any()


def test_bad_input_is_named():
    grid = Grid.box("cell", 8, dimension=2, boundary="neumann")
    good = np.ones((2, 8, 8))
    with pytest.raises(DataError, match="not positive in sample 1"):
        Diffusion(grid).solve(np.stack([good[0], -good[0]]))
    with pytest.raises(DataError, match="mean is not zero"):
        Diffusion(grid).solve(good, 1.0)
    with pytest.raises(DataError, match="NaN"):
        Diffusion(grid).solve(np.full_like(good, np.nan))
    with pytest.raises(DataError, match="shape"):
        Diffusion(grid).solve(np.ones((2, 7, 8)))
    with pytest.raises(SettingError, match="method"):
        Diffusion(grid, method="jacobi")
    with pytest.raises(SettingError, match="tolerance"):
        Diffusion(grid, tolerance=0.0)
    with pytest.raises(SettingError, match="cell"):
        Diffusion(Grid.box("interior", 7, dimension=2, boundary="dirichlet")).solve(np.ones((1, 7, 7)))
