"""Stop a run early: at a signal, or when its time is over."""

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
"""Exit code after --max-time ended the run (EX_TEMPFAIL): the same command continues it."""

_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
    if name in signal.Signals.__members__
]


class Stopper:
    """Context that ends the process at a signal or after some time.

    Finished chunks are on disk, and no other work can be saved, so the process ends at once. A
    thread waits for the signals, because Python's main thread cannot handle them while XLA
    compiles.

    Attributes:
        note: called with a line about how the run ended.
    """

    def __init__(self, max_time: float | None, max_time_text: str | None) -> None:
        """Prepare to end the run.

        Args:
            max_time: seconds from the start of the process to its end; None for no limit.
            max_time_text: the time as the user gave it.
        """
        self.note: Callable[[str], None] = lambda line: None
        self._deadline = None if max_time is None else time.monotonic() + max_time - process_age()
        self._max_time = max_time_text
        self._last: Progress | None = None
        self._handlers: dict[signal.Signals, object] = {}
        self._receiver, self._sender = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="stopper")

    def __enter__(self) -> Self:
        """Start to handle signals, except those that the parent ignores, as nohup does."""
        self._sender.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, lambda *_: None)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop handling signals, after those that came before an error, such as a lost terminal."""
        self._sender.send(b"\0")
        self._thread.join()
        signal.set_wakeup_fd(self._old_fd)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._sender.close()
        self._receiver.close()

    def update(self, progress: Progress) -> None:
        """Store the progress of the run, for the last line."""
        self._last = progress

    def _watch(self) -> None:
        """Wait for the end of the context; end the process at a signal or the deadline."""
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
        """Print how to continue, and end the process without waiting for its other threads."""
        line, code = self._last_line(why, code)
        with contextlib.suppress(OSError):
            if os.isatty(1):
                os.write(1, b"\x1b[?25h\n")  # the progress bar hides the cursor
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, f"{line}\n".encode(errors="surrogateescape"))
        self.note(line)
        os._exit(code)

    def _last_line(self, why: str, code: int) -> tuple[str, int]:
        """A line with the progress and the command that continues the run, and the exit code."""
        done, made, of = 0, 0, 0
        if self._last is not None:
            of, made = self._last.structures, self._last.made
            done = min(self._last.before + made, of)
        if code == TIME_IS_OVER and not made:
            # With the code for "run again", a job script would repeat this run forever.
            why, code = (
                f"{why} ended before a batch was done; give more, or a smaller --batch-size",
                2,
            )
        command = shlex.join(["jentmax", *sys.argv[1:]])
        if not done:
            return f"stopped ({why}): nothing is done yet; start again with: {command}", code
        return (
            f"stopped ({why}): {done} of {of} structures are done; continue with: {command}",
            code,
        )
