"""The data set file: what is written is read."""

import dataclasses
import json
import os
import pathlib
import re
import sys

import h5py
import numpy as np
import pytest
from dataset_files import BATCHES, HEADER, assert_holds, make_rows, split, write

from jentmax.dataset import Dataset, DatasetWriter, Rows
from jentmax.dataset._schema import STRUCTURE_COLUMNS, atom_columns
from jentmax.errors import JentmaxError

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "file-format.md"
OPTIONAL = [name for name in STRUCTURE_COLUMNS if name not in ("index", "cell", "periodic")]


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "set.h5", *BATCHES)


# Reading what was written


def test_columns_come_back_sorted_by_index(path):
    with Dataset(path) as dataset:
        assert len(dataset) == 6
        assert_holds(dataset, *BATCHES)


def test_header_comes_back(path):
    with Dataset(path) as dataset:
        assert dataset.settings == HEADER["settings_toml"]
        assert dataset.seed == 7
        assert dataset.device == HEADER["device"]
        assert dataset.versions == HEADER["versions"]
        assert dataset.scale.tolist() == HEADER["scale"]
        assert dataset.shift.tolist() == HEADER["shift"]
        assert (dataset.kind, dataset.status) == ("generated", "complete")
        assert (dataset.quarantined, dataset.rejected) == (0, 0)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", dataset.created)
        assert dataset.columns == tuple(STRUCTURE_COLUMNS)
        assert "6 structures" in repr(dataset)


def test_long_settings_fit(tmp_path):
    # more than HDF5 puts into an attribute directly (64 KiB)
    header = HEADER | {"settings_toml": "# " + 200_000 * "x"}
    with DatasetWriter.create(tmp_path / "set.h5", **header) as writer:
        writer.append(make_rows([0]))
    assert Dataset(tmp_path / "set.h5").settings == header["settings_toml"]


def test_structures_are_atoms(path):
    with Dataset(path) as dataset:
        structures = list(dataset)
        assert len(structures) == 6
        first = BATCHES[0]
        atoms = structures[3]  # indices are 0, 1, 2, 5, 7, 9: the third of the first batch
        assert atoms.info == {
            "jentmax_index": 5,
            "chain": 1,
            "cycle": 1,
            "energy_effective": first.energy[2],
            "repulsion": first.repulsion[2],
            "entropy": first.entropy[2],
            "entropy_weight": first.entropy_weight[2],
            "least_distance": first.least_distance[2],
        }
        assert all(type(value) in (int, float) for value in atoms.info.values())
        assert np.array_equal(atoms.positions, split(first, first.positions)[2])
        assert np.array_equal(atoms.numbers, split(first, first.numbers)[2])
        assert np.array_equal(atoms.arrays["descriptors"], split(first, first.descriptors)[2])
        assert np.array_equal(atoms.cell.array, first.cell[2])
        assert atoms.pbc.all()
        assert atoms.calc is None


def test_index_and_slices(path):
    with Dataset(path) as dataset:

        def numbers(structures):
            return [atoms.info["jentmax_index"] for atoms in structures]

        assert numbers([dataset[0], dataset[5], dataset[-1], dataset[-6]]) == [0, 9, 9, 0]
        assert numbers([dataset[np.int64(2)]]) == [2]
        assert numbers(dataset[1:4]) == [1, 2, 5]
        assert numbers(dataset[::-2]) == [9, 5, 1]
        assert dataset[10:] == []
        for wrong in (6, -7):
            with pytest.raises(IndexError, match="from -6 to 5"):
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


# The schema


def test_file_is_as_the_schema_says(path):
    with h5py.File(path) as file:
        columns = {f"structures/{name}": column for name, column in STRUCTURE_COLUMNS.items()}
        columns |= {f"atoms/{name}": column for name, column in atom_columns(2).items()}
        for name, column in columns.items():
            dataset = file[name]
            assert dataset.dtype == column.dtype
            assert dataset.shape == (6 if "structures" in name else len(dataset), *column.shape)
            assert dataset.attrs["units"].decode() == column.units
            assert dataset.maxshape[0] is None
            assert (dataset.chunks is not None, dataset.compression, dataset.shuffle) == (
                True,
                "gzip",
                True,
            )
        assert file["structures/pointer"].shape == (7,)
        assert set(file) == {"structures", "atoms", "scaling"}
        assert len(file["structures"]) == len(STRUCTURE_COLUMNS) + 1
        assert file.attrs["schema"] == 1
        assert json.loads(file.attrs["versions"]) == HEADER["versions"]


