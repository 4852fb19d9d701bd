"""Data sets, finished and under way: what is written is read."""

import json
import pathlib
import re

import h5py
import numpy as np
import pytest
from dataset_files import (
    HEADER,
    TWO_STREAMS,
    accepted,
    assert_holds,
    assert_same,
    described,
    finished,
    ids,
    leftovers,
    made,
    read_all,
    under_way,
)

from jentmax.dataset import ChunkId, Dataset, Parts, write_dataset, write_set
from jentmax.dataset._schema import STRUCTURE_COLUMNS, columns
from jentmax.errors import JentmaxError

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "file-format.md"


@pytest.fixture
def path(tmp_path):
    return finished(tmp_path / "set.h5")


# Reading what was written


@pytest.mark.parametrize("header", [HEADER, TWO_STREAMS], ids=["one stream", "two streams"])
@pytest.mark.parametrize("write", [finished, under_way])
def test_structures_come_back_in_the_order_of_the_set(tmp_path, header, write):
    write(tmp_path / "set.h5", header=header)
    assert_holds(tmp_path / "set.h5", accepted(ids(header=header), header))


@pytest.mark.parametrize("write", [finished, under_way])
def test_some_structures_are_those_of_all(tmp_path, write):
    """Reading a few reads the right ones."""
    write(tmp_path / "set.h5", header=TWO_STREAMS)
    expected = accepted(ids(header=TWO_STREAMS), TWO_STREAMS)
    with Dataset(tmp_path / "set.h5") as dataset:
        for which in (slice(3, 7), slice(None, None, -2), slice(4, 4), slice(-1, None)):
            some, wanted = dataset.structures(which), expected[which]
            assert np.array_equal(some.positions, wanted.positions)
            assert np.array_equal(some.columns["entropy"], wanted.columns["entropy"])
            assert some.columns["index"].tolist() == list(range(len(expected)))[which]


def test_the_first_n_are_the_set_and_the_others_a_surplus(tmp_path):
    for n in (1, 5, 9):
        path = finished(tmp_path / f"{n}.h5", header=TWO_STREAMS, n=n)
        assert_holds(path, accepted(ids(header=TWO_STREAMS), TWO_STREAMS)[:n])


@pytest.mark.parametrize("write", [finished, under_way])
def test_header_comes_back(tmp_path, write):
    write(tmp_path / "set.h5")
    with Dataset(tmp_path / "set.h5") as dataset:
        assert dataset.recipe == HEADER["recipe"]
        assert (dataset.seed, dataset.device) == (7, HEADER["device"])
        assert dataset.versions == HEADER["versions"]
        assert dataset.created == HEADER["created"]
        assert dataset.scale.tolist() == HEADER["scale"]
        assert dataset.shift.tolist() == HEADER["shift"]
        assert {name: dataset.header[name] for name in HEADER} == HEADER
        status = "complete" if write is finished else "running"
        assert (dataset.kind, dataset.status) == ("generated", status)
        counts = np.bincount(np.concatenate([made(c).columns["status"] for c in ids()]))
        assert dataset.discarded == {"not finite": counts[1], "too close": counts[2]}
        assert dataset.share_discarded == pytest.approx(counts[1:].sum() / counts.sum())
        assert dataset.columns == ("index", *list(STRUCTURE_COLUMNS)[2:])
        assert f"{counts[0]} structures, generated, {status}" in repr(dataset)


def test_long_recipes_fit(tmp_path):
    # more than HDF5 puts into an attribute directly (64 KiB)
    header = HEADER | {"recipe": {"text": 200_000 * "x"}}
    assert Dataset(finished(tmp_path / "set.h5", header=header)).recipe == header["recipe"]


