"""PROSE on systems that training has not seen: forecasts and equations, beside what needs no network.

python -m benchmarks.prose_table --recipe three --seeds 11 12 13           trains what is missing, then scores; resumable
python -m benchmarks.prose_table --recipe twelve --seeds 11 --checkpoint   also writes sciml/checkpoints/prose_small.safetensors

Test systems lie in bins of the numbers that training leaves out; windows are 64 noisy frames on [0, 2], errors on [2, 6],
against targets with noise (as published) and without. "outside": numbers 10 to 20 % away from the references. Everything is
drawn once from fixed seeds. Methods without a network: the exact answer (the floor of noisy targets), the true equation from
the noisy first sample, every family's structure fitted and the best kept (classifier and refit), integral SINDy, and
`sciml.recovery`, which knows of no family.

Recipes "nine" and "mixed" leave three of the twelve families out of training altogether ("unseen"); in "mixed" every other
training system is put together at random from terms (`pdes.compositional`), and "random" tests on other such systems.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import sciml
from benchmarks.prose_baselines import fitted_families, recovered, sindy, true_equation
from benchmarks.rows import Rows, finished
from pdes import corruptions
from pdes.canonical import canonical, components_of, system_of, system_words
from pdes.compositional import compositional, joined
from pdes.dataset import Dataset
from pdes.vocabulary import words_of
from pdes.windows import GIVEN, SPLITS, THREE_DIMENSIONAL, Windows, windows
from sciml.operators.prose import PRESETS, PROSE, STORED, Search
from sciml.operators.prose.decoding import greedy
from sciml.operators.prose.dialects import States
from sciml.operators.prose.learner import known
from sciml.operators.prose.scoring import number_errors, prediction_errors, structure, summary, symbolic_error, term_f1
from sciml.storage import write_arrays

UNSEEN = ("prose_rossler", "prose_sprott_linz_F", "prose_dadras")  # sums of monomials, named before anything was trained
NINE = tuple(name for name in THREE_DIMENSIONAL if name not in UNSEEN)
NAMED_SPLITS, UNSEEN_SPLITS = ("test", "outside"), ("test", "unseen", "random")
RECIPES: dict[str, dict[str, Any]] = {
    "three": {
        "families": ("prose_thomas", "prose_lorenz_3d", "prose_sprott_B"),
        "samples": 9600, "epochs": 5, "batch": 32, "test": 90,
    },
    "twelve": {"families": THREE_DIMENSIONAL, "samples": 24000, "warm": 1, "epochs": 2, "batch": 32, "test": 48},
    "nine": {"families": NINE, "samples": 24000, "epochs": 3, "batch": 32, "test": 48},
    "mixed": {"families": NINE, "samples": 24000, "random": 0.5, "epochs": 3, "batch": 32, "test": 48},
}  # fmt: skip
"""Families, training trajectories (of these, the share of random systems), passes, batch, and test windows of each split: 1500
and three times 2250 steps."""
WARM_CYCLE = 5  # epochs
SIZES = {"components": 3, "symbols": 72, "length": 72}
LONG = {"components": 3, "symbols": 168, "length": 168}  # random systems have up to fifteen terms
VARIANTS = {
    "full": {},
    "data only": {"sources": ("data",)},
    "symbols only": {"sources": ("symbols",)},
}
NOISE, DATA_SEED, TEST_SEED = 0.02, 5, 6
MODES = ("skeleton", "unknown", "blank", "known")


def trained(recipe: str, variant: str, seed: int, folder: Path) -> tuple[PROSE, float]:
    """The operator, and seconds of training; goes on where an interrupted training was.

    Recipe "twelve" begins with the first of five epochs of a cycle, whose learning rate hardly falls, before its own cycle.
    """
    options = RECIPES[recipe]
    data = training_set(recipe, options["samples"], "train")
    held = training_set(recipe, 25 * len(options["families"]), "validation")
    operator = PROSE(**PRESETS["small"] | sizes(recipe) | VARIANTS[variant])
    settings = {"task": "continuation", "validation": held, "batch_size": options["batch"], "seed": seed, "progress": False}
    name, seconds = f"{recipe}-{variant.replace(' ', '-')}-{seed}", 0.0
    if options.get("warm"):
        first = folder / f"{name}-warm.safetensors"
        if first.exists():
            operator = PROSE.load(first)
        else:
            began = sciml.fit(
                operator, data, epochs=WARM_CYCLE, checkpoint=folder / f"{name}-warm", resume=True,
                callbacks=[lambda state: state.epoch + 1 >= options["warm"]], **settings,
            )  # fmt: skip
            if began.stopped not in ("callback", "completed"):
                raise SystemExit(f"Training ended before its time ({began.stopped}): no row is stored.")
            seconds = began.seconds
            operator.save(first)
    result = finished(sciml.fit(operator, data, epochs=options["epochs"], checkpoint=folder / name, resume=True, **settings))
    return result.operator, seconds + result.seconds  # pyright: ignore[reportReturnType]


def splits(recipe: str) -> tuple[str, ...]:
    """What a recipe's networks are tested on."""
    return UNSEEN_SPLITS if recipe in ("nine", "mixed") else NAMED_SPLITS


