"""`RegularizedSDESolve` on torchsde: equal steps with gradients and an error estimate, or torchsde's own steps.

torchsde sees an equation (f and g) and a Brownian motion. Both are ours and take notes, which is all that its interface needs:
a step asks once for the increment over its interval, then evaluates f and g at its stages. From Heun's two stages,

    e = (k_1 - k_2) / 2,   k_i = f_i h + g_i dW

is the estimate that diffrax's Heun has, within the graph. Under its own control torchsde compares one step with two half ones,
outside the graph and without telling: steps are then counted by the intervals that it asks for, and nothing is to be learned
from their errors. Between ends of steps it would interpolate linearly, which takes variance away: steps end at all times.
"""

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torchsde  # pyright: ignore[reportMissingImports]

from sciml.nde.on_torchdiffeq import stacked
from sciml.nde.quantities import regulariser, scaled_error
from sciml.nde.statistics import Statistics
from sciml.nde.stochastic import ORDER
from sciml.randomness import Purpose, derived_seed
from solvers.errors import SettingError, SolverError

QUERIES = 3  # intervals of a step under control: the whole, and its halves
FINER, LEAST = 0.01, 0.1  # of the shortest step: to what torchsde rounds times (up to ten times that), and what is longer

Coefficient = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]


def solve(
    setting, f: Coefficient, g: Coefficient, y0: torch.Tensor, times, key, training: bool, args
) -> tuple[Any, Statistics]:
    """See `RegularizedSDESolve.__call__`."""
    alone = lambda h: lambda t, y, args: h(t, y[0], args)[None]  # noqa: E731
    y, s = _system(setting, alone(f), alone(g), y0[None], _checked(times), key, training, args)
    return y[:, 0], _only(s)


def of_items(setting, f: Coefficient, g: Coefficient, y0, times, key: int, training: bool, args) -> tuple[Any, Statistics]:
    """Solve every y0[i] (item, ...) as a system of its own, with args[i]: (time, item, ...), and statistics (item, ...).

    In training all items have paths of their own; else the same ones, so that no answer depends on the others.
    """
    if setting.steps_per_frame:  # equal for all: one call
        return _system(setting, f, g, y0, _checked(times), key, training, args)
    found = []
    for i in range(len(y0)):
        own = derived_seed(key, Purpose.STEP, i) if training else key
        given = args[i : i + 1] if args is not None else None
        found.append(_system(setting, f, g, y0[i : i + 1], _checked(times), own, training, given))
    return torch.cat([y for y, _ in found], 1), stacked([_only(s) for _, s in found])


def _only(s: Statistics) -> Statistics:
    """Statistics of one item as those of a system."""
    counts = {name: int(getattr(s, name)[0]) for name in ("evaluations", "accepted", "rejected")}
    histories = {name: getattr(s, name)[0] for name in ("starts", "steps", "errors", "stiffness", "valid")}
    return Statistics(**counts, **histories, regularisers={name: value[0] for name, value in s.regularisers.items()})


def _checked(times) -> np.ndarray:
    t = np.asarray([float(v) for v in times])
    if len(t) < 2 or not (np.diff(t) > 0).all():
        raise SettingError(given=f"times {t.tolist()}", needed="two or more, increasing", remedy="Change them.")
    return t


def _system(setting, f, g, y0, times: np.ndarray, key, training: bool, args) -> tuple[torch.Tensor, Statistics]:
    """One call for all rows of y0 (item, ...), whose errors are kept apart."""
    rows = y0.reshape(len(y0), -1)
    equation = Equation(lambda t, y: f(t, y, args), lambda t, y: g(t, y, args), y0.shape)
    path = Path(setting, rows, times, key, len(rows) if training else 1, equation)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Hitting minimum allowed step size")
        try:
            y = (_equal if setting.steps_per_frame else _controlled)(setting, equation, path, rows, times)
        except (AssertionError, UserWarning) as error:  # torchsde's ways to say that it gives up
            raise _failed(setting, f"of which torchsde says: {error}") from error
    return y.reshape(len(times), *y0.shape), path.statistics()


