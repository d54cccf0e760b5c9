"""One neural ODE through several libraries: same weights, pair, tolerance and first step; prediction and training step.

    python -m benchmarks.nde_race [--repeats 40]

Dopri5 (SciPy's RK45 is the same pair with an error estimate 1.5 times as large), float64, 1e-6, 128 items of 64 components, two
tanh layers, one thread. "ours" is `RegularizedSolve` with R_E and R_N; R_S has a row of its own. It should cost at most 1.15
times the plain solve of the same library per evaluation of f. torchode (if it is installed) steps every item by itself, so that
it evaluates f for the whole batch as often as its slowest item asks, and has no first step in common with the others' norm.
The racers take turns, so that a busy machine slows all of them. Times are medians of the wall clock; the ratio to the plain
solve is one of processor time (lower quartiles), which others on the machine disturb least. JAX is compiled before.
"""

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import diffrax
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.integrate import solve_ivp
from torchdiffeq import odeint

from benchmarks.record import record, version
from sciml.nde import RegularizedSolve
from solvers.precision import in_float64, jax

import jax.numpy as jnp  # isort: skip

TOLERANCE, FIRST, PAIR, ITEMS, SIZE = 1e-6, 0.01, "dopri5", 128, 64
WEIGHTS = {"R_E": 0.1, "R_N": 0.1, "R_S": 1e-3}


class Problem:
    """The network's weights, the states where it starts, and its solves by each library."""

    def __init__(self, seed: int = 4):
        rng = np.random.default_rng(seed)
        self.w1, self.w2 = (scale * rng.standard_normal((SIZE, SIZE)) / SIZE**0.5 for scale in (2.0, 1.0))
        self.y0 = rng.standard_normal((ITEMS, SIZE))
        self.t1, self.t2 = (torch.as_tensor(w).requires_grad_() for w in (self.w1, self.w2))
        self.start = torch.as_tensor(self.y0)
        self.evaluations: dict[str, int] = {}

    def f_torch(self, t, y):
        """The right-hand side, on torch."""
        return torch.tanh(torch.tanh(y @ self.t1) @ self.t2)

    def torchdiffeq(self):
        """Loss by plain torchdiffeq."""
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        options = {"first_step": FIRST, "step_t": times[1:]}
        y: Any = odeint(self.f_torch, self.start, times, rtol=TOLERANCE, atol=TOLERANCE, method=PAIR, options=options)
        return (y[-1] ** 2).mean()

    def ours_on_torch(self, names: tuple[str, ...]):
        """Loss with regularisers by our solve on torchdiffeq."""
        solve = RegularizedSolve("torch", PAIR, TOLERANCE, TOLERANCE, names, first_step=FIRST)
        y, s = solve(self.f_torch, self.start, [0.0, 1.0])
        self.evaluations["torchdiffeq"] = s.evaluations
        return (y[-1] ** 2).mean() + sum(WEIGHTS[n] * s.regularisers[n] for n in names)

    def torchode(self, compiled: bool):
        """Loss by torchode, as a call."""
        package: Any = importlib.import_module("torchode")
        term = package.ODETerm(self.f_torch)
        control = package.IntegralController(TOLERANCE, TOLERANCE, term=term)
        solver: Any = package.AutoDiffAdjoint(package.Dopri5(term=term), control, backprop_through_step_size_control=False)
        solver = torch.compile(solver) if compiled else solver
        ends = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(ITEMS, 2)
        first = torch.full((ITEMS,), FIRST, dtype=torch.float64)

        def solve():
            found = solver.solve(package.InitialValueProblem(self.start, t_eval=ends), dt0=first)
            self.evaluations["torchode"] = int(found.stats["n_f_evals"].max())
            return (found.ys[:, -1] ** 2).mean()

        return solve

    def diffrax(self, weights):
        """Loss by plain diffrax."""
        w1, w2 = weights
        found: Any = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, _: jnp.tanh(jnp.tanh(y @ w1) @ w2)), diffrax.Dopri5(), 0.0, 1.0, FIRST,
            jnp.asarray(self.y0), stepsize_controller=diffrax.PIDController(TOLERANCE, TOLERANCE), max_steps=64,
        )  # fmt: skip
        return (found.ys[-1] ** 2).mean()

    def ours_on_jax(self, names: tuple[str, ...], weights):
        """Loss with regularisers by our solve on diffrax."""
        w1, w2 = weights
        solve = RegularizedSolve("jax", PAIR, TOLERANCE, TOLERANCE, names, first_step=FIRST, max_steps=64)
        y, s = solve(lambda t, y, _: jnp.tanh(jnp.tanh(y @ w1) @ w2), jnp.asarray(self.y0), jnp.array([0.0, 1.0]))
        return (y[-1] ** 2).mean() + sum(WEIGHTS[n] * s.regularisers[n] for n in names)

    def scipy(self):
        """Loss by SciPy's solver."""
        calls = [0]

        def f(t, y):
            calls[0] += 1
            return np.tanh(np.tanh(y.reshape(ITEMS, SIZE) @ self.w1) @ self.w2).ravel()

        y = solve_ivp(f, (0, 1), self.y0.ravel(), rtol=TOLERANCE, atol=TOLERANCE, first_step=FIRST, method="RK45").y[:, -1]
        self.evaluations["scipy"] = calls[0]
        return (y**2).mean()


