"""From an equation to the callables of the exponential integrator, and solves of user-typed equations."""

import jax.numpy as jnp
import numpy as np
import pytest

import pdes
from pdes import Equation, Periodic
from pdes.semilinear import Linear, Nonlinear, Semilinear, dealiasing
from solvers.errors import SettingError, SolverError
from solvers.modes import Modes
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
    u = hats[0] if len(hats) == 1 else jnp.stack(hats)
    symbol = Linear(equation)(k, parameters)
    if symbol.ndim == d + 3:
        linear = np.moveaxis((symbol[0] @ np.moveaxis(np.asarray(u), 0, -1)[..., None])[..., 0], -1, 0)
    else:
        linear = np.moveaxis(symbol, -1, 0) * u if len(hats) > 1 else symbol * u
    total = linear + Nonlinear(equation)(u, Modes(grid, 1.0), parameters)
    parts = [total] if len(hats) == 1 else list(total)
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
    assert (Linear(a), Nonlinear(a)) == (Linear(b), Nonlinear(b))
    assert len({Nonlinear(a), Nonlinear(b)}) == 1


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


def test_linear_coupling_is_exact_at_any_step():
    """u_tt = c^2 lap(u) as a system: a standing wave, whose mean moves on its own (a Jordan block at wavenumber zero)."""
    wave = pdes.Problem(
        name="wave",
        equation="u_t = v; v_t = c^2*lap(u)",
        domain=Periodic(x=(0, 1), y=(0, 1)),
        parameters={"c": 1.5},
        initial={"u": pdes.constant(1.0), "v": pdes.constant(0.5)},
        time=(0, 7),
    )
    grid = wave.stored_grid(16)
    x, y = grid.mesh()
    shape = np.cos(2 * np.pi * x) * np.sin(4 * np.pi * y)
    omega = 1.5 * 2 * np.pi * np.sqrt(5)
    times = np.array([0.0, 0.3, 7.0])
    solver = wave.solver.prepare(wave, grid, 7)
    found = solver(wave, grid, {"u": (1 + shape)[None], "v": np.full((1, 16, 16), 0.5)}, {"c": np.array([1.5])}, times)
    for i, t in enumerate(times):
        np.testing.assert_allclose(found.fields["u"][0, i], 1 + 0.5 * t + np.cos(omega * t) * shape, atol=1e-11)
        np.testing.assert_allclose(found.fields["v"][0, i], 0.5 - omega * np.sin(omega * t) * shape, atol=1e-9)


def test_schroedinger_soliton():
    """i psi_t + psi_xx + 2 |psi|^2 psi = 0: a sech(a (x - c t)) exp(i (c x / 2 + (a^2 - c^2 / 4) t))."""
    nls = pdes.Problem(
        name="nls",
        equation="p_t = -q_xx - 2*(p^2 + q^2)*q; q_t = p_xx + 2*(p^2 + q^2)*p",
        domain=Periodic(x=(-20, 20)),
        initial={"p": pdes.constant(0.0), "q": pdes.constant(0.0)},
        time=(0, 1),
        solver=Semilinear(dt=0.002),
    )
    assert nls.equation.evolution.coupling == ({"q": {(2,): -1}}, {"p": {(2,): 1}})
    grid = nls.stored_grid(512)
    x, a, c = grid.coordinates()[0], 1.2, 8 * np.pi / 40

    def soliton(t):
        return a / np.cosh(a * (x - c * t)) * np.exp(1j * (c * x / 2 + (a**2 - c**2 / 4) * t))

    start = soliton(0)
    found = nls.solver(nls, grid, {"p": start.real[None], "q": start.imag[None]}, {}, np.array([0.0, 1.0]))
    psi = found.fields["p"][0, 1] + 1j * found.fields["q"][0, 1]
    assert np.abs(psi - soliton(1)).max() < 1e-7


def test_unknowns_that_follow_from_the_others():
    """Vorticity and stream function from the text alone, beside the solver that is written for them."""
    from solvers.incompressible import VorticityNavierStokes

    problem = pdes.Problem(
        name="flow",
        equation="w_t = nu*lap(w) - dx(psi_y*w) + dy(psi_x*w); -lap(psi) = w",
        domain=Periodic(x=(0, 1), y=(0, 1)),
        parameters={"nu": 1e-3},
        initial={"w": pdes.grf(tau=7, alpha=2.5, modes=8)},
        time=(0, 1),
        solver=Semilinear(dt=0.05),
    )
    assert set(problem.equation.evolution.constraints) == {"psi"}
    grid = problem.stored_grid(32)
    w = problem.initial["w"].evaluate(problem.draw(7, 0)[1]["initial.w"], grid)[None]
    found = problem.solver(problem, grid, {"w": w}, {"nu": np.array([1e-3])}, np.array([0.0, 1.0]))
    expected = VorticityNavierStokes(grid, 0.05).solve(w, np.array([0.0, 1.0]), {"nu": 1e-3})
    np.testing.assert_allclose(found.fields["w"], expected.values, atol=1e-9)
    with pytest.raises(SettingError, match="in a linear equation with constant coefficients"):
        Equation("w_t = lap(w) + psi; lap(psi) = w*psi").evolution  # noqa: B018


def test_walls_without_flux_by_mirror_images():
    """A cosine between the walls decays at its own rate; the total is kept."""
    heat = pdes.Problem(
        name="heat",
        equation="u_t = nu*lap(u)",
        domain=pdes.Box(x=(0, 1), y=(0, 2), boundary="neumann", kind="cell"),
        parameters={"nu": 0.1},
        initial={"u": pdes.constant(1.0)},
        time=(0, 1),
    )
    grid = heat.stored_grid((16, 24))
    x, y = grid.mesh()
    u = (2 + np.cos(3 * np.pi * x) * np.cos(np.pi * y))[None]
    found = heat.solver.prepare(heat, grid, 7)(heat, grid, {"u": u}, {"nu": np.array([0.1])}, np.array([0.0, 1.0]))
    rate = 0.1 * ((3 * np.pi) ** 2 + np.pi**2)
    np.testing.assert_allclose(found.fields["u"][0, 1], 2 + np.exp(-rate) * (u[0] - 2), atol=1e-13)


@pytest.mark.parametrize("text", ["u_t = nu*u_xx - u*u_x", "u_t = nu*u_xx + x*u", "u_t = nu*u_xx + u_x"])
def test_equations_that_do_not_reflect_are_refused_between_walls(text):
    with pytest.raises(SettingError, match="does not change when an axis is reversed"):
        pdes.Problem(
            name="odd",
            equation=text,
            domain=pdes.Box(x=(0, 1), boundary="neumann"),
            parameters={"nu": 0.1},
            initial={"u": pdes.grf(tau=5, alpha=2)},
            time=(0, 1),
        )


def test_warm_up_is_solved_and_not_stored():
    plain = pdes.Problem(
        name="ks",
        equation="u_t = -u_xx - u_xxxx - u*u_x",
        domain=Periodic(x=(0, 22)),
        initial={"u": pdes.fourier_series(3)},
        time=(-5, 10),
        frames=(-5.0, 0.0, 5.0, 10.0),
        solver=Semilinear(dt=0.05),
    )
    warm = plain.replace(time=(0, 10), frames=(0.0, 5.0, 10.0), warm_up=5.0)
    assert warm.digest() != warm.replace(warm_up=0.0).digest()
    a, b = (pdes.generate(p, 2, 32, seed=7, progress=False).fields["u"][...] for p in (plain, warm))
    np.testing.assert_allclose(a[:, 1:], b, rtol=1e-6, atol=1e-7)
