"""`RegularizedSolve`: an adaptive solve by torchdiffeq or diffrax that also returns what its steps say of their difficulty.

    y(t) and R = regularisers of the accepted steps;   train on   loss(y) + lambda R

Error and stiffness estimates are by-products of embedded Runge-Kutta steps, so R_E, R_E2, R_S, R_N and the kinetic term cost no
evaluations of f. Gradients are those of the discrete solve with frozen steps (`sciml.nde.quantities`).
"""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciml.nde.quantities import AGGREGATES, FROM_STEPS, REGULARISERS
from sciml.nde.statistics import Statistics
from sciml.nde.tableaus import PAIRS, Pair
from solvers.errors import SettingError, unknown_name

BACKENDS = {"torch": "sciml.nde.on_torchdiffeq", "jax": "sciml.nde.on_diffrax"}
ADJOINTS = {"torch": ("discrete",), "jax": ("discrete", "direct", "forward")}
BATCHINGS = ("coupled", "per-sample")


@dataclass(frozen=True)
class RegularizedSolve:
    """Settings of an adaptive solve with regularisers; call it to solve.

    Parameters
    ----------
    backend : "torch" (torchdiffeq) or "jax" (diffrax).
    method : embedded pair: "tsit5", "dopri5", "bosh3" or "heun".
    rtol, atol : tolerances of the step-size control, which is integral control: h <- 0.9 h E^(-1/p), by factors of 0.2 to 10.
    regularisers : what to compute, of
        "R_E", "R_E2", "R_S", "R_N" (see `sciml.nde.quantities`);
        "kinetic" (integral of mean f^2) and "jacobian" (of mean (e^T df/dy)^2, e random signs): RNODE, Finlay et al. 2020;
        "taylor2", "taylor3" (integral of mean (d^K y/dt^K)^2): TayNODE, Kelly et al. 2020;
        "local_steps", "local_time": an estimate of R_E from one accepted step, taken once more, chosen uniformly among the
        steps or among the times (Pal, Edelman, Rackauckas 2023). Their r = E h is local_steps / accepted.
    aggregate : of the first four: "sum", "mean" (over accepted steps) or "max". A coefficient for the mean is one for the
        sum times the number of steps.
    batching : "coupled", all of y is one system with one sequence of steps; "per-sample", rows y[b] have their own.
    steer : in training, times are moved at random: of (t0, t1) the end to U(t1 - steer, t1 + steer); of a series each but the
        first by up to half its interval times `steer` (STEER, Ghosh et al. 2020). If f depends on t, its meaning moves along.
    first_step : size of the first step; None for the libraries' automatic one, one or two evaluations more.
    grid : times at which all steps end, instead of step-size control: E is then reported for a fixed grid.
    max_steps : per solve (torchdiffeq: between two times); also the length of diffrax's histories.
    adjoint : "discrete" is reverse mode through the accepted steps. On diffrax "direct" and "forward" (mode) work as well;
        continuous adjoints do not see the steps and would give a gradient of zero, so they are refused.
    detach_state : of local estimates: whether the state where the extra step begins is a constant (as published).

    Examples
    --------
    >>> import torch
    >>> solve = RegularizedSolve("torch", regularisers=("R_E", "R_N"))
    >>> y, statistics = solve(lambda t, y: -y, torch.ones(4, 2), [0.0, 1.0])
    >>> tuple(y.shape), sorted(statistics.regularisers)
    ((2, 4, 2), ['R_E', 'R_N'])
    """

    backend: str
    method: str = "tsit5"
    rtol: float = 1e-6
    atol: float = 1e-6
    regularisers: tuple[str, ...] = ("R_E",)
    aggregate: str = "sum"
    batching: str = "coupled"
    steer: float = 0.0
    first_step: float | None = None
    grid: tuple[float, ...] | None = None
    max_steps: int = 256
    adjoint: str = "discrete"
    detach_state: bool = True

    def __post_init__(self):
        choices = {"backend": BACKENDS, "method": PAIRS, "aggregate": AGGREGATES, "batching": BATCHINGS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        for name in self.regularisers:
            if name not in REGULARISERS:
                raise unknown_name("regulariser", name, REGULARISERS)
        if self.adjoint not in ADJOINTS[self.backend]:
            raise SettingError(
                given=f"adjoint={self.adjoint!r} on {self.backend}",
                needed=f"one of {', '.join(map(repr, ADJOINTS[self.backend]))}",
                remedy="Continuous adjoints do not see the error estimates of the steps: their gradient would be zero.",
            )
        if not (self.rtol > 0 and self.atol > 0 and self.max_steps >= 1 and self.steer >= 0):
            raise SettingError(
                given=f"rtol={self.rtol}, atol={self.atol}, max_steps={self.max_steps}, steer={self.steer}",
                needed="positive tolerances and steps, steer >= 0", remedy="Change them.",
            )  # fmt: skip
        if "R_S" in self.regularisers and self.pair.between_last_stages is None:
            raise SettingError(
                given=f"R_S with {self.method!r}, which has no two stages at the same time",
                needed="'tsit5' or 'dopri5'",
                remedy="Change `method`, or leave R_S out.",
            )
        grid = self.grid
        if grid is not None and (len(grid) < 2 or min(np.diff(grid)) <= 0 or self.steer or self.first_step):
            raise SettingError(
                given=f"a grid of {len(grid)} times, steer={self.steer}, first_step={self.first_step}",
                needed="at least two increasing times, and neither of the other two",
                remedy="A grid fixes all steps.",
            )

    @property
    def pair(self) -> Pair:
        """The embedded pair."""
        return PAIRS[self.method]

    def __call__(
        self, f: Any, y0: Any, times: Any, *, training: bool = True, random: Any = None, args: Any = None
    ) -> tuple[Any, Statistics]:
        """Solve dy/dt = f(t, y) from y0 at times[0].

        Parameters
        ----------
        f : (t, y) -> dy/dt; on diffrax (t, y, args), and it may be an Equinox module. In per-sample batching y is one row,
            (1, ...).
        y0 : (item, ...) tensor or JAX array.   times : (time,), increasing, at least two.
        training : False leaves out regularisers that cost evaluations, and STEER.
        random : `torch.Generator` or None (torch's own); a JAX key, needed by "jacobian", local estimates and STEER.

        Returns
        -------
        y : (time, item, ...), and the `Statistics`.

        Raises
        ------
        SettingError : times that do not increase, or end outside the grid.   SolverError : max_steps, or an underflow; on JAX
            the same fails as diffrax's own error, when the numbers are asked for.
        """
        if getattr(times, "ndim", 1) != 1 or len(times) < 2:
            raise SettingError(given=f"times {times!r}", needed="at least two, in one axis", remedy="Pass [t0, t1].")
        backend = importlib.import_module(BACKENDS[self.backend])
        return backend.solve(self, f, y0, times, training, random, args)

    def wanted(self, training: bool) -> tuple[str, ...]:
        """The regularisers to compute: in evaluation only those that are free."""
        free = (*FROM_STEPS, "kinetic")
        return tuple(name for name in self.regularisers if training or name in free)

    def warn_of_rounding(self, eps: float) -> None:
        """Tell that tolerances lie below what the numbers can hold: E is then rounding noise, and its gradient no error's."""
        if self.rtol < 50 * eps:
            warnings.warn(
                f"rtol={self.rtol:g} is below 50 units of rounding ({50 * eps:.1e}): error estimates are noise. "
                "Use float64, or a larger tolerance.",
                RuntimeWarning,
                stacklevel=4,
            )
