"""Store what a benchmark measured, with all that is needed to judge and repeat it: command, commit, machine, versions, date."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from solvers.errors import DataError
from solvers.files import write_bytes
from solvers.threads import cores

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "sciml-operators", "numpy", "scipy", "jax", "torch", "diffrax", "torchdiffeq", "torchode", "pyamg", "exponax", "py-pde",
    "pyro-hydro", "neuraloperator",
)  # fmt: skip
RESERVED = ("command", "commit", "machine", "versions", "date")


def record(name: str, payload: Mapping, folder: str | os.PathLike = RESULTS) -> Path:
    """Write `payload` and its circumstances to <folder>/<name>.json, atomically; returns the path.

    Parameters
    ----------
    name : letters, digits, "-", "_" and "."; the file's name without its ending.
    payload : what was measured; NumPy numbers and arrays become plain ones, NaN and infinities become null.
    folder : where to; benchmarks/results unless told otherwise.

    Raises
    ------
    DataError : a name that is not a file name, or a payload with a key that this function adds.
    TypeError : a value that JSON cannot hold.
    DiskFull : the disk has no space left.

    Examples
    --------
    >>> import json, tempfile
    >>> path = record("demo", {"ms": np.float64(1.5)}, tempfile.mkdtemp())
    >>> path.name, json.loads(path.read_text())["ms"]
    ('demo.json', 1.5)
    """
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise DataError(given=f"result name {name!r}", needed="letters, digits, '-', '_', '.'", remedy="Rename it.")
    taken = sorted(set(RESERVED) & set(payload))
    if taken:
        raise DataError(given=f"a payload with {taken}", needed=f"none of {RESERVED}", remedy="Rename these keys.")
    text = json.dumps(plain(dict(payload) | circumstances()), indent=2, allow_nan=False)
    path = Path(folder) / f"{name}.json"
    write_bytes(path, (text + "\n").encode())
    return path


def circumstances() -> dict:
    """Command line, commit, machine, versions and date (UTC) of this process."""
    return {
        "command": _command(),
        "commit": commit(),
        "machine": {"cores": cores(), "cpu": _cpu_model(), "memory_gb": _memory_gb(), "system": platform.system()},
        "versions": {"python": platform.python_version()} | {p: v for p in PACKAGES if (v := version(p)) is not None},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version(package: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Hash of the checked-out commit, with "+changes" when tracked files differ from it; None outside a git checkout."""
    root = Path(__file__).parents[1]
    try:
        ask = lambda *words: subprocess.run(  # noqa: E731
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
        changed = ask("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
        return ask("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _command() -> str:
    """The command line as one would type it: module name instead of the machine's paths."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    program = f"-m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    return " ".join(["python", program, *sys.argv[1:]])


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def plain(value: Any) -> Any:
    """Plain JSON values: NumPy unwrapped, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
