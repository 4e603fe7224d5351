"""The pool as a whole: counts, states, live calls.

Read in pages that keep Redis for half a millisecond each: a call that comes meanwhile waits for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from ami_rotator.domain.types import E164, Area, CallKey, Campaign, Dialer, Group, ReservationId, State
from ami_rotator.pool.store import PoolStore

DEMAND_INTERVAL_MS = 5_000
DEMAND_KEPT = 0.9
CALLS_PER_MINUTE = (1 - DEMAND_KEPT) * 60_000 / DEMAND_INTERVAL_MS
"""What a score of the demand means."""

_CALLS_AT_ONCE = 40
_LEAVES_AT_ONCE = 20
_POOLS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class WarmPool:
    """Caller-IDs held ready for one campaign and area, and how much that campaign and area is called."""

    campaign: Campaign
    area: Area
    depth: int
    calls_per_minute: float


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The pool at a glance. `states` has every state; `outbox` counts entries that the ledger has not stored yet."""

    states: Mapping[State, int]
    live: int
    warm: tuple[WarmPool, ...]
    outbox: int


@dataclass(frozen=True, slots=True)
class PoolPulse:
    """What a snapshot has but for the warm pools, of which there may be thousands."""

    states: Mapping[State, int]
    live: int
    outbox: int


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that holds a reservation. `trunk_uniqueid` is empty until a trunk leg was seen; times are by Redis' clock."""

    reservation: ReservationId
    key: CallKey
    trunk_uniqueid: str
    assigned_at_ms: int
    age_ms: int = 0


class PoolSurvey(PoolStore):
    """Looks at all of the pool, and removes what left the inventory."""

    async def numbers_by_state(self) -> dict[State, list[E164]]:
        """Return all caller-IDs by state. Reads everything: for once a minute, not for a call."""
        found: dict[State, list[E164]] = {state: [] for state in State}
        for group in await self.groups():
            for leaf in await self._leaves(group):
                for state in await self._states_with(f"{group}:{leaf}"):
                    key = f"{state.value}:{self.tag}:{group}:{leaf}"
                    found[state] += await self._guard(partial(self._redis.zrange, key, 0, -1))
        return found

    async def eligible(self, places: Sequence[tuple[Group, Area]]) -> list[int]:
        """Return how many caller-IDs of each group and area a call could have now."""
        if not places:
            return []
        return [int(count) for count in await self._run("eligible", *(word for place in places for word in place))]

    async def prune(self, generation: int) -> int:
        """Remove the caller-IDs that no `put` named since a generation; return how many. Live calls keep theirs."""
        gone = 0
        for group in await self.groups():
            for leaf in sorted(await self._leaves(group)):
                for state in await self._states_with(f"{group}:{leaf}"):
                    cursor = "0"
                    while True:
                        cursor, removed = await self._run("prune", generation, state.value, f"{group}:{leaf}", cursor)
                        gone += int(removed)
                        if cursor == "0":
                            break
        return gone

    async def _leaves(self, group: Group) -> set[str]:
        return set(await self._guard(lambda: self._redis.smembers(f"leaves:{self.tag}:{group}:")))

    async def _states_with(self, at: str) -> list[State]:
        async def read() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for state in State:
                    pipe.exists(f"{state.value}:{self.tag}:{at}")
                return list(await pipe.execute())

        return [state for state, exists in zip(State, await self._guard(read), strict=True) if exists]

    async def snapshot(self) -> PoolSnapshot:
        """Return the pool at a glance."""
        pulse = await self.pulse()
        return PoolSnapshot(pulse.states, pulse.live, await self.warm_pools(), pulse.outbox)

    async def pulse(self) -> PoolPulse:
        """Return what changes with every call."""

        async def read() -> list[int]:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zcard(f"expiries:{self.tag}")
                pipe.xlen(self.outbox_stream)
                return list(await pipe.execute())

        live, outbox = await self._guard(read)
        states = dict.fromkeys(State, 0)
        for group in await self.groups():
            for state, count in (await self.counts(group)).items():
                states[state] += count
        return PoolPulse(states, live, outbox)

    async def warm_pools(self) -> tuple[WarmPool, ...]:
        """Return all warm pools, also those that are called and hold nothing."""
        demand = await self._guard(lambda: self._redis.zrange(f"demand:{self.tag}", 0, -1, withscores=True))
        rate_of = {split_pool(pool): float(score) * CALLS_PER_MINUTE for pool, score in demand}
        depth_of = await self.depths()
        return tuple(WarmPool(*at, depth_of.get(at, 0), rate_of.get(at, 0.0)) for at in sorted({*depth_of, *rate_of}))

    async def depths(self) -> dict[tuple[Campaign, Area], int]:
        """Return how many caller-IDs each warm pool holds."""
        names = list(await self._guard(lambda: self._redis.smembers(f"pools:{self.tag}")))
        found: dict[tuple[Campaign, Area], int] = {}
        for start in range(0, len(names), _POOLS_AT_ONCE):
            page = names[start : start + _POOLS_AT_ONCE]
            depths = await self._run("depths", *page)
            found |= zip(map(split_pool, page), depths, strict=True)
        return found

    async def counts(self, group: Group) -> dict[State, int]:
        """Return how many caller-IDs of a group are in each state."""
        counts = dict.fromkeys(State, 0)
        leaves = list(await self._leaves(group))
        for start in range(0, len(leaves), _LEAVES_AT_ONCE):
            page = leaves[start : start + _LEAVES_AT_ONCE]
            found = await self._run("tally", group, len(State), *(state.value for state in State), *page)
            for state, count in zip(State, found, strict=True):
                counts[state] += int(count)
        return counts

    async def live_calls(self, dialer: Dialer) -> list[LiveCall]:
        """Return the calls of a dialer that have a live reservation."""
        ids = await self._guard(lambda: self._redis.zrange(f"expiries:{self.tag}", 0, -1))
        found = []
        for start in range(0, len(ids), _CALLS_AT_ONCE):
            now_ms, *records = await self._run("calls", *ids[start : start + _CALLS_AT_ONCE])
            for record in map(orjson.loads, records):
                if record["dialer"] == dialer:
                    at_ms = int(record["at"])
                    key = CallKey(dialer, record["code"], record["uniqueid"])
                    found.append(LiveCall(record["id"], key, record["tk"] or "", at_ms, int(now_ms) - at_ms))
        return found


def split_pool(pool: str) -> tuple[Campaign, Area]:
    """Return campaign and area of a warm pool's name."""
    campaign, _, area = pool.rpartition("|")
    return Campaign(campaign), Area(area)
