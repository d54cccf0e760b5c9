"""MgNO: its linear layer is one V-cycle, exactly linear, right at every boundary and size; refusals are clear."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import sciml
from benchmarks import mgno_literal as literal
from pdes import Dataset
from sciml.checks import moving_data, smooth_data
from sciml.operators.mgno import (
    PRESETS,
    MgLinear,
    MgNO,
    coarse_size,
    level_count,
    prolongation,
    restriction,
    stencils,
    transfers,
)
from sciml.operators.mgno.grids import volumes
from sciml.operators.mgno.growth import survivors
from sciml.operators.mgno.network import MgNetwork
from sciml.operators.mgno.stencils import Stencil
from sciml.tasks import Signature, as_task
from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid

KINDS = [("interior", "dirichlet"), ("node", "dirichlet"), ("node", "neumann"), ("cell", "dirichlet"), ("cell", "neumann"),
         ("periodic", "periodic")]  # fmt: skip
CYCLES = ["fas", "correction", "additive"]


def layer(grid, c_in=2, c=3, **settings):
    torch.manual_seed(17)
    settings = {"levels": level_count(grid, 0), "post": 1} | settings
    return MgLinear(c_in, c, grid, **settings).double()


FORMS = [
    *({"cycle": cycle} for cycle in CYCLES),
    {"stencil": "depthwise"},
    {"stencil": "mixed", "cycle": "correction"},
    {"share": "coarse"},
    {"share": "all", "cycle": "correction"},
    {"transfer": "dense", "levels": 2},
    {"transfer": "released", "levels": 2},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_exactly_linear(form, kind, dimension):
    odd = kind[0] in ("interior", "node")
    grid = Grid.box(kind[0], {1: 32, 2: 18, 3: 8}[dimension] + odd, dimension=dimension, boundary=kind[1])
    net = layer(grid, **form)
    f, g = torch.randn(2, 2, 2, *grid.shape, dtype=torch.float64)
    with torch.no_grad():
        both, sum_of_both = net(2.5 * f - 3 * g), 2.5 * net(f) - 3 * net(g)
        assert (both - sum_of_both).abs().max() < 1e-12 * max(1, both.abs().max())
        assert not net(torch.zeros_like(f)).any()


def test_a_norm_makes_it_nonlinear():
    grid = Grid.box("cell", 16, dimension=2, boundary="dirichlet")
    torch.manual_seed(3)
    cycle = {"levels": 2}
    net = MgNetwork(1, 1, grid, cycle, width=4, depth=1, norm="rms")
    x = torch.randn(2, 1, 16, 16)
    first = net.layers[0](x)
    scaled = net._layer(net.layers[0], net.locals[0], 3 * x.movedim(1, -1)) - net.locals[0](3 * x.movedim(1, -1))
    plain = MgNetwork(1, 1, grid, cycle, width=4, depth=1)
    assert not torch.allclose(scaled.movedim(-1, 1), 3 * first, rtol=1e-2)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [16, 17, 22, 31])
def test_transfers_are_adjoint_and_interpolate_lines(kind, n):
    axis = Grid.box(kind[0], n, dimension=1, boundary=kind[1]).axes[0]
    coarse = Axis(axis.name, coarse_size(axis), axis.start, axis.stop, axis.kind, axis.boundary)
    p, r = prolongation(axis), restriction(axis)
    np.testing.assert_allclose(volumes(coarse)[:, None] * r, axis.spacing / coarse.spacing * p.T * volumes(axis), rtol=1e-14)
    x, fine = coarse.coordinates(), axis.coordinates()
    inside = (fine >= x[0]) & (fine <= x[-1])
    np.testing.assert_allclose((p @ (3 * x - 1))[inside], (3 * fine - 1)[inside], rtol=0, atol=1e-12)
    if "dirichlet" not in kind:
        np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-14)
        if n % 2 == 0 or axis.kind == "node":
            np.testing.assert_allclose(r.sum(1)[[0, -1]], 1.0, rtol=0, atol=0.25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(16,), (17,), (9, 12), (4, 6, 5)])
def test_transfers_by_interpolation_and_by_matrices_are_the_same(kind, shape, monkeypatch):
    axes = tuple(
        replace(Grid.box(kind[0], n, dimension=1, boundary=kind[1]).axes[0], name=f"x{i}") for i, n in enumerate(shape)
    )
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(2, *shape, 3, dtype=torch.float64, generator=rng)
    coarse = torch.randn(2, *map(coarse_size, axes), 3, dtype=torch.float64, generator=rng)
    found = []
    for large in (1, 1000):
        monkeypatch.setattr(transfers, "LARGE", dict.fromkeys((1, 2, 3), large))
        found.append((transfers.summed(x, axes), transfers.prolong(coarse, axes, shape)))
    for interpolated, multiplied in zip(*found, strict=True):
        torch.testing.assert_close(interpolated, multiplied, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_short_lines_are_convolved_like_long_ones(kind, monkeypatch):
    axis = Grid.box(kind[0], 9, dimension=1, boundary=kind[1]).axes[0]
    stencil = Stencil(3, 4, [axis]).double()
    x = torch.randn(2, 9, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for short in (0, 1000):
        monkeypatch.setattr(stencils, "SHORT", short)
        y = stencil(x)
        found.append((y, *torch.autograd.grad(y.square().sum(), (x, stencil.weight))))
    for convolved, multiplied in zip(*found, strict=True):
        torch.testing.assert_close(convolved, multiplied, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("cycle", CYCLES)
def test_dirichlet_walls_that_are_points_stay_zero(cycle):
    grid = Grid.box("node", 17, dimension=2, boundary="dirichlet")
    out = layer(grid, cycle=cycle)(torch.randn(1, 2, 17, 17, dtype=torch.float64))
    assert out.abs().max() > 1e-3
    for edge in (out[..., 0, :], out[..., -1, :], out[..., 0], out[..., -1]):
        assert not edge.any()


LEARNED_SIDES = Axis("x", 9, 0.0, 1.0, "cell", ("free", "dirichlet"))
SQUARE = Axis("x", 8, 0.0, 1.0, "periodic", ("periodic", "periodic")), Axis("y", 9, 0.0, 1.0, "cell", ("neumann", "free"))
DIFFERENTIATED = [
    *[(Grid.box(kind[0], 9, dimension=1, boundary=kind[1]), {"cycle": cycle}) for kind in KINDS for cycle in CYCLES],
    (Grid((LEARNED_SIDES,)), {"stencil": "depthwise"}),
    (Grid.box("interior", 9, dimension=1, boundary="dirichlet"), {"transfer": "dense"}),
    (Grid.box("periodic", 8, dimension=1), {"transfer": "released"}),
    (Grid.box("cell", 9, dimension=1, boundary="dirichlet"), {"share": "all", "cycle": "correction"}),
    (Grid(SQUARE), {"post": 0}),
]


@pytest.mark.parametrize(("grid", "form"), DIFFERENTIATED)
def test_gradients(grid, form):
    net = layer(grid, 1, 2, levels=2, **form)
    f = torch.randn(1, 1, *grid.shape, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in net.named_parameters()]
    assert torch.autograd.gradcheck(
        lambda f, *weights: torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (f,)),
        (f, *(p.detach().requires_grad_() for p in net.parameters())),
    )


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize(("pre", "post", "coarsest"), [(1, 0, 1), (1, 1, 2), ((2, 1), (1, 0), 3)])
def test_no_parameter_is_idle(form, pre, post, coarsest):
    grid = Grid.box("cell", 16, dimension=2, boundary="free")
    net = layer(grid, pre=pre, post=post, coarsest=coarsest, **form)
    net(torch.randn(2, 2, 16, 16, dtype=torch.float64)).square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_too_many_levels_name_those_that_work():
    grid = Grid.box("interior", 20, dimension=2, boundary="dirichlet")
    with pytest.raises(GridError, match=r"9 multigrid levels.*at most 5 .*20 -> 10 -> 5 -> 2 -> 1"):
        level_count(grid, 9)
    assert level_count(grid, 5) == 5
    with pytest.raises(GridError, match="at most"):
        sciml.fit(MgNO(levels=12), smooth_data(), epochs=1, progress=False)
    with pytest.raises(SettingError, match="cycle"):
        MgNO(cycle="w")
    with pytest.raises(SettingError, match="depth"):
        MgNO(depth=0)


OPTIONS = [{"coordinates": True}, {"skip": True}, {"cycle": "correction", "post": 1}, {"levels": 2}, {"head": "mg"},
           {"share": "coarse"}, {"norm": "rms"}, {"init": "scaled", "activation": "silu"}, {"stencil": "mixed"}]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_train_save_and_answer_elsewhere(options, tmp_path):
    data = smooth_data()
    result = sciml.fit(MgNO(width=4, depth=2, **options), data, epochs=3, progress=False, validation=False)
    inputs = data.inputs["a"][:2][:, None]
    path = tmp_path / "mgno.safetensors"
    result.operator.save(path)
    assert np.array_equal(sciml.load(path).predict(inputs), result.operator.predict(inputs))
    other = smooth_data(2, 26).inputs["a"][:][:, None]
    assert result.operator.predict(other).shape == (2, 1, 26, 26)


def test_a_step_starts_from_the_last_frame():
    data = moving_data(2)
    task = as_task("autoregressive", data, history=2)
    operator = MgNO(width=4, depth=1)
    operator.bind(task)
    with torch.no_grad():
        operator.module.head.weight.zero_()
    x = torch.randn(3, *task.batch([0]).inputs.shape[1:])
    assert torch.equal(operator.module(x), x[:, 1:2])
    torch.testing.assert_close(operator.predict(x), x[:, 1:2])  # in physical units, too
    final = MgNO(width=4, depth=1)
    final.bind(as_task("final", data))
    with torch.no_grad():
        final.module.head.weight.zero_()
        assert not final.module(x[:, 1:]).any()


@pytest.mark.parametrize("side", ["dirichlet", "neumann", "outflow"])
def test_means_are_taken_off_where_no_wall_holds_the_answer(side):
    rng = np.random.default_rng(3)
    grid = Grid.box("cell", 16, dimension=2, boundary=side)
    fields = {"u": 1 + rng.random((4, 5, 16, 16))}
    data = Dataset(fields=fields, grid=grid, times=np.linspace(0, 1, 5), parameters={"nu": 20 + rng.random(4)})
    operators = {kind: MgNO(width=4, depth=1) for kind in ("final", "autoregressive")}
    for kind, operator in operators.items():
        operator.bind(as_task(kind, data))
        assert operator.output_normaliser.shift.any() != (side == "dirichlet")
        assert operator.input_normaliser.shift[1] > 20  # a parameter always loses its mean
    step = operators["autoregressive"]
    for name in ("shift", "scale"):
        assert getattr(step.input_normaliser, name)[0] == getattr(step.output_normaliser, name)[0]
    assert operators["final"].input_normaliser.shift[0] > 1


def test_an_input_is_wanted_for_what_is_added():
    data = smooth_data()
    two = Dataset(fields={"u": data.fields["u"], "v": data.fields["u"]}, inputs=data.inputs, grid=data.grid)
    with pytest.raises(SettingError, match="skip=True with inputs a and outputs u, v"):
        sciml.fit(MgNO(width=4, depth=1, skip=True), two, epochs=1, progress=False)


def test_large_rates_do_not_let_a_cycle_explode():
    data = smooth_data(16, kind="cell")
    operator = MgNO(width=16, depth=2, cycle="correction", share="coarse", stencil="mixed", growth=0)
    operator.bind(as_task("steady", data))
    before = {name: p.detach().clone() for name, p in operator.module.named_parameters()}
    sciml.fit(operator, data, epochs=1, batch_size=16, lr=1.0, progress=False, validation=False)
    after = dict(operator.module.named_parameters())
    weights = [name for name in before if name.endswith("weight")]
    assert len(weights) > 20
    for name in weights:
        old = before[name]
        assert (after[name] - old).abs().max() < 0.04 * old[0].numel() ** -0.5, name  # one step of Adam, at whatever rate


def test_hidden_layers_have_the_published_number_of_weights():
    """9 C F (2 steps - 1) + (levels - 1) 9 (C^2 + F^2) + C^2 sum of P's taps + (F C + C), then the head."""
    square = Grid.box("cell", 64, dimension=2, boundary="dirichlet")
    layers = [(1, 24), (24, 24), (24, 24), (24, 24)]
    taps = 5 * 16
    each = [9 * c * f * (2 * 7 - 1) + 5 * 9 * (c * c + f * f) + c * c * taps + f * c + c for f, c in layers]
    task = Signature("steady", ("a",), ("u",), square)
    network = MgNO(**PRESETS["paper"]).build(task)
    assert sum(p.numel() for p in network.parameters()) == sum(each) + 24 == 572_661


