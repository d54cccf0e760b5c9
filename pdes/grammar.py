"""Equations as text: a small grammar, read by hand (never `eval`). `pdes.printing` is the inverse.

equation    sum "=" sum ;   systems: several, separated by ";"
u_t u_xx u_xy               derivatives of an unknown (or of an input)
dx(...) dy(...) dz(...)     derivative of an expression, kept in conservative form
lap(...) grad(...) div(...) dot(..., ...)
a(x, y)                     an input field: a coefficient or a source
sin cos tan sinh cosh tanh exp log sqrt abs sign, pi, + - * / ^ **

Ordinary equations (dimension 0) know t alone: x_t = sigma*(y - x); there, x, y, z are names like any other.
"""

import re
from dataclasses import dataclass

import sympy

from solvers.errors import SettingError

COORDINATES = {name: sympy.Symbol(name) for name in "txyz"}
FUNCTIONS = {
    name: getattr(sympy, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "sign")
} | {"abs": sympy.Abs}
OPERATORS = ("lap", "grad", "div", "dot", "dx", "dy", "dz", "dt")
MAX_DEPTH = 60
MAX_BITS = 4096

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d_]\w*)|(?P<sign>\*\*|[-+*/^(),=]))", re.UNICODE
)


@dataclass(frozen=True)
class Token:
    """One piece of the text and where it stands."""

    kind: str
    text: str
    position: int


class _Vector(tuple):
    """Components of a gradient."""


def syntax_error(text: str, position: int, what: str) -> SettingError:
    """Error that shows the offending place."""
    end = min(len(text), position + 12)
    return SettingError(
        given=f"equation {text!r} with {what} at position {position}: …{text[position:end]!r}",
        needed="text such as 'u_t = nu*u_xx - u*u_x' or '-div(a*grad(u)) = f(x, y)'",
        remedy="Derivatives are u_x, u_xx or dx(...); functions are " + ", ".join(FUNCTIONS) + ".",
    )


def tokenize(text: str) -> list[Token]:
    """Split text into tokens; anything outside the grammar is an error."""
    if len(text) > 10_000:
        raise SettingError(given=f"an equation of {len(text)} characters", needed="at most 10,000", remedy="Split it.")
    tokens, position = [], 0
    while position < len(text):
        if text[position:].isspace():
            break
        found = _TOKEN.match(text, position)
        if found is None:
            position += len(text[position:]) - len(text[position:].lstrip())
            raise syntax_error(text, position, f"unexpected {text[position]!r}")
        kind = str(found.lastgroup)
        tokens.append(Token(kind, found.group(kind), found.start(kind)))
        position = found.end()
    return tokens


def split_derivative(name: str, letters: str = "txyz") -> tuple[str, str]:
    """Base and derivative letters of a name: "u_xx" -> ("u", "xx"); ("D_u", "") where the suffix is no derivative."""
    base, _, suffix = name.rpartition("_")
    return (base, suffix) if base and suffix and set(suffix) <= set(letters) else (name, "")


def letters_of(dimension: int | None) -> str:
    """Letters that may differentiate: all of them, until it is known that there is no space."""
    return "t" if dimension == 0 else "txyz"


def coordinates(dimension: int) -> tuple[sympy.Symbol, ...]:
    """x, y, z as far as the dimension goes."""
    return tuple(COORDINATES[name] for name in "xyz"[:dimension])


def counts(derivative) -> list[tuple[sympy.Symbol, int]]:
    """(variable, order) of each variable of a derivative, in the order t, x, y, z."""
    return sorted(((v, int(n)) for v, n in derivative.variable_count), key=lambda item: "txyz".index(item[0].name))


def derive(expression, *variables: sympy.Symbol) -> sympy.Expr:
    """Unevaluated derivative in one canonical order of variables (sympy keeps u_xyx and u_xxy apart)."""
    while isinstance(expression, sympy.Derivative):
        variables, expression = (*expression.variables, *variables), expression.expr
    return sympy.Derivative(expression, *sorted(variables, key=lambda v: "txyz".index(v.name)))


@dataclass(frozen=True)
class Names:
    """What the names of an equation mean."""

    unknowns: tuple[str, ...]
    inputs: tuple[str, ...]
    dimension: int
    evolving: tuple[str, ...]

    @property
    def in_time(self) -> bool:
        """Something evolves."""
        return bool(self.evolving)

    def field(self, name: str):
        """An unknown or an input as a function of its coordinates."""
        time = (COORDINATES["t"],) if self.in_time and name in self.unknowns else ()
        return sympy.Function(name)(*time, *coordinates(self.dimension))


