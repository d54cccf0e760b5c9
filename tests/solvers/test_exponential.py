"""Exponential Runge-Kutta: exact linear parts, fourth order against exact solutions, and honest ends."""

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ive

from solvers.errors import DataError, GridError, SettingError, SolverError
from solvers.exponential import ExponentialRK, _coefficients, jax
from solvers.grid import Grid
from solvers.result import Outcome

jnp = jax.numpy
LINE = Grid.box("periodic", 128, stop=2 * np.pi)
NODES = np.exp(1j * np.pi * (np.arange(32) + 0.5) / 16)  # points of a contour of radius 1: z = -NODES would meet zero there


def observed_orders(errors, steps):
    return np.diff(np.log(errors)) / np.diff(np.log(steps))


def diffusion(k, p):
    return -p["nu"] * sum(row**2 for row in k)


def nothing(u, modes, p):
    return 0 * u


def convection(u, modes, p):
    return -0.5j * modes.k[0] * modes.modes(modes.points(u) ** 2)


def cole_hopf(x, t, nu):
    """Burgers from sin(x): u = -2 nu phi_x / phi, phi = exp(cos(x) / (2 nu)) at t = 0, whose modes are Bessel functions."""
    n = np.arange(1, 200)[:, None]
    modes = 2 * ive(n, 0.5 / nu) * np.exp(-nu * n**2 * t)
    return 2 * nu * (n * modes * np.sin(n * x)).sum(0) / (ive(0, 0.5 / nu) + (modes * np.cos(n * x)).sum(0))


def burgers(dt, order=4, nu=(0.1, 0.2, 0.4), times=(0.0, 0.5, 1.0), **options):
    solver = ExponentialRK(LINE, diffusion, convection, dt, order=order, **options)
    u = np.broadcast_to(np.sin(LINE.coordinates()[0]), (len(nu), 128))
    return solver.solve(u, np.array(times), {"nu": np.array(nu)})


def random_fields(grid, samples, seed, keep=2 / 3):
    """Fields of the modes that a share `keep` of the mask lets pass."""
    axes = tuple(range(1, grid.dimension + 1))
    spectrum = np.fft.rfftn(np.random.default_rng(seed).standard_normal((samples, *grid.shape)), axes=axes)
    for i, n in enumerate(grid.shape):
        m = np.abs(np.fft.fftfreq(n, 1 / n))[: spectrum.shape[i + 1]]
        spectrum = spectrum * (m < keep * n / 2 - 1e-9).reshape(-1, *(1,) * (grid.dimension - 1 - i))
    return np.fft.irfftn(spectrum, s=grid.shape, axes=axes)


# The linear part


@pytest.mark.parametrize("sizes", [(16,), (15,), (8, 9), (4, 5, 6)])
@pytest.mark.parametrize(("dt", "order"), [(10.0, 4), (0.11, 4), (0.11, 2)])
def test_heat_equation_is_exact_for_any_step(sizes, dt, order):
    grid = Grid.box("periodic", sizes, stop=(1.0, 2.0, 3.0)[: len(sizes)])
    u, nu, times = random_fields(grid, 3, seed=23), np.array([0.001, 0.02, 0.0]), np.array([1.0, 1.5, 2.7])
    found = ExponentialRK(grid, diffusion, nothing, dt, order=order).solve(u, times, {"nu": nu})
    axes = tuple(range(2, 2 + grid.dimension))
    squares = sum(
        (2 * np.pi * np.fft.fftfreq(n, length / n)).reshape(-1, *(1,) * (grid.dimension - 1 - i)) ** 2
        for i, (n, length) in enumerate(zip(sizes, grid.lengths, strict=True))
    )
    rate = np.multiply.outer(np.multiply.outer(nu, times - 1.0), squares)
    expected = np.fft.ifftn(np.exp(-rate) * np.fft.fftn(u[:, None], axes=axes), axes=axes).real
    np.testing.assert_allclose(found.values, expected, atol=1e-13)
    assert found.succeeded


@pytest.mark.parametrize("n", [32, 33])
def test_transport_is_a_shift(n):
    grid = Grid.box("periodic", n, stop=2 * np.pi)
    speed, x, times = np.array([1.0, -2.5]), grid.coordinates()[0], np.array([0.0, 0.4, 3.0])
    profile = lambda y: np.cos(3 * y + 0.3) + 0.5 * np.sin(10 * y) + 0.2  # noqa: E731
    solver = ExponentialRK(grid, lambda k, p: -1j * k[0] * p["speed"], nothing, 0.25)
    found = solver.solve(np.stack([profile(x)] * 2), times, {"speed": speed}).values
    np.testing.assert_allclose(found, profile(x - speed[:, None, None] * times[:, None]), atol=1e-12)


