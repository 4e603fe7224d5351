"""The broadcaster: slow watchers get the newest and hold up nobody."""

from __future__ import annotations

import asyncio

import pytest

from ami_rotator.http.live import WATCHERS_MAX, Broadcaster, event
from ami_rotator.http.replies import ApiError


async def test_a_slow_watcher_gets_the_newest_snapshot_and_others_get_all() -> None:
    count = 0

    async def snapshot() -> str:
        nonlocal count
        count += 1
        return str(count)

    broadcaster = Broadcaster(snapshot, interval_s=0.001)
    async with asyncio.timeout(10), broadcaster.watch() as slow, broadcaster.watch() as fast:
        seen = [await fast.get() for _ in range(20)]

        assert [event(str(n)) for n in range(1, 21)] == seen
        assert slow.qsize() == 1
        assert count_of(await slow.get()) >= 20


def count_of(page: bytes | None) -> int:
    return int((page or b"").removeprefix(b"data: "))


async def test_all_watchers_are_handed_the_same_bytes() -> None:
    async def snapshot() -> str:
        return "one\ntwo"

    broadcaster = Broadcaster(snapshot, interval_s=60)
    async with asyncio.timeout(10), broadcaster.watch() as one, broadcaster.watch() as other:
        page = await one.get()

        assert page == b"data: one\r\ndata: two\r\n\r\n"
        assert await other.get() is page


async def test_there_is_a_last_seat() -> None:
    async def snapshot() -> str:
        return ""

    broadcaster = Broadcaster(snapshot, interval_s=60)
    seats = [broadcaster.watch() for _ in range(WATCHERS_MAX)]
    for seat in seats:
        await seat.__aenter__()
    with pytest.raises(ApiError, match="Too many watch"):
        await broadcaster.watch().__aenter__()
    for seat in seats:
        await seat.__aexit__(None, None, None)

    assert broadcaster.watching == 0


async def test_closing_tells_every_watcher() -> None:
    async def snapshot() -> str:
        return "page"

    broadcaster = Broadcaster(snapshot, interval_s=60)
    async with asyncio.timeout(10), broadcaster.watch() as queue:
        assert await queue.get() == event("page")
        await broadcaster.close()
        assert await queue.get() is None
