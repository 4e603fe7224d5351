"""The inventory in PostgreSQL: caller-IDs, groups and campaigns, and what changed since one last looked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NewType
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.caller_id import NO_LIMIT, CallerId
from ami_rotator.domain.campaign import DEFAULT_GROUP, CampaignPolicy, policy_from_dict
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.types import E164, Area, Campaign, Group, Rung
from ami_rotator.domain.warmup import DAYS_MAX, daily_limit
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.database import Connection, Database
from ami_rotator.ledger.opt_outs import OptOut, opt_out_named

_UTC = ZoneInfo("UTC")
_MADE_AT_ONCE = 100

ChangeToken = NewType("ChangeToken", str)
"""A point in the database's history of changes; only meaningful to this database."""


class DuplicateCallerIdError(RotatorError):
    """The caller-ID is in the inventory already."""


@dataclass(frozen=True, slots=True)
class LimitDefaults:
    """What holds where neither a caller-ID nor its group says anything. `zone` is that of the setting TIMEZONE."""

    hourly_limit: int
    daily_limit: int
    cooldown_s: int
    zone: ZoneInfo = _UTC


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """A group. None (of the time zone: empty) means the default; a limit of 0 means never.

    `soft_daily_limit` is how many uses a day leave the rest of the daily limit to overflow; `warmup` a curve
    (`domain.warmup`), empty: none.
    """

    name: Group
    max_concurrent: int = 1
    cooldown_s: int | None = None
    hourly_limit: int | None = None
    daily_limit: int | None = None
    minute_limit: int | None = None
    soft_daily_limit: int | None = None
    timezone: str = ""
    warmup: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed, and the token to ask with next time. A change may be reported twice, it is never missed."""

    caller_ids: tuple[CallerId, ...]
    removed: tuple[E164, ...]
    has_campaigns: bool
    token: ChangeToken
    opted_out: tuple[OptOut, ...] = ()
    opted_in: tuple[OptOut, ...] = ()


class Inventory:
    """Reads and writes the inventory. Every method raises LedgerUnavailableError while PostgreSQL is away."""

    def __init__(self, database: Database, defaults: LimitDefaults, clock: Clock | None = None) -> None:
        self.database = database
        self._defaults = defaults
        self._clock = clock or SystemClock()

    async def token(self) -> ChangeToken:
        """Return the token of now. Take it before `load_all`, then ask `changed_since`: nothing falls in between."""
        await self.database.run("restamp_after_restore")
        return ChangeToken(await self.database.value("change_token"))

    async def load_all(self, batch: int = 2000) -> AsyncIterator[list[CallerId]]:
        """Give all caller-IDs in batches, in order of their number. No transaction is held open between them.

        The next batch is read while whoever asked works at this one.
        """
        reading = asyncio.create_task(self._load_after("", batch), name="read caller-IDs")
        try:
            while found := await reading:
                if len(found) == batch:
                    reading = asyncio.create_task(self._load_after(found[-1].number, batch), name="read caller-IDs")
                yield found
                if len(found) < batch:
                    return
        finally:
            await end_tasks(reading)

    async def _load_after(self, last: str, batch: int) -> list[CallerId]:
        defaults = self._defaults
        rows = await self.database.rows(
            "caller_ids_after", last, batch, defaults.hourly_limit, defaults.daily_limit, defaults.cooldown_s
        )
        found: list[CallerId] = []
        for start in range(0, len(rows), _MADE_AT_ONCE):
            found += self._caller_ids(rows[start : start + _MADE_AT_ONCE])
            # Calls get their turn, and so does whoever keeps Redis at work meanwhile.
            await asyncio.sleep(0)
        return found

    async def changed_since(self, token: ChangeToken) -> Changes:
        """Return what was committed since `token` was taken, by whomever: this daemon, another one, or psql.

        A transaction gets its number when it first writes but is seen when it commits, so "the newest number seen" would
        miss one that took its time. The token is the oldest transaction that still ran, taken before the rows are read.
        """
        defaults = self._defaults
        async with self.database.transaction(read_only=True) as connection:
            query = self.database.query
            following = ChangeToken(await connection.fetchval(query("change_token")))
            # Which ones they are takes a look at every caller-ID. What is committed after this question is seen next time:
            # its transaction is not older than the new token.
            has_changed = await connection.fetchval(query("has_changed_since"), token)
            rows = (
                await connection.fetch(
                    query("caller_ids_changed_since"),
                    token,
                    defaults.hourly_limit,
                    defaults.daily_limit,
                    defaults.cooldown_s,
                )
                if has_changed
                else []
            )
            removed = await connection.fetch(query("caller_ids_removed_since"), token)
            has_campaigns = await connection.fetchval(query("campaigns_changed_since"), token)
            opted_out = await connection.fetch(query("opt_outs_changed_since"), token)
            opted_in = await connection.fetch(query("opt_outs_removed_since"), token)
        return Changes(
            tuple(self._caller_ids(rows)),
            tuple(E164(row["name"]) for row in removed),
            bool(has_campaigns),
            following,
            tuple(OptOut(E164(row["destination"]), Campaign(row["campaign"])) for row in opted_out),
            tuple(opt_out_named(row["name"]) for row in opted_in),
        )

    async def warming(self) -> list[CallerId]:
        """Return the caller-IDs whose daily limit grows by itself, as it is today. Put them anew when a day begins."""
        defaults = self._defaults
        today = datetime.fromtimestamp(self._clock.wall_ms() / 1000, defaults.zone).date()
        first_day = today - timedelta(days=DAYS_MAX + 2)  # the new limit of the day after the last is due as well
        return self._caller_ids(
            await self.database.rows(
                "caller_ids_warming", defaults.hourly_limit, defaults.daily_limit, defaults.cooldown_s, first_day
            )
        )

    async def add(
        self,
        number: E164,
        *,
        area: Area,
        carrier: str = "",
        group: Group = DEFAULT_GROUP,
        daily_limit: int | None = None,
        hourly_limit: int | None = None,
        meta_json: str = "",
    ) -> None:
        """Add a caller-ID, and its group if there is none of that name. None: the default; 0: never.

        Raises:
            DuplicateCallerIdError: the number is there already; it is left as it is.
        """
        async with self.database.transaction() as connection:
            await connection.execute(self.database.query("add_group"), group)
            added = await connection.fetchval(
                self.database.query("add_caller_id"),
                number,
                carrier,
                area,
                group,
                daily_limit,
                hourly_limit,
                meta_json or "{}",
            )
            if added is None:
                raise DuplicateCallerIdError(f"Caller-ID {number} is in the inventory already. Import it to change it.")

    async def campaigns(self) -> dict[Campaign, CampaignPolicy]:
        """Return the policy of every campaign that has one of its own."""
        return {
            Campaign(row["name"]): policy_from_dict(Campaign(row["name"]), dict(row.items()))
            for row in await self.database.rows("all_campaigns")
        }

    async def save_campaign(self, policy: CampaignPolicy) -> None:
        """Add or change a campaign; groups that do not exist yet are made."""
        query = self.database.query
        wanted = [(group, False) for group in policy.groups] + [(group, True) for group in policy.next_groups]
        async with self.database.transaction() as connection:
            await connection.execute(query("save_campaign"), policy.name, orjson.dumps(policy.to_dict()).decode())
            rows = await connection.fetch(query("campaign_groups_of"), policy.name)
            # Left alone where they are the same: a change of them files all caller-IDs of the groups anew.
            if [(row["group_name"], row["is_next"]) for row in rows] != wanted:
                await _add_groups(connection, query("add_group"), (*policy.groups, *policy.next_groups))
                await connection.execute(query("drop_campaign_groups"), policy.name)
                await connection.execute(
                    query("add_campaign_groups"), policy.name, list(policy.groups), list(policy.next_groups)
                )

    async def groups(self) -> dict[Group, GroupSettings]:
        """Return every group."""
        return {
            Group(row["name"]): GroupSettings(**{**dict(row.items()), "name": Group(row["name"])})
            for row in await self.database.rows("all_groups")
        }

    async def save_group(self, group: GroupSettings) -> None:
        """Add or change a group."""
        await self.database.run(
            "save_group",
            group.name,
            group.max_concurrent,
            group.cooldown_s,
            group.minute_limit,
            group.hourly_limit,
            group.daily_limit,
            group.soft_daily_limit,
            group.timezone,
            group.warmup,
        )

    def _caller_ids(self, rows: Sequence[asyncpg.Record]) -> list[CallerId]:
        now_s = self._clock.wall_ms() / 1000
        return [_caller_id(row, self._defaults.zone, now_s) for row in rows]


async def _add_groups(connection: Connection, statement: str, groups: tuple[Group, ...]) -> None:
    # In one order everywhere, so that two who add the same groups never wait for each other in a circle.
    for group in sorted(groups):
        await connection.execute(statement, group)


def _caller_id(row: asyncpg.Record, zone: ZoneInfo, now_s: float) -> CallerId:
    limit = row["daily_limit"]
    if row["warmup"]:
        today = datetime.fromtimestamp(now_s, ZoneInfo(row["timezone"]) if row["timezone"] else zone).date()
        limit = daily_limit(limit, row["warmup"], (today - row["warmup_from"]).days)
    return CallerId(
        number=E164(row["caller_id"]),
        area=Area(row["area"]),
        group=Group(row["group_name"]),
        hourly_limit=row["hourly_limit"],
        daily_limit=limit,
        cooldown_s=row["cooldown_s"],
        max_concurrent=row["max_concurrent"],
        switch=row["switch"],
        resting_until_ms=row["resting_until_ms"],
        carrier=row["carrier"],
        meta_json=row["meta_json"],
        minute_limit=NO_LIMIT if row["minute_limit"] is None else row["minute_limit"],
        soft_daily_limit=NO_LIMIT if row["soft_daily_limit"] is None else row["soft_daily_limit"],
        timezone=row["timezone"],
        attestation=row["attestation"],
        places=_places(row["area"], tuple(row["rungs"]), row["city"]),
    )


@lru_cache(maxsize=10_000)
def _places(area: str, rungs: tuple[str, ...], city: str) -> tuple[str, ...]:
    return places_of(Area(area), [Rung(rung) for rung in rungs], city)
