"""Residuals of time integrators: zero for the classical solver's own step, minimal there, of the stated order, not blind."""

import numpy as np
import pytest
import torch

import pdes
from pdes.domain import Box, Periodic
from pdes.equation import Equation
from pdes.families.cavity import lid
from pdes.job import sampled
from pdes.problem import Problem
from pdes.random_fields import grf
from pdes.semilinear import Semilinear
from sciml.operators.neural_stagger.decomposition import InterleavedDecomposition
from sciml.operators.neural_stagger.discretisation import FiniteDifference, Spectral
from sciml.operators.neural_stagger.physics import clamped
from sciml.operators.neural_stagger.stepping import SCHEMES, Stepper
from sciml.operators.neural_stagger.stream_function import MOMENTUM, StreamFunction, box_of_nodes
from solvers.cole_hopf import ColeHopf
from solvers.errors import GridError, SettingError, SolverError, UnknownName
from solvers.grid import Grid
from solvers.projection import ProjectionNavierStokes
from solvers.steady_flow import _System

NU = {"nu": 1e-3}
TORUS = pdes.get("navier_stokes")
SQUARE = Box(x=(0, 1), y=(0, 1), boundary="wall", kind="cell")


def column(u):
    return torch.as_tensor(np.ascontiguousarray(u))[:, None]


def vorticity(n=64, samples=2, warm=3.0, dt=0.1):
    """Two successive frames of the exponential integrator with small steps, of a flow that has settled."""
    grid = TORUS.domain.grid(n)
    latent = np.stack([TORUS.draw(5, i)[1]["initial.w"] for i in range(samples)])
    start = sampled(TORUS.initial["w"], latent, grid)
    times = np.array([0, warm, warm + dt])
    frames = Semilinear(dt=0.02)(TORUS, grid, {"w": start}, {"nu": np.full(samples, 1e-3)}, times).fields["w"]
    return grid, column(frames[:, 1]), column(frames[:, 2])


def rms(r):
    return float(r.square().mean().sqrt())


@pytest.mark.parametrize("order", [2, 4])
def test_the_step_of_the_exponential_integrator_has_no_residual(order):
    grid, u, _ = vorticity(32)
    step = Semilinear(dt=0.1, order=order)(
        TORUS, grid, {"w": u[:, 0].numpy()}, {"nu": np.full(2, 1e-3)}, np.array([0.0, 0.1, 0.2])
    ).fields["w"]
    stepper = Stepper(Spectral(TORUS.equation, grid), f"etdrk{order}", 0.1)
    residual = stepper.residual(column(step[:, 2]), [column(step[:, 1])], NU)
    assert rms(residual) < 1e-12 * rms(stepper.space.rate(u, NU))
    other = Stepper(stepper.space, f"etdrk{6 - order}", 0.1)
    assert rms(other.residual(column(step[:, 2]), [column(step[:, 1])], NU)) > 1e-8


