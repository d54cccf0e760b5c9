"""Stochastic solves on torchsde: known distributions, strong order, diffrax's numbers on diffrax's path, gradients, counts."""

import sys

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sciml.nde import RegularizedSDESolve
from sciml.nde.stochastic import METHODS
from solvers.errors import MissingPackage, SettingError, SolverError, UnknownName

NAMES = ("R_E", "R_E2", "R_N")
RATE, NOISE, PATHS = -0.6, 0.5, 20000


@pytest.fixture
def torchsde():
    return pytest.importorskip("torchsde")


def on_torch(**options):
    return RegularizedSDESolve(backend="torch", **options)


def states(solve, f, g, y0, times, key):
    """States as NumPy in float64, whatever the backend."""
    if solve.backend == "torch":
        return solve(f, g, torch.tensor(y0, dtype=torch.float64), times, key)[0].detach().numpy()
    with jax.enable_x64(True):
        run = jax.jit(lambda y0: solve(f, g, y0, times, jax.random.key(key))[0])
        return np.asarray(run(jnp.asarray(y0)))


WAYS = [
    *({"backend": "torch", "method": m, "steps_per_frame": 8} for m in METHODS["torch"]),
    {"backend": "torch", "rtol": 1e-2, "atol": 1e-2, "first_step": 0.2},
    {"backend": "jax", "rtol": 1e-2, "atol": 1e-2},
]
NAMED = lambda way: "-".join(map(str, way.values()))  # noqa: E731


@pytest.mark.parametrize("way", WAYS, ids=NAMED)
def test_moments_of_growth_and_of_relaxation(way, torchsde):
    """Exact means and variances within the error of 20000 paths and of steps of 1/24, at uneven times.

    Growth  dy = a y dt + b y o dW (Stratonovich: log y is a t + b W), relaxation  dy = a y dt + b dW.
    """
    solve, times = RegularizedSDESolve(**way), np.array([0.0, 0.2, 0.6, 1.0])
    growth = np.exp((RATE + NOISE**2 / 2) * times)
    relaxed = NOISE**2 * np.expm1(2 * RATE * times) / (2 * RATE)
    cases = [
        (lambda t, y, args: NOISE * y, growth, growth**2 * np.expm1(NOISE**2 * times)),
        (lambda t, y, args: NOISE + 0 * y, np.exp(RATE * times), relaxed),
    ]
    for g, mean, variance in cases:
        y = states(solve, lambda t, y, args: RATE * y, g, np.ones((PATHS, 1)), times, 11)
        assert (np.abs(y.mean((1, 2)) - mean) <= 4 * np.sqrt(variance / PATHS) + 1e-3).all()
        np.testing.assert_allclose(y.var((1, 2))[1:], variance[1:], rtol=0.07)
        np.testing.assert_array_equal(y[0], 1.0)


@pytest.mark.parametrize("method", METHODS["torch"])
def test_strong_order_is_one_on_the_same_path(method, torchsde):
    """Mean error of y(1) = exp(a + b W(1)) over 1000 paths, which all step sizes share."""
    path = torchsde.BrownianInterval(0.0, 1.0, (1, 1000), torch.float64, entropy=5)
    steps = np.array([16, 32, 64, 128])
    for n in steps[::-1]:
        for k in range(n):
            path(k / n, (k + 1) / n)
    exact, errors = np.exp(RATE + NOISE * path(0.0, 1.0)[0].numpy()), []
    for n in steps:
        solve = on_torch(method=method, steps_per_frame=int(n))
        y = states(solve, lambda t, y, _: RATE * y, lambda t, y, _: NOISE * y, np.ones(1000), [0.0, 1.0], path)
        errors.append(np.abs(y[-1] - exact).mean())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.2)


