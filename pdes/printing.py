"""Expressions as text of the grammar, and as LaTeX."""

import sympy
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter


class TextPrinter(StrPrinter):
    """Expressions in the grammar above."""

    def __init__(self, unknowns: tuple[str, ...]):
        super().__init__()
        self.unknowns = unknowns

    def _print_Derivative(self, e):
        letters = "".join(
            str(v) * int(count) for v, count in sorted(e.variable_count, key=lambda item: "txyz".index(str(item[0])))
        )
        if isinstance(e.expr, AppliedUndef) and e.expr.func.__name__ in self.unknowns:
            return f"{e.expr.func.__name__}_{letters}"
        text = self._print(e.expr)
        for letter in letters:
            text = f"d{letter}({text})"
        return text

    def _print_Function(self, e):
        if isinstance(e, AppliedUndef):
            name = e.func.__name__
            return name if name in self.unknowns else f"{name}({', '.join(map(str, e.args))})"
        return f"{'abs' if e.func is sympy.Abs else e.func.__name__}({self._print(e.args[0])})"

    _print_Abs = _print_Function

    def _print_Exp1(self, e):
        return "exp(1)"


class MathPrinter(LatexPrinter):
    """Expressions in LaTeX with subscripts for derivatives."""

    def _print_Derivative(self, e):
        letters = "".join(
            str(v) * int(count) for v, count in sorted(e.variable_count, key=lambda item: "txyz".index(str(item[0])))
        )
        if isinstance(e.expr, AppliedUndef):
            return f"{self._print(sympy.Symbol(e.expr.func.__name__))}_{{{letters}}}"
        return rf"\left({self._print(e.expr)}\right)_{{{letters}}}"

    def _print_Function(self, e, exp=None):
        if not isinstance(e, AppliedUndef):
            return super()._print_Function(e, exp)
        name = self._print(sympy.Symbol(e.func.__name__))
        return name if exp is None else f"{name}^{{{exp}}}"
