"""Equations as a user types them, against solutions known in closed form, and chaos against its statistics."""

import numpy as np
import pytest
from scipy.integrate import quad

import pdes
from pdes import Periodic
from pdes.semilinear import Semilinear
from solvers.result import Outcome


def marched(equation, domain, size, start, times, dt, **parameters):
    """Frames (time, *space) of each unknown, and the mesh; start: coordinates -> {unknown: field}."""
    laws = {name: pdes.constant(0.0) for name in pdes.Equation(equation).evolving}
    problem = pdes.Problem(
        name="typed", equation=equation, domain=domain, time=(times[0], times[-1]), initial=laws, parameters=parameters
    )
    grid = problem.stored_grid(size)
    values = {name: np.array([value]) for name, value in parameters.items()}
    states = {name: field[None] for name, field in start(*grid.mesh()).items()}
    found = Semilinear(dt=dt).prepare(problem, grid, 0)(problem, grid, states, values, np.asarray(times, float))
    assert found.outcome.tolist() == [Outcome.SUCCESS]
    return {name: field[0] for name, field in found.fields.items()}, grid.mesh()


def bump(s):
    """1 for s < 0, 0 for s > 1, infinitely smooth between."""
    inside = np.clip(s, 1e-9, 1 - 1e-9)
    return 1 / (1 + np.exp(np.clip(1 / (1 - inside) - 1 / inside, -700, 700)))


def test_a_front_of_burgers_travels_unchanged():
    """c - a tanh(a (x - c t) / (2 nu)); far away it is led back to its other end, which the front does not feel in time."""
    nu, a, c, t = 0.05, 0.8, 0.5, 1.0
    front = lambda x, t: c - a * np.tanh(a * (x - c * t) / (2 * nu))  # noqa: E731

    def start(x):
        return {"u": c + (front(x, 0) - c) * bump((np.abs(x) - 4) / 5.5)}

    found, (x,) = marched("u_t = nu*u_xx - u*u_x", Periodic(x=(-10, 10)), 1024, start, (0, t), 2e-3, nu=nu)
    near = np.abs(x - c * t) < 1.5
    np.testing.assert_allclose(found["u"][-1][near], front(x, t)[near], atol=1e-8)


@pytest.mark.parametrize("t", [0.2, 0.7])
def test_the_steep_sine_of_basdevant_by_quadrature(t):
    """-sin(pi x) at nu = 0.01 / pi, past the time at which Cole and Hopf's formula on a grid has lost its digits."""
    nu = 0.01 / np.pi
    start = lambda x: {"u": -np.sin(np.pi * x)}  # noqa: E731
    found, (x,) = marched("u_t = nu*u_xx - u*u_x", Periodic(x=(-1, 1)), 1536, start, (0, t), 1e-3, nu=nu)
    for i in (100, 500, 764, 772, 1100):
        power = lambda e, x=x[i]: -np.cos(np.pi * (x - e)) / (2 * np.pi * nu) - e**2 / (4 * nu * t)  # noqa: E731
        etas = np.linspace(-2, 2, 20001)
        top = power(etas).max()
        places = etas[power(etas) > top - 40]
        share = lambda f, w=power, m=top, p=places: quad(  # noqa: E731
            lambda e: f(e) * np.exp(w(e) - m), p[0] - 1e-3, p[-1] + 1e-3, epsabs=0, epsrel=1e-11, limit=400
        )[0]
        exact = -share(lambda e, x=x[i]: np.sin(np.pi * (x - e))) / share(lambda e: 1.0)
        assert found["u"][-1, i] == pytest.approx(exact, abs=1e-7)


def test_a_front_of_two_velocities_in_two_dimensions():
    """u = 3/4 - 1/(4 (1 + e^z)), v = 3/4 + 1/(4 (1 + e^z)), z = (4 (y - x) - t) / (32 nu), periodic along itself."""
    nu, t, half = 0.02, 0.5, 4.0

    def exact(x, y, t):
        share = 1 / (1 + np.exp(np.clip((4 * (y - x) - t) / (32 * nu), -700, 700))) / 4
        return 0.75 - share, 0.75 + share

    def start(x, y):
        across = (y - x + half) % (2 * half) - half  # a coordinate of the torus, on which u and v are the same on both ends
        share = (exact(0, across, 0)[1] - 0.875) * bump((np.abs(across) - 1.8) / 2.0) + 0.875
        return {"u": 1.5 - share, "v": share}

    text = "u_t = nu*lap(u) - u*u_x - v*u_y; v_t = nu*lap(v) - u*v_x - v*v_y"
    found, (x, y) = marched(text, Periodic(x=(-half, half), y=(-half, half)), 256, start, (0, t), 5e-3, nu=nu)
    near = np.abs(y - x) < 0.8
    for name, field in zip("uv", exact(x, y, t), strict=True):
        np.testing.assert_allclose(found[name][-1][near], field[near], atol=1e-6)


