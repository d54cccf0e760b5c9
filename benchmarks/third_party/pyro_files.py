"""Pyro 4.5.1, `pyro/*/tests/*.h5` of its wheel: final states of gas, water, other flow, transport, diffusion, multigrid.

Problems are set up from their formulas. Each stored state is judged by the truth (exact, or our solver on finer grids): "error"
is its distance from that, "ours" that of our solver on its grid, "apart" the distance between the two. A bound is about twice
the error that our own scheme of the same order has on that grid. Distances are relative, L1 where there are jumps, else L2;
controls with another gamma are those of the density.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import pdes
from benchmarks.solver_hyperbolic import Tube, averages, conserved
from benchmarks.third_party.fetching import Source
from pdes.semilinear import Semilinear
from solvers.conservation_laws import Advection, Burgers, Euler
from solvers.elliptic import Poisson, apply_diffusion, apply_faces
from solvers.finite_volume import FiniteVolume
from solvers.grid import Axis, Grid
from solvers.incompressible import VorticityNavierStokes, velocity
from solvers.multigrid import Diffusion
from solvers.projection import ProjectionNavierStokes

_FILES = {
    "advection/smooth_0040": "450ae06621932b1e",
    "advection_fv4/smooth_0081": "5f4bca0196f414f2",
    "advection_rk/smooth_0081": "b1f181cee4561345",
    "burgers/test_0051": "10faba5eedd9d6ec",
    "compressible/quad_unsplit_0606": "bd53a56fe2de23f8",
    "compressible/sod_x_0076": "b32d9d437f108bbc",
    "compressible_fv4/acoustic_pulse_0160": "8560539b801a29c1",
    "compressible_sdc/acoustic_pulse_0160": "df568b50301dd0ee",
    "diffusion/gaussian_0164": "c794c43007ad7c2b",
    "incompressible/shear_128_0216": "881afd945d057c99",
    "incompressible_viscous/cavity_n64_Re400_0025": "d4fd28ecb7f999d3",
    "multigrid/mg_general_poisson_inhomogeneous": "572b8869a48eb54e",
    "multigrid/mg_poisson_dirichlet": "dca03975aacf564c",
    "multigrid/mg_vc_poisson_dirichlet": "f4575aa731124707",
    "multigrid/mg_vc_poisson_periodic": "42afc2abae40ed3f",
    "swe/dam_x_0081": "8c60cba90febfec7",
}


def _local(name: str) -> str:
    return f"pyro-{name.replace('/', '-')}.h5"


SOURCE = Source(
    "pyro-hydro==4.5.1",
    "BSD-3-Clause",
    built=True,
    archive="191850e39f1b9100",
    files={_local(name): (f"{name.replace('/', '/tests/')}.h5", digits) for name, digits in _FILES.items()},
)
NOT_COMPARED = {
    "compressible/rt, compressible_rk/rt": "Rayleigh-Taylor: our finite volumes have no gravity",
    "lm_atm/lm_bubble_128": "low-Mach atmosphere: no solver of ours",
    "advection_nonuniform/slotted": "no solver of ours moves things with a velocity that depends on the place",
    "viscous Burgers": "the wheel holds no stored state",
}


def read(folder: Path, name: str) -> tuple[dict[str, np.ndarray], dict]:
    """Fields of a stored state, (x, y) without ghost cells, and its attributes (time, among others)."""
    with h5py.File(folder / _local(name)) as file:
        state = file["state"]
        assert isinstance(state, h5py.Group)
        fields = {str(key): np.asarray(state[f"{key}/data"]) for key in state}
        return fields, {str(key): value for key, value in file.attrs.items()}


def _stack(fields: dict[str, np.ndarray], *names: str) -> np.ndarray:
    return np.stack([fields[name] for name in names], axis=-1)


def _l1(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).sum() / np.abs(b).sum())


def _l2(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _coarse(u: np.ndarray, n: int) -> np.ndarray:
    """Means over the cells of a grid of n by n."""
    k = u.shape[0] // n
    return u.reshape(n, k, n, k, *u.shape[2:]).mean((1, 3))


def _row(case: str, bound: float, distance: Callable, theirs, truth, ours=None, wrong=None, **more) -> dict:
    row = {"case": case, "error": distance(theirs, truth), "bound": bound}
    if ours is not None:
        row |= {"ours": distance(ours, truth), "apart": distance(ours, theirs)}
    if wrong is not None:
        row["control"] = distance(theirs, wrong)
    return row | more


# -- hyperbolic ---------------------------------------------------------------------------------------------------------


def sod(folder: Path) -> dict:
    """Sod's tube on 128 cells (ten equal rows of them); control: gamma = 5/3."""
    fields, _ = read(folder, "compressible/sod_x_0076")
    theirs = _stack(fields, "density", "x-momentum", "energy")
    states = (1.0, 0.0, 1.0), (0.125, 0.0, 0.1), 0.2
    tube, other = Tube(*states, {}), Tube(*states, {}, gamma=5 / 3)
    ours = tube.solve(128, "mc").values_or_raise()[0, 1]
    more = {"rows_differ": float(np.ptp(theirs, axis=1).max()), "control": _l1(theirs[:, 0, 0], other.exact(128)[:, 0])}
    return _row("Sod, 128 cells", 1.2e-2, _l1, theirs[:, 0], tube.exact(128), ours, **more)


