"""State-space layers against numbers known otherwise: golden kernels, closed forms, meaning of states, orders, stability."""

import itertools

import numpy as np
import pytest
import torch
from scipy.signal import cont2discrete, dlsim

from sciml.ssm import State, StateSpaceLayer, hippo, structures
from sciml.ssm.discretise import Discretisation
from solvers.errors import SettingError, UnknownName


@pytest.fixture(autouse=True)
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def layer(order, *, step=0.1, ones=True, **options):
    """One feature with the given step, C = 1 and no D."""
    made = StateSpaceLayer(1, order, dt_min=step, dt_max=step, **options)
    with torch.no_grad():
        made.D.zero_()
        if ones:
            made.C.fill_(1.0)
    return made


def reads_all(kind, order, step, **options):
    """A layer whose outputs are its states."""
    made = StateSpaceLayer(1, order, order, A=kind, dt_min=step, dt_max=step, **options)
    with torch.no_grad():
        made.C.copy_(torch.eye(order))
        made.D.zero_()
    return made


# -- matrices ----------------------------------------------------------------------------------------------------------

GOLDEN = {  # N = 4, C = 1, step 0.1, rule "right"; from an independent NumPy computation
    ("legs", "bilinear"): (0.547052197739, 0.223439367527, 0.063993929101, -0.004599418612, -0.025621550246, -0.023929160707),
    ("legs", "zoh"): (0.529932869867, 0.221221658685, 0.067681434164, 0.000573332838, -0.020909975310, -0.020351024058),
    ("legt", "bilinear"): (0.321402254082, 0.216509973794, 0.137369140900, 0.080454162905, 0.041907476865, 0.017889509118),
    ("lagt", "bilinear"): (0.362606745581, 0.292760160503, 0.232271113227, 0.180142599291, 0.135468928703, 0.097428193709),
}


@pytest.mark.parametrize(("kind", "method"), GOLDEN)
def test_golden_kernels(kind, method):
    made = layer(4, A=kind, disc=method)
    np.testing.assert_allclose(made.kernel(6).detach()[0, 0], GOLDEN[kind, method], atol=1e-11)


@pytest.mark.parametrize("method", ["bilinear", "zoh", "foh"])
@pytest.mark.parametrize("kind", hippo.KINDS)
def test_discrete_systems_are_scipys(kind, method):
    """SciPy's bilinear and first-order hold shift the state; outputs of the same input are the same."""
    a, b = hippo.matrices(kind, 6)
    step, u = 0.07, np.random.default_rng(5).standard_normal(40)
    c = np.random.default_rng(6).standard_normal((1, 6))
    made = layer(6, step=step, A=kind, disc="bilinear" if method == "bilinear" else "zoh", ones=False,
                 input_rule={"bilinear": "trapezoid", "zoh": "right", "foh": "foh"}[method])  # fmt: skip
    with torch.no_grad():
        made.C.copy_(torch.from_numpy(c))
    ad, bd, cd, dd, _ = cont2discrete((a, b[:, None], c, np.zeros((1, 1))), step, method=method)
    if method == "zoh":  # SciPy holds the left value: its outputs come one sample later
        theirs = dlsim((ad, bd, cd, dd, step), np.append(u, 0.0))[1][1:, 0]
    else:
        theirs = dlsim((ad, bd, cd, dd, step), u)[1][:, 0]
    mine = made(torch.from_numpy(u)[None, :, None], state=made.rest(1))[0, :, 0]
    np.testing.assert_allclose(mine.detach(), theirs, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5, 16, 64])
@pytest.mark.parametrize("kind", hippo.KINDS)
def test_every_form_contains_the_hippo_matrices(kind, order):
    a, b = hippo.matrices(kind, order)
    scale = np.abs(a).max()
    for form, tolerance in (("tridiag_inverse", 1e-13), ("dense", 1e-15), ("dissipative", 3 * structures.LEAST_DAMPING)):
        ours = structures.make(form, order, init=kind).matrices()
        np.testing.assert_allclose(ours[0].detach()[0], a, atol=tolerance * scale, err_msg=form)
        np.testing.assert_allclose(ours[1].detach()[0], b, rtol=1e-12, err_msg=form)
    # `dplr` lives in another basis: its transfer function is the same when C is turned along.
    turned = structures.make("dplr", order, init=kind)
    start = hippo.normal_plus_low_rank(kind, order)
    pairs = order // 2
    basis = np.concatenate([np.sqrt(2) * start.c[:pairs].real, np.sqrt(2) * start.c[:pairs].imag, start.c[pairs:].real])
    np.testing.assert_allclose(basis @ basis.T, np.eye(order), atol=1e-13)
    ours = turned.matrices()
    np.testing.assert_allclose(basis.T @ ours[0].detach().numpy()[0] @ basis, a, atol=3 * structures.LEAST_DAMPING * scale)
    np.testing.assert_allclose(ours[1].detach().numpy()[0] @ basis, b, atol=1e-12 * np.abs(b).max())


