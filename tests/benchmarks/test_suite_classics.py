"""The second classical methods: each agrees with the solver of the labels, or converges to it at its own order."""

from dataclasses import replace

import numpy as np
import pytest

import pdes
from benchmarks.suite.classics import METHODS, HelmholtzVolumes, posed_by
from benchmarks.suite.contestants import made, roster, takes_part
from benchmarks.suite.scoring import FIELDS
from benchmarks.suite.stencils import STENCILS, FiniteDifferences, differentiated
from benchmarks.suite.tasks import load, names
from pdes import Periodic, Problem
from pdes.random_fields import fourier_series
from solvers.errors import SettingError, UnknownName
from solvers.grid import Grid
from solvers.precision import in_float64


@pytest.mark.parametrize("order", STENCILS)
@in_float64
def test_stencils_are_of_fourth_order(order):
    errors = []
    for n in (32, 64):
        grid = Grid.box("periodic", n, stop=2 * np.pi)
        found = np.asarray(differentiated(np.sin(grid.coordinates()[0]), (order,), grid))
        errors.append(np.abs(found - np.sin(grid.coordinates()[0] + order * np.pi / 2)).max())
    assert 3.8 < np.log2(errors[0] / errors[1]) < 4.2


def _compared(problem, n, samples=2):
    """Relative distance of finite differences from the labels' solver on the same grid."""
    grid = problem.stored_grid(n)
    draws = [problem.draw(3, i) for i in range(samples)]
    start = {k: np.stack([law.evaluate(d[1][f"initial.{k}"], grid) for d in draws]) for k, law in problem.initial.items()}
    parameters = {name: np.array([d[0][name] for d in draws]) for name in problem.parameters}
    answers = []
    for solver in (problem.solver, FiniteDifferences(getattr(problem.solver, "speed", None))):
        ready = solver.prepare(problem, grid, 0)
        answers.append(ready(problem, grid, start, parameters, problem.times).fields)
    exact, found = ([fields[name][:, -1] for name in problem.equation.evolving] for fields in answers)
    return float(np.linalg.norm(np.stack(exact) - np.stack(found)) / np.linalg.norm(np.stack(exact)))


@pytest.mark.parametrize(
    ("problem", "n", "bound"),
    [
        (pdes.get("burgers", time=(0, 0.1), frames=2, nu=0.05), 128, 1e-4),
        # with the constraint -lap(psi) = w and a force
        (pdes.get("navier_stokes", time=(0, 0.5), frames=2, initial={"w": fourier_series(2, maximum=1)}), 32, 1e-3),
        # two coupled unknowns with reactions
        (pdes.get("gray_scott", time=(0, 20), frames=2, initial=pdes.get("gray_scott").check["initial"]), 32, 3e-4),
    ],
)
def test_finite_differences_find_what_the_labels_solver_finds(problem, n, bound):
    assert _compared(problem, n) < bound


def test_finite_differences_need_a_torus():
    problem = pdes.get("heat_2d")
    with pytest.raises(SettingError, match="a periodic grid"):
        FiniteDifferences().prepare(problem, problem.stored_grid(16), 0)


def test_other_solvers_of_the_same_volumes_agree():
    problem = pdes.get("darcy")
    grid = problem.stored_grid(32)
    a = np.random.default_rng(7).choice([3.0, 12.0], (2, 32, 32))
    found = [posed_by(m, problem).solver(problem, grid, {"a": a}, {}, None).fields["u"] for m in ("direct", "multigrid")]
    exact = problem.solver(problem, grid, {"a": a}, {}, None).fields["u"]
    np.testing.assert_allclose(found[0], exact, rtol=0, atol=1e-9 * np.abs(exact).max())
    np.testing.assert_allclose(found[1], exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_volumes_for_waves_are_of_second_order():
    problem, errors = pdes.get("helmholtz_neumann", omega=300), []
    for n in (16, 32):
        grid = problem.stored_grid(n)
        x, y = grid.mesh()
        given = {"c": (20 + np.cos(np.pi * x) * np.cos(np.pi * y))[None]}, {"omega": np.array([300.0])}, None
        exact = posed_by("twice the points", problem).solver(problem, grid, *given).fields["u"]
        found = HelmholtzVolumes()(problem, grid, *given).fields["u"]
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    assert errors[1] < 0.1
    assert 1.7 < np.log2(errors[0] / errors[1]) < 2.4


@pytest.mark.parametrize(("name", "n"), [("navier_stokes", 32), ("kuramoto_sivashinsky", 64)])
def test_longer_steps_are_longer(name, n):
    problem = pdes.get(name)
    long, short = (p.solver.prepare(p, p.stored_grid(n), 0).dt for p in (posed_by("long steps", problem), problem))
    assert long > 2 * short


def test_every_task_has_a_second_method_and_torus_tasks_a_spectral_one():
    for name in names():
        suite = load(name)
        for task in (t for t in suite.tasks if t.track in FIELDS):
            assert set(task.methods) <= set(METHODS)
            assert task.methods
            rungs = [c for c in roster(suite, task) if c.kind == "classical"]
            assert all(takes_part(c.name, suite, task) for c in rungs)
            assert not takes_part("nobody / 2", suite, task)
            for c in rungs:
                assert made(c.name, suite, task, (1, 1)).problem.solver is not None


def test_a_method_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match="classical method 'magic'"):
        posed_by("magic", pdes.get("darcy"))


def test_a_method_of_ones_own_equation():
    kdv = Problem(
        name="wave", equation="u_t = -0.5*u_x - 1e-3*u_xxx", domain=Periodic(x=(0, 1)), time=(0, 0.2), frames=2,
        initial=dict(pdes.get("heat").initial),
    )  # fmt: skip
    assert _compared(replace(kdv, solver=pdes.semilinear.Semilinear()), 64) < 2e-2
