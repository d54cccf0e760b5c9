"""Equation recovery: fits by shooting, the search, uncertainty, what the data cannot tell."""

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

import sciml
from sciml.recovery.features import Features, polynomials
from sciml.recovery.report import whiteness
from sciml.recovery.series import record
from sciml.recovery.shooting import STRICT, Shooting
from solvers.errors import DataError, SettingError, SolverError


def solved(rates, start, times):
    return solve_ivp(rates, (times[0], times[-1]), start, "DOP853", times, rtol=1e-11, atol=1e-12).y.T


def lorenz(t, v):
    return [10 * (v[1] - v[0]), 28 * v[0] - v[1] - v[0] * v[2], v[0] * v[1] - 8 / 3 * v[2]]


def lorenz_fit(sigma, seed=3, points=301, span=4.0):
    t = np.linspace(0, span, points)
    x = solved(lorenz, [2.3, 8.1, 12.4], t)
    F = Features(polynomials(3, 2), 3)
    C, names = np.zeros((3, 10)), F.names()
    terms = ((0, "x1", 10), (0, "x0", -10), (1, "x0", 28), (1, "x1", -1), (1, "x0*x2", -1), (2, "x0*x1", 1), (2, "x2", -8 / 3))
    for d, name, value in terms:
        C[d, names.index(name)] = value
    noisy = x + sigma * x.std(axis=0) * np.random.default_rng(seed).standard_normal(x.shape)
    return Shooting(record(t, noisy), F, 4 if sigma == 0 else 1), C


def test_sensitivities_are_the_derivatives_of_the_flow():
    shooting, C = lorenz_fit(0.02)
    batch = shooting.start(C[None], C[None] != 0)
    free = shooting.free(batch)
    _, S = shooting.flow(batch, free)
    n = batch.states.size
    for k in (0, 4, 6):
        step = np.zeros((1, n + free.used.sum()))
        step[0, n + k] = 1e-6
        up, down = (shooting.flow(shooting._stepped(batch, free, sign * step))[0] for sign in (1, -1))
        np.testing.assert_allclose(S[..., 3 + k], (up - down) / 2e-6, rtol=1e-4, atol=1e-4)


def test_a_candidate_without_a_term_stands_still():
    shooting, C = lorenz_fit(0.02, points=41, span=0.5)
    batch = shooting.start(0 * C[None], np.zeros((1, *C.shape), bool))
    X, S = shooting.flow(batch, shooting.free(batch))
    np.testing.assert_array_equal(X, np.broadcast_to(X[:, :, :1], X.shape))
    np.testing.assert_array_equal(S[..., :3], np.broadcast_to(np.eye(3), S[..., :3].shape))
    assert not S[..., 3:].any()


def test_normal_equations_are_those_of_the_residuals():
    shooting, C = lorenz_fit(0.02, points=41, span=0.5)
    batch = shooting.start(C[None] * 1.1, C[None] != 0)
    free = shooting.free(batch)
    X, S = shooting.flow(batch, free)
    _, g = shooting.normal_equations(X, S, batch.states, STRICT)
    for k in (0, 7, len(g[0]) - 2):
        step = np.zeros_like(g)
        step[0, k] = 1e-6
        values = []
        for sign in (1, -1):
            moved = shooting._stepped(batch, free, sign * step)
            values.append(shooting.residuals(shooting.flow(moved)[0], moved.states, STRICT)[2][0])
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(-2 * g[0, k], rel=1e-4)


def test_constants_come_back_from_a_fifth_off_and_the_objective_never_rises():
    shooting, C = lorenz_fit(0.0)
    rng = np.random.default_rng(9)
    starts = C * (1 + 0.2 * rng.uniform(-1, 1, (6, *C.shape)))
    batch = shooting.start(starts, starts != 0)
    last = np.inf
    for _ in range(6):
        batch = shooting.fit(batch, ((0.1, 2),))
        assert np.all(batch.objective <= last)
        last = batch.objective
    batch = shooting.fit(batch, ((STRICT, 15),))
    assert np.sum(np.abs(batch.C - C).max(axis=(1, 2)) < 3e-5) >= 5


