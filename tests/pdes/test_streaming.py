"""Streams: the samples of a file without the file, computed where they are read."""

import pickle
import threading

import numpy as np
import pytest

import pdes
from pdes.executors import Processes, run
from pdes.job import Job
from solvers.errors import SettingError, SolverError

KINDS = ("fields", "inputs", "parameters", "quality", "latent", "index")


@pytest.fixture
def computed(monkeypatch):
    """Numbers of the chunks that are computed in this process."""
    numbers, compute = [], Job.compute
    monkeypatch.setattr(Job, "compute", lambda self, chunk: (numbers.append(chunk), compute(self, chunk))[1])
    return numbers


def assert_same(stream, stored):
    for kind in KINDS:
        held = {n: a for n, a in getattr(stored, kind).items() if n != "content_hash"}
        assert set(getattr(stream, kind)) == set(held), kind
        for name, values in held.items():
            np.testing.assert_array_equal(np.asarray(getattr(stream, kind)[name]), np.asarray(values), err_msg=name)


def test_a_stream_is_the_file_bit_by_bit(tmp_path):
    for problem, resolution in (("burgers", 32), ("poisson_dirichlet", (8, 12))):
        stored = pdes.generate(problem, 21, resolution, seed=7, path=tmp_path / f"{problem}.h5", progress=False)
        for stream in (pdes.stream(problem, resolution, 7, n=21), pdes.stream(problem, resolution, seed=7)[:21]):
            assert stream.fingerprint() == stored.fingerprint()
            assert_same(stream, stored)
            assert_same(stream.in_memory(), stored)
            assert_same(stream[[20, 3, 3]], stored[[20, 3, 3]])
        assert dict(stream.provenance) == dict(stored.provenance)
        assert stream.subsample(time=2).fields["u"][5].shape == stored.subsample(time=2).fields["u"][5].shape


def test_redrawn_samples_have_the_parameters_of_their_fields(quick):
    problem = quick(fails_above=0.02)
    stored = pdes.generate(problem, 12, 16, seed=7, progress=False)
    assert (stored.quality["attempt"] > 0).any()
    assert_same(pdes.stream(problem, 16, 7, n=12), stored)
    with pytest.raises(SolverError, match="failing for 8 draws"):
        pdes.stream(quick(fails_above=-np.inf), 16, 7)


def test_only_what_is_read_is_computed(quick, computed):
    data = pdes.stream(quick(), 16, seed=7)
    assert computed == [0]  # names, shapes and types come from the first chunk
    assert "without an end" in repr(data)
    assert "sample: endless" in repr(data.fields["u"])
    assert data.fields["u"][41].shape == (16,)
    assert data.inputs["f"][40:44].shape == (4, 16)
    part = data[1000:1010]
    assert len(part) == 10
    assert part.index["sample_id"][3] == quick().sample_id(7, 1003)
    assert computed == [0, 10]
    np.testing.assert_array_equal(part.fields["u"][[9, 0], 3:5], data.fields["u"][[1009, 1000], 3:5])
    assert computed == [0, 10, 250, 252]


def test_memory_is_bounded(quick, computed):
    sizes = sum(values.nbytes for values in Job.of(quick(), 16, 7).compute(0).values())
    data = pdes.stream(quick(), 16, 7, n=40, cache_megabytes=2.5 * sizes / 1e6)
    computed.clear()
    for i in (0, 4, 0, 4, 8, 4, 0):  # two chunks stay
        _ = data.fields["u"][i]
    assert computed == [1, 2, 0]
    tight = pdes.stream(quick(), 16, 7, n=40, cache_megabytes=1e-9)
    computed.clear()
    _ = tight.in_memory()
    assert sorted(set(computed)) == list(range(10))
    _ = data.in_memory()


def test_a_whole_pass_solves_every_chunk_once(quick, computed):
    data = pdes.stream(quick(), 16, 7, n=40)
    data.in_memory()
    data.fingerprint()
    data.check_finite()
    assert computed == list(range(10))


def test_two_processes_and_a_pickled_copy_give_the_same(quick, monkeypatch):
    stored = pdes.generate(quick(), 40, 16, seed=7, progress=False)
    rounds = []
    monkeypatch.setattr(
        "pdes.streaming.run", lambda job, chunks, pool: (rounds.append((chunks, pool)), run(job, chunks, pool))[1]
    )
    data = pdes.stream(quick(), 16, 7, n=40, workers=2)
    assert_same(data, stored)
    assert [chunks for chunks, _ in rounds] == [[0], [*range(1, 9)], [9]]
    assert isinstance(rounds[1][1], Processes)
    copy = pickle.loads(pickle.dumps(data[[30, 2]]))
    assert_same(copy, stored[[30, 2]])


def test_threads_share_a_stream(quick):
    data = pdes.stream(quick(), 16, 7, n=40, cache_megabytes=0.02)
    whole, wrong = pdes.generate(quick(), 40, 16, seed=7, progress=False).fields["u"][...], []

    def read(order):
        wrong.extend(i for i in order if not np.array_equal(data.fields["u"][i], whole[i]))

    threads = [threading.Thread(target=read, args=(np.random.default_rng(k).permutation(40).tolist(),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_endless_stream_has_no_length(quick):
    data = pdes.stream(quick(), 16, seed=7)
    for call in (lambda: len(data), lambda: data[-1], lambda: data.split(0.8, 0.2), data.fingerprint, data.in_memory):
        with pytest.raises(SettingError, match=r"stream without an end.*Pass n= to pdes\.stream, or take a slice"):
            call()
    for bad in ({"n": 0}, {"seed": -1}, {"workers": 0}, {"workers": True}, {"cache_megabytes": 0}):
        with pytest.raises(SettingError, match=r"Needed"):
            pdes.stream(quick(), 16, **bad)
