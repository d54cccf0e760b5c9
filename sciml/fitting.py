"""The one training loop. It owns epochs, order of data, validation, history, checkpoints and stopping, and knows no framework.

Everything random is a function of the seed and the position, so the loop's state is one value (`checkpoint.Snapshot`), and a
training that was killed and resumed gives the same weights as one that was not (bit-identical on a CPU).
"""

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml import distributed
from sciml.checkpoint import Checkpoints, Snapshot
from sciml.history import History
from sciml.metrics import measure
from sciml.operator import Learner, Operator, Position, Training, as_operator
from sciml.randomness import Purpose, generator
from sciml.tasks import Batch, Task, as_task
from solvers.errors import CheckpointError, DataError, SettingError

if TYPE_CHECKING:
    from pdes import Dataset, Problem

IN_MEMORY_BYTES = 2 * 2**30  # data sets up to this size are read once, larger ones batch by batch
HELD_OUT = 0.1  # share of the data that judges the epochs when the caller passes no validation set


@dataclass(frozen=True)
class State:
    """What a callback sees after each epoch."""

    epoch: int
    row: dict[str, Any]
    history: History
    operator: Operator
    training: Training


@dataclass(frozen=True)
class FitResult:
    """A finished (or stopped) training.

    operator : holds the best weights by validation, or the last ones without a validation set.
    history : one row per epoch.
    seconds : wall time over all sessions of this training.
    best, best_epoch : validation error (the task's criterion, relative L2 for fields) of the weights kept, and its epoch.
    stopped : "completed", "done" (the learner needed no more), "early", "callback", "interrupted" or "not-finite".
    """

    operator: Operator
    history: History
    seconds: float
    best: float
    best_epoch: int
    stopped: str
    training: Training

    def plot(self):
        """Learning curves as a matplotlib figure."""
        return self.history.plot(self.best_epoch)

    def __repr__(self) -> str:
        return (
            f"FitResult({type(self.operator).__name__}, {self.operator.parameter_count:,} parameters, {self.stopped} after "
            f"{len(self.history)} epochs in {self.seconds:.1f} s, validation {self.best:.4g} at epoch {self.best_epoch + 1})"
        )


