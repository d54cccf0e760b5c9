"""Generation: the same bits whatever happens on the way, and nothing lost on a kill, a full disk or a Ctrl-C."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pdes
from pdes import Box, Dataset, Problem, grf
from pdes.job import Job
from pdes.problem import Solution
from solvers.errors import DataError, SettingError, SolverError, UnknownName
from solvers.files import DiskFull
from solvers.result import Outcome


@dataclasses.dataclass(frozen=True)
class Scaled:
    """A solver quick enough for tests of everything around it: u = f / 3, failing where f is large at a corner."""

    fails_above: float = np.inf
    seconds: float = dataclasses.field(default=0.0, repr=False)  # no part of what the samples are

    def prepare(self, problem, grid, seed):
        return self

    def refined(self):
        return self

    def __call__(self, problem, grid, inputs, parameters, times):
        time.sleep(self.seconds)
        f = inputs["f"]
        failed = f[:, 0] > self.fails_above
        u = np.where(failed[:, None], np.nan, f / 3)
        return Solution({"u": u}, np.where(failed, Outcome.BLOW_UP, Outcome.SUCCESS), {"work": np.arange(len(f)) * 1.0})


def quick(**options):
    solver = Scaled(**{k: options.pop(k) for k in ("fails_above", "seconds") if k in options})
    problem = Problem(
        name="quick",
        equation="u_xx = f",
        domain=Box(x=(0, 1), kind="cell"),
        inputs={"f": grf(tau=3, alpha=2, modes=20)},
        solver=solver,
        chunk=4,
        measure_every=4,
    )
    return problem.replace(**options)


def arrays(data):
    return {
        f"{kind}/{n}": a[...]
        for kind in ("fields", "inputs", "latent", "quality", "index", "parameters")
        for n, a in getattr(data, kind).items()
        if n != "content_hash"
    }


def assert_same(a, b):
    a, b = arrays(a), arrays(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_prefix_is_the_same_for_any_n():
    long = pdes.generate(quick(), 25, 16, seed=7, progress=False)
    for n in (1, 4, 10):
        assert_same(pdes.generate(quick(), n, 16, seed=7, progress=False), long[:n])


def test_seeds_and_splits_differ():
    a, b = (pdes.generate(quick(), 4, 16, seed=seed, progress=False) for seed in (7, 8))
    c = pdes.generate(quick().held_out(), 4, 16, seed=7, progress=False)
    assert len({x.fingerprint() for x in (a, b, c)}) == 3
    assert not set(a.index["sample_id"]) & set(c.index["sample_id"])


def test_memory_and_file_are_equal_and_files_are_equal_bytes(tmp_path):
    memory = pdes.generate(quick(), 10, 16, seed=7, progress=False)
    file = pdes.generate(quick(), 10, 16, seed=7, path=tmp_path / "a.h5", progress=False)
    pdes.generate(quick(), 10, 16, seed=7, path=tmp_path / "b.h5", progress=False)
    assert_same(memory, file)
    assert memory.fingerprint() == file.fingerprint()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "a.h5.manifest.json", "b.h5", "b.h5.manifest.json"]


def test_what_the_file_says_of_itself(tmp_path):
    data = pdes.generate("darcy", 3, 16, seed=7, path=tmp_path / "d.h5", progress=False)
    origin = data.provenance
    assert (origin["family"], origin["seed"], origin["resolution"]) == ("darcy", 7, [16, 16])
    assert pdes.Equation(origin["equation"]) == pdes.get("darcy").equation
    assert "threshold(grf(tau=3" in origin["laws"]["inputs.a"]
    assert np.isfinite(data.quality["label_error"][0])
    assert np.isnan(data.quality["label_error"][1:]).all()
    assert set(np.unique(data.inputs["a"][...])) == {3.0, 12.0}
    manifest = json.loads((tmp_path / "d.h5.manifest.json").read_text())
    assert manifest["acceptance"] == 1.0
    assert manifest["rejected"] == []
    assert {"numpy", "scipy"} <= set(manifest["versions"])
    assert pdes.verify(tmp_path / "d.h5", k=0).n_samples == 3
    with open(tmp_path / "d.h5", "ab") as handle:
        handle.write(b"x")
    with pytest.raises(DataError, match="differs from its manifest"):
        pdes.verify(tmp_path / "d.h5")


def test_latents_rebuild_the_inputs_at_another_resolution():
    data = pdes.generate(quick(), 5, 16, seed=7, progress=False)
    fine = pdes.generate(quick(), 5, 48, seed=7, progress=False)
    law = quick().inputs["f"]
    rebuilt = law.evaluate(data.latent["inputs.f"][...], quick().stored_grid(48))
    np.testing.assert_allclose(rebuilt, fine.inputs["f"][...], rtol=1e-5, atol=1e-6)


def test_growing_keeps_what_is_there(tmp_path, monkeypatch):
    first = pdes.generate(quick(), 10, 16, seed=7, path=tmp_path / "a.h5", progress=False).in_memory()
    computed = []
    compute = Job.compute
    monkeypatch.setattr(Job, "compute", lambda self, chunk: (computed.append(chunk), compute(self, chunk))[1])
    grown = pdes.generate(quick(), 21, 16, seed=7, path=tmp_path / "a.h5", progress=False)
    assert computed == [2, 3, 4, 5]  # samples 0 to 7 were whole chunks
    assert_same(grown[:10], first)
    pdes.generate(quick(), 21, 16, seed=7, path=tmp_path / "b.h5", progress=False)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    computed.clear()
    assert len(pdes.generate(quick(), 6, 16, seed=7, path=tmp_path / "a.h5", progress=False)) == 6
    assert computed == []


def test_two_workers_give_the_same_bytes(tmp_path):
    for workers in (1, 2):
        pdes.generate("darcy_lognormal", 40, 12, seed=7, path=tmp_path / f"{workers}.h5", workers=workers, progress=False)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


CODE = """
import sys; sys.path[:0] = [{tests!r}, {root!r}]
import pdes
from test_generation import quick
if __name__ == "__main__":
    pdes.generate(quick(seconds=0.15), 40, 16, seed=7, path={path!r}, workers={workers}, progress=False)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_is_uninterrupted(tmp_path, workers):
    whole = tmp_path / "whole.h5"
    pdes.generate(quick(), 40, 16, seed=7, path=whole, progress=False)
    path, script = tmp_path / "killed.h5", tmp_path / "run.py"
    script.write_text(
        CODE.format(tests=str(Path(__file__).parent), root=str(Path(pdes.__file__).parents[1]), path=str(path), workers=workers)
    )
    process = subprocess.Popen([sys.executable, script])  # fresh: shares nothing with this process
    partial = tmp_path / "killed.h5.partial"
    deadline = time.time() + 60
    while len(list(partial.glob("chunk-*.npz"))) < 3 and time.time() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in partial.glob("chunk-*.npz")}
    assert 3 <= len(kept) < 10
    assert not path.exists()
    pdes.generate(quick(seconds=0.15), 40, 16, seed=7, path=path, progress=False)
    assert path.read_bytes() == whole.read_bytes()
    assert not partial.exists()


