"""The same regularised solve on torchdiffeq and on diffrax: same steps, same regularisers, same gradients in float64."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sciml.nde import RegularizedSolve
from solvers.errors import SettingError

ALL = ("R_E", "R_E2", "R_S", "R_N", "kinetic", "taylor2", "taylor3")
RNG = np.random.default_rng(77)
FIRST, SECOND, START = RNG.standard_normal((6, 16)) / 6**0.5, 3 * RNG.standard_normal((16, 6)) / 4, RNG.standard_normal((4, 6))


@pytest.fixture(autouse=True)
def in_double_precision():
    with jax.enable_x64(True):
        yield


def on_torch(solve, times=(0.0, 1.0), **options):
    """States, statistics, values, and gradients of a sum of all regularisers and of R_E, by weights and state."""
    first, second, y0 = (torch.tensor(v, requires_grad=True) for v in (FIRST, SECOND, START))
    y, s = solve(lambda t, y: torch.tanh(y @ first + t) @ second, y0, times, **options)
    pull = lambda v: [g.numpy() for g in torch.autograd.grad(v, (first, second, y0), retain_graph=True)]  # noqa: E731
    values = {name: float(v.detach()) for name, v in s.regularisers.items()}
    together = sum((i + 1) * v for i, v in enumerate(s.regularisers.values())) + y.sum()
    return y.detach().numpy(), s, values, [pull(together), pull(s.regularisers["R_E"])]


def on_jax(solve, times=(0.0, 1.0), gradients=True, **options):
    def f(t, y, args):
        return jnp.tanh(y @ args[0] + t) @ args[1]

    def run(first, second, y0):
        y, s = solve(f, y0, jnp.asarray(times), args=(first, second), **options)
        together = sum((i + 1) * v for i, v in enumerate(s.regularisers.values())) + y.sum()
        return jnp.stack([together, s.regularisers["R_E"]]), (y, s)

    given = tuple(map(jnp.asarray, (FIRST, SECOND, START)))
    if not gradients:
        y, s = jax.jit(run)(*given)[1]
        return np.asarray(y), s, s.regularisers, []

    @jax.jit
    def pulled(*given):
        _, pull, (y, s) = jax.vjp(run, *given, has_aux=True)
        return y, s, [pull(jnp.array(v)) for v in ([1.0, 0.0], [0.0, 1.0])]

    y, s, slopes = pulled(*given)
    return np.asarray(y), s, {n: float(v) for n, v in s.regularisers.items()}, slopes


def test_values_and_gradients_on_the_same_grid():
    grid = tuple(np.cumsum([0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.2]).tolist())
    grid = (*grid[:-1], 1.0)
    results = [
        on_torch(RegularizedSolve("torch", "dopri5", regularisers=ALL, grid=grid), (0.0, 0.3, 1.0)),
        on_jax(RegularizedSolve("jax", "dopri5", regularisers=ALL, grid=grid, max_steps=8), (0.0, 0.3, 1.0)),
    ]
    np.testing.assert_allclose(results[0][0][[0, 2]], results[1][0][[0, 2]], rtol=1e-10)
    for name in ("errors", "stiffness"):
        np.testing.assert_allclose(results[0][1].history(name), results[1][1].history(name), rtol=1e-8)
    for name in ALL:
        np.testing.assert_allclose(results[0][2][name], results[1][2][name], rtol=1e-8)
    for one, other in zip(results[0][3], results[1][3], strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert np.abs(mine - theirs).max() < 1e-8 * np.abs(theirs).max()


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "bosh3"])
def test_steps_under_their_own_control(method):
    names = ("R_E", "R_N", "kinetic")
    options = {"method": method, "regularisers": names, "first_step": 0.4, "rtol": 1e-5, "atol": 1e-5}
    _, mine, values, _ = on_torch(RegularizedSolve("torch", **options))
    _, theirs, others, _ = on_jax(RegularizedSolve("jax", max_steps=128, **options), gradients=False)
    assert mine.rejected > 0
    assert (mine.accepted, mine.rejected) == (int(theirs.accepted), int(theirs.rejected))
    np.testing.assert_allclose(mine.history("steps"), theirs.history("steps"), rtol=1e-6)
    np.testing.assert_allclose(mine.history("starts"), theirs.history("starts"), rtol=1e-6, atol=1e-12)
    for name in names:
        np.testing.assert_allclose(values[name], float(others[name]), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-2, 1.0, 10.0])
def test_the_automatic_first_step_is_that_of_torchdiffeq(size):
    """diffrax 0.7.2 alone would take 0.01 whatever the equation."""
    _, mine = RegularizedSolve("torch")(lambda t, y: size * torch.sin(3 * y), torch.tensor(START), [0.0, 1.0])
    _, theirs = RegularizedSolve("jax")(lambda t, y, args: size * jnp.sin(3 * y), jnp.asarray(START), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(float(theirs.steps[0]), float(mine.steps[0]), rtol=1e-9)
    assert (mine.accepted, mine.rejected) == (int(theirs.accepted), int(theirs.rejected))
    assert int(theirs.evaluations) == mine.evaluations + 1  # the first stage is evaluated again after the heuristic


def test_evaluations_on_diffrax_are_counted_as_they_happen():
    """Against a counter inside f, with rejections before and after the first accepted step."""
    calls = [0]

    def f(t, y, args):
        jax.debug.callback(lambda: calls.__setitem__(0, calls[0] + 1))
        return jnp.sin(40 * t * y) * 20

    for method, first, names in (
        ("tsit5", 0.5, ("R_E",)), ("heun", 0.3, ("R_E",)), ("dopri5", 0.5, ("R_E", "local_steps")),
        ("tsit5", None, ("R_E",)), ("heun", None, ("R_E",)),
    ):  # fmt: skip
        tolerance = 1e-3 if method == "heun" else 1e-5
        solve = RegularizedSolve("jax", method, tolerance, tolerance, regularisers=names, first_step=first, max_steps=1024)
        calls[0] = 0
        _, s = solve(f, jnp.ones((1, 2)), jnp.array([0.0, 1.0]), random=jax.random.key(3))
        jax.effects_barrier()
        assert int(s.rejected) > 0
        # Where f is traced for its shape the callback does not run; each call of the compiled f is one.
        assert int(s.evaluations) == calls[0], (method, first)


def test_the_solve_is_diffraxs_bit_for_bit():
    f = lambda t, y, args: jnp.tanh(y @ FIRST + t) @ SECOND  # noqa: E731
    plain = diffrax.diffeqsolve(
        diffrax.ODETerm(f), diffrax.Tsit5(), 0.0, 1.0, 0.02, jnp.asarray(START), max_steps=64,
        stepsize_controller=diffrax.PIDController(1e-6, 1e-6), saveat=diffrax.SaveAt(ts=jnp.array([0.0, 0.4, 1.0])),
    )  # fmt: skip
    y, s = RegularizedSolve("jax", max_steps=64, first_step=0.02)(f, jnp.asarray(START), jnp.array([0.0, 0.4, 1.0]))
    assert np.array_equal(y, plain.ys)
    assert int(s.accepted) == int(plain.stats["num_accepted_steps"])


def test_values_agree_with_the_dense_output_and_other_adjoints():
    """The history in the solver's state against one made afterwards from diffrax's dense output."""
    from sciml.nde.quantities import combined, scaled_error, stiffness
    from sciml.nde.tableaus import TSIT5

    def dense(first):
        f = lambda t, y, args: jnp.tanh(y @ first + t) @ SECOND  # noqa: E731
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(f), diffrax.Tsit5(), 0.0, 1.0, 0.1, jnp.asarray(START), max_steps=32,
            stepsize_controller=diffrax.PIDController(1e-6, 1e-6), saveat=diffrax.SaveAt(dense=True),
        )  # fmt: skip
        infos, ts = found.interpolation.infos, jax.lax.stop_gradient(found.interpolation.ts)
        valid = jnp.arange(32) < found.stats["num_accepted_steps"]

        def of_step(valid, h, k, y0, y1):
            h, k, y0, y1 = (jnp.where(valid, a, 1.0) for a in (h, k, y0, y1))
            e = scaled_error(jnp, combined(TSIT5.error, k), y0, y1, 1e-6, 1e-6)
            return jnp.where(valid, e * h + 0.1 * stiffness(jnp, k / h, h, TSIT5), 0.0)

        return jax.vmap(of_step)(valid, jnp.diff(ts), infos["k"], infos["y0"], infos["y1"]).sum()

    def mine(first, adjoint="discrete"):
        solve = RegularizedSolve("jax", regularisers=("R_E", "R_S"), first_step=0.1, max_steps=32, adjoint=adjoint)
        f = lambda t, y, args: jnp.tanh(y @ first + t) @ SECOND  # noqa: E731
        s = solve(f, jnp.asarray(START), jnp.array([0.0, 1.0]))[1]
        return s.regularisers["R_E"] + 0.1 * s.regularisers["R_S"]

    first = jnp.asarray(FIRST)
    exact, slopes = (*jax.jit(jax.value_and_grad(dense))(first),)
    value, gradient = jax.jit(jax.value_and_grad(mine))(first)
    np.testing.assert_allclose(value, exact, rtol=1e-10)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-9)
    toward = jnp.ones_like(first)
    pushed = jax.jit(lambda w: jax.jvp(lambda v: mine(v, "forward"), (w,), (toward,))[1])(first)
    np.testing.assert_allclose(pushed, (slopes * toward).sum(), rtol=1e-8)


def test_per_sample_steps_and_local_estimates_on_diffrax():
    f = lambda t, y, args: jnp.tanh(y @ FIRST + t) @ SECOND  # noqa: E731
    names = ("R_E", "local_steps", "local_time")
    solve = RegularizedSolve("jax", regularisers=names, batching="per-sample", max_steps=32, first_step=0.1)
    y, s = solve(f, jnp.asarray(START), jnp.array([0.0, 1.0]), random=jax.random.key(5))
    assert y.shape == (2, 4, 6)
    assert s.accepted.shape == (4,)
    alone = RegularizedSolve("torch", batching="per-sample", first_step=0.1)
    f_torch = lambda t, y: torch.tanh(y @ torch.tensor(FIRST) + t) @ torch.tensor(SECOND)  # noqa: E731
    _, theirs = alone(f_torch, torch.tensor(START), [0, 1])
    assert np.array_equal(s.accepted, theirs.accepted)
    np.testing.assert_allclose(s.regularisers["R_E"], theirs.regularisers["R_E"], rtol=1e-6)
    for b in range(4):
        n = int(s.accepted[b])
        e, h = s.errors[b, :n], s.steps[b, :n]
        for name, possible in (("local_steps", n * e * h), ("local_time", e * h.sum())):
            assert np.abs(possible / s.regularisers[name][b] - 1).min() < 1e-9

    def of_state(y0, detach):
        one = RegularizedSolve("jax", regularisers=("local_steps",), detach_state=detach, max_steps=32)
        return one(f, y0, jnp.array([0.0, 1.0]), random=jax.random.key(9))[1].regularisers["local_steps"]

    slopes = [jax.grad(lambda y, d=detach: of_state(y, d))(jnp.asarray(START)) for detach in (True, False)]
    assert not slopes[0].any()
    assert slopes[1].any()


def test_a_step_that_overflows_leaves_gradients_finite():
    """A first step far too large gives stages whose squares overflow; the step is rejected and must not reach the gradient."""

    def run(rate):
        f = lambda t, y, args: rate * jnp.where(jnp.abs(y) < 10, y**2, 1e200)  # noqa: E731
        solve = RegularizedSolve("jax", regularisers=("R_E", "R_S", "R_N"), first_step=50.0, max_steps=64)
        s = solve(f, -jnp.ones((1, 2)), jnp.array([0.0, 100.0]))[1]
        return sum(s.regularisers.values()), s

    gradient, s = jax.jit(jax.grad(run, has_aux=True))(1.0)
    assert int(s.rejected) >= 3
    assert np.isfinite(gradient)


def test_refusals():
    f = lambda t, y, args: -y  # noqa: E731
    with pytest.raises(SettingError, match="key"):
        RegularizedSolve("jax", regularisers=("local_steps",))(f, jnp.ones((1, 1)), jnp.array([0.0, 1.0]))
    with pytest.raises(SettingError, match="increasing"):
        RegularizedSolve("jax")(f, jnp.ones((1, 1)), jnp.array([1.0, 0.0]))
    with pytest.raises(SettingError, match="'forward'"):
        RegularizedSolve("jax", adjoint="backsolve")
