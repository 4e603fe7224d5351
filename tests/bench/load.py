"""The load that all parts share: caller-IDs by area, calls that want one, and tasks that make calls as fast as they can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from ami_rotator.domain.caller_id import CallerId
from ami_rotator.domain.campaign import DEFAULT_GROUP
from ami_rotator.domain.geography import north_america
from ami_rotator.domain.types import E164, Area, CallKey, CallRequest, Campaign, Dialer

_FIRST_LINE = 2_000_000
_FIRST_PERSON = 9_000_000
_LIMIT = 1_000_000
DIALER = Dialer("bench")


@dataclass(slots=True)
class Timing:
    """What a loop did: how often, in what time, and how long each took."""

    count: int = 0
    took_s: float = 0.0
    each_s: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Return how many a second."""
        return self.count / self.took_s if self.took_s else 0.0

    def ms(self, share: float) -> float:
        """Return the time, in ms, that this share of them took at the most."""
        return percentile(self.each_s, share) * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all are not above; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def middle_pair(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return both values of the round whose ratio is the middle one (of two the lower).

    What slows the machine for a while slows both sides of a round; a round in which it slowed one of them does not count.
    """
    pairs = sorted(zip(ours, theirs, strict=True), key=lambda pair: pair[0] / pair[1])
    return pairs[(len(pairs) - 1) // 2]


def rates(timings: Sequence[Timing]) -> list[float]:
    """Return the rate of each round."""
    return [timing.per_s for timing in timings]


def areas(count: int) -> list[Area]:
    """Return area codes that are in service."""
    found = sorted(north_america())
    if len(found) < count:
        raise ValueError(f"there are {len(found)} areas, {count} were asked for")
    return found[:count]


def inventory(count: int, among: Sequence[Area]) -> Iterator[CallerId]:
    """Yield caller-IDs, the areas in turn, without limits that a benchmark could reach."""
    for index in range(count):
        area = among[index % len(among)]
        number = E164(f"+1{area}{_FIRST_LINE + index // len(among):07d}")
        yield CallerId(number, area, DEFAULT_GROUP, _LIMIT, _LIMIT, 0)


def destination(index: int, among: Sequence[Area]) -> str:
    """Return the ten digits of the person that call `index` is for. Areas come as by chance: two calls may share one."""
    mixed = crc32(index.to_bytes(8, "big")) * 2_654_435_761 % 2**32 % 65_521
    return f"{among[mixed % len(among)]}{_FIRST_PERSON + index % 1_000_000:07d}"


def code(index: int) -> str:
    """Return VICIdial's code of call `index`."""
    return f"V{index:019d}"


def request(index: int, among: Sequence[Area], campaigns: int) -> CallRequest:
    """Return call `index` as AMI would describe it."""
    key = CallKey(DIALER, code(index))
    return CallRequest(key, f"91{destination(index, among)}", Campaign(f"CAMP{index % campaigns}"), "ami")


async def closed_loop(
    concurrent: int, seconds: float, work: Callable[[int], Awaitable[None]], first: int = 0
) -> Timing:
    """Run `work` in so many tasks, each beginning anew when it is done; `work` is given a number that never comes twice."""
    timing = Timing()
    numbers = iter(range(first, first + 100_000_000))
    began = time.perf_counter()
    until = began + seconds

    async def one() -> None:
        while (at := time.perf_counter()) < until:
            await work(next(numbers))
            timing.each_s.append(time.perf_counter() - at)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrent):
            group.create_task(one())
    timing.took_s = time.perf_counter() - began
    timing.count = len(timing.each_s)
    return timing
