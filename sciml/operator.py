"""The operator contract: a learned map between functions, whatever trains it.

An `Operator` knows how to bind to a task, which `Learner` trains it, how to predict in physical units, and how to store
itself. A `Learner` makes updates and owns every bit of state that changes. `fit` knows only these two.

A new operator is one file in `sciml/operators/`: a frozen configuration, `PRESETS`, and a subclass. The file name is its name.
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sciml import storage
from sciml.tasks import Batch, Signature, Task
from solvers.errors import CheckpointError, DataError, SettingError, unknown_name

Arrays = dict[str, np.ndarray]
Scalars = dict[str, Any]


class Position(NamedTuple):
    """Where training stands: all that learning rate, order and noise depend on, besides the seed."""

    epoch: int
    step: int  # within the epoch
    total: int  # steps since the start


@dataclass(frozen=True)
class Training:
    """How an operator is trained. Fields left at None take the operator's own recommendation (`Operator.recommended`).

    Parameters
    ----------
    epochs : passes over the data.
    batch_size : items per step and process.
    lr : peak learning rate.
    loss : name in `sciml.losses.LOSSES`, or a callable (prediction, target, grid) -> (item,).
    weight_decay : decoupled, on weights of two or more axes.
    schedule : "one-cycle" (warm-up then cosine to zero, per step) or "constant".
    warmup : share of all steps that the warm-up takes.
    clip : bound of the gradient norm, or 0 for none.
    ema : decay of an exponential average of the weights that is judged and kept, or 0 for none.
    device : "auto" (CUDA when there is one), "cpu", "cuda", "cuda:1".
    precision : "float32", "float64", or "bf16" (mixed: weights and loss stay float32).
    compile : compile the network (torch.compile).
    seed : of weights, order of data and noise.
    """

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    loss: str | Callable | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    warmup: float | None = None
    clip: float | None = None
    ema: float | None = None
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    seed: int = 0

    def __post_init__(self):
        checks = {
            "epochs": lambda v: v >= 1,
            "batch_size": lambda v: v >= 1,
            "lr": lambda v: v > 0,
            "weight_decay": lambda v: v >= 0,
            "clip": lambda v: v >= 0,
            "ema": lambda v: 0 <= v < 1,
            "warmup": lambda v: 0 <= v <= 1,
            "schedule": lambda v: v in ("one-cycle", "constant"),
            "precision": lambda v: v in ("float32", "float64", "bf16"),
        }
        needs = {
            "epochs": ">= 1", "batch_size": ">= 1", "lr": "> 0", "weight_decay": ">= 0", "clip": ">= 0", "ema": "in [0, 1)",
            "warmup": "in [0, 1]", "schedule": "'one-cycle' or 'constant'", "precision": "'float32', 'float64' or 'bf16'",
        }  # fmt: skip
        for name, holds in checks.items():
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise SettingError(given=f"{name}={value!r}", needed=f"{name} {needs[name]}", remedy=f"Change `{name}`.")

    def filled(self, recommended: Mapping[str, Any]) -> "Training":
        """A copy whose None fields come from `recommended`, then from the package's defaults."""
        values = DEFAULTS | dict(recommended)
        return dataclasses.replace(self, **{k: v for k, v in values.items() if getattr(self, k) is None})

    def to_json(self) -> Scalars:
        """Plain values; a callable loss is stored by its name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"loss": getattr(self.loss, "__name__", self.loss)}


DEFAULTS: dict[str, Any] = {
    "epochs": 50,
    "batch_size": 16,
    "lr": 1e-3,
    "loss": "relative_l2",
    "weight_decay": 1e-4,
    "schedule": "one-cycle",
    "warmup": 0.1,
    "clip": 1.0,
    "ema": 0.0,
}


class Learner(ABC):
    """How an operator learns: makes the updates and owns all state that they change.

    shardable : under several processes, gives the update of the joint batch when each process steps on its share; otherwise
    every process steps on the whole batch.
    done : set by a learner that needs no further epochs (closed-form solutions, a finished greedy schedule).
    """

    shardable: bool = False
    done: bool = False

    def start(self, steps_per_epoch: int) -> None:  # noqa: B027 - optional
        """Called once before the first step, when the number of steps of an epoch is known."""

    def phases(self) -> Sequence[tuple[float, Position]]:
        """Shares of all steps within which a step costs the same, each with the position where it begins (after `start`)."""
        return [(1.0, Position(0, 0, 0))]

    @abstractmethod
    def step(self, batch: Batch, at: Position) -> Mapping[str, Any]:
        """One update from one batch; returns named scalars (of any framework), among them "loss"."""

    def end_epoch(self, at: Position) -> Mapping[str, Any]:
        """Called after the last step of an epoch: leaves in the operator the weights to be judged; returns more scalars."""
        return {}

    @abstractmethod
    def state(self) -> tuple[Arrays, Scalars]:
        """Everything but the operator's own arrays that the next step depends on."""

    @abstractmethod
    def load_state(self, arrays: Arrays, scalars: Scalars) -> None:
        """Inverse of `state`, after the operator's own state has been loaded."""


