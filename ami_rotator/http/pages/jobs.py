"""The page Jobs: what the daemon does by itself, how it went, and a button to do it now."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ami_rotator.http.pages.frame import FormError, back, frame_of, page, shown
from ami_rotator.http.pages.words import ago, duration, every


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it is shown."""

    name: str
    what: str
    every: str
    alone: bool
    ran: str
    took: str
    result: str
    failures: int
    daemon: str


@shown()
async def jobs(request: web.Request) -> web.Response:
    """Show all jobs, those that failed first."""
    frame = frame_of(request)
    now_ms = frame.deps.clock.wall_ms()
    rows = [
        JobRow(
            job.name,
            job.what,
            every(job.every_s),
            job.alone,
            ago(job.at_ms, now_ms),
            duration(job.took_ms) if job.at_ms else "–",
            job.result[:300],
            job.failures,
            job.daemon,
        )
        for job in sorted(await frame.pages.jobs(), key=lambda job: (not job.failures, job.name))
    ]
    return page(request, "jobs.html", {"jobs": rows, "can_run": frame.can("operator")})


@shown("operator")
async def run_job(request: web.Request) -> web.Response:
    """Ask for a run of a job now."""
    frame = frame_of(request)
    name = str((await request.post()).get("job", ""))
    if name not in {job.name for job in await frame.pages.jobs()}:
        raise FormError(f"There is no job {name[:40]!r}. Choose one of the list.")
    await frame.pages.wish(name)
    return back("/jobs", done="wished")