SYSTEMS = {
    "van der pol": (
        lambda t, v: [v[1], -v[0] + 0.8 * v[1] - 0.8 * v[0] ** 2 * v[1]],
        [2.0, 0.0],
        12,
        {"x1"},
        {"x0", "x1", "x0**2*x1"},
    ),
    "lotka volterra": (
        lambda t, v: [v[0] - 0.5 * v[0] * v[1], -0.8 * v[1] + 0.3 * v[0] * v[1]],
        [2.0, 1.0],
        15,
        {"x0", "x0*x1"},
        {"x1", "x0*x1"},
    ),
    "damped oscillator": (lambda t, v: [v[1], -2 * v[0] - 0.1 * v[1]], [1.0, 0.0], 12, {"x1"}, {"x0", "x1"}),
    "cubic oscillator": (
        lambda t, v: [-0.1 * v[0] ** 3 + 2 * v[1] ** 3, -2 * v[0] ** 3 - 0.1 * v[1] ** 3],
        [2.0, 0.0],
        8,
        {"x0**3", "x1**3"},
        {"x0**3", "x1**3"},
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_textbook_systems_at_default_settings(name):
    rates, start, span, *supports = SYSTEMS[name]
    t = np.linspace(0, span, 401)
    x = solved(rates, start, t)
    x = x + 0.01 * x.std(axis=0) * np.random.default_rng(17).standard_normal(x.shape)
    model = sciml.recover(t, x)
    for side, support in zip(model.equations(), supports, strict=True):
        assert {str(term.as_coeff_Mul()[1]) for term in sympy.Add.make_args(sympy.expand(side))} == support
    assert model.score(t, solved(rates, start, t)) > 0.99


def test_rossler_and_five_dimensional_lorenz_96():
    t = np.linspace(0, 25, 1000)
    x = solved(lambda t, v: [-v[1] - v[2], v[0] + 0.2 * v[1], 0.2 + v[2] * (v[0] - 5.7)], [2.0, 1.0, 1.0], t)
    model = sciml.recover(t, x, library="poly:2")
    assert [len(sympy.Add.make_args(e)) for e in model.equations()] == [2, 2, 3]
    t = np.linspace(0, 4, 300)
    start = 8.0 + 0.5 * np.arange(5)
    x = solved(lambda t, v: (np.roll(v, -1) - np.roll(v, 2)) * np.roll(v, 1) - v + 8, start, t)
    model = sciml.recover(t, x)
    assert [len(sympy.Add.make_args(e)) for e in model.equations()] == [4] * 5
    np.testing.assert_allclose(model.predict(x), (np.roll(x, -1, 1) - np.roll(x, 2, 1)) * np.roll(x, 1, 1) - x + 8, atol=1e-3)


def test_lorenz_support_at_a_fifth_of_noise():
    t = np.linspace(0, 10, 2001)
    x = solved(lorenz, [2.3, 8.1, 12.4], t)
    noisy = x + 0.2 * x.std(axis=0) * np.random.default_rng(21).standard_normal(x.shape)
    model = sciml.recover(t, noisy, library="poly:2")
    assert [len(sympy.Add.make_args(e)) for e in model.equations()] == [2, 3, 2]


def test_terms_beyond_polynomials_are_found():
    t = np.linspace(0, 10, 401)
    x = solved(lambda t, v: [v[1], -0.9 * np.sin(v[0]) - 0.1 * v[1]], [2.5, 0.0], t)
    model = sciml.recover(t, x)
    assert model.equations(3)[1].has(sympy.sin)
    t = np.linspace(0, 10, 301)
    grown = solved(lambda t, v: [0.1 - 0.55 * v[0] + v[0] ** 2 / (1 + v[0] ** 2)], [0.002], t)  # gene switching
    model = sciml.recover(t, grown)
    truth = lambda v: 0.1 - 0.55 * v + v**2 / (1 + v**2)  # noqa: E731
    v = np.linspace(grown.min(), grown.max(), 50)
    np.testing.assert_allclose(model.predict(v[:, None])[:, 0], truth(v), atol=1e-5)


def test_conserved_quantities_are_flagged_and_damping_lifts_the_flag():
    t = np.linspace(0, 12, 300)
    free = sciml.recover(t, np.stack([np.cos(2 * t), -2 * np.sin(2 * t)], 1), library="poly:3")
    assert any("linearly dependent" in flag for flag in free.flags_)
    pendulum = sciml.recover(t, solved(lambda t, v: [v[1], -np.sin(v[0])], [1.5, 0.0], t))
    assert any("linearly dependent" in flag for flag in pendulum.flags_)
    damped = sciml.recover(t, solved(lambda t, v: [v[1], -2 * v[0] - 0.2 * v[1]], [1.0, 0.0], t), library="poly:3")
    assert not any("linearly dependent" in flag for flag in damped.flags_)


def test_intervals_cover_and_agree_with_laplace():
    truth = np.array([-10, 10, 28, -1, -1, -8 / 3, 1])
    inside = []
    for seed in range(5):
        shooting, _ = lorenz_fit(0.02, seed=100 + seed)
        one = shooting.recording.trajectories[0]
        model = sciml.Recovery("poly:2", n_boot=24, seed=seed).fit(one.t, one.x)
        assert len(model.posterior_) == 7
        values = np.array([c.value for c in model.posterior_])
        order = [int(np.argmin(np.abs(truth - v) / np.abs(truth))) for v in values]
        inside += [c.low <= truth[k] <= c.high for c, k in zip(model.posterior_, order, strict=True)]
        ratio = np.array([(c.high - c.low) / (3.29 * c.error) for c in model.posterior_])
        assert 0.6 < np.median(ratio) < 1.5
        assert model.inclusion_["x0"]["x1"] > 0.9
    assert 0.72 <= np.mean(inside) <= 1.0  # 35 intervals of 90 %; the benchmark counts hundreds


def test_whiteness_tells_noise_from_a_wave():
    noise = np.random.default_rng(30).standard_normal(500)
    assert whiteness(noise)[1] >= 0.85
    assert whiteness(np.sin(np.arange(500) / 10))[1] < 0.2


def test_errors_of_the_estimator():
    t = np.linspace(0, 3, 60)
    with pytest.raises(SettingError, match="Call fit"):
        sciml.Recovery().equations()
    with pytest.raises(SettingError, match="propose"):
        sciml.Recovery(proposals=("neural",)).fit(t, t**2)
    with pytest.raises(SettingError, match="identifiers"):
        sciml.Recovery(names=["a b"]).fit(t, np.exp(-t))
    with pytest.raises(SettingError, match="n_boot"):
        sciml.Recovery(n_boot=-1).fit(t, np.exp(-t))
    with pytest.raises(SettingError, match="parameter"):
        sciml.Recovery().set_params(noise=1)
    model = sciml.recover(t, 1 / (3.5 - t), library="poly:2")
    with pytest.raises(SolverError, match="ends before"):
        model.simulate([1.0], np.linspace(0, 3, 10))
    with pytest.raises(DataError, match="x0 of shape"):
        model.simulate([1.0, 2.0], t)
    with pytest.raises(SettingError, match="valid_time"):
        model.score(t, np.exp(-t), kind="r2")
