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
    CHUNK,
    HEADER,
    TWO_STREAMS,
    accepted,
    assert_bits,
    counted,
    ids,
    leftovers,
    made,
    no_links,
    under_way,
)

from jentmax.dataset import ChunkId, Dataset, MissingPart, Parts, Structures
from jentmax.dataset import _parts as room
from jentmax.dataset._schema import PART_COLUMNS
from jentmax.errors import JentmaxError

# What is written is read


def test_chunks_come_back_bit_for_bit(parts):
    """NaN of rejected rows too."""
    assert parts.chunks() == set(ids())
    for chunk in ids():
        assert_bits(parts.get(chunk), made(chunk))
        assert parts.counts(chunk) == counted(chunk)
    assert any(np.isnan(made(chunk).positions).any() for chunk in ids())


def test_numpy_reads_parts(part):
    with np.load(part) as found:
        assert np.array_equal(found["columns/entropy"], made(CHUNK).entropy, equal_nan=True)
        expected = {"positions", "numbers", "cells", "pbc", "pointer", "atom_columns/descriptors"}
        assert set(found) == expected | {f"columns/{name}" for name in PART_COLUMNS}


def test_what_is_there_is_known_by_its_name(parts, monkeypatch):
    """Nothing is opened; other files do not count."""
    for name in ("0-1-1.npz", "0-000001-0001.npz.old", ".0-000009-0000.npz.0123abcd.partial"):
        (parts.folder / name).write_text("")
    monkeypatch.setattr(os, "open", None)
    assert parts.chunks() == set(ids())


def test_nothing_is_there(tmp_path):
    parts = Parts(tmp_path / "set.h5")
    for begin in (lambda: None, lambda: parts.begin(HEADER)):
        begin()
        assert parts.chunks() == set()
        for missing in (parts.get, parts.counts):
            with pytest.raises(MissingPart, match=r"does not exist now; .*open it again"):
                missing(CHUNK)
        parts.remove_all()
        assert (parts.exists(), parts.header()) == (False, None)
        with pytest.raises(MissingPart):
            parts.put(CHUNK, made(CHUNK))
        assert list(tmp_path.iterdir()) == []


def test_the_folder_is_gone(parts):
    """Another process has finished the set."""
    parts.get(CHUNK)
    Parts(parts.output).remove_all()
    for missing in (parts.get, parts.counts, lambda chunk: parts.put(chunk, made(chunk))):
        with pytest.raises(MissingPart):
            missing(CHUNK)
    assert (parts.exists(), parts.chunks()) == (False, set())


def test_outputs_that_are_links(tmp_path):
    (tmp_path / "link.h5").symlink_to("set.h5")
    assert under_way(tmp_path / "link.h5").header() == HEADER
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "set.h5.parts"]


def stream(**changes):
    return {"streams": [HEADER["streams"][0] | changes]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams": []}, "streams must have at least one stream"),
        (stream(share=0), r"streams\[0\]\.share = 0 is not allowed; give a number above 0"),
        (stream(n_atoms=True), r"streams\[0\]\.n_atoms = true is not allowed"),
        (stream(batch_size=10**12), r"streams\[0\]\.batch_size = 1000000000000 is not allowed"),
        (stream(cycles=1), r"streams\[0\]\.cycles = 1 is unknown; header\.streams\[0\] takes"),
        ({"scale": [1.0, np.nan]}, "must be plain data"),
        ({"scale": [1.0, 10**400]}, r"header\.scale = .* is not allowed; give a list of numbers"),
        ({"scale": [1.0]}, "shift must have as many numbers as header.scale"),
        ({"seed": 1.5}, r"header\.seed = 1\.5 is not allowed"),
        ({"sead": 1}, r"header\.sead = 1 is unknown; did you mean seed"),
        ({"recipe": "x"}, r'header\.recipe = "x" is not allowed'),
        ({"recipe": {"x": object()}}, "must be plain data"),
        ({"versions": {"jax": 1}}, r"header\.versions = .* is not allowed"),
        ({"precision": "float16"}, r'precision = "float16" is not allowed; give "float32" or'),
    ],
)
def test_headers_that_do_not_do(tmp_path, change, message):
    with pytest.raises(JentmaxError, match=message):
        Parts(tmp_path / "set.h5").begin(HEADER | change)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("name", [name for name in HEADER if name not in ("created", "precision")])
