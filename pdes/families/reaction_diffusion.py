"""Reaction and diffusion: Fisher-KPP, Allen-Cahn, FitzHugh-Nagumo, Gray-Scott. The equation is all that is needed.

Gray-Scott's pairs (f, k) are those of The Well (Ohana et al., NeurIPS 2024); initial states are Gaussian clusters.
"""

from pdes.domain import Box, Periodic
from pdes.problem import Problem
from pdes.random_fields import fourier_series, grf
from pdes.random_shapes import blobs, mapped
from pdes.scalars import choice, fixed, loguniform, uniform
from pdes.semilinear import Semilinear

fisher_kpp = Problem(
    name="fisher_kpp",
    equation="u_t = nu*u_xx + rho*u*(1 - u)",
    domain=Periodic(x=(0, 1)),
    parameters={"nu": loguniform(1e-3, 1e-2), "rho": uniform(1, 10)},
    initial={"u": mapped(fourier_series(3, maximum=1), scale=0.5, offset=0.3, low=0.0, high=1.0)},
    time=(0, 1),
    compute_at_least=256,
    check={"initial": {"u": mapped(fourier_series(3, maximum=1), scale=0.3, offset=0.4)}},
    held_out_laws={"parameters": {"rho": uniform(10, 20)}},
    description="Fisher-KPP: populations between 0 and 1 that spread and saturate; held out: faster growth.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (1-D reaction-diffusion)",
)

allen_cahn = Problem(
    name="allen_cahn",
    equation="u_t = eps^2*u_xx + u - u^3",
    domain=Periodic(x=(0, 1)),
    parameters={"eps": loguniform(0.01, 0.05)},
    initial={"u": grf(tau=5, alpha=2, sigma=25, modes=32)},
    time=(0, 10),
    compute_at_least=256,
    held_out_laws={"parameters": {"eps": loguniform(0.006, 0.01)}},
    description="Allen-Cahn in one dimension: phases -1 and 1 with fronts of width eps; held out: thinner fronts.",
)

allen_cahn_2d = Problem(
    name="allen_cahn_2d",
    equation="u_t = eps^2*lap(u) + u - u^3",
    domain=Box(x=(0, 1), y=(0, 1), boundary="neumann", kind="cell"),
    parameters={"eps": loguniform(0.015, 0.04)},
    initial={"u": grf(tau=5, alpha=2, sigma=5, basis="neumann", modes=24)},
    time=(0, 10),
    compute_at_least=96,
    solver=Semilinear(dt=0.1),
    check={"time": (0, 4), "frames": 3, "resolution": 64, "compute_at_least": 0},
    held_out_laws={"parameters": {"eps": loguniform(0.01, 0.015)}},
    description="Allen-Cahn on a square with insulated walls: coarsening by curvature; held out: thinner fronts.",
)

fitzhugh_nagumo = Problem(
    name="fitzhugh_nagumo",
    equation="u_t = d*lap(u) + u - u^3 - kappa - v; v_t = e*lap(v) + u - v",
    domain=Box(x=(-1, 1), y=(-1, 1), boundary="neumann", kind="cell"),
    parameters={"d": fixed(1e-3), "e": fixed(5e-3), "kappa": uniform(2e-3, 1e-2)},
    initial={
        "u": grf(tau=5, alpha=2, sigma=20, basis="neumann", modes=24),
        "v": grf(tau=5, alpha=2, sigma=20, basis="neumann", modes=24),
    },
    time=(0, 5),
    frames=21,
    compute_at_least=128,
    solver=Semilinear(dt=0.05),
    check={"time": (0, 1), "frames": 3, "resolution": 64, "compute_at_least": 0},
    held_out_laws={"parameters": {"kappa": uniform(1e-2, 3e-2)}},
    description="FitzHugh-Nagumo activator and inhibitor between walls without flux; held out: stronger offset kappa.",
    citation="Takamoto et al., PDEBench, NeurIPS 2022 (2-D diffusion-reaction; here from smooth fields, not grid noise)",
)

_PATTERNS = {
    "gliders": (0.014, 0.054),
    "maze": (0.029, 0.057),
    "worms": (0.058, 0.065),
    "spirals": (0.018, 0.051),
    "spots": (0.030, 0.062),
}

_CLUSTERS = blobs(20, height=(0.7, 1.3), width=(0.02, 0.03))

gray_scott = Problem(
    name="gray_scott",
    equation="a_t = 2e-5*lap(a) - a*b^2 + f*(1 - a); b_t = 1e-5*lap(b) + a*b^2 - f*b - k*b",
    domain=Periodic(x=(-1, 1), y=(-1, 1)),
    parameters={
        "f": choice(*(f for f, _ in _PATTERNS.values()), shared="pattern"),
        "k": choice(*(k for _, k in _PATTERNS.values()), shared="pattern"),
    },
    initial={
        "a": mapped(_CLUSTERS, scale=-0.5, offset=1.0, low=0.0, shared="clusters"),
        "b": mapped(_CLUSTERS, scale=0.25, high=1.0, shared="clusters"),
    },
    time=(0, 2000),
    frames=41,
    compute_at_least=256,  # on 128 x 128 the fronts are not resolved: 16 to 32 % off at t = 500, where this is 0.4 to 1.4 %
    solver=Semilinear(dt=2.0),
    check={
        "time": (0, 60),
        "frames": 3,
        "resolution": 48,
        "compute_at_least": 0,
        "initial": {
            "a": mapped(fourier_series(1, maximum=1), scale=0.1, offset=0.6),
            "b": mapped(fourier_series(1, maximum=1), scale=0.1, offset=0.3),
        },
    },
    measure_every=64,
    held_out_laws={"parameters": {"f": uniform(0.03, 0.05), "k": uniform(0.058, 0.062)}},
    description="Gray-Scott patterns of five kinds (gliders, maze, worms, spirals, spots); held out: pairs in between.",
    citation="Pearson, Complex Patterns in a Simple System, Science 261 (1993) 189",
)

_POOLS = blobs(30, height=(0.7, 1.3), width=(0.03, 0.13))

gray_scott_bubbles = gray_scott.replace(  # these are holes: they need much of b to start in, where the other kinds need little
    name="gray_scott_bubbles",
    parameters={"f": 0.098, "k": 0.057},
    initial={
        "a": mapped(_POOLS, scale=-0.5, offset=1.0, low=0.0, shared="clusters"),
        "b": mapped(_POOLS, scale=0.33, high=0.5, shared="clusters"),
    },
    held_out_laws={"parameters": {"f": uniform(0.096, 0.0975), "k": fixed(0.0565)}},
    description="Gray-Scott bubbles, holes in a sea of b; held out: other pairs nearby.",
)
