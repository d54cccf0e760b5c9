"""Incompressible flow with walls: exact flows, orders in space and time, the lid-driven cavity, and honest ends."""

import numpy as np
import pytest

from solvers.errors import DataError, GridError, SettingError, SolverError
from solvers.grid import Axis, Grid
from solvers.projection import ProjectionNavierStokes, cells_to_faces, convection, faces, jax, second_difference
from solvers.result import Outcome
from solvers.steady_flow import SteadyNavierStokes

RE = 40.0
LAMBDA = RE / 2 - np.sqrt(RE**2 / 4 + 4 * np.pi**2)
CAVITY_GHIA = {  # Ghia, Ghia, Shin 1982, Re 100: u on x = 1/2, v on y = 1/2
    "u": [
        [0.9766, 0.9531, 0.8516, 0.7344, 0.6172, 0.5, 0.4531, 0.2813, 0.1719, 0.1016, 0.0547],
        [0.84123, 0.68717, 0.23151, 0.00332, -0.13641, -0.20581, -0.21090, -0.15662, -0.10150, -0.06434, -0.03717],
    ],
    "v": [
        [0.9688, 0.9531, 0.9063, 0.8594, 0.8047, 0.5, 0.2344, 0.1563, 0.0938, 0.0625],
        [-0.05906, -0.08864, -0.16914, -0.22445, -0.24533, 0.05454, 0.17527, 0.16077, 0.12317, 0.09233],
    ],
}
BOTELLA_PEYRET = np.array([-0.2140424, 0.1795728, -0.2538030])  # Re 100: min of u, max and min of v on the centre lines


def box(n, **options):
    return Grid.box("cell", n, dimension=2, boundary="wall", **options)


def torus(n):
    return Grid(tuple(Axis(name, n, 0, 2 * np.pi, cells=True) for name in "xy"))


def pipe(nx, ny, height=1.0):
    return Grid((Axis("x", nx, 0, 1, cells=True), Axis("y", ny, 0, height, "cell", ("wall", "wall"))))


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


def on_faces(grid, u, v):
    x, y = (axis.coordinates() for axis in grid.axes)
    at_u, at_v = np.meshgrid(faces(grid.axes[0]), y, indexing="ij"), np.meshgrid(x, faces(grid.axes[1]), indexing="ij")
    return u(*at_u)[None], v(*at_v)[None]


