"""The data set file: what is written is read, in any order of events, and bad files are named."""

import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest

from jentmax.dataset import Dataset, DatasetWriter, Rows
from jentmax.dataset._schema import STRUCTURE_COLUMNS, atom_columns
from jentmax.errors import JentmaxError

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "file-format.md"
HEADER = {
    "settings_toml": "[run]\nseed = 7\n",
    "seed": 7,
    "device": "a device, 日本",
    "scale": [1.5, 2.5],
    "shift": [-1.0, 1.0],
    "versions": {"jentmax": "0.1.0", "jax": "0.10.1"},
}
OPTIONAL = [name for name in STRUCTURE_COLUMNS if name not in ("index", "cell")]


def make_rows(index, *, seed=0):
    """Random structures of 1 to 5 atoms; a function of index and seed."""
    rng = np.random.default_rng([seed, *index])
    k = len(index)
    counts = rng.integers(1, 6, k)
    n_atoms = int(counts.sum())
    return Rows(
        index=np.asarray(index),
        counts=counts,
        cell=rng.normal(size=(k, 3, 3)) + 9 * np.eye(3),
        positions=rng.normal(size=(n_atoms, 3)),
        numbers=rng.integers(1, 80, n_atoms),
        descriptors=rng.normal(size=(n_atoms, 2)).astype("float32"),
        chain=np.asarray(index) // 4,
        cycle=np.asarray(index) % 4,
        attempt=rng.integers(0, 3, k),
        status=rng.integers(0, 2, k),
        **{
            name: rng.normal(size=k)
            for name in (
                "energy",
                "repulsion",
                "entropy",
                "entropy_weight",
                "least_distance",
                "temperature",
            )
        },
    )


def write(path, *batches, status="complete", **options):
    with DatasetWriter.create(path, **HEADER, **options) as writer:
        for rows in batches:
            writer.append(rows)
        writer.close(status)
    return path


def split(rows, values):
    return np.split(np.asarray(values), np.cumsum(rows.counts)[:-1])


def assert_holds(dataset, *batches):
    """The data set holds the structures of these rows, sorted by index."""
    expected = []
    for rows in batches:
        for k, number in enumerate(rows.index):
            expected.append((number, k, rows))
    expected.sort(key=lambda item: item[0])
    assert dataset.index.tolist() == [number for number, _, _ in expected]
    for name in STRUCTURE_COLUMNS:
        read = getattr(dataset, {"cell": "cells", "status": "structure_status"}.get(name, name))
        assert np.array_equal(read, [getattr(rows, name)[k] for _, k, rows in expected]), name
    for name in ("positions", "numbers", "descriptors"):
        pieces = [split(rows, getattr(rows, name))[k] for _, k, rows in expected]
        assert np.array_equal(getattr(dataset, name), np.concatenate(pieces)), name
        assert dataset.pointer.tolist() == [0, *np.cumsum([len(piece) for piece in pieces])]


def leftovers(folder):
    return [name for name in os.listdir(folder) if "partial" in name]


@pytest.fixture
def batches():
    # neither the batches nor the structures in them come in the order of their index
    return make_rows([7, 2, 5]), make_rows([0, 9]), make_rows([1])


@pytest.fixture
def path(tmp_path, batches):
    return write(tmp_path / "set.h5", *batches)


# Reading what was written


def test_columns_come_back_sorted_by_index(path, batches):
    with Dataset(path) as dataset:
        assert len(dataset) == 6
        assert_holds(dataset, *batches)


def test_header_comes_back(path):
    with Dataset(path) as dataset:
        assert dataset.settings == HEADER["settings_toml"]
        assert dataset.seed == 7
        assert dataset.device == HEADER["device"]
        assert dataset.versions == HEADER["versions"]
        assert dataset.scale.tolist() == HEADER["scale"]
        assert dataset.shift.tolist() == HEADER["shift"]
        assert (dataset.kind, dataset.status, dataset.quarantined) == ("generated", "complete", 0)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", dataset.created)
        assert dataset.columns == tuple(STRUCTURE_COLUMNS)
        assert "6 structures" in repr(dataset)


def test_long_settings_fit(tmp_path):
    # more than HDF5 puts into an attribute directly (64 KiB)
    header = HEADER | {"settings_toml": "# " + 200_000 * "x"}
    with DatasetWriter.create(tmp_path / "set.h5", **header) as writer:
        writer.append(make_rows([0]))
    assert Dataset(tmp_path / "set.h5").settings == header["settings_toml"]


def test_structures_are_atoms(path, batches):
    with Dataset(path) as dataset:
        structures = list(dataset)
        assert len(structures) == 6
        first = batches[0]
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


def test_what_was_read_stays_after_closing(path, batches):
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
            assert dataset.attrs["units"] == column.units
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
                actual[name] = (str(item.dtype), item.ndim, item.attrs["units"])

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
        assert dataset.columns == ("index", "cell", "entropy")
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


def test_quarantined_is_counted_while_running(tmp_path):
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for count in (2, 3):
            writer.quarantined = count
            writer.append(make_rows([count]))
            with Dataset(path) as dataset:
                assert (dataset.quarantined, dataset.status) == (count, "running")
        writer.quarantined = 4
    assert Dataset(path).quarantined == 4


