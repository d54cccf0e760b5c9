"""A noisy window of an unknown system: its equations, its future, and how sure that is, by the trained PROSE of this package.

    python examples/equations_from_noise.py

Leaves equations_from_noise.png: 64 noisy frames of a system whose numbers training has not seen, and the forecast with its
band; prints the equations that were found beside the true ones.
"""

from pathlib import Path

import numpy as np
import sympy
from matplotlib.figure import Figure

from pdes.canonical import system_of
from pdes.vocabulary import words_of
from pdes.windows import GIVEN, windows
from sciml.operators.prose import Search, stored


def main(family: str = "prose_sprott_B", seed: int = 6, beams: int = 4, folder: str | Path = ".") -> Path:
    """Find the equations of one held-out trajectory and draw it. Returns the picture's path."""
    data = windows((family,), 1, seed, "test")
    d = int(data.components[0])
    noisy = data.noisy(0.02, seed)[0, :, :d]
    window = np.ascontiguousarray(noisy[None, :GIVEN].transpose(0, 2, 1), dtype=np.float32)
    (answer,) = stored().equations(window, search=Search(beams=beams))
    truth = system_of(words_of(data.equations[0].tolist(), d))
    print(f"forecast by: {answer.path}; mean squared residual {answer.misfit:.2f} of the noise")
    shown = lambda system: [f.xreplace({n: sympy.Float(n, 4) for n in f.atoms(sympy.Float)}) for f in system]  # noqa: E731
    for i, (found, right) in enumerate(zip(shown(answer.system) or [None] * d, shown(truth), strict=True)):
        print(f"u_{i}' = {found}        true: {right}")

    figure = Figure(figsize=(8, 2 * d), layout="constrained")
    axes = np.atleast_1d(figure.subplots(d, 1, sharex=True))
    for i, axis in enumerate(axes):
        axis.plot(data.times, data.states[0, :, i], color="0.6", label="truth")
        axis.plot(data.times[:GIVEN], noisy[:GIVEN, i], "k.", markersize=3, label="given")
        axis.plot(answer.times, answer.forecast[:, i], "C0", label=f"forecast ({answer.path})")
        if answer.low is not None and answer.high is not None:
            axis.fill_between(answer.times, answer.low[:, i], answer.high[:, i], color="C0", alpha=0.3, label="90 % band")
        axis.set_ylabel(f"u_{i}")
    axes[0].legend(fontsize="small", ncols=4)
    axes[-1].set_xlabel("time")
    path = Path(folder) / "equations_from_noise.png"
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    print(main())
