"""Back-propagation through torch networks: the operator that holds one, and the learner that trains it.

The network sees normalised arrays (item, channel, *space); loss and predictions are in physical units.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sciml import distributed, storage
from sciml.learners.groups import EVERY, after_update, parameter_groups
from sciml.learners.schedule import learning_rate
from sciml.losses import as_loss
from sciml.normalize import Normaliser, fit_normalisers
from sciml.operator import Arrays, Learner, Operator, Position, Scalars, Training
from sciml.randomness import Purpose, derived_seed
from sciml.tasks import Batch, Signature, Task
from solvers.errors import SettingError


class TorchOperator(Operator):
    """An operator whose weights live in a `torch.nn.Module`. Subclasses implement `build`.

    Attributes
    ----------
    module : the network, (item, input channel, *space) -> (item, output channel, *space), normalised.
    shifts : whether the (input, output) normalisers subtract the mean; (True, False) keeps zero output at zero.
    """

    shifts: tuple[bool, bool] = (True, True)
    module: nn.Module

    def __init__(self, config: Any = None):
        self.config = config

    @abstractmethod
    def build(self, signature: Signature) -> nn.Module:
        """The network for this signature; raises GridError when the grid cannot be taken."""

    def bind(self, task: Task, *, seed: int = 0) -> None:
        if self.signature is not None:
            if task.signature != self.signature:
                self.check_same(task)
                self.check_grid(tuple(task.signature.grid.shape))
            return
        self.input_normaliser, self.output_normaliser = fit_normalisers(
            task, input_shift=self.shifts[0], output_shift=self.shifts[1]
        )
        with torch.random.fork_rng(devices=[]):
            seed_generators(derived_seed(seed, Purpose.WEIGHTS))
            self.module = self.build(task.signature)
        self.signature = task.signature

    def check_grid(self, shape: tuple[int, ...]) -> None:
        """Raise GridError when the bound operator cannot answer on a grid of this shape."""

    def rebuild(self, signature: Signature) -> None:
        with torch.random.fork_rng(devices=[]):
            self.module = self.build(signature)
        unit = lambda n: Normaliser(np.zeros(n), np.ones(n))  # noqa: E731
        self.input_normaliser, self.output_normaliser = unit(len(signature.inputs)), unit(len(signature.outputs))
        self.signature = signature

    def learner(self, training: Training) -> Learner:
        self.bound_signature  # noqa: B018 - a clear error when unbound
        return Backprop(self, training)

    def apply(self, inputs: torch.Tensor, network: Callable | None = None, **options: Any) -> torch.Tensor:
        """Physical inputs to physical outputs, differentiable; `network` stands in for the module (compiled, parallel)."""
        return self.output_normaliser.decode((network or self.module)(self.input_normaliser.encode(inputs), **options))

    def asked(self, inputs: Any, **where: Any) -> dict[str, Any]:
        """Options of the network for `predict(inputs, **where)`; operators with `answers_at` override this."""
        if where:
            raise SettingError(
                given=f"predict(..., {', '.join(where)}=)", needed="inputs only",
                remedy=f"{type(self).__name__} answers on the grid of its inputs: pass inputs at the resolution you want.",
            )  # fmt: skip
        return {}

    @torch.no_grad()
    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        signature = self.bound_signature
        signature.check_inputs(inputs.shape, type(self).__name__)
        options = self.asked(inputs, **where)
        self.check_grid(tuple(inputs.shape[2:]))
        parameter = next(self.module.parameters(), torch.zeros(()))
        dtype = parameter.dtype.to_real() if parameter.is_complex() else parameter.dtype
        size = batch_size or max(1, min(64, 2**21 // max(1, int(np.prod(inputs.shape[2:])))))
        was_training = self.module.training
        self.module.eval()
        outputs = []
        for start in range(0, len(inputs), size):
            chunk = torch.as_tensor(inputs[start : start + size]).to(parameter.device, dtype)
            outputs.append(self.apply(chunk, **options))
        self.module.train(was_training)
        space = () if signature.per_item else inputs.shape[2:]
        joined = torch.cat(outputs) if outputs else torch.empty((0, len(signature.outputs), *space))
        return joined.to(inputs.device) if isinstance(inputs, torch.Tensor) else joined.cpu().numpy()

    def state(self) -> Arrays:
        arrays = {f"module.{name}": to_numpy(tensor) for name, tensor in _tensors(self.module)}
        return arrays | self.input_normaliser.arrays("input") | self.output_normaliser.arrays("output")

    def load_state(self, arrays: Arrays) -> None:
        _load_module(self.module, arrays)
        self.input_normaliser = Normaliser.from_arrays(arrays, "input")
        self.output_normaliser = Normaliser.from_arrays(arrays, "output")

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() * (2 if p.is_complex() else 1) for p in self.module.parameters())


class ForeignModule(TorchOperator):
    """A torch network of somebody else's, trained as it is: (item, channel, *space) in and out, as its task has it."""

    stored_as = "torch-module"
    takes = None

    def __init__(self, module: nn.Module):
        super().__init__({"class": f"{type(module).__module__}.{type(module).__qualname__}"})
        self._given = module

    @classmethod
    def from_config(cls, config: Scalars) -> "Operator":
        raise SettingError(
            given=f"a file with the weights of {config['class']}, whose code is not in the file",
            needed="a module of the same architecture",
            remedy=f"Call sciml.load(path, module={config['class'].rpartition('.')[2]}(...)).",
        )

    def build(self, signature: Signature) -> nn.Module:
        return self._given