class Operator(ABC):
    """A learned map. Subclasses set `config` (a frozen dataclass) and implement the methods below.

    Attributes
    ----------
    config : everything needed to rebuild the operator, JSON-serialisable.
    signature : what it is bound to; None before `bind`.
    takes : kinds of tasks it can learn; None for any.
    answers_at : the names in `predict(..., **where)` that it understands, of "grid" and "times".
    """

    config: Any
    takes: ClassVar[tuple[str, ...] | None] = ("steady", "final", "trajectory", "autoregressive", "sequence")
    answers_at: ClassVar[tuple[str, ...]] = ()
    signature: Signature | None = None
    stored_as: ClassVar[str | None] = None  # name in files; by default module.Class without the package prefix

    @abstractmethod
    def bind(self, task: Task, *, seed: int = 0) -> None:
        """Fit to a task once, before training: check shapes and grid, fit normalisers, create weights from `seed`.

        Raises
        ------
        GridError, DataError : the operator cannot take this data.
        """

    def check_same(self, task: Task) -> None:
        """Of a bound operator: raise DataError unless a task asks the same of it, on whatever grid."""
        mine, given = self.bound_signature, task.signature
        if (mine.inputs, mine.outputs, mine.kind) != (given.inputs, given.outputs, given.kind):
            raise DataError(
                given=f"a task {given.kind!r} from {given.inputs} to {given.outputs} for an operator already bound",
                needed=f"{mine.kind!r} from {mine.inputs} to {mine.outputs}",
                remedy="Make a new operator, or pass data of the same problem to continue training.",
            )

    @abstractmethod
    def rebuild(self, signature: Signature) -> None:
        """Recreate what `bind` made, with weights and normalisers still to be loaded by `load_state`."""

    @abstractmethod
    def learner(self, training: Training) -> Learner:
        """The learner of this operator, for filled-in options."""

    @abstractmethod
    def predict(self, inputs: Any, *, batch_size: int | None = None, **where: Any) -> Any:
        """Outputs in physical units for inputs (item, channel, *space); NumPy in, NumPy out (same container as given).

        where : `grid=` or `times=` for operators that can answer elsewhere.
        """

    def continued(self, frames: Any, steps: int, **where: Any) -> Any:
        """Of a forecast, the next `steps` frames from frames (item, channel, time, *space): (item, step, field, *space).

        The last frame of the answer is appended and the operator asked again. One that remembers overrides this, as it need
        not look at all frames anew each time.

        where : as for `predict`; `times` are those of all frames, given and asked for.
        """
        fields = len(self.bound_signature.outputs)
        frames = np.asarray(frames)
        given = frames.shape[2]
        for _ in range(steps):
            here = where | ({"times": where["times"][: frames.shape[2] + 1]} if "times" in where else {})
            last = np.asarray(self.predict(frames, **here))[:, :, -1:]
            frames = np.concatenate([frames, np.concatenate([last, frames[:, fields:, -1:]], axis=1)], axis=2)
        return np.moveaxis(frames[:, :fields, given:], 2, 1)

    def rolled_out(self, initial: Any, steps: int, **where: Any) -> Any:
        """Of a one-step operator, the next `steps` frames from the inputs of the first: (item, step, field, *space).

        Each answer becomes the newest frame. An operator that advances several frames at once, or need not put its state
        together in between, overrides this.

        where : as for `predict`.
        """
        signature = self.bound_signature
        fields = len(signature.outputs)
        past, constants = initial[:, : signature.history * fields], initial[:, signature.history * fields :]
        frames = []
        for _ in range(steps):
            frame = np.asarray(self.predict(np.concatenate([past, constants], axis=1), **where))
            frames.append(frame)
            past = np.concatenate([past[:, fields:], frame], axis=1)
        return np.stack(frames, axis=1)

    def states(self, problem: Any, *, seed: int = 0) -> Any:
        """States of a problem without solutions, a Dataset, for operators that learn from the equation alone.

        Raises
        ------
        SettingError : this operator needs solutions.
        """
        raise SettingError(
            given=f"problem {getattr(problem, 'name', problem)!r} for {type(self).__name__}, which learns from solutions",
            needed="a dataset",
            remedy="Pass pdes.generate(problem, n=..., resolution=...).",
        )

    def judge(self, batch: Batch) -> np.ndarray | None:
        """How wrong the answers to a batch of held-out inputs are, (item,), where no labels may be used; None leaves that to
        the task's criterion."""
        return None

    @abstractmethod
    def state(self) -> Arrays:
        """Weights and normalisers by name."""

    @abstractmethod
    def load_state(self, arrays: Arrays) -> None:
        """Inverse of `state`."""

    def recommended(self, task: Task) -> Mapping[str, Any]:
        """Training options that suit this operator, for fields that the user leaves open."""
        return {}

    @property
    def bound_signature(self) -> Signature:
        """The signature, or a clear error before `bind`."""
        if self.signature is None:
            raise DataError(
                given=f"a {type(self).__name__} that has not been bound to data",
                needed="a trained or loaded operator",
                remedy="Call sciml.fit(operator, dataset) or sciml.load(path) first.",
            )
        return self.signature

    @property
    def parameter_count(self) -> int:
        """Number of trained scalars (a complex number counts two)."""
        return sum(a.size * (2 if np.iscomplexobj(a) else 1) for a in self.state().values())

    def header(self) -> Scalars:
        """What a file says about this operator, besides its arrays."""
        config = config_of(self)
        return {"operator": stored_name(type(self)), "config": config, "signature": self.bound_signature.to_json()}

    def save(self, path: str | Path) -> Path:
        """Write one `.safetensors` file, with configuration and signature in its header. No pickle, atomic."""
        header = self.header()  # first, for its clear error when unbound
        return storage.write_arrays(path, self.state(), header)

    @classmethod
    def load(cls, path: str | Path) -> "Operator":
        """Read an operator of this class; `sciml.load` finds the class itself."""
        arrays, header = storage.read_arrays(path)
        wanted = stored_name(cls)
        if header.get("operator") != wanted:
            raise CheckpointError(
                given=f"{path}, which holds an operator {header.get('operator')!r}",
                needed=f"one of {wanted!r}",
                remedy="Use sciml.load(path), which picks the class from the file.",
            )
        return cls._from_file(path, arrays, header)

    @classmethod
    def _from_file(cls, path, arrays: Arrays, header: Scalars) -> "Operator":
        operator = cls.from_config(header["config"])
        operator.restore(arrays, header, path)
        return operator

    @classmethod
    def from_config(cls, config: Scalars) -> "Operator":
        """A new, unbound operator from its stored configuration."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})

    def restore(self, arrays: Arrays, header: Scalars, source: Any) -> None:
        """Rebuild for the stored signature and load the arrays; `source` is named in errors."""
        self.rebuild(Signature.from_json(header["signature"]))
        storage.check_arrays(self.state(), arrays, source)
        self.load_state(arrays)


def config_of(operator: Operator) -> Scalars:
    """An operator's configuration as a dictionary, from a dataclass or from a mapping."""
    config: Any = operator.config
    return dataclasses.asdict(config) if dataclasses.is_dataclass(config) else dict(config or {})  # pyright: ignore[reportArgumentType]


