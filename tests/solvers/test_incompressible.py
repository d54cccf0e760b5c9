"""Navier-Stokes in vorticity form against u . grad w written out here, exact flows, and an adaptive integrator of SciPy."""

import functools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.errors import DataError, GridError, SettingError, SolverError
from solvers.exponential import jax
from solvers.grid import Grid
from solvers.incompressible import VorticityNavierStokes, convection, velocity
from solvers.modes import Modes
from solvers.result import Outcome
from solvers.spectral import dealias_mask

SQUARE = Grid.box("periodic", 24, dimension=2, stop=2 * np.pi)
GRIDS = [
    SQUARE,
    Grid.box("periodic", (15, 22), stop=(1.0, 3.0)),
    Grid.box("periodic", (18, 13), start=(-1.0, 0.5), stop=(1.0, 2.0)),
]
STEPS = (1 / 10, 1 / 20, 1 / 40)


def observed_orders(errors, steps):
    return np.diff(np.log(errors)) / np.diff(np.log(steps))


def full_wavenumbers(grid):
    kx, ky = (2 * np.pi * np.fft.fftfreq(n, length / n) for n, length in zip(grid.shape, grid.lengths, strict=True))
    return kx[:, None], ky[None, :]


def kept(grid, fraction=2 / 3):
    """True for the modes below a share of the last one, full layout."""
    nx, ny = grid.shape
    mx, my = (np.abs(np.fft.fftfreq(n, 1 / n)) for n in grid.shape)
    return (mx < fraction * nx / 2 - 1e-9)[:, None] & (my < fraction * ny / 2 - 1e-9)