def fit(
    operator: Any,
    dataset: "Dataset | Problem | str",
    *,
    task: Task | str | None = None,
    validation: "Dataset | float | bool | None" = None,
    epochs: int | None = None,
    seconds: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    loss: str | Callable | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    device: str = "auto",
    precision: str = "float32",
    compile: bool = False,
    seed: int = 0,
    patience: int | None = None,
    augment: Callable[[Batch, np.random.Generator], Batch] | None = None,
    callbacks: Sequence[Callable[[State], Any]] = (),
    progress: bool = True,
    training: Training | None = None,
) -> FitResult:
    """Train an operator on a dataset.

    Parameters
    ----------
    operator : an `Operator`, a name with a size ("mgno", "mgno:small"), a `torch.nn.Module` or an `equinox.Module`. It is
        trained in place; one that is already bound goes on from its weights.
    dataset : training data; or a problem (or its name), for operators that learn from the equation alone.
    task : what maps to what (`sciml.tasks`); by default what the data suggest.
    validation : a Dataset; a share of the samples to hold out (default 0.1, the last ones); or False for none.
    epochs, batch_size, lr, loss : None takes the operator's recommendation.
    seconds : instead of `epochs`, as many as fit into this wall time (at least one): a few steps are timed first, and a
        resumed training keeps the number found then.
    checkpoint : folder for commits, every `checkpoint_seconds` and at the end.
    resume : go on from the newest commit in `checkpoint`, if there is one.
    device, precision, compile, seed : see `sciml.operator.Training`.
    patience : stop after this many epochs without a better validation error.
    augment : function (batch, generator) -> batch, applied to training batches.
    callbacks : functions of a `State`, called after every epoch; a truthy answer stops.
    progress : show a bar with loss and time left.
    training : all other options; the arguments above override its fields.

    Returns
    -------
    FitResult. Ctrl-C (or SIGTERM) ends after the current step, commits, and returns what has been trained.

    Raises
    ------
    DataError, GridError : data that the operator cannot take.
    CheckpointError : `checkpoint` holds another training, or one that `resume` was not set for.

    Examples
    --------
    >>> import pdes, sciml
    >>> data = pdes.generate("poisson_dirichlet", n=12, resolution=16, seed=7, progress=False)
    >>> result = sciml.fit("linear", data, progress=False)
    >>> result.stopped
    'done'
    """
    if seconds is not None and (epochs is not None or seconds <= 0):
        raise SettingError(given=f"epochs={epochs}, seconds={seconds}", needed="one of the two, positive", remedy="Drop one.")
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "loss": loss}
    given |= {"device": device, "precision": precision, "compile": compile, "seed": seed}
    options = replace(training or Training(), **{k: v for k, v in given.items() if v != getattr(Training, k)})
    operator = as_operator(operator)
    if not hasattr(dataset, "fields"):
        dataset = operator.states(dataset, seed=options.seed)
    if len(dataset) == 0:
        raise DataError(given="an empty dataset", needed="at least one sample", remedy="Generate some.")
    train_data, validation_data = _held_out(dataset, validation)
    train = as_task(task, _readable(train_data))
    if operator.takes is not None and train.kind not in operator.takes:
        raise SettingError(
            given=f"the task {train.kind!r} for {type(operator).__name__}",
            needed=f"one of {', '.join(map(repr, operator.takes))}",
            remedy="Choose another operator, or pass `task=`.",
        )
    judge = train.on(_readable(validation_data)) if validation_data is not None else None
    operator.bind(train, seed=options.seed)
    options = options.filled({"loss": train.loss} | dict(operator.recommended(train)))
    if seconds is not None:
        stored = Checkpoints(checkpoint).read() if checkpoint is not None and resume else None
        known = stored.progress["identity"].get("option epochs") if stored else None
        options = replace(options, epochs=known or epochs_within(seconds, operator, train, judge, options))
    loop = _Loop(
        operator, train, judge, options, checkpoint, checkpoint_seconds, resume, patience, augment, callbacks, progress
    )
    return loop.run()


