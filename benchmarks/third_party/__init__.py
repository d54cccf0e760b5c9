"""Our solvers and residuals against fields that others computed with other codes.

    python -m benchmarks.third_party [--folder FOLDER]

The files come out of packages that pip fetches (nothing of them is kept here, no code of them is imported, and each file is
checked by SHA-256): `deepxde_files` and `pyro_files` say which, and what they are compared with. A row holds "error", which
must stay below "bound"; where a wrong parameter is cheap to try, "control" is the error that it makes, above the bound.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.third_party import deepxde_files, pyro_files
from benchmarks.third_party.fetching import Source, fetch

SOURCES: tuple[Source, ...] = (deepxde_files.SOURCE, pyro_files.SOURCE)
CASES: dict[str, tuple[Source, Callable[..., dict]]] = {
    name: (source.SOURCE, case) for source in (deepxde_files, pyro_files) for name, case in source.CASES.items()
}
"""Name -> where its files come from, and function (folder) -> row."""
QUICK: dict[str, Callable[[Path], dict]] = pyro_files.QUICK
"""The dear cases on coarser grids, for tests."""