def flow(grid, samples, seed, top=5):
    """Random vorticity of unit size and mean zero in modes up to `top`, all below the dealiasing limit."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((samples, *grid.shape)))
    mx, my = (np.abs(np.fft.fftfreq(n, 1 / n)) for n in grid.shape)
    spectrum = spectrum * kept(grid) * (mx <= top)[:, None] * (my <= top)
    spectrum[:, 0, 0] = 0
    w = np.fft.ifft2(spectrum).real
    return w / np.sqrt((w**2).mean((1, 2), keepdims=True))


def transport(w, grid):
    """-u . grad w at the kept modes: velocities and gradients by complex transforms, products on twice as many points."""
    kx, ky = full_wavenumbers(grid)
    squares = kx**2 + ky**2
    w_hat = np.fft.fft2(w) * kept(grid)
    stream = np.where(squares > 0, w_hat / np.where(squares > 0, squares, 1), 0)
    fine = tuple(2 * n for n in grid.shape)
    places = np.ix_(*(np.fft.fftfreq(n, 1 / n).astype(int) % (2 * n) for n in grid.shape))

    def values(spectrum):
        padded = np.zeros((*spectrum.shape[:-2], *fine), complex)
        padded[(..., *places)] = spectrum
        return 4 * np.fft.ifft2(padded).real

    product = -(values(1j * ky * stream) * values(1j * kx * w_hat) + values(-1j * kx * stream) * values(1j * ky * w_hat))
    return np.fft.ifft2(np.fft.fft2(product)[(..., *places)] / 4 * kept(grid)).real


def forcing(x, y):
    return 0.1 * (np.sin(x + y) + np.cos(2 * x - y))


# Right-hand side


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: str(grid.shape))
def test_velocity_has_this_curl_and_no_divergence(grid):
    w = flow(grid, 2, seed=31)
    u, v = velocity(w, grid)
    kx, ky = full_wavenumbers(grid)
    d = lambda k, f: np.fft.ifft2(1j * k * np.fft.fft2(f)).real  # noqa: E731
    np.testing.assert_allclose(d(kx, v) - d(ky, u), w, atol=1e-13)
    np.testing.assert_allclose(d(kx, u) + d(ky, v), 0, atol=1e-12)
    np.testing.assert_allclose([u.mean((1, 2)), v.mean((1, 2))], 0, atol=1e-15)


def test_velocity_of_a_shear_and_of_a_mean():
    x, y = SQUARE.mesh()
    u, v = velocity(np.sin(3 * y) + 5.0, SQUARE)  # w = -u_y; a mean vorticity moves nothing
    np.testing.assert_allclose(u, np.cos(3 * y) / 3, atol=1e-14)
    np.testing.assert_allclose(v, 0, atol=1e-14)
    u, v = velocity(np.cos(2 * x), SQUARE)  # w = v_x
    np.testing.assert_allclose(v, np.sin(2 * x) / 2, atol=1e-14)
    np.testing.assert_allclose(u, 0, atol=1e-14)


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: str(grid.shape))
def test_four_transforms_give_the_convective_term(grid, forced):
    mask = dealias_mask(grid)
    w = flow(grid, 2, seed=32, top=99)
    f = np.random.default_rng(33).standard_normal(grid.shape)
    modes = Modes(grid)
    p = {"forcing": modes.cut(np.fft.rfft2(f))[None]} if forced else {}
    with jax.enable_x64(True):
        found = np.zeros((2, *mask.shape), complex)
        found[:, mask] = np.asarray(convection(modes.cut(np.fft.rfft2(w)), modes, p)).reshape(2, -1)
    expected = np.fft.rfft2(transport(w, grid) + (f if forced else 0)) * mask
    size = np.abs(np.fft.rfft2(transport(w, grid))).max()
    assert size > 1  # the term is not trivially zero
    np.testing.assert_allclose(found, expected, atol=1e-12 * size * max(grid.shape))


# Exact flows


@pytest.mark.parametrize("order", [2, 4])
def test_decaying_vortices_are_exact(order):
    """Taylor-Green: the convective term of an eigenfunction of the Laplacian is zero."""
    x, y = SQUARE.mesh()
    nu, times = np.array([0.05, 0.2, 0.0]), np.array([0.0, 0.5, 2.0])
    w = 2 * np.cos(x) * np.cos(y)
    found = VorticityNavierStokes(SQUARE, 0.1, order=order).solve(np.stack([w] * 3), times, {"nu": nu})
    assert found.succeeded
    np.testing.assert_allclose(found.values, np.exp(-2 * np.multiply.outer(nu, times))[..., None, None] * w, atol=1e-13)
    np.testing.assert_array_equal(found.stats["steps"], [5 + 15] * 3)


def test_any_flow_of_one_wavenumber_decays_with_viscosity_and_drag():
    """|k| = 5 in three directions at once: four terms cancel, not one is zero."""
    x, y = SQUARE.mesh()
    w = (np.cos(3 * x + 4 * y) + 2 * np.cos(5 * x + 0.3) + np.sin(4 * x - 3 * y))[None]
    found = VorticityNavierStokes(SQUARE, 0.05, drag=0.1).solve(w, np.array([0.0, 0.5]), {"nu": 0.02}).values[:, 1]
    np.testing.assert_allclose(found, np.exp(-0.5 * (25 * 0.02 + 0.1)) * w, atol=1e-12)


@pytest.mark.parametrize("kind", ["function", "array"])
def test_forced_shear_approaches_its_steady_state(kind):
    """Kolmogorov's flow under f = sin(4 y): w = f (1 - exp(-r t)) / r with r = 16 nu + drag, below its instability."""
    y = SQUARE.mesh()[1]
    f = (lambda x, y: np.sin(4 * y)) if kind == "function" else np.sin(4 * y)
    solver = VorticityNavierStokes(SQUARE, 0.25, forcing=f, drag=0.4)
    nu, times = np.array([0.1, 0.5]), np.array([0.0, 0.5, 20.0])
    rate = (16 * nu + 0.4)[:, None, None, None]
    found = solver.solve(np.zeros((2, *SQUARE.shape)), times, {"nu": nu}).values
    np.testing.assert_allclose(found, np.sin(4 * y) * (1 - np.exp(-rate * times[:, None, None])) / rate, atol=1e-13)
    steady = np.sin(4 * y) / rate[:, 0]
    np.testing.assert_allclose(solver.solve(steady, times, {"nu": nu}).values[:, -1], steady, atol=1e-13)


def test_mean_vorticity_feels_drag_only():
    w = flow(SQUARE, 2, seed=34) + np.array([1.0, -0.5]).reshape(2, 1, 1)
    found = VorticityNavierStokes(SQUARE, 0.1, drag=0.4).solve(w, np.array([0.0, 0.5]), {"nu": 0.05}).values[:, 1]
    np.testing.assert_allclose(found.mean((1, 2)), np.array([1.0, -0.5]) * np.exp(-0.2), atol=1e-14)
    without = VorticityNavierStokes(SQUARE, 0.1, drag=0.4).solve(flow(SQUARE, 2, seed=34), np.array([0.0, 0.5]), {"nu": 0.05})
    np.testing.assert_allclose(found - found.mean((1, 2), keepdims=True), without.values[:, 1], atol=1e-13)


# Order, against another integrator of the same modes


