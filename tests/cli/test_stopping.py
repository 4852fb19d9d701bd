"""Runs that are asked to end: by signals, from the terminal, or because their time is over."""

import os
import pathlib
import pty
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from cli_runs import FLAGS, assert_identical, columns

from jentmax.cli._stopping import TIME_IS_OVER, Stopper
from jentmax.cli._times import process_age, seconds
from jentmax.dataset import Dataset
from jentmax.errors import JentmaxError

RUN = [*FLAGS, "--structures", "40", "--devices", "1", "-o", "a set.h5"]

# The command line, of a run that takes a second for a chunk.
SLOW = """
import time
from jentmax.cli import _stopping, main
update = _stopping.Stopper.update
def slow(self, progress):
    time.sleep(0.3)
    update(self, progress)
_stopping.Stopper.update = slow
main()
"""

# In a process of its own: a run that does something.
RUNNING = """
import sys, time
from jentmax.cli._stopping import Stopper
from jentmax.generation import Progress
def say(word):
    print(word, flush=True)
def update(done):
    stopper.update(Progress("annealing", done, 9, 0, int(done)))
sys.argv = ["jentmax", "generate"]
with Stopper(None, None) as stopper:
"""


def started(*words, **options):
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def until(process, words):
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(process.communicate()[1])


def until_more(process):
    """Wait for two more chunks of the set."""
    folder = pathlib.Path("a set.h5.parts")
    enough = len(list(folder.glob("*.npz"))) + 2
    while len(list(folder.glob("*.npz"))) < enough:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def the_line(errors):
    """The one line that tells how to go on, and its command's words."""
    assert errors.endswith("\n")
    [line] = errors.splitlines()
    return line, shlex.split(line.rpartition(": ")[2])


@pytest.mark.slow
@pytest.mark.optimised  # compares bits
def test_signals_and_on_to_the_same_set():
    """Each command goes on where the last one was ended, as it said."""
    process = started("-m", "jentmax.cli", "generate", *RUN)
    assert process.communicate()[1] == ""
    whole = columns("a set.h5")
    for name in ("a set.h5", "a set.h5.log"):
        os.remove(name)
    words = ["jentmax", "generate", *RUN]
    lengths = [0]
    for number in (signal.SIGTERM, signal.SIGINT):
        process = started("-c", SLOW, *words[1:])
        until_more(process)
        process.send_signal(number)
        _, errors = process.communicate()
        assert process.returncode == 128 + number, errors
        line, words = the_line(errors)
        assert line.startswith(f"stopped ({number.name}): ")
        assert words == ["jentmax", "generate", *RUN]
        with Dataset("a set.h5") as dataset:
            assert dataset.status == "running"
            lengths.append(len(dataset))
        [done] = re.findall(r": (\d+) of 40 structures are done; continue with: ", line)
        assert lengths[-2] < int(done) <= lengths[-1]  # a chunk may be done and not yet reported
        assert sorted(os.listdir()) == ["a set.h5.log", "a set.h5.parts"]
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] < 40
    process = started("-m", "jentmax.cli", *words[1:])
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert f"40 structures, {40 - lengths[-1]} of them made now in " in output
    assert_identical(columns("a set.h5"), whole)
    log = pathlib.Path("a set.h5.log").read_text()
    for name in ("SIGTERM", "SIGINT"):
        assert log.count(f"  stopped ({name}): ") == 1
    assert "  error: " not in log
    assert log.count("  begun: jentmax generate ") == 3
    assert log.count("  complete: a set.h5: 40 structures") == 1


@pytest.mark.slow
@pytest.mark.optimised  # compares bits
def test_overwriting_goes_on_too():
    """The same command replaces another set, but not its own that is under way."""
    process = started("-m", "jentmax.cli", "generate", *RUN, "--seed", "1", "--structures", "4")
    assert process.communicate()[1] == ""
    process = started("-c", SLOW, "generate", *RUN, "--overwrite")
    until_more(process)
    process.send_signal(signal.SIGTERM)
    _, words = the_line(process.communicate()[1])
    assert words == ["jentmax", "generate", *RUN, "--overwrite"]
    process = started("-m", "jentmax.cli", *words[1:])
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "40 structures, " in output
    assert " of them made now in " in output


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGXCPU"])
@pytest.mark.slow
def test_every_signal(name):
    """It ends the run at once, whatever it is doing."""
    process = started("-c", RUNNING + "    update(1); say('in'); time.sleep(600); say('out')")
    until(process, "in")
    process.send_signal(getattr(signal, name))
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (128 + getattr(signal, name), "")
    line, words = the_line(errors)
    assert line.startswith(f"stopped ({name}): 1 of 9 structures are done; continue with: ")
    assert words == ["jentmax", "generate"]


