"""Forward-forward operator: `fit` trains it greedily, counts passes, and a real set is learned in seconds."""

import numpy as np
import pytest

import sciml
from sciml.checks import labelled_data
from sciml.operators.forward_forward import PHYSICS, ForwardForward
from solvers.errors import DataError, SettingError, UnknownName

SMALL = {"width": 8, "options": (("points", 64), ("steps", 8))}


def trained(data, **settings):
    epochs = settings.pop("epochs", 21)
    return sciml.fit(ForwardForward(**SMALL | settings), data, epochs=epochs, validation=False, progress=False).operator


def test_passes_are_counted_by_the_formula():
    """L N for training without labels in the data, L N C with, whatever the epochs; L or C L for an answer."""
    data = labelled_data(30)
    for rule, embedded in (("heads", 1), ("ridge", 1), ("pair", 3)):
        operator = trained(data, rule=rule)
        assert operator.network.passes == 2 * 30 * embedded
        operator.predict(np.asarray(data.fields["x"][...])[:, None])
        assert operator.network.passes == 4 * 30 * embedded


def test_scales_are_those_of_the_training_rows():
    data = labelled_data(40)
    operator = ForwardForward(**SMALL)
    sciml.fit(operator, data[:30], epochs=1, validation=data[30:], progress=False)
    x = np.asarray(data[:30].fields["x"][...])
    np.testing.assert_allclose(operator.mean, x.mean(0), atol=1e-6)
    assert np.all(operator.scale >= x.std(0) - 1e-6)
    np.testing.assert_allclose(operator.scale, np.maximum(x.std(0), 0.5 * np.sqrt(np.mean(x.var(0)))), rtol=1e-5)
    whole = ForwardForward(scaling="whole", **SMALL)
    sciml.fit(whole, data[:30], epochs=1, validation=False, progress=False)
    np.testing.assert_allclose(whole.scale, np.sqrt(np.mean(x.var(0))), rtol=1e-5)
    for wrong in ("pixel", None):
        with pytest.raises(UnknownName, match=f"scaling {wrong!r}"):
            ForwardForward(scaling=wrong)


def test_digits_are_learned():
    pytest.importorskip("sklearn")
    from pdes import vectors

    train, test = vectors.load("digits")
    operator = ForwardForward(rule="heads", width=32, options=(("points", 128), ("steps", 24), ("order", 3.0)))
    sciml.fit(operator, train[:600], epochs=41, batch_size=64, validation=False, progress=False)
    scores = operator.predict(np.asarray(test.fields["x"][...])[:, None])
    assert np.mean(scores.argmax(1) == test.parameters["label"][...]) > 0.9


def test_published_arrangement_runs():
    """Membranes, pair loss, digital bypass, drives of the second layer from the first alone."""
    data = labelled_data(9, features=5)
    cavity = (("microphones", 2), ("products", 2), ("modes", 16))
    operator = ForwardForward(physics="membranes", rule="pair", width=20, skip=True, inject=False, options=cavity)
    sciml.fit(operator, data, epochs=11, validation=False, progress=False)
    assert [layer.n_in for layer in operator.network.layers] == [8, 20]
    assert operator.network.stages[0].weights.shape == (20, operator.network.layers[0].n_out + 8)


def test_bad_settings_and_data():
    with pytest.raises(UnknownName, match="pulse"):
        ForwardForward(physics="pulses")
    with pytest.raises(UnknownName, match="heads"):
        ForwardForward(rule="head")
    with pytest.raises(SettingError, match="depth"):
        ForwardForward(depth=0)
    with pytest.raises(SettingError, match="at most 64"):
        trained(labelled_data(9, features=80))
    operator = trained(labelled_data(9), epochs=1)
    with pytest.raises(DataError, match="new"):
        sciml.fit(operator, labelled_data(9), epochs=1, progress=False)
    assert set(PHYSICS) >= {"pulse", "crystal", "fibre", "cavity", "membranes", "enclosure", "pendulums", "duffing"}
