"""Neural ODE: what a solve costs, penalties that are felt, budgets that are met, trajectories of a known law."""

import numpy as np
import pytest

import sciml
from pdes.dataset import Dataset
from sciml.operators.neural_ode import NeuralODE
from solvers.errors import DataError, SettingError, SolverError
from solvers.grid import Grid


def spirals(n=60, seed=4):
    """Trajectories of y' = A y, exact: a damped rotation."""
    rng, t = np.random.default_rng(seed), np.linspace(0, 1, 9)
    start = rng.standard_normal((n, 1)) + 1j * rng.standard_normal((n, 1))
    z = start * np.exp((-0.5 + 4j) * t)
    fields = {"y": np.stack([z.real, z.imag], -1)}
    return Dataset(fields=fields, grid=Grid(()), times=t, provenance={"family": "spiral"})


def two_classes(n=48, seed=6):
    """Series of one of two frequencies at random phases."""
    rng, t = np.random.default_rng(seed), np.linspace(0, 1, 12)
    label = np.arange(n) % 2
    x = np.sin(2 * np.pi * (1 + label[:, None]) * t + rng.uniform(0, 6, (n, 1)))
    provenance = {"family": "tones", "classes": ["low", "high"]}
    return Dataset(fields={"x": x}, grid=Grid(()), times=t, parameters={"label": label.astype(float)}, provenance=provenance)


def fitted(data, task, epochs=30, **config):
    return sciml.fit(NeuralODE(width=16, rtol=1e-6, atol=1e-6, **config), data, task=task, epochs=epochs, batch_size=24,
                     lr=0.02, validation=False, progress=False, seed=5, precision="float64")  # fmt: skip


def test_a_linear_law_is_learned_from_trajectories():
    data = spirals()
    operator = fitted(data, "trajectory", epochs=45).operator
    y = data.fields["y"][:]
    predicted = operator.predict(np.asarray(y[:, 0], np.float32)).reshape(60, 8, 2)
    wrong, standing = (np.linalg.norm(v - y[:, 1:]) for v in (predicted, y[:, :1]))
    assert wrong < 0.25 * standing


@pytest.fixture(scope="module")
def unpenalised():
    return fitted(two_classes(), "classification", regularisers=("R_N",), weights=(0.0,))


def test_a_penalty_lowers_the_number_of_evaluations(unpenalised):
    """Both runs end with the right classes; the coefficient is what a step may cost."""
    penalised = fitted(two_classes(), "classification", regularisers=("R_N",), weights=(0.1,))
    assert max(run.history.rows[-1]["task_loss"] for run in (unpenalised, penalised)) < 0.05
    x = np.asarray(two_classes().fields["x"][:], np.float32)[:, None]
    counts = [run.operator.solved(x).evaluations for run in (unpenalised, penalised)]
    assert counts[1] <= 0.7 * counts[0], counts


def test_a_budget_is_met(unpenalised):
    budget = fitted(two_classes(), "classification", epochs=60, regularisers=("R_N",), weights=(0.0,), target_evaluations=32,
                    dual_rate=5e-3)  # fmt: skip
    assert unpenalised.history.rows[-1]["evaluations"] > 38
    assert np.mean([row["evaluations"] for row in budget.history.rows[-10:]]) <= 34
    assert max(row["weight"] for row in budget.history.rows) > 0
    assert budget.history.rows[-1]["task_loss"] < 0.05


def test_augmented_and_per_sample():
    result = fitted(two_classes(), "classification", epochs=2, augment=3, batching="per-sample", regularisers=("R_E",),
                    weights=(0.1,), final_weights=(0.01,))  # fmt: skip
    assert result.operator.weights()["field_w0"].shape == (12 + 3 + 1, 16)
    statistics = result.operator.solved(np.asarray(two_classes(6).fields["x"][:], np.float32)[:, None])
    assert statistics.accepted.shape == (6,)


def test_backends_train_alike_and_read_each_others_files(tmp_path):
    """Two epochs with all that costs nothing, in float64: losses, evaluations and answers."""
    names = ("R_E", "R_E2", "R_S", "R_N", "kinetic")
    runs = [
        fitted(two_classes(), "classification", epochs=2, backend=backend, method="dopri5", first_step=0.1, regularisers=names,
               weights=(0.1, 0.01, 1e-3, 0.01, 0.1), final_weights=(0.01,) * 5)
        for backend in ("torch", "jax")
    ]  # fmt: skip
    columns = [[[row[n] for n in ("loss", "task_loss", *names)] for row in run.history.rows] for run in runs]
    np.testing.assert_allclose(columns[0], columns[1], rtol=1e-8)
    counts = [[row["evaluations"] for row in run.history.rows] for run in runs]
    assert counts[0] == counts[1]
    x = np.asarray(two_classes().fields["x"][:], np.float32)[:, None]
    answers = [run.operator.predict(x) for run in runs]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-8, atol=1e-10)
    arrays = runs[0].operator.state()
    runs[1].operator.load_state(arrays)
    np.testing.assert_allclose(runs[1].operator.predict(x), answers[0], rtol=1e-10)


def test_the_compiled_backend_keeps_the_contract():
    from sciml.checks import check_operator

    check_operator(lambda: NeuralODE(backend="jax", width=24), "moving", task="trajectory", epochs=120)


def test_a_budget_is_met_by_the_compiled_backend():
    budget = fitted(two_classes(), "classification", epochs=60, backend="jax", regularisers=("R_N",), weights=(0.0,),
                    target_evaluations=33, dual_rate=5e-3)  # fmt: skip
    assert np.mean([row["evaluations"] for row in budget.history.rows[-10:]]) <= 35
    assert max(row["weight"] for row in budget.history.rows) > 0
    assert budget.history.rows[-1]["task_loss"] < 0.05


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_solve_that_needs_too_many_steps_says_so(backend):
    with pytest.raises(SolverError, match="max_steps"):
        fitted(two_classes(), "classification", epochs=1, backend=backend, max_steps=2)


def test_refusals():
    with pytest.raises(SettingError, match="one weight"):
        NeuralODE(regularisers=("R_E",))
    with pytest.raises(SettingError, match="one whose coefficient"):
        NeuralODE(target_evaluations=30)
    with pytest.raises(SettingError, match="exponentially"):
        NeuralODE(regularisers=("R_E",), weights=(0.1,), final_weights=(0.0,))
    with pytest.raises(SettingError, match="compile"):
        sciml.fit(NeuralODE(), two_classes(), compile=True, progress=False)
    operator = fitted(two_classes(), "classification", epochs=1).operator
    with pytest.raises(DataError, match="12"):
        operator.predict(np.zeros((2, 1, 15), np.float32))
