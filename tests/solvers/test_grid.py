"""Grids: where points lie on each kind of axis, resolutions of one domain, plain text and back, and what is refused."""

import json

import numpy as np
import pytest

from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid

WALLS = ("dirichlet", "neumann")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("periodic", [-1.0, -0.5, 0.0, 0.5]),
        ("node", [-1.0, -1 / 3, 1 / 3, 1.0]),
        ("cell", [-0.75, -0.25, 0.25, 0.75]),
        ("interior", [-0.6, -0.2, 0.2, 0.6]),
    ],
)
def test_points_lie_where_the_kind_says(kind, expected):
    axis = Axis("x", 4, -1.0, 1.0, kind, ("periodic",) * 2 if kind == "periodic" else WALLS)
    np.testing.assert_allclose(axis.coordinates(), expected, atol=1e-15)
    np.testing.assert_allclose(np.diff(axis.coordinates()), axis.spacing, rtol=1e-14)
    assert axis.length == 2.0


def test_mesh_and_lengths_follow_the_order_of_the_axes():
    grid = Grid((Axis("x", 3, 0.0, 3.0), Axis("y", 2, 1.0, 2.0, "cell", WALLS), Axis("z", 5, 0.0, 1.0, "node", WALLS)))
    assert grid.shape == (3, 2, 5)
    assert grid.names == ("x", "y", "z")
    assert grid.dimension == 3
    assert grid.lengths == (3.0, 1.0, 1.0)
    assert grid.spacing == (1.0, 0.5, 0.25)
    assert not grid.is_periodic
    x, y, z = grid.mesh()
    assert x.shape == y.shape == z.shape == grid.shape
    assert (x[2, 1, 4], y[2, 1, 4], z[2, 1, 4]) == (2.0, 1.75, 1.0)


def test_box_spreads_one_value_over_all_axes():
    grid = Grid.box("cell", (4, 6), stop=(1.0, 3.0), boundary="neumann")
    assert grid.spacing == (0.25, 0.5)
    assert all(axis.boundary == ("neumann", "neumann") for axis in grid.axes)
    assert Grid.box("periodic", 4, dimension=3).is_periodic
    assert Grid.box("node", 5).axes[0].boundary == ("free", "free")


@pytest.mark.parametrize("shape", [12, np.int64(12), (12, 12), [12, 12]])
def test_another_resolution_keeps_the_domain(shape):
    grid = Grid.box("cell", (4, 6), stop=(1.0, 3.0), boundary="neumann")
    fine = grid.with_shape(shape)
    assert fine.shape == (12, 12)
    assert fine.lengths == grid.lengths
    assert fine.with_shape((4, 6)) == grid
    assert hash(fine.with_shape((4, 6))) == hash(grid)


def test_grid_survives_plain_text():
    grid = Grid((Axis("x", 7, -0.1, 1 / 3, "cell", WALLS), Axis("y", 8)))
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Axis("x", 4, kind="staggered"), SettingError, "axis kind 'staggered'"),
        (lambda: Axis("x", 4, kind="cell", boundary=("dirichlet", "sticky")), SettingError, "sticky"),
        (lambda: Axis("x", 4, kind="cell", boundary=("dirichlet",)), SettingError, "Needed two of"),
        (lambda: Axis("x", 4, kind="cell"), SettingError, "two periodic sides"),
        (lambda: Axis("x", 4, kind="periodic", boundary=WALLS), SettingError, "two periodic sides"),
        (lambda: Axis("x", 4, kind="cell", boundary=("periodic", "neumann")), SettingError, "two periodic sides"),
        (lambda: Axis("x", 0), GridError, "0 points on axis 'x'"),
        (lambda: Axis("y", 1, kind="node", boundary=WALLS), GridError, "2 for nodes"),
        (lambda: Axis("x", 4, 1.0, 1.0), SettingError, "start < stop"),
        (lambda: Axis("x", 4, 1.0, 0.0), SettingError, "start < stop"),
        (lambda: Axis("x", 4, 0.0, np.nan), SettingError, "both finite"),
        (lambda: Axis("x", 4, 0.0, np.inf), SettingError, "both finite"),
        (lambda: Grid((Axis("x", 4),) * 4), GridError, "time is not an axis"),
        (lambda: Grid.box("periodic", 4, dimension=4), GridError, "1 to 3 dimensions"),
        (lambda: Grid.box("periodic", (4, 5), dimension=3), GridError, "one value per axis"),
        (lambda: Grid.box("periodic", (4, 5), stop=(1.0, 2.0, 3.0)), GridError, "one value per axis"),
        (lambda: Grid.box("periodic", (4, 5)).with_shape((4, 5, 6)), GridError, r"2 sizes \(x, y\)"),
    ],
)
def test_bad_grids_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_periodic_cells_are_centred_and_wrap():
    axis = Axis("x", 4, 0.0, 2.0, cells=True)
    np.testing.assert_allclose(axis.coordinates(), [0.25, 0.75, 1.25, 1.75])
    assert [Grid((axis,)).is_periodic, axis.is_cell, Axis("x", 4).is_cell] == [True, True, False]
    assert Grid.from_json(Grid((axis,)).to_json()) == Grid((axis,))
    with pytest.raises(SettingError, match="a periodic axis"):
        Axis("x", 4, kind="cell", boundary=("wall", "wall"), cells=True)
