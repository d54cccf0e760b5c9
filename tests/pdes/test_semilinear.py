"""From an equation to the callables of the exponential integrator, and solves of user-typed equations."""

import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import Equation, Periodic
from pdes.semilinear import Linear, Nonlinear, Semilinear, dealiasing
from solvers.errors import SettingError, SolverError
from solvers.precision import in_float64


@in_float64
def rate(equation, grid, fields, parameters):
    """L u + N(u) on points, through the callables; one array per unknown."""
    d, axes = grid.dimension, tuple(range(-grid.dimension, 0))
    waves = [np.fft.fftfreq(a.size, a.spacing) for a in grid.axes[:-1]] + [
        np.fft.rfftfreq(grid.axes[-1].size, grid.axes[-1].spacing)
    ]
    k = tuple(jnp.asarray(2 * np.pi * w.reshape([-1 if i == j else 1 for j in range(d)])) for i, w in enumerate(waves))
    hats = [jnp.fft.rfftn(jnp.asarray(fields[name]), axes=axes) for name in equation.unknowns]
    u = hats[0] if len(hats) == 1 else jnp.stack(hats, axis=-1)
    total = Linear(equation)(k, parameters) * u + Nonlinear(equation, grid)(u, k, parameters)
    parts = [total] if len(hats) == 1 else list(jnp.moveaxis(total, -1, 0))
    return [np.asarray(jnp.fft.irfftn(part, s=grid.shape, axes=axes)) for part in parts]


GRID = Periodic(x=(0, 1)).grid(64)
X = 2 * np.pi * GRID.coordinates()[0]
U, V = np.sin(X) + 0.3 * np.cos(2 * X), np.cos(X)
DU = 2 * np.pi * (np.cos(X) - 0.6 * np.sin(2 * X))
DDU = 4 * np.pi**2 * (-np.sin(X) - 1.2 * np.cos(2 * X))
DDDU = 8 * np.pi**3 * (-np.cos(X) + 2.4 * np.sin(2 * X))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("u_t = nu*u_xx - u*u_x", 0.1 * DDU - U * DU),
        ("u_t = u_xxx - 6*u*u_x + nu", DDDU - 6 * U * DU + 0.1),
        ("2*u_t = nu*u_x^2 + 2*u^3 - sin(u)", 0.05 * DU**2 + U**3 - np.sin(U) / 2),
        ("u_t = dx(u*u_x) + f(x)*u + nu*u_xx", DU**2 + U * DDU + np.cos(3 * X) * U + 0.1 * DDU),
        ("u_t = nu*u_xx + exp(-x)*cos(2*pi*x)", 0.1 * DDU + np.exp(-X / (2 * np.pi)) * np.cos(X)),
        ("u_t = nu*lap(u^3 - u)", 0.1 * (3 * U**2 * DDU + 6 * U * DU**2 - DDU)),
    ],
)
def test_rates_of_scalar_equations(text, expected):
    (found,) = rate(Equation(text, dimension=1), GRID, {"u": U}, {"nu": 0.1, "field f": np.cos(3 * X)})
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_rates_of_systems():
    found = rate(Equation("u_t = nu*u_xx + v_x - v; v_t = u*v + u_x"), GRID, {"u": U, "v": V}, {"nu": 0.1})
    np.testing.assert_allclose(found[0], 0.1 * DDU - 2 * np.pi * np.sin(X) - V, atol=1e-10)
    np.testing.assert_allclose(found[1], U * V + DU, atol=1e-10)


def test_rates_in_two_dimensions():
    grid = Periodic(x=(0, 1), y=(0, 2)).grid((32, 24))
    x, y = (2 * np.pi * c for c in grid.mesh())
    u = np.sin(x) * np.cos(y)
    ux, uy, lap = 2 * np.pi * np.cos(x) * np.cos(y), -2 * np.pi * np.sin(x) * np.sin(y), -8 * np.pi**2 * u
    (found,) = rate(
        Equation("u_t = nu*lap(u) - u*u_x - c*u*u_y - dot(grad(u), grad(u))"), grid, {"u": u}, {"nu": 0.1, "c": 2.0}
    )
    np.testing.assert_allclose(found, 0.1 * lap - u * ux - 2 * u * uy - ux**2 - uy**2, atol=1e-10)


def test_callables_are_equal_for_equal_equations():
    a, b = Equation("u_t = nu*u_xx - u*u_x"), Equation("u_t = -u_x*u + u_xx*nu")
    assert (Linear(a), Nonlinear(a, GRID)) == (Linear(b), Nonlinear(b, GRID))
    assert len({Nonlinear(a, GRID), Nonlinear(b, GRID)}) == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [("u_t = u_xx", 1), ("u_t = u_xx - u*u_x", 2 / 3), ("u_t = u_xx + u - u^3", 1 / 2), ("u_t = u_xx + sin(u)", 2 / 3)],
)
def test_dealiasing_follows_the_degree(text, kept):
    assert dealiasing(Equation(text)) == pytest.approx(kept, abs=1e-8)


# -- whole solves of equations that a user types ------------------------------------------------------------------------


SQUARE = Periodic(x=(0, 1), y=(0, 1))


