"""ODEBench: the sixty-three systems by which equation recovery is scored, `odebench_01` to `odebench_63`.

    x0_t = f0(x0, x1, ...; c0, c1, ...),  x1_t = ...          on [0, 10]

Each has one set of constants and two starts. A sample starts near one of them, within 10 % (held out: 10 to 20 % away), so that
there is as much to train on as one asks for; the constants stay as they are (`get("odebench_03", c0=uniform(...))` frees them).
`trajectories(number)` gives the two trajectories of the benchmark, solved to 1e-12: its published data were made at 1e-5, and
for the Lorenz systems 55 and 56 they leave the true solution.

d'Ascoli, Becker, Mathis, Schwaller, Kilbertus, ODEFormer: Symbolic regression of dynamical systems with transformers, ICLR
2024; the systems are mostly from Strogatz, Nonlinear Dynamics and Chaos.
"""

import numpy as np

from pdes.dataset import Dataset
from pdes.domain import Point
from pdes.ode_families._system import system
from pdes.ordinary import Ordinary
from pdes.problem import Problem
from solvers.errors import unknown_name
from solvers.result import Result

CITATION = "d'Ascoli, Becker, Mathis, Schwaller, Kilbertus, ODEFormer, ICLR 2024"

# number, what it describes, right-hand sides of x0, x1, ..., constants c0, c1, ..., the two starts
ROWS = (
    (1, "RC charging", "(c0 - x0/c1)/c2", (0.7, 1.2, 2.31), ((10,), (3.54,))),
    (2, "exponential growth", "c0*x0", (0.23,), ((4.78,), (0.87,))),
    (3, "logistic", "c0*x0*(1 - x0/c1)", (0.79, 74.3), ((7.3,), (21,))),
    (4, "RC, non-linear resistor", "1/(1 + exp(c0 - x0/c1)) - 0.5", (0.5, 0.96), ((0.8,), (0.02,))),
    (5, "falling body with drag", "c0 - c1*x0^2", (9.81, 0.0021175), ((0.5,), (73,))),
    (6, "autocatalysis", "c0*x0 - c1*x0^2", (2.1, 0.5), ((0.13,), (2.24,))),
    (7, "Gompertz", "c0*x0*log(c1*x0)", (0.032, 2.29), ((1.73,), (9.5,))),
    (8, "Allee", "c0*x0*(1 - x0/c1)*(x0/c2 - 1)", (0.14, 130, 4.4), ((6.123,), (2.1,))),
    (9, "language death", "(1 - x0)*c0 - x0*c1", (0.32, 0.28), ((0.14,), (0.55,))),
    (10, "language death, refined", "(1 - x0)*c0*x0^c1 - x0*(1 - c0)*(1 - x0)^c1", (0.2, 1.2), ((0.83,), (0.34,))),
    (11, "critical slowing down", "-x0^3", (), ((3.4,), (1.6,))),
    (12, "laser photons", "c0*x0 - c1*x0^2", (1.8, 0.1107), ((11,), (1.3,))),
    (13, "bead on hoop, overdamped", "c0*sin(x0)*(c1*cos(x0) - 1)", (0.0981, 9.7), ((3.1,), (2.4,))),
    (14, "budworm", "c0*x0*(1 - x0/c1) - c3*x0^2/(c2^2 + x0^2)", (0.78, 81, 21.2, 0.9), ((2.76,), (23.3,))),
    (15, "budworm, dimensionless", "c0*x0*(1 - x0/c1) - x0^2/(1 + x0^2)", (0.4, 95), ((44.3,), (4.5,))),
    (16, "Landau", "c0*x0 - c1*x0^3 - c2*x0^5", (0.1, -0.04, 0.001), ((0.94,), (1.65,))),
    (17, "harvesting", "c0*x0*(1 - x0/c1) - c2", (0.4, 100, 0.3), ((14.3,), (34.2,))),
    (18, "harvesting, saturating", "c0*x0*(1 - x0/c1) - c2*x0/(c3 + x0)", (0.4, 100, 0.24, 50), ((21.1,), (44.1,))),
    (19, "same, dimensionless", "x0*(1 - x0) - c0*x0/(c1 + x0)", (0.08, 0.8), ((0.13,), (0.03,))),
    (20, "gene switching", "c0 - c1*x0 + x0^2/(1 + x0^2)", (0.1, 0.55), ((0.002,), (0.25,))),
    (21, "SIR reduced", "c0 - c1*x0 - exp(-x0)", (1.2, 0.2), ((0,), (0.8,))),
    (22, "protein expression", "c0 + c1*x0^5/(c2 + x0^5) - c3*x0", (1.4, 0.4, 123, 0.89), ((3.1,), (6.3,))),
    (23, "overdamped pendulum", "c0 - sin(x0)", (0.21,), ((-2.74,), (1.65,))),
    (24, "harmonic", "x1; -c0*x0", (2.1,), ((0.4, -0.03), (0, 0.2))),
    (25, "damped harmonic", "x1; -c0*x0 - c1*x1", (4.5, 0.43), ((0.12, 0.043), (0, -0.3))),
    (26, "LV competition", "x0*(c0 - x0 - c1*x1); x1*(c2 - x0 - x1)", (3, 2, 2), ((5, 4.3), (2.3, 3.6))),
    (27, "Lotka–Volterra", "x0*(c0 - c1*x1); -x1*(c2 - c3*x0)", (1.84, 1.45, 3, 1.62), ((8.3, 3.4), (0.4, 0.65))),
    (28, "pendulum", "x1; -c0*sin(x0)", (0.9,), ((-1.9, 0), (0.3, 0.8))),
    (29, "dipole fixed point", "c0*x0*x1; x1^2 - x0^2", (0.65,), ((3.2, 1.4), (1.3, 0.2))),
    (30, "RNA replication", "x0*(x1 - c0*x0*x1); x1*(x0 - c0*x0*x1)", (1.61,), ((0.3, 0.04), (0.1, 0.21))),
    (31, "SIR", "-c0*x0*x1; c0*x0*x1 - c1*x1", (0.4, 0.314), ((7.2, 0.98), (20, 12.4))),
    (32, "damped double well", "x1; -c0*x1 + x0 - x0^3", (0.18,), ((-1.8, -1.8), (5.8, 0))),
    (33, "glider", "-sin(x1) - c0*x0^2; x0 - cos(x1)/x0", (0.08,), ((5, 0.7), (9.81, -0.8))),
    (34, "bead on hoop", "x1; sin(x0)*(cos(x0) - c0)", (0.93,), ((2.1, 0), (-1.2, -0.2))),
    (
        35,
        "shear-flow rotation",
        "cos(x1)/sin(x1)*cos(x0); sin(x0)*(cos(x1)^2 + c0*sin(x1)^2)",
        (4.2,),
        ((1.13, -0.3), (2.4, 1.7)),
    ),
    (36, "pendulum, non-linear damping", "x1; -sin(x0) - x1 - c0*cos(x0)*x1", (0.07,), ((0.45, 0.9), (1.34, -0.8))),
    (37, "van der Pol", "x1; -x0 - c0*(x0^2 - 1)*x1", (0.43,), ((2.2, 0), (0.1, 3.2))),
    (38, "van der Pol (Liénard)", "c0*(x1 - x0^3/3 + x0); -x0/c0", (3.37,), ((0.7, 0), (-1.1, -0.7))),
    (39, "glycolysis", "-x0 + c0*x1 + x0^2*x1; c1 - c0*x0 - x0^2*x1", (2.4, 0.07), ((0.4, 0.31), (0.2, -0.7))),
    (40, "Duffing-type", "x1; -x0 + c0*x1*(1 - x0^2)", (0.886,), ((0.63, -0.03), (0.2, 0.2))),
    (41, "cell cycle", "c0*(x1 - x0)*(c1 + x0^2) - x0; c2 - x0", (15.3, 0.001, 0.3), ((0.8, 0.3), (0.02, 1.2))),
    (42, "CDIMA reaction", "c0 - x0 - c1*x0*x1/(1 + x0^2); c2*x0*(1 - x1/(1 + x0^2))", (8.9, 4, 1.4), ((0.2, 0.35), (3, 7.8))),
    (43, "driven pendulum", "x1; c0 - sin(x0) - c1*x1", (1.67, 0.64), ((1.47, -0.2), (-1.9, 0.03))),
    (44, "driven pendulum, quadratic drag", "x1; c0 - sin(x0) - c1*x1*abs(x1)", (1.67, 0.64), ((1.47, -0.2), (-1.9, 0.03))),
    (45, "Gray–Scott", "c0*(1 - x0) - x0*x1^2; x0*x1^2 - c1*x1", (0.5, 0.02), ((1.4, 0.2), (0.32, 0.64))),
    (46, "bar magnets", "c0*sin(x0 - x1) - sin(x0); c0*sin(x1 - x0) - sin(x1)", (0.33,), ((0.54, -0.1), (0.43, 1.21))),
    (
        47,
        "binocular rivalry",
        "-x0 + 1/(1 + exp(c0*x1 - c1)); -x1 + 1/(1 + exp(c0*x0 - c1))",
        (4.89, 1.4),
        ((0.65, 0.59), (3.2, 10.3)),
    ),
    (
        48,
        "respiration",
        "c0 - x0 - x0*x1/(1 + c1*x0^2); c2 - x0*x1/(1 + c1*x0^2)",
        (18.3, 0.48, 11.23),
        ((0.1, 30.4), (13.2, 5.21)),
    ),
    (49, "Brusselator", "1 - (c0 + 1)*x0 + c1*x0^2*x1; c0*x0 - c1*x0^2*x1", (3.03, 3.1), ((0.7, -1.4), (2.1, 1.3))),
    (50, "Schnakenberg", "c0 - x0 + x0^2*x1; c1 - x0^2*x1", (0.24, 1.43), ((0.14, 0.6), (1.5, 0.9))),
    (51, "oscillator death", "c0 + sin(x1)*cos(x0); c1 + sin(x1)*cos(x0)", (1.432, 0.972), ((2.2, 0.67), (0.03, -0.12))),
    (
        52,
        "Maxwell–Bloch",
        "c0*(x1 - x0); c1*(x0*x2 - x1); c2*(c3 + 1 - x2 - c3*x0*x1)",
        (0.1, 0.21, 0.34, 3.1),
        ((1.3, 1.1, 0.89), (0.89, 1.3, 1.1)),
    ),
    (
        53,
        "apoptosis",
        "c0 - c5*x1*x0/(c9 + x0) - c4*x0; "
        "c1*x2*(c8 + x1) - c2*x1/(c6 + x1) - c3*x0*x1/(c7 + x1); "
        "-c1*x2*(c8 + x1) + c2*x1/(c6 + x1) + c3*x0*x1/(c7 + x1)",
        (0.1, 0.6, 0.2, 7.95, 0.05, 0.4, 0.1, 2, 0.1, 0.1),
        ((0.005, 0.26, 2.15), (0.248, 0.0973, 0.0027)),
    ),
    (
        54,
        "Lorenz periodic",
        "c0*(x1 - x0); c1*x0 - x1 - x0*x2; x0*x1 - c2*x2",
        (5.1, 12, 1.67),
        ((2.3, 8.1, 12.4), (10, 20, 30)),
    ),
    (
        55,
        "Lorenz complex periodic",
        "c0*(x1 - x0); c1*x0 - x1 - x0*x2; x0*x1 - c2*x2",
        (10, 99.96, 8 / 3),
        ((2.3, 8.1, 12.4), (10, 20, 30)),
    ),
    (
        56,
        "Lorenz chaotic",
        "c0*(x1 - x0); c1*x0 - x1 - x0*x2; x0*x1 - c2*x2",
        (10, 28, 8 / 3),
        ((2.3, 8.1, 12.4), (10, 20, 30)),
    ),
    (
        57,
        "Rössler fixed point",
        "c3*(- x1 - x2); c3*(x0 + c0*x1); c3*(c1 + x2*(x0 - c2))",
        (-0.2, 0.2, 5.7, 5),
        ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1)),
    ),
    (
        58,
        "Rössler periodic",
        "c3*(- x1 - x2); c3*(x0 + c0*x1); c3*(c1 + x2*(x0 - c2))",
        (0.1, 0.2, 5.7, 5),
        ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1)),
    ),
    (
        59,
        "Rössler chaotic",
        "c3*(- x1 - x2); c3*(x0 + c0*x1); c3*(c1 + x2*(x0 - c2))",
        (0.2, 0.2, 5.7, 5),
        ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1)),
    ),
    (
        60,
        "Aizawa",
        "x0*(x2 - c1) - c3*x1; c3*x0 + x1*(x2 - c1); c2 + c0*x2 - x2^3/3 - (x0^2 + x1^2)*(1 + c4*x2) + c5*x2*x0^3",
        (0.95, 0.7, 0.65, 3.5, 0.25, 0.1),
        ((0.1, 0.05, 0.05), (-0.3, 0.2, 0.1)),
    ),
    (61, "Chen–Lee", "c0*x0 - x1*x2; c1*x1 + x0*x2; c2*x2 + x0*x1/c3", (5, -10, -3.8, 3), ((15, -15, -15), (8, 14, -10))),
    (
        62,
        "rivalry, adaptation",
        "-x0 + 1/(1 + exp(c0*x2 + c1*x1 - c2)); c3*(x0 - x1); -x2 + 1/(1 + exp(c0*x0 + c1*x3 - c2)); c3*(x2 - x3)",
        (0.89, 0.4, 1.4, 1),
        ((2.25, -0.5, -1.13, 0.4), (0.342, -0.431, -0.86, 0.041)),
    ),
    (
        63,
        "SEIR",
        "-c1*x0*x2; c1*x0*x2 - c0*x1; c0*x1 - c2*x2; c2*x2",
        (0.47, 0.28, 0.3),
        ((0.6, 0.3, 0.09, 0.01), (0.4, 0.3, 0.25, 0.05)),
    ),
)


