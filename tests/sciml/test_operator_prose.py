"""PROSE learns: it overfits, finds equations that it has seen, and uses both of its inputs."""

import numpy as np
import pytest
import sympy
import torch

import pdes
import sciml
from pdes.canonical import STATES, canonical, system_of, system_words
from pdes.corruptions import ids, permuted
from pdes.corruptions import skeleton as bare
from pdes.vocabulary import ID, words_of
from pdes.windows import Windows, windows
from sciml.html import write_report
from sciml.operators.prose import PROSE, STORED, Search, stored
from sciml.operators.prose.decoding import greedy
from sciml.operators.prose.learner import known, word_loss
from sciml.operators.prose.scoring import structure
from sciml.symbolic_tasks import Continuation
from solvers.errors import DataError

GIVEN = 16
SHORT = {"width": 48, "hidden": 128, "heads": 4, "fusion": 1, "decoder": 2, "symbol_decoder": 1, "components": 3, "queries": 32}


def short(n: int, seed: int = 7) -> Windows:
    return windows(("prose_thomas", "prose_sprott_B"), n, seed, starts=2, frames=48, end=3.0)


@pytest.fixture(scope="module")
def overfitted():
    """Trained for long on 32 trajectories without noise."""
    data = short(32)
    operator = PROSE(**SHORT, symbols=32, length=32, noise=0.0, modes=("skeleton",), shares=(1.0,))
    result = sciml.fit(
        operator, data.dataset(), task="continuation", epochs=400, batch_size=32, lr=6e-3, seed=5, validation=False,
        progress=False, training=sciml.Training(weight_decay=0.0),
    )  # fmt: skip
    return data, result.operator


def test_it_overfits_32_trajectories(overfitted):
    data, operator = overfitted
    task = Continuation(data.dataset())
    batch = task.all()
    guesses = [skeleton(row, d) for row, d in zip(data.equations, data.components, strict=True)]
    answer = operator.predict(batch.inputs, guesses=guesses)
    error = np.linalg.norm(answer - batch.targets, axis=(1, 2)) / np.linalg.norm(batch.targets, axis=(1, 2))
    memory = operator.encoded(data.states[:, :GIVEN], data.times[:GIVEN], data.components, operator._symbols(guesses, 32))
    words = torch.as_tensor(data.equations)
    with torch.no_grad():
        loss = word_loss(operator.module.logits(memory, words[:, :-1]), words[:, 1:]).mean()
    decoded = greedy(operator.module, memory).ids[:, 0].numpy()
    exact = [row[: len(found)].tolist() == found.tolist() for row, found in zip(data.equations[:, 1:], decoded, strict=True)]
    assert float(loss) < 1e-3
    assert error.mean() < 0.02
    assert np.mean(exact) == 1


def skeleton(row, d):
    return ids(bare(known(row.astype(np.int64).tobytes(), int(d))))


def test_shuffled_guesses_and_shuffled_data_hurt(overfitted):
    data, operator = overfitted
    batch = Continuation(data.dataset()).all()
    guesses = [skeleton(row, d) for row, d in zip(data.equations, data.components, strict=True)]
    other = guesses[2:] + guesses[:2]  # families alternate every second trajectory
    words = torch.as_tensor(data.equations)

    def losses(inputs, told):
        memory = operator.encoded(inputs.transpose(0, 2, 1), data.times[:GIVEN], data.components, operator._symbols(told, 32))
        with torch.no_grad():
            return float(word_loss(operator.module.logits(memory, words[:, :-1]), words[:, 1:]).mean())

    right = losses(batch.inputs, guesses)
    assert losses(batch.inputs, other) > 10 * right + 0.05
    assert losses(np.roll(batch.inputs, 4, axis=0), guesses) > 10 * right + 0.05


