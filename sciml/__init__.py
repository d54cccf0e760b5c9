"""Fit any operator to PDE data with one call, and know honestly whether it beats the solver.

    import sciml
    data = sciml.generate("darcy", n=1000, resolution=64, seed=0)
    train, test = data.split(800, 200)
    result = sciml.fit("mgno:small", train)
    report = sciml.evaluate(result.operator, test)

Names are imported on first use: neither torch nor JAX is loaded before something needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "generate": "pdes",
    "stream": "pdes",
    "Dataset": "pdes",
    "fit": "sciml.fitting",
    "FitResult": "sciml.fitting",
    "evaluate": "sciml.evaluation",
    "rollout": "sciml.evaluation",
    "Report": "sciml.report",
    "Operator": "sciml.operator",
    "Learner": "sciml.operator",
    "Training": "sciml.operator",
    "create": "sciml.operator",
    "load": "sciml.operator",
    "operator_names": "sciml.operator",
    "check_operator": "sciml.checks",
    "recover": "sciml.recovery",
    "Recovery": "sciml.recovery",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sciml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


if TYPE_CHECKING:
    from pdes import Dataset, generate, stream
    from sciml.checks import check_operator
    from sciml.evaluation import evaluate, rollout
    from sciml.fitting import FitResult, fit
    from sciml.operator import Learner, Operator, Training, create, load, operator_names
    from sciml.recovery import Recovery, recover
    from sciml.report import Report
