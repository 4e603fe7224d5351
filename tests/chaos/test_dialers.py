"""Twenty dialers on one daemon, whose uniqueids and call codes are the same: calls of one never mix with another's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from ami_rotator.simulator import CallRecord, Simulator
from tests.chaos.sizes import IS_LONG, sized
from tests.chaos.test_processes import SHORT_CALLS, import_numbers, nothing_reserved, settings_for
from tests.support.daemon_process import daemon
from tests.support.pool_checks import violations

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600 if IS_LONG else 120)]

DIALERS = 20


async def test_twenty_dialers_with_the_same_uniqueids_share_the_numbers_and_nothing_else(
    tmp_path: Path, redis_url: str, redis_client: Redis, database_dsn: str
) -> None:
    async with AsyncExitStack() as stack:
        # The same seed on all: the same codes at the same moments, and uniqueids that count from the same second.
        simulators = [await stack.enter_async_context(Simulator(SHORT_CALLS)) for _ in range(DIALERS)]
        settings = settings_for(simulators, redis_url, database_dsn)
        await import_numbers(tmp_path, settings, 900)
        one = await stack.enter_async_context(daemon(tmp_path, settings))
        plans = [simulators[0].plan() for _ in range(sized(12, 300))]
        for number, plan in enumerate(plans):
            for simulator in simulators:
                simulator.place(plan)
            await asyncio.sleep(0.25)
            if number % 5 == 4:
                simulators[number % DIALERS].drop_connections()
        await asyncio.gather(*(simulator.drain(20) for simulator in simulators))
        await nothing_reserved(redis_client)
        assert await one.stop() == 0

    records = [(f"d{n}", record) for n, simulator in enumerate(simulators) for record in simulator.report.records]
    uniqueids = [record.uniqueid for _, record in records]
    assert len(set(uniqueids)) < len(uniqueids)
    assert {record.code for dialer, record in records if dialer == "d0"} == {
        record.code for dialer, record in records if dialer == "d19"
    }
    assert [simulator.report.duplicates for simulator in simulators] == [0] * DIALERS
    assert _on_two_calls(records) == []
    assert await violations(redis_client, "{main}") == []
    # What the ledger says of a call is what that dialer showed.
    connection = await asyncpg.connect(database_dsn)
    rows = await connection.fetch("SELECT dialer, code, caller_id FROM calls WHERE presented_matches")
    await connection.close()
    shown = {(dialer, record.code): f"+1{record.presented}" for dialer, record in records}
    assert len(rows) > len(records) / 2
    assert [row for row in rows if shown[row["dialer"], row["code"]] != row["caller_id"]] == []


def _on_two_calls(records: list[tuple[str, CallRecord]]) -> list[str]:
    """Return the numbers that were shown on two calls at once, wherever: a cool-down of a second lies between two."""
    by_number: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for dialer, record in records:
        if record.way != "own" and record.presented:
            by_number[record.presented].append((record.placed_at_ms, record.ended_at_ms, dialer))
    return [
        f"{number}: {before} and {after}"
        for number, calls in by_number.items()
        for before, after in pairwise(sorted(calls))
        if after[0] < before[1]
    ]


def test_a_number_on_two_dialers_at_once_would_be_seen() -> None:
    """The negative control."""
    call = CallRecord(
        code="V1", kind="auto", campaign="SALES", destination="", dialled="", channel="", uniqueid="1.1",
        presented="2125550100", way="variable", guarded=False, name_kept=True, hook_ms=None, outcome="answered",
        trunk_uniqueids=(), placed_at_ms=1000, ended_at_ms=2000,
    )  # fmt: skip

    found = _on_two_calls([("d1", call), ("d2", replace(call, placed_at_ms=1900, ended_at_ms=2500))])

    assert len(found) == 1
    assert _on_two_calls([("d1", call), ("d2", replace(call, placed_at_ms=2100, ended_at_ms=2500))]) == []
