"""Every input of a command line that cannot be used: a message, code 2, and nothing lost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ase
import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from cli_runs import FLAGS, contents, write_text

from jentmax.config import presets


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("sampler.timstep=5", ["sampler.timstep = 5 is unknown", "mean sampler.timestep"]),
        ("samplr.timestep=5", ["samplr", "is unknown", "did you mean sampler"]),
        ("steps=many", ['steps = "many"', "a whole number of at least 1"]),
        ("steps=2.5", ["steps = 2.5", "a whole number of at least 1"]),
        ("precision=float16", ['precision = "float16"', '"float32" or "float64"']),
        ("descriptor.twojmax=99", ["descriptor.twojmax = 99", "at most 14"]),
        ("start.density=-1", ["start.density = -1", "a number above 0, or a range"]),
        ("start.density=[0.05, 0.03]", ["start.density = [0.05, 0.03]", "low <= high"]),
        ("descriptor.rmin0=5", ["descriptor.rmin0 = 5 Å", "smallest pair cutoff, 4 Å"]),
        ("start.density=0.2", ["start.density = 0.2", "least_distance = 2 Å", "at most"]),
        ("start.aspect_ratio=400", ["start.least_distance = 2 Å", "shortest side", "400"]),
        ("descriptor.components=9", ["descriptor.components = 9", "exceeds the 8", "1 to 8"]),
        ("start.formula=Ww3", ["start.formula = 'Ww3'", "such as W39"]),
        ("start.density=[1", ['override "start.density=[1"', "not TOML", "[0.03, 0.06]"]),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(bad, change, parts):
    for command in ("generate", "config check tungsten", "config show"):
        message = bad(*command.split(), "--set", change)
        for part in parts:
            assert part in message


def test_all_problems_come_at_once(bad):
    message = bad("generate --set steps=0 --set quench.step=1 --set run.seed=-1")
    assert "3 problems in the settings" in message
    for part in ("steps = 0", "quench.step = 1 is unknown", "run.seed = -1"):
        assert part in message


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--structures 0", ["run.structures = 0", "at least 1"]),
        ("--seed -1", ["run.seed = -1", "from 0 to 4294967295"]),
        ("--batch-size 0", ["batch_size = 0", "at least 1"]),
        ("--devices 0", ["run.devices = 0", "at least 1"]),
        ("--output ''", [". is a folder; give the path of a file"]),
        ("--process 2/2", ["--process 2/2: give I/N"]),
        ("--process two", ["--process two: give I/N"]),
        ("--process 0/2 --overwrite", ["overwrite: several processes"]),
    ],
)
def test_flags_out_of_range(bad, flags, parts):
    message = bad(f"generate --quiet {flags}")
    for part in parts:
        assert part in message


def test_settings_files_that_cannot_be_read(bad):
    write_text("run.toml", "[run]\nseed = = 3\n")
    message = bad("generate run.toml")
    for part in ("run.toml: not TOML", "line 2", "correct"):
        assert part in message
    Path("bytes.toml").write_bytes(b"\x89HDF\r\n\xff")
    assert "not UTF-8 text" in bad("config check bytes.toml")
    assert "cannot be read (Is a directory)" in bad("generate .")
    message = bad("generate none.toml")
    assert 'settings "none.toml" is not a preset or a file' in message
    write_text("wrong.toml", "[sampler]\ntimestepz = 3\n")
    message = bad("config check wrong.toml")
    assert "wrong.toml: 1 problem" in message
    assert "sampler.timestepz = 3 is unknown; did you mean sampler.timestep?" in message


@pytest.mark.parametrize(
    "command",
    [
        "generate --preset tungstn",
        "generate tungstn",
        "config show --preset tungstn",
        "config init run.toml --preset tungstn",
        "describe some.xyz -o set.h5 --preset tungstn",
    ],
)
def test_unknown_presets(bad, command):
    message = bad(command)
    assert '"tungstn"' in message
    assert 'did you mean "tungsten"?' in message
    assert all(name in message for name in presets())


def test_unknown_elements(bad):
    message = bad("generate --element Feh")
    for part in ('element "Feh"', "did you mean Fe?", "give one of H, Li", "set the lengths"):
        assert part in message


def test_settings_and_preset_both(bad):
    write_text("run.toml", "")
    for command in (
        "generate run.toml --preset tungsten",
        "describe some.xyz -o set.h5 --settings run.toml --preset tungsten",
    ):
        message = bad(command)
        for part in ("--preset tungsten", "run.toml", "exclude each other; give one of them"):
            assert part in message


@pytest.mark.parametrize(
    "command",
    [
        "describe some.extxyz --output old",
        "config init old",
        "export set.h5 old --format extxyz",
        "export set.h5 old.traj",
    ],
)
def test_outputs_that_exist(bad, command, ready):
    shutil.copy(ready, "set.h5")
    ase.io.write("some.extxyz", ase.build.bulk("W"))
    for name in ("old", "old.traj"):
        write_text(name, "what was there")
    message = bad(command)
    assert re.search(r"old(\.traj)? exists; give another path, .*\(--overwrite\)", message)


def test_outputs_that_belong_to_others(bad, ready):
    shutil.copy(ready, "set.h5")
    write_text("old", "what was there")
    assert "old is not an HDF5 file" in bad("generate --output old --quiet")
    message = bad("generate", *FLAGS, "--output", "set.h5", "--set", "steps=21", "--quiet")
    for part in ("set.h5 was made with another recipe", "steps is 21, was 20", "--overwrite"):
        assert part in message
    assert "seed is 1, was 0" in bad("generate", *FLAGS, "-o", "set.h5", "--seed", "1", "-q")
    message = bad("generate", *FLAGS, "-o", "set.h5", "--structures", "4", "-q")
    assert "set.h5 has 11 already" in message


@pytest.mark.parametrize(
    "command",
    [
        "generate --output {}",
        "describe some.extxyz --output {}",
        "config init {}",
        "export set.h5 {} --format extxyz",
    ],
)
@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("no/such/file", ["cannot be written", "there is no folder", "create it"]),
        pytest.param(
            "/proc/file",
            ["/proc/file cannot be written: ", "check that the folder is writable"],
            marks=pytest.mark.skipif(sys.platform != "linux", reason="no /proc"),
        ),
    ],
)
def test_outputs_that_cannot_be_written(bad, command, path, parts, ready):
    """A folder that takes no files, even from root, stands for a disk that is not writable."""
    shutil.copy(ready, "set.h5")
    ase.io.write("some.extxyz", ase.build.bulk("W"))
    message = bad(command.format(path))
    for part in parts:
        assert part in message


def test_outputs_that_are_folders(bad):
    os.mkdir("folder")
    for command in ("generate -o folder", "describe x.xyz -o folder", "config init folder"):
        assert "folder is a folder; give the path of a file" in bad(command)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(bad):
    os.mkdir("closed", mode=0o500)
    message = bad("generate --output closed/set.h5")
    assert "closed/set.h5 cannot be written: Permission denied" in message


FULL_DISK = """
import resource
from jentmax.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk(existing, tmp_path):
    """No file may grow: what is there stays, and nothing half-written with it."""
    ase.io.write("some.extxyz", ase.build.bulk("W"))
    for name in ("run.toml", "set.h5") if existing else ():
        write_text(name, "what was there")
    before = contents()
    lines = ["config init run.toml", "describe some.extxyz --output set.h5"]
    for line in lines:
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, *line.split(), "--overwrite"],
            capture_output=True,
            text=True,
        )
        name = line.split()[-1]
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ")
        assert f"{name} cannot be written: File too large" in done.stderr
        assert "Traceback" not in done.stderr
        assert contents() == before