@pytest.mark.slow
def test_a_signal_in_compiled_code():
    """Python runs no handlers there, as while XLA compiles."""
    process = started("-c", RUNNING + "    say('in'); import ctypes; ctypes.CDLL(None).sleep(600)")
    until(process, "in")
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
def test_before_anything_is_done(tmp_path):
    """While programs compile: at once, and the old file stays."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "empty")}
    process = started("-m", "jentmax.cli", "generate", *RUN, "--structures", "4", "--seed", "1")
    assert process.communicate()[1] == ""
    before = {path: pathlib.Path(path).read_bytes() for path in os.listdir()}
    process = started("-m", "jentmax.cli", "generate", *RUN, "--overwrite", env=environment)
    until(process, "compiling")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "least distance" not in output
    line, words = the_line(errors)
    assert line.startswith("stopped (SIGTERM): nothing is done yet; start again with: ")
    assert words == ["jentmax", "generate", *RUN, "--overwrite"]
    assert {path: pathlib.Path(path).read_bytes() for path in before} == before


@pytest.mark.slow
def test_nohup():
    """Signals that were switched off stay so."""
    program = RUNNING + "    update(1); say('in'); time.sleep(1); update(2); say('out')"
    switched_off = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = started("-c", switched_off + program)
    until(process, "in")
    process.send_signal(signal.SIGHUP)
    assert process.communicate() == ("out\n", "")


# In a terminal


OWN_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"


def in_terminal(words, act):
    """Run a command line in a terminal of its own, act once it shows a bar; exit code, output."""
    master, slave = pty.openpty()

    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL + SLOW, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(slave)
    shown = b""
    acted = False
    while True:
        try:
            some = os.read(master, 65536)
        except OSError:
            break
        shown += some
        if not acted and b"least distance" in shown:
            acted = True
            if act(master):
                return process.wait(), ""
    os.close(master)
    return process.wait(), shown.decode()


@pytest.mark.slow
def test_ctrl_c_in_a_terminal():
    code, shown = in_terminal(["generate", *RUN], lambda master: os.write(master, b"\x03") and None)
    assert code == 130
    assert "Traceback" not in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    assert plain.splitlines()[-1].startswith("stopped (SIGINT): ")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor stays hidden"
    assert sorted(os.listdir()) == ["a set.h5.log", "a set.h5.parts"]


@pytest.mark.slow
def test_a_terminal_that_is_closed():
    code, _ = in_terminal(["generate", *RUN], lambda master: os.close(master) or True)
    assert code == 128 + signal.SIGHUP
    assert sorted(os.listdir()) == ["a set.h5.log", "a set.h5.parts"]
    assert "  stopped (SIGHUP): " in pathlib.Path("a set.h5.log").read_text()


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("describe a.xyz -o b.h5", "jentmax.cli._files.descriptor_for"),
        ("evaluate a.xyz", "jentmax.cli._evaluate._refuse_missing"),
        ("select a.xyz --structures 3 -o b.xyz", "jentmax.dataset.is_dataset"),
        ("info a.h5", "jentmax.dataset.Dataset"),
        ("config show", "jentmax.cli._config.load_settings"),
    ],
)
def test_ctrl_c_ends_any_command(call, monkeypatch, command, where):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    assert call(command) == (130, "", "interrupted\n")


# Time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3h50m", 13800),
        ("90m", 5400),
        ("45min", 2700),
        ("2d", 172800),
        ("1d12h", 129600),
        ("30S", 30),
        ("90", 5400),
        ("90:30", 5430),
        ("1:30:00", 5400),
        ("100:00:00", 360000),
        ("1-0", 86400),
        ("1-12:30", 131400),
        ("2-00:00:01", 172801),
    ],
)
def test_spans_of_time(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "0", "0:00:00", "-5", "3h50", "50m3h", "1:2:3:4", "1.5h", "1-", "٣h"]
)
def test_what_is_no_span_of_time(bad_time, text):
    message = bad_time(text)
    assert f"--max-time {text} is not a time span; give one such as 3h50m" in message


@pytest.fixture
def bad_time(call):
    def run(text):
        code, output, errors = call("generate", f"--max-time={text}")
        assert (code, output, os.listdir()) == (2, "", [])
        assert errors.startswith("error: ")
        return errors

    return run


def test_time_counts_from_the_start_of_the_process():
    program = "import time; time.sleep(1); from jentmax.cli import _times as t; print("
    program += "t.process_age() - (time.monotonic() - t._began))"
    before_import = float(started("-c", program).communicate()[0])
    # The clock of processes has ticks of 0.01 s.
    assert 0.98 < before_import < 1 + process_age()


# The time of a run is set once it has made something.
SHORT = """
import sys, time
from jentmax.cli import _stopping, main
update = _stopping.Stopper.update
def hurried(self, progress):
    time.sleep(0.1)
    if progress.made >= 4 and self._deadline > time.monotonic() + 1000:
        self._deadline = time.monotonic() + 0.5
        self._sender.send(b"\x7f")  # wakes the thread
    update(self, progress)
_stopping.Stopper.update = hurried
main()
"""


@pytest.mark.slow
def test_max_time():
    """The code says that another run is needed, the line which."""
    process = started("-c", SHORT, "generate", *RUN, "--max-time", "1h")
    _, errors = process.communicate()
    assert process.returncode == TIME_IS_OVER == os.EX_TEMPFAIL
    line, words = the_line(errors)
    assert line.startswith("stopped (--max-time 1h): ")
    assert words == ["jentmax", "generate", *RUN, "--max-time", "1h"]
    with Dataset("a set.h5") as dataset:
        assert 0 < len(dataset) < 40


@pytest.mark.slow
def test_a_time_in_which_nothing_is_done():
    """Another run would make as little: not the code that asks for one."""
    process = started("-m", "jentmax.cli", "generate", *RUN, "--max-time", "1s")
    _, errors = process.communicate()
    assert process.returncode == 2
    assert the_line(errors)[0].startswith(
        "stopped (--max-time 1s ended before a batch was done; give more, or a smaller "
        "--batch-size): nothing is done yet; start again with: jentmax generate "
    )
    assert os.listdir() == []


def test_errors_are_not_taken_for_it():
    with pytest.raises(JentmaxError, match="disk full"), Stopper(3600, "1h"):
        raise JentmaxError("disk full")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