def test_structures_are_atoms(path):
    expected = accepted(ids())
    with Dataset(path) as dataset:
        assert len(list(dataset)) == len(expected)
        atoms = dataset[3]
        assert atoms.info == {
            "jentmax_index": 3,
            "chain": expected.chain[3],
            "cycle": expected.cycle[3],
            "energy_effective": expected.energy[3],
            "repulsion": expected.repulsion[3],
            "entropy": expected.entropy[3],
            "entropy_weight": expected.entropy_weight[3],
            "least_distance": expected.least_distance[3],
            "temperature": expected.temperature[3],
        }
        assert all(type(value) in (int, float) for value in atoms.info.values())
        own = expected.rows([3])
        assert np.array_equal(atoms.positions, expected.positions[own])
        assert np.array_equal(atoms.numbers, expected.numbers[own])
        assert np.array_equal(atoms.arrays["descriptors"], expected.descriptors[own])
        assert np.array_equal(atoms.cell.array, expected.cells[3])
        assert atoms.pbc.all()
        assert atoms.calc is None


def test_index_and_slices(path):
    n = len(accepted(ids()))
    with Dataset(path) as dataset:

        def numbers(structures):
            return [atoms.info["jentmax_index"] for atoms in structures]

        assert numbers(dataset[k] for k in (0, n - 1, -1, -n)) == [0, n - 1, n - 1, 0]
        assert numbers([dataset[np.int64(2)]]) == [2]
        assert numbers(dataset[1:4]) == [1, 2, 3]
        assert numbers(dataset[::-2]) == list(range(n))[::-2]
        assert dataset[n + 5 :] == []
        for wrong in (n, -n - 1):
            with pytest.raises(IndexError, match=f"from -{n} to {n - 1}"):
                dataset[wrong]
        with pytest.raises(TypeError):
            dataset[1.0]


def test_arrays_cannot_be_changed_by_accident(path):
    with Dataset(path) as dataset:
        for values in (dataset.entropy, dataset.positions):
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 0
        atoms = dataset[0]
        atoms.positions += 1  # but atoms are one's own
        assert not np.allclose(atoms.positions, dataset[0].positions)


def test_what_was_read_stays_after_closing(path):
    with Dataset(path) as dataset:
        entropy = dataset.entropy
    assert dataset.entropy is entropy
    for read in (lambda: dataset.energy, lambda: dataset.positions, lambda: dataset[0]):
        with pytest.raises(JentmaxError, match="closed"):
            read()


def test_the_file_counts_if_both_are_there(path):
    under_way(path, 9)
    assert Dataset(path).status == "complete"
    assert len(Dataset(f"{path}.parts")) == len(Dataset(path))
    path.unlink()
    assert Dataset(path).status == "running"


# Chunks


