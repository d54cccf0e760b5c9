"""The public battery that every operator passes, also a stranger's: `check_operator(make)`.

Each check is a promise of the contract in `sciml.operator`. A failure is an AssertionError that says which promise broke.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sciml.fitting import fit
from sciml.metrics import measure
from sciml.operator import Operator, as_operator, config_of, load, operator_names, stored_name
from solvers.errors import UserError
from solvers.grid import Grid

SEED = 2718


def smooth_data(n: int = 8, size: int = 17, *, dimension: int = 2, kind: str = "periodic", seed: int = SEED):
    """A small steady dataset with a known smoothing map a -> u: sums of three sine modes, each damped by its wavenumber."""
    from pdes.dataset import Dataset

    grid = Grid.box(kind, size, dimension=dimension, boundary="periodic" if kind == "periodic" else "dirichlet")
    rng = np.random.default_rng(seed)
    a, u = np.zeros((n, *grid.shape)), np.zeros((n, *grid.shape))
    for wave in (2, 4, 6):
        mode = np.prod(np.meshgrid(*[np.sin(np.pi * wave * x) for x in grid.coordinates()], indexing="ij"), axis=0)
        weight = rng.standard_normal((n, *(1,) * dimension))
        a += weight * mode
        u += weight * mode / wave**2
    return Dataset(fields={"u": 0.3 * u}, inputs={"a": 1.0 + a}, grid=grid, provenance={"family": "smooth"})


def moving_data(n: int = 8, size: int = 32, *, seed: int = SEED):
    """A small time-dependent dataset: two Fourier modes that decay at a rate that differs between samples, six frames."""
    from pdes.dataset import Dataset

    grid = Grid.box("periodic", size, dimension=1)
    x, times = grid.coordinates()[0], np.linspace(0, 0.5, 6)
    rng = np.random.default_rng(seed)
    weights, nu = rng.standard_normal((n, 2, 1, 1)), rng.uniform(0.01, 0.03, n)
    modes = [np.exp(-nu[:, None, None] * (2 * np.pi * k) ** 2 * times[:, None]) * np.sin(2 * np.pi * k * x) for k in (1, 2)]
    fields = {"u": weights[:, 0] * modes[0] + weights[:, 1] * modes[1]}
    return Dataset(fields=fields, grid=grid, times=times, parameters={"nu": nu}, provenance={"family": "moving"})


def signal_data(n: int = 8, samples: int = 64, *, extent: float = 6.0, lag: float = 0.5, seed: int = SEED):
    """A small dataset of signals with the exact answer of a lag at rest, lag y' + y = u, y(0) = 0: sums of three sines each."""
    from pdes.dataset import Dataset

    rng, t = np.random.default_rng(seed), np.linspace(0, extent, samples)
    weight, phase = rng.standard_normal((2, n, 3, 1))
    frequency = 2 * np.pi * np.array([0.3, 0.7, 1.1])[:, None] / 2
    turning = weight * np.exp(1j * (frequency * t + phase))
    settled = turning / (1 + 1j * frequency * lag)
    u, y = turning.imag.sum(1), (settled - settled[..., :1] * np.exp(-t / lag)).imag.sum(1)
    return Dataset(fields={"y": y}, inputs={"u": u}, grid=Grid(()), times=t, provenance={"family": "signals"})


def labelled_data(n: int = 8, features: int = 16, *, seed: int = SEED):
    """A small dataset to classify: noisy copies of three patterns."""
    from pdes.dataset import Dataset

    rng = np.random.default_rng(seed)
    patterns, label = rng.standard_normal((3, features)), np.arange(n) % 3
    x = patterns[label] + 0.3 * rng.standard_normal((n, features))
    provenance = {"family": "labelled", "classes": ["a", "b", "c"]}
    return Dataset(
        fields={"x": x},
        grid=Grid(()),
        times=np.arange(float(features)),
        parameters={"label": label * 1.0},
        provenance=provenance,
    )


def check_data(name: str | None):
    """The dataset that a check names: "smooth" (default), "moving", "signals", "labelled", or a problem of `pdes` (eight small
    samples)."""
    made = {None: smooth_data, "smooth": smooth_data, "moving": moving_data, "signals": signal_data, "labelled": labelled_data}
    if name in made:
        return made[name]()
    from pdes import generate

    return generate(name, n=8, resolution=16, seed=SEED, progress=False)


