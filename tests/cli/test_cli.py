"""The command line: every command, and every input that cannot be used."""

import dataclasses
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import ase
import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from cli_runs import FLAGS, SETTINGS, assert_identical, columns

import jentmax
from jentmax import cli
from jentmax.config import commented, complete, load, presets, to_toml
from jentmax.dataset import Dataset


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A data set made once, from Python."""
    folder = tmp_path_factory.mktemp("ready")
    write_text(folder / "run.toml", SETTINGS)
    recipe = jentmax.recipe(folder / "run.toml")
    return jentmax.generate(recipe, structures=11, output=folder / "set.h5")


def contents():
    """All files below the folder, with what is in them."""
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}


# Commands


def test_generate_info_export_describe(good):
    """What the README shows, one command after the other."""
    write_text("run.toml", SETTINGS)
    output = good("generate run.toml --structures 3 --output tungsten.h5")
    assert "\x1b" not in output
    lines = output.splitlines()
    assert lines[0].startswith("device     ")
    assert lines[1] == "structures 3 of W12, 20 steps each, seed 0"
    assert lines[2] == "output     tungsten.h5"
    assert lines[-2].startswith("tungsten.h5: 3 structures in ")
    assert lines[-1] == "look at it with: jentmax info tungsten.h5"
    assert sorted(os.listdir()) == ["run.toml", "tungsten.h5", "tungsten.h5.log"]

    output = good("info tungsten.h5")
    assert "structures   3 of 12 atoms: W" in output
    for name in ("S (nats)", "V (eV)", "E_rep (eV)", "least distance (Å)", "jax ", "[sampler]"):
        assert name in output

    with Dataset("tungsten.h5") as dataset:
        expected = list(dataset)
        descriptors = dataset.descriptors
    for name in ("tungsten.extxyz", "tungsten.xyz", "tungsten.traj", "tungsten.db"):
        assert good(f"export tungsten.h5 {name}") == f"3 structures written to {name}\n"
        read = ase.io.read(name, ":")
        assert len(read) == 3
        for one, other in zip(read, expected, strict=True):
            # Eight decimals in text.
            assert np.allclose(one.positions, other.positions, atol=1e-7)
    good("export tungsten.h5 poscars/")
    assert sorted(os.listdir("poscars")) == ["POSCAR_00000", "POSCAR_00001", "POSCAR_00002"]

    output = good("describe tungsten.extxyz --output described.h5 --settings run.toml")
    assert "described.h5 (described, complete)" in output
    with Dataset("described.h5") as dataset:
        # Eight decimals of positions, and float32 in the run.
        assert np.allclose(dataset.descriptors, descriptors, rtol=1e-4, atol=1e-4)
    output = good("describe tungsten.h5 --output again.h5")
    assert "cutoff = 3.6" in output, "not the data set's own descriptor"
    good("export tungsten.h5 other.vasp --format vasp --overwrite")
    assert sorted(os.listdir("other.vasp"))[0] == "POSCAR_00000"


def test_the_same_command_goes_on(good, ready):
    """With more structures to more; all of it bit for bit what one run gives."""
    for structures in (2, 5, 11):
        output = good("generate", *FLAGS, "--structures", str(structures), "-o", "set.h5")
        assert f"set.h5: {structures} structures" in output
    assert_identical(columns("set.h5"), columns(ready))
    before = Path("set.h5").read_bytes()
    assert "set.h5: 11 structures in " in good("generate", *FLAGS, "-o", "set.h5")
    assert Path("set.h5").read_bytes() == before
    good("generate", *FLAGS, "-o", "set.h5", "--seed", "5", "--structures", "2", "--overwrite")
    with Dataset("set.h5") as dataset:
        assert (dataset.seed, len(dataset)) == (5, 2)
    log = Path("set.h5.log").read_text()
    assert log.count("  begun: jentmax generate ") == 1, "overwriting begins a new log"


def test_several_processes(good, ready):
    for process in ("1/2", "0/2"):
        good("generate", *FLAGS, "-o", "set.h5", "--process", process)
    assert_identical(columns("set.h5"), columns(ready))


def test_processes_of_a_launcher_share_a_terminal(good, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert good("generate", *FLAGS, "-o", "set.h5", "--structures", "2") == ""
    assert sorted(os.listdir()) == ["set.h5", "set.h5.1.log"]


def test_settings_files(good):
    output = good("config init run.toml")
    assert output == 'run.toml: the settings of preset "tungsten"\n'
    assert Path("run.toml").read_text() == commented("tungsten")
    assert good("config check run.toml") == "run.toml: good\n"
    good("config init diverse.toml --preset tungsten-diverse")
    assert Path("diverse.toml").read_text() == commented("tungsten-diverse")
    good("config init run.toml --preset tungsten-unbiased --overwrite")
    assert Path("run.toml").read_text() == commented("tungsten-unbiased")
    assert sorted(os.listdir()) == ["diverse.toml", "run.toml"]


def shown(*given):
    tree, options = load(*given)
    return to_toml(complete(tree) | {"run": dataclasses.asdict(options)})


def test_all_settings_are_shown(good):
    assert good("config show") == shown("tungsten")
    assert good("config show tungsten-diverse") == shown("tungsten-diverse")
    output = good("config show --preset tungsten-unbiased --element Fe --set steps=5")
    assert output == shown("tungsten-unbiased", ["steps=5"], "Fe")
    found = tomllib.loads(output)
    assert found["start"]["formula"] == "Fe39"
    assert found["run"]["output"] == "iron-unbiased.h5"
    assert good("config check tungsten --element Fe") == "tungsten: good\n"
    write_text("run.toml", output)
    assert good("config show run.toml") == output


def test_presets_are_listed(good):
    lines = good("config presets").splitlines()
    assert [line.split()[0] for line in lines] == presets()
    assert all(len(line.split()) > 2 for line in lines)


def test_every_flag_of_generate(good):
    good(
        "generate", "--preset", "tungsten-diverse", *FLAGS, "--structures", "2", "--seed", "5",
        "--output", "mine.h5", "--batch-size", "3", "--precision", "float64", "--quiet",
        "--devices", "1", "--no-cache", "--max-time", "1h", "--set", "quench.steps=0",
    )  # fmt: skip
    with Dataset("mine.h5") as dataset:
        assert dataset.seed == 5
        assert len(dataset) == 2
        positions, recipe = dataset.positions, dataset.recipe
    assert (recipe["batch_size"], recipe["precision"], recipe["quench"]) == (3, "float64", None)
    assert np.any(positions != positions.astype(np.float32))


def test_an_element_end_to_end(good):
    write_text("run.toml", SETTINGS.replace("scale =", "# scale ="))
    short = "--set scale.steps=20 --set scale.replicas=4 --set scale.snapshots=4"
    short += " --set quench.steps=0"
    output = good(f"generate run.toml --element Fe {short} --structures 2 -o iron.h5")
    assert "structures 2 of Fe12," in output
    with Dataset("iron.h5") as dataset:
        assert set(dataset.numbers) == {26}
        assert dataset[0].get_chemical_formula() == "Fe12"
        ratio = 2.87 / 3.16
        assert dataset.recipe["descriptor"]["cutoff"] == pytest.approx(3.6 * ratio)
        heights = dataset.cells.reshape(-1, 9)[:, ::4]
        assert np.all((heights > 7.2 * ratio) & (heights < 8.0 * ratio))
        assert np.all(dataset.scale > 0)


def write_text(path, text):
    Path(path).write_text(text)
    return path


def test_quiet_prints_nothing(good):
    assert good("generate", *FLAGS, "--structures", "1", "--output", "set.h5", "--quiet") == ""
    assert good("generate", *FLAGS, "--structures", "2", "-o", "set.h5", "-q") == ""
    assert good("generate", *FLAGS, "--structures", "1", "-o", "set.h5", "-q", "--overwrite") == ""
    assert len(Dataset("set.h5")) == 1


@pytest.mark.parametrize("name", ["tungsten 日本 😀.h5", 'with "quotes" \\ and more.h5', "5"])
def test_outputs_of_any_name(good, name):
    good("generate", *FLAGS, "--structures", "1", "--output", name, "--quiet")
    assert sorted(os.listdir()) == [name, f"{name}.log"]
    assert len(Dataset(name)) == 1


def test_the_output_of_the_settings(good):
    good("generate", *FLAGS, "--set", "run.output=theirs.h5", "--structures", "1", "-q")
    assert sorted(os.listdir()) == ["theirs.h5", "theirs.h5.log"]


def test_generate_gives_what_python_gives(good, ready):
    """From a file, and all of it bit for bit."""
    write_text("run.toml", SETTINGS)
    good("generate run.toml --output set.h5 --quiet")
    assert_identical(columns("set.h5"), columns(ready))


def test_a_file_may_have_the_name_of_a_preset(good):
    write_text("tungsten", "[run]\nseed = 77\n")
    assert "seed = 77" in good("config show tungsten")
    assert "seed = 77" not in good("config show --preset tungsten")


def test_the_command_is_installed():
    """As the name in pyproject.toml says."""
    [script] = entry_points(group="console_scripts", name="jentmax")
    assert script.load() is cli.main


# What is not imported before it is needed

HEAVY = ("jax", "jaxlib", "equinox", "jaxtyping", "optax", "h5py", "scipy", "jax_md")

SEVERAL = """
import json, sys
from jentmax.cli import main
for line in json.loads(sys.argv[1]):
    sys.argv = ["jentmax", *line.split()]
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    heavy = [name for name in {heavy} if name in sys.modules]
    print(json.dumps([line, code, heavy]), file=sys.stderr)
