"""One run that is killed again and again: the set is that of a run left alone."""

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import PROLOGUE, Stopped, assert_identical, columns, ended, left, started, tiny

from jentmax.dataset import ChunkId, Dataset, Parts
from jentmax.generation import Resolved, generate

pytestmark = pytest.mark.slow

N_KILLS = 20

# Gives birth to one process after the other, which go on with the set until they are killed.
# Importing takes longer than what each of them does; XLA, whose threads no child would inherit, is
# only imported and not begun in the parent.
NURSERY = """
import json, random, threading
from jentmax.dataset import _parts, _writer, output
import jentmax.dataset, jentmax.descriptors, jentmax.entropy, jentmax.repulsion, jentmax.samplers

def kill():
    os.kill(os.getpid(), 9)

def spied(module, name, when, only=lambda *_: True):
    call, calls = getattr(module, name), []
    def killing(*arguments, **options):
        if only(*arguments):
            calls.append(1)
            if len(calls) == when[0] and when[1] == "before":
                kill()
        found = call(*arguments, **options)
        if only(*arguments) and len(calls) == when[0] and when[1] == "after":
            kill()
        return found
    setattr(module, name, killing)

def live(how, number, seconds):
    def callback(progress):
        if progress.phase == "annealing" and progress.made and how == "time":
            threading.Timer(seconds, kill).start()
    if how == "sync":  # of a part, or of the file
        spied(os, "fsync", (number, "before"))
    if how == "link":
        spied(os, "link", (number, "before"))
    if how == "linked":
        spied(os, "link", (number, "after"))
    if how == "unlink":  # temporary names
        spied(_parts.Path, "unlink", (number, "before"))
    if how == "file":  # between the file and the end of the folder
        spied(_parts.Parts, "remove_all", (1, "before"))
    if how == "half":
        spied(os, "rmdir", (1, "before"))
        spied(_parts.Path, "rmdir", (1, "before"))
    recipe = tiny(min_distance=1.9)
    generate(recipe, structures=600, output=sys.argv[1], callback=callback)

for line in sys.stdin:
    assert len(os.listdir("/proc/self/task")) == 1, "no process with threads may fork"
    child = os.fork()
    if child == 0:
        try:
            live(*json.loads(line))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(3)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux alone lists its threads")
def test_twenty_kills():
    """Before and after a name is given, before a part is synced, and at any moment."""
    rng = random.Random(0)
    kinds = ["sync", "link", "linked", "unlink", "time"] * 4
    assert len(kinds) == N_KILLS
    rng.shuffle(kinds)
    kinds += ["file", "half"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    nurseries = [
        subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + NURSERY, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("set.h5", "whole.h5")
    ]

    def life(nursery, how, number=1, seconds=0.0):
        nursery.stdin.write(f'["{how}", {number}, {seconds}]\n')
        nursery.stdin.flush()
        return int(nursery.stdout.readline())

    lengths = []
    try:
        assert life(nurseries[1], "never") == 0
        for kind in kinds:
            status = life(nurseries[0], kind, rng.randrange(2, 5), 0.2 * rng.random())
            assert status == signal.SIGKILL, kind
            if os.path.exists("set.h5"):
                with Dataset("set.h5") as dataset:
                    assert dataset.status == "complete"
                    assert len(dataset) == 600
                lengths.append(1000)
            elif (parts := Parts("set.h5")).header() is not None and parts.chunks():
                for chunk in parts.chunks():
                    assert np.isfinite(parts.get(chunk).temperature).any()
                lengths.append(len(parts.chunks()))
        assert life(nurseries[0], "never") == 0
    finally:
        for nursery in nurseries:
            nursery.communicate()
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > N_KILLS / 2, lengths
    assert_identical(columns("set.h5"), columns("whole.h5"))
    with Dataset("set.h5") as dataset:
        assert dataset.discarded["too close"] > 0
    assert left() == ["set.h5", "whole.h5"]


LONG_CHAIN = """
def callback(progress):
    if progress.made >= 40:
        print(progress.made, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
generate(tiny(cycles_per_chain=1000), structures=4000, output="set.h5", callback=callback)
"""


def test_a_chain_of_many_cycles_loses_one_at_most():
    """It goes on from the cycle before the one that was under way."""
    told = ended(started(LONG_CHAIN), -signal.SIGKILL)
    parts = Parts("set.h5")
    parts.header()
    there = sorted(parts.chunks())
    assert len(there) >= int(told) / 4
    assert there == [ChunkId(0, 0, cycle) for cycle in range(len(there))]
    begun = []

    def spied(self, batch, cycle, previous, **options):
        begun.append(cycle)
        assert np.array_equal(previous.positions, parts.get(there[-1]).positions)
        raise Stopped

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Resolved, "chunk", spied)
        with pytest.raises(Stopped):
            generate(tiny(cycles_per_chain=1000), structures=4000, output="set.h5")
    assert begun == [len(there)]
