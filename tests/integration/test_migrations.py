from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import asyncpg
import pytest

from ami_rotator.domain.types import Miss, Outcome, Rung, Source
from ami_rotator.files import project_folder
from ami_rotator.ledger.migrate import Migration, MigrationError, load_migrations, migrate
from tests.support.services import Kind, Services

FIRST = Migration(1, "first", "CREATE TABLE first (a integer)")
SECOND = Migration(2, "second", "CREATE TABLE second (b integer)")


@pytest.fixture
async def empty_dsn(services: Services, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The DSN of a database with nothing in it."""
    kind: Kind = getattr(request, "param", "wheel")
    name = f"empty_{uuid.uuid4().hex[:12]}"
    yield await services.create_empty_database(kind, name)
    await services.drop_database(kind, name)


every_empty = pytest.mark.parametrize("empty_dsn", ["wheel", "debian"], indirect=True)


async def query(dsn: str, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def tables(dsn: str) -> set[object]:
    return {row[0] for row in await query(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


_CATALOG = """
SELECT 'column', attrelid::regclass::text, attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
    || ' ' || COALESCE(pg_get_expr(adbin, adrelid), '') || ' ' || COALESCE(collname, '') || ' '
    || COALESCE(col_description(attrelid, attnum), '') || ' ' || attnum
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum) LEFT JOIN pg_collation ON pg_collation.oid = attcollation
WHERE relnamespace = 'public'::regnamespace AND attnum > 0
UNION ALL
SELECT 'relation', oid::regclass::text, relkind::text || ' ' || COALESCE(obj_description(oid, 'pg_class'), '')
    || ' ' || COALESCE(pg_get_expr(relpartbound, oid), '') || ' ' || COALESCE(reloptions::text, '')
FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'constraint', conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid) || COALESCE(obj_description(oid, 'pg_proc'), '')
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'enum', enumtypid::regtype::text, string_agg(enumlabel, ',' ORDER BY enumsortorder)
    || COALESCE(obj_description(enumtypid, 'pg_type'), '')
FROM pg_enum GROUP BY enumtypid
ORDER BY 1, 2, 3
"""


async def catalog(dsn: str) -> list[tuple[object, ...]]:
    rows = await query(dsn, _CATALOG)
    return [row for row in rows if "schema_migrations" not in str(row[1])]


@every_empty
async def test_the_migrations_make_the_database_that_schema_sql_describes(
    services: Services, empty_dsn: str, request: pytest.FixtureRequest
) -> None:
    kind: Kind = request.node.callspec.params["empty_dsn"]
    name = f"schema_{uuid.uuid4().hex[:12]}"
    by_schema = await services.create_empty_database(kind, name)
    connection = await asyncpg.connect(by_schema, timeout=10)
    await connection.execute((project_folder("sql") / "schema.sql").read_text())
    await connection.close()

    await migrate(empty_dsn)

    expected = await catalog(by_schema)
    assert len(expected) > 100
    assert await catalog(empty_dsn) == expected
    groups = "SELECT name, max_concurrent FROM groups"
    assert await query(empty_dsn, groups) == await query(by_schema, groups)
    await services.drop_database(kind, name)


async def test_the_comparison_would_see_a_difference(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    before = await catalog(empty_dsn)

    await query(empty_dsn, "ALTER TABLE calls ALTER COLUMN agent DROP DEFAULT")

    assert await catalog(empty_dsn) != before


@every_empty
async def test_migrating_again_finds_nothing_to_do(empty_dsn: str) -> None:
    newest = len(load_migrations())

    first = await migrate(empty_dsn)
    second = await migrate(empty_dsn)

    assert (first.version, first.applied) == (newest, tuple(range(1, newest + 1)))
    assert (second.version, second.applied) == (newest, ())


async def test_a_failing_migration_is_undone_whole_and_the_ones_before_it_stay(empty_dsn: str) -> None:
    broken = Migration(2, "broken", "CREATE TABLE half (a integer); SELECT nonsense")

    with pytest.raises(MigrationError, match=r"0002_broken failed and was rolled back whole: .*nonsense"):
        await migrate(empty_dsn, [FIRST, broken])

    assert await tables(empty_dsn) == {"schema_migrations", "first"}
    assert (await migrate(empty_dsn, [FIRST, SECOND])).applied == (2,)


async def test_a_migration_that_was_edited_is_refused(empty_dsn: str) -> None:
    await migrate(empty_dsn, [FIRST])

    with pytest.raises(MigrationError, match="0001_first was applied with other content"):
        await migrate(empty_dsn, [Migration(1, "first", "CREATE TABLE first (a bigint)"), SECOND])

    assert await tables(empty_dsn) == {"schema_migrations", "first"}


async def test_line_ends_do_not_count_as_an_edit(empty_dsn: str) -> None:
    await migrate(empty_dsn, [Migration(1, "first", "CREATE TABLE first\n(a integer)")])

    assert (await migrate(empty_dsn, [Migration(1, "first", "CREATE TABLE first\r\n(a integer)")])).applied == ()


async def test_a_database_of_a_newer_program_is_refused(empty_dsn: str) -> None:
    await migrate(empty_dsn, [FIRST, SECOND])

    with pytest.raises(MigrationError, match=r"has version 2, this ami_rotator knows versions up to 1"):
        await migrate(empty_dsn, [FIRST])


@every_empty
async def test_many_at_once_apply_each_migration_once(empty_dsn: str) -> None:
    reports = await asyncio.gather(*(migrate(empty_dsn) for _ in range(6)))

    newest = len(load_migrations())
    assert sorted(report.applied for report in reports) == [()] * 5 + [tuple(range(1, newest + 1))]


@pytest.mark.parametrize("names", [["0002_a.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"], ["0001_A.sql"]])
def test_files_with_gaps_or_other_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(MigrationError):
        load_migrations(tmp_path)


async def test_a_user_who_may_not_make_tables_is_told_what_to_grant(empty_dsn: str) -> None:
    role = f"reader_{uuid.uuid4().hex[:8]}"
    await query(empty_dsn, f"CREATE ROLE {role} LOGIN")

    with pytest.raises(MigrationError, match="GRANT CREATE ON SCHEMA public"):
        await migrate(empty_dsn.replace("postgres@", f"{role}@"))


async def test_the_enums_have_exactly_the_values_of_the_program(database_dsn: str) -> None:
    enums: dict[object, Any] = {
        row[0]: row[1]
        for row in await query(
            database_dsn, "SELECT enumtypid::regtype::text, array_agg(enumlabel::text) FROM pg_enum GROUP BY 1"
        )
    }

    assert set(enums["call_outcome"]) == set(get_args(Outcome))
    assert set(enums["call_source"]) == set(get_args(Source))
    assert set(enums["miss_reason"]) == set(get_args(get_type_hints(Miss)["reason"]))
    constraint = await query(
        database_dsn, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname ~ 'rungs'"
    )
    assert all(f"'{rung.value}'" in str(constraint) for rung in Rung)
