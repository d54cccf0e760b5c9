"""Families of PROSE-PDE against solutions known otherwise: modes, breathers, characteristics, shocks, fronts, Gibbs' state."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import pdes
from pdes import Periodic
from pdes.families.conservation_laws import FluxSolver
from pdes.semilinear import Semilinear
from solvers.result import Outcome

F = {"quadratic": lambda u: u**2 / 2, "cubic": lambda u: u**3 / 3, "sine": np.sin, "cosine": np.cos}
SPEED = {"quadratic": lambda u: u, "cubic": np.square, "sine": np.cos, "cosine": lambda u: -np.sin(u)}
NAMES = {"quadratic": "prose_burgers", "cubic": "cubic_flux", "sine": "sine_flux", "cosine": "cosine_flux"}


def run(problem, start, size, times, solver=None, **parameters):
    """Fields (time, x) from given states {name: function of x}, and x."""
    problem = problem.replace(solver=problem.solver if solver is None else solver)
    grid, times = problem.stored_grid(size), np.asarray(times, float)
    x = grid.coordinates()[0]
    states = {name: np.asarray(f(x) + 0 * x)[None] for name, f in start.items()}
    problem = problem.replace(time=(times[0], times[-1]), frames=tuple(times))
    solver = problem.solver.prepare(problem, grid, 0)
    found = solver(problem, grid, states, {n: np.array([v]) for n, v in parameters.items()}, times)
    assert found.outcome.tolist() == [Outcome.SUCCESS]
    return {name: values[0] for name, values in found.fields.items()}, x


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


def test_modes_of_klein_gordon_turn_at_their_rates():
    c, m, t = 1.05, 0.09, 1.0
    k = np.pi * np.array([0, 1, 4])
    rate = np.sqrt(c**2 * k**2 + m**2 * c**4)
    start = {"u": lambda x: sum(np.cos(q * x) for q in k), "v": lambda x: sum(np.sin(q * x) for q in k)}
    found, x = run(pdes.get("klein_gordon"), start, 64, [0, t], c=c, m=m)
    exact = sum(np.cos(w * t) * np.cos(q * x) + np.sin(w * t) / w * np.sin(q * x) for q, w in zip(k, rate, strict=True))
    np.testing.assert_allclose(found["u"][-1], exact, atol=1e-12)


def test_a_breather_and_a_pair_of_kinks_of_sine_gordon():
    """4 arctan(q cos(w t) / (w cosh(q x))), q^2 = 1 - w^2; 4 arctan(sinh(g s t) / (s cosh(g x))), g = 1 / sqrt(1 - s^2)."""
    problem, w, s = pdes.get("sine_gordon").replace(domain=Periodic(x=(-50, 50))), 0.8, 0.5
    q, g = np.sqrt(1 - w**2), 1 / np.sqrt(1 - s**2)
    breather = lambda x, t: 4 * np.arctan(q * np.cos(w * t) / (w * np.cosh(q * x)))  # noqa: E731
    errors = []
    for dt in (0.1, 0.05, 0.025):
        found, x = run(problem, {"u": lambda x: breather(x, 0), "v": lambda x: 0}, 768, [0, 7], Semilinear(dt=dt), c=1.0)
        errors.append(np.abs(found["u"][-1] - breather(x, 7.0)).max())
    assert np.all((orders(errors) > 3.8) & (orders(errors) < 4.2))
    assert errors[-1] < 1e-8
    start = {"u": lambda x: 0, "v": lambda x: 4 * g / np.cosh(g * x)}
    found, x = run(problem, start, 768, [0, 6], Semilinear(dt=0.05), c=1.0)
    kinks = 4 * np.arctan(np.sinh(g * s * 6) / (s * np.cosh(g * x)))
    np.testing.assert_allclose(found["u"][-1], kinks, atol=1e-5)


def test_waves_from_rest_part_in_two():
    problem = pdes.get("prose_wave").replace(measure_every=10**6)
    data = pdes.generate(problem, 2, 64, seed=7, progress=False)
    law, x = problem.initial["u"], data.grid.coordinates()[0]
    for i in range(2):
        c, latent = data.parameters["c"][i], data.latent["initial.u"][i]
        shift = np.repeat([1, 2], 1)[:, None] * np.pi * c  # of the phases of both waves, at time 1
        parts = []
        for sign in (-1, 1):
            moved = np.array(latent)
            moved[2:4] += sign * shift[:, 0]
            parts.append((law.shape(moved[:-2], x / 2) - latent[-2]) * latent[-1])
        np.testing.assert_allclose(data.fields["u"][i, -1], sum(parts) / 2, atol=1e-6)


@pytest.mark.parametrize("flux", F)
def test_before_waves_break_characteristics_carry_the_states(flux):
    problem, k, t = pdes.get(f"{NAMES[flux]}_inviscid"), 1.1, 0.2
    start = lambda x: 0.5 + 0.3 * np.sin(np.pi * x)  # noqa: E731
    errors = []
    for n in (64, 128, 256):
        found, x = run(problem, {"u": start}, n, [0, t], k=k)
        exact = []
        for place in x:
            away = lambda y, place=place: y + k * SPEED[flux](start(y)) * t - place  # noqa: E731
            exact.append(start(brentq(away, place - 1, place + 1, xtol=1e-14)))
        errors.append(np.abs(found["u"][-1] - exact).mean())
    assert errors[-1] < 2e-4
    assert np.all(orders(errors) > 1.8)  # averages of cells beside values at their centres: order two


@pytest.mark.parametrize("flux", F)
def test_fronts_with_viscosity_keep_their_profile(flux):
    """-s u + k f(u) + const = nu u_x, s of Rankine and Hugoniot; the same from both solvers where there is a choice."""
    left, right = (0.9, 0.1) if flux in ("quadratic", "cubic") else (0.1, 0.9)
    k, eps, t = 1.0, 0.03 if flux == "sine" else 0.04, 0.3  # sin is nearly straight
    nu, speed = eps / np.pi, k * (F[flux](right) - F[flux](left)) / (right - left)
    slope = lambda x, u: (k * (F[flux](u) - F[flux](left)) - speed * (u - left)) / nu  # noqa: E731
    middle = [(left + right) / 2]
    ahead, behind = (solve_ivp(slope, (0, end), middle, rtol=1e-10, atol=1e-12, dense_output=True).sol for end in (0.9, -0.9))
    profile = lambda s: np.where(s > 0, ahead(np.clip(s, 0, 0.9))[0], behind(np.clip(s, -0.9, 0))[0])  # noqa: E731
    errors = []
    for n in (128, 256):
        open_line = pdes.get(f"{NAMES[flux]}_riemann")
        found, x = run(open_line, {"u": lambda x: profile(x - 0.9)}, n, [0, t], k=k, eps=eps)
        errors.append(np.abs(found["u"][-1] - profile(x - 0.9 - speed * t)).max())
    assert errors[-1] < 1e-3
    assert orders(errors)[0] > 1.7
    start = {"u": lambda x: 0.5 + 0.4 * np.sin(np.pi * x)}
    spectral, x = run(pdes.get(NAMES[flux]).replace(solver=Semilinear(dt=2e-3)), start, 256, [0, 0.8], k=k, eps=eps)
    cells, y = run(
        pdes.get(NAMES[flux]).replace(domain=Periodic(x=(0, 2), cells=True), solver=FluxSolver(flux)),
        start,
        256,
        [0, 0.8],
        k=k,
        eps=eps,
    )
    modes = np.fft.rfft(spectral["u"][-1]) * np.exp(1j * np.pi * np.arange(129) * (y[0] - x[0]))
    assert np.abs(np.fft.irfft(modes, 256) - cells["u"][-1]).max() < 2e-3


@pytest.mark.parametrize("flux", F)
def test_a_jump_falls_as_a_shock_or_a_fan(flux):
    """Where f' falls to the right, Rankine-Hugoniot; else the fan, which begins and ends at the speeds of the two states."""
    data = pdes.generate(
        pdes.get(f"{NAMES[flux]}_inviscid_riemann", time=(0, 0.3), frames=2, measure_every=9), 2, 128, 7, progress=False
    )
    for i in range(2):
        place, left, right = data.latent["initial.u"][i]
        k, u, x = data.parameters["k"][i], data.fields["u"][i, -1].astype(float), data.grid.coordinates()[0]
        mean = k * (F[flux](right) - F[flux](left)) / (right - left)
        swept = np.sum(u - right) / 64 / (left - right)  # conservation: where a shock would stand
        assert swept == pytest.approx(place + 0.3 * mean, abs=1e-5)
        ends = k * SPEED[flux](np.array([left, right]))
        reach = place + 0.3 * (np.array([mean, mean]) if ends[0] > ends[1] else ends)
        changing = (u < max(left, right) - 0.02) & (u > min(left, right) + 0.02)
        assert x[changing].min() > reach.min() - 0.03
        assert x[changing].max() < reach.max() + 0.03