def test_symmetric_parts_are_the_known_ones():
    n = np.arange(7)
    p = np.sqrt(2.0 * n + 1)
    twice = lambda kind: hippo.matrices(kind, 7)[0] + hippo.matrices(kind, 7)[0].T  # noqa: E731
    np.testing.assert_allclose(twice("legs"), -np.outer(p, p) - np.eye(7), atol=1e-14)
    np.testing.assert_allclose(twice("legt"), -np.outer(p, p) * (1 + (-1.0) ** (n[:, None] - n)) / 2, atol=1e-14)
    np.testing.assert_allclose(twice("lagt"), -np.ones((7, 7)), atol=1e-14)


def test_diagonal_starts():
    legs = structures.make("diagonal", 64, init="legs")
    frequencies = legs.lam().detach()[0].imag
    assert float(frequencies.min()) == pytest.approx(0.264, abs=1e-3)
    assert float(frequencies.max()) == pytest.approx(1303, abs=1)
    np.testing.assert_allclose(structures.make("diagonal", 8, init="lin").lam().detach()[0].imag, np.pi * np.arange(4))
    expected = 8 / np.pi * (8 / (2 * np.arange(4) + 1) - 1)
    np.testing.assert_allclose(structures.make("diagonal", 8, init="inv").lam().detach()[0].imag, expected)


# -- what the states mean ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["legs", "lagt"])
def test_impulse_responses_are_the_basis_under_its_weight(kind):
    from scipy.linalg import expm

    a, b = hippo.matrices(kind, 12)
    for t in (0.1, 1.0, 3.0):
        weight = np.exp(-t) if kind == "legs" else 1.0
        np.testing.assert_allclose(expm(a * t) @ b, weight * hippo.basis(kind, 12, np.array([t]))[:, 0], atol=1e-10)


def band_limited(seed, highest, extent):
    """Random signal with frequencies up to `highest`, as a function of time."""
    rng = np.random.default_rng(seed)
    count = int(highest * extent)
    weights, phases = rng.standard_normal(count), rng.uniform(0, 2 * np.pi, count)
    return lambda t: sum(w * np.cos(2 * np.pi * (k + 1) / extent * t + f) for k, (w, f) in enumerate(zip(weights, phases)))  # noqa: B905


def recalled(kind, order, ages, seed=77, highest=2.0, extent=10.0, steps=5000):
    """Relative error of the past that the last state holds."""
    signal, step = band_limited(seed, highest, extent), extent / steps
    made = reads_all(kind, order, step, input_rule="trapezoid", mode="scan")
    with torch.no_grad():
        _, state = made(torch.from_numpy(signal(step * np.arange(steps + 1)))[None, :, None], return_state=True)
    past = signal(extent - ages)
    return np.linalg.norm(state.x[0, 0].numpy() @ hippo.basis(kind, order, ages) - past) / np.linalg.norm(past)


def test_legs_remembers_the_recent_past_better_with_more_states():
    ages = np.linspace(0, 1.5, 200)
    errors = [np.mean([recalled("legs", order, ages, seed) for seed in range(70, 76)]) for order in (16, 32, 64)]
    assert errors[0] > 0.1 > errors[1] > 0.03 > errors[2]


def test_legt_remembers_two_units_and_no_more():
    assert recalled("legt", 32, np.linspace(0, hippo.WINDOW, 200)) < 0.01
    signal = band_limited(77, 2.0, 10.0)
    ages = np.linspace(0, 1.0, 200)  # read as if the window were one unit: the other convention of the matrix
    made = reads_all("legt", 32, 5e-4, input_rule="trapezoid", mode="scan")
    with torch.no_grad():
        _, state = made(torch.from_numpy(signal(5e-4 * np.arange(20001)))[None, :, None], return_state=True)
    wrong = state.x[0, 0].numpy() @ hippo.legendre(32, 1 - ages)
    assert np.linalg.norm(wrong - signal(10 - ages)) / np.linalg.norm(signal(10 - ages)) > 0.7