def check_operator(
    make: Callable[[], Any],
    dataset=None,
    *,
    overfit: float = 0.2,
    epochs: int = 60,
    other_size: int | None = 24,
    fresh_process: bool = True,
    task: str | None = None,
) -> Operator:
    """Check the promises of the operator contract; returns the trained operator.

    Parameters
    ----------
    make : builds a new, unbound operator, the same one each time; called several times.
    dataset : a small training set, or the name of one (`check_data`); default `smooth_data()`, a linear smoothing map on a
        17 x 17 periodic grid.
    overfit : bound on the task's criterion (relative L2, for fields) on the eight training samples after `epochs`.
    other_size : points per axis of a second resolution: either it is answered, or refused with a clear error. None skips.
    fresh_process : also load the saved file in a new interpreter (only for operators of this package).
    """
    data = check_data(dataset) if dataset is None or isinstance(dataset, str) else dataset
    from sciml.tasks import as_task

    batch = as_task(task, data).all()
    options: dict[str, Any] = {"validation": False, "progress": False, "task": task, "batch_size": 4, "seed": SEED}

    operator = as_operator(make())
    _raises_clearly(lambda: operator.predict(batch.inputs), "predict before bind")
    _raises_clearly(lambda: as_operator(make()).save(Path(tempfile.gettempdir()) / "unbound.safetensors"), "save before bind")
    _refuses_not_finite(make, data, options)

    before, spoken = _global_random_state(), batch.inputs.copy()
    result = fit(operator, data, epochs=epochs, **options)
    assert _same(before, _global_random_state()), "training changed a global random state"
    prediction = operator.predict(batch.inputs)
    assert np.array_equal(spoken, batch.inputs), "predict changed its inputs"
    assert isinstance(prediction, np.ndarray), f"predict returned {type(prediction)} for NumPy inputs"
    assert prediction.shape == batch.targets.shape, f"predicted {prediction.shape}, the targets are {batch.targets.shape}"
    chosen = as_task(task, data)
    if chosen.criterion == "relative_l2":
        error = float(np.linalg.norm(prediction - batch.targets) / np.linalg.norm(batch.targets))
    else:
        error = float(
            measure(prediction, batch.targets, chosen.signature.output_grid, (chosen.criterion,))[chosen.criterion].mean()
        )
    assert error < overfit, (
        f"{chosen.criterion} {error:.3g} on eight training samples after {len(result.history)} epochs, bound {overfit}"
    )

    one = np.concatenate([operator.predict(batch.inputs[i : i + 1]) for i in range(3)])
    scale = np.abs(prediction).max()
    assert np.abs(one - prediction[:3]).max() < 1e-4 * scale, "the prediction of a sample depends on its batch"
    _raises_clearly(lambda: operator.predict(np.concatenate([batch.inputs] * 2, axis=1)), "predict with twice the channels")

    with tempfile.TemporaryDirectory() as folder:
        _check_files(make, operator, batch, prediction, Path(folder), fresh_process)
        _check_resume(make, data, options, Path(folder), epochs=3)
    if other_size is not None and dataset is None:
        other = as_task(task, smooth_data(2, other_size)).all()
        try:
            elsewhere = operator.predict(other.inputs)
        except UserError:
            pass
        else:
            assert elsewhere.shape == other.targets.shape, f"at {other_size} points it answered {elsewhere.shape}"
            assert np.isfinite(elsewhere).all(), "not finite at another resolution"
    return operator


def _check_files(make, operator: Operator, batch, prediction, folder: Path, fresh_process: bool) -> None:
    path = operator.save(folder / "operator.safetensors")
    config = config_of(operator)
    assert json.loads(json.dumps(config)) == json.loads(json.dumps(operator.header()["config"])), "configuration is not JSON"
    module = None if isinstance(made := make(), (Operator, str)) else made
    again = load(path, module=module)
    assert np.array_equal(again.predict(batch.inputs), prediction), "the loaded operator predicts other numbers"
    assert b"cpickle" not in path.read_bytes().lower()[:4096], "a pickle was written"
    if fresh_process and stored_name(type(operator)) in operator_names():
        np.save(folder / "inputs.npy", batch.inputs)
        np.save(folder / "outputs.npy", prediction)
        code = (
            "import sys, numpy as np, sciml\n"
            "operator = sciml.load(sys.argv[1] + '/operator.safetensors')\n"
            "here = operator.predict(np.load(sys.argv[1] + '/inputs.npy'))\n"
            "sys.exit(not np.array_equal(here, np.load(sys.argv[1] + '/outputs.npy')))\n"
        )
        ran = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
        assert ran.returncode == 0, f"other numbers in a fresh process: {ran.stderr[-500:]}"


def _check_resume(make, data, options, folder: Path, epochs: int) -> None:
    whole = fit(make(), data, epochs=epochs, **options)
    stop = lambda state: state.epoch == 0  # noqa: E731
    # A run that stops after its first epoch as if killed: its commit is the one written every 0 seconds, not a final one.
    broken = fit(
        make(), data, epochs=epochs, checkpoint=folder / "run", checkpoint_seconds=0.0, callbacks=[_killer(stop)], **options
    )
    assert broken.stopped in ("interrupted", "done"), broken.stopped
    resumed = fit(make(), data, epochs=epochs, checkpoint=folder / "run", resume=True, **options)
    for name, array in whole.operator.state().items():
        assert np.array_equal(array, resumed.operator.state()[name]), f"{name} differs between a resumed and a whole training"


def _killer(when):
    import signal

    def callback(state):
        if when(state):
            signal.raise_signal(signal.SIGINT)
        return False

    return callback


def _refuses_not_finite(make, data, options) -> None:
    spoilt = {name: np.array(array[...]) for name, array in data.fields.items()}
    next(iter(spoilt.values()))[1] = np.nan
    _raises_clearly(lambda: fit(make(), data.replace(fields=spoilt), epochs=1, **options), "training on NaN")


def _raises_clearly(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except UserError:
        return
    raise AssertionError(f"{what} raised no clear error")


def _global_random_state() -> list[Any]:
    state: list[Any] = [random.getstate(), np.random.get_state(legacy=False)["state"]]  # noqa: NPY002 - to see it untouched
    if "torch" in sys.modules:
        state.append(sys.modules["torch"].get_rng_state().numpy().tobytes())
    return state


def _same(left: Any, right: Any) -> bool:
    return repr(left) == repr(right)
