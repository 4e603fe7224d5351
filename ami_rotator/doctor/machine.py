"""This machine and the settings: ports, the rights of `.env`, limits that are high."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from ami_rotator.doctor.findings import Finding, Patient
from ami_rotator.ledger.database import Database
from ami_rotator.reach import what_to_do, why_not_asked

_DAILY_HIGH, _HOURLY_HIGH = 1000, 100


async def ports(patient: Patient) -> Sequence[Finding]:
    """Check that the HTTP port is free, or that it is us who have it."""
    settings = patient.settings
    if not settings.api_port:
        return []
    try:
        socket.create_server((settings.api_host, settings.api_port)).close()
    except OSError as error:
        what = f"port {settings.api_port} on {settings.api_host}: {error.strerror or error}"
        return [
            Finding("ports", "advice", what, "all is well if a daemon runs there; else choose another with API_PORT")
        ]
    return [Finding("ports", "ok", f"port {settings.api_port} on {settings.api_host} is free")]


async def reach(patient: Patient) -> Sequence[Finding]:
    """Point out dialers whose dialplan cannot ask. A proxy may stand between, so it is no more than advice."""
    settings = patient.settings
    return [
        Finding(f"dialer {dialer.name}", "advice", f"its dialplan cannot ask: {why}", what_to_do(dialer))
        for dialer in settings.all_dialers()
        if dialer.mode == "hook" and (why := why_not_asked(settings, dialer))
    ]


async def env_file(_: Patient) -> Sequence[Finding]:
    """Check that nobody else may read the secrets in `.env`."""
    return _rights(Path(".env"))


def _rights(path: Path) -> Sequence[Finding]:
    if not path.exists():
        return []
    found = path.stat()
    # The file of a service is root's, so that the service cannot change it, and read through the service's group.
    group = stat.S_IRWXG if found.st_uid == os.geteuid() else stat.S_IWGRP | stat.S_IXGRP
    if found.st_mode & (group | stat.S_IRWXO):
        fix = "chmod 600 .env (640 where it belongs to root and to the group of the service)"
        return [Finding(".env", "problem", "others may read .env, and the secrets in it", fix)]
    return [Finding(".env", "ok", "nobody else may read it")]


async def limits(patient: Patient) -> Sequence[Finding]:
    """Point out limits that carriers and people take for spam."""
    settings = patient.settings
    found = []
    if settings.default_daily_limit >= _DAILY_HIGH or settings.default_hourly_limit >= _HOURLY_HIGH:
        what = f"limits of {settings.default_daily_limit} a day and {settings.default_hourly_limit} an hour are high"
        fix = (
            "set DEFAULT_DAILY_LIMIT and DEFAULT_HOURLY_LIMIT; numbers of 50 to 100 calls a day keep a good name longer"
        )
        found.append(Finding("limits", "advice", what, fix))
    async with Database.open(patient.stores.database_dsn, size=1) as database, database.connection() as connection:
        if await connection.fetchval("SELECT to_regclass('caller_ids') IS NOT NULL"):
            count = await connection.fetchval("SELECT count(*) FROM caller_ids WHERE switch = 'active'")
            if not count:
                found.append(
                    Finding("inventory", "problem", "there is no active caller-ID", "ami-rotator import FILE.csv")
                )
            else:
                found.append(Finding("inventory", "ok", f"{count} active caller-IDs"))
    return found
