"""Redis' own time, of the server that keeps the inventory: in a Cluster each server has a clock of its own."""

from __future__ import annotations

from ami_rotator.pool.connect import RedisClient

_NOW_MS = "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)"


async def now_ms(redis: RedisClient, tag: str) -> int:
    """Return the time in milliseconds; raises what the client raises."""
    answer: int = await redis.eval(_NOW_MS, 1, f"clock:{tag}")
    return int(answer)
