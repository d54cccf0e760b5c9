"""Finite volumes: orders on smooth flow, exact Riemann solutions, and what must not change."""

from dataclasses import dataclass

import numpy as np
import pytest

from solvers.conservation_laws import Advection, Burgers, Euler, NavierStokes, ShallowWater, System, Traffic
from solvers.errors import DataError, GridError, SettingError, SolverError
from solvers.finite_volume import FiniteVolume
from solvers.grid import Axis, Grid
from solvers.result import Outcome
from solvers.riemann import burgers_fan, gas_fan, gas_star, water_fan

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)


def circle(n, length=1.0):
    return Grid((Axis("x", n, 0.0, length, cells=True),))


def torus(n, length=1.0, m=None):
    half = length / 2
    return Grid((Axis("x", n, -half, half, cells=True), Axis("y", m or n, -half, half, cells=True)))


def averages(function, grid):
    """Cell averages of (..., component) by Gauss's rule with four points per axis."""
    points = [(a.coordinates()[:, None] + a.spacing / 2 * NODES).ravel() for a in grid.axes]
    values = function(*np.meshgrid(*points, indexing="ij"))
    for i, axis in enumerate(grid.axes):
        values = np.moveaxis(values, i, -1)
        values = np.moveaxis(values.reshape(*values.shape[:-1], axis.size, 4) @ (WEIGHTS / 2), -1, i)
    return values


def gas(w, gamma=1.4):
    """Conserved from primitive, (..., rho u.. p)."""
    rho, velocity, p = w[..., :1], w[..., 1:-1], w[..., -1:]
    return np.concatenate([rho, rho * velocity, p / (gamma - 1) + rho / 2 * (velocity**2).sum(-1, keepdims=True)], -1)


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


def tube(n, left, right, scheme="weno5", flux="hllc", until=0.2):
    """Result, and exact averages of (rho, u, p), of a shock tube on [-1/2, 1/2]."""
    grid = Grid.box("cell", n, start=-0.5, stop=0.5, boundary="outflow")
    x = grid.coordinates()[0]
    start = gas(np.where((x < 0)[:, None], left, right).astype(float))[None]
    found = FiniteVolume(Euler(), grid, scheme, flux).solve(start, np.array([0.0, until]))
    fine = (np.arange(16 * n) + 0.5) / (16 * n) - 0.5
    return x, found, gas_fan(left, right, fine / until).reshape(n, 16, 3).mean(1)


def to_primitive(q):
    u = q[..., 1] / q[..., 0]
    return np.stack([q[..., 0], u, 0.4 * (q[..., 2] - q[..., 0] * u**2 / 2)], -1)


# Orders


@pytest.mark.parametrize(
    ("scheme", "order", "bound"), [("weno5", 5, 1e-7), ("mc", 2, 2e-3), ("van_leer", 2, 2e-3), ("first", 1, 0.1)]
)
def test_a_wave_of_density_travels_at_the_stated_order(scheme, order, bound):
    """Density 1 + sin / 2 on a uniform flow, exact; the step shrinks with h^(5/3) so that time does not hide space."""
    errors = []
    for n in (40, 80):
        grid = circle(n)
        start, end = (
            averages(lambda x, t=t: gas(np.stack([1 + np.sin(2 * np.pi * (x - t)) / 2, 0 * x + 1, 0 * x + 1], -1)), grid)
            for t in (0.0, 0.5)
        )
        courant = 0.6 * (20 / n) ** (2 / 3) if scheme == "weno5" else 0.6
        found = FiniteVolume(Euler(), grid, scheme, courant=courant).solve(start[None], np.array([0.0, 0.5]))
        errors.append(np.abs(found.values_or_raise()[0, 1] - end).mean())
    assert order - 0.15 < orders(errors)[0] < order + 0.6
    assert errors[-1] < bound


def test_third_order_in_time():
    """On one grid, without its error: against far smaller steps, for fluxes that are smooth."""
    grid = circle(32)
    wave = averages(lambda x: np.stack([1 + np.sin(2 * np.pi * x) / 2], -1), grid)[None]
    end = lambda c: FiniteVolume(Burgers(), grid, "first", courant=c).solve(wave, np.array([0, 0.1])).values_or_raise()  # noqa: E731
    best = end(0.02)
    errors = [np.abs(end(c) - best).max() for c in (0.64, 0.32, 0.16)]
    assert np.all(np.abs(orders(errors) - 3) < 0.25), orders(errors)
    assert errors[-1] < 2e-6


