"""MgNO's V-cycle with weights set by hand is a classical one: equal to matrices; rates, symmetry, boundaries, every size."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from sciml.operators.mgno import MgLinear, MgNO, coarse_size, geometric, level_count, prolongation, restriction
from sciml.tasks import Signature
from solvers.errors import GridError
from solvers.grid import Axis, Grid

SIDES = {
    "interior": ("interior", ("dirichlet", "dirichlet")),
    "node": ("node", ("dirichlet", "dirichlet")),
    "node-neumann": ("node", ("neumann", "neumann")),
    "cell": ("cell", ("dirichlet", "dirichlet")),
    "cell-neumann": ("cell", ("neumann", "neumann")),
    "periodic": ("periodic", ("periodic", "periodic")),
    "mixed": ("cell", ("dirichlet", "neumann")),
    "mixed-node": ("node", ("neumann", "dirichlet")),
}
NINE = geometric.star(2, *geometric.SMOOTHERS[2])


def axis(side: str, n: int, name: str = "x") -> Axis:
    kind, boundary = SIDES[side]
    return Axis(name, n, 0.0, 1.0, kind, boundary)


def grid(*sides: tuple[str, int]) -> Grid:
    return Grid(tuple(axis(side, n, name) for (side, n), name in zip(sides, "xyz", strict=False)))


def by_hand(on: Grid, levels: int = 0, smoother=None, cycle: str = "correction", **steps) -> MgLinear:
    """A layer with the weights of a V-cycle, (1 channel) -> (u, -u) or four channels."""
    torch.manual_seed(23)
    net = MgLinear(1, 2 if cycle == "correction" else 4, on, levels=level_count(on, levels), cycle=cycle, **steps).double()
    geometric.set_cycle(net, smoother)
    return net


def answer(net: MgLinear, f: np.ndarray) -> np.ndarray:
    """First channel of W f, (item, *space)."""
    with torch.no_grad():
        return net(torch.tensor(f)[:, None])[:, 0].numpy()


# -- the same cycle by matrices ----------------------------------------------------------------------------------------


def neighbours(a: Axis) -> np.ndarray:
    """Sum of the two neighbours of each point, ghosts included."""
    n = a.size
    m = np.eye(n, k=1) + np.eye(n, k=-1)
    for side, (here, inside) in enumerate(((0, 1), (n - 1, n - 2))):
        if a.kind == "periodic":
            m[here, (n - 1, 0)[side]] += 1
        elif a.kind == "cell":
            m[here, here] += -1 if a.boundary[side] == "dirichlet" else 1
        elif a.kind == "node":
            m[here, inside] += -1 if a.boundary[side] == "dirichlet" else 1
    return m


def product(factors) -> np.ndarray:
    return functools.reduce(np.kron, factors)


def along(matrices: list[np.ndarray], dims: tuple[int, ...]) -> np.ndarray:
    return product([m if i in dims else np.eye(len(m)) for i, m in enumerate(matrices)])


def known(axes) -> np.ndarray:
    """Zeros at Dirichlet nodes on walls, (points,)."""
    lines = []
    for a in axes:
        line = np.ones(a.size)
        for side, place in ((0, 0), (1, -1)):
            if a.kind == "node" and a.boundary[side] == "dirichlet":
                line[place] = 0.0
        lines.append(line)
    return product(lines)


def operators(axes, smoother: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (without 1 / h^2), S and the mask, (points, points)."""
    d, n = len(axes), [neighbours(a) for a in axes]
    centre, edge = float(smoother[(1,) * d]), float(smoother[(0,) + (1,) * (d - 1)])
    one = along(n, ())
    a = 2 * d * one - sum(along(n, (i,)) for i in range(d))
    s = centre * one + edge * sum(along(n, (i,)) for i in range(d))
    if d == 2:
        s = s + float(smoother[0, 0]) * along(n, (0, 1))
    return a, s, np.diag(known(axes))


