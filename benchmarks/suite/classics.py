"""Classical methods beside the solver that made the labels, so that no ladder has only one kind of rung.

A task names them with the factors by which their grids are coarser, `methods = {direct = [1, 2]}`; the rungs are "direct",
"direct / 2". All rungs of a task stand in one front: S, A and N* compare with the best of any method.

    direct                the same finite volumes, sparse LU                          steady diffusion
    multigrid             the same, conjugate gradients with a V-cycle
    twice the points      the labels' solver on cells half as wide, inputs by splines Helmholtz
    finite volumes        five points on twice the grid, sparse LU                    Helmholtz in a hard box
    spectral              exponential Runge-Kutta where the labels have a formula     Burgers
    long steps            five times the labels' step                                 exponential Runge-Kutta
    finite differences    fourth order, explicit Runge-Kutta                          periodic, semilinear
    WENO5, MUSCL          the other reconstruction than that of the labels            conservation laws
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdes import Problem
from pdes.problem import Solution, Solver
from pdes.semilinear import Semilinear
from solvers.errors import SettingError, unknown_name
from solvers.grid import Grid
from solvers.result import Outcome

LONGER = 5
FINER = 2
ENOUGH = 1e-6
"""Tolerance of iterations: far below the error of the grid, far above that of the labels' solve."""


def _diffusion(problem: Problem, inputs: Mapping) -> tuple[np.ndarray, Any]:
    """a and f of -div(a grad u) = f, as the problem's own solver takes them from its inputs."""
    return getattr(problem.solver, "diffusion", lambda given: (given["a"], 1.0))(inputs)


@dataclass(frozen=True)
class Direct(Solver):
    """-div(a grad u) = f by factorising the matrix of the finite volumes."""

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from scipy.sparse.linalg import splu

        from solvers.elliptic import face_coefficients
        from solvers.multigrid import assemble

        a, f = _diffusion(problem, inputs)
        right = np.broadcast_to(np.asarray(f, np.float64), a.shape)
        faces = face_coefficients(np.asarray(a, np.float64), grid)
        found = np.empty(a.shape)
        for i, load in enumerate(right):
            matrix = assemble([face[i] for face in faces], grid).tocsc()
            factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.1)
            found[i] = factors.solve(load.ravel()).reshape(load.shape)
        return Solution({"u": found}, np.full(len(a), int(Outcome.SUCCESS)))


@dataclass(frozen=True)
class Multigrid(Solver):
    """The same by conjugate gradients, preconditioned by a V-cycle."""

    tolerance: float = ENOUGH

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from solvers.multigrid import Diffusion

        result = Diffusion(grid, tolerance=self.tolerance, method="mg-pcg", threads=1).solve(*_diffusion(problem, inputs))
        return Solution({"u": result.values}, result.outcome)


@dataclass(frozen=True)
class HelmholtzVolumes(Solver):
    """-lap(u) - k^2 u = 0 in a hard box, u_n = 1 on a part of the top: five-point finite volumes, cells half as wide as given.

    part : of the top side that drives.
    """

    part: tuple[float, float] = (0.35, 0.65)

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import splu

        from solvers.elliptic import face_coefficients
        from solvers.multigrid import assemble

        k = np.asarray(parameters["omega"])[:, None, None] / np.asarray(inputs["c"])
        k = np.repeat(np.repeat(k, FINER, 1), FINER, 2)
        hard = Grid.box("cell", k.shape[1], dimension=2, boundary="neumann")
        edges = np.linspace(0, 1, hard.shape[0] + 1)
        share = np.clip(np.minimum(edges[1:], self.part[1]) - np.maximum(edges[:-1], self.part[0]), 0, None)
        load = np.zeros(hard.shape)
        load[:, -1] = share / hard.spacing[0] / hard.spacing[1]  # the flux through the top of a cell, per area
        stiff = assemble([face[0] for face in face_coefficients(np.ones((1, *hard.shape)), hard)], hard)
        found = []
        for one in k:
            matrix = (stiff - diags_array(one.ravel() ** 2)).tocsc()
            factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.1)
            found.append(factors.solve(load.ravel()).reshape(hard.shape))
        n = grid.shape
        means = np.stack(found).reshape(len(found), n[0], FINER, n[1], FINER).mean((2, 4))
        return Solution({"u": means}, np.full(len(means), int(Outcome.SUCCESS)))


@dataclass(frozen=True)
class Finer(Solver):
    """The labels' own solver on cells of half the width, for media that are smooth: the answer's means over the cells."""

    solver: Any

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: None) -> Solution:
        from pdes.coarsen import restrict
        from sciml.operators.classical import prolong

        fine = grid.with_shape(tuple(FINER * n for n in grid.shape))
        given = {name: prolong(np.asarray(a, np.float64), grid, fine) for name, a in inputs.items()}
        found = self.solver(problem, fine, given, parameters, times)
        return Solution({name: restrict(a, fine, grid) for name, a in found.fields.items()}, found.outcome)


def _spectral(problem: Problem) -> Any:
    return problem.solver.stepper  # type: ignore[union-attr]


def _long_steps(problem: Problem) -> Any:
    solver: Any = problem.solver
    solver = getattr(solver, "stepper", solver)
    slower = None if solver.speed is None else solver.speed / LONGER  # the speed bounds the step, too
    return dataclasses.replace(solver, dt=LONGER * solver.dt, speed=slower)


def _finite_differences(problem: Problem) -> Any:
    from benchmarks.suite.stencils import FiniteDifferences

    solver: Any = problem.solver
    known = None if isinstance(solver, Semilinear) else getattr(solver, "speed", None)
    return FiniteDifferences(speed=known)


def _scheme(scheme: str) -> Callable[[Problem], Any]:
    return lambda problem: dataclasses.replace(problem.solver, scheme=scheme)  # type: ignore[type-var]


METHODS: dict[str, Callable[[Problem], Any]] = {
    "direct": lambda problem: Direct(),
    "multigrid": lambda problem: Multigrid(),
    "twice the points": lambda problem: Finer(problem.solver),
    "finite volumes": lambda problem: HelmholtzVolumes(),
    "spectral": _spectral,
    "long steps": _long_steps,
    "finite differences": _finite_differences,
    "WENO5": _scheme("weno5"),
    "MUSCL": _scheme("mc"),
}
"""Name -> solver of a problem by that method."""


def posed_by(method: str, problem: Problem) -> Problem:
    """The problem with another solver.

    Raises
    ------
    UnknownName : no such method.
    SettingError : one that this problem's solver has no counterpart for.
    """
    if method not in METHODS:
        raise unknown_name("classical method", method, METHODS)
    try:
        return problem.replace(solver=METHODS[method](problem))
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingError(
            given=f"method {method!r} for {problem.name!r}, which {type(problem.solver).__name__} solves",
            needed="a method of its kind",
            remedy="See `benchmarks.suite.classics` for what suits which problem.",
        ) from error
