"""The learned V-cycle: the same as the classical one where it must be, symmetric, and never wrong about the residual."""

import numpy as np
import pytest
import torch

import pdes
import sciml
from sciml.operators.mgno import MgNO
from sciml.operators.multigrid import LearnedMultigrid, levels
from sciml.operators.multigrid.learned import LearnedCycle, StencilNetwork
from sciml.operators.multigrid.runtime import FastCycle, by_diagonals
from solvers.elliptic import face_coefficients
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Axis, Grid
from solvers.multigrid import Cycle, Diffusion, assemble, interpolation

WALLS = [("dirichlet", "dirichlet"), ("dirichlet", "neumann"), ("neumann", "neumann")]


def box(n, m, x=("dirichlet", "dirichlet"), y=("dirichlet", "dirichlet")):
    return Grid((Axis("x", n, 0.0, 1.0, "cell", x), Axis("y", m, 0.0, 2.0, "cell", y)))


def medium(grid, seed=0, contrast=100.0):
    return np.where(np.random.default_rng(seed).random(grid.shape) < 0.5, contrast, 1.0)


def stencils(a, grid):
    return levels.from_faces(*(torch.as_tensor(face) for face in face_coefficients(a[None], grid)))


def network(scale=0.0, **config):
    torch.manual_seed(7)
    net = StencilNetwork(**({"width": 8, "layers": 1} | config))
    torch.nn.init.normal_(net.head.weight, std=max(scale, 1e-30))
    return net


def data(n=16, count=8):
    a = np.stack([medium(pdes.get("darcy").domain.grid(n), seed) for seed in range(count)])
    grid = pdes.get("darcy").domain.grid(n)
    fields = {"u": np.zeros(a.shape, np.float32)}
    return pdes.Dataset(fields=fields, inputs={"a": a}, grid=grid, provenance={"family": "darcy"})


@pytest.mark.parametrize(("n", "m"), [(16, 16), (17, 12), (33, 9), (5, 40)])
@pytest.mark.parametrize("walls", WALLS)
def test_classical_cycle_on_stencils_is_that_of_the_solvers(n, m, walls):
    grid = box(n, m, walls)
    a, f = medium(grid), np.random.default_rng(1).standard_normal(grid.shape)
    if walls == WALLS[2] and grid.axes[1].boundary == WALLS[2]:
        f -= f.mean()
    expected = Cycle([face[0] for face in face_coefficients(a[None], grid)], grid)(f)
    found = levels.Cycle(stencils(a, grid))(torch.as_tensor(f)[None])[0].numpy()
    assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max()


def test_transfers_and_galerkin_products_are_those_of_matrices():
    grid = box(9, 7)
    a = medium(grid)
    operator = stencils(a, grid)
    matrix = assemble([face[0] for face in face_coefficients(a[None], grid)], grid)
    assert np.allclose(levels.dense(operator)[0], matrix.toarray(), rtol=1e-14)
    p = interpolation(matrix, grid.shape, 0, False)
    left, right = levels.by_equation(operator)
    coarse = levels.galerkin(operator, left, right)
    assert np.allclose(levels.dense(coarse)[0], (p.T @ matrix @ p).toarray(), rtol=1e-12, atol=1e-12 * abs(matrix).max())
    u, r = torch.randn(1, 5, 7, dtype=torch.float64), torch.randn(1, 9, 7, dtype=torch.float64)
    assert np.allclose(levels.prolonged(u, left, right).flatten(), p @ u.flatten().numpy())
    assert np.allclose(levels.restricted(r, left, right).flatten(), p.T @ r.flatten().numpy())


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_learned_smoother_and_cycle_are_symmetric(scale):
    grid = box(12, 10)
    operator = stencils(medium(grid), grid)
    net = network(scale)
    with torch.no_grad():
        smoother = levels.dense(net(operator))[0]
        assert torch.allclose(smoother, smoother.T, rtol=1e-12, atol=1e-14)
        cycle = LearnedCycle(operator, net, steps=2, sweeps=2)
        columns = [cycle(e.view(1, 12, 10)).flatten() for e in torch.eye(120, dtype=torch.float64)]
    matrix = torch.stack(columns, 1)
    assert torch.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-12 * float(matrix.abs().max()))


