"""An equation, written once: text or sympy in; residual, linear and nonlinear parts, LaTeX and tokens out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from pdes import grammar
from pdes.printing import MathPrinter, PagePrinter, TextPrinter
from solvers.errors import SettingError
from solvers.grid import Grid


class Equation:
    """One equation or a system.

    Parameters
    ----------
    source : text ("u_t = nu*u_xx - u*u_x"; systems separated by ";"), a sympy Eq, or a list of either. See `pdes.grammar`.
    dimension : space dimensions; None reads it from the axes in the text (2 where there is only lap, grad or div). 0 is for
        ordinary equations, in which x, y, z are free names: Equation("x_t = y; y_t = -x", dimension=0).
    inputs : names of coefficient and source fields; in the text they may also be written with their coordinates, a(x, y).
    unknowns : names of the unknowns; None takes those with a time derivative, or else those that are differentiated.

    Raises
    ------
    SettingError : text outside the grammar; the message shows the place.

    Examples
    --------
    >>> burgers = Equation("u_t = nu*u_xx - u*u_x")
    >>> burgers.unknowns, burgers.parameters, burgers.dimension, burgers.order_in_time
    (('u',), ('nu',), 1, 1)
    >>> print(Equation("-div(a*grad(u)) = f", inputs=("a", "f")))
    -dx(a(x, y)*u_x) - dy(a(x, y)*u_y) = f(x, y)
    >>> Equation(str(burgers)) == burgers
    True
    """

    def __init__(
        self,
        source: "str | sympy.Eq | Equation | Sequence[str | sympy.Eq]",
        dimension: int | None = None,
        inputs: Iterable[str] = (),
        unknowns: Iterable[str] | None = None,
    ):
        text = _to_text(source)
        statements = [statement.strip() for statement in text.split(";") if statement.strip()]
        sides = []
        for statement in statements:
            tokens = grammar.tokenize(statement)
            equals = [i for i, token in enumerate(tokens) if token.text == "="]
            if len(equals) != 1 or equals[0] in (0, len(tokens) - 1):
                raise grammar.syntax_error(
                    statement, tokens[equals[-1]].position if equals else 0, "not exactly one '=' between two sides"
                )
            sides += [(statement, tokens[: equals[0]]), (statement, tokens[equals[0] + 1 :])]
        if not sides:
            raise grammar.syntax_error(text, 0, "nothing")
        self.names = grammar.find_names(
            [t for _, t in sides], text, dimension, tuple(inputs), None if unknowns is None else tuple(unknowns)
        )
        parsed = [grammar.Parser(tokens, statement, self.names).parse() for statement, tokens in sides]
        self.sides = tuple(zip(parsed[::2], parsed[1::2], strict=True))
        if len(self.sides) != len(self.unknowns):
            raise SettingError(
                given=f"{len(self.sides)} equations for the unknowns {self.unknowns}",
                needed="one equation for each unknown",
                remedy="Name the input fields with their coordinates, a(x, y), or pass inputs=(...).",
            )

    # -- what is in it ------------------------------------------------------------------------------------------------

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of the unknown fields."""
        return self.names.unknowns

    @property
    def evolving(self) -> tuple[str, ...]:
        """Unknowns with a time derivative; the others follow from them (a stream function, say)."""
        return self.names.evolving

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the given fields."""
        return self.names.inputs

    @property
    def dimension(self) -> int:
        """Space dimensions."""
        return self.names.dimension

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the numbers that the equation leaves open, sorted."""
        known = {grammar.COORDINATES[letter] for letter in grammar.letters_of(self.dimension)}
        symbols = set().union(*(side.free_symbols for pair in self.sides for side in pair)) - known
        return tuple(sorted(s.name for s in symbols))

    @cached_property
    def order_in_time(self) -> int:
        """Highest time derivative; 0 for steady problems."""
        time = grammar.COORDINATES["t"]
        derivatives = set().union(*(side.atoms(sympy.Derivative) for pair in self.sides for side in pair))
        orders = [n for derivative in derivatives for v, n in grammar.counts(derivative) if v == time]
        return max(orders, default=0)

    @property
    def equations(self) -> tuple[sympy.Basic, ...]:
        """As sympy equations."""
        return tuple(sympy.Eq(left, right, evaluate=False) for left, right in self.sides)

    # -- as text ------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        printer = TextPrinter(self.unknowns)
        return "; ".join(f"{printer.doprint(left)} = {printer.doprint(right)}" for left, right in self.sides)

    def __repr__(self) -> str:
        return f"Equation({str(self)!r}, dimension={self.dimension})"

    def __eq__(self, other) -> bool:
        return isinstance(other, Equation) and (self.sides, self.names) == (other.sides, other.names)

    def __hash__(self) -> int:
        return hash((str(self), self.dimension))

    def __reduce__(self):  # travels between processes as text
        return _rebuild, (str(self), self.dimension, self.inputs, self.unknowns)

    def srepr(self) -> str:
        """sympy's exact form."""
        return "; ".join(sympy.srepr(equation) for equation in self.equations)

    def latex(self) -> str:
        r"""For documents.

        >>> Equation("u_t = nu*u_xx - u*u_x").latex()
        'u_{t} = \\nu u_{xx} - u u_{x}'
        """
        printer = MathPrinter()
        return r" \\ ".join(f"{printer.doprint(left)} = {printer.doprint(right)}" for left, right in self.sides)

    def mathml(self) -> str:
        """For web pages: one <math> block per equation.

        >>> Equation("u_t = nu*u_xx").mathml().count("<msub>")
        2
        """
        sides = [[PagePrinter().doprint(side) for side in pair] for pair in self.sides]
        return "".join(f"<math display='block'><mrow>{left}<mo>=</mo>{right}</mrow></math>" for left, right in sides)

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"

    def tokens(self) -> list[str]:
        """Prefix tokens, for models that read or write equations; `from_tokens` is the inverse.

        >>> Equation("u_t = nu*u_xx").tokens()
        ['eq', 'u_t', 'mul', 'nu', 'u_xx']
        """
        from pdes.tokens import write

        return [
            token for left, right in self.sides for token in ("eq", *write(left, self.unknowns), *write(right, self.unknowns))
        ]

    @classmethod
    def from_tokens(cls, tokens: Sequence[str], dimension: int | None = None) -> "Equation":
        """The equation of prefix tokens.

        >>> str(Equation.from_tokens(['eq', 'u_t', 'mul', 'nu', 'u_xx']))
        'u_t = nu*u_xx'
        """
        from pdes.tokens import read

        return cls(read(tokens), dimension=dimension)

    # -- as numbers ---------------------------------------------------------------------------------------------------

    @cached_property
    def evolution(self):
        """Right-hand sides, split into linear and nonlinear terms; see `pdes.terms.Evolution`."""
        from pdes.terms import Evolution

        return Evolution.of(self)

    def residual(
        self,
        fields: Mapping[str, np.ndarray],
        grid: Grid,
        times=None,
        parameters: Mapping[str, np.ndarray] | None = None,
        inputs: Mapping[str, np.ndarray] | None = None,
        scheme: str = "finite-difference",
    ):
        """Left minus right side on given fields; see `pdes.residual.residual`."""
        from pdes.residual import residual

        return residual(self, fields, grid, times, parameters, inputs, scheme)