class _Loop:
    """The state of one call of `fit`."""

    def __init__(self, operator, train, judge, options, checkpoint, every, resume, patience, augment, callbacks, progress):
        self.operator: Operator = operator
        self.train: Task = train
        self.judge: Task | None = judge
        self.world = distributed.world()
        self.patience, self.augment, self.callbacks, self.every = patience, augment, callbacks, every
        self.options: Training = options
        self.learner: Learner = operator.learner(options)
        # Whether shares of a batch make sense is the learner's to say; else every process steps on the whole batch.
        self.batches = _Batches(train, options, self.world if self.learner.shardable else distributed.World(), augment)
        self.learner.start(self.batches.steps)
        self.checkpoints = Checkpoints(checkpoint) if checkpoint is not None else None
        self.identity = self._identity() if checkpoint is not None else {}
        self.history, self.seconds, self.sums = History(), 0.0, {}
        self.epoch = self.step = 0
        self.best_value, self.best_epoch, self.best = np.inf, -1, operator.state()
        self.stopped = ""
        self.show = progress and self.world.is_first
        if self.checkpoints is not None:
            self._resume(resume)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> FitResult:
        began, last_commit = time.perf_counter() - self.seconds, time.perf_counter()
        with _Interrupt() as interrupt, _Bar(self) as bar:
            while not self.stopped and self.epoch < (self.options.epochs or 1):
                for batch in self.batches.epoch(self.epoch, self.step):
                    at = Position(self.epoch, self.step, self.epoch * self.batches.steps + self.step)
                    for name, value in self.learner.step(batch, at).items():
                        self.sums[name] = self.sums.get(name, 0.0) + value
                    self.step += 1
                    bar.tick()
                    if bar.saw_not_finite:
                        self.stopped = "not-finite"
                        break
                    if interrupt.requested:
                        self.stopped = "interrupted"
                        break
                    now = time.perf_counter()
                    if self.checkpoints is not None and now - last_commit > self.every and self.step < self.batches.steps:
                        self.seconds = now - began
                        self._commit()
                        last_commit = time.perf_counter()
                if self.stopped:
                    break
                self.seconds = time.perf_counter() - began
                self._end_epoch(bar)
                if self.checkpoints is not None and not self.stopped and time.perf_counter() - last_commit > self.every:
                    self._commit()
                    last_commit = time.perf_counter()
        self.seconds = time.perf_counter() - began
        return self._finish()

    def _end_epoch(self, bar) -> None:
        at = Position(self.epoch, self.step, self.epoch * self.batches.steps + self.step)
        row: dict[str, Any] = {"epoch": self.epoch, "seconds": round(self.seconds, 3)}
        row |= {name: float(total) / max(self.step, 1) for name, total in self.sums.items()}
        row |= {name: float(value) for name, value in self.learner.end_epoch(at).items()}
        if not np.isfinite(row.get("loss", 0.0)):
            self.stopped = "not-finite"
            return
        if self.judge is not None:
            row["validation"] = judged(self.operator, self.judge)
        self.history.rows.append(row)
        better = self.judge is None or row["validation"] < self.best_value
        if better:
            self.best_value, self.best_epoch, self.best = row.get("validation", np.nan), self.epoch, self.operator.state()
        bar.epoch(row)
        state = State(self.epoch, row, self.history, self.operator, self.options)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        if self.learner.done:
            self.stopped = "done"
        elif any([callback(state) for callback in self.callbacks]):
            self.stopped = "callback"
        elif self.patience is not None and self.judge is not None and self.epoch - 1 - self.best_epoch >= self.patience:
            self.stopped = "early"

    def _finish(self) -> FitResult:
        if self.stopped == "not-finite":
            warnings.warn(
                f"The loss became NaN or infinite in epoch {self.epoch + 1}; training stopped, and the weights of epoch "
                f"{self.best_epoch + 1} are kept. Try a smaller lr, or precision='float32'.",
                RuntimeWarning,
                stacklevel=4,
            )
        elif self.stopped == "interrupted":
            if self.checkpoints is not None:
                self._commit()
            if self.best_epoch < 0:  # no epoch was judged: what has been trained is all there is
                self.best = self.operator.state()
        else:
            self.stopped = self.stopped or "completed"
            if self.checkpoints is not None:
                self._commit(finished=True)
        self.operator.load_state(self.best)
        return FitResult(
            self.operator, self.history, self.seconds, float(self.best_value), self.best_epoch, self.stopped, self.options
        )

    # -- commits -------------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a resumed training to be the same training."""
        header = self.operator.header()
        options = {k: v for k, v in self.options.to_json().items() if k not in ("device", "compile")}
        return {
            "operator": header["operator"],
            "configuration": header["config"],
            "task": header["signature"]["kind"],
            "training data": self.train.dataset.fingerprint(),
            "validation data": self.judge.dataset.fingerprint() if self.judge is not None else None,
            "processes": self.world.size,
            "augmentation": getattr(self.augment, "__name__", repr(self.augment)) if self.augment else None,
        } | {f"option {k}": v for k, v in options.items()}

    def _commit(self, finished: bool = False) -> None:
        sums = {name: float(total) for name, total in self.sums.items()}
        if self.world.is_first and all(map(np.isfinite, sums.values())):
            learner_arrays, learner_scalars = self.learner.state()
            progress = {
                "epoch": self.epoch,
                "step": self.step,
                "total": self.epoch * self.batches.steps + self.step,
                "sums": sums,
                "history": self.history.rows,
                "seconds": self.seconds,
                "best": [float(self.best_value), self.best_epoch],
                "learner": learner_scalars,
                "finished": self.stopped if finished else "",
                "identity": self.identity,
            }
            snapshot = Snapshot(self.operator.state(), learner_arrays, self.best, self.operator.header(), progress)
            self.checkpoints.write(snapshot)  # type: ignore[union-attr]
        self.world.barrier()

    def _resume(self, resume: bool) -> None:
        found = self.checkpoints.read() if resume or not self.checkpoints.commits() else "occupied"  # type: ignore[union-attr]
        if found is None:
            return
        if isinstance(found, str):
            raise CheckpointError(
                given=f"the folder {self.checkpoints.folder}, which already holds a training",  # type: ignore[union-attr]
                needed="an empty folder",
                remedy="Pass resume=True to go on with it, or choose another folder.",
            )
        stored = found.progress["identity"]
        differing = [k for k in self.identity if stored.get(k) != _plain(self.identity[k])]
        if differing:
            shown = "; ".join(f"{k}: {stored.get(k)!r} there, {_plain(self.identity[k])!r} here" for k in differing[:3])
            raise CheckpointError(
                given=f"a checkpoint of another training in {self.checkpoints.folder} ({shown})",  # type: ignore[union-attr]
                needed="the same operator, data and options",
                remedy="Call fit as it was called first, or choose another checkpoint folder.",
            )
        self.operator.load_state(found.operator)
        self.learner.load_state(found.learner, found.progress["learner"])
        self.epoch, self.step = found.progress["epoch"], found.progress["step"]
        self.sums, self.seconds = found.progress["sums"], found.progress["seconds"]
        self.history = History(found.progress["history"])
        (self.best_value, self.best_epoch), self.best = found.progress["best"], found.best
        self.stopped = found.progress["finished"]


