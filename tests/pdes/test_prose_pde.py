"""The twenty families of PROSE-PDE: their setting, their labels beside ones typed from the specification, and wrong labels."""

import dataclasses

import numpy as np
import pytest
import sympy

import pdes
from pdes import Equation
from pdes.checks import CheckFailure, check_problem
from pdes.families._prose import RESOLUTION
from pdes.families.prose_pde import EXTRA, FAMILIES
from pdes.semilinear import Semilinear
from solvers.errors import SettingError

EVERY = {**FAMILIES, **EXTRA}
TABLE = {  # label = 0, end, references
    "heat": ("u_t - nu*u_xx", 2, {"nu": 3e-3}),
    "porous_medium": ("u_t - m*(m - 1)*u^(m - 2)*u_x^2 - m*u^(m - 1)*u_xx", 0.1, {}),
    "advection": ("u_t + beta*u_x", 2, {"beta": 0.5}),
    "kdv": ("u_t + delta^2*u_xxx + u*u_x", 1, {"delta": 0.022}),
    "fokker_planck": ("u_t + 265.3/eta*cos(10*x)*u + 26.53/eta*sin(10*x)*u_x - 2.197/eta*u_xx", 0.1, {"eta": 1.0}),
    "diffusion_logistic": ("u_t - nu*u_xx - rho*u*(1 - u)", 2, {"nu": 3e-3, "rho": 1}),
    "diffusion_linear": ("u_t - nu*u_xx - rho*u", 2, {"nu": 3e-3, "rho": 1}),
    "diffusion_bistable": ("u_t - nu*u_xx - rho*u*(1 - u)*(u - a)", 2, {"nu": 3e-3, "rho": 1}),
    "diffusion_square_logistic": ("u_t - nu*u_xx - rho*u^2*(1 - u)^2", 2, {"nu": 3e-3, "rho": 1}),
    "burgers": ("u_t + k*u*u_x - eps/pi*u_xx", 2, {"k": 1, "eps": 0.01}),
    "inviscid_burgers": ("u_t + k*u*u_x", 2, {"k": 1}),
    "linear_flux": ("u_t + k*u_x - eps/pi*u_xx", 2, {"k": 1, "eps": 0.01}),
    "cubic_flux": ("u_t + k*u^2*u_x - eps/pi*u_xx", 2, {"k": 1, "eps": 0.01}),
    "inviscid_cubic_flux": ("u_t + k*u^2*u_x", 2, {"k": 1}),
    "sine_flux": ("u_t + k*cos(u)*u_x - eps/pi*u_xx", 2, {"k": 1, "eps": 0.01}),
    "inviscid_sine_flux": ("u_t + k*cos(u)*u_x", 2, {"k": 1}),
    "cosine_flux": ("u_t - k*sin(u)*u_x - eps/pi*u_xx", 2, {"k": 1, "eps": 0.01}),
    "inviscid_cosine_flux": ("u_t - k*sin(u)*u_x", 2, {"k": 1}),
    "wave": ("u_tt - c^2*u_xx", 1, {"c": 0.5}),
    "klein_gordon": ("u_tt - c^2*u_xx + m^2*c^4*u", 1, {"c": 1, "m": 0.1}),
    "sine_gordon": ("u_tt - u_xx + c*sin(u)", 1, {"c": 1}),
    "cahn_hilliard": ("u_t + eps^2*u_xxxx - 6*u*u_x^2 - (3*u^2 - 1)*u_xx", 0.5, {"eps": 0.01}),
}


def test_they_are_all_there_under_names_of_the_registry():
    assert len(FAMILIES) == 20
    assert set(EVERY) == set(TABLE)
    assert all(pdes.get(problem.name) is problem for problem in EVERY.values())


