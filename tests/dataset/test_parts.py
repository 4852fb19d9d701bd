"""A set under way: parts that are written once, also by several processes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from dataset_files import (
    HEADER,
    TWO_STREAMS,
    accepted,
    ids,
    leftovers,
    made,
    table,
    under_way,
)

from jentmax.dataset import ChunkId, Dataset, Parts, Structures
from jentmax.dataset import _parts as room
from jentmax.dataset import output as output_room
from jentmax.errors import JentmaxError

CHUNK = ChunkId(0, 1, 1)
OTHER = ChunkId(0, 2, 0)


@pytest.fixture
def parts(tmp_path):
    return under_way(tmp_path / "set.h5")


def assert_bits(one, other):
    one, other = table(one), table(other)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].tobytes() == other[name].tobytes(), name


# What is written is read


def test_chunks_come_back_bit_for_bit(parts):
    """NaN of rejected rows too."""
    assert parts.chunks() == set(ids())
    for chunk in ids():
        assert_bits(parts.get(chunk), made(chunk))
        counts = np.bincount(made(chunk).columns["status"], minlength=3)
        assert parts.counts(chunk) == tuple(counts)
        assert parts.accepted(chunk) == counts[0]
    assert any(np.isnan(made(chunk).positions).any() for chunk in ids())


def test_numpy_reads_parts(parts):
    with np.load(parts.folder / CHUNK.file_name) as found:
        assert np.array_equal(found["columns/entropy"], made(CHUNK).entropy, equal_nan=True)
        expected = {"positions", "numbers", "cells", "pbc", "pointer", "atom_columns/descriptors"}
        assert set(found) == expected | {f"columns/{name}" for name in made(CHUNK).columns}


def test_what_is_there_is_known_by_its_name(parts, monkeypatch):
    """Nothing is opened; other files do not count."""
    for name in (
        "0-1-1.npz",
        "0-000001-0001.npz.old",
        "notes",
        ".0-000009-0000.npz.0123abcd.partial",
    ):
        (parts.folder / name).write_text("")
    monkeypatch.setattr(os, "open", None)
    assert parts.chunks() == set(ids())


def test_nothing_is_there(tmp_path):
    parts = Parts(tmp_path / "set.h5")
    assert not parts.exists()
    assert parts.header() is None
    assert parts.chunks() == set()
    for missing in (parts.get, parts.accepted, lambda chunk: parts.put(chunk, made(chunk))):
        with pytest.raises(FileNotFoundError):
            missing(CHUNK)
    parts.remove_all()
    assert list(tmp_path.iterdir()) == []
    parts.begin(HEADER)
    with pytest.raises(FileNotFoundError):
        parts.get(CHUNK)
    parts.remove_all()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_gone(parts):
    """Another process has finished the set."""
    Parts(parts.output).remove_all()
    with pytest.raises(FileNotFoundError):
        parts.put(CHUNK, made(CHUNK))
    assert not parts.exists()
    assert parts.chunks() == set()


def test_the_header_comes_back(parts):
    header = parts.header()
    assert {name: header[name] for name in HEADER} == HEADER
    assert (header["format"], header["schema"]) == ("jentmax set", 2)


def test_outputs_that_are_links(tmp_path):
    (tmp_path / "link.h5").symlink_to("set.h5")
    under_way(tmp_path / "link.h5")
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "set.h5.parts"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams": []}, "streams is list, must be a list of streams"),
        ({"streams": [3]}, r"streams\[0\] is 3, must be a table"),
        ({"streams": [{"share": 0, "n_atoms": 3, "batch_size": 4}]}, r"\.share is 0"),
        ({"streams": [{"share": 1, "n_atoms": True, "batch_size": 4}]}, r"\.n_atoms is True"),
        ({"streams": [{"share": 1, "n_atoms": 3, "batch_size": 10**12}]}, r"\.batch_size is 1"),
        ({"scale": [1.0, np.nan]}, "must be plain data"),
        ({"scale": [1.0]}, "shift is list"),
        ({"scale": None}, "scale is None"),
        ({"seed": 1.5}, r"seed is 1\.5"),
        ({"recipe": "x"}, "recipe is 'x'"),
        ({"versions": {"jax": 1}}, r"versions\.jax is 1, must be a text"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"recipe": {"x": object()}}, "must be plain data"),
    ],
)
def test_headers_that_do_not_do(tmp_path, change, message):
    with pytest.raises(JentmaxError, match=message):
        Parts(tmp_path / "set.h5").begin(HEADER | change)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.columns.pop("entropy"),
        lambda rows: rows.columns.update(entropy=rows.entropy.astype("float16")),
        lambda rows: rows.columns.update(row=rows.row[::-1]),
        lambda rows: rows.columns.update(status=rows.status + np.int8(3)),
        lambda rows: rows.atom_columns.pop("descriptors"),
        lambda rows: rows.atom_columns.update(descriptors=rows.descriptors[:, :1]),
        lambda rows: rows.columns.update(status=0 * rows.status),  # then there is NaN
        lambda rows: rows.positions.__setitem__(np.repeat(rows.status == 0, 3), np.nan),
        lambda rows: rows.numbers.__setitem__(slice(None), 200),
    ],
)
def test_chunks_that_do_not_do(parts, change):
    chunk = next(c for c in ids(20) if len(set(made(c).status.tolist())) == 3 and c not in ids())
    rows = made(chunk)
    change(rows)
    with pytest.raises(JentmaxError):
        parts.put(chunk, rows)
    for wrong in (made(chunk)[:3], made(ChunkId(1, 0, 0), TWO_STREAMS)):
        with pytest.raises(JentmaxError, match="must have 4 structures of 3 atoms"):
            parts.put(chunk, wrong)
    with pytest.raises(JentmaxError, match="the set has 1 streams"):
        parts.put(ChunkId(1, 0, 0), made(chunk))
    assert chunk not in parts.chunks()
    assert leftovers(parts.folder) == []


# Races


def test_the_loser_of_a_chunk_takes_the_winners(parts):
    mine = made(CHUNK, seed=1)
    assert_bits(parts.put(CHUNK, mine), made(CHUNK))
    assert_bits(parts.get(CHUNK), made(CHUNK))
    assert leftovers(parts.folder) == []


def test_the_loser_of_a_header_takes_the_winners(tmp_path, monkeypatch):
    one, other = Parts(tmp_path / "set.h5"), Parts(tmp_path / "set.h5")
    put = Parts._put

    def first(self, name, content):
        monkeypatch.setattr(Parts, "_put", put)
        other.begin(HEADER | {"seed": 8})
        return put(self, name, content)

    monkeypatch.setattr(Parts, "_put", first)
    assert one.begin(HEADER)["seed"] == 8
    assert_bits(one.put(CHUNK, made(CHUNK)), other.get(CHUNK))


@pytest.mark.parametrize("links", [True, False])
def test_many_threads_put_the_same_chunk(tmp_path, monkeypatch, links):
    """All get the same one back; also on a file system without hard links."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    for number in range(20):
        chunk = ChunkId(0, number, 0)
        found, sets = {}, [Parts(tmp_path / "set.h5") for _ in range(4)]

        def put(seed, chunk=chunk, found=found, sets=sets):
            sets[seed].begin(HEADER)
            found[seed] = sets[seed].put(chunk, made(chunk, seed=seed))

        threads = [threading.Thread(target=put, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for seed in range(4):
            assert_bits(found[seed], Parts(tmp_path / "set.h5").get(chunk))
    assert leftovers(tmp_path / "set.h5.parts") == []


def no_links(*_):
    raise OSError(95, "Operation not supported")


def test_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    parts = under_way(tmp_path / "set.h5")
    assert_bits(parts.put(CHUNK, made(CHUNK, seed=1)), made(CHUNK))
    assert leftovers(parts.folder) == []


def test_a_process_that_was_killed_while_it_claimed_a_name(tmp_path, monkeypatch):
    """Without links there is an empty file for a moment; if it stays so, it is damaged."""
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(room.time, "sleep", lambda seconds: None)
    parts = under_way(tmp_path / "set.h5", 1)
    (parts.folder / CHUNK.file_name).write_bytes(b"")
    assert_bits(parts.put(CHUNK, made(CHUNK)), made(CHUNK))


def test_a_link_that_a_network_repeats(parts, monkeypatch):
    """The first request did it, its answer was lost, and the second one finds the file there."""
    link, chunk = os.link, ChunkId(0, 9, 0)

    def twice(*paths):
        link(*paths)
        link(*paths)

    monkeypatch.setattr(os, "link", twice)
    assert output_room.put_in_place is not None
    assert_bits(parts.put(chunk, made(chunk)), made(chunk))
    assert_bits(parts.get(chunk), made(chunk))


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from dataset_files import *
parts = Parts("set.h5")
parts.begin(HEADER)
print("begun", flush=True)
for number in range(10**6):
    chunk = ChunkId(0, number, 0)
    parts.put(chunk, made(chunk))
"""


@pytest.mark.slow
def test_kills_leave_whole_parts(tmp_path):
    """Whenever a process is killed, what stands under a name is whole, and is the first one's."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.wait()
        parts = Parts("set.h5")
        for chunk in parts.chunks():
            assert_bits(parts.get(chunk), made(chunk))
    assert len(parts.chunks()) > 8
    parts.remove_all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ten_thousand_chunks_are_counted_in_seconds(tmp_path):
    """Opened, not read: 0.5 s; the limit is for machines at work."""
    parts = Parts(tmp_path / "set.h5")
    parts.begin(HEADER)
    names = [ChunkId(0, number, 0) for number in range(10_000)]
    for chunk in names:
        content = parts._packed(chunk, made(CHUNK))
        (parts.folder / chunk.file_name).write_bytes(content)
    start = time.perf_counter()
    with Dataset(tmp_path / "set.h5") as dataset:
        n = len(dataset)
    assert time.perf_counter() - start < 5
    assert n == 10_000 * len(accepted([CHUNK]))
    assert isinstance(dataset.structures(slice(5, 9)), Structures)
