"""PROSE on fields: the second half of a window and its equation from the first half, beside what needs no network.

    python -m benchmarks.prose_fields [--recipe ten] [--seeds 11 12 13] [--data runs/prose_fields]    resumable
    python -m benchmarks.prose_fields --recipe twenty --seeds 11                                     the page: prose_page

Ten families of PROSE-PDE (six conservation laws, heat, advection, waves, a bistable reaction), or all twenty (with its other
reactions and fluxes, Klein-Gordon, sine-Gordon, Korteweg-de Vries and Cahn-Hilliard), 128 points, 32 frames on a clock [0, 2],
16 given. Test systems lie in a stretch of the first number's range that training leaves out; "outside": numbers 10 to
20 % away from the references. Frames given have noise of 2 %, or none; errors are against the clean second half.

last frame, nearest, linear   persistence; the rest of the nearest training window; ridge regression from principal components
                              of the frames given to those of the rest (64 and 128 of them)
true equation, solved         the label, from the last frame given, freed of noise, its rate by differences; what cannot be
                              solved, or leaves ten times the window's range, counts as the last frame
recovery; equation, solved    the same of what `sciml.recovery.FieldRecovery` finds in the frames given
refined, re-ranked            the operator's answers: one beam or eight, numbers fitted to the frames given, solved from the
                              first; the operator decoder's forecast where no equation explains them

Symbolic: error of F at random fields (`sciml.operators.prose.field_scoring`), 1 where there is no answer. Sun, Liu, Zhang,
Schaeffer, PROSE-PDE, Physical Review E 111, 2025, report 1.06 % (twenty families, random splits, 30 epochs on a GPU), symbolic
0.768 %, valid 99.94 %.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import pdes
import sciml
from benchmarks.rows import Rows, finished
from pdes.canonical import canonical, system_of, system_words
from pdes.corruptions import ids
from pdes.field_windows import FRAMES, FieldWindows, field_windows
from pdes.field_words import field_sides, field_words_of
from pdes.vocabulary import Words
from sciml.operators.prose import PRESETS, PROSE, Search
from sciml.operators.prose.decoding import greedy
from sciml.operators.prose.dialects import Field
from sciml.operators.prose.field_refinement import beginning, field_model, noise_of
from sciml.operators.prose.field_scoring import field_error
from sciml.operators.prose.learner import known
from sciml.operators.prose.scoring import structure
from sciml.recovery.fields import FieldRecovery
from sciml.symbolic_tasks import Continuation
from solvers.errors import UserError

TEN = (
    "prose_heat", "prose_advection", "prose_burgers", "prose_burgers_inviscid", "cubic_flux", "cubic_flux_inviscid",
    "sine_flux", "sine_flux_inviscid", "prose_wave", "diffusion_bistable",
)  # fmt: skip
TWENTY = (
    *TEN, "linear_flux", "cosine_flux", "cosine_flux_inviscid", "diffusion_linear", "diffusion_logistic",
    "diffusion_square_logistic", "klein_gordon", "sine_gordon", "prose_kdv", "prose_cahn_hilliard",
)  # fmt: skip
GIVEN = FRAMES // 2
DATA_SEED, TEST_SEED = 5, 6
NOISE = 0.02
RECIPES: dict[str, dict[str, Any]] = {
    "ten": {"families": TEN, "samples": 6000, "epochs": 8, "batch": 32, "test": 60, "noise": NOISE},
    "twenty": {"families": TWENTY, "samples": 12000, "epochs": 8, "batch": 32, "test": 80, "noise": NOISE},
}
FILES = {"ten": "prose_fields", "twenty": "prose_fields_twenty"}
SIZES = {"symbols": 72, "length": 72}
MODES = ("skeleton", "unknown", "blank")
NOISES = {"clean": 0.0, "noisy": NOISE}


def trained(recipe: str, seed: int, folder: Path) -> tuple[PROSE, float]:
    """The operator, and seconds of training; goes on where an interrupted training was."""
    data, options = windows(recipe, "train", folder).dataset(), RECIPES[recipe]
    operator = PROSE(**PRESETS["small"] | SIZES | {"noise": NOISE})
    result = sciml.fit(
        operator, data, task=Continuation(data, given=GIVEN), validation=windows(recipe, "validation", folder).dataset(),
        epochs=options["epochs"], batch_size=options["batch"], seed=seed, checkpoint=folder / f"{recipe}-{seed}", resume=True,
        progress=False,
    )  # fmt: skip
    done = finished(result)
    return done.operator, done.seconds


def windows(recipe: str, split: str, folder: Path) -> FieldWindows:
    """Windows of a split, generated once."""
    options = RECIPES[recipe]
    count = {"train": options["samples"], "validation": 200}.get(split, options["test"])
    return field_windows(
        options["families"], count, DATA_SEED if split in ("train", "validation") else TEST_SEED, split, folder=folder
    )  # fmt: skip


def relative(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Errors of the second half: mean and median over windows."""
    errors = np.linalg.norm(found - truth, axis=(1, 2)) / np.linalg.norm(truth, axis=(1, 2))
    return {"error": float(errors.mean()), "error median": float(np.median(errors))}


