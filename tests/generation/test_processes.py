"""One set by several processes: at the same time, one after the other, killed, and with Dask."""

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import PROLOGUE, Stopped, assert_identical, columns, ended, left, started, tiny

from jentmax.dataset import ChunkId, Dataset, Parts, reopen_set
from jentmax.devices import versions
from jentmax.errors import JentmaxError
from jentmax.generation import (
    ALONE,
    Process,
    Recipe,
    Resolved,
    _engines,
    generate,
    process_of,
    use_own_device,
)

NAMES = ("SLURM_", "OMPI_", "PMI_", "PMIX_", "MPI_", "JOB_COMPLETION", "CUDA_VISIBLE")

N = 40
RECIPE = tiny(steps=50)

RUN = """
if len(sys.argv) > 4 and sys.argv[4] == "perturbed":
    from jentmax.generation import Resolved
    structures = Resolved._structures
    def perturbed(self, made, *more):
        ends, terms, temperature = made
        import dataclasses
        ends = dataclasses.replace(ends, positions=ends.positions + 1e-6)
        return structures(self, (ends, terms, temperature), *more)
    Resolved._structures = perturbed
dies = int(sys.argv[3])
def callback(progress):
    if dies and progress.made >= dies:
        os.kill(os.getpid(), signal.SIGKILL)
generate(tiny(steps=50), structures=40, output="set.h5", devices=1, callback=callback,
         process=Process(int(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "set.h5"
    return columns(generate(RECIPE, structures=N, output=path))


@pytest.mark.slow
def test_two_at_the_same_time(whole):
    running = [started(RUN, index, 2, 0) for index in (0, 1)]
    for process in running:
        ended(process)
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


@pytest.mark.slow
def test_three_of_which_one_is_killed(whole):
    running = [started(RUN, index, 3, 8 * (index == 1)) for index in (0, 1, 2)]
    for index, process in enumerate(running):
        ended(process, -signal.SIGKILL if index == 1 else 0)
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


@pytest.mark.slow
def test_all_are_killed_and_another_number_goes_on(whole):
    running = [started(RUN, index, 3, 4 + 4 * index) for index in (0, 1, 2)]
    for process in running:
        ended(process, -signal.SIGKILL)
    before = Parts("set.h5").chunks()
    assert len(before) >= 2
    for process in [started(RUN, index, 2, 0) for index in (0, 1)]:
        ended(process)
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


@pytest.mark.slow
def test_an_array_of_jobs(whole):
    """One after the other, each for a while; the last one completes the set."""
    for index in (2, 0, 1):

        def callback(progress):
            if progress.made >= 8:
                raise Stopped

        with pytest.raises(Stopped):
            generate(
                RECIPE,
                structures=N,
                output="set.h5",
                process=Process(index, 3),
                callback=callback,
                devices=1,
            )
        own = [chunk for chunk in Parts("set.h5").chunks() if chunk.batch % 3 == index]
        assert len(own) >= 2
    for index in (0, 1, 2):
        generate(RECIPE, structures=N, output="set.h5", process=Process(index, 3))
    assert_identical(columns("set.h5"), whole)


@pytest.mark.slow
def test_last_digits_that_differ(whole):
    """Every chunk is one process's, and its next cycle goes on from the one in place."""
    running = [started(RUN, 0, 2, 0), started(RUN, 1, 2, 0, "perturbed")]
    for process in running:
        ended(process)
    found = columns("set.h5")
    assert len(found["index"]) == N
    for name in ("index", "chain", "cycle", "entropy_weight", "numbers"):
        assert np.array_equal(found[name], whole[name]), name
    # Each chunk follows from the chunk before it in place, made by the one or by the other.
    resolved = RECIPE.resolve(0)
    kinds = set()
    parts = Parts("set.h5")
    reopen_set(parts)
    for chunk in sorted(parts.chunks()):
        there = parts.get(chunk)
        before = parts.get(chunk._replace(cycle=chunk.cycle - 1)) if chunk.cycle else None
        made = resolved.chunk(chunk.batch, chunk.cycle, before, stream=chunk.stream)
        offset = there.positions - made.positions
        lengths = np.repeat(there.cells[:, 0, 0], 8)[:, None]
        offset -= lengths * np.round(offset / lengths)
        kind = {bool(x > 5e-7) for x in offset.ravel()}
        assert len(kind) == 1, chunk  # never rows of both
        assert np.abs(offset).max() < 2e-6
        kinds |= kind
    assert kinds == {True, False}


