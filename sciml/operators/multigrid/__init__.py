"""Learned multigrid: the classical V-cycle for -div(a grad u) = f with a smoother that a network reads off the stencils.

It learns from coefficients alone, no solutions: the loss is the factor by which a cycle reduces the energy of errors, after
some cycles that leave what is hard. Trained on 64 x 64 points it serves all sizes. Answers are found by conjugate gradients,
so that they have a residual below `tolerance` whatever the network says.

After Greenfeld, Galun, Kimmel, Yavneh, Basri, Learning to optimize multigrid PDE solvers, ICML 2019, who learn the
interpolation; here that stays the operator's own (learned on the same sparsity it gained nothing), and smoothing is learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sciml.learners.backprop import Backprop, TorchOperator
from sciml.operator import Learner, Position, Training
from sciml.operators.multigrid.learned import LearnedCycle, StencilNetwork
from sciml.operators.multigrid.levels import apply, from_faces
from sciml.operators.multigrid.runtime import FastCycle, by_diagonals
from sciml.preconditioning import Preconditioned, System
from sciml.randomness import Purpose, derived_seed
from sciml.tasks import Batch, Signature, Task
from solvers.elliptic import face_coefficients
from solvers.errors import DataError, GridError, SettingError
from solvers.grid import Grid

if TYPE_CHECKING:
    from pdes import Problem

CHECKS: dict[str, Any] = {"dataset": "darcy", "epochs": 1, "other_size": None}
PRESETS = {"tiny": {"states": 8, "resolution": 16}, "small": {}, "base": {"width": 24, "layers": 2, "sweeps": 2}}
HARDEST = 6
"""Cycles before those of the loss, at most: what is left of a random error then is what the cycle is worst at."""
MEASURED = 2
"""Cycles whose factor is the loss."""


@dataclass(frozen=True)
class Config:
    """Settings of a learned multigrid.

    problem : name in `pdes.names()`; "" takes the one that the data come from.
    width, layers : channels and convolutions of the network.   steps : learned smoothing steps before and after the correction.
    sweeps : degree of the classical line smoother beside them, below the finest grid.
    tolerance : of the relative residual of answers.
    states, resolution : coefficients drawn to learn from, and their points per side, where `fit` is given a problem.
    """

    problem: str = ""
    width: int = 8
    layers: int = 1
    steps: int = 2
    sweeps: int = 1
    tolerance: float = 1e-8
    states: int = 256
    resolution: int = 64

    def __post_init__(self):
        if (
            min(self.width, self.layers, self.steps, self.sweeps, self.states, self.resolution) < 1
            or not 0 < self.tolerance < 1
        ):
            raise SettingError(given=f"{self}", needed="positive numbers, tolerance in (0, 1)", remedy="Change them.")


class LearnedMultigrid(TorchOperator):
    """Conjugate gradients on a V-cycle with a learned smoother, for Darcy and Poisson problems in 2-D on cells; see `Config`.

    Examples
    --------
    >>> import sciml
    >>> result = sciml.fit("multigrid:tiny", "darcy_lognormal", epochs=1, batch_size=4, progress=False)
    >>> result.operator.parameter_count  # its loss is the factor of the error's energy norm in a cycle
    1205
    """

    takes = ("steady",)
    config: Config

    def __init__(self, problem: "str | Problem" = "", **config):
        name = problem if isinstance(problem, str) else problem.name
        super().__init__(Config(problem=name, **config))
        self._own = None if isinstance(problem, str) else problem

    @property
    def problem(self) -> "Problem":
        """The problem that is solved."""
        import pdes

        return self._own if self._own is not None else pdes.get(self.config.problem)

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if not self.config.problem:
            name = str(task.dataset.provenance.get("family", ""))
            if not name:
                raise DataError(
                    given="data that do not say which problem they come from",
                    needed="-div(a grad u) = f with known a and f",
                    remedy="Pass the problem, LearnedMultigrid(problem=...).",
                )
            self.config = replace(self.config, problem=name)
        self._check(task.signature)
        super().bind(task, seed=seed)

    def _check(self, signature: Signature) -> None:
        Preconditioned(self.problem, self._build)  # a clear error for other equations
        missing = set(self.problem.inputs) - set(signature.inputs)
        if missing:
            raise DataError(
                given=f"inputs {signature.inputs}",
                needed=f"{', '.join(self.problem.inputs)}",
                remedy="Name them with `inputs=`.",
            )
        check_cells(signature.grid)

    def states(self, problem: Any, *, seed: int = 0) -> Any:
        """Coefficients of a problem, drawn and not solved for; the stored solution is zero and never looked at."""
        import pdes
        from pdes.job import sampled

        problem = pdes.get(problem) if isinstance(problem, str) else problem
        Preconditioned(problem, self._build)  # a clear error for other equations
        self._own = problem
        self.config = replace(self.config, problem=problem.name)
        grid = problem.domain.grid(self.config.resolution)
        draws = [problem.draw(seed, i)[1] for i in range(self.config.states)]
        inputs = {
            name: sampled(law, np.stack([latents[f"inputs.{name}"] for latents in draws]), grid)
            for name, law in problem.inputs.items()
        }
        fields = {name: np.zeros((len(draws), *grid.shape), np.float32) for name in problem.equation.unknowns}
        return pdes.Dataset(fields=fields, inputs=inputs, grid=grid, provenance={"family": problem.name})

    def build(self, signature: Signature) -> nn.Module:
        return StencilNetwork(self.config.width, self.config.layers)

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return Reduction(self, training)

    def recommended(self, task):
        return {"lr": 4e-3, "batch_size": 8, "epochs": 25, "weight_decay": 1e-4}

    # -- cycles -------------------------------------------------------------------------------------------------------

    def cycle(self, operator: torch.Tensor) -> LearnedCycle:
        """Of stencils (item, 3, 3, x, y)."""
        return LearnedCycle(operator, self.module, self.config.steps, self.config.sweeps)  # type: ignore[arg-type]

    def stencils(self, inputs: np.ndarray) -> torch.Tensor:
        """Of inputs (item, channel, x, y)."""
        signature = self.bound_signature
        named = {name: np.asarray(inputs[:, i], np.float64) for i, name in enumerate(signature.inputs)}
        a, _ = self.problem.solver.diffusion(named)
        a = np.broadcast_to(a, (len(inputs), *inputs.shape[2:]))
        faces = face_coefficients(a, signature.grid.with_shape(tuple(inputs.shape[2:])))
        device = next(self.module.parameters()).device
        return from_faces(*(torch.as_tensor(face, device=device) for face in faces))

    def reduction(self, inputs: np.ndarray, seed: int, before: int) -> torch.Tensor:
        """Logarithm of the factor by which a cycle reduces the energy norm of an error, (item,), after so many cycles."""
        operator = self.stencils(inputs)
        cycle = self.cycle(operator)
        draw = torch.Generator().manual_seed(seed)
        error = torch.randn(operator.shape[:1] + operator.shape[3:], generator=draw, dtype=torch.float64).to(operator)
        with torch.no_grad():
            for _ in range(before):
                error = _unit(operator, error - cycle(apply(operator, error)))[0]
            error = _unit(operator, error)[0]
        total = torch.zeros(len(error), dtype=error.dtype, device=error.device)
        for _ in range(MEASURED):
            error, size = _unit(operator, error - cycle(apply(operator, error)))
            total = total + torch.log(size)
        return total / MEASURED

    @torch.no_grad()
    def judge(self, batch: Batch) -> np.ndarray:
        """Factor of the energy norm of an error in one cycle, after `HARDEST` others."""
        return self.reduction(np.asarray(batch.inputs), 0, HARDEST).exp().cpu().numpy()

    # -- answers ------------------------------------------------------------------------------------------------------

    def as_preconditioner(self, problem: "Problem | str | None" = None) -> Preconditioned:
        """Solver of a problem (by default that of the training) that iterates until the residual is as small as asked for.

        Examples
        --------
        >>> import numpy as np, pdes, sciml
        >>> operator = sciml.fit("multigrid:tiny", "darcy", epochs=1, batch_size=4, progress=False).operator
        >>> solved = operator.as_preconditioner().solve(np.where(np.random.default_rng(1).random((2, 33, 33)) < 0.5, 3, 12))
        >>> bool(solved.stats["residual"].max() < 1e-8)
        True
        """
        import pdes

        self.bound_signature  # noqa: B018 - a clear error when unbound
        if problem is None:
            return Preconditioned(self.problem, self._build)
        return Preconditioned(pdes.get(problem) if isinstance(problem, str) else problem, self._build)

    @torch.no_grad()
    def _build(self, system: System):
        check_cells(system.grid)
        faces = [torch.as_tensor(np.ascontiguousarray(face))[None] for face in system.faces]
        operator = from_faces(*faces)
        device = next(self.module.parameters()).device
        network = self.module if device.type == "cpu" else StencilNetwork(self.config.width, self.config.layers)
        if network is not self.module:
            network.load_state_dict({name: value.cpu() for name, value in self.module.state_dict().items()})
        cycle = LearnedCycle(operator, network, self.config.steps, self.config.sweeps)  # type: ignore[arg-type]
        product = by_diagonals(operator, corners=False, dtype=np.float64)
        return FastCycle(cycle), lambda u: (product @ u.ravel()).reshape(u.shape)

    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, type(self).__name__)
        self.asked(inputs, **where)
        values = np.asarray(inputs.detach().cpu() if isinstance(inputs, torch.Tensor) else inputs)
        named: Mapping[str, np.ndarray] = {name: values[:, i] for i, name in enumerate(signature.inputs)}
        solver = self.as_preconditioner()
        wanted = {name: named[name] for name in self.problem.inputs}
        solved = solver.solve(wanted, self.config.tolerance).values_or_raise().astype(np.float32)[:, None]
        return torch.from_numpy(solved).to(inputs.device) if isinstance(inputs, torch.Tensor) else solved


class Reduction(Backprop):
    """Steps towards cycles that reduce errors more; a random number of cycles beforehand brings hard errors and easy ones."""

    operator: LearnedMultigrid

    def objective(self, batch: Batch, at: Position) -> torch.Tensor:
        """By how much a cycle reduces errors, averaged over the batch."""
        seed = derived_seed(self.training.seed, Purpose.STEP, at.total, 1)
        return self.operator.reduction(np.asarray(batch.inputs), seed, seed % (HARDEST + 1)).clamp(max=WORST).mean()


WORST = 3.0
"""Cycles that make errors larger than by exp(WORST) count as if by that: their gradients would swamp all others."""


def check_cells(grid: Grid) -> None:
    """Raise GridError unless the cycle of this module can work on the grid."""
    if grid.dimension != 2 or any(axis.kind != "cell" for axis in grid.axes):
        raise GridError(
            given=f"a grid of {grid.dimension} axes of the kinds {', '.join(axis.kind for axis in grid.axes)}",
            needed="two axes of cells between walls",
            remedy="Use the solver of the problem itself, pdes.get(name).solver, on other grids.",
        )


def _unit(operator: torch.Tensor, error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The error divided by its energy norm, and that."""
    size = (error * apply(operator, error)).sum((1, 2)).clamp_min(1e-300).sqrt()
    return error / size[:, None, None], size
