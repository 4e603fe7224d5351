"""Calls that wait at the same moment share a trip to Redis, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ami_rotator.domain.types import Assignment
from ami_rotator.pool.flights import Flights
from ami_rotator.pool.scripts import Script
from tests.support.pool_checks import violations
from tests.support.pool_setup import assign, call, caller_id, make_pool

_SHARED = """
local answers, at = {}, 1
while ARGV[at] do
  local word = ARGV[at + 2]
  answers[#answers + 1] = word == 'bad' and redis.error_reply('BROKEN it is') or word
  at = at + 2 + ARGV[at + 1]
end
return answers
"""


def flights(redis: Redis) -> Flights:
    sha = hashlib.sha1(_SHARED.encode(), usedforsecurity=False).hexdigest()
    return Flights(redis, "{test}", Script("shared", _SHARED, sha, 1), tuple)


async def test_a_call_that_asks_as_soon_as_the_flights_have_landed_is_answered(redis_client: Redis) -> None:
    shared = flights(redis_client)

    async def caller(name: int) -> list[str]:
        return [await shared.ask("assign", f"{name}.{turn}") for turn in range(20)]

    async with asyncio.timeout(30):
        for callers in (1, 2, 3, 33, 64, 65):
            answers = await asyncio.gather(*(caller(name) for name in range(callers)))

            assert answers == [[f"{name}.{turn}" for turn in range(20)] for name in range(callers)]


async def test_the_error_of_one_call_is_its_own(redis_client: Redis) -> None:
    shared = flights(redis_client)
    words = ["first", "bad", "third", "bad", "fifth"]
    answers = await asyncio.gather(*(shared.ask("assign", word) for word in words), return_exceptions=True)

    assert [answer for answer in answers if isinstance(answer, str)] == ["first", "third", "fifth"]
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [ResponseError] * 2


async def test_calls_that_travel_together_get_a_caller_id_each(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(100)])
    await redis_client.config_resetstat()

    found = await asyncio.gather(*(assign(pool, call(number)) for number in range(1, 65)))

    scripts = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    given = {item.caller_id for item in found if isinstance(item, Assignment)}
    assert len(given) == 64
    assert scripts < 10
    assert await violations(redis_client, pool.tag) == []
