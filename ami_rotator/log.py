"""The log: one line an event, JSON when not on a terminal, secrets and callee digits masked."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRETS = ("secret", "token", "password", "key")


def set_up_logging(level: str, log_file: Path | None = None) -> None:
    """Send the log to standard error, and to a file where one is named."""
    on_terminal = sys.stderr.isatty()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=True, pad_event_to=0)
        if on_terminal
        else structlog.processors.JSONRenderer()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if on_terminal else "iso", utc=not on_terminal),
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ]
        if not on_terminal
        else [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=handlers, force=True)
    for noisy in ("apscheduler", "aiohttp.access", "panoramisk", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of fields that are named like secrets."""
    for name in event:
        if any(word in name.lower() for word in _SECRETS) and event[name]:
            event[name] = "***"
    return event
