"""`RegularizedSolve` on torchdiffeq: its solvers, with a record of accepted steps.

The hook is the method `_interp_fit`, which torchdiffeq 0.2.5 calls on accepted steps only, with both ends and all stages. Steps
are constants for the gradient: torchdiffeq's controller is outside the graph already, its automatic first step is detached.
The last step is made to end at the last time (torchdiffeq would go beyond it and interpolate).
"""

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torchdiffeq import odeint
from torchdiffeq._impl import adaptive_heun, bosh3, dopri5, rk_common

from sciml.nde.quantities import FROM_STEPS, combined, regulariser, scaled_error, stiffness
from sciml.nde.statistics import Statistics
from sciml.nde.tableaus import TSIT5, TSIT5_MIDDLE
from solvers.errors import SettingError, SolverError


def solve(setting, f: Callable, y0: torch.Tensor, times, training: bool, random, args) -> tuple[torch.Tensor, Statistics]:
    """See `RegularizedSolve.__call__`."""
    if args is not None:
        raise SettingError(given="args on torch", needed="None", remedy="Close over what f needs.")
    setting.warn_of_rounding(torch.finfo(y0.dtype).eps)
    t = torch.as_tensor(np.asarray([float(v) for v in times]), dtype=torch.float64, device=y0.device)
    if not (t.diff() > 0).all():
        raise SettingError(given=f"times {t.tolist()}", needed="increasing ones", remedy="Replace t by -t and f by -f.")
    if training and setting.steer:
        t = _moved(t, setting.steer, random)
    if setting.batching == "coupled":
        return _coupled(setting, f, y0, t, training, random)
    found = [_coupled(setting, f, y0[b : b + 1], t, training, random) for b in range(len(y0))]
    return torch.cat([y for y, _ in found], dim=1), stacked([s for _, s in found])


def _coupled(setting, f, y0, t, training, random) -> tuple[torch.Tensor, Statistics]:
    record = Record(f, setting, setting.wanted(training), random)
    options: dict[str, Any] = {"record": record, "step_t": t[-1:], "max_num_steps": setting.max_steps}
    if setting.first_step is not None:
        options["first_step"] = setting.first_step
    if setting.grid is not None:
        options |= _forced(setting.grid, t)
    try:
        y = odeint(record, y0, t, rtol=setting.rtol, atol=setting.atol, method=_registered(setting.method), options=options)
    except AssertionError as error:  # torchdiffeq's way to say that it gives up
        raise SolverError(
            given=f"a solve of which torchdiffeq says: {error}",
            needed=f"an equation that {setting.max_steps} steps of {setting.method} resolve",
            remedy="Raise max_steps, loosen the tolerances, or lower the penalty's coefficient at the start.",
        ) from error
    return y, record.statistics()  # pyright: ignore[reportReturnType]


def _moved(t: torch.Tensor, amount: float, random) -> torch.Tensor:
    share = 2 * torch.rand(len(t) - 1, generator=random, dtype=t.dtype) - 1
    room = torch.full_like(t[1:], amount) if len(t) == 2 else 0.5 * min(amount, 1.0) * t.diff()
    moved = torch.cat([t[:1], t[1:] + room * share.to(t.device)])
    if not (moved.diff() > 0).all():
        raise SettingError(given=f"steer={amount} for times {t.tolist()}", needed="less than the interval", remedy="Lower it.")
    return moved


def _forced(grid, t: torch.Tensor) -> dict[str, Any]:
    """Options under which each step ends at the next time of the grid, whatever its error."""
    times = torch.as_tensor(grid, dtype=torch.float64, device=t.device)
    if times[0] != t[0] or times[-1] != t[-1]:
        raise SettingError(given=f"a grid from {grid[0]} to {grid[-1]}", needed=f"{t[0]:g} to {t[-1]:g}", remedy="Change it.")
    beyond = 10 * float(times[-1] - times[0])
    return {"step_t": times[1:], "min_step": beyond, "first_step": beyond}


