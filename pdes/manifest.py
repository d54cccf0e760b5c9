"""The sidecar of a generated dataset, JSON: what belongs to the run and the machine rather than to the data.

file, bytes, sha256      the file it stands beside (a folder of shards: "files", one record each)
content                  16 hexadecimal digits per sample, one after the other: see `rounded_hashes`
n_samples, call, job     what was asked for, and the digest of everything that decides the samples
units, license, versions, machine, created
seconds, seconds_per_sample, acceptance, rejected      the cost, and the draws whose solve failed with their substitutes
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pdes.arrays import LazyArray
from pdes.dataset import Dataset
from pdes.job import Job
from solvers.errors import DataError
from solvers.files import write_bytes
from solvers.result import Outcome

FRACTION = 2.0**-20
"""Rounding of content hashes, relative to the largest value of a sample: six digits."""


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file or a folder of shards is."""
    return path / "manifest.json" if path.is_dir() else path.with_name(path.name + ".manifest.json")


def read(path: Path) -> dict:
    """The manifest of a file or a folder.

    Raises
    ------
    DataError : there is none, or it is damaged.
    """
    where = manifest_path(path)
    try:
        return json.loads(where.read_text())
    except FileNotFoundError as error:
        raise DataError(
            given=f"{str(path)!r} without a manifest", needed=f"{where.name} beside the data", remedy="Generate it again."
        ) from error
    except ValueError as error:
        raise DataError(
            given=f"manifest {str(where)!r} that is not JSON", needed="an intact one", remedy="Copy it again."
        ) from error


def write(path: Path, content: Mapping) -> None:
    """Write a manifest, atomically."""
    write_bytes(path, json.dumps(content, indent=1, sort_keys=True).encode())


def of_file(path: Path, data: Dataset) -> dict:
    """Name, size and checksums of one file that holds `data`."""
    hashes = rounded_hashes(data)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "n_samples": len(data),
        "content": "".join(f"{h:016x}" for h in hashes.tolist()),
    }


def of_run(job: Job, n: int, data: Dataset) -> dict:
    """What was asked for, by which versions, on which machine."""
    names = [*data.fields, *data.inputs, *data.parameters, *data.coordinates]
    return {
        "n_samples": n,
        "call": {"problem": job.problem.to_json(), "resolution": list(job.resolution), "seed": job.seed, "n": int(n)},
        "job": job.digest(),
        "license": data.provenance.get("license", "CC0-1.0"),
        "units": dict.fromkeys(names, ""),  # equations come without dimensions
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": dict(_versions()),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def of_draws(job: Job, n: int, attempts: np.ndarray, causes: np.ndarray, seconds: float, first: int = 0) -> dict:
    """Seconds of solving, share of draws that were accepted, and the rejected ones; samples counted from `first`."""
    attempts, causes = attempts[:n], causes[:n]
    return {
        "seconds": round(seconds, 3),
        "seconds_per_sample": seconds / (job.count(n) * job.size),
        "acceptance": float(n / (n + attempts.sum())),
        "rejected": [
            {"sample": first + int(i), "substitute": int(attempts[i]), "cause": Outcome(int(causes[i])).name}
            for i in np.flatnonzero(attempts)
        ],
    }


def sha256(path: Path) -> str:
    """Checksum of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def rounded_hashes(data: Dataset) -> np.ndarray:
    """64-bit hash of each sample's inputs and fields, uint64, after rounding to six digits of the sample's largest value.

    Another BLAS or FFT changes the last bits of labels, seldom these hashes (a value in a thousand lies so near to the edge
    of a rounding interval that an error of 1e-9 moves it across).
    """
    states = [hashlib.blake2b(digest_size=8) for _ in range(len(data))]
    for array in (a for kind in (data.inputs, data.fields) for _, a in sorted(kind.items())):
        for block in data.blocks(array):
            for state, rounded in zip(states[block], _rounded(array, block), strict=True):
                state.update(rounded)
    return np.frombuffer(b"".join(state.digest() for state in states), dtype="<u8")


def _rounded(array: LazyArray, block: slice) -> np.ndarray:
    """Whole numbers, int32: values in units of `FRACTION` times the power of two above the sample's largest."""
    values = np.asarray(array[block], dtype=np.float32)
    flat = values.reshape(len(values), -1)
    _, exponent = np.frexp(np.abs(flat).max(axis=1, initial=0.0))
    return np.rint(np.ldexp(flat, -exponent[:, None]) / np.float32(FRACTION)).astype("<i4")


def version() -> str:
    """Version of the installed package."""
    try:
        return importlib.metadata.version("sciml-operators")
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"


def _versions() -> Iterator[tuple[str, str]]:
    for package in ("sciml-operators", "numpy", "scipy", "jax", "jaxlib", "sympy", "h5py"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield package, importlib.metadata.version(package)
