"""Families of conservation laws, against exact Riemann solutions and invariants, and the laws that they draw from."""

import numpy as np
import pytest

import pdes
from pdes import Box, Periodic, fixed, fourier_series, generate
from pdes.coarsen import refine, restrict
from pdes.hyperbolic import FiniteVolumeSolver
from pdes.random_states import Band, Pieces, Ripples, Steps, gas, gas_pieces, levels, steps, water, water_pieces
from solvers.errors import SettingError
from solvers.grid import Axis
from solvers.riemann import gas_fan, water_fan

LINE, SQUARE = Box(x=(0, 1), boundary="outflow", kind="cell"), Box(x=(0, 1), y=(0, 2), boundary="outflow", kind="cell")
CIRCLE, TORUS = Periodic(x=(0, 1), cells=True), Periodic(x=(0, 1), y=(0, 2), cells=True)


def made(name, resolution, n=2, **changes):
    return generate(pdes.get(name, chunk=n, measure_every=n, **changes), n=n, resolution=resolution, seed=77, progress=False)


def fan_averages(fan, left, right, place, t, n):
    """Averages over n cells of [0, 1] of an exact solution around x0 = place, from 32 points in each."""
    x = (np.arange(32 * n) + 0.5) / (32 * n)
    w = fan(left, right, (x - place) / t)
    return w.reshape(n, 32, -1)


# Solutions


def test_shock_tubes_are_those_of_exact_riemann_solvers():
    data = made("euler_riemann", 128, n=4)
    errors = []
    for i in range(4):
        place, states = data.latent["initial.rho"][i][0], data.latent["initial.rho"][i][3:].reshape(2, 3)
        w = fan_averages(gas_fan, *states, place, data.times[-1], 128)
        energy = w[..., 2] / 0.4 + w[..., 0] * w[..., 1] ** 2 / 2
        for name, exact in (("rho", w[..., 0]), ("m", w[..., 0] * w[..., 1]), ("E", energy)):
            exact = exact.mean(1)
            errors.append(np.abs(data.fields[name][i, -1] - exact).mean() / np.abs(energy).mean())
    assert max(errors) < 4e-3
    assert data.quality["label_error"][0] < 0.02


def test_dam_breaks_are_those_of_stoker():
    data = made("dam_break_1d", 128, n=3)
    for i in range(3):
        latent = data.latent["initial.h"][i]
        states = latent[3:].reshape(2, 2)
        w = fan_averages(lambda *a, i=i: water_fan(*a, data.parameters["g"][i]), *states, latent[0], data.times[-1], 128)
        for name, exact in (("h", w[..., 0]), ("m", w[..., 0] * w[..., 1])):
            assert np.abs(data.fields[name][i, -1] - exact.mean(1)).mean() < 4e-3


def test_jumps_travel_with_their_exact_averages():
    data = made("advection_jumps", 64, beta=fixed(0.75), time=(0, 4), frames=5)
    u = data.fields["u"]
    np.testing.assert_allclose(u[:, 4], u[:, 0], atol=1e-6)  # three times around
    law = pdes.get("advection_jumps").initial["u"]
    moved = np.array(data.latent["initial.u"][...])
    moved[:, 0] += 0.75 - 1  # to the left by a quarter: still sorted
    np.testing.assert_allclose(u[:, 1], law.evaluate(moved, data.grid), atol=0.03)
    assert np.abs(u[:, 1] - law.evaluate(moved, data.grid)).mean() < 1e-3


def test_breaking_waves_of_burgers_lose_variation_and_keep_their_mean():
    for name in ("burgers_inviscid", "burgers_steps"):
        data = made(name, 64)
        u = np.asarray(data.fields["u"][...], float)
        variation = np.abs(np.diff(u, axis=-1, append=u[..., :1])).sum(-1)
        assert np.all(np.diff(variation, axis=1) < 0.02 * variation[:, :-1])  # means over cells cut moving peaks off unevenly
        assert np.all(variation[:, -1] < 0.8 * variation[:, 0])
        assert data.quality["drift_mass"].max() < 1e-12


def test_cars_stay_on_the_road():
    data = made("traffic", 64)
    assert 0 <= data.quality["min"].min() < data.quality["max"].max() <= 1
    assert data.quality["drift_cars"].max() < 1e-12


@pytest.mark.parametrize(("name", "resolution", "scheme"), [("euler_1d", 64, "weno5"), ("kelvin_helmholtz", 16, "mc")])
def test_closed_systems_keep_mass_momentum_and_energy(name, resolution, scheme):
    data = made(name, resolution, n=1, frames=3, solver=FiniteVolumeSolver("Euler", gamma=1.4, scheme=scheme))
    for density in pdes.get(name).conserved:
        assert data.quality[f"drift_{density}"].max() < 1e-12
    assert np.abs(data.fields["rho"][:, -1] - data.fields["rho"][:, 0]).max() > 0.05


def test_a_circular_dam_breaks_with_the_symmetry_of_the_square():
    data = made("shallow_water", 32, n=1)
    h, m, n = (np.asarray(data.fields[name][0, -1], float) for name in "hmn")
    np.testing.assert_allclose(h, h.T, atol=2e-3)  # but for the columns in which the disk is cut
    np.testing.assert_allclose(h, h[::-1], atol=1e-6)
    np.testing.assert_allclose(m, n.T, atol=2e-3)
    assert h[0, 0] == pytest.approx(1, abs=1e-6)  # the wave has not arrived
    assert h.max() < 2


