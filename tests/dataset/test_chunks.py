"""Chunks of finished sets, and sets that go on from their finished file."""

import contextlib

import numpy as np
import pytest
from dataset_files import (
    HEADER,
    TWO_STREAMS,
    accepted,
    assert_holds,
    finished,
    ids,
    made,
    under_way,
)

from jentmax.dataset import Dataset, Parts, reopen_set, write_set
from jentmax.dataset._file import File
from jentmax.errors import JentmaxError


def with_zeros(rows):
    """What a finished file has of a chunk: of rejected rows, where they were."""
    rejected = rows.status != 0
    of_atoms = np.repeat(rejected, rows.counts)
    known = ("row", "status", "chain", "cycle")
    for values in (
        rows.cells,
        rows.pbc,
        *(rows.columns[n] for n in rows.columns if n not in known),
    ):
        values[rejected] = 0
    for values in (rows.positions, rows.numbers, rows.descriptors):
        values[of_atoms] = 0
    return rows


def assert_chunks(path, expected):
    with contextlib.closing(File(path)) as file:
        assert list(expected) == file.ids
        for (chunk, rows), wanted in zip(file.chunks(), expected.values(), strict=True):
            wanted.columns["cycle"] = np.full(len(wanted), chunk.cycle)
            wanted = with_zeros(wanted)
            assert rows.columns.keys() == wanted.columns.keys()
            assert rows.descriptors.dtype == wanted.descriptors.dtype
            for name in ("positions", "numbers", "cells", "pbc", "descriptors", *rows.columns):
                assert np.array_equal(getattr(rows, name), getattr(wanted, name)), name


@pytest.mark.parametrize("header", [HEADER, TWO_STREAMS], ids=["one stream", "two streams"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_finished_file_gives_its_chunks_back(tmp_path, header, precision):
    """Also those of the surplus."""
    header = header | {"precision": precision}
    path = finished(tmp_path / "set.h5", header=header, n=2)
    assert_chunks(path, {chunk: made(chunk, header) for chunk in ids(header=header)})
    for name in (path, under_way(tmp_path / "running.h5", header=header).folder):
        assert Dataset(name).chunks == ids(header=header)


def test_chunks_without_accepted_rows(tmp_path):
    """Such a set has nothing to show until there are others."""
    parts, rejected = Parts(tmp_path / "set.h5"), {}
    parts.begin(HEADER)
    for chunk in ids(1):
        rejected[chunk] = made(chunk)
        rejected[chunk].columns["status"][:] = 2
        parts.put(chunk, rejected[chunk])
    for use in (lambda: Dataset(parts.output), lambda: write_set(parts, 1)):
        with pytest.raises(JentmaxError, match="has no structures yet"):
            use()
    others = ids(3)[2:]
    for chunk in others:
        parts.put(chunk, made(chunk))
    assert_holds(parts.output, accepted(others))
    write_set(parts, 3)
    parts.remove_all()
    assert_holds(parts.output, accepted(others)[:3])
    assert_chunks(parts.output, rejected | {chunk: made(chunk) for chunk in others})
    reopen_set(parts)
    assert parts.counts(ids()[0]) == (0, 0, 4)


# Going on from a finished file


@pytest.mark.parametrize("header", [HEADER, TWO_STREAMS], ids=["one stream", "two streams"])
def test_a_set_extended_from_its_file_is_the_set_made_at_once(tmp_path, header):
    """The same bytes, though the chunks of the smaller set come from its file."""
    parts = Parts(finished(tmp_path / "few.h5", 2, header, n=3))
    reopen_set(parts)
    assert parts.chunks() == set(ids(2, header))
    for chunk in ids(5, header):
        parts.put(chunk, made(chunk, header, seed=int(chunk in parts.chunks())))
    n = len(accepted(ids(5, header), header))
    write_set(parts, n)
    parts.remove_all()
    at_once = finished(tmp_path / "once.h5", 5, header)
    assert_holds(parts.output, accepted(ids(5, header), header))
    assert parts.output.read_bytes() == at_once.read_bytes()


def test_going_on_twice(path):
    """What is in the folder stays; a process that was killed has left some of it."""
    parts = Parts(path)
    reopen_set(parts)
    kept, lost = ids()[0], ids()[1]
    before = (parts.folder / kept.file_name).stat().st_mtime_ns
    parts.remove(lost)
    reopen_set(parts)
    assert parts.chunks() == set(ids())
    assert (parts.folder / kept.file_name).stat().st_mtime_ns == before
    write_set(parts, 2)
    assert_holds(path, accepted(ids()))  # it was larger


def test_going_on_in_the_folder_of_another_set(path):
    other = Parts(path)
    other.begin(HEADER | {"seed": 8})
    with pytest.raises(JentmaxError, match=r"set\.h5\.parts is not of .*set\.h5; remove"):
        reopen_set(Parts(path))
    assert other.chunks() == set()


def test_too_few_chunks(parts, tmp_path):
    n = len(accepted(ids()))
    with pytest.raises(JentmaxError, match=f"{n + 1} structures are asked for, there are {n}"):
        write_set(parts, n + 1)
    assert list(tmp_path.iterdir()) == [parts.folder]
