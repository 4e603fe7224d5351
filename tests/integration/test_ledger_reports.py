from __future__ import annotations

import itertools
import re
import uuid
from datetime import UTC, datetime, timedelta

from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import E164, Area
from ami_rotator.ledger import reports
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.last_hour import LastHour
from ami_rotator.ledger.upkeep import ensure_partitions
from tests.support.services import every_postgresql

INSERT = """
INSERT INTO calls (reservation_id, assigned_at, caller_id, campaign, source, miss_reason, presented_matches, outcome)
VALUES ($1, $2, $3, $4, 'ami', $5, $6, $7)
"""


async def call(
    database: Database,
    ago: timedelta,
    *,
    miss: str | None = None,
    matches: bool | None = None,
    outcome: str | None = None,
    campaign: str = "",
) -> None:
    number = None if miss else "+12125550100"
    async with database.connection() as connection:
        await connection.execute(
            INSERT, uuid.uuid4(), datetime.now(UTC) - ago, number, campaign, miss, matches, outcome
        )


async def test_recent_calls_are_the_newest_first_without_misses(database: Database) -> None:
    for minutes in (3, 1, 2):
        await call(database, timedelta(minutes=minutes), campaign=f"C{minutes}")
    await call(database, timedelta(), miss="none_free")

    found = await reports.recent(database, 2)

    assert [one.campaign for one in found] == ["C1", "C2"]
    assert (found[0].presented, found[0].presented_matches, found[0].ended_at_ms, found[0].outcome) == ("", None, 0, "")


async def test_calls_per_minute_have_no_gaps_and_end_now(database: Database) -> None:
    await call(database, timedelta(minutes=2), outcome="answered")
    await call(database, timedelta(minutes=2), miss="none_free")
    await call(database, timedelta(minutes=61))

    counts = await reports.calls_per_minute(database, 60)

    assert len(counts) == 60
    assert all(later.minute_ms - count.minute_ms == 60_000 for count, later in itertools.pairwise(counts))
    assert 0 <= datetime.now(UTC).timestamp() * 1000 - counts[-1].minute_ms < 90_000
    assert [(count.assigned, count.missed, count.answered) for count in counts if count.assigned or count.missed] == [
        (1, 1, 1)
    ]


class MovedClock(SystemClock):
    """A clock that tests set forward."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


async def test_the_last_hour_counts_new_calls_at_once_and_late_records_of_older_ones_soon(database: Database) -> None:
    clock = MovedClock()
    hour = LastHour(database, clock)
    assert sum(count.assigned for count in await hour.minutes()) == 0
    await call(database, timedelta(seconds=1))
    await call(database, timedelta(minutes=20))

    now = await hour.minutes()
    clock.ahead_s = 31
    later = await hour.minutes()

    assert (len(now), sum(count.ami for count in now)) == (60, 1)
    assert (len(later), sum(count.ami for count in later)) == (60, 2)


async def test_misses_are_counted_by_reason_over_the_last_hour(database: Database) -> None:
    for reason in ("none_free", "no_groups", "none_free"):
        await call(database, timedelta(minutes=1), miss=reason)
    await call(database, timedelta(hours=2), miss="refused")

    assert await reports.misses_by_reason(database) == {"none_free": 2, "no_groups": 1}


async def test_totals_count_the_inventory_and_the_last_hour(database: Database) -> None:
    inventory = Inventory(database, LimitDefaults(1, 1, 1))
    await inventory.add(E164("+12125550100"), area=Area("212"))
    await call(database, timedelta(minutes=1), matches=True)
    await call(database, timedelta(minutes=1), matches=False)
    await call(database, timedelta(minutes=1), miss="none_free")
    await call(database, timedelta(hours=2))

    found = await reports.totals(database)

    assert found == reports.Totals(
        caller_ids=1, active_caller_ids=1, groups=1, campaigns=0, dead_letters=0, assigned=2, missed=1,
        presented_as_assigned=1, presented_otherwise=1,
    )  # fmt: skip


@every_postgresql
async def test_partitions_are_made_ahead_and_take_in_what_came_before_them(database: Database) -> None:
    await call(database, timedelta(), campaign="before")

    made = await ensure_partitions(database)
    await call(database, timedelta(), campaign="after")
    await call(database, timedelta(days=400), campaign="long ago")
    again = await ensure_partitions(database)

    async with database.connection() as connection:
        rows = await connection.fetch("SELECT campaign, tableoid::regclass::text AS partition FROM calls")
    this_month = f"calls_y{datetime.now(UTC):%Ym%m}"
    assert (made, again) == (3, 0)
    assert {row["campaign"]: row["partition"] for row in rows} == {
        "before": this_month, "after": this_month, "long ago": "calls_default",
    }  # fmt: skip


async def test_the_indexes_carry_the_questions_that_are_asked_often(database: Database) -> None:
    await ensure_partitions(database)
    async with database.connection() as connection:
        await connection.execute("""
            INSERT INTO calls (reservation_id, assigned_at, caller_id, destination, code, source)
            SELECT gen_random_uuid(), now() - n * interval '1 second', '+1212555' || lpad((n % 500)::text, 4, '0'),
                '+1415555' || lpad((n % 9000)::text, 4, '0'), 'V' || n, 'ami'
            FROM generate_series(1, 20000) AS n
        """)
        await connection.execute("ANALYZE calls")
        for condition in (
            "caller_id = '+12125550001' ORDER BY assigned_at DESC LIMIT 50",
            "destination = '+14155550001' ORDER BY assigned_at DESC LIMIT 50",
            "code = 'V77'",
            "assigned_at > now() - interval '1 minute'",
        ):
            plan = await connection.fetch(f"EXPLAIN SELECT * FROM calls WHERE {condition}")

            # Partitions without a row are read whole, for nothing.
            costs = [
                float(cost) for row in plan for cost in re.findall(r"Seq Scan on .*cost=[\d.]+\.\.([\d.]+)", row[0])
            ]
            assert max(costs, default=0) < 1, "\n".join(row[0] for row in plan)