def dam(folder: Path) -> dict:
    """A dam breaks, depth 1 onto 1/8, g = 1, by Roe's flux; control: g = 1.2."""
    fields, _ = read(folder, "swe/dam_x_0081")
    theirs = _stack(fields, "height", "x-momentum")[:, 0]
    tube, other = (Tube((1.0, 0.0), (0.125, 0.0), 0.3, {}, g=g) for g in (1.0, 1.2))
    ours = tube.solve(128, "mc").values_or_raise()[0, 1]
    return _row("dam break, 128 cells", 8e-3, _l1, theirs, tube.exact(128), ours, other.exact(128))


def quadrants(folder: Path, n: int = 256) -> dict:
    """Four states meet at (0.8, 0.8) (configuration 3 of Lax and Liu); truth: WENO5 on as many cells; control: gamma = 5/3.

    n : cells per side; on fewer than 256 the stored state is averaged to them. "ours" is MUSCL.
    """
    fields, _ = read(folder, "compressible/quad_unsplit_0606")
    theirs = _coarse(_stack(fields, "density", "x-momentum", "y-momentum", "energy"), n)
    slow, fast = 0.532258064516129, 1.206045378311055
    states = {(1, 1): (1.4, 0, 0, 1.5), (0, 1): (slow, fast, 0, 0.3), (1, 0): (slow, 0, fast, 0.3)}
    states[0, 0] = (0.137992831541219, fast, fast, 0.029032258064516)

    def run(scheme: str, cells: int, gamma: float = 1.4) -> np.ndarray:
        grid, system = Grid.box("cell", cells, dimension=2, boundary="outflow"), Euler(gamma, axes=2)
        high = np.where(grid.coordinates()[0] >= 0.8, 1.0, 0.0)
        share = {1: high, 0: 1 - high}
        start = sum(
            np.multiply.outer(np.outer(share[i], share[j]), conserved(system, np.array(w))) for (i, j), w in states.items()
        )
        return FiniteVolume(system, grid, scheme).solve(np.asarray(start)[None], np.array([0.0, 0.8])).values_or_raise()[0, 1]

    wrong = _l1(_coarse(theirs, 64)[..., 0], run("mc", 64, 5 / 3)[..., 0])
    return _row(f"four quadrants, {n}² cells", 2.5e-2 * (256 / n), _l1, theirs, run("weno5", n), run("mc", n)) | {
        "control": wrong
    }


