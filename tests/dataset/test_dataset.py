"""Data sets, finished and under way: what is written is read."""

import json
import pathlib
import re
from typing import Any

import h5py
import numpy as np
import pytest
from dataset_files import (
    HEADER,
    TWO_STREAMS,
    accepted,
    assert_holds,
    described,
    finished,
    ids,
    made,
    read_all,
    under_way,
)

from jentmax.dataset import Dataset, Parts, Stream, write_dataset
from jentmax.dataset._header import _Header
from jentmax.dataset._schema import COMPUTED_COLUMNS, STORED, columns
from jentmax.errors import JentmaxError
from jentmax.fields import fields_of

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "file-format.md"


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
        assert dataset.header == HEADER
        for name in ("recipe", "seed", "versions", "device", "created", "scale", "shift"):
            assert np.array_equal(getattr(dataset, name), HEADER[name]), name
        status = "complete" if write is finished else "running"
        assert (dataset.kind, dataset.status) == ("generated", status)
        counts = np.bincount(np.concatenate([made(c).columns["status"] for c in ids()]))
        assert dataset.discarded == {"not finite": counts[1], "too close": counts[2]}
        assert dataset.fraction_discarded == pytest.approx(counts[1:].sum() / counts.sum())
        assert dataset.columns == ("index", *COMPUTED_COLUMNS)
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
    two: Any = np.int64(2)
    half: Any = 0.5
    with Dataset(path) as dataset:

        def numbers(structures):
            return [atoms.info["jentmax_index"] for atoms in structures]

        assert numbers(dataset[k] for k in (0, n - 1, -1, -n)) == [0, n - 1, n - 1, 0]
        assert numbers([dataset[two]]) == [2]
        assert numbers(dataset[1:4]) == [1, 2, 3]
        assert numbers(dataset[::-2]) == list(range(n))[::-2]
        assert dataset[n + 5 :] == []
        for wrong in (n, -n - 1):
            with pytest.raises(IndexError, match=f"from -{n} to {n - 1}"):
                dataset[wrong]
        with pytest.raises(TypeError):
            dataset[half]


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


# The schema


def test_file_is_as_the_schema_says(path):
    n = len(accepted(ids()))
    with h5py.File(path) as file:
        for name, column in columns(2).items():
            dataset = file[STORED[name]]
            assert isinstance(dataset, h5py.Dataset)
            assert dataset.dtype == column.dtype
            assert dataset.shape == (3 * n if "atoms/" in STORED[name] else n, *column.shape)
            assert np.asarray(dataset.attrs["units"]).item().decode() == column.units
            assert (dataset.maxshape or [0])[0] is None
            assert (dataset.chunks is not None, dataset.compression) == (True, "gzip")
            assert (dataset.shuffle, dataset.fletcher32) == (True, True)
        assert np.asarray(file["structures/pointer"]).shape == (n + 1,)
        assert {name: len([*group]) for name, group in file.items()} == {
            "structures": 11,
            "atoms": 3,
            "chunks": 4,
        }
        assert file.attrs["schema"] == 3
        assert json.loads(np.asarray(file.attrs["header"]).item()) == HEADER


def test_document_lists_what_is_in_the_file(path):
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `/(\S+)` \| (\S+) \| \((.*?)\) \| (\S+) \|", text, re.M)
    listed = {name: (dtype, shape.count(",") + 1, units) for name, dtype, shape, units in rows}
    actual = {}
    with h5py.File(path) as file:

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                units = np.asarray(item.attrs["units"]).item().decode()
                actual[name] = (str(item.dtype), item.ndim, units)

        file.visititems(visit)
        attributes = set(file.attrs)
    together = {f"chunks/{name}": actual[f"chunks/{name}"] for name in ("stream", "batch", "cycle")}
    assert listed | together == actual
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text.partition("## Order")[0], re.M))
    assert set(listed) == attributes | set(fields_of(_Header))
    assert set(re.findall(r"`(\w+)`", listed["streams"])) == set(fields_of(Stream))


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
        assert (dataset.kind, dataset.fraction_discarded) == ("described", 0)
        assert dataset.columns == ("index", "entropy")
        assert dataset.entropy.tolist() == rows.entropy.tolist()
        assert dataset[0].info == {"jentmax_index": 0, "entropy": rows.entropy[0]}
        with pytest.raises(JentmaxError, match=r"no column 'energy'.*described.*entropy"):
            _ = dataset.energy
        assert dataset.chunks == []
        with pytest.raises(AttributeError):
            _ = dataset.nonsense


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
    with pytest.raises(JentmaxError, match=r"header\.shift must have as many numbers"):
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
    assert read_all(tmp_path / "set.h5")[1] == some


def test_a_set_that_is_finished_while_it_is_read(tmp_path):
    parts = under_way(tmp_path / "set.h5")
    dataset = Dataset(tmp_path / "set.h5")
    parts.remove_all()
    with pytest.raises(JentmaxError, match="open it again"):
        _ = dataset.entropy
