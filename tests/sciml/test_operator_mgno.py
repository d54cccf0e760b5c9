"""MgNO: its linear layer is one V-cycle, exactly linear, right at every boundary and size; refusals are clear."""

import itertools

import numpy as np
import pytest
import torch

import sciml
from sciml.checks import smooth_data
from sciml.operators.mgno import MgLinear, MgNO, coarse_size, level_count, prolongation, restriction
from solvers.errors import GridError, SettingError
from solvers.grid import Axis, Grid

KINDS = [("interior", "dirichlet"), ("node", "dirichlet"), ("node", "neumann"), ("cell", "dirichlet"), ("cell", "neumann"),
         ("periodic", "periodic")]  # fmt: skip
CYCLES = ["fas", "correction"]


def layer(grid, c_in=2, c=3, **settings):
    torch.manual_seed(17)
    settings = {"levels": level_count(grid, 0), "post": 1} | settings
    return MgLinear(c_in, c, grid, **settings).double()


def stencil(axis: Axis, n: int) -> np.ndarray:
    """Second differences [-1, 2, -1] with the ghost values of the axis, without h."""
    a = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    if axis.kind == "periodic":
        a[0, -1] -= 1
        a[-1, 0] -= 1
    elif axis.kind == "cell":
        a[0, 0] += 1 if axis.boundary[0] == "dirichlet" else -1
        a[-1, -1] += 1 if axis.boundary[1] == "dirichlet" else -1
    return a


def by_hand(grid: Grid, levels: int, omega: float = 0.8, **settings) -> tuple[MgLinear, np.ndarray, np.ndarray]:
    """A layer whose weights are those of a V-cycle for the 2-D five-point stencil, the same cycle as a matrix, and A."""
    net = layer(grid, 1, 1, levels=levels, cycle="correction", **settings)
    five = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)
    point = torch.zeros(3, 3, dtype=torch.float64)
    point[1, 1] = omega / 4
    with torch.no_grad():
        for steps, values in ((net.A, five), (net.S, point)):
            for conv in itertools.chain.from_iterable(steps):
                conv.weight.copy_(values.expand_as(conv.weight))
        for conv in net.residual:
            conv.weight.copy_(five.expand_as(conv.weight))
        for conv in net.R:
            conv.weight.fill_(4.0)  # the stencil leaves out 1 / h^2, which is four times smaller on the next grid
        for conv in net.P:
            conv.weight.fill_(1.0)

    def matrix(axis: Axis, level: int) -> tuple[np.ndarray, np.ndarray]:
        n = axis.size
        a = np.kron(stencil(axis, n), np.eye(n)) + np.kron(np.eye(n), stencil(axis, n))
        one = np.eye(n * n)
        smooth = omega / 4 * one
        pre, post = (net_steps["coarsest"], 0) if level == levels - 1 else (net_steps["pre"], net_steps["post"])
        b = np.zeros_like(a)  # b maps f to u
        for _ in range(pre):
            b = b + smooth @ (one - a @ b)
        if level < levels - 1:
            coarse = Axis(axis.name, coarse_size(axis), axis.start, axis.stop, axis.kind, axis.boundary)
            p, r = prolongation(axis), restriction(axis)
            inner, _ = matrix(coarse, level + 1)
            b = b + np.kron(p, p) @ inner @ (4.0 * np.kron(r, r)) @ (one - a @ b)
        for _ in range(post):
            b = b + smooth @ (one - a @ b)
        return b, a

    net_steps = {"pre": 1, "post": 1, "coarsest": 2} | {k: v for k, v in settings.items() if k in ("pre", "post", "coarsest")}
    cycle, operator = matrix(grid.axes[0], 0)
    return net, cycle, operator


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_exactly_linear(cycle, kind, dimension):
    grid = Grid.box(kind[0], {1: 33, 2: 18, 3: 9}[dimension], dimension=dimension, boundary=kind[1])
    net = layer(grid, cycle=cycle)
    f, g = torch.randn(2, 2, 2, *grid.shape, dtype=torch.float64)
    with torch.no_grad():
        both, sum_of_both = net(2.5 * f - 3 * g), 2.5 * net(f) - 3 * net(g)
        assert (both - sum_of_both).abs().max() < 1e-12 * max(1, both.abs().max())
        assert not net(torch.zeros_like(f)).any()


CASES = [
    ("interior", "dirichlet", 15, 3),
    ("cell", "dirichlet", 16, 3),
    ("cell", "neumann", 12, 2),
    ("periodic", "periodic", 16, 3),
]


