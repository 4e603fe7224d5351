"""Connect to Redis, alone, behind Sentinels or as a Cluster, with time limits that fit a live call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from ami_rotator.errors import SettingsError

SOCKET_TIMEOUT_S = 0.5
_CONNECTIONS = 16
_CONNECTIONS_UNBLOCKED = 64
_REDIS_PORT, _SENTINEL_PORT = 6379, 26379

RedisClient: TypeAlias = Redis | RedisCluster


def connect(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S) -> RedisClient:
    """Return a client. A command fails after two tries of `timeout_s` seconds at the most.

    One resend at once, no backoff: a reply may be lost with its connection, and every script may be sent twice. A server
    that is slow is not asked again: the call could not wait for it.

    `redis://`, `rediss://` (TLS) and `unix://` name one server; `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` the
    Sentinels that know the primary (`?sentinel_password=` where they want one of their own); `redis+cluster://HOST:PORT,...`
    nodes of a Cluster. `rediss+sentinel://` and `rediss+cluster://` use TLS.

    Raises:
        SettingsError: the URL cannot be used; says what to write.
    """
    scheme, _, _ = url.partition("://")
    common: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 15,
        # While they are on, redis-py does not look whether a connection that it hands out is still open.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    try:
        if scheme in ("redis+sentinel", "rediss+sentinel"):
            return _behind_sentinels(urlsplit(url), common)
        if scheme in ("redis+cluster", "rediss+cluster"):
            return _cluster(urlsplit(url), common)
        if scheme != "unix":
            common["socket_keepalive"] = True
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=timeout_s, retry=_resend_once(), **common
        )
    except (ValueError, RedisError) as error:
        raise SettingsError(
            f"REDIS_URL cannot be used: {error}. Write redis://HOST:6379/0, rediss:// for TLS,"
            " redis+sentinel://HOST:26379,HOST:26379/SERVICE/0 or redis+cluster://HOST:6379,HOST:6379."
        ) from error
    return Redis.from_pool(_packing(pool))


class _PacksFast(AbstractConnection):
    """Packs the commands of a pipeline with hiredis: redis-py's own loop takes ten times as long."""

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Return commands as they travel. Names of two words, as `SCRIPT LOAD`, are two arguments."""
        return [b"".join([pack_command((*str(name).split(), *args)) for name, *args in commands])]


def _packing(pool: ConnectionPool, *more: type) -> ConnectionPool:
    pool.connection_class = type("FastConnection", (*more, _PacksFast, pool.connection_class), {})
    return pool


class _AsksSentinels(AbstractConnection):
    """Asks the Sentinels again whenever it connects again: redis-py's own would go back to the address that it had."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send, after connecting to the primary where there is no connection."""
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        await super().send_packed_command(command, check_health)


class _SentinelRedis(Redis):
    """A client of the primary that Sentinels name; they are closed with it."""

    sentinels: Sentinel | None = None

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        await super().aclose(close_connection_pool)
        for client in self.sentinels.sentinels if self.sentinels else ():
            await client.aclose()


def _behind_sentinels(parts: SplitResult, common: dict[str, Any]) -> Redis:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("the name of the Sentinels' service is missing")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    user, password = _sign_in(parts)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _hosts(parts, _SENTINEL_PORT),
        sentinel_kwargs={
            "socket_timeout": common["socket_timeout"],
            "socket_connect_timeout": common["socket_connect_timeout"],
            "username": query.get("sentinel_username"),
            "password": query.get("sentinel_password"),
            "retry": Retry(NoBackoff(), 0),
            "ssl": parts.scheme.startswith("rediss"),
        },
    )
    client: _SentinelRedis = sentinels.master_for(
        service,
        redis_class=_SentinelRedis,
        username=user,
        password=password,
        db=int(database or 0),
        ssl=parts.scheme.startswith("rediss"),
        max_connections=_CONNECTIONS_UNBLOCKED,
        retry=_resend_once(),
        socket_keepalive=True,
        **common,
    )
    client.sentinels = sentinels
    _packing(client.connection_pool, _AsksSentinels)
    return client


def _cluster(parts: SplitResult, common: dict[str, Any]) -> RedisCluster:
    if parts.path.strip("/") not in ("", "0"):
        raise ValueError("a Cluster has no database numbers")
    user, password = _sign_in(parts)
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in _hosts(parts, _REDIS_PORT)],
        username=user,
        password=password,
        ssl=parts.scheme.startswith("rediss"),
        # One inventory is in one slot: the others need not be there.
        require_full_coverage=False,
        max_connections=_CONNECTIONS_UNBLOCKED,
        retry=_resend_once(),
        **common,
    )


def _resend_once() -> Retry:
    return Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))


def _sign_in(parts: SplitResult) -> tuple[str | None, str | None]:
    return (unquote(parts.username) if parts.username else None), (unquote(parts.password) if parts.password else None)


def _hosts(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    found = []
    for item in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{item}")
        if not one.hostname:
            raise ValueError("a host is missing")
        found.append((one.hostname, one.port or default_port))
    return found