@functools.cache
def reference():
    """Two flows at two viscosities under forcing and drag, by an explicit adaptive method of eighth order."""
    kx, ky = full_wavenumbers(SQUARE)
    f, rows = forcing(*SQUARE.mesh()), []
    for w, nu in zip(flow(SQUARE, 2, seed=35), (0.01, 0.03), strict=True):

        def change(t, state, nu=nu):
            w = state.reshape(SQUARE.shape)
            return (transport(w, SQUARE) + np.fft.ifft2(-(nu * (kx**2 + ky**2) + 0.05) * np.fft.fft2(w)).real + f).ravel()

        run = solve_ivp(change, (0, 2), w.ravel(), "DOP853", [0.0, 1.0, 2.0], rtol=1e-11, atol=1e-12)
        rows.append(run.y.T.reshape(3, *SQUARE.shape))
    return np.stack(rows)


def solved(dt, order=4, **options):
    solver = VorticityNavierStokes(SQUARE, dt, order=order, forcing=forcing, drag=0.05, **options)
    return solver.solve(flow(SQUARE, 2, seed=35), np.array([0.0, 1.0, 2.0]), {"nu": np.array([0.01, 0.03])})


@pytest.mark.parametrize("order", [2, 4])
def test_convergence_in_time_is_of_the_stated_order(order):
    errors = np.array([np.abs(solved(dt, order).values - reference()).max((1, 2, 3)) for dt in STEPS])
    orders = observed_orders(errors.T, STEPS)
    assert np.all((orders > order - 0.15) & (orders < order + 0.15)), orders
    assert errors[-1].max() < {4: 1e-6, 2: 5e-3}[order]


def test_small_steps_reach_the_reference():
    np.testing.assert_allclose(solved(1 / 400).values, reference(), atol=2e-9)
    assert np.abs(reference()[:, 2] - reference()[:, 0]).max() > 0.5  # the flow has moved


def test_single_precision_on_request():
    before = jax.config.jax_enable_x64
    single = solved(1 / 40, dtype="float32")
    assert jax.config.jax_enable_x64 == before
    assert single.values.dtype == np.float32
    error = np.abs(single.values - solved(1 / 40).values).max()
    assert 1e-8 < error < 2e-5


# Invariants


def test_energy_and_enstrophy_drift_with_the_step_only():
    """Without viscosity the kept modes conserve both; Runge's method loses quadratic invariants at fifth order."""
    drifts, w = [], flow(SQUARE, 2, seed=36)
    for dt in STEPS:
        values = VorticityNavierStokes(SQUARE, dt).solve(w, np.array([0.0, 2.0, 4.0]), {"nu": 0.0}).values
        u, v = velocity(values, SQUARE)
        energy, enstrophy = (u**2 + v**2).mean((2, 3)), (values**2).mean((2, 3))
        drifts.append([np.abs(q[:, 2] / q[:, 0] - 1).max() for q in (energy, enstrophy)])
        np.testing.assert_allclose(values.mean((2, 3)), 0, atol=1e-14)
    orders = observed_orders(np.array(drifts).T, STEPS)
    assert np.all((orders[1] > 4.7) & (orders[1] < 5.3)), orders
    assert np.all((orders[0] > 4.5) & (orders[0] < 6.0)), orders  # small, and soon of either sign
    assert np.max(drifts[-1]) < 1e-7
    values = VorticityNavierStokes(SQUARE, STEPS[-1] / 2).solve(w, np.array([0.0, 1.0, 4.0]), {"nu": 0.0}).values
    u, v = velocity(values, SQUARE)
    for quantity in ((u**2 + v**2).mean((2, 3)), (values**2).mean((2, 3))):
        assert np.abs(quantity[:, 1] / quantity[:, 0] - 1).max() < 1e-9
    moved = np.abs(values[:, 2] - values[:, 0]).max()
    assert moved > 1


def test_viscosity_only_takes_energy_out():
    w = flow(SQUARE, 2, seed=37)
    values = VorticityNavierStokes(SQUARE, 0.05).solve(w, np.linspace(0.0, 2.0, 9), {"nu": 0.02}).values
    for quantity in ((np.stack(velocity(values, SQUARE)) ** 2).sum(0).mean((2, 3)), (values**2).mean((2, 3))):
        assert np.all(np.diff(quantity) < 0)


@pytest.mark.parametrize("grid", GRIDS[1:], ids=lambda grid: str(grid.shape))
def test_shifted_flows_stay_shifted(grid):
    """On boxes that are neither square nor even."""
    w, times = flow(grid, 1, seed=38), np.array([0.0, 1.0])
    moved = np.roll(w, (4, -3), axis=(1, 2))
    found = VorticityNavierStokes(grid, 0.05).solve(np.concatenate([w, moved]), times, {"nu": 1e-3}).values
    np.testing.assert_allclose(found[1], np.roll(found[0], (4, -3), axis=(1, 2)), atol=1e-12)
    assert np.abs(found[0, 1] - w).max() > 1e-2


