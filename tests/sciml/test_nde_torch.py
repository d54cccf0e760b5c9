"""Regularised solves on torchdiffeq: tableaus, exact values of one step, gradients at frozen steps, what counts."""

import numpy as np
import pytest
import torch
from torchdiffeq import odeint

from sciml.nde import RegularizedSolve
from sciml.nde.quantities import regulariser
from sciml.nde.tableaus import BOSH3, DOPRI5, HEUN, PAIRS, TSIT5
from solvers.errors import SettingError, SolverError, UnknownName

ALL = ("R_E", "R_E2", "R_S", "R_N")
# Rooted trees up to order 5: (order, density, weight of the tree as a function of A and c).
TREES = [
    (1, 1, lambda a, c: np.ones_like(c)),
    (2, 2, lambda a, c: c),
    (3, 3, lambda a, c: c**2),
    (3, 6, lambda a, c: a @ c),
    (4, 4, lambda a, c: c**3),
    (4, 8, lambda a, c: c * (a @ c)),
    (4, 12, lambda a, c: a @ c**2),
    (4, 24, lambda a, c: a @ (a @ c)),
    (5, 5, lambda a, c: c**4),
    (5, 10, lambda a, c: c**2 * (a @ c)),
    (5, 20, lambda a, c: (a @ c) ** 2),
    (5, 15, lambda a, c: c * (a @ c**2)),
    (5, 30, lambda a, c: c * (a @ (a @ c))),
    (5, 20, lambda a, c: a @ c**3),
    (5, 40, lambda a, c: a @ (c * (a @ c))),
    (5, 60, lambda a, c: a @ (a @ c**2)),
    (5, 120, lambda a, c: a @ (a @ (a @ c))),
]


