"""The pool of caller-IDs in Redis: every change is one script, one round trip, atomic, and safe to send twice."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from redis.exceptions import OutOfMemoryError, RedisClusterException, RedisError

from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import CampaignPolicy, policy_from_dict
from ami_rotator.domain.held import HeldCall
from ami_rotator.domain.ladder import Step
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
    Miss,
    ReservationId,
    Rung,
    State,
)
from ami_rotator.domain.windows import ZoneOffsets, zone_offsets
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.book import Book
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.flights import Flights
from ami_rotator.pool.policy_terms import ladder_text, warm_pool
from ami_rotator.pool.put_words import words_of
from ami_rotator.pool.scripts import Script, load_scripts

_PUT_AT_ONCE = 200
_CALLS_AT_ONCE = 200
_ZONE_HOLDS_S = 600.0
_BOOKS_KEPT_S = 600


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
class Confirmed:
    """What `confirm` found: the reservation, and whether the number shown was the one assigned."""

    status: str
    reservation: ReservationId | None = None
    caller_id: E164 | None = None


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that holds a reservation. `trunk_uniqueid` is empty until a trunk leg was seen; times are by Redis' clock."""

    reservation: ReservationId
    key: CallKey
    trunk_uniqueid: str
    assigned_at_ms: int
    age_ms: int = 0


DEMAND_INTERVAL_MS = 5_000
DEMAND_KEPT = 0.9
_CALLS_PER_MINUTE = (1 - DEMAND_KEPT) * 60_000 / DEMAND_INTERVAL_MS


