"""Where lines of the log are written: at once, or by a thread behind."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Protocol, TextIO

_TOGETHER_S = 0.01
_WAITING_MOST = 100_000
_END_S = 2.0


class Lines(Protocol):
    """Takes lines of the log, without their line ends."""

    def write(self, line: str) -> None:
        """Write a line, or see to it that it is written."""

    def close(self) -> None:
        """Write what waits; nothing more comes."""


class LinesNow:
    """Writes each line before it goes on: for commands."""

    def __init__(self, streams: Sequence[TextIO]) -> None:
        self._streams = tuple(streams)

    def write(self, line: str) -> None:
        """Write a line."""
        _write(self._streams, line + "\n")

    def close(self) -> None:
        """Nothing waits."""


class LinesBehind:
    """Writes from a thread, so that a stream that blocks holds up nobody: for the daemon.

    Lines that come within a hundredth of a second are written together. A stream that blocks for so long that too many wait
    loses lines; how many is written when it goes on.
    """

    def __init__(self, streams: Sequence[TextIO]) -> None:
        self._streams = tuple(streams)
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
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

    def close(self) -> None:
        """Write what waits, for two seconds at the most. A line that comes later is written at once."""
        self._is_closed = True
        atexit.unregister(self.close)
        self._waiting.put(None)
        self._thread.join(_END_S)

    def _work(self) -> None:
        is_open = True
        while is_open:
            lines = [self._waiting.get()]
            if lines[0] is not None:
                time.sleep(_TOGETHER_S)
            with contextlib.suppress(Empty):
                while lines[-1] is not None:
                    lines.append(self._waiting.get_nowait())
            is_open = lines[-1] is not None
            if self._lost:
                lines.append(f"{self._lost} lines of the log were lost: it could not be written fast enough")
                self._lost = 0
            _write(self._streams, "".join(f"{line}\n" for line in lines if line is not None))


def _write(streams: Sequence[TextIO], text: str) -> None:
    """Write to each that can still be written to: a full disk or a closed terminal stops neither calls nor the others."""
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):
            stream.write(text)
            stream.flush()
