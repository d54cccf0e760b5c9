"""Riemann problems: exact solvers against published digits, finite volumes against the exact solutions, and pyro beside them.

    python -m benchmarks.solver_hyperbolic [--finest 1024] [--skip-peer]

Star states and dam breaks of Toro's and Stoker's problems; errors (relative L1 of cell averages) and observed rates of WENO5
and MUSCL on grids of 128 cells and more; orders on smooth flow in one and two dimensions; what is lost of conserved quantities,
and the least density and pressure. Pyro (of the peers extra) solves Sod's problem in the same run, on the same cells: its
corner-transport scheme is two-dimensional, so ours is timed in two dimensions too. Writes docs/verification_hyperbolic.md.

Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics, 3rd ed., Springer 2009; Shu, ICASE report 97-65 (the vortex).
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.record import record, version
from solvers.conservation_laws import Euler, ShallowWater, System
from solvers.files import write_bytes
from solvers.finite_volume import FiniteVolume
from solvers.grid import Axis, Grid
from solvers.result import Result
from solvers.riemann import gas_fan, gas_star, water_fan, water_star

PAGE = Path(__file__).parents[1] / "docs" / "verification_hyperbolic.md"
SCHEMES = ("weno5", "mc")
PEER = "pyro-hydro"
_POINTS = 64  # per cell, for averages of exact solutions with jumps


@dataclass(frozen=True)
class Tube:
    """Two states that meet at x = 0 on [-1/2, 1/2].

    left, right : density (or depth), velocity, pressure of a gas.   until : time of the comparison.
    printed : published digits of the state between the waves.   g : gravity of water; None for a gas of this gamma.
    """

    left: tuple[float, ...]
    right: tuple[float, ...]
    until: float
    printed: dict[str, str]
    g: float | None = None
    gamma: float = 1.4

    @property
    def system(self) -> System:
        return Euler(self.gamma) if self.g is None else ShallowWater(g=self.g)

    def fan(self, speeds: np.ndarray) -> np.ndarray:
        """Exact state at x / t."""
        if self.g is not None:
            return water_fan(self.left, self.right, speeds, self.g)
        return gas_fan(self.left, self.right, speeds, self.gamma)

    def exact(self, n: int) -> np.ndarray:
        """Averages of the conserved quantities over n cells at the end, (n, component)."""
        fine = (np.arange(_POINTS * n) + 0.5) / (_POINTS * n) - 0.5
        states = conserved(self.system, self.fan(fine / self.until))
        return states.reshape(n, _POINTS, -1).mean(1)

    def solve(self, n: int, scheme: str, times: Sequence[float] | None = None) -> Result:
        """Finite volumes on n cells, at the end unless told otherwise."""
        grid = Grid.box("cell", n, start=-0.5, stop=0.5, boundary="outflow")
        states = conserved(self.system, np.array([self.left, self.right], np.float64))
        start = np.where((grid.coordinates()[0] < 0)[:, None], *states)
        return FiniteVolume(self.system, grid, scheme).solve(start[None], np.array(times or [0.0, self.until]))

    def star(self) -> dict[str, float]:
        """What `printed` lists, from our exact solvers."""
        if self.g is None:
            s = gas_star(self.left, self.right, self.gamma)
            shock = float(s.density_right * s.velocity / (s.density_right - self.right[0])) if "shock" in self.printed else None
            values = {"p*": s.pressure, "u*": s.velocity, "ρ*L": s.density_left, "ρ*R": s.density_right, "shock": shock}
        else:
            w = water_star(self.left, self.right, self.g)
            shock = float(w.depth * w.velocity / (w.depth - self.right[0])) if "shock" in self.printed else None
            values = {"h*": w.depth, "u*": w.velocity, "shock": shock}
            if "h at the dam" in self.printed:
                values["h at the dam"] = self.fan(np.array([0.0]))[0, 0]
        return {name: float(values[name]) for name in self.printed}


def _stars(p: str, u: str, left: str, right: str) -> dict[str, str]:
    return {"p*": p, "u*": u, "ρ*L": left, "ρ*R": right}


TUBES = {
    "Sod": Tube(
        (1, 0, 1), (0.125, 0, 0.1), 0.2, _stars("0.30313018", "0.92745262", "0.42631943", "0.26557371") | {"shock": "1.7521557"}
    ),
    "123": Tube((1, -2, 0.4), (1, 2, 0.4), 0.15, _stars("0.0018938734", "0", "0.021852118", "0.021852118")),
    "left blast": Tube((1, 0, 1000), (1, 0, 0.01), 0.012, _stars("460.89379", "19.597451", "0.5750623", "5.9992407")),
    "two shocks": Tube(
        (5.99924, 19.5975, 460.894),
        (5.99242, -6.19633, 46.0950),
        0.035,
        _stars("1691.647", "8.6897744", "14.28235", "31.042602"),
    ),
    "Lax": Tube((0.445, 0.698, 3.528), (0.5, 0, 0.571), 0.14, _stars("2.4660979", "1.528723", "0.34456847", "1.3040845")),
    "Stoker 2 : 1": Tube((2, 0), (1, 0), 0.25, {"h*": "1.45384089", "u*": "0.416920631", "shock": "1.33556996"}, g=1.0),
    "Stoker 10 : 1": Tube((1, 0), (0.1, 0), 0.1, {"h*": "0.39617482", "u*": "2.3213550", "shock": "3.1051337"}, g=9.81),
    "Ritter, dry bed": Tube((1, 0), (0, 0), 0.06, {"h at the dam": "0.44444444"}, g=9.81),
}
"""Problems, and the digits of their star states as printed."""


def star_rows() -> list[dict]:
    """Each printed number beside ours; it agrees when it is ours, rounded to as many digits."""
    rows = []
    for name, tube in TUBES.items():
        found = tube.star()
        for quantity, text in tube.printed.items():
            last = 10.0 ** -len(text.partition(".")[2]) if "." in text else 1e-12
            agrees = abs(found[quantity] - float(text)) <= 0.51 * last
            rows.append(
                {"problem": name, "quantity": quantity, "printed": text, "found": found[quantity], "agrees": bool(agrees)}
            )
    return rows


def rate_rows(sizes: Sequence[int]) -> list[dict]:
    """Finite volumes beside exact averages on grids of these sizes."""
    rows = []
    for name, tube in TUBES.items():
        for scheme in SCHEMES:
            errors, lost, least, steps, rejected = [], [], [], [], []
            for n in sizes:
                result, system = tube.solve(n, scheme, [0.0, tube.until / 2, tube.until]), tube.system
                start, halfway, found = result.values_or_raise()[0]
                exact = tube.exact(n)
                errors.append(float(np.abs(found - exact)[:, 0].sum() / np.abs(exact)[:, 0].sum()))
                # Nothing has reached the ends at half the time: what passes them is known.
                passed = tube.until / 2 * (_flux(system, tube.left) - _flux(system, tube.right))
                size = np.abs(start).mean(0).max() + np.abs(passed).max()
                lost.append(float(np.abs(halfway.mean(0) - start.mean(0) - passed).max() / size))
                least.append(float(min(w.min() for w in _positive(system, found))))
                steps.append(int(result.stats["steps"][0]))
                rejected.append(int(result.stats["rejected"][0]))
            rows.append(
                {"problem": name, "scheme": scheme, "cells": list(sizes), "errors": errors, "rates": _orders(errors)}
                | {"lost": max(lost), "least": min(least), "steps": steps, "rejected": rejected}
            )
    return rows


def conserved(system: System, w: np.ndarray) -> np.ndarray:
    """Conserved quantities of primitive ones, (..., component)."""
    return np.stack([np.asarray(q) for q in system.conserved(tuple(np.moveaxis(w, -1, 0)), {})], axis=-1)


def _flux(system: System, w: Sequence[float]) -> np.ndarray:
    return np.array([float(f) for f in system.flux(tuple(np.float64(v) for v in w), 0, {})])


def _positive(system: System, q: np.ndarray) -> list[np.ndarray]:
    """Density and pressure, or depth."""
    w = system.primitive(tuple(np.moveaxis(q, -1, 0)), {})
    return [np.asarray(w[0]), np.asarray(w[-1])] if isinstance(system, Euler) else [np.asarray(w[0])]


def _orders(errors: Sequence[float]) -> list[float]:
    return [float(v) for v in np.log2(np.divide(errors[:-1], errors[1:]))]


# -- smooth flow --------------------------------------------------------------------------------------------------------


def averages(function: Callable[..., np.ndarray], grid: Grid) -> np.ndarray:
    """Cell averages of function(x[, y]) -> (..., component) by Gauss's rule of four points per axis."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    values = function(
        *np.meshgrid(*[(a.coordinates()[:, None] + a.spacing / 2 * nodes).ravel() for a in grid.axes], indexing="ij")
    )
    for i, axis in enumerate(grid.axes):
        values = np.moveaxis(values, i, -1)
        values = np.moveaxis(values.reshape(*values.shape[:-1], axis.size, 4) @ (weights / 2), -1, i)
    return values


