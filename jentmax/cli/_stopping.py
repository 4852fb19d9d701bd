"""Ending a run early, by a signal or when its time is over, with all that it has made on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import select
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from jentmax.cli._times import process_age
from jentmax.dataset import being_written
from jentmax.errors import JentmaxError, Stopped

if TYPE_CHECKING:
    from jentmax.generation import Progress

TIME_IS_OVER = 75
"""Exit code when --max-time ended the run, EX_TEMPFAIL: give the same command again."""

_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
    if name in signal.Signals.__members__
]

_UNTIL_REPORT = 3.0
"""Seconds after which a run that does not report, while it compiles for example, is ended."""

_UNTIL_WRITTEN = 20.0
"""Seconds after which what is being written has had its time; queues kill after 30 or so."""

_SAME = 0.2
"""Seconds within which a signal that comes twice is one: starters pass on what a terminal sends to
all."""

_BETWEEN_LOOKS = 0.05
"""Seconds between two looks at what is waited for."""

_N_MEASURED = 3
"""Latest waits for structures, of which the longest tells how long the next one may take."""


@dataclasses.dataclass(frozen=True)
class _Reason:
    why: str
    code: int


class Stopper:
    """Ends a run at a signal or after some time; within its context.

    A thread of its own waits for signals, because the main one does not hear them while XLA
    compiles. It asks the run to end: `report` then raises `Stopped`. A run that does not report
    soon is ended where it is, once nothing is being written; at a second signal it is ended at
    once. What is on disk is good whatever happens.

    Attributes:
        note: called with the line that says how the run ended.
    """

    def __init__(self, max_time: float | None, max_time_text: str | None) -> None:
        """Prepare to end the run.

        Args:
            max_time: seconds from the start of the process to the end; None for no end.
            max_time_text: the same as the user gave it.
        """
        self.note: Callable[[str], None] = lambda line: None
        self._output: Path | None = None
        self._deadline = None if max_time is None else time.monotonic() + max_time - process_age()
        self._over = _Reason(f"--max-time {max_time_text}", TIME_IS_OVER)
        self._reason: _Reason | None = None
        self._last: Progress | None = None
        self._raised = threading.Event()
        self._arrivals: list[float] = []  # when there were new structures
        self._handlers: dict[signal.Signals, object] = {}
        self._receiver, self._sender = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="stopper")

    def __enter__(self) -> Stopper:
        """Listen to signals, but for those that whoever started the process has switched off."""
        self._sender.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup does
                self._handlers[number] = signal.signal(number, lambda *_: None)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say how to go on with a run that was ended, and exit with its code."""
        self._sender.send(b"\0")
        self._thread.join()
        signal.set_wakeup_fd(self._old_fd)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._sender.close()
        self._receiver.close()
        # Other errors after the signal are its consequences, such as a terminal that is gone.
        if self._reason and isinstance(error, Exception) and not isinstance(error, JentmaxError):
            line, code = self._told(self._reason)
            self.note(line)
            sys.stderr.write(f"{line}\n")
            raise SystemExit(code) from None

    @property
    def stops(self) -> bool:
        """Whether something has asked the run to end."""
        return self._reason is not None

    def begin(self, output: Path) -> None:
        """Say which file the run makes."""
        self._output = output

    def report(self, progress: Progress) -> None:
        """Take note of how far the run is.

        Raises:
            Stopped: if it is to end.
        """
        now = time.monotonic()
        if self._last is not None and progress.made > self._last.made:
            self._arrivals = [*self._arrivals, now][-_N_MEASURED - 1 :]
        self._last = progress
        if _there(progress) >= progress.structures:
            return  # what is left is to write the finished file
        if self._reason is None and self._deadline is not None:
            longest = max((b - a for a, b in itertools.pairwise(self._arrivals)), default=0.0)
            next_one = self._arrivals[-1] + longest if longest else now
            if max(now, next_one) > self._deadline:
                self._reason = self._over
        if self._reason and not self._raised.is_set():
            self._raised.set()
            raise Stopped(self._reason.why)

    def _watch(self) -> None:
        """Wait for what ends the run, and see that it ends; or for its own end."""
        number = self._next(None)
        if number == 0:
            return
        self._reason = self._reason or (self._over if number is None else _by(number))
        if number == getattr(signal, "SIGHUP", None):
            _let_go_of_terminals()
        began = time.monotonic()
        with contextlib.suppress(_HasEnded):
            if self._has_begun():
                self._wait(began, _UNTIL_REPORT, number, self._raised.is_set)
                if self._raised.is_set():
                    self._wait(began, _UNTIL_WRITTEN, number, lambda: False)
            self._wait(began, _UNTIL_WRITTEN, number, lambda: being_written.acquire(blocking=False))
            self._end(self._reason)

    def _wait(
        self, began: float, seconds: float, first: int | None, goal: Callable[[], bool]
    ) -> None:
        """Wait for something until so many seconds after the beginning.

        Another signal than the first ends the process.

        Raises:
            _HasEnded: if the run has, meanwhile.
        """
        while not goal() and time.monotonic() < began + seconds:
            number = self._next(_BETWEEN_LOOKS)
            if number == 0:
                raise _HasEnded
            same = number == first and time.monotonic() < began + _SAME
            if number and not same and number != getattr(signal, "SIGXCPU", 0):  # each second
                self._end(_by(number))

    def _next(self, seconds: float | None) -> int | None:
        """The next signal, 0 once the run has ended; None after so long, or when time is over."""
        if seconds is None and self._deadline is not None:
            seconds = max(0.0, self._deadline - time.monotonic())
        while select.select([self._receiver], [], [], seconds)[0]:
            number = self._receiver.recv(1)[0]
            if number == 0 or number in self._handlers:
                return number
        return None

    def _has_begun(self) -> bool:
        """Whether any structure of this run is under way."""
        return self._last is not None and self._last.done > self._last.before

    def _end(self, reason: _Reason) -> None:
        """End the process, without a word to its other threads."""
        line, code = self._told(reason)
        self.note(line)
        with contextlib.suppress(OSError):
            if os.isatty(1):
                os.write(1, b"\x1b[?25h\n")  # the live bar hides the cursor
            os.write(2, f"{line}\n".encode(errors="surrogateescape"))
        os._exit(code)

    def _told(self, reason: _Reason) -> tuple[str, int]:
        """What the run has made and how to go on, in a line, and the exit code."""
        there, made = (_there(self._last), self._last.made) if self._last else (0, 0)
        code, why = reason.code, reason.why
        if reason is self._over and not made:
            # Not the code that asks for another run, which would make as little.
            code, why = (
                2,
                f"{why} is over before a batch is done; give more, or a smaller --batch-size",
            )
        command = shlex.join(["jentmax", *sys.argv[1:]])
        if self._last is None or not there:
            return f"stopped ({why}): nothing was done yet; begin again with: {command}", code
        told = f"{there} of {self._last.structures} structures are in {self._output}"
        return f"stopped ({why}): {told}; go on with: {command}", code


def _there(progress: Progress) -> int:
    """Structures that are on disk for certain: earlier ones, and those of this process."""
    return min(progress.before + progress.made, progress.structures)


class _HasEnded(Exception):
    """The run came to its own end."""


def _by(number: int) -> _Reason:
    return _Reason(signal.Signals(number).name, 128 + number)


def _let_go_of_terminals() -> None:
    """Print to nowhere from now on if the terminal is gone: writing to it would be an error."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), descriptor)