"""


def modules_after(lines, heavy):
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL.format(heavy=heavy), json.dumps(lines)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]


def test_help_and_presets_import_nothing_heavy():
    write_text("old.h5", "")
    lines = {
        "--help": 0,
        "generate --help": 0,
        "describe --help": 0,
        "config --help": 0,
        "config presets": 0,
        "generate run.toml": 2,
        "generate --output no/such.h5": 2,
        "generate --max-time soon": 2,
        "describe some.xyz --output old.h5": 2,
        "config init old.h5": 2,
        "nonsense": 2,
    }
    for line, code, heavy in modules_after(list(lines), HEAVY):
        assert (code, heavy) == (lines[line], []), line


def test_info_and_export_need_no_jax(ready):
    lines = [f"info {ready}", f"info --check {ready}", f"export {ready} set.extxyz"]
    for line, code, heavy in modules_after(lines, ("jax", "jaxlib", "equinox", "jax_md")):
        assert (code, heavy) == (0, []), line


# In a terminal


def in_terminal(*words, n_columns=80):
    """Run a command line in a terminal of its own; exit code and all that it shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, n_columns, 0, 0))
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES", "NO_COLOR", "TTY_COMPATIBLE")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "jentmax.cli", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment | {"TERM": "xterm"},
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            some = os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not some:
            break
        shown += some
    os.close(master)
    return process.wait(), shown.decode()