def _failed(setting, what: str) -> SolverError:
    return SolverError(
        given=f"a solve {what}",
        needed=f"an equation that {setting.max_steps} steps of {setting.method} resolve",
        remedy="Raise max_steps, loosen the tolerances, or take equal steps (steps_per_frame).",
    )


def _equal(setting, equation, path, y, times) -> torch.Tensor:
    """torchsde's constant steps, one call for each run of equally spaced times."""
    found, n = [y[None]], setting.steps_per_frame
    for run in _runs(times):
        dt = (run[-1] - run[0]) / (len(run) - 1) / n
        ends = np.cumsum([run[0], *[dt] * (n * (len(run) - 1))])  # as torchsde adds them up: every n-th is hit exactly
        t = torch.as_tensor(ends[::n])
        found.append(torchsde.sdeint(equation, found[-1][-1], t, bm=path, method=setting.method, dt=dt)[1:])
    return torch.cat(found)


def _runs(times: np.ndarray) -> Iterator[np.ndarray]:
    gaps = np.diff(times)
    cuts = np.flatnonzero(~np.isclose(gaps[1:], gaps[:-1], rtol=1e-9, atol=0)) + 1
    for a, b in pairwise([0, *cuts, len(gaps)]):
        yield times[a : b + 1]


def _controlled(setting, equation, path, y, times) -> torch.Tensor:
    """torchsde's adaptive steps, one call between two times, which starts with the longest step of the one before."""
    found, dt = [y], setting.first_step
    for t0, t1 in pairwise(times):
        options = {"rtol": setting.rtol, "atol": setting.atol, "dt_min": setting.resolution * (times[-1] - times[0])}
        t, before = torch.as_tensor([t0, t1]), len(path.asked)
        y = torchsde.sdeint(
            equation, found[-1], t, bm=path, method=setting.method, dt=min(dt, t1 - t0), adaptive=True, **options
        )[-1]
        found.append(y)
        dt = max(end - start for start, end in _taken(path.asked[before:]).items())
    return torch.stack(found)


def _taken(asked: list[tuple[float, float]]) -> dict[float, float]:
    """Accepted steps as {start: end}: those after which another start follows."""
    return dict(asked[::QUERIES])


class Equation:
    """The equation as torchsde sees it, (item, all else): counts evaluations of f, and lets its values be noted."""

    noise_type, sde_type = "diagonal", "stratonovich"

    def __init__(self, drift: Callable, diffusion: Callable, shape: tuple[int, ...]):
        self.drift, self.diffusion, self.shape = drift, diffusion, shape
        self.evaluations = 0
        self.stages: list[list[torch.Tensor]] = []  # of the present step: [y, f, g]

    def f(self, t, y):
        """Drift."""
        self.evaluations += 1
        value = self.drift(t, y.reshape(self.shape)).reshape(y.shape)
        self.stages.append([y, value])
        return value

    def g(self, t, y):
        """Diagonal of the diffusion."""
        value = self.diffusion(t, y.reshape(self.shape)).reshape(y.shape)
        if self.stages:
            self.stages[-1].append(value)
        return value


