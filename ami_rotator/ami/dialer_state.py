"""What can be seen of a dialer's connection from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["connecting", "up", "refused", "untrusted", "down"]
"""`refused`: the login was; `untrusted`: TLS was asked for, and the certificate does not do."""


@dataclass(frozen=True, slots=True)
class DialerState:
    """A dialer's connection at one moment.

    `detail` says why it is not up and what to do; `since_ms` is the wall time of the last change of status; `version` is
    Asterisk's where the account may ask for it, else AMI's; `lag_ms` how long the last Ping took, None before the first.
    Counters never go back: `events` received and wanted, `dropped` because the queue was full, `oversized` blocks passed
    over, `failed_actions` refused, unanswered or not sent, `handler_errors` exceptions of our own handlers.
    """

    name: str
    status: Status
    detail: str
    version: str
    since_ms: int
    reconnects: int
    events: int
    lag_ms: float | None
    missing_permissions: tuple[str, ...]
    queue_length: int
    dropped: int
    oversized: int
    failed_actions: int
    last_failure: str
    handler_errors: int
