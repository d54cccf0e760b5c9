"""Write docs/mgno.md, and the README's table, from the results of mgno_accuracy, mgno_speed and preconditioner.

python -m benchmarks.mgno_page
"""

import json
from pathlib import Path

import numpy as np

from benchmarks.mgno_accuracy import MODELS, RATES, SIZED, TASKS
from benchmarks.mgno_speed import NETWORKS
from benchmarks.pages import put, section, shown, table
from benchmarks.preconditioner import TOLERANCE
from benchmarks.record import RESULTS
from solvers.files import write_bytes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "mgno.md"
TITLES = ("Darcy, log-normal", "Darcy 12/3", "Darcy, multiscale", "Helmholtz", "Navier–Stokes, one step / ten")
INTRODUCTION = """# MgNO and learned multigrid, measured

Made by `python -m benchmarks.mgno_page` from the results of `mgno_accuracy`, `mgno_speed` and `preconditioner`, which say at
their head what was run and how. Errors are means of the relative L2 error over the test set, in per cent, ± the spread over
seeds where there is more than one. Every network trained for {seconds:.0f} s of one core (so many epochs as a few timed steps
promise). Test data are looked at once. Below the error of the labels nothing can be told.
"""


def stored(name: str) -> dict:
    """What a benchmark measured."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def percent(values: list[float]) -> str:
    """Mean and spread, in per cent."""
    return shown([100 * v for v in values])


class Errors:
    """By model and task, over seeds; of the flow's roll-outs by model; parameters by model."""

    def __init__(self, results: dict):
        self.one: dict[tuple[str, str], list[float]] = {}
        self.rollouts: dict[str, list[list[float]]] = {}
        self.parameters: dict[str, int] = {}
        for row in results["rows"]:
            if row.get("relative_l2") is not None:
                self.one.setdefault((row["model"], row["task"]), []).append(row["relative_l2"])
                if row.get("parameters"):
                    self.parameters.setdefault(row["model"], row["parameters"])
                if row.get("rollout"):
                    self.rollouts.setdefault(row["model"], []).append(row["rollout"])

    def at(self, model: str, task: str) -> str:
        """Mean and spread, in per cent."""
        return percent(self.one.get((model, task), []))

    def at_ten(self, model: str) -> str:
        """The same after ten steps of the flow."""
        return percent([r[9] for r in self.rollouts.get(model, [])])

    def count(self, model: str) -> str:
        """Parameters."""
        return f"{self.parameters[model]:,}" if model in self.parameters else "–"


FREE = ["linear", "persistence", *(f"classical solver, {n}²" for n in (16, 32, 64)), "error of the labels"]


def readme(results: dict) -> str:
    """The README's table."""
    e = Errors(results)
    body = []
    for model in (*MODELS, *RATES, *FREE):
        cells = [e.at(model, task) for task in TASKS]
        cells[-1] += f" / {ten}" if (ten := e.at_ten(model)) != "–" else ""
        body.append([model, e.count(model), *cells])
    return table(("", "parameters", *TITLES), body)


def accuracy(results: dict) -> list[str]:
    """Rows are models, columns tasks."""
    e = Errors(results)
    cells = lambda model, tasks: [e.at(model, task) for task in tasks]  # noqa: E731
    body = [[model, e.count(model), *cells(model, TASKS), e.at_ten(model)] for model in (*MODELS, *RATES, *FREE)]
    compared = [task for task in TASKS if any((model, task) in e.one for model in SIZED)]
    equal = [[model, e.count(model), *cells(model, compared)] for model in ("mgno:small", *SIZED)]
    return [
        section("At equal training time", ("", "parameters", *TASKS, "navier_stokes, 10 steps"), body),
        section("At about equal parameters, and the same time", ("", "parameters", *compared), equal),
    ]


def speed(results: dict) -> list[str]:
    """Rows are settings, columns networks."""
    body = []
    for row in results["rows"]:
        if "what" in row:
            values = row.get("ms") or row["mib"]
            unit = "ms" if "ms" in row else "MiB"
            cells = [f"{values[n]:.3g} {unit}, {values['published'] / values[n]:.2f}" for n in NETWORKS]
            body.append([row["what"], str(row["size"]), str(row["batch"]), str(row.get("threads", "–")), *cells])
    title = "Speed and memory; behind the comma, how many times less than the published network"
    return [section(title, ("", "points per side", "batch", "threads", *NETWORKS), body)]


def preconditioners(results: dict) -> list[str]:
    """Rows are media and sizes, columns solvers."""
    rows = [row for row in results["rows"] if "medium" in row]
    names = [name for name, value in rows[0].items() if isinstance(value, dict)]
    body = []
    for row in rows:
        cells = []
        for name in names:
            missed = "" if max(row[name]["residual"]) < 2 * TOLERANCE else " (not reached)"
            cells.append(f"{np.mean(row[name]['iterations']):.1f}, {np.mean(row[name]['ms']):.0f} ms{missed}")
        body.append([row["medium"], str(row["size"]), *cells])
    title = "Conjugate gradients to a residual of 1e-8: iterations and time, setup included"
    return [section(title, ("coefficient", "points per side", *names), body)]


def page() -> str:
    """The page."""
    results = stored("mgno_accuracy")
    parts = [INTRODUCTION.format(**results["settings"]), *accuracy(results), *speed(stored("mgno_speed"))]
    return "\n".join([*parts, *preconditioners(stored("preconditioner"))])


def main() -> None:
    """Write the page, and the table of the README."""
    write_bytes(DOCS, page().encode())
    put(ROOT / "README.md", "table of mgno_accuracy", readme(stored("mgno_accuracy")))


if __name__ == "__main__":
    main()