def test_states_errors_penalties_and_gradients_are_diffraxs_on_its_path(torchsde):
    """Heun with four steps a frame, all of y one system: increments from diffrax's tree, where both ask to the last bit."""
    times, key, y0 = [0.0, 0.25, 0.5, 1.0], jax.random.key(3), np.array([[1.0, -0.4], [0.3, 2.0]])
    options = {"regularisers": NAMES, "rtol": 0.02, "atol": 0.02, "steps_per_frame": 4, "max_steps": 12}

    def law(xp):
        return lambda t, y, w: xp.sin(w * y) - t, lambda t, y, w: 0.5 * w * y + 0.1 * t

    def run(w):
        y, s = RegularizedSDESolve(**options)(*law(jnp), jnp.asarray(y0), times, key, args=w)
        return jnp.stack([y.sum(), *(s.regularisers[n] for n in NAMES)]), (y, s)

    @jax.jit
    def with_slopes(w):
        values, pull, more = jax.vjp(run, w, has_aux=True)
        return values, jax.vmap(pull)(jnp.eye(len(values)))[0], more

    with jax.enable_x64(True):
        theirs, slopes, (y_theirs, s_theirs) = with_slopes(1.3)
        shape = jax.ShapeDtypeStruct(y0.shape, jnp.float64)
        tree = diffrax.VirtualBrownianTree(0.0, 1.0, 2.0**-14, shape, jax.random.split(key)[0])
        increment = jax.jit(lambda a, b: tree.evaluate(a, b))

        class Given(torchsde.BaseBrownian):
            shape, dtype, device, levy_area_approximation = (1, 4), torch.float64, torch.device("cpu"), "none"

            def __call__(self, ta, tb=None, return_U=False, return_A=False):
                return torch.tensor(np.array(increment(float(ta), float(tb))).reshape(1, -1))

            def __repr__(self):
                return "diffrax's path"

        w = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        y, s = on_torch(**options)(*law(torch), torch.tensor(y0), times, Given(), args=w)
    np.testing.assert_allclose(y.detach(), y_theirs, rtol=1e-10)
    np.testing.assert_allclose(s.history("errors"), s_theirs.history("errors"), rtol=1e-9)
    np.testing.assert_allclose(s.history("steps"), s_theirs.history("steps"), rtol=1e-9)
    assert (s.accepted, s.rejected) == (int(s_theirs.accepted), int(s_theirs.rejected)) == (12, 0)
    for k, value in enumerate([y.sum(), *(s.regularisers[n] for n in NAMES)]):
        np.testing.assert_allclose(float(value.detach()), theirs[k], rtol=1e-9)
        np.testing.assert_allclose(torch.autograd.grad(value, w, retain_graph=True)[0], slopes[k], rtol=1e-8)


def test_gradients_agree_with_differences_on_a_frozen_path(torchsde):
    def run(w, y0):
        solve = on_torch(regularisers=NAMES, rtol=0.05, atol=0.05, steps_per_frame=4)
        y, s = solve(lambda t, y, _: torch.sin(w * y) - t, lambda t, y, _: 0.5 * w * y + 0.1, y0, [0.0, 0.5, 1.0], 8)
        return [y[-1].square().sum(), *(s.regularisers[n] for n in NAMES)]

    numbers = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.3, [1.0, -0.4])]
    step = 1e-5
    up, down = (run(torch.tensor(1.3 + d, dtype=torch.float64), numbers[1]) for d in (step, -step))
    first = torch.tensor([step, 0.0])
    right, left = (run(numbers[0], numbers[1] + d) for d in (first, -first))
    for k, value in enumerate(run(*numbers)):
        slopes = [float(g.reshape(-1)[0]) for g in torch.autograd.grad(value, numbers, retain_graph=True)]
        for slope, one, other in zip(slopes, (up, right), (down, left), strict=True):
            np.testing.assert_allclose(slope, float((one[k] - other[k]).detach()) / (2 * step), rtol=1e-6)


def test_controlled_steps_are_counted_and_differentiated_as_constants(torchsde):
    """Against the accepted steps taken again as equal ones: torchsde goes on with the two halves of each."""
    path = torchsde.BrownianInterval(0.0, 1.0, (1, 3), torch.float64, entropy=2, halfway_tree=True, tol=1e-6)
    w, calls = torch.tensor(2.0, dtype=torch.float64, requires_grad=True), [0]

    def f(t, y, _):
        calls[0] += 1
        return 4 * torch.cos(w * y)

    def g(t, y, _):
        return 0.5 * y

    y0, times = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), [0.0, 0.3, 1.0]
    y, s = on_torch(rtol=0.02, atol=0.02, first_step=0.3)(f, g, y0, times, path)
    assert s.evaluations == calls[0]
    assert s.rejected >= 2
    assert s.evaluations == 6 * (s.accepted + s.rejected) + 2  # three steps of two stages each; a look at shapes per frame
    starts, steps = s.history("starts"), s.history("steps")
    ends = [*starts[1:], 1.0]
    np.testing.assert_allclose(starts + steps, ends, atol=1e-12)
    assert 0.3 in starts  # steps end where an answer is wanted: torchsde would draw a straight line
    assert np.isnan(s.history("errors")).all()
    again, _ = on_torch(steps_per_frame=2)(f, g, y0, [*starts.tolist(), 1.0], path)
    np.testing.assert_allclose(again[-1].detach(), y[-1].detach(), rtol=1e-9)
    slopes = [torch.autograd.grad(v[-1].sum(), w)[0] for v in (y, again)]
    np.testing.assert_allclose(*slopes, rtol=1e-8)


