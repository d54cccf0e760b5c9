"""neuraloperator's own FNO as an operator of this package, and ours with its weights."""

import numpy as np
import pytest
import torch

import sciml
from sciml.checks import smooth_data

pytestmark = pytest.mark.filterwarnings("ignore")  # neuraloperator's imports warn

try:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from neuralop.models import FNO
except ImportError:
    pytest.skip("neuraloperator is not installed", allow_module_level=True)


def peer(**settings):
    torch.manual_seed(31)
    return FNO(n_modes=(8, 8), in_channels=1, out_channels=1, hidden_channels=8, n_layers=4, **settings)


def test_trained_saved_and_loaded_as_it_is(tmp_path):
    data = smooth_data()
    result = sciml.fit(peer(), data, epochs=30, batch_size=4, lr=3e-3, progress=False, validation=False)
    losses = result.history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    path = tmp_path / "peer.safetensors"
    result.operator.save(path)
    inputs = data.inputs["a"][:3][:, None]
    again = sciml.load(path, module=peer())
    assert np.array_equal(again.predict(inputs), result.operator.predict(inputs))


def test_ours_with_its_weights_equals_it():
    from benchmarks.fno_speed import converted
    from sciml.operators.fno import FourierNetwork

    theirs = peer()
    ours = FourierNetwork(1, 1, 8, (8, 8), 4, 2.0, 2.0, 0.5, True, (0.0, 0.0))
    ours.load_state_dict(converted(theirs))
    x = torch.randn(2, 1, 20, 24)
    with torch.no_grad():
        a, b = ours(x), theirs(x)
    assert (a - b).abs().max() < 1e-5 * b.abs().max()
