from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import GROUP, LedgerOutbox
from tests.support.services import every_postgresql, every_redis

STREAM = "outbox:{main}"
AT = 1_795_000_000_123

Fields = dict[Any, Any]


def assigned(call: str, **values: Any) -> Fields:
    fields = {
        "event": "assigned", "id": call, "at": AT, "ts": AT, "caller_id": "+12125550100", "campaign": "SALES",
        "destination": "+12125559999", "dialled": "912125559999", "dialer": "d1", "code": "V0123456780000000001",
        "uniqueid": "1.2", "agent": "", "lead": "1", "source": "ami", "rung": "area", "group": "default", "area": "212",
        "warm": 1,
        "why": "free",
    }  # fmt: skip
    return fields | values


def missed(call: str, **values: Any) -> Fields:
    fields = {"event": "missed", "id": call, "at": AT, "ts": AT, "source": "http", "reason": "none_free"}
    return fields | values


def presented(call: str, **values: Any) -> Fields:
    fields = {
        "event": "presented",
        "id": call,
        "at": AT,
        "ts": AT + 50,
        "presented": "2125550100",
        "trunk": "1.3",
        "match": 1,
    }
    return fields | values


def ended(call: str, **values: Any) -> Fields:
    fields = {"event": "ended", "id": call, "at": AT, "ts": AT + 9000, "outcome": "answered", "cause": 16, "sip": 0}
    return fields | {"talk_ms": 7000, "dialled": 1} | values


async def append(redis: Redis, *events: Fields) -> None:
    for fields in events:
        await redis.xadd(STREAM, fields)


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        found = await connection.fetch("SELECT * FROM calls ORDER BY reservation_id")
    return [dict(row) for row in found]


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(outbox: LedgerOutbox) -> AsyncIterator[LedgerOutbox]:
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def outbox(redis_client: Redis, database: Database) -> LedgerOutbox:
    return LedgerOutbox(redis_client, database, "main", "one")


def uuids(count: int) -> list[str]:
    return sorted(str(uuid.uuid4()) for _ in range(count))


@every_redis
@every_postgresql
async def test_the_events_of_a_call_become_its_row_and_leave_the_stream(
    redis_client: Redis, database: Database, outbox: LedgerOutbox
) -> None:
    [call] = uuids(1)
    await append(redis_client, assigned(call), presented(call), ended(call))

    assert await outbox.drain()

    [row] = await rows(database)
    times = [round(row.pop(name).timestamp() * 1000) for name in ("assigned_at", "presented_at", "ended_at")]
    assert times == [AT, AT + 50, AT + 9000]
    assert row == {
        "reservation_id": uuid.UUID(call), "caller_id": "+12125550100", "campaign": "SALES",
        "destination": "+12125559999", "dialled": "912125559999", "dialer": "d1", "code": "V0123456780000000001",
        "uniqueid": "1.2", "agent": "", "lead_id": "1", "source": "ami", "rung": "area", "group_name": "default",
        "area": "212", "was_warm": True, "miss_reason": None, "why": "free", "presented": "2125550100",
        "trunk_uniqueid": "1.3",
        "presented_matches": True, "outcome": "answered", "cause": 16, "sip": 0, "talk_ms": 7000, "was_dialled": True,
    }  # fmt: skip
    assert await redis_client.xlen(STREAM) == 0
    assert (await redis_client.xpending(STREAM, GROUP))["pending"] == 0


async def test_a_miss_is_a_row_with_its_reason(redis_client: Redis, database: Database, outbox: LedgerOutbox) -> None:
    [call] = uuids(1)
    await append(redis_client, missed(call, reason="no_groups"))

    assert await outbox.drain()

    [row] = await rows(database)
    assert (row["caller_id"], row["miss_reason"], row["source"]) == (None, "no_groups", "http")


MONTH_MS = 31 * 86_400_000
OUTCOMES = ("answered", "busy", "expired")  # as the type has them: of several at once the first counts
TOLD = (
    "source", "miss_reason", "why", "agent", "presented", "presented_matches", "outcome", "cause", "talk_ms", "was_dialled",
)  # fmt: skip


