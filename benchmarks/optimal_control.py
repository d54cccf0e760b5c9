"""Optimal control through a learned solver, beside the adjoint of the classical one.

    min over c of  1/2 |w(T; f) - w*|^2 / |w*|^2 + alpha/2 |c|^2,     f = sum of ten Fourier modes with amplitudes c

    python -m benchmarks.optimal_control [--updates 600] [--iterations 60] [--seeds 3]

Flow on a torus under a steady force. The learned solver has seen random states and forces and the equation's residual, no
solution. Gradients go through its roll-out by back-propagation, and through the exponential integrator in the same way,
which is the adjoint of its discrete steps. Both are checked by central differences. Whoever found it, a control is scored by
the package's classical solver, never by a network.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import pdes
import sciml
from benchmarks.rows import Rows
from pdes import Problem, grf
from pdes.semilinear import Semilinear
from sciml.operators.neural_stagger import NeuralStagger
from sciml.operators.neural_stagger.discretisation import Spectral
from sciml.operators.neural_stagger.stepping import Stepper
from solvers.grid import Grid

DT, STEPS, SIZE, ALPHA, RATE = 0.1, 10, 32, 1e-4, 0.15
MODES = ((1, 0), (0, 1), (1, 1), (2, 1), (1, 2))


def problem() -> Problem:
    """Forced flow that starts anywhere: random vorticity, random force."""
    law = grf(tau=3, alpha=4, sigma=60, modes=8)
    return pdes.get("navier_stokes_forcing").replace(
        initial={"w": law}, inputs={"f": law}, time=(0, DT * STEPS), frames=STEPS + 1
    )


@dataclass(frozen=True)
class Control:
    """One task: start, target, and the modes of the force; fields (1, *space), float64."""

    grid: Grid
    nu: float
    start: torch.Tensor
    target: torch.Tensor
    modes: torch.Tensor
    hidden: np.ndarray

    def force(self, c: torch.Tensor) -> torch.Tensor:
        """(1, *space) of amplitudes (10,)."""
        return torch.einsum("k,kxy->xy", c, self.modes.to(c.dtype))[None]

    def objective(self, final: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Distance to the target and cost of the force."""
        target = self.target.to(final.dtype)
        return 0.5 * (final - target).square().mean() / target.square().mean() + ALPHA / 2 * c.square().sum()

    def scored(self, c: np.ndarray) -> float:
        """The objective by the classical solver of the package, with half the step."""
        final = classical(problem(), self.grid, self.start.numpy(), self.force(torch.as_tensor(c)).numpy(), self.nu)
        return float(self.objective(torch.as_tensor(final), torch.as_tensor(c)))


def classical(task: Problem, grid: Grid, start: np.ndarray, force: np.ndarray, nu: float) -> np.ndarray:
    """Final vorticity by the exponential integrator (JAX)."""
    times, given = np.array([0.0, DT * STEPS]), {"w": start, "f": force}
    return Semilinear(dt=DT / 2)(task, grid, given, {"nu": np.full(len(start), nu)}, times).fields["w"][:, -1]


def control(seed: int, size: int = SIZE) -> Control:
    """A task whose target a hidden force reaches."""
    task = problem()
    grid, rng = task.domain.grid(size), np.random.default_rng(seed)
    x, y = grid.mesh()
    modes = np.stack([wave(i * x + j * y) for i, j in MODES for wave in (np.sin, np.cos)])
    law = task.initial["w"]
    start = law.evaluate(law.sample(rng), grid)[None]
    hidden = rng.standard_normal(len(modes))
    nu = 1 / 40
    target = classical(task, grid, start, np.einsum("k,kxy->xy", hidden, modes)[None], nu)
    return Control(grid, nu, torch.as_tensor(start), torch.as_tensor(target), torch.as_tensor(modes), hidden)


def by_adjoint(task: Control) -> Callable[[torch.Tensor], torch.Tensor]:
    """Amplitudes to objective through ETDRK4; its gradient by back-propagation is the adjoint of the discrete steps."""
    stepper = Stepper(Spectral(problem().equation, task.grid), "etdrk4", DT)

    def value(c: torch.Tensor) -> torch.Tensor:
        u, known = task.start[:, None].to(c.dtype), {"nu": task.nu, "f": task.force(c)}
        for _ in range(STEPS):
            u = stepper.explicit(u, known)
        return task.objective(u[:, 0], c)

    return value


