"""Neural differential equations whose training also makes them cheap to solve.

    solve = RegularizedSolve("torch" | "jax", ...);   y, statistics = solve(f, y0, times)

`import sciml.nde` loads neither torch nor JAX.
"""

from sciml.nde.quantities import penalty
from sciml.nde.solve import RegularizedSolve
from sciml.nde.statistics import Statistics

__all__ = ["RegularizedSolve", "Statistics", "penalty"]
