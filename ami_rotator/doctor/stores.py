"""Redis and PostgreSQL: versions, memory policy, persistence, schema, and their clocks against ours."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from redis.exceptions import RedisError, ResponseError

from ami_rotator.doctor.findings import Finding, Patient
from ami_rotator.ledger.database import MINIMUM_VERSION, Database
from ami_rotator.ledger.migrate import load_migrations
from ami_rotator.pool.clock import now_ms
from ami_rotator.pool.connect import RedisClient, connect

_REDIS_LEAST = 7
_SKEW_MOST_S = 2.0
_CLOCK_FIX = "run NTP (chrony or systemd-timesyncd) on both machines"


async def redis(patient: Patient) -> Sequence[Finding]:
    """Check version, memory policy, persistence and clock."""
    client = connect(patient.stores.redis_url, timeout_s=5.0)
    try:
        return await _redis(client, "{" + patient.settings.inventory + "}")
    except (RedisError, OSError) as error:
        said = str(error) or type(error).__name__
        return [
            Finding(
                "redis",
                "problem",
                f"Redis does not answer: {said}",
                "see that it runs, and REDIS_URL or REDIS_HOST and password",
            )
        ]
    finally:
        await client.aclose()


async def _redis(client: RedisClient, tag: str) -> list[Finding]:
    found: list[Finding] = []
    info = _flat(await client.info())
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    name = "Valkey" if "valkey_version" in info else "Redis"
    if int(version.split(".")[0]) < _REDIS_LEAST:
        found.append(Finding("redis", "problem", f"{name} {version} is too old", "install Redis 7 or newer, or Valkey"))
    policy = str(info.get("maxmemory_policy", ""))
    if policy != "noeviction":
        found.append(
            Finding(
                "redis",
                "problem",
                f"maxmemory-policy is {policy}: a full {name} would throw reservations away",
                "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file",
            )
        )
    if str(info.get("aof_enabled", "0")) != "1":
        found.append(
            Finding(
                "redis",
                "advice",
                "append-only file is off: after a restart Redis lacks minutes; PostgreSQL brings back what it can",
                "CONFIG SET appendonly yes; CONFIG SET appendfsync everysec; and the same in its configuration file",
            )
        )
    found += _skew("redis", name, await now_ms(client, tag) / 1000)
    try:
        await client.eval("return 1", 1, f"clock:{tag}")
    except ResponseError as error:
        found.append(
            Finding("redis", "problem", f"scripts are not allowed: {error}", "give the user +@scripting in its ACL")
        )
    return found or [Finding("redis", "ok", f"{name} {version}, noeviction, append-only file on")]


def _flat(info: dict[str, object]) -> dict[str, object]:
    """Return one server's INFO; a Cluster client gives one for each node, all alike for what is asked here."""
    first = next(iter(info.values()), None)
    return first if isinstance(first, dict) else info


async def postgresql(patient: Patient) -> Sequence[Finding]:
    """Check version, schema and clock."""
    found: list[Finding] = []
    async with Database.open(patient.stores.database_dsn, size=1) as database, database.connection() as connection:
        version = connection.get_server_version()
        has_migrations = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        done = await connection.fetchval("SELECT max(number) FROM schema_migrations") if has_migrations else 0
        newest = len(load_migrations())
        if (done or 0) != newest:
            fix = (
                "ami-rotator migrate" if (done or 0) < newest else "install the newer ami_rotator that was here before"
            )
            found.append(
                Finding("postgresql", "problem", f"the schema has version {done or 0}, needed is {newest}", fix)
            )
        found += _skew(
            "postgresql", "PostgreSQL", float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        )
    if version.major < MINIMUM_VERSION:
        found.append(
            Finding(
                "postgresql", "problem", f"PostgreSQL {version.major} is too old", f"install {MINIMUM_VERSION} or newer"
            )
        )
    return found or [Finding("postgresql", "ok", f"PostgreSQL {version.major}, schema version {newest}")]


def _skew(check: str, name: str, there_s: float) -> list[Finding]:
    skew_s = there_s - time.time()
    if abs(skew_s) <= _SKEW_MOST_S:
        return []
    return [Finding(check, "problem", f"the clock of {name} is {skew_s:+.1f} s from this machine's", _CLOCK_FIX)]


def without_password(text: str) -> str:
    """Return a message without the password of an address in it."""
    return re.sub(r"(://[^:/@\s]*:)[^@\s]+@", r"\1***@", text)
