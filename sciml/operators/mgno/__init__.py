"""MgNO: u <- act(W u + B u), where W is one multichannel multigrid V-cycle, exactly linear, and B a pointwise affine map.

He, Liu, Xu, MgNO: Efficient Parameterization of Linear Operators via Multigrid, ICLR 2024 (arXiv 2310.19809). The V-cycle is in
`cycle`, its grids and transfers in `transfers`, its stencils and what they see beyond a wall in `stencils`. With weights set by
hand (`geometric`) it is a classical V-cycle, to rounding. Unlike the published code the transfers are aligned and adjoint, so
that every grid size works, and ghost values follow the boundary condition of each side; `transfer="released"` gives the
published layer for comparison.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from sciml.learners.backprop import TorchOperator
from sciml.normalize import Normaliser
from sciml.operator import Learner, Training
from sciml.operators.mgno import geometric, growth
from sciml.operators.mgno.cycle import CHOICES as CYCLE_CHOICES
from sciml.operators.mgno.cycle import MgLinear
from sciml.operators.mgno.grids import coarse_size, level_count, prolongation, restriction
from sciml.operators.mgno.network import ACTIVATIONS, MgNetwork
from sciml.preconditioning import Preconditioned, System
from sciml.tasks import Signature, Task
from solvers.errors import SettingError

CHOICES = CYCLE_CHOICES | {
    "activation": tuple(ACTIVATIONS),
    "head": ("1x1", "mg"),
    "norm": ("none", "rms"),
    "init": ("default", "scaled", "geometric"),
}
CYCLE_FIELDS = ("pre", "post", "coarsest", "cycle", "transfer", "stencil", "share")
NETWORK_FIELDS = ("width", "depth", "activation", "head", "norm", "coordinates", "recompute")


@dataclass(frozen=True)
class Config:
    """Settings of a MgNO.

    width : channels of the hidden layers.   depth : number of layers.
    levels : grids of a V-cycle, finest included; 0 coarsens until a side has about four points.
    pre, post : smoothing steps before and after the coarse-grid correction, one number or one for each grid from the finest.
    coarsest : steps on the coarsest grid.
    cycle : "fas" (as published), "correction" (classical) or "additive" (cheapest).
    transfer : "separable" (any size), "dense" (learned kernels, nested grids), "released" (the published kernels).
    stencil : "dense", "depthwise", or "mixed": depthwise on the finest grid, dense below.
    share : "none", "coarse" (one set of weights on all grids but the finest: half the parameters, about the same error), "all".
    activation : "gelu", "silu" or "relu".   head : "1x1", or "mg" for a V-cycle.
    norm : "none", or "rms": W u divided by its root mean square; no longer linear.
    init : "default", "scaled" (later smoothing steps start small) or "geometric": the untrained operator is a V-cycle that
        solves Poisson's equation for the first input.
    skip : add the last frame given to the result, so that increments are learned; None does so in autoregressive tasks.
    coordinates : give the grid's coordinates as extra input channels; off, since walls are known through the ghost values.
    recompute : save memory in training at the price of a second forward pass.
    growth : coarser grids that a training starts on, as far as the targets survive there (see `growth`); 0 for none.
    """

    width: int = 24
    depth: int = 4
    levels: int = 0
    pre: int | tuple[int, ...] = 1
    post: int | tuple[int, ...] = 0
    coarsest: int = 2
    cycle: str = "fas"
    transfer: str = "separable"
    stencil: str = "dense"
    share: str = "none"
    activation: str = "gelu"
    head: str = "1x1"
    norm: str = "none"
    init: str = "default"
    skip: bool | None = None
    coordinates: bool = False
    recompute: bool = False
    growth: int = 1

    def __post_init__(self):
        steps = [(v,) if isinstance(v, int) else tuple(v) for v in (self.pre, self.post)]
        if (
            not all(steps)
            or min(self.width, self.depth, self.coarsest, *steps[0]) < 1
            or min(self.levels, self.growth, *steps[1]) < 0
        ):
            raise SettingError(
                given=f"{self}", needed="width, depth, pre, coarsest >= 1 and post, levels, growth >= 0", remedy="Change them."
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise SettingError(
                    given=f"{name}={getattr(self, name)!r}", needed=f"one of {', '.join(known)}", remedy=f"Change `{name}`."
                )
        if self.init == "geometric":
            geometric.check(self)


FAST: dict[str, Any] = {"cycle": "correction", "share": "coarse"}
"""Classical cycles with one set of weights below the finest grid: on Darcy flow at equal time 3.5 % error where those as
published have 6.2 % (six epochs, 16 channels)."""
PRESETS = {
    "tiny": {"width": 16, "depth": 2, "stencil": "mixed"} | FAST,
    "small": {"width": 16, "depth": 3, "stencil": "mixed"} | FAST,
    "base": {"width": 24, "depth": 4, "stencil": "mixed"} | FAST,
    "large": {"width": 48, "depth": 5} | FAST,
    "paper": {"width": 24, "depth": 4, "levels": 6, "transfer": "released"},
}


class MgNO(TorchOperator):
    """Multigrid neural operator (He, Liu, Xu 2024) in 1-D to 3-D on periodic, node, cell or interior grids; see `Config`.

    With Dirichlet walls outputs are scaled but not shifted, so that a zero boundary value stays zero. On finer grids W works on
    the grid it was trained on, between a restriction and an interpolation, and B at every point (see `MgLinear`).

    Examples
    --------
    >>> MgNO(width=8, depth=2).config.cycle
    'fas'
    """

    def __init__(self, **config):
        super().__init__(Config(**config))
        self.halvings = 0  # coarser grids that the next training starts on

    def bind(self, task: Task, *, seed: int = 0) -> None:
        walls = any("dirichlet" in axis.boundary for axis in task.signature.grid.axes)
        given = self.config.init != "geometric"  # a source of zero has the solution zero
        self.shifts = (given, given and not walls)
        bound = self.signature is not None
        if bound or self.config.growth == 0 or self.config.transfer != "separable":
            self.halvings = 0  # what goes on from trained weights does not start on coarse grids again
        else:
            few = task.batch(np.arange(min(16, len(task))))
            self.halvings = growth.survivors(few.targets, task.signature.grid, self.config.growth)
        super().bind(task, seed=seed)
        last = self._added(task.signature)
        if not bound and last is not None:
            self._share_units(task.signature, last)

    def _share_units(self, signature: Signature, last: int) -> None:
        """Scale the frame that is added like the answer, so that a network that answers zero changes nothing."""
        added = slice(last, last + len(signature.outputs))
        if [name.partition("@")[0] for name in signature.inputs[added]] != list(signature.outputs):
            return  # another quantity, which keeps its own
        shift, scale = self.input_normaliser.shift.copy(), self.input_normaliser.scale.copy()
        shift[added], scale[added] = self.output_normaliser.shift, self.output_normaliser.scale
        self.input_normaliser = Normaliser(shift, scale)

    def _added(self, signature: Signature) -> int | None:
        """First of the input's channels that are added to the answer."""
        skips = signature.kind == "autoregressive" if self.config.skip is None else self.config.skip
        if not skips:
            return None
        last = (signature.history - 1) * len(signature.outputs)
        if len(signature.inputs) < last + len(signature.outputs):
            raise SettingError(
                given=f"skip=True with inputs {', '.join(signature.inputs)} and outputs {', '.join(signature.outputs)}",
                needed="an input for every output, to which the answer is added",
                remedy="Leave `skip` out: it is on in autoregressive tasks.",
            )
        return last

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return growth.Growing(self, training, self.halvings)

    def build(self, signature: Signature) -> nn.Module:
        config = asdict(self.config)
        cycle = {name: config[name] for name in CYCLE_FIELDS}
        cycle["levels"] = level_count(signature.grid, self.config.levels)
        settings = {name: config[name] for name in NETWORK_FIELDS}
        added = self._added(signature)
        network = MgNetwork(len(signature.inputs), len(signature.outputs), signature.grid, cycle, skip=added, **settings)
        self.halvings = min(self.halvings, cycle["levels"] - 1)
        if self.config.init != "geometric" and self.config.share == "none":
            geometric.silence_finest(network, self.halvings)
        if self.config.init == "scaled":
            geometric.shrink_later_steps(network)
        if self.config.init == "geometric":
            scale = 1.0
            if hasattr(self, "input_normaliser"):  # absent when weights are loaded from a file
                scale = float(self.input_normaliser.scale[0] / self.output_normaliser.scale[0])
            geometric.set_poisson(network, signature.grid, scale)
        self._check_levels(network, signature.grid.shape)
        return network

    def check_grid(self, shape: tuple[int, ...]) -> None:
        self._check_levels(self.module, shape)

    def _check_levels(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        for part in network.modules():
            if isinstance(part, MgLinear):
                part.levels_on(tuple(shape))

    def as_preconditioner(self, problem) -> Preconditioned:
        """Solver of a problem by flexible conjugate gradients in which this operator answers what A^-1 r is.

        For operators that learned solutions for many right-hand sides. One that saw a single one (Darcy flow with f = 1) cannot
        tell what becomes of another: `sciml.operators.multigrid` is for those.

        Raises
        ------
        SettingError : the right-hand side is not among the inputs, or the problem is of another kind.
        """
        import pdes

        signature = self.bound_signature
        problem = pdes.get(problem) if isinstance(problem, str) else problem
        if "f" not in signature.inputs or "f" not in problem.inputs:
            raise SettingError(
                given=f"an operator of {', '.join(signature.inputs)} for problem {problem.name!r}",
                needed="a right-hand side f among the inputs of both",
                remedy="Train sciml.create('multigrid'), which learns from the coefficient alone.",
            )
        at = signature.inputs.index("f")
        usual = float(self.input_normaliser.scale[at])

        def build(system: System):
            def precondition(r: np.ndarray) -> np.ndarray:
                size = float(np.sqrt(np.mean(r * r))) / usual
                inputs = np.stack([r / size if name == "f" else system.inputs[name] for name in signature.inputs])
                return np.asarray(self.predict(inputs[None]), np.float64)[0, 0] * size

            return precondition, system.operator

        return Preconditioned(problem, build)

    def recommended(self, task):
        few = 4 if self.config.width <= 16 else 8  # narrow networks gain more from steps than they lose in time for each
        return {"lr": 4e-3, "batch_size": few, "epochs": 40, "weight_decay": 1e-5}
