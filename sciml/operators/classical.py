"""The problem's own classical solver on the stored grid or a coarser one: the contestant that every operator has to beat.

Inputs are restricted to a grid `coarsen` times coarser (means over cells, Fourier modes, common points), the equation is solved
there by the solver that made the labels, and the solution is interpolated back (cubic splines that know the walls, Fourier on
periodic axes). Nothing is learned. `coarsen=1` is the solver at the full resolution of the data.

Source of the demand: McGreivy and Hakim, Weak baselines and reporting biases lead to overoptimism in machine learning for
fluid-related partial differential equations, Nature Machine Intelligence 6 (2024).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.operator import Arrays, Learner, Operator, Position, Scalars, Training
from sciml.tasks import Batch, Signature, Task
from solvers.errors import DataError, SettingError, SolverError
from solvers.grid import Axis, Grid
from solvers.result import Outcome

if TYPE_CHECKING:
    from pdes import Dataset, Problem

PRESETS: dict[str, dict[str, Any]] = {"base": {"coarsen": 1}, "half": {"coarsen": 2}, "quarter": {"coarsen": 4}}
CHECKS: dict[str, Any] = {"dataset": "darcy", "epochs": 1, "other_size": None}
POINTS_AT_ONCE = 2**22
"""Points of a batch that are solved together at most."""
ROOT = 0.5
"""Conductivities are averaged as mean(a^ROOT)^(1/ROOT). Of the power means, this one is near the best for Darcy flow (12/3 law,
labels from a four times finer grid): 30 % less error than the arithmetic mean at coarsen 2 and 4, 20 % less than the geometric
one, a third of the harmonic one's. A weak baseline would flatter the operators."""
LOOSE = 1e-4
"""Tolerance of iterations and time steps on coarser grids, far below their discretisation error."""


@dataclass(frozen=True)
class ClassicalConfig:
    """Settings of `ClassicalSolver`.

    problem : name in `pdes.names()`; "" takes the one that the data come from.
    coarsen : factor between the grid of the data and that of the solve, per axis.
    tolerance : of the solver; None keeps the solver's own when coarsen is 1, and takes 1e-4 on coarser grids.
    constants : parameters that do not vary between samples; taken from the data.
    """

    problem: str = ""
    coarsen: int = 4
    tolerance: float | None = None
    constants: Mapping[str, float] = field(default_factory=dict)


