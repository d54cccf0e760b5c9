"""How the modules here write a system down: reference parameters, a range around them, and a box or states to start in."""

from collections.abc import Mapping

from pdes.domain import Point
from pdes.problem import Problem
from pdes.scalars import around, beside, near

State = tuple[float, ...]


def system(
    name: str,
    equation: str,
    start: State | tuple[State, ...] | Mapping,
    parameters: Mapping[str, float] | None = None,
    *,
    spread: float = 0.1,
    jitter: float = 0.1,
    time: float = 10.0,
    frames: int = 192,
    **options,
) -> Problem:
    """A problem on a point.

    start : laws of the components; or a state, or several, near which (relative change up to `jitter`) trajectories start.
    parameters : reference values; drawn within `spread` of them, and up to twice as far on the held-out split (where there are
        no ranges, the held-out split starts further away instead).
    time : length of a trajectory, `frames` stored states with the first.
    """
    references = dict(parameters or {})
    unknowns = tuple(statement.split("_t =")[0].strip() for statement in equation.split(";"))
    held_out = {}
    if isinstance(start, Mapping):
        initial = dict(start)
    else:
        states = tuple(start) if isinstance(start[0], tuple) else (start,)
        initial = near(unknowns, states, 0, jitter)  # pyright: ignore[reportArgumentType]
        if not (spread and any(references.values())):
            held_out["initial"] = near(unknowns, states, jitter, 2 * jitter)  # pyright: ignore[reportArgumentType]
    if spread and any(references.values()):
        held_out["parameters"] = beside(references, spread, 2 * spread)
    settings = {"parameters": around(references, spread), "initial": initial, "held_out_laws": held_out, **options}
    return Problem(name=name, equation=equation, domain=Point(), time=(0.0, float(time)), frames=frames, **settings)
