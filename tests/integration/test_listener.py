"""What the listener does on a dialer, and never does: facts in, AMI actions out, on a real pool."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from ami_rotator.ami.events import Event
from ami_rotator.ami.facts import CallAnnounced, CallEnded, CallSeen, Fact, TrunkBegan
from ami_rotator.ami.listener import Listener
from ami_rotator.ami.tracker import Tracker
from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import CallKey, Dialer, End, State
from ami_rotator.errors import DialerActionError, DialerUnavailableError
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import connect
from ami_rotator.pool.redis_pool import Confirmed, RedisPool
from ami_rotator.settings import Mode
from tests.support.pool_checks import numbers_of, violations
from tests.support.pool_setup import caller_id, make_pool
from tests.support.redis_topologies import node

CODE = "V1221530010000012345"
KEY = CallKey(Dialer("d1"), CODE, "1.1")
CHANNEL = "Local/912125550199@default-00000000;2"
SEEN = CallSeen(KEY, "auto", "912125550199", CHANNEL, "12345", "SALES")
ANNOUNCED = CallAnnounced(CallKey(Dialer("d1"), CODE), "auto", "12125550199", "12345", "SALES")
ENDED = CallEnded(KEY, End("busy", 17))
NUMBER = "2125550000"


class Actions:
    """Writes down what was asked of the dialer; AstDB is a dictionary."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []
        self.astdb: dict[str, str] = {}
        self.is_away = False
        self.cannot_list = False
        self.lists = 0
        # What the dialer says when it is asked to say all that it has said: whether that was all.
        self.catch_up: Callable[[], bool] = lambda: True

    def setvar(self, channel: str, variable: str, value: str) -> None:
        self.done.append(("setvar", channel, variable, value))

    def set_caller_id_number(self, channel: str, number: str) -> None:
        self.done.append(("number", channel, number))

    async def channels(self) -> list[Event]:
        return []

    async def db_put(self, family: str, key: str, value: str) -> None:
        if self.is_away:
            raise DialerUnavailableError
        self.done.append(("put", family, key, value))
        self.astdb[key] = value

    async def db_del(self, family: str, key: str) -> bool:
        self.done.append(("del", family, key))
        return self.astdb.pop(key, None) is not None

    async def db_keys(self, family: str) -> list[str]:
        self.lists += 1
        if self.cannot_list:
            raise DialerActionError("Invalid/unknown command: DBGetTree")
        return list(self.astdb)