def test_reactions_without_space():
    """u e^(rho t); logistic; and the implicit formula 2 log(u / (1 - u)) + 1 / (1 - u) - 1 / u = rho t + const."""
    t, u0, rho = 2.0, 0.3, 1.05
    values = {"nu": 3e-3, "rho": rho}
    last = lambda name, **more: run(pdes.get(name), {"u": lambda x: u0}, 16, [0, t], **values, **more)[0]["u"][-1, 3]  # noqa: E731
    assert last("diffusion_linear") == pytest.approx(u0 * np.exp(rho * t), rel=1e-12)
    assert last("diffusion_logistic") == pytest.approx(1 / (1 + (1 / u0 - 1) * np.exp(-rho * t)), abs=1e-8)
    clock = lambda u: 2 * np.log(u / (1 - u)) + 1 / (1 - u) - 1 / u  # noqa: E731
    assert clock(last("diffusion_square_logistic")) - clock(u0) == pytest.approx(rho * t, abs=1e-7)
    a = 0.6  # partial fractions of 1 / (u (1 - u) (u - a))
    clock = lambda u: -np.log(u) / a - np.log(1 - u) / (1 - a) + np.log(abs(u - a)) / (a * (1 - a))  # noqa: E731
    assert clock(last("diffusion_bistable", a=a)) - clock(u0) == pytest.approx(rho * t, abs=1e-7)


