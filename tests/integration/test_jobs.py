from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from redis.asyncio import Redis

from ami_rotator.clock import SystemClock
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.jobs.book import JobBook
from ami_rotator.jobs.job import Job, JobRun
from ami_rotator.jobs.lease import Lease
from ami_rotator.jobs.ledger_jobs import ledger_jobs, trim_stored
from ami_rotator.jobs.scheduler import Scheduler
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.upkeep import roll_up_usage
from ami_rotator.metrics import Metrics
from tests.support.daemon_process import daemon, run_command
from tests.support.services import every_postgresql, every_redis

TAG = "{test}"


def scheduler(
    redis: Redis, jobs: Sequence[Job], *, name: str = "one", hold_s: float = 0.6, metrics: Metrics | None = None
) -> Scheduler:
    lease = Lease(redis, TAG, name, hold_s=hold_s)
    return Scheduler(jobs, JobBook(redis, TAG), lease, name, metrics or Metrics(), SystemClock())


@asynccontextmanager
async def running(planned: Scheduler) -> AsyncIterator[Scheduler]:
    planned.start()
    try:
        yield planned
    finally:
        await planned.stop(2.0)


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.02)


def counting(runs: list[tuple[str, float]], daemon_name: str, *, alone: bool = True, every_s: float = 0.4) -> Job:
    async def run() -> str:
        runs.append((daemon_name, time.monotonic()))
        return f"run {len(runs)}"

    return Job("count", every_s, run, "Count", alone=alone)


async def test_a_job_that_runs_alone_runs_once_an_interval_however_many_daemons_there_are(redis_client: Redis) -> None:
    runs: list[tuple[str, float]] = []
    names = ["one", "two", "three"]

    async with asyncio.TaskGroup() as group:
        for name in names:

            async def follow(name: str = name) -> None:
                async with running(scheduler(redis_client, [counting(runs, name)], name=name)):
                    await until(lambda: len(runs) >= 8)

            group.create_task(follow())

    gaps = [after - before for (_, before), (_, after) in pairwise(runs)]
    assert min(gaps) > 0.25
    assert len({name for name, _ in runs[:-1]}) == 1


async def test_a_job_of_every_daemon_runs_in_each(redis_client: Redis) -> None:
    runs: list[tuple[str, float]] = []
    first = scheduler(redis_client, [counting(runs, "one", alone=False)], name="one")
    second = scheduler(redis_client, [counting(runs, "two", alone=False)], name="two")

    async with running(first), running(second):
        await until(lambda: {name for name, _ in runs} == {"one", "two"})