@pytest.mark.parametrize("options", [{"steps_per_frame": 3}, {"rtol": 0.05, "atol": 0.05}], ids=["equal", "controlled"])
def test_paths_belong_to_their_key_and_nobodys_random_state_is_touched(options, torchsde):
    def run(key, scale=1.0):
        return states(
            on_torch(**options), lambda t, y, _: -scale * y, lambda t, y, _: 0.3 + 0 * y, np.ones(5), [0.0, 0.4, 2.0], key
        )

    before, old = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002 - the state that must not change
    one, two, other = run(4), run(4), run(5)
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other)[1:].min() > 0
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(old, np.random.get_state()[1])  # noqa: NPY002
    if "rtol" in options:  # additive noise and other steps: what remains of the difference is that of the drift alone
        assert np.ptp((run(4, 1.01) - one)[-1]) < 0.01


@pytest.mark.parametrize("options", [{"steps_per_frame": 3}, {"rtol": 0.05, "atol": 0.05}], ids=["equal", "controlled"])
def test_items_have_constants_and_in_training_paths_of_their_own(options, torchsde):
    from sciml.nde.on_torchsde import of_items

    constants, y0 = torch.tensor([[1.0], [-1.0], [1.0]]), torch.ones(3, 4, 2)

    def run(training):
        g = lambda t, y, c: 0.3 * y  # noqa: E731
        return of_items(on_torch(**options), lambda t, y, c: c[:, None] * y, g, y0, [0.0, 0.5, 1.0], 6, training, constants)

    (y, s), (own, _) = run(False), run(True)
    assert y.shape == (3, 3, 4, 2)
    assert torch.equal(y[:, 0], y[:, 2])
    np.testing.assert_allclose(y[-1, 0] / y[-1, 1], np.e**2, rtol=0.05)  # the same noise, other constants
    assert (own[1:, 0] - own[1:, 2]).abs().min() > 1e-5
    assert s.accepted.shape == (3,)
    np.testing.assert_allclose(s.steps.sum(1), 1.0, rtol=1e-5)


def test_solves_that_fail_say_so(torchsde):
    f, g, y0 = lambda t, y, _: torch.sin(30 * y) * 30, lambda t, y, _: 0.1 * y, torch.ones(2, dtype=torch.float64)
    with pytest.raises(SolverError, match="took more"):
        on_torch(max_steps=5)(f, g, y0, [0.0, 1.0], 1)
    with pytest.raises(SolverError, match="minimum allowed"):
        on_torch(resolution=0.01, rtol=1e-6, atol=1e-6)(f, g, y0, [0.0, 1.0], 1)
    with pytest.raises(SolverError, match="nans"):
        on_torch()(lambda t, y, _: y * float("nan"), g, y0, [0.0, 1.0], 1)
    with pytest.raises(SettingError, match="max_steps"):
        on_torch(steps_per_frame=300)(f, g, y0, [0.0, 1.0], 1)
    with pytest.raises(SettingError, match="increasing"):
        on_torch()(f, g, y0, [1.0, 0.0], 1)


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (UnknownName, "midpoint", {"method": "midpont"}),
        (UnknownName, "heun", {"method": "milstein", "backend": "jax"}),
        (UnknownName, "jax, torch", {"backend": "numpy"}),
        (SettingError, "backend='jax'", {"regularisers": ("R_E",)}),
        (SettingError, "outside the graph", {"regularisers": ("R_E",), "steps_per_frame": 2, "method": "midpoint"}),
        (SettingError, "R_N", {"regularisers": ("local_time",), "steps_per_frame": 2}),
        (SettingError, "equal steps", {"grid": (0.0, 1.0)}),
        (SettingError, "one of them", {"grid": (0.0, 1.0), "steps_per_frame": 2, "backend": "jax"}),
    ],
)
def test_refusals(error, match, options):
    with pytest.raises(error, match=match):
        RegularizedSDESolve(**{"backend": "torch"} | options)


def test_a_missing_package_is_named_before_anything_is_solved(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchsde", None)
    with pytest.raises(MissingPackage, match=r"sciml-operators\[sde\]"):
        on_torch()
    RegularizedSDESolve(backend="jax")