def _gas(rho, *rest) -> np.ndarray:
    *velocity, p = rest
    return np.stack([rho, *(rho * u for u in velocity), p / 0.4 + rho / 2 * sum(u**2 for u in velocity)], -1)


def density_wave(scheme: str, n: int) -> float:
    """Density 1 + sin(2 pi x) / 2 on a uniform flow, t = 1/2; steps as h^(5/3), so that time does not hide space."""
    grid = Grid((Axis("x", n, cells=True),))
    start, end = (
        averages(lambda x, t=t: _gas(1 + np.sin(2 * np.pi * (x - t)) / 2, 0 * x + 1, 0 * x + 1), grid) for t in (0, 0.5)
    )
    courant = 0.6 * (20 / n) ** (2 / 3) if scheme == "weno5" else 0.6
    found = FiniteVolume(Euler(), grid, scheme, courant=courant).solve(start[None], np.array([0.0, 0.5]))
    return float(np.abs(found.values_or_raise()[0, 1] - end)[..., 0].mean())


def vortex(scheme: str, n: int) -> float:
    """Shu's isentropic vortex of strength 5, carried along the diagonal of a torus of side 12 for t = 1."""

    def state(x, y):
        swirl = 5 / (2 * np.pi) * np.exp((1 - x**2 - y**2) / 2)
        warmth = 1 - 0.4 * 25 / (8 * 1.4 * np.pi**2) * np.exp(1 - x**2 - y**2)
        return _gas(warmth**2.5, 1 - swirl * y, 1 + swirl * x, warmth**3.5)

    grid = Grid(tuple(Axis(name, n, -6.0, 6.0, cells=True) for name in "xy"))
    end = averages(lambda x, y: state(*((z - 1 + 6) % 12 - 6 for z in (x, y))), grid)
    found = FiniteVolume(Euler(axes=2), grid, scheme).solve(averages(state, grid)[None], np.array([0.0, 1.0]))
    return float(np.abs(found.values_or_raise()[0, 1] - end)[..., 0].mean())