def test_far_from_the_middle_four_states_do_not_know_of_each_other():
    data = made("euler_quadrants", 32, n=1, time=(0, 0.1), frames=2)
    states = data.latent["initial.rho"][0][3:].reshape(4, 4)
    rho = data.fields["rho"][0, -1]
    np.testing.assert_allclose([rho[0, 0], rho[0, -1], rho[-1, 0], rho[-1, -1]], states[:, 0], rtol=1e-6)


# Laws


def latents(law):
    return np.stack([law.sample(np.random.default_rng(seed)) for seed in (5, 6)])


@pytest.mark.parametrize(
    ("law", "domain", "tolerance"),
    [
        (steps(5), CIRCLE, 1e-12),
        (levels(7, -1, 1), LINE, 1e-12),
        (gas_pieces("tube", *[((0.1, 1), (-1, 1), (0.1, 1))] * 2, centre=(0.3, 0.7))["E"], LINE, 1e-12),
        (gas_pieces("quadrants", *[((0.1, 1), (-1, 1), (-1, 1), (0.1, 1))] * 4, centre=(0.3, 0.7))["n"], SQUARE, 1e-12),
        (water_pieces("disk", *[((1, 2), (0, 1), (0, 1))] * 2, radius=(0.2, 0.3))["h"], SQUARE, 2e-3),
        (gas(fourier_series(2, maximum=0.3, offset=1), fourier_series(2, maximum=0.3), 1.0)["E"], CIRCLE, 3e-4),
        (water(Band((1, 2), (1, 1), (0.1, 0.2)), 0.3, Ripples(2, width=0.15))["n"], TORUS, 3e-4),
    ],
)
def test_averages_over_cells_are_means_of_those_over_smaller_cells(law, domain, tolerance):
    law = law.on(domain)
    latent, coarse = latents(law), domain.grid(16)
    fine = refine(coarse, 4)
    a, b = law.evaluate(latent, coarse), restrict(law.evaluate(latent, fine), fine, coarse)
    np.testing.assert_allclose(a, b, atol=tolerance)
    np.testing.assert_allclose(law.evaluate(latent[1], coarse), a[1])
    assert np.abs(a[0] - a[1]).max() > 1e-3


def test_components_of_one_state_share_one_draw():
    laws = {name: law.on(LINE) for name, law in gas_pieces("tube", *[((0.1, 1), (-1, 1), (0.1, 1))] * 2).items()}
    problem = pdes.get("euler_riemann", initial=laws)
    _, drawn = problem.draw(7, 0)
    assert len({latent.tobytes() for latent in drawn.values()}) == 1
    grid = LINE.grid(8)
    rho, m, energy = (laws[name].evaluate(drawn[f"initial.{name}"], grid) for name in ("rho", "m", "E"))
    left = drawn["initial.rho"][3:6]
    np.testing.assert_allclose((rho[0], m[0] / rho[0], 0.4 * (energy[0] - m[0] ** 2 / rho[0] / 2)), left)


def test_smooth_averages_are_of_fourth_order():
    law = gas(fourier_series(2, maximum=0.3, offset=1), fourier_series(2, maximum=0.3), 1.0)["m"].on(CIRCLE)
    latent = latents(law)
    finest = refine(CIRCLE.grid(8), 16)
    errors = []
    for n in (8, 16):
        grid = CIRCLE.grid(n)
        errors.append(np.abs(law.evaluate(latent, grid) - restrict(law.evaluate(latent, finest), finest, grid)).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.5)


def test_a_disk_has_its_area():
    law = water_pieces("disk", ((2, 2), (0, 0), (0, 0)), ((1, 1), (0, 0), (0, 0)), radius=(0.31, 0.31))["h"].on(SQUARE)
    h = law.evaluate(latents(law)[0], SQUARE.grid(20))
    assert (h - 1).sum() * (1 / 20) * (2 / 20) == pytest.approx(np.pi * 0.31**2, rel=1e-3)


def test_random_signs_differ_from_their_neighbours():
    values = levels(6, -1, 1).sample(np.random.default_rng(3))[1]
    np.testing.assert_array_equal(values[1:], -values[:-1])


def test_bands_and_ripples_close_around_the_box():
    domain = Periodic(x=(0, 1), y=(0, 1))
    grid = domain.grid(8)
    closed = type(grid)(tuple(Axis(a.name, 9, 0, 1, "node", ("free", "free")) for a in grid.axes))
    for law in (Band((1, 2), (-1, 0), (0.05, 0.1)), Ripples()):
        law = law.on(domain)
        values = law.evaluate(latents(law)[0], closed)
        np.testing.assert_allclose(values[0], values[-1], atol=1e-9)
        np.testing.assert_allclose(values[:, 0], values[:, -1], atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: steps(1), "count >= 2"),
        (lambda: Steps(3, (1.0, -1.0)), "a range"),
        (lambda: steps(3).on(SQUARE), "one dimension"),
        (lambda: gas_pieces("tube", ((1, 1), (0, 0), (1, 1))), "1 states in shape 'tube'"),
        (lambda: Pieces("ring", (), pdes.random_states.Fluid(1.4), 0), "'ring'"),
        (lambda: gas_pieces("tube", *[((1, 1), (0, 0), (1, 1))] * 2)["m"].on(SQUARE), "1-D for a tube"),
        (lambda: gas(1.0, 1.0), "one or two velocities"),
        (lambda: water(1.0), "one or two velocities"),
    ],
)
def test_bad_laws(make, message):
    with pytest.raises(SettingError, match=message):
        make()
