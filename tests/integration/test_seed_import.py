"""`import --from-caller-id-api`: what the old program's tables hold comes over, once and only once."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ami_rotator.ledger.csv_import import ImportOptions
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.seed_import import SeedDatabaseError, SeedImport, import_seed
from tests.support.daemon_process import run_command
from tests.support.services import Services

# app/models.py of that program, as its create_all makes it.
SEED_TABLES = """
CREATE TABLE caller_ids (
    caller_id varchar(20) PRIMARY KEY, carrier varchar(100), area_code varchar(3),
    daily_limit integer NOT NULL DEFAULT 1000, hourly_limit integer NOT NULL DEFAULT 100,
    daily_used integer NOT NULL DEFAULT 0, hourly_used integer NOT NULL DEFAULT 0,
    last_used timestamptz, total_uses integer NOT NULL DEFAULT 0, is_active integer NOT NULL DEFAULT 1, meta json
);
CREATE TABLE reservations (id serial PRIMARY KEY, caller_id varchar(20), agent varchar(100), campaign varchar(100));
CREATE TABLE api_requests (id serial PRIMARY KEY, endpoint varchar(200), caller_id varchar(20));
INSERT INTO caller_ids (caller_id, carrier, area_code, daily_limit, hourly_limit, total_uses, is_active, meta) VALUES
    ('2125550100', 'Verizon', '212', 500, 50, 77, 1, '{"state": "NY"}'),
    ('13105550101', 'AT&T', '131', 1000, 100, 3, 1, NULL),
    ('+1 (415) 555-0102', NULL, '415', 0, 100, 0, 0, 'null'),
    ('hello', NULL, NULL, 1000, 100, 0, 1, NULL);
"""


@pytest.fixture
async def old_dsn(services: Services) -> AsyncIterator[str]:
    name = f"old_{uuid.uuid4().hex[:12]}"
    dsn = await services.create_empty_database("wheel", name)
    connection = await asyncpg.connect(dsn)
    await connection.execute(SEED_TABLES)
    await connection.close()
    yield dsn
    await services.drop_database("wheel", name)


def counts(found: SeedImport) -> tuple[int, int, int, int, int, int]:
    report = found.report
    return found.read, found.switched_off, report.added, report.updated, report.unchanged, report.errors


async def stored(database: Database) -> dict[str, tuple[object, ...]]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT caller_id, carrier, area, daily_limit, hourly_limit, meta, switch::text FROM caller_ids"
        )
    return {row["caller_id"]: tuple(row)[1:] for row in rows}


async def test_every_caller_id_comes_over_with_its_limits_and_whether_it_was_active(
    database: Database, old_dsn: str
) -> None:
    problems: list[str] = []
    found = await import_seed(old_dsn, database, on_problem=lambda problem: problems.append(problem.reason))

    assert counts(found) == (4, 1, 3, 0, 0, 1)
    assert await stored(database) == {
        "+12125550100": ("Verizon", "212", 500, 50, {"state": "NY"}, "active"),
        "+13105550101": ("AT&T", "310", 1000, 100, {}, "active"),
        "+14155550102": ("", "415", 0, 100, {}, "disabled"),
    }
    assert len(problems) == 1
    assert "'hello' is not a phone number" in problems[0]


async def test_importing_again_changes_nothing_and_leaves_what_was_disabled_here_disabled(
    database: Database, old_dsn: str
) -> None:
    await import_seed(old_dsn, database)
    async with database.connection() as connection:
        await connection.execute("UPDATE caller_ids SET switch = 'disabled' WHERE caller_id = '+12125550100'")
    found = await import_seed(old_dsn, database)

    assert counts(found) == (4, 1, 0, 0, 3, 1)
    assert (await stored(database))["+12125550100"][-1] == "disabled"


async def test_a_dry_run_changes_nothing_and_the_address_may_be_in_the_old_programs_form(
    database: Database, old_dsn: str
) -> None:
    sqlalchemy = old_dsn.replace("postgresql://", "postgresql+asyncpg://")
    found = await import_seed(sqlalchemy, database, ImportOptions(dry_run=True))

    assert counts(found) == (4, 1, 3, 0, 0, 1)
    assert await stored(database) == {}


async def test_a_table_of_an_older_version_without_meta_is_read_too(database: Database, old_dsn: str) -> None:
    connection = await asyncpg.connect(old_dsn)
    await connection.execute("ALTER TABLE caller_ids DROP COLUMN meta, DROP COLUMN is_active")
    await connection.close()

    assert counts(await import_seed(old_dsn, database)) == (4, 0, 3, 0, 0, 1)


async def test_a_database_of_ours_or_of_nobody_is_refused_in_words(database: Database, database_dsn: str) -> None:
    with pytest.raises(SeedDatabaseError, match="no table caller_ids of Caller-ID Rotation API"):
        await import_seed(database_dsn, database)
    with pytest.raises(SeedDatabaseError, match="cannot be reached"):
        await import_seed("postgresql://nobody:wrong@127.0.0.1:9/none", database)


async def test_the_command_says_what_it_did(database_dsn: str, old_dsn: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": database_dsn, "ADMIN_TOKEN": "token-of-the-tests-0123456789", "DATA_DIR": str(tmp_path)}
    code, output = await run_command(tmp_path, settings, "import", "--from-caller-id-api", old_dsn)
    wrong, said = await run_command(tmp_path, settings, "import")

    assert code == 2  # one row is no number
    assert "Read 4 caller-IDs, 1 of them switched off." in output
    assert "  Imported: 3" in output
    assert "row 4: error:" in output
    assert wrong == 2
    assert "either a file or --from-caller-id-api" in said