def stored_name(cls: type[Operator]) -> str:
    """Name of an operator class in files: "mgno" for the class of `sciml/operators/mgno.py`, else "module.Class"."""
    if cls.stored_as:
        return cls.stored_as
    package, _, module = cls.__module__.rpartition(".")
    return module if package == "sciml.operators" else f"{cls.__module__}.{cls.__qualname__}"


@functools.cache
def operator_names() -> tuple[str, ...]:
    """Every operator in `sciml/operators/`, by file name."""
    from sciml import operators

    return tuple(sorted(m.name for m in pkgutil.iter_modules(operators.__path__) if not m.name.startswith("_")))


def operator_class(name: str) -> type[Operator]:
    """Class of the operator that lives in `sciml/operators/<name>.py`."""
    if name not in operator_names():
        raise unknown_name("operator", name, operator_names())
    module = importlib.import_module(f"sciml.operators.{name}")
    found = [
        c for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Operator) and c.__module__ == module.__name__ and not inspect.isabstract(c)
    ]  # fmt: skip
    if len(found) != 1:
        raise TypeError(f"sciml/operators/{name}.py must define exactly one operator, it defines {len(found)}")
    return found[0]


def create(name: str) -> Operator:
    """Operator by name and size, "mgno" or "mgno:small"; sizes are the module's `PRESETS` (default "base")."""
    base, _, size = name.partition(":")
    cls = operator_class(base)
    presets = getattr(importlib.import_module(f"sciml.operators.{base}"), "PRESETS", {})
    if size and size not in presets:
        raise unknown_name(f"size of {base}", size, presets)
    return cls(**presets.get(size or "base", {}))


