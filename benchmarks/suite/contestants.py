"""Who takes part in a task: trivial predictors, classical solvers on coarser grids, the suite's networks, and peers.

`roster` names them; `made` gives an untrained operator or module for `sciml.fit`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.suite import readers, systems
from benchmarks.suite.classics import METHODS, posed_by
from benchmarks.suite.peers import PEERS, installed
from benchmarks.suite.tasks import Suite, SuiteTask
from benchmarks.suite.trivial import Nearest, PerWave, Zero
from sciml.operator import config_of, create
from sciml.operators.classical import ClassicalSolver

TRIVIAL: dict[str, Callable[[], Any]] = {
    "zero": Zero,
    "mean": lambda: create("mean"),
    "persistence": lambda: create("persistence"),
    "nearest": Nearest,
    "linear": lambda: create("linear"),
    "per wave": PerWave,
}
LABELS = "solver"
"""The method that made the labels."""


@dataclass(frozen=True)
class Contestant:
    """Name in tables, kind ("trivial", "classical", "network", "peer", or "reference": it knows the answer) and whether
    training depends on a seed."""

    name: str
    kind: str
    seeded: bool = False


def roster(suite: Suite, task: SuiteTask) -> list[Contestant]:
    """All who can take part, in the order of the tables; peers where they are installed."""
    if task.track in systems.TRACKS:
        found = [Contestant(name, kind) for name, (kind, _) in readers.METHODS[task.track].items()]
        return found + [Contestant(name, "network", True) for name in task.also]
    grid = task.posed().stored_grid(task.resolution)
    periodic = all(axis.kind == "periodic" for axis in grid.axes)
    skipped = {name for name, out in (("per wave", not periodic), ("persistence", task.kind == "steady")) if out}
    found = [Contestant(name, "trivial") for name in TRIVIAL if name not in skipped]
    for method, factors in ({LABELS: task.coarsen} | dict(task.methods)).items():
        found += [Contestant(rung(method, factor), "classical") for factor in factors]
    for name in (*suite.networks, *suite.peers, *task.also):
        if name not in PEERS:
            found.append(Contestant(name, "network", True))
        elif installed(name):
            found.append(Contestant(name, "peer", True))
    return found


def takes_part(name: str, suite: Suite, task: SuiteTask) -> bool:
    """Whether a name is one of the task's, wherever its package is installed."""
    if task.track in systems.TRACKS:
        return name in (*readers.METHODS[task.track], *task.also)
    rungs = [rung(m, factor) for m, factors in ({LABELS: task.coarsen} | dict(task.methods)).items() for factor in factors]
    return name in (*TRIVIAL, *rungs, *suite.networks, *suite.peers, *task.also)


def rung(method: str, factor: int) -> str:
    """ "solver / 4" is the classical one on a grid four times coarser than the stored one."""
    return method if factor == 1 else f"{method} / {factor}"


def made(name: str, suite: Suite, task: SuiteTask, channels: tuple[int, int], seed: int = 0) -> Any:
    """The untrained contestant; `channels` in and out are for peers, which must know them, and `seed` for their weights."""
    if name in readers.METHODS.get(task.track, ()):
        return readers.METHODS[task.track][name][1](task)
    if name in TRIVIAL:
        return TRIVIAL[name]()
    method, _, factor = (part.strip() for part in name.partition("/"))
    if method == LABELS:
        return ClassicalSolver(problem=task.posed(), coarsen=int(factor or 1))
    if method in METHODS:
        return ClassicalSolver(problem=posed_by(method, task.posed()), coarsen=int(factor or 1))
    if name in PEERS:
        return PEERS[name][1](task, *channels, seed)
    operator = create(name)
    changes = task.networks.get(name.partition(":")[0], {})
    return operator.from_config(config_of(operator) | dict(changes)) if changes else operator
