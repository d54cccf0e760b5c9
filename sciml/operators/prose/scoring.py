"""How right a forecast and an equation are, by the strict definitions.

    pred = sqrt(sum (v - u)^2 / (1e-6 + sum u^2))      over times of an interval and components
    sym  = the same ratio of f-hat and f at 512 Sobol points of [-5, 5]^D, fixed

An equation is valid if its words parse completely, one tree for each component, and it is finite at all points; one that is not
counts as an error of 1 in `symbolic_all`. Structures are equal if their canonical words without numbers are.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import qmc

from pdes.canonical import components_of
from pdes.vocabulary import HOLE, Words
from sciml.operators.prose.refinement import model
from solvers.errors import DataError

POINTS, REACH, TINY = 512, 5.0, 1e-6
_DIGIT = 0.005  # half a unit to one unit of the third digit
INTERVALS = {"[2,4]": (2.0, 4.0), "[4,6]": (4.0, 6.0), "[2,6]": (2.0, 6.0)}
DIVERGED = 10.0


def prediction_errors(forecast: np.ndarray, truth: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """Relative errors by interval, (item,), from (item, time, component); padding is zero in both. Not finite counts as 1."""
    found = {}
    for name, (start, end) in INTERVALS.items():
        rows = (times >= start) & (times <= end)
        with np.errstate(all="ignore"):
            wrong = ((forecast[:, rows] - truth[:, rows]) ** 2).sum((1, 2))
            ratio = np.sqrt(wrong / (TINY + (truth[:, rows] ** 2).sum((1, 2))))
        found[name] = np.where(np.isfinite(ratio), ratio, 1.0)
    return found


def sobol(components: int) -> np.ndarray:
    """The fixed points, (component, point)."""
    return (2 * REACH * qmc.Sobol(components, rng=np.random.default_rng(90210)).random(POINTS) - REACH).T


def symbolic_error(found: Sequence[Words], truth: Sequence[Words], points: np.ndarray | None = None) -> float:
    """Relative error of right-hand sides at points (component, point), by default Sobol's; infinite if not finite."""
    at = sobol(len(truth)) if points is None else points
    try:
        one, other = evaluated(found, at), evaluated(truth, at)
    except DataError:  # infinite everywhere
        return np.inf
    with np.errstate(all="ignore"):
        error = np.sqrt(((one - other) ** 2).sum() / (TINY + (other**2).sum()))
    return float(error) if np.isfinite(error) else np.inf


def evaluated(words: Sequence[Words], points: np.ndarray) -> np.ndarray:
    """Right-hand sides at points, both (component, point)."""
    numbers = np.array([w for each in words for w in each if not isinstance(w, str)], float)
    with np.errstate(all="ignore"):
        return model(structure(words)).rates(points, np.broadcast_to(numbers[:, None], (len(numbers), points.shape[1])))


def structure(words: Sequence[Words]) -> tuple[Words, ...]:
    """Words without numbers."""
    return tuple(tuple(w if isinstance(w, str) else HOLE for w in each) for each in words)


def number_errors(found: Sequence[Words], truth: Sequence[Words]) -> np.ndarray:
    """Relative errors of the numbers of equal structures; empty if the structures differ."""
    if structure(found) != structure(truth):
        return np.zeros(0)
    one, other = ([w for each in words for w in each if not isinstance(w, str)] for words in (found, truth))
    return np.abs(np.array(one) - np.array(other)) / np.abs(np.array(other))


def term_f1(found: Sequence[Words], truth: Sequence[Words]) -> float:
    """Harmonic mean of precision and recall of the terms, numbers aside, of canonical systems."""
    one, other = ({(i, t.words) for i, c in enumerate(components_of(structure(w))) for t in c.terms} for w in (found, truth))
    return 2 * len(one & other) / (len(one) + len(other))


def summary(rows: Sequence[Mapping]) -> dict:
    """Of equations, one mapping for each item: "error" (infinite if not valid), "exact", "numbers" (errors), and, where there
    is an equation, "f1" and "orbit" (its error at the states of the trajectory)."""
    errors = np.array([row["error"] for row in rows], float)
    valid = np.isfinite(errors)
    numbers = np.concatenate([row["numbers"] for row in rows]) if rows else np.zeros(0)
    counted = np.where(valid, np.minimum(errors, 1e6), 1.0)
    return {
        "valid": float(valid.mean()),
        "exact": float(np.mean([row["exact"] for row in rows])),
        "symbolic": float(errors[valid].mean()) if valid.any() else None,
        "symbolic_median": float(np.median(errors[valid])) if valid.any() else None,
        "symbolic_90": float(np.quantile(errors[valid], 0.9)) if valid.any() else None,
        "symbolic_all": float(counted.mean()),
        "f1": float(np.mean([row.get("f1", 0.0) for row in rows])),
        "orbit_median": float(np.median([row["orbit"] for row in rows if "orbit" in row] or [np.inf])),
        "within_digit": float((numbers <= _DIGIT).mean()) if len(numbers) else None,
        "numbers_median": float(np.median(numbers)) if len(numbers) else None,
    }