def field(seed=3, width=16, size=6, scale=3.0):
    """A fixed random network field in float64, its parameters and a state."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    first = (draw(size, width) / size**0.5).requires_grad_()
    second = (scale * draw(width, size) / width**0.5).requires_grad_()
    return lambda t, y: torch.tanh(y @ first + t) @ second, (first, second), draw(4, size).requires_grad_()


def linear(rate):
    return lambda t, y: rate * y


@pytest.mark.parametrize("pair", PAIRS.values(), ids=lambda pair: pair.name)
def test_order_conditions_of_solution_and_companion(pair):
    a, c = np.zeros((pair.stages, pair.stages)), np.array(pair.c)
    for i, row in enumerate(pair.a):
        a[i + 1, : len(row)] = row
    np.testing.assert_allclose(a.sum(1), c, atol=1e-14)
    b, companion = np.array(pair.b), np.array(pair.b) - np.array(pair.error)
    for order, density, weight in TREES:
        residual = [abs(w @ weight(a, c) - 1 / density) for w in (b, companion)]
        assert residual[0] < 1e-12 or order > pair.order
        assert residual[1] < 1e-12 or order > pair.order - 1
    of_next = [abs(companion @ w(a, c) - 1 / d) for order, d, w in TREES if order == pair.order]
    assert max(of_next) > 1e-6  # the companion is of lower order, else there is no error estimate


def test_weights_of_the_stiffness_quotient():
    np.testing.assert_allclose(
        TSIT5.between_last_stages[:6],
        [-5.764994676128, 12.930969317847, -7.679478248162, 1.450593547385, -3.261800465042, 2.3247105241], atol=1e-11,
    )  # fmt: skip
    np.testing.assert_allclose(
        DOPRI5.between_last_stages[:6],
        [-2.755129419192, 10.757575757576, -8.457186419451, 0.372632575758, -0.048844875643, 0.130952380952], atol=1e-11,
    )  # fmt: skip
    assert BOSH3.between_last_stages is None
    assert HEUN.between_last_stages is None
    assert [p.first_same_as_last for p in PAIRS.values()] == [True, True, True, False]


@pytest.mark.parametrize("method", ["tsit5", "dopri5"])
def test_observed_order_on_the_pendulum(method):
    f = lambda t, y: torch.stack([y[:, 1], -torch.sin(y[:, 0])], 1)  # noqa: E731
    y0 = torch.tensor([[1.2, 0.0]], dtype=torch.float64)
    end = odeint(f, y0, torch.tensor([0.0, 2.0]), rtol=1e-13, atol=1e-13)[-1]
    errors = []
    for n in (10, 20, 40):
        y, _ = RegularizedSolve("torch", method, grid=tuple(np.linspace(0, 2, n + 1)))(f, y0, [0, 2])
        errors.append(float((y[-1] - end).abs().max()))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert ((orders > 4.8) & (orders < 6.2)).all(), orders  # Tsit5 comes down to 5 from above


@pytest.mark.parametrize("z", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(
    ("method", "polynomial"),
    [
        ("tsit5", (-4.264763677523e-4, 1.559533197668e-4, -2.170017158799e-5)),
        ("dopri5", (-97 / 180000, 13 / 60000, -1 / 36000)),
    ],
)
def test_error_of_one_step_of_a_linear_equation(method, polynomial, z):
    y0 = torch.tensor([[2.0]], dtype=torch.float64)
    solve = RegularizedSolve("torch", method, rtol=1e-13, atol=1e-3, grid=(0.0, z))
    y, s = solve(linear(1.0), y0, [0.0, z])
    error = abs(sum(p * z ** (5 + i) for i, p in enumerate(polynomial))) * 2.0
    np.testing.assert_allclose(float(s.errors[0]), error / (1e-3 + 1e-13 * float(y[-1])), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", ["tsit5", "dopri5"])
@pytest.mark.parametrize("power", [0, 1, 2, 3, 4])
def test_polynomials_in_time_are_easy_up_to_the_third_degree(method, power):
    slope = torch.tensor([1.3, -0.7], dtype=torch.float64, requires_grad=True)
    solve = RegularizedSolve("torch", method, regularisers=ALL, grid=(0.0, 0.4, 1.0))
    _, s = solve(lambda t, y: slope * t**power + 0.0 * y, torch.ones(3, 2, dtype=torch.float64), [0, 1])
    if power < 4:
        assert s.errors.max() < 1e-9
    else:
        assert s.errors.min() > 1e-3
    assert s.stiffness.abs().max() == 0
    (gradient,) = torch.autograd.grad(sum(s.regularisers.values()), slope)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("method", ["tsit5", "dopri5"])
def test_stiffness_of_linear_maps(method):
    y0 = torch.tensor([[1.0, -0.5, 2.0]], dtype=torch.float64)
    for rate in (0.5, -0.5, 7.0, -7.0, -100.0):
        h = 0.5 / abs(rate)
        solve = RegularizedSolve("torch", method, regularisers=("R_S",), grid=(0.0, h, 2 * h))
        _, s = solve(linear(rate), y0, [0, 2 * h])
        np.testing.assert_allclose(s.stiffness, abs(rate), rtol=1e-10)
    symmetric = torch.diag(torch.tensor([-1.0, -4.0, -9.0], dtype=torch.float64))
    solve = RegularizedSolve("torch", method, regularisers=("R_S",))
    _, s = solve(lambda t, y: y @ symmetric, y0, [0, 0.5])
    assert s.stiffness.min() > 1
    assert s.stiffness.max() < 9
    oscillator = torch.tensor([[0.0, 1.0], [-100.0, -0.3]], dtype=torch.float64)
    one = RegularizedSolve("torch", method, rtol=1e-3, regularisers=("R_S",), grid=(0.0, 0.05))
    _, s = one(lambda t, y: y @ oscillator.T, torch.tensor([[1.0, 0.0]], dtype=torch.float64), [0, 0.05])
    assert 0.5 < float(s.stiffness[0]) < 100.1  # at most |A|_2, and not the spectral radius 10
    if method == "tsit5":
        np.testing.assert_allclose(float(s.stiffness[0]), 1.11, atol=0.01)


def test_gradients_agree_with_differences_on_the_frozen_grid_and_not_on_an_adapted_one():
    f, weights, y0 = field()
    loose = {"regularisers": ALL, "rtol": 1e-4, "atol": 1e-4}  # E of rounding is 1e-12 then
    free = RegularizedSolve("torch", first_step=0.1, **loose)
    _, s = free(f, y0, [0, 1])
    times = tuple([*s.starts.tolist(), 1.0])
    frozen = RegularizedSolve("torch", grid=times, **loose)
    _, again = frozen(f, y0, [0, 1])
    for name in ALL:  # the grid replays the steps
        np.testing.assert_allclose(float(again.regularisers[name].detach()), float(s.regularisers[name].detach()), rtol=1e-9)
    rng = np.random.default_rng(5)
    directions = [torch.as_tensor(rng.standard_normal(w.shape)) for w in (*weights, y0)]

    exact = {n: torch.autograd.grad(s.regularisers[n], (*weights, y0), retain_graph=True) for n in ALL}

    def moved(solve, by):
        with torch.no_grad():
            for w, d in zip((*weights, y0), directions, strict=True):
                w += by * d
            found = solve(f, y0, [0, 1])[1].regularisers
            for w, d in zip((*weights, y0), directions, strict=True):
                w -= by * d
        return {name: float(v) for name, v in found.items()}

    step = 1e-5  # small: the maximum in the scale of the error has kinks
    at = {k: moved(frozen, k * step) for k in (-2, -1, 1, 2)}
    for name in ALL:
        slope = sum(float((g * d).sum()) for g, d in zip(exact[name], directions, strict=True))
        difference = (8 * (at[1][name] - at[-1][name]) - at[2][name] + at[-2][name]) / (12 * step)
        assert abs(slope - difference) < 1e-6 * abs(slope) + 1e-7, name
    # The control: with steps that adapt, R_E hardly knows of the change, R_N does. The direction scales the second weights.
    second = weights[1]

    def scaled(by):
        with torch.no_grad():
            second.mul_(by)
            found = free(f, y0, [0, 1])[1].regularisers
            second.div_(by)
        return {name: float(v) for name, v in found.items()}

    wide = 0.2
    larger, smaller = scaled(1 + wide), scaled(1 - wide)
    for name, agrees in (("R_E", False), ("R_N", True)):
        slope = float((exact[name][1] * second).sum().detach())
        adapted = (larger[name] - smaller[name]) / (2 * wide)
        assert (abs(adapted - slope) < 0.3 * abs(slope)) == agrees, (name, adapted, slope)


def test_only_accepted_steps_count():
    f, weights, y0 = field()
    _, s = RegularizedSolve("torch", regularisers=ALL, first_step=1.0, rtol=1e-9, atol=1e-9)(f, y0, [0, 1])
    assert s.rejected >= 3
    grid = tuple([*s.starts.tolist(), 1.0])
    _, replayed = RegularizedSolve("torch", regularisers=ALL, grid=grid, rtol=1e-9, atol=1e-9)(f, y0, [0, 1])
    for name in ALL:
        np.testing.assert_allclose(float(s.regularisers[name].detach()), float(replayed.regularisers[name].detach()), rtol=1e-9)
    for gradient in torch.autograd.grad(sum(s.regularisers.values()), weights):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_the_solve_is_the_librarys_bit_for_bit_and_costs_no_more(method):
    f, _, y0 = field()
    calls = [0]

    def counted(t, y):
        calls[0] += 1
        return f(t, y)

    plain = odeint(counted, y0, torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64), rtol=1e-6, atol=1e-6, method=method,
                   options={"step_t": torch.tensor([1.0], dtype=torch.float64)})  # fmt: skip
    for training in (True, False):
        y, s = RegularizedSolve("torch", method, regularisers=("R_E", "local_steps"))(f, y0, [0, 0.4, 1], training=training)
        assert torch.equal(y, plain)
        stages = PAIRS[method].stages
        assert s.evaluations == calls[0] + (stages if training else 0)  # a local estimate is one step more
        assert s.evaluations == 2 + (stages - 1) * (s.accepted + s.rejected) + (stages if training else 0)


def test_per_sample_steps_do_not_depend_on_the_batch():
    f, _, y0 = field()
    same = y0.detach()[:1].repeat(3, 1)
    coupled = RegularizedSolve("torch", regularisers=ALL)
    each = RegularizedSolve("torch", regularisers=ALL, batching="per-sample")
    together, alone = coupled(f, same, [0, 1])[1], each(f, same, [0, 1])[1]
    mixed = each(f, y0, [0, 1])[1]
    first = each(f, y0[:1], [0, 1])[1]
    for name in ALL:
        np.testing.assert_allclose(alone.regularisers[name].detach(), float(together.regularisers[name].detach()), rtol=1e-9)
        np.testing.assert_allclose(
            mixed.regularisers[name][0].detach(), float(first.regularisers[name][0].detach()), rtol=1e-12
        )
    assert abs(float((mixed.regularisers["R_E"].mean() - coupled(f, y0, [0, 1])[1].regularisers["R_E"]).detach())) > 1e-4


def test_local_estimates_enumerated_give_the_global_sum():
    from sciml.nde.on_torchdiffeq import Record, _registered

    f, weights, y0 = field()
    for detach in (True, False):
        setting = RegularizedSolve("torch", regularisers=("R_E",), detach_state=detach)
        record = Record(f, setting, ("R_E",), None)
        odeint(record, y0, torch.tensor([0.0, 1.0]), rtol=1e-6, atol=1e-6, method=_registered("tsit5"),
               options={"record": record, "step_t": torch.tensor([1.0])})  # fmt: skip
        whole = record.statistics().regularisers["R_E"]
        parts = sum(record.local_error(j) * h for j, h in enumerate(record.steps))
        np.testing.assert_allclose(float(parts.detach()), float(whole.detach()), rtol=1e-10)
        (of_state,) = torch.autograd.grad(parts, y0, allow_unused=True, retain_graph=True)
        if detach:
            assert of_state is None
        else:
            for mine, exact in zip(
                torch.autograd.grad(parts, (*weights, y0), retain_graph=True),
                torch.autograd.grad(whole, (*weights, y0)),
                strict=True,
            ):
                torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-9)


def test_terms_along_the_stages_against_exact_integrals():
    """y' = -y: kinetic = int y^2, d^K y/dt^K = +-y, jacobian = 1; and a fixed probe of a rotation."""
    y0 = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    names = ("kinetic", "taylor2", "taylor3", "jacobian")
    _, s = RegularizedSolve("torch", rtol=1e-9, atol=1e-9, regularisers=names)(linear(-1.0), y0, [0, 1])
    exact = 2.5 * (1 - np.exp(-2)) / 2
    for name in names[:3]:
        np.testing.assert_allclose(float(s.regularisers[name]), exact, rtol=1e-7)
    np.testing.assert_allclose(float(s.regularisers["jacobian"]), 1.0, rtol=1e-12)


