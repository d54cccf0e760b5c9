"""One layer, many ways to run it: the same numbers whatever mode, kernel algorithm, pieces, batch or order of features."""

import itertools

import numpy as np
import pytest
import torch

from sciml.ssm import State, StateSpaceLayer, structures
from sciml.ssm import system as systems
from sciml.ssm.call import checked
from solvers.errors import DataError, SettingError

DISCRETE = (("bilinear", 0.5), ("zoh", 0.5), ("gbt", 0.8))
RULES = ("right", "trapezoid", "foh")


@pytest.fixture(autouse=True)
def in_float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(2718)
    yield
    torch.set_default_dtype(torch.float32)


def layer(kind="dissipative", features=4, order=6, channels=1, **options):
    """A layer whose parameters have moved away from where they start."""
    made = StateSpaceLayer(features, order, channels, A=kind, **options)
    with torch.no_grad():
        for parameter in made.structure.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return made


def relative(one, other):
    return float((one - other).detach().abs().max() / other.detach().abs().max())


def some_state(made, batch):
    previous = torch.randn(batch, made.d_model) if made.discretisation.uses_previous_input else None
    return State(torch.randn(batch, made.d_model, made.d_state), previous)


# -- modes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 7, 1024])
@pytest.mark.parametrize("kind", structures.KINDS)
def test_recurrence_convolution_and_scan_agree(kind, length):
    settings = itertools.product(DISCRETE, RULES) if length < 1024 else [(("bilinear", 0.5), "right"), (("zoh", 0.5), "foh")]
    for (method, alpha), rule in settings:
        for order, channels in ((5, 1), (8, 3)):
            made = layer(kind, 2, order, channels, n_ssm=2, disc=method, alpha=alpha, input_rule=rule, chunk=100)
            u = torch.randn(2, length, 2)
            for state in (None, some_state(made, 2)):
                whole, end = made(u, 0.7, state, mode="recurrent", return_state=True)
                assert whole.shape == (2, length, 2 * channels)
                for mode in ("convolution", "scan"):
                    y, x = made(u, 0.7, state, mode=mode, return_state=True)
                    assert relative(y, whole) < 1e-10, (method, rule, mode)
                    assert float((x.x - end.x).detach().abs().max()) < 1e-10 * max(1.0, float(end.x.detach().abs().max()))
                    assert relative(made(u, 0.7, state, mode=mode), whole) < 1e-10


@pytest.mark.parametrize("kind", ["legs", "dissipative", "diagonal"])
def test_modes_agree_at_4096_samples_and_in_float32(kind):
    made = layer(kind, 3, 16, input_rule="trapezoid", disc="zoh")
    u = torch.randn(2, 4096, 3)
    exact = made(u, mode="recurrent")
    assert relative(made(u, mode="scan"), exact) < 1e-10
    assert relative(made(u, mode="convolution"), exact) < 1e-10
    single = made.float()
    for mode in ("recurrent", "scan", "convolution"):
        assert relative(single(u.float(), mode=mode).double(), exact) < 1e-4, mode


@pytest.mark.parametrize("rule", RULES)
def test_a_signal_may_be_cut_anywhere(rule):
    made = layer(input_rule=rule, disc="zoh", chunk=16)
    u = torch.randn(2, 61, 4)
    whole, end = made(u, mode="convolution", return_state=True)
    for cuts in ((1,), (30,), (60,), (3, 4, 17, 50)):
        state, pieces = None, []
        for i, part in enumerate(torch.tensor_split(u, cuts, dim=1)):
            y, state = made(part, state=state, mode=("scan", "convolution", "recurrent")[i % 3], return_state=True)
            pieces.append(y)
        assert relative(torch.cat(pieces, 1), whole) < 1e-10
        assert relative(state.x, end.x) < 1e-10