def anything_of(call: str, at: int, chaos: random.Random) -> list[Fields]:
    """Return what may be recorded of one call, ties and all, and some of it twice."""
    assignment = chaos.choice([assigned(call, agent="6666"), missed(call, why="distinct")])
    legs = [
        presented(call, ts=at + chaos.choice([10, 20]), trunk=trunk, presented=f"21255501{n:02d}", match=n % 2)
        for n, trunk in enumerate(chaos.sample(["", "1.2", "1.10", "1.9"], chaos.randint(0, 4)))
    ]
    ends = [
        ended(call, ts=at + chaos.choice([100, 200]), outcome=outcome, cause=n, sip=400 + n, talk_ms=n, dialled=n % 2)
        for n, outcome in enumerate(chaos.sample(OUTCOMES, chaos.randint(0, 3)))
    ]
    events = [event | {"at": at} for event in ([assignment] * chaos.randint(0, 1) + legs + ends)]
    return [*events, *chaos.choices(events, k=chaos.randint(0, 4))] if events else []


def as_it_should_be(events: list[Fields]) -> dict[str, Any]:
    """Return the row of one call: its assignment, the last of its trunk legs, the first of its ends."""
    first = next((event for event in events if event["event"] in ("assigned", "missed")), None)
    legs = sorted((e for e in events if e["event"] == "presented"), key=lambda e: (e["ts"], e["trunk"]))
    ends = sorted((e for e in events if e["event"] == "ended"), key=lambda e: (e["ts"], OUTCOMES.index(e["outcome"])))
    row: dict[str, Any] = dict.fromkeys(TOLD) | {"agent": ""}
    if first is not None:
        row |= {"source": first["source"], "miss_reason": first.get("reason"), "agent": first.get("agent", "")}
        row["why"] = first["why"]
    if legs:
        row |= {"presented": legs[-1]["presented"], "presented_matches": bool(legs[-1]["match"])}
    if ends:
        row |= {name: ends[0][name] for name in ("outcome", "cause", "talk_ms")} | {
            "was_dialled": bool(ends[0]["dialled"])
        }
    return row


@every_postgresql
async def test_any_order_any_split_and_any_repetition_give_the_right_rows(
    redis_client: Redis, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("SELECT ensure_call_partitions(2, 0)")
    for seed in range(40):
        chaos = random.Random(seed)
        calls = [(call, at) for call in uuids(4) for at in (AT, AT + 1, AT + MONTH_MS)[: chaos.randint(1, 3)]]
        of_calls = {key: anything_of(*key, chaos) for key in calls}
        events = [event for one in of_calls.values() for event in one]
        chaos.shuffle(events)
        await append(redis_client, *events)

        assert await LedgerOutbox(redis_client, database, "main", "one", batch=chaos.choice([1, 3, 9, 500])).drain(20)

        found = {
            (str(row["reservation_id"]), round(row["assigned_at"].timestamp() * 1000)): {
                name: row[name] for name in TOLD
            }
            for row in await rows(database)
        }
        assert found == {key: as_it_should_be(one) for key, one in of_calls.items() if one}, f"seed {seed}"
        async with database.connection() as connection:
            await connection.execute("TRUNCATE calls")


async def test_what_was_stored_but_not_taken_off_the_stream_is_stored_once(
    redis_client: Redis, database: Database
) -> None:
    calls = uuids(50)
    await append(redis_client, *(assigned(call) for call in calls))
    assert await LedgerOutbox(redis_client, database, "main", "one").drain()
    await append(redis_client, *(assigned(call, campaign="LATER") for call in calls))

    assert await LedgerOutbox(redis_client, database, "main", "one").drain()

    assert [(str(row["reservation_id"]), row["campaign"]) for row in await rows(database)] == [
        (call, "SALES") for call in calls
    ]


async def test_a_consumer_that_starts_again_finishes_what_it_was_given(redis_client: Redis, database: Database) -> None:
    calls = uuids(20)
    await append(redis_client, *(assigned(call) for call in calls))
    await redis_client.xgroup_create(STREAM, GROUP, id="0")
    await redis_client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=100)

    assert await LedgerOutbox(redis_client, database, "main", "one", claim_after_ms=10**9).drain()

    assert len(await rows(database)) == 20
    assert await redis_client.xlen(STREAM) == 0


@every_redis
async def test_what_a_dead_consumer_was_given_is_taken_over(redis_client: Redis, database: Database) -> None:
    calls = uuids(20)
    await append(redis_client, *(assigned(call) for call in calls))
    await redis_client.xgroup_create(STREAM, GROUP, id="0")
    await redis_client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=100)

    async with running(LedgerOutbox(redis_client, database, "main", "alive", claim_after_ms=50, block_ms=20)):

        async def is_empty() -> bool:
            return await redis_client.xlen(STREAM) == 0

        await until(is_empty)

    assert [str(row["reservation_id"]) for row in await rows(database)] == calls


