"""Let a process go before other programs where a processor is wanted, as deploy/systemd/first.conf has systemd do it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def going_first(pid: int) -> Iterator[bool]:
    """Let the main thread of a process go first while the context is open; yields False where this account may not."""
    try:
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(ProcessLookupError):  # it ended: why is for others to say
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
