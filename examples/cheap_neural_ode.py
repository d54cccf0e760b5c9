"""A neural ODE that learns a cubic spiral, and to be cheap: vector field, step sizes and evaluations while it trains.

    python examples/cheap_neural_ode.py

Leaves cheap_neural_ode.png: what plain training makes of y' = A y^3, beside training with a price on every solver step (R_N).
A small price saves some evaluations at the same loss; a higher one saves more, and the trajectories pay for it: where data
dictate the path, there is little to save.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp

import sciml
from pdes.dataset import Dataset
from sciml.nde.fields import run, with_time
from sciml.operators.neural_ode import NeuralODE
from solvers.grid import Grid

LAW = np.array([[-0.1, 2.0], [-2.0, -0.1]])


def spirals(n: int, seed: int = 3) -> Dataset:
    """Trajectories of y' = A y^3 on [0, 1.5], solved to 1e-8: (sample, time, 2)."""
    t = np.linspace(0, 1.5, 16)
    starts = np.random.default_rng(seed).uniform(-2, 2, (n, 2))
    y = [solve_ivp(lambda _, y: LAW @ y**3, (0, 1.5), s, t_eval=t, rtol=1e-8, atol=1e-8).y.T for s in starts]
    return Dataset(fields={"y": np.stack(y)}, grid=Grid(()), times=t, provenance={"family": "cubic spiral"})


def main(epochs: int = 150, n: int = 64, folder: str | Path = ".") -> Path:
    """Train at three prices, draw them. Returns the picture's path."""
    data = spirals(n)
    start = np.asarray(data.fields["y"][:, 0], np.float32)
    figure = Figure(figsize=(12, 10), layout="constrained")
    for row, price in zip(figure.subplots(3, 3), (0.0, 0.01, 0.03), strict=True):
        operator = NeuralODE(backend="jax", regularisers=("R_N",), weights=(price,))
        result = sciml.fit(operator, data, task="trajectory", epochs=epochs, lr=0.02, validation=False, seed=1,
                           progress=False)  # fmt: skip
        label = f"{price:g} per step" if price else "steps are free"
        draw_field(row[0], result.operator, data, label)
        statistics = result.operator.solved(start)
        row[1].stairs(statistics.history("steps"), [*statistics.history("starts"), 1.0])
        row[1].set(xlabel="time / 1.5", ylabel="step size", title=f"{statistics.evaluations} evaluations")
        row[2].plot([r["evaluations"] for r in result.history.rows])
        row[2].set(
            xlabel="epoch", ylabel="evaluations per training solve", title=f"loss {result.history.rows[-1]['task_loss']:.3f}"
        )
    path = Path(folder) / "cheap_neural_ode.png"
    figure.savefig(path, dpi=70)
    return path


def draw_field(axes, operator: NeuralODE, data: Dataset, label: str) -> None:
    """The learned vector field at time 0 in physical units, and the first trajectories."""
    x = np.linspace(-2, 2, 17)
    points = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    normaliser = operator.input_normaliser
    z = (points - normaliser.shift) / normaliser.scale
    flow = run(operator.weights(), "field", with_time(0.0, [z], np), np) * normaliser.scale
    axes.quiver(points[:, 0], points[:, 1], flow[:, 0], flow[:, 1], color="0.6")
    for true in data.fields["y"][:4]:
        axes.plot(true[:, 0], true[:, 1], ".", ms=4)
    axes.set(title=label, aspect="equal")


if __name__ == "__main__":
    print(main())