async def test_several_consumers_store_each_entry_once(redis_client: Redis, database: Database) -> None:
    calls = uuids(600)
    await append(redis_client, *(event for call in calls for event in (assigned(call), ended(call))))
    several = [LedgerOutbox(redis_client, database, "main", f"c{n}", batch=20, block_ms=20) for n in range(4)]

    async with running(several[0]), running(several[1]), running(several[2]), running(several[3]):

        async def is_empty() -> bool:
            return await redis_client.xlen(STREAM) == 0

        await until(is_empty)

    found = await rows(database)
    assert [str(row["reservation_id"]) for row in found] == calls
    assert all(row["outcome"] == "answered" and row["caller_id"] for row in found)
    assert sum(outbox.stored for outbox in several) == 1200


async def test_batches_with_records_of_the_same_calls_never_wait_for_each_other_in_a_ring(
    redis_client: Redis, database: Database
) -> None:
    calls = uuids(60)
    legs = [presented(call, ts=AT + 100 + leg, trunk=f"2.{leg}") for call in calls for leg in range(30, 40)]
    # Of these alone no order comes about by itself (by the way PostgreSQL joins).
    ends = [ended(call, ts=AT + 9000 - turn, cause=turn) for call in calls for turn in range(30)]
    events = [*(assigned(call) for call in calls), *legs, *ends]
    random.Random(7).shuffle(events)
    await append(redis_client, *events)
    several = [LedgerOutbox(redis_client, database, "main", f"c{n}", batch=100) for n in range(3)]

    with capture_logs() as logs:
        drained = await asyncio.gather(*(outbox.drain(30) for outbox in several))

    assert (drained, logs) == ([True] * 3, [])
    assert sum(outbox.stored for outbox in several) == len(events)
    found = await rows(database)
    assert [(str(row["reservation_id"]), row["trunk_uniqueid"], row["source"], row["cause"]) for row in found] == [
        (call, "2.39", "ami", 29) for call in calls
    ]


BAD: list[Fields] = [
    {"event": "assigned"},
    {"event": "invented", "id": str(uuid.uuid4()), "at": AT, "ts": AT},
    {"nothing": "of ours"},
    assigned("not-a-uuid"),
    assigned(str(uuid.uuid4()), caller_id="5551234567"),
    assigned(str(uuid.uuid4()), at="yesterday"),
    assigned(str(uuid.uuid4()), at=10**17),
    assigned(str(uuid.uuid4()), source="smoke"),
    ended(str(uuid.uuid4()), outcome="vanished"),
    ended(str(uuid.uuid4()), cause=99999),
    ended(str(uuid.uuid4()), talk_ms=10**30),
]


async def test_entries_that_cannot_be_read_are_set_aside_and_hold_nothing_up(
    redis_client: Redis, database: Database, outbox: LedgerOutbox
) -> None:
    calls = uuids(len(BAD) + 1)
    for call, bad in itertools.zip_longest(calls, BAD):
        await append(redis_client, assigned(call), *([bad] if bad else []))

    assert await outbox.drain()

    assert [str(row["reservation_id"]) for row in await rows(database)] == calls
    async with database.connection() as connection:
        dead = await connection.fetch("SELECT * FROM dead_letters ORDER BY entry_id")
    assert len(dead) == len(BAD)
    assert dead[1]["fields"]["event"] == "invented"
    assert all(row["reason"] for row in dead)
    assert outbox.set_aside == len(BAD)


async def test_what_only_postgresql_refuses_is_found_in_its_batch_and_set_aside(
    redis_client: Redis, database: Database, outbox: LedgerOutbox
) -> None:
    calls = uuids(30)
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE calls ADD CHECK (campaign <> 'POISON')")
    await append(
        redis_client, *(assigned(call, campaign="POISON" if n in (7, 21) else "S") for n, call in enumerate(calls))
    )

    assert await outbox.drain()

    stored = [str(row["reservation_id"]) for row in await rows(database)]
    assert stored == [call for n, call in enumerate(calls) if n not in (7, 21)]
    assert (outbox.stored, outbox.set_aside) == (28, 2)


