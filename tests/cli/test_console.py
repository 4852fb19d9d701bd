"""What a run shows: a live bar in a terminal, plain lines elsewhere, nothing when quiet."""

import math
import re
import types
from pathlib import Path

import pytest

import jentmax
from jentmax.cli import _console as room
from jentmax.cli._console import Console
from jentmax.config import RunOptions
from jentmax.generation import Progress


class Clock:
    """Time that passes when a test says so."""

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


@pytest.fixture(scope="module")
def recipe():
    return jentmax.recipe(None, ["start.formula=W12", "steps=20"])


OPTIONS = RunOptions(structures=16, output="some.h5")

# Seconds after the start, phase, structures done, and of those made: number, S, distances.
NONE = (0, math.nan, math.nan, math.nan)
SOME = (4, 4.5, 1.9, 1.6)
STORY = [
    (0.1, "compiling", 0.0, NONE),
    (10.0, "annealing", 1.0, NONE),
    (10.5, "annealing", 2.5, NONE),
    (12.0, "quenching", 3.0, NONE),
    (13.0, "writing", 4.0, SOME),
    (14.0, "annealing", 5.0, SOME),
    (16.0, "quenching", 7.0, SOME),
    (18.5, "annealing", 9.0, SOME),
    (20.0, "writing", 16.0, (16, 3.75, 1.6, 1.5)),
]


def tell(clock, recipe, discarded=None, quiet=False):
    with Console(recipe, OPTIONS, quiet=quiet) as console:
        console.begin()
        for seconds, phase, done, made in STORY:
            clock.now = 100 + seconds
            console.update(Progress(phase, done, 16, 0, *made, discarded=discarded or {}))
    clock.now = 121.5
    return console.summary(Path("some.h5"))


def test_a_phase_is_told_once_however_far_it_is(clock, capsys, recipe):
    with Console(recipe, OPTIONS) as console:
        for percent in range(0, 100, 10):
            clock.now += 0.6
            console.update(Progress(f"fitting, {percent} %", 0.0, 16))
    first, second = capsys.readouterr().out.splitlines()
    assert "fitting, 0 %" in first
    assert "fitting, 90 %" in second


def test_plain_lines(clock, capsys, recipe):
    line = tell(clock, recipe)
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "\x1b" not in output
    assert "\r" not in output
    device, structures, target, *lines = output.splitlines()
    assert device.startswith("device     ")
    assert device.endswith(", float32")
    assert structures == "structures 16 of W12, 20 steps each, seed 0"
    assert target == "output     some.h5"
    assert lines == [
        "    0.1 s  compiling: 0/16",
        "   10.0 s  annealing: 1/16",
        # 2 of the 3 were made in the 2 s after the first report.
        "   12.0 s  quenching: 3/16 1/s, 0:00:13 left",
        "   13.0 s  writing: 4/16 1/s, 0:00:12 left, S 4.50, least distance 1.90 Å",
        # No phase is new, and less than five seconds passed until here.
        "   18.5 s  annealing: 9/16 0.94/s, 0:00:07 left, S 4.50, least distance 1.90 Å",
        "some.h5: 16 structures in 21.5 s; S 3.750 nats, least distance 1.600 Å, "
        "the smallest 1.50 Å",
        "look at it with: jentmax info some.h5",
    ]
    assert line == lines[-2]


def test_what_was_discarded(clock, capsys, recipe):
    tell(clock, recipe, {"not finite": 3, "too close": 2})
    output = capsys.readouterr().out
    assert "; discarded: 3 not finite, 2 too close\n" in output
    assert "least distance 1.90 Å, 5 discarded\n" in output


def test_notes_come_at_once(clock, capsys, recipe):
    with Console(recipe, OPTIONS) as console:
        for clock.now, note in ((100, ""), (101, "batch      16"), (101.5, "out of memory")):
            console.update(Progress("annealing", 1.0, 16, note=note))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["    0.0 s  annealing: 1/16", "batch      16", "out of memory"]


