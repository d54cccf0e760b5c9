"""Problems: early words for what does not fit, variants, and discovery."""

import pickle

import numpy as np
import pytest

import pdes
from pdes import Box, Equation, Periodic, Problem, fixed, grf, uniform
from solvers.errors import GridError, SettingError, UnknownName
from solvers.grid import Grid


def burgers(**changes):
    settings = {
        "name": "mine",
        "equation": "u_t = nu*u_xx - u*u_x",
        "domain": Periodic(x=(0, 1)),
        "parameters": {"nu": uniform(0.01, 0.1)},
        "initial": {"u": grf(tau=5, alpha=2)},
        "time": (0, 1),
    }
    return Problem(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {}}, r"parameters none.*Needed parameters \['nu'\].*Missing: \['nu'\]"),
        ({"parameters": {"nu": 1, "mu": 2}}, r"without a place: \['mu'\]"),
        ({"initial": {}}, r"initial \['u'\]"),
        ({"inputs": {"f": grf(3, 2)}}, "'f' as a field"),
        ({"time": None}, "a time interval exactly for equations with a time derivative"),
        ({"equation": "u_t = nu*u_xx - u*u_y"}, "in 2 dimensions"),
        ({"name": "my burgers"}, "a Python identifier"),
        ({"frames": 1}, "at least two frames"),
        ({"refine": 0}, "refine and measure_every >= 1"),
        ({"domain": Box(x=(0, 1))}, "a periodic box, cells between walls without flux"),
        ({"equation": "u_t = nu*u*u_xx"}, "highest derivatives stand in a nonlinear term"),
        ({"equation": "u_tt = nu*u_xx"}, "a first time derivative"),
        ({"equation": "u_t = nu*u_xx - u*u_x) "}, r"unexpected '\)'"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(changes, message):
    with pytest.raises(SettingError, match=message):
        burgers(**changes)


def test_times_grids_and_chunks():
    problem = burgers(frames=(0, 0.5, 2), refine=2, compute_at_least=200)
    np.testing.assert_array_equal(problem.times, [0, 0.5, 2])
    assert problem.stored_grid(64).shape == (64,)
    assert problem.compute_grid(64).shape == (256,)  # a multiple of 64, at least 200
    assert problem.compute_grid(512).shape == (1024,)
    assert burgers().times.tolist() == np.linspace(0, 1, 11).tolist()
    assert pdes.get("darcy").chunk_size(64) == 16
    assert pdes.get("darcy").chunk_size(2048) == 1


def test_variants_keep_the_noise_and_change_the_name_of_the_job():
    plain, viscous = burgers(), burgers().replace(nu=0.5)
    assert viscous.parameters["nu"] == fixed(0.5)
    np.testing.assert_array_equal(plain.draw(7, 3)[1]["initial.u"], viscous.draw(7, 3)[1]["initial.u"])
    assert len({plain.digest(), viscous.digest(), plain.replace(refine=2).digest(), plain.held_out().digest()}) == 4
    assert plain.replace(name="mine").digest() == plain.digest()
    assert pickle.loads(pickle.dumps(viscous)).digest() == viscous.digest()
    with pytest.raises(UnknownName, match="Did you mean 'nu'"):
        plain.replace(nux=1)


def test_held_out_laws_replace_those_of_training():
    assert pdes.get("burgers", split="held_out").parameters["nu"].high <= pdes.get("burgers").parameters["nu"].low
    assert pdes.get("burgers", split="held_out", nu=3).parameters["nu"] == fixed(3)
    assert pdes.get("darcy").held_out().inputs["a"].field.tau == 5
    for name in pdes.names():
        problem = pdes.get(name)
        assert problem.held_out().laws() != problem.laws(), f"{name} has no held-out laws"
        assert problem.held_out().held_out().digest() == problem.held_out().digest()


def test_discovery_finds_the_families():
    assert {
        "darcy",
        "darcy_lognormal",
        "burgers",
        "navier_stokes",
        "poisson_dirichlet",
        "poisson_neumann",
        "poisson_periodic",
    } <= set(pdes.names())
    with pytest.raises(UnknownName, match="Did you mean 'navier_stokes'") as caught:
        pdes.get("navier_stoke")
    assert len(str(caught.value)) < 600, "of hundreds of names only the nearest are listed"


def test_they_print_themselves():
    assert "nu ~ uniform(0.01, 0.1)" in repr(burgers())
    assert r"\nu u_{xx}" in burgers()._repr_html_()


def test_an_equation_may_come_ready_made():
    assert burgers(equation=Equation("u_t = nu*u_xx - u*u_x")).equation == burgers().equation


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Periodic(x=(1, 0)), "start < stop"),
        (lambda: Periodic(x=None, y=(0, 1)), "x, or x and y"),
        (lambda: Box(x=(0, 1), boundary={"y": "dirichlet"}), "one entry for each"),
        (lambda: Box(x=(0, 1), boundary="periodic"), r"Use Periodic"),
        (lambda: Box(x=(0, 1), y=(0, 1), boundary={"x": "periodic", "y": ("periodic", "wall")}), "periodic"),
        (lambda: Box(x=(0, 1), kind="corner"), "axis kind 'corner'"),
    ],
)
def test_bad_domains_are_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_boxes_name_each_side():
    box = Box(x=(0, 1), y=(0, 2), boundary={"x": "dirichlet", "y": ("neumann", "dirichlet")}, kind="node")
    assert [axis.boundary for axis in box.grid((5, 9)).axes] == [("dirichlet", "dirichlet"), ("neumann", "dirichlet")]
    assert box.grid((5, 9)).spacing == (0.25, 0.25)
    assert hash(box) == hash(pickle.loads(pickle.dumps(box)))