@pytest.mark.parametrize("what", ["set.json", "chunks"])
def test_the_loser_of_a_race(whole, monkeypatch, what):
    """Another process puts its file in place just before; the loser goes on from that one."""
    resolved, first_chunk = RECIPE.resolve(0), ChunkId(0, 0, 0)
    first = resolved.chunk(0, 0)
    winners = dataclasses.replace(first, positions=first.positions + 1e-6)  # last digits
    header = resolved.header() | {"created": "the winner's"}
    other = Parts("other.h5")
    other.begin(header)
    other.put(first_chunk, winners)
    name = "set.json" if what == "set.json" else first_chunk.file_name
    if what == "chunks":
        Parts("set.h5").begin(header)
    put, raced = Parts._put, []

    def beaten(self, own, content):
        if own == name and not raced:
            raced.append(own)
            (self.folder / name).write_bytes((other.folder / name).read_bytes())
        return put(self, own, content)

    monkeypatch.setattr(Parts, "_put", beaten)
    generate(RECIPE, structures=N, output="set.h5")
    assert len(raced) == 1
    other.remove_all()
    if what == "set.json":
        with Dataset("set.h5") as dataset:
            assert dataset.created == "the winner's"
    found = columns("set.h5")
    assert left() == ["set.h5"]
    if what == "set.json":
        assert_identical(found, whole)
        return
    second = resolved.chunk(0, 1, winners)
    assert np.array_equal(found["positions"][:32], winners.positions)
    assert np.array_equal(found["positions"][32:64], second.positions)
    assert np.array_equal(found["positions"][64:], whole["positions"][64:])


def test_one_finishes_while_the_other_resolves(whole, monkeypatch):
    """The late one notices, makes nothing and leaves nothing."""
    resolve, late = Recipe.resolve, []

    def slow(self, *arguments, **options):
        found = resolve(self, *arguments, **options)
        if not late:
            late.append(1)
            generate(RECIPE, structures=N, output="set.h5")
            monkeypatch.setattr(Resolved, "chunk", None)
        return found

    monkeypatch.setattr(Recipe, "resolve", slow)
    generate(RECIPE, structures=N, output="set.h5")
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


def test_one_finishes_fewer_while_the_other_is_at_work(whole):
    """It goes on from the finished file to its own number."""
    finished = []

    def callback(progress):
        if progress.made >= 8 and not finished:
            finished.append(1)
            generate(RECIPE, structures=10, output="set.h5")

    generate(RECIPE, structures=N, output="set.h5", callback=callback, devices=1)
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


# Dask