@pytest.mark.parametrize("order", [2, 4])
def test_constant_source_is_exact_in_one_step(order):
    """u' = L u + f for L of any kind, also where a circle of radius 1 around L dt passes through zero."""
    rates = np.concatenate(
        [[0, 1e-12, -1e-6, -1e-3, -1, -30, -1e4, 1e-5j, 1j, 40j, -0.3 + 0.2j], -NODES[8:24:3], -NODES[9:10] * 1.001]
    )
    grid = Grid.box("periodic", 8)
    solver = ExponentialRK(grid, lambda k, p: p["rate"] + 0 * k[0], lambda u, k, p: 0 * u + p["f"], 1.0, order, dealias=1.0)
    source, start = np.array([0, 1 - 2j, 0.5j, 3, 0]), np.cos(2 * np.pi * grid.coordinates()[0])
    found = solver.solve(np.stack([start] * len(rates)), np.array([0.0, 1.0]), {"rate": rates, "f": source[None]}).values[:, 1]
    for rate, values in zip(rates, np.fft.rfft(found), strict=True):
        growth = complex(mpmath.expm1(rate) / rate) if rate else 1.0
        expected = np.exp(rate) * np.array([0, 4, 0, 0, 0]) + growth * source
        np.testing.assert_allclose(values, expected, atol=1e-13)


@pytest.mark.parametrize("dt", [1.0, 0.01])
@pytest.mark.parametrize("kind", ["real", "imaginary", "complex"])
def test_coefficients_are_those_of_the_formulas(kind, dt):
    """Against 80 digits, from tiny to huge z, and all around the circles of radius 1/2, 1 and 2."""
    sizes = np.concatenate([np.logspace(-12, 4, 33), 1 + np.array([-1e-2, -1e-5, -1e-9, 1e-9, 1e-5, 1e-2])])
    if kind == "real":
        z = np.concatenate([[0.0], -sizes, sizes[sizes < 20]])
    elif kind == "imaginary":
        z = 1j * np.concatenate([-sizes, sizes])
    else:
        around = np.concatenate([-NODES[8:24], np.exp(1j * np.linspace(1.6, 4.6, 15))])
        z = np.concatenate([s * around for s in (0.3, 0.5, 1.0 - 1e-6, 1.0, 1.0 + 1e-4, 2.0, 30.0)])
    with jax.enable_x64(True):
        found = {
            name: np.asarray(v) / (dt if name.startswith(("f", "q")) else 1)
            for name, v in _coefficients(z / dt, dt, 4, "float64").items()
        }
        second = {name: np.asarray(v) / dt for name, v in _coefficients(z / dt, dt, 2, "float64").items()}
    assert all(np.isrealobj(v) == (kind == "real") for v in found.values())
    with mpmath.workdps(80):
        rows = [_formulas(mpmath.mpmathify(complex(value)) if value else mpmath.mpf(10) ** -18) for value in z]
    for name, column in zip(("half", "q", "f1", "f2", "f3", "first", "second"), np.array(rows).T, strict=True):
        values = {"first": second["f1"], "second": second["f2"]}.get(name, found.get(name))
        np.testing.assert_allclose(values, column, rtol=2e-12, atol=1e-300, err_msg=name)


def _formulas(z):
    e = mpmath.exp(z)
    terms = [
        mpmath.exp(z / 2),
        (mpmath.exp(z / 2) - 1) / z,
        (-4 - z + e * (4 - 3 * z + z**2)) / z**3,
        2 * (2 + z + e * (z - 2)) / z**3,
        (-4 - 3 * z - z**2 + e * (4 - z)) / z**3,
        (e - 1) / z,
        (e - 1 - z) / z**2,
    ]
    return [complex(t) for t in terms]


