"""One write and its answers, by a connection of redis-py's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from ami_rotator.pool.connect import KeepingPool, RedisClient

Command: TypeAlias = Sequence[str | int | float]


class Trips:
    """Sends commands together, as a pipeline of redis-py does, in a third of its time for a single command.

    What is left out times each step for OpenTelemetry, and fetches and checks a connection for each trip: the connections of
    a single server are kept. Behind Sentinels they go back to their pool, which knows when the primary has changed. Retries,
    time limits and the check of one that was idle for long are redis-py's.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def __call__(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers in order, errors of Redis among them.

        Raises:
            RedisError, OSError, TimeoutError: there is no answer, after the client's retries.
        """
        if isinstance(self._redis, RedisCluster):
            async with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute(raise_on_error=False))
        pool = self._redis.connection_pool
        kept = pool.kept if isinstance(pool, KeepingPool) else None
        connection = kept.pop() if kept else await pool.get_connection()  # type: ignore[no-untyped-call]
        is_well = False
        try:
            answers: list[Any] = await connection.retry.call_with_retry(
                lambda: _exchange(connection, commands), lambda _: connection.disconnect()
            )
            is_well = True
        finally:
            if is_well and kept is not None:
                kept.append(connection)
            else:
                await pool.release(connection)
        return answers


async def _exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    answers: list[Any] = []
    try:
        await connection.send_packed_command(connection.pack_commands(commands))
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
    except BaseException:
        # Who is cancelled half-way must not leave answers behind for the next who is given this connection.
        await connection.disconnect(nowait=True)
        raise
    return answers