class Backprop(Learner):
    """AdamW steps on a `TorchOperator`, with clipping, mixed precision, weight averaging and data parallelism on request."""

    shardable = True

    def __init__(self, operator: TorchOperator, training: Training):
        self.operator, self.training = operator, training
        self.device = pick_device(training.device)
        self.loss_each = as_loss(training.loss or "relative_l2")
        self.dtype = torch.float64 if training.precision == "float64" else torch.float32
        module = operator.module.to(self.device)
        self.module = module.double() if training.precision == "float64" else module.float() if _has_double(module) else module
        rate = training.lr or 1e-3
        groups = parameter_groups(self.module, rate, training.weight_decay or 0.0)
        parameters = [p for group in groups for p in group["params"]]
        if not parameters:
            raise SettingError(
                given="a network without trainable parameters", needed="at least one", remedy="Check requires_grad."
            )
        fused = not any(p.is_complex() for p in parameters)
        self.optimizer = torch.optim.AdamW([g | {"share": g["lr"] / rate} for g in groups], lr=rate, fused=fused)
        self.parameters = parameters
        self.average = {n: t.detach().clone() for n, t in _tensors(self.module)} if training.ema else {}
        self.total_steps = 1
        self._live: dict[str, torch.Tensor] | None = None  # trained weights while the average is published
        self.network = self._network()

    def _network(self) -> Callable:
        network: Any = self.module
        if distributed.world().size > 1:
            network = nn.parallel.DistributedDataParallel(self.module)
        return torch.compile(network) if self.training.compile else network

    def start(self, steps_per_epoch: int) -> None:
        self.total_steps = steps_per_epoch * (self.training.epochs or 1)

    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        self._resume_live()
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate(self.training, at.total, self.total_steps)
        self.module.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            seed_generators(derived_seed(self.training.seed, Purpose.STEP, at.total), self.device)  # dropout and its like
            loss = self.objective(batch, at)
        self.optimizer.zero_grad(set_to_none=True)
        (loss * batch.weight).backward()
        if self.training.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.training.clip)
        self.optimizer.step()
        if (at.total + 1) % EVERY == 0:
            after_update(self.module)
        if self.average:
            with torch.no_grad():
                decay = min(self.training.ema or 0.0, (at.total + 1) / (at.total + 10))
                for name, tensor in _tensors(self.module):
                    _blend(self.average[name], tensor, 1 - decay)
        return {"loss": loss.detach()}

    def objective(self, batch: Batch, at: Position) -> torch.Tensor:
        """What a step makes smaller; learners that need no labels, or more than those of the batch, override this."""
        inputs = torch.as_tensor(batch.inputs).to(self.device, self.dtype)
        targets = torch.as_tensor(batch.targets).to(self.device, self.dtype)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.training.precision == "bf16"):
            outputs = self.operator.apply(inputs, self.network)
        return self.loss_each(outputs.to(self.dtype), targets, self.operator.bound_signature.output_grid).mean()

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        if self.average:
            self._live = {n: t.detach().clone() for n, t in _tensors(self.module)}
            _assign(self.module, self.average)
        return {"lr": learning_rate(self.training, at.total, self.total_steps)}

    def _resume_live(self) -> None:
        if self._live is not None:
            _assign(self.module, self._live)
            self._live = None

    def state(self) -> tuple[Arrays, Scalars]:
        arrays: Arrays = {}
        names = {id(p): n for n, p in self.module.named_parameters()}
        for parameter, moments in self.optimizer.state.items():
            for key, value in moments.items():
                arrays[f"optimizer.{names[id(parameter)]}.{key}"] = to_numpy(torch.as_tensor(value))
        live = self._live if self._live is not None else dict(_tensors(self.module))
        arrays |= {f"live.{n}": to_numpy(t) for n, t in live.items()}
        arrays |= {f"average.{n}": to_numpy(t) for n, t in self.average.items()}
        return arrays, {}

    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        named = dict(self.module.named_parameters())
        for full, array in arrays.items():
            kind, _, rest = full.partition(".")
            if kind == "optimizer":
                name, _, key = rest.rpartition(".")
                like = named[name]
                value = torch.from_numpy(array.copy())
                value = value if key == "step" else value.to(like.device)
                self.optimizer.state[like][key] = value
            elif kind == "average":
                self.average[rest].copy_(torch.from_numpy(array.copy()))
        live = {n: torch.from_numpy(arrays[f"live.{n}"].copy()) for n, _ in _tensors(self.module)}
        _assign(self.module, live)
        self._live = None