def test_steer_moves_only_times_and_only_in_training():
    f, _, y0 = field()
    solve = RegularizedSolve("torch", steer=0.5)
    generator = torch.Generator().manual_seed(8)
    ends = {float(solve(f, y0, [0, 1], random=generator)[1].steps.sum()) for _ in range(4)}
    assert len(ends) == 4
    assert 0.5 < min(ends) < max(ends) < 1.5
    np.testing.assert_allclose(float(solve(f, y0, [0, 1], training=False)[1].steps.sum()), 1.0, rtol=1e-12)


def test_aggregates():
    errors, steps = torch.tensor([0.5, 0.2, 9.0]), torch.tensor([0.1, 0.4, 9.0])
    valid = torch.tensor([True, True, False])
    value = lambda name, how: float(regulariser(torch, name, errors, errors, steps, valid, 5, how))  # noqa: E731
    np.testing.assert_allclose([value("R_E", how) for how in ("sum", "mean", "max")], [0.13, 0.065, 0.08], rtol=1e-6)
    np.testing.assert_allclose([value("R_S", "max"), value("R_E2", "sum")], [0.5, 0.29], rtol=1e-6)
    np.testing.assert_allclose(value("R_N", "sum"), 0.51**0.2 + 0.21**0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (UnknownName, "adams", {"method": "adams"}),
        (UnknownName, "R_X", {"regularisers": ("R_X",)}),
        (SettingError, "same time", {"method": "bosh3", "regularisers": ("R_S",)}),
        (SettingError, "gradient would be zero", {"adjoint": "backsolve"}),
        (SettingError, "positive tolerances", {"rtol": 0.0}),
        (SettingError, "increasing", {"grid": (0.0, 0.0)}),
    ],
)
def test_refusals(error, match, options):
    with pytest.raises(error, match=match):
        RegularizedSolve("torch", **options)


def test_refusals_when_called():
    f, _, y0 = field()
    with pytest.raises(SettingError, match="increasing"):
        RegularizedSolve("torch")(f, y0, [1, 0])
    with pytest.raises(SolverError, match="max_steps"):
        RegularizedSolve("torch", max_steps=2)(f, y0, [0, 1])
    with pytest.warns(RuntimeWarning, match="rounding"):
        RegularizedSolve("torch", rtol=1.4e-8, atol=1e-4)(linear(-1.0), torch.ones(1, 1), [0, 1])