def pulse(folder: Path, method: str, n: int = 256) -> dict:
    """A pulse of sound on 128² cells, by a fourth-order method; truth: WENO5 on n² cells; control: gamma = 5/3.

    Density 1.4 + 0.14 exp(-16 r²) cos(pi r)^6 within r = 1/2, p = (rho / 1.4)^gamma, at rest; deviations are compared.
    """
    fields, _ = read(folder, f"compressible_{method}/acoustic_pulse_0160")
    theirs = _stack(fields, "density", "x-momentum", "y-momentum", "energy")
    rest = np.array([1.4, 0.0, 0.0, 2.5])
    wrong = _l2(_coarse(theirs, 64)[..., 0] - 1.4, _pulse(64, 5 / 3)[..., 0] - 1.4)
    truth, ours = _pulse(n) - rest, (_pulse(128) - rest if n > 128 else None)
    return _row(f"pulse of sound, {method}, 128² cells", 5e-5, _l2, theirs - rest, truth, ours) | {"control": wrong}


@functools.cache
def _pulse(cells: int, gamma: float = 1.4) -> np.ndarray:
    """Ours at t = 0.24, averaged to 128² cells at most."""
    grid, system = Grid(tuple(Axis(name, cells, cells=True) for name in "xy")), Euler(gamma, axes=2)

    def state(x, y):
        r = np.hypot(x - 0.5, y - 0.5)
        rho = 1.4 + np.where(r < 0.5, 0.14 * np.exp(-16 * r**2) * np.cos(np.pi * r) ** 6, 0.0)
        return conserved(system, np.stack([rho, 0 * r, 0 * r, (rho / 1.4) ** gamma], axis=-1))

    end = FiniteVolume(system, grid).solve(averages(state, grid)[None], np.array([0.0, 0.24])).values_or_raise()[0, 1]
    return _coarse(end, min(cells, 128))


def burgers(folder: Path) -> dict:
    """u = v = 3 below x + y = 1, 1 above, at t = 0.1: a shock at x + y = 1.4; control: half that speed.

    Cells with their centre on the line hold 3, so the line begins half a cell further.
    """
    fields, attributes = read(folder, "burgers/test_0051")
    n, theirs = 128, fields["x-velocity"]
    grid = Grid.box("cell", n, dimension=2, boundary="outflow")
    x, y = grid.mesh()
    start = np.where(x + y > 1, 1.0, 3.0)[None, ..., None]
    times = np.array([0.0, attributes["time"]])
    ours = FiniteVolume(Burgers(axes=2), grid, "mc").solve(start, times).values_or_raise()[0, 1, ..., 0]

    def shock(speed: float) -> np.ndarray:
        """Averages of 3 below x + y = its place and 1 above, by columns of which there are 16 to a cell."""
        column = (np.arange(16 * n) + 0.5) / (16 * n)
        place = 1 + 0.5 / n + speed * times[1]
        below = np.clip((place - column)[:, None] * n - np.arange(n), 0, 1)
        return 1 + 2 * below.reshape(n, 16, n).mean(1)

    return _row("Burgers in 2-D, 128² cells", 1.2e-3, _l1, theirs, shock(4.0), ours, shock(2.0))


def transport(folder: Path, method: str, scheme: str, bound: float) -> dict:
    """1 + exp(-60 r²) once around a torus of 32² cells, along the diagonal; control: not quite around."""
    name = {"advection": "smooth_0040"}.get(method, "smooth_0081")
    theirs = read(folder, f"{method}/{name}")[0]["density"]
    grid = Grid(tuple(Axis(axis, 32, cells=True) for axis in "xy"))
    start = averages(lambda x, y: np.exp(-60 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))[..., None], grid)
    ours = FiniteVolume(Advection((1.0, 1.0)), grid, scheme).solve(start[None], np.array([0.0, 1.0])).values_or_raise()[0, 1]
    truth = start[..., 0]
    return _row(f"transport, {method}, 32² cells", bound, _l2, theirs - 1, truth, ours[..., 0], np.roll(truth, -4, axis=1))


