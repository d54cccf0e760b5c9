"""Families of flows between walls, waves, Helmholtz and Schroedinger: what is special to each, and the laws they draw from."""

import numpy as np
import pytest

import pdes
from pdes import Box, Periodic, constant, fixed, generate
from pdes.random_waves import layers, modes, packets, tanh_of
from solvers.errors import SettingError
from solvers.grid import Grid

CHANNEL = Box(x=(0, 2), y=(0, 1), boundary={"x": "periodic", "y": "wall"}, kind="cell")


def small(name, **changes):
    return generate(pdes.get(name, chunk=1, measure_every=100, **changes), n=1, resolution=16, seed=77, progress=False)


# Flows


def solved(name, resolution=16, **inputs):
    """A problem's own solver, called by hand: fields at the times of the problem."""
    problem = inputs.pop("problem", pdes.get(name))
    grid = problem.stored_grid(resolution)
    numbers = {n: np.array([law.sample(np.random.default_rng(5))]) for n, law in problem.parameters.items()}
    fields = {n: np.zeros((1, *grid.shape)) for n in (*problem.initial, *problem.inputs)} | inputs
    return problem.solver(problem, grid, fields, numbers, problem.times).fields


def test_channel_without_a_random_force_relaxes_to_poiseuille():
    """After ten times height^2 / (pi^2 nu) the parabola stands, exactly so on any grid."""
    fields = solved("channel", problem=pdes.get("channel", nu=fixed(0.5), G=fixed(0.4), time=(0, 4), frames=(0, 4)))
    y = (np.arange(16) + 0.5) / 16
    np.testing.assert_allclose(fields["u"][0, -1], np.broadcast_to(0.4 / (2 * 0.5) * y * (1 - y), (16, 16)), rtol=1e-7)
    assert np.abs(fields["v"]).max() < 1e-12


def test_cavity_ends_in_the_steady_cavity():
    """Trajectory and steady family share their equation: from rest, with the same viscosity and the same buoyancy."""
    buoyancy = np.cos(np.pi * pdes.get("cavity").stored_grid(16).mesh()[0])[None]
    marched = solved("cavity", f=buoyancy, problem=pdes.get("cavity", nu=fixed(0.05), time=(0, 20), frames=(0, 20)))
    steady = solved("cavity_steady", f=buoyancy, problem=pdes.get("cavity_steady", nu=fixed(0.05)))
    for name in "uvp":
        np.testing.assert_allclose(marched[name][0, -1], steady[name][0], atol=1e-6)
    assert np.abs(steady["u"]).max() > 0.3


# Waves


def test_a_uniform_wave_comes_back_after_one_crossing():
    data = small("wave", c=fixed(1.0), initial={"u": pdes.get("wave").initial["u"], "v": constant(0)}, time=(0, 1), frames=3)
    x_only = generate(
        pdes.get("wave", c=fixed(1.0), chunk=1, time=(0, 1), frames=3, initial={"u": modes(1, 1, 1, 1), "v": constant(0)}),
        n=1, resolution=16, seed=77, progress=False,
    )  # fmt: skip
    u = x_only.fields["u"][0]
    k = np.abs(np.fft.rfft2(u[0]))
    axial = np.fft.rfft2(u[2])[1, 0] / np.fft.rfft2(u[0])[1, 0]
    assert k[1, 0] > 1e-3
    assert axial == pytest.approx(1, abs=1e-4)  # e^{2 pi i x} has period one, oblique modes have not
    assert np.abs(u[2] - u[0]).max() > 1e-2
    assert data.fields["v"].shape == (1, 3, 16, 16)


def test_layered_media_are_open_at_three_sides():
    """Energy leaves: late frames are quieter than early ones, and would not be in a closed box."""
    data = small("wave_layers", time=(0, 3), frames=(0, 0.1, 3))
    u = np.abs(data.fields["u"][0]).max(axis=(1, 2))
    assert u[2] < 0.1 * u[0]


# Helmholtz and Schroedinger


def test_helmholtz_records_its_condition_and_stays_bounded():
    data = small("helmholtz")
    assert 1 < data.quality["condition"][0] < 1e5
    amplitude = np.hypot(data.fields["a"][0], data.fields["b"][0])
    assert 1e-3 < amplitude.max() < 0.1  # g / k, and no resonance


