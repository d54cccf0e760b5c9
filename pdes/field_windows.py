"""Windows of fields on a line with the words of their equations, of the families of PROSE-PDE or any like them.

    clock s = 2 t / t_end in [0, 2], 32 frames         u_s = (t_end / 2) F        words: `pdes.field_words`

Which split a system belongs to follows from its first number that varies: validation and test have a stretch of its range each,
in which training never is. Words round numbers to three digits, once they are in units of the clock; `constants` are exact.

Sun, Liu, Zhang, Schaeffer, PROSE-PDE, Physical Review E 111, 2025: families, frames, clock. Their splits are random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Rational, Symbol

import pdes
from pdes.canonical import canonical
from pdes.dataset import Dataset
from pdes.field_words import field_sides, observed
from pdes.problem import Problem
from pdes.scalars import Bands, Choice, Fixed, Rounded, Uniform
from pdes.vocabulary import BOS, EOS, ID, padded
from pdes.windows import END, SPLITS, Family, Windows
from solvers.errors import SettingError, unknown_name
from solvers.grid import Grid

FRAMES, EVERY, CLOCK = 32, 2, 2.0
POINTS = 128
_VALIDATION, _TEST, _MARGIN = (0.5, 0.625), (0.625, 0.75), 0.25
"""Parts of a range, and the part of a held-out stretch, on both sides, that stays unused: rounding must not lead out of it."""
assert END == 3 * CLOCK


@dataclass(frozen=True)
class FieldWindows(Windows):
    """Windows whose components are the points of a grid; see `Windows`.

    states : (sample, time, point).   components : number of points, (sample,).   grid : the points.
    """

    grid: Grid

    def dataset(self) -> Dataset:
        """Field "u" (sample, time, x), latent "equation" (ids), parameter "family"."""
        return Dataset(
            fields={"u": self.states.astype(np.float32)},
            latent={"equation": self.equations},
            grid=self.grid,
            times=self.times,
            parameters={"family": self.families * 1.0},
            provenance={"family": "field windows", "systems": list(self.names)},
        )


def members(name: str) -> list[Problem]:
    """The problem, or one for each value of a parameter that is a choice: the words of u^2 are not those of u^3."""
    problem = pdes.get(name)
    found = [problem]
    for parameter, law in problem.parameters.items():
        if isinstance(law, Choice):
            equation = problem.equation
            found = [p.replace(parameters={**p.parameters, parameter: v}) for p in found for v in law.values]
            if parameter not in equation.parameters:
                raise SettingError(given=f"the choice {parameter!r}", needed="a number of the equation", remedy="Drop it.")
    return found


def words_of_problem(problem: Problem) -> Family:
    """The equation of a problem as words with slots, on the clock."""
    fixed = {Symbol(n): Rational(str(law.value)) for n, law in problem.parameters.items() if isinstance(law, Fixed)}
    whole = {symbol: value for symbol, value in fixed.items() if value.is_Integer}
    if problem.time is None:
        raise SettingError(given=f"the problem {problem.name!r} without time", needed="one in time", remedy="Leave it out.")
    sides = field_sides(problem.equation, problem.time[1] / CLOCK, whole)
    laws = {n: law for n, law in problem.parameters.items() if Symbol(n) not in whole}
    return Family(problem.name, canonical(sides), laws, {}, (), np.inf)


def held(problem: Problem, split: str) -> Problem:
    """The problem with the numbers of a split."""
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if split == "outside":
        return problem.held_out() if problem.held_out_laws else problem
    for name, law in problem.parameters.items():
        inner = law.inner if isinstance(law, Rounded) else law
        if isinstance(inner, Uniform):
            low, width = inner.low, inner.high - inner.low
            part = _VALIDATION if split == "validation" else _TEST
            spare = _MARGIN * (part[1] - part[0])
            mine = Uniform(low + (part[0] + spare) * width, low + (part[1] - spare) * width)
            others = Bands(low, low + _VALIDATION[0] * width, low + _TEST[1] * width, inner.high)
            chosen: Any = others if split == "train" else mine
            again = Rounded(chosen, law.digits) if isinstance(law, Rounded) else chosen
            return problem.replace(parameters={**problem.parameters, name: again})
    return problem


def field_windows(
    names: Sequence[str],
    n: int,
    seed: int,
    split: str = "train",
    points: int = POINTS,
    folder: str | Path | None = None,
    workers: int = 1,
) -> FieldWindows:
    """n windows of the named problems in turn, as if all lay on the grid of the first.

    folder : where generated data are kept and found again; None for memory alone.

    Raises
    ------
    SettingError : a problem that is not one field on a line in time; no names, or n < 1.
    UnknownName : a problem or split that does not exist.
    """
    if isinstance(names, str) or not names or n < 1:
        raise SettingError(given=f"names={names!r}, n={n}", needed="a list of problems, n >= 1", remedy="Change them.")
    problems = [member for name in names for member in members(name)]
    counts = [len(range(i, n, len(problems))) for i in range(len(problems))]
    states = np.zeros((n, FRAMES, points), np.float32)
    rows: list = [None] * n
    constants: list = [None] * n
    grid = None
    for i, (problem, count) in enumerate(zip(problems, counts, strict=True)):
        if not count:
            continue
        kind, mine = words_of_problem(problem), range(i, n, len(problems))
        chosen = held(problem, split).replace(frames=FRAMES * EVERY)
        path = None if folder is None else Path(folder) / f"{problem.name}-{i}-{split}-{count}-{points}-{seed}.h5"
        data = pdes.generate(
            chosen, count, points, seed=4 * seed + SPLITS.index(split), path=path, workers=workers, progress=False
        )
        states[mine] = data.fields[observed(problem.equation)][:, ::EVERY]
        numbers = kind.numbers({name: np.asarray(data.parameters[name][...], float) for name in kind.laws}, count)
        for at, row, exact in zip(mine, kind.ids(numbers), numbers, strict=True):
            rows[at], constants[at] = [ID[BOS], *row, ID[EOS]], exact
        grid = data.grid if grid is None else grid
    assert grid is not None  # the first problem has windows
    times = np.linspace(0, CLOCK, FRAMES * EVERY)[::EVERY]
    families = np.arange(n) % len(problems)
    named = tuple(problem.name for problem in problems)
    return FieldWindows(times, states, np.full(n, points), padded(rows), families, named, tuple(constants), grid)