def as_matrix(axes, levels: int, smoother, pre: int, post: int, coarsest: int) -> np.ndarray:
    a, s, m = operators(axes, smoother)
    last, b = levels == 1, np.zeros_like(a)
    relax = lambda b: m @ (b + s @ m @ (m - a @ b))  # noqa: E731
    for _ in range(coarsest if last else pre):
        b = relax(b)
    if not last:
        below = [replace(x, size=coarse_size(x)) for x in axes]
        inner = as_matrix(below, levels - 1, smoother, pre, post, coarsest)
        p, r = product([prolongation(x) for x in axes]), product([restriction(x) for x in axes])
        growth = np.prod([y.spacing / x.spacing for x, y in zip(axes, below, strict=True)]) ** (2 / len(axes))
        b = m @ (b + p @ inner @ (growth * r) @ m @ (m - a @ b))
        for _ in range(post):
            b = relax(b)
    return b


ONE_AXIS = [(side, n) for side, n in (("interior", 30), ("node", 33), ("node-neumann", 20), ("cell", 27), ("cell-neumann", 24),
                                      ("periodic", 26), ("mixed", 31), ("mixed-node", 22))]  # fmt: skip
CASES = [
    *[((case,), 3) for case in ONE_AXIS],
    ((("interior", 15), ("interior", 11)), 3),
    ((("cell", 16), ("cell", 13)), 3),
    ((("cell-neumann", 12), ("cell-neumann", 10)), 2),
    ((("periodic", 16), ("periodic", 12)), 3),
    ((("node", 13), ("node", 10)), 2),
    ((("mixed", 12), ("periodic", 10)), 2),
    ((("mixed-node", 9), ("interior", 11)), 2),
    ((("interior", 7), ("cell", 8), ("periodic", 6)), 2),
    ((("node", 7), ("node-neumann", 6), ("mixed", 6)), 2),
]


