"""Gradients of state-space layers against finite differences and each other; how they train; what the optimiser is told."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import sciml
from sciml.learners.backprop import Backprop, ForeignModule
from sciml.learners.groups import parameter_groups
from sciml.operator import Position
from sciml.ssm import State, StateSpaceLayer, structures
from sciml.ssm.discretise import Discretisation


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3141)
    yield
    torch.set_default_dtype(torch.float32)


def moved(kind, **options):
    made = StateSpaceLayer(2, 4, 2, A=kind, dt_min=0.05, **options)
    with torch.no_grad():
        for parameter in made.structure.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return made


CASES = [(kind, mode, "two_level") for kind in structures.KINDS for mode in ("convolution", "recurrent", "scan")]
CASES += [(kind, "convolution", "frequency") for kind in ("legs", "tridiag_inverse", "dplr")]


@pytest.mark.parametrize(("kind", "mode", "method"), CASES)
def test_gradients_are_those_of_finite_differences(float64, kind, mode, method):
    rule = {"convolution": "trapezoid", "recurrent": "right", "scan": "foh"}[mode]
    disc = "zoh" if mode == "scan" else "bilinear"
    made = moved(kind, disc=disc, input_rule=rule, chunk=4, kernel_method=method)
    names, values = zip(*made.named_parameters(), strict=True)
    u, x = torch.randn(1, 9, 2, requires_grad=True), torch.randn(1, 2, 4, requires_grad=True)
    previous = None if rule == "right" else torch.randn(1, 2, requires_grad=True)

    def call(u, x, *values):
        y, end = functional_call(made, dict(zip(names, values, strict=True)), (u, 0.7),
                                 {"state": State(x, previous), "mode": mode, "return_state": True})  # fmt: skip
        return y, end.x

    # The closed forms are exact to 1e-9 only, so differences of them are rougher.
    loose = {"atol": 2e-3, "rtol": 1e-3, "eps": 1e-4} if method == "frequency" else {}
    assert torch.autograd.gradcheck(call, (u, x, *values), **loose)


@pytest.mark.parametrize("kind", structures.KINDS)
def test_gradients_agree_across_modes(float64, kind):
    made, u, weight = moved(kind, chunk=16), torch.randn(2, 50, 2), torch.randn(2, 50, 4)
    found = []
    for mode, method in (("recurrent", "auto"), ("convolution", "auto"), ("scan", "auto"), ("convolution", "frequency")):
        if method == "frequency" and kind not in ("legs", "tridiag_inverse", "dplr"):
            continue
        made.kernel_method = method
        probe = u.clone().requires_grad_()
        gradients = torch.autograd.grad((made(probe, mode=mode) * weight).sum(), [probe, *made.parameters()])
        found.append(torch.cat([g.flatten() for g in gradients]))
    for other in found[1:]:
        assert float((other - found[0]).abs().max()) < 1e-8 * float(found[0].abs().max())


def test_dissipative_still_contracts_after_hard_training():
    torch.manual_seed(5)
    made = StateSpaceLayer(8, 16, A="dissipative", n_ssm=2)
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    u = torch.randn(4, 64, 8)
    wanted = torch.roll(u, 7, 1)
    for _ in range(200):
        optimizer.zero_grad()
        (made(u) - wanted).square().mean().backward()
        optimizer.step()
    a, b = made.structure.matrices()
    for step in (1e-4, 1e-2, 1.0):
        system = Discretisation().dense(a.detach(), b.detach(), torch.full((2,), step), torch.float64)
        assert float(torch.linalg.matrix_norm(system.a, 2).max()) <= 1 + 1e-10


@pytest.mark.parametrize("kind", ["legs", "dissipative", "diagonal"])
def test_nothing_stale_is_left_after_an_update(kind):
    torch.manual_seed(6)
    made, u = StateSpaceLayer(4, 8, A=kind), torch.randn(2, 100, 4)
    made.eval()
    before = made(u).detach()
    made.train()
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    made(u).square().mean().backward()
    optimizer.step()
    made.eval()
    fresh = StateSpaceLayer(4, 8, A=kind)
    fresh.load_state_dict(made.state_dict())
    assert torch.equal(made(u), fresh.eval()(u))
    assert not torch.equal(made(u), before)


# -- what the optimiser is told ----------------------------------------------------------------------------------------


def groups_by_name(module, groups):
    names = {id(p): name for name, p in module.named_parameters()}
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize("kind", structures.KINDS)
def test_parameter_groups(kind):
    made = nn.ModuleDict({"ssm": StateSpaceLayer(4, 6, A=kind), "mix": nn.Linear(4, 4)})
    found = groups_by_name(made, parameter_groups(made, lr=1e-2, weight_decay=0.05))
    assert set(found) == {name for name, _ in made.named_parameters()}
    for name, setting in found.items():
        slow = "structure" in name or "log_dt" in name
        expected = (1e-3, 0.0) if slow else (1e-2, 0.05) if name == "mix.weight" else (1e-2, 0.0)
        assert setting == expected, name
    assert groups_by_name(made["ssm"], made["ssm"].param_groups(5e-4, 0.1))["C"] == (5e-4, 0.0)
    optimizer = torch.optim.AdamW(made["ssm"].param_groups(1e-2, 0.1))  # as a user would
    assert {g["lr"] for g in optimizer.param_groups} == {1e-2, 1e-3}


def test_frozen_matrices_and_steps_are_no_parameters_but_are_saved():
    made = StateSpaceLayer(4, 6, A="dissipative", train_A=False, train_dt=False)
    assert {name for name, _ in made.named_parameters()} == {"C", "D"}
    other = StateSpaceLayer(4, 6, A="dissipative", train_A=False, train_dt=False)
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.log_dt, made.log_dt)
    fixed = StateSpaceLayer(4, 6, A="legs")
    assert {name for name, _ in fixed.named_parameters()} == {"log_dt", "C", "D"}


class Net(nn.Module):
    """A network of a user's own around a layer, (item, channel, time) as `fit` gives it."""

    def __init__(self, kind="dissipative"):
        super().__init__()
        self.ssm, self.mix = StateSpaceLayer(1, 8, A=kind), nn.Linear(1, 1)

    def forward(self, x):
        return self.mix(self.ssm(x.mT)).mT