# -- incompressible and diffusion ---------------------------------------------------------------------------------------


def shear(folder: Path, n: int = 512) -> dict:
    """Two shear layers without viscosity roll up, t = 1, 128² cells; truth: Fourier modes, n² points; control: thicker layers.

    u = tanh 42 (1/4 - |y - 1/2|), v = 0.05 sin 2 pi x. "ours" takes the modes of 128² points, "ours_projection" the scheme
    for walls, which keeps the energy of what the grid cannot show.
    """
    fields, attributes = read(folder, "incompressible/shear_128_0216")
    theirs, times = _stack(fields, "x-velocity", "y-velocity"), np.array([0.0, attributes["time"]])

    def run(points: int, rho: float = 42.0) -> np.ndarray:
        grid = Grid.box("periodic", points, dimension=2)
        x, y = grid.mesh()
        layers = rho * np.sign(y - 0.5 + 1e-9) / np.cosh(rho * (0.25 - np.abs(y - 0.5))) ** 2
        start = 0.1 * np.pi * np.cos(2 * np.pi * x) + layers
        found = VorticityNavierStokes(grid, 0.64 / points).solve(start[None], times, {"nu": 0.0}).values_or_raise()[0, 1]
        return _cell_averages(np.stack(velocity(found, grid), axis=-1), 128)

    cells = Grid(tuple(Axis(name, 128, cells=True) for name in "xy"))
    x, y = cells.mesh()
    start = np.stack([np.tanh(42 * (0.25 - np.abs(y - 0.5))), 0.05 * np.sin(2 * np.pi * x)], axis=-1)
    walls = ProjectionNavierStokes(cells, 1 / 400).solve(start[None], times, {"nu": 0.0}).values_or_raise()[0, 1, ..., :2]
    truth = run(n)
    found = _row("shear layers, 128² cells", 3e-2, _l2, theirs, truth, run(128), run(256, 30.0))
    return found | {"ours_projection": _l2(walls, truth)}


