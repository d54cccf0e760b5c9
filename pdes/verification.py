"""verify(): is a dataset what its record says? Checksums, content hashes, and some samples computed again.

A sample depends on (problem, resolution, seed, i) alone, so any of them can be made again from the provenance in the file. On
machines of one kind the bits are equal; elsewhere rounding differs, to 1e-6 relative, and chaotic flows amplify that: they are
compared while a disturbance has not grown by more than e^2 (two Lyapunov times), against ten times their measured label error.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdes import manifest
from pdes.dataset import Dataset
from pdes.job import Job, restrict_fields, solve
from pdes.problem import Problem, get, names
from solvers.errors import DataError, SettingError

ROUNDING = 1e-6
CHAOS_LIMIT = 1e-2
"""Largest distance that is put down to chaos, however large the label errors are."""
AMPLIFIED = np.e**2
"""Growth of a disturbance from frame 0 on, up to which frames of a chaotic flow are compared: two Lyapunov times."""
DISTURBANCE = 1e-7


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    path : the file, or the folder of shards.   n_samples : in it, all of whose checksums hold.
    samples : those computed again (whole chunks).   distances : relative L2 distance of each to the stored one.
    rule : "equal" (every bit), "rounding" (at most 1e-6) or "chaos" (see the module).   tolerance : largest distance allowed.
    """

    path: str
    n_samples: int
    samples: tuple[int, ...] = ()
    distances: tuple[float, ...] = ()
    rule: str = "equal"
    tolerance: float = 0.0

    def __repr__(self) -> str:
        text = f"{self.path}: checksums of {self.n_samples} samples hold"
        if not self.samples:
            return text
        found = {
            "equal": "equal bit by bit",
            "rounding": f"equal to rounding (relative distance {max(self.distances):.1e}, allowed {self.tolerance:.0e})",
            "chaos": f"equal as far as chaos allows (relative distance {max(self.distances):.1e} within two Lyapunov times,"
            f" allowed {self.tolerance:.1e})",
        }[self.rule]
        return f"{text}; {len(self.samples)} computed again, {found}"