def test_document_lists_what_is_in_the_file(path):
    rows = re.findall(r"^\| `/(\S+)` \| (\S+) \| \((.*?)\) \| (\S+) \|", DOCUMENT.read_text(), re.M)
    documented = {name: (dtype, shape.count(",") + 1, units) for name, dtype, shape, units in rows}
    actual = {}
    with h5py.File(path) as file:

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                actual[name] = (str(item.dtype), item.ndim, item.attrs["units"].decode())

        file.visititems(visit)
        attributes = set(file.attrs)
    assert documented == actual
    assert set(re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.M)) == attributes


def test_document_example_runs(tmp_path, monkeypatch, capsys):
    rows = make_rows([0, 1])
    write(tmp_path / "tungsten.h5", rows)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    names = {}
    exec(example, names)
    assert np.array_equal(names["positions"], split(rows, rows.positions)[0])
    assert str(rows.entropy[0]) in capsys.readouterr().out


def test_size_is_near_that_of_the_compressed_arrays(tmp_path):
    """Chunks that do not fit the appends, or space reserved and not given back, would show."""
    rng = np.random.default_rng(0)
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for batch in range(20):
            rows = make_rows(range(32 * batch, 32 * batch + 32))
            counts = np.full(32, 39)
            writer.append(
                dataclasses.replace(
                    rows,
                    counts=counts,
                    positions=rng.random((32 * 39, 3)),
                    numbers=np.full(32 * 39, 74),
                    descriptors=rng.random((32 * 39, 2)),
                )
            )
    raw = 20 * 32 * (39 * (24 + 2 + 8) + 3 * 8 + 20 * 8)
    assert path.stat().st_size < 1.1 * raw


# Described files


def described(rows, *keep):
    return dataclasses.replace(rows, **{name: None for name in OPTIONAL if name not in keep})


def test_described_files_may_lack_columns(tmp_path):
    rows = described(make_rows([1, 0]), "entropy")
    write(tmp_path / "set.h5", rows, kind="described")
    with Dataset(tmp_path / "set.h5") as dataset:
        assert dataset.kind == "described"
        assert dataset.columns == ("index", "cell", "periodic", "entropy")
        assert dataset.entropy.tolist() == rows.entropy[::-1].tolist()
        assert dataset[0].info == {"jentmax_index": 0, "entropy": rows.entropy[1]}
        with pytest.raises(JentmaxError, match=r"no column 'energy'.*described.*entropy"):
            _ = dataset.energy


@pytest.mark.parametrize("name", OPTIONAL)
def test_generated_files_may_not(tmp_path, name):
    with DatasetWriter.create(tmp_path / "set.h5", **HEADER) as writer:
        with pytest.raises(JentmaxError, match=f"columns {name}:"):
            writer.append(dataclasses.replace(make_rows([0]), **{name: None}))
        writer.append(make_rows([0]))


# Appending


def test_columns_must_be_the_same_every_time(tmp_path):
    rows = make_rows([0])
    writer = DatasetWriter.create(tmp_path / "set.h5", **HEADER, kind="described")
    with writer:
        writer.append(described(rows, "entropy"))
        with pytest.raises(JentmaxError, match="columns energy:"):
            writer.append(described(rows, "entropy", "energy"))
        with pytest.raises(JentmaxError, match="columns entropy:"):
            writer.append(described(rows))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("counts", [[1]]),
        ("counts", [0, 3]),
        ("counts", [1, 1]),
        ("index", [1]),
        ("cell", np.eye(3)),
        ("positions", np.zeros((3, 2))),
        ("numbers", [1, 2]),
        ("descriptors", np.zeros((3, 5))),
        ("entropy", 1.0),
    ],
)
def test_shapes_must_fit(tmp_path, name, values):
    rows = dataclasses.replace(
        make_rows([0, 1]),
        counts=[1, 2],
        positions=np.zeros((3, 3)),
        numbers=[1, 2, 3],
        descriptors=np.zeros((3, 2)),
    )
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        writer.append(rows)
        with pytest.raises(JentmaxError):
            writer.append(dataclasses.replace(rows, **{name: values}))
        writer.append(rows)
    assert len(Dataset(path)) == 4