async def test_jobs_of_one_interval_do_not_begin_together(redis_client: Redis) -> None:
    names = ("one", "two", "three", "four")
    began_s: dict[str, list[float]] = {name: [] for name in names}

    def job(name: str) -> Job:
        async def run() -> str:
            began_s[name].append(time.monotonic())
            return ""

        return Job(name, 1.0, run, "Count")

    async with running(scheduler(redis_client, [job(name) for name in names])):
        await until(lambda: all(len(times) >= 3 for times in began_s.values()))

    all_s = sorted(at_s for times in began_s.values() for at_s in times)
    gaps_s = sorted(after - before for before, after in pairwise(all_s))
    assert gaps_s[len(gaps_s) // 2] > 0.15  # a quarter of a second each; one may have been late


async def test_the_lease_of_a_daemon_that_vanished_is_taken_over_within_two_of_its_lengths(redis_client: Redis) -> None:
    hold_s = 0.6
    gone, heir = (Lease(redis_client, TAG, name, hold_s=hold_s) for name in ("gone", "heir"))
    assert await gone.keep()
    began = time.monotonic()

    while not await heir.keep():  # noqa: ASYNC110 - it is Redis that is asked
        await asyncio.sleep(hold_s / 3)

    assert time.monotonic() - began <= 2 * hold_s
    assert not await gone.keep()


async def test_a_job_that_just_began_elsewhere_is_not_begun_again_after_a_takeover(redis_client: Redis) -> None:
    first, second = (Lease(redis_client, TAG, name) for name in ("first", "second"))
    await first.keep()
    assert await first.begin("usage", 60)
    await first.give_up()
    assert await second.keep()

    assert not await second.begin("usage", 60)
    assert await second.begin("other", 60)


async def test_without_the_lease_nothing_may_begin_and_nothing_is_given_up(redis_client: Redis) -> None:
    holder, other = (Lease(redis_client, TAG, name) for name in ("holder", "other"))
    await holder.keep()

    await other.give_up()

    assert not await other.keep()
    assert not await other.begin("usage", 0)
    assert await holder.begin("usage", 0)


@every_redis
async def test_a_beginning_whose_answer_was_lost_may_be_asked_for_again(redis_client: Redis) -> None:
    lease = Lease(redis_client, TAG, "holder")
    await lease.keep()
    keys, arguments = [f"lease:{TAG}", f"jobs-begun:{TAG}"], ["holder", "usage", "60000", uuid.uuid4().hex]

    answers = [await lease._begin(keys=keys, args=arguments) for _ in range(2)]

    assert answers == [1, 1]


async def test_the_clock_of_redis_going_back_does_not_stop_the_jobs(redis_client: Redis) -> None:
    lease = Lease(redis_client, TAG, "holder")
    await lease.keep()
    in_an_hour = int((time.time() + 3600) * 1000)
    await redis_client.hset(f"jobs-begun:{TAG}", "usage", f"{in_an_hour} another-run")

    assert await lease.begin("usage", 60)


async def test_a_failure_is_written_down_counted_and_tried_again_and_forgotten_when_it_works(
    redis_client: Redis,
) -> None:
    answers: list[Exception | str] = [LedgerUnavailableError("gone for lunch"), ValueError("a defect"), "done"]
    metrics = Metrics()

    async def run() -> str:
        answer = answers.pop(0) if answers else "done again"
        if isinstance(answer, Exception):
            raise answer
        return answer

    job = Job("works", 3600.0, run, "Work")
    planned = scheduler(redis_client, [job], metrics=metrics)

    first, second, third = [await planned.run_once(job) for _ in range(3)]

    assert (first.failures, first.result) == (1, "gone for lunch")
    assert (second.failures, second.result) == (2, "ValueError: a defect")
    assert (third.failures, third.result, third.failed) == (0, "done", False)
    text = metrics.text().decode()
    assert 'rotator_job_runs_total{job="works",result="failed"} 2.0' in text
    assert 'rotator_job_runs_total{job="works",result="ok"} 1.0' in text


async def test_another_process_reads_in_the_book_how_a_run_went_and_gets_its_wish(redis_client: Redis) -> None:
    runs: list[tuple[str, float]] = []
    book = JobBook(redis_client, TAG)

    async with running(scheduler(redis_client, [counting(runs, "one", every_s=3600)])):
        await until(lambda: len(runs) == 0, 1)
        wish = await book.wish("count")
        found: list[JobRun] = []
        deadline = time.monotonic() + 10
        while not found and time.monotonic() < deadline:
            found = [run for run in await book.runs() if run.wish == wish.identity]
            await asyncio.sleep(0.05)

    assert [(run.name, run.daemon, run.result, run.failed) for run in found] == [("count", "one", "run 1", False)]
    assert not await book.has_wishes()


async def test_stopping_waits_for_the_run_under_way_and_leaves_no_task_behind(redis_client: Redis) -> None:
    steps: list[str] = []

    async def slow() -> str:
        steps.append("began")
        await asyncio.sleep(0.3)
        steps.append("ended")
        return ""

    before = asyncio.all_tasks()
    planned = scheduler(redis_client, [Job("slow", 0.05, slow)])
    planned.start()
    await until(lambda: bool(steps))

    await planned.stop(5.0)

    assert steps[-1] == "ended"
    assert asyncio.all_tasks() == before
    assert not await redis_client.exists(f"lease:{TAG}")


async def _store_call(
    dsn: str,
    at: datetime,
    caller_id: str | None,
    *,
    outcome: str = "answered",
    talk_ms: int = 60_000,
    campaign: str = "SALES",
) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "INSERT INTO calls (reservation_id, assigned_at, caller_id, campaign, source, outcome, talk_ms, was_dialled,"
            " presented_matches, miss_reason) VALUES ($1, $2, $3, $4, 'ami', $5::text::call_outcome, $6, true, true, $7)",
            uuid.uuid4(),
            at,
            caller_id,
            campaign,
            outcome if caller_id else None,
            talk_ms if caller_id else None,
            None if caller_id else "none_free",
        )
    finally:
        await connection.close()