def test_headers_that_lack_something(tmp_path, name):
    header = {key: value for key, value in HEADER.items() if key != name}
    with pytest.raises(JentmaxError, match=f"header.{name} (is missing|must have at least one)"):
        Parts(tmp_path / "set.h5").begin(header)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda rows, name=name: rows.columns.pop(name) for name in PART_COLUMNS),
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
    assert parts.chunks() == set(ids())
    assert leftovers(parts.folder) == []


# Races


@pytest.mark.parametrize("links", [True, False])
def test_the_loser_of_a_chunk_takes_the_winners(tmp_path, monkeypatch, links):
    """Also on a file system without hard links."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    parts = under_way(tmp_path / "set.h5")
    assert_bits(parts.put(CHUNK, made(CHUNK, seed=1)), made(CHUNK))
    assert_bits(parts.get(CHUNK), made(CHUNK))
    assert leftovers(parts.folder) == []


def test_the_loser_of_a_header_takes_the_winners(tmp_path, meanwhile):
    one, other = Parts(tmp_path / "set.h5"), Parts(tmp_path / "set.h5")
    meanwhile(Parts, "_put", lambda: other.begin(HEADER | {"seed": 8}))
    assert one.begin(HEADER)["seed"] == 8
    assert_bits(one.put(CHUNK, made(CHUNK)), other.get(CHUNK))


@pytest.mark.parametrize("links", [True, False])
def test_many_threads_put_the_same_chunk(tmp_path, monkeypatch, links):
    """All get the same one back."""
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


def test_a_process_that_was_killed_while_it_claimed_a_name(part, parts, monkeypatch):
    """Without links there is an empty file for a moment; if it stays so, it is damaged."""
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(room.time, "sleep", lambda seconds: None)
    part.write_bytes(b"")
    assert_bits(parts.put(CHUNK, made(CHUNK)), made(CHUNK))


def test_a_part_that_is_empty_for_a_moment(part, parts, monkeypatch):
    whole = part.read_bytes()
    part.write_bytes(b"")
    monkeypatch.setattr(room.time, "sleep", lambda seconds: part.write_bytes(whole))
    assert_bits(parts.get(CHUNK), made(CHUNK))


def test_a_link_that_a_network_repeats(parts, monkeypatch):
    """The first request did it, its answer was lost, and the second one finds the file there."""
    link, chunk = os.link, ChunkId(0, 9, 0)

    def twice(*paths):
        link(*paths)
        link(*paths)

    monkeypatch.setattr(os, "link", twice)
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
    rng, parts = np.random.default_rng(0), Parts("set.h5")
    for _ in range(8):
        words = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
        for chunk in parts.chunks():
            assert_bits(parts.get(chunk), made(chunk))
    assert len(parts.chunks()) > 8
    parts.remove_all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ten_thousand_chunks_are_counted_in_seconds(tmp_path, monkeypatch):
    """Opened, not read: 0.5 s; the limit is for machines at work."""
    parts = Parts(tmp_path / "set.h5")
    parts.begin(HEADER)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    for number in range(10_000):
        parts.put(ChunkId(0, number, 0), made(CHUNK))
    start = time.perf_counter()
    with Dataset(tmp_path / "set.h5") as dataset:
        n = len(dataset)
    assert time.perf_counter() - start < 5
    assert n == 10_000 * len(accepted([CHUNK]))
    assert isinstance(dataset.structures(slice(5, 9)), Structures)
