"""Share script runs: calls that wait at the same moment travel to Redis together, and run there together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from redis.asyncio import RedisCluster
from redis.exceptions import (
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.scripts import Script
from ami_rotator.pool.trips import trips_with
from ami_rotator.pool.wire import Command

_TOGETHER = 8
"""How many calls share a script run at the most: Redis serves nobody else meanwhile, a millisecond. With more that wait,
several runs are under way, and this process works at the answers of one while Redis works at the next."""
_GATHER_S = 0.003

Words = tuple[str | int | float, ...]


class Answer(Protocol):
    """Whom a call's answer is for: the future of a task that waits, or `Told`."""

    def done(self) -> bool:
        """Tell whether nobody waits any more."""

    def set_result(self, result: Any, /) -> None:
        """Tell the answer."""

    def set_exception(self, exception: Exception, /) -> None:
        """Tell why there is none."""


class Told:
    """Tells an answer, or why there is none, in the very turn of the loop in which it is read.

    A task that waits is woken at the next turn, which with many calls is a millisecond later.
    """

    __slots__ = ("_is_done", "_then")

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = then
        self._is_done = False

    def done(self) -> bool:
        """Tell whether it was told."""
        return self._is_done

    def set_result(self, result: Any, /) -> None:
        """Tell the answer."""
        self._is_done = True
        try:
            self._then(result)
        except Exception:  # a defect of the one must not cost the others on this wire their answers
            structlog.get_logger("redis").exception("an answer could not be taken")

    def set_exception(self, exception: Exception, /) -> None:
        """Tell why there is none."""
        self.set_result(exception)


@dataclass(slots=True)
class _Call:
    """A run of a script, or by `name` a part of a run that the calls of a lane share."""

    script: Script
    name: str
    args: Words
    answer: Answer


@dataclass(slots=True)
class _Lane:
    """Those that leave in the order they came: at most `most` runs are under way, which `together` share at the most.

    What need not have its answer at once leaves `gather_s` after the first that waits, or with as many as share a run.
    """

    most: int
    together: int = 1
    gather_s: float = 0.0
    waiting: deque[_Call] = field(default_factory=deque)
    flying: int = 0
    departure: asyncio.Handle | None = None


