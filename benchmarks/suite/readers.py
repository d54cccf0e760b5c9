"""Who takes part in the tracks of systems: what reads noisy windows, forecasts them and says their equation.

Some know more than others: the references know the equation itself, "every family fitted" all structures of the test systems,
integral SINDy, `sciml.recover` and PROSE nothing. The first two come from `benchmarks.prose_baselines`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.record import RESULTS
from benchmarks.suite import systems
from benchmarks.suite.trivial import OF_SYSTEMS, Fixed, LinearClasses, LinearRest, NearestClass, NearestRest, Persist, Shares
from pdes.vocabulary import EOS, ID, words_of
from pdes.windows import FRAMES, GIVEN, Windows, family
from sciml.metrics.rollout import CEILING
from solvers.errors import SettingError

if TYPE_CHECKING:
    from benchmarks.suite.tasks import SuiteTask

SURE = 20.0  # a score whose softmax is one

Reading = tuple[np.ndarray, list | None]
"""Forecasts (item, time, component), and the words of each system (None where there are none)."""


class Method(Fixed):
    """What reads windows without training: a function (states (item, time, component), times) -> `Reading`."""

    takes = OF_SYSTEMS

    def __init__(self, read: Callable[[np.ndarray, np.ndarray], Reading]):
        super().__init__()
        self.read, self._last = read, (b"", None)

    def answer(self, inputs):
        times = np.asarray(self.bound_signature.times)
        if len(self.bound_signature.times) <= GIVEN:
            times = np.linspace(0, times[-1] * (FRAMES - 1) / (GIVEN - 1), FRAMES)
        found, words = self.read(np.ascontiguousarray(inputs.transpose(0, 2, 1)), times)
        self._last = (inputs.astype(np.float32).tobytes(), words)
        if self.bound_signature.per_item:
            return _as_classes(words, self.bound_signature.outputs)
        return found.transpose(0, 2, 1)

    def equations(self, inputs: np.ndarray) -> list | None:
        """Words of the systems of the windows that were answered last."""
        if self._last[0] != inputs.astype(np.float32).tobytes():
            self.predict(inputs)
        return self._last[1]


def equations_of(operator: Any, inputs: np.ndarray) -> list | None:
    """Words of the systems that a contestant reads from windows; None if it forecasts only."""
    return operator.equations(inputs) if isinstance(operator, Method) else None


def _as_classes(words: list | None, classes: Sequence[str]) -> np.ndarray:
    from sciml.operators.prose.scoring import structure

    known = []
    for kind in map(family, classes):
        row = kind.ids(np.ones((1, len(kind.slots))))[0]
        known.append(structure(words_of([*row, ID[EOS]], kind.components)))
    found = [None if w is None else structure(w) for w in words or []]
    return SURE * np.array([[float(k == one) for k in known] for one in found])


def _unknown(states: np.ndarray, times: np.ndarray, names: tuple[str, ...] = ()) -> Windows:
    """Windows of which only the given frames are known."""
    n, _, width = states.shape
    nothing = np.zeros((n, 0), np.int64)
    rest = np.zeros((n, len(times), width))
    return Windows(times, rest, np.full(n, width), nothing, np.zeros(n, int), names, ())


def _families(task: "SuiteTask") -> Any:
    from benchmarks.prose_baselines import fitted_families

    names = systems.SETS[task.problem]
    return Method(lambda states, times: fitted_families(names, _unknown(states, times, names), states))


def _sindy(task: "SuiteTask") -> Any:
    from benchmarks.prose_baselines import sindy

    def read(states: np.ndarray, times: np.ndarray) -> Reading:
        parts = []
        for window in states:
            try:
                forecast, words = sindy(_unknown(window[None], times), window[None])
                parts.append((forecast[0], _plain(words[0])))
            except SettingError:  # no term is left in some component: u' = 0 has no words
                parts.append((np.repeat(window[-1:], len(times) - GIVEN, axis=0), None))
        return np.stack([forecast for forecast, _ in parts]), [words for _, words in parts]

    return Method(read)


def _recover(task: "SuiteTask") -> Any:
    return Method(_recovered)


def _recovered(states: np.ndarray, times: np.ndarray) -> Reading:
    import sciml
    from pdes.canonical import STATES, canonical, system_words
    from solvers.errors import UserError

    forecast, words = np.zeros((len(states), len(times) - GIVEN, states.shape[2])), []
    for i, window in enumerate(states):
        reach = CEILING * np.abs(window).max()
        try:
            found = sciml.recover(times[:GIVEN], window)
            solved = np.asarray(found.simulate(_start(times, window), times))[GIVEN:]
            forecast[i] = np.clip(np.where(np.isfinite(solved), solved, reach), -reach, reach)
        except UserError:  # it says that the window determines nothing, or its equation escapes
            forecast[i] = window[-1]
            words.append(None)
            continue
        named = {f"x{k}": state for k, state in enumerate(STATES)}
        sides = [e.xreplace({symbol: named[symbol.name] for symbol in e.free_symbols}) for e in found.equations()]
        try:
            words.append(_plain(system_words(canonical(sides))))
        except (ValueError, ZeroDivisionError, UserError):  # an equation that the vocabulary cannot say
            words.append(None)
    return forecast, words


def _plain(words: Sequence) -> list:
    """Words and numbers, as JSON has them."""
    return [tuple(w if isinstance(w, str) else float(w) for w in each) for each in words]


def _start(times: np.ndarray, window: np.ndarray) -> np.ndarray:
    from sciml.operators.prose.refinement import first_states

    return first_states(times[:GIVEN], window[None])[0]


def _prose(task: "SuiteTask") -> Any:
    from sciml.operators.prose import stored

    return stored()


def _prose_equation(task: "SuiteTask") -> Any:
    from sciml.operators.prose import Search, stored

    operator = stored()

    def read(states: np.ndarray, times: np.ndarray) -> Reading:
        inputs = np.ascontiguousarray(states.transpose(0, 2, 1)).astype(np.float32)
        answers = operator.equations(inputs, times=times, search=Search(beams=8))
        return np.stack([a.forecast for a in answers]), [_plain(a.words) or None for a in answers]

    return Method(read)


def _reference(task: "SuiteTask", solve: bool) -> Any:
    """The exact answer, or the true equation solved from the noisy first frame."""
    from benchmarks.prose_baselines import true_equation

    known = {}
    for split, n in (("test", task.test), ("outside", task.test), ("train", task.train), ("validation", task.validation)):
        data, noisy = systems.drawn(task.problem, n, task.seed, split)
        answers = data.states[:, GIVEN:] if not solve or split in ("train", "validation") else true_equation(data, noisy)
        for window, answer, row in zip(noisy[:, :GIVEN].astype(np.float32), answers, data.equations, strict=True):
            known[window.tobytes()] = answer, words_of(row.tolist(), window.shape[1])

    def read(states: np.ndarray, times: np.ndarray) -> Reading:
        found = [known[one.astype(np.float32).tobytes()] for one in states]
        return np.stack([answer for answer, _ in found]), [words for _, words in found]

    return Method(read)


def _zero(task: "SuiteTask") -> Any:
    return Method(lambda states, times: (np.zeros((len(states), len(times) - GIVEN, states.shape[2])), None))


METHODS: dict[str, dict[str, tuple[str, Callable[["SuiteTask"], Any]]]] = {
    "symbolic": {
        "exact answer": ("reference", lambda task: _reference(task, solve=False)),
        "true equation, noisy start": ("reference", lambda task: _reference(task, solve=True)),
        "zero": ("trivial", _zero),
        "persistence": ("trivial", lambda task: Persist()),
        "nearest": ("trivial", lambda task: NearestRest()),
        "linear": ("trivial", lambda task: LinearRest()),
        "every family fitted": ("classical", _families),
        "integral SINDy": ("classical", _sindy),
        "sciml.recover": ("classical", _recover),
        "prose": ("network", _prose),
        "prose, equation": ("network", _prose_equation),
    },
    "which": {
        "mean": ("trivial", lambda task: Shares()),
        "nearest": ("trivial", lambda task: NearestClass()),
        "linear": ("trivial", lambda task: LinearClasses()),
        "every family fitted": ("classical", _families),
    },
}
"""Track -> name -> (kind, how it is made). "every family fitted" knows all structures; PROSE and recovery do not."""


def recipe(name: str) -> dict[str, Any]:
    """What a row of a method depends on besides the data: PROSE's checkpoint."""
    if not name.startswith("prose"):
        return {}
    from sciml.operators.prose import STORED

    return {"checkpoint": hashlib.blake2b(STORED.read_bytes(), digest_size=6).hexdigest()}


def training_seconds(name: str) -> float:
    """Of PROSE, as `benchmarks.prose_table --recipe twelve` measured it; that run makes a checkpoint like the stored one."""
    if not name.startswith("prose"):
        return 0.0
    rows = json.loads((RESULTS / "prose_table_twelve.json").read_text())["rows"]
    return float(next(row["seconds"] for row in rows if "seconds" in row))
