"""Track 6: many systems of ordinary equations with numbers that training has not seen, from noisy windows.

    symbolic   64 noisy frames on [0, 2] to the states on [2, 6], and to the equation            PROSE, recovery, fits
    which      the same 64 frames to the family of the system, one of twelve                       operators for classes

Windows are those of `pdes.windows` with the splits of `benchmarks.prose_table`: test systems lie in bins of their numbers that
training leaves out, those of "other ranges" beside all bins. Errors are against states without noise, and against noisy ones as
published; there the exact answer is the floor. Equations are judged by `sciml.operators.prose.scoring`. Two rows are
references, not contestants: they know the equation. PROSE is the checkpoint of the package; nothing is trained in "symbolic".
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pdes import Dataset
from pdes.vocabulary import words_of
from pdes.windows import GIVEN, THREE_DIMENSIONAL, Windows, windows
from sciml.metrics import measure
from sciml.metrics.rollout import CEILING
from sciml.symbolic_tasks import EQUATION
from solvers.errors import unknown_name
from solvers.grid import Grid

if TYPE_CHECKING:
    from benchmarks.suite.tasks import SuiteTask

TRACKS = ("symbolic", "which")
SETS = {"three_dimensional": THREE_DIMENSIONAL, "three": ("prose_thomas", "prose_lorenz_3d", "prose_sprott_B")}
"""What `problem` of a task may name: families."""
NOISE, STARTS = 0.02, 2
LEAST = 1e-6  # errors are put on logarithmic axes


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