@pytest.mark.parametrize(("scheme", "order", "bound"), [("weno5", 4, 1e-5), ("mc", 2, 4e-4)])
def test_isentropic_vortex(scheme, order, bound):
    """Shu's vortex, carried along the diagonal of a torus of side 10; tails of 1e-5 at the seam set the floor."""

    def state(x, y):
        swirl = 5 / (2 * np.pi) * np.exp((1 - x**2 - y**2) / 2)
        warmth = 1 - 0.4 * 25 / (8 * 1.4 * np.pi**2) * np.exp(1 - x**2 - y**2)
        return gas(np.stack([warmth**2.5, 1 - swirl * y, 1 + swirl * x, warmth**3.5], -1))

    errors = []
    for n in (32, 64):
        grid = torus(n, 10.0)
        moved = lambda x, y: state(*((z - 1 + 5) % 10 - 5 for z in (x, y)))  # noqa: E731
        found = FiniteVolume(Euler(axes=2), grid, scheme).solve(averages(state, grid)[None], np.array([0.0, 1.0]))
        errors.append(np.abs(found.values_or_raise()[0, 1] - averages(moved, grid))[..., 0].mean())
    assert order - 0.15 < orders(errors)[0] < order + 0.6
    assert errors[-1] < bound


def test_a_shear_layer_decays_by_viscosity_at_second_order():
    """v = a sin(2 pi x) in a gas at rest decays as exp(-eta k^2 t / rho); heating and pressure are of order a^2."""
    errors = []
    for n, along in ((16, 0), (32, 1)):
        grid = torus(n, 1.0, 8)
        wave = averages(lambda x, y: 1e-4 * np.sin(2 * np.pi * x), grid)
        start = gas(np.stack([1 + 0 * wave, 0 * wave, wave, 1 + 0 * wave], -1))
        if along:  # the same turned by a right angle
            start = np.swapaxes(start, 0, 1)[..., [0, 2, 1, 3]]
            grid = Grid((Axis("x", 8, cells=True), Axis("y", n, cells=True)))
        solver = FiniteVolume(NavierStokes(axes=2), grid, "mc")
        end = solver.solve(start[None], np.array([0, 0.5]), {"eta": 0.02, "zeta": 0.05}).values_or_raise()[0, 1]
        end = np.swapaxes(end, 0, 1)[..., 1] if along else end[..., 2]
        errors.append(np.abs(end - wave * np.exp(-0.02 * 4 * np.pi**2 * 0.5)).max() / 1e-4)
    assert orders(errors)[0] == pytest.approx(2, abs=0.3)
    assert errors[-1] < 5e-3


def test_sound_is_damped_by_both_viscosities():
    """Rate (4/3 eta + zeta) k^2 / (2 rho) of small standing waves, at frequency sqrt(c^2 k^2 - rate^2)."""
    grid, eta, zeta, a = circle(64), 3e-3, 5e-3, 1e-5
    wave = averages(lambda x: a * np.cos(2 * np.pi * x), grid)
    start = gas(np.stack([1 + wave, 0 * wave, 1 / 1.4 + wave], -1))[None]  # c = 1
    found = FiniteVolume(NavierStokes(eta=eta, zeta=zeta), grid).solve(start, np.array([0.0, 2.0])).values_or_raise()
    rate = (4 / 3 * eta + zeta) * 2 * np.pi**2
    frequency = np.sqrt(4 * np.pi**2 - rate**2)
    expected = np.exp(-rate * 2.0) * (np.cos(2 * frequency) + rate / frequency * np.sin(2 * frequency))
    assert found[0, 1, 0, 0] - 1 == pytest.approx(expected * wave[0], rel=4e-3)


# Exact solutions with jumps

PROBLEMS = {  # left, right, time, relative bounds of velocity and pressure at the contact and of the density in L1, 400 cells
    "sod": ((1, 0, 1), (0.125, 0, 0.1), 0.2, 2e-3, 5e-3),
    "123": ((1, -2, 0.4), (1, 2, 0.4), 0.15, None, 2e-2),
    "left blast": ((1, 0, 1000), (1, 0, 0.01), 0.012, 2e-3, 4e-2),
    "two shocks": ((5.99924, 19.5975, 460.894), (5.99242, -6.19633, 46.0950), 0.035, 1.5e-2, 2e-2),
    "lax": ((0.445, 0.698, 3.528), (0.5, 0, 0.571), 0.14, 2e-3, 2e-2),
}


