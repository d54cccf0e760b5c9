"""Many short trajectories of many systems with their words: what a model that reads and writes equations learns from.

    constants c = rounded(parameters)     u' = f(u; c), u(0) random     words of f(.; c)

Every number of a system passes through its three words before the system is solved, so a label says exactly what was solved.
Splits hold out whole ranges: the varying numbers of a system lie in eight bins each, and which split a system belongs to
follows from its bins, so that no rounded system of the test data occurs in training (published test sets of these families
repeat training systems: Thomas' has 35 in all).

Families, ranges, starts and rejection of escapes: Liu, Zhang, Schaeffer, PROSE, Neural Networks 180, 2024.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy
from sympy.printing.numpy import NumPyPrinter
from sympy.printing.precedence import PRECEDENCE

import pdes
from pdes.canonical import STATES, System, canonical, right_hand_sides, system_of, system_words
from pdes.dataset import Dataset
from pdes.problem import Problem
from pdes.scalars import Uniform
from pdes.vocabulary import BAR, BOS, EOS, HOLE, ID, encode_numbers, rounded
from solvers.errors import DataError, SettingError
from solvers.grid import Grid
from solvers.runge_kutta import CHUNK, rk4

SPLITS = ("train", "validation", "test", "outside")
BINS, _TEST, _VALIDATION = 8, 5, 2
_EDGE = 0.03  # of a range
_ATTEMPTS = 60
STIFF = {"prose_chen_lee": 8, "prose_double_pendulum": 8}
"""Families that need more than four substeps for an error below 1e-3."""
THREE_DIMENSIONAL = tuple(f"prose_{name}" for name in (
    "thomas", "lorenz_3d", "aizawa", "chen_lee", "dadras", "rossler", "halvorsen", "fabrikant", "sprott_B", "sprott_linz_F",
    "four_wing", "duffing",
))  # fmt: skip
MULTI_DIMENSIONAL = (*THREE_DIMENSIONAL, "prose_lorenz_96_4d", "prose_lorenz_96_5d", "prose_double_pendulum")
FRAMES, GIVEN, END = 192, 64, 6.0


@dataclass(frozen=True)
class Family:
    """A system with open parameters as words with slots.

    system : components whose numbers may be expressions of parameters.
    laws, outside : of the parameters, inside and beside the training ranges.   starts : laws of the initial components.
    limit : trajectories that leave [-limit, limit] are drawn anew.
    """

    name: str
    system: System
    laws: Mapping[str, Any]
    outside: Mapping[str, Any]
    starts: tuple
    limit: float
    substeps: int = 4

    @property
    def components(self) -> int:
        """Dimension D of the state."""
        return len(self.system)

    @cached_property
    def _words(self) -> list:
        words = system_words(self.system)
        return [w for i, each in enumerate(words) for w in ((BAR,) if i else ()) + tuple(each)]

    @cached_property
    def length(self) -> int:
        """Words of the system, three for each number."""
        return sum(1 if isinstance(word, str) else 3 for word in self._words)

    @cached_property
    def slots(self) -> tuple[sympy.Expr, ...]:
        """The numbers of the system in the order of its words, as expressions of the parameters."""
        return tuple(sympy.sympify(word) for word in self._words if not isinstance(word, str))

    @cached_property
    def symbolic(self) -> list[sympy.Expr]:
        """Right-hand sides in which the k-th number is the symbol c_k."""
        return system_of([tuple(w if isinstance(w, str) else HOLE for w in each) for each in system_words(self.system)])

    @cached_property
    def rates(self) -> Callable:
        """f, (u (component, sample), c (number, sample)) -> (component, sample)."""
        return compiled(self.symbolic, len(self.slots))

    def numbers(self, parameters: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Numbers of the system, (count, number), exact."""
        values = [np.broadcast_to(np.asarray(f(**parameters), float), count) for f in self._slot_functions]
        return np.stack(values, axis=1) if values else np.zeros((count, 0))

    def constants(self, parameters: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """The same as the words say them, with three digits."""
        return rounded(self.numbers(parameters, count))

    @cached_property
    def _slot_functions(self) -> list[Callable]:
        names = sorted(self.laws)
        symbols = [sympy.Symbol(name) for name in names]
        return [_by_name(sympy.lambdify(symbols, slot, "numpy"), names) for slot in self.slots]

    def ids(self, constants: np.ndarray) -> np.ndarray:
        """Words with these numbers, (sample, length) without `BOS` and `EOS`."""
        numbers = encode_numbers(constants)
        columns, k = [], 0
        for word in self._words:
            if isinstance(word, str):
                columns.append(np.full((len(constants), 1), ID[word]))
            else:
                columns.append(numbers[:, k])
                k += 1
        return np.concatenate(columns, axis=1)

    @cached_property
    def _ranges(self) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Positions of the numbers that vary independently, and between what."""
        seen, chosen = set(), []
        for k, slot in enumerate(self.slots):
            bare = -slot if slot.could_extract_minus_sign() else slot
            if slot.free_symbols and bare not in seen:
                seen.add(bare)
                chosen.append(k)
        values = self._drawn(np.random.default_rng(90210), 512)[:, chosen]
        return chosen, values.min(axis=0), values.max(axis=0)

    def split_of(self, constants: np.ndarray) -> np.ndarray:
        """0, 1, 2 for train, validation and test, (sample,); a function of the rounded numbers alone."""
        chosen, low, high = self._ranges
        where = (constants[:, chosen] - low) / np.where(high > low, high - low, 1.0)
        bins = np.clip(np.floor(where * BINS), 0, BINS - 1).astype(int)
        key = (bins @ (2 * np.arange(len(chosen)) + 1)) % BINS
        return np.where(key == _TEST, 2, np.where(key == _VALIDATION, 1, 0))

    def _drawn(self, rng: np.random.Generator, count: int, laws: Mapping | None = None) -> np.ndarray:
        laws = self.laws if laws is None else laws
        return self.constants({n: np.array([_sample(laws[n], rng) for _ in range(count)]) for n in sorted(laws)}, count)

    def draw(self, rng: np.random.Generator, split: str) -> np.ndarray:
        """Numbers of one system of a split, (number,)."""
        chosen, low, high = self._ranges
        for _ in range(1000):
            constants = self._drawn(rng, 1, self.outside if split == "outside" else self.laws)
            if split == "outside":  # not on the edge of the ranges, where rounding may bring it back inside
                beyond = np.abs(constants[0, chosen] - (low + high) / 2) > (0.5 + _EDGE) * (high - low)
                if not chosen or beyond.any():
                    return constants[0]
            elif not chosen or self.split_of(constants)[0] == SPLITS.index(split):
                return constants[0]
        raise SettingError(
            given=f"family {self.name!r} without systems in the split {split!r}",
            needed="parameters that vary",
            remedy="Widen their laws.",
        )

    def start(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random initial states, (count, component); one after the other, so that more of them begin with the same ones."""
        laws = [getattr(law, "value", law) for law in self.starts]
        if all(isinstance(law, Uniform) for law in laws):
            low, high = np.array([(law.low, law.high) for law in laws]).T
            return rng.uniform(low, high, (count, len(laws)))
        return np.array([[_sample(law, rng) for law in self.starts] for _ in range(count)])


def _by_name(function: Callable, names: Sequence[str]) -> Callable:
    return lambda **values: function(*(values[name] for name in names))


def _sample(law, rng: np.random.Generator) -> float:
    if hasattr(law, "sample"):
        drawn = law.sample(rng)
        return float(drawn[next(iter(drawn))]) if isinstance(drawn, Mapping) else float(np.ravel(drawn)[0])
    return float(law)


class Products(NumPyPrinter):
    """Writes small whole powers as products, which NumPy computes many times faster."""

    def _print_Pow(self, expr, rational=False):
        if expr.exp.is_Integer and 2 <= int(expr.exp) <= 4:
            return "(" + "*".join([self.parenthesize(expr.base, PRECEDENCE["Atom"])] * int(expr.exp)) + ")"
        return super()._print_Pow(expr, rational)


def compiled(system: Sequence[sympy.Expr], count: int) -> Callable:
    """f, (u (component, sample), c (number, sample)) -> (component, sample), from expressions in u_0 ... and c_0 ... ."""
    symbols = [*STATES[: len(system)], *sympy.symbols(f"c_:{count}")]
    function = sympy.lambdify(symbols, list(system), "numpy", cse=True, printer=Products)

    def rates(u: np.ndarray, c: np.ndarray) -> np.ndarray:
        out = np.empty_like(u)
        for i, value in enumerate(function(*u, *c)):
            out[i] = value
        return out

    return rates


@lru_cache(maxsize=512)
def family(name: str) -> Family:
    """The family of a problem of ordinary differential equations, `pdes.get(name)`."""
    return family_of(pdes.get(name))


def family_of(problem: Problem) -> Family:
    """A problem on a point as a family.

    Raises
    ------
    SettingError : a system that the words cannot say.
    """
    system = canonical(right_hand_sides(problem.equation))
    outside = {**problem.parameters, **problem.held_out().parameters}
    starts = tuple(problem.initial[name] for name in problem.equation.unknowns)
    limit = getattr(problem.solver, "limit", 1e6)
    return Family(problem.name, system, problem.parameters, outside, starts, limit, STIFF.get(problem.name, 4))


# -- trajectories ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Windows:
    """Trajectories and their systems.

    times : (time,).   states : (sample, time, component), exact, padded with zeros.   components : D, (sample,).
    equations : ids `BOS ... EOS`, padded, (sample, length).   families : index into `names`, (sample,).
    constants : per sample, the numbers of its system.
    """

    times: np.ndarray
    states: np.ndarray
    components: np.ndarray
    equations: np.ndarray
    families: np.ndarray
    names: tuple[str, ...]
    constants: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.states)

    def noisy(self, level: float, seed: int) -> np.ndarray:
        """States with noise (see `with_noise`) that depends on the seed alone."""
        return with_noise(self.states, self.components, level, np.random.default_rng([seed, 2]))

    def dataset(self) -> Dataset:
        """Field "u" (sample, time, component), input "equation" (ids), parameters "components" and "family"."""
        return Dataset(
            fields={"u": self.states.astype(np.float32)},
            inputs={"equation": self.equations.astype(np.float32)},
            grid=Grid(()),
            times=self.times,
            parameters={"components": self.components * 1.0, "family": self.families * 1.0},
            provenance={"family": "windows", "systems": list(self.names)},
        )