@pytest.mark.parametrize(("kind", "boundary", "size", "levels"), CASES)
@pytest.mark.parametrize("steps", [{"pre": 1, "post": 0}, {"pre": 1, "post": 1}, {"pre": 2, "post": 1, "coarsest": 3}])
def test_equals_one_geometric_cycle(kind, boundary, size, levels, steps):
    grid = Grid.box(kind, size, dimension=2, boundary=boundary)
    net, cycle, _ = by_hand(grid, levels, **steps)
    f = torch.randn(2, 1, *grid.shape, dtype=torch.float64)
    with torch.no_grad():
        ours = net(f).reshape(2, -1).numpy()
    expected = f.reshape(2, -1).numpy() @ cycle.T
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize(("kind", "size"), [(("interior", "dirichlet"), 31), (("periodic", "periodic"), 32)])
def test_hand_set_weights_solve_poisson(kind, size):
    """V(1,1) with damped Jacobi: theory gives 0.36 per cycle at most (smoothing factor 0.6, twice)."""
    grid = Grid.box(kind[0], size, dimension=2, boundary=kind[1])
    net, _, a = by_hand(grid, level_count(grid, 0), coarsest=40)
    f = np.random.default_rng(6).standard_normal(size**2)
    f -= f.mean()
    u, norms = np.zeros_like(f), []
    for _ in range(12):
        rest = f - a @ u
        norms.append(np.linalg.norm(rest))
        with torch.no_grad():
            u = u + net(torch.tensor(rest).reshape(1, 1, *grid.shape)).numpy().ravel()
    rate = (norms[-1] / norms[4]) ** (1 / (len(norms) - 5))
    assert 0.25 < rate < 0.38, rate


@pytest.mark.parametrize("kind", KINDS)
def test_every_size_works(kind):
    for n in (*range(15, 45), *range(61, 70), *range(125, 131)):
        grid = Grid.box(kind[0], n, dimension=1, boundary=kind[1])
        with torch.no_grad():
            out = layer(grid, 1, 1)(torch.randn(1, 1, n, dtype=torch.float64))
        assert out.shape == (1, 1, n)
        assert out.isfinite().all()
    for n in (15, 21, 64, 67):
        grid = Grid.box(kind[0], n, dimension=2, boundary=kind[1])
        with torch.no_grad():
            assert layer(grid, 1, 1)(torch.randn(1, 1, n, n, dtype=torch.float64)).shape == (1, 1, n, n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [16, 17, 22, 31])
def test_transfers_are_adjoint_and_interpolate_lines(kind, n):
    axis = Grid.box(kind[0], n, dimension=1, boundary=kind[1]).axes[0]
    coarse = Axis(axis.name, coarse_size(axis), axis.start, axis.stop, axis.kind, axis.boundary)
    p, r = prolongation(axis), restriction(axis)
    np.testing.assert_allclose(r, axis.spacing / coarse.spacing * p.T, rtol=1e-14)
    x, fine = coarse.coordinates(), axis.coordinates()
    inside = (fine >= x[0]) & (fine <= x[-1])
    np.testing.assert_allclose((p @ (3 * x - 1))[inside], (3 * fine - 1)[inside], rtol=0, atol=1e-12)
    if "dirichlet" not in kind:
        np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("cycle", CYCLES)
def test_shifts_by_a_coarse_cell_commute_and_smaller_ones_do_not(cycle):
    grid = Grid.box("periodic", 32, dimension=2)
    net = layer(grid, levels=3, cycle=cycle)
    f = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        for shift, commutes in ((4, True), (8, True), (1, False), (2, False)):
            difference = (net(f.roll(shift, 2)) - net(f).roll(shift, 2)).abs().max()
            assert (difference < 1e-12) == commutes, (shift, difference)


@pytest.mark.parametrize("cycle", CYCLES)
def test_dirichlet_walls_that_are_points_stay_zero(cycle):
    grid = Grid.box("node", 17, dimension=2, boundary="dirichlet")
    out = layer(grid, cycle=cycle)(torch.randn(1, 2, 17, 17, dtype=torch.float64))
    assert out.abs().max() > 1e-3
    for edge in (out[..., 0, :], out[..., -1, :], out[..., 0], out[..., -1]):
        assert not edge.any()


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2], KINDS[3], KINDS[5]])
def test_gradients(cycle, kind):
    grid = Grid.box(kind[0], 9, dimension=1, boundary=kind[1])
    net = layer(grid, 1, 2, levels=2, cycle=cycle)
    f = torch.randn(1, 1, 9, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in net.named_parameters()]
    assert torch.autograd.gradcheck(
        lambda f, *weights: torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (f,)),
        (f, *(p.detach().requires_grad_() for p in net.parameters())),
    )


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize(("pre", "post", "coarsest"), [(1, 0, 1), (1, 1, 2), (2, 1, 3)])
def test_no_parameter_is_idle(cycle, pre, post, coarsest):
    grid = Grid.box("cell", 16, dimension=2, boundary="dirichlet")
    net = layer(grid, cycle=cycle, pre=pre, post=post, coarsest=coarsest)
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


@pytest.mark.parametrize("options", [{"coordinates": True}, {"skip": True}, {"cycle": "correction", "post": 1}, {"levels": 2}])
def test_options_train_save_and_answer_elsewhere(options, tmp_path):
    data = smooth_data()
    result = sciml.fit(MgNO(width=4, depth=2, **options), data, epochs=3, progress=False, validation=False)
    inputs = data.inputs["a"][:2][:, None]
    path = tmp_path / "mgno.safetensors"
    result.operator.save(path)
    assert np.array_equal(sciml.load(path).predict(inputs), result.operator.predict(inputs))
    other = smooth_data(2, 26).inputs["a"][:][:, None]
    assert result.operator.predict(other).shape == (2, 1, 26, 26)
