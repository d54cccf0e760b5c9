"""The classical solver as a contestant: it is the solver, its transfers are accurate, and it is not a weak baseline."""

import numpy as np
import pytest

import pdes
import sciml
from pdes.coarsen import coarse_axis, restrict
from sciml.operators.classical import ClassicalSolver, conductivities, ladder, prolong
from sciml.tasks import as_task
from solvers.errors import DataError, GridError, SettingError, UnknownName
from solvers.grid import Axis, Grid

SEED = 2026


def solver_on(data, task=None, **options):
    solver = ClassicalSolver(**options)
    solver.bind(as_task(task, data))
    return solver


def errors_of(solver, data, task=None):
    batch = as_task(task, data).all()
    difference = solver.predict(batch.inputs).astype(float) - batch.targets
    each = np.sqrt(
        (difference**2).reshape(len(difference), -1).sum(1)
        / (batch.targets.astype(float) ** 2).reshape(len(difference), -1).sum(1)
    )
    return float(each.mean())


def unrefined(name):
    """The problem with labels solved on the stored grid."""
    return pdes.get(name, refine=1, compute_at_least=0)


@pytest.fixture(scope="module")
def darcy():
    return pdes.generate(unrefined("darcy"), n=6, resolution=32, seed=SEED, progress=False)


@pytest.fixture(scope="module")
def fine_darcy():
    """Labels from a grid that is finer than the stored one."""
    return pdes.generate(pdes.get("darcy", refine=2, measure_every=1000), n=6, resolution=64, seed=SEED, progress=False)


# -- it is the solver -------------------------------------------------------------------------------------------------


def test_full_resolution_reproduces_the_labels(darcy):
    assert errors_of(solver_on(darcy, coarsen=1), darcy) < 1e-6  # labels are stored in float32


@pytest.mark.parametrize("problem", ["poisson_dirichlet", "poisson_neumann", "poisson_periodic", "darcy_lognormal"])
def test_every_steady_problem_is_reproduced(problem):
    data = pdes.generate(unrefined(problem), n=3, resolution=72, seed=SEED, progress=False)
    assert errors_of(solver_on(data, coarsen=1), data) < 1e-5


@pytest.mark.parametrize("task", ["final", "trajectory", "autoregressive"])
def test_time_dependent_tasks_are_answered(task):
    data = pdes.generate("burgers", n=2, resolution=64, seed=SEED, progress=False).subsample(time=5)
    full, half = (errors_of(solver_on(data, task, coarsen=c), data, task) for c in (1, 2))
    assert full < 0.02  # labels come from 512 points
    assert full < half < 0.5


def test_constant_parameters_come_from_the_data():
    data = pdes.generate(pdes.get("burgers", nu=0.03), n=2, resolution=64, seed=SEED, progress=False)
    solver = solver_on(data, "final", coarsen=1)
    assert solver.config.constants == {"nu": 0.03}
    assert errors_of(solver, data, "final") < 0.02
    wrong = solver_on(data, "final", coarsen=1, constants={"nu": 0.1})
    assert errors_of(wrong, data, "final") > 0.1


# -- the coarse grid --------------------------------------------------------------------------------------------------


def test_error_grows_with_coarsening_and_stays_near_the_fine_solvers(fine_darcy):
    errors = [errors_of(solver_on(fine_darcy, coarsen=c), fine_darcy) for c in (1, 2, 4)]
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] < 2 * errors[0]  # a strong baseline: half the resolution costs little
    assert errors[2] < 0.06


def test_conductivities_are_averaged_better_than_by_plain_means(fine_darcy):
    coarse = fine_darcy.grid.with_shape(32)
    solver = solver_on(fine_darcy, coarsen=2)
    a, u = fine_darcy.inputs["a"][:].astype(float), fine_darcy.fields["u"][:].astype(float)
    problem = pdes.get("darcy")

    def error(mean, back):
        small = back(restrict(mean(a), fine_darcy.grid, coarse))
        values = prolong(problem.solver(problem, coarse, {"a": small}, {}, None).fields["u"], coarse, fine_darcy.grid)
        return np.mean(np.linalg.norm((values - u).reshape(6, -1), axis=1) / np.linalg.norm(u.reshape(6, -1), axis=1))

    ours = errors_of(solver, fine_darcy)
    assert ours < 0.85 * error(lambda a: a, lambda a: a)
    assert ours < 0.95 * error(np.log, np.exp)
    assert ours < 0.5 * error(lambda a: 1 / a, lambda a: 1 / a)


