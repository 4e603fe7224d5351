"""The way of commands to Redis and of answers back: on a wire of our own, or through redis-py's Cluster client."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from ami_rotator.pool.connect import SOCKET_TIMEOUT_S, RedisClient
from ami_rotator.pool.wire import Command, Landed, Wire, is_alive

_TRIPS = "rotator_trips"
_CONNECTING_AGAIN = (RedisConnectionError, ReadOnlyError)


class Trips(Protocol):
    """Sends commands."""

    def send(self, command: Command, landed: Landed) -> None:
        """Send one, now or once there is a connection; `landed` is called once, and must not raise.

        It is told the answer, or after one more try on a new connection why there is none: a RedisError, OSError or
        TimeoutError. A server that is slow is not asked again.
        """

    def read_answers(self) -> None:
        """Take answers that are here already, before the loop comes to them."""


def trips_with(redis: RedisClient) -> Trips:
    """Return the way to the servers of a client: one, however many pools it serves, as it has few connections."""
    if isinstance(redis, RedisCluster):
        return ClusterTrips(redis)
    found: Trips | None = vars(redis).get(_TRIPS)
    if found is None:
        found = vars(redis)[_TRIPS] = WireTrips(redis)
    return found


@dataclass(slots=True)
class _Sent:
    command: Command
    landed: Landed
    is_second_try: bool = False


class WireTrips:
    """Keeps one connection of a client, taken from its pool and given back when it is of no use any more."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wire: Wire | None = None
        self._waiting: deque[_Sent] = deque()
        self._connecting: asyncio.Task[None] | None = None

    def send(self, command: Command, landed: Landed) -> None:
        """As `Trips.send`."""
        self._waiting.append(_Sent(command, landed))
        self._leave()

    def read_answers(self) -> None:
        """As `Trips.read_answers`."""
        if self._wire is not None:
            self._wire.read_answers()

    def _leave(self) -> None:
        wire = self._wire
        if wire is None or not wire.is_open or not self._is_right(wire.connection):
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect(), name="redis wire")
            return
        while self._waiting and wire.is_open:
            sent = self._waiting.popleft()
            try:
                wire.send(sent.command, partial(self._landed, sent))
            except Exception as error:  # a word that is neither text nor number
                sent.landed(None, error)

    def _is_right(self, connection: AbstractConnection) -> bool:
        """Whether it leads to the primary that Sentinels have named last."""
        pool = self._redis.connection_pool
        if not isinstance(pool, SentinelConnectionPool) or not isinstance(connection, Connection):
            return True
        return pool.master_address in (None, (connection.host, connection.port))

    def _landed(self, sent: _Sent, answer: Any, lost: Exception | None) -> None:
        if isinstance(lost, _CONNECTING_AGAIN) and not sent.is_second_try:
            sent.is_second_try = True
            self._waiting.append(sent)
            self._leave()
        else:
            sent.landed(answer, lost)

    async def _connect(self) -> None:
        """Have the pool make a connection, with its retries and time limits, and send what waits."""
        try:
            if (former := self._wire) is not None:
                self._wire = None
                former.shut(RedisConnectionError("another server is the primary now"))
                await self._give_back(former.connection)
            self._wire = await self._new_wire()
        except BaseException as error:  # whatever it is, nobody may wait for ever
            waiting, self._waiting = self._waiting, deque()
            for sent in waiting:
                sent.landed(None, error if isinstance(error, Exception) else RedisConnectionError("stopped"))
            if not isinstance(error, Exception):
                raise
        finally:
            self._connecting = None
        if self._waiting:
            self._leave()

    async def _new_wire(self) -> Wire:
        connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            if not is_alive(connection):  # it was idle, and has been lost meanwhile
                await connection.disconnect(nowait=True)
                await connection.connect()
            return Wire(connection, connection.socket_timeout or SOCKET_TIMEOUT_S)
        except BaseException:
            await self._give_back(connection)
            raise

    async def _give_back(self, connection: AbstractConnection) -> None:
        await connection.disconnect(nowait=True)
        await self._redis.connection_pool.release(connection)


class ClusterTrips:
    """Sends pipelines of redis-py, which knows the nodes."""

    def __init__(self, redis: RedisCluster) -> None:
        self._redis = redis
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, command: Command, landed: Landed) -> None:
        """As `Trips.send`."""
        task = asyncio.create_task(self._send(command, landed), name="redis trip")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def read_answers(self) -> None:
        """Do nothing: redis-py reads them, each in a task."""

    async def _send(self, command: Command, landed: Landed) -> None:
        answer: Any = None
        lost: Exception | None = None
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.execute_command(*command)
                (answer,) = await pipe.execute(raise_on_error=False)
        except asyncio.CancelledError:
            landed(None, RedisConnectionError("stopped"))
            raise
        except Exception as error:
            lost = error
        landed(answer, lost)