@pytest.mark.parametrize("kind", ["tridiag_inverse", "diagonal"])
@pytest.mark.parametrize("rule", ["right", "foh"])
def test_samples_one_at_a_time(kind, rule, tmp_path):
    """By `step`, by `stream`, and with the state written to a file and read again on the way."""
    from safetensors.torch import load_file, save_file

    made = layer(kind, input_rule=rule, channels=2)
    u = torch.randn(3, 20, 4)
    whole, _ = made(u, 0.5, return_state=True)
    stream, state, other = made.stream(0.5), None, None
    for k in range(20):
        y, state = made.step(u[:, k], state, 0.5)
        z, other = stream(u[:, k], other)
        assert relative(y, whole[:, k]) < 1e-10
        assert relative(z, whole[:, k]) < 1e-10
        if k == 11:
            save_file({name: v.detach().contiguous() for name, v in state._asdict().items() if v is not None}, tmp_path / "s")
            state = State(**load_file(tmp_path / "s"))


def test_auto_chooses_what_it_must():
    made = layer()
    u, long = torch.randn(2, 6, 4), torch.randn(2, 300, 4)
    chosen = lambda *args, **kwargs: checked(made, *args, **kwargs).mode  # noqa: E731
    assert chosen(u.mT, 1.0, None, None, None, False) == "convolution"
    assert chosen(long.mT, 1.0, None, None, None, True) == "scan"
    assert chosen(u.mT[..., :1], 1.0, None, None, None, False) == "recurrent"
    assert chosen(u.mT, torch.ones(2, 6), None, None, None, False) == "recurrent"


# -- kernels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 13, 64, 1000])
def test_kernels_of_matrices_agree_with_one_power_after_the_other(length):
    made = layer("dense", 3, 7, 2, disc="zoh", input_rule="foh")
    system, c = made.system(), made.C[0]
    oracle = systems.sequential(system.a, system.inputs(), c, length)
    assert relative(systems.squaring(system.a, system.inputs(), c, length), oracle) < 1e-12
    assert relative(systems.two_level(system.a, system.inputs(), c, length), oracle) < 1e-12


@pytest.mark.parametrize("order", [1, 6, 7])
def test_kernel_of_modes_is_that_of_its_real_matrix(order):
    for (method, alpha), rule in itertools.product(DISCRETE, RULES):
        made = layer("diagonal", 4, order, 3, n_ssm=2, disc=method, alpha=alpha, input_rule=rule)
        a, b = made.structure.matrices()
        steps = made.steps_of(torch.tensor(1.0))
        spread = made.discretisation.dense(a.repeat_interleave(2, 0), b.repeat_interleave(2, 0), steps, torch.float64)
        oracle = systems.sequential(spread.a, spread.inputs(), made.C[0], 300)
        found = made.system().responses(made.C[0], 300)
        assert relative(found, oracle) < 1e-12, (method, rule)
        x = torch.randn(5, 4, order)
        assert relative(made.system().advance(x), spread.advance(x)) < 1e-12


@pytest.mark.parametrize("kind", ["legs", "tridiag_inverse", "dplr"])
@pytest.mark.parametrize(("alpha", "rule"), [(0.5, "right"), (0.5, "trapezoid"), (0.8, "foh"), (1.0, "right")])
def test_kernels_from_transfer_functions(kind, alpha, rule):
    for order, length in ((7, 100), (32, 1024)):
        made = layer(kind, 4, order, 2, n_ssm=2, disc="gbt", alpha=alpha, input_rule=rule, kernel_method="frequency")
        if kind == "tridiag_inverse":
            made.after_update()  # a kernel of an unstable system means nothing
        system = made.system()
        oracle = systems.sequential(system.a, system.inputs(), made.C[0], length)
        found = made._responses(system, made.C[0], length, 1.0)
        assert relative(found, oracle) < 1e-8, (order, length)
        u = torch.randn(2, length, 4)
        assert relative(made(u), made(u, mode="recurrent")) < 1e-8


def test_transfer_functions_are_worked_through_in_blocks(monkeypatch):
    made = layer("legs", 2, 6, kernel_method="frequency")
    whole = made.kernel(50)
    monkeypatch.setattr("sciml.ssm.frequency.BLOCK", 100)
    assert relative(made.kernel(50), whole) < 1e-13