@pytest.mark.optimised  # many steps
def test_a_live_bar_in_a_terminal():
    # Long enough for a rate to be shown.
    steps = ["--set", "steps=20000", "--set", "quench.steps=0"]
    code, shown = in_terminal("generate", *FLAGS, *steps, "--output", "set.h5")
    assert code == 0, shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    frames = [line for line in re.split(r"[\r\n]+", plain) if "━" in line]
    assert len(frames) > 5
    assert all(len(frame) <= 80 for frame in frames)
    last = r"[\d.]+/s, \d+:\d\d:\d\d left, S -?\d\.\d\d, least distance \d\.\d\d Å *"
    for number in (r"\d/11", "11/11"):
        pattern = re.compile(rf". \w+ [━╸╺]+ +{number} {last}")
        assert any(pattern.fullmatch(frame) for frame in frames), (number, frames[-10:])
    assert "device     " in plain
    assert plain.rstrip().endswith("look at it with: jentmax info set.h5")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor stays hidden"
    assert len(Dataset("set.h5")) == 11


# Input that cannot be used


@pytest.fixture
def bad(call):
    """Run a command line that cannot work; its one message. Every file stays as it was."""

    def run(*words):
        before = contents()
        code, output, errors = call(*words)
        assert code == 2
        assert output == ""
        assert errors.startswith("error: ")
        assert errors.endswith("\n")
        assert errors.count("error:") == 1
        assert "Traceback" not in errors
        assert "\x1b" not in errors
        assert contents() == before
        return errors

    return run


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
        ("descriptor.rmin0=5", ["descriptor.rmin0 = 5 Å", "least pair cutoff, 4 Å"]),
        ("start.density=0.2", ["start.density = 0.2", "least_distance = 2 Å", "at most"]),
        ("start.aspect_ratio=400", ["start.least_distance = 2 Å", "shortest side", "400"]),
        ("descriptor.components=9", ["descriptor.components = 9", "more than the 8", "1 to 8"]),
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
    for part in ("set.h5 was made otherwise", "steps is 21, was 20", "--overwrite"):
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
            ["/proc/file cannot be written: ", "see that the folder is writable"],
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
    assert "text.h5: ASE cannot read it" in bad("describe text.h5 --output out.h5")
    assert "none.h5: no such file" in bad("describe none.h5 --output out.h5")


def test_structures_that_cannot_be_described(bad):
    broken = ase.build.bulk("W")
    broken.positions[0, 1] = np.nan
    ase.io.write("nan.extxyz", [ase.build.bulk("W"), broken])
    message = bad("describe nan.extxyz --output out.h5")
    for part in ("nan.extxyz, structure 1: positions[0] = [", "nan", "three finite numbers in Å"):
        assert part in message


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