def sizes(recipe: str) -> dict[str, int]:
    """Of the network, beside its preset."""
    return LONG if recipe in ("nine", "mixed") else SIZES


def training_set(recipe: str, count: int, split: str) -> Dataset:
    """Trajectories for training or validation."""
    options = RECIPES[recipe]
    loose = round(options.get("random", 0) * count)
    named = windows(options["families"], count - loose, DATA_SEED, split, single=True)
    if not loose:
        return named.dataset()
    seed = DATA_SEED + 1000 * SPLITS.index(split)
    return joined(named, compositional(loose, seed, (1, 2, 3), single=True), DATA_SEED).dataset()


def test_set(recipe: str, split: str) -> tuple[Windows, np.ndarray]:
    """Windows of held-out systems, of named ones with two starts each, and their noisy states."""
    options = RECIPES[recipe]
    if split == "random":
        data = compositional(options["test"], TEST_SEED, (3,))
    elif split == "unseen":
        data = windows(UNSEEN, options["test"], TEST_SEED, "test", starts=2)
    else:
        data = windows(options["families"], options["test"], TEST_SEED, split, starts=2)
    return data, data.noisy(NOISE, TEST_SEED)


def guesses(data: Windows, mode: str) -> list:
    """What the model is told, drawn once."""
    rng = np.random.default_rng([TEST_SEED, MODES.index(mode) if mode in MODES else 9])
    systems = [known(row.tobytes(), int(d)) for row, d in zip(data.equations.astype(np.int64), data.components, strict=True)]
    if mode == "permuted":
        return [system_of(corruptions.permuted(corruptions.skeleton(system), rng)) for system in systems]
    told = [corruptions.MODES[mode](system, rng) for system in systems]
    return [corruptions.ids(guess) or None for guess in told]


def terms(words) -> set:
    """What the coefficients multiply, by component: that one of them is written as a number although it is 1 does not count."""
    systems = components_of(structure(words))
    return {(i, body) for i, c in enumerate(systems) for body in (("over", *c.denominator), *(t.body for t in c.terms))}


def scored(words, data: Windows) -> dict:
    """Symbolic scores of found systems (None where there is none)."""
    rows = []
    for found, row, d, states in zip(words, data.equations, data.components, data.states, strict=True):
        truth = words_of(row.tolist(), int(d))
        if found is None or len(found) == 0:
            rows.append({"error": np.inf, "exact": False, "numbers": np.zeros(0)})
            continue
        exact = terms(found) == terms(truth)
        rows.append(
            {
                "error": symbolic_error(found, truth), "exact": exact, "numbers": number_errors(found, truth),
                "f1": term_f1(found, truth), "orbit": symbolic_error(found, truth, states[:, : int(d)].T),
            }
        )  # fmt: skip
    return summary(rows)


def forecasts(forecast: np.ndarray, data: Windows, noisy: np.ndarray) -> dict:
    """Errors against noisy and clean targets by interval: mean and median."""
    found = {}
    for name, target in (("noisy", noisy), ("clean", data.states)):
        for interval, errors in prediction_errors(forecast, target[:, GIVEN:], data.times[GIVEN:]).items():
            found[f"{name} {interval}"] = float(errors.mean())
            found[f"{name} {interval} median"] = float(np.median(errors))
    return found


