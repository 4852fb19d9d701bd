"""One run that is killed again and again: the set is that of a run left alone."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import assert_identical, columns

from jentmax.dataset import Dataset

N_KILLS = 20
SETTINGS = ("run.structures=160", "quench.steps=0", "potential.min_distance=1.97")

# Gives birth to one process after the other, which go on with the set until they are killed.
# Importing takes longer than what each of them does; XLA, whose threads no child would inherit, is
# only imported and not begun in the parent.
NURSERY = """
import json, os, random, sys, threading, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, sys.argv[1])
import ase.data
import jax
jax.config.update("jax_numpy_dtype_promotion", "standard")
from jentmax.dataset import _writer
from jentmax.generation import generate
from tiny_runs import tiny

settings = tiny(*sys.argv[2:])
write_at = _writer._write_at

def kill():
    os.kill(os.getpid(), 9)

def live(how, when, pipe):
    before, n_reports, n_writes, is_late = None, 0, 0, False

    def report(progress):
        nonlocal before, n_reports, is_late
        n = len(progress.entropy)
        os.write(pipe, b"%d\\n" % n)
        before = n if before is None else before
        if n > before and not is_late:
            is_late = True
            if how == "time":
                threading.Timer(when * 0.005, kill).start()
        n_reports += is_late
        if how == "report" and n_reports == 1 + when or (how != "never" and n > before + 12):
            kill()

    def counted(*arguments):
        nonlocal n_writes
        n_writes += how == "copy" or (how == "write" and is_late)
        if n_writes == 1 + when:
            kill()
        write_at(*arguments)

    _writer._write_at = counted
    generate(settings, "set.h5", resume=True, report=report)

for line in sys.stdin:
    assert len(os.listdir("/proc/self/task")) == 1, "no process with threads may fork"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            live(*json.loads(line), writing)
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read().split()
    _, status = os.waitpid(child, 0)
    print(json.dumps([status, int(told[-1]) if told else 0]), flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux alone lists its threads")
def test_twenty_kills():
    """At reports, within writes, within the copy that resuming makes, and at any moment."""
    rng = random.Random(0)
    kinds = ["report", "write", "time"] * 6 + ["copy"] * 2
    assert len(kinds) == N_KILLS
    rng.shuffle(kinds)
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(pathlib.Path(__file__).parent), *SETTINGS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def life(how, when):
        nursery.stdin.write(f"{json.dumps([how, when])}\n")
        nursery.stdin.flush()
        return json.loads(nursery.stdout.readline())

    lengths = []
    try:
        assert life("never", -2) == [0, 160]
        os.rename("set.h5", "whole.h5")
        for kind in kinds:
            # An append writes 17 columns, and reports are 11 to a batch.
            status, told = life(kind, rng.randrange(17))
            assert status == signal.SIGKILL
            if os.path.exists("set.h5"):
                with Dataset("set.h5") as dataset:
                    assert dataset.status == "running"
                    assert len(dataset) >= told
                    assert np.all(np.isfinite(dataset.positions))
                    lengths.append(len(dataset))
            else:
                assert told == 0
        assert life("never", -2) == [0, 160]
    finally:
        nursery.stdin.close()
        nursery.wait()
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > N_KILLS / 2
    for one, other in zip(columns("set.h5"), columns("whole.h5"), strict=True):
        assert_identical(one, other)
    with Dataset("set.h5") as dataset:
        assert dataset.status == "complete"
        assert dataset.rejected > 0
        rejected = dataset.rejected
    with Dataset("whole.h5") as dataset:
        assert dataset.rejected == rejected
    assert sorted(os.listdir()) == ["set.h5", "whole.h5"]
