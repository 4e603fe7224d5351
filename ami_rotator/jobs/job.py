"""What a job is, and how a run of it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `run` returns a short result for people, empty where nothing was to be done.

    `alone`: with several daemons only one of them runs it, an interval once; else each runs it for itself. `at_start`: the
    first run is soon after the start, not an interval later.
    """

    name: str
    every_s: float
    run: Callable[[], Awaitable[str]]
    what: str = ""
    alone: bool = False
    at_start: bool = True


@dataclass(frozen=True, slots=True)
class JobRun:
    """How the last run of a job went, in whichever daemon.

    `at_ms` is when it began (wall time), 0: never; `result` what it did, or its error; `daemon` who ran it; `failures`
    counts failed runs in a row; `wish` is the last one that was fulfilled.
    """

    name: str
    what: str
    every_s: float
    alone: bool
    at_ms: int = 0
    took_ms: float = 0.0
    result: str = ""
    failures: int = 0
    daemon: str = ""
    wish: str = ""

    @property
    def failed(self) -> bool:
        """Whether the last run failed."""
        return self.failures > 0