def test_labels_of_a_problem_come_from_its_equation_and_parameters():
    data = pdes.generate("prose_sprott_B", 3, seed=7, progress=False)
    task = Continuation(data, given=64)
    row = task.batch(np.array([1])).equations[0]
    (first, second, third) = words_of(row.tolist(), 3)
    a, b, c = (float(data.parameters[name][1]) for name in "abc")
    assert [first, second, third] == system_words(
        canonical([sympy.Float(a) * STATES[1] * STATES[2], STATES[0] - sympy.Float(b) * STATES[1], c - STATES[0] * STATES[1]])
    )
    assert task.signature.grid.shape == (64,)
    assert task.on(data[:2]).signature == task.signature
    bare = Continuation(data.replace(provenance={}))
    assert bare.batch(np.array([0])).equations.shape == (1, 0)


def test_a_dataset_without_equations_trains_on_trajectories_alone():
    data = short(6).dataset()
    bare = data.replace(inputs={})
    result = sciml.fit(PROSE(**SHORT), bare, task="continuation", epochs=1, progress=False, validation=False)
    assert np.isfinite(result.history.rows[-1]["loss"])


def test_guesses_may_be_sympy_words_or_nothing(overfitted):
    data, operator = overfitted
    x, y, z = STATES[:3]
    a, b, c = sympy.symbols("a b c")
    system = [a * y * z, x - b * y, c - x * y]
    rows = operator._symbols([system, skeleton(data.equations[2], 3), None], 3)
    assert rows[0].tolist() == rows[1].tolist()
    assert (rows[2] == ID["<PAD>"]).sum() == rows.shape[1] - 1
    moved = operator._symbols([[z * y * a, -b * y + x, -y * x + c]], 1)
    assert moved[0].tolist() == rows[0].tolist()


def test_equations_and_proposals_of_the_overfitted_network(overfitted):
    data, operator = overfitted
    noisy = data.noisy(0.01, 3)
    inputs = np.ascontiguousarray(noisy[:6, :GIVEN].transpose(0, 2, 1)).astype(np.float32)
    guesses = [skeleton(row, d) for row, d in zip(data.equations[:6], data.components, strict=False)]
    # Sixteen frames tell too little of the noise.
    found = operator.equations(inputs, guesses=guesses, search=Search(beams=4, draws=8, sigma=0.015))
    for answer, row, states in zip(found, data.equations, data.states, strict=False):
        assert structure(answer.words) == structure(words_of(row.tolist(), 3))
        assert answer.path == "refined"
        error = np.linalg.norm(answer.forecast - states[GIVEN:]) / np.linalg.norm(states[GIVEN:])
        assert error < 0.1
    proposals = operator.propose(data.times[:GIVEN], noisy[0, :GIVEN], 3)
    assert 1 <= len(proposals) <= 3
    assert all(len(system) == 3 and set().union(*(f.free_symbols for f in system)) <= set(STATES) for system in proposals)
    slower = operator.propose(3 * data.times[:GIVEN], noisy[0, :GIVEN], 3)
    point = dict(zip(STATES, (0.3, -0.4, 0.5), strict=False))
    for one, other in zip(proposals, slower, strict=True):
        np.testing.assert_allclose([float(3 * f.subs(point)) for f in other], [float(f.subs(point)) for f in one], rtol=1e-9)
    with pytest.raises(DataError, match="Transpose"):
        operator.propose(data.times[:GIVEN], noisy[0, :GIVEN].T)


