"""Ordinary equations as problems: all systems read back and have the rates that their text says, some pass the whole battery
(ODE_BATTERY=1: all), data and files do without space, and constants and starts are those of the sources."""

import dataclasses
import os

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

import pdes
from pdes import Equation, Point, Problem, fixed, uniform
from pdes.checks import CheckFailure, _check_draws, _check_text
from pdes.ode_families import flows, odebench, prose
from pdes.ordinary import Ordinary, Rates, rates
from pdes.scalars import Near, bands, near, rounded
from solvers.errors import SettingError, SolverError, UnknownName
from solvers.precision import jax

NAMES = pdes.names("ode")
SOME = [
    "driven_pendulum",  # t on the right
    "epidemic_sir",
    "lorenz63",
    "odebench_10",  # powers with parameters for exponents
    "odebench_53",
    "prose_double_pendulum",
    "prose_sprott_linz_F",  # half of the starts escape
]


@pytest.mark.parametrize("name", NAMES)
def test_every_system_reads_back_and_has_the_rates_of_its_text(name):
    problem = pdes.get(name)
    _check_text(problem)
    _check_draws(problem, seed=90210)
    assert problem.description
    assert problem.held_out().digest() != problem.digest()
    equation, (parameters, latents) = problem.equation, problem.draw(7, 0)
    state = [problem.initial[u].evaluate(latents[f"initial.{u}"][None], Point().grid(()))[0] for u in equation.unknowns]
    plain = {equation.names.field(u): sympy.Symbol(f"{u}_") for u in equation.unknowns}
    symbols = [*plain.values(), sympy.Symbol("t"), *map(sympy.Symbol, parameters)]
    expected = sympy.lambdify(symbols, [side.xreplace(plain) for side in rates(equation)], "math")(
        *state, 0.3, *parameters.values()
    )
    with jax.enable_x64(True):
        found = Rates(equation)(0.3, np.array(state), parameters)
    np.testing.assert_allclose(np.asarray(found), np.array(expected, float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES if os.environ.get("ODE_BATTERY") else SOME)
def test_the_whole_battery(name):
    report = pdes.check_problem(pdes.get(name))
    assert report.label_error < 0.01
    assert report.sharpest > 3


@dataclasses.dataclass(frozen=True)
class Wrong(Ordinary):
    """Solves another equation than the problem says."""

    instead: str = ""

    def __call__(self, problem, grid, inputs, parameters, times):
        return super().__call__(problem.replace(equation=Equation(self.instead, dimension=0)), grid, inputs, parameters, times)


@pytest.mark.parametrize("instead", ["q_t = v; v_t = -omega^2*q + 2*zeta*omega*v", "q_t = v; v_t = -omega^2*q - zeta*omega*v"])
def test_data_of_another_equation_fail_the_battery(instead):
    with pytest.raises(CheckFailure, match=r"does not satisfy|residual falls"):
        pdes.check_problem(pdes.get("linear_oscillator", solver=Wrong(instead=instead)))


# -- equations and problems without space ----------------------------------------------------------------------------------


def test_x_y_z_are_names_where_there_is_no_space():
    equation = Equation("x_t = k_x*(y - x) + cos(t); y_t = x*z; z_t = -z", dimension=0)
    assert (equation.unknowns, equation.parameters, equation.dimension) == (("x", "y", "z"), ("k_x",), 0)
    assert equation.order_in_time == 1
    assert equation.latex().startswith("x_{t} = ")
    with pytest.raises(SettingError, match="lap in 0 dimensions"):
        Equation("u_t = lap(u)", dimension=0)
    with pytest.raises(SettingError, match=r"in 1 dimensions\. Needed at most 0"):
        Equation("u_t = dx(u)", dimension=0)


def simple(equation="u_t = -k*u", **options):
    settings = {"parameters": {"k": uniform(0.5, 2)}, "initial": {"u": uniform(1, 2)}, "time": (0, 1), "frames": 5}
    return Problem(**{"name": "simple", "domain": Point(), "equation": equation, **settings, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"equation": "u_tt = -k*u"}, r"write higher orders as a system \(x_t = v; v_t = ...\)"),
        ({"equation": "2*u_t = -k*u"}, "Solve it for the rates"),
        ({"equation": "u_t = -k*u + f", "inputs": {"f": fixed(1.0)}}, "no input field on the right"),
        ({"initial": {}}, r"initial \['u'\]"),
    ],
)
def test_other_forms_are_refused_with_advice(options, message):
    with pytest.raises(SettingError, match=message):
        simple(**options)


