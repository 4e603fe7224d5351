"""Know the call before Asterisk does: read new rows of vicidial_auto_calls as they appear.

One range query a poll. The table is in memory and holds the live calls only (some hundred rows); its key is a hash, so that
the server reads it as a whole: what that costs is measured in docs/vicidial-database.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ami_rotator.cancellation import raise_if_cancelled
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.call_codes import parse_call_code
from ami_rotator.domain.types import Campaign, Dialer
from ami_rotator.vicidial.agents import AgentLookup
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialError
from ami_rotator.vicidial.feed_rows import (
    CLOCK_NEAR_MS,
    AgentKnown,
    FeedCall,
    FeedRow,
    RowWindow,
    dialled_of,
    is_ahead,
    read_row,
)
from ami_rotator.vicidial.feed_state import FeedMetrics, FeedRecord, FeedState
from ami_rotator.vicidial.schema import check_schema

COLUMNS = (
    "auto_call_id, server_ip, campaign_id, status, lead_id, callerid, phone_code, phone_number, "
    "ROUND(TIMESTAMPDIFF(MICROSECOND, call_time, NOW(6)) / 1000)"
)
_NEWEST_SQL = f"SELECT {COLUMNS} FROM vicidial_auto_calls ORDER BY auto_call_id DESC LIMIT 500"
_NEW_SQL = f"SELECT {COLUMNS} FROM vicidial_auto_calls WHERE auto_call_id > %s{{}} ORDER BY auto_call_id LIMIT 1000"
_HIGHEST_SQL = "SELECT MAX(auto_call_id) FROM vicidial_auto_calls"

_PAUSE_FIRST_S = 0.2
_PAUSE_MOST_S = 1.5
_QUIET_S = 1.0


@dataclass(frozen=True, slots=True)
class FeedPace:
    """How often to look: `fast_s` while calls flow, `idle_s` after `idle_after_s` without one.

    `catch_up_s`: how old a row may be when it is found at the start or after a gap, to count as still to come.
    """

    fast_s: float = 0.025
    idle_s: float = 0.1
    idle_after_s: float = 30.0
    catch_up_s: float = 5.0


class Feed:
    """Tells of each call that VICIdial is about to place; `run` it, and it looks after its connection itself."""

    def __init__(
        self,
        connection: VicidialConnection,
        dialers_by_ip: Mapping[str, Dialer],
        on_calls: Callable[[Sequence[FeedCall]], None],
        on_agents: Callable[[Sequence[AgentKnown]], None],
        *,
        metrics: FeedMetrics | None = None,
        pace: FeedPace | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare the feed. Both callbacks are called from `run`, at once, and must not block."""
        self._connection = connection
        self._dialers = dict(dialers_by_ip)
        self._on_calls = on_calls
        self._pace = pace or FeedPace()
        self._clock = clock or SystemClock()
        self._agents = AgentLookup(connection, on_agents, self._clock)
        self._record = FeedRecord(connection, self._clock, metrics)
        self._window = RowWindow()
        self._pause_s = _PAUSE_FIRST_S
        self._polled_at_s = self._row_at_s = self._looked_at_s = self._clock.monotonic_s()

    def state(self) -> FeedState:
        """Return how the feed is doing now."""
        return self._record.state(self._polled_at_s, self._agents.on)

    async def run(self) -> None:
        """Read until cancelled. While the database is away it is asked again every 1.5 seconds at the latest."""
        try:
            while True:
                try:
                    await self._read()
                except VicidialError as error:
                    self._record.turn_off(error)
                self._connection.close()
                raise_if_cancelled()
                await asyncio.sleep(self._pause_s * random.uniform(0.5, 1))
                self._pause_s = min(self._pause_s * 2, _PAUSE_MOST_S)
        finally:
            self._connection.close()

    async def _read(self) -> None:
        await self._connection.open()
        await check_schema(self._connection, "feed")
        await self._agents.check()
        await self._start()
        self._record.turn_on()
        self._pause_s = _PAUSE_FIRST_S
        while True:
            began_s = self._clock.monotonic_s()
            await self._poll(began_s)
            now_s = self._clock.monotonic_s()
            took_s = now_s - began_s
            self._record.polled(now_s, took_s)
            raise_if_cancelled()
            # A slow server is asked less: it is never busy with us for more than half of the time.
            await asyncio.sleep(max(self._poll_s(now_s) - took_s, took_s))

    def _poll_s(self, now_s: float) -> float:
        idle = now_s - self._row_at_s > self._pace.idle_after_s and not self._agents.waiting
        return self._pace.idle_s if idle else self._pace.fast_s

    async def _start(self) -> None:
        """Find the newest id, and take what was written in the last seconds."""
        now_s = self._clock.monotonic_s()
        rows = [read_row(values) for values in await self._connection.rows(_NEWEST_SQL)]
        news = self._window.take((row for row in rows if self._is_fresh(row)), now_s)
        self._window.start(max((row.id for row in rows), default=0))
        self._polled_at_s = self._looked_at_s = now_s
        await self._tell(news)

    async def _poll(self, now_s: float) -> None:
        was_away = now_s - self._polled_at_s > _QUIET_S
        gaps = self._window.gaps(now_s)
        also = f" OR auto_call_id IN ({', '.join(map(str, gaps))})" if gaps else ""
        found = await self._connection.rows(_NEW_SQL.format(also), (self._window.highest,))
        news = self._window.take((read_row(values) for values in found), now_s)
        self._polled_at_s = now_s
        if news:
            self._record.look_at_clock(news[-1], self._poll_s(now_s))
            self._row_at_s = now_s
        elif now_s - max(self._row_at_s, self._looked_at_s) > _QUIET_S:
            self._looked_at_s = now_s
            # After TRUNCATE, or a restart behind a proxy, ids begin at 1 again: nothing would ever be above the highest.
            highest = (await self._connection.rows(_HIGHEST_SQL))[0][0] or 0
            if highest < self._window.highest:
                await self._start()
        await self._tell([row for row in news if self._is_fresh(row)] if was_away else news)
        await self._agents.ask_again()

    async def _tell(self, news: Sequence[FeedRow]) -> None:
        calls = [call for row in news if (call := self._read_call(row)) is not None]
        self._record.told(calls)
        auto = [call for call in calls if call.kind == "auto"]
        manual = [call for call in calls if call.kind == "manual"]
        if auto:
            self._on_calls(auto)
        if manual:
            try:
                manual = await self._agents.add(manual)
            finally:  # a call without its agent is better than no call
                self._on_calls(manual)

    def _read_call(self, row: FeedRow) -> FeedCall | None:
        code = parse_call_code(row.code)
        if code is None:
            self._record.skipped(row, "not_outbound")
            return None
        if not is_ahead(row, code.kind):
            self._record.skipped(row, "past")
            return None
        dialer = self._dialers.get(row.server_ip)
        if dialer is None:
            self._record.skipped(row, "unknown_dialer")
            return None
        return FeedCall(
            dialer=dialer,
            code=code.text,
            kind=code.kind,
            campaign=Campaign(row.campaign),
            lead_id=row.lead_id,
            dialled=dialled_of(row.phone_code, row.phone_number),
            agent="",
            seen_at_ms=self._clock.wall_ms(),
            row_age_ms=row.age_ms or 0,
        )

    def _is_fresh(self, row: FeedRow) -> bool:
        return row.age_ms is not None and -CLOCK_NEAR_MS <= row.age_ms <= self._pace.catch_up_s * 1000