def test_irregular_times_are_understood(overfitted):
    data, operator = overfitted
    kept = np.r_[0:GIVEN:2, GIVEN:48]
    batch = data.states[:4, kept].transpose(0, 2, 1)[:, :, : GIVEN // 2].astype(np.float32)
    answer = operator.predict(batch, times=data.times[kept])
    assert answer.shape == (4, 3, 48 - GIVEN)
    whole = operator.predict(data.states[:4, :GIVEN].transpose(0, 2, 1).astype(np.float32))
    assert np.linalg.norm(answer - whole) < 0.5 * np.linalg.norm(whole)  # fewer frames, the same trajectory


# -- the operator of the package ------------------------------------------------------------------------------------------


def test_windows_and_guesses_that_cannot_be_read_are_refused():
    operator = stored()
    window = np.ones((1, 3, 64), np.float32)
    with pytest.raises(DataError, match="Wrap it"):
        operator.predict(window, guesses=["u_1"])
    window[0, 1, 5] = np.nan
    for ask in (operator.predict, operator.equations):
        with pytest.raises(DataError, match="windows \\[0\\]"):
            ask(window)


def test_the_stored_operator_finds_held_out_systems_from_noise_alone():
    data = windows(("prose_thomas", "prose_lorenz_3d", "prose_sprott_B"), 6, 6, "test", starts=2)
    noisy = data.noisy(0.02, 6)
    operator = stored()
    inputs = np.ascontiguousarray(noisy[:, :64].transpose(0, 2, 1)).astype(np.float32)
    found = operator.equations(inputs, search=Search(beams=2))
    right = [structure(a.words) == structure(words_of(row.tolist(), 3)) for a, row in zip(found, data.equations, strict=True)]
    errors = [np.linalg.norm(a.forecast - s[64:]) / np.linalg.norm(s[64:]) for a, s in zip(found, data.states, strict=True)]
    assert sum(right) >= 5
    assert sum(a.path == "refined" for a in found) >= 5
    assert np.median(errors) < 0.05
    assert STORED.stat().st_size < 3e6


def test_it_is_evaluated_and_reported_like_any_operator(tmp_path):
    data = pdes.generate("prose_lorenz_3d", 4, seed=7, progress=False)
    report = sciml.evaluate(stored(), data, timing=False)
    assert report.scores[0].errors["relative_l2"].shape == (4,)
    assert "truth" in write_report(report, tmp_path / "report.html").read_text()


def test_the_order_of_terms_in_a_guess_changes_nothing():
    data = windows(("prose_lorenz_3d", "prose_fabrikant", "prose_dadras"), 6, 6, "test", starts=2)
    inputs = np.ascontiguousarray(data.noisy(0.02, 6)[:, :64].transpose(0, 2, 1)).astype(np.float32)
    rng, operator = np.random.default_rng(3), stored()
    systems = [bare(known(row.astype(np.int64).tobytes(), 3)) for row in data.equations]
    plain = [ids(system) for system in systems]
    moved = [system_of(permuted(system, rng)) for system in systems]
    assert [p.words for s in systems for p in s] != [w for s in systems for w in permuted(s, rng)]
    np.testing.assert_array_equal(operator._symbols(plain, 6), operator._symbols(moved, 6))
    np.testing.assert_array_equal(operator.predict(inputs, guesses=plain), operator.predict(inputs, guesses=moved))


def test_its_proposals_are_fitted_by_recovery():
    """The stored network alone proposes; 64 frames of Lorenz' system with 2 % noise."""
    problem = pdes.get("prose_lorenz_3d").replace(time=(0.0, 2.0), frames=64)
    data = pdes.generate(problem, n=1, resolution=1, seed=3, progress=False)
    x = np.stack([np.asarray(data.fields[name][0], np.float64).ravel() for name in ("u0", "u1", "u2")], 1)
    x = x + 0.02 * np.sqrt((x**2).mean()) * np.random.default_rng(0).standard_normal(x.shape)
    model = sciml.recover(np.linspace(0, 2, 64), x, proposals=(stored(),), search=False)
    symbols = [sympy.Symbol(f"x{i}", real=True) for i in range(3)]
    first, second, third = (sympy.Poly(e, *symbols).as_dict() for e in model.equations())
    assert set(first) == {(1, 0, 0), (0, 1, 0)}
    assert set(second) == {(1, 0, 0), (0, 1, 0), (1, 0, 1)}
    assert set(third) == {(1, 1, 0), (0, 0, 1)}
    true = {name: float(values[0]) for name, values in data.parameters.items()}
    assert float(first[0, 1, 0]) == pytest.approx(true["sigma"], rel=0.05)
    assert float(second[1, 0, 0]) == pytest.approx(true["rho"], rel=0.05)
    assert float(third[0, 0, 1]) == pytest.approx(-true["beta"], rel=0.05)