@pytest.mark.parametrize("moment", ["file", "manifest", "parts"])
def test_killed_between_the_last_writes(tmp_path, monkeypatch, moment):
    path = tmp_path / "u.h5"
    target = {
        "file": "pdes.dataset.Dataset.save",
        "manifest": "pdes.generation._write_manifest",
        "parts": "pdes.parts.FolderParts.remove",
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pdes.generate(quick(), 10, 16, seed=7, path=path, progress=False)
    again = pdes.generate(quick(), 10, 16, seed=7, path=path, progress=False)
    assert_same(again, pdes.generate(quick(), 10, 16, seed=7, progress=False))
    assert sorted(os.listdir(tmp_path)) == ["u.h5", "u.h5.manifest.json"]
    assert pdes.verify(path, problem=quick()).rule == "equal"


def test_ctrl_c_keeps_finished_parts(tmp_path, monkeypatch):
    compute = Job.compute

    def interrupted(self, chunk):
        if chunk == 2:
            raise KeyboardInterrupt
        return compute(self, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "compute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pdes.generate(quick(), 16, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    assert sorted(p.name for p in (tmp_path / "u.h5.partial").glob("*.npz")) == ["chunk-000000.npz", "chunk-000001.npz"]
    computed = []
    monkeypatch.setattr(Job, "compute", lambda self, chunk: (computed.append(chunk), compute(self, chunk))[1])
    pdes.generate(quick(), 16, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    assert computed == [2, 3]


def test_damaged_and_half_written_parts_are_made_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "save", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pdes.generate(quick(), 10, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    part = tmp_path / "u.h5.partial" / "chunk-000001.npz"
    part.write_bytes(part.read_bytes()[:200])
    (tmp_path / "u.h5.partial" / ".chunk-000002.npz.1-ab.tmp").write_bytes(b"half")
    data = pdes.generate(quick(), 10, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    assert_same(data, pdes.generate(quick(), 10, 16, seed=7, progress=False))


def test_other_work_at_the_path_is_refused(tmp_path, monkeypatch):
    pdes.generate(quick(), 4, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    for problem, resolution, seed in ((quick(), 16, 8), (quick(), 24, 7), (quick(refine=2), 16, 7)):
        with pytest.raises(SettingError, match=r"u\.h5.*which holds 'quick' \(seed 7.*resume=False"):
            pdes.generate(problem, 4, resolution, seed=seed, path=tmp_path / "u.h5", progress=False)
    replaced = pdes.generate(quick(), 4, 16, seed=8, path=tmp_path / "u.h5", resume=False, progress=False)
    assert replaced.provenance["seed"] == 8
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "save", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pdes.generate(quick(), 4, 16, seed=7, path=tmp_path / "v.h5", progress=False)
    with pytest.raises(SettingError, match=r"unfinished work in .*v\.h5\.partial.*of another problem"):
        pdes.generate(quick(), 4, 16, seed=9, path=tmp_path / "v.h5", progress=False)


def test_failed_solves_are_redrawn_and_recorded(tmp_path):
    problem = quick(fails_above=0.02)
    data = pdes.generate(problem, 12, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    attempts = data.quality["attempt"]
    assert 0 < (attempts > 0).sum() < 12
    data.check_finite()
    plain = pdes.generate(quick(), 12, 16, seed=7, progress=False)
    same = attempts == 0
    np.testing.assert_array_equal(data.fields["u"][same], plain.fields["u"][same])
    manifest = json.loads((tmp_path / "u.h5.manifest.json").read_text())
    assert manifest["acceptance"] == pytest.approx(12 / (12 + attempts.sum()))
    assert [r["sample"] for r in manifest["rejected"]] == np.flatnonzero(attempts).tolist()
    assert {r["cause"] for r in manifest["rejected"]} == {"BLOW_UP"}
    for i in np.flatnonzero(attempts):
        _, latents = problem.draw(7, int(i), int(attempts[i]))
        np.testing.assert_array_equal(data.latent["inputs.f"][int(i)], latents["inputs.f"])


def test_hopeless_samples_are_an_error():
    with pytest.raises(SolverError, match=r"sample 0 of problem 'quick', failing for 8 draws in a row.*BLOW_UP"):
        pdes.generate(quick(fails_above=-np.inf), 4, 16, seed=7, progress=False)


def test_full_disk_keeps_finished_parts(tmp_path, monkeypatch):
    savez, count = np.savez, []

    def full(handle, **content):
        count.append(1)
        if len(count) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return savez(handle, **content)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(DiskFull, match=r"disk full while writing .*chunk-000002"):
            pdes.generate(quick(), 16, 16, seed=7, path=tmp_path / "u.h5", progress=False)
    assert len(list((tmp_path / "u.h5.partial").iterdir())) == 3  # two parts and the record of the job
    pdes.generate(quick(), 16, 16, seed=7, path=tmp_path / "u.h5", progress=False)


def test_a_worker_s_error_arrives_as_it_is():
    with pytest.raises(SolverError, match="failing for 8 draws"):
        pdes.generate(quick(fails_above=-np.inf), 8, 16, seed=7, workers=2, progress=False)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pdes.generate("darcie", 1, 8), UnknownName, "Did you mean 'darcy'"),
        (lambda: pdes.get("darcy", refin=2), UnknownName, "Did you mean 'refine'"),
        (lambda: pdes.generate("darcy", 0, 8), SettingError, "n >= 1"),
        (lambda: pdes.generate("darcy", 2, 8, seed=-1), SettingError, "seed >= 0"),
        (lambda: pdes.generate("darcy", 2, (8, 8, 8)), SettingError, r"one number or 2 of them \(x, y\)"),
        (lambda: pdes.generate(quick(), 2, 8, workers="two", progress=False), SettingError, "a count >= 1 or a dask"),
    ],
)
def test_bad_calls_are_refused_at_once(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_progress_goes_to_standard_error(capfd):
    pdes.generate(quick(), 8, 16, seed=7)
    out, err = capfd.readouterr()
    assert out == ""
    assert "quick: 8 samples" in err
    pdes.generate(quick(), 8, 16, seed=7, progress=False)
    assert capfd.readouterr() == ("", "")


def test_importing_is_light():
    code = "import sys, pdes; assert pdes.names; assert pdes.Problem and pdes.Dataset and pdes.generate and pdes.grf;"
    code += "assert not {'jax', 'torch', 'xarray', 'dask'} & set(sys.modules), set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(pdes.__all__) <= set(dir(pdes))
    assert callable(pdes.generate)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pdes.nothing


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_dask_client_gives_the_same_samples():
    distributed = pytest.importorskip("distributed")
    with distributed.Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        data = pdes.generate(quick(), 10, 16, seed=7, workers=client, progress=False)
        with pytest.raises(SolverError, match="failing for 8 draws"):
            pdes.generate(quick(fails_above=-np.inf), 8, 16, seed=7, workers=client, progress=False)
    assert_same(data, pdes.generate(quick(), 10, 16, seed=7, progress=False))


CLUSTER = """
import sys, pdes
from distributed import Client, LocalCluster
if __name__ == "__main__":
    folder, options = sys.argv[1], {"resolution": 16, "seed": 7, "progress": False}
    cluster = LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 3
        pdes.generate("poisson_periodic", 40, path=folder + "/cluster.h5", workers=client, **options)
        pdes.generate("poisson_periodic", 80, path=folder + "/shards", workers=client, shard_size=32, **options)
        for _ in range(5):  # the same job at once again: nothing of the earlier calls is mistaken for it
            pdes.generate("poisson_periodic", 40, workers=client, **options)
"""


def test_a_cluster_of_three_processes_gives_the_same_bytes(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "cluster.py").write_text(CLUSTER)
    subprocess.run([sys.executable, str(tmp_path / "cluster.py"), str(tmp_path)], check=True, capture_output=True, timeout=120)
    pdes.generate("poisson_periodic", 40, 16, seed=7, path=tmp_path / "here.h5", progress=False)
    pdes.generate("poisson_periodic", 80, 16, seed=7, path=tmp_path / "alone", shard_size=32, progress=False)
    assert (tmp_path / "cluster.h5").read_bytes() == (tmp_path / "here.h5").read_bytes()
    names = sorted(path.name for path in (tmp_path / "alone").glob("shard-*.h5"))
    assert len(names) == 3
    for name in names:
        assert (tmp_path / "shards" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_drift_of_what_is_conserved_and_stationary_frames_are_stored():
    data = pdes.generate("kdv", 2, 64, seed=7, progress=False)
    assert np.all(data.quality["drift_mass"][...] < 1e-12)
    assert np.all(data.quality["drift_momentum"][...] < 1e-3)
    assert data.quality["stationary_from"][...].tolist() == [-1, -1]
    heat = pdes.get("heat", nu=1.0).replace(time=(0, 10), conserved={"square": "u^2"})
    still = pdes.generate(heat, 1, 16, seed=7, progress=False)
    assert still.quality["drift_square"][0] > 0.1
    bad = heat.replace(conserved={"slope": "u_x"})
    with pytest.raises(SettingError, match="a conserved density with"):
        pdes.generate(bad, 1, 16, seed=7, progress=False)


def test_stationary_frames():
    from pdes.job import stationary_from

    u = np.ones((3, 6, 4))
    u[1, :3] += np.arange(3)[:, None]
    u[2] += np.arange(6)[:, None]
    assert stationary_from([u]).tolist() == [0, 3, -1]
