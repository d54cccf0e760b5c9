"""Train a multigrid neural operator on Darcy flow and look at what it gets wrong.

    python examples/darcy_mgno.py

Leaves darcy_mgno.png: permeability, true pressure, predicted pressure, error.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import sciml


def main(
    n: int = 240, resolution: int = 32, seconds: float = 25.0, operator: str = "mgno:tiny", folder: str | Path = "."
) -> Path:
    """Generate, train for about `seconds`, evaluate on 40 more samples, draw the median one. Returns the picture's path."""
    data = sciml.generate("darcy", n=n + 40, resolution=resolution, seed=7)
    train, test = data.split(n, 40)
    result = sciml.fit(operator, train, seconds=seconds)
    report = sciml.evaluate(result.operator, test)
    print(report)

    errors = report.scores[0].errors["relative_l2"]
    middle = int(np.argsort(errors)[len(errors) // 2])
    a, u = test.inputs["a"][middle], test.fields["u"][middle]
    predicted = result.operator.predict(a[None, None])[0, 0]
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    shown = {
        "permeability a": a,
        "pressure u": u,
        "predicted": predicted,
        f"error ({100 * errors[middle]:.1f} %)": predicted - u,
    }
    for axes, (title, field) in zip(figure.subplots(1, 4), shown.items(), strict=True):
        bound = float(np.abs(field).max()) if title.startswith("error") else None
        style = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound} if bound else {}
        image = axes.imshow(np.asarray(field).T, origin="lower", extent=(0, 1, 0, 1), **style)
        axes.set(title=title, xticks=[], yticks=[])
        figure.colorbar(image, ax=axes, shrink=0.85)
    path = Path(folder) / "darcy_mgno.png"
    figure.savefig(path, dpi=120)
    return path


if __name__ == "__main__":
    print(f"wrote {main()}")
