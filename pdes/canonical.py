"""One way to write a system: sums of terms in a fixed order, so that equal systems have equal words.

    u' = c_1 m_1 + c_2 m_2 + ...     terms sorted: constants, linear, quadratic, ..., functions last; products sorted too

Whatever order, nesting or sign folding a system is written in, a model that reads and writes canonical words sees the same
(published accuracy falls where terms are permuted: Jollie et al., arXiv 2409.11609, table of section 4). Sums are right folds,
add t1 add t2 t3: whether another term follows is decided term by term. Coefficients of 1 and -1 are not written (`neg`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy

from pdes.equation import Equation
from pdes.grammar import COORDINATES
from pdes.ordinary import rates
from pdes.vocabulary import ARITY, HOLE, ID, MAX_COMPONENTS, UNARY, VARIABLES, Words
from solvers.errors import SettingError

STATES = sympy.symbols(VARIABLES)
_NAMED = {name: getattr(sympy, {"abs": "Abs"}.get(name, name)) for name in UNARY[4:]}
_NAME_OF = {function: name for name, function in _NAMED.items() if name != "sqrt"}


@dataclass(frozen=True)
class Term:
    """A coefficient and what it multiplies.

    coefficient : the integers 1 or -1 (not written), a float, an expression of parameters, or `HOLE`.
    body : words of the product without it; () for a constant.
    """

    coefficient: Any
    body: Words

    @property
    def words(self) -> Words:
        """As written."""
        if not self.body:
            return (1.0 * self.coefficient if isinstance(self.coefficient, int) else self.coefficient,)
        if isinstance(self.coefficient, int):
            return self.body if self.coefficient == 1 else ("neg", *self.body)
        return ("mul", self.coefficient, *self.body)

    @property
    def key(self) -> tuple:
        """What the order is by: functions last, then the degree, then the words without numbers, then with them."""
        names = [word if isinstance(word, str) else HOLE for word in self.body]
        degree, factor = 0, []
        for word in names:
            if word in ("pow2", "pow3"):
                factor.append(int(word[3]))
            elif word in VARIABLES:
                degree += factor.pop() if factor else 1
        heavy = any(word in ARITY and word not in ("mul", "pow2", "pow3") for word in names)
        numbers = tuple(word for word in self.body if isinstance(word, float))
        return (heavy, degree, tuple(ID[word] for word in names), numbers)


@dataclass(frozen=True)
class Component:
    """One right-hand side: the sum of its terms, over `denominator` if there is one (the double pendulum's)."""

    terms: tuple[Term, ...]
    denominator: Words = ()

    @property
    def words(self) -> Words:
        """As written."""
        total = _joined(self.terms)
        return ("div", *total, *self.denominator) if self.denominator else total

    def ordered(self) -> "Component":
        """With the terms in their order."""
        return replace(self, terms=tuple(sorted(self.terms, key=lambda term: term.key)))

    @property
    def skeleton(self) -> "Component":
        """With every number replaced by `HOLE`."""
        hole = lambda words: tuple(word if isinstance(word, str) else HOLE for word in words)  # noqa: E731
        terms = tuple(
            Term(t.coefficient if t.body and isinstance(t.coefficient, int) else HOLE, hole(t.body)) for t in self.terms
        )
        return Component(terms, hole(self.denominator)).ordered()


System = tuple[Component, ...]


def _joined(terms: Sequence[Term]) -> Words:
    if not terms:
        return (0.0,)
    return (*(word for term in terms[:-1] for word in ("add", *term.words)), *terms[-1].words)


def right_hand_sides(equation: Equation) -> list:
    """Of a system x_t = f(x, y, ...), the right-hand sides in u_0, u_1, ... (`STATES`), parameters as symbols.

    Raises
    ------
    SettingError : another form, more than `MAX_COMPONENTS` unknowns, or the time on the right.
    """
    if len(equation.unknowns) > MAX_COMPONENTS:
        raise SettingError(
            given=f"a system of {len(equation.unknowns)} equations", needed=f"at most {MAX_COMPONENTS}", remedy="Drop it."
        )
    names = {equation.names.field(name): state for name, state in zip(equation.unknowns, STATES, strict=False)}
    sides = [side.xreplace(names) for side in rates(equation)]
    if any(side.has(COORDINATES["t"]) for side in sides):
        raise SettingError(
            given=f"the system {equation}, with the time on the right",
            needed="a system without it",
            remedy="Add a clock: one more unknown with the rate 1.",
        )
    return sides


# -- from sympy -----------------------------------------------------------------------------------------------------------


def canonical(system: Sequence[sympy.Expr]) -> System:
    """Components of the right-hand sides, in u_0, u_1, ... (`STATES`); other symbols are parameters and make coefficients.

    Raises
    ------
    SettingError : something that the words cannot say.

    Examples
    --------
    >>> x, y = sympy.symbols("u_0 u_1")
    >>> canonical([x * (y - 2), -x])[0].words
    ('add', 'mul', -2.0, 'u_0', 'mul', 'u_0', 'u_1')
    """
    return tuple(_component(sympy.sympify(expression)) for expression in system)


def system_words(system: System) -> list[Words]:
    """Words of each component."""
    return [component.words for component in system]


def _expanded(expression) -> sympy.Expr:
    return sympy.expand(expression, power_exp=False, power_base=False, log=False)


def _component(expression) -> Component:
    numerator, denominator = sympy.S.One, sympy.S.One
    if any(_is_sum(power.base) and power.exp.is_negative for power in expression.atoms(sympy.Pow)):
        numerator, denominator = sympy.fraction(sympy.together(expression))
    if not _is_sum(denominator):
        return Component(tuple(_terms(_expanded(expression)))).ordered()
    below = Component(tuple(_terms(_expanded(denominator)))).ordered()
    last = below.terms[-1].coefficient  # its last term is written without a number: of equal quotients one is chosen
    if not (isinstance(last, int) and last == 1):
        numerator, denominator = numerator / sympy.sympify(last), denominator / sympy.sympify(last)
    return _component_over(_expanded(numerator), _expanded(denominator))


def _component_over(numerator, denominator) -> Component:
    return Component(tuple(_terms(numerator)), Component(tuple(_terms(denominator))).ordered().words).ordered()


def _is_sum(expression) -> bool:
    return isinstance(_expanded(expression), sympy.Add) and bool(expression.free_symbols & set(STATES))


def _terms(expanded) -> list[Term]:
    found: dict[Words, Any] = {}
    for term in sympy.Add.make_args(expanded) if expanded != 0 else ():
        coefficient, rest = term.as_independent(*STATES, as_Add=False)
        body = () if rest == 1 else _product(rest)
        found[body] = found.get(body, 0) + coefficient  # a*u + b*u is one term
    return [Term(_number(c, literal=bool(body)), body) for body, c in found.items() if c != 0]


def _number(value, literal: bool = False):
    """A float; the integers 1 and -1 where they are not written; expressions of parameters stay."""
    if literal and value in (sympy.S.One, sympy.S.NegativeOne):
        return int(value)
    if not value.free_symbols:
        if not value.is_real or not value.is_finite:
            raise _unsayable(value)
        return float(value)
    return value


def _product(expression) -> Words:
    parts = [_factor(factor) for factor in sympy.Mul.make_args(expression)]
    parts.sort(key=lambda words: Term(1, words).key)
    return (*(word for part in parts[:-1] for word in ("mul", *part)), *parts[-1])


def _factor(factor) -> Words:
    if factor in STATES:
        return (factor.name,)
    if isinstance(factor, sympy.exp):
        return ("exp", *_component(factor.args[0]).words)
    if isinstance(factor, sympy.Pow):
        return _power(factor.base, factor.exp)
    if type(factor) in _NAME_OF:
        return (_NAME_OF[type(factor)], *_component(factor.args[0]).words)
    if isinstance(factor, sympy.Add):
        return _component(factor).words
    if isinstance(factor, sympy.cosh | sympy.sinh | sympy.sec | sympy.csc | sympy.cot):
        return _component(factor.rewrite(sympy.exp if factor.func in (sympy.cosh, sympy.sinh) else sympy.cos)).words
    raise _unsayable(factor)


def _power(base, exponent) -> Words:
    if exponent.is_Integer:
        n = int(exponent)
        if n < 0:
            return ("inv", *_power(base, -exponent)) if n < -1 else ("inv", *_base(base))
        if n in (2, 3):
            return (f"pow{n}", *_base(base))
        return ("pow2", *_power(base, sympy.Integer(n // 2))) if n % 2 == 0 else (
            "mul", *_base(base), *_power(base, sympy.Integer(n - 1))
        )  # fmt: skip
    if exponent == sympy.Rational(1, 2):
        return ("sqrt", *_base(base))
    if exponent.is_Float and float(exponent).is_integer():
        return _power(base, sympy.Integer(int(exponent)))
    return ("exp", *_component(exponent * sympy.log(base)).words)


def _base(base) -> Words:
    return _factor(base) if base in STATES else _component(base).words


def _unsayable(what) -> SettingError:
    return SettingError(
        given=f"{what} in a right-hand side",
        needed=f"sums and products of u_0, u_1, ..., real numbers and {', '.join(UNARY)}",
        remedy="Rewrite it, or train without equations.",
    )


# -- from words -----------------------------------------------------------------------------------------------------------


def expression(words: Words, holes: str = "c") -> sympy.Expr:
    """The expression that words say; the k-th placeholder becomes the symbol c_k."""
    return _Reader(holes).read(list(words))


def system_of(words: Sequence[Words], holes: str = "c") -> list[sympy.Expr]:
    """The right-hand sides that words say; placeholders are numbered through all of them."""
    reader = _Reader(holes)
    return [reader.read(list(each)) for each in words]


class _Reader:
    def __init__(self, holes: str):
        self.holes, self.count = holes, 0

    def read(self, words: list) -> sympy.Expr:
        rest = iter(words)
        found = self._next(rest)
        if next(rest, None) is not None:
            raise SettingError(given=f"words {words[:12]} after a complete expression", needed="one", remedy="Split them.")
        return found

    def _next(self, rest) -> sympy.Expr:
        word = next(rest)
        if not isinstance(word, str):
            return sympy.Float(word) if isinstance(word, float) else word
        if word in VARIABLES:
            return STATES[VARIABLES.index(word)]
        if word == HOLE:
            self.count += 1
            return sympy.Symbol(f"{self.holes}_{self.count - 1}")
        first = self._next(rest)
        if ARITY[word] == 2:
            second = self._next(rest)
            return {"add": sympy.Add, "mul": sympy.Mul}[word](first, second) if word in ("add", "mul") else (
                first - second if word == "sub" else first / second
            )  # fmt: skip
        simple = {"neg": -first, "inv": 1 / first if first != 0 else sympy.zoo, "pow2": first**2, "pow3": first**3}
        return simple[word] if word in simple else _NAMED[word](first)


def components_of(words: Sequence[Words]) -> System:
    """Canonical words taken apart again, without sympy (fast: for corruptions while a model trains)."""
    found = []
    for each in words:
        rest, denominator = list(each), ()
        if rest[0] == "div":
            cut = _end(rest, 1)
            rest, denominator = rest[1:cut], tuple(rest[cut:])
        terms, at = [], 0
        while at < len(rest):
            more = rest[at] == "add"
            start = at + more
            end = _end(rest, start)
            terms.append(_term(rest[start:end]))
            at = end
            if not more:
                break
        found.append(Component(tuple(terms), denominator))
    return tuple(found)


def _term(words: list) -> Term:
    if words[0] == "neg":
        return Term(-1, tuple(words[1:]))
    if len(words) == 1 and words[0] not in VARIABLES:
        return Term(words[0], ())
    if words[0] == "mul" and (words[1] == HOLE or not isinstance(words[1], str)):
        return Term(words[1], tuple(words[2:]))
    return Term(1, tuple(words))


def _end(words: list, start: int) -> int:
    """Where the expression that begins at `start` ends."""
    open_slots, at = 1, start
    while open_slots:
        open_slots += ARITY.get(words[at], 0) - 1 if isinstance(words[at], str) else -1
        at += 1
    return at
