"""DeepXDE 1.15.0, `examples/dataset/` of its source package: Burgers, Allen-Cahn, Lorenz, and the wake of a cylinder.

Burgers' equation and Allen-Cahn's by spectral codes, Lorenz' system, and the wake at Reynolds number 100 by Nektar++.
"""

from pathlib import Path

import numpy as np

import pdes
from benchmarks.third_party.fetching import Source
from pdes.semilinear import Semilinear
from solvers.grid import Axis, Grid

_FILES = {
    "Allen_Cahn.mat": "f9175685675685ab",
    "Burgers.npz": "e9d57a5824cd54b8",
    "Lorenz.npz": "23506765d3cc74ee",
    "cylinder_nektar_wake.mat": "99d9e1f9da7d2dff",
}
SOURCE = Source(
    "deepxde==1.15.0",
    "LGPL-2.1",
    built=False,
    archive="2c0e8ad01b612b9c",
    files={name: (f"dataset/{name}", digits) for name, digits in _FILES.items()},
)


def burgers(folder: Path) -> dict:
    """u_t + u u_x = (0.01 / pi) u_xx on [-1, 1], u(0) = -sin(pi x), by exponential Runge-Kutta."""
    data = np.load(folder / "Burgers.npz")
    times, x = data["t"].ravel(), data["x"].ravel()
    problem = pdes.Problem(
        name="reference",
        equation="u_t = nu*u_xx - u*u_x",
        domain=pdes.Periodic(x=(-1, 1)),
        parameters={"nu": 0.01 / np.pi},
        initial={"u": pdes.constant(0.0)},
        time=(0, 1),
        solver=Semilinear(dt=5e-4),
    )
    grid = problem.stored_grid(510 * 8)  # their 256 points, both ends included, are every 16th of ours
    start = -np.sin(np.pi * grid.coordinates()[0])
    u = problem.solver(problem, grid, {"u": start[None]}, {"nu": np.array([0.01 / np.pi])}, times).fields["u"][0]
    ours = np.concatenate([u, u[:, :1]], axis=1)[:, ::16]
    assert np.allclose(np.linspace(-1, 1, 256), x)
    return {"case": "Burgers, nu = 0.01/pi", "error": _relative(ours, data["usol"].T), "bound": 1e-6}


def allen_cahn(folder: Path) -> dict:
    """u_t = 1e-3 u_xx + 5 (u - u^3), u(0) = x^2 cos(pi x), u = -1 at both ends.

    w = u + 1 vanishes at the ends, so its odd continuation is periodic, and obeys w_t = 1e-3 w_xx + 5 (3 |w| w - w^3 - 2 w).
    """
    from scipy.io import loadmat

    data = loadmat(folder / "Allen_Cahn.mat")
    problem = pdes.Problem(
        name="reference",
        equation="w_t = w_xx/1000 + 15*abs(w)*w - 5*w^3 - 10*w",
        domain=pdes.Periodic(x=(-1, 3)),
        initial={"w": pdes.constant(0.0)},
        time=(0, 1),
        solver=Semilinear(dt=2.5e-3),
    )
    grid = problem.stored_grid(1600)
    x = grid.coordinates()[0]
    inside = np.where(x <= 1, x, 2 - x)
    start = np.where(x <= 1, 1.0, -1.0) * (inside**2 * np.cos(np.pi * inside) + 1)
    w = problem.solver(problem, grid, {"w": start[None]}, {}, data["t"].ravel()).fields["w"][0]
    ours = w[:, :801:4] - 1
    return {"case": "Allen-Cahn, walls at -1", "error": _relative(ours, data["u"]), "bound": 1e-3}


def lorenz(folder: Path) -> dict:
    """Lorenz' system with sigma = 10, rho = 15, beta = 8/3 from (-8, 7, 27)."""
    from pdes.ordinary import Rates
    from solvers.ode import Ode

    data = np.load(folder / "Lorenz.npz")
    equation = pdes.Equation("x_t = 10*(y - x); y_t = x*(15 - z) - y; z_t = x*y - 8*z/3", dimension=0)
    ours = (
        Ode(Rates(equation), rtol=1e-10, atol=1e-10).solve(np.array([[-8.0, 7.0, 27.0]]), data["t"].ravel()).values_or_raise()
    )
    return {"case": "Lorenz, rho = 15", "error": _relative(ours[0], data["y"]), "bound": 1e-3}


def cylinder(folder: Path) -> dict:
    """The wake at Re = 100 satisfies the momentum equations by our stencils, and not with a sign of them flipped."""
    from scipy.io import loadmat

    data = loadmat(folder / "cylinder_nektar_wake.mat")
    times = data["t"].ravel()
    ny, nx = 50, 100
    x, y = data["X_star"].reshape(ny, nx, 2)[0, :, 0], data["X_star"].reshape(ny, nx, 2)[:, 0, 1]
    ends = [(float(c[0]), float(c[-1])) for c in (x, y)]
    axes = (Axis(n, len(c), *e, "node", ("free", "free")) for n, c, e in zip("xy", (x, y), ends, strict=True))
    grid = Grid(tuple(axes))

    def field(values):  # (point, time) to (1, time, x, y)
        return values.reshape(ny, nx, -1).transpose(2, 1, 0)[None]

    fields = {"u": field(data["U_star"][:, 0]), "v": field(data["U_star"][:, 1]), "p": field(data["p_star"])}
    right = "u_t = -u*u_x - v*u_y - p_x + lap(u)/100; v_t = -u*v_x - v*v_y - p_y + lap(v)/100; u_x + v_y = 0"
    wrong = right.replace("- p_x", "+ p_x").replace("- p_y", "+ p_y")
    inside = (..., slice(2, -2), slice(2, -2))

    def residual(text):
        found = pdes.Equation(text, dimension=2, unknowns=("u", "v", "p")).residual(fields, grid, times)
        rate = np.gradient(fields["u"], times, axis=1)[:, 1:-1][inside]
        return float(np.sqrt(np.mean(found[0][inside] ** 2) / np.mean(rate**2))), found[2][inside]

    (error, divergence), (flipped, _) = residual(right), residual(wrong)
    slope = np.gradient(fields["u"], y, axis=3)[:, 1:-1][inside]
    probe = fields["v"][0, :, 60, 25]
    return {
        "case": "cylinder wake, Re = 100 (residual)",
        "error": error,
        "bound": 0.1,
        "with_flipped_pressure": flipped,
        "divergence_over_gradient": float(np.sqrt(np.mean(divergence**2) / np.mean(slope**2))),
        "frequency": float(_frequency(probe, times[1] - times[0])),
    }


def _frequency(signal: np.ndarray, step: float) -> float:
    """Strongest frequency, from the upward zero crossings of a signal."""
    s = signal - signal.mean()
    up = np.flatnonzero((s[:-1] < 0) & (s[1:] >= 0))
    crossings = up + s[up] / (s[up] - s[up + 1])
    return (len(up) - 1) / (step * (crossings[-1] - crossings[0]))


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


CASES = {"burgers": burgers, "allen_cahn": allen_cahn, "lorenz": lorenz, "cylinder": cylinder}