@pytest.mark.parametrize("order", [2, 4])
def test_without_a_linear_part_it_is_a_classical_method(order):
    """Runge's method of fourth order, Heun's of second, written out here."""
    grid, dt = Grid.box("periodic", 8), 0.1
    u = np.random.default_rng(24).standard_normal((2, 8))
    change = lambda v: np.cos(v) - 0.3 * v**2  # noqa: E731

    def spectrum(u_hat, modes, p):
        v = jnp.fft.irfft(u_hat, n=8)
        return jnp.fft.rfft(jnp.cos(v) - 0.3 * v**2)

    found = (
        ExponentialRK(grid, lambda k, p: 0 * k[0], spectrum, dt, order, dealias=1.0).solve(u, np.array([0.0, dt])).values[:, 1]
    )
    k1 = change(u)
    if order == 2:
        expected = u + dt / 2 * (k1 + change(u + dt * k1))
    else:
        k2 = change(u + dt / 2 * k1)
        k3 = change(u + dt / 2 * k2)
        expected = u + dt / 6 * (k1 + 2 * k2 + 2 * k3 + change(u + dt * k3))
    np.testing.assert_allclose(found, expected, atol=1e-14)


# Burgers


@pytest.mark.parametrize(("order", "steps"), [(4, (1 / 16, 1 / 32, 1 / 64, 1 / 128)), (2, (1 / 16, 1 / 32, 1 / 64, 1 / 128))])
def test_burgers_converges_to_cole_hopf(order, steps):
    x, nu = LINE.coordinates()[0], (0.2, 0.3, 0.4)
    exact = np.stack([[cole_hopf(x, t, v) for t in (0.0, 0.5, 1.0)] for v in nu])
    np.testing.assert_allclose(exact[:, 0], np.broadcast_to(np.sin(x), (3, 128)), atol=1e-13)
    errors = np.array([np.abs(burgers(dt, order, nu).values - exact).max((1, 2)) for dt in steps])
    orders = observed_orders(errors.T, steps)
    assert np.all((orders > order - 0.15) & (orders < order + 0.15)), orders
    assert errors[-1].max() < {4: 1e-9, 2: 1e-4}[order]


def test_burgers_reaches_the_exact_solution_to_rounding():
    found = burgers(1 / 1024, nu=(0.2, 0.4))
    x = LINE.coordinates()[0]
    np.testing.assert_allclose(found.values[:, 2], [cole_hopf(x, 1.0, v) for v in (0.2, 0.4)], atol=1e-12)
    np.testing.assert_allclose(found.values.mean(-1), 0, atol=1e-15)


def test_samples_do_not_know_each_other():
    nu = (0.1, 0.2, 0.4)
    together = burgers(1 / 16, nu=nu).values
    for i, one in enumerate(nu):
        np.testing.assert_allclose(burgers(1 / 16, nu=(one,)).values[0], together[i], atol=1e-14)
    np.testing.assert_allclose(burgers(1 / 16, nu=nu[::-1]).values, together[::-1], atol=1e-14)
    same = burgers(1 / 16, nu=(0.2, 0.2, 0.2)).values  # one symbol serves all samples
    np.testing.assert_allclose(same, np.stack([together[1]] * 3), atol=1e-14)


def test_output_times_split_into_equal_steps():
    times = np.array([2.0, 2.3, 2.6, 3.0, 3.05])
    result = burgers(0.1, nu=(0.1,), times=times)
    np.testing.assert_array_equal(result.stats["steps"], [3 + 3 + 4 + 1])
    np.testing.assert_array_equal(result.values[0, 0], np.sin(LINE.coordinates()[0]))
    state = result.values[:, 0]
    solver = ExponentialRK(LINE, diffusion, convection, 0.1)
    for i in range(4):  # each interval on its own
        state = solver.solve(state, times[i : i + 2], {"nu": 0.1}).values[:, 1]
        np.testing.assert_allclose(state, result.values[:, i + 1], atol=1e-13)


def test_single_precision_on_request_only_and_jax_is_left_as_it_was():
    before = jax.config.jax_enable_x64
    double, single = burgers(1 / 64), burgers(1 / 64, dtype="float32")
    assert jax.config.jax_enable_x64 == before
    assert double.values.dtype == np.float64
    assert single.values.dtype == np.float32
    error = np.abs(single.values - double.values).max()
    assert 1e-8 < error < 5e-6


@pytest.mark.parametrize(("dealias", "modes"), [(2 / 3, 43), (0.5, 32), (1.0, 64)])
def test_modes_beyond_the_share_stay_empty(dealias, modes):
    """At a viscosity that fills every mode there is; the last one stays empty for odd fields."""
    spectrum = np.abs(np.fft.rfft(burgers(1 / 64, nu=(0.02,), times=(0.0, 1.0), dealias=dealias).values[0, 1]))
    assert spectrum[1:modes].min() > 1e-4
    assert spectrum[modes:].max(initial=0.0) < 1e-13


