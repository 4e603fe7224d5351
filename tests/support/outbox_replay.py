"""What the outbox says happened, read again from its beginning and judged without asking the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from redis.asyncio import Redis

_HOUR_MS = 3_600_000
_PAGE = 2000


async def entries_of(redis: Redis, stream: str) -> AsyncIterator[dict[str, str]]:
    """Yield all entries of a stream in order."""
    async for _, entry in _entries(redis, stream, "-"):
        yield entry


async def _entries(redis: Redis, stream: str, first: str) -> AsyncIterator[tuple[str, dict[str, str]]]:
    while page := await redis.xrange(stream, first, count=_PAGE):
        for identity, fields in page:
            yield str(identity), {str(name): str(value) for name, value in (fields or {}).items()}
        first = f"({page[-1][0]!s}"


@dataclass(slots=True)
class Replay:
    """The whole story of a pool whose caller-IDs serve one call at a time.

    `events` counts each kind, `uses` those of a caller-ID in an hour of UTC, `holder` says who still holds one, `faults`
    every event that cannot have been.
    """

    events: Counter[str] = field(default_factory=Counter)
    uses: Counter[tuple[str, int]] = field(default_factory=Counter)
    holder: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _caller_id_of: dict[str, str] = field(default_factory=dict)
    _next: str = "-"

    async def follow(self, redis: Redis, stream: str) -> None:
        """Take what came since the last time; nothing may have left the stream meanwhile."""
        async for identity, entry in _entries(redis, stream, self._next):
            self.take(entry)
            self._next = f"({identity}"

    def take(self, entry: dict[str, str]) -> None:
        """Take the next event."""
        self.events[entry["event"]] += 1
        if entry["event"] == "assigned":
            caller_id, identity = entry["caller_id"], entry["id"]
            if caller_id in self.holder:
                self.faults.append(f"{caller_id} was given twice: {entry}")
            if identity in self._caller_id_of:
                self.faults.append(f"assigned twice: {entry}")
            self.holder[caller_id] = identity
            self._caller_id_of[identity] = caller_id
            self.uses[caller_id, int(entry["at"]) // _HOUR_MS] += 1
        elif entry["event"] == "ended":
            held = self.holder.pop(self._caller_id_of.get(entry["id"], ""), None)
            if held != entry["id"]:
                self.faults.append(f"ended, but not held: {entry}")
