"""Processes that meet through JAX's distributed runtime, or are numbered by a launcher."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
from test_shares import SETTINGS, assert_same
from tiny_runs import tiny

from jentmax import processes
from jentmax.dataset import Dataset
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.processes import meet, use_own_device
from jentmax.shares import ALONE, Share

# Kills itself at its third report of structures under way, if it is the one to die.
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
import jax
jax.config.update("jax_numpy_dtype_promotion", "standard")
from jentmax.generation import generate
from jentmax.processes import meet
from test_shares import SETTINGS, tiny
share = meet(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
n_reports = 0
def report(progress):
    global n_reports
    n_reports += progress.done > 0
    if n_reports == 12 and sys.argv[5] == str(share.index):
        os.kill(os.getpid(), 9)
generate(tiny(*SETTINGS), "set.h5", share=share, resume=True, report=report)
print(share)
"""

NAMES = ("SLURM_", "OMPI_", "PMI_", "MPI_", "JAX_COORDINATOR", "JOB_COMPLETION", "CUDA_VISIBLE")


@pytest.fixture(autouse=True)
def _launched_by_nobody(monkeypatch):
    for name in os.environ:
        if name.startswith(NAMES):
            monkeypatch.delenv(name)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def started(count, dying=None):
    """All processes of a run; their exit codes and what they said."""
    folder, port = str(pathlib.Path(__file__).parent), free_port()
    program = [sys.executable, "-c", PROGRAM, folder, f"127.0.0.1:{port}", str(count)]
    running = [
        subprocess.Popen(
            [*program, str(index), str(dying)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    told = [process.communicate(timeout=300) for process in running]
    return [(process.returncode, *words) for process, words in zip(running, told, strict=True)]


def test_one_of_four_is_killed_and_two_go_on(tmp_path_factory):
    """The others make their shares; the set is that of one process."""
    ended = started(4, dying=2)
    for index, (code, output, errors) in enumerate(ended):
        if index == 2:
            assert code == -signal.SIGKILL, errors
        else:
            assert (code, output) == (0, f"process {index} of 4\n"), errors
    with Dataset("set.h5") as dataset:
        assert dataset.status == "running"
        missing = set(range(15)) - set(dataset.index.tolist())
    assert 0 < len(missing) < 15
    ended = started(2)
    assert [code for code, *_ in ended] == [0, 0], ended
    whole = generate(tiny(*SETTINGS), tmp_path_factory.mktemp("whole") / "set.h5")
    assert_same("set.h5", whole)


def test_not_all_come(monkeypatch):
    monkeypatch.setattr(processes, "_SECONDS", 2)
    coordinator = f"127.0.0.1:{free_port()}"
    with pytest.raises(JentmaxError, match=rf"did not meet \(.+\).*reach {coordinator}.*--shard"):
        meet(coordinator, 2, 0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("node:1", None, None), "--processes and --process-id missing"),
        ((None, 4, None), "--coordinator and --process-id missing"),
        ((None, 1, 0), "--coordinator missing"),
        (("node", 2, 0), "--coordinator node: give host:port"),
        (("node:x", 2, 0), "give host:port"),
        (("node:99999", 2, 0), "give host:port"),
        (("node:1", 0, 0), "--processes 0: give a number of at least 1"),
        (("node:1", 2, 2), "--process-id 2: give a number from 0 to 1"),
        (("node:1", 2, -1), "--process-id -1"),
    ],
)
def test_what_is_given_makes_no_sense(given, told):
    with pytest.raises(JentmaxError, match=told):
        meet(*given)


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, ALONE),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, ALONE),  # no srun
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, ALONE),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, Share(2, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, Share(0, 2)),
    ],
)
def test_launched(monkeypatch, environment, share):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert meet() == share
    assert meet(processes=1) == ALONE


def test_slurm_is_found_by_jax(monkeypatch):
    """With what srun sets for one of two processes; the other one does not come."""
    monkeypatch.setattr(processes, "_SECONDS", 2)
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(JentmaxError, match="did not meet"):
        meet()


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
def test_the_gpu_of_a_process(monkeypatch, environment, rank, visible):
    """Where the launcher has given it one, that is the only one it sees."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    use_own_device()
    expected = visible or ""
    if rank is not None and visible != "6":
        expected = visible.split(",")[rank] if visible else str(rank)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