def test_particles_come_to_rest_in_gibbs_state():
    problem = pdes.get("fokker_planck", time=(0, 400), frames=2, measure_every=9)
    data = pdes.generate(problem, 2, 64, seed=7, progress=False)
    fine = (np.arange(64 * 32) + 0.5) / (32 * 32)
    gibbs = np.exp(-26.53 / 21.97 * np.cos(10 * fine)).reshape(64, 32).mean(1)
    u = data.fields["u"][:, -1].astype(float)
    np.testing.assert_allclose(u / u.mean(1, keepdims=True), np.tile(gibbs / gibbs.mean(), (2, 1)), rtol=6e-3)
    assert data.quality["drift_mass"].max() < 1e-11


def test_mixtures_part_at_the_rate_of_linear_theory_and_lose_energy():
    problem, mean, eps, t = pdes.get("prose_cahn_hilliard"), 0.4, 0.05, 0.02
    k = 3 * np.pi
    start = {"u": lambda x: mean + 1e-6 * np.cos(k * x)}
    found, x = run(problem, start, 64, [0, t], Semilinear(dt=1e-3), eps=eps)
    rate = k**2 * (1 - 3 * mean**2) - eps**2 * k**4
    np.testing.assert_allclose(found["u"][-1], mean + 1e-6 * np.cos(k * x) * np.exp(rate * t), atol=1e-11)
    found, x = run(
        problem, {"u": lambda x: 0.5 + 0.3 * np.sin(np.pi * x)}, 128, [0, 0.01, 0.1, 0.4], Semilinear(dt=1e-4), eps=eps
    )
    u = found["u"]
    slopes = np.fft.irfft(1j * np.pi * np.arange(65) * np.fft.rfft(u), 128)
    energy = ((u**2 - 1) ** 2 / 4 + eps**2 / 2 * slopes**2).mean(1)
    assert np.all(np.diff(energy) < 0)
    np.testing.assert_allclose(u.mean(1), 0.5, atol=1e-13)