@pytest.mark.parametrize("name", TABLE)
def test_labels_are_those_of_the_specification(name):
    """Written without conservative forms, systems as one equation of second order."""
    sides = EVERY[name].equation.sides
    left, right = sides[-1]
    found = left - right
    if len(sides) == 2:
        u, v, t = sides[0][0].expr, sides[0][1], sympy.Symbol("t")
        found = found.subs(v, sympy.Derivative(u, t))
    typed = Equation(f"{TABLE[name][0]} = 0").sides[0][0]
    for m in (2, 3, 4) if name == "porous_medium" else (sympy.Symbol("m"),):
        difference = (found.doit() - typed.doit()).subs("m", m)
        assert sympy.simplify(sympy.nsimplify(difference, rational=True)) == 0


@pytest.mark.parametrize("name", TABLE)
def test_ranges_times_and_line(name):
    problem, (_, end, references) = EVERY[name], TABLE[name]
    assert (problem.domain.intervals(), problem.time, len(problem.times)) == ({"x": (0.0, 2.0)}, (0.0, float(end)), 64)
    assert RESOLUTION == 128
    for split, (low, high) in {"train": (0, 0.1), "held_out": (0.1, 0.2)}.items():
        draws = [problem.replace(split=split).draw(7, i) for i in range(60)]
        for key, q in references.items():
            away = [abs(p[key] / q - 1) for p, _ in draws]
            assert low - 0.006 < min(away)  # three digits
            assert (low + high) / 2 < max(away) < high + 0.006
            assert all(float(f"{p[key]:.2e}") == p[key] for p, _ in draws)
    law = problem.initial["u"]
    u = law.evaluate(np.stack([latents["initial.u"] for _, latents in draws]), problem.domain.grid(256))
    assert u.min() >= -1e-12
    assert u.max() <= 1 + 1e-12


@pytest.mark.parametrize("name", ["heat", "fokker_planck", "diffusion_bistable", "wave", "klein_gordon", "kdv"])
def test_samples_are_made(name):
    data = pdes.generate(FAMILIES[name].replace(measure_every=2), n=2, resolution=64, seed=0, progress=False)
    assert data.fields["u"].shape == (2, 64, 64)
    assert data.quality["label_error"][0] < 1e-3
    data.check_finite()


@dataclasses.dataclass(frozen=True)
class Of:
    """A solver that solves another problem than the one that asks."""

    other: pdes.Problem

    def prepare(self, problem, grid, seed):
        return self

    def refined(self):
        return self

    def __call__(self, problem, grid, inputs, parameters, times):
        known = {name: parameters[name] for name in self.other.parameters}
        return self.other.solver(self.other, grid, inputs, known, times)


@pytest.mark.parametrize(
    ("name", "label", "solved", "dt"),
    [
        ("porous_medium", "u_t = -lap(u^m)", None, None),
        ("fokker_planck", "u_t = 2.197/eta*u_xx - 265.3/eta*cos(10*x)*u + 26.53/eta*sin(10*x)*u_x", None, None),
        ("cahn_hilliard", "u_t = lap(u^3 - u - eps^2*lap(u))", "u_t = lap(3*u^2 - 1 - eps^2*lap(u))", 2e-5),
        ("diffusion_bistable", "u_t = nu*u_xx + rho*u*(1 - u)*(u - a)", "u_t = nu*u_xx + rho*u*(1 - u)*u", 0.02),  # a = 0
    ],
)
def test_published_labels_are_refused(name, label, solved, dt):
    """Those of the released generators, on data of the equations that these solve."""
    problem = other = FAMILIES[name]
    if solved is not None:
        laws = {key: problem.parameters[key] for key in Equation(solved).parameters}
        other = problem.replace(equation=solved, parameters=laws, held_out_laws={}, solver=Semilinear(dt=dt))
    with pytest.raises(CheckFailure, match=r"does not satisfy|only: order"):
        check_problem(problem.replace(equation=label, solver=Of(other)), resolution=64)


def test_bad_input():
    with pytest.raises(SettingError, match="parameters"):
        FAMILIES["heat"].replace(equation="u_t = kappa*u_xx")
    with pytest.raises(SettingError, match="one dimension"):
        FAMILIES["heat"].replace(domain=pdes.Periodic(x=(0, 1), y=(0, 1)), equation="u_t = nu*lap(u)")
    with pytest.raises(LookupError, match="rho"):
        FAMILIES["diffusion_logistic"].replace(rhoo=2.0)