def test_schroedinger_keeps_mass_and_energy():
    data = generate(pdes.get("schroedinger", chunk=1, measure_every=100), n=1, resolution=128, seed=77, progress=False)
    mass = (data.fields["p"][0] ** 2 + data.fields["q"][0] ** 2).sum(-1)
    np.testing.assert_allclose(mass, mass[0], rtol=1e-6)
    assert data.quality["mass_drift"][0] < 1e-11
    assert data.quality["energy_drift"][0] < 1e-8


# Laws


@pytest.mark.parametrize(
    ("law", "domain", "coarse", "fine"),
    [
        (modes(4, 3, 60, 8), CHANNEL, 8, 24),
        (packets(2, (0.05, 0.1), wavenumber=20), Periodic(x=(0, 1), y=(1, 3), cells=True), 8, 24),
        (packets(3, (0.02, 0.05)), Box(x=(0, 1), y=(0, 1), kind="cell"), 8, 24),
        (layers(5), Box(x=(0, 1), y=(0, 1), kind="cell"), 8, 24),
        (layers(3, blend=0.05), Periodic(x=(0, 1), cells=True), 8, 24),
        (tanh_of(pdes.grf(tau=3, alpha=2, basis="neumann", modes=12)), Box(x=(0, 1), y=(0, 1), kind="cell"), 8, 24),
    ],
)
def test_laws_are_functions_of_no_resolution(law, domain, coarse, fine):
    law = law.on(domain)
    latent = np.stack([law.sample(np.random.default_rng(seed)) for seed in (5, 6)])
    a, b = (law.evaluate(latent, domain.grid(n)) for n in (coarse, fine))
    every = (slice(None), *(slice(1, None, 3),) * domain.dimension)  # cells of a third: the middle ones share their centres
    np.testing.assert_allclose(a, b[every], atol=1e-12)
    np.testing.assert_allclose(law.evaluate(latent[1], domain.grid(coarse)), a[1])
    assert np.abs(a[0] - a[1]).max() > 1e-3
    assert law.law.split("(")[0] in ("modes", "packets", "layers", "tanh_of")


def test_modes_vanish_on_walls_and_close_around_periodic_axes():
    law = modes(4, 3, 60, 8).on(CHANNEL)
    latent = law.sample(np.random.default_rng(7))
    grid = Grid.box("node", (9, 9), stop=(2.0, 1.0))
    values = law.evaluate(latent, grid)
    np.testing.assert_allclose(values[:, [0, -1]], 0, atol=1e-12)
    np.testing.assert_allclose(values[0], values[-1], atol=1e-12)


def test_modes_have_the_stated_variance():
    law = modes(4, 2, 10, 6).on(CHANNEL)
    rng = np.random.default_rng(90210)
    values = law.evaluate(np.stack([law.sample(rng) for _ in range(2000)]), CHANNEL.grid(16))
    assert np.mean(values**2) == pytest.approx(np.sum(law.scales() ** 2), rel=0.05)


def test_packets_close_around_the_box_and_keep_clear_of_walls():
    torus, walls = packets(1, (0.1, 0.12)).on(Periodic(x=(0, 1))), packets(1, (0.05, 0.1)).on(Box(x=(0, 1)))
    for seed in range(8):
        closed = torus.evaluate(torus.sample(np.random.default_rng(seed)), Grid.box("node", 401))
        assert closed[0] == pytest.approx(closed[-1], abs=1e-12)
        assert np.abs(np.diff(closed)).max() < 0.05
        latent = walls.sample(np.random.default_rng(seed))
        assert np.abs(walls.evaluate(latent, Grid.box("node", 3))[[0, 2]]).max() < 4e-4


def test_layers_take_their_own_speeds_in_order():
    law = layers(3, (1.0, 2.0), bend=0.0).on(Box(x=(0, 1), y=(0, 1)))
    latent = law.sample(np.random.default_rng(5))
    column = law.evaluate(latent, Grid.box("cell", 64, dimension=2, boundary="neumann"))[7]
    assert column[0] == latent[0] ** 2
    assert column[-1] == latent[2] ** 2
    assert len(np.unique(column)) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: modes(4, 3, 60, 0), "modes >= 1"),
        (lambda: packets(0), "count >= 1"),
        (lambda: packets(1, (0.2, 0.1)), "width"),
        (lambda: packets(1, (0.1, 0.2)).on(Periodic(x=(0, 1))), "an eighth"),
        (lambda: packets(1, (0.1, 0.11)).on(Box(x=(0, 1))), "a tenth"),
        (lambda: layers(2, (0.0, 1.0)), "speed"),
        (lambda: layers(2, blend=-0.1), "blend"),
    ],
)
def test_bad_laws(make, message):
    with pytest.raises(SettingError, match=message):
        make()
