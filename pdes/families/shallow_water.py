"""Shallow water on a flat bed, h_t + div(h u) = 0, (h u)_t + div(h u u) + grad(g h^2 / 2) = 0, with m = h u (and n = h v):

a circular dam that breaks in two dimensions (g = 1), and a straight one in one (g random).
"""

from pdes.domain import Box
from pdes.hyperbolic import FiniteVolumeSolver
from pdes.problem import Problem
from pdes.random_shapes import blobs
from pdes.random_states import water, water_pieces
from pdes.scalars import uniform

_STILL = ((0.0, 0.0), (0.0, 0.0))
_HILL, _DRIFT = (
    blobs(1, height, (0.08, 0.1), background, within=0.2) for height, background in (((0.1, 0.3), 1), ((0.2, 0.4), 0))
)

shallow_water = Problem(
    name="shallow_water",
    equation="h_t = -m_x - n_y; m_t = -dx(m^2/h + h^2/2) - dy(m*n/h); n_t = -dx(m*n/h) - dy(n^2/h + h^2/2)",
    domain=Box(x=(-2.5, 2.5), y=(-2.5, 2.5), boundary="outflow", kind="cell"),
    initial=water_pieces("disk", ((2.0, 2.0), *_STILL), ((1.0, 1.0), *_STILL), radius=(0.3, 0.7)),
    time=(0, 1),
    frames=21,
    solver=FiniteVolumeSolver("ShallowWater", g=1.0, scheme="mc"),
    refine=2,
    measure_every=32,
    check={
        "time": (0, 0.4),
        "frames": 3,
        "margin": 3,
        "refine": 1,
        "initial": water(_HILL, _DRIFT, _DRIFT),
    },
    held_out_laws={
        "initial": water_pieces("disk", ((2.0, 2.5), *_STILL), ((1.0, 1.0), *_STILL), radius=(0.7, 1.0), centre=(0.45, 0.55))
    },
    description="A circular dam of random radius breaks; held out: larger and higher columns, off the middle.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (2-D shallow water)",
)

dam_break_1d = Problem(
    name="dam_break_1d",
    equation="h_t = -m_x; m_t = -dx(m^2/h + g*h^2/2)",
    domain=Box(x=(0, 1), boundary="outflow", kind="cell"),
    parameters={"g": uniform(0.5, 1)},
    initial=water_pieces("tube", ((1.0, 2.0), (0.0, 0.0)), ((0.2, 1.0), (0.0, 0.0)), centre=(0.4, 0.6)),
    time=(0, 0.2),
    frames=11,
    solver=FiniteVolumeSolver("ShallowWater"),
    refine=4,
    check={
        "time": (0, 0.1),
        "frames": 3,
        "margin": 3,
        "refine": 1,
        "initial": water(_HILL, 0.0),
    },
    held_out_laws={
        "initial": water_pieces("tube", ((2.0, 3.0), (0.0, 0.0)), ((0.05, 0.2), (0.0, 0.0)), centre=(0.4, 0.6)),
    },
    description="A dam breaks onto still water; held out: higher dams onto shallower water.",
)