@pytest.mark.parametrize("scheme", ["trapezoid", "backward", "bdf2", "cnab2", "etdrk4", "euler"])
def test_the_minimiser_of_the_residual_is_the_classical_step(scheme):
    """Newton-like minimisation of || P R ||^2 by LBFGS from the old frame finds what the sweeps converge to."""
    grid, u, later = vorticity(16)
    stepper = Stepper(Spectral(TORUS.equation, grid), scheme, 0.1)
    past = [later, u]
    classical = stepper.step(past, NU, 1e-12)
    v = later.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([v], max_iter=60, tolerance_grad=1e-14, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = stepper.precondition(stepper.residual(v, past, NU), NU).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert rms(v.detach() - classical) < 1e-6 * rms(later - u)
    assert rms(classical - later) > 1e-3 * rms(later)


def test_trapezoid_of_a_system_and_of_a_complex_symbol_is_a_classical_step():
    """Two components, and third derivatives: the converged step agrees with the exponential integrator to third order."""
    for name, dt in (("burgers_2d", 0.01), ("kdv", 2e-3)):
        problem = pdes.get(name)
        grid = problem.domain.grid(32 if name == "burgers_2d" else 64)
        known, latents = problem.draw(3, 0)
        start = {n: sampled(law, latents[f"initial.{n}"][None], grid) for n, law in problem.initial.items()}
        gaps = []
        for step in (dt, dt / 2):
            parameters = {k: np.array([v]) for k, v in known.items()}
            exact = Semilinear(dt=step / 20)(problem, grid, start, parameters, np.array([0.0, step])).fields
            u = torch.stack([torch.as_tensor(v) for v in start.values()], 1)
            space = Spectral(problem.equation, grid)
            v = Stepper(space, "trapezoid", step).step([u], known, 1e-13)
            low = space.points(space.kept(space.transform(u)) * space.transform(v))
            truth = torch.stack([torch.as_tensor(exact[n][:, 1]) for n in start], 1)
            gaps.append(rms(low - truth) / rms(truth))
        assert 2.4 < np.log2(gaps[0] / gaps[1]) < 3.4, (name, gaps)


def test_residual_of_a_true_solution_falls_at_the_order_of_the_scheme():
    for scheme, order in (("trapezoid", 2), ("euler", 1), ("bdf2", 2)):
        sizes = []
        for dt in (0.1, 0.05):
            grid, u, v = vorticity(32, dt=dt)
            _, w, _ = vorticity(32, warm=3.0 - dt, dt=dt)
            stepper = Stepper(Spectral(TORUS.equation, grid), scheme, dt)
            sizes.append(rms(stepper.residual(v, [u, w], NU)) / rms(stepper.space.rate(u, NU)))
        assert abs(np.log2(sizes[0] / sizes[1]) - order) < 0.15, (scheme, sizes)


def test_residual_in_space_falls_at_second_order_with_stencils():
    sizes = []
    for n in (32, 64):
        grid, u, v = vorticity(n, dt=0.0125)
        stepper = Stepper(FiniteDifference(TORUS.equation, grid), "trapezoid", 0.0125)
        sizes.append(rms(stepper.residual(v, [u], NU)) / rms(stepper.space.rate(u, NU)))
    assert abs(np.log2(sizes[0] / sizes[1]) - 2) < 0.15


def test_burgers_by_cole_and_hopf():
    grid = Grid.box("periodic", 128)
    u0 = np.sin(2 * np.pi * grid.coordinates()[0])[None]
    burgers = pdes.get("burgers").equation
    sizes = []
    for dt in (0.02, 0.01):
        exact = ColeHopf(grid).solve(u0, np.array([0, 0.1, 0.1 + dt]), {"nu": np.array([0.03])}).values
        stepper = Stepper(Spectral(burgers, grid), "trapezoid", dt)
        sizes.append(rms(stepper.residual(column(exact[:, 2]), [column(exact[:, 1])], {"nu": 0.03})))
    assert abs(np.log2(sizes[0] / sizes[1]) - 2) < 0.15


def test_taylor_green_is_exact_in_space():
    """-psi_y w_x + psi_x w_y vanishes for one shell of modes: what is left is decay, by the trapezoid's own factor."""
    problem = pdes.get("decaying_turbulence")
    grid = problem.domain.grid(16)
    x, y = grid.mesh()
    w = torch.as_tensor(np.cos(x) * np.cos(y))[None, None]
    stepper = Stepper(Spectral(problem.equation, grid), "trapezoid", 0.1)
    assert rms(stepper.space.rate(w, {"nu": 0.1}) + 0.2 * w) < 1e-14
    v = stepper.step([w], {"nu": 0.1}, 1e-14)
    assert rms(v - w * (1 - 0.01) / (1 + 0.01)) < 1e-13


@pytest.mark.parametrize(
    ("boundary", "kind"), [("dirichlet", "cell"), ("neumann", "cell"), ("dirichlet", "node"), ("dirichlet", "interior")]
)
def test_heat_between_walls(boundary, kind):
    """The lowest mode of each kind of wall decays at its rate; second order in space, walls exact."""
    equation, gaps, spacings = Equation("u_t = nu*u_xx"), [], []
    for n in (16, 32):
        grid = Grid.box(kind, n, dimension=1, boundary=boundary)
        x = grid.coordinates()[0]
        mode = (np.sin if boundary == "dirichlet" else np.cos)(np.pi * x)
        space = FiniteDifference(equation, grid)
        rate = space.rate(column(mode[None]), {"nu": 1.0})[0, 0].numpy()
        gaps.append(np.abs(rate + np.pi**2 * mode).max())
        spacings.append(grid.spacing[0])
        v = Stepper(space, "trapezoid", 1e-3).step([space.fixed(column(mode[None]))], {"nu": 1.0}, 1e-13)
        if kind == "node":
            assert v[0, 0, [0, -1]].abs().max() == 0
    assert abs(np.log(gaps[0] / gaps[1]) / np.log(spacings[0] / spacings[1]) - 2) < 0.2


def test_preconditioner_inverts_the_linear_part():
    rng = np.random.default_rng(9)
    for grid in (Grid.box("cell", (6, 7), dimension=2, boundary="neumann"), Grid.box("periodic", (8, 6), dimension=2)):
        space = FiniteDifference(Equation("u_t = nu*lap(u) - 3*u", dimension=2), grid)
        u = torch.as_tensor(rng.standard_normal((2, 1, *grid.shape)))
        p = {"nu": torch.tensor([0.1, 0.3], dtype=torch.float64).reshape(2, 1, 1)}
        torch.testing.assert_close(space.solve(5.0 * u - 0.5 * space.linear(u, p), 5.0, 0.5, p), u, rtol=0, atol=1e-12)


# -- flow between walls -----------------------------------------------------------------------------------------------


def cavity_flow(nodes):
    return StreamFunction(MOMENTUM, box_of_nodes(SQUARE, nodes), {"top": (lid, 0.0)})


def test_stream_function_has_the_rates_of_the_newton_solver():
    nodes, nu = 17, 0.01
    flow = cavity_flow(nodes)
    system = _System(Grid.box("cell", nodes - 1, dimension=2, boundary="wall"), {"top": (lid, 0.0)})
    psi = np.zeros((1, 1, nodes, nodes))
    psi[0, 0, 1:-1, 1:-1] = 0.01 * np.random.default_rng(1).standard_normal((nodes - 2, nodes - 2))
    still = [np.zeros(w.size) for w in (system.u_part.wall_laplace, system.v_part.wall_laplace)]
    theirs = system.vorticity(psi[0, 0, 1:-1, 1:-1].ravel(), nu, still)[0]
    ours = flow.rate(torch.as_tensor(psi), {"nu": nu})[0, 0, 1:-1, 1:-1].numpy().ravel()
    np.testing.assert_allclose(ours, theirs, atol=1e-13 * np.abs(theirs).max())


def test_cavity_steps_converge_to_the_projection_method_and_keep_walls_and_divergence():
    nodes, nu, gaps = 17, 0.02, []
    flow = cavity_flow(nodes)
    for dt in (0.1, 0.05):
        psi = torch.zeros(1, 1, nodes, nodes, dtype=torch.float64)
        stepper = Stepper(flow, "trapezoid", dt)
        for _ in range(round(1 / dt)):
            psi = stepper.step([psi], {"nu": nu}, 1e-11)
        u, v = flow.velocity(psi)
        cells = Grid.box("cell", nodes - 1, dimension=2, boundary="wall")
        solver = ProjectionNavierStokes(cells, 0.005, walls={"top": (lid, 0.0)})
        theirs = solver.solve(np.zeros((1, nodes - 1, nodes - 1, 2)), np.array([0.0, 1.0]), {"nu": nu}).values[0, 1]
        gaps.append(np.abs(((u[0, 1:] + u[0, :-1]) / 2).numpy() - theirs[..., 0]).max())
        assert u[:, [0, -1]].abs().max() == 0
        assert v[:, :, [0, -1]].abs().max() == 0
        h = 1 / (nodes - 1)
        assert ((u[:, 1:] - u[:, :-1] + v[:, :, 1:] - v[:, :, :-1]) / h).abs().max() < 1e-12
    assert gaps[1] < 3e-3
    assert 1.5 < np.log2(gaps[0] / gaps[1]) < 3.5


def test_force_and_lid_speed_reach_the_flow():
    equation = pdes.get("cavity").equation
    grid = box_of_nodes(SQUARE, 9)
    flow = StreamFunction(equation, grid, {"top": (1.0, 0.0)})
    x, _ = grid.mesh()
    psi = torch.zeros(2, 1, 9, 9, dtype=torch.float64)
    lids = torch.tensor([0.0, 2.0], dtype=torch.float64).reshape(2, 1, 1)
    still = flow.rate(psi, {"nu": 0.1, "f": torch.zeros(2, 9, 9, dtype=torch.float64), "lid": lids})
    assert still[0].abs().max() == 0
    np.testing.assert_allclose(still[1, 0, 1:-1, -2].numpy(), -0.1 * 2 * 8 / 3 * 8**3, rtol=1e-12)  # -u_y of the lid's stencil
    forced = flow.rate(psi, {"nu": 0.1, "f": torch.as_tensor(np.broadcast_to(x, (2, 9, 9)).copy()), "lid": 0 * lids})
    np.testing.assert_allclose(forced[:, 0, 1:-1, 1:-1].numpy(), 1.0, rtol=1e-12)  # curl of (0, x)


def test_clamped_states_stand_still_on_the_walls_and_do_not_depend_on_their_number():
    grid = box_of_nodes(SQUARE, 33)
    psi = clamped(grid, 3, 5)
    assert np.abs(psi[:, [0, -1]]).max() < 1e-15
    assert np.abs(psi[:, 1]).max() < 0.05 * np.abs(psi).max()
    np.testing.assert_array_equal(clamped(grid, 1, 5)[0], psi[0])


# -- what a residual must see -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [2, 4])
@pytest.mark.parametrize("space", [Spectral, FiniteDifference])
def test_one_sub_grid_that_drifts_is_seen_at_its_size(s, space):
    grid, u, v = vorticity(32)
    stepper = Stepper(space(TORUS.equation, grid), "trapezoid", 0.1)
    v = stepper.step([u], NU, 1e-12)
    split = InterleavedDecomposition(grid.shape, (s, s))
    parts = split.split(v).clone()
    parts[:, 1] *= 1.01
    off = split.join(parts)
    seen = rms(stepper.precondition(stepper.residual(off, [u], NU), NU))
    assert 0.5 < seen / rms(off - v) < 2
    assert rms(stepper.precondition(stepper.residual(v, [u], NU), NU)) < 1e-3 * seen


def test_frames_that_jitter_are_seen_by_one_step_and_not_by_central_differences():
    dt = 0.05
    grid, u, v = vorticity(32, dt=dt)
    _, before, _ = vorticity(32, warm=3.0 - dt, dt=dt)
    space = Spectral(TORUS.equation, grid)
    size = rms(space.rate(u, NU))
    jitter = {n: rms(Stepper(space, n, dt).residual(v, [1.01 * u, before], NU)) / size for n in ("trapezoid", "centred")}
    assert jitter["trapezoid"] > 10 * jitter["centred"]


@pytest.mark.parametrize("wrong", ["sign", "viscosity", "swapped", "permuted"])
def test_wrong_residuals_are_noticed(wrong):
    grid, u, v = vorticity(32)
    right = Stepper(Spectral(TORUS.equation, grid), "trapezoid", 0.1)
    clean = rms(right.residual(v, [u], NU))
    texts = {
        "sign": str(TORUS.equation).replace("+ dy(w*psi_x) - dx(w*psi_y)", "- dy(w*psi_x) + dx(w*psi_y)"),
        "swapped": str(TORUS.equation).replace("dy(w*psi_x) - dx(w*psi_y)", "dx(w*psi_x) - dy(w*psi_y)"),
    }
    if wrong in texts:
        assert texts[wrong] != str(TORUS.equation)
        off = rms(Stepper(Spectral(Equation(texts[wrong]), grid), "trapezoid", 0.1).residual(v, [u], NU))
        assert off > 100 * clean
    elif wrong == "viscosity":
        assert rms(right.residual(v, [u], {"nu": 1.1e-3})) > 30 * clean
    else:
        split = InterleavedDecomposition(grid.shape, (2, 2))
        assert rms(right.residual(split.join(split.split(v).flip(1)), [u], NU)) > 100 * clean


def test_a_batch_has_the_residuals_of_its_samples_on_grids_that_are_not_square():
    problem = Problem(
        name="rectangle", equation="u_t = nu*lap(u) - u*u_x - 2*u*u_y + f(x, y)", domain=Periodic(x=(0, 1), y=(0, 3)),
        time=(0, 1), parameters={"nu": 0.01}, initial={"u": grf(tau=5, alpha=2)}, inputs={"f": grf(tau=5, alpha=2)},
    )  # fmt: skip
    grid, rng = problem.domain.grid((12, 20)), np.random.default_rng(4)
    u, v = torch.as_tensor(rng.standard_normal((2, 3, 1, 12, 20)))
    p = {
        "nu": torch.tensor([0.01, 0.02, 0.05], dtype=torch.float64).reshape(3, 1, 1),
        "f": torch.as_tensor(rng.standard_normal((3, 12, 20))),
    }
    for space in (Spectral, FiniteDifference):
        stepper = Stepper(space(problem.equation, grid), "trapezoid", 0.1)
        whole = stepper.precondition(stepper.residual(v, [u], p), p)
        for i in range(3):
            one = {k: a[i : i + 1] for k, a in p.items()}
            alone = stepper.precondition(stepper.residual(v[i : i + 1], [u[i : i + 1]], one), one)
            torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=1e-12)