def _problem(number: int, what: str, sides: str, constants: tuple, starts: tuple) -> Problem:
    equation = "; ".join(f"x{i}_t = {side.strip()}" for i, side in enumerate(sides.split(";")))
    return system(
        f"odebench_{number:02d}",
        equation,
        starts,
        {f"c{i}": value for i, value in enumerate(constants)},
        spread=0,
        jitter=0.5 if number == 5 else 0.1,  # a body at rest falls like any other
        frames=512,
        solver=Ordinary(limit=1e4),
        description=f"ODEBench {number}: {what}; starts near the benchmark's, held out: 10 to 20 % away.",
        citation=CITATION,
    )


SYSTEMS = {f"odebench_{row[0]:02d}": _problem(*row) for row in ROWS}


def trajectories(number: int, times: np.ndarray | None = None) -> Dataset:
    """The benchmark's two trajectories of a system, at relative tolerance 1e-12: one sample for each of its starts.

    times : (time,) from 0; None takes the benchmark's 512 points on [0, 10].

    Raises
    ------
    UnknownName : no such number.

    Examples
    --------
    >>> data = trajectories(3)
    >>> data.fields["x0"].shape, data.fields["x0"][:, 0].tolist()
    ((2, 512), [7.300000190734863, 21.0])
    """
    name = f"odebench_{number:02d}"
    if name not in SYSTEMS:
        raise unknown_name("ODEBench system", name, SYSTEMS)
    problem, (_, what, _, constants, starts) = SYSTEMS[name], ROWS[number - 1]
    times = np.asarray(problem.times if times is None else times, np.float64)
    parameters = {f"c{i}": np.full(2, float(value)) for i, value in enumerate(constants)}
    states = dict(zip(problem.equation.unknowns, np.array(starts, np.float64).T, strict=True))
    solution = Ordinary(rtol=1e-12, atol=1e-14)(problem, Point().grid(()), states, parameters, times)
    Result(next(iter(solution.fields.values())), solution.outcome).values_or_raise()
    return Dataset(
        fields={key: values.astype(np.float32) for key, values in solution.fields.items()},
        grid=Point().grid(()),
        times=times,
        parameters=parameters,
        provenance={"family": name, "equation": str(problem.equation), "description": what, "citation": CITATION},
    )