@pytest.mark.parametrize("name", sorted(literal.COUNTS))
def test_the_literal_networks_have_the_published_number_of_weights(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in literal.network(name).parameters()) == literal.COUNTS[name]


def test_the_published_layer_is_one_of_ours():
    square = Grid.box("cell", 32, dimension=2, boundary="dirichlet")
    torch.manual_seed(5)
    theirs = literal.network("darcy-rough", width=6, levels=4)
    ours = MgNetwork(1, 1, square, {"levels": 4, "transfer": "released"}, width=6, depth=4)
    ours.load_state_dict(literal.converted(theirs))
    x = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        a, b = ours(x), theirs(x)
    assert (a - b).abs().max() < 1e-6 * b.abs().max()
    with pytest.raises(GridError, match="even and odd sizes where the training grid has them"):
        ours(torch.randn(1, 1, 25, 25))


def test_kernels_that_need_nested_grids_say_so():
    rough = Grid.box("cell", 100, dimension=2, boundary="dirichlet")
    with pytest.raises(GridError, match=r"100 -> 50 -> 25 -> 13.*at most 3 levels.*transfer='separable'"):
        MgLinear(1, 2, rough, levels=5, transfer="dense")
    with pytest.raises(SettingError, match="transfer='separable'"):
        MgLinear(1, 2, rough, levels=2, transfer="dense", share="all")


