"""Fourier layers with a memory: roll-outs, causality, what each kind of memory sees, other grids and frame steps, refusals."""

import numpy as np
import pytest
import torch

import sciml
from pdes.dataset import Dataset
from sciml.checks import moving_data, signal_data
from sciml.operators.memory_fno import MemoryFNO
from sciml.tasks import as_task
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid

KINDS = (
    {},
    {"memory": "gru"},
    {"memory": "none"},
    {"history": 3, "gated": False},
    {"structure": "diagonal", "residual": False},
)
OPTIONS = {"validation": False, "progress": False, "task": "forecast"}


def trained(data=None, epochs=1, **config):
    torch.set_num_threads(1)
    made = MemoryFNO(**({"width": 8, "modes": 8, "before": 1, "after": 1, "order": 6} | config))
    return sciml.fit(made, moving_data() if data is None else data, epochs=epochs, batch_size=4, **OPTIONS).operator


def frames_of(data=None):
    return as_task("forecast", moving_data() if data is None else data).all().inputs


def noisy(inputs, seed=5):
    """Other inputs of the same shape: untrained enough that every channel matters."""
    return inputs + np.random.default_rng(seed).standard_normal(inputs.shape).astype(np.float32)


@pytest.mark.parametrize("config", KINDS)
def test_rolling_out_with_states_is_looking_at_all_frames_anew(config):
    operator, frames = trained(**config), noisy(frames_of())
    for given in (1, 3):
        rolled = operator.continued(frames[:, :, :given], 4)
        anew = sciml.Operator.continued(operator, frames[:, :, :given], 4)
        assert rolled.shape == (8, 4, 1, 32)
        np.testing.assert_allclose(rolled, anew, atol=1e-4 * np.abs(anew).max())
    np.testing.assert_allclose(rolled[:, 0], operator.predict(frames)[:, :, 2], atol=1e-4 * np.abs(anew).max())


@pytest.mark.parametrize("config", KINDS)
def test_only_the_past_matters_and_only_as_far_as_the_memory_reaches(config):
    operator, frames = trained(**config), noisy(frames_of())
    base = operator.predict(frames)
    later, earlier = frames.copy(), frames.copy()
    later[:, 0, 3:] += 1
    earlier[:, 0, 0] += 1
    np.testing.assert_allclose(operator.predict(later)[:, :, :3], base[:, :, :3], atol=1e-5 * np.abs(base).max())
    reach = np.abs(operator.predict(earlier) - base).max((0, 1, 3)) / np.abs(base).max() > 1e-6
    expected = {"none": [1, 0, 0, 0, 0]}.get(config.get("memory"), [1, 1, 1, 1, 1])
    np.testing.assert_array_equal(reach, np.array(expected, bool))


def test_history_alone_reaches_so_many_frames():
    operator, frames = trained(memory="none", history=3), noisy(frames_of())
    earlier = frames.copy()
    earlier[:, 0, 1] += 1
    reach = np.abs(operator.predict(earlier) - operator.predict(frames)).max((0, 1, 3)) > 1e-4
    np.testing.assert_array_equal(reach, [False, True, True, True, False])


def test_learns_decaying_modes_and_evaluates_with_a_roll_out():
    operator = trained(epochs=60)
    data = moving_data()
    score = sciml.evaluate(operator, data, timing=False).scores[0]
    assert score.errors["relative_l2"].mean() < 0.08
    assert score.rollout_errors.shape == (8, 5)
    np.testing.assert_array_equal(score.rollout_times, data.times[1:])
    assert score.rollout_errors[:, 0].mean() < score.rollout_errors[:, -1].mean() < 0.5


def test_translations_pass_through_on_a_circle():
    operator, frames = trained(), noisy(frames_of())
    shifted = operator.predict(np.roll(frames, 5, axis=-1))
    np.testing.assert_allclose(shifted, np.roll(operator.predict(frames), 5, axis=-1), atol=1e-4)


def test_walls_are_seen():
    grid = Grid.box("node", 33, dimension=1, boundary="dirichlet")
    u = np.random.default_rng(2).standard_normal((4, 5, 33))
    data = Dataset(fields={"u": u}, grid=grid, times=np.arange(5.0))
    operator, frames = trained(data), frames_of(data)
    flat = np.ones_like(frames)
    assert np.ptp(operator.predict(flat)[0, 0, 0]) > 1e-3