class NeverAll:
    """A dialer that has never said all; counts how often it is looked after."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> bool:
        self.looks += 1
        return False


def _listener(pool: RedisPool, actions: Actions, mode: Mode = "hook") -> Listener:
    clock = SystemClock()
    return Listener(
        Tracker(Dialer("d1"), {"9": "SALES"}, clock=clock),
        actions,
        Assigner(pool, "US", ["9"]),
        pool,
        dialer="d1",
        mode=mode,
        presentation="national",
        region="US",
        give_up_s=30,
        metrics=Metrics(),
        clock=clock,
        settle_s=0,
    )


def _trunk(number: str) -> TrunkBegan:
    return TrunkBegan(KEY, number, "1.2", "PJSIP/carrier-00000001")


async def _tell(listener: Listener, *facts: Fact) -> None:
    for fact in facts:
        listener.on_fact(fact)
        await listener.drain(5)


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if is_true():
                return
            await asyncio.sleep(0)


async def test_a_call_that_is_seen_gets_its_number_in_the_variable_and_gives_it_back(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)

    await _tell(listener, SEEN, _trunk(NUMBER))
    during = (await pool.snapshot()).states[State.IN_USE]
    await _tell(listener, ENDED)

    assert actions.done == [("setvar", CHANNEL, "ROTATOR_CID", NUMBER)]
    assert during == 1
    assert (await pool.snapshot()).live == 0


async def test_a_number_is_asked_for_and_set_in_the_turns_in_which_event_and_answer_are_read(
    redis_client: Redis,
) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0), caller_id(1)]), Actions()
    listener = _listener(pool, actions)
    tasks = asyncio.all_tasks()
    readers: list[set[str]] = []
    actions.setvar = lambda *_: readers.append({frame.name for frame in traceback.extract_stack()})  # type: ignore[method-assign]

    listener.on_fact(SEEN)
    assert asyncio.all_tasks() == tasks
    await _until(lambda: bool(readers))

    assert "data_received" in readers[0]
    await _tell(listener, ENDED)
    assert (await pool.snapshot()).live == 0


async def test_a_number_that_was_found_meanwhile_is_set_between_two_events(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0), caller_id(1)]), Actions()
    listener = _listener(pool, actions)
    other = CallSeen(CallKey(Dialer("d1"), "V1221530010000012346", "1.9"), "auto", "912125550198", CHANNEL, "", "SALES")
    await _tell(listener, other)  # connected
    actions.done.clear()

    listener.on_fact(SEEN)
    until = time.monotonic() + 5
    while not actions.done and time.monotonic() < until:  # all in one turn of the loop
        listener.on_event(Event("Newexten", {"Context": "elsewhere"}))

    assert [done[0] for done in actions.done] == ["setvar"]


async def test_while_redis_is_away_calls_keep_their_own_number_and_are_followed_all_the_same() -> None:
    client = connect("redis://127.0.0.1:1")
    pool, actions = RedisPool(client, "away", ZoneInfo("UTC"), 300), Actions()
    listener = _listener(pool, actions)

    listener.on_fact(SEEN)
    async with asyncio.timeout(5):
        await listener.drain(5)

    assert actions.done == []
    assert listener.live() == []
    listener.on_fact(ENDED)
    await listener.drain(0.1)
    await client.aclose()


async def test_what_comes_while_redis_is_asked_is_done_in_its_order(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)
    await _tell(listener, SEEN)
    statuses: list[str] = []
    confirm_then = pool.confirm_then

    def watched(key: CallKey, shown: str, trunk: str, then: Callable[[Confirmed | Exception], None]) -> None:
        def told(answer: Confirmed | Exception) -> None:
            statuses.append(answer.status if isinstance(answer, Confirmed) else str(answer))
            then(answer)

        confirm_then(key, shown, trunk, told)

    pool.confirm_then = watched  # type: ignore[assignment,method-assign]
    tasks = asyncio.all_tasks()
    for fact in (_trunk(NUMBER), _trunk(NUMBER), ENDED, ENDED):
        listener.on_fact(fact)
    assert asyncio.all_tasks() == tasks
    await listener.drain(5)

    assert statuses == ["confirmed", "same"]
    assert (await pool.snapshot()).live == 0
    assert listener.live() == []
    assert asyncio.all_tasks() == tasks


async def test_what_redis_does_not_take_is_told_until_it_does(tmp_path: Path) -> None:
    with node(tmp_path) as server:
        client = connect(f"redis://127.0.0.1:{server.port}")
        assert isinstance(client, Redis)
        pool, actions = await make_pool(client, [caller_id(0)]), Actions()
        listener = _listener(pool, actions)
        await _tell(listener, SEEN)
        server.freeze()
        for fact in (_trunk(NUMBER), ENDED):
            listener.on_fact(fact)
        await _until(lambda: any(task.get_name().startswith("call ") for task in asyncio.all_tasks()))
        server.thaw()

        await listener.drain(10)

        assert (await pool.snapshot()).live == 0
        # It did reach the carrier, so that it counts.
        assert (await numbers_of(client, pool.tag))[f"+1{NUMBER}"]["dn"] == 1
        assert await violations(client, pool.tag) == []
        await client.aclose()


async def test_what_each_trunk_leg_showed_is_told_once_and_trouble_with_it_stops_no_call(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)
    told: list[tuple[str, str]] = []

    def note(code: str, number: str) -> None:
        told.append((code, number))
        raise ValueError("a defect")

    listener.on_presented = note
    listener.on_fact(ANNOUNCED)  # a task is under way
    await _tell(listener, _trunk(NUMBER))
    await _tell(listener, _trunk("3125550000"), ENDED)

    assert told == [(CODE, NUMBER), (CODE, "3125550000")]
    assert (await pool.snapshot()).live == 0


async def test_a_stop_waits_no_longer_than_it_may_for_a_redis_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node(tmp_path) as server:
        client = connect(f"redis://127.0.0.1:{server.port}")
        assert isinstance(client, Redis)
        pool, actions = await make_pool(client, [caller_id(0)]), Actions()
        listener = _listener(pool, actions)
        await _tell(listener, SEEN)
        capsys.readouterr()
        server.freeze()
        listener.on_fact(_trunk(NUMBER))
        await listener.drain(0)
        server.thaw()
        await asyncio.sleep(0.2)

        assert capsys.readouterr().out == ""
        await client.aclose()


@pytest.mark.parametrize("is_at_once", [True, False], ids=["raised", "answered"])
@pytest.mark.parametrize("fact", [_trunk(NUMBER), ENDED], ids=["confirm", "release"])
async def test_a_defect_costs_one_call_its_following_and_no_other(
    redis_client: Redis, fact: Fact, is_at_once: bool
) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0), caller_id(1)]), Actions()
    listener = _listener(pool, actions)
    await _tell(listener, SEEN)
    assert len(listener.live()) == 1

    def broken(*args: Any) -> None:
        if is_at_once:
            raise ValueError("a defect")
        args[-1](ValueError("a defect"))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pool, "confirm_then", broken)
        patched.setattr(pool, "release_then", broken)
        await _tell(listener, fact)
    assert listener.live() == []

    await _tell(listener, ENDED)
    assert (await pool.snapshot()).live == 0


async def test_nothing_is_set_once_the_trunk_leg_exists(redis_client: Redis) -> None:
    """Rule 8: the trunk comes while Redis is still being asked."""
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)

    listener.on_fact(SEEN)
    listener.on_fact(_trunk("3125550000"))
    await listener.drain(5)

    assert actions.done == []
    assert (await pool.snapshot()).states[State.IN_USE] == 0
    assert await violations(redis_client, pool.tag) == []


@pytest.mark.parametrize("turns", [0, 3])
async def test_before_a_number_is_set_all_that_the_dialer_has_said_is_read(redis_client: Redis, turns: int) -> None:
    """Rule 8, in a loop that is behind: the trunk leg's first event is there, at once or some turns later."""
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)
    looks = 0

    def catch_up() -> bool:
        nonlocal looks
        looks += 1
        if looks > turns:
            listener.on_fact(_trunk("3125550000"))
        return looks > turns

    actions.catch_up = catch_up
    listener.on_fact(SEEN)
    await _until(lambda: looks > turns)
    await listener.drain(5)

    assert actions.done == []
    assert looks == turns + 1
    assert (await pool.snapshot()).states[State.IN_USE] == 0
    assert await violations(redis_client, pool.tag) == []