def find_names(
    sides: list[list[Token]], text: str, dimension: int | None, inputs: tuple[str, ...], unknowns: tuple[str, ...] | None
) -> Names:
    """Sort the names of the tokenized sides into unknowns, inputs and parameters, and find the dimension."""
    timed, differentiated, called, letters, vectors = [], [], [], set(), False
    allowed = letters_of(dimension)
    for tokens in sides:
        for i, token in enumerate(tokens):
            if token.kind != "name":
                continue
            base, suffix = split_derivative(token.text, allowed)
            if suffix:
                letters |= set(suffix)
                (timed if "t" in suffix else differentiated).append(base)
            elif token.text in "xyz" and dimension != 0:
                letters.add(token.text)
            if i + 1 < len(tokens) and tokens[i + 1].text == "(":
                if token.text in OPERATORS:
                    vectors |= token.text in ("lap", "grad", "div", "dot")
                    letters |= {token.text[1]} if token.text in ("dx", "dy", "dz") else set()
                    if token.text == "dt" and i + 2 < len(tokens):
                        timed.append(tokens[i + 2].text)
                    inside = tokens[i + 2] if i + 3 < len(tokens) and tokens[i + 3].text == ")" else token
                    if (
                        token.text in ("lap", "grad")
                        and inside.kind == "name"
                        and inside.text not in COORDINATES
                        and inside is not token
                    ):
                        differentiated.append(split_derivative(inside.text)[0])
                elif token.text not in FUNCTIONS and token.text.lower() not in FUNCTIONS:
                    called.append(token.text)
    if unknowns is None:
        free = [name for name in differentiated if name not in inputs and name not in called]
        candidates = [*timed, *free] if timed else free or differentiated
        unknowns = tuple(dict.fromkeys(candidates))
    if not unknowns:
        raise SettingError(
            given=f"equation {text!r} without a derivative",
            needed="an unknown such as u in u_t or lap(u)",
            remedy="Check the spelling.",
        )
    seen = max(("xyz".index(letter) + 1 for letter in letters & set("xyz")), default=0)
    if dimension is None:
        dimension = max(seen, 2 if vectors and not seen else 1)
    if seen > dimension:
        raise SettingError(
            given=f"equation {text!r} in {seen} dimensions", needed=f"at most {dimension}", remedy="Drop the other axes."
        )
    inputs = tuple(dict.fromkeys([*(n for n in called if n not in unknowns), *(n for n in inputs if n not in unknowns)]))
    present = {split_derivative(t.text, allowed)[0] for tokens in sides for t in tokens if t.kind == "name"}
    missing = [name for name in (*unknowns, *inputs) if name not in present]
    if missing:
        raise SettingError(
            given=f"{missing[0]!r} as a field", needed=f"a name that is in {text!r}", remedy="Drop it, or use it."
        )
    return Names(
        tuple(unknowns),
        tuple(n for n in inputs if n in present),
        dimension,
        tuple(dict.fromkeys(n for n in timed if n in unknowns)),
    )