def load(path: str | Path, module: Any = None) -> Operator:
    """Read any saved operator.

    Parameters
    ----------
    path : a file that `Operator.save` wrote.
    module : for a foreign network that `fit` wrapped, a freshly constructed one of the same architecture: its code is not
        in the file, only its weights.
    """
    arrays, header = storage.read_arrays(path)
    name = header.get("operator", "")
    if module is not None:
        operator = as_operator(module)
        if stored_name(type(operator)) != name:
            raise CheckpointError(
                given=f"{path}, which holds an operator {name!r}",
                needed=f"{stored_name(type(operator))!r}",
                remedy="Drop `module=`.",
            )
        operator.restore(arrays, header, path)
        return operator
    if name in operator_names():
        return operator_class(name)._from_file(path, arrays, header)
    for cls in _subclasses(Operator):
        if stored_name(cls) == name:
            return cls._from_file(path, arrays, header)
    raise CheckpointError(
        given=f"{path}, which holds an operator {name!r}",
        needed=f"one of {', '.join(operator_names())}, or a class that has been imported",
        remedy="Import the module that defines it before loading.",
    )


def _subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def as_operator(thing: Any) -> Operator:
    """An operator from an operator, a name ("mgno:small"), a torch module or an Equinox module."""
    if isinstance(thing, Operator):
        return thing
    if isinstance(thing, str):
        return create(thing)
    # A framework is looked at only if the caller has imported it already: the object cannot be its without that.
    import sys

    for framework, learner in (("torch", "sciml.learners.backprop"), ("equinox", "sciml.learners.functional")):
        if framework in sys.modules:
            wrapped = importlib.import_module(learner).adopt(thing)
            if wrapped is not None:
                return wrapped
    raise SettingError(
        given=f"an operator of type {type(thing).__name__}",
        needed="an Operator, a name such as 'mgno:small', a torch.nn.Module or an equinox.Module",
        remedy=f"Names: {', '.join(operator_names())}.",
    )
