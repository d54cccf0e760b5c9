"""NeuralStagger: one network in other clothes, no labels looked at, parts and wholes agree, walls and certificates hold."""

import copy
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pdes
import sciml
from pdes.dataset import Dataset
from sciml.checks import moving_data, smooth_data
from sciml.operators.fno import FNO
from sciml.operators.neural_stagger import NeuralStagger
from sciml.operators.neural_stagger.floor import best_filter, filter_error, information_floor, rolled_filter
from sciml.operators.neural_stagger.learner import Pool
from sciml.operators.neural_stagger.physics import draw_states
from sciml.operators.resnet import ResNet
from sciml.tasks import as_task
from solvers.errors import DataError, GridError, SettingError, SolverError, UnknownName
from solvers.grid import Grid

QUIET = {"validation": False, "progress": False}
TINY = {"resolution": 16, "states": 8, "pool": 4, "settings": {"width": 6, "layers": 3}}


def fitted(problem="navier_stokes", epochs=1, **config):
    options = {k: config.pop(k) for k in ("lr", "batch_size", "seed") if k in config}
    made = NeuralStagger(**({"backbone": "resnet", "space": 2, "dt": 0.1} | TINY | config))
    return sciml.fit(made, problem, epochs=epochs, batch_size=options.pop("batch_size", 4), **QUIET, **options).operator


def first_inputs(operator, problem="navier_stokes", n=3, seed=77):
    c = operator.config
    options = {"dt": c.dt, "walls": c.walls, "stencil": c.stencil}
    return as_task(None, draw_states(problem, n, c.resolution, operator.signature.history, options, seed)).all().inputs


def awake(operator):
    """With weights that matter: an untrained network's answer counts for nothing."""
    with torch.no_grad():
        operator.module.gain.fill_(0.3)
    return operator


# -- one network in other clothes -------------------------------------------------------------------------------------


def test_a_factor_of_one_is_the_backbone_itself():
    """Forward, loss and one step of the optimiser, bit for bit, for every way of sharing and evaluating."""
    data = moving_data()
    found = []
    for sharing in ("shared", "separate", "offset"):
        for backend in ("batched", "loop"):
            made = NeuralStagger("resnet:tiny", space=1, sharing=sharing, backend=backend, learn="data", start="nothing")
            result = sciml.fit(made, data, epochs=1, batch_size=40, lr=1e-3, seed=4, **QUIET)
            found.append((result.history["loss"][0], result.operator.predict(as_task(None, data).all().inputs)))
    alone = sciml.fit(ResNet(width=12, layers=4), data, epochs=1, batch_size=40, lr=1e-3, seed=4, **QUIET)
    assert all(loss == found[0][0] for loss, _ in found)
    assert all(np.array_equal(prediction, found[0][1]) for _, prediction in found)
    assert alone.history["loss"][0] == pytest.approx(found[0][0], abs=1e-12)


