"""Linear equations with constant coefficients, exact at any time: heat, advection-diffusion, dispersion, hyper-diffusion.

Every Fourier mode moves and decays on its own; the equation is all that is needed.
"""

from pdes.domain import Box, Periodic
from pdes.problem import Problem
from pdes.random_fields import fourier_series, grf
from pdes.scalars import loguniform, uniform

heat = Problem(
    name="heat",
    equation="u_t = nu*u_xx",
    domain=Periodic(x=(0, 1)),
    parameters={"nu": loguniform(1e-3, 1e-2)},
    initial={"u": fourier_series(5, maximum=1)},
    time=(0, 1),
    held_out_laws={"parameters": {"nu": loguniform(1e-2, 3e-2)}},
    conserved={"mass": "u"},
    description="Heat equation on a circle; held out: faster diffusion.",
)

heat_2d = Problem(
    name="heat_2d",
    equation="u_t = nu*lap(u)",
    domain=Box(x=(0, 1), y=(0, 1), boundary="neumann", kind="cell"),
    parameters={"nu": loguniform(1e-3, 1e-2)},
    initial={"u": grf(tau=5, alpha=2, basis="neumann", modes=16)},
    time=(0, 1),
    frames=6,
    compute_at_least=128,
    check={"compute_at_least": 0},
    held_out_laws={"parameters": {"nu": loguniform(1e-2, 3e-2)}},
    conserved={"mass": "u"},
    description="Heat equation on an insulated square; held out: faster diffusion.",
)

heat_3d = Problem(
    name="heat_3d",
    equation="u_t = nu*lap(u)",
    domain=Periodic(x=(0, 1), y=(0, 1), z=(0, 1)),
    parameters={"nu": loguniform(1e-3, 1e-2)},
    initial={"u": fourier_series(2, maximum=1)},
    time=(0, 1),
    frames=6,
    check={"resolution": 24},
    held_out_laws={"parameters": {"nu": loguniform(1e-2, 3e-2)}},
    conserved={"mass": "u"},
    description="Heat equation in a periodic cube; held out: faster diffusion.",
)

advection_diffusion = Problem(
    name="advection_diffusion",
    equation="u_t = nu*lap(u) - c*u_x - d*u_y",
    domain=Periodic(x=(0, 1), y=(0, 1)),
    parameters={"nu": loguniform(1e-3, 5e-3), "c": uniform(-1, 1), "d": uniform(-1, 1)},
    initial={"u": fourier_series(3, maximum=1)},
    time=(0, 1),
    held_out_laws={"parameters": {"c": uniform(1, 2), "d": uniform(-2, -1)}},
    conserved={"mass": "u"},
    description="Advection and diffusion on a torus; held out: faster flow.",
)

dispersion = Problem(
    name="dispersion",
    equation="u_t = mu*u_xxx",
    domain=Periodic(x=(0, 1)),
    parameters={"mu": uniform(2e-4, 1e-3)},
    initial={"u": fourier_series(5, maximum=1)},
    time=(0, 1),
    held_out_laws={"parameters": {"mu": uniform(1e-3, 2e-3)}},
    conserved={"mass": "u"},
    description="Linear dispersion: waves of different length part; held out: stronger dispersion.",
    citation="Koehler et al., APEBench: A Benchmark for Autoregressive Neural Emulators of PDEs, NeurIPS 2024",
)

hyper_diffusion = Problem(
    name="hyper_diffusion",
    equation="u_t = -mu*u_xxxx",
    domain=Periodic(x=(0, 1)),
    parameters={"mu": loguniform(1e-6, 1e-5)},
    initial={"u": fourier_series(5, maximum=1)},
    time=(0, 1),
    held_out_laws={"parameters": {"mu": loguniform(1e-5, 3e-5)}},
    conserved={"mass": "u"},
    description="Fourth-order diffusion; held out: stronger.",
    citation="Koehler et al., APEBench: A Benchmark for Autoregressive Neural Emulators of PDEs, NeurIPS 2024",
)
