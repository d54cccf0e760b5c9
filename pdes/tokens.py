"""Expressions as prefix tokens: every operator before its arguments, so no brackets are needed."""

from collections.abc import Sequence

import sympy
from sympy.core.function import AppliedUndef

from pdes.grammar import FUNCTIONS, counts
from pdes.printing import TextPrinter
from solvers.errors import SettingError

_BINARY = {"add": "+", "mul": "*", "pow": "^"}
_UNARY = {*FUNCTIONS, "dx", "dy", "dz", "dt"}


def write(expression, unknowns: tuple[str, ...]) -> list[str]:
    """Prefix tokens of an expression: add, mul, pow (binary), functions, dx.. (unary), names and numbers."""
    if isinstance(expression, (sympy.Add, sympy.Mul)):
        name = "add" if isinstance(expression, sympy.Add) else "mul"
        pieces = expression.as_ordered_terms() if name == "add" else expression.as_ordered_factors()
        parts = [write(part, unknowns) for part in pieces]
        return [*(token for part in parts[:-1] for token in (name, *part)), *parts[-1]]
    if isinstance(expression, sympy.Pow):
        return ["pow", *write(expression.base, unknowns), *write(expression.exp, unknowns)]
    if isinstance(expression, sympy.Derivative) and not isinstance(expression.expr, AppliedUndef):
        heads = [f"d{v.name}" for v, n in counts(expression) for _ in range(n)]
        return [*heads, *write(expression.expr, unknowns)]
    if isinstance(expression, sympy.Function) and not isinstance(expression, AppliedUndef):
        return ["abs" if expression.func is sympy.Abs else expression.func.__name__, *write(expression.args[0], unknowns)]
    if expression == sympy.E:
        return ["exp", "1"]
    return [TextPrinter(unknowns).doprint(expression).replace(" ", "")]


def read(tokens: Sequence[str]) -> str:
    """Text of prefix tokens; equations follow one another, each opened by "eq"."""
    rest, statements = list(tokens), []
    while rest:
        if rest.pop(0) != "eq":
            raise SettingError(
                given=f"tokens {list(tokens)[:12]}", needed="'eq' before each equation", remedy="Check the model's output."
            )
        left, right = _expression(rest), _expression(rest)
        statements.append(f"{left} = {right}")
    return "; ".join(statements)


def _expression(rest: list[str]) -> str:
    if not rest:
        raise SettingError(
            given="tokens that end within an expression",
            needed="two arguments for add, mul, pow, one for functions",
            remedy="Complete them.",
        )
    head = rest.pop(0)
    if head in _BINARY:
        left = _expression(rest)
        return f"(({left}){_BINARY[head]}({_expression(rest)}))"
    if head in _UNARY:
        return f"{head}({_expression(rest)})"
    return f"({head})" if head.startswith("-") or "/" in head else head
