"""NeuralStagger beside classical solvers: error, residual, arithmetic and time for factors in space and time, without labels.

    python -m benchmarks.neural_stagger [--parts table baselines losses cost smaller] [--seeds 3] [--updates 300]

Four problems: forced vorticity on a torus, a cavity with a sliding lid, Burgers, and a conservation law in three dimensions.
Every network is trained by the residual of the trapezoid alone, from the problem's initial law and states of its own. Rows
are stored as they come, in results/neural_stagger.json; a second call goes on where the first stopped. Times are those of
one sample on one thread.

    table      every factor, trained anew per seed: error after the horizon, residual, FLOPs, training time
    baselines  persistence, one Picard sweep per step, the scheme itself (the floor of any minimiser), interleaved coarse solves
    losses     the same backbone trained by residual, data, both, and a residual centred in time, for equal seconds
    smaller    128 x 128: error and time of networks that use the larger reach of a sub-grid to be smaller
    cost       time per step of networks and of the classical solver on fine and coarse grids; speed-up and break-even
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import pdes
import sciml
from benchmarks.pages import number, section, shown
from benchmarks.rows import Rows, finished
from pdes import Periodic, Problem, grf, uniform
from pdes.dataset import Dataset
from pdes.semilinear import Semilinear
from sciml.operators.classical import ClassicalSolver
from sciml.operators.neural_stagger import NeuralStagger
from sciml.operators.neural_stagger.decomposition import InterleavedDecomposition
from sciml.operators.neural_stagger.discretisation import Spectral
from sciml.operators.neural_stagger.floor import information_floor
from sciml.operators.neural_stagger.physics import Physics, draw_states
from sciml.operators.neural_stagger.stepping import Stepper
from sciml.tasks import as_task
from sciml.timing import median_seconds
from solvers.errors import UserError
from solvers.files import write_bytes
from solvers.grid import Axis, Grid

DOCS = Path(__file__).parents[1] / "docs" / "neural_stagger.md"
SPACE, TIME = (1, 2, 4, 8), (1, 2, 4)
TEST_SEED, TESTS, STATES = 991, 8, 128

conservation_3d = Problem(
    name="conservation_3d",
    equation="u_t = nu*lap(u) - u*u_x - u*u_y - u*u_z",
    domain=Periodic(x=(0, 1), y=(0, 1), z=(0, 1)),
    parameters={"nu": uniform(0.01, 0.03)},
    initial={"u": grf(tau=5, alpha=3, sigma=60, modes=6)},
    time=(0, 0.1),
    compute_at_least=32,
)


@dataclass(frozen=True)
class Case:
    """A problem, the grid and step on which it is learned, and the steps after which the error is taken."""

    problem: Problem
    resolution: int
    dt: float
    steps: int
    backbone: Mapping[str, Any] = field(default_factory=lambda: {"width": 12, "layers": 4})
    batch: int = 4

    @property
    def timed(self) -> Problem:
        """The problem over the horizon, every step stored."""
        return self.problem.replace(time=(0.0, self.dt * self.steps), frames=self.steps + 1)


CASES = {
    "vorticity": Case(pdes.get("navier_stokes"), 64, 0.1, 10),
    "burgers": Case(pdes.get("burgers"), 256, 0.02, 20, {"width": 16, "layers": 5, "kernel": 5}, batch=16),
    "cavity": Case(pdes.get("cavity"), 32, 0.02, 20),
    "conservation_3d": Case(conservation_3d, 16, 0.01, 10),
}


def operator(case: Case, space: int, time: int, **more: Any) -> NeuralStagger:
    """An untrained sub-solver system of this case."""
    settings = {"settings": dict(case.backbone), "resolution": case.resolution, "states": STATES, "pool": 32, "dt": case.dt}
    return NeuralStagger(space=space, time=time, **({"backbone": "resnet"} | settings | more))


def trained(case: Case, space: int, time: int, updates: int, seed: int, **more: Any):
    """Fit from the equation alone, for so many updates."""
    epochs = max(1, round(updates / (STATES / case.batch)))
    made = operator(case, space, time, **more)
    options: dict[str, Any] = {"epochs": epochs, "batch_size": case.batch, "seed": seed, "progress": False, "lr": 4e-3}
    return sciml.fit(made, case.timed, validation=False, **options)


def test_set(case: Case) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Dataset of first frames, inputs of the first step, and the true frames (item, step, field, *space), float64.

    On a torus they are those of the problem's solver on a grid at least twice as fine; in the cavity, small steps on the
    same grid.
    """
    if case.problem.is_periodic:
        data = pdes.generate(case.timed, n=TESTS, resolution=case.resolution, seed=TEST_SEED, progress=False)
        task = as_task("autoregressive", data)
        first = task.batch(np.flatnonzero(np.diff(np.append(-1, task.sample_of(np.arange(len(task))))))).inputs
        names = case.problem.equation.evolving
        return data, first, np.stack([data.fields[name][:, 1:] for name in names], 2).astype(np.float64)
    states = draw_states(case.timed, TESTS, case.resolution, 1, {"dt": case.dt, "walls": {}, "stencil": ""}, TEST_SEED)
    task = as_task(None, states)
    first = task.all().inputs
    finer = 8
    stepper, p, past = _physics(case, states, case.dt / finer).values()
    frames, u = [], past
    for n in range(case.steps * finer):
        u = stepper.step([u], p)
        if (n + 1) % finer == 0:
            frames.append(u.numpy())
    return states, first, np.stack(frames, 1)