def _cell_averages(u: np.ndarray, n: int) -> np.ndarray:
    """Averages over n² cells of a Fourier series, (x, y, component), given at points j / N."""
    k = np.fft.fftfreq(len(u), 1 / len(u))
    factor = np.sinc(k / n) * np.exp(1j * np.pi * k / n)
    modes = np.fft.fft2(u, axes=(0, 1)) * factor[:, None, None] * factor[:, None]
    return np.fft.ifft2(modes, axes=(0, 1)).real[:: len(u) // n, :: len(u) // n]


def cavity(folder: Path, k: int = 4) -> dict:
    """Cavity at Re = 400 soon after its lid began to slide, 64² cells; truth: our projection on (64 k)² cells.

    The stored flow is not that of a lid of speed 1 ("control"): beside the lid it moves at 0.31, where Stokes' first problem
    gives 0.82. It is that of a lid of speed 1/2 half a cell above the box, and so it is judged: the boundary condition of the
    lid, ghost cells that hold 1, reaches one half of the Crank-Nicolson step only, the other half sees ghost cells of 0.
    """
    from scipy.special import erf

    fields, attributes = read(folder, "incompressible_viscous/cavity_n64_Re400_0025")
    theirs, end = _stack(fields, "x-velocity", "y-velocity"), attributes["time"]

    def run(lid: float, above: int) -> np.ndarray:
        cells = 64 * k + above
        walls = ("wall", "wall")
        grid = Grid((Axis("x", 64 * k, 0, 1, "cell", walls), Axis("y", cells, 0, cells / (64 * k), "cell", walls)))
        solver = ProjectionNavierStokes(grid, end / (200 * k), {"top": (lid, 0.0)})
        found = solver.solve(np.zeros((1, *grid.shape, 2)), np.array([0.0, end]), {"nu": 1 / 400}).values_or_raise()[0, 1]
        return _coarse(found[:, : 64 * k, :2], 64)

    width = 2 * np.sqrt(end / 400)
    s = np.linspace(0, 1 / 64, 201) / width
    stated = run(1.0, 0)
    beside = {"theirs": theirs[32, -1, 0], "ours": stated[32, -1, 0], "stokes": np.mean(1 - erf(s))}
    found = _row("cavity, 64² cells (its lid: speed 1/2)", 0.15, _l2, theirs, run(0.5, k // 2), None, stated)
    return found | {f"beside_the_lid_{name}": float(v) for name, v in beside.items()}


def diffusion(folder: Path) -> dict:
    """A Gaussian of width 0.02 spreads until it feels the walls, through which nothing flows; control: without walls.

    Truth: images of it. Ours: the exponential of the Laplacian on the box and its mirror images, which is periodic.
    """
    fields, attributes = read(folder, "diffusion/gaussian_0164")
    n, h, t0, end = 128, 1 / 128, 1e-4, float(attributes["time"])
    theirs = fields["phi"] - 1

    def gaussian(x: np.ndarray, t: float, images: int) -> np.ndarray:
        line = sum(np.exp(-((x - 0.5 - q) ** 2) / (4 * (t + t0))) for q in range(-images, images + 1))
        return np.outer(line, line) * t0 / (t + t0)

    x = (np.arange(n) + 0.5) * h
    doubled = pdes.Periodic(x=(h / 2, 2 + h / 2), y=(h / 2, 2 + h / 2))
    problem = pdes.Problem(
        name="reference",
        equation="u_t = lap(u)",
        domain=doubled,
        initial={"u": pdes.constant(0.0)},
        time=(0, end),
        solver=Semilinear(dt=end),
    )
    grid = problem.stored_grid(2 * n)
    start = gaussian(grid.coordinates()[0], 0.0, 3)
    ours = problem.solver(problem, grid, {"u": start[None]}, {}, np.array([0.0, end])).fields["u"][0, 1, :n, :n]
    return _row("diffusion of a Gaussian, 128² cells", 6e-4, _l2, theirs, gaussian(x, end, 4), ours, gaussian(x, end, 0))


# -- elliptic -----------------------------------------------------------------------------------------------------------


def poisson(folder: Path) -> dict:
    """laplace(u) = f on 256² cells, by the same stencil there and here; control: the exact u, which both miss alike."""
    fields, _ = read(folder, "multigrid/mg_poisson_dirichlet")
    grid = Grid.box("cell", 256, dimension=2, boundary="dirichlet")
    x, y = grid.mesh()
    f = -2 * ((1 - 6 * x**2) * y**2 * (1 - y**2) + (1 - 6 * y**2) * x**2 * (1 - x**2))
    ours = Poisson(grid).solve(-f[None]).values_or_raise()[0]
    return _row("Poisson by multigrid, 256² cells", 1e-11, _l2, fields["v"], ours, wrong=(x**2 - x**4) * (y**4 - y**2))


def variable_poisson(folder: Path, sides: str) -> dict:
    """div(a grad u) = f, a = 2 + cos 2 pi x cos 2 pi y, u = sin 2 pi x sin 2 pi y, on 512² cells.

    Their faces hold the mean of a, ours the harmonic mean. "error": residual of their u in our stencil with their faces;
    "control": with ours. "their_u" and "our_u" are as far from the exact u, "our_u_from_theirs" from each other.
    """
    fields, _ = read(folder, f"multigrid/mg_vc_poisson_{sides}")
    n, periodic = 512, sides == "periodic"
    axes = (Axis(name, n, cells=True) if periodic else Axis(name, n, 0, 1, "cell", (sides, sides)) for name in "xy")
    grid = Grid(tuple(axes))
    x, y = (2 * np.pi * c for c in grid.mesh())
    a, exact = 2 + np.cos(x) * np.cos(y), np.sin(x) * np.sin(y)
    f = 16 * np.pi**2 * (np.cos(x) * np.cos(y) + 1) * exact
    theirs = fields["v"] - (fields["v"].mean() if periodic else 0.0)
    faces = []
    for axis in (0, 1):
        b = np.moveaxis(np.concatenate([a, np.take(a, [0], axis)], axis) if periodic else a, axis, -1)
        inner = (b[:, 1:] + b[:, :-1]) / 2
        ends = (inner[:, -1:], inner) if periodic else (2 * b[:, :1], inner, 2 * b[:, -1:])
        faces.append(np.moveaxis(np.concatenate(ends, axis=-1), -1, axis) * n**2)
    ours = Diffusion(grid, tolerance=1e-12).solve(a[None], f[None]).values_or_raise()[0]
    return {
        "case": f"variable Poisson by multigrid, {sides}, 512² cells",
        "error": _l2(apply_faces(faces, theirs, grid), f),
        "bound": 1e-10,
        "control": _l2(apply_diffusion(a[None], theirs[None], grid)[0], f),
        "their_u": _l2(theirs, exact),
        "our_u": _l2(ours, exact),
        "our_u_from_theirs": _l2(ours, theirs),
    }


def general_elliptic(folder: Path) -> dict:
    """10 u + div((1 + x y) grad u) + u_x + u_y = f on 512² cells, by our residual; control: u_y with the wrong sign."""
    fields, _ = read(folder, "multigrid/mg_general_poisson_inhomogeneous")
    grid = Grid.box("cell", 512, dimension=2, boundary="free")
    text = "10*u + div((1 + x*y)*grad(u)) + u_x + u_y = f"

    def residual(text: str) -> float:
        equation = pdes.Equation(text, inputs=("f",))
        found = equation.residual({"u": fields["v"][None]}, grid, inputs={"f": fields["f"][None]})
        return float(np.linalg.norm(found[0, 2:-2, 2:-2]) / np.linalg.norm(fields["f"]))

    flipped = residual(text.replace("+ u_y", "- u_y"))
    return {"case": "general elliptic, 512² cells (residual)", "error": residual(text), "bound": 1e-9, "control": flipped}


CASES: dict[str, Callable[[Path], dict]] = {
    "pyro_sod": sod,
    "pyro_dam": dam,
    "pyro_quadrants": quadrants,
    "pyro_pulse_fv4": lambda folder: pulse(folder, "fv4"),
    "pyro_pulse_sdc": lambda folder: pulse(folder, "sdc"),
    "pyro_burgers": burgers,
    "pyro_transport": lambda folder: transport(folder, "advection", "mc", 0.2),
    "pyro_transport_rk": lambda folder: transport(folder, "advection_rk", "mc", 0.2),
    "pyro_transport_fv4": lambda folder: transport(folder, "advection_fv4", "weno5", 0.04),
    "pyro_shear": shear,
    "pyro_cavity": cavity,
    "pyro_diffusion": diffusion,
    "pyro_poisson": poisson,
    "pyro_variable_poisson": lambda folder: variable_poisson(folder, "dirichlet"),
    "pyro_variable_poisson_periodic": lambda folder: variable_poisson(folder, "periodic"),
    "pyro_general_elliptic": general_elliptic,
}
QUICK: dict[str, Callable[[Path], dict]] = {
    "pyro_quadrants": lambda folder: quadrants(folder, 64),
    "pyro_pulse_fv4": lambda folder: pulse(folder, "fv4", 128),
    "pyro_pulse_sdc": lambda folder: pulse(folder, "sdc", 128),
    "pyro_shear": lambda folder: shear(folder, 256),
    "pyro_cavity": lambda folder: cavity(folder, 2),
}
"""The dear ones on coarser grids."""
