"""NumPy functions of many expressions at once; each expression is differentiated and printed a single time in a process.

`sympy.lambdify` of a library takes seconds, again for every subset. Here the code of an expression and of its derivatives,
common parts taken out, is kept by the expression; a function of a subset is put together from the texts.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from sympy.printing.numpy import NumPyPrinter


@dataclass(frozen=True)
class Code:
    """temporaries : (name, code) in order.   value : code.   slopes : symbol's name -> code, where it is not zero."""

    temporaries: tuple[tuple[str, str], ...]
    value: str
    slopes: dict[str, str]


class _Printer(NumPyPrinter):
    """Small powers as products: NumPy's general power is twenty times slower."""

    def _print_Pow(self, expr, rational=False):
        base, exponent = expr.as_base_exp()
        if base.is_Symbol and exponent.is_Integer and 2 <= int(exponent) <= 8:
            return "(" + "*".join([str(base)] * int(exponent)) + ")"
        return super()._print_Pow(expr, rational)


@functools.lru_cache(maxsize=8192)
def code(expression: sympy.Expr) -> Code:
    """Code of an expression and of its derivatives by all its symbols."""
    symbols = sorted(expression.free_symbols, key=str)
    slopes = [_derivative(expression, symbol) for symbol in symbols]
    parts, (value, *rest) = sympy.cse([expression, *slopes], symbols=sympy.numbered_symbols("tmp"))
    printer = _Printer({"fully_qualified_modules": False})
    write = lambda e: str(printer.doprint(e))  # noqa: E731
    return Code(
        tuple((str(name), write(part)) for name, part in parts),
        write(value),
        {str(symbol): write(e) for symbol, e in zip(symbols, rest, strict=True) if e != 0},
    )


def _derivative(e: sympy.Expr, symbol: sympy.Basic) -> Any:
    slope = sympy.diff(e, symbol)
    return slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0)) if slope.has(sympy.DiracDelta) else slope


def assembled(
    expressions: Sequence[sympy.Expr],
    renamed: Sequence[dict[str, str]],
    arguments: Sequence[str],
    wanted: Sequence[tuple[int, str]],
) -> Callable:
    """A function of `arguments` that returns the list of all values, then of the wanted (expression, symbol) derivatives.

    renamed : for each expression, names of its symbols in the function.
    """
    lines, values, slopes = [], [], {}
    for j, (expression, names) in enumerate(zip(expressions, renamed, strict=True)):
        found = code(expression)
        inner = names | {name: f"{name}_{j}" for name, _ in found.temporaries}
        translate = functools.partial(_translated, names=inner)
        lines += [f"    {inner[name]} = {translate(part)}" for name, part in found.temporaries]
        values.append(translate(found.value))
        slopes[j] = {name: translate(part) for name, part in found.slopes.items()}
    results = values + [slopes[j][name] for j, name in wanted]
    source = "\n".join([f"def function({', '.join(arguments)}):", *lines, f"    return [{', '.join(results)}]"])
    space = {name: getattr(np, name) for name in ("sin", "cos", "tan", "exp", "log", "sign", "abs", "sqrt", "tanh", "pi")}
    exec(compile(source, "<features>", "exec"), space)
    return space["function"]


def _translated(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\b[A-Za-z_]\w*\b", lambda word: names.get(word[0], word[0]), text) if names else text
