"""Test data that others computed with other codes: the track that nobody can overfit by knowing our solvers.

The files are those of `benchmarks.third_party`, which fetches them; where they are not at hand, the part is left out.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.third_party import deepxde_files, pyro_files
from benchmarks.third_party.__main__ import FOLDER
from benchmarks.third_party.fetching import Source
from pdes import Dataset, Problem


def burgers(problem: Problem, folder: Path) -> Dataset:
    """DeepXDE's u_t + u u_x = (0.01 / pi) u_xx, u(0) = -sin(pi x) on [-1, 1], as v = u / 2 on [0, 1]: nu becomes nu / 4.

    Their 256 points hold both ends; the last is left out on a torus.
    """
    data = np.load(folder / "Burgers.npz")
    at, times = 0.5 * data["usol"].T[:, :255], data["t"].ravel()
    start = np.sin(2 * np.pi * np.arange(255) / 255) / 2
    return _pair(problem, 255, {"u": (start, at[-1])}, float(times[-1]), {"nu": 0.01 / np.pi / 4})


def sod(problem: Problem, folder: Path) -> Dataset:
    """pyro's Sod tube at t = 0.2 on 128 cells, by an unsplit second-order method."""
    fields, _ = pyro_files.read(folder, "compressible/sod_x_0076")
    left = (np.arange(128) + 0.5) / 128 < 0.5
    final = {"rho": "density", "m": "x-momentum", "E": "energy"}
    start = {"rho": (1.0, 0.125), "m": (0.0, 0.0), "E": (2.5, 0.25)}
    pairs = {name: (np.where(left, *start[name]), fields[theirs][:, 0]) for name, theirs in final.items()}
    return _pair(problem, 128, pairs, 0.2)


def dam(problem: Problem, folder: Path) -> Dataset:
    """pyro's dam break at t = 0.3 on 128 cells, depth 1 onto 1/8, g = 1."""
    fields, _ = pyro_files.read(folder, "swe/dam_x_0081")
    left = (np.arange(128) + 0.5) / 128 < 0.5
    pairs = {"h": (np.where(left, 1.0, 0.125), fields["height"][:, 0]), "m": (np.zeros(128), fields["x-momentum"][:, 0])}
    return _pair(problem, 128, pairs, 0.3, {"g": 1.0})


def _pair(problem: Problem, n: int, pairs: dict, time: float, parameters: dict[str, float] | None = None) -> Dataset:
    """One sample of two frames on the problem's grid of n points."""
    return Dataset(
        fields={name: np.stack(pair)[None].astype(np.float32) for name, pair in pairs.items()}, grid=problem.stored_grid(n),
        times=[0.0, time], parameters={name: np.array([value]) for name, value in (parameters or {}).items()},
        provenance={"family": problem.name, "equation": str(problem.equation), "domain": repr(problem.domain)},
    )  # fmt: skip


FOREIGN: dict[str, tuple[Source, Callable[[Problem, Path], Dataset]]] = {
    "burgers": (deepxde_files.SOURCE, burgers),
    "sod": (pyro_files.SOURCE, sod),
    "dam": (pyro_files.SOURCE, dam),
}
"""Name -> where the files come from, and function (problem, folder) -> one sample."""


def part(name: str, problem: Problem, folder: Path = FOLDER) -> Dataset | None:
    """The foreign sample of a task; None where its files are not there."""
    source, make = FOREIGN[name]
    return make(problem, folder) if source.is_in(folder) else None