def test_two_level_kernel_in_float32_at_16384_samples():
    for kind in ("legs", "legt", "diagonal"):
        made = StateSpaceLayer(4, 64, A=kind).float()  # first, so that both have the same, rounded parameters
        single = made.kernel(16384).double()
        exact = made.double().kernel(16384)
        error = (single - exact).abs().amax(-1) / exact.abs().amax(-1)
        assert float(error.detach().max()) < 1e-5, kind


def test_large_legs_uses_its_closed_form_and_it_is_right():
    made = StateSpaceLayer(2, 256, A="legs")
    assert made.by_frequency
    system = made.system()
    assert relative(made.kernel(200), systems.two_level(system.a, system.inputs(), made.C[0], 200)[0].transpose(0, 1)) < 1e-8


# -- time steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dissipative", "diagonal"])
def test_steps_by_row_and_by_sample(kind):
    made = layer(kind, input_rule="trapezoid")
    u, state = torch.randn(3, 25, 4), some_state(made, 3)
    by_row = torch.tensor([0.5, 2.0, 0.5])
    alone = torch.cat([made(u[i : i + 1], float(by_row[i]), State(*(v[i : i + 1] for v in state))) for i in range(3)])
    for mode in ("convolution", "scan", "recurrent"):
        y, end = made(u, by_row, state, mode=mode, return_state=True)
        assert relative(y, alone) < 1e-10
        assert end.x.shape == (3, 4, 6)
    assert relative(made(u, by_row[:, None].expand(3, 25), state), alone) < 1e-10


@pytest.mark.parametrize("kind", ["dissipative", "diagonal"])
def test_unequal_steps_are_a_path_through_single_steps(kind, monkeypatch):
    made = layer(kind, input_rule="foh", disc="zoh")
    u, dt = torch.randn(2, 9, 4), torch.rand(2, 9) + 0.1
    y, end = made(u, dt, return_state=True)
    for row in range(2):
        state = None
        for k in range(9):
            z, state = made.step(u[row : row + 1, k], state, float(dt[row, k]))
            assert relative(z[0], y[row, k]) < 1e-10
        assert relative(state.x[0], end.x[row]) < 1e-10
    monkeypatch.setattr("sciml.ssm.layer.STEPS_AT_ONCE", 1)
    assert relative(made(u, dt), y) < 1e-12


def test_a_step_of_no_length_changes_nothing():
    made = layer(input_rule="right", disc="zoh")
    u, dt = torch.randn(1, 6, 4), torch.ones(1, 6)
    dt[0, 3] = 0.0
    _, there = made(u, dt, return_state=True)
    skipped = torch.cat([u[:, :3], u[:, 4:]], 1)
    _, here = made(skipped, return_state=True)
    assert relative(there.x, here.x) < 1e-12


def test_missing_samples_under_zero_order_hold_cost_nothing_when_the_input_was_constant():
    """A gap of three steps is one step of three times the length: exact where the input is held."""
    made = layer("legs", disc="zoh", input_rule="right")
    u = torch.randn(1, 10, 4).repeat_interleave(3, 1)
    full = made(u)[:, 2::3]
    assert relative(made(u[:, 2::3], torch.full((1, 10), 3.0)), full) < 1e-10


def test_refused_steps_states_and_lengths():
    made, u = layer(), torch.randn(3, 8, 4)
    with pytest.raises(DataError, match=r"one for each row \(3,\)"):
        made(u, torch.ones(8))
    with pytest.raises(SettingError, match="mode='recurrent' or 'auto'"):
        made(u, torch.ones(3, 8), mode="convolution")
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="dt > 0"):
            made(u, bad)
    with pytest.raises(DataError, match="4 features"):
        made(torch.randn(3, 8, 5))
    with pytest.raises(DataError, match="whole numbers from 1 to 8"):
        made(u, lengths=torch.tensor([8, 9, 1]))
    with pytest.raises(DataError, match="a state of shape"):
        made(u, state=made.rest(2))
    with pytest.raises(SettingError, match="mode='fast'"):
        made(u, mode="fast")
    both = layer(bidirectional=True)
    with pytest.raises(SettingError, match="bidirectional=False"):
        both(u, return_state=True)
    with pytest.raises(SettingError, match="bidirectional=False"):
        both.stream()