def test_only_coefficients_under_a_divergence_count_as_conductivities():
    assert conductivities(pdes.get("darcy")) == ("a",)
    assert conductivities(pdes.get("poisson_dirichlet")) == ()


def side(kind, boundary):
    return "periodic" if kind == "periodic" else boundary


@pytest.mark.parametrize(
    ("kind", "boundary", "function", "order"),
    [
        ("cell", "dirichlet", lambda x: np.sin(np.pi * x) * np.exp(x), 4),
        ("interior", "dirichlet", lambda x: np.sin(np.pi * x) * np.exp(x), 4),
        ("cell", "neumann", lambda x: np.cos(np.pi * x), 4),
        ("node", "neumann", lambda x: np.cos(2 * np.pi * x), 4),
        ("node", "free", lambda x: np.exp(2 * x), 4),
    ],
)
def test_interpolation_is_of_fourth_order(kind, boundary, function, order):
    def error(factor):
        fine = Axis("x", {"cell": 256, "interior": 255, "node": 257}[kind], kind=kind, boundary=(boundary, boundary))
        coarse = coarse_axis(fine, factor)[0]
        values = prolong(function(coarse.coordinates())[None], Grid((coarse,)), Grid((fine,)))
        return np.abs(values - function(fine.coordinates())).max()

    observed = np.log2(error(16) / error(8))
    assert order - 0.4 < observed < order + 0.6


def test_interpolation_is_exact_for_resolved_waves():
    fine = Grid.box("periodic", 48)
    coarse = fine.with_shape(12)
    wave = lambda grid: np.sin(2 * np.pi * 5 * grid.coordinates()[0] + 0.3)  # noqa: E731
    np.testing.assert_allclose(prolong(wave(coarse)[None], coarse, fine)[0], wave(fine), atol=1e-13)


def test_interpolation_in_two_dimensions_is_the_product_of_both():
    fine = Grid.box("cell", (32, 16), dimension=2, boundary="dirichlet")
    coarse = fine.with_shape((16, 16))
    x, y = coarse.mesh()
    values = prolong((np.sin(np.pi * x) * np.cos(3 * y))[None], coarse, fine)[0]
    x, y = fine.mesh()
    np.testing.assert_allclose(values, np.sin(np.pi * x) * np.cos(3 * y), atol=2e-5)


# -- the contract and bad input ---------------------------------------------------------------------------------------


def test_saved_and_loaded_gives_the_same(darcy, tmp_path):
    solver = solver_on(darcy, coarsen=2)
    a = as_task(None, darcy).all().inputs
    again = sciml.load(solver.save(tmp_path / "solver.safetensors"))
    np.testing.assert_array_equal(again.predict(a), solver.predict(a))
    assert again.config == solver.config


def test_ladder_names_rungs_by_their_grids(darcy):
    assert list(ladder(darcy, [4, 1, 2])) == ["solver 32×32", "solver 16×16", "solver 8×8"]


def test_data_without_a_problem_are_refused():
    from sciml.checks import smooth_data

    data = smooth_data()
    with pytest.raises(UnknownName, match="smooth"):
        solver_on(data)
    data = pdes.Dataset(fields={"u": data.fields["u"][:]}, inputs={"a": data.inputs["a"][:]}, grid=data.grid)
    with pytest.raises(DataError, match=r"problem=\.\.\."):
        solver_on(data)


def test_another_equation_is_refused(darcy):
    with pytest.raises(DataError, match="equation"):
        solver_on(darcy, problem="poisson_dirichlet")


def test_a_factor_that_does_not_divide_is_refused(darcy):
    with pytest.raises(GridError, match="coarsened by 3"):
        solver_on(darcy, coarsen=3)
    with pytest.raises(SettingError, match="coarsen >= 1"):
        ClassicalSolver(coarsen=0)


def test_several_past_frames_are_refused():
    data = pdes.generate("burgers", n=1, resolution=32, seed=SEED, progress=False)
    from sciml.tasks import Autoregressive

    with pytest.raises(DataError, match="one frame"):
        ClassicalSolver().bind(Autoregressive(data, history=2))
