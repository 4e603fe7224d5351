"""One of several daemons does what is to be done once: a lease in Redis, taken over when its holder is gone."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.connect import RedisClient

_T = TypeVar("_T")

# Take the lease, or hold on to it. KEYS: lease. ARGV: holder, ms. Returns 1 where it is the holder's.
_KEEP = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# Begin a run, if the lease is still the holder's and the last run, in whichever daemon, began long enough ago. Said twice
# with one run id it says yes twice. KEYS: lease, begun. ARGV: holder, job, ms that must lie between two runs, run id.
_BEGIN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('HGET', KEYS[2], ARGV[2])
if last then
  local at, run = string.match(last, '^(%d+) (.*)$')
  if run == ARGV[4] then return 1 end
  local since = now - tonumber(at)
  if since >= 0 and since < tonumber(ARGV[3]) then return 0 end
end
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', now) .. ' ' .. ARGV[4])
return 1
"""

# Let go of the lease, if it is the holder's. KEYS: lease. ARGV: holder.
_GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """The lease of one inventory's jobs. `holder` names this daemon; no two may have the same name.

    Keep it every third of `hold_s`: a holder that died is followed by another after `hold_s` and one such turn. Redis' clock
    is the only judge. All methods raise PoolUnavailableError where Redis is away.
    """

    def __init__(self, redis: RedisClient, tag: str, holder: str, *, hold_s: float = 10.0) -> None:
        self.hold_s = hold_s
        self._holder = holder
        self._lease = f"lease:{tag}"
        self._begun = f"jobs-begun:{tag}"
        self._keep = redis.register_script(_KEEP)
        self._begin = redis.register_script(_BEGIN)
        self._give_up = redis.register_script(_GIVE_UP)

    async def keep(self) -> bool:
        """Take the lease where nobody has it, or hold on to it; tell whether it is ours now."""
        return bool(await as_pool(lambda: self._keep(keys=[self._lease], args=[self._holder, int(self.hold_s * 1000)])))

    async def begin(self, job: str, apart_s: float) -> bool:
        """Tell whether this daemon may run a job now; if so, no other may for `apart_s`."""
        args: list[Any] = [self._holder, job, int(apart_s * 1000), uuid.uuid4().hex]
        return bool(await as_pool(lambda: self._begin(keys=[self._lease, self._begun], args=args)))

    async def give_up(self) -> None:
        """Let another daemon have it at once."""
        await as_pool(lambda: self._give_up(keys=[self._lease], args=[self._holder]))


async def as_pool(command: Callable[[], Awaitable[_T]]) -> _T:
    """Run a command of Redis; what means that it is away becomes PoolUnavailableError."""
    try:
        return await command()
    except (RedisError, OSError, TimeoutError) as error:
        raise PoolUnavailableError(
            f"Redis did not answer ({type(error).__name__}: {error}). Check that it runs, and REDIS_URL."
        ) from error
