"""Networks of other packages as contestants: they bind, learn, answer, are stored, and leave the process as it was."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import sciml
from benchmarks.suite.peers import APEBENCH, PEERS, _sizes, boundary_mode, deepxde_networks, installed
from benchmarks.suite.tasks import SuiteTask, load
from sciml.operator import as_operator
from sciml.tasks import as_task
from solvers.errors import GridError, UnknownName

SMALL = {
    "neuraloperator": {"modes": 4, "width": 4, "layers": 1},
    "deepxde": {"width": 4, "layers": 1},
    "apebench Conv": {"hidden_channels": 3, "depth": 1},
    "apebench ResNet": {"hidden_channels": 3, "num_blocks": 1},
    "apebench UNet": {"hidden_channels": 2, "num_levels": 1},
    "apebench dilated ResNet": {"hidden_channels": 2, "num_blocks": 1},
    "apebench FNO": {"hidden_channels": 3, "num_modes": 4, "num_blocks": 1},
}
TASKS = {
    1: SuiteTask("a", "map", "heat", 16, 4, 1, 2, kind="final", options={"time": [0.0, 0.05], "frames": 2}, networks=SMALL),
    2: SuiteTask("b", "rollout", "shallow_water", 16, 4, 1, 2, kind="autoregressive",
                 options={"time": [0.0, 0.1], "frames": 2}, networks=SMALL),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    return {dimension: replace(task, finer=1, shift=False).data(folder) for dimension, task in TASKS.items()}


def _made(name, dimension, data, seed=3):
    import torch

    signature = as_task(TASKS[dimension].kind, data[dimension]["train"]).signature
    torch.manual_seed(seed)
    return PEERS[name][1](TASKS[dimension], len(signature.inputs), len(signature.outputs), seed)


@pytest.mark.filterwarnings("ignore")  # of the packages
@pytest.mark.parametrize("dimension", TASKS)
@pytest.mark.parametrize("name", [n for n in PEERS if not n.startswith("apebench") or n.endswith("Conv")])  # one of a kind
def test_a_peer_learns_answers_and_is_stored(name, dimension, data, tmp_path):
    pytest.importorskip(PEERS[name][0])
    assert installed(name)
    parts, kind = data[dimension], TASKS[dimension].kind
    options = {"task": kind, "epochs": 2, "batch_size": 4, "validation": False, "progress": False, "seed": 3}
    operator = sciml.fit(_made(name, dimension, data), parts["train"], **options).operator
    asked = as_task(kind, parts["test"]).all()
    found = operator.predict(asked.inputs)
    assert found.shape == asked.targets.shape
    assert np.isfinite(found).all()
    untrained = as_operator(_made(name, dimension, data))
    untrained.bind(as_task(kind, parts["train"]))
    before, after = untrained.state(), operator.state()
    assert any(not np.array_equal(before[key], after[key]) for key in after)
    again = sciml.load(operator.save(tmp_path / "peer"), module=_made(name, dimension, data, seed=4)).state()
    assert again.keys() == after.keys()
    assert all(np.array_equal(again[key], after[key]) for key in after)


def test_deepxde_leaves_the_process_as_it_was(data):
    pytest.importorskip("deepxde")
    import os

    import torch

    before = torch.get_default_device(), torch.get_default_dtype(), os.environ.get("DDE_BACKEND")
    for name in [n for n in sys.modules if n.partition(".")[0] == "deepxde"]:
        del sys.modules[name]
    assert deepxde_networks().DeepONetCartesianProd
    assert (torch.get_default_device(), torch.get_default_dtype(), os.environ.get("DDE_BACKEND")) == before


def test_deepxde_says_that_its_branch_has_fixed_points(data):
    pytest.importorskip("deepxde")
    operator = as_operator(_made("deepxde DeepONet", 1, data))
    task = as_task("final", data[1]["train"])
    operator.bind(task)
    with pytest.raises(GridError, match="as trained"):
        operator.predict(np.zeros((1, len(task.signature.inputs), 32), np.float32))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [k for k in APEBENCH if k != "UNet"])  # its strides know even points from odd ones
def test_apebench_on_a_torus_does_not_know_where_zero_is(kind, data):
    pytest.importorskip("pdequinox")
    module = _made(f"apebench {kind}", 1, data)
    x = np.random.default_rng(5).standard_normal((module_channels(data), 16)).astype(np.float32)
    shifted = np.roll(np.asarray(module(x)), 3, -1)
    np.testing.assert_allclose(np.asarray(module(np.roll(x, 3, -1))), shifted, atol=2e-5)


def module_channels(data):
    return len(as_task("final", data[1]["train"]).signature.inputs)


def test_apebench_pads_as_the_grid_has_it():
    modes = {name: boundary_mode(load("m")[name].posed().stored_grid(16)) for name in ("burgers", "darcy", "shallow_water")}
    assert modes == {"burgers": "periodic", "darcy": "dirichlet", "shallow_water": "neumann"}


@pytest.mark.filterwarnings("ignore")
def test_apebench_has_the_sizes_of_its_paper():
    pytest.importorskip("pdequinox")
    sizes = {"Conv": 31757, "ResNet": 32943, "UNet": 27193, "dilated ResNet": 31777, "FNO": 32527}
    task = replace(TASKS[1], networks={})
    import equinox
    import jax

    for kind, numbers in sizes.items():
        make = PEERS[f"apebench {kind}"][1]
        shapes = equinox.filter_eval_shape(lambda make=make: make(task, 1, 1, 0))
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "size")) == numbers
        x = jax.ShapeDtypeStruct((3, 16, 16), "float32")
        answer = equinox.filter_eval_shape(lambda x, make=make: make(replace(TASKS[2], networks={}), 3, 2, 0)(x), x)
        assert answer.shape == (2, 16, 16)


def test_a_size_that_no_network_of_a_package_has():
    task = replace(TASKS[1], networks={"neuraloperator": {"mode": 4}})
    with pytest.raises(UnknownName, match=r"size of neuraloperator in task 'a' 'mode'.*modes"):
        _sizes(task, "neuraloperator", {"modes": 8, "width": 12}, others=("layers",))


def test_what_a_peer_cannot_be():
    with pytest.raises(UnknownName, match="peer 'nobody'"):
        installed("nobody")
    pytest.importorskip("pdequinox")
    with pytest.raises(GridError, match="that 4 divides"):
        PEERS["apebench UNet"][1](replace(TASKS[1], resolution=30, networks={}), 1, 1, 0)
