"""`Recovery`: equations x' = f(x, u) from recorded trajectories, with what is known about them.

Proposals by weak sparse regression (and by anything with `propose`), constants by multiple shooting, selection by the
likelihood of whole trajectories and BIC, Laplace's and bootstrap intervals, warnings where the data cannot tell.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy

from sciml.recovery import scores, uncertainty
from sciml.recovery.candidates import Candidate, bounded_first, listed
from sciml.recovery.equations import System
from sciml.recovery.features import Features, library, polynomials
from sciml.recovery.proposals import Proposer, coefficients, gather
from sciml.recovery.search import Search
from sciml.recovery.series import Recording, record
from solvers.errors import SettingError

DEGREES = {1: 5, 2: 3, 3: 3}
"""Of the polynomials in the library "auto", by dimension; 2 beyond."""


class Recovery:
    """Equations from data; scikit-learn's conventions.

    Parameters
    ----------
    library : "auto", or names of term families: "poly:3" (any degree), "trig", "rational", "exp". "auto" has polynomials of
        degree 5, 3, 3, 2 for one, two, three, more components, and the other families; these are tried where polynomials leave
        something to explain.
    proposals : "sparse" for weak regression, and objects with `propose(t, x, n)`, see `sciml.recovery.proposals`.
    n_boot : bootstrap samples for intervals and inclusion probabilities; 0 for none.
    names, inputs : of states and controls; x0, x1, ... and u0, u1, ... if None.
    most_terms : of one component in a proposal.
    search : False fits the proposals as they are, without trying other terms around them: for a structure that is known.
    seed : of the bootstrap.

    Attributes
    ----------
    system_ : best equations.   candidates_ : the best few systems.   posterior_ : constants with errors and intervals.
    inclusion_ : name of component -> term -> probability.   flags_ : what the data cannot tell.   notes_ : what was done to the
    data.   sigma_ : (component,) noise.   recording_ : checked data.

    Examples
    --------
    >>> t = np.linspace(0, 6, 200)
    >>> model = Recovery(n_boot=0).fit(t, 2 * np.exp(-0.5 * t))
    >>> model.equations(precision=4)
    [-0.5*x0]
    """

    def __init__(
        self,
        library: str | Sequence[str] = "auto",
        proposals: Sequence[str | Proposer] = ("sparse",),
        n_boot: int = 0,
        names: Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        most_terms: int = 8,
        search: bool = True,
        seed: int = 0,
    ):
        self.library, self.proposals, self.n_boot = library, proposals, n_boot
        self.names, self.inputs, self.most_terms, self.search, self.seed = names, inputs, most_terms, search, seed

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name, as scikit-learn asks for them."""
        keys = ("library", "proposals", "n_boot", "names", "inputs", "most_terms", "search", "seed")
        return {key: getattr(self, key) for key in keys}

    def set_params(self, **values: Any) -> "Recovery":
        """Change settings; an unknown name is an error."""
        unknown = sorted(set(values) - set(self.get_params()))
        if unknown:
            raise SettingError(
                given=f"parameter {unknown[0]!r}", needed=f"some of {sorted(self.get_params())}", remedy="Rename it."
            )
        for key, value in values.items():
            setattr(self, key, value)
        return self

    def fit(self, t: Any, x: Any, u: Any = None) -> "Recovery":
        """Recover the equations.

        t : (time,) or a list of such, one for each trajectory; any increasing times.
        x : (time, component), (time,) for one component, or a list.   u : controls (time, control), or a list, or None.

        Raises
        ------
        DataError : data that determine nothing or do not fit together; the message says which, and what to do.
        """
        self._check()
        self.recording_: Recording = record(t, x, u)
        self.notes_, self.sigma_ = list(self.recording_.notes), self.recording_.sigma
        names, inputs = self._names()
        chosen, base = self._library()
        others = [one for one in self.proposals if not isinstance(one, str)]
        proposed = gather(others, self.recording_) if others else []
        known = {(f.expression, f.start): f for f in chosen}
        for sides in proposed:
            for side in sides:
                for _, f in side:
                    known.setdefault((f.expression, f.start), f)
        features = Features(known.values(), self.recording_.dimension, self.recording_.controls)
        search = Search(self.recording_, features, base, self.most_terms)
        extra = None
        if proposed:
            C, constants = coefficients(proposed, features)
            extra = search.shooting.start(C, C != 0, constants)
        reach = np.abs(self.recording_.states()).max(axis=0)
        self._found = bounded_first(search.run(extra, "sparse" in self.proposals, self.search), names, inputs, reach)
        self.candidates_: list[Candidate] = listed(self._found, names, inputs, reach)
        self.system_ = self.candidates_[0].system
        self.posterior_, covariance = uncertainty.constants(self._found)
        self.flags_ = uncertainty.flags(
            self.recording_, self._found, covariance, self.posterior_, base, dict(self._symbols(names, inputs))
        )
        self.inclusion_: dict[str, dict[str, float]] = {name: {} for name in names}
        if self.n_boot:
            self.posterior_ = uncertainty.bootstrapped(self._found, self.posterior_, self.n_boot, self.seed)
            shares = uncertainty.inclusion(
                search.weak.systems(), self._found, np.array(base), self.n_boot, self.seed, search.prices
            )
            for (d, j), share in sorted(shares.items(), key=lambda item: -item[1]):
                self.inclusion_[names[d]][self.term_name(j)] = round(share, 4)
        return self

    def equations(self, precision: int | None = None) -> list[sympy.Expr]:
        """Right-hand sides as sympy expressions; precision : significant digits, None keeps all."""
        return self._fitted().equations(precision)

    def latex(self, precision: int = 4) -> str:
        """The system as LaTeX."""
        return self._fitted().latex(precision)

    def python(self) -> str:
        """Source of a NumPy function `rates(t, x)`, constants in full precision."""
        return self._fitted().python()

    def predict(self, x: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
        """Time derivatives at states x (..., component)."""
        return self._fitted().rates(np.asarray(x, np.float64), None if u is None else np.asarray(u, np.float64))

    def simulate(self, x0: Sequence[float] | np.ndarray, t: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
        """States (time, component) from x0 at t[0]; see `System.simulate` for errors."""
        return self._fitted().simulate(x0, t, u)

    def score(self, t: Any, x: Any, u: Any = None, kind: str = "trajectory") -> float:
        """Agreement with recordings: mean over them.

        kind : "trajectory", R^2 of a simulation from the first state; "valid_time", how long that stays near.
        """
        if kind not in ("trajectory", "valid_time"):
            raise SettingError(given=f"kind={kind!r}", needed="'trajectory' or 'valid_time'", remedy="Change it.")
        values = []
        for one in record(t, x, u).trajectories:
            found = self._fitted().simulated(one.x[0], one.t, one.u if one.u.shape[1] else None)
            values.append(scores.r2(one.x, found) if kind == "trajectory" else scores.valid_time(one.t, one.x, found))
        return float(np.mean(values))

    def bands(self, draws: int = 200) -> list[np.ndarray]:
        """90 % bands of the trajectories through the data, from Laplace's covariance: (2, time, component) of each."""
        from sciml.recovery.bands import bands

        return bands(self._found, draws, self.seed)

    def report(self, path: Any, title: str = "Recovered equations") -> Any:
        """Write an HTML page: data, equations with uncertainties, simulation, residual checks. Returns the path."""
        from sciml.recovery.report import write

        self._fitted()
        return write(self, path, title)

    def term_name(self, j: int) -> str:
        """A term by its index, with the caller's names."""
        system = self._fitted()
        f = system.features.features[j]
        renamed = {f"x{i}": name for i, name in enumerate(system.names)} | {
            f"u{i}": name for i, name in enumerate(system.inputs)
        }
        return str(
            f.expression.xreplace({s: sympy.Symbol(renamed[str(s)]) for s in f.expression.free_symbols if str(s) in renamed})
        )

    def __repr__(self) -> str:
        if not hasattr(self, "system_"):
            return f"Recovery({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"
        system = self.system_
        lines = [f"{name}' = {e}" for name, e in zip(system.names, system.equations(5), strict=True)]
        return "\n".join([*lines, *(f"({flag})" for flag in self.flags_)])

    # -- inside -------------------------------------------------------------------------------------------------------------

    def _fitted(self) -> System:
        if not hasattr(self, "system_"):
            raise SettingError(given="a Recovery without equations", needed="a fitted one", remedy="Call fit(t, x) first.")
        return self.system_

    def _check(self) -> None:
        words = [one for one in self.proposals if isinstance(one, str)]
        odd = [w for w in words if w != "sparse"] + [o for o in self.proposals if not isinstance(o, (str, Proposer))]
        if odd or not self.proposals:
            raise SettingError(
                given=f"proposals={self.proposals!r}",
                needed="'sparse' and objects with propose(t, x, n)",
                remedy="Pass a trained operator itself, not its name.",
            )
        if not (self.n_boot >= 0 and self.most_terms >= 1):
            raise SettingError(
                given=f"n_boot={self.n_boot}, most_terms={self.most_terms}",
                needed="n_boot >= 0, most_terms >= 1",
                remedy="Change them.",
            )

    @staticmethod
    def _symbols(names: Sequence[str], inputs: Sequence[str]) -> list[tuple[str, str]]:
        """Our name of each state and control, and the caller's."""
        return [*((f"x{i}", name) for i, name in enumerate(names)), *((f"u{i}", name) for i, name in enumerate(inputs))]

    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        D, C = self.recording_.dimension, self.recording_.controls
        names = tuple(self.names) if self.names is not None else tuple(f"x{i}" for i in range(D))
        inputs = tuple(self.inputs) if self.inputs is not None else tuple(f"u{i}" for i in range(C))
        if (
            len(names) != D
            or len(inputs) != C
            or len({*names, *inputs}) < D + C
            or not all(n.isidentifier() for n in (*names, *inputs))
        ):
            raise SettingError(
                given=f"names {names} and inputs {inputs}",
                needed=f"{D} and {C} different identifiers",
                remedy="Rename them.",
            )
        return names, inputs

    def _library(self) -> tuple[list, list[int]]:
        """Features, and which of them are the plain part, polynomials in the states and controls."""
        D, C = self.recording_.dimension, self.recording_.controls
        names = self.library
        if isinstance(names, str):
            names = ("auto",) if names == "auto" else (names,)
        if "auto" in names:
            extra = ("trig", "rational", "exp") if D <= 2 else ("trig", "exp") if D == 3 else ("trig",) if D == 4 else ()
            names = (f"poly:{DEGREES.get(D, 2)}", *extra, *(n for n in names if n != "auto"))
        chosen = library(names, self.recording_.states(), C)
        degrees = [int(n[5:]) for n in names if n.startswith("poly:")]
        plain = {f.expression for f in polynomials(D, max(degrees), C)} if degrees else set()
        base = [j for j, f in enumerate(chosen) if f.expression in plain] or list(range(len(chosen)))
        return chosen, base


def recover(t: Any, x: Any, u: Any = None, *, space: Any = None, **settings: Any) -> Any:
    """Recover equations from data in one call.

    Parameters
    ----------
    t, x, u : as in `Recovery.fit`: times, states, controls; lists for several trajectories.
    space : coordinates of the axes after time, for a field on a grid: x is then u(t, x) of shape (time, x) or (time, x, y), and
        `sciml.recovery.fields.FieldRecovery` finds its partial differential equation. An array for one axis, a tuple for more.
    settings : of `Recovery`, or of `FieldRecovery`.

    Returns
    -------
    The fitted `Recovery` (or `FieldRecovery`).

    Examples
    --------
    >>> t = np.linspace(0, 10, 300)
    >>> recover(t, np.stack([np.cos(2 * t), -2 * np.sin(2 * t)], 1)).equations(precision=3)
    [1.0*x1, -4.0*x0]
    """
    if space is not None:
        from sciml.recovery.fields import FieldRecovery

        return FieldRecovery(**settings).fit(t, x, space)
    return Recovery(**settings).fit(t, x, u)