def test_legs_with_steps_1_over_k_holds_all_of_the_past_evenly():
    """HiPPO's scaled form x' = (A x + B u) / t is the same layer with steps 1/k: one recurrence of unequal steps."""
    order, steps = 32, 2000
    signal = band_limited(31, 8, 1.0)
    made = reads_all("legs", order, 1.0, input_rule="trapezoid")
    dt = 1.0 / torch.arange(1, steps + 1, dtype=torch.float64)
    with torch.no_grad():
        u = torch.from_numpy(signal(np.arange(1, steps + 1) / steps))[None, :, None]
        constant_so_far = State(u[:, :1] * torch.eye(order)[0])  # the past of the first sample, as the first polynomial
        _, state = made(u, dt[None], constant_so_far, return_state=True)
    times = np.linspace(0, 1, 300)
    held = state.x[0, 0].numpy() @ hippo.legendre(order, times)
    assert np.linalg.norm(held - signal(times)) / np.linalg.norm(signal(times)) < 0.01


# -- order, stability --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "rule", "order"),
    [("bilinear", "right", 1), ("zoh", "right", 1), ("bilinear", "trapezoid", 2), ("zoh", "foh", 2), ("zoh", "trapezoid", 2)],
)
def test_order_of_accuracy(method, rule, order):
    """y(4) of LegS for a smooth input that does not begin at zero."""
    signal = lambda t: np.cos(1.3 * t) + 0.5 * np.sin(2.1 * t + 0.3)  # noqa: E731

    def value(steps, method=method, rule=rule):
        made = layer(16, step=4 / steps, A="legs", disc=method, input_rule=rule)
        return float(made(torch.from_numpy(signal(np.linspace(0, 4, steps + 1)))[None, :, None])[0, -1, 0].detach())

    exact = (4 * value(32768, "zoh", "foh") - value(16384, "zoh", "foh")) / 3
    errors = np.abs([value(n) - exact for n in (256, 512, 1024)])
    slopes = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(slopes, order, atol=0.1)


def spectral_norms(structure, steps, method="bilinear"):
    a, b = structure.matrices()
    system = Discretisation(method).dense(a, b, torch.tensor(steps), torch.float64)
    return torch.linalg.matrix_norm(system.a, 2)


@pytest.mark.parametrize("kind", hippo.KINDS)
def test_hippo_contracts_at_any_step(kind):
    for step, order, method in itertools.product((1e-4, 1e-2, 1.0), (4, 64), ("bilinear", "zoh")):
        assert float(spectral_norms(structures.make(kind, order), [step], method).max()) <= 1 + 1e-10


def test_dissipative_contracts_for_any_parameters():
    torch.manual_seed(71)
    for draw in range(100):
        made = structures.make("dissipative", 24, init=hippo.KINDS[draw % 3])
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn_like(parameter))
        assert float(spectral_norms(made, [float(10 ** -(draw % 5))]).detach().max()) <= 1 + 1e-10


def test_tridiagonal_form_does_not_and_its_guard_mends_it():
    torch.manual_seed(72)
    unstable = 0
    for _ in range(20):
        made = structures.make("tridiag_inverse", 32, init="legt", copies=2)
        with torch.no_grad():
            for name in ("lower", "diagonal", "upper", "shift"):
                getattr(made, name).add_(0.1 * torch.randn(2, 32))
        before = made.matrices()[0].detach()
        worst = torch.linalg.eigvals(before).real.amax(-1)
        unstable += int((worst > 0).sum())
        made.stabilise()
        after = made.matrices()[0].detach()
        shift = (worst + structures.MARGIN).clamp_min(0)
        np.testing.assert_allclose(after, before - shift[:, None, None] * torch.eye(32), atol=1e-9 * float(before.abs().max()))
        assert float(torch.linalg.eigvals(after).real.max()) < 0
    assert unstable > 10


def test_guard_of_the_tridiagonal_form_keeps_its_inverse_finite():
    made = structures.make("tridiag_inverse", 6, init="legt")
    with torch.no_grad():
        made.diagonal[0, 0] = 0.0  # T is singular now: its first pivot is nothing
    made.stabilise()
    assert bool(torch.isfinite(made.matrices()[0]).all())
    assert abs(float(made.diagonal.detach()[0, 0])) >= structures.LEAST_PIVOT


