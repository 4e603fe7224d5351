"""The pool of caller-IDs in Redis: every change is one script, one round trip, atomic, and safe to send twice."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from ami_rotator.cancellation import two_at_a_time
from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import CampaignPolicy, policy_from_dict
from ami_rotator.domain.types import (
    E164,
    Area,
    Assignment,
    CallKey,
    Campaign,
    End,
    Group,
    Miss,
    ReservationId,
)
from ami_rotator.domain.windows import zone_named, zone_offsets
from ami_rotator.pool.flights import Words
from ami_rotator.pool.policy_terms import warm_pool
from ami_rotator.pool.put_words import words_of
from ami_rotator.pool.question import Question, read_answer
from ami_rotator.pool.survey import (
    CALLS_PER_MINUTE,
    DEMAND_INTERVAL_MS,
    DEMAND_KEPT,
    LiveCall,
    PoolSnapshot,
    PoolSurvey,
    WarmPool,
    split_pool,
)

__all__ = [
    "DEMAND_INTERVAL_MS",
    "DEMAND_KEPT",
    "Confirmed",
    "LiveCall",
    "PoolSnapshot",
    "Put",
    "RedisPool",
    "WarmOrder",
    "WarmPool",
    "Warmed",
]

MOVES_MOST = 8
"""How many caller-IDs of a warm pool move in one script run: Redis serves nobody else meanwhile, some half a millisecond."""

_PUT_AT_ONCE = 64
_COUNTS_AT_ONCE = 100
_BOOKS_KEPT_S = 600


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What `confirm` found: the reservation, and whether the number shown was the one assigned."""

    status: str
    reservation: ReservationId | None = None
    caller_id: E164 | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """What `put` found: how many caller-IDs the pool had not, and how many it had otherwise than they are now."""

    new: int
    different: int


class WarmOrder(NamedTuple):
    """How deep a warm pool shall be, and where its caller-IDs come from. A depth of 0 closes it.

    `attestations`: the levels that will do, such as `AB`; empty for all.
    """

    campaign: Campaign
    area: Area
    groups: Sequence[Group]
    depth: int
    attestations: str = ""

    def words(self) -> tuple[str | int, ...]:
        """Return what the script `warm` is told of it."""
        name = f"{self.campaign}|{self.area}"
        return (name, self.depth, self.area, self.attestations, len(self.groups), *self.groups)


class Warmed(NamedTuple):
    """How deep a warm pool is now, and how many caller-IDs moved: none where all that there are were there already."""

    depth: int
    moved: int