def centre_lines(values):
    """u on x = 1/2 and v on y = 1/2 from cells, by the means of the two nearest lines."""
    n = values.shape[0]
    return values[n // 2 - 1 : n // 2 + 1, :, 0].mean(0), values[:, n // 2 - 1 : n // 2 + 1, 1].mean(1)


def kovasznay_u(x, y):
    return 1 - np.exp(LAMBDA * x) * np.cos(2 * np.pi * y)


def kovasznay_v(x, y):
    return LAMBDA / (2 * np.pi) * np.exp(LAMBDA * x) * np.sin(2 * np.pi * y)


def kovasznay(n):
    """Grid and walls of Kovasznay's flow behind a grid, with inflow and outflow given."""
    grid = box(n, start=(-0.5, -0.5), stop=(1.0, 0.5))
    walls = {s: (lambda y, x=x: kovasznay_u(x, y), lambda y, x=x: kovasznay_v(x, y)) for s, x in (("left", -0.5), ("right", 1))}
    walls |= {s: (lambda x, y=y: kovasznay_u(x, y), 0.0) for s, y in (("bottom", -0.5), ("top", 0.5))}
    return grid, walls


# Exact flows


def test_taylor_green_vortices_decay_at_second_order():
    """The convective term is balanced by the pressure; both decay at their own rates."""
    errors = []
    for n in (16, 32):
        grid = torus(n)
        start = on_faces(grid, lambda x, y: np.cos(x) * np.sin(y), lambda x, y: -np.sin(x) * np.cos(y))
        found = ProjectionNavierStokes(grid, 1.6 / n).solve(start, np.array([0.5, 1.5]), {"nu": 0.1})
        x, y = grid.mesh()
        decay = np.exp(-0.2)
        exact = np.cos(x) * np.sin(y) * decay, -np.sin(x) * np.cos(y) * decay, -(np.cos(2 * x) + np.cos(2 * y)) / 4 * decay**2
        errors.append(np.abs(found.values_or_raise()[0, -1] - np.stack(exact, -1)).max((0, 1)))
        assert found.stats["divergence"][0] < 1e-13
    assert np.all(np.abs(orders(errors) - 2) < 0.15)
    assert np.all(errors[-1] < 4e-3)


def test_poiseuille_flow_is_exact():
    grid = pipe(4, 9, height=3.0)
    y = grid.mesh()[1]
    profile = y * (3 - y) * 0.7 / (2 * np.array([0.05, 0.2])[:, None, None])
    start = np.stack([profile, 0 * profile], axis=-1)
    found = ProjectionNavierStokes(grid, 0.01).solve(
        start, np.array([0.0, 0.2]), {"nu": np.array([0.05, 0.2]), "force": (0.7, 0.0)}
    )
    np.testing.assert_allclose(found.values_or_raise()[:, -1, ..., 0], profile, rtol=1e-12)
    assert np.abs(found.values[..., 1:]).max() < 1e-12


def test_couette_flow_between_sliding_walls_is_exact_for_axes_in_either_order():
    grid = Grid((Axis("x", 6, 1, 3, "cell", ("wall", "wall")), Axis("y", 5, 0, 1, cells=True)))
    line = 2.0 - 1.5 * (grid.mesh()[0] - 1)
    solver = ProjectionNavierStokes(grid, 0.05, walls={"left": (0.0, 2.0), "right": (0.0, -1.0)})
    found = solver.solve(np.stack([0 * line, line], -1)[None], np.array([0.0, 1.0]), {"nu": 0.3})
    np.testing.assert_allclose(found.values[0, -1, ..., 1], line, atol=1e-12)


def test_startup_of_a_channel_is_second_order_in_time_and_space():
    """u = sum of sine modes that relax on their own: only viscosity and walls at work, and the pressure does nothing."""
    nu, t, force = 0.05, 2.0, 1.0
    k = np.pi * np.arange(1, 200, 2)[:, None]

    def error(ny, dt):
        grid = pipe(4, ny)
        y = grid.coordinates()[1]
        exact = (4 * force / (nu * k**3) * (1 - np.exp(-nu * k**2 * t)) * np.sin(k * y)).sum(0)
        found = ProjectionNavierStokes(grid, dt).solve(
            np.zeros((1, 4, ny, 2)), np.array([0, t]), {"nu": nu, "force": (force, 0.0)}
        )
        return np.abs(found.values_or_raise()[0, -1, 0, :, 0] - exact).max() / exact.max()

    errors = [error(16, 0.1), error(32, 0.05)]
    assert np.all(np.abs(orders(errors) - 2) < 0.2)
    assert errors[-1] < 1e-3


def test_second_order_in_time_with_walls_convection_and_pressure():
    """A stirred cavity on one grid: the error is that of the steps alone, measured against far smaller ones."""
    grid = box(12)

    def at_end(dt):
        solver = ProjectionNavierStokes(grid, dt, walls={"top": (lambda x: 16 * x**2 * (1 - x) ** 2, 0.0)}, ramp=0.5)
        force = (0.0, lambda x, y: 2 * np.cos(np.pi * x))
        return solver.solve(np.zeros((1, 12, 12, 2)), np.array([0.0, 1.5]), {"nu": 0.02, "force": force}).values_or_raise()[
            0, -1
        ]

    best = at_end(1 / 640)
    errors = [np.linalg.norm(at_end(dt) - best) / np.linalg.norm(best) for dt in (1 / 20, 1 / 40, 1 / 80)]
    assert np.all(np.abs(orders(errors) - 2) < 0.25)
    assert errors[-1] < 2e-4


def test_kovasznay_flow_at_second_order():
    """Steady flow with inflow and outflow, every term at work: velocity and pressure against the exact solution."""
    errors = []
    for n in (16, 32, 64):
        grid, walls = kovasznay(n)
        x, y = grid.mesh()
        p = (1 - np.exp(2 * LAMBDA * x)) / 2
        exact = np.stack([kovasznay_u(x, y), kovasznay_v(x, y), p - p.mean()], -1)
        found = SteadyNavierStokes(grid, walls).solve({"nu": 1 / RE})
        errors.append(np.sqrt(np.mean((found.values_or_raise()[0] - exact) ** 2, axis=(0, 1))))
    assert np.all(np.abs(orders(errors) - 2) < 0.2)
    assert np.all(errors[-1] < 5e-4)


# Structure


def test_convection_creates_no_energy_and_no_momentum():
    """For any field without divergence, to rounding."""
    n = 9
    rng = np.random.default_rng(90210)
    psi = rng.standard_normal((1, n, n))
    u, v = n * (np.roll(psi, -1, 2) - psi), -n * (np.roll(psi, -1, 1) - psi)
    with jax.enable_x64(True):
        h = (1 / n, 1 / n)
        swap = lambda w: np.swapaxes(w, 1, 2)  # noqa: E731
        cu = np.asarray(convection(u, v, None, (True, True), h))
        cv = swap(np.asarray(convection(swap(v), swap(u), None, (True, True), h)))
    size = np.abs(u * cu).sum() + np.abs(v * cv).sum()
    assert abs((u * cu).sum() + (v * cv).sum()) < 1e-13 * size
    assert max(abs(cu.sum()), abs(cv.sum())) < 1e-13 * np.abs(cu).sum()


def test_second_difference_next_to_a_wall_is_exact_for_parabolas():
    y = (np.arange(7) + 0.5) / 7
    np.testing.assert_allclose(second_difference(7, 1 / 7, "cell") @ (y * (1 - y)), -2.0)
    np.testing.assert_allclose(second_difference(7, 1 / 7, "neumann") @ np.ones(7), 0.0, atol=1e-12)


def test_samples_do_not_depend_on_their_batch_and_force_may_be_an_array():
    grid, times = box(12), np.array([0.0, 0.3, 0.5])
    rng = np.random.default_rng(23)
    start, force, nu = rng.standard_normal((3, 12, 12, 2)), rng.standard_normal((3, 12, 12)), np.array([0.01, 0.02, 0.05])
    solver = ProjectionNavierStokes(grid, 1 / 80)
    together = solver.solve(start, times, {"nu": nu, "force": (0.0, force)})
    alone = solver.solve(start[1:2], times, {"nu": nu[1:2], "force": (np.zeros((12, 12)), force[1])})
    np.testing.assert_allclose(alone.values[0], together.values[1], atol=1e-12)
    assert together.succeeded
    assert together.stats["divergence"].max() < 1e-12
    assert together.stats["steps"][0] == 24 + 16
    assert np.abs(together.values[:, :, ..., 2].mean((2, 3))).max() < 1e-13


def test_wall_faces_take_the_nearest_cell_and_inner_ones_the_mean():
    grid = pipe(4, 4)
    values = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(cells_to_faces(values, grid, 1)[0], [0, 0.5, 1.5, 2.5, 3])
    np.testing.assert_allclose(cells_to_faces(values, grid, 0)[:, 0], [6, 2, 6, 10])


# The lid-driven cavity


def test_cavity_at_reynolds_100_against_ghia_and_botella_peyret():
    lines, extrema = None, []
    for n in (32, 64):
        found = SteadyNavierStokes(box(n), {"top": (1.0, 0.0)}).solve({"nu": 0.01})
        lines = centre_lines(found.values_or_raise()[0])
        extrema.append([refined_extremum(lines[0], -1), refined_extremum(lines[1], 1), refined_extremum(lines[1], -1)])
    x = (np.arange(64) + 0.5) / 64
    for line, name in zip(lines, "uv", strict=True):
        at, given = np.array(CAVITY_GHIA[name])
        walls = np.concatenate([[0], x, [1]]), np.concatenate([[0], line, [1.0 if name == "u" else 0.0]])
        # Ghia's v is itself 3.4 % away from the spectral value at its minimum, u 1.4 %.
        assert np.abs(np.interp(at, *walls) - given).max() < {"u": 0.01, "v": 0.037}[name] * np.abs(given).max()
    coarse, fine = np.array(extrema)
    assert np.abs(fine / BOTELLA_PEYRET - 1).max() < 6e-3
    richardson = fine + (fine - coarse) / 3
    assert np.abs(richardson / BOTELLA_PEYRET - 1).max() < 1e-3


def refined_extremum(line, sign):
    """Extremum of the parabola through the largest value and its neighbours."""
    line = sign * line
    i = int(np.argmax(line))
    left, middle, right = line[i - 1 : i + 2]
    return sign * (middle + (left - right) ** 2 / (8 * (2 * middle - left - right)))


def test_marching_ends_in_newtons_steady_state():
    """Two programs that share only the grid: a time stepper on velocities, and Newton on the stream function."""
    grid, walls = box(12, stop=(1.5, 1.0)), {"top": (1.0, 0.0), "left": (0.0, -0.5)}
    force = (lambda x, y: np.sin(3 * y), 0.3)
    steady = SteadyNavierStokes(grid, walls).solve({"nu": 0.02, "force": force}).values_or_raise()
    solver = ProjectionNavierStokes(grid, 0.05, walls)
    marched = solver.solve(np.zeros((1, 12, 12, 2)), np.array([0.0, 150.0]), {"nu": 0.02, "force": force}).values_or_raise()
    np.testing.assert_allclose(marched[:, -1], steady, atol=1e-11)


# Failures


def test_a_step_beyond_the_courant_limit_is_reported_per_sample():
    grid = box(8)
    start = np.zeros((2, 8, 8, 2))
    start[1, ..., 0] = 40 * np.sin(2 * np.pi * grid.mesh()[1])
    found = ProjectionNavierStokes(grid, 0.05).solve(start, np.array([0.0, 0.5]), {"nu": 0.01})
    assert list(found.outcome) == [Outcome.SUCCESS, Outcome.STEP_BOUND]
    with pytest.raises(SolverError, match="stability bound"):
        found.values_or_raise()


def test_newton_that_does_not_settle_says_so():
    found = SteadyNavierStokes(box(8), {"top": (1.0, 0.0)}, max_iterations=1).solve({"nu": 0.01})
    assert found.outcome[0] == Outcome.NOT_CONVERGED


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ProjectionNavierStokes(Grid.box("node", 8, dimension=2), 0.1), GridError, "'cell'"),
        (lambda: ProjectionNavierStokes(box(3), 0.1), GridError, "at least 4"),
        (lambda: ProjectionNavierStokes(box(8), 0.0), SettingError, "dt > 0"),
        (lambda: ProjectionNavierStokes(box(8), 0.1, cfl=2.0), SettingError, "1.732"),
        (lambda: ProjectionNavierStokes(box(8), 0.1, {"lid": (1, 0)}), SettingError, r"Remove \['lid'\]"),
        (lambda: ProjectionNavierStokes(torus(8), 0.1, {"top": (1, 0)}), SettingError, r"Remove \['top'\]"),
        (lambda: ProjectionNavierStokes(box(8), 0.1, {"top": (1, 0.5)}), SettingError, "as much in as out"),
        (lambda: ProjectionNavierStokes(box(8), 0.1, {"top": (np.nan, 0)}), SettingError, "not finite"),
        (lambda: ProjectionNavierStokes(*kovasznay(8)[:1], 0.1, kovasznay(8)[1], ramp=1.0), SettingError, "slide"),
        (lambda: SteadyNavierStokes(torus(8)), GridError, "March"),
        (lambda: SteadyNavierStokes(box(8), tolerance=0), SettingError, "tolerance"),
        (lambda: SteadyNavierStokes(box(8)).solve({"nu": 0.0}), SettingError, "viscosity"),
    ],
)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial": np.zeros((1, 8, 9, 2))}, r"\(sample, 8, 8, 2\)"),
        ({"initial": np.full((1, 8, 8, 2), np.nan)}, "NaN"),
        ({"initial": (np.zeros((1, 8, 8)), np.zeros((1, 8, 9)))}, r"\(sample, 9, 8\)"),
        ({"times": [0.0]}, "increasing"),
        ({"parameters": {}}, "'nu'"),
        ({"parameters": {"nu": -1.0}}, ">= 0"),
        ({"parameters": {"nu": 0.1, "force": (np.zeros(8), 0.0)}}, "component 0 of the force"),
        ({"parameters": {"nu": 0.1, "force": (0.0, np.inf)}}, "component 1 of the force"),
    ],
)
def test_bad_data(changes, message):
    call = {"initial": np.zeros((1, 8, 8, 2)), "times": np.array([0.0, 0.1]), "parameters": {"nu": 0.1}} | changes
    with pytest.raises(DataError, match=message):
        ProjectionNavierStokes(box(8), 0.1).solve(**call)