def test_smoother_does_not_depend_on_units_and_follows_mirrors():
    grid = box(10, 8)
    a = medium(grid)
    net = network(0.3)
    with torch.no_grad():
        one, other = net(stencils(a, grid)), net(stencils(1e4 * a, grid))
        assert torch.allclose(one, 1e4 * other, rtol=1e-5)
        plain = network(0.0)
        turned = plain(stencils(a, grid)).flip(1, 3)
        assert torch.allclose(plain(stencils(a[::-1].copy(), grid)), turned, rtol=1e-6)


def test_gradient_of_the_loss_is_that_of_differences():
    operator = LearnedMultigrid(problem="darcy", width=3)
    operator.bind(sciml.tasks.as_task(None, data(12, 2)), seed=3)
    module = operator.module.double()
    torch.nn.init.normal_(module.head.weight, std=0.1)
    inputs = data(12, 2).inputs["a"][:][:, None]
    loss = lambda: operator.reduction(inputs, 5, 0).mean()  # noqa: E731
    loss().backward()
    for parameter in (module.head.weight, module.hidden[0].bias):
        entry = parameter.view(-1)
        step = 1e-5
        with torch.no_grad():
            entry[1] += step
            up = loss()
            entry[1] -= 2 * step
            down = loss()
            entry[1] += step
        assert parameter.grad is not None
        assert float(parameter.grad.view(-1)[1]) == pytest.approx(float(up - down) / (2 * step), rel=2e-4, abs=1e-8)


@pytest.mark.parametrize("steps", [1, 2])
def test_fast_cycle_in_single_precision_is_the_same(steps):
    for shape in ((20, 20), (17, 33), (4, 4), (2, 9)):
        grid = box(*shape)
        operator = stencils(medium(grid, contrast=1e3), grid)
        f = np.random.default_rng(2).standard_normal(shape)
        with torch.no_grad():
            cycle = LearnedCycle(operator, network(0.05), steps)
            expected = cycle(torch.as_tensor(f)[None])[0].numpy()
            assert np.abs(FastCycle(cycle)(f) - expected).max() < 2e-5 * np.abs(expected).max()
            classical = levels.Cycle(operator)
            expected = classical(torch.as_tensor(f)[None])[0].numpy()
            assert np.abs(FastCycle(classical)(1e9 * f) - 1e9 * expected).max() < 2e-5 * 1e9 * np.abs(expected).max()
        matrix = by_diagonals(operator, corners=False, dtype=np.float64)
        assert np.allclose(matrix @ f.ravel(), levels.apply(operator, torch.as_tensor(f)[None]).flatten())


def test_training_without_solutions_needs_fewer_iterations_on_larger_grids():
    result = sciml.fit(LearnedMultigrid(problem="darcy"), data(32, 64), epochs=8, batch_size=8, seed=1, progress=False)
    grid = pdes.get("darcy").domain.grid(96)
    a = np.stack([medium(grid, seed) for seed in (100, 101)])
    solved = result.operator.as_preconditioner().solve(a)
    classical = Diffusion(grid, tolerance=1e-8, method="mg-pcg").solve(a)
    assert np.abs(solved.values - classical.values).max() < 1e-6 * np.abs(classical.values).max()
    assert (solved.stats["residual"] < 1e-8).all()
    assert (solved.stats["rescued"] == -1).all()
    assert (solved.stats["iterations"] < classical.stats["iterations"]).all()


@pytest.mark.parametrize("scale", [1.0, 30.0, np.nan])
def test_random_weights_still_reach_the_residual(scale):
    operator = LearnedMultigrid(problem="darcy")
    operator.bind(sciml.tasks.as_task(None, data()), seed=0)
    with torch.no_grad():
        operator.module.head.weight.normal_().mul_(scale)
    solved = operator.as_preconditioner().solve(data(40, 2).inputs["a"][:])
    assert solved.succeeded
    assert (solved.stats["residual"] < 1e-8).all()
    assert (solved.stats["rescued"] >= 0).all()
    history = solved.stats["history"][0]
    assert history[solved.stats["iterations"][0] - 1] < 1e-8
    assert (solved.stats["seconds"] >= solved.stats["setup_seconds"]).all()


