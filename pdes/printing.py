"""Expressions as text of the grammar, and as LaTeX."""

from typing import Any

import sympy
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
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


class PagePrinter(MathMLPresentationPrinter):
    """Expressions in MathML, which browsers show as they are; subscripts for derivatives as in `MathPrinter`."""

    def _print_Derivative(self, e):
        inner = self._print(e.expr)
        if not isinstance(e.expr, AppliedUndef):
            inner = self._node("mrow", self._node("mo", "("), inner, self._node("mo", ")"))
        return self._node("msub", inner, self._node("mi", "".join(v.name * n for v, n in counts(e))))

    def _print_Function(self, e) -> Any:
        return self._print(sympy.Symbol(e.func.__name__)) if isinstance(e, AppliedUndef) else super()._print_Function(e)

    def _node(self, tag: str, *inside):
        """An element with texts and elements in it."""
        node: Any = self.dom.createElement(tag)
        for item in inside:
            node.appendChild(self.dom.createTextNode(item) if isinstance(item, str) else item)
        return node
