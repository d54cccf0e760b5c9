"""One writer for every file: a reader sees the old file or the complete new one, never a half-written one.

A temporary name in the same folder, flush, `fsync`, `os.replace`, `fsync` of the folder.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from solvers.errors import DataError


class DiskFull(DataError, OSError):
    """No space left where a file was being written. What was there before is untouched."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it becomes `path` in one step, on an error it is removed.

    The body writes the file (or, for checkpoints made of several files, a folder) at the yielded path and closes it.

    Parameters
    ----------
    path : the final name. Its folder is made if it is missing. A folder cannot replace a folder that is not empty.

    Raises
    ------
    DiskFull : the disk has no space left (also when a library words that in its own way).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('whole', 1)
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        _remove(temporary)
        if is_disk_full(error) and not isinstance(error, DiskFull):
            raise disk_full(path) from error
        raise


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write `content` to `path` atomically (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def sync(path: str | os.PathLike) -> None:
    """Wait until a file, or every file under a folder, is on disk."""
    path = Path(path)
    if path.is_dir():
        for child in sorted(path.iterdir()):
            sync(child)
        sync_folder(path)
        return
    handle = os.open(path, os.O_RDWR)  # Windows refuses to sync a handle that cannot write
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: str | os.PathLike) -> None:
    """Wait until a folder's list of names is on disk; nothing on systems without that notion (Windows)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_disk_full(error: BaseException) -> bool:
    """Does this error, or what caused it, say that no space is left? HDF5 says so only in the text of its message."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        text = str(cause)
        if "No space left on device" in text or "errno = 28" in text or "Disk quota exceeded" in text or "os error 28" in text:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def disk_full(path: str | os.PathLike, needed_bytes: int | None = None) -> DiskFull:
    """The error for a full disk, naming the file and the space left."""
    path = Path(path)
    try:
        free = f"{shutil.disk_usage(path.parent).free / 1e6:.1f} MB free"
    except OSError:
        free = "no space left"
    needed = "space for the file" if needed_bytes is None else f"about {needed_bytes / 1e6:.1f} MB"
    return DiskFull(
        given=f"disk full while writing {str(path)!r} ({free})",
        needed=needed,
        remedy="Free some space or choose another folder, then run again; files that were complete before are untouched.",
    )


def require_space(path: str | os.PathLike, needed_bytes: int) -> None:
    """Raise `DiskFull` before the work starts, if the folder of `path` cannot hold `needed_bytes` more."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    if shutil.disk_usage(folder).free < needed_bytes:
        raise disk_full(folder / Path(path).name, needed_bytes)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
