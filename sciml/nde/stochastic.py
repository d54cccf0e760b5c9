"""`RegularizedSDESolve`: adaptive stochastic Heun on diffrax that also returns what its steps say of their difficulty.

    dy = f(t, y) dt + g(t, y) o dW,   g diagonal, Stratonovich

The embedded estimate of a step is half the difference of its two slopes, (k_1 - k_2) / 2 with k = f h + g dW: of size h for
noise that depends on the state, h^1.5 for noise that does not. Its scaled norm E_j controls the steps and makes the
regularisers R_E, R_E2, R_N, as for ordinary equations (Pal, Ma, Shah, Rackauckas, Opening the Blackbox, ICML 2021, with
another solver). Increments and steps are constants for the gradient. An Ito equation with diagonal noise becomes one of these
by f - g g'/2. The steps of a path are chosen with its noise known; for diagonal noise, which commutes, that leaves Heun's limit
as it is.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sciml.nde.quantities import AGGREGATES
from sciml.nde.statistics import Statistics
from solvers.errors import SettingError, unknown_name

REGULARISERS = ("R_E", "R_E2", "R_N", "local_steps", "local_time")
ORDER = 1  # of the estimate for noise that depends on the state, by which steps are chosen
NO_AUTOMATIC_STEP = 0.01  # what diffrax takes, too: there is no heuristic for stochastic equations


@dataclass(frozen=True)
class RegularizedSDESolve:
    """Settings of an adaptive solve of a stochastic equation; call it to solve. JAX only: torchsde adapts outside its graph.

    Parameters
    ----------
    rtol, atol : tolerances of the step-size control, h <- 0.9 h / E by factors of 0.2 to 10.
    regularisers : of "R_E", "R_E2", "R_N" (see `sciml.nde.quantities`), "local_steps", "local_time" (from one accepted step,
        with its own increment, taken once more).
    aggregate : "sum", "mean" or "max" over steps.
    first_step : size of the first one.
    resolution : the Brownian path is exact on intervals down to this share of the whole time; smaller steps see a straight
        line, so it belongs well below the smallest step.
    grid : times at which all steps end, instead of step-size control.
    max_steps : per solve.

    Examples
    --------
    >>> from solvers.precision import jax
    >>> solve = RegularizedSDESolve(rtol=0.1, atol=0.1, regularisers=("R_E",))
    >>> f, g = lambda t, y, args: -y, lambda t, y, args: 0.2 * y
    >>> y, statistics = solve(f, g, jax.numpy.ones((4, 2)), [0.0, 1.0], jax.random.key(3))
    >>> y.shape, sorted(statistics.regularisers)
    ((2, 4, 2), ['R_E'])
    """

    rtol: float = 1e-2
    atol: float = 1e-2
    regularisers: tuple[str, ...] = ()
    aggregate: str = "sum"
    first_step: float = NO_AUTOMATIC_STEP
    resolution: float = 2.0**-14
    grid: tuple[float, ...] | None = None
    max_steps: int = 256

    method: ClassVar[str] = "stochastic heun"

    def __post_init__(self):
        for name in self.regularisers:
            if name not in REGULARISERS:
                raise unknown_name("regulariser of a stochastic solve", name, REGULARISERS)
        if self.aggregate not in AGGREGATES:
            raise unknown_name("aggregate", self.aggregate, AGGREGATES)
        if not (min(self.rtol, self.atol, self.first_step) > 0 and self.max_steps >= 1 and 0 < self.resolution < 1):
            raise SettingError(
                given=f"rtol={self.rtol}, atol={self.atol}, first_step={self.first_step}, max_steps={self.max_steps}, "
                f"resolution={self.resolution}",
                needed="positive numbers, resolution < 1", remedy="Change them.",
            )  # fmt: skip
        if self.grid is not None and (len(self.grid) < 2 or min(np.diff(self.grid)) <= 0):
            raise SettingError(given=f"a grid {self.grid}", needed="two or more increasing times", remedy="Change it.")

    def __call__(
        self, f: Callable, g: Callable, y0: Any, times: Any, key: Any, *, training: bool = True, args: Any = None
    ) -> tuple[Any, Statistics]:
        """Solve from y0 at times[0].

        Parameters
        ----------
        f, g : (t, y, args) -> drift, and the diagonal of the diffusion, both shaped as y.
        y0 : any shape; all of it is one system with one sequence of steps. Use `jax.vmap` for paths with steps of their own.
        times : (time,), increasing.   key : of the Brownian path.
        training : False leaves out local estimates, which cost evaluations.

        Returns
        -------
        y : (time, *y0.shape), and the `Statistics`; its evaluations are of the drift, and as many of the diffusion.
        """
        return importlib.import_module("sciml.nde.stochastic_heun").solve(self, f, g, y0, times, key, training, args)
