from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis

from ami_rotator.simulator import Simulator, SimulatorOptions
from tests.support.daemon_process import TOKEN, run_command
from tests.support.services import Services

Findings = list[dict[str, str]]


def configured(simulator_port: int, redis_url: str, dsn: str, **dialer: object) -> dict[str, str]:
    one = {"name": "d1", "port": simulator_port, "secret": "simulator", **dialer}
    return {
        "REDIS_URL": redis_url,
        "DATABASE_URL": dsn,
        "ADMIN_TOKEN": TOKEN,
        "API_PORT": "0",
        "DIALERS": json.dumps([one]),
        "DEFAULT_DAILY_LIMIT": "80",
        "DEFAULT_HOURLY_LIMIT": "20",
    }


async def examined(folder: Path, settings: dict[str, str]) -> tuple[int, Findings]:
    code, output = await run_command(folder, settings, "doctor", "--json")
    found: Findings = orjson.loads(output)
    return code, found


def problems(findings: Findings, check: str) -> str:
    return " | ".join(
        f"{one['what']} FIX {one['fix']}" for one in findings if one["check"] == check and one["level"] != "ok"
    )


@pytest.fixture
async def persistent(redis_client: Redis) -> Redis:
    await redis_client.config_set("maxmemory-policy", "noeviction")
    await redis_client.config_set("appendonly", "yes")
    return redis_client


async def test_what_an_installer_gets_wrong_is_told_with_its_fix_and_the_exit_code_says_so(
    tmp_path: Path, redis_url: str, persistent: Redis, database_dsn: str
) -> None:
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env").chmod(0o644)
    await persistent.config_set("maxmemory-policy", "allkeys-lru")
    await persistent.config_set("appendonly", "no")
    options = SimulatorOptions(read=frozenset({"call"}), write=frozenset({"reporting"}))
    try:
        async with Simulator(options) as simulator:
            settings = configured(simulator.port, redis_url, database_dsn)
            code, found = await examined(tmp_path, {**settings, "DEFAULT_DAILY_LIMIT": "1000"})
    finally:
        await persistent.config_set("maxmemory-policy", "noeviction")
        await persistent.config_set("appendonly", "yes")

    assert code == 1
    assert "maxmemory-policy is allkeys-lru" in problems(found, "redis")
    assert "CONFIG SET maxmemory-policy noeviction" in problems(found, "redis")
    assert "append-only file is off" in problems(found, "redis")
    assert "Setvar is not allowed" in problems(found, "dialer d1")
    assert "manager.conf" in problems(found, "dialer d1")
    assert "FIX chmod 600 .env" in problems(found, ".env")
    assert "limits of 1000 a day" in problems(found, "limits")
    assert "ami-rotator import" in problems(found, "inventory")


async def test_a_sound_installation_is_told_so(
    tmp_path: Path, redis_url: str, persistent: Redis, database_dsn: str
) -> None:
    (tmp_path / "numbers.csv").write_text("caller_id\n2125550100\n")
    async with Simulator(SimulatorOptions()) as simulator:
        settings = configured(simulator.port, redis_url, database_dsn, mode="observe")
        await run_command(tmp_path, settings, "import", "numbers.csv")

        code, found = await examined(tmp_path, settings)
        _, shown = await run_command(tmp_path, settings, "doctor")

    assert (code, {one["level"] for one in found}) == (0, {"ok"}), found
    assert {one["check"] for one in found} >= {"redis", "postgresql", "dialer d1", "inventory"}
    assert "PROBLEM" not in shown


async def test_a_refused_login_a_wrong_port_and_servers_that_are_away_are_findings_not_crashes(
    tmp_path: Path, redis_url: str, database_dsn: str
) -> None:
    async with Simulator(SimulatorOptions()) as simulator:
        wrong = configured(simulator.port, redis_url, database_dsn, secret="a-wrong-secret-9731")
        _, refused = await examined(tmp_path, wrong)
        port = simulator.port
    code, away = await examined(
        tmp_path, configured(port, "redis://:hidden-4711@127.0.0.1:1/0", "postgresql://me:hidden-4712@127.0.0.1:1/db")
    )

    assert "refused the login" in problems(refused, "dialer d1")
    assert "a-wrong-secret-9731" not in str(refused)
    assert code == 1
    assert "refused; is Asterisk running" in problems(away, "dialer d1") or "FIX see host and port" in problems(
        away, "dialer d1"
    )
    assert "Redis does not answer" in problems(away, "redis")
    assert "PostgreSQL" in problems(away, "postgresql")
    assert "hidden-47" not in str(away)


async def test_a_database_without_the_newest_schema_is_told_how_to_get_it(
    tmp_path: Path, redis_url: str, services: Services
) -> None:
    dsn = await services.create_empty_database("wheel", "doctor_empty")
    async with Simulator(SimulatorOptions()) as simulator:
        _, found = await examined(tmp_path, configured(simulator.port, redis_url, dsn))
    await services.drop_database("wheel", "doctor_empty")

    assert "FIX ami-rotator migrate" in problems(found, "postgresql")