def test_recomputing_gives_the_same_gradient():
    square = Grid.box("interior", 15, dimension=2, boundary="dirichlet")
    x, gradients = torch.randn(2, 1, 15, 15), []
    for recompute in (False, True):
        torch.manual_seed(7)
        net = MgNetwork(1, 1, square, {"levels": 3}, width=4, depth=2, recompute=recompute)
        net(x).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
@pytest.mark.parametrize(
    ("kind", "boundary"),
    [("periodic", "periodic"), ("cell", "free"), ("node", "dirichlet"), ("node", "neumann"), ("interior", "dirichlet")],
)
def test_a_compiler_sees_one_graph(kind, boundary):
    grid = Grid.box(kind, 17 if kind == "node" else 16, dimension=2, boundary=boundary)
    net = MgNetwork(1, 1, grid, {"levels": 2}, width=4, depth=1)
    torch._dynamo.reset()
    found = torch._dynamo.explain(net)(torch.randn(2, 1, *grid.shape))
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
def test_compiled_equals_eager():
    square = Grid.box("cell", 16, dimension=2, boundary="neumann")
    torch.manual_seed(7)
    net = MgNetwork(1, 1, square, {"levels": 2, "stencil": "mixed"}, width=4, depth=1)
    x = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net)(x), net(x), rtol=1e-5, atol=1e-6)


