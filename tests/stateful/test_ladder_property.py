"""Whatever inventory, ladder, policy and calls: no rung is skipped, and no number is found where it is not."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from ami_rotator.domain.caller_id import Attestation, CallerId, Switch
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import Step, steps
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import E164, Area, Assignment, CallKey, Campaign, End, Group, Miss, ReservationId, Rung
from ami_rotator.pool.policy_terms import attestations_from, terms_of
from ami_rotator.pool.question import Question
from tests.support.pool_checks import violations
from tests.support.pool_setup import call, caller_id, make_pool

GROUPS = [Group("east"), Group("west"), Group("spare")]
AREAS = ["212", "646", "917", "718", "201", "914", "716", "617", "404", "312", "213", "604", "236", "867", "800", "555"]
CITIES = ["", "New York", "Albany"]
ABROAD = CallerId(E164("+442071230000"), Area("+4420"), Group("east"), 100, 1000, 0)
OVERFLOW_CALLS = 2

numbers = st.lists(
    st.tuples(
        st.sampled_from(AREAS),
        st.sampled_from(GROUPS),
        st.sampled_from(CITIES),
        st.sampled_from(["active", "active", "active", "resting", "disabled"]),
        st.sampled_from(["", "C", "B", "A"]),
        st.integers(1, 3),
    ),
    max_size=14,
)
rung_lists = st.lists(st.sampled_from(list(Rung)), min_size=1, unique=True).map(tuple)
# A whole number instead of a person: one of our own numbers is called, and is never shown to itself.
people = st.one_of(st.sampled_from([*(f"+1{area}5559999" for area in AREAS), "+442071239999", ""]), st.integers(0, 14))
turns = st.lists(st.tuples(people, st.sampled_from(CITIES), st.booleans()), min_size=1, max_size=20)
policies = st.builds(
    CampaignPolicy,
    name=st.just(Campaign("SALES")),
    groups=st.sampled_from([(GROUPS[0],), (GROUPS[0], GROUPS[1])]),
    rungs=rung_lists,
    next_groups=st.just((GROUPS[2],)),
    attestation_min=st.sampled_from(["", "", "B"]),
    exhaustion=st.sampled_from(["next_rung", "next_rung", "keep_own", "refuse", "overflow"]),
    overflow_percent=st.just(100),
    overflow_concurrent=st.just(OVERFLOW_CALLS),
)


@dataclass
class Number:
    """The model of one caller-ID: calls that are up, and uses in the hour."""

    item: CallerId
    live: int = 0
    used: int = 0

    def is_at(self, step: Step) -> bool:
        item = self.item
        return item.group == step.group and step.place in ("", item.area, *item.places)

    def is_free(self) -> bool:
        return self.item.switch == "active" and self.live == 0 and self.used < self.item.hourly_limit

    def may_overflow(self) -> bool:
        is_up = self.item.switch == "active" and 0 < self.live < OVERFLOW_CALLS
        return is_up and self.used < self.item.hourly_limit


def inventory(drawn: list[tuple[str, Group, str, Switch, Attestation, int]], rungs: tuple[Rung, ...]) -> list[Number]:
    """Return caller-IDs filed as the database has them."""
    items = [
        replace(
            caller_id(index, area=area, group=group, hourly=hourly),
            switch=switch,
            attestation=attestation,
            places=places_of(Area(area), rungs, city),
        )
        for index, (area, group, city, switch, attestation, hourly) in enumerate(drawn)
    ]
    return [*map(Number, items), Number(replace(ABROAD, places=places_of(ABROAD.area, rungs)))]


def expected(
    policy: CampaignPolicy, ladder: tuple[Step, ...], stock: list[Number], person: E164 | None
) -> tuple[str, ...]:
    """Say what the ladder gives: rung, group and how; only a reason where it gives nothing."""
    allowed = attestations_from(policy.attestation_min)
    ours = [one for one in stock if not allowed or one.item.attestation in [*allowed]]
    is_settled = policy.exhaustion == "next_rung"
    for rung, of_rung in groupby(ladder, key=lambda step: step.rung):
        places = list(of_rung)
        for step in places:
            if any(one.is_at(step) and one.is_free() and one.item.number != person for one in ours):
                return (rung.value, step.group, "free")
        there = [one for one in ours if any(one.is_at(step) for step in places) and one.item.switch != "disabled"]
        if is_settled or not there:
            continue
        is_settled = True
        if policy.exhaustion != "overflow":
            break
        if any(one.may_overflow() and one.item.number != person for one in there):
            return (rung.value, "", "overflow")
    if not ladder:
        return ("no_groups",)
    return ("refused" if policy.exhaustion == "refuse" else "none_free",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=numbers, policy=policies, calls=turns)
async def test_the_nearest_rung_with_an_eligible_number_gives_it(
    redis_client: Redis, drawn: list[Any], policy: CampaignPolicy, calls: list[tuple[str | int, str, bool]]
) -> None:
    stock = inventory(drawn, policy.rungs)
    by_number = {one.item.number: one for one in stock}
    pool = await make_pool(redis_client, [one.item for one in stock], test_clock=True)
    up: list[tuple[CallKey, Number]] = []

    for turn, (dialled, city, ends_one) in enumerate(calls):
        called = stock[dialled % len(stock)].item.number if isinstance(dialled, int) else dialled
        person = E164(called) if called else None
        area = area_of(person) if person else Area("")
        ladder = steps(policy, area, city if area == "212" else "")
        wanted = expected(policy, ladder, stock, person)
        request = call(turn + 1)

        found = await pool.assign(
            Question(ReservationId(str(uuid.uuid4())), request, person, area, ladder, terms_of(policy, frozenset()))
        )

        if isinstance(found, Miss):
            assert wanted == (found.reason,)
        else:
            assert isinstance(found, Assignment)
            assert found.caller_id != person
            given_one = by_number[found.caller_id]
            assert wanted == (found.rung.value, found.group if found.why == "free" else "", found.why)
            assert any(given_one.is_at(step) for step in ladder if step.rung == found.rung)
            given_one.live, given_one.used = given_one.live + 1, given_one.used + 1
            up.append((request.key, given_one))
        if ends_one and up:
            key, ended = up.pop(0)
            await pool.release(key, End("answered"))
            ended.live -= 1
    assert await violations(redis_client, pool.tag) == []
