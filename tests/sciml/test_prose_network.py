"""Network, losses and decoding of PROSE: what must not change an answer does not, and caches equal recomputation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import sciml
from pdes.vocabulary import BOS, EOS, HOLE, ID, PAD, SIGNS, VARIABLES, is_valid, words_of
from pdes.windows import windows
from sciml.operators.prose import PRESETS, PROSE
from sciml.operators.prose.automaton import Automaton
from sciml.operators.prose.decoding import beams, greedy
from sciml.operators.prose.dialects import States
from sciml.operators.prose.learner import DATA_WEIGHT, data_loss, told, word_loss
from sciml.operators.prose.network import Network
from sciml.randomness import Purpose, generator
from sciml.tasks import Batch, as_task
from solvers.errors import DataError, SettingError, UnknownName

SMALL = {"width": 32, "hidden": 64, "heads": 2, "fusion": 1, "components": 4, "symbols": 64, "length": 104}
FAMILIES = ("prose_thomas", "prose_lorenz_96_4d", "prose_sprott_B")


@pytest.fixture(scope="module")
def data():
    return windows(FAMILIES, 12, 7, starts=1)


@pytest.fixture(scope="module")
def operator(data):
    operator = PROSE(**SMALL)
    operator.bind(as_task("continuation", data.dataset()), seed=3)
    with torch.no_grad():  # untrained weights leave the decoder nearly blind to its input: make it look
        for parameter in operator.module.parameters():
            if parameter.ndim == 2:
                parameter.mul_(1.7)
    return operator


def memory_of(operator, data, rows, extra=0, guesses=None):
    states, counts = data.states[rows, :64], data.components[rows]
    symbols = operator._symbols(guesses or [row[row > 2].tolist() for row in data.equations[rows]], len(rows))
    symbols = np.pad(symbols, ((0, 0), (0, extra)))
    return operator.encoded(states, data.times[:64], counts, symbols)


# -- independence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", ["teacher", "greedy", "cached", "states"])
def test_an_item_does_not_depend_on_its_batch_or_on_padding(operator, data, decode):
    rows = np.arange(4)
    together, alone = memory_of(operator, data, rows, extra=9), memory_of(operator, data, rows[:1])
    words = torch.as_tensor(data.equations[:4])
    network = operator.module
    with torch.no_grad():
        if decode == "teacher":
            length = int((words[0] != ID[PAD]).sum())
            one, other = network.logits(alone, words[:1, :length]), network.logits(together, words)[:1, :length]
        elif decode == "states":
            asked = torch.linspace(2, 6, 7)
            one, other = network.states_at(alone, asked), network.states_at(together, asked)[:1]
        elif decode == "greedy":
            a, b = greedy(network, alone), greedy(network, together)
            length = min(a.ids.shape[2], b.ids.shape[2])
            assert torch.equal(a.ids[0, 0, :length], b.ids[0, 0, :length])
            one, other = a.scores, b.scores[:1]
        else:
            first, second = network.cache(alone), network.cache(together)
            one = torch.stack([first.step(words[:1, k]) for k in range(20)])
            other = torch.stack([second.step(words[:, k]) for k in range(20)])[:, :1]
    np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5 * float(one.abs().max()))


def test_words_do_not_look_ahead(operator, data):
    memory = memory_of(operator, data, np.arange(2))
    words = torch.as_tensor(data.equations[:2]).clone()
    network = operator.module
    before = network.logits(memory, words)
    changed = words.clone()
    changed[:, 10] = ID["cos"]
    after = network.logits(memory, changed)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10], after[:, 10])
    network.zero_grad()
    network.logits(memory, words)[:, 4].square().sum().backward(retain_graph=True)
    seen = network.positions.grad[1].abs().sum(1)
    network.zero_grad()
    assert seen[:5].min() > 0
    assert seen[5:].max() == 0


def test_queries_do_not_see_each_other(operator, data):
    memory = memory_of(operator, data, np.arange(3))
    times = torch.tensor([2.0, 3.0, 4.5, 6.0])
    with torch.no_grad():
        whole = operator.module.states_at(memory, times)
        order = torch.tensor([3, 0, 2])
        some = operator.module.states_at(memory, times[order])
    np.testing.assert_allclose(some.numpy(), whole[:, order].numpy(), rtol=1e-5, atol=1e-5)


def test_the_order_of_words_matters_and_the_order_of_frames_does_not(operator, data):
    states, counts = data.states[:1, :64], data.components[:1]
    guess = [ID[BOS], ID["add"], ID["u_0"], ID["sin"], ID["u_1"]]
    encode = lambda u, t, s: operator.encoded(u, t, counts, np.array([s]))  # noqa: E731
    asked, times = torch.tensor([3.0, 5.0]), data.times[:64]
    with torch.no_grad():
        plain = operator.module.states_at(encode(states, times, guess), asked)
        moved = operator.module.states_at(encode(states, times, [*guess[:2], *guess[:1:-1]]), asked)
        order = np.random.default_rng(5).permutation(64)
        shuffled = operator.module.states_at(encode(states[:, order], times[order], guess), asked)
    assert not torch.allclose(plain, moved, rtol=1e-4)
    np.testing.assert_allclose(plain.numpy(), shuffled.numpy(), rtol=1e-4, atol=1e-5)


def test_columns_that_do_not_exist_have_no_influence(operator, data):
    states, counts = data.states[:1, :64].copy(), data.components[:1]
    assert counts[0] == 3
    one = operator.encoded(states, data.times[:64], counts, np.array([[ID[BOS]]]))
    states[..., 3] = 7.0
    other = operator.encoded(states, data.times[:64], counts, np.array([[ID[BOS]]]))
    one.scale = other.scale  # the rms counts existing components; here the column is filled against the rules
    asked = torch.tensor([3.0])
    with torch.no_grad():
        answer = operator.module.states_at(one, asked)
    assert answer[0, 0, 3] == 0
    clean = operator.encoded(data.states[:1, :64, :3], data.times[:64], counts, np.array([[ID[BOS]]]))
    padded = operator.encoded(data.states[:1, :64], data.times[:64], counts, np.array([[ID[BOS]]]))
    assert torch.equal(clean.fused, padded.fused)


def test_components_are_counted_by_what_is_not_zero(data):
    np.testing.assert_array_equal(States().present(data.states), data.components)


# -- losses ---------------------------------------------------------------------------------------------------------------


def test_losses_agree_with_plain_numpy(operator, data):
    rng = np.random.default_rng(9)
    answer, target = rng.standard_normal((2, 3, 5, 4))
    each = ((answer - target) ** 2).sum((1, 2)) / ((target**2).sum((1, 2)) + 1e-5)
    np.testing.assert_allclose(data_loss(torch.as_tensor(answer), torch.as_tensor(target)).numpy(), each, rtol=1e-6)
    logits = rng.standard_normal((3, 6, 11))
    words = np.array([[3, 4, 2, 0, 0, 0], [5, 6, 7, 8, 9, 2], [3, 2, 0, 0, 0, 0]])
    expected = []
    for item in range(3):
        total = []
        for k in range(6):
            if words[item, k] != ID[PAD]:
                total.append(np.log(np.exp(logits[item, k]).sum()) - logits[item, k, words[item, k]])
        expected.append(np.mean(total))
    np.testing.assert_allclose(word_loss(torch.as_tensor(logits), torch.as_tensor(words)).numpy(), expected, rtol=1e-6)
    assert ID[EOS] == 2
    assert DATA_WEIGHT == 6.0


def test_the_objective_is_six_times_the_data_and_the_words(operator, data):
    quiet = PROSE(**SMALL | {"noise": 0.0, "queries": 200, "modes": ("known",), "shares": (1.0,)})
    quiet.bind(as_task("continuation", data.dataset()), seed=3)
    task = as_task("continuation", data.dataset())
    batch = task.batch(np.arange(5))
    learner = quiet.learner(sciml.Training(device="cpu").filled({}))
    total = float(learner.objective(batch, SimpleNamespace(total=0)).detach())
    memory = quiet.encoded(
        batch.inputs.transpose(0, 2, 1), data.times[:64], data.components[:5],
        told(batch.equations, data.components[:5], quiet.config, generator(0, Purpose.STEP, 0), States()),
    )  # fmt: skip
    with torch.no_grad():
        answer = quiet.module.states_at(memory, torch.as_tensor(data.times[64:], dtype=torch.float32))
        words = torch.as_tensor(batch.equations)
        symbolic = word_loss(quiet.module.logits(memory, words[:, :-1]), words[:, 1:]).mean()
        numeric = data_loss(answer, torch.as_tensor(batch.targets.transpose(0, 2, 1))).mean()
    assert total == pytest.approx(float(6 * numeric + symbolic), rel=1e-5)
    without = learner.objective(Batch(batch.inputs, batch.targets, batch.items), SimpleNamespace(total=0))
    assert float(without.detach()) != pytest.approx(total, rel=1e-3)  # no labels, no words


# -- decoding -------------------------------------------------------------------------------------------------------------


def test_cached_logits_equal_full_recomputation_for_a_hundred_words(operator, data):
    memory = memory_of(operator, data, np.arange(3))
    words = torch.as_tensor(np.random.default_rng(3).integers(3, 1000, (3, 100)))
    words[:, 0] = ID[BOS]
    with torch.no_grad():
        full = operator.module.logits(memory, words)
        cache = operator.module.cache(memory)
        steps = torch.stack([cache.step(words[:, k]) for k in range(100)], 1)
    np.testing.assert_allclose(steps.numpy(), full.numpy(), atol=1e-5 * float(full.abs().max()))


def test_reordered_caches_equal_recomputation(operator, data):
    memory = memory_of(operator, data, np.arange(2)).repeated(2)
    rng = np.random.default_rng(4)
    words = torch.as_tensor(rng.integers(3, 40, (4, 12)))
    rows = torch.tensor([1, 0, 3, 3])
    with torch.no_grad():
        cache = operator.module.cache(memory)
        for k in range(11):
            cache.step(words[:, k])
        cache.take(rows)
        last = cache.step(words[:, 11])
        sequence = torch.cat([words[rows, :11], words[:, 11:]], dim=1)
        full = operator.module.logits(memory, sequence)[:, -1]
    np.testing.assert_allclose(last.numpy(), full.numpy(), atol=1e-5 * float(full.abs().max()))


def test_one_beam_is_greedy_and_more_beams_are_ordered_and_no_worse(operator, data):
    memory = memory_of(operator, data, np.arange(6))
    one, alone = greedy(operator.module, memory, length=40), beams(operator.module, memory, 1, length=40, marginal=False)
    assert torch.equal(one.ids, alone.ids)
    np.testing.assert_allclose(one.scores.numpy(), alone.scores.numpy(), rtol=1e-4)
    several = beams(operator.module, memory, 4, length=40, marginal=False)
    assert (several.scores.diff(dim=1) <= 0).all()
    for marginal in (True, False):
        for item in beams(operator.module, memory, 4, length=40, marginal=marginal).ids[:, :, :]:
            assert len({tuple(row.tolist()) for row in item}) == 4


def test_ten_thousand_random_answers_are_valid():
    """The grammar alone, under random logits: 10 000 answers of 1 to 5 components and limits of 2 D to 60 words."""
    rng, longest = np.random.default_rng(8), 0
    for components in range(1, 6):
        for length in (2 * components, 2 * components + 1, 23, 60):
            rows = 500
            torch.manual_seed(int(rng.integers(1000)))
            automaton = Automaton(torch.full((rows,), components), length)
            found = []
            for _ in range(length):
                allowed = automaton.allowed()
                assert allowed.any(1).all()
                scores = torch.rand(allowed.shape) ** 8
                scores[:, ID[SIGNS[0]]] *= 3
                words = scores.masked_fill(~allowed, -1).argmax(1)
                automaton.advance(words)
                found.append(words)
            assert automaton.ended.all()
            ids = torch.stack(found, 1).numpy()
            longest = max(longest, int((ids != ID[PAD]).sum(1).max()))
            assert all(is_valid(row.tolist(), components) for row in ids)
            assert not (ids == ID[HOLE]).any()
    assert longest == 60


def test_an_untrained_network_writes_valid_systems(operator, data):
    memory = memory_of(operator, data, np.arange(12))
    for decoded in (greedy(operator.module, memory), beams(operator.module, memory, 3)):
        for item, d in zip(decoded.ids.numpy(), data.components, strict=True):
            for row in item:
                words_of(row.tolist(), int(d))
                assert not any(f"u_{k}" in str(words_of(row.tolist(), int(d))) for k in range(d, len(VARIABLES)))
    free = greedy(operator.module, memory, constrained=False, length=30).ids
    assert not all(is_valid(row[0].tolist(), int(d)) for row, d in zip(free.numpy(), data.components, strict=True))


def test_a_length_without_room_is_refused(operator, data):
    with pytest.raises(SettingError, match="at least 8"):
        greedy(operator.module, memory_of(operator, data, np.arange(3)), length=5)


# -- settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "low", "high"), [("tiny", 0.05, 0.15), ("small", 0.45, 0.8), ("base", 11, 18), ("paper", 90, 120)]
)
def test_sizes_are_what_they_are_called(size, low, high):
    with torch.device("meta"):
        config = PROSE(**PRESETS[size]).config
        count = sum(p.numel() for p in Network(config, 6.0).parameters()) / 1e6
    assert low < count < high


def test_wrong_settings_and_data_say_so(data):
    with pytest.raises(SettingError, match="multiple of heads"):
        PROSE(width=30, heads=4)
    with pytest.raises(UnknownName, match="unknown"):
        PROSE(modes=("unknwon",), shares=(1.0,))
    with pytest.raises(SettingError, match="sources"):
        PROSE(sources=("text",))
    with pytest.raises(DataError, match="up to 8"):
        PROSE(components=2).bind(as_task("continuation", data.dataset()))
    with pytest.raises(SettingError, match="continuation"):
        sciml.fit("prose:tiny", data.dataset(), task="final", progress=False)
    bound = PROSE(**SMALL)
    bound.bind(as_task("continuation", data.dataset()))
    with pytest.raises(DataError, match="one for each"):
        bound.predict(np.ones((2, 4, 64), np.float32), guesses=[None])