class _Batches:
    """Batches of an epoch: order from (seed, epoch), one batch read ahead by a thread, shares for several processes."""

    def __init__(self, task: Task, options: Training, world: distributed.World, augment):
        self.task, self.seed, self.world, self.augment = task, options.seed, world, augment
        self.size = (options.batch_size or 1) * world.size
        count = len(task)
        # A last batch too small to give every process an item is left out of the epoch (it is another one each time).
        self.steps = max(1, count // self.size + (count % self.size >= world.size))

    def epoch(self, epoch: int, first: int) -> Iterator[Batch]:
        """Batches from step `first` on."""
        order = generator(self.seed, Purpose.ORDER, epoch).permutation(len(self.task))
        with ThreadPoolExecutor(1) as reader:
            waiting = None
            for step in range(first, self.steps):
                ready = waiting or reader.submit(self._read, order, epoch, step)
                waiting = reader.submit(self._read, order, epoch, step + 1) if step + 1 < self.steps else None
                yield ready.result()

    def _read(self, order: np.ndarray, epoch: int, step: int) -> Batch:
        joint = order[step * self.size : (step + 1) * self.size]
        share = np.array_split(joint, self.world.size)[self.world.rank]
        batch = replace(self.task.batch(share), weight=len(share) * self.world.size / len(joint))
        if self.augment is None:
            return batch
        return self.augment(batch, generator(self.seed, Purpose.AUGMENT, epoch * self.steps + step, self.world.rank))


def epochs_within(
    seconds: float, operator: Operator, train: Task, judge: Task | None, options: Training, steps: int = 4
) -> int:
    """Epochs that take about `seconds`, from the fastest of a few timed steps; leaves the operator as it was."""
    before = operator.state()
    learner = operator.learner(options)
    batches = _Batches(train, options, distributed.world() if learner.shardable else distributed.World(), None)
    learner.start(batches.steps)
    epoch = batches.steps * sum(share * _step_seconds(learner, batches, at, steps) for share, at in learner.phases())
    if judge is not None:
        few = judge.batch(np.arange(min(32, len(judge))))
        operator.predict(few.inputs)
        began = time.perf_counter()
        operator.predict(few.inputs)
        epoch += (time.perf_counter() - began) * len(judge) / len(few.items)
    operator.load_state(before)
    return int(distributed.world().agreed(max(1, int(seconds / epoch))))


def _step_seconds(learner: Learner, batches: _Batches, at: Position, steps: int) -> float:
    """Time of the fastest of a few steps from a position on."""
    times = []
    for step, batch in enumerate(batches.epoch(0, 0)):
        began = time.perf_counter()
        scalars = learner.step(batch, Position(at.epoch, at.step + step, at.total + step))
        float(scalars["loss"])  # waits for a device
        times.append(time.perf_counter() - began)
        if step == steps:
            break
    return min(times)


def judged(operator: Operator, task: Task, chunk: int = 64) -> float:
    """Mean of the task's criterion (relative L2, for fields) over an operator's predictions, in float64; or of the operator's
    own (`Operator.judge`)."""
    values = []
    for start in range(0, len(task), chunk):
        batch = task.batch(np.arange(start, min(start + chunk, len(task))))
        own = operator.judge(batch)
        if own is not None:
            values.append(np.asarray(own, np.float64))
            continue
        prediction = np.asarray(operator.predict(batch.inputs, **task.elsewhere(operator)))
        found = measure(prediction, batch.targets, task.signature.output_grid, (task.criterion,))
        values.append(found[task.criterion])
    return float(np.mean(np.concatenate(values)))


def _held_out(dataset, validation) -> tuple[Any, Any]:
    if validation is False:
        return dataset, None
    if validation is None or validation is True:
        validation = HELD_OUT if len(dataset) >= 10 else 0.0
    if isinstance(validation, (int, float)):
        if not 0 <= validation < 1:
            raise SettingError(
                given=f"validation={validation}", needed="a share in [0, 1), a Dataset, or False", remedy="Change it."
            )
        count = round(validation * len(dataset))
        return dataset.split(len(dataset) - count, count) if count else (dataset, None)
    if len(validation) == 0:
        raise DataError(
            given="an empty validation dataset", needed="at least one sample", remedy="Pass validation=False for none."
        )
    return dataset, validation


def _readable(dataset):
    size = sum(a.dtype.itemsize * int(np.prod(a.shape)) for group in (dataset.fields, dataset.inputs) for a in group.values())
    return dataset.in_memory() if size <= IN_MEMORY_BYTES else dataset


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


class _Interrupt:
    """Turns the first Ctrl-C or SIGTERM into a request, honoured after the current step; a second one acts at once."""

    def __init__(self):
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number, frame):
        self.requested = True
        self._restore()

    def _restore(self):
        while self._previous:
            signal.signal(*self._previous.popitem())

    def __exit__(self, *_):
        self._restore()