class RedisPool(PoolSurvey):
    """The pool of one inventory. All methods raise PoolUnavailableError where Redis is away or too slow.

    `zone` is the time zone of the hourly and daily limits. Scripts take the time from Redis; the clock here only tells
    which offsets of the zone to send along.
    """

    async def assign(self, question: Question) -> Assignment | Miss:
        """Give a call its caller-ID, walking the steps in order; the same call gets the same answer."""
        return self._given(question, await self._ask("assign", *self._words(question)))

    def assign_then(self, question: Question, then: Callable[[Assignment | Miss | Exception], None]) -> None:
        """As `assign`: `then` is called as soon as the answer is here, with a PoolUnavailableError where there is none."""
        self._ask_then("assign", self._words(question), lambda answer: self._given(question, answer), then)

    def _words(self, question: Question) -> tuple[str | int | float, ...]:
        request = question.request
        key = request.key
        return (
            question.reservation,
            self.ttl_ms,
            request.campaign,
            question.destination or "",
            request.dialled,
            key.dialer,
            key.code,
            key.uniqueid,
            request.agent,
            request.lead_id,
            request.source,
            warm_pool(request.campaign, question.area, question.steps),
            self._ladder_text(question.steps),
            question.terms,
            self.server,
        )

    def _given(self, question: Question, answer: Sequence[Any]) -> Assignment | Miss:
        pool = warm_pool(question.request.campaign, question.area, question.steps)
        if pool and answer[0] in ("new", "miss"):
            self._asked[pool] += 1
        found, held = read_answer(question, answer)
        if held is not None:
            self.book.note(held)
        return found

    async def confirm(self, key: CallKey, shown: str, trunk_uniqueid: str) -> Confirmed:
        """Record that a trunk leg showed a number (E.164, or as Asterisk had it; empty: unknown).

        Another number than the assigned one gives ours back at once, uncounted.
        """
        words = (key.dialer, key.code, key.uniqueid, shown, trunk_uniqueid, self.ttl_ms)
        return self._confirmed(await self._ask("confirm", *words), shown, trunk_uniqueid)

    def confirm_then(
        self, key: CallKey, shown: str, trunk_uniqueid: str, then: Callable[[Confirmed | Exception], None]
    ) -> None:
        """As `confirm`; `then` as for `assign_then`."""
        words = (key.dialer, key.code, key.uniqueid, shown, trunk_uniqueid, self.ttl_ms)
        self._ask_then("confirm", words, lambda answer: self._confirmed(answer, shown, trunk_uniqueid), then)

    def _confirmed(self, answer: Sequence[Any], shown: str, trunk_uniqueid: str) -> Confirmed:
        if answer[0] == "unknown":
            return Confirmed("unknown")
        self.book.note_shown(ReservationId(answer[1]), trunk_uniqueid, shown)
        return Confirmed(answer[0], ReservationId(answer[1]), E164(answer[2]))

    async def release(self, key: CallKey, end: End, reservation: ReservationId | None = None) -> E164 | None:
        """End a call's reservation, by id where it is known; return its caller-ID, None where there was none to end."""
        answer = await self._ask("release", *_release_words(key, end, reservation))
        return self._released(answer, key, end)

    def release_then(self, key: CallKey, end: End, then: Callable[[E164 | Exception | None], None]) -> None:
        """As `release`; `then` as for `assign_then`."""
        self._ask_then("release", _release_words(key, end), lambda answer: self._released(answer, key, end), then)

    def _released(self, answer: Sequence[Any], key: CallKey, end: End) -> E164 | None:
        if answer[0] == "unknown":
            return None
        self.book.strike(ReservationId(answer[1]), key, end)
        return E164(answer[2]) if answer[0] == "released" else None

    async def count_use(self, number: E164, trunk: str) -> bool:
        """Count a use that VICIdial chose itself, once a trunk leg (`trunk` names it); false where it is none of ours."""
        return bool(await self._run("count", number, trunk, *self.zone_args()))

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

    async def warm(self, *orders: WarmOrder) -> list[Warmed]:
        """Bring warm pools to their depths, as far as there are idle ones.

        At most `MOVES_MOST` caller-IDs of each move: more takes another run.
        """
        words = (word for order in orders for word in order.words())
        return [Warmed(*map(int, one)) for one in await self._run("warm", *self.zone_args(), MOVES_MOST, *words)]

    async def demand(self, most: int) -> list[tuple[Campaign, Area, float]]:
        """Return campaign, area and calls a minute of the areas most asked for. Calling it lets old demand fade.

        What this process counted since the last time goes along; it is lost where Redis does not answer.
        """
        asked, self._asked = self._asked, Counter()
        counts = list(asked.items())
        for start in range(0, len(counts) or 1, _COUNTS_AT_ONCE):
            words = (word for count in counts[start : start + _COUNTS_AT_ONCE] for word in count)
            await self._run("demand", DEMAND_INTERVAL_MS, DEMAND_KEPT, uuid.uuid4().hex, *words)
        key = f"demand:{self.tag}"
        scores = await self._guard(lambda: self._redis.zrevrange(key, 0, most - 1, withscores=True))
        return [(*split_pool(pool), float(score) * CALLS_PER_MINUTE) for pool, score in scores]

    async def leave_book(self, owner: str, text: Callable[[], bytes]) -> None:
        """Leave a book for whoever brings the pool back, if this owner has left none yet."""

        async def write() -> None:
            if await self._redis.hexists(f"books:{self.tag}", owner):
                return
            if await self._redis.hsetnx(f"books:{self.tag}", owner, text()):
                await self._redis.expire(f"books:{self.tag}", _BOOKS_KEPT_S)

        await self._guard(write)

    async def books(self) -> list[str]:
        """Return the books that were left."""
        return list(await self._guard(lambda: self._redis.hvals(f"books:{self.tag}")))

    async def new_generation(self) -> int:
        """Return the number of a load of the inventory; each is higher than all before."""
        return int(await self._guard(lambda: self._redis.incr(f"generation:{self.tag}")))

    async def put(self, caller_ids: Sequence[CallerId], generation: int) -> Put:
        """Insert or change caller-IDs, keeping their counters, last use and live calls."""
        await self._say_zones({item.timezone for item in caller_ids} - {""})

        counts: list[tuple[int, int]] = []

        async def put(items: Sequence[CallerId]) -> None:
            words = [word for item in items for word in words_of(item)]
            new, different = await self._run("put", generation, *self.zone_args(), *words)
            counts.append((int(new), int(different)))

        # While Redis works at some, the next are made ready.
        starts = range(0, len(caller_ids), _PUT_AT_ONCE)
        await two_at_a_time((caller_ids[start : start + _PUT_AT_ONCE] for start in starts), put)
        return Put(sum(new for new, _ in counts), sum(different for _, different in counts))

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

    async def refresh_zones(self) -> None:
        """Say anew how far the time zones of caller-IDs are from UTC. Run it every hour, and after a start."""
        await self._say_zones(set(await self._guard(lambda: self._redis.hkeys(f"zones:{self.tag}"))))

    async def _say_zones(self, names: Set[str]) -> None:
        if not names:
            return
        now_s = self._clock.wall_ms() / 1000
        said: dict[Any, Any] = {}
        for name in names:
            zone = zone_named(name)
            if zone is not None:
                offsets = zone_offsets(zone, now_s)
                said[name] = f"{offsets.offset_s} {offsets.change_at_s} {offsets.next_offset_s}"
        if said:
            await self._guard(lambda: self._redis.hset(f"zones:{self.tag}", mapping=said))


def _release_words(key: CallKey, end: End, reservation: ReservationId | None = None) -> Words:
    return (
        reservation or "",
        key.dialer,
        key.code,
        key.uniqueid,
        end.outcome,
        end.cause,
        end.sip,
        end.talk_ms,
        int(end.dialled),
    )