def by_network(operator: PROSE, data: Windows, noisy: np.ndarray, mode: str) -> dict[str, dict]:
    """Rows of one trained network in one mode: operator decoder, greedy, constrained, refined, re-ranked."""
    told = guesses(data, mode)
    inputs = np.ascontiguousarray(noisy[:, :GIVEN].transpose(0, 2, 1)).astype(np.float32)
    head = operator.predict(inputs, guesses=told).transpose(0, 2, 1)
    rows: dict[str, dict] = {"operator decoder": forecasts(head, data, noisy)}
    counts = States().present(inputs.transpose(0, 2, 1))
    memory = operator.encoded(noisy[:, :GIVEN], data.times[:GIVEN], counts, operator._symbols(told, len(data)))
    for name, constrained in (("greedy, free", False), ("greedy, constrained", True)):
        answers = greedy(operator.module, memory, constrained=constrained).ids[:, 0].numpy()
        rows[name] = scored([_canonical(row, int(d)) for row, d in zip(answers, counts, strict=True)], data)
    for name, search in (("refined", Search(beams=1)), ("re-ranked", Search(beams=8))):
        began = time.perf_counter()
        answers = operator.equations(inputs, guesses=told, search=search)
        seconds = (time.perf_counter() - began) / len(answers)
        padded = np.stack([np.pad(a.forecast, ((0, 0), (0, data.states.shape[2] - a.forecast.shape[1]))) for a in answers])
        refined = np.array([a.path == "refined" for a in answers])
        inside = [
            ((a.low <= t) & (t <= a.high)).mean()
            for a, t in zip(answers, (s[GIVEN:, : int(d)] for s, d in zip(data.states, counts, strict=True)), strict=True)
            if a.path == "refined"
        ]
        rows[name] = {
            **forecasts(padded, data, noisy),
            **scored([a.words for a in answers], data),
            "refined": float(refined.mean()),
            "coverage of the 90 % band": float(np.mean(inside)) if inside else None,
            "seconds per window": seconds,
        }
    return rows


def _canonical(row: np.ndarray, components: int):
    try:
        return system_words(canonical(system_of(words_of(row.tolist(), components))))
    except (ValueError, ZeroDivisionError):
        return None


def classical(recipe: str, data: Windows, noisy: np.ndarray) -> dict[str, dict]:
    """Rows that need no network."""
    rows: dict[str, dict] = {"exact answer (floor)": forecasts(data.states[:, GIVEN:], data, noisy)}
    if data.names != ("compositional",):
        rows["true equation, noisy start"] = forecasts(true_equation(data, noisy), data, noisy)
    for name, (forecast, words) in (
        ("every family fitted, best kept", fitted_families(RECIPES[recipe]["families"], data, noisy)),
        ("integral SINDy", sindy(data, noisy)),
    ):
        rows[name] = forecasts(forecast, data, noisy) | scored(words, data)
    return rows


def from_scratch(data: Windows, noisy: np.ndarray) -> dict[str, dict]:
    """The row of `sciml.recovery`."""
    began = time.process_time()
    forecast, words = recovered(data, noisy)
    seconds = (time.process_time() - began) / len(data)
    found = forecasts(forecast, data, noisy) | scored(words, data) | {"seconds per window": seconds}
    return {"recovery from scratch": found}


def store_checkpoint(operator: PROSE) -> None:
    """The operator in half precision, for examples and the recovery of equations."""
    arrays = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in operator.state().items()}
    STORED.parent.mkdir(exist_ok=True)
    write_arrays(STORED, arrays, operator.header())


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=RECIPES, default="three")
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13], help="none: only what needs no network")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["full"])
    parser.add_argument("--models", type=Path, default=Path("runs/prose"))
    parser.add_argument("--checkpoint", action="store_true", help="store the first seed's full model in the package")
    parser.add_argument("--train-only", action="store_true")
    chosen = parser.parse_args()
    here = splits(chosen.recipe)
    settings = {"recipe": RECIPES[chosen.recipe], "sizes": sizes(chosen.recipe), "noise": NOISE}
    rows = Rows(f"prose_table_{chosen.recipe}", settings)
    for seed in chosen.seeds:
        for variant in chosen.variants:
            key = f"{variant}, seed {seed}"
            wanted = [s for s in here if f"{key}, {s}" not in rows]
            if not wanted and not chosen.checkpoint:
                continue
            operator, seconds = trained(chosen.recipe, variant, seed, chosen.models)
            if chosen.checkpoint and variant == "full" and seed == chosen.seeds[0]:
                store_checkpoint(operator)
            if chosen.train_only:
                continue
            for split in wanted:
                data, noisy = test_set(chosen.recipe, split)
                modes = (*MODES, "permuted") if variant == "full" and split == "test" else ("skeleton", "blank")
                found = {mode: by_network(operator, data, noisy, mode) for mode in modes}
                rows.add(f"{key}, {split}", {"seconds": seconds, "parameters": operator.parameter_count, "modes": found})
                print(
                    key,
                    split,
                    {m: {n: r.get("clean [2,6]", r.get("symbolic")) for n, r in v.items()} for m, v in found.items()},
                )
    for split in () if chosen.train_only else here:
        data, noisy = test_set(chosen.recipe, split)
        if f"without a network, {split}" not in rows:
            print(rows.add(f"without a network, {split}", {"modes": {"none": classical(chosen.recipe, data, noisy)}}))
        if f"without a network: recovery, {split}" not in rows:
            print(rows.add(f"without a network: recovery, {split}", {"modes": {"none": from_scratch(data, noisy)}}))


if __name__ == "__main__":
    main()