def test_shared_convolutions_are_dilated_convolutions():
    operator = awake(fitted(space=(2, 4), epochs=1, resolution=16)).module.double()
    solvers = operator.solvers
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    dilated = x
    layers = solvers.networks[0].layers
    channels = layers[0].in_channels
    x = x[:, :1].expand(-1, channels, -1, -1).clone() + 0.1 * torch.arange(channels).reshape(1, -1, 1, 1)
    dilated = x
    for i, layer in enumerate(layers):
        reach = [layer.kernel_size[0] // 2 * s for s in (2, 4)]
        padded = torch.nn.functional.pad(dilated, (reach[1], reach[1], reach[0], reach[0]), mode="circular")
        y = torch.nn.functional.conv2d(padded, layer.weight, layer.bias, dilation=(2, 4))
        dilated = y if i in (0, len(layers) - 1) else dilated + torch.nn.functional.gelu(y)
    split = solvers.decomposition
    torch.testing.assert_close(split.join(solvers(split.split(x))), dilated, rtol=0, atol=1e-12)


def test_translations_of_a_torus_pass_through_shared_sub_solvers():
    operator = awake(fitted("burgers", space=2, resolution=16, dt=0.02))
    x = first_inputs(operator, "burgers")
    base = operator.predict(x)
    for shift in (1, 2, 5):
        np.testing.assert_allclose(
            operator.predict(np.roll(x, shift, -1)), np.roll(base, shift, -1), atol=1e-5 * np.abs(base).max()
        )


@pytest.mark.parametrize("backbone", [ResNet(width=6, layers=3), FNO(width=6, modes=4, layers=2), "unet:tiny", "lordnet:tiny"])
def test_separate_sub_solvers_in_one_call_are_those_of_a_loop_and_of_shared_weights(backbone):
    operators = {
        kind: awake(fitted(backbone=backbone, sharing=sharing, backend=backend, settings={}))
        for kind, sharing, backend in (
            ("one", "separate", "batched"),
            ("loop", "separate", "loop"),
            ("tied", "shared", "batched"),
        )
    }
    x = first_inputs(operators["one"])
    answers = {kind: operators[kind].predict(x) for kind in ("one", "loop")}
    np.testing.assert_allclose(answers["one"], answers["loop"], atol=1e-5 * np.abs(answers["loop"]).max())
    assert operators["one"].parameter_count > 3 * operators["tied"].parameter_count
    with torch.no_grad():
        for network in operators["one"].module.solvers.networks:
            for mine, theirs in zip(
                network.parameters(), operators["tied"].module.solvers.networks[0].parameters(), strict=True
            ):
                mine.copy_(theirs)
        change = {k: operators[k].predict(x) - x[:, :1] for k in ("one", "tied")}
    scale = operators["one"].output_normaliser.scale / operators["tied"].output_normaliser.scale
    np.testing.assert_allclose(change["one"] / scale, change["tied"], atol=1e-6 * np.abs(x).max())


def test_the_offset_is_told_and_the_frames_ahead():
    operator = awake(fitted(sharing="offset", time=2))
    network = operator.module
    parts = torch.ones(1, 4, network.solvers.networks[0].layers[0].in_channels - 5, 8, 8)
    with torch.no_grad():
        found = network(parts, ahead=1)
        later = network(parts, ahead=2)
    assert min(float((found[:, a] - found[:, b]).abs().max()) for a in range(4) for b in range(a)) > 1e-4
    assert (later - found).abs().max() > 1e-4


# -- parts and wholes -------------------------------------------------------------------------------------------------


def test_a_subset_of_sub_solvers_gives_the_same_points():
    operator = awake(fitted(space=4))
    x = first_inputs(operator)
    whole = operator.predict(x)
    assert np.array_equal(operator.predict(x, every=2), whole[:, :, ::2, ::2])
    assert np.array_equal(operator.predict(x, every=(4, 1)), whole[:, :, ::4])
    parts = operator.predict(x, subset=[(1, 2), (3, 0)])
    assert np.array_equal(parts[:, 0], whole[:, :, 1::4, 2::4])
    assert np.array_equal(parts[:, 1], whole[:, :, 3::4, ::4])
    rolled, coarse = operator.rolled_out(x, 5), operator.rolled_out(x, 5, every=2)
    np.testing.assert_allclose(coarse, rolled[..., ::2, ::2], rtol=0, atol=1e-6 * np.abs(rolled).max())


@pytest.mark.parametrize("time", [1, 2, 3])
def test_roll_outs_interleave_in_time(time):
    """Frame n comes from frame n - time, and the first ones from the start: the decomposed roll-out is that of whole frames."""
    operator = awake(fitted(time=time))
    x = first_inputs(operator)
    frames, given = [], [x]
    for n in range(1, 6):
        ahead = min(n, time)
        frames.append(operator.predict(given[n - ahead], ahead=ahead))
        given.append(np.concatenate([frames[-1], x[:, 1:]], axis=1))
    rolled = sciml.rollout(operator, x, 5)
    np.testing.assert_allclose(rolled, np.stack(frames, 1), atol=1e-5 * np.abs(rolled).max())
    assert rolled.shape == (3, 5, 1, 16, 16)


def test_an_exact_propagator_and_start_make_an_exact_trajectory():
    """Heat, with the true answer put in place of each sub-solver: time staggering itself costs nothing."""
    operator = awake(fitted(time=3))
    decay = 0.9
    operator.advance_parts = lambda parts, place, ahead=1, network=None, numbers=None: parts[:, :, :1] * decay**ahead
    x = first_inputs(operator)
    rolled = operator.rolled_out(x, 7)
    expected = x[:, None, :1] * decay ** np.arange(1, 8).reshape(1, -1, 1, 1, 1)
    np.testing.assert_allclose(rolled, expected, rtol=1e-5)


def test_other_resolutions():
    operator = awake(fitted())
    assert operator.predict(np.zeros((2, 1, 24, 16), np.float32)).shape == (2, 1, 24, 16)
    with pytest.raises(GridError, match="1, 3, 5, 9, 15, 45"):
        operator.predict(np.zeros((2, 1, 45, 16), np.float32))
    assert np.isfinite(operator.rolled_out(first_inputs(operator), 100)).all()


# -- training ---------------------------------------------------------------------------------------------------------


def test_learns_burgers_without_a_label_and_beats_persistence():
    problem = pdes.get("burgers").replace(time=(0, 0.2), frames=11)
    operator = fitted(
        problem,
        epochs=40,
        batch_size=8,
        lr=5e-3,
        dt=0,
        resolution=64,
        states=64,
        pool=16,
        settings={"width": 12, "layers": 4, "kernel": 5},
    )
    data = pdes.generate(problem, n=6, resolution=64, seed=5, progress=False)
    score = sciml.evaluate({"learned": operator, "persistence": _persistence(data)}, data, timing=False).scores
    assert score[0].rollout_errors[:, -1].mean() < 0.25 * score[1].rollout_errors[:, -1].mean()


def _persistence(data):
    return sciml.fit("persistence", data, **QUIET).operator


def test_no_label_is_looked_at(monkeypatch):
    """With every solver and the targets out of reach a fit runs to its end, choice of weights included."""
    from pdes import semilinear
    from sciml import tasks
    from solvers import exponential, projection

    def forbidden(*_, **__):
        raise AssertionError("a solver was called")

    for owner, name in ((semilinear.Semilinear, "__call__"), (exponential.ExponentialRK, "solve"),
                        (projection.ProjectionNavierStokes, "solve")):  # fmt: skip
        monkeypatch.setattr(owner, name, forbidden)
    seen = tasks.States.batch
    monkeypatch.setattr(tasks.States, "batch", lambda self, items: _without_targets(seen(self, items)))
    made = NeuralStagger("resnet", space=2, dt=0.1, **TINY)
    result = sciml.fit(made, "navier_stokes", epochs=2, validation=0.25, patience=5, progress=False)
    assert np.isfinite(result.best)
    labelled = moving_data(4).replace(provenance={"equation": "u_t = nu*u_xx"})
    spoilt = labelled.replace(fields={"u": np.asarray(labelled.fields["u"][...])})
    a, b = (sciml.fit(NeuralStagger("resnet:tiny", space=2, learn="physics"), d, epochs=1, **QUIET) for d in (labelled, spoilt))
    assert a.operator.learns == "physics"
    assert np.array_equal(a.operator.state()["module.gain"], b.operator.state()["module.gain"])


def _without_targets(batch):
    return dataclasses.replace(batch, targets=0 * batch.targets)


def test_as_many_residuals_as_predicted_frames_and_the_first_against_what_is_given():
    operator = awake(fitted(time=2))
    x = torch.as_tensor(first_inputs(operator))
    end, terms, sizes = operator.window_terms(x, 5)
    assert len(terms) == len(sizes) == 5
    assert end.shape == x.shape
    loss = lambda shift: float(_shifted(operator, shift).window_loss(x, 3)[1].detach())  # noqa: E731
    assert loss(0.1) > 2 * loss(0.0)  # a common shift of all predicted frames is not free


def _shifted(operator, shift):
    other = copy.copy(operator)
    other.advance = lambda inputs, ahead=1, network=None: operator.advance(inputs, ahead, network) + shift
    return other


def test_causal_and_full_gradients_are_the_same_for_one_frame_and_not_for_more():
    operator = awake(fitted())
    x = torch.as_tensor(first_inputs(operator))
    found = {}
    for frames in (1, 3):
        for gradient in ("causal", "full", "energy"):
            operator.config = dataclasses.replace(operator.config, gradient=gradient)
            operator.module.zero_grad()
            operator.window_loss(x, frames)[1].backward()
            found[frames, gradient] = torch.cat([p.grad.flatten() for p in operator.module.parameters()])
    torch.testing.assert_close(found[1, "causal"], found[1, "full"], rtol=1e-5, atol=1e-7)
    assert (found[3, "causal"] - found[3, "full"]).norm() > 1e-3 * found[3, "full"].norm()
    assert (found[3, "energy"] - found[3, "full"]).norm() > 1e-3 * found[3, "full"].norm()


def heat_states(n=64, points=32, seed=3):
    """Heat on a torus, one-dimensional, states of a rough Gaussian law; (dataset, spectrum, wavenumbers)."""
    rng, k = np.random.default_rng(seed), 2 * np.pi * np.fft.fftfreq(points, 1 / points)
    spectrum = (k**2 + 49) ** -0.9
    spectrum[0] = 0
    noise = np.fft.fft(rng.standard_normal((n, points)))
    u = np.fft.ifft(noise * np.sqrt(spectrum)).real
    provenance = {"equation": "u_t = nu*u_xx", "step": 1.0, "steps": 1, "family": "heat"}
    data = Dataset(
        fields={"u": u[:, None]},
        grid=Grid.box("periodic", points),
        times=[0.0],
        parameters={"nu": np.full(n, 2e-3)},
        provenance=provenance,
    )
    return data, spectrum, k


@pytest.mark.parametrize(("norm", "frames"), [("preconditioned", 1), ("plain", 1), ("plain", 4)])
def test_a_linear_sub_solver_trained_by_the_residual_is_the_best_filter(norm, frames):
    """The whole path (drawing, training, roll-out) finds the minimiser that a formula gives, and is not below the floor."""
    data, spectrum, k = heat_states()
    how = {"norm": norm, "pool": 0, "rollout": frames, "gradient": "full"}
    made = NeuralStagger("resnet", space=4, settings={"layers": 1, "kernel": 7}, **how)
    operator = sciml.fit(made, data, epochs=300, batch_size=64, lr=5e-2, **QUIET).operator
    impulse = np.zeros((1, 1, 32), np.float32)
    impulse[..., 0] = 1
    learned = np.fft.fft(operator.predict(impulse)[0, 0] - operator.predict(0 * impulse)[0, 0])
    linear, exact = -2e-3 * k**2, np.exp(-2e-3 * k**2)
    new, old = 1 - linear / 2, -1 - linear / 2
    best = rolled_filter(spectrum, new, old, 4, frames, 1 / new if norm == "preconditioned" else None)
    expected, found = filter_error(spectrum, exact, best), filter_error(spectrum, exact, learned)
    assert found == pytest.approx(expected, rel=0.1)
    assert found > 0.99 * information_floor(spectrum, exact, 4)
    other = best_filter(spectrum, new, old, 4, None if norm == "preconditioned" else 1 / new)
    assert abs(filter_error(spectrum, exact, other) - found) > 3 * abs(expected - found)  # it tells the two norms apart
    size = lambda h: float(np.sqrt((spectrum * np.abs(h) ** 2).sum()))  # noqa: E731
    assert size(learned) == pytest.approx(size(best), rel=0.1)  # of 64 states; four frames take a fifth away


def test_the_pool_goes_on_replaces_what_leaves_and_comes_back_from_a_file():
    pool, rng = Pool(2, horizon=3), np.random.default_rng(0)
    fresh = torch.ones(4, 1, 4)
    batch, rows = pool.mixed(fresh, rng)
    assert len(rows) == 0
    pool.put(batch, rows, 1)
    batch, rows = pool.mixed(2 * fresh, rng)
    assert sorted(rows) == [0, 1]
    assert batch[:2].unique().tolist() == [2.0]
    moved = batch * 1.1
    moved[2] *= 100  # leaves the range of energies
    pool.put(moved, rows, 1)
    assert pool.replaced == 1
    assert sorted(pool.age.tolist()) == [1, 2]
    again = Pool(2, 3)
    again.load(pool.arrays(), torch.device("cpu"), torch.float32)
    assert torch.equal(again.states, pool.states)
    assert again.report() == pool.report()


def test_resumed_training_on_physics_is_uninterrupted_training(tmp_path):
    options = {"validation": 0.25, "progress": False, "batch_size": 2, "seed": 3}
    make = lambda: NeuralStagger("resnet", space=2, time=2, dt=0.1, **TINY)  # noqa: E731
    whole = sciml.fit(make(), "navier_stokes", epochs=4, **options)

    def kill(state):
        if state.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    broken = sciml.fit(
        make(), "navier_stokes", epochs=4, checkpoint=tmp_path, checkpoint_seconds=0.0, callbacks=[kill], **options
    )
    assert broken.stopped == "interrupted"
    resumed = sciml.fit(make(), "navier_stokes", epochs=4, checkpoint=tmp_path, resume=True, **options)
    for name, array in whole.operator.state().items():
        assert np.array_equal(array, resumed.operator.state()[name]), name
    path = whole.operator.save(tmp_path / "solver.safetensors")
    x = first_inputs(whole.operator)
    again = sciml.load(path)
    assert np.array_equal(again.predict(x), whole.operator.predict(x))
    assert (again.config.scheme, again.config.learn, again.config.time) == ("trapezoid", "physics", 2)


def test_data_and_mixed_losses_use_all_frames_ahead():
    problem = pdes.get("burgers").replace(time=(0, 0.1), frames=6)
    data = pdes.generate(problem, n=4, resolution=32, seed=5, progress=False)
    for learn in ("data", "mixed"):
        made = NeuralStagger("resnet", space=2, time=3, learn=learn, settings={"width": 6, "layers": 3}, pool=4)
        result = sciml.fit(made, data, epochs=2, batch_size=4, **QUIET)
        gain = result.operator.state()["module.gain"]
        assert (np.abs(gain) > 0).all()
        assert result.operator.learns == learn


def test_history_gives_a_sub_solver_its_own_past():
    data = pdes.generate(pdes.get("burgers").replace(time=(0, 0.1), frames=6), n=4, resolution=32, seed=5, progress=False)
    task = sciml.tasks.Autoregressive(data, history=3)
    made = NeuralStagger("resnet", space=4, learn="physics", scheme="bdf2", settings={"width": 6, "layers": 3}, pool=4)
    operator = awake(sciml.fit(made, data, task=task, epochs=1, **QUIET).operator)
    x = task.all().inputs
    base = operator.predict(x)
    other = x.copy()
    other[:, 0] += 0.1
    assert np.abs(operator.predict(other) - base).max() > 1e-4
    assert operator.rolled_out(x[:2], 4).shape == (2, 4, 1, 32)


# -- classical iterations ---------------------------------------------------------------------------------------------


def test_corrections_reach_the_tolerance_or_say_that_they_did_not():
    operator = awake(fitted())
    x = first_inputs(operator)
    frame, certificate = operator.certified(x, 30, 1e-6)
    assert (certificate.residual <= 1e-6).all()
    p, past = operator.physics.known(torch.as_tensor(x)), operator.physics.past(torch.as_tensor(x))
    stepper = operator.physics.at((16, 16))
    r = stepper.precondition(stepper.residual(torch.as_tensor(frame), past, p), p)
    again = [float(a.norm() / b.norm()) for a, b in zip(r, torch.as_tensor(frame), strict=True)]
    np.testing.assert_allclose(again, certificate.residual, rtol=0.05, atol=2e-7)
    with pytest.raises(SolverError, match="after 1 sweeps"):
        operator.certified(x, 1, 1e-9)
    once = operator.predict(x, correct=1)
    assert np.array_equal(once, operator.certified(x, 1)[0])
    assert np.abs(once - operator.predict(x)).max() > 1e-4
    exact = stepper.step([u.double() for u in past], p, 1e-10).numpy()
    found = operator.predict(x, correct=20)
    np.testing.assert_allclose(found, exact, atol=1e-5 * np.abs(exact).max())
    assert operator.rolled_out(x, 3, correct=2).shape == (3, 3, 1, 16, 16)


def test_starting_from_a_sweep_is_never_worse_than_the_sweep_before_training():
    operator = fitted(start="sweep", epochs=1)
    with torch.no_grad():
        operator.module.gain.zero_()
    x = torch.as_tensor(first_inputs(operator))
    past, p = operator.physics.past(x), operator.physics.known(x)
    swept = operator.physics.at((16, 16)).sweep(past[0], past, p)[0].numpy()
    np.testing.assert_allclose(operator.predict(x.numpy()), swept, atol=1e-6 * np.abs(swept).max())
    with pytest.raises(SettingError, match="the whole field"):
        operator.predict(x.numpy(), every=2)


# -- walls, dimensions, refusals --------------------------------------------------------------------------------------


def test_a_cavity_keeps_its_walls_at_every_step():
    operator = awake(fitted("cavity", dt=0.02, space=4, time=2))
    assert operator.module.solvers.sharing == "offset"
    x = first_inputs(operator, "cavity")
    rolled = operator.rolled_out(x, 6)
    assert np.abs(rolled[..., [0, -1], :]).max() == 0
    assert np.abs(rolled[..., :, [0, -1]]).max() == 0
    u, v = operator.physics.at((16, 16)).space.velocity(torch.as_tensor(rolled[:, -1]).double())
    assert ((u[:, 1:] - u[:, :-1] + v[:, :, 1:] - v[:, :, :-1]) * 15).abs().max() < 1e-10
    assert np.abs(rolled[:, 0] - x[:, :1]).max() > 1e-4


def test_neumann_walls_and_three_dimensions():
    walls = pdes.Problem(
        name="box", equation="u_t = nu*lap(u) + u - u^3", domain=pdes.Box(x=(0, 1), y=(0, 2), boundary="neumann", kind="cell"),
        time=(0, 1), parameters={"nu": 0.01}, initial={"u": pdes.grf(tau=5, alpha=2)},
    )  # fmt: skip
    operator = awake(fitted(walls, space=(2, 4), resolution=(8, 16)))
    assert operator.physics.at((8, 16)).space.__class__.__name__ == "FiniteDifference"
    cube = pdes.Problem(
        name="cube", equation="u_t = nu*lap(u) - u*u_x - u*u_z", domain=pdes.Periodic(x=(0, 1), y=(0, 1), z=(0, 1)),
        time=(0, 0.1), parameters={"nu": pdes.uniform(0.01, 0.05)}, initial={"u": pdes.grf(tau=5, alpha=3, modes=4)},
    )  # fmt: skip
    solver = awake(fitted(cube, space=(2, 1, 4), time=2, resolution=8, dt=0.01))
    x = first_inputs(solver, cube)
    assert x.shape == (3, 2, 8, 8, 8)
    assert solver.rolled_out(x, 4, every=(2, 1, 2)).shape == (3, 4, 1, 4, 8, 4)
    assert operator.parameter_count > 0


def test_coordinates_of_a_source_are_told_and_move_with_the_offset():
    operator = fitted(space=2)
    place = operator._place(operator.decomposition((16, 16)), torch.zeros(1))
    x, y = Grid.box("periodic", 16, dimension=2).mesh()
    shapes = [np.sin(2 * np.pi * (x + y)), np.cos(2 * np.pi * (x + y))]
    whole = operator.decomposition((16, 16)).join(place)[0].numpy()
    fits = [np.abs(row / np.abs(row).max() - s / np.abs(s).max()).max() < 1e-5 for row in whole for s in shapes]
    assert sum(fits) == 2
    frames = np.random.default_rng(3).standard_normal((2, 3, 16, 16))
    provenance = {"equation": str(pdes.get("navier_stokes").equation)}
    labelled = Dataset(
        fields={"w": frames}, grid=Grid.box("periodic", 16, dimension=2), times=[0, 0.1, 0.2], provenance=provenance
    )
    by_data = sciml.fit(NeuralStagger("resnet:tiny", space=2, learn="data"), labelled, epochs=1, **QUIET).operator
    assert torch.equal(by_data._place(by_data.decomposition((16, 16)), torch.zeros(1)), place)


def test_refusals():
    with pytest.raises(GridError, match=r"factor 3 for the 16 points of axis x.*1, 2, 4, 8, 16"):
        fitted(space=3)
    with pytest.raises(SettingError, match="ties neighbouring points"):
        fitted("burgers", scheme="centred", learn="physics", dt=0.02)
    with pytest.raises(SettingError, match=r"pdes.generate"):
        sciml.fit("resnet:tiny", "burgers", progress=False)
    with pytest.raises(DataError, match="which have no solutions"):
        fitted(learn="data")
    with pytest.raises(DataError, match="name their equation"):
        sciml.fit(NeuralStagger("resnet:tiny", learn="physics"), moving_data(), **QUIET)
    with pytest.raises(SettingError, match="steady problem 'darcy'"):
        fitted("darcy")
    with pytest.raises(UnknownName, match="trapezoid"):
        NeuralStagger(scheme="crank")
    with pytest.raises(SettingError, match="'lordnet'"):
        NeuralStagger("linear")
    with pytest.raises(SettingError, match="time, rollout, states >= 1"):
        NeuralStagger(time=0)
    operator = fitted(space=4)
    x = first_inputs(operator)
    with pytest.raises(SettingError, match="a divisor of 4: 1, 2, 4"):
        operator.predict(x, every=3)
    with pytest.raises(SettingError, match="the whole field"):
        operator.predict(x, every=2, correct=1)
    with pytest.raises(SettingError, match=r"1 to time=1"):
        operator.predict(x, ahead=2)
    with pytest.raises(SettingError, match="offsets below"):
        operator.predict(x, subset=[(4, 0)])
    steady = sciml.fit(NeuralStagger("resnet:tiny", space=(2, 3)), smooth_data(8, 12), epochs=1, **QUIET).operator
    with pytest.raises(SettingError, match="without an equation"):
        steady.predict(np.zeros((1, 1, 12, 12), np.float32), correct=1)


PROCESSES = """
import sys
import numpy as np
import torch
import sciml
from sciml.operators.neural_stagger.processes import side_by_side

torch.set_num_threads(1)
solver = sciml.load(sys.argv[1] + "/solver.safetensors")
frames = side_by_side(solver, np.load(sys.argv[1] + "/inputs.npy"), 3)
rank = torch.distributed.get_rank()
np.save(f"{sys.argv[1]}/frames{rank}.npy", frames)
torch.distributed.destroy_process_group()
"""


def test_processes_evaluate_sub_solvers_side_by_side_with_the_same_result(tmp_path):
    operator = awake(fitted(sharing="separate", backend="loop"))
    x = first_inputs(operator)
    operator.save(tmp_path / "solver.safetensors")
    np.save(tmp_path / "inputs.npy", x)
    (tmp_path / "run.py").write_text(PROCESSES)
    root = str(Path(sciml.__file__).parents[1])
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(tmp_path / "run.py"),
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert ran.returncode == 0, ran.stderr[-2000:]
    expected = operator.rolled_out(x, 3)
    for rank in (0, 1):
        assert np.array_equal(np.load(tmp_path / f"frames{rank}.npy"), expected)
