"""`RegularizedSDESolve`: stochastic Heun on diffrax or torchsde that also returns what its steps say of their difficulty.

    dy = f(t, y) dt + g(t, y) o dW,   g diagonal, Stratonovich

The embedded estimate of a step is half the difference of its two slopes, (k_1 - k_2) / 2 with k = f h + g dW: of size h for
noise that depends on the state, h^1.5 for noise that does not. Its scaled norm E_j controls the steps and makes the
regularisers R_E, R_E2, R_N, as for ordinary equations (Pal, Ma, Shah, Rackauckas, Opening the Blackbox, ICML 2021, with
another solver). Increments and steps are constants for the gradient. An Ito equation with diagonal noise becomes one of these
by f - g g'/2. The steps of a path are chosen with its noise known; for diagonal noise, which commutes, that leaves Heun's limit
as it is.

diffrax adapts its steps within the graph. torchsde adapts them outside, by comparing a step with two halves, and keeps the
numbers to itself; with equal steps Heun's estimate follows from what it asks of the equation, and is the same as diffrax's.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.nde.quantities import AGGREGATES, FROM_STEPS
from sciml.nde.statistics import Statistics
from solvers.errors import MissingPackage, SettingError, unknown_name

BACKENDS = {"jax": "sciml.nde.stochastic_heun", "torch": "sciml.nde.on_torchsde"}
METHODS = {"jax": ("heun",), "torch": ("heun", "midpoint", "euler_heun", "milstein")}
REGULARISERS = ("R_E", "R_E2", "R_N", "local_steps", "local_time")
ORDER = 1  # of the estimate for noise that depends on the state, by which steps are chosen
NO_AUTOMATIC_STEP = 0.01  # what diffrax takes, too: there is no heuristic for stochastic equations


@dataclass(frozen=True)
class RegularizedSDESolve:
    """Settings of a solve of a stochastic equation; call it to solve.

    Parameters
    ----------
    rtol, atol : tolerances of the step-size control: diffrax's h <- 0.9 h / E by factors of 0.2 to 10, or torchsde's own.
    regularisers : of "R_E", "R_E2", "R_N" (see `sciml.nde.quantities`), "local_steps", "local_time" (from one accepted step,
        with its own increment, taken once more). On torch the first three, with "heun" and equal steps.
    aggregate : "sum", "mean" or "max" over steps.
    first_step : size of the first one.
    resolution : the Brownian path is exact on intervals down to this share of the whole time; smaller steps see a straight
        line, so it belongs well below the smallest step. On torch no step under control may be shorter.
    grid : times at which all steps end, instead of step-size control. JAX only.
    max_steps : per solve.
    backend : "jax" (diffrax) or "torch" (torchsde, the extra `sde`).
    method : "heun"; on torch also "midpoint", "euler_heun" and "milstein", all of strong order 1 for diagonal noise.
    steps_per_frame : so many equal steps between two times, instead of step-size control; 0 for that.

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
    backend: str = "jax"
    method: str = "heun"
    steps_per_frame: int = 0

    def __post_init__(self):
        if self.backend not in BACKENDS:
            raise unknown_name("backend", self.backend, BACKENDS)
        if self.method not in METHODS[self.backend]:
            raise unknown_name(f"stochastic method on {self.backend}", self.method, METHODS[self.backend])
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
        if self.steps_per_frame < 0 or (self.steps_per_frame and self.grid is not None):
            raise SettingError(
                given=f"steps_per_frame={self.steps_per_frame}, grid={self.grid}", needed="one of them, not negative",
                remedy="Leave one out.",
            )  # fmt: skip
        if self.backend == "torch":
            self._check_torch()

    def _check_torch(self) -> None:
        if self.grid is not None:
            raise SettingError(given="a grid on torch", needed="steps_per_frame: torchsde has equal steps", remedy="Set it.")
        unseen = [name for name in self.regularisers if name not in FROM_STEPS]
        if unseen or (self.regularisers and (self.method != "heun" or not self.steps_per_frame)):
            raise SettingError(
                given=f"regularisers {self.regularisers} with method={self.method!r}, steps_per_frame={self.steps_per_frame} "
                "on torch",
                needed="'R_E', 'R_E2' or 'R_N', and equal steps of 'heun': torchsde adapts its steps outside the graph "
                "and gives no error to learn from",
                remedy="Use backend='jax', or for these three set steps_per_frame.",
            )
        if importlib.util.find_spec("torchsde") is None:
            raise MissingPackage(
                given="backend='torch' for a stochastic equation, and no torchsde here", needed="the package torchsde",
                remedy="pip install 'sciml-operators[sde]', or use backend='jax'.",
            )  # fmt: skip

    def grid_of(self, times: Any) -> tuple[float, ...]:
        """Ends of all steps over these times, when there are `steps_per_frame`."""
        t, n = np.asarray(times, np.float64), self.steps_per_frame
        if n * (len(t) - 1) > self.max_steps:
            raise SettingError(
                given=f"{len(t) - 1} times {n} steps, max_steps={self.max_steps}", needed="enough", remedy="Raise max_steps."
            )
        ends = t[:-1, None] + np.diff(t)[:, None] * np.arange(n) / n
        return (*ends.reshape(-1).tolist(), float(t[-1]))

    def __call__(
        self, f: Callable, g: Callable, y0: Any, times: Any, key: Any, *, training: bool = True, args: Any = None
    ) -> tuple[Any, Statistics]:
        """Solve from y0 at times[0].

        Parameters
        ----------
        f, g : (t, y, args) -> drift, and the diagonal of the diffusion, both shaped as y.
        y0 : any shape; all of it is one system with one sequence of steps. Use `jax.vmap` for paths with steps of their own.
        times : (time,), increasing.
        key : of the Brownian path: JAX's; on torch an integer, or a Brownian motion of torchsde's, shaped (1, y0.numel()).
        training : False leaves out local estimates, which cost evaluations.

        Returns
        -------
        y : (time, *y0.shape), and the `Statistics`; its evaluations are of the drift, on torch as they happen (torchsde looks
            at the shapes of every run with one more). Errors are NaN where torchsde does not tell, or nothing is regularised.

        Raises
        ------
        SettingError : times that do not increase, or more equal steps than max_steps.
        SolverError : on torch, steps below `resolution`, or more than max_steps; on JAX diffrax's own error.
        """
        return importlib.import_module(BACKENDS[self.backend]).solve(self, f, g, y0, times, key, training, args)
