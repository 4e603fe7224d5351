"""Look into the pool for people: where caller-IDs stand now, and which calls hold one. Reads only, a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import orjson
from redis.exceptions import RedisError

from ami_rotator.clock import Clock
from ami_rotator.domain.types import E164, Group, ReservationId, State
from ami_rotator.domain.windows import zone_offsets
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.scripts import load_scripts

_T = TypeVar("_T")
_LEAVES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller-ID stands now. Limits are those that hold now; times in ms, 0 is never.

    `free_at_ms`: when its cool-down or rest is over. `warm_for` is `campaign|area` while it is warm.
    """

    state: State
    live_calls: int
    last_used_ms: int
    hourly_limit: int
    used_this_hour: int
    daily_limit: int
    used_today: int
    free_at_ms: int
    warm_for: str = ""


@dataclass(frozen=True, slots=True)
class LiveReservation:
    """A reservation that lives. `has_trunk`: the carrier leg was seen. At `expires_at_ms` it ends, unless it is renewed."""

    id: ReservationId
    caller_id: E164
    campaign: str
    destination: str
    dialer: str
    code: str
    uniqueid: str
    source: str
    rung: str
    group: str
    area: str
    was_warm: bool
    has_trunk: bool
    assigned_at_ms: int
    expires_at_ms: int


class Inspection:
    """Reads the pool of one inventory. All methods raise PoolUnavailableError where Redis is away or too slow."""

    def __init__(self, redis: RedisClient, tag: str, zone: ZoneInfo, clock: Clock) -> None:
        self._redis = redis
        self._tag = tag
        self._zone = zone
        self._clock = clock
        self._scripts = load_scripts()

    async def standings(self, numbers: Sequence[E164]) -> dict[E164, Standing]:
        """Return where these caller-IDs stand; those that the pool does not know are left out."""

        if not numbers:
            return {}
        found = await self._run("look", *self._zone_args(), *numbers)
        return {E164(record["cid"]): _standing(record) for record in map(orjson.loads, found)}

    async def count(self, state: State, groups: Sequence[Group]) -> int:
        """Return how many caller-IDs of these groups are in a state."""
        total = 0
        for group in groups:
            leaves: list[Any] = list(await _guarded(partial(self._redis.smembers, f"leaves:{self._tag}:{group}:")))
            for start in range(0, len(leaves), _LEAVES_AT_ONCE):
                page = leaves[start : start + _LEAVES_AT_ONCE]
                total += int((await self._run("tally", group, 1, state.value, *page))[0])
        return total

    async def members(self, state: State, groups: Sequence[Group], most: int) -> list[E164]:
        """Return the caller-IDs of these groups in a state, `most` of each group at the most."""
        return [E164(number) for group in groups for number in await self._run("members", group, state.value, most)]

    async def reservations(self, skip: int = 0, limit: int = 100) -> list[LiveReservation]:
        """Return reservations that live, those that expire first first."""
        key = f"expiries:{self._tag}"
        ids: list[Any] = await _guarded(lambda: self._redis.zrange(key, skip, skip + limit - 1, withscores=True))
        return [found for found in await self._reservations(ids) if found is not None]

    async def reservation(self, reservation: ReservationId) -> LiveReservation | None:
        """Return one reservation, if it lives."""
        score = await _guarded(lambda: self._redis.zscore(f"expiries:{self._tag}", reservation))
        return (await self._reservations([(reservation, score)]))[0] if score is not None else None

    async def live(self) -> int:
        """Return how many reservations live."""
        return int(await _guarded(lambda: self._redis.zcard(f"expiries:{self._tag}")))

    async def _reservations(self, ids: Sequence[tuple[str, float]]) -> list[LiveReservation | None]:
        found = (await self._run("calls", *(identity for identity, _ in ids)))[1:] if ids else []
        records = {record["id"]: record for record in map(orjson.loads, found)}
        return [_live(identity, score, records.get(identity)) for identity, score in ids]

    def _zone_args(self) -> tuple[int, int, int]:
        offsets = zone_offsets(self._zone, self._clock.wall_ms() / 1000)
        return offsets.offset_s, offsets.change_at_s, offsets.next_offset_s

    async def _run(self, name: str, *args: str | int) -> list[Any]:
        script = self._scripts[name]
        return await _guarded(lambda: self._redis.eval(script.source, script.keys, self._tag, *args))


async def _guarded(read: Callable[[], Awaitable[_T]]) -> _T:
    try:
        return await read()
    except (RedisError, OSError, TimeoutError) as error:
        raise PoolUnavailableError(
            f"Redis did not answer ({type(error).__name__}: {error}). Check that it runs, and REDIS_URL."
        ) from error


def _standing(record: Mapping[str, Any]) -> Standing:
    return Standing(
        state=State(record["st"]),
        live_calls=int(record["n"]),
        last_used_ms=int(record["lu"]),
        hourly_limit=int(record["hl"]),
        used_this_hour=int(record["hn"]),
        daily_limit=int(record["dl"]),
        used_today=int(record["dn"]),
        free_at_ms=max(int(record["cu"]), int(record["ru"])),
        warm_for=record["pl"],
    )


def _live(identity: str, expires_at_ms: float, record: Mapping[str, Any] | None) -> LiveReservation | None:
    if record is None:
        return None
    return LiveReservation(
        id=ReservationId(identity),
        caller_id=E164(record["cid"]),
        campaign=record["campaign"],
        destination=record["destination"],
        dialer=record["dialer"],
        code=record["code"],
        uniqueid=record["uniqueid"],
        source=record["source"],
        rung=record["rung"],
        group=record["g"],
        area=record["a"],
        was_warm=record["wm"] == "1",
        has_trunk=bool(record["tk"]),
        assigned_at_ms=int(record["at"]),
        expires_at_ms=int(expires_at_ms),
    )
