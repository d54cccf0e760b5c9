"""Equations of fields in words: they say what the equations say, one way to say it, and nothing else is an answer."""

import pytest
import sympy

import pdes
from pdes.canonical import STATES, canonical, right_hand_sides, system_of, system_words
from pdes.equation import Equation
from pdes.families.prose_pde import EXTRA, FAMILIES
from pdes.field_words import FIELD, field_equation, field_sides, field_words_of, observed
from pdes.grammar import COORDINATES
from pdes.vocabulary import BOS, EOS, ID, ids_of
from solvers.errors import DataError, SettingError

T, X = COORDINATES["t"], COORDINATES["x"]
PROFILE = sympy.exp(-T / 3) * (2 + sympy.sin(X) + sympy.cos(3 * X) / 4)
POINT = {T: 0.3, X: 0.7}


def inserted(equation: Equation, values: dict) -> float:
    """The equation's own right-hand side of the (last) rate at a profile and a point, by sympy."""
    v = sympy.diff(PROFILE, T)
    known = {equation.names.field("u"): PROFILE} | ({equation.names.field("v"): v} if "v" in equation.unknowns else {})
    return float(equation.sides[-1][1].xreplace(values).subs(known).doit().subs(POINT))


@pytest.mark.parametrize("name", [name for name in FAMILIES | EXTRA])
@pytest.mark.parametrize("pace", [1, 0.25])
def test_words_say_what_the_equation_says(name, pace):
    equation = (FAMILIES | EXTRA)[name].equation
    numbers = {n: sympy.Rational(k + 2, 7) for k, n in enumerate(equation.parameters)} | {"m": sympy.Integer(3)}
    values = {sympy.Symbol(n): v for n, v in numbers.items()}
    system = canonical([side.xreplace(values) for side in field_sides(equation, pace, {sympy.Symbol("m"): numbers["m"]})])
    second = len(system) == 2
    read = system_of(system_words(system))
    derivatives = [sympy.diff(PROFILE, X, n) for n in range(5)]
    at = dict(zip(STATES, [*derivatives, pace * sympy.diff(PROFILE, T), X], strict=False))
    found = float(read[-1].subs(at).subs(POINT))
    assert found == pytest.approx(inserted(equation, values) * (pace**2 if second else pace), rel=1e-9)
    assert not second or system_words(system)[0] == ("u_5",)
    rows = [ID[BOS], *ids_of([w for i, each in enumerate(system_words(system)) for w in (("|",) if i else ()) + each]), ID[EOS]]
    assert [len(w) for w in field_words_of(rows)] == [len(w) for w in system_words(system)]


def test_of_a_pair_one_is_the_rate_of_the_other():
    assert observed(Equation("u_t = v; v_t = u_xx", dimension=1)) == "u"
    assert observed(Equation("u_t = v_xx; v_t = u", dimension=1)) == "v"
    assert field_sides(Equation("u_t = v_xx; v_t = u", dimension=1)) == [STATES[5], STATES[2]]


def test_equations_come_back():
    for text in ("u_t = 1/2*u_xx - u*u_x", "u_t = v; v_t = u_xx/4 - sin(u) - v", "u_t = cos(x)*u - u_xxxx"):
        equation = Equation(text, dimension=1)
        again = field_equation(field_sides(equation))
        for (_, one), (_, other) in zip(equation.sides, again.sides, strict=True):
            assert sympy.simplify(one - other) == 0, text
    with pytest.raises(SettingError, match="u_5"):
        field_equation([STATES[0], STATES[1]])
    with pytest.raises(SettingError, match="u_5"):
        field_equation([STATES[5]])


@pytest.mark.parametrize(
    "equation",
    [
        Equation("u_t = lap(u)", dimension=2),
        Equation("u_t = u_xxxxx", dimension=1),
        Equation("u_t = v*u; v_t = u + v", dimension=1),
        Equation("u_t = a*u_xx", dimension=1, inputs=("a",)),
        Equation("u_xx = u", dimension=1),
        Equation("u_t = sin(t)*u", dimension=1),
    ],
    ids=str,
)
def test_other_equations_are_refused(equation):
    with pytest.raises(SettingError, match="one field on a line"):
        field_sides(equation)


def test_terms_that_differ_in_their_number_alone_are_one():
    a, b = sympy.symbols("a b")
    (component,) = canonical([a * STATES[0] + b * STATES[0] - 2 * STATES[1] * (1 + a)])
    assert [term.body for term in component.terms] == [("u_0",), ("u_1",)]
    assert sympy.simplify(component.terms[0].coefficient - a - b) == 0
    assert canonical([(b - a) * STATES[0] + a * STATES[0] - b * STATES[0]])[0].terms == ()
    second = canonical(right_hand_sides(pdes.get("chen").equation))[1]
    assert len({term.body for term in second.terms}) == len(second.terms)


@pytest.mark.parametrize(
    "words",
    [
        ("u_5",),
        ("add", "u_0", "u_5"),
        ("u_0", "|", "u_1"),
        ("u_5", "|", "u_1", "|", "u_1"),
        ("u_7",),
        ("add", "u_0"),
        ("u_5", "|"),
    ],
    ids=" ".join,
)
def test_what_is_no_answer(words):
    with pytest.raises(DataError):
        field_words_of([*ids_of(words), ID[EOS]])


def test_what_is_one():
    assert field_words_of(ids_of(("u_5", "|", "mul", 0.25, "u_2", EOS))) == [("u_5",), ("mul", 0.25, "u_2")]
    assert len(FIELD) == 7