def smooth_rows(finest: int) -> list[dict]:
    """Orders on smooth flow."""
    rows = []
    for what, run, sizes in (
        ("wave of density, 1-D", density_wave, (40, 80, 160)),
        ("isentropic vortex, 2-D", vortex, tuple(n for n in (48, 96, 192) if n <= finest)),
    ):
        for scheme in SCHEMES:
            errors = [run(scheme, n) for n in sizes]
            rows.append({"flow": what, "scheme": scheme, "cells": sizes, "errors": errors, "orders": _orders(errors)})
    return rows


def kept_rows() -> list[dict]:
    """Random blocks of gas on a torus, shocks everywhere: totals before and after. Uniform flow: its largest change."""
    rows, rng = [], np.random.default_rng(2026)
    grid = Grid(tuple(Axis(name, 64, cells=True) for name in "xy"))
    blocks = _gas(rng.uniform(0.5, 2, (8, 8)), *rng.uniform(-1, 1, (2, 8, 8)), rng.uniform(0.5, 2, (8, 8)))
    start = np.kron(blocks, np.ones((8, 8, 1)))[None]
    flat = np.broadcast_to(_gas(np.float64(0.7), np.float64(0.9), np.float64(0.8), np.float64(1.3)), start.shape)
    for scheme in SCHEMES:
        solver = FiniteVolume(Euler(axes=2), grid, scheme)
        both = solver.solve(np.concatenate([start, flat]), np.array([0.0, 0.3])).values_or_raise()
        totals = both[0].sum((1, 2))
        lost = np.abs(totals[1] - totals[0]).max() / np.abs(start).sum((0, 1, 2)).max()
        rows.append({"scheme": scheme, "lost": float(lost), "uniform_changed": float(np.abs(both[1, 1] / flat[0] - 1).max())})
    return rows


