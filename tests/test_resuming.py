"""Runs that were cut short, and go on."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import h5py
import jax
import numpy as np
import pytest
from dataset_files import HEADER, make_rows
from tiny_runs import assert_identical, columns, tiny

from jentmax import generation as generation_room
from jentmax.batch import Runner
from jentmax.dataset import Dataset, DatasetWriter
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.versions import device_kind

SETTINGS = ("system.n_atoms=[8, 12]", "run.structures=15")
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
import jax
jax.config.update("jax_numpy_dtype_promotion", "standard")
from jentmax.generation import generate
from jentmax.versions import device_kind
from test_resuming import tiny
n_reports = 0
def report(progress):
    global n_reports
    n_reports += 1
    if n_reports == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
generate(tiny(*sys.argv[3:]), "set.h5", resume=True, report=report)
"""


class Killed(BaseException):
    """Not an error that anybody would catch."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Such that some structures are rejected."""
    path = generate(tiny(*SETTINGS), tmp_path_factory.mktemp("first") / "set.h5")
    distances = sorted(structure["least_distance"] for structure in columns(path))
    return (*SETTINGS, f"potential.min_distance={distances[3] + 1e-6}")


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """The set in one go."""
    path = generate(tiny(*settings), tmp_path_factory.mktemp("whole") / "set.h5")
    with Dataset(path) as dataset:
        assert dataset.rejected >= 4
    return path


def resumed_after(monkeypatch, settings, n_batches, **options):
    """Go on for so many batches, as if the run were killed then; whether it came to its end."""
    cycle, done = Runner.cycle, []

    def spied(self, *arguments):
        if len(done) == n_batches:
            raise Killed
        done.append(1)
        return cycle(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "cycle", spied)
        try:
            generate(tiny(*settings), "set.h5", **(options or {"resume": True}))
        except Killed:
            return False
    return True


def check(whole):
    for one, other in zip(columns("set.h5"), columns(whole), strict=True):
        assert_identical(one, other)
    with Dataset("set.h5") as one, Dataset(whole) as other:
        assert one.status == "complete"
        assert (one.rejected, one.quarantined) == (other.rejected, other.quarantined)
        assert (one.scale == other.scale).all()
        assert one.settings == other.settings
    assert os.listdir() == ["set.h5"]


def test_the_set_is_that_of_one_run(settings, whole, monkeypatch):
    """Cut short after one batch, after two more, after three, as attempts may give nothing."""
    lengths = []
    for n_batches in range(1, 20):
        if resumed_after(monkeypatch, settings, n_batches):
            break
        with Dataset("set.h5") as dataset:
            assert dataset.status == "running"
            lengths.append(len(dataset))
    assert lengths == sorted(lengths)
    assert len(lengths) >= 3
    check(whole)


def test_a_process_that_is_killed(settings, whole, monkeypatch):
    """By the system, and the file is left open."""
    for n_reports in (20, 35):  # between two appends, and before anything new is written
        program = [sys.executable, "-c", PROGRAM, str(pathlib.Path(__file__).parent)]
        killed = subprocess.run([*program, str(n_reports), *settings], capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Dataset("set.h5") as dataset:
        assert dataset.status == "running"
        assert 0 < len(dataset) < 15
    assert resumed_after(monkeypatch, settings, 100)
    check(whole)


def test_a_complete_set_is_left_alone(settings, whole, monkeypatch):
    shutil.copy(whole, "set.h5")
    before = pathlib.Path("set.h5").stat()
    assert resumed_after(monkeypatch, settings, 0)
    assert pathlib.Path("set.h5").stat() == before


def test_all_structures_are_there_but_nobody_says_so(settings, whole, monkeypatch):
    shutil.copy(whole, "set.h5")
    with h5py.File("set.h5", "r+") as file:
        file.attrs.modify("status", np.array("running", "S8"))
    assert resumed_after(monkeypatch, settings, 0)
    check(whole)


def test_without_a_file_a_run_begins(settings, whole, monkeypatch):
    assert resumed_after(monkeypatch, settings, 100)
    check(whole)


def test_extended(settings, whole, monkeypatch):
    """More structures, from a complete set or not; settings that are free may differ."""
    assert resumed_after(monkeypatch, [*settings, "run.structures=9"], 100)
    resumed_after(monkeypatch, settings, 1, extend=True)
    assert resumed_after(
        monkeypatch, [*settings, "run.batch_size=auto"], 100, extend=True, report=print
    )
    check(whole)


def test_k_is_found_once(monkeypatch):
    settings = [
        *SETTINGS,
        "potential.entropy_weight=auto",
        "potential.min_distance=2",
        "system.n_atoms=12",
        "run.structures=11",
    ]
    cycle, n_cycles = Runner.cycle, []
    with monkeypatch.context() as patched:
        patched.setattr(Runner, "cycle", lambda *args: n_cycles.append(1) or cycle(*args))
        generate(tiny(*settings), "whole.h5")
    whole = shutil.move("whole.h5", "..")
    resumed_after(monkeypatch, settings, len(n_cycles) - 1)

    def found_again(*_):
        raise AssertionError("K was found again")

    monkeypatch.setattr(generation_room, "largest_entropy_weight", found_again)
    assert resumed_after(monkeypatch, settings, 1)
    check(whole)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["run.seed=3"], ["run.seed is 3, was 0"]),
        (["run.structures=16"], ["run.structures is 16, was 15", "--extend allows"]),
        (
            ["sampler.steps=21", "run.batch_size=8"],
            ["sampler.steps is 21, was 20", "run.batch_size is 8, was 4"],
        ),
        (["entropy.kind=gaussian"], ["entropy.kind is 'gaussian'", "entropy.floor is absent"]),
    ],
)
def test_other_settings(settings, whole, changes, told):
    shutil.copy(whole, "set.h5")
    before = pathlib.Path("set.h5").read_bytes()
    with pytest.raises(JentmaxError, match=r"set\.h5 was made with other settings") as error:
        generate(tiny(*settings, *changes), "set.h5", resume=True)
    for words in told:
        assert words in str(error.value)
    assert ("--extend" in str(error.value)) == ("run.structures=16" in changes)
    assert pathlib.Path("set.h5").read_bytes() == before