async def _run(name: str, database: Database, redis: Redis, *, zone: str = "UTC", keep_months: int = 13) -> str:
    jobs = ledger_jobs(database, redis, f"outbox:{TAG}", ZoneInfo(zone), keep_months)
    return await next(job for job in jobs if job.name == name).run()


@every_postgresql
async def test_usage_is_counted_by_hour_and_day_of_the_zone_and_counted_anew_when_a_call_ends(
    database_dsn: str, database: Database, redis_client: Redis
) -> None:
    one, two = "+12125550100", "+12125550101"
    # 23:50 and 00:10 in Kolkata, whose hours begin at half past.
    await _store_call(database_dsn, datetime(2026, 11, 10, 18, 20, tzinfo=UTC), one)
    await _store_call(database_dsn, datetime(2026, 11, 10, 18, 40, tzinfo=UTC), one, talk_ms=2000)
    await _store_call(database_dsn, datetime(2026, 11, 10, 18, 41, tzinfo=UTC), two, outcome="busy")
    await _store_call(database_dsn, datetime(2026, 11, 10, 18, 42, tzinfo=UTC), None)
    await _run("partitions", database, redis_client)

    first = await _run("usage", database, redis_client, zone="Asia/Kolkata")
    second = await _run("usage", database, redis_client, zone="Asia/Kolkata")

    rows = "SELECT hour, caller_id, calls, missed, answered, short, busy, talk_ms FROM usage_hourly ORDER BY 1, 2"
    days = "SELECT day::text, caller_id, calls, missed FROM usage_daily ORDER BY 1, 2"
    async with database.connection() as connection:
        hourly = [tuple(row) for row in await connection.fetch(rows)]
        daily = [tuple(row) for row in await connection.fetch(days)]
    early, late = datetime(2026, 11, 10, 17, 30, tzinfo=UTC), datetime(2026, 11, 10, 18, 30, tzinfo=UTC)
    assert first
    assert second == ""
    assert hourly == [
        (early, one, 1, 0, 1, 0, 0, 60_000),
        (late, "", 0, 1, 0, 0, 0, 0),
        (late, one, 1, 0, 1, 1, 0, 2000),
        (late, two, 1, 0, 0, 0, 1, 60_000),
    ]
    assert daily == [
        ("2026-11-10", one, 1, 0),
        ("2026-11-11", "", 0, 1),
        ("2026-11-11", one, 1, 0),
        ("2026-11-11", two, 1, 0),
    ]

    async with database.connection() as connection:
        await connection.execute("UPDATE calls SET outcome = 'unwanted' WHERE caller_id = $1", two)
    await _run("usage", database, redis_client, zone="Asia/Kolkata")

    async with database.connection() as connection:
        found = await connection.fetch("SELECT busy, unwanted FROM usage_daily WHERE caller_id = $1", two)
    assert [tuple(row) for row in found] == [(0, 1)]


async def test_counting_while_calls_are_stored_misses_none(
    database_dsn: str, database: Database, redis_client: Redis
) -> None:
    at = datetime.now(UTC)
    counting_on = True

    async def count() -> None:
        while counting_on:
            await _run("usage", database, redis_client)

    async with asyncio.TaskGroup() as group:
        counter = group.create_task(count())
        await asyncio.gather(*(_store_call(database_dsn, at, f"+1212555{n:04d}") for n in range(40)))
        counting_on = False
        await counter
    await _run("usage", database, redis_client)

    assert await _sum(database, "usage_hourly") == await _sum(database, "usage_daily") == 40


async def _sum(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval(f"SELECT sum(calls) FROM {table}"))


class Busy(Database):
    """Has a call stored in this hour whenever usage was counted, as where calls never pause."""

    counted = 0

    async def value(self, name: str, *arguments: Any) -> Any:
        found = await super().value(name, *arguments)
        if name == "roll_up_usage":
            self.counted += 1
            async with self.connection() as connection:
                await connection.execute("INSERT INTO usage_due VALUES (date_trunc('hour', now(), 'UTC'))")
        return found


