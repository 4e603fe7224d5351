"""Where lines of the log are written: at once, or by a thread behind."""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Protocol, TextIO

_TOGETHER_S = 0.1
_WAITING_MOST = 100_000
_END_S = 2.0


class Lines(Protocol):
    """Takes lines of the log, without their line ends."""

    def write(self, line: str) -> None:
        """Write a line, or see to it that it is written."""

    def flush(self) -> None:
        """Write what waits."""

    def close(self) -> None:
        """Write what waits; nothing more comes."""


class LinesNow:
    """Writes each line before it goes on: for commands."""

    def __init__(self, streams: Sequence[TextIO]) -> None:
        self._streams = tuple(streams)

    def write(self, line: str) -> None:
        """Write a line."""
        _write(self._streams, line + "\n")

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing waits."""


class LinesBehind:
    """Writes from a thread, so that a stream that blocks holds up nobody: for the daemon.

    Lines that come within a tenth of a second are written together: each time that the thread wakes, calls wait for it. A
    stream that blocks for so long that too many wait loses lines; how many is written when it goes on.
    """

    def __init__(self, streams: Sequence[TextIO]) -> None:
        self._streams = tuple(streams)
        self._waiting: SimpleQueue[str | threading.Event | None] = SimpleQueue()
        self._is_hurried = threading.Event()
        self._lost = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> None:
        """Leave a line to the thread."""
        if self._is_closed:
            _write(self._streams, line + "\n")
        elif self._waiting.qsize() >= _WAITING_MOST:
            self._lost += 1
        else:
            self._waiting.put(line)

    def flush(self) -> None:
        """Write what waits, for two seconds at the most: for what is told beside the log, and has its place in it."""
        if self._is_closed:
            return
        written = threading.Event()
        self._waiting.put(written)
        self._is_hurried.set()
        written.wait(_END_S)

    def close(self) -> None:
        """Write what waits, for two seconds at the most. A line that comes later is written at once."""
        self._is_closed = True
        atexit.unregister(self.close)
        self._waiting.put(None)
        self._is_hurried.set()
        self._thread.join(_END_S)

    def _work(self) -> None:
        is_open = True
        while is_open:
            taken = [self._waiting.get()]
            self._is_hurried.wait(_TOGETHER_S)
            self._is_hurried.clear()
            with contextlib.suppress(Empty):
                while True:
                    taken.append(self._waiting.get_nowait())
            is_open = None not in taken
            lines = [line for line in taken if isinstance(line, str)]
            if self._lost:
                lines.append(f"{self._lost} lines of the log were lost: it could not be written fast enough")
                self._lost = 0
            _write(self._streams, "".join([f"{line}\n" for line in lines]))
            for written in taken:
                if isinstance(written, threading.Event):
                    written.set()


def _write(streams: Sequence[TextIO], text: str) -> None:
    """Write to each that can still be written to: a full disk or a closed terminal stops neither calls nor the others."""
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):
            stream.write(text)
            stream.flush()
