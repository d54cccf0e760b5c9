"""PROSE on fields: it learns windows of equations, answers obey the grammar of fields, and what does not fit is refused."""

import numpy as np
import pytest
import torch

import pdes
import sciml
from pdes.canonical import system_of
from pdes.corruptions import ids
from pdes.field_windows import field_windows
from pdes.field_words import field_words_of
from pdes.vocabulary import BOS, ID, WORDS
from sciml.operators.prose import PROSE, Search
from sciml.operators.prose.automaton import FieldAutomaton
from sciml.operators.prose.decoding import beams, greedy
from sciml.operators.prose.dialects import Field
from sciml.operators.prose.field_scoring import field_error
from sciml.operators.prose.learner import known, told
from sciml.operators.prose.network import Network
from sciml.symbolic_tasks import Continuation
from solvers.errors import DataError, GridError, SettingError

NAMES, GIVEN, POINTS = ("prose_heat", "prose_wave"), 16, 32
SHORT = {"width": 32, "hidden": 64, "heads": 4, "fusion": 1, "decoder": 2, "symbol_decoder": 1, "symbols": 32, "length": 24}


@pytest.fixture(scope="module")
def data():
    return field_windows(NAMES, 16, 7, points=POINTS)


@pytest.fixture(scope="module")
def overfitted(data):
    """Trained for long on sixteen windows without noise."""
    operator = PROSE(**SHORT, noise=0.0, modes=("blank",), shares=(1.0,), queries=16)
    task = Continuation(data.dataset(), given=GIVEN)
    return sciml.fit(
        operator, data.dataset(), task=task, epochs=300, batch_size=16, lr=6e-3, seed=5, validation=False, progress=False,
        training=sciml.Training(weight_decay=0.0),
    ).operator  # fmt: skip


def inputs_of(data):
    return np.ascontiguousarray(data.states[:, None, :GIVEN])


def test_it_overfits_sixteen_windows(data, overfitted):
    found = overfitted.predict(inputs_of(data))
    truth = data.states[:, None, GIVEN:]
    assert found.shape == truth.shape
    assert np.linalg.norm(found - truth) < 0.03 * np.linalg.norm(truth)
    answers = overfitted.equations(inputs_of(data), search=Search(beams=4))
    for answer, row in zip(answers, data.equations, strict=True):
        truth_words = field_words_of(row.tolist())
        assert field_error(answer.words, truth_words) < 0.02
        assert answer.path == "refined"
        assert answer.forecast.shape == (len(data.times) - GIVEN, POINTS)
        assert answer.probabilities.sum() == pytest.approx(1)
        assert len(answer.equation.unknowns) == len(truth_words)
        assert r"u_{xx}" in answer.latex
        assert r"\dot" not in answer.latex
    assert {len(answer.words) for answer in answers} == {1, 2}


def test_solved_equations_forecast_better_than_the_decoder(data, overfitted):
    noisy = np.ascontiguousarray(data.noisy(0.02, 1)[:, None, :GIVEN]).astype(np.float32)
    answers = overfitted.equations(noisy, search=Search(beams=2))
    truth = data.states[:, GIVEN:]
    solved = np.stack([a.forecast for a in answers])
    decoder = overfitted.predict(noisy)[:, 0]
    assert all(a.path == "refined" and 0.3 < a.misfit < 2 for a in answers)
    assert np.linalg.norm(solved - truth) < min(0.02 * np.linalg.norm(truth), np.linalg.norm(decoder - truth))
    errors = np.array(
        [field_error(a.words, field_words_of(row.tolist())) for a, row in zip(answers, data.equations, strict=True)]
    )
    assert np.median(errors) < 0.05  # trained without noise, it takes two for others


def test_it_is_stored_and_found_again(data, overfitted, tmp_path):
    overfitted.save(tmp_path / "fields.safetensors")
    again = sciml.load(tmp_path / "fields.safetensors")
    np.testing.assert_array_equal(again.predict(inputs_of(data)), overfitted.predict(inputs_of(data)))
    assert again.equations(inputs_of(data)[:2])[1].words == overfitted.equations(inputs_of(data)[:2])[1].words