# -- speed, and a peer --------------------------------------------------------------------------------------------------


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Result and best time of three runs after one that compiles."""
    found, best = run(), np.inf
    for _ in range(3):
        before = time.perf_counter()
        found = run()
        best = min(best, time.perf_counter() - before)
    return found, best


def sod_ours(n: int, scheme: str, rows: int = 0) -> dict:
    """Sod on n cells, in 1-D or, with `rows`, on n x rows cells between walls."""
    tube = TUBES["Sod"]
    line = Axis("x", n, 0.0, 1.0, "cell", ("outflow", "outflow"))
    axes = (line, Axis("y", rows, 0.0, rows / n, "cell", ("wall", "wall"))) if rows else (line,)
    grid = Grid(axes)
    x = grid.mesh()[0]
    states = np.array([(w[0], w[1], 0.0, w[2]) if rows else w for w in (tube.left, tube.right)], np.float64)
    system = Euler(axes=grid.dimension)
    start = np.where((x < 0.5)[..., None], *conserved(system, states))
    solver = FiniteVolume(system, grid, scheme)
    result, seconds = timed(lambda: solver.solve(start[None], np.array([0.0, tube.until])))
    density = result.values_or_raise()[0, 1, ..., 0]
    density, steps = density[:, 0] if rows else density, int(result.stats["steps"][0])
    return _speed_row(f"ours, {scheme}", (n, rows or 1), density, steps, seconds)


def sod_theirs(n: int, rows: int) -> dict:
    """The same by pyro: its unsplit corner-transport scheme with limited parabolas and HLLC, as its own test sets it up."""
    from pyro import Pyro  # pyright: ignore[reportMissingImports]

    settings = {"mesh.nx": n, "mesh.ny": rows, "mesh.ymax": rows / n, "driver.max_steps": 100_000, "driver.tmax": 0.2}
    settings |= {"driver.verbose": 0, "vis.dovis": 0, "io.do_io": 0, "compressible.limiter": 1}

    def run() -> Any:
        program = Pyro("compressible")
        program.initialize_problem("sod", inputs_file="inputs.sod.x", inputs_dict=settings)
        before = time.perf_counter()
        program.run_sim()
        return program.sim, time.perf_counter() - before

    # It prints, however quiet it is asked to be, and leaves its settings in the folder it runs in.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        run()
        sim, seconds = min((run() for _ in range(3)), key=lambda pair: pair[1])
    grid = sim.cc_data.grid
    density = np.asarray(sim.cc_data.get_var("density"))[grid.ilo : grid.ihi + 1, grid.jlo]
    return _speed_row(f"pyro {version(PEER)}", (n, rows), density, int(sim.n), seconds)


def _speed_row(by: str, cells: tuple[int, int], density: np.ndarray, steps: int, seconds: float) -> dict:
    exact = TUBES["Sod"].exact(cells[0])[:, 0]
    error = float(np.abs(density - exact).sum() / exact.sum())
    rate = cells[0] * cells[1] * steps / seconds
    return {"by": by, "cells": cells, "error": error, "steps": steps, "seconds": seconds, "cell_steps_per_second": rate}


def speed_rows(peer: bool) -> list[dict]:
    """Error and speed on Sod's problem, one sample at a time."""
    found = [sod_ours(128, scheme) for scheme in SCHEMES]
    for cells in ((128, 10), (128, 128), (256, 64)):  # the first is pyro's own
        found += [sod_ours(cells[0], scheme, cells[1]) for scheme in SCHEMES]
        found += [sod_theirs(*cells)] if peer else []
    return found


