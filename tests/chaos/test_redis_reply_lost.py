"""A script whose answer is lost is sent again: whatever it does is done once."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.held import HeldCall, Use
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.types import (
    Area,
    Assignment,
    CallKey,
    CallRequest,
    Campaign,
    Dialer,
    End,
    Group,
    Miss,
    ReservationId,
)
from ami_rotator.pool.connect import RedisClient, connect
from ami_rotator.pool.question import Question
from ami_rotator.pool.rebuild import Rebuild
from ami_rotator.pool.redis_pool import RedisPool, WarmOrder
from ami_rotator.pool.scripts import load_scripts
from tests.chaos.sizes import sized
from tests.support.pool_checks import TEST_CLOCK, violations
from tests.support.pool_setup import DESTINATION, caller_id, open_pool
from tests.support.tcp_proxy import TcpProxy, target_of, tcp_proxy

pytestmark = pytest.mark.chaos

NOW_MS = 1_700_000_000_000
SALES = CampaignPolicy(Campaign("SALES"), (Group("default"),))
NAMED = CallRequest(CallKey(Dialer("d1"), "V1700000000000000001", "17.1"), "92125550199", Campaign("SALES"), "ami")
UNNAMED = CallRequest(CallKey(Dialer("d1")), "92125550199", Campaign("SALES"), "http")
NO_GROUP = CallRequest(CallKey(Dialer("d1")), "92125550199", Campaign("NONE"), "http")
FIRST, SECOND = (ReservationId(str(uuid.UUID(int=n))) for n in (1, 2))
HELD = HeldCall(
    FIRST, NOW_MS - 5000, "+12125550000", "SALES", "+13055550199", "9305", "d1", "V17", "17.9", "", "", "ami", "area",
    "default", "212", False,
)  # fmt: skip
USE = Use(caller_id(0).number, 1, 3, 5, NOW_MS - 9, NOW_MS)

Step = Callable[[RedisPool], Awaitable[Any]]


def assigning(identity: ReservationId, request: CallRequest) -> Step:
    ladder = steps(SALES, Area("212")) if request.campaign == "SALES" else ()
    return lambda pool: pool.assign(Question(identity, request, DESTINATION, Area("212"), ladder))


async def nothing(_: RedisPool) -> None:
    return None


async def move_clock(pool: RedisPool, forward_ms: int) -> None:
    await pool._redis.set(f"test-clock:{pool.tag}", NOW_MS + forward_ms)


async def warm_two(pool: RedisPool) -> None:
    await pool.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 2))


async def wait_until_eligible(pool: RedisPool) -> None:
    await assigning(FIRST, NAMED)(pool)
    await pool.release(NAMED.key, End("answered"))
    await move_clock(pool, 60_000)


async def be_over(pool: RedisPool) -> None:
    await assigning(FIRST, NAMED)(pool)
    await move_clock(pool, 600_000)


async def forget_epoch(pool: RedisPool) -> None:
    await pool._redis.delete(f"epoch:{pool.tag}")


async def take_turn(pool: RedisPool) -> None:
    await forget_epoch(pool)
    await pool.command("rebuild", "token", 15_000, 1)


async def opt_out(pool: RedisPool) -> None:
    await pool.command("optouts", "add", "", "+13055550199")


async def load_opt_outs(pool: RedisPool) -> None:
    await opt_out(pool)
    await pool.command("optouts", "load", "new", "+13055550198")


CASES: list[tuple[str, str, Step, Step]] = [
    ("assign", "a call", nothing, assigning(FIRST, NAMED)),
    ("assign", "a request with no name", nothing, assigning(FIRST, UNNAMED)),
    ("assign", "a warm caller-ID", warm_two, assigning(FIRST, NAMED)),
    ("assign", "a miss", nothing, assigning(FIRST, NO_GROUP)),
    ("assign", "a second call", assigning(FIRST, NAMED), assigning(SECOND, UNNAMED)),
    ("confirm", "the number shown", assigning(FIRST, NAMED), lambda p: p.confirm(NAMED.key, "+12125550000", "17.3")),
    ("confirm", "another number", assigning(FIRST, NAMED), lambda p: p.confirm(NAMED.key, "+15550000000", "17.3")),
    ("confirm", "an unknown trunk", assigning(FIRST, NAMED), lambda p: p.confirm(NAMED.key, "+12125550000", "")),
    ("release", "by call", assigning(FIRST, NAMED), lambda p: p.release(NAMED.key, End("busy", 17))),
    ("release", "by id", assigning(FIRST, UNNAMED), lambda p: p.release(UNNAMED.key, End("busy", dialled=False), FIRST)),
    ("renew", "a live one", assigning(FIRST, NAMED), lambda p: p.renew([FIRST, SECOND])),
    ("expire", "one that is over", be_over, lambda p: p.expire()),
    ("promote", "one that waited", wait_until_eligible, lambda p: p.promote(Group("default"))),
    ("warm", "two", nothing, warm_two),
    ("warm", "give back", warm_two, lambda p: p.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 0))),
    ("demand", "fades once", nothing, lambda p: p.command("demand", 5000, 0.9, "one count", "SALES|212", 3)),
    ("put", "new and changed", nothing, lambda p: p.put([caller_id(1, hourly=2), caller_id(9)], 7)),
    ("remove", "idle and in use", assigning(FIRST, NAMED), lambda p: p.remove([caller_id(0).number, caller_id(1).number])),
    ("prune", "all", assigning(FIRST, NAMED), lambda p: p.prune(10**15)),
    ("count", "a trunk leg", nothing, lambda p: p.command("count", caller_id(0).number, "d1:17.3", *p.zone_args())),
    ("optouts", "add", nothing, lambda p: p.command("optouts", "add", "", "+13055550199")),
    ("optouts", "remove", opt_out, lambda p: p.command("optouts", "remove", "", "+13055550199")),
    ("optouts", "load", opt_out, lambda p: p.command("optouts", "load", "new", "+13055550198")),
    ("optouts", "swap", load_opt_outs, lambda p: p.command("optouts", "swap", "new")),
    ("optouts", "swap for none", opt_out, lambda p: p.command("optouts", "swap", "new")),
    ("state", "reads", nothing, lambda p: Rebuild(p).state()),
    ("rebuild", "takes the turn", forget_epoch, lambda p: p.command("rebuild", "token", 15_000, 1)),
    ("open", "after the turn", take_turn, lambda p: p.command("open", "token")),
    ("recount", "uses", nothing, lambda p: Rebuild(p).recount([USE], NOW_MS)),
    ("restore", "a recorded call", nothing, lambda p: Rebuild(p).restore([HELD], is_unrecorded=False)),
    ("restore", "an unrecorded call", nothing, lambda p: Rebuild(p).restore([HELD], is_unrecorded=True)),
]  # fmt: skip


_READS = (
    r"(?:GET|MGET|HGET|HMGET|HGETALL|EXISTS|TIME|INFO|TTL|PTTL|STRLEN|SISMEMBER|SMISMEMBER|SMEMBERS|SCARD|SSCAN|Z\w*)"
)
_CHANGES = re.compile(
    rf"redis\.call\('(?!{_READS}')|redis\.call\('Z(?:ADD|REM|INCRBY|UNIONSTORE|\w*STORE|POP\w*)"
    r"|\b(?:save|file|unfile|append|settle|finish|link|give_back|promote|first_of)\("
)


def changes_something(name: str) -> bool:
    """Tell whether a script, without what it includes, writes or calls what writes."""
    source = (resources.files("ami_rotator.pool") / "lua" / f"{name}-1.lua").read_text()
    return bool(_CHANGES.search("\n".join(line for line in source.splitlines() if not line.startswith("--"))))


# They are parts of the script that calls share.
TOGETHER = {"assign": "ask", "confirm": "tell", "release": "tell"}
# A use that is sent twice counts twice, to the cost of one use; nothing else comes of it.
MAY_ACT_TWICE = {"ratelimit"}


def test_every_script_is_among_the_cases() -> None:
    writing = {name for name in load_scripts() if changes_something(name)}

    assert {"put", "warm", "prune"} < writing
    assert (writing | {*TOGETHER}) - {name for name, *_ in CASES} == MAY_ACT_TWICE


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(target_of(redis_url)) as running:
        yield running


@pytest.mark.parametrize(("name", "what", "before", "act"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
async def test_a_script_that_is_sent_twice_has_one_effect(
    redis_url: str, redis_client: Redis, proxy: TcpProxy, name: str, what: str, before: Step, act: Step
) -> None:
    raw = Redis.from_url(redis_url)
    scripts = load_scripts({"clock": TEST_CLOCK})
    for script in scripts.values():
        await redis_client.script_load(script.source)
        if script.function_source:
            await redis_client.function_load(script.function_source)
    lossy = connect(f"redis://127.0.0.1:{proxy.port}")
    for _ in range(sized(1, 20)):
        once = await prepared(redis_client, before)
        twice = await prepared(redis_client, before)
        through_proxy = RedisPool(lossy, twice.tag.strip("{}"), ZoneInfo("UTC"), 300, scripts=scripts)
        through_proxy.book = twice.book
        await through_proxy.ping()
        lost = proxy.lost

        expected = await act(once)
        script = scripts[TOGETHER.get(name, name)]
        proxy.lose_replies_to = (script.function or script.sha).encode()
        answer = await act(through_proxy)

        assert proxy.lost == lost + 1
        assert await _all_keys(raw, twice.tag) == await _all_keys(raw, once.tag)
        assert await violations(redis_client, twice.tag) == []
        if name == "assign":
            assert isinstance(answer, Assignment | Miss)
            assert answer == expected
    await lossy.aclose()
    await raw.aclose()


async def test_without_the_resend_the_answer_would_be_lost(redis_client: Redis, proxy: TcpProxy) -> None:
    """The proxy really loses answers: a client that does not repeat fails."""
    client = Redis.from_url(f"redis://127.0.0.1:{proxy.port}", decode_responses=True, retry=Retry(NoBackoff(), 0))
    await client.ping()
    proxy.lose_replies_to = b"INCR"

    with pytest.raises(RedisConnectionError):
        await client.incr("once")

    assert await redis_client.get("once") == "1"
    await client.aclose()


async def prepared(redis: RedisClient, before: Step) -> RedisPool:
    """Return a pool of its own with five caller-IDs, at a time that stands still."""
    scripts = load_scripts({"clock": TEST_CLOCK})
    pool = RedisPool(redis, uuid.uuid4().hex[:12], ZoneInfo("UTC"), 300, scripts=scripts)
    await move_clock(pool, 0)
    await pool.put([caller_id(i, cooldown_s=30) for i in range(5)], 1)
    await open_pool(pool)
    await before(pool)
    return pool


async def _all_keys(raw: Redis, tag: str) -> dict[str, Any]:
    """Return everything a tag has, as bytes, without what only says when: stream ids and lifetimes."""
    found: dict[str, Any] = {}
    for key in await raw.keys(f"*{tag}*"):
        kind = await raw.type(key)
        if kind == b"stream":
            value: Any = [fields for _, fields in await raw.xrange(key) or ()]
        elif kind == b"hash":
            value = await raw.hgetall(key)
        elif kind == b"zset":
            value = await raw.zrange(key, 0, -1, withscores=True)
        elif kind == b"set":
            value = sorted(await raw.smembers(key))
        else:
            value = await raw.get(key)
        found[str(key).replace(tag, "{}")] = value
    return found
