"""Solutions with a guarantee: conjugate gradients on a problem's own equations, preconditioned by something learned.

Whatever a network answers, the residual of the equations says whether the solution is right; where the network fails, a
classical multigrid cycle takes over (`solvers.krylov`).
"""

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from solvers.elliptic import apply_faces, check_samples, face_coefficients
from solvers.errors import DataError, SettingError
from solvers.grid import Grid
from solvers.krylov import conjugate_gradients
from solvers.multigrid import Cycle, checked, is_singular
from solvers.result import Outcome, Result

if TYPE_CHECKING:
    from pdes import Problem


class System:
    """The equations of one sample, -div(a grad u) = f on cells.

    inputs : of the problem, by name, each (*cells).   a, f : (*cells).
    """

    def __init__(self, grid: Grid, inputs: Mapping[str, np.ndarray], a: np.ndarray, f: np.ndarray):
        self.grid, self.inputs, self.a, self.f = grid, inputs, a, f

    @cached_property
    def faces(self) -> list[np.ndarray]:
        """Of `solvers.elliptic.face_coefficients`."""
        return [face[0] for face in face_coefficients(self.a[None], self.grid)]

    def operator(self, u: np.ndarray) -> np.ndarray:
        """A u."""
        return apply_faces(self.faces, u, self.grid)

    @cached_property
    def cycle(self) -> Cycle:
        """The classical V-cycle."""
        return Cycle(self.faces, self.grid)

    @property
    def is_singular(self) -> bool:
        """Constants are in A's kernel."""
        return is_singular(self.grid)


Precondition = Callable[[np.ndarray], np.ndarray]


class Preconditioned:
    """Solver of a problem by conjugate gradients with a learned preconditioner.

    Parameters
    ----------
    problem : whose solver has `diffusion(inputs) -> (a, f)`: all Darcy and Poisson problems on cells.
    build : System -> (preconditioner r -> about A^-1 r, product u -> A u); called once per sample.
    limit : of iterations.

    Raises
    ------
    SettingError : another kind of problem.
    """

    def __init__(self, problem: "Problem", build: Callable[[System], tuple[Precondition, Precondition]], limit: int = 400):
        if not hasattr(problem.solver, "diffusion"):
            raise SettingError(
                given=f"problem {problem.name!r}, {problem.equation}",
                needed="a problem -div(a grad u) = f whose solver says what a and f are (`diffusion`)",
                remedy="Pass a Darcy or Poisson problem.",
            )
        self.problem, self.build, self.limit = problem, build, limit

    def solve(self, inputs: Mapping[str, np.ndarray] | np.ndarray, tolerance: float = 1e-8) -> Result:
        """u, (sample, *cells), whose relative residual |f - A u| / |f| is below the tolerance.

        inputs : of the problem by name, each (sample, *cells); one array if there is only one.

        stats : per sample "iterations", "residual" (of the solution, in float64), "rescued" (iteration at which the classical
        cycle took over, -1 if it did not), "setup_seconds", "seconds" (setup included), and "history", (sample, limit), the
        residual after every iteration, NaN after the last.

        Raises
        ------
        DataError : wrong names or shapes, values that are not finite (positive, for a), or, without a Dirichlet side, a
            right-hand side whose mean is not zero.
        SettingError : a tolerance outside (0, 1).
        """
        named: dict[str, Any] = dict(inputs) if isinstance(inputs, Mapping) else {next(iter(self.problem.inputs)): inputs}
        if set(named) != set(self.problem.inputs):
            raise DataError(
                given=f"inputs {', '.join(named)}",
                needed=f"{', '.join(self.problem.inputs)}",
                remedy="Name them as the problem does.",
            )
        if not 0 < tolerance < 1:
            raise SettingError(given=f"tolerance={tolerance}", needed="a number in (0, 1)", remedy="Change it.")
        named = {name: np.asarray(values, np.float64) for name, values in named.items()}
        first = next(iter(named.values()))
        if first.ndim != 1 + len(self.problem.domain.names):
            raise DataError(
                given=f"inputs of shape {first.shape}",
                needed=f"(sample, {', '.join(self.problem.domain.names)})",
                remedy="A single sample `a` becomes `a[None]`.",
            )
        grid = self.problem.domain.grid(tuple(first.shape[1:]))
        for name, values in named.items():
            check_samples(values, grid, f"input {name}")
        a, f = self.problem.solver.diffusion(named)
        a, f = checked(np.broadcast_to(a, first.shape), f, grid)
        columns: dict[str, list] = {name: [] for name in ("iterations", "residual", "rescued", "setup_seconds", "seconds")}
        fields, histories = [], np.full((len(first), self.limit), np.nan)
        for i in range(len(first)):
            began = time.perf_counter()
            system = System(grid, {name: values[i] for name, values in named.items()}, a[i], f[i])
            precondition, operator = self.build(system)
            ready = time.perf_counter()
            solved = conjugate_gradients(
                operator,
                precondition,
                system.f,
                tolerance=tolerance,
                limit=self.limit,
                singular=system.is_singular,
                rescue=lambda r, system=system: system.cycle(r),
            )
            row = (solved.iterations, solved.residual, -1 if solved.rescued is None else solved.rescued)
            for column, value in zip(columns.values(), (*row, ready - began, time.perf_counter() - began), strict=True):
                column.append(value)
            fields.append(solved.values)
            histories[i, : len(solved.history)] = solved.history[: self.limit]
        stats = {name: np.array(values) for name, values in columns.items()} | {"history": histories}
        outcome = np.where(stats["residual"] <= tolerance, int(Outcome.SUCCESS), int(Outcome.NOT_CONVERGED))
        return Result(np.array(fields).reshape(first.shape), outcome, stats)