class _Bar:
    """Progress with loss and time left; reads the loss back from the device twice a second at most."""

    INTERVAL = 0.5

    def __init__(self, loop: _Loop):
        self.loop, self.saw_not_finite = loop, False
        self._next, self._validation = 0.0, ""
        self._bar = self._row = None

    def __enter__(self):
        if self.loop.show:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(
                *columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False)
            )
            self._bar.start()
            total = (self.loop.options.epochs or 1) * self.loop.batches.steps
            self._row = self._bar.add_task(type(self.loop.operator).__name__, total=total, note="")
        return self

    def tick(self) -> None:
        """After each step."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + self.INTERVAL
        loop = self.loop
        loss = float(loop.sums.get("loss", 0.0)) / max(loop.step, 1)
        self.saw_not_finite = not np.isfinite(loss)
        if self._bar is not None and self._row is not None:
            note = f"epoch {loop.epoch + 1}/{loop.options.epochs}  loss {loss:.4g}{self._validation}"
            self._bar.update(self._row, completed=loop.epoch * loop.batches.steps + loop.step, note=note)

    def epoch(self, row: dict[str, Any]) -> None:
        """After each epoch."""
        self._validation = f"  validation {row['validation']:.4g}" if "validation" in row else ""
        self._next = 0.0

    def __exit__(self, *_):
        if self._bar is not None and self._row is not None:
            if self.loop.stopped in ("", "done"):
                self._bar.update(self._row, completed=(self.loop.options.epochs or 1) * self.loop.batches.steps)
            self._bar.stop()