def test_blow_up_is_named_and_stays_in_its_sample():
    u = np.stack([np.sin(LINE.coordinates()[0]) * size for size in (1.0, 1e6, 1.0)])
    solver = ExponentialRK(LINE, diffusion, convection, 1 / 16)
    result = solver.solve(u, np.array([0.0, 0.5, 1.0]), {"nu": np.array([0.1, 0.1, 0.2])})
    np.testing.assert_array_equal(result.outcome, [Outcome.SUCCESS, Outcome.BLOW_UP, Outcome.SUCCESS])
    assert not result.succeeded
    np.testing.assert_allclose(result.values[[0, 2]], burgers(1 / 16, nu=(0.1, 0.2)).values, atol=1e-14)
    with pytest.raises(SolverError, match=r"1 of 3 samples \(indices 1\).*smaller time step"):
        result.values_or_raise()


# Dispersion


TUBE = Grid.box("periodic", 256, start=-20.0, stop=20.0)


def steepening(u, modes, p):
    return -3j * modes.k[0] * modes.modes(modes.points(u) ** 2)


def dispersion(k, p):
    return 1j * k[0] ** 3


def soliton(x, t, size):
    """u_t + 6 u u_x + u_xxx = 0, around the tube."""
    y = (x - 4 * size**2 * t + 20.0) % 40.0 - 20.0
    return 2 * size**2 / np.cosh(size * y) ** 2


def test_solitons_travel_unchanged_at_fourth_order():
    x, sizes, times = TUBE.coordinates()[0], np.array([[[0.7]], [[0.85]]]), np.array([0.0, 0.5, 1.0])
    exact = soliton(x, times[:, None], sizes)
    steps, errors = (1 / 128, 1 / 256, 1 / 512), []
    for dt in steps:
        found = ExponentialRK(TUBE, dispersion, steepening, dt).solve(exact[:, 0], times).values
        errors.append(np.abs(found - exact).max((1, 2)))
        np.testing.assert_allclose(found.sum(-1), found[:, :1].sum(-1) * [1, 1, 1], rtol=1e-14)  # mass, whatever the step
    orders = observed_orders(np.array(errors).T, steps)
    assert np.all((orders > 3.8) & (orders < 4.3)), orders
    fine = ExponentialRK(TUBE, dispersion, steepening, 1 / 1024).solve(exact[:, 0], times).values
    np.testing.assert_allclose(fine, exact, atol=2e-9)
    squares = (fine**2).sum(-1) * TUBE.spacing[0]
    np.testing.assert_allclose(squares, 16 / 3 * sizes[:, :, 0] ** 3 * [1, 1, 1], rtol=1e-9)


# Systems


def two_rates(k, p):
    """(*modes, component): u diffuses faster than v, and v drifts."""
    return np.stack([-0.02 * k[0] ** 2 + 0j, -0.01 * k[0] ** 2 - 0.5j * k[0]], axis=-1)


def predator(u, modes, p):
    a, b = jnp.fft.irfft(u, n=33)
    return jnp.fft.rfft(jnp.stack([a - a * b, p["gain"] * a * b - b]))


def test_system_equals_an_adaptive_solution_of_the_same_modes():
    grid = Grid.box("periodic", 33, stop=2 * np.pi)
    x, gains, times = grid.coordinates()[0], np.array([0.9, 1.3]), np.array([0.0, 0.7, 1.5])
    start = np.stack([1 + 0.3 * np.cos(x), 1 + 0.2 * np.sin(2 * x)], -1)
    gain = gains
    solver = lambda dt: ExponentialRK(grid, two_rates, predator, dt, dealias=1.0)  # noqa: E731
    k = np.fft.rfftfreq(33, 1 / 33)

    def change(t, state, g):
        a, b = state.reshape(2, 33)
        back = lambda symbol, v: np.fft.irfft(symbol * np.fft.rfft(v), n=33)  # noqa: E731
        da = back(-0.02 * k**2, a) + a - a * b
        db = back(-0.01 * k**2 - 0.5j * k, b) + g * a * b - b
        return np.concatenate([da, db])

    expected = []
    for g in gains:
        run = solve_ivp(change, (0, 1.5), start.T.ravel(), "DOP853", times, args=(g,), rtol=1e-12, atol=1e-13)
        expected.append(run.y.T.reshape(3, 2, 33).swapaxes(1, 2))
    errors = []
    for dt in (0.1, 0.05, 0.025):
        found = solver(dt).solve(np.stack([start] * 2), times, {"gain": gain})
        assert found.values.shape == (2, 3, 33, 2)
        errors.append(np.abs(found.values - expected).max())
    orders = observed_orders(errors, (0.1, 0.05, 0.025))
    assert np.all((orders > 3.8) & (orders < 4.2)), orders
    np.testing.assert_allclose(solver(0.001).solve(np.stack([start] * 2), times, {"gain": gain}).values, expected, atol=1e-10)


