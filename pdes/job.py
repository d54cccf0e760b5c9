"""One unit of generation: draw, solve and measure a fixed chunk of samples.

Sample i belongs to chunk i // size, and a chunk is always computed whole. Batched solves may round differently for other
batches, so this, and not luck, makes sample i the same bits in a run of 10 and of 10,000, on one process or many.
"""

import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass

import numpy as np

from pdes.coarsen import refine, restrict
from pdes.equation import Equation
from pdes.grammar import letters_of, split_derivative, tokenize
from pdes.problem import Problem, Solution
from pdes.random_fields import FieldLaw
from pdes.terms import evaluate
from solvers.errors import SettingError, SolverError
from solvers.grid import Grid
from solvers.result import Outcome

LATENT_LIMIT = 4096
"""Coefficients per sample up to which latents are stored; larger ones are drawn again from the sample's key."""


@dataclass(frozen=True)
class Job:
    """What every chunk of one generation shares."""

    problem: Problem
    resolution: tuple[int, ...]
    seed: int
    size: int

    @classmethod
    def of(cls, problem: Problem, resolution: int | tuple[int, ...], seed: int) -> "Job":
        """Settle the chunk size and whatever the solver settles once (a time step)."""
        resolution = problem.stored_grid(resolution if problem.domain.dimension else ()).shape  # 16 and (16, 16) are one job
        solver = problem.solver.prepare(problem, problem.compute_grid(resolution), seed)
        return cls(problem.replace(solver=solver), resolution, seed, problem.chunk_size(resolution))

    def digest(self) -> str:
        """Name of the job: two jobs of one digest make the same samples."""
        record = self.problem.to_json() | {
            "resolution": list(self.resolution),
            "seed": self.seed,
            "size": self.size,
        }
        return hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=12).hexdigest()

    def count(self, n: int) -> int:
        """Chunks needed for n samples."""
        return -(-n // self.size)

    def compute(self, chunk: int) -> dict[str, np.ndarray]:
        """All arrays of a chunk, named as in the file ("fields/u", "quality/label_error"), and "seconds"."""
        started = time.perf_counter()
        problem, stored = self.problem, self.problem.stored_grid(self.resolution)
        samples = np.arange(chunk * self.size, (chunk + 1) * self.size)
        attempts, causes = np.zeros(self.size, dtype=np.int64), np.zeros(self.size, dtype=np.int64)
        draws = [problem.draw(self.seed, int(i)) for i in samples]
        solution = solve(problem, problem.compute_grid(self.resolution), draws)
        outcome = _outcome(solution)
        fields = {name: restrict_fields(values, problem, self.resolution) for name, values in solution.fields.items()}
        stats = {name: np.array(values) for name, values in solution.stats.items()}
        while (failed := np.flatnonzero(outcome != Outcome.SUCCESS)).size:
            causes[failed] = outcome[failed]
            attempts[failed] += 1
            self._give_up(samples[failed], attempts[failed], causes[failed])
            for i in failed:
                draws[i] = problem.draw(self.seed, int(samples[i]), int(attempts[i]))
            again = solve(problem, problem.compute_grid(self.resolution), draws)
            for name, values in again.fields.items():
                fields[name][failed] = restrict_fields(values, problem, self.resolution)[failed]
            for name, values in again.stats.items():
                stats[name][failed] = np.asarray(values)[failed]
            outcome[failed] = _outcome(again)[failed]
        arrays = {f"fields/{name}": values for name, values in fields.items()}
        for name, law in problem.inputs.items():
            latent = np.stack([latents[f"inputs.{name}"] for _, latents in draws])
            if problem.is_periodic:  # filtered like the fields: points alone would alias what the stored grid does not carry
                values = restrict_fields(sampled(law, latent, problem.compute_grid(self.resolution)), problem, self.resolution)
            else:  # the function at the stored points: a coefficient of two values keeps two values
                values = law.evaluate(latent, stored)
            arrays[f"inputs/{name}"] = values
        arrays = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in arrays.items()}
        for name in problem.parameters:
            arrays[f"params/{name}"] = np.array([parameters[name] for parameters, _ in draws])
        for name in problem.field_laws():
            latent = np.stack([latents[name] for _, latents in draws])
            if 0 < latent[0].size <= LATENT_LIMIT:
                arrays[f"latent/{name}"] = latent
        arrays |= {f"quality/{name}": values for name, values in stats.items()}
        every = np.concatenate([values.reshape(self.size, -1) for values in fields.values()], axis=1)
        arrays |= {"quality/min": every.min(axis=1), "quality/max": every.max(axis=1), "quality/attempt": attempts}
        if problem.time is not None:
            arrays |= {f"quality/drift_{name}": drift for name, drift in self._drifts(fields, arrays).items()}
            arrays["quality/stationary_from"] = stationary_from(list(fields.values()))
        arrays["quality/label_error"] = self._label_errors(samples, draws, fields)
        arrays["index/sample_id"] = np.array([problem.sample_id(self.seed, int(i)) for i in samples], dtype=np.uint64)
        arrays["cause"] = causes
        arrays["seconds"] = np.array(time.perf_counter() - started)
        return arrays

    def _drifts(self, fields: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Largest change in time of the mean of each conserved density, relative to the mean of its absolute value."""
        problem, found = self.problem, {}
        wide = (-1, 1, *(1,) * problem.domain.dimension)
        values = {**fields, **{name: arrays[f"params/{name}"].reshape(wide) for name in problem.parameters}}
        for name, density in problem.conserved.items():
            density = np.broadcast_to(conserved_density(problem, density, values), next(iter(fields.values())).shape)
            space = tuple(range(2, density.ndim))
            means = density.mean(axis=space)
            size = np.maximum(np.abs(density[:, 0]).mean(axis=tuple(range(1, density.ndim - 1))), np.finfo(float).tiny)
            found[name] = np.abs(means - means[:, :1]).max(axis=1) / size
        return found

    def _label_errors(self, samples: np.ndarray, draws: list, fields: dict[str, np.ndarray]) -> np.ndarray:
        """Relative L2 distance to a solve on a grid twice as fine (and half the step), where measured; NaN elsewhere."""
        errors = np.full(self.size, np.nan)
        measured = np.flatnonzero(samples % self.problem.measure_every == 0)
        if measured.size:
            fine = refine(self.problem.compute_grid(self.resolution), 2)
            twin = self.problem.replace(solver=self.problem.solver.refined())
            better = solve(twin, fine, [draws[i] for i in measured])
            good = np.asarray(better.outcome) == Outcome.SUCCESS
            stored = self.problem.stored_grid(self.resolution)
            square, norm = np.zeros(measured.size), np.zeros(measured.size)
            for name, values in better.fields.items():
                reference = restrict(values, fine, stored)
                square += np.sum((reference - fields[name][measured]) ** 2, axis=tuple(range(1, reference.ndim)))
                norm += np.sum(reference**2, axis=tuple(range(1, reference.ndim)))
            errors[measured[good]] = np.sqrt(square[good] / np.maximum(norm[good], np.finfo(float).tiny))
        return errors

    def _give_up(self, samples: np.ndarray, attempts: np.ndarray, causes: np.ndarray) -> None:
        if attempts.max() >= self.problem.attempts:
            worst = int(np.argmax(attempts))
            raise SolverError(
                given=f"sample {samples[worst]} of problem {self.problem.name!r}, failing for {self.problem.attempts} draws"
                f" in a row ({Outcome(int(causes[worst])).name})",
                needed="a draw that the solver can solve",
                remedy="Take a smaller step or a finer grid (refine=2), or narrow the laws of the problem.",
            )


def solve(problem: Problem, grid: Grid, draws: list[tuple[dict, dict]]) -> Solution:
    """Evaluate drawn coefficients on `grid` and run the problem's solver."""
    fields = {
        name: sampled(law, np.stack([latents[name] for _, latents in draws]), grid)
        for name, law in problem.field_laws().items()
    }
    inputs = {name.partition(".")[2]: values for name, values in fields.items()}
    parameters = {name: np.array([parameters[name] for parameters, _ in draws]) for name in problem.parameters}
    if not problem.warm_up:
        return problem.solver(problem, grid, inputs, parameters, problem.times)
    times = np.asarray(problem.times)
    times = np.concatenate([times[:1] - problem.warm_up, times])
    solution = problem.solver(problem, grid, inputs, parameters, times)
    return dataclasses.replace(solution, fields={name: values[:, 1:] for name, values in solution.fields.items()})


def sampled(law: FieldLaw, latent: np.ndarray, grid: Grid) -> np.ndarray:
    """Values for a solve on `grid`; Fourier modes that a periodic grid cannot carry are left out, not aliased into others."""
    factor = -(-(2 * law.bandwidth + 1) // min(grid.shape)) if grid.is_periodic and grid.shape else 1
    if factor <= 1:
        return law.evaluate(latent, grid)
    fine = refine(grid, factor)
    return restrict(law.evaluate(latent, fine), fine, grid)


def conserved_density(problem: Problem, text: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """Values of a density such as "p^2 + q^2" in the unknowns and parameters of a problem."""
    equation = problem.equation
    written = {split_derivative(token.text, letters_of(equation.dimension))[0] for token in tokenize(text)}
    inputs = tuple(name for name in equation.unknowns if name in written)
    names = {"dimension": equation.dimension, "inputs": inputs, "unknowns": ("density",)}
    return np.asarray(evaluate(Equation(f"density = {text}", **names).sides[0][1], values, _no_slopes, np))


def _no_slopes(derivative, walk):
    raise SettingError(
        given=f"a conserved density with {derivative}",
        needed="unknowns and parameters only",
        remedy="Leave the derivative out.",
    )


def stationary_from(fields: list[np.ndarray], tolerance: float = 1e-5) -> np.ndarray:
    """First frame after which nothing changes by more than `tolerance` from frame to frame (relative L2); -1 if none is."""
    change = sum(np.sum(np.diff(v, axis=1) ** 2, axis=tuple(range(2, v.ndim))) for v in fields)
    size = sum(np.sum(v[:, 1:] ** 2, axis=tuple(range(2, v.ndim))) for v in fields)
    moving = np.sqrt(change) > tolerance * np.sqrt(np.maximum(size, np.finfo(float).tiny))
    last = np.where(moving.any(axis=1), moving.shape[1] - np.argmax(moving[:, ::-1], axis=1), 0)
    return np.where(last < moving.shape[1], last, -1)


def restrict_fields(values: np.ndarray, problem: Problem, resolution: int | tuple[int, ...]) -> np.ndarray:
    """From the grid of the solve to the stored one."""
    return restrict(values, problem.compute_grid(resolution), problem.stored_grid(resolution))


def _outcome(solution: Solution) -> np.ndarray:
    """Codes per sample; values that are not finite count as a blow-up, whatever the solver said."""
    outcome = np.array(solution.outcome, dtype=np.int64)
    for values in solution.fields.values():
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        outcome = np.where(~finite & (outcome == Outcome.SUCCESS), Outcome.BLOW_UP, outcome)
    return outcome
