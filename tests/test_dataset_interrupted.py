"""Data set files at any moment of their writing: copies, other readers, kills, full disks."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from dataset_files import BATCHES, HEADER, assert_holds, leftovers, make_rows, write

from jentmax.dataset import Dataset, DatasetWriter

PROLOGUE = f"""
import sys
sys.path[:0] = [{str(pathlib.Path(__file__).parent)!r}, {str(pathlib.Path(__file__).parents[1])!r}]
import itertools
from dataset_files import *
from jentmax.dataset import DatasetWriter
from jentmax.errors import JentmaxError
"""


def process(body, *arguments):
    program = PROLOGUE + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ENDLESS = """
with DatasetWriter.create(sys.argv[1], **HEADER) as writer:
    for batch in itertools.count():
        writer.append(make_rows([2 * batch + 1, 2 * batch]))
        print(batch + 1, flush=True)
"""


def endless_rows(n_structures):
    return [make_rows([2 * batch + 1, 2 * batch]) for batch in range(n_structures // 2)]


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "set.h5", *BATCHES)


def test_a_copy_made_between_appends_is_readable(tmp_path):
    path, copy = tmp_path / "set.h5", tmp_path / "copy.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for n in range(1, 4):
            writer.append(BATCHES[n - 1])
            shutil.copy(path, copy)
            with Dataset(copy) as dataset:
                assert dataset.status == "running"
                assert_holds(dataset, *BATCHES[:n])


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_leaves_whole_structures(tmp_path, seed):
    path = tmp_path / "set.h5"
    writer = process(ENDLESS, path)
    writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.3))  # most likely in the midst of an append
    writer.send_signal(signal.SIGKILL)
    done = int((["1", *writer.communicate()[0].split()])[-1])
    with Dataset(path) as dataset:
        assert dataset.status == "running"
        assert len(dataset) >= 2 * done
        assert_holds(dataset, *endless_rows(len(dataset)))
    assert leftovers(tmp_path) == []


def test_a_file_can_be_read_while_another_process_writes_it(tmp_path):
    path = tmp_path / "set.h5"
    writer = process(ENDLESS, path)
    try:
        lengths = []
        writer.stdout.readline()
        end = time.monotonic() + 20
        while len(set(lengths)) < 10 and time.monotonic() < end:
            with Dataset(path) as dataset:
                assert_holds(dataset, *endless_rows(len(dataset)))
                lengths.append(len(dataset))
        assert len(set(lengths)) == 10
        assert lengths == sorted(lengths)
    finally:
        writer.kill()
        writer.communicate()


FULL_DISK = """
import resource
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with DatasetWriter.create(sys.argv[1], **HEADER, overwrite=True) as writer:
        for batch in itertools.count():
            rows = make_rows(range(5000 * batch, 5000 * batch + 5000))
            writer.append(rows)
            print(batch + 1, flush=True)
except JentmaxError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no reservation of disk space")
@pytest.mark.parametrize("limit", [100_000, 1_500_000, 6_000_000, 8_000_000])
def test_a_full_disk(path, tmp_path, limit):
    """One clear message, no crash of HDF5; what was whole before stays."""
    before = path.read_bytes()
    writer = process(FULL_DISK, path, limit)
    output, errors = writer.communicate()
    assert writer.returncode == 2, errors
    assert len(errors.splitlines()) == 1
    assert "cannot be written: File too large" in errors
    assert leftovers(tmp_path) == []
    done = len(output.split())
    assert (done > 0) == (limit > 2_000_000)
    if done == 0:
        assert path.read_bytes() == before
    else:
        with Dataset(path) as dataset:
            assert dataset.status == "running"
            batches = [make_rows(range(5000 * b, 5000 * b + 5000)) for b in range(done)]
            assert_holds(dataset, *batches)
