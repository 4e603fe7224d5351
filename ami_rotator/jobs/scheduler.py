"""Maintenance jobs: what runs, how often, and how the last run went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from ami_rotator.clock import Clock
from ami_rotator.errors import RotatorError
from ami_rotator.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `run` returns a short result for people, empty where nothing was to be done."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class LastRun:
    """How a job went: when it began (wall ms), how long it took, and its result or error."""

    at_ms: int
    took_ms: float
    result: str
    failed: bool


class Scheduler:
    """Runs jobs on their intervals: one run of each at a time, missed runs made up by one."""

    def __init__(self, jobs: Sequence[Job], metrics: Metrics, clock: Clock) -> None:
        self.jobs = tuple(jobs)
        self.last_runs: dict[str, LastRun] = {}
        self._metrics = metrics
        self._clock = clock
        self._log = structlog.get_logger("jobs")
        self._scheduler = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 30}, timezone="UTC"
        )

    def start(self) -> None:
        """Begin to run the jobs."""
        for job in self.jobs:
            self._scheduler.add_job(self.run_once, "interval", seconds=job.every_s, args=[job], id=job.name)
        self._scheduler.start()

    def stop(self) -> None:
        """Begin no more runs."""
        self._scheduler.shutdown(wait=False)

    async def run_once(self, job: Job) -> LastRun:
        """Run one job now. A failure is logged once when it begins and once when it is over."""
        at_ms, began = self._clock.wall_ms(), self._clock.monotonic_s()
        before = self.last_runs.get(job.name)
        failed = False
        try:
            result = await job.run()
        except RotatorError as error:
            failed, result = True, str(error)
            if before is None or not before.failed:
                self._log.warning("job failed; it goes on trying", job=job.name, error=result)
        except Exception as error:  # a defect: the job keeps its turn, and the log says where
            failed, result = True, f"{type(error).__name__}: {error}"
            self._log.exception("job failed", job=job.name)
        else:
            if before is not None and before.failed:
                self._log.info("job works again", job=job.name)
        self._metrics.job_runs.labels(job.name, "failed" if failed else "ok").inc()
        run = LastRun(at_ms, (self._clock.monotonic_s() - began) * 1000, result, failed)
        self.last_runs[job.name] = run
        return run
