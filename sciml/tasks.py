"""What is learned from a Dataset: which arrays go in, which come out, and how they are batched.

A task turns a dataset into numbered items and items into `Batch`es of arrays (item, channel, *space). Steady problems map
coefficients to solutions; time-dependent ones map the initial frame to the last (`final`), to all frames (`trajectory`), or
each frame to the next (`autoregressive`). Parameters that vary between samples are appended as constant channels. Tasks in
which time is an axis of the arrays, as space is, are in `sciml.time_tasks`, and one with equations in `sciml.symbolic_tasks`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from solvers.errors import DataError, SettingError, unknown_name
from solvers.grid import Grid

if TYPE_CHECKING:
    from sciml.operator import Operator


FIELD_METRICS = ("relative_l2", "relative_h1", "rmse", "vrmse", "max_error")


@dataclass(frozen=True)
class Signature:
    """All that an operator must know of a task to be built: JSON-serialisable, saved with the weights.

    kind : name of the task.   inputs, outputs : channel names.
    grid : where the values lie; in tasks over time its first axis is time.
    history : past frames among the inputs (autoregressive tasks; otherwise 1).
    parameters : names of the inputs that are per-sample constants.   times : stored times, empty for steady problems.
    per_item : one answer for the whole of an item: outputs are (item, channel), without space.
    step, mask : names of the input channels that hold the time since the previous sample, and 1 where a sample is valid and 0
        where it is padding; "" where there is none.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    grid: Grid
    history: int = 1
    stride: int = 1
    parameters: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    per_item: bool = False
    step: str = ""
    mask: str = ""

    @property
    def output_grid(self) -> Grid:
        """Where the outputs lie; nowhere in particular if there is one for the whole item."""
        return Grid(()) if self.per_item else self.grid

    def to_json(self) -> dict[str, Any]:
        """Plain values for a header."""
        return asdict(self) | {"grid": self.grid.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Signature":
        """Inverse of `to_json`."""
        lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "grid"}
        return cls(**lists, grid=Grid.from_json(values["grid"]))

    def check_inputs(self, shape: Sequence[int], who: str) -> None:
        """Raise a clear error unless `shape` is (item, channel, *space) with this signature's channels and dimension."""
        if len(shape) != self.grid.dimension + 2 or shape[1] != len(self.inputs):
            layout = ", ".join(["item", f"{len(self.inputs)} channel{'s' * (len(self.inputs) != 1)}", *self.grid.names])
            raise DataError(
                given=f"inputs of shape {tuple(shape)} for {who}",
                needed=f"({layout}), the channels being {', '.join(self.inputs)}",
                remedy="Stack fields along axis 1; a single field `a` becomes `a[:, None]`.",
            )


@dataclass(frozen=True)
class Batch:
    """Arrays (item, channel, *space) of one step, and the share of the whole batch that they are (1 on a single process)."""

    inputs: Any
    targets: Any
    items: np.ndarray
    weight: float = 1.0