def test_samples_do_not_know_each_other():
    w, nu, times = flow(SQUARE, 3, seed=39), np.array([0.01, 0.02, 0.05]), np.array([0.0, 1.0])
    solver = VorticityNavierStokes(SQUARE, 0.05)
    together = solver.solve(w, times, {"nu": nu}).values
    for i in range(3):
        np.testing.assert_allclose(solver.solve(w[i : i + 1], times, {"nu": nu[i]}).values[0], together[i], atol=1e-13)
    np.testing.assert_allclose(solver.solve(w[::-1], times, {"nu": nu[::-1]}).values, together[::-1], atol=1e-13)


# What goes wrong, and what is refused


def test_blow_up_is_named_and_stays_in_its_sample():
    w = flow(SQUARE, 3, seed=39)
    wild = w * np.array([1.0, 1.0, 1e4]).reshape(3, 1, 1)
    solver, nu, times = VorticityNavierStokes(SQUARE, 0.05), np.array([0.01, 0.02, 0.05]), np.array([0.0, 1.0])
    result = solver.solve(wild, times, {"nu": nu})
    np.testing.assert_array_equal(result.outcome, [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.BLOW_UP])
    np.testing.assert_allclose(result.values[:2], solver.solve(w, times, {"nu": nu}).values[:2], atol=1e-13)
    with pytest.raises(SolverError, match=r"1 of 3 samples \(indices 2\)"):
        result.values_or_raise()


@pytest.mark.parametrize(
    ("grid", "settings", "error", "match"),
    [
        (Grid.box("periodic", 8), {}, GridError, "two periodic axes"),
        (Grid.box("periodic", 8, dimension=3), {}, GridError, "dimension=2"),
        (Grid.box("cell", 8, dimension=2, boundary="dirichlet"), {}, GridError, "two periodic axes"),
        (SQUARE, {"dt": 0.0}, SettingError, "dt > 0"),
        (SQUARE, {"order": 3}, SettingError, "order 2 or 4"),
        (SQUARE, {"dealias": 2.0}, SettingError, r"dealias in \(0, 1\]"),
        (SQUARE, {"dtype": "bfloat16"}, SettingError, "'float32' or 'float64'"),
        (SQUARE, {"drag": -0.1}, SettingError, "drag=-0.1"),
        (SQUARE, {"drag": np.nan}, SettingError, "drag=nan"),
    ],
)
def test_bad_settings_are_refused_before_any_work(grid, settings, error, match):
    with pytest.raises(error, match=match):
        VorticityNavierStokes(**{"grid": grid, "dt": 0.1} | settings)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({}, "'nu', a number >= 0 or one per sample"),
        ({"viscosity": 0.1}, "viscosity"),
        ({"nu": -0.1}, ">= 0"),
        ({"nu": np.nan}, "nan"),
        ({"nu": np.ones(3)}, "for 2 samples"),
        ({"nu": np.ones(13)}, "for 2 samples"),  # as many as modes along y: would be taken for one per mode
        ({"nu": np.ones((2, 24, 13))}, "one per sample"),
    ],
)
def test_bad_viscosities_are_refused(parameters, match):
    with pytest.raises(DataError, match=match):
        VorticityNavierStokes(SQUARE, 0.1).solve(np.ones((2, 24, 24)), np.array([0.0, 1.0]), parameters)


@pytest.mark.parametrize(
    ("vorticity", "match"),
    [
        (np.ones((24, 24)), r"vorticity of shape \(24, 24\). Needed \(sample, 24, 24\)"),
        (np.ones((2, 24, 24, 1)), "Add the sample axis"),
        (np.ones((2, 24, 16)), "build the solver for this grid"),
        (np.where(np.arange(2 * 576).reshape(2, 24, 24) == 600, np.nan, 1.0), "NaN or infinity in sample 1"),
    ],
)
def test_bad_vorticities_are_refused(vorticity, match):
    with pytest.raises(DataError, match=match):
        VorticityNavierStokes(SQUARE, 0.1).solve(vorticity, np.array([0.0, 1.0]), {"nu": 0.1})


@pytest.mark.parametrize(
    ("f", "match"),
    [
        (np.ones((16, 24)), r"forcing of shape \(16, 24\).*\(24, 24\)"),
        (np.ones(24), "pass a function"),
        (lambda x, y: np.where(x > 1, np.inf, y), "NaN or infinity"),
    ],
)
def test_bad_forcings_are_refused(f, match):
    with pytest.raises(DataError, match=match):
        VorticityNavierStokes(SQUARE, 0.1, forcing=f).solve(np.ones((2, 24, 24)), np.array([0.0, 1.0]), {"nu": 0.1})