async def test_bytes_that_are_no_text_are_stored_as_far_as_they_go(
    redis_client: Redis, database: Database, outbox: LedgerOutbox
) -> None:
    [call] = uuids(1)
    fields: Fields = {key.encode(): str(value).encode() for key, value in assigned(call).items()}
    fields[b"dialled"] = b"9\xff\xfe1\x002" + b"3" * 500
    await redis_client.xadd(STREAM, fields)
    await redis_client.xadd(STREAM, ended(call) | {"sip": b"\x00"})

    assert await outbox.drain()

    [row] = await rows(database)
    assert row["sip"] in (0, None)
    assert row["outcome"] == "answered"
    assert row["dialled"].startswith("9\ufffd\ufffd123")
    assert len(row["dialled"]) == 255


@pytest.mark.parametrize("batch", [500, 20])
async def test_while_postgresql_is_away_entries_wait_and_then_all_are_stored(
    redis_client: Redis, database_dsn: str, database: Database, batch: int
) -> None:
    name = database_dsn.split("/")[3].split("?")[0]
    admin = await asyncpg.connect(database_dsn.replace(f"/{name}?", "/postgres?"), timeout=10)
    calls = uuids(200)

    outbox = LedgerOutbox(redis_client, database, "main", "one", block_ms=20, batch=batch)
    with capture_logs() as logs:
        async with running(outbox):
            await append(redis_client, *(assigned(call) for call in calls[:100]))

            async def first_half() -> bool:
                return outbox.stored == 100

            await until(first_half)
            # No new connection, and the ones that are there are cut.
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await append(redis_client, *(assigned(call) for call in calls[100:]))

            async def is_owed() -> bool:
                return bool((await redis_client.xpending(STREAM, GROUP))["pending"])

            await until(is_owed)

            async def is_patient() -> bool:
                return any(line.get("failures", 0) >= 3 for line in logs)

            # Tried again ever more seldom, however much there is to store.
            await until(is_patient)
            assert await redis_client.xlen(STREAM) == 100
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

            async def is_empty() -> bool:
                return await redis_client.xlen(STREAM) == 0

            await until(is_empty)

    await admin.close()
    assert [str(row["reservation_id"]) for row in await rows(database)] == calls


async def test_an_emptied_redis_is_gone_on_with(redis_client: Redis, database: Database) -> None:
    before, after = uuids(2)
    async with running(LedgerOutbox(redis_client, database, "main", "one", block_ms=20)) as outbox:
        await append(redis_client, assigned(before))

        async def has_one() -> bool:
            return outbox.stored == 1

        await until(has_one)
        await redis_client.flushall()
        await append(redis_client, assigned(after))

        async def has_two() -> bool:
            return outbox.stored == 2

        await until(has_two)

    assert [str(row["reservation_id"]) for row in await rows(database)] == [before, after]


async def test_while_two_whole_batches_are_stored_the_next_is_read_and_a_stop_in_the_midst_loses_nothing(
    redis_client: Redis, database: Database
) -> None:
    calls = uuids(6)
    await append(redis_client, *(assigned(call) for call in calls), *(ended(call) for call in calls))
    outbox = LedgerOutbox(redis_client, database, "main", "one", batch=3)

    async def three_batches_are_read() -> bool:
        groups = await redis_client.xinfo_groups(STREAM)
        return bool(groups) and groups[0]["pending"] == 9

    async with database.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE calls IN EXCLUSIVE MODE")
        async with running(outbox):
            await until(three_batches_are_read)
            await asyncio.sleep(0.1)
            assert outbox.stored == 0
            assert await three_batches_are_read()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "outbox store"]

    assert await outbox.drain()
    assert [(str(row["reservation_id"]), row["outcome"]) for row in await rows(database)] == [
        (call, "answered") for call in calls
    ]
    assert await redis_client.xlen(STREAM) == 0
    assert (await redis_client.xpending(STREAM, GROUP))["pending"] == 0