def without_graph(loss: Callable) -> Callable:
    """A prediction."""

    def call():
        with torch.no_grad():
            return float(loss())

    return call


def racers(p: Problem) -> dict[str, tuple[Callable, Callable | None]]:
    """Prediction and training step of each."""
    found: dict[str, tuple[Callable, Callable | None]] = {}

    def on_torch(name: str, loss: Callable) -> None:
        found[name] = (without_graph(loss), lambda: torch.autograd.grad(loss(), (p.t1, p.t2)))

    def on_jax(name: str, loss: Callable) -> None:
        value, gradient = jax.jit(loss), jax.jit(jax.grad(loss))
        weights = tuple(map(jnp.asarray, (p.w1, p.w2)))
        found[name] = (lambda: float(value(weights)), lambda: jax.block_until_ready(gradient(weights)))

    on_torch("torchdiffeq", p.torchdiffeq)
    on_torch("ours on torchdiffeq", partial(p.ours_on_torch, ("R_E", "R_N")))
    on_torch("ours on torchdiffeq, R_S", partial(p.ours_on_torch, ("R_S",)))
    on_jax("diffrax", p.diffrax)
    on_jax("ours on diffrax", partial(p.ours_on_jax, ("R_E", "R_N")))
    on_jax("ours on diffrax, R_S", partial(p.ours_on_jax, ("R_S",)))
    if version("torchode"):
        on_torch("torchode", p.torchode(compiled=False))
    found["scipy"] = (p.scipy, None)
    return found


@in_float64
def main(arguments: Sequence[str] | None = None) -> dict:
    """Time all of them, print and store the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=40)
    o = parser.parse_args(arguments)
    torch.set_num_threads(1)
    problem = Problem()
    all_racers = racers(problem)
    answers = {name: float(calls[0]()) for name, calls in all_racers.items() if "ours" not in name}
    laps: dict[tuple[str, int], list[tuple[float, float]]] = {
        (name, k): [] for name, both in all_racers.items() for k in (0, 1) if both[k]
    }
    for lap in range(o.repeats + 1):
        for name, k in laps:
            call = all_racers[name][k]
            assert call is not None
            began, busy = time.perf_counter(), time.process_time()
            call()
            if lap:  # the first compiles
                laps[name, k].append((1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - busy)))
    rows = [_row(name, laps, problem, answers) for name in all_racers]
    shown = Table("library", "evaluations", "prediction ms", "training step ms", "to plain: prediction", "training step")
    for row in rows:
        cells = [row["prediction_ms"], row["training_step_ms"], row["prediction_ratio"], row["training_step_ratio"]]
        shown.add_row(row["library"], str(row["evaluations"]), *("–" if c is None else f"{c:.2f}" for c in cells))
    Console().print(shown)
    settings = {"pair": PAIR, "tolerance": TOLERANCE, "items": ITEMS, "size": SIZE, "threads": 1, "repeats": o.repeats}
    record("nde_race", {"settings": settings, "rows": rows})
    return {"rows": rows}


def _row(name: str, laps: dict, problem: Problem, answers: dict) -> dict:
    """Times of a racer, and its ratios to the plain solve of its library."""
    plain = next((n for n in ("torchdiffeq", "diffrax") if name.startswith("ours") and n in name), None)
    steps = problem.evaluations
    counted = steps["torchode"] if name == "torchode" else steps["scipy"] if name == "scipy" else steps["torchdiffeq"]
    row: dict[str, Any] = {"library": name, "evaluations": counted, "answer": answers.get(name)}
    for k, kind in enumerate(("prediction", "training_step")):
        if (name, k) not in laps:
            row |= {f"{kind}_ms": None, f"{kind}_ratio": None}
            continue
        wall, busy = np.array(laps[name, k]).T
        row |= {f"{kind}_ms": float(np.median(wall)), f"{kind}_quartiles": np.quantile(wall, [0.25, 0.75]).tolist()}
        row[f"{kind}_busy_ms"] = float(np.quantile(busy, 0.25))
        row[f"{kind}_ratio"] = None
        if plain:
            theirs = np.array(laps[plain, k])[:, 1]
            row[f"{kind}_ratio"] = float(np.quantile(busy, 0.25) / np.quantile(theirs, 0.25))
    return row


if __name__ == "__main__":
    main()
