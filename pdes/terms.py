"""The right-hand side of an evolution equation, sorted: linear with constant coefficients, and the rest.

    u_t = sum_a c_a D^a u  +  sum_a D^a g_a(x, u, derivatives of u)

In systems the linear part may couple the unknowns: v_t = c^2 u_xx belongs to u_t = v. Unknowns without a time derivative follow
from the others by linear equations with constant coefficients: -lap(psi) = w.

Derivatives that can be taken out of a product are: h(u) u_x becomes (H(u))_x with H' = h, so that a pseudo-spectral method
conserves what the equation conserves and needs fewer transforms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sympy
from sympy.core.function import AppliedUndef

from pdes.grammar import COORDINATES, coordinates, counts
from solvers.errors import SettingError

Orders = tuple[int, ...]
_NEEDED = "a first time derivative with a constant factor in each equation, as in 'u_t = ...'"


@dataclass(frozen=True)
class Evolution:
    """Sorted right-hand sides, one entry per unknown with a time derivative.

    linear : {orders: coefficient} with D^orders of the unknown itself; coefficients hold numbers and parameters only.
    nonlinear : {orders: expression}, to be differentiated after it is evaluated pointwise.
    coupling : {other unknown: {orders: coefficient}}, linear terms in the other unknowns. They are kept apart where a
        derivative stands in one of them (stiff) or nothing else is left (a linear system); plain ones are in `nonlinear`.
    constraints : unknown without a time derivative -> {unknown: {orders: coefficient}}, whose sum is zero.
    """

    linear: tuple[Mapping[Orders, sympy.Expr], ...]
    nonlinear: tuple[Mapping[Orders, sympy.Expr], ...]
    coupling: tuple[Mapping[str, Mapping[Orders, sympy.Expr]], ...] = ()
    constraints: Mapping[str, Mapping[str, Mapping[Orders, sympy.Expr]]] = field(default_factory=dict)

    @classmethod
    def of(cls, equation) -> "Evolution":
        """Sort the terms of an `Equation`.

        Raises
        ------
        SettingError : the equation is not of first order in time, its time derivative has a variable factor, or an unknown
            without a time derivative does not follow linearly from the others.
        """
        if equation.order_in_time != 1:
            raise SettingError(
                given=f"equation {equation} of order {equation.order_in_time} in time",
                needed=_NEEDED,
                remedy="Write higher orders as a system (u_t = v; v_t = ...); steady problems need a solver of their own.",
            )
        evolving = [
            (name, pair) for name, pair in zip(equation.unknowns, equation.sides, strict=True) if name in equation.evolving
        ]
        sides = _solve_for_rates(equation, evolving)
        linear, nonlinear, coupling = [], [], []
        for name, side in zip(equation.evolving, sides, strict=True):
            own, rest, others = {}, {}, {}
            zero = (0,) * equation.dimension
            for orders, coefficient, factor in _terms(side, zero, equation):
                field, extra = _as_derivative(factor, equation.dimension)
                if field == name:
                    _add(own, _plus(orders, extra), coefficient)
                elif field in equation.evolving:
                    _add(others.setdefault(field, {}), _plus(orders, extra), coefficient)
                else:
                    _add(rest, orders, coefficient * factor)
            linear.append(own)
            nonlinear.append(rest)
            coupling.append(others)
        stiff = any(sum(orders) for others in coupling for terms in others.values() for orders in terms)
        if not stiff and any(nonlinear):  # cheaper on the points, where the rest is evaluated anyway
            for rest, others in zip(nonlinear, coupling, strict=True):
                for field, terms in others.items():
                    for orders, coefficient in terms.items():
                        _add(rest, orders, coefficient * equation.names.field(field))
            coupling = [{} for _ in coupling]
        nonlinear = [{orders: expression for orders, expression in rest.items() if expression != 0} for rest in nonlinear]
        return cls(tuple(linear), tuple(nonlinear), tuple(coupling), _constraints(equation))

    @property
    def is_linear(self) -> bool:
        """Nothing but constant-coefficient terms."""
        return not any(self.nonlinear)

    def degree(self, unknowns: tuple[str, ...]) -> int:
        """Degree of the nonlinear terms as polynomials in the unknowns and their derivatives; 0 if they are not polynomials."""
        highest = 1
        for terms in self.nonlinear:
            for expression in terms.values():
                atoms = [f for f in expression.atoms(AppliedUndef, sympy.Derivative) if _base(f) in unknowns]
                dummies = {atom: sympy.Dummy() for atom in sorted(atoms, key=lambda a: isinstance(a, AppliedUndef))}
                plain = expression.xreplace(dummies)
                if not atoms:
                    continue
                if not plain.is_polynomial(*dummies.values()):
                    return 0
                highest = max(highest, sympy.Poly(plain, *dummies.values()).total_degree())
        return highest


def _constraints(equation) -> dict[str, dict[str, dict[Orders, sympy.Expr]]]:
    """Equations without a time derivative, each for the unknown of its place."""
    found, zero = {}, (0,) * equation.dimension
    for name, (left, right) in zip(equation.unknowns, equation.sides, strict=True):
        if name in equation.evolving:
            continue
        table: dict[str, dict] = {}
        for orders, coefficient, factor in _terms(sympy.expand(left - right), zero, equation):
            field, extra = _as_derivative(factor, equation.dimension)
            if field not in (*equation.evolving, *found, name):
                raise SettingError(
                    given=f"equation {equation}, whose unknown {name!r} has no time derivative",
                    needed=f"{name!r} in a linear equation with constant coefficients, of unknowns that come before it",
                    remedy="Write it as in '-lap(psi) = w', or pass solver=... (see pdes.problem.Solver).",
                )
            _add(table.setdefault(field, {}), _plus(orders, extra), coefficient)
        found[name] = table
    return found


def _solve_for_rates(equation, evolving: list[tuple]) -> list[sympy.Expr]:
    """Right-hand sides r of u_t = r, for the pairs (unknown, sides of its equation)."""
    time, sides = COORDINATES["t"], []
    rates = [sympy.Derivative(equation.names.field(name), time) for name, _ in evolving]
    dummies = [sympy.Dummy() for _ in rates]
    for rate, dummy, (_, (left, right)) in zip(rates, dummies, evolving, strict=True):
        difference = sympy.expand(left - right).xreplace(dict(zip(rates, dummies, strict=True)))
        factor = sympy.diff(difference, dummy)
        rest = difference.xreplace({dummy: sympy.Integer(0)})
        has_time = any(v == time for d in rest.atoms(sympy.Derivative) for v in d.variables)
        if (
            factor == 0
            or has_time
            or factor.atoms(AppliedUndef)
            or factor.free_symbols & {*COORDINATES.values(), *dummies}
            or rest.has(*dummies)
        ):
            raise SettingError(
                given=f"equation {equation}", needed=_NEEDED, remedy=f"Solve it for {rate.expr.func.__name__}_t."
            )
        sides.append(sympy.expand(-rest / factor))
    return sides


def _terms(expression, orders: Orders, equation) -> list[tuple[Orders, sympy.Expr, sympy.Expr]]:
    """(orders, constant coefficient, factor) for each term of sum D^orders (coefficient * factor)."""
    found = []
    for term in sympy.Add.make_args(sympy.expand(expression)):
        constant, factor = term.as_independent(AppliedUndef, sympy.Derivative, *COORDINATES.values(), as_Add=False)
        if isinstance(factor, sympy.Derivative) and not isinstance(factor.expr, AppliedUndef):
            inner = _plus(orders, _orders(factor, equation.dimension))
            found += [(o, constant * c, f) for o, c, f in _terms(factor.expr, inner, equation)]
        else:
            flux = _flux(factor, equation)
            found.append((orders, constant, factor) if flux is None else (_plus(orders, flux[0]), constant, flux[1]))
    return found


def _flux(factor: sympy.Expr, equation) -> tuple[Orders, sympy.Expr] | None:
    """h(u) u_x as (orders of d/dx, H(u)), or None."""
    slopes = [f for f in sympy.Mul.make_args(factor) if isinstance(f, sympy.Derivative)]
    if len(slopes) != 1 or not isinstance(slopes[0].expr, AppliedUndef) or len(slopes[0].variables) != 1:
        return None
    field, rest = slopes[0].expr, factor / slopes[0]
    if (
        rest == 1
        or rest.atoms(sympy.Derivative)
        or rest.atoms(AppliedUndef) - {field}
        or rest.free_symbols & set(coordinates(equation.dimension)) - field.free_symbols
    ):
        return None
    u = sympy.Dummy("u", real=True)
    plain = rest.xreplace({field: u})
    if plain.free_symbols & set(COORDINATES.values()):
        return None
    integral = sympy.integrate(plain, u) if plain.is_polynomial(u) else None
    return None if integral is None else (_orders(slopes[0], equation.dimension), integral.xreplace({u: field}))


def _as_derivative(factor: sympy.Expr, dimension: int) -> tuple[str, Orders]:
    """("u", orders) for D^orders u, ("", ...) for anything else."""
    if isinstance(factor, AppliedUndef):
        return factor.func.__name__, (0,) * dimension
    if isinstance(factor, sympy.Derivative) and isinstance(factor.expr, AppliedUndef):
        return factor.expr.func.__name__, _orders(factor, dimension)
    return "", (0,) * dimension


def _base(atom: sympy.Expr) -> str:
    field = atom.expr if isinstance(atom, sympy.Derivative) else atom
    return field.func.__name__ if isinstance(field, AppliedUndef) else ""


def _orders(derivative: sympy.Derivative, dimension: int) -> Orders:
    found = {v.name: n for v, n in counts(derivative)}
    return tuple(found.get(name, 0) for name in "xyz"[:dimension])


def _plus(a: Orders, b: Orders) -> Orders:
    return tuple(i + j for i, j in zip(a, b, strict=True))


def _add(table: dict, key: Orders, value: sympy.Expr) -> None:
    table[key] = table.get(key, sympy.Integer(0)) + value


def evaluate(expression: sympy.Expr, values: Mapping[str, object], derivative: Callable, xp):
    """Value of an expression, by walking its tree (no generated code): any array library `xp` will do.

    values : name of a field, parameter or coordinate -> array or number.
    derivative : (sympy Derivative, evaluate its inside) -> array.
    """

    def walk(e):
        if isinstance(e, sympy.Add):
            terms = [walk(a) for a in e.args]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            return total
        if isinstance(e, sympy.Mul):
            product = walk(e.args[0])
            for a in e.args[1:]:
                product = product * walk(a)
            return product
        if isinstance(e, sympy.Pow):
            return _power(walk(e.base), e.exp, walk, xp)
        if isinstance(e, sympy.Derivative):
            return derivative(e, walk)
        if isinstance(e, AppliedUndef):
            return values[e.func.__name__]
        if isinstance(e, sympy.Symbol):
            return values[e.name]
        if isinstance(e, sympy.Function):
            return getattr(xp, "abs" if e.func is sympy.Abs else e.func.__name__)(walk(e.args[0]))
        if e.is_number:
            return float(e)
        raise SettingError(
            given=f"expression {e}", needed="sums, products, powers and the listed functions", remedy="Rewrite it."
        )

    return walk(expression)


def _power(base, exponent: sympy.Expr, walk: Callable, xp):
    if exponent == sympy.Rational(1, 2) and not isinstance(base, float):
        return xp.sqrt(base)
    if exponent.is_Integer and 2 <= int(exponent) <= 4:
        return base * base if exponent == 2 else base * base * base if exponent == 3 else (base * base) * (base * base)
    return base ** (int(exponent) if exponent.is_Integer else walk(exponent))