class ClassicalSolver(Operator):
    """The classical solver of a problem as an operator; it binds to data and predicts, and learns nothing.

    Parameters
    ----------
    problem : name, or a `pdes.Problem` of one's own; "" takes the name that the data carry.
    coarsen, tolerance, constants : see `ClassicalConfig`.

    Examples
    --------
    >>> import pdes, sciml
    >>> data = pdes.generate("poisson_dirichlet", n=4, resolution=32, seed=7, progress=False)
    >>> fit = sciml.fit(sciml.create("classical:half"), data, validation=False, progress=False)
    >>> bool(sciml.evaluate(fit.operator, data, timing=False).scores[0].errors["relative_l2"].max() < 0.05)
    True
    """

    config: ClassicalConfig

    def __init__(self, problem: "str | Problem" = "", coarsen: int = 4, tolerance: float | None = None, constants=None):
        name = problem if isinstance(problem, str) else problem.name
        self.config = ClassicalConfig(name, coarsen, tolerance, dict(constants or {}))
        self._own = None if isinstance(problem, str) else problem
        self._ready: dict[tuple[int, ...], tuple[Any, Grid, Grid]] = {}
        self._averaged: tuple[str, ...] = ()
        self._anchored = True  # something fixes the level of the solution
        if coarsen < 1:
            raise SettingError(given=f"coarsen={coarsen}", needed="coarsen >= 1", remedy="1 is the full resolution.")

    # -- the contract -------------------------------------------------------------------------------------------------

    def bind(self, task: Task, *, seed: int = 0) -> None:
        data = task.dataset
        data.check_finite()
        name = self.config.problem or str(data.provenance.get("family", ""))
        if not name:
            raise DataError(
                given="a dataset that does not say which problem it comes from",
                needed="the problem's name",
                remedy="Pass ClassicalSolver(problem=...), a name or a pdes.Problem.",
            )
        varying = task.signature.parameters
        constants = {k: float(v[0]) for k, v in data.parameters.items() if k not in varying and len(v)}
        self.config = dataclasses.replace(self.config, problem=name, constants={**constants, **self.config.constants})
        self._check_same_equation(data.provenance)
        self.rebuild(task.signature)

    def rebuild(self, signature: Signature) -> None:
        problem = self.problem
        needed = [*problem.inputs, *problem.initial]
        known = [*signature.parameters, *self.config.constants]
        missing = [n for n in needed if n not in signature.inputs] + [n for n in problem.parameters if n not in known]
        if missing or signature.history != 1 or signature.kind not in ("steady", "final", "trajectory", "autoregressive"):
            raise DataError(
                given=f"a task {signature.kind!r} from {signature.inputs} with {signature.history} past frames",
                needed=f"{', '.join([*needed, *problem.parameters])}, from which {problem.name!r} is solved, and one frame",
                remedy="Use the task's default inputs and history=1.",
            )
        self.signature, self._ready, self._averaged = signature, {}, conductivities(problem)
        sides = {side for axis in signature.grid.axes for side in axis.boundary}
        self._anchored = signature.kind != "steady" or not sides <= {"periodic", "neumann"}
        self._prepared(signature.grid.shape)

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return Nothing()

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        """Solve for inputs (item, channel, *space) of any resolution that `coarsen` divides; `where` takes nothing."""
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, type(self).__name__)
        if where:
            raise SettingError(
                given=f"predict(..., {', '.join(where)}=)",
                needed="inputs only",
                remedy="The solver answers on the grid of its inputs.",
            )
        shape = tuple(inputs.shape[2:])
        size = batch_size or max(1, POINTS_AT_ONCE // (int(np.prod(shape)) * max(1, len(signature.times))))
        values = np.asarray(inputs, np.float64)
        parts = [self._solve(values[i : i + size], shape) for i in range(0, len(values), size)]
        joined = np.concatenate(parts) if parts else np.empty((0, len(signature.outputs), *shape))
        joined = joined.astype(np.float32)
        if isinstance(inputs, np.ndarray):
            return joined
        import torch  # the caller's container: a tensor comes from torch

        return torch.from_numpy(joined).to(inputs.device)

    def state(self) -> Arrays:
        return {}

    def load_state(self, arrays: Arrays) -> None:
        pass

    # -- the solve ----------------------------------------------------------------------------------------------------

    @property
    def problem(self) -> "Problem":
        """The problem that is solved."""
        import pdes

        return self._own if self._own is not None else pdes.get(self.config.problem)

    def _check_same_equation(self, provenance: Mapping) -> None:
        problem = self.problem
        for key, mine in (("equation", str(problem.equation)), ("domain", repr(problem.domain))):
            if key in provenance and str(provenance[key]) != mine:
                raise DataError(
                    given=f"data with {key} {provenance[key]} for the solver of problem {problem.name!r}",
                    needed=f"{mine}",
                    remedy="Pass the problem that made the data, ClassicalSolver(problem=...).",
                )

    def _prepared(self, shape: tuple[int, ...]) -> tuple[Any, Grid, Grid]:
        """Solver, coarse grid and fine grid for inputs of this shape; what can be settled once is."""
        if shape not in self._ready:
            from pdes.coarsen import coarse_axis

            problem, fine = self.problem, self.bound_signature.grid.with_shape(shape)
            coarse = Grid(tuple(coarse_axis(axis, self.config.coarsen)[0] for axis in fine.axes))
            solver: Any = problem.solver
            tolerance = self.config.tolerance or (LOOSE if self.config.coarsen > 1 else None)
            if tolerance is not None and hasattr(solver, "tolerance"):
                solver = dataclasses.replace(solver, tolerance=tolerance)
            fixed = {k: v for k, v in self.config.constants.items() if k in problem.parameters}
            self._ready[shape] = (solver.prepare(problem.replace(**fixed), coarse, 0), coarse, fine)
        return self._ready[shape]

    def _solve(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(item, channel, *space) to (item, output channel, *space)."""
        from pdes.coarsen import restrict

        signature, problem = self.bound_signature, self.problem
        solver, coarse, fine = self._prepared(shape)
        named = {name: values[:, i] for i, name in enumerate(signature.inputs)}
        inputs = {name: restrict(named[name], fine, coarse) for name in (*problem.inputs, *problem.initial)}
        for name in self._averaged if coarse.shape != fine.shape else ():
            inputs[name] = restrict(named[name] ** ROOT, fine, coarse) ** (1 / ROOT)
        inputs = inputs if self._anchored else {name: _balanced(a) for name, a in inputs.items()}
        parameters = {name: np.full(len(values), value) for name, value in self.config.constants.items()}
        parameters |= {name: named[name].reshape(len(values), -1)[:, 0] for name in signature.parameters}
        solution = solver(problem, coarse, inputs, parameters, self._times())
        self._check(solution.outcome)
        frames = [solution.fields[name] for name in problem.equation.unknowns if name in solution.fields]
        if signature.kind == "steady":
            channels = np.stack(frames, axis=1)
        elif signature.kind == "trajectory":  # channels are (time, field)
            channels = np.stack(frames, axis=2)[:, 1:].reshape(len(values), -1, *coarse.shape)
        else:
            channels = np.stack([frame[:, -1] for frame in frames], axis=1)
        return prolong(channels, coarse, fine)

    def _times(self) -> np.ndarray | None:
        signature = self.bound_signature
        if signature.kind == "steady":
            return None
        times = np.asarray(signature.times)
        if signature.kind == "trajectory":
            return times
        return times[[0, -1]] if signature.kind == "final" else np.array([0.0, times[signature.stride] - times[0]])

    def _check(self, outcome: np.ndarray) -> None:
        """Blow-ups stay visible as NaN in the scores; a solver that did not do its work is an error."""
        lazy = np.flatnonzero((outcome == Outcome.NOT_CONVERGED) | (outcome == Outcome.STEP_BOUND))
        if lazy.size:
            raise SolverError(
                given=f"{lazy.size} solves of {self.config.problem!r} at coarsen={self.config.coarsen} that did not converge",
                needed="convergence",
                remedy="Loosen `tolerance`, or coarsen less.",
            )


def _balanced(source: np.ndarray) -> np.ndarray:
    """Without the mean that storing in float32 leaves, which nothing balances between walls without flux; larger means stay."""
    space = tuple(range(1, source.ndim))
    mean = source.mean(space, keepdims=True)
    return source - np.where(np.abs(mean) < 1e-5 * np.abs(source).max(space, keepdims=True), mean, 0.0)


class Nothing(Learner):
    """There is nothing to learn: done after one epoch."""

    shardable = True
    done = True

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        return {"loss": 0.0}

    def state(self) -> tuple[Arrays, Scalars]:
        return {}, {}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        pass


def conductivities(problem: "Problem") -> tuple[str, ...]:
    """Inputs that multiply a gradient inside a divergence, div(a grad u).

    >>> import pdes
    >>> conductivities(pdes.get("darcy"))
    ('a',)
    """
    import sympy

    found = set()
    for equation in problem.equation.equations:
        for outer in equation.atoms(sympy.Derivative):
            inner = outer.expr.atoms(sympy.Derivative)
            names = {f.func.__name__ for f in outer.expr.atoms(sympy.core.function.AppliedUndef)}
            found |= names & set(problem.inputs) if inner else set()
    return tuple(sorted(found))


# -- from the coarse grid back ----------------------------------------------------------------------------------------


def prolong(values: np.ndarray, coarse: Grid, fine: Grid) -> np.ndarray:
    """Values (..., *space) from a coarse grid to a finer one of the same domain: cubic splines, Fourier on periodic axes."""
    for position, (a, b) in enumerate(zip(coarse.axes, fine.axes, strict=True)):
        if a.size != b.size:
            axis = position - coarse.dimension
            values = np.moveaxis(np.moveaxis(values, axis, -1) @ _weights(a, b).T, -1, axis)
    return np.ascontiguousarray(values)


@cache
def _weights(coarse: Axis, fine: Axis) -> np.ndarray:
    """(fine, coarse) matrix of the interpolation along one axis."""
    if coarse.kind == "periodic":
        spectrum = np.fft.rfft(np.eye(coarse.size), axis=0)
        if coarse.size % 2 == 0:
            spectrum[-1] *= 0.5  # the Nyquist mode is shared between its two signs
        return np.fft.irfft(spectrum, n=fine.size, axis=0) * (fine.size / coarse.size)
    from scipy.interpolate import make_interp_spline

    points, values = _extended(coarse)
    return np.asarray(make_interp_spline(points, values, k=min(3, len(points) - 1))(fine.coordinates()))


def _extended(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Points and unit values of an axis with what is known at its walls: a zero on it, or the mirror image for zero slope."""
    points, values = axis.coordinates(), np.eye(axis.size)
    for side, wall in ((0, axis.start), (1, axis.stop)):
        condition = axis.boundary[side]
        if axis.kind in ("cell", "interior") and condition == "dirichlet":
            new = (np.array([wall]), np.zeros((1, axis.size)))
        elif axis.kind in ("cell", "node") and condition == "neumann":
            first = 1 if axis.kind == "node" else 0  # a point on the wall is its own image
            inner = np.arange(axis.size)[:: 1 if side == 0 else -1][first : first + 4]
            order = inner[::-1] if side == 0 else inner
            new = (2 * wall - axis.coordinates()[order], np.eye(axis.size)[order])
        else:
            continue
        pair = (new, (points, values)) if side == 0 else ((points, values), new)
        points, values = np.concatenate([p for p, _ in pair]), np.concatenate([v for _, v in pair])
    return points, values


def ladder(dataset: "Dataset", factors: Sequence[int], signature: Signature | None = None) -> dict[str, ClassicalSolver]:
    """Bound solvers at several coarsenings, named by their grids: {"solver 64×64": ..., "solver 16×16": ...}.

    signature : the task to solve; by default what the data suggest.
    """
    from sciml.tasks import as_task, task_of

    task = as_task(None, dataset) if signature is None else task_of(signature, dataset)
    rungs = {}
    for factor in sorted(set(factors)):
        solver = ClassicalSolver(coarsen=factor)
        solver.bind(task)
        _, coarse, _ = solver._prepared(task.signature.grid.shape)
        rungs[f"solver {'×'.join(map(str, coarse.shape))}"] = solver
    return rungs