def test_two_solitons_meet_and_part_with_the_known_shifts():
    """2 (log F)_xx, F = 1 + e^a + e^b + A e^(a + b), a and b = k x - k^3 t + d, A = ((k1 - k2) / (k1 + k2))^2 (Hirota)."""
    k, place = np.array([1.3, 0.8]), np.array([-18.0, -2.0])
    meet = ((k[0] - k[1]) / (k[0] + k[1])) ** 2

    def solution(x, t):
        a, b = (q * (x - p) - q**3 * t for q, p in zip(k, place, strict=True))
        powers, slopes = np.stack([0 * a, a, b, a + b + np.log(meet)]), np.array([0, k[0], k[1], k.sum()])[:, None]
        weights = np.exp(powers - powers.max(0))
        weights /= weights.sum(0)
        return 2 * ((weights * slopes**2).sum(0) - (weights * slopes).sum(0) ** 2)

    end = 28.0
    start = lambda x: {"u": solution(x, 0)}  # noqa: E731
    found, (x,) = marched("u_t = -6*u*u_x - u_xxx", Periodic(x=(-40, 60)), 512, start, (0, end / 2, end), 2.5e-3)
    u = found["u"]
    np.testing.assert_allclose(u, [solution(x, t) for t in (0, end / 2, end)], atol=2e-5)

    def tops(u):
        """Places of the two highest crests, the higher first."""
        fine = np.fft.irfft(np.fft.rfft(u), 64 * len(u)) * 64
        at = np.flatnonzero((fine > np.roll(fine, 1)) & (fine > np.roll(fine, -1)) & (fine > 0.1))
        return -40 + at[np.argsort(-fine[at])] * 100 / len(fine)

    shift = tops(u[2]) - tops(u[0]) - k**2 * end
    np.testing.assert_allclose(shift, np.log(1 / meet) * np.array([1 / k[0], -1 / k[1]]), atol=0.01)


@pytest.mark.parametrize("a", [0.1, 0.7])
def test_the_better_of_two_stable_states_wins_at_the_known_speed(a):
    """u_t = u_xx + u (1 - u) (u - a): 1 / (1 + exp((x - c t) / sqrt 2)), c = (1 - 2 a) / sqrt 2; a front and its image."""
    front = lambda x, t: 1 / (1 + np.exp((np.abs(x) - 20 - (1 - 2 * a) / np.sqrt(2) * t) / np.sqrt(2)))  # noqa: E731
    text = "u_t = u_xx + u*(1 - u)*(u - a)"
    found, (x,) = marched(text, Periodic(x=(-60, 60)), 512, lambda x: {"u": front(x, 0)}, (0, 4), 0.02, a=a)
    assert np.abs(found["u"][-1] - front(x, 4.0)).max() < 2e-6


def test_heat_from_a_point_is_a_gaussian():
    """exp(-r^2 / (4 nu (t + t0))) / (t + t0), in one step of any length."""
    nu, t0, t = 0.5, 0.02, 0.06
    kernel = lambda x, y, t: np.exp(-(x**2 + y**2) / (4 * nu * (t + t0))) / (t + t0)  # noqa: E731
    start = lambda x, y: {"u": kernel(x, y, 0.0)}  # noqa: E731
    found, (x, y) = marched("u_t = nu*lap(u)", Periodic(x=(-2, 2), y=(-2, 2)), 96, start, (0, t), t, nu=nu)
    np.testing.assert_allclose(found["u"][-1], kernel(x, y, t), atol=1e-9)


def test_kuramoto_sivashinsky_has_its_plateau_and_its_tail():
    """Time-averaged |u_k|^2 on L = 100: flat where waves are long, highest near k = 0.85, exponential where they are short."""
    rng, n, length = np.random.default_rng(77), 192, 100.0

    def start(x):
        waves = (rng.uniform(-1, 1) * np.sin(2 * np.pi * m * x / length + rng.uniform(0, 6)) for m in range(1, 9))
        return {"u": np.asarray(sum(waves))}

    times = np.concatenate([[0.0], np.arange(300, 2300, 4.0)])
    found, _ = marched("u_t = -u*u_x - u_xx - u_xxxx", Periodic(x=(0, length)), n, start, times, 0.2)
    energy = (np.abs(np.fft.rfft(found["u"][1:])) ** 2).mean(0) * length / n**2
    k = 2 * np.pi * np.arange(n // 2 + 1) / length
    plateau = energy[(k > 0.1) & (k < 0.45)]
    assert plateau.max() / plateau.min() < 3
    assert 0.6 < k[np.argmax(energy)] < 0.95
    assert energy.max() > 2 * plateau.mean()
    tail = (k > 1.3) & (k < 2.8)
    slope, level = np.polyfit(k[tail], np.log(energy[tail]), 1)
    assert np.abs(np.log(energy[tail]) - slope * k[tail] - level).max() < 1.0  # over nine powers of e
    assert -7 < slope < -5
