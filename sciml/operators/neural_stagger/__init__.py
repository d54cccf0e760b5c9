"""NeuralStagger: a network for each of the interleaved sub-grids in space and time, trained together by the equation's
residual.

    u_ab[i, j] = u[a + i s, b + j t],    v_ab = u_ab + f_ab(u_ab),    R(v, u) -> min  on the field that is put together again

Each sub-solver sees every s-th point only, and the residual of the fine field is all that makes them agree. Sub-sequences of
frames n = m mod time are advanced apart from each other in the same way. No solutions are needed: training starts from
random states and goes on from states of its own. The arithmetic of convolutional backbones is not reduced by this; it is
split into parts that need no communication, or, if one sub-grid is all that is asked for, left out.

Huang, Shi, Meng, Wang, Gao, Zhang, Liu, NeuralStagger: Accelerating Physics-constrained Neural PDE Solver with Spatial-temporal
Decomposition, ICML 2023 (arXiv 2302.10255). Inspired by it; the published tables are not reproduced.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sciml.learners.backprop import TorchOperator, to_numpy
from sciml.normalize import Normaliser
from sciml.operator import Learner, Operator, Training, config_of, create, stored_name
from sciml.operators.neural_stagger.config import Config
from sciml.operators.neural_stagger.decomposition import InterleavedDecomposition, per_axis
from sciml.operators.neural_stagger.learner import StaggerLearner
from sciml.operators.neural_stagger.physics import Physics, draw_states, known_equation, steady_channels
from sciml.operators.neural_stagger.stepping import Certificate
from sciml.operators.neural_stagger.subsolvers import SubSolvers
from sciml.tasks import Batch, Signature, Task
from solvers.errors import DataError, GridError, SettingError, SolverError

SAMPLED = 64  # states from which the size of a step's change is estimated
CHECKS = {"dataset": "moving"}
PRESETS = {
    "tiny": {"backbone": "resnet:tiny", "space": 2},
    "small": {"backbone": "resnet:small", "space": 2},
    "base": {},
    "large": {"backbone": "resnet:large", "space": 4},
}


class NeuralStagger(TorchOperator):
    """Interleaved sub-solvers around any torch operator of the package; see `Config`.

    Parameters
    ----------
    backbone : operator by name ("fno:tiny"), or an unbound one, FNO(width=12).
    space, time : factors of the decomposition.   Others: see `Config`.

    Examples
    --------
    >>> import sciml
    >>> solver = NeuralStagger("resnet:tiny", space=2, resolution=32, states=8, pool=4)
    >>> result = sciml.fit(solver, "burgers", epochs=1, validation=False, progress=False)
    >>> result.operator.learns
    'physics'
    """

    takes = ("steady", "final", "autoregressive", "states")
    config: Config
    task: Task

    def __init__(self, backbone: str | Operator = "resnet", space: int | Sequence[int] = 2, time: int = 1, **config):
        if isinstance(backbone, Operator):
            config["settings"] = config_of(backbone)
            backbone = stored_name(type(backbone))
        config["settings"] = {k: tuple(v) if isinstance(v, list) else v for k, v in dict(config.get("settings", {})).items()}
        space = space if isinstance(space, int) else tuple(space)
        super().__init__(Config(backbone=backbone, space=space, time=time, **config))
        self.backbone = self._backbone()
        self.physics: Physics | None = None

    def _backbone(self) -> TorchOperator:
        made = create(self.config.backbone)
        settings = config_of(made) | dict(self.config.settings)
        # A sub-grid's own coordinates do not say where it lies: what must be told of it are channels (`steady_channels`).
        if "coordinates" in settings and "coordinates" not in self.config.settings:
            settings["coordinates"] = False
        if not isinstance(made, TorchOperator) or isinstance(made, NeuralStagger):
            raise SettingError(
                given=f"backbone {self.config.backbone!r}",
                needed="a network that back-propagation trains, such as 'resnet', 'fno', 'unet', 'mgno', 'lordnet'",
                remedy="Change `backbone`.",
            )
        return type(made)(**settings)

    # -- binding ------------------------------------------------------------------------------------------------------

    @property
    def learns(self) -> str:
        """What it is trained by, once bound: "physics", "data" or "mixed"."""
        return self.config.learn

    @property
    def horizon(self) -> int:
        """Steps of the problem's time span, after which a state of the pool is replaced."""
        return max(1, len(self.bound_signature.times) - 1)

    def bind(self, task: Task, *, seed: int = 0) -> None:
        self.task = task
        if self.signature is not None:
            super().bind(task, seed=seed)
            return
        self.config = self._settled(task)
        super().bind(task, seed=seed)
        if self.config.start != "nothing":
            scale = np.maximum(self._changes(task), 1e-30)
            self.output_normaliser = Normaliser(np.zeros(len(scale)), scale)

    def _settled(self, task: Task) -> Config:
        """The configuration with what the data decide."""
        c, signature, data = self.config, task.signature, task.dataset
        stepping = signature.kind == "autoregressive"
        equation = c.equation or str(data.provenance.get("equation", ""))
        constants = {k: float(v[0]) for k, v in data.parameters.items() if k not in signature.parameters and len(v)}
        constants |= c.constants
        walls = c.walls or ({"problem": data.provenance["family"]} if signature.outputs == ("psi",) and equation else {})
        dt = c.dt or (signature.stride * float(np.diff(signature.times[:2])[0]) if len(signature.times) > 1 else 0.0)
        c = dataclasses.replace(c, equation=equation, constants=constants, walls=walls, dt=dt)
        c = c if stepping or c.start == "nothing" else dataclasses.replace(c, start="nothing")
        learn = c.learn
        if not learn:
            learn = "data"
            if stepping and equation:
                try:
                    self._physics_of(signature, c)
                    learn = "physics"
                except (SettingError, DataError, GridError):
                    learn = "data"
        if learn != "physics" and task.kind == "states":
            raise DataError(
                given=f"learn={learn!r} with states of a problem, which have no solutions",
                needed="a dataset of trajectories",
                remedy="Pass pdes.generate(problem, ...), or learn='physics'.",
            )
        if learn != "data" and not (stepping and equation):
            raise DataError(
                given=f"learn={learn!r} for the task {signature.kind!r}" + ("" if equation else " on data without an equation"),
                needed="a time-dependent problem, or data that name their equation, for the task 'autoregressive'",
                remedy="Pass equation='u_t = ...', or learn='data'.",
            )
        return dataclasses.replace(c, learn=learn)

    def _physics_of(self, signature: Signature, c: Config) -> Physics:
        physics = Physics(signature, c.equation, c.constants, c.walls, c.stencil, c.scheme, c.dt)
        space = per_axis(c.space, signature.grid.dimension, "space")
        if max(*space, c.time) > 1 and (physics.at(signature.grid.shape).space.composed or c.scheme == "centred"):
            raise SettingError(
                given=f"equation {physics.equation} with stencil {c.stencil!r} and scheme {c.scheme!r} for space={c.space}, "
                f"time={c.time}",
                needed="a residual that ties neighbouring points and frames together",
                remedy="Central differences made of two, or centred in time, do not see interleaved parts drift: take "
                "stencil='spectral', scheme='trapezoid'.",
            )
        return physics

    def _changes(self, task: Task) -> np.ndarray:
        """Size of what one step changes, per field: estimated from states by the equation, or from labels."""
        batch = task.batch(np.arange(min(SAMPLED, len(task))))
        inputs = torch.as_tensor(batch.inputs, dtype=torch.float64)
        if self.learns == "data":
            f, h = len(task.signature.outputs), task.signature.history
            change = torch.as_tensor(batch.targets, dtype=torch.float64) - inputs[:, (h - 1) * f : h * f]
        else:
            assert self.physics is not None
            past, p = self.physics.past(inputs), self.physics.known(inputs)
            change = self.physics.at(inputs.shape[2:]).sweep(past[0], past, p)[1]
        return change.square().mean((0, *range(2, change.ndim))).sqrt().numpy()

    def build(self, signature: Signature) -> nn.Module:
        c, grid = self.config, signature.grid
        if c.time > 1 and (signature.kind != "autoregressive" or signature.history > 1):
            raise SettingError(
                given=f"time={c.time} for the task {signature.kind!r} with {signature.history} past frames",
                needed="the task 'autoregressive' with one",
                remedy="Use time=1.",
            )
        decomposition = InterleavedDecomposition(grid.shape, per_axis(c.space, grid.dimension, "space"))
        sub = decomposition.sub_shape  # refuses factors that do not divide
        use = c.equation and signature.kind == "autoregressive" and c.learn in ("physics", "mixed")
        self.physics = self._physics_of(signature, c) if use or (c.equation and (c.correct or c.start == "sweep")) else None
        self.equation = self.physics.equation if self.physics is not None else known_equation(signature, c.equation)
        told = steady_channels(self.equation, grid)
        names = (*signature.inputs, *(f"place{i}" for i in range(len(told))))
        sharing = c.sharing or ("shared" if grid.is_periodic else "offset")

        def make(inputs: int) -> nn.Module:
            channels = (*names, *(f"offset{i}" for i in range(inputs - len(names))))
            return self.backbone.build(dataclasses.replace(signature, inputs=channels, grid=grid.with_shape(sub)))

        solvers = SubSolvers(make, len(names), decomposition, c.time, sharing, c.backend)
        return StaggeredNetwork(solvers, len(signature.outputs), c.start != "nothing")

    def check_grid(self, shape: tuple[int, ...]) -> None:
        network: Any = self.module
        self.backbone.check_grid(InterleavedDecomposition(shape, network.solvers.decomposition.factors).sub_shape)

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return StaggerLearner(self, training)

    def recommended(self, task):
        return {"lr": 2e-3, "batch_size": 8, "epochs": 60, "weight_decay": 1e-5}

    def states(self, problem: Any, *, seed: int = 0):
        c = self.config
        return draw_states(problem, c.states, c.resolution, 1, {"dt": c.dt, "walls": c.walls, "stencil": c.stencil}, seed)

    # -- answers ------------------------------------------------------------------------------------------------------

    def decomposition(self, shape: Sequence[int]) -> InterleavedDecomposition:
        """Of a grid of this shape."""
        network: Any = self.module
        return InterleavedDecomposition(tuple(shape), network.solvers.decomposition.factors)

    def apply(self, inputs, network=None, ahead=1, numbers=None, join=None, correct=0, tolerance=0.0, **options):
        """Physical inputs to the next frame, whole; of chosen sub-grids as they are, or joined by another decomposition."""
        if numbers is None:
            return self._corrected(inputs, self.advance(inputs, ahead, network), correct, tolerance)[0]
        split = self.decomposition(inputs.shape[2:])
        place = self._place(split, inputs)
        parts = self.advance_parts(split.split(inputs)[:, numbers], place[:, numbers], ahead, network, numbers)
        return parts if join is None else join.join(parts)

    def advance(self, inputs: torch.Tensor, ahead: int = 1, network: Any = None) -> torch.Tensor:
        """The whole frame so many steps ahead of the last one given, differentiable."""
        split = self.decomposition(inputs.shape[2:])
        frame = split.join(self.advance_parts(split.split(inputs), self._place(split, inputs), ahead, network))
        if self.config.start == "sweep":
            assert self.physics is not None
            past, p = self.physics.past(inputs), self.physics.known(inputs)
            last = past[0]
            swept = last
            for _ in range(ahead):
                swept = self.physics.at(inputs.shape[2:]).sweep(swept, [swept], p)[0]
            frame = frame - last + swept
        return self._fixed(frame)

    def advance_parts(self, parts, place, ahead=1, network=None, numbers=None) -> torch.Tensor:
        """The same on sub-grids (item, sub-grid, channel, *sub-space), with nothing exchanged between them."""
        signature = self.bound_signature
        encoded = self.input_normaliser.encode(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
        encoded = torch.cat([encoded, place.expand(len(parts), *place.shape[1:])], 2)
        answer = (network or self.module)(encoded, ahead=ahead, numbers=numbers)
        answer = self.output_normaliser.decode(answer.flatten(0, 1)).unflatten(0, parts.shape[:2])
        if self.config.start == "nothing":
            return answer
        f, h = len(signature.outputs), signature.history
        return parts[:, :, (h - 1) * f : h * f] + answer

    def _place(self, split: InterleavedDecomposition, like: torch.Tensor) -> torch.Tensor:
        """Channels of the place, decomposed: (1, sub-grid, channel, *sub-space)."""
        network: Any = self.module
        key = (split.shape, like.dtype, like.device)
        if key not in network.places:
            grid = self.bound_signature.grid.with_shape(split.shape)
            told = steady_channels(self.equation, grid)
            network.places[key] = split.split(torch.as_tensor(told[None]).to(like.device, like.dtype))
        return network.places[key]

    def _fixed(self, frame: torch.Tensor) -> torch.Tensor:
        return frame if self.physics is None else self.physics.at(frame.shape[2:]).space.fixed(frame)

    def _corrected(self, inputs, frame, sweeps: int, tolerance: float = 0.0) -> tuple[torch.Tensor, Certificate | None]:
        if sweeps == 0:
            return frame, None
        if self.physics is None:
            raise SettingError(
                given=f"correct={sweeps} without an equation",
                needed="an operator that knows its equation",
                remedy="Train with learn='physics', or drop it.",
            )
        past, p = self.physics.past(inputs), self.physics.known(inputs)
        frame, certificate = self.physics.at(inputs.shape[2:]).corrected(frame, past, p, sweeps, tolerance)
        if tolerance and not (certificate.residual <= tolerance).all():
            raise SolverError(
                given=f"a preconditioned residual of {np.nanmax(certificate.residual):.2e} after {certificate.sweeps} sweeps",
                needed=f"at most {tolerance:g}",
                remedy="Allow more (correct=...), a shorter step, or a larger tolerance.",
            )
        return frame, certificate

    def asked(self, inputs, *, every=None, subset=None, correct=None, tolerance=0.0, ahead=1, **where):
        """Options of `predict`.

        every : answer on every so many points only, one number or one per axis: only the sub-solvers of those points are run.
        subset : offsets [(a, b), ...] of sub-grids to answer on: (item, sub-grid, field, *sub-space).
        correct : classical iterations after the step (needs the whole field).   tolerance : of their residual, or SolverError.
        ahead : frames ahead, 1 to `time`.
        """
        super().asked(inputs, **where)
        if not 1 <= ahead <= self.config.time:
            raise SettingError(given=f"ahead={ahead}", needed=f"1 to time={self.config.time}", remedy="Roll out instead.")
        split = self.decomposition(inputs.shape[2:])
        correct = self.config.correct if correct is None else correct
        options: dict[str, Any] = {"ahead": ahead}
        if every is None and subset is None:
            return options | {"correct": correct, "tolerance": tolerance}
        if correct or self.config.start == "sweep":
            raise SettingError(
                given="a part of the field, with classical iterations",
                needed="the whole field for them",
                remedy="Drop every=/subset=, or pass correct=0 (and train with start='state').",
            )
        if every is not None:
            return options | {"numbers": split.every(every), "join": split.coarser(every)}
        numbers = []
        for offset in subset or ():
            if tuple(offset) not in split.offsets:
                raise SettingError(
                    given=f"offset {tuple(offset)}", needed=f"offsets below {split.factors}", remedy="Change `subset`."
                )
            numbers.append(split.offsets.index(tuple(offset)))
        return options | {"numbers": numbers}

    @torch.no_grad()
    def certified(self, inputs: np.ndarray, correct: int, tolerance: float = 0.0) -> tuple[np.ndarray, Certificate]:
        """The next frame after at most `correct` classical iterations, and the residual that it has.

        Raises
        ------
        SolverError : `tolerance` was not reached.
        """
        x = self._tensor(inputs)
        frame, certificate = self._corrected(x, self.advance(x), max(1, correct), tolerance)
        assert certificate is not None
        return to_numpy(frame), certificate

    @torch.no_grad()
    def rolled_out(self, initial: Any, steps: int, *, every=None, correct=None, tolerance: float = 0.0, **where: Any) -> Any:
        """Next frames (item, step, field, *space). The state stays decomposed; with `time` > 1, frame n comes from frame n -
        time.

        every, correct, tolerance : as for `predict`, at every step.
        """
        signature = self.bound_signature
        signature.check_inputs(initial.shape, type(self).__name__)
        options = self.asked(initial, every=every, correct=correct, tolerance=tolerance, **where)
        self.module.eval()
        x = self._tensor(initial)
        # Values that walls prescribe, and classical iterations, belong to the whole field.
        whole = options.get("correct", 0) or self.config.start == "sweep" or self._has_walls()
        if whole:
            return to_numpy(torch.stack(self._whole_frames(x, steps, options), 1))
        split = self.decomposition(x.shape[2:])
        parts = self.part_frames(x, steps, options.get("numbers") or range(split.count))
        join = options.get("join")
        if "numbers" in options and join is None:
            return to_numpy(torch.stack(parts, 1))
        return to_numpy(torch.stack([(join or split).join(frame) for frame in parts], 1))

    def _whole_frames(self, x: torch.Tensor, steps: int, options: Mapping[str, Any]) -> list[torch.Tensor]:
        given, frames = [x], []
        for n in range(1, steps + 1):
            ahead = min(n, self.config.time)
            frame = self.advance(given[n - ahead], ahead)
            if options.get("correct", 0):
                frame = self._corrected(given[-1], frame, options["correct"], options["tolerance"])[0]
            frames.append(frame)
            given.append(self.moved(given[-1], frame))
        return frames

    def part_frames(self, x: torch.Tensor, steps: int, numbers: Sequence[int]) -> list[torch.Tensor]:
        """Frames of chosen sub-grids, (item, sub-grid, field, *sub-space) each; nothing else is looked at."""
        split = self.decomposition(x.shape[2:])
        place = self._place(split, x)[:, numbers]
        given, frames = [split.split(x)[:, numbers]], []
        for n in range(1, steps + 1):
            ahead = min(n, self.config.time)
            parts = self.advance_parts(given[n - ahead], place, ahead, numbers=numbers)
            frames.append(parts)
            given.append(self.moved(given[-1].flatten(0, 1), parts.flatten(0, 1)).unflatten(0, parts.shape[:2]))
        return frames

    def _has_walls(self) -> bool:
        return self.physics is not None and not self.bound_signature.grid.is_periodic

    def moved(self, inputs: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """Inputs (item, channel, *space) with `frame` as the newest."""
        f = len(self.bound_signature.outputs)
        past = self.bound_signature.history * f
        return torch.cat([inputs[:, f:past], frame, inputs[:, past:]], 1)

    def _tensor(self, inputs: Any) -> torch.Tensor:
        parameter = next(self.module.parameters())
        return torch.as_tensor(inputs).to(parameter.device, parameter.dtype)

    # -- training -----------------------------------------------------------------------------------------------------

    def window_terms(self, inputs: torch.Tensor, frames: int, network: Any = None):
        """Residuals of a window of predicted frames.

        Returns the inputs that end in the last frame; per frame, the squared norm (item,) of the residual, and of the rate of
        change in the same units that it is measured by.
        """
        assert self.physics is not None
        c, physics = self.config, self.physics
        stepper, p = physics.at(inputs.shape[2:]), physics.known(inputs)
        past = physics.past(inputs)
        sizes, terms, given = [self._rate_size(stepper, past, p)], [], [inputs]
        for n in range(1, frames + 1):
            ahead = min(n, c.time)
            start = given[n - ahead]
            new = self.advance(start.detach() if c.gradient == "causal" else start, ahead, network)
            before = [u.detach() for u in past] if c.gradient == "causal" else past
            residual = stepper.residual(new, before[: stepper.frames], p)
            if c.norm == "preconditioned":
                residual = stepper.precondition(residual, p, min(stepper.frames, len(before)))
            terms.append(_squares(residual))
            past = [new, *past][:2]
            given.append(self.moved(given[-1], new))
            if n < frames:
                sizes.append(self._rate_size(stepper, past, p) if c.gradient == "energy" else sizes[0])
        return given[-1], terms, sizes

    def _rate_size(self, stepper, past, p) -> torch.Tensor:
        residual = stepper.residual(past[0], past[:1], p)  # of a frame that does not change: minus its rate of change
        residual = residual if self.config.norm == "plain" else stepper.precondition(residual, p, 1)
        squares = _squares(residual)
        return squares if self.config.gradient == "energy" else squares.detach()

    def window_loss(self, inputs: torch.Tensor, frames: int, network: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs that end in the last frame of a window, and its loss."""
        end, terms, sizes = self.window_terms(inputs, frames, network)
        if self.config.gradient == "energy":
            ratios = [t / s for t, s in zip(terms, sizes, strict=True)]
        else:
            ratios = [t / sizes[0].mean() for t in terms]
        return end, torch.stack(ratios).mean()

    @torch.no_grad()
    def judge(self, batch: Batch) -> np.ndarray | None:
        """Without labels: the relative residual of the frames ahead."""
        if self.learns != "physics":
            return None
        was_training = self.module.training
        self.module.eval()
        _, terms, sizes = self.window_terms(self._tensor(batch.inputs), max(2, self.config.time))
        self.module.train(was_training)
        return (torch.stack(terms).mean(0) / sizes[0].mean()).sqrt().double().cpu().numpy()


class StaggeredNetwork(nn.Module):
    """Sub-solvers, and how much of their answer counts: nothing at first where it is a change of the state."""

    def __init__(self, solvers: SubSolvers, outputs: int, changes: bool):
        super().__init__()
        self.solvers = solvers
        self.gain = nn.Parameter(torch.zeros(solvers.time, outputs) if changes else torch.ones(solvers.time, outputs))
        self.places: dict[tuple, torch.Tensor] = {}

    def forward(self, parts: torch.Tensor, ahead: int = 1, numbers: Sequence[int] | None = None) -> torch.Tensor:
        gain = self.gain[ahead - 1].reshape(-1, *[1] * (parts.ndim - 3))
        return gain * self.solvers(parts, ahead, numbers)


def _squares(r: torch.Tensor) -> torch.Tensor:
    return r.reshape(len(r), -1).square().mean(-1)