class RedisPool:
    """The pool of one inventory. All methods raise PoolUnavailableError where Redis is away or too slow.

    `zone` is the time zone of the hourly and daily limits. Scripts take the time from Redis; the clock here only tells
    which offsets of the zone to send along.
    """

    def __init__(
        self,
        redis: RedisClient,
        inventory: str,
        zone: ZoneInfo,
        ttl_s: float,
        *,
        clock: Clock | None = None,
        scripts: Mapping[str, Script] | None = None,
    ) -> None:
        self.tag = "{" + inventory + "}"
        self.outbox_stream = f"outbox:{self.tag}"
        self.book = Book()
        self.ttl_ms = int(ttl_s * 1000)
        self._redis = redis
        self._flights = Flights(redis, self.tag)
        self._zone = zone
        self._clock = clock or SystemClock()
        self._scripts = scripts or load_scripts()
        self._offsets: tuple[str, str, str] = ("0", "0", "0")
        self._offsets_until_s = float("-inf")
        self._asked: Counter[str] = Counter()

    async def ping(self) -> None:
        """Check that Redis answers."""
        await self._guard(lambda: self._redis.ping())

    async def assign(
        self,
        reservation: ReservationId,
        request: CallRequest,
        destination: E164 | None,
        area: Area,
        steps: Sequence[Step],
        terms: str = "",
    ) -> Assignment | Miss:
        """Give a call its caller-ID, walking the steps in order; the same call gets the same answer.

        `reservation` is the id a new reservation will have: sending it twice makes one. `area` is the destination's; `terms`
        what the campaign's policy says beyond its ladder (`policy_terms.terms_of`).
        """
        key = request.key
        pool = warm_pool(request.campaign, area, steps)
        answer = await self._run(
            "assign",
            reservation,
            self.ttl_ms,
            *self.zone_args(),
            request.campaign,
            destination or "",
            request.dialled,
            key.dialer,
            key.code,
            key.uniqueid,
            request.agent,
            request.lead_id,
            request.source,
            pool,
            ladder_text(steps),
            terms,
        )
        if pool and answer[0] in ("new", "miss"):
            self._asked[pool] += 1
        if answer[0] == "miss":
            return Miss(answer[1], answer[2])
        status, found, caller_id, rung, group, found_area, carrier, meta, warm, at_ms, why = answer
        if found == reservation and status != "ended":
            self.book.note(
                HeldCall(
                    reservation=reservation,
                    at_ms=int(at_ms),
                    caller_id=caller_id,
                    campaign=request.campaign,
                    destination=destination or "",
                    dialled=request.dialled,
                    dialer=key.dialer,
                    code=key.code,
                    uniqueid=key.uniqueid,
                    agent=request.agent,
                    lead_id=request.lead_id,
                    source=request.source,
                    rung=rung,
                    group=group,
                    area=found_area,
                    was_warm=warm == "1",
                )
            )
        return Assignment(
            reservation=ReservationId(found),
            caller_id=E164(caller_id),
            # The same call with our own id is this very question, sent again after its answer was lost.
            is_new=status == "new" or (found == reservation and status == "same"),
            rung=Rung(rung),
            group=Group(group),
            area=Area(found_area),
            carrier=carrier,
            meta_json=meta,
            was_warm=warm == "1",
            ended=status == "ended",
            why=why,
        )

    async def confirm(self, key: CallKey, shown: str, trunk_uniqueid: str) -> Confirmed:
        """Record that a trunk leg showed a number (E.164, or as Asterisk had it; empty: unknown).

        Another number than the assigned one gives ours back at once, uncounted.
        """
        answer = await self._run(
            "confirm", key.dialer, key.code, key.uniqueid, shown, trunk_uniqueid, self.ttl_ms, *self.zone_args()
        )
        if answer[0] == "unknown":
            return Confirmed("unknown")
        return Confirmed(answer[0], ReservationId(answer[1]), E164(answer[2]))

    async def release(self, key: CallKey, end: End, reservation: ReservationId | None = None) -> E164 | None:
        """End a call's reservation, by id where it is known; return its caller-ID, None where there was none to end."""
        answer = await self._run(
            "release",
            reservation or "",
            key.dialer,
            key.code,
            key.uniqueid,
            end.outcome,
            end.cause,
            end.sip,
            end.talk_ms,
            int(end.dialled),
            *self.zone_args(),
        )
        if answer[0] == "unknown":
            return None
        self.book.strike(ReservationId(answer[1]))
        return E164(answer[2]) if answer[0] == "released" else None

    async def count_use(self, number: E164, trunk: str) -> bool:
        """Count a use that VICIdial chose itself, once a trunk leg (`trunk` names it); false where it is none of ours."""
        return bool(await self._run("count", number, trunk, *self.zone_args()))

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

    async def renew(self, reservations: Sequence[ReservationId]) -> list[ReservationId]:
        """Let reservations live on for a whole lifetime; return those that are no longer live."""
        return await self._run("renew", self.ttl_ms, *reservations) if reservations else []

    async def expire(self, most: int = 100) -> list[ReservationId]:
        """End reservations whose time is over; return them. Fewer than `most` means that none is left."""
        ended = [ReservationId(identity) for identity in await self._run("expire", most, *self.zone_args())]
        for identity in ended:
            self.book.strike(identity)
        return ended

    async def promote(self, group: Group, most: int = 200) -> int:
        """Bring back caller-IDs of a group whose waiting or resting is over; return how many."""
        return int(await self._run("promote", group, most, *self.zone_args()))

    async def warm(
        self, campaign: Campaign, area: Area, groups: Sequence[Group], depth: int, attestations: str = ""
    ) -> int:
        """Bring the warm pool of a campaign and area to a depth, as far as there are idle ones; return its depth.

        `attestations`: the levels that will do, such as `AB`; empty for all.
        """
        name = f"{campaign}|{area}"
        return int(await self._run("warm", name, depth, *self.zone_args(), area, attestations, *groups))

    async def demand(self, most: int) -> list[tuple[Campaign, Area, float]]:
        """Return campaign, area and calls a minute of the areas most asked for. Calling it lets old demand fade.

        What this process counted since the last time goes along; it is lost where Redis does not answer.
        """
        asked, self._asked = self._asked, Counter()
        words = (word for item in asked.items() for word in item)
        answer = await self._run("demand", DEMAND_INTERVAL_MS, DEMAND_KEPT, most, uuid.uuid4().hex, *words)
        return [
            (*_split_pool(pool), float(score) * _CALLS_PER_MINUTE)
            for pool, score in zip(answer[::2], answer[1::2], strict=True)
        ]

    async def command(self, name: str, *args: str | int | float) -> Any:
        """Run one of the scripts (pool/rebuild.py has some of its own)."""
        return await self._run(name, *args)

    async def leave_book(self, owner: str, text: bytes) -> None:
        """Leave a book for whoever brings the pool back, if this owner has left none yet."""

        async def write() -> None:
            if await self._redis.hsetnx(f"books:{self.tag}", owner, text):
                await self._redis.expire(f"books:{self.tag}", _BOOKS_KEPT_S)

        await self._guard(write)

    async def books(self) -> list[str]:
        """Return the books that were left."""
        return list(await self._guard(lambda: self._redis.hvals(f"books:{self.tag}")))

    async def groups(self) -> list[Group]:
        """Return the groups the pool knows."""
        return [Group(name) for name in await self._guard(lambda: self._redis.smembers(f"groups:{self.tag}"))]

    async def new_generation(self) -> int:
        """Return the number of a load of the inventory; each is higher than all before."""
        return int(await self._guard(lambda: self._redis.incr(f"generation:{self.tag}")))

    async def put(self, caller_ids: Sequence[CallerId], generation: int) -> int:
        """Insert or change caller-IDs, keeping their counters, last use and live calls; return how many were new."""
        new = 0
        await self._say_zones({item.timezone for item in caller_ids} - {""})
        for start in range(0, len(caller_ids), _PUT_AT_ONCE):
            words = [word for item in caller_ids[start : start + _PUT_AT_ONCE] for word in words_of(item)]
            new += int(await self._run("put", generation, *self.zone_args(), *words))
        return new

    async def remove(self, numbers: Sequence[E164]) -> int:
        """Take caller-IDs out; return how many went at once. A live call keeps its own to the end."""
        return int(await self._run("remove", *numbers)) if numbers else 0

    async def save_policies(self, policies: Mapping[Campaign, CampaignPolicy]) -> None:
        """Keep the campaigns' policies beside the caller-IDs, for a start while PostgreSQL is away."""
        kept: dict[Any, Any] = {name: orjson.dumps(policy.to_dict()) for name, policy in policies.items()}

        async def write() -> None:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(f"policies:{self.tag}")
                if kept:
                    pipe.hset(f"policies:{self.tag}", mapping=kept)
                await pipe.execute()

        await self._guard(write)

    async def policies(self) -> dict[Campaign, CampaignPolicy]:
        """Return the policies that were kept last."""
        kept = await self._guard(lambda: self._redis.hgetall(f"policies:{self.tag}"))
        return {Campaign(name): policy_from_dict(Campaign(name), orjson.loads(text)) for name, text in kept.items()}

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

    async def refresh_zones(self) -> None:
        """Say anew how far the time zones of caller-IDs are from UTC. Run it every hour, and after a start."""
        await self._say_zones(set(await self._guard(lambda: self._redis.hkeys(f"zones:{self.tag}"))))

    async def _say_zones(self, names: Set[str]) -> None:
        if not names:
            return
        now_s = self._clock.wall_ms() / 1000
        said: dict[Any, Any] = {}
        for name in names:
            offsets = zone_offsets(ZoneInfo(name), now_s)
            said[name] = f"{offsets.offset_s} {offsets.change_at_s} {offsets.next_offset_s}"
        await self._guard(lambda: self._redis.hset(f"zones:{self.tag}", mapping=said))

    async def snapshot(self) -> PoolSnapshot:
        """Return the pool at a glance."""
        pools = sorted(await self._guard(lambda: self._redis.smembers(f"pools:{self.tag}")))

        async def read() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zcard(f"expiries:{self.tag}")
                pipe.xlen(self.outbox_stream)
                pipe.zrange(f"demand:{self.tag}", 0, -1, withscores=True)
                for pool in pools:
                    pipe.zcard(f"pool:{self.tag}:{pool}")
                return list(await pipe.execute())

        live, outbox, demand, *counts = await self._guard(read)
        scores = {pool: float(score) * _CALLS_PER_MINUTE for pool, score in demand}
        depths: Iterator[int] = iter(counts)
        depth_of = {pool: next(depths) for pool in pools}
        states = dict.fromkeys(State, 0)
        for group in await self.groups():
            for state, count in (await self.counts(group)).items():
                states[state] += count
        warm = tuple(
            WarmPool(*_split_pool(pool), depth_of.get(pool, 0), scores.get(pool, 0.0))
            for pool in sorted(set(pools) | set(scores))
        )
        return PoolSnapshot(states, live, warm, outbox)

    async def counts(self, group: Group) -> dict[State, int]:
        """Return how many caller-IDs of a group are in each state. Read in pages, so that no call waits for it."""
        counts = dict.fromkeys(State, 0)
        seen: set[str] = set()
        cursor = "0"
        while True:
            cursor, leaves, *found = await self._run("tally", group, cursor, *(state.value for state in State))
            if not seen.intersection(leaves):  # a set that grows meanwhile may name a leaf twice
                for state, count in zip(State, found, strict=True):
                    counts[state] += int(count)
            seen.update(leaves)
            if cursor == "0":
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

    def zone_args(self) -> tuple[str, str, str]:
        """Return what scripts must know of the zone (domain/windows.py)."""
        now = self._clock.monotonic_s()
        if now >= self._offsets_until_s:
            offsets: ZoneOffsets = zone_offsets(self._zone, self._clock.wall_ms() / 1000)
            self._offsets = (str(offsets.offset_s), str(offsets.change_at_s), str(offsets.next_offset_s))
            self._offsets_until_s = now + _ZONE_HOLDS_S
        return self._offsets

    async def _run(self, name: str, *args: str | int | float) -> Any:
        return await self._guard(lambda: self._flights.run(self._scripts[name], *args))

    async def _guard(self, call: Callable[[], Any]) -> Any:
        try:
            return await call()
        except OutOfMemoryError as error:
            raise PoolUnavailableError(
                f"Redis is full and takes nothing more ({error}). Calls keep VICIdial's own caller-ID until there is room."
                " See whether PostgreSQL is away (records then wait in Redis), and give Redis more memory (maxmemory)."
            ) from error
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            raise PoolUnavailableError(
                f"Redis did not answer ({type(error).__name__}: {error}). Calls keep VICIdial's own caller-ID until it "
                "does. Check that it runs, and REDIS_URL."
            ) from error


def _split_pool(pool: str) -> tuple[Campaign, Area]:
    campaign, _, area = pool.rpartition("|")
    return Campaign(campaign), Area(area)