class Flights:
    """Runs scripts of one tag; what is asked while runs are under way leaves with the next.

    What waits of `assign` goes into one run of `ask` (lua/ask-1.lua), after what `zone` returns: a call to be placed waits
    for it. What is only told (`confirm`, `release`) travels behind, in runs of `tell`. What runs alone has a lane of its own
    as well. All lanes lead over one connection.

    A script that can be one runs as a function, and as a script where there are none: on a Cluster (redis-py asks a server
    about each FCALL first), or where Redis does not know or allow them. Managed ones say that in words of their own: before
    a function has worked, any refusal is taken for it.

    A run that gets no answer to each of its calls fails them all, and those that wait behind it, so that nobody waits for a
    dead server twice; an error of Redis is an answer. It is sent again when its reply was lost: each script may run twice.
    """

    def __init__(self, redis: RedisClient, tag: str, ask: Script, tell: Script, zone: Callable[[], Words]) -> None:
        self._redis = redis
        self._trips = trips_with(redis)
        self.read_answers = self._trips.read_answers
        self._tag = tag
        self._assigning, self._telling = ask, tell
        self._zone = zone
        self._first = _Lane(3, _TOGETHER)
        self._behind = _Lane(2, _TOGETHER, _GATHER_S)
        self._jobs = _Lane(2)
        self._loading: set[asyncio.Task[None]] = set()
        self._has_functions = not isinstance(redis, RedisCluster)
        self._have_functions_worked = False

    async def run(self, script: Script, *args: str | int | float) -> Any:
        """Run one script; raises RedisError, OSError or TimeoutError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._leave(self._jobs, _Call(script, "", args, answer))
        return await answer

    async def ask(self, name: str, *args: str | int | float) -> Any:
        """Ask `assign`, `confirm` or `release`; raises RedisError, OSError or TimeoutError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._ask(name, args, answer)
        return await answer

    def ask_then(self, name: str, args: Words, then: Callable[[Any], None]) -> None:
        """As `ask`: `then` is called with the answer, or with the error, as soon as it is here."""
        self._ask(name, args, Told(then))

    def _ask(self, name: str, args: Words, answer: Answer) -> None:
        lane, script = (self._first, self._assigning) if name == "assign" else (self._behind, self._telling)
        self._leave(lane, _Call(script, name, args, answer))

    def _leave(self, lane: _Lane, call: _Call) -> None:
        lane.waiting.append(call)
        if lane.flying >= lane.most:
            return  # it leaves when one of them lands
        if not (lane.flying or lane.gather_s) or len(lane.waiting) >= lane.together:
            self._take_off(lane)
        elif lane.departure is None:
            # Others that ask in this turn of the loop, or within those milliseconds, come along.
            lane.departure = asyncio.get_running_loop().call_later(lane.gather_s, self._take_off, lane)

    def _take_off(self, lane: _Lane) -> None:
        if lane.departure is not None:
            lane.departure.cancel()
            lane.departure = None
        while lane.waiting and lane.flying < lane.most:
            calls: list[_Call] = []
            while lane.waiting and len(calls) < lane.together:
                call = lane.waiting.popleft()
                if not call.answer.done():  # its caller gave up waiting
                    calls.append(call)
            if calls:
                lane.flying += 1
                self._fly(lane, calls)

    def _fly(self, lane: _Lane, calls: Sequence[_Call], *, is_second: bool = False, as_script: bool = False) -> None:
        script = calls[0].script
        words: Words = calls[0].args
        if calls[0].name:
            words = (*self._zone(), *(word for call in calls for word in (call.name, len(call.args), *call.args)))
        ran, name = self._run_by(script, as_script=as_script)
        command: Command = (ran, name, script.keys, self._tag, *words)

        def landed(answer: Any, lost: Exception | None) -> None:
            if lost is not None:
                self._fail(lane, calls, lost)
                return
            answers = answer if calls[0].name else [answer]
            if isinstance(answer, Exception):
                answers = [answer] * len(calls)  # they share its error
            elif ran == "FCALL":
                self._have_functions_worked = True
            if isinstance(answers, list) and len(answers) == len(calls):
                self._arrive(lane, calls, answers, "" if is_second else ran)
            else:
                self._fail(lane, calls, RedisError("a script did not answer each question"))

        self._trips.send(command, landed)

    def _arrive(self, lane: _Lane, calls: Sequence[_Call], answers: Sequence[Any], ran: str) -> None:
        """Hand out answers. `ran`: the command, if what Redis does not know shall be given to it; empty: it was."""
        unknown: list[_Call] = []
        for call, answer in zip(calls, answers, strict=True):
            if ran and isinstance(answer, ResponseError) and self._is_unknown(ran, answer):
                unknown.append(call)
                continue
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(_for_each(answer))
            else:
                call.answer.set_result(answer)
        if unknown:
            task = asyncio.create_task(self._load(lane, unknown), name="redis scripts")
            self._loading.add(task)
            task.add_done_callback(self._loading.discard)
            return
        lane.flying -= 1
        self._take_off(lane)

    def _run_by(self, script: Script, *, as_script: bool = False) -> tuple[str, str]:
        if script.function_source and self._has_functions and not as_script:
            return "FCALL", script.function
        return "EVALSHA", script.sha

    def _is_unknown(self, ran: str, error: ResponseError) -> bool:
        """Tell whether Redis does not have the script or the function, or cannot have functions."""
        if isinstance(error, NoScriptError) or str(error).startswith("Function not found"):
            return True
        is_refused = isinstance(error, NoPermissionError) or str(error).startswith("unknown command")
        if ran == "FCALL" and (is_refused or not (self._have_functions_worked or isinstance(error, OutOfMemoryError))):
            self._do_without_functions(error)
            return True
        return False

    def _do_without_functions(self, error: ResponseError) -> None:
        if self._has_functions:
            self._has_functions = False
            structlog.get_logger("redis").warning(
                "functions cannot be used; until the daemon starts again scripts do the same, a little slower",
                reason=str(error),
            )

    async def _load(self, lane: _Lane, calls: Sequence[_Call]) -> None:
        """Give Redis what it does not know, and run it again."""
        try:
            as_script = not await self._load_function(calls[0].script)
            if as_script:
                await self._redis.script_load(calls[0].script.source)
        except asyncio.CancelledError:
            self._fail(lane, calls, RedisError("stopped"))
            raise
        except Exception as error:  # whatever it is, nobody may wait for ever
            self._fail(lane, calls, error)
        else:
            self._fly(lane, calls, is_second=True, as_script=as_script)

    async def _load_function(self, script: Script) -> bool:
        if not script.function_source or not self._has_functions:
            return False
        try:
            await self._redis.function_load(script.function_source)
        except ReadOnlyError:
            return False  # a replica: what it makes of the script tells to leave it
        except ResponseError as error:
            if "already exists" not in str(error):
                # Not allowed, or Redis is full: as a script calls can end there all the same.
                self._do_without_functions(error)
                return False
        return True

    def _fail(self, lane: _Lane, calls: Sequence[_Call], error: Exception) -> None:
        waiting, lane.waiting = lane.waiting, deque()
        for call in (*calls, *waiting):
            if not call.answer.done():
                call.answer.set_exception(_for_each(error))
        lane.flying -= 1
        self._take_off(lane)


def _for_each(error: Exception) -> Exception:
    """Return an exception of its own for one of several callers; of what Redis' client raises, the same kind."""
    if isinstance(error, RedisClusterException):  # no RedisError, strangely; to callers it is one
        return RedisError(str(error))
    try:
        return type(error)(*error.args)
    except Exception:  # it wants other arguments
        return RedisError(f"{type(error).__name__}: {error}")