def test_explicit_euler_is_refused_and_would_grow():
    with pytest.raises(SettingError, match="alpha >= 1/2"):
        StateSpaceLayer(1, 64, A="legs", disc="gbt", alpha=0.0)
    made = StateSpaceLayer(1, 64, A="legs", disc="gbt", alpha=0.0, allow_unstable=True, dt_min=0.1, dt_max=0.1)
    radius = torch.linalg.eigvals(made.system().a.detach()).abs().max()
    assert float(radius) == pytest.approx(5.4, abs=0.05)


def test_rate_change_is_exact_for_held_and_for_linear_inputs():
    torch.manual_seed(73)
    u = torch.randn(2, 30, 1)
    for rule, fine in (("right", u.repeat_interleave(3, 1)), ("foh", linear(u, 3))):
        made = layer(8, step=0.2, A="legs", disc="zoh", input_rule=rule, ones=False)
        coarse, finer = made(u), made(fine, 1 / 3)
        picked = finer[:, 2::3] if rule == "right" else finer[:, ::3]
        np.testing.assert_allclose(picked.detach(), coarse.detach(), atol=1e-10)


def linear(u, times):
    """Linear interpolation with `times` steps for each step of u (batch, time, feature)."""
    share = torch.arange(times)[:, None] / times
    between = u[:, :-1, None] * (1 - share) + u[:, 1:, None] * share
    return torch.cat([between.flatten(1, 2), u[:, -1:]], 1)


@pytest.mark.parametrize("rule", ["right", "trapezoid"])
def test_half_the_rate_gives_the_same_signal_at_the_same_amplitude(rule):
    """Both a and b must be made for the new step: with b of the old one the amplitude is halved."""
    t = np.linspace(0, 20, 2001)
    u = torch.from_numpy(np.sin(1.1 * t) + 0.4 * np.cos(2.3 * t))[None, :, None]
    made = layer(16, step=0.01, A="legs", input_rule=rule)
    full, half = made(u).detach()[0, ::2, 0], made(u[:, ::2], 2.0).detach()[0, :, 0]
    assert float((half - full)[200:].norm() / full[200:].norm()) < (0.02 if rule == "right" else 0.001)
    assert float(half[200:].norm() / full[200:].norm()) == pytest.approx(1, abs=0.01)


def test_long_signals_stay_bounded_in_float32():
    torch.manual_seed(74)
    made = StateSpaceLayer(2, 16, A="legs").float()
    with torch.no_grad():
        y = made(torch.randn(1, 2**17, 2).float(), mode="scan")
    assert bool(torch.isfinite(y).all())
    assert float(y.abs().max()) < 100


def test_refusals():
    with pytest.raises(UnknownName, match="dissipative"):
        StateSpaceLayer(2, 4, A="dissipativ")
    with pytest.raises(UnknownName, match="start of dense"):
        StateSpaceLayer(2, 4, A="dense", init="inv")
    with pytest.raises(SettingError, match="this matrix is fixed"):
        StateSpaceLayer(2, 4, A="legs", init="legt")
    with pytest.raises(SettingError, match="divisor"):
        StateSpaceLayer(5, 4, n_ssm=2)
    with pytest.raises(SettingError, match="disc='gbt'"):
        StateSpaceLayer(2, 4, alpha=0.7)
    with pytest.raises(SettingError, match="dt_min"):
        StateSpaceLayer(2, 4, dt_min=0.1, dt_max=0.01)
    with pytest.raises(SettingError, match="kernel_method"):
        StateSpaceLayer(2, 4, A="legs", disc="zoh", kernel_method="frequency")


def test_state_from_rest_differs_from_a_signal_that_begins():
    """Two-point rules: zero before the first sample is an input of its own, half a step of it; nothing before is none."""
    made = layer(4, A="legs", input_rule="trapezoid")
    u = torch.ones(1, 5, 1)
    begins, from_rest = made(u), made(u, state=made.rest(1))
    np.testing.assert_allclose(begins.detach()[0, 0, 0], 0.0, atol=1e-15)
    lead = made.system().lead.detach().sum()
    np.testing.assert_allclose(from_rest.detach()[0, 0, 0], float(lead), rtol=1e-12)
    given = made(u, state=State(torch.ones(1, 1, 4)))
    np.testing.assert_allclose(given.detach()[0, 0, 0], 4.0, rtol=1e-12)
