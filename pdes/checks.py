"""check_problem: what every problem must pass, also a stranger's.

The equation, and not the solver, is what a problem is judged by: its residual is evaluated on the stored solution with
stencils that share no code with the solvers, and must be small, fall at second order, and grow when any sign is flipped.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import sympy

from pdes.equation import Equation
from pdes.generation import generate
from pdes.job import Job
from pdes.problem import Problem

_FLOAT32 = 1e-7
"""Relative rounding of stored values, with room for cancellation; a stencil of order m magnifies it by spacing^-m."""


class CheckFailure(AssertionError):
    """A problem that does not keep its promises; the message says which, with the numbers."""


@dataclass(frozen=True)
class CheckReport:
    """What was measured.

    label_error : relative L2 distance of sample 0 to its refined twin.
    residuals : relative residual at each resolution (finite differences).
    order : observed order of the residual; NaN where it is at rounding already.
    sharpest : smallest factor by which flipping one sign raises the residual.
    """

    problem: str
    resolution: int
    label_error: float
    residuals: tuple[float, ...]
    order: float
    sharpest: float
    notes: Mapping[str, float] = field(default_factory=dict)


def check_problem(problem: Problem, *, resolution: int | None = None, seed: int = 90210, workers: int = 1) -> CheckReport:
    """Run the battery on a few small samples.

    Parameters
    ----------
    problem : what to check; its `check` says where it differs from the defaults.
    resolution : stored points per axis of the coarser of two resolutions; None takes 64, 32 or 16 in 1-D, 2-D, 3-D. Ordinary
        equations are judged by two distances between frames instead.
    seed : of the samples.
    workers : also compare one process with this many, if more than one.

    Raises
    ------
    CheckFailure : the first promise that is broken.

    Examples
    --------
    >>> import pdes
    >>> report = check_problem(pdes.get("poisson_dirichlet"), resolution=16)
    >>> report.label_error < 0.02
    True
    """
    options = dict(problem.check)
    usual: int = options.pop("resolution", {0: 1, 1: 64, 2: 32, 3: 16}[problem.domain.dimension])
    margin: int = options.pop("margin", 0)
    resolution = usual if resolution is None else resolution
    problem = problem.replace(check={}, **options)
    _check_text(problem)
    _check_draws(problem, seed)
    label_error = _check_samples(problem, resolution, seed, workers)
    if problem.domain.dimension:
        residuals, order, sharpest = _check_residual(problem, resolution, seed, margin)
    else:
        residuals, order, sharpest = _check_trajectory(problem, seed)
    return CheckReport(problem.name, resolution, label_error, residuals, order, sharpest)


def _require(condition: bool, problem: Problem, message: str) -> None:
    if not condition:
        raise CheckFailure(f"Problem {problem.name!r}: {message}")


def _check_text(problem: Problem) -> None:
    """The equation survives text, tokens, sympy and copying (as on the way to a worker process), and so does the problem."""
    equation = problem.equation
    for form, again in {
        "text": Equation(str(equation), dimension=equation.dimension, unknowns=equation.unknowns),
        "tokens": Equation.from_tokens(equation.tokens(), dimension=equation.dimension),
        "sympy": Equation(list(equation.equations), dimension=equation.dimension),
        "copy": copy.deepcopy(equation),
    }.items():
        _require(again.sides == equation.sides, problem, f"its equation changes through {form}: {equation} became {again}.")
    _require(copy.deepcopy(problem).digest() == problem.digest(), problem, "it changes when copied.")
    _require(bool(equation.latex()), problem, "its equation has no LaTeX.")


def _check_draws(problem: Problem, seed: int) -> None:
    """Draws are functions of their key, differ between samples, splits and seeds, and do not depend on the resolution."""
    first, again = problem.draw(seed, 3), problem.draw(seed, 3)
    for name, latent in first[1].items():
        _require(np.array_equal(latent, again[1][name]), problem, f"two draws of one key differ in {name!r}.")
        if latent.size:
            for what, other in {
                "sample": problem.draw(seed, 4),
                "seed": problem.draw(seed + 1, 3),
                "split": problem.held_out().draw(seed, 3),
                "attempt": problem.draw(seed, 3, 1),
            }.items():
                _require(not np.array_equal(latent, other[1][name]), problem, f"{name!r} does not depend on the {what}.")
    ids = {p.sample_id(s, i) for p in (problem, problem.held_out()) for s in (seed, seed + 1) for i in range(4)}
    _require(len(ids) == 16, problem, "sample ids repeat.")


def _check_samples(problem: Problem, resolution: int, seed: int, workers: int) -> float:
    """Sample i is the same for any n and number of workers, and (to rounding) for any batch; returns the label error."""
    problem = problem.replace(chunk=2)
    long = generate(problem, 3, resolution, seed, progress=False)
    long.check_finite()
    short = generate(problem, 1, resolution, seed, progress=False)
    _require(long[:1].fingerprint() == short.fingerprint(), problem, "sample 0 depends on n.")
    if workers > 1:
        many = generate(problem, 3, resolution, seed, workers=workers, progress=False)
        _require(long.fingerprint() == many.fingerprint(), problem, f"samples depend on workers={workers}.")
    alone = generate(problem.replace(chunk=1, measure_every=100), 3, resolution, seed, progress=False)
    for name, array in long.fields.items():
        _require(
            array.shape[1:] == (*([] if problem.times is None else [len(problem.times)]), *long.grid.shape),
            problem,
            f"shape of {name!r}.",
        )
        for i in range(3):
            distance = _distance(alone.fields[name][i], array[i])
            _require(distance < 1e-5, problem, f"sample {i} of {name!r} depends on its batch (relative change {distance:.1e}).")
        _require(_distance(array[0], array[1]) > 1e-3, problem, f"samples 0 and 1 of {name!r} are the same.")
    error = float(long.quality["label_error"][0])
    _require(np.isfinite(error), problem, "the label error of sample 0 was not measured.")
    _require(error < 0.2, problem, f"its labels are wrong by {error:.0%} against the refined solve.")
    return error


def _check_residual(problem: Problem, resolution: int, seed: int, margin: int) -> tuple[tuple[float, ...], float, float]:
    """The stored solution satisfies the equation, better on a finer grid, and no equation with a flipped sign."""
    if problem.is_periodic and problem.time is None:  # below, inputs are filtered: not yet the function that falls at order 2
        resolution = max(resolution, problem.compute_at_least)
    windows = [_Window(problem, resolution * level, level, seed, margin * level) for level in (1, 2)]
    (coarse, _), (fine, flipped) = (window.residuals("finite-difference") for window in windows)
    floor = _FLOAT32 * (2 * resolution) ** 2
    order = float("nan")
    if coarse > floor:
        order = float(np.log2(coarse / fine))
        _require(fine < 0.5, problem, f"its solution does not satisfy {problem.equation}: relative residual {fine:.2g}.")
        _require(order > 1.5, problem, f"the residual falls from {coarse:.2g} to {fine:.2g} only: order {order:.2f}, not 2.")
    best = fine
    if problem.is_periodic:
        best, flipped = windows[1].residuals("spectral")
        _require(best < 0.02, problem, f"its solution does not satisfy {problem.equation}: spectral residual {best:.2g}.")
    return (coarse, fine), order, _sharpest(problem, flipped, best)


def _sharpest(problem: Problem, flipped: Mapping[str, float], best: float) -> float:
    """Smallest factor by which a flipped sign raises the residual; it must be noticed."""
    sharpest = np.inf
    for term, value in flipped.items():
        factor = value / max(best, 1e-300)
        _require(
            factor > 3, problem, f"flipping the sign of {term} is not noticed: residual {value:.2g} instead of {best:.2g}."
        )
        sharpest = min(sharpest, factor)
    return float(sharpest)


def _check_trajectory(problem: Problem, seed: int) -> tuple[tuple[float, ...], float, float]:
    """The same for ordinary equations: frames move together until differences in time resolve the trajectory."""
    level, window, coarse = 1, None, np.inf
    while window is None or (coarse > 0.03 and level < 2**11):
        level *= 2
        window = _Window(problem, 1, level, seed, 0)
        coarse = window.residual("finite-difference")
    fine = _Window(problem, 1, 2 * level, seed, 0, reach=8).residual("finite-difference")  # the same stretch of time
    order = float("nan")
    if coarse > window.rounding():
        order = float(np.log2(coarse / fine))
        _require(fine < 0.5, problem, f"its solution does not satisfy {problem.equation}: relative residual {fine:.2g}.")
        _require(order > 1.5, problem, f"the residual falls from {coarse:.2g} to {fine:.2g} only: order {order:.2f}, not 2.")
    best, flipped = window.residuals("spectral")
    _require(best < 0.02, problem, f"its solution does not satisfy {problem.equation}: residual {best:.2g}.")
    return (coarse, fine), order, _sharpest(problem, flipped, best)


class _Window:
    """Sample 1 around half time, as stored (in float32), ready for residuals. (Sample 0 is the one with a refined twin.)"""

    def __init__(self, problem: Problem, resolution: int, level: int, seed: int, margin: int, reach: int = 4):
        small = problem.replace(chunk=1, measure_every=10**6)
        if not problem.is_periodic:  # means over finer cells satisfy no equation on the stored grid: check the solve's own grid
            small = small.replace(refine=1, compute_at_least=0)
        shown = slice(None)
        if problem.time is not None:
            (start, stop), shown = problem.time, slice(1, 2 * reach + 2)
            step = (stop - start) / (64 * level)
            middle = start + (stop - start) / (2 if problem.domain.dimension else 8)  # trajectories may come to rest
            end = () if problem.domain.dimension else (stop,)  # whether a trajectory escapes must not depend on the window
            small = small.replace(frames=(start, *(middle + step * i for i in range(-reach, reach + 1)), *end))
        arrays = Job.of(small, resolution, seed).compute(1)
        part = {
            kind: {n.partition("/")[2]: a for n, a in arrays.items() if n.startswith(kind)}
            for kind in ("fields", "inputs", "params")
        }
        self.equation, self.grid, self.parameters = problem.equation, small.stored_grid(resolution), part["params"]
        lead = (slice(None),) if small.times is None else (slice(None), shown)
        self.fields = {n: a[lead].astype(np.float64) for n, a in part["fields"].items()}
        self.inputs = {n: a.astype(np.float64) for n, a in part["inputs"].items()}
        for name, find in problem.auxiliary.items():
            self.fields[name] = find(self.fields, self.grid)
        self.times = None if small.times is None else small.times[shown]
        walls = [margin if axis.kind != "periodic" else 0 for axis in self.grid.axes]
        self.inside = (..., *(slice(m, axis.size - m) for m, axis in zip(walls, self.grid.axes, strict=True)))
        self.terms = [_terms(left, right) for left, right in problem.equation.sides]

    def rounding(self) -> float:
        """Relative residual of frames that are exact but for their storage as float32, with a margin."""
        step = float(np.diff(np.asarray(self.times)[:2])[0])
        sizes = self._sizes("finite-difference")
        largest = [_rms(self.fields[name]) for name in self.equation.unknowns]
        return max(10 * _FLOAT32 * u / (step * size) for u, size in zip(largest, sizes, strict=True))

    def residual(self, scheme: str) -> float:
        """Residual relative to the terms of its equation."""
        found, sizes = self._values(list(self.equation.sides), scheme), self._sizes(scheme)
        return max(_rms(r) / size for r, size in zip(found, sizes, strict=True))

    def _sizes(self, scheme: str) -> list[float]:
        """Root of the sum of the squares of the terms of each equation."""
        zero, sizes = sympy.Integer(0), []
        for i, parts in enumerate(self.terms):
            alone = [[(part if i == j else zero, zero) for j in range(len(self.terms))] for part in parts]
            sizes.append(max(np.sqrt(sum(_rms(self._values(sides, scheme)[i]) ** 2 for sides in alone)), 1e-300))
        return sizes

    def _values(self, sides: list, scheme: str) -> tuple:
        """Residual of each equation, with other sides."""
        found = _with_sides(self.equation, sides).residual(
            self.fields, self.grid, self.times, self.parameters, self.inputs, scheme
        )
        return tuple(values[self.inside] for values in (found if isinstance(found, tuple) else (found,)))

    def residuals(self, scheme: str) -> tuple[float, dict[str, float]]:
        """Residual relative to the terms of its equation; and the same with the sign of one term flipped, for each term."""
        zero = sympy.Integer(0)
        sizes = self._sizes(scheme)

        def relative(sides):
            return max(_rms(r) / size for r, size in zip(self._values(sides, scheme), sizes, strict=True))

        flipped = {}
        for i, parts in enumerate(self.terms):
            for part in parts:
                sides = [
                    (left - right - (2 * part if i == j else 0), zero) for j, (left, right) in enumerate(self.equation.sides)
                ]
                flipped[str(part)] = relative(sides)
        return relative(list(self.equation.sides)), flipped


def _terms(left: sympy.Expr, right: sympy.Expr) -> list[sympy.Expr]:
    return list(sympy.Add.make_args(sympy.expand(left - right)))


def _with_sides(equation: Equation, sides: list) -> Equation:
    """A copy with other sides (and the same names)."""
    other = object.__new__(Equation)
    other.names, other.sides = equation.names, tuple(sides)
    return other


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(values) ** 2)))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative L2 distance."""
    return float(np.linalg.norm(np.asarray(a, float) - b) / max(np.linalg.norm(b), 1e-300))
