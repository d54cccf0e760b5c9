"""Latent ODE: uneven times and masks, the evidence bound against its formula, unseen values, both backends."""

import numpy as np
import pytest
import torch

import sciml
from pdes.dataset import Dataset
from sciml.checks import moving_data
from sciml.nde.torch_learner import applied
from sciml.operators.latent_ode import LatentODE
from sciml.tasks import as_task
from solvers.errors import GridError, SettingError
from solvers.grid import Grid

TIMES = np.array([0.0, 0.1, 0.15, 0.3, 0.35, 0.5, 0.55, 0.7, 0.8, 1.0])


def oscillations(n=48, seed=5, padded=False):
    """Damped oscillations at uneven times; 70 % of the values are seen, the last ones of some series are padding."""
    rng = np.random.default_rng(seed)
    size, phase = rng.uniform(0.5, 1.5, (2, n, 1))
    x = size * np.exp(-TIMES) * np.cos(5 * TIMES + 2 * phase)
    lengths = rng.integers(6, 11, n) if padded else np.full(n, 10)
    valid = np.arange(10) < lengths[:, None]
    seen = valid & (rng.uniform(size=x.shape) < 0.7)
    step = np.broadcast_to(np.diff(TIMES, prepend=0.0), x.shape)
    inputs = {"series": x * seen, "seen": seen * 1.0, "valid": valid * 1.0, "dt": step}
    return Dataset(fields={"x": x * valid}, inputs=inputs, grid=Grid(()), times=TIMES, provenance={"family": "oscillations"})


def fitted(data, epochs=2, **config):
    task = as_task("sequence", data, steps="dt")
    operator = LatentODE(hidden=16, latent=6, width=16, valid="valid", **config)
    return sciml.fit(operator, data, task=task, epochs=epochs, batch_size=24, validation=False, progress=False, seed=3)


def test_unseen_values_of_new_series_are_found():
    operator = fitted(oscillations(96), epochs=120).operator
    new = oscillations(64, seed=8)
    batch = as_task("sequence", new, steps="dt").all()
    hidden = np.asarray(new.inputs["seen"][:])[:, None] == 0
    error = np.sqrt(((operator.predict(batch.inputs) - batch.targets)[hidden] ** 2).mean())
    assert error < 0.25 * batch.targets[hidden].std()


def test_the_loss_is_the_evidence_bound_and_padding_does_not_count():
    data = oscillations(padded=True)
    operator = fitted(data, sigma=0.2, kl=1.0).operator
    batch = as_task("sequence", data, steps="dt").all()
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.targets)
    setting = operator.config.solve
    full, none = (applied(operator, x, setting, False, share, None, None) for share in (1.0, 0.0))
    valid = np.asarray(data.inputs["valid"][:])
    assert not full.outputs.detach()[:, 0][valid == 0].any()
    scales = {name: torch.as_tensor(a).float() for name, a in operator.scales().items()}
    loss = operator.task_loss(full.outputs, y, x, scales, None, torch)
    off = (full.outputs.detach().numpy()[:, 0] - batch.targets[:, 0]) / (0.2 * operator.output_normaliser.scale)
    exact = np.mean((0.5 * off**2 * valid).sum(1) / valid.sum(1))
    np.testing.assert_allclose(float(loss.detach()), exact, rtol=1e-4)
    spoilt = operator.task_loss(full.outputs, y + torch.as_tensor(1 - valid)[:, None].float(), x, scales, None, torch)
    np.testing.assert_allclose(float(spoilt.detach()), float(loss.detach()), rtol=1e-6)
    assert float(none.further.detach()) == 0  # the divergence is not there at the start

    half, whole = (float(applied(operator, x, setting, False, s, None, None).further.detach()) for s in (0.125, 0.25))
    np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-6)

    # And against torch's own divergence: with noise 0 the flow starts at the mean, with noise 1 a deviation beside it.
    starts = []

    def solve(f, z, times):
        starts.append(z.detach().double())
        return setting(f, z, times, training=False)

    for noise in (0.0, 1.0):
        drawn = torch.full((len(x), operator.config.latent), noise)
        operator.model(
            dict(operator.module.named_parameters()), operator.input_normaliser.encode(x), scales, torch, solve, 1.0, drawn
        )
    posterior = torch.distributions.Normal(starts[0], starts[1] - starts[0])
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).numpy()
    np.testing.assert_allclose(float(full.further.detach()), (divergence / valid.sum(1)).mean(), rtol=1e-4)


def test_backends_train_alike():
    histories, answers = [], []
    for backend in ("torch", "jax"):
        task = as_task("sequence", oscillations(), steps="dt")
        operator = LatentODE(hidden=8, latent=4, width=8, valid="valid", backend=backend, method="dopri5", first_step=0.2,
                             regularisers=("R_E", "R_S"), weights=(0.1, 0.01))  # fmt: skip
        result = sciml.fit(operator, oscillations(), task=task, epochs=2, batch_size=24, validation=False, progress=False,
                           seed=3, precision="float64")  # fmt: skip
        histories.append([(row["loss"], row["task_loss"], row["R_E"]) for row in result.history.rows])
        answers.append(operator.predict(task.all().inputs))
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-8)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-7, atol=1e-9)


def test_refusals():
    with pytest.raises(SettingError, match="sigma"):
        LatentODE(sigma=0.0)
    with pytest.raises(SettingError, match="nonsense"):
        sciml.fit(LatentODE(valid="nonsense"), oscillations(), task=as_task("sequence", oscillations(), steps="dt"),
                  progress=False)  # fmt: skip
    data = moving_data()
    field = np.asarray(data.fields["u"][:])
    with pytest.raises(GridError, match="time alone"):
        sciml.fit(LatentODE(), data.replace(inputs={"u_seen": field}), task="sequence", progress=False)
