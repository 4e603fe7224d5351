"""Look into the pool for people: where caller-IDs stand now, and which calls hold one. Reads only, a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from redis.exceptions import RedisError

from ami_rotator.clock import Clock
from ami_rotator.domain.types import E164, Group, ReservationId, State
from ami_rotator.domain.windows import zone_offsets
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.connect import RedisClient

_T = TypeVar("_T")
_FIELDS = ("st", "n", "lu", "hl", "hw", "hn", "dl", "dw", "dn", "cu", "ru", "pl")
_RESERVATION = (
    "cid",
    "at",
    "campaign",
    "destination",
    "dialer",
    "code",
    "uniqueid",
    "source",
    "rung",
    "g",
    "a",
    "wm",
    "tk",
)


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

    async def standings(self, numbers: Sequence[E164]) -> dict[E164, Standing]:
        """Return where these caller-IDs stand; those that the pool does not know are left out."""

        async def read() -> list[list[str | None]]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for number in numbers:
                    pipe.hmget(f"caller:{self._tag}:{number}", *_FIELDS)
                return list(await pipe.execute())

        if not numbers:
            return {}
        hour, day = self._windows()
        found = {}
        for number, values in zip(numbers, await _guarded(read), strict=True):
            if values[0] is not None:
                found[number] = _standing(dict(zip(_FIELDS, values, strict=True)), hour, day)
        return found

    async def count(self, state: State, groups: Sequence[Group]) -> int:
        """Return how many caller-IDs of these groups are in a state."""

        async def read() -> list[int]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for group in groups:
                    pipe.zcard(f"{state.value}:{self._tag}:{group}")
                return list(await pipe.execute())

        return sum(await _guarded(read)) if groups else 0

    async def members(self, state: State, groups: Sequence[Group], most: int) -> list[E164]:
        """Return the caller-IDs of these groups in a state, `most` of each group at the most."""

        async def read() -> list[list[str]]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for group in groups:
                    pipe.zrange(f"{state.value}:{self._tag}:{group}", 0, most - 1)
                return list(await pipe.execute())

        return [E164(number) for of_group in (await _guarded(read) if groups else []) for number in of_group]

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
        async def read() -> list[list[str | None]]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for identity, _ in ids:
                    pipe.hmget(f"reservation:{self._tag}:{identity}", *_RESERVATION)
                return list(await pipe.execute())

        rows = await _guarded(read) if ids else []
        return [_live(identity, score, values) for (identity, score), values in zip(ids, rows, strict=True)]

    def _windows(self) -> tuple[int, int]:
        """Return the numbers of this hour and this day, as the scripts count them (pool/lua/include/windows.lua)."""
        now_s = self._clock.wall_ms() // 1000
        offset = zone_offsets(self._zone, now_s).offset_s
        return (now_s + offset % 3600) // 3600, (now_s + offset) // 86400


async def _guarded(read: Callable[[], Awaitable[_T]]) -> _T:
    try:
        return await read()
    except (RedisError, OSError, TimeoutError) as error:
        raise PoolUnavailableError(
            f"Redis did not answer ({type(error).__name__}: {error}). Check that it runs, and REDIS_URL."
        ) from error


def _standing(of: dict[str, str | None], hour: int, day: int) -> Standing:
    def number(name: str) -> int:
        return int(float(of[name] or 0))

    return Standing(
        state=State(of["st"] or ""),
        live_calls=number("n"),
        last_used_ms=number("lu"),
        hourly_limit=number("hl"),
        used_this_hour=number("hn") if number("hw") == hour else 0,
        daily_limit=number("dl"),
        used_today=number("dn") if number("dw") == day else 0,
        free_at_ms=max(number("cu"), number("ru")),
        warm_for=of["pl"] or "",
    )


def _live(identity: str, expires_at_ms: float, values: Sequence[str | None]) -> LiveReservation | None:
    of = {name: value or "" for name, value in zip(_RESERVATION, values, strict=True)}
    if not of["cid"]:
        return None
    return LiveReservation(
        id=ReservationId(identity),
        caller_id=E164(of["cid"]),
        campaign=of["campaign"],
        destination=of["destination"],
        dialer=of["dialer"],
        code=of["code"],
        uniqueid=of["uniqueid"],
        source=of["source"],
        rung=of["rung"],
        group=of["g"],
        area=of["a"],
        was_warm=of["wm"] == "1",
        has_trunk=bool(of["tk"]),
        assigned_at_ms=int(float(of["at"] or 0)),
        expires_at_ms=int(expires_at_ms),
    )
