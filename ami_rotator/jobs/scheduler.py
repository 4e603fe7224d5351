"""Runs the maintenance jobs on their intervals, and writes down how each went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock
from ami_rotator.errors import PoolUnavailableError, RotatorError
from ami_rotator.jobs.book import JobBook
from ami_rotator.jobs.job import Job, JobRun
from ami_rotator.jobs.lease import Lease
from ami_rotator.metrics import Metrics

_GRACE_S = 30
_FIRST_AFTER_S = 5.0
# What failed is tried again after a minute, however long its interval.
_TICK_MOST_S = 60.0
# Timers of two daemons do not tick together.
_TICK_SHARE = 0.8
_WISH_EVERY_S = 0.5
# A job of every second need not be written down every second.
_WRITE_EVERY_MS = 2000


Work = Callable[[], Coroutine[Any, Any, None]]


class Scheduler:
    """One run of a job at a time, missed runs made up by one. Jobs that run alone need the lease."""

    def __init__(
        self, jobs: Sequence[Job], book: JobBook, lease: Lease, daemon: str, metrics: Metrics, clock: Clock
    ) -> None:
        self.jobs = tuple(jobs)
        self.last_runs = {job.name: JobRun(job.name, job.what, job.every_s, job.alone) for job in jobs}
        self._book = book
        self._lease = lease
        self._daemon = daemon
        self._metrics = metrics
        self._clock = clock
        self._locks = {job.name: asyncio.Lock() for job in jobs}
        self._begun_s: dict[str, float] = {}
        self._written_ms: dict[str, int] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_announced = False
        self._started_s = clock.monotonic_s()
        self._log = structlog.get_logger("jobs")
        self._scheduler = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": _GRACE_S}, timezone="UTC"
        )

    def start(self) -> None:
        """Begin to run the jobs; those of long intervals begin soon too, if their turn is due.

        Each has its own moment of the second: together they would hold up the calls of that moment, each second anew.
        """
        for number, job in enumerate(self.jobs):
            first_s = min(job.every_s, _FIRST_AFTER_S) + number / len(self.jobs)
            self._every(_tick_s(job), partial(self._turn, job), job.name, first_s)
        self._every(self._lease.hold_s / 3, self._keep_lease, "lease", 0)
        self._every(_WISH_EVERY_S, self._fulfil_wishes, "wishes", 0)
        self._scheduler.start()

    async def stop(self, within_s: float) -> None:
        """Begin no more runs; wait for those under way, for so many seconds at the most; let go of the lease."""
        self._scheduler.shutdown(wait=False)
        if self._running:
            _, late = await asyncio.wait(tuple(self._running.values()), timeout=within_s)
            await end_tasks(*late)
        try:
            async with asyncio.timeout(within_s):
                await self._lease.give_up()
        except (PoolUnavailableError, TimeoutError):
            self._log.warning("the lease of the jobs was not given up; it ends by itself", hold_s=self._lease.hold_s)

    async def runs(self) -> list[JobRun]:
        """Return every job with its last run in whichever daemon, by name; with Redis away, in this one."""
        try:
            found = {run.name: run for run in await self._book.runs()}
        except PoolUnavailableError:
            found = {}
        return [found.get(name, run) for name, run in sorted(self.last_runs.items())]

    async def run_once(self, job: Job) -> JobRun:
        """Run one job now, whoever has the lease. A failure is logged once when it begins and once when it is over."""
        async with self._locks[job.name]:
            at_ms, began = self._clock.wall_ms(), self._clock.monotonic_s()
            before = self.last_runs[job.name]
            failures = 0
            try:
                result = await job.run()
            except RotatorError as error:
                failures, result = before.failures + 1, str(error)
                if not before.failed:
                    self._log.warning("job failed; it goes on trying", job=job.name, error=result)
            except Exception as error:  # a defect: the job keeps its turn, and the log says where
                failures, result = before.failures + 1, f"{type(error).__name__}: {error}"
                self._log.exception("job failed", job=job.name)
            else:
                if before.failed:
                    self._log.info("job works again", job=job.name, failures=before.failures)
            took_s = self._clock.monotonic_s() - began
            run = replace(
                before, at_ms=at_ms, took_ms=took_s * 1000, result=result, failures=failures, daemon=self._daemon
            )
            self.last_runs[job.name] = run
            self._metrics.job_ran(job.name, took_s, at_ms, failed=run.failed)
            return run

    def _every(self, seconds: float, work: Work, name: str, first_after_s: float) -> None:
        first = datetime.now(UTC) + timedelta(seconds=first_after_s)
        self._scheduler.add_job(
            self._begin, "interval", seconds=seconds, args=[name, work], id=name, next_run_time=first
        )

    async def _begin(self, name: str, work: Work) -> None:
        # Tasks of our own: apscheduler cancels its own at shutdown without waiting for them to end.
        if name not in self._running:
            task = self._running[name] = asyncio.create_task(work(), name=f"job {name}")
            task.add_done_callback(lambda _: self._running.pop(name))

    async def _turn(self, job: Job) -> None:
        before = self.last_runs[job.name]
        if not await self._is_due(job, before):
            return
        self._begun_s[job.name] = self._clock.monotonic_s()
        run = await self.run_once(job)
        is_news = run.failed != before.failed or run.at_ms - self._written_ms.get(job.name, 0) >= _WRITE_EVERY_MS
        if is_news:
            await self._write(run)

    async def _is_due(self, job: Job, before: JobRun) -> bool:
        tick_s = _tick_s(job)
        apart_s = (tick_s if before.failed else job.every_s) - tick_s * (1 - _TICK_SHARE)
        if not job.at_start and self._clock.monotonic_s() - self._started_s < job.every_s:
            return False
        if not job.alone:
            return self._clock.monotonic_s() - self._begun_s.get(job.name, float("-inf")) >= apart_s
        try:
            return await self._lease.begin(job.name, apart_s)
        except PoolUnavailableError as error:
            self._log.debug("job skipped", job=job.name, reason=str(error))
            return False

    async def _write(self, run: JobRun) -> None:
        try:
            if not self._is_announced:
                await self._book.announce(self.jobs)
                self._is_announced = True
            await self._book.save(run)
        except PoolUnavailableError as error:
            self._log.debug("the book of jobs could not be written", reason=str(error))
        else:
            self._written_ms[run.name] = run.at_ms

    async def _keep_lease(self) -> None:
        try:
            self._metrics.leader.set(await self._lease.keep())
        except PoolUnavailableError:
            self._metrics.leader.set(0)

    async def _fulfil_wishes(self) -> None:
        try:
            wish = await self._book.next_wish()
        except PoolUnavailableError:
            return
        job = next((job for job in self.jobs if wish is not None and job.name == wish.job), None)
        if wish is not None and job is not None:
            run = replace(await self.run_once(job), wish=wish.identity)
            self.last_runs[job.name] = run
            await self._write(run)


def _tick_s(job: Job) -> float:
    return min(job.every_s, _TICK_MOST_S)
