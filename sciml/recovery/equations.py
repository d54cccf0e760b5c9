"""Recovered equations: sympy in full precision, LaTeX, Python code, simulation.

x0' = f0(x0, x1, ...; u0, ...),  x1' = ...        names of states and controls are the caller's
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy
from scipy.integrate import solve_ivp

from sciml.recovery.features import Features, control, state
from sciml.recovery.series import interpolant
from solvers.errors import DataError, SolverError

RTOL, ATOL = 1e-9, 1e-11
MOST_CALLS = 200_000
"""Of the right-hand side in one simulation, a number and not a time: results do not depend on the machine."""
BOUND = 1e3
"""A state beyond this multiple of the recording's largest stops a simulation."""


@dataclass(frozen=True)
class System:
    """x' = f(x, u) as coefficients of features.

    features : its terms.   C : (component, term).   constants : of the terms.   names, inputs : of states and controls.
    reach : (component,) largest absolute values seen in the data, to stop what runs away; None for no bound.
    """

    features: Features
    C: np.ndarray
    constants: np.ndarray
    names: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    reach: np.ndarray | None = None

    def rates(self, x: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
        """Time derivatives. x : (..., component).   u : (..., control)."""
        return self.features(x, u, self.constants) @ self.C.T

    @property
    def terms(self) -> int:
        """Number of terms of all equations."""
        return int(np.sum(self.C != 0))

    def equations(self, precision: int | None = None) -> list[sympy.Expr]:
        """Right-hand sides with the callers' names.

        precision : significant digits of the constants; None keeps all of them, small coefficients included, always.
        """
        digits = 17 if precision is None else precision
        number = lambda value: sympy.Float(float(value), digits)  # noqa: E731
        given = [*map(state, range(len(self.names))), *map(control, range(len(self.inputs)))]
        renamed = {old: sympy.Symbol(new, real=True) for old, new in zip(given, (*self.names, *self.inputs), strict=True)}
        found = []
        for row in self.C:
            total = sympy.Integer(0)
            for j in np.flatnonzero(row):
                f = self.features.features[j]
                inner = self.constants[self.features.owners == j] if f.constants else []
                term = f.expression.xreplace(dict(zip(f.constants, map(number, inner), strict=True)))
                total += number(row[j]) * term
            found.append(total.xreplace(renamed))
        return found

    def latex(self, precision: int = 4) -> str:
        """Equations as an aligned block."""
        names = [sympy.latex(sympy.Symbol(name)) for name in self.names]
        sides = [sympy.latex(e) for e in self.equations(precision)]
        lines = [rf"\dot{{{name}}} &= {side}" for name, side in zip(names, sides, strict=True)]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def python(self) -> str:
        """A function `rates(t, x)` (with controls `rates(t, x, u)`) that needs NumPy alone, constants in full precision."""
        from sympy.printing.numpy import NumPyPrinter

        printer = NumPyPrinter({"fully_qualified_modules": False})
        lines = ["import numpy as np", "from numpy import *  # noqa: F403", "", ""]
        lines += [f"def rates(t, x{', u' if self.inputs else ''}):", f"    {', '.join(self.names)}{','} = x"]
        lines += [f"    {', '.join(self.inputs)}{','} = u"] if self.inputs else []
        sides = ", ".join(str(printer.doprint(e)) for e in self.equations())
        return "\n".join([*lines, f"    return np.array([{sides}])", ""])

    @cached_property
    def _bound(self) -> np.ndarray | None:
        return None if self.reach is None else BOUND * np.maximum(self.reach, 1e-300)

    def simulate(self, x0: Sequence[float] | np.ndarray, t: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
        """States at times t from x0 at t[0], (time, component).

        u : (time, control) at the same times, for equations with controls.

        Raises
        ------
        DataError : arguments that do not fit.
        SolverError : the trajectory leaves every bound, or becomes too stiff to follow.
        """
        found = self.simulated(x0, t, u)
        if not np.isfinite(found).all():
            first = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
            raise SolverError(
                given=f"a trajectory from {np.round(np.asarray(x0, float), 6).tolist()} that ends before t = {t[first]:.6g}",
                needed="a solution up to the last time",
                remedy="Simulate a shorter time, or closer to the data that the equation was fitted to.",
            )
        return found

    def simulated(self, x0: Sequence[float] | np.ndarray, t: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
        """As `simulate`, with NaN from where it failed."""
        x0, t = np.asarray(x0, np.float64), np.asarray(t, np.float64)
        if x0.shape != (len(self.names),) or t.ndim != 1 or len(t) < 1 or (self.inputs and u is None):
            raise DataError(
                given=f"x0 of shape {x0.shape}, t of shape {t.shape}, controls {'missing' if u is None else 'given'}",
                needed=f"x0 ({len(self.names)},), t (time,), controls {self.inputs or 'none'}",
                remedy="Give one state, its time first in t.",
            )
        driven = interpolant(t, np.asarray(u, np.float64).reshape(len(t), -1)) if self.inputs else None
        used = np.flatnonzero((self.C != 0).any(axis=0))
        features, where = self.features.subset(used)
        C, constants, calls = self.C[:, used], self.constants[where], 0

        def rates(time, x):
            nonlocal calls
            calls += 1
            if calls > MOST_CALLS or (self._bound is not None and np.any(np.abs(x) > self._bound)) or not np.isfinite(x).all():
                raise _Stopped
            return C @ features(x, None if driven is None else driven(time), constants)

        found = np.full((len(t), len(x0)), np.nan)
        found[0] = x0
        kept: list[np.ndarray] = []
        if len(t) > 1:
            with np.errstate(all="ignore"):
                try:
                    result = solve_ivp(
                        rates, (t[0], t[-1]), x0, "LSODA", t[1:], rtol=RTOL, atol=ATOL * max(1.0, np.abs(x0).max())
                    )
                    kept = list(result.y.T)
                except _Stopped:
                    pass
        found[1 : 1 + len(kept)] = kept if kept else found[1:1]
        return found


class _Stopped(Exception):
    pass