@pytest.mark.parametrize("kind", ["periodic", "cell", "node", "interior"])
def test_refined_grids_lead_back(kind):
    from pdes.coarsen import refine, restrict

    grid = Grid.box(kind, 8, dimension=2, boundary=None if kind == "periodic" else "dirichlet")
    fine = refine(grid, 3)
    linear = [2 * x - y for x, y in (fine.mesh(), grid.mesh())]
    if kind == "periodic":
        linear = [np.sin(2 * np.pi * (x + 2 * y)) for x, y in (fine.mesh(), grid.mesh())]
    np.testing.assert_allclose(restrict(linear[0], fine, grid), linear[1], atol=1e-13)
    if kind == "cell":
        values = np.random.default_rng(8).standard_normal((4, *fine.shape))
        np.testing.assert_allclose(restrict(values, fine, grid).mean(axis=(1, 2)), values.mean(axis=(1, 2)), atol=1e-13)
    with pytest.raises(GridError, match=r"nested grids|a coarser target"):
        restrict(np.zeros((8, 8)), grid, grid.with_shape(9 if kind == "periodic" else 5))


def test_truncation_leaves_no_alias():
    from pdes.coarsen import truncate

    x = np.arange(64) / 64
    kept, high = np.cos(2 * np.pi * 3 * x), np.cos(2 * np.pi * 13 * x + 1) + np.cos(2 * np.pi * 8 * x)
    np.testing.assert_allclose(truncate(kept + high, 16), np.cos(2 * np.pi * 3 * x)[::4], atol=1e-13)
    assert np.abs((kept + high)[::4] - kept[::4]).max() > 0.5  # plain decimation does alias


def test_a_channel_has_periodic_cells_along_it():
    grid = Box(x=(0, 2), y=(0, 1), boundary={"x": "periodic", "y": "wall"}, kind="cell").grid((4, 2))
    assert [(axis.kind, axis.is_cell) for axis in grid.axes] == [("periodic", True), ("cell", True)]
    np.testing.assert_allclose(grid.coordinates()[0], [0.25, 0.75, 1.25, 1.75])