def test_an_exception_keeps_what_was_appended(tmp_path, batches):
    path = tmp_path / "set.h5"

    def interrupted():
        with DatasetWriter.create(path, **HEADER) as writer:
            writer.append(batches[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Dataset(path) as dataset:
        assert dataset.status == "running"
        assert_holds(dataset, batches[0])
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


# Kills and full disks, in a process of their own

PROLOGUE = f"""
import sys
sys.path[:0] = [{str(pathlib.Path(__file__).parent)!r}, {str(DOCUMENT.parents[1])!r}]
import itertools
from test_dataset import *
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


def test_a_copy_made_between_appends_is_readable(tmp_path, batches):
    path, copy = tmp_path / "set.h5", tmp_path / "copy.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for n in range(1, 4):
            writer.append(batches[n - 1])
            shutil.copy(path, copy)
            with Dataset(copy) as dataset:
                assert dataset.status == "running"
                assert_holds(dataset, *batches[:n])


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


# Bad files


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace_dataset(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def test_missing_file(tmp_path):
    with pytest.raises(JentmaxError, match=r"none\.h5 does not exist"):
        Dataset(tmp_path / "none.h5")


def test_folder(tmp_path):
    with pytest.raises(JentmaxError, match="is a folder"):
        Dataset(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(path):
    path.chmod(0)
    with pytest.raises(JentmaxError, match="cannot be read: Permission denied"):
        Dataset(path)


@pytest.mark.parametrize("content", [b"", b"39\nLattice=...", b"\x89HDF\r\n\x1a\n"])
def test_not_hdf5(tmp_path, content):
    (tmp_path / "set.h5").write_bytes(content)
    with pytest.raises(JentmaxError, match=r"set\.h5 is (not an HDF5 file|truncated)"):
        Dataset(tmp_path / "set.h5")


def test_truncated_at_every_length(path):
    whole = path.read_bytes()
    for length in [*range(1, len(whole), len(whole) // 60), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(JentmaxError, match=r"set\.h5 is (not an HDF5 file|truncated)"):
            Dataset(path)


def read_all(path):
    with Dataset(path) as dataset:
        for name in (*dataset.columns, "positions", "numbers", "descriptors"):
            getattr(dataset, {"cell": "cells", "status": "structure_status"}.get(name, name))
        return list(dataset)


def test_truncated_copies_of_running_files(tmp_path, batches):
    """HDF5 opens such a file; what is missing then shows while reading, never as zeros."""
    path, copy = tmp_path / "set.h5", tmp_path / "copy.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for rows in batches:
            writer.append(rows)
        whole = path.read_bytes()
    whole = whole.rstrip(b"\0")  # space reserved
    refused = 0
    lengths = [*range(1, len(whole), len(whole) // 80), len(whole) - 1]
    for length in lengths:
        copy.write_bytes(whole[:length])
        try:
            read_all(copy)
        except JentmaxError as error:
            assert str(copy) in str(error)  # noqa: PT017
            refused += 1
        else:
            with Dataset(copy) as dataset:
                assert_holds(dataset, *batches)
    assert refused > 0.9 * len(lengths)


def test_damaged_bytes(path, batches):
    """Damage is told in one way, or does not touch the structures."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place : place + 8] = rng.bytes(8)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except JentmaxError:
            refused += 1
        else:
            with Dataset(path) as dataset:
                assert_holds(dataset, *batches)
    assert refused > 50


def test_foreign_hdf5(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(JentmaxError, match=r"set\.h5 is HDF5 but no jentmax data set.*'format'"):
        Dataset(path)
    edit(path, lambda file: file.attrs.create("format", "other"))
    with pytest.raises(JentmaxError, match=r"'format' is 'other', must be 'jentmax'"):
        Dataset(path)


def test_another_schema(path):
    edit(path, lambda file: file.attrs.modify("schema", 2))
    with pytest.raises(JentmaxError, match=r"set\.h5 has schema 2, this jentmax reads 1"):
        Dataset(path)


@pytest.mark.parametrize(
    "name",
    [
        *(f"structures/{name}" for name in (*STRUCTURE_COLUMNS, "pointer")),
        *(f"atoms/{name}" for name in atom_columns(2)),
        "scaling/scale",
        "scaling/shift",
    ],
)
def test_missing_column(path, name):
    def change(file):
        del file[name]

    edit(path, change)
    with pytest.raises(JentmaxError, match=rf"set\.h5 .*{name.split('/')[1]}"):
        Dataset(path)


@pytest.mark.parametrize(
    "name", ["kind", "status", "quarantined", "settings", "seed", "versions", "device", "created"]
)
def test_missing_attribute(path, name):
    def change(file):
        del file.attrs[name]

    edit(path, change)
    with pytest.raises(JentmaxError, match=rf"set\.h5 is truncated or damaged.*{name}"):
        Dataset(path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("structures/cell", np.zeros((6, 3))),
        ("structures/entropy", np.array(6 * [b"x"])),
        ("structures/entropy", np.zeros(5)),
        ("structures/pointer", np.array([0, 3, 2, 4, 5, 6, 7])),
        ("structures/pointer", np.array([1, 2, 3, 4, 5, 6, 7])),
        ("structures/pointer", np.array([], int)),
        ("structures/pointer", np.array([0, 1, 2, 3, 4, 5, 100])),
        ("atoms/descriptors", np.zeros((30, 3))),
        ("atoms/positions", np.zeros((1, 3))),
        ("scaling/scale", np.ones(7)),
    ],
)
def test_columns_that_do_not_fit(path, name, values):
    edit(path, replace_dataset(name, values))
    with pytest.raises(JentmaxError, match=r"set\.h5"):
        Dataset(path)
