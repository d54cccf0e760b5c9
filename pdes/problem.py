"""Problem: an equation, where it lives, the laws its data are drawn from, and the solver that makes the labels.

A problem is complete in itself: `pdes.generate(problem, n, resolution)` needs nothing else. Equations that are semilinear with
constant coefficients on a periodic box need no solver of their own.
"""

import dataclasses
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np

from pdes.coarsen import refine
from pdes.domain import Domain, Periodic
from pdes.equation import Equation
from pdes.random_fields import FieldLaw
from pdes.randomness import STREAM_VERSION, generator, stable_hash
from pdes.scalars import Fixed, everywhere
from solvers.errors import SettingError, unknown_name
from solvers.grid import Grid


@dataclass(frozen=True)
class Solution:
    """What a problem's solver returns: fields on the compute grid, and how each sample's solve ended.

    fields : name -> (sample, time, *space) or (sample, *space), float64.
    outcome : (sample,) codes of `solvers.result.Outcome`.
    stats : name -> (sample,), kept as quality of the labels.
    """

    fields: Mapping[str, np.ndarray]
    outcome: np.ndarray
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)


class Solver(Protocol):
    """How a problem is solved: a frozen dataclass (its fields are recorded) with these methods.

    `prepare` may settle what depends on problem, grid and seed only (a time step, say) and returns a solver. `refined`
    returns the more accurate twin that label errors are measured against; the caller refines the grid. A solver that has
    nothing to settle, and whose steps follow from the grid, inherits both.
    """

    def prepare(self, problem: "Problem", grid: Grid, seed: int) -> "Solver":
        return self

    def refined(self) -> "Solver":
        return self

    def __call__(
        self,
        problem: "Problem",
        grid: Grid,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray],
        times: Any,  # (time,), or None for steady problems
    ) -> Solution: ...