def test_two_dimensions_with_a_constant_input_and_a_parameter():
    rng = np.random.default_rng(3)
    grid = Grid.box("periodic", 12, dimension=2)
    data = Dataset(
        fields={"u": rng.standard_normal((3, 4, 12, 12)), "v": rng.standard_normal((3, 4, 12, 12))},
        inputs={"f": rng.standard_normal((3, 12, 12))},
        grid=grid, times=np.arange(4.0), parameters={"nu": np.arange(3.0)},
    )  # fmt: skip
    operator, frames = trained(data, modes=6, history=2), frames_of(data)
    rolled = operator.continued(frames[:, :, :1], 3)
    assert rolled.shape == (3, 3, 2, 12, 12)
    np.testing.assert_allclose(
        rolled, sciml.Operator.continued(operator, frames[:, :, :1], 3), atol=1e-3 * np.abs(rolled).max()
    )


def test_another_resolution_and_too_few_points():
    operator = trained()
    assert operator.predict(np.ones((2, 2, 4, 48), np.float32)).shape == (2, 1, 4, 48)
    with pytest.raises(GridError, match="at least 8 points"):
        operator.predict(np.ones((2, 2, 4, 6), np.float32))
    with pytest.raises(GridError, match="for 40 Fourier modes"):
        trained(modes=40)


def test_half_the_frame_step():
    """Trained on decaying modes: two half steps lead about where one whole step does, and the change is about half."""
    operator, data = trained(epochs=60), moving_data()
    frames, times = frames_of(data), data.times
    whole = operator.continued(frames[:, :, :1], 2)
    half = operator.continued(frames[:, :, :1], 4, times=np.linspace(times[0], times[2], 5))
    change = np.linalg.norm(whole[:, 0] - frames[:, :1, 0])
    assert np.linalg.norm(half[:, 1] - whole[:, 0]) < 0.5 * change
    assert np.linalg.norm(half[:, 0] - frames[:, :1, 0]) == pytest.approx(0.5 * change, rel=0.1)
    fine = operator.predict(frames, times=0.5 * np.arange(6) * times[1])
    assert fine.shape == frames[:, :1].shape
    score = sciml.evaluate(operator, data.subsample(time=2), timing=False).scores[0]  # evaluate passes the times by itself
    assert score.rollout_errors.shape == (8, 2)


def test_gates():
    gates = trained(epochs=3).gates()
    assert gates.shape == (8,)
    assert ((gates > 0) & (gates < 1)).all()
    assert np.abs(gates - 0.5).max() > 1e-5
    assert trained(gated=False).gates().size == 0
    assert trained(memory="none").gates().size == 0


def test_refusals():
    with pytest.raises(GridError, match="operator 'lssl'"):
        trained(signal_data().replace(inputs={}))
    with pytest.raises(SettingError, match="memory='lstm'"):
        MemoryFNO(memory="lstm")
    with pytest.raises(GridError, match="one number or 1"):
        trained(modes=(8, 8))
    frames = frames_of()
    with pytest.raises(SettingError, match="residual=True"):
        trained(residual=False).predict(frames, times=np.arange(6.0))
    with pytest.raises(DataError, match="6 even times"):
        trained().predict(frames, times=np.arange(5.0))
    with pytest.raises(SettingError, match="'autoregressive' for MemoryFNO"):
        sciml.fit("memory_fno:tiny", moving_data(), progress=False)


def test_changes_are_rescaled_to_second_order():
    """u(t) = exp(-t): changes over a whole frame step, exact, give those over a part of it."""
    from sciml.operators.memory_fno import _rescaled

    def mistake(step, ratio):
        over = lambda start, step: torch.tensor(np.exp(-start - step) - np.exp(-start))  # noqa: E731
        return abs(float(_rescaled(over(1.0, step), over(1.0 - ratio * step, step), ratio) - over(1.0, ratio * step)))

    for ratio in (0.5, 2.0):
        assert 2.8 < np.log2(mistake(0.2, ratio) / mistake(0.1, ratio)) < 3.3
    assert mistake(0.2, 1.0) == 0.0
