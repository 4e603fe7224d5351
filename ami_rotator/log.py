"""The log: one line an event, JSON when not on a terminal, secrets and callee digits masked."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ami_rotator.log_lines import Lines, LinesBehind, LinesNow

_SECRETS = ("secret", "token", "password", "key")
_harmless: set[str] = set()
"""Names of fields that are not like these. They are the program's own: there are as many as it has words."""


def set_up_logging(level: str, log_file: Path | None = None, *, behind: bool = False) -> Lines:
    """Send the log to standard error, and to a file where one is named; return where its lines go.

    `behind`: lines are written by a thread of its own, so that a slow terminal or disk delays no call; none is lost when the
    process ends in order.
    """
    on_terminal = sys.stderr.isatty()
    streams = [sys.stderr] if log_file is None else [sys.stderr, log_file.open("a", encoding="utf-8")]
    lines = LinesBehind(streams) if behind else LinesNow(streams)
    shared: list[Processor] = [structlog.stdlib.add_log_level, hide_secrets]
    rendering: list[Processor] = (
        [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            # Its own tracebacks show local variables, and what is in them.
            structlog.dev.ConsoleRenderer(
                colors=True, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if on_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=lambda *_: _ToLines(lines),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    # What libraries log by the standard library goes the same way.
    handler = _ToLinesHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("apscheduler", "aiohttp.access", "panoramisk", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return lines


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of fields that are named like secrets."""
    if _harmless.issuperset(event):
        return event
    for name in event:
        if not any(word in name.lower() for word in _SECRETS):
            _harmless.add(name)
        elif event[name]:
            event[name] = "***"
    return event


def _json(event: EventDict, *, default: Callable[[Any], Any]) -> str:
    event["timestamp"] = now = datetime.now(UTC)
    try:
        return orjson.dumps(event, default=default, option=orjson.OPT_UTC_Z).decode()
    except TypeError:  # half a character from a dialer, an integer beyond 64 bits
        return json.dumps({**event, "timestamp": now.isoformat().replace("+00:00", "Z")}, default=default)


class _ToLines:
    """What structlog hands a rendered line to."""

    def __init__(self, lines: Lines) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = self.msg = lines.write


class _ToLinesHandler(logging.Handler):
    """Writes records of the standard library; closing it, as a new set-up does, writes what still waits."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.write(self.format(record))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._lines.close()
        super().close()
