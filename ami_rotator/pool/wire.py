"""One connection to Redis on which answers are handed over as they are read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ReadOnlyError

from ami_rotator.unread import Unread

Command: TypeAlias = tuple[str | int | float, ...]
Landed: TypeAlias = Callable[[Any, Exception | None], None]
"""Told the answer, which an error of Redis is too; or None, and why there is none."""

# Its types know tuples of one word only.
pack_command: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
_MORE = object()
_LATE_S = 0.005


@dataclass(slots=True)
class _Trip:
    until_s: float
    landed: Landed


def is_alive(connection: AbstractConnection) -> bool:
    """Tell whether a connection that the pool handed out is still open, as far as this end knows."""
    reader, writer = connection._reader, connection._writer
    if reader is None or writer is None:
        return False
    return not (writer.transport.is_closing() or reader.at_eof() or reader.exception())


class Wire(asyncio.Protocol):
    """A connection that redis-py has made and signed in.

    redis-py itself writes from a task and waits for each answer in turn: two turns of the loop more for a call that has
    milliseconds, and half of the time that Python spends on it. Whatever is not an answer ends the connection.
    """

    # What redis-py has no public name for: the transport of its writer, and which exception an error of Redis is.
    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self.connection = connection
        self.is_open = True
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._trips: deque[_Trip] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._was_late = False
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=connection._parser.parse_error,
            notEnoughData=_MORE,
            encoding=connection.encoder.encoding,
            errors=connection.encoder.encoding_errors,
        )
        if connection._writer is None:
            raise RedisConnectionError("the connection is gone")
        self._transport: Any = connection._writer.transport
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._unread = Unread(self._transport)
        self._is_taking = False

    def send(self, command: Command, landed: Landed) -> None:
        """Write a command now; `landed` is called once, when its answer is there or the connection is not any more."""
        packed = pack_command(command)
        until_s = self._loop.time() + self._timeout_s
        self._trips.append(_Trip(until_s, landed))
        try:
            self._transport.write(packed)
        except Exception as error:  # uvloop says so of a transport that is gone, asyncio does not
            self.shut(RedisConnectionError(f"the connection is gone: {error}"))
            return
        if self._timer is None:
            self._timer = self._loop.call_at(until_s, self._look_at_time)

    def read_answers(self) -> None:
        """Take answers that are here already, in the middle of a turn of the loop; not while answers are being taken."""
        if self._trips and not self._is_taking and (data := self._unread.take()):
            self.data_received(data)

    def shut(self, error: Exception) -> None:
        """End the connection; who waits for answers is told why."""
        self.is_open = False
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        trips, self._trips = self._trips, deque()
        for trip in trips:
            trip.landed(None, error)

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        self._is_taking = True
        try:
            self._replies.feed(data)
            while (answer := self._replies.gets()) is not _MORE:
                self._take(answer)
        except Exception as error:  # not Redis' protocol, or no text: whatever follows could be anybody's answer
            self.shut(InvalidResponse(f"{type(error).__name__}: {error}"))
        finally:
            self._is_taking = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone, for redis-py as well."""
        if self.is_open:
            self.shut(RedisConnectionError(f"the connection broke: {exc}" if exc else "Redis closed the connection"))
        self._former.connection_lost(exc)

    def _take(self, answer: Any) -> None:
        if isinstance(answer, hiredis.PushNotification) or not self.is_open:
            return
        if isinstance(answer, ReadOnlyError | RedisConnectionError) or not self._trips:
            # A replica, or a server that is still loading: this is not the one to ask.
            self.shut(answer if isinstance(answer, Exception) else InvalidResponse("an answer that nobody asked for"))
            return
        self._trips.popleft().landed(answer, None)

    def _look_at_time(self) -> None:
        self._timer = None
        if not self._trips:
            self._was_late = False
            return
        now, until_s = self._loop.time(), self._trips[0].until_s
        if now < until_s:
            self._was_late = False
        elif self._was_late:
            self.shut(TimeoutError(f"no answer within {self._timeout_s:g} s"))
            return
        else:
            # Where this process was held up itself, the answer may be there and not read yet.
            self._was_late, until_s = True, now + _LATE_S
        self._timer = self._loop.call_at(until_s, self._look_at_time)
