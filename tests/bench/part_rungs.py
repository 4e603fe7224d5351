"""What a long ladder costs: an assignment whose number is on the last of ten places to look, against the first of one."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, replace
from statistics import median

from redis.asyncio import Redis

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.geography import miles_between, north_america, places_of
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.types import E164, Area, Assignment, CallKey, CallRequest, Campaign, End, ReservationId, Rung
from ami_rotator.pool.policy_terms import terms_of
from ami_rotator.pool.question import Question
from tests.bench.context import Bench, FilledPool
from tests.bench.figures import Figure
from tests.bench.load import DIALER, code, inventory

PART = "rungs"
_RUNGS = (Rung.AREA, Rung.OVERLAY, Rung.NEIGHBOUR, Rung.STATE, Rung.ANY)
_CALLED = Area("212")
_EMPTY_MILES = 100
_PLACES = 10
_ROUNDS = 15
_TOGETHER = 16
_END = End("answered", 16, 200, 60_000)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of call: its policy and where it goes."""

    name: str
    policy: CampaignPolicy
    area: Area


async def run(bench: Bench) -> None:
    """Call an area that has nothing near it, and one that has numbers, from the same pool, in turns."""
    atlas = north_america()
    here = atlas[_CALLED]
    near = {
        area
        for area, facts in atlas.items()
        if miles_between(here, facts) < _EMPTY_MILES or here.states == facts.states
    }
    among = [area for area in sorted(atlas) if area not in near][: bench.size.areas]
    ten = next(
        policy
        for miles in range(1, _EMPTY_MILES)
        if len(steps(policy := CampaignPolicy(Campaign("TEN"), rungs=_RUNGS, neighbour_miles=miles), _CALLED))
        == _PLACES
    )
    one = CampaignPolicy(Campaign("ONE"), rungs=(Rung.AREA,))
    kinds = (
        _Kind("one", one, among[0]),
        _Kind("ten", ten, _CALLED),
        _Kind("ten, a policy", replace(ten, sticky_days=1), _CALLED),
        _Kind("one, a policy", replace(one, sticky_days=1), among[0]),
    )
    bench.say(f"{PART}: {bench.size.caller_ids:,} caller-IDs, {_PLACES} places to look")
    # Those of one area are enough for a round.
    calls = bench.size.caller_ids // bench.size.areas // 2
    spent: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    waited: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    async with bench.pool(0, among) as filled, bench.connections(1) as plain:
        items = [replace(item, places=places_of(item.area, _RUNGS)) for item in inventory(bench.size.caller_ids, among)]
        await filled.pool.put(items, 1)
        for turn in range(_ROUNDS):
            for number, kind in enumerate(kinds):
                took_us, each_s = await _round(filled, plain, kind, (turn * len(kinds) + number) * 10_000, calls)
                spent[kind.name].append(took_us)
                waited[kind.name].extend(each_s)
    us = {name: median(found) for name, found in spent.items()}
    ms = {name: median(found) * 1000 for name, found in waited.items()}
    bench.add(
        Figure(
            PART,
            f"Redis' time an assignment, the number on the last of {_PLACES} places",
            us["ten"],
            "µs",
            us["one"],
            "µs on the first of one",
            at_most=1.5,
            note=f"{bench.size.caller_ids:,} caller-IDs, one script each",
        ),
        Figure(
            PART,
            "the same under a policy (sticky)",
            us["ten, a policy"],
            "µs",
            us["one, a policy"],
            "µs on the first of one",
            at_most=1.5,
        ),
        Figure(PART, "what the caller waits, p50", ms["ten"], "ms", ms["one"], "ms on the first of one", at_most=1.5),
    )


async def _round(filled: FilledPool, plain: Redis, kind: _Kind, first: int, calls: int) -> tuple[float, list[float]]:
    """Assign so many calls; return Redis' µs for each, by its own count, and what each waited. Then release them."""
    ladder, terms = steps(kind.policy, kind.area), terms_of(kind.policy, frozenset())
    each_s: list[float] = []

    async def one(index: int) -> CallKey:
        key = CallKey(DIALER, code(1 + index))
        wanted = CallRequest(key, "", kind.policy.name, "ami")
        person = E164(f"+1{kind.area}{5_000_000 + index:07d}")
        began = time.perf_counter()
        found = await filled.pool.assign(
            Question(ReservationId(str(uuid.uuid4())), wanted, person, kind.area, ladder, terms)
        )
        each_s.append(time.perf_counter() - began)
        if not isinstance(found, Assignment) or found.rung is not kind.policy.rungs[-1]:
            raise LookupError(f"not what was to be measured: {found}")
        return key

    before_us = await _script_us(plain)
    keys: list[CallKey] = []
    for start in range(first, first + calls, _TOGETHER):
        keys += await asyncio.gather(*map(one, range(start, start + _TOGETHER)))
    took_us = await _script_us(plain) - before_us
    if took_us <= 0:
        raise LookupError("Redis counted no script and no function: what is measured runs otherwise now")
    for key in keys:
        await filled.pool.release(key, _END)
    return took_us / len(keys), each_s


async def _script_us(redis: Redis) -> float:
    told: dict[str, dict[str, float]] = await redis.info("commandstats")
    ran = [told[name]["usec"] for name in ("cmdstat_fcall", "cmdstat_evalsha") if name in told]
    return float(sum(ran))