def test_the_learner_keeps_the_groups_rates_through_its_schedule():
    operator = ForeignModule(Net())
    data = one_dimensional()
    sciml.fit(operator, data, epochs=1, validation=False, progress=False)
    training = sciml.Training(lr=1e-2, epochs=4, weight_decay=0.05, schedule="one-cycle").filled({})
    learner = Backprop(operator, training)
    learner.start(1)
    batch = sciml.tasks.as_task(None, data).all()
    rates = []
    for step in range(3):
        learner.step(batch, Position(0, step, step))
        found = groups_by_name(operator.module, learner.optimizer.param_groups)
        assert found["ssm.log_dt"][0] == pytest.approx(found["mix.weight"][0] / 10)
        assert found["ssm.structure.v"] == found["ssm.log_dt"]
        assert found["ssm.C"] == (found["mix.weight"][0], 0.0)
        assert found["mix.weight"][1] == 0.05
        rates.append(found["mix.weight"][0])
    assert rates[0] != rates[1]


def test_the_learner_calls_the_guard():
    from sciml.learners.groups import EVERY

    operator = ForeignModule(Net("tridiag_inverse"))
    data = one_dimensional()
    sciml.fit(operator, data, epochs=1, validation=False, progress=False)
    with torch.no_grad():
        operator.module.ssm.structure.shift.fill_(-3.0)  # eigenvalues far to the right
    learner = Backprop(operator, sciml.Training(lr=1e-5).filled({}))
    batch = sciml.tasks.as_task(None, data).all()
    rightmost = lambda: float(torch.linalg.eigvals(operator.module.ssm.structure.matrices()[0].detach()).real.max())  # noqa: E731
    learner.step(batch, Position(0, 0, 0))
    assert rightmost() > 0
    learner.step(batch, Position(0, EVERY - 1, EVERY - 1))
    assert rightmost() < 0


def one_dimensional():
    from sciml.checks import smooth_data

    return smooth_data(6, 33, dimension=1)


def test_learns_a_moving_average_and_keeps_its_optimum():
    """A short proof that training goes through A, B, C, D and the time scales: the lag of a delay line is found."""
    torch.manual_seed(8)
    made = StateSpaceLayer(1, 16, A="dissipative", init="legt", dt_min=0.1, dt_max=0.1, input_rule="right")
    u = torch.randn(8, 200, 1)
    wanted = torch.cat([torch.zeros(8, 6, 1), u[:, :-6]], 1)
    groups = made.param_groups(2e-2, 0.0)
    optimizer = torch.optim.Adam(groups)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (made(u) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.35 * losses[0]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("length", [7, 60])
def test_convolution_can_be_differentiated_twice(float64, length):
    from sciml.ssm.convolution import causal

    u, taps = torch.randn(2, 2, length, requires_grad=True), torch.randn(2, 3, length, requires_grad=True)
    expected = torch.zeros(2, 2, 3, length)
    for k in range(length):
        for j in range(k + 1):
            expected[..., k] += (taps[..., j] * u[:, :, None, k - j]).detach()
    torch.testing.assert_close(causal(u, taps), expected, rtol=0, atol=1e-11)
    small = torch.randn(1, 2, length, requires_grad=True), torch.randn(2, 1, length, requires_grad=True)
    assert torch.autograd.gradcheck(causal, small)
    assert torch.autograd.gradgradcheck(causal, small)
