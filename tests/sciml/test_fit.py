"""Training: kill and resume, Ctrl-C, early stop, refusals, several processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import sciml
from pdes.dataset import Dataset
from sciml.checkpoint import Checkpoints
from sciml.checks import smooth_data
from solvers.errors import CheckpointError, DataError, SettingError, UnknownName

ROOT = Path(__file__).parents[2]

SCRIPT = """
    import sys, pathlib, time
    sys.path.insert(0, {root!r}); sys.path.insert(0, {root!r} + "/tests/sciml")
    import torch; torch.set_num_threads(1)
    import sciml
    from conftest import TinyConvolution
    from sciml.checks import smooth_data
    folder = pathlib.Path(sys.argv[1])
    def slow(batch, rng):
        time.sleep(0.004)
        noise = rng.standard_normal(batch.inputs.shape).astype("float32")
        from dataclasses import replace
        return replace(batch, inputs=batch.inputs + 0.01 * noise)
    result = sciml.fit(
        TinyConvolution(dropout=0.1), smooth_data(20), epochs=12, batch_size=4, seed=5, progress=False, augment=slow,
        checkpoint=folder / "run" if sys.argv[2] == "keep" else None, checkpoint_seconds=0.01, resume=True, device="cpu",
    )
    result.operator.save(folder / (sys.argv[2] + ".safetensors"))
    print(result.stopped, len(result.history), *result.history["validation"])
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(SCRIPT.format(root=str(ROOT))))
    return path


def run(script, *arguments, **kwargs):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(script), *map(str, arguments)], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=environment, **kwargs)  # fmt: skip


def test_killed_at_any_point_and_resumed_gives_the_same_bits(script, tmp_path):
    whole = run(script, tmp_path, "whole")
    reference = whole.communicate(timeout=120)[0]
    kills = 0
    for wait in (0.05, 0.17):
        process = run(script, tmp_path, "keep")
        deadline = time.monotonic() + 60
        before = set(Checkpoints(tmp_path / "run").commits())
        while set(Checkpoints(tmp_path / "run").commits()) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(wait)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills, "the training ended before it could be killed"
    output, errors = run(script, tmp_path, "keep").communicate(timeout=120)
    assert output == reference, errors
    assert (tmp_path / "keep.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_ctrl_c_returns_what_was_trained(make_tiny, data, tmp_path):
    # A shell's background job ignores SIGINT, so what stood before is not always Python's own handler.
    before = signal.getsignal(signal.SIGINT)

    def interrupt(state):
        if state.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    result = sciml.fit(make_tiny(), data, epochs=50, checkpoint=tmp_path, callbacks=[interrupt], progress=False)
    assert result.stopped == "interrupted"
    assert 2 <= len(result.history) <= 3
    assert np.isfinite(result.operator.predict(data.inputs["a"][:2][:, None])).all()
    resumed = sciml.fit(make_tiny(), data, epochs=50, checkpoint=tmp_path, resume=True, progress=False)
    assert len(resumed.history) == 50
    assert signal.getsignal(signal.SIGINT) is before


def test_best_weights_are_kept_and_patience_stops(make_tiny, data):
    result = sciml.fit(
        make_tiny(), data, epochs=200, lr=0.5, patience=3, progress=False, training=sciml.Training(schedule="constant")
    )
    assert result.stopped == "early"
    curve = result.history["validation"]
    assert result.best == curve.min() == curve[result.best_epoch]
    assert len(curve) == result.best_epoch + 4
    from sciml.fitting import judged
    from sciml.tasks import as_task

    assert judged(result.operator, as_task(None, data.split(11, 1)[1])) == pytest.approx(result.best, rel=1e-6)


def test_a_callback_can_stop(make_tiny, data):
    result = sciml.fit(make_tiny(), data, epochs=50, callbacks=[lambda state: state.epoch == 2], progress=False)
    assert (result.stopped, len(result.history)) == ("callback", 3)


def test_not_finite_stops_and_keeps_the_last_good_weights(make_tiny, data):
    with pytest.warns(RuntimeWarning, match="NaN or infinite in epoch"):
        result = sciml.fit(make_tiny(), data, epochs=9, batch_size=4, loss=_failing_after(7), progress=False)
    assert result.stopped == "not-finite"
    assert np.isfinite(result.operator.predict(data.inputs["a"][:1][:, None])).all()


def _failing_after(steps):
    calls = iter(range(10**6))

    def loss(prediction, target, grid):
        each = ((prediction - target) ** 2).reshape(len(target), -1).mean(-1)
        return each * float("nan") if next(calls) >= steps else each

    return loss


def test_seeds_reproduce_and_differ(make_tiny, data):
    weights = [sciml.fit(make_tiny(), data, epochs=2, seed=s, progress=False).operator.state() for s in (3, 3, 4)]
    same = [all(np.array_equal(weights[0][k], w[k]) for k in w) for w in weights[1:]]
    assert same == [True, False]


def test_steps_queue_nothing_for_a_gpu_that_is_not_there(make_tiny, data):
    """`torch.manual_seed` keeps a stack trace of every call on machines without a GPU."""
    import torch

    before = len(torch.cuda._queued_calls)
    sciml.fit(make_tiny(dropout=0.1), data, epochs=2, progress=False)
    assert len(torch.cuda._queued_calls) == before


def test_occupied_folder_is_not_overwritten(make_tiny, data, tmp_path):
    sciml.fit(make_tiny(), data, epochs=1, checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=r"already holds a training.*resume=True"):
        sciml.fit(make_tiny(), data, epochs=1, checkpoint=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"epochs": 3}, "option epochs: 2 there, 3 here"), ({"seed": 6}, "option seed"), ({"batch_size": 3}, "batch_size")],
)
def test_resume_refuses_another_training(make_tiny, data, tmp_path, change, named):
    sciml.fit(make_tiny(), data, epochs=2, checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=named):
        sciml.fit(make_tiny(), data, checkpoint=tmp_path, resume=True, progress=False, **{"epochs": 2, **change})


