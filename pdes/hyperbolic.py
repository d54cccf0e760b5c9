"""The solver of families of conservation laws: finite volumes, under the names that a problem's equation gives its unknowns."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdes.problem import Problem, Solution, Solver
from solvers.grid import Grid


@dataclass(frozen=True)
class FiniteVolumeSolver(Solver):
    """Finite volumes; unknowns in the order of the system's components.

    Parameters
    ----------
    system : class of `solvers.conservation_laws` ("Euler", "NavierStokes", "ShallowWater", "Burgers", "Traffic").
    gamma, g : numbers of the system that are no parameters of the problem; None where it has none.
    scheme, flux : see `solvers.finite_volume.FiniteVolume`.
    """

    system: str
    gamma: float | None = None
    g: float | None = None
    scheme: str = "weno5"
    flux: str = "hllc"

    def __call__(self, problem: Problem, grid: Grid, inputs: Mapping, parameters: Mapping, times: np.ndarray) -> Solution:
        from solvers import conservation_laws
        from solvers.finite_volume import FiniteVolume

        given = {"gamma": self.gamma, "g": self.g, "axes": grid.dimension if self.system != "Traffic" else None}
        system = getattr(conservation_laws, self.system)(**{k: v for k, v in given.items() if v is not None})
        names = problem.equation.evolving
        start = np.stack([inputs[name] for name in names], axis=-1)
        known = {name: parameters[name] for name in system.parameters if name in parameters}
        if "zeta" in system.parameters and "eta" in known:
            known.setdefault("zeta", known["eta"])  # families with one viscosity mean both
        result = FiniteVolume(system, grid, self.scheme, self.flux).solve(start, times, known)
        return Solution({name: result.values[..., i] for i, name in enumerate(names)}, result.outcome, result.stats)
