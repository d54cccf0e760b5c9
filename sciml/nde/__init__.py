"""Neural differential equations whose training also makes them cheap to solve.

    solve = RegularizedSolve("torch" | "jax", ...);   y, statistics = solve(f, y0, times)
    solve = RegularizedSDESolve(...);                 y, statistics = solve(drift, diffusion, y0, times, key)

`import sciml.nde` loads neither torch nor JAX.
"""

from sciml.nde.quantities import penalty
from sciml.nde.solve import RegularizedSolve
from sciml.nde.statistics import Statistics
from sciml.nde.stochastic import RegularizedSDESolve

__all__ = ["RegularizedSDESolve", "RegularizedSolve", "Statistics", "penalty"]
