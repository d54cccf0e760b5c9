"""Candidates from elsewhere: any object with `propose(t, x, n)`, a trained symbolic operator for example.

    propose(t (time,), x (time, component), n) -> n lists of right-hand sides, sympy expressions of x0, x1, ...
                                                  or, as PROSE names them, of u_0, u_1, ...

Each right-hand side is taken apart into terms; numbers in front become coefficients, numbers with a decimal point inside
become constants of the term, and all of them are fitted to the data like any other candidate's.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import sympy

from sciml.recovery.features import Feature, Features, control, state
from sciml.recovery.series import Recording
from solvers.errors import DataError

COUNT = 16
"""Proposals asked for, of each of the first few trajectories."""
TRAJECTORIES = 4


@runtime_checkable
class Proposer(Protocol):
    """Something that proposes right-hand sides."""

    def propose(self, t: np.ndarray, x: np.ndarray, n: int) -> list[list[sympy.Expr]]:
        """Up to n systems of right-hand sides in x0, x1, ... or u_0, u_1, ...; times (time,), states (time, component)."""
        ...


def terms(expression: Any, dimension: int, controls: int = 0) -> list[tuple[float, Feature]]:
    """Coefficients and features of a right-hand side.

    Raises
    ------
    DataError : symbols other than x0, x1, ... (or u_0, u_1, ...) and, of controls, u0, u1, ...
    """
    given = {str(s): s for s in (*map(state, range(dimension)), *map(control, range(controls)))}
    known = given | {f"u_{i}": state(i) for i in range(dimension)}
    e = sympy.sympify(expression)
    unknown = sorted(str(s) for s in e.free_symbols if str(s) not in known)
    if unknown:
        raise DataError(
            given=f"a proposal with {', '.join(unknown)}", needed=f"symbols {', '.join(given)}", remedy="Rename its symbols."
        )
    e = sympy.expand(e.subs({s: known[str(s)] for s in e.free_symbols}))
    found = []
    for term in sympy.Add.make_args(e):
        coefficient, rest = term.as_coeff_Mul()
        numbers = sorted((n for n in rest.atoms(sympy.Float) if n != int(n)), key=float)
        symbols = tuple(sympy.Symbol(f"K{i}", real=True) for i in range(len(numbers)))
        rest: Any = rest.xreplace(dict(zip(numbers, symbols, strict=True)))
        rest = rest.xreplace({n: sympy.Integer(int(n)) for n in rest.atoms(sympy.Float) if n == int(n)})
        price = 0.0 if rest.is_polynomial() else 1.0
        found.append((float(coefficient), Feature(rest, symbols, tuple(map(float, numbers)), price)))
    return [one for one in found if one[0] != 0]


def gather(proposers: Sequence[Proposer], recording: Recording) -> list[list[list[tuple[float, Feature]]]]:
    """All proposals, each a list of components' terms."""
    found = []
    for proposer in proposers:
        for one in recording.trajectories[:TRAJECTORIES]:
            for sides in proposer.propose(one.t, one.x, COUNT):
                if len(sides) != recording.dimension:
                    raise DataError(
                        given=f"a proposal of {len(sides)} right-hand sides",
                        needed=f"{recording.dimension}, one of each component",
                        remedy="Mend `propose`.",
                    )
                found.append([terms(side, recording.dimension, recording.controls) for side in sides])
    return found


def coefficients(proposals: Sequence, features: Features) -> tuple[np.ndarray, np.ndarray]:
    """(proposal, component, feature) coefficients and (proposal, constant) constants of proposals over a library with them."""
    places = {(f.expression, f.start): j for j, f in enumerate(features.features)}
    C = np.zeros((len(proposals), features.dimension, len(features)))
    for b, sides in enumerate(proposals):
        for d, side in enumerate(sides):
            for value, f in side:
                C[b, d, places[f.expression, f.start]] += value
    return C, np.tile(features.starts, (len(proposals), 1))
