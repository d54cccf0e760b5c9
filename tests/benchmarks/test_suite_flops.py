"""Operations of networks, against counts by hand."""

import numpy as np
import pytest
import torch

import pdes
import sciml
from benchmarks.suite import scoring
from benchmarks.suite.flops import by_torch, counted
from benchmarks.suite.tasks import SuiteTask
from sciml.operator import as_operator
from sciml.tasks import as_task


def test_products_convolutions_and_transforms():
    assert by_torch(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5
    assert by_torch(lambda: torch.ones(3, 4, dtype=torch.cfloat) @ torch.ones(4, 5, dtype=torch.cfloat)) == 8 * 3 * 4 * 5
    assert by_torch(lambda: torch.nn.functional.linear(torch.ones(7, 4), torch.ones(5, 4), torch.ones(5))) == 2 * 7 * 4 * 5
    assert by_torch(lambda: torch.nn.functional.conv1d(torch.ones(1, 2, 10), torch.ones(3, 2, 3))) == 2 * 8 * 3 * 2 * 3
    assert by_torch(lambda: torch.fft.rfft(torch.ones(6, 64))) == 2.5 * 6 * 64 * 6
    assert by_torch(lambda: torch.fft.irfftn(torch.ones(2, 8, 5, dtype=torch.cfloat), s=(8, 8), dim=(1, 2))) >= 2.5 * 2 * 64 * 6
    assert by_torch(lambda: torch.fft.fft(torch.ones(6, 64, dtype=torch.cfloat))) == 5 * 6 * 64 * 6


@pytest.fixture(scope="module")
def data():
    return pdes.generate(pdes.get("heat", nu=0.01, time=(0.0, 0.2), frames=5), 3, 32, seed=3, progress=False)


def _asked(module, data):
    operator = as_operator(module)
    operator.bind(as_task("autoregressive", data))
    return operator, scoring.question(SuiteTask("h", "rollout", "heat", 32, 1, 1, 1, kind="autoregressive"), operator, data)


def test_a_roll_out_costs_its_steps(data):
    operator, asked = _asked(torch.nn.Conv1d(1, 1, 5, padding=2), data)
    assert counted(operator, asked) == 4 * 2 * 32 * 5


def test_equinox_networks_are_counted_by_xla(data):
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    operator, asked = _asked(eqx.nn.Conv1d(1, 1, 5, padding=2, key=jax.random.key(1)), data)
    by_hand = 4 * 2 * 32 * 5
    found = counted(operator, asked)
    assert found is not None
    assert 0.8 * by_hand < found < 1.8 * by_hand  # padding is not computed, scaling is counted


def test_what_is_no_network_has_no_count(data):
    operator = sciml.fit("linear", data, task="autoregressive", validation=False, progress=False).operator
    asked = scoring.question(SuiteTask("h", "rollout", "heat", 32, 1, 1, 1, kind="autoregressive"), operator, data)
    assert counted(operator, asked) is None
    assert np.isfinite(scoring.answer(operator, asked)).all()