def _physics(case: Case, data: Dataset, dt: float, scheme: str = "trapezoid") -> dict[str, Any]:
    """Stepper, known coefficients and first frame, float64, of the first frames of a dataset."""
    walls = {} if case.problem.is_periodic else {"problem": case.problem.name}
    task = as_task("states" if "step" in data.provenance else "autoregressive", data)
    constants = {k: float(v[0]) for k, v in data.parameters.items() if k not in task.signature.parameters}
    physics = Physics(task.signature, str(data.provenance["equation"]), constants, walls, "", scheme, dt)
    rows = np.flatnonzero(np.diff(np.append(-1, task.sample_of(np.arange(len(task))))))
    inputs = torch.as_tensor(task.batch(rows).inputs, dtype=torch.float64)
    return {"stepper": physics.at(inputs.shape[2:]), "known": physics.known(inputs), "first": physics.past(inputs)[0]}


def errors_of(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean relative L2 of the first and the last step of (item, step, field, *space)."""
    flat = [a.reshape(*a.shape[:2], -1) for a in (found, truth)]
    with np.errstate(all="ignore"):
        each = np.linalg.norm(flat[0] - flat[1], axis=-1) / np.linalg.norm(flat[1], axis=-1)
    return float(each[:, 0].mean()), float(each[:, -1].mean())


def table(case: Case, name: str, rows: Rows, seeds: Sequence[int], updates: int, tests: tuple) -> None:
    """Every factor and seed."""
    _, first, truth = tests
    for seed in seeds:
        for space in SPACE:
            for time in TIME:
                key = f"{name} space {space} time {time} seed {seed}"
                if key in rows:
                    continue
                result = finished(trained(case, space, time, updates, seed))
                solver: Any = result.operator
                found = solver.rolled_out(first, case.steps)
                one, last = errors_of(found, truth)
                certificate = solver.certified(first, 1)[1]
                x = torch.as_tensor(first)
                with torch.no_grad():
                    _, terms, sizes = solver.window_terms(x, max(2, time))
                total, part = flops(solver, x[:1])
                rows.add(key, {
                    "case": name, "space": space, "time": time, "seed": seed, "error_first": one, "error_horizon": last,
                    "relative_residual": float((torch.stack(terms).mean() / sizes[0].mean()).sqrt()),
                    "residual_after_one_sweep": float(certificate.residual.mean()),
                    "lost": float(result.history.rows[-1].get("pool_lost", 0)), "parameters": solver.parameter_count,
                    "flops_step": total, "flops_sub_solver": part, "training_seconds": result.seconds, "updates": updates,
                })  # fmt: skip
                print(key, f"{one:.2e} {last:.2e} ({result.seconds:.0f} s)", flush=True)


def flops(solver: NeuralStagger, x: torch.Tensor) -> tuple[int, int]:
    """Multiply-adds times two of a step, and of one sub-solver."""
    split = solver.decomposition(x.shape[2:])
    place = solver._place(split, x)
    counts = []
    for numbers in (list(range(split.count)), [0]):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            solver.advance_parts(split.split(x)[:, numbers], place[:, numbers], 1, numbers=numbers)
        counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def baselines(case: Case, name: str, rows: Rows, tests: tuple) -> None:
    """What costs nothing to train."""
    data, _, truth = tests
    made = _physics(case, data, case.dt)
    stepper, p, first = made["stepper"], made["known"], made["first"]

    def march(step) -> np.ndarray:
        frames, u = [], first
        for _ in range(case.steps):
            u = step(u)
            frames.append(u.numpy())
        return np.stack(frames, 1)

    steps = {
        "persistence": lambda u: u,
        "picard 1": lambda u: stepper.sweep(u, [u], p)[0],
        "picard 2": lambda u: stepper.corrected(u, [u], p, 2)[0],
        "scheme": lambda u: stepper.step([u], p, 1e-9),
    }
    for label, step in steps.items():
        if f"{name} {label}" not in rows:
            one, last = errors_of(march(step), truth)
            rows.add(f"{name} {label}", {"case": name, "baseline": label, "error_first": one, "error_horizon": last})
            print(name, label, f"{one:.2e} {last:.2e}", flush=True)
    if not case.problem.is_periodic:
        return
    for space in SPACE[1:]:
        key = f"{name} interleaved {space}"
        if key not in rows:
            one, last = errors_of(interleaved(case, stepper, p, first, space), truth)
            row = {"case": name, "baseline": "interleaved", "space": space, "error_first": one, "error_horizon": last}
            rows.add(key, row | {"information_floor": floor_of(case, stepper, p, first, space)})
            print(key, f"{one:.2e} {last:.2e}", flush=True)


def interleaved(case: Case, stepper: Stepper, p: Mapping, first: torch.Tensor, space: int) -> np.ndarray:
    """Every sub-grid on its own, by ETDRK4 with the same step: (item, step, field, *space)."""
    grid = stepper.space.grid
    split = InterleavedDecomposition(grid.shape, (space,) * grid.dimension)
    parts = split.split(first)
    fields = {k: v for k, v in p.items() if isinstance(v, torch.Tensor) and tuple(v.shape[1:]) == grid.shape}
    answers = []
    for q, offset in enumerate(split.offsets):
        axes = [
            Axis(a.name, a.size // space, a.start + o * a.spacing, a.stop + o * a.spacing)
            for a, o in zip(grid.axes, offset, strict=True)
        ]
        known = dict(p) | {k: split.split(v[:, None])[:, q, 0] for k, v in fields.items()}
        march = Stepper(Spectral(stepper.space.equation, Grid(tuple(axes))), "etdrk4", case.dt)
        u, frames = parts[:, q], []
        for _ in range(case.steps):
            u = march.step([u], known, 1e-6) if march.share else march.explicit(u, known)
            frames.append(u)
        answers.append(torch.stack(frames, 1))  # (item, step, field, *sub)
    whole = torch.stack(answers, 2)  # (item, step, sub-grid, field, *sub)
    return split.join(whole.flatten(0, 1)).unflatten(0, whole.shape[:2]).numpy()


def floor_of(case: Case, stepper: Stepper, p: Mapping, first: torch.Tensor, space: int) -> float:
    """Linear information floor of one step: the diffusive part of the equation on the spectrum of the test states."""
    grid = stepper.space.grid
    axes = tuple(range(2, first.ndim))
    spectrum = torch.fft.fftn(first, dim=axes).abs().square().mean((0, 1)).numpy()
    k = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(a.size, a.spacing) for a in grid.axes], indexing="ij")
    nu = p["nu"]
    nu = float(nu.mean()) if isinstance(nu, torch.Tensor) else nu
    return information_floor(spectrum, np.exp(-nu * sum(c**2 for c in k) * case.dt), space)


def losses(case: Case, name: str, rows: Rows, seeds: Sequence[int], seconds: float, tests: tuple) -> None:
    """The same backbone and time by residual, labels, both, and a PINO-type residual (centred in time, whole grid)."""
    _, first, truth = tests
    labelled = pdes.generate(case.timed, n=64, resolution=case.resolution, seed=7, progress=False)
    kinds: dict[str, tuple[dict, Any]] = {
        "physics": ({"learn": "physics"}, case.timed),
        "plain residual": ({"learn": "physics", "norm": "plain"}, case.timed),
        "physics, from a sweep": ({"learn": "physics", "start": "sweep"}, case.timed),
        "data": ({"learn": "data"}, labelled),
        "mixed": ({"learn": "mixed"}, labelled),
        "physics, whole grid": ({"learn": "physics", "space": 1}, case.timed),
        "centred in time, whole grid": ({"learn": "physics", "space": 1, "scheme": "centred", "norm": "plain", "rollout": 4,
                                         "gradient": "full"}, case.timed),
    }  # fmt: skip
    options: dict[str, Any] = {"batch_size": case.batch, "lr": 4e-3}
    made = {kind: lambda more=more: operator(case, **({"space": 2, "time": 1} | more)) for kind, (more, _) in kinds.items()}
    for kind, (_, data) in kinds.items():  # of all kinds before the first training: the machine is in one state
        key = f"{name} epochs {kind}"
        if key not in rows:
            rows.add(key, {"case": name, "seconds": seconds, "epochs": calibrated(made[kind](), data, seconds, options)})
    for seed in seeds:
        for kind, (_, data) in kinds.items():
            key = f"{name} loss {kind} seed {seed}"
            if key in rows:
                continue
            epochs = rows[f"{name} epochs {kind}"]["epochs"]
            result = sciml.fit(made[kind](), data, validation=False, epochs=epochs, seed=seed, progress=False, **options)
            finished(result)
            one, last = errors_of(np.asarray(result.operator.rolled_out(first, case.steps)), truth)
            row = {"case": name, "loss": kind, "seed": seed, "error_first": one, "error_horizon": last}
            rows.add(key, row | {"training_seconds": result.seconds, "epochs": epochs})
            print(key, f"{one:.2e} {last:.2e} ({result.seconds:.0f} s)", flush=True)


def calibrated(made: NeuralStagger, data: Any, seconds: float, options: Mapping[str, Any]) -> int:
    """Epochs that take so long on this machine, from the second and third of a short training (the first fills caches)."""
    passed = sciml.fit(made, data, validation=False, epochs=3, seed=0, progress=False, **options).history["seconds"]
    return max(1, round(2 * seconds / (passed[2] - passed[0])))


def cost(case: Case, name: str, rows: Rows, tests: tuple) -> None:
    """Milliseconds per step of one sample: networks of every factor, and the classical solver on finer and coarser grids."""
    data, first, truth = tests
    one = first[:1]
    for space in SPACE:
        key = f"{name} cost space {space}"
        if key in rows:
            continue
        solver = trained(case, space, 1, 1, 0).operator
        loop = trained(case, space, 1, 1, 0, backend="loop").operator
        row = {"case": name, "space": space} | times_of(solver, loop, torch.as_tensor(one))
        rows.add(key, row)
        print(key, {k: round(v, 3) for k, v in row.items() if k.startswith("ms")}, flush=True)
    if not case.problem.is_periodic:
        return
    final = as_task("final", data)
    batch = final.all()
    for coarsen in SPACE:
        for dt in (None, case.dt, 2 * case.dt, 5 * case.dt):
            key = f"{name} classical coarsen {coarsen} dt {dt or 'own'}"
            if key in rows:
                continue
            problem = case.timed if dt is None else case.timed.replace(frames=2, solver=Semilinear(dt=dt))
            rung = ClassicalSolver(problem, coarsen=coarsen)
            try:
                rung.bind(final)
                found = rung.predict(batch.inputs).astype(np.float64)
                seconds = median_seconds(lambda r=rung: r.predict(batch.inputs[:1]), budget=1.0)
            except UserError as refused:
                print(key, refused)
                continue
            error = float(errors_of(found[:, None], truth[:, -1:])[1])
            rows.add(key, {"case": name, "coarsen": coarsen, "dt": dt, "error_horizon": error, "ms_horizon": 1e3 * seconds})
            print(key, f"{error:.2e} {1e3 * seconds:.2f} ms", flush=True)


@torch.no_grad()
def times_of(solver: Any, loop: Any, x: torch.Tensor) -> dict[str, float]:
    """Milliseconds of a step in one batched call, one sub-solver after the other, and of one sub-solver alone."""
    split = solver.decomposition(x.shape[2:])
    place, parts = solver._place(split, x), split.split(x)
    calls = {
        "ms_step": lambda: solver.advance_parts(parts, place),
        "ms_step_loop": lambda: loop.advance_parts(parts, place),
        "ms_sub_solver": lambda: solver.advance_parts(parts[:, :1], place[:, :1], numbers=[0]),
    }
    return {label: 1e3 * median_seconds(call, budget=1.0) for label, call in calls.items()}


def step_times(case: Case, name: str, rows: Rows, tests: tuple) -> None:
    """Milliseconds per step of a roll-out of one sample, taking apart and joining included, for every factor."""
    first = tests[1][:1]
    for space in SPACE:
        for time in TIME:
            key = f"{name} step space {space} time {time}"
            if key in rows:
                continue
            solver: Any = trained(case, space, time, 1, 0).operator
            seconds = median_seconds(lambda s=solver: s.rolled_out(first, case.steps), budget=1.0) / case.steps
            rows.add(key, {"case": name, "space": space, "time": time, "ms_rollout_step": 1e3 * seconds})
            print(key, f"{1e3 * seconds:.3f} ms", flush=True)


LARGE = Case(pdes.get("navier_stokes"), 128, 0.1, 10)
SMALLER: dict[str, tuple[str, dict, int]] = {
    "resnet 12 x 4": ("resnet", {"width": 12, "layers": 4}, 1),
    "resnet 12 x 4, space 4": ("resnet", {"width": 12, "layers": 4}, 4),
    "resnet 8 x 3, space 4": ("resnet", {"width": 8, "layers": 3}, 4),
    "resnet 6 x 2, space 4": ("resnet", {"width": 6, "layers": 2}, 4),
    "resnet 4 x 2, space 4": ("resnet", {"width": 4, "layers": 2}, 4),
    "resnet 4 x 3, space 4": ("resnet", {"width": 4, "layers": 3}, 4),
    "resnet 6 x 2": ("resnet", {"width": 6, "layers": 2}, 1),
    "lordnet 8 x 2": ("lordnet", {"width": 8, "blocks": 2}, 1),
    "lordnet 8 x 2, space 4": ("lordnet", {"width": 8, "blocks": 2}, 4),
}


def smaller(rows: Rows, updates: int) -> None:
    """128 x 128: errors of networks that use the larger reach of a sub-grid to be smaller."""
    tests = None
    for label, (backbone, settings, space) in SMALLER.items():
        key = f"smaller {label}"
        if key in rows:
            continue
        tests = tests or test_set(LARGE)
        _, first, truth = tests
        result = finished(trained(LARGE, space, 1, updates, 0, settings=settings, backbone=backbone))
        one, last = errors_of(np.asarray(result.operator.rolled_out(first, LARGE.steps)), truth)
        row = {"case": "smaller", "network": label, "space": space, "error_first": one, "error_horizon": last}
        rows.add(key, row | {"training_seconds": result.seconds, "parameters": result.operator.parameter_count})
        print(key, f"{one:.2e} {last:.2e} ({result.seconds:.0f} s)", flush=True)


def cost_of_smaller(rows: Rows) -> None:
    """Their times, with shared and with separate weights."""
    x = torch.randn(1, 1, *[LARGE.resolution] * 2, generator=torch.Generator().manual_seed(3))
    for label, (backbone, settings, space) in SMALLER.items():
        key = f"cost of smaller {label}"
        if key in rows:
            continue
        row: dict[str, Any] = {"case": "cost of smaller", "network": label}
        for sharing, ending in (("shared", ""), ("separate", "_separate")):
            options: dict[str, Any] = {"settings": settings, "backbone": backbone, "sharing": sharing}
            both = [trained(LARGE, space, 1, 1, 0, backend=b, **options).operator for b in ("batched", "loop")]
            row |= {name + ending: value for name, value in times_of(both[0], both[1], x).items()}
        rows.add(key, row)
        print(key, {k: round(v, 3) for k, v in row.items() if k.startswith("ms")}, flush=True)


def summary(rows: Rows) -> None:
    """Speed-up over the classical solver at equal error, break-even, and the ratio to the undecomposed network's cost."""
    for name, case in CASES.items():
        classical = [r for r in rows.rows.values() if r["case"] == name and "coarsen" in r and r["error_horizon"] is not None]
        whole = rows.rows.get(f"{name} cost space 1")
        for space in SPACE:
            found = [rows.rows.get(f"{name} space {space} time 1 seed {s}") for s in range(3)]
            measured, found = rows.rows.get(f"{name} cost space {space}"), [f for f in found if f]
            if not found or measured is None or whole is None:
                continue
            error = float(np.mean([f["error_horizon"] for f in found]))
            ms = measured["ms_step"] * case.steps
            good = [r["ms_horizon"] for r in classical if r["error_horizon"] <= error]
            speed = min(good) / ms if good else None
            trained_in = float(np.mean([f["training_seconds"] for f in found]))
            gain = (min(good) - ms) / 1e3 if good else 0.0
            rows.add(f"{name} summary space {space}", {
                "case": name, "space": space, "error_horizon": error,
                "error_spread": float(np.std([f["error_horizon"] for f in found])), "ms_horizon": ms,
                "classical_ms_horizon": min(good) if good else None, "speed_up_over_classical": speed,
                "break_even": trained_in / gain if gain > 0 else "never",
                "published_ratio": whole["ms_step"] / measured["ms_sub_solver"],
                "same_machine_ratio": whole["ms_step"] / measured["ms_step"],
                "batched_over_loop": measured["ms_step_loop"] / measured["ms_step"],
            })  # fmt: skip


def report(rows: Rows) -> str:
    """The tables of docs/neural_stagger.md, from what is stored."""
    stored = list(rows.rows.values())
    by_factor, residuals, steps_taken, free, costs, ratios, kinds, sizes = [], [], [], [], [], [], [], []
    for name in CASES:
        for space in SPACE:
            of = [r for r in stored if r["case"] == name and r.get("space") == space and "seed" in r and "loss" not in r]
            cells = [shown([r["error_horizon"] for r in of if r["time"] == time]) for time in TIME]
            by_factor += [[name, str(space), *cells]] if of else []
            cells = [shown([r["relative_residual"] for r in of if r["time"] == time]) for time in TIME]
            residuals += [[name, str(space), *cells]] if of else []
            timed = [rows.rows.get(f"{name} step space {space} time {time}", {}) for time in TIME]
            flop = [rows.rows.get(f"{name} space {space} time {time} seed 0", {}) for time in TIME]
            steps_taken.append([name, str(space), *(number(r.get("ms_rollout_step")) for r in timed),
                                *(number(r["flops_step"] / 1e6 if r else None) for r in flop)])  # fmt: skip
    for r in stored:
        if "baseline" in r:
            label = r["baseline"] + (f", factor {r['space']}" if "space" in r else "")
            horizon = f"{r['error_horizon']:.1e}" if r["error_horizon"] is not None else "diverges"
            floor = f"{r['information_floor']:.1e}" if "information_floor" in r else ""
            free.append([r["case"], label, f"{r['error_first']:.1e}", horizon, floor])
        elif "published_ratio" in r:
            repaid = r["break_even"] if isinstance(r["break_even"], str) else f"{r['break_even']:.0f}"
            values = [number(r[k]) for k in ("published_ratio", "same_machine_ratio", "batched_over_loop", "ms_horizon")]
            values += [number(r["classical_ms_horizon"]), number(r["speed_up_over_classical"]), repaid]
            ratios.append([r["case"], str(r["space"]), f"{r['error_horizon']:.2g}", *values])
        elif r["case"] == "smaller":
            times = ("ms_step", "ms_step_loop", "ms_sub_solver", "ms_step_separate", "ms_step_loop_separate")
            measured = rows.rows.get(f"cost of smaller {r['network']}", {})
            sizes.append([r["network"], f"{r['error_horizon']:.2e}", *(number(measured.get(k)) for k in times)])
        elif "ms_sub_solver" in r and r["case"] in CASES:
            flop = rows.rows.get(f"{r['case']} space {r['space']} time 1 seed 0", {})
            values = [number(r[k]) for k in ("ms_step", "ms_step_loop", "ms_sub_solver")]
            values += [number(flop[k] / 1e6 if k in flop else None) for k in ("flops_step", "flops_sub_solver")]
            costs.append([r["case"], str(r["space"]), *values])
    for kind in dict.fromkeys(r["loss"] for r in stored if "loss" in r):
        found = [r for r in stored if r.get("loss") == kind]
        steps = (64 * CASES["vorticity"].steps if kind in ("data", "mixed") else STATES) // CASES["vorticity"].batch
        updates = f"{np.mean([f['epochs'] for f in found]) * steps:.0f}"
        kinds.append(
            [kind, *(shown([f[k] for f in found]) for k in ("error_first", "error_horizon")), updates, str(len(found))]
        )
    return "\n".join([
        INTRODUCTION,
        section("Error after the horizon", ("problem", "space", "time 1", "time 2", "time 4"), by_factor),
        section("Relative residual of the answers", ("problem", "space", "time 1", "time 2", "time 4"), residuals),
        section("A frame of a roll-out, all its sub-solvers on one machine: milliseconds, and MFLOP", ("problem", "space",
                "ms, time 1", "time 2", "time 4", "MFLOP, time 1", "time 2", "time 4"), steps_taken),
        section("What costs no training", ("problem", "", "first step", "horizon", "floor of a linear sub-solver"), free),
        section("Milliseconds and arithmetic of a step", ("problem", "space", "batched", "loop", "one sub-solver",
                "MFLOP", "MFLOP of one sub-solver"), costs),
        section("The published ratio and the honest one", ("problem", "space", "error", "whole network / one sub-solver",
                "whole network / all sub-solvers", "loop / batched", "ms to the horizon", "ms of the solver at that error",
                "speed-up S", "solves until repaid"), ratios),
        section("By what it is trained: vorticity, space 2, equal seconds",
                ("", "first step", "horizon", "updates", "seeds"), kinds),
        section("Smaller networks on sub-grids: vorticity, 128 x 128", ("network", "error", "ms per step", "loop",
                "one sub-solver", "separate weights", "separate, loop"), sizes),
    ])  # fmt: skip


INTRODUCTION = """# NeuralStagger, measured

Made by `python -m benchmarks.neural_stagger` and `--parts report`. Networks are trained by the residual of the trapezoid
alone, from the problem's initial law and states of their own, for the same few updates whatever the factors; times are
those of one sample on one thread of a shared machine. "Scheme" is what a perfect minimiser of the loss would reach;
"picard 1" is one classical iteration per step from the frame before, at a quarter of the cost of a classical step;
"interleaved" solves every sub-grid classically, on its own. Equal seconds are numbers of updates that timed epochs, one
kind after another on an idle machine, promised. Factor 8 leaves two points per side in 3-D.
"""


def main(arguments: Sequence[str] | None = None) -> Rows:
    """Run what is missing; returns the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="*", default=["baselines", "table", "losses", "cost", "steps", "smaller"])
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20, help="of training per row of the part 'losses'")
    parser.add_argument("--name", default="neural_stagger", help="name of the results file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = Rows(options.name, {"updates": options.updates, "tests": TESTS, "states": STATES, "seconds": options.seconds})
    if options.parts == ["report"]:
        summary(rows)
        write_bytes(DOCS, report(rows).encode())
        return rows
    made = {name: test_set(CASES[name]) for name in options.cases}
    if "baselines" in options.parts:
        for name in options.cases:
            baselines(CASES[name], name, rows, made[name])
    if "cost" in options.parts:
        for name in options.cases:
            cost(CASES[name], name, rows, made[name])
    if "cost" in options.parts:
        cost_of_smaller(rows)
    if "steps" in options.parts:
        for name in options.cases:
            step_times(CASES[name], name, rows, made[name])
    if "losses" in options.parts and "vorticity" in options.cases:
        losses(CASES["vorticity"], "vorticity", rows, range(options.seeds), options.seconds, made["vorticity"])
    if "smaller" in options.parts:
        smaller(rows, options.updates)
    if "table" in options.parts:
        for seed in range(options.seeds):
            for name in options.cases:
                table(CASES[name], name, rows, [seed], options.updates, made[name])
    summary(rows)
    return rows


if __name__ == "__main__":
    main()
