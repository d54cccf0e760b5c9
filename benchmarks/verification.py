"""Every solver beside an exact solution or a published number, and every problem beside its own equation: one table of figures.

    python -m benchmarks.verification [--problems NAME ...]

Writes verification.json and docs/verification.md. The tests hold the same cases, with bounds; here are the numbers. The
cavity has its own file (verification_cavity), as have data by others (third_party) and Riemann problems (solver_hyperbolic).
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

import pdes
from benchmarks.record import record
from pdes.checks import CheckFailure, check_problem
from pdes.semilinear import Semilinear
from solvers.elliptic import Poisson
from solvers.exponential import ExponentialRK
from solvers.files import write_bytes
from solvers.grid import Axis, Grid
from solvers.multigrid import Diffusion
from solvers.ode import Ode
from solvers.projection import ProjectionNavierStokes
from solvers.schroedinger import SplitStep
from solvers.sorption import DiffusionSorption
from solvers.waves import Leapfrog, SpectralWave

PAGE = Path(__file__).parents[1] / "docs" / "verification.md"


def relative(found, exact) -> float:
    """Relative L2 distance."""
    return float(np.linalg.norm(np.asarray(found) - exact) / np.linalg.norm(exact))


def family(name: str, parameters: dict, domain, size: int, start: Callable, times: Sequence[float], dt: float) -> tuple:
    """(x, last frame) of a periodic problem in one unknown, from a given state, with a given step."""
    problem = pdes.get(name).replace(domain=domain)
    grid = problem.stored_grid(size)
    x = grid.coordinates()[0]
    values = {k: np.array([v]) for k, v in parameters.items()}
    solver = Semilinear(dt=dt).prepare(problem.replace(time=(times[0], times[-1]), frames=tuple(times)), grid, 0)
    (unknown,) = problem.equation.unknowns
    return x, solver(problem, grid, {unknown: start(x)[None]}, values, np.array(times)).fields[unknown][0, -1]


# -- exact solutions: what is compared, at which steps or sizes, errors -------------------------------------------------

CASES: list[tuple[str, str, Callable[[], Iterator[tuple[float, float]]], str]] = []


def case(against: str, axis: str):
    """Register a generator of (step or size, error), its title the docstring."""

    def keep(function):
        CASES.append(((function.__doc__ or "").rstrip("."), against, function, axis))
        return function

    return keep


@case("−2νφₓ/φ, φ = 2 + exp(−4π²νt) cos 2πx", "points")
def cole_hopf():
    """Burgers, Cole–Hopf."""
    from solvers.cole_hopf import ColeHopf

    nu, t = 0.05, 0.4
    for n in (32, 64, 128):
        grid = Grid.box("periodic", n)
        x = grid.coordinates()[0]

        def exact(t, x=x):
            decay = np.exp(-4 * np.pi**2 * nu * t)
            phi, slope = 2 + decay * np.cos(2 * np.pi * x), -2 * np.pi * decay * np.sin(2 * np.pi * x)
            return -2 * nu * slope / phi

        found = ColeHopf(grid).solve(exact(0.0)[None], np.array([0.0, t]), {"nu": nu}).values[0, 1]
        yield n, relative(found, exact(t))


@case("the same", "step")
def burgers_steps():
    """Burgers, ETDRK4."""
    nu, domain = 0.02, pdes.Periodic(x=(0, 1))

    def exact(x, t):
        decay = np.exp(-4 * np.pi**2 * nu * t)
        phi, slope = 2 + decay * np.cos(2 * np.pi * x), -2 * np.pi * decay * np.sin(2 * np.pi * x)
        return -2 * nu * slope / phi

    for dt in (0.2, 0.1, 0.05, 0.025):
        x, found = family("burgers", {"nu": nu}, domain, 128, lambda x: exact(x, 0.0), (0.0, 1.0), dt)
        yield dt, relative(found, exact(x, 1.0))


@case("3c sech²(√c (x − ct)/2), c = 2", "step")
def kdv():
    """KdV soliton, ETDRK4 with complex coefficients."""
    soliton = lambda x, t: 6 / np.cosh(np.sqrt(0.5) * (x - 2 * t)) ** 2  # noqa: E731
    for dt in (0.01, 0.005, 0.0025, 0.00125):
        x, found = family("kdv", {"delta2": 1.0}, pdes.Periodic(x=(-20, 20)), 256, lambda x: soliton(x, 0), (0.0, 1.0), dt)
        yield dt, relative(found, soliton(x, 1.0))


@case("(1 + exp((x − 5t/√6)/√6))⁻²", "step")
def fisher():
    """Fisher–KPP wave."""
    front = lambda x, t: (1 + np.exp((np.abs(x) - 30 - 5 * t / np.sqrt(6)) / np.sqrt(6))) ** -2  # noqa: E731
    for dt in (0.4, 0.2, 0.1, 0.05):
        where = pdes.Periodic(x=(-80, 80))
        x, found = family("fisher_kpp", {"nu": 1.0, "rho": 1.0}, where, 1024, lambda x: front(x, 0), (0.0, 2.0), dt)
        yield dt, float(np.abs(found - front(x, 2.0)).max())


@case("1/(1 + exp((x − 3t/√2)/√2))", "step")
def allen_cahn():
    """Allen–Cahn front."""
    front = lambda x, t: 1 / (1 + np.exp((np.abs(x) - 20 - 3 * t / np.sqrt(2)) / np.sqrt(2)))  # noqa: E731
    for dt in (0.4, 0.2, 0.1, 0.05):
        x, found = family("allen_cahn", {"eps": 1.0}, pdes.Periodic(x=(-60, 60)), 1024, lambda x: front(x, 0), (0.0, 2.0), dt)
        yield dt, float(np.abs(found - front(x, 2.0)).max())


@case("a sech(a(x − ct/2)) …, g = −1", "step")
def soliton_two():
    """Schrödinger soliton, splitting of order 2."""
    yield from _soliton(2, (0.08, 0.04, 0.02, 0.01))


@case("the same", "step")
def soliton_four():
    """Schrödinger soliton, splitting of order 4."""
    yield from _soliton(4, (0.08, 0.04, 0.02))


def _soliton(order: int, steps: Sequence[float]):
    grid, a, c = Grid.box("periodic", 256, start=-20, stop=20), 1.2, 1.0
    x = grid.coordinates()[0]

    def exact(t):
        s = t / 2
        return a / np.cosh(a * (x - c * s)) * np.exp(1j * (c * x / 2 + (a**2 - c**2 / 4) * s))

    for dt in steps:
        found = SplitStep(grid, dt, order).solve(exact(0)[None], np.array([0.0, 1.6]), {"g": -1.0}).values[0, -1]
        yield dt, relative(found, exact(1.6))


@case("d'Alembert", "points")
def dalembert():
    """Wave, exact propagator."""
    pulse = lambda x, at: np.exp(-(((x - at) / 0.05) ** 2))  # noqa: E731
    for n in (64, 128, 256):
        grid = Grid.box("periodic", n)
        x = grid.coordinates()[0]
        start = np.stack([pulse(x, 0.5), 0 * x], -1)[None]
        found = SpectralWave(grid).solve(start, np.array([0.0, 0.4]), {"c": 0.5}).values[0, 1, :, 0]
        yield n, relative(found, (pulse(x, 0.3) + pulse(x, 0.7)) / 2)


@case("cos(2πx) cos(πy/2) cos ωt", "spacing")
def leapfrog():
    """Wave between walls, leap-frog."""
    for n in (16, 32, 64, 128):
        walls = ("neumann", "neumann")
        grid = Grid((Axis("x", n, 0, 1, "cell", walls), Axis("y", n, 0, 2, "cell", walls)))
        x, y = grid.mesh()
        wave, omega = np.cos(2 * np.pi * x) * np.cos(np.pi * y / 2), 1.5 * np.pi * np.hypot(2, 0.5)
        start = np.stack([wave, 0 * wave], -1)[None]
        found = Leapfrog(grid, 0.3 / n).solve(start, np.array([0.0, 0.6]), {"c2": 2.25}).values[0, 1, ..., 0]
        yield 1 / n, relative(found, wave * np.cos(0.6 * omega))


@case("plane wave, k = 10", "spacing")
def helmholtz():
    """Helmholtz with open sides."""
    from solvers.helmholtz import Helmholtz

    k, a, b = 10.0, 0.6, 0.8
    wave = lambda x, y: np.exp(1j * k * (a * x + b * y))  # noqa: E731
    flux = {  # u_n - i k u
        "left": lambda y: -1j * k * (1 + a) * wave(0.0, y),
        "right": lambda y: 1j * k * (a - 1) * wave(1.0, y),
        "bottom": lambda x: -1j * k * (1 + b) * wave(x, 0.0),
        "top": lambda x: 1j * k * (b - 1) * wave(x, 1.0),
    }
    for n in (16, 32, 64):
        grid = Grid.box("cell", n, dimension=2, boundary="robin")
        found = Helmholtz(grid, "impedance", flux).solve(np.full((1, *grid.shape), k)).values[0]
        yield 1 / n, float(np.abs(found - wave(*grid.mesh())).max())


@case("0.073671353279", "spacing")
def poisson_centre():
    """Poisson, −Δu = 1 on the square, u(½, ½)."""
    for n in (31, 63, 127, 255):
        grid = Grid.box("interior", n, dimension=2, boundary="dirichlet")
        u = Poisson(grid).solve(np.ones((1, n, n))).values[0]
        yield 1 / (n + 1), abs(float(u[n // 2, n // 2]) - 0.073671353279) / 0.073671353279


@case("manufactured, a = 1 + ½ sin 2πx cos πy", "spacing")
def diffusion():
    """Diffusion with a smooth coefficient, multigrid."""
    for n in (32, 64, 128, 256):
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        x, y = grid.mesh()
        a = 1 + 0.5 * np.sin(2 * np.pi * x) * np.cos(np.pi * y)
        ax, ay = np.pi * np.cos(2 * np.pi * x) * np.cos(np.pi * y), -0.5 * np.pi * np.sin(2 * np.pi * x) * np.sin(np.pi * y)
        u = np.sin(np.pi * x) * np.sin(np.pi * y)
        ux, uy = np.pi * np.cos(np.pi * x) * np.sin(np.pi * y), np.pi * np.sin(np.pi * x) * np.cos(np.pi * y)
        f = 2 * np.pi**2 * a * u - ax * ux - ay * uy
        yield 1 / n, relative(Diffusion(grid, method="mg-pcg").solve(a[None], f[None]).values[0], u)


@case("Taylor–Green vortices", "spacing")
def taylor_green():
    """Navier–Stokes with walls or without, projection."""
    for n in (16, 32, 64):
        grid = Grid(tuple(Axis(name, n, 0, 2 * np.pi, cells=True) for name in "xy"))
        h = grid.spacing[0]
        x, y = grid.mesh()
        start = (np.cos(x - h / 2) * np.sin(y))[None], (-np.sin(x) * np.cos(y - h / 2))[None]
        found = ProjectionNavierStokes(grid, 1.6 / n).solve(start, np.array([0.5, 1.5]), {"nu": 0.1}).values_or_raise()
        yield h, relative(found[0, -1, ..., 0], np.cos(x) * np.sin(y) * np.exp(-0.2))


@case("a run with an eighth of the finest step", "step")
def vorticity():
    """Vorticity, ETDRK4."""
    from solvers.incompressible import VorticityNavierStokes

    grid = Grid.box("periodic", 64, dimension=2, stop=2 * np.pi)
    x, y = grid.mesh()
    start = (np.sin(x) * np.cos(2 * y) + 0.5 * np.cos(3 * x + y) + 0.3 * np.sin(2 * x - 2 * y))[None]
    run = lambda dt: VorticityNavierStokes(grid, dt).solve(start, np.array([0.0, 2.0]), {"nu": 1e-3}).values[0, -1]  # noqa: E731
    reference = run(0.0015625)
    for dt in (0.1, 0.05, 0.025, 0.0125):
        yield dt, relative(run(dt), reference)


@case("differences between grids", "spacing")
def sorption():
    """Diffusion–sorption, finite volumes."""
    fields = {}
    for n in (64, 128, 256, 512):
        solver = DiffusionSorption(Grid.box("cell", n, boundary="free"), tolerance=1e-8)
        fields[n] = solver.solve(np.full((1, n), 0.1), np.array([0.0, 200.0])).values_or_raise()[0, -1].reshape(64, -1).mean(1)
    for n in (64, 128, 256):
        yield 1 / n, relative(fields[n], fields[2 * n])


@case("exp(−νk²t)", "points")
def heat():
    """Heat equation, exponential."""
    grid = Grid.box("periodic", 32)
    x = grid.coordinates()[0]
    solver = ExponentialRK(grid, lambda k, p: -p["nu"] * k[0] ** 2, lambda u, modes, p: 0 * u, 1.0)
    start = np.cos(2 * np.pi * x) + 0.3 * np.sin(6 * np.pi * x)
    found = solver.solve(start[None], np.array([0.0, 1.0]), {"nu": 0.02}).values[0, -1]
    exact = sum(
        a * np.exp(-0.02 * (2 * np.pi * m) ** 2) * g(2 * np.pi * m * x) for a, m, g in ((1, 1, np.cos), (0.3, 3, np.sin))
    )
    yield 32, relative(found, exact)


@case("1/(1 + 9 exp(−t)) at tolerance", "tolerance")
def logistic():
    """Logistic growth, adaptive Runge–Kutta."""
    for rtol in (1e-4, 1e-7, 1e-10):
        times = np.linspace(0, 5, 11)
        found = Ode(_growth, rtol=rtol, atol=1e-2 * rtol).solve(np.array([[0.1]]), times).values[0, :, 0]
        yield rtol, relative(found, 1 / (1 + 9 * np.exp(-times)))


def _growth(t, u, p):
    return u * (1 - u)


# -- fronts and solitons of equations as a user types them ---------------------------------------------------------------


def typed(equation: str, domain, size: int, start: Callable, end: float, dt: float, **parameters) -> tuple:
    """(mesh, last frame of each unknown) of an equation from a given state, with a given step."""
    zero = {name: pdes.constant(0.0) for name in pdes.Equation(equation).evolving}
    problem = pdes.Problem(
        name="typed", equation=equation, domain=domain, time=(0, end), frames=2, initial=zero, parameters=parameters
    )
    grid, times = problem.stored_grid(size), np.array([0.0, end])
    values = {name: np.array([value]) for name, value in parameters.items()}
    states = {name: field[None] for name, field in start(*grid.mesh()).items()}
    found = Semilinear(dt=dt).prepare(problem, grid, 0)(problem, grid, states, values, times)
    return grid.mesh(), {name: field[0, -1] for name, field in found.fields.items()}


@case("Hirota's 2 (log F)ₓₓ", "step")
def two_solitons():
    """Two solitons of KdV, before and after they meet."""
    k, place = np.array([1.3, 0.8]), np.array([-18.0, -2.0])

    def exact(x, t):
        a, b = (q * (x - p) - q**3 * t for q, p in zip(k, place, strict=True))
        powers = np.stack([0 * a, a, b, a + b + 2 * np.log((k[0] - k[1]) / k.sum())])
        slopes, weights = np.array([0, *k, k.sum()])[:, None], np.exp(powers - powers.max(0))
        weights /= weights.sum(0)
        return 2 * ((weights * slopes**2).sum(0) - (weights * slopes).sum(0) ** 2)

    for dt in (0.02, 0.01, 0.005):
        (x,), found = typed("u_t = -6*u*u_x - u_xxx", pdes.Periodic(x=(-40, 60)), 512, lambda x: {"u": exact(x, 0)}, 28.0, dt)
        yield dt, relative(found["u"], exact(x, 28.0))


@case("1/(1 + exp((x − ct)/√2)), c = (1 − 2a)/√2", "step")
def bistable():
    """Bistable front, a = 0.1."""
    front = lambda x, t: 1 / (1 + np.exp((np.abs(x) - 30 - 0.8 / np.sqrt(2) * t) / np.sqrt(2)))  # noqa: E731
    where, text = pdes.Periodic(x=(-60, 60)), "u_t = u_xx + u*(1 - u)*(u - a)"
    for dt in (0.8, 0.4, 0.2):
        (x,), found = typed(text, where, 1024, lambda x: {"u": front(x, 0)}, 4.0, dt, a=0.1)
        yield dt, float(np.abs(found["u"] - front(x, 4.0)).max())


@case("¾ ± 1/(4(1 + exp((4(y − x) − t)/(32ν))))", "points")
def burgers_two():
    """Burgers in 2-D, a front of two velocities."""
    nu, t, half = 0.02, 0.5, 4.0
    share = lambda across, t: 0.25 / (1 + np.exp(np.clip((4 * across - t) / (32 * nu), -700, 700)))  # noqa: E731

    def start(x, y):
        across = (y - x + half) % (2 * half) - half
        far = np.clip((np.abs(across) - 1.8) / 2, 1e-9, 1 - 1e-9)  # far away it is led back to its other end
        level = 0.125 + (share(across, 0) - 0.125) / (1 + np.exp(np.clip(1 / (1 - far) - 1 / far, -700, 700)))
        return {"u": 0.75 - level, "v": 0.75 + level}

    text = "u_t = nu*lap(u) - u*u_x - v*u_y; v_t = nu*lap(v) - u*v_x - v*v_y"
    for n in (64, 128, 256):
        (x, y), found = typed(text, pdes.Periodic(x=(-half, half), y=(-half, half)), n, start, t, 0.005, nu=nu)
        near = np.abs(y - x) < 0.8
        yield n, float(np.abs(found["u"] - 0.75 + share(y - x, t))[near].max())


@case("sin πx sin 2πy (2.84e-3, 7.10e-4, 1.78e-4, 4.44e-5 by another program)", "spacing")
def diffusion_exponential():
    """Diffusion with a = exp(xy), cells."""
    for n in (32, 64, 128, 256):
        grid = Grid.box("cell", n, dimension=2, boundary="dirichlet")
        x, y = grid.mesh()
        u, a = np.sin(np.pi * x) * np.sin(2 * np.pi * y), np.exp(x * y)
        ux, uy = np.pi * np.cos(np.pi * x) * np.sin(2 * np.pi * y), 2 * np.pi * np.sin(np.pi * x) * np.cos(2 * np.pi * y)
        f = -a * (-5 * np.pi**2 * u + y * ux + x * uy)
        yield 1 / n, relative(Diffusion(grid).solve(a[None], f[None]).values[0], u)


@case("u = 1 − exp(λx) cos 2πy", "spacing")
def kovasznay():
    """Kovasznay's flow, steady, by Newton's method."""
    from solvers.steady_flow import SteadyNavierStokes

    rate = 20 - np.sqrt(400 + 4 * np.pi**2)  # Re = 40
    u = lambda x, y: 1 - np.exp(rate * x) * np.cos(2 * np.pi * y)  # noqa: E731
    v = lambda x, y: rate / (2 * np.pi) * np.exp(rate * x) * np.sin(2 * np.pi * y)  # noqa: E731
    walls = {s: (lambda y, x=x: u(x, y), lambda y, x=x: v(x, y)) for s, x in (("left", -0.5), ("right", 1.0))}
    walls |= {s: (lambda x, y=y: u(x, y), 0.0) for s, y in (("bottom", -0.5), ("top", 0.5))}
    for n in (16, 32, 64):
        sides = ("wall", "wall")
        grid = Grid((Axis("x", n, -0.5, 1.0, "cell", sides), Axis("y", n, -0.5, 0.5, "cell", sides)))
        found = SteadyNavierStokes(grid, walls).solve({"nu": 1 / 40}).values_or_raise()[0, ..., 0]
        yield 1 / n, relative(found, u(*grid.mesh()))


# -- statistics ---------------------------------------------------------------------------------------------------------


CHAOS = {  # length -> points, samples, times between which runs part, exponent by the tangent equation
    22: (32, 512, (100.0, 250.0), "0.0487; 0.043 to 0.048 in the literature"),
    36: (48, 128, (80.0, 220.0), "0.0775 ± 0.0005"),
    64: (96, 96, (60.0, 200.0), "0.087"),
    100: (144, 64, (60.0, 200.0), "0.092 ± 0.003"),
}


def lyapunov(length: int) -> dict:
    """Kuramoto–Sivashinsky: the largest exponent, from runs 1e-11 apart."""
    points, samples, (begin, end), known = CHAOS[length]
    ks = pdes.get("kuramoto_sivashinsky").replace(domain=pdes.Periodic(x=(0, length)))
    grid, rng = ks.stored_grid(points), np.random.default_rng(2026)
    x = 2 * np.pi * grid.coordinates()[0] / length
    modes = range(1, 4 + length // 22)
    u = sum(rng.uniform(-1, 1, (samples, 1)) * np.sin(m * x + rng.uniform(0, 6, (samples, 1))) for m in modes)
    solver, nu = Semilinear(dt=0.1), {"nu": np.ones(samples)}
    warm = solver(ks, grid, {"u": np.asarray(u)}, nu, np.array([0.0, 500.0])).fields["u"][:, -1]
    other, times = warm + 1e-11 * rng.standard_normal(warm.shape), np.array([0.0, begin, end])
    a, b = (solver(ks, grid, {"u": start}, nu, times).fields["u"] for start in (warm, other))
    growth = np.log(np.linalg.norm(a - b, axis=2))
    each = (growth[:, 2] - growth[:, 1]) / (end - begin)
    return {
        "quantity": f"Largest Lyapunov exponent of Kuramoto–Sivashinsky, L = {length}",
        "found": float(each.mean()),
        "standard_error": float(each.std() / np.sqrt(samples)),
        "reference": f"by the tangent equation {known}",
    }


# -- problems -----------------------------------------------------------------------------------------------------------


def problems(names: Sequence[str]) -> list[dict]:
    """What `check_problem` measures for each."""
    rows = []
    for name in track(names, "problems"):
        start = time.perf_counter()
        try:
            found = check_problem(pdes.get(name))
        except CheckFailure as failure:
            rows.append({"problem": name, "failure": str(failure)})
            continue
        rows.append(
            {
                "problem": name,
                "resolution": found.resolution,
                "label_error": found.label_error,
                "residual_coarse": float(found.residuals[0]),
                "residual_fine": float(found.residuals[1]),
                "order": found.order,
                "flipped_sign": found.sharpest,
                "seconds": time.perf_counter() - start,
            }
        )
    return rows


def solver_rows() -> list[dict]:
    """Errors and observed orders of every case."""
    rows = []
    for title, against, run, axis in track(CASES, "solvers"):
        pairs = list(run())
        sizes, errors = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        row = {"case": title, "against": against, "axis": axis, "sizes": sizes, "errors": errors, "orders": []}
        if axis in ("step", "spacing") and len(pairs) > 1:
            row["orders"] = np.diff(np.log(errors)) / np.diff(np.log(sizes))
        rows.append(row)
    return rows


def page(payload: dict) -> str:
    """The tables as Markdown."""
    lines = [
        "# Figures of verification",
        "",
        "Made by `python -m benchmarks.verification`; the same cases, with bounds, are tests.",
        "",
    ]
    lines += ["## Solvers beside exact solutions", "", "| case | against | errors | observed orders |", "|---|---|---|---|"]
    for row in payload["solvers"]:
        sizes = ", ".join(f"{s:.3g}" for s in row["sizes"])
        errors = ", ".join(f"{e:.1e}" for e in row["errors"])
        orders = ", ".join(f"{o:.2f}" for o in row["orders"]) or "–"
        lines.append(f"| {row['case']} | {row['against']} | {errors} ({row['axis']} {sizes}) | {orders} |")
    for s in payload["statistics"]:
        lines += ["", f"{s['quantity']}: {s['found']:.4f} ± {s['standard_error']:.4f} ({s['reference']})."]
    lines += ["", "## Problems beside their own equations", ""]
    lines += [
        "Label error: distance to a solve on a grid twice as fine. Residual: of the stored float32 fields, by second-order"
    ]
    lines += [
        "stencils that share no code with the solvers, at the resolution given and at twice that. Flipped sign: the smallest"
    ]
    lines += ["factor by which a wrong sign of any term raises it.", ""]
    lines += ["| problem | points | label error | residual | order | flipped sign |", "|---|---|---|---|---|---|"]
    for row in payload["problems"]:
        if "failure" in row:
            lines.append(f"| {row['problem']} | failed: {row['failure']} | | | | |")
            continue
        order = "rounding" if np.isnan(row["order"]) else f"{row['order']:.2f}"
        residual = f"{row['residual_coarse']:.1e}, {row['residual_fine']:.1e}"
        first = f"{row['problem']} | {row['resolution']} | {row['label_error']:.1e}"
        lines.append(f"| {first} | {residual} | {order} | {row['flipped_sign']:.3g} × |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--problems", nargs="*", default=None, help="names; default all partial differential equations")
    parser.add_argument("--name", default="verification", help="name of the results file")
    options = parser.parse_args(arguments)
    payload = {
        "solvers": solver_rows(),
        "statistics": [lyapunov(length) for length in CHAOS],
        "problems": problems(pdes.names("pde") if options.problems is None else options.problems),
    }
    text = page(payload)
    Console().print(text, highlight=False, soft_wrap=True)
    record(options.name, payload)
    if options.name == "verification":
        write_bytes(PAGE, text.encode())
    return payload


if __name__ == "__main__":
    main()