class Path(torchsde.BaseBrownian):
    """A Brownian motion that knows which steps were taken over it; the same for all rows if it has one.

    With equal steps the path belongs to its key and the steps; under control to its key alone (torchsde's `halfway_tree`, which
    is slower), because items with other steps are to have the same.
    """

    def __init__(self, setting, rows: torch.Tensor, times: np.ndarray, key, own: int, equation: Equation):
        self.like, self.start, self.span = rows, times[0], times[-1] - times[0]
        self.equation, self.setting = equation, setting
        self.keeps = bool(setting.regularisers)
        tree: dict[str, Any] = {"halfway_tree": True, "tol": FINER * setting.resolution}
        self.least = LEAST * setting.resolution
        if setting.steps_per_frame:
            tree, self.least = {"dt": 1 / len(setting.grid_of(times))}, 0.0
        self.given = None
        if isinstance(key, torchsde.BaseBrownian):
            self.given = key
        else:
            self.inside = torchsde.BrownianInterval(
                0.0, 1.0, (own, rows.shape[1]), rows.dtype, rows.device, entropy=int(key), **tree
            )
        self.asked: list[tuple[float, float]] = []
        self.increments: list[torch.Tensor] = []
        self.noted: list[list[list[torch.Tensor]]] = []

    def __call__(self, ta, tb=None, return_U=False, return_A=False):
        assert tb is not None, "steps ask for intervals"
        assert not return_U, "only methods without Levy area are offered"
        assert not return_A, "only methods without Levy area are offered"
        a, b = float(ta), float(tb)
        if len(self.asked) >= QUERIES * self.setting.max_steps:
            raise _failed(self.setting, "that took more")
        increment = self._increment(a, b).expand(self.like.shape)
        self.asked.append((a, b))
        self.equation.stages = []
        if self.keeps:
            self.increments.append(increment)
            self.noted.append(self.equation.stages)
        return increment

    def _increment(self, a: float, b: float) -> torch.Tensor:
        if self.given is not None:
            return self.given(a, b)
        low, high = (min(max((t - self.start) / self.span, 0.0), 1.0) for t in (a, b))
        if high - low <= self.least:  # what remains of an interval by rounding
            return self.like.new_zeros(1, self.like.shape[1])
        return self.inside(low, high) * self.span**0.5

    def statistics(self) -> Statistics:
        """Of all steps so far, for each item."""
        setting, rows, items = self.setting, self.like, len(self.like)
        equal = bool(setting.steps_per_frame)
        taken = dict(self.asked) if equal else _taken(self.asked)
        tried = len(self.asked) if equal else len(self.asked) // QUERIES
        starts = rows.new_tensor(list(taken)).expand(items, -1)
        steps = rows.new_tensor([end - start for start, end in taken.items()]).expand(items, -1)
        valid = torch.ones_like(steps, dtype=torch.bool)
        errors, values = torch.full_like(steps, np.nan), {}
        if self.keeps:
            noted = zip(self.asked, self.increments, self.noted, strict=True)
            errors = torch.stack([_errors(setting, *step) for step in noted], 1)
            for name in setting.regularisers:
                values[name] = torch.stack(
                    [
                        regulariser(torch, name, e, torch.zeros_like(e), h, v, ORDER, setting.aggregate)
                        for e, h, v in zip(errors, steps, valid, strict=True)
                    ]
                )
        evaluations, accepted, rejected = (
            torch.full((items,), n) for n in (self.equation.evaluations, len(taken), tried - len(taken))
        )
        stiffness = torch.zeros_like(steps)
        return Statistics(evaluations, accepted, rejected, starts, steps, errors, stiffness, valid, values)

    def __repr__(self) -> str:
        return f"Path({len(self.asked)} intervals asked for)"

    @property
    def dtype(self):
        """Of increments."""
        return self.like.dtype

    @property
    def device(self):
        """Of increments."""
        return self.like.device

    @property
    def shape(self):
        """(item, all else)."""
        return tuple(self.like.shape)

    @property
    def levy_area_approximation(self):
        """None is asked for: diagonal noise commutes."""
        return "none"


def _errors(setting, ends, increment, stages) -> torch.Tensor:
    """E of one step of Heun's method for each item."""
    h = ends[1] - ends[0]
    (y0, f0, g0), (_, f1, g1) = stages[:2]  # a third is torchsde's look at the shapes of the next run
    first, second = f0 * h + g0 * increment, f1 * h + g1 * increment
    scaled = lambda e, a, b: scaled_error(torch, e, a, b, setting.rtol, setting.atol)  # noqa: E731
    return torch.vmap(scaled)(0.5 * (first - second), y0, y0 + 0.5 * (first + second))