async def _waiting_for_all(redis: Redis) -> tuple[RedisPool, Actions, NeverAll, Listener]:
    """Return what has found a number, and waits until the dialer has said all."""
    pool, actions = await make_pool(redis, [caller_id(0)]), Actions()
    actions.catch_up = never = NeverAll()
    listener = _listener(pool, actions)
    listener.on_fact(SEEN)
    await _until(lambda: never.looks >= 3)
    return pool, actions, never, listener


async def test_a_call_whose_trunk_leg_began_does_not_wait_until_its_dialer_has_said_all(redis_client: Redis) -> None:
    pool, actions, _, listener = await _waiting_for_all(redis_client)

    in_use = (await pool.snapshot()).states[State.IN_USE]
    listener.on_fact(_trunk("3125550000"))
    await listener.drain(5)

    assert in_use == 1
    assert actions.done == []
    assert (await pool.snapshot()).states[State.IN_USE] == 0


async def test_once_the_daemon_stops_nobody_waits_until_a_dialer_has_said_all(redis_client: Redis) -> None:
    _, actions, never, listener = await _waiting_for_all(redis_client)

    await listener.drain(0)
    looks = never.looks
    for _ in range(20):  # turns of the loop; it looked every second one
        await asyncio.sleep(0)

    assert never.looks == looks
    assert actions.done == []


async def test_without_a_campaign_nothing_is_asked_until_it_is_known(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)
    unknown = CallSeen(KEY, "auto", "912125550199", CHANNEL, "12345")

    await _tell(listener, unknown)
    before = list(actions.done)
    await _tell(listener, SEEN)

    assert before == []
    assert [step[0] for step in actions.done] == ["setvar"]


async def test_an_announced_call_finds_its_number_in_astdb_and_nothing_is_left_there(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)

    await _tell(listener, ANNOUNCED)
    waiting = dict(actions.astdb)
    await _tell(listener, SEEN, _trunk(NUMBER), ENDED)

    assert waiting == {CODE: NUMBER}
    assert [step[0] for step in actions.done] == ["put", "del"]
    assert actions.astdb == {}
    assert (await pool.snapshot()).live == 0


async def test_an_announced_call_that_cannot_be_put_still_has_its_number_when_the_dialplan_asks(
    redis_client: Redis,
) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    actions.is_away = True

    await _tell(_listener(pool, actions), ANNOUNCED)

    assert (await pool.live_calls(Dialer("d1")))[0].key.code == CODE


async def test_what_an_earlier_connection_left_in_astdb_is_swept_and_what_is_reserved_stays(
    redis_client: Redis,
) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)
    await _tell(listener, ANNOUNCED)
    actions.astdb["V9999999999999999999"] = "2125550009"

    listener.on_up()
    await _until(lambda: "V9999999999999999999" not in actions.astdb)
    await listener.drain(5)

    assert actions.astdb == {CODE: NUMBER}


async def test_an_asterisk_that_cannot_list_astdb_is_compared_once_all_the_same(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()
    listener = _listener(pool, actions)
    actions.cannot_list = True

    listener.on_up()
    await _until(lambda: actions.lists > 0)
    await asyncio.sleep(0.3)  # longer than the first pause before a comparison is tried again
    await listener.drain(5)

    assert actions.lists == 1


@pytest.mark.parametrize(("mode", "done"), [("observe", []), ("direct", [("number", CHANNEL, NUMBER)])])
async def test_the_other_modes_set_what_they_say(redis_client: Redis, mode: Mode, done: list[tuple[str, ...]]) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0)]), Actions()

    await _tell(_listener(pool, actions, mode), SEEN)

    assert actions.done == done
    assert (await pool.snapshot()).live == 1


async def test_mode_push_assigns_nothing_and_counts_what_was_shown_once_a_trunk(redis_client: Redis) -> None:
    pool, actions = await make_pool(redis_client, [caller_id(0, daily=1)]), Actions()
    listener = _listener(pool, actions, "push")

    await _tell(listener, ANNOUNCED, SEEN, _trunk(NUMBER), _trunk(NUMBER), ENDED)

    assert actions.done == []
    assert (await numbers_of(redis_client, pool.tag))[f"+1{NUMBER}"]["dn"] == 1
    assert (await pool.snapshot()).states[State.WAITING] == 1
