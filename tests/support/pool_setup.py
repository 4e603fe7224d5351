"""A filled pool for tests, in few words."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from redis.asyncio import Redis

from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.types import (
    E164,
    Area,
    Assignment,
    CallKey,
    CallRequest,
    Campaign,
    Dialer,
    Group,
    Miss,
    ReservationId,
)
from ami_rotator.pool.question import Question
from ami_rotator.pool.rebuild import Rebuild
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.pool.scripts import load_scripts
from tests.support.pool_checks import TEST_CLOCK

DESTINATION = E164("+13055550199")


def caller_id(
    index: int,
    *,
    area: str = "212",
    group: str = "default",
    hourly: int = 100,
    daily: int = 1000,
    cooldown_s: int = 0,
    concurrent: int = 1,
) -> CallerId:
    """Return the caller-ID with this index in its area."""
    return CallerId(
        E164(f"+1{area}{5_550_000 + index:07d}"), Area(area), Group(group), hourly, daily, cooldown_s, concurrent
    )


def call(code: int, *, campaign: str = "SALES", dialer: str = "d1", uniqueid: str = "") -> CallRequest:
    """Return the request of the call with this number."""
    key = CallKey(Dialer(dialer), f"V{code:019d}" if code else "", uniqueid)
    return CallRequest(key, "92125550199", Campaign(campaign), "ami")


async def make_pool(
    redis: Redis, items: Sequence[CallerId] = (), *, ttl_s: float = 300, zone: str = "UTC", test_clock: bool = False
) -> RedisPool:
    """Return a pool of an inventory of its own that holds these caller-IDs."""
    scripts = load_scripts({"clock": TEST_CLOCK}) if test_clock else None
    pool = RedisPool(redis, uuid.uuid4().hex[:12], ZoneInfo(zone), ttl_s, scripts=scripts)
    if test_clock:
        await set_time(redis, pool, 1_700_000_000_000)
    await pool.put(items, await pool.new_generation())
    await open_pool(pool)
    return pool


async def open_pool(pool: RedisPool) -> None:
    """Let a pool serve calls, as a daemon does once everything is loaded."""
    rebuild = Rebuild(pool)
    await rebuild.take_turn()
    await rebuild.open()


async def set_time(redis: Redis, pool: RedisPool, now_ms: int) -> None:
    """Move a pool's test clock."""
    await redis.set(f"test-clock:{pool.tag}", now_ms)


async def assign(
    pool: RedisPool, request: CallRequest, *, area: str = "212", groups: Sequence[str] = ("default",)
) -> Assignment | Miss:
    """Assign with the ladder `same area, any`."""
    policy = CampaignPolicy(request.campaign, tuple(Group(group) for group in groups))
    identity = ReservationId(str(uuid.uuid4()))
    return await pool.assign(Question(identity, request, DESTINATION, Area(area), steps(policy, Area(area))))


async def given(pool: RedisPool, request: CallRequest, *, area: str = "212") -> str:
    """Assign and return the caller-ID; fails where there is none."""
    found = await assign(pool, request, area=area)
    assert isinstance(found, Assignment), found
    return found.caller_id