def with_noise(states: np.ndarray, components: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """states + sigma eps with ||sigma eps|| = level ||states|| over all times and components of a trajectory, exactly."""
    noise = rng.standard_normal(states.shape) * (np.arange(states.shape[2]) < components[:, None, None])
    size = np.linalg.norm(states.reshape(len(states), -1), axis=1) / np.linalg.norm(noise.reshape(len(states), -1), axis=1)
    return states + level * size[:, None, None] * noise


def windows(
    names: Sequence[str],
    n: int,
    seed: int,
    split: str = "train",
    starts: int = 20,
    frames: int = FRAMES,
    end: float = END,
    single: bool = False,
) -> Windows:
    """n trajectories of the named families in turn. Sample i depends on its arguments other than n alone.

    starts : initial states for each system.
    single : solve in float32, twice as fast, with errors of 1e-5 (chaotic systems: 1e-4).

    Raises
    ------
    SettingError : an unknown split.   DataError : a family nearly all of whose trajectories escape.
    """
    if split not in SPLITS:
        raise SettingError(given=f"split {split!r}", needed=f"one of {SPLITS}", remedy="Change it.")
    kinds = [family(name) for name in names]
    times = np.linspace(0, end, frames)
    turns = -(-n // starts)
    states = np.zeros((turns, starts, frames, max(kind.components for kind in kinds)), np.float32 if single else np.float64)
    equations = np.zeros((turns, max(kind.length for kind in kinds) + 2), np.int64)
    equations[:, 0] = ID[BOS]
    constants: list[Any] = [None] * turns
    for f, kind in enumerate(kinds):
        mine = np.arange(f, turns, len(kinds))
        if not len(mine):
            continue
        rngs = [np.random.Generator(np.random.SFC64([seed, SPLITS.index(split), int(turn)])) for turn in mine]
        c = np.stack([kind.draw(rng, split) for rng in rngs])
        states[mine, ..., : kind.components] = _accepted(kind, c, rngs, times, starts, single)
        equations[mine, 1 : kind.length + 1] = kind.ids(c)
        equations[mine, kind.length + 1] = ID[EOS]
        for turn, numbers in zip(mine, c, strict=True):
            constants[turn] = numbers
    turn = np.arange(n) // starts
    which = turn % len(kinds)
    return Windows(
        times,
        states.reshape(turns * starts, *states.shape[2:])[:n],
        np.array([kind.components for kind in kinds])[which],
        equations[turn],
        which,
        tuple(names),
        tuple(constants[k] for k in turn),
    )


def _accepted(kind: Family, constants: np.ndarray, rngs: list, times: np.ndarray, starts: int, single: bool) -> np.ndarray:
    """Trajectories (system, start, time, component) that stay within the limit; starts of others are drawn again."""
    number = np.float32 if single else np.float64
    out = np.empty((len(constants) * starts, len(times), kind.components), number)
    owner, todo = np.repeat(np.arange(len(constants)), starts), np.arange(len(out))
    for _ in range(_ATTEMPTS):
        counts = np.bincount(owner[todo], minlength=len(constants))
        initial = np.concatenate([kind.start(rng, count) for rng, count in zip(rngs, counts, strict=True)]).astype(number)
        for at in range(0, len(todo), CHUNK):
            part = slice(at, at + CHUNK)
            c = np.ascontiguousarray(constants[owner[todo[part]]].T.astype(number))
            out[todo[part]] = rk4(lambda u, c=c: kind.rates(u, c), initial[part], times, kind.substeps, kind.limit)
        todo = todo[~np.isfinite(out[todo, -1]).all(axis=1)]
        if not len(todo):
            return out.reshape(len(constants), starts, *out.shape[1:])
    raise DataError(
        given=f"{len(todo)} trajectories of {kind.name} that left [-{kind.limit:g}, {kind.limit:g}] {_ATTEMPTS} times",
        needed="starts that stay within it more often",
        remedy="Raise its limit or narrow its starts.",
    )
