"""What the ledger says, for dashboard and commands."""

from __future__ import annotations

from dataclasses import dataclass

from ami_rotator.ledger.database import Database


@dataclass(frozen=True, slots=True)
class RecentCall:
    """One assignment. What has not happened yet is empty, None or 0."""

    reservation: str
    assigned_at_ms: int
    caller_id: str
    campaign: str
    destination: str
    dialer: str
    code: str
    agent: str
    source: str
    rung: str
    group: str
    area: str
    was_warm: bool
    presented: str
    presented_matches: bool | None
    ended_at_ms: int
    outcome: str
    cause: int
    sip: int
    talk_ms: int


@dataclass(frozen=True, slots=True)
class MinuteCount:
    """What happened to the calls assigned in the minute that began at `minute_ms`; `feed` to `fastagi`: their door."""

    minute_ms: int
    assigned: int
    missed: int
    answered: int
    feed: int
    ami: int
    http: int
    fastagi: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is; calls are those of the last hour."""

    caller_ids: int
    active_caller_ids: int
    groups: int
    campaigns: int
    dead_letters: int
    assigned: int
    missed: int
    presented_as_assigned: int
    presented_otherwise: int


async def recent(database: Database, limit: int = 50) -> list[RecentCall]:
    """Return the newest assignments, newest first."""
    return [
        RecentCall(
            reservation=row["reservation"],
            assigned_at_ms=row["assigned_at_ms"],
            caller_id=row["caller_id"],
            campaign=row["campaign"],
            destination=row["destination"],
            dialer=row["dialer"],
            code=row["code"],
            agent=row["agent"],
            source=row["source"] or "",
            rung=row["rung"] or "",
            group=row["group_name"] or "",
            area=row["area"] or "",
            was_warm=bool(row["was_warm"]),
            presented=row["presented"] or "",
            presented_matches=row["presented_matches"],
            ended_at_ms=row["ended_at_ms"] or 0,
            outcome=row["outcome"] or "",
            cause=row["cause"] or 0,
            sip=row["sip"] or 0,
            talk_ms=row["talk_ms"] or 0,
        )
        for row in await database.rows("recent_calls", limit)
    ]


async def calls_per_minute(database: Database, minutes: int = 60) -> list[MinuteCount]:
    """Return one count a minute, oldest first, without gaps; the last one is the minute that runs."""
    return [MinuteCount(**row) for row in await database.rows("calls_per_minute", minutes)]


async def misses_by_reason(database: Database, minutes: int = 60) -> dict[str, int]:
    """Return how many calls got no caller-ID, by reason, the most frequent first."""
    return {row["reason"]: row["misses"] for row in await database.rows("misses_by_reason", minutes)}


async def totals(database: Database) -> Totals:
    """Return how much there is of everything."""
    return Totals(**(await database.rows("totals"))[0])