class Record:
    """The right-hand side as torchdiffeq sees it: counts evaluations, and keeps what accepted steps say."""

    def __init__(self, f: Callable, setting, wanted: tuple[str, ...], random):
        self.f, self.setting, self.pair, self.wanted, self.random = f, setting, setting.pair, wanted, random
        self.evaluations = self.rejected = 0
        self.begins: list[torch.Tensor] = []
        self.steps: list[torch.Tensor] = []
        self.states: list[torch.Tensor] = []
        self.errors: list[torch.Tensor] = []
        self.stiffness: list[torch.Tensor] = []
        self.along = {name: [] for name in wanted if name in INTEGRANDS}
        self.probe: torch.Tensor | None = None
        self.solver: Any = None

    def __call__(self, t, y):
        self.evaluations += 1
        return self.f(t, y)

    def callback_accept_step(self, t0, y0, dt):
        """torchdiffeq's call at an accepted step."""
        self.begins.append(t0.detach())

    def callback_reject_step(self, t0, y0, dt):
        """torchdiffeq's call at a rejected step."""
        self.rejected += 1

    def accepted(self, y0, y1, stages, dt) -> None:
        """One accepted step: stages (stage, *y) of f, dt its size."""
        h = dt.detach().to(y0.dtype)
        self.steps.append(h)
        self.states.append(y0)
        self.errors.append(self.error_of(y0, y1, stages, h))
        has_stiffness = "R_S" in self.setting.regularisers
        self.stiffness.append(stiffness(torch, stages, h, self.pair) if has_stiffness else torch.zeros_like(h))
        for name, sums in self.along.items():
            sums.append(h * self._along_stages(INTEGRANDS[name], y0, stages, h))

    def error_of(self, y0, y1, stages, h) -> torch.Tensor:
        """E of a step."""
        return scaled_error(torch, h * combined(self.pair.error, stages), y0, y1, self.setting.rtol, self.setting.atol)

    def _along_stages(self, integrand: Callable, y0, stages, h):
        """The quadrature of an integrand that integrating it beside y, outside the error norm, would give."""
        total = 0.0
        for i, weight in enumerate(self.pair.b):
            if weight:
                t = self.begins[-1].to(y0.dtype) + self.pair.c[i] * h
                state = y0 if i == 0 else y0 + h * combined(self.pair.a[i - 1], stages)
                total = total + weight * integrand(self, t, state, stages[i])
        return total

    def local(self, by_time: bool) -> torch.Tensor:
        """An unbiased estimate of R_E from one accepted step, taken once more by torchdiffeq's step."""
        steps = torch.stack(self.steps)
        chances = steps / steps.sum() if by_time else torch.full_like(steps, 1 / len(steps))
        j = int(torch.multinomial(chances.cpu(), 1, generator=self.random))
        return self.local_error(j) * steps[j] / chances[j]

    def local_error(self, j: int) -> torch.Tensor:
        """E of accepted step j, computed anew from its beginning."""
        t, h, y = self.begins[j], self.steps[j], self.states[j]
        y = y.detach() if self.setting.detach_state else y
        call = self.solver.func
        y1, _, _, k = rk_common._runge_kutta_step(call, y, call(t, y), t, h, t + h, tableau=self.solver.tableau)
        return self.error_of(y, y1, k.movedim(-1, 0), h)

    def statistics(self) -> Statistics:
        """All of it, with the regularisers."""
        steps, errors, stiff = (torch.stack(v) for v in (self.steps, self.errors, self.stiffness))
        valid = torch.ones_like(steps, dtype=torch.bool)
        values = {}
        for name in self.wanted:
            if name in FROM_STEPS:
                order, aggregate = self.pair.order, self.setting.aggregate
                values[name] = regulariser(torch, name, errors, stiff, steps, valid, order, aggregate)
            elif name in self.along:
                values[name] = torch.stack(self.along[name]).sum()
            else:
                values[name] = self.local(name == "local_time")
        begins = torch.stack(self.begins)
        count = len(self.steps)
        return Statistics(self.evaluations, count, self.rejected, begins, steps, errors, stiff, valid, values)


