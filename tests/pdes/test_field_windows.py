"""Windows of fields: labels fit the data, splits share no system, files are found again."""

import numpy as np
import pytest

import pdes
from pdes.canonical import system_of
from pdes.field_windows import CLOCK, FRAMES, field_windows, held, members
from pdes.field_words import evaluated, field_words_of
from sciml.symbolic_tasks import Continuation
from solvers.errors import DataError, UnknownName

NAMES = ("prose_heat", "prose_kdv", "prose_wave", "diffusion_bistable", "sine_gordon")


@pytest.fixture(scope="module")
def made():
    return field_windows(NAMES, 10, 3)


def residuals(windows, change=1.0):
    """|u_s - F| / |u_s| (or of u_ss) by differences of frames and derivatives of Fourier series; inner frames."""
    step = windows.times[1] - windows.times[0]
    waves = 2j * np.pi * np.fft.rfftfreq(windows.states.shape[2], 2 / windows.states.shape[2])
    for states, row in zip(windows.states.astype(float), windows.equations, strict=True):
        words = field_words_of(row.tolist())
        spectrum = np.fft.rfft(states) * (np.arange(len(waves)) < len(waves) * 2 // 3)
        derivatives = [np.fft.irfft(spectrum * waves**n, states.shape[1]) for n in range(5)]
        x = np.broadcast_to(windows.grid.axes[0].coordinates(), states.shape)
        rate = np.gradient(states, step, axis=0)
        right = evaluated(words, np.stack([*derivatives, rate, x]))
        left = (states[2:] - 2 * states[1:-1] + states[:-2]) / step**2 if len(words) == 2 else rate[1:-1]
        yield np.linalg.norm(left - change * right[1:-1]) / np.linalg.norm(left)


def test_labels_fit_the_data(made):
    fits = np.array(list(residuals(made)))
    assert np.median(fits) < 0.03
    assert fits.max() < 0.15
    assert min(residuals(made, -1.0)) > 1


def test_splits_share_no_system_and_seeds_no_field(made):
    for name in ("prose_burgers", "prose_heat"):
        laws = [held(pdes.get(name), split).parameters for split in ("train", "validation", "test")]
        rng = np.random.default_rng(5)
        first = next(iter(laws[0]))
        drawn = [{law[first].sample(rng) for _ in range(400)} for law in laws]
        assert not drawn[0] & drawn[1]
        assert not drawn[0] & drawn[2]
        assert not drawn[1] & drawn[2]
        outside = held(pdes.get(name), "outside").parameters[first]
        edges = {1.1, 0.9, 0.0027, 0.0033}
        assert not {outside.sample(rng) for _ in range(100)} & set().union(*drawn) - edges
    test = field_windows(("prose_heat",), 2, 3, "test")
    assert np.abs(test.states[0] - made.states[0]).max() > 0.1
    with pytest.raises(UnknownName, match="validation"):
        held(pdes.get("prose_heat"), "rest")


def test_a_choice_makes_families_of_its_own():
    assert [m.parameters["m"].value for m in members("porous_medium")] == [2, 3, 4]
    some = field_windows(("porous_medium",), 3, 1)
    degrees = [str(system_of(field_words_of(row.tolist()))[0].as_poly(*_symbols()).total_degree()) for row in some.equations]
    assert degrees == ["2", "3", "4"]


def _symbols():
    from pdes.canonical import STATES

    return STATES[:3]


def test_files_are_found_again(tmp_path, made):
    one = field_windows(NAMES[:2], 4, 3, folder=tmp_path)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.h5")}
    two = field_windows(NAMES[:2], 4, 3, folder=tmp_path)
    assert len(stamps) == 2
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.h5")}
    np.testing.assert_array_equal(one.states, two.states)
    np.testing.assert_array_equal(one.equations, two.equations)


def test_the_task_takes_windows_and_generated_fields(made):
    data = made.dataset()
    task = Continuation(data, given=16)
    batch = task.batch(np.array([1, 2]))
    assert batch.inputs.shape == (2, 1, 16, 128)
    assert batch.targets.shape == (2, 1, FRAMES - 16, 128)
    np.testing.assert_array_equal(batch.equations, made.equations[[1, 2]])
    assert task.signature.grid.shape == (16, 128)
    assert made.times[0] == 0
    assert made.times[-1] < CLOCK
    wave = pdes.generate("prose_wave", 2, 32, seed=1, progress=False)
    row = Continuation(wave, outputs=("u",)).batch(np.array([1])).equations[0]
    second = field_words_of(row.tolist())
    assert second[0] == ("u_5",)
    assert second[1][1] == pytest.approx(float(wave.parameters["c"][1]) ** 2, rel=5e-3)
    with pytest.raises(DataError, match="one field on a line"):
        Continuation(wave)
