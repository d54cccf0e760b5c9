"""Track 6: many systems of ordinary equations with numbers that training has not seen, from noisy windows.

    symbolic   64 noisy frames on [0, 2] to the states on [2, 6], and to the equation            PROSE, recovery, fits
    which      the same 64 frames to the family of the system, one of twelve                       operators for classes

Windows are those of `pdes.windows` with the splits of `benchmarks.prose_table`: test systems lie in bins of their numbers that
training leaves out, those of "other ranges" beside all bins. Errors are against states without noise, and against noisy ones as
published; there the exact answer is the floor. Equations are judged by `sciml.operators.prose.scoring`. Two rows are
references, not contestants: they know the equation. PROSE is the checkpoint of the package; nothing is trained in "symbolic".
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.record import RESULTS
from benchmarks.suite.trivial import OF_SYSTEMS, LinearClasses, LinearRest, NearestClass, NearestRest, Persist, Shares
from pdes import Dataset
from pdes.vocabulary import EOS, ID, words_of
from pdes.windows import FRAMES, GIVEN, THREE_DIMENSIONAL, Windows, family, windows
from sciml.learners.closed_form import ClosedForm
from sciml.metrics import measure
from sciml.metrics.rollout import CEILING
from sciml.symbolic_tasks import EQUATION
from solvers.errors import SettingError, unknown_name
from solvers.grid import Grid

if TYPE_CHECKING:
    from benchmarks.suite.tasks import SuiteTask

TRACKS = ("symbolic", "which")
SETS = {"three_dimensional": THREE_DIMENSIONAL, "three": ("prose_thomas", "prose_lorenz_3d", "prose_sprott_B")}
"""What `problem` of a task may name: families."""
NOISE, STARTS = 0.02, 2
SURE = 20.0  # a score whose softmax is one
LEAST = 1e-6  # errors are put on logarithmic axes

Reading = tuple[np.ndarray, list | None]
"""Forecasts (item, time, component), and the words of each system (None where there are none)."""


# -- data -------------------------------------------------------------------------------------------------------------


@cache
def drawn(name: str, n: int, seed: int, split: str) -> tuple[Windows, np.ndarray]:
    """Trajectories and their noisy states."""
    if name not in SETS:
        raise unknown_name("set of systems", name, SETS)
    data = windows(SETS[name], n, seed, split, starts=STARTS)
    return data, data.noisy(NOISE, seed)


def parts(task: "SuiteTask") -> dict[str, Dataset]:
    """ "train", "validation", "test" and "shift" of a task."""
    sizes = {"train": ("train", task.train), "validation": ("validation", task.validation), "test": ("test", task.test)}
    sizes |= {"shift": ("outside", task.test)} if task.shift else {}
    return {name: _dataset(task, *drawn(task.problem, n, task.seed, split)) for name, (split, n) in sizes.items()}


def _dataset(task: "SuiteTask", data: Windows, noisy: np.ndarray) -> Dataset:
    what = {"grid": Grid(()), "parameters": {"label": data.families * 1.0}}
    named = {"family": "windows", "classes": list(data.names)}
    if task.track == "which":
        return Dataset(fields={"u": noisy[:, :GIVEN].astype(np.float32)}, times=data.times[:GIVEN], provenance=named, **what)
    inputs = {EQUATION: data.equations.astype(np.float32), "exact": data.states.astype(np.float32)}
    return Dataset(
        fields={"u": noisy.astype(np.float32)}, inputs=inputs, times=data.times, provenance={"family": "windows"}, **what
    )


def described(task: "SuiteTask") -> dict[str, str]:
    """Words for a report."""
    count = len(SETS[task.problem])
    laws = "numbers in bins that training leaves out; held out: numbers beside all bins"
    return {
        "equation": f"u' = f(u), {count} families of three components",
        "description": f"{count} families with {100 * NOISE:g} % noise, {laws}.",
    }


def truth(task: "SuiteTask", data: Dataset) -> np.ndarray:
    """One-hot classes (item, class); of forecasts the exact states, then the noisy ones, (item, 2 component, time)."""
    if task.track == "which":
        return np.eye(len(data.provenance["classes"]))[np.asarray(data.parameters["label"][:]).astype(int)]
    both = [np.asarray(a[:, GIVEN:], np.float64) for a in (data.inputs["exact"], data.fields["u"])]
    return np.concatenate(both, axis=2).transpose(0, 2, 1)


# -- scores -----------------------------------------------------------------------------------------------------------


def scores(task: "SuiteTask", found: np.ndarray, true: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (item,)."""
    if task.track == "which":
        errors = measure(found, true, Grid(()), ("brier", "error_rate"))
        return errors | {"brier": np.maximum(errors["brier"], LEAST)}
    from sciml.operators.prose.scoring import prediction_errors

    width, out = found.shape[1], {}
    for name, target in (("clean", true[:, :width]), ("noisy", true[:, width:])):
        by_interval = prediction_errors(found.transpose(0, 2, 1), target.transpose(0, 2, 1), times[GIVEN:])
        out |= {f"{name} {interval}": np.minimum(errors, CEILING) for interval, errors in by_interval.items()}
    return out


def judged(words: Sequence, data: Dataset) -> dict[str, np.ndarray]:
    """Of the equations that were read from windows: right structure, error of f at random and at visited states, terms."""
    from sciml.operators.prose.scoring import structure, symbolic_error, term_f1

    rows = []
    for one, row, states in zip(words, np.asarray(data.inputs[EQUATION][:]), np.asarray(data.inputs["exact"][:]), strict=True):
        true = words_of(row.astype(int).tolist(), states.shape[1])
        if one is None:
            rows.append((0.0, CEILING, CEILING, 0.0))
            continue
        one = tuple(tuple(each) for each in one)
        errors = [min(symbolic_error(one, true, at), CEILING) for at in (None, states.T.astype(float))]
        rows.append((float(structure(one) == structure(true)), *errors, term_f1(one, true)))
    return dict(zip(("equation: structure", "equation: error", "equation: error on the orbit", "equation: terms"),
                    np.array(rows).T, strict=True))  # fmt: skip


# -- who takes part ---------------------------------------------------------------------------------------------------


class Method(ClosedForm):
    """What reads windows without training: a function (states (item, time, component), times) -> `Reading`."""

    takes = OF_SYSTEMS

    def __init__(self, read: Callable[[np.ndarray, np.ndarray], Reading]):
        super().__init__({})
        self.read, self._last = read, (b"", None)

    def shapes(self, signature):
        return {}

    def solve(self, inputs, targets):
        return {}

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

    names = SETS[task.problem]
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
        data, noisy = drawn(task.problem, n, task.seed, split)
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