def _kinetic(record: Record, t, y, k):
    return (k * k).mean()


def _jacobian(record: Record, t, y, k):
    if record.probe is None:
        record.probe = torch.randint(0, 2, y.shape, generator=record.random).to(y) * 2 - 1
    back = torch.func.vjp(lambda v: record(t, v), y)[1]
    return (back(record.probe)[0] ** 2).mean()


def _taylor(order: int) -> Callable:
    def integrand(record: Record, t, y, k):
        _load_forward_mode()
        g = record
        for _ in range(order - 1):
            g = _total_derivative(record, g)
        return (g(t, y) ** 2).mean()

    return integrand


def _total_derivative(f: Callable, g: Callable) -> Callable:
    """dg/dt along solutions of y' = f."""
    return lambda t, y: torch.func.jvp(g, (t, y), (torch.ones_like(t), f(t, y)))[1]


@cache
def _load_forward_mode() -> None:
    """torch's forward mode warns of its own use of something deprecated, once, when it is first needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")


INTEGRANDS: dict[str, Callable] = {"kinetic": _kinetic, "jacobian": _jacobian, "taylor2": _taylor(2), "taylor3": _taylor(3)}


class _Tsit5(rk_common.RKAdaptiveStepsizeODESolver):
    """torchdiffeq 0.2.5 has no Tsit5 (and later ones go on with the companion solution, of order 4)."""

    order = 5
    tableau = rk_common._ButcherTableau(
        alpha=torch.tensor(TSIT5.c[1:], dtype=torch.float64),
        beta=[torch.tensor(row, dtype=torch.float64) for row in TSIT5.a],
        c_sol=torch.tensor(TSIT5.b, dtype=torch.float64),
        c_error=torch.tensor(TSIT5.error, dtype=torch.float64),
    )
    mid = torch.tensor(TSIT5_MIDDLE, dtype=torch.float64)


SOLVERS: dict[str, Any] = {
    "tsit5": _Tsit5,
    "dopri5": dopri5.Dopri5Solver,
    "bosh3": bosh3.Bosh3Solver,
    "heun": adaptive_heun.AdaptiveHeunSolver,
}


@cache
def _registered(method: str) -> str:
    """The name under which torchdiffeq finds the recording solver."""
    base = SOLVERS[method]

    class Recording(base):
        def __init__(self, func, y0, rtol, atol, *, record, **options):
            super().__init__(func, y0, rtol, atol, **options)
            self.record = record
            record.solver = self

        def _before_integrate(self, t):
            super()._before_integrate(t)
            self.rk_state = self.rk_state._replace(dt=self.rk_state.dt.detach())

        def _interp_fit(self, y0, y1, k, dt):
            self.record.accepted(y0, y1, k.movedim(-1, 0), dt)
            return super()._interp_fit(y0, y1, k, dt)

    name = f"sciml_{method}"
    importlib.import_module("torchdiffeq._impl.odeint").SOLVERS[name] = Recording  # the package shows a function of that name
    return name


def stacked(parts: list[Statistics]) -> Statistics:
    """Statistics of single rows as those of a batch; histories are filled up to the longest."""
    longest = max(len(p.steps) for p in parts)

    def filled(name: str) -> torch.Tensor:
        rows = [getattr(p, name) for p in parts]
        return torch.stack([torch.cat([r, r.new_zeros(longest - len(r))]) for r in rows])

    counts = {name: torch.tensor([getattr(p, name) for p in parts]) for name in ("evaluations", "accepted", "rejected")}
    histories = {name: filled(name) for name in ("starts", "steps", "errors", "stiffness", "valid")}
    values = {name: torch.stack([p.regularisers[name] for p in parts]) for name in parts[0].regularisers}
    return Statistics(**counts, **histories, regularisers=values)