def test_data_sets_that_cannot_be_read(bad, ready):
    whole = Path(ready).read_bytes()
    Path("cut.h5").write_bytes(whole[: len(whole) // 2])
    write_text("text.h5", "no HDF5 at all")
    with h5py.File("foreign.h5", "w") as file:
        file["x"] = 1
    os.mkdir("folder")
    for name, part in {
        "cut.h5": "cut.h5 is truncated",
        "text.h5": "text.h5 is not an HDF5 file",
        "foreign.h5": "foreign.h5 is HDF5 but no jentmax data set",
        "none.h5": "none.h5 does not exist",
        "folder": "folder is a folder",
    }.items():
        for command in (f"info {name}", f"export {name} out.extxyz"):
            assert part in bad(command)
    for name in ("cut.h5", "foreign.h5"):
        assert f"{name} is" in bad(f"describe {name} --output out.h5")
    assert "text.h5: neither its content nor its name" in bad("describe text.h5 --output out.h5")
    assert "none.h5: no such file" in bad("describe none.h5 --output out.h5")


def test_structures_that_cannot_be_described(bad):
    broken = ase.build.bulk("W")
    broken.positions[0, 1] = np.nan
    ase.io.write("nan.extxyz", [ase.build.bulk("W"), broken])
    message = bad("describe nan.extxyz --output out.h5")
    for part in ("nan.extxyz, structure 1: positions[0] = [", "nan", "three finite numbers in Å"):
        assert part in message


@pytest.mark.slow
def test_a_data_set_runs_no_code_unless_the_user_names_it(bad, good):
    write_text("own_descriptor.py", OWN)
    own = "descriptor.kind=own_descriptor:Mine"
    good("generate", *FLAGS, "--set", own, "--structures", "2", "-o", "set.h5", "--quiet")
    sys.modules.pop("own_descriptor")
    command = "select set.h5 --structures 1 --output best.extxyz --no-cache"
    message = bad(command)
    assert 'descriptor.kind = "own_descriptor:Mine" is code outside jentmax' in message
    assert f"--set {own}" in message
    assert "own_descriptor" not in sys.modules
    good(*command.split(), "--set", own)


OWN = """
import equinox as eqx
from jentmax import Snap

class Mine(eqx.Module):
    cutoff: float
    twojmax: int
    components: int

    def __call__(self, environments):
        return Snap(self.cutoff, self.twojmax, self.components)(environments)
"""


def test_formats_that_nobody_writes(bad, ready):
    shutil.copy(ready, "set.h5")
    for words in ("out.extxyz --format extxzy", "out.nonsense", "out"):
        message = bad(f"export set.h5 {words}")
        assert "extxyz" in message
        assert "out" in message


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "generate --nonsense",
        "generate --structures many",
        "generate --precision float16",
        "info",
        "describe some.xyz",
        "export set.h5",
        "config",
        "config nonsense",
        "",
    ],
)
def test_wrong_usage(call, line):
    code, output, errors = call(*line.split()) if line else call("")
    assert code == 2
    assert "Usage: jentmax" in output + errors
    assert "Traceback" not in errors
    assert os.listdir() == []


@pytest.mark.slow
def test_the_command_through_the_shell():
    """From a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "jentmax.cli", "generate", "--set", "steps=0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        'error: preset "tungsten": 1 problem in the settings\n'
        "  steps = 0 is not allowed; give a whole number of at least 1 "
        "(steps of a cycle)\n"
    )