def _rebuild(text, dimension, inputs, unknowns):
    return Equation(text, dimension, inputs, unknowns)


def _to_text(source) -> str:
    """Any accepted form as text of the grammar; sympy objects lose their assumptions on the way, and become canonical."""
    if isinstance(source, str):
        return source
    if isinstance(source, Equation):
        return str(source)
    if isinstance(source, sympy.Basic):
        return _from_sympy([source])
    if isinstance(source, Sequence) and source and all(isinstance(part, sympy.Basic) for part in source):
        return _from_sympy(source)
    if isinstance(source, Sequence):
        return "; ".join(_to_text(part) for part in source)
    raise SettingError(
        given=f"an equation of type {type(source).__name__}", needed="text, a sympy Eq, or a list", remedy="Convert it."
    )


def _from_sympy(equations: Sequence[sympy.Basic]) -> str:
    for equation in equations:
        if not isinstance(equation, sympy.Eq):
            raise SettingError(
                given=f"sympy {type(equation).__name__}", needed="sympy.Eq(left, right)", remedy="Wrap it: sympy.Eq(expr, 0)."
            )
    fields = set().union(*(equation.atoms(AppliedUndef) for equation in equations))
    timed = {field for field in fields if "t" in map(str, field.args)}
    differentiated = {
        d.expr for equation in equations for d in equation.atoms(sympy.Derivative) if isinstance(d.expr, AppliedUndef)
    }
    printer = TextPrinter(tuple(field.func.__name__ for field in timed or differentiated or fields))
    numbers = {n: sympy.Rational(str(n)) for equation in equations for n in equation.atoms(sympy.Float)}
    return "; ".join(" = ".join(printer.doprint(side.xreplace(numbers)) for side in equation.args) for equation in equations)
