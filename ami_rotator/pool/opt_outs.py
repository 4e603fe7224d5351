"""The opt-outs beside the caller-IDs, where the script that assigns sees them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, Sequence

from ami_rotator.domain.types import E164, Campaign
from ami_rotator.pool.redis_pool import RedisPool

_AT_ONCE = 500

Entry = tuple[E164, Campaign]
"""A destination, and the campaign that it opted out of; an empty campaign is all of them."""


class PoolOptOuts:
    """The pool's list. Every method raises PoolUnavailableError; each may be repeated."""

    def __init__(self, pool: RedisPool) -> None:
        self._pool = pool

    async def add(self, entries: Sequence[Entry]) -> int:
        """Put entries on the list; return how many are new."""
        return await self._change("add", "", entries)

    async def remove(self, entries: Sequence[Entry]) -> int:
        """Take entries off the list; return how many were on it."""
        return await self._change("remove", "", entries)

    async def replace(self, batches: AsyncIterable[Sequence[Entry]]) -> int:
        """Make the list these entries and no others, at once when all are there; return how many it has."""
        name = uuid.uuid4().hex
        total = 0
        async for entries in batches:
            total += await self._change("load", name, entries)
        await self._pool.command("optouts", "swap", name)
        return total

    async def _change(self, how: str, name: str, entries: Sequence[Entry]) -> int:
        done = 0
        for start in range(0, len(entries), _AT_ONCE):
            members = [
                f"{number}|{campaign}" if campaign else number for number, campaign in entries[start : start + _AT_ONCE]
            ]
            done += int(await self._pool.command("optouts", how, name, *members))
        return done