@pytest.mark.parametrize(("sides", "levels"), CASES)
@pytest.mark.parametrize("steps", [(1, 0, 2), (2, 2, 3)])
def test_equals_a_cycle_of_matrices(sides, levels, steps):
    on = grid(*sides)
    d = on.dimension
    smoother = geometric.star(d, *geometric.SMOOTHERS[d])
    net = by_hand(on, levels, pre=steps[0], post=steps[1], coarsest=steps[2])
    cycle = as_matrix(on.axes, levels, smoother, *steps)
    f = np.random.default_rng(3).standard_normal((2, *on.shape))
    expected = (f.reshape(2, -1) @ cycle.T).reshape(f.shape)
    np.testing.assert_allclose(answer(net, f), expected, rtol=0, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize(("sides", "levels"), CASES[8:])
def test_the_published_form_contains_the_classical_cycle(sides, levels):
    """Right-hand sides restricted as they are, iterates handed down: with three channels it is a correction cycle."""
    on = grid(*sides)
    point = torch.zeros((3,) * on.dimension, dtype=torch.float64)
    point[(1,) * on.dimension] = geometric.JACOBI[on.dimension]
    f = np.random.default_rng(4).standard_normal((2, *on.shape))
    for steps in ({"pre": 1, "post": 0}, {"pre": 2, "post": 1, "coarsest": 3}):
        fas = answer(by_hand(on, levels, cycle="fas", **steps), f)
        classical = answer(by_hand(on, levels, point, **steps), f)
        np.testing.assert_allclose(fas, classical, rtol=0, atol=1e-12 * abs(classical).max())


# -- rates -------------------------------------------------------------------------------------------------------------


def rate(net: MgLinear, on: Grid, cycles: int = 14) -> float:
    """Factor per cycle of the error of A u = 0, at last."""
    axes = on.axes
    matrices = [neighbours(a) for a in axes]
    mask = known(axes).reshape(on.shape)
    singular = not any("dirichlet" in a.boundary for a in axes)

    def a(u):
        total = 2 * len(axes) * u
        for i, m in enumerate(matrices):
            total = total - np.moveaxis(np.tensordot(m, u, (1, i)), 0, i)
        return total

    u, sizes = mask * np.random.default_rng(9).standard_normal(on.shape), []
    for _ in range(cycles):
        u = u - answer(net, (mask * a(u))[None])[0]
        u = u - u.mean() if singular else u
        sizes.append(np.linalg.norm(u))
        u = u / sizes[-1]
    return float(np.prod(sizes[-6:]) ** (1 / 6))


TABLE = [
    ("jacobi", (1, 0), 0.585),
    ("jacobi", (1, 1), 0.36),
    ("jacobi", (2, 2), 0.18),
    ("nine", (1, 0), 0.23),
    ("nine", (1, 1), 0.12),
    ("nine", (2, 2), 0.067),
]


@pytest.mark.parametrize(("name", "steps", "expected"), TABLE)
@pytest.mark.parametrize(("side", "n"), [("interior", 63), ("periodic", 64)])
def test_rates_are_those_of_the_theory(name, steps, expected, side, n):
    on = grid((side, n), (side, n))
    smoother = NINE if name == "nine" else geometric.star(2, 0.2, 0.0)
    found = rate(by_hand(on, 0, smoother, pre=steps[0], post=steps[1], coarsest=30), on)
    assert abs(found - expected) < 0.02, found


@pytest.mark.parametrize("side", ["interior", "periodic", "cell", "cell-neumann", "node"])
def test_rates_hold_for_every_size(side):
    for n in (15, 16, 18, 23, 27, 31, 32, 37, 44, 48, 50, 53, 63, 64, 71, 85, 101, 106, 129, 130):
        on = grid((side, n), (side, n))
        found = rate(by_hand(on, pre=1, post=1, coarsest=30), on, cycles=9)
        assert found <= 0.20, (n, found)


@pytest.mark.parametrize("side", SIDES)
def test_every_size_has_an_answer_of_its_own_size(side):
    for n in range(15, 131):
        on = grid((side, n), (side, 145 - n))
        out = answer(by_hand(on, pre=1, post=1), np.random.default_rng(n).standard_normal((1, *on.shape)))
        assert out.shape == (1, n, 145 - n)
        assert np.isfinite(out).all()


# -- symmetry and boundaries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coarsest", [1, 2, 20])
@pytest.mark.parametrize("side", ["interior", "cell"])
def test_a_symmetric_cycle_is_a_positive_symmetric_matrix(side, coarsest):
    on = grid((side, 15), (side, 15))
    unit = np.eye(225).reshape(225, 15, 15)
    matrix = answer(by_hand(on, pre=1, post=1, coarsest=coarsest), unit).reshape(225, 225)
    assert abs(matrix - matrix.T).max() < 1e-14
    assert np.linalg.eigvalsh(matrix).min() > 0
    lopsided = answer(by_hand(on, pre=1, post=0, coarsest=coarsest), unit).reshape(225, 225)
    assert abs(lopsided - lopsided.T).max() > 1e-3


def symmetric_weights(net: MgLinear) -> MgLinear:
    """Average every stencil with its mirror images, so that mirror images of data stay so."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 3:
                parameter.copy_((parameter + parameter.flip(-1)) / 2)
    return net


@pytest.mark.parametrize(
    ("side", "n", "sign"),
    [("interior", 15, -1), ("cell", 16, -1), ("cell-neumann", 16, 1), ("node-neumann", 17, 1), ("node", 17, -1)],
)
@pytest.mark.parametrize("cycle", ["fas", "correction", "additive"])
def test_walls_act_as_mirrors(side, n, sign, cycle):
    """On the doubled periodic line with odd (even) data the same weights give the odd (even) continuation."""
    torch.manual_seed(29)
    on = grid((side, n))
    net = symmetric_weights(MgLinear(2, 3, on, levels=3, cycle=cycle, post=1).double())
    f = torch.randn(1, 2, n, dtype=torch.float64)
    if side == "node":
        f[..., 0] = f[..., -1] = 0.0
    zero, mirror = torch.zeros(1, 2, 1, dtype=torch.float64), sign * f.flip(-1)
    pieces = {"interior": [zero, f, zero, mirror], "node": [f, mirror[..., 1:-1]], "node-neumann": [f, mirror[..., 1:-1]]}
    doubled = torch.cat(pieces.get(side, [f, mirror]), -1)
    length = doubled.shape[-1]
    line = Axis("x", length, 0.0, 2.0, "periodic", ("periodic", "periodic"), cells=side.startswith("cell"))
    twin = MgLinear(2, 3, Grid((line,)), levels=3, cycle=cycle, post=1).double()
    twin.load_state_dict(net.state_dict())
    with torch.no_grad():
        whole, part = twin(doubled), net(f)
    start = 1 if side == "interior" else 0
    torch.testing.assert_close(whole[..., start : start + n], part, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cycle", ["fas", "correction", "additive"])
def test_shifts_by_a_coarse_cell_commute_and_smaller_ones_do_not(cycle):
    on = grid(("periodic", 32), ("periodic", 32))
    torch.manual_seed(31)
    net = MgLinear(2, 3, on, levels=3, cycle=cycle, post=1).double()
    f = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        for shift, commutes in ((4, True), (8, True), (1, False), (2, False)):
            difference = (net(f.roll(shift, 2)) - net(f).roll(shift, 2)).abs().max()
            assert (difference < 1e-12) == commutes, (shift, difference)


def test_the_published_transfers_break_translations():
    on = grid(("periodic", 32), ("periodic", 32))
    torch.manual_seed(37)
    for transfer, exact in (("dense", True), ("released", False)):
        net = MgLinear(2, 3, on, levels=3, transfer=transfer).double()
        f = torch.randn(1, 2, 32, 32, dtype=torch.float64)
        with torch.no_grad():
            difference = (net(f.roll(4, 2)) - net(f).roll(4, 2)).abs().max()
        assert (difference < 1e-12) == exact, (transfer, difference)


# -- the untrained operator --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("side", "cycle", "steps"), [("interior", "correction", 1), ("cell", "correction", 1), ("interior", "fas", 2)]
)
def test_an_untrained_operator_solves_poisson(depth, side, cycle, steps):
    on = grid((side, 31), (side, 31))
    operator = MgNO(init="geometric", width=6, depth=depth, cycle=cycle, pre=steps, post=steps, coarsest=6)
    with torch.random.fork_rng():
        torch.manual_seed(41)
        network = operator.build(Signature("steady", ("f", "b"), ("u",), on)).double()
    geometric.set_poisson(network, on)  # again, without the rounding of float32
    rng = np.random.default_rng(5)
    f = np.stack([rng.standard_normal((2, 31, 31)), rng.standard_normal((2, 31, 31))], 1)
    with torch.no_grad():
        u = network(torch.tensor(f))[:, 0].numpy()
    cycle_alone = by_hand(on, cycle=cycle, pre=steps, post=steps, coarsest=6)
    np.testing.assert_allclose(u, on.spacing[0] ** 2 * answer(cycle_alone, f[:, 0]), rtol=0, atol=1e-12 * abs(u).max())
    exact = on.spacing[0] ** 2 * np.linalg.solve(operators(on.axes, NINE)[0], f[:, 0].reshape(2, -1).T).T.reshape(2, 31, 31)
    assert np.linalg.norm(u - exact) < 0.2 * np.linalg.norm(exact)


def test_stencils_of_squares_are_not_set_on_other_cells():
    box = Grid((Axis("x", 16, 0, 1, "cell", ("dirichlet",) * 2), Axis("y", 16, 0, 2, "cell", ("dirichlet",) * 2)))
    with pytest.raises(GridError, match="about the same along every axis"):
        MgNO(init="geometric").build(Signature("steady", ("f",), ("u",), box))