def by_network(task: Control, solver: NeuralStagger) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same through a learned solver's roll-out."""

    def value(c: torch.Tensor) -> torch.Tensor:
        u, f = task.start[:, None].to(c.dtype), task.force(c)[:, None]
        given = [torch.cat([u, f], 1)]
        for n in range(1, STEPS + 1):
            ahead = min(n, solver.config.time)
            u = solver.advance(given[n - ahead], ahead)
            given.append(torch.cat([u, f], 1))
        return task.objective(u[:, 0], c)

    return value


def gradient(value: Callable, c: np.ndarray, dtype: torch.dtype = torch.float64) -> tuple[float, np.ndarray]:
    """Objective and its gradient."""
    at = torch.as_tensor(c).to(dtype).requires_grad_()
    found = value(at)
    (slope,) = torch.autograd.grad(found, at)
    return float(found.detach()), slope.double().numpy()


def differences(value: Callable, c: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Gradient by central differences, float64."""
    rows = []
    for i in range(len(c)):
        shift = np.zeros(len(c))
        shift[i] = step
        with torch.no_grad():
            ends = [float(value(torch.as_tensor(c + sign * shift))) for sign in (1, -1)]
        rows.append((ends[0] - ends[1]) / (2 * step))
    return np.array(rows)


def optimised(value: Callable, count: int, iterations: int, dtype: torch.dtype) -> tuple[np.ndarray, list[np.ndarray], float]:
    """Amplitudes that Adam finds from zero, those on its way, and seconds per gradient."""
    c = torch.zeros(count, dtype=dtype, requires_grad=True)
    adam, path, began = torch.optim.Adam([c], lr=RATE), [], time.perf_counter()
    for _ in range(iterations):
        path.append(c.detach().double().numpy().copy())
        adam.zero_grad()
        value(c).backward()
        adam.step()
    return c.detach().double().numpy(), path, (time.perf_counter() - began) / iterations


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two gradients."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def main(arguments: Sequence[str] | None = None) -> Rows:
    """Train, control, score; returns the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--space", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--name", default="optimal_control", help="name of the results file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = Rows(options.name, {"updates": options.updates, "iterations": options.iterations, "dt": DT, "steps": STEPS})
    for seed in range(options.seeds):
        task = control(1000 + seed)
        zero = np.zeros(len(task.modes))
        adjoint = by_adjoint(task)
        if (key := f"adjoint seed {seed}") not in rows:
            checked = differences(adjoint, zero + 0.3)
            found, _, seconds = optimised(adjoint, len(zero), options.iterations, torch.float64)
            slope = gradient(adjoint, zero + 0.3)[1]
            rows.add(key, {
                "solver": "adjoint", "seed": seed, "before": task.scored(zero), "after": task.scored(found),
                "seconds_per_gradient": seconds,
                "gradient_error": float(np.linalg.norm(slope - checked) / np.linalg.norm(checked)),
                "distance_to_hidden": float(np.linalg.norm(found - task.hidden) / np.linalg.norm(task.hidden)),
            })  # fmt: skip
            print(rows[key], flush=True)
        for space in options.space:
            if (key := f"learned space {space} seed {seed}") in rows:
                continue
            made: Any = NeuralStagger(
                "resnet", space=space, settings={"width": 16, "layers": 5}, resolution=SIZE, states=128, dt=DT
            )
            epochs = max(1, options.updates // 16)
            solver: Any = sciml.fit(
                made, problem(), epochs=epochs, batch_size=8, lr=4e-3, seed=seed, validation=False, progress=False
            )
            learned = by_network(task, solver.operator)
            found, path, seconds = optimised(learned, len(zero), options.iterations, torch.float32)
            angles = [
                cosine(gradient(learned, c, torch.float32)[1], gradient(adjoint, c)[1]) for c in path[:: max(1, len(path) // 8)]
            ]
            rows.add(key, {
                "solver": "learned", "space": space, "seed": seed, "before": task.scored(zero), "after": task.scored(found),
                "believed": gradient(learned, found, torch.float32)[0], "seconds_per_gradient": seconds,
                "cosine_to_adjoint": angles, "training_seconds": solver.seconds,
                "distance_to_hidden": float(np.linalg.norm(found - task.hidden) / np.linalg.norm(task.hidden)),
            })  # fmt: skip
            print(rows[key], flush=True)
    return rows


if __name__ == "__main__":
    main()
