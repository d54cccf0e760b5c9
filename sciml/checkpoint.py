"""Checkpoints of a training: one folder per commit, written beside its final name and renamed into place.

    step-00001200/  operator.safetensors  learner.safetensors  best.safetensors  progress.json

A kill at any instant leaves either the folder or nothing. The newest readable one wins; the last two are kept, so that a
commit that a failing disk damaged does not lose the training.
"""

import itertools
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml import storage
from sciml.operator import Arrays, Scalars
from solvers.errors import CheckpointError
from solvers.files import atomic_path

KEPT = 2


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a training loop, as one value."""

    operator: Arrays
    learner: Arrays
    best: Arrays
    header: Scalars  # of the operator: class, configuration, signature
    progress: Scalars  # position, running sums, history, learner's scalars, identity


class Checkpoints:
    """The commits in one folder."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._written: tuple | None = None

    def commits(self) -> list[Path]:
        """Complete commits, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if p.is_dir())

    def write(self, snapshot: Snapshot) -> None:
        """Commit, then drop all but the newest two."""
        state = (snapshot.progress["total"], snapshot.progress["finished"])
        if state == self._written:
            return
        name = f"step-{snapshot.progress['total']:08d}"
        names = itertools.chain(
            [name], (f"{name}-{i}" for i in itertools.count(1))
        )  # a step may be there already: unfinished, or damaged
        target = next(self.folder / n for n in names if not (self.folder / n).exists())
        with atomic_path(target) as folder:
            folder.mkdir()
            storage.write_arrays(folder / "operator.safetensors", snapshot.operator, snapshot.header)
            storage.write_arrays(folder / "learner.safetensors", snapshot.learner, {})
            storage.write_arrays(folder / "best.safetensors", snapshot.best, snapshot.header)
            (folder / "progress.json").write_text(json.dumps(snapshot.progress, indent=1))
        self._written = state
        for old in self.commits()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def read(self) -> Snapshot | None:
        """The newest readable commit, or None in an empty folder.

        Raises
        ------
        CheckpointError : there are commits, and none can be read.
        """
        damaged = []
        for path in reversed(self.commits()):
            try:
                operator, header = storage.read_arrays(path / "operator.safetensors")
                learner, _ = storage.read_arrays(path / "learner.safetensors")
                best, _ = storage.read_arrays(path / "best.safetensors")
                snapshot = Snapshot(operator, learner, best, header, _progress(path))
            except CheckpointError as error:
                damaged.append(f"{path.name}: {error.given}")
                continue
            if damaged:
                warnings.warn(f"Damaged checkpoint left aside ({'; '.join(damaged)}); going on from {path.name}.", stacklevel=3)
            return snapshot
        if damaged:
            raise CheckpointError(
                given=f"the checkpoints in {self.folder}, none readable ({'; '.join(damaged)})",
                needed="at least one undamaged commit",
                remedy="Restore the folder from a copy, or train again into a new folder.",
            )
        return None


def _progress(path: Path) -> dict[str, Any]:
    try:
        return json.loads((path / "progress.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            given=f"{path / 'progress.json'}, which cannot be read", needed="valid JSON", remedy="Restore it from a copy."
        ) from error
