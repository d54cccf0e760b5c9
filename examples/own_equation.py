"""A PDE of your own in ten lines: Kuramoto–Sivashinsky, written once, solved with a method that follows from it.

    python examples/own_equation.py

Leaves own_equation.png: three runs over time, from different random initial states.
"""

from pathlib import Path

from matplotlib.figure import Figure

from pdes import Periodic, Problem, generate, grf

kuramoto_sivashinsky = Problem(
    name="kuramoto_sivashinsky_example",
    equation="u_t = -u*u_x - u_xx - u_xxxx",
    domain=Periodic(x=(0, 64)),
    initial={"u": grf(tau=0.5, alpha=2, sigma=1, modes=16)},
    time=(0, 60),
    frames=121,
)


def main(n: int = 3, resolution: int = 192, folder: str | Path = ".") -> Path:
    """Generate `n` samples with a measured label error and draw them. Returns the picture's path."""
    data = generate(kuramoto_sivashinsky, n=n, resolution=resolution, seed=7)
    print(data)
    u, x, t = data.fields["u"], data.coordinates["x"], data.coordinates["t"]
    figure = Figure(figsize=(4 * n, 5), layout="constrained")
    for i, axes in enumerate(figure.subplots(1, n, squeeze=False)[0]):
        image = axes.pcolormesh(x, t, u[i], cmap="RdBu_r", vmin=-3, vmax=3, rasterized=True)
        axes.set(title=f"sample {i}", xlabel="x", ylabel="t" if i == 0 else "")
    figure.colorbar(image, ax=figure.axes, label="u", shrink=0.8)
    figure.suptitle(f"${data.provenance['latex']}$")
    path = Path(folder) / "own_equation.png"
    figure.savefig(path, dpi=120)
    return path


if __name__ == "__main__":
    print(f"wrote {main()}")
