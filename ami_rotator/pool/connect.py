"""Connect to Redis with time limits that fit a live call."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

SOCKET_TIMEOUT_S = 0.5
_CONNECTIONS = 16


def connect(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """Return a client. A command fails after two tries of `timeout_s` seconds at the most.

    One resend at once, no backoff: a reply may be lost with its connection, and every script may be sent twice. A server
    that is slow is not asked again: the call could not wait for it.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        health_check_interval=15,
        max_connections=_CONNECTIONS,
        timeout=timeout_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    return Redis(connection_pool=pool)