def verify(path: str | os.PathLike, k: int = 4, seed: int | None = None, problem: Problem | None = None) -> Verification:
    """Check a generated file (or folder of shards) against its manifest, and compute k of its samples again.

    Parameters
    ----------
    path : what `generate` wrote; its manifest stands beside it.
    k : samples to compute again, with the whole chunks they lie in; 0 for checksums alone.
    seed : which ones; None draws others at every call.
    problem : needed for a problem that does not come with the package: the one that was given to `generate`.

    Raises
    ------
    DataError : the data have changed, have no manifest, or are not what their problem and seed give; the message names the
        sample and its distance.
    SettingError : the problem cannot be rebuilt from the record, or `problem` is another one.

    Examples
    --------
    >>> import tempfile, pdes
    >>> path = tempfile.mkdtemp() + "/p.h5"
    >>> _ = pdes.generate("poisson_dirichlet", n=3, resolution=16, seed=7, path=path, progress=False)
    >>> verify(path, k=1).rule
    'equal'
    """
    path = Path(path)
    record = manifest.read(path)
    _check_files(path, record)
    data = Dataset.open(path)
    _check_content(path, data)
    if k <= 0:
        return Verification(str(path), len(data))
    job = _job(path, data, problem)
    chosen = np.random.default_rng(seed).choice(len(data), min(int(k), len(data)), replace=False)
    samples, distances, rule, tolerance = [], [], "equal", 0.0
    for chunk in np.unique(chosen // job.size):
        rows = np.arange(chunk * job.size, min((chunk + 1) * job.size, len(data)))
        again = {name: values[: len(rows)] for name, values in job.compute(int(chunk)).items() if values.ndim}
        stored = _stored(data, rows)
        away = _distances(stored, again)
        if not all(np.array_equal(stored[name], again[name]) for name in stored):
            rule, tolerance = ("chaos" if rule == "chaos" else "rounding"), max(tolerance, ROUNDING)
            if away.max() > ROUNDING:
                away, tolerance = _chaotic(path, job, data, rows, stored, again, away), _chaos_tolerance(data)
                rule = "chaos"
            if away.max() > tolerance:
                raise _different(path, job, int(rows[np.argmax(away)]), float(away.max()), tolerance)
        samples += rows.tolist()
        distances += away.tolist()
    return Verification(str(path), len(data), tuple(samples), tuple(distances), rule, tolerance)


def duplicates(a: Dataset, b: Dataset | None = None) -> list[tuple[int, int]]:
    """Pairs (i, j) of samples that are drawn alike: sample i of `a` and j of `b` (or, without `b`, i < j of `a`).

    Compared are latent coefficients and parameters, so two resolutions of one draw are found too; where a dataset has no
    latents, its inputs and initial frames.

    >>> import pdes
    >>> data = pdes.generate("poisson_dirichlet", n=6, resolution=16, seed=7, progress=False)
    >>> train, test = data[:4], data[3:]
    >>> duplicates(train, test)
    [(3, 0)]
    """
    latent = set(a.latent) if b is None else set(a.latent) & set(b.latent)
    first = _draw_hashes(a, latent)
    second = first if b is None else _draw_hashes(b, latent)
    places: dict[bytes, list[int]] = {}
    for j, key in enumerate(second):
        places.setdefault(key, []).append(j)
    pairs = [(i, j) for i, key in enumerate(first) for j in places.get(key, ())]
    return [(i, j) for i, j in pairs if b is not None or i < j]


def rebuilt(provenance: Mapping, parameters: Mapping[str, np.ndarray]) -> Problem:
    """The problem that a file was made from, by its name and what was replaced: split, refinement, times, fixed parameters.

    Raises
    ------
    SettingError : no problem of that name comes with the package.
    """
    name = provenance.get("name", provenance.get("family"))
    if name not in names():
        raise SettingError(
            given=f"data of problem {name!r}, which does not come with this package",
            needed="the problem itself",
            remedy="Pass the one that was generated from: verify(path, problem=...).",
        )
    problem = get(name)
    if provenance.get("split", problem.split) != problem.split:
        problem = problem.replace(split=provenance["split"])
    changes: dict = {
        key: provenance[key]
        for key in ("refine", "compute_at_least", "measure_every", "warm_up")
        if provenance.get(key, getattr(problem, key)) != getattr(problem, key)
    }
    laws = provenance.get("laws", {})
    for key, law in problem.parameters.items():  # the law's text rounds a number, the stored parameter does not
        if laws.get(key, law.law) != law.law and laws[key].startswith("fixed("):
            changes[key] = float(parameters[key][0])
    times = provenance.get("times")
    if times is not None and problem.times is not None and times != problem.times.tolist():
        even = np.linspace(times[0], times[-1], len(times)).tolist() == times
        changes |= {"time": (times[0], times[-1]), "frames": len(times) if even else tuple(times)}
    return problem.replace(**changes) if changes else problem


def _check_files(path: Path, record: Mapping) -> None:
    """Sizes and checksums of every file."""
    for item in record.get("files", [record]):
        file = path / item["file"] if path.is_dir() else path
        if not file.exists() or file.stat().st_size != item["bytes"] or manifest.sha256(file) != item["sha256"]:
            raise DataError(
                given=f"file {str(file)!r} that differs from its manifest",
                needed="the file as generated",
                remedy="Copy or generate it again.",
            )


def _check_content(path: Path, data: Dataset) -> None:
    """Every sample's values against the hash stored with it."""
    kept = data.index.get("content_hash")
    if kept is None:
        return
    index = {name: values for name, values in data.index.items() if name != "content_hash"}
    found = data.replace(index=index).content_hashes()
    wrong = np.flatnonzero(found != np.asarray(kept))
    if wrong.size:
        raise DataError(
            given=f"{str(path)!r} whose sample {wrong[0]} differs from its content hash ({wrong.size} samples do)",
            needed="the values as generated",
            remedy="They were edited: generate the file again.",
        )


def _job(path: Path, data: Dataset, problem: Problem | None) -> Job:
    """The job that the file's record names."""
    origin = data.provenance
    if "job" not in origin or "resolution" not in origin:
        raise DataError(
            given=f"{str(path)!r}, which this package has not generated",
            needed="the record of a generation",
            remedy="Only generated data can be computed again; k=0 checks sums alone.",
        )
    made = rebuilt(origin, data.parameters) if problem is None else problem
    job = Job.of(made, tuple(origin["resolution"]), int(origin["seed"]))
    if job.digest() != origin["job"]:
        now, there = job.problem.to_json(), {**origin, "solver": dict(origin.get("solver", {})).get("settings")}
        differing = [key for key in now if key in there and now[key] != there[key]]
        raise SettingError(
            given=f"{str(path)!r}, made from a problem {origin.get('name')!r} that differs from the one at hand"
            f" ({', '.join(f'{key}: {there[key]} there, {now[key]} here' for key in differing[:3]) or 'job'})",
            needed="the very problem",
            remedy=f"Pass it as problem=..., or use the version that made the file ({origin.get('version')}).",
        )
    ids = np.asarray(data.index["sample_id"])[[0, -1]].tolist()
    if ids != [job.problem.sample_id(job.seed, i) for i in (0, len(data) - 1)]:
        raise DataError(
            given=f"{str(path)!r} with a selection of samples",
            needed="samples 0 to n-1 of their job",
            remedy="Verify the file that they were taken from.",
        )
    return job


def _stored(data: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What decides and what is learned of some samples, named as chunks name it."""
    kinds = {"fields": data.fields, "inputs": data.inputs, "params": data.parameters, "latent": data.latent}
    return {f"{kind}/{name}": np.asarray(a[rows]) for kind, held in kinds.items() for name, a in held.items()}


def _distances(stored: Mapping[str, np.ndarray], again: Mapping[str, np.ndarray]) -> np.ndarray:
    """Per sample: relative L2 distance, the largest over arrays; infinity where one is not finite."""
    worst = np.zeros(len(next(iter(stored.values()))))
    for name, values in stored.items():
        a, b = (np.asarray(v, dtype=np.float64).reshape(len(worst), -1) for v in (values, again[name]))
        away = np.linalg.norm(a - b, axis=1) / np.maximum(np.linalg.norm(b, axis=1), np.finfo(float).tiny)
        worst = np.maximum(worst, np.where(np.isfinite(away), away, np.inf))
    return worst


def _chaotic(path, job: Job, data: Dataset, rows, stored: Mapping, again: Mapping, away: np.ndarray) -> np.ndarray:
    """Distances over the frames that a chaotic flow lets one compare; an error where the flow is not chaotic."""
    growth = None if job.problem.times is None else _growth(job, data, rows)
    if growth is None or growth[:, -1].max() <= AMPLIFIED:
        raise _different(path, job, int(rows[np.argmax(away)]), float(away.max()), ROUNDING)
    comparable = growth <= AMPLIFIED

    def cut(arrays, name):
        if not name.startswith("fields/"):
            return arrays[name]
        values = arrays[name].copy()
        values[~comparable] = 0
        return values

    return _distances({name: cut(stored, name) for name in stored}, {name: cut(again, name) for name in stored})


def _growth(job: Job, data: Dataset, rows: np.ndarray) -> np.ndarray | None:
    """(sample, frame): how much a small change of the initial state has grown since frame 0; None if there is none."""
    attempts = np.asarray(data.quality["attempt"])[rows]
    draws = [job.problem.draw(job.seed, int(i), int(attempt)) for i, attempt in zip(rows, attempts, strict=True)]
    moved = [
        (parameters, {n: v * (1 + DISTURBANCE) if n.startswith("initial.") else v for n, v in latents.items()})
        for parameters, latents in draws
    ]
    grid, size = job.problem.compute_grid(job.resolution), 0.0
    one, other = (solve(job.problem, grid, d).fields for d in (draws, moved))
    for name in one:
        change = restrict_fields(other[name] - one[name], job.problem, job.resolution)
        size = size + np.sum(change**2, axis=tuple(range(2, change.ndim)))
    size = np.sqrt(size)
    return None if np.any(size[:, 0] == 0) else np.maximum.accumulate(size / size[:, :1], axis=1)


def _chaos_tolerance(data: Dataset) -> float:
    """Ten times the largest label error that was measured, within `ROUNDING` and `CHAOS_LIMIT`."""
    errors = np.asarray(data.quality.get("label_error", ()), dtype=np.float64)
    errors = errors[np.isfinite(errors)]
    return float(np.clip(10 * errors.max(initial=0.0), ROUNDING, CHAOS_LIMIT))


def _different(path: Path, job: Job, sample: int, distance: float, tolerance: float) -> DataError:
    return DataError(
        given=f"{str(path)!r}, whose sample {sample} is {distance:.2e} (relative) away from what problem"
        f" {job.problem.name!r} and seed {job.seed} give",
        needed=f"at most {tolerance:.1e}",
        remedy="The data were edited, or made by another version: generate them again.",
    )


def _draw_hashes(data: Dataset, latent: set[str]) -> list[bytes]:
    """Digest of each sample's draw."""
    if latent:
        arrays = {name: data.latent[name] for name in sorted(latent)}
    else:
        initial = {name: a.view(1, slice(0, 1)) for name, a in data.fields.items() if "time" in a.dims}
        arrays = dict(sorted({**data.inputs, **initial}.items()))
    states = [hashlib.blake2b(digest_size=16) for _ in range(len(data))]
    for array in arrays.values():
        for block in data.blocks(array):
            for state, sample in zip(states[block], np.ascontiguousarray(array[block]), strict=True):
                state.update(sample)
    for name in sorted(data.parameters):
        for state, value in zip(states, np.asarray(data.parameters[name]), strict=True):
            state.update(value.tobytes())
    return [state.digest() for state in states]