@pytest.mark.parametrize("hours_before", [0, 7])
async def test_usage_is_counted_once_however_many_calls_come_meanwhile(database_dsn: str, hours_before: int) -> None:
    async with Busy.open(database_dsn) as database:
        assert isinstance(database, Busy)
        async with database.connection() as connection:
            await connection.execute(
                "INSERT INTO usage_due SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => ago)"
                " FROM generate_series(0, $1) AS ago",
                hours_before,
            )

        await roll_up_usage(database, "UTC")
        first = database.counted
        await roll_up_usage(database, "UTC")

        assert first == (1 if hours_before == 0 else 3)
        assert database.counted == first + 1
        assert await database.value("usage_hours_due") == 1


@every_postgresql
async def test_old_months_are_dropped_and_their_daily_usage_stays_as_it_was(
    database_dsn: str, database: Database, redis_client: Redis
) -> None:
    async with database.connection() as connection:
        await connection.execute("SELECT ensure_call_partitions(1, 4)")
        old = await connection.fetchval("SELECT date_trunc('month', now()) - interval '3 months' + interval '5 days'")
    await _store_call(database_dsn, old, "+12125550100")
    await _store_call(database_dsn, datetime.now(UTC), "+12125550100")
    await _run("usage", database, redis_client)

    kept = await _run("retention", database, redis_client, keep_months=0)
    dropped = await _run("retention", database, redis_client, keep_months=2)

    assert kept == "LEDGER_KEEP_MONTHS is 0: everything is kept"
    assert dropped == "2 months dropped"
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM calls") == 1
        assert await connection.fetchval("SELECT count(*) FROM usage_hourly") == 1
        assert await connection.fetchval("SELECT count(*) FROM usage_daily") == 2
    # What comes late for a month that is gone does not take the place of its counts.
    await _store_call(database_dsn, old, "+12125550100", outcome="busy")
    await _run("usage", database, redis_client)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT min(answered) FROM usage_daily") == 1


async def test_trimming_removes_what_all_groups_have_acknowledged_and_nothing_else(redis_client: Redis) -> None:
    stream = f"outbox:{TAG}"
    ids = [str(await redis_client.xadd(stream, {"n": n})) for n in range(10)]
    await redis_client.xgroup_create(stream, "ledger", id="0")
    assert await trim_stored(redis_client, stream) == 0
    await redis_client.xreadgroup("ledger", "one", {stream: ">"}, count=6)
    await redis_client.xack(stream, "ledger", *ids[:3], ids[4])

    removed = await trim_stored(redis_client, stream)

    assert removed == 3
    assert await _entries(redis_client, stream) == ids[3:]
    await redis_client.xack(stream, "ledger", ids[3], ids[5])
    assert await trim_stored(redis_client, stream) == 3
    assert await _entries(redis_client, stream) == ids[6:]


async def _entries(redis: Redis, stream: str) -> list[str]:
    return [str(entry) for entry, _ in await redis.xrange(stream) or ()]


async def test_trimming_a_stream_that_is_not_there_does_nothing(redis_client: Redis) -> None:
    assert await trim_stored(redis_client, f"outbox:{TAG}") == 0


@pytest.mark.thorough
@pytest.mark.timeout(120)
async def test_the_command_lists_the_jobs_of_a_running_daemon_and_runs_one(
    tmp_path: Path, redis_url: str, database_dsn: str
) -> None:
    settings = {"REDIS_URL": redis_url, "DATABASE_URL": database_dsn, "ADMIN_TOKEN": "token-of-the-tests-0123456789"}
    code, output = await run_command(tmp_path, settings, "jobs")
    assert (code, "No daemon has run yet" in output) == (0, True)

    async with daemon(tmp_path, {**settings, "SIMULATOR_CALLS_PER_S": "1"}) as one:
        code, output = await run_command(tmp_path, settings, "jobs", "run", "usage")
        assert code == 0, output
        assert output.startswith("usage: ")
        code, listed = await run_command(tmp_path, settings, "jobs")
        wrong, said = await run_command(tmp_path, settings, "jobs", "run", "nonsense")
        _, metrics = await one.get("/metrics")

    assert code == 0
    for name in (
        "expire",
        "promote",
        "fill",
        "inventory",
        "reconcile",
        "renew",
        "resync",
        "usage",
        "retention",
        "trim",
    ):
        assert f"\n{name} " in listed
        assert wrong == 1
        assert name in said
    assert 'rotator_job_runs_total{job="usage",result="ok"}' in metrics
    assert "rotator_jobs_leader 1.0" in metrics
