"""Control through solvers: gradients are those of central differences, and the adjoint finds the force that made the target."""

import numpy as np
import pytest
import torch

import sciml
from benchmarks.optimal_control import by_adjoint, by_network, control, cosine, differences, gradient, optimised, problem
from sciml.operators.neural_stagger import NeuralStagger


@pytest.fixture(scope="module")
def task():
    return control(7, size=16)


def test_the_adjoint_is_the_gradient_and_finds_the_hidden_force(task):
    adjoint, c = by_adjoint(task), np.linspace(-0.5, 0.5, 10)
    np.testing.assert_allclose(gradient(adjoint, c)[1], differences(adjoint, c), rtol=1e-5, atol=1e-9)
    found, _, _ = optimised(adjoint, 10, 60, torch.float64)
    assert task.scored(found) < 0.02 * task.scored(np.zeros(10))
    assert np.linalg.norm(found - task.hidden) < 0.2 * np.linalg.norm(task.hidden)


def test_gradients_through_the_learned_solver_are_its_own_and_point_the_way(task):
    torch.set_num_threads(1)
    made = NeuralStagger(
        "resnet", space=2, time=2, settings={"width": 8, "layers": 3}, resolution=16, states=64, pool=16, dt=0.1
    )
    operator = sciml.fit(made, problem(), epochs=20, batch_size=8, lr=5e-3, validation=False, progress=False).operator
    learned, adjoint, c = by_network(task, operator), by_adjoint(task), np.linspace(-0.5, 0.5, 10)
    angle = cosine(gradient(learned, c, torch.float32)[1], gradient(adjoint, c)[1])
    assert angle > 0.9
    operator.module.double()
    np.testing.assert_allclose(gradient(learned, c)[1], differences(learned, c), rtol=1e-4, atol=1e-8)
