"""Whatever inventory, ladder and destinations: no rung is skipped, and no number is found where it is not."""

from __future__ import annotations

import uuid
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import Step, steps
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import E164, Area, Assignment, Campaign, Group, Miss, ReservationId, Rung
from tests.support.pool_checks import violations
from tests.support.pool_setup import call, caller_id, make_pool

GROUPS = [Group("east"), Group("west"), Group("spare")]
AREAS = ["212", "646", "917", "718", "201", "914", "716", "617", "404", "312", "213", "604", "236", "867", "800", "555"]
ABROAD = CallerId(E164("+442071230000"), Area("+4420"), Group("east"), 100, 1000, 0)

numbers = st.lists(st.tuples(st.sampled_from(AREAS), st.sampled_from(GROUPS), st.booleans()), max_size=14)
rung_lists = st.lists(st.sampled_from(list(Rung)), min_size=1, unique=True).map(tuple)
people = st.lists(
    st.sampled_from([*(f"+1{area}5559999" for area in AREAS), "+442071239999", ""]), min_size=1, max_size=16
)


def inventory(drawn: list[tuple[str, Group, bool]], rungs: tuple[Rung, ...]) -> list[CallerId]:
    """Return caller-IDs filed as the database has them; some are switched off."""
    items = [
        replace(caller_id(index, area=area, group=group), switch="disabled" if is_off else "active")
        for index, (area, group, is_off) in enumerate(drawn)
    ]
    return [replace(item, places=places_of(item.area, rungs)) for item in (*items, ABROAD)]


def is_there(item: CallerId, step: Step) -> bool:
    return item.group == step.group and step.place in ("", item.area, *item.places)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=numbers, rungs=rung_lists, destinations=people, second=st.booleans())
async def test_the_nearest_rung_with_an_eligible_number_gives_it(
    redis_client: Redis,
    drawn: list[tuple[str, Group, bool]],
    rungs: tuple[Rung, ...],
    destinations: list[str],
    second: bool,
) -> None:
    items = inventory(drawn, rungs)
    pool = await make_pool(redis_client, items)
    groups = (GROUPS[0], GROUPS[1]) if second else (GROUPS[0],)
    policy = CampaignPolicy(Campaign("SALES"), groups, rungs, (GROUPS[2],))
    free = {item.number: item for item in items if item.switch == "active"}

    for turn, person in enumerate(destinations):
        destination = E164(person) if person else None
        area = area_of(destination) if destination else Area("")
        ladder = steps(policy, area)
        expected = next((step for step in ladder if any(is_there(item, step) for item in free.values())), None)

        found = await pool.assign(ReservationId(str(uuid.uuid4())), call(turn + 1), destination, area, ladder)

        if expected is None:
            assert isinstance(found, Miss)
        else:
            assert isinstance(found, Assignment)
            assert (found.rung, found.group) == (expected.rung, expected.group)
            assert is_there(free.pop(found.caller_id), expected)
    assert await violations(redis_client, pool.tag) == []
