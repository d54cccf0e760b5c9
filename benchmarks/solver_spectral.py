"""Burgers, Kuramoto-Sivashinsky, Gray-Scott, Navier-Stokes and KdV beside Exponax with the same grid, precision and step.

    python -m benchmarks.solver_spectral [--batch 16]

Both take the same steps of ETDRK4 in float64 on the same batch, compiled before the clock starts; the fields they end with are
compared. Kuramoto-Sivashinsky and Gray-Scott go through the text of their equations, as a user's own would. KdV is a soliton,
for the order in time of both.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

import pdes
from benchmarks.record import record
from pdes.semilinear import Semilinear
from solvers.exponential import ExponentialRK
from solvers.grid import Grid
from solvers.incompressible import VorticityNavierStokes

import jax  # isort: skip - after the solvers, which settle JAX's memory first
import jax.numpy as jnp  # isort: skip

SEED = 2028


def burgers_linear(k, p):
    """Symbol of nu u_xx."""
    return -p["nu"] * k[0] ** 2


def burgers_nonlinear(u_hat, modes, p):
    """Spectrum of -(u^2 / 2)_x."""
    return -0.5j * modes.k[0] * modes.modes(modes.points(u_hat) ** 2)


def smooth_fields(batch: int, shape: tuple[int, ...], waves: int = 6) -> np.ndarray:
    """Random trigonometric polynomials of size about one with mean zero, (batch, *shape)."""
    rng = np.random.default_rng(SEED)
    x = np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij")
    fields = np.zeros((batch, *shape))
    for _ in range(3 * waves):
        k = rng.integers(-waves, waves + 1, len(shape))
        if k.any():
            phase = 2 * np.pi * sum(a * b for a, b in zip(k, x, strict=True))
            fields += rng.standard_normal((batch, *(1,) * len(shape))) * np.cos(phase + rng.uniform(0, 6)) / np.abs(k).sum()
    return fields


def orders(solve: Callable[[int], np.ndarray], steps: Sequence[int]) -> dict:
    """Errors against four times the finest number of steps, and the order between each two."""
    reference = solve(4 * steps[-1])
    errors = [float(np.linalg.norm(solve(n) - reference) / np.linalg.norm(reference)) for n in steps]
    return {"steps": list(steps), "errors": errors, "orders": np.log2(np.divide(errors[:-1], errors[1:])).tolist()}


def beside(ours: Callable, theirs: Callable, batch: int, repeats: int = 5) -> dict:
    """Alternate both, best of a few: samples per second, their ratio, and the difference of the answers."""
    a, b = np.asarray(ours()), np.asarray(theirs())
    best = {"ours": np.inf, "exponax": np.inf}
    for _ in range(repeats):
        for name, call in (("ours", ours), ("exponax", theirs)):
            start = time.perf_counter()
            np.asarray(call())
            best[name] = min(best[name], time.perf_counter() - start)
    return {
        "samples_per_second": {name: batch / seconds for name, seconds in best.items()},
        "ratio": best["exponax"] / best["ours"],
        "relative_difference": float(np.linalg.norm(a - b) / np.linalg.norm(b)),
    }


def burgers(batch: int, size: int = 512, dt: float = 0.001, steps: int = 200, nu: float = 0.02) -> dict:
    """u_t + u u_x = nu u_xx on the unit circle."""
    import exponax  # pyright: ignore[reportMissingImports]

    grid, u = Grid.box("periodic", size, dimension=1), smooth_fields(batch, (size,))
    times = np.array([0.0, steps * dt])

    def run(step: float, fields=u):
        return ExponentialRK(grid, burgers_linear, burgers_nonlinear, step).solve(fields, times, {"nu": nu}).values[:, -1]

    with jax.enable_x64(True):
        stepper = exponax.stepper.Burgers(1, 1.0, size, dt, diffusivity=nu, order=4)
        repeat = jax.jit(jax.vmap(exponax.repeat(stepper, steps)))
        start = jnp.asarray(u[:, None])
        theirs = lambda: _wide(repeat, start)[:, 0]  # noqa: E731
        speed = beside(lambda: run(dt), theirs, batch)
    order = orders(lambda n: run(times[-1] / n, u[:2]), (25, 50, 100))
    return {"equation": "burgers", "size": size, "dt": dt, "steps": steps, "batch": batch, **speed, "time_order": order}


def navier_stokes(batch: int, size: int = 128, dt: float = 0.005, steps: int = 50, nu: float = 1e-3) -> dict:
    """Vorticity on the unit torus, without forcing (Exponax has none, and the other sign of the stream function)."""
    import exponax  # pyright: ignore[reportMissingImports]

    grid, w = Grid.box("periodic", size, dimension=2), smooth_fields(batch, (size, size))
    times = np.array([0.0, steps * dt])

    def run(step: float, fields=w):
        return VorticityNavierStokes(grid, step).solve(fields, times, {"nu": nu}).values[:, -1]

    with jax.enable_x64(True):
        stepper = exponax.stepper.NavierStokesVorticity(
            2, 1.0, size, dt, diffusivity=nu, vorticity_convection_scale=-1.0, order=4
        )
        repeat = jax.jit(jax.vmap(exponax.repeat(stepper, steps)))
        start = jnp.asarray(w[:, None])
        theirs = lambda: _wide(repeat, start)[:, 0]  # noqa: E731
        speed = beside(lambda: run(dt), theirs, batch, repeats=3)
    order = orders(lambda n: run(times[-1] / n, w[:1]), (5, 10, 20))
    return {"equation": "navier_stokes", "size": size, "dt": dt, "steps": steps, "batch": batch, **speed, "time_order": order}


def from_text(name: str, batch: int, grid: Grid, states: dict, times: np.ndarray, dt: float, parameters: dict) -> Callable:
    """Our solve of a problem of the package on another grid: () -> (sample, [unknown,] *space) at the last time."""
    domain = pdes.Periodic(**{axis.name: (axis.start, axis.stop) for axis in grid.axes})
    problem = pdes.get(name).replace(domain=domain, solver=Semilinear(dt=dt))
    values = {key: np.full(batch, value) for key, value in parameters.items()}

    def run() -> np.ndarray:
        fields = problem.solver(problem, grid, states, values, times).fields
        last = [fields[unknown][:, -1] for unknown in states]
        return last[0] if len(last) == 1 else np.stack(last, axis=1)

    return run


def text_beside(name: str, batch: int, grid: Grid, states: dict, dt: float, steps: int, parameters: dict, stepper) -> dict:
    """A problem of the package beside an Exponax stepper (made in a 64-bit scope by `stepper()`)."""
    import exponax  # pyright: ignore[reportMissingImports]

    times = np.array([0.0, steps * dt])
    ours = from_text(name, batch, grid, states, times, dt, parameters)
    with jax.enable_x64(True):
        repeat = jax.jit(jax.vmap(exponax.repeat(stepper(), steps)))
        start = jnp.asarray(np.stack(list(states.values()), axis=1))
        theirs = lambda: _wide(repeat, start).squeeze(1) if len(states) == 1 else _wide(repeat, start)  # noqa: E731
        speed = beside(ours, theirs, batch)
    return {"equation": name, "size": grid.shape[0], "dt": dt, "steps": steps, "batch": batch, **speed}


def kuramoto_sivashinsky(batch: int, size: int = 192, dt: float = 0.05, steps: int = 2000) -> dict:
    """u_t + u u_x + u_xx + u_xxxx = 0 on length 64."""
    import exponax  # pyright: ignore[reportMissingImports]

    grid = Grid.box("periodic", size, stop=64.0)
    make = lambda: exponax.stepper.KuramotoSivashinskyConservative(1, 64.0, size, dt, order=4)  # noqa: E731
    states = {"u": smooth_fields(batch, (size,))}
    return text_beside("kuramoto_sivashinsky", batch, grid, states, dt, steps, {"nu": 1.0}, make)


def gray_scott(batch: int, size: int = 128, dt: float = 1.0, steps: int = 50) -> dict:
    """Maze parameters; both keep half of the modes, as cubic terms ask for."""
    import exponax  # pyright: ignore[reportMissingImports]

    grid = Grid.box("periodic", size, dimension=2, start=-1.0, stop=1.0)
    blobs = np.clip(smooth_fields(batch, (size, size)), -1, 1)
    states = {"a": 0.6 + 0.1 * blobs, "b": 0.3 - 0.1 * blobs}

    def make():
        return exponax.stepper.reaction.GrayScott(2, 2.0, size, dt, order=4, feed_rate=0.029, kill_rate=0.057)

    return text_beside("gray_scott", batch, grid, states, dt, steps, {"f": 0.029, "k": 0.057}, make)


def kdv_orders(size: int = 256, steps: Sequence[int] = (125, 250, 500, 1000)) -> dict:
    """u_t + u u_x + u_xxx = 0 from a soliton, 3 c sech^2(sqrt(c) (x - c t) / 2), c = 4, until t = 1: errors of both."""
    import exponax  # pyright: ignore[reportMissingImports]

    grid = Grid.box("periodic", size, start=-20.0, stop=20.0)
    soliton = lambda t: 12 / np.cosh(grid.coordinates()[0] - 4 * t) ** 2  # noqa: E731
    exact, rows = soliton(1.0), {"ours": [], "exponax": []}
    for n in steps:
        ours = from_text("kdv", 1, grid, {"u": soliton(0.0)[None]}, np.array([0.0, 1.0]), 1 / n, {"delta2": 1.0})()[0]
        with jax.enable_x64(True):
            settings = {"convection_scale": 1.0, "hyper_diffusivity": 0.0, "conservative": True, "order": 4}
            stepper = exponax.stepper.KortewegDeVries(1, 40.0, size, 1 / n, **settings)
            theirs = np.asarray(jax.jit(exponax.repeat(stepper, n))(jnp.asarray(soliton(0.0)[None])))[0]
        for name, u in (("ours", ours), ("exponax", theirs)):
            rows[name].append(float(np.linalg.norm(u - exact) / np.linalg.norm(exact)))
    found = {name: np.log2(np.divide(e[:-1], e[1:])).tolist() for name, e in rows.items()}
    return {"equation": "kdv", "size": size, "steps": list(steps), "errors": rows, "orders": found}


def _wide(call: Callable, fields) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(call(fields))


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--name", default="solver_spectral", help="name of the results file")
    options = parser.parse_args(arguments)
    rows = [case(options.batch) for case in (burgers, kuramoto_sivashinsky, gray_scott, navier_stokes)]
    kdv = kdv_orders()
    table = Table("equation", "ours, samples/s", "Exponax, samples/s", "ratio", "difference", "orders in time")
    for row in rows:
        rates = row["samples_per_second"]
        found = ", ".join(f"{o:.2f}" for o in row.get("time_order", {"orders": ()})["orders"])
        table.add_row(
            row["equation"],
            f"{rates['ours']:.1f}",
            f"{rates['exponax']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['relative_difference']:.1e}",
            found,
        )
    Console().print(table)
    for name, errors in kdv["errors"].items():
        shown = ", ".join(f"{e:.1e}" for e in errors)
        Console().print(f"KdV soliton, {name}: errors {shown}; orders {np.round(kdv['orders'][name], 2)}")
    payload = {"precision": "float64", "rows": rows, "kdv": kdv}
    record(options.name, payload)
    return payload


if __name__ == "__main__":
    main()