@pytest.mark.parametrize("header", [HEADER, TWO_STREAMS], ids=["one stream", "two streams"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_finished_file_gives_its_chunks_back(tmp_path, header, precision):
    """Also those of the surplus, and those without an accepted row."""
    header = header | {"precision": precision}
    path = finished(tmp_path / "set.h5", header=header, n=2)
    with Dataset(path) as dataset:
        assert dataset.chunks() == set(ids(header=header))
        for chunk in ids(header=header):
            there = dataset.chunk(chunk)
            assert_same(there, made(chunk, header))
            assert len(there) == header["streams"][chunk.stream]["batch_size"]
            assert there.descriptors.dtype == precision
            assert (there.columns["cycle"] == chunk.cycle).all()
        with pytest.raises(JentmaxError, match="has no chunk"):
            dataset.chunk(ChunkId(0, 99, 0))


def test_a_chunk_without_accepted_rows(tmp_path):
    def get(chunk):
        rows = made(chunk)
        return rows if chunk.batch else only(rows, np.int8(2))

    write_set(tmp_path / "set.h5", HEADER, ids(), get, 3)
    with Dataset(tmp_path / "set.h5") as dataset:
        assert (dataset.chunk(ChunkId(0, 0, 1)).columns["status"] == 2).all()


def only(rows, status):
    rows.columns["status"][:] = status
    return rows


@pytest.mark.parametrize("header", [HEADER, TWO_STREAMS], ids=["one stream", "two streams"])
def test_a_set_extended_from_its_file_is_the_set_made_at_once(tmp_path, header):
    few, chunks = finished(tmp_path / "few.h5", 2, header, n=3), ids(5, header)
    with Dataset(few) as dataset:

        def get(chunk):
            return dataset.chunk(chunk) if chunk in dataset.chunks() else made(chunk, header)

        n = len(accepted(chunks, header))
        assert write_set(few, dataset.header, chunks, get, n, overwrite=True)
    assert_holds(few, accepted(chunks, header))
    with Dataset(few) as dataset:
        for chunk in chunks:
            assert_same(dataset.chunk(chunk), made(chunk, header))


def test_a_larger_set_of_another_process_stays(tmp_path):
    path = finished(tmp_path / "set.h5", n=8)
    before = path.read_bytes()
    assert not write_set(path, HEADER, ids(), made, 5, overwrite=True)
    assert path.read_bytes() == before
    assert not write_set(path, HEADER, ids(), made, 9)
    assert write_set(path, HEADER, ids(), made, 9, overwrite=True)
    assert len(Dataset(path)) == 9
    # Another set is replaced whatever its size.
    assert write_set(path, HEADER | {"seed": 8}, ids(), made, 5, overwrite=True)
    assert leftovers(tmp_path) == []


def test_too_few_chunks(tmp_path):
    n = len(accepted(ids()))
    with pytest.raises(JentmaxError, match=f"{n + 1} structures are asked for, there are {n}"):
        write_set(tmp_path / "set.h5", HEADER, ids(), made, n + 1)
    with pytest.raises(JentmaxError, match="there are 0"):
        write_set(tmp_path / "set.h5", HEADER, [], made, 1)
    assert list(tmp_path.iterdir()) == []


# The schema


def test_file_is_as_the_schema_says(path):
    n = len(accepted(ids()))
    with h5py.File(path) as file:
        for name, column in columns(2).items():
            dataset = file[name]
            assert dataset.dtype == column.dtype
            assert dataset.shape == (3 * n if "atoms/" in name else n, *column.shape)
            assert dataset.attrs["units"].decode() == column.units
            assert dataset.maxshape[0] is None
            assert (dataset.chunks is not None, dataset.compression) == (True, "gzip")
            assert (dataset.shuffle, dataset.fletcher32) == (True, True)
        assert file["structures/pointer"].shape == (n + 1,)
        assert set(file) == {"structures", "atoms", "scaling", "chunks"}
        assert len(file["structures"]) == len(STRUCTURE_COLUMNS) + 1
        assert file.attrs["schema"] == 2
        assert json.loads(file.attrs["versions"]) == HEADER["versions"]


def test_document_lists_what_is_in_the_file(path):
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `/(\S+)` \| (\S+) \| \((.*?)\) \| (\S+) \|", text, re.M)
    listed = {name: (dtype, shape.count(",") + 1, units) for name, dtype, shape, units in rows}
    actual = {}
    with h5py.File(path) as file:

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                actual[name] = (str(item.dtype), item.ndim, item.attrs["units"].decode())

        file.visititems(visit)
        attributes = set(file.attrs)
    together = {f"chunks/{name}": actual[f"chunks/{name}"] for name in ("stream", "batch", "cycle")}
    assert listed | together == actual
    assert set(re.findall(r"^\| `(\w+)` \|", text.partition("## Order")[0], re.M)) == attributes


def test_document_example_runs(tmp_path, monkeypatch, capsys):
    finished(tmp_path / "tungsten.h5")
    monkeypatch.chdir(tmp_path)
    example = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)[0]
    names = {}
    exec(example, names)
    expected = accepted(ids())
    assert np.array_equal(names["positions"], expected.positions[:3])
    assert str(expected.entropy[0]) in capsys.readouterr().out


# Described files


def test_described_files_may_lack_columns(tmp_path):
    rows = accepted(ids())
    columns = {"entropy": rows.entropy, "of_the_user": rows.entropy}
    some = type(rows)(
        rows.positions, rows.numbers, rows.cells, rows.pbc, rows.pointer, columns, rows.atom_columns
    )
    with Dataset(described(tmp_path / "set.h5", some)) as dataset:
        assert (dataset.kind, dataset.share_discarded) == ("described", 0)
        assert dataset.columns == ("index", "entropy")
        assert dataset.entropy.tolist() == rows.entropy.tolist()
        assert dataset[0].info == {"jentmax_index": 0, "entropy": rows.entropy[0]}
        with pytest.raises(JentmaxError, match=r"no column 'energy'.*described.*entropy"):
            _ = dataset.energy
        assert dataset.chunks() == set()
        with pytest.raises(AttributeError):
            _ = dataset.nonsense


@pytest.mark.parametrize("name", [*STRUCTURE_COLUMNS][2:])
def test_generated_files_may_not(tmp_path, name):
    def get(chunk):
        rows = made(chunk)
        rows.columns.pop(name)
        return rows

    with pytest.raises(JentmaxError, match=f"{name} is missing"):
        write_set(tmp_path / "set.h5", HEADER, ids(), get, 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.nan}, r"structure 0: positions\[0\]"),
        ({"cells": np.inf}, r"structure 0: cell\[0\]"),
        ({"numbers": 119}, r"structure 0: numbers\[0\] = 119, must be 0 to 118"),
        ({"entropy": np.nan}, "entropy cannot be written: there are numbers that are not finite"),
        ({"descriptors": np.inf}, "descriptors cannot be written"),
    ],
)
def test_what_cannot_be_is_not_written(tmp_path, change, message):
    rows = accepted(ids())
    for name, value in change.items():
        getattr(rows, name)[0] = value
    with pytest.raises(JentmaxError, match=message):
        described(tmp_path / "set.h5", rows)
    assert list(tmp_path.iterdir()) == []


