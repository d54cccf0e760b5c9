"""Tasks in which time is an axis of the arrays: (item, channel, time, *space).

    sequence         an input in time to an output in time, u(t) -> y(t), sample by sample
    forecast         frames 0 ... T - 1 to frames 1 ... T: the next from all so far, for operators that do not look ahead
    classification   a series to one of several classes
    regression       a series to numbers, for instance the parameters of the equation it came from

Series of unequal length are padded with zeros in the dataset and have a parameter "length"; the tasks then add a channel that
is 1 where a sample is valid. Samples at unequal times have an input that holds the time since the previous one (`steps=`).
"""

from typing import Any

import numpy as np

from sciml.tasks import Batch, Signature, Task, _channels, _need_time, _numbers, _pick, _read, _stack, _varying_parameters
from solvers.errors import DataError, SettingError
from solvers.grid import Axis, Grid

VALID = "valid"  # name of the channel that marks padding
EVEN = 1e-6  # steps of even sampling differ by less than this share


class _InTime(Task):
    """One item per sample, all times of it."""

    def __len__(self) -> int:
        return len(self.dataset)

    def sample_of(self, items):
        return np.asarray(items)

    def elsewhere(self, operator):
        theirs = operator.bound_signature.times
        if "times" not in operator.answers_at or self.signature.step or len(theirs) < 2:
            return {}
        here, there = np.diff(self.signature.times[:2])[0], np.diff(theirs[:2])[0]
        return {} if abs(here - there) <= EVEN * there else {"times": np.asarray(self.signature.times)}

    def _signature(self, inputs, outputs, frames: int, **more: Any) -> Signature:
        times = tuple(map(float, self.dataset.times))
        grid = with_time(self.dataset.grid, times[:frames], even=not more.get("step"))
        return Signature(self.kind, tuple(inputs), tuple(outputs), grid, times=times, **more)

    def _over_time(self, array, items: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(item, channel, time, *space) of an array with or without time."""
        values = _read(array, items)
        if "time" in array.dims:
            return values
        return np.broadcast_to(values[:, :, None], (*values.shape[:2], *shape))


class Sequence(_InTime):
    """u(t) -> y(t) at the same times.

    Parameters
    ----------
    inputs : names of inputs, in time or constant; by default all, and at least one in time.
    outputs : names of fields in time; by default all.
    steps : name of the input with the time since the previous sample, where samples lie at unequal times.
    """

    kind = "sequence"

    def __init__(self, dataset, *, inputs=None, outputs=None, steps: str | None = None, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs, steps=steps)
        _need_time(dataset, self.kind)
        names = [name for name in dataset.inputs if name != steps]
        self._inputs = _pick(names, inputs, "input")
        self._outputs = _pick([n for n, a in dataset.fields.items() if "time" in a.dims], outputs, "field in time")
        if not any("time" in dataset.inputs[name].dims for name in self._inputs):
            raise DataError(
                given=f"inputs {self._inputs or 'none'} without a time axis for the task 'sequence'",
                needed="at least one input that depends on time, (sample, time, ...)",
                remedy="Pass it as Dataset(inputs={'u': array}), or use task='forecast' or 'trajectory'.",
            )
        self._steps = _pick(dataset.inputs, (steps,) if steps else (), "input")
        if self._steps and (tuple(dataset.inputs[self._steps[0]].dims) != ("sample", "time") or dataset.grid.dimension):
            raise DataError(
                given=f"steps={steps!r} with axes {dataset.inputs[self._steps[0]].dims}",
                needed="one number for each sample and time, on a point",
                remedy="Give (sample, time).",
            )
        parameters = tuple(_varying_parameters(dataset) if _parameters is None else _parameters)
        self.unscaled = frozenset(self._steps)
        self.signature = self._signature(
            (*_channels(dataset.inputs, self._inputs), *parameters, *self._steps),
            _channels(dataset.fields, self._outputs),
            len(dataset.times),
            parameters=parameters,
            step=steps or "",
        )

    @classmethod
    def choices(cls, signature):
        return {"steps": signature.step or None}

    def batch(self, items):
        items = _numbers(items)
        y = [_read(self.dataset.fields[name], items) for name in self._outputs]
        shape = y[0].shape[2:]
        x = [self._over_time(self.dataset.inputs[name], items, shape) for name in self._inputs]
        x += self._parameter_channels(items, shape)
        x += [_read(self.dataset.inputs[name], items) for name in self._steps]
        return Batch(_stack(x), _stack(y), items)


class Forecast(_InTime):
    """Frames 0 ... T - 1 to frames 1 ... T: the next frame from all so far, at every time at once.

    An operator for it must not look ahead: the answer to a frame stands in the next one.

    Parameters
    ----------
    outputs : names of fields; by default all in time.   inputs : names of constant inputs, repeated at every time.
    """

    kind = "forecast"

    def __init__(self, dataset, *, inputs=None, outputs=None, _parameters=None):
        super().__init__(dataset, inputs=inputs, outputs=outputs)
        _need_time(dataset, self.kind)
        if len(dataset.times) < 3:
            raise SettingError(given="two frames", needed="at least three", remedy="Use task='final'.")
        self._inputs = _pick(dataset.inputs, inputs, "input")
        self._outputs = _pick([n for n, a in dataset.fields.items() if "time" in a.dims], outputs, "field in time")
        if any("time" in dataset.inputs[name].dims for name in self._inputs):
            raise DataError(given=f"inputs {self._inputs}, one of them in time", needed="constant ones",
                            remedy="Name them with `inputs=`, or use task='sequence'.")  # fmt: skip
        parameters = tuple(_varying_parameters(dataset) if _parameters is None else _parameters)
        outs = _channels(dataset.fields, self._outputs)
        self.signature = self._signature(
            (*outs, *_channels(dataset.inputs, self._inputs), *parameters), outs, len(dataset.times) - 1, parameters=parameters
        )

    def batch(self, items):
        items = _numbers(items)
        frames = [_read(self.dataset.fields[name], items) for name in self._outputs]
        x, y = [f[:, :, :-1] for f in frames], [f[:, :, 1:] for f in frames]
        shape = x[0].shape[2:]
        x += [self._over_time(self.dataset.inputs[name], items, shape) for name in self._inputs]
        x += self._parameter_channels(items, shape)
        return Batch(_stack(x), _stack(y), items)


class _FromSeries(_InTime):
    """One answer for a whole series."""

    def __init__(self, dataset, *, inputs=None, outputs=None, lengths: str = "length", **carried):
        super().__init__(dataset, inputs=inputs, outputs=outputs, lengths=lengths)
        _need_time(dataset, self.kind)
        self._from = {**dataset.inputs, **dataset.fields}
        in_time = [name for name, array in self._from.items() if "time" in array.dims]
        self._inputs = _pick(in_time, inputs, "series")
        if not self._inputs:
            raise DataError(given="a dataset without anything in time", needed="a series", remedy="Pass fields (sample, time).")
        self._lengths = lengths if lengths in dataset.parameters else None

    def _described(self, outputs) -> Signature:
        mask = (VALID,) if self._lengths else ()
        named = _channels(self._from, self._inputs)
        self.unscaled = frozenset(mask)
        frames = len(self.dataset.times)
        return self._signature((*named, *mask), outputs, frames, per_item=True, mask=VALID if mask else "")

    def _series(self, items: np.ndarray) -> np.ndarray:
        x = [_read(self._from[name], items) for name in self._inputs]
        if self._lengths:
            lengths = np.asarray(self.dataset.parameters[self._lengths][items])
            valid = np.arange(x[0].shape[2]) < lengths[:, None]
            if valid.any(axis=1).all() and lengths.max() <= x[0].shape[2]:
                x.append(np.broadcast_to(valid[:, None].reshape(len(items), 1, -1, *(1,) * (x[0].ndim - 3)),
                                         (len(items), 1, *x[0].shape[2:])))  # fmt: skip
            else:
                raise DataError(given=f"lengths from {lengths.min():g} to {lengths.max():g}",
                                needed=f"1 to {x[0].shape[2]}", remedy="Mend the parameter 'length'.")  # fmt: skip
        return _stack(x)


class Classification(_FromSeries):
    """A series to its class.

    Parameters
    ----------
    inputs : names of inputs and fields in time; by default all.
    outputs : name of the parameter that holds the class, 0, 1, 2, ...; the names of the classes are provenance["classes"].
    lengths : name of the parameter that holds the number of valid samples, if the dataset has it.

    Targets are (item, class), 1 for the right one; an operator answers with scores whose softmax are probabilities.
    """

    kind = "classification"
    loss = "cross_entropy"
    criterion = "brier"
    metrics = ("error_rate", "brier", "cross_entropy")

    def __init__(self, dataset, *, inputs=None, outputs="label", lengths="length", _classes: tuple[str, ...] | None = None):
        super().__init__(dataset, inputs=inputs, outputs=outputs, lengths=lengths)
        (self._label,) = _pick(dataset.parameters, outputs, "parameter")
        labels = np.asarray(dataset.parameters[self._label])
        names = _classes or dataset.provenance.get("classes") or range(int(labels.max()) + 1)
        classes = tuple(map(str, names))
        wrong = (labels != np.round(labels)) | (labels < 0) | (labels >= len(classes))
        if wrong.any() or len(classes) < 2:
            raise DataError(
                given=f"parameter {self._label!r} with the value {labels[np.argmax(wrong)]:g} and {len(classes)} classes",
                needed=f"whole numbers from 0 to {max(1, len(classes) - 1)}, for at least two classes",
                remedy="Number the classes, and name them in Dataset(provenance={'classes': [...]}).",
            )
        self.signature = self._described(classes)
        self.unscaled |= frozenset(classes)

    @classmethod
    def carried(cls, signature):
        return {"_classes": signature.outputs}

    def batch(self, items):
        items = _numbers(items)
        labels = np.asarray(self.dataset.parameters[self._label][items]).astype(np.intp)
        targets = np.eye(len(self.signature.outputs), dtype=np.float32)[labels]
        return Batch(self._series(items), targets, items)


class Regression(_FromSeries):
    """A series to numbers: parameters of the dataset, by default all that vary between samples ("length" aside)."""

    kind = "regression"
    loss = "mse"
    criterion = "relative_l2"
    metrics = ("relative_l2", "rmse", "max_error")

    def __init__(self, dataset, *, inputs=None, outputs=None, lengths="length", _outputs: tuple[str, ...] | None = None):
        super().__init__(dataset, inputs=inputs, outputs=outputs, lengths=lengths)
        varying = [name for name in _varying_parameters(dataset) if name != self._lengths] if _outputs is None else _outputs
        self._outputs = _pick(dataset.parameters, varying if outputs is None else outputs, "parameter")
        if not self._outputs:
            raise DataError(
                given="no parameter that varies between samples",
                needed="something to predict",
                remedy="Name one with `outputs=`, or generate with varying parameters.",
            )
        self.signature = self._described(self._outputs)

    @classmethod
    def carried(cls, signature):
        return {"_outputs": signature.outputs}

    @classmethod
    def choices(cls, signature):
        return {"outputs": signature.outputs}

    def batch(self, items):
        items = _numbers(items)
        columns = [np.asarray(self.dataset.parameters[name][items], np.float32) for name in self._outputs]
        return Batch(self._series(items), np.ascontiguousarray(np.stack(columns, axis=1)), items)


TASKS: dict[str, type[Task]] = {cls.kind: cls for cls in (Sequence, Forecast, Classification, Regression)}


def with_time(grid: Grid, times: tuple[float, ...], *, even: bool = True) -> Grid:
    """The grid with time as its first axis.

    Raises
    ------
    DataError : times that are not evenly spaced although they should be.
    SettingError : three space axes already; no operator of ours runs over four.
    """
    steps = np.diff(times)
    if even and len(steps) and np.ptp(steps) > EVEN * steps.mean():
        raise DataError(
            given=f"times with steps from {steps.min():.6g} to {steps.max():.6g}",
            needed="evenly spaced times",
            remedy="Pass an input with the time since the previous sample, task=Sequence(data, steps='dt'), or resample.",
        )
    if grid.dimension > 2:
        raise SettingError(given=f"{grid.dimension} space axes and time", needed="at most 2 of space", remedy="Take a slice.")
    axis = Axis("time", len(times), times[0], times[-1], "node", ("free", "free"))
    return Grid((axis, *grid.axes))


def resampled(task: Task, factor: int) -> Task:
    """The task on every `factor`-th time of its data, for tests at another sampling rate."""
    return task.on(task.dataset.subsample(time=factor))