DASK = """
import threading
from distributed import Client, LocalCluster
import jax.numpy as jnp

def spread(q):
    return jnp.linalg.slogdet(jnp.cov(q.T) + 1e-3 * jnp.eye(q.shape[1]))[1] / 2

def main():
    entropy = spread if sys.argv[1] == "own" else None
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                      memory_limit=None) as cluster, Client(cluster) as client:
        pids = client.run(os.getpid)
        killed, done = [], []
        def callback(progress):
            done.append(progress.done)
            if progress.made >= 8 and not killed and sys.argv[2] == "kill":
                killed.append(1)
                os.kill(sorted(pids.values())[0], signal.SIGKILL)
        scheduler = client if sys.argv[3] == "client" else cluster.scheduler_address
        n = int(sys.argv[4])
        generate(tiny(entropy, steps=50), structures=n, output="set.h5", scheduler=scheduler,
                 callback=callback)
        after = client.run(os.getpid)
        assert (set(after.values()) == set(pids.values())) == (sys.argv[2] != "kill")
        assert not client.futures
        print(len(set(done)) > 3)

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_dask_with_a_worker_killed(whole, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "script.py").write_text(PROLOGUE + DASK)
    assert ended(script("script.py", "built-in", "kill", "address", 40)).strip() == "True"
    assert_identical(columns("set.h5"), whole)
    assert left() == ["script.py", "set.h5"]


def script(*words):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_dask_with_a_function_of_the_scripts_own(tmp_path):
    """It travels with the recipe; JAX compiles it once in each worker, and Python may go on."""
    pytest.importorskip("distributed")
    (tmp_path / "script.py").write_text(PROLOGUE + DASK)
    ended(script("script.py", "own", "live", "client", 30))
    with Dataset("set.h5") as dataset:
        assert len(dataset) == 30
        assert dataset.recipe["entropy"]["kind"].endswith(":spread")
        assert dataset.header["sha256"]


def test_no_scheduler(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(_engines, "_SECONDS_TO_CONNECT", 2)
    with pytest.raises(JentmaxError, match=r"scheduler tcp://127\.0\.0\.1:1 cannot be reached"):
        generate(tiny(), structures=3, output="set.h5", scheduler="tcp://127.0.0.1:1")
    assert left() == []


@pytest.mark.parametrize("scheduler", ["", "nowhere", "http://a:b", 7])
def test_no_address(scheduler):
    pytest.importorskip("distributed")
    with pytest.raises(JentmaxError, match="scheduler"):
        generate(tiny(), structures=3, output="set.h5", scheduler=scheduler)
    assert left() == []


def test_workers_of_another_version(monkeypatch):
    class Client:
        def run(self, function):
            return {"tcp://a:1": versions() | {"jax": "0.1"}}

    with pytest.raises(JentmaxError, match=r"worker tcp://a:1 has jax 0\.1, here it is .*same"):
        _engines._refuse_other_versions(Client())

    class Broken:
        def run(self, function):
            raise ModuleNotFoundError("No module named 'jentmax'")

    with pytest.raises(JentmaxError, match=r"cannot import jentmax .* install it where they run"):
        _engines._refuse_other_versions(Broken())


def test_dask_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(JentmaxError, match=r'pip install "jentmax\[dask\]"'):
        generate(tiny(), structures=3, output="set.h5", scheduler="tcp://127.0.0.1:1")
    assert left() == []


# What the launcher says


@pytest.fixture
def _launched_by_nobody(monkeypatch):
    for name in os.environ:
        if name.startswith(NAMES):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("environment", "process"),
    [
        ({}, ALONE),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, ALONE),  # no srun
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, ALONE),
        ({"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2"}, Process(2, 3)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, Process(2, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, Process(0, 2)),
        ({"PMIX_RANK": "0", "PMIX_SIZE": ""}, ALONE),
        ({"OMPI_COMM_WORLD_RANK": "", "OMPI_COMM_WORLD_SIZE": ""}, ALONE),
        ({"PMIX_RANK": "", "PMIX_SIZE": "4", "PMI_RANK": "1", "PMI_SIZE": "2"}, Process(1, 2)),
        ({"JOB_COMPLETION_INDEX": "5", "JENTMAX_PROCESSES": "8"}, Process(5, 8)),
    ],
)
@pytest.mark.usefixtures("_launched_by_nobody")
def test_launched(monkeypatch, environment, process):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert process_of() == process
    assert process_of("1/6") == Process(1, 6)


@pytest.mark.parametrize("text", ["", "3", "8/8", "-1/8", "a/b", "1/2/3", "0/0", "1.0/2"])
def test_words_that_are_no_process(text):
    with pytest.raises(JentmaxError, match=rf"--process {text}: give I/N.*0/1 is a run by itself"):
        process_of(text)


@pytest.mark.usefixtures("_launched_by_nobody")
def test_ranks_that_do_not_fit(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "4")
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(JentmaxError, match="PMI_RANK=4, PMI_SIZE=4: give I/N"):
        process_of()


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, None),
        ({"SLURM_LOCALID": "3", "SLURM_STEP_TASKS_PER_NODE": "4(x16)"}, 3),
        ({"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x16)"}, None),  # all its GPUs
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 1),
    ],
)
@pytest.mark.parametrize("visible", [None, "4,5,6,7", "6"])
@pytest.mark.usefixtures("_launched_by_nobody")
def test_the_gpu_of_a_process(monkeypatch, environment, rank, visible):
    """If the launcher has given it one, that is the only one it sees."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    use_own_device()
    expected = visible or ""
    if rank is not None and visible != "6":
        expected = visible.split(",")[rank] if visible else str(rank)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