def test_scale_and_shift_must_fit(tmp_path):
    with pytest.raises(JentmaxError, match="shift"):
        write_dataset(tmp_path / "set.h5", HEADER | {"shift": [0.0]}, accepted(ids()))
    for scale, message in (([1.0] * 3, "descriptors is missing or does not fit"), ("x", "scale")):
        header = HEADER | {"scale": scale, "shift": scale}
        with pytest.raises(JentmaxError, match=message):
            write_dataset(tmp_path / "set.h5", header, accepted(ids()))
    assert list(tmp_path.iterdir()) == []


# Sets under way


def test_a_set_without_structures_yet(tmp_path):
    parts = Parts(tmp_path / "set.h5")
    with pytest.raises(JentmaxError, match="does not exist"):
        Dataset(tmp_path / "set.h5")
    parts.begin(HEADER)
    with pytest.raises(JentmaxError, match="has no structures yet"):
        Dataset(tmp_path / "set.h5")


def test_gaps_of_a_set_under_way(tmp_path):
    """All that is there is shown."""
    parts = under_way(tmp_path / "set.h5")
    parts.remove_all()
    parts = Parts(tmp_path / "set.h5")
    parts.begin(HEADER)
    some = ids()[1::2]
    for chunk in some:
        parts.put(chunk, made(chunk))
    assert_holds(tmp_path / "set.h5", accepted(some))
    assert len(read_all(tmp_path / "set.h5")) == len(accepted(some))


def test_a_set_that_is_finished_while_it_is_read(tmp_path):
    parts = under_way(tmp_path / "set.h5")
    dataset = Dataset(tmp_path / "set.h5")
    parts.remove_all()
    with pytest.raises(JentmaxError, match="open it again"):
        _ = dataset.entropy