def test_problems_states_and_sources():
    operator = sciml.fit("multigrid:tiny", "darcy_lognormal", epochs=1, batch_size=4, progress=False).operator
    poisson = pdes.generate("poisson_neumann", n=2, resolution=65, seed=3, progress=False)
    f = poisson.inputs["f"][:].astype(np.float64)
    f -= f.mean((1, 2), keepdims=True)
    solved = operator.as_preconditioner("poisson_neumann").solve({"f": f})
    assert solved.succeeded
    assert np.abs(solved.values.mean((1, 2))).max() < 1e-12
    own = pdes.get("darcy").replace(name="mine")
    fitted = sciml.fit(LearnedMultigrid(own, states=8, resolution=16), own, epochs=1, batch_size=4, progress=False)
    assert fitted.operator.as_preconditioner().solve(data(20, 1).inputs["a"][:]).succeeded


def test_mgno_preconditions_poisson_by_its_answers():
    train = pdes.generate("poisson_dirichlet", n=4, resolution=32, seed=1, progress=False)
    geometric = MgNO(width=2, depth=1, init="geometric", pre=2, post=2, cycle="correction", growth=0)
    geometric.bind(sciml.tasks.as_task(None, train), seed=0)
    f = train.inputs["f"][:].astype(np.float64)
    solved = geometric.as_preconditioner("poisson_dirichlet").solve({"f": f}, tolerance=1e-7)
    assert solved.succeeded
    assert (solved.stats["iterations"] <= 14).all(), solved.stats["iterations"]
    assert (solved.stats["rescued"] == -1).all()
    spoilt = MgNO(width=4, depth=2)
    spoilt.bind(sciml.tasks.as_task(None, train), seed=0)
    solved = spoilt.as_preconditioner("poisson_dirichlet").solve({"f": f[:1]})
    assert solved.succeeded
    assert (solved.stats["rescued"] >= 0).all()


def test_clear_errors():
    operator = LearnedMultigrid(problem="darcy")
    with pytest.raises(DataError, match="not been bound"):
        operator.as_preconditioner()
    operator.bind(sciml.tasks.as_task(None, data()), seed=0)
    with pytest.raises(SettingError, match="burgers"):
        operator.as_preconditioner("burgers")
    mgno = MgNO(width=4, depth=1)
    mgno.bind(sciml.tasks.as_task(None, data()), seed=0)
    with pytest.raises(SettingError, match="learns from the coefficient"):
        mgno.as_preconditioner("darcy")
    with pytest.raises(DataError, match="finite"):
        operator.as_preconditioner().solve(np.full((1, 16, 16), np.nan))
    solver, a = operator.as_preconditioner(), data(16, 2).inputs["a"][:]
    with pytest.raises(DataError, match="not positive in sample 0"):
        solver.solve(-a)
    with pytest.raises(DataError, match="inputs k"):
        solver.solve({"k": a})
    with pytest.raises(DataError, match="single sample"):
        solver.solve(a[0])
    with pytest.raises(SettingError, match="tolerance=0"):
        solver.solve(a, tolerance=0)
    with pytest.raises(DataError, match="mean is not zero"):
        operator.as_preconditioner("poisson_neumann").solve({"f": np.ones((1, 16, 16))})
    with pytest.raises(SettingError, match="burgers"):
        sciml.fit("multigrid", "burgers", progress=False)
    periodic = pdes.generate("poisson_periodic", n=2, resolution=65, seed=0, progress=False)
    with pytest.raises(GridError, match="cells between walls"):
        sciml.fit(LearnedMultigrid(), periodic, epochs=1, progress=False)
    with pytest.raises(SettingError, match="tolerance"):
        LearnedMultigrid(tolerance=2.0)
    nameless = data().replace(provenance={})
    with pytest.raises(DataError, match="which problem"):
        sciml.fit(LearnedMultigrid(), nameless, epochs=1, progress=False)
