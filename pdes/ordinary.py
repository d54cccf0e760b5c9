"""The solver that any system of ordinary differential equations gets: adaptive Runge-Kutta, all samples at once.

x_t = f(x, y, ...; t; p),  y_t = ...        one equation for each unknown, solved for its rate
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy

from pdes.equation import Equation
from pdes.grammar import COORDINATES
from pdes.problem import Problem, Solution
from pdes.terms import evaluate
from solvers.errors import SettingError
from solvers.grid import Grid


@dataclass(frozen=True)
class Ordinary:
    """Runge-Kutta with error control, each sample at its own pace; see `solvers.ode.Ode`.

    Parameters
    ----------
    method : "dopri8", "tsit5", "dopri5", or for stiff systems "kvaerno5", "kvaerno3".
    rtol, atol : bounds of the local error of a step.
    limit : a trajectory that leaves [-limit, limit] in any component is rejected, and another one drawn.
    max_steps : of one trajectory.
    """

    method: str = "dopri8"
    rtol: float = 1e-10
    atol: float = 1e-12
    limit: float = 1e6
    max_steps: int = 100_000

    @classmethod
    def fitting(cls, problem: Problem) -> "Ordinary":
        """The solver for a problem on a point without one of its own.

        Raises
        ------
        SettingError : an equation that is not of the form x_t = ...; the message says which.
        """
        rates(problem.equation)
        return cls()

    def prepare(self, problem: Problem, grid: Grid, seed: int) -> "Ordinary":
        """Nothing to settle: steps are found sample by sample."""
        return self

    def refined(self) -> "Ordinary":
        """Tolerances a hundred times tighter (at least 1e-13, where rounding begins)."""
        return replace(self, rtol=max(self.rtol / 100, 1e-13), atol=self.atol / 100)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers.ode import Ode

        names = problem.equation.unknowns
        solver = Ode(Rates(problem.equation), self.method, self.rtol, self.atol, None, self.max_steps, self.limit)
        result = solver.solve(np.stack([inputs[name] for name in names], axis=-1), times, parameters)
        fields = {name: np.ascontiguousarray(result.values[..., i]) for i, name in enumerate(names)}
        return Solution(fields, result.outcome, result.stats)


@dataclass(frozen=True)
class Rates:
    """Right-hand sides as a function of arrays; hashable, equal for equal equations, so that compiled loops are reused."""

    equation: Equation

    def __call__(self, t, u, p: Mapping):
        import jax.numpy as jnp

        values = {**p, **{name: u[i] for i, name in enumerate(self.equation.unknowns)}, "t": t}
        found = [evaluate(side, values, _no_derivative, jnp) for side in rates(self.equation)]
        return jnp.stack([jnp.broadcast_to(value, u.shape[1:]) for value in found])


def rates(equation: Equation) -> list[sympy.Expr]:
    """Right-hand sides r of x_t = r, in the order of the unknowns and as they are written.

    Raises
    ------
    SettingError : another form: a higher derivative, a rate with a factor or on the right, two equations for one unknown.
    """
    time = COORDINATES["t"]
    found: dict[str, sympy.Expr] = {}
    for left, right in equation.sides:
        plain = isinstance(left, sympy.Derivative) and left.variables == (time,) and not right.atoms(sympy.Derivative)
        name = str(left.args[0].func) if plain else ""
        if not plain or name in found or equation.inputs:
            raise SettingError(
                given=f"ordinary equation {equation}",
                needed="x_t = ... for each unknown, with no derivative and no input field on the right",
                remedy="Solve it for the rates, and write higher orders as a system (x_t = v; v_t = ...).",
            )
        found[name] = right
    return [found[name] for name in equation.unknowns]


def _no_derivative(e, walk):
    raise AssertionError(f"a rate with a derivative, {e}: equations were sorted wrongly; please report this")