def test_what_does_not_fit_is_refused(data, overfitted):
    with pytest.raises(GridError, match="32, as in training"):
        overfitted.predict(np.zeros((1, 1, GIVEN, 64), np.float32))
    with pytest.raises(DataError, match="channel"):
        overfitted.predict(np.zeros((1, 2, GIVEN, POINTS), np.float32))
    with pytest.raises(DataError, match="NaN"):
        overfitted.predict(np.full((1, 1, GIVEN, POINTS), np.nan, np.float32))
    with pytest.raises(SettingError, match="ordinary equations"):
        overfitted.propose(data.times[:GIVEN], data.states[0, :GIVEN])


@pytest.mark.parametrize("length", [4, 6, 24])
def test_every_answer_is_valid_by_construction(length):
    """Of an untrained network, drawn at random, decoded greedily, and by beams."""
    torch.manual_seed(3)
    rows = 400
    automaton, words = FieldAutomaton(rows, length), []
    for _ in range(length):
        chances = torch.rand(rows, len(automaton.allowed()[0])) * automaton.allowed()
        chances[:, ID["u_5"]] *= 40  # as often as all others together
        words.append((chances + 1e-9 * automaton.allowed()).argmax(1))
        automaton.advance(words[-1])
    found = [len(field_words_of(row)) for row in torch.stack(words, 1).tolist()]
    assert set(found) == {1, 2}
    config = PROSE(**SHORT | {"length": length}).config
    network = Network(config, 2.0, points=POINTS)
    states, times = torch.randn(6, GIVEN, POINTS), torch.linspace(0, 1, GIVEN)
    memory = network.encode(states, times, torch.ones(6, POINTS, dtype=torch.bool), torch.full((6, 1), ID[BOS]))
    for row in [*greedy(network, memory).ids[:, 0], *beams(network, memory, 3).ids.flatten(0, 1)]:
        field_words_of(row.tolist())


def test_corruptions_leave_the_order_in_time(data):
    dialect, rng = Field(), np.random.default_rng(0)
    for row in data.equations[:2].astype(np.int64):
        system = known(row.tobytes(), 1, dialect)
        for mode in ("unknown", "skeleton", "known", "two edits", "noisy", "flipped"):
            for _ in range(10):
                found = dialect.corrupted(system, mode, rng)
                assert len(found) == len(system)
                assert len(found) == 1 or found[0] == system[0]
                assert not {"u_3", "u_4", "u_6"} & set(found[-1].words)
    assert dialect.corrupted(system, "blank", rng) is None
    config = PROSE(**SHORT).config
    assert told(data.equations[:4].astype(np.int64), np.full(4, POINTS), config, rng, dialect).shape[0] == 4


def test_errors_of_equations():
    truth = [("add", "mul", 0.01, "u_2", "mul", -1.0, "mul", "u_0", "u_1")]
    assert field_error(truth, truth) == 0
    assert field_error([("mul", -1.0, "mul", "u_0", "u_1")], truth) < 0.1  # nearly all of it
    assert field_error([("mul", 1.0, "mul", "u_0", "u_1")], truth) == pytest.approx(2, abs=0.1)
    assert field_error(None, truth) == field_error([("u_5",), *truth], truth) == 1
    assert field_error([("inv", "add", "u_0", "neg", "u_0")], truth) == 1


def test_guesses_are_read_from_sympy(data, overfitted):
    row = [int(i) for i in data.equations[1] if i not in (ID["<PAD>"], ID[BOS], ID["<EOS>"])]
    same = overfitted._symbols([system_of(field_words_of([*row, ID["<EOS>"]])), row], 2)
    np.testing.assert_array_equal(same[0], same[1])
    text = overfitted._symbols(["u_t = v; v_t = c*u_xx", pdes.Equation("u_t = a*u_xx", dimension=1)], 2)
    assert [WORDS[i] for i in text[0] if i][1:] == ["u_5", "|", "mul", "<PLACEHOLDER>", "u_2"]
    assert [WORDS[i] for i in text[1] if i][1:] == ["mul", "<PLACEHOLDER>", "u_2"]
    assert ids(known(data.equations[1].astype(np.int64).tobytes(), 1, Field())) == row