@pytest.mark.parametrize("is_owed", [False, True])
async def test_batches_under_way_are_not_taken_up_again_by_their_own_consumer(
    redis_client: Redis, database: Database, is_owed: bool
) -> None:
    calls = uuids(12)
    await append(redis_client, *(assigned(call) for call in calls))
    if is_owed:  # since it ran last
        await redis_client.xgroup_create(STREAM, GROUP, id="0")
        await redis_client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=100)
    outbox = LedgerOutbox(
        redis_client, database, "main", "one", batch=3, block_ms=5, claim_after_ms=10**9 if is_owed else 50
    )

    async with running(outbox):
        async with database.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE calls IN EXCLUSIVE MODE")
            await asyncio.sleep(0.3)

        async def is_empty() -> bool:
            return await redis_client.xlen(STREAM) == 0

        await until(is_empty)
        await asyncio.sleep(0.1)

    assert outbox.stored == 12
    assert len(await rows(database)) == 12


class Failing(Database):
    """Fails while there is `chaos`: one statement in ten before it is done, one in ten after it."""

    chaos: random.Random | None = None

    async def run(self, name: str, *arguments: Any) -> None:
        dice = 0.5
        if self.chaos is not None:
            dice = self.chaos.random()
            await asyncio.sleep(self.chaos.choice([0, 0, 0.002, 0.01]))
        if dice < 0.1:
            raise LedgerUnavailableError("it failed before")
        await super().run(name, *arguments)
        if dice > 0.9:
            raise LedgerUnavailableError("it failed after")


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_and_ends_with_batches_under_way_each_record_is_stored_once(
    redis_client: Redis, database_dsn: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("ami_rotator.ledger.outbox._BACKOFF_FIRST_S", 0.005)
    monkeypatch.setattr("ami_rotator.ledger.outbox._BACKOFF_MAX_S", 0.02)
    chaos = random.Random(seed)
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unseen.append(told))
    calls = uuids(100)
    events = [
        event
        for call in calls
        for event in (assigned(call), presented(call), presented(call, ts=AT + 80, trunk="1.4"), ended(call))
    ]
    events += [assigned("not-a-uuid") for _ in range(5)]
    chaos.shuffle(events)
    await append(redis_client, *events)
    async with Failing.open(database_dsn) as database:
        assert isinstance(database, Failing)
        database.chaos = chaos
        for _ in range(20):
            consumers = [
                LedgerOutbox(
                    redis_client, database, "main", name, batch=chaos.choice([3, 7]), block_ms=5,
                    claim_after_ms=chaos.choice([1, 20, 30_000]),
                )
                for name in chaos.sample("abc", chaos.randint(1, 2))
            ]  # fmt: skip
            tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
            await asyncio.sleep(chaos.random() * 0.08)
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks, timeout=10)
            assert done == set(tasks)
            assert all(task.cancelled() for task in tasks)
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "outbox store"]
        database.chaos = None
        await asyncio.sleep(0.01)
        assert await LedgerOutbox(redis_client, database, "main", "heir", claim_after_ms=1).drain(20)

        assert [(str(row["reservation_id"]), row["trunk_uniqueid"], row["cause"]) for row in await rows(database)] == [
            (call, "1.4", 16) for call in calls
        ]
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 5
    assert await redis_client.xlen(STREAM) == 0
    assert (await redis_client.xpending(STREAM, GROUP))["pending"] == 0
    gc.collect()  # of a task that nobody asked how it ended, asyncio tells when it is gone
    await asyncio.sleep(0)
    assert not unseen


async def test_a_consumer_ends_at_whatever_moment_it_is_cancelled(redis_client: Redis, database: Database) -> None:
    for n in range(40):
        await append(redis_client, *(assigned(call) for call in uuids(10)))
        outbox = LedgerOutbox(redis_client, database, "main", "one", batch=2, block_ms=1)
        task = asyncio.create_task(outbox.run())
        await asyncio.sleep(random.Random(n).random() * 0.02)
        task.cancel()

        done, _ = await asyncio.wait([task], timeout=5)

        assert done == {task}


async def test_5000_events_a_second_are_no_trouble(
    redis_client: Redis, database: Database, outbox: LedgerOutbox
) -> None:
    calls = [str(uuid.uuid4()) for _ in range(2500)]
    async with redis_client.pipeline(transaction=False) as pipeline:
        for call in calls:
            pipeline.xadd(STREAM, assigned(call))
            pipeline.xadd(STREAM, ended(call))
        await pipeline.execute()
    began = time.monotonic()

    assert await outbox.drain(30)

    took_s = time.monotonic() - began
    print(f"5000 events in {took_s:.2f} s: {5000 / took_s:.0f}/s")
    assert outbox.stored == 5000
    assert took_s < 10  # a machine shared with others; alone it is a fraction
