"""The jobs that keep the pool in order: expire, promote, fill, renew, resync."""

from __future__ import annotations

from collections.abc import Sequence

from ami_rotator.ami.listener import Listener
from ami_rotator.clock import Clock
from ami_rotator.jobs.job import Job
from ami_rotator.metrics import Metrics
from ami_rotator.pool.filler import Filler
from ami_rotator.pool.redis_pool import RedisPool

# A call waits for no more of them than fit into half a millisecond of Redis.
_ENDED_AT_ONCE = 10
_RENEWED_AT_ONCE = 50
_ROUNDS = 500
_PATIENCE_S = 60.0


def pool_jobs(
    pool: RedisPool, filler: Filler, listeners: Sequence[Listener], metrics: Metrics, ttl_s: float, clock: Clock
) -> list[Job]:
    """Return the jobs. Each may run on several daemons at once: every step is one script."""
    patience_s = min(_PATIENCE_S, ttl_s / 5)
    looked_s, waits_until_s = float("-inf"), 0.0

    async def expire() -> str:
        nonlocal looked_s, waits_until_s
        await pool.ping()
        now_s = clock.monotonic_s()
        if now_s - looked_s > patience_s:
            # It has just started, or Redis was away: nobody could renew. Dialers are asked first which calls are up.
            waits_until_s = now_s + patience_s
        looked_s = now_s
        if now_s < waits_until_s:
            return ""
        if waits_until_s:
            await renew()
            waits_until_s = 0.0
        ended = 0
        for _ in range(_ROUNDS):
            gone = await pool.expire(_ENDED_AT_ONCE)
            ended += len(gone)
            if len(gone) < _ENDED_AT_ONCE:
                break
        metrics.expired.inc(ended)
        return f"{ended} reservations ended by their lifetime" if ended else ""

    async def promote() -> str:
        back = 0
        for group in await pool.groups():
            for _ in range(_ROUNDS):
                count = await pool.promote(group, _ENDED_AT_ONCE)
                back += count
                if count < _ENDED_AT_ONCE:
                    break
        return f"{back} caller-IDs are eligible again" if back else ""

    async def fill() -> str:
        await filler.fill()
        return ""

    async def renew() -> str:
        renewed = 0
        for listener in listeners:
            live = listener.live()
            for start in range(0, len(live), _RENEWED_AT_ONCE):
                page = live[start : start + _RENEWED_AT_ONCE]
                listener.forget(await pool.renew(page))
                renewed += len(page)
            await listener.sweep()
            listener.forget(())
        return f"{renewed} live calls" if renewed else ""

    async def resync() -> str:
        found = [await listener.comparison.resync() for listener in listeners if listener.is_up]
        return "; ".join(filter(None, found))

    async def zones() -> str:
        await pool.refresh_zones()
        return ""

    return [
        Job("zones", 3600.0, zones, "Tell the pool how far the caller-IDs' time zones are from UTC"),
        Job("expire", 1.0, expire, "End reservations whose lifetime is over"),
        Job("promote", 1.0, promote, "Bring back caller-IDs whose cool-down or cap is over"),
        Job("fill", 1.0, fill, "Keep the warm pools as deep as demand asks for"),
        Job("renew", max(1.0, ttl_s / 4), renew, "Let the reservations of calls that are up live on"),
        Job("resync", 180.0, resync, "Compare reservations with the channels that the dialers have up"),
    ]