@dataclass(frozen=True)
class Problem:
    """A family of PDE solves.

    Parameters
    ----------
    name : short, a Python identifier; part of every sample's random key.
    equation : text such as "u_t = nu*u_xx - u*u_x", a sympy Eq, or an `Equation`.
    domain : `Periodic(...)`, `Box(...)`, or `Point()` for ordinary equations.
    parameters : name -> law (`uniform(0.01, 0.1)`) or number.
    initial : unknown -> field law (or law of one number, or number: the same everywhere), for problems in time.
    inputs : coefficient or source -> field law.
    time : (start, stop), or None for steady problems.
    frames : stored times, the initial one included: a count, spread evenly, or the times themselves.
    solver : see `Solver`; None picks the exponential integrator for semilinear equations on periodic boxes (and between walls
        without flux), and adaptive Runge-Kutta for ordinary equations.
    refine : solve on a grid this many times finer than the stored one (cells are averaged, Fourier modes truncated).
    compute_at_least : and on at least this many points per axis.
    measure_every : the label error is measured on every sample whose number this divides.
    chunk : samples solved together; 0 picks by size. Part of what makes sample i reproducible.
    attempts : draws per sample before a solve that keeps failing is an error.
    warm_up : time that is solved before the start and not stored, so that stored states are those of the flow, not of the law.
    conserved : name -> density, such as {"mass": "p^2 + q^2"}, whose integral does not change; its drift is stored with the
        labels as quality.
    auxiliary : unknown without a time derivative -> function (fields, grid) that finds it from the stored fields.
    held_out_laws : {"parameters": {...}, "initial": {...}, "inputs": {...}} for the held-out split.
    split : part of every random key, so that splits never share a draw.
    check : how `check_problem` judges this problem, where its defaults do not fit: fields to replace (a smooth initial law, a
        shorter time), "resolution", and "margin", the cells next to walls whose residual is left out.
    description, citation : for people.

    Examples
    --------
    >>> from pdes import Periodic, Problem, grf, uniform
    >>> burgers = Problem(name="my_burgers", equation="u_t = nu*u_xx - u*u_x", domain=Periodic(x=(0, 1)), time=(0, 1),
    ...                   parameters={"nu": uniform(0.01, 0.1)}, initial={"u": grf(tau=5, alpha=2)})
    >>> burgers.times.shape, burgers.equation.unknowns
    ((11,), ('u',))
    """

    name: str
    equation: Any  # an `Equation` once the problem is made
    domain: Domain
    parameters: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, FieldLaw] = field(default_factory=dict)
    inputs: Mapping[str, FieldLaw] = field(default_factory=dict)
    time: tuple[float, float] | None = None
    frames: int | tuple[float, ...] = 11
    solver: Any = None  # a `Solver` once the problem is made
    refine: int = 1
    compute_at_least: int = 0
    measure_every: int = 16
    chunk: int = 0
    attempts: int = 8
    warm_up: float = 0.0
    conserved: Mapping[str, str] = field(default_factory=dict)
    auxiliary: Mapping[str, Callable] = field(default_factory=dict)
    held_out_laws: Mapping[str, Mapping] = field(default_factory=dict)
    split: str = "train"
    check: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    citation: str = ""

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        if not self.name.isidentifier():
            raise SettingError(
                given=f"problem name {self.name!r}", needed="a Python identifier", remedy="Use letters, digits and _."
            )
        if not isinstance(self.equation, Equation):
            put("equation", Equation(self.equation, dimension=self.domain.dimension, inputs=tuple(self.inputs)))
        put("parameters", {k: v if hasattr(v, "sample") else Fixed(float(v)) for k, v in self.parameters.items()})
        put("initial", {k: everywhere(v).on(self.domain) for k, v in self.initial.items()})
        put("inputs", {k: everywhere(v).on(self.domain) for k, v in self.inputs.items()})
        if not isinstance(self.frames, int):
            put("frames", tuple(float(t) for t in self.frames))
        self._check_names()
        if (self.equation.order_in_time > 0) != (self.time is not None):
            raise SettingError(
                given=f"equation {self.equation} with time={self.time}",
                needed="a time interval exactly for equations with a time derivative",
                remedy="Pass time=(0, T), or time=None for a steady problem.",
            )
        if self.equation.dimension != self.domain.dimension:
            raise SettingError(
                given=f"an equation in {self.equation.dimension} dimensions on a domain of {self.domain.dimension}",
                needed="the same number",
                remedy="Mend the equation, or give the domain its axes.",
            )
        if min(self.refine, self.measure_every) < 1 or self.chunk < 0 or (isinstance(self.frames, int) and self.frames < 2):
            raise SettingError(
                given=f"refine={self.refine}, measure_every={self.measure_every}, chunk={self.chunk}, frames={self.frames}",
                needed="refine and measure_every >= 1, chunk >= 0, at least two frames",
                remedy="Mend them.",
            )
        if self.solver is None and self.domain.dimension == 0:
            from pdes.ordinary import Ordinary

            put("solver", Ordinary.fitting(self))
        elif self.solver is None:
            from pdes.semilinear import Semilinear

            put("solver", Semilinear.fitting(self))
        following = getattr(self.solver, "following", None)
        if following is not None:
            put("auxiliary", {**following(self.equation), **self.auxiliary})

    def _check_names(self):
        """Every symbol of the equation has a law, and every law a symbol; early, with names."""
        pairs = (
            ("parameters", set(self.equation.parameters), set(self.parameters)),
            ("inputs", set(self.equation.inputs), set(self.inputs)),
            ("initial", set(self.equation.evolving), set(self.initial)),
        )
        for kind, needed, given in pairs:
            if needed - given or given - needed:
                raise SettingError(
                    given=f"{kind} {sorted(given) or 'none'} for equation {self.equation}",
                    needed=f"{kind} {sorted(needed) or 'none'}",
                    remedy=f"Missing: {sorted(needed - given) or 'none'}; without a place: {sorted(given - needed) or 'none'}.",
                )

    # -- grids and times ----------------------------------------------------------------------------------------------

    @property
    def times(self) -> np.ndarray | None:
        """Stored times, the initial one first; None for steady problems."""
        if self.time is None:
            return None
        return np.linspace(*self.time, self.frames) if isinstance(self.frames, int) else np.array(self.frames)

    @property
    def interval(self) -> float:
        """Shortest time between stored frames."""
        return float(np.min(np.diff([] if self.times is None else self.times)))

    def stored_grid(self, resolution: int | tuple[int, ...]) -> Grid:
        """Grid of the stored fields; a point needs no resolution."""
        return self.domain.grid(resolution)

    def compute_grid(self, resolution: int | tuple[int, ...]) -> Grid:
        """Grid of the solve: finer by `refine`, and by the least further factor that reaches `compute_at_least`."""
        stored = self.stored_grid(resolution)
        factor = max(self.refine, -(-self.compute_at_least // min(stored.shape, default=1)))
        return refine(stored, factor)

    def chunk_size(self, resolution: int | tuple[int, ...]) -> int:
        """Samples solved together at this resolution: a power of two, at most 16 (points: 256), near 32 MB."""
        if self.chunk:
            return self.chunk
        points = np.prod(self.compute_grid(resolution).shape) * (1 if self.times is None else len(self.times))
        return int(2 ** np.clip(np.floor(np.log2(2**22 / points)), 0, 4 if self.domain.dimension else 8))

    # -- draws --------------------------------------------------------------------------------------------------------

    def draw(self, seed: int, sample: int, attempt: int = 0) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Parameters and latent coefficients of one sample: functions of (name, split, seed, sample, attempt) alone.

        Latents are named "initial.u", "inputs.a". `attempt` > 0 are the substitutes for draws whose solve failed.
        """

        def stream(purpose):
            return generator(self.name, self.split, seed, sample, purpose, attempt)

        parameters = {
            name: law.sample(stream(f"parameters.{getattr(law, 'shared', '') or name}"))
            for name, law in self.parameters.items()
        }
        latents = {name: law.sample(stream(getattr(law, "shared", "") or name)) for name, law in self.field_laws().items()}
        return parameters, latents

    def field_laws(self) -> dict[str, FieldLaw]:
        """Laws of all random fields, "initial.<unknown>" and "inputs.<name>"."""
        return {f"{kind}.{name}": law for kind in ("initial", "inputs") for name, law in getattr(self, kind).items()}

    def sample_id(self, seed: int, sample: int) -> int:
        """Stable 64-bit name of a sample."""
        return stable_hash(f"{self.name}|{self.split}|{STREAM_VERSION}|{seed}|{sample}")

    # -- variants and records -----------------------------------------------------------------------------------------

    def replace(self, **changes) -> "Problem":
        """A copy with other fields; a parameter's name is accepted too (`nu=1e-3`), as is split="held_out"."""
        names = {f.name for f in dataclasses.fields(self)}
        parameters = {k: v for k, v in changes.items() if k not in names and k in self.parameters}
        unknown = [k for k in changes if k not in names and k not in parameters]
        if unknown:
            raise unknown_name(f"option of problem {self.name!r}", unknown[0], names | set(self.parameters))
        fields = {k: v for k, v in changes.items() if k in names}
        if parameters:
            fields["parameters"] = {**self.parameters, **fields.get("parameters", {}), **parameters}
        if fields.get("split") == "held_out" and self.split != "held_out":
            for kind, laws in self.held_out_laws.items():
                fields[kind] = {**getattr(self, kind), **laws, **(parameters if kind == "parameters" else {})}
        return dataclasses.replace(self, **fields)

    def held_out(self) -> "Problem":
        """The same problem with parameters and inputs from ranges that the training split does not cover."""
        return self.replace(split="held_out")

    def to_json(self) -> dict:
        """Everything that decides the data, as text."""
        return {
            "name": self.name,
            "equation": str(self.equation),
            "domain": repr(self.domain),
            "laws": self.laws(),
            "times": None if self.times is None else self.times.tolist(),
            "warm_up": self.warm_up,
            "solver": repr(self.solver),
            "refine": self.refine,
            "compute_at_least": self.compute_at_least,
            "measure_every": self.measure_every,
            "split": self.split,
            "stream_version": STREAM_VERSION,
        }

    def laws(self) -> dict[str, str]:
        """Law of every parameter and field, as text."""
        return {name: law.law for name, law in [*self.parameters.items(), *self.field_laws().items()]}

    def digest(self) -> str:
        """Short name of everything that decides the data."""
        return hashlib.blake2b(json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=12).hexdigest()

    @property
    def is_periodic(self) -> bool:
        """Lives on a periodic box."""
        return isinstance(self.domain, Periodic)

    def __repr__(self) -> str:
        laws = ", ".join(f"{name} ~ {law}" for name, law in self.laws().items())
        when = "" if self.time is None else f", t in {self.time}"
        return f"Problem {self.name!r}: {self.equation} on {self.domain}{when}; {laws}"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{name}</td><td><code>{law}</code></td></tr>" for name, law in self.laws().items())
        return f"<b>{self.name}</b> {self.description}<p>$${self.equation.latex()}$$</p><table>{rows}</table>"


@cache
def _registry(kind: str) -> dict[str, Problem]:
    """Every `Problem` that a module of `pdes.families` ("pde") or `pdes.ode_families` ("ode") defines, alone or in a
    dictionary. The folder is the list."""
    folder = importlib.import_module("pdes.families" if kind == "pde" else "pdes.ode_families")
    found: dict[str, Problem] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_")):
        for attribute in vars(importlib.import_module(f"{folder.__name__}.{module}")).values():
            for value in attribute.values() if isinstance(attribute, dict) else (attribute,):
                if isinstance(value, Problem):
                    if value.name in found and found[value.name] is not value:
                        raise SettingError(
                            given=f"two problems named {value.name!r}", needed="different names", remedy="Rename one of them."
                        )
                    found[value.name] = value
    return dict(sorted(found.items()))


def names(kind: str | None = None) -> list[str]:
    """Names of the problems that come with the package: all, or those of kind "pde" or "ode".

    >>> "darcy" in names("pde"), "lorenz63" in names("ode")
    (True, True)
    """
    if kind not in (None, "pde", "ode"):
        raise SettingError(given=f"kind {kind!r}", needed="'pde', 'ode' or None", remedy="Change `kind`.")
    return list(_registry(kind)) if kind else sorted([*_registry("pde"), *_registry("ode")])


def get(name: str, **overrides) -> Problem:
    """A problem by name, with some of its fields or parameters replaced.

    Raises
    ------
    UnknownName : lists the nearest names.

    Examples
    --------
    >>> get("darcy", refine=2).refine
    2
    """
    kind = "pde" if name in _registry("pde") else "ode"  # the hundreds of ordinary equations are read only when needed
    if name not in _registry(kind):
        raise unknown_name("problem", name, names())
    problem = _registry(kind)[name]
    return problem.replace(**overrides) if overrides else problem