def test_the_certificate_is_the_residual_and_bounds_the_distance():
    grid, u, _ = vorticity(32)
    stepper = Stepper(Spectral(TORUS.equation, grid), "trapezoid", 0.1)
    exact = stepper.step([u], NU, 1e-13)
    noisy = u + 0.01 * torch.randn(u.shape, dtype=u.dtype, generator=torch.Generator().manual_seed(3)) * rms(u)
    found, certificate = stepper.corrected(noisy, [u], NU, 3)
    again = stepper.precondition(stepper.residual(found, [u], NU), NU)
    sizes = [float(a.norm() / b.norm()) for a, b in zip(again, found, strict=True)]
    np.testing.assert_allclose(certificate.residual, sizes, rtol=1e-10)
    assert certificate.sweeps == 3
    distance = np.array([float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)])
    assert (distance <= certificate.bound).all()
    _, enough = stepper.corrected(noisy, [u], NU, 20, 1e-6)
    assert enough.sweeps < 6
    assert (enough.residual <= 1e-6).all()


def test_refusals():
    grid = Grid.box("periodic", 16, dimension=2)
    with pytest.raises(SettingError, match="periodic grid"):
        Spectral(Equation("u_t = u_xx"), Grid.box("cell", 8, dimension=1, boundary="neumann"))
    with pytest.raises(UnknownName, match="trapezoid"):
        Stepper(Spectral(TORUS.equation, grid), "trapezium", 0.1)
    with pytest.raises(SettingError, match="dt > 0"):
        Stepper(Spectral(TORUS.equation, grid), "trapezoid", 0.0)
    with pytest.raises(SettingError, match="spectral discretisation"):
        Stepper(FiniteDifference(TORUS.equation, grid), "etdrk4", 0.1)
    with pytest.raises(SettingError, match="autonomous"):
        Spectral(Equation("u_t = u_xx + sin(t)"), Grid.box("periodic", 8))
    with pytest.raises(SettingError, match="only slide"):
        StreamFunction(MOMENTUM, box_of_nodes(SQUARE, 9), {"top": (0.0, 1.0), "bottom": (0.0, 1.0)})
    with pytest.raises(GridError, match="5 nodes"):
        StreamFunction(MOMENTUM, grid, {})
    burgers = Spectral(pdes.get("burgers").equation, Grid.box("periodic", 64))
    steep = column(5 * np.sin(2 * np.pi * burgers.grid.coordinates()[0])[None])
    with pytest.raises(SolverError, match="shorter step"):
        Stepper(burgers, "trapezoid", 1.0).step([steep], {"nu": 0.01})
    assert FiniteDifference(Equation("u_t = dx(a(x)*u_x)", inputs=("a",)), Grid.box("periodic", 8)).composed
    assert set(SCHEMES) == {"trapezoid", "backward", "euler", "bdf2", "cnab2", "etdrk2", "etdrk4", "centred"}