def test_one_symbol_serves_all_components():
    u = np.stack([np.cos(LINE.coordinates()[0]), np.sin(3 * LINE.coordinates()[0])], -1)[None]
    found = ExponentialRK(LINE, lambda k, p: -(k[0] ** 2), nothing, 0.1).solve(u, np.array([0.0, 0.3])).values
    np.testing.assert_allclose(found[:, 1], u * np.exp([-0.3, -2.7]), atol=1e-14)


# What is refused


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"order": 3}, "order=3"),
        ({"dt": 0.0}, "dt=0.0"),
        ({"dt": -0.1}, "dt > 0"),
        ({"dt": float("nan")}, "dt=nan"),
        ({"dt": None}, "dt=None"),
        ({"dealias": 0.0}, r"dealias in \(0, 1\]"),
        ({"dealias": 1.5}, "dealias=1.5"),
        ({"dtype": "float16"}, "'float32' or 'float64'"),
    ],
)
def test_bad_settings_are_refused(settings, match):
    with pytest.raises(SettingError, match=match):
        ExponentialRK(**{"grid": LINE, "linear": diffusion, "nonlinear": nothing, "dt": 0.1} | settings)


@pytest.mark.parametrize(
    ("initial", "times", "match"),
    [
        (np.ones(128), [0.0, 1.0], r"shape \(128,\). Needed \(sample, 128\[, component\]\)"),
        (np.ones((2, 64)), [0.0, 1.0], "build the solver for this grid"),
        (np.ones((2, 128, 1, 1)), [0.0, 1.0], "Add the sample axis"),
        (np.ones((2, 128)), [0.0], "at least two increasing"),
        (np.ones((2, 128)), 1.0, "at least two increasing"),
        (np.ones((2, 128)), [0.0, 1.0, 1.0], "increasing"),
        (np.ones((2, 128)), [0.0, 1.0, 0.5], "Start with the initial time"),
        (np.ones((2, 128)), [0.0, np.nan], "finite numbers"),
        (np.ones((2, 128)), [0.0, np.inf], "finite numbers"),
    ],
)
def test_bad_fields_and_times_are_refused(initial, times, match):
    with pytest.raises(DataError, match=match):
        ExponentialRK(LINE, diffusion, nothing, 0.1).solve(initial, np.array(times), {"nu": 0.1})


def test_walls_are_refused():
    solver = ExponentialRK(Grid.box("cell", 8, boundary="neumann"), diffusion, nothing, 0.1)
    with pytest.raises(GridError, match="Needed a periodic grid"):
        solver.solve(np.ones((1, 8)), np.array([0.0, 1.0]), {"nu": 0.1})


def test_functions_of_matrices_equal_their_series():
    from solvers.exponential import _of_matrices, _of_one_matrix

    rng = np.random.default_rng(90210)
    z = rng.standard_normal((4, 3, 3)) + 1j * rng.standard_normal((4, 3, 3))
    z[1] = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])  # no basis of eigenvectors
    dt = 0.3
    found = _of_matrices(z, dt, 4)

    def phi(a, order):
        term, total = np.eye(3, dtype=complex), np.zeros((3, 3), complex)
        for i in range(60):
            total = total + term / math.factorial(i + order) if order else total + term / math.factorial(i)
            term = term @ a
        return total

    for i in range(4):
        expected = {
            "whole": phi(z[i], 0),
            "half": phi(z[i] / 2, 0),
            "q": dt / 2 * phi(z[i] / 2, 1),
            "f1": dt * (phi(z[i], 1) - 3 * phi(z[i], 2) + 4 * phi(z[i], 3)),
            "f2": dt * (2 * phi(z[i], 2) - 4 * phi(z[i], 3)),
            "f3": dt * (4 * phi(z[i], 3) - phi(z[i], 2)),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][i], value, atol=1e-12)
            np.testing.assert_allclose(_of_one_matrix(z[i], dt, 4)[name], value, atol=1e-12)
    for name, value in {"whole": phi(z[2], 0), "f1": dt * phi(z[2], 1), "f2": dt * phi(z[2], 2)}.items():
        np.testing.assert_allclose(_of_matrices(z, dt, 2)[name][2], value, atol=1e-12)
