"""PDE data: equations written once, random functions, real solvers, and datasets.

    import pdes
    data = pdes.generate("darcy", n=1000, resolution=64, seed=0, path="darcy.h5")

Names are loaded on first use, so that importing this package loads neither JAX nor torch.
"""

import importlib

_WHERE = {
    "Problem": "problem",
    "Solution": "problem",
    "get": "problem",
    "names": "problem",
    "Equation": "equation",
    "Periodic": "domain",
    "Box": "domain",
    "Point": "domain",
    "Dataset": "dataset",
    "generate": "generation",
    "stream": "streaming",
    "verify": "verification",
    "duplicates": "verification",
    "check_problem": "checks",
    "grf": "random_fields",
    "lognormal": "random_fields",
    "threshold": "random_fields",
    "fourier_series": "random_fields",
    "constant": "random_fields",
    "mapped": "random_shapes",
    "blobs": "random_shapes",
    "level": "random_shapes",
    "turbulence": "random_shapes",
    "multiscale": "random_shapes",
    "peaks": "random_shapes",
    "fixed": "scalars",
    "uniform": "scalars",
    "loguniform": "scalars",
    "choice": "scalars",
    "rounded": "scalars",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        value = getattr(importlib.import_module(f"pdes.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pdes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