class Task(ABC):
    """A dataset seen as a supervised problem.

    Parameters
    ----------
    dataset : `pdes.Dataset`.
    inputs, outputs : names of fields or inputs; by default everything that fits the task.

    Attributes
    ----------
    loss : what is minimised unless somebody says otherwise.   criterion : metric by which validation judges the weights.
    metrics : what `evaluate` reports by default.
    unscaled : channels that normalisers leave as they are.
    """

    kind: str
    signature: Signature
    loss: ClassVar[str] = "relative_l2"
    criterion: ClassVar[str] = "relative_l2"
    metrics: ClassVar[tuple[str, ...]] = FIELD_METRICS
    unscaled: frozenset[str] = frozenset()

    def __init__(self, dataset, **choices):
        self.dataset = dataset
        self._choices = choices

    def on(self, dataset) -> "Task":
        """The same task on another dataset (a validation or test set, another resolution): same channels in the same order."""
        other = type(self)(dataset, **self._choices, **self.carried(self.signature))
        if other.signature.inputs != self.signature.inputs or other.signature.outputs != self.signature.outputs:
            raise DataError(
                given=f"a dataset that maps {other.signature.inputs} to {other.signature.outputs}",
                needed=f"one that maps {self.signature.inputs} to {self.signature.outputs}, as the training data do",
                remedy="Generate it from the same problem, or name the fields with `inputs=` and `outputs=`.",
            )
        return other

    @classmethod
    def carried(cls, signature: Signature) -> dict[str, Any]:
        """What a task on other data takes over from the training data's."""
        return {"_parameters": signature.parameters}

    @classmethod
    def choices(cls, signature: Signature) -> dict[str, Any]:
        """The options, as far as a signature tells them."""
        return {}

    def elsewhere(self, operator: "Operator") -> dict[str, Any]:
        """What `predict` must be told because these data lie elsewhere than those that the operator was trained on."""
        return {}

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    @abstractmethod
    def sample_of(self, items: np.ndarray) -> np.ndarray:
        """Dataset sample that each item comes from."""

    @abstractmethod
    def batch(self, items: np.ndarray) -> Batch:
        """Inputs and targets of the named items, float32, C-contiguous."""

    def all(self) -> Batch:
        """Every item in one batch: for evaluation sets that fit in memory."""
        return self.batch(np.arange(len(self)))

    def _parameter_channels(self, samples: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
        rows = []
        for name in self.signature.parameters:
            values = np.asarray(self.dataset.parameters[name][samples], dtype=np.float64)
            rows.append(np.broadcast_to(values.reshape(-1, 1, *(1,) * len(shape)), (len(samples), 1, *shape)))
        return rows


def _varying_parameters(dataset) -> tuple[str, ...]:
    return tuple(name for name in sorted(dataset.parameters) if _varies(dataset.parameters[name]))


def _varies(values) -> bool:
    """Whether samples differ; of values that are computed or read when sliced, no more than are needed to tell."""
    start, step = 0, len(values) if isinstance(values, np.ndarray) else 64
    while start < len(values):
        if np.any(values[start : start + step] != values[0]):
            return True
        start, step = start + step, 2 * step
    return False


def _pick(available, names, what: str) -> tuple[str, ...]:
    if names is None:
        return tuple(available)
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in available:
            raise unknown_name(what, name, available)
    return names


def _read(array, index: np.ndarray, frame: int | slice | None = None) -> np.ndarray:
    """Rows of a lazily stored array as (row, channel, *space), for possibly unsorted `index`."""
    rows, back = np.unique(index, return_inverse=True)
    values = np.asarray(array[rows] if frame is None else array[rows, frame])[back]
    return np.moveaxis(values, -1, 1) if array.dims[-1] == "component" else values[:, None]


def _windows(array, samples: np.ndarray, starts: np.ndarray, length: int, stride: int) -> list[np.ndarray]:
    """Frames starts, starts + stride, ... of `length` stored ones as (row, channel, *space) each; no others are read."""
    array.announce(samples)
    values: list = [None] * len(samples)
    order = np.argsort(samples, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(samples[order])) + 1):
        first, last = int(starts[rows].min()), int(starts[rows].max())
        read = array[int(samples[rows[0]]), first : last + length]  # one run of frames, all that this sample is asked for
        for row in rows:
            values[row] = read[starts[row] - first : starts[row] - first + length : stride]
    spread = [np.stack([v[i] for v in values]) for i in range((length - 1) // stride + 1)]
    return [np.moveaxis(v, -1, 1) if array.dims[-1] == "component" else v[:, None] for v in spread]


def _numbers(items) -> np.ndarray:
    """Numbers of items, at least one."""
    items = np.asarray(items)
    if items.size == 0:
        raise DataError(given="an empty batch", needed="the number of at least one item", remedy="Leave the batch out.")
    return items


def _channels(mapping, names: Sequence[str]) -> tuple[str, ...]:
    out = []
    for name in names:
        array = mapping[name]
        out += [f"{name}{i}" for i in range(array.shape[-1])] if array.dims[-1] == "component" else [name]
    return tuple(out)


def _stack(parts: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0], dtype=np.float32)


class _SampleTask(Task):
    """One item per sample."""

    def __init__(self, dataset, *, inputs=None, outputs=None, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs)
        self._inputs = _pick(dataset.inputs, inputs, "input")
        self._outputs = _pick(dataset.fields, outputs, "field")

    def __len__(self) -> int:
        return len(self.dataset)

    def sample_of(self, items):
        return np.asarray(items)


class Steady(_SampleTask):
    """Coefficients and sources to the steady solution, a -> u."""

    kind = "steady"

    def __init__(self, dataset, *, inputs=None, outputs=None, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs)
        if dataset.times is not None and any("time" in dataset.fields[name].dims for name in self._outputs):
            raise SettingError(
                given="a time-dependent dataset for the task 'steady'",
                needed="fields without a time axis",
                remedy="Use task='final', 'autoregressive' or 'trajectory'.",
            )
        parameters = _varying_parameters(dataset) if _parameters is None else _parameters
        names = _channels(dataset.inputs, self._inputs) + tuple(parameters)
        if not names:
            raise DataError(
                given="a dataset with no inputs", needed="at least one input field", remedy="Name one with `inputs=`."
            )
        self.signature = Signature(
            self.kind, names, _channels(dataset.fields, self._outputs), dataset.grid, parameters=tuple(parameters)
        )

    def batch(self, items):
        items = _numbers(items)
        x = [_read(self.dataset.inputs[name], items) for name in self._inputs]
        y = [_read(self.dataset.fields[name], items) for name in self._outputs]
        x += self._parameter_channels(items, y[0].shape[2:])
        return Batch(_stack(x), _stack(y), items)


class Final(_SampleTask):
    """Initial frame (and steady inputs) to the last frame, u(0) -> u(T)."""

    kind = "final"

    def __init__(self, dataset, *, inputs=None, outputs=None, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs)
        _need_time(dataset, self.kind)
        parameters = _varying_parameters(dataset) if _parameters is None else _parameters
        outs = _channels(dataset.fields, self._outputs)
        names = outs + _channels(dataset.inputs, self._inputs) + tuple(parameters)
        self.signature = Signature(
            self.kind,
            names,
            self._output_names(outs),
            dataset.grid,
            parameters=tuple(parameters),
            times=tuple(map(float, dataset.times)),
        )

    def _output_names(self, outs):
        return outs

    def _targets(self, items):
        return [_read(self.dataset.fields[name], items, -1) for name in self._outputs]

    def batch(self, items):
        items = _numbers(items)
        x = [_read(self.dataset.fields[name], items, 0) for name in self._outputs]
        x += [_read(self.dataset.inputs[name], items) for name in self._inputs]
        x += self._parameter_channels(items, x[0].shape[2:])
        return Batch(_stack(x), _stack(self._targets(items)), items)


class Trajectory(Final):
    """Initial frame to all later frames at once; the channels of the output are (time, field)."""

    kind = "trajectory"

    def _output_names(self, outs):
        return tuple(f"{name}@{i}" for i in range(1, len(self.dataset.times)) for name in outs)

    def _targets(self, items):
        frames = range(1, len(self.dataset.times))
        return [_read(self.dataset.fields[name], items, i) for i in frames for name in self._outputs]


class Autoregressive(Task):
    """The next frame from the last `history` frames; one item per sample and start time.

    Parameters
    ----------
    history : frames given, oldest first.
    stride : stored frames per step.
    """

    kind = "autoregressive"

    def __init__(self, dataset, *, inputs=None, outputs=None, history: int = 1, stride: int = 1, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs, history=history, stride=stride)
        _need_time(dataset, self.kind)
        self._inputs = _pick(dataset.inputs, inputs, "input")
        self._outputs = _pick(dataset.fields, outputs, "field")
        self._starts = len(dataset.times) - history * stride
        if history < 1 or stride < 1 or self._starts < 1:
            raise SettingError(
                given=f"history={history}, stride={stride} on {len(dataset.times)} stored frames",
                needed="history and stride >= 1 with history * stride smaller than the number of frames",
                remedy="Shorten them or store more frames.",
            )
        parameters = _varying_parameters(dataset) if _parameters is None else _parameters
        outs = _channels(dataset.fields, self._outputs)
        past = tuple(f"{name}@{i - history + 1}" for i in range(history) for name in outs) if history > 1 else outs
        self.signature = Signature(
            self.kind,
            past + _channels(dataset.inputs, self._inputs) + tuple(parameters),
            outs,
            dataset.grid,
            history=history,
            stride=stride,
            parameters=tuple(parameters),
            times=tuple(map(float, dataset.times)),
        )

    @classmethod
    def choices(cls, signature):
        return {"history": signature.history, "stride": signature.stride}

    def __len__(self) -> int:
        return len(self.dataset) * self._starts

    def sample_of(self, items):
        return np.asarray(items) // self._starts

    def batch(self, items):
        items = _numbers(items)
        history, stride = self.signature.history, self.signature.stride
        samples, starts = np.divmod(items, self._starts)
        frames = {
            name: _windows(self.dataset.fields[name], samples, starts, history * stride + 1, stride) for name in self._outputs
        }
        x = [frames[name][i] for i in range(history) for name in self._outputs]
        y = [frames[name][history] for name in self._outputs]
        x += [_read(self.dataset.inputs[name], samples) for name in self._inputs]
        x += self._parameter_channels(samples, y[0].shape[2:])
        return Batch(_stack(x), _stack(y), items)


class States(Task):
    """States whose future is not known: the next frame from the last ones, for operators that learn from the equation alone.

    The dataset holds as many frames as the operator is given, and names the time to the next one, provenance["step"], and the
    number of steps of interest, provenance["steps"]. Targets are the last frame given: there is no other.
    """

    kind = "states"

    def __init__(self, dataset, *, inputs=None, outputs=None, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs)
        self._inputs = _pick(dataset.inputs, inputs, "input")
        self._outputs = _pick(dataset.fields, outputs, "field")
        if dataset.times is None or "step" not in dataset.provenance:
            raise SettingError(
                given="a dataset for the task 'states' that does not say how far apart frames are",
                needed="times, and provenance={'step': ...}",
                remedy="Pass a problem to `fit`, or use task='autoregressive'.",
            )
        parameters = tuple(_varying_parameters(dataset) if _parameters is None else _parameters)
        outs, history = _channels(dataset.fields, self._outputs), len(dataset.times)
        past = tuple(f"{name}@{i - history + 1}" for i in range(history) for name in outs) if history > 1 else outs
        step, steps = float(dataset.provenance["step"]), int(dataset.provenance.get("steps", 1))
        self.signature = Signature(
            Autoregressive.kind,
            past + _channels(dataset.inputs, self._inputs) + parameters,
            outs,
            dataset.grid,
            history=history,
            parameters=parameters,
            times=tuple(step * i for i in range(steps + 1)),
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def sample_of(self, items):
        return np.asarray(items)

    def batch(self, items):
        items = _numbers(items)
        x = [_read(self.dataset.fields[n], items, i) for i in range(self.signature.history) for n in self._outputs]
        last = x[-len(self._outputs) :]
        x += [_read(self.dataset.inputs[name], items) for name in self._inputs]
        x += self._parameter_channels(items, x[0].shape[2:])
        return Batch(_stack(x), _stack(last), items)


def _need_time(dataset, kind: str) -> None:
    if dataset.times is None or len(dataset.times) < 2:
        raise SettingError(
            given=f"a dataset without a time axis for the task {kind!r}",
            needed="at least two stored frames",
            remedy="Use task='steady', or generate with more frames.",
        )


TASKS: dict[str, type[Task]] = {cls.kind: cls for cls in (Steady, Final, Trajectory, Autoregressive, States)}


def task_class(kind: str) -> type[Task]:
    """The task of that name.

    Raises
    ------
    UnknownName : there is none.
    """
    from sciml import symbolic_tasks, time_tasks  # they are built on this module

    known = TASKS | time_tasks.TASKS | {symbolic_tasks.Continuation.kind: symbolic_tasks.Continuation}
    if kind not in known:
        raise unknown_name("task", kind, known)
    return known[kind]


def suggested(dataset) -> str:
    """What the data look like: labelled series to classify, an input in time to answer, frames that follow each other."""
    if dataset.times is None:
        return "steady"
    if "step" in dataset.provenance:
        return "states"
    if "classes" in dataset.provenance and "label" in dataset.parameters:
        return "classification"
    if any("time" in array.dims for array in dataset.inputs.values()):
        return "sequence"
    return "final" if len(dataset.times) == 2 else "autoregressive"


def as_task(task: "Task | str | None", dataset, **choices) -> Task:
    """The named task on `dataset`; by default the one that the data suggest."""
    if isinstance(task, Task):
        return task.on(dataset) if dataset is not task.dataset else task
    return task_class(suggested(dataset) if task is None else task)(dataset, **choices)


def task_of(signature: Signature, dataset) -> Task:
    """The task that an operator with this signature was trained for, on another dataset."""
    cls = task_class(signature.kind)
    task = cls(dataset, **cls.choices(signature), **cls.carried(signature))
    if task.signature.inputs != signature.inputs or task.signature.outputs != signature.outputs:
        raise DataError(
            given=f"a dataset that maps {task.signature.inputs} to {task.signature.outputs}",
            needed=f"{signature.inputs} to {signature.outputs}, as this operator was trained",
            remedy="Pass a dataset of the same problem, or pass `task=`.",
        )
    return task


def at_resolution(signature: Signature, shape: tuple[int, ...]) -> Signature:
    """The signature on the same domain with other point counts."""
    return replace(signature, grid=signature.grid.with_shape(shape))