# -- the page -----------------------------------------------------------------------------------------------------------


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def page(payload: dict) -> str:
    """The figures as Markdown."""
    tiny = lambda values: ", ".join(f"{v:.1e}" for v in values)  # noqa: E731
    rates = lambda values: ", ".join(f"{v:.2f}" for v in values) or "–"  # noqa: E731
    lines = ["# Riemann problems and hyperbolic flow", ""]
    lines += ["Made by `python -m benchmarks.solver_hyperbolic`; the same cases, with bounds, are tests.", ""]
    lines += ["## Exact solvers beside printed star states", ""]
    stars = [
        (r["problem"], r["quantity"], r["printed"], f"{r['found']:.10g}", "yes" if r["agrees"] else "**no**")
        for r in payload["stars"]
    ]
    lines += table(("problem", "quantity", "printed", "ours", "agrees to the last digit"), stars)
    sizes = ", ".join(map(str, payload["rates"][0]["cells"]))
    lines += ["", "## Finite volumes beside exact solutions", ""]
    lines += [f"Relative L1 error of the averages of density (or depth) on {sizes} cells, HLLC. Lost: change of the totals at"]
    lines += ["half the time that the fluxes through the ends do not explain, relative. Least: density, pressure or depth.", ""]
    tubes = []
    for r in payload["rates"]:
        kept = f"{r['lost']:.0e}", f"{r['least']:.2g}", sum(r["rejected"])
        tubes.append((r["problem"], r["scheme"], tiny(r["errors"]), rates(r["rates"]), *kept))
    lines += table(("problem", "scheme", "errors", "rates", "lost", "least", "steps rejected"), tubes)
    lines += ["", "## Smooth flow", "", "Mean error of the density averages.", ""]
    smooth = [
        (r["flow"], r["scheme"], ", ".join(map(str, r["cells"])), tiny(r["errors"]), rates(r["orders"]))
        for r in payload["smooth"]
    ]
    lines += table(("flow", "scheme", "cells per axis", "errors", "orders"), smooth)
    lines += ["", "## What must not change", ""]
    lines += ["Totals of random blocks of gas on a torus of 64² cells, and a uniform flow.", ""]
    kept = [(r["scheme"], f"{r['lost']:.0e}", f"{r['uniform_changed']:.0e}") for r in payload["kept"]]
    lines += table(("scheme", "lost of the totals, relative", "change of the uniform flow, relative"), kept)
    lines += ["", "## Sod's problem: error and speed", "", payload["peer"], ""]
    speed = []
    for r in payload["speed"]:
        rate = f"{r['cell_steps_per_second'] / 1e6:.2f}"
        speed.append((r["by"], "{} × {}".format(*r["cells"]), f"{r['error']:.2e}", r["steps"], f"{r['seconds']:.3g}", rate))
    lines += table(("by", "cells", "relative L1 of the density", "steps", "seconds", "10⁶ cell steps per second"), speed)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, store; returns what was stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--finest", type=int, default=1024, help="largest number of cells per axis")
    parser.add_argument("--skip-peer", action="store_true", help="do not run pyro, even where it is installed")
    parser.add_argument("--name", default="solver_hyperbolic", help="name of the results file")
    options = parser.parse_args(arguments)
    sizes = [n for n in (128, 256, 512, 1024) if n <= options.finest]
    peer = version(PEER) is not None and not options.skip_peer
    said = "One sample at a time, two cores; the best of three runs, compilation outside the clock."
    said += "" if peer else f" {PEER} was not run (not installed, or skipped)."
    payload = {
        "stars": star_rows(),
        "rates": rate_rows(sizes),
        "smooth": smooth_rows(options.finest),
        "kept": kept_rows(),
        "peer": said,
        "speed": speed_rows(peer),
    }
    text = page(payload)
    Console().print(text, highlight=False, soft_wrap=True)
    record(options.name, payload)
    if options.name == "solver_hyperbolic":
        write_bytes(PAGE, text.encode())
    return payload


if __name__ == "__main__":
    main()
