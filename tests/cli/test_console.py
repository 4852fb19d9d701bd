"""What a run shows: a live bar in a terminal, plain lines elsewhere, nothing when quiet."""

import re
import types
import warnings
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from dataset_files import BATCHES, HEADER, write
from tiny_runs import tiny

from jentmax.console import Console, print_info
from jentmax.console import _run as room
from jentmax.dataset import Dataset, DatasetWriter
from jentmax.describe import describe_file
from jentmax.progress import Progress


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(room, "time", types.SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def terminal(monkeypatch):
    """Output that rich takes for a terminal of 80 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


SETTINGS = ["run.structures=16", "run.output=some.h5"]

# Seconds after the start, phase, structures done, S and least distance of those harvested.
STORY = [
    (0.1, "compiling the annealing and the quench", 0.0, []),
    (10.0, "annealing", 1.0, []),
    (10.5, "annealing", 2.5, []),
    (12.0, "quenching", 3.0, []),
    (13.0, "writing", 4.0, [(4.0, 1.9), (5.0, 2.1), (4.5, 2.0), (4.5, 1.6)]),
    (14.0, "annealing", 5.0, [(4.0, 1.9), (5.0, 2.1), (4.5, 2.0), (4.5, 1.6)]),
    (16.0, "quenching", 7.0, [(4.0, 1.9), (5.0, 2.1), (4.5, 2.0), (4.5, 1.6)]),
    (18.5, "annealing", 9.0, [(4.0, 1.9), (5.0, 2.1), (4.5, 2.0), (4.5, 1.6)]),
    (20.0, "writing", 16.0, [(4.0, 1.9), (5.0, 2.1), (4.5, 2.0), (4.5, 1.6), *[(3.5, 1.5)] * 12]),
]


def tell(clock, quarantined=0, rejected=0, quiet=False):
    with Console(tiny(*SETTINGS), quiet=quiet) as console:
        console.begin()
        for seconds, phase, done, harvested in STORY:
            clock.now = 100 + seconds
            entropy, distance = [list(column) for column in zip(*harvested, strict=True)] or (
                [],
                [],
            )
            console.report(Progress(phase, done, 16, entropy, distance, quarantined, rejected))
    clock.now = 121.5
    console.summary(Path("some.h5"))


def test_plain_lines(clock, capsys):
    tell(clock)
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "\x1b" not in output
    assert "\r" not in output
    device, structures, target, *lines = output.splitlines()
    assert device.startswith("device     ")
    assert device.endswith(", float32")
    assert structures == "structures 16 of 12 atoms of W, 20 steps each, seed 0"
    assert target == "output     some.h5"
    assert lines == [
        "    0.1 s  compiling the annealing and the quench: 0/16",
        "   10.0 s  annealing: 1/16",
        # 2 of the 3 came in 2 s after the first report.
        "   12.0 s  quenching: 3/16 1/s, 0:00:13 left",
        "   13.0 s  writing: 4/16 1/s, 0:00:12 left, S 4.50, least distance 1.90 Å",
        # No phase is new, and less than five seconds passed until here.
        "   18.5 s  annealing: 9/16 0.94/s, 0:00:07 left, S 4.50, least distance 1.90 Å",
        "some.h5: 16 structures in 21.5 s; S 3.750 +- 0.468 nats, "
        "least distance 1.600 +- 0.197 Å, the smallest 1.50 Å",
        "look at it with: jentmax info some.h5",
    ]


def test_what_was_made_anew_is_told(clock, capsys):
    tell(clock, quarantined=3, rejected=2)
    output = capsys.readouterr().out
    told = "; 3 attempts were not finite and 2 attempts had atoms too close; these were made anew\n"
    assert told in output
    assert "least distance 1.90 Å, 2 rejected\n" in output


def test_notes_are_told_at_once(clock, capsys):
    with Console(tiny(*SETTINGS)) as console:
        for clock.now, note in ((100, ""), (101, "batch      16"), (101.5, "out of memory")):
            console.report(Progress("annealing", 1.0, 16, [], [], 0, note=note))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["    0.0 s  annealing: 1/16", "batch      16", "out of memory"]


def test_a_resumed_run(clock, capsys):
    """Counts begin at what is there; rate, time left and the summary know what is new."""
    there = [4.0] * 12
    with Console(tiny(*SETTINGS)) as console:
        console.report(Progress("resuming", 12, 16, there, there, 0))
        clock.now += 60  # while programs compile
        console.report(Progress("annealing", 12.5, 16, there, there, 0))
        clock.now += 10
        console.report(Progress("quenching", 13.5, 16, there, there, 0))
    clock.now += 10
    console.report(Progress("writing", 16, 16, [*there, *[2.0] * 4], [*there, *[2.0] * 4], 0))
    console.summary(Path("some.h5"))
    assert capsys.readouterr().out.splitlines() == [
        "    0.0 s  resuming: 12/16 S 4.00, least distance 4.00 Å",
        "   60.0 s  annealing: 12/16 S 4.00, least distance 4.00 Å",
        "   70.0 s  quenching: 13/16 0.1/s, 0:00:25 left, S 4.00, least distance 4.00 Å",
        "   80.0 s  writing: 16/16 0.17/s, 0:00:00 left, S 3.50, least distance 3.50 Å",
        "some.h5: 16 structures, 4 of them made now in 80.0 s; S 3.500 +- 0.866 nats, "
        "least distance 3.500 +- 0.866 Å, the smallest 2.00 Å",
        "look at it with: jentmax info some.h5",
    ]


def test_several_numbers_of_atoms(capsys):
    with Console(tiny("system.n_atoms=[8, 12]", 'system.species=["W", "Be"]')) as console:
        console.begin()
    assert "structures 11 of 8 or 12 atoms of W, Be," in capsys.readouterr().out


@pytest.mark.parametrize("in_terminal", [False, True])
def test_quiet(clock, capsys, request, in_terminal):
    if in_terminal:
        request.getfixturevalue("terminal")
    tell(clock, quiet=True)
    assert capsys.readouterr() == ("", "")


def frames(output):
    """What was on the screen's last line, one picture after the other."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    return [line for line in re.split(r"[\r\n]+", plain) if "━" in line]


@pytest.mark.usefixtures("terminal")
def test_the_bar(clock, capsys, monkeypatch):
    """All of it, in a terminal of 80 columns."""
    update = room.Progress.update

    def drawn_at_once(self, *arguments, **fields):
        update(self, *arguments, **fields)
        self.refresh()

    monkeypatch.setattr(room.Progress, "update", drawn_at_once)
    tell(clock)
    output = capsys.readouterr().out
    assert "\x1b" in output
    seen = frames(output)
    assert all(len(frame) <= 80 and "…" not in frame for frame in seen)
    for phase, rest in (
        ("starting", "0/16"),
        ("compiling the annealing and the quench", "0/16"),
        ("annealing", "1/16"),
        ("quenching", "3/16 1/s, 0:00:13 left"),
        ("writing", "4/16 1/s, 0:00:12 left, S 4.50, least distance 1.90 Å"),
        ("annealing", "9/16 0.94/s, 0:00:07 left, S 4.50, least distance 1.90 Å"),
        ("writing", "16/16 1.5/s, 0:00:00 left, S 3.75, least distance 1.60 Å"),
    ):
        pattern = re.compile(rf". {phase} [━╸╺]+ +{re.escape(rest)} *")
        assert any(pattern.fullmatch(frame) for frame in seen), (phase, rest, seen)
    assert output.rstrip().endswith("look at it with: jentmax info some.h5")


@pytest.mark.usefixtures("terminal")
def test_a_large_run_fits_too(clock, capsys):
    with Console(tiny("run.structures=10000")) as console:
        console.begin()
        for clock.now, done in ((100, 100), (200, 4321)):
            console.report(Progress("quenching", done, 10_000, [5.25], [1.875], 0))
    frame = frames(capsys.readouterr().out)[-1]
    assert " 4321/10000 42/s, 0:02:15 left, S 5.25, least distance 1.88 Å" in frame
    assert len(frame) <= 80
    assert "quenching" in frame


@pytest.mark.usefixtures("terminal")
def test_the_bar_stops_at_an_error(capsys):
    console = Console(tiny())

    def fail():
        with console:
            console.begin()
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        fail()
    assert console._bar.live.is_started is False
    assert capsys.readouterr().out.endswith("\n\x1b[?25h"), "the cursor stays hidden"


# What `jentmax info` prints


def test_info_of_a_generated_set(capsys):
    path = write("set.h5", *BATCHES)
    with Dataset(path) as dataset:
        print_info(dataset)
        values = dataset.entropy
    output = capsys.readouterr().out
    assert "\x1b" not in output
    for line in (
        "file         set.h5 (generated, complete)",
        "structures   6 of 1 to 5 atoms: ",
        "seed         7",
        "versions     jentmax 0.1.0, jax 0.10.1",
        "settings\n    [run]\n    seed = 7\n",
        "on a device, 日本",
    ):
        assert line in output, line
    assert "quarantined" not in output
    numbers = (values.mean(), values.std(), values.min(), values.max())
    row = next(line for line in output.splitlines() if "S (nats)" in line)
    assert re.findall(r"-?\d[\d.]*(?:e-?\d+)?", row) == [f"{number:.4g}" for number in numbers]
    for name in ("V (eV)", "E_rep (eV)", "K (eV)", "least distance (Å)", "density (atoms/Å^3)"):
        assert name in output


def test_info_of_an_unfinished_set(capsys):
    with DatasetWriter.create("set.h5", **HEADER) as writer:
        writer.quarantined, writer.rejected = 2, 1
        writer.append(BATCHES[0])
        writer.close("running")
    with Dataset("set.h5") as dataset:
        print_info(dataset)
    output = capsys.readouterr().out
    assert "set.h5 (generated, running)" in output
    assert "quarantined  2 attempts that were not finite" in output
    share = 1 / (1 + len(BATCHES[0].index))
    assert f"rejected     1 attempts with atoms too close, {share:.1%} of all" in output


@pytest.mark.parametrize("periodic", [True, False])
def test_info_of_a_described_set(capsys, periodic):
    """Without V and S, and without a density where there is no cell."""
    cell = 6 * np.eye(3) if periodic else None
    atoms = ase.Atoms("W2", [[0, 0, 0], [0, 0, 2.5]], cell=cell, pbc=periodic)
    ase.io.write("some.extxyz", atoms)
    describe_file("some.extxyz", "set.h5", tiny())
    with Dataset("set.h5") as dataset, warnings.catch_warnings():
        warnings.simplefilter("error")
        print_info(dataset)
    output = capsys.readouterr().out
    assert "set.h5 (described, complete)" in output
    assert "structures   1 of 2 atoms: W" in output
    assert "descriptors  5 of each of 2 atoms" in output
    assert ("density (atoms/Å^3)" in output) == periodic
    assert "S (nats)" not in output
