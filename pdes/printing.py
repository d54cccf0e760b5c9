"""Expressions as text of the grammar, and as LaTeX."""

import sympy
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from pdes.grammar import counts


class TextPrinter(StrPrinter):
    """Expressions in the grammar of `pdes.grammar`."""

    def __init__(self, unknowns: tuple[str, ...]):
        super().__init__()
        self.unknowns = unknowns

    def _print_Derivative(self, expr):
        letters = "".join(v.name * n for v, n in counts(expr))
        if isinstance(expr.expr, AppliedUndef) and expr.expr.func.__name__ in self.unknowns:
            return f"{expr.expr.func.__name__}_{letters}"
        text = self._print(expr.expr)
        for letter in letters:
            text = f"d{letter}({text})"
        return text

    def _print_Function(self, expr):
        if isinstance(expr, AppliedUndef):
            name = expr.func.__name__
            return name if name in self.unknowns else f"{name}({', '.join(map(str, expr.args))})"
        return f"{'abs' if expr.func is sympy.Abs else expr.func.__name__}({self._print(expr.args[0])})"

    _print_Abs = _print_Function

    def _print_Exp1(self, expr):  # pyright: ignore[reportIncompatibleMethodOverride]  (StrPrinter's dispatch passes it by place)
        return "exp(1)"


class MathPrinter(LatexPrinter):
    """Expressions in LaTeX with subscripts for derivatives."""

    def _print_Derivative(self, expr):
        letters = "".join(v.name * n for v, n in counts(expr))
        if isinstance(expr.expr, AppliedUndef):
            return f"{self._print(sympy.Symbol(expr.expr.func.__name__))}_{{{letters}}}"
        return rf"\left({self._print(expr.expr)}\right)_{{{letters}}}"

    def _print_Function(self, expr, exp=None):
        if not isinstance(expr, AppliedUndef):
            return super()._print_Function(expr, exp)
        name = self._print(sympy.Symbol(expr.func.__name__))
        return name if exp is None else f"{name}^{{{exp}}}"