def test_data_have_samples_and_times_alone_and_survive_files(tmp_path):
    data = pdes.generate(simple(), 5, seed=7, progress=False, path=tmp_path / "a.h5")
    assert data.fields["u"].dims == ("sample", "time")
    assert data.grid.shape == ()
    exact = data.fields["u"][:, :1] * np.exp(-data.parameters["k"][:, None] * data.times)
    np.testing.assert_allclose(data.fields["u"][...], exact, rtol=1e-6)
    assert 0 <= data.quality["label_error"][0] < 1e-9
    again = pdes.Dataset.open(tmp_path / "a.h5")
    assert again.fingerprint() == data.fingerprint() == pdes.generate(simple(), 5, 64, seed=7, progress=False).fingerprint()
    grown = pdes.generate(simple(), 300, seed=7, progress=False, path=tmp_path / "a.h5")  # into the next chunk
    assert grown[:5].fingerprint() == data.fingerprint()
    assert data.subsample(time=2).fields["u"].shape == (5, 3)
    assert "grid" not in repr(data)
    residual = simple().equation.residual({"u": data.fields["u"][...]}, data.grid, data.times, data.parameters)
    assert residual.shape == (5, 3)
    with pytest.raises(SettingError, match="resolution"):
        pdes.generate("darcy", 1)


def test_numbers_laws_and_warm_up():
    problem = simple(initial={"u": 3}, parameters={"k": 1.0}, warm_up=1.0)
    data = pdes.generate(problem, 1, seed=7, progress=False)
    np.testing.assert_allclose(data.fields["u"][0], 3 * np.exp(-1 - data.times), rtol=1e-6)


def test_escaping_draws_are_replaced_and_then_an_error():
    explosive = simple("u_t = k*u^2", parameters={"k": uniform(0.3, 1.0)}, solver=Ordinary(limit=50.0), attempts=30)
    data = pdes.generate(explosive, 20, seed=7, progress=False)
    assert np.all(np.abs(data.fields["u"][...]) <= 50)
    assert data.quality["attempt"].max() > 0
    with pytest.raises(SolverError, match=r"failing for 3 draws in a row \(BLOW_UP\)"):
        pdes.generate(explosive.replace(k=5.0, attempts=3), 1, seed=7, progress=False)


@pytest.mark.parametrize(
    ("name", "quantity"), [("pendulum", "energy"), ("lotka_volterra", "orbit"), ("epidemic_sir", "population")]
)
def test_what_a_system_conserves_does_not_drift(name, quantity):
    data = pdes.generate(name, 4, seed=7, progress=False)
    assert np.all(data.quality[f"drift_{quantity}"] < 1e-9)
    wrong = pdes.get(name, conserved={quantity: "omega" if name == "pendulum" else data.provenance["unknowns"][0]})
    assert np.all(pdes.generate(wrong, 4, seed=7, progress=False).quality[f"drift_{quantity}"] > 1e-3)


# -- laws ------------------------------------------------------------------------------------------------------------------


def test_components_of_a_start_belong_together():
    laws = near(("x", "y"), ((10.0, 1.0), (20.0, 2.0), (0.0, 4.0)), 0, 0.1)
    rows = np.array([[law.sample(np.random.default_rng(i))[0] for law in laws.values()] for i in range(200)])
    which = rows[:, 1].round().astype(int)
    assert set(which) == {1, 2, 4}
    for y, x in ((1, 10.0), (2, 20.0), (4, 0.0)):
        chosen = rows[which == y]
        assert np.all(np.abs(chosen[:, 0] - x) <= (0.1 * x or 2.0))
        assert np.all(np.abs(chosen[:, 1] / y - 1) <= 0.1)
    assert np.all(rows >= 0)  # nowhere negative, so never
    assert np.ptp(rows[which == 4][:, 0]) > 1  # and zero is not stuck
    competition = pdes.get("odebench_26")  # starts (5, 4.3) and (2.3, 3.6), told apart by the first, not by the second
    drawn = [competition.draw(7, i)[1] for i in range(60)]
    for state in ({n: latents[f"initial.{n}"][0] for n in ("x0", "x1")} for latents in drawn):
        assert abs(state["x1"] / (4.3 if state["x0"] > 3.5 else 3.6) - 1) <= 0.1
    outer = Near(((10.0,),), 0, 0.1, 0.2)
    moved = np.array([outer.sample(np.random.default_rng(i))[0] for i in range(100)])
    assert np.all((np.abs(moved / 10 - 1) >= 0.1) & (np.abs(moved / 10 - 1) <= 0.2))
    with pytest.raises(SettingError, match="one number for each name"):
        near(("x", "y"), ((1.0,),), 0, 0.1)