def symbolic(words: list, data: FieldWindows) -> dict[str, float]:
    """Scores of equations (None where there is none)."""
    truths = [field_words_of(row.tolist()) for row in data.equations]
    errors = np.array([field_error(found, truth) for found, truth in zip(words, truths, strict=True)])
    exact = [found is not None and structure(found) == structure(truth) for found, truth in zip(words, truths, strict=True)]
    return {
        "valid": float(np.mean([found is not None for found in words])), "exact": float(np.mean(exact)),
        "symbolic": float(errors.mean()), "symbolic median": float(np.median(errors)),
    }  # fmt: skip


def solved(words: list, given: np.ndarray, data: FieldWindows) -> np.ndarray:
    """The rest (item, time, point) by equations from the last of the frames given (item, time, point)."""
    found = np.repeat(given[:, -1:], FRAMES - GIVEN, axis=1)
    groups: dict[tuple, list[int]] = {}
    for i, each in enumerate(words):
        if each:
            groups.setdefault(structure(each), []).append(i)
    clock = data.times[GIVEN - 1 :]
    start, slope = beginning(data.times[:GIVEN], given[:, ::-1], noise_of(given))  # backwards: the last frame is the first
    for shape, rows in groups.items():
        model = field_model(shape)
        if model is None:
            continue
        numbers = np.array([[w for each in words[i] for w in each if not isinstance(w, str)] for i in rows], float)
        fields = model.solve(start[rows], -slope[rows], numbers.reshape(len(rows), -1), clock, data.grid.axes[0])[:, 1:]
        fine = np.isfinite(fields).all((1, 2))
        found[np.array(rows)[fine]] = fields[fine]
    return found


def by_equations(words: list, given: np.ndarray, data: FieldWindows) -> dict[str, float]:
    """Scores of equations and of what they forecast."""
    return symbolic(words, data) | relative(solved(words, given, data), data.states[:, GIVEN:])


