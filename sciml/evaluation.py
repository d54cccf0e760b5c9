"""How good is it, next to what? Errors per sample, roll-outs and speed of one or several operators on the same data.

A contestant is any operator: a trained network, a linear map, persistence, or a classical solver on a coarse grid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sciml.metrics import measure
from sciml.operator import Operator, as_operator
from sciml.randomness import Purpose, generator
from sciml.report import Report, Score
from sciml.tasks import Autoregressive, Batch, Task, as_task, task_of
from sciml.timing import median_seconds
from solvers.errors import DataError, SettingError
from solvers.grid import Grid

PREVIEW = 4  # samples whose fields are kept for pictures


def evaluate(
    operators: Operator | Mapping[str, Any] | Any,
    dataset,
    *,
    task: Task | str | None = None,
    metrics: Sequence[str] | None = None,
    timing: bool = True,
    batch_size: int = 32,
    training_seconds: Mapping[str, float] | None = None,
) -> Report:
    """Score operators on a dataset.

    Parameters
    ----------
    operators : one trained operator, or a mapping from names to operators.
    dataset : test data; may have another resolution than the training data where the operators allow it.
    task : by default the one that the (first bound) operator was trained for.
    metrics : names in `sciml.metrics.METRICS`; by default those of the task.
    timing : also measure seconds per sample for one sample and for batches of `batch_size`, transfers included.
    training_seconds : wall time of each operator's training by name, for the table.

    Returns
    -------
    Report with a `Score` per operator: per-sample errors, parameters, times, and for autoregressive tasks the error of a
    roll-out from the first frame at every time.

    Raises
    ------
    DataError : an unbound operator, or data that it was not trained for.

    Examples
    --------
    >>> import pdes, sciml
    >>> data = pdes.generate("poisson_dirichlet", n=12, resolution=16, seed=7, progress=False)
    >>> train, test = data.split(10, 2)
    >>> result = sciml.fit("linear", train, progress=False)
    >>> sciml.evaluate(result.operator, test, timing=False).scores[0].errors["relative_l2"].shape
    (2,)
    """
    named = dict(operators) if isinstance(operators, Mapping) else {_label(operators): operators}
    if not named or len(dataset) == 0:
        raise DataError(
            given="nothing to evaluate", needed="at least one operator and one sample", remedy="Check the arguments."
        )
    named = {name: as_operator(operator) for name, operator in named.items()}
    signature = next((o.signature for o in named.values() if o.signature is not None), None)
    chosen = as_task(task, dataset) if task is not None or signature is None else task_of(signature, dataset)
    batch = chosen.all()
    scores = []
    for name, operator in named.items():
        if operator.signature is None:
            operator.bound_signature  # noqa: B018 - raises the clear error
        prediction = np.asarray(operator.predict(batch.inputs, **chosen.elsewhere(operator)))
        score = Score(
            name=name,
            errors=measure(prediction, batch.targets, chosen.signature.output_grid, tuple(metrics or chosen.metrics)),
            parameters=operator.parameter_count,
            training_seconds=(training_seconds or {}).get(name),
            seconds_single=_per_sample(operator, batch.inputs[:1]) if timing else None,
            seconds_batch=_per_sample(operator, batch.inputs[:batch_size]) if timing else None,
            preview=prediction[:PREVIEW],
        )
        if isinstance(chosen, Autoregressive):
            score = score.with_rollout(*_rollout_errors(operator, chosen))
        elif chosen.kind == "forecast":
            score = score.with_rollout(*_forecast_errors(operator, batch, chosen))
        scores.append(score)
    floor = dataset.quality.get("label_error") if hasattr(dataset.quality, "get") else None
    return Report(
        scores=scores,
        signature=chosen.signature,
        provenance=dict(dataset.provenance),
        samples=len(dataset),
        label_error=_known_mean(floor),
        preview=(batch.inputs[:PREVIEW], batch.targets[:PREVIEW]),
    )


def rollout(operator: Operator, initial: np.ndarray, steps: int) -> np.ndarray:
    """Let an operator go on from its own answers.

    Parameters
    ----------
    operator : bound to the task "autoregressive" or "forecast".
    initial : inputs of the first step. Autoregressive, (item, channel, *space): past frames oldest first, then constant
        channels. Forecast, (item, channel, time, *space): all frames known so far, with their constant channels.
    steps : number of steps.

    Returns
    -------
    (item, step, field channel, *space), the initial frames not included. Not-finite values are kept, not hidden.
    """
    signature = operator.bound_signature
    if signature.kind == "forecast":
        return operator.continued(initial, steps)
    if signature.kind != "autoregressive":
        raise SettingError(
            given=f"an operator trained for {signature.kind!r}",
            needed="one trained with task='autoregressive' or 'forecast'",
            remedy="Train it so.",
        )
    return operator.rolled_out(initial, steps)


def bootstrap_interval(values: np.ndarray, *, level: float = 0.95, draws: int = 2000, seed: int = 90210) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean over samples."""
    rng = generator(seed, Purpose.BOOTSTRAP)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _rollout_errors(operator: Operator, task: Autoregressive) -> tuple[np.ndarray, np.ndarray]:
    """(times,), and relative L2 of the roll-out, (sample, step)."""
    signature = task.signature
    first = np.flatnonzero(np.diff(np.append(-1, task.sample_of(np.arange(len(task))))))
    starts = len(task) // len(task.dataset)
    steps = (starts - 1) // signature.stride + 1
    initial = task.batch(first).inputs
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = rollout(operator, initial, steps)
        errors = []
        for i in range(steps):
            truth = task.batch(first + i * signature.stride).targets
            errors.append(measure(predicted[:, i], truth, signature.grid, ("relative_l2",))["relative_l2"])
    times = np.asarray(signature.times)[signature.history * signature.stride :: signature.stride][:steps]
    return times, np.stack(errors, axis=1)


def _forecast_errors(operator: Operator, batch: Batch, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """(times,), and relative L2 of what follows from the first frame alone, (sample, step)."""
    steps = batch.targets.shape[2]
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = operator.continued(batch.inputs[:, :, :1], steps, **task.elsewhere(operator))
        errors = [
            measure(predicted[:, i], batch.targets[:, :, i], Grid(task.signature.grid.axes[1:]), ("relative_l2",))[
                "relative_l2"
            ]
            for i in range(steps)
        ]
    return np.asarray(task.signature.times)[1:], np.stack(errors, axis=1)


def _per_sample(operator: Operator, inputs: np.ndarray) -> float:
    return median_seconds(lambda: operator.predict(inputs), budget=3.0) / len(inputs)


def _known_mean(values) -> float | None:
    if values is None:
        return None
    known = np.asarray(values[:], np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else None


def _label(operator: Any) -> str:
    return operator if isinstance(operator, str) else type(operator).__name__
