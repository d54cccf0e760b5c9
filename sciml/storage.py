"""Arrays and JSON on disk: safetensors with the JSON in its header. No pickle, atomic, checked on reading.

safetensors' NumPy writer stores wrong values for non-contiguous arrays without a word, so every array is made contiguous; it
has no complex128, which is stored as real pairs.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from solvers.errors import CheckpointError
from solvers.files import atomic_path

FORMAT = "sciml/1"
_PAIRS = "complex128_as_pairs"


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Path:
    """One file with all arrays and the JSON header, committed by one rename."""
    path = Path(path)
    stored, pairs = {}, []
    for name, array in arrays.items():
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        if array.dtype == np.complex128:
            pairs.append(name)
            array = np.ascontiguousarray(np.stack([array.real, array.imag], axis=-1))
        stored[name] = array
    # One key: the writer orders several at random, and equal operators should be equal files.
    metadata = {FORMAT: json.dumps({"header": header, _PAIRS: pairs, "sha256": _digest(stored)})}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(stored, metadata))
    return path


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of a file that `write_arrays` made.

    Raises
    ------
    CheckpointError : missing, truncated, corrupted, or not ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            given=f"{path}, which is not a file", needed="a saved operator (.safetensors)", remedy="Check the path."
        )
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            given=f"{path}, which cannot be read ({error})",
            needed="an undamaged .safetensors file",
            remedy="It is truncated or corrupted: use another copy or an earlier checkpoint.",
        ) from error
    if FORMAT not in metadata:
        raise CheckpointError(
            given=f"{path}, a safetensors file with no {FORMAT!r} header",
            needed="a file written by this package",
            remedy="Load foreign weights into a module yourself and pass that to sciml.fit.",
        )
    content = json.loads(metadata[FORMAT])
    if content["sha256"] != _digest(arrays):
        raise CheckpointError(
            given=f"{path}, whose checksum does not match its content",
            needed="an undamaged file",
            remedy="It was corrupted after writing: use another copy or an earlier checkpoint.",
        )
    for name in content[_PAIRS]:
        arrays[name] = arrays[name][..., 0] + 1j * arrays[name][..., 1]
    return arrays, content["header"]


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def check_arrays(wanted: dict[str, np.ndarray], given: dict[str, np.ndarray], source: Any) -> None:
    """Raise a CheckpointError that names the first arrays in which `given` differs from `wanted` in name or shape."""
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        parts = [f"{len(missing)} arrays missing ({', '.join(missing[:3])})"] * bool(missing)
        parts += [f"{len(extra)} unknown ({', '.join(extra[:3])})"] * bool(extra)
        raise CheckpointError(
            given=f"weights in {source} with {' and '.join(parts)}",
            needed="the weights of this architecture",
            remedy="Build the operator with the configuration it was trained with.",
        )
    for name, array in wanted.items():
        if array.shape != given[name].shape:
            raise CheckpointError(
                given=f"{name} of shape {given[name].shape} in {source}",
                needed=f"{array.shape}",
                remedy="Build the operator with the configuration it was trained with.",
            )