def recovered(frames: np.ndarray, times: np.ndarray, x: np.ndarray) -> list[Words] | None:
    """Words of the equation that weak regression finds in the frames given."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            equation = FieldRecovery().fit(times, frames, x)
            left, _, right = equation.text().partition(" = ")
            text = f"u_t = v; v_t = {right}" if left == "u_tt" else f"u_t = {right}"
            return system_words(canonical(field_sides(pdes.Equation(text, dimension=1))))
    except UserError:
        return None


def guesses(data: FieldWindows, mode: str) -> list:
    """What the network is told, drawn once."""
    rng, dialect = np.random.default_rng([TEST_SEED, MODES.index(mode)]), Field()
    systems = [known(row.astype(np.int64).tobytes(), 1, dialect) for row in data.equations]
    return [ids(dialect.corrupted(system, mode, rng)) or None for system in systems]


def by_network(operator: PROSE, data: FieldWindows, given: np.ndarray, mode: str) -> dict[str, dict]:
    """Operator decoder, free and constrained greedy decoding, refined answers of one and of eight beams."""
    told, inputs = guesses(data, mode), given[:, None].astype(np.float32)
    rows: dict[str, dict] = {
        "operator decoder": relative(operator.predict(inputs, guesses=told, times=data.times)[:, 0], data.states[:, GIVEN:])
    }
    memory = operator.encoded(given, data.times[:GIVEN], np.full(len(data), given.shape[2]), operator._symbols(told, len(data)))
    for name, constrained in (("greedy, free", False), ("greedy, constrained", True)):
        answers = greedy(operator.module, memory, constrained=constrained).ids[:, 0].numpy()
        rows[name] = symbolic([_read(row) for row in answers], data)
    for name, search in (("refined", Search(beams=1)), ("re-ranked", Search(beams=8))):
        began = time.process_time()
        answers = operator.equations(inputs, guesses=told, times=data.times, search=search)
        seconds = (time.process_time() - began) / len(answers)
        rows[name] = {
            **symbolic([list(a.words) or None for a in answers], data),
            **relative(np.stack([a.forecast for a in answers]), data.states[:, GIVEN:]),
            "refined": float(np.mean([a.path == "refined" for a in answers])),
            "left": left(answers, data),
            "seconds per window": seconds,
        }
    return rows


def left(answers: list, data: FieldWindows) -> dict[str, str]:
    """Families of which windows are left to the operator decoder: how many of how many."""
    counts: dict[str, list[int]] = {}
    for answer, family in zip(answers, data.families, strict=True):
        count = counts.setdefault(data.names[int(family)], [0, 0])
        count[0] += answer.path != "refined"
        count[1] += 1
    return {name: f"{some} of {count}" for name, (some, count) in counts.items() if some}


def _read(row: np.ndarray) -> list[Words] | None:
    try:
        return system_words(canonical(system_of(field_words_of(row.tolist()))))
    except (UserError, ZeroDivisionError):
        return None


def without_network(train: FieldWindows, data: FieldWindows, given: np.ndarray) -> dict[str, dict]:
    """Rows that need no network."""
    truth = data.states[:, GIVEN:]
    before = train.noisy(NOISE, DATA_SEED)[:, :GIVEN].reshape(len(train), -1)
    after = train.states[:, GIVEN:].reshape(len(train), -1).astype(float)
    asked = given.reshape(len(given), -1)
    near = np.argmin((before**2).sum(1) - 2 * asked @ before.T, axis=1)
    rows = {
        "last frame": relative(np.broadcast_to(given[:, -1:], truth.shape), truth),
        "nearest": relative(after[near].reshape(truth.shape), truth),
        "linear": relative(_linear(before, after, asked).reshape(truth.shape), truth),
    }
    x = data.grid.axes[0].coordinates()
    labels = [field_words_of(row.tolist()) for row in data.equations]
    began = time.process_time()
    found = [recovered(frames, data.times[:GIVEN], x) for frames in given]
    seconds = (time.process_time() - began) / len(given)
    rows["true equation, solved"] = by_equations(labels, given, data)
    rows["recovery; equation, solved"] = by_equations(found, given, data) | {"seconds per window": seconds}
    return rows


def _linear(before: np.ndarray, after: np.ndarray, asked: np.ndarray, parts: tuple[int, int] = (64, 128)) -> np.ndarray:
    """Ridge regression between principal components; the penalty by the last tenth of the training windows."""
    centre, middle = before.mean(0), after.mean(0)
    one = np.linalg.svd(before - centre, full_matrices=False)[2][: parts[0]]
    other = np.linalg.svd(after - middle, full_matrices=False)[2][: parts[1]]
    a, b = (before - centre) @ one.T, (after - middle) @ other.T
    cut = len(a) * 9 // 10

    def weights(rows: slice, price: float) -> np.ndarray:
        x = a[rows]
        return np.linalg.solve(x.T @ x + price * np.trace(x.T @ x) / len(one) * np.eye(len(one)), x.T @ b[rows])

    prices = (1e-6, 1e-4, 1e-2)
    wrong = [np.linalg.norm(a[cut:] @ weights(slice(cut), price) - b[cut:]) for price in prices]
    return (asked - centre) @ one.T @ weights(slice(None), prices[int(np.argmin(wrong))]) @ other + middle


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=RECIPES, default="ten")
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13], help="none: only what needs no network")
    parser.add_argument("--data", type=Path, default=Path("runs/prose_fields"), help="where data and models lie")
    chosen = parser.parse_args()
    recipe = chosen.recipe
    rows = Rows(FILES[recipe], {"recipe": RECIPES[recipe], "sizes": SIZES})
    tests = {split: windows(recipe, split, chosen.data) for split in ("test", "outside")}
    for split, data in tests.items():
        for name, level in NOISES.items():
            key = f"without a network, {split}, {name}"
            if key not in rows:
                given = data.noisy(level, TEST_SEED)[:, :GIVEN]
                print(
                    key, rows.add(key, {"modes": {"none": without_network(windows(recipe, "train", chosen.data), data, given)}})
                )
    for seed in chosen.seeds:
        wanted = [(s, n) for s in tests for n in NOISES if f"seed {seed}, {s}, {n}" not in rows]
        if not wanted:
            continue
        operator, seconds = trained(recipe, seed, chosen.data)
        for split, name in wanted:
            given = tests[split].noisy(NOISES[name], TEST_SEED)[:, :GIVEN]
            found = {mode: by_network(operator, tests[split], given, mode) for mode in MODES}
            row = {"seconds": seconds, "parameters": operator.parameter_count, "modes": found}
            print(rows.add(f"seed {seed}, {split}, {name}", row), flush=True)


if __name__ == "__main__":
    main()