def test_a_run_that_goes_on(clock, capsys, recipe):
    """Counts begin at what is there; rate, time left and the summary know what is new."""
    with Console(recipe, OPTIONS) as console:
        console.update(Progress("compiling", 12, 16, 12))
        clock.now += 60
        console.update(Progress("annealing", 12.5, 16, 12))
        clock.now += 10
        console.update(Progress("quenching", 13.5, 16, 12))
    clock.now += 10
    console.update(Progress("writing", 16, 16, 12, 4, 2.0, 2.0, 1.5))
    console.summary(Path("some.h5"))
    assert capsys.readouterr().out.splitlines() == [
        "    0.0 s  compiling: 12/16",
        "   60.0 s  annealing: 12/16",
        "   70.0 s  quenching: 13/16 0.1/s, 0:00:25 left",
        "   80.0 s  writing: 16/16 0.17/s, 0:00:00 left, S 2.00, least distance 2.00 Å",
        "some.h5: 16 structures, 4 of them made now in 80.0 s; S 2.000 nats, "
        "least distance 2.000 Å, the smallest 1.50 Å",
        "look at it with: jentmax info some.h5",
    ]


@pytest.mark.parametrize(
    ("before", "made", "told"),
    [
        (0, 16, ""),
        (0, 20, ""),  # four are surplus
        (4, 12, ", 12 of them made now"),
        (0, 5, ", 5 of them made by this process"),
        (4, 5, ", 5 of them made by this process"),
        (16, 0, ""),
    ],
)
def test_who_made_them(clock, capsys, recipe, before, made, told):
    with Console(recipe, OPTIONS) as console:
        console.update(Progress("complete", 16, 16, before, made, 1.0, 1.0, 1.0))
    assert console.summary(Path("some.h5")).startswith(f"some.h5: 16 structures{told} in 0.0 s")


def test_several_formulas(capsys):
    recipe = jentmax.recipe(None, ['start.formula=["W8", "WBe"]'])
    with Console(recipe, OPTIONS) as console:
        console.begin()
    assert "structures 16 of W8 or WBe," in capsys.readouterr().out


@pytest.mark.parametrize("in_terminal", [False, True])
def test_quiet(clock, capsys, request, recipe, in_terminal):
    if in_terminal:
        request.getfixturevalue("terminal")
    tell(clock, recipe, quiet=True)
    assert capsys.readouterr() == ("", "")


def frames(output):
    """What was on the screen's last line, one picture after the other."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    return [line for line in re.split(r"[\r\n]+", plain) if "━" in line]


@pytest.mark.usefixtures("terminal")
def test_the_bar(clock, capsys, monkeypatch, recipe):
    """All of it, in a terminal of 80 columns."""
    update = room.Progress.update

    def drawn_at_once(self, *arguments, **fields):
        update(self, *arguments, **fields)
        self.refresh()

    monkeypatch.setattr(room.Progress, "update", drawn_at_once)
    tell(clock, recipe)
    output = capsys.readouterr().out
    assert "\x1b" in output
    seen = frames(output)
    assert all(len(frame) <= 80 and "…" not in frame for frame in seen)
    for phase, rest in (
        ("starting", "0/16"),
        ("compiling", "0/16"),
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
def test_a_large_run_fits_too(clock, capsys, recipe):
    with Console(recipe, RunOptions(structures=10_000)) as console:
        console.begin()
        for clock.now, done in ((100, 100), (200, 4321)):
            console.update(Progress("quenching", done, 10_000, 0, 4000, 5.25, 1.875, 1.0))
    frame = frames(capsys.readouterr().out)[-1]
    assert " 4321/10000 42/s, 0:02:15 left, S 5.25, least distance 1.88 Å" in frame
    assert len(frame) <= 80
    assert "quenching" in frame


@pytest.mark.usefixtures("terminal")
def test_the_bar_stops_at_an_error(capsys, recipe):
    console = Console(recipe, OPTIONS)

    def fail():
        with console:
            console.begin()
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        fail()
    assert console._bar is not None
    assert console._bar.live.is_started is False
    assert capsys.readouterr().out.endswith("\n\x1b[?25h"), "the cursor stays hidden"
