"""The pool against a model of it, on a real Valkey, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from ami_rotator.domain.caller_id import NO_LIMIT, CallerId, Switch
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
    End,
    Group,
    ReservationId,
    Rung,
)
from ami_rotator.pool.question import Question
from ami_rotator.pool.redis_pool import RedisPool, WarmOrder
from ami_rotator.pool.scripts import load_scripts
from tests.support.pool_checks import TEST_CLOCK, numbers_of, violations
from tests.support.pool_setup import open_pool

TTL_S = 60
AREAS = ("212", "917")
PLACES = ("state:US-NY",)
GROUPS = ("east", "west")
CAMPAIGNS = {
    "ONE": CampaignPolicy(Campaign("ONE"), (Group("east"), Group("west")), (Rung.AREA, Rung.STATE, Rung.ANY)),
    "TWO": CampaignPolicy(Campaign("TWO"), (Group("east"),)),
}


@dataclass
class Number:
    """The model of one caller-ID."""

    item: CallerId
    last_used: int = 0
    cool_until: int = 0
    uses: list[tuple[str, int]] = field(default_factory=list)
    holders: set[str] = field(default_factory=set)
    pool: str = ""

    def eligible(self, now: int) -> bool:
        """Tell whether a call may have it now."""
        item = self.item
        minute = sum(1 for _, at in self.uses if at // 60_000 == now // 60_000)
        hour = sum(1 for _, at in self.uses if at // 3_600_000 == now // 3_600_000)
        day = sum(1 for _, at in self.uses if at // 86_400_000 == now // 86_400_000)
        resting = item.switch == "resting" and (item.resting_until_ms == 0 or item.resting_until_ms > now)
        return (
            item.switch != "disabled"
            and not resting
            and len(self.holders) < item.max_concurrent
            and self.cool_until <= now
            and minute < item.minute_limit
            and hour < item.hourly_limit
            and day < item.daily_limit
        )


@dataclass
class Call:
    """The model of one reservation."""

    request: CallRequest
    identity: str
    number: str
    at: int
    expires: int
    held: bool = True
    trunk: str = ""


class PoolMachine(RuleBasedStateMachine):
    """Random commands to the real pool and to the model; they must agree after each."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = self.run(self._connect(url))
        self.inventory = uuid.uuid4().hex[:12]
        scripts = load_scripts({"clock": TEST_CLOCK})
        self.pool = RedisPool(self.redis, self.inventory, ZoneInfo("UTC"), TTL_S, scripts=scripts)
        self.now = 1_700_000_000_000
        self.numbers: dict[str, Number] = {}
        self.calls: dict[str, Call] = {}
        self.ended: dict[str, Call] = {}
        self.serial = 0
        self.set_clock(0)
        self.run(open_pool(self.pool))

    @staticmethod
    async def _connect(url: str) -> Redis:
        return Redis.from_url(url, decode_responses=True)

    def run(self, step: Any) -> Any:
        return self.runner.run(_with_deadline(step))

    def teardown(self) -> None:
        self.run(self.redis.aclose())
        self.runner.close()

    def set_clock(self, forward_ms: int) -> None:
        self.now += forward_ms
        self.run(self.redis.set(f"test-clock:{self.pool.tag}", self.now))

    @initialize(
        limits=st.lists(
            st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 2), st.sampled_from([1, 2, NO_LIMIT])),
            min_size=6,
            max_size=6,
        )
    )
    def fill(self, limits: list[tuple[int, int, int, int]]) -> None:
        for index, (hourly, daily, concurrent, minute) in enumerate(limits):
            area = AREAS[index % 2]
            item = CallerId(
                E164(f"+1{area}55501{index:02d}"), Area(area), Group(GROUPS[index // 3]), hourly, daily, 20, concurrent
            )
            item = replace(item, minute_limit=minute, places=PLACES)
            self.numbers[item.number] = Number(item)
        self.run(self.pool.put([number.item for number in self.numbers.values()], 1))

    @rule(campaign=st.sampled_from(sorted(CAMPAIGNS)), area=st.sampled_from([*AREAS, "305"]))
    def assign_new(self, campaign: str, area: str) -> None:
        self.serial += 1
        key = CallKey(Dialer("d"), f"V{self.serial:019d}", f"17.{self.serial}")
        request = CallRequest(key, f"9{area}5550199", Campaign(campaign), "ami")
        expected = self._expected(campaign, area)
        identity = str(uuid.uuid4())

        answer = self.run(self._assign(identity, request, area))

        if expected is None:
            assert not isinstance(answer, Assignment)
            return
        assert isinstance(answer, Assignment)
        assert (answer.caller_id, answer.is_new, answer.reservation) == (expected, True, identity)
        number = self.numbers[expected]
        number.pool = ""
        number.holders.add(identity)
        number.uses.append((identity, self.now))
        number.last_used = self.now
        self.calls[key.code] = Call(request, identity, expected, self.now, self.now + TTL_S * 1000)
        self.set_clock(1)

    @rule(data=st.data(), by=st.sampled_from(["code", "uniqueid", "both"]), area=st.sampled_from(AREAS))
    def assign_again(self, data: st.DataObject, by: str, area: str) -> None:
        call = self._some(data, self.calls | self.ended)
        if call is None:
            return
        key = call.request.key
        asked = {
            "code": replace(key, uniqueid=""),
            "uniqueid": replace(key, code=""),
            "both": key,
        }[by]

        answer = self.run(self._assign(str(uuid.uuid4()), replace(call.request, key=asked), area))

        assert isinstance(answer, Assignment)
        assert (answer.caller_id, answer.is_new, answer.reservation) == (call.number, False, call.identity)

    @rule(data=st.data(), own=st.booleans())
    def confirm(self, data: st.DataObject, own: bool) -> None:
        call = self._some(data, self.calls)
        if call is None:
            return
        trunk = f"trunk.{call.identity}"
        shown = call.number if own else "+13125550000"

        self.run(self.pool.confirm(call.request.key, shown, trunk))

        call.expires = self.now + TTL_S * 1000
        if call.trunk != trunk:
            call.trunk = trunk
            if not own:
                self._give_back(call, used=False)
                call.held = False

    @rule(data=st.data(), dialled=st.booleans(), twice=st.booleans())
    def release(self, data: st.DataObject, dialled: bool, twice: bool) -> None:
        call = self._some(data, self.calls)
        if call is None:
            return
        end = End("answered" if dialled else "not_dialled", dialled=dialled)

        first = self.run(self.pool.release(call.request.key, end))
        again = self.run(self.pool.release(call.request.key, end)) if twice else None

        assert (first, again) == (call.number, None)
        self._end(call, used=dialled)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        call = self._some(data, self.calls | self.ended)
        if call is None:
            return
        gone = self.run(self.pool.renew([ReservationId(call.identity)]))

        is_live = call.request.key.code in self.calls
        assert gone == ([] if is_live else [call.identity])
        if is_live:
            call.expires = self.now + TTL_S * 1000

    @rule(seconds=st.sampled_from([1, 5, 19, 21, 59, 61, 600, 3600, 86400]))
    def pass_time(self, seconds: int) -> None:
        self.set_clock(seconds * 1000)
        ended = set(self.run(self.pool.expire(100)))
        over = {call.identity for call in self.calls.values() if call.expires <= self.now}
        assert ended == over
        for call in [call for call in self.calls.values() if call.identity in over]:
            self._end(call, used=True)
        for group in GROUPS:
            self.run(self.pool.promote(Group(group), 100))

    @rule(campaign=st.sampled_from(sorted(CAMPAIGNS)), area=st.sampled_from(AREAS), depth=st.integers(0, 3))
    def warm(self, campaign: str, area: str, depth: int) -> None:
        name = f"{campaign}|{area}"
        mine = sorted((n for n in self.numbers.values() if n.pool == name), key=_order)
        for number in mine[depth:]:
            number.pool = ""
        mine = mine[:depth]
        for group in CAMPAIGNS[campaign].groups:
            free = [n for n in self._free(group, area) if not n.pool]
            # The script looks at the first few idle ones and passes over those that share a live call.
            for number in sorted(free, key=_order)[: max(0, depth - len(mine))]:
                if not number.holders:
                    number.pool = name
                    mine.append(number)

        order = WarmOrder(Campaign(campaign), Area(area), CAMPAIGNS[campaign].groups, depth)
        (reached,) = self.run(self.pool.warm(order))

        assert reached.depth == len(mine)

    @rule(
        data=st.data(),
        switch=st.sampled_from(["active", "active", "resting", "disabled"]),
        hourly=st.integers(0, 5),
        group=st.sampled_from(GROUPS),
    )
    def edit(self, data: st.DataObject, switch: Switch, hourly: int, group: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.numbers.values(), key=lambda n: n.item.number)))
        until = self.now + 30_000 if switch == "resting" else 0
        used = sum(1 for _, at in number.uses if at // 3_600_000 == self.now // 3_600_000)
        if group != number.item.group:
            number.pool = ""
        number.item = replace(
            number.item,
            switch=switch,
            resting_until_ms=until,
            # A limit below what is used already is legal, and is not an overrun: the model keeps it out of the check.
            hourly_limit=max(hourly, used) if hourly else 0,
            group=Group(group),
        )
        if number.item.hourly_limit == 0 and used:
            number.item = replace(number.item, hourly_limit=used)

        self.run(self.pool.put([number.item], 2))

        if not number.eligible(self.now):
            number.pool = ""

    @invariant()
    def rules_hold(self) -> None:
        assert self.run(violations(self.redis, self.pool.tag)) == []

    @invariant()
    def model_agrees(self) -> None:
        callers = self.run(numbers_of(self.redis, self.pool.tag))
        for name, number in self.numbers.items():
            caller = callers[name]
            assert int(caller["n"]) == len(number.holders), name
            assert caller["pl"] == number.pool, name
            assert (caller["st"] in ("idle", "warm")) == number.eligible(self.now), (name, caller, number)

    def _free(self, group: str, area: str) -> list[Number]:
        return [
            n
            for n in self.numbers.values()
            if n.item.group == group and area in ("", n.item.area, *n.item.places) and n.eligible(self.now)
        ]

    def _expected(self, campaign: str, area: str) -> str | None:
        mine = [n for n in self.numbers.values() if n.pool == f"{campaign}|{area}" and n.eligible(self.now)]
        if mine:
            return min(mine, key=_order).item.number
        for step in steps(CAMPAIGNS[campaign], Area(area)):
            free = self._free(step.group, step.place)
            for pick in ([n for n in free if not n.pool], [n for n in free if n.pool]):
                if pick:
                    return min(pick, key=_order).item.number
        return None

    def _give_back(self, call: Call, *, used: bool) -> None:
        number = self.numbers[call.number]
        number.holders.discard(call.identity)
        if used:
            number.cool_until = self.now + number.item.cooldown_s * 1000
        else:
            number.uses = [use for use in number.uses if use[0] != call.identity]

    def _end(self, call: Call, *, used: bool) -> None:
        if call.held:
            self._give_back(call, used=used)
        del self.calls[call.request.key.code]
        self.ended[call.request.key.code] = call

    def _some(self, data: st.DataObject, calls: dict[str, Call]) -> Call | None:
        return calls[data.draw(st.sampled_from(sorted(calls)))] if calls else None

    async def _assign(self, identity: str, request: CallRequest, area: str) -> Any:
        policy = CAMPAIGNS[request.campaign]
        destination = E164(f"+1{area}5550199")
        return await self.pool.assign(
            Question(ReservationId(identity), request, destination, Area(area), steps(policy, Area(area)))
        )


def _order(number: Number) -> tuple[int, str]:
    return (number.last_used, number.item.number)


async def _with_deadline(step: Any) -> Any:
    async with asyncio.timeout(5):
        return await step


def test_the_pool_agrees_with_its_model_whatever_is_asked(redis_url: str) -> None:
    class Machine(PoolMachine):
        def __init__(self) -> None:
            super().__init__(redis_url)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