def test_resume_refuses_other_data_and_other_operators(make_tiny, data, tmp_path):
    sciml.fit(make_tiny(), data, epochs=1, checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="training data"):
        sciml.fit(make_tiny(), smooth_data(12, seed=4), epochs=1, checkpoint=tmp_path, resume=True, progress=False)
    with pytest.raises(CheckpointError, match="configuration"):
        sciml.fit(make_tiny(width=4), data, epochs=1, checkpoint=tmp_path, resume=True, progress=False)


def test_a_damaged_newest_commit_falls_back_to_the_one_before(make_tiny, data, tmp_path):
    sciml.fit(make_tiny(), data, epochs=4, checkpoint=tmp_path, checkpoint_seconds=0.0, progress=False)
    newest = Checkpoints(tmp_path).commits()[-1] / "learner.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="Damaged checkpoint left aside"):
        result = sciml.fit(make_tiny(), data, epochs=4, checkpoint=tmp_path, resume=True, progress=False)
    whole = sciml.fit(make_tiny(), data, epochs=4, progress=False)
    assert all(np.array_equal(a, result.operator.state()[k]) for k, a in whole.operator.state().items())


def test_two_processes_give_the_result_of_one_with_the_doubled_batch(tmp_path):
    code = """
        import sys; sys.path.insert(0, {root!r}); sys.path.insert(0, {root!r} + "/tests/sciml")
        import torch; torch.set_num_threads(1)
        import sciml
        from conftest import TinyConvolution
        from sciml.checks import smooth_data
        from sciml import distributed
        size = distributed.world().size
        result = sciml.fit(TinyConvolution(), smooth_data(26), validation=False, epochs=3, batch_size=8 // size, seed=7,
                           progress=False, precision="float64", checkpoint=sys.argv[1] + "/run" + str(size), device="cpu")
        if distributed.world().is_first:
            result.operator.save(sys.argv[1] + "/" + str(size) + ".safetensors")
        if size > 1:
            torch.distributed.destroy_process_group()
    """
    path = tmp_path / "parallel.py"
    path.write_text(textwrap.dedent(code.format(root=str(ROOT))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    one = [sys.executable, str(path), str(tmp_path)]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(path), str(tmp_path)]
    for command in (one, two):
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, ran.stderr[-2000:]
    from sciml.storage import read_arrays

    alone, parallel = (read_arrays(tmp_path / f"{size}.safetensors")[0] for size in (1, 2))
    for name, array in alone.items():
        np.testing.assert_allclose(parallel[name], array, rtol=1e-10, atol=1e-12)


def test_training_reads_larger_data_batch_by_batch(make_tiny, data, tmp_path, monkeypatch):
    from sciml import fitting

    loaded = sciml.fit(make_tiny(), data, epochs=2, progress=False)
    monkeypatch.setattr(fitting, "IN_MEMORY_BYTES", 0)
    stored = data.save(tmp_path / "data.h5")
    read = sciml.fit(make_tiny(), stored, epochs=2, progress=False)
    np.testing.assert_array_equal(loaded.history["validation"], read.history["validation"])


def test_bad_arguments_say_what_to_do(make_tiny, data):
    for kwargs, kind, message in [
        ({"epochs": 0}, SettingError, "epochs >= 1"),
        ({"lr": -1.0}, SettingError, "lr > 0"),
        ({"precision": "int8"}, SettingError, "'float32', 'float64' or 'bf16'"),
        ({"loss": "relativ_l2"}, UnknownName, "Did you mean 'relative_l2'"),
        ({"task": "steedy"}, UnknownName, "Did you mean 'steady'"),
        ({"task": "final"}, SettingError, "at least two stored frames"),
        ({"device": "cuda"}, SettingError, "torch sees no GPU"),
        ({"validation": 1.5}, SettingError, r"a share in \[0, 1\)"),
        ({"validation": data[:0]}, DataError, "empty validation"),
    ]:
        with pytest.raises(kind, match=message):
            sciml.fit(make_tiny(), data, progress=False, **kwargs)
    with pytest.raises(UnknownName, match="Did you mean 'mgno'"):
        sciml.fit("mgn", data, progress=False)
    with pytest.raises(DataError, match="empty dataset"):
        sciml.fit(make_tiny(), data[:0], progress=False)


def test_data_with_other_channels_than_the_operator_knows(make_tiny, data):
    operator = sciml.fit(make_tiny(), data, epochs=1, progress=False).operator
    a, u = data.inputs["a"][...], data.fields["u"][...]
    other = Dataset(inputs={"a": a, "f": a}, fields={"u": u}, grid=data.grid)
    with pytest.raises(DataError, match=r"already bound"):
        sciml.fit(operator, other, epochs=1, progress=False)
    with pytest.raises(DataError, match=r"1 channel.*being a.*a\[:, None\]"):
        operator.predict(np.zeros((3, 17, 17), np.float32))


def test_training_goes_on_from_the_weights_of_a_bound_operator(make_tiny, data):
    first = sciml.fit(make_tiny(), data, epochs=30, progress=False)
    again = sciml.fit(first.operator, data, epochs=1, lr=1e-6, progress=False)
    assert again.history["validation"][0] == pytest.approx(first.best, rel=0.05)


def test_float64_and_bf16_train(make_tiny, data):
    for precision, bound in (("float64", 1e-12), ("bf16", 2e-2)):
        result = sciml.fit(make_tiny(), data, epochs=3, precision=precision, progress=False)
        inputs = data.inputs["a"][:][:, None]
        assert np.isfinite(result.history["loss"]).all()
        if precision == "float64":
            assert result.operator.predict(inputs).dtype == np.float64
        assert np.abs(result.operator.predict(inputs[:1]) - result.operator.predict(inputs)[:1]).max() < bound


def test_history_is_a_table_and_plots(make_tiny, data, tmp_path):
    result = sciml.fit(make_tiny(), data, epochs=3, progress=False)
    assert result.history.names[:2] == ["epoch", "seconds"]
    result.history.to_csv(tmp_path / "history.csv")
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 4
    result.plot().savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    with pytest.raises(UnknownName, match="validation"):
        result.history["validatoin"]


def test_a_time_budget_becomes_a_number_of_epochs_that_resuming_keeps(make_tiny, data, tmp_path):
    first = sciml.fit(make_tiny(), data, seconds=0.3, checkpoint=tmp_path, progress=False)
    assert 0.02 < first.seconds < 6
    again = sciml.fit(make_tiny(), data, seconds=0.01, checkpoint=tmp_path, resume=True, progress=False)
    assert len(again.history) == first.training.epochs == again.training.epochs
    unbudgeted = sciml.fit(make_tiny(), data, epochs=first.training.epochs, progress=False)
    assert all(np.array_equal(a, first.operator.state()[k]) for k, a in unbudgeted.operator.state().items())
    with pytest.raises(SettingError, match="one of the two"):
        sciml.fit(make_tiny(), data, seconds=1.0, epochs=3, progress=False)
