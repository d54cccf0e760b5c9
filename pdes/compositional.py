"""Random systems put together from terms, with their trajectories and words: what no list of named families contains.

    u_i' = sum of 1 to 5 terms c m(u)      m: monomials to degree three, at times with sin or cos of a component
    c: logarithmically uniform in [0.05, 5], random sign, three digits

Systems that leave [-limit, limit], or come to rest before the end, are drawn anew. A model trained on families alone chooses
among them; random systems teach it to read dynamics. d'Ascoli et al., ODEFormer, ICLR 2024, draws trees instead of sums.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pdes.canonical import Component, System, Term, system_words
from pdes.corruptions import ids
from pdes.vocabulary import BOS, EOS, ID, padded, rounded
from pdes.windows import END, FRAMES, Windows
from solvers.errors import DataError, SettingError
from solvers.runge_kutta import CHUNK, rk4

TERMS, DEGREE, TRIGONOMETRIC = 5, 3, 0.15
SMALLEST, LARGEST = 0.05, 5.0
LIMIT, REST, START = 50.0, 1e-3, 2.0
_ROUNDS = 200


def random_system(rng: np.random.Generator, components: int) -> tuple[System, np.ndarray, np.ndarray]:
    """A system, and its arrays: coefficients (component, term), and the features (component, term, factor) of their products.

    Feature 0 is 1; then u_i; sin u_i; cos u_i. Unused terms have the coefficient 0.
    """
    weights = np.zeros((components, TERMS))
    factors = np.zeros((components, TERMS, DEGREE), int)
    system = []
    for i in range(components):
        bodies: dict[tuple, tuple[float, list[int]]] = {}
        for _ in range(int(rng.integers(1, TERMS + 1))):
            degree = int(rng.choice([0, 1, 2, 3], p=[0.1, 0.45, 0.3, 0.15]))
            chosen = [int(j) + 1 for j in rng.integers(components, size=degree)]
            if degree and rng.random() < TRIGONOMETRIC:
                chosen[0] += components * int(rng.integers(1, 3))
            c = float(rounded(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))) * rng.choice([-1.0, 1.0])))
            bodies[_body(chosen, components)] = (c, chosen)
        for k, (c, chosen) in enumerate(bodies.values()):
            weights[i, k], factors[i, k, : len(chosen)] = c, chosen
        system.append(Component(tuple(Term(c, body) for body, (c, _) in bodies.items())).ordered())
    return tuple(system), weights, factors


def _body(chosen: Sequence[int], components: int) -> tuple:
    """Words of a product of features, canonical."""
    parts = []
    for feature, power in Counter(chosen).items():
        kind, i = divmod(feature - 1, components)
        plain = (f"u_{i}",) if kind == 0 else (("sin", "cos")[kind - 1], f"u_{i}")
        parts.append(plain if power == 1 else (f"pow{power}", *plain))
    parts.sort(key=lambda words: Term(1, words).key)
    return (*(word for part in parts[:-1] for word in ("mul", *part)), *parts[-1]) if parts else ()


def rates_of(weights: np.ndarray, factors: np.ndarray):
    """f, (component, sample) to the same, of weights (sample, component, term) and factors with one more axis."""
    w = np.ascontiguousarray(weights.transpose(1, 2, 0))  # (component, term, sample)
    index = np.ascontiguousarray(factors.transpose(1, 2, 3, 0))  # (component, term, factor, sample)
    rows = np.arange(weights.shape[0])

    def rates(u: np.ndarray) -> np.ndarray:
        features = np.concatenate([np.ones_like(u[:1]), u, np.sin(u), np.cos(u)])
        return (w * features[index, rows].prod(axis=2)).sum(axis=1)

    return rates


def compositional(
    n: int,
    seed: int,
    components: Sequence[int] = (1, 2, 3, 4),
    frames: int = FRAMES,
    end: float = END,
    substeps: int = 4,
    single: bool = False,
) -> Windows:
    """n trajectories of random systems, one each; the dimensions in turn. Sample i depends on its arguments other than n alone.

    Raises
    ------
    DataError : none of many systems stays bounded and moves.
    """
    if min(components) < 1 or max(components) > 8 or n < 1:
        raise SettingError(
            given=f"n={n}, components={components}", needed="n >= 1, dimensions of 1 to 8", remedy="Change them."
        )
    times, kind = np.linspace(0, end, frames), np.float32 if single else np.float64
    dimensions = np.array([components[i % len(components)] for i in range(n)])
    states = np.zeros((n, frames, max(components)), kind)
    systems: list = [None] * n
    rngs = [np.random.Generator(np.random.SFC64([seed, 7, i])) for i in range(n)]
    for d in sorted(set(components)):
        todo = np.flatnonzero(dimensions == d)
        for _ in range(_ROUNDS):
            if not len(todo):
                break
            drawn = [random_system(rngs[i], d) for i in todo]
            start = np.stack([rngs[i].uniform(-START, START, d) for i in todo]).astype(kind)
            kept = np.zeros(len(todo), bool)
            for at in range(0, len(todo), CHUNK):
                part = slice(at, at + CHUNK)
                rates = rates_of(np.stack([x[1] for x in drawn[part]]).astype(kind), np.stack([x[2] for x in drawn[part]]))
                solved = rk4(rates, start[part], times, substeps, LIMIT)
                late = solved[:, 3 * frames // 4 :]
                kept[part] = np.isfinite(solved[:, -1]).all(1) & (np.ptp(np.nan_to_num(late), axis=1).max(1) > REST)
                states[todo[part][kept[part]], :, :d] = solved[kept[part]]
            for k in np.flatnonzero(kept):
                systems[todo[k]] = drawn[k][0]
            todo = todo[~kept]
        if len(todo):
            raise DataError(given=f"{_ROUNDS} random systems none of which stays within {LIMIT:g} and moves",
                            needed="one", remedy="Shorten `end`.")  # fmt: skip
    numbers = [np.array([w for each in system_words(s) for w in each if not isinstance(w, str)]) for s in systems]
    rows = [[ID[BOS], *ids(system), ID[EOS]] for system in systems]
    return Windows(times, states, dimensions, padded(rows), np.zeros(n, int), ("compositional",), tuple(numbers))


def joined(one: Windows, other: Windows, seed: int = 0) -> Windows:
    """Both, in a random order that depends on the seed; they must have the same times."""
    if not np.array_equal(one.times, other.times):
        raise DataError(given="windows with other times", needed="the same times", remedy="Generate both with the same `end`.")
    order = np.random.default_rng(seed).permutation(len(one) + len(other))
    width = max(one.states.shape[2], other.states.shape[2])
    length = max(one.equations.shape[1], other.equations.shape[1])
    wide = lambda x: np.pad(x, ((0, 0), (0, 0), (0, width - x.shape[2])))  # noqa: E731
    long = lambda x: np.pad(x, ((0, 0), (0, length - x.shape[1])))  # noqa: E731
    constants = [*one.constants, *other.constants]
    return Windows(
        one.times,
        np.concatenate([wide(one.states), wide(other.states)])[order],
        np.concatenate([one.components, other.components])[order],
        np.concatenate([long(one.equations), long(other.equations)])[order],
        np.concatenate([one.families, other.families + len(one.names)])[order],
        (*one.names, *other.names),
        tuple(constants[i] for i in order),
    )