def test_fewer_structures(settings, whole):
    shutil.copy(whole, "set.h5")
    with pytest.raises(JentmaxError, match=r"run\.structures is 9, was 15"):
        generate(tiny(*settings, "run.structures=9"), "set.h5", extend=True)


def test_what_is_no_set_of_ours(settings):
    pathlib.Path("set.h5").write_text("something else")
    with pytest.raises(JentmaxError, match=r"set\.h5 is not an HDF5 file"):
        generate(tiny(*settings), "set.h5", resume=True)
    os.remove("set.h5")
    with DatasetWriter.create("set.h5", **HEADER, kind="described") as writer:
        writer.append(make_rows([0]))
    with pytest.raises(JentmaxError, match=r"set\.h5 is a described data set"):
        generate(tiny(*settings), "set.h5", resume=True)


def test_a_copy_that_fails_leaves_the_file(settings, whole, monkeypatch):
    """The disk is full, say, while what is there is copied."""
    resumed_after(monkeypatch, settings, 2)
    before = pathlib.Path("set.h5").read_bytes()

    def full(*_):
        raise JentmaxError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(DatasetWriter, "_append", full)
        with pytest.raises(JentmaxError, match="disk full"):
            generate(tiny(*settings), "set.h5", resume=True)
    assert os.listdir() == ["set.h5"]
    assert pathlib.Path("set.h5").read_bytes() == before
    assert resumed_after(monkeypatch, settings, 100)
    check(whole)


def test_what_computes_otherwise_is_told(settings, whole, monkeypatch):
    """Once, as the last digits may differ."""
    resumed_after(monkeypatch, settings, 2)
    notes = []

    def report(progress):
        if progress.note.startswith("resuming"):
            notes.append(progress.note)

    with Dataset("set.h5") as data:
        now = data.device
        with DatasetWriter.create(
            "other.h5",
            settings_toml=data.settings,
            seed=data.seed,
            device="8 x GPU (abacus)",
            scale=data.scale,
            shift=data.shift,
            versions=data.versions | {"jax": "0.1", "python": "2.7"},
        ) as writer:
            writer.copy(data, 4)
            writer.close("running")
    os.replace("other.h5", "set.h5")
    resumed_after(monkeypatch, settings, 2, resume=True, report=report)
    [note] = notes
    assert note == (
        f"resuming   with jax 0.1 before, {jax.__version__} now; 8 x GPU (abacus) before, {now} now"
        ": last digits may differ from one run's"
    )
    notes.clear()
    assert resumed_after(monkeypatch, settings, 100, resume=True, report=report)
    assert notes == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("CPU (x86_64, 1 core)", "CPU (x86_64, 64 cores)", True),
        ("2 x GPU (NVIDIA H200)", "GPU (NVIDIA H200)", True),
        ("CPU (x86_64, 2 cores)", "CPU (aarch64, 2 cores)", False),
        ("GPU (NVIDIA H200)", "GPU (NVIDIA A100)", False),
    ],
)
def test_the_number_of_devices_changes_nothing(one, other, same):
    assert (device_kind(one) == device_kind(other)) == same


def test_counts_of_a_batch_that_a_kill_has_lost(settings, whole, monkeypatch):
    """They were written before it, and are counted again with it."""
    resumed_after(monkeypatch, settings, 3)
    with h5py.File("set.h5", "r+") as file:
        file.attrs.modify("rejected", np.int64(file.attrs["rejected"] + 3))
    assert resumed_after(monkeypatch, settings, 100)
    check(whole)