def typed(equation, **options):
    settings = {"name": "typed", "domain": Periodic(x=(0, 1)), "time": (0, 1), "frames": 5, "chunk": 2, "measure_every": 2}
    return pdes.Problem(**{**settings, "equation": equation, **options})


def test_heat_is_exact():
    law = pdes.fourier_series(5)
    problem = typed("u_t = nu*u_xx + c*u_x", parameters={"nu": pdes.uniform(0.01, 0.02), "c": 0.3}, initial={"u": law})
    data = pdes.generate(problem, 3, 32, seed=7, progress=False)
    x, (nu, c) = data.coordinates["x"], (data.parameters[name][:, None, None] for name in ("nu", "c"))
    amplitude, phase = np.moveaxis(data.latent["initial.u"][...], 1, 0)
    k, t = 2 * np.pi * np.arange(1, 6), data.times[:, None]
    waves = np.sin(k[:, None, None] * (x + c[:, None] * t) + phase[..., None, None])
    exact = np.einsum("sm,smt,smtx->stx", amplitude, np.exp(-nu * k[:, None] ** 2 * data.times), waves)
    np.testing.assert_allclose(data.fields["u"][...], exact, atol=2e-6)
    assert data.provenance["solver"]["settings"].startswith("Semilinear(dt=0.25")  # linear: one step per frame
    assert data.quality["label_error"][0] < 1e-12


def test_burgers_agrees_with_cole_hopf():
    problem, grid, times = pdes.get("burgers"), Periodic(x=(0, 1)).grid(256), np.linspace(0, 0.5, 4)
    nu, x = np.array([0.02, 0.05]), Periodic(x=(0, 1)).grid(256).coordinates()[0]
    decay = np.exp(-4 * np.pi**2 * nu[:, None] * times)[..., None]
    exact = 4 * np.pi * nu[:, None, None] * decay * np.sin(2 * np.pi * x) / (2 + decay * np.cos(2 * np.pi * x))
    errors = []
    for dt in (1 / 12, 1 / 24, 1 / 48):
        found = Semilinear(dt=dt)(problem, grid, {"u": exact[:, 0]}, {"nu": nu}, times)
        errors.append(np.abs(found.fields["u"] - exact).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 4) < 0.4), (errors, orders)
    assert errors[-1] < 1e-6


@pytest.mark.parametrize(
    ("equation", "options"),
    [
        (
            "u_t = -6*u*u_x - d*u_xxx",
            {"parameters": {"d": 2e-3}, "initial": {"u": pdes.fourier_series(3, 0.5)}, "time": (0, 0.3)},
        ),
        (
            "u_t = -u*u_x - u_xx - u_xxxx",
            {
                "domain": Periodic(x=(0, 22)),
                "initial": {"u": pdes.fourier_series(4, 1.0)},
                "time": (0, 8),
                "solver": Semilinear(dt=0.1),
            },
        ),
        (
            "u_t = e*lap(u) + u - u^3",
            {
                "domain": SQUARE,
                "parameters": {"e": 2e-2},
                "initial": {"u": pdes.fourier_series(2)},
                "solver": Semilinear(dt=0.02),
            },
        ),
        (
            "u_t = d*u_xx + u - u^3 - v; v_t = d*v_xx + u - v",
            {"parameters": {"d": 2e-3}, "initial": {"u": pdes.fourier_series(3, 1.0), "v": pdes.fourier_series(2, 0.5)}},
        ),
        (
            "u_t = 0.02*lap(u) + f - u_x",
            {"domain": SQUARE, "inputs": {"f": pdes.fourier_series(3)}, "initial": {"u": pdes.fourier_series(2)}},
        ),
    ],
    ids=["KdV", "Kuramoto-Sivashinsky", "Allen-Cahn 2-D", "reaction-diffusion system", "forced advection-diffusion 2-D"],
)
def test_typed_equations_pass_the_battery(equation, options):
    problem = typed(equation, **options)
    report = pdes.check_problem(problem, resolution=64 if problem.domain.dimension == 1 else 32)
    assert report.label_error < 1e-4


def test_a_step_that_cannot_be_found_is_an_error():
    with pytest.raises(SettingError, match=r"still changes by more than 1e-30 at dt"):
        pdes.generate(
            typed("u_t = u_xx - u^2", initial={"u": pdes.fourier_series(2)}, solver=Semilinear(tolerance=1e-30)), 1, 8
        )


def test_blow_up_is_named():
    problem = typed("u_t = 0.01*u_xx + u^2", initial={"u": pdes.constant(5.0)}, solver=Semilinear(dt=0.05))
    with pytest.raises(SolverError, match="BLOW_UP"):
        pdes.generate(problem, 1, 8, seed=7, progress=False)


def test_modes_beyond_the_grid_are_left_out_not_aliased():
    problem = typed("u_t = 0.01*u_xx", initial={"u": pdes.grf(5, 2, sigma=25, modes=40)})
    coarse, fine = (pdes.generate(problem, 2, n, seed=7, progress=False).fields["u"][...] for n in (32, 128))
    expected = np.fft.rfft(fine)[..., :16] / 4
    np.testing.assert_allclose(np.fft.rfft(coarse)[..., :16], expected, atol=1e-5)
    assert np.abs(fine[:, 0, ::4] - coarse[:, 0]).max() > 1e-3  # decimation would have been another function
