"""Regularised stochastic solves: size of the embedded estimate, gradients with path and times fixed, known distributions."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sciml.nde import RegularizedSDESolve
from solvers.errors import SettingError, UnknownName


@pytest.fixture(autouse=True)
def in_double_precision():
    with jax.enable_x64(True):
        yield


def drift(t, y, args):
    return -0.5 * y


@pytest.mark.parametrize(("noise", "power"), [(lambda t, y, args: 0.6 * y, 1.0), (lambda t, y, args: 0.6 + 0 * y, 1.5)])
def test_the_estimate_scales_as_theory_says(noise, power):
    """Of size h where noise depends on the state, h^1.5 where it does not: slopes of one step from 2000 states."""
    sizes, found = (3e-3, 1e-4), []
    for h in sizes:
        solve = RegularizedSDESolve(rtol=1e-12, atol=1.0, grid=(0.0, h), max_steps=1, resolution=2.0**-4)
        _, s = solve(drift, noise, jnp.ones((2000, 1)), [0.0, h], jax.random.key(4))
        found.append(float(s.errors[0]))
    slopes = np.diff(np.log(found)) / np.diff(np.log(sizes))
    np.testing.assert_allclose(slopes, power, atol=0.06)


def test_moments_of_geometric_brownian_motion():
    """Stratonovich dy = a y dt + b y o dW: y = exp(a t + b W), whose mean and variance are known; error of 20000 paths.

    Steps would go beyond the early times, and the straight lines of an interpolation have a tenth less variance.
    """
    a, b, n, times = 0.3, 0.4, 20000, (0.0, 0.1, 0.2, 0.5, 1.0)
    solve = RegularizedSDESolve(rtol=1e-2, atol=1e-2)
    y, s = solve(lambda t, y, _: a * y, lambda t, y, _: b * y, jnp.ones(n), times, jax.random.key(6))
    for row, t in zip(y, times, strict=True):
        mean, variance = np.exp(a * t + b**2 * t / 2), np.exp(2 * a * t + b**2 * t) * (np.exp(b**2 * t) - 1)
        assert abs(float(row.mean()) - mean) < 4 * np.sqrt(variance / n) + 1e-12
        assert abs(float(row.var()) - variance) < 0.06 * variance + 1e-12
    assert int(s.evaluations) == 2 * (int(s.accepted) + int(s.rejected))


def test_gradients_agree_with_differences_on_frozen_path_and_times():
    names, key, y0 = ("R_E", "R_E2", "R_N"), jax.random.key(8), jnp.array([1.0, -0.4])

    def run(w, grid=None):
        solve = RegularizedSDESolve(regularisers=names, rtol=0.05, atol=0.05, first_step=0.05, max_steps=64, grid=grid)
        f, g = lambda t, y, args: jnp.sin(w * y) - t, lambda t, y, args: 0.5 * w * y
        return solve(f, g, y0, [0.0, 1.0], key)[1]

    free = run(1.3)
    grid = (*free.history("starts").tolist(), 1.0)
    frozen = jax.jit(lambda w: run(w, grid).regularisers)
    slopes = jax.jit(jax.jacrev(lambda w: run(w).regularisers))(1.3)
    step = 1e-5
    up, here, down = frozen(1.3 + step), frozen(1.3), frozen(1.3 - step)
    for name in names:
        np.testing.assert_allclose(here[name], free.regularisers[name], rtol=1e-10)  # the grid replays steps and increments
        np.testing.assert_allclose(slopes[name], (up[name] - down[name]) / (2 * step), rtol=1e-6)


def test_the_solve_is_diffraxs_bit_for_bit_and_local_estimates_are_its_steps():
    f, g, key = lambda t, y, args: jnp.cos(3 * y), lambda t, y, args: 0.3 * y + 0.1, jax.random.key(2)
    solve = RegularizedSDESolve(regularisers=("R_E", "local_steps", "local_time"), rtol=0.02, atol=0.02, max_steps=128)
    y, s = solve(f, g, jnp.array([0.5, 2.0]), [0.0, 1.0], key)
    path = diffrax.VirtualBrownianTree(
        0.0, 1.0, 2.0**-14, jax.ShapeDtypeStruct((2,), jnp.float64), jax.random.split(key)[0]
    )  # fmt: skip
    noise = diffrax.ControlTerm(lambda t, y, args: jnp.diag(g(t, y, args)), path)
    plain = diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(f), noise), diffrax.Heun(), 0.0, 1.0, 0.01, jnp.array([0.5, 2.0]), max_steps=128,
        stepsize_controller=diffrax.PIDController(0.02, 0.02, error_order=1),
    )  # fmt: skip
    np.testing.assert_allclose(y[-1], plain.ys[0], rtol=1e-13)
    assert int(s.accepted) == int(plain.stats["num_accepted_steps"])
    e, h = s.history("errors"), s.history("steps")
    for name, possible in (("local_steps", len(h) * e * h), ("local_time", e * h.sum())):
        assert np.abs(possible / float(s.regularisers[name]) - 1).min() < 1e-9
    assert sorted(solve(f, g, jnp.ones(2), [0.0, 1.0], key, training=False)[1].regularisers) == ["R_E"]


def test_refusals():
    with pytest.raises(UnknownName, match="R_S"):
        RegularizedSDESolve(regularisers=("R_S",))
    with pytest.raises(SettingError, match="positive"):
        RegularizedSDESolve(rtol=0.0)
    with pytest.raises(SettingError, match="increasing"):
        RegularizedSDESolve()(drift, drift, jnp.ones(2), [1.0, 0.0], jax.random.key(0))