# -- causality, lengths, directions, independence ----------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_the_future_does_not_matter(rule):
    made = layer("legt", input_rule=rule)
    u = torch.randn(2, 200, 4)
    other = u.clone()
    other[:, 120:] += 10
    for mode in ("convolution", "scan", "recurrent"):
        y, z = made(u, mode=mode), made(other, mode=mode)
        assert float((y - z)[:, :120].detach().abs().max()) < 1e-12 * float(y.detach().abs().max()) * 100
    probe = torch.randn(1, 30, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(made(probe, mode="recurrent")[:, 12].sum(), probe)
    assert float(gradient[:, 13:].abs().max()) == 0


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_padding_does_not_matter(rule, bidirectional):
    made = layer(input_rule=rule, bidirectional=bidirectional, chunk=8)
    lengths = torch.tensor([5, 31, 16])
    u = torch.randn(3, 31, 4)
    for mode in ("convolution", "scan", "recurrent"):
        y = made(u, lengths=lengths, mode=mode)
        for row, n in enumerate(lengths.tolist()):
            alone = made(u[row : row + 1, :n], mode=mode)
            assert relative(y[row : row + 1, :n], alone) < 1e-10
        if not bidirectional:
            _, end = made(u, lengths=lengths, mode=mode, return_state=True, state=some_state(made, 3))
            state = some_state(made, 3)
            _, end = made(u, lengths=lengths, mode=mode, return_state=True, state=state)
            for row, n in enumerate(lengths.tolist()):
                mine = State(*(None if v is None else v[row : row + 1] for v in state))
                _, alone = made(u[row : row + 1, :n], state=mine, mode=mode, return_state=True)
                assert relative(end.x[row], alone.x[0]) < 1e-10
                assert end.u is None or torch.equal(end.u[row], alone.u[0])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dt", [1.0, "rows", "samples"])
def test_both_directions_are_two_sums(rule, dt):
    """y_k = sum over j <= k of K_{k-j} u_j + the same from the end with the second C; "right" counts the present once."""
    made = layer(features=2, order=4, channels=2, input_rule=rule, bidirectional=True, disc="zoh")
    u = torch.randn(2, 9, 2)
    steps = {"rows": torch.tensor([0.5, 1.5]), "samples": torch.rand(2, 9) + 0.2}.get(dt, dt)
    y = made(u, steps)
    # The other direction: a causal layer with the second C, on the reversed signal with the steps in reverse.
    forward, backward = (StateSpaceLayer(2, 4, 2, input_rule=rule, disc="zoh") for _ in range(2))
    for one, c in ((forward, made.C[:1]), (backward, made.C[1:])):
        one.load_state_dict(made.state_dict() | {"C": c})
    with torch.no_grad():
        backward.D.zero_()
    turned = steps
    if dt == "samples":
        turned = torch.cat([steps[:, :1], steps[:, 1:].flip(1)], 1)  # into reversed sample k leads the step out of it
    expected = backward(u.flip(1), turned).flip(1)
    if rule == "right":
        here = steps if dt == "samples" else torch.as_tensor(steps).expand(2) if dt == "rows" else None
        for row, k in itertools.product(range(2), range(9)):
            if dt == "samples":
                out = float(here[row, (k + 1) % 9])  # the step out of sample k (of the last one: the unused first)
                out = float(steps[row, 0]) if k == 8 else out
            else:
                out = float(here[row]) if dt == "rows" else 1.0
            lead = made.system(out).lead
            expected[row, k] -= ((made.C[1] @ lead[..., None])[..., 0] * u[row, k, :, None]).flatten()
    assert relative(y, forward(u, steps) + expected) < 1e-10


def test_both_directions_by_explicit_loops():
    made = layer(features=1, order=3, bidirectional=True)
    u = torch.randn(1, 8, 1)
    k = made.kernel(8).detach()[:, 0]
    y = torch.zeros(8)
    for i, j in itertools.product(range(8), range(8)):
        y[i] += u[0, j, 0] * (k[0, i - j] if j <= i else k[1, j - i])
    y += made.D.detach()[0, 0] * u[0, :, 0]
    assert relative(made(u)[0, :, 0], y) < 1e-12


def test_features_and_rows_are_independent():
    made = layer(features=6, channels=2)
    u, order = torch.randn(4, 40, 6), torch.tensor([3, 0, 5, 1, 4, 2])
    y = made(u)
    assert relative(torch.cat([made(u[i : i + 1]) for i in range(4)]), y) < 1e-12
    with torch.no_grad():
        for name in ("log_dt", "D"):
            getattr(made, name).copy_(getattr(made, name)[order])
        made.C.copy_(made.C[:, order])
    shuffled = made(u[..., order]).unflatten(-1, (6, 2))
    assert relative(shuffled, y.unflatten(-1, (6, 2))[:, :, order]) < 1e-12


def test_degenerate_shapes_and_autocast():
    for length in (1, 2, 47, 48, 49, 97):
        made = layer(features=2, order=1)
        assert made(torch.randn(1, length, 2)).shape == (1, length, 2)
    made = layer()
    with torch.no_grad():
        made.structure.beta.zero_()
    u = torch.randn(2, 64, 4)
    assert relative(made(u), u * made.D[:, 0]) < 1e-12  # B = 0: nothing but D
    single = StateSpaceLayer(4, 8).float()
    v = u.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = single(v)
        half = single(v.bfloat16())
    assert mixed.dtype == torch.float32
    assert half.dtype == torch.bfloat16
    assert relative(mixed, single(v)) == 0


def test_memory_of_a_kernel_is_far_below_the_krylov_matrix():
    """(H, N, L) = (64, 64, 16384): squaring holds H N L numbers; the two-level kernel less than an eighth of that."""
    made = StateSpaceLayer(64, 64, A="legs").float()
    with torch.no_grad():
        system, c = made.system(), made.C[0]
        peak = largest_live_bytes(lambda: systems.two_level(system.a, system.inputs(), c, 16384))
        squared = largest_live_bytes(lambda: systems.squaring(system.a, system.inputs(), c, 2048))
    assert peak < 64 * 64 * 16384 * 4 / 8
    assert squared > 64 * 64 * 2048 * 4  # the measure itself sees what squaring holds


def test_memory_of_a_scan_does_not_depend_on_the_length():
    made = layer("dissipative", 8, 16, chunk=32)
    ends = []
    for length in (512, 4096):
        u = torch.randn(1, 8, length)
        with torch.no_grad():
            from sciml.ssm import modes

            system = made.system()
            peak = largest_live_bytes(lambda u=u, s=system: modes.end_state(s, u, modes.Beginning(None), 32), u)
        ends.append(peak)
    assert ends[1] < 1.2 * ends[0]


def largest_live_bytes(call, *given):
    """Most bytes that tensors made inside `call` held at once, watched at every operation; those given are not counted."""
    import gc
    import weakref

    from torch.utils._python_dispatch import TorchDispatchMode

    live, most = {}, 0
    known = {tensor.untyped_storage().data_ptr() for tensor in given}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal most
            out = func(*args, **(kwargs or {}))
            for tensor in [out] if isinstance(out, torch.Tensor) else out if isinstance(out, (tuple, list)) else []:
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    key = storage.data_ptr()
                    if key not in live and key not in known:
                        live[key] = storage.nbytes()
                        weakref.finalize(storage, live.pop, key, None)
            most = max(most, sum(live.values()))
            return out

    gc.collect()
    with Watch():
        call()
    return most


def test_outputs_are_numpy_convolutions():
    made = layer(features=1, order=5)
    u = torch.randn(1, 300, 1)
    k = made.kernel(300).detach()[0, 0].numpy()
    expected = np.convolve(u[0, :, 0], k)[:300] + float(made.D.detach()[0, 0]) * u[0, :, 0].numpy()
    np.testing.assert_allclose(made(u).detach()[0, :, 0], expected, atol=1e-11 * np.abs(expected).max())
