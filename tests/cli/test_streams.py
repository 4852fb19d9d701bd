"""What is only shown ends no run and changes no result, whatever shows it."""

import contextlib
import os
import shlex
import subprocess
import sys

import pytest
from cli_runs import FLAGS

from jentmax.cli import _streams
from jentmax.dataset import Dataset

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@contextlib.contextmanager
def opened(path, encoding="utf-8"):
    """A guarded stream to a file; registers the handler of missing letters as `guard` does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    _streams.guard()  # pytest's own streams stay as they are
    yield _streams._stream(descriptor, encoding)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"2.71 A +- 0.01... ? \\xff"),
        ("latin-1", b"2.71 \xc5 \xb1 0.01... ? \\xff"),
        ("cp1252", b"2.71 \xc5 \xb1 0.01\x85 ? \\xff"),
        ("utf-8", "2.71 Å ± 0.01… 日 \\xff".encode()),
    ],
)
def test_letters_that_an_encoding_lacks(encoding, expected, tmp_path):
    with opened(tmp_path / "shown", encoding) as stream:
        stream.write("2.71 Å ± 0.01… 日 \udcff")
        stream.flush()
    assert (tmp_path / "shown").read_bytes() == expected


def test_a_full_disk_and_a_closed_pipe(monkeypatch):
    with opened("/dev/full") as stream:
        stream.write("x" * 100_000)
        monkeypatch.setattr(sys, "stdout", stream)
        assert _streams.failure() == "No space left on device"
    reader, writer = os.pipe()
    os.close(reader)
    with opened(f"/proc/self/fd/{writer}") as stream:
        stream.write("x" * 100_000)
        stream.flush()
        monkeypatch.setattr(sys, "stdout", stream)
        assert _streams.failure() is None, "nobody wanted to read on"
    os.close(writer)


def test_a_narrow_terminal_shows_all_numbers(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert _streams.console().width == 60
    monkeypatch.setenv("COLUMNS", "200")
    assert _streams.console().width == 200


def process(line, **environment):
    """Run a line of a shell; exit code, output and errors."""
    code = f"{shlex.quote(sys.executable)} -m jentmax.cli"
    done = subprocess.run(
        ["bash", "-c", line.replace("jentmax", code, 1)],
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow  # processes
@pytest.mark.parametrize(
    ("line", "code", "output"),
    [
        ("jentmax config presets | head -1", 0, b"tungsten"),
        ("jentmax config presets >&-", 0, b""),
        ("jentmax config presets >&- 2>&-", 0, b""),
        ("jentmax nonsense 2>&-", 2, b""),
        ("jentmax nonsense 2>/dev/full", 2, b""),
        ("jentmax info none.h5 2>/dev/full", 2, b""),
        ("jentmax --help >/dev/full", 0, b""),
        ("jentmax generate --help", 0, b"+- Options -"),
        ("TERMINAL_WIDTH=x jentmax --help", 0, b"+- Commands -"),
        ("jentmax generate --set descriptor.cutoff=-1", 2, b""),
        # What is printed is all that there is to have.
        ("jentmax config show >/dev/full", 2, b""),
    ],
)
def test_commands_end_as_they_should(line, code, output):
    found = process(line, **ASCII)
    assert found[0] == code
    assert output in found[1]
    assert (found[1] + found[2]).isascii()
    assert b"Traceback" not in found[2]
    assert b"Error" not in found[2].replace(b"+- Error -", b"")


@pytest.mark.slow  # processes
@pytest.mark.parametrize("where", ["", ">/dev/full 2>&1", ">&-", ">&- 2>&-", "| head -1"])
def test_a_run_that_nobody_can_see(where):
    line = f"jentmax generate {shlex.join(FLAGS)} --output set.h5 {where}"
    code, _, errors = process(f"set -o pipefail; {line}", **ASCII)
    assert (code, errors) == (0, b"")
    with Dataset("set.h5") as dataset:
        assert (len(dataset), dataset.status) == (11, "complete")
