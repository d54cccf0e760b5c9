"""Frozen tasks: a name, a version, the data that it stands for, and hashes that tell when they are not the same any more.

A suite is a TOML file in `benchmarks/suites`; see `s.toml`. The first samples of a dataset are the test set, so that the same
ones can be made on other grids.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pdes
from benchmarks.suite import foreign, systems
from pdes import Dataset, Problem
from solvers.errors import SettingError, unknown_name

SUITES = Path(__file__).parents[1] / "suites"
TRACKS = ("map", "rollout", *systems.TRACKS)
JUDGES = ("__init__.py", "spectral.py", "rollout.py")


@dataclass(frozen=True)
class SuiteTask:
    """One frozen task.

    name, version : together the name in all tables, "darcy@1"; anything that changes the data makes a new version.
    track : "map" (one answer), "rollout" (each frame from the one before, from the first frame to the last), or of
        `systems.TRACKS`.
    problem : of `pdes`, or of `systems.SETS`.   options : changes to it (`Problem.replace`).   kind : task of `sciml`.
    resolution : stored points per axis.   train, validation, test : samples.   seed : of the data.
    coarsen : factors by which the classical solver's grid is coarser, its ladder.   steps : its time steps, where it has some.
    epochs : of every learned contestant.   finer : factor of the grid for the track "resolution"; 1 leaves it out.
    shift : also test on the problem's held-out ranges.   foreign : also on data of others, of `foreign.FOREIGN`.
    networks : settings by network that this task needs.
    methods : other classical methods (`classics.METHODS`) and the factors of their grids.
    also : networks and peers that take part in this task alone.
    """

    name: str
    track: str
    problem: str
    resolution: int
    train: int
    validation: int
    test: int
    version: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "steady"
    seed: int = 2026
    coarsen: tuple[int, ...] = (1, 2, 4)
    epochs: int = 20
    finer: int = 2
    shift: bool = True
    foreign: str = ""
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    methods: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "coarsen", tuple(self.coarsen))
        object.__setattr__(self, "also", tuple(self.also))
        if self.track not in TRACKS:
            raise unknown_name("track", self.track, TRACKS)
        if min(self.resolution, self.train, self.validation, self.test, self.epochs, self.finer, *self.coarsen) < 1:
            raise SettingError(given=f"{self}", needed="sizes, epochs and factors >= 1", remedy="Mend the suite's file.")

    @property
    def label(self) -> str:
        """Name with version."""
        return f"{self.name}@{self.version}"

    def described(self) -> dict[str, str]:
        """Equation and description, for a report."""
        if self.track in systems.TRACKS:
            return systems.described(self)
        return {"equation": str(self.posed().equation), "description": self.posed().description}

    def posed(self) -> Problem:
        """The problem, with this task's changes."""
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in self.options.items()}
        return pdes.get(self.problem, **options)

    def data(self, folder: str | Path, workers: int = 1, there: bool = False) -> dict[str, Dataset]:
        """ "train", "validation", "test", and where the task has them "finer" (the test samples on another grid) and "shift"
        (other ranges) and "foreign" (data of others); made in `folder` where they are missing. `there`: the files are only
        opened, as several processes at once may do."""
        if self.track in systems.TRACKS:
            return systems.parts(self)
        folder, problem = Path(folder), self.posed()
        n = self.test + self.validation + self.train

        def make(p: Problem, n: int, r: int, word: str) -> Dataset:
            path = folder / f"{self.label}{word}.h5"
            if there:
                return Dataset.open(path)
            return pdes.generate(p, n, r, seed=self.seed, path=path, workers=workers, progress=False)

        test, validation, train = make(problem, n, self.resolution, "").split(self.test, self.validation, self.train)
        parts = {"train": train, "validation": validation, "test": test}
        if self.finer > 1:
            parts["finer"] = make(problem, self.test, self.finer * self.resolution, "-finer")
        if self.shift and problem.held_out_laws:
            parts["shift"] = make(problem.held_out(), self.test, self.resolution, "-shift")
        others = foreign.part(self.foreign, problem) if self.foreign else None
        if others is not None:
            parts["foreign"] = others
        return parts


@dataclass(frozen=True)
class Suite:
    """Tasks and who is trained on them, with how many seeds.

    networks : operators by name, "fno:tiny".   peers : of `contestants.PEERS`, which take part where they are installed.
    training : options of `fit` by network, or by a peer's package; what is not named is the operator's own choice.
    tuning : `tasks`, and the values of options of `fit` from which training is chosen (`benchmarks.suite.tuning`).
    """

    name: str
    description: str
    tasks: tuple[SuiteTask, ...]
    networks: tuple[str, ...]
    peers: tuple[str, ...] = ()
    seeds: int = 3
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, label: str) -> SuiteTask:
        found = [t for t in self.tasks if label in (t.name, t.label)]
        if not found:
            raise unknown_name("task", label, [t.label for t in self.tasks])
        return found[0]


def names() -> list[str]:
    """Suites that come with the package."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def load(name: str | Path) -> Suite:
    """A suite by name, or from a TOML file.

    Raises
    ------
    UnknownName : no such suite.
    SettingError : a file that is no suite, with what is wrong.
    """
    path = Path(name) if str(name).endswith(".toml") else SUITES / f"{name}.toml"
    if not path.exists():
        raise unknown_name("suite", str(name), names())
    try:
        read = tomllib.loads(path.read_text())
        defaults = read.pop("defaults", {})
        tasks = tuple(SuiteTask(**(defaults | row)) for row in read.pop("task"))
        head = read.pop("suite")
        lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in head.items()}
        lists["name"] = path.stem
        suite = Suite(**lists, tasks=tasks, training=read.pop("training", {}), tuning=read.pop("tuning", {}))
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise SettingError(
            given=f"{path.name}: {error}", needed="[suite], [[task]] with the fields of SuiteTask", remedy="Mend the file."
        ) from error
    labels = [t.label for t in suite.tasks]
    if read or len(set(labels)) < len(labels):
        raise SettingError(
            given=f"{path.name} with {sorted(read) or labels}", needed="known tables, and tasks of different names",
            remedy="Mend the file.",
        )  # fmt: skip
    return suite


@cache
def judges_hash() -> str:
    """Hash of the code that judges: rows that other code judged are not put beside each other."""
    import sciml.metrics

    folder, digest = Path(sciml.metrics.__file__).parent, hashlib.blake2b(digest_size=6)
    for name in JUDGES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
