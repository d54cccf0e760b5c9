"""Evolution equations of one field on a line in the words of `pdes.vocabulary`: u and its derivatives stand as components.

    u_t = F(u, u_x, u_xx, u_xxx, u_xxxx, x)                      one equation: the words of F
    u_t = v; v_t = F, that is u_tt = F(u, u_t, u_x, ...)         two: u_5 | F

    u_0 = u    u_1 = u_x    u_2 = u_xx    u_3 = u_xxx    u_4 = u_xxxx    u_5 = u_t    u_6 = x

Products are multiplied out and derivatives carried through, (u^2)_x = 2 u u_x, so that equal equations have equal words
(`pdes.canonical`). Sun, Liu, Zhang, Schaeffer, PROSE-PDE, Physical Review E 111, 2025, write u_t among the terms, on one side.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy

from pdes.canonical import STATES, system_of
from pdes.equation import Equation
from pdes.grammar import COORDINATES
from pdes.vocabulary import BAR, HOLE, ID, Words, words_of
from solvers.errors import DataError, SettingError

FIELD = ("u", "u_x", "u_xx", "u_xxx", "u_xxxx", "u_t", "x")
"""What the variables mean, in their order."""
ORDER = 4
RATE, PLACE = STATES[5], STATES[6]
NEW_TERMS = 3  # a person who adds a term takes u, u_x, u_xx


def field_sides(equation: Equation, pace: float = 1.0, known: Mapping[sympy.Symbol, Any] | None = None) -> list[sympy.Expr]:
    """Right-hand sides in u_0 ... u_6 (`STATES`), parameters as symbols.

    pace : units of the equation's time in one unit of the clock that is wanted: rates are multiplied by it.
    known : parameters with values that decide the form, as exponents do.

    Raises
    ------
    SettingError : no equation u_t = F or pair u_t = v; v_t = F on a line, or derivatives of order above four.
    """
    time, x, exact = COORDINATES["t"], COORDINATES["x"], sympy.nsimplify(pace, rational=True)
    names, side = _sorted(equation)
    fields = [equation.names.field(name) for name in names]
    renamed = {sympy.Derivative(fields[0], (x, n)): STATES[n] for n in range(ORDER, 0, -1)} | {fields[0]: STATES[0]}
    if len(names) == 2:
        renamed[fields[1]] = RATE / exact
    rate = sympy.expand(side.xreplace(dict(known or {})).doit()).xreplace(renamed).xreplace({x: PLACE})
    if rate.has(time, sympy.Derivative, sympy.Integral):
        raise _unsayable(equation)
    return [exact * rate] if len(names) == 1 else [RATE, exact**2 * rate]


def observed(equation: Equation) -> str:
    """Name of the field that the words are about: of a pair, the one whose rate is the other. Errors as `field_sides`."""
    return _sorted(equation)[0][0]


def _sorted(equation: Equation) -> tuple[tuple[str, ...], sympy.Expr]:
    """The field, and of a pair its rate too, by name; F as written."""
    names, time = equation.unknowns, COORDINATES["t"]
    if equation.dimension != 1 or equation.inputs or not 1 <= len(names) <= 2 or set(equation.evolving) != set(names):
        raise _unsayable(equation)
    sides = {
        str(left.args[0].func): right
        for left, right in equation.sides
        if isinstance(left, sympy.Derivative) and left.variables == (time,)
    }
    if set(sides) != set(names):
        raise _unsayable(equation)
    if len(names) == 1:
        return names, sides[names[0]]
    for one, other in (names, names[::-1]):
        if sides[one] == equation.names.field(other):
            return (one, other), sides[other]
    raise _unsayable(equation)


def field_equation(sides: Sequence[sympy.Expr]) -> Equation:
    """The equation that right-hand sides in u_0 ... u_6 say.

    Raises
    ------
    SettingError : neither one side nor a pair of which the first is u_5; a single side with u_5.
    """
    sides = [sympy.sympify(side) for side in sides]
    if len(sides) not in (1, 2) or (len(sides) == 2 and sides[0] != RATE) or (len(sides) == 1 and sides[0].has(RATE)):
        raise SettingError(
            given=f"the right-hand sides {sides}", needed="[F], for u_t = F, or [u_5, F], for u_tt = F", remedy="Change them."
        )
    names = dict(zip(STATES, sympy.symbols(("u", "u_x", "u_xx", "u_xxx", "u_xxxx", "v", "x")), strict=False))
    texts = [str(side.xreplace(names)) for side in sides]
    return Equation(f"u_t = {texts[0]}" if len(texts) == 1 else f"u_t = v; v_t = {texts[1]}", dimension=1)


def field_words_of(ids: Sequence[int]) -> list[Words]:
    """Words of F, or of u_5 and F, under the strict definition of `pdes.vocabulary.words_of`.

    Raises
    ------
    DataError : anything else.
    """
    count = 1 + sum(int(i) == ID[BAR] for i in ids)
    found = words_of(ids, count, len(FIELD))
    if count > 2 or (count == 2) != (found[0] == (RATE.name,)) or (count == 1 and RATE.name in found[0]):
        raise DataError(
            given=f"{count} equations, the first of the words {found[0][:12]}",
            needed="F without u_5, for u_t = F, or u_5 | F, for u_tt = F",
            remedy="Decode with the grammar's constraint, or count this answer as invalid.",
        )
    return found


def evaluated(words: Sequence[Words], values: np.ndarray) -> np.ndarray:
    """F at values of u_0 ... u_6, (variable, *shape) -> (*shape); a DataError where it is nowhere finite."""
    numbers = [w for each in words for w in each if not isinstance(w, str)]
    bare = tuple(tuple(w if isinstance(w, str) else HOLE for w in each) for each in words)
    return np.broadcast_to(_compiled(bare)(*values, *numbers), values.shape[1:])


@lru_cache(maxsize=512)
def _compiled(bare: tuple[Words, ...]) -> Callable:
    count = sum(w == HOLE for each in bare for w in each)
    system = system_of(bare)
    if system[-1].has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise DataError(given=f"the right-hand side {system[-1]}", needed="a real, finite one", remedy="Drop it.")
    return sympy.lambdify([*STATES[: len(FIELD)], *sympy.symbols(f"c_:{count}")], system[-1], "numpy", cse=True)


def _unsayable(equation: Equation) -> SettingError:
    return SettingError(
        given=f"the equation {equation}",
        needed=f"u_t = F, or u_t = v; v_t = F, of one field on a line, derivatives of order up to {ORDER}, no input fields",
        remedy="Rewrite it, or train without equations.",
    )