def adopt(thing: Any) -> Operator | None:
    """A torch module as an operator; None for anything else."""
    return ForeignModule(thing) if isinstance(thing, nn.Module) else None


def seed_generators(seed: int, device: torch.device | None = None) -> None:
    """`torch.manual_seed` for the CPU and one device.

    Where there is no GPU, that function keeps a stack trace of every call, for the day when one appears: a millisecond each.
    """
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type != "cpu":
        getattr(torch, device.type).manual_seed(seed)


def pick_device(name: str) -> torch.device:
    """The named device; "auto" takes CUDA when there is one.

    Raises
    ------
    SettingError : CUDA asked for and absent, or an unknown name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(
            given=f"device {name!r}", needed="'auto', 'cpu', 'cuda' or 'cuda:N'", remedy="Change `device`."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingError(
            given=f"device {name!r} on a machine where torch sees no GPU",
            needed="a CUDA device",
            remedy="Use device='auto' or 'cpu'.",
        )
    return device


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A contiguous copy that no later update changes."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).contiguous().numpy().copy()


def _tensors(module: nn.Module):
    """Parameters and persistent buffers; not `state_dict`, in which some packages keep things that are no tensors."""
    yield from module.named_parameters()
    for name, buffer in module.named_buffers():
        owner, _, leaf = name.rpartition(".")
        if leaf not in module.get_submodule(owner)._non_persistent_buffers_set:
            yield name, buffer


def _load_module(module: nn.Module, arrays: Arrays) -> None:
    storage.check_arrays({f"module.{n}": np.empty(t.shape) for n, t in _tensors(module)},
                         {n: a for n, a in arrays.items() if n.startswith("module.")}, "the given state")  # fmt: skip
    _assign(module, {n: torch.from_numpy(np.array(arrays[f"module.{n}"])) for n, _ in _tensors(module)})


@torch.no_grad()
def _assign(module: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in _tensors(module):
        tensor.copy_(values[name])


def _blend(average: torch.Tensor, tensor: torch.Tensor, share: float) -> None:
    if average.is_floating_point() or average.is_complex():
        average.lerp_(tensor.detach(), share)
    else:
        average.copy_(tensor)


def _has_double(module: nn.Module) -> bool:
    return any(p.dtype in (torch.float64, torch.complex128) for p in module.parameters())