def test_scale_and_shift_must_fit(tmp_path):
    with pytest.raises(JentmaxError, match="shift"):
        DatasetWriter.create(tmp_path / "set.h5", **HEADER | {"shift": [0.0]})
    assert os.listdir(tmp_path) == []


def test_appending_nothing_does_nothing(tmp_path):
    path = tmp_path / "set.h5"
    nothing = Rows(
        **{name: getattr(make_rows([0, 1]), name)[:0] for name in STRUCTURE_COLUMNS},
        counts=[],
        positions=np.zeros((0, 3)),
        numbers=[],
        descriptors=np.zeros((0, 2)),
    )
    with DatasetWriter.create(path, **HEADER) as writer:
        writer.append(nothing)
        assert not path.exists()
        writer.append(make_rows([0]))
        writer.append(nothing)
    assert len(Dataset(path)) == 1


def test_discarded_attempts_are_counted_while_running(tmp_path):
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for count in (2, 3):
            writer.quarantined, writer.rejected = count, 2 * count
            writer.append(make_rows([count]))
            with Dataset(path) as dataset:
                assert (dataset.quarantined, dataset.rejected) == (count, 2 * count)
                assert dataset.status == "running"
        writer.quarantined = 4
    assert Dataset(path).quarantined == 4


def test_an_exception_keeps_what_was_appended(tmp_path):
    path = tmp_path / "set.h5"

    def interrupted():
        with DatasetWriter.create(path, **HEADER) as writer:
            writer.append(BATCHES[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Dataset(path) as dataset:
        assert dataset.status == "running"
        assert_holds(dataset, BATCHES[0])
    assert h5py.File(path)["structures/index"].shape == (3,)  # closed properly


def test_a_closed_writer_says_so(tmp_path):
    with DatasetWriter.create(tmp_path / "set.h5", **HEADER) as writer:
        writer.append(make_rows([0]))
    writer.close()
    with pytest.raises(JentmaxError, match="closed"):
        writer.append(make_rows([1]))
    assert len(Dataset(tmp_path / "set.h5")) == 1


# Existing files


def test_an_existing_file_is_not_touched(path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(JentmaxError, match=r"set\.h5 exists.*overwrite"):
        DatasetWriter.create(path, **HEADER)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["set.h5"]


def test_overwriting_keeps_the_old_file_until_there_is_a_new_one(path, tmp_path):
    before = path.read_bytes()
    rows = make_rows([3], seed=1)
    with DatasetWriter.create(path, **HEADER, overwrite=True) as writer:
        assert path.read_bytes() == before
        writer.append(rows)
        with Dataset(path) as dataset:
            assert_holds(dataset, rows)
    assert os.listdir(tmp_path) == ["set.h5"]


@pytest.mark.parametrize("error", [RuntimeError, None])
def test_without_structures_nothing_happens(path, tmp_path, error):
    before = path.read_bytes()
    for name in ("set.h5", "new.h5"):
        writer = DatasetWriter.create(tmp_path / name, **HEADER, overwrite=True)
        writer.__exit__(error, error and error(), None)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["set.h5"]


def test_a_file_that_appears_meanwhile_is_not_touched(tmp_path):
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        path.write_text("mine")
        with pytest.raises(JentmaxError, match="exists"):
            writer.append(make_rows([0]))
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["set.h5"]


def test_overwriting_through_a_link_keeps_the_link(path, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    write(link, make_rows([4]), overwrite=True)
    assert link.is_symlink()
    assert Dataset(path).index.tolist() == [4]


def test_permissions_are_those_of_any_new_file(path, tmp_path):
    (tmp_path / "other").write_text("")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none/set.h5", "no folder"),
        ("file/set.h5", "no folder"),
        (".", "is a folder"),
        ("x" * 250 + ".h5", "cannot be written"),
        pytest.param(
            "/proc/set.h5",
            "cannot be written",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has it"),
        ),
        pytest.param(
            "/dev/null",
            "no regular file",
            marks=pytest.mark.skipif(os.name != "posix", reason="POSIX has it"),
        ),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(JentmaxError, match=message):
        DatasetWriter.create(tmp_path / name, **HEADER, overwrite=True)
    assert os.listdir(tmp_path) == ["file"]