@pytest.mark.parametrize("scheme", ["weno5", "mc"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_shock_tubes(name, scheme):
    left, right, until, contact, bound = PROBLEMS[name]
    x, found, exact = tube(400, left, right, scheme, until=until)
    w = to_primitive(found.values_or_raise()[0, 1])
    assert w[:, 0].min() > 0
    assert w[:, 2].min() > 0
    assert np.abs(w[:, 0] - exact[:, 0]).mean() < bound * exact[:, 0].mean()
    if contact is not None:
        star = gas_star(left, right)
        at = np.argmin(np.abs(x - star.velocity * until))
        np.testing.assert_allclose(w[at, 1:], (star.velocity, star.pressure), rtol=contact)


@pytest.mark.parametrize(("scheme", "flux"), [("weno5", "hllc"), ("mc", "hll"), ("van_leer", "rusanov")])
def test_rates_on_sod(scheme, flux):
    errors = []
    for n in (100, 400):
        _, found, exact = tube(n, *PROBLEMS["sod"][:2], scheme, flux)
        errors.append(np.abs(found.values_or_raise()[0, 1, :, 0] - exact[:, 0]).mean())
    assert 0.7 < orders(errors)[0] / 2 < 1.1
    assert errors[-1] < 3e-3


@pytest.mark.parametrize(
    ("left", "right", "g", "until", "bound"),
    [(2.0, 1.0, 1.0, 0.25, 3e-3), (1.0, 0.1, 9.81, 0.1, 2e-3), (1.0, 0.0, 9.81, 0.06, 4e-3)],
)
@pytest.mark.parametrize("scheme", ["weno5", "mc"])
def test_dam_breaks_onto_water_and_onto_a_dry_bed(left, right, g, until, bound, scheme):
    grid = Grid.box("cell", 400, start=-0.5, stop=0.5, boundary="outflow")
    x = grid.coordinates()[0]
    start = np.stack([np.where(x < 0, left, right), 0 * x], -1)[None]
    found = FiniteVolume(ShallowWater(), grid, scheme).solve(start, np.array([0, until]), {"g": g}).values_or_raise()[0, 1]
    exact = water_fan((left, 0.0), (right, 0.0), x / until, g)
    assert np.abs(found[:, 0] - exact[:, 0]).mean() < bound
    assert np.abs(found[:, 1] - exact[:, 0] * exact[:, 1]).mean() < 4 * bound
    assert found[:, 0].min() >= -1e-12
    assert found[:, 0].sum() / 400 == pytest.approx(start[0, :, 0].mean(), rel=1e-13)


@pytest.mark.parametrize("flux", ["hllc", "rusanov"])
def test_burgers_shocks_and_sonic_fans(flux):
    grid = Grid.box("cell", 200, start=-1.0, stop=1.0, boundary="outflow")
    x = grid.coordinates()[0]
    pairs = np.array([[2.0, 0.0], [-1.0, 1.0], [1.0, -0.5]])
    start = np.where(x < 0, pairs[:, :1], pairs[:, 1:])[..., None]
    found = FiniteVolume(Burgers(), grid, flux=flux).solve(start, np.array([0.0, 0.4])).values_or_raise()[:, 1, :, 0]
    exact = burgers_fan(pairs[:, 0], pairs[:, 1], x / 0.4 + np.zeros((3, 1)))
    assert np.abs(found - exact).mean(1).max() < 0.01
    assert found.max() < 2 + 1e-3


def test_a_traffic_jam_dissolves_as_burgers_fan():
    """w = v (1 - 2 u) obeys Burgers' equation; at u = 1/2 all waves stand still."""
    grid = Grid.box("cell", 200, start=-1.0, stop=1.0, boundary="outflow")
    x, v = grid.coordinates()[0], np.array([1.0, 2.0])
    start = np.broadcast_to(np.where(x < 0, 1.0, 0.0)[:, None], (2, 200, 1))
    found = FiniteVolume(Traffic(), grid).solve(start, np.array([0.0, 0.3]), {"v": v}).values_or_raise()[:, 1, :, 0]
    exact = burgers_fan(-v, v, x / 0.3 + np.zeros((2, 1)))
    assert np.abs(v[:, None] * (1 - 2 * found) - exact).mean() < 0.01
    still = FiniteVolume(Traffic(), circle(8)).solve(np.full((1, 8, 1), 0.5), np.array([0.0, 1.0])).values
    np.testing.assert_allclose(still, 0.5, atol=1e-15)


def test_advection_along_the_diagonal():
    grid = torus(32)
    wave = lambda t: averages(lambda x, y: np.sin(2 * np.pi * (x - 0.5 * t + 2 * (y + t)))[..., None], grid)  # noqa: E731
    found = FiniteVolume(Advection((0.5, -1.0)), grid).solve(wave(0.0)[None], np.array([0.0, 0.5])).values
    np.testing.assert_allclose(found[0, 1], wave(0.5), atol=2e-3)


# What must not change


def test_uniform_flow_stays_uniform():
    grid = Grid((Axis("x", 8, cells=True), Axis("y", 9, kind="cell", boundary=("dirichlet", "outflow"))))
    w = np.array([0.7, 0.9, 0.8, 1.3])
    start = np.broadcast_to(gas(w), (1, *grid.shape, 4))
    found = FiniteVolume(NavierStokes(axes=2, eta=0.01), grid, inflow={"bottom": w}).solve(start, np.array([0.0, 1.0]))
    np.testing.assert_allclose(found.values_or_raise()[0, 1], start[0], rtol=1e-13)


def rough(shape, seed, dimension):
    """Random piecewise constant gas: shocks everywhere."""
    rng = np.random.default_rng(seed)
    return gas(np.stack([rng.uniform(0.5, 2, shape), *rng.uniform(-1, 1, (dimension, *shape)), rng.uniform(0.5, 2, shape)], -1))


@pytest.mark.parametrize("scheme", ["weno5", "mc"])
def test_conservation_and_independence_of_the_batch(scheme):
    grid, times = torus(16), np.array([0.0, 0.05, 0.2])
    start = np.kron(rough((4, 4), 5, 2), np.ones((4, 4, 1)))[None]
    both = np.concatenate([start, 1 + 0 * start, start])
    both[1, ..., 3] += np.sin(np.arange(16))  # another flow, of other steps
    both[1, ..., 1:3] = 0
    solver = FiniteVolume(Euler(axes=2), grid, scheme)
    found = solver.solve(both, times)
    totals = found.values_or_raise().sum((2, 3))
    size = np.abs(both).sum((1, 2)).max(axis=1)
    assert np.abs((totals - totals[:, :1]) / size[:, None, None]).max() < 1e-13
    alone = solver.solve(start, times)
    np.testing.assert_array_equal(found.values[[0, 2]], np.concatenate([alone.values] * 2))
    assert found.stats["steps"][0] == alone.stats["steps"][0] != found.stats["steps"][1]


def test_walls_are_mirrors():
    """Between walls, in x and in y, as half of a periodic box with its own mirror image."""
    half, times = rough((12, 10), 9, 2), np.array([0.0, 0.15])
    box = FiniteVolume(
        Euler(axes=2), Grid((Axis("x", 12, kind="cell", boundary=("wall", "wall")), Axis("y", 10, cells=True))), "mc"
    )
    image = np.concatenate([half, half[::-1] * (1, -1, 1, 1)])
    whole = FiniteVolume(Euler(axes=2), Grid((Axis("x", 24, 0, 2, cells=True), Axis("y", 10, cells=True))), "mc")
    expected = whole.solve(image[None], times).values_or_raise()[0, 1, :12]
    np.testing.assert_allclose(box.solve(half[None], times).values_or_raise()[0, 1], expected, rtol=1e-11, atol=1e-12)


def test_strong_expansions_stay_positive_and_beyond_vacuum_neighbours_survive():
    """Almost vacuum (123), and states that part faster than gas can follow: whatever ends, others are not touched."""
    grid = Grid.box("cell", 100, start=-0.5, stop=0.5, boundary="outflow")
    x = grid.coordinates()[0]
    fast = np.array([2.0, 40.0])
    w = np.stack([np.ones((2, 100)), np.where(x < 0, -1, 1) * fast[:, None], np.full((2, 100), 0.4)], -1)
    found = FiniteVolume(Euler(), grid).solve(gas(w), np.array([0.0, 0.01, 0.05]))
    alone = FiniteVolume(Euler(), grid).solve(gas(w[:1]), np.array([0.0, 0.01, 0.05]))
    np.testing.assert_array_equal(found.values[0], alone.values_or_raise()[0])
    assert to_primitive(found.values[0])[..., [0, 2]].min() > 0


@dataclass(frozen=True)
class Bounded(Burgers):
    """Burgers' equation that forbids values below zero."""

    def admissible(self, w):
        return w[0] >= 0


def test_a_failure_is_named_and_touches_nobody():
    """Inflow of what is forbidden leads to rejected steps, halved until none is left."""
    grid = Grid((Axis("x", 16, kind="cell", boundary=("dirichlet", "outflow")),))
    solver = FiniteVolume(Bounded(), grid, "first", "rusanov", inflow={"left": [-8.0]})
    start = np.stack([np.full(16, 1e-3), np.full(16, 9.0)])[..., None]
    found = solver.solve(start, np.array([0.0, 0.001, 0.003]))
    assert list(found.outcome) == [Outcome.NOT_PHYSICAL, Outcome.SUCCESS]
    assert np.isnan(found.values[0, 1:]).all()
    assert found.stats["rejected"][0] >= 12
    assert found.stats["rejected"][1] == 0
    np.testing.assert_array_equal(found.values[1], solver.solve(start[1:], np.array([0.0, 0.001, 0.003])).values[0])
    with pytest.raises(SolverError, match="kept density and pressure"):
        found.values_or_raise()


@dataclass(frozen=True)
class Sound(System):
    """p_t + c^2 u_x = 0, u_t + p_x = 0: what a user writes to add a system."""

    c: float = 2.0

    @property
    def components(self):
        return ("p", "u")

    def flux(self, w, axis, p):
        return (self.c**2 * w[1], w[0])

    def speeds(self, w, axis, p):
        return 0 * w[0] - self.c, 0 * w[0] + self.c


def test_a_system_of_ones_own_takes_one_class():
    grid = circle(64)
    p = lambda t: averages(lambda x: np.cos(2 * np.pi * x) * np.cos(4 * np.pi * t), grid)  # noqa: E731
    found = FiniteVolume(Sound(), grid).solve(np.stack([p(0.0), 0 * p(0.0)], -1)[None], np.array([0.0, 0.3]))
    np.testing.assert_allclose(found.values_or_raise()[0, 1, :, 0], p(0.3), atol=1e-4)


# Bad input

LINE = Grid.box("cell", 8, boundary="outflow")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FiniteVolume(Euler(), LINE, "weno7"), SettingError, "weno7"),
        (lambda: FiniteVolume(Euler(), LINE, flux="roe"), SettingError, "roe"),
        (lambda: FiniteVolume(Euler(), LINE, courant=1.5), SettingError, "courant"),
        (lambda: FiniteVolume(Euler(axes=2), LINE), GridError, "2-D system"),
        (lambda: FiniteVolume(Euler(), Grid.box("periodic", 16)), GridError, "cells=True"),
        (lambda: FiniteVolume(Euler(), Grid.box("cell", 5, boundary="outflow")), GridError, "at least 6"),
        (lambda: FiniteVolume(Euler(), Grid.box("cell", 8, boundary="neumann")), GridError, "'wall'"),
        (lambda: FiniteVolume(Euler(), Grid.box("cell", 8, boundary="dirichlet")), SettingError, "inflow"),
        (lambda: FiniteVolume(Euler(), LINE, inflow={"left": (1, 0, 1)}), SettingError, "no side"),
        (lambda: FiniteVolume(Euler(), LINE).solve(np.ones((1, 8)), [0, 1.0]), DataError, "rho, m, E"),
        (lambda: FiniteVolume(Euler(), LINE).solve(np.ones((0, 8, 3)), [0, 1.0]), DataError, r"\(0, 8, 3\)"),
        (lambda: FiniteVolume(Euler(), LINE).solve(-np.ones((1, 8, 3)), [0, 1.0]), DataError, "sample 0"),
        (lambda: FiniteVolume(Euler(), LINE).solve(np.full((1, 8, 3), np.nan), [0, 1.0]), DataError, "NaN"),
        (lambda: FiniteVolume(Euler(), LINE).solve(np.ones((1, 8, 3)), [1.0, 0]), DataError, "increasing"),
        (lambda: FiniteVolume(Euler(), LINE).solve(np.ones((1, 8, 3)), [0, 1.0], {"g": 1.0}), DataError, "'g'"),
        (lambda: Euler(gamma=1.0), SettingError, "gamma > 1"),
        (lambda: ShallowWater(g=0.0), SettingError, "g > 0"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
