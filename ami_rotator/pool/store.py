"""The way to one inventory's pool in Redis: its scripts, its zone, and one error for "not there now"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from redis.exceptions import OutOfMemoryError, RedisClusterException, RedisError

from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.types import Group
from ami_rotator.domain.windows import ZoneOffsets, zone_offsets
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.book import Book
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.flights import Flights, Words
from ami_rotator.pool.policy_terms import LadderTexts
from ami_rotator.pool.scripts import Script, load_scripts

_ZONE_HOLDS_S = 600.0
_T = TypeVar("_T")
_AWAY = (RedisError, RedisClusterException, OSError, TimeoutError)


class PoolStore:
    """What every part of the pool needs. All methods raise PoolUnavailableError where Redis is away or too slow."""

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
        # The server process that gives numbers out for this daemon (take_over.py); empty: whichever is whole.
        self.server = ""
        self.ttl_ms = int(ttl_s * 1000)
        self._redis = redis
        self._zone = zone
        self._clock = clock or SystemClock()
        self._scripts = scripts or load_scripts()
        self._flights = Flights(redis, self.tag, self._scripts["ask"], self._scripts["tell"], self.zone_args)
        # For who has much to do in one turn of the loop: takes answers of Redis that are here already.
        self.read_answers = self._flights.read_answers
        self._offsets: tuple[str, str, str] = ("0", "0", "0")
        self._offsets_until_s = float("-inf")
        self._asked: Counter[str] = Counter()
        self._ladder_text = LadderTexts()

    async def ping(self) -> None:
        """Check that Redis answers."""
        await self._guard(lambda: self._redis.ping())

    async def command(self, name: str, *args: str | int | float) -> Any:
        """Run one of the scripts (pool/rebuild.py has some of its own)."""
        return await self._run(name, *args)

    async def groups(self) -> list[Group]:
        """Return the groups the pool knows."""
        return [Group(name) for name in await self._guard(lambda: self._redis.smembers(f"groups:{self.tag}"))]

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

    async def _ask(self, name: str, *args: str | int | float) -> Any:
        """Run `assign`, `confirm` or `release`, together with what others ask at this moment."""
        return await self._guard(lambda: self._flights.ask(name, *args))

    def _ask_then(
        self, name: str, words: Words, read: Callable[[Any], _T], then: Callable[[_T | Exception], None]
    ) -> None:
        """As `_ask`; `then` is called once with what `read` makes of the answer, or with the error there is instead."""

        def told(answer: Any) -> None:
            found: _T | Exception
            if isinstance(answer, Exception):
                found = _as_unavailable(answer) or answer
            else:
                try:
                    found = read(answer)
                except Exception as error:  # no answer of ours; whoever waits must be told
                    found = error
            then(found)

        self._flights.ask_then(name, words, told)

    async def _guard(self, call: Callable[[], Any]) -> Any:
        try:
            return await call()
        except _AWAY as error:
            raise (_as_unavailable(error) or error) from error


def _as_unavailable(error: Exception) -> PoolUnavailableError | None:
    """Return what an error of Redis or of the way to it means for who asked; None for any other."""
    if isinstance(error, OutOfMemoryError):
        return PoolUnavailableError(
            f"Redis is full and takes nothing more ({error}). Calls keep VICIdial's own caller-ID until there is room."
            " See whether PostgreSQL is away (records then wait in Redis), and give Redis more memory (maxmemory)."
        )
    if isinstance(error, _AWAY):
        return PoolUnavailableError(
            f"Redis did not answer ({type(error).__name__}: {error}). Calls keep VICIdial's own caller-ID until it "
            "does. Check that it runs, and REDIS_URL."
        )
    return None