class Parser:
    """Recursive descent over one side of an equation."""

    def __init__(self, tokens: list[Token], text: str, names: Names):
        self.tokens, self.text, self.names, self.at, self.depth = tokens, text, names, 0, 0

    def parse(self) -> sympy.Expr:
        """The whole side; a scalar."""
        value = self._sum()
        if self.at < len(self.tokens):
            self._fail(f"unexpected {self.tokens[self.at].text!r}")
        value = self._scalar(value)
        if value.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
            raise SettingError(
                given=f"equation {self.text!r} with an infinite or complex number", needed="real numbers", remedy="Mend it."
            )
        return value

    def _peek(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def _take(self, expected: str | None = None) -> Token:
        if self.at >= len(self.tokens) or (expected is not None and self._peek() != expected):
            self._fail(f"{expected!r} expected" if expected else "something missing")
        self.at += 1
        return self.tokens[self.at - 1]

    def _fail(self, what: str):
        position = (
            self.tokens[self.at].position if self.at < len(self.tokens) else (self.tokens[-1].position if self.tokens else 0)
        )
        raise syntax_error(self.text, position, what)

    def _scalar(self, value):
        if isinstance(value, _Vector):
            self._fail("a gradient where a number is needed (take div or dot of it)")
        return value

    def _sum(self):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} nested brackets")
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = 1 if self._take().text == "+" else -1
            other = self._product()
            if isinstance(value, _Vector) != isinstance(other, _Vector):
                self._fail("a sum of a number and a gradient")
            value = (
                _Vector(a + sign * b for a, b in zip(value, other, strict=True))
                if isinstance(value, _Vector)
                else value + sign * other
            )
        self.depth -= 1
        return value

    def _product(self):
        """All factors at once: one by one, sympy would multiply -(a - b)*c out to (b - a)*c, another form of the same."""
        factors, vector, operator = [], None, "*"
        while operator in ("*", "/"):
            while self._peek() in ("+", "-"):
                factors.append(sympy.Integer(-1 if self._take().text == "-" else 1))
            value = self._power()
            if isinstance(value, _Vector) and vector is not None and operator == "*":
                self._fail("a product of two gradients (write dot(grad(u), grad(v)))")
            if isinstance(value, _Vector) and operator == "*":
                vector = value
            else:
                factors.append(self._scalar(value) if operator == "*" else 1 / self._scalar(value))
            operator = self._peek()
            if operator in ("*", "/"):
                self._take()
        factor = sympy.Mul(*factors)
        return factor if vector is None else _Vector(sympy.Mul(factor, a) for a in vector)

    def _power(self):
        base = self._atom()
        if self._peek() not in ("^", "**"):
            return base
        self._take()
        base, exponent = self._scalar(base), self._scalar(self._exponent())
        if base.is_number and exponent.is_number:
            size = max(
                abs(int(base.evalf(5)) if base.is_finite else 0),
                sum(map(abs, base.as_numer_denom() if base.is_Rational else (2, 1))),
            )
            if not abs(exponent.evalf(5)) * int(size + 2).bit_length() < MAX_BITS:
                self._fail("a power too large")
        return base**exponent

    def _exponent(self):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} nested powers")
        sign = 1
        while self._peek() in ("+", "-"):
            sign *= -1 if self._take().text == "-" else 1
        value = sign * self._scalar(self._power())
        self.depth -= 1
        return value

    def _atom(self):
        token = self._take()
        if token.kind == "number":
            if len(token.text) > 40 or abs(int(re.split("[eE]", token.text + "e0")[1])) > 400:
                self.at -= 1
                self._fail("a number too long")
            return sympy.Rational(token.text)  # 0.1 stays 1/10: exact, and the same through every round trip
        if token.text == "(":
            value = self._sum()
            self._take(")")
            return value
        if token.kind != "name":
            self.at -= 1
            self._fail(f"unexpected {token.text!r}")
        return self._call(token) if self._peek() == "(" else self._name(token)

    def _name(self, token: Token):
        name = token.text
        base, suffix = split_derivative(name, letters_of(self.names.dimension))
        if name == "pi":
            return sympy.pi
        if name in (*self.names.unknowns, *self.names.inputs):
            return self.names.field(name)
        if suffix:
            if base not in (*self.names.unknowns, *self.names.inputs):
                self.at -= 1
                self._fail(f"{name!r}, a derivative of {base!r}, which is no unknown ({', '.join(self.names.unknowns)})")
            if "t" in suffix and not (self.names.in_time and base in self.names.unknowns):
                self.at -= 1
                self._fail(f"a time derivative of the input {base!r}")
            return derive(self.names.field(base), *(COORDINATES[letter] for letter in suffix))
        if name in COORDINATES:
            return COORDINATES[name]
        if name in FUNCTIONS or name in OPERATORS:
            self._fail(f"{name!r} without brackets")
        return sympy.Symbol(name)

    def _call(self, token: Token):
        name = token.text
        if name in (*self.names.unknowns, *self.names.inputs):
            self._take("(")
            while self._take().text in (*COORDINATES, ","):
                if self._peek() == ")":
                    self._take()
                    return self.names.field(name)
            self.at -= 1
            self._fail(f"the arguments of field {name!r} must be coordinates;")
        lowered = name if name in FUNCTIONS or name in OPERATORS else name.lower()
        if lowered not in FUNCTIONS and lowered not in OPERATORS:
            self.at -= 1
            self._fail(f"unknown function {name!r}")
        self._take("(")
        arguments = [self._sum()]
        while self._peek() == ",":
            self._take()
            arguments.append(self._sum())
        self._take(")")
        if len(arguments) != (2 if lowered == "dot" else 1):
            self.at -= 1
            self._fail(f"{len(arguments)} arguments of {name!r}")
        if lowered in FUNCTIONS:
            return FUNCTIONS[lowered](self._scalar(arguments[0]))
        return self._apply(lowered, arguments)

    def _apply(self, name: str, arguments: list):
        space = coordinates(self.names.dimension)
        first = arguments[0]
        if not space and name != "dt":
            self._fail(f"{name} in 0 dimensions")
        if name == "grad":
            return _Vector(derive(self._scalar(first), c) for c in space)
        if name == "lap":
            return sum(derive(self._scalar(first), c, c) for c in space)
        if name in ("div", "dot"):
            if not all(isinstance(a, _Vector) for a in arguments):
                self._fail(f"{name} of a number (it takes gradients)")
            if name == "dot":
                return sum(a * b for a, b in zip(*arguments, strict=True))
            return sum(derive(component, c) for component, c in zip(first, space, strict=True))
        letter = COORDINATES[name[1]]
        if letter not in space and name != "dt":
            self._fail(f"{name} in {self.names.dimension} dimensions")
        return derive(self._scalar(first), letter)