def test_eight_samples_are_learned():
    data = smooth_data(8, 16)
    result = sciml.fit(
        MgNO(width=16, depth=3), data, epochs=400, lr=4e-3, batch_size=8, seed=1, progress=False, validation=False
    )
    assert result.history["loss"][-1] < 1e-2


@pytest.mark.parametrize("share", ["none", "coarse"])
def test_answers_on_finer_grids(share):
    """Trained at 24 points; at 48 not much is lost, at 12 the answer is still one."""
    operator = MgNO(width=12, depth=2, share=share, stencil="mixed", growth=0)
    sciml.fit(operator, smooth_data(32, 24), epochs=20, lr=4e-3, batch_size=8, seed=1, progress=False, validation=False)
    here, finer, coarser = (
        float(sciml.evaluate(operator, smooth_data(8, n)).scores[0].errors["relative_l2"].mean()) for n in (24, 48, 12)
    )
    assert here < 0.15
    assert finer < here + 0.05, (here, finer)
    assert coarser < 1


def test_coarse_grids_first():
    """A smooth target survives one halving, a checkerboard none; a training that grows ends on the finest grid."""
    square = Grid.box("cell", 64, dimension=2, boundary="dirichlet")
    x, y = np.meshgrid(*[axis.coordinates() for axis in square.axes], indexing="ij")
    smooth = np.sin(np.pi * x) * np.sin(np.pi * y)
    assert survivors(smooth[None, None], square, 2) == 2
    assert survivors(np.sign(np.sin(31 * np.pi * x)) * smooth[None, None], square, 2) == 0
    assert survivors(smooth[None, None, ::8, ::8], Grid.box("cell", 8, dimension=2, boundary="dirichlet"), 2) == 0
    data = smooth_data(16, 64)
    operator = MgNO(width=6, depth=2)
    operator.bind(as_task(None, data))
    assert operator.halvings == 1
    silent = [smooth.weight for smooth in operator.module.layers[0].weights[0].smoothers]
    assert not any(weight.any() for weight in silent)
    sciml.fit(operator, data, epochs=6, progress=False, validation=False)
    assert all(weight.any() for weight in silent)
