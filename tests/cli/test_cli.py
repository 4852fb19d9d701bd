"""The command line: every command, what it imports, and what a terminal shows."""

import dataclasses
import fcntl
import json
import os
import pty
import re
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
import numpy as np
import pytest
from cli_runs import FLAGS, SETTINGS, assert_identical, columns, write_text

from jentmax import cli
from jentmax.config import commented, complete, load, presets, to_toml
from jentmax.dataset import Dataset

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
        note = f"note: {name}: the format traj does not hold descriptors; left out\n"
        expected_output = f"3 structures written to {name}\n"
        if name.endswith(".traj"):
            expected_output = note + expected_output
        assert good(f"export tungsten.h5 {name}") == expected_output
        read = list(ase.io.iread(name))
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


@pytest.mark.slow
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


@pytest.mark.slow
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
