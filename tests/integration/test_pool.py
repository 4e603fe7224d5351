"""The pool's rules on a real server, one by one."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from ami_rotator.domain.types import E164, Area, Assignment, CallKey, Campaign, Dialer, End, Group, Miss, State
from ami_rotator.pool.redis_pool import RedisPool, Warmed, WarmOrder
from tests.support.pool_checks import violations
from tests.support.pool_setup import assign, call, caller_id, given, make_pool, set_time

HOUR_MS = 3_600_000


async def test_the_least_recently_used_number_is_chosen_and_every_number_gets_its_turn(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(25)])
    order = []
    for turn in range(75):
        order.append(await given(pool, call(turn + 1)))
        await pool.release(call(turn + 1).key, End("answered"))

    assert set(Counter(order).values()) == {3}
    assert order[:25] == order[25:50] == order[50:]


async def test_a_local_number_is_preferred_and_another_is_given_where_the_area_has_none(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0, area="212"), caller_id(0, area="917")])

    near = await assign(pool, call(1), area="917")
    far = await assign(pool, call(2), area="907")

    assert isinstance(near, Assignment)
    assert (near.caller_id, near.rung) == ("+19175550000", "area")
    assert isinstance(far, Assignment)
    assert (far.caller_id, far.rung) == ("+12125550000", "any")


async def test_a_group_of_another_campaign_is_never_used(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0, group="other")])

    assert await assign(pool, call(1)) == Miss("none_free")


async def test_a_number_is_never_given_to_a_call_to_itself(redis_client: Redis) -> None:
    itself = replace(caller_id(0, area="305"), number=E164("+13055550199"))
    pool = await make_pool(redis_client, [itself])

    assert await assign(pool, call(1), area="305") == Miss("none_free")


async def test_hundreds_of_workers_never_share_a_number_and_never_pass_a_limit(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i, hourly=40) for i in range(50)])
    held: set[str] = set()
    faults: list[str] = []
    uses: Counter[str] = Counter()

    async def work(worker: int) -> None:
        for turn in range(20):
            request = call(worker * 100 + turn + 1)
            found = await assign(pool, request)
            if isinstance(found, Miss):
                continue
            if found.caller_id in held:
                faults.append(f"{found.caller_id} is given twice at once")
            held.add(found.caller_id)
            uses[found.caller_id] += 1
            await asyncio.sleep(0)
            held.discard(found.caller_id)
            await pool.release(request.key, End("answered"))

    await asyncio.gather(*(work(worker) for worker in range(200)))

    assert faults == []
    assert max(uses.values()) <= 40
    assert await violations(redis_client, pool.tag) == []


async def test_the_same_check_finds_the_fault_of_reading_first_and_writing_then(redis_client: Redis) -> None:
    """Negative control: the design of other rotators, under the load of the test above, must fail its check."""
    numbers = [caller_id(i).number for i in range(50)]
    held: set[str] = set()
    faults = 0

    async def work() -> None:
        nonlocal faults
        for _ in range(20):
            for number in numbers:
                if not await redis_client.exists(f"control:{number}"):
                    await redis_client.set(f"control:{number}", "1")
                    break
            else:
                continue
            faults += number in held
            held.add(number)
            await asyncio.sleep(0)
            held.discard(number)
            await redis_client.delete(f"control:{number}")

    await asyncio.gather(*(work() for _ in range(50)))

    assert faults > 0


async def test_a_call_gets_the_same_answer_by_code_or_uniqueid_through_whichever_daemon(redis_client: Redis) -> None:
    one = await make_pool(redis_client, [caller_id(i) for i in range(10)])
    other = RedisPool(redis_client, one.tag.strip("{}"), one._zone, 300)
    whole = call(1, uniqueid="1700000000.1")
    by_code, by_uniqueid = call(1), replace(call(0), key=CallKey(Dialer("d1"), uniqueid="1700000000.1"))

    answers = await asyncio.gather(*(given(pool, r) for pool in (one, other) for r in (whole, whole, by_code)))
    answers.append(await given(other, by_uniqueid))

    assert len(set(answers)) == 1
    assert (await one.snapshot()).live == 1


async def test_equal_uniqueids_of_two_dialers_are_two_calls(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(10)])
    here = await given(pool, call(0, dialer="d1", uniqueid="1700000000.1"))
    there = await given(pool, call(0, dialer="d2", uniqueid="1700000000.1"))

    assert here != there


async def test_an_hourly_limit_ends_with_the_calendar_hour_of_the_zone(redis_client: Redis) -> None:
    # Adelaide is nine and a half hours from UTC: its hours begin at half past.
    pool = await make_pool(redis_client, [caller_id(0, hourly=1)], zone="Australia/Adelaide", test_clock=True)
    ten_past = 1_700_000_000_000 - 1_700_000_000_000 % HOUR_MS + 10 * 60_000
    await set_time(redis_client, pool, ten_past)
    await given(pool, call(1))
    await pool.release(call(1).key, End("answered"))

    await set_time(redis_client, pool, ten_past + 19 * 60_000)
    before = await assign(pool, call(2))
    await set_time(redis_client, pool, ten_past + 21 * 60_000)
    after = await assign(pool, call(3))

    assert before == Miss("none_free")
    assert isinstance(after, Assignment)


async def test_a_limit_of_zero_is_never_and_an_edit_works_at_once(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0, daily=0)])
    never = await assign(pool, call(1))
    await pool.put([caller_id(0, daily=1)], 2)
    now = await assign(pool, call(2))

    assert never == Miss("none_free")
    assert isinstance(now, Assignment)


async def test_a_number_rests_for_its_cool_down_after_a_call_and_not_after_one_that_was_never_dialled(
    redis_client: Redis,
) -> None:
    pool = await make_pool(redis_client, [caller_id(0, cooldown_s=30)], test_clock=True)
    start = 1_700_000_000_000
    await given(pool, call(1))
    await pool.release(call(1).key, End("not_dialled", dialled=False))
    await given(pool, call(2))
    await pool.release(call(2).key, End("busy"))

    await set_time(redis_client, pool, start + 29_999)
    resting = await assign(pool, call(3))
    await set_time(redis_client, pool, start + 30_000)
    rested = await assign(pool, call(4))

    assert resting == Miss("none_free")
    assert isinstance(rested, Assignment)


async def test_a_use_that_never_reached_the_carrier_is_not_counted(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0, daily=1)])
    await given(pool, call(1))
    await pool.release(call(1).key, End("not_dialled", dialled=False))

    assert await given(pool, call(2))
    await pool.release(call(2).key, End("busy"))
    assert await assign(pool, call(3)) == Miss("none_free")


async def test_a_number_shown_by_mistake_of_time_gives_ours_back_at_once_and_uncounted(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0, daily=1)])
    await given(pool, call(1))

    confirmed = await pool.confirm(call(1).key, "+13125550000", "trunk.1")

    assert confirmed.status == "other_number"
    assert await given(pool, call(2)) == "+12125550000"
    assert await pool.release(call(1).key, End("answered")) == "+12125550000"
    assert (await pool.snapshot()).live == 1
    assert await violations(redis_client, pool.tag) == []


async def test_a_reservation_that_nobody_ends_ends_at_its_expiry(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0)], ttl_s=60, test_clock=True)
    await given(pool, call(1))
    await set_time(redis_client, pool, 1_700_000_000_000 + 60_000)

    ended = await pool.expire()

    assert len(ended) == 1
    assert (await pool.snapshot()).live == 0
    assert await given(pool, call(2)) == "+12125550000"


async def test_a_live_call_keeps_its_reservation_as_long_as_it_is_renewed(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0)], ttl_s=60, test_clock=True)
    found = await assign(pool, call(1))
    assert isinstance(found, Assignment)
    await set_time(redis_client, pool, 1_700_000_000_000 + 50_000)
    gone = await pool.renew([found.reservation])
    await set_time(redis_client, pool, 1_700_000_000_000 + 100_000)

    assert gone == []
    assert await pool.expire() == []


async def test_a_group_may_allow_several_live_calls_on_a_number(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(0, concurrent=2)])

    shared = [await given(pool, call(1)), await given(pool, call(2))]

    assert shared == ["+12125550000", "+12125550000"]
    assert await assign(pool, call(3)) == Miss("none_free")
    assert await violations(redis_client, pool.tag) == []


async def test_warm_numbers_are_given_first_and_taken_back_from_another_campaign_when_nothing_else_is_left(
    redis_client: Redis,
) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(3)])
    depths = await pool.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 2))

    mine = await assign(pool, call(1))
    others = [await assign(pool, call(2, campaign="SURVEY")), await assign(pool, call(3, campaign="SURVEY"))]

    assert depths == [Warmed(2, 2)]
    assert isinstance(mine, Assignment)
    assert mine.was_warm
    assert [isinstance(o, Assignment) and o.was_warm for o in others] == [False, True]
    assert await violations(redis_client, pool.tag) == []


async def test_a_warm_pool_that_is_closed_gives_its_numbers_back_in_their_old_order(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(4)])
    first = await given(pool, call(1))
    await pool.release(call(1).key, End("busy"))
    await pool.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 4))
    await pool.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 0))

    order = [await given(pool, call(turn)) for turn in (2, 3, 4, 5)]

    assert order[-1] == first
    assert (await pool.snapshot()).states[State.WARM] == 0


async def test_a_warm_pool_that_is_closed_in_steps_is_known_until_it_is_empty(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(20)])
    order = WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 16)
    opened = [(await pool.warm(order))[0] for _ in range(3)]

    closed = [(await pool.warm(order._replace(depth=0)))[0]]
    between = (await pool.depths(), await violations(redis_client, pool.tag))
    closed += await pool.warm(order._replace(depth=0))

    assert opened == [Warmed(8, 8), Warmed(16, 8), Warmed(16, 0)]
    assert between == ({(order.campaign, order.area): 8}, [])
    assert closed == [Warmed(8, 8), Warmed(0, 8)]
    assert await pool.depths() == {}
    assert await violations(redis_client, pool.tag) == []


async def test_a_number_that_left_the_inventory_goes_and_a_live_call_keeps_its_own_to_the_end(
    redis_client: Redis,
) -> None:
    pool = await make_pool(redis_client, [caller_id(i) for i in range(3)])
    live = await given(pool, call(1))
    kept = caller_id(2)
    generation = await pool.new_generation()
    await pool.put([kept], generation)

    removed = await pool.prune(generation)
    during = (await pool.snapshot()).states
    await pool.release(call(1).key, End("answered"))

    assert removed == 2
    assert (during[State.IDLE], during[State.IN_USE]) == (1, 1)
    assert await given(pool, call(2)) == kept.number != live
    assert await violations(redis_client, pool.tag) == []


async def test_two_loads_at_the_same_time_remove_nothing_of_each_other(redis_client: Redis) -> None:
    items = [caller_id(i) for i in range(50)]
    pool = await make_pool(redis_client)

    async def load() -> int:
        generation = await pool.new_generation()
        for item in items:
            await pool.put([item], generation)
        return await pool.prune(generation)

    removed = await asyncio.gather(load(), load(), load())

    assert sum(removed) == 0
    assert (await pool.snapshot()).states[State.IDLE] == 50


async def test_every_digit_of_a_long_number_survives(redis_client: Redis) -> None:
    long = replace(caller_id(0), number=E164("+999123456789012"), area=Area("+999"))
    pool = await make_pool(redis_client, [long])

    assert await given(pool, call(1)) == "+999123456789012"
    assert await pool.release(call(1).key, End("answered")) == "+999123456789012"


@pytest.mark.parametrize("place", ["none", "idle"])
async def test_unknown_calls_and_reservations_are_answered_and_change_nothing(redis_client: Redis, place: str) -> None:
    pool = await make_pool(redis_client, [caller_id(0)] if place == "idle" else [])

    assert (await pool.confirm(call(9).key, "+12125550000", "t")).status == "unknown"
    assert await pool.release(call(9).key, End("busy")) is None
    assert await pool.expire() == []
    assert await violations(redis_client, pool.tag) == []
