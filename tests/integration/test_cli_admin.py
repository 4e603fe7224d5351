"""The commands for administrators, as a user types them, on stores that others use too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from ami_rotator.cli import app
from ami_rotator.domain.types import Assignment
from ami_rotator.errors import RotatorError
from ami_rotator.ledger.audit import AuditFilter
from ami_rotator.ledger.database import Database
from ami_rotator.pool.redis_pool import RedisPool
from tests.support.admin_desk import ANNA, Bench, make_bench
from tests.support.pool_setup import assign, call

pytestmark = pytest.mark.thorough


class Terminal:
    """A user at a terminal. The commands run in a thread of this process: a process each takes seconds on a busy machine."""

    def __init__(self, dsn: str, redis_url: str, inventory: str) -> None:
        self._settings = {
            "DATABASE_URL": dsn, "REDIS_URL": redis_url, "INVENTORY": inventory, "TIMEZONE": "UTC",
            "ADMIN_TOKEN": "token-of-the-tests-0123456789", "SUDO_USER": "zoe", "COLUMNS": "160",
        }  # fmt: skip

    async def type(self, *words: str, code: int = 0) -> str:
        """Run a command; return what it printed, or the error that `main` would print."""
        result = await asyncio.to_thread(CliRunner(env=self._settings).invoke, app, list(words))
        said = str(result.exception) if isinstance(result.exception, RotatorError) else ""
        assert result.exit_code == code, (result.output, result.exception)
        return result.output + said

    async def json(self, *words: str) -> Any:
        """Run a command with --json; return what it printed."""
        return json.loads(await self.type(*words, "--json"))


async def test_all_of_it_from_the_terminal(
    database: Database,
    database_dsn: str,
    redis_client: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for module in ("cli_admin", "cli_campaigns"):
        monkeypatch.setattr(f"ami_rotator.{module}.set_up_logging", lambda _level: None)
    bench: Bench = make_bench(database, redis_client)
    pool: RedisPool = bench.pool
    at = Terminal(database_dsn, redis_url, pool.tag.strip("{}"))

    assert await at.type("caller-ids", "add", "(212) 555-0142", "--carrier", "Acme") == "+12125550142 was added.\n"
    assert "write 5551234567" in await at.type("caller-ids", "add", "hello", code=1)
    assert "in the inventory already" in await at.type("caller-ids", "add", "2125550142", code=1)
    await at.type(
        "caller-ids", "set", "2125550142", "--group", "east", "--daily-limit", "50", "--hourly-limit", "group"
    )
    await at.type("caller-ids", "rest", "2125550142", "--hours", "2")
    (listed,) = await at.json("caller-ids", "list", "--search", "0142")
    assert (listed["group"], listed["daily_limit"], listed["hourly_limit"], listed["switch"]) == (
        "east",
        50,
        None,
        "resting",
    )
    assert listed["resting_until_ms"] > 0
    assert "Not in the inventory: +12125550199" in await at.type("caller-ids", "disable", "2125550199", code=2)
    await at.type("caller-ids", "enable", "2125550142")

    await bench.sync()
    given = await assign(pool, call(1), groups=("east",))
    assert isinstance(given, Assignment)
    assert "in_use" in await at.type("caller-ids", "list")
    (live,) = await at.json("reservations", "list")
    assert live["caller_id"] == "+12125550142"
    assert "was taken back" in await at.type("reservations", "release", live["id"])
    assert await at.json("reservations", "list") == []

    await at.type("campaigns", "set", "SALES", "groups=east", "rungs=area,any", "sticky_days=30")
    assert (await at.json("campaigns", "show", "SALES"))["sticky_days"] == 30
    assert list(await at.json("campaigns", "list")) == ["SALES"]
    assert "weight: is 0; write a number from 1" in await at.type("campaigns", "set", "SALES", "weight=0", code=1)

    said = await at.type("groups", "set", "east", "warmup=careful", "daily_limit=900")
    assert "east: daily_limit=900 warmup=careful" in said
    assert "900 uses a day of one number is more" in said
    assert (await at.json("groups", "list"))["east"]["caller_ids"] == 1
    assert "write one of careful" in await at.type("groups", "set", "east", "warmup=fast", code=1)
    groups, campaigns = tmp_path / "groups.csv", tmp_path / "campaigns.csv"
    groups.write_text((await at.type("groups", "export")).replace("900", "100") + "west,,60,,20,100,,,steady\n")
    assert await at.type("groups", "import", str(groups)) == "3 groups are as the file says.\n"
    assert (await at.json("groups", "list"))["west"]["warmup"] == "steady"
    assert "daily_limit=100 " in await at.type("groups", "list")
    exported = await at.type("campaigns", "export")
    campaigns.write_text(exported)
    assert await at.type("campaigns", "import", str(campaigns)) == "1 policies are as the file says.\n"
    assert await at.type("campaigns", "export") == exported
    campaigns.write_text('name,groups,sticky_days\nSALES,"west, east",7\nOTHER,east,many\n')
    assert "line 3, sticky_days:" in await at.type("campaigns", "import", str(campaigns), code=1)
    campaigns.write_text('name,groups,sticky_days\nSALES,"west, east",7\n')
    await at.type("campaigns", "import", str(campaigns))
    sales = await at.json("campaigns", "show", "SALES")
    assert (sales["groups"], sales["rungs"], sales["sticky_days"]) == (["west", "east"], ["area", "any"], 7)
    campaigns.write_text("campaign,colour\nSALES,red\n")
    assert "has no meaning here: campaign, colour" in await at.type("campaigns", "import", str(campaigns), code=1)

    printed = await at.type("users", "add", "bob", "--role", "operator")
    password = printed.strip().rpartition(" ")[2]
    assert await bench.desk.users.sign_in(ANNA, "bob", password, "tests")
    assert password not in await at.type("users", "password", "bob")
    await at.type("users", "disable", "bob")
    (bob,) = await at.json("users", "list")
    assert (bob["role"], bob["is_disabled"], bob["sessions"]) == ("operator", True, 0)

    entries = (await bench.desk.audit(AuditFilter(actor="zoe"), limit=100)).entries
    assert {entry.via for entry in entries} == {"cli"}
    assert {entry.kind for entry in entries} >= {"caller_id", "group", "reservation", "user"}
