"""The lid-driven cavity against the tables of Ghia, Ghia and Shin (1982) and the extrema of Botella and Peyret (1998).

    python -m benchmarks.verification_cavity [--finest 256]

Steady flow at Re 100, 400 and 1000 on grids of 64, 128, ... cells per side, by Newton's method, and extrapolated from the two
finest (the scheme is of second order; the corners of the lid, where the velocity jumps, are the same for everybody).
"""

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.interpolate import CubicSpline

from benchmarks.record import record
from solvers.grid import Grid
from solvers.steady_flow import SteadyNavierStokes

Y = [0.9766, 0.9688, 0.9609, 0.9531, 0.8516, 0.7344, 0.6172, 0.5, 0.4531, 0.2813, 0.1719, 0.1016, 0.0703, 0.0625, 0.0547]
U = {
    100: "0.84123 0.78871 0.73722 0.68717 0.23151 0.00332 -0.13641 -0.20581 -0.2109 -0.15662 -0.1015 -0.06434 -0.04775 "
    "-0.04192 -0.03717",
    400: "0.75837 0.68439 0.61756 0.55892 0.29093 0.16256 0.02135 -0.11477 -0.17119 -0.32726 -0.24299 -0.14612 -0.10338 "
    "-0.09266 -0.08186",
    1000: "0.65928 0.57492 0.51117 0.46604 0.33304 0.18719 0.05702 -0.0608 -0.10648 -0.27805 -0.38289 -0.2973 -0.2222 "
    "-0.20196 -0.18109",
}
"""Ghia: u on x = 1/2 at `Y`."""
SPECTRAL_U = [0.6644227, 0.5808359, 0.5169277, 0.4723329, 0.3372212, 0.1886747, 0.0570178, -0.0620561, -0.1081999]
SPECTRAL_U += [-0.2803696, -0.388569, -0.3004561, -0.2228955, -0.20233, -0.1812881]
"""Botella and Peyret: the same at Re 1000."""
EXTREMA = {100: (-0.2140424, 0.1795728, -0.2538030), 1000: (-0.3885698, 0.3769447, -0.5270771)}
"""Botella and Peyret: smallest u on x = 1/2, largest and smallest v on y = 1/2."""


def measure(reynolds: int, n: int) -> dict:
    """Profile at Ghia's points, extrema on the centre lines (splines through cells and walls), and the seconds it took."""
    started = time.perf_counter()
    grid = Grid.box("cell", n, dimension=2, boundary="wall")
    result = SteadyNavierStokes(grid, {"top": (1.0, 0.0)}).solve({"nu": 1 / reynolds})
    seconds = time.perf_counter() - started
    values, x = result.values_or_raise()[0], np.concatenate([[0], grid.coordinates()[0], [1]])
    # u lives on the faces: for even n the mean of the two cells beside the line differs from it by second order only.
    u = np.concatenate([[0], values[n // 2 - 1 : n // 2 + 1, :, 0].mean(0), [1]])
    v = np.concatenate([[0], values[:, n // 2 - 1 : n // 2 + 1, 1].mean(1), [0]])
    lines, fine = (CubicSpline(x, u), CubicSpline(x, v)), np.linspace(0, 1, 20001)
    extrema = [lines[0](fine).min(), lines[1](fine).max(), lines[1](fine).min()]
    return {"n": n, "seconds": seconds, "newton_steps": int(result.stats["iterations"][0])} | {
        "u": lines[0](np.array(Y)),
        "extrema": np.array(extrema),
    }


def main():
    """Solve on every grid, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finest", type=int, default=256)
    finest = parser.parse_args().finest
    sizes = [n for n in (64, 128, 256, 512) if n <= finest]
    table = Table(
        "Re", "n", "u against Ghia (max)", "u against spectral (max)", "extrema against spectral (max, relative)", "s"
    )
    runs = []
    for reynolds in U:
        found = [measure(reynolds, n) for n in sizes]
        extrapolated = {key: found[-1][key] + (found[-1][key] - found[-2][key]) / 3 for key in ("u", "extrema")}
        found.append({"n": "extrapolated", "seconds": None, "newton_steps": None} | extrapolated)
        for row in found:
            row["reynolds"] = reynolds
            row["ghia"] = float(np.abs(row["u"] - np.array(U[reynolds].split(), float)).max())
            row["spectral"] = float(np.abs(row["u"] - SPECTRAL_U).max()) if reynolds == 1000 else None
            known = EXTREMA.get(reynolds)
            row["extrema_error"] = None if known is None else float(np.abs(row["extrema"] / known - 1).max())
            shown = [row["ghia"], row["spectral"], row["extrema_error"], row["seconds"]]
            table.add_row(str(reynolds), str(row["n"]), *("" if s is None else f"{s:.2g}" for s in shown))
        runs += found
    Console().print(table)
    print(record("verification_cavity", {"y": Y, "runs": runs}))


if __name__ == "__main__":
    main()
