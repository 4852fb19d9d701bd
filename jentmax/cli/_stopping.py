"""Ending a run early: at a signal, or when its time is over."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from jentmax.cli._times import process_age

if TYPE_CHECKING:
    from jentmax.generation import Progress

TIME_IS_OVER = 75
"""Exit code when --max-time ended the run, EX_TEMPFAIL: give the same command again."""

_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
    if name in signal.Signals.__members__
]


class Stopper:
    """Ends the process at a signal or after some time; within its context.

    Finished chunks are on disk, and no other work can be kept. So the process ends at once,
    whatever it is doing. A thread waits for the signals, because the main thread does not hear
    them while XLA compiles.

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
        self._deadline = None if max_time is None else time.monotonic() + max_time - process_age()
        self._max_time = max_time_text
        self._last: Progress | None = None
        self._handlers: dict[signal.Signals, object] = {}
        self._receiver, self._sender = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="stopper")

    def __enter__(self) -> Self:
        """Listen to signals, except those that the parent has switched off, as nohup does."""
        self._sender.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, lambda *_: None)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Listen no more; a signal that came before an error, such as a lost terminal's, counts."""
        self._sender.send(b"\0")
        self._thread.join()
        signal.set_wakeup_fd(self._old_fd)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._sender.close()
        self._receiver.close()

    def update(self, progress: Progress) -> None:
        """Remember the progress of the run, for the line that says how to go on."""
        self._last = progress

    def _watch(self) -> None:
        """Wait for a signal or the deadline, and end the process; or for the end of the context."""
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                self._end(f"--max-time {self._max_time}", TIME_IS_OVER)
            if select.select([self._receiver], [], [], left)[0]:
                number = self._receiver.recv(1)[0]
                if number == 0:
                    return
                if number in self._handlers:
                    self._end(signal.Signals(number).name, 128 + number)

    def _end(self, why: str, code: int) -> None:
        """Say how to go on, and end the process without waiting for its other threads."""
        line, code = self._told(why, code)
        with contextlib.suppress(OSError):
            if os.isatty(1):
                os.write(1, b"\x1b[?25h\n")  # the progress bar hides the cursor
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, f"{line}\n".encode(errors="surrogateescape"))
        self.note(line)
        os._exit(code)

    def _told(self, why: str, code: int) -> tuple[str, int]:
        """How far the run is and how to go on, in one line; and the exit code."""
        done, made, of = 0, 0, 0
        if self._last is not None:
            of, made = self._last.structures, self._last.made
            done = min(self._last.before + made, of)
        if code == TIME_IS_OVER and not made:
            # The code that asks for another run would repeat this one for ever.
            why, code = (
                f"{why} ended before a batch was done; give more, or a smaller --batch-size",
                2,
            )
        command = shlex.join(["jentmax", *sys.argv[1:]])
        if not done:
            return f"stopped ({why}): nothing is done yet; begin again with: {command}", code
        return f"stopped ({why}): {done} of {of} structures are done; go on with: {command}", code
