"""Share round trips: script calls that wait at the same moment travel to Redis together."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.scripts import Script

_FLIGHTS = 2
_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class _Call:
    script: Script
    args: tuple[str | int | float, ...]
    answer: asyncio.Future[Any]


class Flights:
    """Runs scripts of one tag. At most two pipelines are under way; what is asked meanwhile leaves with the next.

    A pipeline that fails as a whole fails each of its calls, and those that wait, so that nobody waits for a dead server
    twice; a script's own error fails its caller only. Pipelines are sent again by the client when their reply was lost:
    every script may run twice.
    """

    def __init__(self, redis: RedisClient, tag: str) -> None:
        self._redis = redis
        self._tag = tag
        self._waiting: deque[_Call] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, script: Script, *args: str | int | float) -> Any:
        """Run one script; raises RedisError, OSError or TimeoutError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(script, args, answer))
        if len(self._under_way) < _FLIGHTS:
            flight = asyncio.create_task(self._fly(), name="redis flight")
            self._under_way.add(flight)
            flight.add_done_callback(self._under_way.discard)
        return await answer

    async def _fly(self) -> None:
        while self._waiting:
            calls: list[_Call] = []
            while self._waiting and len(calls) < _TOGETHER:
                call = self._waiting.popleft()
                if not call.answer.done():  # its caller gave up waiting
                    calls.append(call)
            if calls:
                await self._send(calls)

    async def _send(self, calls: list[_Call]) -> None:
        try:
            answers = await self._execute(calls)
            unknown = [call for call, answer in zip(calls, answers, strict=True) if isinstance(answer, NoScriptError)]
            if unknown:
                for script in {call.script.sha: call.script for call in unknown}.values():
                    await self._redis.script_load(script.source)
                again = iter(await self._execute(unknown))
                answers = [next(again) if isinstance(answer, NoScriptError) else answer for answer in answers]
        except Exception as error:  # whatever it is, nobody may wait for ever
            waiting, self._waiting = list(self._waiting), deque()
            calls += waiting
            answers = [error] * len(calls)
        except asyncio.CancelledError:
            for call in calls:
                call.answer.cancel()
            raise
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(_for_each(answer))
            else:
                call.answer.set_result(answer)

    async def _execute(self, calls: list[_Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command("EVALSHA", call.script.sha, call.script.keys, self._tag, *call.args)
            return list(await pipe.execute(raise_on_error=False))


def _for_each(error: Exception) -> Exception:
    """Return an exception of its own for one of several callers; of what Redis' client raises, the same kind."""
    if isinstance(error, RedisClusterException):  # no RedisError, strangely; to callers it is one
        return RedisError(str(error))
    try:
        return type(error)(*error.args)
    except TypeError:
        return RedisError(f"{type(error).__name__}: {error}")