def test_bands_and_rounding():
    rng = np.random.default_rng(20263)
    drawn = np.array([bands(-2, 0.1, 0.2).sample(rng) for _ in range(200)])
    assert np.all((np.abs(drawn / -2 - 1) >= 0.1) & (np.abs(drawn / -2 - 1) <= 0.2))
    assert {drawn.min() < -2.2, drawn.max() > -1.8} == {True}
    assert rounded(fixed(8 / 3)).sample(rng) == 2.67
    assert rounded(fixed(0.0123456), 2).sample(rng) == 0.012


# -- PROSE -----------------------------------------------------------------------------------------------------------------


def test_prose_has_fifteen_systems_with_its_ranges():
    assert len(prose.SYSTEMS) == 15
    sizes = sorted(len(problem.equation.unknowns) for problem in prose.SYSTEMS.values())
    assert sizes == [3] * 12 + [4, 4, 5]
    problem = prose.SYSTEMS["prose_lorenz_3d"]
    np.testing.assert_allclose(problem.times, 6 * np.arange(192) / 191, rtol=1e-14)
    for split, low, high in (("train", 0, 0.1), ("held_out", 0.1, 0.2)):
        for sample in range(40):
            parameters, latents = problem.replace(split=split).draw(3, sample)
            for name, reference in {"sigma": 10, "rho": 28, "beta": 8 / 3}.items():
                assert low - 0.005 <= abs(parameters[name] / reference - 1) <= high + 0.005
                assert parameters[name] == float(f"{parameters[name]:.2e}")  # three digits, as its tokens
            assert all(abs(latent[0]) <= 2 for latent in latents.values())


# -- ODEBench --------------------------------------------------------------------------------------------------------------


def test_odebench_is_complete():
    equations = [problem.equation for problem in odebench.SYSTEMS.values()]
    assert [sum(len(e.unknowns) == d for e in equations) for d in (1, 2, 3, 4)] == [23, 28, 10, 2]
    other = {4, 7, 10, 13, 14, 15, *range(18, 24), 28, *range(33, 37), 42, 43, 44, 46, 47, 48, 51, 53, 62}
    for number, equation in enumerate(equations, 1):
        fields = [equation.names.field(name) for name in equation.unknowns]
        assert all(side.is_polynomial(*fields) for side in rates(equation)) == (number not in other), number
    assert all(len(row[4]) == 2 for row in odebench.ROWS)


@pytest.mark.parametrize("number", [24, 44])
def test_odebench_trajectories_start_where_the_benchmark_does(number):
    data = odebench.trajectories(number, np.linspace(0, 10, 41))
    *_, constants, starts = odebench.ROWS[number - 1]
    c = dict(enumerate(constants))
    sides = {24: lambda t, x: [x[1], -c[0] * x[0]], 44: lambda t, x: [x[1], c[0] - np.sin(x[0]) - c[1] * x[1] * abs(x[1])]}
    for i, start in enumerate(starts):
        reference = solve_ivp(sides[number], (0, 10), start, "DOP853", data.times, rtol=1e-12, atol=1e-13)
        for name, values in zip(("x0", "x1"), reference.y, strict=True):
            np.testing.assert_allclose(data.fields[name][i], values, rtol=1e-6, atol=1e-6)
    assert data.provenance["family"] == f"odebench_{number}"


def test_unknown_numbers_are_refused():
    with pytest.raises(UnknownName, match="odebench_64"):
        odebench.trajectories(64)


# -- flows -----------------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_lists_are_separate():
    assert len(set(pdes.names())) == len(pdes.names()) == len(pdes.names("pde")) + len(NAMES)
    assert {"lorenz63", "prose_thomas", "odebench_01", "pendulum"} <= set(NAMES)
    with pytest.raises(SettingError, match="'pde', 'ode' or None"):
        pdes.names("sde")


def test_lorenz_96_of_any_size():
    five = flows.lorenz_96(5, warm_up=0.0, parameters={"F": 8.0})
    state = np.arange(1.0, 6.0)
    with jax.enable_x64(True):
        found = np.asarray(Rates(five.equation)(0.0, state, {"F": 8.0}))
    expected = (np.roll(state, -1) - np.roll(state, 2)) * np.roll(state, 1) - state + 8
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert flows.lorenz96.name == "lorenz96"
    assert len(flows.lorenz96.equation.unknowns) == 40
