"""What the benchmarks of regularised neural differential equations share: methods, order of rows, judging, tables."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sciml.nde.operator import NeuralDE
from sciml.operator import config_of

EVALUATION: dict[str, Any] = {"backend": "torch", "first_step": None, "steer": 0.0, "regularisers": (), "weights": ()}
EVALUATION |= {"final_weights": (), "target_evaluations": 0}


def methods(
    er: Iterable[float], rn: Iterable[float], sr: float, taylor: float, kinetic: float, local: float
) -> dict[str, dict]:
    """Settings by name: no penalty, the penalties with these coefficients, weight decay, training at a loose tolerance."""
    er, rn = tuple(er), tuple(rn)
    one = lambda name, weight: {"regularisers": (name,), "weights": (weight,)}  # noqa: E731
    return {
        "vanilla": {},
        **{f"ER {w:g}": one("R_E", w) for w in er},
        **{f"RN {w:g}": one("R_N", w) for w in rn},
        "STEER 0.5": {"steer": 0.5},
        f"SR {sr:g}": one("R_S", sr),
        f"ER+SR {er[0]:g}": {"regularisers": ("R_E", "R_S"), "weights": (er[0], sr)},
        f"local (time) {local:g}": one("local_time", local),
        f"local (steps) {local:g}": one("local_steps", local),
        f"RNODE {kinetic:g}": {"regularisers": ("kinetic", "jacobian"), "weights": (kinetic, kinetic)},
        f"TayNODE 2, {taylor:g}": one("taylor2", taylor),
        "weight decay 0.1": {"weight_decay": 0.1},
        "trained at 1e-3": {"rtol": 1e-3, "atol": 1e-3},
    }


def in_passes(names: Iterable[str], seeds: int) -> Iterator[tuple[int, str]]:
    """Three seeds of every method, then the others; seeds of a method share its compiled functions."""
    names = tuple(names)
    for part in (range(min(3, seeds)), range(3, seeds)):
        for method in names:
            yield from ((seed, method) for seed in part)


def on_torch(operator: NeuralDE) -> Any:
    """The same operator on torch, where other settings of a solve need no compiling and a counter in f counts."""
    same = type(operator)(**config_of(operator) | EVALUATION)
    same.rebuild(operator.bound_signature)
    same.load_state(operator.state())
    return same


def prediction_ms(operator: NeuralDE, x: np.ndarray, repeats: int = 20, **changes) -> list[float]:
    """Quartiles of the time of a compiled solve of x."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        operator.answered(x, regularisers=(), **changes)
        seconds.append(time.perf_counter() - start)
    return [round(float(q), 3) for q in np.quantile(seconds[1:], [0.25, 0.5, 0.75]) * 1e3]


def seconds_without_compiling(history: list[dict]) -> float:
    """Time of a training whose first epoch, which compiles, took as long as the others."""
    n = len(history)
    return round((history[-1]["seconds"] - history[0]["seconds"]) * n / max(1, n - 1), 2)


def relative_error(answer: np.ndarray, exact: np.ndarray) -> float:
    """||answer - exact|| / ||exact||."""
    return float(np.linalg.norm(answer - exact) / np.linalg.norm(exact))


def counted(rows: Iterable[Mapping]) -> str:
    """Evaluations of each seed; one number where all agree."""
    counts = [round(r["evaluations"]) for r in rows]
    return str(counts[0]) if len(set(counts)) == 1 else ", ".join(map(str, counts))


def spread(values: Iterable[float], digits: str = ".3g") -> str:
    """Mean and standard deviation over seeds."""
    values = list(values)
    return f"{np.mean(values):{digits}}" + (f" ± {np.std(values):.1g}" if len(values) > 1 else "")
