from __future__ import annotations

import asyncio
import re
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from ami_rotator.errors import LedgerUnavailableError, RotatorError, SettingsError
from ami_rotator.files import project_folder
from ami_rotator.ledger.database import Database, ServerTooOldError, check_version
from ami_rotator.ledger.queries import load_queries
from tests.support.services import every_postgresql


@every_postgresql
async def test_every_named_query_fits_the_schema(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(database.query("make_staging"))
        for name in load_queries():
            if name != "make_staging":
                await connection.prepare(database.query(name))


def test_every_named_query_is_used_and_every_used_one_is_there() -> None:
    package = project_folder("sql").parent / "ami_rotator"
    source = "\n".join(path.read_text() for path in package.rglob("*.py"))

    used = set(re.findall(r'(?:query|rows|value|run)\(\s*"(\w+)"', source))
    used |= {name for name in load_queries() if f'"{name}"' in source}

    assert used & set(load_queries()) == set(load_queries())
    in_ledger = "\n".join(path.read_text() for path in (package / "ledger").rglob("*.py"))
    assert set(re.findall(r'\bquery\("(\w+)"\)', in_ledger)) <= set(load_queries())


@pytest.mark.parametrize(
    "text", ["SELECT 1;\n", "-- a --\n-- what\n", "-- a --\nSELECT 1;\n", "-- a --\n-- x\nSELECT 1;\n" * 2]
)
def test_a_query_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.sql").write_text(text)

    with pytest.raises(RotatorError):
        load_queries(tmp_path)


async def test_a_server_that_is_not_there_is_unavailable_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with Database.open(f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/none") as database:
            with pytest.raises(LedgerUnavailableError, match="Check that the server runs"):
                await database.ping()


async def test_a_server_that_accepts_and_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        dsn = f"postgresql://nobody@127.0.0.1:{deaf.getsockname()[1]}/none"
        async with Database.open(dsn, timeout_s=0.3) as database:
            began = time.monotonic()

            with pytest.raises(LedgerUnavailableError):
                await database.ping()

            assert time.monotonic() - began < 5


async def test_a_database_that_does_not_exist_is_unavailable_and_named(database_dsn: str) -> None:
    async with Database.open(re.sub(r"/test_\w+\?", "/nowhere?", database_dsn)) as database:
        with pytest.raises(LedgerUnavailableError, match='"nowhere" does not exist'):
            await database.ping()


async def test_a_url_that_is_none_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="postgresql://"):
        async with Database.open("mysql://a@b/c") as database:
            await database.ping()


async def test_a_connection_that_is_cut_is_replaced(database: Database) -> None:
    with pytest.raises(LedgerUnavailableError):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    await database.ping()


async def test_a_statement_that_takes_too_long_is_given_up(database_dsn: str) -> None:
    async with Database.open(database_dsn, timeout_s=0.3) as database:
        with pytest.raises(LedgerUnavailableError):
            async with database.connection() as connection:
                await connection.execute("SELECT pg_sleep(30)")


async def test_with_all_connections_lent_the_next_one_waits_only_so_long(database_dsn: str) -> None:
    async with (
        Database.open(database_dsn, timeout_s=0.5, size=1) as database,
        database.connection(),
    ):
        with pytest.raises(LedgerUnavailableError):
            await database.ping()


async def test_faults_of_ours_are_not_taken_for_an_outage(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.connection() as connection:
            await connection.execute("SELECT * FROM nowhere")


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    async def half() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO groups (name) VALUES ('half')")
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await half()

    assert [row["name"] for row in await database.rows("all_groups")] == ["default"]


def test_a_server_older_than_15_is_refused_with_both_versions() -> None:
    old = SimpleNamespace(get_server_version=lambda: SimpleNamespace(major=14, minor=9))

    with pytest.raises(ServerTooOldError, match=r"PostgreSQL 14\.9; ami_rotator needs 15"):
        check_version(cast("Any", old))
